r"""Switching treatments: effects of a first change of treatment, up or down, also where it may change again.

**Estimand.** The effect per unit of treatment of having left one's first treatment: gains and lapses alike, signed so
that more treatment is positive. At event time $\ell - 1$ the gap between the path lived and the first treatment kept,
per unit of treatment added since (`scale = "per_dose"`, default) or as it is (`"as_switched"`); overall the sum of all
gaps per unit of treatment had in those periods.

**Assumptions.** Units with the same treatment in the first period would have moved alike had they kept it; no effect
before a change less the anticipation. What the treatment did before the first period no longer moves: it is not seen.

**Equation.** With $F_g$ the period of the first change, $D_{g,1}$ the first treatment and $C$ the units with
$D_{g',1} = D_{g,1}$ observed and not changed by then:
$\mathrm{DID}_{g,\ell} = Y_{g,F_g-1+\ell} - Y_{g,F_g-1} - \overline{Y_{C,F_g-1+\ell} - Y_{C,F_g-1}}$,
$\mathrm{DID}_\ell = \sum_g w_g S_g\mathrm{DID}_{g,\ell} / \sum_g w_g$ with $S_g$ the sign of the change; per dose
over $\sum_g w_g|\sum_{k \le \ell}(D_{g,F_g-1+k} - D_{g,1})|$. Placebos put period $F_g-1-\ell$ for $F_g-1+\ell$
with the same comparison units.

**Standard errors.** Clustered influence values less the mean of those with the same first treatment, date and size of
change, or of the comparison units of that time, times $\sqrt{n/(n-1)}$ for the $n$ clusters behind each mean; where a
mean would rest on one, that of changers and comparison units together. $t$ with the changers' clusters less 1 as
degrees of freedom. The pre-trend test is a joint Wald test of the placebos.

**Edge cases.** Counted out: units not seen in the first period; rows after a unit's first gap, its path being unknown;
rows from where a unit has been both above and below its first treatment, where the sign has no meaning. Changers whom
nobody with the same first treatment can be compared with have no part, and are counted in the settings. Doses must
repeat exactly: round a finely graded one. Periods are those observed, so a wave missing for all is no period.
Covariates are not used. With `comparison = "never"` only units that never change are compared.

**Reference.** de Chaisemartin and D'Haultfoeuille (2024), "Difference-in-differences estimators of intertemporal
treatment effects", Review of Economics and Statistics; (2020), American Economic Review 110(9). Numbers:
py-did-multiplegt-dyn 0.1.9.

**Deviations.** did_multiplegt_dyn uses the normal distribution, and keeps units with gaps where their path can be
bounded.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Literal, get_args

import numpy as np

from wwc_research.design.sample import Sample
from wwc_research.errors import EstimationError, Faults
from wwc_research.estimators import linear
from wwc_research.estimators.estimate import Estimate, EventTerm
from wwc_research.estimators.linear import Codes, Floats
from wwc_research.estimators.options import Option, checked
from wwc_research.estimators.rows import Mask, Rows, coded_rows
from wwc_research.inference import NAN
from wwc_research.messages import message

NAME = "switching"
Scale = Literal["per_dose", "as_switched"]
Switchers = Literal["both", "in", "out"]
OPTIONS = (
    Option(name="effects", meaning="how many periods from the change on are shown and averaged.", default=3),
    Option(name="placebos", meaning="how many periods before the change are shown and tested.", default=2),
    Option(
        name="scale",
        meaning="per_dose: effects per unit of treatment added; as_switched: per change, whatever its size.",
        default="per_dose",
        allowed=get_args(Scale),
    ),
    Option(
        name="switchers",
        meaning="whose changes count: in (more treatment), out (less), or both.",
        default="both",
        allowed=get_args(Switchers),
    ),
)
_NEVER = np.iinfo(np.int64).max // 2


@dataclass(frozen=True, slots=True, kw_only=True)
class _Paths:
    """Units by periods, NaN where not observed, and each unit's first change.

    `first` is the position of the first change (`_NEVER` if none), `sign` its direction, `start` the code of the first
    treatment, `change` the code of first treatment, date and treatment changed to.
    """

    outcome: Floats
    dose: Floats
    weight: Floats
    first: Codes
    sign: Floats
    start: Codes
    change: Codes
    cluster: Codes
    anticipation: int
    only_never: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class _Cell:
    """Units that changed at `first` from one treatment, those they are compared with, and the two periods compared."""

    changers: Codes
    others: Codes
    first: int
    late: int


@dataclass(slots=True, kw_only=True)
class _Sums:
    """What one term adds up over its cells: gaps, treatment, weight, influence by unit, units that took part."""

    influence: Floats
    gap: float = 0.0
    weight: float = 0.0
    added: float = 0.0
    current: float = 0.0
    changers: set[int] = field(default_factory=set)


def estimate(
    sample: Sample,
    *,
    effects: int | None = None,
    placebos: int | None = None,
    scale: Scale | None = None,
    switchers: Switchers | None = None,
) -> Estimate:
    """The effect of a first change of treatment, per unit of treatment, by time since the change.

    Parameters
    ----------
    sample
        Checked rows with `dose` as the treatment of the unit at that time; `weight`, `comparison` and `anticipation`
        (in observed periods) are honoured, `cohort` and covariates are not used.
    effects, placebos
        Longest time after and before the change, 3 and 2 by default; shortened to what can be estimated.
    scale
        `per_dose` (default) or `as_switched`, for the event study; the overall effect is always per unit of treatment.
    switchers
        `both` (default), `in`, `out`.

    Raises
    ------
    InputError
        Without a dose column.
    EstimationError
        Where nobody changes treatment, or nobody is left to compare with.
    """
    given = {"effects": effects, "placebos": placebos, "scale": scale, "switchers": switchers}
    options = checked(given, declared=OPTIONS, estimator=NAME)
    n_effects, n_placebos = _horizons(options)
    rows = _known_paths(coded_rows(sample))
    paths = _paths(rows)
    wanted = _wanted(paths, switchers=str(options["switchers"]))
    after = _terms(paths, wanted, longest=n_effects, is_placebo=False)
    if not after:
        raise EstimationError(
            message(
                "{estimator}: {n_units} units change their treatment, and none can be compared with a unit of "
                "the same first treatment that has not changed; round the dose, or add places whose treatment "
                "stays.",
                estimator=NAME,
                n_units=int(wanted.sum()),
            )
        )
    before = _terms(paths, wanted, longest=min(n_placebos, len(after)), is_placebo=True)
    per_dose = options["scale"] == "per_dose"
    n_clusters = rows.n_clusters
    statistic, restrictions = _pre_trend(before, paths=paths, n_clusters=n_clusters)
    gap, current = sum(term.gap for term in after), sum(term.current for term in after)
    took_part = set().union(*(term.changers for term in after))
    influence = np.sum([term.influence for term in after], axis=0)
    df = _df(took_part, cluster=paths.cluster)
    return Estimate(
        estimator=NAME,
        estimand=(
            message(
                "effect of one unit more of treatment, over the first {n_periods} periods since the first change "
                "({switchers} switchers)",
                n_periods=len(after),
                switchers=options["switchers"],
            )
        ),
        estimate=gap / current,
        std_error=_std_error(influence / current, paths=paths, n_clusters=n_clusters) if df > 0 else NAN,
        df=df,
        n_obs=len(rows.outcome),
        n_units=rows.n_units,
        n_treated=len(took_part),
        n_clusters=n_clusters,
        event_study=(
            *(_event(term, -1 - number, paths, per_dose=per_dose) for number, term in _backwards(before)),
            EventTerm(event_time=-1, estimate=0.0, std_error=NAN, df=df),
            *(_event(term, number, paths, per_dose=per_dose) for number, term in enumerate(after)),
        ),
        pre_trend_statistic=statistic,
        pre_trend_restrictions=restrictions,
        exclusions=rows.exclusions,
        settings={
            **sample.settings,
            **options,
            "effects_estimated": len(after),
            "placebos_estimated": len(before),
            "n_switchers_by_effect": [len(term.changers) for term in after],
            "n_switchers_in": int(np.sum(wanted & (paths.sign > 0))),
            "n_switchers_out": int(np.sum(wanted & (paths.sign < 0))),
            "n_switchers_without_comparison": int(wanted.sum()) - len(took_part),
            "comparison": rows.comparison,
            "anticipation": rows.anticipation,
            "covariates_not_used": list(rows.covariate_names),
        },
    )


def _horizons(options: dict[str, str | int | None]) -> tuple[int, int]:
    n_effects, n_placebos = int(options["effects"] or 0), int(options["placebos"] or 0)
    faults = Faults(where=f"options of {NAME}", kind=EstimationError)
    if n_effects < 1:
        faults.add(message("effects = {n_effects}; take 1 or more.", n_effects=n_effects))
    if n_placebos < 0:
        faults.add(message("placebos = {n_placebos}; take 0 or more.", n_placebos=n_placebos))
    faults.raise_if_any()
    return n_effects, n_placebos


def _known_paths(rows: Rows) -> Rows:
    """Rows of units whose treatment is known from the first period on, up to where it is or keeps its sign."""
    rows.needed("dose", estimator=NAME)
    starts_late = np.ones(rows.n_units, dtype=bool)
    starts_late[rows.unit[rows.period == 0]] = False
    rows = rows.without(
        rows.of_units(starts_late), reason=message("unit not observed in the first period: first treatment unknown")
    )
    seen_before = np.arange(len(rows.unit)) - np.flatnonzero(np.r_[True, np.diff(rows.unit) > 0])[rows.unit]
    rows = rows.without(
        rows.period != seen_before,
        reason=message("after the unit's first gap: what its treatment was meanwhile is unknown"),
    )
    dose = rows.optional["dose"]
    start = dose[np.flatnonzero(np.r_[True, np.diff(rows.unit) > 0])][rows.unit]
    crossed = _ever(dose > start, rows) & _ever(dose < start, rows)
    return rows.without(
        crossed, reason=message("from where the treatment has been both above and below its first value")
    )


def _ever(is_so: Mask, rows: Rows) -> Mask:
    """Whether it is or has been so for the unit, rows being sorted by unit and time."""
    total = np.cumsum(is_so, dtype=np.int64)
    first = np.flatnonzero(np.r_[True, np.diff(rows.unit) > 0])
    before_unit: Codes = total[first] - is_so[first].astype(np.int64)
    return np.asarray(total > before_unit[rows.unit], dtype=bool)


def _paths(rows: Rows) -> _Paths:
    shape = rows.n_units, int(rows.period.max()) + 1
    outcome, dose, weight = np.full(shape, NAN), np.full(shape, NAN), np.zeros(shape)
    at = rows.unit, rows.period
    outcome[at], dose[at], weight[at] = rows.outcome - rows.outcome.mean(), rows.optional["dose"], rows.weight
    cluster = np.zeros(shape[0], dtype=np.int64)
    cluster[rows.unit] = rows.cluster
    changed = np.isfinite(dose) & (dose != dose[:, :1])
    first = np.where(changed.any(axis=1), changed.argmax(axis=1), _NEVER).astype(np.int64)
    is_changer = first < _NEVER
    to = np.where(is_changer, dose[np.arange(shape[0]), np.where(is_changer, first, 0)], dose[:, 0])
    start = np.unique(dose[:, 0], return_inverse=True)[1].astype(np.int64)
    kinds = np.column_stack([start, first, np.unique(to, return_inverse=True)[1]])
    change = np.unique(kinds, axis=0, return_inverse=True)[1].reshape(-1).astype(np.int64)
    return _Paths(
        outcome=outcome,
        dose=dose,
        weight=weight,
        first=first,
        sign=np.where(is_changer, np.sign(to - dose[:, 0]), 0.0),
        start=start,
        change=change,
        cluster=cluster,
        anticipation=rows.anticipation,
        only_never=rows.comparison == "never",
    )


def _wanted(paths: _Paths, *, switchers: str) -> Mask:
    """Units whose first change is seen and of the direction asked for."""
    direction = {"both": paths.sign != 0, "in": paths.sign > 0, "out": paths.sign < 0}[switchers]
    if not direction.any():
        raise EstimationError(
            message(
                "{estimator}: the dose of no unit changes (switchers = {switchers}) after the first of "
                "{n_periods} periods; widen the window, or use another estimator.",
                estimator=NAME,
                switchers=switchers,
                n_periods=paths.dose.shape[1],
            )
        )
    return np.asarray(direction, dtype=bool)


def _cells(paths: _Paths, wanted: Mask, *, distance: int) -> Iterator[_Cell]:
    """Changers and the units they are compared with, `distance` periods after the last before the change."""
    n_periods = paths.outcome.shape[1]
    for start in np.unique(paths.start[wanted]):
        same = np.flatnonzero(paths.start == start)
        first = paths.first[same]
        for moment in np.unique(first[wanted[same]]):
            late = int(moment) - 1 + distance
            if late >= n_periods or moment - 1 - paths.anticipation < 0:
                continue
            seen = np.isfinite(paths.outcome[same, late])
            limit = _NEVER - 1 if paths.only_never else late + paths.anticipation
            changers, others = same[(first == moment) & wanted[same] & seen], same[(first > limit) & seen]
            if changers.size and others.size:
                yield _Cell(changers=changers, others=others, first=int(moment), late=late)


def _terms(paths: _Paths, wanted: Mask, *, longest: int, is_placebo: bool) -> list[_Sums]:
    """Sums for distance 1, 2, and so on, as far as there are cells."""
    terms = []
    for distance in range(1, longest + 1):
        sums = _Sums(influence=np.zeros(len(paths.first)))
        for cell in _cells(paths, wanted, distance=distance):
            base = cell.first - 1 - paths.anticipation
            shown = base - distance if is_placebo else cell.late
            if shown >= 0:
                _add(sums, cell, paths, shown=shown, base=base)
        if not sums.changers:
            break
        terms.append(sums)
    return terms


def _add(sums: _Sums, cell: _Cell, paths: _Paths, *, shown: int, base: int) -> None:
    """Add one cell's gaps, treatment and influence values to the sums."""
    moved = paths.outcome[:, shown] - paths.outcome[:, base]
    moved_in, moved_out = moved[cell.changers], moved[cell.others]
    own = paths.weight[cell.changers, cell.late] * paths.sign[cell.changers]
    theirs = paths.weight[cell.others, cell.late]
    theirs = -own.sum() * theirs / theirs.sum()
    since = paths.dose[cell.changers, cell.first : cell.late + 1] - paths.dose[cell.changers, :1]
    weight = np.abs(own)
    sums.gap += float(own @ moved_in + theirs @ moved_out)
    sums.weight += float(weight.sum())
    sums.added += float(weight @ np.abs(since.sum(axis=1)))
    sums.current += float(weight @ np.abs(since[:, -1]))
    sums.changers.update(cell.changers.tolist())
    noise_in, noise_out = _noise(moved_in, moved_out, cell=cell, paths=paths)
    sums.influence[cell.changers] += own * noise_in
    sums.influence[cell.others] += theirs * noise_out


