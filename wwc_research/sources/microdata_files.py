"""A microdata file of the American Community Survey → batches of checked numbers, whatever its size.

In: a zip of CSV members of the Census Bureau, or one CSV, plain or gzipped. Out: record batches in file order.
"""

from __future__ import annotations

import csv
import gzip
import re
import zlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import IO

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv as pacsv

from wwc_research.errors import DataError, InputError, listed
from wwc_research.sources import archives
from wwc_research.sources.archives import open_member
from wwc_research.sources.places import STATE_CODE

# ss16pwa.csv and ss16pusa.csv until 2016, psam_p53.csv and psam_pusa.csv from 2017; h in place of p for housing.
_MEMBER = re.compile(
    r"(?:.*/)?(?:ss(?P<year>\d\d)|psam_)(?P<kind>[ph])(?P<area>us[a-d]|[a-z]{2}|\d\d)\.csv", re.IGNORECASE
)
LARGEST_MEMBER = 6_000_000_000
BLOCK_BYTES = 2_000_000
# R writes NA where the publisher leaves a blank.
_BLANK = ("", "NA")
_OTHER_NAMES = {"STATE": "ST"}  # the state's column from 2023
_TEXT = "SERIALNO"
_SHOWN = 3
AGAIN = "fetch it again"


@dataclass(frozen=True, slots=True, kw_only=True)
class Member:
    """One CSV of a microdata file.

    Attributes
    ----------
    label
        File and member, for messages.
    header
        Column names in capitals, the state's column always `ST`.
    year
        Year in the member's name; None where the name has none (from 2017).
    state
        Two-digit code in the member's name; None for a part of the country or another name.
    opened
        Opens the bytes anew.
    """

    label: str
    header: tuple[str, ...]
    year: int | None
    state: str | None
    opened: Callable[[], AbstractContextManager[IO[bytes]]]


def members(path: Path, *, kind: str = "p") -> tuple[Member, ...]:
    """The CSV members of a file with their headers; `kind` is `p` (persons) or `h` (housing).

    Raises
    ------
    DataError
        If the file is no such archive, holds no member of the kind, or a header cannot be read.
    """
    path = Path(path)
    if not path.is_file():
        raise InputError(f"{path}: no such file")
    if path.suffix.lower() != ".zip":
        return (_member(path.name, match=None, opened=partial(_plain, path)),)
    names = [entry.name for entry in archives.members(path)]
    found = [(name, match) for name in names if (match := _MEMBER.fullmatch(name))]
    wanted = [(name, match) for name, match in found if match["kind"].lower() == kind]
    if not wanted:
        raise DataError(
            f"{path.name}: holds no file of {'persons' if kind == 'p' else 'housing units'} "
            f"(psam_{kind}<state>.csv, before 2017 ss<year>{kind}<state>.csv); it holds {listed(names)}"
        )
    return tuple(
        _member(
            f"{path.name}, {name}",
            match=match,
            opened=partial(open_member, path, name, largest=LARGEST_MEMBER),
        )
        for name, match in wanted
    )


@contextmanager
def _plain(path: Path) -> Iterator[IO[bytes]]:
    """The bytes of a CSV outside a zip; damage to a gzipped one is a `DataError`."""
    try:
        with gzip.open(path, "rb") if path.suffix.lower() == ".gz" else path.open("rb") as stream:
            yield stream  # type: ignore[misc]  # a GzipFile reads as a binary file does
    except (OSError, EOFError, zlib.error) as error:
        raise DataError(f"{path}: breaks off or is damaged ({error}); {AGAIN}") from error


def _member(
    label: str, *, match: re.Match[str] | None, opened: Callable[[], AbstractContextManager[IO[bytes]]]
) -> Member:
    with opened() as stream:
        line = stream.readline(1_000_000)
    text = line.decode("utf-8-sig", errors="replace").strip()
    names = tuple(name.strip().upper() for name in next(csv.reader([text]), []))
    if text.startswith("<") or len(names) < 2:
        raise DataError(f"{label}: is no table with a header; it begins with {text[:60]!r}. {AGAIN.capitalize()}")
    year = 2000 + int(match["year"]) if match and match["year"] else None
    area = match["area"].upper() if match else ""
    state = area if area.isdigit() else STATE_CODE.get(area)
    return Member(
        label=label,
        header=tuple(_OTHER_NAMES.get(name, name) for name in names),
        year=year,
        state=state,
        opened=opened,
    )


