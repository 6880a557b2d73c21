"""The only place that turns an estimate, its standard error and degrees of freedom into inference.

In: floats. Out: p-values, intervals, minimum detectable effects. Undefined is NaN, never 0 or 1.
"""

from __future__ import annotations

import math

from scipy import stats

NAN = float("nan")


def _usable(std_error: float, df: float) -> bool:
    return math.isfinite(std_error) and std_error > 0 and not math.isnan(df) and df > 0


def p_value(estimate: float, std_error: float, df: float = math.inf) -> float:
    """Two-sided p-value of the hypothesis that the estimand is zero.

    Parameters
    ----------
    estimate, std_error
        In the unit of the outcome. NaN, zero or negative standard errors give NaN.
    df
        Degrees of freedom of the t distribution; infinity gives the normal.
    """
    if not (math.isfinite(estimate) and _usable(std_error, df)):
        return NAN
    return float(2 * stats.t.sf(abs(estimate / std_error), df))


def confidence_interval(
    estimate: float, std_error: float, df: float = math.inf, *, level: float = 0.95
) -> tuple[float, float]:
    """Lower and upper end of the two-sided interval at `level`, in the unit of the outcome."""
    if not (math.isfinite(estimate) and _usable(std_error, df)):
        return NAN, NAN
    half = float(stats.t.ppf((1 + level) / 2, df)) * std_error
    return estimate - half, estimate + half


def critical_value(df: float = math.inf, *, level: float = 0.95) -> float:
    """Absolute t value at which a two-sided test at 1 - `level` begins to reject; infinite `df` gives the normal."""
    if math.isnan(df) or df <= 0 or not 0 < level < 1:
        return NAN
    return float(stats.t.ppf((1 + level) / 2, df))


def upper_p_value(deviate: float) -> float:
    """One-sided p-value of a standard normal deviate against larger values; NaN gives NaN."""
    return float(stats.norm.sf(deviate))


def simultaneous_band(estimate: float, std_error: float, critical_value: float) -> tuple[float, float]:
    """Lower and upper end at one term of a band that covers all terms together, in the unit of the outcome.

    `critical_value` comes from the joint distribution of the terms; NaN gives NaN.
    """
    if not (math.isfinite(estimate) and math.isfinite(critical_value) and _usable(std_error, math.inf)):
        return NAN, NAN
    half = critical_value * std_error
    return estimate - half, estimate + half


def bias_aware_interval(
    estimate: float, std_error: float, worst_bias: float, *, level: float = 0.95
) -> tuple[float, float]:
    """Lower and upper end of the interval that covers whatever the bias is up to `worst_bias`; in the outcome's unit.

    The half-length is the standard error times the `level` quantile of |N(t, 1)|, t = worst bias / standard error:
    Armstrong and Kolesár (2018), "Optimal inference in a class of regression models", Econometrica 86(2).
    """
    if not (math.isfinite(estimate) and _usable(std_error, math.inf)) or not worst_bias >= 0:
        return NAN, NAN
    ratio = worst_bias / std_error
    # far from zero one tail is all there is, and the noncentral chi-squared slows down
    quantile = math.sqrt(stats.ncx2.ppf(level, 1, ratio**2)) if ratio < 6 else ratio + stats.norm.ppf(level)
    return estimate - float(quantile) * std_error, estimate + float(quantile) * std_error


def minimum_detectable_effect(
    std_error: float, df: float = math.inf, *, size: float = 0.05, power: float = 0.80
) -> float:
    """Smallest true effect that a two-sided test of `size` finds with probability `power`.

    (t_{1-size/2} + t_{power}) x standard error: Bloom (1995), "Minimum Detectable Effects", Evaluation
    Review 19(5). With infinite degrees of freedom the factor is 2.80.
    """
    if not _usable(std_error, df):
        return NAN
    return float(stats.t.ppf(1 - size / 2, df) + stats.t.ppf(power, df)) * std_error


def detectable_effect(half_width: float, std_error: float, *, power: float = 0.80) -> float:
    """Smallest true effect that an interval of that half-width leaves out zero for with probability `power`.

    Half-width + z_power x standard error: Bloom (1995), for intervals that are not a normal quantile wide.
    """
    if not (math.isfinite(half_width) and _usable(std_error, math.inf)):
        return NAN
    return half_width + float(stats.norm.ppf(power)) * std_error


def wald_p_value(statistic: float, restrictions: int, df: float = math.inf) -> float:
    """P-value of a Wald statistic: F with `df` denominator degrees of freedom, or chi-squared if infinite."""
    if not math.isfinite(statistic) or restrictions < 1 or math.isnan(df) or df <= 0:
        return NAN
    if math.isinf(df):
        return float(stats.chi2.sf(statistic, restrictions))
    return float(stats.f.sf(statistic / restrictions, restrictions, df))


def share_interval(hits: int, trials: int, *, level: float = 0.95) -> tuple[float, float]:
    """Lower and upper end of the interval of a share of independent trials; NaN without trials.

    Wilson (1927), "Probable inference, the law of succession, and statistical inference", Journal of the American
    Statistical Association 22(158).
    """
    if trials < 1:
        return NAN, NAN
    z = float(stats.norm.ppf((1 + level) / 2))
    share, weight = hits / trials, z**2 / trials
    half = z * math.sqrt(share * (1 - share) / trials + weight / (4 * trials))
    centre = share + weight / 2
    return (centre - half) / (1 + weight), (centre + half) / (1 + weight)
