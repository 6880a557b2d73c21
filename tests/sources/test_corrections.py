from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest

from wwc_research.errors import DataError
from wwc_research.sources import raw
from wwc_research.sources.corrections import apply_corrections, apply_to_fetched, load_corrections


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


# --- fetched vintages ------------------------------------------------------------------------------------


@pytest.fixture
def fetched(air: pd.DataFrame) -> pd.DataFrame:
    return air[air["vintage"] == "2026"].assign(vintage="2026-11-23").reset_index(drop=True)


def over(frame: pd.DataFrame, year: int) -> pd.Series:
    return maricopa(frame) & (frame["variable"] == "aqi_over_100_share") & (frame["year"] == year)


def test_a_fetched_vintage_that_is_still_wrong_is_corrected_like_a_shipped_one(fetched: pd.DataFrame) -> None:
    found, log, repaired = apply_to_fetched(fetched, load_corrections())
    pd.testing.assert_frame_equal(found, apply_corrections(fetched, load_corrections())[0])
    assert len(log) == 6
    assert repaired.empty


def test_a_repaired_figure_of_a_fetched_vintage_is_kept_and_the_other_year_removed(fetched: pd.DataFrame) -> None:
    fetched.loc[over(fetched, 2021), "value"] = 0.12
    found, log, repaired = apply_to_fetched(fetched, load_corrections())
    kept = fetched["year"] != 2020
    pd.testing.assert_frame_equal(found[kept], fetched[kept])
    assert log["year"].unique().tolist() == [2020]
    assert repaired[["place_id", "year", "value"]].to_numpy().tolist() == [["04013", 2021, 0.12]]


def test_years_that_a_fetched_vintage_does_not_hold_stop_nobody(fetched: pd.DataFrame) -> None:
    for part in (fetched[fetched["year"] > 2021], fetched[fetched["place_id"] != "04013"]):
        found, log, repaired = apply_to_fetched(part, load_corrections())
        pd.testing.assert_frame_equal(found, part)
        assert log.empty
        assert repaired.empty


def test_figures_that_nothing_shows_to_be_repaired_are_removed(fetched: pd.DataFrame) -> None:
    fetched.loc[over(fetched, 2021), "value"] = float("nan")
    found, log, repaired = apply_to_fetched(fetched, load_corrections())
    others = maricopa(found) & found["variable"].isin(["aqi_good_share", "aqi_median_index"])
    assert found.loc[others, "value"].isna().all()
    assert len(log) == 5
    assert repaired.empty
