"""Sensitivity to omitted variables is held to sensemakr on the Darfur survey, to hand-worked cases, planted truth."""

from __future__ import annotations

import json
import math
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from tests.design.test_design import design
from wwc_research import inference
from wwc_research.design.baseline import long_difference
from wwc_research.errors import EstimationError, InputError
from wwc_research.evidence import omitted_variables as ov

FIGURES = Path(__file__).parents[1] / "figures"
COVARIATES = ["village", "is_female", "age_years", "is_farmer", "is_herder", "has_voted", "household_count"]


@pytest.fixture(scope="module")
def darfur():
    frame = pd.read_csv(FIGURES / "darfur.csv")
    found = ov.regression(
        frame,
        outcome="peace_index",
        treatment="is_harmed",
        covariates=COVARIATES,
        benchmarks={"is_female": ["is_female"], "work": ["is_farmer", "is_herder"]},
    )
    return ov.omitted_variables(found)


@pytest.fixture(scope="module")
def published():
    return pd.read_csv(FIGURES / "darfur_numbers.csv").set_index("spec")


def test_darfur_is_that_of_sensemakr(darfur, published):
    row = published.loc["peacefactor~directlyharmed+..."]
    assert darfur.regression.estimate == pytest.approx(row["estimate"], rel=1e-9)
    assert darfur.regression.std_error == pytest.approx(row["std_error"], rel=1e-9)
    assert darfur.regression.df == 783
    assert darfur.partial_r2 == pytest.approx(published.loc["partial R2 Y~D|X", "estimate"], rel=1e-9)
    assert darfur.robustness_value == pytest.approx(published.loc["RV_q=1", "estimate"], rel=1e-9)
    significance = published.loc["RV_q=1,alpha=.05", "estimate"]
    assert darfur.robustness_value_significance == pytest.approx(significance, rel=1e-9)


@pytest.mark.parametrize("times", [1, 2, 3])
def test_the_bounds_on_darfur_are_those_of_sensemakr(darfur, published, times):
    row = published.loc[f"adjusted estimate bound {times}x female"]
    found = next(item for item in darfur.bounds if item.name == "is_female" and item.times == times)
    assert found.adjusted.estimate == pytest.approx(row["estimate"], rel=1e-9)
    assert found.adjusted.std_error == pytest.approx(row["std_error"], rel=1e-9)


def test_a_group_of_covariates_explains_at_least_what_each_of_them_does(darfur):
    frame = pd.read_csv(FIGURES / "darfur.csv").drop(columns="village")
    alone = ov.regression(frame, outcome="peace_index", treatment="is_harmed", covariates=COVARIATES[1:])
    each = {item.name: item for item in alone.benchmarks}
    together = each[ov.EVERYTHING]
    assert len(each) == len(COVARIATES)
    assert all(together.with_outcome >= item.with_outcome for item in each.values())
    assert all(together.with_treatment >= item.with_treatment for item in each.values())
    assert {item.name for item in darfur.regression.benchmarks} == {"is_female", "work"}


def test_a_case_worked_by_hand():
    # t = 2 with 100 degrees of freedom: partial R2 4/104, f = 0.2, RV = (sqrt(0.0016 + 0.16) - 0.04) / 2
    assert ov.partial_r2(1.0, 0.5, df=100) == pytest.approx(4 / 104)
    assert ov.robustness_value(1.0, 0.5, df=100) == pytest.approx((math.sqrt(0.1616) - 0.04) / 2)
    # bias = 0.5 * sqrt(100 * 0.1 * 0.2 / 0.8), error = 0.5 * sqrt(0.9 / 0.8 * 100 / 99)
    found = ov.adjusted(1.0, 0.5, df=100, partial_r2_treatment=0.2, partial_r2_outcome=0.1)
    assert found.estimate == pytest.approx(1 - 0.5 * math.sqrt(2.5))
    assert found.std_error == pytest.approx(0.5 * math.sqrt(0.9 / 0.8 * 100 / 99))


@pytest.mark.parametrize("estimate", [0.8, -0.8])
def test_at_the_robustness_value_nothing_is_left_and_significance_is_lost(estimate):
    strength = ov.robustness_value(estimate, 0.1, df=60)
    found = ov.adjusted(estimate, 0.1, df=60, partial_r2_treatment=strength, partial_r2_outcome=strength)
    assert found.estimate == pytest.approx(0, abs=1e-12)
    strength = ov.robustness_value(estimate, 0.1, df=60, alpha=0.05)
    found = ov.adjusted(estimate, 0.1, df=60, partial_r2_treatment=strength, partial_r2_outcome=strength)
    # at equal strengths the errors' factors cancel but for the lost degree of freedom
    assert inference.p_value(found.estimate, found.std_error, 59) == pytest.approx(0.05, abs=1e-6)
    assert ov.robustness_value(estimate, 0.1, df=60, q=0.5) < ov.robustness_value(estimate, 0.1, df=60)


