"""One file of the ACS table-based Summary File (pipe-delimited, all areas of the country) → rows of the areas wanted.

In: `acsdt1y2022-b28003.dat`. Out: header and text rows of whole places, counties or public-use microdata areas.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from wwc_research.errors import Faults, listed
from wwc_research.sources.acs_geographies import LEVELS, PLURAL


def read_rows(
    path: Path, *, geographies: Sequence[str], where: str, faults: Faults
) -> tuple[list[str], dict[str, pd.DataFrame]] | None:
    """Header, and a frame of text by geography; None where the file is no such table.

    The file is read line by line and only the wanted levels are kept: a 5-year file holds every block group.
    Parts of areas (urban, rural) are passed over; the first column is `GEO_ID` or, in early files, `#GEO_ID`.
    """
    kept: dict[str, list[list[str]]] = {geography: [] for geography in geographies}
    level = {LEVELS[geography]: geography for geography in geographies}
    uneven: list[int] = []
    with path.open(encoding="utf-8-sig", errors="replace") as lines:
        first = lines.readline().rstrip("\r\n")
        if first.lstrip().startswith("<"):
            faults.add(f"{where}: is an HTML page, not a table; the publisher answered with an error page. Fetch again")
            return None
        header = [name.strip().lstrip("#") for name in first.split("|")]
        if len(header) < 2:
            faults.add(f"{where}: its first line is no header divided by |: {first[:60]!r}")
            return None
        fields, number = header, 1
        for number, line in enumerate(lines, start=2):
            geography = level.get(line[:3])
            if geography is None or line[5:9] != "00US":
                continue
            fields = line.rstrip("\r\n").split("|")
            if len(fields) != len(header):
                uneven.append(number)
            kept[geography].append(fields)
        last = line if number > 1 else first
    if number > 1 and last.rstrip("\r\n").count("|") != len(header) - 1 and number not in uneven:
        uneven.append(number)
    if uneven:
        faults.add(
            f"{where}: {len(uneven):,} rows do not have the {len(header)} fields of the header (line "
            f"{listed(uneven, limit=3)} of {number:,}); the file is cut off or damaged. Fetch it again"
        )
        return None
    for geography, rows in kept.items():
        if not rows:
            faults.add(f"{where}: holds no row of {PLURAL[geography]} (summary level {LEVELS[geography]})")
    return header, {name: pd.DataFrame(rows, columns=header, dtype=object) for name, rows in kept.items() if rows}
