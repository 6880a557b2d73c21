"""Questions put to a finding: each function gives one Check with its answer, its number and one sentence.

In: estimates, balance rows, the plan's rule. Out: `Check`s; an answer that cannot be had is `cannot_tell`.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from wwc_research.catalog import VerdictRule
from wwc_research.design.balance import balance_verdict
from wwc_research.estimators.estimate import Estimate
from wwc_research.estimators.few_clusters import SmallSample
from wwc_research.estimators.wild_bootstrap import WildBootstrap
from wwc_research.evidence.evidence import Check
from wwc_research.evidence.randomisation import Lottery


def _number(value: float) -> float | None:
    return float(value) if math.isfinite(value) else None


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
    enough = count >= rule.minimum_treated_clusters and not effective < rule.minimum_treated_clusters
    weight = f" They decide the estimate as {effective:.0f} counties of equal weight would." * (effective < count)
    sentence = (
        f"{count} counties have exposed units, at least the {rule.minimum_treated_clusters} the plan asks for.{weight}"
        if enough
        else f"Only {count} counties have exposed units; below {rule.minimum_treated_clusters} the usual standard "
        f"errors reject a true null far too often.{weight}"
    )
    return Check(
        name="treated_clusters",
        asks="Are there enough exposed counties for the usual standard errors?",
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


def direction(headline: Estimate, *, others: Mapping[str, Estimate]) -> Check:
    """Do the other methods point the same way?"""
    asks = "Do the other methods point the same way?"
    signs = {title: math.copysign(1, item.estimate) for title, item in others.items() if item.estimate}
    if not signs:
        return Check(
            name="direction", asks=asks, result="cannot_tell", statistic=None, sentence="No other method could be used."
        )
    against = [title for title, sign in signs.items() if sign != math.copysign(1, headline.estimate)]
    agreeing = len(signs) - len(against)
    sentence = f"{agreeing} of {len(signs)} other estimates have the same sign as the headline."
    if against:
        sentence += f" Against: {'; '.join(against)}."
    return Check(
        name="direction",
        asks=asks,
        result="failed" if against else "passed",
        statistic=agreeing / len(signs),
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
