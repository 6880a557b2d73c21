"""Many questions, one error rate: adjusted p-values of Holm, Benjamini-Hochberg, Benjamini-Yekutieli, Romano-Wolf.

In: p-values, or statistics with their joint null draws, some of them undefined. Out: adjusted p-values, same order.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from wwc_research.errors import Faults

Floats = npt.NDArray[np.float64]


def holm(p_values: Sequence[float]) -> list[float]:
    """Adjusted p-values that hold the family-wise error rate under any dependence (Holm, Scand. J. Stat. 6, 1979).

    NaN stays NaN and does not count.

    Raises
    ------
    InputError
        Where a p-value is not between 0 and 1.

    Examples
    --------
    >>> [round(p, 3) for p in holm([0.01, 0.04, 0.03])]
    [0.03, 0.06, 0.06]
    """
    known, ordered, order = _sorted(p_values)
    adjusted = np.maximum.accumulate(ordered * np.arange(len(ordered), 0, -1))
    return _in_place(adjusted, known=known, order=order)


def benjamini_hochberg(p_values: Sequence[float]) -> list[float]:
    """Adjusted p-values that hold the false discovery rate (q-values; Benjamini and Hochberg, JRSS B 57, 1995).

    Valid under independence and positive dependence. NaN stays NaN and does not count.

    Raises
    ------
    InputError
        Where a p-value is not between 0 and 1.

    Examples
    --------
    >>> [round(q, 3) for q in benjamini_hochberg([0.01, 0.04, 0.03])]
    [0.03, 0.04, 0.04]
    """
    known, ordered, order = _sorted(p_values)
    return _in_place(_step_up(ordered), known=known, order=order)


def benjamini_yekutieli(p_values: Sequence[float]) -> list[float]:
    """Adjusted p-values that hold the false discovery rate under any dependence (Ann. Statist. 29, 2001, theorem 1.3).

    NaN stays NaN and does not count.

    Raises
    ------
    InputError
        Where a p-value is not between 0 and 1.

    Examples
    --------
    >>> [round(q, 3) for q in benjamini_yekutieli([0.01, 0.04, 0.03])]
    [0.055, 0.073, 0.073]
    """
    known, ordered, order = _sorted(p_values)
    harmonic = (1 / np.arange(1, len(ordered) + 1)).sum()
    return _in_place(harmonic * _step_up(ordered), known=known, order=order)


def romano_wolf(statistics: Sequence[float], *, draws: Floats) -> list[float]:
    """Step-down max-|t| adjusted p-values: the family-wise error rate, with the dependence between hypotheses used.

    Each hypothesis is first brought to the scale of its own draws (root mean square 1): a scale that depends on the
    draws alone keeps the test exact, but for the noise of that scale, where the real assignment is one lot among
    others; the standard error of the estimate, taken with the real assignment known, favours the largest estimate.
    The hypotheses are then taken by falling |t|;
    each is set against the largest |t| that a draw has among it and those after it,
    p = (1 + draws at least as large) / (1 + draws), and never below the one before. Where the draws of different
    hypotheses are independent this is close to Holm's; where they move together it is smaller.
    Source: Romano and Wolf (JASA 100, 2005; Statistics and Probability Letters 113, 2016), the free step-down of
    Westfall and Young (1993).

    Parameters
    ----------
    statistics
        Estimates, studentised or not, one a hypothesis. NaN stays NaN and does not count.
    draws
        Shape (draws, hypotheses): the same statistics in the same units where no hypothesis is false, about zero, one
        row a joint draw. Rows in which a hypothesis that counts has no finite value are left out; a column without
        any leaves its hypothesis undefined, and the others do not wait for it.

    Raises
    ------
    InputError
        Where `draws` has not one column a hypothesis.

    Examples
    --------
    >>> null = np.array([[0.5, -0.4], [2.5, 2.2], [-1.0, 0.3], [0.1, -1.5]])
    >>> [round(p, 3) for p in romano_wolf([2.6, 1.0], draws=null)]
    [0.2, 0.6]
    """
    seen, null = np.abs(np.asarray(statistics, dtype=float)), np.abs(np.asarray(draws, dtype=float))
    faults = Faults(where="joint draws")
    if null.ndim != 2 or seen.ndim != 1 or null.shape[1] != len(seen):
        faults.add(f"draws has shape {null.shape} for {len(seen)} hypotheses; it is (draws, hypotheses).")
    faults.raise_if_any()
    adjusted = np.full(len(seen), math.nan)
    counted = np.flatnonzero(np.isfinite(seen) & np.isfinite(null).any(axis=0))
    complete = null[np.isfinite(null[:, counted]).all(axis=1)]
    if not complete.size:
        return [float(value) for value in adjusted]
    scale = np.sqrt(np.mean(complete**2, axis=0))
    scale[~(scale > 0)] = 1.0
    seen, complete = seen / scale, complete / scale
    order = counted[np.argsort(-seen[counted], kind="stable")]
    # the largest among a hypothesis and those after it
    largest = np.maximum.accumulate(complete[:, order[::-1]], axis=1)[:, ::-1]
    as_large = (largest >= seen[order] * (1 - 1e-12)).sum(axis=0)
    adjusted[order] = np.maximum.accumulate((1 + as_large) / (1 + len(complete)))
    return [float(value) for value in adjusted]


def _sorted(p_values: Sequence[float]) -> tuple[npt.NDArray[np.bool_], Floats, npt.NDArray[np.int64]]:
    """Which p-values are defined, these in rising order, and the order."""
    values = np.asarray(p_values, dtype=float)
    known = ~np.isnan(values)
    faults = Faults(where="p-values")
    for value in values[known][(values[known] < 0) | (values[known] > 1)]:
        faults.add(f"{value} is no p-value; one lies between 0 and 1.")
    faults.raise_if_any()
    order = values[known].argsort(kind="stable")
    return known, values[known][order], order


def _step_up(ordered: Floats) -> Floats:
    """Benjamini and Hochberg's adjusted p-values of rising ones."""
    raised = ordered * len(ordered) / np.arange(1, len(ordered) + 1)
    return np.minimum.accumulate(raised[::-1])[::-1]


def _in_place(adjusted: Floats, *, known: npt.NDArray[np.bool_], order: npt.NDArray[np.int64]) -> list[float]:
    """Adjusted p-values of rising ones, at most 1, back where they came from."""
    values = np.full(len(known), math.nan)
    values[np.flatnonzero(known)[order]] = np.minimum(adjusted, 1.0)
    return [float(value) for value in values]
