"""Pages from notebooks: each is executed in a kernel of its own and turned into one HTML file, several at a time.

In: `PageWork`s. Out: executed notebooks and pages on disk, and why some could not be made; the others are finished.
"""

from __future__ import annotations

import ast
import asyncio
import contextlib
import signal
import sys
import threading
from collections.abc import Callable, Coroutine, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, get_args

from wwc_research.atomic import write_text
from wwc_research.errors import Faults, InputError, ReportError, listed
from wwc_research.report import page
from wwc_research.report.page_work import EngineKind, PageWork

if TYPE_CHECKING:
    from nbformat import NotebookNode

    from wwc_research.report.kernels import Kernels

CELL_SECONDS: Final = 300
FORK_FROM: Final = 3  # pages; for fewer, the warm process takes longer to come up than it saves


def check(works: Sequence[PageWork]) -> None:
    """Refuse what could not become pages, before any kernel starts and without importing Jupyter.

    Raises
    ------
    InputError
        With every fault: absent notebooks, parameters that a notebook does not take (with those that it does),
        two pages in one file.
    """
    faults = Faults("pages")
    known: dict[tuple[Path, frozenset[str]], None] = {}
    for work in works:
        known.setdefault((work.notebook, frozenset(work.parameters)))
    for notebook, names in known:
        try:
            page.check_parameters(notebook, dict.fromkeys(names))
            page.code_cells(notebook)
        except InputError as error:
            faults.add(str(error))
    for what in ("target", "executed"):
        files = [getattr(work, what) for work in works]
        for twice in sorted({file for file in files if files.count(file) > 1} if len(set(files)) < len(files) else ()):
            faults.add(f"two pages would be written to {twice}; give each a name of its own")
    faults.raise_if_any()


def render(
    works: Sequence[PageWork],
    *,
    jobs: int,
    kind: EngineKind = "auto",
    tick: Callable[[str], None],
    cell_seconds: int = CELL_SECONDS,
) -> dict[str, str]:
    """Make every page; why those that failed did, in one line each by `PageWork.name`.

    The executed notebook is kept at `work.executed`, also where a cell fails; the page is written whole or not at
    all. Ctrl-C and SIGTERM end all kernels and are then passed on.

    Parameters
    ----------
    jobs
        Kernels at the same time.
    kind
        `fork` takes kernels from a process that has already imported what the notebooks import (Linux only),
        `portable` starts each anew, `auto` forks where it can and is worth it. The pages are the same, byte for byte.
    tick
        Called with the name of each work that is finished or has failed.
    cell_seconds
        How long one cell may take.

    Raises
    ------
    InputError
        For another kind, or what `check` refuses.
    ReportError
        Where forking was asked for and is not possible.
    """
    if kind not in get_args(EngineKind):
        raise InputError(f"there is no engine {kind!r}; use {listed(get_args(EngineKind))}")
    if kind == "fork" and sys.platform != "linux":
        raise ReportError("kernels are forked on Linux only; use the portable engine")
    check(works)
    fork = kind == "fork" or (kind == "auto" and sys.platform == "linux" and len(works) >= FORK_FROM)
    if not works:
        return {}
    pages = _Pages(works=works, jobs=jobs, tick=tick, cell_seconds=cell_seconds)
    try:
        return _completed(pages.make(fork=fork))
    except ReportError:  # raised before any page is begun: a package that pages import keeps threads, say
        if kind != "auto" or not fork:
            raise
        return _completed(pages.make(fork=False))


def render_one(work: PageWork) -> None:
    """Make one page in a fresh kernel: for a worker of a pool or a cluster.

    Raises
    ------
    ReportError
        Where the page could not be made.
    """
    failed = render([work], jobs=1, kind="portable", tick=lambda name: None)
    for reason in failed.values():
        raise ReportError(reason)


class _Pages:
    """The pages of one call, made side by side on one event loop."""

    def __init__(self, *, works: Sequence[PageWork], jobs: int, tick: Callable[[str], None], cell_seconds: int) -> None:
        page.skip_slow_grammar()
        self.works = works
        self.slots = asyncio.Semaphore(max(1, jobs))
        self.tick = tick
        self.cell_seconds = cell_seconds
        self.failed: dict[str, str] = {}

    async def make(self, *, fork: bool) -> dict[str, str]:
        """Make all; reasons by name, in the order of the works."""
        from wwc_research.report.kernels import Kernels

        languages = sorted({work.language for work in self.works})
        ahead = asyncio.create_task(asyncio.to_thread(_import_ahead))
        async with Kernels.running(fork=fork, modules=_imported(self.works), languages=languages) as kernels:
            tasks = [
                asyncio.create_task(self.one(work, kernels=kernels, number=number))
                for number, work in enumerate(self.works)
            ]
            try:
                await asyncio.gather(*tasks)
            finally:
                for task in tasks:
                    task.cancel()
                await asyncio.gather(*tasks, ahead, return_exceptions=True)
        return {work.name: self.failed[work.name] for work in self.works if work.name in self.failed}

    async def one(self, work: PageWork, *, kernels: Kernels, number: int) -> None:
        """Make one page, or note why not."""
        async with self.slots:
            try:
                await self.execute(work, kernels=kernels, number=number)
            except ReportError as error:
                self.failed[work.name] = str(error)
            except Exception as error:  # whatever it is, it is this page's, and the others are finished
                self.failed[work.name] = " ".join(f"{work.notebook.name}: {type(error).__name__}: {error}".split())
        self.tick(work.name)

    async def execute(self, work: PageWork, *, kernels: Kernels, number: int) -> None:
        """Execute the notebook and write both files."""
        import nbformat
        from nbclient.exceptions import CellExecutionError, CellTimeoutError, DeadKernelError

        notebook = prepared(work)
        kept = f"the executed notebook {work.executed.parent.name}/{work.executed.name}"
        reason = ""
        try:
            await kernels.run(notebook, name=f"k{number}", cwd=work.notebook.parent, cell_seconds=self.cell_seconds)
        except CellExecutionError as error:
            reason = f"{error.ename}: {error.evalue} (the full trace is in {kept})"
        except CellTimeoutError:
            reason = f"a cell took longer than {self.cell_seconds} seconds (what had run is in {kept})"
        except (DeadKernelError, RuntimeError) as error:
            _pass_on_cancelling()
            died = isinstance(error, DeadKernelError)
            reason = f"{'its kernel died' if died else error} (what had run is in {kept})"
        _note_status(notebook, failed=bool(reason))
        write_text(work.executed, nbformat.writes(notebook) + "\n")
        if reason:
            raise ReportError(" ".join(f"{work.notebook.name}: {reason}".split()))
        made = page.to_html(
            notebook, title=work.title, language=work.language, audience=work.audience, links=work.links
        )
        write_text(work.target, made)


