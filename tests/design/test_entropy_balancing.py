import time
from itertools import pairwise
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.lalonde import COVARIATES, read_lalonde
from wwc_research.design.balance import balance
from wwc_research.design.entropy_balancing import entropy_balancing
from wwc_research.errors import EstimationError, InputError

NUMBERS = pd.read_csv(Path(__file__).parents[1] / "figures" / "lalonde_numbers.csv", index_col="spec")["estimate"]
LALONDE = {"treatment": "treated", "covariates": COVARIATES}


@pytest.fixture(scope="module")
def lalonde():
    return read_lalonde()


def world(*, seed, units, columns, pull=0.4):
    generator = np.random.default_rng(seed)
    X = generator.normal(size=(units, columns))
    treated = generator.random(units) < 1 / (1 + np.exp(1.5 - pull * X[:, 0]))
    names = [f"x{number}" for number in range(columns)]
    return pd.DataFrame(X, columns=names).assign(treated=treated.astype(int)), names


def test_lalonde_estimate_and_effective_controls_are_those_of_the_dual_solved_in_r(lalonde):
    found = entropy_balancing(lalonde, **LALONDE)
    treated = lalonde["treated"] == 1
    earnings = lalonde["earnings_1978_usd"]
    effect = earnings[treated].mean() - np.average(earnings[~treated], weights=found.weights[~treated])
    assert effect == pytest.approx(NUMBERS["first moments ATT"], rel=1e-6)
    assert found.settings["effective_n_control"] == pytest.approx(NUMBERS["effective N controls (Kish)"], rel=1e-6)


def test_two_kinds_of_controls_are_mixed_so_that_their_mean_is_the_treated_mean():
    # treated mean 0.75 from controls at 0, 0 and 1: the one at 1 must weigh three quarters
    frame = pd.DataFrame({"x": [0.5, 1.0, 0.0, 0.0, 1.0], "treated": [1, 1, 0, 0, 0]})
    found = entropy_balancing(frame, treatment="treated", covariates=["x"])
    np.testing.assert_allclose(found.weights, [1, 1, 0.25, 0.25, 1.5], rtol=1e-9)
    assert found.estimand == "ATT"


@pytest.mark.parametrize("options", [{}, {"moments": 2}, {"interactions": True}, {"estimand": "ATE"}])
def test_every_moment_asked_for_is_balanced_to_the_last_digits(lalonde, options):
    found = entropy_balancing(lalonde, **LALONDE, **options)
    assert found.settings["largest_imbalance_sd"] < 1e-8
    table = balance(lalonde, treatment="treated", covariates=COVARIATES, weights=found.weights)
    assert table["smd_after"].abs().max() < 1e-7
    if options == {"moments": 2}:
        ratios = table.set_index("covariate")["variance_ratio_after"]
        share = found.weights[lalonde["treated"] == 0] / found.weights[lalonde["treated"] == 0].sum()
        left = 1 - float((share**2).sum())
        # the same second moments; the ratio differs from 1 by the two divisors only
        np.testing.assert_allclose(ratios.dropna(), 185 / 184 * left, rtol=1e-6)


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 10_000), scale=st.floats(0.01, 1000), shift=st.floats(-1000, 1000))
def test_weights_add_up_to_the_treated_and_ignore_units_of_measurement(seed, scale, shift):
    frame, names = world(seed=seed, units=120, columns=3)
    found = entropy_balancing(frame, treatment="treated", covariates=names).weights
    moved = frame.assign(x0=frame["x0"] * scale + shift)
    again = entropy_balancing(moved, treatment="treated", covariates=names).weights
    np.testing.assert_allclose(again, found, rtol=1e-5, atol=1e-9)
    treated = frame["treated"] == 1
    assert found[~treated].sum() == pytest.approx(treated.sum())
    assert (found >= 0).all()


def test_weights_follow_the_people_and_the_table_given_stays_as_it_was(lalonde):
    before = lalonde.copy()
    found = entropy_balancing(lalonde, **LALONDE).weights
    pd.testing.assert_frame_equal(lalonde, before)
    shuffled = lalonde.sample(frac=1, random_state=np.random.RandomState(3))
    again = entropy_balancing(shuffled, **LALONDE).weights
    np.testing.assert_allclose(again.loc[found.index], found, rtol=1e-7)


def test_no_other_balancing_weights_are_more_even(lalonde):
    found = entropy_balancing(lalonde, **LALONDE).weights[lalonde["treated"] == 0].to_numpy()
    controls = pd.get_dummies(lalonde.loc[lalonde["treated"] == 0, COVARIATES], dtype=float)
    X = np.column_stack([np.ones(len(controls)), controls])
    share = found / found.sum()
    # the entropy's slope lies in the span of the constraints: no direction that keeps them can lower it
    rest = np.log(share) - X @ np.linalg.lstsq(X, np.log(share), rcond=None)[0]
    assert np.abs(rest).max() < 1e-6


