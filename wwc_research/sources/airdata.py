"""EPA AirData's yearly files, zipped or plain → checked rows of text, with every fault named.

In: `<stem>_<year>.zip` or `.csv`. Out: the columns asked for, one row a line, and numbers within bounds.
"""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from wwc_research.errors import DataError, Faults, InputError, WwcError, listed
from wwc_research.sources.archives import open_member, text_of
from wwc_research.sources.retrieval import Remote

AGAIN = "fetch it again, or take it from EPA's page of AirData files"
_SHOWN = 3
_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d{1,3})?", flags=re.ASCII)
# What a year's CSV may unpack to: the annual file of monitors, the largest of them, holds about 30 megabytes.
_LARGEST = 300_000_000


@dataclass(frozen=True, slots=True, kw_only=True)
class YearFile:
    """The rows of one year's file.

    Attributes
    ----------
    name
        File name, for messages.
    year
        The year in the name, which every row must carry.
    rows
        Columns as asked for, text without blanks around it, and `line`, the line of the file on which the row ends.
    passed_over
        Rows that were not wanted.
    """

    name: str
    year: int
    rows: pd.DataFrame
    passed_over: int


def yearly_remotes(
    years: Sequence[int], *, address: str, span: Sequence[int], largest_mb: float, where: str
) -> tuple[Remote, ...]:
    """One zip a year at `address`, a template with `{year}`; years outside `span` are an `InputError`."""
    first, last = int(span[0]), int(span[-1])
    odd = sorted({year for year in years if not first <= year <= last})
    if odd:
        raise InputError(f"{where}: no file of {listed(odd)}; EPA publishes {first} to {last}")
    urls = [(year, address.format(year=year)) for year in sorted(set(years))]
    largest = int(largest_mb * 1_000_000)
    return tuple(
        Remote(url=url, name=url.rsplit("/", 1)[1], kind="zip", largest=largest, year=year) for year, url in urls
    )


def yearly_files(folder: Path, stem: str) -> list[Path]:
    """The files `<stem>_<year>.zip` and `.csv` of a folder by name; none, or two of a year, is a `DataError`."""
    pattern = re.compile(rf"{re.escape(stem)}_\d{{4}}\.(zip|csv)")
    files = sorted(path for path in Path(folder).glob(f"{stem}_*") if pattern.fullmatch(path.name))
    if not files:
        raise DataError(f"{folder}: no file {stem}_<year>.csv or .zip")
    stems = [path.stem for path in files]
    twice = sorted({name for name in stems if stems.count(name) > 1})
    if twice:
        raise DataError(f"{folder}: {listed(twice)} both as .csv and .zip; keep one of each")
    return files


def read_year(
    path: Path,
    *,
    columns: Collection[str],
    faults: Faults,
    optional: Collection[str] = (),
    wanted: tuple[str, Collection[str]] | None = None,
) -> YearFile | None:
    """The file's rows, or None where it cannot be used; what is wrong with it is noted in `faults`.

    Parameters
    ----------
    path
        The name ends in `_<year>.zip` or `_<year>.csv`; a zip holds one CSV file.
    columns
        Columns that must be there; `Year` always must. Others are passed over.
    optional
        Columns taken along where the file has them.
    faults
        Collects: a page or nothing instead of a table, a damaged zip, columns that are missing or occur twice, lines
        with too few or too many fields, a year inside that is not the file's.
    wanted
        A column and the values of it to keep; the other rows are counted in `passed_over`.

    Notes
    -----
    Text is UTF-8 with or without a byte-order mark, or else Windows-1252: EPA's files have come as either.
    """
    path = Path(path)
    year = int(path.stem[-4:])
    text = _text(path, faults)
    if text is None:
        return None
    lines = csv.reader(io.StringIO(text, newline=""), strict=True)
    try:
        header = [name.strip() for name in next(lines, [])]
        if not _has_columns(header, {*columns, "Year"}, path.name, faults):
            return None
        held = [column for column in optional if column in header]
        return _rows(lines, header, path.name, year, list(dict.fromkeys([*columns, "Year", *held])), wanted, faults)
    except csv.Error as error:
        faults.add(f"{path.name}, line {lines.line_num:,}: cannot be read as CSV ({error}); {AGAIN}")
        return None


