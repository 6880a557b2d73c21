import io

import pytest
from typer.testing import CliRunner

from tests.conftest import ROOT
from wwc_research.cli import app
from wwc_research.cli.progress import Progress, in_words
from wwc_research.panel.panel import Panel
from wwc_research.report import batch


def run(*words: object):
    return CliRunner().invoke(app, [str(word) for word in words])


@pytest.mark.parametrize(
    "words",
    [
        (), ("report",), ("data",), ("data", "list"), ("data", "check"), ("data", "compile"), ("panel",),
        ("panel", "build"), ("panel", "describe"), ("estimate",), ("match",), ("evidence",), ("plan",),
        ("plan", "lock"), ("plan", "check"), ("simulate",), ("simulate", "world"), ("reports", "diff"),
    ],
)  # fmt: skip
def test_every_command_explains_itself_with_an_example(words):
    done = run(*words, "--help")
    assert done.exit_code == 0
    assert "wwc-research " in done.stdout.split("\n", 1)[1] or words in ((), ("data",), ("panel",), ("plan",))


def test_data_list_names_publisher_and_licence_of_every_table():
    done = run("data", "list", "--root", ROOT)
    assert done.exit_code == 0
    assert "epa_aqi/vintage_2026" in done.stdout
    assert "public domain" in done.stdout


def test_data_check_finds_every_altered_table_at_once(project):
    assert run("data", "check", "--root", project).exit_code == 0
    for name in ("acs_income/one_year.csv", "epa_aqi/vintage_2022.csv"):
        with (project / "data" / "raw" / name).open("a", encoding="utf-8") as file:
            file.write("0100820,2019,text\n")
    done = run("data", "check", "--root", project)
    assert done.exit_code == 2
    assert "acs_income/one_year" in done.stderr
    assert "epa_aqi/vintage_2022" in done.stderr


def test_panel_build_refuses_altered_figures_and_leaves_nothing_behind(project):
    table = project / "data" / "raw" / "acs_income" / "one_year.csv"
    table.write_text(table.read_text(encoding="utf-8").replace("69407", "n/k"), encoding="utf-8")
    done = run("panel", "build", "--root", project)
    assert done.exit_code == 2
    assert "acs_income/one_year" in done.stderr
    assert "Traceback" not in done.output
    assert not (project / "data" / "processed").exists()


def test_panel_build_writes_the_panel_and_its_dictionary_and_describe_prints_it(project):
    assert run("panel", "describe", "--root", project).exit_code == 2
    assert run("panel", "build", "--root", project).exit_code == 0
    written = project / "data" / "processed"
    assert sorted(path.name for path in written.iterdir()) == ["panel.parquet", "panel_dictionary.md"]
    assert Panel.read(written / "panel.parquet").frame["place_id"].nunique() >= 1298
    done = run("panel", "describe", "--root", project)
    assert done.stdout == (written / "panel_dictionary.md").read_text(encoding="utf-8")


def test_a_folder_that_is_no_project_is_refused_with_the_way_out(tmp_path):
    done = run("data", "list", "--root", tmp_path)
    assert done.exit_code == 2
    assert "--root" in done.stderr


def test_a_place_that_cannot_be_written_is_one_message(project):
    (project / "data" / "processed").write_text("a file where a folder should be", encoding="utf-8")
    done = run("panel", "build", "--root", project)
    assert done.exit_code == 2
    assert "cannot be read or written" in done.stderr


def test_report_refuses_unknown_names_before_any_work(project):
    done = run("report", "--only", "brodband,luck", "--treatment", "fortune", "--lang", "xx", "--root", project)
    assert done.exit_code == 2
    for part in ("report: 4 faults", "'brodband'", "'luck'", "no treatment 'fortune'", "use en, es and pt"):
        assert part in done.stderr
    assert not (project / "reports").exists()


@pytest.mark.parametrize(
    ("ends", "status", "said"),
    [
        ({"failed": {}}, 0, "1 pages made, 1 already up to date. Open reports/findings/index.html"),
        ({"failed": {}, "made": (), "nothing_done": True}, 0, "Nothing has changed since the last run: 1 pages"),
        ({"failed": {"certification/luck.staff.en": "planted"}}, 1, "certification/luck.staff.en: planted"),
        (KeyboardInterrupt(), 130, "the same command goes on where it was"),
    ],
)
def test_the_exit_status_tells_how_a_batch_ended(project, monkeypatch, ends, status, said):
    def run_batch(wanted, **_):
        if isinstance(ends, BaseException):
            raise ends
        return batch.Finished(index=wanted.folder / "index.html", **{"made": ("one",), "unchanged": ("other",), **ends})

    monkeypatch.setattr(batch, "run_batch", run_batch)
    done = run("report", "--root", project)
    assert done.exit_code == status
    assert said in done.output


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def test_the_time_left_is_told_from_the_weights_once_it_can_be_known():
    clock, stream = Clock(), io.StringIO()
    shown = Progress(stream=stream, clock=clock)
    shown.expect({"a": 10.0, "b": 10.0, "c": 20.0, "d": 120.0})
    for name in "ab":
        clock.now += 30
        shown.tick(name)
        assert "left" not in shown.line
    clock.now += 60
    shown.tick("c")
    assert shown.line == "3 of 4 steps, 25%, about 6 minutes left"
    shown.tick("d")
    assert shown.line == "4 of 4 steps, 100%"


def test_nobody_watching_gets_a_line_now_and_then_and_no_more():
    clock, stream = Clock(), io.StringIO()
    shown = Progress(stream=stream, clock=clock)
    shown.expect({str(number): 1.0 for number in range(100)})
    for number in range(100):
        clock.now += 1
        shown.tick(str(number))
    lines = stream.getvalue().splitlines()
    assert len(lines) == 3
    assert lines[0] == "30 of 100 steps, 30%, about 1 minute left"
    assert "\r" not in stream.getvalue()


@pytest.mark.parametrize(
    ("seconds", "said"),
    [(1, "5 seconds"), (42, "40 seconds"), (55, "1 minute"), (3000, "50 minutes"), (9000, "2.5 hours")],
)
def test_a_duration_is_said_as_coarsely_as_an_estimate_is_good_for(seconds, said):
    assert in_words(seconds) == said
