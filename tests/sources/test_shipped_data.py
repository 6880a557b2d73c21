from __future__ import annotations

import shutil
import time
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from wwc_research.errors import DataError, InputError
from wwc_research.sources import raw
from wwc_research.sources.observations import validate
from wwc_research.sources.places import Places


def value(frame: pd.DataFrame, place_id: str, year: int, variable: str, vintage: str | None = None) -> float:
    rows = frame[(frame["place_id"] == place_id) & (frame["year"] == year) & (frame["variable"] == variable)]
    if vintage is not None:
        rows = rows[rows["vintage"] == vintage]
    assert len(rows) == 1, rows
    return float(rows["value"].iloc[0])


@pytest.fixture
def copy(raw_dir: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(raw_dir, tmp_path / "raw"))


def test_every_shipped_table_is_what_the_manifest_says(raw_dir: Path) -> None:
    tables = raw.check(raw_dir)
    assert {table.path for table in tables} == {path.relative_to(raw_dir).as_posix() for path in raw_dir.rglob("*.csv")}


def test_the_shipped_data_stay_small_enough_to_review(raw_dir: Path) -> None:
    sizes = [path.stat().st_size for path in raw_dir.rglob("*.csv")]
    assert max(sizes) < 1_400_000
    assert sum(sizes) < 8_000_000


def test_every_table_names_its_publisher_and_licence(raw_dir: Path) -> None:
    for table in raw.list_tables(raw_dir):
        assert table.publisher, table.name
        assert table.licence, table.name
        assert table.obtained, table.name


def test_the_catalog_declares_exactly_the_shipped_sources(raw_dir: Path) -> None:
    declared = {f"{name}/{table}" for name, entry in raw.load_sources().items() for table in entry["tables"]}
    shipped = {table.name for table in raw.list_tables(raw_dir)}
    assert shipped == declared | {raw.LEFT_OUT}


def test_all_observations_are_read_within_seconds_and_keep_the_contract(raw_dir: Path) -> None:
    start = time.perf_counter()
    frame = raw.read_observations(raw_dir)
    assert time.perf_counter() - start < 5
    validate(frame, where="data/raw")


@pytest.mark.parametrize(
    ("place_id", "published"),
    [("3651000", 69407), ("0644000", 67418), ("2622000", 33965), ("2507000", 79018), ("0667000", 123859)],
)
def test_median_incomes_of_2019_are_the_published_ones(observations, place_id: str, published: int) -> None:
    assert value(observations, place_id, 2019, "median_income_usd") == published


@pytest.mark.parametrize(
    ("place_id", "year", "published"),
    # Census Bureau, SUB-IP-EST2019-ANNRES
    [
        ("3651000", 2019, 8336817),
        ("0644000", 2019, 3979576),
        ("2622000", 2019, 670031),
        ("2622000", 2015, 679410),
    ],
)
def test_populations_are_the_published_ones(observations, place_id: str, year: int, published: int) -> None:
    assert value(observations, place_id, year, "population_count", "pep2019") == published


def test_broadband_in_washington_and_detroit_is_as_published(observations) -> None:
    assert value(observations, "1150000", 2017, "broadband_share") == pytest.approx(0.8206, abs=5e-5)
    assert value(observations, "2622000", 2016, "broadband_share") == pytest.approx(0.595, abs=5e-4)
    assert value(observations, "2622000", 2022, "broadband_share") == pytest.approx(0.834, abs=5e-4)


def test_there_is_no_broadband_figure_for_2020_and_the_log_says_so(observations, raw_dir: Path) -> None:
    assert not ((observations["variable"] == "broadband_share") & (observations["year"] == 2020)).any()
    log = raw.read_table(raw_dir, raw.LEFT_OUT)
    rows = log[(log["table"] == "one_year") & (log["source"] == "acs_broadband")]
    assert rows["item"].tolist() == ["2020"]
    assert rows["rows"].tolist() == [486]


