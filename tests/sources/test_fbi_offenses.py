"""Violent crimes of cities from the FBI's Table 8, saved by hand, whole and damaged.

Published: Chicago's offenses of 2019 (25,532: 492, 1,761, 7,983 and 15,296), the layout of the workbooks (titles, a
heading in the fourth row with line breaks and footnote digits, states filled in once, footnotes below) and the names
of departments. Residents and all other offenses are made up.
"""

from __future__ import annotations

import csv
import io
import zipfile
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import openpyxl
import pandas as pd
import pytest

from wwc_research.errors import DataError, InputError
from wwc_research.sources import fbi_offenses, raw
from wwc_research.sources.observations import FLAG_WORDS, Reading, validate
from wwc_research.sources.places import Match, Places, Scope

SETTINGS = raw.load_sources()["fbi_offenses"]["fetch"] | {"minimum_cities": 3, "most_odd_share": 0.2}
Row = Sequence[object]
HEAD: Row = (
    "State", "City", "Population", "Violent\ncrime", "Murder and\nnonnegligent\nmanslaughter", "Rape1", "Robbery",
    "Aggravated\nassault", "Property\ncrime", "Arson2",
)  # fmt: skip
CITIES: list[Row] = [
    ("ALABAMA3", "Mobile3", 248431, 1000, 10, 90, 300, 600, 5000, None),
    (None, "Hoover", 92_000, 100, 1, 9, 30, 60, 900, 1),
    ("ILLINOIS", "Chicago4, 5", 2_700_000, 25_532, 492, 1_761, 7_983, 15_296, 80_742, 416),
    ("KENTUCKY", "Louisville Metro", 670_000, 4_600, 90, 200, 1_000, 3_310, 26_000, None),
    ("NEVADA", "Las Vegas Metropolitan Police Department", 1_650_000, 8_800, 84, 1_300, 2_200, 5_216, 46_000, None),
    ("NEW JERSEY", "Washington Township, Gloucester County", 47_000, 30, 0, 3, 7, 20, 500, 0),
    (None, "Washington Township, Morris County", 18_000, 9, 0, 1, 2, 6, 90, 0),
    ("PUERTO RICO", "San Juan", 320_000, 900, 50, 50, 300, 500, 2_000, None),
]
NOTES: list[Row] = [
    ("1 The figures shown in this column for the offense of rape were reported using the revised definition.",),
    ("3 Limited data were available for 2019.",),
]
PLACES = [
    ("0150000", "Mobile city", "AL", True, 195_000),
    ("0135896", "Hoover city", "AL", True, 92_000),
    ("1714000", "Chicago city", "IL", True, 2_746_000),
    ("2148006", "Louisville/Jefferson County metro government (balance)", "KY", True, 620_000),
    ("3240000", "Las Vegas city", "NV", True, 642_000),
    ("3651000", "New York city", "NY", True, 8_804_000),
    ("3477240", "Washington borough", "NJ", False, 6_500),
    ("4105000", "Ashland city", "OR", True, 21_000),
]


GREW = ("0135896", "2010_2019")  # Hoover had half its people at the census of 2010


def titles(year: object) -> list[Row]:
    return [("Table 8",), ("Offenses Known to Law Enforcement",), (f"by State by City, {year}",)]


def sheet(rows: list[Row], *, year: object = 2019, head: list[Row] | None = None) -> list[Row]:
    return [*titles(year), *(head or [HEAD]), *rows, *NOTES]


def workbook(rows: list[Row]) -> bytes:
    book = openpyxl.Workbook()
    for row in rows:
        book.active.append(list(row))
    out = io.BytesIO()
    book.save(out)
    return out.getvalue()


def text(rows: list[Row]) -> str:
    out = io.StringIO()
    csv.writer(out, lineterminator="\r\n").writerows(
        [f"{cell:,}" if isinstance(cell, int) else cell for cell in row] for row in rows
    )
    return out.getvalue()


