"""Many drawn assignments at once give, one by one, what Callaway and Sant'Anna give on the relabelled sample."""

from __future__ import annotations

import numpy as np
import pytest

from tests.estimators.drawn_worlds import COHORTS, TIMES, draws, panel, relabelled, unit_weights
from wwc_research.estimators import drawn_group_times, estimate
from wwc_research.estimators.drawn_group_times import group_time_averages


@pytest.mark.parametrize("holes", [0.0, 0.25])
@pytest.mark.parametrize("anticipation", [0, 1])
@pytest.mark.parametrize("comparison", ["never", "not_yet"])
@pytest.mark.parametrize("weights", [None, unit_weights(by_time=False), unit_weights(by_time=True)])
def test_each_draw_is_the_estimate_on_the_relabelled_sample(holes, anticipation, comparison, weights):
    outcomes, times = panel(holes=holes)
    weights = None if weights is None else weights * np.ones(outcomes.shape)
    # the first two units have no past as early cohorts
    lots = np.vstack([draws(5), [[0, 1, *range(10, 17)]]])
    fields = {"anticipation": anticipation, "comparison": comparison}
    found = group_time_averages(outcomes, times=times, drawn=lots, cohorts=COHORTS, weights=weights, **fields)
    samples = [relabelled(outcomes, lot, weights=weights, **fields) for lot in lots]
    expected = [estimate(sample, "callaway_santanna").estimate for sample in samples]
    np.testing.assert_allclose(found, expected, rtol=1e-10, atol=1e-12)


def test_a_cohort_after_the_last_period_is_only_compared():
    outcomes, times = panel(holes=0.0)
    cohorts = np.where(COHORTS == 2016, 2020, COHORTS)
    lots = draws(4)
    found = group_time_averages(outcomes, times=times, drawn=lots, cohorts=cohorts)
    samples = [relabelled(outcomes, lot, cohorts=cohorts) for lot in lots]
    expected = [estimate(sample, "callaway_santanna").estimate for sample in samples]
    np.testing.assert_allclose(found, expected, rtol=1e-10)


def test_nobody_left_to_compare_with_is_undefined():
    outcomes, times = panel(holes=0.0)
    everybody = np.arange(40)[None, :]
    assert np.isnan(
        group_time_averages(outcomes, times=times, drawn=everybody, cohorts=np.full(40, 2015.0), weights=None)
    ).all()
    assert np.isnan(group_time_averages(outcomes, times=times, drawn=draws(2), cohorts=np.full(9, 2009.0))).all()


def test_draws_taken_in_chunks_are_the_same(monkeypatch):
    outcomes, _ = panel(holes=0.2)
    settings = {"times": TIMES, "drawn": draws(25), "cohorts": COHORTS, "weights": unit_weights(by_time=True)}
    whole = group_time_averages(outcomes, **settings)
    monkeypatch.setattr(drawn_group_times, "_CHUNK", 7)
    np.testing.assert_allclose(group_time_averages(outcomes, **settings), whole, rtol=1e-12)
