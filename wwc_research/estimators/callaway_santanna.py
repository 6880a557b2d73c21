r"""Callaway and Sant'Anna: the effect on every cohort at every time, then averages of those.

**Estimand.** $ATT(g,t)$: the effect at time $t$ on units first exposed at $g$. Averages by `aggregation`:
`simple` (over all cohorts and times after exposure, by cohort size), `group` (over cohorts, each the mean of
its times), `calendar` (over times, each the mean of the cohorts exposed by then), `dynamic` (over event
times 0 and later).

**Assumptions.** Parallel trends between each cohort and its comparison units, given covariates where there
are any; no effect before exposure less the anticipation; overlap. Exposure is absorbing: once exposed,
always counted so.

**Equation.** Without covariates $ATT(g,t) = E[Y_t - Y_b \mid G = g] - E[Y_t - Y_b \mid C]$; $b$ is the
latest observed time before $g$ less the anticipation; $C$ the never exposed, or all not exposed by
$\max(t,b)$ plus the anticipation. With covariates doubly robust (`dr`), outcome regression (`reg`) or
normalised inverse probability weighting (`ipw`), on covariates and weights of the earlier of the two
periods. Before exposure `varying` takes the time just before $t$ as base, `universal` the same $b$.

**Standard errors.** Analytic, from influence functions, those of the estimated cohort shares included;
summed within the sample's clusters, no small-sample factor, normal inference, as in R's did. The pre-trend
test is a joint Wald test over all $ATT(g,t)$ before exposure less the anticipation (`pre_trend = "leads"`:
over the event-study terms), its covariance inverted on its range. Small cohorts make these covariances too
small: with cohorts of 9, 4, 6 and 27 units the first test rejects more than half of true nulls at the 5 %
level, the second one in seven (`benchmarks/coverage.md`).

**Edge cases.** Units without an observed past are left out and counted; cells without comparison units, with
collinear covariates or without overlap are skipped and counted. A cohort of fewer than 5 units has an
estimate, but its standard error is too small (a single unit adds nothing to it): `settings["warnings"]` says
so.

**Reference.** Callaway and Sant'Anna (2021), "Difference-in-differences with multiple time periods", Journal
of Econometrics 225(2); Sant'Anna and Zhao (2020), Journal of Econometrics 219(1). Numbers: did 2.5.1 on
mpdta.

**Deviations.** From R's did: (1) A missing wave or unit-year costs only the cells that need it: each cell
uses the units observed in both its periods, where did drops units or treats them as repeated cross-sections.
Event times are in calendar units: a cohort first exposed in a year without data starts at event time 1. (2)
With anticipation of two or more, times inside the window keep the long base. (3) Units first exposed after
the last period are compared under `not_yet` only, where did counts them as never exposed. (4) With nobody
never exposed the last cohort keeps its cells before exposure.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np

from wwc_research.design.sample import Exclusion, Sample
from wwc_research.errors import EstimationError, InputError, listed
from wwc_research.estimators import linear
from wwc_research.estimators.estimate import Estimate, EventTerm, GroupTimeTerm
from wwc_research.estimators.linear import Codes, Floats
from wwc_research.estimators.options import Option, checked
from wwc_research.estimators.rows import Mask, Rows, read_rows
from wwc_research.estimators.two_by_two import ADJUSTMENTS, Adjustment, Contrast, Undefined, contrast

Aggregation = Literal["simple", "group", "calendar", "dynamic"]
BasePeriod = Literal["varying", "universal"]
PreTrend = Literal["cells", "leads"]
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
        name="pre_trend",
        meaning="what the joint pre-trend test takes together.",
        default="cells",
        allowed=get_args(PreTrend),
    ),
)
_ESTIMANDS = {
    "simple": "effect on the exposed, averaged over cohorts and times after exposure by cohort size",
    "group": "effect on the exposed, averaged within each cohort, then over cohorts by size",
    "calendar": "effect on the exposed, averaged over cohorts at each time, then over times",
    "dynamic": "effect on the exposed, averaged over cohorts at each event time, then over event times",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Units:
    """The panel by units: what does not change, shape (units,), and what does, shape (units, times).

    `outcome` is NaN where a unit is not observed; `covariates` has shape (units, times, covariates);
    `share_weight` is the weight in the unit's first row, which cohort sizes are counted in; `times` is in
    calendar units.
    """

    cohort: Floats
    cluster: Codes
    share_weight: Floats
    times: Codes
    outcome: Floats
    weight: Floats
    covariates: Floats


@dataclass(frozen=True, slots=True, kw_only=True)
class GroupTimeEffects:
    """Effects by cohort and time, one entry a cell, and the influence of each unit on each.

    Attributes
    ----------
    cohort, time, base, effect, n_treated, n_comparison
        Shape (cells,).
    influence
        Shape (units, cells): the covariance is the cross product of cluster sums over units squared.
    units
        The panel that they come from.
    is_used
        Shape (units,): whether the unit is in any cell.
    skipped
        Cells that have no effect, by cohort and reason.
    """

    cohort: Floats
    time: Codes
    base: Codes
    effect: Floats
    n_treated: Codes
    n_comparison: Codes
    influence: Floats
    units: Units
    is_used: Mask
    skipped: tuple[Exclusion, ...]

    @property
    def event_time(self) -> Floats:
        """Time since exposure, in calendar units."""
        return self.time - self.cohort

    def covariance(self, influence: Floats) -> Floats:
        """Covariance of estimates with these influence functions, shape (units, estimates)."""
        cluster = self.units.cluster
        sums = linear.group_sums(influence, groups=cluster, n_groups=int(cluster.max()) + 1)
        product: Floats = sums.T @ sums / len(influence) ** 2
        return product

    def std_errors(self, influence: Floats) -> Floats:
        """Standard errors, NaN where the outcome leaves no noise to speak of."""
        rounding = 1e-12 * float(np.nanmax(np.abs(self.units.outcome), initial=0.0))
        errors = np.sqrt(np.diag(self.covariance(influence)))
        return np.where(errors > rounding, errors, np.nan)


@dataclass(frozen=True, slots=True, kw_only=True)
class Aggregate:
    """An average of cohort-time effects, and the terms it is made of.

    Attributes
    ----------
    estimate, std_error
        Of the average.
    influence
        Of each unit on the average, shape (units,).
    at
        What the terms belong to: cohorts, times or event times; empty for `simple`.
    term_estimates, term_std_errors
        Shape (terms,).
    term_influence
        Of each unit on each term, shape (units, terms).
    """

    estimate: float
    std_error: float
    influence: Floats
    at: tuple[int, ...]
    term_estimates: tuple[float, ...]
    term_std_errors: tuple[float, ...]
    term_influence: Floats


def estimate(
    sample: Sample,
    *,
    aggregation: Aggregation | None = None,
    adjustment: Adjustment | None = None,
    base_period: BasePeriod | None = None,
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
    pre_trend
        `cells` (default, as in R's did): the joint test is of every cohort and time before exposure; `leads`:
        of the event-study terms before exposure, the one to read where cohorts are small.

    Raises
    ------
    EstimationError
        Where no cell after exposure has an effect.
    """
    given = {
        "aggregation": aggregation,
        "adjustment": adjustment,
        "base_period": base_period,
        "pre_trend": pre_trend,
    }
    options = checked(given, declared=OPTIONS, estimator=NAME)
    rows = read_rows(sample)
    effects = group_time_effects(rows, adjustment=adjustment or "dr", base_period=base_period or "varying")
    overall = aggregate(effects, by=aggregation or "simple")
    dynamic = aggregate(effects, by="dynamic")
    cell_errors = effects.std_errors(effects.influence)
    statistic, restrictions = _pre_trend_test(
        effects, cell_errors, dynamic, by=pre_trend or "cells", anticipation=rows.anticipation
    )
    in_use = rows.of_units(effects.is_used)
    return Estimate(
        estimator=NAME,
        estimand=_ESTIMANDS[aggregation or "simple"],
        estimate=overall.estimate,
        std_error=overall.std_error,
        n_obs=int(in_use.sum()),
        n_units=int(effects.is_used.sum()),
        n_treated=int(np.unique(rows.unit[in_use & rows.is_exposed]).size),
        n_clusters=int(np.unique(rows.cluster[in_use]).size),
        event_study=tuple(
            EventTerm(event_time=at, estimate=value, std_error=error)
            for at, value, error in zip(dynamic.at, dynamic.term_estimates, dynamic.term_std_errors, strict=True)
        ),
        group_time=_group_time_terms(effects, cell_errors),
        pre_trend_statistic=statistic,
        pre_trend_restrictions=restrictions,
        exclusions=(*_unused(rows, effects).exclusions, *effects.skipped),
        settings={
            **sample.settings,
            **options,
            "comparison": rows.comparison,
            "anticipation": rows.anticipation,
            "covariates": list(rows.covariate_names),
            "std_errors": "influence functions summed by cluster, normal",
            "warnings": list(_warnings(effects, pre_trend=pre_trend or "cells")),
        },
    )


