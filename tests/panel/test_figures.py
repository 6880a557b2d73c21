import dataclasses
import datetime
import shutil

import numpy as np
import pandas as pd
import pytest
from typer.testing import CliRunner

from tests.conftest import ROOT
from tests.panel.fetched_examples import observations, publish
from wwc_research import catalog
from wwc_research.cli import app
from wwc_research.errors import DataError, InputError
from wwc_research.evidence import plan_lock
from wwc_research.evidence.panels import panel_path, uncorrected_path
from wwc_research.panel import build
from wwc_research.panel.figures import Vintage, read_figures
from wwc_research.panel.panel import Panel
from wwc_research.sources import acs_one_year, raw

RAW = ROOT / "data" / "raw"
NEW = "breakpoints of May 2024"
DETROIT, WAYNE, PHOENIX, MARICOPA = "2622000", "26163", "0455000", "04013"
FIGURES = """
[figures]
aqi_median_index = ["epa_aqi@fresh"]
aqi_over_100_share = ["epa_aqi@fresh", "epa_aqi@2026", "epa_aqi@2022"]
broadband_share = ["acs_one_year@fresh", "acs_broadband@acs1"]
rent_burden_share = ["acs_one_year@fresh"]
youth_neet_city_share = ["acs_pums@fresh"]
youth_neet_city_allocation_se = ["acs_pums@fresh"]
"""


def fresh_air(fetched_dir, *, vintage="fresh"):
    """A made-up EPA vintage: Wayne County to 2026, and Maricopa wrong in 2020 and repaired in 2021."""
    over = {(WAYNE, year): 0.01 for year in (2023, 2024, 2025, 2026)}
    over |= {(MARICOPA, 2020): 0.55, (MARICOPA, 2021): 0.12}
    median = dict.fromkeys(over, 40.0)
    frame = observations({"aqi_over_100_share": over, "aqi_median_index": median}, source="epa_aqi", vintage=vintage)
    texts = raw.load_sources()["epa_aqi"]["fetch"]["tables"]["counties"]["definitions"]
    return publish(fetched_dir, frame, source="epa_aqi", vintage=vintage, definitions=texts)


def fresh_survey(fetched_dir, *, vintage="fresh"):
    """Made-up ACS figures: broadband of 2022 and 2023 with errors, rent burden, and a county that is no place."""
    broadband = {(DETROIT, 2022): 0.5, (DETROIT, 2023): 0.75, (WAYNE, 2023): 0.9}
    rent = {(DETROIT, 2022): 0.55, (DETROIT, 2023): 0.54}
    frame = observations(
        {"broadband_share": broadband, "rent_burden_share": rent},
        source="acs_one_year",
        vintage=vintage,
        errors={"broadband_share": {(DETROIT, 2022): 0.01, (DETROIT, 2023): 0.02}},
    )
    texts = acs_one_year.measured()
    return publish(fetched_dir, frame, source="acs_one_year", vintage=vintage, definitions=texts)


def fresh_youth(fetched_dir):
    """Made-up shares of young people: their total errors beside them, the parts of those as variables of their own."""
    share = {(DETROIT, 2021): 0.2, (DETROIT, 2022): 0.21, (PHOENIX, 2021): 0.1}
    frame = observations(
        {
            "youth_neet_share": share,
            "youth_neet_sampling_se": {(DETROIT, 2021): 0.03, (DETROIT, 2022): 0.06, (PHOENIX, 2021): 0.0},
            "youth_neet_allocation_se": {(DETROIT, 2021): 0.04, (DETROIT, 2022): 0.08, (PHOENIX, 2021): 0.01},
        },
        source="acs_pums",
        vintage="fresh",
        errors={"youth_neet_share": {(DETROIT, 2021): 0.05, (DETROIT, 2022): 0.1, (PHOENIX, 2021): 0.01}},
    )
    return publish(fetched_dir, frame, source="acs_pums", vintage="fresh")


