"""Commands that make pages: `report` and `report standard`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from wwc_research.atomic import write_text
from wwc_research.cli.app import CORES, PlanFile, Root, app, outcome_standings, project_root
from wwc_research.cli.progress import progress
from wwc_research.errors import InputError, ReportError, listed

if TYPE_CHECKING:
    from wwc_research.report.batch import Finished
    from wwc_research.report.batch_plan import Batch

INTERRUPTED = 130  # as shells say of what Ctrl-C ended


@app.command()
def report(
    only: Annotated[
        list[str] | None,
        typer.Option(metavar="OUTCOME,...", help="Outcomes of the plan that have pages; repeat (default: all)."),
    ] = None,
    treatment: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME", help="certification, open_data_policy, ...; repeat (default: those of the plan)."),
    ] = None,
    audience: Annotated[str, typer.Option(metavar="staff|research|both", help="Whom the pages are for.")] = "both",
    lang: Annotated[str, typer.Option(metavar="en,es,pt", help="Languages; the first has the plain index.")] = "en",
    cities: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME;...", help='Pages of cities: "Detroit, MI", place_ids, certified or all; repeat.'),
    ] = None,
    run: Annotated[
        str | None,
        typer.Option(metavar="NAME", help="Folder under reports/ (default: findings, or what was named)."),
    ] = None,
    out: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Folder for the pages (default: reports/ and the run's name).")
    ] = None,
    plan: PlanFile = None,
    jobs: Annotated[
        int,
        typer.Option(metavar="N", show_default="all cores", help="Parts and pages worked at the same time."),
    ] = CORES,
    engine: Annotated[
        str, typer.Option(metavar="auto|fork|portable", help="How notebooks are run; the pages are the same.")
    ] = "auto",
    scheduler: Annotated[
        str, typer.Option(metavar="tcp://HOST:PORT", help="Have a dask.distributed cluster do the work.")
    ] = "",
    pdf: Annotated[bool, typer.Option("--pdf", help="Print every page to PDF as well, with Chromium or Edge.")] = False,
    force: Annotated[bool, typer.Option("--force", help="Make every page, changed or not.")] = False,
    root: Root = None,
) -> None:
    """Pages by outcome, treatment, audience and language, an index, evidence.csv and run.json, from shipped figures.

    Every question of a family is answered, since the correction for many questions needs them all; --only says which
    have pages. Nothing is done twice: finished parts and pages are kept, and a run that was stopped goes on where it
    was. A page that cannot be made is marked on the index, the others are finished, and the exit status is 1.

    \b
    Examples:
      wwc-research report
      wwc-research report --only broadband,air_quality --audience staff --lang en,es
      wwc-research report --treatment open_data_policy --cities "Detroit, MI;Boston, MA"
    """
    from wwc_research.report import batch_plan

    wanted = batch_plan.plan_batch(
        root=project_root(root),
        treatments=tuple(treatment or ()),
        outcomes=_several(only, ","),
        audiences=_several([audience], ","),
        languages=_several([lang], ","),
        cities=_several(cities, ";"),
        run=run,
        jobs=jobs,
        plan_path=plan,
        out=out,
        engine=engine,
        scheduler=scheduler,
        pdf=pdf,
    )
    from wwc_research.report import batch  # not before the options are known to be right: it takes a while

    try:
        with progress() as shown:
            finished = batch.run_batch(wanted, say=shown.say, tick=shown.tick, expect=shown.expect, force=force)
    except KeyboardInterrupt:
        typer.echo(
            "Stopped. Finished parts and pages are kept; the same command goes on where it was. The index is that of "
            "the run before, if there was one.",
            err=True,
        )
        raise typer.Exit(INTERRUPTED) from None
    _tell(finished, wanted)


def _several(texts: list[str] | None, sign: str) -> tuple[str, ...]:
    """The names in the options, each of which may hold several."""
    return tuple(dict.fromkeys(name.strip() for text in texts or () for name in text.split(sign) if name.strip()))


def _tell(finished: Finished, wanted: Batch) -> None:
    """Say what was made; what failed is an error."""
    shown = _short(finished.index, wanted.root)
    if finished.nothing_done:
        typer.echo(f"Nothing has changed since the last run: {len(finished.unchanged)} pages are up to date. {shown}")
        return
    kept = f", {len(finished.unchanged)} already up to date" if finished.unchanged else ""
    typer.echo(f"{len(finished.made)} pages made{kept}. Open {shown}")
    if not finished.failed:
        return
    lines = "\n".join(f"  {name}: {reason}" for name, reason in finished.failed.items())
    raise ReportError(
        f"{len(finished.failed)} could not be made; notebooks that ran are kept in "
        f"{_short(wanted.executed, wanted.root)}\n{lines}"
    )


def _short(path: Path, root: Path) -> Path:
    return path.relative_to(root) if path.is_relative_to(root) else path


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
    lang: Annotated[str, typer.Option(metavar="en,es,pt", help="Languages of the page, one file each.")] = "en",
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
    from wwc_research.report.language import LANGUAGES
    from wwc_research.report.page_work import Link

    old, new = (standard_page.chosen_edition(text) for text in (before, after))
    if (same or outcomes) and scores is None:
        raise InputError("--same and --outcomes are about the impact on cities: give --scores FILE, or leave them out.")
    languages = _languages(lang)
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
    targets = _in_languages(
        (output_dir or folder / "reports" / "standard") / standard_page.file_name(old, new), languages
    )
    for code, target in targets.items():
        links = [
            Link(text=LANGUAGES[other].name, href=path.name, language=LANGUAGES[other].tag, is_here=other == code)
            for other, path in targets.items()
            if len(targets) > 1
        ]
        write_text(target, standard_page.standard_html(old, new, impact=found, language=code, links=links))
        typer.echo(f"Page made: {target}")


def _languages(text: str) -> tuple[str, ...]:
    """The languages asked for; unknown ones are refused."""
    from wwc_research.report.language import LANGUAGES

    codes = _several([text], ",")
    unknown = [code for code in codes if code not in LANGUAGES]
    if unknown or not codes:
        raise InputError(f"--lang {text!r}: there is no language {listed(unknown)}; use {listed(LANGUAGES)}")
    return codes


def _in_languages(target: Path, codes: tuple[str, ...]) -> dict[str, Path]:
    """The page's file in each language: the plain name in English."""
    return {code: target if code == "en" else target.with_suffix(f".{code}.html") for code in codes}
