"""The same sample with one choice made otherwise: rows left out, or places collapsed to counties.

In: a Sample of a Design. Out: another Sample, with every row it lost in its exclusions.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import replace

import pandas as pd

from wwc_research.design.sample import Exclusion, Sample
from wwc_research.errors import EstimationError
from wwc_research.messages import message


def without(sample: Sample, drop: pd.Series, *, reason: str) -> Sample:
    """The sample less the rows marked in `drop`, which are counted under `reason`.

    Raises
    ------
    EstimationError
        Where no exposed or no comparison row is left.
    """
    gone, frame = sample.frame.loc[drop], sample.frame.loc[~drop]
    treated = frame["cohort"].notna()
    if not treated.any() or (treated.all() and sample.comparison == "never"):
        raise EstimationError(
            message("{reason}: no comparison unit is left", reason=reason)
            if treated.any()
            else message("{reason}: no exposed unit is left", reason=reason)
        )
    ledger = (Exclusion(reason=reason, rows=len(gone), units=int(gone["unit"].nunique())),) if len(gone) else ()
    return replace(sample, frame=frame.reset_index(drop=True), exclusions=(*sample.exclusions, *ledger))


def without_cohort(sample: Sample, cohort: float) -> Sample:
    """The sample less the units first exposed in `cohort`."""
    return without(
        sample, sample.frame["cohort"] == cohort, reason=message("first exposed in {cohort:.0f}", cohort=cohort)
    )


def donut(sample: Sample) -> Sample:
    """The sample less the year of exposure and the year before of every exposed unit.

    The year before is then one that may already have responded, so that no estimator takes it for its base.
    """
    distance = sample.frame["time"] - sample.frame["cohort"]
    kept = without(sample, distance.isin([-1, 0]), reason=message("the year of exposure or the year before"))
    return replace(kept, anticipation=max(sample.anticipation, 1))


def without_neighbours(sample: Sample, counties: Collection[str]) -> Sample:
    """The sample less the comparison places of the counties named, in which another place is exposed."""
    drop = sample.frame["cohort"].isna() & sample.frame["cluster"].isin(list(counties))
    return without(sample, drop, reason=message("comparison place with an exposed place in its county"))


def weighted_by_people(sample: Sample) -> Sample:
    """Rows weighted by the unit's median population; units without one are left out and counted."""
    people = sample.frame.groupby("unit")["people"].transform("median")
    known = without(sample, people.isna(), reason=message("no population to weight by"))
    weights = people[people.notna()].to_numpy(dtype=float)
    return replace(known, frame=known.frame.assign(weight=weights / weights.mean()))


def by_county(sample: Sample) -> Sample:
    """A sample of places collapsed to their counties: means weighted by people, the earliest exposure of any place.

    Only places with a figure in every time of the sample enter, so that a mean does not move because another place
    answered. A county's mean holds its unexposed places too, which dilutes the effect.

    Returns
    -------
    Sample
        Units and clusters are counties, `n_places` the places in the mean; without strata, standard errors of the
        outcome and coordinates.
    """
    frame = sample.frame
    complete = frame.groupby("unit")["time"].transform("size") == frame["time"].nunique()
    kept = without(sample, ~complete, reason=message("a place without a figure in every year"))
    people = kept.frame.groupby("unit")["people"].transform("median")
    kept = without(kept, people.isna(), reason=message("no population to weight by"))
    rows = kept.frame.assign(share=kept.frame.groupby("unit")["people"].transform("median"))
    rows = rows.assign(total=rows["outcome"] * rows["share"])
    counties = rows.groupby(["cluster", "time"], as_index=False).agg(
        total=("total", "sum"),
        people=("share", "sum"),
        cohort=("cohort", "min"),
        n_places=("unit", "nunique"),
        region=("region", "first"),
    )
    counties = counties.assign(
        unit=counties["cluster"],
        label=counties["cluster"],
        outcome=counties["total"] / counties["people"],
        weight=1.0,
    )
    return replace(kept, frame=counties.drop(columns="total"), settings={**sample.settings, "unit": "county"})
