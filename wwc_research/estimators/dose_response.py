r"""Dose response: effects of exposure by how much of it there was, and how they go along with the dose.

**Estimand.** The effect on exposed units of the dose they got, against none, averaged over units; in the settings the
same by dose (`dose_bins`), with the numbers of units. `slope` is how the effect goes along with the dose **across the
units that chose it**. It is the effect of *more* dose only under strong parallel trends. With `estimand = "slope"` it
takes the place of the estimate, labelled so; with `"twfe"` the regression on dose.

**Assumptions.** Levels: parallel trends of exposed and comparison units, no effect before exposure less the
anticipation. Slope: strong parallel trends as well: at each dose, units would have gained what the others gained there,
had they had it; no selection on gains. That is not testable from the period before.

**Equation.** $\hat\tau_{it} = y_{it} - \hat\alpha_i - \hat\lambda_t - x_{it}'\hat\gamma$ on exposed rows, the model
fitted on clean rows; $\hat\tau_i$ its mean over the unit's exposed rows; levels are means of $\hat\tau_i$, the slope is
that of $\hat\tau_i$ on $d_i$. `twfe`: $y_{it} = \alpha_i + \lambda_t + \beta d_{it} + x_{it}'\gamma +
\varepsilon_{it}$, whose $\beta$ weighs doses far from the mean most, low ones negatively.

**Standard errors.** Clustered influence values that carry the imputation's own error, exposed units less the mean of
those averaged (levels) or the line (slope), times $m/(m-p)$, $t$ with $m-p$ degrees of freedom: $m$ exposed clusters in
the bin or in all, $p$ = 1 for a level, 2 for the slope. `twfe`: CRV1.

**Edge cases.** The dose is zero on rows before exposure and above zero after, else all faults are named. A unit's dose
is that of its first exposed row, or their mean. Few distinct doses are bins of their own, more are cut into `bins` of
equal numbers of units. A bin in one cluster has no standard error. Exposed rows at times that no clean row determines
are left out and counted. Error in the dose flattens the slope: with reliability $r$ it shows $r$ times its size, and
units near a cut fall into the wrong bin; scores near thresholds are prone to both.

**Reference.** Callaway, Goodman-Bacon and Sant'Anna (2024), "Difference-in-differences with a continuous treatment",
NBER working paper 32117, section 3; Borusyak, Jaravel and Spiess (2024), Review of Economic Studies 91(6).

**Deviations.** They estimate the curve of effects in the dose without parametric form in two periods; here bins and a
line, and staggered timing by imputation.
"""

from __future__ import annotations

from typing import Any, Literal, get_args

import numpy as np

from wwc_research.design.sample import Sample
from wwc_research.errors import EstimationError, Faults
from wwc_research.estimators import counterfactual, linear
from wwc_research.estimators.counterfactual import Counterfactual
from wwc_research.estimators.estimate import Estimate
from wwc_research.estimators.linear import Codes, Floats
from wwc_research.estimators.options import Option, checked
from wwc_research.estimators.rows import Mask, Rows, read_rows
from wwc_research.inference import NAN, confidence_interval
from wwc_research.messages import message

NAME = "dose_response"
Estimand = Literal["level", "slope", "twfe"]
UnitDose = Literal["first", "mean"]
OPTIONS = (
    Option(
        name="estimand",
        meaning="level: mean effect of the doses had; slope: its change with the dose; twfe: regression on dose.",
        default="level",
        allowed=get_args(Estimand),
    ),
    Option(
        name="unit_dose",
        meaning="a unit's dose: that of its first exposed row, or the mean of all.",
        default="first",
        allowed=get_args(UnitDose),
    ),
    Option(name="bins", meaning="number of bins of equal numbers of units where doses are many.", default=3),
)
_FEW = 5  # up to so many distinct doses each is a bin of its own
STRONG = message("needs strong parallel trends: units at each dose would have gained what the others gained there")
_MEANINGS = {
    "level": message("effect of exposure at the doses that exposed units had, averaged over them"),
    "slope": message(
        "change of the effect with one unit more of dose, across exposed units; {assumption}", assumption=STRONG
    ),
    "twfe": message(
        "regression coefficient of dose with unit and time effects, some doses weighing negatively; {assumption}",
        assumption=STRONG,
    ),
}


