"""The command line's own: the app, its root folder, how answers are written and printed.

Commands import what they need when they run, so that `--help` is quick. Errors leave one message, no trace.
"""

from __future__ import annotations

import csv
import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from typer.core import TyperGroup

from wwc_research import __version__
from wwc_research.atomic import write_text
from wwc_research.errors import InputError, WwcError

if TYPE_CHECKING:
    from wwc_research.catalog.editions import Edition

STDOUT = Path("-")


class Commands(TyperGroup):
    """Commands in the order of the work; an error of the user is one message and its exit status."""

    def invoke(self, ctx: Any) -> Any:
        """Run the command; what goes wrong is one message, without a trace."""
        try:
            return super().invoke(ctx)
        except WwcError as error:
            typer.echo(f"error: {error}", err=True)
            raise typer.Exit(error.exit_status) from None
        except OSError as error:
            reason = error.strerror or str(error)
            typer.echo(f"error: {error.filename}: cannot be read or written ({reason}). Check the path.", err=True)
            raise typer.Exit(InputError.exit_status) from None

    def list_commands(self, ctx: Any) -> list[str]:
        """Names in the order in which they were added."""
        return list(self.commands)

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        """A command of two words (`report standard`) goes before the command of its first word."""
        both = " ".join(args[:2])
        return super().resolve_command(ctx, [both, *args[2:]] if both in self.commands else args)


app = typer.Typer(
    name="wwc-research",
    cls=Commands,
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)


def main() -> None:
    """Run the command line; the entry point of `wwc-research`."""
    app()


def _print_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"wwc-research {__version__}")
        raise typer.Exit


@app.callback()
def wwc_research(
    version: Annotated[
        bool,
        typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version and stop."),
    ] = False,
) -> None:
    """Does What Works Cities Certification go with better lives for residents? Data, estimates, reports.

    \b
    wwc-research report             one page per outcome and an index, from the shipped figures
    wwc-research evidence --help    how far to believe the answer to one question
    wwc-research data list          what figures there are, and whose
    wwc-research panel describe     coverage of the city-year panel
    wwc-research estimate --help    an effect over time, from your own file
    wwc-research match --help       matched and weighted comparisons, from your own file
    wwc-research simulate --help    what your own panel could have shown
    """


Root = Annotated[
    Path | None,
    typer.Option("--root", metavar="DIR", help="Folder with data/, notebooks/ and reports/ (default: found upwards)."),
]


CORES = os.cpu_count() or 1
Jobs = Annotated[
    int,
    typer.Option(
        metavar="N", min=1, show_default="all cores", help="Parts worked at the same time; any number gives the same."
    ),
]
PlanFile = Annotated[
    Path | None,
    typer.Option("--plan", metavar="FILE", help="Another plan than the one that ships with the package."),
]


def project_root(root: Path | None) -> Path:
    """The project's folder: as given, else the nearest one upwards, else the one this package was installed from."""
    candidates = [root] if root else [Path.cwd(), *Path.cwd().parents, Path(__file__).resolve().parents[1]]
    for folder in candidates:
        if (folder / "data" / "raw" / "manifest.toml").is_file():
            return folder.resolve()
    raise InputError(
        f"{candidates[0]}: no data/raw/manifest.toml here or above. Go to the project's folder or name it with --root."
    )


def undefined_error(answer: Mapping[str, Any]) -> list[str]:
    """A warning where there is an estimate and no standard error."""
    if answer["std_error"] is not None:
        return []
    reasons = "too few clusters or matched sets, or an outcome without noise on its scale"
    return [f"the standard error is undefined, so there is no interval and no p-value: {reasons}"]


def names_in(text: str) -> list[str]:
    """Column names separated by commas; names that hold a comma stand in double quotes."""
    return [name.strip() for name in next(csv.reader([text], skipinitialspace=True), []) if name.strip()]


def refuse_unwritable(path: Path | None, *, source: Path, option: str = "--json") -> None:
    """Refuse an output that could not be written, before any work is done."""
    if path is None or path == STDOUT:
        return
    try:
        target = path.resolve()
    except (OSError, RuntimeError) as error:  # a link that leads back to itself
        raise InputError(f"{option} {path}: leads nowhere ({error}). Give another name.") from error
    if target.is_dir():
        raise InputError(f"{option} {path}: is a folder. Give the name of a file.")
    if target.exists() and not target.is_file():
        raise InputError(f"{option} {path}: is a device or pipe, no file. Give the name of a file, or - to print it.")
    if not target.parent.is_dir():
        raise InputError(f"{option} {path}: the folder {target.parent} does not exist. Make it first.")
    if target.exists() and source.exists() and target.samefile(source):
        raise InputError(f"{option} {path}: is the input itself. Give another name.")
    if not os.access(target.parent, os.W_OK | os.X_OK):
        raise InputError(f"{option} {path}: the folder {target.parent} may not be written to. Give another place.")
    if target.exists() and not os.access(target, os.W_OK):
        raise InputError(f"{option} {path}: the file is protected against writing. Give another name.")


def plain(value: Any) -> Any:
    """The value with Python's own types throughout; undefined and infinite numbers become null."""
    if isinstance(value, Mapping):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    if hasattr(value, "item"):
        value = value.item()
    if isinstance(value, float) and not (float("-inf") < value < float("inf")):
        return None
    return value


def hand_over(answer: Mapping[str, Any], *, summary: str, warnings: list[str], json_path: Path | None) -> None:
    """Write the answer, whole or not at all; then print the warnings and the summary."""
    text = json.dumps(plain(answer), indent=2, ensure_ascii=False, allow_nan=False) + "\n"
    if json_path is not None and json_path != STDOUT:
        write_whole(text, path=json_path)
    for warning in warnings:
        typer.echo(f"warning: {warning}", err=True)
    if json_path == STDOUT:
        typer.echo(text, nl=False)
    else:
        typer.echo(summary)


def write_whole(text: str, *, path: Path, option: str = "--json") -> None:
    """Write the file, whole or not at all."""
    try:
        write_text(path, text)
    except OSError as error:
        reason = error.strerror or str(error)
        raise InputError(f"{option} {path}: cannot be written ({reason}). Give another place.") from error


def outcome_standings(edition: Edition, *, root: Path | None, threshold: list[str] | None) -> dict[str, Any]:
    """Verdicts on the outcomes an edition asks for, from the panel; an edition that asks for none is refused."""
    from wwc_research.panel.demonstrations import OutcomeRules, named_values, standings
    from wwc_research.panel.panel import Panel

    if edition.outcome_requirement is None:
        raise InputError(f"--outcomes: edition {edition.name} asks for no outcome. Leave the option out.")
    panel = Panel.read(project_root(root) / "data" / "processed" / "panel.parquet")
    rules = OutcomeRules(thresholds=named_values(threshold or (), option="--threshold"))
    return dict(standings(panel, edition.outcome_requirement, rules=rules))
