"""What it would take to overturn a finding: broken trends, hidden causes, wrong rosters, each as plain values.

In: the Design, its Sample and what was estimated from it. Out: plain values by analysis; one that could not be made
says why.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from wwc_research.catalog import Headline, SensitivityRule
from wwc_research.design.baseline import long_difference
from wwc_research.design.design import Design
from wwc_research.design.sample import Sample
from wwc_research.errors import EstimationError, InputError
from wwc_research.evidence import e_values, hidden_bias, omitted_variables, parallel_trends, pretrend_power
from wwc_research.evidence.alternatives import Comparison
from wwc_research.evidence.parallel_trends import EventCoefficients
from wwc_research.evidence.randomisation import Lottery
from wwc_research.evidence.roster_errors import roster_errors
from wwc_research.messages import message, said
from wwc_research.panel.panel import Panel

LARGEST_BREAKDOWN = 1024.0  # where the search for it ends


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """What is put to the test: the judged numbers, the lots behind them, and the matched comparison if there is one."""

    judged: Mapping[str, Any]
    lottery: Lottery
    compared: Comparison | None
    headline: Headline


def sensitivity(
    design: Design, panel: Panel, *, sample: Sample, finding: Finding, rule: SensitivityRule, seed: int
) -> dict[str, Any]:
    """Every analysis by name, as the plain values of its module; `{"failed": reason}` for one that could not be made.

    Parameters
    ----------
    seed
        Of the wrong rosters.
    """
    scale, unit = design.outcome.scale, design.outcome.unit
    ways: dict[str, Callable[[], dict[str, Any]]] = {
        "parallel_trends": lambda: _parallel_trends(sample, finding, rule=rule, scale=scale, unit=unit),
        "pretrend_power": lambda: _pretrend_power(sample, finding.lottery, scale=scale, unit=unit),
        "omitted_variables": lambda: omitted_variables.from_baseline(long_difference(panel, design=design)).as_dict(),
        "hidden_bias": lambda: _hidden_bias(finding.compared),
        "e_value": lambda: _e_value(design, sample, judged=finding.judged),
        "roster_errors": lambda: roster_errors(
            sample,
            rule=rule,
            generator=np.random.default_rng(seed),
            std_error=_number(finding.judged.get("std_error")),
            scale=scale,
            unit=unit,
            estimator=finding.headline,
        ).as_dict(),
    }
    found = {}
    for name, way in ways.items():
        try:
            found[name] = way()
        except (EstimationError, InputError) as error:
            found[name] = {"failed": said(error)}
    return found


def _number(value: float | None) -> float:
    return math.nan if value is None else float(value)


def _coefficients(sample: Sample, lottery: Lottery) -> EventCoefficients:
    """The event study by lot: estimates of the real assignment, covariance of the draws.

    Event times beyond the first gap on either side of the base are left out, since violations are steps between
    neighbouring periods.
    """
    base = -1 - sample.anticipation
    times = set(lottery.event_times)
    kept = {base}
    for step in (1, -1):
        time = base + step
        while time in times:
            kept.add(time)
            time += step
    places = [place for place, time in enumerate(lottery.event_times) if time in kept]
    if not any(lottery.event_times[place] > base for place in places):
        raise EstimationError(message("no period after exposure has an estimate, so there is no effect to bound"))
    if not np.isfinite(lottery.event_covariance).all():
        raise EstimationError(message("too few lots have an estimate at every event time for their covariance"))
    return EventCoefficients(
        estimates=lottery.event_estimates[places],
        covariance=lottery.event_covariance[np.ix_(places, places)],
        event_times=tuple(lottery.event_times[place] for place in places),
        base=base,
    )


def _weights(lottery: Lottery, coefficients: EventCoefficients) -> list[float]:
    """Weights of the simple average over the event times after the base that were kept; they sum to 1."""
    by_time = dict(zip(lottery.event_times, lottery.event_weights, strict=True))
    kept = [float(by_time[time]) for time in coefficients.event_times if time > coefficients.base]
    total = sum(kept)
    return [weight / total for weight in kept] if total > 0 else kept


def _parallel_trends(
    sample: Sample, finding: Finding, *, rule: SensitivityRule, scale: float, unit: str
) -> dict[str, Any]:
    coefficients = _coefficients(sample, finding.lottery)
    first = float(np.sqrt(np.diag(coefficients.covariance))[max(coefficients.n_pre - 1, 0)])
    found = parallel_trends.sensitivity(
        coefficients,
        weights=_weights(finding.lottery, coefficients),
        relative_magnitudes_at=rule.relative_magnitudes,
        smoothness_at=[step * first for step in rule.smoothness_steps],
        scale=scale,
        unit=unit,
    )
    breakdown = found.m_bar_breakdown
    return {
        **found.as_dict(),
        # None where the interval includes zero without any violation; without end is the end of the search
        "breakdown_relative_magnitude": 0.0 if breakdown is None and not found.reason else _capped(breakdown),
    }


def _capped(value: float | None) -> float | None:
    return None if value is None else min(value, LARGEST_BREAKDOWN)


def _pretrend_power(sample: Sample, lottery: Lottery, *, scale: float, unit: str) -> dict[str, Any]:
    coefficients = _coefficients(sample, lottery)
    weights = _weights(lottery, coefficients)
    return pretrend_power.pretrend_power(coefficients, weights=weights, scale=scale, unit=unit).as_dict()


def _hidden_bias(compared: Comparison | None) -> dict[str, Any]:
    if compared is None:
        raise EstimationError(message("there is no matched comparison to bound"))
    cluster = "cluster" if compared.frame["cluster"].nunique() < len(compared.frame) else None
    return hidden_bias.from_matches(compared.frame, compared.matches, outcome="outcome", cluster=cluster).as_dict()


def _e_value(design: Design, sample: Sample, *, judged: Mapping[str, Any]) -> dict[str, Any]:
    """For shares a risk ratio from means of the exposed; for other scales in standard deviations of the outcome."""
    frame = sample.frame
    exposed = frame["time"] >= frame["cohort"]
    estimate = _number(judged.get("estimate"))
    if design.outcome.transform == "none" and frame["outcome"].between(0, 1).all():
        return e_values.share_e_value(
            estimate,
            mean_exposed=float(frame.loc[exposed, "outcome"].mean()),
            ci_low=_number(judged.get("ci_low")),
            ci_high=_number(judged.get("ci_high")),
        ).as_dict()
    return e_values.standardised_e_value(
        estimate,
        std_error=_number(judged.get("std_error")),
        outcome_spread=float(frame.loc[~exposed, "outcome"].std()),
    ).as_dict()
