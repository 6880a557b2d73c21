import dataclasses

import numpy as np
import pandas as pd
import pytest

from tests.design.test_design import design
from wwc_research.design.sample import Sample
from wwc_research.errors import EstimationError, InputError
from wwc_research.estimators import estimate
from wwc_research.evidence.randomisation import draw_lots
from wwc_research.sources.synthetic import staggered_world

BOTH = pytest.mark.parametrize("estimator", ["imputation", "callaway_santanna"])


def lots(sample, *, seed=0, draws=199, n_leads=5, estimator="imputation"):
    generator = np.random.default_rng(seed)
    return draw_lots(sample, generator=generator, draws=draws, n_leads=n_leads, estimator=estimator)


def simulated(*, seed, effect_size=0.0):
    world = staggered_world(
        generator=np.random.default_rng(seed),
        n_units=60,
        times=range(2012, 2022),
        cohorts={2018: 4, 2020: 5},
        effect_size=effect_size,
        n_counties=60,
    )
    frame = world.frame[["unit", "time", "outcome", "cohort"]].assign(cluster=world.frame["county"], weight=1.0)
    return Sample(frame=frame)


@BOTH
@pytest.mark.parametrize("outcome", ["broadband", "air_quality", "youth_neet"])
@pytest.mark.parametrize("changes", [{}, {"comparison": "never"}, {"anticipation": 1}])
def test_the_real_assignment_gives_the_estimators_own_number(panel, outcome, changes, estimator):
    sample = design(outcome, **changes).sample(panel)
    found = lots(sample, draws=19, estimator=estimator)
    assert found.estimate == pytest.approx(estimate(sample, estimator).estimate, rel=1e-9)


@BOTH
def test_leaving_a_unit_out_is_estimating_without_it(panel, estimator):
    sample = design("broadband").sample(panel)
    found = lots(sample, draws=19, estimator=estimator)
    assert len(found.without_one) == sample.n_treated
    for unit in list(found.without_one)[:3]:
        kept = dataclasses.replace(sample, frame=sample.frame.loc[sample.frame["unit"] != unit])
        assert found.without_one[unit] == pytest.approx(estimate(kept, estimator).estimate, rel=1e-9)


def test_the_leads_judged_are_those_that_the_estimate_shows(panel):
    for outcome in ("broadband", "air_quality"):
        sample = design(outcome).sample(panel)
        shown = [term.event_time for term in estimate(sample, "imputation").event_study if term.event_time < 0]
        assert list(lots(sample, draws=19).leads) == shown


def test_only_estimators_whose_lots_can_be_drawn_are_allowed(panel):
    with pytest.raises(InputError, match="allowed: imputation"):
        lots(design("broadband").sample(panel), estimator="two_way_fe")


def test_lots_are_drawn_within_strata_so_that_a_trend_of_theirs_is_no_effect():
    """Large units grow, exposed units are large: without strata chance seldom does as well, within them it does."""
    free, within = [], []
    for seed in range(12):
        sample = simulated(seed=seed)
        frame = sample.frame
        large = frame["cohort"].notna() | frame["unit"].isin(sorted(frame["unit"].unique())[::3])
        growing = frame.assign(outcome=frame["outcome"] + 1.5 * large * (frame["time"] - 2012))
        free.append(lots(dataclasses.replace(sample, frame=growing), seed=seed))
        within.append(lots(dataclasses.replace(sample, frame=growing.assign(stratum=large)), seed=seed))
    assert max(item.p_value for item in free) < 0.05
    assert min(item.p_value for item in within) > 0.05
    for item in within:
        assert item.placebo_mean > 0.5 * item.estimate
        assert item.std_error >= item.placebo_mean


def test_a_stratum_wholly_exposed_leaves_nothing_to_chance():
    sample = simulated(seed=1)
    frame = sample.frame.assign(stratum=sample.frame["cohort"].notna())
    only = frame.loc[frame["cohort"].isna() | (frame["cohort"] == 2018)]
    found = lots(dataclasses.replace(sample, frame=only), draws=50)
    assert found.p_value == 1


@BOTH
def test_a_hand_worked_lottery(estimator):
    # four units, one exposed from 2 on; changes 5, 1, 1, 1: the real one is the largest of four possible
    frame = pd.DataFrame(
        [(unit, time, change * time, cohort) for unit, change, cohort in
         (("a", 5.0, 2.0), ("b", 1.0, np.nan), ("c", 1.0, np.nan), ("d", 1.0, np.nan)) for time in (1, 2)],
        columns=["unit", "time", "outcome", "cohort"],
    )  # fmt: skip
    found = lots(Sample(frame=frame.assign(cluster=frame["unit"], weight=1.0)), draws=4000, estimator=estimator)
    assert found.estimate == pytest.approx(4.0)
    assert found.p_value == pytest.approx(0.25, abs=0.03)
    assert found.leads == ()
    assert np.isnan(found.lead_p_value)
    assert np.isnan(found.drift_p_value)


@BOTH
def test_chance_alone_is_seldom_called_an_effect_and_a_planted_effect_is_found(estimator):
    null = [lots(simulated(seed=seed), seed=seed, estimator=estimator) for seed in range(120)]
    rejected = np.mean([item.p_value <= 0.05 for item in null])
    assert rejected < 0.11  # 5 % expected, two Monte Carlo standard errors are 4 points
    leads = np.mean([item.lead_p_value <= 0.10 for item in null])
    assert 0.02 < leads < 0.19
    drifts = np.mean([item.drift_p_value <= 0.10 for item in null])
    assert 0.02 < drifts < 0.19
    planted = [
        lots(simulated(seed=seed, effect_size=6.0), seed=seed, estimator=estimator).p_value for seed in range(10)
    ]
    assert max(planted) < 0.05


def test_a_slow_drift_before_exposure_is_found():
    for seed in range(5):
        sample = simulated(seed=seed)
        frame = sample.frame
        drift = 0.5 * (frame["time"] - 2012) * frame["cohort"].notna()
        drifting = dataclasses.replace(sample, frame=frame.assign(outcome=frame["outcome"] + drift))
        assert lots(drifting, seed=seed).drift_p_value < 0.05


def test_the_same_seed_gives_the_same_lots_and_the_sample_is_not_changed(panel):
    sample = design("broadband").sample(panel)
    before = sample.frame.copy()
    assert lots(sample, seed=7) == lots(sample, seed=7)
    assert lots(sample, seed=7).p_value != lots(sample, seed=8).p_value
    assert before.equals(sample.frame)


def test_without_a_past_nothing_can_be_drawn(panel):
    sample = design("broadband").sample(panel)
    late = dataclasses.replace(sample, frame=sample.frame.loc[sample.frame["time"] >= 2022])
    with pytest.raises(EstimationError, match="before and after"):
        lots(late)
