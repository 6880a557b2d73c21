from __future__ import annotations

import hashlib
import shutil
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from wwc_research.errors import DataError
from wwc_research.sources import raw, revisions, vintages
from wwc_research.sources.download import Download
from wwc_research.sources.expectation_draft import draft, draft_diff
from wwc_research.sources.expectations import (
    FILE,
    Expectations,
    Finding,
    Slack,
    check_expectations,
    check_fetched,
    check_shipped,
    check_vintage,
    load_expectations,
    parse_expectations,
)
from wwc_research.sources.tables import Table, csv_bytes, manifest_text

Plant = Callable[[pd.DataFrame], pd.DataFrame]


@pytest.fixture(scope="module")
def expected() -> Expectations:
    return load_expectations()


@pytest.fixture(scope="module")
def frames(raw_dir: Path) -> dict[str, pd.DataFrame]:
    return {table.name: raw.read_table(raw_dir, table.name) for table in raw.list_tables(raw_dir)}


def found_in(name: str, frame: pd.DataFrame, expected: Expectations) -> tuple[Finding, ...]:
    return check_expectations({name: frame}, replace(expected, tables={name: expected.tables[name]}))


def at(frame: pd.DataFrame, place_id: str, year: int) -> pd.Series:
    return (frame["place_id"] == place_id) & (frame["year"] == year)


# --- the committed file ----------------------------------------------------------------------------------


def test_the_shipped_tables_are_as_the_committed_file_expects(raw_dir: Path) -> None:
    start = time.process_time()
    tables, findings = check_shipped(raw_dir)
    assert time.process_time() - start < 10
    assert [finding.line for finding in findings] == []
    assert {table.name for table in tables} == set(load_expectations().tables)


def test_the_committed_file_is_what_a_draft_gives_and_the_diff_shows_only_what_moved(
    raw_dir: Path, tmp_path: Path
) -> None:
    other = tmp_path / "expectations.toml"
    other.write_text(FILE.read_text(encoding="utf-8").replace("rows = [2914, 2914]", "rows = [2900, 2900]"))
    changed = [line for line in draft_diff(raw_dir, path=other).splitlines() if line[:1] in "+-"]
    assert changed[2:] == ["-rows = [2900, 2900]", "+rows = [2914, 2914]"]


def test_every_variable_and_column_shipped_has_an_expectation_of_its_own(frames, expected) -> None:
    for name, frame in frames.items():
        columns = {str(c) for c in frame.columns if "__" not in str(c)}
        if expected.tables[name].kind == "observations":
            columns -= {"place_id", "year"}
        assert set(expected.tables[name].variables) == columns


def test_sums_of_parts_are_held_for_the_crosswalks_and_the_air(expected) -> None:
    for name in ("crosswalks/place_county", "crosswalks/puma_place_2010", "epa_aqi/vintage_2026"):
        assert any(relation.rule == "sum" for relation in expected.tables[name].relations), name


# --- planted faults: each rule fires, and says where, what, what was expected, and the way out ------------


def scaled(rows: Callable[[pd.DataFrame], pd.Series], column: str, factor: float) -> Plant:
    return lambda frame: frame.assign(**{column: frame[column].where(~rows(frame), frame[column] * factor)})


def put(place_id: str, year: int, column: str, value: object) -> Plant:
    return lambda frame: frame.assign(**{column: frame[column].mask(at(frame, place_id, year), value)})


