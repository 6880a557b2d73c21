"""A user's file as a Sample: the checked rows, who is compared with whom, and what was left out.

In: a path and column names. Out: a `Sample`; all faults of file and design are raised as one InputError.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, get_args

import pandas as pd

from wwc_research.design.sample import Comparison, Exclusion, Sample
from wwc_research.errors import Faults, listed
from wwc_research.messages import counted, message
from wwc_research.panel.files import covariate_names, read_panel

FEW_TREATED = 10
AlwaysTreated = Literal["refuse", "exclude"]


def sample_from_file(
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
    comparison: Comparison = "not_yet",
    anticipation: int = 0,
    always_treated: AlwaysTreated = "refuse",
) -> Sample:
    """The sample of a CSV or Parquet file, ready for any estimator.

    Units exposed in or before the first period have no baseline: they are a fault, or left out and counted where
    `always_treated` says so. Units whose anticipation reaches back to the first period are left out; units
    first exposed after the last period count as never exposed, as in R's did.

    Parameters
    ----------
    path
        CSV or Parquet; see `wwc_research.panel.files.read_table`.
    unit, time, outcome, cohort, covariates, cluster, weights, optional, effects
        Column names (`optional` by name of `OPTIONAL_COLUMNS`); see `wwc_research.panel.files.read_panel`.
    comparison
        `never` or `not_yet`.
    anticipation
        Periods before exposure in which the outcome may already respond.
    always_treated
        `refuse` or `exclude` units exposed in or before the first period.

    Raises
    ------
    InputError
        With every fault of the file and of the comparison.
    """
    faults = Faults(where=Path(path).name)
    if comparison not in get_args(Comparison):
        faults.add(f"comparison {comparison!r} is unknown; use {listed(get_args(Comparison))}.")
    if anticipation < 0:
        faults.add(f"anticipation is {anticipation}; it counts periods before exposure, 0 or more.")
    checked = read_panel(
        path,
        unit=unit,
        time=time,
        outcome=outcome,
        cohort=cohort,
        covariates=covariates,
        cluster=cluster,
        weights=weights,
        optional=optional,
        effects=effects,
        faults=faults,
    )
    exclusions = [Exclusion(reason=reason, rows=rows, units=units) for reason, rows, units in checked.exclusions]
    settings: dict[str, Any] = {**checked.settings, "comparison": comparison, "anticipation": anticipation}
    frame = checked.frame
    if {"unit", "time", "cohort"} <= checked.sound and not frame.empty:
        frame, late = _never_within_window(frame, anticipation=anticipation)
        if late:
            settings["units_first_exposed_after_the_last_period"] = late
        if always_treated == "refuse":
            _refuse_always_treated(frame, column=cohort, faults=faults)
        frame, early = _without_always_treated(frame, anticipation=anticipation)
        exclusions += early
        _note_comparison(frame, comparison, early=early, column=cohort, faults=faults)
        _note_single(frame, sound=checked.sound, faults=faults)
        settings["warnings"] = [*checked.warnings, *_warnings(frame)]
    faults.raise_if_any()
    frame = frame.astype({"time": int}).sort_values(["unit", "time"], ignore_index=True)
    return Sample(
        frame=frame,
        covariates=tuple(covariate_names(covariates)),
        effects=tuple(effects),
        comparison=comparison,
        anticipation=anticipation,
        exclusions=tuple(exclusions),
        settings=settings,
    )


def _never_within_window(frame: pd.DataFrame, *, anticipation: int) -> tuple[pd.DataFrame, int]:
    late = frame["cohort"] > frame["time"].max() + anticipation
    units = int(frame.loc[late, "unit"].nunique())
    return frame.assign(cohort=frame["cohort"].mask(late)), units


def _refuse_always_treated(frame: pd.DataFrame, *, column: str, faults: Faults) -> None:
    first = frame["time"].min()
    units = frame.loc[frame["cohort"] <= first, "unit"].unique()
    if len(units):
        faults.add(
            f"column {column!r}: {len(units):,} {'unit is' if len(units) == 1 else 'units are'} treated in the first "
            f"period ({first:g}) or before, so without a baseline: {listed(units)}. "
            "Remove their rows, or say --always-treated exclude."
        )


def _without_always_treated(frame: pd.DataFrame, *, anticipation: int) -> tuple[pd.DataFrame, list[Exclusion]]:
    first = frame["time"].min()
    always = frame["cohort"] <= first + anticipation
    if not always.any():
        return frame, []
    reason = message("treated in the first period ({first:g}) or before, so without a baseline", first=first)
    if anticipation:
        reason = counted(
            "treated within {n} period of the first ({first:g}), so without a baseline",
            "treated within {n} periods of the first ({first:g}), so without a baseline",
            n=anticipation,
            first=first,
        )
    units = int(frame.loc[always, "unit"].nunique())
    return frame.loc[~always], [Exclusion(reason=reason, rows=int(always.sum()), units=units)]


def _note_comparison(
    frame: pd.DataFrame, comparison: str, *, early: Sequence[Exclusion], column: str, faults: Faults
) -> None:
    """Note a fault where nobody is treated, or nobody is left to compare with."""
    cohorts = frame.drop_duplicates("unit")["cohort"]
    treated = cohorts.dropna()
    one_cohort = len(treated.unique()) == 1
    if treated.empty:
        left_out = f" apart from {early[0].units:,} {early[0].reason}" if early else ""
        faults.add(
            f"column {column!r}: no unit is first treated within the periods of the file{left_out}. "
            "Give the first exposed period of the treated units, and periods before it."
        )
    elif len(treated) == 1:
        single = frame.loc[frame["cohort"].notna(), "unit"].iloc[0]
        faults.add(
            f"column {column!r}: only one unit is treated ({single}), so no "
            "standard error can be had from it. Add treated units, or use a method for a single case."
        )
    elif not cohorts.isna().any() and (comparison == "never" or one_cohort):
        when = f" in {treated.iloc[0]:g}" if one_cohort else ""
        instead = "" if one_cohort else ", or compare with units that are not yet treated"
        faults.add(
            f"column {column!r}: all {len(treated):,} units are treated{when}, so none can be compared with. "
            f"Add units that are never treated{instead}."
        )


def _note_single(frame: pd.DataFrame, *, sound: frozenset[str], faults: Faults) -> None:
    """Note a fault where all rows are of one period, or all units of one cluster."""
    if len(frame["time"].unique()) == 1:
        faults.add(f"every row is of period {frame['time'].iloc[0]:g}. A panel needs two periods or more.")
    if "cluster" in sound and len(frame["unit"].unique()) > 1 and len(frame["cluster"].unique()) == 1:
        faults.add(f"all units share the cluster {frame['cluster'].iloc[0]!r}. Standard errors need several.")


def _warnings(frame: pd.DataFrame) -> list[str]:
    """What a reader must know about who is treated, in sentences."""
    warnings: list[str] = []
    cohorts = frame.drop_duplicates("unit")["cohort"]
    treated = int(cohorts.notna().sum())
    if treated < FEW_TREATED:
        warnings.append(
            message(
                "only {n_treated} treated units: clustered standard errors are too small, so the interval is too "
                "narrow and the p-value too low",
                n_treated=treated,
            )
        )
    if treated and treated == len(cohorts):
        warnings.append(
            message(
                "no unit is never treated, so the last cohorts serve as comparison until they start, and effects "
                "after the last start ({last_start:g}) cannot be seen",
                last_start=cohorts.max(),
            )
        )
    return warnings
