"""The effect in one two-by-two comparison: changes of an exposed group against changes of a comparison group.

In: arrays with one entry a unit. Out: a `Contrast` with its influence function, or why there is none.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np
from scipy.special import expit, logit

from wwc_research.estimators.absorption import Floats, dependent_columns
from wwc_research.messages import message

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
class OutcomeModel:
    """Least squares on one group, made ready for any outcome.

    Attributes
    ----------
    design, weight
        Shapes (columns, units) and (units,); the weight is zero outside the group.
    bread
        Inverse of the group's mean cross products.
    """

    design: Floats
    weight: Floats
    bread: Floats

    def predicted(self, outcome: Floats) -> Floats:
        """The outcome of every unit as the group's regression predicts it."""
        coefficients = self.bread @ (self.design @ (self.weight * outcome)) / len(outcome)
        values: Floats = coefficients @ self.design
        return values

    def lever(self, gradient: Floats) -> Floats:
        """What a unit's residual counts for, by way of the coefficients, in a number with that gradient."""
        values: Floats = self.weight * ((self.bread @ gradient) @ self.design)
        return values


@dataclass(frozen=True, slots=True, kw_only=True)
class Propensity:
    """A fitted logit of exposure.

    Attributes
    ----------
    design
        Shape (columns, units).
    odds
        Of exposure times weight for comparison units, zero for exposed units and for those beyond the bound.
    score
        Weight times exposure less its probability.
    bread
        Inverse of the information matrix.
    """

    design: Floats
    odds: Floats
    score: Floats
    bread: Floats

    def influence(self, gradient: Floats) -> Floats:
        """Influence, by way of the logit's coefficients, on a number whose gradient times units that is."""
        values: Floats = self.score * ((self.bread @ gradient) @ self.design)
        return values


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """Two groups made ready: all that does not depend on the outcome, for any number of outcomes in turn.

    Attributes
    ----------
    treated, compared
        Weights of mean one over all units; `compared` is zero throughout where the regression does it all.
    outcome_model, propensity
        Where the adjustment has them.
    model_lever
        What a residual counts for by way of the outcome model.
    """

    treated: Floats
    compared: Floats
    outcome_model: OutcomeModel | None = None
    model_lever: Floats | None = None
    propensity: Propensity | None = None

    def contrast(self, change: Floats) -> Contrast:
        """The effect on the exposed in terms of that change, and the influence of each unit on it."""
        n = len(change)
        rest = change if self.outcome_model is None else change - self.outcome_model.predicted(change)
        # einsum, for a threaded dot product on a busy machine costs more in waiting than it saves
        treated_mean, compared_mean = (float(np.einsum("i,i->", w, rest)) / n for w in (self.treated, self.compared))
        from_comparison = self.compared * (rest - compared_mean)
        influence: Floats = self.treated * (rest - treated_mean)
        influence -= from_comparison
        if self.model_lever is not None:
            influence -= self.model_lever * rest
        if self.propensity is not None:
            influence -= self.propensity.influence(self.propensity.design @ from_comparison)
        return Contrast(effect=treated_mean - compared_mean, influence=influence)


def contrast(
    change: Floats,
    *,
    exposed: Floats,
    weight: Floats,
    covariates: Floats | None = None,
    adjustment: Adjustment = "dr",
) -> Contrast | Undefined:
    """The effect on the exposed, and the influence of each unit on it.

    Parameters
    ----------
    change
        Outcome now less outcome in the base period.
    covariates
        Shape (units, covariates), without a constant; None or no column: no adjustment.
    exposed, weight, adjustment
        As in `comparison`.
    """
    ready = comparison(
        exposed=exposed, weight=weight, covariates=None if covariates is None else covariates.T, adjustment=adjustment
    )
    return ready if isinstance(ready, Undefined) else ready.contrast(change)


