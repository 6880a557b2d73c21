import json

import pytest
from typer.testing import CliRunner

from wwc_research.cli import app


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