@pytest.fixture(scope="module")
def fetched(tmp_path_factory):
    folder = tmp_path_factory.mktemp("figures") / "fetched"
    fresh_air(folder)
    fresh_survey(folder)
    fresh_youth(folder)
    return folder


@pytest.fixture(scope="module")
def shipped():
    return raw.read_observations(RAW, corrected=False)


@pytest.fixture
def quick_reading(monkeypatch, shipped):
    """Shipped observations read once for all tests."""
    read = raw.read_observations
    monkeypatch.setattr(
        raw, "read_observations", lambda path, **given: shipped.copy() if path == RAW else read(path, **given)
    )


@pytest.fixture(scope="module")
def built(tmp_path_factory, fetched):
    """A project in which the panel of a plan with fetched figures was built by the command line, and that panel."""
    root = tmp_path_factory.mktemp("built")
    shutil.copytree(RAW, root / "data" / "raw")
    shutil.copytree(fetched, root / "data" / "fetched")
    plan = root / "fresh.toml"
    plan.write_text(catalog.plan().text + FIGURES, encoding="utf-8")
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(raw, "check", lambda folder: None)  # it takes as long as the panel, and has its own tests
        result = CliRunner().invoke(app, ["panel", "build", "--plan", str(plan), "--root", str(root)])
    assert result.exit_code == 0, result.output
    figures = catalog.read_plan(plan.read_text(encoding="utf-8")).figures
    return root, figures, Panel.read(panel_path(root, figures=figures))


def column(panel, place_id, name):
    return panel.frame.loc[panel.frame["place_id"] == place_id].set_index("year")[name]


# --- what a panel of fetched figures holds ---------------------------------------------------------------


def test_columns_that_a_plan_does_not_name_are_as_they_ship(built, panel):
    _, figures, fresh = built
    old = fresh.frame.loc[fresh.frame["year"] <= 2024].reset_index(drop=True)
    named = [entry.name for entry in panel.columns if entry.vintages and entry.name not in figures]
    kept = ["place_id", "year", *(name for name in panel.frame if name.startswith(tuple(named)))]
    assert len(kept) > 50
    pd.testing.assert_frame_equal(old[kept], panel.frame[kept], check_exact=True)


def test_a_fetched_vintage_fills_its_column_and_adds_its_years(built):
    fresh = built[2]
    assert fresh.frame["year"].max() == 2026
    median = column(fresh, DETROIT, "aqi_median_index_main_county")
    assert median[[2023, 2026]].tolist() == [40.0, 40.0]
    assert median.notna().sum() == 4
    assert fresh.column("aqi_median_index").vintages == ("fresh",)
    assert fresh.column("aqi_median_index").last_year == 2026


def test_a_column_takes_the_preferred_vintage_and_fills_gaps_from_the_next(built, panel):
    fresh = built[2]
    now, before = (column(one, DETROIT, "broadband_share") for one in (fresh, panel))
    assert now[[2022, 2023]].tolist() == [0.5, 0.75]
    assert now[[2016, 2021]].tolist() == before[[2016, 2021]].tolist()
    assert column(fresh, DETROIT, "broadband_share_std_error")[2023] == 0.02


def test_a_column_without_shipped_figures_is_there_once_a_plan_names_a_vintage(built, panel):
    assert "rent_burden_share" not in panel.frame
    assert column(built[2], DETROIT, "rent_burden_share")[2023] == 0.54
    assert built[2].column("rent_burden_share").n_values == 2


def test_the_error_of_a_column_is_the_part_that_is_new_each_year_and_the_lasting_part_a_column_of_its_own(built):
    fresh = built[2]
    error = column(fresh, DETROIT, "youth_neet_city_share_std_error")
    assert error[[2021, 2022]].tolist() == [0.03, 0.06]
    assert column(fresh, DETROIT, "youth_neet_city_allocation_se")[[2021, 2022]].tolist() == [0.04, 0.08]
    # a sample that no replicate moves has no error that could be stated
    assert np.isnan(column(fresh, PHOENIX, "youth_neet_city_share_std_error")[2021])
    assert column(fresh, PHOENIX, "youth_neet_city_share")[2021] == 0.1


