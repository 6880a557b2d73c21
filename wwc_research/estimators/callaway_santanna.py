r"""Callaway and Sant'Anna: the effect on every cohort at every time, then averages of those.

**Estimand.** $ATT(g,t)$: the effect at time $t$ on units first exposed at $g$. Averages by `aggregation`:
`simple` (over all cohorts and times after exposure, by cohort size), `group` (over cohorts, each the mean of
its times), `calendar` (over times, each the mean of the cohorts exposed by then), `dynamic` (over event
times 0 and later). `balance_at` $= e$ keeps the event study to event times up to $e$ and to cohorts that have
an effect at every one of them, so that it does not change its cohorts from term to term.

**Assumptions.** Parallel trends between each cohort and its comparison units, given covariates where there
are any; no effect before exposure less the anticipation; overlap. Exposure is absorbing: once exposed,
always counted so. For repeated cross-sections also: who is sampled does not change over time.

**Equation.** Without covariates $ATT(g,t) = E[Y_t - Y_b \mid G = g] - E[Y_t - Y_b \mid C]$; $b$ is the
latest observed time before $g$ less the anticipation; $C$ the never exposed, or all not exposed by
$\max(t,b)$ plus the anticipation. With covariates doubly robust (`dr`), outcome regression (`reg`) or
normalised inverse probability weighting (`ipw`), on covariates and weights of the earlier of the two
periods. Before exposure `varying` takes the time just before $t$ as base, `universal` the same $b$. With
`panel = "repeated_cross_sections"` every row is another unit: means of levels in both periods take the place
of mean changes, with each row's own covariates, and `dr` has an outcome model in all four groups.

**Standard errors.** `analytic`: from influence functions, those of the estimated cohort shares included,
summed within the sample's clusters, no small-sample factor, normal inference, as in R's did. `bootstrap`:
the same influence functions times random two-point weights of Mammen, one a cluster and draw; the standard
error is the interquartile range of the draws over that of the normal; event-study terms then carry a
critical value for their simultaneous 95 % band, from the largest absolute t value over the terms. The
pre-trend test is analytic under both: a joint Wald test over all $ATT(g,t)$ before exposure less the
anticipation (`pre_trend = "leads"`: over the event-study terms), its covariance inverted on its range. Small
cohorts make these covariances too small: with cohorts of 9, 4, 6 and 27 units the first test rejects more than
half of true nulls at the 5 % level, the second one in seven (`benchmarks/coverage.md`). The bootstrap does not
mend that: it redraws the same influence functions.

**Edge cases.** Units without an observed past are left out and counted; cells without comparison units, with
collinear covariates or without overlap are skipped and counted. Overlap is a fixed rule: a cell is skipped
where a fitted probability of exposure reaches 0.999, and comparison units from 0.995 up get no weight; small
probabilities, which are the rule with small cohorts, are never trimmed. A cohort of fewer than 5 units has an
estimate, but its standard error is too small (a single unit adds nothing to it): `settings["warnings"]` says
so. Counts of a cell are of units observed in both periods; with cross-sections the smaller period's. A band is
never narrower than the interval of a single term.

**Reference.** Callaway and Sant'Anna (2021), "Difference-in-differences with multiple time periods", Journal
of Econometrics 225(2); Sant'Anna and Zhao (2020), Journal of Econometrics 219(1). Numbers: did 2.5.1 on
mpdta; for repeated cross-sections, balanced event studies and clusters above the unit csdid 0.4.3 on mpdta.

**Deviations.** From R's did: (1) A missing wave or unit-year costs only the cells that need it: each cell
uses the units observed in both its periods, where did drops units or treats them as repeated cross-sections.
Event times are in calendar units: a cohort first exposed in a year without data starts at event time 1. (2)
With anticipation of two or more, times inside the window keep the long base. (3) Units first exposed after
the last period are compared under `not_yet` only, where did counts them as never exposed. (4) With nobody
never exposed the last cohort keeps its cells before exposure. (5) The bootstrap sums influence functions
within clusters, and one set of draws serves the cells, the event study and the average; the default is
analytic. (6) Rows of one unit in several cross-sections are told apart as rows and tied by their cluster.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np

from wwc_research.design.sample import Sample
from wwc_research.errors import EstimationError, Faults, listed
from wwc_research.estimators import linear
from wwc_research.estimators.absorption import Codes, Floats
from wwc_research.estimators.estimate import Estimate, EventTerm, GroupTimeTerm
from wwc_research.estimators.group_time import (
    BasePeriod,
    GroupTimeEffects,
    PanelKind,
    cross_section_rows,
    group_time_effects,
)
from wwc_research.estimators.multiplier_bootstrap import FEWEST_DRAWS, multiplier_bootstrap
from wwc_research.estimators.options import Option, checked
from wwc_research.estimators.rows import Mask, Rows, read_rows
from wwc_research.estimators.two_by_two import ADJUSTMENTS, Adjustment
from wwc_research.inference import NAN
from wwc_research.messages import counted, message

__all__ = ["NAME", "OPTIONS", "Aggregate", "aggregate", "estimate", "group_time_effects"]

Aggregation = Literal["simple", "group", "calendar", "dynamic"]
PreTrend = Literal["cells", "leads"]
StdErrors = Literal["analytic", "bootstrap"]
NAME = "callaway_santanna"
FEW_UNITS = 5
FEW_FOR_JOINT_TEST = 10
OPTIONS = (
    Option(
        name="aggregation",
        meaning="which average of the cohort-time effects is the overall estimate.",
        default="simple",
        allowed=get_args(Aggregation),
    ),
    Option(name="adjustment", meaning="how covariates enter.", default="dr", allowed=ADJUSTMENTS),
    Option(
        name="base_period",
        meaning="what times before exposure are measured against.",
        default="varying",
        allowed=get_args(BasePeriod),
    ),
    Option(
        name="balance_at",
        meaning="event time up to which every cohort in the event study has an effect; by default all cohorts are in.",
    ),
    Option(
        name="panel",
        meaning="whether the same units are seen over time, or other units in every period.",
        default="yes",
        allowed=get_args(PanelKind),
    ),
    Option(
        name="std_errors",
        meaning="from influence functions alone, or from a multiplier bootstrap with simultaneous bands.",
        default="analytic",
        allowed=get_args(StdErrors),
    ),
    Option(name="draws", meaning="how many times the bootstrap draws.", default=999),
    Option(name="seed", meaning="where the bootstrap's random numbers start.", default=0),
    Option(
        name="pre_trend",
        meaning="what the joint pre-trend test takes together.",
        default="cells",
        allowed=get_args(PreTrend),
    ),
)
_ESTIMANDS = {
    "simple": message("effect on the exposed, averaged over cohorts and times after exposure by cohort size"),
    "group": message("effect on the exposed, averaged within each cohort, then over cohorts by size"),
    "calendar": message("effect on the exposed, averaged over cohorts at each time, then over times"),
    "dynamic": message("effect on the exposed, averaged over cohorts at each event time, then over event times"),
}
_CONVENTIONS: dict[str, str] = {
    "analytic": "influence functions summed by cluster, normal",
    "bootstrap": "influence functions summed by cluster times Mammen weights, interquartile range, normal",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Aggregate:
    """An average of cohort-time effects, and the terms it is made of.

    Attributes
    ----------
    estimate, std_error
        Of the average.
    influence
        Of each member on the average, shape (members,).
    at
        What the terms belong to: cohorts, times or event times; empty for `simple`.
    term_estimates, term_std_errors
        Shape (terms,).
    term_influence
        Of each member on each term, shape (members, terms).
    """

    estimate: float
    std_error: float
    influence: Floats
    at: tuple[int, ...]
    term_estimates: tuple[float, ...]
    term_std_errors: tuple[float, ...]
    term_influence: Floats


@dataclass(frozen=True, slots=True, kw_only=True)
class _Errors:
    """Standard errors of the average, the event study and the cells, and the band's critical value."""

    overall: float
    terms: Floats
    cells: Floats
    critical_value: float = NAN


