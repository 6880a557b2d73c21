"""Least squares with absorbed fixed effects, and covariances by the conventions of R's fixest and plm.

In: arrays with one row an observation. Out: frozen `Fit` values. No estimator: what several of them share.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np

from wwc_research.errors import EstimationError, InputError, listed
from wwc_research.estimators.absorption import Codes, Floats, absorb, dependent_columns, group_sums, is_nested, levels
from wwc_research.estimators.leverage import (
    Satterthwaite,
    bias_reduced,
    cluster_design,
    cross_products,
    crossing_dummies,
)
from wwc_research.estimators.spatial import Distance, neighbour_meat
from wwc_research.inference import NAN
from wwc_research.messages import message

StdErrors = Literal[
    "cluster", "iid", "hetero", "cr2", "jackknife", "two_way_cluster", "driscoll_kraay", "newey_west", "conley"
]
STD_ERRORS: tuple[str, ...] = get_args(StdErrors)

_EXACT = 1e-12  # residuals this small against what was to be explained are rounding, not noise


class CollinearError(EstimationError):
    """A regressor that must stay is explained by the fixed effects or by the regressors before it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ErrorModel:
    """How the errors may depend on one another, and which small-sample factors apply.

    Attributes
    ----------
    kind
        `iid`; `hetero` (HC1); `cluster` (CRV1); `cr2` (bias-reduced, with Satterthwaite degrees of freedom:
        `leverage.bias_reduced`); `jackknife` (CRV3: each cluster left out in turn);
        `two_way_cluster` (Cameron, Gelbach and Miller 2011); `driscoll_kraay` (Bartlett kernel over the sums
        of each period); `newey_west` (Bartlett kernel within units); `conley` (uniform kernel over
        neighbouring places: `spatial.neighbour_meat`).
    clusters
        Codes 0..G-1 a row: one array for `cluster`, `cr2` and `jackknife`, two for `two_way_cluster`.
    unit, time
        Codes a row; `time` in calendar order, for the two kernel estimators. Lags count observed periods. For
        `conley`: with `time`, neighbours are correlated within a period only; with `unit` too, rows of one unit
        at any distance in time; without either every pair of near rows is, as in fixest.
    lag
        Longest lag; by default the whole part of (number of periods)^(1/4), as in fixest.
    latitude, longitude
        Degrees a row, for `conley`.
    cutoff_km, distance
        How far `conley` lets errors be correlated, and how distance is measured (`spatial.DISTANCES`).
    adjust_parameters
        Multiply by (n - 1)/(n - K); for `hetero` by n/(n - K). For the cluster kinds K leaves out fixed
        effects nested in a cluster. `cr2` and `jackknife` need no factor and take none.
    adjust_clusters
        Multiply by G/(G - 1), with G the smaller number of clusters, or the number of periods; for `conley`
        the number of units where they count, else of rows.
    """

    kind: StdErrors = "cluster"
    clusters: tuple[Codes, ...] = ()
    unit: Codes | None = None
    time: Codes | None = None
    lag: int | None = None
    latitude: Floats | None = None
    longitude: Floats | None = None
    cutoff_km: float = 100.0
    distance: Distance = "triangular"
    adjust_parameters: bool = True
    adjust_clusters: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class Fit:
    """Coefficients of the columns kept, their covariance, and what goes with them.

    Attributes
    ----------
    coefficients, covariance
        Shapes (kept,) and (kept, kept), in the order of the columns.
    residuals
        One a row.
    df
        Degrees of freedom for t-based inference; with `cr2` the fewest that any coefficient has.
    n_parameters
        Columns kept and fixed effects.
    dropped
        Positions of optional columns left out as collinear.
    satterthwaite
        With `cr2`, what `contrast_df` follows from.
    """

    coefficients: Floats
    covariance: Floats
    residuals: Floats
    df: float
    n_parameters: int
    dropped: tuple[int, ...] = ()
    satterthwaite: Satterthwaite | None = None

    def contrast_df(self, contrast: Floats) -> float:
        """Degrees of freedom of `contrast @ coefficients`: `df` for all kinds of errors but `cr2`."""
        return self.df if self.satterthwaite is None else self.satterthwaite.df(contrast)

    @property
    def std_errors(self) -> Floats:
        """Standard errors; NaN where the variance is zero or undefined."""
        return np.array([std_error(variance) for variance in np.diag(self.covariance)])


def std_error(variance: float) -> float:
    """Square root of a variance, NaN where that is zero, negative or undefined."""
    return math.sqrt(variance) if variance > 0 else NAN


