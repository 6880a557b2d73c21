"""How far parallel trends may fail before a finding does: the sensitivity analysis of Rambachan and Roth (2023).

In: event-study estimates with their covariance. Out: intervals under bounded violations, and breakdown values.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal, get_args

import numpy as np
import numpy.typing as npt
from scipy.optimize import brentq

from wwc_research import inference
from wwc_research.errors import EstimationError, InputError, listed
from wwc_research.evidence.conditional_test import FIRST_STEP, SIZE, StepBounds, cut_normal_quantile
from wwc_research.evidence.event_coefficients import EventCoefficients
from wwc_research.evidence.shortest_interval import bias_and_error_frontier
from wwc_research.messages import Message, message

Floats = npt.NDArray[np.float64]
Kind = Literal["relative_magnitudes", "smoothness"]
Method = Literal["flci", "c_lf"]

RELATIVE_MAGNITUDES = (0.0, 0.25, 0.5, 0.75, 1.0, 1.5, 2.0)
SMOOTHNESS_IN_ERRORS = (0.0, 0.25, 0.5, 1.0)
_LARGEST = 1024.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Bounds:
    """95 % interval of the effect where violations are no larger than `size`.

    `size` counts pre-period steps for `relative_magnitudes`, and is in the unit of the outcome a period for
    `smoothness`.
    """

    kind: Kind
    method: Method
    size: float
    ci_low: float
    ci_high: float

    @property
    def excludes_zero(self) -> bool:
        """Whether the sign of the effect stands."""
        return not self.ci_low <= 0 <= self.ci_high

    def as_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return {
            "kind": self.kind,
            "method": self.method,
            "size": self.size,
            "ci_low": self.ci_low,
            "ci_high": self.ci_high,
            "excludes_zero": self.excludes_zero,
        }


def original_interval(
    coefficients: EventCoefficients, *, weights: Sequence[float] | None = None
) -> tuple[float, float, float]:
    """Weighted estimate and the ends of its 95 % interval where parallel trends hold exactly (normal).

    Raises
    ------
    EstimationError
        Where the weighted estimate has no variance.
    """
    weight = coefficients.weights(weights)
    post = slice(coefficients.n_pre, None)
    estimate = float(weight @ coefficients.estimates[post])
    variance = float(weight @ coefficients.covariance[post, post] @ weight)
    if not variance > 0:
        raise EstimationError(
            message("the weighted effect has no variance, so no interval can be given; change the weights")
        )
    return estimate, *inference.confidence_interval(estimate, math.sqrt(variance))


def relative_magnitudes(
    coefficients: EventCoefficients, *, weights: Sequence[float] | None = None, m_bar: float
) -> Bounds:
    """Interval where no step from period to period after the base exceeds `m_bar` times the largest one before.

    Rambachan and Roth (2023), "A more credible approach to parallel trends", Review of Economic Studies 90(5),
    section 2.4.1: which lead step is the largest, and its sign, is not known; the set is the union over all of them,
    each by the conditional / least-favourable hybrid test at 5 % with a first step of 0.5 %. At `m_bar` zero it is the
    original interval. R's HonestDiD reports the nearest accepted point of a grid of 1,000 within 20 standard errors
    of zero; the ends here are those of the set itself.

    Raises
    ------
    InputError
        For a negative or infinite `m_bar`, or weights that do not fit.
    EstimationError
        Without a lead, or where a step or the effect has no variance.
    """
    _checked_size(m_bar, name="m_bar")
    original_interval(coefficients, weights=weights)
    moments, estimate, steps = _step_bounds(coefficients, weight=coefficients.weights(weights), m_bar=m_bar)
    low, high = moments.ends(estimate=estimate, steps=steps)
    return Bounds(kind="relative_magnitudes", method="c_lf", size=m_bar, ci_low=low, ci_high=high)


def accepted(
    coefficients: EventCoefficients, *, effects: Sequence[float], weights: Sequence[float] | None = None, m_bar: float
) -> npt.NDArray[np.bool_]:
    """Whether each effect lies in the set of `relative_magnitudes`, shape of `effects`."""
    _checked_size(m_bar, name="m_bar")
    moments, estimate, steps = _step_bounds(coefficients, weight=coefficients.weights(weights), m_bar=m_bar)
    every = np.broadcast_to(np.asarray(effects, dtype=float), (len(steps), len(effects)))
    kept = moments.accepted(every, estimate=estimate, steps=steps, critical=moments.critical_values())
    return np.asarray(kept.any(axis=0), dtype=bool)


def _checked_size(size: float, *, name: str) -> None:
    if not (math.isfinite(size) and size >= 0):
        raise InputError(f"{name} = {size}: the largest violation allowed is a finite number, zero or above")


def _needs_a_lead(coefficients: EventCoefficients) -> None:
    if coefficients.n_pre == 0:
        raise EstimationError(_no_lead(coefficients))


def _no_lead(coefficients: EventCoefficients) -> str:
    return message(
        "There is no estimate before the base period {base}, so nothing says how far the groups drifted apart on their "
        "own, and how much drift the finding bears cannot be told.",
        base=coefficients.base,
    )


def _differences(coefficients: EventCoefficients) -> Floats:
    """Steps from period to period as weights on the estimates, the base at zero; shape (n_pre + n_post, n)."""
    count, n_pre = len(coefficients.event_times), coefficients.n_pre
    steps = np.eye(count, count + 1, k=1) - np.eye(count, count + 1)
    return np.delete(steps, n_pre, axis=1)


def _step_bounds(coefficients: EventCoefficients, *, weight: Floats, m_bar: float) -> tuple[StepBounds, float, Floats]:
    """The moments by choice of step and sign, the weighted estimate, and the steps as estimated, shape (choices,)."""
    _needs_a_lead(coefficients)
    n_pre, covariance = coefficients.n_pre, coefficients.covariance
    change = _differences(coefficients)
    before = np.concatenate([change[:n_pre], -change[:n_pre]])
    after = change[n_pre:]
    joint = before @ covariance @ after.T
    own = np.einsum("ij,jk,ik->i", before, covariance, before)
    later = np.einsum("ij,jk,ik->i", after, covariance, after)
    if not (own > 0).all() or not (later > 0).all():
        raise EstimationError(
            message("a step between two periods has no variance; merge these periods or leave one out")
        )
    # a constraint that the step is at most, and one that it is at least, m_bar times the lead step; errors of both
    at_most = np.sqrt(np.maximum(later + m_bar**2 * own[:, None] - 2 * m_bar * joint, 0))
    at_least = np.sqrt(np.maximum(later + m_bar**2 * own[:, None] + 2 * m_bar * joint, 0))
    # an effect is off by the sum of all steps up to its period
    load = np.cumsum(weight[::-1])[::-1]
    plus, minus = np.maximum(load, 0), np.maximum(-load, 0)
    effect = np.concatenate([np.zeros(n_pre), weight])
    per_step = 1 / (at_most + at_least)
    moments = StepBounds(
        m_bar=m_bar,
        width=m_bar * float(np.abs(load).sum()),
        up=1 / (at_most @ plus + at_least @ minus),
        down=1 / (at_least @ plus + at_most @ minus),
        most=per_step.max(axis=1),
        least=per_step.min(axis=1),
        effect_variance=float(effect @ covariance @ effect),
        step_variance=own,
        shared=before @ covariance @ effect,
    )
    return moments, float(effect @ coefficients.estimates), before @ coefficients.estimates


def smoothness(
    coefficients: EventCoefficients, *, weights: Sequence[float] | None = None, m: float, method: Method = "flci"
) -> Bounds:
    """Interval where the slope of the groups' drift changes by no more than `m` from one period to the next.

    Rambachan and Roth (2023), section 2.4.2. `flci` is the shortest interval of fixed length around a linear
    combination of all estimates (section 4.1); `c_lf` the hybrid test of the moments after the base, which
    extrapolates the last lead step and is symmetric around that, in closed form.

    Parameters
    ----------
    m
        In the unit of the outcome a period; at 0 the drift is a straight line.

    Raises
    ------
    InputError
        For a negative or infinite `m`, another method, or weights that do not fit.
    EstimationError
        Without a lead, or for `flci` where the covariance of the leads is singular.
    """
    _checked_size(m, name="m")
    if method not in get_args(Method):
        raise InputError(f"no method {method!r} for smoothness; allowed: {listed(get_args(Method))}")
    weight = coefficients.weights(weights)
    _needs_a_lead(coefficients)
    if method == "flci":
        frontier = bias_and_error_frontier(
            estimates=coefficients.estimates, covariance=coefficients.covariance, weights=weight
        )
        low, high = frontier.interval(m, level=1 - SIZE)
        if not math.isfinite(low):
            raise EstimationError(message("the effect less its straight drift has no variance; keep other leads"))
    else:
        low, high = _extrapolated(coefficients, weight=weight, m=m)
    return Bounds(kind="smoothness", method=method, size=m, ci_low=low, ci_high=high)


def _extrapolated(coefficients: EventCoefficients, *, weight: Floats, m: float) -> tuple[float, float]:
    change = _differences(coefficients)
    bends = (change[1:] - change[:-1])[coefficients.n_pre - 1 :]
    load = np.linalg.solve(bends[:, coefficients.n_pre :].T, weight)
    combination = load @ bends
    error = math.sqrt(max(float(combination @ coefficients.covariance @ combination), 0.0))
    errors = np.sqrt(np.maximum(np.einsum("ij,jk,ik->i", bends, coefficients.covariance, bends), 0))
    if not (error > 0 and (errors > 0).all()):
        raise EstimationError(message("a change of slope has no variance; merge its periods or leave one out"))
    # in units of the effect's error: where the moment that slopes cannot bend both ways would be the larger one
    floor = -m * float(np.abs(load) @ errors) / (float(errors.max()) * error)
    ceiling = inference.critical_value(level=1 - FIRST_STEP)
    half = m * float(np.abs(load).sum()) + cut_normal_quantile(floor, ceiling) * error
    centre = float(combination @ coefficients.estimates)
    return centre - half, centre + half


@dataclass(frozen=True, slots=True, kw_only=True)
class Sensitivity:
    """Intervals under growing violations of parallel trends, and where the finding breaks.

    Attributes
    ----------
    estimate, ci_low, ci_high
        The weighted effect and its interval without any violation, in the unit of the outcome.
    rows
        Intervals under violations, `relative_magnitudes` first.
    m_bar_breakdown, m_breakdown
        Largest violation for which the interval excludes zero; infinite where none up to 1,024 times the scale of
        the estimates makes it include zero; None where the interval without violation includes zero already (for
        `m_breakdown`: without a bend), or nothing can be told.
    n_leads
        Leads used.
    reason
        Why nothing can be told; empty where it can.
    sentence
        For both readers.
    """

    estimate: float
    ci_low: float
    ci_high: float
    rows: tuple[Bounds, ...]
    m_bar_breakdown: float | None
    m_breakdown: float | None
    n_leads: int
    reason: str
    sentence: str

    def as_dict(self) -> dict[str, Any]:
        """Plain values for JSON; an infinite breakdown value is null, and the sentence says so."""
        return {
            "estimate": self.estimate,
            "ci_low": self.ci_low,
            "ci_high": self.ci_high,
            "rows": [row.as_dict() for row in self.rows],
            "m_bar_breakdown": _finite(self.m_bar_breakdown),
            "m_breakdown": _finite(self.m_breakdown),
            "n_leads": self.n_leads,
            "reason": self.reason,
            "sentence": self.sentence,
        }


def _finite(value: float | None) -> float | None:
    return value if value is not None and math.isfinite(value) else None


def sensitivity(
    coefficients: EventCoefficients,
    *,
    weights: Sequence[float] | None = None,
    relative_magnitudes_at: Sequence[float] = RELATIVE_MAGNITUDES,
    smoothness_at: Sequence[float] | None = None,
    n_leads: int | None = None,
    scale: float = 1.0,
    unit: str = "",
) -> Sensitivity:
    """The sensitivity analysis of one event study: intervals, breakdown values and one sentence.

    Parameters
    ----------
    weights
        Over the periods after the base; all alike from exposure on if not given.
    relative_magnitudes_at
        Values of `m_bar`.
    smoothness_at
        Values of `m`, in the unit of the outcome a period; if not given 0, 1/4, 1/2 and 1 standard error of the
        weighted effect.
    n_leads
        Use no more than these nearest leads.
    scale, unit
        From the unit of the estimates to that of the sentence.

    Raises
    ------
    InputError
        For a negative violation or weights that do not fit.
    """
    if n_leads is not None:
        coefficients = coefficients.nearest(n_leads)
    estimate, low, high = original_interval(coefficients, weights=weights)
    if coefficients.n_pre == 0:
        reason = _no_lead(coefficients)
        return Sensitivity(
            estimate=estimate,
            ci_low=low,
            ci_high=high,
            rows=(),
            m_bar_breakdown=None,
            m_breakdown=None,
            n_leads=0,
            reason=reason,
            sentence=reason,
        )
    error = (high - low) / (2 * inference.critical_value())
    if smoothness_at is None:
        smoothness_at = [share * error for share in SMOOTHNESS_IN_ERRORS]

    def by_step(size: float) -> Bounds:
        return relative_magnitudes(coefficients, weights=weights, m_bar=size)

    def by_bend(size: float) -> Bounds:
        return smoothness(coefficients, weights=weights, m=size)

    m_bar_breakdown = _breakdown(by_step, start=1.0)
    m_breakdown = _breakdown(by_bend, start=error)
    return Sensitivity(
        estimate=estimate,
        ci_low=low,
        ci_high=high,
        rows=(*map(by_step, relative_magnitudes_at), *map(by_bend, smoothness_at)),
        m_bar_breakdown=m_bar_breakdown,
        m_breakdown=m_breakdown,
        n_leads=coefficients.n_pre,
        reason="",
        sentence=_sentence(m_bar_breakdown, m_breakdown, by_bend(0.0), scale=scale, unit=unit),
    )


def _breakdown(bounds: Callable[[float], Bounds], *, start: float) -> float | None:
    """Largest violation that leaves zero outside, to five digits; None where zero is inside without any."""
    without = bounds(0.0)
    if not without.excludes_zero:
        return None
    above = without.ci_low > 0

    def distance(size: float) -> float:
        row = bounds(size)
        return row.ci_low if above else -row.ci_high

    reach = start
    while distance(reach) > 0:
        reach *= 2
        if reach > _LARGEST * start:
            return math.inf
    found: float = brentq(distance, 0.0, reach, xtol=1e-6 * start, rtol=1e-5)
    return found


def _sentence(m_bar: float | None, m: float | None, straight: Bounds, *, scale: float, unit: str) -> Message:
    if m_bar is None:
        return message(
            "The interval of the event study, by lot, includes zero even if the groups would have moved exactly alike, "
            "so there is nothing there for a drift to undo."
        )
    if m is not None and math.isfinite(m):
        return _both(m_bar, amount(scale * m, unit=unit))
    first = message(
        "The sign of the effect stands whatever multiple of the largest yearly step before exposure is allowed."
    )
    if math.isfinite(m_bar):
        first = message(
            "The sign of the effect stands as long as the groups did not drift apart after exposure by more than "
            "{m_bar:.2f} times the largest yearly step between them before it.",
            m_bar=m_bar,
        )
    then = message("No bend in a straight drift that was tried undoes it.")
    if m is None:
        then = message(
            "Had their drift before exposure gone on in a straight line, the interval would be {low:+.3g} to {high} "
            "and include zero.",
            low=scale * straight.ci_low,
            high=message("{size:+.3g} {unit}", size=scale * straight.ci_high, unit=unit)
            if unit
            else message("{size:+.3g}", size=scale * straight.ci_high),
        )
    return message("{parts:sentences}", parts=[first, then])


def _both(m_bar: float, bend: Message) -> Message:
    if not math.isfinite(m_bar):
        return message(
            "The sign of the effect stands whatever multiple of the largest yearly step before exposure is allowed; "
            "or, around a straight drift, as long as its slope did not bend by more than {bend} from one year to the "
            "next.",
            bend=bend,
        )
    return message(
        "The sign of the effect stands as long as the groups did not drift apart after exposure by more than "
        "{m_bar:.2f} times the largest yearly step between them before it; or, around a straight drift, as long as its "
        "slope did not bend by more than {bend} from one year to the next.",
        m_bar=m_bar,
        bend=bend,
    )


def amount(size: float, *, unit: str) -> Message:
    """A size to two digits with its unit, if it has one."""
    return message("{size:.2g} {unit}", size=size, unit=unit) if unit else message("{size:.2g}", size=size)
