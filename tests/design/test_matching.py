import itertools

import numpy as np
import pandas as pd
import pytest

from tests.lalonde import COVARIATES, read_lalonde
from wwc_research.design.matching import (
    covariate_matrix,
    mahalanobis_coordinates,
    nearest,
    propensity_scores,
)
from wwc_research.errors import EstimationError, InputError


@pytest.fixture(scope="module")
def lalonde():
    return read_lalonde()


def small(treated, x, **more):
    index = [f"u{number}" for number in range(len(x))]
    return pd.DataFrame({"treated": treated, "x": x, **more}, index=index)


def matched(frame, **options):
    matches = nearest(frame, treatment="treated", covariates=["x"], distance="mahalanobis", **options)
    return set(map(tuple, matches.pairs[["treated", "control"]].to_numpy()))


def test_propensity_scores_equal_those_of_a_generalised_linear_model(lalonde):
    sm = pytest.importorskip("statsmodels.api")
    X = covariate_matrix(lalonde, covariates=COVARIATES)
    design = sm.add_constant(X.drop(columns="raceblack").to_numpy())
    fitted = sm.GLM(lalonde["treated"], design, family=sm.families.Binomial()).fit(tol=1e-13).fittedvalues
    own = propensity_scores(X.to_numpy(), treated=(lalonde["treated"] == 1).to_numpy())
    np.testing.assert_allclose(own, fitted, rtol=1e-9)


def test_equal_people_have_equal_scores_to_the_last_bit():
    generator = np.random.default_rng(3)
    X = generator.normal(size=(60, 3))
    X = np.vstack([X, X[::-1]])
    treated = generator.random(120) < 0.4
    scores = propensity_scores(X, treated=treated)
    assert (scores[:60] == scores[60:][::-1]).all()


def test_perfectly_separated_groups_have_no_propensity_score():
    frame = small([1, 1, 0, 0], [3.0, 4.0, 1.0, 2.0])
    with pytest.raises(EstimationError, match="perfectly"):
        nearest(frame, treatment="treated", covariates=["x"])


def test_covariates_that_cannot_match_are_named(lalonde):
    separate = lalonde.assign(age=lalonde["age"] + 1e6 * lalonde["treated"])
    with pytest.raises(EstimationError, match=r"covariates age and race: .*perfectly"):
        nearest(separate, treatment="treated", covariates=["age", "race"])


def test_scores_at_one_overflow_in_silence(lalonde):
    treated = lalonde["treated"] == 1
    few = pd.concat([lalonde[treated], lalonde[~treated].head(2)])
    with pytest.raises(EstimationError, match="perfectly"):
        nearest(few, treatment="treated", covariates=COVARIATES)


def test_a_category_without_treated_units_leaves_the_scores_of_the_others_as_they_are():
    generator = np.random.default_rng(4)
    x = generator.normal(size=300)
    treated = generator.random(300) < 1 / (1 + np.exp(-x))
    never = np.arange(300) >= 240
    treated[never] = False
    scores = propensity_scores(np.column_stack([x, never]), treated=treated)
    without = propensity_scores(x[~never, None], treated=treated[~never])
    np.testing.assert_allclose(scores[~never], without, rtol=1e-8)
    assert scores[never].max() < 1e-8


def test_covariates_that_never_vary_are_no_ground_for_matching():
    frame = small([1, 0, 0], [2.0, 2.0, 2.0])
    for distance in ("propensity", "mahalanobis"):
        with pytest.raises(EstimationError, match="no covariate varies"):
            nearest(frame, treatment="treated", covariates=["x"], distance=distance)


def test_mahalanobis_distances_do_not_depend_on_units_or_on_how_categories_are_coded(lalonde):
    treated = (lalonde["treated"] == 1).to_numpy()
    X = covariate_matrix(lalonde, covariates=COVARIATES)

    def gaps(table):
        points, _ = mahalanobis_coordinates(table.to_numpy(), treated=treated)
        return np.linalg.norm(points[:20, None] - points[None, 200:260], axis=2)

    np.testing.assert_allclose(gaps(X), gaps(X.drop(columns="raceblack") * 7), rtol=1e-8)


