r"""Two stages: unit and time effects from untreated outcomes, then the mean of what they leave of the exposed.

**Estimand.** The effect on exposed units and times; `simple` averages over all of them by weight, `dynamic`
at each event time by weight, then over event times 0 and later.

**Assumptions.** Parallel trends in every period and for every unit, given covariates that change over time;
no effect before exposure less the anticipation. Effects may differ in any way.

**Equation.** First, on rows with $t < g_i - a$ alone ($a$ periods of anticipation): $y_{it} = \alpha_i +
\lambda_t + x_{it}'\gamma + \varepsilon_{it}$; then, on all rows, $y_{it} - \hat\alpha_i - \hat\lambda_t -
x_{it}'\hat\gamma$ on an indicator of exposure, or on one for every event time. Weighted by the sample's
weights in both stages. Estimates after exposure are those of `imputation`.

**Standard errors.** Both stages as one method of moments: each cluster's second-stage scores less what its
first-stage residuals move them by. No small-sample factor, normal inference, as in R's did2s. Effects that
differ between cohorts and times count as noise, so these are wider than those of `imputation` where they do.
The pre-trend test is a joint Wald test of all leads before the anticipation window, its covariance inverted
on its range.

**Edge cases.** Units without an untreated row are left out and counted, as are exposed rows at times when
nobody is untreated. A cohort with a single untreated year is kept. A lead is the mean residual of rows that
were themselves fitted, and so drawn towards zero: read a trend in `imputation`'s leads rather. Covariates
that unit and time effects explain on untreated rows are dropped and named.

**Reference.** Gardner (2021), "Two-stage differences in differences", arXiv:2207.05943, section 3; Butts and
Gardner (2022), "did2s: Two-stage difference-in-differences", R Journal 14(3). Numbers: did2s 1.2.0 on mpdta.

**Deviations.** None from did2s where its first stage is `| unit + time`. With anticipation, rows inside the
window are neither fitted nor counted as exposed, but shown. `comparison = "never"` only leaves out units
first exposed after the last period.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal, get_args

import numpy as np

from wwc_research.design.sample import Sample
from wwc_research.estimators import linear
from wwc_research.estimators.estimate import Estimate, EventTerm
from wwc_research.estimators.linear import Codes, Floats
from wwc_research.estimators.options import Option, checked
from wwc_research.estimators.rows import Rows, read_rows
from wwc_research.estimators.untreated_outcomes import Cells, UntreatedFit, cells, fit_untreated, imputable
from wwc_research.messages import counted, message

Aggregation = Literal["simple", "dynamic"]
NAME = "two_stage"
FEW_CLUSTERS = 5
OPTIONS = (
    Option(
        name="aggregation",
        meaning="which average of the effects is the overall estimate.",
        default="simple",
        allowed=get_args(Aggregation),
    ),
)
_ESTIMANDS = {
    "simple": message("effect on the exposed, averaged over exposed units and times by weight"),
    "dynamic": message("effect on the exposed, averaged over units at each event time, then over event times"),
}


def estimate(sample: Sample, *, aggregation: Aggregation | None = None) -> Estimate:
    """The average effect on the exposed, with the mean at every event time, before and after exposure.

    Parameters
    ----------
    sample
        Checked rows; `weight`, `covariates`, `anticipation` and `cluster` are honoured.
    aggregation
        `simple` (default) or `dynamic`; the event study is always by event time.

    Raises
    ------
    EstimationError
        Where no exposed outcome can be imputed.
    InputError
        Where a unit changes its cluster.
    """
    options = checked({"aggregation": aggregation}, declared=OPTIONS, estimator=NAME)
    rows = imputable(read_rows(sample), estimator=NAME)
    fit = fit_untreated(rows)
    at, means = _by_event_time(fit)
    scores = means.scores(means.centred(means.mean), combinations=np.eye(len(at)))
    errors = fit.std_errors(np.square(scores).sum(axis=0))
    value, variance = _overall(at, means, scores, by=aggregation or "simple")
    leads = (at < -rows.anticipation) & np.isfinite(errors)
    statistic, restrictions = linear.wald_statistic(means.mean[leads], scores[:, leads].T @ scores[:, leads])
    return Estimate(
        estimator=NAME,
        estimand=_ESTIMANDS[aggregation or "simple"],
        estimate=value,
        std_error=float(fit.std_errors(np.array(variance))),
        n_obs=len(rows.outcome),
        n_units=rows.n_units,
        n_treated=rows.n_treated,
        n_clusters=rows.n_clusters,
        event_study=tuple(
            EventTerm(event_time=int(event_time), estimate=float(mean), std_error=float(error))
            for event_time, mean, error in zip(at, means.mean, errors, strict=True)
        ),
        pre_trend_statistic=statistic,
        pre_trend_restrictions=restrictions,
        exclusions=rows.exclusions,
        settings={
            **sample.settings,
            **options,
            "comparison": rows.comparison,
            "anticipation": rows.anticipation,
            "std_errors": "two-stage moments summed by cluster, normal",
            "dropped_covariates": [rows.covariate_names[position] for position in fit.dropped],
            "warnings": list(_warnings(rows)),
        },
    )


def _by_event_time(fit: UntreatedFit) -> tuple[Codes, Cells]:
    """Event times in order, and the mean gap at each."""
    event_time = fit.rows.event_time
    ever = np.isfinite(event_time)
    at, code = np.unique(event_time[ever].astype(np.int64), return_inverse=True)
    codes = np.full(len(event_time), -1, dtype=np.int64)
    codes[ever] = code
    return at, cells(fit, codes=codes, n_cells=len(at))


def _overall(at: Codes, means: Cells, scores: Floats, *, by: Aggregation) -> tuple[float, float]:
    """The average asked for and its variance."""
    if by == "dynamic":
        share = (at >= 0) / (at >= 0).sum()
        return float(share @ means.mean), float(np.square(scores @ share).sum())
    weight = np.where(at >= 0, means.weight, 0.0)
    share = weight / weight.sum()
    value = float(share @ means.mean)
    # the second stage has one indicator, so that all exposed rows are held against one mean
    centred = means.centred(np.full(len(at), value))
    return value, float(means.variances(centred, combinations=share[:, None])[0])


def _warnings(rows: Rows) -> Iterator[str]:
    """What a reader must know about an estimate that rests on few exposed clusters."""
    n = len(np.unique(rows.cluster[rows.is_exposed]))
    if n < FEW_CLUSTERS:
        yield counted(
            "{n} exposed cluster: the standard error is too small.",
            "{n} exposed clusters: the standard error is too small.",
            n=n,
        )
