"""Standard errors and a simultaneous critical value by multiplying influence functions with random weights.

In: cluster sums of influence functions and a generator. Out: frozen `Spread`. No estimator.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from scipy import stats

from wwc_research.estimators.absorption import Floats

FEWEST_DRAWS: Final = 99
_CLUSTERS_AT_ONCE = 4096  # bounds the memory of the weights; part of what a seed means
_LOW: Final = (1 - 5**0.5) / 2  # Mammen (1993): low with probability (sqrt(5) + 1) / (2 sqrt(5)), else low + sqrt(5)
_LOW_PROBABILITY: Final = (5**0.5 + 1) / (2 * 5**0.5)


@dataclass(frozen=True, slots=True, kw_only=True)
class Spread:
    """How estimates scatter over the draws.

    Attributes
    ----------
    deviations
        Shape (draws, estimates).
    std_errors
        Interquartile range over that of the standard normal, NaN where there is none; shape (estimates,).
    """

    deviations: Floats
    std_errors: Floats

    def critical_value(self, estimates: Sequence[int], *, level: float = 0.95) -> float:
        """Quantile of the largest absolute t value among these estimates: half-width of a simultaneous band.

        NaN where none of them has a standard error; never less than that of one estimate alone.
        """
        used = [position for position in estimates if np.isfinite(self.std_errors[position])]
        if not used:
            return float("nan")
        largest = np.abs(self.deviations[:, used] / self.std_errors[used]).max(axis=1)
        simultaneous = float(np.quantile(largest, level, method="inverted_cdf"))
        return max(simultaneous, float(stats.norm.ppf((1 + level) / 2)))


def multiplier_bootstrap(
    cluster_sums: Sequence[Floats], *, n_units: int, draws: int, generator: np.random.Generator
) -> Spread:
    """The scatter of estimates when each cluster's influence is multiplied by a draw of mean 0 and variance 1.

    Callaway and Sant'Anna (2021), algorithm 1: two-point weights of Mammen (1993), one a cluster and draw;
    standard errors from the interquartile range.

    Parameters
    ----------
    cluster_sums
        Matrices (clusters, estimates) whose columns are taken together, in that order.
    n_units
        What the sums are divided by.
    """
    n_clusters = len(cluster_sums[0])
    total = np.zeros((draws, sum(part.shape[1] for part in cluster_sums)))
    for start in range(0, n_clusters, _CLUSTERS_AT_ONCE):
        block = np.hstack([part[start : start + _CLUSTERS_AT_ONCE] for part in cluster_sums])
        is_high = generator.random((draws, len(block)), dtype=np.float32) >= _LOW_PROBABILITY
        total += is_high.astype(np.float64) @ (5**0.5 * block) + _LOW * block.sum(axis=0)
    total /= n_units
    quartiles = np.quantile(total, [0.25, 0.75], axis=0, method="inverted_cdf")
    errors = (quartiles[1] - quartiles[0]) / (stats.norm.ppf(0.75) - stats.norm.ppf(0.25))
    return Spread(deviations=total, std_errors=np.where(errors > 0, errors, np.nan))
