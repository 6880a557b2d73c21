"""The two ends of a page: the parameters that its notebook takes, and the executed notebook as one HTML file.

In: a template notebook, or an executed one. Out: its parameters, checked; text of a self-contained page.
"""

from __future__ import annotations

import ast
import json
import sys
from collections.abc import Mapping, Sequence
from functools import cache
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING, Any

from wwc_research.errors import InputError, listed
from wwc_research.report.page_work import Audience, Link

if TYPE_CHECKING:
    from nbconvert import HTMLExporter
    from nbformat import NotebookNode

TEMPLATES = "templates"


def skip_slow_grammar() -> None:
    """Spare every Jupyter process two seconds: an optional checker that builds a grammar when imported.

    `jsonschema` looks for `rfc3987_syntax` to check IRI formats and does without where the import fails;
    notebooks contain no IRIs. An import that has already happened is left alone.
    """
    sys.modules.setdefault("rfc3987_syntax", None)  # type: ignore[arg-type]


def code_cells(notebook: Path) -> list[tuple[str, tuple[str, ...]]]:
    """Source and tags of the code cells of a notebook, without Jupyter's packages: a wrong parameter must fail fast.

    Raises
    ------
    InputError
        Where the file is absent or no notebook of format 4.
    """
    try:
        cells = json.loads(notebook.read_text(encoding="utf-8"))["cells"]
        code = [cell for cell in cells if cell["cell_type"] == "code"]
        return [("".join(cell["source"]), tuple(cell["metadata"].get("tags", ()))) for cell in code]
    except FileNotFoundError as error:
        raise InputError(f"{notebook}: there is no such notebook") from error
    except (ValueError, KeyError, TypeError) as error:
        raise InputError(f"{notebook}: is no notebook of format 4; save it anew in JupyterLab") from error


def notebook_parameters(notebook: Path) -> set[str]:
    """Names assigned in the cell tagged `parameters`.

    Raises
    ------
    InputError
        Where the notebook has no such cell.
    """
    tagged = [source for source, tags in code_cells(notebook) if "parameters" in tags]
    if len(tagged) != 1:
        raise InputError(f"{notebook}: {len(tagged)} cells are tagged 'parameters'; exactly one must be")
    assigned = [node for node in ast.parse(tagged[0]).body if isinstance(node, ast.Assign | ast.AnnAssign)]
    targets = [target for node in assigned for target in getattr(node, "targets", [getattr(node, "target", None)])]
    return {target.id for target in targets if isinstance(target, ast.Name)}


def check_parameters(notebook: Path, parameters: Mapping[str, Any]) -> None:
    """Refuse parameters that the notebook does not declare; papermill itself would only log them."""
    if not parameters:
        return
    known = notebook_parameters(notebook)
    unknown = sorted(set(parameters) - known)
    if unknown:
        raise InputError(
            f"{notebook.name} has no parameter {listed(unknown)}; it takes {listed(sorted(known), limit=20)}"
        )


@cache
def make_exporter() -> HTMLExporter:
    """One exporter for all pages of a process: to make one takes longer than to use it."""
    skip_slow_grammar()
    from nbconvert import HTMLExporter, TemplateExporter

    class PageExporter(HTMLExporter):
        """The template's text as it is: HTMLExporter would parse every page again, for alt texts that ours have."""

        def from_notebook_node(self, nb: NotebookNode, resources: Any = None, **kw: Any) -> Any:
            return TemplateExporter.from_notebook_node(self, nb, resources, **kw)

    base = resources.files(__package__).joinpath(TEMPLATES)
    made = PageExporter(template_name="page", extra_template_basedirs=[str(base)], extra_template_paths=[str(base)])
    made.exclude_input_prompt = made.exclude_output_prompt = True
    return made


def to_html(
    notebook: NotebookNode,
    *,
    title: str,
    language: str = "en",
    audience: Audience = "research",
    links: Sequence[Link] = (),
) -> str:
    """The executed notebook as one self-contained page in a language: no script, no request.

    Code is folded for research and left out for staff. Files behind links go into one archive where they are many.
    """
    from wwc_research.report import archive, shell
    from wwc_research.report.html import file_name
    from wwc_research.report.language import speaking

    with speaking(language):
        around = shell.surroundings(title=title, links=links, audience=audience)
        body, _ = make_exporter().from_notebook_node(notebook, resources={"page": around})
        return archive.gathered(str(body), name=file_name(title))


__all__ = ["check_parameters", "code_cells", "make_exporter", "notebook_parameters", "skip_slow_grammar", "to_html"]
