"""Which treated and untreated units may be paired, and how far apart they are: the ground of optimal methods.

In: one row a unit, covariates, a caliper, exact columns. Out: `Admissible`, which gives distances by stratum.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, get_args

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.spatial.distance import cdist

from wwc_research.design.matching import (
    Covariance,
    Distance,
    covariate_matrix,
    exact_strata,
    mahalanobis_coordinates,
    note_table_faults,
    unit_scores,
)
from wwc_research.design.sample import Exclusion
from wwc_research.errors import EstimationError, Faults, InputError, listed
from wwc_research.messages import message, said

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]
Flags = NDArray[np.bool_]

# 400 megabytes of distances: above, a method that holds them all would bring the machine to a halt.
MOST_CELLS = 50_000_000
_DECIMALS = 10


@dataclass(frozen=True, slots=True, kw_only=True)
class Admissible:
    """Treated and untreated units in an order that does not depend on the table's, and what may be paired.

    Attributes
    ----------
    index
        Labels of the table's rows; all other attributes refer to rows by position.
    treated
        Whether each row is treated, shape (units,).
    rows
        All rows, sorted by covariates and then by label, so that ties fall the same way in any order of rows.
    coordinates
        Euclidean distance in them is the distance, shape (units, dimensions).
    strata
        Code of each row; only equal ones may be paired.
    score
        Propensity scores where they were needed.
    caliper
        Widest difference of scores allowed, on the scale of the score; infinite for none.
    settings
        Options as used.
    """

    index: pd.Index
    treated: Flags
    rows: Integers
    coordinates: Floats
    strata: Integers
    score: Floats | None
    caliper: float
    settings: dict[str, Any]

    @property
    def propensity(self) -> pd.Series:
        """Scores by label; empty where none were needed."""
        scores = pd.Series(dtype=float) if self.score is None else pd.Series(self.score, index=self.index)
        return scores.rename("propensity")

    def blocks(self) -> Iterator[tuple[Integers, Integers]]:
        """Treated and untreated rows of every stratum that has both."""
        codes = self.strata[self.rows]
        order = np.argsort(codes, kind="stable")
        edges = np.flatnonzero(np.diff(codes[order])) + 1
        for part in np.split(self.rows[order], edges):
            treated, controls = part[self.treated[part]], part[~self.treated[part]]
            if len(treated) and len(controls):
                yield treated, controls

    def distances(self, treated: Integers, controls: Integers) -> Floats:
        """Distances, shape (treated, controls), infinite outside the caliper.

        Raises
        ------
        InputError
            If there are more cells than memory should be spent on.
        """
        found = gaps_between(self.coordinates[treated], self.coordinates[controls])
        if self.score is not None and np.isfinite(self.caliper):
            found[np.abs(self.score[treated][:, None] - self.score[controls][None, :]) > self.caliper] = np.inf
        return found

    def edges(self, treated: Integers, controls: Integers) -> tuple[Integers, Integers, Floats]:
        """Pairs within the caliper and their distances, without the matrix of all pairs.

        Returns
        -------
        tuple
            Positions in `treated`, positions in `controls`, distances; by treated unit, then control.
        """
        if self.score is None or not np.isfinite(self.caliper):
            raise InputError("pairs can be listed without all distances only within a caliper; give one.")
        order = np.argsort(self.score[controls], kind="stable")
        ordered = self.score[controls][order]
        # a hair wider than the caliper, then cut by the same comparison as in `distances`
        reach = self.caliper * (1 + 1e-9) + 1e-15
        first = np.searchsorted(ordered, self.score[treated] - reach, side="left")
        last = np.searchsorted(ordered, self.score[treated] + reach, side="right")
        count = last - first
        left = np.repeat(np.arange(len(treated)), count)
        right = order[np.arange(len(left)) - np.repeat(np.cumsum(count) - count, count) + np.repeat(first, count)]
        inside = np.abs(self.score[treated][left] - self.score[controls][right]) <= self.caliper
        left, right = left[inside], right[inside]
        by_unit = np.lexsort((right, left))
        left, right = left[by_unit], right[by_unit]
        gap = self.coordinates[treated[left]] - self.coordinates[controls[right]]
        return left, right, np.round(np.sqrt(np.einsum("ij,ij->i", gap, gap)), _DECIMALS)

    def n_admissible(self, treated: Integers, controls: Integers) -> int:
        """How many pairs of a stratum are within the caliper."""
        if self.score is None or not np.isfinite(self.caliper):
            return len(treated) * len(controls)
        ordered = np.sort(self.score[controls])
        above = np.searchsorted(ordered, self.score[treated] + self.caliper, side="right")
        below = np.searchsorted(ordered, self.score[treated] - self.caliper, side="left")
        return int((above - below).sum())

    def exclusions(self, used: Flags, *, has_partner: Flags) -> tuple[Exclusion, ...]:
        """Why rows are left out: no stratum, no caliper, or nothing left for them.

        Parameters
        ----------
        used
            Rows in a pair or set.
        has_partner
            Rows with somebody whom they may be paired with.
        """
        codes = np.unique(self.strata, return_inverse=True)[1].reshape(-1)
        reasons: list[tuple[str, Flags]] = []
        for side, apart, far in (
            (
                self.treated,
                message("treated unit without a control that agrees on the exact covariates"),
                message("treated unit without a control within the caliper"),
            ),
            (
                ~self.treated,
                message("control without a treated unit that agrees on the exact covariates"),
                message("control without a treated unit within the caliper"),
            ),
        ):
            met = np.bincount(codes[~side], minlength=codes.max() + 1)[codes] > 0
            reasons += [(apart, side & ~met), (far, side & met & ~has_partner)]
        reasons += [
            (message("treated unit whose possible controls were all taken"), self.treated & has_partner & ~used),
            (message("control that is nobody's match"), ~self.treated & has_partner & ~used),
        ]
        counts = [(reason, int((rows & ~used).sum())) for reason, rows in reasons]
        return tuple(Exclusion(reason=reason, rows=count, units=count) for reason, count in counts if count)


def admissible(
    frame: pd.DataFrame,
    *,
    treatment: str,
    covariates: Sequence[str],
    distance: Distance,
    caliper: float | None,
    exact: Sequence[str],
    covariance: Covariance,
    scores: pd.Series | None,
    faults: Faults,
) -> Admissible:
    """Who may be paired with whom, from the same options as `wwc_research.design.matching.nearest`.

    Distances are differences of fitted probabilities (`propensity`) or Mahalanobis distances (not squared).

    Raises
    ------
    InputError
        For all that is wrong with table and options, with what the caller noted in `faults`.
    EstimationError
        If no covariate varies, or no propensity score exists.
    """
    for name, value, literal in (("distance", distance, Distance), ("covariance", covariance, Covariance)):
        if value not in get_args(literal):
            faults.add(f"{name} {value!r} is unknown; use {listed(get_args(literal))}.")
    if caliper is not None and not caliper > 0:
        faults.add(f"caliper is {caliper}; it counts standard deviations and must be above zero.")
    note_table_faults(faults, frame, treatment=treatment, covariates=covariates, exact=exact)
    faults.raise_if_any()
    treated = frame[treatment].to_numpy(dtype=float) == 1
    X = covariate_matrix(frame, covariates=covariates).to_numpy()
    score = None
    try:
        if distance == "propensity" or caliper is not None:
            score = unit_scores(X, treated=treated, given=scores, index=frame.index)
        if distance == "propensity" and score is not None:
            coordinates = score[:, None]
        else:
            coordinates, _ = mahalanobis_coordinates(X, treated=treated, covariance=covariance)
    except EstimationError as error:
        raise EstimationError(
            message("covariates {covariates}: {reason}", covariates=listed(covariates, limit=12), reason=said(error))
        ) from error
    return Admissible(
        index=frame.index,
        treated=treated,
        rows=canonical_rows(X, index=frame.index),
        coordinates=coordinates,
        strata=exact_strata(frame, exact=exact),
        score=score,
        caliper=np.inf if caliper is None or score is None else caliper * float(score.std(ddof=1)),
        settings={
            "distance": distance,
            "caliper": caliper,
            "exact": list(exact),
            "covariance": covariance if distance == "mahalanobis" else None,
            "covariates": list(covariates),
            "scores": None if score is None else "logistic regression" if scores is None else "given",
        },
    )


def canonical_rows(X: Floats, *, index: pd.Index) -> Integers:
    """Positions of all rows sorted by covariates, then by label: the same units in any order of the table."""
    labels = pd.factorize(index.astype(str), sort=True)[0]
    return np.lexsort((labels, *X.T[::-1])).astype(np.int64)


def gaps_between(left: Floats, right: Floats) -> Floats:
    """Euclidean distances, shape (left, right), rounded so that ties are ties.

    Raises
    ------
    InputError
        If there are more cells than memory should be spent on.
    """
    if len(left) * len(right) > MOST_CELLS:
        raise InputError(
            f"{len(left):,} treated and {len(right):,} untreated units are too many pairs to weigh all at once; "
            "match exactly on a column, use optimal matching within a caliper, or nearest."
        )
    return np.round(cdist(left, right), _DECIMALS)
