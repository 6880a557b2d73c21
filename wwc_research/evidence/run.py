"""The evidence pass: every question of a run worked in parts, in processes, resumed where it was stopped.

In: questions, the panel file, the plan. Out: judged `Evidence` for each, failures by question.
Bit-equal for any number of workers: each part has random numbers of its own and one thread.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, BrokenExecutor, CancelledError, Future, wait
from contextlib import nullcontext
from dataclasses import dataclass
from functools import cache, lru_cache
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
from wwc_research.evidence.questions import LOCK_FILE, Pool, Question, in_one_line, with_family, workers
from wwc_research.evidence.randomisation import read_draws, write_draws
from wwc_research.evidence.specifications import specification_curve
from wwc_research.messages import decoded, encoded, said
from wwc_research.panel.panel import Panel
from wwc_research.sources import raw

CONCLUSION: Final = "conclusion"
NOT_MADE: Final = "not_made"  # in place of a part: why the data do not allow it
# Seconds of one core that a part of the shipped plan took for broadband when it was measured in November 2026, for the
# time left that a run announces: only their ratios matter
CURVE_SECONDS: Final = 9.0
CONCLUSION_SECONDS: Final = 13.0
DRAW_SECONDS: Final[Mapping[str, float]] = {
    "imputation": 0.031,
    "callaway_santanna": 0.033,
    "two_way_fe": 0.017,
    "event_study": 0.040,
    "random_trends": 0.019,
    "panel_matching": 0.061,
    "synthetic_did": 0.544,
}


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
        return _panel(self.panel_path, self.parts.state)

    @property
    def uncorrected(self) -> Panel | None:
        """The panel with the figures as published, where there is one."""
        return _panel(self.uncorrected_path, self.parts.state) if self.uncorrected_path.exists() else None


@cache
def _plan(text: str, file: str) -> Plan:
    return catalog.read_plan(text, file=file)


@lru_cache(maxsize=4)
def _panel(path: Path, state: str) -> Panel:
    """The panel at `path`; `state` tells panels apart that a worker of a cluster reads there one after another."""
    return Panel.read(path)


def setting_of(root: Path, *, panel_path: Path, plan: Plan, data_hash: str) -> Setting:
    """The setting of a run in the project at `root`, with the parts that its code and figures may use.

    Parameters
    ----------
    data_hash
        Over the compiled tables, and the fetched ones that the plan names, as they are on disk.
    """
    work = root / "data" / "processed"
    return Setting(
        panel_path=panel_path,
        uncorrected_path=uncorrected_path(root, figures=plan.figures),
        raw=root / "data" / "raw",
        lock_path=root / LOCK_FILE,
        plan_text=plan.text,
        plan_file="the plan",
        parts=Parts.of(work / "parts", data_hash=data_hash),
    )


def steps(questions: Sequence[Question], *, setting: Setting) -> dict[str, float]:
    """The parts that `answer` has still to work, by the name it ticks them with: seconds of one core, roughly."""
    left: dict[str, float] = {}
    for question in with_family(questions, plan=setting.plan):
        if _is_concluded(_conclusion_path(question, setting)):
            continue
        left |= {_step(question, part.name): part.seconds for part in _missing(question, setting)}
        left[_step(question, CONCLUSION)] = CONCLUSION_SECONDS
    return left


def _step(question: Question, part: str) -> str:
    return f"{question.name}: {part}"


def answer(
    questions: Sequence[Question],
    *,
    setting: Setting,
    jobs: int,
    root: Path,
    tick: Callable[[str], None] = lambda _: None,
    pool: Pool | None = None,
) -> Answers:
    """Evidence for every question and its family, judged together; what was done before is read, not done again.

    Parameters
    ----------
    root
        Left out of what failures say.
    tick
        Called with the name of each of `steps` when it is finished, or cannot be done any more.
    pool
        Where the parts are worked; without one, `jobs` processes of this machine.
    """
    asked = with_family(questions, plan=setting.plan)
    failed = _work(asked, setting=setting, jobs=jobs, root=root, tick=tick, pool=pool)
    kept = [question for question in asked if question not in failed]
    found = [_concluded(question, setting) for question in kept]
    judged = judge([item.evidence for item in found], draws=[item.draws for item in found], plan=setting.plan)
    with_status = [
        dataclasses.replace(evidence, plan_status=_plan_status(question, setting))
        for question, evidence in zip(kept, judged, strict=True)
    ]
    return Answers(found=dict(zip(kept, with_status, strict=True)), failed=failed)


def _work(
    asked: Sequence[Question],
    *,
    setting: Setting,
    jobs: int,
    root: Path,
    tick: Callable[[str], None],
    pool: Pool | None,
) -> dict[Question, str]:
    """Every missing part of every question; what went wrong with each question that failed."""
    failed: dict[Question, str] = {}
    todo = {
        question: _missing(question, setting)
        for question in asked
        if not _is_concluded(_conclusion_path(question, setting))
    }
    if not todo:
        return failed
    left = {question: len(parts) for question, parts in todo.items()}
    with workers(jobs) if pool is None else nullcontext(pool) as chosen:
        waiting: dict[Future[None], tuple[Question, str]] = {
            chosen.submit(_prepare, question, part, setting): (question, part.name)
            for part in _preparations(setting.plan)  # of all questions, the long ones first
            for question, parts in todo.items()
            if part in parts
        }
        ready = [question for question, count in left.items() if not count]
        while waiting or ready:
            for question in ready:
                if question not in failed:
                    try:
                        waiting[chosen.submit(_conclude, question, setting)] = (question, CONCLUSION)
                        continue
                    except BrokenExecutor as error:  # a worker was killed, and the others with it
                        failed[question] = in_one_line(error, root=root)
                tick(_step(question, CONCLUSION))
            ready = []
            done, _ = wait(waiting, return_when=FIRST_COMPLETED)
            for future in done:
                question, name = waiting.pop(future)
                tick(_step(question, name))
                ended_by = _error_of(future)
                if ended_by is not None:
                    failed.setdefault(question, in_one_line(ended_by, root=root))
                if name != CONCLUSION:
                    left[question] -= 1
                    if not left[question]:
                        ready.append(question)
    return failed


def _error_of(future: Future[None]) -> BaseException | None:
    """What ended the work; a cluster that goes away cancels what it was given."""
    try:
        return future.exception()
    except CancelledError as error:
        return error


@dataclass(frozen=True, slots=True, kw_only=True)
class _Preparation:
    """A part that is worked before the conclusion: `draws` of the calibration, or else the specification curve."""

    name: str
    draws: WorkUnit | None = None

    @property
    def seconds(self) -> float:
        """Of one core, roughly."""
        if self.draws is None:
            return CURVE_SECONDS
        return self.draws.draws * DRAW_SECONDS.get(self.draws.estimator, max(DRAW_SECONDS.values()))


def _preparations(plan: Plan) -> list[_Preparation]:
    """Parts of one question, the long ones first, so that no worker is left with one at the end."""
    calibration = [
        _Preparation(name=f"calibration of {unit.estimator}, draw {unit.first + 1}", draws=unit)
        for unit in calibration_units(plan.calibration)
    ]
    return [_Preparation(name="specification curve"), *calibration]


def _missing(question: Question, setting: Setting) -> list[_Preparation]:
    """The parts that are not there, or not whole."""
    return [part for part in _preparations(setting.plan) if read_part(_path(question, part, setting)) is None]


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
    """Work one part (in a worker) and keep it; one that the data do not allow is kept as its reason."""
    try:
        values = _worked(question, part, setting)
    except EstimationError as error:
        values = {NOT_MADE: said(error)}
    write_part(_path(question, part, setting), encoded(values))


def _worked(question: Question, part: _Preparation, setting: Setting) -> dict[str, Any]:
    plan = setting.plan
    design = planned_design(outcome=question.outcome, treatment=question.treatment, plan=plan)
    if part.draws is None:
        curve = specification_curve(
            design, setting.panel, rule=plan.specifications, seed=plan.seed, size=plan.verdict.size
        )
        return curve.as_dict()
    chunk = run_chunk(
        _sample(question, setting),
        unit=part.draws,
        seed=plan.seed,
        effect=design.analysis.minimum_effect_of_interest,
        aggregation=design.analysis.aggregation,
    )
    return chunk.as_dict()


@lru_cache(maxsize=64)
def _sample(question: Question, setting: Setting) -> Sample:
    """The planned sample, made once a worker."""
    design = planned_design(outcome=question.outcome, treatment=question.treatment, plan=setting.plan)
    return design.sample(setting.panel)


def _conclude(question: Question, setting: Setting) -> None:
    """Assemble the evidence from its parts (in a worker) and keep it with its lots."""
    path, plan = _conclusion_path(question, setting), setting.plan
    parts = [(part, _read(question, part, setting)) for part in _preparations(plan)]
    kept = [(part, values) for part, values in parts if NOT_MADE not in values]
    prepared = Prepared(
        chunks=tuple(Chunk.from_dict(values) for part, values in kept if part.draws is not None),
        curve=next((values for part, values in kept if part.draws is None), None),
        uncorrected=setting.uncorrected,
        events=raw.read_table(setting.raw, "certification/events"),
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
    values: dict[str, Any] = decoded(found)
    return values


def _concluded(question: Question, setting: Setting) -> Assembled:
    path = _conclusion_path(question, setting)
    return Assembled(evidence=Evidence.read(path), draws=read_draws(path.with_suffix(".npy")))


def _plan_status(question: Question, setting: Setting) -> dict[str, Any]:
    """How the run stands to the locked plan."""
    locked = plan_lock.read(setting.lock_path) if setting.lock_path.exists() else None
    run = plan_lock.Run(treatment=question.treatment, outcomes=(question.outcome,))
    return plan_lock.check(setting.plan, lock=locked, raw=setting.raw, run=run).as_dict()
