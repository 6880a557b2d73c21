"""Least squares with unit effects on sparse columns: exact, from cross products, whatever the holes and weights.

In: outcome, sparse columns and contrasts of them. Out: `Contrasts`. No estimator: what several of them share.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy import sparse

from wwc_research.errors import EstimationError
from wwc_research.estimators.linear import Codes, Floats, StdErrors
from wwc_research.inference import NAN
from wwc_research.messages import message

KINDS: tuple[StdErrors, ...] = ("cluster", "iid", "hetero")

_BLOCK = 50_000  # rows held dense at one time
_EXACT = 1e-12  # residuals this small against what was to be explained are rounding, not noise
_RANK = 1e-11  # smallest eigenvalue of scaled cross products, against the largest, that is no rounding


class UnidentifiedError(EstimationError):
    """A contrast that the columns cannot tell."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Contrasts:
    """Estimates of the contrasts asked for, and what goes with them.

    Attributes
    ----------
    estimates, covariance
        Shapes (contrasts,) and (contrasts, contrasts).
    df
        Degrees of freedom for t-based inference.
    null
        Directions of the columns that the regression cannot see, one a column.
    """

    estimates: Floats
    covariance: Floats
    df: float
    null: Floats


def demeaner(unit: Codes, weight: Floats) -> Callable[[Floats], Floats]:
    """A function that takes weighted unit means out of one value a row."""
    total = np.bincount(unit, weights=weight)

    def demeaned(values: Floats) -> Floats:
        return values - (np.bincount(unit, weights=weight * values) / total)[unit]

    return demeaned


def fit_contrasts(
    outcome: Floats,
    columns: Any,
    contrasts: Floats,
    *,
    unit: Codes,
    cluster: Codes,
    weight: Floats,
    kind: StdErrors,
    n_redundant: int = 0,
) -> Contrasts:
    """Weighted least squares of `outcome` on sparse `columns` and unit effects; estimates of `contrasts`.

    With units whole within clusters a unit's weighted residuals sum to zero, so the cluster sums of the columns
    need no taking out of unit means: the sandwich comes from one sparse product. Small-sample factors are
    those of `linear.fit` (fixest's).

    Parameters
    ----------
    outcome
        One a row.
    columns
        Sparse, shape (rows, columns); may be collinear.
    contrasts
        Shape (columns, contrasts): each a sum of coefficients that the data tell.
    unit, cluster
        Codes from 0 a row; each unit in one cluster.
    weight
        Positive, one a row.
    kind
        One of `KINDS`.
    n_redundant
        Parameters that fixest counts though others hold them.

    Raises
    ------
    UnidentifiedError
        For a contrast the columns cannot tell.
    EstimationError
        Where parameters are as many as rows.
    """
    n, n_units, demeaned = len(outcome), int(unit.max()) + 1, demeaner(unit, weight)
    weighted = columns.multiply(weight[:, None]).tocsr()
    sums = sparse.csr_array((weight, (unit, np.arange(n))), shape=(n_units, n)) @ columns
    means = sums.multiply(1 / np.bincount(unit, weights=weight)[:, None]).tocsr()
    products = (columns.T @ weighted).toarray()
    cross = products - (sums.T @ means).toarray()
    inverse, null, rank = _pseudo_inverse(cross, before=np.diag(products))
    n_parameters = rank + n_units + n_redundant
    if n_parameters >= n:
        raise EstimationError(
            message(
                "{n:,} rows for {n_parameters:,} parameters: nothing is left to estimate the noise from; use "
                "more periods or fewer covariates.",
                n=n,
                n_parameters=n_parameters,
            )
        )
    if np.abs(null.T @ contrasts).max(initial=0.0) > 1e-6 * np.abs(contrasts).max():
        raise UnidentifiedError("the columns cannot tell some of the effects from one another.")
    centred = demeaned(outcome)
    if np.linalg.norm(centred) <= _EXACT * np.linalg.norm(outcome):
        centred = np.zeros_like(centred)
    coefficients, residuals = np.zeros(columns.shape[1]), centred
    for _ in range(3):  # the second and third passes take out the rounding of the first
        coefficients = coefficients + inverse @ (weighted.T @ residuals)
        residuals = centred - demeaned(columns @ coefficients)
    if np.linalg.norm(residuals) <= _EXACT * np.linalg.norm(centred):
        residuals = np.zeros_like(residuals)
    projected, scores = inverse @ contrasts, weight * residuals
    df = float(n - n_parameters)
    if kind == "cluster":
        by_cluster = sparse.csr_array((scores, (cluster, np.arange(n))), shape=(int(cluster.max()) + 1, n))
        covariance, df = _clustered((by_cluster @ columns) @ projected, n=n, counted=n_parameters - n_units + 1)
    elif kind == "hetero":
        covariance = np.zeros((contrasts.shape[1],) * 2)
        for influence in _influence(columns, means, projected, unit=unit, scores=scores):
            covariance += n / df * influence.T @ influence
    else:
        covariance = projected.T @ cross @ projected * float(weight @ residuals**2) / df
    return Contrasts(estimates=coefficients @ contrasts, covariance=covariance, df=df, null=null)


def _influence(columns: Any, means: Any, projected: Floats, *, unit: Codes, scores: Floats) -> Iterator[Floats]:
    """What each row adds to the contrasts, some rows at a time."""
    of_units = means @ projected
    for start in range(0, len(scores), _BLOCK):
        block = slice(start, start + _BLOCK)
        yield (columns[block] @ projected - of_units[unit[block]]) * scores[block, None]


def _clustered(influence: Floats, *, n: int, counted: int) -> tuple[Floats, float]:
    """CRV1 from the sums of each cluster, with fixest's factors, unit effects nested in clusters not counted."""
    n_clusters = len(influence)
    if n_clusters < 2:
        return np.full((influence.shape[1],) * 2, NAN), NAN
    factor = (n - 1) / (n - counted) * n_clusters / (n_clusters - 1)
    return factor * influence.T @ influence, float(n_clusters - 1)


def _pseudo_inverse(cross: Floats, *, before: Floats) -> tuple[Floats, Floats, int]:
    """Inverse on the range, columns of length one spanning the null space, and the rank.

    Columns that unit effects explain, of whose squares `before` next to nothing is left, are in the null space.
    """
    scale = np.sqrt(np.maximum(np.diag(cross), 0))
    absent = scale**2 <= before * _RANK
    unit = np.where(absent, np.inf, scale)
    values, vectors = np.linalg.eigh(cross / np.outer(unit, unit))
    kept = values > values.max(initial=0.0) * _RANK
    scaled = vectors[:, kept] / np.sqrt(values[kept]) / unit[:, None]
    null = (vectors / np.where(absent, 1.0, scale)[:, None])[:, ~kept]
    return scaled @ scaled.T, null / np.linalg.norm(null, axis=0), int(kept.sum())
