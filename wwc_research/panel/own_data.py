"""A researcher's own outcome and own treatment, joined to the panel beside the figures that ship.

In: a panel, two checked files, their catalog entries. Out: a panel with their columns, and a plan that asks about them.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from wwc_research import catalog
from wwc_research.catalog import Outcome, Treatment
from wwc_research.errors import Faults, InputError, listed
from wwc_research.panel import columns
from wwc_research.panel.panel import Panel, PanelColumn
from wwc_research.panel.tables import Table, read_table
from wwc_research.standard.timing import first_exposed_year

_DATE = re.compile(r"\d{4}(-\d{2}(-\d{2})?)?")


@dataclass(frozen=True, slots=True, kw_only=True)
class OwnTable:
    """A checked file: its rows, its name, and the hash of its bytes."""

    frame: pd.DataFrame
    file: str
    sha256: str


def read_outcome(path: str | Path, *, panel: Panel, place: str = "place_id", value: str = "value") -> OwnTable:
    """A file of figures by place and year, checked against the places of the panel.

    Parameters
    ----------
    path
        CSV or Parquet with one row a place and year: the column `place` holds seven-digit place codes or names as the
        panel has them ("Detroit, MI"), `year` the year, `value` the figure, and `std_error`, if there is such a
        column, its standard error in the same unit. Empty values are missing.

    Returns
    -------
    OwnTable
        Columns place_id, year, value, std_error (NaN where not given).

    Raises
    ------
    InputError
        With every fault of the file: unknown places, places given twice in a year, text among numbers. And for a
        file of a source that no effect may be estimated on.
    """
    table = read_table(path)
    faults = Faults(Path(path).name)
    refused = catalog.refused_columns(table.frame.columns, measure=value)
    if refused is not None:
        raise InputError(f"{Path(path).name} is refused: {refused.refusal}")
    _note_absent(table, (place, "year", value), faults=faults)
    faults.raise_if_any()
    ids = _place_ids(table, place, panel=panel, faults=faults)
    years = columns.filled_whole_numbers(table, "year", role="year", faults=faults).values
    values = columns.numbers(table, value, faults=faults).values
    errors = np.full(len(values), np.nan)
    if "std_error" in table.frame:
        limits = (0.0, float("inf"), True)
        errors = columns.numbers_within(table, "std_error", limits=limits, faults=faults).values
    frame = pd.DataFrame({"place_id": ids, "year": years, "value": values, "std_error": errors})
    known = frame["place_id"].notna() & frame["year"].notna()
    twice = (known & frame.duplicated(["place_id", "year"], keep=False)).to_numpy()
    if twice.any():
        faults.add(f"{table.where(twice)}: a place has more than one row in a year. Keep one figure a place and year.")
    outside = known & ~frame["year"].isin(panel.frame["year"].unique())
    if outside.any():
        first, last = int(panel.frame["year"].min()), int(panel.frame["year"].max())
        faults.add(
            f"column 'year', {table.where(outside.to_numpy())}: {table.values('year', outside.to_numpy())}, where the "
            f"panel goes from {first} to {last}. Take these rows out."
        )
    faults.raise_if_any()
    return _checked(frame.astype({"year": int}), path)


def read_treatment(path: str | Path, *, panel: Panel, place: str = "place_id") -> OwnTable:
    """A file of places and when each began, checked against the places of the panel.

    Parameters
    ----------
    path
        CSV or Parquet with one row a place that ever began: `place` as for `read_outcome`, and `started_on`, a date
        (2018-09-30), a month (2018-09) or a year. An empty date means that it began, nobody knows when: the place is
        then neither exposed nor a comparison.

    Returns
    -------
    OwnTable
        Columns place_id, started_on (text).

    Raises
    ------
    InputError
        With every fault of the file.
    """
    table = read_table(path)
    faults = Faults(Path(path).name)
    _note_absent(table, (place, "started_on"), faults=faults)
    faults.raise_if_any()
    ids = _place_ids(table, place, panel=panel, faults=faults)
    dates = [text or "" for text in columns.texts(table, "started_on").values]
    wrong = np.array([bool(text) and not _is_date(text) for text in dates], dtype=bool)
    if wrong.any():
        faults.add(
            f"column 'started_on', {table.where(wrong)}: {table.values('started_on', wrong)} where a date such as "
            "2018-09-30, 2018-09 or 2018 must stand. Leave it empty where the date is not known."
        )
    frame = pd.DataFrame({"place_id": ids, "started_on": dates})
    twice = (frame["place_id"].notna() & frame.duplicated("place_id", keep=False)).to_numpy()
    if twice.any():
        faults.add(f"{table.where(twice)}: a place stands there more than once. Keep the row of its first start.")
    faults.raise_if_any()
    return _checked(frame, path)


def _checked(frame: pd.DataFrame, path: str | Path) -> OwnTable:
    return OwnTable(frame=frame, file=Path(path).name, sha256=hashlib.sha256(Path(path).read_bytes()).hexdigest())


def _is_date(text: str) -> bool:
    if not _DATE.fullmatch(text):
        return False
    try:
        np.datetime64(text)
    except ValueError:
        return False
    return True


def _note_absent(table: Table, wanted: tuple[str, ...], *, faults: Faults) -> None:
    absent = [name for name in wanted if name not in table.frame]
    if absent:
        have = listed(table.frame.columns, limit=12)
        faults.add(f"there is no column {listed(absent)}; the file has {have}. Rename the columns, or name yours.")


def _place_ids(table: Table, column: str, *, panel: Panel, faults: Faults) -> np.ndarray:
    """Place codes of a column that holds codes or names; what is neither is a fault with the nearest names."""
    import difflib

    texts = columns.filled_texts(table, column, role="place", faults=faults).values
    places = panel.frame.drop_duplicates("place_id")
    labels = dict(zip(places["label"], places["place_id"], strict=True))
    codes = set(places["place_id"])
    found = np.array([text if text in codes else labels.get(text) for text in texts], dtype=object)
    unknown = np.array([text is not None and code is None for text, code in zip(texts, found, strict=True)], dtype=bool)
    if unknown.any():
        first = str(texts[unknown][0])
        near = difflib.get_close_matches(first, [*labels, *codes], n=2)
        meant = f" Did you mean {' or '.join(near)}?" if near else ""
        faults.add(
            f"column {column!r}, {table.where(unknown)}: {table.values(column, unknown)}: no place of 30,000 people or "
            f"more in the panel, which takes codes of seven digits or names such as Detroit, MI.{meant}"
        )
    return found


def with_outcome(panel: Panel, *, outcome: Outcome, table: OwnTable) -> Panel:
    """The panel with the outcome's figures and standard errors as columns of its own."""
    catalog.refuse_for_effects(outcome)
    if outcome.geography != "place":
        raise InputError(f"{outcome.name}: own outcomes are figures of places; set geography = 'place'")
    _refuse_taken(panel, outcome.variable)
    columns_of = table.frame.set_index(["place_id", "year"])
    keys = pd.MultiIndex.from_frame(panel.frame[["place_id", "year"]])
    found = columns_of.reindex(keys)
    added = {outcome.variable: found["value"].to_numpy()}
    if table.frame["std_error"].notna().any():
        added[f"{outcome.variable}_std_error"] = found["std_error"].to_numpy()
    return _joined(panel, added, title=outcome.title, unit=outcome.unit, table=table)


