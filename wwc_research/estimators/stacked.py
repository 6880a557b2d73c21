r"""Stacked difference-in-differences: one clean comparison a cohort, laid on top of one another.

**Estimand.** The effect at each event time in the window, averaged over the cohorts whose whole window is
observed; overall, the simple average over event times 0 and later. With `weights = "corrective"` cohorts
count by their (weighted) units: the trimmed aggregate effect on the exposed.

**Assumptions.** Parallel trends between each cohort and its clean comparison units within the window; no
effect before exposure less the anticipation. Exposure is absorbing.

**Equation.** For each cohort $g$ a stack $s$: its units and those never exposed (comparison = not_yet: or not
exposed before $g$ + `kappa_post` + anticipation + 1), from $g$ - `kappa_pre` to $g$ + `kappa_post`. Over all
stacks $y_{ist} = \alpha_{is} + \lambda_{st} + \sum_{e \ne b}\beta_e\,D_{is}\,1[t - g_s = e] + x_{it}'\gamma +
\varepsilon_{ist}$, the exposed weighing 1 and the comparison units of stack $s$
$\frac{N^D_s/N^D}{N^C_s/N^C}$, both times the sample's weights. `weights = "none"` leaves the factor out: then
stacks count by the precision of their contrast, which estimates no stated average where effects differ.
`fixed_effects = "pooled"` has one effect of being exposed and one of each event time instead.

**Standard errors.** As in `two_way_fe`: CRV1 by the sample's cluster unless told otherwise, with $G$ distinct
clusters, so that a unit serving in several stacks counts once. $t$ and $F$ with $G-1$ degrees of freedom. The
weights are taken as given. The pre-trend test is a joint Wald test of all leads before the anticipation window.

**Edge cases.** By default the window is the widest that every cohort in sight can fill, so none is left out:
often short. Cohorts whose window reaches beyond the data, without clean comparison units or without an
observed base in the window, and rows in no stack, are left out and counted. The base is $-1$ less the
anticipation; in a stack where that wave is missing the latest observed event time before it. Covariates that
the fixed effects explain are dropped and named in the settings.

**Reference.** Cengiz, Dube, Lindner and Zipperer (2019), "The effect of minimum wages on low-wage jobs",
Quarterly Journal of Economics 134(3), appendix D; Wing, Freedman and Hollingsworth (2024), "Stacked
difference-in-differences", NBER working paper 32054, equation 3 and table 1. Numbers: diff-diff 3.13.0.

**Deviations.** The corrective shares are of units in the stack, constant over its window; Wing, Freedman and
Hollingsworth's code takes shares at each event time, which differs only where units have holes. Their
regression is `fixed_effects = "pooled"`: the same estimates in a balanced panel, other standard errors.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Literal, get_args

import numpy as np
from scipy import sparse

from wwc_research.design.sample import Exclusion, Sample
from wwc_research.errors import EstimationError, Faults
from wwc_research.estimators import linear, within
from wwc_research.estimators.estimate import Estimate, EventTerm
from wwc_research.estimators.linear import STD_ERRORS, Codes, Floats, StdErrors
from wwc_research.estimators.options import Option, checked
from wwc_research.estimators.rows import Mask, Rows, read_rows
from wwc_research.inference import NAN
from wwc_research.messages import message

Weights = Literal["corrective", "none"]
FixedEffects = Literal["stacked", "pooled"]

NAME = "stacked"
OPTIONS = (
    Option(
        name="std_errors",
        meaning="how errors may depend on one another.",
        default="cluster",
        allowed=STD_ERRORS,
    ),
    Option(
        name="weights",
        meaning="whether comparison units are weighed so that each stack counts by its exposed units.",
        default="corrective",
        allowed=get_args(Weights),
    ),
    Option(
        name="fixed_effects",
        meaning="effects of units and times in each stack, or of being exposed and of event times over all.",
        default="stacked",
        allowed=get_args(FixedEffects),
    ),
    Option(name="kappa_pre", meaning="periods before exposure in the window; by default all cohorts can fill."),
    Option(name="kappa_post", meaning="periods after exposure in the window; by default all cohorts can fill."),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Stack:
    """Rows laid on top of one another, one entry a stack, unit and time.

    Attributes
    ----------
    row
        Positions in the sample's rows.
    stack
        Which stack, codes 0..S-1.
    event_time
        Time less the stack's exposure.
    is_exposed
        Whether the row's unit is of the stack's cohort.
    is_base
        Whether the row's time is the stack's base.
    """

    row: Codes
    stack: Codes
    event_time: Codes
    is_exposed: Mask
    is_base: Mask


@dataclass(frozen=True, slots=True, kw_only=True)
class _Path:
    """Effects at the event times shown, their covariance, and covariates left out."""

    effect: Floats
    covariance: Floats
    df: float
    dropped: list[str]


def estimate(
    sample: Sample,
    *,
    std_errors: StdErrors | None = None,
    weights: Weights | None = None,
    fixed_effects: FixedEffects | None = None,
    kappa_pre: int | None = None,
    kappa_post: int | None = None,
) -> Estimate:
    """The effect at each distance from exposure over stacked clean comparisons, and its average after.

    Parameters
    ----------
    sample
        Checked rows; `weight`, `covariates`, `comparison` and `anticipation` are honoured.
    std_errors
        `cluster` (default), or any other that `two_way_fe` takes.
    weights
        `corrective` (default) or `none`.
    fixed_effects
        `stacked` (default: units and times in each stack) or `pooled`.
    kappa_pre, kappa_post
        Periods before and after exposure; by default the most that every cohort in sight can fill.

    Raises
    ------
    EstimationError
        Where no cohort has a clean comparison in the window.
    """
    given = {
        "std_errors": std_errors,
        "weights": weights,
        "fixed_effects": fixed_effects,
        "kappa_pre": kappa_pre,
        "kappa_post": kappa_post,
    }
    options = checked(given, declared=OPTIONS, estimator=NAME)
    rows = read_rows(sample)
    before, after = _window(rows, before=kappa_pre, after=kappa_post)
    stack, left_out = _stacked(rows, before=before, after=after)
    laid = _laid_out(rows, stack, corrective=weights != "none")
    shown = np.unique(stack.event_time[stack.is_exposed & ~stack.is_base])
    fit = _fit(laid, stack, shown=shown, kind=std_errors or "cluster", pooled=fixed_effects == "pooled")
    coefficients, covariance = fit.effect, fit.covariance
    average = np.where(shown >= 0, 1 / (shown >= 0).sum(), 0.0)
    leads = shown < -rows.anticipation
    statistic, restrictions = linear.wald_statistic(coefficients[leads], covariance[np.ix_(leads, leads)])
    return Estimate(
        estimator=NAME,
        estimand=message("effect of exposure, averaged over the event times 0 and later in the window"),
        estimate=float(average @ coefficients),
        std_error=linear.std_error(float(average @ covariance @ average)),
        df=fit.df,
        n_obs=int(np.unique(stack.row).size),
        n_units=int(np.unique(rows.unit[stack.row]).size),
        n_treated=int(np.unique(rows.unit[stack.row[stack.is_exposed]]).size),
        n_clusters=laid.n_clusters,
        event_study=_terms(shown, fit, base=-1 - rows.anticipation),
        pre_trend_statistic=statistic,
        pre_trend_restrictions=restrictions,
        exclusions=(*rows.exclusions, *left_out),
        settings={
            **sample.settings,
            **options,
            "kappa_pre": before,
            "kappa_post": after,
            "n_stacks": int(stack.stack.max()) + 1,
            "n_stacked_rows": len(stack.row),
            "comparison": rows.comparison,
            "anticipation": rows.anticipation,
            "dropped_covariates": fit.dropped,
        },
    )


def _window(rows: Rows, *, before: int | None, after: int | None) -> tuple[int, int]:
    """Periods before and after exposure: as given, or the most that every cohort in sight can fill."""
    faults = Faults(where=f"options of {NAME}")
    if before is not None and before < 1 + rows.anticipation:
        faults.add(
            f"kappa_pre = {before} leaves no base before exposure less the anticipation ({rows.anticipation}); take "
            f"{1 + rows.anticipation} or more."
        )
    if after is not None and after < 0:
        faults.add(f"kappa_post = {after} ends before exposure; take 0 or more.")
    faults.raise_if_any()
    cohorts = rows.cohort[rows.cohort <= rows.time.max()]
    widest_before, widest_after = int(cohorts.min() - rows.time.min()), int(rows.time.max() - cohorts.max())
    return widest_before if before is None else before, widest_after if after is None else after


def _stacked(rows: Rows, *, before: int, after: int) -> tuple[Stack, tuple[Exclusion, ...]]:
    """One stack for each cohort that has a clean comparison, and what is in none."""
    parts: list[tuple[Codes, Codes, Mask, Mask]] = []
    refused: dict[int, str] = {}
    for cohort in np.unique(rows.cohort[rows.cohort <= rows.time.max()]).astype(int):
        part = _one_stack(rows, cohort=int(cohort), before=before, after=after)
        if isinstance(part, str):
            refused[int(cohort)] = part
        else:
            parts.append(part)
    if not parts:
        reasons = [_of_cohort(cohort, reason) for cohort, reason in refused.items()]
        raise EstimationError(
            message(
                "{estimator}: no cohort has a clean comparison from {before} before to {after} after exposure "
                "({reasons:semicolons}). Take a smaller kappa_pre or kappa_post, or add places exposed later or never.",
                estimator=NAME,
                before=before,
                after=after,
                reasons=reasons,
            )
        )
    index, event_time, is_exposed, is_base = (np.concatenate(column) for column in zip(*parts, strict=True))
    stack = np.repeat(np.arange(len(parts)), [len(part[0]) for part in parts])
    built = Stack(row=index, stack=stack, event_time=event_time, is_exposed=is_exposed, is_base=is_base)
    return built, tuple(_left_out(rows, index, refused))


def _one_stack(rows: Rows, *, cohort: int, before: int, after: int) -> tuple[Codes, Codes, Mask, Mask] | str:
    """Row positions, event times, who is exposed and which rows are the base; or why there is no stack."""
    if cohort - before < rows.time.min() or cohort + after > rows.time.max():
        return message("its window reaches beyond the periods observed")
    is_clean = np.isinf(rows.cohort)
    if rows.comparison == "not_yet":
        is_clean = rows.cohort > cohort + after + rows.anticipation
    in_window = (rows.time >= cohort - before) & (rows.time <= cohort + after)
    index = np.flatnonzero(in_window & (is_clean | (rows.cohort == cohort)))
    index = index[np.bincount(rows.unit[index], minlength=rows.n_units)[rows.unit[index]] > 1]
    is_exposed, event_time = rows.cohort[index] == cohort, rows.time[index] - cohort
    clean_times = event_time[is_exposed & (event_time < -rows.anticipation)]
    if not clean_times.size or not (event_time[is_exposed] >= 0).any():
        return message("it is not observed both before and after exposure in its window")
    is_base = event_time == clean_times.max()
    shared = np.isin(event_time, event_time[~is_exposed])
    if is_exposed.all() or not (is_base & ~is_exposed).any():
        return message("it has no clean comparison units")
    return index[shared], event_time[shared], is_exposed[shared], is_base[shared]


def _left_out(rows: Rows, index: Codes, refused: dict[int, str]) -> Iterable[Exclusion]:
    """Rows in no stack: of the cohorts without one, and the others."""
    unused = np.ones(len(rows.unit), dtype=bool)
    unused[index] = False
    for cohort, reason in refused.items():
        own = unused & (rows.cohort == cohort)
        unused &= ~own
        yield _exclusion(rows, own, reason=_of_cohort(cohort, reason))
    if unused.any():
        yield _exclusion(rows, unused, reason=message("in no cohort's window with a clean comparison"))


def _of_cohort(cohort: int, reason: str) -> str:
    return message("cohort {cohort}: {reason}", cohort=cohort, reason=reason)


def _exclusion(rows: Rows, dropped: Mask, *, reason: str) -> Exclusion:
    return Exclusion(reason=reason, rows=int(dropped.sum()), units=int(np.unique(rows.unit[dropped]).size))


def _laid_out(rows: Rows, stack: Stack, *, corrective: bool) -> Rows:
    """The stacked rows as rows whose unit is the unit in its stack, with the weights of the regression."""
    index = stack.row
    unit = np.unique(stack.stack * rows.n_units + rows.unit[index], return_inverse=True)[1]
    weight = rows.weight[index]
    if corrective:
        weight = weight * _corrective(unit, weight, stack)
    return replace(
        rows,
        unit=unit,
        time=rows.time[index],
        cohort=rows.cohort[index],
        cluster=np.unique(rows.cluster[index], return_inverse=True)[1],
        outcome=rows.outcome[index],
        weight=weight,
        covariates=rows.covariates[index],
        optional={name: values[index] for name, values in rows.optional.items()},
    )


def _corrective(unit: Codes, weight: Floats, stack: Stack) -> Floats:
    """Factor of each row: 1 for the exposed, their share over that of the comparison units for the others."""
    first = np.unique(unit, return_index=True)[1]
    size = np.bincount(unit, weights=weight) / np.bincount(unit)
    exposed, of_stack = stack.is_exposed[first], stack.stack[first]
    n_exposed = np.bincount(of_stack, weights=size * exposed)
    n_compared = np.bincount(of_stack, weights=size * ~exposed)
    factor = (n_exposed / n_exposed.sum()) / (n_compared / n_compared.sum())
    return np.where(stack.is_exposed, 1.0, factor[stack.stack])


def _fit(laid: Rows, stack: Stack, *, shown: Codes, kind: StdErrors, pooled: bool) -> _Path:
    own = stack.is_exposed & ~stack.is_base
    if not pooled and kind in within.KINDS and not laid.covariates.size and _has_whole_units(laid):
        return _by_cross_products(laid, stack, own=own, shown=shown, kind=kind)
    indicators = ((stack.event_time[:, None] == shown) & own[:, None]).astype(float)
    effects = (laid.unit, _codes(stack.stack, stack.event_time))
    if pooled:
        effects = (stack.is_exposed.astype(np.int64), _codes(stack.event_time))
    try:
        fit = linear.fit(
            laid.outcome,
            np.column_stack([indicators, laid.covariates]),
            effects=effects,
            weights=laid.weight,
            errors=laid.error_model(kind),
            optional_from=len(shown),
        )
    except linear.CollinearError as error:
        raise _explained() from error
    k = len(shown)
    return _Path(
        effect=fit.coefficients[:k],
        covariance=fit.covariance[:k, :k],
        df=fit.df,
        dropped=[laid.covariate_names[position - k] for position in fit.dropped],
    )


def _by_cross_products(laid: Rows, stack: Stack, *, own: Mask, shown: Codes, kind: StdErrors) -> _Path:
    """The same regression from sparse columns: an indicator of each event time, and one of each stack's time."""
    n, k, time = len(own), len(shown), _codes(stack.stack, stack.event_time)
    at = np.flatnonzero(own)
    indicators = sparse.csr_array((np.ones(len(at)), (at, np.searchsorted(shown, stack.event_time[at]))), shape=(n, k))
    times = sparse.csr_array((np.ones(n), (np.arange(n), time)))
    try:
        fit = within.fit_contrasts(
            laid.outcome,
            sparse.hstack([indicators, times], format="csr"),
            np.eye(k + times.shape[1], k),
            unit=laid.unit,
            cluster=laid.cluster,
            weight=laid.weight,
            kind=kind,
            n_redundant=int(stack.stack.max()),
        )
    except within.UnidentifiedError as error:
        raise _explained() from error
    return _Path(effect=fit.estimates, covariance=fit.covariance, df=fit.df, dropped=[])


