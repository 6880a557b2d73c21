"""Every kind of page there is, made without a kernel and without estimation, for tests of the HTML.

In: the name of a page and a language. Out: the page, by the road that real ones take: template, cells, nbconvert.
"""

from __future__ import annotations

import ast
import dataclasses
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import nbformat
import numpy as np

from tests.report.example_evidence import empty_evidence, example_evidence, failed_evidence
from wwc_research import catalog
from wwc_research.atomic import write_text
from wwc_research.catalog.editions import edition
from wwc_research.evidence.evidence import Evidence
from wwc_research.evidence.questions import Question
from wwc_research.messages import message
from wwc_research.panel.panel import Panel
from wwc_research.report import city_page
from wwc_research.report.batch_pages import AUDIENCE_LINKS
from wwc_research.report.city_index import city_index_html
from wwc_research.report.comparison import comparison_html
from wwc_research.report.index import index_html
from wwc_research.report.language import LANGUAGES, shown, speaking
from wwc_research.report.page import to_html
from wwc_research.report.page_work import Audience, Link, PageWork
from wwc_research.report.standard_page import standard_html

ROOT = Path(__file__).parents[2]
SCRIPT: Final = "<script>alert(1)</script>"
FORMULA: Final = '=HYPERLINK("http://x")'
DETROIT, SHREVEPORT = "2622000", "2270000"
CITIES: Final = {"city": DETROIT, "empty_city": SHREVEPORT, "hostile_city": DETROIT}
ESTIMATED: Final[Mapping[str, Callable[[], Evidence]]] = {
    "improvement": lambda: example_evidence("improvement"),
    "harm": lambda: example_evidence("harm"),
    "no_effect_larger": lambda: example_evidence("no_effect_larger"),
    "imprecise": lambda: example_evidence("cannot_tell", cause="imprecise"),
    "unreliable": lambda: example_evidence("cannot_tell", cause="unreliable"),
    "failed": failed_evidence,
    "empty": empty_evidence,
    "hostile": lambda: hostile_evidence(),
}
STAFF: Final = tuple(f"{name}.staff" for name in ESTIMATED)
RESEARCH: Final = tuple(f"{name}.research" for name in ESTIMATED)
OF_A_RUN: Final = ("index", "comparison", "standard", "cities")
ASKED: Final = tuple(
    Question(treatment=treatment, outcome=outcome)
    for treatment in ("certification", "open_data_policy")
    for outcome in ("broadband", "youth_neet", "unemployment", "median_income")
)


