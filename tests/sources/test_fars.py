"""Traffic deaths from yearly national files, whole and damaged.

From the publisher: the headings of 2019 and of 2021, the counties of the first crashes of Alabama in 2019 (LEE (81),
ETOWAH (55) ...), and the codes for what is not known. The crashes of the other states and all city codes are made up.
"""

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

from wwc_research.errors import DataError
from wwc_research.sources import fars, raw
from wwc_research.sources.observations import FLAG_WORDS, Reading, validate
from wwc_research.sources.places import STATE_CODE, Places, Scope

SETTINGS = raw.load_sources()["fars"]["fetch"] | {"minimum_crashes": 51, "years": [2010, 2024]}
HEAD = ["STATE", "STATENAME", "ST_CASE", "COUNTY", "COUNTYNAME", "CITY", "CITYNAME", "YEAR", "TWAY_ID", "FATALS"]
OLD_HEAD = ["STATE", "COUNTY", "FATALS", "ST_CASE", "CITY", "YEAR", "TWAY_ID"]
Crash = dict[str, Any]


def crash(
    postal: str = "KY", *, county: object = 111, city: object = 2510, name: str = "LOUISVILLE", deaths: object = 1
) -> Crash:
    return {"STATE": int(STATE_CODE[postal]), "COUNTY": county, "CITY": city, "CITYNAME": name, "FATALS": deaths}


# One crash outside cities in each state, and those of Alabama in 2019.
ELSEWHERE = [crash(postal, county=1, city=0, name="NOT APPLICABLE") for postal in STATE_CODE if postal != "AL"]
ALABAMA = [crash("AL", county=county, city=0, name="NOT APPLICABLE") for county in (81, 55, 29, 55, 3)]
TOWN = [
    crash(deaths=2),
    crash(),
    crash(city=2511, name="LOUISVILLE-JEFFERSON COUNTY (2511)"),
    crash(city=1880, name="LEXINGTON", county=67),
    crash(city=0, name="NOT APPLICABLE", county=67, deaths=3),
]


def table(crashes: list[Crash], *, year: object = 2019, head: list[str] = HEAD) -> str:
    out = io.StringIO()
    writer = csv.DictWriter(out, head, extrasaction="ignore", restval="", lineterminator="\r\n")
    writer.writeheader()
    for number, row in enumerate(crashes, start=1):
        writer.writerow({"ST_CASE": row["STATE"] * 10_000 + number, "YEAR": year, "TWAY_ID": "CR-A, Peña", **row})
    return out.getvalue()


def persons(killed: int) -> str:
    return "STATE,ST_CASE,PER_NO,INJ_SEV,INJ_SEVNAME\r\n" + "1,10001,1,4,Fatal\r\n" * killed + "1,10001,2,0,None\r\n"


def put(
    folder: Path,
    crashes: list[Crash],
    *,
    year: int = 2019,
    inside: object = None,
    head: list[str] = HEAD,
    member: str = "accident.csv",
    encoding: str = "utf-8-sig",
    edit: Callable[[str], str] = str,
    killed: int | None = None,
) -> Path:
    path = folder / f"FARS{year}NationalCSV.zip"
    total = sum(int(row["FATALS"]) for row in crashes if str(row["FATALS"]).isdigit())
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(member, edit(table(crashes, year=inside or year, head=head)).encode(encoding))
        archive.writestr(member.replace("accident", "person").replace("ACCIDENT", "PERSON"), persons(killed or total))
        archive.writestr("acc_aux.csv", "A\r\n1\r\n")
    return path


@pytest.fixture
def scope() -> Scope:
    names = [
        ("2148006", "Louisville/Jefferson County metro government (balance)", "KY", True),
        ("2146027", "Lexington-Fayette urban county", "KY", True),
        ("0135896", "Hoover city", "AL", True),
        ("0177256", "Troy city", "AL", False),
    ]
    places = pd.DataFrame(names, columns=["place_id", "name", "state", "in_universe"]).assign(aliases="")
    counties = pd.DataFrame(
        [("21111", "Jefferson County", "KY"), ("21067", "Fayette County", "KY"), ("01081", "Lee County", "AL")],
        columns=["county_id", "name", "state"],
    )
    codes = frozenset({"21111", "21067", "01081", "01073", "06037"})
    return Scope(places=Places(places, counties), counties=codes)


