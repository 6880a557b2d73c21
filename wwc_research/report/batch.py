"""A batch: evidence for every question, one correction over all of them, one page each, an index.

In: the compiled tables and the plan. Out: reports/<run>/ with <treatment>/<outcome>.html, index, evidence.csv and
run.json. A failed question is marked and the others are finished; unchanged work is not done again.
"""

from __future__ import annotations

import csv
import difflib
import hashlib
import io
import json
import os
import platform
import re
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future, as_completed
from dataclasses import dataclass
from importlib import metadata, resources
from pathlib import Path
from typing import TYPE_CHECKING, Any

from wwc_research import __version__, catalog
from wwc_research.atomic import write_text
from wwc_research.catalog import Plan
from wwc_research.errors import Faults, listed
from wwc_research.evidence.panels import ensure_panel
from wwc_research.evidence.questions import LOCK_FILE, Question, in_one_line, read_plan_file, with_family, workers
from wwc_research.report import page
from wwc_research.report.csv_text import text_cell

if TYPE_CHECKING:
    from wwc_research.evidence.evidence import Evidence
    from wwc_research.evidence.run import Answers

NOTEBOOK = "outcome_report.ipynb"
WHOLE_RUN = "findings"
PACKAGES = ("numpy", "pandas", "scipy", "statsmodels", "scikit-learn", "matplotlib", "papermill", "nbconvert")


@dataclass(frozen=True, slots=True, kw_only=True)
class Batch:
    """What to render, and where: `root` holds data/, notebooks/ and reports/; `questions` have a page each."""

    root: Path
    questions: tuple[Question, ...]
    run: str
    plan: Plan
    jobs: int = 2

    @property
    def treatments(self) -> tuple[str, ...]:
        """The treatments asked about, in order."""
        return tuple(dict.fromkeys(question.treatment for question in self.questions))

    @property
    def outcomes(self) -> tuple[str, ...]:
        """The outcomes asked about, in order."""
        return tuple(dict.fromkeys(question.outcome for question in self.questions))

    @property
    def assembled(self) -> tuple[Question, ...]:
        """Questions to answer: those with a page, and the others of their families, which the correction needs."""
        return with_family(self.questions, plan=self.plan)

    @property
    def folder(self) -> Path:
        """Where the pages go."""
        return self.root / "reports" / self.run

    @property
    def work(self) -> Path:
        """Where evidence and executed notebooks go."""
        return self.root / "data" / "processed"

    def page_path(self, question: Question) -> Path:
        """The page of one question."""
        return self.folder / f"{question.name}.html"

    def evidence_path(self, question: Question) -> Path:
        """The evidence file of one question."""
        return self.work / "evidence" / self.run / f"{question.name}.json"


@dataclass(frozen=True, slots=True, kw_only=True)
class Finished:
    """How a batch ended: pages made, pages that were already up to date, and failures, all by `Question.name`."""

    index: Path
    made: tuple[str, ...]
    unchanged: tuple[str, ...]
    failed: Mapping[str, str]
    nothing_done: bool = False


def _hash_of_files(paths: Sequence[Path], *, base: Path) -> str:
    digest = hashlib.sha256()
    for path in sorted(paths):
        digest.update(path.relative_to(base).as_posix().encode() + b"\0" + path.read_bytes() + b"\0")
    return digest.hexdigest()


def _package_files() -> tuple[Path, list[Path]]:
    base = Path(str(resources.files("wwc_research")))
    kinds = {".py", ".toml", ".j2", ".css", ".json"}
    return base, [path for path in base.rglob("*") if path.suffix in kinds]


def versions() -> dict[str, str]:
    """Versions of Python and of the packages that make the numbers."""
    found = {name: metadata.version(name) for name in PACKAGES}
    return {"python": platform.python_version(), "wwc-research": __version__, **found}


