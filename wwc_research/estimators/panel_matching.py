r"""Panel matching: each exposed unit against the unexposed most like it before exposure, then change against change.

**Estimand.** The effect on the exposed, at every event time up to `leads` and averaged over them, each exposed unit
and time counting by its weight. Where an exposed unit finds no match, or a cohort cannot be used, the estimand speaks
of the matched exposed and says so.

**Assumptions.** Exposed units and their matched sets, alike in the outcome's last `lags` values and in the covariates
before exposure, would have moved alike after it; no effect before exposure less the anticipation; none on others. That
controls stay unexposed up to the last lead must not depend on how they move meanwhile.

**Equation.** For unit $i$ first exposed at $g$, base $b$ the latest observed time before $g$ less the anticipation,
$\hat\tau_{i,f} = (y_{i,g+f} - y_{i,b}) - \sum_{j \in M_i} w_{ij}\,(y_{j,g+f} - y_{j,b})$, $\sum_j w_{ij} = 1$, and
$\hat\delta_f$ its mean over $i$. $M_i$: units never exposed or (`comparison = "not_yet"`) not exposed until after
the last lead in sight plus the anticipation, observed at $b$ and at every time matched on; one set for all leads.
Refined by `refinement`: the `size` nearest in the Mahalanobis distance of outcome and covariates, averaged over
lags; the `size` nearest in the log odds of exposure; all, weighted by the odds; all, weighted so that history and
covariates balance exactly; or all alike (`none`). `adjustment = "doubly_robust"` first takes from every change what a
regression on history and last covariates among all candidates expects: right if either the matching or the
regression is.

**Standard errors.** All take the sets as given. `cluster` (default): influence functions, $w_i(\Delta y_i - \bar
y^0_g - \hat\delta_f)$ for exposed units and $-K_j(\Delta y_j - \bar y^0_g)$ for controls, with $K_j$ the sum of
their shares over all sets of all cohorts and $\bar y^0_g$ the controls' weighted mean in the cohort, summed by the
sample's cluster, times $\frac{G}{G-1}$, $t$ with $G-1$ degrees of freedom; the regression of `doubly_robust` is
included. What the history explains of the changes stays in the residual, so these errors are too wide rather than
too small where it explains much; under `doubly_robust` it is taken out. `unit`: the same by unit. `imai_kim_wang`:
the authors' analytic error, $N\,\mathrm{var}(A_i) / (\sum w)^2$ with $A_i$ the unit's weighted sum of changes,
normal; it treats units as independent, and grows with a movement that all units share. `bootstrap`: clusters drawn
with replacement with their shares as given (matching anew would not be valid: Abadie and Imbens 2008), means taken
anew in each cohort and time, normal. The joint pre-trend test takes the `cluster` covariance (under `unit` its
own).

**Edge cases.** Event times that were matched on are alike by construction: they are shown, named in
`settings["leads_matched_on"]`, and no part of the pre-trend test. `held_out` keeps that many of the latest times
before exposure out of the matching, so that they test it. A cohort with fewer times before exposure than `lags` is
matched on those it has. Matching on a noisy history picks controls whose luck then turns where the groups' usual
levels differ (Daw and Hatfield 2018, Health Services Research 53(6)): read it beside `refinement = "none"`. A
control not observed at some time leaves the set there, and the others take its share. Left out and counted:
exposed units without all figures matched on; cohorts without candidates, propensity score or balancing weights;
controls that are nobody's match. With one exposed unit in a term its error is undefined.

**Reference.** Imai, Kim and Wang (2023), "Matching Methods for Causal Inference with Time-Series Cross-Sectional
Data", American Journal of Political Science 67(3). Numbers: with `refinement = "none"`, did 2.5.1 (Callaway and
Sant'Anna, never exposed, universal base) on mpdta, errors times $\sqrt{G/(G-1)}$; otherwise cases worked by hand.

**Deviations.** From R's PanelMatch: the propensity score and the balance are those of each cohort, not pooled over
times; controls stay unexposed over all leads; exposure is absorbing; the default error clusters and is free of
movements that all units share.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, Literal, get_args

import numpy as np

from wwc_research.design.matched_sets import MatchedSets, Refinement, history_columns, matched_sets
from wwc_research.design.sample import Exclusion, Sample
from wwc_research.errors import EstimationError, Faults, InputError, listed
from wwc_research.estimators import linear
from wwc_research.estimators.absorption import Codes, Floats
from wwc_research.estimators.estimate import Estimate, EventTerm, GroupTimeTerm
from wwc_research.estimators.options import Option, checked
from wwc_research.estimators.rows import Mask, Rows, losses, read_rows
from wwc_research.inference import NAN
from wwc_research.messages import counted, message, said

NAME = "panel_matching"
Adjustment = Literal["none", "doubly_robust"]
StdErrors = Literal["cluster", "unit", "imai_kim_wang", "bootstrap"]
MOST_SETS_SHOWN = 1000
MOST_MEMBERS_SHOWN = 10
FEW_UNITS = 5
_DRAWS_AT_ONCE = 64
_FEWEST_DRAWS = 99

OPTIONS = (
    Option(name="lags", meaning="times before exposure whose outcome is matched on.", default=4),
    Option(name="leads", meaning="last event time with an effect.", default=3),
    Option(name="size", meaning="units in a matched set.", default=5),
    Option(
        name="refinement",
        meaning="how the sets are refined to those most alike.",
        default="mahalanobis",
        allowed=get_args(Refinement),
    ),
    Option(name="held_out", meaning="latest times before exposure kept out of the matching, to test it.", default=0),
    Option(
        name="adjustment",
        meaning="whether a regression on the history corrects what the matching left.",
        default="none",
        allowed=get_args(Adjustment),
    ),
    Option(
        name="std_errors",
        meaning="how errors may depend on one another.",
        default="cluster",
        allowed=get_args(StdErrors),
    ),
    Option(name="draws", meaning="how many times the bootstrap draws.", default=999),
    Option(name="seed", meaning="where the bootstrap's random numbers start.", default=0),
)
_CONVENTIONS: dict[str, str] = {
    "cluster": "influence functions with the sets as given, summed by cluster, G/(G-1), t with G-1",
    "unit": "influence functions with the sets as given, by unit, N/(N-1), t with N-1",
    "imai_kim_wang": "Imai, Kim and Wang's analytic error with the sets as given, units independent, normal",
    "bootstrap": "clusters drawn with replacement with the sets as given, normal",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class _Wide:
    """The panel with one row a time and one column a unit; NaN where a unit is not observed."""

    times: Codes
    outcome: Floats
    covariates: Floats
    weight: Floats
    cohort: Floats
    cluster: Codes


@dataclass(frozen=True, slots=True, kw_only=True)
class _Matched:
    """One cohort with its sets: positions of base and history among the times, codes of units, regressors."""

    cohort: int
    base: int
    history: Codes
    exposed: Codes
    candidates: Codes
    weight: Floats
    sets: MatchedSets
    regressors: Floats


@dataclass(frozen=True, slots=True, kw_only=True)
class _Cell:
    """A cohort at a time: effect, and what each unit in it adds.

    `unit` are codes, `share` is positive for exposed units (their weight) and negative for controls, `change` the
    (adjusted) change less the controls' weighted mean, `raw` the change itself, `model` what the regression adds to a
    unit's influence.
    """

    cohort: int
    time: int
    effect: float
    total: float
    n_treated: int
    n_comparison: int
    unit: Codes
    share: Floats
    change: Floats
    raw: Floats
    model: Floats

    def influence(self, effect: float) -> Floats:
        """Of each unit on the sum of the exposed units' effects, about `effect`."""
        return self.share * (self.change - np.where(self.share > 0, effect, 0.0)) + self.model


