"""Areas and coordinates from Gazetteer files, whole and damaged, and what they say of the shipped gazetteer.

Published rows: Abbeville city AL (2026), Grantsburg village WI (2024), Autauga County AL (2025). The point of San
Francisco is that of the publisher to three digits; all else is made up in the publisher's layouts.
"""

from __future__ import annotations

import zipfile
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest

from wwc_research.errors import DataError
from wwc_research.sources import gazetteer_files, raw
from wwc_research.sources.observations import Reading
from wwc_research.sources.places import Places, Scope

SETTINGS = raw.load_sources()["gazetteer_files"]["fetch"] | {"minimum_place": 4, "minimum_counties": 2}
PLACES = [
    "AL|0100124|1600000US0100124|02403054|Abbeville city|25|A|40255357|107642|15.543|0.042|31.565164|-85.259165",
    "WI|5530450|1600000US5530450|01583305|Grantsburg village|47|A|7871515|57865|3.039|0.022|45.78379|-92.677329",
    "CA|0667000|1600000US0667000|02411786|San Francisco city|25|A|121455305|479107241|46.894|184.984|37.727|-123.032",
    "CO|0811810|1600000US0811810|02409974|Cañon City city|25|A|31600000|0|12.201|0.0|38.444|-105.226",
    "HI|1571550|1600000US1571550|02630782|Urban Honolulu CDP|62|S|156700000|20000000|60.502|7.722|21.324|-157.847",
    "AL|0100100|1600000US0100100|02582661|Abanda CDP|57|S|7764032|34284|2.998|0.013|33.091627|-85.527029",
    "PR|7200100|1600000US7200100|02414809|Adjuntas zona urbana|62|S|1000000|0|0.386|0.0|18.16|-66.72",
]
COUNTIES = [
    "AL|01001|0500000US01001|00161526|Autauga County|1539631460|25677536|594.455|9.914|32.532237|-86.64644",
    "CT|09110|0500000US09110|02830246|Capitol Planning Region|2644000000|67000000|1020.854|25.869|41.82|-72.57",
    "PR|72001|0500000US72001|01804480|Adjuntas Municipio|172725716|1574104|66.69|0.608|18.181|-66.757",
]
PLACE_HEAD = "USPS|GEOID|GEOIDFQ|ANSICODE|NAME|LSAD|FUNCSTAT|ALAND|AWATER|ALAND_SQMI|AWATER_SQMI|INTPTLAT|INTPTLONG"
COUNTY_HEAD = "USPS|GEOID|GEOIDFQ|ANSICODE|NAME|ALAND|AWATER|ALAND_SQMI|AWATER_SQMI|INTPTLAT|INTPTLONG"
TRAILING = " " * 60
Lines = list[str]


def tabbed(rows: Lines) -> Lines:
    """The layout to 2024: tabs, no GEOIDFQ, blanks behind the last column."""
    return ["\t".join(cell for i, cell in enumerate(row.split("|")) if i != 2) + TRAILING for row in rows]


def put(folder: Path, rows: Lines, *, year: int = 2025, layer: str = "place", encoding: str = "utf-8") -> Path:
    path = folder / f"{year}_Gaz_{layer}_national.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(f"{year}_Gaz_{layer}_national.txt", ("\n".join(rows) + "\n").encode(encoding))
    return path


@pytest.fixture
def shipped(tmp_path: Path) -> Path:
    """A small shipped gazetteer: `raw_dir`."""
    folder = tmp_path / "raw" / "gazetteer"
    folder.mkdir(parents=True)
    universe = [
        ("0100124", "Abbeville town", "AL", 31.57, -85.25),  # another legal type, and 1 km away
        ("0667000", "San Francisco city", "CA", 37.759, -122.443),  # far from the publisher's point
        ("0811810", "Canon City city", "CO", "", ""),  # the accent is no change; no coordinates
        ("1571550", "Urban Honolulu CDP", "HI", 21.324, -157.847),
        ("5530450", "Old Grantsburg village", "WI", 45.78, -92.68),
        ("0635000", "Ghost city", "CA", 37.0, -120.0),
    ]
    pd.DataFrame(universe, columns=["place_id", "name", "state", "latitude", "longitude"]).to_csv(
        folder / "universe.csv", index=False
    )
    return tmp_path / "raw"


@pytest.fixture
def scope(shipped: Path) -> Scope:
    names = pd.read_csv(shipped / "gazetteer" / "universe.csv", dtype=str)[["place_id", "name", "state"]]
    counties = pd.DataFrame(
        [
            ("01001", "Autauga County", "AL"),
            ("09003", "Hartford County", "CT"),
            ("09110", "Capitol Planning Region", "CT"),
        ],
        columns=["county_id", "name", "state"],
    )
    return Scope(places=Places(names.assign(in_universe=True, aliases=""), counties))