BROADBAND = "acs_broadband/one_year"
AIR = "epa_aqi/vintage_2026"
PLANTED: list[tuple[str, str, Plant, str, str, tuple[str, ...]]] = [
    # table, rule, fault, severity, variable, what the message says
    (
        BROADBAND, "bounds", put("2622000", 2017, "broadband_share", 0.02), "error", "broadband_share",
        ("0.02 for 2622000 in 2017", "0.285 to 1", "corrections.toml"),
    ),
    (BROADBAND, "rows", lambda f: f.iloc[:-3], "moved", "", ("2,911 rows", "expected 2,914", "data check --draft")),
    (
        BROADBAND, "key", lambda f: pd.concat([f, f.iloc[[5]]]), "error", "",
        ("1 row repeats a key of place_id and year", "0103076 2022"),
    ),
    (
        BROADBAND, "places",
        lambda f: f.assign(broadband_share=f["broadband_share"].mask((f["year"] == 2019) & (f["place_id"] < "06"))),
        "moved", "broadband_share", ("coverage of broadband_share in 2019", "places with a value; expected 471 to 491"),
    ),
    (
        BROADBAND, "places", lambda f: f.assign(year=f["year"].replace(2021, 2020)), "moved", "broadband_share",
        ("479 places have broadband_share in 2020, a year that is not expected",),
    ),
    (
        BROADBAND, "missing_share", lambda f: f.assign(
            broadband_share=f["broadband_share"].where(f.index % 3 > 0), broadband_share__flag="not_published"
        ),
        "moved", "broadband_share", ("have no value", "expected at most"),
    ),
    (
        BROADBAND, "flags", put("2622000", 2017, "broadband_share__flag", "quality_3"), "error", "broadband_share",
        ("1 × broadband_share with the flag quality_3", "not expected"),
    ),
    (
        "urban_mobility/schooling", "flags", lambda f: f.assign(hs_degree_share__flag="quality_2"), "moved",
        "hs_degree_share", ("2,430 of 2,430", "100.0%"),
    ),
    (
        BROADBAND, "std_errors", put("2622000", 2017, "broadband_share__se", 0.4), "error", "broadband_share",
        ("0.4 for 2622000 in 2017",),
    ),
    (
        BROADBAND, "std_error_share", lambda f: f.assign(broadband_share__se=np.nan), "moved", "broadband_share",
        ("0.0% of the figures",),
    ),
    (
        "bls_laus/annual_averages", "std_errors", lambda f: f.assign(unemployment_share__se=0.01), "moved",
        "unemployment_share", ("where none is expected",),
    ),
    (
        AIR, "medians", lambda f: f.assign(aqi_median_index=f["aqi_median_index"] + 10), "moved", "aqi_median_index",
        ("the median of aqi_median_index in 2019 is",),
    ),
    (
        AIR, "shift", lambda f: f.assign(aqi_good_share=f["aqi_good_share"] - 0.15 * (f["year"] >= 2022)), "moved",
        "aqi_good_share", ("the median place changes aqi_good_share by", "in 2022", "definition, vintage or unit"),
    ),
    (
        "census_population/estimates_2019", "change",
        scaled(lambda f: (f["year"] == 2015) & (f["place_id"].str[-1] == "0"), "population_count", 1.5), "moved",
        "population_count", ("99 % of places change population_count by up to", "of the earlier figure in 2015"),
    ),
    (
        AIR, "sum", put("01051", 2019, "aqi_over_100_share", 0.2), "error", "aqi_good_share, aqi_over_100_share",
        ("1.11228 for 01051 2019", "parts of the days with an index"),
    ),
    (
        AIR, "sum", put("01051", 2019, "aqi_days_count", 380), "error", "aqi_days_count",
        ("380 for 01051 2019", "a year has no more days"),
    ),
    (
        "crosswalks/place_county", "sum", lambda f: f.drop(index=f.index[f["county_share"] < 0.999][0]), "error",
        "county_share", ("0.9999 to 1.0001", "hold all its residents"),
    ),
    (
        "crosswalks/puma_place_2020", "sum", lambda f: f.assign(puma_share=f["puma_share"].clip(upper=1) * 1.2),
        "error", "puma_share", ("0 to 1.001", "at most all its residents"),
    ),
    (
        "acs_demographics/one_year", "sum", put("0107000", 2010, "white_share", 0.9), "error",
        "asian_share, black_share, white_share", ("1.65458 for 0107000 2010",),
    ),
    (
        "urban_mobility/income", "ascending", put("0103076", 2014, "income_p50_usd", 95000), "error",
        "income_p20_usd, income_p50_usd, income_p80_usd", ("0103076 2014", "no smaller income"),
    ),
    (
        "youth_neet_county/peers", "mean_of", put("01073", 2005, "youth_neet_share", 0.25), "error",
        "youth_neet_share", ("0.25 for 01073 2005", "youth_neet_female_share and youth_neet_male_share"),
    ),
    (
        "youth_neet_puma/pumas_2021", "ratio", put("P0100100", 2021, "youth_neet_share", 0.2), "error",
        "youth_neet_share", ("0.2 for P0100100 2021", "youth_neet_count over youth_population_count"),
    ),
    (
        "crosswalks/puma_place_2020", "length", lambda f: f.assign(place_id=f["place_id"].str.lstrip("0")), "error",
        "place_id", ("without 7 characters", "'137000' in row 2", "leading zeros"),
    ),
    (
        "certification/events", "words", lambda f: f.assign(level=f["level"].replace("gold", "Gold")), "error", "level",
        ("'Gold' in row", "gold, platinum and silver"),
    ),
    (
        "certification/events", "blank_share", lambda f: f.assign(announced_on=""), "moved", "announced_on",
        ("158 of 158 cells of announced_on are empty",),
    ),
    (
        "gazetteer/universe", "bounds", lambda f: f.assign(latitude=f["latitude"].mask(f.index == 4, 139.0)), "error",
        "latitude", ("139 in row 6",),
    ),
    (BROADBAND, "variables", lambda f: f.assign(fibre_share=0.5), "error", "fibre_share", ("no expectation",)),
    (
        BROADBAND, "variables", lambda f: f.drop(columns=["broadband_share", "broadband_share__se"]), "error",
        "broadband_share", ("expected and absent",),
    ),
    (
        "gazetteer/counties", "variables", lambda f: f.assign(area=1), "error", "area", ("no expectation for area",),
    ),
]  # fmt: skip