@dataclass(slots=True, kw_only=True)
class _Compared:
    """All cohorts, their cells by event time, and what could not be used."""

    matched: list[_Matched] = field(default_factory=list)
    cells: list[_Cell] = field(default_factory=list)
    skipped: list[Exclusion] = field(default_factory=list)


def estimate(
    sample: Sample,
    *,
    lags: int | None = None,
    leads: int | None = None,
    size: int | None = None,
    refinement: Refinement | None = None,
    held_out: int | None = None,
    adjustment: Adjustment | None = None,
    std_errors: StdErrors | None = None,
    draws: int | None = None,
    seed: int | None = None,
) -> Estimate:
    """The average effect on the exposed against their matched sets, with the event study and every cohort's effects.

    `settings["matched_sets"]` has one record an exposed unit: `unit`, `label`, `time` (of exposure) and `controls`,
    each with `unit`, `label`, `weight` and `distance`, heaviest first, at most ten; `n_controls` counts all.

    Parameters
    ----------
    sample
        Checked rows; `weight`, `covariates`, `comparison`, `anticipation` and `cluster` are honoured.
    lags
        Observed times before exposure whose outcome is matched on; 4 by default.
    leads
        Last event time with an effect, in units of time; 3 by default. Controls stay unexposed until then.
    size
        Units in a matched set; 5 by default. Of no consequence for refinements that weight all candidates.
    refinement
        `mahalanobis` (default), `propensity`, `propensity_weights`, `balancing` or `none`.
    held_out
        Latest observed times before exposure that are not matched on; 0 by default. The base is the first of them,
        so that 2 leave one time to test.
    adjustment
        `none` (default) or `doubly_robust`.
    std_errors
        `cluster` (default), `unit`, `imai_kim_wang` or `bootstrap`.
    draws, seed
        Of the bootstrap: 999 and 0 by default.

    Raises
    ------
    InputError
        For options that are not offered; where a unit changes its cluster.
    EstimationError
        Where no exposed unit finds a match.
    """
    given = {
        "lags": lags,
        "leads": leads,
        "size": size,
        "refinement": refinement,
        "held_out": held_out,
        "adjustment": adjustment,
        "std_errors": std_errors,
        "draws": draws,
        "seed": seed,
    }
    options = checked(given, declared=OPTIONS, estimator=NAME)
    _refuse_numbers_out_of_range(options)
    rows = read_rows(sample)
    wide = _wide(rows)
    compared = _compare(wide, rows, options=options)
    at = np.unique([cell.time - cell.cohort for cell in compared.cells])
    terms = [[cell for cell in compared.cells if cell.time - cell.cohort == e] for e in at]
    after = [cell for cell in compared.cells if cell.time >= cell.cohort]
    groups = [after, *terms]
    values = np.array([_mean_effect(cells) for cells in groups])
    kind: Any = options["std_errors"]
    errors, df = _errors(groups, values, wide, kind=kind, options=options)
    matched_on = _matched_on(compared, wide)
    is_tested = np.isfinite(errors[1:]) & (at < -rows.anticipation) & ~np.isin(at, matched_on)
    statistic, restrictions = _pre_trend(terms, values[1:], wide, is_tested=is_tested, kind=kind)
    used = _rows_in_use(compared, wide, rows)
    exposed = np.unique(np.concatenate([m.exposed for m in compared.matched]))
    n_left = sum(item.units for item in compared.skipped)
    told = {"others": _described(options), "leads": options["leads"]}
    in_use = np.unique(rows.unit[used])
    return Estimate(
        estimator=NAME,
        estimand=(
            message("effect on the matched exposed against {others}, averaged up to {leads} after exposure", **told)
            if n_left
            else message("effect on the exposed against {others}, averaged up to {leads} after exposure", **told)
        ),
        estimate=float(values[0]),
        std_error=errors[0],
        df=df,
        n_obs=int(used.sum()),
        n_units=len(in_use),
        n_treated=len(exposed),
        n_clusters=int(np.unique(wide.cluster[in_use]).size),
        event_study=_event_terms(at, values[1:], errors[1:], df=df, anticipation=rows.anticipation),
        group_time=_group_time(compared.cells, wide, kind=kind),
        pre_trend_statistic=statistic,
        pre_trend_restrictions=restrictions,
        exclusions=(*rows.exclusions, *compared.skipped, *_nobodys_match(compared, wide, rows)),
        settings={
            **sample.settings,
            **options,
            "comparison": rows.comparison,
            "anticipation": rows.anticipation,
            "covariates": list(rows.covariate_names),
            "std_error_convention": _CONVENTIONS[kind],
            "leads_matched_on": matched_on,
            "ties": sum(m.sets.ties for m in compared.matched),
            "matched_sets": list(_records(compared, wide, rows, sample)),
            "matched_sets_not_shown": max(0, sum(len(m.exposed) for m in compared.matched) - MOST_SETS_SHOWN),
            "warnings": list(_warnings(compared, options=options)),
        },
    )


