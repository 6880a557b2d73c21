"""A batch: evidence for every outcome, one correction over all of them, one page each, an index.

In: the compiled tables and the plan. Out: reports/<run>/ with pages, index, evidence.csv and run.json. A failed
outcome is marked and the others are finished; unchanged work is not done again.
"""

from __future__ import annotations

import csv
import difflib
import hashlib
import io
import json
import multiprocessing
import os
import platform
import re
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ProcessPoolExecutor, as_completed
from contextlib import contextmanager
from dataclasses import dataclass
from importlib import metadata, resources
from pathlib import Path
from typing import Any

from wwc_research import __version__, catalog
from wwc_research.atomic import write_text
from wwc_research.errors import Faults, WwcError, listed
from wwc_research.report import page

NOTEBOOK = "outcome_report.ipynb"
PACKAGES = ("numpy", "pandas", "scipy", "statsmodels", "scikit-learn", "matplotlib", "papermill", "nbconvert")


@dataclass(frozen=True, slots=True, kw_only=True)
class Batch:
    """What to render, and where: `root` holds data/, notebooks/ and reports/."""

    root: Path
    treatment: str
    outcomes: tuple[str, ...]
    run: str
    jobs: int = 2

    @property
    def assembled(self) -> tuple[str, ...]:
        """Outcomes to estimate: those with a page, and the others of their families, which the correction needs."""
        analyses = catalog.plan().analyses
        families = {analyses[name].family for name in self.outcomes}
        return tuple(name for name, analysis in analyses.items() if analysis.family in families)

    @property
    def folder(self) -> Path:
        """Where the pages go."""
        return self.root / "reports" / self.run

    @property
    def work(self) -> Path:
        """Where evidence and executed notebooks go."""
        return self.root / "data" / "processed"

    def evidence_path(self, outcome: str) -> Path:
        """The evidence file of one outcome."""
        return self.work / "evidence" / self.run / f"{outcome}.json"


