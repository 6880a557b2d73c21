"""Inverse probability weights: units count by how unlikely their own treatment was, given their covariates.

In: one row a unit, a treatment of 0 and 1, covariates. Out: a `Weighting` for the treated, for all, or for the
overlap. Rosenbaum (1987), JASA 82(398); Li, Morgan and Zaslavsky (2018), JASA 113(521), Table 1.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal, get_args

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from wwc_research.design.balance import effective_sample_size
from wwc_research.design.matching import covariate_matrix, note_table_faults
from wwc_research.design.propensity import LOGISTIC, propensity
from wwc_research.design.sample import Exclusion
from wwc_research.design.weighting import Weighting
from wwc_research.errors import EstimationError, Faults, listed
from wwc_research.messages import message, said

Estimand = Literal["ATT", "ATE", "ATO"]

Floats = NDArray[np.float64]
Flags = NDArray[np.bool_]

_EDGE = 1e-8  # scores this near to 0 or 1 mark units whose like exists in one group only


def inverse_probability(
    frame: pd.DataFrame,
    *,
    treatment: str,
    covariates: Sequence[str],
    estimand: Estimand = "ATT",
    stabilised: bool = False,
    trim: tuple[float, float] | None = None,
    model: str = LOGISTIC,
    folds: int = 5,
    generator: np.random.Generator | None = None,
) -> Weighting:
    r"""Weights by the propensity score $e$, for the treated, for all units, or for those in between.

    `ATT`: treated 1, controls $e/(1-e)$ (odds). `ATE`: treated $1/e$, controls $1/(1-e)$. `ATO` (overlap): treated
    $1-e$, controls $e$; with the logistic model the means of the covariates are then equal to the last digit.

    Parameters
    ----------
    frame
        One row a unit with a unique index.
    treatment
        Column of 0 and 1.
    covariates
        Columns of numbers or text (one indicator a level), without empty cells.
    estimand
        Whom the effect is for.
    stabilised
        Multiply each group's weights by how common it is (`ATT`: controls by the odds against treatment), so that
        they average near 1. Differences of weighted means do not change; regressions with covariates do.
    trim
        Lowest and highest score allowed; units outside are left out, and the estimand says so. The score is not
        fitted again afterwards. For example (0.1, 0.9): Crump, Hotz, Imbens and Mitnik (2009), Biometrika 96(1).
    model, folds, generator
        As for `propensity.propensity`: every model but `logistic` is cross-fitted and needs a generator.

    Returns
    -------
    Weighting
        `settings` gives `effective_n_treated` and `effective_n_control` (Kish), `largest_weight_share` of one unit
        within its group, `units_with_propensity_0_or_1`, and whether scores were `cross_fitted`.

    Raises
    ------
    InputError
        For unusable columns or options, all at once.
    EstimationError
        If no propensity score exists, a weight would be infinite, or trimming leaves a group empty.
    """
    _refuse_unusable(frame, treatment, covariates, estimand, trim)
    treated = frame[treatment].to_numpy(dtype=float) == 1
    X = covariate_matrix(frame, covariates=covariates).to_numpy()
    try:
        score = propensity(X, treated=treated, model=model, folds=folds, generator=generator)
    except EstimationError as error:
        raise EstimationError(
            message("covariates {covariates}: {reason}", covariates=listed(covariates, limit=12), reason=said(error))
        ) from error
    low, high = trim or (0.0, 1.0)
    kept = (score >= low) & (score <= high)
    _refuse_empty_groups(treated, kept, score, trim)
    weights = _weights(score, treated=treated, estimand=estimand, kept=kept, labels=frame.index)
    if stabilised:
        weights *= _commonness(treated, kept, estimand)
    settings: dict[str, Any] = {
        "method": "inverse_probability",
        "covariates": list(covariates),
        "stabilised": stabilised,
        "trim": None if trim is None else list(trim),
        "model": model,
        "cross_fitted": model != LOGISTIC,
        "folds": folds if model != LOGISTIC else None,
        "units_with_propensity_0_or_1": int(((score < _EDGE) | (score > 1 - _EDGE)).sum()),
        "effective_n_treated": effective_sample_size(weights[treated]),
        "effective_n_control": effective_sample_size(weights[~treated]),
        "largest_weight_share": max(float(weights[side].max() / weights[side].sum()) for side in (treated, ~treated)),
    }
    whom: str = estimand
    if trim is not None and not kept.all():
        whom = message(
            "{estimand} among units with a propensity of {low:g} to {high:g}", estimand=estimand, low=low, high=high
        )
    return Weighting(
        weights=pd.Series(weights, index=frame.index, name="weight"),
        estimand=whom,
        method="inverse_probability",
        propensity=pd.Series(score, index=frame.index, name="propensity"),
        exclusions=_trimmed(treated, score, low=low, high=high),
        settings=settings,
    )


def _refuse_unusable(
    frame: pd.DataFrame,
    treatment: str,
    covariates: Sequence[str],
    estimand: str,
    trim: tuple[float, float] | None,
) -> None:
    faults = Faults(where="inverse probability")
    note_table_faults(faults, frame, treatment=treatment, covariates=covariates)
    if estimand not in get_args(Estimand):
        faults.add(f"estimand {estimand!r} is unknown; use {listed(get_args(Estimand))}.")
    if trim is not None and not 0 <= trim[0] < trim[1] <= 1:
        faults.add(f"trim is {trim}; give the lowest and the highest score allowed, between 0 and 1.")
    faults.raise_if_any()


def _refuse_empty_groups(treated: Flags, kept: Flags, score: Floats, trim: tuple[float, float] | None) -> None:
    empty = [not (kept & side).any() for side in (treated, ~treated)]
    if not any(empty):
        return
    whom = message("treated unit and no control")
    if not all(empty):
        whom = message("treated unit") if empty[0] else message("control")
    low, high = trim or (0.0, 1.0)
    raise EstimationError(
        message(
            "inverse probability: trimming to {low:g} to {high:g} leaves no {whom}; the treated have scores of "
            "{lowest_treated:.3g} to {highest_treated:.3g}, the controls {lowest:.3g} to {highest:.3g}. Trim less, or "
            "use fewer covariates.",
            low=low,
            high=high,
            whom=whom,
            lowest_treated=score[treated].min(),
            highest_treated=score[treated].max(),
            lowest=score[~treated].min(),
            highest=score[~treated].max(),
        )
    )


def _weights(score: Floats, *, treated: Flags, estimand: Estimand, kept: Flags, labels: pd.Index) -> Floats:
    """Weights by the score, 0 for units not kept; an error where one would be infinite."""
    own = np.where(treated, score, 1 - score)
    divided = kept & (~treated if estimand == "ATT" else np.full(len(score), estimand == "ATE"))
    infinite = divided & (own <= 0)
    if infinite.any():
        raise EstimationError(
            message(
                "inverse probability: {units} have a propensity of 0 or 1 against their own treatment, so that "
                "their weights are infinite. Trim, or use fewer covariates or the estimand ATO.",
                units=listed(labels[infinite]),
            )
        )
    above = {"ATT": 1 - own, "ATE": np.ones(len(own)), "ATO": 1 - own}[estimand]
    whole = np.where(treated, 1.0, above) if estimand == "ATT" else above
    weights = np.where(kept, whole / np.where(divided, own, 1.0), 0.0)
    for name, side in ((message("treated units"), treated), (message("controls"), ~treated)):
        if not weights[side].sum() > 0:
            raise EstimationError(
                message(
                    "inverse probability: all {name} weigh 0, so treated and controls have nothing in common. Use "
                    "fewer covariates.",
                    name=name,
                )
            )
    return weights


def _commonness(treated: Flags, kept: Flags, estimand: Estimand) -> Floats:
    share = float(treated[kept].mean())
    if estimand == "ATT":
        return np.where(treated, 1.0, (1 - share) / share)
    return np.where(treated, share, 1 - share)


def _trimmed(treated: Flags, score: Floats, *, low: float, high: float) -> tuple[Exclusion, ...]:
    below, above = score < low, score > high
    counts = {
        message("treated unit with a propensity below {low:g}", low=low): int((treated & below).sum()),
        message("treated unit with a propensity above {high:g}", high=high): int((treated & above).sum()),
        message("control with a propensity below {low:g}", low=low): int((~treated & below).sum()),
        message("control with a propensity above {high:g}", high=high): int((~treated & above).sum()),
    }
    return tuple(Exclusion(reason=reason, rows=count, units=count) for reason, count in counts.items() if count)