def fit(
    outcome: Floats,
    regressors: Floats,
    *,
    errors: ErrorModel,
    effects: Sequence[Codes] = (),
    weights: Floats | None = None,
    optional_from: int | None = None,
) -> Fit:
    """Weighted least squares of `outcome` on `regressors` with fixed effects absorbed.

    Parameters
    ----------
    outcome, regressors
        Shapes (rows,) and (rows, columns); a constant is a column like any other and not added.
    errors
        The covariance wanted.
    effects
        Fixed effects to absorb, codes 0..L-1 a row.
    weights
        Positive, one a row; the result does not depend on their scale.
    optional_from
        Columns from this position on are left out where collinear, and named in `Fit.dropped`.

    Raises
    ------
    EstimationError
        Where columns that are not optional are collinear, or parameters are as many as rows.
    InputError
        Where `errors` lacks the codes that its kind needs.
    """
    weights = np.ones(len(outcome)) if weights is None else weights
    columns = absorb(np.column_stack([outcome, regressors]), effects=effects, weights=weights)
    dependent = dependent_columns(regressors, absorbed=columns[:, 1:])
    needed = [position + 1 for position in dependent if optional_from is None or position < optional_from]
    if needed:
        raise CollinearError(
            message(
                "regressor {numbers} of {n}: explained wholly by the fixed effects or the regressors before; leave it "
                "out.",
                numbers=listed(needed),
                n=regressors.shape[1],
            )
        )
    y, X = columns[:, 0], np.delete(columns[:, 1:], dependent, axis=1)
    n_parameters = X.shape[1] + _effect_parameters(effects)
    if n_parameters >= len(y):
        raise EstimationError(
            message(
                "{n_rows:,} rows for {n_parameters:,} parameters: nothing is left to estimate the noise from; "
                "use more periods or fewer covariates.",
                n_rows=len(y),
                n_parameters=n_parameters,
            )
        )
    if np.linalg.norm(y) <= _EXACT * np.linalg.norm(outcome):
        y = np.zeros_like(y)
    coefficients, bread = _solved(y, X, weights)
    residuals = y - X @ coefficients
    if np.linalg.norm(residuals) <= _EXACT * np.linalg.norm(y):
        residuals = np.zeros_like(residuals)
    satterthwaite = None
    if errors.kind == "cr2":
        covariance, df, satterthwaite = _bias_reduced(X, residuals, weights, errors=errors, effects=effects)
    elif errors.kind == "jackknife":
        kept = np.delete(regressors, dependent, axis=1)
        leave_outs = _leave_outs(outcome, kept, errors=errors, effects=effects, weights=weights)
        covariance, df = _jackknife((leave_outs - coefficients) * residuals.any())
    else:
        covariance, df = _covariance(
            X, residuals, weights, bread, errors=errors, effects=effects, n_parameters=n_parameters
        )
    return Fit(
        coefficients=coefficients,
        covariance=covariance,
        residuals=residuals,
        df=df,
        n_parameters=n_parameters,
        dropped=tuple(dependent),
        satterthwaite=satterthwaite,
    )


def _solved(y: Floats, X: Floats, weights: Floats) -> tuple[Floats, Floats]:
    """Least-squares coefficients and the inverse of the cross products, by QR."""
    root = np.sqrt(weights)
    q, r = np.linalg.qr(X * root[:, None])
    inverse = np.linalg.inv(r)
    coefficients: Floats = inverse @ (q.T @ (y * root))
    bread: Floats = inverse @ inverse.T
    return coefficients, bread


def _effect_parameters(effects: Sequence[Codes]) -> int:
    """Levels of all effects, less one for each effect after the first: fixest's count (`K.exact = FALSE`)."""
    return sum(levels(codes) for codes in effects) - max(len(effects) - 1, 0)


def _nested_parameters(effects: Sequence[Codes], clusters: Sequence[Codes]) -> int:
    """Parameters of effects nested in a cluster, which fixest does not count (`K.fixef = "nonnested"`)."""
    return sum(levels(codes) - 1 for codes in effects if any(is_nested(codes, within=cluster) for cluster in clusters))