def test_more_moments_cost_effective_controls(lalonde):
    effective = [
        entropy_balancing(lalonde, **LALONDE, **options).settings["effective_n_control"]
        for options in ({}, {"interactions": True}, {"moments": 2})
    ]
    assert all(more > fewer for more, fewer in pairwise(effective))


def test_base_weights_are_kept_where_nothing_needs_balancing():
    frame = pd.DataFrame({"x": [1.0, 3.0, 1.0, 3.0], "size": [2.0, 2.0, 5.0, 5.0], "treated": [1, 1, 0, 0]})
    found = entropy_balancing(frame, treatment="treated", covariates=["x"], base_weights="size")
    np.testing.assert_allclose(found.weights, [2, 2, 2, 2])
    heavier = frame.assign(size=[3.0, 1.0, 5.0, 5.0])
    found = entropy_balancing(heavier, treatment="treated", covariates=["x"], base_weights="size")
    np.testing.assert_allclose(found.weights, [3, 1, 3, 1], rtol=1e-9)


def test_a_treated_mean_beyond_all_controls_is_an_error_that_names_the_covariate():
    frame, names = world(seed=1, units=80, columns=3)
    frame.loc[frame["treated"] == 1, "x1"] += 50
    with pytest.raises(EstimationError, match=r"means aimed at of x1 lie beyond every unit"):
        entropy_balancing(frame, treatment="treated", covariates=names)


def test_a_treated_mean_inside_every_range_and_outside_the_hull_is_an_error_too():
    corners = pd.DataFrame({"a": [0.0, 1.0, 0.0, 0.8], "b": [0.0, 0.0, 1.0, 0.8], "treated": [0, 0, 0, 1]})
    with pytest.raises(EstimationError, match=r"outside what any mix of them can give"):
        entropy_balancing(corners, treatment="treated", covariates=["a", "b"])


def test_controls_of_a_category_that_no_treated_unit_has_are_left_out_and_counted():
    frame, names = world(seed=4, units=200, columns=2)
    region = np.where((frame["treated"] == 0) & (frame.index % 7 == 0), "far", "near")
    frame = frame.assign(region=region)
    found = entropy_balancing(frame, treatment="treated", covariates=[*names, "region"])
    assert (found.weights[region == "far"] == 0).all()
    assert sum(item.units for item in found.exclusions) == (region == "far").sum()
    assert found.settings["largest_imbalance_sd"] < 1e-8


def test_collinear_and_constant_covariates_change_nothing():
    frame, names = world(seed=6, units=150, columns=2)
    plain = entropy_balancing(frame, treatment="treated", covariates=names).weights
    crowded = frame.assign(twice=frame["x0"] * 2 + frame["x1"], same=7.0)
    again = entropy_balancing(crowded, treatment="treated", covariates=[*names, "twice", "same"]).weights
    np.testing.assert_allclose(again, plain, rtol=1e-6)
    with pytest.raises(EstimationError, match="no covariate varies"):
        entropy_balancing(crowded, treatment="treated", covariates=["same"])


def test_one_treated_unit_is_met_by_the_mix_of_controls_at_its_place():
    frame, names = world(seed=8, units=60, columns=2)
    frame["treated"] = 0
    frame.loc[0, ["x0", "x1", "treated"]] = [0.2, -0.1, 1]
    found = entropy_balancing(frame, treatment="treated", covariates=names)
    controls = frame["treated"] == 0
    for name in names:
        assert np.average(frame.loc[controls, name], weights=found.weights[controls]) == pytest.approx(
            frame.loc[0, name], abs=1e-7
        )


def test_unusable_input_is_refused_with_every_fault_at_once(lalonde):
    broken = lalonde.assign(age=lalonde["age"].where(lalonde["age"] > 20))
    with pytest.raises(InputError, match=r"(?s)'ATC'.*moments 3"):
        entropy_balancing(lalonde, **LALONDE, estimand="ATC", moments=3)
    with pytest.raises(InputError, match="'age' is empty in"):
        entropy_balancing(broken, **LALONDE)
    with pytest.raises(InputError, match="not above zero"):
        entropy_balancing(lalonde, **LALONDE, base_weights="earnings_1974_usd")


@pytest.mark.parametrize("units", [900, 20_000])
def test_weights_for_twelve_covariates_take_seconds(units):
    frame, names = world(seed=2, units=units, columns=12)
    started = time.process_time()
    found = entropy_balancing(frame, treatment="treated", covariates=names, moments=2)
    assert time.process_time() - started < 10
    assert found.settings["largest_imbalance_sd"] < 1e-8
