import json
import shutil
from pathlib import Path

import pytest
from typer.testing import CliRunner

from wwc_research import catalog
from wwc_research.cli import app
from wwc_research.evidence.evidence import Evidence
from wwc_research.report import wording

LOCK = "plan.lock.toml"


def run(*words: object):
    done = CliRunner().invoke(app, [str(word) for word in words])
    assert "Traceback" not in done.output
    return done


@pytest.fixture(scope="module")
def asked(answered, quick_plan, tmp_path_factory):
    """`evidence broadband` in an answered project: the project, what was printed, the JSON."""
    root = tmp_path_factory.mktemp("asked") / "project"
    shutil.copytree(answered[0], root)
    out = root / "broadband.json"
    before = times(root)
    done = run("evidence", "broadband", "--root", root, "--plan", quick_plan, "--jobs", 1, "--json", out)
    assert done.exit_code == 0, done.output
    assert times(root) == before
    return root, done, out


def times(root: Path) -> dict[str, int]:
    """When each finished part was written."""
    parts = root / "data" / "processed" / "parts"
    return {str(path): path.stat().st_mtime_ns for path in parts.rglob("*") if path.is_file()}


@pytest.fixture
def bare(tmp_path, project) -> Path:
    """A project without panel or parts, for what is refused or needs no figures."""
    return project


@pytest.fixture
def plan_file(tmp_path, quick_plan) -> Path:
    """A plan of the user's own, to be changed."""
    return Path(shutil.copy(quick_plan, tmp_path / "plan.toml"))


def changed(path: Path, old: str, new: str) -> Path:
    text = path.read_text(encoding="utf-8")
    assert old in text
    path.write_text(text.replace(old, new), encoding="utf-8")
    return path


def test_the_verdict_stands_first_and_then_the_sentence_that_may_be_quoted(asked, answered):
    found, lines = answered[1]["broadband"], asked[1].stdout.splitlines()
    outcome, treatment = catalog.outcome("broadband"), catalog.treatment("certification")
    assert lines[0].startswith(wording.verdict_title(found, outcome))
    assert lines[1] == wording.headline_sentence(found, outcome, treatment)


def test_grade_and_p_values_alone_and_corrected_are_told(asked, answered):
    found, text = answered[1]["broadband"], asked[1].stdout
    assert wording.graded(found) in text
    alone, family, q_value = (
        wording.p_value(value) for value in (found.judged["p_value"], found.family_p_value, found.q_value)
    )
    assert f"p {alone}, corrected over 2 questions {family}, q {q_value}." in text


def test_every_check_is_told_with_its_mark(asked, answered):
    lines = asked[1].stdout.splitlines()
    marks = {"passed": "passed", "failed": "FAILED", "cannot_tell": "cannot tell"}
    checks = answered[1]["broadband"].checks
    assert len(checks) > 10
    for check in checks:
        (line,) = (line for line in lines if line.endswith(check.sentence) and check.asks in line)
        assert line.startswith(marks[check.result])


def test_what_would_overturn_it_is_told_in_sentences(asked, answered):
    found, text = answered[1]["broadband"], asked[1].stdout
    assert len(found.sensitivity) == 6
    for values in found.sensitivity.values():
        assert (values.get("sentence") or values["failed"]) in text
    assert found.specifications["sentence"] in text
    assert found.specifications["joint"]["sentence"] in text


def test_that_no_plan_was_locked_is_told(asked):
    assert "was never locked" in asked[1].stdout


def test_the_json_is_evidence_that_reads_back_as_it_was(asked, answered):
    written, known = Evidence.read(asked[2]).as_dict(), answered[1]["broadband"].as_dict()
    assert json.dumps(written, sort_keys=True) == json.dumps(known, sort_keys=True)


@pytest.mark.parametrize(
    ("words", "part"),
    [
        (["brodband"], "Did you mean broadband?"),
        (["luck"], "no outcome 'luck'"),
        (["broadband", "--treatment", "luck"], "no treatment 'luck'"),
        (["broadband", "--treatment", "certification_level"], "certification_level"),
        (["broadband", "--plan", "absent.toml"], "absent.toml"),
        (["broadband", "--json", "no/such/folder/out.json"], "does not exist"),
    ],
)
def test_what_cannot_be_asked_is_refused_before_any_work(bare, words, part):
    done = run("evidence", *words, "--root", bare)
    assert done.exit_code == 2
    assert part in done.stderr
    assert "error: report" not in done.stderr
    assert not (bare / "data" / "processed").exists()


def test_the_panel_is_never_written_over(answered_project, quick_plan):
    panel = answered_project / "data" / "processed" / "panel.parquet"
    before = panel.read_bytes()
    done = run("evidence", "broadband", "--root", answered_project, "--plan", quick_plan, "--json", panel)
    assert done.exit_code == 2
    assert "is the input itself" in done.stderr
    assert panel.read_bytes() == before


