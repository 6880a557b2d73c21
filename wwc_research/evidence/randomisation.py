"""Inference by lot: what the estimate and the leads would look like had chance drawn the exposed units.

In: a Sample and a seed. Out: the placebo distribution of the estimate, its leads and its event study.
Draw d of two samples is the same lot: a unit's luck depends on seed, stream, draw and its name alone.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field, replace
from hashlib import blake2b
from itertools import pairwise
from pathlib import Path
from typing import get_args

import numpy as np
import numpy.typing as npt
import pandas as pd
from scipy import sparse

from wwc_research.atomic import written_whole
from wwc_research.catalog import Headline
from wwc_research.design.sample import Sample
from wwc_research.errors import EstimationError, Faults, InputError, listed
from wwc_research.estimators.drawn_imputations import imputed_average, imputed_leads
from wwc_research.messages import message

Floats = npt.NDArray[np.float64]
Integers = npt.NDArray[np.int64]


_FEWEST_UNITS = 2  # an event time that rests on one unit says nothing about the others


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
    null_draws
        The draws behind `p_value` over `std_error`, in the order drawn, NaN where a draw has no estimate; shape
        (draws asked for,). Entry d of two samples of one seed and stream belongs to the same lot, so the columns of
        several outcomes are the joint null draws of their `estimate / std_error` for `multiplicity.romano_wolf`,
        whose p-value of one outcome alone is `p_value`.
    event_times, event_estimates
        Years since exposure, and the group-time averages of the real assignment against the last period before
        exposure (which is left out); shape (k,). Only times at which two exposed units or more are seen, and at most
        `event_leads` leads, the nearest.
    event_covariance
        Mean products, about zero as in `std_error`, of the same averages over the lots (within strata) of outcomes
        less the estimated path: from every really exposed unit the average of its event time is taken, lead or lag.
        About zero and not about their mean, so that what strata differ by widens it. Shape (k, k), NaN where fewer
        draws than k + 1 have all of them.
    event_weights
        Share of each lag in the estimator's simple average, of those shown; 0 for leads; sums to 1. Shape (k,).
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
    null_draws: Floats = field(compare=False, repr=False)
    event_times: tuple[int, ...]
    event_estimates: Floats = field(compare=False, repr=False)
    event_covariance: Floats = field(compare=False, repr=False)
    event_weights: Floats = field(compare=False, repr=False)


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
    seed: int,
    stream: str,
    draws: int,
    n_leads: int,
    estimator: Headline = "imputation",
    event_leads: int = 5,
    leave_one_out: bool = True,
) -> Lottery:
    """The estimator's simple average and its leads under cohorts drawn by lot over the same units.

    Cohort sizes and years are kept; which units make them up is drawn without replacement, within groups of the
    sample's column `stratum` where it has one (leads and drift: over all units, so that a trend that goes with the
    strata is seen). Valid where units of a group are exchangeable had there been no effect
    (Fisher 1935; for difference-in-differences with few treated units Conley and Taber 2011). Leads are those of the
    estimator; the drift is that of the group-time averages against the last period before exposure.

    In draw d each unit has a uniform number of its own, and the smallest of a stratum are exposed. The most populous
    unit of a cluster takes the number of its cluster: a county among counties and its main city among cities share
    their luck, and outcomes measured for either are drawn together. Lesser cities of a county have luck of their
    own; what they would add to the dependence is not carried, which makes a correction for many outcomes larger.

    Parameters
    ----------
    sample
        Without covariates and with equal weights, as the plan's designs are.
    seed, stream
        The only source of randomness. Samples of one treatment share a stream (its name), so that draw d is the same
        lot in all of them; other streams are independent.
    draws
        Number of assignments; the first of more draws are the same.
    n_leads
        Leads tested jointly at most, the nearest first; the drift is taken over all.
    estimator
        `imputation` or `callaway_santanna`.
    event_leads
        Leads of the event study at most, the nearest first.
    leave_one_out
        Whether `without_one` is wanted; it takes about half of the time, and is empty otherwise.

    Raises
    ------
    InputError
        For another estimator.
    EstimationError
        Where no cohort has a period before and after exposure, or no draw an estimate.
    """
    if estimator not in get_args(Headline):
        raise InputError(f"no lots can be drawn for {estimator!r}; allowed: {listed(get_args(Headline))}")
    outcomes, cohorts, times, units = _wide(sample)
    real = np.concatenate([np.flatnonzero(cohorts == cohort) for cohort in _values(cohorts)])[None, :]
    cells = _GroupTime.of(sample, outcomes=outcomes, cohorts=cohorts, times=times, n_leads=n_leads)
    if not cells.after:
        raise EstimationError(
            message("no cohort has a period before and after exposure, so nothing can be drawn by lot")
        )
    judged: _GroupTime | _Imputed = cells
    if estimator == "imputation":
        judged = _Imputed(
            outcomes=outcomes,
            times=times,
            cohorts=cohorts[real[0]],
            anticipation=sample.anticipation,
            n_leads=n_leads,
        )
    luck = _luck(_named_by_cluster(sample, units), seed=seed, stream=stream, draws=draws)
    lots = _lots(real[0], strata=_strata(sample, units), luck=luck)
    # leads are judged among all units: within strata a trend that goes with size would be everybody's, and unseen
    anyone = _lots(real[0], strata=np.zeros(len(units), dtype=np.int64), luck=luck)
    estimate = float(judged.averages(real)[0])
    by_lot = judged.averages(lots)
    placebo = by_lot[np.isfinite(by_lot)]
    if not placebo.size:
        raise EstimationError(message("no assignment drawn by lot has an estimate; widen the window or the strata"))
    # spread and mean are those of the outcomes less the estimate: exposed units are among those drawn, and their
    # effect is not what units without exposure differ by
    spread = judged.less(estimate, real).averages(lots)
    std_error = float(np.sqrt(np.nanmean(spread**2)))
    tested, drawn, seen = judged.lead_terms(anyone, real)
    event_times, event_estimates, event_covariance = cells.event_study(lots, real, leads=event_leads)
    return Lottery(
        estimate=estimate,
        p_value=float((1 + (np.abs(placebo) >= abs(estimate) * (1 - 1e-12)).sum()) / (1 + len(placebo))),
        std_error=std_error,
        placebo_mean=float(np.nanmean(spread)),
        leads=tested,
        lead_p_value=_joint_p_value(drawn, seen),
        drift_p_value=cells.drift_p_value(anyone, real, base=-1 - sample.anticipation),
        draws=len(placebo),
        without_one={units[unit]: judged.without(place, real) for place, unit in enumerate(real[0]) if leave_one_out},
        null_draws=by_lot / std_error if std_error > 0 else np.full(draws, np.nan),
        event_times=event_times,
        event_estimates=event_estimates,
        event_covariance=event_covariance,
        event_weights=_event_weights(event_times, judged.lag_counts(real)),
    )


def write_draws(path: Path, draws: Floats) -> None:
    """Write `Lottery.null_draws` to `path` as a NumPy file, whole or not at all."""
    with written_whole(path) as beside, beside.open("wb") as file:
        np.save(file, draws, allow_pickle=False)


def read_draws(path: Path) -> Floats:
    """The `null_draws` that `write_draws` wrote, shape (draws,).

    Raises
    ------
    InputError
        Where the file is missing or holds something else.
    """
    faults = Faults(where=str(path))
    found = np.empty(0)
    try:
        found = np.load(path, allow_pickle=False)
    except (OSError, ValueError, EOFError) as error:
        faults.add(f"cannot be read as draws ({error}); assemble the evidence again.")
    else:
        if not isinstance(found, np.ndarray) or found.ndim != 1 or found.dtype != np.float64:
            faults.add("holds no single row of numbers; assemble the evidence again.")
    faults.raise_if_any()
    return found


def _named_by_cluster(sample: Sample, units: list[str]) -> list[str]:
    """Each unit's name for its luck: that of its cluster for the most populous unit of the cluster, else its own."""
    table = sample.frame.groupby("unit")["cluster"].first().reindex(units).to_frame()
    people = sample.frame.groupby("unit")["people"].median() if "people" in sample.frame else pd.Series(dtype=float)
    table["people"] = people.reindex(units).fillna(0.0)
    first = ~table.sort_values("people", ascending=False, kind="stable").duplicated("cluster")
    is_main = first.reindex(units)
    return [
        f"cluster {cluster}" if main else f"unit {unit}"
        for unit, cluster, main in zip(units, table["cluster"], is_main, strict=True)
    ]


