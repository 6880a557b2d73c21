from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from tests.lalonde import COVARIATES, read_lalonde
from wwc_research.design.matching import covariate_matrix, nearest, propensity_scores
from wwc_research.errors import EstimationError, InputError
from wwc_research.estimators import matched_difference

FIGURES = Path(__file__).parents[1] / "figures"
KEEP_TIES = {"distance": "mahalanobis", "covariance": "overall", "replace": True, "ties": "all"}
MATCHED_BY_R = {
    "NN 1:1 logit PS no replacement m.order=largest, diff in weighted means, SE cluster pair": {},
    "NN 1:1 m.order=closest": {"order": "closest"},
    "NN 1:1 caliper 0.1 SD": {"caliper": 0.1},
    "NN 1:1 with replacement (HC1)": {"replace": True},
    "NN 2:1 m.order=largest": {"ratio": 2},
    "NN mahalanobis no replacement": {"distance": "mahalanobis"},
    "Matching::Match Mahalanobis M=1 ATT BiasAdjust=FALSE AI SE (ties kept)": KEEP_TIES,
    "Matching::Match Mahalanobis M=3 ATT BiasAdjust=FALSE AI SE (ties kept)": {**KEEP_TIES, "ratio": 3},
}


@pytest.fixture(scope="module")
def lalonde():
    return read_lalonde()


@pytest.fixture(scope="module")
def numbers():
    return pd.read_csv(FIGURES / "lalonde_numbers.csv", index_col="spec")


@pytest.mark.parametrize("spec", MATCHED_BY_R)
def test_estimates_and_standard_errors_equal_those_of_r(lalonde, numbers, spec):
    options = MATCHED_BY_R[spec]
    matches = nearest(lalonde, treatment="treated", covariates=COVARIATES, **options)
    std_errors = "abadie_imbens" if "ties" in options else None
    result = matched_difference.estimate(lalonde, matches, outcome="earnings_1978_usd", std_errors=std_errors)
    assert result.estimate == pytest.approx(numbers.loc[spec, "estimate"], rel=1e-6)
    assert result.std_error == pytest.approx(numbers.loc[spec, "std_error"], rel=1e-6)


@pytest.mark.parametrize("ratio", [1, 3])
def test_bias_adjusted_estimates_and_standard_errors_equal_those_of_matching(lalonde, numbers, ratio):
    spec = f"Matching::Match Mahalanobis M={ratio} ATT BiasAdjust=TRUE AI SE (ties kept)"
    matches = nearest(lalonde, treatment="treated", covariates=COVARIATES, **KEEP_TIES, ratio=ratio)
    result = matched_difference.estimate(
        lalonde, matches, outcome="earnings_1978_usd", std_errors="abadie_imbens", bias_covariates=COVARIATES
    )
    assert result.estimate == pytest.approx(numbers.loc[spec, "estimate"], rel=1e-6)
    assert result.std_error == pytest.approx(numbers.loc[spec, "std_error"], rel=1e-6)


def test_matches_on_the_propensity_score_with_near_ties_equal_those_of_matching(lalonde, numbers):
    row = numbers.loc["Matching::Match on logit PS M=1 ATT AI SE (PS treated as known)"]
    X = covariate_matrix(lalonde, covariates=COVARIATES).to_numpy()
    frame = lalonde.assign(score=propensity_scores(X, treated=lalonde["treated"].to_numpy() == 1))
    matches = nearest(frame, treatment="treated", covariates=["score"], **KEEP_TIES, tie_tolerance=1e-5)
    result = matched_difference.estimate(frame, matches, outcome="earnings_1978_usd", std_errors="abadie_imbens")
    assert result.estimate == pytest.approx(row["estimate"], rel=1e-6)
    assert result.std_error == pytest.approx(row["std_error"], rel=1e-6)


def test_bias_adjustment_takes_out_what_a_line_explains():
    # each match is one unit of x short; the outcome rises by 3 a unit of x, and the effect is 10
    frame = pd.DataFrame(
        {"treated": [1, 1, 1, 0, 0, 0], "x": [1.0, 11.0, 21.0, 0.0, 10.0, 20.0], "same": 4.0},
    )
    frame["y"] = 3 * frame["x"] + 10 * frame["treated"]
    matches = nearest(frame, treatment="treated", covariates=["x"], distance="mahalanobis")
    plain = matched_difference.estimate(frame, matches, outcome="y")
    adjusted = matched_difference.estimate(frame, matches, outcome="y", bias_covariates=["x", "same"])
    assert plain.estimate == pytest.approx(13)
    assert adjusted.estimate == pytest.approx(10)


def test_bias_covariates_that_use_up_the_controls_are_refused():
    generator = np.random.default_rng(1)
    frame = pd.DataFrame(generator.normal(size=(6, 3)), columns=["a", "b", "y"]).assign(treated=[1, 1, 1, 0, 0, 0])
    matches = nearest(frame, treatment="treated", covariates=["a"], distance="mahalanobis")
    with pytest.raises(EstimationError, match="3 matched controls for 3 parameters"):
        matched_difference.estimate(frame, matches, outcome="y", bias_covariates=["a", "b"])