def put(folder: Path, rows: list[Row], *, year: int = 2019, kind: str = "csv", encoding: str = "utf-8") -> Path:
    if kind == "csv":
        path = folder / f"table-8-{year}.csv"
        path.write_bytes(text(rows).encode(encoding))
    elif kind == "xlsx":
        path = folder / f"CIUS_Table_8_Offenses_Known_to_Law_Enforcement_by_State_by_City_{year}.xlsx"
        path.write_bytes(workbook(rows))
    else:
        path = folder / f"offenses-known-to-le-{year}.zip"
        with zipfile.ZipFile(path, "w") as archive:
            archive.writestr(
                f"le/Table_8_Offenses_Known_to_Law_Enforcement_by_State_by_City_{year}.xlsx", workbook(rows)
            )
            archive.writestr(f"le/Table_9_Offenses_Known_{year}.xlsx", workbook(titles(year)))
    return path


@pytest.fixture
def scope() -> Scope:
    names = pd.DataFrame([row[:4] for row in PLACES], columns=["place_id", "name", "state", "in_universe"])
    return Scope(places=Places(names.assign(aliases=""), pd.DataFrame(columns=["county_id", "name", "state"])))


@pytest.fixture
def shipped(tmp_path: Path) -> Path:
    folder = tmp_path / "raw" / "crosswalks"
    folder.mkdir(parents=True)
    rows = [
        (place, period, "county", "00000", people // 2 if (place, period) == GREW else people)
        for place, *_, people in PLACES
        for period in ("2010_2019", "2020_2021")
    ]
    columns = ["place_id", "period", "county_kind", "county_id", "population_count"]
    pd.DataFrame(rows, columns=columns).to_csv(folder / "place_county.csv", index=False)
    return tmp_path / "raw"


@pytest.fixture
def files(tmp_path: Path) -> Path:
    folder = tmp_path / "files"
    folder.mkdir()
    return folder


@pytest.fixture
def read(files: Path, scope: Scope, shipped: Path) -> Callable[..., Reading]:
    def reading(**settings: object) -> Reading:
        made = fbi_offenses.read_fetched(files, scope=scope, vintage="v", settings=SETTINGS | settings, raw_dir=shipped)
        for name, frame in made.observations.items():
            validate(frame, where=name)
            assert set(frame["flag"]) <= {"", *FLAG_WORDS}
        return made

    return reading


def cell(
    reading: Reading, place: str, *, table: str = "revised_rape", year: int = 2019, variable: str = fbi_offenses.COUNT
) -> pd.Series:
    frame = reading.observations[table]
    rows = frame[(frame["place_id"] == place) & (frame["year"] == year) & (frame["variable"] == variable)]
    assert len(rows) == 1
    return rows.iloc[0]


def told(reading: Reading, item: str) -> pd.Series:
    rows = reading.left_out[reading.left_out["item"].str.contains(item, regex=False) & (reading.left_out["rows"] > 0)]
    assert len(rows) == 1, reading.left_out["item"].tolist()
    return rows.iloc[0]


# --- figures ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["csv", "xlsx", "zip"])
def test_every_way_the_table_is_saved_gives_the_published_figures(kind, files, read):
    put(files, sheet(CITIES), kind=kind)
    reading = read()
    chicago = cell(reading, "1714000")
    assert (chicago["value"], chicago["flag"]) == (25_532, "")
    assert cell(reading, "1714000", variable=fbi_offenses.RATE)["value"] == pytest.approx(945.62963, abs=1e-5)
    assert cell(reading, "0150000")["value"] == 1000  # Mobile3 in ALABAMA3
    assert cell(reading, "0135896")["value"] == 100  # its state stands in the row before


def test_a_department_of_another_name_stands_for_its_declared_place_with_the_residents_it_serves(files, read):
    put(files, sheet(CITIES))
    assert cell(read(), "2148006")["value"] == 4_600
    rate = cell(read(), "3240000", variable=fbi_offenses.RATE)
    assert rate["value"] == pytest.approx(8_800 / 1_650_000 * 1e5, abs=1e-6)


def test_a_heading_in_several_rows_is_read_as_one(files, read):
    upper: Row = ("", "", "", "Violent", "Murder and", "", "", "Aggravated", "Property", "")
    lower: Row = ("State", "City", "Population", "crime", "nonnegligent", "Rape1", "Robbery", "assault", "crime", "")
    last: Row = ("", "", "", "", "manslaughter", "", "", "", "", "")
    head = [upper, lower, (*last[:5], "(revised definition)", *last[6:])]
    put(files, sheet(CITIES, head=head))
    assert cell(read(), "1714000")["value"] == 25_532


def test_states_on_a_line_of_their_own_are_read(files, read):
    rows = [row for city in CITIES for row in ([(city[0],), (None, *city[1:])] if city[0] else [city])]
    put(files, sheet(rows))
    assert cell(read(), "1714000")["value"] == 25_532


@pytest.mark.parametrize(
    ("year", "table"),
    [
        (2012, "forcible_rape"),
        (2013, "either_rape"),
        (2016, "either_rape"),
        (2017, "revised_rape"),
        (2020, "revised_rape"),
        (2021, "incidents_only"),
        (2022, "both_forms"),
    ],
)
def test_years_of_another_definition_stand_in_another_table_with_another_text(year, table, files, read):
    put(files, sheet(CITIES, year=year), year=year)
    assert set(read().observations) == {table}
    texts = [entry["definitions"] for entry in SETTINGS["tables"].values()]
    assert set(SETTINGS["tables"]) == {name for _, name in fbi_offenses.ERAS}
    for variable in (fbi_offenses.COUNT, fbi_offenses.RATE):
        assert len({text[variable] for text in texts}) == len(texts)


def test_either_definition_of_rape_makes_a_right_sum(files, read):
    head: Row = (*HEAD[:5], "Rape\n(revised\ndefinition)1", "Rape\n(legacy\ndefinition)2", *HEAD[6:])
    revised = [(*row[:6], None, *row[6:]) for row in CITIES]
    legacy = [(*row[:5], None, *row[5:]) for row in CITIES]
    both = (*CITIES[2][:6], 1_400, *CITIES[2][6:])  # the other definition's number beside it
    put(files, sheet([*revised[:2], both, revised[3], *legacy[4:]], head=[head], year=2014), year=2014)
    reading = read(most_odd_share=0.0)
    assert cell(reading, "2148006", table="either_rape", year=2014)["value"] == 4_600
    assert cell(reading, "3240000", table="either_rape", year=2014)["value"] == 8_800


def test_a_table_without_residents_has_counts_and_no_rates(files, read):
    put(files, sheet([(*row[:2], *row[3:]) for row in CITIES], head=[(*HEAD[:2], *HEAD[3:])], year=2016), year=2016)
    reading = read()
    assert cell(reading, "1714000", table="either_rape", year=2016)["value"] == 25_532
    rate = cell(reading, "1714000", table="either_rape", year=2016, variable=fbi_offenses.RATE)
    assert (np.isnan(rate["value"]), rate["flag"]) == (True, "no_population")


# --- missing is never zero -------------------------------------------------------------------------------


def test_a_city_without_a_row_is_missing_and_told_by_name(files, read):
    put(files, sheet(CITIES, year=2021), year=2021)
    reading = read()
    row = cell(reading, "3651000", table="incidents_only", year=2021)
    assert (np.isnan(row["value"]), row["flag"]) == (True, "not_published")
    assert told(reading, "New York, NY (3651000)")["reason"] == (
        "no row of it: did not report twelve months of the year as single incidents, the only form that the FBI took"
    )
    assert told(reading, "smaller cities of the universe")["rows"] == 1  # Ashland


@pytest.mark.parametrize("population", [0, None, ""])
def test_a_city_without_residents_has_no_rate(population, files, read):
    put(files, sheet([CITIES[0], CITIES[1], ("ILLINOIS", "Chicago", population, *CITIES[2][3:])]))
    assert cell(read(), "1714000")["value"] == 25_532
    assert cell(read(), "1714000", variable=fbi_offenses.RATE)["flag"] == "no_population"


def test_a_total_that_is_not_given_is_missing_and_a_zero_is_a_zero(files, read):
    blank = ("ILLINOIS", "Chicago", 2_700_000, None, 492, None, 7_983, 15_296, 80_742, 416)
    zero = (None, "Hoover", 92_000, 0, 0, 0, 0, 0, 900, 1)
    put(files, sheet([CITIES[0], zero, blank]))
    reading = read()
    assert cell(reading, "1714000")["flag"] == "not_published"
    assert told(reading, "Chicago, IL")["reason"] == "its row has no total of violent crimes"
    assert cell(reading, "0135896")["value"] == 0


def test_a_total_that_is_no_sum_is_withheld_and_many_are_damage(files, read):
    wrong = (*CITIES[2][:3], 52_532, *CITIES[2][4:])
    put(files, sheet([*CITIES[:2], wrong, *CITIES[3:]]))
    reading = read()
    assert cell(reading, "1714000")["flag"] == "not_available"
    assert "is not the sum of murder, rape, robbery and assault" in told(reading, "Chicago, IL")["reason"]
    with pytest.raises(DataError, match="is not the sum of murder, rape, robbery and assault in 1 rows: Chicago in"):
        read(most_odd_share=0.1)


# --- which place -----------------------------------------------------------------------------------------


def test_townships_of_one_name_stand_for_no_place_and_are_counted(files, read):
    put(files, sheet(CITIES))
    assert told(read(), "agencies of other places")["rows"] == 2
    assert told(read(), "agencies of territories")["rows"] == 1


def test_an_agency_whose_residents_are_far_from_the_place_of_its_name_is_another_place(files, read):
    put(files, sheet([*CITIES, ("OREGON", "Ashland", 2_670, 9, 0, 1, 2, 6, 90, 0)]))
    reading = read()
    assert told(reading, "Ashland, OR")["reason"].startswith("serves 2,670 people")
    assert cell(reading, "4105000")["flag"] == "not_published"


def test_two_agencies_of_one_place_leave_it_without_a_figure_unless_one_is_far_from_its_size(files, read):
    far = ("OREGON", "Ashland", 2_670, 9, 0, 1, 2, 6, 90, 0)
    near = (None, "Ashland", 21_500, 50, 0, 10, 15, 25, 90, 0)
    put(files, sheet([*CITIES, far, near]))
    assert cell(read(), "4105000")["value"] == 50
    put(files, sheet([*CITIES, far, near, (None, "Ashland5", 21_600, 60, 0, 10, 25, 25, 90, 0)]))
    reading = read()
    assert cell(reading, "4105000")["flag"] == "not_available"
    assert told(reading, "Ashland, OR (4105000)")["rows"] == 2


def test_declared_departments_are_places_of_the_universe_and_keep_their_state(places):
    """Real: the shipped gazetteer."""
    for label, place in SETTINGS["agencies"].items():
        assert place in places.universe, label
        found = places.resolve(place)
        assert isinstance(found, Match)
        assert found.state == label.rsplit(", ", 1)[1]


def test_a_city_that_has_grown_is_held_against_its_residents_of_the_year(files, read):
    small = (None, "Hoover", 46_000, 100, 1, 9, 30, 60, 900, 1)
    for year in (2010, 2020):
        put(files, sheet([CITIES[0], small, *CITIES[2:]], year=year), year=year)
    reading = read()
    assert cell(reading, "0135896", table="forcible_rape", year=2010)["value"] == 100
    assert cell(reading, "0135896", year=2020)["flag"] == "not_published"


# --- damage ----------------------------------------------------------------------------------------------

DAMAGE: dict[str, tuple[Callable[[str], str], str]] = {
    "a web page": (lambda _: "<!doctype html><title>Loading</title>", "a web page was saved instead of the table"),
    "nothing": (lambda _: "", "no row with the heading City"),
    "a changed column": (lambda text: text.replace('"Violent\ncrime"', "Offenses"), "violent crime are missing"),
    "a column twice": (lambda text: text.replace("Robbery", '"Violent\ncrime"'), "violent crime occur more than once"),
    "no number": (lambda text: text.replace('"25,532"', "n/a"), "violent crime: 1 cells are no whole numbers"),
    "a negative number": (lambda text: text.replace('"25,532"', "-5"), "violent crime: 1 cells are no whole numbers"),
    "no such state": (lambda text: text.replace("ILLINOIS", "ILINOY"), "1 cells name no state: 'ILINOY' in line 7"),
    "no state at all": (lambda text: text.replace("ALABAMA3", ""), "state: 2 cells name no state"),
    "a row twice": (lambda text: text.replace(HOOVER, 2 * HOOVER), "1 rows occur more than once: Hoover in line 7"),
    "another year": (lambda text: text.replace("2019", "2018"), "the title is of 2018, the file's name of 2019"),
}
HOOVER = text([CITIES[1]])


@pytest.mark.parametrize("damage", DAMAGE)
def test_damage_is_one_clear_error(damage, files, read):
    edit, message = DAMAGE[damage]
    path = files / "table-8-2019.csv"
    path.write_bytes(edit(text(sheet(CITIES))).encode())
    with pytest.raises(DataError, match=r"table-8-2019\.csv") as refusal:
        read()
    assert message in str(refusal.value)


def test_a_table_with_far_too_few_cities_is_refused(files, read):
    put(files, sheet(CITIES))
    with pytest.raises(DataError, match="8 cities; a national table has 3,000 or more"):
        read(minimum_cities=3_000)


def test_damage_of_several_files_is_told_at_once(files, read):
    (files / "offenses-known-to-le-2020.zip").write_bytes(b"PK\x03\x04 and then nothing")
    (files / "table-8-2018.xlsx").write_bytes(b"<html>moved</html>")
    with zipfile.ZipFile(files / "offenses-known-to-le-2022.zip", "w") as archive:
        archive.writestr("Table_10_Counties_2022.xlsx", workbook(sheet(CITIES)))
    with zipfile.ZipFile(files / "offenses-known-to-le-2023.zip", "w") as archive:
        archive.writestr("Table_8_by_City_2023.xlsx", workbook(sheet(CITIES))[:-400])
    with pytest.raises(DataError, match="4 faults") as refusal:
        read()
    for part in (
        "2020.zip",
        "table-8-2018.xlsx: this is no Excel workbook",
        "no member fits '*Table_8_*.xlsx'",
        "2023",
    ):
        assert part in str(refusal.value)


@pytest.mark.parametrize("encoding", ["utf-8-sig", "cp1252"])
def test_names_are_read_in_any_encoding(encoding, files, read):
    put(
        files, sheet([*CITIES, ("CALIFORNIA", "La Cañada Flintridge", 20_000, 9, 0, 1, 2, 6, 90, 0)]), encoding=encoding
    )
    assert cell(read(), "1714000")["value"] == 25_532


# --- saved by hand ---------------------------------------------------------------------------------------


def test_what_cannot_be_asked_for_is_refused_with_where_it_is_and_how_it_is_saved():
    with pytest.raises(InputError, match="fbi_offenses, 2019 and 2022: the FBI gives its tables no lasting") as refusal:
        fbi_offenses.remotes(years=[2022, 2019], geographies=["US"], settings=SETTINGS)
    for part in ("https://cde.ucr.cjis.gov", "offenses-known-to-le-<year>.zip", "table-8-<year>.xlsx", ".xls is not"):
        assert part in str(refusal.value)


def test_a_file_says_its_year_by_its_name(files):
    names = {
        "offenses-known-to-le-2022.zip": 2022,
        "CIUS_Table_8_Offenses_Known_to_Law_Enforcement_by_State_by_City_2024.xlsx": 2024,
        "table-8-2018.csv": 2018,
        "Table_6_Offenses_Known_to_Law_Enforcement_by_State_by_City_2016.xlsx": 2016,
        "table_10_counties_2019.xlsx": None,
        "notes.txt": None,
    }
    for name in names:
        (files / name).touch()
    found = fbi_offenses.table_files(files)
    assert {path.name: year for path, year in found.items()} == {name: year for name, year in names.items() if year}


def test_the_old_format_two_files_of_a_year_and_an_empty_folder_are_refused(files, read, tmp_path):
    for name in ("table-8-2018.xls", "table-8-2019.csv", "offenses-known-to-le-2019.zip"):
        (files / name).touch()
    with pytest.raises(DataError, match="2 faults") as refusal:
        read()
    assert "save it as table-8-2018.xlsx or .csv" in str(refusal.value)
    assert "are of the same year" in str(refusal.value)
    with pytest.raises(DataError, match=r"no file offenses-known-to-le-<year>\.zip"):
        fbi_offenses.table_files(tmp_path / "nothing")
