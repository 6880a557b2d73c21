import json
from pathlib import Path

import pandas as pd
import pytest
from typer.testing import CliRunner

from wwc_research.catalog.editions import edition
from wwc_research.cli import app

ROOT = Path(__file__).parents[1]
V3 = edition("v3")
KEYS = {
    "place_id",
    "name",
    "edition",
    "assessed_on",
    "points",
    "criteria_total",
    "share",
    "practice_shares",
    "level",
    "certified",
    "reasons",
}


def run(*options):
    return CliRunner().invoke(app, ["score", *map(str, options), "--root", str(ROOT)])


@pytest.fixture
def assessments(tmp_path):
    """Detroit meets every criterion; Boise the first 24 but DM1; Louisville 29, the hole between silver and gold."""
    ids = list(V3.criteria)
    core = ["DM1", "LC1", "PA1"]
    rest = [id_ for id_ in ids if id_ not in core]
    met = {"Detroit, MI": ids, "Boise, ID": ["LC1", "PA1", *rest[:22]], "Louisville, KY": [*core, *rest[:26]]}
    rows = [
        {"place": city, "assessed_on": "2023-06-21"} | {id_: int(id_ in chosen) for id_ in ids}
        for city, chosen in met.items()
    ]
    path = tmp_path / "assessments.csv"
    pd.DataFrame(rows).to_csv(path, index=False)
    return path


def test_a_file_becomes_scores_under_the_contract_and_only_counts_are_printed(assessments):
    out = assessments.with_name("out.json")
    done = run(assessments, "--edition", "v3", "--json", out)
    assert done.exit_code == 0, done.output
    assert done.output == "3 assessments scored with v3: 1 platinum, 0 gold, 1 silver, 1 none\n"
    rows = json.loads(out.read_text(encoding="utf-8"))
    assert all(set(row) == KEYS | {"level_by_points"} for row in rows)
    boise, louisville, detroit = rows
    assert (boise["place_id"], louisville["place_id"], detroit["place_id"]) == ("1608830", "2148006", "2622000")
    assert (boise["points"], boise["criteria_total"], boise["level"], boise["certified"]) == (24, 43, "none", False)
    assert {"core criterion DM1 not met", "24 of 43 would be silver"} <= set(boise["reasons"])
    assert (detroit["level"], detroit["share"], detroit["certified"]) == ("platinum", 1.0, True)
    assert "outcome not assessed" in detroit["reasons"]
    assert (louisville["points"], louisville["level"]) == (29, "silver")


def test_the_tie_rule_is_an_option_and_both_layouts_may_be_written_at_once(assessments):
    out, table = assessments.with_name("out.json"), assessments.with_name("out.csv")
    done = run(assessments, "--edition", "v3", "--tie-rule", "up", "--json", out, "--csv", table)
    assert done.output == "3 assessments scored with v3: 1 platinum, 1 gold, 0 silver, 1 none\n"
    levels = [row["level"] for row in json.loads(out.read_text(encoding="utf-8"))]
    assert pd.read_csv(table)["level"].tolist() == levels == ["none", "gold", "platinum"]


def test_a_faulty_file_leaves_one_message_status_2_and_nothing_written(assessments):
    text = assessments.read_text(encoding="utf-8")
    assessments.write_text(text.replace("Boise, ID", "Boisse, ID").replace("2023-06-21,1", "soon,1", 1))
    out = assessments.with_name("out.json")
    done = run(assessments, "--edition", "v3", "--json", out, "--csv", assessments.with_name("out.csv"))
    assert done.exit_code == 2
    assert done.stdout == ""
    assert done.stderr.startswith("error: assessments.csv: 2 faults")
    assert "row 2: assessed_on 'soon'" in done.stderr
    assert "row 3: 'Boisse, ID' is no place of the gazetteer. Nearest names: " in done.stderr
    assert "Boise City city, ID (1608830)" in done.stderr
    assert "Detroit" not in done.output
    assert "Louisville" not in done.output
    assert "Traceback" not in done.output
    assert [path.name for path in assessments.parent.iterdir()] == ["assessments.csv"]


@pytest.mark.parametrize(
    ("options", "fault"),
    [
        ([], "say where the scores go"),
        (["--json", "-"], "--json -: scores are confidential and not printed"),
        (["--csv", "absent/out.csv"], "--csv absent/out.csv: the folder"),
        (["--json", "same", "--csv", "same"], "--json and --csv are both same"),
        (["--edition", "v9", "--json", "out.json"], "v3"),
    ],
)
def test_options_that_cannot_be_followed_are_refused_before_any_work(assessments, monkeypatch, options, fault):
    monkeypatch.chdir(assessments.parent)
    done = run(assessments, "--edition", "v3", *options)
    assert done.exit_code == 2
    assert done.stdout == ""
    assert fault in done.stderr
    assert [path.name for path in assessments.parent.iterdir()] == ["assessments.csv"]


def test_the_help_says_that_the_output_is_confidential():
    assert "OUT IS CONFIDENTIAL" in CliRunner().invoke(app, ["score", "--help"]).output


def test_outcomes_from_the_panel_decide_where_they_are_asked_for(assessments, project, panel):
    panel.write(project / "data" / "processed" / "panel.parquet")
    out = assessments.with_name("judged.json")
    words = ["score", assessments, "--edition", "v3", "--outcomes", "panel", "--json", out, "--root", project]
    done = CliRunner().invoke(app, [str(word) for word in words])
    assert done.exit_code == 0, done.output
    detroit = next(row for row in json.loads(out.read_text(encoding="utf-8")) if row["place_id"] == "2622000")
    assert detroit["certified"] is True  # its broadband rose from 59.5 to 83.4 per cent
    assert "outcome not assessed" not in detroit["reasons"]
    hard = [*words, "--threshold", "broadband=0.99"]
    assert CliRunner().invoke(app, [str(word) for word in hard]).exit_code == 0


def test_an_edition_that_asks_for_no_outcome_refuses_to_judge_one(assessments, tmp_path):
    done = run(assessments, "--edition", "v2", "--outcomes", "panel", "--json", tmp_path / "x.json")
    assert done.exit_code == 2
    assert not (tmp_path / "x.json").exists()


def test_points_evidence_and_the_citys_own_outcome_decide_without_being_printed(assessments):
    table = pd.read_csv(assessments)
    table.insert(3, "DM1 evidence", ["yes", "", "no"])
    table["own_outcome"] = ["not demonstrated", "", "demonstrated"]
    table.to_csv(assessments, index=False)
    out = assessments.with_name("out.json")
    done = run(assessments, "--edition", "v3", "--json", out)
    assert done.output == "3 assessments scored with v3: 0 platinum, 0 gold, 0 silver, 3 none\n"
    boise, louisville, detroit = json.loads(out.read_text(encoding="utf-8"))
    assert "outcome not assessed" in boise["reasons"]
    assert (louisville["points"], louisville["level_by_points"]) == (28, "silver")
    assert {"DM1 said to be met, evidence not accepted", "core criterion DM1 not met"} <= set(louisville["reasons"])
    assert (detroit["points"], detroit["level_by_points"], detroit["level"]) == (43, "platinum", "none")
    assert any("outcome requirement not met" in text for text in detroit["reasons"])