def _explained() -> EstimationError:
    return EstimationError(
        message(
            "{estimator}: unit and time effects of the stacks explain some event times wholly; take another "
            "kappa_pre or kappa_post.",
            estimator=NAME,
        )
    )


def _has_whole_units(laid: Rows) -> bool:
    return not np.diff(laid.cluster)[np.diff(laid.unit) == 0].any()


def _codes(*columns: Codes) -> Codes:
    """Codes 0..L-1 of the combinations that occur."""
    key = np.zeros(len(columns[0]), dtype=np.int64)
    for column in columns:
        key = key * (int(np.ptp(column)) + 1) + (column - column.min())
    present = np.bincount(key) > 0
    return (np.cumsum(present) - 1)[key]


def _terms(shown: Codes, fit: _Path, *, base: int) -> tuple[EventTerm, ...]:
    """All event times in order, the base among them where it is one in every stack."""
    terms = [
        EventTerm(event_time=int(e), estimate=float(effect), std_error=linear.std_error(variance), df=fit.df)
        for e, effect, variance in zip(shown, fit.effect, np.diag(fit.covariance).tolist(), strict=True)
    ]
    if base not in shown:
        terms.append(EventTerm(event_time=base, estimate=0.0, std_error=NAN, df=fit.df))
    return tuple(sorted(terms, key=lambda term: term.event_time))
