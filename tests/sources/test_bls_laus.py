"""County unemployment from the publisher's workbooks and its flat file, whole and damaged.

The rows of Autauga County are the publisher's (laucnty09 of 19 March 2021, laucnty22 of 21 April 2023); all others are
made up in the publisher's layouts, one county a state.
"""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import openpyxl
import pandas as pd
import pytest

from wwc_research.errors import DataError, InputError
from wwc_research.sources import bls_laus, raw
from wwc_research.sources.observations import Reading, validate
from wwc_research.sources.places import STATE_OF_CODE, Places, Scope
from wwc_research.sources.tables import csv_bytes, to_wide

SETTINGS = raw.load_sources()["bls_laus"]["fetch"]
AUTAUGA = {2009: (24660, 22464, 2196, 8.9), 2022: (26789, 26181, 608, 2.3)}
REGIONS = [("09", f"09{number}", f"Region {number} Planning Region") for number in (110, 120)]
ONE_LINE = [
    "LAUS Code",
    "State FIPS Code",
    "County FIPS Code",
    "County Name/State Abbreviation",
    "Year",
    "Labor Force",
    "Employed",
    "Unemployed",
    "Unemployment Rate (%)",
]
Row = list[Any]


def counties(year: int) -> list[Row]:
    rows = []
    for state, postal in STATE_OF_CODE.items():
        force = 1000 + int(state)
        figures = (force, force - 50, 50, round(5000 / force, 1))
        if state == "01":
            figures = AUTAUGA.get(year, figures)
        rows.append([f"CN{state}00100000000", state, "001", f"First County, {postal}", str(year), *figures])
    return rows


def one_line(year: int) -> list[Row]:
    """The layout since 2024: a title, one line of heads, the rows, a line with the source."""
    title = [f"Labor force data by county, {year} annual averages", *[None] * 8]
    return [title, list(ONE_LINE), *counties(year), [None] * 9, ["SOURCE: BLS, LAUS, April 18, 2025", *[None] * 8]]


def three_lines(year: int) -> list[Row]:
    """The layout to 2024: heads over three lines, an empty column before the labour force."""
    blank: Row = [None] * 10
    head = [
        [None, "State", "County", None, None, None, None, None, None, "Unemploy-"],
        ["LAUS", "FIPS", "FIPS", None, None, None, "Labor", None, None, "ment Rate"],
        [
            "Code",
            "Code",
            "Code",
            "County Name/State Abbreviation",
            "Year",
            None,
            "Force",
            "Employed",
            "Unemployed",
            "(%)",
        ],
    ]
    rows = [[*row[:5], None, *row[5:]] for row in counties(year)]
    end = [["SOURCE:  BLS, LAUS", *[None] * 9], ["March 19, 2021", *[None] * 9]]
    return [
        [f"Labor Force Data by County, {year} Annual Averages", *[None] * 9],
        blank,
        *head,
        blank,
        *rows,
        blank,
        *end,
    ]


@pytest.fixture
def scope() -> Scope:
    names = pd.DataFrame(
        [("0103076", "Auburn city", "AL", True, "")], columns=["place_id", "name", "state", "in_universe", "aliases"]
    )
    known = pd.DataFrame(
        [(f"{code}001", "First County", postal) for code, postal in STATE_OF_CODE.items()]
        + [(region, name, "CT") for _, region, name in REGIONS],
        columns=["county_id", "name", "state"],
    )
    settings = raw.load_sources()["bls_laus"]["settings"]
    return Scope(places=Places(names, known), counties=frozenset({"01001", "09001", "36001"}), settings=settings)


@pytest.fixture(autouse=True)
def _small_country(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bls_laus, "LEAST_COUNTIES", 51)


def read_rows(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, scope: Scope, books: dict[str, list[Row]]) -> Reading:
    """What the reader makes of these cells, without the cost of writing workbooks."""
    for name in books:
        (tmp_path / name).touch()
    monkeypatch.setattr(bls_laus, "sheet_rows", lambda path: [tuple(row) for row in books[path.name]])
    return bls_laus.read_fetched(tmp_path, scope=scope, vintage="v", settings=SETTINGS, raw_dir=tmp_path)


