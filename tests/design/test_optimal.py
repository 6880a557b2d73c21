import itertools

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.lalonde import COVARIATES, read_lalonde
from wwc_research.design import optimal as module
from wwc_research.design.full_matching import full_matching
from wwc_research.design.matching import nearest
from wwc_research.design.optimal import least_assignment, optimal
from wwc_research.design.subclassification import subclassification
from wwc_research.errors import EstimationError, InputError


@pytest.fixture(scope="module")
def lalonde():
    return read_lalonde()


def table(treated, x, **more):
    return pd.DataFrame({"treated": treated, "x": x, **more}, index=[f"u{number:02d}" for number in range(len(x))])


def matched(frame, **options):
    weighting = optimal(frame, **{"treatment": "treated", "covariates": ["x"], "distance": "mahalanobis", **options})
    return set(map(tuple, weighting.pairs[["treated", "control"]].to_numpy()))


def best_by_trying_all(gaps, ratio):
    """The best choice of controls for small tables: most treated units, most pairs, least distance."""
    n_treated, n_controls = gaps.shape
    best = (0, 0, 0.0)
    for choice in itertools.product(range(-1, n_treated), repeat=n_controls):
        pairs = [(i, j) for j, i in enumerate(choice) if i >= 0]
        counts = np.bincount([i for i, _ in pairs], minlength=n_treated)
        if counts.max(initial=0) > ratio or not all(np.isfinite(gaps[i, j]) for i, j in pairs):
            continue
        total = float(sum(gaps[i, j] for i, j in pairs))
        best = min(best, (-int((counts > 0).sum()), -len(pairs), total))
    return best


GAPS = st.tuples(st.integers(1, 3), st.integers(1, 5)).flatmap(
    lambda shape: st.lists(
        st.lists(st.sampled_from([0.0, 0.5, 1.0, 1.25, 3.0, 7.5, np.inf]), min_size=shape[1], max_size=shape[1]),
        min_size=shape[0],
        max_size=shape[0],
    )
)


@settings(max_examples=60, deadline=None)
@given(GAPS, st.integers(1, 3))
def test_no_choice_of_controls_is_better_than_the_assignment(rows, ratio):
    gaps = np.array(rows)
    left, right = np.nonzero(np.isfinite(gaps))
    chosen = least_assignment(left, right, gaps[left, right], shape=gaps.shape, ratio=ratio)
    counts = np.bincount(left[chosen], minlength=len(gaps))
    found = (-int((counts > 0).sum()), -len(chosen), float(gaps[left[chosen], right[chosen]].sum()))
    assert found[:2] == best_by_trying_all(gaps, ratio)[:2]
    assert found[2] == pytest.approx(best_by_trying_all(gaps, ratio)[2])
    assert len(set(right[chosen])) == len(chosen)


def test_pairs_on_the_propensity_score_give_the_effect_that_the_reference_names(lalonde):
    weighting = optimal(lalonde, treatment="treated", covariates=COVARIATES)
    pairs, earnings = weighting.pairs, lalonde["earnings_1978_usd"]
    effect = earnings[pairs["treated"]].mean() - earnings[pairs["control"]].mean()
    # METHODS: R's greedy and an independent assignment both give 894.3675 with all 185 treated
    assert effect == pytest.approx(894.367480270275, rel=1e-9)
    assert len(pairs) == 185
    assert weighting.estimand == "ATT"