def _described(options: dict[str, Any]) -> str:
    ways = {
        "mahalanobis": message("the {size} units each most like it before exposure", size=options["size"]),
        "propensity": message("the {size} units each nearest in the odds of exposure", size=options["size"]),
        "propensity_weights": message("all unexposed units, weighted by their odds of exposure"),
        "balancing": message("all unexposed units, weighted to the same history"),
        "none": message("all unexposed units"),
    }
    return ways[options["refinement"]]


def _refuse_numbers_out_of_range(options: dict[str, Any]) -> None:
    faults = Faults(where=f"options of {NAME}")
    for name, least in (("lags", 1), ("leads", 0), ("size", 1), ("held_out", 0), ("draws", _FEWEST_DRAWS), ("seed", 0)):
        if options[name] < least:
            faults.add(f"{name} = {options[name]} must be {least} or more.")
    faults.raise_if_any()


def _wide(rows: Rows) -> _Wide:
    times = np.unique(rows.time)
    n, period = rows.n_units, rows.period
    first = np.flatnonzero(np.diff(rows.unit, prepend=-1))
    moved = np.unique(rows.unit[rows.cluster != rows.cluster[first][rows.unit]])
    if moved.size:
        raise InputError(
            f"sample: {moved.size} units change their cluster over time ({listed(rows.unit_names[moved])}); {NAME} "
            "needs each unit in one cluster: cluster at a level that contains whole units."
        )

    def spread_out(values: Floats) -> Floats:
        table = np.full((len(times), n), np.nan)
        table[period, rows.unit] = values
        return table

    covariates = [spread_out(column) for column in rows.covariates.T]
    return _Wide(
        times=times,
        outcome=spread_out(rows.outcome),
        covariates=np.stack(covariates, axis=2) if covariates else np.empty((len(times), n, 0)),
        weight=spread_out(rows.weight),
        cohort=rows.cohort[first],
        cluster=rows.cluster[first],
    )


