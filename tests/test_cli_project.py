import pytest
from typer.testing import CliRunner

from tests.conftest import ROOT
from wwc_research.cli import app
from wwc_research.panel.panel import Panel


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
    for words, part in ((("brodband",), "no outcome"), (("--treatment", "luck"), "no treatment")):
        done = run("report", *words, "--root", project)
        assert done.exit_code == 2
        assert part in done.stderr
    assert not (project / "reports").exists()
