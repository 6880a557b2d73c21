"""ACS tables by both roads. Figures marked real are the Census Bureau's; all others are made up for the test."""

from __future__ import annotations

import json
import math
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from tests.sources.publisher_server import PublisherServer, nothing, wants_key
from wwc_research.errors import DataError, Faults, InputError
from wwc_research.sources import acs_five_year, acs_one_year, raw
from wwc_research.sources.acs_cells import named_columns, read_cells
from wwc_research.sources.acs_definitions import definitions, parse
from wwc_research.sources.acs_geographies import puma_decade
from wwc_research.sources.acs_margins import proportion_margin, ratio_margin, std_error, sum_margin
from wwc_research.sources.acs_tables import share_figure
from wwc_research.sources.download import Client
from wwc_research.sources.observations import Reading, validate
from wwc_research.sources.places import STATE_CODE, Places, Scope

SETTINGS = {name: raw.load_sources()[name]["fetch"] for name in ("acs_one_year", "acs_five_year")}
SEATTLE, SPOKANE, TACOMA, AUSTIN = "5363000", "5367000", "5370000", "4805000"
# B28003: total, with computer, dial-up, broadband, no subscription, no computer
BROADBAND = {1: (1000, 50), 2: (900, 48), 3: (10, 6), 4: (850, 47), 5: (40, 12), 6: (100, 20)}


@pytest.fixture(scope="module")
def scope() -> Scope:
    names = pd.DataFrame(
        [(SEATTLE, "Seattle city", "WA"), (SPOKANE, "Spokane city", "WA"), (TACOMA, "Tacoma city", "WA"),
         (AUSTIN, "Austin city", "TX")],
        columns=["place_id", "name", "state"],
    ).assign(in_universe=True, aliases="")  # fmt: skip
    counties = pd.DataFrame([("53033", "King County", "WA")], columns=["county_id", "name", "state"])
    return Scope(places=Places(names, counties), counties=frozenset({"53033", "09001"}))


def row(lines: Mapping[int, tuple[object, object]], *, group: str) -> dict[int, tuple[str, str]]:
    """Text of estimate and margin for every line of a table; 0 and 9 where nothing is given."""
    count = definitions().groups[group].lines
    return {n: (str(lines.get(n, (0, 9))[0]), str(lines.get(n, (0, 9))[1])) for n in range(1, count + 1)}


def summary_text(group: str, rows: Mapping[str, Mapping[int, tuple[object, object]]]) -> str:
    count = definitions().groups[group].lines
    lines = ["|".join(["GEO_ID", *(f"{group}_{kind}{n:03d}" for n in range(1, count + 1) for kind in "EM")])]
    for geo_id, values in rows.items():
        cells = [cell for pair in row(values, group=group).values() for cell in pair]
        lines.append("|".join([geo_id, *cells]))
    return "\n".join(lines) + "\n"


def api_rows(group: str, rows: Mapping[str, Mapping[int, tuple[object, object]]]) -> list[list[str | None]]:
    count = definitions().groups[group].lines
    kinds = ("E", "EA", "M", "MA")
    header: list[str | None] = [f"{group}_{n:03d}{kind}" for n in range(1, count + 1) for kind in kinds]
    table = [[*header, "GEO_ID", "NAME", "state", "place"]]
    for geo_id, values in rows.items():
        cells: list[str | None] = []
        for estimate, margin in row(values, group=group).values():
            cells += [estimate or None, None, margin or None, None]
        code = geo_id.split("US")[1]
        table.append([*cells, geo_id, "a name", code[:2], code[2:]])
    return table


def write_api(folder: Path, group: str, rows: Mapping[str, Mapping[int, tuple[object, object]]], *, year: int) -> None:
    for state in STATE_CODE.values():
        here = {geo_id: values for geo_id, values in rows.items() if geo_id.split("US")[1][:2] == state}
        text = json.dumps(api_rows(group, here)) if here else ""  # 204: the publisher has no such figures
        (folder / f"acs1-{year}-{group.lower()}-place-{state}.json").write_text(text)


def read(folder: Path, scope: Scope, *, source: str = "acs_one_year") -> Reading:
    module = {"acs_one_year": acs_one_year, "acs_five_year": acs_five_year}[source]
    reading = module.read_fetched(folder, scope=scope, vintage="v", settings=SETTINGS[source], raw_dir=folder)
    for name, table in reading.observations.items():
        validate(table, where=name)
    return reading


def read_one(folder: Path, scope: Scope, *, group: str, values: Mapping[int, tuple[object, object]]) -> pd.DataFrame:
    """Seattle's figures of 2022 from a Summary File with one row."""
    text = summary_text(group, {f"1600000US{SEATTLE}": values})
    (folder / f"acsdt1y2022-{group.lower()}-place.dat").write_text(text)
    return read(folder, scope).observations["places"].set_index("variable")


# --- the Census Bureau's formulas ------------------------------------------------------------------------