def estimate(
    sample: Sample,
    *,
    aggregation: Aggregation | None = None,
    adjustment: Adjustment | None = None,
    base_period: BasePeriod | None = None,
    balance_at: int | None = None,
    panel: PanelKind | None = None,
    std_errors: StdErrors | None = None,
    draws: int | None = None,
    seed: int | None = None,
    pre_trend: PreTrend | None = None,
) -> Estimate:
    """The average effect on the exposed, with the event study and every cohort-time effect.

    Parameters
    ----------
    sample
        Checked rows; `weight`, `covariates`, `comparison`, `anticipation` and `cluster` are honoured.
    aggregation
        `simple` (default), `group`, `calendar` or `dynamic`; the event study is always the dynamic terms.
    adjustment
        `dr` (default), `reg` or `ipw`; without covariates they are the same.
    base_period
        `varying` (default) or `universal`.
    balance_at
        Last event time of a balanced event study (and of `aggregation = "dynamic"`): only cohorts that have an
        effect at every event time from 0 to it. By default every cohort as far as it goes.
    panel
        `yes` (default), or `repeated_cross_sections` where every period has other units.
    std_errors
        `analytic` (default), or `bootstrap`, which adds simultaneous bands to the event study.
    draws, seed
        Of the bootstrap: 999 and 0 by default.
    pre_trend
        `cells` (default, as in R's did): the joint test is of every cohort and time before exposure; `leads`:
        of the event-study terms before exposure, the one to read where cohorts are small.

    Raises
    ------
    InputError
        For options that are not offered; where a unit of a panel changes its cluster.
    EstimationError
        Where no cell after exposure has an effect, or no cohort goes as far as `balance_at`.
    """
    given = {
        "aggregation": aggregation,
        "adjustment": adjustment,
        "base_period": base_period,
        "balance_at": balance_at,
        "panel": panel,
        "std_errors": std_errors,
        "draws": draws,
        "seed": seed,
        "pre_trend": pre_trend,
    }
    options = checked(given, declared=OPTIONS, estimator=NAME)
    _refuse_numbers_out_of_range(balance_at=balance_at, draws=draws, seed=seed)
    rows = read_rows(sample) if panel != "repeated_cross_sections" else cross_section_rows(sample)
    effects = group_time_effects(
        rows, adjustment=adjustment or "dr", base_period=base_period or "varying", panel=panel or "yes"
    )
    dynamic = aggregate(effects, by="dynamic", balance_at=balance_at)
    overall = dynamic if aggregation == "dynamic" else aggregate(effects, by=aggregation or "simple")
    errors = _analytic(effects, overall, dynamic)
    statistic, restrictions = _pre_trend_test(
        effects, errors, dynamic, by=pre_trend or "cells", anticipation=rows.anticipation
    )
    if std_errors == "bootstrap":
        errors = _bootstrapped(
            effects, overall, dynamic, draws=999 if draws is None else draws, generator=np.random.default_rng(seed or 0)
        )
    in_use = effects.is_used
    return Estimate(
        estimator=NAME,
        estimand=_estimand(aggregation or "simple", balance_at),
        estimate=overall.estimate,
        std_error=errors.overall,
        n_obs=int(in_use.sum()),
        n_units=_distinct(rows.unit[in_use]),
        n_treated=_distinct(rows.unit[effects.is_contributing]),
        n_clusters=_distinct(rows.cluster[in_use]),
        event_study=_event_terms(dynamic, errors),
        group_time=_group_time_terms(effects, errors.cells),
        pre_trend_statistic=statistic,
        pre_trend_restrictions=restrictions,
        exclusions=(*_unused(rows, effects).exclusions, *effects.skipped),
        settings={
            **sample.settings,
            **options,
            "comparison": rows.comparison,
            "anticipation": rows.anticipation,
            "covariates": list(rows.covariate_names),
            "std_error_convention": _CONVENTIONS[std_errors or "analytic"],
            "band_critical_value": errors.critical_value if np.isfinite(errors.critical_value) else None,
            "warnings": list(_warnings(effects, pre_trend=pre_trend or "cells")),
        },
    )


