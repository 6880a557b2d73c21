"""Least squares with unit effects, time effects and one effect for each cohort at each time it is told apart.

In: `Rows` and which of them have an effect of their own. Out: `CellEffects`, and averages of them. No estimator.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Final, Literal, get_args

import numpy as np
from scipy import sparse
from scipy.sparse import csgraph

from wwc_research.errors import EstimationError, listed
from wwc_research.estimators import linear, within
from wwc_research.estimators.estimate import EventTerm, GroupTimeTerm
from wwc_research.estimators.linear import Codes, Floats, StdErrors
from wwc_research.estimators.rows import Mask, Rows
from wwc_research.inference import NAN
from wwc_research.messages import counted, message

Aggregation = Literal["simple", "group", "calendar", "dynamic"]
AGGREGATIONS: Final = get_args(Aggregation)
ESTIMANDS: Final[dict[str, str]] = {
    "simple": message("effect on the exposed, averaged over all exposed units and times"),
    "group": message("effect on the exposed, averaged over cohorts by size, each the mean of its times"),
    "calendar": message("effect on the exposed, averaged over times, each the mean of those exposed by then"),
    "dynamic": message("effect on the exposed, averaged over event times 0 and later"),
}
FEW_UNITS: Final = 5  # below this a cohort's clustered error is far too small

_COLLINEAR = 1e-9  # a covariate that keeps less than this of its length adds nothing


@dataclass(frozen=True, slots=True, kw_only=True)
class CellEffects:
    """The effect in every cell (a cohort at a time), and what goes with it.

    Attributes
    ----------
    cohort, time
        Of each cell, sorted by both.
    effect, covariance
        Shapes (cells,) and (cells, cells).
    weight
        Sum of the weights of the rows in the cell: what averages weigh it by.
    n_treated, n_comparison
        Units in the cell, and units without an effect of their own at its time.
    df
        Degrees of freedom of the covariance.
    rows
        Those that were used, with every exclusion.
    dropped
        Names of covariates that the fixed effects explain.
    """

    cohort: Codes
    time: Codes
    effect: Floats
    covariance: Floats
    weight: Floats
    n_treated: Codes
    n_comparison: Codes
    df: float
    rows: Rows
    dropped: tuple[str, ...] = ()

    @property
    def event_time(self) -> Codes:
        """Time since exposure."""
        return self.time - self.cohort

    def average(self, weights: Floats) -> tuple[float, float]:
        """The mean of the cells by fixed weights that sum to one, and its standard error."""
        return float(weights @ self.effect), linear.std_error(float(weights @ self.covariance @ weights))


@dataclass(frozen=True, slots=True, kw_only=True)
class _Solution:
    effect: Floats
    covariance: Floats
    df: float
    dropped: tuple[str, ...]


def base_times(rows: Rows) -> Floats:
    """For each row the latest time its cohort is observed before exposure less the anticipation.

    Infinity for the never exposed.
    """
    base = np.full(len(rows.time), np.inf)
    for cohort in np.unique(rows.cohort[np.isfinite(rows.cohort)]):
        members = rows.cohort == cohort
        times = rows.time[members]
        base[members] = times[times < cohort - rows.anticipation].max()
    return base


def is_told_apart(rows: Rows) -> Mask:
    """Rows of exposed cohorts but for each cohort's base: those that have an effect of their own.

    Without a cohort that stays clear of exposure (and of its anticipation) to the end, the one exposed last
    is what the others are compared with, while it is clear.
    """
    is_clear = rows.cohort > rows.time.max() + rows.anticipation
    if is_clear.any():
        return ~is_clear & (rows.time != base_times(rows))
    is_last = rows.cohort == rows.cohort.max()
    is_late = rows.time >= rows.cohort - rows.anticipation
    return np.where(is_last, is_late, rows.time != base_times(rows))


def cohort_time_effects(
    rows: Rows, is_own: Callable[[Rows], Mask], *, kind: StdErrors, with_slopes: bool, estimator: str
) -> CellEffects:
    """The coefficient of every cohort-time cell among the rows that have an effect of their own.

    Rows whose effect nothing identifies (nobody to compare with at that time, or never linked to those who
    are) are left out and counted.

    Parameters
    ----------
    rows
        From `read_rows`.
    is_own
        Which rows have an effect of their own; the others share the time effects.
    kind
        The covariance wanted.
    with_slopes
        Whether covariates act by time, by cohort and in each cell; the cell's effect is then that at the mean
        of its covariates. Otherwise they have one slope each.
    estimator
        For messages.

    Raises
    ------
    EstimationError
        Where no cell after exposure has an effect, or covariates are too many for the comparison units.
    """
    rows, own = _identified(rows, is_own(rows))
    exposed = own & rows.is_exposed
    if not exposed.any():
        reasons = [exclusion.reason for exclusion in rows.exclusions] or [message("no period after exposure")]
        raise EstimationError(
            message(
                "{estimator}: no cohort has an effect after exposure ({reasons:semicolons}). Add places to compare "
                "with, or widen the window.",
                estimator=estimator,
                reasons=reasons,
            )
        )
    cell, cohort, time = _cells(rows, own)
    if kind in within.KINDS and _has_whole_units(rows):
        solution = _by_cross_products(rows, cell, with_slopes=with_slopes, kind=kind, estimator=estimator)
    else:
        solution = _by_dummies(rows, cell, with_slopes=with_slopes, kind=kind, estimator=estimator)
    position = np.searchsorted(np.unique(rows.time), time)
    return CellEffects(
        cohort=cohort,
        time=time,
        effect=solution.effect,
        covariance=solution.covariance,
        weight=np.bincount(cell[own], weights=rows.weight[own]).astype(float),
        n_treated=np.bincount(cell[own]),
        n_comparison=np.bincount(rows.period[~own], minlength=int(rows.period.max()) + 1)[position],
        df=solution.df,
        rows=rows,
        dropped=solution.dropped,
    )


def overall(effects: CellEffects, *, by: Aggregation) -> tuple[float, float]:
    """The average of the effects after exposure, and its standard error with the cells' shares as given.

    `simple` weighs cells by their rows, `group` cohorts by their mean number of rows, `calendar` and
    `dynamic` times and event times alike, as in Callaway and Sant'Anna (2021), section 3.
    """
    after = effects.event_time >= 0
    share = np.where(after, effects.weight, 0.0)
    if by == "simple":
        return effects.average(share / share.sum())
    label = {"group": effects.cohort, "calendar": effects.time, "dynamic": effects.event_time}[by]
    terms = np.array([_share(share, label == at) for at in np.unique(label[after])])
    if by == "group":
        size = np.array([effects.weight[after & (label == at)].mean() for at in np.unique(label[after])])
        return effects.average(size @ terms / size.sum())
    return effects.average(terms.mean(axis=0))


def event_terms(effects: CellEffects, *, with_base: bool) -> tuple[tuple[EventTerm, ...], float, int]:
    """Effects by event time, each the mean of its cells by their rows, and the Wald test of the leads.

    Returns
    -------
    terms, statistic, restrictions
        Event times in order; with `with_base` the latest one before exposure less the anticipation among
        them as zero, where no cohort has an effect of its own there. The statistic is that all terms before
        the anticipation window are zero; NaN and 0 where there are none.
    """
    at = np.unique(effects.event_time)
    weights = np.array([_share(effects.weight, effects.event_time == e) for e in at])
    values, covariance = weights @ effects.effect, weights @ effects.covariance @ weights.T
    leads = at < -effects.rows.anticipation
    statistic, restrictions = linear.wald_statistic(values[leads], covariance[np.ix_(leads, leads)])
    terms = [
        EventTerm(event_time=int(e), estimate=float(value), std_error=linear.std_error(variance), df=effects.df)
        for e, value, variance in zip(at, values, np.diag(covariance).tolist(), strict=True)
    ]
    base = -1 - effects.rows.anticipation
    if with_base and base not in at:
        terms.append(EventTerm(event_time=base, estimate=0.0, std_error=NAN, df=effects.df))
    return tuple(sorted(terms, key=lambda term: term.event_time)), statistic, restrictions


def group_time_terms(effects: CellEffects) -> tuple[GroupTimeTerm, ...]:
    """One term a cell, by cohort and time."""
    return tuple(
        GroupTimeTerm(
            cohort=int(effects.cohort[k]),
            time=int(effects.time[k]),
            estimate=float(effects.effect[k]),
            std_error=linear.std_error(float(effects.covariance[k, k])),
            n_treated=int(effects.n_treated[k]),
            n_comparison=int(effects.n_comparison[k]),
        )
        for k in range(len(effects.effect))
    )


def warnings(effects: CellEffects) -> Iterator[str]:
    """What a reader must know about effects that rest on few units."""
    for cohort in np.unique(effects.cohort):
        n = int(np.unique(effects.rows.unit[effects.rows.cohort == cohort]).size)
        if n < FEW_UNITS:
            yield counted(
                "cohort {cohort:.0f} has {n} exposed unit: its standard errors are too small.",
                "cohort {cohort:.0f} has {n} exposed units: its standard errors are too small.",
                cohort=cohort,
                n=n,
            )
    thin = int((effects.n_comparison < FEW_UNITS).sum())
    if thin:
        yield (
            message(
                "{thin} of the cohort-time effects rest on fewer than {fewest} comparison units; their standard "
                "errors are too small.",
                thin=thin,
                fewest=FEW_UNITS,
            )
        )


def _share(weight: Floats, chosen: Mask) -> Floats:
    kept = np.where(chosen, weight, 0.0)
    shares: Floats = kept / kept.sum()
    return shares


def _identified(rows: Rows, own: Mask) -> tuple[Rows, Mask]:
    """Rows without those whose effect nothing identifies, and which of the rest have an effect of their own."""
    while True:
        n_shared = np.bincount(rows.period[~own], minlength=int(rows.period.max()) + 1)
        alone = n_shared[rows.period] == 0
        if alone.any():
            times = listed(np.unique(rows.time[alone]), limit=30)
            drop, reason = alone, message("nobody to compare with is observed at {times}", times=times)
        else:
            drop = own & ~_linked(rows, own)
            reason = message("never linked to the units compared with: effect not identified")
        if not drop.any():
            drop, reason = rows.of_units(np.bincount(rows.unit) < 2), message("unit left with a single period")
        if not drop.any():
            return rows, own
        rows, own = rows.without(drop, reason=reason), own[~drop]
        if rows.unit.size == 0:
            return rows, own


def _linked(rows: Rows, own: Mask) -> Mask:
    """Whether units join the row's cell with the time effect of its period (Abowd, Creecy and Kramarz 2002)."""
    n_units = rows.n_units
    cell, cohort, _ = _cells(rows, own)
    node = np.where(own, cell, len(cohort) + rows.period)
    size = n_units + len(cohort) + int(rows.period.max()) + 1
    graph = sparse.coo_array((np.ones(len(node), dtype=np.int8), (rows.unit, n_units + node)), shape=(size, size))
    part = csgraph.connected_components(graph.tocsr(), directed=False)[1]
    return np.asarray(part[n_units + node] == part[n_units + len(cohort) + rows.period], dtype=bool)