@pytest.fixture
def shipped(tmp_path: Path) -> Path:
    """A small shipped crosswalk: `raw_dir`."""
    folder = tmp_path / "raw" / "crosswalks"
    folder.mkdir(parents=True)
    counties = [("21111", 700_000, 800_000), ("21067", 300_000, 320_000), ("01081", 140_000, 174_000)]
    counties += [("01073", 658_000, 674_000), ("01055", 104_000, 103_000), ("01029", 15_000, 15_000)]
    counties += [("01003", 182_000, 231_000), ("06001", 1_510_000, 1_680_000)]
    counties += [(f"{code}001", 1_000, 1_000) for code in STATE_CODE.values() if code not in ("01", "06")]
    rows = [(code, period, people) for code, *both in counties for period, people in zip(PERIODS, both, strict=True)]
    pd.DataFrame(rows, columns=["county_id", "period", "population_count"]).to_csv(
        folder / "county_population.csv", index=False
    )
    places = [("2148006", "21111", 600_000, 650_000), ("2146027", "21067", 290_000, 310_000)]
    places += [("0135896", "01073", 80_000, 92_000)]
    rows = [
        (place, period, "county", county, people)
        for place, county, *both in places
        for period, people in zip(PERIODS, both, strict=True)
    ]
    pd.DataFrame(rows, columns=["place_id", "period", "county_kind", "county_id", "population_count"]).to_csv(
        folder / "place_county.csv", index=False
    )
    return tmp_path / "raw"


PERIODS = ("2010_2019", "2020_2021")


@pytest.fixture
def files(tmp_path: Path) -> Path:
    folder = tmp_path / "files"
    folder.mkdir()
    return folder


@pytest.fixture
def read(files: Path, scope: Scope, shipped: Path) -> Callable[..., Reading]:
    def reading(**settings: object) -> Reading:
        made = fars.read_fetched(files, scope=scope, vintage="v", settings=SETTINGS | settings, raw_dir=shipped)
        for name, frame in made.observations.items():
            validate(frame, where=name)
            assert set(frame["flag"]) <= {"", *FLAG_WORDS}
        return made

    return reading


def cell(reading: Reading, table: str, place: str, year: int, variable: str = fars.COUNT) -> pd.Series:
    frame = reading.observations[table]
    rows = frame[(frame["place_id"] == place) & (frame["year"] == year) & (frame["variable"] == variable)]
    assert len(rows) == 1
    return rows.iloc[0]


def told(reading: Reading, item: str) -> pd.Series:
    rows = reading.left_out[reading.left_out["item"].str.contains(item, regex=False)]
    assert len(rows) == 1, reading.left_out["item"].tolist()
    return rows.iloc[0]


# --- figures ---------------------------------------------------------------------------------------------


def test_deaths_are_added_up_over_the_crashes_of_a_county_and_of_a_city(files, read):
    put(files, [*ELSEWHERE, *ALABAMA, *TOWN])
    reading = read()
    assert cell(reading, "counties", "21111", 2019)["value"] == 4
    assert cell(reading, "counties", "21067", 2019)["value"] == 4
    assert cell(reading, "counties", "01081", 2019)["value"] == 1
    assert cell(reading, "places", "2148006", 2019)["value"] == 4  # two names of one city
    assert cell(reading, "places", "2146027", 2019)["value"] == 1  # the other crash lies outside the city


def test_a_rate_stands_on_residents_between_two_censuses_with_its_error(files, read):
    for year in (2010, 2019, 2020, 2023):
        put(files, [*ELSEWHERE, *ALABAMA, *TOWN], year=year)
    reading = read()
    people = {2010: 700_000, 2019: 790_000, 2020: 800_000, 2023: 800_000}
    for year, residents in people.items():
        rate = cell(reading, "counties", "21111", year, fars.RATE)
        assert rate["value"] == pytest.approx(4 / residents * 1e5, abs=1e-6)
        assert rate["std_error"] == pytest.approx(6**0.5 / residents * 1e5, abs=1e-6)
    assert cell(reading, "places", "2148006", 2019, fars.RATE)["value"] == pytest.approx(4 / 645_000 * 1e5, abs=1e-6)


