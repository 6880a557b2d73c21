"""What the outcome would have been without exposure: effects of unit and time fitted on untreated rows alone.

In: `Rows`. Out: frozen `UntreatedFit`, `Cells`. No estimator: what imputation and two-stage estimators share.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from scipy import sparse
from scipy.sparse.csgraph import connected_components

from wwc_research.errors import EstimationError, InputError
from wwc_research.estimators.absorption import Codes, Floats, dependent_columns, group_sums
from wwc_research.estimators.linear import CollinearError
from wwc_research.estimators.rows import Mask, Rows
from wwc_research.messages import message

_BLOCK = 16  # columns of scores held at once: bounds the memory


@dataclass(frozen=True, slots=True, kw_only=True)
class _Effects:
    """Unit and time effects by weighted least squares on some of the rows, as a linear map.

    Units are taken out exactly, which leaves one equation a time: no iteration, and cells may be missing.
    `shares` has shape (units, times): the weight of each fitted cell in its unit. `inverse` is that of the
    equations for times, on their range.
    """

    unit: Codes
    period: Codes
    weight: Floats
    shares: Floats
    inverse: Floats

    def left_over(self, columns: Sequence[Floats]) -> Floats:
        """Columns less their unit and time effects, on every row, fitted or not; shape (rows, columns)."""
        n_units, n_times = self.shares.shape
        total = np.bincount(self.unit, weights=self.weight, minlength=n_units)
        in_units = (self.shares * total[:, None]).T
        left = np.empty((len(self.unit), len(columns)), order="F")  # a column at a time is quick to read
        for position, column in enumerate(columns):
            weighted = column * self.weight
            means = np.bincount(self.unit, weights=weighted, minlength=n_units) / total
            sums = np.bincount(self.period, weights=weighted, minlength=n_times)
            times = self.inverse @ (sums - in_units @ means)
            units = means - self.shares @ times
            np.subtract(column, units[self.unit], out=left[:, position])
            left[:, position] -= times[self.period]
        return left


@dataclass(frozen=True, slots=True, kw_only=True)
class UntreatedFit:
    """Effects of unit, time and covariates on untreated rows, and every row's distance from what they say.

    Attributes
    ----------
    rows
        The rows, all of which have an imputed untreated outcome.
    is_fitted
        Shape (rows,): untreated, before exposure less the anticipation; fitted on.
    gap
        Outcome less imputed untreated outcome: a residual where fitted, elsewhere the effect; shape (rows,).
    coefficients, bread
        Of the regressors kept, shape (kept,), and the inverse of their cross products.
    dropped
        Positions of optional regressors that the effects and the regressors before them explain.
    """

    rows: Rows
    is_fitted: Mask
    gap: Floats
    coefficients: Floats
    bread: Floats
    dropped: tuple[int, ...]
    _effects: _Effects
    _regressors: Floats  # those kept, less their own unit and time effects

    @property
    def rounding(self) -> float:
        """A standard error at or below this is rounding, not noise."""
        return 1e-12 * float(np.abs(self.rows.outcome).max(initial=0.0))

    def coefficient_scores(self) -> Floats:
        """Each cluster's share in the coefficients' errors, shape (clusters, kept)."""
        residual = self._effects.weight * self.gap
        scores = group_sums(
            self._regressors * residual[:, None], groups=self.rows.cluster, n_groups=self.rows.n_clusters
        )
        product: Floats = scores @ self.bread
        return product

    def std_errors(self, covariance_diagonal: Floats) -> Floats:
        """Roots of variances, NaN where they are rounding."""
        errors = np.sqrt(np.maximum(covariance_diagonal, 0))
        return np.where(errors > self.rounding, errors, np.nan)


@dataclass(frozen=True, slots=True, kw_only=True)
class Cells:
    """Weighted means of `gap` over groups of rows, and what their errors are made of.

    Attributes
    ----------
    count, weight, mean
        Number of rows, their total weight and mean gap, shape (cells,).
    cluster_weight, cluster_sum
        Weight, and weighted gap, of each cluster in each cell; sparse, shape (clusters, cells), same pattern.
    """

    count: Codes
    weight: Floats
    mean: Floats
    cluster_weight: sparse.csr_array
    cluster_sum: sparse.csr_array
    _time_load: Floats
    _regressor_load: Floats
    _time_scores: Floats
    _regressor_scores: Floats

    def centred(self, centre: Floats) -> sparse.csr_array:
        """Weighted gap less `centre` of each cluster in each cell; `centre` is one a cell, or one an entry."""
        result = self.cluster_sum.copy()
        of_entry = centre[result.indices] if len(centre) == len(self.mean) else centre
        result.data = self.cluster_sum.data - self.cluster_weight.data * of_entry
        return result

    def scores(self, centred: sparse.csr_array, *, combinations: Floats) -> Floats:
        """Each cluster's share in the errors of combinations of cell means, shape (clusters, combinations).

        The deviations of the cells' own rows from their centre, less those of the untreated outcomes imputed,
        whose weights are minus the projection of the cells' rows on the fitted ones (Borusyak, Jaravel and
        Spiess 2024, proposition 2 and equation 7). Residuals of a unit sum to zero, so that with whole units
        in clusters its own effect adds nothing.

        Parameters
        ----------
        centred
            From `centred`.
        combinations
            Weights of the cell means, shape (cells, combinations).
        """
        per_weight = combinations / self.weight[:, None]
        own = centred @ per_weight
        imputed = self._time_scores @ (self._time_load @ per_weight)
        imputed += self._regressor_scores @ (self._regressor_load @ per_weight)
        result: Floats = own - imputed
        return result

    def variances(self, centred: sparse.csr_array, *, combinations: Floats) -> Floats:
        """Variances of combinations of cell means, a block of columns at a time; shape (combinations,)."""
        blocks: Iterator[Floats] = (
            np.square(self.scores(centred, combinations=combinations[:, start : start + _BLOCK])).sum(axis=0)
            for start in range(0, combinations.shape[1], _BLOCK)
        )
        return np.concatenate([*blocks])


def imputable(rows: Rows, *, estimator: str) -> Rows:
    """The rows whose untreated outcome can be imputed; the others are left out and counted.

    A row at a time when nobody is untreated, or whose unit and time no chain of untreated rows links, has no
    untreated outcome to be compared with.

    Raises
    ------
    EstimationError
        Where no exposed row is left.
    InputError
        Where a unit changes its cluster.
    """
    _refuse_moving_clusters(rows, estimator=estimator)
    clean, period = is_untreated(rows), rows.period
    seen = np.zeros((rows.n_units, int(period.max()) + 1))
    seen[rows.unit[clean], period[clean]] = 1.0
    part = connected_components(seen.T @ seen > 0, directed=False)[1]
    of_unit = part[np.argmax(seen, axis=1)]
    kept = rows.without(
        of_unit[rows.unit] != part[period], reason=message("no untreated outcome at that time to compare with")
    )
    if not kept.is_exposed.any():
        raise EstimationError(
            message(
                "{estimator}: no exposed row has an untreated outcome at the same time to compare with; add "
                "places exposed later or never, or widen the window.",
                estimator=estimator,
            )
        )
    return kept


def is_untreated(rows: Rows) -> Mask:
    """Whether the row is before exposure less the anticipation, or never exposed."""
    return np.asarray(rows.time < rows.cohort - rows.anticipation, dtype=bool)


def fit_untreated(rows: Rows, *, regressors: Floats | None = None) -> UntreatedFit:
    """Unit and time effects and covariates fitted on untreated rows, imputed to all.

    Parameters
    ----------
    rows
        From `imputable`; their weights weigh the fit.
    regressors
        Put before the covariates, shape (rows, columns).

    Raises
    ------
    CollinearError
        Where one of `regressors` is explained by the effects and those before it; covariates are dropped.
    """
    needed = [] if regressors is None else list(regressors.T)
    columns = [*needed, *rows.covariates.T]
    clean = is_untreated(rows)
    effects = _effects(rows, clean)
    left = effects.left_over([rows.outcome - rows.outcome[clean].mean(), *columns])
    dependent = _dependent(columns, left=left[:, 1:], clean=clean)
    if any(position < len(needed) for position in dependent):
        raise CollinearError(message("regressors: some are explained by unit and time effects and those before them."))
    kept = np.delete(left[:, 1:], dependent, axis=1) if dependent else left[:, 1:]
    scaled = kept * effects.weight[:, None]
    bread: Floats = np.linalg.inv(scaled.T @ kept).astype(float)
    coefficients = bread @ (scaled.T @ left[:, 0])
    return UntreatedFit(
        rows=rows,
        is_fitted=clean,
        gap=left[:, 0] - kept @ coefficients,
        coefficients=coefficients,
        bread=bread,
        dropped=tuple(position - len(needed) for position in dependent),
        _effects=effects,
        _regressors=kept,
    )


def cells(fit: UntreatedFit, *, codes: Codes, n_cells: int) -> Cells:
    """Weighted means of the fit's gaps over groups of rows, ready for standard errors.

    Parameters
    ----------
    fit
        From `fit_untreated`.
    codes
        Cell of each row from 0, every code present; -1 for rows in none.
    n_cells
        Number of cells.
    """
    rows, effects = fit.rows, fit._effects
    member = codes >= 0
    code, weight = codes[member], rows.weight[member]

    def table(values: Floats, groups: Codes, n_groups: int) -> sparse.csr_array:
        return sparse.csr_array((values, (groups, code)), shape=(n_groups, n_cells))

    n_times = effects.shares.shape[1]
    of_units = table(weight, rows.unit[member], rows.n_units)
    at_times = table(weight, effects.period[member], n_times).toarray()
    residual = effects.weight * fit.gap
    place, n_places = rows.cluster * n_times + effects.period, rows.n_clusters * n_times
    spread: Floats = np.bincount(place, weights=residual, minlength=n_places).astype(float)
    loads = group_sums(fit._regressors[member] * weight[:, None], groups=code, n_groups=n_cells)
    total: Floats = np.bincount(code, weights=weight, minlength=n_cells).astype(float)
    return Cells(
        count=np.bincount(code, minlength=n_cells),
        weight=total,
        mean=np.bincount(code, weights=weight * fit.gap[member], minlength=n_cells) / total,
        cluster_weight=table(weight, rows.cluster[member], rows.n_clusters),
        cluster_sum=table(weight * fit.gap[member], rows.cluster[member], rows.n_clusters),
        _time_load=effects.inverse @ (at_times - (of_units.T @ effects.shares).T),
        _regressor_load=fit.bread @ loads.T,
        _time_scores=spread.reshape(rows.n_clusters, n_times),
        _regressor_scores=group_sums(
            fit._regressors * residual[:, None], groups=rows.cluster, n_groups=rows.n_clusters
        ),
    )


def _dependent(columns: list[Floats], *, left: Floats, clean: Mask) -> list[int]:
    """Positions of columns that the effects and the columns before them explain on fitted rows."""
    if not columns:
        return []
    raw = np.asfortranarray(np.array(columns).T)
    if clean.all():
        return dependent_columns(raw, absorbed=left)
    return dependent_columns(raw[clean], absorbed=left[clean])


def _effects(rows: Rows, clean: Mask) -> _Effects:
    period = rows.period
    weights = np.zeros((rows.n_units, int(period.max()) + 1))
    weights[rows.unit[clean], period[clean]] = rows.weight[clean]
    shares = weights / weights.sum(axis=1, keepdims=True)
    return _Effects(
        unit=rows.unit,
        period=period,
        weight=np.where(clean, rows.weight, 0.0),
        shares=shares,
        inverse=_inverse_on_range(np.diag(weights.sum(axis=0)) - weights.T @ shares),
    )


def _inverse_on_range(laplacian: Floats) -> Floats:
    """Inverse where a constant may be added to each linked set of times: all that is used is their differences."""
    part = connected_components(laplacian != 0, directed=False)[1]
    linked = (part[:, None] == part) * max(float(np.trace(laplacian)), 1.0) / len(part) ** 2
    inverse: Floats = np.linalg.inv(laplacian + linked)
    return inverse


def _refuse_moving_clusters(rows: Rows, *, estimator: str) -> None:
    first = np.flatnonzero(np.diff(rows.unit, prepend=-1))
    moved = np.unique(rows.unit[rows.cluster != rows.cluster[first][rows.unit]])
    if moved.size:
        raise InputError(
            f"sample: {moved.size} units change their cluster over time; {estimator} needs each unit in one "
            "cluster: cluster at a level that contains whole units."
        )
