"""Donor weights of a synthetic control: from past outcomes, from predictors with estimated importance, with ridge.

In: outcomes before exposure, predictors. Out: weights over donors. No estimator.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from scipy import optimize

from wwc_research.estimators.linear import Floats
from wwc_research.estimators.simplex import least_squares_weights

_GRID_STEPS = 20
_GRID_SPAN = 1e-8
_TIE_BREAK = 1e-6
_MOST_TRIES_PER_PREDICTOR = 150
_LEAST_IMPORTANCE = 1e-4
_MOST_RESTARTS = 6
_LEAST_GAIN = 1e-4  # relative: a restart that gains less is the last


@dataclass(frozen=True, slots=True, kw_only=True)
class Importance:
    """How much each predictor counts (sums to one), and the weights over donors that follow."""

    importance: Floats
    weights: Floats


def standardised(treated: Floats, donors: Floats) -> tuple[Floats, Floats]:
    """Predictors over their standard deviation among all units; shapes (predictors,) and (predictors, donors)."""
    spread = np.column_stack([treated, donors]).std(axis=1, ddof=1)
    spread = np.where(spread > 0, spread, 1.0)
    return treated / spread, donors / spread[:, None]


def predictor_weights(
    treated: Floats, donors: Floats, *, importance: Floats, past: Floats, past_donors: Floats
) -> Floats:
    """Weights whose predictors come nearest to the treated unit's, predictors weighted by `importance`.

    Abadie, Diamond and Hainmueller (2010), "Synthetic control methods for comparative case studies", Journal of the
    American Statistical Association 105(490), equation 5. With fewer predictors than donors many mixes may fit them
    exactly: then the one that follows past outcomes best is taken, by giving these a millionth of the importance, as
    the outer problem asks: Malo, Eskelinen, Zhou and Kuosmanen (2024), "Computing synthetic controls using bilevel
    optimization", Computational Economics 64.

    Parameters
    ----------
    treated, donors, importance
        Standardised predictors, shapes (predictors,), (predictors, donors); importance (predictors,), summing to one.
    past, past_donors
        Outcomes before exposure, shapes (times,) and (times, donors).
    """
    scale = np.sqrt(importance)[:, None]
    spread = float(past_donors.std())
    share = np.sqrt(_TIE_BREAK / len(past)) / spread if spread > 0 else 0.0
    matrix = np.vstack([donors * scale, past_donors * share])
    return least_squares_weights(matrix, np.concatenate([treated * scale[:, 0], past * share]))


def nested_importance(treated: Floats, donors: Floats, *, past: Floats, past_donors: Floats) -> Importance:
    """The importance of predictors whose weights follow the treated unit's past outcomes best.

    Nelder-Mead on the logarithms, from equal importance and from that of a regression of past outcomes on the
    predictors, as in R's Synth; the better of the two, started again until it gains nothing. No predictor's importance
    falls below `_LEAST_IMPORTANCE`: without a floor the best is often a corner in which one predictor decides and the
    others are forgotten (Malo, Eskelinen, Zhou and Kuosmanen 2024, "Computing synthetic controls using bilevel
    optimization", Computational Economics 64). The criterion is flat: other software may find another importance
    with nearly the same weights.

    Parameters
    ----------
    treated, donors
        Standardised predictors, shapes (predictors,) and (predictors, donors).
    past, past_donors
        Outcomes before exposure, shapes (times,) and (times, donors).
    """

    def miss(logarithms: Floats) -> float:
        importance = _floored(logarithms)
        weights = predictor_weights(treated, donors, importance=importance, past=past, past_donors=past_donors)
        return float(np.mean((past - past_donors @ weights) ** 2))

    k = len(treated)
    starts = [np.zeros(k), np.log(np.maximum(_regression_importance(treated, donors, past, past_donors), 1e-6))]

    def searched(start: Floats) -> optimize.OptimizeResult:
        options = {"maxfev": _MOST_TRIES_PER_PREDICTOR * k, "xatol": 1e-4, "fatol": 1e-10, "adaptive": True}
        return optimize.minimize(miss, start, method="Nelder-Mead", options=options)

    found = min((searched(start) for start in starts), key=lambda result: float(result.fun))
    for _ in range(_MOST_RESTARTS):
        again = searched(found.x)
        gain, found = float(found.fun - again.fun), again if again.fun < found.fun else found
        if gain <= _LEAST_GAIN * float(found.fun):
            break
    best = _floored(found.x)
    weights = predictor_weights(treated, donors, importance=best, past=past, past_donors=past_donors)
    return Importance(importance=best, weights=weights)


def _floored(logarithms: Floats) -> Floats:
    importance = _softmax(logarithms) + _LEAST_IMPORTANCE
    return np.asarray(importance / importance.sum(), dtype=float)


def _softmax(logarithms: Floats) -> Floats:
    powers = np.exp(logarithms - logarithms.max())
    return np.asarray(powers / powers.sum(), dtype=float)


def _regression_importance(treated: Floats, donors: Floats, past: Floats, past_donors: Floats) -> Floats:
    """Squared coefficients of past outcomes on predictors over all units, summed over times."""
    predictors = np.column_stack([treated, donors]).T
    design = np.column_stack([np.ones(len(predictors)), predictors])
    coefficients = np.linalg.lstsq(design, np.column_stack([past, past_donors]).T, rcond=None)[0][1:]
    squared = np.sum(coefficients**2, axis=1)
    total = float(squared.sum())
    return squared / total if total > 0 else np.full(len(squared), 1 / len(squared))


def ridge_augmented(past: Floats, past_donors: Floats, *, weights: Floats, ridge: float) -> Floats:
    r"""Weights moved off the simplex by as much as a ridge regression of outcomes on past outcomes asks.

    $w + (x_1 - X_0w)'(X_0X_0' + \lambda I)^{-1}X_0$ with every time centred on the donors' mean: Ben-Michael, Feller
    and Rothstein (2021), "The augmented synthetic control method", Journal of the American Statistical Association
    116(536), equation 16. They sum to one and may be negative.
    """
    mean = past_donors.mean(axis=1)
    centred = past_donors - mean[:, None]
    miss = past - mean - centred @ weights
    pull = np.linalg.solve(centred @ centred.T + ridge * np.eye(len(past)), miss)
    return np.asarray(weights + pull @ centred, dtype=float)


def chosen_ridge(past: Floats, past_donors: Floats) -> float:
    """The largest ridge whose error at held-out past times is within a standard error of the least.

    Every time before exposure is left out in turn, weights are fitted to the others, and the squared error at that
    time is kept. Twenty-one ridges from the largest squared singular value of the centred past down by eight powers of
    ten, and the one-standard-error rule, as in R's augsynth.
    """
    mean = past_donors.mean(axis=1)
    centred, aim = past_donors - mean[:, None], past - mean
    largest = float(np.linalg.svd(centred, compute_uv=False)[0] ** 2)
    if largest <= 0 or len(past) < 3:
        return max(largest, 1.0)
    grid = largest * _GRID_SPAN ** (np.arange(_GRID_STEPS + 1) / _GRID_STEPS)
    errors = np.empty((len(past), len(grid)))
    for held in range(len(past)):
        rest = np.arange(len(past)) != held
        weights = least_squares_weights(centred[rest], aim[rest])
        miss = aim[rest] - centred[rest] @ weights
        # one decomposition serves the whole grid
        values, vectors = np.linalg.eigh(centred[rest] @ centred[rest].T)
        pulls = vectors @ ((vectors.T @ miss)[:, None] / (np.maximum(values, 0.0)[:, None] + grid))
        fitted = centred[held] @ weights + centred[held] @ centred[rest].T @ pulls
        errors[held] = (aim[held] - fitted) ** 2
    mean_error = errors.mean(axis=0)
    best = int(np.argmin(mean_error))
    allowed = mean_error[best] + errors[:, best].std(ddof=1) / np.sqrt(len(past))
    return float(grid[np.flatnonzero(mean_error <= allowed)[0]])


Weigher = Callable[[Floats, Floats], Floats]


def outcome_weigher(*, ridge: float | None = None) -> Weigher:
    """The rule (past, past of donors) -> weights that fits every past outcome, with that ridge augmentation."""

    def weigh(past: Floats, past_donors: Floats) -> Floats:
        weights = least_squares_weights(past_donors, past)
        return weights if ridge is None else ridge_augmented(past, past_donors, weights=weights, ridge=ridge)

    return weigh
