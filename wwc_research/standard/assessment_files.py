"""Assessment files (CSV, Excel; long or wide) become `Responses`, and `Scores` become a file only its owner can read.

All faults of a file come in one message, by row; cities that were resolved are never named in it.
"""

from __future__ import annotations

import csv
import io
import json
import os
import re
import warnings
import zipfile
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime
from pathlib import Path
from typing import Any, Literal

import numpy as np

from wwc_research.atomic import written_whole
from wwc_research.catalog.editions import Criterion, Edition, folded
from wwc_research.errors import Faults, InputError, listed
from wwc_research.sources.certification import COUNTRY_PREFIX, foreign_id
from wwc_research.sources.places import Match, Places
from wwc_research.standard.cells import KINDS, OWN_OUTCOME, Answer, Heads, Kind, Texts, own_standing
from wwc_research.standard.responses import Responses
from wwc_research.standard.scoring import Scores

# The first of these that is filled decides which city a row is about.
_PLACE = ("placeid", "place", "placeorname", "name", "city")
_STATE, _DATE, _CRITERION, _EDITION = "state", "assessedon", "criterion", "edition"
# Stands for a criterion that does not exist, so that the answer beside it is checked in the same pass.
_ANY = Criterion(id="", practice="", name="")
_SHOWN = 20


@dataclass(frozen=True, slots=True, kw_only=True)
class _Sheet:
    """Cells of a file as text, with the row numbers that a spreadsheet shows."""

    header: tuple[str, ...]
    rows: tuple[tuple[int, tuple[str, ...]], ...]

    def column(self, folded_name: str) -> int | None:
        keys = [folded(label) for label in self.header]
        return keys.index(folded_name) if folded_name in keys else None


class _ByRow:
    """Faults gathered by what is wrong, so that one fault of a hundred rows is one line."""

    def __init__(self, where: str) -> None:
        self.faults = Faults(where)
        self._rows: dict[str, list[int]] = {}

    def add(self, text: str, *, row: int) -> None:
        rows = self._rows.setdefault(text, [])
        if row not in rows[-1:]:
            rows.append(row)

    def raise_if_any(self) -> None:
        for text, rows in sorted(self._rows.items(), key=lambda item: item[1][0]):
            self.faults.add(f"row{'s' * (len(rows) > 1)} {listed(rows, limit=_SHOWN)}: {text}")
        self.faults.raise_if_any()


def read_assessments(path: str | Path, *, edition: Edition, places: Places) -> Responses:
    """The responses in a CSV or Excel file, checked whole.

    Long layout: columns place, assessed_on, criterion, response, a row an answer. Wide layout: place, assessed_on and
    a column a criterion, a row an assessment. The first row is the header; capitals, spaces and signs do not matter.
    `place` (also place_id, name or city) is `Name, ST`, a 7-digit code, abroad `Name, Country` or a code such as
    `CO-bogota`; a column `state` may stand beside it. `assessed_on` is 2023-06-21, 2023-06 or 2023. Criteria go by
    id, alias or name. Responses are met / not met / not assessed, yes / no, true / false, 1 / 0 / blank. A column
    `edition`, where there is one, must agree. A criterion that is not in the file was not assessed.

    Points and evidence may stand beside responses: long, in columns `points` and `evidence`; wide, in columns such as
    `DM1 points` and `DM1 evidence`. Points run from 0 to what the criterion is worth, whole where that is whole; all of
    them say met, fewer not met, so a response may be left out, and one that says otherwise is a fault. Evidence is
    yes / no (accepted / not accepted); blank says nothing. See `score` for what counts.

    An outcome of the city's own choice, where the edition knows one, is handed in as staff judge it: demonstrated /
    not demonstrated / cannot tell, wide in a column `own_outcome`, long in a row whose criterion is `own_outcome`.

    Raises
    ------
    InputError
        With every fault of the file, by row. Only a place that could not be resolved is quoted, since it could not be
        put right otherwise; no city that was resolved, and no readable response, stands in the message.
    """
    path = Path(path)
    faults = _ByRow(path.name)
    sheet = _read_sheet(path, faults)
    names = [name for name in _PLACE if sheet.column(name) is not None]
    answers = ("response",) if sheet.column("points") is None else ()
    is_long = any(sheet.column(name) is not None for name in (_CRITERION, "response"))
    wanted = (_DATE, _CRITERION, *answers) if is_long else (_DATE,)
    spoken = {_DATE: "assessed_on"}
    absent = ([] if names else ["place"]) + [spoken.get(name, name) for name in wanted if sheet.column(name) is None]
    if absent:
        faults.faults.add(
            f"no column {listed(absent)}; the file has {listed(map(repr, sheet.header), limit=_SHOWN)}. Give place, "
            "assessed_on, criterion and response, or place, assessed_on and a column a criterion."
        )
    faults.raise_if_any()
    keys = _Keys(sheet, place=names, edition=edition, places=places, faults=faults)
    read = _long_cells if is_long else _wide_cells
    cells = read(sheet, keys, edition=edition, faults=faults)
    faults.raise_if_any()
    return _responses(cells, keys, edition=edition)


