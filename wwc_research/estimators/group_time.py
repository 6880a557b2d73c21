"""The effect on every cohort at every time by two-by-two comparisons, with the influence of each observation.

In: `Rows`. Out: frozen `GroupTimeEffects`. No estimator: averages and inference are the estimator's.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np

from wwc_research.design.sample import Exclusion, Sample
from wwc_research.errors import EstimationError, InputError, listed
from wwc_research.estimators.absorption import Codes, Floats, group_sums, levels
from wwc_research.estimators.cross_section_contrast import cross_section_contrast
from wwc_research.estimators.rows import Mask, Rows, coded_rows
from wwc_research.estimators.two_by_two import Adjustment, Comparison, Contrast, Undefined, comparison
from wwc_research.messages import message

BasePeriod = Literal["varying", "universal"]
PanelKind = Literal["yes", "repeated_cross_sections"]
_MEMBERS_AT_ONCE = 16_384  # bounds the memory of cross products


@dataclass(frozen=True, slots=True, kw_only=True)
class Members:
    """Who the influence functions are of: units of a panel by their code, or rows of cross-sections by time.

    Attributes
    ----------
    cohort, cluster, share_weight
        Shape (members,); cohort sizes are counted in `share_weight`, for a unit that of its first row.
    cohorts
        The distinct cohorts, sorted, infinity for the never exposed.
    cohort_code
        Position of each member's cohort in `cohorts`.
    shares
        Sum of `share_weight` in each of `cohorts` over the number of members.
    """

    cohort: Floats
    cluster: Codes
    share_weight: Floats
    cohorts: Floats
    cohort_code: Codes
    shares: Floats

    def cluster_sums(self, influence: Floats) -> Floats:
        """Column sums by cluster; the columns themselves where everybody is a cluster."""
        n_clusters = levels(self.cluster)
        if n_clusters == len(self.cluster):
            return influence
        return group_sums(influence, groups=self.cluster, n_groups=n_clusters)


@dataclass(frozen=True, slots=True, kw_only=True)
class GroupTimeEffects:
    """Effects by cohort and time, one entry a cell, and the influence of each member on each.

    Attributes
    ----------
    cohort, time, base, effect, n_treated, n_comparison
        Shape (cells,); the counts are of units observed in both periods, with cross-sections the smaller of
        the two periods' counts.
    influence
        Shape (members, cells): the covariance is the cross product of cluster sums over members squared.
    members
        Whom they are of.
    scale
        Largest absolute outcome, against which rounding is told from noise.
    is_used, is_contributing
        Shape (rows,): whether the unit or row is in any cell; whether it is an exposed one of a cell after exposure.
    skipped
        Cells that have no effect, by cohort and reason.
    """

    cohort: Floats
    time: Codes
    base: Codes
    effect: Floats
    n_treated: Codes
    n_comparison: Codes
    influence: Floats
    members: Members
    scale: float
    is_used: Mask
    is_contributing: Mask
    skipped: tuple[Exclusion, ...]

    @property
    def event_time(self) -> Floats:
        """Time since exposure, in calendar units."""
        return self.time - self.cohort

    def covariance(self, influence: Floats, columns: Codes) -> Floats:
        """Covariance of the estimates whose influence functions these columns are, shape (columns, columns)."""
        product = np.zeros((len(columns), len(columns)))
        n_clusters = levels(self.members.cluster)
        if n_clusters < len(influence):
            sums = self.members.cluster_sums(influence[:, columns])
            return np.asarray(sums.T @ sums / len(influence) ** 2)
        for start in range(0, len(influence), _MEMBERS_AT_ONCE):
            part = influence[start : start + _MEMBERS_AT_ONCE][:, columns]
            product += part.T @ part
        return product / len(influence) ** 2

    def std_errors(self, influence: Floats) -> Floats:
        """Standard errors, NaN where the outcome leaves no noise to speak of."""
        sums = self.members.cluster_sums(influence)
        lengths = np.array(
            [np.einsum("i,i->", column, column) for column in sums.T]
        )  # each alone: no error depends on its neighbours
        return self.with_noise(np.sqrt(lengths) / len(influence))

    def with_noise(self, std_errors: Floats) -> Floats:
        """The standard errors, NaN for those that are but rounding."""
        return np.where(std_errors > 1e-12 * self.scale, std_errors, np.nan)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Cell:
    """A cohort at a time against a base, in calendar units and as positions among the times."""

    cohort: float
    time: int
    base_time: int
    now: int
    base: int


@dataclass(frozen=True, slots=True, kw_only=True)
class _Compared:
    """What came of a cell: who is in it, how many, and the contrast with influence in the order of `members`."""

    cell: _Cell
    members: Codes
    n_treated: int
    n_comparison: int
    result: Contrast | Undefined


def group_time_effects(
    rows: Rows,
    *,
    adjustment: Adjustment = "dr",
    base_period: BasePeriod = "varying",
    panel: PanelKind = "yes",
) -> GroupTimeEffects:
    """The effect on every cohort at every time that has one, with influence functions.

    Parameters
    ----------
    rows
        From `read_rows`; for repeated cross-sections from `cross_section_rows`.

    Raises
    ------
    EstimationError
        Where no cell after exposure has an effect.
    InputError
        Where a unit of a panel changes its cluster.
    """
    times = np.unique(rows.time)
    cells = list(_cells(rows, times, base_period=base_period))
    if panel == "yes":
        members, compared = _panel(rows, cells, times, adjustment=adjustment)
        member_of_row = rows.unit
    else:
        members, compared, member_of_row = _cross_sections(rows, cells, adjustment=adjustment)
    n = len(members.cohort)
    used, contributing = np.zeros(n, dtype=bool), np.zeros(n, dtype=bool)
    influence = np.zeros((n, len(cells)), order="F")  # pages that no cell touches take no memory
    found: list[tuple[float, int, int, float, int, int]] = []
    skipped: dict[tuple[float, str], list[int]] = {}
    for entry in compared:
        cell, result = entry.cell, entry.result
        if isinstance(result, Undefined):
            skipped.setdefault((cell.cohort, result.reason), []).append(cell.time)
            continue
        if result.influence.size:
            used[entry.members] = True
            influence[entry.members, len(found)] = result.influence * (n / len(entry.members))
        if cell.time >= cell.cohort:
            contributing[entry.members] |= members.cohort[entry.members] == cell.cohort
        counts = entry.n_treated, entry.n_comparison
        found.append((cell.cohort, cell.time, cell.base_time, result.effect, *counts))
    exclusions = tuple(_skipped(rows, skipped))
    _refuse_nothing_after_exposure(found, exclusions)
    cohort_, time_, base_, effect_, treated_, compared_ = (np.array(column) for column in zip(*found, strict=True))
    return GroupTimeEffects(
        cohort=cohort_,
        time=time_,
        base=base_,
        effect=effect_,
        n_treated=treated_,
        n_comparison=compared_,
        influence=influence[:, : len(found)],
        members=members,
        scale=float(np.abs(rows.outcome).max()),
        is_used=used[member_of_row],
        is_contributing=contributing[member_of_row],
        skipped=exclusions,
    )


def cross_section_rows(sample: Sample) -> Rows:
    """The sample as arrays for repeated cross-sections, less cohorts that cannot be used, each loss counted.

    Left out: cohorts without a period before exposure less the anticipation, and under `comparison = "never"`
    cohorts first exposed after the last period.

    Raises
    ------
    InputError
        For a frame that is not a sample: all faults at once.
    EstimationError
        Where no effect can be estimated: one period, nobody exposed, nobody to compare with.
    """
    rows = coded_rows(sample)
    first, last = int(rows.time.min()), int(rows.time.max())
    if first == last:
        raise EstimationError(
            message("sample: it has one period; an effect needs a before and an after. Widen the window.")
        )
    reason = message("exposed in or before the first period observed: no past")
    if rows.anticipation:
        reason = message(
            "exposed less {anticipation} of anticipation in or before the first period observed: no past",
            anticipation=rows.anticipation,
        )
    rows = rows.without(
        rows.cohort - rows.anticipation <= first,
        reason=reason,
    )
    if rows.comparison == "never":
        late = np.isfinite(rows.cohort) & (rows.cohort > last)
        rows = rows.without(
            late, reason=message("first exposed after the last period, and only the never exposed are compared")
        )
    if not rows.is_exposed.any():
        raise EstimationError(
            message("sample: no cohort is seen both before and after its exposure. Widen the window.")
        )
    if rows.comparison == "never" and np.isfinite(rows.cohort).all():
        raise EstimationError(
            message(
                "sample: everybody is exposed and comparison = never; take comparison = not_yet, or add places "
                "that were never exposed."
            )
        )
    return rows


def _cells(rows: Rows, times: Codes, *, base_period: BasePeriod) -> Iterator[_Cell]:
    """Every cohort and time that has a base, cohort by cohort."""
    for cohort in np.unique(rows.cohort[rows.cohort <= times[-1]]):
        long_base = int(np.searchsorted(times, cohort - rows.anticipation)) - 1
        for now in range(len(times)):
            is_clean = times[now] < cohort - rows.anticipation
            base = now - 1 if is_clean and base_period == "varying" else long_base
            if base >= 0:
                yield _Cell(cohort=float(cohort), time=int(times[now]), base_time=int(times[base]), now=now, base=base)


def _members(cohort: Floats, cluster: Codes, share_weight: Floats) -> Members:
    cohorts, code = np.unique(cohort, return_inverse=True)
    return Members(
        cohort=cohort,
        cluster=cluster,
        share_weight=share_weight,
        cohorts=cohorts,
        cohort_code=code,
        shares=np.bincount(code, weights=share_weight) / len(cohort),
    )


def _is_compared(cohort: Floats, cell: _Cell, rows: Rows) -> Mask:
    """Whether members of that cohort may be compared with the cell's: never or not yet exposed."""
    if rows.comparison == "never":
        return np.isinf(cohort)
    not_yet = cohort > max(cell.time, cell.base_time) + rows.anticipation
    return np.asarray(not_yet & (cohort != cell.cohort), dtype=bool)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Table:
    """A panel with one row a time and one column a unit.

    `outcome` is NaN where a unit is not observed; `covariates` has shape (times, covariates, units).
    """

    outcome: Floats
    weight: Floats
    covariates: Floats
    is_balanced: bool
    is_constant: bool

    def who(self, candidates: Codes, cell: _Cell) -> Codes:
        """Those observed in both periods of the cell."""
        if self.is_balanced:
            return candidates
        seen = np.isfinite(self.outcome[cell.now, candidates]) & np.isfinite(self.outcome[cell.base, candidates])
        return candidates[seen]


