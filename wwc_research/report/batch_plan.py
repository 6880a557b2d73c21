"""What a batch is asked for: every option checked at the door, before anything heavy is imported.

In: the options of `wwc-research report`. Out: a `Batch`, or one error with all that is wrong.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Final, TypeVar, get_args

from wwc_research import catalog
from wwc_research.catalog import Plan
from wwc_research.errors import DataError, Faults, InputError, listed
from wwc_research.evidence.questions import Question, read_plan_file, with_family
from wwc_research.report.language import LANGUAGES
from wwc_research.report.page_work import Audience, EngineKind

OUTCOME_NOTEBOOK: Final = "outcome_report.ipynb"
CITY_NOTEBOOK: Final = "city_report.ipynb"
WHOLE_RUN: Final = "findings"
AUDIENCES: Final[tuple[Audience, ...]] = get_args(Audience)
T = TypeVar("T")


@dataclass(frozen=True, slots=True, kw_only=True)
class Batch:
    """What to make, and where.

    Attributes
    ----------
    root
        Holds data/, notebooks/ and reports/.
    questions
        That have pages.
    cities
        `place_id`s that have a page.
    out
        Where the pages go; reports/<run> where None.
    scheduler
        Address of a cluster that does the work; empty for processes of this machine.
    """

    root: Path
    questions: tuple[Question, ...]
    run: str
    plan: Plan
    jobs: int = 2
    audiences: tuple[Audience, ...] = AUDIENCES
    languages: tuple[str, ...] = ("en",)
    cities: tuple[str, ...] = ()
    out: Path | None = None
    engine: EngineKind = "auto"
    scheduler: str = ""
    pdf: bool = False

    @property
    def treatments(self) -> tuple[str, ...]:
        """The treatments asked about, in order."""
        return tuple(dict.fromkeys(question.treatment for question in self.questions))

    @property
    def outcomes(self) -> tuple[str, ...]:
        """The outcomes asked about, in order."""
        return tuple(dict.fromkeys(question.outcome for question in self.questions))

    @property
    def assembled(self) -> tuple[Question, ...]:
        """Questions to answer: those with a page, and the others of their families, which the correction needs."""
        return with_family(self.questions, plan=self.plan)

    @property
    def folder(self) -> Path:
        """Where the pages go."""
        return self.out or self.root / "reports" / self.run

    @property
    def work(self) -> Path:
        """Where evidence and executed notebooks go."""
        return self.root / "data" / "processed"

    @property
    def executed(self) -> Path:
        """Where executed notebooks go."""
        return self.work / "notebooks" / self.run

    def evidence_path(self, question: Question) -> Path:
        """The evidence file of one question."""
        return self.work / "evidence" / self.run / f"{question.name}.json"


def plan_batch(
    *,
    root: Path,
    treatments: Sequence[str] = (),
    outcomes: Sequence[str] = (),
    run: str | None = None,
    jobs: int = 2,
    plan_path: Path | None = None,
    audiences: Sequence[str] = AUDIENCES,
    languages: Sequence[str] = ("en",),
    cities: Sequence[str] = (),
    out: Path | None = None,
    engine: str = "auto",
    scheduler: str = "",
    pdf: bool = False,
    where: str = "report",
) -> Batch:
    """A batch whose names are all known and usable; without names, everything the plan asks.

    Parameters
    ----------
    cities
        Labels ("Detroit, MI"), `place_id`s, `certified` or `all`.
    where
        What the user called, for the head of the error.

    Raises
    ------
    InputError
        For whatever cannot be used: all faults of all options at once, before any work starts.
    DataError
        For a plan with faults, where nothing else is wrong.
    """
    faults = Faults(where)
    plan, refused = _plan(plan_path)
    _check_outcomes(outcomes, plan, faults)
    _check_treatments(treatments, faults)
    _check_choices(audiences, AUDIENCES, "--audience", faults, also=("both",))
    _check_choices(languages, tuple(LANGUAGES), "--lang", faults)
    _check_choices((engine,), get_args(EngineKind), "--engine", faults)
    if jobs < 1:
        faults.add(f"--jobs {jobs}: at least one part has to be worked at a time; give 1 or more")
    chosen = tuple(name for name in plan.analyses if name in outcomes) or tuple(plan.analyses)
    asked = tuple(dict.fromkeys(treatments)) or plan.treatments
    some = [*(treatments and asked), *(chosen if len(chosen) < len(plan.analyses) else ())]
    folder = run if run is not None else "-".join(some) or WHOLE_RUN
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9_-]*", folder):
        faults.add(
            f"--run {folder!r} should be a plain name of letters, digits, - and _; it becomes a folder of reports/"
        )
    if out is not None and (out.exists() and not out.is_dir()):
        faults.add(f"--out {out}: is a file; give a folder")
    for notebook in (OUTCOME_NOTEBOOK, *((CITY_NOTEBOOK,) if cities else ())):
        if not (root / "notebooks" / notebook).is_file():
            faults.add(f"notebooks/{notebook} is missing from {root}; restore it from the repository")
    places = _optional(cities, root=root, scheduler=scheduler, pdf=pdf, faults=faults)
    if plan.figures:
        from wwc_research.panel.figures import refuse_absent

        _noted(lambda: refuse_absent(plan.figures, raw_dir=root / "data" / "raw"), faults)
    if refused is not None:
        if not faults:
            raise refused
        faults.add(str(refused))
    faults.raise_if_any()
    return Batch(
        root=root,
        questions=tuple(Question(treatment=treatment, outcome=name) for treatment in asked for name in chosen),
        run=folder,
        plan=plan,
        jobs=jobs,
        audiences=tuple(name for name in AUDIENCES if name in audiences or "both" in audiences),
        languages=tuple(dict.fromkeys(languages)),
        cities=places,
        out=out.resolve() if out is not None else None,
        engine=next(kind for kind in get_args(EngineKind) if kind == engine),
        scheduler=scheduler,
        pdf=pdf,
    )


def _plan(path: Path | None) -> tuple[Plan, InputError | DataError | None]:
    """The plan, or the shipped one and why the plan asked for cannot be used."""
    try:
        return read_plan_file(path), None
    except (InputError, DataError) as error:
        return catalog.plan(), error


def _check_outcomes(outcomes: Sequence[str], plan: Plan, faults: Faults) -> None:
    for name in outcomes:
        if name not in plan.analyses:
            near = difflib.get_close_matches(name, plan.analyses, n=1)
            meant = catalog.way_to_analysis(name) or (f" Did you mean {near[0]}?" if near else "")
            faults.add(f"there is no outcome {name!r} in the plan; it has {listed(plan.analyses, limit=40)}.{meant}")


def _check_treatments(treatments: Sequence[str], faults: Faults) -> None:
    dated = [name for name, entry in catalog.treatments().items() if entry.kind == "dated"]
    for treatment in treatments:
        if treatment not in dated:
            known = treatment in catalog.treatments()
            what = f"treatment {treatment!r} has no dates" if known else f"there is no treatment {treatment!r}"
            faults.add(f"{what}; use {' or '.join(dated)}")


def _check_choices(
    given: Sequence[str], known: Sequence[str], option: str, faults: Faults, *, also: Sequence[str] = ()
) -> None:
    """Note what is none of the known choices, and that nothing was chosen."""
    choices = listed([*known, *also], limit=20)
    if not given:
        faults.add(f"{option}: names nothing; use {choices}")
    for name in given:
        if name not in (*known, *also):
            faults.add(f"{option} {name!r}: there is no such choice; use {choices}")


def _optional(cities: Sequence[str], *, root: Path, scheduler: str, pdf: bool, faults: Faults) -> tuple[str, ...]:
    """The cities asked for, with the faults of options that need something more than the package noted."""
    places: tuple[str, ...] = ()
    if scheduler:
        if not re.fullmatch(r"(tcp|tls)://([^\s/:]+|\[[0-9a-fA-F:]+\]):\d{1,5}", scheduler):
            faults.add(f"--scheduler {scheduler!r} is no address; give it as tcp://host:port")
        if find_spec("distributed") is None:
            faults.add("--scheduler needs the package distributed: pip install 'wwc-research[cluster]'")
    if pdf:
        from wwc_research.report.pdf import browser

        _noted(browser, faults)
    if cities:
        from wwc_research.report.city_page import plan_cities

        places = _noted(lambda: plan_cities(cities, root=root), faults) or ()
    return places


def _noted(check: Callable[[], T], faults: Faults) -> T | None:
    """What the check gives; None where it refuses, with its reason noted."""
    try:
        return check()
    except InputError as error:
        faults.add(str(error))
        return None


__all__ = ["CITY_NOTEBOOK", "OUTCOME_NOTEBOOK", "Batch", "plan_batch"]
