import dataclasses
import re

import numpy as np
import pytest

from wwc_research.catalog.editions import edition
from wwc_research.errors import InputError
from wwc_research.sources.certification import COUNTRY_PREFIX
from wwc_research.standard.scoring import score
from wwc_research.standard.simulation import score_world

V3 = edition("v3")


def world(seed=1, **given):
    return score_world(V3, generator=np.random.default_rng(seed), **given)


def slope(outcome, *regressors):
    """Coefficient and classical standard error of the first regressor; plain least squares."""
    x = np.column_stack([*regressors, np.ones(len(outcome))])
    coefficients, *_ = np.linalg.lstsq(x, outcome, rcond=None)
    residual = outcome - x @ coefficients
    variance = residual @ residual / (len(outcome) - x.shape[1]) * np.linalg.inv(x.T @ x)[0, 0]
    return coefficients[0], np.sqrt(variance)


def within(made, column):
    """A column city × year, city and year means taken out."""
    frames = {"outcome": made.outcomes}
    wide = frames.get(column, made.practice).pivot(index="place_id", columns="year", values=column).to_numpy(float)
    return (wide - wide.mean(axis=0) - wide.mean(axis=1, keepdims=True) + wide.mean()).ravel()


def within_slope(made, column="practice_share", *others):
    """Two-way fixed effects: each city with itself, in the years of all."""
    return slope(within(made, "outcome"), *(within(made, name) for name in (column, *others)))


def across_slope(made, *, adjusted):
    """City means across cities, with or without what confounds."""
    means = made.practice.groupby("place_id")["practice_share"].mean()
    outcome = made.outcomes.groupby("place_id")["outcome"].mean().to_numpy()
    wealth = made.cities.set_index("place_id").loc[means.index, "wealth"].to_numpy()
    return slope(outcome, means.to_numpy(), *([wealth] if adjusted else []))


@pytest.mark.parametrize("planted", [5.0, -3.0, 0.0])
def test_a_planted_link_is_recovered_by_a_simple_regression_and_none_where_none_was_planted(planted):
    found = np.array([within_slope(world(seed, practice_effect=planted, n_cities=150)) for seed in range(20)])
    off = found[:, 0] - planted
    # the classical error is right here, for the noise is independent; so is the mean of twenty worlds
    assert abs(off.mean()) < 3.5 * np.sqrt(np.mean(found[:, 1] ** 2) / len(found))
    assert (np.abs(off) < 4 * found[:, 1]).all()
    assert 0.5 < off.std(ddof=1) / found[:, 1].mean() < 1.6


def test_the_effect_of_certification_is_told_apart_from_that_of_practice():
    made = world(3, n_cities=400, practice_effect=5.0, certification_effect=1.5)
    for columns, planted in ((("practice_share", "is_certified"), 5.0), (("is_certified", "practice_share"), 1.5)):
        estimate, std_error = within_slope(made, *columns)
        assert abs(estimate - planted) < 4 * std_error
        assert std_error < planted / 5


def test_confounding_misleads_across_cities_and_adjusting_or_comparing_within_mends_it():
    made = world(5, n_cities=2000, practice_effect=0.0, confounding=0.7)
    estimate, std_error = across_slope(made, adjusted=False)
    assert estimate > 10 * std_error
    for estimate, std_error in (across_slope(made, adjusted=True), within_slope(made)):
        assert abs(estimate) < 4 * std_error
    made = world(5, n_cities=2000, practice_effect=0.0, confounding=0.0)
    estimate, std_error = across_slope(made, adjusted=False)
    assert abs(estimate) < 4 * std_error


def test_a_trend_of_the_wealthy_misleads_even_within_cities():
    made = world(7, n_cities=1000, practice_effect=0.0, confounding=0.7, wealth_trend=0.3)
    estimate, std_error = within_slope(made)
    assert estimate > 10 * std_error


def test_one_seed_gives_one_world_and_another_seed_another():
    one, same, other = world(11), world(11), world(12)
    for name in ("outcomes", "practice", "cities"):
        assert getattr(one, name).equals(getattr(same, name))
    assert one.responses.confidential_frame().equals(same.responses.confidential_frame())
    assert not one.outcomes.equals(other.outcomes)


def test_worlds_of_one_seed_differ_by_what_was_planted_and_by_nothing_else():
    none, planted = world(11, practice_effect=0.0), world(11, practice_effect=5.0, certification_effect=2.0)
    difference = planted.outcomes["outcome"] - none.outcomes["outcome"]
    truth = 5.0 * planted.practice["practice_share"] + 2.0 * planted.practice["is_certified"]
    np.testing.assert_allclose(difference, truth, atol=1e-9)


