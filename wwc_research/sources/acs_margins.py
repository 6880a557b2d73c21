"""Margins of error of figures worked out from several lines of an ACS table, by the Census Bureau's own formulas.

In: estimates and 90 % margins. Out: the 90 % margin of their sum, proportion or ratio; all arrays, NaN where unknown.
"""

from __future__ import annotations

import numpy as np

from wwc_research.sources.observations import Z_90


def sum_margin(estimates: np.ndarray, margins: np.ndarray) -> np.ndarray:
    """The margin of each row's sum: the root of the sum of squares, zero estimates counted once.

    Parameters
    ----------
    estimates, margins
        Rows of areas, columns of lines. A controlled estimate has margin 0.

    Notes
    -----
    Every zero estimate of one area carries the same kind of margin, so that adding them all overstates the error of a
    sum: of the zero estimates only the largest margin enters (Census Bureau, *Understanding and Using American
    Community Survey Data*, 2018 and 2020, chapter 8). A missing margin makes the margin of the sum missing.
    """
    squares = margins**2
    zero = estimates == 0
    return np.sqrt(np.where(zero, 0.0, squares).sum(axis=1) + np.where(zero, squares, 0.0).max(axis=1, initial=0.0))


def ratio_margin(
    numerator: np.ndarray, denominator: np.ndarray, *, numerator_margin: np.ndarray, denominator_margin: np.ndarray
) -> np.ndarray:
    """The margin of numerator over denominator where the one is no part of the other (handbook, chapter 8)."""
    ratio = numerator / denominator
    return np.sqrt(numerator_margin**2 + ratio**2 * denominator_margin**2) / denominator


def proportion_margin(
    numerator: np.ndarray, denominator: np.ndarray, *, numerator_margin: np.ndarray, denominator_margin: np.ndarray
) -> np.ndarray:
    """The margin of a share, numerator a part of denominator (handbook, chapter 8).

    Notes
    -----
    Root of (numerator margin squared less share squared times denominator margin squared), over the denominator. Where
    the difference is negative the ratio formula takes its place, as the handbook says.
    """
    share = numerator / denominator
    inside = numerator_margin**2 - share**2 * denominator_margin**2
    proportion = np.sqrt(np.maximum(inside, 0.0)) / denominator
    ratio = ratio_margin(
        numerator, denominator, numerator_margin=numerator_margin, denominator_margin=denominator_margin
    )
    return np.where(inside < 0, ratio, proportion)


def std_error(margin: np.ndarray) -> np.ndarray:
    """Standard error from a 90 % margin of error; NaN where the margin is 0, since nothing is known without error."""
    return np.where(margin > 0, margin / Z_90, np.nan)
