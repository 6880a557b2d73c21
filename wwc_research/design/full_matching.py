"""Full matching: every unit in one set of one treated and some controls, or one control and some treated units.

In: one row a unit, a treatment of 0 and 1, covariates. Out: frozen `Weighting` with sets and pairs.
Rosenbaum (1991), "A characterization of optimal designs", JRSS B 53(3); Hansen (2004), JASA 99(467).
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.optimize import linear_sum_assignment, linprog
from scipy.sparse import coo_array, eye_array, hstack, vstack

from wwc_research.design.admissible import admissible
from wwc_research.design.matching import Covariance, Distance
from wwc_research.design.optimal import pairs_table
from wwc_research.design.weighting import Estimand, Weighting, note_estimand, two_sided
from wwc_research.errors import EstimationError, Faults
from wwc_research.messages import message

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]


def full_matching(
    frame: pd.DataFrame,
    *,
    treatment: str,
    covariates: Sequence[str],
    distance: Distance = "propensity",
    caliper: float | None = None,
    exact: Sequence[str] = (),
    covariance: Covariance = "within_groups",
    scores: pd.Series | None = None,
    estimand: Estimand = "ATT",
    max_controls: int | None = None,
    max_treated: int | None = None,
) -> Weighting:
    """Sets of like units that use everybody who has an admissible partner, closest in total.

    Every set has one treated unit and one or more controls, or one control and one or more treated units; the
    sum of the distances between them is the least possible. Units without anybody in their stratum and caliper
    are left out. With `max_controls` or `max_treated`, as many units as possible are in sets, then the sum is
    the least possible. Solutions equally close in total are common (two near treated units may swap controls,
    and estimates differ by which is taken); the choice depends on covariates and labels, not on the order of the
    rows.

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
    caliper
        Widest difference of propensity scores allowed, in standard deviations of the score over all units.
    exact
        Columns on which matched units must agree.
    covariance
        Of the Mahalanobis distance: `within_groups` or `overall`.
    scores
        Propensity scores by the table's index, from a model of one's own; by default logistic regression on the
        covariates.
    estimand
        `ATT` or `ATE`: what the weights of the sets make of them.
    max_controls
        Most controls that may share one treated unit; None for any number.
    max_treated
        Most treated units that may share one control; None for any number.

    Returns
    -------
    Weighting
        `settings["total_distance"]` is the least total distance, `settings["set_sizes"]` counts sets by
        `treated:controls`.

    Raises
    ------
    InputError
        For unusable columns or options, all at once; for more pairs than can be weighed at once.
    EstimationError
        If nobody can be matched, or no propensity score exists.
    """
    faults = Faults(where="full matching")
    for name, limit in (("max_controls", max_controls), ("max_treated", max_treated)):
        if limit is not None and limit < 1:
            faults.add(f"{name} is {limit}; it counts units in a set, 1 or more.")
    note_estimand(faults, estimand)
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
        gaps = space.distances(treated, controls)
        has_partner[treated[np.isfinite(gaps).any(axis=1)]] = True
        has_partner[controls[np.isfinite(gaps).any(axis=0)]] = True
        if max_controls is None and max_treated is None:
            left, right = least_cover(gaps)
        else:
            left, right = least_bounded_cover(gaps, max_controls=max_controls, max_treated=max_treated)
        mine, theirs = treated[left], controls[right]
        codes[mine] = np.where(np.bincount(right, minlength=len(controls))[right] > 1, theirs, mine)
        codes[theirs] = codes[mine]
        found.append((mine, theirs, gaps[left, right]))
    pairs = pairs_table(found, index=frame.index)
    codes = two_sided(codes, treated=space.treated)
    inside = codes >= 0
    shapes = pd.crosstab(codes[inside], space.treated[inside]).reindex(columns=[True, False], fill_value=0)
    sizes = shapes.value_counts(sort=False).items()
    return Weighting.of_sets(
        codes,
        index=frame.index,
        treated=space.treated,
        method="full",
        estimand=estimand,
        pairs=pairs,
        propensity=space.propensity,
        exclusions=space.exclusions(inside, has_partner=has_partner),
        settings={
            "method": "full",
            **space.settings,
            "estimand": estimand,
            "max_controls": max_controls,
            "max_treated": max_treated,
            "total_distance": float(pairs["distance"].sum()),
            "set_sizes": {f"{shape[0]}:{shape[1]}": int(count) for shape, count in sizes},
        },
    )


def least_cover(gaps: Floats) -> tuple[Integers, Integers]:
    r"""The stars that cover every row and column with a finite cell, with the least total distance.

    A least edge cover is a least matching under the reduced costs $c_{ij} - \min_j c_{ij} - \min_i c_{ij}$
    where these are negative, with the cheapest edge of everybody that the matching leaves over (Schrijver 2003,
    "Combinatorial Optimization", section 19.3); without double edges, its parts are stars.

    Parameters
    ----------
    gaps
        Distances, shape (treated, controls), infinite where a pair is not admissible, never negative.

    Returns
    -------
    tuple
        Rows and columns of the chosen pairs.
    """
    own, other = gaps.min(axis=1, initial=np.inf), gaps.min(axis=0, initial=np.inf)
    rows, columns = np.flatnonzero(np.isfinite(own)), np.flatnonzero(np.isfinite(other))
    if not len(rows):
        return rows, columns
    inner = gaps[np.ix_(rows, columns)]
    saved = np.minimum(inner - own[rows, None] - other[None, columns], 0.0)
    left, right = linear_sum_assignment(saved)
    gains = saved[left, right] < 0
    left, right = left[gains], right[gains]
    alone_left = np.setdiff1d(np.arange(len(rows)), left)
    alone_right = np.setdiff1d(np.arange(len(columns)), right)
    left, right = (
        np.concatenate([left, alone_left, inner[:, alone_right].argmin(axis=0)]),
        np.concatenate([right, inner[alone_left].argmin(axis=1), alone_right]),
    )
    left, right = _stars(left, right, inner)
    return rows[left], columns[right]


def least_bounded_cover(
    gaps: Floats, *, max_controls: int | None, max_treated: int | None
) -> tuple[Integers, Integers]:
    """The stars of bounded size that cover the most units, and of these the closest in total.

    A linear programme over the pairs: between 1 and the largest number of pairs a unit, or none at a price that
    no sum of distances outweighs. Its matrix is that of a bipartite graph, so that every vertex is whole.

    Parameters
    ----------
    gaps
        As for `least_cover`.
    max_controls, max_treated
        Most pairs of a row and of a column; None for any number.

    Raises
    ------
    EstimationError
        If the solver fails.
    """
    rows, columns = np.nonzero(np.isfinite(gaps))
    if not len(rows):
        return rows, columns
    n_rows, n_columns = gaps.shape
    n_edges, n_units = len(rows), n_rows + n_columns
    edges = np.arange(n_edges)
    degree = vstack(
        [
            coo_array((np.ones(n_edges), (rows, edges)), shape=(n_rows, n_edges)),
            coo_array((np.ones(n_edges), (columns, edges)), shape=(n_columns, n_edges)),
        ]
    )
    most = np.concatenate(
        [
            np.full(n_rows, n_columns if max_controls is None else max_controls),
            np.full(n_columns, n_rows if max_treated is None else max_treated),
        ]
    )
    scale = max(float(gaps[rows, columns].max()), 1e-12)
    price = n_units + 1.0
    at_least_one = hstack([-degree, -eye_array(n_units)])
    at_most = hstack([degree, coo_array((n_units, n_units))])
    answer = linprog(
        np.concatenate([gaps[rows, columns] / scale, np.full(n_units, price)]),
        A_ub=vstack([at_least_one, at_most]).tocsr(),
        b_ub=np.concatenate([-np.ones(n_units), most]),
        bounds=(0, 1),
        method="highs-ds",
    )
    if answer.x is None:
        raise EstimationError(
            message("full matching with bounded sets found no solution: {reason}", reason=answer.message)
        )
    chosen = answer.x[:n_edges] > 0.5
    return _stars(rows[chosen], columns[chosen], gaps)


def _stars(left: Integers, right: Integers, gaps: Floats) -> tuple[Integers, Integers]:
    """The pairs without repetition and without those whose two units both have another pair."""
    together = np.unique(np.stack([left, right], axis=1), axis=0)
    left, right = together[:, 0], together[:, 1]
    degrees = np.bincount(left, minlength=gaps.shape[0]), np.bincount(right, minlength=gaps.shape[1])
    kept = np.ones(len(left), dtype=bool)
    crowded = np.flatnonzero((degrees[0][left] > 1) & (degrees[1][right] > 1))
    for edge in crowded[np.argsort(-gaps[left[crowded], right[crowded]], kind="stable")]:
        i, j = left[edge], right[edge]
        if degrees[0][i] > 1 and degrees[1][j] > 1:
            kept[edge] = False
            degrees[0][i] -= 1
            degrees[1][j] -= 1
    return left[kept], right[kept]
