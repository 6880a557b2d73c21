r"""Weights for outcomes that carry a published standard error, and how much of the noise that error explains.

In: a Sample with the column `outcome_std_error`. Out: the same sample weighted by $1/(\tau^2 + \sigma_{it}^2)$.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from wwc_research.design.sample import Sample
from wwc_research.errors import EstimationError
from wwc_research.estimators import linear
from wwc_research.estimators.linear import Codes, Floats
from wwc_research.estimators.rows import Rows, read_rows
from wwc_research.messages import message

_LEAST_LEFT = 1e-9  # degrees of freedom that are but rounding


@dataclass(frozen=True, slots=True, kw_only=True)
class NoiseSplit:
    """Residual variance of a panel split into sampling error and the rest.

    Attributes
    ----------
    sampling_variance
        Mean of the published variances over the rows, by how much each row's residual varies.
    other_variance
        What is left of the residual variance (`tau` squared in the literature); 0 where sampling explains it all.
    sampling_share
        Sampling variance over residual variance; above 1 where the published errors are larger than what is seen.
    """

    sampling_variance: float
    other_variance: float
    sampling_share: float


def noise_split(sample: Sample) -> NoiseSplit:
    r"""How much of the variance within units, after time effects, is sampling error.

    Taken from rows before exposure, where no effect can be mistaken for noise. Residuals $e$ of the outcome on unit
    and time effects have $E\sum e^2 = \sum_{it} (1 - h_{it})(\tau^2 + \sigma_{it}^2)$ with $h$ the leverage of the row;
    solved for $\tau^2$, not below 0 (DerSimonian and Laird 1986, "Meta-analysis in clinical trials", Controlled
    Clinical Trials 7, for residuals). Rows count alike, whatever their weights.

    Raises
    ------
    InputError
        Where the sample has no `outcome_std_error`.
    EstimationError
        Where nothing is left to estimate the variance from.
    """
    rows = read_rows(sample)
    rows.needed("outcome_std_error", estimator="precision weights")
    before = rows.without(
        rows.time >= rows.cohort - rows.anticipation, reason=message("exposed: no part of the noise split")
    )
    before = before.without(before.of_units(np.bincount(before.unit) < 2), reason=message("seen once before exposure"))
    return _split(before, before.needed("outcome_std_error", estimator="precision weights"))


def _split(rows: Rows, std_error: Floats) -> NoiseSplit:
    if not len(rows.outcome):
        raise EstimationError(message("precision weights: no unit is seen twice before exposure; widen the window"))
    residuals = linear.absorb(rows.outcome[:, None], effects=(rows.unit, rows.period)).ravel()
    spare = 1 - _leverage(rows.unit, rows.period)
    left = float(spare.sum())
    total = float(residuals @ residuals)
    if left <= _LEAST_LEFT or total <= 0:
        raise EstimationError(
            message("precision weights: no variance within units is left to be split; use more periods")
        )
    sampling = float(spare @ std_error**2)
    return NoiseSplit(
        sampling_variance=sampling / left,
        other_variance=max(0.0, (total - sampling) / left),
        sampling_share=sampling / total,
    )


def _leverage(unit: Codes, period: Codes) -> Floats:
    """Diagonal of the projection on unit and time effects: units taken out, one equation a time left."""
    n_units, n_times = int(unit.max()) + 1, int(period.max()) + 1
    seen = np.zeros((n_units, n_times))
    seen[unit, period] = 1
    count = seen.sum(axis=1)
    shares = seen / count[:, None]
    inverse = np.linalg.pinv(np.diag(seen.sum(axis=0)) - seen.T @ shares, hermitian=True)
    turned = shares @ inverse
    own = np.einsum("it,it->i", turned, shares)
    values: Floats = 1 / count[unit] + inverse[period, period] - 2 * turned[unit, period] + own[unit]
    return values


def precision_weighted(sample: Sample) -> Sample:
    r"""The sample with its weights multiplied by $1/(\tau^2 + \sigma_{it}^2)$, and the split in its settings.

    Weights by $1/\sigma^2$ alone would be worse than none: they hand the estimate to the few largest cities, whose
    sampling error is small and whose other noise is not.

    Raises
    ------
    InputError, EstimationError
        See `noise_split`.
    """
    split = noise_split(sample)
    variance = split.other_variance + sample.frame["outcome_std_error"].to_numpy(dtype=float) ** 2
    smallest = float(variance.min())
    if smallest <= 0:
        raise EstimationError(
            message(
                "precision weights: a published standard error of 0, and no other noise; such rows would get all "
                "the weight. Take them out, or weight all rows alike."
            )
        )
    weights = sample.frame["weight"].to_numpy(dtype=float) * smallest / variance
    return replace(
        sample,
        frame=sample.frame.assign(weight=weights),
        settings={
            **sample.settings,
            "weights": "1 / (other variance + sampling variance)",
            "other_variance": split.other_variance,
            "sampling_variance": split.sampling_variance,
            "sampling_share": split.sampling_share,
        },
    )
