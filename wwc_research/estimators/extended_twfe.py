r"""Extended two-way fixed effects: a regression with one effect for each exposed cohort at each time.

**Estimand.** $\tau_{g,t}$: the effect at time $t$ on units first exposed at $g$; with covariates, at their
mean among those units. Averages by `aggregation`: `simple` (over all exposed rows), `group` (over cohorts by
size, each the mean of its times), `calendar` (over times, each the mean of the cohorts exposed by then),
`dynamic` (over event times 0 and later).

**Assumptions.** Parallel trends of every cohort and the never exposed in all periods before exposure less the
anticipation (with covariates: linear in them, with slopes that may change by time), and no effect then.
Exposure is absorbing.

**Equation.** $y_{it} = \alpha_i + \lambda_t + \sum_{g}\sum_{t \ge g - a} \tau_{g,t}\,1[g_i = g]\,1[t] +
\varepsilon_{it}$, $a$ the anticipation, weighted by the sample's weights; each covariate adds slopes by time,
by cohort, and in each cell, there in deviation from the cohort's mean:
$x_{it}'\beta_t + x_{it}'\kappa_g + \sum_{g,t} 1[g_i = g]\,1[t]\,(x_{it} - \bar x_{g,t})'\rho_{g,t}$. With
`comparison = "never"` the periods before exposure too have effects of their own, all but the last before
$g - a$, so that only the never exposed inform the time effects.

**Standard errors.** As in `two_way_fe`: CRV1 by the sample's cluster unless told otherwise, $t$ and $F$ with
$G-1$ degrees of freedom; averages are linear combinations with shares taken as given. Under
`comparison = "never"` leads are shown and jointly tested; under `not_yet` there are none, since all rows
before exposure are the comparison. Cohorts of fewer than 5 units have standard errors that are too small:
`settings["warnings"]` says so.

**Edge cases.** Times at which nobody unexposed is observed are left out and counted. Where a cell's rows
cannot be linked to the time effects by observed periods they are left out and counted. Covariates that hardly
vary among the units compared with at some time are refused.

**Reference.** Wooldridge (2021), "Two-way fixed effects, the two-way Mundlak regression, and
difference-in-differences estimators", section 6 (staggered exposure). Without covariates the effects are those
of imputation (Borusyak, Jaravel and Spiess 2024). Numbers: diff-diff 3.13.0 and R's etwfe on mpdta.

**Deviations.** Covariates are taken in deviation from the mean of the cell, which for covariates that stay the
same is the cohort's mean in a balanced panel. Units have effects, where R's etwfe by default has cohort
effects: estimates agree in a balanced panel, the standard errors differ in the small-sample factor.
"""

from __future__ import annotations

from wwc_research.design.sample import Sample
from wwc_research.estimators import cells
from wwc_research.estimators.cells import Aggregation
from wwc_research.estimators.estimate import Estimate
from wwc_research.estimators.linear import STD_ERRORS, StdErrors
from wwc_research.estimators.options import Option, checked
from wwc_research.estimators.rows import Mask, Rows, read_rows

NAME = "extended_twfe"
OPTIONS = (
    Option(
        name="aggregation",
        meaning="how effects by cohort and time become one.",
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
    """The average effect on the exposed from a regression with an effect for each cohort at each time.

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
        Where no cohort has an effect after exposure, or covariates are too many for the comparison units.
    """
    options = checked({"aggregation": aggregation, "std_errors": std_errors}, declared=OPTIONS, estimator=NAME)
    rows = read_rows(sample)
    shows_leads = rows.comparison == "never"
    effects = cells.cohort_time_effects(
        rows,
        cells.is_told_apart if shows_leads else _is_exposed_or_near,
        kind=std_errors or "cluster",
        with_slopes=True,
        estimator=NAME,
    )
    value, std_error = cells.overall(effects, by=aggregation or "simple")
    terms, statistic, restrictions = cells.event_terms(effects, with_base=shows_leads)
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
            "covariates": list(rows.covariate_names),
            "warnings": list(cells.warnings(effects)),
        },
    )


def _is_exposed_or_near(rows: Rows) -> Mask:
    """Rows exposed or in the anticipation window."""
    return rows.time >= rows.cohort - rows.anticipation
