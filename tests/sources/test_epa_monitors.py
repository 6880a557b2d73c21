"""Every monitor file here is simulated: the official layout of 55 columns, with sites, values and names made up."""

from __future__ import annotations

import csv
import io
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from wwc_research.errors import DataError, InputError
from wwc_research.sources import epa_monitors, epa_pm25, raw
from wwc_research.sources.monitor_places import distances_km, place_points, weights
from wwc_research.sources.observations import FLAG_WORDS, Reading, validate
from wwc_research.sources.places import Places, Scope

HEADER = (
    "State Code,County Code,Site Num,Parameter Code,POC,Latitude,Longitude,Datum,Parameter Name,Sample Duration,"
    "Pollutant Standard,Metric Used,Method Name,Year,Units of Measure,Event Type,Observation Count,"
    "Observation Percent,Completeness Indicator,Valid Day Count,Required Day Count,Exceptional Data Count,"
    "Null Data Count,Primary Exceedance Count,Secondary Exceedance Count,Certification Indicator,"
    "Num Obs Below MDL,Arithmetic Mean,Arithmetic Standard Dev,1st Max Value,1st Max DateTime,2nd Max Value,"
    "2nd Max DateTime,3rd Max Value,3rd Max DateTime,4th Max Value,4th Max DateTime,"
    "1st Max Non Overlapping Value,1st NO Max DateTime,2nd Max Non Overlapping Value,2nd NO Max DateTime,"
    "99th Percentile,98th Percentile,95th Percentile,90th Percentile,75th Percentile,50th Percentile,"
    "10th Percentile,Local Site Name,Address,State Name,County Name,City Name,CBSA Name,Date of Last Change"
)
COLUMNS = next(csv.reader([HEADER]))
# One degree of latitude on the sphere of 6,371.0088 km.
DEGREE_KM = 111.19508
FILTER, CONTINUOUS = "24 HOUR", "24-HR BLK AVG"


def pm25(site: str, mean: float | str, **changes: Any) -> dict[str, str]:
    """A complete and certified row of a filter sampler; `site` is `04-013-0001` or `04-013-0001-2` with its POC."""
    state, county, number, *poc = site.split("-")
    row = dict.fromkeys(COLUMNS, "") | {
        "State Code": state,
        "County Code": county,
        "Site Num": number,
        "POC": poc[0] if poc else "1",
        "Parameter Code": "88101",
        "Latitude": "33.0",
        "Longitude": "-112.0",
        "Datum": "WGS84",
        "Parameter Name": "PM2.5 - Local Conditions",
        "Sample Duration": FILTER,
        "Pollutant Standard": "PM25 Annual 2024",
        "Metric Used": "Quarterly Means of Daily Means",
        "Method Name": "Simulated sampler - GRAVIMETRIC",
        "Year": "2023",
        "Units of Measure": "Micrograms/cubic meter (LC)",
        "Event Type": "No Events",
        "Observation Percent": "95",
        "Completeness Indicator": "Y",
        "Valid Day Count": "350",
        "Certification Indicator": "Certified",
        "Arithmetic Mean": str(mean),
        "Local Site Name": "Simulated",
    }
    return row | {key.replace("_", " "): str(value) for key, value in changes.items()}


def ozone(site: str, *, days: int = 0, fourth: float = 0.06, **changes: Any) -> dict[str, str]:
    return (
        pm25(site, 0.045)
        | {
            "Parameter Code": "44201",
            "Parameter Name": "Ozone",
            "Sample Duration": "8-HR RUN AVG BEGIN HOUR",
            "Pollutant Standard": "Ozone 8-hour 2015",
            "Metric Used": "Daily maximum of 8-hour running average",
            "Method Name": "",
            "Units of Measure": "Parts per million",
            "Valid Day Count": "200",
            "Primary Exceedance Count": str(days),
            "4th Max Value": str(fourth),
        }
        | {key.replace("_", " "): str(value) for key, value in changes.items()}
    )


