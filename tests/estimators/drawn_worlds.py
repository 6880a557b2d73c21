"""Panels with holes, weights and traits, and assignments drawn over them, for the modules that take many at once."""

from __future__ import annotations

import numpy as np
import pandas as pd

from wwc_research.design.sample import Sample

COHORTS = np.repeat([2013.0, 2015.0, 2016.0], [2, 4, 3])
TIMES = np.array([2010, 2011, 2012, 2013, 2015, 2016, 2017, 2018])


def panel(*, holes: float, seed: int = 4) -> tuple[np.ndarray, np.ndarray]:
    """40 units, 2010-18 without 2014; with holes some units are seen once or not at all before exposure."""
    generator = np.random.default_rng(seed)
    outcomes = 5 + generator.normal(size=(40, 1)) + generator.normal(size=8) + generator.normal(size=(40, 8))
    outcomes[generator.random((40, 8)) < holes] = np.nan
    if holes:
        outcomes[0, 2:] = np.nan
        outcomes[1, :5] = np.nan
        outcomes[:2, [0, -1]] = 5.5
        outcomes[1, 0] = np.nan
        outcomes[1, -2] = 4.5
    return outcomes, TIMES


def unit_weights(*, by_time: bool, seed: int = 5) -> np.ndarray:
    generator = np.random.default_rng(seed)
    return generator.uniform(0.2, 3.0, size=(40, 1)) * (generator.uniform(0.5, 1.5, size=(40, 8)) if by_time else 1)


def traits(seed: int = 6) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=(40, 2))


def draws(n: int, *, n_units: int = 40, seed: int = 9) -> np.ndarray:
    order = np.tile(np.arange(n_units), (n, 1))
    return np.random.default_rng(seed).permuted(order, axis=1)[:, : len(COHORTS)]


def relabelled(
    outcomes: np.ndarray,
    drawn: np.ndarray,
    *,
    cohorts: np.ndarray = COHORTS,
    weights: np.ndarray | None = None,
    covariates: np.ndarray | None = None,
    **fields,
) -> Sample:
    """The sample in which the drawn units have the cohorts; covariates by an indicator of each time but the first."""
    cohort = np.full(len(outcomes), np.nan)
    cohort[drawn] = cohorts
    unit, column = np.nonzero(np.isfinite(outcomes))
    names = np.char.zfill(unit.astype(str), 3)
    frame = pd.DataFrame(
        {
            "unit": names,
            "time": TIMES[column],
            "outcome": outcomes[unit, column],
            "cohort": cohort[unit],
            "cluster": names,
            "weight": 1.0 if weights is None else (weights * np.ones(outcomes.shape))[unit, column],
        }
    )
    by_time = {
        f"{number} at {TIMES[at]}": values[unit] * (column == at)
        for number, values in enumerate([] if covariates is None else covariates.T)
        for at in range(1, len(TIMES))
    }
    return Sample(frame=frame.assign(**by_time), covariates=tuple(by_time), **fields)
