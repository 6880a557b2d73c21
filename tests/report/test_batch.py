import csv
import io
import json
import re

import nbformat
import pytest

from wwc_research import catalog
from wwc_research.errors import DataError, InputError
from wwc_research.evidence.questions import read_plan_file
from wwc_research.report import batch
from wwc_research.report.csv_text import text_cell

pytestmark = pytest.mark.notebook


@pytest.fixture
def make(answered_project, quick_plan):
    """Render outcomes of the quick plan in a project whose parts are there already."""

    def made(*outcomes: str, **options):
        wanted = batch.plan_batch(root=answered_project, outcomes=outcomes, jobs=1, plan_path=quick_plan)
        done = batch.run_batch(wanted, say=lambda line: None, tick=lambda name: None, **options)
        return wanted, done

    return made


def test_one_failing_outcome_is_marked_and_its_neighbour_is_finished(answered_project, make):
    path = answered_project / "notebooks" / "outcome_report.ipynb"
    notebook = nbformat.read(path, as_version=4)
    broken = "import os\nassert 'employment.json' not in evidence_path, 'planted failure\\nin ' + os.path.abspath('x')"
    notebook.cells.insert(1, nbformat.v4.new_code_cell(broken))
    nbformat.write(notebook, path)
    wanted, done = make("broadband", "employment")
    assert done.made == ("certification/broadband",)
    why = done.failed["certification/employment"]
    assert "planted failure" in why
    assert "\n" not in why
    assert str(answered_project) not in why
    index = done.index.read_text(encoding="utf-8")
    assert "Failed:" in index
    assert 'href="certification/broadband.html"' in index
    assert 'href="certification/employment.html"' not in index
    assert not (wanted.folder / "certification" / "employment.html").exists()
    record = json.loads((wanted.folder / "run.json").read_text(encoding="utf-8"))
    assert list(record["failed"]) == ["certification/employment"]
    assert not batch.is_current(wanted)
    for name in ("index.html", "certification/broadband.html", "run.json", "evidence.csv"):
        assert str(answered_project) not in (wanted.folder / name).read_text(encoding="utf-8")


def test_nothing_is_done_twice_and_only_what_changed_is_done_again(make, quick_plan):
    names = {"certification/broadband", "certification/employment"}
    wanted, first = make("broadband", "employment")
    assert set(first.made) == names
    pages = {name: (wanted.folder / f"{name}.html").read_bytes() for name in first.made}
    for name, text in pages.items():
        (link,) = re.findall(rb'<nav aria-label="Pages"><a href="([^"]+)"', text)
        assert (wanted.folder / f"{name}.html").parent.joinpath(link.decode()).resolve() == first.index.resolve()
    _, second = make("broadband", "employment")
    assert (second.made, set(second.unchanged), second.nothing_done) == ((), names, True)
    (wanted.folder / "certification" / "broadband.html").write_text("tampered", encoding="utf-8")
    _, third = make("broadband", "employment")
    assert (third.made, third.unchanged) == (("certification/broadband",), ("certification/employment",))
    assert (wanted.folder / "certification" / "broadband.html").read_bytes() == pages["certification/broadband"]
    rows = list(csv.DictReader(io.StringIO((wanted.folder / "evidence.csv").read_text(encoding="utf-8"))))
    headlines = {row["outcome"]: row for row in rows if row["is_headline"] == "True"}
    assert set(headlines) == {question.outcome for question in wanted.assembled}
    assert float(headlines["broadband"]["minimum_detectable_effect"]) > 0
    assert float(headlines["broadband"]["family_p_value"]) >= float(headlines["broadband"]["judged_p_value"])
    record = json.loads((wanted.folder / "run.json").read_text(encoding="utf-8"))
    plan = read_plan_file(quick_plan)
    assert record["plan"]["sha256"] == plan.sha256
    assert record["seed"] == plan.seed
    assert record["versions"]["pandas"]
    assert len(record["tables"]["epa_aqi/vintage_2026"]) == 64


def planned(project, **changes):
    return batch.plan_batch(root=project, **changes)


def test_all_names_that_cannot_be_used_are_refused_together_before_any_work(project):
    with pytest.raises(InputError) as caught:
        planned(project, outcomes=("brodband", "luck"), treatments=("fortune",), run="../../evil")
    for part in ("no outcome 'brodband'", "Did you mean broadband?", "'luck'", "no treatment 'fortune'", "../../evil"):
        assert part in str(caught.value)
    for run in ("", ".", "a/b", "..", "/tmp/x"):
        with pytest.raises(InputError, match="plain name"):
            planned(project, run=run)
    with pytest.raises(InputError, match="has no dates; use certification or gold_certification or open_data_policy"):
        planned(project, treatments=("partner_network",))
    assert not (project / "reports").exists()


def test_a_plan_that_cannot_be_used_is_refused_before_any_work(project, tmp_path):
    path = tmp_path / "mine.toml"
    with pytest.raises(InputError, match=r"mine\.toml: cannot be read"):
        planned(project, plan_path=path)
    path.write_text("title = ", encoding="utf-8")
    with pytest.raises(DataError, match=r"mine\.toml is no TOML"):
        planned(project, plan_path=path)
    path.write_text(catalog.plan().text.replace("seed = ", "sead = ", 1), encoding="utf-8")
    with pytest.raises(DataError, match="lacks the field 'seed'"):
        planned(project, plan_path=path)


def test_one_run_asks_every_treatment_of_the_plan_and_corrects_over_all_of_them(project):
    whole = planned(project)
    assert whole.run == "findings"
    assert {question.treatment for question in whole.questions} == set(catalog.plan().treatments)
    assert len(whole.questions) == len(catalog.plan().treatments) * len(catalog.plan().analyses)
    some = planned(project, treatments=("gold_certification",), outcomes=("broadband", "broadband"))
    assert [question.name for question in some.questions] == ["gold_certification/broadband"]
    assert some.run == "gold_certification-broadband"
    asked = {*catalog.plan().treatments, "gold_certification"}
    residents = {"broadband", "air_quality", "youth_neet"}
    assert {question.name for question in some.assembled} == {f"{one}/{two}" for one in asked for two in residents}


def test_an_altered_table_is_noticed_and_refused(project, quick_plan):
    wanted = planned(project)
    before = batch.fingerprint(wanted)
    table = project / "data" / "raw" / "epa_aqi" / "vintage_2026.csv"
    table.write_text(table.read_text(encoding="utf-8").replace("2019", "2018", 1), encoding="utf-8")
    assert batch.fingerprint(wanted) != before
    wanted = planned(project, outcomes=("broadband",), plan_path=quick_plan)
    for change in (lambda: None, table.unlink):
        change()
        with pytest.raises(DataError, match="vintage_2026"):
            batch.run_batch(wanted, say=lambda line: None, tick=lambda name: None)


def test_a_project_without_its_template_is_refused(project):
    (project / "notebooks" / "outcome_report.ipynb").unlink()
    with pytest.raises(InputError, match="is missing"):
        planned(project)


def test_text_in_evidence_csv_is_no_formula():
    assert text_cell("=HYPERLINK(1)") == "'=HYPERLINK(1)"
    assert text_cell("ATT") == "ATT"