def fingerprint(batch: Batch) -> str:
    """A hash over all that the pages depend on: code, templates, notebook, data, plan and its lock, versions."""
    base, files = _package_files()
    parts = {
        "package": _hash_of_files(files, base=base),
        "notebook": _hash_of_files([batch.root / "notebooks" / NOTEBOOK], base=batch.root),
        "data": data_hash(batch.root),
        "questions": [question.name for question in batch.questions],
        "plan": batch.plan.sha256,
        "lock": _file_hash(batch.root / LOCK_FILE) or "",
        "versions": versions(),
    }
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()


def data_hash(root: Path) -> str:
    """Hash over the manifest and every compiled table as it is on disk, so that an altered table is noticed."""
    folder = root / "data" / "raw"
    return _hash_of_files([folder / "manifest.toml", *folder.rglob("*.csv")], base=folder)


def _last_run(batch: Batch) -> dict[str, Any]:
    path = batch.folder / "run.json"
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, json.JSONDecodeError):
        return {}
    return found if isinstance(found, dict) else {}


def is_current(batch: Batch) -> bool:
    """Whether the last run had the same inputs, failed nowhere, and its files are still as it left them."""
    last = _last_run(batch)
    if last.get("fingerprint") != fingerprint(batch) or last.get("failed"):
        return False
    files: dict[str, str] = last.get("files", {})
    return bool(files) and all(_file_hash(batch.folder / name) == digest for name, digest in files.items())


def _file_hash(path: Path) -> str | None:
    return hashlib.sha256(path.read_bytes()).hexdigest() if path.exists() else None


def render_one(notebook: Path, executed: Path, target: Path, parameters: dict[str, str], title: str) -> None:
    """Run the notebook on one evidence file (in a worker) and write the page."""
    page.execute(notebook, executed=executed, parameters=parameters)
    write_text(target, page.to_html(executed, title=title))


def _collect(
    futures: Mapping[Future[None], Question], *, root: Path, tick: Callable[[str], None]
) -> dict[Question, str]:
    """Wait for all; what went wrong with each that failed, in one line."""
    failed: dict[Question, str] = {}
    for future in as_completed(futures):
        question = futures[future]
        error = future.exception()
        if error is not None:
            failed[question] = in_one_line(error, root=root)
        tick(question.name)
    return failed


def run_batch(
    batch: Batch, *, say: Callable[[str], None], tick: Callable[[str], None], force: bool = False
) -> Finished:
    """Render the batch; do nothing where nothing has changed.

    Parameters
    ----------
    say, tick
        Called with a line for the user, and after each finished step.
    force
        Render even where nothing has changed.
    """
    index = batch.folder / "index.html"
    if not force and is_current(batch):
        return Finished(
            index=index,
            made=(),
            unchanged=tuple(question.name for question in batch.questions),
            failed={},
            nothing_done=True,
        )
    started = time.monotonic()
    answers = answer_batch(batch, say=say, tick=tick)
    for question, evidence in answers.found.items():
        evidence.write(batch.evidence_path(question))
    for question in answers.failed:
        batch.evidence_path(question).unlink(missing_ok=True)
    rendered, unchanged, failures = _render_all(batch, failed=answers.failed, force=force, tick=tick)
    failed = {question.name: why for question, why in {**answers.failed, **failures}.items()}
    _write_index(batch, found=answers.found, failed=failed)
    _write_run(batch, failed=failed, seconds=time.monotonic() - started)
    return Finished(index=index, made=rendered, unchanged=unchanged, failed=failed)


def answer_batch(batch: Batch, *, say: Callable[[str], None], tick: Callable[[str], None]) -> Answers:
    """Evidence for every question of the batch and of its families, judged together; nothing is rendered."""
    from wwc_research.evidence.run import answer, setting_of

    panel_path = ensure_panel(batch.root, say=say)
    tick("panel")
    setting = setting_of(batch.root, panel_path=panel_path, plan=batch.plan, data_hash=data_hash(batch.root))
    return answer(batch.questions, setting=setting, jobs=batch.jobs, root=batch.root, tick=tick)


