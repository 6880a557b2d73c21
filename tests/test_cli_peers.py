import json

import pytest
from typer.testing import CliRunner

from wwc_research.cli import app


@pytest.fixture
def built(project, panel):
    panel.write(project / "data" / "processed" / "panel.parquet")
    return project


def run(project, *words: object):
    return CliRunner().invoke(app, ["peers", *map(str, words), "--root", str(project)])


def test_a_city_gets_its_peers_as_a_table_and_in_words(built):
    done = run(built, "Syracuse, NY", "--count", 3)
    assert done.exit_code == 0
    assert "Cities most like Syracuse, NY in 2014-2016" in done.stdout
    assert "overall nearer than" in done.stdout
    assert done.stdout.count("certified") > 3


def test_the_same_peers_are_written_as_json(built, tmp_path):
    out = tmp_path / "peers.json"
    assert run(built, "3673000", "--outcome", "broadband", "--json", out).exit_code == 0
    answer = json.loads(out.read_text(encoding="utf-8"))
    assert len(answer["peers"]) == 10
    assert answer["years"] == [2016, 2017]
    assert {"rank", "place_id", "label", "distance", "certification", "values", "sentence", "may_be_compared"} <= set(
        answer["peers"][0]
    )
    assert answer["exclusions"]
    assert answer["notes"]


def test_a_city_that_is_ambiguous_absent_or_asked_too_late_is_refused_and_nothing_is_written(built, tmp_path):
    out = tmp_path / "peers.json"
    for words, part in (
        (("Syracuse",), "add the state"),
        (("Syracuse, NY", "--year", 2022), "Choose 2021 or before"),
        (("Syracuse, MO",), "not in the panel"),
    ):
        done = run(built, *words, "--json", out)
        assert done.exit_code == 2
        assert part in done.stderr
    assert not out.exists()
