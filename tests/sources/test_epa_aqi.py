from __future__ import annotations

import io
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from wwc_research.errors import DataError, InputError
from wwc_research.sources import epa_aqi, raw
from wwc_research.sources.observations import sorted_frame, validate
from wwc_research.sources.places import Places, Scope
from wwc_research.sources.tables import to_long

HEADER = (
    '"State","County","Year","Days with AQI","Good Days","Moderate Days","Unhealthy for Sensitive Groups Days",'
    '"Unhealthy Days","Very Unhealthy Days","Hazardous Days","Max AQI","90th Percentile AQI","Median AQI",'
    '"Days CO","Days NO2","Days Ozone","Days PM2.5","Days PM10"\n'
)
BALTIMORE = '"Maryland","Baltimore",2023,365,200,150,10,3,1,1,301,90,45,0,5,200,160,0\n'
CITY = '"Maryland","Baltimore (City)",2023,350,300,40,10,0,0,0,120,80,40,0,0,0,350,0\n'


def zipped(text: str | bytes, *, name: str = "annual_aqi_by_county_2023.csv") -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(name, text)
    return buffer.getvalue()


@pytest.fixture(scope="module")
def fetch_settings() -> dict[str, Any]:
    return raw.load_sources()["epa_aqi"]["fetch"]


@pytest.fixture
def read_files(tmp_path: Path, raw_dir: Path, full_scope: Scope, fetch_settings) -> Callable:
    """Reads `{year: text of a CSV or bytes of a zip}` as if it had just been fetched."""

    def read(files: dict[int, str | bytes], *, ending: str = "csv") -> Any:
        for year, content in files.items():
            data = content.encode() if isinstance(content, str) else content
            (tmp_path / f"annual_aqi_by_county_{year}.{ending}").write_bytes(data)
        return epa_aqi.read_fetched(
            tmp_path, scope=full_scope, vintage="2026-11-23", settings=fetch_settings, raw_dir=raw_dir
        )

    return read


def wide(reading: Any) -> pd.DataFrame:
    frame = validate(reading.observations["counties"], where="counties")
    return frame.pivot(index=["place_id", "year"], columns="variable", values="value")


def test_one_zip_a_year_is_asked_for_at_the_publishers_address(fetch_settings) -> None:
    asked = epa_aqi.remotes(years=[2023, 2021, 2023], geographies=["county"], settings=fetch_settings)
    assert [remote.url for remote in asked] == [
        f"https://aqs.epa.gov/aqsweb/airdata/annual_aqi_by_county_{year}.zip" for year in (2021, 2023)
    ]
    assert [(remote.name, remote.kind, remote.year) for remote in asked] == [
        ("annual_aqi_by_county_2021.zip", "zip", 2021),
        ("annual_aqi_by_county_2023.zip", "zip", 2023),
    ]
    with pytest.raises(InputError, match="no file of 1979; EPA publishes 1980 to"):
        epa_aqi.remotes(years=[1979], geographies=["county"], settings=fetch_settings)


def test_a_zip_and_plain_bytes_give_the_same_figures(read_files) -> None:
    plain = wide(read_files({2023: HEADER + BALTIMORE + CITY}))
    assert plain.loc[("24005", 2023), "aqi_over_100_share"] == pytest.approx(15 / 365, abs=1e-6)
    assert plain.loc[("24005", 2023), "aqi_good_share"] == pytest.approx(200 / 365, abs=1e-6)
    assert plain.loc[("24510", 2023)].tolist() == pytest.approx([350, 300 / 350, 40, 10 / 350], abs=1e-6)


def test_a_fetched_zip_is_read_and_carries_its_vintage(read_files) -> None:
    reading = read_files({2023: zipped(HEADER + BALTIMORE + CITY)}, ending="zip")
    frame = reading.observations["counties"]
    assert set(frame["vintage"]) == {"2026-11-23"}
    assert len(wide(reading)) == 2


