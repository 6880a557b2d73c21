"""Which effects a bounded violation of parallel trends leaves open: the conditional / least-favourable hybrid test.

In: the few numbers that a bound on violations comes down to. Out: critical values, and effects rejected or not.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy import special

Floats = npt.NDArray[np.float64]
Flags = npt.NDArray[np.bool_]

SIZE = 0.05
# of the test's size, the part spent on the least-favourable first step (Andrews, Roth and Pakes 2023, section 6.2)
FIRST_STEP = SIZE / 10
SECOND_STEP = (SIZE - FIRST_STEP) / (1 - FIRST_STEP)

_GRID = 300
_FAR = 8.5
_NODES, _NODE_WEIGHTS = np.polynomial.legendre.leggauss(160)


@dataclass(frozen=True, slots=True, kw_only=True)
class StepBounds:
    """Effects allowed where no step after the base exceeds `m_bar` times one pre-period step, choice by choice.

    The moments are those of Rambachan and Roth (2023), equation 14 with post-period rows only. Their dual polytope
    has n_post + 2 vertices, known in closed form, since the matrix of post-period steps is invertible: the effect too
    high, the effect too low, and the pre-period step below zero, once a post period. Of the last, only those with the
    largest and the smallest weight can bind. So no linear program has to be solved.

    Attributes
    ----------
    m_bar, width
        The bound; and what it allows the effect to be off by, for a pre-period step of one.
    up, down
        Weights of the two vertices for the effect, one a choice (lead step and its sign), shape (choices,).
    most, least
        Largest and smallest weight of the vertices for the step, shape (choices,).
    effect_variance, step_variance, shared
        Variances of the effect's estimate (one number) and of the steps, and their covariances, shape (choices,).
    """

    m_bar: float
    width: float
    up: Floats
    down: Floats
    most: Floats
    least: Floats
    effect_variance: float
    step_variance: Floats
    shared: Floats

    def critical_values(self) -> Floats:
        """Least-favourable critical values of the first step, one a choice, shape (choices,).

        The quantile of the largest vertex when every moment is zero, which R's HonestDiD draws 1,000 times; here by
        quadrature over the one step, exact to about 1e-10.
        """
        low, high = np.zeros(len(self.up)), np.full(len(self.up), _FAR)
        for _ in range(48):
            middle = (low + high) / 2
            below = self._chance_below(middle) < 1 - FIRST_STEP
            low, high = np.where(below, middle, low), np.where(below, high, middle)
        return high

    def _chance_below(self, value: Floats) -> Floats:
        spread = np.sqrt(self.step_variance)
        slope = self.shared / self.step_variance
        rest = np.sqrt(np.maximum(self.effect_variance - slope * self.shared, 1e-14 * self.effect_variance))
        edge = np.full(len(value), -_FAR)
        if self.m_bar > 0:
            edge = np.maximum(-value / (2 * self.m_bar * self.most * spread), -_FAR)
        z = edge[:, None] + (_FAR - edge)[:, None] * (_NODES + 1) / 2
        density = np.exp(-(z**2) / 2) / math.sqrt(2 * math.pi) * (_FAR - edge)[:, None] / 2
        step = z * spread[:, None]
        reach = self.width * step
        upper = ((value / self.up)[:, None] + reach - slope[:, None] * step) / rest[:, None]
        lower = (-(value / self.down)[:, None] - reach - slope[:, None] * step) / rest[:, None]
        inside = np.maximum(special.ndtr(upper) - special.ndtr(lower), 0)
        return (density * inside) @ _NODE_WEIGHTS

    def accepted(self, effects: Floats, *, estimate: float, steps: Floats, critical: Floats) -> Flags:
        """Whether each effect is not rejected, by choice; `effects` has shape (choices, n), and so has the answer."""
        gap = estimate - effects
        reach = (self.width * steps)[:, None]
        values = np.stack(
            [
                self.up[:, None] * (gap - reach),
                self.down[:, None] * (-gap - reach),
                np.broadcast_to((-2 * self.m_bar * self.least * steps)[:, None], gap.shape),
                np.broadcast_to((-2 * self.m_bar * self.most * steps)[:, None], gap.shape),
            ],
            axis=1,
        )
        return not_rejected(values, covariance=self._covariance(), critical=critical)

    def _covariance(self) -> Floats:
        """Covariance of the four vertices, shape (choices, 4, 4)."""
        none = np.zeros(len(self.up))
        on_effect = np.stack([self.up, -self.down, none, none], axis=1)
        on_step = np.stack(
            [-self.width * self.up, -self.width * self.down, -2 * self.m_bar * self.least, -2 * self.m_bar * self.most],
            axis=1,
        )
        crossed = on_effect[:, :, None] * on_step[:, None, :]
        return (
            self.effect_variance * on_effect[:, :, None] * on_effect[:, None, :]
            + self.step_variance[:, None, None] * on_step[:, :, None] * on_step[:, None, :]
            + self.shared[:, None, None] * (crossed + crossed.transpose(0, 2, 1))
        )

    def ends(self, *, estimate: float, steps: Floats) -> tuple[float, float]:
        """Lowest and highest effect that some choice does not reject.

        Between the first effect of a grid that is not rejected and the one before it the end is found by bisection,
        so that it does not depend on the grid.
        """
        critical = self.critical_values()
        low = estimate - self.width * steps - critical / self.up
        high = estimate + self.width * steps + critical / self.down
        open_to = (low < high) & (-2 * self.m_bar * self.most * steps <= critical)
        grid = low[:, None] + (high - low)[:, None] * np.linspace(0, 1, _GRID)
        kept = self.accepted(grid, estimate=estimate, steps=steps, critical=critical) & open_to[:, None]
        first, last = kept.argmax(axis=1), _GRID - 1 - kept[:, ::-1].argmax(axis=1)
        rows = np.arange(len(low))
        found = []
        for outside, inside in (
            (grid[rows, np.maximum(first - 1, 0)], grid[rows, first]),
            (grid[rows, np.minimum(last + 1, _GRID - 1)], grid[rows, last]),
        ):
            for _ in range(44):
                middle = (outside + inside) / 2
                fine = self.accepted(middle[:, None], estimate=estimate, steps=steps, critical=critical)[:, 0]
                outside, inside = np.where(fine, outside, middle), np.where(fine, middle, inside)
            found.append(inside[kept.any(axis=1)])
        return float(found[0].min()), float(found[1].max())


def not_rejected(values: Floats, *, covariance: Floats, critical: Floats) -> Flags:
    """Whether the hybrid test leaves each effect, by choice.

    The statistic is the largest vertex. Above the least-favourable critical value it rejects at once; else it is
    judged against its normal distribution cut to where the same vertex stays the largest, and never rejects at or
    below zero. Andrews, Roth and Pakes (2023), "Inference for linear conditional moment inequalities", Review of
    Economic Studies 90(6), section 6.

    Parameters
    ----------
    values, covariance
        Vertices at each effect, shape (choices, vertices, n), and their covariance, (choices, vertices, vertices).
    critical
        First-step critical values, shape (choices,).
    """
    top = values.argmax(axis=1)
    statistic = np.take_along_axis(values, top[:, None, :], axis=1)[:, 0, :]
    rows = np.arange(len(values))[:, None]
    beside = np.moveaxis(covariance[rows, top], 2, 1)
    variance = covariance[rows, top, top]
    with np.errstate(divide="ignore", invalid="ignore"):
        slope = beside / variance[:, None, :]
        cut = (values - slope * statistic[:, None, :]) / (1 - slope)
        lower = np.where(slope < 1 - 1e-9, cut, -np.inf).max(axis=1)
        upper = np.minimum(np.where(slope > 1 + 1e-9, cut, np.inf).min(axis=1), critical[:, None])
        spread = np.sqrt(variance)
        at, low, high = (special.log_ndtr(-edge / spread) for edge in (statistic, lower, upper))
        above = (np.exp(at - low) - np.exp(high - low)) / (1 - np.exp(high - low))
    clearly = (above < SECOND_STEP) | (statistic > critical[:, None])
    return ~(clearly & (statistic > 0))


def cut_normal_quantile(lower: float, upper: float) -> float:
    """The 1 - `SECOND_STEP` quantile of a standard normal cut to [lower, upper], and zero at least."""
    below, total = special.ndtr(lower), special.ndtr(upper) - special.ndtr(lower)
    return max(0.0, float(special.ndtri(below + (1 - SECOND_STEP) * total)))