def _luck(names: list[str], *, seed: int, stream: str, draws: int) -> Floats:
    """A uniform number for every name and draw, from nothing but seed, stream and name; shape (names, draws)."""
    luck = np.empty((len(names), draws))
    for row, name in zip(luck, names, strict=True):
        # length-prefixed, so that no two pairs of stream and name run together
        digest = blake2b(f"{len(stream)} {stream} {name}".encode(), digest_size=16).digest()
        np.random.default_rng([seed, int.from_bytes(digest, "big")]).random(out=row)
    return luck


def _strata(sample: Sample, units: list[str]) -> Integers:
    """Number of each unit's group; all of one group where the sample has none."""
    if "stratum" not in sample.frame:
        return np.zeros(len(units), dtype=np.int64)
    named = sample.frame.groupby("unit")["stratum"].first().reindex(units)
    return pd.factorize(named)[0].astype(np.int64)


def _lots(real: Integers, *, strata: Integers, luck: Floats) -> Integers:
    """Units drawn for every place of `real`, each from the group of the unit that really holds it; (draws, places).

    The places of a group go to the units of the smallest luck, in its order: every assignment is equally likely.
    """
    lots = np.empty((luck.shape[1], len(real)), dtype=np.int64)
    for stratum in np.unique(strata[real]):
        members, places = np.flatnonzero(strata == stratum), np.flatnonzero(strata[real] == stratum)
        own = np.ascontiguousarray(luck[members].T)
        drawn = np.argpartition(own, len(places) - 1, axis=1)[:, : len(places)]
        in_order = np.take_along_axis(drawn, np.take_along_axis(own, drawn, axis=1).argsort(axis=1), axis=1)
        lots[:, places] = members[in_order]
    return lots


