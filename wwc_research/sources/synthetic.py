"""Planted-truth worlds: panels of invented units whose true effects are known, to test estimators on.

Every row says that it is simulated. Randomness comes only from the generator that is passed.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, get_args

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from wwc_research.atomic import write_text
from wwc_research.errors import Faults, listed

Shape = Literal["none", "constant", "growing"]


@dataclass(frozen=True, slots=True, kw_only=True)
class World:
    """A simulated panel and the truth that was planted in it.

    Attributes
    ----------
    frame
        One row a unit and time: `unit`, `time`, `cohort` (NaN = never), `county`, `outcome` (as a survey
        would show it), `true_outcome`, `outcome_without_treatment`, `true_effect`, `std_error` (of the
        survey) and `is_simulated` (always true).
    truth
        One row a cohort and time from exposure on: `cohort`, `time`, `event_time`, `effect`, `n_units`.
    simple_att
        Mean of the true effects over all exposed units and times: the target of the `simple` aggregation.
    description
        The world in one sentence.
    """

    frame: pd.DataFrame
    truth: pd.DataFrame
    simple_att: float
    description: str

    def event_time_truth(self, event_time: int) -> float:
        """Mean true effect over the units seen at that distance from exposure."""
        at = self.truth.loc[self.truth["event_time"] == event_time]
        return float(np.average(at["effect"], weights=at["n_units"]))


def planted_effect(cohort: int, event_time: int, *, first_cohort: int, size: float, shape: Shape) -> float:
    """True effect on one cohort at one distance from exposure.

    `constant`: `size` for everybody, always. `growing`: `size` at exposure for the earliest cohort, a quarter
    less per cohort year (never below a quarter of it), and the same again with every year of exposure.
    """
    if shape == "none" or event_time < 0:
        return 0.0
    if shape == "constant":
        return size
    start = size * max(1 - 0.25 * (cohort - first_cohort), 0.25)
    return start * (1 + event_time)


def staggered_world(
    *,
    generator: np.random.Generator,
    n_units: int = 400,
    times: Sequence[int] = tuple(range(2012, 2025)),
    cohorts: Mapping[int, int] | None = None,
    effect: Shape = "growing",
    effect_size: float = 1.0,
    n_counties: int = 100,
    unit_spread: float = 5.0,
    county_shock: float = 0.5,
    persistence: float = 0.4,
    noise: float = 1.0,
    survey_std_error: float = 0.5,
    selection: float = 0.0,
) -> World:
    """A panel of units that adopt in several years, with parallel trends by construction.

    The outcome without treatment is a unit effect, a common trend, county-year shocks and AR(1) noise; the
    treated outcome adds `planted_effect`; the survey adds an error of known size.

    Parameters
    ----------
    generator
        The only source of randomness.
    n_units
        Units, each with one row a time.
    times
        Consecutive periods.
    cohorts
        First exposed period and number of units; by default the sizes of the programme's early cohorts,
        9, 18, 12 and 16 in 2018-2021. The other units are never exposed.
    effect, effect_size
        How the effect behaves, and its size in units of the outcome; see `planted_effect`.
    n_counties
        Groups that share shocks; units are dealt to them at random.
    unit_spread, county_shock, noise
        Standard deviations of unit effects, county-year shocks and the AR(1) innovation.
    persistence
        AR(1) coefficient of the noise, from -1 to 1.
    survey_std_error
        Median standard error of the survey; units differ by a factor that is log-normal.
    selection
        How much higher, in units of the outcome, treated units are at the outset. Levels do not break
        parallel trends.

    Raises
    ------
    InputError
        For options that make no world.
    """
    cohorts = dict(cohorts or {2018: 9, 2019: 18, 2020: 12, 2021: 16})
    _refuse_unusable(n_units, times, cohorts, effect, persistence)
    periods = np.array(times)
    cohort_of_unit = np.full(n_units, np.nan)
    drawn = generator.permutation(n_units)[: sum(cohorts.values())]
    cohort_of_unit[drawn] = np.repeat(list(cohorts), list(cohorts.values()))
    county = generator.integers(n_counties, size=n_units)

    base = generator.normal(0, unit_spread, n_units) + selection * np.isfinite(cohort_of_unit)
    trend = 0.2 * (periods - periods[0]) + generator.normal(0, 0.3, len(periods))
    shocks = generator.normal(0, county_shock, (n_counties, len(periods)))[county]
    untreated = base[:, None] + trend + shocks + _autoregressive(generator, n_units, len(periods), persistence, noise)
    first = min(cohorts)
    effects = np.zeros((n_units, len(periods)))
    for start in cohorts:
        path = [
            planted_effect(start, int(time) - start, first_cohort=first, size=effect_size, shape=effect)
            for time in periods
        ]
        effects[cohort_of_unit == start] = path
    survey = survey_std_error * np.exp(generator.normal(0, 0.5, n_units))
    std_error = np.repeat(survey[:, None], len(periods), axis=1)
    seen = untreated + effects + generator.normal(0, 1, effects.shape) * std_error

    frame = pd.DataFrame(
        {
            "unit": np.repeat([f"sim-{number:04d}" for number in range(n_units)], len(periods)),
            "time": np.tile(periods, n_units),
            "cohort": np.repeat(cohort_of_unit, len(periods)),
            "county": np.repeat([f"simcounty-{number:03d}" for number in county], len(periods)),
            "outcome": seen.ravel(),
            "true_outcome": (untreated + effects).ravel(),
            "outcome_without_treatment": untreated.ravel(),
            "true_effect": effects.ravel(),
            "std_error": std_error.ravel(),
            "is_simulated": True,
        }
    )
    truth = _truth(frame)
    total = float(np.average(truth["effect"], weights=truth["n_units"]))
    sizes = listed((f"{count} in {start}" for start, count in sorted(cohorts.items())), limit=8)
    description = (
        f"Simulated: {n_units} units over {periods[0]}-{periods[-1]}, first exposed {sizes}, "
        f"effect {effect}; true simple effect on the treated {total:.3f}."
    )
    return World(frame=frame, truth=truth, simple_att=total, description=description)


def own_files(
    places: pd.DataFrame,
    *,
    folder: Path,
    effect: float,
    generator: np.random.Generator,
    n_places: int = 300,
    n_exposed: int = 40,
) -> tuple[Path, Path]:
    """An outcome file and a treatment file as a researcher would bring them, simulated, with a planted effect.

    The most populous places get figures from 2012 to 2022 that rise alike but for noise; `n_exposed` of them, drawn
    by lot, begin between 2015 and 2017 and lie `effect` higher from the first year that counts as exposed on.

    Parameters
    ----------
    places
        The panel's frame: place_id, population_count.
    folder
        Where the two files go.

    Returns
    -------
    tuple of Path
        Outcome file (place_id, year, value), treatment file (place_id, started_on).
    """
    people = places.groupby("place_id")["population_count"].max()
    ids = people.sort_values(ascending=False, kind="stable").index[:n_places].to_numpy()
    exposed = generator.choice(ids, n_exposed, replace=False)
    starts = dict(zip(exposed, generator.choice([2015, 2016, 2017], n_exposed), strict=True))
    years = np.arange(2012, 2023)
    levels = generator.normal(50.0, 5.0, n_places)
    noise = generator.normal(0.0, 1.0, (n_places, len(years)))
    began = np.array([starts.get(place, 9999) for place in ids])
    values = levels[:, None] + 0.3 * (years - years[0]) + noise + effect * (years >= began[:, None])
    figures = pd.DataFrame(
        {
            "place_id": np.repeat(ids, len(years)),
            "year": np.tile(years, n_places),
            "value": np.round(values.ravel(), 3),
        }
    )
    begun = pd.DataFrame({"place_id": list(starts), "started_on": [f"{year}-03-01" for year in starts.values()]})
    outcome_file, treatment_file = folder / "simulated_outcome.csv", folder / "simulated_treatment.csv"
    write_text(outcome_file, figures.to_csv(index=False))
    write_text(treatment_file, begun.to_csv(index=False))
    return outcome_file, treatment_file


def _autoregressive(
    generator: np.random.Generator, n_units: int, n_times: int, persistence: float, noise: float
) -> NDArray[np.float64]:
    """AR(1) paths from their stationary distribution, shape (units, times)."""
    paths = np.empty((n_units, n_times))
    paths[:, 0] = generator.normal(0, noise / np.sqrt(1 - persistence**2), n_units)
    for step in range(1, n_times):
        paths[:, step] = persistence * paths[:, step - 1] + generator.normal(0, noise, n_units)
    return paths


def _truth(frame: pd.DataFrame) -> pd.DataFrame:
    exposed = frame.loc[frame["time"] >= frame["cohort"]]
    cells = exposed.groupby(["cohort", "time"], as_index=False).agg(
        effect=("true_effect", "mean"), n_units=("unit", "size")
    )
    cells = cells.astype({"cohort": int, "time": int})
    return cells.assign(event_time=cells["time"] - cells["cohort"])[
        ["cohort", "time", "event_time", "effect", "n_units"]
    ]


def _refuse_unusable(
    n_units: int, times: Sequence[int], cohorts: Mapping[int, int], effect: str, persistence: float
) -> None:
    faults = Faults(where="simulated world")
    if effect not in get_args(Shape):
        faults.add(f"effect {effect!r} is unknown; use {listed(get_args(Shape))}.")
    if len(times) < 2 or list(times) != list(range(times[0], times[0] + len(times))):
        faults.add("times must be two or more consecutive periods.")
    if sum(cohorts.values()) > n_units:
        faults.add(f"cohorts hold {sum(cohorts.values())} units, the world only {n_units}; raise n_units.")
    if not -1 < persistence < 1:
        faults.add(f"persistence is {persistence}; it must lie between -1 and 1.")
    outside = [start for start in cohorts if len(times) and not times[0] < start <= times[-1]]
    if outside:
        faults.add(f"cohorts {listed(outside)} start outside the periods after {times[0]}.")
    faults.raise_if_any()
