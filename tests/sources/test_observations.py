from __future__ import annotations

import io

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from wwc_research.errors import DataError
from wwc_research.sources.observations import (
    COLUMNS,
    long_frame,
    quality_flag,
    sorted_frame,
    std_error_from_bounds,
    std_error_from_interval,
    validate,
)
from wwc_research.sources.tables import csv_bytes, to_long, to_wide


def frame(**changes: object) -> pd.DataFrame:
    base = {
        "place_id": ["0644000", "06037"],
        "year": [2019, 2019],
        "variable": ["x_share", "x_share"],
        "value": [0.5, 0.25],
        "std_error": [0.01, np.nan],
        "flag": ["", ""],
        "source": ["s", "s"],
        "vintage": ["v", "v"],
    }
    return pd.DataFrame(base | changes)[list(COLUMNS)]


def test_a_sound_frame_passes_unchanged() -> None:
    good = frame()
    assert validate(good, where="t") is good


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"place_id": ["644000", "06037"]}, "none of: 7-digit place"),
        ({"place_id": ["06037", "06037"]}, "more than once"),
        ({"value": [np.nan, 0.25], "std_error": [np.nan, np.nan]}, "carry no flag"),
        ({"value": [np.inf, 0.25]}, "infinite"),
        ({"value": [1.2, 0.25]}, "lie outside 0 to 1"),
        ({"std_error": [0.0, np.nan]}, "standard error is positive"),
        ({"value": [np.nan, 0.25], "flag": ["why", ""]}, "missing where it is unknown or the value"),
        ({"year": [19, 2019]}, "not plausible"),
    ],
)
def test_each_breach_of_the_contract_is_named(changes: dict[str, object], message: str) -> None:
    with pytest.raises(DataError, match=message):
        validate(frame(**changes), where="t")


def test_all_breaches_come_in_one_error() -> None:
    with pytest.raises(DataError, match="3 faults"):
        validate(frame(place_id=["1", "06037"], value=[2.0, 0.2], std_error=[-1.0, np.nan]), where="t")


def test_a_cut_off_bound_does_not_shrink_the_standard_error() -> None:
    value, half = pd.Series([0.97, 0.5]), 1.959964 * 0.02
    upper = (value + half).clip(upper=1.0)
    assert std_error_from_bounds(value, value - half, upper).tolist() == pytest.approx([0.02, 0.02])


def test_a_sample_without_variation_has_an_unknown_error_not_a_zero_one() -> None:
    one = pd.Series([1.0])
    assert np.isnan(std_error_from_bounds(one, one, one).iloc[0])
    assert np.isnan(std_error_from_interval(one, one).iloc[0])


def test_the_best_grade_is_no_flag() -> None:
    assert quality_flag(pd.Series(["1", "2", "3", None])).tolist() == ["", "quality_2", "quality_3", ""]


def test_a_missing_value_says_why_even_where_it_was_graded() -> None:
    wide = pd.DataFrame({"place_id": ["0644000"], "year": [2019], "v": [np.nan], "f": ["quality_3"]})
    long = long_frame(wide, source="s", vintage="v", values={"x_share": "v"}, flags={"x_share": "f"})
    assert long["flag"].tolist() == ["not_published"]


@settings(max_examples=25, deadline=None)
@given(
    st.lists(
        st.tuples(
            st.sampled_from(["0644000", "06037", "P0100200"]),
            st.integers(2000, 2030),
            st.sampled_from(["a_share", "b_share"]),
            st.one_of(st.none(), st.floats(0, 1).map(lambda x: round(x, 6))),
            st.one_of(st.none(), st.floats(1e-6, 1).map(lambda x: round(x, 6))),
            st.sampled_from(["", "few_days", "not_published"]),
        ),
        min_size=1,
        max_size=12,
        unique_by=lambda row: row[:3],
    )
)
def test_writing_wide_and_reading_back_loses_nothing(rows: list[tuple]) -> None:
    long = pd.DataFrame(rows, columns=["place_id", "year", "variable", "value", "std_error", "flag"])
    long = long.assign(source="s", vintage="v").astype({"value": float, "std_error": float})
    long["flag"] = long["flag"].mask(long["value"].isna() & (long["flag"] == ""), "not_published")
    long["std_error"] = long["std_error"].where(long["value"].notna())
    long = sorted_frame(long)
    text = csv_bytes(to_wide(long))
    header = text.split(b"\n", 1)[0].decode().split(",")
    flags = [column for column in header if column.endswith("__flag")]
    back = pd.read_csv(
        io.BytesIO(text),
        dtype={"place_id": str, **dict.fromkeys(flags, str)},
        keep_default_na=False,
        na_values={column: [""] for column in header if column not in flags},
    )
    again = sorted_frame(to_long(back, source="s", vintage="v"))
    pd.testing.assert_frame_equal(again, long, check_dtype=False)