class _Keys:
    """City and date of each row; a row whose city or date is faulty has none."""

    def __init__(self, sheet: _Sheet, *, place: list[str], edition: Edition, places: Places, faults: _ByRow) -> None:
        self.shown: dict[str, str] = {}
        self._resolved: dict[tuple[str, str], str | None] = {}
        self._why: dict[tuple[str, str], str] = {}
        self.of_row: dict[int, tuple[str, str]] = {}
        columns = [position for name in place if (position := sheet.column(name)) is not None]
        state, day, said = (sheet.column(name) for name in (_STATE, _DATE, _EDITION))
        assert day is not None  # read_assessments has refused otherwise
        for row, cells in sheet.rows:
            text = (next((cells[at] for at in columns if cells[at]), ""), "" if state is None else cells[state])
            place_id = self._place(text, places)
            if place_id is None:
                faults.add(self._why[text], row=row)
            when = _date(cells[day])
            if when is None:
                faults.add(f"assessed_on {cells[day]!r} is no date; write it as 2023-06-21, 2023-06 or 2023", row=row)
            if said is not None and cells[said] and folded(cells[said]) != folded(edition.name):
                faults.add(f"edition {cells[said]!r} is not {edition.name}; score each edition by itself", row=row)
            if place_id is not None and when is not None:
                self.of_row[row] = (place_id, when)

    def _place(self, text: tuple[str, str], places: Places) -> str | None:
        if text not in self._resolved:
            found = _resolve(*text, places=places)
            self._resolved[text] = None if found is None or isinstance(found, str) else found[0]
            if isinstance(found, tuple):
                self.shown[found[0]] = found[1]
            else:
                self._why[text] = found or "no place; give its name and state, or its code"
        return self._resolved[text]


def _resolve(text: str, state: str, *, places: Places) -> tuple[str, str] | str | None:
    """`place_id` and name of a city; else what is wrong with the text, None where it is blank."""
    if not text:
        return None
    if re.fullmatch(r"[A-Z]{2}-[a-z0-9][a-z0-9-]*", text) and text[:2] in COUNTRY_PREFIX.values():
        return text, text
    name, _, country = (part.strip() for part in text.rpartition(","))
    country = state or country
    abroad = {folded(known): known for known in COUNTRY_PREFIX}.get(folded(country))
    if abroad and (name or state):
        own = text if state else name
        return foreign_id(own, abroad), f"{own}, {abroad}"
    found = places.resolve(text, state=state or None)
    if isinstance(found, Match):
        return found.place_id, places.name(found.place_id)
    if re.fullmatch(r"\d{6}", text) and f"0{text}" in places:
        return f"{text!r} has six digits, so a leading zero is lost; write it as text: 0{text}"
    return found.sentence()


def _date(text: str) -> str | None:
    """The date as it stands, if it is one that exists; years and months may stand alone."""
    if not re.fullmatch(r"\d{4}(-\d{2}(-\d{2})?)?", text):
        return None
    try:
        date.fromisoformat(text + "2000-01-01"[len(text) :])
    except ValueError:
        return None
    return text


@dataclass(slots=True)
class _Cells:
    """Answers by assessment and criterion, and the own outcome by assessment."""

    answers: dict[tuple[tuple[str, str], str], Answer] = field(default_factory=dict)
    own_outcomes: dict[tuple[str, str], str] = field(default_factory=dict)


