"""Placebos: the headline's estimator where nothing can be found, and what it finds there.

In: a design, its panel and sample, its estimator, a seed. Out: `Variations`, each to be nil.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Final

import numpy as np

from wwc_research import catalog
from wwc_research.catalog import Headline, Outcome, VerdictRule
from wwc_research.design import variants
from wwc_research.design.design import MAIN_COUNTY, Design
from wwc_research.design.sample import Exclusion, Sample
from wwc_research.errors import EstimationError, InputError, listed
from wwc_research.estimators.estimate import Estimate
from wwc_research.evidence import checks
from wwc_research.evidence.checks import Answer
from wwc_research.evidence.evidence import Check
from wwc_research.evidence.randomisation import Lottery, draw_lots
from wwc_research.evidence.variations import Estimator, NotApplicable, Variation, Variations
from wwc_research.messages import counted, message, said
from wwc_research.panel.panel import Panel, PanelColumn

YEARS_EARLY: Final = (2, 3)
NEAREST_LEADS: Final = 2
DEALS: Final = 5  # odd, so that one is the median
IN_LOGS: Final = ("_count", "_usd")


@dataclass(frozen=True, slots=True, kw_only=True)
class _Placebo:
    """One placebo with its estimate, standard error and p-value as judged; `failed` where there is none.

    `of` is the outcome it is about.
    """

    name: str
    title: str
    of: Outcome
    estimate: Estimate | None = None
    std_error: float = math.nan
    p_value: float = math.nan
    failed: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Judge:
    """How a placebo sample is estimated and judged."""

    estimate: Estimator
    headline: Headline
    seed: int
    draws: int
    rule: VerdictRule

    def lots(self, sample: Sample, *, stream: str, leads: int) -> Lottery:
        return draw_lots(
            sample,
            seed=self.seed,
            stream=stream,
            draws=self.draws,
            n_leads=leads,
            estimator=self.headline,
            leave_one_out=False,
        )

    def judged(self, sample: Sample, *, stream: str) -> tuple[Estimate, float, float]:
        """The estimate, and the larger standard error and p-value of clustered inference and of lots."""
        found = self.estimate(sample)
        lottery = self.lots(sample, stream=stream, leads=1)
        return (
            found,
            _larger(lottery.std_error, found.std_error),
            _larger(lottery.p_value, found.p_value),
        )


def _larger(one: float, other: float) -> float:
    """The larger of two numbers, or the one that is known."""
    return max((value for value in (one, other) if not math.isnan(value)), default=math.nan)


def placebos(
    design: Design,
    panel: Panel,
    *,
    sample: Sample,
    headline: Estimate,
    estimate: Estimator,
    rule: VerdictRule,
    seed: int,
    draws: int = 499,
) -> Variations:
    """Every placebo that applies: dates, outcomes, cohorts and the leads just before exposure.

    Each is judged by the more cautious of clustered errors and lots, as the headline is, and a question of several
    placebos by its smallest p-value times their number, at the plan's level for tests of a design
    (`pre_trend_size`).

    Parameters
    ----------
    sample, headline
        Of the design itself; the headline's leads are shown.
    estimate
        The headline's estimator.
    seed
        The only source of randomness; every placebo has a stream of its own.
    draws
        Assignments by lot of each placebo.

    Raises
    ------
    InputError
        Where a placebo outcome of the plan is no column of the panel.
    """
    judge = _Judge(estimate=estimate, headline=design.analysis.headline, seed=seed, draws=draws, rule=rule)
    families = {
        "placebo_dates": _dates(design, sample, judge=judge),
        "placebo_outcomes": _outcomes(design, panel, judge=judge),
        "placebo_cohorts": _cohorts(design, panel, sample=sample, judge=judge),
        "anticipation": _leads(design, sample, headline=headline, judge=judge),
    }
    found: list[Variation] = []
    absent: list[NotApplicable] = []
    for name, family in families.items():
        if isinstance(family, str):
            absent.append(NotApplicable(name=name, reason=family))
        else:
            found += family
    return Variations(found=tuple(found), not_applicable=tuple(absent))


def earlier(sample: Sample, *, years: int) -> Sample:
    """The sample as if every exposed unit had been exposed `years` earlier, without any row of its real exposure.

    Rows within the anticipation window go too. Units without a year before the pretended date, or without a year from
    it on, leave.

    Raises
    ------
    EstimationError
        Where no exposed unit is left.
    """
    time, cohort = sample.frame["time"], sample.frame["cohort"]
    before = variants.without(
        sample, time >= cohort - sample.anticipation, reason=message("real exposure, or the anticipation of it")
    )
    return _with_past(replace(before, frame=before.frame.assign(cohort=before.frame["cohort"] - years)))


def later_certified(
    sample: Sample, *, later: Sequence[str], cohorts: Sequence[float], generator: np.random.Generator
) -> Sample:
    """The units of `later` as if exposed in years like `cohorts`, dealt by lot; the really exposed leave.

    Raises
    ------
    EstimationError
        Where no unit of `later` has years before and after the year dealt to it.
    """
    frame = sample.frame
    real = frame["cohort"].notna()
    gone = Exclusion(
        reason=message("really exposed"), rows=int(real.sum()), units=int(frame.loc[real, "unit"].nunique())
    )
    rest = frame.loc[~real].reset_index(drop=True)
    units = sorted(set(later) & set(rest["unit"]))
    if not units or not len(cohorts):
        raise EstimationError(message("no unit of a later edition is in the sample before its award"))
    dealt = dict(
        zip(units, np.resize(generator.permutation(np.asarray(cohorts, dtype=float)), len(units)), strict=True)
    )
    pretended = rest.assign(cohort=rest["unit"].map(dealt).astype(float))
    return _with_past(replace(sample, frame=pretended, exclusions=(*sample.exclusions, gone)))


def _with_past(sample: Sample) -> Sample:
    """Less the exposed units without a row before exposure, or without one from it on."""
    frame = sample.frame
    first, last = (frame.groupby("unit")["time"].transform(end) for end in ("min", "max"))
    shown = (frame["cohort"] > first + sample.anticipation) & (frame["cohort"] <= last)
    return variants.without(
        sample, frame["cohort"].notna() & ~shown, reason=message("no year before or after the pretended exposure")
    )


def _dates(design: Design, sample: Sample, *, judge: _Judge) -> list[Variation] | str:
    made = []
    for years in YEARS_EARLY:
        title = counted("Exposure pretended {n} year earlier", "Exposure pretended {n} years earlier", n=years)
        made.append(
            _tried(
                f"placebo_date_{years}",
                title,
                of=design.outcome,
                sample=partial(earlier, sample, years=years),
                judge=judge,
            )
        )
    return _rows(
        made,
        name="placebo_dates",
        asks=message("Is anything found at dates before the real exposure?"),
        caveat=message("Only years before the real exposure are used."),
        rule=judge.rule,
    )


def _outcomes(design: Design, panel: Panel, *, judge: _Judge) -> list[Variation] | str:
    columns = design.analysis.placebo_outcomes
    if not columns:
        return message("the plan names no placebo outcome for it")
    unknown = [name for name in columns if name not in panel.frame]
    if unknown:
        raise InputError(
            f"catalog/plan.toml [analyses.{design.analysis.name}]: placebo_outcomes {listed(unknown)} are no columns "
            "of the panel; see 'wwc-research panel describe'"
        )
    made = []
    for name in columns:
        planned = with_placebo_outcome(design, panel, column=panel.column(name))
        made.append(
            _tried(
                f"placebo_{name}",
                message("{title}, among counties", title=panel.column(name).title)
                if planned.analysis.unit == "county"
                else message("{title}, among places", title=panel.column(name).title),
                of=planned.outcome,
                sample=partial(planned.sample, panel),
                judge=judge,
            )
        )
    return _rows(
        made,
        name="placebo_outcomes",
        asks=message("Is anything found in what exposure cannot have moved so soon?"),
        caveat=message("Who lives in a place can move with long trends, so a difference here may be such a trend."),
        rule=judge.rule,
    )


def with_placebo_outcome(design: Design, panel: Panel, *, column: PanelColumn) -> Design:
    """The same design for another column of the panel, over its years up to the end of the planned window.

    Counts and dollars are analysed in logarithms. Where the column was not measured for counties, places are the
    units, whatever those of the design. Where the column's own series breaks, its years begin at the last break.
    """
    in_logs = column.name.endswith(IN_LOGS)
    is_share = column.name.endswith("_share")
    first, last = design.analysis.window
    outcome: Outcome = replace(
        design.outcome,
        name=column.name,
        title=column.title,
        variable=column.name,
        transform="log" if in_logs else "none",
        scale=100.0 if in_logs or is_share else 1.0,
        unit="percent" if in_logs else "percentage points" if is_share else column.unit,
        geography="county" if column.name + MAIN_COUNTY in panel.frame else "place",
        coverage=message("the places for which the panel has it"),
        gaps={},
        breaks={},
    )
    measured = design.analysis.unit if column.name + MAIN_COUNTY in panel.frame else "place"
    start, end = column.first_year or first, min(column.last_year or last, last)
    of_column = [entry for entry in catalog.outcomes().values() if entry.variable == column.name]
    broken = [year for entry in of_column for year in entry.breaks_between(start, end)]
    return replace(design, outcome=outcome).with_analysis(unit=measured, window=(max([start, *broken]), end))


def _cohorts(design: Design, panel: Panel, *, sample: Sample, judge: _Judge) -> list[Variation] | str:
    if not design.treatment.is_award:
        return message("{treatment} is not awarded under editions of the Standard", treatment=design.treatment.title)
    units = design.unit_years(panel).drop_duplicates("unit")
    later = units.loc[units["is_later_edition"].astype(bool), "unit"].tolist()
    if not later:
        return message("no unit was first awarded under another edition")
    cohorts = sample.frame.drop_duplicates("unit")["cohort"].dropna().tolist()
    # against the never exposed alone, units awarded later are out of the sample altogether
    wider = design.with_analysis(comparison="not_yet").sample(panel) if sample.comparison == "never" else sample
    made = [
        _tried(
            "placebo_cohorts",
            message(
                "Units first awarded later, pretended exposed when the others were (median of {deals} deals of dates)",
                deals=DEALS,
            ),
            of=design.outcome,
            sample=partial(
                later_certified,
                wider,
                later=later,
                cohorts=cohorts,
                generator=np.random.default_rng(np.random.SeedSequence([judge.seed, number])),
            ),
            judge=judge,
        )
        for number in range(DEALS)
    ]
    return _rows(
        [_median(made)],
        name="placebo_cohorts",
        asks=message("Did cities that were certified later move differently long before?"),
        caveat=message(
            "Only years before their own award are used; a difference here is who applies, not what an award does."
        ),
        rule=judge.rule,
    )


def _median(made: Sequence[_Placebo]) -> _Placebo:
    """The deal of the middle p-value, judged by twice that p-value; one deal of dates alone says little.

    Twice the median of p-values is one itself, however they hang together: Meinshausen, Meier and Buehlmann (2009),
    "p-Values for High-Dimensional Regression", Journal of the American Statistical Association 104(488), section 3.
    """
    known = sorted((item for item in made if math.isfinite(item.p_value)), key=lambda item: item.p_value)
    if not known:
        return made[0]
    middle = known[len(known) // 2]
    return replace(middle, p_value=min(1.0, 2 * middle.p_value))


def _leads(design: Design, sample: Sample, *, headline: Estimate, judge: _Judge) -> list[Variation] | str:
    """The nearest leads by lot; rows show the headline's own leads."""
    # the lots of the headline itself
    lottery = judge.lots(sample, stream=design.treatment.name, leads=NEAREST_LEADS)
    check = checks.anticipation(lottery, rule=judge.rule)
    shown = {term.event_time: term for term in headline.event_study}
    return [
        Variation(
            name=f"lead_{-at}",
            title=counted("{n} year before exposure", "{n} years before exposure", n=-at),
            estimate=shown[at].as_dict() if at in shown else None,
            failed="" if at in shown else message("the headline has no such lead"),
            agrees={"passed": True, "failed": False}.get(check.result),
            check=check,
        )
        for at in lottery.leads or (-1 - sample.anticipation,)
    ]