@pytest.mark.parametrize(
    ("table", "rule", "plant", "severity", "variable", "said"),
    PLANTED,
    ids=[f"{entry[1]}-{entry[0]}-{number}" for number, entry in enumerate(PLANTED)],
)
def test_a_planted_fault_is_found_and_named(
    table: str, rule: str, plant: Plant, severity: str, variable: str, said: tuple[str, ...], frames, expected
) -> None:
    findings = found_in(table, plant(frames[table]), expected)
    of_rule = [item for item in findings if item.rule == rule and item.variable == variable]
    assert of_rule, [item.line for item in findings]
    assert of_rule[0].severity == severity
    assert of_rule[0].table == table
    for text in said:
        assert text in of_rule[0].text


def test_every_fault_is_told_at_once_errors_first(frames, expected) -> None:
    bad = frames[BROADBAND].iloc[:-40]
    bad = put("2622000", 2017, "broadband_share", 0.02)(bad).assign(odd_share=0.1)
    some = {name: expected.tables[name] for name in (BROADBAND, "gazetteer/counties")}
    findings = check_expectations({BROADBAND: bad, "new/table": bad}, replace(expected, tables=some))
    assert {item.rule for item in findings} >= {"bounds", "rows", "variables", "tables"}
    assert {item.table for item in findings} == {BROADBAND, "new/table", "gazetteer/counties"}
    severities = [item.severity for item in findings]
    assert severities == sorted(severities)


def test_a_table_without_rows_is_findings_and_no_traceback(frames, expected) -> None:
    for name in (BROADBAND, AIR, "crosswalks/place_county", "youth_neet_county/peers"):
        findings = found_in(name, frames[name].iloc[:0], expected)
        assert "rows" in {item.rule for item in findings}


# --- reading the file ------------------------------------------------------------------------------------


def test_every_wrong_line_of_the_file_is_named_in_one_error() -> None:
    text = """
        [surplus]
        [tables."a/b"]
        kind = "observation"
        [tables."c/d"]
        kind = "observations"
        [tables."c/d".variables.x_share]
        bounds = [1, 0]
        limits = [0, 1]
        [tables."c/d".variables.y_share.places]
        first = [1, 2]
        [[tables."c/d".relations]]
        rule = "sum"
        of = ["z_share"]
        because = "so"
    """
    with pytest.raises(DataError) as error:
        parse_expectations(text, file="expectations.toml")
    for words in ("surplus", "kind = 'observation'", "'limits'", "places.first", "z_share", "lacks `within`"):
        assert words in str(error.value)


