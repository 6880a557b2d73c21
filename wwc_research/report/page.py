"""One page: papermill runs the notebook on one evidence file, nbconvert turns it into one HTML file.

In: notebook, parameters. Out: text of a self-contained page; the executed notebook stays for a second look.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from importlib import resources
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

from wwc_research import __version__
from wwc_research.errors import InputError, ReportError, listed

if TYPE_CHECKING:
    from traitlets.config import Config

TEMPLATES = "templates"


def skip_slow_grammar() -> None:
    """Spare every Jupyter process two seconds: an optional checker that builds a grammar when imported.

    `jsonschema` looks for `rfc3987_syntax` to check IRI formats and does without where the import fails;
    notebooks contain no IRIs. An import that has already happened is left alone.
    """
    sys.modules.setdefault("rfc3987_syntax", None)  # type: ignore[arg-type]


def css() -> str:
    """The style sheet shared by all pages."""
    return resources.files(__package__).joinpath(TEMPLATES, "page", "page.css").read_text(encoding="utf-8")


def notebook_parameters(notebook: Path) -> set[str]:
    """Names assigned in the cell tagged `parameters`.

    Raises
    ------
    InputError
        Where the notebook has no such cell.
    """
    skip_slow_grammar()
    import ast

    import nbformat

    cells = nbformat.read(notebook, as_version=4).cells
    tagged = [cell for cell in cells if "parameters" in cell.metadata.get("tags", [])]
    if len(tagged) != 1:
        raise InputError(f"{notebook}: {len(tagged)} cells are tagged 'parameters'; exactly one must be")
    assigned = [node for node in ast.parse(tagged[0].source).body if isinstance(node, ast.Assign | ast.AnnAssign)]
    targets = [target for node in assigned for target in getattr(node, "targets", [getattr(node, "target", None)])]
    return {target.id for target in targets if isinstance(target, ast.Name)}


def check_parameters(notebook: Path, parameters: Mapping[str, Any]) -> None:
    """Refuse parameters that the notebook does not declare; papermill itself would only log them."""
    known = notebook_parameters(notebook)
    unknown = sorted(set(parameters) - known)
    if unknown:
        raise InputError(
            f"{notebook.name} has no parameter {listed(unknown)}; it takes {listed(sorted(known), limit=20)}"
        )


def execute(notebook: Path, *, executed: Path, parameters: Mapping[str, Any], timeout: int = 300) -> None:
    """Run `notebook` with `parameters` and write the outcome to `executed`, also where a cell fails.

    Raises
    ------
    ReportError
        Naming the cell that failed and its error.
    """
    skip_slow_grammar()
    from nbclient.exceptions import CellTimeoutError, DeadKernelError
    from papermill import PapermillExecutionError, execute_notebook

    check_parameters(notebook, parameters)
    executed.parent.mkdir(parents=True, exist_ok=True)
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    with TemporaryDirectory(prefix="wwc-") as sockets:
        try:
            execute_notebook(
                str(notebook),
                str(executed),
                parameters=dict(parameters),
                kernel_name="python3",
                progress_bar=False,
                cwd=str(notebook.parent),
                execution_timeout=timeout,
                config=_kernel_settings(Path(sockets)),
            )
        except PapermillExecutionError as error:
            raise ReportError(
                f"{notebook.name}: {error.ename}: {error.evalue} (the full trace is in the executed notebook "
                f"{executed.parent.name}/{executed.name})"
            ) from error
        except (CellTimeoutError, DeadKernelError) as error:
            raise ReportError(
                f"{notebook.name}: {type(error).__name__} "
                f"(the part that ran is in {executed.parent.name}/{executed.name})"
            ) from error


def _kernel_settings(sockets: Path) -> Config:
    """Sockets of this page alone, in a folder of their own, so that kernels side by side cannot meet; a quiet kernel.

    What fails in a cell reaches the page and the batch; the kernel's own log would only break up the progress bar.
    """
    from traitlets.config import Config

    transport = {} if os.name == "nt" else {"transport": "ipc", "ip": str(sockets / "kernel")}
    return Config({"KernelManager": transport, "NotebookClient": {"extra_arguments": ["--log-level=CRITICAL"]}})


def to_html(executed: Path, *, title: str, language: str = "en") -> str:
    """The executed notebook as one self-contained page: no script, no request, code folded."""
    skip_slow_grammar()
    import nbformat
    from nbconvert import HTMLExporter

    with resources.as_file(resources.files(__package__).joinpath(TEMPLATES)) as base:
        exporter = HTMLExporter(template_name="page", extra_template_basedirs=[str(base)])
        notebook = nbformat.read(executed, as_version=4)
        page = {"title": title, "language": language, "css": css(), "version": __version__}
        body, _ = exporter.from_notebook_node(notebook, resources={"page": page})
    return str(body)
