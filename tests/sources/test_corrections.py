from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest

from wwc_research.errors import DataError
from wwc_research.sources import raw
from wwc_research.sources.corrections import apply_corrections, load_corrections


@pytest.fixture
def air(uncorrected: pd.DataFrame) -> pd.DataFrame:
    return uncorrected[uncorrected["source"] == "epa_aqi"].reset_index(drop=True)


def maricopa(frame: pd.DataFrame) -> pd.Series:
    return (frame["place_id"] == "04013") & frame["year"].isin([2020, 2021])


def test_the_broken_monitor_of_maricopa_is_removed_and_logged(air: pd.DataFrame) -> None:
    corrected, log = apply_corrections(air, load_corrections())
    spoilt = corrected[maricopa(corrected) & (corrected["variable"] != "aqi_days_count")]
    assert len(spoilt) == 12
    assert spoilt["value"].isna().all()
    assert (spoilt["flag"] == "suspect_monitor").all()
    assert len(log) == 12
    was = log.loc[log["variable"] == "aqi_over_100_share", "value_was"]
    assert was.tolist() == pytest.approx([201 / 366, 225 / 365] * 2, abs=1e-6)


def test_nothing_else_is_touched(air: pd.DataFrame) -> None:
    corrected, _ = apply_corrections(air, load_corrections())
    untouched = ~maricopa(air)
    pd.testing.assert_frame_equal(corrected[untouched], air[untouched])
    days = air["variable"] == "aqi_days_count"
    pd.testing.assert_frame_equal(corrected[days], air[days])


def test_reading_is_possible_with_and_without_corrections(raw_dir: Path) -> None:
    raw_values = raw.read_observations(raw_dir, variables=["aqi_over_100_share"], corrected=False)
    corrected = raw.read_observations(raw_dir, variables=["aqi_over_100_share"])
    assert raw_values.loc[maricopa(raw_values), "value"].gt(0.5).all()
    assert corrected.loc[maricopa(corrected), "value"].isna().all()


def test_the_guard_fires_once_the_publisher_has_repaired_the_figure(air: pd.DataFrame) -> None:
    repaired = air.copy()
    row = maricopa(air) & (air["variable"] == "aqi_over_100_share") & (air["year"] == 2021)
    repaired.loc[row & (air["vintage"] == "2026"), "value"] = 0.12
    with pytest.raises(DataError, match=r"04013 in 2021 \(vintage 2026\) is 0.12.*repaired, drop the entry"):
        apply_corrections(repaired, load_corrections())


def test_an_entry_that_finds_no_figure_is_refused(air: pd.DataFrame) -> None:
    with pytest.raises(DataError, match="drop or correct the entry"):
        apply_corrections(air[~maricopa(air)], load_corrections())


def test_other_sources_pass_without_the_entry_being_missed(uncorrected: pd.DataFrame) -> None:
    other = uncorrected[uncorrected["source"] == "bls_laus"]
    corrected, log = apply_corrections(other, load_corrections())
    pd.testing.assert_frame_equal(corrected, other)
    assert log.empty


def test_a_second_application_changes_nothing(air: pd.DataFrame) -> None:
    once, _ = apply_corrections(air, load_corrections())
    twice, log = apply_corrections(once, load_corrections())
    pd.testing.assert_frame_equal(once, twice)
    assert log.empty
