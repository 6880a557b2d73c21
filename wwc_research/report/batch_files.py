"""What a batch rests on and what it left behind, by hash: so that unchanged pages are not made again.

In: a `Batch`. Out: the pieces of its fingerprint, keys of pages, run.json, and whether the last run still stands.
"""

from __future__ import annotations

import hashlib
import json
import os
import platform
import sys
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from functools import cache
from importlib import metadata, resources
from pathlib import Path
from typing import Any, Final

from wwc_research import __version__
from wwc_research.atomic import write_text
from wwc_research.evidence.questions import LOCK_FILE
from wwc_research.report.batch_plan import CITY_NOTEBOOK, OUTCOME_NOTEBOOK, Batch
from wwc_research.report.page_work import PageWork

PACKAGES: Final = (
    "numpy", "pandas", "scipy", "statsmodels", "scikit-learn", "matplotlib", "papermill", "nbconvert", "babel",
)  # fmt: skip
VOLATILE: Final = ("finished_at", "seconds")  # of run.json: what two runs of the same work may differ in
_CODE: Final = {".py", ".toml", ".j2", ".css", ".js", ".json", ".csv"}


def hash_of_files(paths: Iterable[Path], *, base: Path) -> str:
    """A hash over names below `base` and bytes."""
    digest = hashlib.sha256()
    for path in sorted(paths):
        digest.update(path.relative_to(base).as_posix().encode() + b"\0" + path.read_bytes() + b"\0")
    return digest.hexdigest()


def file_hash(path: Path) -> str | None:
    """The hash of one file; None where it is not there."""
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except FileNotFoundError:
        return None


def code_hash() -> str:
    """A hash over the package: code, declarations, templates, style; without the plan and the texts of languages."""
    base = Path(str(resources.files("wwc_research")))
    plan = base / "catalog" / "plan.toml"
    return hash_of_files((path for path in base.rglob("*") if path.suffix in _CODE and path != plan), base=base)


def data_hash(root: Path, *, figures: Mapping[str, Sequence[str]] | None = None) -> str:
    """Hash over the manifest and every compiled table as it is on disk, so that an altered table is noticed.

    With `figures`, of a plan, also over them and every fetched table that they name.
    """
    folder = root / "data" / "raw"
    shipped = hash_of_files([folder / "manifest.toml", *folder.rglob("*.csv")], base=folder)
    if not figures:
        return shipped
    from wwc_research.panel.figures import digest_of_fetched

    digest = hashlib.sha256(shipped.encode())
    digest_of_fetched(digest, figures=figures, raw_dir=folder)
    return digest.hexdigest()


@cache
def versions() -> dict[str, str]:
    """Versions of Python and of the packages that make the numbers and the pages."""
    found = {name: metadata.version(name) for name in PACKAGES}
    return {"python": platform.python_version(), "wwc-research": __version__, **found}


def pieces(batch: Batch) -> dict[str, Any]:
    """What the pages rest on, each by its hash, so that two runs can be told apart by what changed."""
    notebooks = (OUTCOME_NOTEBOOK, *((CITY_NOTEBOOK,) if batch.cities else ()))
    texts = resources.files("wwc_research.report") / "text"
    return {
        "code": code_hash(),
        "data": data_hash(batch.root, figures=batch.plan.figures),
        "plan": batch.plan.sha256,
        "lock": file_hash(batch.root / LOCK_FILE) or "",
        "templates": {name: file_hash(batch.root / "notebooks" / name) for name in notebooks},
        "languages": {code: file_hash(Path(str(texts / f"{code}.po"))) or "" for code in batch.languages},
        "versions": versions(),
    }


def asked(batch: Batch) -> dict[str, Any]:
    """What the run was asked for, as run.json keeps it."""
    return {
        "questions": [question.name for question in batch.questions],
        "run": batch.run,
        "audiences": list(batch.audiences),
        "languages": list(batch.languages),
        "cities": list(batch.cities),
        "pdf": batch.pdf,
    }


def _hash_of(values: Any) -> str:
    return hashlib.sha256(json.dumps(values, sort_keys=True).encode()).hexdigest()


def fingerprint(batch: Batch) -> str:
    """A hash over all that the pages depend on."""
    return _hash_of(pieces(batch))