def _long_cells(sheet: _Sheet, keys: _Keys, *, edition: Edition, faults: _ByRow) -> _Cells:
    """Answers from rows of one answer each; a row whose criterion is `own_outcome` holds that judgement."""
    heads = Heads(edition)
    columns = {kind: at for kind in KINDS if (at := sheet.column(kind)) is not None}
    criterion = sheet.column(_CRITERION)
    assert criterion is not None  # read_assessments has refused otherwise
    found = _Cells()
    first: dict[tuple[tuple[str, str], str], int] = {}
    for row, values in sheet.rows:
        said: list[str] = []
        texts = {kind: values[at] for kind, at in columns.items()}
        is_own = folded(values[criterion]) == OWN_OUTCOME
        id_ = OWN_OUTCOME if is_own else heads.criterion(values[criterion])
        own, answer = "", Answer()
        if is_own:
            own = own_standing(texts.get("response", ""), edition, faults=said)
        elif id_ is None:
            said.append(heads.unknown(values[criterion]))
            Texts(response=texts.get("response", "")).answer(_ANY, faults=said)
        else:
            answer = Texts(**texts).answer(edition.criteria[id_], faults=said)
        for text in said:
            faults.add(text, row=row)
        key = keys.of_row.get(row)
        if id_ is None or key is None:
            continue
        if (key, id_) in first:
            name = "own_outcome" if is_own else f"criterion {id_}"
            faults.add(f"{name} is answered a second time, first in row {first[key, id_]}; keep one", row=row)
        first.setdefault((key, id_), row)
        if is_own:
            found.own_outcomes[key] = own
        else:
            found.answers[key, id_] = answer
    return found


def _wide_cells(sheet: _Sheet, keys: _Keys, *, edition: Edition, faults: _ByRow) -> _Cells:
    """Answers from rows of one assessment each."""
    columns = _wide_columns(sheet, edition=edition, faults=faults)
    own_outcome = sheet.column(OWN_OUTCOME)
    found = _Cells()
    first: dict[tuple[str, str], int] = {}
    for row, values in sheet.rows:
        said: list[str] = []
        answers = {}
        for id_, by_kind in columns.items():
            texts = Texts(**{kind: values[at] for kind, at in by_kind.items()})
            answers[id_] = texts.answer(edition.criteria[id_], faults=said, where=f" under {id_}")
        own = "" if own_outcome is None else own_standing(values[own_outcome], edition, faults=said)
        for text in said:
            faults.add(text, row=row)
        key = keys.of_row.get(row)
        if key is None:
            continue
        if key in first:
            faults.add(f"is of the same city and date as row {first[key]}; keep one", row=row)
        first.setdefault(key, row)
        found.answers |= {(key, id_): answer for id_, answer in answers.items()}
        found.own_outcomes[key] = own
    return found


def _wide_columns(sheet: _Sheet, *, edition: Edition, faults: _ByRow) -> dict[str, dict[Kind, int]]:
    """Positions of the columns by criterion and by what they say of it."""
    heads = Heads(edition)
    reserved = {*_PLACE, _STATE, _DATE, _EDITION, OWN_OUTCOME}
    columns: dict[str, dict[Kind, int]] = {}
    for position, label in enumerate(sheet.header):
        if folded(label) in reserved:
            continue
        known = heads.column(label)
        if known is None:
            faults.add(heads.unknown(label), row=1)
            continue
        id_, kind = known
        other = columns.setdefault(id_, {}).setdefault(kind, position)
        if other != position:
            what = id_ if kind == "response" else f"{kind} of {id_}"
            faults.add(f"columns {sheet.header[other]!r} and {label!r} are both {what}; keep one", row=1)
    if not columns:
        faults.add(f"no column is a criterion of {edition.name}; head them with codes such as {heads.example()}", row=1)
    alone = [id_ for id_, by_kind in columns.items() if set(by_kind) == {"evidence"}]
    if alone:
        faults.add(f"evidence of {listed(alone)} stands without a column of responses or points", row=1)
    return columns


