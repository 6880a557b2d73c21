"""What a run asks: questions (an outcome of a treatment) with their families, the plan file, and the worker processes.

In: names. Out: `Question`s. Nothing heavy is imported here, so that a wrong name is refused at once.
"""

from __future__ import annotations

import multiprocessing
import os
import threading
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Final

from wwc_research import catalog
from wwc_research.catalog import Plan
from wwc_research.errors import InputError, WwcError

LOCK_FILE: Final = "plan.lock.toml"
THREADS: Final = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "VECLIB_MAXIMUM_THREADS")


def read_plan_file(path: Path | None) -> Plan:
    """The plan in `path`, or the one that ships with the package.

    Raises
    ------
    InputError
        Where the file cannot be read.
    DataError
        With every fault of the plan.
    """
    if path is None:
        return catalog.plan()
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"--plan {path}: cannot be read ({error}); name a TOML file like catalog/plan.toml") from None
    return catalog.read_plan(text, file=str(path))


@dataclass(frozen=True, slots=True, kw_only=True, order=True)
class Question:
    """One outcome asked of one treatment."""

    treatment: str
    outcome: str

    @property
    def name(self) -> str:
        """`certification/broadband`: its place under a run's folder."""
        return f"{self.treatment}/{self.outcome}"


def with_family(questions: Sequence[Question], *, plan: Plan) -> tuple[Question, ...]:
    """The questions and all others of their families, which the correction for many questions needs.

    A family holds every treatment of the plan, and those asked about besides.
    """
    families = {plan.analyses[question.outcome].family for question in questions}
    treatments = dict.fromkeys((*plan.treatments, *(question.treatment for question in questions)))
    members = [name for name, analysis in plan.analyses.items() if analysis.family in families]
    return tuple(Question(treatment=treatment, outcome=name) for treatment in treatments for name in members)


def _end_with_parent() -> None:
    """Let this worker end once the process that started it is gone.

    Workers wait for work on a pipe whose other end they hold themselves, so without this those of a killed run would
    stay for good.
    """
    parent = multiprocessing.parent_process()
    if parent is not None:
        threading.Thread(target=_end_after, args=(parent,), daemon=True).start()


def _end_after(parent: BaseProcess) -> None:
    parent.join()
    os._exit(1)


@contextmanager
def workers(jobs: int) -> Iterator[ProcessPoolExecutor]:
    """Processes of one thread each: sums of several threads would differ in their last digits."""
    before = {name: os.environ.get(name) for name in THREADS}
    os.environ.update(dict.fromkeys(THREADS, "1"))
    try:
        # spawn: a fork would copy the locks of threads that BLAS and Arrow have already started
        context = multiprocessing.get_context("spawn")
        with ProcessPoolExecutor(jobs, mp_context=context, initializer=_end_with_parent) as pool:
            yield pool
    finally:
        for name, value in before.items():
            os.environ.pop(name) if value is None else os.environ.update({name: value})


def in_one_line(error: BaseException, *, root: Path) -> str:
    """What went wrong, in one line and without the machine's paths."""
    plain = str(error) if isinstance(error, WwcError) else f"{type(error).__name__}: {error}"
    return " ".join(plain.replace(f"{root}{os.sep}", "").split())
