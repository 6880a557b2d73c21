from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from wwc_research.errors import DataError, InputError
from wwc_research.sources import acs_income, certification, epa_aqi, raw, youth_neet_county
from wwc_research.sources.places import Places, Scope

AQI_HEADER = (
    "State,County,Year,Days with AQI,Good Days,Moderate Days,Unhealthy for Sensitive Groups Days,"
    "Unhealthy Days,Very Unhealthy Days,Hazardous Days,Max AQI,90th Percentile AQI,Median AQI\n"
)


@pytest.mark.shared
def test_compiling_the_publishers_files_gives_the_shipped_bytes(compiled: Path, raw_dir: Path) -> None:
    shipped = {path.relative_to(raw_dir): path.read_bytes() for path in raw_dir.rglob("*") if path.is_file()}
    again = {path.relative_to(compiled): path.read_bytes() for path in compiled.rglob("*") if path.is_file()}
    assert sorted(shipped) == sorted(again)
    assert [path for path in shipped if shipped[path] != again[path]] == []


@pytest.mark.shared
def test_bad_air_days_of_the_whole_country_are_as_noted(publishers_dir: Path, full_scope: Scope) -> None:
    tables = epa_aqi.read(publishers_dir, scope=full_scope).observations
    noted = {"2022": [0.0064, 0.0143, 0.0160, 0.0103], "2026": [0.0065, 0.0143, 0.0162, 0.0103]}
    bad = ["Unhealthy for Sensitive Groups Days", "Unhealthy Days", "Very Unhealthy Days", "Hazardous Days"]
    for vintage, shares in noted.items():
        wide = tables[f"vintage_{vintage}"].pivot_table(index=["place_id", "year"], columns="variable", values="value")
        for year, share in zip(range(2019, 2023), shares, strict=True):
            file = f"epa_aqs/vintage-{vintage}/annual_aqi_by_county_{year}.csv"
            rows = pd.read_csv(publishers_dir / file)
            # The noted figures pool all monitored days, those of Mexico and Puerto Rico too.
            assert round(rows[bad].sum().sum() / rows["Days with AQI"].sum(), 4) == share
            part = wide.xs(year, level="year")
            pooled = np.average(part["aqi_over_100_share"], weights=part["aqi_days_count"])
            assert pooled == pytest.approx(share, abs=3e-4)


@pytest.mark.shared
def test_no_income_row_is_lost(publishers_dir: Path, places: Places) -> None:
    settings = raw.load_sources()["acs_income"]["settings"]
    reading = acs_income.read(publishers_dir, scope=Scope(places=places, settings=settings))
    rows = pd.read_csv(publishers_dir / acs_income.FILE)
    assert len(reading.observations["one_year"]) + int(reading.left_out["rows"].sum()) == len(rows)


def test_a_missing_folder_is_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no such folder"):
        raw.compile_all(tmp_path / "nowhere", tmp_path / "raw")


def test_every_missing_file_is_in_one_message_and_nothing_is_written(tmp_path: Path) -> None:
    (tmp_path / "treatment").mkdir()
    (tmp_path / certification.FILE).write_text("event_id\n")
    (tmp_path / acs_income.FILE).mkdir(parents=True)  # a folder is no file
    with pytest.raises(InputError) as caught:
        raw.compile_all(tmp_path, tmp_path / "raw")
    text = str(caught.value)
    wanted = {pattern for patterns in raw.PUBLISHERS_FILES.values() for pattern in patterns}
    assert f"{len(wanted) - 1} of the {len(wanted)} publishers' files are missing" in text
    for pattern in wanted:
        assert (f"  {pattern} (" in text) == (pattern != certification.FILE)
    assert "SUB-IP-EST2019-ANNRES.xlsx (gazetteer and census_population)" in text
    assert not (tmp_path / "raw").exists()


def test_what_sources_read_is_declared_for_each_of_them() -> None:
    shipped = {source for source, entry in raw.load_sources().items() if entry["tables"]}
    assert set(raw.PUBLISHERS_FILES) == {"gazetteer", "crosswalks", *raw.READERS} == shipped
    vintages = raw.load_sources()["epa_aqi"]["settings"]["complete_through"]
    assert [pattern.split("/")[1] for pattern in raw.PUBLISHERS_FILES["epa_aqi"]] == [f"vintage-{v}" for v in vintages]


@pytest.mark.shared
def test_readers_open_the_declared_files_and_no_others(publishers_dir: Path, opened: dict[str, set[str]]) -> None:
    declared = {
        source: {path.relative_to(publishers_dir).as_posix() for p in patterns for path in publishers_dir.glob(p)}
        for source, patterns in raw.PUBLISHERS_FILES.items()
    }
    assert opened == declared


