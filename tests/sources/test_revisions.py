from __future__ import annotations

import hashlib
import io
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from wwc_research.errors import DataError, InputError
from wwc_research.sources import raw, vintages
from wwc_research.sources.download import Download
from wwc_research.sources.revisions import (
    COLUMNS,
    Revisions,
    diff,
    figure,
    find_vintage,
    held_vintages,
    place_labels,
    revisions,
)
from wwc_research.sources.tables import Table, csv_bytes, to_wide


def long(values: list[float], *, variable: str = "x_share", year: int = 2019, **more: object) -> pd.DataFrame:
    """Observations of one series, one place a value."""
    value = np.array(values, dtype=float)
    frame = pd.DataFrame({"place_id": [f"{1000000 + n}" for n in range(len(value))], "year": year})
    frame = frame.assign(variable=variable, value=value, std_error=np.nan, flag="", source="s", vintage="v")
    return frame.assign(flag=np.where(np.isnan(value), "few_days", ""), **more)


def row(found: Revisions, variable: str, year: int) -> pd.Series:
    rows = found.frame[(found.frame["variable"] == variable) & (found.frame["year"] == year)]
    assert len(rows) == 1
    return rows.iloc[0]


@pytest.fixture(scope="session")
def shipped_dir(raw_dir: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data folder with the shipped tables alone, whatever was fetched into the project's own."""
    folder = tmp_path_factory.mktemp("shipped")
    (folder / "raw").symlink_to(raw_dir)
    return folder


@pytest.fixture
def data_dir(raw_dir: Path, tmp_path: Path) -> Path:
    (tmp_path / "raw").symlink_to(raw_dir, target_is_directory=True)
    return tmp_path


@pytest.fixture(scope="module")
def air(shipped_dir: Path) -> Revisions:
    return diff("epa_aqi@2022", "epa_aqi@2026", data_dir=shipped_dir)


# --- EPA's re-scoring of May 2024 ------------------------------------------------------------------------


def test_the_rescoring_of_good_days_and_the_median_is_told_and_bad_days_are_only_revised(air: Revisions) -> None:
    assert air.rescored == ("aqi_good_share", "aqi_median_index")
    joint = air.frame[air.frame["year"].between(2019, 2022)].set_index(["variable", "year"])["judgement"].unstack()
    assert set(joint.loc["aqi_good_share"]) == {"re-scored"}
    assert set(joint.loc["aqi_median_index"]) == {"re-scored"}
    assert set(joint.loc["aqi_over_100_share"]) == {"revised"}
    assert set(joint.loc["aqi_days_count"]) == {"revised"}


def test_the_size_of_the_rescoring_is_that_of_the_shipped_tables(air: Revisions, raw_dir: Path) -> None:
    good, bad = row(air, "aqi_good_share", 2019), row(air, "aqi_over_100_share", 2019)
    assert (good["n_compared"], good["n_revised"], good["n_up"], good["n_down"]) == (488, 418, 0, 418)
    assert (good["mean_old"], good["mean_new"]) == pytest.approx((0.7961, 0.6831), abs=5e-5)
    assert good["standardised"] == pytest.approx(-0.779, abs=5e-4)
    assert bad["n_revised"] == 3
    assert abs(bad["mean_revision"]) < 0.0001
    # by another road: days, from the wide tables
    days = []
    for vintage in ("2022", "2026"):
        frame = raw.read_table(raw_dir, f"epa_aqi/vintage_{vintage}")
        frame = frame[frame["year"] == 2019].dropna(subset=["aqi_good_share"])
        days.append(frame.assign(days=frame["aqi_days_count"] * frame["aqi_good_share"]).set_index("place_id")["days"])
    both = pd.concat(days, axis=1, join="inner")
    assert both.mean().round(1).tolist() == [268.3, 228.4]


@pytest.mark.shared
def test_the_publishers_own_files_show_the_good_days_of_the_data_notes(publishers_dir: Path) -> None:
    means = {}
    for vintage in ("2022", "2026"):
        (path,) = (publishers_dir / "epa_aqs" / f"vintage-{vintage}").glob("annual_aqi_by_county_2019*.csv")
        frame = pd.read_csv(path)
        frame = frame.assign(place_id=frame["State"] + frame["County"], value=frame["Good Days"].astype(float))
        frame = frame.assign(year=2019, variable="good_days_count", std_error=np.nan, flag="")
        means[vintage] = frame[["place_id", "year", "variable", "value", "std_error", "flag"]]
    found = row(revisions(means["2022"], means["2026"]), "good_days_count", 2019)
    assert found["judgement"] == "re-scored"
    assert means["2022"]["value"].mean() == pytest.approx(266.6, abs=0.05)
    assert means["2026"]["value"].mean() == pytest.approx(237.2, abs=0.05)
    # in the 1,020 counties that both files hold
    assert found["mean_new"] == pytest.approx(237.5, abs=0.05)


def test_the_sentence_says_how_much_which_way_where_and_what_not_to_do(air: Revisions) -> None:
    (text,) = (text for text in air.sentences if text.startswith("aqi_good_share 2019"))
    assert "418 of 488 figures changed (0 up, 418 down)" in text
    assert "mean 79.6 % → 68.3 % (−11.3 points; median −11.5; 5 to 95 % −22.9 to 0.0)" in text
    assert "Calcasieu Parish, LA (22019)" in text
    assert "do not join the vintages" in text
    assert "“share of days with an index of 50 or less, breakpoints before May 2024”" in text
    (mild,) = (text for text in air.sentences if text.startswith("aqi_over_100_share 2019"))
    assert "do not join" not in mild
    assert "definition" not in mild


def test_years_of_one_vintage_only_are_told_in_the_summary_and_not_line_by_line(air: Revisions) -> None:
    (text,) = (text for text in air.summary if text.startswith("aqi_good_share"))
    for words in (
        "(2019-22)",
        "only in epa_aqi@2026 (2023-24)",
        "only in epa_aqi@2022 (2006-18)",
        "definition changed",
    ):
        assert words in text
    assert not any("2006:" in line for line in air.lines)
    assert air.lines[0] == "epa_aqi@2022 → epa_aqi@2026"


def test_the_table_comes_as_csv_text_that_reads_back(air: Revisions) -> None:
    back = pd.read_csv(io.StringIO(air.to_csv()), dtype={"largest_place_id": str})
    assert list(back.columns) == list(COLUMNS)
    assert len(back) == len(air.frame)
    assert back["mean_revision"].to_numpy() == pytest.approx(air.frame["mean_revision"].to_numpy(), nan_ok=True)


def test_population_estimates_are_revised_and_not_rescored(shipped_dir: Path) -> None:
    found = diff("census_population@pep2019", "census_population@yearly", data_dir=shipped_dir)
    assert found.rescored == ()
    assert row(found, "population_count", 2019)["judgement"] == "unchanged"
    assert row(found, "population_count", 2018)["largest_place_id"] == "0644000"


# --- the arithmetic, by hand -----------------------------------------------------------------------------


def test_a_comparison_worked_by_hand() -> None:
    old = long([0.10, 0.20, 0.30, 0.40, np.nan], std_error=[0.01, 0.01, 0.02, 0.02, np.nan])
    new = long([0.10, 0.22, 0.30, 0.36, 0.50])
    new = pd.concat([new, long([0.9] * 6).iloc[[5]]], ignore_index=True)
    found = row(revisions(old, new), "x_share", 2019)
    assert (found["n_compared"], found["n_equal"], found["n_revised"]) == (4, 2, 2)
    assert (found["n_up"], found["n_down"]) == (1, 1)
    assert found["mean_revision"] == pytest.approx(-0.005)
    assert found["median_revision"] == pytest.approx(0.0)
    assert found["sd_old"] == pytest.approx(np.std([0.1, 0.2, 0.3, 0.4], ddof=1))
    assert found["standardised"] == pytest.approx(-0.005 / 0.129099, rel=1e-4)
    # |0|, 2, 0 and 2 standard errors
    assert found["median_std_errors"] == pytest.approx(1.0)
    assert (found["largest_revision"], found["largest_place_id"]) == (pytest.approx(-0.04), "1000003")
    assert (found["n_appeared"], found["n_vanished"]) == (2, 0)
    assert found["appeared_flags"] == "few_days 1, no row 1"


@pytest.mark.parametrize(
    ("change", "judgement"),
    [
        (np.zeros(40), "unchanged"),
        (np.full(40, 3e-7), "unchanged"),  # rounding
        (np.full(40, -0.05), "re-scored"),
        (np.linspace(0.01, 0.09, 40), "re-scored"),
        (np.where(np.arange(40) < 5, -0.05, 0.0), "revised"),  # few places
        (np.where(np.arange(40) % 2, 0.05, -0.04), "revised"),  # both ways
        (np.where(np.arange(40) < 39, 0.00001, 0.4), "revised"),  # one way, and all of the mean in one place
    ],
)
def test_a_series_is_rescored_only_where_most_of_it_moves_one_way(change: np.ndarray, judgement: str) -> None:
    values = np.linspace(0.3, 0.5, 40)
    assert row(revisions(long(list(values)), long(list(values + change))), "x_share", 2019)["judgement"] == judgement


def test_a_handful_of_places_is_never_called_rescored() -> None:
    found = revisions(long([0.1] * 9), long([0.2] * 9))
    assert found.frame["judgement"].tolist() == ["revised"]


def test_counts_are_judged_by_their_relative_change() -> None:
    old = np.array([8_000_000.0, *np.linspace(30_000, 90_000, 39)])
    new = old * 1.02
    assert revisions(
        long(list(old), variable="population_count"), long(list(new), variable="population_count")
    ).rescored == ("population_count",)


def test_vanished_figures_keep_the_flag_that_says_why() -> None:
    old, new = long([0.1, 0.2, 0.3, 0.4]), long([0.1, np.nan, np.nan])
    found = revisions(old, new)
    assert found.frame["vanished_flags"].tolist() == ["few_days 2, no row 1"]
    assert "3 figures vanished (now: few_days 2, no row 1)." in found.sentences[0]


def test_series_without_a_figure_do_not_fail() -> None:
    old = pd.concat([long([np.nan, np.nan]), long([0.2], variable="y_share")], ignore_index=True)
    found = revisions(old, long([np.nan, np.nan]))
    assert found.frame["judgement"].tolist() == ["no_figures", "vanished"]


@pytest.mark.parametrize(
    ("value", "variable", "change", "text"),
    [
        (0.6831, "aqi_good_share", False, "68.3 %"),
        (-0.113, "aqi_good_share", True, "−11.3 points"),
        (0.000039, "aqi_over_100_share", True, "+0.0039 points"),
        (4.16, "aqi_median_index", True, "+4.2 index points"),
        (-155.3, "population_count", True, "−155"),
        (2.0, "aqi_days_count", True, "+2"),
        (57123.4, "income_p50_usd", False, "57,123 dollars"),
        (1.234, "affordable_80_ami_ratio", False, "1.23"),
        (8.25, "pm25_mean_ug_m3", False, "8.2 µg/m³"),
        (0.0, "x_share", True, "0.0 points"),
        (float("nan"), "x_share", False, "–"),
    ],
)
def test_figures_are_written_in_their_unit(value: float, variable: str, change: bool, text: str) -> None:
    assert figure(value, variable=variable, change=change) == text


# --- refusals --------------------------------------------------------------------------------------------


def test_a_figure_that_occurs_twice_is_refused() -> None:
    old = long([0.1, 0.2])
    with pytest.raises(DataError, match="new: 1 figures occur more than once: 1000001 2019 x_share"):
        revisions(old, pd.concat([old, old.iloc[[1]]]), new_name="new")


def test_vintages_without_a_series_in_common_are_refused(shipped_dir: Path) -> None:
    with pytest.raises(InputError, match=r"no variable and year in common.*aqi_days_count.*unemployment_share"):
        diff("epa_aqi@2022", "bls_laus@2021-2024", data_dir=shipped_dir)
    with pytest.raises(InputError, match="no variable and year in common"):
        revisions(long([0.1], year=2018), long([0.1], year=2019))


@pytest.mark.parametrize("name", ["epa_aqi@2021", "epa_aqi"])
def test_an_unknown_vintage_is_refused_with_those_of_its_source(name: str, shipped_dir: Path) -> None:
    with pytest.raises(InputError, match=r"SOURCE@VINTAGE; vintages of epa_aqi: epa_aqi@2022 and epa_aqi@2026$"):
        find_vintage(name, data_dir=shipped_dir)


def test_an_unknown_source_is_refused_with_all_there_is(shipped_dir: Path) -> None:
    with pytest.raises(InputError, match=r"acs_broadband@acs1.*youth_neet_puma@acs1"):
        find_vintage("moon@1", data_dir=shipped_dir)


def test_the_same_vintage_twice_or_an_unknown_variable_is_refused(shipped_dir: Path) -> None:
    with pytest.raises(InputError, match="are the same vintage"):
        diff("epa_aqi@2022", "epa_aqi@2022", data_dir=shipped_dir)
    with pytest.raises(InputError, match="holds no variable ozone; it holds aqi_days_count"):
        diff("epa_aqi@2022", "epa_aqi@2026", data_dir=shipped_dir, variables=["ozone"])


# --- fetched vintages ------------------------------------------------------------------------------------


def fetched(data_dir: Path, frame: pd.DataFrame, *, name: str, day: str, definitions: dict[str, str]) -> None:
    """A vintage of `epa_aqi` as `fetch` leaves it, with one table `counties`."""
    folder = data_dir / "fetched" / "epa_aqi" / name
    folder.mkdir(parents=True)
    content = csv_bytes(to_wide(frame))
    (folder / "counties.csv").write_bytes(content)
    blank = dict.fromkeys(("title", "publisher", "series", "licence", "geography", "url", "obtained"), "test")
    table = Table(
        name="epa_aqi/counties", path="counties.csv", kind="observations", sha256=hashlib.sha256(content).hexdigest(),
        rows=len(frame), key=("place_id", "year"), vintage=name, retrieved=day, years=(2019, 2025), **blank,
    )  # fmt: skip
    got = Download(name="a.zip", url="https://example.org/a.zip", sha256="0" * 64, bytes=2, retrieved_at=f"{day}T10Z")
    vintages.write_downloads(folder, source="epa_aqi", downloads=[got], years=[2019], geographies=["county"])
    vintages.write_manifest(folder, tables=[table], definitions={"counties": definitions})


def test_fetched_vintages_are_compared_by_name_with_shipped_ones_and_each_other(data_dir: Path, uncorrected) -> None:
    shipped = uncorrected[(uncorrected["source"] == "epa_aqi") & (uncorrected["vintage"] == "2026")]
    shipped = shipped[shipped["year"] == 2019]
    text = raw.load_sources()["epa_aqi"]["tables"]["vintage_2026"]["definitions"]
    fetched(data_dir, shipped, name="later", day="2026-12-01", definitions=text)
    fetched(data_dir, shipped, name="2026-11-23", day="2026-11-23", definitions=text)
    names = [item.name for item in held_vintages(data_dir) if item.source == "epa_aqi"]
    assert names == ["epa_aqi@2022", "epa_aqi@2026", "epa_aqi@2026-11-23", "epa_aqi@later"]
    same = diff("epa_aqi@2026", "epa_aqi@later", data_dir=data_dir, variables=["aqi_good_share"])
    assert row(same, "aqi_good_share", 2019)["judgement"] == "unchanged"
    assert not any("definition" in line for line in same.lines)
    other = diff("epa_aqi@2022", "epa_aqi@2026-11-23", data_dir=data_dir)
    assert other.rescored == ("aqi_good_share", "aqi_median_index")
    assert any("The definition changed" in line and "breakpoints before May 2024" in line for line in other.lines)


def test_a_name_that_is_both_shipped_and_fetched_must_say_which(data_dir: Path, uncorrected) -> None:
    shipped = uncorrected[(uncorrected["source"] == "epa_aqi") & (uncorrected["vintage"] == "2026")]
    fetched(data_dir, shipped[shipped["year"] == 2019], name="2026", day="2026-11-23", definitions={})
    with pytest.raises(InputError, match="write shipped:epa_aqi@2026 or fetched:epa_aqi@2026"):
        find_vintage("epa_aqi@2026", data_dir=data_dir)
    assert find_vintage("fetched:epa_aqi@2026", data_dir=data_dir).origin == "fetched"
    found = diff("shipped:epa_aqi@2026", "fetched:epa_aqi@2026", data_dir=data_dir)
    assert set(found.frame.loc[found.frame["year"] == 2019, "judgement"]) == {"unchanged"}


def test_places_and_counties_have_names_for_people(raw_dir: Path) -> None:
    labels = place_labels(raw_dir)
    assert labels["04013"] == "Maricopa County, AZ"
    assert labels["2622000"] == "Detroit city, MI"
