"""Weights that are not negative and sum to one: least squares on the simplex, solved exactly, with a check.

In: matrices with one column a donor. Out: weights. No estimator.
"""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]

_ZERO = 1e-12  # relative to the largest squared distance of a column from the target
_EVEN_RIDGE = 1e-6  # relative to the mean squared distance: picks the evenest of many exact fits
_MOST_STEPS = 40
_GOOD_GAP = 1e-11
_SMALL_RIDGE = 1e-7  # relative to the mean squared distance: below it Newton stalls


def least_squares_weights(matrix: Floats, target: Floats, *, ridge: float = 0.0) -> Floats:
    r"""The weights of smallest $\|Aw - b\|^2 + \eta\|w\|^2$ with $w \ge 0$, $\sum w = 1$.

    Without ridge by an active set on the columns, in at most a few dozen steps. Where many mixes fit exactly, the
    evenest of them is taken (by a ridge of a millionth of the mean squared distance), so that the answer does not hang
    on the order of the columns. With ridge by Newton's method on the dual, in as many unknowns as `matrix` has rows.

    Parameters
    ----------
    matrix
        Shape (rows, columns).
    target
        Shape (rows,).
    ridge
        The factor eta, 0 or more.
    """
    distance = matrix - target[:, None]
    squared = np.einsum("ij,ij->j", distance, distance)
    scale = float(squared.max(initial=0.0))
    n = matrix.shape[1]
    if n == 1 or scale == 0:
        return np.full(n, 1 / n)
    if ridge > 0:
        return _ridge_weights(distance, ridge=ridge)
    weights = _active_set(distance, tolerance=_ZERO * scale)
    left = float(np.sum((distance @ weights) ** 2))
    if n > 2 and left <= 1e-10 * scale:
        return _ridge_weights(distance, ridge=_EVEN_RIDGE * float(squared.mean()))
    return weights


def optimality_gap(matrix: Floats, target: Floats, weights: Floats, *, ridge: float = 0.0) -> float:
    """How far the weights can be from the best, as a share of the largest squared distance of a column; 0 is exact.

    The Frank-Wolfe gap, an upper bound on the excess of half the criterion: Jaggi (2013), "Revisiting Frank-Wolfe",
    Proceedings of the 30th International Conference on Machine Learning, equation 2.
    """
    distance = matrix - target[:, None]
    gradient = distance.T @ (distance @ weights) + ridge * weights
    scale = float(np.einsum("ij,ij->j", distance, distance).max()) + ridge
    return float(weights @ gradient - gradient.min()) / scale if scale > 0 else 0.0


def _active_set(distance: Floats, *, tolerance: float) -> Floats:
    """Lawson and Hanson's active set with the sum fixed at one; `distance` is columns less target."""
    n = distance.shape[1]
    weights = np.zeros(n)
    weights[int(np.argmin(np.einsum("ij,ij->j", distance, distance)))] = 1.0
    for _ in range(50 * n):
        gradient = distance.T @ (distance @ weights)
        worst = int(np.argmin(gradient))
        if gradient[worst] >= weights @ gradient - tolerance or weights[worst] > 0:
            break
        moved = _with_column(distance, weights, entering=worst)
        if moved is None:
            break
        weights = moved
    return weights


def _with_column(distance: Floats, weights: Floats, *, entering: int) -> Floats | None:
    """The best weights on the support after `entering` joins it and columns at zero leave; None where nothing moves."""
    support = np.append(np.flatnonzero(weights > 0), entering)
    current = np.append(weights[support[:-1]], 0.0)
    before = float(np.sum((distance[:, support] @ current) ** 2))
    while True:
        columns = distance[:, support]
        # the first column carries the sum: what is left is least squares in differences from it
        free = np.linalg.lstsq(columns[:, 1:] - columns[:, :1], -columns[:, 0], rcond=1e-13)[0]
        wanted = np.concatenate([[1 - free.sum()], free])
        if (wanted > 0).all():
            break
        falling = wanted <= 0
        room = np.where(falling, current / np.maximum(current - wanted, 1e-300), np.inf)
        current = current + min(float(room.min()), 1.0) * (wanted - current)
        stays = np.ones(len(support), dtype=bool)
        stays[int(np.argmin(room))] = False
        support, current = support[stays], np.maximum(current[stays], 0.0)
        if len(support) == 1:
            wanted = np.ones(1)
            break
    if float(np.sum((distance[:, support] @ wanted) ** 2)) >= before:
        return None
    result = np.zeros(len(weights))
    result[support] = wanted
    return result


