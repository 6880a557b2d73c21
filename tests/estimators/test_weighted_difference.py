from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import statsmodels.api as sm

from tests.lalonde import COVARIATES, read_lalonde
from wwc_research.design.entropy_balancing import entropy_balancing
from wwc_research.design.inverse_probability import inverse_probability
from wwc_research.design.matching import nearest
from wwc_research.design.weighting import Weighting
from wwc_research.errors import EstimationError, InputError
from wwc_research.estimators import matched_difference, weighted_difference

NUMBERS = pd.read_csv(Path(__file__).parents[1] / "figures" / "lalonde_numbers.csv", index_col="spec")
LALONDE = {"treatment": "treated", "covariates": COVARIATES}
EARNINGS = {"treatment": "treated", "outcome": "earnings_1978_usd"}


@pytest.fixture(scope="module")
def lalonde():
    return read_lalonde()


def people(generator, *, units=300, effect=1.5, growing=0.0):
    """Treated have higher x0; the outcome rises with x0 and x1, the effect by `growing` a unit of x0."""
    x = generator.normal(size=(units, 2))
    treated = generator.random(units) < 1 / (1 + np.exp(1 - 0.7 * x[:, 0]))
    y = 2 * x[:, 0] + x[:, 1] + (effect + growing * x[:, 0]) * treated + generator.normal(size=units)
    return pd.DataFrame({"treated": treated.astype(int), "a": x[:, 0], "b": x[:, 1], "y": y})


def test_odds_weights_give_the_estimate_and_hc0_error_of_r(lalonde):
    row = NUMBERS.loc["odds weights, HC0 SE"]
    result = weighted_difference.estimate(
        lalonde, inverse_probability(lalonde, **LALONDE), **EARNINGS, std_errors="hc0"
    )
    assert result.estimate == pytest.approx(row["estimate"], rel=1e-6)
    assert result.std_error == pytest.approx(row["std_error"], rel=1e-6)
    assert result.estimand == "ATT"


def test_the_experiment_itself_is_the_difference_of_its_means():
    nsw = pd.read_csv(Path(__file__).parents[1] / "figures" / "nsw.csv", index_col="person")
    row = NUMBERS.loc["re78 experimental"]
    equal = Weighting(weights=pd.Series(1.0, index=nsw.index), estimand="ATE", method="experiment")
    result = weighted_difference.estimate(nsw, equal, **EARNINGS)
    assert result.estimate == pytest.approx(row["estimate"], rel=1e-12)
    # R's row is the classical error of a regression; groups with their own variances give 4 % more
    assert result.std_error == pytest.approx(row["std_error"], rel=0.07)
    earnings = nsw["earnings_1978_usd"].to_numpy()
    plain = sm.OLS(earnings, sm.add_constant(nsw["treated"].to_numpy(dtype=float))).fit()
    assert plain.bse[1] == pytest.approx(row["std_error"], rel=1e-9)
    assert result.std_error == pytest.approx(plain.HC1_se[1], rel=1e-9)


@pytest.mark.parametrize("estimand", ["ATT", "ATE", "ATO"])
def test_without_covariates_it_is_weighted_least_squares_of_statsmodels(lalonde, estimand):
    weighting = inverse_probability(lalonde, **LALONDE, estimand=estimand)
    X = sm.add_constant(lalonde["treated"].to_numpy(dtype=float))
    other = sm.WLS(lalonde["earnings_1978_usd"].to_numpy(), X, weights=weighting.weights.to_numpy()).fit()
    for kind, error in (("hc0", other.HC0_se[1]), ("hc1", other.HC1_se[1])):
        result = weighted_difference.estimate(lalonde, weighting, **EARNINGS, std_errors=kind)
        assert result.estimate == pytest.approx(other.params[1], rel=1e-9)
        assert result.std_error == pytest.approx(error, rel=1e-9)
    clustered = other.get_robustcov_results("cluster", groups=lalonde["age"].to_numpy())
    result = weighted_difference.estimate(lalonde, weighting, **EARNINGS, cluster="age")
    assert result.std_error == pytest.approx(clustered.bse[1], rel=1e-9)
    assert result.n_clusters == lalonde["age"].nunique()
    assert result.df == result.n_clusters - 1


