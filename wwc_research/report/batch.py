"""A batch: evidence for every question, one correction over all of them, their pages, an index.

In: a `Batch`. Out: its folder with pages, index, evidence.csv and run.json. What fails is marked and all else is
finished; unchanged work is not done again.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import CancelledError, as_completed
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

from wwc_research.atomic import write_text
from wwc_research.evidence.panels import ensure_panel
from wwc_research.evidence.questions import Pool, in_one_line
from wwc_research.report.batch_files import Made, data_hash, identity, is_current, last_run, write_run
from wwc_research.report.batch_pages import (
    city_works,
    in_language,
    outcome_works,
    question_links,
    question_pages,
    run_links,
)
from wwc_research.report.batch_plan import Batch
from wwc_research.report.evidence_table import evidence_csv

if TYPE_CHECKING:
    from wwc_research.evidence.run import Answers
    from wwc_research.report.page_work import PageWork

Say = Callable[[str], None]
Expect = Callable[[Mapping[str, float]], None]
PAGE_SECONDS: Final = 1.0  # of one core, roughly, beside the parts of evidence: for the time left that is announced


@dataclass(frozen=True, slots=True, kw_only=True)
class Finished:
    """How a batch ended.

    Attributes
    ----------
    made, unchanged
        Names of pages that were made, and that were up to date already.
    failed
        One line of explanation by page or, where a question has no evidence, by question.
    """

    index: Path
    made: tuple[str, ...]
    unchanged: tuple[str, ...]
    failed: Mapping[str, str]
    nothing_done: bool = False


def _silent(_: object) -> None:
    """Tell nobody."""


def run_batch(
    batch: Batch, *, say: Say = _silent, tick: Say = _silent, expect: Expect = _silent, force: bool = False
) -> Finished:
    """Make the pages of the batch; do nothing where nothing has changed.

    Parameters
    ----------
    say
        Called with a line for the user.
    expect, tick
        Called with the steps that are still to be done (their seconds of one core, roughly, by name), which may be more
        than once, and with the name of each when it is done.
    force
        Make every page, changed or not.

    Raises
    ------
    InputError
        For parameters that a template does not take, or a cluster that cannot do this work: before any work.
    """
    if not force and is_current(batch):
        unchanged = tuple(last_run(batch)["page_keys"])
        return Finished(index=batch.folder / "index.html", made=(), unchanged=unchanged, failed={}, nothing_done=True)
    from wwc_research.report import engine

    started = time.monotonic()
    works = outcome_works(batch)
    engine.check(works)
    with _cluster(batch) as pool:
        answers = answer_batch(batch, say=say, tick=tick, expect=expect, pool=pool, pages=works)
        _keep_evidence(batch, answers)
        unanswered = {question.name: why for question, why in answers.failed.items()}
        works = _possible(batch, works, answers) + _city_pages(batch, answers)
        made = Made.before(batch)
        current = [] if force else [work for work in works if made.is_current(work)]
        todo = [work for work in works if work not in current]
        expect({work.name: PAGE_SECONDS for work in todo})
        failed_pages = _render(batch, todo, made=made, pool=pool, tick=tick)
    pages = [work for work in works if work.name not in failed_pages]
    done = [work for work in todo if work.name not in failed_pages]
    others = _write_overviews(batch, answers=answers, pages=pages, failed_pages=failed_pages)
    printed, failed_prints = _write_pdfs(batch, pages=pages, new=done)
    others += printed
    asked = {question.name: unanswered[question.name] for question in batch.questions if question.name in unanswered}
    write_run(
        made,
        pages=pages,
        others=others,
        failed={**asked, **_by_question(batch, failed_pages), **failed_prints},
        failed_pages=failed_pages,
        seconds=time.monotonic() - started,
    )
    return Finished(
        index=batch.folder / "index.html",
        made=tuple(work.name for work in done),
        unchanged=tuple(work.name for work in current),
        failed={**unanswered, **failed_pages, **failed_prints},
    )


@contextmanager
def _cluster(batch: Batch) -> Iterator[Pool | None]:
    """The cluster that the batch names; None where this machine does the work."""
    if not batch.scheduler:
        yield None
        return
    from wwc_research.report.scheduler import cluster

    with cluster(batch.scheduler, root=batch.root) as pool:
        yield pool


def answer_batch(
    batch: Batch,
    *,
    say: Say = _silent,
    tick: Say = _silent,
    expect: Expect = _silent,
    pool: Pool | None = None,
    pages: Sequence[PageWork] = (),
) -> Answers:
    """Evidence for every question of the batch and of its families, judged together; nothing is rendered.

    Parameters
    ----------
    pages
        That are to be made afterwards: they count among the steps to expect.
    """
    panel_path = ensure_panel(batch.root, say=say, figures=batch.plan.figures)
    from wwc_research.evidence.run import answer, setting_of, steps

    figures = data_hash(batch.root, figures=batch.plan.figures)
    setting = setting_of(batch.root, panel_path=panel_path, plan=batch.plan, data_hash=figures)
    expect({**steps(batch.questions, setting=setting), **{work.name: PAGE_SECONDS for work in pages}})
    return answer(batch.questions, setting=setting, jobs=batch.jobs, root=batch.root, tick=tick, pool=pool)


def _keep_evidence(batch: Batch, answers: Answers) -> None:
    """Write the judged evidence where the pages read it; none is left of questions that failed."""
    for question, evidence in answers.found.items():
        evidence.write(batch.evidence_path(question))
    for question in answers.failed:
        batch.evidence_path(question).unlink(missing_ok=True)


def _possible(batch: Batch, works: Sequence[PageWork], answers: Answers) -> list[PageWork]:
    """The pages whose question has an answer; the others' are removed, as they no longer say what the data say."""
    without = tuple(f"{question.name}." for question in answers.failed)
    for work in works:
        if work.name.startswith(without):
            work.target.unlink(missing_ok=True)
    return [work for work in works if not work.name.startswith(without)]


