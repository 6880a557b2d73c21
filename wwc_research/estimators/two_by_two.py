"""The effect in one two-by-two comparison: changes of an exposed group against changes of a comparison group.

In: arrays with one row a unit. Out: a `Contrast` with its influence function, or why there is none.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np
from scipy.special import expit, logit

from wwc_research.estimators.linear import Floats, dependent_columns

Adjustment = Literal["dr", "reg", "ipw"]
ADJUSTMENTS: tuple[str, ...] = get_args(Adjustment)

# Both are bounds of R: from the first on did skips a cell, from the second on DRDID drops comparison units.
_NO_OVERLAP = 0.999
_TRIM = 0.995


@dataclass(frozen=True, slots=True, kw_only=True)
class Contrast:
    """An effect and its influence function: its variance is mean(influence^2) / units."""

    effect: float
    influence: Floats


@dataclass(frozen=True, slots=True, kw_only=True)
class Undefined:
    """Why a comparison gives no effect."""

    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class _Pieces:
    """Changes, exposure, weights of mean one, design with intercept; all one row a unit."""

    change: Floats
    exposed: Floats
    weight: Floats
    design: Floats

    @property
    def comparison_weight(self) -> Floats:
        return self.weight * (1 - self.exposed)

    @property
    def exposed_weight(self) -> Floats:
        return self.weight * self.exposed


def contrast(
    change: Floats,
    *,
    exposed: Floats,
    weight: Floats,
    covariates: Floats | None = None,
    adjustment: Adjustment = "dr",
) -> Contrast | Undefined:
    """The effect on the exposed, and the influence of each unit on it.

    Without covariates all three adjustments are the difference of mean changes. With them: `reg` predicts the
    exposed units' change from the comparison units (Heckman, Ichimura and Todd 1997); `ipw` weighs comparison
    units by their odds of exposure, normalised (Abadie 2005); `dr` does both and needs only one to be right
    (Sant'Anna and Zhao 2020, Journal of Econometrics 219(1), equation 2.6 with logit and least squares).

    Parameters
    ----------
    change
        Outcome now less outcome in the base period.
    exposed
        1 or 0; both occur.
    weight
        Positive.
    covariates
        Shape (units, covariates), without a constant; None or no column: no adjustment.
    """
    weight = weight / weight.mean()
    if covariates is None or covariates.shape[1] == 0:
        return _difference_of_means(change, exposed, weight)
    spread = covariates.std(axis=0)
    standardised = (covariates - covariates.mean(axis=0)) / np.where(spread > 0, spread, 1.0)
    design = np.column_stack([np.ones(len(change)), standardised])
    tested, where = (design, "") if adjustment == "ipw" else (design[exposed == 0], "of the comparison units ")
    if dependent_columns(tested, absorbed=tested):
        return Undefined(reason=f"the covariates {where}are collinear, or the units too few for them")
    pieces = _Pieces(change=change, exposed=exposed, weight=weight, design=design)
    if adjustment == "reg":
        return _regression(pieces)
    odds = _propensity(pieces)
    if odds is None:
        return Undefined(reason="the covariates all but tell who is exposed: no overlap")
    return _weighting(pieces, *odds) if adjustment == "ipw" else _doubly_robust(pieces, *odds)


def _difference_of_means(change: Floats, exposed: Floats, weight: Floats) -> Contrast:
    exposed_share, comparison_share = weight * exposed, weight * (1 - exposed)
    exposed_share = exposed_share / exposed_share.mean()
    comparison_share = comparison_share / comparison_share.mean()
    exposed_mean = float(np.mean(exposed_share * change))
    comparison_mean = float(np.mean(comparison_share * change))
    return Contrast(
        effect=exposed_mean - comparison_mean,
        influence=exposed_share * (change - exposed_mean) - comparison_share * (change - comparison_mean),
    )


def _outcome_model(pieces: _Pieces) -> tuple[Floats, Floats]:
    """Changes as predicted from the comparison units, and the influence on the coefficients."""
    weighted = pieces.design * pieces.comparison_weight[:, None]
    gram = weighted.T @ pieces.design / len(pieces.change)
    coefficients = np.linalg.solve(gram, weighted.T @ pieces.change / len(pieces.change))
    predicted: Floats = pieces.design @ coefficients
    scores: Floats = weighted * (pieces.change - predicted)[:, None]
    return predicted, scores @ np.linalg.inv(gram)


def _propensity(pieces: _Pieces) -> tuple[Floats, Floats] | None:
    """Weights of the comparison units by odds of exposure, and the influence on the logit's coefficients.

    None where the logit has no finite solution, or a fitted probability leaves no overlap.
    """
    design, exposed, weight = pieces.design, pieces.exposed, pieces.weight
    coefficients = np.zeros(design.shape[1])
    coefficients[0] = logit(np.average(exposed, weights=weight))
    for _ in range(50):
        probability = expit(design @ coefficients)
        hessian = (design * (weight * probability * (1 - probability))[:, None]).T @ design
        if not np.linalg.cond(hessian) < 1e13:
            return None
        step = np.linalg.solve(hessian, design.T @ (weight * (exposed - probability)))
        coefficients = coefficients + step
        if np.abs(step).max() < 1e-10:
            break
    else:
        return None
    probability = expit(design @ coefficients)
    if probability.max() >= _NO_OVERLAP:
        return None
    scores = design * (weight * (exposed - probability))[:, None]
    influence = np.linalg.solve(hessian, scores.T).T * len(exposed)
    kept = (exposed == 1) | (probability < _TRIM)
    odds = pieces.comparison_weight * kept * probability / (1 - probability)
    return odds, influence


def _regression(pieces: _Pieces) -> Contrast:
    predicted, model_influence = _outcome_model(pieces)
    treated = pieces.exposed_weight / pieces.exposed_weight.mean()
    rest = pieces.change - predicted
    effect = float(np.mean(treated * rest))
    influence = treated * (rest - effect) - model_influence @ (treated @ pieces.design / len(rest))
    return Contrast(effect=effect, influence=influence)


def _weighting(pieces: _Pieces, odds: Floats, odds_influence: Floats) -> Contrast:
    treated, compared = pieces.exposed_weight / pieces.exposed_weight.mean(), odds / odds.mean()
    treated_mean = float(np.mean(treated * pieces.change))
    compared_mean = float(np.mean(compared * pieces.change))
    rest = compared * (pieces.change - compared_mean)
    influence = treated * (pieces.change - treated_mean) - rest - odds_influence @ (rest @ pieces.design / len(rest))
    return Contrast(effect=treated_mean - compared_mean, influence=influence)


def _doubly_robust(pieces: _Pieces, odds: Floats, odds_influence: Floats) -> Contrast:
    predicted, model_influence = _outcome_model(pieces)
    residual = pieces.change - predicted
    treated, compared = pieces.exposed_weight / pieces.exposed_weight.mean(), odds / odds.mean()
    treated_mean = float(np.mean(treated * residual))
    compared_mean = float(np.mean(compared * residual))
    rest = compared * (residual - compared_mean)
    n = len(residual)
    influence = (
        treated * (residual - treated_mean)
        - rest
        - odds_influence @ (rest @ pieces.design / n)
        - model_influence @ ((treated - compared) @ pieces.design / n)
    )
    return Contrast(effect=treated_mean - compared_mean, influence=influence)
