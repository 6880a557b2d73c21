r"""Sun and Abraham: an event study whose every cohort has its own path, averaged with the cohorts' shares.

**Estimand.** $CATT(g,e)$: the effect $e$ periods after exposure on units first exposed at $g$, against the
base. The event study averages cohorts by their number of (weighted) rows at that distance. Overall by
`aggregation`: `simple` (all exposed rows alike; R's `ATT`), `group`, `calendar` or `dynamic` (event times 0
and later alike).

**Assumptions.** Parallel trends between each cohort and the reference cohort at all times; no effect before
exposure less the anticipation. Exposure is absorbing.

**Equation.** $y_{it} = \alpha_i + \lambda_t + \sum_{g}\sum_{e \ne b_g} \delta_{g,e}\,1[g_i = g]\,1[t - g = e]
+ x_{it}'\gamma + \varepsilon_{it}$, weighted by the sample's weights; event time $e$ is
$\sum_g n_{g,e}\,\delta_{g,e} / \sum_g n_{g,e}$ with $n_{g,e}$ the weight of the rows in the cell.

**Standard errors.** As in `two_way_fe`: CRV1 by the sample's cluster unless told otherwise, $t$ and $F$ with
$G-1$ degrees of freedom. The cohorts' shares are taken as given, as in fixest: their sampling error is not
in the standard error. The pre-trend test is a joint Wald test of all event times before the anticipation
window. Cohorts of fewer than 5 units have standard errors that are too small: `settings["warnings"]` says so.

**Edge cases.** The reference cohort is never exposed, or (comparison = not_yet) exposed only after the last
period and its anticipation; where there is none, it is the cohort exposed last, and periods in which that one
is exposed are left out and counted. The base $b_g$ is $-1$ less the anticipation, or the latest observed
event time before that where a missing wave leaves none; an event time that is a cohort's base has no effect
of that cohort in it. Units never linked to their cohort's base by observed periods are left out and counted.
Covariates that the fixed effects explain are dropped and named in the settings.

**Reference.** Sun and Abraham (2021), "Estimating dynamic treatment effects in event studies with
heterogeneous treatment effects", Journal of Econometrics 225(2), section 4. Numbers: fixest 0.14.2 on mpdta.

**Deviations.** From fixest's `sunab`: units exposed from the first period are left out; without a never
exposed cohort fixest leaves the choice of the reference to the user (`ref.c`); where a base is missing fixest
drops some other event time as collinear.
"""

from __future__ import annotations

from wwc_research.design.sample import Sample
from wwc_research.estimators import cells
from wwc_research.estimators.cells import Aggregation
from wwc_research.estimators.estimate import Estimate
from wwc_research.estimators.linear import STD_ERRORS, StdErrors
from wwc_research.estimators.options import Option, checked
from wwc_research.estimators.rows import read_rows

NAME = "sun_abraham"
OPTIONS = (
    Option(
        name="aggregation",
        meaning="how effects by cohort and event time become one.",
        default="simple",
        allowed=cells.AGGREGATIONS,
    ),
    Option(
        name="std_errors",
        meaning="how errors may depend on one another.",
        default="cluster",
        allowed=STD_ERRORS,
    ),
)


def estimate(
    sample: Sample, *, aggregation: Aggregation | None = None, std_errors: StdErrors | None = None
) -> Estimate:
    """The average effect on the exposed from an interacted event study, with every cohort's path.

    Parameters
    ----------
    sample
        Checked rows; `weight`, `covariates`, `comparison` and `anticipation` are honoured.
    aggregation
        `simple` (default), `group`, `calendar` or `dynamic`; the event study is always the dynamic terms.
    std_errors
        `cluster` (default), or any other that `two_way_fe` takes.

    Raises
    ------
    EstimationError
        Where no cohort has an effect after exposure.
    """
    options = checked({"aggregation": aggregation, "std_errors": std_errors}, declared=OPTIONS, estimator=NAME)
    effects = cells.cohort_time_effects(
        read_rows(sample), cells.is_told_apart, kind=std_errors or "cluster", with_slopes=False, estimator=NAME
    )
    value, std_error = cells.overall(effects, by=aggregation or "simple")
    terms, statistic, restrictions = cells.event_terms(effects, with_base=True)
    rows = effects.rows
    return Estimate(
        estimator=NAME,
        estimand=cells.ESTIMANDS[aggregation or "simple"],
        estimate=value,
        std_error=std_error,
        df=effects.df,
        n_obs=len(rows.outcome),
        n_units=rows.n_units,
        n_treated=rows.n_treated,
        n_clusters=rows.n_clusters,
        event_study=terms,
        group_time=cells.group_time_terms(effects),
        pre_trend_statistic=statistic,
        pre_trend_restrictions=restrictions,
        exclusions=rows.exclusions,
        settings={
            **sample.settings,
            **options,
            "comparison": rows.comparison,
            "anticipation": rows.anticipation,
            "dropped_covariates": list(effects.dropped),
            "warnings": list(cells.warnings(effects)),
        },
    )