@pytest.mark.parametrize(("year", "rate"), [(2010, 12.6), (2019, 4.5), (2020, 12.3)])
def test_unemployment_in_los_angeles_county_is_as_published(observations, year: int, rate: float) -> None:
    assert round(value(observations, "06037", year, "unemployment_share") * 100, 1) == rate


def test_youth_shares_of_louisville_and_memphis_are_as_published(observations) -> None:
    rows = observations[
        (observations["source"] == "youth_neet_county") & (observations["variable"] == "youth_neet_share")
    ]
    assert rows["place_id"].nunique() == 21
    assert "MERGED-st-louis" in set(rows["place_id"])
    assert round(value(rows, "21111", 2019, "youth_neet_share") * 100, 1) == 12.8
    assert round(value(rows, "47157", 2019, "youth_neet_share") * 100, 1) == 17.3
    louisville = rows[(rows["place_id"] == "21111") & (rows["year"] == 2019)]
    # margin 2,495.67 of 79,062 young people at 90 %
    assert louisville["std_error"].iloc[0] == pytest.approx(2495.673978 / 79062 / 1.645, abs=1e-6)
    assert rows.loc[rows["year"] == 2000, "std_error"].isna().all()


def test_youth_shares_of_cities_put_together_from_areas_match_the_notes(observations, raw_dir: Path) -> None:
    walk = raw.read_table(raw_dir, "crosswalks/puma_place_2010")
    rows = observations[observations["source"] == "youth_neet_puma"]
    areas = rows.pivot_table(index="place_id", columns="variable", values="value")
    joined = walk.merge(areas, left_on="puma_id", right_index=True, validate="many_to_one")
    assert len(joined) == len(walk)
    for place_id, percent in [("2622000", 26.1), ("0644000", 13.9), ("3651000", 16.0)]:
        part = joined[joined["place_id"] == place_id]
        young = (part["puma_share"] * part["youth_population_count"]).sum()
        share = (part["puma_share"] * part["youth_neet_count"]).sum() / young
        assert round(share * 100, 1) == percent


def test_bad_air_days_do_not_jump_where_the_vintages_meet_and_good_days_do(uncorrected) -> None:
    rows = uncorrected[(uncorrected["source"] == "epa_aqi") & uncorrected["year"].between(2019, 2022)]
    wide = rows.pivot_table(index=["place_id", "year"], columns=["variable", "vintage"], values="value").dropna()
    assert len(wide) > 1500
    days = wide["aqi_days_count"]
    for year, part in wide.groupby(level="year"):
        bad, good = part["aqi_over_100_share"], part["aqi_good_share"]
        weights = days.loc[part.index]
        bad_old, bad_new = (np.average(bad[v], weights=weights[v]) for v in ("2022", "2026"))
        good_old, good_new = (np.average(good[v], weights=weights[v]) for v in ("2022", "2026"))
        assert abs(bad_old - bad_new) < 0.0005, year
        assert good_old - good_new > 0.06, year


def test_years_before_the_publisher_was_done_are_not_shipped(observations, raw_dir: Path) -> None:
    air = observations[observations["source"] == "epa_aqi"]
    assert air.groupby("vintage")["year"].max().to_dict() == {"2022": 2022, "2026": 2024}
    log = raw.read_table(raw_dir, raw.LEFT_OUT)
    assert log.loc[(log["source"] == "epa_aqi") & (log["item"] == "2025"), "rows"].tolist() == [978]


def test_a_county_with_few_days_is_flagged_and_kept(observations) -> None:
    air = observations[observations["source"] == "epa_aqi"]
    days = air[air["variable"] == "aqi_days_count"]
    assert ((days["value"] < 90) == (days["flag"] == "few_days")).all()
    assert (days["flag"] == "few_days").any()
    assert days["value"].notna().all()