def test_everything_that_is_shown_says_that_it_is_simulated_and_no_city_could_be_real():
    made = world(1, n_cities=30)
    for shown in (repr(made), repr(made.responses), repr(score(made.responses, V3)), repr(made.truth)):
        assert "simulated" in shown.lower()
    for frame in (made.outcomes, made.practice, made.cities):
        assert frame["is_simulated"].all()
        assert frame["place_id"].str.fullmatch(r"XX-sim-\d{4}").all()
    assert "XX" not in COUNTRY_PREFIX.values()
    names = made.responses.confidential_frame()["name"]
    assert names.map(lambda name: bool(re.fullmatch(r"Simulated city \d{3,}", name))).all()


def test_assessments_are_scored_as_the_practice_of_their_year_and_practice_never_falls():
    made = world(2, n_cities=60)
    scores = score(made.responses, V3)
    shares = made.practice.set_index(["place_id", "year"])["practice_share"]
    seen = shares.loc[list(zip(scores.place_id, scores.assessed_on.astype(int), strict=True))]
    np.testing.assert_array_equal(seen.to_numpy(), scores.share)
    assert (shares.groupby("place_id").diff().dropna() >= 0).all()
    assert shares.groupby("year").mean().is_monotonic_increasing
    first = {}
    for place, year, passed in zip(scores.place_id, scores.assessed_on.astype(int), scores.is_certified, strict=True):
        if passed:
            first[place] = min(year, first.get(place, year))
    cohort = made.cities.set_index("place_id")["cohort"].dropna()
    assert cohort.astype(int).to_dict() == first
    assert made.truth.certified_count == len(first)


def test_core_criteria_are_easier_and_criteria_of_one_area_go_together():
    made = [world(seed, n_cities=200, assessed_in=[2018], area_spread=1.5) for seed in range(10)]
    grids = [one.responses.confidential_frame()[list(V3.criteria)] for one in made]
    rates = np.mean([grid.mean() for grid in grids], axis=0)
    core = np.array([criterion.is_core for criterion in V3.criteria.values()])
    assert rates[core].mean() > rates[~core].mean() + 0.1
    practice = np.array([criterion.practice for criterion in V3.criteria.values()])
    same = (practice[:, None] == practice) & ~np.eye(len(practice), dtype=bool)
    together = np.mean([grid.corr().to_numpy() for grid in grids], axis=0)
    assert together[same].mean() > together[practice[:, None] != practice].mean() + 0.05


def test_answers_withheld_are_not_assessed_and_lower_the_share_that_is_scored():
    whole, thin = world(4, n_cities=80), world(4, n_cities=80, not_assessed_share=0.3)
    grid = thin.responses.confidential_frame()[list(V3.criteria)].to_numpy()
    assert np.mean(grid == -1) == pytest.approx(0.3, abs=0.01)
    assert thin.practice.equals(whole.practice)
    assert score(thin.responses, V3).share.mean() < score(whole.responses, V3).share.mean() - 0.1


def test_sampling_errors_are_as_large_as_they_are_said_to_be():
    made = world(9, n_cities=500, practice_effect=0, wealth_effect=0, noise=0, survey_std_error=2.0)
    z = within(made, "outcome").reshape(500, -1) / made.outcomes["outcome_std_error"].to_numpy().reshape(500, -1)
    # city and year means take a tenth and a five-hundredth of the variance away
    assert np.var(z) == pytest.approx(1 - 1 / 10, abs=0.05)


@pytest.mark.parametrize(
    ("given", "faults"),
    [
        ({"n_cities": 1}, ["n_cities = 1 should"]),
        ({"years": [2015, 2017], "assessed_in": [2016]}, ["consecutive", "assessed_in = 2016 should"]),
        ({"years": []}, ["consecutive"]),
        ({"confounding": -1.2, "noise": -1.0}, ["confounding = 1.2 is", "noise = -1 should"]),
        ({"not_assessed_share": float("nan")}, ["not_assessed_share = nan"]),
    ],
)
def test_options_that_make_no_world_are_refused_together(given, faults):
    with pytest.raises(InputError) as refused:
        world(**given)
    assert all(fault in str(refused.value) for fault in faults)


def test_an_edition_without_a_share_or_without_levels_cannot_carry_a_link_to_them():
    generator = np.random.default_rng(1)
    with pytest.raises(InputError, match="v3-draft has no known total"):
        score_world(edition("v3-draft"), generator=generator)
    with pytest.raises(InputError, match="v1 gives no levels"):
        score_world(edition("v1"), generator=generator, certification_effect=1.0)
    made = score_world(edition("v1"), generator=generator, n_cities=20)
    assert made.truth.certified_count == 0
    assert made.practice["practice_share"].between(0, 1).all()


def test_a_world_cannot_be_changed():
    with pytest.raises(dataclasses.FrozenInstanceError):
        world(n_cities=2).truth = None
