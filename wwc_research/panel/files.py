"""The door for any user's file: CSV or Parquet in, checked columns and counted exclusions out.

Everything is checked before anything is computed, and all faults of a file are raised together.
"""

from __future__ import annotations

import difflib
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import reduce
from pathlib import Path
from typing import Any, Final

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from wwc_research import catalog
from wwc_research.errors import Faults, listed
from wwc_research.messages import message
from wwc_research.panel import columns
from wwc_research.panel.tables import Flags, Table, read_table

# Lowest and highest value of the columns that only some estimators need, and whether the lowest itself is allowed.
OPTIONAL_RANGES: Final = {
    "dose": (0.0, math.inf, True),
    "at_risk": (0.0, math.inf, False),
    "outcome_std_error": (0.0, math.inf, True),
    "latitude": (-90.0, 90.0, True),
    "longitude": (-180.0, 180.0, True),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckedFile:
    """What a file holds once its columns are checked.

    Attributes
    ----------
    frame
        The kept rows under fixed names; see `read_panel` and `read_units`.
    exclusions
        (reason, rows, units) of every row that was left out.
    settings
        File name, format, encoding and the user's column names.
    sound
        Names of the frame's columns in which no fault was found.
    warnings
        What the file allows and its user may not mean, in sentences.
    """

    frame: pd.DataFrame
    exclusions: tuple[tuple[str, int, int], ...]
    settings: Mapping[str, Any]
    sound: frozenset[str]
    warnings: tuple[str, ...] = ()


class _Intake:
    """Columns taken from a table one by one, which of them were without fault, and which cells were not."""

    def __init__(self, table: Table, *, there: set[str], faults: Faults) -> None:
        self.table = table
        self.there = there
        self.faults = faults
        self.parts: dict[str, NDArray[Any]] = {}
        self.unreadable: dict[str, Flags] = {}
        self.sound: set[str] = set()

    def take(self, name: str, column: str, read: Callable[..., columns.Cells], **options: Any) -> None:
        """Read a column under a fixed name, if the file has it."""
        if column not in self.there:
            return
        before = len(self.faults)
        cells = read(self.table, column, **options)
        self.parts[name], self.unreadable[name] = cells.values, cells.unreadable
        if len(self.faults) == before:
            self.sound.add(name)

    def copy(self, taken: str, *, name: str) -> None:
        """Give a column that was taken a second name."""
        if taken in self.parts:
            self.parts[name], self.unreadable[name] = self.parts[taken], self.unreadable[taken]
            self.sound |= {name} if taken in self.sound else set()


def read_panel(
    path: str | Path,
    *,
    unit: str,
    time: str,
    outcome: str,
    cohort: str,
    covariates: Sequence[str] = (),
    cluster: str | None = None,
    weights: str | None = None,
    optional: Mapping[str, str] | None = None,
    effects: Sequence[str] = (),
    faults: Faults,
) -> CheckedFile:
    """Checked unit-time rows of a user's file, with every fault noted in `faults` (not raised).

    Unit and cluster codes stay text, so "01001" is not "1001". Rows without outcome or without a covariate
    are left out and counted; everything else that is wrong is a fault.

    Parameters
    ----------
    unit, time, outcome, cohort
        Column names. `cohort` is the first exposed period; empty, 0 or inf mean never.
    covariates
        Columns of numbers.
    cluster
        Column of the groups that share shocks; the unit itself where not given. A unit stays in one cluster.
    weights
        Column of positive weights; 1 where not given.
    optional
        Column by name of `OPTIONAL_RANGES`: dose, at_risk, outcome_std_error, latitude, longitude.
    effects
        Columns of text, such as a region, whose levels are further fixed effects; they keep their names.
    faults
        Where faults are gathered; the caller adds its own and raises once.

    Returns
    -------
    CheckedFile
        Frame with `unit` (text), `time` (whole), `outcome`, `cohort` (NaN = never), `cluster` (text),
        `weight`, the optional columns and the covariates (see `covariate_names`); a column that the file lacks
        is absent.

    Raises
    ------
    InputError
        Only if the file cannot be read as a table at all; see `read_table`.
    """
    table = read_table(path)
    named = {"unit": unit, "time": time, "outcome": outcome, "cohort": cohort, "cluster": cluster}
    extra = dict(optional or {})
    further = {f"effects {position}": column for position, column in enumerate(effects, start=1)}
    roles = _roles(named | {"weights": weights} | extra | further, covariates)
    _note_shared_roles(roles, faults=faults)
    _note_refused_source(table, outcome, faults=faults)
    intake = _Intake(table, there=_note_unusable_columns(table, roles, faults=faults), faults=faults)
    intake.take("unit", unit, columns.filled_texts, role="unit", faults=faults)
    intake.take("time", time, columns.filled_whole_numbers, role="time", faults=faults)
    intake.take("cohort", cohort, columns.cohorts, faults=faults)
    if cluster is not None and cluster != unit:
        intake.take("cluster", cluster, columns.filled_texts, role="cluster", faults=faults)
    else:
        intake.copy("unit", name="cluster")
    intake.parts["weight"] = np.ones(len(table.frame))
    if weights is not None:
        intake.take("weight", weights, columns.positive_weights, faults=faults)
    intake.take("outcome", outcome, columns.measures, faults=faults)
    for name, column in extra.items():
        intake.take(name, column, columns.numbers_within, limits=OPTIONAL_RANGES[name], faults=faults)
    for column in effects:
        intake.take(column, column, columns.filled_texts, role="effects", faults=faults)
    labels = dict(zip(covariate_names(covariates), covariates, strict=True))
    for name, column in labels.items():
        intake.take(name, column, columns.measures, faults=faults)

    frame = pd.DataFrame(intake.parts)
    _note_repeated_rows(table, frame, faults=faults)
    _note_changes(frame, "cohort", role="first exposed period", unreadable=intake.unreadable, faults=faults)
    if cluster is not None:
        _note_changes(frame, "cluster", role="cluster", unreadable=intake.unreadable, faults=faults)
    frame, exclusions = _without_gaps(frame, {"outcome": outcome} | extra | labels, unreadable=intake.unreadable)
    _note_emptied(frame, (outcome, *extra.values(), *covariates), faults=faults)
    _note_constant(frame, outcome, sound=intake.sound, faults=faults)
    return CheckedFile(
        frame=frame,
        exclusions=exclusions,
        settings=_file_settings(table, roles),
        sound=frozenset(intake.sound),
        warnings=_codes_alike_but_for_zeros(intake.parts.get("unit")),
    )


def read_units(
    path: str | Path,
    *,
    treatment: str,
    covariates: Sequence[str],
    outcome: str | None = None,
    exact: Sequence[str] = (),
    unit: str | None = None,
    cluster: str | None = None,
    keep_gaps: bool = False,
) -> CheckedFile:
    """Checked rows of a file with one row a unit, for matching.

    Parameters
    ----------
    treatment
        Column of 1 (treated) and 0 (not treated).
    covariates
        Columns of numbers or of categories written as text (at most 50 different ones).
    outcome
        Column of numbers, if an effect is wanted.
    exact
        Columns on which matched units must agree; read as text.
    unit
        Column that names each row once; the row number of the file where not given.
    cluster
        Column of groups that share shocks.
    keep_gaps
        Whether rows with an empty covariate stay; else they are left out and counted.

    Returns
    -------
    CheckedFile
        Frame indexed by `unit` (text) with `treated` (0 or 1), the covariates (see `covariate_names`) and,
        where asked for, `outcome`, `cluster` and one `exact: <column>` each.

    Raises
    ------
    InputError
        With every fault of the file.
    """
    table = read_table(path)
    faults = Faults(where=table.name)
    named = {"treatment": treatment, "outcome": outcome, "unit": unit, "cluster": cluster}
    roles = _roles(named, covariates)
    if not covariates:
        faults.add("no covariates were given. Matching needs at least one.")
    _note_shared_roles(roles, faults=faults)
    strata = {f"exact {position}": column for position, column in enumerate(exact, start=1)}
    there = _note_unusable_columns(table, roles | strata, faults=faults)
    intake = _Intake(table, there=there, faults=faults)
    intake.take("treated", treatment, columns.indicators, faults=faults)
    if outcome is not None:
        _note_refused_source(table, outcome, faults=faults)
        intake.take("outcome", outcome, columns.measures, faults=faults)
    intake.parts["unit"] = np.array([f"row {row}" for row in table.rows], dtype=object)
    if unit is not None:
        intake.take("unit", unit, columns.filled_texts, role="unit", faults=faults)
    if cluster is not None:
        intake.take("cluster", cluster, columns.filled_texts, role="cluster", faults=faults)
    labels = dict(zip(covariate_names(covariates), covariates, strict=True))
    for name, column in labels.items():
        intake.take(name, column, columns.measures_or_categories, faults=faults)
    for column in exact:
        intake.take(f"exact: {column}", column, columns.texts)

    frame = pd.DataFrame(intake.parts)
    _note_repeated_units(table, frame, faults=faults)
    labels = ({} if keep_gaps else labels) | {f"exact: {column}": column for column in exact}
    measured = {} if outcome is None else {"outcome": outcome}
    frame, exclusions = _without_gaps(frame, measured | labels, unreadable=intake.unreadable)
    _note_emptied(frame, (*measured.values(), *labels.values()), faults=faults)
    if "cluster" in intake.sound and len(frame) > 1 and len(frame["cluster"].unique()) == 1:
        faults.add(f"all units share the cluster {frame['cluster'].iloc[0]!r}. Standard errors need several.")
    _note_one_sided(frame, treatment, sound=intake.sound, faults=faults)
    if outcome is not None:
        _note_constant(frame, outcome, sound=intake.sound, faults=faults)
    faults.raise_if_any()
    return CheckedFile(
        frame=frame.set_index("unit"),
        exclusions=exclusions,
        settings=_file_settings(table, roles),
        sound=frozenset(intake.sound),
        warnings=() if unit is None else _codes_alike_but_for_zeros(intake.parts.get("unit")),
    )


def covariate_names(covariates: Sequence[str]) -> list[str]:
    """Names of the covariates in a checked frame: their own, or `<name> (covariate)` where that is taken."""
    fixed = {"unit", "time", "outcome", "cohort", "cluster", "weight", "treated", *OPTIONAL_RANGES}
    return [f"{column} (covariate)" if column in fixed else column for column in covariates]


def _note_unusable_columns(table: Table, roles: Mapping[str, str], *, faults: Faults) -> set[str]:
    """Note every column that was asked for and is not there, or is no plain column; return the others."""
    have = [str(label) for label in table.frame.columns]
    for role, column in roles.items():
        if column in have:
            continue
        lowered = {label.lower(): label for label in have}
        near = [lowered[hit] for hit in difflib.get_close_matches(column.lower(), list(lowered), n=3, cutoff=0.5)]
        hint = f"Nearest names: {listed(near)}." if near else f"The file has: {listed(have, limit=12)}."
        faults.add(f"no column {column!r} ({role}). {hint}")
    for column in dict.fromkeys(roles.values()):
        if column in table.nested:
            faults.add(
                f"column {column!r} holds lists, records or bytes. Give a column with one number or text in each row."
            )
    return {column for column in roles.values() if column in have and column not in table.nested}


def _note_refused_source(table: Table, outcome: str, *, faults: Faults) -> None:
    """Note that no effect is estimated on figures of this source, where the file shows whose they are."""
    refused = catalog.refused_columns(table.frame.columns, measure=outcome)
    if refused is not None:
        faults.add(refused.refusal)


def _note_shared_roles(roles: Mapping[str, str], *, faults: Faults) -> None:
    """A column may be both cluster and unit; any other double use is a mistake."""
    used: dict[str, str] = {}
    for role, column in roles.items():
        if column in used and {role, used[column]} != {"cluster", "unit"}:
            faults.add(f"column {column!r} is given as {used[column]} and as {role}. Give two different columns.")
        used.setdefault(column, role)


def _roles(named: Mapping[str, str | None], covariates: Iterable[str]) -> dict[str, str]:
    roles = {role: column for role, column in named.items() if column is not None}
    for position, column in enumerate(covariates, start=1):
        roles[f"covariate {position}"] = column
    return roles


def _file_settings(table: Table, roles: Mapping[str, str]) -> dict[str, Any]:
    settings: dict[str, Any] = {"file": table.name, "format": table.format, "rows_in_file": len(table.frame)}
    if table.encoding:
        settings["encoding"] = table.encoding
    if table.encoding == "Latin-1":
        settings["encoding_note"] = "the file is not valid UTF-8 and was read as Latin-1; check accented names"
    plain = {role: column for role, column in roles.items() if not role.startswith("covariate ")}
    covariates = [column for role, column in roles.items() if role.startswith("covariate ")]
    return settings | {"columns": plain, "covariates": covariates}


def _note_repeated_rows(table: Table, frame: pd.DataFrame, *, faults: Faults) -> None:
    if not {"unit", "time"} <= set(frame):
        return
    known = frame["unit"].notna() & frame["time"].notna()
    repeated = (frame.duplicated(["unit", "time"], keep=False) & known).to_numpy()
    if not repeated.any():
        return
    pairs = frame.loc[repeated, ["unit", "time"]].drop_duplicates()
    named = listed((f"unit {unit!r} at {time:g}" for unit, time in pairs.itertuples(index=False)), limit=3)
    faults.add(
        f"{table.where(repeated)}: more than one row for {named}. "
        "Keep one row a unit and time, or add the missing part of the key to the unit."
    )


def _note_repeated_units(table: Table, frame: pd.DataFrame, *, faults: Faults) -> None:
    repeated = (frame["unit"].duplicated(keep=False) & frame["unit"].notna()).to_numpy()
    if repeated.any():
        units = listed(pd.unique(frame["unit"][repeated]))
        faults.add(
            f"{table.where(repeated)}: more than one row for unit {units}. "
            "Matching takes one row a unit; collapse the periods first."
        )


def _note_changes(
    frame: pd.DataFrame, name: str, *, role: str, unreadable: Mapping[str, Flags], faults: Faults
) -> None:
    """Note the units whose value of a column is not the same in all of their rows that could be read."""
    if not {"unit", name} <= set(frame):
        return
    distinct = frame.loc[frame["unit"].notna() & ~unreadable[name], ["unit", name]].drop_duplicates()
    changing = distinct.loc[distinct.duplicated("unit", keep=False)]
    if changing.empty:
        return

    def described(values: pd.Series) -> str:
        return " and ".join(
            "never" if pd.isna(value) else f"{value:g}" if isinstance(value, float) else repr(value) for value in values
        )

    by_unit = changing.groupby("unit", sort=False)[name]
    found = listed((f"unit {unit!r} has {described(values)}" for unit, values in by_unit), limit=5)
    remedy = {
        "cohort": "Give each unit one first exposed period in all of its rows (empty, 0 or inf: never).",
        "cluster": "Give each unit one cluster in all of its rows; clusters are groups of whole units.",
    }[name]
    faults.add(f"the {role} changes inside a unit: {found}. {remedy}")


def _note_emptied(frame: pd.DataFrame, measured: Sequence[str], *, faults: Faults) -> None:
    if frame.empty:
        faults.add(f"no row has a value in each of {listed(measured, limit=12)}. Drop the columns with most gaps.")


def _note_constant(frame: pd.DataFrame, outcome: str, *, sound: set[str], faults: Faults) -> None:
    if "outcome" not in sound or len(frame) < 2:
        return
    if frame["outcome"].nunique() < 2:
        value = frame["outcome"].iloc[0]
        faults.add(f"column {outcome!r} is {value:g} in every row. A constant outcome cannot show an effect.")
    elif (
        {"unit", "time"} <= sound
        and len(frame["time"].unique()) > 1
        and frame.groupby("unit")["outcome"].nunique().max() < 2
    ):
        faults.add(
            f"column {outcome!r} never changes over time in any unit. "
            "A panel estimator compares changes; give an outcome measured in every period."
        )


def _note_one_sided(frame: pd.DataFrame, treatment: str, *, sound: set[str], faults: Faults) -> None:
    if "treated" not in sound or frame.empty:
        return
    for value, words in ((1, "treated"), (0, "untreated")):
        if not (frame["treated"] == value).any():
            faults.add(
                f"column {treatment!r}: no {words} unit with all covariates is left. "
                "Matching needs both treated (1) and untreated (0) units."
            )
    if (frame["treated"] == 0).sum() == 1:
        faults.add(
            f"column {treatment!r}: only one untreated unit with all covariates is left, so there is no choice of whom "
            "to compare with. Add untreated units."
        )
    if (frame["treated"] == 1).sum() == 1:
        faults.add(
            f"column {treatment!r}: only one treated unit with all covariates is left, so no standard error can be had "
            "from it. Add treated units, or use a method for a single case."
        )


def _codes_alike_but_for_zeros(units: NDArray[np.object_] | None) -> tuple[str, ...]:
    """A warning that names unit codes such as "1001" and "01001", which stay two units."""
    spellings: dict[str, list[str]] = {}
    for code in () if units is None else pd.unique(units):
        if code is not None and code.isdigit():
            spellings.setdefault(code.lstrip("0"), []).append(code)
    alike = [
        reduce(lambda one, other: message("{one} beside {other}", one=one, other=other), map(repr, sorted(codes)))
        for codes in spellings.values()
        if len(codes) > 1
    ]
    warning = message(
        "unit codes that differ only in leading zeros were taken for different units: {codes}. If they are not, write "
        "each unit the same way in all of its rows",
        codes=listed(alike),
    )
    return (warning,) if alike else ()


def _without_gaps(
    frame: pd.DataFrame, labels: Mapping[str, str], *, unreadable: Mapping[str, Flags]
) -> tuple[pd.DataFrame, tuple[tuple[str, int, int], ...]]:
    """Rows with every measured value, and what was left out: reason, rows, units of those rows.

    Rows with an unreadable cell are kept: what else is checked must not depend on them.
    """
    exclusions = []
    for name, column in labels.items():
        if name not in frame:
            continue
        gap = frame[name].isna() & ~unreadable[name][frame.index]
        if gap.any():
            units = frame.loc[gap, "unit"].nunique() if "unit" in frame else int(gap.sum())
            exclusions.append((message("no value of {column}", column=column), int(gap.sum()), int(units)))
        frame = frame.loc[~gap]
    return frame.reset_index(drop=True), tuple(exclusions)
