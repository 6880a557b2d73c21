import dataclasses

import numpy as np
import pandas as pd
import pytest

from tests.design.test_design import design
from wwc_research.design.sample import Sample
from wwc_research.errors import EstimationError
from wwc_research.estimators import estimate
from wwc_research.evidence.randomisation import draw_lots
from wwc_research.sources.synthetic import staggered_world


def lots(sample, *, seed=0, draws=199, n_leads=5):
    return draw_lots(sample, generator=np.random.default_rng(seed), draws=draws, n_leads=n_leads)


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


@pytest.mark.parametrize("outcome", ["broadband", "air_quality", "youth_neet"])
@pytest.mark.parametrize("changes", [{}, {"comparison": "never"}, {"anticipation": 1}])
def test_the_real_assignment_gives_the_estimators_own_number(panel, outcome, changes):
    sample = design(outcome, **changes).sample(panel)
    assert lots(sample, draws=19).estimate == pytest.approx(estimate(sample, "callaway_santanna").estimate, rel=1e-10)


def test_leaving_a_unit_out_is_estimating_without_it(panel):
    sample = design("broadband").sample(panel)
    found = lots(sample, draws=19)
    assert len(found.without_one) == sample.n_treated
    for unit in list(found.without_one)[:3]:
        kept = dataclasses.replace(sample, frame=sample.frame.loc[sample.frame["unit"] != unit])
        assert found.without_one[unit] == pytest.approx(estimate(kept, "callaway_santanna").estimate, rel=1e-10)


def test_a_hand_worked_lottery():
    # four units, one exposed from 2 on; changes 5, 1, 1, 1: the real one is the largest of four possible
    frame = pd.DataFrame(
        [(unit, time, change * time, cohort) for unit, change, cohort in
         (("a", 5.0, 2.0), ("b", 1.0, np.nan), ("c", 1.0, np.nan), ("d", 1.0, np.nan)) for time in (1, 2)],
        columns=["unit", "time", "outcome", "cohort"],
    )  # fmt: skip
    found = lots(Sample(frame=frame.assign(cluster=frame["unit"], weight=1.0)), draws=4000)
    assert found.estimate == pytest.approx(4.0)
    assert found.p_value == pytest.approx(0.25, abs=0.03)
    assert found.leads == ()
    assert np.isnan(found.lead_p_value)
    assert np.isnan(found.drift_p_value)


def test_chance_alone_is_seldom_called_an_effect_and_a_planted_effect_is_found():
    null = [lots(simulated(seed=seed), seed=seed) for seed in range(120)]
    rejected = np.mean([item.p_value <= 0.05 for item in null])
    assert rejected < 0.11  # 5 % expected, two Monte Carlo standard errors are 4 points
    leads = np.mean([item.lead_p_value <= 0.10 for item in null])
    assert 0.02 < leads < 0.19
    drifts = np.mean([item.drift_p_value <= 0.10 for item in null])
    assert 0.02 < drifts < 0.19
    planted = [lots(simulated(seed=seed, effect_size=6.0), seed=seed).p_value for seed in range(10)]
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
