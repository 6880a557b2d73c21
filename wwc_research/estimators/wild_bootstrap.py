"""The wild cluster bootstrap with the null imposed: p-value and interval of one coefficient.

In: arrays with one row an observation, and a generator. Out: `WildBootstrap`. No estimator.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final, Literal

import numpy as np

from wwc_research.errors import EstimationError, Faults
from wwc_research.estimators.absorption import Codes, Floats, absorb, group_sums, levels
from wwc_research.estimators.inversion import inverted_interval
from wwc_research.estimators.leverage import cluster_design, partial_column
from wwc_research.inference import NAN
from wwc_research.messages import message

WeightsKind = Literal["rademacher", "webb"]
Sides = Literal["symmetric", "equal_tailed"]
POINTS: Final[dict[str, tuple[float, ...]]] = {
    "rademacher": (-1.0, 1.0),
    "webb": tuple(sign * math.sqrt(size) for sign in (-1, 1) for size in (0.5, 1.0, 1.5)),
}
SIDES: Final = ("symmetric", "equal_tailed")

_CELLS = 200_000  # draws times clusters held at once
_TIE = 1e-10  # relative: statistics this close are the same one, computed by another road
_VANISHED = 1e-24  # a draw's squared standard error below this share of the largest is zero


@dataclass(frozen=True, slots=True, kw_only=True)
class WildBootstrap:
    """The test that one coefficient is `null`, and the interval of the values not rejected.

    Attributes
    ----------
    p_value
        From the draws, the data counted as one of them; exact where `is_enumerated`.
    ci_low, ci_high
        Ends of the interval by inversion of the test; infinite where so few clusters cannot reject anything.
    statistic
        t of the data with CRV1 errors, without small-sample factor (which all draws would share).
    estimate
        The coefficient.
    draws, n_clusters
        Draws used; clusters.
    is_enumerated
        Whether the draws are all that there are.
    """

    p_value: float
    ci_low: float
    ci_high: float
    statistic: float
    estimate: float
    draws: int
    n_clusters: int
    is_enumerated: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class _Scores:
    """By cluster, linear in the distance d of the hypothesis from the estimate: `at_estimate + d * slope`.

    `own` and `own_slope` (G,): products of the partialled regressor with the restricted residuals. `all` and
    `all_slope` (G, q): the same for every basis column; `all_slope` is also how the refit feeds back.
    """

    own: Floats
    own_slope: Floats
    all: Floats
    all_slope: Floats


@dataclass(frozen=True, slots=True, kw_only=True)
class _Draws:
    """Per draw, the numerator a + b d and the squared standard error u + 2 v d + w d^2 of its t."""

    a: Floats
    b: Floats
    u: Floats
    v: Floats
    w: Floats

    def statistics(self, distance: float) -> Floats:
        """Each draw's t where the hypothesis lies `distance` from the estimate."""
        numerator = self.a + self.b * distance
        square = self.u + 2 * self.v * distance + self.w * distance**2
        vanished = square <= _VANISHED * max(float(square.max()), np.finfo(float).tiny)
        t: Floats = numerator / np.sqrt(np.where(vanished, 1.0, square))
        return np.where(vanished, np.copysign(np.inf, numerator), t)


