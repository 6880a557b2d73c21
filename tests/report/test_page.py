import dataclasses
import json
import re
from html.parser import HTMLParser

import nbformat
import pytest

from tests.conftest import ROOT
from wwc_research.errors import InputError, ReportError
from wwc_research.evidence.evidence import Evidence
from wwc_research.report import html, page, sections

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
    executed = evidence_file.with_name("executed.ipynb")
    page.execute(NOTEBOOK, executed=executed, parameters={"evidence_path": str(evidence_file)})
    return page.to_html(executed, title="Youth & <work>")


@pytest.mark.notebook
def test_a_page_asks_nothing_of_anybody(made):
    outline = Outline(made)
    assert not outline.all("script")
    assert not outline.all("link")
    assert not outline.all("iframe")
    for attrs in outline.all("img"):
        assert attrs["src"].startswith("data:image/svg+xml;base64,")
    policy = [attrs for attrs in outline.all("meta") if attrs.get("http-equiv") == "Content-Security-Policy"]
    assert policy[0]["content"].startswith("default-src 'none'")
    assert "url(" not in made.split("</style>")[0]
    assert len(made.encode()) < 400_000  # with a figure for each of three synthetic controls, and the curve


@pytest.mark.notebook
def test_a_page_reads_well_without_eyes(made):
    outline = Outline(made)
    assert outline.levels[0] == 1
    assert outline.levels.count(1) == 1
    assert all(after - before <= 1 for before, after in zip(outline.levels, outline.levels[1:], strict=False))
    assert len(outline.all("table")) == len(outline.all("caption")) >= 6
    assert all(attrs.get("scope") in ("col", "row") for attrs in outline.all("th"))
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
    evidence = sections.load(path)
    for part in (sections.headline, sections.cohorts, sections.balance):
        assert "<script" not in part(evidence).html


def test_an_unknown_parameter_is_refused_before_a_kernel_starts(tmp_path):
    with pytest.raises(InputError, match=r"no parameter evidencepath; it takes evidence_path"):
        page.execute(NOTEBOOK, executed=tmp_path / "x.ipynb", parameters={"evidencepath": "a"})
    assert not (tmp_path / "x.ipynb").exists()


def test_a_notebook_without_a_parameters_cell_is_refused(tmp_path):
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell("x = 1")])
    nbformat.write(notebook, tmp_path / "plain.ipynb")
    with pytest.raises(InputError, match="0 cells are tagged"):
        page.notebook_parameters(tmp_path / "plain.ipynb")


@pytest.mark.notebook
def test_a_failing_notebook_keeps_its_trace(tmp_path):
    parameters = nbformat.v4.new_code_cell("a = 1", metadata={"tags": ["parameters"]})
    kernel = {"kernelspec": {"name": "python3", "language": "python", "display_name": "Python 3"}}
    notebook = nbformat.v4.new_notebook(cells=[parameters, nbformat.v4.new_code_cell("1 / 0")], metadata=kernel)
    nbformat.write(notebook, tmp_path / "failing.ipynb")
    executed = tmp_path / "out" / "executed.ipynb"
    with pytest.raises(ReportError, match=r"ZeroDivisionError.*out/executed\.ipynb"):
        page.execute(tmp_path / "failing.ipynb", executed=executed, parameters={"a": 2})
    assert "ZeroDivisionError" in executed.read_text(encoding="utf-8")


def test_the_page_template_shows_tables_of_a_last_line(tmp_path):
    cell = nbformat.v4.new_code_cell("x")
    cell.outputs = [
        nbformat.v4.new_output("execute_result", data={"text/html": "<table id='t'></table>", "text/plain": "t"}),
        nbformat.v4.new_output("stream", name="stderr", text="/home/someone/warning"),
    ]
    nbformat.write(nbformat.v4.new_notebook(cells=[cell]), tmp_path / "e.ipynb")
    made = page.to_html(tmp_path / "e.ipynb", title="T")
    assert '<table id="t"></table>' in made
    assert "/home/someone" not in made


def test_synthetic_controls_are_shown_where_they_are_planned_and_nowhere_else(evidence_file):
    neet = Evidence.read(evidence_file)
    text = html.text_only(str(sections.synthetic(neet).html))
    assert "Jefferson County, KY" in text
    assert "placebos" in text
    assert sections.synthetic(dataclasses.replace(neet, synthetic=())).html == ""