def hostile_evidence() -> Evidence:
    """Evidence in which everything that is a name is code, or a formula of a spreadsheet."""
    found = example_evidence("improvement")
    return dataclasses.replace(
        found,
        cohorts=({"cohort": 2018, "n_units": 6, "labels": [SCRIPT, FORMULA]},),
        matched=({"treated": SCRIPT, "controls": [FORMULA]}, {"treated": FORMULA, "controls": [SCRIPT]}),
        notes=(message("{name} is kept out.", name=SCRIPT),),
        synthetic=({**found.synthetic[0], "label": FORMULA},),
        provenance={
            **found.provenance,
            "sources": [{**found.provenance["sources"][0], "series": SCRIPT, "publisher": FORMULA}],
        },
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class ExamplePages:
    """Pages in a folder, each made when it is asked for first; workers that share the folder share the pages."""

    folder: Path
    panel: Callable[[], Panel]

    def path(self, name: str, code: str = "en") -> Path:
        """The file of the page."""
        path = self.folder / f"{name}.{code}.html"
        if not path.exists():
            write_text(path, self._made(name, code))
        return path

    def html(self, name: str, code: str = "en") -> str:
        """The text of the page."""
        return self.path(name, code).read_text(encoding="utf-8")

    def _made(self, name: str, code: str) -> str:
        if name in STAFF or name in RESEARCH:
            return self._outcome(name, code)
        if name in CITIES:
            return self._city(name, code)
        if name == "index":
            return _index(code)
        if name == "comparison":
            found, failed = _answers()
            return comparison_html(ASKED, found=found, failed=failed, links=_links(name, code), language=code)
        if name == "standard":
            return standard_html(edition("v2"), edition("v3"), language=code, links=_links(name, code))
        assert name == "cities", name
        return self._cities(code)

    def _outcome(self, name: str, code: str) -> str:
        estimated, _, audience = name.partition(".")
        evidence = self.folder / "evidence" / f"{estimated}.json"
        if not evidence.exists():
            ESTIMATED[estimated]().write(evidence)
        parameters = {"evidence_path": str(evidence), "audience": audience, "language": code}
        with speaking(code):
            outcome, treatment = catalog.outcome("broadband"), catalog.treatment("certification")
            title = shown(message("{outcome} and {treatment}", outcome=outcome.title, treatment=treatment.title))
        return _executed("outcome_report", parameters, title=title, audience=audience, links=_links(name, code))

    def _city(self, name: str, code: str) -> str:
        path = self._facts(name)
        parameters = {"facts_path": str(path), "language": code}
        return _executed("city_report", parameters, title=city_page.title(path, code), links=_links(name, code))

    def _facts(self, name: str) -> Path:
        folder, place = self.folder / "facts" / name, CITIES[name]
        there = list(folder.glob("*.json"))
        if there:
            return there[0]
        panel = self.panel()
        frame = panel.frame.copy()
        if name == "empty_city":
            dated = [one.name for one in panel.columns if one.first_year is not None and one.name in frame.columns]
            frame.loc[frame["place_id"].eq(place), dated] = np.nan
        if name == "hostile_city":
            frame["label"] = frame["label"].where(frame["place_id"].ne(place), SCRIPT)
            frame["label"] = frame["label"].where(frame["place_id"].eq(place), FORMULA)
        return city_page.write_facts(
            [place],
            panel=dataclasses.replace(panel, frame=frame),
            found={Question(treatment="certification", outcome="broadband"): example_evidence()},
            folder=folder,
            root=ROOT,
            plan=catalog.plan(),
        )[place]

    def _cities(self, code: str) -> str:
        works = [
            PageWork(
                name=f"cities/{title}",
                notebook=Path("city_report.ipynb"),
                executed=Path("city.ipynb"),
                target=Path(f"city.{place}.html"),
                parameters={},
                title=title,
                language=code,
            )
            for place, title in ((DETROIT, "Detroit, MI"), (SHREVEPORT, SCRIPT))
        ]
        failed = {"cities/tulsa-ok": "DataError: no <facts>"}
        return city_index_html(works, failed=failed, links=_links("cities", code), language=code)


def _executed(
    template: str, parameters: Mapping[str, str], *, title: str, links: tuple[Link, ...], audience: str = "research"
) -> str:
    """The page of a template whose cells are run here, in this process, as a kernel would run them."""
    notebook = nbformat.read(ROOT / "notebooks" / f"{template}.ipynb", as_version=4)
    names: dict[str, Any] = {}
    for cell in (one for one in notebook.cells if one.cell_type == "code"):
        value = _value_of(cell.source, names)
        if "parameters" in cell.metadata.get("tags", []):
            assert parameters.keys() <= names.keys()
            names |= parameters
        cell.outputs = [] if value is None else [_output(value)]
    asked: Audience = "staff" if audience == "staff" else "research"
    return to_html(notebook, title=title, language=parameters["language"], audience=asked, links=links)


def _value_of(source: str, names: dict[str, Any]) -> Any:
    """Run a cell; the value of its last line, where that is an expression."""
    lines = ast.parse(source).body
    last = lines.pop() if lines and isinstance(lines[-1], ast.Expr) else None
    exec(compile(ast.Module(body=lines, type_ignores=[]), "cell", "exec"), names)
    return eval(compile(ast.Expression(last.value), "cell", "eval"), names) if last else None


def _output(value: Any) -> nbformat.NotebookNode:
    return nbformat.v4.new_output("execute_result", data={"text/html": value._repr_html_(), "text/plain": "Block"})


def _answers() -> tuple[dict[Question, Evidence], dict[str, str]]:
    """One question of each verdict and, last, one that failed."""
    made = [one() for name, one in ESTIMATED.items() if name not in ("failed", "hostile")]
    *answered, last = ASKED
    found = {
        question: dataclasses.replace(
            made[at % len(made)],
            outcome=question.outcome,
            treatment=question.treatment,
            minimum_effect_of_interest=catalog.plan().analyses[question.outcome].minimum_effect_of_interest,
        )
        for at, question in enumerate(answered)
    }
    return found, {last.name: "EstimationError: <no> unit is seen before and after"}


def _index(code: str) -> str:
    found, failed = _answers()
    with speaking(code):
        pages = tuple(
            Link(text=shown(text), href=f"improvement.{audience}.{code}.html")
            for audience, text in AUDIENCE_LINKS.items()
        )
    links = {one.name: pages for one in found}
    files = (Link(text="evidence.csv", href="evidence.csv"), Link(text="run.json", href="run.json"))
    also = (*_links("index", code), *files)
    return index_html(ASKED, found=found, failed=failed, links=links, also=also, language=code)


def _links(name: str, code: str) -> tuple[Link, ...]:
    """To the index, and to the same page in every language."""
    there = (
        Link(text=one.name, href=f"{name}.{one.code}.html", language=one.tag, is_here=one.code == code)
        for one in LANGUAGES.values()
    )
    with speaking(code):
        index = Link(text=shown(message("All questions")), href=f"index.{code}.html", is_here=name == "index")
    return (index, *there)


__all__ = ["ASKED", "CITIES", "FORMULA", "OF_A_RUN", "RESEARCH", "SCRIPT", "STAFF", "ExamplePages"]
