"""Levels of other units in each period: by hand, covariates taken out exactly, errors near the spread of draws."""

from __future__ import annotations

import numpy as np
import pytest

from wwc_research.estimators.cross_section_contrast import cross_section_contrast
from wwc_research.estimators.two_by_two import ADJUSTMENTS, Contrast, Undefined

EXPOSED = np.array([1.0, 1, 1, 1, 0, 0, 0, 0])
AFTER = np.array([1.0, 1, 0, 0, 1, 1, 0, 0])


def draw(generator: np.random.Generator, n: int = 400) -> dict[str, np.ndarray]:
    """Selection and trend both follow the covariate, which is the same population in both periods; no effect."""
    covariate = generator.normal(size=n)
    exposed = (generator.uniform(size=n) < 1 / (1 + np.exp(0.5 - 0.8 * covariate))).astype(float)
    after = (generator.uniform(size=n) < 0.5).astype(float)
    outcome = covariate + after * covariate + 2 * exposed + after + generator.normal(size=n)
    return {
        "outcome": outcome,
        "exposed": exposed,
        "after": after,
        "weight": np.ones(n),
        "covariates": covariate[None],
    }


def test_the_effect_and_its_influence_are_those_worked_by_hand():
    outcome = np.array([9.0, 11, 4, 6, 3, 5, 1, 3])  # means 10, 5, 4 and 2
    result = cross_section_contrast(outcome, exposed=EXPOSED, after=AFTER, weight=np.ones(8))
    assert isinstance(result, Contrast)
    assert result.effect == pytest.approx((10 - 5) - (4 - 2))
    np.testing.assert_allclose(result.influence, np.array([-1, 1, 1, -1, 1, -1, -1, 1]) * 4.0)
    assert np.sqrt(np.mean(result.influence**2) / 8) == pytest.approx(np.sqrt(4 * 0.5))  # four variances of 1/2


def test_a_weight_of_two_is_the_same_observation_twice():
    outcome = np.array([9.0, 11, 4, 6, 3, 5, 1, 3])
    weight = np.array([1.0, 2, 1, 1, 2, 1, 1, 1])
    twice = np.repeat(np.arange(8), weight.astype(int))
    weighted = cross_section_contrast(outcome, exposed=EXPOSED, after=AFTER, weight=weight)
    repeated = cross_section_contrast(outcome[twice], exposed=EXPOSED[twice], after=AFTER[twice], weight=np.ones(10))
    assert weighted.effect == pytest.approx(repeated.effect, rel=1e-12)


@pytest.mark.parametrize("adjustment", ["reg", "dr"])
def test_a_linear_trend_in_covariates_is_taken_out_exactly(adjustment):
    data = draw(np.random.default_rng(2))
    covariate, after, exposed = data["covariates"][0], data["after"], data["exposed"]
    both = exposed * after
    outcome = 3 + covariate + 2 * exposed + after * (1 + 4 * covariate) + 1.25 * both
    result = cross_section_contrast(**{**data, "outcome": outcome}, adjustment=adjustment)
    if adjustment == "dr":
        assert result.effect == pytest.approx(1.25, abs=1e-9)
    else:  # who of the exposed was drawn when is left as noise: their own levels are means, not predictions
        drawn = covariate[both == 1].mean() - covariate[(exposed == 1) & (after == 0)].mean()
        moved = 4 * (covariate[both == 1].mean() - covariate[exposed == 1].mean())
        assert result.effect == pytest.approx(1.25 + drawn + moved, abs=1e-9)


@pytest.mark.parametrize("adjustment", ADJUSTMENTS)
def test_the_analytic_error_is_near_the_spread_over_draws(adjustment):
    generator = np.random.default_rng(8)
    results = [cross_section_contrast(**draw(generator), adjustment=adjustment) for _ in range(300)]
    effects = np.array([result.effect for result in results])
    errors = [np.sqrt(np.mean(result.influence**2) / 400) for result in results]
    assert effects.mean() == pytest.approx(0, abs=4 * effects.std() / np.sqrt(300))
    assert np.mean(errors) == pytest.approx(effects.std(), rel=0.12)


@pytest.mark.parametrize(
    ("adjustment", "reason"),
    [
        ("dr", "the covariates of the comparison units before are collinear"),
        ("reg", "the covariates of the comparison units before are collinear"),
        ("ipw", "the covariates are collinear"),
    ],
)
def test_collinear_covariates_give_a_reason_and_no_number(adjustment, reason):
    data = draw(np.random.default_rng(3))
    doubled = np.vstack([data["covariates"], 2 * data["covariates"]])
    result = cross_section_contrast(**{**data, "covariates": doubled}, adjustment=adjustment)
    assert isinstance(result, Undefined)
    assert result.reason.startswith(reason)


@pytest.mark.parametrize("adjustment", ["dr", "ipw"])
def test_covariates_that_tell_who_is_exposed_give_a_reason_and_no_number(adjustment):
    data = draw(np.random.default_rng(4))
    telling = data["exposed"] + 1e-3 * data["covariates"]
    result = cross_section_contrast(**{**data, "covariates": telling}, adjustment=adjustment)
    assert isinstance(result, Undefined)
    assert "overlap" in result.reason