def _covariance(
    X: Floats,
    residuals: Floats,
    weights: Floats,
    bread: Floats,
    *,
    errors: ErrorModel,
    effects: Sequence[Codes],
    n_parameters: int,
) -> tuple[Floats, float]:
    """The sandwich with its small-sample factor, and the degrees of freedom that go with it."""
    n = len(residuals)
    rest = n - n_parameters
    if errors.kind == "iid":
        divisor = rest if errors.adjust_parameters else n
        return bread * float(weights @ residuals**2) / divisor, float(rest)
    scores = X * (weights * residuals)[:, None]
    if errors.kind == "hetero":
        factor = n / rest if errors.adjust_parameters else 1.0
        return factor * bread @ (scores.T @ scores) @ bread, float(rest)
    meat, n_groups, groupings = _dependent_meat(scores, errors)
    if n_groups < 2:
        return np.full_like(bread, NAN), NAN
    counted = n_parameters - _nested_parameters(effects, groupings)
    factor = (n - 1) / (n - counted) if errors.adjust_parameters else 1.0
    if errors.adjust_clusters:
        factor *= n_groups / (n_groups - 1)
    covariance = factor * bread @ meat @ bread
    if errors.kind in ("two_way_cluster", "conley"):
        covariance = _positive_part(covariance)
    is_by_row = errors.kind == "conley" and not groupings
    return covariance, float(rest if is_by_row else n_groups - 1)


def _dependent_meat(scores: Floats, errors: ErrorModel) -> tuple[Floats, int, tuple[Codes, ...]]:
    """Middle of the sandwich, the number of groups that counts, and groupings that may nest an effect."""
    if errors.kind in ("cluster", "two_way_cluster"):
        clusters = _clusters(errors, wanted=1 if errors.kind == "cluster" else 2)
        n_groups = min(levels(codes) for codes in clusters)
        return _cluster_meat(scores, clusters), n_groups, clusters
    if errors.kind == "conley":
        return _spatial_meat(scores, errors)
    if errors.time is None or (errors.kind == "newey_west" and errors.unit is None):
        raise InputError(f"{errors.kind}: needs the time of every row, and newey_west its unit too.")
    n_times = levels(errors.time)
    lag = int(n_times**0.25) if errors.lag is None else errors.lag
    if errors.kind == "driscoll_kraay" or errors.unit is None:
        series = group_sums(scores, groups=errors.time, n_groups=n_times)[None]
        return _bartlett(series, lag=lag), n_times, ()
    series = np.zeros((levels(errors.unit), n_times, scores.shape[1]))
    series[errors.unit, errors.time] = scores
    return _bartlett(series, lag=lag), n_times, ()


def _spatial_meat(scores: Floats, errors: ErrorModel) -> tuple[Floats, int, tuple[Codes, ...]]:
    if errors.latitude is None or errors.longitude is None:
        raise InputError("conley: needs the latitude and longitude of every row.")
    meat = neighbour_meat(
        scores,
        latitude=errors.latitude,
        longitude=errors.longitude,
        cutoff_km=errors.cutoff_km,
        distance=errors.distance,
        unit=errors.unit,
        time=errors.time,
    )
    if errors.unit is None or errors.time is None:
        return meat, len(scores), ()
    return meat, levels(errors.unit), (errors.unit,)


def _clusters(errors: ErrorModel, *, wanted: int) -> tuple[Codes, ...]:
    if len(errors.clusters) != wanted:
        raise InputError(f"{errors.kind}: needs {wanted} cluster codes, got {len(errors.clusters)}.")
    return errors.clusters


def _bias_reduced(
    X: Floats, residuals: Floats, weights: Floats, *, errors: ErrorModel, effects: Sequence[Codes]
) -> tuple[Floats, float, Satterthwaite | None]:
    (cluster,) = _clusters(errors, wanted=1)
    size = X.shape[1]
    if levels(cluster) < 2:
        return np.full((size, size), NAN), NAN, None
    design = cluster_design(X, effects=effects, cluster=cluster, weights=weights)
    covariance, satterthwaite = bias_reduced(design, residuals=residuals)
    each = [df for df in map(satterthwaite.df, np.eye(size)) if math.isfinite(df)]
    return covariance, min(each, default=NAN), satterthwaite


def _leave_outs(
    outcome: Floats, regressors: Floats, *, errors: ErrorModel, effects: Sequence[Codes], weights: Floats
) -> Floats:
    """Coefficients without each cluster in turn, shape (clusters, columns), by downdating the cross products.

    Effects nested in the clusters are absorbed, which leaving a cluster out does not disturb; the others are
    dummies. MacKinnon, Nielsen and Webb (2023), "Fast and reliable jackknife and bootstrap methods for
    cluster-robust inference", Journal of Applied Econometrics 38(5).
    """
    (cluster,) = _clusters(errors, wanted=1)
    nested = [codes for codes in effects if is_nested(codes, within=cluster)]
    dummies = crossing_dummies(effects, cluster=cluster, weights=weights)
    data = np.column_stack([absorb(np.column_stack([outcome, regressors]), effects=nested, weights=weights), dummies])
    per_cluster = cross_products(data * np.sqrt(weights)[:, None], cluster=cluster, n_clusters=levels(cluster))
    rest = per_cluster.sum(axis=0) - per_cluster
    inverse = np.linalg.pinv(rest[:, 1:, 1:], rcond=1e-11, hermitian=True)
    coefficients: Floats = np.einsum("gij,gj->gi", inverse, rest[:, 1:, 0])
    return coefficients[:, : regressors.shape[1]]