def _compare(wide: _Wide, rows: Rows, *, options: dict[str, Any]) -> _Compared:
    """Every cohort matched and compared; the reasons where one could not be."""
    compared = _Compared()
    for cohort in np.unique(wide.cohort[wide.cohort <= wide.times[-1]]):
        found = _matched(wide, rows, cohort=int(cohort), options=options, skipped=compared.skipped)
        if found is None:
            continue
        compared.matched.append(found)
        until = cohort + options["leads"]
        for position in np.flatnonzero(wide.times <= until):
            cell = None if position == found.base else _cell(wide, found, int(position))
            if cell is not None:
                compared.cells.append(cell)
    if not any(cell.time >= cell.cohort for cell in compared.cells):
        lost = losses(compared.skipped)
        raise EstimationError(
            message(
                "{estimator}: no exposed unit has a matched set and a figure within {leads} after exposure (left "
                "out: {lost}). Ask for fewer lags or leads, or another refinement.",
                estimator=NAME,
                leads=options["leads"],
                lost=lost,
            )
        )
    return compared


def _matched(
    wide: _Wide, rows: Rows, *, cohort: int, options: dict[str, Any], skipped: list[Exclusion]
) -> _Matched | None:
    """One cohort's sets, or None after noting why there are none."""
    members = np.flatnonzero(wide.cohort == cohort)

    def leave_out(units: Codes, reason: str) -> None:
        if len(units):
            n_rows = int(np.isfinite(wide.outcome[:, units]).sum())
            skipped.append(
                Exclusion(
                    reason=message("cohort {cohort}: {reason}", cohort=cohort, reason=reason),
                    rows=n_rows,
                    units=len(units),
                )
            )

    base = int(np.searchsorted(wide.times, cohort - rows.anticipation)) - 1
    last = base - int(options["held_out"])
    history = np.arange(max(0, last - int(options["lags"]) + 1), last + 1)
    if not len(history):
        leave_out(members, "no time before exposure is left to match on")
        return None
    values = np.concatenate([wide.outcome[history][:, :, None], wide.covariates[history]], axis=2)
    is_whole = np.isfinite(values).all(axis=(0, 2)) & np.isfinite(wide.outcome[base])
    exposed = members[is_whole[members]]
    leave_out(members[~is_whole[members]], message("not all figures matched on are known"))
    end = min(cohort + int(options["leads"]), int(wide.times[-1]))
    free = np.isinf(wide.cohort) if rows.comparison == "never" else wide.cohort > end + rows.anticipation
    candidates = np.flatnonzero(free & is_whole & (wide.cohort != cohort))
    if not len(exposed) or not len(candidates):
        leave_out(exposed, message("nobody unexposed until {end} has all figures matched on", end=end))
        return None
    ours, theirs = (np.swapaxes(values[:, units], 0, 1) for units in (exposed, candidates))
    try:
        sets = matched_sets(
            ours,
            candidates=theirs,
            weight=wide.weight[base, candidates],
            refinement=options["refinement"],
            size=int(options["size"]),
        )
    except EstimationError as refusal:
        leave_out(exposed, said(refusal))
        return None
    columns = np.empty((len(exposed) + len(candidates), 0))
    if options["adjustment"] == "doubly_robust":
        columns = np.vstack([history_columns(ours), history_columns(theirs)])
        columns = columns - columns.mean(axis=0)
    return _Matched(
        cohort=cohort,
        base=base,
        history=history,
        exposed=exposed,
        candidates=candidates,
        weight=wide.weight[base, exposed],
        sets=sets,
        regressors=columns,
    )


