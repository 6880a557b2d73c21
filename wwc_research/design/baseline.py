"""One row a unit for matching: exposed or not, what it was like before, how the outcome changed since.

In: a Panel and a Design. Out: a frame and the exclusions on the way; nothing is measured after exposure.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from wwc_research import catalog
from wwc_research.catalog import Covariate, Geography
from wwc_research.design.design import UNDATED, Design
from wwc_research.design.sample import Exclusion
from wwc_research.errors import EstimationError, listed
from wwc_research.messages import message
from wwc_research.panel.panel import Panel

LEVEL, CHANGE = "outcome_level", "outcome_trend"


@dataclass(frozen=True, slots=True, kw_only=True)
class Baseline:
    """Units ready for matching.

    Attributes
    ----------
    frame
        unit, label, cluster, treated (bool), outcome (what is compared), and the matching columns.
    columns
        Names of the matching columns, and `titles` their names on a page.
    exclusions
        Units left out, with reasons.
    """

    frame: pd.DataFrame
    columns: tuple[str, ...]
    titles: dict[str, str]
    exclusions: tuple[Exclusion, ...]


def long_difference(panel: Panel, *, design: Design) -> Baseline:
    """Units with the change of the outcome from the baseline years to the later ones.

    Exposed are units first exposed after the last baseline year and by the last of the later years; comparison
    are units not exposed by then. History is the mean and the yearly slope of the outcome over the baseline.

    Raises
    ------
    EstimationError
        Where the later years lie beyond those for which exposures are known.
    InputError
        Where the years reach across a break of the series that the analysis does not accept.
    """
    design.refuse_breaks()
    analysis = design.analysis
    rows = design.unit_years(panel)
    known = design.treatment.known_through
    if known is not None and max(analysis.post_years) > known:
        raise EstimationError(
            message(
                "exposures are known through {known} only, and the comparison looks at {post_years}",
                known=known,
                post_years=listed(analysis.post_years),
            )
        )
    units = _units(rows)
    early = rows.loc[rows["time"].isin(analysis.baseline_years)]
    late = rows.loc[rows["time"].isin(analysis.post_years)]
    # every year that anybody has: means over different years would compare years, not units
    units[LEVEL] = _complete_mean(early)
    units[CHANGE] = _slopes(early)
    units["outcome"] = _complete_mean(late) - units[LEVEL]
    titles: dict[str, str] = {
        LEVEL: message("The outcome itself, mean of the baseline years"),
        CHANGE: message("Its yearly change over them"),
    }
    covariates = covariate_table(panel, design=design, names=analysis.covariates, years=analysis.baseline_years)
    return _finished(
        units.join(covariates),
        design=design,
        first=max(analysis.baseline_years),
        last=max(analysis.post_years),
        columns=(LEVEL, CHANGE, *analysis.covariates),
        titles=titles,
        soon=0,
    )


def cross_section(panel: Panel, *, design: Design, variable: str, year: int) -> Baseline:
    """Units with the level of `variable` in one year; there is no history, so no change can be compared."""
    analysis = design.analysis
    if design.treatment.known_through is not None and year > design.treatment.known_through:
        raise EstimationError(
            message(
                "exposures are known through {known_through} only, not in {year}",
                known_through=design.treatment.known_through,
                year=year,
            )
        )
    rows = design.with_analysis(unit="place").unit_years(panel)
    units = _units(rows)
    levels = panel.frame.loc[panel.frame["year"] == year].set_index("place_id")[variable]
    units["outcome"] = levels
    names = analysis.cross_section_covariates
    places = design.with_analysis(unit="place")
    covariates = covariate_table(panel, design=places, names=names, years=analysis.baseline_years)
    return _finished(
        units.join(covariates),
        design=design,
        first=max(analysis.baseline_years),
        last=year,
        columns=names,
        titles={},
        soon=10,
    )


def _units(rows: pd.DataFrame) -> pd.DataFrame:
    fixed = ["cohort", "is_undated", "is_later_edition", "cluster", "label"]
    return rows.groupby("unit")[fixed].first()


def _complete_mean(rows: pd.DataFrame) -> pd.Series:
    """Mean of the outcome by unit over all years in which any unit has a figure; NaN where one is missing."""
    seen = rows.loc[rows["outcome"].notna()]
    by_unit = seen.groupby("unit")["outcome"]
    return by_unit.mean().where(by_unit.size() == seen["time"].nunique())


def _slopes(rows: pd.DataFrame) -> pd.Series:
    """Least-squares slope of the outcome on time by unit; NaN with fewer than two years."""
    seen = rows.loc[rows["outcome"].notna(), ["unit", "time", "outcome"]].astype({"time": float})
    means = seen.groupby("unit")[["time", "outcome"]].transform("mean")
    centred = seen[["time", "outcome"]] - means
    products = pd.DataFrame(
        {"unit": seen["unit"], "xy": centred["time"] * centred["outcome"], "xx": centred["time"] ** 2}
    )
    sums = products.groupby("unit").sum()
    return (sums["xy"] / sums["xx"].where(sums["xx"] > 0)).rename(CHANGE)


def _finished(
    units: pd.DataFrame,
    *,
    design: Design,
    first: int,
    last: int,
    columns: Sequence[str],
    titles: dict[str, str],
    soon: int,
) -> Baseline:
    """Units with all figures; comparison units exposed within `soon` years after `last` are left out."""
    later = units["is_later_edition"].astype(bool)
    exposed = units["cohort"].notna() & (units["cohort"] <= last)
    every = {**titles, **{name: catalog.covariates()[name].title for name in columns if name not in titles}}
    rules: list[tuple[str, pd.Series]] = [
        (message("not all figures in the years compared"), units["outcome"].isna()),
        (UNDATED, units["is_undated"].astype(bool)),
        (message("exposed in {first} or before: no baseline", first=first), exposed & (units["cohort"] <= first)),
        (message("first awarded under another edition, by {last}", last=last), exposed & later),
        (message("exposed soon after {last}", last=last), (units["cohort"] > last) & (units["cohort"] <= last + soon)),
    ]
    rules += [(message("no baseline figure: {title}", title=every[name]), units[name].isna()) for name in columns]
    ledger, alive = [], pd.Series(True, index=units.index)
    for reason, drop in rules:
        gone = alive & drop
        if gone.any():
            ledger.append(Exclusion(reason=reason, rows=int(gone.sum()), units=int(gone.sum())))
            alive &= ~gone
    kept = units.loc[alive].assign(treated=exposed.loc[alive])
    if not kept["treated"].any() or kept["treated"].all():
        raise EstimationError(
            message(
                "{outcome}: {n_exposed} exposed and {n_comparison} comparison units have all baseline figures; "
                "both are needed",
                outcome=design.outcome.name,
                n_exposed=int(kept["treated"].sum()),
                n_comparison=int((~kept["treated"]).sum()),
            )
        )
    frame = kept.reset_index()[["unit", "label", "cluster", "treated", "outcome", *columns]]
    return Baseline(frame=frame, columns=tuple(columns), titles=every, exclusions=tuple(ledger))


def covariate_table(panel: Panel, *, design: Design, names: Sequence[str], years: Sequence[int]) -> pd.DataFrame:
    """Covariates by unit over the baseline years; a county's are put together from its places."""
    return characteristics(panel, unit=design.analysis.unit, names=names, years=years)