def test_an_estimate_not_significant_has_no_strength_of_significance_to_lose():
    assert ov.robustness_value(0.1, 0.1, df=50, alpha=0.05) == 0
    assert ov.robustness_value(0.0, 0.1, df=50) == 0
    assert math.isnan(ov.robustness_value(0.1, 0.0, df=50))
    assert math.isnan(ov.partial_r2(math.nan, 0.1, df=50))


def test_the_critical_lines_are_where_the_estimate_is_zero_and_where_p_is_alpha():
    found = ov.contour(0.5, 0.1, df=80, largest_treatment=0.6, largest_outcome=0.6)
    seen = {"zero": 0, "significance": 0}
    for x, zero, lost in zip(found.with_treatment, found.zero, found.significance, strict=True):
        if math.isfinite(zero):
            left = ov.adjusted(0.5, 0.1, df=80, partial_r2_treatment=x, partial_r2_outcome=zero)
            assert left.estimate == pytest.approx(0, abs=1e-12)
            seen["zero"] += 1
        if math.isfinite(lost):
            left = ov.adjusted(0.5, 0.1, df=80, partial_r2_treatment=x, partial_r2_outcome=lost)
            assert inference.p_value(left.estimate, left.std_error, 79) == pytest.approx(0.05, rel=1e-8)
            seen["significance"] += 1
    assert min(seen.values()) > 10
    assert found.estimates[0] == pytest.approx(0.5)


def test_the_plane_holds_the_estimate_adjusted_for_each_pair_of_strengths():
    found = ov.contour(-0.5, 0.1, df=80, steps=5)
    for row, y in enumerate(found.with_outcome):
        for column, x in enumerate(found.with_treatment):
            one = ov.adjusted(-0.5, 0.1, df=80, partial_r2_treatment=x, partial_r2_outcome=y)
            assert found.estimates[row, column] == pytest.approx(one.estimate)
    assert np.nanmax(ov.contour(0.1, 0.1, df=80).significance) == 0


def test_an_omitted_variable_of_the_strength_it_has_moves_the_estimate_as_it_does():
    generator = np.random.default_rng(3)
    x, hidden, noise = generator.normal(size=(3, 400))
    d = 0.5 * x + 0.6 * hidden + generator.normal(size=400)
    frame = pd.DataFrame({"y": d + x + 0.7 * hidden + noise, "d": d, "x": x, "hidden": hidden})
    short = ov.regression(frame, outcome="y", treatment="d", covariates=["x"])
    long = ov.regression(frame, outcome="y", treatment="d", covariates=["x", "hidden"])
    strength = next(item for item in long.benchmarks if item.name == "hidden")
    found = ov.adjusted(
        short.estimate,
        short.std_error,
        df=short.df,
        partial_r2_treatment=strength.with_treatment,
        partial_r2_outcome=strength.with_outcome,
    )
    assert found.estimate == pytest.approx(long.estimate, rel=1e-10)
    assert found.std_error == pytest.approx(long.std_error, rel=1e-10)


def test_a_variable_too_strong_to_exist_is_named_and_not_computed():
    strong = ov.Benchmark(name="x", title="X", with_treatment=0.6, with_outcome=0.1)
    found = ov.bound(1.0, 0.1, df=50, benchmark=strong, times=1)
    assert found.adjusted is None
    assert "all of exposure" in found.why
    assert found.as_dict()["estimate"] is None
    cut = ov.bound(
        1.0, 0.1, df=50, benchmark=ov.Benchmark(name="x", title="X", with_treatment=0.1, with_outcome=0.8), times=1
    )
    assert cut.partial_r2_outcome == 1
    assert "cannot explain more" in cut.why


def _population(delta: float, *, effect: float) -> dict[str, float]:
    """Exact moments of a world in which selection on the hidden index is `delta` times that on the observed one."""
    v1, v2, noise = 1.3, 0.8, 0.5
    a, b, rest = 0.4, 0.4 * delta, 1.0
    # exposure = a W1 + b W2 + e, outcome = effect exposure + W1 + W2 + u, with W1, W2, e, u uncorrelated
    variance_d = a**2 * v1 + b**2 * v2 + rest
    left = b**2 * v2 + rest
    with_d = effect * variance_d + a * v1 + b * v2
    variance_y = effect**2 * variance_d + 2 * effect * (a * v1 + b * v2) + v1 + v2 + noise
    short, long = with_d / variance_d, effect + b * v2 / left
    unexplained = v2 + noise - (b * v2) ** 2 / left
    return {
        "beta_short": short,
        "r2_short": short**2 * variance_d / variance_y,
        "beta_long": long,
        "r2_long": 1 - unexplained / variance_y,
        "r2_max": 1 - noise / variance_y,
        "variance_outcome": variance_y,
        "variance_treatment": variance_d,
        "variance_treatment_left": left,
    }