def test_mahalanobis_distance_equals_the_textbook_formula():
    generator = np.random.default_rng(0)
    X = generator.normal(size=(30, 2)) @ np.array([[2.0, 0.3], [0.0, 1.0]])
    treated = np.arange(30) < 10
    within = np.cov(X[:10].T) * 9 + np.cov(X[10:].T) * 19
    gap = X[0] - X[15]
    points, _ = mahalanobis_coordinates(X, treated=treated)
    expected = gap @ np.linalg.inv(within / 28) @ gap
    assert np.square(points[0] - points[15]).sum() == pytest.approx(expected, rel=1e-10)


def test_a_hand_worked_match_takes_the_nearest_control():
    frame = small([1, 1, 0, 0, 0], [1.0, 5.0, 1.2, 4.0, 9.0])
    assert matched(frame) == {("u0", "u2"), ("u1", "u3")}


def test_without_replacement_no_control_serves_twice_and_with_replacement_it_may():
    frame = small([1, 1, 0, 0], [1.0, 1.1, 1.2, 9.0])
    assert matched(frame) == {("u0", "u2"), ("u1", "u3")}
    assert matched(frame, replace=True) == {("u0", "u2"), ("u1", "u2")}


def test_the_closest_pair_goes_first_in_closest_order():
    frame = small([1, 1, 0, 0], [1.0, 1.15, 1.2, 9.0])
    assert matched(frame, order="data") == {("u0", "u2"), ("u1", "u3")}
    assert matched(frame, order="closest") == {("u1", "u2"), ("u0", "u3")}


def test_every_treated_unit_gets_its_first_control_before_any_gets_a_second():
    frame = small([1, 1, 0, 0, 0], [1.0, 1.1, 1.2, 1.3, 9.0])
    matches = nearest(frame, treatment="treated", covariates=["x"], distance="mahalanobis", ratio=2)
    assert matches.pairs.groupby("treated").size().to_dict() == {"u0": 2, "u1": 1}
    assert matches.n_matched_treated == 2


def test_controls_share_the_weight_of_their_treated_unit():
    frame = small([1, 1, 0, 0, 0], [1.0, 1.1, 1.2, 1.3, 9.0])
    matches = nearest(frame, treatment="treated", covariates=["x"], distance="mahalanobis", ratio=2)
    controls = matches.weights[frame["treated"] == 0]
    assert controls.sum() == pytest.approx(matches.n_matched_treated)
    assert sorted(controls) == [0.5, 0.5, 1.0]


def test_exact_covariates_are_never_crossed(lalonde):
    matches = nearest(lalonde, treatment="treated", covariates=COVARIATES, exact=["race", "is_married"])
    left = lalonde.loc[matches.pairs["treated"], ["race", "is_married"]].to_numpy()
    right = lalonde.loc[matches.pairs["control"], ["race", "is_married"]].to_numpy()
    assert (left == right).all()


def test_no_pair_is_wider_than_the_caliper(lalonde):
    matches = nearest(lalonde, treatment="treated", covariates=COVARIATES, caliper=0.1)
    assert matches.pairs["distance"].max() <= 0.1 * matches.propensity.std()
    assert matches.n_matched_treated == 111


def test_the_estimand_says_when_treated_units_were_left_out(lalonde):
    whole = nearest(lalonde, treatment="treated", covariates=COVARIATES)
    part = nearest(lalonde, treatment="treated", covariates=COVARIATES, caliper=0.1)
    assert whole.estimand == "ATT"
    assert part.estimand == "ATT of the matched treated"
    left_out = sum(item.units for item in part.exclusions if item.reason.startswith("treated"))
    assert left_out + part.n_matched_treated == 185


def test_every_unit_is_matched_or_excluded_with_a_reason(lalonde):
    for options in ({}, {"caliper": 0.05}, {"exact": ["race"]}, {"replace": True}, {"ratio": 3}):
        matches = nearest(lalonde, treatment="treated", covariates=COVARIATES, **options)
        kept = matches.n_matched_treated + matches.n_matched_control
        assert kept + sum(item.units for item in matches.exclusions) == len(lalonde)