def _cell(wide: _Wide, matched: _Matched, position: int) -> _Cell | None:
    """The cohort's effect at one time, or None where nobody is observed then."""
    change = wide.outcome[position] - wide.outcome[matched.base]
    ours, theirs = change[matched.exposed], change[matched.candidates]
    seen = np.isfinite(theirs)
    shares = matched.sets.shares
    known = shares @ seen.astype(float)
    usable = np.isfinite(ours) & (known[matched.sets.set_of] > 0)
    if not usable.any():
        return None
    weight = np.where(usable, matched.weight, 0.0)
    by_set = np.bincount(matched.sets.set_of, weights=weight, minlength=shares.shape[0])
    used = np.where(seen, shares.T @ np.divide(by_set, known, out=np.zeros(len(known)), where=known > 0), 0.0)
    raw = np.concatenate([np.where(usable, ours, 0.0), np.where(seen, theirs, 0.0)])
    share = np.concatenate([weight, -used])
    total = float(weight.sum())
    adjusted, model = raw, np.zeros(len(raw))
    if matched.regressors.shape[1]:
        pool = np.where(seen, wide.weight[matched.base, matched.candidates], 0.0)
        adjusted, model = _adjusted(raw, matched.regressors, share=share, pool=pool)
    n = len(ours)
    below = float(used @ adjusted[n:]) / total
    effect = float(weight @ adjusted[:n]) / total - below
    in_cell = (share != 0) | (model != 0)
    return _Cell(
        cohort=matched.cohort,
        time=int(wide.times[position]),
        effect=effect,
        total=total,
        n_treated=int(usable.sum()),
        n_comparison=int((used > 0).sum()),
        unit=np.concatenate([matched.exposed, matched.candidates])[in_cell],
        share=share[in_cell],
        change=(adjusted - below)[in_cell],
        raw=adjusted[in_cell],
        model=model[in_cell],
    )


