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
    asks = "Did the groups move alike before exposure?"
    p_value, count = lottery.lead_p_value, len(lottery.leads)
    if not math.isfinite(p_value):
        sentence = "There are too few years before exposure to test whether the groups moved alike."
        return Check(name="pre_trends", asks=asks, result="cannot_tell", statistic=None, sentence=sentence)
    drift = lottery.drift_p_value
    tested = f"by lot: joint test of {count} {'lead' if count == 1 else 'leads'}, {_shown(p_value)}"
    if math.isfinite(drift):
        tested += f"; straight drift over all leads, {_shown(drift)}"
    lowest = min(p_value, drift) if math.isfinite(drift) else p_value
    if lowest < rule.pre_trend_size:
        sentence = f"The groups seem to have moved apart before exposure already ({tested})."
        return Check(name="pre_trends", asks=asks, result="failed", statistic=lowest, sentence=sentence)
    sentence = (
        f"No clear sign that the groups moved apart before exposure ({tested}); a test that finds nothing does not "
        "prove that they moved alike."
    )
    return Check(name="pre_trends", asks=asks, result="passed", statistic=lowest, sentence=sentence)


def _shown(p_value: float) -> str:
    return "p < 0.001" if p_value < 0.001 else f"p = {p_value:.3f}"


def one_unit(lottery: Lottery, *, labels: Mapping[str, str]) -> Check:
    """Does the estimate hang on a single exposed unit?"""
    asks = "Does the estimate hang on one exposed place?"
    known = {unit: value for unit, value in lottery.without_one.items() if math.isfinite(value)}
    if not known or not math.isfinite(lottery.std_error):
        sentence = "The estimate cannot be made without one of them."
        return Check(name="one_unit", asks=asks, result="cannot_tell", statistic=None, sentence=sentence)
    moves = {unit: value - lottery.estimate for unit, value in known.items()}
    most = max(moves, key=lambda unit: abs(moves[unit]))
    ratio = abs(moves[most]) / lottery.std_error
    flips = sum(value * lottery.estimate < 0 for value in known.values())
    sentence = (
        f"Leaving out {labels[most]} moves the estimate most, by {ratio:.1f} standard errors; "
        f"{flips} of {len(known)} omissions change its sign."
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
    sentence = (
        f"Places as populous as the exposed, drawn by lot, differ from all places by {mean:+.2f} {unit} on average "
        f"once the estimated effect is taken out. The estimate ({other:+.2f}) less that is {other - mean:+.2f}."
    )
    return Check(
        name="as_populous",
        asks="Do places as populous as the exposed move alike with the rest?",
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
    asks = "Are there enough exposed counties for the usual standard errors?"
    if count >= least and math.isnan(effective):
        sentence = f"{count} counties have exposed units; how many of equal weight they come to could not be computed."
        return Check(
            name="treated_clusters", asks=asks, result="cannot_tell", statistic=float(count), sentence=sentence
        )
    weight = f" They decide the estimate as {effective:.0f} counties of equal weight would." * (effective < count)
    if enough:
        sentence = f"{count} counties have exposed units, at least the {least} the plan asks for.{weight}"
    elif count < least:
        sentence = (
            f"Only {count} counties have exposed units; below {least} the usual standard errors reject a true null far "
            f"too often.{weight}"
        )
    else:
        sentence = (
            f"{count} counties have exposed units, but a few decide: the estimate is that of {effective:.0f} counties "
            f"of equal weight, below the {least} the plan asks for."
        )
    return Check(
        name="treated_clusters",
        asks=asks,
        result="passed" if enough else "failed",
        statistic=float(count),
        sentence=sentence,
    )


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
    said = (
        f"Two-way fixed effects: clustered errors {_shown(p_values[0])}; bias-reduced errors {_shown(p_values[1])}; "
        f"wild cluster bootstrap {_shown(p_values[2])}."
    )
    known = [value < size for value in p_values if math.isfinite(value)]
    agree = len(known) == len(p_values) and len(set(known)) == 1
    return Check(
        name="small_samples",
        asks="Do methods made for few clusters agree with the usual errors?",
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
    asks = "Did unexposed places with an exposed neighbour in their county move differently?"
    if found is None or not math.isfinite(found.std_error):
        return Check(
            name="spillover",
            asks=asks,
            result="cannot_tell",
            statistic=None,
            sentence=why or "There is no standard error for it.",
        )
    low, high = (scale * end for end in found.ci)
    return Check(
        name="spillover",
        asks=asks,
        result="passed" if low < 0 < high else "failed",
        statistic=found.estimate,
        sentence=(
            f"{found.n_treated} places that were never exposed have an exposed neighbour in their county; they changed "
            f"by {scale * found.estimate:+.2f} {unit} against the rest (95 % interval {low:+.2f} to {high:+.2f})."
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
    asks = "Do the other methods point the same way?"
    signs = {
        title: math.copysign(1, item.estimate)
        for title, item in others.items()
        if math.isfinite(item.estimate) and item.estimate
    }
    against = [title for title, sign in signs.items() if sign != math.copysign(1, headline.estimate)]
    agreeing = len(signs) - len(against)
    sentence = f"{agreeing} of {len(signs)} other estimates have the same sign as the headline."
    if against:
        sentence += f" Against: {'; '.join(against)}."
    if n_failed:
        sentence += f" {n_failed} more could not be made."
    few = len(signs) < FEWEST_OTHERS
    return Check(
        name="direction",
        asks=asks,
        result="failed" if against else "cannot_tell" if few else "passed",
        statistic=agreeing / len(signs) if signs else None,
        sentence=sentence,
    )


def balance(rows: Sequence[Mapping[str, Any]], *, rule: VerdictRule) -> Check:
    """Are matched units alike in all that was measured before?"""
    verdict = balance_verdict(rows, limit=rule.balance_limit)
    return Check(
        name="balance",
        asks="Are matched units alike in what was measured before exposure?",
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
    asks = "Are there comparison units as likely to be exposed as the exposed were?"
    if not rows:
        sentence = "No propensity score was estimated."
        return Check(name="overlap", asks=asks, result="cannot_tell", statistic=None, sentence=sentence)
    common = sum(min(row["treated_before"], row["control_before"]) for row in rows)
    alone = sum(row["treated_before"] for row in rows if row["treated_before"] > 0 and row["control_before"] == 0)
    sentence = (
        f"The propensity scores of exposed and comparison units have {common:.0%} in common before matching; "
        f"{alone:.0%} of the exposed lie where there is no comparison unit at all."
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
    asks = "How much of what moves within units is the survey's sampling error?"
    known = {group: share for group, share in shares.items() if math.isfinite(share)}
    if not known:
        sentence = "The figures come from a survey whose sampling error the table does not give."
        return Check(name="survey_noise", asks=asks, result="cannot_tell", statistic=None, sentence=sentence)
    said = ", ".join(f"{min(share, 1):.0%} among {group}" for group, share in known.items())
    sentence = f"Of the variance within units, after year effects, about {said} is sampling error; it widens intervals."
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
        why = f"There is too little to tell: {_joined(answers)}." if answers else "There is nothing to ask."
        return Check(name=name, asks=asks, result="cannot_tell", statistic=None, sentence=why)
    worst = max(known, key=lambda item: abs(moves[item.title]))
    said = "; ".join(
        f"{item.title}: {scale * item.estimate:+.2f} ({abs(moves[item.title]):.1f} standard errors away"
        f"{'' if item.n_treated is None else f', {item.n_treated} exposed units'})"
        for item in known
    )
    parts = [f"The headline is {scale * headline:+.2f} {unit}. {said}.", caveat]
    if failed:
        parts.append(f"Too little to tell: {_joined(failed)}.")
    agree = all(abs(moves[item.title]) <= 1 for item in known)
    return Check(
        name=name,
        asks=asks,
        result="cannot_tell" if agree and failed else "passed" if agree else "failed",
        statistic=abs(moves[worst.title]),
        sentence=" ".join(part for part in parts if part),
    )


def distance(answer: Answer, headline: float) -> float:
    """How many yardsticks an answer lies from the headline; NaN where either is not known."""
    usable = math.isfinite(answer.yardstick) and answer.yardstick > 0
    return (answer.estimate - headline) / answer.yardstick if usable else math.nan


def _joined(answers: Sequence[Answer]) -> str:
    return ", ".join(item.title for item in answers)


def one_cohort(answers: Sequence[Answer], *, headline: float) -> Check:
    """Does the estimate hang on the units of a single year of exposure?

    Parameters
    ----------
    answers
        The estimate without each cohort in turn.
    """
    asks = "Does the estimate hang on the places of one year?"
    moves = {item.title: distance(item, headline) for item in answers}
    known = {title: move for title, move in moves.items() if math.isfinite(move)}
    if not known:
        sentence = "There are no two years of exposure, so none can be left out."
        return Check(name="one_cohort", asks=asks, result="cannot_tell", statistic=None, sentence=sentence)
    most = max(known, key=lambda title: abs(known[title]))
    flips = sum(item.estimate * headline < 0 for item in answers if item.title in known)
    rest = f" {len(moves) - len(known)} cannot be left out." * (len(known) < len(moves))
    return Check(
        name="one_cohort",
        asks=asks,
        result="passed" if abs(known[most]) <= 1 else "failed",
        statistic=abs(known[most]),
        sentence=(
            f"{most} the estimate moves most, by {abs(known[most]):.1f} standard errors; {flips} of {len(known)} "
            f"omissions change its sign.{rest}"
        ),
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
        sentence = "No placebo could be estimated."
        return Check(name=name, asks=asks, result="cannot_tell", statistic=None, sentence=sentence)
    smallest = min(1.0, len(known) * min(item.p_value for item in known))
    said = "; ".join(
        f"{item.title}: {item.estimate:+.2f} {item.unit}, {_shown(item.p_value)}, would have seen "
        f"{inference.minimum_detectable_effect(item.yardstick):.2f}"
        for item in known
    )
    found = smallest < rule.pre_trend_size
    verdict = "There is a difference where there should be none" if found else "No difference where there can be none"
    return Check(
        name=name,
        asks=asks,
        result="failed" if found else "passed",
        statistic=smallest,
        sentence=f"{verdict} ({said}). {caveat}",
    )


def anticipation(lottery: Lottery, *, rule: VerdictRule) -> Check:
    """Did the exposed move already in the one or two years before exposure?"""
    asks = "Had the exposed moved already just before exposure?"
    p_value, count = lottery.lead_p_value, len(lottery.leads)
    if not math.isfinite(p_value):
        sentence = "There are too few years before exposure to look at the last of them."
        return Check(name="anticipation", asks=asks, result="cannot_tell", statistic=None, sentence=sentence)
    moved = p_value < rule.pre_trend_size
    years = "the last year" if count == 1 else f"the last {count} years"
    return Check(
        name="anticipation",
        asks=asks,
        result="failed" if moved else "passed",
        statistic=p_value,
        sentence=(
            f"In {years} before exposure the exposed {'had moved' if moved else 'show no sign of having moved'} apart "
            f"already (by lot, {_shown(p_value)}); practice is built before the award, so this asks about effects "
            "that came early as much as about trends."
        ),
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
    asks = "Did unexposed places near an exposed one move differently from those far away?"
    known = [item for item in answers if math.isfinite(item.p_value)]
    if not known:
        sentence = f"Too few places lie in each ring to tell ({_joined(answers)})."
        return Check(name="rings", asks=asks, result="cannot_tell", statistic=None, sentence=sentence)
    smallest = min(1.0, len(known) * min(item.p_value for item in known))
    said = "; ".join(f"{item.title} {scale * item.estimate:+.2f} {unit} ({_shown(item.p_value)})" for item in known)
    silent = [item for item in answers if item not in known]
    rest = f" Too few to tell: {_joined(silent)}." if silent else ""
    moved = smallest < rule.size
    return Check(
        name="rings",
        asks=asks,
        result="failed" if moved else "passed",
        statistic=smallest,
        sentence=(
            f"Places {'near exposed ones moved differently' if moved else 'near exposed ones moved as the others'}: "
            f"{said}.{rest} A difference that does not fade with distance belongs to the region rather than to the "
            "neighbour."
        ),
    )


_CALIBRATION_ASKS = "Does the method that heads this page work on placebo units of these data?"


def uncalibrated(why: str) -> Check:
    """The check of the headline on placebo units where there is no card."""
    return Check(
        name="calibration", asks=_CALIBRATION_ASKS, result="cannot_tell", statistic=None, sentence=f"Not known: {why}"
    )


def calibration(row: CalibrationRow, *, title: str) -> Check:
    """Does the headline, as it is judged on the page, do what it promises on placebo units of this panel?"""
    results: dict[str, CheckResult] = {"fit": "passed", "in_doubt": "cannot_tell", "unfit": "failed"}
    return Check(
        name="calibration",
        asks=_CALIBRATION_ASKS,
        result=results[row.result],
        statistic=_number(row.false_positive_share),
        sentence=f"{title}: {row.sentence}",
    )
