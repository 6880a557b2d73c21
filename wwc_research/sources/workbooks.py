"""Publishers' Excel workbooks → rows. Two sources read the Census estimates, so its layout is known here.

In: `.xlsx` files as published. Out: cell values, and one row an incorporated place.
"""

from __future__ import annotations

import warnings
import zipfile
import zlib
from pathlib import Path
from typing import Any
from xml.etree.ElementTree import ParseError

import openpyxl
import pandas as pd
from openpyxl.utils.exceptions import InvalidFileException

from wwc_research.errors import DataError, listed
from wwc_research.sources.archives import members
from wwc_research.sources.places import state_postal

ESTIMATE_YEARS = tuple(range(2010, 2020))
# The largest workbook read here unpacks to some 15 MB; a bomb of a few kilobytes would unpack to gigabytes.
UNPACKED_LIMIT = 300_000_000
_DAMAGE = (
    zipfile.BadZipFile,
    zlib.error,
    InvalidFileException,
    ParseError,
    NotImplementedError,  # zipfile, for a compression it does not know
    OSError,
    EOFError,
    KeyError,
    IndexError,
    ValueError,
    TypeError,
    AttributeError,
)


def sheet_rows(path: Path) -> list[tuple[Any, ...]]:
    """Cell values of the first sheet, row by row (read-only mode: ten times faster than the default).

    Raises
    ------
    DataError
        If the file is no workbook (a web page, say), cut off, or unpacks to more than `UNPACKED_LIMIT` bytes.
    """
    path = Path(path)
    _refuse_other_files(path)
    try:
        with warnings.catch_warnings():
            # openpyxl warns of styles and extensions that it leaves aside; cell values are not among them
            warnings.simplefilter("ignore", UserWarning)
            book = openpyxl.load_workbook(path, read_only=True)
            try:
                sheet = book.worksheets[0]
                if sheet.max_row in (None, 1):
                    # some programs write a sheet's size wrongly, and reading stops there
                    sheet.reset_dimensions()
                return list(sheet.iter_rows(values_only=True))
            finally:
                book.close()
    except _DAMAGE as error:
        # the reader of workbooks fails in as many ways as a file can be damaged
        raise DataError(
            f"{path.name}: the workbook is cut off or damaged ({type(error).__name__}: {error}); fetch it again"
        ) from error


def _refuse_other_files(path: Path) -> None:
    """Raise a `DataError` unless the file is a zip, as every workbook is, and unpacks to a sane size."""
    if not path.is_file():
        raise DataError(f"{path}: no such file")
    with path.open("rb") as stream:
        head = stream.read(200)
    if not head.startswith(b"PK"):
        shown = " ".join(head.decode("latin-1").split())[:60]
        what = "is empty" if not head else f"begins with {shown!r}"
        raise DataError(
            f"{path.name}: this is no Excel workbook; it {what}. Publishers answer with a web page where a file has "
            "moved or a program is refused; fetch it again, or save the workbook from the publisher's page"
        )
    members(path, largest=UNPACKED_LIMIT)


def place_estimates(path: Path) -> pd.DataFrame:
    """`name`, `state` (postal) and one column of residents a year 2010-19 from SUB-IP-EST2019-ANNRES."""
    rows = sheet_rows(path)
    header = next((i for i, row in enumerate(rows) if row[3:13] == ESTIMATE_YEARS), None)
    if header is None:
        raise DataError(f"{path.name}: no row heads the columns 4 to 13 with the years 2010 to 2019")
    # Footnotes below the table fill the first column only.
    kept = [row for row in rows[header + 1 :] if len(row) > 12 and row[0] and isinstance(row[12], int | float)]
    frame = pd.DataFrame([(row[0], *row[3:13]) for row in kept], columns=["label", *ESTIMATE_YEARS])
    split = frame["label"].str.rsplit(",", n=1)
    frame["name"] = split.str[0].str.strip()
    frame["state"] = [state_postal(text) for text in split.str[1]]
    unknown = frame.loc[frame["state"].isna(), "label"]
    if len(unknown):
        raise DataError(f"{path.name}: no state in {listed(unknown)}")
    return frame.drop(columns="label")