def _tried(
    name: str,
    title: str,
    *,
    of: Outcome,
    sample: Callable[[], Sample],
    judge: _Judge,
) -> _Placebo:
    try:
        found, std_error, p_value = judge.judged(sample(), stream=name)
    except EstimationError as error:
        return _Placebo(name=name, title=title, of=of, failed=said(error))
    return _Placebo(name=name, title=title, of=of, estimate=found, std_error=std_error, p_value=p_value)


def _rows(made: list[_Placebo], *, name: str, asks: str, caveat: str, rule: VerdictRule) -> list[Variation]:
    answers = [
        Answer(title=item.title)
        if item.estimate is None
        else Answer(
            title=item.title,
            estimate=item.of.scale * item.estimate.estimate,
            yardstick=item.of.scale * item.std_error,
            p_value=item.p_value,
            unit=item.of.unit,
        )
        for item in made
    ]
    check = checks.nil(answers, name=name, asks=asks, rule=rule, caveat=caveat)
    return [
        _row(item, check=check, rule=rule, count=sum(other.estimate is not None for other in made)) for item in made
    ]


def _row(item: _Placebo, *, check: Check, rule: VerdictRule, count: int) -> Variation:
    """A row whose estimate also holds the standard error and p-value it is judged by."""
    values = None
    if item.estimate is not None:
        judged = {"std_error": item.std_error, "p_value": item.p_value}
        known = {key: value if math.isfinite(value) else None for key, value in judged.items()}
        values = {**item.estimate.as_dict(), "judged": known, "scale": item.of.scale, "unit": item.of.unit}
    return Variation(
        name=item.name,
        title=item.title,
        estimate=values,
        failed=item.failed,
        agrees=item.p_value * count >= rule.pre_trend_size if math.isfinite(item.p_value) else None,
        check=check,
    )


__all__ = ["earlier", "later_certified", "placebos", "with_placebo_outcome"]