@dataclass(frozen=True, slots=True, kw_only=True)
class Finished:
    """How a batch ended: pages made, pages that were already up to date, and failures by outcome."""

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
    """A hash over all that the pages depend on: code, templates, notebook, data manifest, plan, versions."""
    base, files = _package_files()
    parts = {
        "package": _hash_of_files(files, base=base),
        "notebook": _hash_of_files([batch.root / "notebooks" / NOTEBOOK], base=batch.root),
        "data": data_hash(batch.root),
        "treatment": batch.treatment,
        "outcomes": list(batch.outcomes),
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


def assemble_one(outcome: str, treatment: str, panel_path: Path, target: Path) -> None:
    """Assemble the evidence of one outcome (in a worker) and write it without verdict and q-value."""
    from wwc_research.evidence.assemble import assemble
    from wwc_research.panel.panel import Panel

    panel = Panel.read(panel_path)
    assemble(outcome=outcome, treatment=treatment, panel=panel, plan=catalog.plan()).write(target)


def render_one(notebook: Path, executed: Path, target: Path, parameters: dict[str, str], title: str) -> None:
    """Run the notebook on one evidence file (in a worker) and write the page."""
    page.execute(notebook, executed=executed, parameters=parameters)
    write_text(target, page.to_html(executed, title=title))


@contextmanager
def _workers(jobs: int) -> Iterator[ProcessPoolExecutor]:
    # spawn: a fork would copy the locks of threads that BLAS and Arrow have already started
    with ProcessPoolExecutor(jobs, mp_context=multiprocessing.get_context("spawn")) as pool:
        yield pool


def _collect(futures: Mapping[Future[None], str], *, root: Path, tick: Callable[[str], None]) -> dict[str, str]:
    """Wait for all; what went wrong with each that failed, by outcome, in one line and without the machine's paths."""
    failed: dict[str, str] = {}
    for future in as_completed(futures):
        name = futures[future]
        error = future.exception()
        if error is not None:
            plain = str(error) if isinstance(error, WwcError) else f"{type(error).__name__}: {error}"
            failed[name] = " ".join(plain.replace(f"{root}{os.sep}", "").split())
        tick(name)
    return failed


def ensure_panel(batch: Batch, *, say: Callable[[str], None]) -> Path:
    """The panel file, built anew where it is absent or was made from other figures or other code."""
    from wwc_research.panel.build import build_panel, panel_is_current

    path = batch.work / "panel.parquet"
    if not panel_is_current(path, raw=batch.root / "data" / "raw"):
        say("Building the city-year panel from data/raw ...")
        build_panel(batch.root / "data" / "raw").write(path)
    return path


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
        return Finished(index=index, made=(), unchanged=batch.outcomes, failed={}, nothing_done=True)
    started = time.monotonic()
    panel_path = ensure_panel(batch, say=say)
    tick("panel")
    with _workers(batch.jobs) as pool:
        failed = _assemble_all(batch, pool, panel_path=panel_path, tick=tick)
        _judge_all(batch, [name for name in batch.assembled if name not in failed])
        rendered, unchanged, failures = _render_all(batch, pool, failed=failed, force=force, tick=tick)
    failed |= failures
    _write_index(batch, failed=failed)
    _write_run(batch, failed=failed, seconds=time.monotonic() - started)
    return Finished(index=index, made=tuple(rendered), unchanged=tuple(unchanged), failed=failed)


def _assemble_all(
    batch: Batch, pool: ProcessPoolExecutor, *, panel_path: Path, tick: Callable[[str], None]
) -> dict[str, str]:
    futures = {}
    for name in batch.assembled:
        target = batch.evidence_path(name)
        target.unlink(missing_ok=True)
        futures[pool.submit(assemble_one, name, batch.treatment, panel_path, target)] = name
    return _collect(futures, root=batch.root, tick=tick)


def _judge_all(batch: Batch, names: Sequence[str]) -> None:
    """Second pass: correct over each family, decide each verdict, write both back."""
    from wwc_research.evidence.assemble import judge
    from wwc_research.evidence.evidence import Evidence

    found = [Evidence.read(batch.evidence_path(name)) for name in names]
    for evidence in judge(found, plan=catalog.plan()):
        evidence.write(batch.evidence_path(evidence.outcome))


def _render_all(
    batch: Batch,
    pool: ProcessPoolExecutor,
    *,
    failed: Mapping[str, str],
    force: bool,
    tick: Callable[[str], None],
) -> tuple[list[str], list[str], dict[str, str]]:
    last = _last_run(batch)
    futures, unchanged = {}, []
    for name in batch.outcomes:
        target = batch.folder / f"{name}.html"
        if name in failed:
            target.unlink(missing_ok=True)
            tick(name)
        elif not force and _page_is_current(batch, name, last=last):
            unchanged.append(name)
            tick(name)
        else:
            evidence_path = batch.evidence_path(name)
            executed = batch.work / "notebooks" / batch.run / f"{name}.ipynb"
            title = f"{catalog.outcome(name).title} and {catalog.treatment(batch.treatment).title}"
            notebook = batch.root / "notebooks" / NOTEBOOK
            # relative to the notebook: the page shows its code, and must not show where a machine keeps its files
            parameters = {"evidence_path": Path(os.path.relpath(evidence_path, notebook.parent)).as_posix()}
            futures[pool.submit(render_one, notebook, executed, target, parameters, title)] = name
    failures = _collect(futures, root=batch.root, tick=tick)
    for name in failures:
        (batch.folder / f"{name}.html").unlink(missing_ok=True)
    made = [name for name in futures.values() if name not in failures]
    return made, unchanged, failures


def page_key(batch: Batch, name: str) -> str:
    """A hash over all that one page depends on: its evidence, the notebook and the report code."""
    base, files = _package_files()
    shown = [path for path in files if path.is_relative_to(base / "report") or path.suffix == ".toml"]
    parts = [
        _hash_of_files(shown, base=base),
        _hash_of_files([batch.root / "notebooks" / NOTEBOOK], base=batch.root),
        _file_hash(batch.evidence_path(name)) or "",
        json.dumps(versions(), sort_keys=True),
    ]
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()


def _page_is_current(batch: Batch, name: str, *, last: Mapping[str, Any]) -> bool:
    file = f"{name}.html"
    same_key = last.get("page_keys", {}).get(name) == page_key(batch, name)
    return same_key and last.get("files", {}).get(file) == _file_hash(batch.folder / file)


def _write_index(batch: Batch, *, failed: Mapping[str, str]) -> None:
    from wwc_research.evidence.evidence import Evidence
    from wwc_research.report.index import index_html

    kept = [name for name in batch.assembled if batch.evidence_path(name).exists()]
    found = {name: Evidence.read(batch.evidence_path(name)) for name in kept}
    text = index_html(batch.outcomes, found=found, failed=failed, treatment=catalog.treatment(batch.treatment))
    write_text(batch.folder / "index.html", text)
    write_text(batch.folder / "evidence.csv", evidence_csv(list(found.values())))


def evidence_csv(found: Sequence[Any]) -> str:
    """All estimates of a run, one row each, as CSV text."""
    buffer = io.StringIO()
    fields = [
        "outcome", "treatment", "family", "name", "is_headline", "estimator", "estimand", "estimate", "std_error",
        "ci_low", "ci_high", "p_value", "q_value", "minimum_detectable_effect", "n_obs", "n_units", "n_treated",
        "n_clusters", "judged_std_error",
        "judged_ci_low", "judged_ci_high", "judged_p_value", "lot_p_value", "verdict", "failed",
    ]  # fmt: skip
    writer = csv.DictWriter(buffer, fields, extrasaction="ignore", lineterminator="\n")
    writer.writeheader()
    for evidence in found:
        for item in (evidence.headline, *evidence.alternatives):
            is_headline = item.name == evidence.headline.name
            judged = evidence.judged if is_headline else {}
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
                    "verdict": evidence.verdict.code if is_headline and evidence.verdict else None,
                    "estimand": _text_cell((item.estimate or {}).get("estimand", "")),
                    "failed": _text_cell(item.failed),
                }
            )
    return buffer.getvalue()


