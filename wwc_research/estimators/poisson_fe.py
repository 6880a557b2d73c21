r"""Poisson regression with unit and time effects, for counts and rates that are never negative.

**Estimand.** The log of a rate ratio: $100(e^{\beta}-1)$ is the per cent change that exposure brings, given in the
settings as `percent_change`. With `fit_rows = "all"` (default) one ratio for all exposed units and times, weighted by
the regression; with `"untreated"` the ratio of all that exposed units counted to what they would have.

**Assumptions.** Without exposure expected counts would have changed by the same ratio (parallel trends in logs of
expectations); no effect before exposure less the anticipation. Counts need not be Poisson. `all` adds one effect for
every cohort and distance: **with staggered exposure it is contaminated as `two_way_fe` is**, earlier exposed units
serving as comparison for later ones; `untreated` is not.

**Equation.** $E[y_{it}] = r_{it}\exp(\alpha_i + \lambda_t + \beta\,1[t \ge g_i] + x_{it}'\gamma)$, $r$ the sample's
`at_risk` or 1. $\alpha_i$ is concentrated out exactly, so each Newton step is weighted least squares within units.
`untreated` fits it without $\beta$ on clean rows and takes $\log\sum w y - \log\sum w\hat y(0)$ over exposed rows.

**Standard errors.** `all`: sandwich by the sample's cluster, times $\frac{G}{G-1}\frac{n-1}{n-K}$, $K$ without the unit
effects, $t$ with $G-1$, as in fixest. `untreated`: clustered influence values of the ratio, through time effects and
covariates too, times $m/(m-1)$, $t$ with $m-1$, $m$ the exposed clusters.

**Edge cases.** With `at_risk` the outcome must be the count, not the rate. Left out and counted: units and periods with
nothing but zeros, which say nothing of ratios; rows inside the anticipation window (`all`); exposed rows at times that
no clean row determines (`untreated`). Where all exposed rows are zero, or all rows of exposed units before it, the log
ratio is infinite, and this is said. Covariates that the effects explain are dropped and named.

**Reference.** Hausman, Hall and Griliches (1984), Econometrica 52(4); Correia, Guimaraes and Zylkin (2020), "Fast
Poisson estimation with high-dimensional fixed effects", Stata Journal 20(1); Wooldridge (2023), "Simple approaches to
nonlinear difference-in-differences with panel data", Econometrics Journal 26(3). Numbers: pyfixest 0.40.1.

**Deviations.** Wooldridge pools cohort-by-time dummies with cohort effects, equal to imputing from clean rows by
cohort; here levels are by unit. Correia's search for separated rows is limited to the cases above.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, Literal, get_args

import numpy as np

from wwc_research import inference
from wwc_research.design.sample import Sample
from wwc_research.errors import EstimationError, Faults
from wwc_research.estimators import linear
from wwc_research.estimators.estimate import Estimate, EventTerm
from wwc_research.estimators.linear import Codes, Floats
from wwc_research.estimators.options import Option, checked
from wwc_research.estimators.rows import Mask, Rows, read_rows
from wwc_research.inference import NAN
from wwc_research.messages import message

NAME = "poisson_fe"
FitRows = Literal["all", "untreated"]
OPTIONS = (
    Option(
        name="fit_rows",
        meaning="all: one regression; untreated: expected counts from clean rows only, safe under staggered exposure.",
        default="all",
        allowed=get_args(FitRows),
    ),
)
_STEPS = 100
_CONVERGED = 1e-18  # squared Newton step against the sum of the counts
_INFINITE = 15.0  # a log ratio beyond a factor of 3 million is on its way to infinity
_EXACT = 1e-12


@dataclass(frozen=True, slots=True, kw_only=True)
class _PoissonFit:
    """Coefficients of time dummies and regressors kept, and what their covariance is made of.

    `columns` are all rows' regressors less their unit means at the fitted counts; `mean` is the fitted count of each
    row, with the unit's level from the rows fitted; `bread` the inverse information; `scores` one row a row fitted.
    """

    coefficients: Floats
    columns: Floats
    mean: Floats
    bread: Floats
    scores: Floats


def estimate(sample: Sample, *, fit_rows: FitRows | None = None) -> Estimate:
    """The log of the ratio by which exposure changes expected counts.

    Parameters
    ----------
    sample
        Checked rows with an outcome of 0 or more; `at_risk` (positive), `weight`, `covariates`, `comparison` and
        `anticipation` are honoured.
    fit_rows
        `all` (default): one coefficient in one regression; `untreated`: expected counts imputed from clean rows.

    Raises
    ------
    EstimationError
        For negative outcomes or an `at_risk` that is not positive; where the log ratio is infinite; where effects
        explain exposure wholly; where Newton's method does not settle.
    """
    options = checked({"fit_rows": fit_rows}, declared=OPTIONS, estimator=NAME)
    rows = read_rows(sample)
    _refuse_not_a_count(rows)
    rows = _without_silence(rows)
    used = _regressed(rows) if options["fit_rows"] == "all" else _imputed(rows)
    rows, dropped = used.pop("rows"), used.pop("dropped")
    low, high = inference.confidence_interval(used["estimate"], used["std_error"], used["df"])
    return Estimate(
        estimator=NAME,
        n_obs=len(rows.outcome),
        n_units=rows.n_units,
        n_treated=rows.n_treated,
        n_clusters=rows.n_clusters,
        exclusions=rows.exclusions,
        settings={
            **sample.settings,
            **options,
            "has_at_risk": "at_risk" in rows.optional,
            "percent_change": {
                "estimate": _per_cent(used["estimate"]),
                "ci_low": _per_cent(low),
                "ci_high": _per_cent(high),
            },
            **used.pop("more"),
            "comparison": rows.comparison,
            "anticipation": rows.anticipation,
            "dropped_covariates": [rows.covariate_names[position] for position in dropped],
        },
        **used,
    )


def _per_cent(log_ratio: float) -> float | None:
    return 100 * math.expm1(log_ratio) if math.isfinite(log_ratio) and log_ratio < 700 else None


def _refuse_not_a_count(rows: Rows) -> None:
    faults = Faults(where=NAME, kind=EstimationError)
    negative = rows.outcome < 0
    if negative.any():
        faults.add(
            message(
                "the outcome is negative in {n_rows:,} rows (lowest {lowest:g}); a count or rate is 0 or more: use "
                "two_way_fe for outcomes that can be negative.",
                n_rows=int(negative.sum()),
                lowest=rows.outcome.min(),
            )
        )
    at_risk = rows.optional.get("at_risk")
    if at_risk is not None and (at_risk <= 0).any():
        faults.add(
            message("at_risk is 0 or less in {n_rows:,} rows; drop those rows.", n_rows=int((at_risk <= 0).sum()))
        )
    faults.raise_if_any()


def _without_silence(rows: Rows) -> Rows:
    """Rows less units and periods in which every outcome is zero, until none is left."""
    for _ in range(int(rows.period.max()) + 2):
        silent_unit = np.bincount(rows.unit, weights=rows.outcome) == 0
        rows = rows.without(rows.of_units(silent_unit), reason=message("unit with an outcome of zero in every period"))
        silent_period = np.bincount(rows.period, weights=rows.outcome) == 0 if rows.unit.size else np.zeros(0, bool)
        if not silent_period.any():
            break
        rows = rows.without(silent_period[rows.period], reason=message("period with an outcome of zero in every unit"))
        rows = rows.without(rows.of_units(np.bincount(rows.unit) < 2), reason=message("unit with a single period left"))
    exposed = rows.is_exposed
    touched = rows.of_units(np.bincount(rows.unit, weights=exposed) > 0) if rows.unit.size else exposed
    if not rows.outcome[exposed].any():
        raise EstimationError(
            message(
                "{estimator}: every outcome of an exposed row is zero ({n_rows:,} rows), so the log ratio is "
                "minus infinity; use two_way_fe, or a longer window.",
                estimator=NAME,
                n_rows=int(exposed.sum()),
            )
        )
    if not rows.outcome[touched & ~exposed].any():
        raise EstimationError(
            message(
                "{estimator}: every outcome of the exposed units before exposure is zero, so the log ratio is "
                "infinite; use two_way_fe, or a longer window.",
                estimator=NAME,
            )
        )
    return rows


def _regressed(rows: Rows) -> dict[str, Any]:
    """One coefficient of exposure in a regression on all rows."""
    inside = (rows.event_time >= -rows.anticipation) & (rows.event_time < 0)
    rows = rows.without(
        inside,
        reason=message("in the anticipation window ({anticipation} before exposure)", anticipation=rows.anticipation),
    )
    dummies = (rows.time[:, None] == np.unique(rows.time)[1:]).astype(float)
    n_times = dummies.shape[1]
    regressors = np.column_stack([dummies, rows.is_exposed, _standardised(rows.covariates)])
    kept, dropped = _independent(regressors, rows=rows, fitted=np.ones(len(rows.unit), dtype=bool))
    if n_times in dropped:
        raise EstimationError(
            message(
                "{estimator}: unit and time effects explain exposure wholly, so no comparison is left; add "
                "places exposed at another time or never.",
                estimator=NAME,
            )
        )
    position = int(np.sum(kept < n_times))
    fit = _fit(rows, regressors[:, kept], fitted=np.ones(len(rows.unit), dtype=bool))
    meat = linear.group_sums(fit.scores, groups=rows.cluster, n_groups=rows.n_clusters)
    covariance = fit.bread @ (meat.T @ meat) @ fit.bread
    n, n_clusters = len(rows.unit), rows.n_clusters
    counted = len(kept) + 1  # the unit effects as one
    usable = n_clusters > 1 and n > counted
    factor = n_clusters / (n_clusters - 1) * (n - 1) / (n - counted) if usable else NAN
    return {
        "rows": rows,
        "dropped": [column - n_times - 1 for column in dropped if column > n_times],
        "estimand": message(
            "log of the ratio by which exposure changes the expected outcome (settings: per cent change)"
        ),
        "estimate": float(fit.coefficients[position]),
        "std_error": linear.std_error(float(factor * covariance[position, position])),
        "df": float(n_clusters - 1) if usable else NAN,
        "more": {},
    }


def _standardised(covariates: Floats) -> Floats:
    """Covariates with mean 0 and standard deviation 1, so that one bound says which coefficients run off."""
    spread = covariates.std(axis=0)
    values: Floats = (covariates - covariates.mean(axis=0)) / np.where(spread > 0, spread, 1.0)
    return values


def _independent(regressors: Floats, *, rows: Rows, fitted: Mask) -> tuple[Codes, list[int]]:
    """Positions of columns that unit effects and the columns before do not explain, and of those they do."""
    unit = np.unique(rows.unit[fitted], return_inverse=True)[1]
    part = regressors[fitted]
    dropped = linear.dependent_columns(part, absorbed=linear.absorb(part, effects=(unit,)))
    return np.setdiff1d(np.arange(regressors.shape[1]), dropped), dropped


def _fit(rows: Rows, regressors: Floats, *, fitted: Mask) -> _PoissonFit:
    """Newton's method on the likelihood with unit levels concentrated out, which is concave, on the rows `fitted`."""
    weight = np.where(fitted, rows.weight, 0.0)
    counts = weight * rows.outcome
    total = np.bincount(rows.unit, weights=counts)
    at_risk = np.log(rows.optional["at_risk"]) if "at_risk" in rows.optional else np.zeros(len(rows.unit))
    coefficients = np.zeros(regressors.shape[1])
    n_units, first = rows.n_units, _first_rows(rows.unit)

    def likelihood(candidate: Floats) -> tuple[float, Floats]:
        index = at_risk + regressors @ candidate
        top = np.maximum.reduceat(np.where(fitted, index, -np.inf), first)
        top[np.isinf(top)] = 0.0
        raw = np.exp(np.minimum(index - top[rows.unit], 700.0))
        sums = np.bincount(rows.unit, weights=weight * raw)
        seen = total > 0
        mean = raw * np.divide(total, sums, out=np.zeros(n_units), where=seen & (sums > 0))[rows.unit]
        value = float(counts @ index - total[seen] @ (np.log(sums[seen]) + top[seen]))
        return value, mean

    best, mean = likelihood(coefficients)
    for _ in range(_STEPS):
        columns = _less_unit_means(regressors, unit=rows.unit, weight=weight * mean)
        residual = weight * (rows.outcome - mean)
        information = columns.T @ (columns * (weight * mean)[:, None])
        bread = np.asarray(np.linalg.pinv(information, hermitian=True), dtype=float)
        gradient = columns.T @ residual
        step = bread @ gradient
        is_last = float(gradient @ step) <= _CONVERGED * total.sum()
        size = 1.0
        value, candidate_mean = likelihood(coefficients + step)
        while not is_last and value < best - 1e-9 * abs(best) and size > 1e-6:
            size /= 2
            value, candidate_mean = likelihood(coefficients + size * step)
        coefficients, mean, best = coefficients + size * step, candidate_mean, value
        if np.abs(coefficients).max(initial=0) > _INFINITE:
            break
        if is_last:
            scores = columns * _noise(residual, counts)[:, None]
            return _PoissonFit(coefficients=coefficients, columns=columns, mean=mean, bread=bread, scores=scores)
    raise EstimationError(
        message(
            "{estimator}: a coefficient runs off to infinity, as happens where zeros are all that tell "
            "exposed from comparison rows, or a covariate tells them; use a longer window, leave covariates "
            "out, or use two_way_fe.",
            estimator=NAME,
        )
    )