def _noise(moved_in: Floats, moved_out: Floats, *, cell: _Cell, paths: _Paths) -> tuple[Floats, Floats]:
    """Movements less the mean of their kind, scaled up for its estimation; in pairs too few, less the common mean."""
    kind = np.unique(paths.change[cell.changers], return_inverse=True)[1]
    weight_in, weight_out = paths.weight[cell.changers, cell.late], paths.weight[cell.others, cell.late]
    cluster_in, cluster_out = paths.cluster[cell.changers], paths.cluster[cell.others]
    all_weights, all_moves = np.r_[weight_in, weight_out], np.r_[moved_in, moved_out]
    common = float(all_weights @ all_moves / all_weights.sum())
    n_common = int(np.unique(np.r_[cluster_in, cluster_out]).size)
    mean = np.bincount(kind, weights=weight_in * moved_in) / np.bincount(kind, weights=weight_in)
    pairs = np.unique(np.column_stack([kind, cluster_in]), axis=0)[:, 0]
    n_clusters = np.bincount(pairs)
    alone = n_clusters < 2
    mean, scale = np.where(alone, common, mean), _scale(np.where(alone, n_common, n_clusters))
    n_out = int(np.unique(cluster_out).size)
    mean_out = float(weight_out @ moved_out / weight_out.sum()) if n_out > 1 else common
    scale_out = _scale(np.array([n_out if n_out > 1 else n_common]))[0]
    return (moved_in - mean[kind]) * scale[kind], (moved_out - mean_out) * scale_out


