"""Fixed effects out of columns, and what every least-squares routine asks of codes 0..L-1 a row.

In: arrays with one row an observation. Out: arrays. No estimator.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import numpy.typing as npt

from wwc_research.errors import EstimationError
from wwc_research.messages import message

Floats = npt.NDArray[np.float64]
Codes = npt.NDArray[np.int64]
Sweep = Callable[[Floats], Floats]

_COLLINEAR = 1e-9  # a column whose rest, of unit length before, is shorter than this adds nothing
_CLEARLY_APART = 1e-6  # smallest eigenvalue of unit columns from which none can be that short


def group_sums(values: Floats, *, groups: Codes, n_groups: int) -> Floats:
    """Column sums within groups, shape (n_groups, columns), for codes 0..n_groups-1."""
    sums = [np.bincount(groups, weights=column, minlength=n_groups) for column in values.T]
    return np.column_stack(sums) if sums else np.zeros((n_groups, 0))


def levels(codes: Codes) -> int:
    """Number of levels of codes 0..L-1."""
    return int(codes.max()) + 1


def _sweep(values: Floats, *, effects: Sequence[Codes], weights: Floats, totals: Sequence[Floats]) -> Floats:
    """Subtract weighted group means effect by effect, forth and back: a symmetric operator."""
    order = [*range(len(effects)), *reversed(range(len(effects) - 1))]
    for position in order:
        codes, total = effects[position], totals[position]
        sums = group_sums(values * weights[:, None], groups=codes, n_groups=len(total))
        values = values - (sums / total[:, None])[codes]
    return values


def _is_balanced(effects: Sequence[Codes], weights: Floats) -> bool:
    if len(effects) != 2 or np.ptp(weights) > 0:
        return False
    first, second = effects
    cells = levels(first) * levels(second)
    return cells == len(first) and int(np.bincount(first * levels(second) + second).max()) == 1


def absorb(
    values: Floats, *, effects: Sequence[Codes], weights: Floats | None = None, tolerance: float = 1e-13
) -> Floats:
    """Columns with any number of fixed effects taken out, same shape as `values`.

    One effect, and two in a balanced equally weighted panel, need a single pass. Everything else goes by
    alternating projections, sped up by conjugate gradients on the symmetric sweep (Gaure 2013,
    "OLS with multiple high dimensional category variables", Computational Statistics & Data Analysis 66).

    Parameters
    ----------
    values
        Shape (rows, columns).
    effects
        Codes 0..L-1 a row, every level present; none leaves the values as they are.
    weights
        Positive, one a row.
    tolerance
        Largest remaining step, relative to the length of the column.
    """
    if not effects:
        return values
    weights = np.ones(len(values)) if weights is None else weights
    totals: list[Floats] = [np.bincount(codes, weights=weights).astype(float) for codes in effects]

    def sweep(columns: Floats) -> Floats:
        return _sweep(columns, effects=effects, weights=weights, totals=totals)

    if len(effects) == 1:
        return sweep(values)
    if _is_balanced(effects, weights):
        return _sweep(values, effects=effects[:1], weights=weights, totals=totals[:1]) - _group_means(
            values - values.mean(axis=0), codes=effects[1]
        )
    return _absorb_by_conjugate_gradients(values, sweep=sweep, weights=weights, tolerance=tolerance)


def _group_means(values: Floats, *, codes: Codes) -> Floats:
    n_groups = levels(codes)
    means: Floats = group_sums(values, groups=codes, n_groups=n_groups)
    means /= np.bincount(codes)[:, None]
    return means[codes]


def _absorb_by_conjugate_gradients(
    values: Floats, *, sweep: Sweep, weights: Floats, tolerance: float, max_steps: int = 2_000
) -> Floats:
    """Solve (1 - S) u = (1 - S) y for each column and return y - u, which the sweep S leaves unchanged."""

    def inner(left: Floats, right: Floats) -> Floats:
        products: Floats = np.einsum("ij,ij,i->j", left, right, weights)
        return products

    length = np.sqrt(inner(values, values))
    current = sweep(values)
    step = current - sweep(current)
    direction = step.copy()
    norm = inner(step, step)
    for _ in range(max_steps):
        active = np.sqrt(norm) > tolerance * length
        if not active.any():
            return sweep(current)
        image = direction - sweep(direction)
        curvature = inner(direction, image)
        size = np.where(active & (curvature > 0), norm / np.where(curvature > 0, curvature, 1.0), 0.0)
        current = current - size * direction
        step = step - size * image
        updated = inner(step, step)
        direction = step + np.where(norm > 0, updated / np.where(norm > 0, norm, 1.0), 0.0) * direction
        norm = updated
    raise EstimationError(
        message(
            "fixed effects: not absorbed to {tolerance:g} after {max_steps:,} steps; the panel falls into "
            "parts that hardly touch: estimate them one by one, or use fewer effects.",
            tolerance=tolerance,
            max_steps=max_steps,
        )
    )


def dependent_columns(regressors: Floats, *, absorbed: Floats) -> list[int]:
    """Positions of columns that the fixed effects or the columns before them already explain.

    Parameters
    ----------
    regressors, absorbed
        Shape (rows, columns): as they were, and after `absorb`.
    """
    before, scale = np.linalg.norm(regressors, axis=0), np.linalg.norm(absorbed, axis=0)
    gone = (scale <= _COLLINEAR * before) | (scale == 0)
    scaled = absorbed / np.where(gone, 1.0, scale)
    if not gone.any() and (gone.size == 0 or np.linalg.eigvalsh(scaled.T @ scaled)[0] > _CLEARLY_APART):
        return []
    kept: list[Floats] = []
    dependent: list[int] = []
    for position in range(absorbed.shape[1]):
        rest = scaled[:, position]
        for _ in range(2):  # twice is enough against rounding (Kahan)
            for direction in kept:
                rest = rest - direction * (direction @ rest)
        if gone[position] or np.linalg.norm(rest) <= _COLLINEAR:
            dependent.append(position)
        else:
            kept.append(rest / np.linalg.norm(rest))
    return dependent


def is_nested(codes: Codes, *, within: Codes) -> bool:
    """Whether each level lies in one cluster: then the last cluster seen for it is that of all its rows."""
    last_seen = np.zeros(levels(codes), dtype=np.int64)
    last_seen[codes] = within
    return bool((last_seen[codes] == within).all())
