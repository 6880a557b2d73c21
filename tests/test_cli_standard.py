import json

import pandas as pd
import pytest
from typer.testing import CliRunner

from tests.conftest import ROOT
from wwc_research.catalog.editions import edition
from wwc_research.cli import app
from wwc_research.sources.places import Places


@pytest.fixture
def built(project, panel):
    panel.write(project / "data" / "processed" / "panel.parquet")
    return project


def run(project, *words: object):
    return CliRunner().invoke(app, ["standard", "outcomes", "--root", str(project), *map(str, words)])


def test_a_city_gets_a_verdict_with_its_figures_for_every_outcome(built):
    done = run(built, "--city", "Detroit, MI")
    assert done.exit_code == 0
    assert "progress: demonstrated" in done.stdout
    assert "59.5% in 2016" in done.stdout
    assert "83.4% in 2022" in done.stdout
    assert "cannot tell" in done.stdout


def test_no_threshold_is_assumed_and_a_chosen_one_is_judged(built):
    words = ("--city", "2622000", "--reading", "standard", "--json", "-")
    rows = {row["measure"]: row for row in json.loads(run(built, *words).stdout)["outcomes"]}
    assert rows["broadband_share"]["verdict"] == "cannot tell"
    chosen = run(built, *words, "--threshold", "broadband=0.70")
    rows = {row["measure"]: row for row in json.loads(chosen.stdout)["outcomes"]}
    assert rows["broadband_share"]["verdict"] == "demonstrated"


def test_faults_of_a_question_are_said_and_nothing_is_written(built, tmp_path):
    out = tmp_path / "out.json"
    for words, part in (
        (("--city", "Detroit"), "add the state"),
        (("--city", "Detroit, MI", "--std-error", "pm25_mean_ug_m3=x"), "should be a number"),
        (("--city", "Detroit, MI", "--threshold", "broadband"), "NAME=VALUE"),
    ):
        done = run(built, *words, "--json", out)
        assert done.exit_code == 2
        assert part in done.stderr
    assert not out.exists()


def page(project, *words: object):
    return CliRunner().invoke(app, ["report", "standard", "--root", str(project), *map(str, words)])


@pytest.fixture
def proposal(tmp_path):
    path = tmp_path / "next.toml"
    path.write_text('based_on = "v3"\nname = "next"\n[criteria.DM2]\nis_core = true\n', encoding="utf-8")
    return path


@pytest.fixture
def assessments(tmp_path):
    """Nine cities: all meet what is core, six of them not DM2."""
    ids = list(edition("v3").criteria)
    cities = [place for place in Places.load(ROOT / "data" / "raw").universe if place.startswith("26")][:9]
    rows = [
        {"place": city, "assessed_on": "2023-06-21"} | {id_: int(id_ != "DM2" or n > 5) for id_ in ids}
        for n, city in enumerate(cities)
    ]
    path = tmp_path / "assessments.csv"
    pd.DataFrame(rows).to_csv(path, index=False)
    return path


def test_a_page_compares_two_editions_and_the_other_reports_stay_what_they_are(tmp_path):
    done = page(ROOT, "--from", "v2", "--to", "v3-draft", "--output-dir", tmp_path)
    assert done.exit_code == 0, done.output
    assert done.stdout == f"Page made: {tmp_path / 'v2-to-v3-draft.html'}\n"
    assert "What this page can and cannot say" in (tmp_path / "v2-to-v3-draft.html").read_text(encoding="utf-8")
    assert "--treatment" in CliRunner().invoke(app, ["report", "--help"]).output
    assert "--scores" in CliRunner().invoke(app, ["report", "standard", "--help"]).output


def test_scores_add_the_impact_and_print_no_city(tmp_path, proposal, assessments):
    words = ("--from", "v3", "--to", proposal, "--scores", assessments, "--k", 3, "--output-dir", tmp_path / "out")
    done = page(ROOT, *words)
    assert done.exit_code == 0, done.output
    text = (tmp_path / "out" / "v3-to-next.html").read_text(encoding="utf-8")
    assert "Of 9 cities certified under v3, 6 would lose certification and 3 would keep their level." in text
    for place in pd.read_csv(assessments, dtype=str)["place"]:
        assert place not in text + done.output
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["v3-to-next.html"]


@pytest.mark.parametrize(
    ("words", "part"),
    [
        (("--to", "v9"), "there is no edition 'v9'"),
        (("--to", "absent.toml"), "no such file"),
        (("--same", "OD1=OD1"), "give --scores FILE"),
    ],
)
def test_a_page_that_cannot_be_made_leaves_nothing_behind(tmp_path, words, part):
    done = page(ROOT, *words, "--output-dir", tmp_path / "out")
    assert done.exit_code == 2
    assert part in done.stderr
    assert not (tmp_path / "out").exists()


def test_outcomes_from_the_panel_are_taken_where_they_are_asked_for(built, tmp_path, proposal, assessments):
    words = ("--from", "v3", "--to", proposal, "--scores", assessments, "--k", 3, "--output-dir", tmp_path / "out")
    assert page(built, *words, "--outcomes", "panel").exit_code == 0
    assert page(built, "--outcomes", "panel").exit_code == 2


def test_too_few_cities_make_no_page(tmp_path, proposal, assessments):
    words = ("--from", "v3", "--to", proposal, "--scores", assessments, "--output-dir", tmp_path / "out")
    done = page(ROOT, *words)
    assert done.exit_code == 2
    assert "nothing may be shown" in done.stderr
    assert not (tmp_path / "out").exists()