def test_deaths_in_one_crash_are_one_event_and_not_several_independent_ones(files, read):
    # the city's crashes killed 2, 1 and 1: 4 + 1 + 1 = 6; Lexington's county 1 and 3: 1 + 9 = 10
    put(files, [*ELSEWHERE, *ALABAMA, *TOWN])
    reading = read()
    for table, area, squares in (("counties", "21111", 6), ("places", "2148006", 6), ("counties", "21067", 10)):
        row = cell(reading, table, area, 2019)
        assert row["value"] == 4
        assert row["std_error"] == pytest.approx(squares**0.5, abs=1e-6)
    assert cell(reading, "places", "2146027", 2019)["std_error"] == 1  # one crash with one death, as sqrt(deaths) says


def test_a_county_without_a_crash_has_no_deaths_and_no_certainty_about_it(files, read):
    put(files, [*ELSEWHERE, *ALABAMA])
    for variable in (fars.COUNT, fars.RATE):
        row = cell(read(), "counties", "01073", 2019, variable)
        assert (row["value"], row["flag"]) == (0, "")
        assert np.isnan(row["std_error"])


def test_a_rate_without_residents_is_missing_and_the_count_is_kept(files, read):
    put(files, [*ELSEWHERE, *ALABAMA])
    reading = read()
    assert cell(reading, "counties", "06037", 2019)["value"] == 0
    row = cell(reading, "counties", "06037", 2019, fars.RATE)
    assert np.isnan(row["value"])
    assert row["flag"] == "no_population"


def test_years_before_the_first_census_have_counts_and_no_rates(files, read):
    put(files, [*ELSEWHERE, *ALABAMA], year=2009)
    assert cell(read(), "counties", "01081", 2009)["value"] == 1
    assert cell(read(), "counties", "01081", 2009, fars.RATE)["flag"] == "no_population"


def test_the_newest_year_that_can_be_fetched_is_preliminary_until_the_next_one_is_out(files, read):
    for year in (2023, 2024):
        put(files, [*ELSEWHERE, *ALABAMA, *TOWN], year=year)
    reading = read()
    for table, place in (("counties", "21111"), ("places", "2148006")):
        assert [cell(reading, table, place, year)["flag"] for year in (2023, 2024)] == ["", "preliminary"]
        assert cell(reading, table, place, 2024)["value"] == 4
    assert cell(read(years=[2010, 2025]), "counties", "21111", 2024)["flag"] == ""


# --- what is not known -----------------------------------------------------------------------------------


def test_crashes_without_a_known_county_are_told_by_state_and_count_for_none(files, read):
    unknown = [crash(county=code, city=0, name="", deaths=2) for code in (0, 997, 998, 999, "")]
    many = [crash(county=67, city=0, name="", deaths=200)]
    put(files, [*ELSEWHERE, *ALABAMA, *TOWN, *many, *unknown, crash(county=777, city=0, name="")])
    reading = read()
    row = told(reading, "crashes in KY")
    assert row["rows"] == 6
    assert row["reason"].startswith("11 deaths in crashes whose county")
    assert cell(reading, "counties", "21111", 2019)["value"] == 4


def test_counties_of_a_state_that_does_not_tell_its_counties_are_withheld_not_zero(files, read):
    put(files, [*ELSEWHERE, *ALABAMA, *TOWN, *[crash(county=999, city=0, name="") for _ in range(3)]])
    reading = read()
    row = cell(reading, "counties", "21111", 2019)
    assert np.isnan(row["value"])
    assert row["flag"] == "not_located"
    assert cell(reading, "counties", "21111", 2019, fars.RATE)["flag"] == "not_located"
    assert cell(reading, "counties", "01081", 2019)["value"] == 1
    assert cell(read(most_unknown_share=0.5), "counties", "21111", 2019)["value"] == 4


def test_cities_of_a_state_that_does_not_tell_its_cities_are_withheld_not_zero(files, read):
    put(files, [*ELSEWHERE, *ALABAMA, *TOWN], year=2018)
    put(files, [*ELSEWHERE, *ALABAMA, *TOWN, crash(city=9999, name="Unknown"), crash(city=9898, name="")], year=2019)
    put(files, [*ELSEWHERE, *ALABAMA, crash(city=0, name="NOT APPLICABLE", deaths=5)], year=2020)
    reading = read()
    assert [cell(reading, "places", "2148006", year)["flag"] for year in (2018, 2019, 2020)] == [
        "",
        "not_located",
        "not_located",
    ]
    assert told(reading, "crashes in KY")["rows"] == 2