def _cells(rows: Rows, own: Mask) -> tuple[Codes, Codes, Codes]:
    """Code of each row's cell (-1: none of its own), and cohort and time of the cells."""
    span = int(np.ptp(rows.time)) + 1
    first = int(rows.time.min())
    key = rows.cohort[own].astype(np.int64) * span + (rows.time[own] - first)
    distinct, code = np.unique(key, return_inverse=True)
    cell = np.full(len(own), -1)
    cell[own] = code
    return cell, distinct // span, distinct % span + first


def _has_whole_units(rows: Rows) -> bool:
    return not (np.diff(rows.cluster)[np.diff(rows.unit) == 0]).any()


def _by_cross_products(rows: Rows, cell: Codes, *, with_slopes: bool, kind: StdErrors, estimator: str) -> _Solution:
    """Every row in one column: its own cell's, or that of the shared rows of its time.

    An effect is its column's coefficient less that of the shared rows.
    """
    demean = None if with_slopes else within.demeaner(rows.unit, rows.weight)
    covariates = _covariates(rows, demean=demean)
    columns, contrasts = _columns(rows, cell, covariates=covariates, with_slopes=with_slopes)
    try:
        fit = within.fit_contrasts(
            rows.outcome,
            columns,
            contrasts,
            unit=rows.unit,
            cluster=rows.cluster,
            weight=rows.weight,
            kind=kind,
        )
    except within.UnidentifiedError as error:
        raise EstimationError(
            message(
                "{estimator}: at some times the covariates vary too little among the units compared with for "
                "their slopes to be estimated; use fewer covariates or none.",
                estimator=estimator,
            )
        ) from error
    n_covariates = 0 if with_slopes else covariates.shape[1]
    dropped = _explained(fit.null[len(fit.null) - n_covariates :])
    return _Solution(
        effect=fit.estimates,
        covariance=fit.covariance,
        df=fit.df,
        dropped=tuple(rows.covariate_names[position] for position in dropped),
    )


