"""Many drawn assignments at once give, one by one, what the estimator gives on the relabelled sample."""

from __future__ import annotations

import numpy as np
import pytest

from tests.estimators.drawn_worlds import COHORTS, draws, panel, traits, unit_weights
from tests.estimators.drawn_worlds import relabelled as relabelled_sample
from wwc_research.errors import InputError
from wwc_research.estimators import Estimate, drawn_equations, imputation
from wwc_research.estimators.drawn_imputations import imputed_average, imputed_leads


def relabelled(outcomes: np.ndarray, drawn: np.ndarray, *, leads: int, **fields) -> Estimate:
    return imputation.estimate(relabelled_sample(outcomes, drawn, **fields), leads=leads)


@pytest.mark.parametrize("holes", [0.0, 0.25])
@pytest.mark.parametrize("anticipation", [0, 1])
@pytest.mark.parametrize("weights", [None, unit_weights(by_time=False), unit_weights(by_time=True)])
@pytest.mark.parametrize("covariates", [None, traits()])
def test_each_draw_is_the_estimate_on_the_relabelled_sample(holes, anticipation, weights, covariates):
    outcomes, times = panel(holes=holes)
    weights = None if weights is None else weights * np.ones(outcomes.shape)
    lots = np.vstack([draws(6), [[0, 1, *range(10, 17)]], [[12, 13, 1, 0, *range(20, 25)]]])
    given = {"anticipation": anticipation, "weights": weights, "covariates": covariates}
    found = imputed_average(outcomes, times=times, drawn=lots, cohorts=COHORTS, **given)
    expected = [relabelled(outcomes, lot, leads=0, **given).estimate for lot in lots]
    np.testing.assert_allclose(found, expected, rtol=1e-10, atol=1e-11)


@pytest.mark.parametrize("holes", [0.0, 0.25])
@pytest.mark.parametrize("anticipation", [0, 1])
def test_each_drawn_lead_is_that_of_the_relabelled_sample(holes, anticipation):
    outcomes, times = panel(holes=holes)
    lots = draws(12)
    found = imputed_leads(outcomes, times=times, drawn=lots, cohorts=COHORTS, leads=3, anticipation=anticipation)
    for row, lot in zip(found, lots, strict=True):
        result = relabelled(outcomes, lot, anticipation=anticipation, leads=3)
        expected = {t.event_time: t.estimate for t in result.event_study if t.event_time < -anticipation}
        shown = [expected[-anticipation - number] for number in (1, 2, 3)]
        np.testing.assert_allclose(row, shown, rtol=1e-9)


def test_a_lead_that_a_missing_wave_hides_is_undefined():
    outcomes, times = panel(holes=0.0)
    found = imputed_leads(outcomes, times=times, drawn=draws(3)[:, :4], cohorts=np.full(4, 2015.0), leads=3)
    assert np.isnan(found[:, 0]).all()  # 2014 was not observed
    assert np.isfinite(found[:, 1:]).all()


def test_leads_that_cannot_be_told_apart_are_undefined():
    outcomes, times = panel(holes=0.0)
    lots = draws(3)[:, :2]
    found = imputed_leads(outcomes, times=times, drawn=lots, cohorts=np.full(2, 2012.0), leads=2)
    assert np.isnan(found).all()  # two years before exposure: one is the base
    assert np.isfinite(imputed_leads(outcomes, times=times, drawn=lots, cohorts=np.full(2, 2012.0), leads=1)).all()


def test_a_draw_that_leaves_a_time_without_untreated_rows_is_undefined():
    outcomes, times = panel(holes=0.0)
    outcomes[9:, -1] = np.nan  # in the last year only the first nine units are seen
    lots = np.vstack([np.arange(9), np.arange(20, 29)])
    found = imputed_average(outcomes, times=times, drawn=lots, cohorts=COHORTS)
    assert np.isnan(found[0])
    assert np.isfinite(found[1])


def test_a_level_or_a_common_path_of_the_outcome_changes_no_draw():
    outcomes, times = panel(holes=0.1)
    moved = outcomes + 1000 * np.arange(40)[:, None] + times**1.5
    lots = draws(20)
    np.testing.assert_allclose(
        imputed_average(moved, times=times, drawn=lots, cohorts=COHORTS),
        imputed_average(outcomes, times=times, drawn=lots, cohorts=COHORTS),
        atol=1e-7,
    )


def test_draws_taken_in_chunks_are_the_same(monkeypatch):
    outcomes, times = panel(holes=0.2)
    lots = draws(25)
    settings = {"times": times, "drawn": lots, "cohorts": COHORTS}
    whole = imputed_average(outcomes, **settings), imputed_leads(outcomes, leads=2, **settings)
    monkeypatch.setattr(drawn_equations, "_ENTRIES", 500)
    parts = imputed_average(outcomes, **settings), imputed_leads(outcomes, leads=2, **settings)
    for one, other in zip(whole, parts, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-10)


def test_shapes_that_do_not_fit_are_named():
    outcomes, times = panel(holes=0.0)
    with pytest.raises(InputError, match=r"outcomes has shape \(40, 8\) for 7 times"):
        imputed_average(outcomes, times=times[1:], drawn=draws(2), cohorts=COHORTS)
    with pytest.raises(InputError, match=r"drawn has shape \(2, 9\) for 3 cohorts"):
        imputed_average(outcomes, times=times, drawn=draws(2), cohorts=COHORTS[:3])
    with pytest.raises(InputError, match="positions 0 to 99 in 40 units"):
        imputed_leads(outcomes, times=times, drawn=np.array([[0, 99]]), cohorts=COHORTS[:2], leads=1)


def test_no_draws_give_no_numbers():
    outcomes, times = panel(holes=0.0)
    none = draws(1)[:0]
    assert imputed_average(outcomes, times=times, drawn=none, cohorts=COHORTS).shape == (0,)
    assert imputed_leads(outcomes, times=times, drawn=none, cohorts=COHORTS, leads=2).shape == (0, 2)