def group_time_effects(
    rows: Rows, *, adjustment: Adjustment = "dr", base_period: BasePeriod = "varying"
) -> GroupTimeEffects:
    """The effect on every cohort at every time that has one, with influence functions.

    Raises
    ------
    EstimationError
        Where no cell after exposure has an effect.
    InputError
        Where a unit changes its cluster.
    """
    units = _units(rows)
    n = len(units.cohort)
    used = np.zeros(n, dtype=bool)
    cells: list[tuple[float, int, int, float, int, int]] = []
    influences: list[Floats] = []
    skipped: dict[tuple[float, str], list[int]] = {}
    for cohort, now, base in _cells(units, anticipation=rows.anticipation, base_period=base_period):
        time, base_time = int(units.times[now]), int(units.times[base])
        treated, compared = _groups(units, cohort=cohort, now=now, base=base, rows=rows)
        counts = int(treated.sum()), int(compared.sum())
        if now == base:
            cells.append((cohort, time, base_time, 0.0, *counts))
            influences.append(np.zeros(n))
            continue
        result = _contrast(units, treated, compared, now=now, base=base, adjustment=adjustment)
        if isinstance(result, Undefined):
            skipped.setdefault((cohort, result.reason), []).append(now)
            continue
        members = treated | compared
        influence = np.zeros(n)
        influence[members] = result.influence * (n / sum(counts))
        used |= members
        cells.append((cohort, time, base_time, result.effect, *counts))
        influences.append(influence)
    exclusions = tuple(_skipped(units, skipped))
    if not any(time >= cohort for cohort, time, *_ in cells):
        reasons = "; ".join(exclusion.reason for exclusion in exclusions) or "no period after exposure"
        raise EstimationError(
            f"{NAME}: no cohort has an effect after exposure ({reasons}). Add places to compare with, take "
            "comparison = not_yet, use fewer covariates, or widen the window."
        )
    cohort_, time_, base_, effect_, treated_, compared_ = (np.array(column) for column in zip(*cells, strict=True))
    return GroupTimeEffects(
        cohort=cohort_,
        time=time_,
        base=base_,
        effect=effect_,
        n_treated=treated_,
        n_comparison=compared_,
        influence=np.column_stack(influences),
        units=units,
        is_used=used,
        skipped=exclusions,
    )