def _event_weights(event_times: tuple[int, ...], counts: dict[int, float]) -> Floats:
    """Share of each event time in `counts` among those given, 0 where it has none."""
    held = np.array([counts.get(time, 0.0) for time in event_times])
    return held / held.sum() if held.sum() > 0 else held


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

    def lag_counts(self, real: Integers) -> dict[int, float]:
        """Exposed unit-times in the simple average, by event time."""
        observed = np.isfinite(self.outcomes[real[0]])
        event_time = self.times[None, :] - self.cohorts[:, None]
        fitted = (observed & (event_time < -self.anticipation)).any(axis=1)[:, None]
        times, counts = np.unique(event_time[observed & (event_time >= 0) & fitted], return_counts=True)
        return {int(time): float(count) for time, count in zip(times, counts, strict=True)}

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
        return _averages(self._values(self.after, lots), self.after, sizes=self.sizes)

    def _values(self, cells: list[_Cell], lots: Integers) -> Floats:
        return _contrasts(self.outcomes, lots, cells, sizes=self.sizes)

    def less(self, effect: float, real: Integers) -> _GroupTime:
        """The same with an effect taken from the outcomes of the really exposed."""
        exposed = _exposed_cells(self.outcomes.shape, real, times=self.times, cohorts=self.cohorts)
        return replace(self, outcomes=self.outcomes - effect * exposed)

    def lead_terms(self, lots: Integers, real: Integers) -> tuple[tuple[int, ...], Floats, Floats]:
        """Event times, and the terms of the draws and of the real assignment, shape (draws or 1, leads)."""
        return self._terms(self.near, lots, real)

    def _terms(self, cells: list[_Cell], lots: Integers, real: Integers) -> tuple[tuple[int, ...], Floats, Floats]:
        times = tuple(sorted({cell.event_time for cell in cells}))
        return times, self._by_time(cells, lots, times=times), self._by_time(cells, real, times=times)

    def _by_time(self, cells: list[_Cell], lots: Integers, *, times: tuple[int, ...]) -> Floats:
        """Averages by event time, shape (draws, times)."""
        values, found = self._values(cells, lots), np.empty((len(lots), len(times)))
        for column, time in enumerate(times):
            same = [number for number, cell in enumerate(cells) if cell.event_time == time]
            found[:, column] = _averages(values[:, same], [cells[number] for number in same], sizes=self.sizes)
        return found

    def event_study(self, lots: Integers, real: Integers, *, leads: int) -> tuple[tuple[int, ...], Floats, Floats]:
        """Event times, the averages of the real assignment, and their covariance by lot; see `Lottery`."""
        cells = [*self.leads, *self.after]
        every = tuple(sorted({cell.event_time for cell in cells}))
        path = dict(zip(every, self._by_time(cells, real, times=every)[0], strict=True))
        counts = self._contributing(cells, real)
        before = [time for time in every if time < 0][-leads:] if leads else []
        shown = tuple(
            time
            for time in every
            if math.isfinite(path[time]) and counts[time] >= _FEWEST_UNITS and (time >= 0 or time in before)
        )
        lowered = self.outcomes.copy()
        for cell in cells:
            if math.isfinite(path[cell.event_time]):
                lowered[self._members(cell, real), cell.now] -= path[cell.event_time]
        chosen = [cell for cell in cells if cell.event_time in shown]
        drawn = replace(self, outcomes=lowered)._by_time(chosen, lots, times=shown)
        drawn = drawn[np.isfinite(drawn).all(axis=1)]
        covariance = np.full((len(shown), len(shown)), np.nan)
        if len(drawn) > len(shown):
            covariance = drawn.T @ drawn / len(drawn)
        return shown, np.array([path[time] for time in shown]), covariance

    def _members(self, cell: _Cell, real: Integers) -> Integers:
        start = sum(self.sizes[: cell.cohort])
        return real[0, start : start + self.sizes[cell.cohort]]

    def _contributing(self, cells: list[_Cell], real: Integers) -> dict[int, int]:
        """Really exposed units seen at each event time and at its base."""
        counts: dict[int, int] = {}
        for cell in cells:
            rows = self.outcomes[self._members(cell, real)]
            seen = int(np.isfinite(rows[:, cell.now] - rows[:, cell.base]).sum())
            counts[cell.event_time] = counts.get(cell.event_time, 0) + seen
        return counts

    def lag_counts(self, real: Integers) -> dict[int, float]:
        """Weight of each event time in the simple average: exposed units of the cohorts that have it."""
        counts: dict[int, float] = {}
        for cell, value in zip(self.after, self._values(self.after, real)[0], strict=True):
            if math.isfinite(value):
                counts[cell.event_time] = counts.get(cell.event_time, 0.0) + self.sizes[cell.cohort]
        return counts

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
        values = _contrasts(hidden, np.delete(real[0], place)[None, :], cells, sizes=fewer)
        return float(_averages(values, cells, sizes=fewer)[0])


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


