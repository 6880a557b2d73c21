"""For every exposed unit of one cohort the unexposed ones most like it before exposure, and their shares.

In: histories up to exposure, of exposed units and of candidates. Out: frozen `MatchedSets`; nothing later is seen.
Imai, Kim and Wang (2023), "Matching Methods for Causal Inference with Time-Series Cross-Sectional Data".
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal, get_args

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy import sparse
from scipy.spatial import KDTree
from scipy.spatial.distance import cdist
from scipy.special import logit

from wwc_research.design.entropy_balancing import entropy_balancing
from wwc_research.design.matching import propensity_scores
from wwc_research.errors import InputError, listed

Refinement = Literal["mahalanobis", "propensity", "propensity_weights", "balancing", "none"]

Floats = NDArray[np.float64]
Codes = NDArray[np.int64]

_DISTANCES_AT_ONCE = 4_000_000
_FEW_DISTANCES = 20_000_000  # up to here all are computed; beyond, a tree finds the nearest where it can


@dataclass(frozen=True, slots=True, kw_only=True)
class MatchedSets:
    """Who each exposed unit is compared with.

    Attributes
    ----------
    shares
        One row a set, one column a candidate; rows add up to 1.
    set_of
        Row of `shares` of each exposed unit; weighting refinements give all of them the same one.
    distance
        Of the members of a set from its exposed unit, as stored in `shares`; empty where sets are no neighbours.
    ties
        Sets whose last member was as near as one left out; the candidate that comes first was taken.
    """

    shares: Any
    set_of: Codes
    distance: Floats
    ties: int = 0

    def members(self, position: int) -> tuple[Codes, Floats, Floats]:
        """Candidates in the set of the exposed unit at `position`, their shares and distances (NaN = none)."""
        row = int(self.set_of[position])
        span = slice(int(self.shares.indptr[row]), int(self.shares.indptr[row + 1]))
        shares = self.shares.data[span]
        distance = self.distance[span] if len(self.distance) else np.full(len(shares), np.nan)
        return self.shares.indices[span].astype(np.int64), shares, distance


def matched_sets(
    exposed: Floats,
    *,
    candidates: Floats,
    weight: Floats,
    refinement: Refinement = "mahalanobis",
    size: int = 5,
) -> MatchedSets:
    """The matched set of every exposed unit, refined to those most like it.

    Parameters
    ----------
    exposed, candidates
        Shape (units, lags, measures): the outcome first, then covariates, oldest lag first; all finite.
    weight
        Of the candidates; members of a set share in proportion.
    refinement
        `mahalanobis`: the `size` candidates with the smallest distance averaged over lags. `propensity`:
        those nearest in the log odds of a logistic regression on all lags of the outcome and the covariates of
        the last. `propensity_weights`: every candidate, by its odds. `balancing`: every candidate, by
        weights that balance these columns exactly. `none`: every candidate alike.
    size
        Members of a set; all candidates where there are fewer.

    Raises
    ------
    InputError
        For an unknown refinement.
    EstimationError
        Where no propensity score or no balancing weights exist.
    """
    if refinement not in get_args(Refinement):
        raise InputError(f"refinement {refinement!r} is unknown; use {listed(get_args(Refinement))}.")
    if refinement == "mahalanobis":
        return _neighbours(*_mahalanobis_coordinates(exposed, candidates), weight=weight, size=size)
    if refinement == "none":
        return _one_for_all(weight, n_exposed=len(exposed))
    columns = np.vstack([history_columns(exposed), history_columns(candidates)])
    is_exposed = np.arange(len(columns)) < len(exposed)
    if refinement == "balancing":
        frame = pd.DataFrame(columns, columns=[f"x{position}" for position in range(columns.shape[1])])
        frame = frame.assign(exposed=is_exposed.astype(float), base=np.concatenate([np.ones(len(exposed)), weight]))
        names = [name for name in frame.columns if name.startswith("x")]
        found = entropy_balancing(frame, treatment="exposed", covariates=names, base_weights="base")
        return _one_for_all(found.weights.to_numpy()[~is_exposed], n_exposed=len(exposed))
    odds = logit(propensity_scores(columns, treated=is_exposed))
    if refinement == "propensity_weights":
        return _one_for_all(weight * np.exp(odds[~is_exposed]), n_exposed=len(exposed))
    odds = np.round(odds, 12)[:, None, None]
    return _neighbours(odds[is_exposed], odds[~is_exposed], weight=weight, size=size)


def history_columns(history: Floats) -> Floats:
    """Every lag of the outcome, and the covariates of the last lag, shape (units, columns)."""
    return np.column_stack([history[:, :, 0], history[:, -1, 1:]])


def _one_for_all(weight: Floats, *, n_exposed: int) -> MatchedSets:
    shares = sparse.csr_array((weight / weight.sum())[None, :])
    return MatchedSets(shares=shares, set_of=np.zeros(n_exposed, dtype=np.int64), distance=np.empty(0))


def _mahalanobis_coordinates(exposed: Floats, candidates: Floats) -> tuple[Floats, Floats]:
    """Coordinates lag by lag, whose Euclidean distance is Mahalanobis's with the covariance of all units there."""
    everybody = np.concatenate([exposed, candidates])
    everybody = everybody - everybody.mean(axis=0)
    spread = everybody.std(axis=0)
    scaled = everybody / np.where(spread > 1e-12 * np.abs(everybody).max(initial=0.0), spread, np.inf)
    for lag in range(scaled.shape[1]):
        part = scaled[:, lag]
        values, vectors = np.linalg.eigh(part.T @ part / max(len(part) - 1, 1))
        kept = values > 1e-8 * max(values.max(), 1e-300)
        turned = part @ (vectors[:, kept] / np.sqrt(values[kept]))
        scaled[:, lag] = 0.0
        scaled[:, lag, : turned.shape[1]] = turned
    return scaled[: len(exposed)], scaled[len(exposed) :]