def test_a_reader_that_fails_late_leaves_the_tables_as_they_were(tmp_path: Path, monkeypatch) -> None:
    def broken(publishers_dir, *, catalog):
        frame = pd.DataFrame({"event_id": ["x"]})
        yield "certification", raw.Reading(tables={"events": frame})
        raise DataError("the second source is damaged")

    monkeypatch.setattr(raw, "read_publishers", broken)
    with pytest.raises(DataError, match="damaged"):
        raw.compile_all(tmp_path, tmp_path / "raw")
    assert not (tmp_path / "raw").exists()


def write_air(folder: Path, *, vintage: str, year: int, rows: str) -> Path:
    target = folder / "epa_aqs" / f"vintage-{vintage}"
    target.mkdir(parents=True)
    (target / f"annual_aqi_by_county_{year}.csv").write_text(AQI_HEADER + rows)
    return folder


def air_scope(places: Places, complete_through: int) -> Scope:
    settings = {"minimum_days": 90, "complete_through": {"2026": complete_through}}
    return Scope(places=places, counties=frozenset({"24005", "24510"}), settings=settings)


def test_air_rows_become_shares_of_monitored_days(tmp_path: Path, places: Places) -> None:
    rows = (
        "Maryland,Baltimore (City),2024,366,200,150,10,4,1,1,200,90,45\n"
        "Maryland,Baltimore,2024,60,50,10,0,0,0,0,80,60,30\n"
        "Country Of Mexico,SONORA,2024,100,50,50,0,0,0,0,80,60,30\n"
        "Maryland,Garrett,2024,300,290,10,0,0,0,0,80,60,30\n"
    )
    folder = write_air(tmp_path, vintage="2026", year=2024, rows=rows)
    reading = epa_aqi.read(folder, scope=air_scope(places, 2024))
    wide = reading.observations["vintage_2026"].pivot(index="place_id", columns="variable", values="value")
    assert wide.loc["24510", "aqi_over_100_share"] == pytest.approx(16 / 366, abs=1e-6)
    assert wide.loc["24510", "aqi_median_index"] == 45
    assert set(wide.index) == {"24005", "24510"}
    flags = reading.observations["vintage_2026"].groupby("place_id")["flag"].first()
    assert flags.to_dict() == {"24005": "few_days", "24510": ""}
    assert int(reading.left_out["rows"].sum()) == 2


def test_a_running_year_is_refused_even_when_it_is_declared_whole(tmp_path: Path, places: Places) -> None:
    rows = "Maryland,Baltimore,2025,317,300,17,0,0,0,0,80,60,30\n"
    folder = write_air(tmp_path, vintage="2026", year=2025, rows=rows)
    with pytest.raises(DataError, match="2025 is not a whole year"):
        epa_aqi.read(folder, scope=air_scope(places, 2025))


def write_roster(folder: Path, raw_dir: Path, **changes: str) -> Path:
    events = raw.read_table(raw_dir, "certification/events").rename(columns={"place_id": "place_geoid"})
    tempe = events["event_id"] == "tempe-az-first"
    assert tempe.any()
    for column, text in changes.items():
        events.loc[tempe, column] = text
    (folder / "treatment").mkdir()
    events.to_csv(folder / "treatment" / "roster.csv", index=False)
    return folder


def test_a_roster_with_wrong_rows_is_refused_with_all_of_them(tmp_path, raw_dir, places: Places) -> None:
    folder = write_roster(
        tmp_path, raw_dir, place_geoid="0455000", level="bronze", announced_on="2020", standard_edition="v9"
    )
    with pytest.raises(DataError) as caught:
        certification.read(folder, scope=Scope(places=places))
    text = str(caught.value)
    assert "level 'bronze' is none of silver, gold, platinum" in text
    assert "announced_on '2020' is no date" in text
    assert "the gazetteer says 0473000" in text
    assert "'v9'" in text
    assert "no first certification precedes" in text or "second first certification" in text


def test_a_margin_of_another_level_is_not_taken_for_ours(tmp_path: Path, places: Places) -> None:
    fields = {"estimate": 10.0, "MOE": 5.0, "CI": 9.0, "percent": 10.0, "population": 100.0}
    rows = [("21111", 2019, "total", "total", kind, number) for kind, number in fields.items()]
    frame = pd.DataFrame(rows, columns=["FIPS", "year", "sex", "race", "var_type", "disconnected"])
    (tmp_path / "youth_neet").mkdir()
    frame.to_csv(tmp_path / youth_neet_county.FILE, index=False)
    with pytest.raises(DataError, match="its level is unknown"):
        youth_neet_county.read(tmp_path, scope=Scope(places=places))


def test_an_income_row_of_an_unknown_city_is_refused(tmp_path: Path, places: Places) -> None:
    (tmp_path / "census_acs").mkdir()
    (tmp_path / acs_income.FILE).write_text(
        "City,State,Year,Median_Income\nTempe city,Arizona,2019,60000\nTempee city,Arizona,2019,1\n"
    )
    with pytest.raises(DataError, match="Nearest names: Tempe city"):
        acs_income.read(tmp_path, scope=Scope(places=places))
