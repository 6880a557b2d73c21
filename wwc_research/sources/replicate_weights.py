"""Estimates under 80 replicate weights → standard errors by successive differences.

In: arrays whose last axis holds the full estimate first and those of the replicates after it. Out: ratios, errors.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]

REPLICATES = 80


def std_error(estimates: Floats) -> Floats:
    """Standard errors by successive difference replication, one fewer axis than `estimates`.

    √(4/R · Σᵣ (θᵣ - θ)²), θ the estimate under the full weight and θᵣ those under the R replicate weights. Replicate
    factors are about 0.3, 1 and 1.7: the mean square is then an eighth of the sum of squared successive differences,
    and the 4 makes it the half that their variance estimator is. θ, not the mean of the θᵣ, is the centre (Census
    Bureau, ACS 1-year PUMS user guide 2024, VII.B; Fay and Train 1995).

    Parameters
    ----------
    estimates
        Last axis: the full estimate, then the replicates. NaN in any of them gives NaN: an estimate that one
        replicate leaves undefined has no error that could be stated.

    Returns
    -------
    array
        In the unit of the estimates. 0 where no replicate moves the estimate, which for a share of 0 or 1 says that
        the sample holds no variation, not that nothing is uncertain.
    """
    full, replicates = estimates[..., :1], estimates[..., 1:]
    return np.sqrt(4.0 / replicates.shape[-1] * ((replicates - full) ** 2).sum(axis=-1))


def ratios(part: Floats, whole: Floats) -> Floats:
    """Part over whole under each weight, so that the error of a ratio is that of the ratio itself.

    NaN where the whole is not positive (a replicate weight may be negative).
    """
    positive = whole > 0
    return np.where(positive, part / np.where(positive, whole, 1.0), np.nan)
