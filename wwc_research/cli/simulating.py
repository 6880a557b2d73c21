"""The commands `simulate`, estimators tried on a user's own panel, and `simulate world`, a panel to learn on."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from wwc_research import __version__
from wwc_research.cli import panel_columns as columns
from wwc_research.cli.app import (
    CORES,
    STDOUT,
    Jobs,
    PlanFile,
    Root,
    app,
    hand_over,
    names_in,
    project_root,
    refuse_unwritable,
    write_whole,
)
from wwc_research.cli.progress import progress
from wwc_research.errors import EstimationError, Faults, InputError

if TYPE_CHECKING:
    from wwc_research.design.sample import Sample
    from wwc_research.evidence.calibration import Calibration, CalibrationRow

DEFAULT_ESTIMATORS = ("imputation", "callaway_santanna", "two_way_fe")
TRIED = 3  # placebo draws on which an estimator must give one answer before the work starts
WORLD_COLUMNS = ("is_simulated", "unit", "label", "time", "outcome", "cohort", "cluster", "weight")


@app.command()
def simulate(
    file: columns.PanelFile,
    unit: columns.Unit,
    time: columns.Time,
    outcome: columns.OutcomeColumn,
    cohort: columns.Cohort,
    effect: Annotated[
        float | None,
        typer.Option(metavar="X", help="Smallest effect that would matter, in the unit of the outcome: needed."),
    ] = None,
    estimator: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME",
            help=f"Repeat; the first two are judged by lot too (default: {', '.join(DEFAULT_ESTIMATORS)}).",
        ),
    ] = None,
    draws: Annotated[int, typer.Option(metavar="N", min=1, help="Placebo assignments for each estimator.")] = 1000,
    comparison: columns.Compared = "not_yet",
    aggregation: Annotated[
        Literal["simple", "group", "calendar", "dynamic"],
        typer.Option(help="imputation, callaway_santanna: how effects by cohort and time become one."),
    ] = "simple",
    covariates: columns.Covariates = "",
    cluster: columns.Cluster = None,
    weights: columns.Weights = None,
    effects: columns.Effects = "",
    at_risk: columns.AtRisk = None,
    std_error: columns.StdError = None,
    anticipation: columns.Anticipation = 0,
    always_treated: columns.AlwaysTreated = "refuse",
    seed: Annotated[int, typer.Option(metavar="N", min=0, help="For what is drawn by lot; kept in the output.")] = 0,
    jobs: Jobs = CORES,
    json_path: Annotated[
        Path | None, typer.Option("--json", metavar="OUT", help="Write the card there; - prints it.")
    ] = None,
) -> None:
    """Power and calibration on your own panel: bias, coverage, false positives, smallest effect that would be seen.

    Units of the file that were never exposed are given the real first periods of exposure by lot, N times, and every
    estimator is asked for an effect that is not there; then for one of size --effect that was laid over them. The
    answer is the same for any number of --jobs.

    With weights by --std-error or --weights the same weights hold in every draw. Options of estimators are those of
    the reports, so imputation takes leave-out errors.

    \b
    Examples:
      wwc-research simulate cities.csv --unit place_id --time year --outcome broadband_share --cohort cohort \\
          --effect 0.02
      wwc-research simulate cities.csv --unit place_id --time year --outcome broadband_share --cohort cohort \\
          --effect 0.02 --estimator two_way_fe --estimator event_study --draws 500 --cluster county --json card.json
    """
    from wwc_research import catalog
    from wwc_research.design.user_sample import sample_from_file
    from wwc_research.estimators.precision import precision_weighted
    from wwc_research.evidence.calibration import calibrate, calibration_units

    refuse_unwritable(json_path, source=file)
    names = list(dict.fromkeys(estimator or DEFAULT_ESTIMATORS))
    size = _checked(names, effect=effect)
    sample = sample_from_file(
        file,
        unit=unit,
        time=time,
        outcome=outcome,
        cohort=cohort,
        covariates=names_in(covariates),
        cluster=cluster,
        weights=weights,
        optional={
            name: column
            for name, column in (("at_risk", at_risk), ("outcome_std_error", std_error))
            if column is not None
        },
        effects=names_in(effects),
        comparison=comparison,
        anticipation=anticipation,
        always_treated=always_treated,
    )
    if std_error is not None:
        sample = precision_weighted(sample)
    warnings = [*sample.settings.get("warnings", []), *_tried(sample, names, aggregation=aggregation, seed=seed)]
    rule = dataclasses.replace(
        catalog.plan().calibration, estimators=tuple(names), draws=draws, slow_estimators=(), slow_draws=0
    )
    with progress() as shown:
        steps = {f"{unit.estimator}, draw {unit.first + 1}": float(unit.draws) for unit in calibration_units(rule)}
        upcoming = iter(steps)
        shown.expect(steps)
        found = calibrate(
            sample,
            estimators=names,
            draws=draws,
            effect=size,
            seed=seed,
            jobs=jobs,
            aggregation=aggregation,
            rule=rule,
            tick=lambda _: shown.tick(next(upcoming)),
        )
    settings = {**sample.settings, "aggregation": aggregation, "draws": draws, "seed": seed, "version": __version__}
    answer = found.as_dict() | {
        "exclusions": [item.as_dict() for item in sample.exclusions],
        "settings": {**settings, "warnings": warnings},
    }
    hand_over(answer, summary="\n".join(_lines(found)), warnings=warnings, json_path=json_path)


def _checked(names: Sequence[str], *, effect: float | None) -> float:
    """The effect to plant; a missing one and unknown estimators are one error."""
    from wwc_research.estimators import ESTIMATORS

    faults = Faults(where="simulate")
    for name in names:
        if name not in ESTIMATORS:
            faults.add(f"--estimator {name!r} does not exist. Allowed: {', '.join(sorted(ESTIMATORS))}.")
    meaning = (
        "It is the smallest effect that would matter, in the unit of the outcome (0.02 for two points of a share); "
        "power is the chance to find an effect of that size."
    )
    if effect is None:
        faults.add(f"--effect is needed. {meaning}")
    elif not math.isfinite(effect) or effect == 0:
        faults.add(f"--effect {effect:g} is no size that could be planted; give a number other than 0. {meaning}")
    faults.raise_if_any()
    return math.nan if effect is None else effect


def _tried(sample: Sample, names: Sequence[str], *, aggregation: str, seed: int) -> list[str]:
    """Warnings of the estimators; those that cannot answer on any of the first placebo worlds are one error.

    A pool too small to draw placebo units from is an error as well.
    """
    import numpy as np

    from wwc_research.evidence import planned_estimators
    from wwc_research.evidence.placebo_pool import PlaceboPool

    pool = PlaceboPool.of(sample)
    lots = [pool.draw(np.random.default_rng(np.random.SeedSequence([seed, number]))) for number in range(TRIED)]
    worlds = [pool.world(pool.cohort_of_rows(lot)) for lot in lots]
    faults, notes = Faults(where="simulate"), []
    for name in names:
        reason = ""
        for world in worlds:
            try:
                result = planned_estimators.run(name, world, aggregation=aggregation, seed=seed, error_draws=2)
            except (EstimationError, InputError) as error:
                reason = str(error)
                continue
            notes += [f"{name}: {text}" for text in result.settings.get("warnings", [])]
            if result.settings.get("covariates_not_used"):
                notes.append(f"{name} takes no covariates: --covariates was not used")
            break
        else:
            faults.add(f"--estimator {name}: cannot answer among units never exposed: {reason}")
    faults.raise_if_any()
    return list(dict.fromkeys(notes))


def _lines(found: Calibration) -> list[str]:
    """The card for a person at a terminal."""
    head = ("", "bias", "coverage", "false positives (95 % interval)", "smallest seen", f"power at {found.effect:g}")
    rows = [head, *(_cells(row) for row in found.rows)]
    widths = [max(len(row[place]) for row in rows) for place in range(len(head))]
    table = [
        "  ".join(text.ljust(width) if not place else text.rjust(width) for place, (text, width) in enumerate(both))
        for both in (zip(row, widths, strict=True) for row in rows)
    ]
    said = [f"{_named(row)}: {row.sentence}" for row in found.rows]
    by_lot = (
        "By lot means: the larger of the estimator's own error and that of the placebo draws, as reports judge. The "
        "draws judge themselves here, so its false positives are at most 5 % by construction."
    )
    return [found.sentence, "", *table, "", *said, "", by_lot, _carrier(found)]


def _carrier(found: Calibration) -> str:
    """Which estimator the rule lets head a page."""
    if not found.carrier:
        names = " nor ".join(name for name in (found.headline, found.fallback) if name)
        return f"{f'Neither {names} can' if found.fallback else f'{names} cannot'} carry a headline on this panel."
    in_doubt = found.row(found.carrier, basis="as_judged").result == "in_doubt"
    return f"{found.carrier} can carry a headline on this panel{', though it is in doubt' if in_doubt else ''}."


def _named(row: CalibrationRow) -> str:
    return row.estimator if row.basis == "own_error" else f"{row.estimator}, by lot"


def _cells(row: CalibrationRow) -> tuple[str, ...]:
    false_positives = (
        f"{_percent(row.false_positive_share)} ({_percent(row.false_positive_low)} to "
        f"{_percent(row.false_positive_high)})"
    )
    return (
        _named(row),
        f"{row.bias:+.3g}" if math.isfinite(row.bias) else "undefined",
        _percent(row.coverage),
        false_positives if row.with_error else "undefined",
        f"{row.minimum_detectable_effect:.3g}" if math.isfinite(row.minimum_detectable_effect) else "undefined",
        _percent(row.power_at_effect),
    )


def _percent(share: float) -> str:
    return f"{100 * share:.1f} %" if math.isfinite(share) else "undefined"


@app.command("simulate world")
def simulate_world(
    kind: Annotated[
        Literal["null", "effect", "confounded", "diverging", "anticipation"],
        typer.Argument(metavar="KIND", help="null, effect, confounded, diverging or anticipation."),
    ],
    like: Annotated[str, typer.Option(metavar="OUTCOME", help="An outcome of the plan whose panel is imitated.")],
    out: Annotated[Path, typer.Option(metavar="FILE", help="Where the made-up panel goes, as CSV.")],
    effect: Annotated[float, typer.Option(metavar="X", help="True effect, in the unit of the outcome.")] = 0.0,
    strength: Annotated[
        float, typer.Option(metavar="X", help="Of the bias: confounded, diverging: in standard deviations of noise.")
    ] = 0.0,
    shape: Annotated[
        Literal["constant", "growing"], typer.Option(help="Of the effect over the years of exposure.")
    ] = "constant",
    treatment: Annotated[
        str, typer.Option(metavar="NAME", help="Whose years of exposure are dealt out.")
    ] = "certification",
    seed: Annotated[int, typer.Option(metavar="N", min=0, help="Another number makes another world.")] = 0,
    plan: PlanFile = None,
    root: Root = None,
) -> None:
    """A made-up panel whose truth is known, to learn on. EVERY ROW SAYS THAT IT IS SIMULATED.

    Years, gaps, counties and numbers of exposed units are those of the outcome's real panel; outcomes and names are
    made up. null: no effect; effect: a true one; confounded: units that rise anyway are exposed; diverging: exposed
    units drift away before and after; anticipation: the effect shows two years early.

    \b
    Examples:
      wwc-research simulate world effect --like broadband --effect 0.05 --out world.csv
      wwc-research simulate world diverging --like broadband --strength 2 --out drift.csv
      wwc-research estimate world.csv --unit unit --time time --outcome outcome --cohort cohort \\
          --cluster cluster --estimator imputation
    """
    import numpy as np

    from wwc_research.evidence.assemble import planned_design
    from wwc_research.evidence.panels import ensure_panel, panel_path
    from wwc_research.evidence.questions import read_plan_file
    from wwc_research.evidence.worlds import describe, make_world
    from wwc_research.panel.panel import Panel

    folder = project_root(root)
    chosen = read_plan_file(plan)
    refuse_unwritable(out, source=panel_path(folder, figures=chosen.figures), option="--out")
    design = planned_design(outcome=like, treatment=treatment, plan=chosen)
    panel = Panel.read(ensure_panel(folder, say=lambda line: typer.echo(line, err=True), figures=chosen.figures))
    world = make_world(
        design.sample(panel),
        kind=kind,
        generator=np.random.default_rng(seed),
        effect=effect,
        strength=strength,
        shape=shape,
    )
    frame = world.frame[[name for name in WORLD_COLUMNS if name in world.frame]].astype({"cohort": "Int64"})
    text = frame.to_csv(index=False, lineterminator="\n")
    if out == STDOUT:
        typer.echo(text, nl=False)
    else:
        write_whole(text, path=out, option="--out")
    typer.echo(describe(world), err=out == STDOUT)