def test_the_margin_of_a_sum_is_the_handbooks() -> None:
    """Real: never-married women of Fairfax, Arlington and Alexandria (handbook 2018, table 8.1): 203,119 ± 5,070."""
    estimates, margins = np.array([[135173, 43104, 24842]]), np.array([[3860.0, 2642.0, 1957.0]])
    assert estimates.sum() == 203119
    assert sum_margin(estimates, margins)[0] == pytest.approx(5070, abs=1)


def test_of_several_zero_estimates_only_the_largest_margin_counts() -> None:
    got = sum_margin(np.array([[40, 0, 0, 0]]), np.array([[3.0, 12.0, 4.0, 5.0]]))
    assert got[0] == pytest.approx(math.sqrt(9 + 144))
    assert np.isnan(sum_margin(np.array([[40, 0]]), np.array([[3.0, np.nan]]))[0])
    assert np.isnan(sum_margin(np.array([[40, 10]]), np.array([[3.0, np.nan]]))[0])


def test_the_margin_of_a_proportion_is_the_handbooks() -> None:
    """Real: 203,119 ± 5,070 of 630,498 ± 831 women is 0.322 ± 0.008; 4,634 ± 989 of 31,713 ± 601 is 0.146 ± 0.031."""
    got = proportion_margin(
        np.array([203119.0, 4634.0]),
        np.array([630498.0, 31713.0]),
        numerator_margin=np.array([5070.0, 989.0]),
        denominator_margin=np.array([831.0, 601.0]),
    )
    # 5070² − 0.32216² · 831² = 25,633,231, its root 5062.9; 989² − 0.14612² · 601² = 970,409, its root 985.1
    assert got == pytest.approx([5062.93 / 630498, 985.09 / 31713], rel=1e-5)
    assert got.round(3).tolist() == [0.008, 0.031]


def test_where_the_difference_is_negative_the_ratio_formula_takes_over() -> None:
    """Real: the handbook's ratio of 226,840 ± 5,556 men to 203,119 ± 5,070 women is 1.117 ± 0.039."""
    men = ratio_margin(
        np.array([226840.0]),
        np.array([203119.0]),
        numerator_margin=np.array([5556.0]),
        denominator_margin=np.array([5070.0]),
    )
    assert men[0].round(3) == 0.039
    # 10² − 0.9² · 20² < 0, so √(10² + 0.9² · 20²) / 100
    got = proportion_margin(
        np.array([90.0]), np.array([100.0]), numerator_margin=np.array([10.0]), denominator_margin=np.array([20.0])
    )
    assert got[0] == pytest.approx(math.sqrt(424) / 100)


def test_a_margin_is_1645_thousandths_of_a_standard_error() -> None:
    assert std_error(np.array([1645.0, 0.0]))[0] == 1000
    assert np.isnan(std_error(np.array([0.0]))[0])


# --- published rows --------------------------------------------------------------------------------------

# Real: interface, 2005 and 2008, acs1, group(B14005) and group(B15003), for=state, GEO_ID 0400000US01 (Alabama):
# estimate and margin line by line.
ALABAMA_YOUTH = """232429,4713,118489,3475,90568,3541,28448,2656,9250,1427,52870,3396,27921,2712,15541,2134,10118,1748,
1911,725,3512,1283,12380,1833,5289,1172,2828,880,4263,1110,113940,3634,95088,3814,26991,2586,9136,1761,58961,3116,
18852,2235,9259,1439,5197,1173,1777,643,2285,618,9593,1633,2722,896,2633,1005,4238,980"""
ALABAMA_EDUCATION = """3078499,6085,38105,3804,238,270,414,300,1970,781,2362,769,7551,1322,8496,1632,9522,1483,31966,
2707,28891,2550,59347,4046,85855,4813,111115,4773,116282,6129,55421,4232,801711,13395,172377,6953,183411,6675,476087,9264,
210308,7171,439587,10668,170625,6680,41202,2810,25656,2642"""


