"""How alike treated and compared units are, covariate by covariate, before and after matching.

In: one row a unit and matching weights. Out: a table ready for a love plot, and effective sample sizes.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from wwc_research import inference
from wwc_research.design.matching import covariate_matrix

Floats = NDArray[np.float64]
Flags = NDArray[np.bool_]

COLUMNS = (
    "covariate",
    "mean_treated_before",
    "mean_control_before",
    "mean_treated_after",
    "mean_control_after",
    "smd_before",
    "smd_after",
    "variance_ratio_before",
    "variance_ratio_after",
    "ks_before",
    "ks_after",
)


def balance(
    frame: pd.DataFrame,
    *,
    treatment: str,
    covariates: Sequence[str],
    weights: pd.Series,
) -> pd.DataFrame:
    """One row a covariate: means, standardised mean differences, variance ratios and distribution gaps.

    Parameters
    ----------
    frame
        One row a unit.
    treatment
        Column of 0 and 1.
    covariates
        Columns; a text column gives one row a level.
    weights
        Matching weights by the frame's index; 0 for units left out.

    Returns
    -------
    pandas.DataFrame
        Columns `covariate`; `mean_..._before/after` in the unit of the covariate; `smd_before/after`, the
        difference of means in standard deviations of all treated units (MatchIt's convention for the effect
        on the treated); `variance_ratio_before/after`, treated over control, NaN for 0/1 covariates;
        `ks_before/after`, the largest gap between the distribution functions, 0 to 1.
    """
    matrix = covariate_matrix(frame, covariates=covariates)
    treated = frame[treatment].to_numpy(dtype=float) == 1
    after = weights.reindex(frame.index).to_numpy(dtype=float)
    rows = [(name, *_measures(matrix[name].to_numpy(), treated=treated, after=after)) for name in matrix.columns]
    return pd.DataFrame(rows, columns=list(COLUMNS))


def distance_balance(
    frame: pd.DataFrame, *, treatment: str, weights: pd.Series, propensity: pd.Series
) -> dict[str, float]:
    """How alike the groups are in what they were matched on: the measures of `balance` for the propensity score.

    Parameters
    ----------
    frame, treatment, weights
        As for `balance`.
    propensity
        Scores by the frame's index.
    """
    table = balance(
        pd.DataFrame({"distance": propensity.reindex(frame.index), "treated": frame[treatment]}),
        treatment="treated",
        covariates=["distance"],
        weights=weights,
    )
    return {str(name): float(value) for name, value in table.iloc[0].drop("covariate").items()}


def effective_sample_size(weights: Floats) -> float:
    """Kish's effective number of units, the squared sum of the weights over the sum of their squares."""
    total = float(np.square(weights).sum())
    return float(weights.sum()) ** 2 / total if total > 0 else 0.0


def _measures(x: Floats, *, treated: Flags, after: Floats) -> tuple[float, ...]:
    before = np.ones(len(x))
    binary = bool(np.isin(x, (0.0, 1.0)).all())
    spread = float(np.sqrt(_variance(x[treated], weights=before[treated], binary=binary)))
    means: list[float] = []
    smds: list[float] = []
    ratios: list[float] = []
    gaps: list[float] = []
    for weights in (before, after):
        sides = [(x[side], weights[side]) for side in (treated, ~treated)]
        mean_treated, mean_control = (float(np.average(values, weights=w)) for values, w in sides)
        variances = [_variance(values, weights=w, binary=binary) for values, w in sides]
        means += [mean_treated, mean_control]
        smds.append(_ratio(mean_treated - mean_control, spread))
        ratios.append(inference.NAN if binary else _ratio(*variances))
        gaps.append(_distribution_gap(x, treated=treated, weights=weights))
    return (*means, *smds, *ratios, *gaps)


def _ratio(above: float, below: float) -> float:
    return above / below if below > 0 else inference.NAN


def _variance(x: Floats, *, weights: Floats, binary: bool) -> float:
    """Weighted variance; p(1 - p) for 0/1 covariates, else unbiased for equal weights, as in MatchIt."""
    share = weights / weights.sum()
    mean = float((share * x).sum())
    if binary:
        return mean * (1 - mean)
    left = 1 - float(np.square(share).sum())
    return float((share * np.square(x - mean)).sum()) / left if left > 1e-12 else 0.0


def _distribution_gap(x: Floats, *, treated: Flags, weights: Floats) -> float:
    """Weighted Kolmogorov-Smirnov distance between treated and untreated units."""
    share = np.where(treated, weights / weights[treated].sum(), -weights / weights[~treated].sum())
    order = np.argsort(x, kind="stable")
    steps = np.cumsum(share[order])
    last_of_value = np.append(np.diff(x[order]) > 0, True)
    return float(np.abs(steps[last_of_value]).max())