def aggregate(effects: GroupTimeEffects, *, by: Aggregation) -> Aggregate:
    """The average of cohort-time effects asked for, with its terms (Callaway and Sant'Anna 2021, section 3).

    Parameters
    ----------
    effects
        From `group_time_effects`.
    by
        `simple`, `group`, `calendar` or `dynamic`.
    """
    after = effects.time >= effects.cohort
    if by == "simple":
        value, influence = _share_weighted(effects, cells=np.flatnonzero(after))
        nothing = np.zeros(0)
        return _aggregate(effects, value, influence, at=nothing, values=nothing, influences=effects.influence[:, :0])
    label = {"group": effects.cohort, "calendar": effects.time, "dynamic": effects.event_time}[by]
    at = np.unique(label if by == "dynamic" else label[after])
    terms = [np.flatnonzero((label == value) & (after | (by == "dynamic"))) for value in at]
    if by == "group":  # a cohort's cells all have the same share, so its mean has no estimated weight
        values = np.array([effects.effect[cells].mean() for cells in terms])
        influences = np.column_stack([effects.influence[:, cells].mean(axis=1) for cells in terms])
        value, influence = _weighted_by_share(effects, values, influences, cohorts=at)
    else:
        pairs = [_share_weighted(effects, cells=cells) for cells in terms]
        values = np.array([pair[0] for pair in pairs])
        influences = np.column_stack([pair[1] for pair in pairs])
        counted = at >= 0 if by == "dynamic" else np.ones(len(at), dtype=bool)
        value, influence = float(values[counted].mean()), influences[:, counted].mean(axis=1)
    return _aggregate(effects, value, influence, at=at, values=values, influences=influences)


