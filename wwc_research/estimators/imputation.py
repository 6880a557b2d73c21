r"""Imputation: what exposed units would have had, foretold from untreated outcomes alone, and the difference.

**Estimand.** $\tau_w = \sum w_{it}\tau_{it}$, the effect on exposed units and times, averaged by
`aggregation`: `simple` (over all of them by weight), `group` (the mean of each cohort's times, then over
cohorts by the weight of their units), `calendar` (at each time by weight, then over times), `dynamic` (at
each event time by weight, then over event times 0 and later).

**Assumptions.** Parallel trends in every period and for every unit, given covariates that change over time;
no effect before exposure less the anticipation. Effects may differ in any way. Where errors are
uncorrelated and of one variance, no linear unbiased estimator is more precise; parallel trends are relied
on over all periods before exposure, not the last one alone.

**Equation.** On rows with $t < g_i - a$ alone ($a$ periods of anticipation): $y_{it} = \alpha_i + \lambda_t +
x_{it}'\gamma + \varepsilon_{it}$, weighted by the sample's weights; then $\hat\tau_{it} = y_{it} -
\hat\alpha_i - \hat\lambda_t - x_{it}'\hat\gamma$ for $t \ge g_i$. Leads come from a regression of their own,
on untreated rows only, with an indicator for each of the last `leads` periods before $g_i - a$: all earlier
ones are the base.

**Standard errors.** $\hat\tau_w = \sum v_{it} y_{it}$; the variance is the sum over clusters of
$(\sum v_{it}\tilde\varepsilon_{it})^2$, where $\tilde\varepsilon_{it}$ is the residual of untreated rows
and $\hat\tau_{it} - \bar\tau_{gt}$ of exposed ones, $\bar\tau_{gt}$ the average effect on the cohort at that time
that makes the variance least. It is conservative where effects differ within a cohort and time, and too
small where a cohort has few clusters, since $\bar\tau_{gt}$ follows the units it is taken from.
`bjs_leave_out` takes $\bar\tau_{gt}$ from the other clusters: with cohorts of 9, 4, 6 and 27 of 470 units its 95 %
intervals held the truth in 96 % of worlds, those of `bjs` in 93 % (`benchmarks/coverage.md`). Normal inference,
no small-sample factor.
Leads have CRV1 errors as in R's fixest; their joint test is a Wald test, chi-squared.

**Edge cases.** Units without an untreated row are left out and counted, as are exposed rows at times when
nobody is untreated. A cohort with a single untreated year is kept. Times inside the anticipation window are
imputed and shown, but neither averaged nor tested. A missing wave costs nothing but its own rows. Covariates
that unit and time effects explain on untreated rows are dropped and named. With `bjs_leave_out` an average
that holds a cohort of a single cluster has no standard error.

**Reference.** Borusyak, Jaravel and Spiess (2024), "Revisiting event-study designs: robust and efficient
estimation", Review of Economic Studies 91(6), theorems 1 to 3, appendix A.9 for the leave-out.
Numbers: didimputation 0.5.0 and fixest 0.14.2 on mpdta.

**Deviations.** R's didimputation drops cohorts with a single untreated year, here they stay. With clusters
above units $\bar\tau_{gt}$ weighs clusters, as in the paper and Stata's did_imputation; R weighs rows.
`comparison = "never"` only leaves out units first exposed after the last period: the years before exposure
of the others inform the time effects in either case.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np
from scipy import sparse

from wwc_research.design.sample import Sample
from wwc_research.errors import EstimationError, InputError
from wwc_research.estimators import linear
from wwc_research.estimators.estimate import Estimate, EventTerm, GroupTimeTerm
from wwc_research.estimators.linear import Codes, Floats
from wwc_research.estimators.options import Option, checked
from wwc_research.estimators.rows import Rows, read_rows
from wwc_research.estimators.untreated_outcomes import (
    Cells,
    UntreatedFit,
    cells,
    fit_untreated,
    imputable,
    is_untreated,
)
from wwc_research.messages import counted, message

Aggregation = Literal["simple", "group", "calendar", "dynamic"]
StdErrors = Literal["bjs", "bjs_leave_out"]
NAME = "imputation"
DEFAULT_LEADS = 5
FEW_CLUSTERS = 5
OPTIONS = (
    Option(
        name="aggregation",
        meaning="which average of the effects is the overall estimate.",
        default="simple",
        allowed=get_args(Aggregation),
    ),
    Option(
        name="std_errors",
        meaning="whether a cluster's own effect counts in the average it is held against.",
        default="bjs",
        allowed=get_args(StdErrors),
    ),
    Option(name="leads", meaning="periods before exposure whose leads are estimated and tested; 0 for none."),
)
_ESTIMANDS = {
    "simple": message("effect on the exposed, averaged over exposed units and times by weight"),
    "group": message("effect on the exposed, averaged over the times of each cohort, then over cohorts by weight"),
    "calendar": message("effect on the exposed, averaged over units at each time, then over times"),
    "dynamic": message("effect on the exposed, averaged over units at each event time, then over event times"),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class _CohortTimes:
    """Cohorts at times whose outcomes are imputed, and their mean effects; arrays of shape (cells,)."""

    cohort: Codes
    time: Codes
    means: Cells

    @property
    def event_time(self) -> Codes:
        return self.time - self.cohort


@dataclass(frozen=True, slots=True, kw_only=True)
class _PreTrend:
    """Lead coefficients by event time, their joint covariance, and degrees of freedom."""

    event_time: tuple[int, ...]
    estimates: Floats
    covariance: Floats
    std_errors: Floats
    df: float

    def terms(self) -> tuple[EventTerm, ...]:
        return tuple(
            EventTerm(event_time=at, estimate=float(value), std_error=float(error), df=self.df)
            for at, value, error in zip(self.event_time, self.estimates, self.std_errors, strict=True)
        )

    def wald(self) -> tuple[float, int]:
        usable = np.isfinite(self.std_errors)
        return linear.wald_statistic(self.estimates[usable], self.covariance[np.ix_(usable, usable)])


def estimate(
    sample: Sample,
    *,
    aggregation: Aggregation | None = None,
    std_errors: StdErrors | None = None,
    leads: int | None = None,
) -> Estimate:
    """The average effect on the exposed, with the event study, its leads and every cohort-time effect.

    Parameters
    ----------
    sample
        Checked rows; `weight`, `covariates`, `anticipation` and `cluster` are honoured.
    aggregation
        `simple` (default), `group`, `calendar` or `dynamic`; the event study is always by event time.
    std_errors
        `bjs` (default) or `bjs_leave_out`.
    leads
        How many periods before exposure (less the anticipation) have a lead; by default as many as can be
        told apart, at most five.

    Raises
    ------
    EstimationError
        Where no exposed outcome can be imputed, or more leads are asked for than can be told apart.
    InputError
        Where a unit changes its cluster, or `leads` is negative.
    """
    options = checked(
        {"aggregation": aggregation, "std_errors": std_errors, "leads": leads}, declared=OPTIONS, estimator=NAME
    )
    rows = imputable(read_rows(sample), estimator=NAME)
    fit = fit_untreated(rows)
    table = _cohort_times(fit)
    overall = _overall(table, rows, by=aggregation or "simple")
    event_times, dynamic = _by_event_time(table)
    everything = np.column_stack([overall, dynamic, np.eye(len(overall))])
    errors = _std_errors(fit, table, combinations=everything, kind=std_errors or "bjs")
    values = everything.T @ table.means.mean
    pre_trend = _pre_trend(rows, wanted=leads)
    statistic, restrictions = pre_trend.wald()
    of_cells = slice(1 + len(event_times), None)
    return Estimate(
        estimator=NAME,
        estimand=_ESTIMANDS[aggregation or "simple"],
        estimate=float(values[0]),
        std_error=float(errors[0]),
        n_obs=len(rows.outcome),
        n_units=rows.n_units,
        n_treated=rows.n_treated,
        n_clusters=rows.n_clusters,
        event_study=(
            *pre_trend.terms(),
            *(
                EventTerm(event_time=int(at), estimate=float(value), std_error=float(error))
                for at, value, error in zip(event_times, values[1:], errors[1:], strict=False)
            ),
        ),
        group_time=_group_time_terms(fit, table, values=values[of_cells], errors=errors[of_cells]),
        pre_trend_statistic=statistic,
        pre_trend_restrictions=restrictions,
        exclusions=rows.exclusions,
        settings={
            **sample.settings,
            **options,
            "comparison": rows.comparison,
            "anticipation": rows.anticipation,
            "leads": list(pre_trend.event_time),
            "dropped_covariates": [rows.covariate_names[position] for position in fit.dropped],
            "warnings": list(_warnings(table, kind=std_errors or "bjs")),
        },
    )


def _cohort_times(fit: UntreatedFit) -> _CohortTimes:
    rows = fit.rows
    imputed = ~fit.is_fitted
    width = int(np.ptp(rows.time)) + 1
    key = rows.cohort[imputed].astype(np.int64) * width + (rows.time[imputed] - rows.time.min())
    distinct, code = np.unique(key, return_inverse=True)
    codes = np.full(len(rows.time), -1, dtype=np.int64)
    codes[imputed] = code
    return _CohortTimes(
        cohort=distinct // width,
        time=distinct % width + rows.time.min(),
        means=cells(fit, codes=codes, n_cells=len(distinct)),
    )


def _overall(table: _CohortTimes, rows: Rows, *, by: Aggregation) -> Floats:
    """Weight of each cohort-time effect in the overall estimate, summing to one; shape (cells,)."""
    exposed = table.time >= table.cohort
    weight = np.where(exposed, table.means.weight, 0.0)
    if by == "simple":
        return weight / weight.sum()
    if by == "group":
        cohorts, position = np.unique(table.cohort, return_inverse=True)
        first = np.flatnonzero(np.diff(rows.unit, prepend=-1))
        size = np.array([rows.weight[first][rows.cohort[first] == cohort].sum() for cohort in cohorts])
        n_times = np.bincount(position, weights=exposed)
        size = np.where(n_times > 0, size, 0.0)
        shares: Floats = exposed * (size / size.sum() / np.maximum(n_times, 1))[position]
        return shares
    position = np.unique(table.time if by == "calendar" else table.event_time, return_inverse=True)[1]
    total = np.bincount(position, weights=weight)
    averaged: Floats = weight / np.where(total > 0, total, 1.0)[position] / (total > 0).sum()
    return averaged


def _by_event_time(table: _CohortTimes) -> tuple[Codes, Floats]:
    """Event times, and the weight of each cohort-time effect in each, shape (cells, event times)."""
    at, position = np.unique(table.event_time, return_inverse=True)
    weight = np.where(position[:, None] == np.arange(len(at)), table.means.weight[:, None], 0.0)
    return at, weight / weight.sum(axis=0)


def _std_errors(fit: UntreatedFit, table: _CohortTimes, *, combinations: Floats, kind: StdErrors) -> Floats:
    """Standard errors of combinations of cohort-time effects, shape (combinations,)."""
    means = table.means
    # weights of a combination are the sample's times one factor a cell, which falls out of the average effect
    weight, total = means.cluster_weight, means.cluster_sum
    cell, n_cells = weight.indices, len(means.mean)
    product, square = weight.data * total.data, weight.data**2
    products = np.bincount(cell, weights=product, minlength=n_cells)
    squares = np.bincount(cell, weights=square, minlength=n_cells)
    if kind == "bjs":
        return fit.std_errors(means.variances(means.centred(products / squares), combinations=combinations))
    alone = _is_alone(weight)
    rest = np.where(alone[cell], 1.0, squares[cell] - square)
    centred = means.centred((products[cell] - product) / rest)
    centred.data[alone[cell]] = 0.0
    errors = fit.std_errors(means.variances(centred, combinations=combinations))
    return np.where((combinations[alone] != 0).any(axis=0), np.nan, errors)


def _is_alone(cluster_weight: sparse.csr_array) -> Floats:
    """Whether a cell holds a single cluster."""
    return np.bincount(cluster_weight.indices, minlength=cluster_weight.shape[1]) == 1


def _pre_trend(rows: Rows, *, wanted: int | None) -> _PreTrend:
    """The leads before exposure, from untreated rows only; nearest periods first to be kept.

    Borusyak, Jaravel and Spiess (2024), "Testing for parallel trends": apart from the effects, so that looking
    at the leads first does not bend the inference on the effects.
    """
    if wanted is not None and wanted < 0:
        raise InputError(f"options of {NAME}: leads = {wanted}; it is a number of periods, 0 or more.")
    limit = DEFAULT_LEADS if wanted is None else wanted
    start = -rows.anticipation
    rows = rows.without(~is_untreated(rows), reason=message("not in the regression of the leads"))
    is_near = rows.event_time >= start - limit
    near = np.unique(rows.event_time[is_near].astype(np.int64))[::-1]
    fit = None
    shown = len(near)
    while shown and fit is None:
        try:
            fit = fit_untreated(rows, regressors=_indicators(rows, near[:shown]))
        except linear.CollinearError:
            shown -= 1
    if wanted is not None and shown < len(near):
        raise EstimationError(
            message(
                "{estimator}: leads = {wanted}, but only {shown} can be told apart from unit and time effects; "
                "take that many.",
                estimator=NAME,
                wanted=wanted,
                shown=shown,
            )
        )
    if fit is None:
        return _PreTrend(
            event_time=(), estimates=np.zeros(0), covariance=np.zeros((0, 0)), std_errors=np.zeros(0), df=np.inf
        )
    return _lead_terms(fit, near[:shown])


def _indicators(rows: Rows, event_times: Codes) -> Floats:
    result = np.empty((len(rows.time), len(event_times)), order="F")
    for position, at in enumerate(event_times):
        result[:, position] = rows.event_time == at
    return result


def _lead_terms(fit: UntreatedFit, near: Codes) -> _PreTrend:
    """The leads in calendar order with fixest's clustered covariance (unit effects nested in clusters)."""
    n_clusters = fit.rows.n_clusters
    n, n_parameters = len(fit.gap), int(fit.rows.period.max()) + 1 + len(fit.coefficients)
    scores = fit.coefficient_scores()[:, : len(near)][:, ::-1]
    covariance = np.full((len(near), len(near)), np.nan)
    if n_clusters > 1 and n > n_parameters:
        covariance = scores.T @ scores * (n_clusters / (n_clusters - 1) * (n - 1) / (n - n_parameters))
    return _PreTrend(
        event_time=tuple(int(at) for at in near[::-1]),
        estimates=fit.coefficients[: len(near)][::-1],
        covariance=covariance,
        std_errors=fit.std_errors(np.diag(covariance)),
        df=float(n_clusters - 1) if n_clusters > 1 else np.nan,
    )