def _city_pages(batch: Batch, answers: Answers) -> list[PageWork]:
    """The pages of the cities asked for, with the files that they are made from written."""
    if not batch.cities:
        return []
    from wwc_research.evidence.panels import panel_path
    from wwc_research.panel.panel import Panel
    from wwc_research.report import city_page, engine

    folder = batch.work / "cities" / batch.run
    panel = Panel.read(panel_path(batch.root, figures=batch.plan.figures))
    works = city_works(
        batch,
        city_page.write_facts(
            batch.cities,
            panel=panel,
            found=answers.found,
            folder=folder,
            root=batch.root,
            plan=batch.plan,
            links={question: question_pages(batch, question) for question in batch.questions},
        ),
    )
    engine.check(works)
    return works


def _render(batch: Batch, works: Sequence[PageWork], *, made: Made, pool: Pool | None, tick: Say) -> dict[str, str]:
    """Make the pages and note each that stands; why the others could not be made, by name."""
    from wwc_research.report import engine

    before = {work.name: (work, identity(work.target)) for work in works}

    def finished(name: str) -> None:
        work, was = before[name]
        if identity(work.target) not in (None, was):
            made.note(work)
        tick(name)

    if not works:
        return {}
    if pool is None:
        failed = dict(engine.render(works, jobs=batch.jobs, kind=batch.engine, tick=finished))
    else:
        failed = _render_elsewhere(works, pool=pool, root=batch.root, tick=finished)
    for name in failed:
        before[name][0].target.unlink(missing_ok=True)
    return failed


def _render_elsewhere(works: Sequence[PageWork], *, pool: Pool, root: Path, tick: Say) -> dict[str, str]:
    from wwc_research.report import engine

    futures = {pool.submit(engine.render_one, work): work.name for work in works}
    failed: dict[str, str] = {}
    for future in as_completed(futures):
        name = futures[future]
        try:
            future.result()
        except (Exception, CancelledError) as error:
            failed[name] = in_one_line(error, root=root)
        tick(name)
    return failed


def _by_question(batch: Batch, failed_pages: Mapping[str, str], code: str = "") -> dict[str, str]:
    """Why a page of a question failed, by `Question.name`; of the pages in one language where `code` is given."""
    found: dict[str, str] = {}
    for question in batch.questions:
        for name, why in failed_pages.items():
            if name.startswith(f"{question.name}.") and name.endswith(f".{code}" if code else ""):
                found.setdefault(question.name, why)
    return found


def _write_overviews(
    batch: Batch, *, answers: Answers, pages: Sequence[PageWork], failed_pages: Mapping[str, str]
) -> list[Path]:
    """Write the pages about the whole run in every language, and the table of all estimates."""
    from wwc_research.report.city_index import city_index_html
    from wwc_research.report.comparison import comparison_html
    from wwc_research.report.index import index_html

    unanswered = {question.name: why for question, why in answers.failed.items()}
    written = {batch.folder / "evidence.csv": evidence_csv(answers.found.values())}
    for code in batch.languages:
        failed = {**unanswered, **_by_question(batch, failed_pages, code)}
        written[batch.folder / in_language(batch, "index", code)] = index_html(
            batch.questions,
            found=answers.found,
            failed=failed,
            links=question_links(batch, pages, code),
            also=run_links(batch, code, here="index"),
            language=code,
        )
        if len(batch.treatments) > 1:
            written[batch.folder / in_language(batch, "comparison", code)] = comparison_html(
                batch.questions,
                found=answers.found,
                failed=failed,
                links=run_links(batch, code, here="comparison"),
                language=code,
            )
        if batch.cities:
            written[batch.folder / in_language(batch, "cities/index", code)] = city_index_html(
                [work for work in pages if work.name.startswith("cities/") and work.language == code],
                failed={name: why for name, why in failed_pages.items() if name.startswith("cities/")},
                links=run_links(batch, code, here="cities/index"),
                language=code,
            )
    for path, text in written.items():
        write_text(path, text)
    return list(written)


def _write_pdfs(
    batch: Batch, *, pages: Sequence[PageWork], new: Sequence[PageWork]
) -> tuple[list[Path], dict[str, str]]:
    """The PDFs of the pages where they were asked for, and why some could not be printed, by `PageWork.name` and .pdf.

    A PDF of a page that has changed since is removed.
    """
    beside = {work.target: work.target.with_suffix(".pdf") for work in pages}
    for work in new:
        beside[work.target].unlink(missing_ok=True)
    if not batch.pdf:
        return [], {}
    from wwc_research.report.pdf import write_pdfs

    reasons = write_pdfs([page for page, pdf in beside.items() if not pdf.exists()], jobs=batch.jobs)
    names = {str(work.target): f"{work.name}.pdf" for work in pages}
    return (
        [pdf for page, pdf in beside.items() if str(page) not in reasons],
        {names[page]: reason for page, reason in reasons.items()},
    )


__all__ = ["Finished", "answer_batch", "run_batch"]