def with_treatment(panel: Panel, *, treatment: Treatment, table: OwnTable) -> Panel:
    """The panel with the treatment's first exposed year, date, and who is exposed without a known date."""
    name = f"{treatment.name}_cohort"
    _refuse_taken(panel, name)
    dates = table.frame.set_index("place_id")["started_on"]
    years = dates.map(lambda text: first_exposed_year(text, exposure_month=treatment.exposure_month))
    places = panel.frame["place_id"]
    cohort = places.map(years.astype("float64")).to_numpy(dtype=float)
    added = {
        name: cohort,
        f"{treatment.name}_date": places.map(dates).fillna("").to_numpy(dtype=object),
        f"{treatment.name}_is_undated": places.isin(dates.index).to_numpy() & np.isnan(cohort),
    }
    return _joined(panel, added, title=treatment.title, unit="first exposed year", table=table)


def _refuse_taken(panel: Panel, name: str) -> None:
    if name in panel.frame:
        raise InputError(f"the panel has a column {name!r} already; give your entry another name")


def _joined(panel: Panel, added: Mapping[str, np.ndarray], *, title: str, unit: str, table: OwnTable) -> Panel:
    name = next(iter(added))
    frame = panel.frame.assign(**added)
    filled = frame.loc[frame[name].notna()]
    years = filled["year"]
    column = PanelColumn(
        name=name,
        title=title,
        unit=unit,
        geography="place",
        source=table.file,
        vintages=(f"sha256 {table.sha256[:12]}",),
        first_year=int(years.min()) if len(years) else None,
        last_year=int(years.max()) if len(years) else None,
        n_values=len(filled),
        n_places=int(filled["place_id"].nunique()),
        missing_share=0.0,
    )
    combined = hashlib.sha256(f"{panel.data_hash}\0{table.sha256}".encode()).hexdigest()
    return replace(panel, frame=frame, columns=(*panel.columns, column), data_hash=combined)