def numbers(
    file: YearFile, column: str, *, low: float, high: float, faults: Faults, blank: bool = False, whole: bool = False
) -> pd.Series:
    """The column as numbers from `low` to `high`; other texts and values are noted in `faults` and become NaN.

    `blank` allows an empty text, which is NaN; `whole` asks for whole numbers.
    """
    texts = file.rows[column].tolist()
    # "nan" and "inf" are words of Python's, not figures
    values = np.array([float(text) if _NUMBER.fullmatch(text) else np.nan for text in texts], dtype=float)
    empty = np.array([text == "" for text in texts], dtype=bool)
    missing = np.isnan(values)
    note(file, column, missing & ~empty, "no number", faults)
    if not blank:
        note(file, column, empty, "empty", faults)
    note(file, column, ~missing & ~((values >= low) & (values <= high)), f"not within {low:g} to {high:g}", faults)
    if whole:
        note(file, column, ~missing & (values % 1 != 0), "no whole number", faults)
    return pd.Series(values, index=file.rows.index)


def note(
    file: YearFile,
    column: str,
    wrong: pd.Series | np.ndarray,
    what: str,
    faults: Faults,
    *,
    told: Callable[[pd.Series], str] | None = None,
) -> None:
    """Note the rows marked in `wrong` as one fault: file, column, what is wrong, the first lines and their values."""
    marked = np.asarray(wrong, dtype=bool)
    if not marked.any():
        return
    rows = file.rows[marked]
    tell = told or (lambda row: f"'{row[column]}'")
    examples = [f"line {row['line']}: {tell(row)}" for _, row in rows.head(_SHOWN).iterrows()]
    rest = len(rows) - len(examples)
    more = f" and {rest:,} more" if rest else ""
    faults.add(f"{file.name}, {column}: {what} ({'; '.join(examples)}{more}); {AGAIN}")


def _text(path: Path, faults: Faults) -> str | None:
    try:
        if path.suffix == ".zip":
            with open_member(path, "*.csv", largest=_LARGEST) as stream:
                content = stream.read()
        else:
            content = path.read_bytes()
        start = content[:512].removeprefix(b"\xef\xbb\xbf").lstrip()
        if not start:
            faults.add(f"{path.name}: the file is empty; {AGAIN}")
        elif start.startswith(b"<"):
            faults.add(f"{path.name}: a web page, not a table (it begins {start[:40].decode('latin-1')!r}); {AGAIN}")
        else:
            return text_of(content, where=path.name)
    except WwcError as error:
        faults.add(str(error))
    return None


def _has_columns(header: list[str], needed: set[str], name: str, faults: Faults) -> bool:
    missing = sorted(needed - set(header))
    twice = sorted({column for column in header if header.count(column) > 1})
    if missing:
        faults.add(
            f"{name}: columns {listed(missing, limit=30)} are missing; found {listed(header, limit=60)}. "
            "EPA has changed its layout, or this is another file"
        )
    if twice:
        faults.add(f"{name}: columns {listed(twice)} occur more than once")
    return not missing and not twice


def _rows(
    lines: Any,
    header: list[str],
    name: str,
    year: int,
    columns: list[str],
    wanted: tuple[str, Collection[str]] | None,
    faults: Faults,
) -> YearFile | None:
    at = [header.index(column) for column in columns]
    where_year = header.index("Year")
    chosen = None if wanted is None else (header.index(wanted[0]), frozenset(wanted[1]))
    kept: list[list[str]] = []
    numbered: list[int] = []
    first_of: dict[str, int] = {}
    rows_of: dict[str, int] = {}
    ragged: list[int] = []
    passed_over = 0
    for fields in lines:
        if not fields:
            continue
        if len(fields) != len(header):
            ragged.append(lines.line_num)
            continue
        inside = fields[where_year].strip()
        first_of.setdefault(inside, lines.line_num)
        rows_of[inside] = rows_of.get(inside, 0) + 1
        if chosen is not None and fields[chosen[0]].strip() not in chosen[1]:
            passed_over += 1
            continue
        kept.append([fields[position].strip() for position in at])
        numbered.append(lines.line_num)
    if ragged:
        shown = listed([f"{line:,}" for line in ragged], limit=_SHOWN)
        faults.add(f"{name}: {len(ragged):,} lines do not have {len(header)} fields (line {shown}); {AGAIN}")
    if not rows_of and not ragged:
        faults.add(f"{name}: a header without rows; {AGAIN}")
    for other, count in rows_of.items():
        if other != str(year):
            line = first_of[other]
            faults.add(f"{name}, Year: {count:,} rows of '{other}' in the file of {year} (line {line:,}); {AGAIN}")
    if ragged or set(rows_of) != {str(year)}:
        return None
    rows = pd.DataFrame(kept, columns=columns, dtype=object).astype(str).assign(line=numbered)
    return YearFile(name=name, year=year, rows=rows, passed_over=passed_over)
