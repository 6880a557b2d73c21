"""Which inference a sample allows, by the declared rule, and the comparison with lots where the rule asks for it.

In: a Sample and an estimator. Out: `SmallSample`, and plain values for an answer.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any, Final

import numpy as np

from wwc_research.design.sample import Sample
from wwc_research.errors import EstimationError
from wwc_research.estimators.estimate import Estimate
from wwc_research.estimators.few_clusters import SmallSample, small_sample_rule
from wwc_research.estimators.leverage import effective_clusters
from wwc_research.estimators.permutation import Level, permutation_test
from wwc_research.estimators.rows import coded_rows
from wwc_research.messages import message

LOTS_BY_RULE: Final = 199  # drawn where the rule asks for lots and the user says nothing
_MIXED: Final = message(
    "Units of one cluster differ in exposure, so lots over single units would ignore what they share: bias-reduced "
    "errors by cluster, with Satterthwaite degrees of freedom, are trusted where the estimator offers them "
    "(std_errors = cr2)."
)
MOST_ROWS_BY_RULE: Final = 20_000  # beyond that the user has to ask, since it takes minutes


def inference_allowed(sample: Sample) -> SmallSample:
    """The inference to trust for this sample, from its treated, all and effective clusters.

    Effective clusters are those of a regression of the outcome on exposure with unit and time effects. Where units of
    one cluster differ in exposure, lots over units would take shared shocks for chance of each unit; there
    bias-reduced errors by cluster are trusted instead.
    """
    rows = coded_rows(sample, takes_effects=True)
    exposed = rows.is_exposed
    try:
        effective = effective_clusters(
            exposed[:, None].astype(float),
            column=0,
            clusters=rows.cluster,
            effects=(rows.unit, rows.period),
            weights=rows.weight,
        ).effective
    except EstimationError:
        effective = np.nan
    rule = small_sample_rule(
        n_treated=int(np.unique(rows.cluster[exposed]).size), n_clusters=rows.n_clusters, effective=effective
    )
    if rule.method == "randomisation" and _can_be_dealt(sample) is None:
        why = message("{counts}. {mixed}", counts=rule.counts, mixed=_MIXED)
        return replace(rule, method="cr2", alongside=None, why=why)
    return rule


def as_settings(rule: SmallSample) -> dict[str, Any]:
    """The rule's answer as plain values."""
    return {
        "trusted": rule.method,
        "alongside": rule.alongside,
        "treated_clusters": rule.n_treated,
        "clusters": rule.n_clusters,
        "effective_clusters": round(rule.effective, 2) if np.isfinite(rule.effective) else None,
        "why": rule.why,
    }


def lots_wanted(rule: SmallSample, *, rows: int, asked: int | None) -> int:
    """How many assignments to draw: as asked, else as the rule says for panels that are not large."""
    if asked is not None:
        return asked
    return LOTS_BY_RULE if rule.method == "randomisation" and rows <= MOST_ROWS_BY_RULE else 0


def by_lot(sample: Sample, *, estimator: Callable[[Sample], Estimate], lots: int, seed: int) -> dict[str, Any]:
    """The share of assignments drawn by lot that do as much as the real one, with an interval, as plain values.

    Whole clusters are dealt anew where each holds one unit or one exposure, single units where the user asks for lots
    all the same.
    """
    level = _can_be_dealt(sample) or "unit"
    found = permutation_test(sample, estimator=estimator, generator=np.random.default_rng(seed), draws=lots, by=level)
    values = {"p_value": found.p_value, "ci_low": found.ci_low, "ci_high": found.ci_high}
    known = {name: float(value) if np.isfinite(value) else None for name, value in values.items()}
    return {**known, "draws": found.draws, "dealt_by": level, "seed": seed}


def _can_be_dealt(sample: Sample) -> Level | None:
    """What may be dealt by lot: units that are their own clusters, whole clusters of one exposure, or nothing."""
    units = sample.frame.drop_duplicates("unit")
    if units["cluster"].nunique() == len(units):
        return "unit"
    alike = (units.groupby("cluster")["cohort"].nunique(dropna=False) == 1).all()
    return "cluster" if alike else None


def judged(
    result: Estimate, *, rule: SmallSample, drawn: dict[str, Any] | None, reduced: Estimate | None
) -> dict[str, Any]:
    """P-value and interval by the inference that the rule trusts; None where they could not be had.

    Parameters
    ----------
    drawn
        From `by_lot`.
    reduced
        The estimate with bias-reduced errors.
    """
    values: dict[str, Any] = {"by": rule.method, "p_value": None, "ci_low": None, "ci_high": None}
    trusted = {"cluster": result, "cr2": reduced}.get(rule.method)
    if rule.method == "randomisation" and drawn is not None:
        values |= {name: drawn[name] for name in ("p_value", "ci_low", "ci_high")}
    elif trusted is not None and np.isfinite(trusted.p_value):
        low, high = trusted.ci
        values |= {"p_value": trusted.p_value, "ci_low": low, "ci_high": high}
    return values


_WORDS: Final = {"randomisation": "by lot", "cr2": "bias-reduced errors by cluster"}


def summary(result: Estimate, values: dict[str, Any]) -> str:
    """One line for a person at a terminal, the inference to trust first."""
    if values["by"] == "cluster":
        return result.summary()
    name = _WORDS[values["by"]]
    if values["p_value"] is None:
        return f"{result.summary()}\n  That interval is not to be trusted here; {name} would be."
    interval = ""
    if values["ci_low"] is not None and values["ci_high"] is not None:
        interval = f"95 % interval {values['ci_low']:.4g} to {values['ci_high']:.4g}, "
    return (
        f"{result.estimator}: {result.estimate:.6g} ({name}: {interval}p = {values['p_value']:.3g}); "
        f"{result.n_obs:,} rows, {result.n_units:,} units, {result.n_treated:,} treated, {result.n_clusters:,} clusters"
    )