def write_book(path: Path, rows: list[Row]) -> None:
    book = openpyxl.Workbook(write_only=True)
    sheet = book.create_sheet(path.stem)
    for row in rows:
        sheet.append(row)
    book.save(path)


def figure(reading: Reading, county: str, year: int, variable: str = "unemployment_share") -> pd.Series:
    frame = reading.observations["annual_averages"]
    found = frame[(frame["place_id"] == county) & (frame["year"] == year) & (frame["variable"] == variable)]
    assert len(found) == 1
    return found.iloc[0]


# --- the publisher's own files ---------------------------------------------------------------------------


@pytest.mark.shared
def test_the_publishers_workbooks_give_the_shipped_figures(
    publishers_dir: Path, raw_dir: Path, places: Places, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.undo()
    walk = raw.read_table(raw_dir, "crosswalks/place_county")
    counties = frozenset(walk.loc[walk["county_kind"] == "county", "county_id"])
    for name in ("laucnty09.xlsx", "laucnty20.xlsx"):
        shutil.copy(publishers_dir / "bls_laus" / name, tmp_path / name)
    reading = bls_laus.read_fetched(
        tmp_path, scope=Scope(places=places, counties=counties), vintage="v", settings=SETTINGS, raw_dir=raw_dir
    )
    shipped = raw.read_table(raw_dir, "bls_laus/annual_averages")
    shipped = shipped[shipped["year"].isin([2009, 2020])]
    assert csv_bytes(to_wide(reading.observations["annual_averages"])) == csv_bytes(shipped)
    releases = reading.tables["releases"]
    assert list(releases["released"]) == ["2021-03-19", "2023-04-21"]
    assert list(releases["rows"]) == [3217, 3220]
    assert "a common release of 2009" in set(reading.left_out["item"])
    validate(reading.observations["annual_averages"], where="read")


def test_a_workbook_on_the_disk_gives_the_published_figures(tmp_path: Path, scope: Scope) -> None:
    write_book(tmp_path / "laucnty22.xlsx", one_line(2022))
    reading = bls_laus.read_fetched(tmp_path, scope=scope, vintage="2026-11-23", settings=SETTINGS, raw_dir=tmp_path)
    found = figure(reading, "01001", 2022)
    assert found["value"] == pytest.approx(608 / 26789, abs=5e-7)
    assert (found["source"], found["vintage"], found["flag"]) == ("bls_laus", "2026-11-23", "")
    assert figure(reading, "01001", 2022, "labor_force_count")["value"] == 26789
    assert reading.tables["releases"].to_dict("records") == [
        {"year": 2022, "file": "laucnty22.xlsx", "released": "2025-04-18", "rows": 51}
    ]


def test_both_layouts_give_the_same_figures(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, scope: Scope) -> None:
    old = read_rows(tmp_path, monkeypatch, scope, {"laucnty09.xlsx": three_lines(2009)})
    new = read_rows(tmp_path, monkeypatch, scope, {"laucnty09.xlsx": one_line(2009)})
    pd.testing.assert_frame_equal(old.observations["annual_averages"], new.observations["annual_averages"])
    assert figure(old, "01001", 2009)["value"] == pytest.approx(2196 / 24660, abs=5e-7)
    assert list(old.tables["releases"]["released"]) == ["2021-03-19"]


def test_columns_are_found_by_their_heads_wherever_they_stand(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, scope: Scope
) -> None:
    plain = read_rows(tmp_path, monkeypatch, scope, {"laucnty22.xlsx": one_line(2022)})
    rows = [[row[4], *row[:4], row[7], "new", *row[5:7], row[8]] if row[1] else row for row in one_line(2022)]
    rows[1][6] = "Participation Rate"
    moved = read_rows(tmp_path, monkeypatch, scope, {"laucnty22.xlsx": rows})
    pd.testing.assert_frame_equal(plain.observations["annual_averages"], moved.observations["annual_averages"])


# --- what is missing, and why ----------------------------------------------------------------------------


def test_a_figure_that_is_not_available_keeps_a_flag(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, scope: Scope
) -> None:
    rows = one_line(2020)
    rows[2][5:] = ["N.A."] * 4
    found = figure(read_rows(tmp_path, monkeypatch, scope, {"laucnty20.xlsx": rows}), "01001", 2020)
    assert pd.isna(found["value"])
    assert found["flag"] == "not_available"


def test_an_average_of_eleven_months_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, scope: Scope) -> None:
    books = {"laucnty24.xlsx": one_line(2024), "laucnty25.xlsx": one_line(2025)}
    reading = read_rows(tmp_path, monkeypatch, scope, books)
    assert figure(reading, "36001", 2024)["flag"] == ""
    assert figure(reading, "36001", 2025)["flag"] == "partial_year"
    assert figure(reading, "36001", 2025)["value"] > 0


