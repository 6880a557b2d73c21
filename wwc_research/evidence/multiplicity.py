"""Many outcomes, one error rate: q-values by the method of Benjamini and Hochberg.

In: p-values, some of them undefined. Out: q-values in the same order, undefined where the p-value was.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from statsmodels.stats.multitest import multipletests


def q_values(p_values: Sequence[float]) -> list[float]:
    """Benjamini-Hochberg adjusted p-values (JRSS B 57, 1995), the undefined ones left out of the count.

    Examples
    --------
    >>> [round(q, 3) for q in q_values([0.01, 0.04, 0.03])]
    [0.03, 0.04, 0.04]
    """
    values = np.asarray(p_values, dtype=float)
    adjusted = np.full(len(values), math.nan)
    known = np.isfinite(values)
    if known.any():
        adjusted[known] = multipletests(values[known], method="fdr_bh")[1]
    return [float(value) for value in adjusted]
