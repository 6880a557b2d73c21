"""Every error a user can meet has one root; `Faults` gathers all that is wrong and raises once.

An error says three things: what, with the values; where; what to do.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from wwc_research.messages import Message, message


class WwcError(Exception):
    """Something the user can put right; the command line prints it and exits with `exit_status`."""

    exit_status = 2


class InputError(WwcError):
    """A file, column, row or option that cannot be used as it is."""


class DataError(WwcError):
    """A shipped or compiled table that is not what the manifest or the catalog says."""


class EstimationError(WwcError):
    """The sample is well formed and yet cannot answer the question that was put to it."""


class ReportError(WwcError):
    """At least one page of a batch could not be made; the others were."""

    exit_status = 1


def listed(values: Iterable[object], *, limit: int = 5) -> Message:
    """The first `limit` values in plain words, and how many more there are."""
    texts = [value if isinstance(value, str) else str(value) for value in values]
    rest = len(texts) - limit
    if rest > 0:
        return message("{values:list}", values=[*texts[:limit], message("{n:,} more", n=rest)])
    return message("{values:list}", values=texts)


@dataclass(slots=True)
class Faults:
    """All that is wrong with one input, gathered first and raised together.

    Parameters
    ----------
    where
        The file or object the faults belong to, as the user knows it.
    kind
        The error that `raise_if_any` raises.
    """

    where: str
    kind: type[WwcError] = InputError
    _found: list[str] = field(default_factory=list)

    def add(self, text: str) -> None:
        """Note one fault: what is wrong, with the values, and what to do."""
        self._found.append(text)

    def __bool__(self) -> bool:
        return bool(self._found)

    def __len__(self) -> int:
        return len(self._found)

    def raise_if_any(self) -> None:
        """Raise one error with every fault noted so far; do nothing if there is none."""
        if not self._found:
            return
        if len(self._found) == 1:
            # an estimation error can reach a page, in its reader's language
            raise self.kind(message("{where}: {fault}", where=self.where, fault=self._found[0]))
        lines = "\n".join(f"  {number}. {text}" for number, text in enumerate(self._found, start=1))
        raise self.kind(f"{self.where}: {len(self._found)} faults\n{lines}")