def test_a_vintage_without_the_errors_that_a_column_is_declared_to_have_is_refused():
    entry = catalog.Variable(name="x", title="X", source="s", unit="share", geography="place", std_error="x_se")
    frame = observations({"x": {(DETROIT, 2020): 0.1}}, source="s", vintage="v", errors={"x": {(DETROIT, 2020): 0.02}})
    vintages = [Vintage(source="s", name="v")]
    with pytest.raises(DataError, match="x: s@v holds no x_se, which is the standard error of the column"):
        build._preferred(frame, entry, vintages=vintages)
    assert build._preferred(frame, dataclasses.replace(entry, std_error=""), vintages=vintages)["std_error"][0] == 0.02


def test_provenance_counts_the_figures_of_each_vintage(built):
    served = {(item.source, item.vintage): item.n_figures for item in built[2].column("broadband_share").served}
    assert served[("acs_one_year", "fresh")] == 2  # a county is no place
    assert served[("acs_broadband", "acs1")] > 2000
    air = {item.vintage: item.n_figures for item in built[2].column("aqi_over_100_share").served}
    assert air["fresh"] == 5
    assert air["2026"] > air["fresh"]
    assert air["2022"] > 6000
    file = panel_path(built[0], figures=built[1])
    text = file.with_name(f"{file.stem}_dictionary.md").read_text(encoding="utf-8")
    assert "acs_one_year@fresh (2 figures), acs_broadband@acs1" in text


def test_a_fetched_vintage_is_corrected_where_it_is_wrong_and_kept_where_it_is_repaired(built):
    days = column(built[2], PHOENIX, "aqi_over_100_share_main_county")
    assert np.isnan(days[2020])
    assert days[2021] == 0.12
    lines = [line for line in built[2].corrections if line.startswith("epa_aqi@fresh")]
    assert len(lines) == 2
    assert "figures removed" in lines[0]
    assert "0.12 for 04013 in 2021, not above 0.4: the publisher has repaired" in lines[1]


def test_a_panel_of_a_plan_with_figures_never_takes_the_place_of_the_shipped_one(built):
    root, figures, _ = built
    assert not panel_path(root).exists()
    other = {**figures, "rent_burden_share": ("acs_one_year@other",)}
    paths = {panel_path(root), uncorrected_path(root)}
    for one in (figures, other):
        paths |= {panel_path(root, figures=one), uncorrected_path(root, figures=one)}
    assert len(paths) == 6
    assert panel_path(root, figures=dict(reversed(figures.items()))) == panel_path(root, figures=figures)


def test_a_panel_is_current_until_a_fetched_table_it_rests_on_changes(built):
    root, figures, _ = built
    path, folder = panel_path(root, figures=figures), root / "data" / "raw"
    assert build.panel_is_current(path, raw=folder, figures=figures)
    assert not build.panel_is_current(path, raw=folder)
    fresh_survey(root / "data" / "fetched", vintage="another")
    assert build.panel_is_current(path, raw=folder, figures=figures)
    table = root / "data" / "fetched" / "acs_one_year" / "fresh" / "table_1.csv"
    before = table.read_bytes()
    table.write_bytes(before + b"\n")
    try:
        assert not build.panel_is_current(path, raw=folder, figures=figures)
    finally:
        table.write_bytes(before)


def test_a_lock_holds_the_fetched_tables_and_the_order_of_vintages(built):
    root, _, _ = built
    folder = root / "data" / "raw"
    plan = catalog.read_plan(catalog.plan().text + FIGURES)
    locked = plan_lock.lock(plan, raw=folder, today=datetime.date(2026, 11, 23))
    assert locked.tables["acs_one_year@fresh/table_1"].vintage == "fresh"
    run = plan_lock.Run(treatment="certification", outcomes=("broadband",))
    assert plan_lock.check(plan, lock=locked, raw=folder, run=run).state == "follows"
    swapped = plan.text.replace(
        '"acs_one_year@fresh", "acs_broadband@acs1"', '"acs_broadband@acs1", "acs_one_year@fresh"'
    )
    found = plan_lock.check(catalog.read_plan(swapped), lock=locked, raw=folder, run=run)
    assert found.state == "deviates"
    assert any("figures.broadband_share" in line for line in found.deviations)