def published(text: str, *, group: str, name: str) -> pd.Series:
    cells = [cell.strip() for cell in text.replace("\n", "").split(",")]
    header = [f"{group}_{n:03d}{kind}" for n in range(1, len(cells) // 2 + 1) for kind in "EM"] + ["GEO_ID"]
    faults = Faults("published", kind=DataError)
    known = definitions()
    columns = named_columns(header, group=known.groups[group], where="published", faults=faults)
    assert columns is not None
    frame = pd.DataFrame([cells], columns=list(columns.values()), index=["01"], dtype=object)
    entry = known.variables[name]
    files = pd.Series(["published"])
    lines = read_cells(frame, files, group=known.groups[group], known=known, faults=faults)
    faults.raise_if_any()
    return share_figure(entry, lines).loc["01"]


def test_youth_out_of_school_and_work_is_worked_out_by_hand() -> None:
    got = published(ALABAMA_YOUTH, group="B14005", name="youth_16_19_neet_share")
    idle = 1911 + 3512 + 2828 + 4263 + 1777 + 2285 + 2633 + 4238
    assert idle == 23447
    assert got["value"] == pytest.approx(23447 / 232429)
    squares = 725**2 + 1283**2 + 880**2 + 1110**2 + 643**2 + 618**2 + 1005**2 + 980**2
    margin = math.sqrt(squares - (23447 / 232429) ** 2 * 4713**2) / 232429
    assert got["std_error"] == pytest.approx(margin / 1.645)


def test_the_share_with_a_degree_is_the_published_one() -> None:
    """Real: the Census Bureau gives 22.0 % for Alabama in 2008."""
    assert published(ALABAMA_EDUCATION, group="B15003", name="bachelor_share")["value"] == pytest.approx(
        0.21994, abs=5e-6
    )


def test_a_published_median_keeps_its_margin(tmp_path: Path, scope: Scope) -> None:
    """Real: Austin's median household income of 2024 is 91,761 ± 1,634."""
    text = summary_text("B19013", {f"1600000US{AUSTIN}": {1: (91761, 1634)}})
    (tmp_path / "acsdt1y2024-b19013-place.dat").write_text(text)
    got = read(tmp_path, scope).observations["places"].iloc[0]
    assert (got["place_id"], got["year"], got["variable"], got["value"]) == (AUSTIN, 2024, "median_income_usd", 91761)
    assert got["std_error"] == pytest.approx(1634 / 1.645, abs=0.005)


def test_the_shipped_definition_of_broadband_is_the_same(tmp_path: Path, scope: Scope) -> None:
    series = raw.load_sources()["acs_broadband"]["tables"]["one_year"]["series"]
    entry = definitions().variables["broadband_share"]
    assert f"{entry.group}_{entry.numerator[0]:03d} / {entry.group}_{entry.denominator[0]:03d}" in series
    got = read_one(tmp_path, scope, group="B28003", values=BROADBAND)
    assert got.loc["broadband_share", "value"] == 0.85


# --- what is asked for -----------------------------------------------------------------------------------


def ask(years: Sequence[int], geographies: Sequence[str], source: str = "acs_one_year"):
    module = {"acs_one_year": acs_one_year, "acs_five_year": acs_five_year}[source]
    return module.remotes(years=years, geographies=geographies, settings=SETTINGS[source])


def test_the_summary_file_is_one_address_a_table_and_wants_no_key() -> None:
    files = {remote.name: remote for remote in ask([2022], ["county", "place"])}
    assert len(files) == len(definitions().groups) == 9
    one = files["acsdt1y2022-b28003-place-county.dat"]
    assert one.url == (
        "https://www2.census.gov/programs-surveys/acs/summary_file/2022/table-based-SF/data/1YRData/"
        "acsdt1y2022-b28003.dat"
    )
    assert (one.key, one.kind, one.year, one.may_be_empty) == (None, "text", 2022, False)
    early = ask([2019], ["place"], source="acs_five_year")[0]
    assert "/summary_file/2019/prototype/5YRData/acsdt5y2019-" in early.url


def test_the_interface_is_paged_over_states_and_wants_a_key() -> None:
    files = [remote for remote in ask([2016], ["api_place"]) if "b28003" in remote.name]
    assert len(files) == 51
    assert files[0].url == ("https://api.census.gov/data/2016/acs/acs1?get=group(B28003)&for=place:*&in=state:01")
    assert files[0].name == "acs1-2016-b28003-place-01.json"
    assert all(remote.key == ("key", "CENSUS_API_KEY") and remote.may_be_empty for remote in files)
    assert "for=public%20use%20microdata%20area:*&in=state:" in ask([2022], ["api_puma"])[0].url
    counties = [remote for remote in ask([2022], ["api_county"], source="acs_five_year") if "b19013" in remote.name]
    assert [remote.url for remote in counties] == [
        "https://api.census.gov/data/2022/acs/acs5?get=group(B19013)&for=county:*"
    ]


@pytest.mark.parametrize(
    ("years", "geographies", "words"),
    [
        ([2020], ["place"], "no standard 1-year release of 2020"),
        ([2017], ["place"], "Ask for api_place"),
        ([2004], ["api_place"], "2005 to 2025"),
        ([2022], ["city"], "geography city is not offered"),
        ([2022], ["place", "api_place"], "both roads"),
        ([2011], ["api_puma"], "2000 census"),
        ([], ["place"], "at least one year"),
    ],
)
def test_what_was_never_published_is_refused_with_the_way_out(
    years: list[int], geographies: list[str], words: str
) -> None:
    with pytest.raises(InputError, match=words):
        ask(years, geographies)


def test_all_that_is_wrong_with_a_request_is_said_at_once() -> None:
    with pytest.raises(InputError, match="3 faults"):
        ask([2017, 2020], ["place", "city"])


def test_the_five_year_release_of_2020_exists() -> None:
    assert {remote.year for remote in ask([2020], ["place"], source="acs_five_year")} == {2020}


def test_no_internet_table_is_asked_for_before_the_question_changed(tmp_path: Path, scope: Scope) -> None:
    assert not [remote for remote in ask([2015], ["api_place"]) if "b2800" in remote.name]
    (tmp_path / "acs1-2015-b28003-county.json").write_text(json.dumps(api_rows("B28003", {})))
    with pytest.raises(DataError, match=r"no figure is defined of this release of B28003: .* before 2016"):
        read(tmp_path, scope)


def test_figures_left_unmade_for_another_meaning_are_named(tmp_path: Path, scope: Scope) -> None:
    write_api(tmp_path, "B19013", {f"1600000US{SEATTLE}": {1: (70000, 900)}}, year=2015)
    rest = read(tmp_path, scope).left_out
    entry = rest[rest["item"] == "2015 broadband_share"].iloc[0]
    assert "before 2016" in entry["reason"]


def test_a_page_of_the_interface_arrives_with_its_key_and_an_empty_one_is_no_fault(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CENSUS_API_KEY", "abc123")
    pages = {r.name: r for r in ask([2022], ["api_place"]) if "b28003" in r.name}
    full, empty = pages["acs1-2022-b28003-place-53.json"], pages["acs1-2022-b28003-place-50.json"]
    content = json.dumps(api_rows("B28003", {f"1600000US{SEATTLE}": BROADBAND}))
    with PublisherServer() as server, Client(mirror=server.url, per_second=1000) as client:
        server.serve("/data/2022/acs/acs1?get=group(B28003)&for=place:*&in=state:53", wants_key(content, key="abc123"))
        server.serve("/data/2022/acs/acs1?get=group(B28003)&for=place:*&in=state:50", nothing())
        for page in (full, empty):
            client.fetch(page, target=tmp_path / page.name)
    assert (tmp_path / full.name).read_text() == content
    assert (tmp_path / empty.name).read_bytes() == b""


# --- both roads ------------------------------------------------------------------------------------------


def test_both_roads_give_the_same_observations_and_leave_out_the_same(tmp_path: Path, scope: Scope) -> None:
    rows = {
        f"1600000US{SEATTLE}": BROADBAND,
        f"1600000US{SPOKANE}": dict.fromkeys(range(1, 7), ("-999999999", "-999999999")),
        "1600000US5303180": BROADBAND,  # no place of the universe
        f"1600000US{AUSTIN}": {**BROADBAND, 4: (850, "-222222222")},
    }
    by_file, by_api = tmp_path / "file", tmp_path / "api"
    by_file.mkdir()
    by_api.mkdir()
    others = {"0500000US53033": BROADBAND, "1600001US5363000": BROADBAND, "0100000US": BROADBAND}
    (by_file / "acsdt1y2022-b28003-place.dat").write_text(summary_text("B28003", {**others, **rows}))
    write_api(by_api, "B28003", rows, year=2022)
    one, other = read(by_file, scope), read(by_api, scope)
    pd.testing.assert_frame_equal(one.observations["places"], other.observations["places"])
    pd.testing.assert_frame_equal(one.left_out, other.left_out)
    assert one.observations["places"]["flag"].tolist() == ["no_margin", "", "withheld"]


def test_early_files_spell_their_columns_otherwise_and_mean_the_same(tmp_path: Path, scope: Scope) -> None:
    text = summary_text("B28003", {f"1600000US{SEATTLE}": BROADBAND})
    first, rest = text.split("\n", 1)
    early = [name if name == "GEO_ID" else f"B28003_{name[-3:]}{name[7]}" for name in first.split("|")]
    (tmp_path / "acsdt1y2018-b28003-place.dat").write_text(
        "\ufeff#" + "|".join(early) + "\r\n" + rest, encoding="utf-8"
    )
    assert read(tmp_path, scope).observations["places"]["value"].tolist() == [0.85]


def test_five_year_figures_carry_the_window_in_their_names(tmp_path: Path, scope: Scope) -> None:
    text = summary_text("B19013", {f"1600000US{SEATTLE}": {1: (70000, 900)}})
    (tmp_path / "acsdt5y2021-b19013-place.dat").write_text(text)
    (tmp_path / "acsdt5y2021-b28003-place.dat").write_text(summary_text("B28003", {f"1600000US{SEATTLE}": BROADBAND}))
    table = read(tmp_path, scope, source="acs_five_year").observations["places"]
    assert sorted(table["variable"]) == ["broadband_5y_share", "median_income_5y_usd"]
    assert set(table["source"]) == {"acs_five_year"}
    with pytest.raises(DataError, match="is of the 5-year survey; this source reads the 1-year one"):
        read(tmp_path, scope)


# --- codes in place of figures ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("code", "flag"),
    [("-666666666", "few_cases"), ("-999999999", "withheld"), ("-888888888", "not_available"), ("", "not_published")],
)
def test_a_code_in_place_of_an_estimate_is_missing_with_its_reason(
    tmp_path: Path, scope: Scope, code: str, flag: str
) -> None:
    got = read_one(tmp_path, scope, group="B19013", values={1: (code, "-222222222")}).loc["median_income_usd"]
    assert math.isnan(got["value"])
    assert math.isnan(got["std_error"])
    assert got["flag"] == flag


def test_a_figure_without_a_margin_says_so_and_keeps_its_value(tmp_path: Path, scope: Scope) -> None:
    for margin in ("-222222222", ""):
        got = read_one(tmp_path, scope, group="B19013", values={1: (50000, margin)}).loc["median_income_usd"]
        assert (got["value"], got["flag"]) == (50000, "no_margin")
        assert math.isnan(got["std_error"])


def test_a_controlled_count_has_no_sampling_error_and_never_a_zero(tmp_path: Path, scope: Scope) -> None:
    """Hispanic origin of a county is controlled, its race is not: the total then adds nothing to the margin."""
    fixed = "-555555555"
    values = {1: (1000, fixed), 2: (800, fixed), 3: (500, 30), 4: (300, 33), 12: (200, fixed)}
    got = read_one(tmp_path, scope, group="B03002", values=values)
    assert got.loc["hispanic_share", "value"] == 0.2
    assert got.loc["hispanic_share", "flag"] == "controlled"
    assert math.isnan(got.loc["hispanic_share", "std_error"])
    assert got.loc["white_nonhispanic_share", "std_error"] == pytest.approx(30 / 1000 / 1.645, abs=1e-6)
    assert got.loc["white_nonhispanic_share", "flag"] == ""


@pytest.mark.parametrize(
    ("value", "margin"), [(250001, "-333333333"), (250001, 4000), (2499, "-333333333"), (90000, "-333333333")]
)
def test_a_median_in_an_open_interval_is_no_figure(tmp_path: Path, scope: Scope, value: int, margin: object) -> None:
    got = read_one(tmp_path, scope, group="B19013", values={1: (value, margin)}).loc["median_income_usd"]
    assert math.isnan(got["value"])
    assert got["flag"] == "open_interval"


def test_the_interfaces_signs_mean_what_its_codes_mean(tmp_path: Path, scope: Scope) -> None:
    pages = {SEATTLE: (None, "N"), SPOKANE: ("249000", "250,000+"), TACOMA: (None, "-")}
    write_api(tmp_path, "B19013", {f"1600000US{place}": {1: (1, 1)} for place in pages}, year=2022)
    path = tmp_path / "acs1-2022-b19013-place-53.json"
    table = json.loads(path.read_text())
    for line, (estimate, sign) in zip(table[1:], pages.values(), strict=True):
        line[0], line[1] = estimate, sign
    path.write_text(json.dumps(table))
    got = read(tmp_path, scope).observations["places"].set_index("place_id")["flag"]
    assert got.to_dict() == {SEATTLE: "withheld", SPOKANE: "open_interval", TACOMA: "few_cases"}


def test_a_share_of_nobody_is_missing(tmp_path: Path, scope: Scope) -> None:
    got = read_one(tmp_path, scope, group="B28003", values={}).loc["broadband_share"]
    assert math.isnan(got["value"])
    assert got["flag"] == "no_cases"


def test_rents_that_could_not_be_computed_leave_the_denominator(tmp_path: Path, scope: Scope) -> None:
    values = {1: (110, 20), 2: (50, 10), 7: (20, 6), 10: (30, 8), 11: (10, 5)}
    got = read_one(tmp_path, scope, group="B25070", values=values)
    assert got.loc["rent_burden_share", "value"] == 0.5
    assert got.loc["severe_rent_burden_share", "value"] == 0.3
    # lines 008 and 009 are zero with margin 9: one of them counts
    margin = math.sqrt((36 + 64 + 81) - 0.25 * (400 + 25)) / 100
    assert got.loc["rent_burden_share", "std_error"] == pytest.approx(margin / 1.645, abs=1e-6)


# --- areas -----------------------------------------------------------------------------------------------


def test_areas_outside_absent_and_withheld_are_counted_by_state_and_reason(tmp_path: Path, scope: Scope) -> None:
    rows = {
        f"1600000US{SEATTLE}": {1: (70000, 900)},
        f"1600000US{SPOKANE}": {1: ("", "")},
        "1600000US5303180": {1: (1, 1)},
        "1600000US7276770": {1: (1, 1)},
    }
    (tmp_path / "acsdt1y2022-b19013-place.dat").write_text(summary_text("B19013", rows))
    rest = read(tmp_path, scope).left_out
    found = {(r["item"], r["reason"]): r["rows"] for _, r in rest.iterrows() if r["table"] == "places"}
    assert found["2022, all tables, WA", "no place of the universe"] == 1
    assert found["2022, all tables, 72", "no place of the universe"] == 1
    assert found["2022, all tables, TX", "places asked for and absent"] == 1
    assert found["2022, all tables, WA", "places asked for and absent"] == 1
    assert found["2022 median_income_usd, WA", "a row without a value: not published"] == 1


def test_areas_for_microdata_are_kept_apart_by_census(tmp_path: Path, scope: Scope) -> None:
    values = {1: (70000, 900)}
    old = summary_text("B19013", {"7950000US5311601": values, "7950000US7200100": values})
    (tmp_path / "acsdt1y2021-b19013-puma.dat").write_text(old)
    (tmp_path / "acsdt1y2022-b19013-puma.dat").write_text(summary_text("B19013", {"795P200US5323301": values}))
    reading = read(tmp_path, scope)
    assert {name: table["place_id"].tolist() for name, table in reading.observations.items()} == {
        "pumas_2010": ["P5311601"],
        "pumas_2020": ["P5323301"],
    }
    assert "outside the fifty states and DC" in set(reading.left_out["reason"])
    assert [puma_decade(year) for year in (2012, 2021, 2022)] == [2010, 2010, 2020]
    (tmp_path / "acsdt1y2022-b19013-puma.dat").write_text(old)
    with pytest.raises(DataError, match="so the file is of another year"):
        read(tmp_path, scope)


@pytest.mark.parametrize(("year", "county"), [(2022, "09001"), (2021, "09110")])
def test_connecticut_tells_the_year_of_a_county_file(tmp_path: Path, scope: Scope, year: int, county: str) -> None:
    text = summary_text("B19013", {f"0500000US{county}": {1: (1, 1)}})
    (tmp_path / f"acsdt1y{year}-b19013-county.dat").write_text(text)
    with pytest.raises(DataError, match=rf"the file is of an? \w+ year than {year}"):
        read(tmp_path, scope)


def test_places_and_counties_of_one_file_go_to_tables_of_their_own(tmp_path: Path, scope: Scope) -> None:
    rows = {f"1600000US{SEATTLE}": BROADBAND, "0500000US53033": BROADBAND}
    (tmp_path / "acsdt1y2022-b28003-place-county.dat").write_text(summary_text("B28003", rows))
    got = read(tmp_path, scope).observations
    assert {name: table["place_id"].tolist() for name, table in got.items()} == {
        "places": [SEATTLE],
        "counties": ["53033"],
    }


def test_each_release_misses_only_those_areas_of_connecticut_that_it_has(tmp_path: Path, scope: Scope) -> None:
    both = Scope(places=scope.places, counties=frozenset({"53033", "09001", "09110"}))
    for year in (2021, 2022):
        text = summary_text("B19013", {"0500000US53033": {1: (1, 1)}})
        (tmp_path / f"acsdt1y{year}-b19013-county.dat").write_text(text)
    rest = read(tmp_path, both).left_out
    absent = rest[rest["reason"] == "counties asked for and absent"]
    assert absent["item"].tolist() == ["2021, all tables, CT", "2022, all tables, CT"]
    assert absent["rows"].tolist() == [1, 1]


def test_a_state_without_microdata_areas_is_named(tmp_path: Path, scope: Scope) -> None:
    text = summary_text(
        "B19013", {f"795P200US{code}00101": {1: (1, 1)} for code in STATE_CODE.values() if code != "06"}
    )
    (tmp_path / "acsdt1y2022-b19013-puma.dat").write_text(text)
    rest = read(tmp_path, scope).left_out
    assert rest.loc[rest["reason"].str.startswith("the file has no row of"), "item"].tolist() == ["2022 B19013, CA"]


def test_an_empty_page_of_microdata_areas_is_an_error_and_no_empty_state(tmp_path: Path, scope: Scope) -> None:
    for state in STATE_CODE.values():
        (tmp_path / f"acs1-2022-b19013-puma-{state}.json").write_text("")
    with pytest.raises(DataError, match=r"acs1-2022-b19013-puma-01\.json: is empty, and every state has"):
        read(tmp_path, scope)


# --- files that are not what they should be --------------------------------------------------------------

GOOD = summary_text("B28003", {f"1600000US{SEATTLE}": BROADBAND, f"1600000US{TACOMA}": BROADBAND})
HEADER, FIRST, SECOND = GOOD.strip().split("\n")
SUMMARY_FAULTS = {
    "html": ("<!DOCTYPE html><html><title>Error</title></html>", "is an HTML page"),
    "empty": ("", "no header divided by"),
    "no margins": (GOOD.replace("_M0", "_X0"), r"columns B28003_001M, .* are missing .*it has GEO_ID, B28003_E001"),
    "one column missing": (GOOD.replace("B28003_E004", "B28003_Q004"), "columns B28003_004E are missing"),
    "a line too many": (
        "\n".join([HEADER + "|B28003_E007|B28003_M007", FIRST + "|1|1", SECOND + "|1|1"]),
        "lines 7 beyond the 6",
    ),
    "another table": (GOOD.replace("B28003", "B28002"), "holds columns of table B28002; expected B28003 alone"),
    "twice": (GOOD + FIRST + "\n", f"1 GEO_IDs occur more than once: 1600000US{SEATTLE}"),
    "column twice": (GOOD.replace("B28003_M006", "B28003_E001", 1), "columns B28003_E001 occur more than once"),
    "cut off": (GOOD[:-20], r"rows do not have the 13 fields of the header \(line 3 of 3\)"),
    "text": (GOOD.replace("|850|", "|eight|", 1), f"row {SEATTLE}, column B28003_004E: 'eight' is no number"),
    "infinite": (GOOD.replace("|850|", "|inf|", 1), "is no finite number"),
    "unknown code": (GOOD.replace("|47|", "|-444444444|", 1), "'-444444444' is negative and none of the codes known"),
    "a code for margins": (GOOD.replace("|850|", "|-555555555|", 1), "B28003_004E: '-555555555' is negative"),
    "moved lines": (
        GOOD.replace("|900|48|10|6|", "|10|6|900|48|"), "line 001 of B28003 is not the sum of lines 002 and 006"
    ),
    "no places": (HEADER + "\n0100000US" + FIRST[16:] + "\n", "holds no row of places"),
    "short code": (GOOD.replace(SEATTLE, "53630"), "codes of places have 7 digits"),
    "variant": (GOOD.replace("1600000US", "160M000US"), "are a variant of places"),
}  # fmt: skip


@pytest.mark.parametrize(("text", "words"), SUMMARY_FAULTS.values(), ids=SUMMARY_FAULTS)
def test_a_summary_file_that_is_not_right_is_refused_and_says_why(
    tmp_path: Path, scope: Scope, text: str, words: str
) -> None:
    (tmp_path / "acsdt1y2022-b28003-place.dat").write_text(text)
    with pytest.raises(DataError, match=words) as caught:
        read(tmp_path, scope)
    assert "acsdt1y2022-b28003-place.dat" in str(caught.value)


ROWS = api_rows("B28003", {f"1600000US{SEATTLE}": BROADBAND})
OREGON = api_rows("B28003", {"1600000US4159000": BROADBAND})
API_FAULTS = {
    "html": ("<html><title>Missing Key</title></html>", "is an HTML page, not JSON.*CENSUS_API_KEY"),
    "error object": ('{"error": "unknown variable"}', "is an error object, not a table: 'unknown variable'"),
    "error text": ("error: unknown/unsupported geography hierarchy", "says 'error: unknown/unsupported geography"),
    "cut off": (json.dumps(ROWS)[:-9], "cannot be read as JSON"),
    "no rows": (json.dumps(ROWS[:1]), "has a header and no row"),
    "no list": ('["a"]', "is no list of rows"),
    "uneven": (json.dumps([ROWS[0], ROWS[1][:-1]]), "rows 2 do not have the 28 cells"),
    "nested": (json.dumps([ROWS[0], [{}, *ROWS[1][1:]]]), "neither text nor number"),
    "no margins": (json.dumps(ROWS).replace("M\"", "X\""), "are missing"),
    "another level": (json.dumps(ROWS).replace("1600000US", "0500000US"), "are of summary level 050"),
    "another state": (json.dumps(OREGON), "of another state than the page"),
    "state column": (json.dumps(ROWS).replace('"53", "63000"', '"41", "63000"'), "of another state than the page"),
    "no GEO_ID": (json.dumps(ROWS).replace('"GEO_ID"', '"GEOID"'), "has no column GEO_ID"),
    "odd GEO_ID": (json.dumps(ROWS).replace("1600000US", "16000US"), "GEO_IDs cannot be read"),
}  # fmt: skip


@pytest.mark.parametrize(("text", "words"), API_FAULTS.values(), ids=API_FAULTS)
def test_an_answer_that_is_not_right_is_refused_and_says_why(
    tmp_path: Path, scope: Scope, text: str, words: str
) -> None:
    write_api(tmp_path, "B28003", {f"1600000US{AUSTIN}": BROADBAND}, year=2022)
    (tmp_path / "acs1-2022-b28003-place-53.json").write_text(text)
    with pytest.raises(DataError, match=words) as caught:
        read(tmp_path, scope)
    assert "acs1-2022-b28003-place-53.json" in str(caught.value)


def test_a_column_that_is_not_known_is_named_and_not_read(tmp_path: Path, scope: Scope) -> None:
    text = "\n".join([HEADER + "|NOTE", FIRST + "|x", SECOND + "|y"]) + "\n"
    (tmp_path / "acsdt1y2022-b28003-place.dat").write_text(text)
    reading = read(tmp_path, scope)
    assert reading.observations["places"]["value"].tolist() == [0.85, 0.85]
    assert "acsdt1y2022-b28003-place.dat, column NOTE" in set(reading.left_out["item"])


def test_all_faults_of_all_files_come_at_once(tmp_path: Path, scope: Scope) -> None:
    (tmp_path / "acsdt1y2022-b28003-place.dat").write_text(GOOD.replace("|850|", "|eight|").replace("_M002", "_N002"))
    (tmp_path / "acsdt1y2022-b19013-place.dat").write_text("<html>")
    (tmp_path / "acsdt1y2020-b19013-place.dat").write_text(GOOD)
    (tmp_path / "notes.txt").write_text("")
    with pytest.raises(DataError) as caught:
        read(tmp_path, scope)
    text = str(caught.value)
    assert "4 faults" in text
    for words in ("B28003_002M", "is an HTML page", "no standard 1-year release of 2020", "notes.txt: is no file"):
        assert words in text


def test_a_missing_page_and_a_table_by_both_roads_are_faults(tmp_path: Path, scope: Scope) -> None:
    write_api(tmp_path, "B28003", {f"1600000US{SEATTLE}": BROADBAND}, year=2022)
    (tmp_path / "acs1-2022-b28003-place-48.json").unlink()
    with pytest.raises(DataError, match="there is no page of TX; fetch again"):
        read(tmp_path, scope)
    (tmp_path / "acsdt1y2022-b28003-place.dat").write_text(GOOD)
    with pytest.raises(DataError, match="comes by both roads"):
        read(tmp_path, scope)


def test_an_empty_folder_is_a_fault(tmp_path: Path, scope: Scope) -> None:
    with pytest.raises(DataError, match="holds no file"):
        read(tmp_path, scope)


# --- the declarations ------------------------------------------------------------------------------------


def test_a_new_figure_is_one_entry_and_a_wrong_one_is_refused_with_all_its_faults() -> None:
    group = '[groups.B1]\ntitle = "t"\nuniverse = "u"\nlines = 3\nadds_up = [[1, 2, 4]]\n'
    good = '[variables.a_share]\ngroup = "B1"\nlabel = "l"\nnumerator = [2]\ndenominator = [1]\none_year_from = 2010\n'
    with pytest.raises(DataError) as caught:
        parse(
            f"{group}{good}five_year_from = 2014\n"
            '[variables.b_usd]\ngroup = "B9"\nlabel = "l"\nline = 1\none_year_from = 2010\nfive_year_from = 2014\n'
            "[margin_codes]\n'-1' = 'nonsense'\n",
            where="t",
        )
    text = str(caught.value)
    assert "adds_up names lines 4 of 3" in text
    assert "group B9 has no entry" in text
    assert "flags nonsense are not known" in text
    with pytest.raises(DataError, match="missing 1 required keyword-only argument: 'five_year_from'"):
        parse(group + good, where="t")
    with pytest.raises(DataError, match="fields colour are not known"):
        parse(group + "colour = 1\n", where="t")


def test_every_table_that_is_declared_is_read_and_named_in_the_catalog() -> None:
    known = definitions()
    assert {entry.group for entry in known.variables.values()} == set(known.groups)
    for source in SETTINGS:
        for table in SETTINGS[source]["tables"].values():
            assert all(group in table["series"] for group in known.groups)


def test_only_figures_of_the_same_meaning_share_a_name_with_shipped_ones() -> None:
    """Shipped `black_share` and `white_share` count Hispanic people of that race: B02001, not B03002."""
    columns = tomllib.loads((raw.CATALOG / "variables.toml").read_text(encoding="utf-8"))
    shipped = {name for name, entry in columns.items() if entry["source"] not in SETTINGS}
    assert set(definitions().variables) & shipped == {"broadband_share", "median_income_usd", "hispanic_share"}


def test_a_figure_says_its_formula_in_words_and_other_lines_make_other_words() -> None:
    known = definitions().variables
    rent = known["rent_burden_share"]
    text = rent.measured("one_year")
    assert text == f"{rent.label}: B25070, lines 7 to 10 over line 1 less line 11, ACS 1-year"
    owners = known["owner_cost_burden_share"].measured("five_year")
    assert owners.endswith("B25091, lines 8 to 11 and 19 to 22 over line 1 less lines 12 and 23, ACS 5-year")
    assert known["median_income_usd"].measured("one_year").endswith("B19013, line 1, ACS 1-year")
    changes = ({"numerator": (7, 8)}, {"excluded": ()}, {"group": "B25071"}, {"denominator": (2,)}, {"label": "x"})
    assert len({text, *(replace(rent, **change).measured("one_year") for change in changes)}) == 6


def test_shipped_figures_of_the_same_lines_have_the_same_words_as_fetched_ones() -> None:
    sources = raw.load_sources()
    made = {**acs_one_year.measured(), **acs_five_year.measured()}
    shipped = {
        name: text
        for source in ("acs_broadband", "acs_income", "acs_demographics")
        for table in sources[source]["tables"].values()
        for name, text in table.get("definitions", {}).items()
    }
    assert set(shipped) == {"broadband_share", "broadband_5y_share", "median_income_usd", "hispanic_share"}
    assert shipped == {name: made[name] for name in shipped}


def test_a_number_of_thousands_of_digits_is_a_clear_error(tmp_path: Path, scope: Scope) -> None:
    write_api(tmp_path, "B28003", {}, year=2022)
    (tmp_path / "acs1-2022-b28003-place-53.json").write_text(f'[["GEO_ID"], [{"1" * 5000}]]')
    with pytest.raises(DataError, match="cannot be read as JSON"):
        read(tmp_path, scope)


@pytest.mark.parametrize(("sign", "flag"), [("N", "withheld"), ("-", "few_cases"), ("(X)", "not_available")])
def test_an_annotation_counts_in_place_of_the_number_beside_it(
    tmp_path: Path, scope: Scope, sign: str, flag: str
) -> None:
    write_api(tmp_path, "B28003", {f"1600000US{SEATTLE}": BROADBAND}, year=2022)
    path = tmp_path / "acs1-2022-b28003-place-53.json"
    table = json.loads(path.read_text())
    table[1][table[0].index("B28003_004EA")] = sign
    path.write_text(json.dumps(table))
    (figure,) = read(tmp_path, scope).observations["places"].itertuples()
    assert math.isnan(figure.value)
    assert figure.flag == flag


def test_an_error_that_the_formula_makes_zero_is_missing_with_a_flag(tmp_path: Path, scope: Scope) -> None:
    everyone = {1: (1000, 50), 2: (1000, 50), 4: (1000, 50)}
    figure = read_one(tmp_path, scope, group="B28003", values=everyone).loc["broadband_share"]
    assert figure["value"] == 1.0
    assert math.isnan(figure["std_error"])
    assert figure["flag"] == "no_margin"
