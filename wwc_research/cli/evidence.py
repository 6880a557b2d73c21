"""Commands on how far to believe: `evidence` for one question, `plan lock` and `plan check`."""

from __future__ import annotations

from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from wwc_research.cli.app import (
    CORES,
    Commands,
    Jobs,
    PlanFile,
    Root,
    app,
    hand_over,
    project_root,
    refuse_unwritable,
)
from wwc_research.cli.progress import progress
from wwc_research.errors import Faults, ReportError

if TYPE_CHECKING:
    from wwc_research.evidence.evidence import Evidence

plan_app = typer.Typer(
    cls=Commands, no_args_is_help=True, rich_markup_mode=None, help="The plan: lock it, check against the lock."
)
app.add_typer(plan_app, name="plan")
MARKS = {"passed": "passed     ", "failed": "FAILED     ", "cannot_tell": "cannot tell"}


@app.command("evidence")
def evidence_command(
    outcome: Annotated[str, typer.Argument(metavar="OUTCOME", help="An outcome of the plan.")],
    treatment: Annotated[
        str, typer.Option(metavar="NAME", help="certification, open_data_policy or gold_certification.")
    ] = "certification",
    plan: PlanFile = None,
    jobs: Jobs = CORES,
    json_path: Annotated[
        Path | None, typer.Option("--json", metavar="OUT", help="Write the evidence there; - prints it.")
    ] = None,
    root: Root = None,
) -> None:
    """How far to believe the answer to one question: verdict, grade, checks, sensitivity, calibration.

    All questions of its family are answered as well, since the correction for many questions needs them. Finished parts
    are kept: `report` and a second call read them.

    \b
    Examples:
      wwc-research evidence broadband
      wwc-research evidence unemployment --treatment open_data_policy --json evidence.json
    """
    from wwc_research.report import batch, batch_plan

    folder = project_root(root)
    refuse_unwritable(json_path, source=folder / "data" / "processed" / "panel.parquet")
    wanted = batch_plan.plan_batch(
        root=folder, treatments=(treatment,), outcomes=(outcome,), jobs=jobs, plan_path=plan, where="evidence"
    )
    with progress() as shown:
        answers = batch.answer_batch(wanted, say=shown.say, tick=shown.tick, expect=shown.expect)
    question = wanted.questions[0]
    if question in answers.failed:
        raise ReportError(f"{question.name}: {answers.failed[question]}")
    found = answers.found[question]
    others = [f"{item.name} has no evidence: {why}" for item, why in answers.failed.items()]
    hand_over(found.as_dict(), summary="\n".join(_lines(found)), warnings=others, json_path=json_path)


def _lines(found: Evidence) -> list[str]:
    """The evidence for a person at a terminal."""
    from wwc_research import catalog
    from wwc_research.report import wording

    outcome, treatment = catalog.outcome(found.outcome), catalog.treatment(found.treatment)
    lines = [
        f"{wording.verdict_title(found, outcome)}: {outcome.title} and {treatment.title}",
        wording.headline_sentence(found, outcome, treatment),
        "",
        wording.how_sure(found),
        wording.graded(found),
        _p_values(found),
        wording.smallest_visible(found, outcome),
        "",
        *(f"{MARKS[check.result]}  {check.asks} {check.sentence}" for check in found.checks),
        "",
        *(str(values.get("sentence") or values.get("failed")) for values in found.sensitivity.values()),
    ]
    if found.specifications:
        lines += [found.specifications["sentence"], found.specifications["joint"]["sentence"]]
    status = found.plan_status
    return [*lines, "", str(status.get("sentence", "")), *(f"  {item}" for item in status.get("deviations", ()))]


def _p_values(found: Evidence) -> str:
    from wwc_research.report import wording

    alone, family, q_value = (
        wording.p_value(value) for value in (found.judged.get("p_value"), found.family_p_value, found.q_value)
    )
    return f"p {alone}, corrected over {found.adjusted.get('n_hypotheses')} questions {family}, q {q_value}."


@plan_app.command("lock")
def plan_lock_command(
    reason: Annotated[
        str, typer.Option(metavar="TEXT", help="Why an earlier lock is replaced; it is kept with the new one.")
    ] = "",
    plan: PlanFile = None,
    root: Root = None,
) -> None:
    """Write down plan, data and version as they are, so that every later run can be held against them.

    Lock before results are looked at. The lock is plan.lock.toml in the project's folder; keep it in version control.

    \b
    Examples:
      wwc-research plan lock
      wwc-research plan lock --reason "2023 figures added"
    """
    from wwc_research.evidence import plan_lock
    from wwc_research.evidence.questions import LOCK_FILE, read_plan_file

    folder = project_root(root)
    path = folder / LOCK_FILE
    chosen, earlier = read_plan_file(plan), plan_lock.read(path) if path.exists() else None
    made = plan_lock.lock(chosen, raw=folder / "data" / "raw", today=date.today(), reason=reason)
    kept = plan_lock.write(made, path)
    if kept == earlier:
        typer.echo(f"Nothing has changed since the lock of {kept.date}; it stays.")
    else:
        typer.echo(f"Locked on {kept.date}: {kept.title}, plan {kept.plan_sha256[:16]}, {len(kept.tables)} tables.")


@plan_app.command("check")
def plan_check_command(plan: PlanFile = None, root: Root = None) -> None:
    """Whether plan and data are as they were locked; every deviation. The exit status is 1 where there are some.

    \b
    Example:
      wwc-research plan check
    """
    from wwc_research.evidence import plan_lock
    from wwc_research.evidence.questions import LOCK_FILE, read_plan_file

    folder = project_root(root)
    chosen, path = read_plan_file(plan), folder / LOCK_FILE
    run = plan_lock.Run(treatment=chosen.treatment, outcomes=tuple(chosen.analyses))
    locked = plan_lock.read(path) if path.exists() else None
    status = plan_lock.check(chosen, lock=locked, raw=folder / "data" / "raw", run=run)
    typer.echo(status.sentence)
    for line in (*status.deviations, *status.notes):
        typer.echo(f"  {line}")
    if status.state != "follows":
        faults = Faults(LOCK_FILE, kind=ReportError)
        faults.add("the run would not follow a locked plan; see above")
        faults.raise_if_any()
