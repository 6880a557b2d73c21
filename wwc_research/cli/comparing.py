"""`reports diff`: what changed between two finished runs."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from wwc_research.cli.app import Root, app, hand_over, project_root, refuse_unwritable


@app.command("reports diff")
def reports_diff(
    run_a: Annotated[str, typer.Argument(metavar="RUN_A", help="A run under reports/, or its folder: the first.")],
    run_b: Annotated[str, typer.Argument(metavar="RUN_B", help="The run to compare with it: the second.")],
    json_path: Annotated[
        Path | None, typer.Option("--json", metavar="OUT", help="Write the differences there; - prints them.")
    ] = None,
    root: Root = None,
) -> None:
    """What changed between two runs: findings first, then data, code and plan.

    An estimate has moved where it changed by more than a tenth of its standard error. The exit status is 0 where both
    runs find the same, whatever else changed, 1 where a finding differs, and 2 where a run cannot be read.

    \b
    Examples:
      wwc-research reports diff findings findings-before
      wwc-research reports diff reports/findings ../last-year/reports/findings --json changes.json
    """
    from wwc_research.report.run_diff import difference

    folders = [_run_folder(text, root=root) for text in (run_a, run_b)]
    refuse_unwritable(json_path, source=folders[1] / "run.json")
    found = difference(*folders)
    lines = [f"{found.first}, then {found.second}", *found.sentences]
    hand_over(found.as_dict(), summary="\n".join(lines), warnings=[], json_path=json_path)
    if not found.same_findings:
        raise typer.Exit(1)


def _run_folder(text: str, *, root: Path | None) -> Path:
    """The folder of that path, else the run of that name under the project's reports/."""
    named = Path(text)
    if (named / "run.json").exists() or named.name != text:
        return named
    return project_root(root) / "reports" / text