def _panel(
    rows: Rows, cells: list[_Cell], times: Codes, *, adjustment: Adjustment
) -> tuple[Members, Iterator[_Compared]]:
    """The units, and their comparisons: changes within units."""
    first = np.flatnonzero(np.diff(rows.unit, prepend=-1))
    cluster = rows.cluster[first]
    moved = np.unique(rows.unit[rows.cluster != cluster[rows.unit]])
    if moved.size:
        raise InputError(
            f"sample: {moved.size} units change their cluster over time; callaway_santanna needs each unit in one "
            "cluster: cluster at a level that contains whole units."
        )
    members = _members(rows.cohort[first], cluster, rows.weight[first])
    return members, _panel_comparisons(_table(rows, len(times)), members, cells, rows=rows, adjustment=adjustment)


def _table(rows: Rows, n_times: int) -> _Table:
    n, period = rows.n_units, rows.period
    is_balanced = len(rows.outcome) == n * n_times

    def wide(values: Floats, *, fill: float) -> Floats:
        if is_balanced:
            return np.ascontiguousarray(values.reshape(n, n_times).T)
        table = np.full((n_times, n), fill)
        table[period, rows.unit] = values
        return table

    covariates = np.zeros((n_times, rows.covariates.shape[1], n))
    for position, column in enumerate(rows.covariates.T):
        covariates[:, position] = wide(column, fill=0.0)
    weight = wide(rows.weight, fill=1.0)
    is_constant = is_balanced and bool((weight == weight[0]).all() and (covariates == covariates[0]).all())
    return _Table(
        outcome=wide(rows.outcome, fill=np.nan),
        weight=weight,
        covariates=covariates,
        is_balanced=is_balanced,
        is_constant=is_constant,
    )


