import json

from typer.testing import CliRunner

from tests.report.test_run_diff import HEAD, ROWS, finished, moved
from wwc_research.cli import app, comparing

__all__ = ["comparing", "finished"]


def run(*words: object):
    done = CliRunner().invoke(app, [str(word) for word in ("reports", "diff", *words)])
    assert "Traceback" not in done.output
    return done


def test_the_exit_status_is_0_for_the_same_findings_1_for_others_and_2_for_no_run(finished, tmp_path):
    one, same = finished("one"), finished("same", seed=8)
    other = finished("other", rows=(moved(HEAD, 1.0), *ROWS[1:]))
    done = run(one, same)
    assert done.exit_code == 0
    assert "The findings are the same" in done.stdout
    assert "the seed was 7 and is 8" in done.stdout
    done = run(one, other)
    assert done.exit_code == 1
    assert "Broadband access" in done.stdout
    done = run(one, tmp_path / "none")
    assert done.exit_code == 2
    assert done.stderr.startswith("error: reports diff: ")


def test_runs_are_named_by_their_folder_under_reports_too(finished, tmp_path):
    (tmp_path / "data" / "raw").mkdir(parents=True)
    (tmp_path / "data" / "raw" / "manifest.toml").touch()
    (tmp_path / "reports").mkdir()
    for name in ("one", "two"):
        finished(name).rename(tmp_path / "reports" / name)
    assert run("one", "two", "--root", tmp_path).exit_code == 0
    done = run("one", "tow", "--root", tmp_path)
    assert done.exit_code == 2
    assert "tow: there is no such folder" in done.stderr


def test_the_differences_are_written_as_json_and_the_run_is_never_overwritten(finished, tmp_path):
    one, other = finished("one"), finished("other", rows=(moved(HEAD, 1.0), *ROWS[1:]))
    done = run(one, other, "--json", "-")
    assert done.exit_code == 1
    assert json.loads(done.stdout)["same_findings"] is False
    assert run(one, other, "--json", tmp_path / "out.json").exit_code == 1
    assert json.loads((tmp_path / "out.json").read_text(encoding="utf-8"))["findings"][0]["kind"] == "moved"
    before = (other / "run.json").read_bytes()
    assert run(one, other, "--json", other / "run.json").exit_code == 2
    assert (other / "run.json").read_bytes() == before


def test_the_help_tells_the_exit_status_and_gives_an_example():
    done = run("--help")
    assert done.exit_code == 0
    text = " ".join(done.stdout.split())
    for part in ("exit status is 0 where both", "1 where a finding differs", "2 where a run cannot be read"):
        assert part in text
    assert "wwc-research reports diff findings" in text
