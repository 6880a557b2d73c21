"""The two-by-two effect where every period has other units: four groups of levels instead of two of changes.

In: arrays with one entry an observation. Out: a `Contrast`, or why there is none. No estimator.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

import numpy as np

from wwc_research.estimators.absorption import Floats
from wwc_research.estimators.two_by_two import (
    Adjustment,
    Contrast,
    OutcomeModel,
    Propensity,
    Undefined,
    design_matrix,
    is_collinear,
    outcome_model,
    propensity,
)
from wwc_research.messages import message

_Group = tuple[int, int]  # exposed or not, after or before
_GROUPS: tuple[_Group, ...] = ((0, 0), (0, 1), (1, 0), (1, 1))
_COLLINEAR = {
    (0, 0): message("the covariates of the comparison units before are collinear, or the units too few for them"),
    (0, 1): message("the covariates of the comparison units after are collinear, or the units too few for them"),
    (1, 0): message("the covariates of the exposed units before are collinear, or the units too few for them"),
    (1, 1): message("the covariates of the exposed units after are collinear, or the units too few for them"),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class _Mean:
    """A weighted mean that enters the effect with a sign.

    `slopes` says how the values move with the prediction of each group's outcome model.
    """

    sign: int
    weight: Floats
    values: Floats
    slopes: Mapping[_Group, int] = field(default_factory=dict)
    has_odds: bool = False


def cross_section_contrast(
    outcome: Floats,
    *,
    exposed: Floats,
    after: Floats,
    weight: Floats,
    covariates: Floats | None = None,
    adjustment: Adjustment = "dr",
) -> Contrast | Undefined:
    """The effect on the exposed from two samples of other units, and the influence of each observation.

    Without covariates the difference of differences of four means. With them: `reg` predicts both periods from
    the comparison units; `ipw` weighs them by their odds of exposure, normalised in each period; `dr` is the
    locally efficient of the two doubly robust estimators for cross-sections, with an outcome model in each of
    the four groups (Sant'Anna and Zhao 2020, Journal of Econometrics 219(1)). All take for granted that who is
    sampled does not change over time.

    Parameters
    ----------
    outcome
        Levels.
    exposed, after
        1 or 0; all four combinations occur.
    weight
        Positive.
    covariates
        Shape (covariates, observations), without a constant; None or no row: no adjustment.
    """
    weight = weight / weight.mean()
    sides = {0: (1 - exposed, 1 - after), 1: (exposed, after)}
    weights = {group: weight * sides[group[0]][0] * sides[group[1]][1] for group in _GROUPS}
    if covariates is None or len(covariates) == 0:
        return _combined(_differences(outcome, weights), outcome, models={}, logit=None)
    design = design_matrix(covariates)
    needed = {"ipw": (), "reg": _GROUPS[:2], "dr": _GROUPS}[adjustment]
    for group in needed:
        if is_collinear(design[:, weights[group] > 0]):
            return Undefined(reason=_COLLINEAR[group])
    if adjustment == "ipw" and is_collinear(design):
        return Undefined(reason=message("the covariates are collinear, or the units too few for them"))
    fitted: Propensity | None = None
    if adjustment != "reg":
        logit_fit = propensity(design, exposed=exposed, weight=weight)
        if isinstance(logit_fit, Undefined):
            return logit_fit
        fitted = logit_fit
    models = {group: outcome_model(design, weight=weights[group]) for group in needed}
    predicted = {group: model.predicted(outcome) for group, model in models.items()}
    if fitted is None:
        means = _regression_means(outcome, weights, predicted)
    elif adjustment == "ipw":
        means = _differences(outcome, weights, odds=fitted.odds, after=after)
    else:
        means = _doubly_robust_means(outcome, weights, predicted, odds=fitted.odds, after=after)
    return _combined(means, outcome, models=models, logit=fitted)


def _differences(
    outcome: Floats, weights: Mapping[_Group, Floats], *, odds: Floats | None = None, after: Floats | None = None
) -> Iterator[_Mean]:
    yield _Mean(sign=1, weight=weights[1, 1], values=outcome)
    yield _Mean(sign=-1, weight=weights[1, 0], values=outcome)
    if odds is None or after is None:
        yield _Mean(sign=-1, weight=weights[0, 1], values=outcome)
        yield _Mean(sign=1, weight=weights[0, 0], values=outcome)
    else:
        yield _Mean(sign=-1, weight=odds * after, values=outcome, has_odds=True)
        yield _Mean(sign=1, weight=odds * (1 - after), values=outcome, has_odds=True)


def _regression_means(
    outcome: Floats, weights: Mapping[_Group, Floats], predicted: Mapping[_Group, Floats]
) -> Iterator[_Mean]:
    yield _Mean(sign=1, weight=weights[1, 1], values=outcome)
    yield _Mean(sign=-1, weight=weights[1, 0], values=outcome)
    yield _Mean(
        sign=-1,
        weight=weights[1, 0] + weights[1, 1],
        values=predicted[0, 1] - predicted[0, 0],
        slopes={(0, 1): 1, (0, 0): -1},
    )


def _doubly_robust_means(
    outcome: Floats,
    weights: Mapping[_Group, Floats],
    predicted: Mapping[_Group, Floats],
    *,
    odds: Floats,
    after: Floats,
) -> Iterator[_Mean]:
    exposed = weights[1, 0] + weights[1, 1]
    for period, sign in ((1, 1), (0, -1)):
        rest, when = outcome - predicted[0, period], after if period else 1 - after
        yield _Mean(sign=sign, weight=weights[1, period], values=rest, slopes={(0, period): -1})
        yield _Mean(sign=-sign, weight=odds * when, values=rest, slopes={(0, period): -1}, has_odds=True)
        gain = predicted[1, period] - predicted[0, period]
        slopes = {(1, period): 1, (0, period): -1}
        yield _Mean(sign=sign, weight=exposed, values=gain, slopes=slopes)
        yield _Mean(sign=-sign, weight=weights[1, period], values=gain, slopes=slopes)


def _combined(
    means: Iterator[_Mean], outcome: Floats, *, models: Mapping[_Group, OutcomeModel], logit: Propensity | None
) -> Contrast:
    """The signed sum of the means, with the influence of the estimated coefficients behind them."""
    n, effect, influence = len(outcome), 0.0, np.zeros(len(outcome))
    by_model = {group: np.zeros(len(model.design)) for group, model in models.items()}
    by_logit = np.zeros(0) if logit is None else np.zeros(len(logit.design))
    for mean in means:
        share = mean.weight / mean.weight.mean()
        value = float(share @ mean.values) / n
        own = share * (mean.values - value)
        effect += mean.sign * value
        influence += mean.sign * own
        for group, slope in mean.slopes.items():
            by_model[group] += mean.sign * slope * (models[group].design @ share) / n
        if mean.has_odds and logit is not None:
            by_logit += mean.sign * (logit.design @ own)
    for group, model in models.items():
        influence += model.lever(by_model[group]) * (outcome - model.predicted(outcome))
    if logit is not None:
        influence += logit.influence(by_logit)
    return Contrast(effect=effect, influence=influence)
