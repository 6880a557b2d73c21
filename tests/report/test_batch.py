import dataclasses
import json
import os
import re
import subprocess
import sys
from pathlib import Path

import nbformat
import pytest

from tests.conftest import ROOT
from tests.report.batch_examples import answers_by_hand, take_their_place, write_template
from wwc_research.errors import DataError, InputError
from wwc_research.evidence.questions import Question
from wwc_research.evidence.run import Answers
from wwc_research.report import batch, batch_files, pdf
from wwc_research.report.batch_plan import Batch, plan_batch

BROADBAND, JOBS = (Question(treatment="certification", outcome=name) for name in ("broadband", "employment"))


@pytest.fixture
def written(monkeypatch):
    """Evidence by hand, pages without kernels; the package counts as unchanged while somebody edits it."""
    monkeypatch.setattr(batch_files, "code_hash", lambda: "one state")
    return take_their_place(monkeypatch.setattr)


@pytest.fixture
def wanted(project):
    """Plan a batch of two questions of one treatment; what is given differs."""

    def planned(**changes) -> Batch:
        asked = {"outcomes": ("broadband", "employment"), "treatments": ("certification",), "run": "small", "jobs": 1}
        return plan_batch(root=project, **{**asked, **changes})

    return planned


def files(folder: Path) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def record(wanted: Batch) -> dict:
    return json.loads((wanted.folder / "run.json").read_text(encoding="utf-8"))


def steady(found: dict[str, bytes]) -> dict[str, object]:
    """The files of a run, run.json without what it declares volatile."""
    told = json.loads(found["run.json"])
    assert set(told["volatile"]) == {"finished_at", "seconds"}
    return {**found, "run.json": {name: value for name, value in told.items() if name not in told["volatile"]}}


def test_every_question_has_a_page_for_each_audience_and_language_and_no_link_leads_nowhere(written, wanted):
    small = wanted(languages=("es", "en"), treatments=("certification", "open_data_policy"))
    done = batch.run_batch(small)
    pages = {f"{question.name}.{who}.{code}" for question in small.questions for who in ("staff", "research")
             for code in ("es", "en")}  # fmt: skip
    assert set(done.made) == pages
    assert len(pages) == 16
    overviews = {"index.html", "index.en.html", "comparison.html", "comparison.en.html", "evidence.csv", "run.json"}
    assert set(files(small.folder)) == {*overviews, *(f"{name}.html" for name in pages)}
    for name in overviews - {"evidence.csv", "run.json"}:
        text = (small.folder / name).read_text(encoding="utf-8")
        assert f'<html lang="{"en" if ".en." in name else "es-419"}"' in text
        for href in re.findall(r'href="([^"#]+)"', text):
            assert href.startswith("data:") or (small.folder / name).parent.joinpath(href).resolve().exists(), href
    text = (small.folder / "certification" / "broadband.staff.en.html").read_text(encoding="utf-8")
    hrefs = re.findall(r"href='([^']+)'", text)
    assert len(hrefs) == 5
    assert all((small.folder / "certification" / href).resolve().exists() for href in hrefs)


def test_nothing_is_done_twice_and_only_what_changed_is_done_again(written, wanted, monkeypatch):
    small = wanted()
    first = batch.run_batch(small)
    assert len(first.made) == 4
    before = files(small.folder)
    second = batch.run_batch(small)
    assert (second.made, set(second.unchanged), second.nothing_done) == ((), set(first.made), True)
    tampered = small.folder / "certification" / "broadband.staff.en.html"
    tampered.write_text("tampered", encoding="utf-8")
    third = batch.run_batch(small)
    assert third.made == ("certification/broadband.staff.en",)
    assert steady(files(small.folder)) == steady(before)

    def changed(asked, **_):
        found = dict(answers_by_hand(asked).found)
        found[JOBS] = dataclasses.replace(found[JOBS], overlap=())
        return Answers(found=found, failed={})

    monkeypatch.setattr(batch, "answer_batch", changed)
    tampered.write_text("tampered", encoding="utf-8")
    fourth = batch.run_batch(small)
    assert set(fourth.made) == {
        "certification/broadband.staff.en", "certification/employment.staff.en", "certification/employment.research.en"
    }  # fmt: skip
    assert len(batch.run_batch(small, force=True).made) == 4


