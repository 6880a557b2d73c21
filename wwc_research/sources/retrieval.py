"""What a fetchable source asks of its publisher, and how the answer becomes figures.

In: years and geographies. Out: `Remote` files to get, and a `Reading` of what was got.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, Protocol

from wwc_research.sources.observations import Reading
from wwc_research.sources.places import Scope

Kind = Literal["zip", "csv", "json", "xlsx", "text"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Remote:
    """One file at a publisher.

    Attributes
    ----------
    url
        Address without any key; it is what manifests and messages show.
    name
        File name in the vintage's folder, without separators.
    kind
        What the file must be; its first bytes are held against it, since an error page also comes with status 200.
    largest
        Bytes beyond which the transfer is refused.
    key
        Query parameter and environment variable of a key the publisher wants; the value goes into the request only.
    year
        Year the file is asked for; None where it holds several.
    may_be_empty
        Whether the publisher answers 204 where it has no such figures.
    """

    url: str
    name: str
    kind: Kind
    largest: int
    key: tuple[str, str] | None = None
    year: int | None = None
    may_be_empty: bool = False


class Fetchable(Protocol):
    """A module of `sources` whose files can be fetched."""

    def remotes(
        self, *, years: Sequence[int], geographies: Sequence[str], settings: Mapping[str, Any]
    ) -> tuple[Remote, ...]:
        """The files for these years and geographies; `settings` is `[<source>.fetch]` of `catalog/sources.toml`."""

    def read_fetched(
        self, files_dir: Path, *, scope: Scope, vintage: str, settings: Mapping[str, Any], raw_dir: Path
    ) -> Reading:
        """What the fetched files say; `scope.settings` is `[<source>.settings]`, `raw_dir` the shipped tables."""