def estimate(
    sample: Sample, *, estimand: Estimand | None = None, unit_dose: UnitDose | None = None, bins: int | None = None
) -> Estimate:
    """The mean effect at the doses had, with effects by dose and their slope in `settings`.

    Parameters
    ----------
    sample
        Checked rows with `dose` (zero before exposure, above after); `weight`, `covariates`, `comparison` and
        `anticipation` are honoured.
    estimand
        `level` (default), `slope`, or `twfe` for the regression on dose.
    unit_dose
        `first` (default): the dose at the unit's first exposed row; `mean`: over its exposed rows.
    bins
        How many bins where there are more than five distinct doses; 3 by default.

    Returns
    -------
    Estimate
        `settings["dose_bins"]` lists dose_low, dose_high, dose_mean, n_units, n_clusters, estimate, std_error, ci_low,
        ci_high; `settings["slope"]` has estimate, std_error, ci_low, ci_high and what it assumes.

    Raises
    ------
    InputError
        Without a dose column.
    EstimationError
        For doses that contradict the cohorts, or where no effect can be estimated.
    """
    given = {"estimand": estimand, "unit_dose": unit_dose, "bins": bins}
    options = checked(given, declared=OPTIONS, estimator=NAME)
    n_bins = int(options["bins"] or 0)
    if n_bins < 1:
        raise EstimationError(message("{estimator}: bins = {n_bins}; take 1 or more.", estimator=NAME, n_bins=n_bins))
    rows = read_rows(sample)
    dose = rows.needed("dose", estimator=NAME)
    _refuse_contradictions(rows, dose)
    rows, fit = _imputed(rows)
    dose = _unit_dose(rows, kind=str(options["unit_dose"]))
    shares = _shares(rows)
    edges = _edges(dose[shares > 0], n_bins=n_bins)
    level, bin_records = _levels(rows, fit, dose=dose, shares=shares, edges=edges)
    slope = _slope(rows, fit, dose=dose, shares=shares)
    chosen = str(options["estimand"])
    dropped = list(fit.dropped)
    main = {"level": level, "slope": slope}.get(chosen, {})
    if chosen == "twfe":
        rows, main, dropped = _regression(rows)
    return Estimate(
        estimator=NAME,
        estimand=_MEANINGS[chosen],
        estimate=main["estimate"],
        std_error=main["std_error"],
        df=main["df"],
        n_obs=len(rows.outcome),
        n_units=rows.n_units,
        n_treated=rows.n_treated,
        n_clusters=rows.n_clusters,
        exclusions=rows.exclusions,
        settings={
            **sample.settings,
            **options,
            "dose_bins": bin_records,
            "slope": {**_record(slope), "assumes": STRONG},
            "comparison": rows.comparison,
            "anticipation": rows.anticipation,
            "dropped_covariates": [rows.covariate_names[position] for position in dropped],
        },
    )


def _refuse_contradictions(rows: Rows, dose: Floats) -> None:
    faults = Faults(where=f"{NAME}: dose", kind=EstimationError)
    exposed = rows.is_exposed
    early, late = ~exposed & (dose != 0), exposed & (dose <= 0)
    if early.any():
        faults.add(
            message(
                "{n_rows:,} rows before exposure, or of units never exposed, have a dose other than 0 (such as "
                "{dose:g}); set it to 0, or let cohort be the first time with a dose.",
                n_rows=int(early.sum()),
                dose=dose[early][0],
            )
        )
    if late.any():
        faults.add(
            message(
                "{n_rows:,} exposed rows have a dose of 0 or less (such as {dose:g}); doses that end again are for "
                "switching; otherwise fill them or drop the rows.",
                n_rows=int(late.sum()),
                dose=dose[late][0],
            )
        )
    faults.raise_if_any()


def _is_clean(rows: Rows) -> Mask:
    return np.asarray(rows.time < rows.cohort - rows.anticipation, dtype=bool)


def _imputed(rows: Rows) -> tuple[Rows, Counterfactual]:
    """Rows of which every exposed one has an imputed outcome, and the imputation."""
    fit = _fitted(rows)
    unreached = rows.is_exposed & ~fit.is_reached
    if unreached.any():
        rows = rows.without(
            unreached, reason=message("exposed at a time whose effect no clean row of another unit determines")
        )
        if not rows.is_exposed.any():
            raise EstimationError(
                message(
                    "{estimator}: at no time of exposure is anybody left to compare with; add places exposed later "
                    "or never.",
                    estimator=NAME,
                )
            )
        fit = _fitted(rows)
    return rows, fit


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
    )


def _unit_dose(rows: Rows, *, kind: str) -> Floats:
    """The dose of each row's unit; zero for units not seen exposed."""
    exposed, dose = rows.is_exposed, rows.optional["dose"]
    by_unit = np.zeros(rows.n_units)
    if kind == "first":
        units, first = np.unique(rows.unit[exposed], return_index=True)
        by_unit[units] = dose[exposed][first]
    else:
        number = np.bincount(rows.unit[exposed], minlength=rows.n_units)
        sums = np.bincount(rows.unit[exposed], weights=dose[exposed], minlength=rows.n_units)
        by_unit = sums / np.maximum(number, 1)
    spread: Floats = by_unit[rows.unit]
    return spread