@pytest.mark.parametrize(
    ("piece", "value", "n_made"),
    [
        ("code", "other", 4),
        ("plan", "other", 4),
        ("versions", {"pandas": "9"}, 4),
        ("languages", {"en": "", "es": "other"}, 2),
        ("templates", {"outcome_report.ipynb": "other"}, 4),
        ("lock", "other", 0),
    ],
)
def test_a_page_is_made_again_where_something_it_rests_on_has_changed(
    written, wanted, monkeypatch, piece, value, n_made
):
    small = wanted(outcomes=("broadband",), languages=("en", "es"))
    batch.run_batch(small)
    pieces = batch_files.pieces(small)
    monkeypatch.setattr(batch_files, "pieces", lambda _: {**pieces, piece: value})
    done = batch.run_batch(small)
    assert len(done.made) == n_made
    assert not done.nothing_done
    assert record(small)["pieces"][piece] == value


def test_pages_no_longer_asked_for_are_left_alone_and_are_not_on_the_index(written, wanted):
    batch.run_batch(wanted(audiences=("both",)))
    small = wanted(audiences=("staff",))
    done = batch.run_batch(small)
    assert set(done.made) == {"certification/broadband.staff.en", "certification/employment.staff.en"}  # other links
    assert (small.folder / "certification" / "broadband.research.en.html").exists()
    assert "research.en.html" not in done.index.read_text(encoding="utf-8")


def test_a_failed_page_is_marked_and_removed_and_the_others_are_finished(written, wanted):
    small = wanted(languages=("en", "es"))
    batch.run_batch(small)
    written.refused = "employment.staff.es"
    done = batch.run_batch(small, force=True)
    assert done.failed == {"certification/employment.staff.es": "planted failure"}
    assert len(done.made) == 7
    assert not (small.folder / "certification" / "employment.staff.es.html").exists()
    assert "planted failure" in (small.folder / "index.es.html").read_text(encoding="utf-8")
    assert "planted failure" not in done.index.read_text(encoding="utf-8")
    assert "employment.research.es.html" in (small.folder / "index.es.html").read_text(encoding="utf-8")
    assert record(small)["failed"] == {"certification/employment": "planted failure"}
    assert record(small)["failed_pages"] == done.failed
    assert not batch_files.is_current(small)
    written.refused = ""
    assert batch.run_batch(small).made == ("certification/employment.staff.es",)


def test_a_page_that_cannot_be_printed_is_told_and_tried_again(written, wanted, monkeypatch):
    refused = "broadband.staff"

    def print_some(pages, *, jobs):
        for page in pages:
            if refused not in page.name or not refused:
                page.with_suffix(".pdf").write_bytes(b"%PDF")
        return {str(page): "planted failure" for page in pages if refused and refused in page.name}

    monkeypatch.setattr(pdf, "browser", lambda: Path("browser"))
    monkeypatch.setattr(pdf, "write_pdfs", print_some)
    small = wanted(pdf=True)
    done = batch.run_batch(small)
    assert done.failed == {"certification/broadband.staff.en.pdf": "planted failure"}
    assert "certification/employment.staff.en.pdf" in record(small)["files"]
    assert "certification/broadband.staff.en.pdf" not in record(small)["files"]
    refused = ""
    again = batch.run_batch(small)
    assert (again.made, again.failed) == ((), {})
    assert "certification/broadband.staff.en.pdf" in record(small)["files"]


def test_a_question_without_evidence_has_no_page_left_and_is_marked(written, wanted, monkeypatch):
    small = wanted()
    batch.run_batch(small)
    found = dict(answers_by_hand(small).found)
    del found[JOBS]
    monkeypatch.setattr(batch, "answer_batch", lambda *_, **__: Answers(found=found, failed={JOBS: "too few units"}))
    (small.folder / "run.json").unlink()
    done = batch.run_batch(small)
    assert done.failed == {"certification/employment": "too few units"}
    assert sorted(path.name for path in (small.folder / "certification").iterdir()) == [
        "broadband.research.en.html",
        "broadband.staff.en.html",
    ]
    assert not small.evidence_path(JOBS).exists()
    assert "too few units" in done.index.read_text(encoding="utf-8")
    assert record(small)["failed"] == done.failed


def test_pages_go_where_they_are_wanted(written, wanted, tmp_path):
    small = wanted(out=tmp_path / "elsewhere")
    done = batch.run_batch(small)
    assert done.index == tmp_path / "elsewhere" / "index.html"
    assert len(files(tmp_path / "elsewhere")) == 7
    assert not (small.root / "reports").exists()


