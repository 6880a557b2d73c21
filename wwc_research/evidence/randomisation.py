"""Inference by lot: what the estimate and the leads would look like had chance drawn the exposed units.

In: a Sample and a generator. Out: the placebo distribution of the group-time estimate and of its leads.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from wwc_research.design.sample import Sample
from wwc_research.errors import EstimationError

Floats = npt.NDArray[np.float64]
Integers = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True, kw_only=True)
class Lottery:
    """The estimate beside the estimates of drawn placebo cohorts.

    Attributes
    ----------
    estimate, p_value, std_error
        The simple group-time average; the share of draws at least as far from zero (two-sided, with the real
        assignment counted as one draw); the standard deviation over the draws.
    leads, lead_p_value
        Event times tested, and the p-value of their joint statistic (quadratic form in the draws' covariance).
    drift_p_value
        P-value of a straight drift over all leads up to the last period before exposure (least-squares slope): a
        slow drift shows here that no single lead would show. NaN with fewer than two leads.
    draws
        How many assignments were drawn.
    without_one
        The estimate without each exposed unit in turn, by unit.
    """

    estimate: float
    p_value: float
    std_error: float
    leads: tuple[int, ...]
    lead_p_value: float
    drift_p_value: float
    draws: int
    without_one: dict[str, float]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Cell:
    """Cohort number, columns of the time and of its base, cohorts that cannot serve as comparison, event time."""

    cohort: int
    now: int
    base: int
    barred: tuple[int, ...]
    event_time: int


def draw_lots(sample: Sample, *, generator: np.random.Generator, draws: int, n_leads: int) -> Lottery:
    """Callaway and Sant'Anna's simple average and its leads under cohorts drawn by lot over the same units.

    Cohort sizes and years are kept; which units make them up is drawn without replacement. Valid where units are
    exchangeable had there been no effect (Fisher 1935; for difference-in-differences with few treated units
    Conley and Taber 2011). Leads are measured against the last period before exposure.

    Parameters
    ----------
    sample
        Without covariates and with equal weights, as the plan's designs are.
    generator
        The only source of randomness.
    draws
        Number of assignments.
    n_leads
        Leads tested jointly at most, the nearest first; the drift is taken over all.

    Raises
    ------
    EstimationError
        Where no cohort has a period before and after exposure.
    """
    outcomes, cohorts, times, units = _wide(sample)
    sizes = [int((cohorts == cohort).sum()) for cohort in _values(cohorts)]
    after, leads = _cells(sample, cohorts=_values(cohorts), times=times)
    near = [cell for cell in leads if cell.event_time >= -1 - sample.anticipation - n_leads]
    if not after:
        raise EstimationError("no cohort has a period before and after exposure, so nothing can be drawn by lot")
    real = np.concatenate([np.flatnonzero(cohorts == cohort) for cohort in _values(cohorts)])[None, :]
    order = np.tile(np.arange(len(cohorts)), (draws, 1))
    lots = generator.permuted(order, axis=1)[:, : real.shape[1]]
    estimate = _averages(outcomes, real, after, sizes=sizes)[0]
    placebo = _averages(outcomes, lots, after, sizes=sizes)
    placebo = placebo[np.isfinite(placebo)]
    tested, lead_p_value = _lead_test(outcomes, real, lots, near, sizes=sizes)
    return Lottery(
        estimate=float(estimate),
        p_value=float((1 + (np.abs(placebo) >= abs(estimate) * (1 - 1e-12)).sum()) / (1 + len(placebo))),
        std_error=float(placebo.std(ddof=1)),
        leads=tested,
        lead_p_value=lead_p_value,
        drift_p_value=_drift_test(outcomes, real, lots, leads, sizes=sizes, base=-1 - sample.anticipation),
        draws=len(placebo),
        without_one=_without_one(outcomes, real[0], after, sizes=sizes, units=units),
    )


def _values(cohorts: Floats) -> Floats:
    return np.unique(cohorts[np.isfinite(cohorts)])


def _wide(sample: Sample) -> tuple[Floats, Floats, Integers, list[str]]:
    """Outcome by unit and time (NaN where not observed), cohort by unit (infinity = never), times, unit names."""
    frame = sample.frame
    table = frame.pivot(index="unit", columns="time", values="outcome")
    cohorts = frame.groupby("unit")["cohort"].first().reindex(table.index).fillna(np.inf)
    return table.to_numpy(float), cohorts.to_numpy(float), table.columns.to_numpy(np.int64), list(table.index)


def _cells(sample: Sample, *, cohorts: Floats, times: Integers) -> tuple[list[_Cell], list[_Cell]]:
    """Cells after exposure, and the leads, each against the last period before exposure."""
    after, leads = [], []
    for number, cohort in enumerate(cohorts):
        before = np.flatnonzero(times < cohort - sample.anticipation)
        if len(before) == 0:
            continue
        base = int(before[-1])
        for now in range(len(times)):
            reach = max(times[now], times[base]) + sample.anticipation
            other = [k for k, g in enumerate(cohorts) if k != number and (sample.comparison == "never" or g <= reach)]
            event_time = int(times[now] - cohort)
            cell = _Cell(cohort=number, now=now, base=base, barred=tuple(other), event_time=event_time)
            if times[now] >= cohort:
                after.append(cell)
            elif now < base:
                leads.append(cell)
    return after, leads


def _contrasts(outcomes: Floats, lots: Integers, cell: _Cell, *, sizes: list[int]) -> Floats:
    """Mean change of the drawn cohort less that of its drawn comparison, one value a draw."""
    change = outcomes[:, cell.now] - outcomes[:, cell.base]
    seen = np.isfinite(change)
    filled = np.where(seen, change, 0.0)
    starts = np.concatenate([[0], np.cumsum(sizes)])
    members = [lots[:, starts[k] : starts[k + 1]] for k in range(len(sizes))]
    sums = [filled[rows].sum(axis=1) for rows in members]
    counts = [seen[rows].sum(axis=1) for rows in members]
    out = (cell.cohort, *cell.barred)
    rest_sum = filled.sum() - sum(sums[k] for k in out)
    rest_count = seen.sum() - sum(counts[k] for k in out)
    with np.errstate(invalid="ignore", divide="ignore"):
        treated = np.where(counts[cell.cohort] > 0, sums[cell.cohort] / counts[cell.cohort], np.nan)
        compared = np.where(rest_count > 0, rest_sum / rest_count, np.nan)
    return treated - compared


def _averages(outcomes: Floats, lots: Integers, cells: list[_Cell], *, sizes: list[int]) -> Floats:
    """Average of the cells by cohort size, leaving out cells that a draw leaves empty."""
    values = np.stack([_contrasts(outcomes, lots, cell, sizes=sizes) for cell in cells], axis=1)
    weights = np.where(np.isfinite(values), [sizes[cell.cohort] for cell in cells], 0.0)
    total = weights.sum(axis=1)
    summed = (weights * np.nan_to_num(values)).sum(axis=1)
    return np.divide(summed, total, out=np.full(len(lots), np.nan), where=total > 0)


def _lead_test(
    outcomes: Floats, real: Integers, lots: Integers, leads: list[_Cell], *, sizes: list[int]
) -> tuple[tuple[int, ...], float]:
    times = sorted({cell.event_time for cell in leads})
    if not times:
        return (), math.nan
    by_time = [[cell for cell in leads if cell.event_time == time] for time in times]
    drawn = np.stack([_averages(outcomes, lots, cells, sizes=sizes) for cells in by_time], axis=1)
    seen = np.stack([_averages(outcomes, real, cells, sizes=sizes) for cells in by_time], axis=1)
    drawn = drawn[np.isfinite(drawn).all(axis=1)]
    precision = np.linalg.pinv(np.atleast_2d(np.cov(drawn, rowvar=False)))
    centre = drawn.mean(axis=0)
    statistics = np.einsum("ij,jk,ik->i", drawn - centre, precision, drawn - centre)
    statistic = float(np.einsum("ij,jk,ik->i", seen - centre, precision, seen - centre)[0])
    if not math.isfinite(statistic):
        return tuple(times), math.nan
    return tuple(times), float((1 + (statistics >= statistic * (1 - 1e-12)).sum()) / (1 + len(statistics)))


def _drift_test(
    outcomes: Floats, real: Integers, lots: Integers, leads: list[_Cell], *, sizes: list[int], base: int
) -> float:
    """Two-sided p-value by lot of the slope of the leads on event time, the base period at zero among them."""
    times = sorted({cell.event_time for cell in leads})
    if len(times) < 2:
        return math.nan
    places = np.array([*times, base], dtype=float)
    slope = (places - places.mean())[:-1] / ((places - places.mean()) ** 2).sum()
    by_time = [[cell for cell in leads if cell.event_time == time] for time in times]
    drawn = sum(w * _averages(outcomes, lots, cells, sizes=sizes) for w, cells in zip(slope, by_time, strict=True))
    seen = sum(w * _averages(outcomes, real, cells, sizes=sizes) for w, cells in zip(slope, by_time, strict=True))
    drawn, drift = np.asarray(drawn), abs(float(np.asarray(seen)[0]))
    drawn = drawn[np.isfinite(drawn)]
    if not math.isfinite(drift):
        return math.nan
    return float((1 + (np.abs(drawn) >= drift * (1 - 1e-12)).sum()) / (1 + len(drawn)))


def _without_one(
    outcomes: Floats, real: Integers, after: list[_Cell], *, sizes: list[int], units: list[str]
) -> dict[str, float]:
    """The estimate with each exposed unit hidden in turn; its cohort counts one unit fewer."""
    found = {}
    owner = np.repeat(np.arange(len(sizes)), sizes)
    for place, unit in enumerate(real):
        hidden = outcomes.copy()
        hidden[unit] = np.nan
        fewer = [size - (k == owner[place]) for k, size in enumerate(sizes)]
        kept = np.delete(real, place)[None, :]
        cells = [cell for cell in after if fewer[cell.cohort] > 0]
        if cells:
            found[units[unit]] = float(_averages(hidden, kept, cells, sizes=fewer)[0])
    return found
