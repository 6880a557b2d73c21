"""Optimal matching: the pairs, or k controls a treated unit, with the least total distance there is.

In: one row a unit, a treatment of 0 and 1, covariates. Out: frozen `Weighting` with sets and pairs.
Rosenbaum (1989), "Optimal matching for observational studies", JASA 84(408); solved as an assignment problem.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.optimize import linear_sum_assignment
from scipy.sparse import csr_array
from scipy.sparse.csgraph import min_weight_full_bipartite_matching

from wwc_research.design.admissible import Admissible, admissible
from wwc_research.design.matching import Covariance, Distance
from wwc_research.design.weighting import Weighting
from wwc_research.errors import Faults

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]

# Above this many cells, and with few of them within the caliper, the sparse road is the quicker one.
_DENSE_CELLS = 2_000_000
_SPARSE_SHARE = 0.2


def optimal(
    frame: pd.DataFrame,
    *,
    treatment: str,
    covariates: Sequence[str],
    distance: Distance = "propensity",
    ratio: int = 1,
    caliper: float | None = None,
    exact: Sequence[str] = (),
    covariance: Covariance = "within_groups",
    scores: pd.Series | None = None,
) -> Weighting:
    """The matched pairs (or sets of one treated unit and up to `ratio` controls) closest in total.

    As many treated units as possible get a control; then as many controls as possible are used, up to `ratio`
    each; then the sum of distances is the least possible. No control serves twice. Among equally good
    solutions the choice depends on covariates and labels, not on the order of the rows.

    Parameters
    ----------
    frame
        One row a unit with a unique index.
    treatment
        Column of 0 and 1.
    covariates
        Columns of numbers or text (one indicator a level), without empty cells.
    distance
        `propensity`: difference of the fitted probabilities of a logistic regression. `mahalanobis`: on the
        scale of `covariance`.
    ratio
        Controls wanted a treated unit.
    caliper
        Widest difference of propensity scores allowed, in standard deviations of the score over all units.
    exact
        Columns on which matched units must agree.
    covariance
        Of the Mahalanobis distance: `within_groups` or `overall`.
    scores
        Propensity scores by the table's index, from a model of one's own; by default logistic regression on the
        covariates.

    Returns
    -------
    Weighting
        `settings["total_distance"]` is the least total distance.

    Raises
    ------
    InputError
        For unusable columns or options, all at once; for more pairs than can be weighed at once.
    EstimationError
        If nobody can be matched, or no propensity score exists.
    """
    faults = Faults(where="optimal matching")
    if ratio < 1:
        faults.add(f"ratio is {ratio}; it counts controls a treated unit, 1 or more.")
    space = admissible(
        frame,
        treatment=treatment,
        covariates=covariates,
        distance=distance,
        caliper=caliper,
        exact=exact,
        covariance=covariance,
        scores=scores,
        faults=faults,
    )
    codes = np.full(len(frame), -1, dtype=np.int64)
    has_partner = np.zeros(len(frame), dtype=bool)
    found: list[tuple[Integers, Integers, Floats]] = []
    for treated, controls in space.blocks():
        left, right, gaps = _edges_or_all(space, treated, controls)
        has_partner[treated[np.unique(left)]] = True
        has_partner[controls[np.unique(right)]] = True
        chosen = least_assignment(left, right, gaps, shape=(len(treated), len(controls)), ratio=ratio)
        mine, theirs = treated[left[chosen]], controls[right[chosen]]
        codes[mine], codes[theirs] = mine, mine
        found.append((mine, theirs, gaps[chosen]))
    pairs = pairs_table(found, index=frame.index)
    return Weighting.of_sets(
        codes,
        index=frame.index,
        treated=space.treated,
        method="optimal",
        pairs=pairs,
        propensity=space.propensity,
        exclusions=space.exclusions(codes >= 0, has_partner=has_partner),
        settings={
            "method": "optimal",
            **space.settings,
            "ratio": ratio,
            "total_distance": float(pairs["distance"].sum()),
        },
    )


def pairs_table(found: Sequence[tuple[Integers, Integers, Floats]], *, index: pd.Index) -> pd.DataFrame:
    """One row a pair in the order of the table: `treated`, `control`, `weight` (sums to 1 by treated), `distance`.

    Parameters
    ----------
    found
        Rows of treated units, rows of their controls, distances; one triple a stratum.
    index
        Labels of the rows.
    """
    left, right, gaps = (
        np.concatenate([part[which] for part in found]) if found else np.empty(0) for which in range(3)
    )
    order = np.lexsort((right, left))
    left, right = left[order].astype(np.int64), right[order].astype(np.int64)
    share = 1 / np.bincount(left, minlength=len(index))[left] if len(left) else np.empty(0)
    return pd.DataFrame(
        {"treated": index[left], "control": index[right], "weight": share, "distance": gaps[order].astype(float)}
    )


def _edges_or_all(space: Admissible, treated: Integers, controls: Integers) -> tuple[Integers, Integers, Floats]:
    cells = len(treated) * len(controls)
    if cells > _DENSE_CELLS and space.n_admissible(treated, controls) < _SPARSE_SHARE * cells:
        return space.edges(treated, controls)
    matrix = space.distances(treated, controls)
    left, right = np.nonzero(np.isfinite(matrix))
    return left, right, matrix[left, right]


def least_assignment(
    left: Integers, right: Integers, gaps: Floats, *, shape: tuple[int, int], ratio: int = 1
) -> Integers:
    """Which of the admissible pairs are chosen: most treated units, then most controls, then least distance.

    Every treated unit stands `ratio` times in the assignment problem, with a reward for each place filled that
    no sum of distances outweighs, and a far larger one for its first place.

    Parameters
    ----------
    left, right, gaps
        Admissible pairs: positions of the treated unit and the control, and their distance.
    shape
        Numbers of treated units and controls.
    ratio
        Controls wanted a treated unit.

    Returns
    -------
    numpy.ndarray
        Positions in `left` of the chosen pairs.
    """
    n_treated, n_controls = shape
    if not len(left):
        return np.empty(0, dtype=np.int64)
    places = min(n_treated * ratio, n_controls)
    widest = max(float(gaps.max()), 1e-12)
    later = (places + 1) * widest
    first = later if ratio == 1 else (places + 1) * (later + widest)
    copy = np.repeat(np.arange(ratio), len(left))
    rows = np.tile(left, ratio) + copy * n_treated
    columns = np.tile(right, ratio)
    nobody_is_left = len(left) == n_treated * n_controls and n_treated * ratio <= n_controls
    reward = np.where(copy == 0, first, later) * (not nobody_is_left)
    cost = np.tile(gaps, ratio) - reward
    if len(left) < _SPARSE_SHARE * n_treated * n_controls and n_treated * n_controls > _DENSE_CELLS:
        picked = _sparse_assignment(rows, columns, cost, shape=(n_treated * ratio, n_controls))
    else:
        # a pair that is not admissible costs what an empty place costs: nothing
        matrix = np.zeros((n_treated * ratio, n_controls))
        matrix[rows, columns] = cost
        picked = np.stack(linear_sum_assignment(matrix), axis=1)
    keys = left.astype(np.int64) * n_controls + right
    chosen = np.isin(keys, (picked[:, 0] % n_treated) * n_controls + picked[:, 1])
    return np.flatnonzero(chosen)


def _sparse_assignment(rows: Integers, columns: Integers, cost: Floats, *, shape: tuple[int, int]) -> Integers:
    """Chosen (row, column), shape (pairs, 2); every row has a column of its own for staying empty."""
    n_rows, n_columns = shape
    everyone = np.arange(n_rows)
    # explicit zeros would be read as absent pairs; one constant a row changes no solution
    shift = 1.0 - float(min(cost.min(), 0.0))
    values = np.concatenate([cost + shift, np.full(n_rows, shift)])
    table = csr_array(
        (values, (np.concatenate([rows, everyone]), np.concatenate([columns, n_columns + everyone]))),
        shape=(n_rows, n_columns + n_rows),
    )
    left, right = min_weight_full_bipartite_matching(table)
    real = right < n_columns
    return np.stack([left[real], right[real]], axis=1)
