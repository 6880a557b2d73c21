"""Residents of places from SUB-EST files, whole and damaged.

Published figures (sub-est2025.csv, 1 July 2025): Louisville/Jefferson County 795,222 as a whole and 641,962 without the
independent towns; Indianapolis 910,638 and 901,116; Abbeville city AL 2,378. All other numbers and towns are made up in
the publisher's layout, one county and one place a state, so that parts add up.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest

from wwc_research.errors import DataError
from wwc_research.sources import census_population, raw
from wwc_research.sources.observations import Reading, validate
from wwc_research.sources.places import STATE_NAME, STATE_OF_CODE, Places, Scope

SETTINGS = raw.load_sources()["census_population"]["fetch"] | {"minimum_places": 54}
HEAD = "SUMLEV,STATE,COUNTY,PLACE,COUSUB,CONCIT,PRIMGEO_FLAG,FUNCSTAT,NAME,STNAME,ESTIMATESBASE2020"
LOUISVILLE, INDIANAPOLIS, ABBEVILLE, CANON, DC = "2148006", "1836003", "0100124", "0811810", "1150000"
Lines = list[str]


def line(level: str, state: str, county: str, place: str, consolidated: str, name: str, people: int, years: int) -> str:
    """One row: every year has as many residents as the last one, so that sums are easy to follow."""
    figures = ",".join([str(people)] * (years + 1))
    state_name = STATE_NAME[STATE_OF_CODE[state]]
    return f"{level},{state},{county},{place},00000,{consolidated},0,A,{name},{state_name},{figures}"


def lines(years: range = range(2020, 2026)) -> Lines:
    count = len(years)
    rows = [HEAD + "," + ",".join(f"POPESTIMATE{year}" for year in years)]

    def add(level: str, state: str, people: int, name: str, *, county: str = "000", place: str = "00000",
            consolidated: str = "00000") -> None:  # fmt: skip
        rows.append(line(level, state, county, place, consolidated, name, people, count))

    for code, postal in STATE_OF_CODE.items():
        towns = {
            "01": [("00124", "Abbeville city", 2378)],
            "08": [("11810", "Cañon City city", 17000), ("12030", "Carbonate town", 0)],
            "11": [("50000", "Washington city", 700000)],
            "18": [("36003", "Indianapolis city (balance)", 901116), ("71828", "Speedway town", 9522)],
            "21": [("48006", "Louisville/Jefferson County metro government (balance)", 641962),
                   ("00001", "Shively city", 153260)],
        }.get(code, [("00001", f"First town of {postal}", 1000)])  # fmt: skip
        total = sum(people for _, _, people in towns) + 500
        add("040", code, total, STATE_NAME[postal])
        add("050", code, total, "First County", county="001")
        add("157", code, 500, "Balance of First County", county="001", place="99990")
        for place, name, people in towns:
            add("162", code, people, name, place=place)
            # each place lies in two parts of its county's rows
            add("157", code, people - people // 3, f"{name} (pt.)", county="001", place=place)
            add("157", code, people // 3, f"{name} (pt.)", county="003", place=place)
        if code in ("18", "21"):
            whole = "Indianapolis city" if code == "18" else "Louisville/Jefferson County metro government"
            add("170", code, sum(people for _, _, people in towns), whole, consolidated="36000")
            for place, name, people in towns:
                add("172", code, people, name, place=place, consolidated="36000")
    return rows


@pytest.fixture
def scope() -> Scope:
    universe = {
        ABBEVILLE: ("Abbeville city", "AL"),
        CANON: ("Cañon City city", "CO"),
        DC: ("Washington city", "DC"),
        INDIANAPOLIS: ("Indianapolis city (balance)", "IN"),
        LOUISVILLE: ("Louisville/Jefferson County metro government (balance)", "KY"),
    }
    names = pd.DataFrame(
        [(code, name, state, True, "") for code, (name, state) in universe.items()],
        columns=["place_id", "name", "state", "in_universe", "aliases"],
    )
    return Scope(places=Places(names, pd.DataFrame(columns=["county_id", "name", "state"])))


def read(
    tmp_path: Path, scope: Scope, rows: Lines, *, name: str = "sub-est2025.csv", encoding: str = "latin-1"
) -> Reading:
    (tmp_path / name).write_bytes(("\r\n".join(rows) + "\r\n").encode(encoding))
    return census_population.read_fetched(tmp_path, scope=scope, vintage="v", settings=SETTINGS, raw_dir=tmp_path)


def residents(reading: Reading, place: str, year: int, *, table: str = "estimates") -> float:
    frame = reading.observations[table]
    (value,) = frame.loc[(frame["place_id"] == place) & (frame["year"] == year), "value"]
    return value


# --- figures ---------------------------------------------------------------------------------------------


def test_a_place_has_its_published_residents_in_every_year_of_the_vintage(tmp_path: Path, scope: Scope) -> None:
    reading = read(tmp_path, scope, lines())
    frame = validate(reading.observations["estimates"], where="read")
    assert residents(reading, ABBEVILLE, 2025) == 2378
    assert sorted(frame["year"].unique()) == list(range(2020, 2026))
    assert set(frame["place_id"]) == {ABBEVILLE, CANON, DC, INDIANAPOLIS, LOUISVILLE}
    assert set(frame["vintage"]) == {"v"}
    assert len(frame) == 5 * 6


def test_the_place_of_a_consolidated_city_is_its_balance_and_the_whole_is_named_as_left_out(
    tmp_path: Path, scope: Scope
) -> None:
    reading = read(tmp_path, scope, lines())
    assert residents(reading, LOUISVILLE, 2025) == 641962
    assert residents(reading, INDIANAPOLIS, 2025) == 901116
    assert 795222 not in set(reading.observations["estimates"]["value"])
    items = list(reading.left_out["item"])
    assert "Louisville/Jefferson County metro government as a whole (level 170)" in items
    assert "Indianapolis city as a whole (level 170)" in items


def test_the_district_is_counted_once_though_it_is_state_county_and_place(tmp_path: Path, scope: Scope) -> None:
    assert residents(read(tmp_path, scope, lines()), DC, 2024) == 700000


def test_a_large_place_outside_the_universe_is_named(tmp_path: Path, scope: Scope) -> None:
    told = read(tmp_path, scope, lines()).left_out.set_index("item")
    assert "has reached 30,000 people" in told.loc["Shively city, KY (2100001)", "reason"]
    # fifty states and the District have 54 places: 5 of the universe, one large
    assert told.loc["other incorporated places", "rows"] == 54 - 5 - 1


def test_the_intercensal_series_is_a_table_of_its_own(tmp_path: Path, scope: Scope) -> None:
    rows = lines(range(2010, 2020))
    rows[0] = rows[0].replace("ESTIMATESBASE2020", "ESTIMATESBASE2010") + ",CENSUS2020POP"
    rows[1:] = [f"{row},7" for row in rows[1:]]
    (tmp_path / "sub-est2020int.csv").write_text("\n".join(rows), encoding="latin-1")
    reading = read(tmp_path, scope, lines())
    assert set(reading.observations) == {"intercensal", "estimates"}
    assert residents(reading, ABBEVILLE, 2010, table="intercensal") == 2378
    assert sorted(reading.observations["intercensal"]["year"].unique()) == list(range(2010, 2020))


def test_no_two_tables_of_population_claim_to_measure_the_same() -> None:
    entry = raw.load_sources()["census_population"]
    tables = [*entry["tables"].values(), *entry["fetch"]["tables"].values()]
    texts = [table["definitions"]["population_count"] for table in tables]
    assert len(texts) == len(set(texts)) == 4
    assert (
        str(entry["fetch"]["newest_vintage"])
        in entry["fetch"]["tables"]["estimates"]["definitions"]["population_count"]
    )


def test_the_minimum_of_the_universe_is_the_gazetteers() -> None:
    catalog = raw.load_sources()
    assert SETTINGS["universe_minimum"] == catalog["gazetteer"]["settings"]["minimum_population"]


@pytest.mark.parametrize("encoding", ["latin-1", "utf-8", "utf-8-sig"])
def test_names_are_read_in_any_encoding_that_the_publisher_has_used(
    encoding: str, tmp_path: Path, scope: Scope
) -> None:
    rows = [row.replace("Shively", "Peñasco") for row in lines()]
    reading = read(tmp_path, scope, rows, encoding=encoding)
    assert residents(reading, CANON, 2020) == 17000
    assert "Peñasco city, KY (2100001)" in set(reading.left_out["item"])


def test_codes_that_have_lost_their_zeros_are_the_same_places(tmp_path: Path, scope: Scope) -> None:
    bare = [
        ",".join(cell.lstrip("0") or "0" if i < 6 else cell for i, cell in enumerate(row.split(","))) for row in lines()
    ]
    whole = read(tmp_path, scope, lines()).observations["estimates"]
    pd.testing.assert_frame_equal(read(tmp_path, scope, bare).observations["estimates"], whole)


def test_an_extra_column_and_another_order_change_nothing(tmp_path: Path, scope: Scope) -> None:
    mixed = [",".join([f"x{i}", *reversed(row.split(","))]) for i, row in enumerate(lines())]
    whole = read(tmp_path, scope, lines()).observations["estimates"]
    pd.testing.assert_frame_equal(read(tmp_path, scope, mixed).observations["estimates"], whole)


def test_a_cell_without_a_figure_keeps_a_flag(tmp_path: Path, scope: Scope) -> None:
    rows = [row.replace(",2378,2378", ",(X),(X)", 1) if row.startswith("162") else row for row in lines()]
    frame = read(tmp_path, scope, rows).observations["estimates"]
    found = frame[(frame["place_id"] == ABBEVILLE) & (frame["year"] == 2020)].iloc[0]
    assert pd.isna(found["value"])
    assert found["flag"] == "not_published"


def test_a_place_of_the_universe_that_is_gone_is_listed(
    tmp_path: Path, scope: Scope, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(census_population, "_ABSENT_SHARE", 0.3)
    rows = [row.replace(",00124,", ",00125,") for row in lines()]
    told = read(tmp_path, scope, rows).left_out.set_index("item")
    assert told.loc[f"place {ABBEVILLE}", "reason"] == "the file has no row of it: merged, renamed or recoded"


# --- damage ----------------------------------------------------------------------------------------------


def edited(change: Callable[[str], str | None]) -> Callable[[Lines], Lines]:
    return lambda rows: [new for row in rows if (new := change(row)) is not None]


DAMAGE: dict[str, tuple[Callable[[Lines], Lines], str]] = {
    "a web page": (
        lambda rows: ["<!DOCTYPE html>", "<html>moved</html>"],
        r"sub-est2025\.csv: a web page came instead",
    ),
    "an empty file": (lambda rows: [""], r"the file is empty"),
    "another vintage inside": (
        lambda rows: lines(range(2020, 2025)),
        r"the estimates are of 2020, 2021, 2022, 2023 and 2024; the file's name promises 2020 to 2025",
    ),
    "a later vintage inside": (lambda rows: lines(range(2020, 2027)), r"It is of another vintage"),
    "a renamed column": (
        lambda rows: [rows[0].replace("SUMLEV", "LEVEL"), *rows[1:]],
        r"columns SUMLEV are missing; found LEVEL, STATE.*expected SUMLEV, STATE",
    ),
    "a column twice": (
        lambda rows: [rows[0].replace("COUSUB", "PLACE"), *rows[1:]],
        r"columns PLACE occur more than once",
    ),
    "a place twice": (
        lambda rows: [*rows, next(row for row in rows if row.startswith("162,01"))],
        r"1 places occur more than once at level 162: 0100124 Abbeville city in line \d+",
    ),
    "a line cut off": (lambda rows: [*rows[:-1], rows[-1][:30]], r"the header has 17 columns; line \d+ has \d+"),
    "half a file": (
        lambda rows: rows[: len(rows) // 2],
        r"27 places \(level 162\)[\s\S]*no row of level 040 for MO, MT",
    ),
    "words for a number": (
        edited(lambda row: row.replace("2378", "n/a?") if row.startswith("162") else row),
        r"POPESTIMATE2025: 1 cells are no whole numbers of 0 or more: 'n/a\?' in line",
    ),
    "a fraction of a person": (
        edited(lambda row: row.replace("2378", "2378.5") if row.startswith("162") else row),
        r"1 cells are no whole numbers",
    ),
    "fewer people than none": (
        edited(lambda row: row.replace("2378", "-2378") if row.startswith("162") else row),
        r"'-2378' in line",
    ),
    "a place that its parts do not make": (
        edited(lambda row: row.replace("2378", "3378") if row.startswith("162") else row),
        r"1 do not add up \(Abbeville city\); POPESTIMATE2020 of Abbeville city: the parts give 2,378, the whole is 3",
    ),
    "a lost part": (
        edited(lambda row: None if row.startswith("157,21,003,48006") else row),
        r"parts in counties to their place: 1 do not add up \(Louisville",
    ),
    "a lost county": (
        edited(lambda row: row.replace("1500", "1400") if row.startswith("050,56") else row),
        r"counties to their state: 1 do not add up \(Wyoming\)",
    ),
    "a balance that is the whole city": (
        edited(lambda row: row.replace("641962", "795222") if row[:6] in ("162,21", "172,21") else row),
        r"places to their consolidated city: 1 do not add up \(Louisville",
    ),
    "other places' codes": (
        edited(lambda row: row.replace(",48006,", ",48007,").replace(",36003,", ",36004,")),
        r"2 of 5 places of the universe have no row: 1836003 and 2148006",
    ),
    "codes of another kind": (
        edited(lambda row: row.replace(",00124,", ",A0124,")),
        r"codes 01A0124 of level 162 are no place codes",
    ),
    "bytes of zero": (edited(lambda row: row.replace("2378", "\0\0")), r"bytes of zero"),
}


@pytest.mark.parametrize("name", DAMAGE)
def test_damage_is_a_clear_error_and_never_a_figure(name: str, tmp_path: Path, scope: Scope) -> None:
    damage, message = DAMAGE[name]
    with pytest.raises(DataError, match=message):
        read(tmp_path, scope, damage(lines()))


def test_both_damaged_files_are_named_in_one_error(tmp_path: Path, scope: Scope) -> None:
    (tmp_path / "sub-est2020int.csv").write_text("<html></html>")
    with pytest.raises(DataError, match=r"(?s)sub-est2020int\.csv: a web page.*sub-est2025\.csv: the file is empty"):
        read(tmp_path, scope, [""])


def test_two_vintages_in_one_folder_and_none_are_refused(tmp_path: Path, scope: Scope) -> None:
    with pytest.raises(DataError, match="no file sub-est"):
        census_population.read_fetched(tmp_path, scope=scope, vintage="v", settings=SETTINGS, raw_dir=tmp_path)
    (tmp_path / "sub-est2024.csv").write_text("")
    with pytest.raises(DataError, match=r"sub-est2024\.csv and sub-est2025\.csv are of several vintages"):
        read(tmp_path, scope, lines())


# --- what is asked for -----------------------------------------------------------------------------------


def test_each_series_is_one_file_whichever_of_its_years_are_asked_for() -> None:
    ask = census_population.remotes
    base = "https://www2.census.gov/programs-surveys/popest/datasets/"
    (newest,) = ask(years=[2021, 2022], geographies=["place"], settings=SETTINGS)
    assert newest.url == base + "2020-2025/cities/totals/sub-est2025.csv"
    assert (newest.name, newest.kind, newest.year) == ("sub-est2025.csv", "csv", 2025)
    (between,) = ask(years=[2012], geographies=["place"], settings=SETTINGS)
    assert between.url == base + "2010-2020/intercensal/cities/sub-est2020int.csv"
    assert [remote.name for remote in ask(years=[2019, 2020], geographies=["place"], settings=SETTINGS)] == [
        "sub-est2020int.csv",
        "sub-est2025.csv",
    ]


def test_a_decimal_comma_is_not_taken_for_one_between_thousands(tmp_path: Path, scope: Scope) -> None:
    rows = lines()
    at = next(i for i, row in enumerate(rows) if row.startswith("162,01"))
    rows[at] = rows[at].rsplit(",", 1)[0] + ',"2,378"'
    assert residents(read(tmp_path, scope, rows), ABBEVILLE, 2025) == 2378
    rows[at] = rows[at].replace('"2,378"', '"23,78"')
    with pytest.raises(DataError, match="POPESTIMATE2025: 1 cells are no whole numbers of 0 or more: '23,78' in line"):
        read(tmp_path, scope, rows)
