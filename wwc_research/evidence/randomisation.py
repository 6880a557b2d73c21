"""Inference by lot: what the estimate and the leads would look like had chance drawn the exposed units.

In: a Sample and a generator. Out: the placebo distribution of the estimate and of its leads.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import get_args

import numpy as np
import numpy.typing as npt
import pandas as pd

from wwc_research.catalog import Headline
from wwc_research.design.sample import Sample
from wwc_research.errors import EstimationError, InputError, listed
from wwc_research.estimators.drawn_imputations import imputed_average, imputed_leads

Floats = npt.NDArray[np.float64]
Integers = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True, kw_only=True)
class Lottery:
    """The estimate beside the estimates of drawn placebo cohorts.

    Attributes
    ----------
    estimate, p_value, std_error
        The estimator's simple average; the share of draws at least as far from zero (two-sided, with the real
        assignment counted as one draw); the root mean square of draws from the outcomes less the estimate.
    placebo_mean
        Mean of those draws: what units of the same strata differ by without the effect. It is part of `std_error`.
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
    placebo_mean: float
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


def draw_lots(
    sample: Sample,
    *,
    generator: np.random.Generator,
    draws: int,
    n_leads: int,
    estimator: Headline = "imputation",
) -> Lottery:
    """The estimator's simple average and its leads under cohorts drawn by lot over the same units.

    Cohort sizes and years are kept; which units make them up is drawn without replacement, within groups of the
    sample's column `stratum` where it has one (leads and drift: over all units, so that a trend that goes with the
    strata is seen). Valid where units of a group are exchangeable had there been no effect
    (Fisher 1935; for difference-in-differences with few treated units Conley and Taber 2011). Leads are those of the
    estimator; the drift is that of the group-time averages against the last period before exposure.

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
    estimator
        `imputation` or `callaway_santanna`.

    Raises
    ------
    InputError
        For another estimator.
    EstimationError
        Where no cohort has a period before and after exposure.
    """
    if estimator not in get_args(Headline):
        raise InputError(f"no lots can be drawn for {estimator!r}; allowed: {listed(get_args(Headline))}")
    outcomes, cohorts, times, units = _wide(sample)
    real = np.concatenate([np.flatnonzero(cohorts == cohort) for cohort in _values(cohorts)])[None, :]
    lots = _lots(real[0], strata=_strata(sample, units), generator=generator, draws=draws)
    cells = _GroupTime.of(sample, outcomes=outcomes, cohorts=cohorts, times=times, n_leads=n_leads)
    if not cells.after:
        raise EstimationError("no cohort has a period before and after exposure, so nothing can be drawn by lot")
    judged: _GroupTime | _Imputed = cells
    if estimator == "imputation":
        judged = _Imputed(
            outcomes=outcomes,
            times=times,
            cohorts=cohorts[real[0]],
            anticipation=sample.anticipation,
            n_leads=n_leads,
        )
    estimate = float(judged.averages(real)[0])
    placebo = judged.averages(lots)
    placebo = placebo[np.isfinite(placebo)]
    if not placebo.size:
        raise EstimationError("no assignment drawn by lot has an estimate; widen the window or the strata")
    # spread and mean are those of the outcomes less the estimate: exposed units are among those drawn, and their
    # effect is not what units without exposure differ by
    spread = judged.less(estimate, real).averages(lots)
    spread = spread[np.isfinite(spread)]
    # leads are judged among all units: within strata a trend that goes with size would be everybody's, and unseen
    anyone = _lots(real[0], strata=np.zeros(len(units), dtype=np.int64), generator=generator, draws=draws)
    tested, drawn, seen = judged.lead_terms(anyone, real)
    return Lottery(
        estimate=estimate,
        p_value=float((1 + (np.abs(placebo) >= abs(estimate) * (1 - 1e-12)).sum()) / (1 + len(placebo))),
        std_error=float(np.sqrt(np.mean(spread**2))),
        placebo_mean=float(spread.mean()),
        leads=tested,
        lead_p_value=_joint_p_value(drawn, seen),
        drift_p_value=cells.drift_p_value(anyone, real, base=-1 - sample.anticipation),
        draws=len(placebo),
        without_one={units[unit]: judged.without(place, real) for place, unit in enumerate(real[0])},
    )