@pytest.mark.parametrize(
    ("encoding", "mark"), [("cp1252", b""), ("utf-8", b""), ("utf-8", b"\xef\xbb\xbf")], ids=["cp1252", "utf-8", "BOM"]
)
def test_names_with_accents_are_the_same_county_in_every_encoding(read_files, encoding: str, mark: bytes) -> None:
    text = HEADER + BALTIMORE.replace('"Maryland","Baltimore"', '"New Mexico","Doña Ana"')
    text += CITY.replace('"Maryland","Baltimore (City)"', '"Puerto Rico","Cataño"')
    reading = read_files({2023: mark + text.encode(encoding)})
    assert wide(reading).index.tolist() == [("35013", 2023)]
    assert reading.left_out.set_index("item")["rows"].to_dict()["areas outside the states and DC"] == 1


def test_a_byte_that_means_nothing_in_the_encoding_spoils_a_name_and_not_the_file(read_files) -> None:
    text = (HEADER + BALTIMORE + CITY.replace("Baltimore (City)", "Do?a")).encode().replace(b"?", b"\x81")
    reading = read_files({2023: text})
    assert len(wide(reading)) == 1
    assert "no county of this name in the gazetteer" in set(reading.left_out["reason"])


def test_another_column_or_another_pollutant_is_no_fault(read_files) -> None:
    header = HEADER.replace('"Days Ozone"', '"Days Ozone","Days SO2","Remarks"')
    row = BALTIMORE.replace(",200,160,0\n", ",150,50,words,160,0\n")
    assert wide(read_files({2023: header + row})).loc[("24005", 2023), "aqi_days_count"] == 365


FAULTS = {
    "page": ("<!DOCTYPE html><html><title>Service unavailable</title></html>", "a web page, not a table"),
    "empty": ("", "the file is empty"),
    "no rows": (HEADER, "a header without rows"),
    "column": (
        HEADER.replace("Median AQI", "AQI Median") + BALTIMORE,
        "columns Median AQI are missing; found State, County, Year, Days with AQI",
    ),
    "column twice": (HEADER.replace("Max AQI", "Good Days") + BALTIMORE, "columns Good Days occur more than once"),
    "other year": (
        HEADER + BALTIMORE + CITY.replace("2023", "2022"),
        r"Year: 1 rows of '2022' in the file of 2023 \(line 3\)",
    ),
    "cut": (HEADER + BALTIMORE + '"Maryland","Balt', r"cannot be read as CSV|do not have 18 fields"),
    "short line": (HEADER + BALTIMORE + "Maryland,Garrett,2023\n", r"1 lines do not have 18 fields \(line 3\)"),
    "twice": (
        HEADER + BALTIMORE + BALTIMORE,
        "a county more than once .line 2: Baltimore, Maryland; line 3: Baltimore, Maryland",
    ),
    "negative": (HEADER + BALTIMORE.replace(",10,3,1,1,", ",10,5,-1,1,"), "Very Unhealthy Days: not within 0 to 365"),
    "too many": (HEADER + BALTIMORE.replace("365,200", "366,201"), "Days with AQI: not within 1 to 365"),
    "no days": (
        HEADER + BALTIMORE + '"Maryland","Garrett",2023,0,0,0,0,0,0,0,1,1,1,0,0,0,0,0\n',
        "Days with AQI: not within 1 to 365",
    ),
    "word": (HEADER + BALTIMORE.replace(",45,0", ",n/a,0"), "Median AQI: no number .line 2: 'n/a'"),
    "python's word": (HEADER + BALTIMORE.replace(",45,0", ",nan,0"), "Median AQI: no number"),
    "blank": (HEADER + BALTIMORE.replace(",45,0", ",,0"), "Median AQI: empty"),
    "half": (HEADER + BALTIMORE.replace("365,200,150", "365,200.5,149.5"), "Good Days: no whole number"),
    "categories": (
        HEADER + BALTIMORE.replace("365,200", "365,199"),
        r"the days by category do not add up to it \(line 2: Baltimore, Maryland: 364 of 365",
    ),
    "pollutants": (
        HEADER + BALTIMORE.replace("200,160,0", "200,150,0"),
        r"the days by pollutant do not add up to it \(line 2: Baltimore, Maryland: 355 of 365",
    ),
    "nameless": (HEADER + BALTIMORE.replace('"Baltimore"', '""'), "no name of a state or county"),
}


@pytest.mark.parametrize(("text", "said"), FAULTS.values(), ids=FAULTS)
def test_a_faulty_file_is_refused_by_name_with_what_is_wrong(read_files, text: str, said: str) -> None:
    with pytest.raises(DataError, match=said) as caught:
        read_files({2023: text})
    assert "annual_aqi_by_county_2023.csv" in str(caught.value)