def _import_ahead() -> None:
    """Import what pages are prepared and finished with, while the first kernels come up."""
    import papermill.parameterize  # noqa: F401  (for its time, which is spent here)

    page.make_exporter()


def _pass_on_cancelling() -> None:
    """Nbclient takes every cancelling for a dead kernel; where it was ours, it is one."""
    task = asyncio.current_task()
    if task is not None and task.cancelling():
        raise asyncio.CancelledError


def prepared(work: PageWork) -> NotebookNode:
    """The notebook with the parameters injected and metadata as papermill does, but without times and full paths.

    Two runs on the same inputs give the same notebook: the injected cell has a fixed id.
    """
    page.skip_slow_grammar()
    from papermill.iorw import load_notebook_node
    from papermill.parameterize import parameterize_notebook

    notebook = load_notebook_node(str(work.notebook))
    if work.parameters:
        notebook = parameterize_notebook(notebook, dict(work.parameters), kernel_name="python3", language="python")
    notebook.metadata.papermill |= {"input_path": work.notebook.name, "output_path": work.executed.name}
    for cell in notebook.cells:
        if "injected-parameters" in cell.metadata.get("tags", ()):
            cell["id"] = "injected-parameters"
        if cell.cell_type == "code":
            cell.outputs, cell.execution_count = [], None
    return notebook


def _note_status(notebook: NotebookNode, *, failed: bool) -> None:
    """Papermill's words on how each cell and the whole went."""
    notebook.metadata.papermill["exception"] = failed
    for cell in notebook.cells:
        if cell.cell_type == "code":
            raised = any(output.output_type == "error" for output in cell.outputs)
            ran = cell.execution_count is not None or not failed
            status = "failed" if raised else "completed" if ran else "pending"
            cell.metadata["papermill"] = {"exception": raised, "status": status}


def _imported(works: Sequence[PageWork]) -> list[str]:
    """Modules that the notebooks import, in order; a `from` import of a module's attribute names no module."""
    found: dict[str, None] = {}
    for notebook in dict.fromkeys(work.notebook for work in works):
        for source, _ in page.code_cells(notebook):
            with contextlib.suppress(SyntaxError):  # a cell with a magic in it
                for node in ast.walk(ast.parse(source)):
                    if isinstance(node, ast.Import):
                        found.update(dict.fromkeys(alias.name for alias in node.names))
                    elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
                        found[node.module] = None
                        found.update(dict.fromkeys(f"{node.module}.{alias.name}" for alias in node.names))
    return list(found)


def _completed(work: Coroutine[Any, Any, dict[str, str]]) -> dict[str, str]:
    """What the coroutine gives, also where this thread runs an event loop already, as in a notebook."""
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return _run(work)
    with ThreadPoolExecutor(1) as pool:
        return pool.submit(_run, work).result()


def _run(work: Coroutine[Any, Any, dict[str, str]]) -> dict[str, str]:
    """Run to the end; SIGTERM ends the kernels first and then does what it would have done (as Ctrl-C does)."""
    # zmq cannot wait on the loop that is Windows' default
    loop_factory = asyncio.SelectorEventLoop if sys.platform == "win32" else None
    terminated = False
    with asyncio.Runner(loop_factory=loop_factory) as runner:

        async def until_told() -> dict[str, str]:
            task = asyncio.current_task()
            assert task is not None

            def stop() -> None:
                nonlocal terminated
                terminated = True
                task.cancel()

            if threading.current_thread() is threading.main_thread() and sys.platform != "win32":
                asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop)
            return await work

        before = signal.getsignal(signal.SIGTERM)
        try:
            return runner.run(until_told())
        except asyncio.CancelledError:
            if not terminated:
                raise
        finally:
            if threading.current_thread() is threading.main_thread() and sys.platform != "win32":
                runner.get_loop().remove_signal_handler(signal.SIGTERM)
                signal.signal(signal.SIGTERM, before)
    signal.raise_signal(signal.SIGTERM)
    raise SystemExit(128 + signal.SIGTERM)


__all__ = ["CELL_SECONDS", "check", "prepared", "render", "render_one"]
