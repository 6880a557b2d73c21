"""Columns of a user's table under their types: numbers, whole numbers, cohorts, texts.

In: raw cells. Out: arrays with NaN or None where a cell is empty; every fault noted with rows and values.
"""

from __future__ import annotations

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


def numbers(table: Table, column: str, *, faults: Faults) -> Floats:
    """Finite floats of a column (NaN = empty); text and infinities are faults and come back as NaN."""
    values, bad = as_floats(table.frame[column])
    if bad.any():
        faults.add(
            f"column {column!r}, {table.where(bad)}: {table.values(column, bad)} "
            f"{'is no number' if bad.sum() == 1 else 'are no numbers'}. Write plain numbers such as 1234.5, "
            "without signs or separators, and leave the cell empty where the value is missing."
        )
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
    return np.where(infinite | vast, np.nan, values)


def whole_numbers(table: Table, column: str, *, faults: Faults) -> Floats:
    """Whole numbers of a column as floats (NaN = empty); anything else is a fault and comes back as NaN."""
    values = numbers(table, column, faults=faults)
    broken = np.isfinite(values) & (values != np.round(values))
    if broken.any():
        faults.add(
            f"column {column!r}, {table.where(broken)}: {table.values(column, broken)} "
            f"{'is no whole number' if broken.sum() == 1 else 'are no whole numbers'}. "
            "Periods are counted in whole numbers, such as years."
        )
    return np.where(broken, np.nan, values)


def cohorts(table: Table, column: str, *, faults: Faults) -> Floats:
    """First exposed periods; NaN = never exposed, which a file writes as empty, 0 or inf."""
    values, _ = as_floats(table.frame[column])
    never = np.isposinf(values) | (values == 0)
    exposed = Table(
        frame=table.frame[column].astype(object).mask(never, None).to_frame(),
        rows=table.rows,
        name=table.name,
        format=table.format,
    )
    return whole_numbers(exposed, column, faults=faults)


def texts(table: Table, column: str) -> NDArray[np.object_]:
    """Cells as text without outer blanks (None = empty); codes keep their leading zeros.

    Whole numbers that a Parquet file stores as floats lose their ".0", so that 1001.0 is "1001".
    """
    cells = table.frame[column]
    if pd.api.types.is_float_dtype(cells):
        values = cells.to_numpy(dtype=float, na_value=np.nan)
        whole = [None if np.isnan(value) else f"{value:.15g}" for value in values]
        return np.array(whole, dtype=object)
    return np.array(
        [None if pd.isna(cell) or not str(cell).strip() else str(cell).strip() for cell in cells],
        dtype=object,
    )


def filled_texts(table: Table, column: str, *, role: str, faults: Faults) -> NDArray[np.object_]:
    """Texts of a column that must be filled in every row; empty cells are a fault."""
    values = texts(table, column)
    empty = np.array([value is None for value in values], dtype=bool)
    _note_empty(table, column, empty, role=role, faults=faults)
    return values


def filled_whole_numbers(table: Table, column: str, *, role: str, faults: Faults) -> Floats:
    """Whole numbers of a column that must be filled in every row; empty cells are a fault."""
    values = whole_numbers(table, column, faults=faults)
    _note_empty(table, column, _empty_cells(table, column), role=role, faults=faults)
    return values


def positive_weights(table: Table, column: str, *, faults: Faults) -> Floats:
    """Weights above zero in every row; anything else is a fault."""
    values = numbers(table, column, faults=faults)
    _note_empty(table, column, _empty_cells(table, column), role="weight", faults=faults)
    low = values <= 0
    if low.any():
        faults.add(
            f"column {column!r}, {table.where(low)}: weights of {table.values(column, low)}. "
            "Weights must be above zero; take rows that should not count out of the file."
        )
    return values


def indicators(table: Table, column: str, *, faults: Faults) -> Floats:
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
    _note_empty(table, column, _empty_cells(table, column), role="treatment", faults=faults)
    return np.where(bad, np.nan, values)


def measures(table: Table, column: str, *, faults: Faults) -> Floats:
    """Numbers of a column that may have gaps (NaN); a column without any value is a fault."""
    before = len(faults)
    values = numbers(table, column, faults=faults)
    if len(faults) == before and np.isnan(values).all():
        faults.add(f"column {column!r} has no value in any row. Give a column that was measured.")
    return values


def measures_or_categories(table: Table, column: str, *, faults: Faults) -> NDArray[Any]:
    """Floats, or texts where no cell of the column is a number; text among numbers is a fault."""
    _, bad = as_floats(table.frame[column])
    filled = ~_empty_cells(table, column)
    if not bad.any() or not bad[filled].all():
        return measures(table, column, faults=faults)
    values = texts(table, column)
    categories = pd.unique(values[filled])
    if len(categories) > MOST_CATEGORIES:
        faults.add(
            f"column {column!r} holds {len(categories):,} different texts "
            f"({listed(map(repr, categories), limit=3)}). "
            f"A covariate is a number or a category with at most {MOST_CATEGORIES} values."
        )
    values[~filled] = None
    return values


def _note_empty(table: Table, column: str, empty: Flags, *, role: str, faults: Faults) -> None:
    if empty.any():
        faults.add(
            f"column {column!r}, {table.where(empty)}: the {role} is empty. "
            "Fill it in, or take these rows out of the file."
        )


def _empty_cells(table: Table, column: str) -> Flags:
    return np.array([is_missing(cell) for cell in table.frame[column].to_numpy(dtype=object)], dtype=bool)
