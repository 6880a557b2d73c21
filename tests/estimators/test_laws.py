"""Laws that every registered panel estimator obeys, whatever its numbers."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from wwc_research.design.sample import Exclusion, Sample
from wwc_research.errors import EstimationError, InputError
from wwc_research.estimators import ESTIMATORS, OPTIONS, Estimate, estimate, method_card
from wwc_research.messages import Message

PANEL_ESTIMATORS = (
    "callaway_santanna",
    "event_study",
    "extended_twfe",
    "imputation",
    "random_trends",
    "sun_abraham",
    "two_stage",
    "two_way_fe",
)
CASES = [
    pytest.param(name, covariates, id=f"{name} {'with' if covariates else 'without'} covariate")
    for name in PANEL_ESTIMATORS
    for covariates in ((), ("size",))
]


def run(frame: pd.DataFrame, name: str, covariates: tuple[str, ...] = (), **changes) -> Estimate:
    return estimate(Sample(frame=frame, covariates=covariates, **changes), name)


def numbers(result: Estimate) -> np.ndarray:
    """Every estimate and standard error of a result, in one array."""
    terms = [(t.estimate, t.std_error) for t in (*result.event_study, *result.group_time)]
    return np.array([(result.estimate, result.std_error), *terms])


def test_every_estimator_has_a_full_method_card_and_declared_options():
    assert set(PANEL_ESTIMATORS) <= set(ESTIMATORS) == set(OPTIONS)
    for name in ESTIMATORS:
        card = method_card(name)
        headings = (
            "Estimand",
            "Assumptions",
            "Equation",
            "Standard errors",
            "Edge cases",
            "Reference",
            "Deviations",
        )
        assert [heading for heading in headings if f"**{heading}.**" not in card] == []


@pytest.mark.parametrize(("name", "covariates"), CASES)
def test_the_input_is_never_changed(staggered, name, covariates):
    shuffled = staggered.sample(frac=1, random_state=3)
    before = shuffled.copy(deep=True)
    run(shuffled, name, covariates)
    pd.testing.assert_frame_equal(shuffled, before)


@pytest.mark.parametrize(("name", "covariates"), CASES)
def test_a_shift_of_the_outcome_changes_nothing(staggered, name, covariates):
    shifted = staggered.assign(outcome=staggered["outcome"] + 1000)
    np.testing.assert_allclose(
        numbers(run(shifted, name, covariates)), numbers(run(staggered, name, covariates)), atol=1e-9
    )


@pytest.mark.parametrize(("name", "covariates"), CASES)
def test_a_rescaled_outcome_rescales_effect_and_error_and_leaves_the_p_values(staggered, name, covariates):
    one = run(staggered, name, covariates)
    scaled = run(staggered.assign(outcome=-50 * staggered["outcome"]), name, covariates)
    np.testing.assert_allclose(numbers(scaled), numbers(one) * [-50, 50], rtol=1e-8, atol=1e-9)
    assert scaled.p_value == pytest.approx(one.p_value, rel=1e-7)
    assert scaled.pre_trend_p_value == pytest.approx(one.pre_trend_p_value, rel=1e-7, nan_ok=True)


@pytest.mark.parametrize(("name", "covariates"), CASES)
def test_the_order_of_rows_changes_no_bit(staggered, name, covariates):
    shuffled = staggered.sample(frac=1, random_state=8)
    np.testing.assert_array_equal(numbers(run(shuffled, name, covariates)), numbers(run(staggered, name, covariates)))


@pytest.mark.parametrize(("name", "covariates"), CASES)
def test_the_names_of_units_and_clusters_do_not_matter(staggered, name, covariates):
    renamed = staggered.assign(
        unit=staggered["unit"].map(lambda text: text[::-1]),
        cluster=staggered["cluster"].map(lambda text: text[::-1]),
    )
    np.testing.assert_allclose(
        numbers(run(renamed, name, covariates)), numbers(run(staggered, name, covariates)), atol=1e-9
    )


@pytest.mark.parametrize(("name", "covariates"), CASES)
def test_moving_the_calendar_changes_nothing_but_its_labels(staggered, name, covariates):
    moved = staggered.assign(time=staggered["time"] - 500, cohort=staggered["cohort"] - 500)
    one, other = run(staggered, name, covariates), run(moved, name, covariates)
    np.testing.assert_array_equal(numbers(other), numbers(one))
    assert [t.time + 500 for t in other.group_time] == [t.time for t in one.group_time]


@pytest.mark.parametrize(("name", "covariates"), CASES)
def test_counting_every_unit_twice_in_its_cluster_adds_no_information(staggered, name, covariates):
    twice = pd.concat([staggered, staggered.assign(unit=staggered["unit"] + "b")])
    one, other = run(staggered, name, covariates), run(twice, name, covariates)
    assert other.estimate == pytest.approx(one.estimate, rel=1e-8)
    # only fixest's (n - 1)/(n - K) sees the number of rows
    assert other.std_error == pytest.approx(one.std_error, rel=1e-8 if name == "callaway_santanna" else 0.02)
    assert other.n_clusters == one.n_clusters


@pytest.mark.parametrize(("name", "covariates"), CASES)
def test_a_weight_of_two_is_the_same_unit_twice(staggered, name, covariates):
    is_heavy = staggered["unit"].str[-1].isin(list("02468"))
    twice = pd.concat([staggered, staggered[is_heavy].assign(unit=lambda rows: rows["unit"] + "b")])
    weighted = staggered.assign(weight=np.where(is_heavy, 2.0, 1.0))
    one, other = run(weighted, name, covariates), run(twice, name, covariates)
    plain = run(staggered, name, covariates)
    assert abs(one.estimate - plain.estimate) > 1e-4
    assert one.estimate == pytest.approx(other.estimate, rel=1e-8)
    assert one.std_error == pytest.approx(other.std_error, rel=1e-8 if name == "callaway_santanna" else 0.02)


@pytest.mark.parametrize("name", PANEL_ESTIMATORS)
def test_exclusions_and_settings_of_the_sample_reach_the_result(staggered, name):
    before = Exclusion(reason="undated", rows=12, units=2)
    sample = Sample(frame=staggered, exclusions=(before,), settings={"outcome": "broadband"})
    result = estimate(sample, name)
    assert result.exclusions == (before,)
    assert result.settings["outcome"] == "broadband"
    assert result.settings["comparison"] == "not_yet"
    assert (result.n_obs, result.n_units, result.n_treated, result.n_clusters) == (540, 90, 45, 30)
    assert isinstance(result.as_dict()["estimand"], Message)


def test_what_is_left_out_and_warned_of_can_be_said_in_another_language(staggered):
    treated = staggered.loc[staggered["cohort"].notna(), "unit"].unique()
    few = staggered.loc[~staggered["unit"].isin(treated[3:])]
    single = few.iloc[[0]].assign(unit="seen once", cluster="seen once", cohort=np.nan)
    result = estimate(Sample(frame=pd.concat([few, single])), "imputation").as_dict()
    assert [item["reason"] for item in result["exclusions"]] == ["unit observed in a single period"]
    assert result["settings"]["warnings"]
    assert all(isinstance(text, Message) for text in result["settings"]["warnings"])
    assert isinstance(result["exclusions"][0]["reason"], Message)


@pytest.mark.parametrize("name", PANEL_ESTIMATORS)
def test_units_without_a_past_and_units_seen_once_are_counted_out(staggered, name):
    early = staggered["unit"].isin(["u000", "u006"])
    once = staggered["unit"].eq("u003") & staggered["time"].ne(2019)
    frame = staggered.assign(cohort=staggered["cohort"].mask(early, 2016.0))[~once]
    result = run(frame, name)
    assert [(e.rows, e.units) for e in result.exclusions] == [(1, 1), (12, 2)]
    assert result.n_units == 87
    assert result.n_treated == 43
    without = frame[~frame["unit"].isin(["u000", "u006", "u003"])]
    np.testing.assert_allclose(numbers(result), numbers(run(without, name)), rtol=1e-12)


@pytest.mark.parametrize("name", PANEL_ESTIMATORS)
def test_a_constant_outcome_has_no_effect_and_no_p_value(staggered, name):
    result = run(staggered.assign(outcome=0.37), name)
    assert result.estimate == pytest.approx(0, abs=1e-12)
    assert np.isnan(result.std_error)
    assert np.isnan(result.p_value)


@pytest.mark.parametrize("name", PANEL_ESTIMATORS)
@pytest.mark.parametrize(
    ("change", "settings", "message"),
    [
        (
            lambda f: f.assign(cohort=f["cohort"].fillna(2022)),
            {"comparison": "never"},
            "all 90 units are exposed",
        ),
        (lambda f: f.assign(cohort=np.nan), {}, "no unit is seen both before and after"),
        (lambda f: f.assign(cohort=2019.0), {}, "all 90 units are first exposed at 2019"),
        (lambda f: f[f["time"] == 2019], {}, "no unit is observed in two periods"),
        (lambda f: f.iloc[:0], {}, "it has no rows"),
        (lambda f: f.assign(cohort=f["cohort"] + 10), {}, "no unit is seen both before and after"),
    ],
)
def test_a_sample_that_cannot_answer_says_why(staggered, name, change, settings, message):
    with pytest.raises(EstimationError, match=message):
        run(change(staggered), name, **settings)


@pytest.mark.parametrize("name", PANEL_ESTIMATORS)
def test_all_faults_of_a_malformed_frame_are_named_at_once(staggered, name):
    frame = pd.concat([staggered, staggered.iloc[[7]]]).assign(weight=0.0)
    frame["outcome"] = frame["outcome"].mask(frame["time"] == 2018)
    with pytest.raises(InputError, match=r"(?s)3 faults.*two rows at one time.*not finite.*weights must be positive"):
        run(frame, name)
    with pytest.raises(InputError, match="no column cluster"):
        run(staggered.drop(columns="cluster"), name)


def test_an_unknown_estimator_or_option_names_those_that_exist(staggered):
    sample = Sample(frame=staggered)
    with pytest.raises(InputError, match=r"'twfe' does not exist; allowed: .*callaway_santanna.*two_way_fe"):
        estimate(sample, "twfe")
    with pytest.raises(InputError, match="aggregation has no meaning for two_way_fe; it takes std_errors"):
        estimate(sample, "two_way_fe", aggregation="group")
    with pytest.raises(InputError, match=r"(?s)2 faults.*bins has no meaning.*allowed: dr, reg, ipw"):
        estimate(sample, "callaway_santanna", adjustment="matching", bins=3)
    with pytest.raises(InputError, match="base_period = 'first' is no whole number"):
        estimate(sample, "event_study", base_period="first")


def test_results_do_not_depend_on_the_hash_seed(staggered, tmp_path):
    data = tmp_path / "sample.csv"
    staggered.to_csv(data, index=False)
    script = (
        "import sys, pandas as pd; from wwc_research.design.sample import Sample; "
        "from wwc_research.estimators import estimate; frame = pd.read_csv(sys.argv[1]); "
        "[print(repr(estimate(Sample(frame=frame, covariates=('size',)), name).as_dict())) "
        f"for name in {PANEL_ESTIMATORS!r}]"
    )
    root = Path(__file__).parents[2]
    outputs = [
        subprocess.run(
            [sys.executable, "-c", script, str(data)],
            env={**os.environ, "PYTHONHASHSEED": seed, "PYTHONPATH": str(root)},
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for seed in ("1", "4")
    ]
    assert outputs[0] == outputs[1] != ""
