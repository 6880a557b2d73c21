"""Columns of a user's table under their types: numbers, whole numbers, cohorts, texts.

In: raw cells. Out: `Cells`, with NaN or None where a cell is empty; every fault noted with rows and values.
"""

from __future__ import annotations

import datetime
import re
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from wwc_research.errors import Faults, listed
from wwc_research.panel.tables import Flags, Table

MISSING_MARKS = frozenset({"", "na", "nan", "n/a", "#n/a", "null", "none", "<na>", "."})
MOST_CATEGORIES = 50
LARGEST = 1e100  # the square of anything larger may overflow

Floats = NDArray[np.float64]

_PLAIN_NUMBERS = (
    "Write plain numbers such as 1234.5, without signs or separators, and leave the cell empty where the value is "
    "missing."
)
_PERIODS = "Periods are counted in whole numbers, such as years."
_DATE = re.compile(r"\d{4}[-/.]\d{1,2}([-/.]\d{1,2}([T ].*)?)?|\d{1,2}[-/.]\d{1,2}[-/.](\d{4}|\d{2})")


@dataclass(frozen=True, slots=True, kw_only=True)
class Cells:
    """A column under its type.

    Attributes
    ----------
    values
        NaN or None where a cell is empty or unreadable.
    unreadable
        Cells that hold something which the type does not allow: a fault was noted for each.
    """

    values: NDArray[Any]
    unreadable: Flags


def is_missing(cell: Any) -> bool:
    """True for an empty cell or one of the usual marks of a missing value (NA, NaN, null, none, a dot)."""
    if isinstance(cell, str):
        return cell.strip().lower() in MISSING_MARKS
    return bool(pd.isna(cell))


def as_floats(cells: pd.Series) -> tuple[Floats, Flags]:
    """Cells as floats (NaN = empty), and flags of the cells that are neither empty nor a number."""
    if pd.api.types.is_bool_dtype(cells) or pd.api.types.is_numeric_dtype(cells):
        return cells.to_numpy(dtype=float, na_value=np.nan), np.zeros(len(cells), dtype=bool)
    values = np.full(len(cells), np.nan)
    bad = np.zeros(len(cells), dtype=bool)
    for position, cell in enumerate(cells.to_numpy(dtype=object)):
        if is_missing(cell):
            continue
        try:
            # Python reads "1_000" as a number; a spreadsheet does not
            values[position] = float("text" if "_" in str(cell) else cell)
        except (TypeError, ValueError):
            bad[position] = True
    return values, bad


def numbers(table: Table, column: str, *, faults: Faults, advice: str = _PLAIN_NUMBERS) -> Cells:
    """Finite floats of a column (NaN = empty); text and infinities are faults."""
    values, bad = as_floats(table.frame[column])
    if bad.any():
        faults.add(f"column {column!r}, {table.where(bad)}: {table.denial(column, bad, noun='number')}. {advice}")
    infinite = np.isinf(values)
    if infinite.any():
        faults.add(
            f"column {column!r}, {table.where(infinite)}: infinite values. "
            "Find the division by zero behind them, or leave the cells empty."
        )
    vast = ~infinite & (np.abs(values) > LARGEST)
    if vast.any():
        faults.add(
            f"column {column!r}, {table.where(vast)}: {table.values(column, vast)}, beyond any measurement. "
            "Leave the cell empty where the number stands for a missing value."
        )
    return Cells(values=np.where(infinite | vast, np.nan, values), unreadable=bad | infinite | vast)


def numbers_within(table: Table, column: str, *, limits: tuple[float, float, bool], faults: Faults) -> Cells:
    """Numbers of a column (NaN = empty) between two limits, the lower one included or not; others are faults."""
    low, high, is_low_allowed = limits
    read = numbers(table, column, faults=faults)
    outside = (read.values < low) | (read.values > high) | ((read.values == low) & (not is_low_allowed))
    if outside.any():
        wanted = f"{'at least' if is_low_allowed else 'above'} {low:g}"
        wanted += f" and at most {high:g}" if np.isfinite(high) else ""
        faults.add(
            f"column {column!r}, {table.where(outside)}: {table.values(column, outside)} where numbers {wanted} "
            "must stand. Correct them, or leave the cells empty."
        )
    return Cells(values=np.where(outside, np.nan, read.values), unreadable=read.unreadable | outside)


def whole_numbers(table: Table, column: str, *, faults: Faults) -> Cells:
    """Whole numbers of a column as floats (NaN = empty); anything else is a fault."""
    _, dates = as_floats(table.frame[column])
    dates[dates] = [_is_date(cell) for cell in table.frame[column].to_numpy(dtype=object)[dates]]
    if dates.any():
        what = "a date" if dates.sum() == 1 else "dates"
        faults.add(
            f"column {column!r}, {table.where(dates)}: {what} ({table.values(column, dates)}) where a whole number "
            "must stand. Give the year as a whole number, such as 2019."
        )
    read = numbers(_emptied(table, column, dates), column, faults=faults, advice=_PERIODS)
    broken = np.isfinite(read.values) & (read.values != np.round(read.values))
    if broken.any():
        denial = table.denial(column, broken, noun="whole number")
        faults.add(f"column {column!r}, {table.where(broken)}: {denial}. {_PERIODS}")
    return Cells(values=np.where(broken, np.nan, read.values), unreadable=read.unreadable | broken | dates)


