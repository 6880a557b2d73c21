"""Every other planned way of asking the same question, beside the headline.

In: a Design, its Sample and the panel. Out: named estimates; a way that cannot be gone is kept with its reason.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Iterable
from typing import Any, Final

import pandas as pd

from wwc_research.catalog import Headline, Plan
from wwc_research.design.balance import balance, overlap
from wwc_research.design.baseline import Baseline, long_difference
from wwc_research.design.design import PEOPLE_SHARE, Design
from wwc_research.design.matching import Matches, nearest
from wwc_research.design.optimal import optimal
from wwc_research.design.sample import Sample
from wwc_research.design.variants import weighted_by_people
from wwc_research.errors import EstimationError
from wwc_research.estimators import estimate as estimate_by_name
from wwc_research.estimators import matched_difference
from wwc_research.estimators.estimate import Estimate
from wwc_research.estimators.precision import precision_weighted
from wwc_research.evidence import planned_estimators
from wwc_research.evidence.evidence import Named
from wwc_research.messages import message, said
from wwc_research.panel.panel import Panel

TITLES: Final[dict[Headline, str]] = {
    "imputation": message("Imputation"),
    "callaway_santanna": message("Callaway and Sant'Anna"),
}


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """A matched comparison with everything a page shows of it, and what it was made from."""

    estimate: Estimate
    balance: tuple[dict[str, Any], ...]
    matched: tuple[dict[str, Any], ...]
    overlap: tuple[dict[str, float], ...]
    frame: pd.DataFrame
    matches: Matches


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Alternatives:
    """Named estimates in the order of the page, those that could be had under their titles, and the matched one."""

    named: tuple[Named, ...]
    found: dict[str, Estimate]
    compared: Comparison | None


def as_named(title: str, found: Estimate, *, name: str) -> Named:
    """The estimate under the name it has on the page."""
    return Named(name=name, title=title, estimate=found.as_dict())


def alternatives(design: Design, panel: Panel, *, sample: Sample, plan: Plan, headline: Headline) -> Alternatives:
    """The plan's other ways of asking than `headline`, and the other of the two that may head a page.

    A way that cannot be gone is kept with its reason.
    """
    compared: list[Comparison] = []

    def matched() -> Estimate:
        compared.append(compare(long_difference(panel, design=design), plan=plan))
        return compared[0].estimate

    def varied(**changes: object) -> Callable[[], Estimate]:
        changed = design.with_analysis(**changes)
        return lambda: run(headline, changed.sample(panel))

    analysis = design.analysis
    other: Headline = "callaway_santanna" if headline == "imputation" else "imputation"

    def run(name: str, chosen: Sample) -> Estimate:
        return planned_estimators.run(name, chosen, aggregation=analysis.aggregation, seed=plan.seed)

    ways: list[tuple[str, str, Callable[[], Estimate]]] = [
        (other, TITLES[other], lambda: run(other, sample)),
        ("two_way_fe", message("Two-way fixed effects"), lambda: run("two_way_fe", sample)),
        ("event_study", message("Event study (two-way fixed effects), mean after"), lambda: run("event_study", sample)),
        ("matched_difference", message("Matched pairs, change since the baseline"), matched),
        (
            "never",
            message("Callaway and Sant'Anna, against never exposed only"),
            lambda: run("callaway_santanna", design.with_analysis(comparison="never").sample(panel)),
        ),
        ("anticipation_1", message("One year of anticipation"), varied(anticipation=1)),
        (
            "panel_matching",
            message("Matched on the years before, doubly robust"),
            lambda: run("panel_matching", sample),
        ),
        ("synthetic_did", message("Synthetic difference-in-differences"), lambda: run("synthetic_did", sample)),
        ("random_trends", message("Each unit with a trend of its own"), lambda: run("random_trends", sample)),
    ]
    if "outcome_std_error" in sample.frame:
        weighted = message("Rows weighted by the survey's precision")
        ways.append(("precision", weighted, lambda: run(headline, precision_weighted(sample))))
    by_people, by_region = weighted_by_people(sample), dataclasses.replace(sample, effects=("region",))
    ways += [
        ("population", message("Units weighted by their population"), lambda: run(headline, by_people)),
        (
            "region_by_year",
            message("Two-way fixed effects within census regions"),
            lambda: estimate_by_name(by_region, "two_way_fe"),
        ),
    ]
    if analysis.unit == "county" and analysis.also_by_place:
        shares = dataclasses.replace(design, dose=PEOPLE_SHARE)
        per_county = message("Per whole county exposed, by share of its people (two-way fixed effects)")
        ways.append(
            (
                "people_share",
                per_county,
                lambda: estimate_by_name(shares.sample(panel), "dose_response", estimand="twfe"),
            )
        )
    if analysis.unit == "county" and analysis.also_by_place:
        ways.append(("by_place", message("Cities as units, errors clustered by county"), varied(unit="place")))
    ways = [way for way in ways if way[0] in analysis.alternatives or way[0] == other]
    named: list[Named] = []
    found: dict[str, Estimate] = {}
    for name, title, way in ways:
        try:
            result = way()
        except EstimationError as error:
            named.append(Named(name=name, title=title, estimate=None, failed=said(error)))
        else:
            named.append(as_named(title, result, name=name))
            found[title] = result
    return Alternatives(named=tuple(named), found=found, compared=compared[0] if compared else None)


def compare(baseline: Baseline, *, plan: Plan) -> Comparison:
    """Exposed units paired by the plan's rule, the effect, the balance, who with whom."""
    frame = baseline.frame.assign(treated=baseline.frame["treated"].astype(int)).set_index("unit", drop=False)
    rule = plan.matching
    chosen: dict[str, Any] = {"distance": rule.distance, "ratio": rule.ratio}
    if rule.method == "optimal":
        matches = optimal(frame, treatment="treated", covariates=list(baseline.columns), **chosen).as_matches()
    else:
        matches = nearest(frame, treatment="treated", covariates=list(baseline.columns), **chosen)
    found = matched_difference.estimate(frame, matches, outcome="outcome", cluster=_shared_cluster(frame))
    rows = balance(frame, treatment="treated", covariates=list(baseline.columns), weights=matches.weights)
    return Comparison(
        estimate=dataclasses.replace(found, exclusions=(*baseline.exclusions, *found.exclusions)),
        balance=tuple(_balance_row(row, baseline.titles) for row in rows.to_dict("records")),
        matched=tuple(_who_with_whom(frame, matches)),
        overlap=tuple(_overlap(frame, matches)),
        frame=frame,
        matches=matches,
    )


