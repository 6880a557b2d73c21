"""One comparison of changes: by hand, without covariates the same for all adjustments, with them exact."""

from __future__ import annotations

import numpy as np
import pytest

from wwc_research.estimators.two_by_two import ADJUSTMENTS, Contrast, Undefined, contrast


@pytest.fixture
def draw() -> dict[str, np.ndarray]:
    generator = np.random.default_rng(21)
    covariates = generator.normal(size=(200, 2)) * [1.0, 40.0] + [0.0, 900.0]
    exposed = (generator.uniform(size=200) < 1 / (1 + np.exp(1 - covariates[:, 0]))).astype(float)
    change = 3 * covariates[:, 0] - 0.02 * covariates[:, 1] + exposed + generator.normal(size=200)
    return {
        "change": change,
        "exposed": exposed,
        "covariates": covariates,
        "weight": generator.uniform(0.5, 2, 200),
    }


def test_the_effect_and_its_error_are_those_worked_by_hand():
    result = contrast(np.array([3.0, 5.0, 1.0, 3.0]), exposed=np.array([1.0, 1.0, 0.0, 0.0]), weight=np.ones(4))
    assert isinstance(result, Contrast)
    assert result.effect == pytest.approx(4 - 2)
    np.testing.assert_allclose(result.influence, [-2, 2, 2, -2])  # n / n_group times the deviation
    assert np.sqrt(np.mean(result.influence**2) / 4) == pytest.approx(1.0)  # sqrt(1/2 + 1/2)


@pytest.mark.parametrize("adjustment", ADJUSTMENTS)
def test_without_covariates_all_adjustments_are_the_difference_of_mean_changes(draw, adjustment):
    plain = contrast(draw["change"], exposed=draw["exposed"], weight=draw["weight"], adjustment=adjustment)
    is_exposed = draw["exposed"] == 1
    means = [np.average(draw["change"][part], weights=draw["weight"][part]) for part in (is_exposed, ~is_exposed)]
    assert plain.effect == pytest.approx(means[0] - means[1], rel=1e-12)


@pytest.mark.parametrize("adjustment", ADJUSTMENTS)
def test_a_covariate_that_is_the_same_in_both_groups_and_unrelated_changes_nothing(adjustment):
    change = np.array([3.0, 5.0, 3.0, 5.0, 1.0, 3.0, 1.0, 3.0])
    exposed = np.repeat([1.0, 0.0], 4)
    covariate = np.tile([1.0, 1.0, -1.0, -1.0], 2)[:, None]
    arguments = {"exposed": exposed, "weight": np.ones(8), "adjustment": adjustment}
    with_it, without = contrast(change, covariates=covariate, **arguments), contrast(change, **arguments)
    assert with_it.effect == pytest.approx(without.effect, rel=1e-12)
    np.testing.assert_allclose(with_it.influence, without.influence, atol=1e-9)


@pytest.mark.parametrize("adjustment", ["reg", "dr"])
def test_a_linear_trend_in_covariates_is_taken_out_exactly(draw, adjustment):
    change = 7 + draw["covariates"] @ [2.0, -0.3] + 1.25 * draw["exposed"]
    result = contrast(
        change,
        exposed=draw["exposed"],
        weight=draw["weight"],
        covariates=draw["covariates"],
        adjustment=adjustment,
    )
    assert result.effect == pytest.approx(1.25, abs=1e-9)


@pytest.mark.parametrize("adjustment", ADJUSTMENTS)
def test_units_and_origin_of_covariates_do_not_matter(draw, adjustment):
    arguments = {key: draw[key] for key in ("exposed", "weight")} | {"adjustment": adjustment}
    one = contrast(draw["change"], covariates=draw["covariates"], **arguments)
    other = contrast(draw["change"], covariates=1e5 - draw["covariates"] * [1000.0, 0.001], **arguments)
    assert other.effect == pytest.approx(one.effect, rel=1e-9)
    np.testing.assert_allclose(other.influence, one.influence, atol=1e-7)


@pytest.mark.parametrize("adjustment", ADJUSTMENTS)
def test_the_analytic_error_is_near_the_spread_over_draws(adjustment):
    generator = np.random.default_rng(6)
    effects, errors = [], []
    for _ in range(300):
        covariate = generator.normal(size=(300, 1))
        exposed = (generator.uniform(size=300) < 1 / (1 + np.exp(1 - covariate[:, 0]))).astype(float)
        change = covariate[:, 0] + generator.normal(size=300)
        result = contrast(change, exposed=exposed, weight=np.ones(300), covariates=covariate, adjustment=adjustment)
        effects.append(result.effect)
        errors.append(np.sqrt(np.mean(result.influence**2) / 300))
    assert np.mean(effects) == pytest.approx(0, abs=4 * np.std(effects) / np.sqrt(300))
    assert np.mean(errors) == pytest.approx(np.std(effects), rel=0.15)


@pytest.mark.parametrize("adjustment", ADJUSTMENTS)
def test_collinear_covariates_give_a_reason_and_no_number(draw, adjustment):
    doubled = np.column_stack([draw["covariates"], draw["covariates"] @ [1.0, 1.0]])
    result = contrast(
        draw["change"],
        exposed=draw["exposed"],
        weight=draw["weight"],
        covariates=doubled,
        adjustment=adjustment,
    )
    assert isinstance(result, Undefined)
    assert "collinear" in result.reason


@pytest.mark.parametrize("adjustment", ["dr", "ipw"])
def test_covariates_that_tell_who_is_exposed_give_a_reason_and_no_number(adjustment):
    covariate = np.linspace(-1, 1, 60)[:, None]
    result = contrast(
        np.arange(60.0),
        exposed=(covariate[:, 0] > 0).astype(float),
        weight=np.ones(60),
        covariates=covariate,
        adjustment=adjustment,
    )
    assert isinstance(result, Undefined)
    assert "overlap" in result.reason


def test_small_propensities_are_not_trimmed():
    """3 exposed of 900, all with a fitted probability below 1 %: every comparison unit keeps its weight."""
    generator = np.random.default_rng(3)
    covariate = generator.normal(size=900)
    exposed = np.zeros(900)
    exposed[[10, 200, 500]] = 1
    change = 0.3 * covariate + generator.normal(size=900)
    for adjustment in ("ipw", "dr"):
        result = contrast(
            change, exposed=exposed, weight=np.ones(900), covariates=covariate[:, None], adjustment=adjustment
        )
        assert isinstance(result, Contrast)
        assert (result.influence[exposed == 0] != 0).all()