def cohorts(table: Table, column: str, *, faults: Faults) -> Cells:
    """First exposed periods; NaN = never exposed, which a file writes as empty, 0 or inf."""
    values, _ = as_floats(table.frame[column])
    never = np.isposinf(values) | (values == 0)
    return whole_numbers(_emptied(table, column, never), column, faults=faults)


def texts(table: Table, column: str) -> Cells:
    """Cells as text without outer blanks (None = empty); codes keep their leading zeros.

    Whole numbers that a Parquet file stores as floats lose their ".0", so that 1001.0 is "1001".
    """
    cells = table.frame[column]
    if pd.api.types.is_float_dtype(cells):
        floats = cells.to_numpy(dtype=float, na_value=np.nan)
        values = [None if np.isnan(value) else f"{value:.15g}" for value in floats]
    else:
        values = [None if pd.isna(cell) or not str(cell).strip() else str(cell).strip() for cell in cells]
    return Cells(values=np.array(values, dtype=object), unreadable=np.zeros(len(values), dtype=bool))


def filled_texts(table: Table, column: str, *, role: str, faults: Faults) -> Cells:
    """Texts of a column that must be filled in every row; empty cells are a fault."""
    values = texts(table, column).values
    empty = np.array([value is None for value in values], dtype=bool)
    _note_empty(table, column, empty, role=role, faults=faults)
    return Cells(values=values, unreadable=empty)


def filled_whole_numbers(table: Table, column: str, *, role: str, faults: Faults) -> Cells:
    """Whole numbers of a column that must be filled in every row; empty cells are a fault."""
    read = whole_numbers(table, column, faults=faults)
    empty = _empty_cells(table, column)
    _note_empty(table, column, empty, role=role, faults=faults)
    return Cells(values=read.values, unreadable=read.unreadable | empty)


def positive_weights(table: Table, column: str, *, faults: Faults) -> Cells:
    """Weights above zero in every row; anything else is a fault."""
    read = numbers(table, column, faults=faults)
    empty = _empty_cells(table, column)
    _note_empty(table, column, empty, role="weight", faults=faults)
    low = read.values <= 0
    if low.any():
        faults.add(
            f"column {column!r}, {table.where(low)}: weights of {table.values(column, low)}. "
            "Weights must be above zero; take rows that should not count out of the file."
        )
    return Cells(values=read.values, unreadable=read.unreadable | empty | low)


def indicators(table: Table, column: str, *, faults: Faults) -> Cells:
    """1 for treated and 0 for not; also true and false. Anything else, and empty cells, are a fault."""
    words = {"true": 1.0, "false": 0.0}
    plain = table.frame[column].astype(object)
    plain = plain.map(lambda cell: words.get(cell.strip().lower(), cell) if isinstance(cell, str) else cell)
    values, bad = as_floats(plain)
    bad |= ~np.isnan(values) & ~np.isin(values, (0.0, 1.0))
    if bad.any():
        faults.add(
            f"column {column!r}, {table.where(bad)}: {table.values(column, bad)} "
            "where 1 (treated) or 0 (not treated) must stand."
        )
    empty = _empty_cells(table, column)
    _note_empty(table, column, empty, role="treatment", faults=faults)
    return Cells(values=np.where(bad, np.nan, values), unreadable=bad | empty)


def measures(table: Table, column: str, *, faults: Faults) -> Cells:
    """Numbers of a column that may have gaps (NaN); a column without any value is a fault."""
    read = numbers(table, column, faults=faults)
    if not read.unreadable.any() and np.isnan(read.values).all():
        faults.add(f"column {column!r} has no value in any row. Give a column that was measured.")
        return Cells(values=read.values, unreadable=np.ones(len(read.values), dtype=bool))
    return read


def measures_or_categories(table: Table, column: str, *, faults: Faults) -> Cells:
    """Floats, or texts where no cell of the column is a number; text among numbers is a fault."""
    _, bad = as_floats(table.frame[column])
    filled = ~_empty_cells(table, column)
    if not bad.any() or not bad[filled].all():
        return measures(table, column, faults=faults)
    values = texts(table, column).values
    values[~filled] = None
    categories = pd.unique(values[filled])
    many = len(categories) > MOST_CATEGORIES
    if many:
        faults.add(
            f"column {column!r} holds {len(categories):,} different texts "
            f"({listed(map(repr, categories), limit=3)}). "
            f"A covariate is a number or a category with at most {MOST_CATEGORIES} values."
        )
    return Cells(values=values, unreadable=filled & many)


def _is_date(cell: Any) -> bool:
    if isinstance(cell, str):
        return _DATE.fullmatch(cell.strip()) is not None
    return isinstance(cell, datetime.date | np.datetime64 | pd.Period)


def _emptied(table: Table, column: str, flags: Flags) -> Table:
    """The table with the flagged cells of a column empty, so that they are read as missing."""
    cells = table.frame[column].astype(object)
    return replace(table, frame=cells.mask(flags, None).to_frame()) if flags.any() else table


def _note_empty(table: Table, column: str, empty: Flags, *, role: str, faults: Faults) -> None:
    if empty.any():
        faults.add(
            f"column {column!r}, {table.where(empty)}: the {role} is empty. "
            f"Fill it in, or take {'this row' if empty.sum() == 1 else 'these rows'} out of the file."
        )


def _empty_cells(table: Table, column: str) -> Flags:
    return np.array([is_missing(cell) for cell in table.frame[column].to_numpy(dtype=object)], dtype=bool)