@pytest.fixture
def files(tmp_path: Path) -> Path:
    folder = tmp_path / "files"
    folder.mkdir()
    return folder


def read(files: Path, scope: Scope, shipped: Path) -> Reading:
    return gazetteer_files.read_fetched(files, scope=scope, vintage="v", settings=SETTINGS, raw_dir=shipped)


# --- areas and coordinates -------------------------------------------------------------------------------


def test_a_place_has_its_published_area_in_square_kilometres_and_its_point(
    files: Path, scope: Scope, shipped: Path
) -> None:
    put(files, [PLACE_HEAD, *PLACES])
    put(files, [COUNTY_HEAD, *COUNTIES], layer="counties")
    reading = read(files, scope, shipped)
    abbeville = reading.tables["places"].set_index("place_id").loc["0100124"]
    assert abbeville.to_dict() == {
        "year": 2025,
        "name": "Abbeville city",
        "state": "AL",
        "land_km2": 40.2554,
        "water_km2": 0.1076,
        "latitude": 31.565164,
        "longitude": -85.259165,
    }
    autauga = reading.tables["counties"].set_index("county_id").loc["01001"]
    assert autauga["land_km2"] == 1539.6315
    assert not reading.observations


def test_both_layouts_give_the_same_table(files: Path, scope: Scope, shipped: Path) -> None:
    put(files, [PLACE_HEAD, *PLACES])
    pipes = read(files, scope, shipped).tables["places"]
    put(files, tabbed([PLACE_HEAD, *PLACES]))
    pd.testing.assert_frame_equal(read(files, scope, shipped).tables["places"], pipes)


@pytest.mark.parametrize("encoding", ["latin-1", "utf-8-sig"])
def test_names_are_read_in_any_encoding(encoding: str, files: Path, scope: Scope, shipped: Path) -> None:
    put(files, [PLACE_HEAD, *PLACES], encoding=encoding)
    assert "Cañon City city" in set(read(files, scope, shipped).tables["places"]["name"])


def test_years_stand_side_by_side_and_the_newest_is_held_against_the_shipped_gazetteer(
    files: Path, scope: Scope, shipped: Path
) -> None:
    put(files, [PLACE_HEAD, *PLACES], year=2026)
    put(files, tabbed([PLACE_HEAD, *PLACES[1:]]), year=2020)
    reading = read(files, scope, shipped)
    table = reading.tables["places"]
    assert list(table.loc[table["place_id"] == "5530450", "year"]) == [2020, 2026]
    assert not table.duplicated(["place_id", "year"]).any()
    changes = reading.tables["changes"]
    assert "0100124" not in set(changes.loc[changes["change"] == "absent", "id"])


def test_designated_places_and_puerto_rico_are_left_out_but_honolulu_is_in_the_universe(
    files: Path, scope: Scope, shipped: Path
) -> None:
    put(files, [PLACE_HEAD, *PLACES])
    reading = read(files, scope, shipped)
    assert set(reading.tables["places"]["place_id"]) == {"0100124", "0667000", "0811810", "1571550", "5530450"}
    told = reading.left_out.set_index("item")["rows"]
    assert (told["census-designated places"], told["areas of Puerto Rico"]) == (1, 1)


# --- the audit of the shipped gazetteer ------------------------------------------------------------------


def test_each_difference_from_the_shipped_gazetteer_is_named_with_its_reason(
    files: Path, scope: Scope, shipped: Path
) -> None:
    put(files, [PLACE_HEAD, *PLACES])
    put(files, [COUNTY_HEAD, *COUNTIES], layer="counties")
    reading = read(files, scope, shipped)
    changes = reading.tables["changes"]
    assert set(zip(changes["geography"], changes["id"], changes["change"], strict=True)) == {
        ("place", "0100124", "legal_type"),
        ("place", "0635000", "absent"),
        ("place", "0667000", "moved"),
        ("place", "5530450", "renamed"),
        ("county", "09003", "absent"),
    }
    # great-circle distance worked out by hand: 0.032 degrees of latitude, 0.589 of longitude at 37.74 north
    moved = changes.set_index("id").loc["0667000"]
    assert moved["distance_km"] == pytest.approx(
        ((0.032 * 111.195) ** 2 + (0.589 * 111.195 * 0.7908) ** 2) ** 0.5, abs=0.1
    )
    told = reading.left_out.set_index("item")["reason"]
    assert told["place 0635000"].startswith("shipped as Ghost city; its code is no longer in the file")
    assert told["place 5530450"] == (
        "another own name: shipped as Old Grantsburg village, published as Grantsburg village"
    )
    assert told["place 0667000"] == (
        f"the shipped point 37.759 -122.443 lies {moved['distance_km']} km from the published 37.727 -123.032"
    )


