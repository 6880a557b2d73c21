import itertools

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.lalonde import COVARIATES, read_lalonde
from wwc_research.design.full_matching import full_matching, least_bounded_cover, least_cover
from wwc_research.errors import EstimationError, InputError


@pytest.fixture(scope="module")
def lalonde():
    return read_lalonde()


def table(treated, x, **more):
    return pd.DataFrame({"treated": treated, "x": x, **more}, index=[f"u{number:02d}" for number in range(len(x))])


def by_trying_all(gaps, max_controls, max_treated):
    """Most units covered by stars of bounded size, and the least total distance, over every subset of pairs."""
    edges = [(int(i), int(j)) for i, j in np.argwhere(np.isfinite(gaps))]
    best = (0, 0.0)
    for marks in itertools.product([False, True], repeat=len(edges)):
        chosen = [edge for edge, mark in zip(edges, marks, strict=True) if mark]
        rows = np.bincount([i for i, _ in chosen], minlength=gaps.shape[0])
        columns = np.bincount([j for _, j in chosen], minlength=gaps.shape[1])
        star = all(rows[i] == 1 or columns[j] == 1 for i, j in chosen)
        if star and rows.max(initial=0) <= max_controls and columns.max(initial=0) <= max_treated:
            covered = int((rows > 0).sum() + (columns > 0).sum())
            best = min(best, (-covered, float(sum(gaps[edge] for edge in chosen))))
    return best


GAPS = st.tuples(st.integers(1, 3), st.integers(1, 4)).flatmap(
    lambda shape: st.lists(
        st.lists(st.sampled_from([0.0, 0.5, 1.0, 1.25, 3.0, 7.5, np.inf]), min_size=shape[1], max_size=shape[1]),
        min_size=shape[0],
        max_size=shape[0],
    )
)


def measured(gaps, left, right):
    rows, columns = np.bincount(left, minlength=gaps.shape[0]), np.bincount(right, minlength=gaps.shape[1])
    assert ((rows[left] == 1) | (columns[right] == 1)).all()
    return -int((rows > 0).sum() + (columns > 0).sum()), float(gaps[left, right].sum())


@settings(max_examples=40, deadline=None)
@given(GAPS)
def test_no_other_sets_are_closer_in_total_and_use_as_many_units(rows):
    gaps = np.array(rows)
    covered, total = measured(gaps, *least_cover(gaps))
    expected = by_trying_all(gaps, 9, 9)
    assert covered == expected[0]
    assert total == pytest.approx(expected[1])


@settings(max_examples=30, deadline=None)
@given(GAPS, st.integers(1, 3), st.integers(1, 2))
def test_no_other_sets_within_the_bounds_are_closer_in_total(rows, max_controls, max_treated):
    gaps = np.array(rows)
    covered, total = measured(gaps, *least_bounded_cover(gaps, max_controls=max_controls, max_treated=max_treated))
    expected = by_trying_all(gaps, max_controls, max_treated)
    assert covered == expected[0]
    assert total == pytest.approx(expected[1])


def test_bounds_that_bind_nobody_give_the_same_distance_by_another_road(lalonde):
    half = lalonde.iloc[::3]
    free = full_matching(half, treatment="treated", covariates=COVARIATES)
    bound = full_matching(half, treatment="treated", covariates=COVARIATES, max_controls=500)
    assert bound.settings["total_distance"] == pytest.approx(free.settings["total_distance"], abs=1e-8)


def test_every_unit_is_in_one_set_of_one_to_many(lalonde):
    for options in ({}, {"distance": "mahalanobis"}, {"exact": ["race"]}):
        weighting = full_matching(lalonde, treatment="treated", covariates=COVARIATES, **options)
        assert weighting.sets.notna().all()
        assert (weighting.weights > 0).all()
        assert weighting.estimand == "ATT"
        sizes = pd.crosstab(weighting.sets.astype(int), lalonde["treated"])
        assert (sizes.min(axis=1) == 1).all()
        assert sum(weighting.settings["set_sizes"].values()) == weighting.n_sets


def test_control_weights_are_those_of_their_pairs_and_sum_to_the_treated(lalonde):
    weighting = full_matching(lalonde, treatment="treated", covariates=COVARIATES)
    treated = lalonde["treated"] == 1
    assert (weighting.weights[treated] == 1).all()
    by_control = weighting.pairs.groupby("control")["weight"].sum()
    np.testing.assert_allclose(weighting.weights[by_control.index], by_control, rtol=1e-12)
    assert by_control.sum() == pytest.approx(185)