def aggregate(effects: GroupTimeEffects, *, by: Aggregation, balance_at: int | None = None) -> Aggregate:
    """The average of cohort-time effects asked for, with its terms (Callaway and Sant'Anna 2021, section 3).

    Parameters
    ----------
    effects
        From `group_time_effects`.
    by
        `simple`, `group`, `calendar` or `dynamic`.
    balance_at
        For `dynamic`: the last event time of a balanced event study.

    Raises
    ------
    EstimationError
        Where no cohort has an effect at every event time up to `balance_at`.
    """
    after = effects.time >= effects.cohort
    if by == "simple":
        value, influence = _share_weighted(effects, cells=np.flatnonzero(after))
        nothing = np.zeros(0)
        return _aggregate(effects, value, influence, at=nothing, values=nothing, influences=effects.influence[:, :0])
    label = np.asarray({"group": effects.cohort, "calendar": effects.time, "dynamic": effects.event_time}[by], float)
    kept = after
    if by == "dynamic":
        kept = np.ones(len(after), dtype=bool) if balance_at is None else _balanced(effects, until=balance_at)
    at = np.unique(label[kept])
    terms = [np.flatnonzero((label == value) & kept) for value in at]
    n = len(effects.influence)
    values, influences = np.zeros(len(at)), np.zeros((n, len(at)), order="F")
    for position, cells in enumerate(terms):
        if by == "group":  # a cohort's cells all have the same share, so its mean has no estimated weight
            values[position] = effects.effect[cells].mean()
            influences[:, position] = _weighted_sum(effects.influence, cells, np.full(len(cells), 1 / len(cells)))
        else:
            values[position], influences[:, position] = _share_weighted(effects, cells=cells)
    if by == "group":
        value, influence = _weighted_by_share(effects, values, influences, cohorts=at)
    else:
        counted = np.flatnonzero(at >= 0) if by == "dynamic" else np.arange(len(at))
        value = float(values[counted].mean())
        influence = _weighted_sum(influences, counted, np.full(len(counted), 1 / len(counted)))
    return _aggregate(effects, value, influence, at=at, values=values, influences=influences)