def test_a_city_whose_name_no_code_bears_has_no_figure_rather_than_a_zero(files, read):
    put(files, [*ELSEWHERE, *ALABAMA, *TOWN])
    reading = read()
    assert "0135896" not in set(reading.observations["places"]["place_id"])
    assert "no city code of these files bears its name" in told(reading, "Hoover, AL (0135896)")["reason"]


def test_a_code_whose_crashes_lie_in_other_counties_is_not_the_city_of_its_name(files, read):
    put(files, [*ELSEWHERE, *ALABAMA, crash("AL", county=3, city=1600, name="HOOVER"), *TOWN])
    reading = read()
    assert "0135896" not in set(reading.observations["places"]["place_id"])
    assert told(reading, "city code 1600")["reason"] == "most of the code's crashes lie in other counties (01003)"


def test_a_code_with_names_of_two_cities_belongs_to_neither(files, read):
    put(files, [*ELSEWHERE, *ALABAMA, *TOWN], year=2018)
    put(files, [*ELSEWHERE, *ALABAMA, crash(name="LEXINGTON")], year=2019)
    reading = read()
    assert cell(reading, "places", "2148006", 2018)["value"] == 1  # its other code
    assert told(reading, "city code 2510")["reason"] == "the names beside the code fit several places"


def test_files_without_names_are_read_with_the_names_of_later_ones(files, read):
    put(files, [*ELSEWHERE, *ALABAMA, *TOWN], year=2014, head=OLD_HEAD, member="ACCIDENT.CSV", encoding="cp1252")
    assert "places" not in read().observations
    put(files, [*ELSEWHERE, *ALABAMA, *TOWN], year=2015, member="FARS2015NationalCSV/accident.csv")
    assert cell(read(), "places", "2148006", 2014)["value"] == 4


def test_a_large_city_without_a_death_has_changed_its_code(files, read):
    for year in (2017, 2018):
        put(files, [*ELSEWHERE, *ALABAMA, *TOWN, crash(deaths=20)], year=year)
    put(files, [*ELSEWHERE, *ALABAMA, crash(city=1880, name="LEXINGTON", county=67)], year=2019)
    reading = read()
    row = cell(reading, "places", "2148006", 2019)
    assert np.isnan(row["value"])
    assert row["flag"] == "not_located"
    assert told(reading, "Louisville, KY (2148006)")["reason"].startswith("no death in 2019 and 24 a year otherwise")
    assert cell(read(no_zero_above=30), "places", "2148006", 2019)["value"] == 0


# --- layouts and damage ----------------------------------------------------------------------------------


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "cp1252"])
@pytest.mark.parametrize("member", ["accident.csv", "ACCIDENT.CSV", "FARS2019NationalCSV/accident.CSV"])
def test_every_layout_of_the_zip_gives_the_same_figures(encoding, member, files, read):
    put(files, [*ELSEWHERE, *ALABAMA, *TOWN], member=member, encoding=encoding)
    assert cell(read(), "places", "2148006", 2019)["value"] == 4


def test_crashes_in_territories_are_told_and_left_out(files, read):
    put(files, [*ELSEWHERE, *ALABAMA, *TOWN, {**crash(), "STATE": 43}])
    reading = read()
    assert told(reading, "2019, state code 43")["rows"] == 1
    assert cell(reading, "counties", "21111", 2019)["value"] == 4


def test_a_two_digit_year_is_that_of_the_file(files, read):
    put(files, [*ELSEWHERE, *ALABAMA], inside="19")
    assert cell(read(), "counties", "01081", 2019)["value"] == 1


def lines_of(text: str) -> list[str]:
    return text.splitlines(keepends=True)


DAMAGE: dict[str, tuple[Callable[[str], str], str]] = {
    "a web page": (lambda _: "<!doctype html><title>Access Denied</title>", "a web page came instead of the table"),
    "nothing": (lambda _: "", "the file is empty"),
    "a changed column": (lambda text: text.replace("FATALS", "DEATHS", 1), "columns FATALS are missing; found STATE"),
    "a row cut short": (lambda text: text[:-9], "The file is cut off or damaged"),
    "a case twice": (lambda text: text + lines_of(text)[-1], "1 cases occur more than once"),
    "no number": (lambda text: text.replace(",2\r\n", ",two\r\n"), "FATALS: 1 cells are no whole numbers"),
    "a crash without a death": (lambda text: text.replace(",2\r\n", ",0\r\n"), "FATALS: 1 cells are no whole numbers"),
    "a lettered county": (lambda text: text.replace(",81,", ",Lee,"), "COUNTY: 1 cells are no whole numbers"),
    "half of the file": (lambda text: "".join(lines_of(text)[:20]), "no crash in "),
}


