"""Which drift a test of the years before exposure would have missed, and what that drift does to the estimate.

In: event-study estimates' covariance. Out: power against a straight drift, slopes detected, and biases (Roth 2022).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal, get_args

import numpy as np
import numpy.typing as npt
from scipy import special, stats
from scipy.optimize import brentq

from wwc_research import inference
from wwc_research.errors import EstimationError, InputError, listed
from wwc_research.evidence.event_coefficients import EventCoefficients
from wwc_research.evidence.parallel_trends import amount
from wwc_research.messages import Message, counted, message

Floats = npt.NDArray[np.float64]
Pretest = Literal["individual", "joint"]

_POWER_OF_TWO = 13
_POINTS = 1 << _POWER_OF_TWO


@dataclass(frozen=True, slots=True, kw_only=True)
class DriftSeen:
    """How one pre-test does against a straight drift of `slope` a period.

    Attributes
    ----------
    slope
        In the unit of the outcome a period, as a magnitude.
    power
        Chance that the test rejects.
    bias
        What the drift adds to the weighted effect, in the unit of the outcome.
    bias_if_passed
        The same among samples in which the test finds nothing.
    """

    slope: float
    power: float
    bias: float
    bias_if_passed: float

    def as_dict(self) -> dict[str, Any]:
        """Plain values for JSON; undefined numbers are null."""
        return {
            "slope": self.slope,
            "power": self.power,
            "bias": self.bias,
            "bias_if_passed": self.bias_if_passed if math.isfinite(self.bias_if_passed) else None,
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class PretrendPower:
    """What a test of the leads could have seen.

    Attributes
    ----------
    pretest
        `individual`: some lead is significant by itself; `joint`: a Wald test of all leads.
    size, n_leads
        Level of the test (of each lead for `individual`), and leads tested.
    false_alarm
        Chance that it rejects without any drift; `size` for the joint test, more for single leads.
    seen_half, seen_mostly
        The drift found with 50 % and with 80 % power; None where nothing can be told.
    reason
        Why nothing can be told; empty where it can.
    sentence
        For both readers.
    """

    pretest: Pretest
    size: float
    n_leads: int
    false_alarm: float | None
    seen_half: DriftSeen | None
    seen_mostly: DriftSeen | None
    reason: str
    sentence: str

    def as_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return {
            "pretest": self.pretest,
            "size": self.size,
            "n_leads": self.n_leads,
            "false_alarm": self.false_alarm,
            "seen_half": self.seen_half.as_dict() if self.seen_half else None,
            "seen_mostly": self.seen_mostly.as_dict() if self.seen_mostly else None,
            "reason": self.reason,
            "sentence": self.sentence,
        }


def pretrend_power(
    coefficients: EventCoefficients,
    *,
    weights: Sequence[float] | None = None,
    pretest: Pretest = "joint",
    size: float = 0.05,
    scale: float = 1.0,
    unit: str = "",
) -> PretrendPower:
    """Slopes of a straight drift that a test of the leads finds with 50 % and 80 % power, and the biases under them.

    Roth (2022), "Pretest with caution", American Economic Review: Insights 4(3). The drift is zero at the base.

    Parameters
    ----------
    weights
        Over the periods after the base; all alike from exposure on if not given.
    pretest, size
        Which test of the leads, and its level.
    scale, unit
        From the unit of the estimates to that of the sentence.

    Raises
    ------
    InputError
        For another pre-test, a level outside 0 to 1/2, or weights that do not fit.
    """
    weight = coefficients.weights(weights)
    test = _pretest(coefficients, pretest=pretest, size=size)
    reason: str = test if isinstance(test, str) else ""
    alarm = None if isinstance(test, str) else test.power(0.0)
    if alarm is not None and alarm >= 0.5:
        reason = message(
            "With {n_leads} leads looked at one by one, some lead is significant in {alarm:.0%} of samples without any "
            "drift, so no drift is found half the time by this test; use the joint test.",
            n_leads=coefficients.n_pre,
            alarm=alarm,
        )
    if isinstance(test, str) or reason:
        return PretrendPower(
            pretest=pretest,
            size=size,
            n_leads=coefficients.n_pre,
            false_alarm=alarm,
            seen_half=None,
            seen_mostly=None,
            reason=reason,
            sentence=reason,
        )
    half, mostly = (
        drift_seen(coefficients, weights=weight.tolist(), pretest=pretest, size=size, slope=_slope(test, target))
        for target in (0.5, 0.8)
    )
    return PretrendPower(
        pretest=pretest,
        size=size,
        n_leads=coefficients.n_pre,
        false_alarm=alarm,
        seen_half=half,
        seen_mostly=mostly,
        reason="",
        sentence=_sentence(half, mostly, n_leads=coefficients.n_pre, scale=scale, unit=unit),
    )


def drift_seen(
    coefficients: EventCoefficients,
    *,
    weights: Sequence[float] | None = None,
    pretest: Pretest = "joint",
    size: float = 0.05,
    slope: float,
) -> DriftSeen:
    """Power of the pre-test against a straight drift of `slope` a period, and the bias it brings.

    Given that the test finds nothing, the leads are a normal cut to where it does not reject, and the lags follow
    them by regression (Roth 2022, proposition 1).

    Raises
    ------
    InputError
        As for `pretrend_power`.
    EstimationError
        Where there is no lead, or their covariance is singular.
    """
    weight = coefficients.weights(weights)
    test = _pretest(coefficients, pretest=pretest, size=size)
    if isinstance(test, str):
        raise EstimationError(test)
    n_pre = coefficients.n_pre
    drift = slope * (np.array(coefficients.event_times, dtype=float) - coefficients.base)
    bias = float(weight @ drift[n_pre:])
    crossed = weight @ coefficients.covariance[n_pre:, :n_pre]
    pulled = np.linalg.solve(test.covariance, test.mean_if_passed(slope) - drift[:n_pre])
    return DriftSeen(slope=slope, power=test.power(slope), bias=bias, bias_if_passed=bias + float(crossed @ pulled))


def _pretest(coefficients: EventCoefficients, *, pretest: Pretest, size: float) -> _Individual | _Joint | str:
    """The test, or why there is none."""
    if pretest not in get_args(Pretest):
        raise InputError(f"no pre-test {pretest!r}; allowed: {listed(get_args(Pretest))}")
    if not 0 < size < 0.5:
        raise InputError(f"size = {size}: the level of a test lies between 0 and 1/2")
    n_pre = coefficients.n_pre
    if n_pre == 0:
        return message(
            "There is no estimate before the base period {base}, so no drift before exposure can be seen.",
            base=coefficients.base,
        )
    covariance = coefficients.covariance[:n_pre, :n_pre]
    spread = np.sqrt(np.diag(covariance))
    if np.linalg.eigvalsh(covariance / np.outer(spread, spread)).min() < 1e-11:
        return message(
            "The covariance of the {n_leads} leads is singular (more of them than clusters?), so what a test of them "
            "can see is not known.",
            n_leads=n_pre,
        )
    distances = np.array(coefficients.event_times[:n_pre], dtype=float) - coefficients.base
    kind = _Individual if pretest == "individual" else _Joint
    return kind(distances=distances, covariance=covariance, size=size)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Joint:
    """Wald test that all leads are zero, chi-squared; all in closed form."""

    distances: Floats
    covariance: Floats
    size: float

    def _distance(self, slope: float) -> float:
        return slope**2 * float(self.distances @ np.linalg.solve(self.covariance, self.distances))

    def _chance_passed(self, slope: float, degrees: int) -> float:
        critical = stats.chi2.isf(self.size, len(self.distances))
        distance = self._distance(slope)
        return float(stats.ncx2.cdf(critical, degrees, distance) if distance else stats.chi2.cdf(critical, degrees))

    def power(self, slope: float) -> float:
        return 1 - self._chance_passed(slope, len(self.distances))

    def mean_if_passed(self, slope: float) -> Floats:
        # a normal cut to a ball around zero: its mean shrinks by the ratio of two noncentral chi-squared chances
        # (Tallis 1963, "Elliptical and radial truncation in normal populations")
        degrees = len(self.distances)
        passed = self._chance_passed(slope, degrees)
        kept = self._chance_passed(slope, degrees + 2) / passed if passed > 0 else inference.NAN
        mean: Floats = slope * self.distances * kept
        return mean


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Individual:
    """No lead is significant by itself: a normal in a box, by Genz's sequential conditioning on fixed points.

    Genz (1992), "Numerical computation of multivariate normal probabilities", Journal of Computational and Graphical
    Statistics 1(2). The points are Sobol's, each moved to the middle of its cell, so that nothing is drawn.
    """

    distances: Floats
    covariance: Floats
    size: float

    def _passed(self, slope: float) -> tuple[Floats, Floats]:
        """Weights of points in the box, shape (points,), and the points as t-ratios, shape (leads, points)."""
        spread = np.sqrt(np.diag(self.covariance))
        mean = slope * self.distances / spread
        limit = inference.critical_value(level=1 - self.size)
        root = np.linalg.cholesky(self.covariance / np.outer(spread, spread))
        count = len(mean)
        points = stats.qmc.Sobol(count, scramble=False).random_base2(_POWER_OF_TWO).T + 0.5 / _POINTS
        weight = np.ones(_POINTS)
        normal = np.zeros((count, _POINTS))
        for place in range(count):
            shift = mean[place] + root[place, :place] @ normal[:place]
            low, high = ((edge - shift) / root[place, place] for edge in (-limit, limit))
            # in the lower tail the distribution function keeps its digits, so the sign is turned where needed
            turned = low > 0
            low, high = np.where(turned, -high, low), np.where(turned, -low, high)
            start, width = special.ndtr(low), special.ndtr(high) - special.ndtr(low)
            value = special.ndtri(np.clip(start + points[place] * width, 1e-300, 1 - 1e-16))
            normal[place] = np.where(turned, -1, 1) * np.clip(value, low, high)
            weight = weight * width
        return weight, mean[:, None] + root @ normal

    def power(self, slope: float) -> float:
        return 1 - float(self._passed(slope)[0].mean())

    def mean_if_passed(self, slope: float) -> Floats:
        weight, ratios = self._passed(slope)
        total = float(weight.sum())
        if total <= 0:
            return np.full(len(self.distances), inference.NAN)
        mean: Floats = np.sqrt(np.diag(self.covariance)) * (ratios @ weight) / total
        return mean


def _slope(test: _Individual | _Joint, target: float) -> float:
    """The smallest slope at which the power reaches `target`, to eight digits."""
    reach = float((np.sqrt(np.diag(test.covariance)) / np.abs(test.distances)).min())
    while test.power(reach) > target:
        reach /= 2
    while test.power(reach) < target:
        reach *= 2
    found: float = brentq(lambda slope: test.power(slope) - target, reach / 2, reach, xtol=1e-12 * reach, rtol=1e-8)
    return found


def _sentence(half: DriftSeen, mostly: DriftSeen, *, n_leads: int, scale: float, unit: str) -> Message:
    sizes = {"half": half.slope, "mostly": mostly.slope, "bias": half.bias, "bias_if_passed": half.bias_if_passed}
    return counted(
        "Had the groups drifted apart in a straight line by {half} a year, a test of the one year before exposure "
        "would have missed it every second time; by {mostly} a year, one time in five. The first drift would put the "
        "estimate off by {bias} on average, and by {bias_if_passed} where the test finds nothing.",
        "Had the groups drifted apart in a straight line by {half} a year, a test of the {n} years before exposure "
        "would have missed it every second time; by {mostly} a year, one time in five. The first drift would put the "
        "estimate off by {bias} on average, and by {bias_if_passed} where the test finds nothing.",
        n=n_leads,
        **{name: amount(abs(scale * size), unit=unit) for name, size in sizes.items()},
    )
