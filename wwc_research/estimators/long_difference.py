r"""Long difference: mean after less mean before, unit by unit, exposed against comparison units.

**Estimand.** The effect on units exposed by the end of the later window, averaged over that window, in the
unit of the outcome. Units first exposed inside the window count as exposed for all of it, which dilutes the
effect; the settings say how many.

**Assumptions.** Between the two windows exposed and comparison units with the same covariates would have
moved alike; covariates act linearly; no effect in the baseline window or, less the anticipation, on
comparison units.

**Equation.** $\bar y_i^{post} - \bar y_i^{base} = \alpha + \beta\,1[g_i \le t^{post}_{last}] +
\bar x_i^{base\prime}\gamma + \varepsilon_i$: one row a unit, covariates as means over the baseline window,
weighted by the unit's mean weight over the rows used.

**Standard errors.** CRV1 by the sample's cluster with $\frac{G}{G-1}\frac{n-1}{n-K}$ and $t$ with $G-1$
degrees of freedom; with one unit a cluster this is the heteroskedastic HC1 error. Also jackknife (CRV3), HC1
and independent.

**Edge cases.** By default the baseline is every period before the first exposure less the anticipation, and
the later window the last three observed periods from the first exposure on. Left out and counted: rows in
neither window; units without a row in each period of both windows (means over different years would compare
years, not units); units exposed before the end of the baseline; units inside their anticipation at the end;
with `comparison = "never"` units exposed later. Collinear covariates are dropped and named in the settings.

**Reference.** Bertrand, Duflo and Mullainathan (2004), "How much should we trust differences-in-differences
estimates?", Quarterly Journal of Economics 119(1), section IV.C: averages before and after instead of serially
correlated rows.

**Deviations.** None from least squares on the differences. Covariates enter as levels at the baseline, not as
changes, since changes may follow from exposure.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np

from wwc_research.design.sample import Sample
from wwc_research.errors import EstimationError, Faults, listed
from wwc_research.estimators import linear
from wwc_research.estimators.estimate import Estimate
from wwc_research.estimators.linear import Codes, ErrorModel, Floats
from wwc_research.estimators.options import Option, checked
from wwc_research.estimators.rows import Mask, Rows, losses, read_rows
from wwc_research.messages import message

NAME = "long_difference"
DifferenceErrors = Literal["cluster", "jackknife", "hetero", "iid"]
OPTIONS = (
    Option(name="baseline_first", meaning="first time of the baseline window."),
    Option(name="baseline_last", meaning="last time of the baseline window."),
    Option(name="post_first", meaning="first time of the later window."),
    Option(name="post_last", meaning="last time of the later window."),
    Option(
        name="std_errors",
        meaning="how errors may depend on one another.",
        default="cluster",
        allowed=get_args(DifferenceErrors),
    ),
)
_DEFAULT_PERIODS = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class _Windows:
    """Observed times of the two windows, in order."""

    baseline: Codes
    post: Codes


@dataclass(frozen=True, slots=True, kw_only=True)
class _Units:
    """One entry a unit: change of the outcome, whether exposed, covariates at baseline, weight, cluster."""

    change: Floats
    exposed: Mask
    covariates: Floats
    weight: Floats
    cluster: Codes


def estimate(
    sample: Sample,
    *,
    baseline_first: int | None = None,
    baseline_last: int | None = None,
    post_first: int | None = None,
    post_last: int | None = None,
    std_errors: DifferenceErrors | None = None,
) -> Estimate:
    """The difference between exposed and comparison units in the change from a baseline to a later window.

    Parameters
    ----------
    sample
        Checked rows; `weight`, `covariates`, `comparison` and `anticipation` are honoured.
    baseline_first, baseline_last
        Ends of the baseline window, in the sample's time; by default all times before the first exposure less
        the anticipation.
    post_first, post_last
        Ends of the later window; by default the last three observed times from the first exposure on.
    std_errors
        `cluster` (default), `jackknife` (by cluster), `hetero`, `iid`.

    Raises
    ------
    EstimationError
        Where a window holds no time, the windows overlap, or one of the two groups is empty.
    """
    given = {
        "baseline_first": baseline_first,
        "baseline_last": baseline_last,
        "post_first": post_first,
        "post_last": post_last,
        "std_errors": std_errors,
    }
    options = checked(given, declared=OPTIONS, estimator=NAME)
    rows = read_rows(sample)
    windows = _windows(rows, baseline=(baseline_first, baseline_last), post=(post_first, post_last))
    rows = _usable(rows, windows)
    units = _units(rows, windows)
    _refuse_without_contrast(units, rows=rows, windows=windows)
    fit = linear.fit(
        units.change,
        np.column_stack([np.ones(rows.n_units), units.exposed, units.covariates]),
        weights=units.weight,
        errors=ErrorModel(kind=std_errors or "cluster", clusters=(units.cluster,)),
        optional_from=2,
    )
    during = np.isfinite(rows.cohort) & (rows.cohort > windows.post[0]) & (rows.cohort <= windows.post[-1])
    return Estimate(
        estimator=NAME,
        estimand=(
            message(
                "effect on units exposed by {last}, from the mean of {baseline} to that of {post}",
                last=windows.post[-1],
                baseline=_span(windows.baseline),
                post=_span(windows.post),
            )
        ),
        estimate=float(fit.coefficients[1]),
        std_error=float(fit.std_errors[1]),
        df=fit.df,
        n_obs=len(rows.outcome),
        n_units=rows.n_units,
        n_treated=int(units.exposed.sum()),
        n_clusters=rows.n_clusters,
        exclusions=rows.exclusions,
        settings={
            **sample.settings,
            **options,
            "baseline_times": windows.baseline.tolist(),
            "post_times": windows.post.tolist(),
            "n_units_exposed_inside_the_later_window": int(np.unique(rows.unit[during]).size),
            "comparison": rows.comparison,
            "anticipation": rows.anticipation,
            "dropped_covariates": [rows.covariate_names[position - 2] for position in fit.dropped],
        },
    )


def _span(times: Codes) -> str:
    return str(times[0]) if len(times) == 1 else f"{times[0]}-{times[-1]}"


def _windows(rows: Rows, *, baseline: tuple[int | None, int | None], post: tuple[int | None, int | None]) -> _Windows:
    """The observed times of both windows, by default around the first exposure in sight."""
    times = np.unique(rows.time)
    first_exposed = int(rows.cohort.min())
    early = times[times < first_exposed - rows.anticipation] if baseline[1] is None else times[times <= baseline[1]]
    if baseline[0] is not None:
        early = early[early >= baseline[0]]
    late = times[times <= post[1]] if post[1] is not None else times
    if post[0] is None:
        late = late[(late >= first_exposed) & (late > early[-1] if early.size else True)][-_DEFAULT_PERIODS:]
    else:
        late = late[late >= post[0]]
    faults = Faults(where=f"options of {NAME}", kind=EstimationError)
    seen: dict[str, object] = {"times": listed(times, limit=40), "first_exposed": first_exposed}
    if not early.size:
        faults.add(
            message(
                "the baseline window holds no time; the times observed are {times}, the first exposure is at "
                "{first_exposed}.",
                **seen,
            )
        )
    if not late.size:
        faults.add(
            message(
                "the later window holds no time; the times observed are {times}, the first exposure is at "
                "{first_exposed}.",
                **seen,
            )
        )
    if early.size and late.size and late[0] <= early[-1]:
        faults.add(
            message(
                "the later window starts at {start}, and the baseline ends at {end}; part them.",
                start=late[0],
                end=early[-1],
            )
        )
    faults.raise_if_any()
    return _Windows(baseline=early, post=late)


def _usable(rows: Rows, windows: _Windows) -> Rows:
    """Rows of the two windows, of units seen throughout and clearly exposed or not; the rest counted."""
    first, last, baseline_end = windows.baseline[0], windows.post[-1], windows.baseline[-1]
    used = np.isin(rows.time, np.concatenate([windows.baseline, windows.post]))
    rows = rows.without(
        ~used,
        reason=message(
            "outside the windows {baseline} and {post}", baseline=_span(windows.baseline), post=_span(windows.post)
        ),
    )
    n_times = len(windows.baseline) + len(windows.post)
    is_short = np.bincount(rows.unit) < n_times if rows.unit.size else np.zeros(0, dtype=bool)
    rows = rows.without(rows.of_units(is_short), reason=message("unit not observed in each period of both windows"))
    rows = rows.without(
        rows.cohort - rows.anticipation <= baseline_end,
        reason=message(
            "exposed or in anticipation within the baseline {first}-{baseline_end}",
            first=first,
            baseline_end=baseline_end,
        ),
    )
    rows = rows.without(
        (rows.cohort > last) & (rows.cohort - rows.anticipation <= last),
        reason=message("in anticipation of its exposure by {last}", last=last),
    )
    if rows.comparison == "never":
        later = np.isfinite(rows.cohort) & (rows.cohort > last)
        rows = rows.without(
            later, reason=message("first exposed after {last}, and only the never exposed are compared", last=last)
        )
    return rows


def _units(rows: Rows, windows: _Windows) -> _Units:
    if not rows.unit.size:
        empty = np.zeros(0)
        return _Units(
            change=empty,
            exposed=empty.astype(bool),
            covariates=empty[:, None],
            weight=empty,
            cluster=empty.astype(np.int64),
        )
    early = rows.time <= windows.baseline[-1]
    columns = np.column_stack([rows.outcome, rows.covariates])
    before = _means(columns[early], unit=rows.unit[early])
    after = _means(columns[~early], unit=rows.unit[~early])
    first_row = np.flatnonzero(np.r_[True, np.diff(rows.unit) > 0])
    return _Units(
        change=after[:, 0] - before[:, 0],
        exposed=rows.cohort[first_row] <= windows.post[-1],
        covariates=before[:, 1:],
        weight=_means(rows.weight[:, None], unit=rows.unit)[:, 0],
        cluster=rows.cluster[first_row],
    )


def _means(columns: Floats, *, unit: Codes) -> Floats:
    n_units = int(unit.max()) + 1
    means: Floats = linear.group_sums(columns, groups=unit, n_groups=n_units) / np.bincount(unit)[:, None]
    return means


def _refuse_without_contrast(units: _Units, *, rows: Rows, windows: _Windows) -> None:
    n_exposed = int(units.exposed.sum())
    if 0 < n_exposed < len(units.exposed):
        return
    lost = losses(rows.exclusions)
    raise EstimationError(
        message(
            "{estimator}: {n_exposed} exposed and {n_comparison} comparison units are seen throughout "
            "{baseline} and {post} (left out: {lost}); both are needed: choose other windows.",
            estimator=NAME,
            n_exposed=n_exposed,
            n_comparison=len(units.exposed) - n_exposed,
            baseline=_span(windows.baseline),
            post=_span(windows.post),
            lost=lost,
        )
    )