def wild_cluster_bootstrap(
    outcome: Floats,
    regressors: Floats,
    *,
    column: int,
    clusters: Codes,
    generator: np.random.Generator,
    effects: Sequence[Codes] = (),
    weights: Floats | None = None,
    draws: int = 9_999,
    weights_kind: WeightsKind = "rademacher",
    sides: Sides = "symmetric",
    null: float = 0.0,
    level: float = 0.95,
) -> WildBootstrap:
    """The restricted wild cluster bootstrap (WCR) of one coefficient of a regression with fixed effects.

    Each draw multiplies the residuals of the model in which the hypothesis holds by one random number a cluster,
    refits the whole model, fixed effects among it, and takes t with CRV1 errors: Cameron, Gelbach and Miller
    (2008), Review of Economics and Statistics 90(3). The refit is exact, not with the effects held fixed: those
    nested in the clusters drop out, since restricted residuals are orthogonal to them in every cluster; the others
    enter through a (clusters x columns) matrix. So a draw costs clusters times columns, and numerator and squared
    standard error are polynomials in the hypothesis, which makes the interval free: Roodman, MacKinnon, Nielsen and
    Webb (2019), Stata Journal 19(1); MacKinnon (2023), "Fast cluster bootstrap methods for linear regression
    models", Econometrics and Statistics 26.

    Parameters
    ----------
    outcome, regressors
        Shapes (rows,) and (rows, columns).
    column
        Position of the coefficient tested.
    clusters, effects
        Codes 0..L-1 a row.
    weights
        Positive, one a row.
    draws
        How many; where there are no more than that many different ones, all are taken once.
    weights_kind
        `rademacher`: -1 or 1; `webb`: six points, for fewer than about ten clusters.
    sides
        `symmetric`: |t| against |t|; `equal_tailed`: twice the smaller tail.
    null
        Hypothesis tested.
    level
        Of the interval.

    Raises
    ------
    InputError
        For options that are not offered.
    EstimationError
        Where there are fewer than two clusters or nothing tells of the coefficient.
    """
    _refuse_unusable(column, regressors.shape[1], draws=draws, weights_kind=weights_kind, sides=sides, level=level)
    n_clusters = levels(clusters)
    if n_clusters < 2:
        raise EstimationError(
            message("wild bootstrap: one cluster has nothing to be compared with; use smaller clusters.")
        )
    weights = np.ones(len(outcome)) if weights is None else weights
    estimate, scores = _scores(outcome, regressors, column=column, clusters=clusters, effects=effects, weights=weights)
    real = _drawn(np.ones((1, n_clusters)), scores)
    step = 2 * math.sqrt(float(real.u[0])) / float(scores.own_slope.sum())
    if not step > 0:
        return _undefined(estimate, n_clusters=n_clusters)
    points = POINTS[weights_kind]
    is_enumerated = len(points) ** n_clusters <= draws
    drawn = _all_draws(
        _enumerated(points, n_clusters=n_clusters)
        if is_enumerated
        else _random(points, n_clusters=n_clusters, draws=draws, generator=generator),
        scores,
    )

    def p_value(hypothesis: float) -> float:
        distance = estimate - hypothesis
        t = float(real.statistics(distance)[0])
        return _p_value(t, drawn.statistics(distance), sides=sides, is_enumerated=is_enumerated)

    low, high = inverted_interval(p_value, centre=estimate, step=step, size=1 - level)
    return WildBootstrap(
        p_value=p_value(null),
        ci_low=low,
        ci_high=high,
        statistic=float(real.statistics(estimate - null)[0]),
        estimate=estimate,
        draws=len(drawn.a),
        n_clusters=n_clusters,
        is_enumerated=is_enumerated,
    )


def _refuse_unusable(column: int, n_columns: int, *, draws: int, weights_kind: str, sides: str, level: float) -> None:
    faults = Faults(where="wild bootstrap")
    if not 0 <= column < n_columns:
        faults.add(f"column = {column}; the regressors have columns 0 to {n_columns - 1}.")
    if draws < 1:
        faults.add(f"draws = {draws}; take 1 or more, 9999 as a rule.")
    if weights_kind not in POINTS:
        faults.add(f"weights_kind = {weights_kind!r} is not offered; allowed: {', '.join(POINTS)}.")
    if sides not in SIDES:
        faults.add(f"sides = {sides!r} is not offered; allowed: {', '.join(SIDES)}.")
    if not 0 < level < 1:
        faults.add(f"level = {level}; it lies between 0 and 1.")
    faults.raise_if_any()


def _undefined(estimate: float, *, n_clusters: int) -> WildBootstrap:
    return WildBootstrap(
        p_value=NAN,
        ci_low=NAN,
        ci_high=NAN,
        statistic=NAN,
        estimate=estimate,
        draws=0,
        n_clusters=n_clusters,
        is_enumerated=False,
    )


