"""The pages of a batch: one a question, audience and language, one a city and language, and how they are linked.

In: a `Batch`. Out: `PageWork`s, and the links of the index.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Final

from wwc_research import catalog
from wwc_research.evidence.questions import Question
from wwc_research.messages import message
from wwc_research.report import language
from wwc_research.report.batch_plan import CITY_NOTEBOOK, OUTCOME_NOTEBOOK, Batch
from wwc_research.report.page_work import Audience, Link, PageWork

AUDIENCE_LINKS: Final = {
    "staff": message("Short page"),
    "research": message("Full page with method and data"),
}


def page_name(question: Question, audience: Audience, code: str) -> str:
    """`certification/broadband.staff.es`: the page's place under the run's folder, without its ending."""
    return f"{question.name}.{audience}.{code}"


def in_language(batch: Batch, stem: str, code: str) -> str:
    """File of a page that is there once in each language: `index.html` in the first, `index.es.html` in another."""
    return f"{stem}.html" if code == batch.languages[0] else f"{stem}.{code}.html"


def outcome_works(batch: Batch) -> list[PageWork]:
    """A page for each question, audience and language."""
    return [
        _outcome_work(batch, question, audience, code)
        for code in batch.languages
        for question in batch.questions
        for audience in batch.audiences
    ]


def _outcome_work(batch: Batch, question: Question, audience: Audience, code: str) -> PageWork:
    notebook = batch.root / "notebooks" / OUTCOME_NOTEBOOK
    name = page_name(question, audience, code)
    outcome, treatment = catalog.outcome(question.outcome), catalog.treatment(question.treatment)
    with language.speaking(code):
        title = language.shown(message("{outcome} and {treatment}", outcome=outcome.title, treatment=treatment.title))
        links = [
            Link(text=language.shown(message("All questions")), href=f"../{in_language(batch, 'index', code)}"),
            *(
                Link(
                    text=language.shown(AUDIENCE_LINKS[other]),
                    href=f"{question.outcome}.{other}.{code}.html",
                    is_here=other == audience,
                )
                for other in batch.audiences
                if len(batch.audiences) > 1
            ),
        ]
    languages = _languages(batch, code, lambda other: f"{question.outcome}.{audience}.{other}.html")
    return PageWork(
        name=name,
        notebook=notebook,
        executed=batch.executed / f"{name}.ipynb",
        target=batch.folder / f"{name}.html",
        parameters={
            "evidence_path": from_notebook(notebook, batch.evidence_path(question)),
            "audience": audience,
            "language": code,
        },
        title=title,
        language=code,
        audience=audience,
        links=(*links, *languages),
    )


def _languages(batch: Batch, code: str, href: Callable[[str], str]) -> tuple[Link, ...]:
    """Links to the same page in every language; none where there is one only."""
    if len(batch.languages) < 2:
        return ()
    return tuple(
        Link(
            text=language.LANGUAGES[other].name,
            href=href(other),
            language=language.LANGUAGES[other].tag,
            is_here=other == code,
        )
        for other in batch.languages
    )


def from_notebook(notebook: Path, path: Path) -> str:
    """The path as the notebook is given it: the page shows its code, and not where a machine keeps its files."""
    return Path(os.path.relpath(path, notebook.parent)).as_posix()


def city_works(batch: Batch, facts: Mapping[str, Path]) -> list[PageWork]:
    """A page for each city and language.

    Parameters
    ----------
    facts
        By `place_id`, the file that the page is made from; the page has its name.
    """
    from wwc_research.report import city_page

    notebook = batch.root / "notebooks" / CITY_NOTEBOOK
    works = []
    for code in batch.languages:
        with language.speaking(code):
            back = Link(text=language.shown(message("All questions")), href=f"../{in_language(batch, 'index', code)}")
            every = Link(text=language.shown(message("All cities")), href=in_language(batch, "index", code))
            for path in facts.values():
                name = f"cities/{path.stem}.{code}"
                works.append(
                    PageWork(
                        name=name,
                        notebook=notebook,
                        executed=batch.executed / f"{name}.ipynb",
                        target=batch.folder / f"{name}.html",
                        parameters={"facts_path": from_notebook(notebook, path), "language": code},
                        title=city_page.title(path, code),
                        language=code,
                        links=(back, every, *_languages(batch, code, _city_file(path.stem))),
                    )
                )
    return works


def _city_file(stem: str) -> Callable[[str], str]:
    return lambda code: f"{stem}.{code}.html"


def question_links(batch: Batch, pages: Sequence[PageWork], code: str) -> dict[str, tuple[Link, ...]]:
    """By `Question.name`, links to its pages in one language, the short one first, from the run's folder."""
    there = {work.name for work in pages}
    with language.speaking(code):
        return {
            question.name: tuple(
                Link(text=language.shown(AUDIENCE_LINKS[audience]), href=f"{name}.html")
                for audience in batch.audiences
                if (name := page_name(question, audience, code)) in there
            )
            for question in batch.questions
        }


def question_pages(batch: Batch, question: Question) -> dict[str, str]:
    """The question's first page in each language, as a link from the page of a city."""
    return {code: f"../{page_name(question, batch.audiences[0], code)}.html" for code in batch.languages}


def run_links(batch: Batch, code: str, *, here: str) -> tuple[Link, ...]:
    """Links between the pages about the whole run; on the index also to its files for programs.

    Parameters
    ----------
    here
        `index`, `comparison` or `cities/index`: where the links stand.
    """
    up = "../" if "/" in here else ""
    with language.speaking(code):
        named = {
            "index": message("All questions"),
            **({"comparison": message("Treatments side by side")} if len(batch.treatments) > 1 else {}),
            **({"cities/index": message("All cities")} if batch.cities else {}),
        }
        pages = tuple(
            Link(text=language.shown(text), href=f"{up}{in_language(batch, stem, code)}", is_here=stem == here)
            for stem, text in named.items()
            if len(named) > 1
        )
        files = (
            Link(text=language.shown(message("Every estimate, as a table (CSV)")), href="evidence.csv"),
            Link(text=language.shown(message("How this run was made (JSON)")), href="run.json"),
        )
    languages = _languages(batch, code, lambda other: f"{up}{in_language(batch, here, other)}")
    return (*pages, *languages, *(files if here == "index" else ()))


__all__ = [
    "city_works",
    "from_notebook",
    "in_language",
    "outcome_works",
    "page_name",
    "question_links",
    "question_pages",
    "run_links",
]