def _covariates(rows: Rows, *, demean: Callable[[Floats], Floats] | None) -> Floats:
    """Covariates centred (within units where they have one slope) and of length one a row; zero if nothing is left."""
    prepared = np.zeros(rows.covariates.shape)
    for position, column in enumerate(rows.covariates.T):
        centred = column - column.mean()
        values = demean(centred) if demean else centred
        scale = math.sqrt(float((values**2).mean()))
        if scale > _COLLINEAR * math.sqrt(float((column**2).mean())):
            prepared[:, position] = values / scale
    return prepared


def _columns(rows: Rows, cell: Codes, *, covariates: Floats, with_slopes: bool) -> tuple[Any, Floats]:
    """Sparse columns (cells, shared rows by time, covariates), and contrasts of them that are the effects.

    Contrasts have shape (columns, cells).
    """
    n, n_cells, period = len(cell), int(cell.max()) + 1, rows.period
    own, n_times, at = cell >= 0, int(period.max()) + 1, np.arange(len(cell))
    n_nodes, node = n_cells + n_times, np.where(own, cell, n_cells + period)
    in_cell = np.flatnonzero(own)[np.unique(cell[own], return_index=True)[1]]  # a row of each cell
    difference = np.zeros((n_nodes, n_cells))
    difference[np.arange(n_cells), np.arange(n_cells)] = 1.0
    difference[n_cells + period[in_cell], np.arange(n_cells)] = -1.0
    blocks: list[Any] = [sparse.csr_array((np.ones(n), (at, node)), shape=(n, n_nodes))]
    if not with_slopes:
        blocks.append(sparse.csr_array(covariates))
        return sparse.hstack(blocks, format="csr"), np.vstack([difference, np.zeros((covariates.shape[1], n_cells))])
    contrasts, shared, size = [difference], np.flatnonzero(~own), np.bincount(cell[own], weights=rows.weight[own])
    cohorts, group = np.unique(rows.cohort, return_inverse=True)
    by_cohort = np.zeros((len(cohorts), n_cells))
    by_cohort[group[in_cell], np.arange(n_cells)] = -1.0
    for column in covariates.T:
        mean = np.bincount(cell[own], weights=(rows.weight * column)[own]) / size
        blocks.append(sparse.csr_array((column, (at, node)), shape=(n, n_nodes)))
        blocks.append(sparse.csr_array((column[shared], (shared, group[shared])), shape=(n, len(cohorts))))
        contrasts += [difference * mean, by_cohort * mean]
    return sparse.hstack(blocks, format="csr"), np.vstack(contrasts)