def _jackknife(deviations: Floats) -> tuple[Floats, float]:
    """Covariance from the leave-outs' deviations from the full estimate, and its degrees of freedom."""
    n_groups, size = deviations.shape
    if n_groups < 2:
        return np.full((size, size), NAN), NAN
    return (n_groups - 1) / n_groups * deviations.T @ deviations, float(n_groups - 1)


def _cluster_meat(scores: Floats, clusters: Sequence[Codes]) -> Floats:
    def outer(codes: Codes) -> Floats:
        sums = group_sums(scores, groups=codes, n_groups=levels(codes))
        product: Floats = sums.T @ sums
        return product

    if len(clusters) == 1:
        return outer(clusters[0])
    first, second = clusters
    both = np.unique(first * levels(second) + second, return_inverse=True)[1]
    return outer(first) + outer(second) - outer(both)


def _bartlett(series: Floats, *, lag: int) -> Floats:
    """Sum of autocovariances of `series` (groups, periods, columns), lag l weighing 1 - l/(lag + 1)."""
    meat: Floats = np.einsum("gti,gtj->ij", series, series)
    for distance in range(1, min(lag, series.shape[1] - 1) + 1):
        product = np.einsum("gti,gtj->ij", series[:, distance:], series[:, :-distance])
        meat = meat + (1 - distance / (lag + 1)) * (product + product.T)
    return meat


def _positive_part(covariance: Floats) -> Floats:
    """Negative eigenvalues set to zero, as fixest does for two-way clusters."""
    values, vectors = np.linalg.eigh((covariance + covariance.T) / 2)
    if values.min() >= 0:
        return covariance
    repaired: Floats = (vectors * np.maximum(values, 0)) @ vectors.T
    return repaired


def wald_statistic(estimates: Floats, covariance: Floats) -> tuple[float, int]:
    """Wald statistic that all `estimates` are zero, and its number of restrictions.

    A singular covariance is inverted on its range: restrictions are its rank; NaN and 0 if that is 0.
    """
    if estimates.size == 0 or not np.isfinite(covariance).all():
        return NAN, 0
    scale = np.sqrt(np.maximum(np.diag(covariance), 0))
    usable = scale > 0
    if not usable.any():
        return NAN, 0
    z = estimates[usable] / scale[usable]
    values, vectors = np.linalg.eigh(covariance[np.ix_(usable, usable)] / np.outer(scale[usable], scale[usable]))
    kept = values > values.max() * 1e-10
    return float(np.sum((vectors[:, kept].T @ z) ** 2 / values[kept])), int(kept.sum())


def random_effects(outcome: Floats, regressors: Floats, *, unit: Codes, errors: ErrorModel) -> Fit:
    """Random-effects regression by quasi-demeaning, the intercept first; variances by Swamy and Arora (1972).

    Equal to plm's `model = "random"` on a balanced panel. On an unbalanced one each unit has its own share
    of the mean taken out, the between variance resting on the harmonic mean of the units' periods.

    Parameters
    ----------
    outcome, regressors
        Shapes (rows,) and (rows, columns), without a constant.
    unit
        Codes 0..N-1 a row.
    errors
        The covariance wanted, computed on the quasi-demeaned rows.
    """
    size = np.bincount(unit).astype(float)
    n_units, n_columns = len(size), regressors.shape[1]
    data = np.column_stack([outcome, np.ones(len(outcome)), regressors])
    means = group_sums(data, groups=unit, n_groups=n_units) / size[:, None]
    if n_units <= n_columns + 1:
        raise EstimationError(
            message(
                "{n_units} units for {n_parameters} parameters between units; use `within`.",
                n_units=n_units,
                n_parameters=n_columns + 1,
            )
        )
    within = fit(outcome, regressors, effects=(unit,), errors=ErrorModel(kind="iid"))
    noise = float(within.residuals @ within.residuals) / (len(outcome) - n_units - n_columns)
    between = fit(means[:, 0], means[:, 1:], errors=ErrorModel(kind="iid")).residuals
    harmonic = n_units / np.sum(1 / size)
    shared = max(float(between @ between) / (n_units - n_columns - 1) - noise / harmonic, 0.0)
    share = 1 - np.sqrt(noise / (noise + size * shared))
    quasi = data - (share[:, None] * means)[unit]
    return fit(quasi[:, 0], quasi[:, 1:], errors=errors)
