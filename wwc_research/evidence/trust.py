"""Which inference a sample allows, by the declared rule, and the comparison with lots where the rule asks for it.

In: a Sample and an estimator. Out: `SmallSample`, and plain values for an answer.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

import numpy as np

from wwc_research.design.sample import Sample
from wwc_research.errors import EstimationError
from wwc_research.estimators.estimate import Estimate
from wwc_research.estimators.few_clusters import SmallSample, small_sample_rule
from wwc_research.estimators.leverage import effective_clusters
from wwc_research.estimators.permutation import Level, permutation_test
from wwc_research.estimators.rows import coded_rows

LOTS_BY_RULE: Final = 199  # drawn where the rule asks for lots and the user says nothing
MOST_ROWS_BY_RULE: Final = 20_000  # beyond that the user has to ask, since it takes minutes


def inference_allowed(sample: Sample) -> SmallSample:
    """The inference to trust for this sample, from its treated, all and effective clusters.

    Effective clusters are those of a regression of the outcome on exposure with unit and time effects.
    """
    rows = coded_rows(sample)
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
    return small_sample_rule(
        n_treated=int(np.unique(rows.cluster[exposed]).size), n_clusters=rows.n_clusters, effective=effective
    )


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


def by_lot(
    sample: Sample, *, estimator: Callable[[Sample], Estimate], lots: int, seed: int, interval: bool
) -> dict[str, Any]:
    """The share of assignments drawn by lot that do as much as the real one, as plain values.

    Whole clusters are dealt anew where all units of a cluster share one exposure, single units elsewhere.
    """
    level: Level = "cluster" if _is_dealt_by_cluster(sample) else "unit"
    found = permutation_test(
        sample,
        estimator=estimator,
        generator=np.random.default_rng(seed),
        draws=lots,
        by=level,
        interval=interval,
    )
    values = {"p_value": found.p_value, "ci_low": found.ci_low, "ci_high": found.ci_high}
    known = {name: float(value) if np.isfinite(value) else None for name, value in values.items()}
    return {**known, "draws": found.draws, "dealt_by": level, "seed": seed}


def _is_dealt_by_cluster(sample: Sample) -> bool:
    units = sample.frame.drop_duplicates("unit")
    if units["cluster"].nunique() == len(units):
        return False
    return bool((units.groupby("cluster")["cohort"].nunique(dropna=False) == 1).all())
