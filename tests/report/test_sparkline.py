"""Small pictures say what they show, are small, and fit any colours."""

from __future__ import annotations

import re

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from wwc_research.errors import InputError
from wwc_research.messages import message
from wwc_research.report.sparkline import HEIGHT, WIDTH, interval_mark, sparkline

VALUES = st.one_of(st.none(), st.floats(-1e9, 1e9), st.just(float("nan")))


def test_a_line_starts_low_ends_high_and_breaks_where_a_value_is_missing():
    drawn = sparkline([1, 2, None, 3], label="Rising")
    paths = re.findall(r' d="([^"]*)"', drawn)
    assert paths == [f"M3 {HEIGHT - 3}l30-7M{WIDTH - 3} 3h0"]
    assert f'cx="{WIDTH - 3}" cy="3"' in drawn


def test_the_mark_stands_between_two_values_and_the_scale_can_be_given():
    assert f"M{WIDTH // 2} 1V" in sparkline([1, 2, 1, 2], label="Marked", mark=1.5)
    assert f"M3 {HEIGHT // 2}l" in sparkline([1, 1], label="Middle", low=0, high=2)


@given(st.lists(VALUES, max_size=200))
def test_a_small_picture_is_never_more_than_600_bytes_whatever_it_shows(values):
    drawn = sparkline(values, label="A series", mark=2)
    assert len(drawn.encode()) <= 600
    assert "nan" not in drawn


@given(VALUES, VALUES, VALUES)
def test_a_mark_is_small_and_stays_inside_whatever_it_shows(estimate, low, high):
    drawn = interval_mark(estimate, low, high, limit=0.2, scale_to=1, label="An interval")
    assert len(drawn.encode()) <= 600
    across = [float(x) for x in re.findall(r'(?:M|H|cx=")(-?[\d.]+)', drawn)]
    assert all(0 <= x <= WIDTH for x in across)


def test_an_interval_beyond_the_scale_ends_in_an_arrow_there():
    inside = interval_mark(0.0, -0.5, 0.5, limit=None, scale_to=1, label="An interval")
    beyond = interval_mark(0.0, -0.5, 1.5, limit=None, scale_to=1, label="An interval")
    assert "m-3-3 3 3-3 3" in beyond
    assert "m-3-3 3 3-3 3" not in inside
    assert f'cx="{WIDTH // 2}"' in inside
    assert "circle" not in interval_mark(0.1, None, 0.5, limit=None, scale_to=1, label="Not known")


def test_a_small_picture_names_no_colour_of_its_own_and_is_labelled():
    hostile = message("{city} rises", city='"><script>')
    for drawn in (
        sparkline(np.linspace(0, 1, 9).tolist(), label=hostile),
        interval_mark(0.1, 0.0, 0.2, limit=0.1, scale_to=1, label=hostile),
    ):
        assert drawn.startswith('<svg role="img" aria-label="&#34;&gt;&lt;script&gt; rises"')
        assert "#" not in drawn.replace("&#34;", "")
        assert "currentColor" in drawn


def test_faults_are_named_together():
    with pytest.raises(InputError, match=r"(?s)label is empty.*low = 2 is not below"):
        sparkline([1.0], label=" ", low=2, high=1)
    with pytest.raises(InputError, match=r"(?s)label is empty.*scale_to = 0"):
        interval_mark(1, 0, 2, limit=None, scale_to=0, label="")