def _panel_comparisons(
    table: _Table, members: Members, cells: list[_Cell], *, rows: Rows, adjustment: Adjustment
) -> Iterator[_Compared]:
    """Each cell's contrast; groups that serve several cells running are made ready once."""
    ready_for: tuple[object, ...] = ()
    who, n_treated = np.zeros(0, dtype=np.int64), 0
    ready: Comparison | Undefined = _nobody("exposed")
    for cell in cells:
        pool = _is_compared(members.cohorts, cell, rows)
        earlier = min(cell.now, cell.base)
        asked = (cell.cohort, pool.tobytes(), 0 if table.is_constant else earlier)
        if not table.is_balanced or asked != ready_for:
            treated = table.who(np.flatnonzero(members.cohort == cell.cohort), cell)
            compared = table.who(np.flatnonzero(pool[members.cohort_code]), cell)
            who, n_treated = np.sort(np.concatenate([treated, compared])), len(treated)
            ready = _ready(table, members, cell, who, n_treated=n_treated, adjustment=adjustment)
            ready_for = asked
        result: Contrast | Undefined
        if cell.now == cell.base:
            result = Contrast(effect=0.0, influence=np.zeros(0))
        elif isinstance(ready, Undefined):
            result = ready
        else:
            result = ready.contrast(table.outcome[cell.now].take(who) - table.outcome[cell.base].take(who))
        yield _Compared(cell=cell, members=who, n_treated=n_treated, n_comparison=len(who) - n_treated, result=result)


