"""Publishers' Excel workbooks → rows. Two sources read the Census estimates, so its layout is known here.

In: `.xlsx` files as published. Out: cell values, and one row an incorporated place.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import openpyxl
import pandas as pd

from wwc_research.errors import DataError, listed
from wwc_research.sources.places import state_postal

ESTIMATE_YEARS = tuple(range(2010, 2020))


def sheet_rows(path: Path) -> list[tuple[Any, ...]]:
    """Cell values of the first sheet, row by row (read-only mode: ten times faster than the default)."""
    book = openpyxl.load_workbook(path, read_only=True)
    try:
        return list(book.worksheets[0].iter_rows(values_only=True))
    finally:
        book.close()


def place_estimates(path: Path) -> pd.DataFrame:
    """`name`, `state` (postal) and one column of residents a year 2010-19 from SUB-IP-EST2019-ANNRES."""
    rows = sheet_rows(path)
    header = next((i for i, row in enumerate(rows) if row[3:13] == ESTIMATE_YEARS), None)
    if header is None:
        raise DataError(f"{path.name}: no row heads the columns 4 to 13 with the years 2010 to 2019")
    # Footnotes below the table fill the first column only.
    kept = [row for row in rows[header + 1 :] if row[0] and isinstance(row[12], int | float)]
    frame = pd.DataFrame([(row[0], *row[3:13]) for row in kept], columns=["label", *ESTIMATE_YEARS])
    split = frame["label"].str.rsplit(",", n=1)
    frame["name"] = split.str[0].str.strip()
    frame["state"] = [state_postal(text) for text in split.str[1]]
    unknown = frame.loc[frame["state"].isna(), "label"]
    if len(unknown):
        raise DataError(f"{path.name}: no state in {listed(unknown)}")
    return frame.drop(columns="label")