def _responses(cells: _Cells, keys: _Keys, *, edition: Edition) -> Responses:
    assessments = sorted(set(keys.of_row.values()))
    row_of = {key: position for position, key in enumerate(assessments)}
    column_of = {id_: position for position, id_ in enumerate(edition.criteria)}
    shape = (len(row_of), len(column_of))
    empty = Answer()
    values = np.full(shape, empty.response, dtype=np.int8)
    points = np.full(shape, empty.points)
    evidence = np.full(shape, empty.evidence, dtype=np.int8)
    for (key, id_), answer in cells.answers.items():
        at = row_of[key], column_of[id_]
        values[at], points[at], evidence[at] = answer
    return Responses(
        values,
        points=points if np.isfinite(points).any() else None,
        evidence=evidence if (evidence != empty.evidence).any() else None,
        own_outcome=[cells.own_outcomes.get(key, "") for key in assessments],
        place_ids=[place_id for place_id, _ in assessments],
        assessed_on=[when for _, when in assessments],
        names=[keys.shown[place_id] for place_id, _ in assessments],
        criteria=list(edition.criteria),
        edition=edition,
    )


def _read_sheet(path: Path, faults: _ByRow) -> _Sheet:
    """Header and rows of the one table of a file; blank rows are passed over."""
    if not path.is_file():
        what = "is a folder" if path.is_dir() else "no such file"
        raise InputError(f"{path}: {what}. Give the path of a CSV or Excel file.")
    content = path.read_bytes()
    if content.startswith(b"\xd0\xcf\x11\xe0"):
        raise InputError(f"{path.name}: is an old or protected workbook. Save it as .xlsx without password, or as CSV.")
    read = _workbook_rows if content.startswith(b"PK\x03\x04") else _csv_rows
    rows = read(content, path.name)
    filled = [(number, cells) for number, cells in enumerate(rows, start=1) if any(cells)]
    if not filled or filled[0][0] != 1:
        raise InputError(f"{path.name}: the first row is empty. It must hold the column names.")
    header = filled[0][1]
    while header and not header[-1]:
        header = header[:-1]
    kept = []
    for number, cells in filled[1:]:
        if any(cells[len(header) :]):
            faults.add(f"has more cells than the header's {len(header)}; put texts with a comma in quotes", row=number)
        elif len(cells) < len(header) and read is _csv_rows:
            faults.add(f"has {len(cells)} cells, the header {len(header)}; fill it with commas", row=number)
        else:
            kept.append((number, (*cells, *[""] * len(header))[: len(header)]))
    keys = [folded(label) for label in header]
    repeated = sorted({label for label, key in zip(header, keys, strict=True) if key and keys.count(key) > 1})
    if repeated:
        faults.faults.add(f"the columns {listed(map(repr, repeated))} stand more than once; keep one")
    if "" in keys:
        faults.faults.add("a column has no name; name it or take it away")
    if len(filled) == 1:
        faults.faults.add("a header and no rows; give one row an answer or an assessment")
    faults.raise_if_any()
    return _Sheet(header=header, rows=tuple(kept))


def _csv_rows(content: bytes, name: str) -> list[tuple[str, ...]]:
    codecs = ("utf-16",) if content[:2] in (b"\xff\xfe", b"\xfe\xff") else ("utf-8-sig", "latin-1")
    text = next((decoded for codec in codecs if (decoded := _decoded(content, codec)) is not None), "\x00")
    if "\x00" in text:
        raise InputError(f"{name}: is neither CSV nor an Excel workbook. Save it as one of them.")
    header = text.split("\n", maxsplit=1)[0]
    separator = max(",;\t", key=header.count)
    try:
        records = list(csv.reader(io.StringIO(text, newline=""), delimiter=separator))
    except csv.Error as error:
        raise InputError(f"{name}: cannot be read as CSV ({error}). Save it again as CSV.") from None
    return [tuple(cell.strip() for cell in record) for record in records]


def _decoded(content: bytes, codec: str) -> str | None:
    try:
        return content.decode(codec)
    except UnicodeDecodeError:
        return None


