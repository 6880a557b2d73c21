import csv
import io
import json

import nbformat
import pytest

from wwc_research import catalog
from wwc_research.errors import DataError, InputError
from wwc_research.report import batch

pytestmark = pytest.mark.notebook


def make(project, *outcomes: str, **options):
    wanted = batch.plan_batch(root=project, treatment="certification", outcomes=outcomes, run=None, jobs=1)
    said: list[str] = []
    done = batch.run_batch(wanted, say=said.append, tick=lambda name: None, **options)
    return wanted, done


def test_one_failing_outcome_is_marked_and_its_neighbour_is_finished(project):
    path = project / "notebooks" / "outcome_report.ipynb"
    notebook = nbformat.read(path, as_version=4)
    broken = "import os\nassert 'employment.json' not in evidence_path, 'planted failure\\nin ' + os.path.abspath('x')"
    notebook.cells.insert(1, nbformat.v4.new_code_cell(broken))
    nbformat.write(notebook, path)
    wanted, done = make(project, "broadband", "employment")
    assert done.made == ("broadband",)
    assert "planted failure" in done.failed["employment"]
    assert "\n" not in done.failed["employment"]
    assert str(project) not in done.failed["employment"]
    index = done.index.read_text(encoding="utf-8")
    assert "Failed:" in index
    assert 'href="broadband.html"' in index
    assert 'href="employment.html"' not in index
    assert not (wanted.folder / "employment.html").exists()
    record = json.loads((wanted.folder / "run.json").read_text(encoding="utf-8"))
    assert list(record["failed"]) == ["employment"]
    assert not batch.is_current(wanted)
    for name in ("index.html", "broadband.html", "run.json", "evidence.csv"):
        assert str(project) not in (wanted.folder / name).read_text(encoding="utf-8")


def test_nothing_is_done_twice_and_only_what_changed_is_done_again(project):
    wanted, first = make(project, "broadband", "median_income")
    assert set(first.made) == {"broadband", "median_income"}
    pages = {name: (wanted.folder / f"{name}.html").read_bytes() for name in first.made}
    _, second = make(project, "broadband", "median_income")
    assert (second.made, set(second.unchanged)) == ((), {"broadband", "median_income"})
    (wanted.folder / "broadband.html").write_text("tampered", encoding="utf-8")
    _, third = make(project, "broadband", "median_income")
    assert (third.made, third.unchanged) == (("broadband",), ("median_income",))
    assert (wanted.folder / "broadband.html").read_bytes() == pages["broadband"]
    rows = list(csv.DictReader(io.StringIO((wanted.folder / "evidence.csv").read_text(encoding="utf-8"))))
    headlines = {row["outcome"]: row for row in rows if row["is_headline"] == "True"}
    assert set(headlines) == set(wanted.assembled)
    assert float(headlines["broadband"]["minimum_detectable_effect"]) > 0
    record = json.loads((wanted.folder / "run.json").read_text(encoding="utf-8"))
    assert record["plan"]["sha256"] == catalog.plan().sha256
    assert record["seed"] == catalog.plan().seed
    assert record["versions"]["pandas"]
    assert len(record["tables"]["epa_aqi/vintage_2026"]) == 64


def planned(project, **changes):
    given = {"treatment": "certification", "outcomes": (), "run": None, "jobs": 1, **changes}
    return batch.plan_batch(root=project, **given)


def test_all_names_that_cannot_be_used_are_refused_together_before_any_work(project):
    with pytest.raises(InputError) as caught:
        planned(project, outcomes=("brodband", "luck"), treatment="fortune", run="../../evil")
    for part in ("no outcome 'brodband'", "Did you mean broadband?", "'luck'", "no treatment 'fortune'", "../../evil"):
        assert part in str(caught.value)
    for run in ("", ".", "a/b", "..", "/tmp/x"):
        with pytest.raises(InputError, match="plain name"):
            planned(project, run=run)
    with pytest.raises(InputError, match="has no dates; use certification or gold_certification or open_data_policy"):
        planned(project, treatment="partner_network")
    assert not (project / "reports").exists()


def test_naming_some_outcomes_leaves_the_full_run_alone_and_corrects_over_the_whole_family(project):
    some = planned(project, outcomes=("broadband", "broadband"))
    assert some.outcomes == ("broadband",)
    assert some.run == "certification-broadband"
    assert set(some.assembled) == {"broadband", "air_quality", "youth_neet"}
    assert planned(project).run == "certification"
    _, done = make(project, "broadband")
    rows = list(csv.DictReader(io.StringIO((done.index.parent / "evidence.csv").read_text(encoding="utf-8"))))
    headline = next(row for row in rows if row["outcome"] == "broadband" and row["is_headline"] == "True")
    assert {row["outcome"] for row in rows} == set(some.assembled)
    assert float(headline["q_value"]) > float(headline["judged_p_value"])


def test_an_altered_table_is_noticed_and_refused(project):
    wanted = planned(project)
    before = batch.fingerprint(wanted)
    table = project / "data" / "raw" / "epa_aqi" / "vintage_2026.csv"
    table.write_text(table.read_text(encoding="utf-8").replace("2019", "2018", 1), encoding="utf-8")
    assert batch.fingerprint(wanted) != before
    with pytest.raises(DataError, match="vintage_2026"):
        make(project, "broadband", force=True)
    table.unlink()
    with pytest.raises(DataError, match="vintage_2026"):
        make(project, "broadband", force=True)


def test_a_project_without_its_template_is_refused(project):
    (project / "notebooks" / "outcome_report.ipynb").unlink()
    with pytest.raises(InputError, match="is missing"):
        planned(project)


def test_text_in_evidence_csv_is_no_formula():
    assert batch._text_cell("=HYPERLINK(1)") == "'=HYPERLINK(1)"
    assert batch._text_cell("ATT") == "ATT"