def _neighbours(exposed: Floats, candidates: Floats, *, weight: Floats, size: int) -> MatchedSets:
    """The `size` nearest candidates by the mean over lags of Euclidean distances."""
    n, n_candidates = len(exposed), len(candidates)
    size = min(size, n_candidates)
    member, distance = np.empty((n, size), dtype=np.int64), np.empty((n, size))
    is_tied = np.zeros(n, dtype=bool)
    left = np.arange(n)
    if exposed.shape[2] == 1 and n * n_candidates > _FEW_DISTANCES and size < n_candidates:
        left = _nearest_by_tree(exposed[:, :, 0], candidates[:, :, 0], member=member, distance=distance)
    step = max(1, _DISTANCES_AT_ONCE // n_candidates)
    for start in range(0, len(left), step):
        some = left[start : start + step]
        gaps = np.zeros((len(some), n_candidates))
        for lag in range(exposed.shape[1]):
            gaps += cdist(exposed[some, lag], candidates[:, lag])
        gaps /= exposed.shape[1]
        member[some], distance[some], is_tied[some] = _smallest(gaps, size=size)
    share = weight[member]
    share = share / share.sum(axis=1, keepdims=True)
    shares = sparse.csr_array(
        (share.ravel(), member.ravel(), np.arange(0, n * size + 1, size)), shape=(n, n_candidates)
    )
    return MatchedSets(shares=shares, set_of=np.arange(n), distance=distance.ravel(), ties=int(is_tied.sum()))


def _nearest_by_tree(exposed: Floats, candidates: Floats, *, member: Codes, distance: Floats) -> Codes:
    """Fills members and distances of the units without ties at the edge; gives the positions of the others."""
    size, lags = member.shape[1], exposed.shape[1]
    gaps, found = KDTree(candidates).query(exposed, k=size + 1, p=1)
    clear = gaps[:, size] > gaps[:, size - 1] * (1 + 1e-9) + 1e-12
    order = np.sort(found[clear, :size], axis=1)
    member[clear] = order
    exact = np.abs(candidates[order] - exposed[clear][:, None, :]).sum(axis=2)
    distance[clear] = exact / lags
    return np.flatnonzero(~clear)


def _smallest(gaps: Floats, *, size: int) -> tuple[Codes, Floats, NDArray[np.bool_]]:
    """Columns of the `size` smallest entries of each row in column order, the entries, and rows tied at the edge."""
    edge = np.partition(gaps, size - 1, axis=1)[:, size - 1 : size]
    # distances that differ by rounding alone are ties, so that no set depends on the order of a sum
    slack = 1e-12 * (1 + edge)
    near, at_edge = gaps < edge - slack, np.abs(gaps - edge) <= slack
    open_ = size - near.sum(axis=1, keepdims=True)
    is_tied = at_edge.sum(axis=1) > open_[:, 0]
    near |= at_edge & (np.cumsum(at_edge, axis=1) <= open_)
    member = np.nonzero(near)[1].reshape(len(gaps), size)
    return member, np.take_along_axis(gaps, member, axis=1), is_tied