def _scale(n: Codes) -> Floats:
    scale: Floats = np.sqrt(n / np.maximum(n - 1, 1))
    return scale


def _backwards(terms: list[_Sums]) -> list[tuple[int, _Sums]]:
    return list(reversed(list(enumerate(terms, start=1))))


def _divisor(term: _Sums, *, per_dose: bool) -> float:
    return term.added if per_dose else term.weight


def _event(term: _Sums, event_time: int, paths: _Paths, *, per_dose: bool) -> EventTerm:
    divisor = _divisor(term, per_dose=per_dose)
    df = _df(term.changers, cluster=paths.cluster)
    n_clusters = int(paths.cluster.max()) + 1
    error = _std_error(term.influence / divisor, paths=paths, n_clusters=n_clusters) if df > 0 else NAN
    return EventTerm(event_time=event_time, estimate=term.gap / divisor, std_error=error, df=df)


def _df(changers: set[int], *, cluster: Codes) -> float:
    n_changing = np.unique(cluster[sorted(changers)]).size
    return float(n_changing - 1) if n_changing > 1 else NAN


def _std_error(influence: Floats, *, paths: _Paths, n_clusters: int) -> float:
    sums = np.bincount(paths.cluster, weights=influence, minlength=n_clusters)
    return linear.std_error(float(sums @ sums))


def _pre_trend(before: list[_Sums], *, paths: _Paths, n_clusters: int) -> tuple[float, int]:
    """Joint Wald statistic that all placebos are zero; their scale does not matter."""
    if not before:
        return NAN, 0
    values = np.column_stack([term.influence for term in before])
    sums = linear.group_sums(values, groups=paths.cluster, n_groups=n_clusters)
    return linear.wald_statistic(np.array([term.gap for term in before]), sums.T @ sums)
