"""The headline again with one choice of the design made otherwise, and whether it stays where it was.

In: a design, its panel and sample, the headline and its estimator. Out: `Variations`, estimates beside their checks.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, replace
from functools import partial
from typing import Any, Final

import pandas as pd

from wwc_research.catalog import VerdictRule
from wwc_research.design import variants
from wwc_research.design.design import Design
from wwc_research.design.rings import ring
from wwc_research.design.sample import Sample
from wwc_research.errors import EstimationError
from wwc_research.estimators.estimate import Estimate
from wwc_research.evidence import checks, trust
from wwc_research.evidence.checks import Answer
from wwc_research.evidence.evidence import Check
from wwc_research.messages import message, said
from wwc_research.panel.panel import Panel
from wwc_research.sources.corrections import load_corrections

RINGS_KM: Final = ((0.0, 25.0), (25.0, 50.0), (50.0, 100.0))
SAME_YEAR: Final = 13
NEXT_YEAR: Final = 1
MECHANICAL: Final = message(
    "Since V3 a good figure of this kind is a condition of the award, so a difference under V3 is partly mechanical."
)
Estimator = Callable[[Sample], Estimate]


@dataclass(frozen=True, slots=True, kw_only=True)
class Variation:
    """One estimate made otherwise and what it is asked for.

    `estimate` holds `as_dict()` values in the unit of the outcome, or None with the reason in `failed`. `agrees` says
    whether it lies where it should: beside the headline, or at nil for placebos and rings; None where that cannot be
    told. Variations that answer one question together share their `check`.
    """

    name: str
    title: str
    estimate: Mapping[str, Any] | None
    failed: str
    agrees: bool | None
    check: Check

    def as_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return asdict(self)


@dataclass(frozen=True, slots=True, kw_only=True)
class NotApplicable:
    """A question that cannot be put to this design, and why."""

    name: str
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Variations:
    """All variations of one family in the order of the page, and the questions that do not apply."""

    found: tuple[Variation, ...]
    not_applicable: tuple[NotApplicable, ...]

    @property
    def checks(self) -> tuple[Check, ...]:
        """Each question once, in order."""
        return tuple({item.check.name: item.check for item in self.found}.values())

    def as_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return {
            "found": [item.as_dict() for item in self.found],
            "not_applicable": [asdict(item) for item in self.not_applicable],
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class _Way:
    """One way to make the sample otherwise; `new_units` where it has other exposed units than the headline."""

    name: str
    title: str
    sample: Callable[[], Sample]
    new_units: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class _Question:
    """What is asked by one or several ways together."""

    name: str
    asks: str
    ways: tuple[_Way, ...]
    caveat: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Setting:
    """What every variation starts from; `units` has one row a unit of the design, in the sample or not."""

    design: Design
    panel: Panel
    sample: Sample
    units: pd.DataFrame
    uncorrected: Panel | None

    def changed(self, **options: Any) -> Callable[[], Sample]:
        """The sample of the same design with other options."""
        return lambda: replace(self.design, **options).sample(self.panel)

    def planned(self, **fields: object) -> Callable[[], Sample]:
        """The sample of the same design with other fields of the analysis."""
        return lambda: self.design.with_analysis(**fields).sample(self.panel)


def variations(
    design: Design,
    panel: Panel,
    *,
    sample: Sample,
    headline: Estimate,
    estimate: Estimator,
    judged_std_error: float,
    rule: VerdictRule,
    uncorrected: Panel | None = None,
) -> Variations:
    """Every variation of the design that applies, estimated as the headline and compared with it.

    A variation agrees if it differs from the headline by no more than the judged standard error of the headline.
    Where it rests on other exposed units than the headline, its own sampling error counts too: by no more than
    the root of the sum of both variances; with fewer exposed units than the plan's minimum of clusters nothing is told.

    Parameters
    ----------
    sample, headline
        Of the design itself.
    estimate
        The headline's estimator.
    judged_std_error
        The more cautious of the headline's standard errors, in the unit of the outcome.
    rule
        The plan's; its size and its minimum of treated clusters judge the rings.
    uncorrected
        The panel as published (`build_panel(corrected=False)`); needed only where a correction touches the outcome.
    """
    rows = design.unit_years(panel)
    setting = _Setting(
        design=design,
        panel=panel,
        sample=sample,
        units=rows.drop_duplicates("unit"),
        uncorrected=uncorrected,
    )
    found: list[Variation] = []
    absent: list[NotApplicable] = []
    for name, ask in _QUESTIONS.items():
        asked = ask(setting)
        if isinstance(asked, str):
            absent.append(NotApplicable(name=name, reason=asked))
            continue
        made = _made(asked, setting, estimate=estimate)
        if made is None:
            absent.append(NotApplicable(name=name, reason=message("it changes no row of this sample")))
            continue
        found += _compared(asked, made, setting, headline=headline, judged_std_error=judged_std_error, rule=rule)
    around = _rings(setting, estimate=estimate, rule=rule)
    if isinstance(around, str):
        absent.append(NotApplicable(name="rings", reason=around))
    else:
        found += around
    return Variations(found=tuple(found), not_applicable=tuple(absent))


def _made(question: _Question, setting: _Setting, *, estimate: Estimator) -> list[Estimate | str] | None:
    """The estimate of each way, or why there is none; None where every way gives the sample of the headline."""
    made: list[Estimate | str] = []
    changed: list[bool] = []
    same = setting.sample.frame.reset_index(drop=True)
    for way in question.ways:
        try:
            varied = way.sample()
            made.append(estimate(varied))
        except EstimationError as error:
            made.append(said(error))
        else:
            changed.append(not varied.frame.reset_index(drop=True).equals(same))
    return made if any(changed) or not changed else None


def _compared(
    question: _Question,
    made: list[Estimate | str],
    setting: _Setting,
    *,
    headline: Estimate,
    judged_std_error: float,
    rule: VerdictRule,
) -> list[Variation]:
    """Rows of one question, all with its check."""
    answers = []
    for way, result in zip(question.ways, made, strict=True):
        if isinstance(result, str):
            answers.append(Answer(title=way.title))
            continue
        yardstick = judged_std_error
        if way.new_units:
            # the clustered error of a handful of units is far too small to be a yardstick
            enough = result.n_treated >= rule.minimum_treated_clusters
            yardstick = math.hypot(judged_std_error, result.std_error) if enough else math.nan
        exposed = result.n_treated if result.n_treated != headline.n_treated else None
        answers.append(Answer(title=way.title, estimate=result.estimate, yardstick=yardstick, n_treated=exposed))
    outcome = setting.design.outcome
    if question.name == "one_cohort":
        check = checks.one_cohort(answers, headline=headline.estimate)
    else:
        check = checks.agreement(
            answers,
            name=question.name,
            asks=question.asks,
            headline=headline.estimate,
            scale=outcome.scale,
            unit=outcome.unit,
            caveat=question.caveat,
        )
    return [
        Variation(
            name=way.name,
            title=way.title,
            estimate=None if isinstance(result, str) else result.as_dict(),
            failed=result if isinstance(result, str) else "",
            agrees=_agrees(checks.distance(answer, headline.estimate)),
            check=check,
        )
        for way, result, answer in zip(question.ways, made, answers, strict=True)
    ]


def _agrees(distance: float) -> bool | None:
    return abs(distance) <= 1 if math.isfinite(distance) else None


def _one_cohort(setting: _Setting) -> _Question | str:
    cohorts = sorted(setting.sample.frame["cohort"].dropna().unique())
    ways = tuple(
        _Way(
            name=f"without_{cohort:.0f}",
            title=message("Without the units first exposed in {cohort:.0f}", cohort=cohort),
            sample=partial(variants.without_cohort, setting.sample, cohort),
        )
        for cohort in cohorts
    )
    return _Question(name="one_cohort", asks="", ways=ways)


def _donut(setting: _Setting) -> _Question | str:
    way = _Way(
        name="donut",
        title=message("Without the year of exposure and the year before"),
        sample=lambda: variants.donut(setting.sample),
    )
    return _Question(name="donut", asks=message("Does the estimate hang on the years next to exposure?"), ways=(way,))


def _exposure_rule(setting: _Setting) -> _Question | str:
    ways = (
        _Way(
            name="same_year",
            title=message("Exposed from the calendar year of the date, whatever the month"),
            sample=setting.changed(exposure_month=SAME_YEAR),
        ),
        _Way(
            name="next_year",
            title=message("Exposed always from the year after the date"),
            sample=setting.changed(exposure_month=NEXT_YEAR),
        ),
    )
    return _Question(
        name="exposure_rule", asks=message("Does it matter from which year exposure is counted?"), ways=ways
    )


def _sure_rows(setting: _Setting) -> _Question | str:
    if not setting.design.treatment.is_award:
        return message(
            "{treatment}: dates do not come from a roster of awards", treatment=setting.design.treatment.title
        )
    way = _Way(
        name="source_only",
        title=message("Only awards documented by a source of their own"),
        sample=setting.changed(roster="source_only"),
    )
    return _Question(name="sure_rows", asks=message("Does the estimate hang on awards that are not sure?"), ways=(way,))


def _undated(setting: _Setting) -> _Question | str:
    way = _Way(
        name="with_undated",
        title=message("Exposed places without a date as comparison"),
        sample=setting.changed(undated="comparison"),
    )
    return _Question(
        name="undated",
        asks=message("Does it matter that exposed places without a date are left out?"),
        ways=(way,),
        caveat=message("Those places are exposed in truth, so this estimate is wrong on purpose."),
    )


def _later_editions(setting: _Setting) -> _Question | str:
    design = setting.design
    if not design.treatment.is_award:
        return message("{treatment} is not awarded under editions of the Standard", treatment=design.treatment.title)
    planned = design.analysis.editions
    if "v3" in planned:
        return message("first awards under V3 count in the headline already")
    every = (*planned, "v3")
    names = [edition.upper() for edition in every]
    ways = (
        _Way(
            name="v3_only",
            title=message("First awards under V3 alone"),
            sample=setting.planned(editions=("v3",)),
            new_units=True,
        ),
        _Way(
            name="with_v3",
            title=message("First awards under {editions:list}", editions=names),
            sample=setting.planned(editions=every),
        ),
    )
    return _Question(
        name="later_editions",
        asks=message("Do cities first certified under V3 give the same answer?"),
        ways=ways,
        caveat=MECHANICAL if design.outcome.is_award_condition else "",
    )


def _corrections(setting: _Setting) -> _Question | str:
    design = setting.design
    touched = {variable for entry in load_corrections().values() for variable in entry["variables"]}
    if design.outcome.variable not in touched:
        return message("no declared correction touches {title}", title=design.outcome.title)
    if setting.uncorrected is None:
        return message("the panel without corrections was not given")
    published = setting.uncorrected
    way = _Way(
        name="as_published",
        title=message("Figures as published, without the declared corrections"),
        sample=lambda: design.sample(published),
    )
    return _Question(
        name="corrections", asks=message("Does the estimate hang on the declared corrections?"), ways=(way,)
    )


def _counties(setting: _Setting) -> _Question | str:
    if setting.design.analysis.unit == "county":
        return message("counties are the units already")
    way = _Way(
        name="by_county",
        title=message("Places collapsed to their counties"),
        sample=lambda: variants.by_county(setting.sample),
    )
    return _Question(
        name="by_county",
        asks=message("Does the answer hold for counties instead of places?"),
        ways=(way,),
        caveat=message("Unexposed places of the same county dilute it."),
    )


def _people(setting: _Setting) -> _Question | str:
    way = _Way(
        name="population",
        title=message("Units weighted by their population"),
        sample=lambda: variants.weighted_by_people(setting.sample),
    )
    return _Question(name="population", asks=message("Does it matter whether large units count more?"), ways=(way,))


def _neighbours(setting: _Setting) -> _Question | str:
    if setting.design.analysis.unit == "county":
        return message("counties are compared, and every place of one is in it")
    units = setting.units
    exposed = units["cohort"].notna() | units["is_undated"].astype(bool)
    counties = set(units.loc[exposed, "cluster"])
    way = _Way(
        name="without_neighbours",
        title=message("Without comparison places that have an exposed place in their county"),
        sample=lambda: variants.without_neighbours(setting.sample, counties),
    )
    return _Question(
        name="neighbours_out", asks=message("Does the comparison hang on neighbours of exposed places?"), ways=(way,)
    )


_QUESTIONS: Final[dict[str, Callable[[_Setting], _Question | str]]] = {
    "one_cohort": _one_cohort,
    "donut": _donut,
    "exposure_rule": _exposure_rule,
    "sure_rows": _sure_rows,
    "undated": _undated,
    "later_editions": _later_editions,
    "corrections": _corrections,
    "by_county": _counties,
    "population": _people,
    "neighbours_out": _neighbours,
}


def _rings(setting: _Setting, *, estimate: Estimator, rule: VerdictRule) -> list[Variation] | str:
    """Effect of an exposed place nearby on units never exposed, ring by ring, against units far from all."""
    if "latitude" not in setting.sample.frame:
        return message("the units have no coordinates")
    made: list[tuple[str, str, Estimate | str, Answer]] = []
    for inner, outer in RINGS_KM:
        title = message("{inner:g} to {outer:g} km", inner=inner, outer=outer)
        result, p_value = _around(setting, inner, outer, estimate=estimate, rule=rule)
        answer = Answer(title=title)
        if not isinstance(result, str):
            answer = replace(answer, estimate=result.estimate, yardstick=result.std_error, p_value=p_value)
        made.append((f"ring_{inner:g}_{outer:g}", title, result, answer))
    outcome = setting.design.outcome
    check = checks.rings([answer for *_, answer in made], rule=rule, scale=outcome.scale, unit=outcome.unit)
    return [
        Variation(
            name=name,
            title=message("Units never exposed, nearest exposed place {distance} away", distance=title),
            estimate=None if isinstance(result, str) else result.as_dict(),
            failed=result if isinstance(result, str) else "",
            agrees=answer.p_value >= rule.size if math.isfinite(answer.p_value) else None,
            check=check,
        )
        for name, title, result, answer in made
    ]


def _around(
    setting: _Setting, inner: float, outer: float, *, estimate: Estimator, rule: VerdictRule
) -> tuple[Estimate | str, float]:
    """The estimate of one ring and its p-value; NaN where too few exposed places stand behind it."""
    far = RINGS_KM[-1][1]
    try:
        sample = ring(setting.sample, setting.units, inner_km=inner, outer_km=outer, far_km=far)
        found = estimate(sample)
    except EstimationError as error:
        return said(error), math.nan
    allowed = trust.inference_allowed(sample)
    few = min(allowed.n_treated, allowed.effective) < rule.minimum_treated_clusters
    return found, math.nan if few else found.p_value


__all__ = ["NotApplicable", "Variation", "Variations", "variations"]
