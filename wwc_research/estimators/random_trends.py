r"""Random trends: unit effects, time effects, and a linear trend of each unit's own.

**Estimand.** The effect on exposed units and times, averaged with the sample's weights: how far outcomes left
each unit's own line, against comparison units leaving theirs.

**Assumptions.** Without exposure, departures from the units' own linear trends would have been alike: weaker
than parallel trends. Trends run on as straight lines, which grows bold with the distance from the last clean
period. No effect before exposure less the anticipation.

**Equation.** $y_{it}(0) = \alpha_i + \delta_i t + \lambda_t + x_{it}'\gamma + \varepsilon_{it}$. With
`trend_rows = "untreated"` (default) it is fitted on clean rows only and the estimate is the mean of
$\hat\tau_{it} = y_{it} - \hat y_{it}(0)$ over exposed rows. With `"all"` it is one regression with
$\beta\,1[t \ge g_i]$ added: **trends then also absorb effects that grow or fade** (Wolfers 2006), so that an
effect growing in a line shows as nearly none. Keep it for comparison with older studies.

**Standard errors.** `untreated`: clustered influence values with exposed rows less the mean effect at their
event time, times $m/(m-1)$, $t$ with $m-1$ degrees of freedom, $m$ the exposed clusters. `all`: CRV1,
$\frac{G}{G-1}\frac{n-1}{n-K}$, $t$ with $G-1$; unit levels and trends are nested in the clusters and not counted.

**Edge cases.** Left out and counted: exposed units with fewer than two clean periods (`untreated`), rows at
times whose effect no comparison unit determines, and under `all` rows inside the anticipation window. Covariates
that the effects explain are dropped and named. With `comparison = "never"` time effects come from units never
exposed (`untreated`). With one exposed cluster the standard error is undefined.

**Reference.** Heckman and Hotz (1989), Journal of the American Statistical Association 84(408); Wolfers (2006),
"Did unilateral divorce laws raise divorce rates?", American Economic Review 96(5); Borusyak, Jaravel and Spiess
(2024), "Revisiting event-study designs", Review of Economic Studies 91(6).

**Deviations.** Borusyak, Jaravel and Spiess take mean effects by cohort and time and no small-sample factor;
here cohorts are pooled, so that a cohort of one unit still counts as noise. pyfixest's `i(unit, t)` counts the
units' slopes among the parameters, which makes its error larger.
"""

from __future__ import annotations

from typing import Any, Literal, get_args

import numpy as np

from wwc_research.design.sample import Sample
from wwc_research.errors import EstimationError
from wwc_research.estimators import counterfactual, linear
from wwc_research.estimators.counterfactual import Counterfactual
from wwc_research.estimators.estimate import Estimate, EventTerm
from wwc_research.estimators.linear import ErrorModel, Floats
from wwc_research.estimators.options import Option, checked
from wwc_research.estimators.rows import Mask, Rows, losses, read_rows
from wwc_research.messages import message

NAME = "random_trends"
TrendRows = Literal["untreated", "all"]
OPTIONS = (
    Option(
        name="trend_rows",
        meaning="which rows the units' trends are fitted on; all rows absorb effects that grow.",
        default="untreated",
        allowed=get_args(TrendRows),
    ),
)


def estimate(sample: Sample, *, trend_rows: TrendRows | None = None) -> Estimate:
    """The average departure of exposed units from their own trends, against comparison units.

    Parameters
    ----------
    sample
        Checked rows; `weight`, `covariates`, `comparison` and `anticipation` are honoured.
    trend_rows
        `untreated` (default): trends from rows before exposure; `all`: from all rows, one regression.

    Raises
    ------
    EstimationError
        Where no exposed unit has two clean periods, or trends and time effects explain exposure wholly.
    """
    options = checked({"trend_rows": trend_rows}, declared=OPTIONS, estimator=NAME)
    rows = read_rows(sample)
    used = _regressed(rows) if options["trend_rows"] == "all" else _imputed(rows)
    rows = used.pop("rows")
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
            "comparison": rows.comparison,
            "anticipation": rows.anticipation,
            "dropped_covariates": [rows.covariate_names[position] for position in used.pop("dropped")],
        },
        **used,
    )


def _is_clean(rows: Rows) -> Mask:
    return np.asarray(rows.time < rows.cohort - rows.anticipation, dtype=bool)


