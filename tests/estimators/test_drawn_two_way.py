"""Many drawn assignments at once give, one by one, what the regression gives on the relabelled sample."""

from __future__ import annotations

import numpy as np
import pytest

from tests.estimators.drawn_worlds import COHORTS, TIMES, draws, panel, relabelled, traits, unit_weights
from wwc_research.errors import InputError
from wwc_research.estimators import drawn_equations, estimate
from wwc_research.estimators.drawn_two_way import two_way_coefficients


@pytest.mark.parametrize("holes", [0.0, 0.25])
@pytest.mark.parametrize("anticipation", [0, 1])
@pytest.mark.parametrize("weights", [None, unit_weights(by_time=False), unit_weights(by_time=True)])
@pytest.mark.parametrize("covariates", [None, traits()])
def test_each_draw_is_the_estimate_on_the_relabelled_sample(holes, anticipation, weights, covariates):
    outcomes, times = panel(holes=holes)
    weights = None if weights is None else weights * np.ones(outcomes.shape)
    # the first two units have no past as early cohorts
    lots = np.vstack([draws(5), [[0, 1, *range(10, 17)]]])
    given = {"weights": weights, "covariates": covariates}
    found = two_way_coefficients(outcomes, times=times, drawn=lots, cohorts=COHORTS, anticipation=anticipation, **given)
    expected = [
        estimate(relabelled(outcomes, lot, anticipation=anticipation, **given), "two_way_fe").estimate for lot in lots
    ]
    np.testing.assert_allclose(found, expected, rtol=1e-10, atol=1e-11)


def test_exposure_that_the_effects_explain_is_undefined():
    outcomes, times = panel(holes=0.0)
    everybody = np.arange(40)[None, :]
    found = two_way_coefficients(outcomes, times=times, drawn=everybody, cohorts=np.full(40, 2015.0))
    assert np.isnan(found).all()
    staggered = np.repeat([2013.0, 2016.0], 20)
    assert np.isfinite(two_way_coefficients(outcomes, times=times, drawn=everybody, cohorts=staggered)).all()


def test_draws_taken_in_chunks_are_the_same(monkeypatch):
    outcomes, times = panel(holes=0.2)
    settings = {"times": times, "drawn": draws(25), "cohorts": COHORTS, "covariates": traits()}
    whole = two_way_coefficients(outcomes, **settings)
    monkeypatch.setattr(drawn_equations, "_ENTRIES", 500)
    np.testing.assert_allclose(two_way_coefficients(outcomes, **settings), whole, rtol=1e-10)


def test_many_covariates_by_time_are_solved_as_few_are(monkeypatch):
    outcomes, times = panel(holes=0.2)
    settings = {"times": times, "drawn": draws(8), "cohorts": COHORTS, "covariates": traits()}
    monkeypatch.setattr(drawn_equations, "_FEW", 1)
    inverted = two_way_coefficients(outcomes, anticipation=1, **settings)
    monkeypatch.setattr(drawn_equations, "_FEW", 100)
    np.testing.assert_allclose(two_way_coefficients(outcomes, anticipation=1, **settings), inverted, rtol=1e-9)


def test_weights_and_covariates_that_do_not_fit_are_named_together():
    outcomes, _ = panel(holes=0.0)
    with pytest.raises(InputError, match=r"(?s)weights has shape \(40, 7\).*covariates has shape \(39, 2\)"):
        two_way_coefficients(
            outcomes,
            times=TIMES,
            drawn=draws(2),
            cohorts=COHORTS,
            weights=np.ones((40, 7)),
            covariates=traits()[1:],
        )
    with pytest.raises(InputError, match="weights must be positive"):
        two_way_coefficients(outcomes, times=TIMES, drawn=draws(2), cohorts=COHORTS, weights=np.zeros((40, 8)))