def _slopes(rows: Rows, cell: Codes, indicators: Floats) -> Floats:
    """The covariates in each cell less their mean there, by time and by cohort, as dense columns."""
    cohorts = rows.cohort[:, None] == np.unique(rows.cohort)
    times = rows.period[:, None] == np.unique(rows.period)
    blocks: list[Floats] = []
    for column in _covariates(rows, demean=None).T:
        total = rows.weight @ indicators
        mean = (rows.weight * column) @ indicators / total
        blocks += [indicators * (column[:, None] - mean), times * column[:, None], cohorts * column[:, None]]
    return np.column_stack(blocks) if blocks else np.zeros((len(cell), 0))


def _explained(null: Floats) -> list[int]:
    """Positions of covariates explained by the fixed effects or by covariates before them.

    `null` are the covariates' rows of the vectors that the regression cannot see, which are used up from the
    last covariate on.
    """
    rest, found = null.copy(), []
    for position in reversed(range(len(null))):
        direction = rest[position]
        length = float(direction @ direction)
        if length > 1e-12:
            found.append(position)
            rest = rest - np.outer(rest @ direction, direction) / length
    return sorted(found)


def _by_dummies(rows: Rows, cell: Codes, *, with_slopes: bool, kind: StdErrors, estimator: str) -> _Solution:
    """The same regression written out with dummies, for covariances that need every row's column."""
    n_cells = int(cell.max()) + 1
    indicators = (cell[:, None] == np.arange(n_cells)).astype(float)
    slopes = _slopes(rows, cell, indicators) if with_slopes else rows.covariates
    try:
        fit = linear.fit(
            rows.outcome,
            np.column_stack([indicators, slopes]),
            effects=(rows.unit, rows.period),
            weights=rows.weight,
            errors=rows.error_model(kind),
            optional_from=n_cells,
        )
    except linear.CollinearError as error:
        raise EstimationError(
            message(
                "{estimator}: unit and time effects explain the effects of some cohorts wholly; add places "
                "exposed at another time or never.",
                estimator=estimator,
            )
        ) from error
    dropped = () if with_slopes else tuple(rows.covariate_names[position - n_cells] for position in fit.dropped)
    return _Solution(
        effect=fit.coefficients[:n_cells], covariance=fit.covariance[:n_cells, :n_cells], df=fit.df, dropped=dropped
    )
