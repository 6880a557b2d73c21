import csv
import io
import json

import nbformat
import pytest

from wwc_research import catalog
from wwc_research.errors import InputError
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
    notebook.cells.insert(1, nbformat.v4.new_code_cell("assert 'employment' not in evidence_path, 'planted failure'"))
    nbformat.write(notebook, path)
    wanted, done = make(project, "broadband", "employment")
    assert done.made == ("broadband",)
    assert "planted failure" in done.failed["employment"]
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
    assert set(headlines) == {"broadband", "median_income"}
    assert float(headlines["broadband"]["minimum_detectable_effect"]) > 0
    record = json.loads((wanted.folder / "run.json").read_text(encoding="utf-8"))
    assert record["plan"]["sha256"] == catalog.plan().sha256
    assert record["seed"] == catalog.plan().seed
    assert record["versions"]["pandas"]


def test_names_that_do_not_exist_are_refused_before_any_work(project):
    with pytest.raises(InputError, match="there is no outcome 'brodband'"):
        batch.plan_batch(root=project, treatment="certification", outcomes=("brodband",), run=None, jobs=1)
    with pytest.raises(InputError, match="there is no treatment 'luck'"):
        batch.plan_batch(root=project, treatment="luck", outcomes=(), run=None, jobs=1)
    assert not (project / "reports").exists()