def _adjusted(change: Floats, columns: Floats, *, share: Floats, pool: Floats) -> tuple[Floats, Floats]:
    """Changes less what the candidates' regression on the history expects, and its influence on the summed effect."""
    n = len(change) - len(pool)
    spread = columns.std(axis=0)
    X = np.column_stack([np.ones(len(columns)), columns / np.where(spread > 0, spread, np.inf)])
    theirs = X[n:]
    inverse = np.linalg.pinv((theirs * pool[:, None]).T @ theirs, rcond=1e-10, hermitian=True)
    slopes = inverse @ (theirs.T @ (pool * change[n:]))
    left = change - X @ slopes
    gap = share @ X  # summed history of the exposed less that of their sets
    model = np.zeros(len(change))
    model[n:] = -(theirs @ (inverse @ gap)) * pool * left[n:]
    return left, model


def _mean_effect(cells: list[_Cell]) -> float:
    totals = np.array([cell.total for cell in cells])
    return float(totals @ [cell.effect for cell in cells] / totals.sum())


def _influence_sums(groups: list[list[_Cell]], values: Floats, *, code: Codes) -> Floats:
    """Influence on each group's mean effect, summed by code; shape (codes, groups)."""
    sums = np.zeros((int(code.max()) + 1, len(groups)))
    for position, (cells, value) in enumerate(zip(groups, values, strict=True)):
        for cell in cells:
            sums[:, position] += np.bincount(code[cell.unit], weights=cell.influence(value), minlength=len(sums))
        sums[:, position] /= sum(cell.total for cell in cells)
    return sums


def _covariance(groups: list[list[_Cell]], values: Floats, wide: _Wide, *, kind: str) -> tuple[Floats, int]:
    """Sandwich covariance of the groups' mean effects, and the number of clusters in use."""
    code = np.arange(len(wide.cohort)) if kind == "unit" else wide.cluster
    sums = _influence_sums(groups, values, code=code)
    in_use = np.zeros(len(sums), dtype=bool)
    for cell in (cell for cells in groups for cell in cells):
        in_use[code[cell.unit]] = True
    n = int(in_use.sum())
    factor = n / (n - 1) if n > 1 else NAN
    return factor * sums.T @ sums, n


def _errors(
    groups: list[list[_Cell]], values: Floats, wide: _Wide, *, kind: str, options: dict[str, Any]
) -> tuple[list[float], float]:
    """Standard errors of the groups' mean effects, and their degrees of freedom."""
    df = math.inf
    if kind == "imai_kim_wang":
        variances = np.array([_imai_kim_wang(cells, n_units=len(wide.cohort)) for cells in groups])
    elif kind == "bootstrap":
        generator = np.random.default_rng(options["seed"])
        variances = _bootstrap(groups, wide, draws=options["draws"], generator=generator)
    else:
        covariance, n = _covariance(groups, values, wide, kind=kind)
        variances, df = np.diag(covariance), float(n - 1) if n > 1 else NAN
    scale = float(np.nanmax(np.abs(wide.outcome)))
    errors = [linear.std_error(float(variance)) for variance in variances]
    alone = [_n_exposed(cells) < 2 for cells in groups]
    return [NAN if one or not e > 1e-12 * scale else e for e, one in zip(errors, alone, strict=True)], df


def _n_exposed(cells: list[_Cell]) -> int:
    return int(np.unique(np.concatenate([cell.unit[cell.share > 0] for cell in cells])).size)


def _imai_kim_wang(cells: list[_Cell], *, n_units: int) -> float:
    """Variance of the mean effect over units taken as independent, their weighted sums as they are."""
    sums = np.zeros(n_units)
    for cell in cells:
        sums += np.bincount(cell.unit, weights=cell.share * cell.raw, minlength=n_units)
    return n_units * float(sums.var(ddof=1)) / sum(cell.total for cell in cells) ** 2