def _nobody(kind: str) -> Undefined:
    if kind == "exposed":
        return Undefined(reason=message("no exposed unit observed in both periods"))
    return Undefined(reason=message("no comparison unit observed in both periods"))


def _ready(
    table: _Table, members: Members, cell: _Cell, who: Codes, *, n_treated: int, adjustment: Adjustment
) -> Comparison | Undefined:
    if not n_treated:
        return _nobody("exposed")
    if n_treated == len(who):
        return _nobody("comparison")
    earlier = min(cell.now, cell.base)
    return comparison(
        exposed=(members.cohort[who] == cell.cohort).astype(float),
        weight=table.weight[earlier].take(who),
        covariates=table.covariates[earlier].take(who, axis=1),
        adjustment=adjustment,
    )


def _cross_sections(
    rows: Rows, cells: list[_Cell], *, adjustment: Adjustment
) -> tuple[Members, Iterator[_Compared], Codes]:
    """The rows by time, their comparisons, and where among them each row is."""
    order = np.argsort(rows.time, kind="stable")
    place = np.empty_like(order)
    place[order] = np.arange(len(order))
    by_time = replace(
        rows,
        unit=rows.unit[order],
        time=rows.time[order],
        cohort=rows.cohort[order],
        cluster=rows.cluster[order],
        outcome=rows.outcome[order],
        weight=rows.weight[order],
        covariates=rows.covariates[order],
        optional={},
    )
    members = _members(by_time.cohort, by_time.cluster, by_time.weight)
    return members, _cross_section_comparisons(by_time, members, cells, adjustment=adjustment), place


def _cross_section_comparisons(
    rows: Rows, members: Members, cells: list[_Cell], *, adjustment: Adjustment
) -> Iterator[_Compared]:
    for cell in cells:
        pool = _is_compared(members.cohorts, cell, rows)
        chosen = pool | (members.cohorts == cell.cohort)
        spans = [slice(*np.searchsorted(rows.time, [at, at + 1])) for at in sorted({cell.time, cell.base_time})]
        who = np.concatenate([span.start + np.flatnonzero(chosen[members.cohort_code[span]]) for span in spans])
        exposed = (rows.cohort[who] == cell.cohort).astype(float)
        after = (rows.time[who] == cell.time).astype(float)
        counts = {
            kind: min(int((group & (rows.time[who] == at)).sum()) for at in (cell.time, cell.base_time))
            for kind, group in (("exposed", exposed == 1), ("comparison", exposed == 0))
        }
        result: Contrast | Undefined
        if cell.now == cell.base:
            result = Contrast(effect=0.0, influence=np.zeros(0))
        elif not min(counts.values()):
            result = Undefined(
                reason=message("no comparison unit in one of the two periods")
                if counts["exposed"]
                else message("no exposed unit in one of the two periods")
            )
        else:
            result = cross_section_contrast(
                rows.outcome[who],
                exposed=exposed,
                after=after,
                weight=rows.weight[who],
                covariates=np.ascontiguousarray(rows.covariates[who].T),
                adjustment=adjustment,
            )
        yield _Compared(
            cell=cell, members=who, n_treated=counts["exposed"], n_comparison=counts["comparison"], result=result
        )


def _skipped(rows: Rows, skipped: dict[tuple[float, str], list[int]]) -> Iterator[Exclusion]:
    for (cohort, reason), times in skipped.items():
        lost = (rows.cohort == cohort) & np.isin(rows.time, times)
        yield Exclusion(
            reason=message(
                "cohort {cohort:.0f} at {times}: {reason}", cohort=cohort, times=listed(times, limit=30), reason=reason
            ),
            rows=int(lost.sum()),
            units=int(np.unique(rows.unit[lost]).size),
        )


def _refuse_nothing_after_exposure(
    found: list[tuple[float, int, int, float, int, int]], exclusions: tuple[Exclusion, ...]
) -> None:
    if not any(time >= cohort for cohort, time, *_ in found):
        reasons = [exclusion.reason for exclusion in exclusions] or [message("no period after exposure")]
        raise EstimationError(
            message(
                "callaway_santanna: no cohort has an effect after exposure ({reasons:semicolons}). Add places to "
                "compare with, take comparison = not_yet, use fewer covariates, or widen the window.",
                reasons=reasons,
            )
        )