def _workbook_rows(content: bytes, name: str) -> list[tuple[str, ...]]:
    """Rows of the one sheet that holds assessments; a formula without a stored value is refused, not read as blank."""
    filled = _workbook_sheets(content, name)
    sheets = [sheet for sheet in filled if any(cell is not None for row in sheet[1] for cell in row)]
    holding = [sheet for sheet in sheets if _holds_assessments(sheet[1][0])] or sheets[:1]
    if len(holding) != 1:
        found = listed(repr(sheet[0]) for sheet in holding)
        raise InputError(f"{name}: one sheet of assessments is wanted, found {found}. Put all on one sheet.")
    _, rows, written = holding[0]
    unsaved = [
        number
        for number, (row, source) in enumerate(zip(rows, written, strict=True), start=1)
        if any(cell is None and said is not None for cell, said in zip(row, source, strict=True))
    ]
    if unsaved:
        shown = listed(unsaved, limit=_SHOWN)
        raise InputError(f"{name}: rows {shown} hold formulas without values. Paste values, or open and save in Excel.")
    places = {at for at, label in enumerate(rows[0]) if folded(str(label)) in _PLACE}
    return [tuple(_cell_text(cell, is_place=at in places) for at, cell in enumerate(row)) for row in rows]


def _workbook_sheets(content: bytes, name: str) -> list[tuple[str, list[Any], list[Any]]]:
    """Title, values and formulas of every sheet."""
    import openpyxl

    try:
        with warnings.catch_warnings():
            # openpyxl warns of features it cannot keep (validation lists, styles); none of them holds an answer.
            warnings.simplefilter("ignore")
            values = openpyxl.load_workbook(io.BytesIO(content), read_only=True, data_only=True)
            formulas = openpyxl.load_workbook(io.BytesIO(content), read_only=True)
            return [
                (sheet.title, list(sheet.values), list(formulas[sheet.title].values)) for sheet in values.worksheets
            ]
    except (KeyError, ValueError, TypeError, OSError, SyntaxError, zipfile.BadZipFile):
        # The reader's own words are left out: they may quote cells.
        raise InputError(f"{name}: cannot be read as an Excel workbook. Save it again, or as CSV.") from None


def _holds_assessments(header: Iterable[Any]) -> bool:
    return any(folded(str(cell)) in _PLACE for cell in header if cell is not None)


def _cell_text(cell: Any, *, is_place: bool) -> str:
    if cell is None:
        return ""
    if isinstance(cell, datetime | date):
        return cell.strftime("%Y-%m-%d")
    if isinstance(cell, float) and cell.is_integer():
        cell = int(cell)
    if type(cell) is int and is_place:
        # Every US place code has seven digits; a spreadsheet that holds it as a number has dropped the leading zero.
        return f"{cell:07d}"
    return str(cell).strip()


def write_scores(scores: Scores, path: Path, *, layout: Literal["json", "csv"]) -> None:
    """Write the confidential records, whole or not at all, to a file that only its owner may read.

    JSON is a list of records (see `Scores.confidential_records`). CSV has a column `practice_share_<id>` each practice,
    reasons joined by `; `, and blanks for what is not known.
    """
    makers: dict[str, Callable[[Sequence[dict[str, Any]]], str]] = {"json": _as_json, "csv": _as_csv}
    if layout not in makers:
        raise InputError(f"layout {layout!r} is unknown; allowed: {listed(makers)}")
    text = makers[layout](scores.confidential_records())
    with written_whole(path) as beside:
        opened = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(opened, "w", encoding="utf-8", newline="\n") as file:
            file.write(text)


def _as_json(records: Sequence[dict[str, Any]]) -> str:
    return json.dumps(records, indent=2, ensure_ascii=False, allow_nan=False) + "\n"


def _as_csv(records: Sequence[dict[str, Any]]) -> str:
    flat = []
    for record in records:
        row: dict[str, Any] = {}
        for name, value in record.items():
            if name == "practice_shares":
                row |= {f"practice_share_{practice}": share for practice, share in value.items()}
            else:
                row[name] = (
                    "; ".join(value) if name == "reasons" else str(value).lower() if name == "certified" else value
                )
        flat.append(row)
    held = io.StringIO(newline="")
    writer = csv.DictWriter(held, fieldnames=list(flat[0]) if flat else [], lineterminator="\n")
    writer.writeheader()
    writer.writerows(flat)
    return held.getvalue()
