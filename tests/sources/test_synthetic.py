import numpy as np
import pandas as pd
import pytest

from wwc_research.design.sample import Sample
from wwc_research.errors import InputError
from wwc_research.estimators import estimate
from wwc_research.sources.synthetic import planted_effect, staggered_world

FEW_NEVER_TREATED = {
    "n_units": 75,
    "times": range(2012, 2023),
    "cohorts": {2015: 20, 2017: 20, 2019: 20},
    "n_counties": 75,
}


def sample_of(world, *, cluster="unit"):
    frame = world.frame.assign(cluster=world.frame[cluster], weight=1.0)
    columns = ["unit", "time", "outcome", "cohort", "cluster", "weight"]
    return Sample(frame=frame[columns].sort_values(["unit", "time"], ignore_index=True))


def misses(name, *, draws, world_options, cluster="unit"):
    """Estimate less truth of every draw, and whether the interval held the truth."""
    gaps, covered = [], []
    for draw in range(draws):
        world = staggered_world(generator=np.random.default_rng([7, draw]), **world_options)
        result = estimate(sample_of(world, cluster=cluster), name)
        low, high = result.ci
        gaps.append(result.estimate - world.simple_att)
        covered.append(low <= world.simple_att <= high)
    return np.array(gaps), np.array(covered)


def test_callaway_santanna_recovers_the_planted_truth_and_two_way_fixed_effects_does_not():
    gaps, covered = misses("callaway_santanna", draws=40, world_options=FEW_NEVER_TREATED)
    error = gaps.std(ddof=1) / np.sqrt(len(gaps))
    assert abs(gaps.mean()) < 3 * error
    assert error < 0.1
    assert covered.mean() >= 0.85

    wrong, held = misses("two_way_fe", draws=15, world_options=FEW_NEVER_TREATED)
    assert (wrong < -1).all()
    assert not held.any()


def test_both_estimators_agree_with_the_truth_where_effects_are_constant():
    options = {**FEW_NEVER_TREATED, "effect": "constant"}
    for name in ("callaway_santanna", "two_way_fe"):
        gaps, _ = misses(name, draws=25, world_options=options)
        assert abs(gaps.mean()) < 3.5 * gaps.std(ddof=1) / np.sqrt(len(gaps))


def test_the_event_study_recovers_growing_effects_and_flat_leads():
    lags, leads = [], []
    for draw in range(25):
        world = staggered_world(generator=np.random.default_rng([8, draw]), n_units=150, n_counties=150)
        terms = {t.event_time: t for t in estimate(sample_of(world), "callaway_santanna").event_study}
        lags.append(terms[2].estimate - world.event_time_truth(2))
        leads.append(terms[-2].estimate)
    for gaps in (np.array(lags), np.array(leads)):
        assert abs(gaps.mean()) < 3.5 * gaps.std(ddof=1) / np.sqrt(len(gaps))
    assert world.event_time_truth(2) > 2 * world.event_time_truth(0)


def test_county_shocks_make_unit_clusters_claim_too_much():
    """Treatment follows counties here, so that shocks do not average out."""
    ratios = []
    for draw in range(8):
        options = {"n_units": 120, "n_counties": 12, "county_shock": 2.0, "effect": "none"}
        world = staggered_world(generator=np.random.default_rng([9, draw]), **options)
        frame = world.frame.assign(cohort=np.where(world.frame["county"] < "simcounty-006", 2018.0, np.nan))
        shocked = type(world)(frame=frame, truth=world.truth, simple_att=0.0, description=world.description)
        by_unit = estimate(sample_of(shocked), "two_way_fe").std_error
        ratios.append(estimate(sample_of(shocked, cluster="county"), "two_way_fe").std_error / by_unit)
    assert np.mean(ratios) > 1.5


def test_every_row_says_that_it_is_simulated():
    world = staggered_world(generator=np.random.default_rng(0))
    assert world.frame["is_simulated"].all()
    assert world.frame["unit"].str.startswith("sim-").all()
    assert world.description.startswith("Simulated")


def test_the_frame_adds_up_to_what_was_planted():
    world = staggered_world(generator=np.random.default_rng(1))
    frame = world.frame
    np.testing.assert_allclose(
        frame["true_outcome"], frame["outcome_without_treatment"] + frame["true_effect"], rtol=1e-12
    )
    exposed = frame["time"] >= frame["cohort"]
    assert (frame.loc[~exposed, "true_effect"] == 0).all()
    assert world.simple_att == pytest.approx(frame.loc[exposed, "true_effect"].mean())
    counts = frame.groupby("cohort")["unit"].nunique().to_dict()
    assert counts == {2018: 9, 2019: 18, 2020: 12, 2021: 16}


def test_survey_noise_has_the_standard_error_that_it_claims():
    world = staggered_world(generator=np.random.default_rng(2), survey_std_error=3.0)
    z = (world.frame["outcome"] - world.frame["true_outcome"]) / world.frame["std_error"]
    assert z.std() == pytest.approx(1, abs=0.03)
    assert world.frame["std_error"].median() == pytest.approx(3.0, rel=0.15)


def test_the_same_seed_gives_the_same_world():
    first = staggered_world(generator=np.random.default_rng(4))
    again = staggered_world(generator=np.random.default_rng(4))
    pd.testing.assert_frame_equal(first.frame, again.frame)


def test_later_cohorts_gain_less_and_everybody_gains_more_with_time():
    growing = {"first_cohort": 2018, "size": 2.0, "shape": "growing"}
    assert planted_effect(2018, -1, **growing) == 0
    assert planted_effect(2018, 0, **growing) == 2
    assert planted_effect(2018, 3, **growing) == 8
    assert planted_effect(2020, 0, **growing) == 1
    assert planted_effect(2030, 0, **growing) == 0.5


def test_a_world_that_cannot_be_is_refused_with_all_reasons():
    with pytest.raises(InputError) as caught:
        staggered_world(
            generator=np.random.default_rng(0),
            n_units=5,
            cohorts={2018: 6, 2030: 1},
            effect="huge",
            persistence=1.0,
        )
    for part in ("'huge'", "cohorts hold 7 units", "persistence is 1.0", "2030"):
        assert part in str(caught.value)
