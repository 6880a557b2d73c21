"""Coded rows as a unit-by-time matrix without gaps: waves that most units have, units that have every wave.

In: `Rows`. Out: `WidePanel`, what was left out counted. No estimator.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from wwc_research.errors import EstimationError
from wwc_research.estimators.linear import Codes, Floats
from wwc_research.estimators.rows import Rows
from wwc_research.messages import message


@dataclass(frozen=True, slots=True, kw_only=True)
class WidePanel:
    """Complete units by waves.

    Attributes
    ----------
    outcome
        Shape (units, waves).
    times
        Calendar time of each wave, ascending; gaps between waves are allowed.
    cohort
        First exposed time of each unit; infinity = never.
    cluster
        Code of each unit.
    rows
        The rows kept, sorted by unit and time, with what was left out in `exclusions`.
    """

    outcome: Floats
    times: Codes
    cohort: Floats
    cluster: Codes
    rows: Rows


def wide_panel(rows: Rows) -> WidePanel:
    """The rows as a matrix: waves first, then complete units.

    A time counts as a wave where at least half of the units have a row at it; rows at other times are left out. Then
    units without a row at every wave are left out, since weights over donors need every donor at every wave. Both are
    counted. A year that nobody has, such as the missing 2020 of yearly survey figures, is no wave and costs nothing.

    Raises
    ------
    EstimationError
        Where no unit has every wave.
    """
    period = rows.period
    share = np.bincount(period) / rows.n_units
    rows = rows.without(
        (share < 0.5)[period], reason=message("at a time that fewer than half of the units have: no wave")
    )
    n_waves = len(np.unique(rows.time))
    incomplete = np.bincount(rows.unit) < n_waves if rows.unit.size else np.zeros(0, dtype=bool)
    rows = rows.without(
        rows.of_units(incomplete), reason=message("not observed in all {n_waves} waves", n_waves=n_waves)
    )
    if not rows.unit.size:
        raise EstimationError(
            message(
                "sample: no unit is observed in all {n_waves} waves; narrow the window to years that most units have.",
                n_waves=n_waves,
            )
        )
    first = np.flatnonzero(np.diff(rows.unit, prepend=-1))
    return WidePanel(
        outcome=rows.outcome.reshape(-1, n_waves),
        times=rows.time[:n_waves].copy(),
        cohort=rows.cohort[first],
        cluster=rows.cluster[first],
        rows=rows,
    )