def _strata(sample: Sample, units: list[str]) -> Integers:
    """Number of each unit's group; all of one group where the sample has none."""
    if "stratum" not in sample.frame:
        return np.zeros(len(units), dtype=np.int64)
    named = sample.frame.groupby("unit")["stratum"].first().reindex(units)
    return pd.factorize(named)[0].astype(np.int64)


def _lots(real: Integers, *, strata: Integers, generator: np.random.Generator, draws: int) -> Integers:
    """Units drawn for every place of `real`, each from the group of the unit that really holds it; (draws, places)."""
    lots = np.empty((draws, len(real)), dtype=np.int64)
    for stratum in np.unique(strata[real]):
        members, places = np.flatnonzero(strata == stratum), np.flatnonzero(strata[real] == stratum)
        lots[:, places] = generator.permuted(np.tile(members, (draws, 1)), axis=1)[:, : len(places)]
    return lots


@dataclass(frozen=True, slots=True, kw_only=True)
class _Imputed:
    """Average and leads of the imputation estimator; `cohorts` has one entry an exposed unit."""

    outcomes: Floats
    times: Integers
    cohorts: Floats
    anticipation: int
    n_leads: int

    def averages(self, lots: Integers) -> Floats:
        return imputed_average(
            self.outcomes, times=self.times, drawn=lots, cohorts=self.cohorts, anticipation=self.anticipation
        )

    def lead_terms(self, lots: Integers, real: Integers) -> tuple[tuple[int, ...], Floats, Floats]:
        """Event times, and the terms of the draws and of the real assignment; as many leads as can be told apart."""
        for leads in range(self.n_leads, 0, -1):
            seen = self._leads(real, leads=leads)
            found = np.isfinite(seen[0])
            if found.any():
                drawn = self._leads(lots, leads=leads)
                at = -1 - self.anticipation - np.flatnonzero(found)
                return tuple(int(time) for time in at[::-1]), drawn[:, found][:, ::-1], seen[:, found][:, ::-1]
        return (), np.zeros((len(lots), 0)), np.zeros((1, 0))

    def _leads(self, lots: Integers, *, leads: int) -> Floats:
        return imputed_leads(
            self.outcomes,
            times=self.times,
            drawn=lots,
            cohorts=self.cohorts,
            leads=leads,
            anticipation=self.anticipation,
        )

    def less(self, effect: float, real: Integers) -> _Imputed:
        """The same with an effect taken from the outcomes of the really exposed."""
        exposed = _exposed_cells(self.outcomes.shape, real, times=self.times, cohorts=self.cohorts)
        return replace(self, outcomes=self.outcomes - effect * exposed)

    def without(self, place: int, real: Integers) -> float:
        """The real estimate with one exposed unit hidden."""
        hidden = self.outcomes.copy()
        hidden[real[0, place]] = np.nan
        return float(replace(self, outcomes=hidden).averages(real)[0])


