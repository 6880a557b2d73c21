r"""Goodman-Bacon decomposition: which 2x2 comparisons the two-way fixed-effects estimate is made of.

**Estimand.** The two-way fixed-effects estimate without covariates, taken apart: a weighted average of all
comparisons of two groups over two spans of time. A diagnostic of `two_way_fe`, not a remedy: where units
exposed earlier serve as comparison for later ones and weigh much, read `callaway_santanna` instead.

**Assumptions.** None for the decomposition, which is arithmetic. For its comparisons: parallel trends; those
of later against earlier exposed units also need an effect that no longer moves.

**Equation.** $\hat\beta = \sum_{k}s_{kU}\hat\beta_{kU} + \sum_{k<l}\big(s_{kl}^{k}\hat\beta_{kl}^{k} +
s_{kl}^{l}\hat\beta_{kl}^{l}\big)$ with $s_{kU} \propto n_k n_U \bar D_k(1-\bar D_k)$,
$s_{kl}^{k} \propto n_k n_l(\bar D_k-\bar D_l)(1-\bar D_k)$ and
$s_{kl}^{l} \propto n_k n_l \bar D_l(\bar D_k-\bar D_l)$: $n$ the share of units, $\bar D$ the share of periods
exposed. In the settings, `comparisons` holds each, and `shares` their weight and mean estimate by type.

**Standard errors.** Of the two-way fixed-effects estimate, as in `two_way_fe`. The comparisons have none:
they are its parts, not tests of their own.

**Edge cases.** Units not observed in every period are left out and counted, since the decomposition holds in
balanced panels. Weights must be constant within units. Covariates are not used, and named in the settings.
Cohorts first exposed after the last period count as untreated. Anticipation is refused: leaving its rows out
would unbalance the panel.

**Reference.** Goodman-Bacon (2021), "Difference-in-differences with variation in treatment timing", Journal
of Econometrics 225(2), theorem 1. Numbers: bacondecomp 0.1.1 on mpdta.

**Deviations.** bacondecomp has a further type, against units exposed from the first period; here such units
are left out. Sample weights, which it lacks, are the sizes of the groups.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from wwc_research.design.sample import Sample
from wwc_research.errors import EstimationError
from wwc_research.estimators import linear
from wwc_research.estimators.estimate import Estimate
from wwc_research.estimators.linear import STD_ERRORS, Floats, StdErrors
from wwc_research.estimators.options import Option, checked
from wwc_research.estimators.rows import Mask, Rows, read_rows
from wwc_research.messages import message

NAME = "goodman_bacon"
OPTIONS = (
    Option(
        name="std_errors",
        meaning="how errors may depend on one another.",
        default="cluster",
        allowed=STD_ERRORS,
    ),
)
UNTREATED = "treated vs untreated"
EARLIER = "earlier vs later treated"
LATER = "later vs earlier treated"


@dataclass(frozen=True, slots=True, kw_only=True)
class _Groups:
    """Units by first exposed time: its value, weight share, share of periods exposed, mean outcome by period."""

    cohort: Floats
    size: Floats
    exposed: Floats
    outcome: Floats
    time: Floats


@dataclass(frozen=True, slots=True, kw_only=True)
class _Comparison:
    """One 2x2 comparison; `comparison_cohort` is infinite for the untreated, `weight` not yet normalised."""

    kind: str
    cohort: float
    comparison_cohort: float
    weight: float
    estimate: float


def estimate(sample: Sample, *, std_errors: StdErrors | None = None) -> Estimate:
    """The two-way fixed-effects estimate, with the 2x2 comparisons it averages in `settings`.

    Parameters
    ----------
    sample
        Checked rows; `weight` (constant within units) and `comparison` are honoured, covariates are not used.
    std_errors
        Of the overall estimate: `cluster` (default), `jackknife` (by cluster), `iid`, `hetero`,
        `two_way_cluster` (cluster and time), `driscoll_kraay`, `newey_west`.

    Returns
    -------
    Estimate
        `settings["comparisons"]` is a list of records with type, cohort, comparison_cohort (null: untreated),
        weight (all sum to 1) and estimate; `settings["shares"]` maps each type to weight and mean estimate.

    Raises
    ------
    EstimationError
        With anticipation, with weights that vary within a unit, or where no balanced panel is left.
    """
    options = checked({"std_errors": std_errors}, declared=OPTIONS, estimator=NAME)
    rows = _balanced(read_rows(sample))
    fit = linear.fit(
        rows.outcome,
        rows.is_exposed.astype(float)[:, None],
        effects=(rows.unit, rows.period),
        weights=rows.weight,
        errors=rows.error_model(std_errors or "cluster"),
    )
    comparisons = list(_comparisons(_groups(rows)))
    return Estimate(
        estimator=NAME,
        estimand=message("two-way fixed-effects estimate without covariates, decomposed into its 2x2 comparisons"),
        estimate=float(fit.coefficients[0]),
        std_error=float(fit.std_errors[0]),
        df=fit.df,
        n_obs=len(rows.outcome),
        n_units=rows.n_units,
        n_treated=rows.n_treated,
        n_clusters=rows.n_clusters,
        exclusions=rows.exclusions,
        settings={
            **sample.settings,
            **options,
            "comparison": rows.comparison,
            "anticipation": rows.anticipation,
            "covariates_not_used": list(rows.covariate_names),
            **_records(comparisons),
        },
    )


def _balanced(rows: Rows) -> Rows:
    """Units seen in every period, in a panel that the decomposition holds for."""
    if rows.anticipation:
        raise EstimationError(
            message(
                "{estimator}: anticipation = {anticipation} leaves rows out of each exposed unit, and the "
                "decomposition holds only in balanced panels; set anticipation to 0, or use callaway_santanna.",
                estimator=NAME,
                anticipation=rows.anticipation,
            )
        )
    n_periods = int(rows.period.max()) + 1
    rows = rows.without(
        rows.of_units(np.bincount(rows.unit) < n_periods),
        reason=message(
            "unit not observed in each of the {n_periods} periods: the decomposition needs a balanced panel",
            n_periods=n_periods,
        ),
    )
    exposed = rows.is_exposed
    if exposed.size == 0 or exposed.all() or not exposed.any() or np.unique(_cohort(rows)).size < 2:
        raise EstimationError(
            message(
                "{estimator}: of the units observed in all {n_periods} periods, none are exposed or none are "
                "left to compare with; shorten the window to years that most units have, or use "
                "callaway_santanna.",
                estimator=NAME,
                n_periods=n_periods,
            )
        )
    if (np.diff(rows.weight) != 0)[np.diff(rows.unit) == 0].any():
        raise EstimationError(
            message(
                "{estimator}: weights change over time within a unit, for which the decomposition does not hold; "
                "give each unit one weight.",
                estimator=NAME,
            )
        )
    return rows


def _cohort(rows: Rows) -> Floats:
    """First exposed time; infinity also for units exposed after the last period."""
    return np.where(rows.cohort > rows.time.max(), np.inf, rows.cohort)


def _groups(rows: Rows) -> _Groups:
    values, group = np.unique(_cohort(rows), return_inverse=True)
    times, period = np.unique(rows.time, return_inverse=True)
    n_cells = len(values) * len(times)
    cell = group * len(times) + period
    weight = np.bincount(cell, weights=rows.weight, minlength=n_cells)
    total = np.bincount(cell, weights=rows.weight * rows.outcome, minlength=n_cells)
    size = weight.reshape(len(values), -1)[:, 0]
    return _Groups(
        cohort=values,
        size=size / size.sum(),
        exposed=(times[None, :] >= values[:, None]).mean(axis=1),
        outcome=(total / weight).reshape(len(values), -1),
        time=times.astype(float),
    )


def _comparisons(groups: _Groups) -> Iterator[_Comparison]:
    """Every 2x2 comparison, cohort by cohort."""
    n, exposed, time = groups.size, groups.exposed, groups.time
    treated = np.flatnonzero(np.isfinite(groups.cohort))
    for k in treated.tolist():
        before, after = time < groups.cohort[k], time >= groups.cohort[k]
        for u in np.flatnonzero(np.isinf(groups.cohort)).tolist():
            weight = n[k] * n[u] * exposed[k] * (1 - exposed[k])
            yield _compare(groups, UNTREATED, k, u, before=before, after=after, weight=weight)
        for later in treated[groups.cohort[treated] > groups.cohort[k]].tolist():
            rest, both = time < groups.cohort[later], n[k] * n[later] * (exposed[k] - exposed[later])
            weight = both * (1 - exposed[k])
            yield _compare(groups, EARLIER, k, later, before=before, after=after & rest, weight=weight)
            weight = both * exposed[later]
            yield _compare(groups, LATER, later, k, before=after & rest, after=~rest, weight=weight)


def _compare(
    groups: _Groups, kind: str, focal: int, other: int, *, before: Mask, after: Mask, weight: float
) -> _Comparison:
    gap = groups.outcome[focal] - groups.outcome[other]
    return _Comparison(
        kind=kind,
        cohort=float(groups.cohort[focal]),
        comparison_cohort=float(groups.cohort[other]),
        weight=float(weight),
        estimate=float(gap[after].mean() - gap[before].mean()),
    )


def _records(comparisons: list[_Comparison]) -> dict[str, Any]:
    """The comparisons and their shares by type as plain values, weights summing to 1."""
    total = sum(item.weight for item in comparisons)
    records: list[dict[str, Any]] = [
        {
            "type": item.kind,
            "cohort": int(item.cohort),
            "comparison_cohort": int(item.comparison_cohort) if np.isfinite(item.comparison_cohort) else None,
            "weight": item.weight / total,
            "estimate": item.estimate,
        }
        for item in comparisons
    ]
    shares = {}
    for kind in (UNTREATED, EARLIER, LATER):
        parts = [record for record in records if record["type"] == kind]
        if parts:
            weight = sum(part["weight"] for part in parts)
            mean = sum(part["weight"] * part["estimate"] for part in parts) / weight
            shares[kind] = {"weight": weight, "estimate": mean}
    return {"comparisons": records, "shares": shares}
