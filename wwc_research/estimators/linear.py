"""Least squares with absorbed fixed effects, and covariances by the conventions of R's fixest and plm.

In: arrays with one row an observation. Out: frozen `Fit` values. No estimator: what several of them share.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np
import numpy.typing as npt

from wwc_research.errors import EstimationError, InputError, listed
from wwc_research.inference import NAN

Floats = npt.NDArray[np.float64]
Codes = npt.NDArray[np.int64]
Sweep = Callable[[Floats], Floats]
StdErrors = Literal["cluster", "iid", "hetero", "jackknife", "two_way_cluster", "driscoll_kraay", "newey_west"]
STD_ERRORS: tuple[str, ...] = get_args(StdErrors)

_COLLINEAR = 1e-9  # a column whose rest, of unit length before, is shorter than this adds nothing
_CLEARLY_APART = 1e-6  # smallest eigenvalue of unit columns from which none can be that short
_EXACT = 1e-12  # residuals this small against what was to be explained are rounding, not noise


class CollinearError(EstimationError):
    """A regressor that must stay is explained by the fixed effects or by the regressors before it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ErrorModel:
    """How the errors may depend on one another, and which small-sample factors apply.

    Attributes
    ----------
    kind
        `iid`; `hetero` (HC1); `cluster` (CRV1); `jackknife` (CRV3: each cluster left out in turn);
        `two_way_cluster` (Cameron, Gelbach and Miller 2011); `driscoll_kraay` (Bartlett kernel over the sums
        of each period); `newey_west` (Bartlett kernel within units).
    clusters
        Codes 0..G-1 a row: one array for `cluster` and `jackknife`, two for `two_way_cluster`.
    unit, time
        Codes a row; `time` in calendar order, for the two kernel estimators. Lags count observed periods.
    lag
        Longest lag; by default the whole part of (number of periods)^(1/4), as in fixest.
    adjust_parameters
        Multiply by (n - 1)/(n - K); for `hetero` by n/(n - K). For the cluster kinds K leaves out fixed
        effects nested in a cluster.
    adjust_clusters
        Multiply by G/(G - 1), with G the smaller number of clusters, or the number of periods.
    """

    kind: StdErrors = "cluster"
    clusters: tuple[Codes, ...] = ()
    unit: Codes | None = None
    time: Codes | None = None
    lag: int | None = None
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
        Degrees of freedom for t-based inference.
    n_parameters
        Columns kept and fixed effects.
    dropped
        Positions of optional columns left out as collinear.
    """

    coefficients: Floats
    covariance: Floats
    residuals: Floats
    df: float
    n_parameters: int
    dropped: tuple[int, ...] = ()

    @property
    def std_errors(self) -> Floats:
        """Standard errors; NaN where the variance is zero or undefined."""
        return np.array([std_error(variance) for variance in np.diag(self.covariance)])


def std_error(variance: float) -> float:
    """Square root of a variance, NaN where that is zero, negative or undefined."""
    return math.sqrt(variance) if variance > 0 else NAN


def group_sums(values: Floats, *, groups: Codes, n_groups: int) -> Floats:
    """Column sums within groups, shape (n_groups, columns), for codes 0..n_groups-1."""
    sums = [np.bincount(groups, weights=column, minlength=n_groups) for column in values.T]
    return np.column_stack(sums) if sums else np.zeros((n_groups, 0))


def _levels(codes: Codes) -> int:
    return int(codes.max()) + 1


def _sweep(values: Floats, *, effects: Sequence[Codes], weights: Floats, totals: Sequence[Floats]) -> Floats:
    """Subtract weighted group means effect by effect, forth and back: a symmetric operator."""
    order = [*range(len(effects)), *reversed(range(len(effects) - 1))]
    for position in order:
        codes, total = effects[position], totals[position]
        sums = group_sums(values * weights[:, None], groups=codes, n_groups=len(total))
        values = values - (sums / total[:, None])[codes]
    return values


def _is_balanced(effects: Sequence[Codes], weights: Floats) -> bool:
    if len(effects) != 2 or np.ptp(weights) > 0:
        return False
    first, second = effects
    cells = _levels(first) * _levels(second)
    return cells == len(first) and int(np.bincount(first * _levels(second) + second).max()) == 1


def absorb(
    values: Floats, *, effects: Sequence[Codes], weights: Floats | None = None, tolerance: float = 1e-13
) -> Floats:
    """Columns with any number of fixed effects taken out, same shape as `values`.

    One effect, and two in a balanced equally weighted panel, need a single pass. Everything else goes by
    alternating projections, sped up by conjugate gradients on the symmetric sweep (Gaure 2013,
    "OLS with multiple high dimensional category variables", Computational Statistics & Data Analysis 66).

    Parameters
    ----------
    values
        Shape (rows, columns).
    effects
        Codes 0..L-1 a row, every level present; none leaves the values as they are.
    weights
        Positive, one a row.
    tolerance
        Largest remaining step, relative to the length of the column.
    """
    if not effects:
        return values
    weights = np.ones(len(values)) if weights is None else weights
    totals: list[Floats] = [np.bincount(codes, weights=weights).astype(float) for codes in effects]

    def sweep(columns: Floats) -> Floats:
        return _sweep(columns, effects=effects, weights=weights, totals=totals)

    if len(effects) == 1:
        return sweep(values)
    if _is_balanced(effects, weights):
        return _sweep(values, effects=effects[:1], weights=weights, totals=totals[:1]) - _group_means(
            values - values.mean(axis=0), codes=effects[1]
        )
    return _absorb_by_conjugate_gradients(values, sweep=sweep, weights=weights, tolerance=tolerance)


def _group_means(values: Floats, *, codes: Codes) -> Floats:
    n_groups = _levels(codes)
    means: Floats = group_sums(values, groups=codes, n_groups=n_groups)
    means /= np.bincount(codes)[:, None]
    return means[codes]


def _absorb_by_conjugate_gradients(
    values: Floats, *, sweep: Sweep, weights: Floats, tolerance: float, max_steps: int = 2_000
) -> Floats:
    """Solve (1 - S) u = (1 - S) y for each column and return y - u, which the sweep S leaves unchanged."""

    def inner(left: Floats, right: Floats) -> Floats:
        products: Floats = np.einsum("ij,ij,i->j", left, right, weights)
        return products

    length = np.sqrt(inner(values, values))
    current = sweep(values)
    step = current - sweep(current)
    direction = step.copy()
    norm = inner(step, step)
    for _ in range(max_steps):
        active = np.sqrt(norm) > tolerance * length
        if not active.any():
            return sweep(current)
        image = direction - sweep(direction)
        curvature = inner(direction, image)
        size = np.where(active & (curvature > 0), norm / np.where(curvature > 0, curvature, 1.0), 0.0)
        current = current - size * direction
        step = step - size * image
        updated = inner(step, step)
        direction = step + np.where(norm > 0, updated / np.where(norm > 0, norm, 1.0), 0.0) * direction
        norm = updated
    raise EstimationError(
        f"fixed effects: not absorbed to {tolerance:g} after {max_steps:,} steps; the panel falls into parts "
        "that hardly touch: estimate them one by one, or use fewer effects."
    )


def dependent_columns(regressors: Floats, *, absorbed: Floats) -> list[int]:
    """Positions of columns that the fixed effects or the columns before them already explain.

    Parameters
    ----------
    regressors, absorbed
        Shape (rows, columns): as they were, and after `absorb`.
    """
    before, scale = np.linalg.norm(regressors, axis=0), np.linalg.norm(absorbed, axis=0)
    gone = (scale <= _COLLINEAR * before) | (scale == 0)
    scaled = absorbed / np.where(gone, 1.0, scale)
    if not gone.any() and (gone.size == 0 or np.linalg.eigvalsh(scaled.T @ scaled)[0] > _CLEARLY_APART):
        return []
    kept: list[Floats] = []
    dependent: list[int] = []
    for position in range(absorbed.shape[1]):
        rest = scaled[:, position]
        for _ in range(2):  # twice is enough against rounding (Kahan)
            for direction in kept:
                rest = rest - direction * (direction @ rest)
        if gone[position] or np.linalg.norm(rest) <= _COLLINEAR:
            dependent.append(position)
        else:
            kept.append(rest / np.linalg.norm(rest))
    return dependent


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
            f"regressor {listed(needed)} of {regressors.shape[1]}: explained wholly by the fixed effects or "
            "the regressors before; leave it out."
        )
    y, X = columns[:, 0], np.delete(columns[:, 1:], dependent, axis=1)
    n_parameters = X.shape[1] + _effect_parameters(effects)
    if n_parameters >= len(y):
        raise EstimationError(
            f"{len(y):,} rows for {n_parameters:,} parameters: nothing is left to estimate the noise from; "
            "use more periods or fewer covariates."
        )
    if np.linalg.norm(y) <= _EXACT * np.linalg.norm(outcome):
        y = np.zeros_like(y)
    coefficients, bread = _solved(y, X, weights)
    residuals = y - X @ coefficients
    if np.linalg.norm(residuals) <= _EXACT * np.linalg.norm(y):
        residuals = np.zeros_like(residuals)
    if errors.kind == "jackknife":
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
    return sum(_levels(codes) for codes in effects) - max(len(effects) - 1, 0)


def _nested_parameters(effects: Sequence[Codes], clusters: Sequence[Codes]) -> int:
    """Parameters of effects nested in a cluster, which fixest does not count (`K.fixef = "nonnested"`)."""
    return sum(
        _levels(codes) - 1 for codes in effects if any(_is_nested(codes, within=cluster) for cluster in clusters)
    )


def _is_nested(codes: Codes, *, within: Codes) -> bool:
    """Whether each level lies in one cluster: then the last cluster seen for it is that of all its rows."""
    last_seen = np.zeros(_levels(codes), dtype=np.int64)
    last_seen[codes] = within
    return bool((last_seen[codes] == within).all())


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
    if errors.kind == "two_way_cluster":
        covariance = _positive_part(covariance)
    return covariance, float(n_groups - 1)


def _dependent_meat(scores: Floats, errors: ErrorModel) -> tuple[Floats, int, tuple[Codes, ...]]:
    """Middle of the sandwich, the number of groups that counts, and groupings that may nest an effect."""
    if errors.kind in ("cluster", "two_way_cluster"):
        clusters = _clusters(errors, wanted=1 if errors.kind == "cluster" else 2)
        n_groups = min(_levels(codes) for codes in clusters)
        return _cluster_meat(scores, clusters), n_groups, clusters
    if errors.time is None or (errors.kind == "newey_west" and errors.unit is None):
        raise InputError(f"{errors.kind}: needs the time of every row, and newey_west its unit too.")
    n_times = _levels(errors.time)
    lag = int(n_times**0.25) if errors.lag is None else errors.lag
    if errors.kind == "driscoll_kraay" or errors.unit is None:
        series = group_sums(scores, groups=errors.time, n_groups=n_times)[None]
        return _bartlett(series, lag=lag), n_times, ()
    series = np.zeros((_levels(errors.unit), n_times, scores.shape[1]))
    series[errors.unit, errors.time] = scores
    return _bartlett(series, lag=lag), n_times, ()


def _clusters(errors: ErrorModel, *, wanted: int) -> tuple[Codes, ...]:
    if len(errors.clusters) != wanted:
        raise InputError(f"{errors.kind}: needs {wanted} cluster codes, got {len(errors.clusters)}.")
    return errors.clusters


def _leave_outs(
    outcome: Floats, regressors: Floats, *, errors: ErrorModel, effects: Sequence[Codes], weights: Floats
) -> Floats:
    """Coefficients without each cluster in turn, shape (clusters, columns), by downdating the cross products.

    Effects nested in the clusters are absorbed, which leaving a cluster out does not disturb; the others are
    dummies. MacKinnon, Nielsen and Webb (2023), "Fast and reliable jackknife and bootstrap methods for
    cluster-robust inference", Journal of Applied Econometrics 38(5).
    """
    (cluster,) = _clusters(errors, wanted=1)
    nested = [codes for codes in effects if _is_nested(codes, within=cluster)]
    dummies = [np.eye(_levels(codes))[codes] for codes in effects if not _is_nested(codes, within=cluster)]
    data = absorb(np.column_stack([outcome, regressors, *dummies]), effects=nested, weights=weights)
    n_groups, size = _levels(cluster), data.shape[1]
    products = (data[:, :, None] * data[:, None, :] * weights[:, None, None]).reshape(len(data), -1)
    per_cluster = group_sums(products, groups=cluster, n_groups=n_groups).reshape(n_groups, size, size)
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
        sums = group_sums(scores, groups=codes, n_groups=_levels(codes))
        product: Floats = sums.T @ sums
        return product

    if len(clusters) == 1:
        return outer(clusters[0])
    first, second = clusters
    both = np.unique(first * _levels(second) + second, return_inverse=True)[1]
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
        raise EstimationError(f"{n_units} units for {n_columns + 1} parameters between units; use `within`.")
    within = fit(outcome, regressors, effects=(unit,), errors=ErrorModel(kind="iid"))
    noise = float(within.residuals @ within.residuals) / (len(outcome) - n_units - n_columns)
    between = fit(means[:, 0], means[:, 1:], errors=ErrorModel(kind="iid")).residuals
    harmonic = n_units / np.sum(1 / size)
    shared = max(float(between @ between) / (n_units - n_columns - 1) - noise / harmonic, 0.0)
    share = 1 - np.sqrt(noise / (noise + size * shared))
    quasi = data - (share[:, None] * means)[unit]
    return fit(quasi[:, 0], quasi[:, 1:], errors=errors)