def test_with_covariates_it_is_the_interacted_regression_centred_at_the_treated(lalonde):
    weighting = inverse_probability(lalonde, **LALONDE)
    names = ["age", "schooling_years", "earnings_1975_usd"]
    treated = lalonde["treated"].to_numpy(dtype=float)
    centred = (lalonde[names] - lalonde.loc[lalonde["treated"] == 1, names].mean()).to_numpy()
    X = np.column_stack([np.ones(len(lalonde)), treated, centred, centred * treated[:, None]])
    other = sm.WLS(lalonde["earnings_1978_usd"].to_numpy(), X, weights=weighting.weights.to_numpy()).fit()
    result = weighted_difference.estimate(lalonde, weighting, **EARNINGS, covariates=names, std_errors="hc0")
    assert result.estimate == pytest.approx(other.params[1], rel=1e-9)
    # the regression takes the treated's means as given; where effects differ between people their draw counts too
    drawn = centred[treated == 1] @ other.params[5:] / treated.sum()
    assert result.std_error == pytest.approx(np.hypot(other.HC0_se[1], np.sqrt((drawn**2).sum())), rel=1e-9)
    assert result.settings["outcome_covariates"] == names


def test_for_matched_sets_it_agrees_with_the_matched_difference(lalonde):
    matches = nearest(lalonde, **LALONDE)
    one = matched_difference.estimate(lalonde, matches, outcome="earnings_1978_usd")
    other = weighted_difference.estimate(lalonde, Weighting.of(matches), **EARNINGS)
    assert other.settings["std_errors"] == "set"
    assert (other.estimate, other.std_error) == pytest.approx((one.estimate, one.std_error), rel=1e-10)
    frame = lalonde.assign(county=lalonde["age"] // 5)
    one = matched_difference.estimate(frame, matches, outcome="earnings_1978_usd", cluster="county")
    other = weighted_difference.estimate(frame, Weighting.of(matches), **EARNINGS, cluster="county")
    assert other.settings["std_errors"] == "set_and_cluster"
    assert other.std_error == pytest.approx(one.std_error, rel=1e-10)


def test_a_hand_worked_difference_and_its_error():
    frame = pd.DataFrame({"treated": [1, 1, 0, 0], "y": [10.0, 14.0, 3.0, 7.0]})
    weighting = Weighting(weights=pd.Series([1.0, 1.0, 3.0, 1.0]), estimand="ATT", method="by_hand")
    result = weighted_difference.estimate(frame, weighting, treatment="treated", outcome="y", std_errors="hc0")
    # controls: (3 x 3 + 7) / 4 = 4; residuals -2, 2 with shares 1/2 and -1, 3 with shares 3/4, 1/4
    assert result.estimate == pytest.approx(8)
    assert result.std_error == pytest.approx(np.sqrt(1 + 1 + 9 / 16 + 9 / 16))
    assert result.df == 2


def test_covariates_repair_wrong_weights_and_weights_repair_a_wrong_model():
    generator = np.random.default_rng(4)
    frame = people(generator, units=20_000)
    equal = Weighting(weights=pd.Series(1.0, index=frame.index), estimand="ATT", method="none")
    y = {"treatment": "treated", "outcome": "y"}
    assert abs(weighted_difference.estimate(frame, equal, **y).estimate - 1.5) > 0.5
    repaired = weighted_difference.estimate(frame, equal, **y, covariates=["a", "b"])
    assert abs(repaired.estimate - 1.5) < 4 * repaired.std_error
    curved = frame.assign(y=frame["y"] + np.exp(frame["a"]))
    weighting = inverse_probability(frame, treatment="treated", covariates=["a", "b"])
    both = weighted_difference.estimate(curved, weighting, **y, covariates=["a", "b"])
    assert abs(both.estimate - 1.5) < 4 * both.std_error
    model_alone = weighted_difference.estimate(curved, equal, **y, covariates=["a", "b"])
    assert abs(model_alone.estimate - 1.5) > 4 * model_alone.std_error


@pytest.mark.parametrize("covariates", [[], ["a", "b"]])
@pytest.mark.parametrize("method", [entropy_balancing, inverse_probability])
def test_planted_effects_are_covered_by_about_nineteen_in_twenty_intervals(method, covariates):
    generator = np.random.default_rng(9)
    hits, draws = 0, 80
    for _ in range(draws):
        frame = people(generator, growing=0.5)
        truth = 1.5 + 0.5 * frame.loc[frame["treated"] == 1, "a"].mean()
        weighting = method(frame, treatment="treated", covariates=["a", "b"])
        low, high = weighted_difference.estimate(
            frame, weighting, treatment="treated", outcome="y", covariates=covariates
        ).ci
        hits += low <= truth <= high
    assert hits / draws >= 0.87


def test_for_all_units_the_average_effect_is_found_and_not_that_on_the_treated():
    generator = np.random.default_rng(12)
    frame = people(generator, units=20_000, growing=1.0)
    on_treated = 1.5 + frame.loc[frame["treated"] == 1, "a"].mean()
    y = {"treatment": "treated", "outcome": "y", "covariates": ["a", "b"]}
    for method in (entropy_balancing, inverse_probability):
        weighting = method(frame, treatment="treated", covariates=["a", "b"], estimand="ATE")
        result = weighted_difference.estimate(frame, weighting, **y)
        assert result.estimand == "ATE"
        assert abs(result.estimate - 1.5) < 4 * result.std_error
        assert abs(result.estimate - on_treated) > 4 * result.std_error


def test_a_bootstrap_that_weights_anew_agrees_with_the_error_of_the_balanced_mean():
    frame = people(np.random.default_rng(3), units=300)
    weighting = entropy_balancing(frame, treatment="treated", covariates=["a", "b"])
    y = {"treatment": "treated", "outcome": "y"}

    def reweight(drawn):
        return entropy_balancing(drawn, treatment="treated", covariates=["a", "b"])

    drawn = weighted_difference.estimate(
        frame, weighting, **y, std_errors="bootstrap", reweight=reweight, draws=150, generator=np.random.default_rng(1)
    )
    # exact balance in what moves the outcome leaves only the noise, which the regression's error sees as well
    with_model = weighted_difference.estimate(frame, weighting, **y, covariates=["a", "b"])
    assert drawn.std_error == pytest.approx(with_model.std_error, rel=0.2)
    # taking the weights as given is far too cautious here
    assert drawn.std_error < 0.8 * weighted_difference.estimate(frame, weighting, **y).std_error
    assert drawn.settings["draws_failed"] == 0
    again = weighted_difference.estimate(
        frame, weighting, **y, std_errors="bootstrap", reweight=reweight, draws=150, generator=np.random.default_rng(1)
    )
    assert again.std_error == drawn.std_error


def test_a_bootstrap_of_matched_sets_agrees_with_the_clustered_error(lalonde):
    weighting = Weighting.of(nearest(lalonde, **LALONDE))
    drawn = weighted_difference.estimate(
        lalonde, weighting, **EARNINGS, std_errors="bootstrap", draws=600, generator=np.random.default_rng(1)
    )
    by_set = weighted_difference.estimate(lalonde, weighting, **EARNINGS)
    assert drawn.std_error == pytest.approx(by_set.std_error, rel=0.1)


def test_a_bootstrap_of_clusters_sees_shared_shocks():
    generator = np.random.default_rng(11)
    county = np.repeat(np.arange(40), 10)
    frame = pd.DataFrame({"treated": county % 2, "x": generator.normal(size=400), "county": county})
    frame["y"] = 3 * generator.normal(size=40)[county] + generator.normal(size=400)
    names = {"treatment": "treated", "covariates": ["x"]}
    weighting = inverse_probability(frame, **names, estimand="ATO")
    given = {
        "treatment": "treated",
        "outcome": "y",
        "std_errors": "bootstrap",
        "reweight": lambda drawn: inverse_probability(drawn, **names, estimand="ATO"),
        "draws": 100,
    }
    by_unit = weighted_difference.estimate(frame, weighting, **given, generator=np.random.default_rng(2))
    by_county = weighted_difference.estimate(
        frame, weighting, **given, cluster="county", generator=np.random.default_rng(2)
    )
    assert by_county.std_error > 1.5 * by_unit.std_error


def test_a_bootstrap_that_is_not_valid_is_refused_with_the_reason(lalonde):
    reused = Weighting.of(nearest(lalonde, **LALONDE, replace=True))
    seed = {"std_errors": "bootstrap", "generator": np.random.default_rng(0)}
    with pytest.raises(InputError, match=r"not valid .*Abadie and Imbens 2008"):
        weighted_difference.estimate(lalonde, reused, **EARNINGS, **seed)
    pairs = Weighting.of(nearest(lalonde, **LALONDE))
    with pytest.raises(InputError, match="not matched anew"):
        weighted_difference.estimate(
            lalonde, pairs, **EARNINGS, **seed, reweight=lambda drawn: inverse_probability(drawn, **LALONDE)
        )
    odds = inverse_probability(lalonde, **LALONDE)
    with pytest.raises(InputError, match=r"(?s)give reweight.*needs a seed"):
        weighted_difference.estimate(lalonde, odds, **EARNINGS, std_errors="bootstrap")
    with pytest.raises(InputError, match="reach across clusters"):
        weighted_difference.estimate(lalonde, pairs, **EARNINGS, **seed, cluster="age")


def test_draws_that_cannot_be_weighted_are_an_error_when_they_are_many():
    frame = people(np.random.default_rng(3), units=60)
    weighting = entropy_balancing(frame, treatment="treated", covariates=["a", "b"])

    def never(drawn):
        raise EstimationError("no")

    with pytest.raises(EstimationError, match="20 of 20 draws"):
        weighted_difference.estimate(
            frame,
            weighting,
            treatment="treated",
            outcome="y",
            std_errors="bootstrap",
            reweight=never,
            draws=20,
            generator=np.random.default_rng(1),
        )


@pytest.mark.parametrize("covariates", [[], ["age", "race"]])
def test_laws_of_shift_scale_order_group_weights_and_untouched_input(lalonde, covariates):
    weighting = inverse_probability(lalonde, **LALONDE)
    before = lalonde.copy()

    def found(frame=lalonde, by=weighting):
        result = weighted_difference.estimate(frame, by, **EARNINGS, covariates=covariates, std_errors="hc0")
        return np.array([result.estimate, result.std_error])

    base = found()
    pd.testing.assert_frame_equal(lalonde, before)
    y = lalonde["earnings_1978_usd"]
    np.testing.assert_allclose(found(lalonde.assign(earnings_1978_usd=y + 1e6)), base, rtol=1e-7)
    np.testing.assert_allclose(found(lalonde.assign(earnings_1978_usd=y * 1e-3)), base * 1e-3, rtol=1e-9)
    np.testing.assert_allclose(found(lalonde.iloc[::-1]), base, rtol=1e-9)
    heavier = weighting.weights.where(lalonde["treated"] == 1, weighting.weights * 7)
    np.testing.assert_allclose(found(by=replace(weighting, weights=heavier)), base, rtol=1e-9)


def test_an_estimand_that_was_trimmed_is_the_one_reported_with_what_was_left_out(lalonde):
    weighting = inverse_probability(lalonde, **LALONDE, trim=(0.1, 0.9))
    result = weighted_difference.estimate(lalonde, weighting, **EARNINGS)
    assert result.estimand == "ATT among units with a propensity of 0.1 to 0.9"
    assert result.n_units + sum(item.units for item in result.exclusions) == len(lalonde)


def test_without_noise_or_with_one_cluster_the_error_is_undefined():
    frame = pd.DataFrame({"treated": [1, 1, 0, 0], "y": [3.0, 3.0, 1.0, 1.0], "place": "here"})
    equal = Weighting(weights=pd.Series(1.0, index=frame.index), estimand="ATT", method="none")
    y = {"treatment": "treated", "outcome": "y"}
    for options in ({}, {"cluster": "place"}):
        result = weighted_difference.estimate(frame, equal, **y, **options)
        assert result.estimate == 2.0
        assert np.isnan(result.std_error)
    alone = frame.iloc[[0, 2]]
    result = weighted_difference.estimate(alone, replace(equal, weights=equal.weights.iloc[[0, 2]]), **y)
    assert np.isnan(result.p_value)


def test_covariate_values_that_a_group_cannot_tell_of_are_refused():
    frame = people(np.random.default_rng(2)).assign(kind="common")
    frame.loc[frame.index[frame["treated"] == 1][:5], "kind"] = "rare"
    equal = Weighting(weights=pd.Series(1.0, index=frame.index), estimand="ATT", method="none")
    with pytest.raises(EstimationError, match="no control that counts tells of some covariate values"):
        weighted_difference.estimate(frame, equal, treatment="treated", outcome="y", covariates=["a", "kind"])


def test_unusable_input_is_refused_with_every_fault_at_once(lalonde):
    weighting = inverse_probability(lalonde, **LALONDE)
    with pytest.raises(InputError, match=r"(?s)gives none.*no column 'pay'"):
        weighted_difference.estimate(lalonde, weighting, treatment="treated", outcome="pay", std_errors="set")
    with pytest.raises(InputError, match="need a cluster column"):
        weighted_difference.estimate(lalonde, weighting, **EARNINGS, std_errors="cluster")
    with pytest.raises(InputError, match="'hc3' is unknown"):
        weighted_difference.estimate(lalonde, weighting, **EARNINGS, std_errors="hc3")
    with pytest.raises(InputError, match="p614 absent"):
        weighted_difference.estimate(lalonde.drop("p614"), weighting, **EARNINGS)
    gap = lalonde.assign(earnings_1978_usd=lalonde["earnings_1978_usd"].where(lalonde.index != "p003"))
    with pytest.raises(InputError, match="empty for units p003"):
        weighted_difference.estimate(gap, weighting, **EARNINGS)