def _imputed(rows: Rows) -> dict[str, Any]:
    """Trends from clean rows, effects as what is left over on exposed rows."""
    n_clean = np.bincount(rows.unit, weights=_is_clean(rows))
    exposed_units = np.bincount(rows.unit, weights=rows.is_exposed) > 0
    rows = rows.without(
        rows.of_units(exposed_units & (n_clean < 2)),
        reason=message("exposed after fewer than two clean periods: no trend of its own"),
    )
    _refuse_nobody(rows)
    fit = _fitted(rows)
    unreached = rows.is_exposed & ~fit.is_reached
    if unreached.any():
        rows = rows.without(
            unreached, reason=message("exposed at a time whose effect no clean row of another unit determines")
        )
        _refuse_nobody(rows)
        fit = _fitted(rows)
    exposed, event_time = rows.is_exposed, rows.event_time
    expected = _mean_by_event_time(rows, fit.gap)
    weights = np.where(exposed, rows.weight, 0.0)
    weights = weights / weights.sum()
    std_error, df = counterfactual.average_error(fit, weights=weights, expected=expected, cluster=rows.cluster)
    terms = []
    for value in np.unique(event_time[exposed]):
        part = np.where(event_time == value, rows.weight, 0.0)
        part = part / part.sum()
        error, part_df = counterfactual.average_error(fit, weights=part, expected=expected, cluster=rows.cluster)
        terms.append(EventTerm(event_time=int(value), estimate=float(part @ fit.gap), std_error=error, df=part_df))
    return {
        "rows": rows,
        "dropped": fit.dropped,
        "estimand": message(
            "effect of exposure on exposed units and times, against each unit's own trend before exposure"
        ),
        "estimate": float(weights @ fit.gap),
        "std_error": std_error,
        "df": df,
        "event_study": tuple(terms),
    }


def _refuse_nobody(rows: Rows) -> None:
    if rows.unit.size and rows.is_exposed.any():
        return
    lost = losses(rows.exclusions)
    raise EstimationError(
        message(
            "{estimator}: no exposed row is left (left out: {lost}); start the window earlier, or use an "
            "estimator without unit trends.",
            estimator=NAME,
            lost=lost,
        )
    )


def _fitted(rows: Rows) -> Counterfactual:
    is_donor = np.isinf(rows.cohort) if rows.comparison == "never" else np.ones(len(rows.unit), dtype=bool)
    return counterfactual.impute(
        rows.outcome,
        rows.covariates,
        unit=rows.unit,
        time=rows.time,
        weight=rows.weight,
        is_clean=_is_clean(rows),
        is_donor=is_donor,
        trends=True,
    )


def _mean_by_event_time(rows: Rows, gap: Floats) -> Floats:
    """Mean gap of the exposed rows at the same event time; zero on other rows."""
    exposed = rows.is_exposed
    code = np.where(exposed, np.where(exposed, rows.event_time, 0.0) + 1, 0.0).astype(np.int64)
    weight = np.where(exposed, rows.weight, 0.0)
    total = np.bincount(code, weights=weight)
    sums = np.bincount(code, weights=weight * gap)
    means: Floats = np.divide(sums, total, out=np.zeros_like(total), where=total > 0)[code]
    return means


def _regressed(rows: Rows) -> dict[str, Any]:
    """One regression with trends on all rows; effects and trends compete for the same movements."""
    inside = (rows.event_time >= -rows.anticipation) & (rows.event_time < 0)
    rows = rows.without(
        inside,
        reason=message("in the anticipation window ({anticipation} before exposure)", anticipation=rows.anticipation),
    )
    regressors = np.column_stack([rows.is_exposed.astype(float), rows.covariates])
    columns = np.column_stack([rows.outcome - rows.outcome.mean(), regressors])
    absorbed, n_times = counterfactual.without_trends(columns, unit=rows.unit, time=rows.time, weight=rows.weight)
    if np.linalg.norm(absorbed[:, 0]) <= 1e-12 * np.linalg.norm(rows.outcome):
        absorbed[:, 0] = 0.0
    dependent = linear.dependent_columns(regressors, absorbed=absorbed[:, 1:])
    if 0 in dependent:
        raise EstimationError(
            message(
                "{estimator}: unit trends and time effects explain exposure wholly; add periods, or places "
                "exposed at another time or never.",
                estimator=NAME,
            )
        )
    kept = np.delete(absorbed[:, 1:], dependent, axis=1)
    errors = ErrorModel(kind="cluster", clusters=(rows.cluster,))
    fit = linear.fit(absorbed[:, 0], kept, weights=rows.weight, errors=errors)
    n, n_kept = len(rows.outcome), kept.shape[1]
    # linear.fit knows only the columns; fixest counts one level of the nested unit effects, and the times
    rescale = np.sqrt((n - n_kept) / (n - n_kept - n_times - 1))
    return {
        "rows": rows,
        "dropped": [position - 1 for position in dependent],
        "estimand": message(
            "effect of exposure in a regression with unit trends on all rows, which absorb growing effects"
        ),
        "estimate": float(fit.coefficients[0]),
        "std_error": float(fit.std_errors[0] * rescale),
        "df": fit.df,
    }