def _aggregate(
    effects: GroupTimeEffects, value: float, influence: Floats, *, at: Floats, values: Floats, influences: Floats
) -> Aggregate:
    """The value with standard errors for it and for its terms."""
    errors = effects.std_errors(np.column_stack([influence, influences]))
    return Aggregate(
        estimate=value,
        std_error=float(errors[0]),
        influence=influence,
        at=tuple(int(entry) for entry in at),
        term_estimates=tuple(float(entry) for entry in values),
        term_std_errors=tuple(float(entry) for entry in errors[1:]),
        term_influence=influences,
    )


def _share_weighted(effects: GroupTimeEffects, *, cells: Codes) -> tuple[float, Floats]:
    return _weighted_by_share(
        effects, effects.effect[cells], effects.influence[:, cells], cohorts=effects.cohort[cells]
    )


def _weighted_by_share(
    effects: GroupTimeEffects, values: Floats, influences: Floats, *, cohorts: Floats
) -> tuple[float, Floats]:
    """Mean of `values` by the size of their cohorts, and its influence with that of the estimated sizes."""
    weight, unit_cohort = effects.units.share_weight, effects.units.cohort
    distinct, position = np.unique(cohorts, return_inverse=True)
    shares = np.array([weight[unit_cohort == cohort].sum() for cohort in distinct]) / len(weight)
    share = shares[position]
    total = share.sum()
    mean = float(values @ share / total)
    per_cohort = np.bincount(position, weights=values - mean) / total
    found = np.searchsorted(distinct, unit_cohort)
    found = np.where(found < len(distinct), found, 0)
    own = np.where(distinct[found] == unit_cohort, weight * per_cohort[found], 0.0)
    return mean, influences @ (share / total) + own - shares @ per_cohort


def _units(rows: Rows) -> Units:
    """The rows as one row a unit and one column a time."""
    period, times = rows.period, np.unique(rows.time)
    first = np.flatnonzero(np.diff(rows.unit, prepend=-1))
    cluster = rows.cluster[first]
    moved = np.unique(rows.unit[rows.cluster != cluster[rows.unit]])
    if moved.size:
        raise InputError(
            f"sample: {moved.size} units change their cluster over time; {NAME} needs each unit in one "
            "cluster: cluster at a level that contains whole units."
        )
    shape = (len(first), len(times))
    outcome, weight = np.full(shape, np.nan, order="F"), np.ones(shape, order="F")
    covariates = np.zeros((*shape, rows.covariates.shape[1]))
    outcome[rows.unit, period] = rows.outcome
    weight[rows.unit, period] = rows.weight
    covariates[rows.unit, period] = rows.covariates
    return Units(
        cohort=rows.cohort[first],
        cluster=cluster,
        share_weight=rows.weight[first],
        times=times,
        outcome=outcome,
        weight=weight,
        covariates=covariates,
    )


def _cells(units: Units, *, anticipation: int, base_period: BasePeriod) -> Iterator[tuple[float, int, int]]:
    """Cohort, position of the time and position of its base, for every cell that has a base."""
    times = units.times
    for cohort in np.unique(units.cohort[units.cohort <= times[-1]]):
        long_base = int(np.searchsorted(times, cohort - anticipation)) - 1
        for now in range(len(times)):
            is_clean = times[now] < cohort - anticipation
            if is_clean and base_period == "varying":
                if now > 0:
                    yield float(cohort), now, now - 1
            else:
                yield float(cohort), now, long_base


