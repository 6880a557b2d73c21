"""What an estimator may be told: declared options, and options checked against the declaration.

In: `Option` values and what the caller passed. Out: a complete mapping, or one error naming every fault.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from wwc_research.errors import Faults, listed


@dataclass(frozen=True, slots=True, kw_only=True)
class Option:
    """One thing an estimator may be told.

    Attributes
    ----------
    name, meaning
        As on the command line; what it does, in one sentence.
    default
        Used where the caller says nothing (or None).
    allowed
        The values allowed; empty for an option that takes a whole number.
    """

    name: str
    meaning: str
    default: str | int | None = None
    allowed: tuple[str, ...] = ()

    def fault(self, value: object) -> str | None:
        """What is wrong with `value`, or None."""
        if self.allowed:
            if value in self.allowed:
                return None
            return f"{self.name} = {value!r} is not offered; allowed: {', '.join(self.allowed)}."
        if isinstance(value, int) and not isinstance(value, bool):
            return None
        return f"{self.name} = {value!r} is no whole number; {self.meaning}"


def checked(given: Mapping[str, object], *, declared: Sequence[Option], estimator: str) -> dict[str, str | int | None]:
    """Every declared option with its value; an option given as None takes its default.

    Raises
    ------
    InputError
        With all unknown options and unusable values at once.
    """
    faults = Faults(where=f"options of {estimator}")
    names = [option.name for option in declared]
    for name in given:
        if name not in names:
            faults.add(f"{name} has no meaning for {estimator}; it takes {listed(names, limit=20)}. Leave it out.")
    values: dict[str, str | int | None] = {}
    for option in declared:
        value = given.get(option.name)
        if value is None:
            values[option.name] = option.default
            continue
        fault = option.fault(value)
        if fault:
            faults.add(fault)
        elif isinstance(value, str | int):
            values[option.name] = value
    faults.raise_if_any()
    return values