def test_ties_are_counted_and_may_all_be_kept():
    frame = small([1, 0, 0, 0], [1.0, 2.0, 2.0, 9.0])
    options = {"treatment": "treated", "covariates": ["x"], "distance": "mahalanobis", "replace": True}
    one = nearest(frame, **options)
    every = nearest(frame, **options, ties="all")
    assert one.ties == every.ties == 1
    assert len(one.pairs) == 1
    assert every.pairs["weight"].tolist() == [0.5, 0.5]


def test_a_random_order_is_the_same_for_the_same_seed(lalonde):
    def pairs(seed):
        generator = np.random.default_rng(seed)
        options = {"order": "random", "caliper": 0.1, "generator": generator}
        return nearest(lalonde, treatment="treated", covariates=COVARIATES, **options).pairs

    pd.testing.assert_frame_equal(pairs(1), pairs(1))
    assert not pairs(1).equals(pairs(2))


def test_greedy_matching_on_one_number_is_never_better_than_the_best_assignment():
    generator = np.random.default_rng(5)
    frame = small([1] * 4 + [0] * 6, generator.normal(size=10))
    matches = nearest(frame, treatment="treated", covariates=["x"], distance="mahalanobis", order="closest")
    x = frame["x"].to_numpy()
    best = min(
        sum(abs(x[i] - x[4 + j]) for i, j in enumerate(choice)) for choice in itertools.permutations(range(6), 4)
    )
    own = frame.loc[matches.pairs["treated"], "x"].to_numpy() - frame.loc[matches.pairs["control"], "x"].to_numpy()
    assert np.abs(own).sum() >= best - 1e-12


def test_all_unusable_options_are_named_at_once():
    frame = small([1, 0], [1.0, 2.0])
    with pytest.raises(InputError) as caught:
        nearest(
            frame,
            treatment="treated",
            covariates=["x"],
            distance="euclid",
            order="random",
            ratio=0,
            caliper=-1.0,
            ties="all",
        )
    message = str(caught.value)
    for part in (
        "euclid",
        "propensity and mahalanobis",
        "ratio is 0",
        "caliper is -1.0",
        "seed",
        "replacement",
    ):
        assert part in message


def test_nobody_within_the_caliper_is_an_error_with_a_way_out():
    frame = small([1, 1, 0, 0, 0], [1.0, 6.0, 5.0, 2.0, 9.0])
    with pytest.raises(EstimationError, match="Widen the caliper"):
        nearest(frame, treatment="treated", covariates=["x"], caliper=1e-9)


def test_looking_controls_up_in_a_tree_finds_the_same_pairs_as_looking_at_everybody(lalonde, monkeypatch):
    ways = [
        {"distance": distance, **options}
        for distance in ("propensity", "mahalanobis")
        for options in (
            {},
            {"order": "closest", "ratio": 2},
            {"replace": True, "ratio": 3},
            {"replace": True, "ties": "all"},
            {"caliper": 0.1, "exact": ["race"]},
        )
    ]
    quick = [nearest(lalonde, treatment="treated", covariates=COVARIATES, **way) for way in ways]
    monkeypatch.setattr("wwc_research.design.matching._MOST_ASKED", 0)
    for way, found in zip(ways, quick, strict=True):
        slow = nearest(lalonde, treatment="treated", covariates=COVARIATES, **way)
        pd.testing.assert_frame_equal(found.pairs, slow.pairs)
        assert found.ties == slow.ties


def test_mahalanobis_pairs_report_the_distance_and_not_its_square():
    frame = small([1, 0, 0, 0], [1.0, 3.0, 7.0, 8.0])
    pairs = nearest(frame, treatment="treated", covariates=["x"], distance="mahalanobis", covariance="overall").pairs
    assert pairs["distance"].tolist() == pytest.approx([2.0 / frame["x"].std()])