def _groups(units: Units, *, cohort: float, now: int, base: int, rows: Rows) -> tuple[Mask, Mask]:
    """Masks over units: the cohort, and those it is compared with, observed in both periods."""
    if rows.comparison == "never":
        compared = np.isinf(units.cohort)
    else:
        compared = units.cohort > units.times[max(now, base)] + rows.anticipation
    observed = np.isfinite(units.outcome[:, now]) & np.isfinite(units.outcome[:, base])
    treated = units.cohort == cohort
    return treated & observed, compared & observed & ~treated


def _contrast(
    units: Units, treated: Mask, compared: Mask, *, now: int, base: int, adjustment: Adjustment
) -> Contrast | Undefined:
    """The effect in one cell, influence over its units alone, in the order of units."""
    if not treated.any():
        return Undefined(reason="no exposed unit observed in both periods")
    if not compared.any():
        return Undefined(reason="no comparison unit observed in both periods")
    index, earlier = np.flatnonzero(treated | compared), min(now, base)
    return contrast(
        units.outcome[index, now] - units.outcome[index, base],
        exposed=treated[index].astype(float),
        weight=units.weight[index, earlier],
        covariates=units.covariates[index, earlier],
        adjustment=adjustment,
    )


def _skipped(units: Units, skipped: dict[tuple[float, str], list[int]]) -> Iterator[Exclusion]:
    for (cohort, reason), positions in skipped.items():
        observed = np.isfinite(units.outcome[units.cohort == cohort][:, positions])
        yield Exclusion(
            reason=f"cohort {cohort:.0f} at {listed(units.times[positions], limit=30)}: {reason}",
            rows=int(observed.sum()),
            units=int(observed.any(axis=1).sum()),
        )


def _unused(rows: Rows, effects: GroupTimeEffects) -> Rows:
    """The rows of units that are in some cell."""
    return rows.without(rows.of_units(~effects.is_used), reason="never observed in both periods of a comparison")


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
    effects: GroupTimeEffects, cell_errors: Floats, dynamic: Aggregate, *, by: PreTrend, anticipation: int
) -> tuple[float, int]:
    """Wald statistic that nothing happens before exposure less the anticipation, and its restrictions."""
    if by == "cells":
        used = np.isfinite(cell_errors) & (effects.event_time < -anticipation)
        values, influence = effects.effect[used], effects.influence[:, used]
    else:
        used = np.isfinite(dynamic.term_std_errors) & (np.array(dynamic.at) < -anticipation)
        values, influence = np.array(dynamic.term_estimates)[used], dynamic.term_influence[:, used]
    return linear.wald_statistic(values, effects.covariance(influence))


def _warnings(effects: GroupTimeEffects, *, pre_trend: PreTrend) -> Iterator[str]:
    """What a reader must know about cells that rest on few units."""
    size = {cohort: int((effects.units.cohort == cohort).sum()) for cohort in np.unique(effects.cohort)}
    for cohort, n in size.items():
        if n < FEW_UNITS:
            yield f"cohort {cohort:.0f} has {n} exposed unit{'s' * (n > 1)}: its standard errors are too small."
    thin = effects.n_comparison < FEW_UNITS
    if thin.any():
        yield (
            f"{int(thin.sum())} of the cohort-time effects rest on fewer than {FEW_UNITS} comparison units; their "
            "standard errors are too small."
        )
    before = np.unique(effects.cohort[effects.event_time < 0])
    small = [f"{cohort:.0f}" for cohort in before if size[cohort] < FEW_FOR_JOINT_TEST]
    if small and pre_trend == "cells":
        yield (
            f"the joint pre-trend test rests on cohorts of fewer than {FEW_FOR_JOINT_TEST} units ({listed(small)}): it "
            "rejects far too often and is not to be trusted with cohorts this small."
        )
