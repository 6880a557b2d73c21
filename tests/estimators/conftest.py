"""Panels that the tests of this folder share: the two study files, and small planted worlds."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

FIGURES = Path(__file__).parents[1] / "figures"


@pytest.fixture(scope="session")
def mpdta() -> pd.DataFrame:
    wide = pd.read_csv(FIGURES / "mpdta.csv")
    long = pd.wide_to_long(wide, "log_employment", i="county", j="time", sep="_").reset_index()
    return pd.DataFrame(
        {
            "unit": long["county"].astype(str),
            "time": long["time"].astype(int),
            "outcome": long["log_employment"],
            "cohort": long["first_treat"].where(long["first_treat"] > 0).astype(float),
            "cluster": long["county"].astype(str),
            "weight": 1.0,
            "log_population": long["log_population"],
        }
    ).sort_values(["unit", "time"], ignore_index=True)


@pytest.fixture(scope="session")
def grunfeld() -> pd.DataFrame:
    return pd.read_csv(FIGURES / "grunfeld.csv")


@pytest.fixture(scope="session")
def staggered() -> pd.DataFrame:
    """90 units in 30 clusters, 2016-19 and 2021-22, cohorts 2018, 2020 and 2022, noise, one covariate."""
    return world(seed=5, noise=1.0)


def effect_at(event_time: np.ndarray) -> np.ndarray:
    """The effect planted: 1 in the year of exposure, half more in each later year."""
    return np.where(event_time >= 0, 1 + 0.5 * np.maximum(event_time, 0), 0.0)


def world(*, seed: int, noise: float, times: tuple[int, ...] = (2016, 2017, 2018, 2019, 2021, 2022)) -> pd.DataFrame:
    """A staggered panel whose effects are `effect_at`, plus unit and time effects and noise."""
    generator = np.random.default_rng(seed)
    units, years = np.arange(90), np.array(times)
    cohort = np.select([units % 6 == 0, units % 6 == 1, units % 6 == 2], [2018.0, 2020.0, 2022.0], np.nan)
    unit, time = np.repeat(units, len(years)), np.tile(years, len(units))
    event_time = time - np.nan_to_num(cohort[unit], nan=9999.0)
    level = generator.normal(size=len(units)) * 3
    outcome = level[unit] + 0.3 * (time - 2016) ** 1.5 + effect_at(event_time)
    outcome = outcome + noise * (
        generator.normal(size=len(unit)) + generator.normal(size=30)[unit // 3] * (time - 2016) / 8
    )
    return pd.DataFrame(
        {
            "unit": [f"u{number:03d}" for number in unit],
            "time": time,
            "outcome": outcome,
            "cohort": cohort[unit],
            "cluster": [f"c{number // 3:02d}" for number in unit],
            "weight": 1.0,
            "size": generator.normal(size=len(units))[unit]
            + 0.3 * (unit % 6 < 3)
            + 0.2 * generator.normal(size=len(unit)),
        }
    )