def _group_time_terms(
    fit: UntreatedFit, table: _CohortTimes, *, values: Floats, errors: Floats
) -> tuple[GroupTimeTerm, ...]:
    rows = fit.rows
    compared = np.bincount(rows.period, weights=fit.is_fitted)
    at = np.searchsorted(np.unique(rows.time), table.time)
    return tuple(
        GroupTimeTerm(
            cohort=int(cohort),
            time=int(time),
            estimate=float(value),
            std_error=float(error),
            n_treated=int(n_treated),
            n_comparison=int(n_comparison),
        )
        for cohort, time, value, error, n_treated, n_comparison in zip(
            table.cohort, table.time, values, errors, table.means.count, compared[at], strict=True
        )
    )


def _warnings(table: _CohortTimes, *, kind: StdErrors) -> Iterator[str]:
    """What a reader must know about cohorts that rest on few clusters."""
    weight = table.means.cluster_weight
    per_cell = np.bincount(weight.indices, minlength=weight.shape[1])
    for cohort in np.unique(table.cohort):
        n = int(per_cell[table.cohort == cohort].max())
        if n == 1 and kind == "bjs_leave_out":
            yield message(
                "cohort {cohort} has 1 cluster: averages that hold it have no leave-out standard error.", cohort=cohort
            )
        elif n < FEW_CLUSTERS:
            yield counted(
                "cohort {cohort} has {n} cluster: its standard errors are too small.",
                "cohort {cohort} has {n} clusters: its standard errors are too small.",
                cohort=cohort,
                n=n,
            )
