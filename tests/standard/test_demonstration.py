import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from wwc_research.catalog.thresholds import candidates_for, threshold, thresholds
from wwc_research.errors import InputError
from wwc_research.standard.demonstration import (
    CANNOT_TELL,
    DEMONSTRATED,
    NOT_DEMONSTRATED,
    chance_of_luck,
    judge_progress,
    judge_requirement,
    judge_standard,
)

shares = st.floats(0, 1)
errors = st.floats(0.001, 0.2)


def progress(before, after, s_before=0.01, s_after=0.01, direction="higher", level=0.95):
    return judge_progress(
        before, after, std_error_before=s_before, std_error_after=s_after, direction=direction, level=level
    ).iloc[0]


def standard(value, std_error, threshold, direction="higher", confidence=0.95):
    return judge_standard(
        value, std_error=std_error, threshold=threshold, direction=direction, confidence=confidence
    ).iloc[0]


@pytest.mark.parametrize(
    ("before", "after", "s_before", "s_after", "direction", "z", "p_value", "verdict"),
    [
        # by hand: 0.05 / sqrt(0.03² + 0.04²) = 1; the normal's upper tail at 1 is 0.1587
        (0.60, 0.65, 0.03, 0.04, "higher", 1.0, 0.158655, NOT_DEMONSTRATED),
        (0.60, 0.70, 0.03, 0.04, "higher", 2.0, 0.022750, DEMONSTRATED),
        (0.20, 0.10, 0.03, 0.04, "lower", 2.0, 0.022750, DEMONSTRATED),
        (0.60, 0.70, 0.03, 0.04, "lower", -2.0, 0.977250, NOT_DEMONSTRATED),
    ],
)
def test_progress_is_the_one_sided_z_test_of_two_independent_estimates(
    before, after, s_before, s_after, direction, z, p_value, verdict
):
    found = progress(before, after, s_before, s_after, direction)
    assert found["z"] == pytest.approx(z)
    assert found["p_value"] == pytest.approx(p_value, abs=1e-5)
    assert found["std_error"] == pytest.approx(0.05)
    assert found["verdict"] == verdict
    # (1.6449 + 0.8416) standard errors
    assert found["detectable_change"] == pytest.approx(0.05 * 2.4865, rel=1e-4)


@given(before=shares, after=shares, s_before=errors, s_after=errors, level=st.floats(0.6, 0.99))
def test_a_change_is_never_progress_in_both_directions_nor_without_a_gain(before, after, s_before, s_after, level):
    up = progress(before, after, s_before, s_after, "higher", level)
    down = progress(before, after, s_before, s_after, "lower", level)
    assert [up["verdict"], down["verdict"]].count(DEMONSTRATED) <= 1
    assert up["p_value"] + down["p_value"] == pytest.approx(1)
    if after <= before:
        assert up["verdict"] == NOT_DEMONSTRATED


@given(before=shares, after=shares, error=errors, more=st.floats(1, 5))
def test_more_noise_never_makes_progress(before, after, error, more):
    quiet, noisy = progress(before, after, error, error), progress(before, after, error * more, error * more)
    if noisy["verdict"] == DEMONSTRATED:
        assert quiet["verdict"] == DEMONSTRATED


def test_pure_noise_shows_progress_about_as_often_as_the_level_allows():
    rng = np.random.default_rng(5)
    figures = 0.5 + 0.02 * rng.standard_normal((2, 4_000))
    found = judge_progress(*figures, std_error_before=0.02, std_error_after=0.02, direction="higher", level=0.9)
    assert (found["verdict"] == DEMONSTRATED).mean() == pytest.approx(0.1, abs=0.015)


@pytest.mark.parametrize(
    ("before", "after", "s_before", "s_after", "reason"),
    [
        (math.nan, 0.5, 0.01, 0.01, "no figure"),
        (0.5, math.nan, 0.01, math.nan, "no figure"),
        (0.5, 0.9, 0.01, math.nan, "no sampling error"),
    ],
)
def test_progress_without_a_figure_or_its_error_cannot_be_told(before, after, s_before, s_after, reason):
    found = progress(before, after, s_before, s_after)
    assert (found["verdict"], found["reason"]) == (CANNOT_TELL, reason)
    assert math.isnan(found["p_value"])


