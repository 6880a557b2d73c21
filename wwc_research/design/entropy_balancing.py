"""Entropy balancing: the least uneven control weights whose covariate means equal those of the treated.

In: one row a unit, a treatment of 0 and 1, covariates. Out: a `Weighting` whose achieved imbalance was measured.
Hainmueller (2012), "Entropy Balancing for Causal Effects", Political Analysis 20(1), by its convex dual.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations
from typing import Any, Literal, get_args

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy import optimize

from wwc_research.design.balance import effective_sample_size
from wwc_research.design.matching import covariate_matrix, note_table_faults
from wwc_research.design.sample import Exclusion
from wwc_research.design.weighting import Weighting
from wwc_research.errors import EstimationError, Faults, listed
from wwc_research.messages import message

Estimand = Literal["ATT", "ATE"]
Moments = Literal[1, 2]

Floats = NDArray[np.float64]
Flags = NDArray[np.bool_]

_STEPS = 200  # Newton steps; far more than a target inside the hull ever takes
_SHORTEST = 1e-10  # length at which a step that does not help is given up
_SAME = 1e-9  # standard deviations at which two values of a moment are one


def entropy_balancing(
    frame: pd.DataFrame,
    *,
    treatment: str,
    covariates: Sequence[str],
    estimand: Estimand = "ATT",
    moments: Moments = 1,
    interactions: bool = False,
    base_weights: str | None = None,
    tolerance: float = 1e-7,
) -> Weighting:
    r"""Weights that balance the moments of the covariates exactly and stay as near to the base weights as they can.

    Among all weights with $\sum_i w_i x_i = \bar x$ and $\sum_i w_i = 1$ those that minimise
    $\sum_i w_i \log(w_i / q_i)$: Hainmueller (2012), eq. 4-8. They are $w_i \propto q_i e^{x_i'\lambda}$ with
    $\lambda$ the minimum of $\log\sum_i q_i e^{(x_i-\bar x)'\lambda}$, found by Newton steps with the exact Hessian.

    Parameters
    ----------
    frame
        One row a unit with a unique index.
    treatment
        Column of 0 and 1.
    covariates
        Columns of numbers or text (one indicator a level), without empty cells.
    estimand
        `ATT`: controls are weighted to the treated, who keep their base weights; control weights add up to the
        treated's. `ATE`: each group is weighted to all units, and adds up to their number.
    moments
        1: means. 2: means and squares, that is variances too.
    interactions
        Whether the products of all pairs of covariates are balanced as well.
    base_weights
        Column of positive weights to start from, such as population; by default all are equal.
    tolerance
        Largest difference of means that counts as balanced, in standard deviations over all units. What decides
        is the difference measured on the finished weights.

    Returns
    -------
    Weighting
        `settings` gives `largest_imbalance_sd` as measured, `moments_balanced`, `effective_n_control` (Kish) and
        `largest_weight_share`. Controls whose value no mix of controls with the treated's mean can hold (a
        category without treated units, say) weigh 0 and are listed under `exclusions`.

    Raises
    ------
    InputError
        For unusable columns or options, all at once.
    EstimationError
        If no weights can balance the covariates, naming those at fault.
    """
    _refuse_unusable(frame, treatment, covariates, base_weights, estimand, moments, tolerance)
    treated = frame[treatment].to_numpy(dtype=float) == 1
    X, names = _terms(covariate_matrix(frame, covariates=covariates), moments=moments, interactions=interactions)
    base = np.ones(len(frame)) if base_weights is None else frame[base_weights].to_numpy(dtype=float)
    weights = np.zeros(len(frame))
    whole = np.ones(len(frame), dtype=bool)
    sides = [(~treated, treated)] if estimand == "ATT" else [(~treated, whole), (treated, whole)]
    for side, towards in sides:
        goal = np.average(X[towards], axis=0, weights=base[towards])
        shares = _balanced_shares(X[side], goal=goal, base=base[side], names=names, tolerance=tolerance)
        weights[side] = shares * base[towards].sum()
    if estimand == "ATT":
        weights[treated] = base[treated]
    gap = max(np.abs(_means(X, weights, side) - _means(X, base, towards)).max(initial=0.0) for side, towards in sides)
    settings: dict[str, Any] = {
        "method": "entropy_balancing",
        "covariates": list(covariates),
        "moments": moments,
        "interactions": interactions,
        "base_weights": base_weights,
        "tolerance": tolerance,
        "moments_balanced": names,
        "largest_imbalance_sd": float(gap),
        "effective_n_control": effective_sample_size(weights[~treated]),
        "largest_weight_share": float(weights[~treated].max() / weights[~treated].sum()),
    }
    return Weighting(
        weights=pd.Series(weights, index=frame.index, name="weight"),
        estimand=estimand,
        method="entropy_balancing",
        exclusions=_left_out(weights, treated),
        settings=settings,
    )


def _refuse_unusable(
    frame: pd.DataFrame,
    treatment: str,
    covariates: Sequence[str],
    base_weights: str | None,
    estimand: str,
    moments: int,
    tolerance: float,
) -> None:
    faults = Faults(where="entropy balancing")
    start = () if base_weights is None else (base_weights,)
    note_table_faults(faults, frame, treatment=treatment, covariates=covariates, exact=start)
    if estimand not in get_args(Estimand):
        faults.add(f"estimand {estimand!r} is unknown; use {listed(get_args(Estimand))}.")
    if moments not in get_args(Moments):
        faults.add(f"moments {moments!r} is unknown; use {listed(get_args(Moments))}.")
    if not tolerance > 0:
        faults.add(f"tolerance is {tolerance}; it counts standard deviations and must be above zero.")
    if base_weights is not None and base_weights in frame:
        bad = frame.index[~(frame[base_weights] > 0) | np.isinf(frame[base_weights])]
        if len(bad):
            faults.add(f"base weights {base_weights!r} of {listed(bad)} are not above zero; leave those units out.")
    faults.raise_if_any()


def _terms(matrix: pd.DataFrame, *, moments: int, interactions: bool) -> tuple[Floats, list[str]]:
    """Standardised moments, shape (units, moments), and their names; those that are constant are left out."""
    X, names = _standardised(matrix.to_numpy(dtype=float), [str(name) for name in matrix.columns])
    if not names:
        raise EstimationError(
            message("entropy balancing: no covariate varies. Give covariates that differ between units.")
        )
    columns, found = [X], list(names)
    if moments == 2:
        several = [position for position in range(len(names)) if len(np.unique(X[:, position])) > 2]
        columns.append(np.square(X[:, several]))
        found += [f"{names[position]}^2" for position in several]
    if interactions and len(names) > 1:
        pairs = list(combinations(range(len(names)), 2))
        columns.append(np.column_stack([X[:, one] * X[:, other] for one, other in pairs]))
        found += [f"{names[one]} x {names[other]}" for one, other in pairs]
    return _standardised(np.hstack(columns), found)


def _standardised(X: Floats, names: list[str]) -> tuple[Floats, list[str]]:
    spread = X.std(axis=0)
    varies = spread > _SAME * np.abs(X).max(axis=0, initial=0.0)
    scaled: Floats = (X[:, varies] - X[:, varies].mean(axis=0)) / spread[varies]
    return scaled, [name for name, kept in zip(names, varies, strict=True) if kept]


def _means(X: Floats, weights: Floats, side: Flags) -> Floats:
    means: Floats = np.average(X[side], axis=0, weights=weights[side])
    return means


def _balanced_shares(X: Floats, *, goal: Floats, base: Floats, names: list[str], tolerance: float) -> Floats:
    """Shares that add up to 1 and give the columns of `X` the means `goal`."""
    inside = _on_the_face(X, goal)
    shares = np.zeros(len(X))
    if inside.any():
        shares[inside] = _newton(X[inside] - goal, base[inside], tolerance=tolerance)
        gap = float(np.abs(shares @ X - goal).max())
        if np.isfinite(gap) and gap <= tolerance:
            return shares
    gaps = _smallest_gaps(X, goal)
    at_fault = np.flatnonzero(gaps > tolerance)
    if len(at_fault):
        beyond = [
            position for position in at_fault if not X[:, position].min() <= goal[position] <= X[:, position].max()
        ]
        named = listed(names[position] for position in (beyond or at_fault))
        why = (
            message("lie beyond every unit to be weighted")
            if beyond
            else message("lie outside what any mix of them can give")
        )
        raise EstimationError(
            message(
                "entropy balancing: no weights balance the covariates; the means aimed at of {named} {why} "
                "(short by {gap:.2g} standard deviations at least). Leave these covariates out or ask for fewer "
                "moments.",
                named=named,
                why=why,
                gap=gaps.max(),
            )
        )
    raise EstimationError(
        message(
            "entropy balancing: weights exist but lie at the edge; a largest difference of {gap:.2g} "
            "standard deviations is left where {tolerance:g} is allowed. Ask for fewer moments or a wider "
            "tolerance.",
            gap=gap,
            tolerance=tolerance,
        )
    )


def _on_the_face(X: Floats, goal: Floats) -> Flags:
    """Units that can count: where a goal is the least or greatest value that occurs, only units with that value."""
    inside = np.ones(len(X), dtype=bool)
    while inside.any():
        low, high = X[inside].min(axis=0), X[inside].max(axis=0)
        low_off = (np.abs(goal - low) < _SAME) & (low + _SAME < X)
        high_off = (np.abs(goal - high) < _SAME) & (high - _SAME > X)
        still = inside & ~(low_off | high_off).any(axis=1)
        if still.sum() == inside.sum():
            break
        inside = still
    return inside


def _newton(centred: Floats, base: Floats, *, tolerance: float) -> Floats:
    """Shares proportional to base x exp(centred @ dual) at the dual's minimum, or where steps stop helping."""
    log_base = np.log(base)
    dual = np.zeros(centred.shape[1])
    level, shares = _dual(log_base + centred @ dual)
    for _ in range(_STEPS):
        slope = shares @ centred
        # far within the tolerance, so that equal input in another order gives the same weights to the digits shown
        if np.abs(slope).max() < 1e-5 * tolerance:
            break
        hessian = (centred * shares[:, None]).T @ centred - np.outer(slope, slope)
        step = -np.linalg.lstsq(hessian, slope, rcond=1e-12)[0]
        length = 1.0
        found = _dual(log_base + centred @ (dual + step))
        while found[0] > level + 1e-4 * length * float(slope @ step) and length > _SHORTEST:
            length /= 2
            found = _dual(log_base + centred @ (dual + length * step))
        if length <= _SHORTEST:
            break
        dual = dual + length * step
        level, shares = found
    return shares


def _dual(exponents: Floats) -> tuple[float, Floats]:
    """Logarithm of the sum of exponentials, and each one's share in it."""
    top = float(exponents.max())
    parts = np.exp(exponents - top)
    total = float(parts.sum())
    return top + float(np.log(total)), parts / total


def _smallest_gaps(X: Floats, goal: Floats) -> Floats:
    """Differences left, a column each, by the weights that make their sum smallest: all zero if weights exist."""
    n_units, n_columns = X.shape
    both = np.hstack([X.T, np.eye(n_columns), -np.eye(n_columns)])
    whole = np.concatenate([np.ones(n_units), np.zeros(2 * n_columns)])
    found = optimize.linprog(
        1 - whole, A_eq=np.vstack([both, whole]), b_eq=np.append(goal, 1.0), bounds=(0, None), method="highs"
    )
    if found.x is None:
        raise EstimationError(
            message("entropy balancing: whether weights exist could not be told ({reason}).", reason=found.message)
        )
    gaps: Floats = np.abs(X.T @ found.x[:n_units] - goal)
    return gaps


def _left_out(weights: Floats, treated: Flags) -> tuple[Exclusion, ...]:
    words = {
        message("control with a value that the means aimed at leave no room for"): ~treated,
        message("treated unit with a value that the means aimed at leave no room for"): treated,
    }
    counts = {reason: int((weights[side] == 0).sum()) for reason, side in words.items()}
    return tuple(Exclusion(reason=reason, rows=count, units=count) for reason, count in counts.items() if count)