def test_planning_regions_take_the_place_of_connecticuts_counties_and_that_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, scope: Scope
) -> None:
    rows = [row for row in one_line(2022) if row[1] != "09"]
    rows[2:2] = [
        [f"CN{region}00000000", state, region[2:], f"{name}, CT", "2022", 1000, 940, 60, 6.0]
        for state, region, name in REGIONS
    ]
    reading = read_rows(tmp_path, monkeypatch, scope, {"laucnty22.xlsx": rows})
    assert figure(reading, "09110", 2022)["value"] == 0.06
    told = reading.left_out.set_index("item").loc["county 09001"]
    assert "planning regions have taken its place" in told["reason"]
    assert told["rows"] == 1


def test_a_county_that_a_year_lacks_is_listed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, scope: Scope) -> None:
    monkeypatch.setattr(bls_laus, "LEAST_COUNTIES", 50)
    rows = one_line(2022)
    rows[2][:3] = ["CN0100300000000", "01", "003"]
    reading = read_rows(tmp_path, monkeypatch, scope, {"laucnty22.xlsx": rows, "laucnty23.xlsx": one_line(2023)})
    told = reading.left_out.set_index("item").loc["county 01001"]
    assert told["reason"] == "the file has no row in 2022"


# --- damage ----------------------------------------------------------------------------------------------


def cell(rows: list[Row], row: int, column: int, value: Any) -> None:
    rows[row][column] = value


DAMAGE = {
    "another year inside": (
        lambda rows: cell(rows, 5, 4, "2021"),
        r"laucnty22\.xlsx: 1 rows are of year 2021; the file's name says 2022",
    ),
    "a county twice": (
        lambda rows: rows.insert(3, list(rows[2])),
        r"laucnty22\.xlsx: counties 01001 occur more than once",
    ),
    "counts that do not give the rate": (
        lambda rows: cell(rows, 2, 8, 9.9),
        r"01001 in 2022: counts give 0\.0227, the published rate is 9\.9",
    ),
    "columns that are swapped under their heads": (
        lambda rows: [row.__setitem__(slice(5, 8), [row[5], row[7], row[6]]) for row in rows[2:53]],
        r"counts give 0\.9773, the published rate is 2\.3[\s\S]*more rows where counts and rate disagree",
    ),
    "a renamed column": (
        lambda rows: cell(rows, 1, 7, "Jobless"),
        r"columns for unemployed are missing.*found LAUS Code.*Jobless.*expected LAUS Code.*Unemployed",
    ),
    "a column twice": (lambda rows: cell(rows, 1, 6, "Labor Force"), r"columns for labor_force are missing, twice"),
    "no heads": (lambda rows: rows.__delitem__(1), r"columns for laus, .* found no heads"),
    "words where a number belongs": (
        lambda rows: cell(rows, 4, 5, "see note"),
        r"labor_force: 1 cells are neither a number nor N\.A\.: 'see note' in row 5",
    ),
    "a negative number": (lambda rows: cell(rows, 4, 7, -3), r"unemployed: 1 cells are neither .*'-3' in row 5"),
    "a code that is another county's": (
        lambda rows: cell(rows, 3, 2, "013"),
        r"1 LAUS codes are damaged or differ from the state and county beside them: 'CN0200100000000' with '02' and",
    ),
    "states cut off": (
        lambda rows: rows.__delitem__(slice(40, 53)),
        r"38 county rows; a national file has more than[\s\S]*no county of .*the file is cut off",
    ),
    "nothing but a title": (lambda rows: rows.__delitem__(slice(1, None)), r"no row has the code of a county"),
}