def _overlap(frame: pd.DataFrame, matches: Matches) -> list[dict[str, float]]:
    """Rows of `design.balance.overlap`; none where matching needed no propensity score."""
    if matches.propensity.empty:
        return []
    rows = overlap(frame, treatment="treated", propensity=matches.propensity, weights=matches.weights)
    return [{name: float(value) for name, value in row.items()} for row in rows.to_dict("records")]


def _shared_cluster(frame: pd.DataFrame) -> str | None:
    """Cluster by county as well, unless every unit is a county of its own."""
    return "cluster" if frame["cluster"].nunique() < len(frame) else None


def _balance_row(row: dict[str, Any], titles: dict[str, str]) -> dict[str, Any]:
    numbers = ("smd_before", "smd_after", "variance_ratio_before", "variance_ratio_after")
    known = {key: float(row[key]) if math.isfinite(row[key]) else None for key in numbers}
    return {"covariate": row["covariate"], "title": titles[row["covariate"]], **known}


def _who_with_whom(frame: pd.DataFrame, matches: Matches) -> Iterable[dict[str, Any]]:
    labels = frame["label"]
    for treated, rows in matches.pairs.groupby("treated", sort=False):
        yield {"treated": labels[treated], "controls": [labels[unit] for unit in rows["control"]]}