def test_bias_adjustment_restores_coverage_where_matches_are_poor():
    generator = np.random.default_rng(6)
    hits = {(): 0, ("a", "b"): 0}
    for _ in range(40):
        x = generator.normal(size=(200, 2))
        treated = generator.random(200) < 1 / (1 + np.exp(1 - 1.2 * x[:, 0]))
        y = 4 * x[:, 0] + x[:, 1] + 1.5 * treated + generator.normal(size=200)
        frame = pd.DataFrame({"treated": treated.astype(int), "a": x[:, 0], "b": x[:, 1], "y": y})
        matches = nearest(frame, treatment="treated", covariates=["a", "b"], **KEEP_TIES)
        for names in hits:
            low, high = matched_difference.estimate(
                frame, matches, outcome="y", std_errors="abadie_imbens", bias_covariates=names
            ).ci
            hits[names] += low <= 1.5 <= high
    assert hits["a", "b"] >= 34
    assert hits["a", "b"] > hits[()]


def test_a_hand_worked_difference_is_the_mean_gap_of_the_pairs():
    frame = pd.DataFrame({"treated": [1, 1, 0, 0], "x": [1.0, 5.0, 1.1, 5.1], "y": [10.0, 20.0, 7.0, 15.0]})
    matches = nearest(frame, treatment="treated", covariates=["x"], distance="mahalanobis")
    result = matched_difference.estimate(frame, matches, outcome="y")
    assert result.estimate == 4.0
    # two pairs with gaps 3 and 5: their standard error of the mean is 1, times sqrt(3/2) for (n-1)/(n-2)
    assert result.std_error == pytest.approx(np.sqrt(1.5))
    assert result.n_clusters == 2
    assert result.df == 1


def test_a_cluster_as_fine_as_the_pairs_changes_nothing(lalonde):
    matches = nearest(lalonde, treatment="treated", covariates=COVARIATES)
    sets = dict(zip(matches.pairs["control"], matches.pairs["treated"], strict=True))
    frame = lalonde.assign(pair=[sets.get(person, person) for person in lalonde.index])
    by_pair = matched_difference.estimate(frame, matches, outcome="earnings_1978_usd")
    both = matched_difference.estimate(frame, matches, outcome="earnings_1978_usd", cluster="pair")
    assert both.std_error == pytest.approx(by_pair.std_error, rel=1e-10)


def test_shared_county_shocks_widen_the_standard_error():
    generator = np.random.default_rng(11)
    county = np.repeat(np.arange(20), 10)
    frame = pd.DataFrame(
        {
            "treated": (county < 10).astype(int),
            "x": generator.normal(size=200),
            "county": county,
            "y": generator.normal(size=20)[county] * 3 + generator.normal(size=200),
        }
    )
    matches = nearest(frame, treatment="treated", covariates=["x"], distance="mahalanobis")
    plain = matched_difference.estimate(frame, matches, outcome="y")
    clustered = matched_difference.estimate(frame, matches, outcome="y", cluster="county")
    assert clustered.std_error > 1.5 * plain.std_error
    assert clustered.n_clusters == 20


def test_one_matched_pair_has_an_estimate_and_no_standard_error():
    frame = pd.DataFrame({"treated": [1, 0, 0], "x": [1.0, 1.1, 5.0], "y": [3.0, 1.0, 9.0]})
    matches = nearest(frame, treatment="treated", covariates=["x"], distance="mahalanobis")
    result = matched_difference.estimate(frame, matches, outcome="y")
    assert result.estimate == 2.0
    assert np.isnan(result.std_error)
    assert np.isnan(result.p_value)


def test_an_effect_that_was_planted_is_found_within_its_error():
    generator = np.random.default_rng(2)
    hits = 0
    for _ in range(40):
        x = generator.normal(size=(300, 2))
        treated = generator.random(300) < 1 / (1 + np.exp(1.5 - 0.5 * x[:, 0]))
        y = 2 * x[:, 0] + x[:, 1] + 1.5 * treated + generator.normal(size=300)
        frame = pd.DataFrame({"treated": treated.astype(int), "a": x[:, 0], "b": x[:, 1], "y": y})
        matches = nearest(frame, treatment="treated", covariates=["a", "b"], distance="mahalanobis")
        low, high = matched_difference.estimate(frame, matches, outcome="y").ci
        hits += low <= 1.5 <= high
    assert hits >= 34


def test_standard_errors_that_the_matches_cannot_give_are_refused(lalonde):
    reused = nearest(lalonde, treatment="treated", covariates=COVARIATES, replace=True)
    single = nearest(lalonde, treatment="treated", covariates=COVARIATES)
    outcome = "earnings_1978_usd"
    with pytest.raises(InputError, match="without replacement"):
        matched_difference.estimate(lalonde, reused, outcome=outcome, std_errors="matched_set")
    with pytest.raises(InputError, match="with replacement"):
        matched_difference.estimate(lalonde, single, outcome=outcome, std_errors="abadie_imbens")
    with pytest.raises(InputError, match="no column 'earnings'"):
        matched_difference.estimate(lalonde, single, outcome="earnings")
