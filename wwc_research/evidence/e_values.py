"""E-values: how strongly a hidden trait must go with both exposure and outcome to explain an effect wholly.

In: a risk ratio, a difference of shares or of means. Out: a frozen value, or the reason why there is none.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

from wwc_research.inference import NAN
from wwc_research.messages import Message, message


def _number(value: float) -> float | None:
    return float(value) if math.isfinite(value) else None


@dataclass(frozen=True, slots=True, kw_only=True)
class EValue:
    """How strongly a hidden trait must go with both exposure and outcome, as risk ratios, to explain an effect.

    Attributes
    ----------
    value
        For the estimate to be explained wholly; 1 where there is nothing to explain.
    limit
        For the interval to reach no effect; 1 where it does already.
    ratio, ci_low, ci_high
        The effect as a risk ratio.
    is_approximate
        Whether the ratio was made from a standardised difference.
    why_not
        Why there is none; else empty.
    sentence
        The finding in plain English.
    """

    value: float
    limit: float
    ratio: float
    ci_low: float
    ci_high: float
    is_approximate: bool
    why_not: str
    sentence: str

    def as_dict(self) -> dict[str, Any]:
        """Plain JSON values; undefined numbers are None."""
        numbers = {name: _number(getattr(self, name)) for name in ("value", "limit", "ratio", "ci_low", "ci_high")}
        return {
            **numbers,
            "is_approximate": self.is_approximate,
            "why_not": self.why_not,
            "sentence": self.sentence,
        }


def e_value(ratio: float, *, ci_low: float = NAN, ci_high: float = NAN, is_approximate: bool = False) -> EValue:
    """E-value of a risk ratio and of the end of its interval that is nearer to no effect.

    RR + sqrt(RR (RR - 1)), of 1/RR below 1: VanderWeele and Ding (2017), "Sensitivity Analysis in Observational
    Research: Introducing the E-Value", Annals of Internal Medicine 167(4), table 2. Without an interval `limit` is NaN.
    """
    if not (math.isfinite(ratio) and ratio > 0):
        return _no_e_value(message("a risk ratio is above zero, and this is {ratio:.4g}", ratio=ratio))
    near = ci_low if ratio >= 1 else ci_high
    reaches_nothing = near <= 1 if ratio >= 1 else near >= 1
    limit = NAN if math.isnan(near) else 1.0 if reaches_nothing else _from_ratio(near)
    value = _from_ratio(ratio)
    return EValue(
        value=value,
        limit=limit,
        ratio=ratio,
        ci_low=ci_low,
        ci_high=ci_high,
        is_approximate=is_approximate,
        why_not="",
        sentence=_sentence(value, limit, is_approximate=is_approximate),
    )


def _sentence(value: float, limit: float, *, is_approximate: bool) -> Message:
    by = message("{value:.2f}", value=value)
    if is_approximate:
        by = message("roughly {value:.2f}", value=value)
    if math.isnan(limit):
        return message(
            "A hidden trait would have to multiply both the chance of exposure and that of the outcome by {by} to "
            "explain the estimate wholly.",
            by=by,
        )
    return message(
        "A hidden trait would have to multiply both the chance of exposure and that of the outcome by {by} to explain "
        "the estimate wholly ({limit:.2f} for the interval to reach no effect).",
        by=by,
        limit=limit,
    )


def _from_ratio(ratio: float) -> float:
    away = ratio if ratio >= 1 else 1 / ratio
    return away + math.sqrt(away * (away - 1))


def _no_e_value(why: str) -> EValue:
    return EValue(
        value=NAN,
        limit=NAN,
        ratio=NAN,
        ci_low=NAN,
        ci_high=NAN,
        is_approximate=False,
        why_not=why,
        sentence=message("There is no E-value: {why}.", why=why),
    )


def share_e_value(estimate: float, *, mean_exposed: float, ci_low: float = NAN, ci_high: float = NAN) -> EValue:
    """E-value of an effect on a share, from the share of the exposed and what it would have been without the effect.

    Parameters
    ----------
    estimate, ci_low, ci_high
        Difference of shares, as a share (0.02 is two percentage points).
    mean_exposed
        Mean share of the exposed units after exposure; taken as known, since nearly all noise is in the difference.
    """
    without = mean_exposed - estimate
    if not (0 < mean_exposed < 1 and 0 < without < 1):
        return _no_e_value(
            message(
                "a share of {mean_exposed:.3f} that would have been {without:.3f} without the effect has no risk ratio",
                mean_exposed=mean_exposed,
                without=without,
            )
        )
    ends = [mean_exposed / (mean_exposed - end) if mean_exposed - end > 0 else math.inf for end in (ci_low, ci_high)]
    # a rare answer's ratio says much, a common one's little: 0.90 over 0.88 is 1.02, its complement 0.10 over 0.12
    return e_value(mean_exposed / without, ci_low=ends[0], ci_high=ends[1])


def standardised_e_value(estimate: float, *, std_error: float, outcome_spread: float) -> EValue:
    """E-value of a difference of means, by way of the risk ratio exp(0.91 d) of its standardised size d.

    VanderWeele and Ding (2017), table 2: the interval has d plus and minus 1.78 standard errors of d. The outcome
    should be roughly normal, with one spread.

    Parameters
    ----------
    estimate, std_error
        In the unit of the outcome.
    outcome_spread
        Standard deviation of the outcome over comparison units, in its unit.
    """
    if not (math.isfinite(estimate) and math.isfinite(outcome_spread) and outcome_spread > 0):
        return _no_e_value(
            message(
                "a difference of {estimate:.4g} cannot be put in standard deviations of {spread:.4g}",
                estimate=estimate,
                spread=outcome_spread,
            )
        )
    d, error = estimate / outcome_spread, std_error / outcome_spread
    low, high = 0.91 * d - 1.78 * error, 0.91 * d + 1.78 * error
    return e_value(math.exp(0.91 * d), ci_low=math.exp(low), ci_high=math.exp(high), is_approximate=True)