def test_a_missing_universe_is_a_clear_error(files: Path, scope: Scope, tmp_path: Path) -> None:
    put(files, [PLACE_HEAD, *PLACES])
    with pytest.raises(DataError, match=r"the shipped universe of places is missing"):
        gazetteer_files.read_fetched(files, scope=scope, vintage="v", settings=SETTINGS, raw_dir=tmp_path / "none")


# --- damage ----------------------------------------------------------------------------------------------


def replaced(old: str, new: str) -> Callable[[Lines], Lines]:
    return lambda rows: [row.replace(old, new) for row in rows]


DAMAGE: dict[str, tuple[Callable[[Lines], Lines], str]] = {
    "a web page in the zip": (lambda rows: ["<html>", "</html>"], r"a web page came instead of the table"),
    "an empty file": (lambda rows: [""], r"the file is empty"),
    "a renamed column": (
        replaced("ALAND|", "LAND|"),
        r"columns ALAND are missing; found USPS, GEOID.*expected USPS, GEOID",
    ),
    "a line cut off": (lambda rows: [*rows[:-1], rows[-1][:40]], r"the header has 13 columns; line 8 has 5"),
    "too few rows": (lambda rows: rows[:3], r"2 rows; a national file has 4 or more"),
    "a place twice": (lambda rows: [*rows, rows[1]], r"GEOID: 1 codes occur more than once: '0100124' in line 9"),
    "codes of another length": (replaced("|0100124|", "|01001240|"), r"GEOID: 1 codes are not of 7 digits: '01001240'"),
    "another state's code": (replaced("AL|0100124", "GA|0100124"), r"USPS and GEOID name different states in 1 rows"),
    "words for an area": (replaced("40255357", "large"), r"ALAND: 1 cells are no whole numbers of 0 or more: 'large'"),
    "square feet": (replaced("40255357", "433305052"), r"ALAND \(square metres\) and ALAND_SQMI differ in 1 rows"),
    "a point off the globe": (replaced("31.565164", "131.565164"), r"1 points lie off the globe: '0100124' in line 2"),
    "no point": (replaced("-85.259165", ""), r"INTPTLONG: 1 cells are no numbers of -180 or more: '' in line 2"),
    "no name": (replaced("Abbeville city", ""), r"NAME: 1 rows have none"),
}


@pytest.mark.parametrize("name", DAMAGE)
def test_damage_is_a_clear_error_and_never_an_area(name: str, files: Path, scope: Scope, shipped: Path) -> None:
    damage, message = DAMAGE[name]
    put(files, damage([PLACE_HEAD, *PLACES]))
    with pytest.raises(DataError, match=rf"2025_Gaz_place_national\.zip[\s\S]*{message}"):
        read(files, scope, shipped)


def test_broken_zips_are_named_in_one_error(files: Path, scope: Scope, shipped: Path) -> None:
    path = put(files, [PLACE_HEAD, *PLACES])
    path.write_bytes(path.read_bytes()[:200])
    (files / "2025_Gaz_counties_national.zip").write_text("<!DOCTYPE html><title>404</title>")
    with pytest.raises(DataError) as caught:
        read(files, scope, shipped)
    assert "2025_Gaz_place_national.zip" in str(caught.value)
    assert "2025_Gaz_counties_national.zip" in str(caught.value)


def test_a_zip_without_the_table_and_an_empty_folder_are_refused(files: Path, scope: Scope, shipped: Path) -> None:
    with pytest.raises(DataError, match="no file <year>_Gaz_place_national"):
        read(files, scope, shipped)
    with zipfile.ZipFile(files / "2025_Gaz_place_national.zip", "w") as archive:
        archive.writestr("readme.pdf", b"%PDF")
    with pytest.raises(DataError, match=r"2025_Gaz_place_national\.zip.*readme\.pdf"):
        read(files, scope, shipped)


# --- what is asked for -----------------------------------------------------------------------------------


def test_one_zip_a_year_and_layer_is_asked_for() -> None:
    found = gazetteer_files.remotes(years=[2026, 2020], geographies=["place", "county"], settings=SETTINGS)
    assert [remote.name for remote in found] == [
        "2020_Gaz_place_national.zip",
        "2020_Gaz_counties_national.zip",
        "2026_Gaz_place_national.zip",
        "2026_Gaz_counties_national.zip",
    ]
    assert found[2].url == (
        "https://www2.census.gov/geo/docs/maps-data/data/gazetteer/2026_Gazetteer/2026_Gaz_place_national.zip"
    )
