"""What a run asks: questions (an outcome of a treatment) with their families, the plan file, and the worker processes.

In: names. Out: `Question`s. Nothing heavy is imported here, so that a wrong name is refused at once.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Protocol

from wwc_research import catalog
from wwc_research.catalog import Plan
from wwc_research.errors import InputError, WwcError
from wwc_research.messages import Message, said

if TYPE_CHECKING:
    from concurrent.futures import Future, ProcessPoolExecutor
    from multiprocessing.process import BaseProcess

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


class Pool(Protocol):
    """Where units of work are done: processes of this machine, or the workers of a cluster."""

    def submit(self, work: Callable[..., Any], /, *arguments: Any) -> Future[Any]:
        """Have `work(*arguments)` done somewhere; both must be picklable."""
        ...


def _start_worker() -> None:
    """Let this worker end once the process that started it is gone, and leave Ctrl-C to that process.

    Workers wait for work on a pipe whose other end they hold themselves, so without this those of a killed run would
    stay for good.
    """
    import multiprocessing
    import signal

    signal.signal(signal.SIGINT, signal.SIG_IGN)
    parent = multiprocessing.parent_process()
    if parent is not None:
        threading.Thread(target=_end_after, args=(parent,), daemon=True).start()


def _end_after(parent: BaseProcess) -> None:
    parent.join()
    os._exit(1)


@contextmanager
def workers(jobs: int) -> Iterator[ProcessPoolExecutor]:
    """Processes of one thread each: sums of several threads would differ in their last digits.

    Where the block is left by an error or Ctrl-C, they are ended in the middle of their work.
    """
    import multiprocessing
    from concurrent.futures import ProcessPoolExecutor

    before = {name: os.environ.get(name) for name in THREADS}
    others = set(multiprocessing.active_children())
    os.environ.update(dict.fromkeys(THREADS, "1"))
    try:
        # spawn: a fork would copy the locks of threads that BLAS and Arrow have already started
        context = multiprocessing.get_context("spawn")
        with ProcessPoolExecutor(jobs, mp_context=context, initializer=_start_worker) as pool:
            try:
                yield pool
            except BaseException:
                pool.shutdown(wait=False, cancel_futures=True)
                for child in set(multiprocessing.active_children()) - others:
                    child.terminate()
                raise
    finally:
        for name, value in before.items():
            os.environ.pop(name) if value is None else os.environ.update({name: value})


def in_one_line(error: BaseException, *, root: Path) -> str:
    """What went wrong, in one line and without the machine's paths; a message stays one, to be translated."""
    told = said(error)
    if isinstance(error, WwcError) and isinstance(told, Message):
        return told
    plain = str(error) if isinstance(error, WwcError) else f"{type(error).__name__}: {error}"
    return " ".join(plain.replace(f"{root}{os.sep}", "").split())