def test_weights_for_everybody_sum_to_everybody_on_both_sides(lalonde):
    weighting = full_matching(lalonde, treatment="treated", covariates=COVARIATES, estimand="ATE")
    assert weighting.estimand == "ATE"
    for side in (0, 1):
        assert weighting.weights[lalonde["treated"] == side].sum() == pytest.approx(len(lalonde))


def test_a_hand_worked_case_has_a_set_of_each_kind():
    frame = table([1, 1, 1, 0, 0, 0], [1.0, 8.9, 9.1, 0.8, 1.1, 9.0])
    weighting = full_matching(frame, treatment="treated", covariates=["x"], distance="mahalanobis")
    assert weighting.sets.tolist() == [0, 1, 1, 0, 0, 1]
    assert weighting.weights.tolist() == [1, 1, 1, 0.5, 0.5, 2]
    assert weighting.settings["set_sizes"] == {"1:2": 1, "2:1": 1}


def test_bounds_are_kept_and_units_beyond_them_are_counted_out():
    frame = table([1, 0, 0, 0, 0], [1.0, 1.1, 1.2, 3.0, 9.0])
    weighting = full_matching(frame, treatment="treated", covariates=["x"], distance="mahalanobis", max_controls=2)
    assert weighting.weights.tolist() == [1, 0.5, 0.5, 0, 0]
    assert [(item.reason, item.units) for item in weighting.exclusions] == [("control that is nobody's match", 2)]


def test_units_without_anybody_near_are_left_out_and_the_estimand_says_so(lalonde):
    weighting = full_matching(lalonde, treatment="treated", covariates=COVARIATES, caliper=0.1)
    assert weighting.estimand == "ATT of the matched treated"
    reasons = {item.reason: item.units for item in weighting.exclusions}
    assert reasons["treated unit without a control within the caliper"] == 2
    assert sum(reasons.values()) + weighting.n_units == len(lalonde)
    width = 0.1 * weighting.propensity.std()
    assert weighting.pairs["distance"].max() <= width


def test_exact_strata_are_exact(lalonde):
    weighting = full_matching(lalonde, treatment="treated", covariates=COVARIATES, exact=["race", "is_married"])
    for column in ("race", "is_married"):
        assert (lalonde.groupby(weighting.sets)[column].nunique() == 1).all()


def test_the_order_of_the_rows_does_not_matter_even_with_ties(lalonde):
    for options in ({}, {"distance": "mahalanobis"}):
        one = full_matching(lalonde, treatment="treated", covariates=COVARIATES, **options)
        turned = full_matching(lalonde.iloc[::-1], treatment="treated", covariates=COVARIATES, **options)
        pd.testing.assert_series_equal(one.weights, turned.weights.reindex(lalonde.index))


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 10_000), st.integers(1, 9))
def test_a_set_is_never_without_treated_or_without_controls(seed, n_treated):
    generator = np.random.default_rng(seed)
    frame = table([1] * n_treated + [0] * (10 - n_treated), generator.normal(size=10))
    weighting = full_matching(frame, treatment="treated", covariates=["x"], distance="mahalanobis")
    treated = frame["treated"] == 1
    assert treated[weighting.pairs["treated"]].all()
    assert not treated[weighting.pairs["control"]].any()
    assert (frame.groupby(weighting.sets.astype(int))["treated"].nunique() == 2).all()


def test_perfect_separation_and_constant_covariates_are_errors_in_words():
    frame = table([1, 1, 0, 0, 0], [5.0, 6.0, 1.0, 2.0, 3.0])
    with pytest.raises(EstimationError, match="perfectly"):
        full_matching(frame, treatment="treated", covariates=["x"])
    with pytest.raises(EstimationError, match="no covariate varies"):
        full_matching(frame.assign(x=1.0), treatment="treated", covariates=["x"], distance="mahalanobis")


def test_no_common_support_is_an_error_with_a_way_out():
    frame = table([1, 1, 0, 0, 0], [1.0, 6.0, 5.0, 2.0, 9.0], kind=["a", "a", "b", "b", "b"])
    with pytest.raises(EstimationError, match="agrees on the exact covariates"):
        full_matching(frame, treatment="treated", covariates=["x"], exact=["kind"])


def test_all_unusable_options_are_named_at_once():
    with pytest.raises(InputError) as caught:
        full_matching(
            table([1, 0], [1.0, 2.0]),
            treatment="treated",
            covariates=["y"],
            estimand="ATX",
            max_controls=0,
            max_treated=-1,
            exact=["q"],
        )
    for part in ("ATX", "ATT and ATE", "max_controls is 0", "max_treated is -1", "'q'"):
        assert part in str(caught.value)