def _onto_simplex(point: Floats) -> Floats:
    """Euclidean projection: Held, Wolfe and Crowder (1974), Mathematical Programming 6."""
    ordered = np.sort(point)[::-1]
    excess = (np.cumsum(ordered) - 1) / np.arange(1, len(point) + 1)
    last = int(np.flatnonzero(ordered > excess)[-1])
    projected: Floats = np.maximum(point - excess[last], 0.0)
    return projected


def _ridge_weights(distance: Floats, *, ridge: float) -> Floats:
    """Newton at the asked ridge, else from a large ridge down; a ridge too small for it is left to the active set."""
    n_rows, n = distance.shape
    squared = np.einsum("ij,ij->j", distance, distance)
    mean = float(squared.mean())
    start = np.zeros(n_rows)  # equal weights: near the answer where many mixes fit
    if ridge >= _SMALL_RIDGE * mean:
        weights, _ = _dual_newton(distance, ridge=ridge, start=start)
        if optimality_gap(distance, np.zeros(n_rows), weights, ridge=ridge) <= _GOOD_GAP:
            return weights / weights.sum()
        path = ridge * 10.0 ** np.arange(max(math.ceil(math.log10(mean / ridge)), 0), -1, -1)
        for step in path:
            weights, start = _dual_newton(distance, ridge=float(step), start=start)
        if optimality_gap(distance, np.zeros(n_rows), weights, ridge=ridge) <= _GOOD_GAP:
            return weights / weights.sum()
    stacked = np.vstack([distance, math.sqrt(ridge) * np.eye(n)])
    return _active_set(stacked, tolerance=_ZERO * (float(squared.max()) + ridge))


def _dual_newton(distance: Floats, *, ridge: float, start: Floats) -> tuple[Floats, Floats]:
    r"""Weights and residual $r = Aw - b$ where the dual is least; $w$ is the projection of $-A'r/\eta$."""

    def dual(residual: Floats) -> tuple[Floats, float]:
        pull = -(distance.T @ residual)
        weights = _onto_simplex(pull / ridge)
        value = 0.5 * float(residual @ residual) + float(pull @ weights) - 0.5 * ridge * float(weights @ weights)
        return weights, value

    scale = math.sqrt(float(np.einsum("ij,ij->j", distance, distance).max()))
    residual = start
    weights, value = dual(residual)
    for _ in range(_MOST_STEPS):
        slope = residual - distance @ weights
        if np.linalg.norm(slope) <= 1e-13 * scale:
            break
        used = distance[:, weights > 0]
        used = used - used.mean(axis=1, keepdims=True)
        direction = -np.linalg.solve(np.eye(len(residual)) + used @ used.T / ridge, slope)
        step, fall = 1.0, float(slope @ direction)
        tried, new_value = dual(residual + direction)
        while new_value > value + 1e-4 * step * fall and step > 1e-4:
            step /= 2
            tried, new_value = dual(residual + step * direction)
        if step <= 1e-4:
            break
        residual, weights, value = residual + step * direction, tried, new_value
    return weights, residual


def frank_wolfe_weights(
    matrix: Floats, target: Floats, *, zeta: float, least_decrease: float, most_steps: int, start: Floats | None = None
) -> Floats:
    r"""Where Frank-Wolfe steps for $\|Aw - b\|^2/n + \zeta^2\|w\|^2$ stop: short of the best weights, by a rule.

    The rule is that of R's synthdid 0.0.9: exact line search from equal weights or `start`, until a step lowers the
    criterion by no more than `least_decrease` squared, or after `most_steps`.

    Parameters
    ----------
    matrix, target
        Shapes (n, columns) and (n,).
    zeta, least_decrease
        In the unit of the outcome.
    """
    n, columns = matrix.shape
    weights = np.full(columns, 1 / columns) if start is None else start.copy()
    eta = n * zeta**2
    fitted = matrix @ weights
    last = math.inf
    for step_number in range(most_steps):
        half_gradient = matrix.T @ (fitted - target) + eta * weights
        corner = int(np.argmin(half_gradient))
        direction = -weights
        direction[corner] += 1.0
        change = matrix[:, corner] - fitted
        curvature = float(change @ change) + eta * float(direction @ direction)
        if curvature > 0:
            length = min(1.0, max(0.0, -float(half_gradient @ direction) / curvature))
            weights = weights + length * direction
            fitted = matrix @ weights
        value = zeta**2 * float(weights @ weights) + float(np.sum((fitted - target) ** 2)) / n
        if step_number >= 1 and last - value <= least_decrease**2:
            break
        last = value
    return weights