def _noise(residual: Floats, counts: Floats) -> Floats:
    return np.zeros_like(residual) if np.linalg.norm(residual) <= _EXACT * np.linalg.norm(counts) else residual


def _first_rows(unit: Codes) -> Codes:
    """Where each unit's rows start, for rows sorted by unit."""
    return np.flatnonzero(np.r_[True, np.diff(unit) > 0]).astype(np.int64)


def _less_unit_means(columns: Floats, *, unit: Codes, weight: Floats) -> Floats:
    """Columns less their weighted means by unit, for rows sorted by unit."""
    total = np.bincount(unit, weights=weight)
    sums = np.add.reduceat(columns * weight[:, None], _first_rows(unit), axis=0)
    means = np.divide(sums, total[:, None], out=np.zeros_like(sums), where=total[:, None] > 0)
    centred: Floats = columns - means[unit]
    return centred


def _imputed(rows: Rows) -> dict[str, Any]:
    """The ratio of what exposed rows counted to what clean rows say they would have."""
    clean = np.asarray(rows.time < rows.cohort - rows.anticipation, dtype=bool)
    donor = clean & np.isinf(rows.cohort) if rows.comparison == "never" else clean
    # a time effect needs a count above zero from a clean row
    heard = np.bincount(rows.period, weights=np.where(donor, rows.outcome, 0.0)) > 0
    rows = rows.without(
        ~heard[rows.period],
        reason=message("at a time at which no comparison unit that is not exposed has an outcome above zero"),
    )
    clean = np.asarray(rows.time < rows.cohort - rows.anticipation, dtype=bool)
    rows = rows.without(
        rows.of_units(np.bincount(rows.unit, weights=clean) == 0) if clean.size else clean,
        reason=message("without a clean period at a time that has comparison units"),
    )
    if not rows.unit.size or not rows.is_exposed.any():
        raise EstimationError(
            message(
                "{estimator}: no exposed row is left for which clean rows give an expected count; add places "
                "never exposed.",
                estimator=NAME,
            )
        )
    clean = np.asarray(rows.time < rows.cohort - rows.anticipation, dtype=bool)
    donor = clean & np.isinf(rows.cohort) if rows.comparison == "never" else clean
    dummies = (rows.time[:, None] == np.unique(rows.time)[1:]).astype(float)
    regressors = np.column_stack([dummies, _standardised(rows.covariates)])
    kept, dropped = _independent(regressors, rows=rows, fitted=donor)
    if any(column < dummies.shape[1] for column in dropped):
        raise EstimationError(
            message(
                "{estimator}: clean rows do not tie all times together, so some expected counts are unknown; "
                "shorten the window.",
                estimator=NAME,
            )
        )
    fit = _fit(rows, regressors[:, kept], fitted=donor)
    model = _expected(rows, regressors[:, kept], clean=clean, fit=fit)
    exposed, event_time = rows.is_exposed, rows.event_time
    log_ratio, std_error, df = _log_ratio(rows, model, fit=fit, part=exposed)
    terms = []
    for value in np.unique(event_time[exposed]):
        part, part_error, part_df = _log_ratio(rows, model, fit=fit, part=event_time == value)
        terms.append(EventTerm(event_time=int(value), estimate=part, std_error=part_error, df=part_df))
    mean, weight = model.mean, np.where(exposed, rows.weight, 0.0)
    return {
        "rows": rows,
        "dropped": [column - dummies.shape[1] for column in dropped],
        "estimand": message(
            "log of the ratio of exposed outcomes to what they would have been (settings: per cent change)"
        ),
        "estimate": log_ratio,
        "std_error": std_error,
        "df": df,
        "event_study": tuple(terms),
        "more": {"effect_on_outcome": float(weight @ (rows.outcome - mean) / weight.sum())},
    }


