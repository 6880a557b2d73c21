r"""Two-way fixed effects: one coefficient of exposure, with unit and time effects.

**Estimand.** A weighted average of the effects on exposed units and times. With staggered exposure and
effects that differ, some weights are negative, since units exposed earlier serve as comparison for later
ones; read it beside `callaway_santanna`.

**Assumptions.** Parallel trends; no effect before exposure less the anticipation; one effect, the same for
every cohort and at every distance from exposure.

**Equation.** $y_{it} = \alpha_i + \lambda_t + \beta\,1[t \ge g_i] + x_{it}'\gamma + \varepsilon_{it}$,
weighted by the sample's weights. Further `effects` of the sample, any number, such as region, take the place of
$\lambda_t$ by one effect for each of their levels at each time (`extra_effects = "by_time"`), or are added to it
once (`plain`).

**Standard errors.** By default CRV1 by the sample's cluster: $\frac{G}{G-1}\frac{n-1}{n-K}$ times the
sandwich, $K$ without fixed effects nested in the clusters, $t$ with $G-1$ degrees of freedom, as in R's
fixest. Also jackknife (CRV3), heteroskedastic (HC1), independent, two-way by cluster and time,
Driscoll-Kraay and Newey-West.

**Edge cases.** Rows inside the anticipation window, and units without an observed past, are left out and
counted. Covariates that the fixed effects explain are dropped and named in the settings. A single cluster,
or residuals of zero, leave the standard error undefined. With `comparison = "not_yet"` and nobody never
exposed, timing alone identifies the effect.

**Reference.** Goodman-Bacon (2021), "Difference-in-differences with variation in treatment timing", Journal
of Econometrics 225(2). Numbers: fixest 0.14.2 on mpdta.

**Deviations.** fixest keeps units exposed from the first period, here they are left out. Two-way clusters,
Driscoll-Kraay and Newey-West take periods as the data have them: a missing wave is no lag.
"""

from __future__ import annotations

from typing import get_args

import numpy as np

from wwc_research.design.sample import Sample
from wwc_research.errors import EstimationError
from wwc_research.estimators import linear
from wwc_research.estimators.estimate import Estimate
from wwc_research.estimators.linear import STD_ERRORS, StdErrors
from wwc_research.estimators.options import Option, checked
from wwc_research.estimators.rows import EffectKind, Rows, read_rows
from wwc_research.messages import message

NAME = "two_way_fe"
OPTIONS = (
    Option(
        name="std_errors",
        meaning="how errors may depend on one another.",
        default="cluster",
        allowed=STD_ERRORS,
    ),
    Option(
        name="extra_effects",
        meaning="whether levels of the sample's further effects have one effect at each time, or one in all.",
        default="by_time",
        allowed=get_args(EffectKind),
    ),
    Option(
        name="cutoff_km", meaning="how far errors go together, in kilometres, with std_errors = conley.", default=100
    ),
)


def estimate(
    sample: Sample,
    *,
    std_errors: StdErrors | None = None,
    extra_effects: EffectKind | None = None,
    cutoff_km: int | None = None,
) -> Estimate:
    """The coefficient of exposure in a regression with unit and time effects.

    Parameters
    ----------
    sample
        Checked rows; `weight`, `covariates`, `effects`, `comparison` and `anticipation` are honoured.
    std_errors
        `cluster` (default), `jackknife` (by cluster), `iid`, `hetero`, `two_way_cluster` (cluster and time),
        `driscoll_kraay`, `newey_west`, `cr2` (by cluster, with Satterthwaite degrees of freedom), `conley` (needs
        latitude and longitude).
    extra_effects
        What the sample's `effects` are: `by_time` (default; region means region-by-year) or `plain`.
    cutoff_km
        How far errors go together with `conley`, in kilometres (default 100).
    """
    given = {"std_errors": std_errors, "extra_effects": extra_effects, "cutoff_km": cutoff_km}
    options = checked(given, declared=OPTIONS, estimator=NAME)
    rows = _without_anticipation(read_rows(sample, takes_effects=True))
    regressors = np.column_stack([rows.is_exposed.astype(float), rows.covariates])
    try:
        fit = linear.fit(
            rows.outcome,
            regressors,
            effects=rows.fixed_effects(extra_effects or "by_time", estimator=NAME),
            weights=rows.weight,
            errors=rows.error_model(std_errors or "cluster", cutoff_km=cutoff_km or 100),
            optional_from=1,
        )
    except linear.CollinearError as error:
        raise EstimationError(
            message(
                "{estimator}: unit and time effects and further effects explain exposure wholly, so no comparison is "
                "left; add places exposed at another time or never.",
                estimator=NAME,
            )
            if rows.effects
            else message(
                "{estimator}: unit and time effects explain exposure wholly, so no comparison is left; add places "
                "exposed at another time or never.",
                estimator=NAME,
            )
        ) from error
    return Estimate(
        estimator=NAME,
        estimand=message("effect of exposure, averaged over exposed units and times by regression weights"),
        estimate=float(fit.coefficients[0]),
        std_error=float(fit.std_errors[0]),
        df=fit.contrast_df(np.eye(len(fit.coefficients))[0]),
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
            "effects": list(rows.effects),
            "dropped_covariates": [rows.covariate_names[position - 1] for position in fit.dropped],
        },
    )


def _without_anticipation(rows: Rows) -> Rows:
    """Rows just before exposure are neither exposed nor clean, so they are in neither group."""
    inside = (rows.event_time >= -rows.anticipation) & (rows.event_time < 0)
    return rows.without(
        inside,
        reason=message("in the anticipation window ({anticipation} before exposure)", anticipation=rows.anticipation),
    )