def missing_columns(member: Member, columns: Sequence[str]) -> list[str]:
    """Those of `columns` that the member's header lacks, in order."""
    return [name for name in columns if name not in member.header]


def batches(member: Member, *, columns: Sequence[str], fault: Callable[[str], None]) -> Iterator[pa.RecordBatch]:
    """The named columns in batches of some thousand rows: `SERIALNO` as text, all others whole numbers or null.

    One block of the file is held at a time, so memory does not grow with the rows. Lines with another number of
    fields, and cells that are no whole number, are told to `fault` with line and value, all of the member.

    Yields
    ------
    RecordBatch
        Columns in the order of `columns`. After a cell that is no number no further batch comes.
    """
    odd_lines: list[str] = []

    def odd(row: pacsv.InvalidRow) -> str:
        odd_lines.append(f"{row.actual_columns} fields, {row.expected_columns} expected: {(row.text or '')[:40]!r}")
        return "skip"

    numbers = {name: pa.string() if name == _TEXT else pa.int32() for name in columns}
    try:
        with member.opened() as stream:
            yield from _stream(stream, member, numbers, odd=odd)
    except pa.ArrowInvalid as error:
        _name_cells(member, columns, fault, reason=str(error))
    if odd_lines:
        fault(f"{len(odd_lines):,} lines are not of the header's width: {listed(odd_lines, limit=_SHOWN)}; {AGAIN}")


def _stream(
    stream: IO[bytes], member: Member, types: dict[str, pa.DataType], *, odd: Callable[[pacsv.InvalidRow], str]
) -> Iterator[pa.RecordBatch]:
    """Batches of a CSV stream by the member's own header; an empty table yields nothing."""
    names = list(member.header)
    first = {name: names.index(name) for name in types}
    # pyarrow finds columns by name: any second column of a name, and all that is not wanted, must not be in its way.
    labels = [name if first.get(name) == position else f"#{position}" for position, name in enumerate(names)]
    try:
        reader = pacsv.open_csv(
            stream,
            read_options=pacsv.ReadOptions(column_names=labels, skip_rows=1, block_size=BLOCK_BYTES, use_threads=False),
            parse_options=pacsv.ParseOptions(invalid_row_handler=odd),
            convert_options=pacsv.ConvertOptions(
                include_columns=list(types),
                column_types=types,
                null_values=list(_BLANK),
                strings_can_be_null=True,
                check_utf8=False,
            ),
        )
    except pa.ArrowInvalid as error:
        if "Empty CSV" in str(error):
            return
        raise
    yield from reader


def _name_cells(member: Member, columns: Sequence[str], fault: Callable[[str], None], *, reason: str) -> None:
    """A second, slower pass over a member with bad cells, so that the message names them all by column."""
    bad: dict[str, list[str]] = {}
    counts: dict[str, int] = {}
    line = 1
    numeric = [name for name in columns if name != _TEXT]
    with member.opened() as stream:
        for batch in _stream(stream, member, dict.fromkeys(numeric, pa.string()), odd=lambda row: "skip"):
            for name in numeric:
                column = batch.column(name)
                wrong = pc.invert(pc.match_substring_regex(column, r"^\s*-?\d{1,9}\s*$"))
                rows = pc.indices_nonzero(pc.fill_null(wrong, False)).to_pylist()
                counts[name] = counts.get(name, 0) + len(rows)
                shown = bad.setdefault(name, [])
                shown += [f"line {line + row + 1:,}: {column[row].as_py()!r}" for row in rows[: _SHOWN - len(shown)]]
            line += batch.num_rows
    found = {name: count for name, count in counts.items() if count}
    if not found:
        fault(f"cannot be read: {reason}; {AGAIN}")
    for name, count in found.items():
        fault(f"{count:,} values of {name} are no whole numbers ({listed(bad[name])})")