def _scores(
    outcome: Floats, regressors: Floats, *, column: int, clusters: Codes, effects: Sequence[Codes], weights: Floats
) -> tuple[float, _Scores]:
    """The coefficient, and what the clusters contribute to it and to its error."""
    partial = partial_column(regressors, column=column, effects=effects, weights=weights)
    absorbed = absorb(np.column_stack([outcome, regressors]), effects=effects, weights=weights)
    y, X = absorbed[:, 0] * np.sqrt(weights), absorbed[:, 1:]
    length = float(partial @ partial)
    estimate = float(partial @ y) / length
    design = cluster_design(_independent(X), effects=effects, cluster=clusters, weights=weights)
    n_basis = len(design.inverse)
    basis = design.basis[:, :n_basis]
    residuals = y - basis @ (basis.T @ y)
    if np.linalg.norm(residuals) <= 1e-12 * np.linalg.norm(outcome * np.sqrt(weights)):
        residuals = np.zeros_like(residuals)
    own = group_sums(np.column_stack([partial * residuals, partial**2]), groups=clusters, n_groups=design.n_clusters)
    return estimate, _Scores(
        own=own[:, 0],
        own_slope=own[:, 1],
        all=design.sums(residuals),
        all_slope=design.sums(partial),
    )


def _independent(absorbed: Floats) -> Floats:
    """The columns without those that the ones before them explain; the column tested is known to stay."""
    scale = np.linalg.norm(absorbed, axis=0)
    kept = [position for position in range(absorbed.shape[1]) if scale[position] > 0]
    r = np.linalg.qr(absorbed[:, kept] / scale[kept], mode="r")
    return absorbed[:, [position for position, rest in zip(kept, np.abs(np.diag(r)), strict=True) if rest > 1e-9]]


def _drawn(multipliers: Floats, scores: _Scores) -> _Draws:
    """Numerators and squared standard errors of draws, one row of multipliers each, shape (draws, clusters).

    The score of cluster g in a draw is v_g s_g less (own basis sums)_g times the coefficients refitted to the draw.
    """
    q = scores.all.shape[1]
    sums = multipliers @ np.column_stack([scores.own, scores.own_slope, scores.all, scores.all_slope])
    q = scores.all.shape[1]
    sums = multipliers @ np.column_stack([scores.own, scores.own_slope, scores.all, scores.all_slope])
    q = scores.all.shape[1]
    sums = multipliers @ np.column_stack([scores.own, scores.own_slope, scores.all, scores.all_slope])
    q = scores.all.shape[1]
    sums = multipliers @ np.column_stack([scores.own, scores.own_slope, scores.all, scores.all_slope])
    at_estimate = multipliers * scores.own - sums[:, 2 : q + 2] @ scores.all_slope.T
    slope = multipliers * scores.own_slope - sums[:, q + 2 :] @ scores.all_slope.T
    steepness = np.einsum("dg,dg->d", slope, slope)
    level = steepness <= _VANISHED * (scores.own_slope @ scores.own_slope)  # as in the data: rounding, not slope
    return _Draws(
        a=sums[:, 0],
        b=sums[:, 1],
        u=np.einsum("dg,dg->d", at_estimate, at_estimate),
        v=np.where(level, 0.0, np.einsum("dg,dg->d", at_estimate, slope)),
        w=np.where(level, 0.0, steepness),
    )


def _all_draws(blocks: Iterator[Floats], scores: _Scores) -> _Draws:
    parts = [_drawn(block, scores) for block in blocks]
    return _Draws(
        **{name: np.concatenate([getattr(part, name) for part in parts]) for name in ("a", "b", "u", "v", "w")}
    )


def _enumerated(points: Sequence[float], *, n_clusters: int) -> Iterator[Floats]:
    yield np.array(list(itertools.product(points, repeat=n_clusters)))


def _random(
    points: Sequence[float], *, n_clusters: int, draws: int, generator: np.random.Generator
) -> Iterator[Floats]:
    block = max(_CELLS // n_clusters, 1)
    for start in range(0, draws, block):
        shape = (min(block, draws - start), n_clusters)
        yield np.array(points)[generator.integers(0, len(points), size=shape, dtype=np.int8)]


def _p_value(t: float, drawn: Floats, *, sides: str, is_enumerated: bool) -> float:
    """Share of draws at least as far out as the data, which count as one draw unless they are among them."""
    slack, extra = _TIE * abs(t), 0 if is_enumerated else 1
    total = len(drawn) + extra
    if sides == "symmetric":
        return float((np.abs(drawn) >= abs(t) - slack).sum() + extra) / total
    tails = ((drawn >= t - slack).sum(), (drawn <= t + slack).sum())
    return min(2 * float(min(tails) + extra) / total, 1.0)