def _balanced(effects: GroupTimeEffects, *, until: int) -> Mask:
    """Cells of the cohorts that have an effect at every event time 0..until that any cohort has, up to `until`.

    Leads go back as far as the last cohort that can be in would have them, as with did's balance_e.
    """
    first, last = min(effects.time.min(), effects.base.min()), effects.time.max()
    event_time = effects.event_time
    reaches = last - effects.cohort >= until
    after = reaches & (event_time >= 0) & (event_time <= until)
    needed = np.unique(event_time[after])
    whole = [
        cohort
        for cohort in np.unique(effects.cohort[reaches])
        if len(needed) and np.isin(needed, event_time[after & (effects.cohort == cohort)]).all()
    ]
    if not whole:
        raise EstimationError(
            message(
                "{estimator}: no cohort has an effect at every event time from 0 to {until}; the last time is "
                "{last:.0f} and the cohorts are {cohorts}. Take a smaller balance_at.",
                estimator=NAME,
                until=until,
                last=last,
                cohorts=listed([f"{cohort:.0f}" for cohort in np.unique(effects.cohort)], limit=20),
            )
        )
    kept = np.isin(effects.cohort, whole) & (event_time <= until) & (event_time >= until - last + first)
    return np.asarray(kept, dtype=bool)


def _aggregate(
    effects: GroupTimeEffects, value: float, influence: Floats, *, at: Floats, values: Floats, influences: Floats
) -> Aggregate:
    """The value with standard errors for it and for its terms."""
    errors = effects.std_errors(influences)
    return Aggregate(
        estimate=value,
        std_error=float(effects.std_errors(influence[:, None])[0]),
        influence=influence,
        at=tuple(int(entry) for entry in at),
        term_estimates=tuple(float(entry) for entry in values),
        term_std_errors=tuple(float(entry) for entry in errors),
        term_influence=influences,
    )


