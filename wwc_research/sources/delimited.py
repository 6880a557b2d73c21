"""Publishers' delimited text → cells as text, whatever its separator; damage is one clear error.

In: the bytes of a file. Out: a frame of text cells, with the line of the file as its index.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence

import numpy as np
import pandas as pd

from wwc_research.errors import DataError, Faults, listed
from wwc_research.sources.archives import text_of

AGAIN = "fetch it again, or look at the publisher's page for a new layout"
_SHOWN = 3
# A decimal comma must not be taken for one between thousands.
_NUMBER = r"[+-]?(?:[0-9]{1,3}(?:,[0-9]{3})+|[0-9]*)(?:\.[0-9]*)?(?:[eE][+-]?[0-9]{1,3})?"


def text_table(
    content: bytes,
    *,
    where: str,
    separators: Sequence[str],
    required: Sequence[str],
    keep: Sequence[str] | None = None,
) -> pd.DataFrame:
    """The cells of a delimited file: upper-case column names, stripped text, the line of the file as index.

    Parameters
    ----------
    content
        The file as it came.
    where
        The file as the user knows it.
    separators
        Those that the publisher has used; the one that splits the header into most columns counts.
    required
        Columns without which the file cannot be read. Further columns are kept.
    keep
        Columns that are kept, as far as they are there; a wide table costs time and memory. All if left out.

    Raises
    ------
    DataError
        If it is empty, a web page, has no such columns, a column twice, or lines of another length.
    """
    text = text_of(content, where=where)
    if not text.strip():
        raise DataError(f"{where}: the file is empty; {AGAIN}")
    if text.lstrip()[:1] == "<":
        shown = " ".join(text.split())[:60]
        raise DataError(f"{where}: a web page came instead of the table ({shown!r}); {AGAIN}")
    top = text.lstrip("\r\n").split("\n", 1)[0]
    separator = max(separators, key=top.count)
    stream = io.StringIO(text, newline="")
    reader = csv.reader(stream) if separator == "," else csv.reader(stream, delimiter=separator, quoting=csv.QUOTE_NONE)
    lines: list[int] = []
    rows: list[list[str]] = []
    try:
        for row in reader:
            if any(cell.strip() for cell in row):
                lines.append(reader.line_num)
                rows.append(row)
    except csv.Error as error:
        raise DataError(f"{where}, line {reader.line_num}: cannot be read as a table ({error}); {AGAIN}") from error
    header = [cell.strip().upper() for cell in rows[0]]
    _check_shape(header, rows, lines, where=where, required=required)
    if keep is not None:
        at = [place for place, name in enumerate(header) if name in set(keep)]
        header, rows = [header[place] for place in at], [[row[place] for place in at] for row in rows]
    frame = pd.DataFrame(rows[1:], columns=header, index=pd.Index(lines[1:], name="line"), dtype=object)
    return frame.apply(lambda column: column.str.strip()) if len(frame) else frame


def _check_shape(
    header: list[str], rows: list[list[str]], lines: list[int], *, where: str, required: Sequence[str]
) -> None:
    faults = Faults(where, kind=DataError)
    missing = [column for column in required if column not in header]
    if missing:
        faults.add(
            f"columns {listed(missing, limit=30)} are missing; found {listed(header, limit=40)}; expected "
            f"{listed(required, limit=40)}. {AGAIN.capitalize()}"
        )
    twice = sorted({column for column in header if header.count(column) > 1})
    if twice:
        faults.add(f"columns {listed(twice)} occur more than once")
    ragged = [(line, len(row)) for line, row in zip(lines[1:], rows[1:], strict=True) if len(row) != len(header)]
    if ragged and not missing:
        shown = listed([f"line {line} has {count}" for line, count in ragged], limit=_SHOWN)
        faults.add(f"the header has {len(header)} columns; {shown}. The file is cut off or damaged; {AGAIN}")
    faults.raise_if_any()


def parsed(cells: pd.Series) -> pd.Series:
    """Text cells as finite floats, NaN for any other text; a comma must stand before three digits, as in 1,234,567."""
    plain = cells.where(cells.str.fullmatch(_NUMBER).astype(bool), "")
    values = pd.to_numeric(plain.str.replace(",", "", regex=False), errors="coerce").astype(float)
    return values.where(np.isfinite(values))


def numbers(
    cells: pd.Series, *, faults: Faults, missing: Sequence[str] = (), whole: bool = True, least: float = 0.0
) -> pd.Series:
    """Text cells as floats, NaN for those that stand for nothing; others that are no number become a fault.

    Parameters
    ----------
    cells
        Text of one column; its name and the lines in its index go into the message.
    missing
        Cells that the publisher writes where there is no figure.
    whole
        Whether only whole numbers are right.
    least
        The smallest right value.
    """
    values = parsed(cells)
    wrong = values.isna() & ~cells.isin(list(missing))
    wrong |= values < least
    if whole:
        wrong |= values.notna() & (values % 1 != 0)
    if wrong.any():
        shown = listed([f"{cell!r} in line {line}" for line, cell in cells[wrong].head(_SHOWN).items()])
        kind = "whole numbers" if whole else "numbers"
        faults.add(f"{cells.name}: {int(wrong.sum()):,} cells are no {kind} of {least:g} or more: {shown}")
    return values.mask(wrong)