@pytest.mark.parametrize("name", DAMAGE)
def test_damage_is_a_clear_error_and_never_a_figure(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, scope: Scope
) -> None:
    damage, message = DAMAGE[name]
    rows = one_line(2022)
    damage(rows)
    with pytest.raises(DataError, match=message):
        read_rows(tmp_path, monkeypatch, scope, {"laucnty22.xlsx": rows})


def test_all_damaged_files_are_named_in_one_error(tmp_path: Path, scope: Scope) -> None:
    (tmp_path / "laucnty21.xlsx").write_text("<!DOCTYPE html><html><title>Access Denied</title></html>")
    (tmp_path / "laucnty22.xlsx").write_bytes(b"")
    with pytest.raises(DataError) as caught:
        bls_laus.read_fetched(tmp_path, scope=scope, vintage="v", settings=SETTINGS, raw_dir=tmp_path)
    text = str(caught.value)
    assert "laucnty21.xlsx: this is no Excel workbook; it begins with '<!DOCTYPE html>" in text
    assert "laucnty22.xlsx: this is no Excel workbook; it is empty" in text


@pytest.mark.parametrize("share", [0.02, 0.5, 0.9, 0.99])
def test_a_workbook_that_is_cut_off_is_a_clear_error(share: float, tmp_path: Path, scope: Scope) -> None:
    path = tmp_path / "laucnty22.xlsx"
    write_book(path, one_line(2022))
    content = path.read_bytes()
    path.write_bytes(content[: int(len(content) * share)])
    with pytest.raises(DataError, match=r"laucnty22\.xlsx"):
        bls_laus.read_fetched(tmp_path, scope=scope, vintage="v", settings=SETTINGS, raw_dir=tmp_path)


def test_a_workbook_with_spoilt_bytes_is_a_clear_error(tmp_path: Path, scope: Scope) -> None:
    path = tmp_path / "laucnty22.xlsx"
    write_book(path, one_line(2022))
    content = bytearray(path.read_bytes())
    name = content.index(b"xl/worksheets/sheet1.xml")
    content[name + 40 : name + 400] = b"\xff" * 360
    path.write_bytes(bytes(content))
    with pytest.raises(DataError, match=r"laucnty22\.xlsx"):
        bls_laus.read_fetched(tmp_path, scope=scope, vintage="v", settings=SETTINGS, raw_dir=tmp_path)


def test_a_folder_without_files_is_refused(tmp_path: Path, scope: Scope) -> None:
    with pytest.raises(DataError, match=r"no file laucnty<yy>\.xlsx"):
        bls_laus.read_fetched(tmp_path, scope=scope, vintage="v", settings=SETTINGS, raw_dir=tmp_path)


# --- the flat file ---------------------------------------------------------------------------------------

HEAD = "series_id                     \tyear\tperiod\t       value\tfootnote_codes"


def series_lines(year: int) -> list[str]:
    lines = []
    for row in counties(year):
        code = row[0].removeprefix("CN")
        for measure, value in (("03", row[8]), ("04", row[7]), ("05", row[6]), ("06", row[5])):
            lines.append(f"LAUCN{code}{measure}          \t{year}\tM12\t{value + 1:>12}\t")
            lines.append(f"LAUCN{code}{measure}          \t{year}\tM13\t{value:>12}\t")
    return lines


def read_series(tmp_path: Path, scope: Scope, lines: list[str]) -> Reading:
    (tmp_path / bls_laus.SERIES_FILE).write_text("\n".join(lines) + "\n", encoding="utf-8")
    return bls_laus.read_fetched(tmp_path, scope=scope, vintage="v", settings=SETTINGS, raw_dir=tmp_path)


def test_the_flat_file_gives_the_figures_of_the_workbooks(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, scope: Scope
) -> None:
    books = {"laucnty09.xlsx": three_lines(2009), "laucnty22.xlsx": one_line(2022)}
    by_book = read_rows(tmp_path, monkeypatch, scope, books)
    monkeypatch.setattr(bls_laus, "_PIECE", 100)  # also over the border between two pieces
    lines = [HEAD, *series_lines(2009), *series_lines(2022), *series_lines(1989)]
    by_series = read_series(tmp_path, scope, lines)
    pd.testing.assert_frame_equal(by_book.observations["annual_averages"], by_series.observations["annual_averages"])
    assert list(by_series.tables["releases"]["year"]) == [2009, 2022]


