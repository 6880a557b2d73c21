"""Raw cells of a user's CSV or Parquet file, with the row numbers that a spreadsheet shows.

In: a path. Out: a `Table`; a file that is no table is refused with every reason.
"""

from __future__ import annotations

import csv
import gzip
import io
import re
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from wwc_research.errors import Faults, InputError, listed

Flags = NDArray[np.bool_]

_SEPARATORS = {";": "semicolons", "\t": "tabs", "|": "upright bars"}
_NESTED = (list, tuple, dict, set, np.ndarray, bytes)


@dataclass(frozen=True, slots=True, kw_only=True)
class Table:
    """Raw cells of one file.

    Attributes
    ----------
    frame
        Cells as read: text from CSV, typed values from Parquet.
    rows
        Number of each record: in a CSV file as a spreadsheet counts rows, the header being row 1; in Parquet, which
        has no header, counted from 1.
    name
        File name as the user knows it.
    format
        `csv` or `parquet`.
    encoding
        How the text was read; empty for Parquet.
    nested
        Columns whose cells are lists, records or bytes, so that no type fits them.
    """

    frame: pd.DataFrame
    rows: NDArray[np.int64]
    name: str
    format: str
    encoding: str = ""
    nested: frozenset[str] = frozenset()

    def where(self, flags: Flags) -> str:
        """The rows that are flagged, in words: `row 3`, `rows 3, 9 and 12`, in Parquet `data row 2`."""
        numbers = self.rows[flags]
        spoken = "data row" if self.format == "parquet" else "row"
        return f"{spoken}{'s' * (len(numbers) != 1)} {listed(f'{number}' for number in numbers)}"

    def values(self, column: str, flags: Flags) -> str:
        """The distinct flagged cells of a column, quoted, in order of appearance."""
        cells = self._distinct(column, flags)
        return listed((repr(cell) if isinstance(cell, str) else str(cell) for cell in cells), limit=5)

    def denial(self, column: str, flags: Flags, *, noun: str) -> str:
        """What the flagged cells are not: `'x' is no number`, `'x' and 'y' are no numbers`."""
        many = len(self._distinct(column, flags)) > 1
        return f"{self.values(column, flags)} {f'are no {noun}s' if many else f'is no {noun}'}"

    def _distinct(self, column: str, flags: Flags) -> NDArray[np.object_]:
        return np.asarray(pd.unique(self.frame[column].astype(object)[flags]), dtype=object)


def read_table(path: str | Path) -> Table:
    """Raw cells of a CSV or Parquet file.

    CSV is separated by commas, in UTF-8 (with byte order mark or without), UTF-16 or else Latin-1, and may be
    compressed with gzip. The content decides the format, not the name of the file.

    Raises
    ------
    InputError
        If the file is missing, not on this computer, empty, has only a header, is no table, is separated by
        another sign, repeats a column name, or has rows with more or fewer cells than the header.
    """
    path = Path(path)
    if not path.is_file():
        _refuse_absent(path)
    try:
        content = path.read_bytes()
        if content.startswith(b"\x1f\x8b"):
            content = gzip.decompress(content)
    except PermissionError as error:
        raise InputError(f"{path}: may not be read. Change its permissions or copy it.") from error
    except (OSError, EOFError, zlib.error) as error:
        raise InputError(f"{path}: is a damaged gzip file ({error}). Fetch or compress it again.") from error
    if not content.strip():
        raise InputError(f"{path.name}: the file is empty. It needs a header row and one row a record.")
    if content.startswith(b"PAR1"):
        return _parquet_table(content, name=path.name)
    if content.startswith((b"PK\x03\x04", b"\xd0\xcf\x11\xe0")):
        raise InputError(f"{path.name}: is a workbook or archive. Save the sheet as CSV (UTF-8) or Parquet.")
    return _csv_table(content, name=path.name)


def _refuse_absent(path: Path) -> None:
    # A path keeps one of the two slashes of an address; a drive of Windows has one letter only.
    address = re.match(r"([A-Za-z][A-Za-z0-9+.-]+):/+", str(path))
    if address:
        whole = str(path).replace(address[0], f"{address[1]}://", 1)
        raise InputError(f"{whole}: files must be on this computer. Download it, and give the path of the copy.")
    what = "is a folder" if path.is_dir() else "is no regular file" if path.exists() else "no such file"
    raise InputError(f"{path}: {what}. Give the path of a CSV or Parquet file.")