def test_the_roster_holds_the_events_its_notes_count(raw_dir: Path) -> None:
    events = raw.read_table(raw_dir, "certification/events")
    assert events["event"].value_counts().to_dict() == {
        "first": 98, "level-up": 35, "recertified": 14, "honor-roll": 11,
    }  # fmt: skip
    firsts = events[events["event"] == "first"]
    assert firsts["announced_on"].value_counts().to_dict() == {
        "": 5, "2018-01-25": 9, "2019-04-24": 4, "2020-06": 6, "2021-07-14": 16, "2021-12-15": 10,
        "2022-03": 3, "2023-06-21": 7, "2024-01-23": 12, "2024-06-17": 9, "2025-02-26": 16, "2026-01": 1,
    }  # fmt: skip
    american = firsts[firsts["country"] == "USA"]
    assert len(american) == 72
    assert american["announced_on"].value_counts().to_dict() == {
        "": 5, "2018-01-25": 9, "2019-04-24": 4, "2020-06": 6, "2021-07-14": 16, "2021-12-15": 10,
        "2022-03": 3, "2023-06-21": 2, "2024-01-23": 5, "2024-06-17": 4, "2025-02-26": 8,
    }  # fmt: skip
    undated = set(american.loc[american["announced_on"] == "", "city"])
    assert undated == {"Charlotte", "San Jose", "South Bend", "Cincinnati", "Tulsa"}


def test_cities_abroad_carry_a_country_prefix(raw_dir: Path) -> None:
    events = raw.read_table(raw_dir, "certification/events")
    abroad = events[events["country"] != "USA"]
    assert abroad["place_id"].str.fullmatch(r"[A-Z]{2}-[a-z-]+").all()
    assert {"AR-buenos-aires", "BR-recife", "CA-calgary", "CO-bogota"} <= set(abroad["place_id"])


def test_policies_match_94_cities_of_the_universe_and_the_rest_is_listed(raw_dir: Path) -> None:
    adoptions = raw.read_table(raw_dir, "open_data_policy/adoptions")
    unresolved = raw.read_table(raw_dir, "open_data_policy/unresolved")
    assert int(adoptions["in_universe"].sum()) == 94
    assert adoptions["place_id"].is_unique
    assert int(adoptions["policies_count"].sum()) + len(unresolved) == 146
    assert (unresolved["reason"] != "").all()
    detroit = adoptions[adoptions["place_id"] == "2622000"].iloc[0]
    assert (detroit["adopted_on"], detroit["legal_means"]) == ("2015-02-19", "Executive Order")
    san_francisco = adoptions[adoptions["place_id"] == "0667000"].iloc[0]
    assert san_francisco["policies_count"] == 3


def test_all_78_partner_cities_have_a_code(raw_dir: Path, places: Places) -> None:
    members = raw.read_table(raw_dir, "partner_network/members")
    assert len(members) == 78
    assert members["place_id"].is_unique
    assert all(place_id in places for place_id in members["place_id"])


def test_shares_of_a_place_add_up_to_one_in_every_period(raw_dir: Path, places: Places) -> None:
    walk = raw.read_table(raw_dir, "crosswalks/place_county")
    total = walk.groupby(["place_id", "period", "county_kind"])["county_share"].sum()
    assert total.sub(1).abs().max() < 5e-6
    counties = walk[walk["county_kind"] == "county"]
    for period, rows in counties.groupby("period"):
        assert set(rows["place_id"]) == set(places.universe), period
    regions = walk.loc[walk["county_kind"] == "planning_region", "county_id"]
    assert regions.str.fullmatch("091[1-9]0").all()


def test_an_independent_city_has_the_value_of_its_county(raw_dir: Path, observations) -> None:
    walk = raw.read_table(raw_dir, "crosswalks/place_county")
    walk = walk[(walk["period"] == "2010_2019") & (walk["county_kind"] == "county")]
    universe = raw.read_table(raw_dir, "gazetteer/universe")
    virginian = universe.loc[(universe["state"] == "VA") & (universe["legal_type"] == "city"), "place_id"]
    cities = {"2404000": "24510", "2965000": "29510"}
    for place_id in virginian:
        county = walk.loc[walk["place_id"] == place_id, "county_id"]
        # codes of Virginia's independent cities begin at 51510
        assert len(county) == 1, place_id
        assert county.iloc[0] > "51509", place_id
        cities[place_id] = county.iloc[0]
    assert len(cities) > 15
    for place_id, county_id in cities.items():
        parts = walk[walk["place_id"] == place_id]
        assert parts["county_share"].tolist() == [1.0]
        assert parts["county_id"].tolist() == [county_id]
        values = [value(observations, part, 2018, "unemployment_share") for part in parts["county_id"]]
        weighted = np.average(values, weights=parts["county_share"])
        assert weighted == value(observations, county_id, 2018, "unemployment_share")


