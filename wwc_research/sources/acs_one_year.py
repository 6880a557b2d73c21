"""American Community Survey, 1-year tables of places, counties and public-use microdata areas; see `acs_tables`.

In: files of the Summary File or answers of the Census interface. Out: `places`, `counties`, `pumas_<decade>`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from wwc_research.sources import acs_tables
from wwc_research.sources.observations import Reading
from wwc_research.sources.places import Scope
from wwc_research.sources.retrieval import Remote


def remotes(*, years: Sequence[int], geographies: Sequence[str], settings: Mapping[str, Any]) -> tuple[Remote, ...]:
    """The files of these 1-year releases; see `acs_tables.remotes`."""
    return acs_tables.remotes("one_year", years=years, geographies=geographies, settings=settings)


def read_fetched(files_dir: Path, *, scope: Scope, vintage: str, settings: Mapping[str, Any], raw_dir: Path) -> Reading:
    """The figures that the fetched 1-year files hold; see `acs_tables.read_fetched`. `raw_dir` is not looked at."""
    return acs_tables.read_fetched("one_year", files_dir, scope=scope, vintage=vintage, settings=settings)


def measured() -> dict[str, str]:
    """What each 1-year figure measures, as `catalog/acs_tables.toml` defines it; see `acs_tables.measured`."""
    return acs_tables.measured("one_year")