def _parquet_table(content: bytes, *, name: str) -> Table:
    import pyarrow as pa

    try:
        frame = pd.read_parquet(io.BytesIO(content))
    except (pa.ArrowException, OSError, ValueError) as error:
        raise InputError(f"{name}: cannot be read as Parquet ({error}). Write the file again.") from error
    if any(label is not None for label in frame.index.names):
        frame = frame.reset_index()
    frame.columns = [str(label).strip() for label in frame.columns]
    frame = frame.reset_index(drop=True)
    if frame.empty:
        raise InputError(f"{name}: the table has no rows. It needs one row a record.")
    faults = Faults(where=name)
    _note_repeated_names(list(frame.columns), faults=faults)
    faults.raise_if_any()
    nested = frozenset(
        label
        for label in frame.columns
        if frame[label].dtype == object and any(isinstance(cell, _NESTED) for cell in frame[label])
    )
    return Table(frame=frame, rows=np.arange(1, len(frame) + 1), name=name, format="parquet", nested=nested)


def _decoded(content: bytes, *, name: str) -> tuple[str, str]:
    if content.startswith((b"\xff\xfe", b"\xfe\xff")):
        encodings: tuple[tuple[str, str], ...] = (("utf-16", "UTF-16"),)
    elif content.startswith(b"\xef\xbb\xbf"):
        encodings = (("utf-8-sig", "UTF-8 with byte order mark"), ("latin-1", "Latin-1"))
    else:
        encodings = (("utf-8", "UTF-8"), ("latin-1", "Latin-1"))
    for codec, label in encodings:
        try:
            text = content.decode(codec)
        except UnicodeDecodeError:
            continue
        if "\x00" not in text:
            return text, label
    raise InputError(f"{name}: is neither CSV nor Parquet. Save the table in one of the two.")


def _csv_table(content: bytes, *, name: str) -> Table:
    text, encoding = _decoded(content, name=name)
    try:
        records = list(csv.reader(io.StringIO(text, newline=""), strict=False))
    except csv.Error as error:
        raise InputError(f"{name}: cannot be read as CSV ({error}). Save the table again as CSV.") from error
    _refuse_other_separator(text, n_header=len(records[0]), name=name)
    header = [label.strip() for label in records[0]]
    kept = [(row, record) for row, record in enumerate(records[1:], start=2) if any(map(str.strip, record))]
    faults = Faults(where=name)
    if not header or not any(header):
        faults.add("the first row is empty. It must hold the column names.")
    _note_repeated_names(header, faults=faults)
    if not kept:
        faults.add("the file has a header and no rows. It needs one row a record.")
    uneven = [(row, len(record)) for row, record in kept if len(record) != len(header)]
    if uneven:
        found = listed((f"row {row} has {cells}" for row, cells in uneven), limit=5)
        faults.add(
            f"the header has {len(header)} cells, but {found}. "
            "Put texts that contain a comma in double quotes, and fill short rows with commas."
        )
    faults.raise_if_any()
    frame = pd.DataFrame([record for _, record in kept], columns=header, dtype=object)
    rows = np.array([row for row, _ in kept], dtype=np.int64)
    return Table(frame=frame, rows=rows, name=name, format="csv", encoding=encoding)


def _refuse_other_separator(text: str, *, n_header: int, name: str) -> None:
    """Refuse a file whose header falls into more cells by another sign than by commas, and whose rows agree."""
    first_line = text.split("\n", maxsplit=1)[0]
    for mark in (mark for mark in _SEPARATORS if mark in first_line):
        records = list(csv.reader(io.StringIO(text, newline=""), delimiter=mark))
        cells = len(records[0])
        agree = all(len(record) == cells for record in records if any(map(str.strip, record)))
        if cells > n_header and (agree or n_header == 1):
            decimal = any(re.fullmatch(r"\s*-?\d+,\d+\s*", cell) for record in records[1:] for cell in record)
            points = ", and with points in the numbers (1.5, not 1,5)" if decimal else ""
            raise InputError(
                f"{name}: the cells are separated by {_SEPARATORS[mark]}, where commas must stand. "
                f"Save the table again as CSV with commas between the cells{points}."
            )


def _note_repeated_names(header: Sequence[str], *, faults: Faults) -> None:
    repeated = sorted({label for label in header if label and header.count(label) > 1})
    for label in repeated:
        places = listed(position for position, other in enumerate(header, start=1) if other == label)
        faults.add(f"column name {label!r} stands over columns {places}. Rename all but one.")