def _render_all(
    batch: Batch, *, failed: Mapping[Question, str], force: bool, tick: Callable[[str], None]
) -> tuple[tuple[str, ...], tuple[str, ...], dict[Question, str]]:
    last = _last_run(batch)
    futures: dict[Future[None], Question] = {}
    unchanged = []
    with workers(batch.jobs) as pool:
        for question in batch.questions:
            target = batch.page_path(question)
            if question in failed:
                target.unlink(missing_ok=True)
                tick(question.name)
            elif not force and _page_is_current(batch, question, last=last):
                unchanged.append(question.name)
                tick(question.name)
            else:
                executed = batch.work / "notebooks" / batch.run / f"{question.name}.ipynb"
                outcome, treatment = catalog.outcome(question.outcome), catalog.treatment(question.treatment)
                title = f"{outcome.title} and {treatment.title}"
                notebook = batch.root / "notebooks" / NOTEBOOK
                # relative to the notebook: the page shows its code, and must not show where a machine keeps its files
                path = os.path.relpath(batch.evidence_path(question), notebook.parent)
                parameters = {"evidence_path": Path(path).as_posix()}
                futures[pool.submit(render_one, notebook, executed, target, parameters, title)] = question
        failures = _collect(futures, root=batch.root, tick=tick)
    for question in failures:
        batch.page_path(question).unlink(missing_ok=True)
    made = tuple(question.name for question in futures.values() if question not in failures)
    return made, tuple(unchanged), failures


def page_key(batch: Batch, question: Question) -> str:
    """A hash over all that one page depends on: its evidence, the notebook and the report code."""
    base, files = _package_files()
    shown = [path for path in files if path.is_relative_to(base / "report") or path.suffix == ".toml"]
    parts = [
        _hash_of_files(shown, base=base),
        _hash_of_files([batch.root / "notebooks" / NOTEBOOK], base=batch.root),
        _file_hash(batch.evidence_path(question)) or "",
        json.dumps(versions(), sort_keys=True),
    ]
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()


def _page_is_current(batch: Batch, question: Question, *, last: Mapping[str, Any]) -> bool:
    same_key = last.get("page_keys", {}).get(question.name) == page_key(batch, question)
    return same_key and last.get("files", {}).get(f"{question.name}.html") == _file_hash(batch.page_path(question))


def _write_index(batch: Batch, *, found: Mapping[Question, Evidence], failed: Mapping[str, str]) -> None:
    from wwc_research.report.index import index_html

    write_text(batch.folder / "index.html", index_html(batch.questions, found=found, failed=failed))
    write_text(batch.folder / "evidence.csv", evidence_csv(list(found.values())))


def evidence_csv(found: Sequence[Any]) -> str:
    """All estimates of a run, one row each, as CSV text."""
    buffer = io.StringIO()
    fields = [
        "outcome", "treatment", "family", "name", "is_headline", "estimator", "estimand", "estimate", "std_error",
        "ci_low", "ci_high", "p_value", "q_value", "minimum_detectable_effect", "n_obs", "n_units", "n_treated",
        "n_clusters", "judged_std_error", "judged_ci_low", "judged_ci_high", "judged_p_value", "lot_p_value",
        "holm_p_value", "romano_wolf_p_value", "family_p_value", "verdict", "grade", "failed",
    ]  # fmt: skip
    writer = csv.DictWriter(buffer, fields, extrasaction="ignore", lineterminator="\n")
    writer.writeheader()
    for evidence in found:
        for item in (evidence.headline, *evidence.alternatives):
            is_headline = item.name == evidence.headline.name
            judged = evidence.judged if is_headline else {}
            adjusted = evidence.adjusted if is_headline else {}
            decided = evidence.verdict if is_headline else None
            writer.writerow(
                {
                    **dict(item.estimate or {}),
                    "outcome": evidence.outcome,
                    "treatment": evidence.treatment,
                    "family": evidence.family,
                    "name": item.name,
                    "is_headline": is_headline,
                    "q_value": evidence.q_value if is_headline else None,
                    **{f"judged_{key}": judged.get(key) for key in ("std_error", "ci_low", "ci_high", "p_value")},
                    "lot_p_value": judged.get("lot_p_value"),
                    **{f"{key}_p_value": adjusted.get(key) for key in ("holm", "romano_wolf", "family")},
                    "verdict": decided.code if decided else None,
                    "grade": decided.grade.strength if decided else None,
                    "estimand": text_cell((item.estimate or {}).get("estimand", "")),
                    "failed": text_cell(item.failed),
                }
            )
    return buffer.getvalue()