@pytest.mark.parametrize("delta", [0.3, 1.0, 1.7, -0.6])
@pytest.mark.parametrize("effect", [0.0, 0.5, -0.7])
def test_proportional_selection_planted_is_recovered_exactly(delta, effect):
    moments = _population(delta, effect=effect)
    found = ov.oster(**moments, null=effect, assumed_delta=delta)
    assert found.delta == pytest.approx(delta, rel=1e-9)
    roots = (found.adjusted, *found.other_roots)
    assert min(abs(root - effect) for root in roots) < 1e-9


@pytest.mark.parametrize("delta", [0.3, 1.0, 1.7])
def test_the_root_that_moves_on_as_the_covariates_moved_is_the_effect_planted(delta):
    moments = _population(delta, effect=0.5)
    assert ov.oster(**moments, assumed_delta=delta).adjusted == pytest.approx(0.5, abs=1e-9)


def test_without_hidden_selection_the_adjusted_effect_is_the_controlled_one():
    moments = _population(0.5, effect=0.5)
    assert ov.oster(**moments, assumed_delta=0.0).adjusted == pytest.approx(moments["beta_long"])


def test_an_r2_below_what_is_explained_already_is_refused():
    with pytest.raises(EstimationError, match=r"r2_max is 0\.1"):
        ov.oster(**{**_population(1.0, effect=0.5), "r2_max": 0.1})


def test_a_sample_gives_oster_the_moments_of_its_regressions():
    generator = np.random.default_rng(8)
    x, z, noise = generator.normal(size=(3, 300))
    d = (0.5 * x + z > 0).astype(float)
    frame = pd.DataFrame({"y": 0.3 * d + x + noise, "d": d, "x": x})
    found = ov.regression(frame, outcome="y", treatment="d", covariates=["x"])
    short = np.polyfit(d, frame["y"], 1)
    assert found.beta_short == pytest.approx(short[0])
    assert found.r2_short == pytest.approx(np.corrcoef(d, frame["y"])[0, 1] ** 2)
    rest = d - np.polyval(np.polyfit(x, d, 1), x)
    assert found.variance_treatment_left == pytest.approx(rest.var(ddof=1))


def test_scale_and_order_change_nothing_that_has_no_unit():
    frame = pd.read_csv(FIGURES / "darfur.csv").head(300)
    told = {"outcome": "peace_index", "treatment": "is_harmed", "covariates": COVARIATES[1:]}
    one = ov.omitted_variables(ov.regression(frame, **told))
    other = frame.sample(frac=1, random_state=1).assign(peace_index=lambda rows: 5 - 40 * rows["peace_index"])
    two = ov.omitted_variables(ov.regression(other, **told))
    assert two.robustness_value == pytest.approx(one.robustness_value, rel=1e-9)
    assert two.oster.delta == pytest.approx(one.oster.delta, rel=1e-6)
    assert two.regression.estimate == pytest.approx(-40 * one.regression.estimate, rel=1e-9)


def test_text_absorbed_or_as_indicators_gives_the_same_regression():
    frame = pd.read_csv(FIGURES / "darfur.csv").head(250)
    frame = frame.assign(work=np.where(frame["is_farmer"] == 1, "farmer", "other"), home=frame["household_count"] // 6)
    frame["home"] = frame["home"].astype(str)
    told = {"outcome": "peace_index", "treatment": "is_harmed"}
    one = ov.regression(frame, **told, covariates=["home", "is_farmer", "age_years"])
    two = ov.regression(frame, **told, covariates=["home", "work", "age_years"])
    for name in ("estimate", "std_error", "df", "r2_long", "robust_std_error", "variance_treatment_left"):
        assert getattr(one, name) == pytest.approx(getattr(two, name), rel=1e-9), name
    for left, right in zip(one.benchmarks, two.benchmarks, strict=True):
        assert left.with_outcome == pytest.approx(right.with_outcome, rel=1e-8)
        assert left.with_treatment == pytest.approx(right.with_treatment, rel=1e-8)


def test_all_faults_of_a_table_are_told_at_once():
    frame = pd.DataFrame({"y": [1.0, None, 2.0], "d": [0, 1, 1]})
    with pytest.raises(InputError, match="2 faults") as caught:
        ov.regression(frame, outcome="y", treatment="d", covariates=["x"])
    assert "no column 'x'" in str(caught.value)
    assert "'y' is empty in 1" in str(caught.value)


def test_the_real_baseline_gives_a_sentence_and_plain_values(panel):
    baseline = long_difference(panel, design=design("broadband"))
    before = baseline.frame.copy()
    found = ov.from_baseline(baseline)
    pd.testing.assert_frame_equal(baseline.frame, before)
    assert found.regression.n_units == len(baseline.frame)
    assert found.regression.robust_kind == "CRV1 by cluster"
    assert {item.name for item in found.bounds} == {*baseline.columns, ov.EVERYTHING}
    assert json.loads(json.dumps(found.as_dict(), allow_nan=False))["sentence"] == found.sentence
    assert "hidden difference" in found.sentence
    assert "Oster" in found.sentence
