import numpy as np
import pandas as pd
import pytest

from tests.conftest import ROOT
from wwc_research import catalog
from wwc_research.catalog import Variable
from wwc_research.errors import DataError, InputError
from wwc_research.panel import build, figures
from wwc_research.panel.dictionary import data_dictionary
from wwc_research.panel.figures import Vintage
from wwc_research.panel.panel import Panel
from wwc_research.sources import raw

RAW = ROOT / "data" / "raw"
MARICOPA_CITIES = {"0455000": "Phoenix", "0473000": "Tempe", "0465000": "Scottsdale", "0446000": "Mesa"}


def column(panel: Panel, place_id: str, name: str) -> pd.Series:
    return panel.frame.loc[panel.frame["place_id"] == place_id].set_index("year")[name]


def test_every_eligible_place_has_one_row_a_year(panel):
    keys = panel.frame[["place_id", "year"]]
    assert not keys.duplicated().any()
    assert keys["place_id"].nunique() >= 1298
    assert len(keys) == keys["place_id"].nunique() * len(build.YEARS)
    assert (keys["year"].min(), keys["year"].max()) == (2006, 2024)


@pytest.mark.parametrize(
    ("place_id", "name", "year", "value"),
    [
        ("3651000", "median_income_usd", 2019, 69407),
        ("0644000", "median_income_usd", 2019, 67418),
        ("2622000", "median_income_usd", 2019, 33965),
        ("2507000", "median_income_usd", 2019, 79018),
        ("0667000", "median_income_usd", 2019, 123859),
        ("3651000", "population_count", 2019, 8336817),
        ("2622000", "population_count", 2019, 670031),
        ("0644000", "population_count", 2019, 3979576),
    ],
)
def test_published_values_arrive_in_the_panel_unchanged(panel, place_id, name, year, value):
    assert column(panel, place_id, name)[year] == value


def test_microdata_areas_add_up_to_the_known_city_shares(panel):
    shares = {"2622000": 26.1, "0644000": 13.9, "3651000": 16.0}
    for place_id, percent in shares.items():
        assert 100 * column(panel, place_id, "youth_neet_2021_share")[2021] == pytest.approx(percent, abs=0.05)


def test_an_independent_citys_value_is_its_countys_value(panel):
    independent = panel.frame.loc[panel.frame["place_id"].isin(["2404000", "2965000", "5167000", "5157000"])]
    for name in ("unemployment_share", "aqi_over_100_share"):
        both = independent[[name, f"{name}_main_county"]].dropna()
        assert len(both) > 20
        np.testing.assert_allclose(both[name], both[f"{name}_main_county"], rtol=1e-12)


def test_the_share_of_days_above_100_does_not_jump_where_the_vintages_meet(panel):
    vintages = raw.read_observations(RAW, variables=["aqi_over_100_share"]).dropna(subset="value")
    wide = vintages.pivot_table(index=["place_id", "year"], columns="vintage", values="value").dropna()
    assert len(wide) > 1000
    assert (wide["2026"] - wide["2022"]).abs().mean() < 0.0005
    yearly = panel.frame.groupby("year")["aqi_over_100_share"].mean()
    assert abs(yearly[2019] - yearly[2018]) < 0.02


def test_measures_that_epa_re_scored_come_from_one_vintage_only(panel):
    assert panel.column("aqi_median_index").vintages == ("2022",)
    assert panel.column("aqi_median_index").last_year == 2022


def test_the_faulty_monitor_is_taken_out_of_every_city_of_its_county(panel):
    for place_id in MARICOPA_CITIES:
        days = column(panel, place_id, "aqi_over_100_share")
        assert days[[2020, 2021]].isna().all()
        assert days[[2019, 2022]].notna().all()
    flags = panel.frame.loc[panel.frame["place_id"] == "0455000"].set_index("year")
    assert flags["aqi_over_100_share_main_county_flag"][2020] == "suspect_monitor"
    assert "04013" in panel.corrections[0]


def test_without_corrections_the_panel_shows_what_was_published():
    published = build.build_panel(RAW, corrected=False)
    assert column(published, "0455000", "aqi_over_100_share")[2021] == pytest.approx(0.6164, abs=1e-4)
    assert published.corrections == ()


def test_years_with_too_few_monitored_days_are_not_used(panel):
    few = panel.frame["aqi_over_100_share_main_county_flag"] == "few_days"
    assert few.any()
    assert panel.frame.loc[few, "aqi_over_100_share_main_county"].isna().all()


