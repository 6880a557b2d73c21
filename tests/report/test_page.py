import dataclasses
import json
import re
from html.parser import HTMLParser

import nbformat
import pytest

from tests.conftest import ROOT
from wwc_research.errors import InputError
from wwc_research.evidence.evidence import Evidence
from wwc_research.report import engine, html, page, sections
from wwc_research.report.page_work import Link, PageWork

NOTEBOOK = ROOT / "notebooks" / "outcome_report.ipynb"


class Outline(HTMLParser):
    """What a screen reader meets: tags with their attributes, headings in order."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))

    def all(self, tag):
        return [attrs for name, attrs in self.tags if name == tag]

    @property
    def levels(self):
        return [int(name[1]) for name, _ in self.tags if re.fullmatch(r"h[1-6]", name)]


@pytest.fixture(scope="module")
def evidence_file(answered, tmp_path_factory):
    found = answered[1]["youth_neet"]
    path = tmp_path_factory.mktemp("evidence") / "youth_neet.json"
    found.write(path)
    return path


@pytest.fixture(scope="module")
def made(evidence_file):
    folder = evidence_file.parent
    work = PageWork(
        name="youth_neet",
        notebook=NOTEBOOK,
        executed=folder / "executed.ipynb",
        target=folder / "page.html",
        parameters={"evidence_path": str(evidence_file)},
        title="Youth & <work>",
    )
    engine.render_one(work)
    return work.target.read_text(encoding="utf-8")


@pytest.mark.notebook
def test_a_page_asks_nothing_of_anybody(made):
    outline = Outline(made)
    assert not outline.all("script")
    assert not outline.all("link")
    assert not outline.all("iframe")
    for attrs in outline.all("img"):
        assert attrs["src"].startswith("data:image/svg+xml,")
    policy = [attrs for attrs in outline.all("meta") if attrs.get("http-equiv") == "Content-Security-Policy"]
    assert policy[0]["content"].startswith("default-src 'none'")
    assert "url(" not in made.split("</style>")[0]
    assert len(made.encode()) < 260_000  # with a figure for each of three synthetic controls, and the curve


@pytest.mark.notebook
def test_a_page_reads_well_without_eyes(made):
    outline = Outline(made)
    assert outline.levels[0] == 1
    assert outline.levels.count(1) == 1
    assert all(after - before <= 1 for before, after in zip(outline.levels, outline.levels[1:], strict=False))
    assert len(outline.all("table")) == len(outline.all("caption")) >= 6
    assert all(attrs.get("scope") in ("col", "colgroup", "row", "rowgroup") for attrs in outline.all("th"))
    assert all(len(attrs["alt"]) > 20 for attrs in outline.all("img"))
    assert outline.all("html")[0]["lang"] == "en"
    assert len(outline.all("main")) == 1
    labels = [attrs["aria-label"] for attrs in outline.all("div") if attrs.get("role") == "region"]
    assert len(labels) == len(set(labels))


@pytest.mark.notebook
def test_a_page_starts_with_the_answer_and_what_not_to_claim(made):
    order = ["The answer", "How big", "How sure, and why", "What not to claim", "Before and after exposure"]
    places = [made.index(text) for text in order]
    assert places == sorted(places)
    assert "<title>Youth &amp; &lt;work&gt;</title>" in made
    for part in ("What was left out", "Cities side by side in 2021", "Checks", "Sources and versions"):
        assert part in made


@pytest.mark.notebook
def test_a_page_shows_no_path_of_the_machine(made, evidence_file):
    body = made.replace(str(evidence_file), "")
    assert str(ROOT) not in body
    assert "/tmp/" not in body


def test_a_city_with_a_hostile_name_harms_no_page(evidence_file):
    raw = json.loads(evidence_file.read_text(encoding="utf-8"))
    hostile = "<script>alert(1)</script>"
    raw["cohorts"][0]["labels"] = [hostile]
    raw["matched"][0]["treated"] = hostile
    raw["notes"] = [hostile]
    path = evidence_file.with_name("hostile.json")
    path.write_text(json.dumps(raw), encoding="utf-8")
    evidence = Evidence.read(path)
    for part in (sections.headline, sections.cohorts, sections.balance):
        assert "<script" not in part(evidence).html


def test_an_unknown_parameter_is_refused_with_those_there_are():
    with pytest.raises(InputError, match=r"no parameter evidencepath; it takes .*evidence_path"):
        page.check_parameters(NOTEBOOK, {"evidencepath": "a"})


def test_a_notebook_without_a_parameters_cell_is_refused(tmp_path):
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell("x = 1")])
    nbformat.write(notebook, tmp_path / "plain.ipynb")
    with pytest.raises(InputError, match="0 cells are tagged"):
        page.notebook_parameters(tmp_path / "plain.ipynb")


def executed_cell():
    cell = nbformat.v4.new_code_cell("x")
    cell.outputs = [
        nbformat.v4.new_output("execute_result", data={"text/html": "<table id='t'></table>", "text/plain": "t"}),
        nbformat.v4.new_output("stream", name="stderr", text="/home/someone/warning"),
    ]
    return nbformat.v4.new_notebook(cells=[cell])


def test_the_page_template_shows_tables_of_a_last_line_as_they_are():
    made = page.to_html(executed_cell(), title="T")
    assert "<table id='t'></table>" in made
    assert "/home/someone" not in made


def test_a_page_says_its_language_and_where_else_to_go():
    made = page.to_html(
        executed_cell(), title="T", language="es", audience="staff", links=[Link(text="<Todos>", href="../index.html")]
    )
    outline = Outline(made)
    assert outline.all("html")[0]["lang"] == "es-419"
    assert "../index.html" in [attrs.get("href") for attrs in outline.all("a")]
    assert "&lt;Todos&gt;" in made
    assert "<pre" not in made


def test_a_second_page_is_as_if_it_were_the_first():
    """The exporter is kept from page to page and must keep nothing of the last."""
    first = page.to_html(executed_cell(), title="T")
    page.to_html(executed_cell(), title="Other", language="pt", audience="staff")
    assert page.to_html(executed_cell(), title="T") == first


@pytest.mark.parametrize("text", ["no json", "{}", '{"cells": [1]}'])
def test_a_file_that_is_no_notebook_is_refused(tmp_path, text):
    (tmp_path / "n.ipynb").write_text(text, encoding="utf-8")
    with pytest.raises(InputError, match="is no notebook of format 4"):
        page.notebook_parameters(tmp_path / "n.ipynb")


def test_synthetic_controls_are_shown_where_they_are_planned_and_nowhere_else(evidence_file):
    neet = Evidence.read(evidence_file)
    text = html.text_only(str(sections.synthetic(neet).html))
    assert "Jefferson County, KY" in text
    assert "placebos" in text
    assert sections.synthetic(dataclasses.replace(neet, synthetic=())).html == ""