def _share_weighted(effects: GroupTimeEffects, *, cells: Codes) -> tuple[float, Floats]:
    return _weighted_by_share(
        effects, effects.effect[cells], effects.influence, cohorts=effects.cohort[cells], columns=cells
    )


def _weighted_by_share(
    effects: GroupTimeEffects, values: Floats, influences: Floats, *, cohorts: Floats, columns: Codes | None = None
) -> tuple[float, Floats]:
    """Mean of `values` by the size of their cohorts, and its influence with that of the estimated sizes."""
    members = effects.members
    position = np.searchsorted(members.cohorts, cohorts)
    share = members.shares[position]
    total = share.sum()
    mean = float(values @ share / total)
    per_cohort = np.bincount(position, weights=values - mean, minlength=len(members.cohorts)) / total
    influence = _weighted_sum(influences, np.arange(len(values)) if columns is None else columns, share / total)
    influence += members.share_weight * per_cohort[members.cohort_code] - members.shares @ per_cohort
    return mean, influence


def _weighted_sum(influences: Floats, columns: Codes, weights: Floats) -> Floats:
    """A weighted sum of columns, one at a time: no copy of the matrix, and no bit depends on its other columns."""
    total = np.zeros(len(influences))
    for column, weight in zip(columns, weights, strict=True):
        total += weight * influences[:, column]
    return total


def _analytic(effects: GroupTimeEffects, overall: Aggregate, dynamic: Aggregate) -> _Errors:
    return _Errors(
        overall=overall.std_error,
        terms=np.array(dynamic.term_std_errors),
        cells=effects.std_errors(effects.influence),
    )


def _bootstrapped(
    effects: GroupTimeEffects, overall: Aggregate, dynamic: Aggregate, *, draws: int, generator: np.random.Generator
) -> _Errors:
    """Errors from one set of draws for the average, the event study and the cells, in this order of columns."""
    parts = [overall.influence[:, None], dynamic.term_influence, effects.influence]
    sums = [effects.members.cluster_sums(part) for part in parts]
    spread = multiplier_bootstrap(sums, n_units=len(effects.influence), draws=draws, generator=generator)
    errors = effects.with_noise(spread.std_errors)
    terms = np.arange(1, 1 + len(dynamic.at))
    noisy = [int(column) for column in terms if np.isfinite(errors[column])]
    return _Errors(
        overall=float(errors[0]),
        terms=errors[terms],
        cells=errors[1 + len(dynamic.at) :],
        critical_value=spread.critical_value(noisy),
    )


def _refuse_numbers_out_of_range(*, balance_at: int | None, draws: int | None, seed: int | None) -> None:
    faults = Faults(where=f"options of {NAME}")
    if balance_at is not None and balance_at < 0:
        faults.add(f"balance_at = {balance_at}; it is an event time, 0 or later.")
    if draws is not None and draws < FEWEST_DRAWS:
        faults.add(f"draws = {draws} is too few to tell the tails; take {FEWEST_DRAWS} or more.")
    if seed is not None and seed < 0:
        faults.add(f"seed = {seed}; it is 0 or more.")
    faults.raise_if_any()


