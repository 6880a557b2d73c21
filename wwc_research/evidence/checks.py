"""Questions put to a finding: each function gives one Check with its answer, its number and one sentence.

In: estimates, balance rows, the plan's rule. Out: `Check`s; an answer that cannot be had is `cannot_tell`.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from wwc_research import inference
from wwc_research.catalog import VerdictRule
from wwc_research.design.balance import balance_verdict
from wwc_research.estimators.estimate import Estimate
from wwc_research.estimators.few_clusters import SmallSample
from wwc_research.estimators.wild_bootstrap import WildBootstrap
from wwc_research.evidence.calibration import CalibrationRow
from wwc_research.evidence.evidence import Check, CheckResult
from wwc_research.evidence.randomisation import Lottery
from wwc_research.messages import Message, counted, message

SMALLEST_SHOWN: Final = 0.001  # of p-values


def _number(value: float) -> float | None:
    return float(value) if math.isfinite(value) else None


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """One estimate that a check weighs: its title, estimate, yardstick and p-value; NaN where there is none.

    `yardstick` is the standard error by which its distance, from the headline or from nil, is judged; `unit` is said
    where the answers to one question differ in it, and `n_treated` where it is not that of the headline.
    """

    title: str
    estimate: float = math.nan
    yardstick: float = math.nan
    p_value: float = math.nan
    unit: str = ""
    n_treated: int | None = None


def pre_trends(lottery: Lottery, *, rule: VerdictRule) -> Check:
    """Did exposed and comparison units move alike before exposure?

    The leads are judged by lot: with few exposed units a Wald test of them rejects true nulls far too often (61 % at
    5 % for all cohort-time cells, 12-14 % for pooled leads; benchmarks/coverage.md).
    """
    asks = message("Did the groups move alike before exposure?")
    p_value, count = lottery.lead_p_value, len(lottery.leads)
    if not math.isfinite(p_value):
        sentence = message("There are too few years before exposure to test whether the groups moved alike.")
        return Check(name="pre_trends", asks=asks, result="cannot_tell", statistic=None, sentence=sentence)
    drift = lottery.drift_p_value
    if math.isfinite(drift):
        tested = counted(
            "by lot: joint test of {n} lead, {shown}; straight drift over all leads, {drift}",
            "by lot: joint test of {n} leads, {shown}; straight drift over all leads, {drift}",
            n=count,
            shown=_shown(p_value),
            drift=_shown(drift),
        )
    else:
        tested = counted(
            "by lot: joint test of {n} lead, {shown}",
            "by lot: joint test of {n} leads, {shown}",
            n=count,
            shown=_shown(p_value),
        )
    lowest = min(p_value, drift) if math.isfinite(drift) else p_value
    if lowest < rule.pre_trend_size:
        sentence = message("The groups seem to have moved apart before exposure already ({tested}).", tested=tested)
        return Check(name="pre_trends", asks=asks, result="failed", statistic=lowest, sentence=sentence)
    sentence = message(
        "No clear sign that the groups moved apart before exposure ({tested}); a test that finds nothing does not "
        "prove that they moved alike.",
        tested=tested,
    )
    return Check(name="pre_trends", asks=asks, result="passed", statistic=lowest, sentence=sentence)


def _shown(p_value: float) -> Message:
    if p_value < SMALLEST_SHOWN:
        return message("p < {limit:.3f}", limit=SMALLEST_SHOWN)
    return message("p = {p_value:.3f}", p_value=p_value)


def one_unit(lottery: Lottery, *, labels: Mapping[str, str]) -> Check:
    """Does the estimate hang on a single exposed unit?"""
    asks = message("Does the estimate hang on one exposed place?")
    known = {unit: value for unit, value in lottery.without_one.items() if math.isfinite(value)}
    if not known or not math.isfinite(lottery.std_error):
        sentence = message("The estimate cannot be made without one of them.")
        return Check(name="one_unit", asks=asks, result="cannot_tell", statistic=None, sentence=sentence)
    moves = {unit: value - lottery.estimate for unit, value in known.items()}
    most = max(moves, key=lambda unit: abs(moves[unit]))
    ratio = abs(moves[most]) / lottery.std_error
    flips = sum(value * lottery.estimate < 0 for value in known.values())
    sentence = message(
        "Leaving out {unit} moves the estimate most, by {ratio:.1f} standard errors; {flips} of {n_known} omissions "
        "change its sign.",
        unit=labels[most],
        ratio=ratio,
        flips=flips,
        n_known=len(known),
    )
    return Check(
        name="one_unit", asks=asks, result="passed" if ratio < 1 else "failed", statistic=ratio, sentence=sentence
    )


def as_populous(lottery: Lottery, *, scale: float, unit: str) -> Check:
    """Would places as populous as the exposed have differed anyway?

    Parameters
    ----------
    scale, unit
        From the unit of the estimate to that of the sentence.
    """
    mean, other = scale * lottery.placebo_mean, scale * lottery.estimate
    share = abs(lottery.placebo_mean) / lottery.std_error if lottery.std_error > 0 else math.nan
    sentence = message(
        "Places as populous as the exposed, drawn by lot, differ from all places by {mean:+.2f} {unit} on average once "
        "the estimated effect is taken out. The estimate ({estimate:+.2f}) less that is {rest:+.2f}.",
        mean=mean,
        unit=unit,
        estimate=other,
        rest=other - mean,
    )
    return Check(
        name="as_populous",
        asks=message("Do places as populous as the exposed move alike with the rest?"),
        result="cannot_tell" if math.isnan(share) else "passed" if share < 0.5 else "failed",
        statistic=_number(lottery.placebo_mean),
        sentence=sentence,
    )


def treated_clusters(allowed: SmallSample, *, rule: VerdictRule) -> Check:
    """Are there enough exposed counties for the usual standard errors?

    Counted are counties with exposed units or, where fewer, the effective number of clusters: a few large ones can
    decide what many seem to.
    """
    count, effective = allowed.n_treated, allowed.effective
    least = rule.minimum_treated_clusters
    enough = count >= least and effective >= least
    asks = message("Are there enough exposed counties for the usual standard errors?")
    if count >= least and math.isnan(effective):
        sentence = message(
            "{count} counties have exposed units; how many of equal weight they come to could not be computed.",
            count=count,
        )
        return Check(
            name="treated_clusters", asks=asks, result="cannot_tell", statistic=float(count), sentence=sentence
        )
    if enough:
        sentence = _with_weight(
            message(
                "{count} counties have exposed units, at least the {least} the plan asks for.", count=count, least=least
            ),
            allowed,
        )
    elif count < least:
        sentence = _with_weight(
            counted(
                "Only {n} county has exposed units; below {least} the usual standard errors reject a true null far too "
                "often.",
                "Only {n} counties have exposed units; below {least} the usual standard errors reject a true null far "
                "too often.",
                n=count,
                least=least,
            ),
            allowed,
        )
    else:
        sentence = message(
            "{count} counties have exposed units, but a few decide: the estimate is that of {effective:.0f} counties "
            "of equal weight, below the {least} the plan asks for.",
            count=count,
            effective=effective,
            least=least,
        )
    return Check(
        name="treated_clusters",
        asks=asks,
        result="passed" if enough else "failed",
        statistic=float(count),
        sentence=sentence,
    )


def _with_weight(sentence: Message, allowed: SmallSample) -> Message:
    """The sentence, and what the counties are worth where that is less than their number."""
    if not allowed.effective < allowed.n_treated:
        return sentence
    weight = message(
        "They decide the estimate as {effective:.0f} counties of equal weight would.", effective=allowed.effective
    )
    return message("{parts:sentences}", parts=[sentence, weight])


def small_samples(plain: Estimate, *, reduced: Estimate, bootstrap: WildBootstrap, size: float) -> Check:
    """Do methods for few clusters agree on the plain two-way regression?

    Parameters
    ----------
    plain, reduced
        The regression with CRV1 errors, and with bias-reduced ones and Satterthwaite degrees of freedom.
    bootstrap
        Its wild cluster bootstrap.
    size
        Level at which they are compared.
    """
    p_values = (plain.p_value, reduced.p_value, bootstrap.p_value)
    said = message(
        "Two-way fixed effects: clustered errors {plain}; bias-reduced errors {reduced}; wild cluster bootstrap "
        "{bootstrap}.",
        plain=_shown(p_values[0]),
        reduced=_shown(p_values[1]),
        bootstrap=_shown(p_values[2]),
    )
    known = [value < size for value in p_values if math.isfinite(value)]
    agree = len(known) == len(p_values) and len(set(known)) == 1
    return Check(
        name="small_samples",
        asks=message("Do methods made for few clusters agree with the usual errors?"),
        result="passed" if agree else "failed" if len(known) == len(p_values) else "cannot_tell",
        statistic=_number(p_values[2]),
        sentence=said,
    )


def spillover(found: Estimate | None, *, why: str, scale: float, unit: str) -> Check:
    """Did unexposed places beside exposed ones move differently from those elsewhere?

    If they did, they are no clean comparison, and the estimate is off by about as much as they moved.

    Parameters
    ----------
    found
        The effect of an exposed neighbour; None where it could not be had, for the reason `why`.
    scale, unit
        From the unit of the estimate to that of the sentence.
    """
    asks = message("Did unexposed places with an exposed neighbour in their county move differently?")
    if found is None or not math.isfinite(found.std_error):
        return Check(
            name="spillover",
            asks=asks,
            result="cannot_tell",
            statistic=None,
            sentence=why or message("There is no standard error for it."),
        )
    low, high = (scale * end for end in found.ci)
    return Check(
        name="spillover",
        asks=asks,
        result="passed" if low < 0 < high else "failed",
        statistic=found.estimate,
        sentence=message(
            "{n_treated} places that were never exposed have an exposed neighbour in their county; they changed by "
            "{estimate:+.2f} {unit} against the rest (95 % interval {low:+.2f} to {high:+.2f}).",
            n_treated=found.n_treated,
            estimate=scale * found.estimate,
            unit=unit,
            low=low,
            high=high,
        ),
    )


FEWEST_OTHERS: Final = 5


def direction(headline: Estimate, *, others: Mapping[str, Estimate], n_failed: int = 0) -> Check:
    """Do the other methods point the same way?

    Parameters
    ----------
    n_failed
        Other methods that gave no estimate; with fewer than five that did, nothing is told.
    """
    asks = message("Do the other methods point the same way?")
    signs = {
        title: math.copysign(1, item.estimate)
        for title, item in others.items()
        if math.isfinite(item.estimate) and item.estimate
    }
    against = [title for title, sign in signs.items() if sign != math.copysign(1, headline.estimate)]
    agreeing = len(signs) - len(against)
    parts = [
        message(
            "{agreeing} of {n_others} other estimates have the same sign as the headline.",
            agreeing=agreeing,
            n_others=len(signs),
        )
    ]
    if against:
        parts.append(message("Against: {methods:semicolons}.", methods=against))
    if n_failed:
        parts.append(message("{n_failed} more could not be made.", n_failed=n_failed))
    few = len(signs) < FEWEST_OTHERS
    return Check(
        name="direction",
        asks=asks,
        result="failed" if against else "cannot_tell" if few else "passed",
        statistic=agreeing / len(signs) if signs else None,
        sentence=message("{parts:sentences}", parts=parts),
    )


def balance(rows: Sequence[Mapping[str, Any]], *, rule: VerdictRule) -> Check:
    """Are matched units alike in all that was measured before?"""
    verdict = balance_verdict(rows, limit=rule.balance_limit)
    return Check(
        name="balance",
        asks=message("Are matched units alike in what was measured before exposure?"),
        result=verdict.result,
        statistic=_number(verdict.largest),
        sentence=verdict.sentence,
    )


SMALLEST_OVERLAP: Final = 0.25


def overlap(rows: Sequence[Mapping[str, float]]) -> Check:
    """Are there comparison units as likely to be exposed as the exposed were?

    Passed if the shares of both groups, over steps of the propensity score, have a quarter in common before matching,
    and no step with exposed units lacks comparison units. Balance says how well matching made use of them.
    """
    asks = message("Are there comparison units as likely to be exposed as the exposed were?")
    if not rows:
        sentence = message("No propensity score was estimated.")
        return Check(name="overlap", asks=asks, result="cannot_tell", statistic=None, sentence=sentence)
    common = sum(min(row["treated_before"], row["control_before"]) for row in rows)
    alone = sum(row["treated_before"] for row in rows if row["treated_before"] > 0 and row["control_before"] == 0)
    sentence = message(
        "The propensity scores of exposed and comparison units have {common:.0%} in common before matching; "
        "{alone:.0%} of the exposed lie where there is no comparison unit at all.",
        common=common,
        alone=alone,
    )
    passed = common >= SMALLEST_OVERLAP and alone == 0
    return Check(
        name="overlap", asks=asks, result="passed" if passed else "failed", statistic=common, sentence=sentence
    )


def survey_noise(shares: Mapping[str, float]) -> Check:
    """How much of the movement within units is sampling error of the survey?

    Parameters
    ----------
    shares
        Sampling variance over the variance within units, by group; NaN where the source gives no error.
    """
    asks = message("How much of what moves within units is the survey's sampling error?")
    known = {group: share for group, share in shares.items() if math.isfinite(share)}
    if not known:
        sentence = message("The figures come from a survey whose sampling error the table does not give.")
        return Check(name="survey_noise", asks=asks, result="cannot_tell", statistic=None, sentence=sentence)
    said = [
        message("{share:.0%} among {group}", share=float(min(share, 1)), group=group) for group, share in known.items()
    ]
    sentence = message(
        "Of the variance within units, after year effects, about {shares:list} is sampling error; it widens intervals.",
        shares=said,
    )
    worst = max(known.values())
    return Check(
        name="survey_noise", asks=asks, result="passed" if worst < 0.5 else "failed", statistic=worst, sentence=sentence
    )


def agreement(
    answers: Sequence[Answer], *, name: str, asks: str, headline: float, scale: float, unit: str, caveat: str = ""
) -> Check:
    """Does the estimate stay where it was when one choice of the design is made otherwise?

    It does if it moves by no more than one yardstick: the headline's judged standard error, or the standard error of
    the difference where the variation rests on other exposed units. Of several answers to one question all must.

    Parameters
    ----------
    headline
        In the unit of the outcome, as the answers.
    scale, unit
        From the unit of the estimate to that of the sentence.
    caveat
        A sentence to be said whatever the answer.
    """
    moves = {item.title: distance(item, headline) for item in answers}
    known = [item for item in answers if math.isfinite(moves[item.title])]
    failed = [item for item in answers if item not in known]
    if not known:
        why = (
            message("There is too little to tell: {titles:list}.", titles=_titles(answers))
            if answers
            else message("There is nothing to ask.")
        )
        return Check(name=name, asks=asks, result="cannot_tell", statistic=None, sentence=why)
    worst = max(known, key=lambda item: abs(moves[item.title]))
    said = [_moved(item, scale * item.estimate, away=abs(moves[item.title])) for item in known]
    parts: list[str] = [
        message("The headline is {headline:+.2f} {unit}.", headline=scale * headline, unit=unit),
        message("{answers:semicolons}.", answers=said),
    ]
    if caveat:
        parts.append(caveat)
    if failed:
        parts.append(message("Too little to tell: {titles:list}.", titles=_titles(failed)))
    agree = all(abs(moves[item.title]) <= 1 for item in known)
    return Check(
        name=name,
        asks=asks,
        result="cannot_tell" if agree and failed else "passed" if agree else "failed",
        statistic=abs(moves[worst.title]),
        sentence=message("{parts:sentences}", parts=parts),
    )


def _moved(item: Answer, estimate: float, *, away: float) -> Message:
    """One answer: its title, its estimate, how far it lies from the headline."""
    if item.n_treated is None:
        return message(
            "{title}: {estimate:+.2f} ({away:.1f} standard errors away)",
            title=item.title,
            estimate=estimate,
            away=away,
        )
    return counted(
        "{title}: {estimate:+.2f} ({away:.1f} standard errors away, {n} exposed unit)",
        "{title}: {estimate:+.2f} ({away:.1f} standard errors away, {n} exposed units)",
        n=item.n_treated,
        title=item.title,
        estimate=estimate,
        away=away,
    )


def distance(answer: Answer, headline: float) -> float:
    """How many yardsticks an answer lies from the headline; NaN where either is not known."""
    usable = math.isfinite(answer.yardstick) and answer.yardstick > 0
    return (answer.estimate - headline) / answer.yardstick if usable else math.nan


def _titles(answers: Sequence[Answer]) -> list[str]:
    return [item.title for item in answers]


def one_cohort(answers: Sequence[Answer], *, headline: float) -> Check:
    """Does the estimate hang on the units of a single year of exposure?

    Parameters
    ----------
    answers
        The estimate without each cohort in turn.
    """
    asks = message("Does the estimate hang on the places of one year?")
    moves = {item.title: distance(item, headline) for item in answers}
    known = {title: move for title, move in moves.items() if math.isfinite(move)}
    if not known:
        sentence = message("There are no two years of exposure, so none can be left out.")
        return Check(name="one_cohort", asks=asks, result="cannot_tell", statistic=None, sentence=sentence)
    most = max(known, key=lambda title: abs(known[title]))
    flips = sum(item.estimate * headline < 0 for item in answers if item.title in known)
    parts = [
        message(
            "{way} the estimate moves most, by {away:.1f} standard errors; {flips} of {n_known} omissions change its "
            "sign.",
            way=most,
            away=abs(known[most]),
            flips=flips,
            n_known=len(known),
        )
    ]
    if len(known) < len(moves):
        parts.append(message("{n_failed} cannot be left out.", n_failed=len(moves) - len(known)))
    return Check(
        name="one_cohort",
        asks=asks,
        result="passed" if abs(known[most]) <= 1 else "failed",
        statistic=abs(known[most]),
        sentence=message("{parts:sentences}", parts=parts),
    )


def nil(answers: Sequence[Answer], *, name: str, asks: str, rule: VerdictRule, caveat: str) -> Check:
    """Is nothing found where nothing can be?

    Fails where the smallest p-value, times the number of answers (Bonferroni), is below the plan's level for tests of
    a design. What each could have seen, at 80 % power, is said: a placebo that could see little has little to say.

    Parameters
    ----------
    answers
        With the standard error and p-value by which each is judged, in the units they name.
    caveat
        A sentence to be said whatever the answer.
    """
    known = [item for item in answers if math.isfinite(item.p_value)]
    if not known:
        sentence = message("No placebo could be estimated.")
        return Check(name=name, asks=asks, result="cannot_tell", statistic=None, sentence=sentence)
    smallest = min(1.0, len(known) * min(item.p_value for item in known))
    said = [
        message(
            "{title}: {estimate:+.2f} {unit}, {shown}, would have seen {least:.2f}",
            title=item.title,
            estimate=item.estimate,
            unit=item.unit,
            shown=_shown(item.p_value),
            least=inference.minimum_detectable_effect(item.yardstick),
        )
        for item in known
    ]
    found = smallest < rule.pre_trend_size
    if found:
        parts = [message("There is a difference where there should be none ({answers:semicolons}).", answers=said)]
    else:
        parts = [
            counted(
                "No difference where there can be none ({answers:semicolons}).",
                "No difference that stands the correction for {n} placebos where there can be none "
                "({answers:semicolons}).",
                n=len(known),
                answers=said,
            )
        ]
    return Check(
        name=name,
        asks=asks,
        result="failed" if found else "passed",
        statistic=smallest,
        sentence=message("{parts:sentences}", parts=[*parts, caveat] if caveat else parts),
    )


def anticipation(lottery: Lottery, *, rule: VerdictRule) -> Check:
    """Did the exposed move already in the one or two years before exposure?"""
    asks = message("Had the exposed moved already just before exposure?")
    p_value, count = lottery.lead_p_value, len(lottery.leads)
    if not math.isfinite(p_value):
        sentence = message("There are too few years before exposure to look at the last of them.")
        return Check(name="anticipation", asks=asks, result="cannot_tell", statistic=None, sentence=sentence)
    moved = p_value < rule.pre_trend_size
    if moved:
        sentence = counted(
            "In the last year before exposure the exposed had moved apart already (by lot, {shown}); practice is built "
            "before the award, so this asks about effects that came early as much as about trends.",
            "In the last {n} years before exposure the exposed had moved apart already (by lot, {shown}); practice is "
            "built before the award, so this asks about effects that came early as much as about trends.",
            n=count,
            shown=_shown(p_value),
        )
    else:
        sentence = counted(
            "In the last year before exposure the exposed show no sign of having moved apart already (by lot, "
            "{shown}); practice is built before the award, so this asks about effects that came early as much as about "
            "trends.",
            "In the last {n} years before exposure the exposed show no sign of having moved apart already (by lot, "
            "{shown}); practice is built before the award, so this asks about effects that came early as much as about "
            "trends.",
            n=count,
            shown=_shown(p_value),
        )
    return Check(
        name="anticipation",
        asks=asks,
        result="failed" if moved else "passed",
        statistic=p_value,
        sentence=sentence,
    )


def rings(answers: Sequence[Answer], *, rule: VerdictRule, scale: float, unit: str) -> Check:
    """Did unexposed units move differently the nearer an exposed one lies?

    Parameters
    ----------
    answers
        Effect of an exposed place within each ring, against units farther from all; NaN where too few to tell. With
        standard errors clustered by the exposed place.
    scale, unit
        From the unit of the estimate to that of the sentence.
    """
    asks = message("Did unexposed places near an exposed one move differently from those far away?")
    known = [item for item in answers if math.isfinite(item.p_value)]
    if not known:
        sentence = message("Too few places lie in each ring to tell ({titles:list}).", titles=_titles(answers))
        return Check(name="rings", asks=asks, result="cannot_tell", statistic=None, sentence=sentence)
    smallest = min(1.0, len(known) * min(item.p_value for item in known))
    said = [
        message(
            "{title} {estimate:+.2f} {unit} ({shown})",
            title=item.title,
            estimate=scale * item.estimate,
            unit=unit,
            shown=_shown(item.p_value),
        )
        for item in known
    ]
    silent = [item for item in answers if item not in known]
    moved = smallest < rule.size
    if moved:
        parts = [message("Places near exposed ones moved differently: {answers:semicolons}.", answers=said)]
    else:
        parts = [message("Places near exposed ones moved as the others: {answers:semicolons}.", answers=said)]
    if silent:
        parts.append(message("Too few to tell: {titles:list}.", titles=_titles(silent)))
    parts.append(
        message(
            "A difference that does not fade with distance belongs to the region rather than to the neighbour.",
        )
    )
    return Check(
        name="rings",
        asks=asks,
        result="failed" if moved else "passed",
        statistic=smallest,
        sentence=message("{parts:sentences}", parts=parts),
    )


_CALIBRATION_ASKS: Final = message("Does the method that heads this page work on placebo units of these data?")


def uncalibrated(why: str) -> Check:
    """The check of the headline on placebo units where there is no card."""
    return Check(
        name="calibration",
        asks=_CALIBRATION_ASKS,
        result="cannot_tell",
        statistic=None,
        sentence=message("Not known: {why}", why=why),
    )


def calibration(row: CalibrationRow, *, title: str) -> Check:
    """Does the headline, as it is judged on the page, do what it promises on placebo units of this panel?"""
    results: dict[str, CheckResult] = {"fit": "passed", "in_doubt": "cannot_tell", "unfit": "failed"}
    return Check(
        name="calibration",
        asks=_CALIBRATION_ASKS,
        result=results[row.result],
        statistic=_number(row.false_positive_share),
        sentence=message("{title}: {sentence}", title=title, sentence=row.sentence),
    )