def text_of(rows: list[dict[str, str]], *, columns: list[str] | None = None) -> bytes:
    out = io.StringIO(newline="")
    writer = csv.DictWriter(out, columns or COLUMNS, quoting=csv.QUOTE_ALL, extrasaction="ignore", lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return out.getvalue().encode()


@pytest.fixture(scope="module")
def entry() -> dict[str, Any]:
    return raw.load_sources()["epa_monitors"]


@pytest.fixture(scope="module")
def points(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Four places: at the sites' point, 0.1 and 1 degree north of it, and one without coordinates."""
    folder = tmp_path_factory.mktemp("raw")
    (folder / "gazetteer").mkdir()
    (folder / "gazetteer" / "universe.csv").write_text(
        "place_id,name,latitude,longitude\n"
        "0400001,here,33.0,-112.0\n0400002,near,33.1,-112.0\n0400003,far,34.0,-112.0\n0400004,nowhere,,\n"
    )
    return folder


@pytest.fixture
def read_rows(tmp_path: Path, points: Path, places: Places, entry) -> Callable[..., Reading]:
    """Reads simulated rows as the file of 2023, or files by year, in a scope of two Arizona counties."""

    def read(rows: list[dict[str, str]] | bytes | dict[int, list], **rules: Any) -> Reading:
        files = rows if isinstance(rows, dict) else {2023: rows}
        for year, content in files.items():
            text = content if isinstance(content, bytes) else text_of([row | {"Year": str(year)} for row in content])
            (tmp_path / f"annual_conc_by_monitor_{year}.csv").write_bytes(text)
        scope = Scope(places=places, counties=frozenset({"04013", "04021"}), settings=entry["settings"] | rules)
        return epa_monitors.read_fetched(
            tmp_path, scope=scope, vintage="2026-11-23", settings=entry["fetch"], raw_dir=points
        )

    return read


def figures(reading: Reading, table: str, variable: str) -> dict[str, float]:
    frame = validate(reading.observations[table], where=table)
    rows = frame[(frame["variable"] == variable) & frame["value"].notna()]
    return dict(zip(rows["place_id"], rows["value"], strict=True))


def flags(reading: Reading, table: str, variable: str) -> dict[str, str]:
    frame = reading.observations[table]
    rows = frame[frame["variable"] == variable]
    return dict(zip(rows["place_id"], rows["flag"], strict=True))


def reasons(reading: Reading) -> dict[str, int]:
    rows = reading.left_out[reading.left_out["table"] == "sites"]
    return rows.groupby("reason")["rows"].sum().to_dict()


def test_one_zip_a_year_is_asked_for_at_the_publishers_address(entry) -> None:
    (asked,) = epa_monitors.remotes(years=[2023], geographies=["place"], settings=entry["fetch"])
    assert asked.url == "https://aqs.epa.gov/aqsweb/airdata/annual_conc_by_monitor_2023.zip"
    assert (asked.name, asked.kind, asked.year) == ("annual_conc_by_monitor_2023.zip", "zip", 2023)
    with pytest.raises(InputError, match="no file of 1975"):
        epa_monitors.remotes(years=[1975], geographies=["place"], settings=entry["fetch"])


def test_the_layout_simulated_here_is_the_official_one_of_55_columns() -> None:
    assert len(COLUMNS) == len(set(COLUMNS)) == 55


# --- which rows --------------------------------------------------------------------------------------------


def test_a_monitor_repeated_for_each_standard_counts_once(read_rows) -> None:
    rows = [
        pm25("04-013-0001", 8.0),
        pm25("04-013-0001", 80.0, Pollutant_Standard="PM25 Annual 2012"),
        pm25("04-013-0001", 80.0, Pollutant_Standard="PM25 24-hour 2024", Metric_Used="Daily Mean"),
        pm25("04-013-0001", 80.0, Pollutant_Standard="", Sample_Duration="1 HOUR", Metric_Used="Observed Values"),
    ]
    reading = read_rows(rows)
    assert figures(reading, "counties", "pm25_mean_ug_m3") == {"04013": 8.0}
    assert reasons(reading) == {"pollutant standard other than PM25 Annual 2024": 3}


def test_the_next_standard_is_taken_where_a_file_lacks_the_first(read_rows) -> None:
    reading = read_rows([pm25("04-013-0001", 8.0, Pollutant_Standard="PM25 Annual 2012")])
    assert figures(reading, "counties", "pm25_mean_ug_m3") == {"04013": 8.0}


def test_two_standards_are_never_mixed_within_a_file(read_rows) -> None:
    rows = [pm25("04-013-0001", 8.0), pm25("04-021-0001", 9.0, Pollutant_Standard="PM25 Annual 2012")]
    reading = read_rows(rows)
    assert figures(reading, "counties", "pm25_mean_ug_m3") == {"04013": 8.0}
    assert reasons(reading) == {"the monitor has no row of the standard PM25 Annual 2024": 1}


def test_smoke_is_included_and_a_monitor_gives_one_event_type(read_rows) -> None:
    rows = [
        pm25("04-013-0001", 9.0, Event_Type="Events Excluded"),
        pm25("04-013-0001", 12.0, Event_Type="Events Included"),
        pm25("04-013-0001", 10.0, Event_Type="Concurred Events Excluded"),
        pm25("04-021-0001", 7.0, Event_Type="Events Excluded"),
    ]
    reading = read_rows(rows)
    assert figures(reading, "counties", "pm25_mean_ug_m3") == {"04013": 12.0}
    assert reasons(reading) == {
        "another event type of the same monitor": 2,
        "the monitor has no row of the event types No Events and Events Included": 1,
    }


def test_the_order_of_event_types_is_the_settings_own(read_rows) -> None:
    rows = [
        pm25("04-013-0001", 12.0, Event_Type="Events Included"),
        pm25("04-013-0001", 10.0, Event_Type="Concurred Events Excluded"),
    ]
    reading = read_rows(rows, event_types=["No Events", "Concurred Events Excluded", "Events Included"])
    assert figures(reading, "counties", "pm25_mean_ug_m3") == {"04013": 10.0}


def test_an_incomplete_event_type_is_not_replaced_by_another(read_rows) -> None:
    rows = [
        pm25("04-013-0001", 12.0, Event_Type="Events Included", Completeness_Indicator="N"),
        pm25("04-013-0001", 10.0, Event_Type="Events Excluded"),
        pm25("04-013-0002", 8.0),
    ]
    reading = read_rows(rows, event_types=["No Events", "Events Included", "Events Excluded"])
    assert figures(reading, "counties", "pm25_mean_ug_m3") == {"04013": 8.0}


def test_an_incomplete_year_is_left_out_by_epas_indicator_and_by_the_share_observed(read_rows) -> None:
    rows = [
        pm25("04-013-0001", 8.0),
        pm25("04-013-0002", 80.0, Completeness_Indicator="N", Observation_Percent=84),
        pm25("04-013-0003", 80.0, Observation_Percent=74),
        pm25("04-013-0004", 80.0, Observation_Percent=""),
    ]
    reading = read_rows(rows)
    assert figures(reading, "counties", "pm25_mean_ug_m3") == {"04013": 8.0}
    assert reasons(reading) == {
        "the year is not complete by EPA's criteria (Completeness Indicator)": 1,
        "less than 75 percent of the scheduled observations": 2,
    }


def test_a_monitor_that_nobody_certified_is_left_out_with_the_word_of_the_file(read_rows) -> None:
    """What made Maricopa County's 2020 and 2021 absurd: 04-013-5100, twice the ozone of every neighbour."""
    rows = [
        ozone("04-013-9997", days=10),
        ozone("04-013-5100", days=190, Certification_Indicator="Certification not required"),
        ozone("04-013-9998", days=100, Certification_Indicator="Uncertified (past due)"),
        ozone("04-013-9999", days=100, Certification_Indicator="Was Certified but data changed"),
        ozone("04-013-9996", days=20, Certification_Indicator="Requested but not yet concurred"),
    ]
    reading = read_rows(rows)
    assert figures(reading, "counties", "ozone_over_standard_share") == {"04013": pytest.approx(15 / 200)}
    assert reasons(reading) == {
        "certification: Certification not required": 1,
        "certification: Uncertified (past due)": 1,
        "certification: Was Certified but data changed": 1,
    }


def test_before_certification_was_kept_a_monitor_without_one_stays(read_rows) -> None:
    rows = [pm25("04-013-0001", 8.0, Certification_Indicator="Certification not required")]
    reading = read_rows({2011: rows, 2012: rows})
    frame = reading.observations["counties"]
    assert set(frame["year"]) == {2011}
    assert reasons(reading) == {"certification: Certification not required": 1}


def test_monitors_outside_the_states_are_left_out(read_rows) -> None:
    rows = [pm25("04-013-0001", 8.0), pm25("80-002-0001", 30.0), pm25("CC-001-0001", 30.0), pm25("72-021-0001", 5.0)]
    reading = read_rows(rows)
    assert reasons(reading) == {"outside the states and DC": 3}


def test_an_instrument_changed_within_the_year_gives_the_first_duration_that_is_whole(read_rows) -> None:
    rows = [
        pm25("04-013-0001", 8.0),
        pm25("04-013-0001", 9.0, Sample_Duration=CONTINUOUS),
        pm25("04-021-0001", 5.0, Completeness_Indicator="N"),
        pm25("04-021-0001", 6.0, Sample_Duration=CONTINUOUS),
    ]
    reading = read_rows(rows)
    assert figures(reading, "counties", "pm25_mean_ug_m3") == {"04013": 8.0, "04021": 6.0}
    assert figures(reading, "counties", "pm25_filter_share") == {"04013": 1.0, "04021": 0.0}
    assert reasons(reading)["another sample duration of the same monitor"] == 1


def test_no_row_of_a_file_is_lost(read_rows) -> None:
    rows = [
        pm25("04-013-0001", 8.0),
        pm25("04-013-0001-2", 8.5, Sample_Duration=CONTINUOUS, Method_Name=""),
        pm25("04-013-0001-2", 8.5, Sample_Duration="1 HOUR", Pollutant_Standard="", Metric_Used="Observed Values"),
        pm25("04-013-0002", "", Event_Type="Events Included"),
        pm25("04-013-0002", 7.0, Event_Type="Events Excluded"),
        pm25("04-013-0003", 7.0, Completeness_Indicator="N"),
        pm25("80-013-0001", 7.0),
        pm25("04-013-0004", 7.0, Sample_Duration="1 HOUR"),
        pm25("04-013-0004", 7.0, Metric_Used="Daily Mean"),
        ozone("04-013-0001"),
        ozone("04-013-0001", Pollutant_Standard="Ozone 8-Hour 2008"),
        ozone("04-013-0001") | {"Parameter Code": "42602"},
    ]
    reading = read_rows(rows)
    used = reading.tables["sites"]["pocs"].str.split("|").map(len).sum()
    assert used == 3
    assert used + sum(reasons(reading).values()) == len(rows)
    assert reasons(reading)["no figure of pm25_mean_ug_m3"] == 1


# --- sites, counties, places -------------------------------------------------------------------------------


def test_instruments_at_one_site_count_as_one_site(read_rows) -> None:
    rows = [
        pm25("04-013-0001", 6.0),
        pm25("04-013-0001-2", 8.0),
        pm25("04-013-0001-3", 10.0, Sample_Duration=CONTINUOUS, Method_Name=""),
        pm25("04-013-0001-3", 10.0, Sample_Duration="1 HOUR", Pollutant_Standard="", Method_Name="Simulated - Beta"),
        pm25("04-013-0002", 12.0),
    ]
    reading = read_rows(rows)
    assert figures(reading, "counties", "pm25_mean_ug_m3") == {"04013": (8.0 + 12.0) / 2}
    assert figures(reading, "counties", "pm25_sites_count") == {"04013": 2}
    assert figures(reading, "counties", "pm25_filter_share") == {"04013": pytest.approx((2 / 3 + 1) / 2, abs=1e-6)}
    site = reading.tables["sites"].set_index("site_id").loc["04-013-0001"]
    assert site["pocs"] == "1|2|3"
    assert site["methods"] == "Simulated - Beta|Simulated sampler - GRAVIMETRIC"
    assert site["durations"] == f"{FILTER}|{CONTINUOUS}"
    assert site["pm25_mean_ug_m3"] == 8.0


def test_a_place_has_the_mean_of_near_sites_by_inverse_squared_distance(read_rows) -> None:
    rows = [
        pm25("04-013-0001", 10.0),
        pm25("04-013-0002", 20.0, Latitude=33.1),
        pm25("04-021-0003", 90.0, Latitude=33.5),
    ]
    reading = read_rows(rows)
    far = (0.1 * DEGREE_KM) ** -2
    here = (10.0 * 4**-2 + 20.0 * far) / (4**-2 + far)
    near = (20.0 * 4**-2 + 10.0 * far) / (4**-2 + far)
    assert figures(reading, "places", "pm25_mean_ug_m3") == {
        "0400001": pytest.approx(here, abs=1e-3),
        "0400002": pytest.approx(near, abs=1e-3),
    }
    assert figures(reading, "places", "pm25_sites_count") == {"0400001": 2, "0400002": 2, "0400003": 0}
    nearest = figures(reading, "places", "pm25_nearest_km")
    assert nearest == {
        "0400001": 0,
        "0400002": 0,
        "0400003": pytest.approx(0.5 * DEGREE_KM, abs=1e-3),
    }


def test_a_place_without_a_figure_says_why(read_rows) -> None:
    rows = [
        pm25("04-013-0001", 10.0),
        pm25("04-021-0001", 10.0, Latitude=34.0, Completeness_Indicator="N"),
        ozone("04-013-0001"),
    ]
    reading = read_rows(rows)
    assert flags(reading, "places", "pm25_mean_ug_m3") == {
        "0400001": "",
        "0400002": "",
        "0400003": "no_valid_monitor",
        "0400004": "no_coordinates",
    }
    assert flags(reading, "places", "ozone_fourth_max_ppm")["0400003"] == "no_monitor_near"
    assert flags(reading, "counties", "pm25_mean_ug_m3") == {"04013": "", "04021": "no_valid_monitor"}
    assert figures(reading, "counties", "pm25_sites_count") == {"04013": 1, "04021": 0}
    assert {"no_valid_monitor", "no_coordinates", "no_monitor_near"} <= set(FLAG_WORDS)


def test_radius_and_power_are_the_settings_own(read_rows) -> None:
    rows = [pm25("04-013-0001", 10.0), pm25("04-013-0002", 20.0, Latitude=33.1)]
    assert figures(read_rows(rows, radius_km=5), "places", "pm25_mean_ug_m3") == {"0400001": 10.0, "0400002": 20.0}
    assert figures(read_rows(rows, power=0), "places", "pm25_mean_ug_m3") == {"0400001": 15.0, "0400002": 15.0}


def test_a_site_without_coordinates_counts_for_its_county_alone(read_rows) -> None:
    rows = [pm25("04-013-0001", 10.0), pm25("04-013-0002", 20.0, Latitude="0", Longitude="0")]
    reading = read_rows(rows)
    assert figures(reading, "counties", "pm25_mean_ug_m3") == {"04013": 15.0}
    assert figures(reading, "places", "pm25_mean_ug_m3")["0400001"] == 10.0
    lost = reading.left_out[reading.left_out["table"] == "places"]
    assert lost["rows"].tolist() == [1]


def test_a_site_beyond_all_counties_and_places_is_counted_as_such(read_rows) -> None:
    rows = [pm25("04-013-0001", 10.0), pm25("53-033-0001", 5.0, Latitude=47.5, Longitude=-122.3)]
    reading = read_rows(rows)
    assert reading.tables["sites"]["site_id"].tolist() == ["04-013-0001"]
    lost = reading.left_out[reading.left_out["table"] == "counties"]
    assert lost["rows"].tolist() == [1]


def test_ozone_gives_the_fourth_highest_day_and_the_share_of_valid_days_above_the_standard(read_rows) -> None:
    reading = read_rows([ozone("04-013-0001", days=30, fourth=0.078), ozone("04-013-0002", days=10, fourth=0.07)])
    assert figures(reading, "counties", "ozone_fourth_max_ppm") == {"04013": pytest.approx(0.074)}
    assert figures(reading, "counties", "ozone_over_standard_share") == {"04013": pytest.approx(0.1)}
    assert "ozone_filter_share" not in set(reading.observations["counties"]["variable"])


def test_a_year_without_any_valid_monitor_is_left_out_and_the_others_are_kept(read_rows) -> None:
    running = [pm25("04-013-0001", 8.0, Completeness_Indicator="N")]
    reading = read_rows({2023: [pm25("04-013-0001", 8.0)], 2026: running})
    assert set(reading.observations["places"]["year"]) == {2023}
    assert "2026, pm25" in set(reading.left_out["item"])


def test_distance_and_weights_agree_with_hand_worked_ones() -> None:
    # New York to Los Angeles, by the spherical law of cosines as the other road
    towns = pd.DataFrame({"latitude": [40.7128], "longitude": [-74.0060]})
    others = pd.DataFrame({"latitude": [34.0522, np.nan], "longitude": [-118.2437, 0.0]})
    found = distances_km(towns, others)
    here, there, apart = np.radians([40.7128, 34.0522, 118.2437 - 74.0060])
    angle = np.arccos(np.sin(here) * np.sin(there) + np.cos(here) * np.cos(there) * np.cos(apart))
    assert found[0, 0] == pytest.approx(6371.0088 * angle, abs=1e-6)
    assert found[0, 0] == pytest.approx(3936, abs=1)
    assert np.isnan(found[0, 1])
    got = weights(np.array([[1.0, 8.0, 26.0], [30.0, 40.0, np.nan]]), radius_km=25, at_least_km=4, power=2)
    np.testing.assert_allclose(got, [[0.8, 0.2, 0], [0, 0, 0]])


def test_the_shipped_gazetteer_has_a_point_for_all_places_but_one(raw_dir: Path) -> None:
    points = place_points(raw_dir)
    assert len(points) == 1298
    assert points.loc[points["latitude"].isna(), "place_id"].tolist() == ["1239075"]


# --- hostile files -----------------------------------------------------------------------------------------

GOOD = pm25("04-013-0001", 8.0)
FAULTS = {
    "page": (b"\n<html><body>Down for maintenance</body></html>", "a web page, not a table"),
    "column": (
        text_of([GOOD], columns=[name for name in COLUMNS if name != "Completeness Indicator"]),
        "columns Completeness Indicator are missing; found State Code, County Code",
    ),
    "year": (text_of([GOOD, GOOD | {"Year": "2022", "POC": "2"}]), "Year: 1 rows of '2022' in the file of 2023"),
    "year of a row that is not wanted": (
        text_of([GOOD, GOOD | {"Year": "2022", "Parameter Code": "42602"}]),
        "Year: 1 rows of '2022'",
    ),
    "twice": (text_of([GOOD, GOOD]), "a monitor more than once under one standard .line 2: 04-013-0001, POC 1"),
    "unit": (text_of([GOOD | {"Units of Measure": "Parts per billion"}]), "Units of Measure: is not Micrograms"),
    "word": (text_of([GOOD | {"Arithmetic Mean": "eight"}]), "Arithmetic Mean: no number .line 2: 'eight'"),
    "negative": (text_of([GOOD | {"Arithmetic Mean": "-3"}]), "Arithmetic Mean: not within 0 to 500"),
    "latitude": (text_of([GOOD | {"Latitude": "333"}]), "Latitude: not within -90 to 90"),
    "code": (text_of([GOOD | {"Site Num": "A1"}]), "Site Num: is none of the form"),
    "percent": (text_of([GOOD | {"Observation Percent": "many"}]), "Observation Percent: no number"),
    "too many exceedances": (text_of([ozone("04-013-0001", days=201)]), "more than Valid Day Count"),
}


@pytest.mark.parametrize(("content", "said"), FAULTS.values(), ids=FAULTS)
def test_a_faulty_file_is_refused_by_name_with_what_is_wrong(read_rows, content: bytes, said: str) -> None:
    with pytest.raises(DataError, match=said) as caught:
        read_rows(content)
    assert "annual_conc_by_monitor_2023.csv" in str(caught.value)


def test_all_faults_of_all_files_are_in_one_error(read_rows) -> None:
    bad = {2022: [GOOD | {"Latitude": "x", "Units of Measure": "y"}], 2023: [GOOD, GOOD]}
    with pytest.raises(DataError, match="3 faults"):
        read_rows(bad)


def test_nothing_left_says_where_everything_went(read_rows) -> None:
    with pytest.raises(DataError, match=r"no monitor passes.*Completeness Indicator\) \(1\)"):
        read_rows([GOOD | {"Completeness Indicator": "N"}])


def test_a_zip_is_read_in_either_encoding(tmp_path: Path, points: Path, places: Places, entry) -> None:
    text = text_of([GOOD | {"Local Site Name": "Cañón"}]).decode()
    scope = Scope(places=places, counties=frozenset({"04013"}), settings=entry["settings"])
    for encoding in ("utf-8", "cp1252"):
        with zipfile.ZipFile(tmp_path / "annual_conc_by_monitor_2023.zip", "w") as archive:
            archive.writestr("annual_conc_by_monitor_2023.csv", text.encode(encoding))
        reading = epa_monitors.read_fetched(tmp_path, scope=scope, vintage="v", settings={}, raw_dir=points)
        assert figures(reading, "counties", "pm25_mean_ug_m3") == {"04013": 8.0}


def test_every_table_and_variable_that_is_made_is_declared(read_rows, entry) -> None:
    reading = read_rows([GOOD, ozone("04-013-0001")])
    declared = entry["fetch"]["tables"]
    assert set(declared) == {*reading.observations, *reading.tables}
    for name, frame in reading.observations.items():
        assert set(declared[name]["definitions"]) - {"*"} <= set(frame["variable"])
    # a variable means the same in both tables, as vintages are compared by variable
    assert declared["places"]["definitions"] == declared["counties"]["definitions"]
    assert not reading.tables["sites"].duplicated(declared["sites"]["key"]).any()


@pytest.mark.shared
def test_counties_of_one_site_have_the_means_of_the_shipped_county_table(
    publishers_dir: Path, tmp_path: Path, points: Path, places: Places, entry
) -> None:
    """Real county means of 2019 as simulated sites, whole years where the county has a valid site."""
    counties = pd.read_csv(publishers_dir / epa_pm25.FILE, dtype={"fips": str})
    counties = counties[counties["year"] == 2019]
    rows = [
        pm25(
            f"{row.fips[:2]}-{row.fips[2:]}-0001",
            row.pm25_mean,
            Year=2019,
            Completeness_Indicator="Y" if row.valid_sites else "N",
        )
        for row in counties.itertuples(index=False)
    ]
    repeated = [row | {"Pollutant Standard": "PM25 Annual 2012", "Arithmetic Mean": "99"} for row in rows]
    (tmp_path / "annual_conc_by_monitor_2019.csv").write_bytes(text_of(rows + repeated))
    scope = Scope(places=places, counties=frozenset(counties["fips"]), settings=entry["settings"])
    reading = epa_monitors.read_fetched(tmp_path, scope=scope, vintage="v", settings={}, raw_dir=points)
    older = epa_pm25.read(publishers_dir, scope=scope).observations["county_means"]
    older = older[(older["year"] == 2019) & ~older["place_id"].str.startswith(("72", "78"))].set_index("place_id")
    mine = reading.observations["counties"]
    mine = mine[mine["variable"] == "pm25_mean_ug_m3"].set_index("place_id").reindex(older.index)
    whole = older["flag"] == ""
    assert whole.sum() > 400
    np.testing.assert_allclose(mine.loc[whole, "value"], older.loc[whole, "value"])
    assert (mine.loc[~whole, "flag"] == "no_valid_monitor").all()


@pytest.mark.parametrize("code", ["", "4A", "00"])
def test_a_code_of_no_state_is_an_error_and_not_taken_for_abroad(read_rows, code: str) -> None:
    rows = [pm25("04-013-0001", 8.0), pm25("04-013-0002", 9.0, State_Code=code), pm25("CC-013-0001", 9.0)]
    with pytest.raises(DataError, match=r"State Code: is no state's code .*line 3"):
        read_rows(rows)


def test_a_point_outside_the_country_is_no_point_and_named(read_rows) -> None:
    reading = read_rows([pm25("04-013-0001", 8.0), pm25("04-013-0002", 20.0, Longitude="112.0")])
    assert figures(reading, "places", "pm25_mean_ug_m3") == {"0400001": 8.0, "0400002": 8.0}
    rest = reading.left_out.set_index("reason")["rows"]
    assert rest["the site has no coordinates within the states"] == 1