def _shares(rows: Rows) -> Floats:
    """What each exposed row counts for its unit: a unit's rows sum to its mean weight, other rows have zero."""
    exposed = np.where(rows.is_exposed, 1.0, 0.0)
    number = np.bincount(rows.unit, weights=exposed)
    total = np.bincount(rows.unit, weights=exposed * rows.weight)
    mean = np.divide(total, number, out=np.zeros_like(total), where=number > 0)
    within = np.divide(rows.weight, total[rows.unit], out=np.zeros(len(rows.unit)), where=exposed > 0)
    return within * mean[rows.unit]


def _edges(dose: Floats, *, n_bins: int) -> Floats:
    """Upper ends of the bins: each distinct dose where these are few, else quantiles that are doses themselves."""
    distinct = np.unique(dose)
    if len(distinct) <= _FEW:
        return distinct
    cuts = np.quantile(dose, np.arange(1, n_bins + 1) / n_bins, method="inverted_cdf")
    return np.unique(cuts)


def _levels(
    rows: Rows, fit: Counterfactual, *, dose: Floats, shares: Floats, edges: Floats
) -> tuple[dict[str, float], list[dict[str, Any]]]:
    """The mean effect over all exposed units, and one record a bin."""
    label = np.searchsorted(edges, dose)
    records: list[dict[str, Any]] = []
    for number in range(len(edges)):
        inside = (label == number) & (shares > 0)
        weights = np.where(inside, shares, 0.0)
        weights = weights / weights.sum()
        part = _mean(rows, fit, weights=weights)
        records.append(
            {
                "dose_low": float(dose[inside].min()),
                "dose_high": float(dose[inside].max()),
                "dose_mean": float(weights @ dose),
                "n_units": _distinct(rows.unit[inside]),
                "n_clusters": _distinct(rows.cluster[inside]),
                **_record(part),
            }
        )
    return _mean(rows, fit, weights=shares / shares.sum()), records


def _mean(rows: Rows, fit: Counterfactual, *, weights: Floats) -> dict[str, float]:
    expected = np.full(len(weights), float(weights @ fit.gap))
    return _average(rows, fit, weights=weights, expected=expected, n_parameters=1)


def _distinct(codes: Codes) -> int:
    return int(np.unique(codes).size)


def _slope(rows: Rows, fit: Counterfactual, *, dose: Floats, shares: Floats) -> dict[str, float]:
    """Least-squares slope of the units' effects on their dose; undefined where all have the same."""
    weights = shares / shares.sum()
    centre = float(weights @ dose)
    spread = float(weights @ (dose - centre) ** 2)
    if spread <= 1e-12 * centre**2:
        return {"estimate": NAN, "std_error": NAN, "df": NAN}
    pull = weights * (dose - centre) / spread
    slope, mean = float(pull @ fit.gap), float(weights @ fit.gap)
    return _average(rows, fit, weights=pull, expected=mean + slope * (dose - centre), n_parameters=2)


def _average(
    rows: Rows, fit: Counterfactual, *, weights: Floats, expected: Floats, n_parameters: int
) -> dict[str, float]:
    std_error, df = counterfactual.average_error(
        fit, weights=weights, expected=expected, cluster=rows.cluster, n_parameters=n_parameters
    )
    return {"estimate": float(weights @ fit.gap), "std_error": std_error, "df": df}


def _record(numbers: dict[str, float]) -> dict[str, float | None]:
    """Estimate, error and interval as plain values, undefined ones null."""
    low, high = confidence_interval(numbers["estimate"], numbers["std_error"], numbers["df"])
    named = {"estimate": numbers["estimate"], "std_error": numbers["std_error"], "ci_low": low, "ci_high": high}
    return {name: value if np.isfinite(value) else None for name, value in named.items()}


def _regression(rows: Rows) -> tuple[Rows, dict[str, float], list[int]]:
    """The rows used, the coefficient of dose with unit and time effects, and covariates dropped."""
    inside = (rows.event_time >= -rows.anticipation) & (rows.event_time < 0)
    rows = rows.without(
        inside,
        reason=message("in the anticipation window ({anticipation} before exposure)", anticipation=rows.anticipation),
    )
    fit = linear.fit(
        rows.outcome,
        np.column_stack([rows.optional["dose"], rows.covariates]),
        effects=(rows.unit, rows.period),
        weights=rows.weight,
        errors=rows.error_model("cluster"),
        optional_from=1,
    )
    numbers = {"estimate": float(fit.coefficients[0]), "std_error": float(fit.std_errors[0]), "df": fit.df}
    return rows, numbers, [position - 1 for position in fit.dropped]