def _contrasts(outcomes: Floats, lots: Integers, cells: list[_Cell], *, sizes: list[int]) -> Floats:
    """Mean change of each cell's drawn cohort less that of its drawn comparison, shape (draws, cells)."""
    found = np.empty((len(lots), len(cells)))
    starts = np.concatenate([[0], np.cumsum(sizes)])
    drawn = [_indicator(lots[:, a:b], n_units=len(outcomes)) for a, b in pairwise(starts)]
    for base in sorted({cell.base for cell in cells}):
        own = [number for number, cell in enumerate(cells) if cell.base == base]
        change = outcomes[:, [cells[number].now for number in own]] - outcomes[:, [base]]
        seen = np.isfinite(change)
        table = np.concatenate([np.where(seen, change, 0.0), seen], axis=1)
        needed = sorted({k for number in own for k in (cells[number].cohort, *cells[number].barred)})
        sums = {k: drawn[k] @ table for k in needed}
        everyone = table.sum(axis=0)
        for column, number in enumerate(own):
            cell, both = cells[number], [column, column + len(own)]
            treated = sums[cell.cohort][:, both]
            rest = everyone[both] - treated - sum(sums[k][:, both] for k in cell.barred)
            found[:, number] = _mean(treated) - _mean(rest)
    return found


def _indicator(rows: Integers, *, n_units: int) -> sparse.csr_array:
    """1 for the units of each row, shape (draws, units)."""
    starts = np.arange(0, rows.size + 1, max(rows.shape[1], 1))[: len(rows) + 1]
    if not rows.shape[1]:
        starts = np.zeros(len(rows) + 1, dtype=np.int64)
    return sparse.csr_array((np.ones(rows.size), rows.ravel(), starts), shape=(len(rows), n_units))


def _mean(sums_and_counts: Floats) -> Floats:
    """Sum over count by row, NaN where nothing was counted; shape (draws, 2) to (draws,)."""
    total, count = sums_and_counts.T
    # half a unit: counts are whole numbers
    return np.divide(total, count, out=np.full(len(total), np.nan), where=count > 0.5)


def _averages(values: Floats, cells: list[_Cell], *, sizes: list[int]) -> Floats:
    """Average of the cells by cohort size, leaving out cells that a draw leaves empty."""
    weights = np.where(np.isfinite(values), [sizes[cell.cohort] for cell in cells], 0.0)
    total = weights.sum(axis=1)
    summed = (weights * np.nan_to_num(values)).sum(axis=1)
    return np.divide(summed, total, out=np.full(len(values), np.nan), where=total > 0)