@pytest.mark.parametrize("text", ["tables = ]", "[tables"])
def test_a_file_that_is_no_toml_is_a_clear_error(text: str) -> None:
    with pytest.raises(DataError, match="cannot be read as TOML"):
        parse_expectations(text, file="expectations.toml")


# --- drafting --------------------------------------------------------------------------------------------


def test_a_draft_fits_its_tables_whatever_the_slack_and_keeps_what_was_written_by_hand(
    raw_dir: Path, frames, expected: Expectations
) -> None:
    narrow = Slack(bounds=0.0, medians=0.0, change=0.0, places=0.0, shares=0.0, revision=0.0)
    own = parse_expectations("[fetched.fars.variables.traffic_deaths_per_100k]\nbounds = [0, 80]\n", file="x").fetched
    laus = expected.tables["bls_laus/annual_averages"]
    by_hand = {**laus.variables, "unemployment_share": replace(laus.variables["unemployment_share"], revision=0.004)}
    tables = {**expected.tables, "bls_laus/annual_averages": replace(laus, variables=by_hand)}
    made = parse_expectations(
        draft(raw_dir, present=Expectations(tables=tables, fetched=own, slack=narrow)), file="draft"
    )
    assert [item.line for item in check_expectations(frames, made)] == []
    assert made.tables[BROADBAND].variables["broadband_share"].places["2016"] == [480, 480]
    assert made.slack == narrow
    assert made.fetched == own
    assert made.tables["bls_laus/annual_averages"].variables["unemployment_share"].revision == 0.004
    assert made.tables[AIR].relations == expected.tables[AIR].relations


def test_revisions_are_expected_where_two_shipped_vintages_overlap_and_none_of_a_rescored_series(expected) -> None:
    air = expected.of_source("epa_aqi").variables
    assert air["aqi_over_100_share"].revision == 0
    assert air["aqi_good_share"].revision is None
    assert expected.of_source("census_population").variables["population_count"].revision == pytest.approx(0.0206)


# --- fetched vintages ------------------------------------------------------------------------------------


def fetched(data_dir: Path, frame: pd.DataFrame, *, name: str, at: str, source: str = "epa_aqi") -> None:
    """A vintage as `fetch` leaves it, with one table `counties`."""
    folder = data_dir / "fetched" / source / name
    (folder / "files").mkdir(parents=True)
    content = csv_bytes(frame)
    (folder / "counties.csv").write_bytes(content)
    (folder / "files" / "a.zip").write_bytes(b"PK")
    blank = dict.fromkeys(("title", "publisher", "series", "licence", "geography", "url", "obtained"), "test")
    table = Table(
        name=f"{source}/counties", path="counties.csv", kind="observations", sha256=hashlib.sha256(content).hexdigest(),
        rows=len(frame), key=("place_id", "year"), vintage=name, retrieved=at[:10], years=(2019, 2025), **blank,
    )  # fmt: skip
    got = Download(name="a.zip", url="https://example.org/a.zip", sha256="0" * 64, bytes=2, retrieved_at=at)
    vintages.write_downloads(folder, source=source, downloads=[got], years=[2019], geographies=["county"])
    vintages.write_manifest(folder, tables=[table], definitions={})


@pytest.fixture
def data_dir(raw_dir: Path, tmp_path: Path) -> Path:
    (tmp_path / "raw").symlink_to(raw_dir, target_is_directory=True)
    return tmp_path


def test_a_fetched_vintage_like_the_shipped_one_raises_nothing(data_dir: Path, frames) -> None:
    fetched(data_dir, frames[AIR], name="2026-11-23", at="2026-11-23T10:00:00Z")
    assert [item.line for item in check_fetched(data_dir)] == []