# --- what is refused -------------------------------------------------------------------------------------


@pytest.mark.usefixtures("quick_reading")
def test_vintages_that_differ_in_definition_are_refused_with_reason_and_way_out(fetched):
    figures = {"aqi_median_index": ["epa_aqi@fresh", "epa_aqi@2022"], "population_count": ["census_population@pep2019"]}
    with pytest.raises(InputError, match="differ in definition") as caught:
        read_figures(RAW, figures=figures, fetched_dir=fetched)
    told = str(caught.value)
    assert f"epa_aqi@fresh: median of the daily index, {NEW}" in told
    assert "epa_aqi@2022: median of the daily index, breakpoints before May 2024" in told
    assert 'aqi_median_index = ["epa_aqi@fresh"]' in told


@pytest.mark.usefixtures("quick_reading")
def test_vintages_that_measure_the_same_are_joined(fetched):
    figures = {
        "aqi_median_index": ["epa_aqi@fresh", "epa_aqi@2026"],
        "aqi_over_100_share": ["epa_aqi@fresh", "epa_aqi@2022"],
    }
    found = read_figures(RAW, figures=figures, fetched_dir=fetched)
    assert found.vintages["aqi_median_index"] == (
        Vintage(source="epa_aqi", name="fresh"),
        Vintage(source="epa_aqi", name="2026"),
    )


@pytest.mark.usefixtures("quick_reading")
def test_every_column_of_unlike_vintages_is_named_in_one_error(fetched):
    figures = {
        "aqi_median_index": ["epa_aqi@2026", "epa_aqi@2022"],
        "youth_neet_share": ["youth_neet_county@2019", "youth_neet_puma@acs1"],
    }
    with pytest.raises(InputError) as caught:
        read_figures(RAW, figures=figures, fetched_dir=fetched)
    # areas are no counties, which is told before what they measure
    assert "youth_neet_share: youth_neet_puma@acs1" in str(caught.value)
    publish(
        fetched,
        observations({"unemployment_share": {(WAYNE, 2023): 0.04}}, source="bls_laus", vintage="unlike"),
        source="bls_laus",
        vintage="unlike",
        definitions={"unemployment_share": "another rate"},
    )
    both = {
        "aqi_median_index": ["epa_aqi@2026", "epa_aqi@2022"],
        "unemployment_share": ["bls_laus@unlike", "bls_laus@2021-2024"],
    }
    with pytest.raises(InputError) as caught:
        read_figures(RAW, figures=both, fetched_dir=fetched)
    assert "2 faults" in str(caught.value)


def test_vintages_that_are_not_on_disk_are_named_with_the_command_that_gets_them(fetched):
    figures = {"aqi_median_index": ["epa_aqi@2030-01-01"], "rent_burden_share": ["acs_one_year@gone"]}
    with pytest.raises(InputError, match="2 faults") as caught:
        read_figures(RAW, figures=figures, fetched_dir=fetched)
    told = str(caught.value)
    assert "wwc-research data fetch epa_aqi --vintage 2030-01-01" in told
    assert "there are 2022, 2026 and fresh" in told
    assert "wwc-research data fetch acs_one_year --vintage gone" in told


@pytest.mark.usefixtures("quick_reading")
def test_a_vintage_without_the_figures_is_refused_with_what_it_has(fetched):
    figures = {"median_income_usd": ["acs_one_year@fresh"], "unemployment_share": ["acs_one_year@fresh"]}
    with pytest.raises(InputError, match="2 faults") as caught:
        read_figures(RAW, figures=figures, fetched_dir=fetched)
    assert "holds no median_income_usd; it has broadband_share and rent_burden_share" in str(caught.value)


