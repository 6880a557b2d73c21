r"""Event study by two-way fixed effects: one coefficient for each distance from exposure.

**Estimand.** The effect at each event time (time less first exposed time, in calendar units), against the
base; overall, the simple average over event times 0 and later.

**Assumptions.** Parallel trends; no effect before exposure less the anticipation; the same path of effects
in every cohort. Where paths differ, each coefficient also holds effects at other distances (Sun and Abraham
2021).

**Equation.** $y_{it} = \alpha_i + \lambda_t + \sum_{e \ne b} \beta_e\,1[t - g_i = e] + x_{it}'\gamma +
\varepsilon_{it}$, weighted by the sample's weights, with the sample's further `effects` as in `two_way_fe`;
overall $\frac{1}{|E^+|}\sum_{e \ge 0}\beta_e$, from the joint covariance.

**Standard errors.** As in `two_way_fe`: CRV1 by the sample's cluster unless told otherwise, $t$ and $F$ with
$G-1$ degrees of freedom. The pre-trend test is a joint Wald test of all leads before the anticipation
window; where clusters are fewer than leads its covariance is inverted on its range.

**Edge cases.** The base is $-1$ less the anticipation, or the latest observed event time before that where a
missing wave leaves none; `base_period` takes another. Units without an observed past are left out and
counted. Ends can be pooled by `bin_before` and `bin_after`: one coefficient each, one event time in the
average. Covariates that the fixed effects explain are dropped and named in the settings. With nobody never
exposed, all leads and lags are not identified together, and this is said.

**Reference.** Sun and Abraham (2021), "Estimating dynamic treatment effects in event studies with
heterogeneous treatment effects", Journal of Econometrics 225(2), equation 3.

**Deviations.** Where all cohorts have the same path, none from fixest's `i(event_time, ref = base)`. Units
exposed from the first period are left out.
"""

from __future__ import annotations

from typing import get_args

import numpy as np

from wwc_research.design.sample import Sample
from wwc_research.errors import EstimationError, Faults, listed
from wwc_research.estimators import linear
from wwc_research.estimators.estimate import Estimate, EventTerm
from wwc_research.estimators.linear import STD_ERRORS, Codes, ErrorModel, Fit, Floats, StdErrors
from wwc_research.estimators.options import Option, checked
from wwc_research.estimators.rows import EffectKind, Rows, read_rows
from wwc_research.inference import NAN
from wwc_research.messages import message

NAME = "event_study"
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
    Option(name="base_period", meaning="event time that the others are measured against."),
    Option(name="bin_before", meaning="event times up to this one are pooled."),
    Option(name="bin_after", meaning="event times from this one on are pooled."),
)


def estimate(
    sample: Sample,
    *,
    std_errors: StdErrors | None = None,
    extra_effects: EffectKind | None = None,
    cutoff_km: int | None = None,
    base_period: int | None = None,
    bin_before: int | None = None,
    bin_after: int | None = None,
) -> Estimate:
    """The effect at each distance from exposure, and its average over the times after.

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
    base_period
        Event time with effect zero, before exposure less the anticipation; by default -1 less the anticipation.
    bin_before, bin_after
        Event times at or beyond these are pooled; by default none. A pooled end counts as one event time.
    """
    given = {
        "std_errors": std_errors,
        "extra_effects": extra_effects,
        "cutoff_km": cutoff_km,
        "base_period": base_period,
        "bin_before": bin_before,
        "bin_after": bin_after,
    }
    options = checked(given, declared=OPTIONS, estimator=NAME)
    rows = read_rows(sample, takes_effects=True)
    event_time = _pooled(rows, first=bin_before, last=bin_after)
    observed = np.unique(event_time[np.isfinite(event_time)]).astype(np.int64)
    used_base = _base(observed, anticipation=rows.anticipation, wanted=base_period)
    shown = observed[observed != used_base]
    fit = _fit(
        rows,
        indicators=(event_time[:, None] == shown).astype(float),
        effects=rows.fixed_effects(extra_effects or "by_time", estimator=NAME),
        errors=rows.error_model(std_errors or "cluster", cutoff_km=cutoff_km or 100),
    )
    coefficients, covariance = fit.coefficients[: len(shown)], fit.covariance[: len(shown), : len(shown)]
    average = np.where(shown >= 0, 1 / (shown >= 0).sum(), 0.0)
    leads = shown < -rows.anticipation
    statistic, restrictions = linear.wald_statistic(coefficients[leads], covariance[np.ix_(leads, leads)])
    return Estimate(
        estimator=NAME,
        estimand=message("effect of exposure, averaged over event times 0 and later"),
        estimate=float(average @ coefficients),
        std_error=linear.std_error(float(average @ covariance @ average)),
        df=fit.contrast_df(np.concatenate([average, np.zeros(len(fit.coefficients) - len(shown))])),
        n_obs=len(rows.outcome),
        n_units=rows.n_units,
        n_treated=rows.n_treated,
        n_clusters=rows.n_clusters,
        event_study=_terms(shown, coefficients, fit=fit, base=used_base),
        pre_trend_statistic=statistic,
        pre_trend_restrictions=restrictions,
        exclusions=rows.exclusions,
        settings={
            **sample.settings,
            **options,
            "base_period": used_base,
            "effects": list(rows.effects),
            "comparison": rows.comparison,
            "anticipation": rows.anticipation,
            "dropped_covariates": [rows.covariate_names[position - len(shown)] for position in fit.dropped],
        },
    )