def test_what_moved_since_the_vintage_before_is_told(data_dir: Path, frames) -> None:
    air = frames[AIR]
    fetched(data_dir, air, name="2026-11-23", at="2026-11-23T10:00:00Z")
    gone = air["place_id"].isin(air["place_id"].unique()[:15]) & (air["year"] == 2023)
    later = air[~gone]
    later = later.assign(aqi_good_share=(later["aqi_good_share"] - 0.05).clip(lower=0))
    fetched(data_dir, later, name="2027-06-30", at="2027-06-30T10:00:00Z")
    findings = check_fetched(data_dir)
    lines = [item.line for item in findings]
    assert {item.severity for item in findings} == {"moved"}
    assert any(
        "coverage of aqi_over_100_share in 2023: 480 → " in line and "since epa_aqi@2026-11-23" in line
        for line in lines
    ), lines
    assert any("aqi_good_share 2019: re-scored" in line and "epa_aqi@2027-06-30" in line for line in lines)
    assert not any("aqi_over_100_share" in line and "re-scored" in line for line in lines)


def test_revisions_beyond_what_is_expected_are_told_and_smaller_ones_are_not(data_dir: Path, frames) -> None:
    towns = frames["census_population/yearly"]
    towns = towns[towns["year"] == 2019]
    signs = np.where(np.arange(len(towns)) % 2, 1, -1)
    for name, size, told in (("a", 0.01, False), ("b", 0.05, True)):
        folder = data_dir / name
        folder.mkdir()
        (folder / "raw").symlink_to(data_dir / "raw", target_is_directory=True)
        moved = towns.assign(population_count=(towns["population_count"] * (1 + size * signs)).round())
        fetched(folder, moved, name="2026-11-23", at="2026-11-23T10:00:00Z", source="census_population")
        findings = [item for item in check_fetched(folder) if item.rule == "revision"]
        assert [item.variable for item in findings] == (["population_count"] if told else [])
        assert not told or "expected within 0.0206" in findings[0].text


def test_new_years_and_mild_excess_move_and_a_wrong_unit_is_an_error(data_dir: Path, frames, expected) -> None:
    money = frames["acs_income/one_year"]
    money = money[money["year"] == 2023].assign(year=2024)
    at_time = "2026-11-23T10:00:00Z"
    fetched(data_dir, money.assign(median_income_usd=money["median_income_usd"] * 1.5), name="mild", at=at_time,
            source="acs_income")  # fmt: skip
    fetched(data_dir, money.assign(median_income_usd=money["median_income_usd"] * 100), name="cents", at=at_time,
            source="acs_income")  # fmt: skip
    severities = {}
    for vintage in revisions.held_vintages(data_dir):
        if vintage.origin == "fetched":
            findings = check_vintage(vintage, expectations=expected)
            severities[vintage.vintage] = {item.severity for item in findings if item.rule == "bounds"}
            assert not any("not expected" in item.text for item in findings if item.rule == "places")
    assert severities == {"mild": {"moved"}, "cents": {"error"}}


def test_a_fetched_variable_nobody_expects_is_told_until_a_draft_has_it(data_dir: Path, frames, expected) -> None:
    frame = frames[AIR][["place_id", "year"]].assign(traffic_deaths_per_100k=np.linspace(2, 30, len(frames[AIR])))
    fetched(data_dir, frame, name="2026-11-23", at="2026-11-23T10:00:00Z", source="fars")
    first = check_fetched(data_dir, expectations=expected)
    assert [(item.severity, item.rule) for item in first] == [("moved", "variables")]
    assert "no expectation for traffic_deaths_per_100k" in first[0].text
    small = data_dir / "small"
    shutil.copytree(data_dir / "raw" / "open_data_policy", small / "open_data_policy")
    kept = [table for table in raw.list_tables(data_dir / "raw") if table.source == "open_data_policy"]
    (small / "manifest.toml").write_text(manifest_text(kept), encoding="utf-8")
    made = draft(small, present=expected, fetched_dir=data_dir / "fetched")
    assert "[fetched.fars.variables.traffic_deaths_per_100k]" in made
    own = replace(expected, fetched=parse_expectations(made, file="draft").fetched)
    assert [item.line for item in check_fetched(data_dir, expectations=own)] == []
