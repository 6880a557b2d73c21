from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import statsmodels.api as sm
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.lalonde import COVARIATES, read_lalonde
from wwc_research.design.balance import balance
from wwc_research.design.inverse_probability import inverse_probability
from wwc_research.errors import EstimationError, InputError

FIGURES = Path(__file__).parents[1] / "figures"
LALONDE = {"treatment": "treated", "covariates": COVARIATES}


@pytest.fixture(scope="module")
def lalonde():
    return read_lalonde()


def by_hand():
    """Two kinds of units: 1 in 4 of the first and 2 in 3 of the second are treated."""
    return pd.DataFrame({"kind": list("aaaabbb"), "treated": [1, 0, 0, 0, 1, 1, 0]})


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({"estimand": "ATT"}, [1, 1 / 3, 1 / 3, 1 / 3, 1, 1, 2]),
        ({"estimand": "ATE"}, [4, 4 / 3, 4 / 3, 4 / 3, 1.5, 1.5, 3]),
        ({"estimand": "ATO"}, [3 / 4, 1 / 4, 1 / 4, 1 / 4, 1 / 3, 1 / 3, 2 / 3]),
    ],
)
def test_weights_worked_by_hand(options, expected):
    found = inverse_probability(by_hand(), treatment="treated", covariates=["kind"], **options)
    np.testing.assert_allclose(found.weights, expected, rtol=1e-6)
    assert found.estimand == options["estimand"]
    np.testing.assert_allclose(found.propensity, [1 / 4] * 4 + [2 / 3] * 3, rtol=1e-6)


@pytest.mark.parametrize("estimand", ["ATT", "ATE"])
def test_stabilised_weights_average_one_in_each_group_and_leave_shares_as_they_were(lalonde, estimand):
    plain = inverse_probability(lalonde, **LALONDE, estimand=estimand).weights
    stable = inverse_probability(lalonde, **LALONDE, estimand=estimand, stabilised=True).weights
    for side in (lalonde["treated"] == 1, lalonde["treated"] == 0):
        np.testing.assert_allclose(stable[side] / stable[side].sum(), plain[side] / plain[side].sum())
    kinds = inverse_probability(
        by_hand(), treatment="treated", covariates=["kind"], estimand=estimand, stabilised=True
    ).weights
    np.testing.assert_allclose(kinds.groupby(by_hand()["treated"]).mean(), 1.0, rtol=1e-6)


def test_overlap_weights_balance_exactly_what_the_logistic_model_holds(lalonde):
    found = inverse_probability(lalonde, **LALONDE, estimand="ATO")
    table = balance(lalonde, treatment="treated", covariates=COVARIATES, weights=found.weights)
    assert table["smd_after"].abs().max() < 1e-9


def test_trimming_leaves_units_out_counts_them_and_names_the_estimand_anew(lalonde):
    whole = inverse_probability(lalonde, **LALONDE)
    found = inverse_probability(lalonde, **LALONDE, trim=(0.1, 0.9))
    outside = ~whole.propensity.between(0.1, 0.9)
    assert (found.weights[outside] == 0).all()
    pd.testing.assert_series_equal(found.weights[~outside], whole.weights[~outside])
    assert sum(item.units for item in found.exclusions) == outside.sum()
    assert found.estimand == "ATT among units with a propensity of 0.1 to 0.9"
    assert inverse_probability(lalonde, **LALONDE, trim=(0.0, 1.0)).estimand == "ATT"


@pytest.mark.parametrize(
    "model", ["gradient_boosting", "penalised_logistic", "naive_bayes", "LinearDiscriminantAnalysis"]
)
def test_other_models_are_cross_fitted_and_repeat_with_their_seed(lalonde, model):
    def found(seed):
        return inverse_probability(
            lalonde, **LALONDE, estimand="ATO", model=model, generator=np.random.default_rng(seed)
        )

    first = found(1)
    pd.testing.assert_series_equal(first.weights, found(1).weights)
    assert not first.weights.equals(found(2).weights)
    assert first.settings["cross_fitted"]
    assert first.propensity.corr(inverse_probability(lalonde, **LALONDE).propensity) > 0.7


def test_a_unit_is_never_scored_by_a_model_that_has_seen_it():
    # a tree grown to the end knows every unit it has seen: scores would be 0 or 1 and right each time
    generator = np.random.default_rng(5)
    frame = pd.DataFrame({"x": generator.normal(size=200), "treated": generator.integers(0, 2, size=200)})
    found = inverse_probability(
        frame,
        treatment="treated",
        covariates=["x"],
        estimand="ATO",
        model="DecisionTreeClassifier",
        generator=np.random.default_rng(0),
    )
    agreement = ((found.propensity > 0.5) == (frame["treated"] == 1)).mean()
    assert 0.3 < agreement < 0.7


