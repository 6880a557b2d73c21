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


def simultaneous_band(estimate: float, std_error: float, critical_value: float) -> tuple[float, float]:
    """Lower and upper end at one term of a band that covers all terms together, in the unit of the outcome.

    `critical_value` comes from the joint distribution of the terms; NaN gives NaN.
    """
    if not (math.isfinite(estimate) and math.isfinite(critical_value) and _usable(std_error, math.inf)):
        return NAN, NAN
    half = critical_value * std_error
    return estimate - half, estimate + half


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


def wald_p_value(statistic: float, restrictions: int, df: float = math.inf) -> float:
    """P-value of a Wald statistic: F with `df` denominator degrees of freedom, or chi-squared if infinite."""
    if not math.isfinite(statistic) or restrictions < 1 or math.isnan(df) or df <= 0:
        return NAN
    if math.isinf(df):
        return float(stats.chi2.sf(statistic, restrictions))
    return float(stats.f.sf(statistic / restrictions, restrictions, df))
