"""The shortest interval of fixed length where the drift between groups bends by no more than a bound.

In: estimates, covariance, weights of the effect. Out: the frontier of worst bias against error, and intervals on it.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.optimize import minimize_scalar

from wwc_research import inference
from wwc_research.errors import EstimationError
from wwc_research.messages import message

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Frontier:
    """Combinations of the estimates that no other one beats in both worst bias and error, from least bias on.

    Attributes
    ----------
    combinations
        Knots of the frontier, weights on the estimates, shape (knots, n); between two knots it is straight.
    bias
        Worst bias at each knot for bends of at most one, shape (knots,).
    estimates, covariance
        Those combined.
    """

    combinations: Floats
    bias: Floats
    estimates: Floats
    covariance: Floats

    def interval(self, m: float, *, level: float) -> tuple[float, float]:
        """Lower and upper end of the shortest interval for bends of at most `m`."""
        last = len(self.bias) - 1.0
        places = [0.0, last]
        if last > 0:
            # the half-length is convex along the frontier, its least error at the last knot
            found = minimize_scalar(
                self._half, args=(m, level), bounds=(0, last), method="bounded", options={"xatol": 1e-7 * last}
            )
            places.append(float(found.x))
        best = min(places, key=lambda place: self._half(place, m, level))
        combination, error, bias = self._at(best)
        return inference.bias_aware_interval(float(combination @ self.estimates), error, m * bias, level=level)

    def _at(self, place: float) -> tuple[Floats, float, float]:
        """Combination, its standard error, and its worst bias for bends of at most one."""
        knot = min(int(place), len(self.bias) - 1)
        after, share = min(knot + 1, len(self.bias) - 1), place - knot
        combination = (1 - share) * self.combinations[knot] + share * self.combinations[after]
        bias = (1 - share) * float(self.bias[knot]) + share * float(self.bias[after])
        return combination, math.sqrt(max(float(combination @ self.covariance @ combination), 0.0)), bias

    def _half(self, place: float, m: float, level: float) -> float:
        _, error, bias = self._at(place)
        return inference.bias_aware_interval(0.0, error, m * bias, level=level)[1]


def bias_and_error_frontier(*, estimates: Floats, covariance: Floats, weights: Floats) -> Frontier:
    """All best trade-offs of worst bias against standard error for the effect `weights @ post`.

    A combination of the estimates that a straight drift does not move is off by the sum over inner periods of its
    load on that period's bend, times the bend. The loads of the periods up to the base are free but for the first,
    and worst bias is the sum of their absolute values: least variance for each bias is a lasso, whose path is
    straight between knots. Rambachan and Roth (2023), section 4.1; Donoho (1994), "Statistical estimation and
    optimal recovery", Annals of Statistics 22(1).

    Parameters
    ----------
    estimates, covariance
        Leads then lags, periods one apart, the base between them left out; shapes (n,) and (n, n).
    weights
        On the lags, shape (n_post,).

    Raises
    ------
    EstimationError
        Where the covariance of the leads is singular.
    """
    n_post, n_pre = len(weights), len(estimates) - len(weights)
    distances = np.arange(1, n_post + 1)
    total = float(distances @ weights)
    fixed = sum(abs(float(np.maximum(distances - place, 0) @ weights)) for place in range(n_post))
    # loads on the bends at 1, 2, ... periods before the base: load_j = sum over leads k > j of (k - j) weight_k, and
    # load_0 = total undoes any slope; so the weight of lead k is the second difference of the loads at k
    bends = np.zeros((n_pre + 2, n_pre - 1))
    bends[1:n_pre] = np.eye(n_pre - 1)
    start = np.zeros(n_pre + 2)
    start[0] = total
    second = np.array([[1.0, -2.0, 1.0]]).T
    lead_weights = sum(second[shift] * bends[shift : shift + n_pre] for shift in range(3))[::-1]
    at_start = np.concatenate([sum(second[shift] * start[shift : shift + n_pre] for shift in range(3))[::-1], weights])
    moves = np.concatenate([lead_weights, np.zeros((n_post, n_pre - 1))])
    loads = _lasso_path(moves.T @ covariance @ moves, -(moves.T @ covariance @ at_start))
    return Frontier(
        combinations=at_start + loads @ moves.T,
        bias=fixed + np.abs(loads).sum(axis=1),
        estimates=estimates,
        covariance=covariance,
    )


def _lasso_path(gram: Floats, target: Floats) -> Floats:
    """Knots of argmin x'gram x / 2 - target'x + penalty |x|, from x = 0 to no penalty; shape (knots, n).

    Osborne, Presnell and Turlach (2000), "A new approach to variable selection in least squares problems", IMA
    Journal of Numerical Analysis 20(3).
    """
    count = len(target)
    knots = [np.zeros(count)]
    if count == 0:
        return np.array(knots)
    spread = np.sqrt(np.diag(gram))
    if not (spread > 0).all() or np.linalg.eigvalsh(gram / np.outer(spread, spread)).min() < 1e-11:
        raise EstimationError(
            message(
                "the covariance of the leads is singular (more of them than clusters?), so no shortest interval "
                "exists; keep fewer leads"
            )
        )
    penalty = float(np.abs(target).max())
    active = [int(np.abs(target).argmax())]
    sign = np.sign(target)
    for _ in range(20 * count):
        here = np.ix_(active, active)
        level, drop = np.linalg.solve(gram[here], np.column_stack([target[active], sign[active]])).T
        # x of the active ones is level - penalty * drop; the others' correlation is a + penalty * b
        rest = [place for place in range(count) if place not in active]
        a = target[rest] - gram[np.ix_(rest, active)] @ level
        b = gram[np.ix_(rest, active)] @ drop
        events = [(0.0, -1, 0.0)]
        with np.errstate(divide="ignore", invalid="ignore"):
            leaving = level / drop
            joining = np.stack([a / (1 - b), -a / (1 + b)])
        limit = penalty * (1 - 1e-12)
        events += [(float(at), place, 0.0) for at, place in zip(leaving, active, strict=True) if 0 < at < limit]
        for mark, row in zip((1.0, -1.0), joining, strict=True):
            events += [(float(at), place, mark) for at, place in zip(row, rest, strict=True) if 0 < at < limit]
        penalty, place, mark = max(events)
        knot = np.zeros(count)
        knot[active] = level - penalty * drop
        knots.append(knot)
        if place < 0:
            return np.array(knots)
        if mark:
            active.append(place)
            sign[place] = mark
        else:
            active.remove(place)
    raise EstimationError(message("the frontier of bias against error could not be followed; keep fewer leads"))
