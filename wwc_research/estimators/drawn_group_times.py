"""The average of group-time effects under many assignments at once: what inference by lot needs.

In: one outcome matrix and drawn units. Out: one number a draw. No estimator: `callaway_santanna` gives errors too.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from wwc_research.design.sample import Comparison
from wwc_research.estimators.drawn_equations import DrawnPanel, drawn_panel, member_sums
from wwc_research.estimators.linear import Codes, Floats

_CHUNK = 2_000  # draws at a time


@dataclass(frozen=True, slots=True, kw_only=True)
class _Cell:
    """Number of the exposed cohort and of the change, and numbers of the cohorts barred from the comparison."""

    cohort: int
    change: int
    barred: tuple[int, ...]


def group_time_averages(
    outcomes: Floats,
    *,
    times: Codes,
    drawn: Codes,
    cohorts: Floats,
    comparison: Comparison = "not_yet",
    anticipation: int = 0,
    weights: Floats | None = None,
) -> Floats:
    """The Callaway and Sant'Anna estimate (aggregation `simple`) for each drawn assignment, shape (draws,).

    Equal to `callaway_santanna.estimate` without covariates on the sample so relabelled: each cohort at each time
    after exposure against the last period before it (less the anticipation), by units observed in both, averaged by
    cohort size; a cell without exposed or comparison units is left out. Drawn units without a row before exposure
    count for nothing. NaN where no cell is left.

    Parameters
    ----------
    outcomes
        Shape (units, times), NaN where not observed.
    times
        Calendar time of each column, increasing.
    drawn
        Rows of `outcomes` that are exposed, shape (draws, treated); all other units are never exposed.
    cohorts
        First exposed time of each column of `drawn`, shape (treated,).
    comparison
        `never`, or `not_yet`: also units exposed later than the time of the cell plus the anticipation.
    anticipation
        Periods before exposure in which the outcome may already respond.
    weights
        Shape of `outcomes`: a change has the weight of its earlier period, cohort sizes that of a unit's first row.

    Raises
    ------
    InputError
        Where the shapes do not fit together.
    """
    panel = drawn_panel(outcomes, times=times, drawn=drawn, cohorts=cohorts, anticipation=anticipation, weights=weights)
    distinct = np.unique(cohorts)
    pairs, cells = _cells(panel, distinct, comparison=comparison)
    if not cells:
        return np.full(len(drawn), np.nan)
    table = _changes(panel, pairs)
    everyone = table.sum(axis=0)
    first = panel.weight[np.arange(len(outcomes)), np.argmax(panel.observed, axis=1)]
    tables = [np.column_stack([table, first * panel.clean(cohort).any(axis=1)]) for cohort in distinct]
    result = np.full(len(drawn), np.nan)
    for start in range(0, len(drawn), _CHUNK):
        chunk = drawn[start : start + _CHUNK]
        sums = np.stack(
            [member_sums(tables[k], chunk[:, cohorts == cohort]) for k, cohort in enumerate(distinct)], axis=1
        )
        result[start : start + _CHUNK] = _average(sums, everyone, cells)
    return result


def _cells(panel: DrawnPanel, distinct: Floats, *, comparison: Comparison) -> tuple[list[tuple[int, int]], list[_Cell]]:
    """Pairs of columns whose change is needed, and the cells after exposure."""
    pairs: dict[tuple[int, int], int] = {}
    found = []
    for number, cohort in enumerate(distinct):
        base = int(np.searchsorted(panel.times, cohort - panel.anticipation)) - 1
        if base < 0:
            continue
        for now in np.flatnonzero(panel.times >= cohort):
            reach = panel.times[now] + panel.anticipation
            barred = [k for k, other in enumerate(distinct) if comparison == "never" or other <= reach]
            barred = sorted({*barred, number})
            change = pairs.setdefault((int(now), base), len(pairs))
            found.append(_Cell(cohort=number, change=change, barred=tuple(barred)))
    return list(pairs), found


def _changes(panel: DrawnPanel, pairs: list[tuple[int, int]]) -> Floats:
    """Weighted change and weight of each unit for each pair of periods, shape (units, 2 x pairs)."""
    columns: list[Floats] = []
    for now, base in pairs:
        weight = np.where(panel.observed[:, now], panel.weight[:, base], 0.0)
        columns += [weight * (panel.outcome[:, now] - panel.outcome[:, base]), weight]
    return np.column_stack(columns)


def _average(sums: Floats, everyone: Floats, cells: list[_Cell]) -> Floats:
    """Mean of the cells by cohort size; `sums` has shape (draws, cohorts, 2 x pairs + 1), sizes last."""

    def effects() -> Iterator[tuple[Floats, Floats]]:
        for cell in cells:
            own, rest = 2 * cell.change, everyone - sums[:, list(cell.barred), :-1].sum(axis=1)
            treated, compared = sums[:, cell.cohort, own + 1], rest[:, own + 1]
            # sums less sums: what is left of nobody's weight is rounding
            usable = (treated > 0) & (compared > 1e-12 * everyone[own + 1])
            with np.errstate(invalid="ignore", divide="ignore"):
                effect = sums[:, cell.cohort, own] / treated - rest[:, own] / compared
            yield np.where(usable, effect, 0.0), np.where(usable, sums[:, cell.cohort, -1], 0.0)

    summed, total = np.zeros(len(sums)), np.zeros(len(sums))
    for effect, size in effects():
        summed += size * effect
        total += size
    return np.divide(summed, total, out=np.full(len(sums), np.nan), where=total > 0)
