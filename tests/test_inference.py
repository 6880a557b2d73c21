import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wwc_research import inference

finite = st.floats(-1e6, 1e6)
positive = st.floats(1e-6, 1e6)


def test_a_two_sigma_estimate_has_the_textbook_p_value_and_interval():
    assert inference.p_value(1.959963984540054, 1.0) == pytest.approx(0.05, abs=1e-12)
    assert inference.confidence_interval(0.0, 1.0) == pytest.approx((-1.959963984540054, 1.959963984540054))


def test_few_degrees_of_freedom_widen_the_interval_as_students_table_says():
    low, high = inference.confidence_interval(0.0, 1.0, 10)
    assert high == pytest.approx(2.228138851964939)
    assert low == -high


def test_the_minimum_detectable_effect_is_two_point_eight_standard_errors():
    assert inference.minimum_detectable_effect(1.0) == pytest.approx(2.8015852, abs=1e-6)


@given(estimate=finite, std_error=positive, df=st.floats(1, 1e4))
def test_zero_is_outside_the_interval_exactly_when_p_is_below_five_percent(estimate, std_error, df):
    low, high = inference.confidence_interval(estimate, std_error, df)
    p_value = inference.p_value(estimate, std_error, df)
    if abs(p_value - 0.05) > 1e-6:
        assert (low > 0 or high < 0) == (p_value < 0.05)


@pytest.mark.parametrize(
    ("std_error", "df"), [(0.0, 5), (-1.0, 5), (math.nan, 5), (math.inf, 5), (1.0, 0), (1.0, math.nan)]
)
def test_undefined_inference_is_nan_and_never_zero_or_one(std_error, df):
    assert math.isnan(inference.p_value(1.0, std_error, df))
    assert all(math.isnan(end) for end in inference.confidence_interval(1.0, std_error, df))
    assert math.isnan(inference.minimum_detectable_effect(std_error, df))


def test_a_wald_statistic_of_one_restriction_agrees_with_the_t_test():
    assert inference.wald_p_value(2.5**2, 1, 30) == pytest.approx(inference.p_value(2.5, 1.0, 30))
    assert inference.wald_p_value(2.5**2, 1) == pytest.approx(inference.p_value(2.5, 1.0))
    assert math.isnan(inference.wald_p_value(1.0, 0))