def _estimand(aggregation: Aggregation, balance_at: int | None) -> str:
    if aggregation != "dynamic" or balance_at is None:
        return _ESTIMANDS[aggregation]
    return message(
        "effect on the exposed, averaged over cohorts at each event time, then over event times up to {balance_at}, "
        "for the cohorts that have them all",
        balance_at=balance_at,
    )


def _distinct(codes: Codes) -> int:
    return int(np.count_nonzero(np.bincount(codes)))


def _unused(rows: Rows, effects: GroupTimeEffects) -> Rows:
    """The rows that are in some cell, with the others counted out."""
    return rows.without(~effects.is_used, reason=message("never observed in both periods of a comparison"))


def _event_terms(dynamic: Aggregate, errors: _Errors) -> tuple[EventTerm, ...]:
    return tuple(
        EventTerm(
            event_time=at,
            estimate=value,
            std_error=float(error),
            critical_value=errors.critical_value if np.isfinite(error) else NAN,
        )
        for at, value, error in zip(dynamic.at, dynamic.term_estimates, errors.terms, strict=True)
    )


def _group_time_terms(effects: GroupTimeEffects, errors: Floats) -> tuple[GroupTimeTerm, ...]:
    return tuple(
        GroupTimeTerm(
            cohort=int(cohort),
            time=int(time),
            estimate=float(effect),
            std_error=float(error),
            n_treated=int(n_treated),
            n_comparison=int(n_comparison),
        )
        for cohort, time, effect, error, n_treated, n_comparison in zip(
            effects.cohort,
            effects.time,
            effects.effect,
            errors,
            effects.n_treated,
            effects.n_comparison,
            strict=True,
        )
    )


def _pre_trend_test(
    effects: GroupTimeEffects, errors: _Errors, dynamic: Aggregate, *, by: PreTrend, anticipation: int
) -> tuple[float, int]:
    """Wald statistic that nothing happens before exposure less the anticipation, and its restrictions."""
    if by == "cells":
        used = np.flatnonzero(np.isfinite(errors.cells) & (effects.event_time < -anticipation))
        return linear.wald_statistic(effects.effect[used], effects.covariance(effects.influence, used))
    used = np.flatnonzero(np.isfinite(errors.terms) & (np.array(dynamic.at) < -anticipation))
    values = np.array(dynamic.term_estimates)[used]
    return linear.wald_statistic(values, effects.covariance(dynamic.term_influence, used))


def _warnings(effects: GroupTimeEffects, *, pre_trend: PreTrend) -> Iterator[str]:
    """What a reader must know about cells that rest on few units."""
    size = {cohort: _cohort_size(effects, cohort) for cohort in np.unique(effects.cohort)}
    for cohort, n in size.items():
        if n < FEW_UNITS:
            yield counted(
                "cohort {cohort:.0f} has {n} exposed unit: its standard errors are too small.",
                "cohort {cohort:.0f} has {n} exposed units: its standard errors are too small.",
                cohort=cohort,
                n=n,
            )
    thin = effects.n_comparison < FEW_UNITS
    if thin.any():
        yield (
            message(
                "{thin} of the cohort-time effects rest on fewer than {fewest} comparison units; their standard "
                "errors are too small.",
                thin=int(thin.sum()),
                fewest=FEW_UNITS,
            )
        )
    before = np.unique(effects.cohort[effects.event_time < 0])
    small = [f"{cohort:.0f}" for cohort in before if size[cohort] < FEW_FOR_JOINT_TEST]
    if small and pre_trend == "cells":
        yield (
            message(
                "the joint pre-trend test rests on cohorts of fewer than {fewest} units ({cohorts}): it rejects "
                "far too often and is not to be trusted with cohorts this small.",
                fewest=FEW_FOR_JOINT_TEST,
                cohorts=listed(small),
            )
        )


def _cohort_size(effects: GroupTimeEffects, cohort: float) -> int:
    """Its units; with cross-sections, where rows outnumber what any period has, the most in any cell."""
    return int(effects.n_treated[effects.cohort == cohort].max())