def _bootstrap(groups: list[list[_Cell]], wide: _Wide, *, draws: int, generator: np.random.Generator) -> Floats:
    """Variances of the mean effects over draws of clusters with replacement."""
    cells = list({id(cell): cell for group in groups for cell in group}.values())
    place = {id(cell): position for position, cell in enumerate(cells)}
    in_use = np.unique(np.concatenate([wide.cluster[cell.unit] for cell in cells]))
    parts = np.zeros((len(in_use), 4, len(cells)))
    for position, cell in enumerate(cells):
        code = np.searchsorted(in_use, wide.cluster[cell.unit])
        is_ours = cell.share > 0
        for part, values in enumerate(
            (
                is_ours * cell.share,
                is_ours * cell.share * cell.raw,
                ~is_ours * cell.share,
                ~is_ours * cell.share * cell.raw,
            )
        ):
            parts[:, part, position] = np.bincount(code, weights=values, minlength=len(in_use))
    flat = parts.reshape(len(in_use), -1)
    found = np.empty((draws, len(groups)))
    for start in range(0, draws, _DRAWS_AT_ONCE):
        n = min(_DRAWS_AT_ONCE, draws - start)
        counts = generator.multinomial(len(in_use), np.full(len(in_use), 1 / len(in_use)), size=n)
        weight, total, weight0, total0 = np.moveaxis((counts @ flat).reshape(n, 4, len(cells)), 1, 0)
        drawn = (weight > 0) & (weight0 < 0)
        effect = np.where(drawn, total / np.where(drawn, weight, 1.0) - total0 / np.where(drawn, weight0, 1.0), 0.0)
        for position, group in enumerate(groups):
            chosen = [place[id(cell)] for cell in group]
            share = np.where(drawn, weight, 0.0)[:, chosen]
            sums = share.sum(axis=1)
            mean = (share * effect[:, chosen]).sum(axis=1)
            found[start : start + n, position] = np.divide(mean, sums, out=np.full(n, np.nan), where=sums > 0)
    return np.array([np.var(column[np.isfinite(column)], ddof=1) for column in found.T])


def _matched_on(compared: _Compared, wide: _Wide) -> list[int]:
    """Event times whose outcome any cohort was matched on, its base among them only if it was."""
    return sorted({int(wide.times[p]) - m.cohort for m in compared.matched for p in m.history})


def _pre_trend(
    terms: list[list[_Cell]], values: Floats, wide: _Wide, *, is_tested: Mask, kind: str
) -> tuple[float, int]:
    """Joint Wald test of the event times before the anticipation that nobody was matched on."""
    tested = np.flatnonzero(is_tested)
    if not tested.size:
        return NAN, 0
    covariance, n = _covariance([terms[k] for k in tested], values[tested], wide, kind=kind)
    return linear.wald_statistic(values[tested], covariance) if n > 1 else (NAN, 0)


def _event_terms(
    at: Codes, values: Floats, errors: list[float], *, df: float, anticipation: int
) -> tuple[EventTerm, ...]:
    terms = [
        EventTerm(event_time=int(e), estimate=float(value), std_error=error, df=df)
        for e, value, error in zip(at, values, errors, strict=True)
    ]
    base = -1 - anticipation
    if base not in at:
        terms.append(EventTerm(event_time=base, estimate=0.0, std_error=NAN, df=df))
    return tuple(sorted(terms, key=lambda term: term.event_time))


def _group_time(cells: list[_Cell], wide: _Wide, *, kind: str) -> tuple[GroupTimeTerm, ...]:
    """One term a cell; its error is clustered (by unit under `unit`) whatever that of the average."""
    scale = float(np.nanmax(np.abs(wide.outcome)))
    terms = []
    for cell in cells:
        covariance, _ = _covariance([[cell]], np.array([cell.effect]), wide, kind=kind)
        error = linear.std_error(float(covariance[0, 0]))
        terms.append(
            GroupTimeTerm(
                cohort=cell.cohort,
                time=cell.time,
                estimate=cell.effect,
                std_error=error if cell.n_treated > 1 and error > 1e-12 * scale else NAN,
                n_treated=cell.n_treated,
                n_comparison=cell.n_comparison,
            )
        )
    return tuple(terms)