def test_the_steps_that_are_ticked_are_those_that_were_expected(written, wanted):
    expected, ticked = [], []
    batch.run_batch(wanted(), expect=expected.append, tick=ticked.append)
    assert set(ticked) == set(expected[-1])
    assert len(ticked) == 4


KILLED = """
import os, sys, time
from pathlib import Path
from tests.report.batch_examples import take_their_place
from wwc_research.report import batch, batch_files, comparison, index, language
from wwc_research.report.batch_plan import plan_batch

batch_files.code_hash = lambda: "one state"
seconds, kills = float(sys.argv[2]), [int(text) for text in sys.argv[3:]]
small = plan_batch(
    root=Path(sys.argv[1]), outcomes=("broadband", "employment"), treatments=("certification",), run="small",
    languages=("en", "es"),
)
written = take_their_place(setattr, seconds=seconds)
language.catalogue("es")  # read once, not in every copy
for count in kills:
    child = os.fork()
    if not child:
        batch.run_batch(small)
        os._exit(0)
    while len(list(small.folder.rglob("*.html"))) < count:
        time.sleep(0.005)
    os.kill(child, 9)
    os.waitpid(child, 0)
    assert not (small.folder / "run.json").exists(), "killed too late"
batch.run_batch(small)
print(len(written.names))
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="kills copies of a process")
def test_a_batch_that_is_killed_again_and_again_ends_as_an_undisturbed_one(written, wanted):
    small = wanted(languages=("en", "es"))
    batch.run_batch(small)
    undisturbed = steady(files(small.folder))
    for path in (*small.folder.rglob("*.html"), small.folder / "run.json", small.folder / "evidence.csv"):
        path.unlink()
    done = subprocess.run(
        [sys.executable, "-c", KILLED, str(small.root), "0.05", "0", "1", "3", "6"],
        cwd=ROOT, capture_output=True, text=True, check=True, env={**os.environ, "OMP_NUM_THREADS": "1"},
    )  # fmt: skip
    assert int(done.stdout) <= 8 - 5  # at most the page under way when the last was killed is lost
    left = {name: found for name, found in files(small.folder).items() if not name.endswith(".part")}
    assert steady(left) == undisturbed
    assert not list(small.executed.rglob("made.jsonl"))


@pytest.mark.notebook
def test_a_cell_that_fails_ends_one_page_and_its_notebook_is_kept(wanted, monkeypatch):
    monkeypatch.setattr(batch, "answer_batch", answers_by_hand)
    small = wanted(audiences=("staff",), engine="portable")
    write_template(small.root, "assert 'employment' not in evidence_path, 'planted\\nin ' + audience")
    done = batch.run_batch(small)
    assert done.made == ("certification/broadband.staff.en",)
    why = done.failed["certification/employment.staff.en"]
    assert "planted in staff" in why
    assert str(small.root) not in why
    assert "planted" in (small.executed / "certification" / "employment.staff.en.ipynb").read_text(encoding="utf-8")
    for name, text in files(small.folder).items():
        assert str(small.root).encode() not in text, name


def test_a_parameter_that_the_template_does_not_take_is_refused_before_any_work(wanted, monkeypatch):
    small = wanted()
    path = small.root / "notebooks" / "outcome_report.ipynb"
    notebook = nbformat.read(path, as_version=4)
    for cell in notebook.cells:
        if "parameters" in cell.metadata.get("tags", ()):
            cell.source = 'evidence_path = ""'
    nbformat.write(notebook, path)
    monkeypatch.setattr(batch, "answer_batch", lambda *_, **__: pytest.fail("work was begun"))
    with pytest.raises(InputError, match="evidence_path"):
        batch.run_batch(small)


def test_an_altered_table_is_noticed_and_refused(project, quick_plan):
    asked = plan_batch(root=project, outcomes=("broadband",), plan_path=quick_plan)
    before = batch_files.fingerprint(asked)
    table = project / "data" / "raw" / "epa_aqi" / "vintage_2026.csv"
    table.write_text(table.read_text(encoding="utf-8").replace("2019", "2018", 1), encoding="utf-8")
    assert batch_files.fingerprint(asked) != before
    for change in (lambda: None, table.unlink):
        change()
        with pytest.raises(DataError, match="vintage_2026"):
            batch.run_batch(asked)