def test_infinite_weights_are_refused_and_overlap_weights_are_not():
    generator = np.random.default_rng(5)
    frame = pd.DataFrame({"x": generator.normal(size=200), "treated": generator.integers(0, 2, size=200)})
    options = {"treatment": "treated", "covariates": ["x"], "model": "DecisionTreeClassifier"}
    with pytest.raises(EstimationError, match=r"weights are infinite\. Trim"):
        inverse_probability(frame, **options, generator=np.random.default_rng(0))
    found = inverse_probability(frame, **options, estimand="ATO", generator=np.random.default_rng(0))
    assert np.isfinite(found.weights).all()


def test_rare_treatment_among_thousands_has_scores_and_they_are_those_of_statsmodels():
    # 185 of the programme among 16,000 of a survey: whole Newton steps overshoot and look like separation
    nsw = pd.read_csv(FIGURES / "nsw.csv", index_col="person")
    men = pd.concat([nsw[nsw["treated"] == 1], pd.read_csv(FIGURES / "cps_comparison.csv.gz", index_col="person")])
    found = inverse_probability(men, treatment="treated", covariates=COVARIATES).propensity
    X = pd.get_dummies(men[COVARIATES], columns=["race"], drop_first=True, dtype=float)
    scaled = sm.add_constant(((X - X.mean()) / X.std()).to_numpy())
    other = sm.Logit(men["treated"].to_numpy(dtype=float), scaled).fit(disp=0, maxiter=100)
    np.testing.assert_allclose(found, other.predict(scaled), rtol=1e-5)
    assert found.sum() == pytest.approx(185)


def test_perfect_separation_and_trimming_to_nothing_are_errors():
    frame = pd.DataFrame({"x": np.arange(20.0), "treated": (np.arange(20) > 9).astype(int)})
    with pytest.raises(EstimationError, match="covariates x: the covariates tell treated from untreated"):
        inverse_probability(frame, treatment="treated", covariates=["x"])
    with pytest.raises(EstimationError, match="leaves no treated unit and no control"):
        inverse_probability(by_hand().iloc[[0, 1, 4, 5, 6]], treatment="treated", covariates=["kind"], trim=(0.9, 1.0))


@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 10_000), estimand=st.sampled_from(["ATT", "ATE", "ATO"]))
def test_weights_do_not_depend_on_row_order_or_units_of_measurement(seed, estimand):
    generator = np.random.default_rng(seed)
    frame = pd.DataFrame({"x": generator.normal(size=80), "z": generator.normal(size=80)})
    frame["treated"] = (generator.random(80) < 1 / (1 + np.exp(1 - frame["x"]))).astype(int)
    frame.loc[0, "treated"], frame.loc[1, "treated"] = 1, 0
    options = {"treatment": "treated", "covariates": ["x", "z"], "estimand": estimand}
    try:
        found = inverse_probability(frame, **options).weights
    except EstimationError:
        return
    moved = frame.assign(x=frame["x"] * 1000 - 7).iloc[::-1]
    again = inverse_probability(moved, **options).weights
    np.testing.assert_allclose(again.loc[found.index], found, rtol=1e-5)


def test_unusable_options_are_refused(lalonde):
    with pytest.raises(InputError, match=r"(?s)'ATC'.*trim is \(0.9, 0.1\)"):
        inverse_probability(lalonde, **LALONDE, estimand="ATC", trim=(0.9, 0.1))
    with pytest.raises(InputError, match="give a seed"):
        inverse_probability(lalonde, **LALONDE, model="random_forest")
    for model, words in (("forest", "is unknown"), ("LinearSVC", "no probabilities"), ("StackingClassifier", "alone")):
        with pytest.raises(InputError, match=words):
            inverse_probability(lalonde, **LALONDE, model=model, generator=np.random.default_rng(0))


def test_too_few_units_for_cross_fitting_is_an_error_that_points_to_logistic():
    frame = pd.DataFrame({"x": np.arange(9.0), "treated": [0, 0, 0, 1, 0, 0, 0, 0, 0]})
    with pytest.raises(EstimationError, match="use 'logistic'"):
        inverse_probability(
            frame, treatment="treated", covariates=["x"], model="naive_bayes", generator=np.random.default_rng(0)
        )
