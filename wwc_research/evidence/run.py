"""The evidence pass: every question of a run worked in parts, in processes, resumed where it was stopped.

In: questions, the panel file, the plan. Out: judged `Evidence` for each, failures by question.
Bit-equal for any number of workers: each part has random numbers of its own and one thread.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, BrokenExecutor, Future, wait
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, Final

from wwc_research import catalog
from wwc_research.catalog import Plan
from wwc_research.design.sample import Sample
from wwc_research.errors import DataError, EstimationError, InputError
from wwc_research.evidence import plan_lock
from wwc_research.evidence.assemble import Assembled, Prepared, assemble, planned_design
from wwc_research.evidence.calibration_draws import Chunk, WorkUnit, calibration_units, run_chunk
from wwc_research.evidence.evidence import Evidence
from wwc_research.evidence.judging import judge
from wwc_research.evidence.panels import uncorrected_path
from wwc_research.evidence.parts import Parts, read_part, write_part
from wwc_research.evidence.questions import LOCK_FILE, Question, in_one_line, with_family, workers
from wwc_research.evidence.randomisation import read_draws, write_draws
from wwc_research.evidence.specifications import specification_curve
from wwc_research.panel.panel import Panel

CONCLUSION: Final = "conclusion"
NOT_MADE: Final = "not_made"  # in place of a part: why the data do not allow it


@dataclass(frozen=True, slots=True, kw_only=True)
class Answers:
    """How a pass ended: judged evidence by question, and in one line each why others have none."""

    found: Mapping[Question, Evidence]
    failed: Mapping[Question, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Setting:
    """What every worker needs to know, as plain values that go to another process.

    `uncorrected_path` is the panel as published, `lock_path` the plan's lock; either file may be absent.
    """

    panel_path: Path
    uncorrected_path: Path
    raw: Path
    lock_path: Path
    plan_text: str
    plan_file: str
    parts: Parts

    @property
    def plan(self) -> Plan:
        """The plan of the run."""
        return _plan(self.plan_text, self.plan_file)

    @property
    def panel(self) -> Panel:
        """The panel of the run."""
        return _panel(self.panel_path)


@cache
def _plan(text: str, file: str) -> Plan:
    return catalog.read_plan(text, file=file)


@cache
def _panel(path: Path) -> Panel:
    return Panel.read(path)


def setting_of(root: Path, *, panel_path: Path, plan: Plan, data_hash: str) -> Setting:
    """The setting of a run in the project at `root`, with the parts that its code and figures may use.

    Parameters
    ----------
    data_hash
        Over the compiled tables as they are on disk.
    """
    work = root / "data" / "processed"
    return Setting(
        panel_path=panel_path,
        uncorrected_path=uncorrected_path(root),
        raw=root / "data" / "raw",
        lock_path=root / LOCK_FILE,
        plan_text=plan.text,
        plan_file="the plan",
        parts=Parts.of(work / "parts", data_hash=data_hash),
    )


def steps(questions: Sequence[Question], *, plan: Plan) -> int:
    """How often `answer` ticks."""
    return len(with_family(questions, plan=plan)) * (1 + len(_preparations(plan)))


def answer(
    questions: Sequence[Question],
    *,
    setting: Setting,
    jobs: int,
    root: Path,
    tick: Callable[[str], None] = lambda _: None,
) -> Answers:
    """Evidence for every question and its family, judged together; what was done before is read, not done again.

    Parameters
    ----------
    root
        Left out of what failures say.
    tick
        Called after each finished part with its name; `steps` says how many there are.
    """
    asked = with_family(questions, plan=setting.plan)
    failed = _work(asked, setting=setting, jobs=jobs, root=root, tick=tick)
    kept = [question for question in asked if question not in failed]
    found = [_concluded(question, setting) for question in kept]
    judged = judge([item.evidence for item in found], draws=[item.draws for item in found], plan=setting.plan)
    with_status = [
        dataclasses.replace(evidence, plan_status=_plan_status(question, setting))
        for question, evidence in zip(kept, judged, strict=True)
    ]
    return Answers(found=dict(zip(kept, with_status, strict=True)), failed=failed)


def _work(
    asked: Sequence[Question], *, setting: Setting, jobs: int, root: Path, tick: Callable[[str], None]
) -> dict[Question, str]:
    """Every part of every question; what went wrong with each question that failed."""
    failed: dict[Question, str] = {}
    parts = _preparations(setting.plan)
    left = dict.fromkeys(asked, len(parts))
    with workers(jobs) as pool:
        waiting: dict[Future[None], tuple[Question, str]] = {
            pool.submit(_prepare, question, part, setting): (question, part.name)
            for part in parts
            for question in asked
        }
        while waiting:
            done, _ = wait(waiting, return_when=FIRST_COMPLETED)
            for future in done:
                question, name = waiting.pop(future)
                tick(f"{question.name}: {name}")
                error = future.exception()
                if error is not None:
                    failed.setdefault(question, in_one_line(error, root=root))
                left[question] -= name != CONCLUSION
                if name == CONCLUSION or left[question]:
                    continue
                if question not in failed:
                    try:
                        waiting[pool.submit(_conclude, question, setting)] = (question, CONCLUSION)
                        continue
                    except BrokenExecutor as error:  # a worker was killed, and the others with it
                        failed[question] = in_one_line(error, root=root)
                tick(f"{question.name}: {CONCLUSION}")
    return failed


@dataclass(frozen=True, slots=True, kw_only=True)
class _Preparation:
    """A part that is worked before the conclusion: `draws` of the calibration, or else the specification curve."""

    name: str
    draws: WorkUnit | None = None


def _preparations(plan: Plan) -> list[_Preparation]:
    """Parts of one question, the long ones first, so that no worker is left with one at the end."""
    calibration = [
        _Preparation(name=f"calibration of {unit.estimator}, draw {unit.first + 1}", draws=unit)
        for unit in calibration_units(plan.calibration)
    ]
    return [_Preparation(name="specification curve"), *calibration]


def _path(question: Question, part: _Preparation, setting: Setting) -> Path:
    """Where the part is kept, by all it rests on besides code and data."""
    plan = setting.plan
    shared = {
        "question": question.name,
        "analysis": dataclasses.asdict(plan.analyses[question.outcome]),
        "seed": plan.seed,
    }
    if part.draws is not None:
        return setting.parts.path("calibration", made_from={**shared, "unit": dataclasses.asdict(part.draws)})
    rule = dataclasses.asdict(plan.specifications)
    return setting.parts.path("specifications", made_from={**shared, "rule": rule, "size": plan.verdict.size})


def _conclusion_path(question: Question, setting: Setting) -> Path:
    # the whole plan, since its hash is printed; uncorrected figures follow from the data
    return setting.parts.path(CONCLUSION, made_from={"question": question.name, "plan": setting.plan.sha256})


def _prepare(question: Question, part: _Preparation, setting: Setting) -> None:
    """Work one part (in a worker), unless it is there already; one that the data do not allow is kept as its reason."""
    path = _path(question, part, setting)
    if read_part(path) is not None:
        return
    try:
        values = _worked(question, part, setting)
    except EstimationError as error:
        values = {NOT_MADE: str(error)}
    write_part(path, values)


def _worked(question: Question, part: _Preparation, setting: Setting) -> dict[str, Any]:
    plan = setting.plan
    design = planned_design(outcome=question.outcome, treatment=question.treatment, plan=plan)
    if part.draws is None:
        curve = specification_curve(
            design, setting.panel, rule=plan.specifications, seed=plan.seed, size=plan.verdict.size
        )
        return curve.as_dict()
    chunk = run_chunk(
        _sample(question, setting.plan_text, setting.plan_file, setting.panel_path),
        unit=part.draws,
        seed=plan.seed,
        effect=design.analysis.minimum_effect_of_interest,
        aggregation=design.analysis.aggregation,
    )
    return chunk.as_dict()


@cache
def _sample(question: Question, plan_text: str, plan_file: str, panel_path: Path) -> Sample:
    """The planned sample, made once a worker."""
    plan = _plan(plan_text, plan_file)
    design = planned_design(outcome=question.outcome, treatment=question.treatment, plan=plan)
    return design.sample(_panel(panel_path))


def _conclude(question: Question, setting: Setting) -> None:
    """Assemble the evidence from its parts (in a worker) and keep it with its lots, unless it is there already."""
    path = _conclusion_path(question, setting)
    if _is_concluded(path):
        return
    plan = setting.plan
    parts = [(part, _read(question, part, setting)) for part in _preparations(plan)]
    kept = [(part, values) for part, values in parts if NOT_MADE not in values]
    prepared = Prepared(
        chunks=tuple(Chunk.from_dict(values) for part, values in kept if part.draws is not None),
        curve=next((values for part, values in kept if part.draws is None), None),
        uncorrected=_panel(setting.uncorrected_path) if setting.uncorrected_path.exists() else None,
        failed={
            "specifications" if part.draws is None else "calibration": values[NOT_MADE]
            for part, values in parts
            if NOT_MADE in values
        },
    )
    found = assemble(
        outcome=question.outcome, treatment=question.treatment, panel=setting.panel, plan=plan, prepared=prepared
    )
    write_draws(path.with_suffix(".npy"), found.draws)
    found.evidence.write(path)


def _is_concluded(path: Path) -> bool:
    """Whether evidence and lots are there and whole."""
    try:
        read_draws(path.with_suffix(".npy"))
    except InputError:
        return False
    return read_part(path) is not None


def _read(question: Question, part: _Preparation, setting: Setting) -> dict[str, Any]:
    found = read_part(_path(question, part, setting))
    if found is None:
        raise DataError(f"{question.name}: the part {part.name!r} is gone; run again, and it is made anew")
    return found


def _concluded(question: Question, setting: Setting) -> Assembled:
    path = _conclusion_path(question, setting)
    return Assembled(evidence=Evidence.read(path), draws=read_draws(path.with_suffix(".npy")))


def _plan_status(question: Question, setting: Setting) -> dict[str, Any]:
    """How the run stands to the locked plan."""
    locked = plan_lock.read(setting.lock_path) if setting.lock_path.exists() else None
    run = plan_lock.Run(treatment=question.treatment, outcomes=(question.outcome,))
    return plan_lock.check(setting.plan, lock=locked, raw=setting.raw, run=run).as_dict()