@pytest.mark.usefixtures("quick_reading")
def test_figures_of_counties_do_not_fill_a_column_of_places(tmp_path):
    frame = observations({"rent_burden_share": {(WAYNE, 2023): 0.5}}, source="acs_one_year", vintage="counties")
    publish(tmp_path, frame, source="acs_one_year", vintage="counties")
    with pytest.raises(InputError, match=r"not for any place.*--geography place"):
        read_figures(RAW, figures={"rent_burden_share": ["acs_one_year@counties"]}, fetched_dir=tmp_path)


def test_a_vintage_with_two_figures_for_one_place_and_year_is_refused():
    entry = catalog.Variable(name="x", title="X", source="s", unit="share", geography="place")
    frame = observations({"x": {(DETROIT, 2020): 0.1}}, source="s", vintage="v")
    with pytest.raises(DataError, match="s@v has more than one x for 2622000 in 2020"):
        build._preferred(pd.concat([frame, frame]), entry, vintages=[Vintage(source="s", name="v")])


def test_a_fetched_vintage_may_not_bear_the_name_of_a_shipped_one(tmp_path):
    fresh_air(tmp_path, vintage="2026")
    with pytest.raises(InputError, match="rename that folder"):
        read_figures(RAW, figures={"aqi_median_index": ["epa_aqi@2026"]}, fetched_dir=tmp_path)


def test_figures_of_another_formula_are_not_joined_though_their_name_is_the_same(tmp_path, quick_reading):
    frame = observations({"broadband_share": {(DETROIT, 2023): 0.7}}, source="acs_one_year", vintage="any")
    texts = {"broadband_share": acs_one_year.measured()["broadband_any_share"]}
    publish(tmp_path, frame, source="acs_one_year", vintage="any", definitions=texts)
    with pytest.raises(InputError, match=r"B28002, line 4 over line 1.*B28003, line 4 over line 1"):
        read_figures(RAW, figures={"broadband_share": ["acs_one_year@any", "acs_broadband@acs1"]}, fetched_dir=tmp_path)


def test_a_manifest_edited_to_open_a_join_is_noticed(tmp_path, quick_reading):
    frame = observations({"aqi_median_index": {(WAYNE, 2023): 40.0}}, source="epa_aqi", vintage="any")
    texts = {"aqi_median_index": f"median of the daily index, {NEW}"}
    folder = publish(tmp_path, frame, source="epa_aqi", vintage="any", definitions=texts)
    edited = (folder / "manifest.toml").read_text().replace(NEW, "breakpoints before May 2024")
    (folder / "manifest.toml").write_text(edited)
    with pytest.raises(DataError, match=r"manifest\.toml: the file has changed since it was fetched"):
        read_figures(RAW, figures={"aqi_median_index": ["epa_aqi@any", "epa_aqi@2022"]}, fetched_dir=tmp_path)


def test_an_altered_table_of_a_vintage_is_refused(tmp_path, quick_reading):
    folder = fresh_survey(tmp_path)
    (folder / "table_1.csv").write_bytes((folder / "table_1.csv").read_bytes().replace(b"0.54", b"0.14"))
    with pytest.raises(DataError, match=r"Delete the folder .*data fetch acs_one_year --vintage fresh") as caught:
        read_figures(RAW, figures={"rent_burden_share": ["acs_one_year@fresh"]}, fetched_dir=tmp_path)
    assert "Shipped" not in str(caught.value)


@pytest.mark.parametrize(
    ("figures", "word"),
    [
        ({"height": ["epa_aqi@2026"]}, "height is no column"),
        ({"aqi_median_index": ["2026"]}, "should be vintages such as"),
        ({"youth_neet_2021_share": ["acs_pums@fresh"]}, "one table of microdata areas"),
    ],
)
def test_a_choice_that_means_nothing_is_refused(figures, word):
    with pytest.raises(InputError, match=word):
        read_figures(RAW, figures=figures)
