"""Placebo draws of one estimator: what it finds among units that were never exposed, in pieces of work.

In: a Sample, a work unit, a seed. Out: chunks of plain values, the same however the work is cut.
"""

from __future__ import annotations

import dataclasses
import math
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any, Final

import numpy as np

from wwc_research.catalog import CalibrationRule
from wwc_research.design.sample import Sample
from wwc_research.errors import EstimationError, InputError
from wwc_research.evidence import planned_estimators
from wwc_research.evidence.placebo_pool import PlaceboPool

ERROR_DRAWS: Final = 50  # behind a standard error that takes draws of its own; a page takes more
PLANTED_EVERY: Final = 10  # of the draws, one in so many is run again with effects laid over it


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkUnit:
    """A piece of the work: draws `first` to `first + draws - 1` of one estimator."""

    estimator: str
    first: int
    draws: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Planted:
    """Estimates of one draw with effects laid over it; None where there was none."""

    draw: int
    constant: float | None
    constant_std_error: float | None
    growing: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Chunk:
    """What one estimator found in some placebo draws, as plain values.

    Attributes
    ----------
    unit, seed, effect
        Which draws, their seed, and the mean effect that was laid over one draw in `PLANTED_EVERY`.
    estimates, std_errors, df
        One a draw, without any effect; None where there is none (for `df`: infinitely many).
    planted
        The draws that were run again with effects.
    moved, apart
        Of each draw: places filled from another size stratum, and units that could not be kept in one county.
    drawn
        How often each unit of the pool was drawn.
    n_exposed
        Placebo units in each draw.
    failures
        Reasons why draws have no estimate, and how many.
    """

    unit: WorkUnit
    seed: int
    effect: float
    estimates: tuple[float | None, ...]
    std_errors: tuple[float | None, ...]
    df: tuple[float | None, ...]
    planted: tuple[Planted, ...]
    moved: tuple[int, ...]
    apart: tuple[int, ...]
    drawn: tuple[int, ...]
    n_exposed: int
    failures: Mapping[str, int]

    def as_dict(self) -> dict[str, Any]:
        """Plain values for JSON; `from_dict` reads them back, bit for bit."""
        return dataclasses.asdict(self)

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Chunk:
        """The chunk that `as_dict` gave, also after a way through JSON."""
        rows = ("estimates", "std_errors", "df", "moved", "apart", "drawn")
        return cls(
            **{
                **values,
                "unit": WorkUnit(**values["unit"]),
                "planted": tuple(Planted(**item) for item in values["planted"]),
                **{name: tuple(values[name]) for name in rows},
            }
        )


def calibration_units(rule: CalibrationRule, *, chunk: int = 50) -> list[WorkUnit]:
    """The whole work of the rule in pieces of at most `chunk` draws, the slow estimators first."""
    if chunk < 1:
        raise InputError(f"chunk = {chunk}; a piece of work is at least one draw")
    slow = [(name, rule.slow_draws) for name in rule.slow_estimators]
    return [
        WorkUnit(estimator=name, first=first, draws=min(chunk, draws - first))
        for name, draws in (*slow, *((name, rule.draws) for name in rule.estimators))
        for first in range(0, draws, chunk)
    ]


def run_chunk(sample: Sample, *, unit: WorkUnit, seed: int, effect: float, aggregation: str = "simple") -> Chunk:
    """What the estimator of `unit` finds in its placebo draws.

    Draw number d takes its lots from `SeedSequence([seed, d])`: every estimator sees the same placebo units, and any
    cutting into pieces gives the same numbers. One draw in `PLANTED_EVERY` is run again with a constant effect laid
    over it and with one that grows, both of mean `effect` over exposed rows (none where `effect` is 0).

    Parameters
    ----------
    sample
        The user's own; its really exposed units are taken out.
    effect
        In the unit of the outcome.
    aggregation
        How effects by cohort and time are averaged, as in the headline.

    Raises
    ------
    EstimationError
        Where the comparison pool is too small; an estimator that fails on a draw is counted, not raised.
    """
    pool = PlaceboPool.of(sample, coded=True)
    failures: Counter[str] = Counter()
    drawn = np.zeros(len(pool.stratum), dtype=np.int64)
    found, planted, moved, apart = [], [], [], []
    for number in range(unit.first, unit.first + unit.draws):
        sequence = np.random.SeedSequence([seed, number])
        draw = pool.draw(np.random.default_rng(sequence))
        moved.append(draw.moved)
        apart.append(draw.apart)
        drawn[draw.units] += 1
        cohort = pool.cohort_of_rows(draw)
        # the estimator's own lots must not be those of the draw
        own = int(sequence.generate_state(2)[1])
        result = partial(_found, unit.estimator, aggregation=aggregation, seed=own, failures=failures)
        found.append(result(pool.world(cohort)))
        if effect and number % PLANTED_EVERY == 0 and found[-1][0] is not None:
            constant, growing = (result(pool.world(cohort, effect=laid)) for laid in pool.effects(cohort, size=effect))
            planted.append(
                Planted(draw=number, constant=constant[0], constant_std_error=constant[1], growing=growing[0])
            )
    estimates, std_errors, df = zip(*found, strict=True)
    return Chunk(
        unit=unit,
        seed=seed,
        effect=effect,
        estimates=estimates,
        std_errors=std_errors,
        df=df,
        planted=tuple(planted),
        moved=tuple(moved),
        apart=tuple(apart),
        drawn=tuple(int(count) for count in drawn),
        n_exposed=len(pool.cohorts),
        failures=dict(failures),
    )


def _found(
    name: str, sample: Sample, *, aggregation: str, seed: int, failures: Counter[str]
) -> tuple[float | None, float | None, float | None]:
    """Estimate, standard error and degrees of freedom (None = infinite); a failure is counted with its reason."""
    try:
        result = planned_estimators.run(name, sample, aggregation=aggregation, seed=seed, error_draws=ERROR_DRAWS)
    except EstimationError as error:
        failures[str(error)] += 1
        return None, None, None
    values = (result.estimate, result.std_error, result.df)
    estimate, std_error, df = (float(value) if math.isfinite(value) else None for value in values)
    if estimate is not None and (std_error is None or std_error <= 0):
        failures["no standard error"] += 1
    return estimate, std_error, df
