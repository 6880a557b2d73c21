"""Commands on the panel: `panel`, and the Standard's own tests on its figures."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Literal

import typer

from wwc_research.atomic import write_text
from wwc_research.cli.app import Commands, PlanFile, Root, app, hand_over, project_root, refuse_unwritable

panel_app = typer.Typer(cls=Commands, no_args_is_help=True, rich_markup_mode=None, help="The city-year panel.")
app.add_typer(panel_app, name="panel")
standard_app = typer.Typer(cls=Commands, no_args_is_help=True, rich_markup_mode=None, help="The Standard's own tests.")
app.add_typer(standard_app, name="standard")


@panel_app.command("build")
def panel_build(
    root: Root = None,
    plan: PlanFile = None,
    uncorrected: Annotated[
        bool,
        typer.Option("--uncorrected", help="Leave known errors of the sources in; writes panel_uncorrected.parquet."),
    ] = False,
) -> None:
    """Build the city-year panel from data/raw and write it with its data dictionary to data/processed.

    A plan whose [figures] name fetched vintages has a panel of its own, beside that of the shipped figures.

    \b
    Examples:
      wwc-research panel build
      wwc-research panel build --plan fresh.toml
    """
    from wwc_research.evidence.panels import panel_path, uncorrected_path
    from wwc_research.evidence.questions import read_plan_file
    from wwc_research.panel.build import build_panel
    from wwc_research.panel.dictionary import data_dictionary
    from wwc_research.sources import raw

    folder = project_root(root)
    figures = read_plan_file(plan).figures
    raw.check(folder / "data" / "raw")
    panel = build_panel(folder / "data" / "raw", corrected=not uncorrected, figures=figures)
    target = (uncorrected_path if uncorrected else panel_path)(folder, figures=figures)
    panel.write(target)
    write_text(target.with_name(f"{target.stem}_dictionary.md"), data_dictionary(panel))
    rows = panel.frame
    typer.echo(f"{len(rows):,} rows, {rows['place_id'].nunique():,} places: data/processed/{target.name}")


@panel_app.command("describe")
def panel_describe(root: Root = None, plan: PlanFile = None) -> None:
    """The data dictionary: every column with source, vintage, years, places and missingness.

    \b
    Example:
      wwc-research panel describe > dictionary.md
    """
    from wwc_research.evidence.panels import panel_path
    from wwc_research.evidence.questions import read_plan_file
    from wwc_research.panel.dictionary import data_dictionary
    from wwc_research.panel.panel import Panel

    figures = read_plan_file(plan).figures
    typer.echo(data_dictionary(Panel.read(panel_path(project_root(root), figures=figures))), nl=False)


@standard_app.command("outcomes")
def standard_outcomes(
    city: Annotated[str, typer.Option(metavar="NAME", help='"Detroit, MI" or a 7-digit code.')],
    reading: Annotated[
        Literal["progress", "standard", "both"],
        typer.Option(help="Change over a window, level against a threshold, or both."),
    ] = "both",
    window: Annotated[
        tuple[int, int] | None,
        typer.Option(metavar="A B", help="First and last year (default: the city's own first and last figures)."),
    ] = None,
    threshold: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME=VALUE", help="Outcome or panel column, and a number or a candidate's name; repeat."),
    ] = None,
    std_error: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME=VALUE", help="Standard error of a figure that has none (0: exact); repeat."),
    ] = None,
    level: Annotated[float, typer.Option(help="Of the one-sided test of progress.")] = 0.95,
    confidence: Annotated[float, typer.Option(help="Of the interval that must clear the threshold.")] = 0.95,
    at_least: Annotated[int, typer.Option(metavar="N", min=1, help="Outcomes that must be demonstrated.")] = 1,
    json_path: Annotated[
        Path | None, typer.Option("--json", metavar="OUT", help="Write the rows there; - prints them.")
    ] = None,
    root: Root = None,
) -> None:
    """Whether a city demonstrates its outcomes, from the panel's own figures: yes, no, or it cannot be told.

    No threshold is built in: choose a number in the panel's unit (shares from 0 to 1) or a candidate of the catalog
    (who_2021, naaqs_2012, naaqs_2024 for pm25_mean_ug_m3).

    \b
    Examples:
      wwc-research standard outcomes --city "Detroit, MI"
      wwc-research standard outcomes --city "Detroit, MI" --reading standard --window 2016 2021 \\
          --threshold broadband=0.8 --threshold pm25_mean_ug_m3=naaqs_2012 --std-error pm25_mean_ug_m3=0.5
    """
    from wwc_research.panel.demonstrations import OutcomeRules, describe_outcomes, named_numbers, named_values
    from wwc_research.panel.panel import Panel
    from wwc_research.sources.places import Places

    folder = project_root(root)
    panel_path = folder / "data" / "processed" / "panel.parquet"
    refuse_unwritable(json_path, source=panel_path)
    rules = OutcomeRules(
        window=window,
        level=level,
        confidence=confidence,
        thresholds=named_values(threshold or (), option="--threshold"),
        std_errors=named_numbers(std_error or (), option="--std-error"),
    )
    found = describe_outcomes(
        Panel.read(panel_path),
        city=city,
        places=Places.load(folder / "data" / "raw"),
        reading=reading,
        at_least=at_least,
        rules=rules,
    )
    rows = json.loads(found.rows.to_json(orient="records"))
    answer = {"place_id": found.place_id, "city": found.city, "outcomes": rows}
    hand_over(answer, summary="\n".join(found.lines), warnings=[], json_path=json_path)