def test_a_dash_in_the_flat_file_is_a_missing_figure_with_a_flag(tmp_path: Path, scope: Scope) -> None:
    lines = [HEAD, *(line.replace(f"{26789:>12}", f"{'-':>12}") for line in series_lines(2022))]
    found = figure(read_series(tmp_path, scope, lines), "01001", 2022)
    assert pd.isna(found["value"])
    assert found["flag"] == "not_available"


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        (["<html><body>Access Denied</body></html>"], r"columns series_id, .* are missing; found <html>"),
        ([HEAD.replace("value", "amount"), *series_lines(2022)], r"columns value are missing; found series_id"),
        ([HEAD, *series_lines(2022), *series_lines(2022)[1:2]], r"1 figures occur more than once: 01001 2022 measure"),
        ([HEAD, *(x for x in series_lines(2022) if x[18:20] != "04")], r"no series of measure 04"),
        ([HEAD, *(x for x in series_lines(2022) if "M12" in x)], r"no annual average"),
        ([HEAD, *series_lines(2022)[:200]], r"2022: 25 county rows; a national file"),
        ([HEAD, *series_lines(2022), "LAUCN010030000000006\t2022\tM13\tx y\t"], r"value: 1 cells .*'x y' in row 410"),
        ([HEAD, *series_lines(2022), "LAUCN01\t2022\tM13\t1\t\t\t"], r"cannot be read as tab-separated text"),
        ([HEAD, *series_lines(2022), "LAUCN01003O000000006\t2022\tM13\t9\t"], r"series_id: 1 cells .*in line 410"),
        ([HEAD, *series_lines(2022), "LAUCN010030000000006\t2O22\tM13\t9\t"], r"year: 1 cells .*'2O22' in line 410"),
        ([HEAD, *series_lines(2022), "LAUCN010030000000006\t2022.5\tM13\t9\t"], r"year: 1 cells .*'2022.5' in"),
    ],
)
def test_damage_of_the_flat_file_is_a_clear_error(lines: list[str], message: str, tmp_path: Path, scope: Scope) -> None:
    with pytest.raises(DataError, match=message):
        read_series(tmp_path, scope, lines)


def test_a_measure_without_a_row_is_named_as_left_out(tmp_path: Path, scope: Scope) -> None:
    lost = "LAUCN010010000000004"
    rest = read_series(tmp_path, scope, [HEAD, *(x for x in series_lines(2022) if not x.startswith(lost))]).left_out
    (entry,) = rest[rest["item"] == "county 01001"].itertuples()
    assert entry.reason == "the file has no row of measure 04 (unemployed)"
    assert entry.rows == 1


def test_a_decimal_comma_in_a_workbook_is_an_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, scope: Scope
) -> None:
    rows = one_line(2022)
    rows[3][5] = "10,02"  # 1,002 people in the publisher's figures
    with pytest.raises(DataError, match=r"labor_force: 1 cells are neither a number nor N.A.: '10,02' in row 4"):
        read_rows(tmp_path, monkeypatch, scope, {"laucnty22.xlsx": rows})


# --- what is asked for -----------------------------------------------------------------------------------


def test_one_workbook_a_year_is_asked_for_and_the_flat_file_only_where_it_is_wanted() -> None:
    found = bls_laus.remotes(years=[2022, 2009, 1999], geographies=["county"], settings=SETTINGS)
    assert [(remote.name, remote.year, remote.kind) for remote in found] == [
        ("laucnty99.xlsx", 1999, "xlsx"),
        ("laucnty09.xlsx", 2009, "xlsx"),
        ("laucnty22.xlsx", 2022, "xlsx"),
    ]
    assert found[1].url == "https://www.bls.gov/lau/laucnty09.xlsx"
    (series,) = bls_laus.remotes(years=[2022], geographies=["county_series"], settings=SETTINGS)
    assert series.url == "https://download.bls.gov/pub/time.series/la/la.data.64.County"
    assert series.name == bls_laus.SERIES_FILE
    with pytest.raises(InputError, match="two roads to the same figures"):
        bls_laus.remotes(years=[2022], geographies=["county", "county_series"], settings=SETTINGS)
