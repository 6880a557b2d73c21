"""How much each cluster decides a regression: bias-reduced errors, their degrees of freedom, effective clusters.

In: absorbed regressors, fixed effects and one code of cluster a row. Out: frozen values. No estimator.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from wwc_research.errors import EstimationError
from wwc_research.estimators.absorption import Codes, Floats, absorb, group_sums, is_nested, levels
from wwc_research.inference import NAN
from wwc_research.messages import message

_RANK = 1e-9  # a column whose rest is shorter than this, of unit length before, is explained by the others
_RANK_OF_PRODUCTS = 1e-11  # the same for eigenvalues of cross products of unit columns
_ALONE = 1e-9  # eigenvalues of I - H below this are zero: only that cluster tells of the direction
_TELLS = 1e-4  # share of a coefficient's direction from which a cluster is needed for it
_LARGEST = 50_000_000  # numbers in one array of clusters x columns x columns: 400 MB


@dataclass(frozen=True, slots=True, kw_only=True)
class ClusterDesign:
    """All columns of a regression as one orthonormal basis, effects nested in the clusters absorbed.

    Attributes
    ----------
    basis
        Shape (rows, q), times the root of the weights: first the k regressors, then the dummies of effects that
        cross the clusters. Orthogonal to the dummies of nested effects.
    inverse
        Shape (k, k): coefficients are `inverse @ (first k of basis)' root_weight y`.
    root_weight, cluster, n_clusters
        One entry a row; codes 0..G-1; G.
    """

    basis: Floats
    inverse: Floats
    root_weight: Floats
    cluster: Codes
    n_clusters: int

    def sums(self, values: Floats) -> Floats:
        """Sums of basis times `values` (one a row, root weights in them) by cluster, shape (clusters, q)."""
        return group_sums(self.basis * values[:, None], groups=self.cluster, n_groups=self.n_clusters)

    def products(self) -> Floats:
        """Cross products of the basis by cluster, shape (clusters, q, q); they add up to the identity."""
        return cross_products(self.basis, cluster=self.cluster, n_clusters=self.n_clusters)


def cluster_design(absorbed: Floats, *, effects: Sequence[Codes], cluster: Codes, weights: Floats) -> ClusterDesign:
    """The basis of a regression whose regressors, all effects taken out of them, are `absorbed`.

    Parameters
    ----------
    absorbed
        Shape (rows, k), of full rank, after `absorption.absorb` with all `effects`.
    effects, cluster
        Codes 0..L-1 a row.
    weights
        Positive, one a row.
    """
    root = np.sqrt(weights)
    q, r = np.linalg.qr(absorbed * root[:, None])
    dummies = crossing_dummies(effects, cluster=cluster, weights=weights) * root[:, None]
    return ClusterDesign(
        basis=np.column_stack([q, _orthonormal(dummies, of_length=math.sqrt(weights.sum()))]),
        inverse=np.linalg.inv(r),
        root_weight=root,
        cluster=cluster,
        n_clusters=levels(cluster),
    )


def crossing_dummies(effects: Sequence[Codes], *, cluster: Codes, weights: Floats) -> Floats:
    """Dummies of the effects that cross the clusters, those nested in them absorbed; shape (rows, levels).

    Raises
    ------
    EstimationError
        Where clusters times squared levels would not fit in memory.
    """
    crossing = [codes for codes in effects if not is_nested(codes, within=cluster)]
    nested = [codes for codes in effects if is_nested(codes, within=cluster)]
    n_dummies = sum(levels(codes) for codes in crossing)
    if max(levels(cluster) * n_dummies, len(cluster)) * n_dummies > 4 * _LARGEST:
        raise EstimationError(
            message(
                "{n_clusters:,} clusters and {n_dummies:,} fixed effects that are not nested in them: too large "
                "for cluster-by-cluster errors; use std_errors = cluster, or clusters that hold whole units.",
                n_clusters=levels(cluster),
                n_dummies=n_dummies,
            )
        )
    if not crossing:
        return np.zeros((len(cluster), 0))
    return absorb(
        np.column_stack([np.eye(levels(codes))[codes] for codes in crossing]), effects=nested, weights=weights
    )


def _orthonormal(columns: Floats, *, of_length: float) -> Floats:
    """An orthonormal basis of the columns' span; those next to nothing against `of_length` add nothing.

    By eigenvectors of the cross products, twice: the second pass mends the rounding of the first.
    """
    length = np.linalg.norm(columns, axis=0)
    kept = length > _RANK * of_length
    basis: Floats = columns[:, kept] / length[kept]
    for _ in range(2):
        values, vectors = np.linalg.eigh(basis.T @ basis)
        clear = values > _RANK_OF_PRODUCTS
        basis = basis @ (vectors[:, clear] / np.sqrt(values[clear]))
    return basis


def cross_products(columns: Floats, *, cluster: Codes, n_clusters: int) -> Floats:
    """Cross products of the columns by cluster, shape (clusters, columns, columns).

    Raises
    ------
    EstimationError
        Where they would not fit in memory.
    """
    size = columns.shape[1]
    if n_clusters * size**2 > _LARGEST:
        raise EstimationError(
            message(
                "{n_clusters:,} clusters and {size:,} columns: too large for cluster-by-cluster errors, and with "
                "so many clusters needless; use std_errors = cluster.",
                n_clusters=n_clusters,
                size=size,
            )
        )
    order = np.argsort(cluster, kind="stable")
    n_rows = np.bincount(cluster, minlength=n_clusters)
    first = np.cumsum(n_rows) - n_rows
    products = np.empty((n_clusters, size, size))
    for count in np.unique(n_rows):  # clusters of as many rows at once
        alike = np.flatnonzero(n_rows == count)
        rows = columns[order[first[alike][:, None] + np.arange(count)]]
        products[alike] = rows.transpose(0, 2, 1) @ rows
    return products


@dataclass(frozen=True, slots=True, kw_only=True)
class Satterthwaite:
    """Degrees of freedom of a t test with bias-reduced errors, for any contrast of the coefficients.

    Attributes
    ----------
    half, image
        Shape (clusters, q, k): by cluster, the adjusted basis for each coefficient, and the same after the
        cluster's cross products.
    is_alone
        Shape (k,): whether one cluster alone tells of the coefficient, so that its residuals there are zero
        whatever the noise and the estimated variance leaves that cluster out.
    """

    half: Floats
    image: Floats
    is_alone: npt.NDArray[np.bool_]

    def df(self, contrast: Floats) -> float:
        """Degrees of freedom of `contrast @ coefficients`; NaN where it has no variance or `is_alone`.

        With independent errors of equal (or weight-inverse) variance the variance estimate is a quadratic form
        with matrix G, and its degrees of freedom are tr(G)^2 / tr(G^2): Bell and McCaffrey (2002), Survey
        Methodology 28(2); Pustejovsky and Tipton (2018), equation 11. G is a diagonal less a product of rank q.
        """
        if self.is_alone[contrast != 0].any():
            return NAN
        half, image = self.half @ contrast, self.image @ contrast
        diagonal = np.einsum("gi,gi->g", half, image)
        length = np.einsum("gi,gi->g", image, image)
        trace = diagonal.sum() - length.sum()
        square = (diagonal**2).sum() - 2 * (diagonal @ length) + ((image.T @ image) ** 2).sum()
        return float(trace**2 / square) if square > 0 else NAN


def bias_reduced(design: ClusterDesign, *, residuals: Floats) -> tuple[Floats, Satterthwaite]:
    """CR2 covariance of the k coefficients, and what its degrees of freedom follow from.

    Each cluster's residuals are multiplied by the symmetric root of the pseudo-inverse of its block of I - H,
    H the hat matrix of all columns and effects. Effects nested in the clusters may be left out of H without
    changing the result, the others not: Pustejovsky and Tipton (2018), "Small-sample methods for cluster-robust
    variance estimation and hypothesis testing in fixed effects models", Journal of Business & Economic
    Statistics 36(4), theorem 2. With weights the working model has variances inverse to them.

    Parameters
    ----------
    design
        From `cluster_design`.
    residuals
        One a row, without weights.
    """
    products = design.products()
    values, vectors = np.linalg.eigh(products)
    gap = 1 - values
    root = np.where(gap > _ALONE, 1 / np.sqrt(np.where(gap > _ALONE, gap, 1.0)), 0.0)
    adjustment = np.einsum("gir,gr,gjr->gij", vectors, root, vectors, optimize=True)
    n_regressors = len(design.inverse)
    half = adjustment[:, :, :n_regressors] @ design.inverse.T
    lost = np.einsum("ki,gir->gkr", design.inverse, vectors[:, :n_regressors] * (gap <= _ALONE)[:, None, :])
    is_alone = np.sqrt((lost**2).sum(axis=2)).max(axis=0) > _TELLS * np.linalg.norm(design.inverse, axis=1)
    scores = np.einsum("gqk,gq->gk", half, design.sums(design.root_weight * residuals))
    return scores.T @ scores, Satterthwaite(half=half, image=products @ half, is_alone=is_alone)


@dataclass(frozen=True, slots=True, kw_only=True)
class EffectiveClusters:
    """How many clusters of equal weight would decide one coefficient as evenly.

    Attributes
    ----------
    n_clusters
        Clusters counted.
    effective
        Their effective number, from 1 to `n_clusters`.
    largest_share
        Share of the coefficient's variation that comes from the one cluster with most of it, 0-1.
    """

    n_clusters: int
    effective: float
    largest_share: float


def effective_clusters(
    regressors: Floats,
    *,
    column: int,
    clusters: Codes,
    effects: Sequence[Codes] = (),
    weights: Floats | None = None,
) -> EffectiveClusters:
    """Effective number of clusters behind one coefficient, from the clusters' partial leverages.

    G / (1 + squared coefficient of variation of the partial leverages), equal to one over the sum of their
    squared shares: Carter, Schnepel and Steigerwald (2017), "Asymptotic behavior of a t-test robust to cluster
    heterogeneity", Review of Economics and Statistics 99(4), with errors independent within clusters (rho = 0), as
    MacKinnon, Nielsen and Webb (2023, summclust) advise where clusters have fixed effects.

    Parameters
    ----------
    regressors
        Shape (rows, columns).
    column
        Position of the coefficient asked about.
    clusters, effects
        Codes 0..L-1 a row.
    weights
        Positive, one a row.

    Raises
    ------
    EstimationError
        Where the other columns and the effects explain the column.
    """
    weights = np.ones(len(regressors)) if weights is None else weights
    partial = partial_column(regressors, column=column, effects=effects, weights=weights)
    leverage = np.bincount(clusters, weights=partial**2)
    share = leverage / leverage.sum()
    return EffectiveClusters(
        n_clusters=len(share), effective=float(1 / (share**2).sum()), largest_share=float(share.max())
    )


def partial_column(regressors: Floats, *, column: int, effects: Sequence[Codes], weights: Floats) -> Floats:
    """One column, times root weights, with the effects and the other columns taken out.

    Raises
    ------
    EstimationError
        Where nothing is left of it.
    """
    absorbed = absorb(regressors, effects=effects, weights=weights) * np.sqrt(weights)[:, None]
    others = np.delete(absorbed, column, axis=1)
    partial: Floats = absorbed[:, column]
    partial = partial - others @ np.linalg.lstsq(others, partial, rcond=1e-9)[0]
    if np.linalg.norm(partial) <= _RANK * np.linalg.norm(regressors[:, column] * np.sqrt(weights)):
        raise EstimationError(
            message(
                "regressor {number}: explained wholly by the fixed effects or the other regressors, so no "
                "cluster tells of it; add places exposed at another time or never.",
                number=column + 1,
            )
        )
    return partial