def test_a_hand_worked_case_in_which_the_first_comer_must_yield():
    frame = table([1, 1, 0, 0], [2.0, 1.0, 1.6, 5.0])
    greedy = nearest(frame, treatment="treated", covariates=["x"], distance="mahalanobis")
    assert set(map(tuple, greedy.pairs[["treated", "control"]].to_numpy())) == {("u00", "u02"), ("u01", "u03")}
    assert matched(frame) == {("u00", "u03"), ("u01", "u02")}


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 10_000), st.sampled_from(["propensity", "mahalanobis"]), st.integers(1, 3))
def test_optimal_is_never_worse_than_greedy_in_total_distance(seed, distance, ratio):
    generator = np.random.default_rng(seed)
    frame = table([1] * 8 + [0] * 25, generator.normal(size=33), z=generator.normal(size=33))
    options = {"treatment": "treated", "covariates": ["x", "z"], "distance": distance, "ratio": ratio}
    best = optimal(frame, **options)
    for order in ("data", "closest"):
        greedy = nearest(frame, **options, order=order)
        assert len(best.pairs) == len(greedy.pairs)
        assert best.settings["total_distance"] <= greedy.pairs["distance"].sum() + 1e-8


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 10_000))
def test_optimal_matches_as_many_treated_units_as_any_method_within_a_caliper(seed):
    generator = np.random.default_rng(seed)
    frame = table([1] * 12 + [0] * 15, np.append(generator.normal(0.8, 1, 12), generator.normal(0, 1, 15)))
    options = {"treatment": "treated", "covariates": ["x"], "caliper": 0.3}
    try:
        greedy = nearest(frame, **options)
    except EstimationError:
        with pytest.raises(EstimationError):
            optimal(frame, **options)
        return
    best = optimal(frame, **options)
    assert best.n_sets >= greedy.n_matched_treated
    assert best.pairs["treated"].is_unique
    gap = best.propensity[best.pairs["treated"]].to_numpy() - best.propensity[best.pairs["control"]].to_numpy()
    assert (np.abs(gap) <= 0.3 * best.propensity.std() + 1e-12).all()


def test_exact_strata_are_exact_and_units_without_a_partner_are_never_used(lalonde):
    frame = lalonde.assign(group=lalonde["race"].where(lalonde["treated"] == 1, lalonde["race"].replace("hispan", "x")))
    weighting = optimal(frame, treatment="treated", covariates=COVARIATES, exact=["group"])
    pairs = weighting.pairs
    assert (frame.loc[pairs["treated"], "group"].to_numpy() == frame.loc[pairs["control"], "group"].to_numpy()).all()
    barred = frame["group"].isin(["hispan", "x"])
    assert (weighting.weights[barred] == 0).all()
    reasons = {item.reason: item.units for item in weighting.exclusions}
    assert reasons["treated unit without a control that agrees on the exact covariates"] == 11
    assert sum(reasons.values()) + weighting.n_units == len(frame)
    assert weighting.estimand == "ATT of the matched treated"


def test_a_treated_unit_is_never_a_control_and_weights_sum_to_the_matched_treated(lalonde):
    weighting = optimal(lalonde, treatment="treated", covariates=COVARIATES, ratio=3)
    treated = lalonde["treated"] == 1
    assert treated[weighting.pairs["treated"]].all()
    assert not treated[weighting.pairs["control"]].any()
    assert weighting.weights[~treated].sum() == pytest.approx(weighting.weights[treated].sum())
    assert weighting.pairs.groupby("treated")["weight"].sum().to_numpy() == pytest.approx(1.0)
    by_control = weighting.pairs.set_index("control")["weight"]
    np.testing.assert_allclose(weighting.weights[by_control.index], by_control)


def test_the_order_of_the_rows_does_not_matter_even_with_ties(lalonde):
    for options in ({}, {"distance": "mahalanobis"}, {"caliper": 0.05, "ratio": 2}):
        one = optimal(lalonde, treatment="treated", covariates=COVARIATES, **options)
        other = optimal(lalonde.sample(frac=1, random_state=2), treatment="treated", covariates=COVARIATES, **options)
        pd.testing.assert_series_equal(one.weights, other.weights.reindex(lalonde.index))


def test_the_labels_do_not_matter_where_no_two_units_are_alike():
    generator = np.random.default_rng(1)
    frame = table([1] * 6 + [0] * 14, generator.normal(size=20))
    renamed = frame.set_axis([f"z{number}" for number in generator.permutation(20)])
    for distance in ("propensity", "mahalanobis"):
        options = {"treatment": "treated", "covariates": ["x"], "distance": distance}
        assert (optimal(frame, **options).weights.to_numpy() == optimal(renamed, **options).weights.to_numpy()).all()


