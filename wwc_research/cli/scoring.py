"""The command `score`: assessments under an edition of the Standard. What it writes is confidential."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

from wwc_research.cli.app import STDOUT, Root, app, outcome_standings, project_root, refuse_unwritable
from wwc_research.errors import InputError


@app.command()
def score(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="CSV or Excel (.xlsx), long or wide.")],
    edition: Annotated[str, typer.Option(metavar="NAME", help="Edition of the Standard: v1, v2, v3-draft or v3.")],
    json_path: Annotated[Path | None, typer.Option("--json", metavar="OUT", help="Write the scores as JSON.")] = None,
    csv_path: Annotated[Path | None, typer.Option("--csv", metavar="OUT", help="Write the scores as CSV.")] = None,
    tie_rule: Annotated[
        Literal["down", "up"] | None,
        typer.Option(help="Level of a total between two bands (default: the edition's own rule)."),
    ] = None,
    outcomes: Annotated[
        Literal["panel"] | None,
        typer.Option(help="Judge the edition's outcome requirement from the panel's figures (default: not assessed)."),
    ] = None,
    threshold: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME=VALUE", help="With --outcomes: a level to reach, as for `standard outcomes`."),
    ] = None,
    root: Root = None,
) -> None:
    """Points, level and decision with its reasons for every assessment in a file. OUT IS CONFIDENTIAL.

    OUT names cities and their scores, also those that were not certified: only its owner may read the file, and it
    must not be passed on or published. What is printed here are counts, never names or scores.

    FILE is long (place, assessed_on, criterion, response) or wide (place, assessed_on and a column a criterion).
    A place is "Name, ST", a code, or abroad "Name, Country". Responses: met / not met / not assessed, yes / no,
    1 / 0 / blank. All faults of a file are listed at once, by row, and nothing is written.

    Points and evidence may stand beside the responses or points in their place: long, columns points and evidence;
    wide, columns such as "DM1 points" and "DM1 evidence". Points go from 0 to what the criterion is worth; fewer than
    all count, but the criterion is not met, so as a core criterion or prerequisite it still stops. Evidence: yes / no /
    blank; a response whose evidence was not accepted does not count.

    v3 also takes an outcome of the city's own choice as staff judge it: demonstrated / not demonstrated / cannot tell,
    wide in a column own_outcome, long in a row whose criterion is own_outcome. It joins those of --outcomes panel.

    \b
    Examples:
      wwc-research score assessments.xlsx --edition v3 --json scores.json
      wwc-research score assessments.csv --edition v2 --tie-rule up --csv scores.csv
      wwc-research score assessments.csv --edition v3 --outcomes panel --threshold broadband=0.8 --json scores.json
    """
    from wwc_research.catalog import editions
    from wwc_research.sources.places import Places
    from wwc_research.standard import assessment_files, scoring

    outs = {"json": json_path, "csv": csv_path}
    if json_path is None and csv_path is None:
        raise InputError("say where the scores go: --json OUT or --csv OUT. They are confidential and not printed.")
    if json_path is not None and csv_path is not None and json_path.resolve() == csv_path.resolve():
        raise InputError(f"--json and --csv are both {json_path}. Give two names.")
    for layout, path in outs.items():
        if path == STDOUT:
            raise InputError(f"--{layout} -: scores are confidential and not printed. Give the name of a file.")
        refuse_unwritable(path, source=file, option=f"--{layout}")
    chosen = editions.edition(edition)
    responses = assessment_files.read_assessments(
        file, edition=chosen, places=Places.load(project_root(root) / "data" / "raw")
    )
    standings = outcome_standings(chosen, root=root, threshold=threshold) if outcomes else None
    scores = scoring.score(responses, chosen, tie_rule=tie_rule, outcomes=standings)
    for layout, path in outs.items():
        if path is not None:
            assessment_files.write_scores(scores, path, layout="json" if layout == "json" else "csv")
    counts = ", ".join(f"{number:,} {level}" for level, number in scores.level_counts().items())
    typer.echo(f"{len(scores):,} assessment{'s' * (len(scores) != 1)} scored with {chosen.name}: {counts}")