def test_covered_shares_are_shares_and_say_where_a_county_has_no_figure(panel):
    for name in ("aqi_over_100_share", "unemployment_share", "youth_neet_2021_share"):
        covered = panel.frame[f"{name}_covered_share"]
        assert covered.dropna().between(0, 1.000001).all()
        assert (covered.notna() == panel.frame[name].notna()).all()
    assert (panel.frame["aqi_over_100_share_covered_share"] < 0.999).any()


def test_cities_certified_without_a_date_are_marked_and_have_no_cohort(panel):
    undated = panel.frame.loc[panel.frame["certification_is_undated"]].drop_duplicates("place_id")
    assert set(undated["place_id"]) == {"3712000", "0668000", "1871000", "3915000", "4075000"}
    assert undated["certification_cohort"].isna().all()


def test_certified_us_cities_by_first_exposed_year_are_those_of_the_roster(panel):
    cities = panel.frame.drop_duplicates("place_id")
    counts = cities["certification_cohort"].value_counts().to_dict()
    assert counts == {2018: 9, 2019: 4, 2020: 6, 2022: 29, 2023: 2, 2024: 9, 2025: 8}


def observed(**vintages: float) -> pd.DataFrame:
    rows = [("0100124", 2020, "x", value, np.nan, "", "s", vintage) for vintage, value in vintages.items()]
    return pd.DataFrame(
        rows, columns=["place_id", "year", "variable", "value", "std_error", "flag", "source", "vintage"]
    )


def test_a_column_of_several_vintages_says_which_it_means():
    entry = Variable(name="x", title="X", source="s", unit="share", geography="place")
    with pytest.raises(DataError, match="several vintages"):
        figures._shipped(entry, ["new", "old"])
    named = Variable(name="x", title="X", source="s", unit="share", geography="place", vintages=("newest",))
    with pytest.raises(DataError, match="newest"):
        figures._shipped(named, ["new", "old"])


def test_the_preferred_vintage_wins_where_it_has_a_figure():
    entry = Variable(name="x", title="X", source="s", unit="share", geography="place", vintages=("new", "old"))
    vintages = [Vintage(source="s", name=name) for name in ("new", "old")]
    assert build._preferred(observed(old=1.0, new=2.0), entry, vintages=vintages)["value"].tolist() == [2.0]
    assert build._preferred(observed(old=1.0, new=np.nan), entry, vintages=vintages)["value"].tolist() == [1.0]


def test_a_panel_written_is_read_back_whole(panel, tmp_path):
    path = tmp_path / "deep" / "panel.parquet"
    panel.write(path)
    again = Panel.read(path)
    pd.testing.assert_frame_equal(again.frame, panel.frame)
    assert again.columns == panel.columns
    assert again.corrections == panel.corrections
    assert build.panel_is_current(path, raw=RAW)
    assert [item.name for item in path.parent.iterdir()] == ["panel.parquet"]


def test_files_that_are_no_panel_are_refused_with_what_to_do(tmp_path):
    absent, text, other = tmp_path / "absent.parquet", tmp_path / "text.parquet", tmp_path / "other.parquet"
    text.write_text("no parquet", encoding="utf-8")
    pd.DataFrame({"a": [1]}).to_parquet(other)
    for path, word in ((absent, "no panel yet"), (text, "no Parquet"), (other, "no panel of this package")):
        with pytest.raises(InputError, match=word) as caught:
            Panel.read(path)
        assert "wwc-research panel build" in str(caught.value)
        assert not build.panel_is_current(path, raw=RAW)


def test_the_dictionary_names_every_column_and_every_trap(panel):
    text = data_dictionary(panel)
    for entry in panel.columns:
        assert f"`{entry.name}`" in text
    assert "re-scored" in text
    assert "04013" in text


def test_the_dictionary_lists_outcomes_without_figures_with_the_command_that_gets_them(panel):
    text = data_dictionary(panel).partition("## Outcomes that wait for figures")[2]
    assert text
    for outcome in catalog.outcomes().values():
        variable = catalog.variables()[outcome.variable]
        if not variable.shipped:
            assert outcome.title in text
            assert f"wwc-research data fetch {variable.source}" in text
            assert f'{variable.name} = ["{variable.source}@VINTAGE"]' in text
            assert all(trap in text for trap in outcome.traps)
            assert all(why in text for why in outcome.breaks.values())