def _write_run(batch: Batch, *, failed: Mapping[str, str], seconds: float) -> None:
    from wwc_research.sources import raw

    plan = batch.plan
    pages = [question for question in batch.questions if question.name not in failed]
    names = ["index.html", "evidence.csv", *(f"{question.name}.html" for question in pages)]
    record = {
        "fingerprint": fingerprint(batch),
        "finished_at": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        "seconds": round(seconds, 1),
        "parameters": {"questions": [question.name for question in batch.questions], "run": batch.run},
        "plan": {"title": plan.title, "written": plan.written, "sha256": plan.sha256},
        "seed": plan.seed,
        "data_sha256": data_hash(batch.root),
        "tables": {table.name: table.sha256 for table in raw.list_tables(batch.root / "data" / "raw")},
        "versions": versions(),
        "platform": sys.platform,
        "failed": dict(failed),
        "page_keys": {question.name: page_key(batch, question) for question in pages},
        "files": {name: _file_hash(batch.folder / name) for name in names},
    }
    write_text(batch.folder / "run.json", json.dumps(record, indent=1) + "\n")


def plan_batch(
    *,
    root: Path,
    treatments: Sequence[str] = (),
    outcomes: Sequence[str] = (),
    run: str | None = None,
    jobs: int = 2,
    plan_path: Path | None = None,
) -> Batch:
    """A batch whose names are all known and usable; without names, everything the plan asks.

    Raises
    ------
    InputError
        For unknown outcomes, a treatment that is unknown or undated, a run that is no plain folder name, or a project
        without its template notebook: all faults at once, before any work starts.
    DataError
        For a plan with faults.
    """
    plan = read_plan_file(plan_path)
    faults = Faults("report")
    for name in outcomes:
        if name not in plan.analyses:
            near = difflib.get_close_matches(name, plan.analyses, n=1)
            meant = f" Did you mean {near[0]}?" if near else ""
            faults.add(f"there is no outcome {name!r} in the plan; it has {listed(plan.analyses, limit=40)}.{meant}")
    dated = [name for name, entry in catalog.treatments().items() if entry.kind == "dated"]
    for treatment in treatments:
        if treatment not in dated:
            known = treatment in catalog.treatments()
            what = f"treatment {treatment!r} has no dates" if known else f"there is no treatment {treatment!r}"
            faults.add(f"{what}; use {' or '.join(dated)}")
    chosen = tuple(name for name in plan.analyses if name in outcomes) or tuple(plan.analyses)
    asked = tuple(dict.fromkeys(treatments)) or plan.treatments
    some = [*(treatments and asked), *(chosen if len(chosen) < len(plan.analyses) else ())]
    folder = run if run is not None else "-".join(some) or WHOLE_RUN
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9_-]*", folder):
        faults.add(
            f"--run {folder!r} should be a plain name of letters, digits, - and _; it becomes a folder of reports/"
        )
    if not (root / "notebooks" / NOTEBOOK).is_file():
        faults.add(f"notebooks/{NOTEBOOK} is missing from {root}; restore it from the repository")
    faults.raise_if_any()
    questions = tuple(Question(treatment=treatment, outcome=name) for treatment in asked for name in chosen)
    return Batch(root=root, questions=questions, run=folder, plan=plan, jobs=jobs)


def n_steps(batch: Batch) -> int:
    """How often `run_batch` ticks at most."""
    from wwc_research.evidence.run import steps

    return 1 + steps(batch.questions, plan=batch.plan) + len(batch.questions)


__all__ = ["Batch", "Finished", "answer_batch", "evidence_csv", "fingerprint", "n_steps", "plan_batch", "run_batch"]