def test_a_plan_is_locked_once(bare, plan_file):
    first = run("plan", "lock", "--root", bare, "--plan", plan_file)
    assert first.exit_code == 0
    assert "Locked on" in first.stdout
    written = (bare / LOCK).read_bytes()
    again = run("plan", "lock", "--root", bare, "--plan", plan_file)
    assert again.exit_code == 0
    assert "Nothing has changed" in again.stdout
    assert (bare / LOCK).read_bytes() == written


def test_a_changed_plan_is_locked_only_with_a_reason_which_is_kept(bare, plan_file):
    run("plan", "lock", "--root", bare, "--plan", plan_file)
    written = (bare / LOCK).read_bytes()
    changed(plan_file, "window = [2016, 2022]", "window = [2016, 2021]")
    refused = run("plan", "lock", "--root", bare, "--plan", plan_file)
    assert refused.exit_code == 2
    assert "--reason" in refused.stderr
    assert (bare / LOCK).read_bytes() == written
    done = run("plan", "lock", "--root", bare, "--plan", plan_file, "--reason", "2022 is not out yet")
    assert done.exit_code == 0
    assert "Locked on" in done.stdout
    assert "2022 is not out yet" in (bare / LOCK).read_text(encoding="utf-8")
    assert run("plan", "check", "--root", bare, "--plan", plan_file).exit_code == 0


def test_an_edited_lock_is_refused_with_the_way_out(bare, plan_file):
    run("plan", "lock", "--root", bare, "--plan", plan_file)
    changed(bare / LOCK, "minimum_effect_of_interest = 0.02", "minimum_effect_of_interest = 0.03")
    for words in (("plan", "check"), ("plan", "lock", "--reason", "why not")):
        done = run(*words, "--root", bare, "--plan", plan_file)
        assert done.exit_code == 2
        assert "edited" in done.stderr
        assert "version control" in done.stderr


def test_figures_that_are_not_what_the_manifest_says_are_not_locked(bare, plan_file):
    with (bare / "data" / "raw" / "acs_income" / "one_year.csv").open("a", encoding="utf-8") as file:
        file.write("0100820,2019,1\n")
    done = run("plan", "lock", "--root", bare, "--plan", plan_file)
    assert done.exit_code == 2
    assert "acs_income/one_year.csv" in done.stderr
    assert not (bare / LOCK).exists()


def test_plan_check_exits_with_0_only_where_a_locked_plan_is_followed(bare, plan_file):
    check = ("plan", "check", "--root", bare, "--plan", plan_file)
    never = run(*check)
    assert never.exit_code == 1
    assert "was never locked" in never.stdout
    run("plan", "lock", "--root", bare, "--plan", plan_file)
    follows = run(*check)
    assert follows.exit_code == 0
    assert "follows the plan that was locked on" in follows.stdout
    changed(plan_file, "window = [2016, 2022]", "window = [2016, 2021]")
    deviates = run(*check)
    assert deviates.exit_code == 1
    assert "deviates in 1 respect" in deviates.stdout
    assert "  analyses.broadband.window: locked [2016, 2022], now [2016, 2021]\n" in deviates.stdout


def test_plan_check_names_every_table_that_is_not_as_it_was_locked(bare, plan_file):
    run("plan", "lock", "--root", bare, "--plan", plan_file)
    with (bare / "data" / "raw" / "acs_income" / "one_year.csv").open("a", encoding="utf-8") as file:
        file.write("0100820,2019,1\n")
    done = run("plan", "check", "--root", bare, "--plan", plan_file)
    assert done.exit_code == 1
    (line,) = (line for line in done.stdout.splitlines() if line.startswith("  ") and "acs_income" in line)
    assert "one_year" in line


def test_a_run_after_the_lock_says_that_it_follows_it(answered_project, quick_plan):
    run("plan", "lock", "--root", answered_project, "--plan", quick_plan)
    done = run("evidence", "youth_neet", "--root", answered_project, "--plan", quick_plan, "--jobs", 1, "--json", "-")
    status = json.loads(done.stdout)["plan_status"]
    assert status["state"] == "follows"
    assert status["deviations"] == []


def test_a_run_of_another_window_than_the_locked_one_says_exactly_that(answered_project, quick_plan, plan_file):
    changed(plan_file, "window = [2016, 2022]", "window = [2016, 2021]")
    assert run("plan", "lock", "--root", answered_project, "--plan", plan_file).exit_code == 0
    done = run("evidence", "broadband", "--root", answered_project, "--plan", quick_plan, "--jobs", 1)
    assert done.exit_code == 0
    *_, sentence, deviation = done.stdout.splitlines()
    assert "deviates in 1 respect" in sentence
    assert deviation == "  analyses.broadband.window: locked [2016, 2021], now [2016, 2022]"


@pytest.mark.parametrize("words", [("evidence",), ("plan",), ("plan", "lock"), ("plan", "check")])
def test_each_command_explains_itself(words):
    done = run(*words, "--help")
    assert done.exit_code == 0
    assert "wwc-research " in done.stdout