@dataclass(frozen=True, slots=True, kw_only=True)
class _GroupTime:
    """Average and leads of the group-time effects, each against the last period before exposure.

    `after` and `leads` are the cells of real event times after and before exposure, `near` the leads tested jointly,
    `sizes` the units of each cohort; `cohorts` has one entry an exposed unit.
    """

    outcomes: Floats
    after: list[_Cell]
    leads: list[_Cell]
    near: list[_Cell]
    sizes: list[int]
    times: Integers
    cohorts: Floats

    @classmethod
    def of(cls, sample: Sample, *, outcomes: Floats, cohorts: Floats, times: Integers, n_leads: int) -> _GroupTime:
        after, leads = _cells(sample, cohorts=_values(cohorts), times=times)
        near = [cell for cell in leads if cell.event_time >= -1 - sample.anticipation - n_leads]
        sizes = [int((cohorts == cohort).sum()) for cohort in _values(cohorts)]
        return cls(
            outcomes=outcomes,
            after=after,
            leads=leads,
            near=near,
            sizes=sizes,
            times=times,
            cohorts=np.repeat(_values(cohorts), sizes),
        )

    def averages(self, lots: Integers) -> Floats:
        return _averages(self.outcomes, lots, self.after, sizes=self.sizes)

    def less(self, effect: float, real: Integers) -> _GroupTime:
        """The same with an effect taken from the outcomes of the really exposed."""
        exposed = _exposed_cells(self.outcomes.shape, real, times=self.times, cohorts=self.cohorts)
        return replace(self, outcomes=self.outcomes - effect * exposed)

    def lead_terms(self, lots: Integers, real: Integers) -> tuple[tuple[int, ...], Floats, Floats]:
        """Event times, and the terms of the draws and of the real assignment, shape (draws or 1, leads)."""
        return self._terms(self.near, lots, real)

    def _terms(self, cells: list[_Cell], lots: Integers, real: Integers) -> tuple[tuple[int, ...], Floats, Floats]:
        times = tuple(sorted({cell.event_time for cell in cells}))
        by_time = [[cell for cell in cells if cell.event_time == time] for time in times]
        drawn, seen = (
            np.column_stack(
                [np.zeros((len(rows), 0))]
                + [_averages(self.outcomes, rows, same, sizes=self.sizes) for same in by_time]
            )
            for rows in (lots, real)
        )
        return times, drawn, seen

    def drift_p_value(self, lots: Integers, real: Integers, *, base: int) -> float:
        """Two-sided p-value by lot of the slope of all leads on event time, the base period at zero among them."""
        times, drawn, seen = self._terms(self.leads, lots, real)
        if len(times) < 2:
            return math.nan
        places = np.array([*times, base], dtype=float)
        slope = (places - places.mean())[:-1] / ((places - places.mean()) ** 2).sum()
        slopes, drift = drawn @ slope, abs(float((seen @ slope)[0]))
        slopes = slopes[np.isfinite(slopes)]
        if not math.isfinite(drift):
            return math.nan
        return float((1 + (np.abs(slopes) >= drift * (1 - 1e-12)).sum()) / (1 + len(slopes)))

    def without(self, place: int, real: Integers) -> float:
        """The real estimate with one exposed unit hidden; NaN where its cohort was it alone."""
        owner = np.repeat(np.arange(len(self.sizes)), self.sizes)
        hidden = self.outcomes.copy()
        hidden[real[0, place]] = np.nan
        fewer = [size - (number == owner[place]) for number, size in enumerate(self.sizes)]
        cells = [cell for cell in self.after if fewer[cell.cohort] > 0]
        if not cells:
            return math.nan
        return float(_averages(hidden, np.delete(real[0], place)[None, :], cells, sizes=fewer)[0])


def _exposed_cells(shape: tuple[int, ...], real: Integers, *, times: Integers, cohorts: Floats) -> Floats:
    """1 where a unit is really exposed, else 0; shape (units, times)."""
    exposed = np.zeros(shape)
    exposed[real[0]] = times[None, :] >= cohorts[:, None]
    return exposed


def _joint_p_value(drawn: Floats, seen: Floats) -> float:
    """P-value by lot of all terms together: quadratic form in the covariance of the draws, shape (draws, terms)."""
    drawn = drawn[np.isfinite(drawn).all(axis=1)]
    if drawn.shape[1] == 0 or len(drawn) < 2 or not np.isfinite(seen).all():
        return math.nan
    precision = np.linalg.pinv(np.atleast_2d(np.cov(drawn, rowvar=False)))
    centre = drawn.mean(axis=0)
    statistics = np.einsum("ij,jk,ik->i", drawn - centre, precision, drawn - centre)
    statistic = float(np.einsum("ij,jk,ik->i", seen - centre, precision, seen - centre)[0])
    return float((1 + (statistics >= statistic * (1 - 1e-12)).sum()) / (1 + len(statistics)))


def _values(cohorts: Floats) -> Floats:
    return np.unique(cohorts[np.isfinite(cohorts)])


def _wide(sample: Sample) -> tuple[Floats, Floats, Integers, list[str]]:
    """Outcome by unit and time (NaN where not observed), cohort by unit (infinity = never), times, unit names."""
    frame = sample.frame
    table = frame.pivot_table(index="unit", columns="time", values="outcome")
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