@dataclass(frozen=True, slots=True, kw_only=True)
class _Expected:
    """Expected counts without exposure, unit levels from each unit's own clean rows; `columns` are their gradient."""

    mean: Floats
    columns: Floats


def _expected(rows: Rows, regressors: Floats, *, clean: Mask, fit: _PoissonFit) -> _Expected:
    at_risk = rows.optional.get("at_risk", np.ones(len(rows.unit)))
    raw = at_risk * np.exp(regressors @ fit.coefficients)
    weight = np.where(clean, rows.weight, 0.0)
    level = np.bincount(rows.unit, weights=weight * rows.outcome) / np.bincount(rows.unit, weights=weight * raw)
    columns = _less_unit_means(regressors, unit=rows.unit, weight=weight * raw)
    return _Expected(mean=level[rows.unit] * raw, columns=columns)


def _log_ratio(rows: Rows, model: _Expected, *, fit: _PoissonFit, part: Mask) -> tuple[float, float, float]:
    """Log ratio of counts to expected counts over the rows in `part`, its standard error and degrees of freedom."""
    weight = np.where(part, rows.weight, 0.0)
    counted, expected = float(weight @ rows.outcome), float(weight @ model.mean)
    if counted <= 0 or expected <= 0:
        return NAN, NAN, NAN
    # each row's share in the ratio: its own counts, its unit's level, and the time effects and covariates
    level = np.bincount(rows.unit, weights=weight * model.mean)
    first = _first_rows(rows.unit)
    own = np.bincount(rows.unit, weights=weight * rows.outcome) / counted - level / expected
    through_fit = fit.scores @ (fit.bread @ (-(weight * model.mean) @ model.columns / expected))
    sums = np.bincount(rows.cluster, weights=through_fit) + np.bincount(
        rows.cluster[first], weights=own, minlength=rows.n_clusters
    )
    if np.abs(sums).max() <= _EXACT:
        sums = np.zeros_like(sums, dtype=float)
    n_carrying = int(np.count_nonzero(np.bincount(rows.cluster[part])))
    if n_carrying < 2:
        return math.log(counted / expected), NAN, NAN
    variance = float(sums @ sums) * n_carrying / (n_carrying - 1)
    return math.log(counted / expected), linear.std_error(variance), float(n_carrying - 1)
