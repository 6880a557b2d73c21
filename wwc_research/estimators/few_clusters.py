"""Which inference to trust with few treated places: a rule declared beforehand, in words for the page.

In: counts of clusters. Out: `SmallSample`. No estimator.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final, Literal

from wwc_research.errors import Faults
from wwc_research.messages import Message, counted, message

Method = Literal["randomisation", "cr2", "cluster"]

# Bounds of the rule, in clusters of the scarcer kind (treated or not). Measured: benchmarks/inference.md.
FEWEST_FOR_CR2: Final = 3  # fewer were not measured
FEWEST_FOR_ERRORS: Final = 5  # below: CR1 and the jackknife reject too often, the wild bootstrap next to never
FEWEST_FOR_CLUSTER: Final = 30  # from here on cluster-robust t is close to its size


@dataclass(frozen=True, slots=True, kw_only=True)
class SmallSample:
    """The inference to trust, and why.

    Attributes
    ----------
    method
        `randomisation`: inference by lot; `cr2`: bias-reduced errors with Satterthwaite degrees of freedom;
        `cluster`: cluster-robust errors.
    alongside
        The second opinion to print beside it; None where nothing else is to be trusted.
    n_treated, n_clusters, effective
        Counts that decided: treated clusters, all clusters, effective clusters (NaN where not known).
    counts
        The counts that decided, as the clause that `why` begins with.
    why
        One or two sentences for the page.
    """

    method: Method
    alongside: Method | None
    n_treated: int
    n_clusters: int
    effective: float
    counts: str
    why: str


def small_sample_rule(*, n_treated: int, n_clusters: int, effective: float = math.nan) -> SmallSample:
    """The inference to trust for that many treated clusters among all.

    What counts is the scarcer of treated and untreated clusters, and the effective number of clusters where it is
    smaller still: two large clusters can decide what thirty seem to. MacKinnon and Webb (2018), "The wild bootstrap
    for few (treated) clusters", Econometrics Journal 21(2); shares of false findings by number treated in
    benchmarks/inference.md.

    Parameters
    ----------
    n_treated, n_clusters
        Clusters with at least one treated unit; all clusters.
    effective
        Effective number of clusters, from `leverage.effective_clusters`; NaN leaves it out.

    Raises
    ------
    InputError
        For counts that cannot be.
    """
    faults = Faults(where="small_sample_rule")
    if n_clusters < 1:
        faults.add(f"n_clusters = {n_clusters}; there is at least one cluster.")
    if not 0 <= n_treated <= max(n_clusters, 0):
        faults.add(f"n_treated = {n_treated} of n_clusters = {n_clusters}; it lies between 0 and n_clusters.")
    if effective < 1:
        faults.add(f"effective = {effective}; it is 1 or more, or NaN where not known.")
    faults.raise_if_any()
    method, alongside, counts, why = _choice(n_treated, n_clusters, effective)
    return SmallSample(
        method=method,
        alongside=alongside,
        n_treated=n_treated,
        n_clusters=n_clusters,
        effective=effective,
        counts=counts,
        why=why,
    )


def _choice(n_treated: int, n_clusters: int, effective: float) -> tuple[Method, Method | None, Message, Message]:
    """Method, second opinion, the counts that decided, and why."""
    scarce = min(n_treated, n_clusters - n_treated)
    weight = scarce
    counts = _counts(scarce, n_clusters, treated=n_treated <= n_clusters - n_treated)
    if effective < scarce:
        weight = math.floor(effective)
        counts = message(
            "{counts}, and they decide the estimate no better than {effective:.1f} clusters of equal weight would",
            counts=counts,
            effective=effective,
        )
    if weight < FEWEST_FOR_ERRORS:
        why = message(
            "{counts}. With fewer than {fewest} the usual standard errors report effects that are not there far too "
            "often and the wild bootstrap finds next to none that are; the comparison with placebo assignments drawn "
            "by lot keeps its promise.",
            counts=counts,
            fewest=FEWEST_FOR_ERRORS,
        )
        return "randomisation", "cr2" if weight >= FEWEST_FOR_CR2 else None, counts, why
    if weight < FEWEST_FOR_CLUSTER:
        why = message(
            "{counts}. With fewer than {fewest} the usual clustered standard errors are too small; the comparison with "
            "placebo assignments drawn by lot is trusted, and bias-reduced errors with Satterthwaite degrees of "
            "freedom stand beside it.",
            counts=counts,
            fewest=FEWEST_FOR_CLUSTER,
        )
        return "randomisation", "cr2", counts, why
    why = message(
        "{counts}: enough for clustered standard errors; the comparison with placebo assignments drawn by lot stands "
        "beside them.",
        counts=counts,
    )
    return "cluster", "randomisation", counts, why


def _counts(scarce: int, n_clusters: int, *, treated: bool) -> Message:
    if treated:
        return counted(
            "{n} of {n_clusters} clusters is treated",
            "{n} of {n_clusters} clusters are treated",
            n=scarce,
            n_clusters=n_clusters,
        )
    return counted(
        "{n} of {n_clusters} clusters is untreated",
        "{n} of {n_clusters} clusters are untreated",
        n=scarce,
        n_clusters=n_clusters,
    )