def plan_text(
    *,
    outcome: Outcome,
    treatment: Treatment,
    analysis: Mapping[str, Any],
    title: str,
    written: str,
    rules: Mapping[str, Mapping[str, Any]] | None = None,
) -> str:
    """The text of a plan that asks one question of one's own by the rules of the plan that ships.

    The entries of `outcome` and `treatment` stand in the plan, so that everyone who reads it knows them.

    Parameters
    ----------
    analysis
        Fields of `catalog.Analysis`: family, minimum_effect_of_interest, window, unit, baseline_years, post_years,
        covariates; whatever is not named is as in the plan's defaults.
    title, written
        What the plan is called, and the day on which it was written.
    rules
        Fields of the plan's other sections that shall differ: `{"verdict": {"draws": 499}}`.

    Raises
    ------
    InputError
        Where the plan that ships has no such field.
    DataError
        Where a field is unknown, lacking or ill-typed.
    """
    head = catalog.text_of("plan.toml").split("[analyses.")[0]
    own = {
        "title": title,
        "written": written,
        "treatment": treatment.name,
        "treatments": [treatment.name],
        "prior_knowledge": "",
    }
    lines = _with_rules(head.splitlines(), rules or {})
    lines = [line for line in lines if line.partition("=")[0].strip() not in own]
    parts = [
        *(f"{key} = {_toml(value)}" for key, value in own.items()),
        *lines,
        "",
        *_section(f"own.outcomes.{outcome.name}", _fields(outcome)),
        *_section(f"own.treatments.{treatment.name}", _fields(treatment)),
        *_section(f"analyses.{outcome.name}", analysis),
    ]
    text = "\n".join(parts) + "\n"
    catalog.read_plan(text, file=title)
    return text


def _with_rules(lines: list[str], rules: Mapping[str, Mapping[str, Any]]) -> list[str]:
    """The lines of a plan with the fields of `rules` changed where they stand."""
    left = {(section, key): value for section, values in rules.items() for key, value in values.items()}
    section, changed = "", []
    for line in lines:
        section = line[1:].partition("]")[0] if line.startswith("[") else section
        key = (section, line.partition("=")[0].strip())
        changed.append(f"{key[1]} = {_toml(left.pop(key))}" if key in left else line)
    if left:
        raise InputError(f"the plan has no field {listed(f'{name} in [{part}]' for part, name in left)} to change")
    return changed


def _fields(entry: Outcome | Treatment) -> dict[str, Any]:
    return {key: value for key, value in asdict(entry).items() if key != "name" and value not in (None, {}, ())}


def _section(name: str, values: Mapping[str, Any]) -> list[str]:
    return [f"[{name}]", *(f"{key} = {_toml(value)}" for key, value in values.items()), ""]


def _toml(value: Any) -> str:
    """A plain value in TOML: text, numbers, truth values and lists are written as in JSON."""
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{json.dumps(str(key))} = {_toml(item)}" for key, item in value.items()) + "}"
    return json.dumps(list(value) if isinstance(value, tuple) else value, ensure_ascii=False)


__all__ = ["OwnTable", "plan_text", "read_outcome", "read_treatment", "with_outcome", "with_treatment"]