def comparison(
    *, exposed: Floats, weight: Floats, covariates: Floats | None = None, adjustment: Adjustment = "dr"
) -> Comparison | Undefined:
    """The two groups made ready for the difference of their changes, or why they cannot be compared.

    Without covariates all three adjustments are the difference of mean changes. With them: `reg` predicts the
    exposed units' change from the comparison units (Heckman, Ichimura and Todd 1997); `ipw` weighs comparison
    units by their odds of exposure, normalised (Abadie 2005); `dr` does both and needs only one to be right
    (Sant'Anna and Zhao 2020, Journal of Econometrics 219(1), equation 2.6 with logit and least squares).

    Parameters
    ----------
    exposed
        1 or 0; both occur.
    weight
        Positive.
    covariates
        Shape (covariates, units), without a constant; None or no row: no adjustment.
    """
    weight = weight / weight.mean()
    own = weight * exposed
    others = weight - own
    treated = own / own.mean()
    if covariates is None or len(covariates) == 0:
        return Comparison(treated=treated, compared=others / others.mean())
    design = design_matrix(covariates)
    if is_collinear(design if adjustment == "ipw" else design[:, exposed == 0]):
        if adjustment == "ipw":
            return Undefined(reason=message("the covariates are collinear, or the units too few for them"))
        return Undefined(
            reason=message("the covariates of the comparison units are collinear, or the units too few for them")
        )
    compared = np.zeros(len(weight))
    fitted: Propensity | None = None
    if adjustment != "reg":
        logit_fit = propensity(design, exposed=exposed, weight=weight)
        if isinstance(logit_fit, Undefined):
            return logit_fit
        fitted = logit_fit
        compared = fitted.odds / fitted.odds.mean()
    if adjustment == "ipw":
        return Comparison(treated=treated, compared=compared, propensity=fitted)
    model = outcome_model(design, weight=others)
    lever = model.lever(design @ (treated - compared) / len(weight))
    return Comparison(treated=treated, compared=compared, outcome_model=model, model_lever=lever, propensity=fitted)


def design_matrix(covariates: Floats) -> Floats:
    """A constant above the standardised covariates, shape (1 + covariates, units)."""
    spread = covariates.std(axis=1, keepdims=True)
    standardised = (covariates - covariates.mean(axis=1, keepdims=True)) / np.where(spread > 0, spread, 1.0)
    return np.vstack([np.ones(covariates.shape[1]), standardised])


def is_collinear(design: Floats) -> bool:
    """Whether a row of the design follows from those before it, or the units are too few."""
    return bool(dependent_columns(design.T, absorbed=design.T))


def outcome_model(design: Floats, *, weight: Floats) -> OutcomeModel:
    """Least squares on the units whose weight is not zero."""
    gram: Floats = (design * weight) @ design.T / len(weight)
    return OutcomeModel(design=design, weight=weight, bread=np.asarray(np.linalg.inv(gram), dtype=np.float64))


def propensity(design: Floats, *, exposed: Floats, weight: Floats) -> Propensity | Undefined:
    """The logit of exposure by Newton's steps; no constant bound trims small probabilities.

    Undefined where the logit has no finite solution, or a fitted probability leaves no overlap.
    """
    no_overlap = Undefined(reason=message("the covariates all but tell who is exposed: no overlap"))
    coefficients = np.zeros(len(design))
    coefficients[0] = logit(np.average(exposed, weights=weight))
    for _ in range(50):
        probability = expit(coefficients @ design)
        information = (design * (weight * probability * (1 - probability))) @ design.T
        if not np.linalg.cond(information) < 1e13:
            return no_overlap
        step = np.linalg.solve(information, design @ (weight * (exposed - probability)))
        coefficients = coefficients + step
        if np.abs(step).max() < 1e-10:
            break
    else:
        return no_overlap
    probability = expit(coefficients @ design)
    if probability.max() >= _NO_OVERLAP:
        return no_overlap
    odds = weight * (1 - exposed) * probability / (1 - probability)
    return Propensity(
        design=design,
        odds=np.where(probability < _TRIM, odds, 0.0),
        score=weight * (exposed - probability),
        bread=np.linalg.inv(information),
    )
