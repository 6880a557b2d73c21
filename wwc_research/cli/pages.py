"""Commands that make pages: `report` and `report standard`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from wwc_research.atomic import write_text
from wwc_research.cli.app import CORES, Jobs, PlanFile, Root, app, outcome_standings, progress, project_root
from wwc_research.errors import InputError, ReportError


@app.command()
def report(
    outcomes: Annotated[
        list[str] | None, typer.Argument(metavar="[OUTCOME]...", help="Outcomes of the plan (default: all).")
    ] = None,
    treatment: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME", help="certification, open_data_policy, ...; repeat (default: those of the plan)."),
    ] = None,
    run: Annotated[
        str | None,
        typer.Option(metavar="NAME", help="Folder under reports/ (default: findings, or what was named)."),
    ] = None,
    plan: PlanFile = None,
    jobs: Jobs = CORES,
    force: Annotated[bool, typer.Option("--force", help="Make every page, changed or not.")] = False,
    root: Root = None,
) -> None:
    """One HTML page per outcome and treatment, an index, evidence.csv and run.json, from the shipped figures.

    Every question of a family is answered, since the correction for many questions needs them all; named outcomes only
    say which pages are made. Nothing is done twice: finished parts are kept, and a run that was stopped goes on where
    it was. A page that cannot be made is marked on the index, the others are finished, and the exit status is 1.

    \b
    Examples:
      wwc-research report
      wwc-research report broadband air_quality
      wwc-research report --treatment open_data_policy
    """
    from wwc_research.report import batch

    wanted = batch.plan_batch(
        root=project_root(root),
        treatments=tuple(treatment or ()),
        outcomes=tuple(outcomes or ()),
        run=run,
        jobs=jobs,
        plan_path=plan,
    )
    with progress(batch.n_steps(wanted)) as (say, tick):
        finished = batch.run_batch(wanted, say=say, tick=tick, force=force)
    shown = finished.index.relative_to(wanted.root)
    if finished.nothing_done:
        typer.echo(f"Nothing has changed since the last run: {len(finished.unchanged)} pages are up to date. {shown}")
        return
    kept = f", {len(finished.unchanged)} already up to date" if finished.unchanged else ""
    typer.echo(f"{len(finished.made)} pages made{kept}. Open {shown}")
    if finished.failed:
        lines = "\n".join(f"  {name}: {reason}" for name, reason in finished.failed.items())
        raise ReportError(f"{len(finished.failed)} of {len(wanted.questions)} pages could not be made\n{lines}")


@app.command("report standard")
def report_standard(
    before: Annotated[
        str, typer.Option("--from", metavar="EDITION", help="v1, v2, v3-draft, v3, or a proposal FILE.toml.")
    ] = "v2",
    after: Annotated[str, typer.Option("--to", metavar="EDITION", help="Edition or proposal to compare with.")] = "v3",
    scores: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Assessments under --from, as for `score`: adds the impact on the cities."),
    ] = None,
    same: Annotated[
        list[str] | None,
        typer.Option(
            metavar="A=B", help="Criterion A of --from is criterion B of --to; repeat. Replaces the matching."
        ),
    ] = None,
    unanswered: Annotated[
        Literal["not assessed", "not met", "met"],
        typer.Option(help="How criteria count that no city has answered: worst case (not assessed) or best (met)."),
    ] = "not assessed",
    tie_rule: Annotated[
        Literal["down", "up"] | None,
        typer.Option(help="Level of a total between two bands, in both (default: each edition's own rule)."),
    ] = None,
    outcomes: Annotated[
        Literal["panel"] | None,
        typer.Option(help="Judge outcome requirements from the panel's figures (default: not assessed)."),
    ] = None,
    threshold: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME=VALUE", help="With --outcomes: a level to reach, as for `standard outcomes`."),
    ] = None,
    k: Annotated[int, typer.Option(metavar="N", min=3, help="Fewest cities that a number may count.")] = 10,
    output_dir: Annotated[
        Path | None,
        typer.Option("--output-dir", metavar="DIR", help="Where the page goes (default: reports/standard)."),
    ] = None,
    root: Root = None,
) -> None:
    """One page on what changes between two editions of the Standard, and what that would do to scored cities.

    The page names no city and every number on it counts at least N cities. Publish one page on one set of cities:
    two pages with other options can be compared. A proposal is a TOML file with based_on = "v3" and what differs.

    \b
    Examples:
      wwc-research report standard --from v2 --to v3
      wwc-research report standard --from v3 --to proposal.toml --scores assessments.xlsx
    """
    from wwc_research.report import standard_page

    old, new = (standard_page.chosen_edition(text) for text in (before, after))
    if (same or outcomes) and scores is None:
        raise InputError("--same and --outcomes are about the impact on cities: give --scores FILE, or leave them out.")
    found = None
    folder = project_root(root)
    if scores is not None:
        judged: dict[str, dict[str, Any]] = {}
        for one in (old, new) if outcomes else ():
            if one.outcome_requirement is not None:
                for place, given in outcome_standings(one, root=root, threshold=threshold).items():
                    judged.setdefault(place, {}).update(given)
        found = standard_page.impact_of_file(
            scores,
            before=old,
            after=new,
            raw_dir=folder / "data" / "raw",
            same=standard_page.paired_criteria(same) if same else None,
            unanswered=unanswered,
            tie_rule=tie_rule,
            outcomes=judged or None,
            k=k,
        )
    target = (output_dir or folder / "reports" / "standard") / standard_page.file_name(old, new)
    write_text(target, standard_page.standard_html(old, new, impact=found))
    typer.echo(f"Page made: {target}")