def last_run(batch: Batch) -> dict[str, Any]:
    """What run.json tells of the run before; nothing where there is none or it is damaged."""
    try:
        found = json.loads((batch.folder / "run.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


def is_current(batch: Batch) -> bool:
    """Whether the last run asked the same of the same inputs, failed nowhere, and its files are as it left them."""
    last = last_run(batch)
    if last.get("failed") or last.get("failed_pages") or last.get("parameters") != asked(batch):
        return False
    files: dict[str, str] = last.get("files", {})
    if not files or last.get("fingerprint") != fingerprint(batch):
        return False
    return all(file_hash(batch.folder / name) == digest for name, digest in files.items())


@dataclass(slots=True, kw_only=True)
class Made:
    """Pages that are there, with the key that each was made under: from the last run, and from one that was killed.

    Every page is noted in a journal as soon as it stands, so that a killed run is gone on with; run.json, written when
    all is done, takes the journal's place.
    """

    batch: Batch
    pieces: Mapping[str, Any]
    known: dict[str, tuple[str, str]] = field(default_factory=dict)

    @classmethod
    def before(cls, batch: Batch) -> Made:
        """The pages of earlier runs of this batch."""
        last = last_run(batch)
        files, keys = last.get("files", {}), last.get("page_keys", {})
        known = {name: (key, files.get(f"{name}.html", "")) for name, key in keys.items()}
        made = cls(batch=batch, pieces=pieces(batch), known=known)
        try:
            lines = made.journal.read_text(encoding="utf-8").splitlines()
        except (OSError, ValueError):
            lines = []
        for line in lines:
            try:
                name, key, digest = json.loads(line)
            except ValueError:  # the line that was being written when the run was killed
                continue
            made.known[name] = (key, digest)
        return made

    @property
    def journal(self) -> Path:
        """Where pages are noted while a run is under way."""
        return self.batch.executed / "made.jsonl"

    def key(self, work: PageWork) -> str:
        """A hash over all that one page depends on: its evidence, template, code, language, links, plan, versions."""
        shared = {name: self.pieces[name] for name in ("code", "plan", "versions")}
        (given,) = (value for name, value in work.parameters.items() if name.endswith("_path"))
        return _hash_of(
            {
                **shared,
                "template": self.pieces["templates"][work.notebook.name],
                "language": self.pieces["languages"][work.language],
                "from": file_hash(work.notebook.parent / given),
                "page": [work.name, work.title, dict(work.parameters), [asdict(link) for link in work.links]],
            }
        )

    def is_current(self, work: PageWork) -> bool:
        """Whether the page was made from all this and is as it was left."""
        key, digest = self.known.get(work.name, ("", ""))
        return bool(digest) and key == self.key(work) and digest == file_hash(work.target)

    def note(self, work: PageWork) -> None:
        """Keep that the page stands."""
        entry = (self.key(work), file_hash(work.target) or "")
        self.known[work.name] = entry
        self.journal.parent.mkdir(parents=True, exist_ok=True)
        with self.journal.open("a", encoding="utf-8") as file:
            file.write(json.dumps([work.name, *entry]) + "\n")


def identity(path: Path) -> tuple[int, int] | None:
    """What tells a file from one that is renamed to its place; None where there is none."""
    try:
        found = path.stat()
    except FileNotFoundError:
        return None
    return found.st_ino, found.st_mtime_ns


def write_run(
    made: Made,
    *,
    pages: Sequence[PageWork],
    others: Sequence[Path],
    failed: Mapping[str, str],
    failed_pages: Mapping[str, str],
    seconds: float,
) -> None:
    """Write run.json, the record of a finished run, and close the journal.

    Parameters
    ----------
    pages
        That stand.
    others
        Files beside them: indexes, tables, PDF.
    failed, failed_pages
        One line of explanation by `Question.name`, and by `PageWork.name`.
    """
    from wwc_research.sources import raw

    batch = made.batch
    plan = batch.plan
    record = {
        "volatile": list(VOLATILE),
        "fingerprint": _hash_of(made.pieces),
        "pieces": dict(made.pieces),
        "finished_at": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        "seconds": round(seconds, 1),
        "parameters": asked(batch),
        "plan": {"title": plan.title, "written": plan.written, "sha256": plan.sha256},
        "seed": plan.seed,
        "data_sha256": made.pieces["data"],
        "tables": {table.name: table.sha256 for table in raw.list_tables(batch.root / "data" / "raw")},
        "versions": versions(),
        "platform": sys.platform,
        "failed": dict(failed),
        "failed_pages": dict(failed_pages),
        "page_keys": {work.name: made.known[work.name][0] for work in pages},
        "files": {
            **{_below(path, batch.folder): file_hash(path) for path in others},
            **{f"{work.name}.html": made.known[work.name][1] for work in pages},
        },
    }
    write_text(batch.folder / "run.json", json.dumps(record, indent=1) + "\n")
    made.journal.unlink(missing_ok=True)


def _below(path: Path, folder: Path) -> str:
    return Path(os.path.relpath(path, folder)).as_posix()


__all__ = [
    "PACKAGES",
    "VOLATILE",
    "Made",
    "asked",
    "code_hash",
    "data_hash",
    "file_hash",
    "fingerprint",
    "identity",
    "is_current",
    "last_run",
    "pieces",
    "versions",
    "write_run",
]
