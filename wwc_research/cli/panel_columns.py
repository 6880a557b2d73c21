"""Options that say how a user's own panel is read, shared by the commands that read one."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

PanelFile = Annotated[Path, typer.Argument(metavar="FILE", help="CSV or Parquet, one row a unit and period.")]
Unit = Annotated[str, typer.Option(metavar="COL", help="Column of unit codes (read as text).")]
Time = Annotated[str, typer.Option(metavar="COL", help="Column of periods (whole numbers).")]
OutcomeColumn = Annotated[str, typer.Option(metavar="COL", help="Column of the outcome.")]
Cohort = Annotated[
    str, typer.Option(metavar="COL", help="Column of the first exposed period; empty, 0 or inf = never.")
]
Compared = Annotated[
    Literal["never", "not_yet"],
    typer.Option(help="Compare with units never exposed, or also with those not yet exposed."),
]
Covariates = Annotated[str, typer.Option(metavar="A,B", help="Columns to adjust for.")]
Cluster = Annotated[str | None, typer.Option(metavar="COL", help="Groups that share shocks (default: the unit).")]
Weights = Annotated[str | None, typer.Option(metavar="COL", help="Weights above zero.")]
Effects = Annotated[
    str,
    typer.Option(metavar="A,B", help="two_way_fe, event_study: columns, such as region, whose levels differ by time."),
]
AtRisk = Annotated[
    str | None, typer.Option(metavar="COL", help="poisson_fe: what the count is out of, such as residents.")
]
StdError = Annotated[
    str | None, typer.Option(metavar="COL", help="Published standard error of the outcome: weights rows by it.")
]
Anticipation = Annotated[
    int, typer.Option(metavar="N", min=0, help="Periods before exposure that may already respond.")
]
AlwaysTreated = Annotated[
    Literal["refuse", "exclude"],
    typer.Option(help="Units treated from the first period on: an error, or left out and counted."),
]