def test_a_damaged_zip_is_refused_by_name(read_files) -> None:
    whole = zipped((HEADER + BALTIMORE) * 50)
    with pytest.raises(DataError, match=r"annual_aqi_by_county_2023\.zip"):
        read_files({2023: whole[: len(whole) // 2]}, ending="zip")


def test_all_faults_of_all_files_are_in_one_error(read_files) -> None:
    bad = {
        2021: HEADER.replace("Median AQI", "AQI"),
        2022: "<html>",
        2023: HEADER + BALTIMORE.replace("45", "x").replace("365,200", "365,20"),
    }
    with pytest.raises(DataError) as caught:
        read_files(bad)
    text = str(caught.value)
    assert "4 faults" in text
    for part in ("_2021.csv: columns Median AQI", "_2022.csv: a web page", "_2023.csv, Median AQI", "add up to it"):
        assert part in text


def test_a_missing_column_in_a_shipped_file_is_named_too(tmp_path: Path, places: Places) -> None:
    folder = tmp_path / "epa_aqs" / "vintage-2026"
    folder.mkdir(parents=True)
    for year in (2022, 2023):
        text = (HEADER.replace("Hazardous", "Toxic") + BALTIMORE).replace("2023", str(year))
        (folder / f"annual_aqi_by_county_{year}.csv").write_text(text)
    scope = Scope(places=places, settings={"minimum_days": 90, "complete_through": {"2026": 2024}})
    with pytest.raises(DataError, match="Hazardous Days are missing") as caught:
        epa_aqi.read(tmp_path, scope=scope)
    assert "2 faults" in str(caught.value)


def running(year: int) -> str:
    return HEADER + f'"Maryland","Baltimore",{year},317,300,17,0,0,0,0,80,60,30,0,0,317,0,0\n'


def test_a_running_year_is_left_out_with_its_reason_and_the_whole_years_are_kept(read_files) -> None:
    reading = read_files({2023: HEADER + BALTIMORE + CITY, 2026: running(2026)})
    assert set(reading.observations["counties"]["year"]) == {2023}
    row = reading.left_out[reading.left_out["item"] == "2026"].iloc[0]
    assert "most: 317" in row["reason"]
    assert "fetch it once the year is over" in row["reason"]
    assert row["rows"] == 1


def test_nothing_but_a_running_year_is_refused(read_files) -> None:
    with pytest.raises(DataError, match=r"_2026\.csv: no county has 350 days with an AQI \(most: 317\)"):
        read_files({2026: running(2026)})


def test_a_year_both_zipped_and_plain_is_refused(tmp_path: Path, read_files) -> None:
    (tmp_path / "annual_aqi_by_county_2023.zip").write_bytes(zipped(HEADER + BALTIMORE))
    with pytest.raises(DataError, match=r"both as \.csv and \.zip"):
        read_files({2023: HEADER + BALTIMORE})


def published(raw_dir: Path, places: Places, *, vintage: str, year: int, worse: float = 0.0) -> str:
    """A yearly file whose good days are those of a shipped table, `worse` of them made moderate."""
    table = raw.read_table(raw_dir, f"epa_aqi/vintage_{vintage}")
    names = {row.county_id: (row.name, row.state) for row in places.counties.itertuples(index=False)}
    lines = []
    for row in table[table["year"] == year].itertuples(index=False):
        days = int(row.aqi_days_count)
        over = round(row.aqi_over_100_share * days)
        good = min(round((row.aqi_good_share - worse) * days), days - over)
        good = max(good, 0)
        name, state = names[row.place_id]
        counted = f"{days},{good},{days - good - over},{over},0,0,0"
        lines.append(f'{state},"{name}",{year},{counted},1,1,{row.aqi_median_index:g},0,0,{days},0,0')
    return HEADER + "\n".join(lines) + "\n"


def test_files_scored_before_may_2024_are_told_by_their_good_days(read_files, raw_dir: Path, places: Places) -> None:
    old = published(raw_dir, places, vintage="2022", year=2019)
    with pytest.raises(DataError, match=r"differs from the shipped vintage_2026 by 0\.1") as caught:
        read_files({2019: old})
    assert "agrees with the shipped vintage_2022" in str(caught.value)


def test_old_scores_are_told_in_years_that_only_the_old_table_holds(read_files, raw_dir: Path, places: Places) -> None:
    with pytest.raises(DataError, match="agrees with the shipped vintage_2022"):
        read_files({2016: published(raw_dir, places, vintage="2022", year=2016)})


def test_files_on_the_breakpoints_of_may_2024_pass(read_files, raw_dir: Path, places: Places) -> None:
    reading = read_files({2019: published(raw_dir, places, vintage="2026", year=2019)})
    assert len(wide(reading)) > 400


def test_a_further_re_scoring_is_refused_until_it_has_a_definition(read_files, raw_dir: Path, places: Places) -> None:
    text = published(raw_dir, places, vintage="2026", year=2023, worse=0.1)
    with pytest.raises(DataError, match="EPA has scored these files with other breakpoints"):
        read_files({2023: text})


def test_the_re_scored_measures_have_definitions_that_differ_and_the_share_above_100_has_one() -> None:
    entry = raw.load_sources()["epa_aqi"]
    old, new, fetched = (
        tables["definitions"]
        for tables in (
            entry["tables"]["vintage_2022"],
            entry["tables"]["vintage_2026"],
            entry["fetch"]["tables"]["counties"],
        )
    )
    assert new == fetched
    assert {name for name in old if old[name] != new[name]} == {"aqi_good_share", "aqi_median_index"}
    assert old["aqi_over_100_share"] == new["aqi_over_100_share"]


@pytest.mark.shared
def test_zips_of_the_publishers_files_give_the_shipped_figures(
    publishers_dir: Path, tmp_path: Path, raw_dir: Path, fetch_settings
) -> None:
    places = Places.load(raw_dir)
    walk = raw.read_table(raw_dir, "crosswalks/place_county")
    counties = frozenset(walk.loc[walk["county_kind"] == "county", "county_id"])
    scope = Scope(places=places, counties=counties, settings=raw.load_sources()["epa_aqi"]["settings"])
    for year in (2019, 2024, 2025):
        name = f"annual_aqi_by_county_{year}"
        text = (publishers_dir / "epa_aqs" / "vintage-2026" / f"{name}.csv").read_bytes()
        (tmp_path / f"{name}.zip").write_bytes(zipped(text, name=f"{name}.csv"))
    reading = epa_aqi.read_fetched(tmp_path, scope=scope, vintage="2026", settings=fetch_settings, raw_dir=raw_dir)
    shipped = to_long(raw.read_table(raw_dir, "epa_aqi/vintage_2026"), source="epa_aqi", vintage="2026")
    shipped = sorted_frame(shipped[shipped["year"].isin([2019, 2024])])
    pd.testing.assert_frame_equal(reading.observations["counties"], shipped)
    assert reading.left_out.loc[reading.left_out["item"] == "2025", "rows"].tolist() == [978]


@pytest.mark.shared
def test_the_older_retrieval_of_the_publishers_files_is_refused_by_its_content(
    publishers_dir: Path, tmp_path: Path, raw_dir: Path, full_scope: Scope, fetch_settings
) -> None:
    text = (publishers_dir / "epa_aqs" / "vintage-2022" / "annual_aqi_by_county_2021.csv").read_bytes()
    (tmp_path / "annual_aqi_by_county_2021.csv").write_bytes(text)
    with pytest.raises(DataError, match=r"differs from the shipped vintage_2026 by 0\.1\d\d a county-year"):
        epa_aqi.read_fetched(tmp_path, scope=full_scope, vintage="x", settings=fetch_settings, raw_dir=raw_dir)


def test_a_state_that_cannot_be_read_is_named_and_not_taken_for_abroad(read_files) -> None:
    rest = read_files({2023: HEADER + BALTIMORE + CITY.replace("Maryland", "Marylnd")}).left_out.set_index("item")
    assert rest.loc["Baltimore (City), Marylnd", "reason"] == "no state of this name in the gazetteer"
    assert rest.loc["areas outside the states and DC", "rows"] == 0


def test_one_county_under_two_names_is_a_clear_error(read_files) -> None:
    with pytest.raises(DataError, match="two names in a year: Baltimore, Maryland in 2023 and Baltimore County"):
        read_files({2023: HEADER + BALTIMORE + BALTIMORE.replace('"Baltimore"', '"Baltimore County"')})