def _text_cell(text: str) -> str:
    """Text that a spreadsheet takes as text and never as a formula."""
    return f"'{text}" if text.startswith(("=", "+", "-", "@", "\t", "\r")) else text


def _write_run(batch: Batch, *, failed: Mapping[str, str], seconds: float) -> None:
    from wwc_research.sources import raw

    plan = catalog.plan()
    names = ["index.html", "evidence.csv", *(f"{name}.html" for name in batch.outcomes if name not in failed)]
    record = {
        "fingerprint": fingerprint(batch),
        "finished_at": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        "seconds": round(seconds, 1),
        "parameters": {"treatment": batch.treatment, "outcomes": list(batch.outcomes), "run": batch.run},
        "plan": {"title": plan.title, "written": plan.written, "sha256": plan.sha256},
        "seed": plan.seed,
        "data_sha256": data_hash(batch.root),
        "tables": {table.name: table.sha256 for table in raw.list_tables(batch.root / "data" / "raw")},
        "versions": versions(),
        "platform": sys.platform,
        "failed": dict(failed),
        "page_keys": {name: page_key(batch, name) for name in batch.outcomes if name not in failed},
        "files": {name: _file_hash(batch.folder / name) for name in names},
    }
    write_text(batch.folder / "run.json", json.dumps(record, indent=1) + "\n")


def plan_batch(*, root: Path, treatment: str, outcomes: Sequence[str], run: str | None, jobs: int) -> Batch:
    """A batch whose names are all known and usable.

    Raises
    ------
    InputError
        For unknown outcomes, a treatment that is unknown or undated, a run that is no plain folder name, or a project
        without its template notebook: all faults at once, before any work starts.
    """
    plan = catalog.plan()
    faults = Faults("report")
    for name in outcomes:
        if name not in plan.analyses:
            near = difflib.get_close_matches(name, plan.analyses, n=1)
            meant = f" Did you mean {near[0]}?" if near else ""
            faults.add(f"there is no outcome {name!r} in the plan; it has {listed(plan.analyses, limit=40)}.{meant}")
    dated = [name for name, entry in catalog.treatments().items() if entry.kind == "dated"]
    if treatment not in dated:
        known = treatment in catalog.treatments()
        what = f"treatment {treatment!r} has no dates" if known else f"there is no treatment {treatment!r}"
        faults.add(f"{what}; use {' or '.join(dated)}")
    chosen = tuple(name for name in plan.analyses if name in outcomes) or tuple(plan.analyses)
    whole = len(chosen) == len(plan.analyses)
    folder = run if run is not None else treatment if whole else "-".join((treatment, *chosen))
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9_-]*", folder):
        faults.add(
            f"--run {folder!r} should be a plain name of letters, digits, - and _; it becomes a folder of reports/"
        )
    if not (root / "notebooks" / NOTEBOOK).is_file():
        faults.add(f"notebooks/{NOTEBOOK} is missing from {root}; restore it from the repository")
    faults.raise_if_any()
    return Batch(root=root, treatment=treatment, outcomes=chosen, run=folder, jobs=jobs)


__all__ = ["Batch", "Finished", "evidence_csv", "fingerprint", "plan_batch", "run_batch"]