def _pooled(rows: Rows, *, first: int | None, last: int | None) -> Floats:
    """Event time of each row with the ends pooled; minus infinity for the never exposed."""
    faults = Faults(where=f"options of {NAME}")
    if first is not None and first >= -rows.anticipation - 1:
        faults.add(
            f"bin_before = {first} would pool the base away; take a number below {-rows.anticipation - 1} "
            f"(anticipation is {rows.anticipation})."
        )
    if last is not None and last < 0:
        faults.add(f"bin_after = {last} would pool times before exposure with times after; take 0 or more.")
    faults.raise_if_any()
    event_time = rows.event_time
    pooled = np.clip(event_time, first, last) if first is not None or last is not None else event_time
    return np.where(np.isfinite(event_time), pooled, event_time)


def _base(observed: Codes, *, anticipation: int, wanted: int | None) -> int:
    """The event time that the others are measured against."""
    clean = observed[observed < -anticipation]
    if wanted is None:
        return int(clean.max())
    if wanted not in clean:
        raise EstimationError(
            message(
                "{estimator}: base_period = {wanted} is not an observed event time before exposure less the "
                "anticipation; take one of {clean}.",
                estimator=NAME,
                wanted=wanted,
                clean=listed(clean, limit=20),
            )
        )
    return wanted


def _fit(rows: Rows, *, indicators: Floats, effects: tuple[Codes, ...], errors: ErrorModel) -> Fit:
    try:
        return linear.fit(
            rows.outcome,
            np.column_stack([indicators, rows.covariates]),
            effects=effects,
            weights=rows.weight,
            errors=errors,
            optional_from=indicators.shape[1],
        )
    except linear.CollinearError as error:
        raise EstimationError(
            message(
                "{estimator}: unit and time effects explain some leads and lags wholly, as happens where nobody "
                "is never exposed; add places never exposed, pool the ends with bin_before and bin_after, or use "
                "sun_abraham.",
                estimator=NAME,
            )
        ) from error


def _terms(shown: Codes, coefficients: Floats, *, fit: Fit, base: int) -> tuple[EventTerm, ...]:
    """All event times in order, the base among them with effect 0 and no standard error."""
    terms = [EventTerm(event_time=base, estimate=0.0, std_error=NAN, df=fit.df)]
    single = np.eye(len(fit.coefficients))
    for event_time, coefficient, std_error, contrast in zip(shown, coefficients, fit.std_errors, single, strict=False):
        terms.append(
            EventTerm(
                event_time=int(event_time),
                estimate=float(coefficient),
                std_error=float(std_error),
                df=fit.contrast_df(contrast),
            )
        )
    return tuple(sorted(terms, key=lambda term: term.event_time))