@pytest.mark.parametrize("damage", DAMAGE)
def test_damage_is_one_clear_error(damage, files, read):
    edit, message = DAMAGE[damage]
    put(files, [*ELSEWHERE, *ALABAMA, *TOWN], edit=edit)
    with pytest.raises(DataError, match=r"FARS2019NationalCSV\.zip") as refusal:
        read()
    assert message in str(refusal.value)


def test_another_year_inside_is_refused(files, read):
    put(files, [*ELSEWHERE, *ALABAMA], inside=2018)
    with pytest.raises(DataError, match="YEAR: 55 crashes are of 2018, not of 2019"):
        read()


def test_a_file_with_far_too_few_crashes_is_refused(files, read):
    put(files, [*ELSEWHERE, *ALABAMA])
    with pytest.raises(DataError, match="55 crashes; a national file has 25,000 or more"):
        read(minimum_crashes=25_000)


def test_deaths_that_the_persons_do_not_bear_out_are_refused_and_a_few_are_told(files, read):
    put(files, [*ELSEWHERE, *ALABAMA, *TOWN], killed=60)
    with pytest.raises(DataError, match=r"the crashes count 63 deaths \(FATALS\) and the persons 60"):
        read()
    assert told(read(most_difference_share=0.1), "FARS2019NationalCSV.zip")["rows"] == 3


def test_a_person_table_without_its_column_is_refused(files, read):
    path = put(files, [*ELSEWHERE, *ALABAMA])
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("accident.csv", table([*ELSEWHERE, *ALABAMA]))
        archive.writestr("person.csv", "STATE,INJURY\n1,4\n")
    with pytest.raises(DataError, match="column INJ_SEV is missing; found STATE"):
        read()


def test_damage_of_several_files_is_told_at_once(files, read):
    (files / "FARS2017NationalCSV.zip").write_bytes(b"<html>moved</html>")
    whole = put(files, [*ELSEWHERE, *ALABAMA], year=2018)
    whole.write_bytes(whole.read_bytes()[:-60])
    with zipfile.ZipFile(files / "FARS2019NationalCSV.zip", "w") as archive:
        archive.writestr("vehicle.csv", "A\n1\n")
    with pytest.raises(DataError, match="3 faults") as refusal:
        read()
    for part in ("FARS2017NationalCSV.zip", "FARS2018NationalCSV.zip", "no member fits 'accident.csv'"):
        assert part in str(refusal.value)


def test_a_folder_without_files_says_what_is_wanted(read):
    with pytest.raises(DataError, match=r"no file FARS<year>NationalCSV\.zip"):
        read()


# --- the catalog -----------------------------------------------------------------------------------------


def test_each_year_is_one_national_file_at_its_publisher():
    asked = fars.remotes(years=[2020, 2019, 2020], geographies=["US"], settings=SETTINGS)
    assert [remote.url for remote in asked] == [
        f"https://static.nhtsa.gov/nhtsa/downloads/FARS/{year}/National/FARS{year}NationalCSV.zip"
        for year in (2019, 2020)
    ]


def test_every_table_and_variable_is_declared_with_what_it_measures(files, read):
    put(files, [*ELSEWHERE, *ALABAMA, *TOWN])
    declared = SETTINGS["tables"]
    for name, frame in read().observations.items():
        assert set(frame["variable"]) == set(declared[name]["definitions"])


def test_the_shipped_crosswalks_know_the_residents_of_every_county_and_city(raw_dir, files, places):
    """Real: 51 states, the universe and its counties; every rate of 2019 has its denominator."""
    county = raw.read_table(raw_dir, "crosswalks/place_county")
    scope = Scope(places=places, counties=frozenset(county.loc[county["county_kind"] == "county", "county_id"]))
    put(files, [*ELSEWHERE, *ALABAMA, crash()])
    reading = fars.read_fetched(files, scope=scope, vintage="v", settings=SETTINGS, raw_dir=raw_dir)
    rates = reading.observations["counties"].query("variable == @fars.RATE")
    assert len(rates) == len(scope.counties)
    assert not (rates["flag"] == "no_population").any()
    louisville = cell(reading, "places", "2148006", 2019, fars.RATE)
    assert 0.1 < louisville["value"] < 0.3