def test_figures_taken_as_exact_are_judged_by_their_sign():
    assert progress(0.5, 0.51, 0, 0)["verdict"] == DEMONSTRATED
    assert progress(0.5, 0.5, 0, 0)["verdict"] == NOT_DEMONSTRATED
    assert standard(5.0, 0, 5.0, "lower")["verdict"] == DEMONSTRATED
    assert standard(5.1, 0, 5.0, "lower")["verdict"] == NOT_DEMONSTRATED


@pytest.mark.parametrize(
    ("value", "direction", "verdict", "bound"),
    [
        (8.0, "lower", DEMONSTRATED, 8.822427),
        (8.5, "lower", NOT_DEMONSTRATED, 9.322427),  # better than the ceiling of 9, within its error
        (10.0, "lower", NOT_DEMONSTRATED, 10.822427),
        (10.0, "higher", DEMONSTRATED, 9.177573),
        (9.5, "higher", NOT_DEMONSTRATED, 8.677573),
    ],
)
def test_a_level_counts_only_if_its_one_sided_interval_clears_the_threshold(value, direction, verdict, bound):
    found = standard(value, 0.5, 9.0, direction)
    assert found["verdict"] == verdict
    assert found["bound"] == pytest.approx(bound, abs=1e-5)
    assert (found["p_value"] <= 0.05) == (verdict == DEMONSTRATED)


@given(value=shares, error=errors, limit=shares, confidence=st.floats(0.6, 0.98))
def test_more_confidence_never_demonstrates_more(value, error, limit, confidence):
    strict, loose = (standard(value, error, limit, confidence=level) for level in (confidence + 0.01, confidence))
    if strict["verdict"] == DEMONSTRATED:
        assert loose["verdict"] == DEMONSTRATED
        assert value >= limit


@pytest.mark.parametrize(
    ("value", "error", "limit", "reason"),
    [
        (math.nan, 0.5, 9.0, "no figure"),
        (8.0, math.nan, 9.0, "no sampling error"),
        (8.0, math.nan, math.nan, "no threshold"),
        (math.nan, math.nan, math.nan, "no figure"),
    ],
)
def test_a_level_without_figure_error_or_threshold_cannot_be_told(value, error, limit, reason):
    found = standard(value, error, limit, "lower")
    assert (found["verdict"], found["reason"]) == (CANNOT_TELL, reason)


def test_wrong_options_are_refused_with_what_is_allowed():
    with pytest.raises(InputError, match="allowed: higher and lower"):
        progress(0.5, 0.6, direction="up")
    with pytest.raises(InputError, match=r"level = 95 should lie between 0\.5 and 1"):
        progress(0.5, 0.6, level=95)
    with pytest.raises(InputError, match="never below 0"):
        standard(0.5, -0.1, 0.4)
    with pytest.raises(InputError, match="one length"):
        judge_progress([1, 2], [1, 2, 3], std_error_before=0, std_error_after=0, direction="higher")


@pytest.mark.parametrize(
    ("verdicts", "at_least", "verdict"),
    [
        ([DEMONSTRATED, NOT_DEMONSTRATED, CANNOT_TELL], 1, DEMONSTRATED),
        ([NOT_DEMONSTRATED, CANNOT_TELL], 1, CANNOT_TELL),
        ([NOT_DEMONSTRATED, NOT_DEMONSTRATED], 1, NOT_DEMONSTRATED),
        ([DEMONSTRATED, CANNOT_TELL, NOT_DEMONSTRATED], 2, CANNOT_TELL),
        ([DEMONSTRATED, NOT_DEMONSTRATED, NOT_DEMONSTRATED], 2, NOT_DEMONSTRATED),
    ],
)
def test_the_requirement_is_open_only_while_the_untold_could_still_decide_it(verdicts, at_least, verdict):
    assert judge_requirement(verdicts, at_least=at_least) == verdict


def test_an_unknown_verdict_is_refused():
    with pytest.raises(InputError, match="'met' is none of"):
        judge_requirement(["met"])


def test_three_tests_at_95_percent_are_passed_by_luck_one_time_in_seven():
    assert chance_of_luck(3) == pytest.approx(0.142625)


def test_candidate_thresholds_are_data_with_a_source_and_none_is_a_default():
    assert {name: entry.value for name, entry in thresholds().items()} == {
        "who_2021": 5.0,
        "naaqs_2012": 12.0,
        "naaqs_2024": 9.0,
    }
    assert threshold("naaqs_2024").effective_from == "2024-05-06"
    assert all(entry.source for entry in thresholds().values())
    assert candidates_for("broadband_share") == ()
    with pytest.raises(InputError, match="who_2021"):
        threshold("who")