def _in_sets(compared: _Compared, n_units: int) -> Mask:
    """Whether each unit is exposed and matched, or in somebody's set."""
    used = np.zeros(n_units, dtype=bool)
    for matched in compared.matched:
        used[matched.exposed] = True
        used[matched.candidates[np.asarray(matched.sets.shares.sum(axis=0)).ravel() > 0]] = True
    return used


def _rows_in_use(compared: _Compared, wide: _Wide, rows: Rows) -> Mask:
    """Rows that a set, a history or a cell rests on."""
    used = np.zeros(wide.outcome.shape, dtype=bool)
    position = {int(time): k for k, time in enumerate(wide.times)}
    for matched in compared.matched:
        controls = matched.candidates[np.asarray(matched.sets.shares.sum(axis=0)).ravel() > 0]
        for k in {matched.base, *matched.history.tolist()}:
            used[k, matched.exposed] = used[k, controls] = True
    for cell in compared.cells:
        used[position[cell.time], cell.unit[cell.share != 0]] = True
    return np.asarray(used[rows.period, rows.unit], dtype=bool)


def _nobodys_match(compared: _Compared, wide: _Wide, rows: Rows) -> Iterator[Exclusion]:
    used = _in_sets(compared, rows.n_units)
    reached = int(wide.times[-1])
    left = ~used & ~(wide.cohort <= reached)
    if left.any():
        n_rows = int(np.isfinite(wide.outcome[:, left]).sum())
        yield Exclusion(reason=message("comparison unit that is nobody's match"), rows=n_rows, units=int(left.sum()))


def _records(compared: _Compared, wide: _Wide, rows: Rows, sample: Sample) -> Iterator[dict[str, Any]]:
    """Who was matched with whom, for readers and for JSON."""
    labels: dict[str, str] = {}
    if "label" in sample.frame:
        first = sample.frame.drop_duplicates("unit")
        labels = dict(zip(first["unit"], first["label"], strict=True))

    def named(code: int) -> dict[str, Any]:
        unit = str(rows.unit_names[code])
        return {"unit": unit, "label": str(labels.get(unit, unit))}

    shown = 0
    for matched in compared.matched:
        for position, code in enumerate(matched.exposed[: MOST_SETS_SHOWN - shown]):
            members, shares, distances = matched.sets.members(position)
            near = np.nan_to_num(distances, nan=0.0)
            order = np.lexsort((members, near, -shares))[:MOST_MEMBERS_SHOWN]
            yield {
                **named(int(code)),
                "time": matched.cohort,
                "n_controls": int((shares > 0).sum()),
                "controls": [
                    {
                        **named(int(matched.candidates[members[k]])),
                        "weight": float(shares[k]),
                        "distance": float(distances[k]) if math.isfinite(distances[k]) else None,
                    }
                    for k in order
                ],
            }
        shown += len(matched.exposed[: MOST_SETS_SHOWN - shown])


def _warnings(compared: _Compared, *, options: dict[str, Any]) -> Iterator[str]:
    short = {m.cohort: len(m.history) for m in compared.matched if len(m.history) < options["lags"]}
    for cohort, n in short.items():
        yield message(
            "cohort {cohort} was matched on {n} of {lags} lags: no more are observed before it.",
            cohort=cohort,
            n=n,
            lags=options["lags"],
        )
    n = _n_exposed(compared.cells)
    if n < FEW_UNITS:
        yield counted(
            "{n} exposed unit: standard errors are too small, or undefined with one.",
            "{n} exposed units: standard errors are too small, or undefined with one.",
            n=n,
        )
    few = [m.cohort for m in compared.matched if len(m.candidates) < options["size"]]
    if few and options["refinement"] in ("mahalanobis", "propensity"):
        yield message(
            "cohorts {cohorts} have fewer candidates than a set of {size} needs; all were taken.",
            cohorts=listed(few),
            size=options["size"],
        )