def test_a_changed_file_is_refused_with_what_to_do(copy: Path) -> None:
    path = copy / "acs_income" / "one_year.csv"
    path.write_text(path.read_text().replace("69407", "99407"))
    with pytest.raises(DataError, match=r"changed since it was compiled.*never edited by hand"):
        raw.read_observations(copy, sources=["acs_income"])
    with pytest.raises(DataError, match=r"one_year\.csv: the file has changed"):
        raw.check(copy)
    assert len(raw.read_observations(copy, sources=["bls_laus"])) > 0


def test_check_gathers_every_fault(copy: Path) -> None:
    (copy / "bls_laus" / "annual_averages.csv").unlink()
    (copy / "stray.csv").write_text("a\n1\n")
    manifest = copy / "manifest.toml"
    manifest.write_text(manifest.read_text().replace("rows = 2430", "rows = 2431"))
    with pytest.raises(DataError, match="3 faults") as caught:
        raw.check(copy)
    text = str(caught.value)
    assert "annual_averages.csv" in text
    assert "stray.csv" in text
    assert "the manifest says 2,431" in text


def test_a_manifest_with_a_missing_field_is_refused(copy: Path) -> None:
    manifest = copy / "manifest.toml"
    manifest.write_text(manifest.read_text().replace("licence =", "license =", 1))
    with pytest.raises(DataError, match="licence"):
        raw.list_tables(copy)


@pytest.mark.parametrize(
    ("content", "part"),
    [
        ("[[tables]\nname = 1\n", r"cannot be read as TOML: .*line 1, column 9"),
        (b'name = "\xff"', "cannot be read as TOML"),
        ("", "damaged or empty: it names no table. Restore"),
        ("tables = 3\n", "names no table"),
        ("tables = [3]\n", "names no table"),
        ("tables = []\n", "names no table"),
    ],
)
def test_a_damaged_manifest_is_to_be_restored_and_no_table_to_be_removed(copy: Path, content, part) -> None:
    (copy / "manifest.toml").write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(DataError, match=part) as caught:
        raw.check(copy)
    assert str(copy / "manifest.toml") in str(caught.value)
    assert "remove it" not in str(caught.value)


def test_fields_of_a_wrong_type_are_refused(copy: Path) -> None:
    manifest = copy / "manifest.toml"
    text = manifest.read_text().replace("rows = 2429", 'rows = "many"').replace('key = ["event_id"]', "key = 3")
    manifest.write_text(text)
    with pytest.raises(DataError, match="2 faults") as caught:
        raw.list_tables(copy)
    assert "(acs_broadband/five_year): rows of a wrong type" in str(caught.value)
    assert "(certification/events): key of a wrong type" in str(caught.value)


def test_data_without_a_manifest_say_how_to_get_one(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no manifest"):
        raw.list_tables(tmp_path)


def test_unknown_names_list_the_known_ones(raw_dir: Path) -> None:
    with pytest.raises(InputError, match="acs_broadband"):
        raw.read_observations(raw_dir, sources=["acs_broadbant"])
    with pytest.raises(InputError, match="no variable broadband"):
        raw.read_observations(raw_dir, variables=["broadband"])
    with pytest.raises(InputError, match="certification/events"):
        raw.read_table(raw_dir, "events")


def test_choosing_variables_gives_the_same_rows_as_choosing_afterwards(raw_dir: Path, observations) -> None:
    some = raw.read_observations(raw_dir, variables=["population_count", "aqi_over_100_share"])
    wanted = observations["variable"].isin(["population_count", "aqi_over_100_share"])
    pd.testing.assert_frame_equal(some, observations[wanted].reset_index(drop=True))
