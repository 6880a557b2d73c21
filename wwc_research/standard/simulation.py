"""Simulated assessments with a planted link from practice to an outcome, to test the whole way from answers to effect.

In: an edition and a generator. Out: a frozen `ScoreWorld`, all of whose cities are invented and say so.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from wwc_research.catalog.editions import Edition
from wwc_research.errors import Faults, listed
from wwc_research.standard.responses import MET, NOT_ASSESSED, NOT_MET, SIMULATED_PREFIX, Responses
from wwc_research.standard.scoring import Scores, score

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True, kw_only=True)
class SimulatedLink:
    """The numbers that were planted, in units of the outcome.

    Attributes
    ----------
    practice_effect
        Effect of the whole Standard met (a practice share of 1) against none of it.
    certification_effect
        Effect of having been certified at least once, beyond practice itself.
    wealth_effect
        Effect of one standard deviation of wealth (of city size and income together) on the level of the outcome.
    wealth_trend
        The same on its change a year: confounding that comparing a city with itself does not take away.
    confounding
        Correlation of wealth with the practice that a city starts with and with how fast it grows.
    certified_count
        Cities certified by the last year.
    """

    practice_effect: float
    certification_effect: float
    wealth_effect: float
    wealth_trend: float
    confounding: float
    certified_count: int


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class ScoreWorld:
    """Simulated cities, their assessments and their outcomes, with the truth that was planted.

    Attributes
    ----------
    responses
        Assessments of all cities in the years of assessment, in the type of real ones.
    outcomes
        One row a city and year: `place_id`, `year`, `outcome` (as a survey would show it), `outcome_std_error`,
        `is_simulated` (always true).
    practice
        One row a city and year, what no study can see between assessments: `place_id`, `year`, `practice_share` (0-1,
        points of the edition as if all criteria were assessed that year), `is_certified` (certified in this year or an
        earlier one), `is_simulated`.
    cities
        One row a city: `place_id`, `name` (`Simulated city 001`), `population`, `income_usd`, `wealth` (standardised),
        `cohort` (first year certified; NaN = never), `is_simulated`.
    truth
        The planted numbers.
    description
        The world in one sentence.
    """

    responses: Responses
    outcomes: pd.DataFrame
    practice: pd.DataFrame
    cities: pd.DataFrame
    truth: SimulatedLink
    description: str

    def __repr__(self) -> str:
        return f"<ScoreWorld: {self.description}>"


def score_world(
    edition: Edition,
    *,
    generator: np.random.Generator,
    n_cities: int = 300,
    years: Sequence[int] = tuple(range(2015, 2025)),
    assessed_in: Sequence[int] | None = None,
    practice_effect: float = 5.0,
    certification_effect: float = 0.0,
    confounding: float = 0.0,
    wealth_effect: float = 2.0,
    wealth_trend: float = 0.0,
    growth: float = 0.2,
    area_spread: float = 0.5,
    discrimination: float = 1.5,
    not_assessed_share: float = 0.0,
    city_spread: float = 3.0,
    noise: float = 1.0,
    survey_std_error: float = 0.5,
) -> ScoreWorld:
    """Simulated cities whose outcome follows the practice share, and perhaps certification, by planted amounts.

    A criterion is met by a two-parameter logistic item-response model: the chance is logistic(discrimination ×
    (quality + strength in its practice area - difficulty)), with standard normal difficulties, core criteria one
    standard deviation easier. Quality starts normal and never falls, and each city's luck with a criterion is drawn
    once, so what was met stays met. Points, shares and decisions are those of `score`, without an outcome requirement.
    The outcome is a city's own level, a common trend, wealth, the practice share of the year, certification and noise;
    the survey adds an error of known size.

    Parameters
    ----------
    edition
        Must give a share of points; to plant an effect of certification also levels.
    generator
        The only source of randomness.
    n_cities
        From 2 to 9999.
    years
        Consecutive years of outcomes.
    assessed_in
        Years in which every city is assessed; by default the second, the middle and the last.
    practice_effect, certification_effect, wealth_effect, wealth_trend, confounding
        What is planted; see `SimulatedLink`. Zeros plant no link. `confounding` lies from -1 to 1.
    growth
        Mean growth of quality a year, in standard deviations; cities differ.
    area_spread, discrimination
        Standard deviation of strengths by practice area; how sharply a criterion tells strong from weak cities.
    not_assessed_share
        Share of answers withheld at random. A share scored from the rest is too low, and a slope on it is off.
    city_spread, noise
        Standard deviations of the city's own level and of the noise of a year.
    survey_std_error
        Median standard error of the survey; cities differ by a factor that is log-normal.

    Raises
    ------
    InputError
        With every option that makes no world.

    References
    ----------
    Birnbaum (1968), in Lord and Novick, *Statistical Theories of Mental Test Scores*, chapter 17: the logistic model.
    """
    seen = _default_assessments(years) if assessed_in is None else tuple(assessed_in)
    _refuse_unusable(
        edition,
        n_cities=n_cities,
        years=years,
        assessed_in=seen,
        certification_effect=certification_effect,
        shares={"confounding": abs(confounding), "not_assessed_share": not_assessed_share},
        spreads={
            "growth": growth,
            "area_spread": area_spread,
            "discrimination": discrimination,
            "city_spread": city_spread,
            "noise": noise,
            "survey_std_error": survey_std_error,
        },
    )
    periods = np.array(years)
    cities = _cities(generator, n_cities)
    wealth = cities["wealth"].to_numpy()
    quality = _quality(generator, wealth, len(periods), growth=growth, confounding=confounding)
    met = _met(generator, quality, edition, area_spread=area_spread, discrimination=discrimination)
    answered = generator.random(met.shape) >= not_assessed_share
    whole = _scored(met, cities, years=periods, edition=edition)
    share = whole.share.reshape(n_cities, len(periods))
    first = _first_certified(whole.is_certified.reshape(share.shape), periods, assessed_in=seen)
    certified = periods >= np.where(np.isnan(first), np.inf, first)[:, None]
    since = periods - periods[0]
    level = generator.normal(0, city_spread, n_cities)[:, None] + 0.1 * since + generator.normal(0, 0.3, len(periods))
    wealthy = wealth[:, None] * (wealth_effect + wealth_trend * since)
    planted = practice_effect * share + certification_effect * certified
    survey = np.repeat((survey_std_error * np.exp(generator.normal(0, 0.3, n_cities)))[:, None], len(periods), axis=1)
    errors = generator.normal(0, 1, (2, *share.shape))
    outcome = level + wealthy + planted + noise * errors[0] + survey * errors[1]
    keys = pd.DataFrame({"place_id": np.repeat(cities["place_id"], len(periods)), "year": np.tile(periods, n_cities)})
    keys = keys.reset_index(drop=True)
    columns = [int(np.flatnonzero(periods == year)[0]) for year in seen]
    truth = SimulatedLink(
        practice_effect=practice_effect,
        certification_effect=certification_effect,
        wealth_effect=wealth_effect,
        wealth_trend=wealth_trend,
        confounding=confounding,
        certified_count=int(np.isfinite(first).sum()),
    )
    return ScoreWorld(
        responses=_assessments(met[:, columns], answered[:, columns], cities, years=seen, edition=edition),
        outcomes=keys.assign(outcome=outcome.ravel(), outcome_std_error=survey.ravel(), is_simulated=True),
        practice=keys.assign(practice_share=share.ravel(), is_certified=certified.ravel(), is_simulated=True),
        cities=cities.assign(cohort=first, is_simulated=True),
        truth=truth,
        description=(
            f"SIMULATED: {n_cities} invented cities, {periods[0]}-{periods[-1]}, assessed under {edition.name} in "
            f"{listed(seen, limit=20)}, {truth.certified_count} certified; planted effect {practice_effect:g} of the "
            f"whole Standard, {certification_effect:g} of certification, confounding {confounding:g}."
        ),
    )


def _default_assessments(years: Sequence[int]) -> tuple[int, ...]:
    if not len(years):
        return ()
    return tuple(sorted({years[min(1, len(years) - 1)], years[len(years) // 2], years[-1]}))


def _cities(generator: np.random.Generator, n: int) -> pd.DataFrame:
    """Ids, names, size, income and the two as one standardised wealth."""
    size, own = generator.normal(0, 1, (2, n))
    income = 0.3 * size + np.sqrt(1 - 0.3**2) * own
    numbers = np.arange(1, n + 1)
    return pd.DataFrame(
        {
            "place_id": [f"{SIMULATED_PREFIX}{number:04d}" for number in numbers],
            "name": [f"Simulated city {number:03d}" for number in numbers],
            "population": np.round(120_000 * np.exp(0.9 * size)).astype(int),
            "income_usd": np.round(60_000 * np.exp(0.25 * income)).astype(int),
            # var(size + income) = 2 + 2 × 0.3
            "wealth": (size + income) / np.sqrt(2.6),
        }
    )


def _quality(
    generator: np.random.Generator, wealth: Floats, n_years: int, *, growth: float, confounding: float
) -> Floats:
    """Latent quality, city × year: a normal start and a growth of gamma steps, both correlated with wealth."""
    start, pace = (
        confounding * wealth + np.sqrt(1 - confounding**2) * generator.normal(0, 1, len(wealth)) for _ in range(2)
    )
    # Log-normal with mean 1, so that quality never falls
    speed = growth * np.exp(0.6 * pace - 0.6**2 / 2)
    steps = generator.gamma(4.0, 0.25, (len(wealth), n_years)) * speed[:, None]
    steps[:, 0] = 0.0
    return start[:, None] - 0.5 + np.cumsum(steps, axis=1)


def _met(
    generator: np.random.Generator, quality: Floats, edition: Edition, *, area_spread: float, discrimination: float
) -> NDArray[np.bool_]:
    """Which criteria are met, city × year × criterion."""
    criteria = list(edition.criteria.values())
    # Criteria whose practice no source tells share the area ''
    areas = sorted({criterion.practice for criterion in criteria})
    area = [areas.index(criterion.practice) for criterion in criteria]
    strength = generator.normal(0, area_spread, (len(quality), len(areas)))[:, area]
    difficulty = generator.normal(0, 1, len(criteria)) - np.array([criterion.is_core for criterion in criteria])
    luck = generator.logistic(0, 1, (len(quality), len(criteria)))
    # logistic luck below the index is the same as a uniform draw below its logistic
    index = discrimination * (quality[:, :, None] + (strength - difficulty)[:, None, :])
    return np.asarray(luck[:, None, :] < index)


def _scored(met: NDArray[np.bool_], cities: pd.DataFrame, *, years: NDArray[np.int_], edition: Edition) -> Scores:
    everything = np.ones(met.shape, dtype=bool)
    return score(_assessments(met, everything, cities, years=years.tolist(), edition=edition), edition)


def _assessments(
    met: NDArray[np.bool_],
    answered: NDArray[np.bool_],
    cities: pd.DataFrame,
    *,
    years: Sequence[int],
    edition: Edition,
) -> Responses:
    """City × year × criterion as responses, one assessment a city and year."""
    values = np.where(answered, np.where(met, MET, NOT_MET), NOT_ASSESSED)
    return Responses(
        values.reshape(-1, len(edition.criteria)),
        place_ids=np.repeat(cities["place_id"], len(years)).tolist(),
        names=np.repeat(cities["name"], len(years)).tolist(),
        assessed_on=[str(year) for _ in range(len(cities)) for year in years],
        criteria=list(edition.criteria),
        edition=edition,
    )


def _first_certified(certified: NDArray[np.bool_], periods: NDArray[np.int_], *, assessed_in: Sequence[int]) -> Floats:
    """First year of assessment that certifies, NaN where none does."""
    awarded = certified & np.isin(periods, assessed_in)
    return np.where(awarded.any(axis=1), periods[awarded.argmax(axis=1)].astype(float), np.nan)


def _refuse_unusable(
    edition: Edition,
    *,
    n_cities: int,
    years: Sequence[int],
    assessed_in: Sequence[int],
    certification_effect: float,
    shares: dict[str, float],
    spreads: dict[str, float],
) -> None:
    faults = Faults("simulated world")
    if not edition.total_is_known:
        faults.add(f"{edition.name} has no known total, so there is no practice share; choose another edition")
    if certification_effect and not edition.levels_follow_points:
        faults.add(f"{edition.name} gives no levels, so nobody is certified; certification_effect must be 0")
    if not 2 <= n_cities <= 9999:
        faults.add(f"n_cities = {n_cities} should lie between 2 and 9999")
    if len(years) < 2 or list(years) != list(range(years[0], years[0] + len(years))):
        faults.add("years must be two or more consecutive years")
    outside = sorted(set(assessed_in) - set(years))
    if outside or not assessed_in or len(set(assessed_in)) < len(assessed_in):
        faults.add(f"assessed_in = {listed(assessed_in, limit=20)} should be one or more of the years, each once")
    for name, size in shares.items():
        if not 0 <= size <= 1:
            faults.add(f"{name} = {size:g} is too large or no number; 1 is the most")
    for name, size in spreads.items():
        if not 0 <= size < np.inf:
            faults.add(f"{name} = {size:g} should be 0 or more")
    faults.raise_if_any()
