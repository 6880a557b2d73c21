"""Questions put to a finding: each function gives one Check with its answer, its number and one sentence.

In: estimates, balance rows, the plan's rule. Out: `Check`s; an answer that cannot be had is `cannot_tell`.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from wwc_research.catalog import VerdictRule
from wwc_research.estimators.estimate import Estimate
from wwc_research.evidence.evidence import Check


def _number(value: float) -> float | None:
    return float(value) if math.isfinite(value) else None


def pre_trends(leads: Estimate | None, *, rule: VerdictRule) -> Check:
    """Did exposed and comparison units move alike before exposure?

    The joint test is that of a two-way fixed-effects event study with the plan's number of leads. A test over every
    cohort and year before exposure has more restrictions than treated clusters and rejects almost always.
    """
    asks = "Did the groups move alike before exposure?"
    p_value = leads.pre_trend_p_value if leads is not None else math.nan
    if leads is None or not math.isfinite(p_value):
        sentence = "There are too few years before exposure to test whether the groups moved alike."
        return Check(name="pre_trends", asks=asks, result="cannot_tell", statistic=None, sentence=sentence)
    shown = "p < 0.001" if p_value < 0.001 else f"p = {p_value:.3f}"
    tested = f"joint test of {leads.pre_trend_restrictions} leads, {shown}"
    if p_value < rule.pre_trend_size:
        sentence = f"The groups already moved apart before exposure ({tested})."
        return Check(name="pre_trends", asks=asks, result="failed", statistic=p_value, sentence=sentence)
    sentence = (
        f"No sign that the groups moved apart before exposure ({tested}); a test that finds nothing does not prove "
        "that they moved alike."
    )
    return Check(name="pre_trends", asks=asks, result="passed", statistic=p_value, sentence=sentence)


def treated_clusters(count: int, *, rule: VerdictRule) -> Check:
    """Are there enough exposed counties for the usual standard errors?"""
    enough = count >= rule.minimum_treated_clusters
    sentence = (
        f"{count} counties have exposed units, at least the {rule.minimum_treated_clusters} the plan asks for."
        if enough
        else f"Only {count} counties have exposed units; below {rule.minimum_treated_clusters} the usual standard "
        "errors reject a true null far too often."
    )
    return Check(
        name="treated_clusters",
        asks="Are there enough exposed counties for the usual standard errors?",
        result="passed" if enough else "failed",
        statistic=float(count),
        sentence=sentence,
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
    asks = "Are matched units alike in what was measured before exposure?"
    known = [row for row in rows if row["smd_after"] is not None]
    if not known:
        return Check(
            name="balance", asks=asks, result="cannot_tell", statistic=None, sentence="There is no matched comparison."
        )
    worst = max(known, key=lambda row: abs(row["smd_after"]))
    largest = abs(worst["smd_after"])
    good = largest <= rule.balance_limit
    sentence = (
        f"The largest standardised difference after matching is {largest:.2f} ({worst['title']}), "
        f"{'within' if good else 'above'} the limit of {rule.balance_limit:g}."
    )
    return Check(
        name="balance", asks=asks, result="passed" if good else "failed", statistic=_number(largest), sentence=sentence
    )


def survey_noise(sampling_variance: float, total_variance: float) -> Check:
    """How much of the movement within units is sampling error of the survey?"""
    share = sampling_variance / total_variance if total_variance > 0 else math.nan
    asks = "How much of what moves within units is the survey's sampling error?"
    if not math.isfinite(share):
        sentence = "The source gives no sampling error."
        return Check(name="survey_noise", asks=asks, result="cannot_tell", statistic=None, sentence=sentence)
    sentence = (
        f"About {min(share, 1):.0%} of the variance within units, after year effects, is sampling error: "
        "it widens the interval and cannot be argued away."
    )
    return Check(
        name="survey_noise", asks=asks, result="passed" if share < 0.5 else "failed", statistic=share, sentence=sentence
    )