def characteristics(panel: Panel, *, unit: Geography, names: Sequence[str], years: Sequence[int]) -> pd.DataFrame:
    """Covariates of the catalog over `years`, one row a place or county and one column a name; NaN where unknown."""
    rows = panel.frame.loc[panel.frame["year"].isin(years)]
    key = "county_id" if unit == "county" else "place_id"
    table = {
        name: _measured(rows, catalog.covariates()[name], unit=key) for name in names if name in catalog.covariates()
    }
    return pd.DataFrame(table, index=pd.Index(sorted(rows[key].unique()), name="unit"))


def _measured(rows: pd.DataFrame, covariate: Covariate, *, unit: str) -> pd.Series:
    values = rows[list(covariate.variables)].sum(axis=1, skipna=False)
    keys = [rows[unit], rows["year"]]
    if covariate.over_places == "sum":
        yearly = values.groupby(keys).sum(min_count=1)
    else:
        people = rows["population_count"].where(values.notna())
        yearly = (values * people).groupby(keys).sum(min_count=1) / people.groupby(keys).sum(min_count=1)
        if unit == "place_id":
            yearly = values.groupby(keys).first()
    by_unit = yearly.groupby(level=0)
    if covariate.transform == "log":
        return np.log(by_unit.mean())
    if covariate.transform == "log_change":
        return np.log(by_unit.last() / by_unit.first())
    return by_unit.mean()