def test_the_sparse_road_and_the_dense_one_lead_to_the_same_distance(lalonde, monkeypatch):
    options = {"treatment": "treated", "covariates": COVARIATES, "caliper": 0.03, "ratio": 2}
    dense = optimal(lalonde, **options)
    monkeypatch.setattr(module, "_DENSE_CELLS", 0)
    monkeypatch.setattr(module, "_SPARSE_SHARE", 1.0)
    sparse = optimal(lalonde, **options)
    assert sparse.n_sets == dense.n_sets
    assert len(sparse.pairs) == len(dense.pairs)
    assert sparse.settings["total_distance"] == pytest.approx(dense.settings["total_distance"], abs=1e-8)


def test_the_input_is_never_changed(lalonde):
    before = lalonde.copy()
    optimal(lalonde, treatment="treated", covariates=COVARIATES)
    pd.testing.assert_frame_equal(lalonde, before)


def test_one_treated_unit_gets_its_nearest_controls():
    frame = table([1, 0, 0, 0], [1.0, 5.0, 1.5, 0.2])
    assert matched(frame) == {("u00", "u02")}
    assert matched(frame, ratio=2) == {("u00", "u02"), ("u00", "u03")}


def test_perfect_separation_is_an_error_by_propensity_and_none_by_mahalanobis():
    frame = table([1, 1, 0, 0, 0], [5.0, 6.0, 1.0, 2.0, 3.0])
    with pytest.raises(EstimationError, match="perfectly"):
        matched(frame, distance="propensity")
    assert {control for _, control in matched(frame)} == {"u03", "u04"}


def test_constant_and_collinear_covariates_change_nothing():
    generator = np.random.default_rng(3)
    frame = table([1] * 5 + [0] * 10, generator.normal(size=15))
    more = frame.assign(same=2.0, twice=frame["x"] * 2)
    for distance in ("propensity", "mahalanobis"):
        covariates = ["x", "same", "twice"]
        assert matched(frame, distance=distance) == matched(more, distance=distance, covariates=covariates)
    with pytest.raises(EstimationError, match="no covariate varies"):
        matched(more, covariates=["same"])


def test_no_common_support_within_the_caliper_is_an_error_with_a_way_out():
    frame = table([1, 1, 0, 0, 0], [1.0, 6.0, 5.0, 2.0, 9.0])
    with pytest.raises(EstimationError, match="caliper"):
        matched(frame, distance="propensity", caliper=1e-9)


def test_scores_of_ones_own_are_used_by_every_method_that_matches_on_scores(lalonde):
    own = nearest(lalonde, treatment="treated", covariates=["age", "race"]).propensity
    for method in (nearest, optimal, full_matching, subclassification):
        given = method(lalonde, treatment="treated", covariates=["has_no_degree"], scores=own.sample(frac=1))
        fitted = method(lalonde, treatment="treated", covariates=["age", "race"])
        np.testing.assert_allclose(given.propensity, fitted.propensity, atol=1e-12)
        assert given.settings["scores"] == "given"
        assert fitted.settings["scores"] == "logistic regression"
        with pytest.raises(InputError, match="the scores of p001 are missing"):
            method(lalonde, treatment="treated", covariates=["age"], scores=own.drop("p001"))


def test_all_unusable_options_are_named_at_once():
    with pytest.raises(InputError) as caught:
        matched(table([1, 0], [1.0, 2.0]), distance="euclid", ratio=0, caliper=-1.0, covariance="none", exact=["q"])
    for part in ("euclid", "ratio is 0", "caliper is -1.0", "none", "no column 'q'"):
        assert part in str(caught.value)


def test_too_many_pairs_are_refused_with_a_way_out(monkeypatch):
    monkeypatch.setattr("wwc_research.design.admissible.MOST_CELLS", 3)
    with pytest.raises(InputError, match="2 treated and 2 untreated units are too many"):
        matched(table([1, 1, 0, 0], [1.0, 2.0, 3.0, 4.0]))
