"""How strong an omitted variable must be to change a regression's answer: Cinelli and Hazlett, and Oster.

In: an estimate with its error and degrees of freedom, or a table to regress. Out: frozen values for a page.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from wwc_research import inference
from wwc_research.design.baseline import Baseline
from wwc_research.design.matching import covariate_matrix
from wwc_research.errors import EstimationError, Faults, listed
from wwc_research.estimators import linear
from wwc_research.estimators.absorption import absorb
from wwc_research.inference import NAN
from wwc_research.messages import message

Floats = NDArray[np.float64]
_Block = NDArray[Any]  # columns of floats, or one code a row

TIMES = (1.0, 2.0, 3.0)
R2_MAX_FACTOR = 1.3  # of the R2 with covariates: the share of randomised results that survive, Oster (2019), section 5
EVERYTHING = "all covariates together"  # name of the benchmark that is the whole group


@dataclass(frozen=True, slots=True, kw_only=True)
class Adjusted:
    """What an estimate becomes with an omitted variable of given strength in the regression."""

    estimate: float
    std_error: float
    ci_low: float
    ci_high: float

    def as_dict(self) -> dict[str, Any]:
        """Plain values; undefined numbers are None."""
        return _plain(asdict(self))


@dataclass(frozen=True, slots=True, kw_only=True)
class Benchmark:
    """How much of what is left an observed covariate (or a group) explains, given all the others.

    `with_treatment` is its partial R2 with exposure given the other covariates; `with_outcome` that with the outcome
    given exposure and the other covariates.
    """

    name: str
    title: str
    with_treatment: float
    with_outcome: float

    def as_dict(self) -> dict[str, Any]:
        """Plain values; undefined numbers are None."""
        return _plain(asdict(self))


@dataclass(frozen=True, slots=True, kw_only=True)
class Bound:
    """The estimate if an omitted variable were `times` as strong as an observed covariate.

    `partial_r2_treatment` and `partial_r2_outcome` are the strengths implied; where no variable can be so strong
    `adjusted` is None and `why` says it; `why` also says where the outcome's was cut to 1.
    """

    name: str
    title: str
    times: float
    partial_r2_treatment: float
    partial_r2_outcome: float
    adjusted: Adjusted | None
    why: str = ""

    def as_dict(self) -> dict[str, Any]:
        """Plain values, those of `adjusted` (estimate, std_error, ci_low, ci_high) beside the others."""
        own = {name: getattr(self, name) for name in ("name", "title", "times", "why")}
        strength = {"partial_r2_treatment": self.partial_r2_treatment, "partial_r2_outcome": self.partial_r2_outcome}
        nothing = dict.fromkeys(("estimate", "std_error", "ci_low", "ci_high"))
        return {**own, **_plain(strength), **(self.adjusted.as_dict() if self.adjusted else nothing)}


@dataclass(frozen=True, slots=True, kw_only=True)
class Contour:
    """The plane of strengths: what the estimate becomes, and the lines where it is nothing or no longer significant.

    `with_treatment` and `with_outcome` are the grid's partial R2; `estimates` has one row a value of `with_outcome`.
    `zero` and `significance` give for each value of `with_treatment` the least partial R2 with the outcome that makes
    the estimate zero, or its p-value as large as `alpha`; NaN where no such variable exists.
    """

    with_treatment: Floats
    with_outcome: Floats
    estimates: Floats
    zero: Floats
    significance: Floats
    alpha: float

    def as_dict(self) -> dict[str, Any]:
        """Plain lists; undefined numbers are None."""
        arrays = ("with_treatment", "with_outcome", "zero", "significance")
        lists: dict[str, Any] = {name: _plain_list(getattr(self, name)) for name in arrays}
        return {**lists, "estimates": [_plain_list(row) for row in self.estimates], "alpha": self.alpha}


@dataclass(frozen=True, slots=True, kw_only=True)
class Oster:
    """Selection on what is not observed, in proportion to that on what is; Oster (2019).

    `delta` is how many times as strong it would have to be for the effect to be `null`; `adjusted` the effect if it
    were `assumed_delta` times as strong, with the equation's other real roots in `other_roots`. `r2_max` is the R2
    assumed if everything were observed.
    """

    delta: float
    adjusted: float
    other_roots: tuple[float, ...]
    assumed_delta: float
    null: float
    beta_short: float
    r2_short: float
    beta_long: float
    r2_long: float
    r2_max: float

    def as_dict(self) -> dict[str, Any]:
        """Plain values; undefined numbers are None."""
        return {**_plain(asdict(self)), "other_roots": list(self.other_roots)}


@dataclass(frozen=True, slots=True, kw_only=True)
class Regression:
    """A linear regression of an outcome on treatment and covariates, with what sensitivity needs of it.

    `std_error` and `df` are the classical ones, on which Cinelli and Hazlett's algebra rests; `robust_std_error` with
    `robust_df` are of `robust_kind` (HC1, or CRV1 by cluster). Variances have n - 1 below; `r2_short` and `beta_short`
    are those without covariates.
    """

    estimate: float
    std_error: float
    df: float
    robust_std_error: float
    robust_df: float
    robust_kind: str
    n_units: int
    n_treated: int
    n_clusters: int
    r2_long: float
    beta_short: float
    r2_short: float
    variance_outcome: float
    variance_treatment: float
    variance_treatment_left: float
    benchmarks: tuple[Benchmark, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class OmittedVariables:
    """How far one regression can be shaken by a variable that is not in it.

    Attributes
    ----------
    regression
        The answer in question; robustness values and bounds rest on its classical error, as in sensemakr.
    partial_r2
        Share of what is left of the outcome that treatment explains, given the covariates.
    robustness_value, robustness_value_significance
        Partial R2 with both treatment and outcome at which the estimate shrinks by the share `q`, and at which its
        p-value reaches `alpha`.
    bounds
        The estimate with an omitted variable 1, 2, 3 times as strong as each covariate, and as all together.
    contour
        The whole plane, for the figure.
    oster
        None where there are no covariates.
    sentence
        The finding in plain English.
    """

    regression: Regression
    partial_r2: float
    q: float
    alpha: float
    robustness_value: float
    robustness_value_significance: float
    bounds: tuple[Bound, ...]
    contour: Contour
    oster: Oster | None
    sentence: str

    def as_dict(self) -> dict[str, Any]:
        """Plain JSON values; undefined numbers are None."""
        found = self.regression
        numbers = {
            "estimate": found.estimate,
            "std_error": found.std_error,
            "df": found.df,
            "robust_std_error": found.robust_std_error,
            "robust_df": found.robust_df,
            "partial_r2": self.partial_r2,
            "q": self.q,
            "alpha": self.alpha,
            "robustness_value": self.robustness_value,
            "robustness_value_significance": self.robustness_value_significance,
        }
        counts = {name: getattr(found, name) for name in ("robust_kind", "n_units", "n_treated", "n_clusters")}
        return {
            **_plain(numbers),
            **counts,
            "benchmarks": [item.as_dict() for item in found.benchmarks],
            "bounds": [item.as_dict() for item in self.bounds],
            "contour": self.contour.as_dict(),
            "oster": self.oster.as_dict() if self.oster else None,
            "sentence": self.sentence,
        }


def _plain(values: Mapping[str, Any]) -> dict[str, Any]:
    return {
        name: (float(value) if math.isfinite(value) else None) if isinstance(value, float) else value
        for name, value in values.items()
    }


def _plain_list(values: Floats) -> list[float | None]:
    return [float(value) if math.isfinite(value) else None for value in values]


def partial_r2(estimate: float, std_error: float, *, df: float) -> float:
    """Share of what is left of the outcome that a regressor explains, from its t value; NaN where undefined.

    t^2 / (t^2 + df): Cinelli and Hazlett (2020), "Making sense of sensitivity: extending omitted variable bias",
    Journal of the Royal Statistical Society B 82(1), section 4.2.
    """
    if not (math.isfinite(estimate) and math.isfinite(std_error) and std_error > 0 and df > 0):
        return NAN
    square = (estimate / std_error) ** 2
    return square / (square + df)


def robustness_value(
    estimate: float, std_error: float, *, df: float, q: float = 1.0, alpha: float | None = None
) -> float:
    """Partial R2 with treatment and with outcome alike, from which on an omitted variable overturns the estimate.

    Parameters
    ----------
    estimate, std_error, df
        Of the treatment in a linear regression; the error classical, `df` what is left of the rows.
    q
        Share of the estimate to be explained away; 1 is all of it.
    alpha
        With a level, overturned means no longer significant at it; without, shrunk by the share `q`.

    Notes
    -----
    Cinelli and Hazlett (2020), section 4.3. Where the answer rests on the omitted variable's strength with exposure
    alone the exact value is taken, as in sensemakr 0.1.6.
    """
    share = partial_r2(estimate, std_error, df=df)
    if math.isnan(share) or df <= 1 or not q > 0:
        return NAN
    strength = q * abs(estimate / std_error) / math.sqrt(df)
    critical = 0.0 if alpha is None else inference.critical_value(df - 1, level=1 - alpha) / math.sqrt(df - 1)
    left = strength - critical
    if left <= 0:
        return 0.0
    if critical > 0 and strength > 1 / critical:
        return (strength**2 - critical**2) / (1 + strength**2)
    return (math.sqrt(left**4 + 4 * left**2) - left**2) / 2


def adjusted(
    estimate: float,
    std_error: float,
    *,
    df: float,
    partial_r2_treatment: float,
    partial_r2_outcome: float,
    level: float = 0.95,
) -> Adjusted:
    """The estimate, error and interval with an omitted variable of these strengths that works against the estimate.

    Cinelli and Hazlett (2020), equations 7 and 8. A strong one turns the sign round.
    """
    if not (0 <= partial_r2_treatment < 1 and 0 <= partial_r2_outcome <= 1 and df > 1):
        return Adjusted(estimate=NAN, std_error=NAN, ci_low=NAN, ci_high=NAN)
    unexplained = 1 - partial_r2_treatment
    bias = std_error * math.sqrt(df * partial_r2_outcome * partial_r2_treatment / unexplained)
    value = (abs(estimate) - bias) * (1.0 if estimate >= 0 else -1.0)
    error = std_error * math.sqrt((1 - partial_r2_outcome) / unexplained * df / (df - 1))
    low, high = inference.confidence_interval(value, error, df - 1, level=level)
    return Adjusted(estimate=value, std_error=error, ci_low=low, ci_high=high)


def bound(
    estimate: float, std_error: float, *, df: float, benchmark: Benchmark, times: float, level: float = 0.95
) -> Bound:
    """The estimate if the omitted variable were `times` as strong as a covariate, with exposure and outcome alike.

    Cinelli and Hazlett (2020), section 4.4 and appendix: the bound with the outcome given exposure is conservative,
    and never above 1.
    """
    d, y = benchmark.with_treatment, benchmark.with_outcome
    strength = times * d / (1 - d) if d < 1 else math.inf
    if not (0 <= d < 1 and 0 <= y < 1) or strength >= 1 or times * d >= 1:
        why = message(
            "no variable can be {times:g} times as strong as this: it would explain all of exposure", times=times
        )
        return _impossible(benchmark, times=times, why=why)
    through_exposure = times * d**2 / ((1 - times * d) * (1 - d))
    if through_exposure >= 1:
        why = message("no variable can be {times:g} times as strong as this beside it", times=times)
        return _impossible(benchmark, times=times, why=why)
    root = (math.sqrt(times) + math.sqrt(through_exposure)) / math.sqrt(1 - through_exposure)
    uncapped = root**2 * y / (1 - y)
    with_outcome = min(uncapped, 1.0)
    return Bound(
        name=benchmark.name,
        title=benchmark.title,
        times=times,
        partial_r2_treatment=strength,
        partial_r2_outcome=with_outcome,
        adjusted=adjusted(
            estimate,
            std_error,
            df=df,
            partial_r2_treatment=strength,
            partial_r2_outcome=with_outcome,
            level=level,
        ),
        why=message("taken to explain all that is left of the outcome: it cannot explain more") if uncapped > 1 else "",
    )


def _impossible(benchmark: Benchmark, *, times: float, why: str) -> Bound:
    return Bound(
        name=benchmark.name,
        title=benchmark.title,
        times=times,
        partial_r2_treatment=NAN,
        partial_r2_outcome=NAN,
        adjusted=None,
        why=why,
    )


def contour(
    estimate: float,
    std_error: float,
    *,
    df: float,
    largest_treatment: float = 0.4,
    largest_outcome: float = 0.4,
    steps: int = 31,
    alpha: float = 0.05,
) -> Contour:
    """The estimate over the plane of strengths from 0 to the largest given, and both critical lines.

    On the line of significance sqrt(x) sin(a) + k cos(a) = |t| sqrt((1 - x) / df) with y = sin(a)^2 and
    k = t_crit / sqrt(df - 1), which is solved for the smaller angle; it is 0 where nothing is significant anyway.
    """
    # closer together near zero, where the lines bend
    x, y = (end * np.linspace(0, 1, steps) ** 2 for end in (largest_treatment, largest_outcome))
    odds = np.sqrt(x / (1 - x))
    bias = std_error * np.sqrt(df) * np.sqrt(y)[:, None] * odds[None, :]
    sign = 1.0 if estimate >= 0 else -1.0
    t_value = abs(estimate / std_error) if std_error > 0 else NAN
    with np.errstate(divide="ignore", invalid="ignore"):
        zero = (t_value / odds) ** 2 / df
    zero = np.where(zero <= 1, zero, NAN)
    critical = inference.critical_value(df - 1, level=1 - alpha) / math.sqrt(df - 1)
    wanted, radius = t_value * np.sqrt((1 - x) / df), np.hypot(np.sqrt(x), critical)
    reached = wanted <= radius
    angle = np.arcsin(np.where(reached, wanted / radius, 0.0)) - np.arctan2(critical, np.sqrt(x))
    significance = np.where(reached, np.sin(np.maximum(angle, 0.0)) ** 2, NAN)
    return Contour(
        with_treatment=x,
        with_outcome=y,
        estimates=sign * (abs(estimate) - bias),
        zero=zero,
        significance=significance,
        alpha=alpha,
    )


def oster(
    *,
    beta_short: float,
    r2_short: float,
    beta_long: float,
    r2_long: float,
    r2_max: float,
    variance_outcome: float,
    variance_treatment: float,
    variance_treatment_left: float,
    null: float = 0.0,
    assumed_delta: float = 1.0,
) -> Oster:
    """Proportional selection that would make the effect `null`, and the effect under `assumed_delta`, both exact.

    Parameters
    ----------
    beta_short, r2_short, beta_long, r2_long
        Coefficient of the treatment and R2 of the regressions without and with the covariates.
    r2_max
        R2 of the regression with all that is omitted, from `r2_long` to 1.
    variance_outcome, variance_treatment, variance_treatment_left
        Of the outcome, of the treatment, and of what the covariates leave of the treatment.
    null
        The effect that `delta` is asked to give.
    assumed_delta
        Strength of the selection on what is not observed for the adjusted effect; 1 is as strong as on what is.

    Notes
    -----
    Oster (2019), "Unobservable Selection and Coefficient Stability: Theory and Evidence", Journal of Business and
    Economic Statistics 37(2), propositions 1 to 3; the equation that Stata's psacalc solves. Of several real roots the
    one nearest `beta_long` that moves on as the covariates moved it (back, with a negative `assumed_delta`) is taken;
    the others are kept.
    """
    faults = Faults(where="proportional selection", kind=EstimationError)
    if not r2_long <= r2_max <= 1:
        faults.add(
            message(
                "r2_max is {r2_max:.4g}; it lies between the R2 with covariates ({r2_long:.4g}) and 1.",
                r2_max=r2_max,
                r2_long=r2_long,
            )
        )
    if not 0 < variance_treatment_left <= variance_treatment * (1 + 1e-9):
        faults.add(
            message(
                "the covariates leave a variance of treatment of {left:.4g} out of {total:.4g}; it must be above zero "
                "and no larger.",
                left=variance_treatment_left,
                total=variance_treatment,
            )
        )
    faults.raise_if_any()
    moved = beta_short - beta_long
    gained, missing = (r2_long - r2_short) * variance_outcome, (r2_max - r2_long) * variance_outcome
    total, left = variance_treatment, variance_treatment_left
    away = beta_long - null
    # both follow from one cubic in the bias: delta solves it for a given bias, the bias for a given delta
    taken = away**2 * left * moved * total + away**3 * (left * total - left**2)
    above = away * gained * left + away * total * left * moved**2 + 2 * away**2 * left * moved * total
    above += away**3 * (left * total - left**2)
    below = missing * moved * total + away * missing * (total - left) + taken
    roots = np.roots(
        [
            (assumed_delta - 1) * (left * total - left**2),
            left * moved * total * (assumed_delta - 2),
            assumed_delta * missing * (total - left) - gained * left - total * left * moved**2,
            assumed_delta * missing * moved * total,
        ]
    )
    real = sorted((float(root.real) for root in roots if abs(root.imag) <= 1e-9 * (1 + abs(root))), key=abs)
    onward = [bias for bias in real if bias * moved * assumed_delta >= 0]
    chosen = (onward or real or [NAN])[0]
    return Oster(
        delta=above / below if below != 0 else NAN,
        adjusted=beta_long - chosen,
        other_roots=tuple(beta_long - bias for bias in real if bias != chosen),
        assumed_delta=assumed_delta,
        null=null,
        beta_short=beta_short,
        r2_short=r2_short,
        beta_long=beta_long,
        r2_long=r2_long,
        r2_max=r2_max,
    )


def regression(
    frame: pd.DataFrame,
    *,
    outcome: str,
    treatment: str,
    covariates: Sequence[str],
    titles: Mapping[str, str] | None = None,
    benchmarks: Mapping[str, Sequence[str]] | None = None,
    cluster: str | None = None,
) -> Regression:
    """Least squares of the outcome on treatment and covariates, and how much each benchmark explains.

    Parameters
    ----------
    frame
        One row a unit.
    outcome, treatment
        Columns of finite numbers; the treatment as a rule 0 and 1.
    covariates
        Columns of numbers, or of text (one indicator a level); columns explained by those before are left out.
    titles
        Names of benchmarks on a page, by benchmark.
    benchmarks
        Covariates of each benchmark, by its name; by default each covariate by itself, and all together.
    cluster
        Column of groups that share shocks: the robust error is then CRV1 by it, else HC1.

    Raises
    ------
    InputError
        For missing columns or empty cells.
    EstimationError
        Where the covariates explain the treatment wholly, or rows are no more than parameters.
    """
    _refuse_unusable(frame, outcome=outcome, treatment=treatment, covariates=covariates, cluster=cluster)
    groups = (
        {name: [name] for name in covariates} if benchmarks is None else {k: list(v) for k, v in benchmarks.items()}
    )
    if benchmarks is None and len(covariates) > 1:
        groups[EVERYTHING] = list(covariates)
    y, d = frame[outcome].to_numpy(dtype=float), frame[treatment].to_numpy(dtype=float)
    blocks = _blocks(frame, covariates=covariates)
    errors, kind, n_clusters = _robust_errors(frame, cluster=cluster)
    classical = _fit(y, d, blocks=list(blocks.values()), errors=linear.ErrorModel(kind="iid"))
    robust = _fit(y, d, blocks=list(blocks.values()), errors=errors)
    everything = _left(y, d, others=list(blocks.values()))
    nothing = _left(y, d, others=[])
    found = []
    titles = {EVERYTHING: message("all covariates together"), **(titles or {})}
    for name, members in groups.items():
        without = _left(y, d, others=[block for key, block in blocks.items() if key not in members])
        found.append(
            Benchmark(
                name=name,
                title=titles.get(name, name),
                with_treatment=_share(without.treatment, everything.treatment),
                with_outcome=_share(without.both, everything.both),
            )
        )
    return Regression(
        estimate=float(classical.coefficients[0]),
        std_error=float(classical.std_errors[0]),
        df=classical.df,
        robust_std_error=float(robust.std_errors[0]),
        robust_df=robust.df,
        robust_kind=kind,
        n_units=len(y),
        n_treated=int((d > 0).sum()),
        n_clusters=n_clusters,
        r2_long=_share(float(np.square(y - y.mean()).sum()), everything.both),
        beta_short=nothing.slope,
        r2_short=_share(float(np.square(y - y.mean()).sum()), nothing.both),
        variance_outcome=float(y.var(ddof=1)),
        variance_treatment=float(d.var(ddof=1)),
        variance_treatment_left=everything.treatment / (len(y) - 1),
        benchmarks=tuple(found),
    )


def _refuse_unusable(
    frame: pd.DataFrame, *, outcome: str, treatment: str, covariates: Sequence[str], cluster: str | None
) -> None:
    faults = Faults(where="omitted variables")
    for name in (outcome, treatment, *covariates, *([cluster] if cluster else [])):
        if name not in frame:
            faults.add(f"no column {name!r}; the table has {listed(frame.columns, limit=12)}.")
        elif frame[name].isna().any():
            faults.add(f"{name!r} is empty in {int(frame[name].isna().sum()):,} rows; leave those out first.")
    faults.raise_if_any()


def _blocks(frame: pd.DataFrame, *, covariates: Sequence[str]) -> dict[str, _Block]:
    """Columns of each covariate; the codes of a text column that is the only one, which is absorbed."""
    text = [name for name in covariates if not pd.api.types.is_numeric_dtype(frame[name])]
    # of several absorbed columns the parameters could only be counted as if none were nested in the others
    if len(text) != 1:
        return {name: covariate_matrix(frame, covariates=[name]).to_numpy() for name in covariates}
    return {
        name: pd.factorize(frame[name])[0].astype(np.int64)
        if name in text
        else covariate_matrix(frame, covariates=[name]).to_numpy()
        for name in covariates
    }


def _split(blocks: Sequence[_Block]) -> tuple[list[Floats], list[NDArray[np.int64]]]:
    columns = [block for block in blocks if block.ndim == 2]
    effects = [block.astype(np.int64) for block in blocks if block.ndim == 1]
    return columns, effects


def _fit(y: Floats, d: Floats, *, blocks: Sequence[_Block], errors: linear.ErrorModel) -> linear.Fit:
    columns, effects = _split(blocks)
    first = [d] if effects else [d, np.ones(len(y))]
    design = np.column_stack([*first, *columns])
    return linear.fit(y, design, errors=errors, effects=effects, optional_from=len(first))


def _robust_errors(frame: pd.DataFrame, *, cluster: str | None) -> tuple[linear.ErrorModel, str, int]:
    if cluster is None:
        return linear.ErrorModel(kind="hetero"), "HC1", len(frame)
    codes = pd.factorize(frame[cluster])[0].astype(np.int64)
    return linear.ErrorModel(kind="cluster", clusters=(codes,)), "CRV1 by cluster", int(codes.max()) + 1


@dataclass(frozen=True, slots=True, kw_only=True)
class _Left:
    """Sums of squares that covariates leave: of the treatment, and of the outcome given the treatment too."""

    treatment: float
    both: float
    slope: float


def _left(y: Floats, d: Floats, *, others: Sequence[_Block]) -> _Left:
    columns, effects = _split(others)
    absorbed = absorb(np.column_stack([y, d, *columns]), effects=effects) if effects else None
    X = np.column_stack([np.ones(len(y)), *columns]) if absorbed is None else absorbed[:, 2:]
    # columns in one scale, so that the rank found does not hang on units
    scale = np.linalg.norm(X, axis=0)
    X = X / np.where(scale > 0, scale, 1.0)
    targets = np.column_stack([y, d]) if absorbed is None else absorbed[:, :2]
    rest = targets - X @ np.linalg.lstsq(X, targets, rcond=1e-10)[0]
    treatment = float(rest[:, 1] @ rest[:, 1])
    slope = float(rest[:, 1] @ rest[:, 0]) / treatment if treatment > 0 else NAN
    unexplained = rest[:, 0] - slope * rest[:, 1]
    return _Left(treatment=treatment, both=float(unexplained @ unexplained), slope=slope)


def _share(before: float, after: float) -> float:
    return max(0.0, 1 - after / before) if before > 0 else NAN


def omitted_variables(found: Regression, *, q: float = 1.0, alpha: float = 0.05) -> OmittedVariables:
    """How strong an omitted variable would have to be to overturn `found`, measured against its own covariates."""
    b, error, df = found.estimate, found.std_error, found.df
    bounds = tuple(
        bound(b, error, df=df, benchmark=item, times=times, level=1 - alpha)
        for item in found.benchmarks
        for times in (TIMES if item.name != EVERYTHING else TIMES[:1])
    )
    overturns = robustness_value(b, error, df=df, q=q)
    unsure = robustness_value(b, error, df=df, q=q, alpha=alpha)
    x_end, y_end = _plane(bounds, overturns)
    selection = None
    if found.benchmarks:
        selection = oster(
            beta_short=found.beta_short,
            r2_short=found.r2_short,
            beta_long=b,
            r2_long=found.r2_long,
            r2_max=min(1.0, R2_MAX_FACTOR * found.r2_long),
            variance_outcome=found.variance_outcome,
            variance_treatment=found.variance_treatment,
            variance_treatment_left=found.variance_treatment_left,
        )
    return OmittedVariables(
        regression=found,
        partial_r2=partial_r2(b, error, df=df),
        q=q,
        alpha=alpha,
        robustness_value=overturns,
        robustness_value_significance=unsure,
        bounds=bounds,
        contour=contour(b, error, df=df, largest_treatment=x_end, largest_outcome=y_end, alpha=alpha),
        oster=selection,
        sentence=_sentence(found, overturns=overturns, unsure=unsure, q=q, bounds=bounds, selection=selection),
    )


def _plane(bounds: Sequence[Bound], overturns: float) -> tuple[float, float]:
    """How far the plane of strengths reaches: a little beyond the robustness value and single benchmarks not cut."""
    single = [item for item in bounds if item.times == 1 and item.adjusted and not item.why and item.name != EVERYTHING]
    x = max([overturns, *(item.partial_r2_treatment for item in single)], default=0.1)
    y = max([overturns, *(item.partial_r2_outcome for item in single)], default=0.1)
    return min(max(1.25 * x, 0.05), 0.9), min(max(1.25 * y, 0.05), 0.9)


def _sentence(
    found: Regression,
    *,
    overturns: float,
    unsure: float,
    q: float,
    bounds: Sequence[Bound],
    selection: Oster | None,
) -> str:
    if not math.isfinite(overturns):
        return message(
            "How strong a hidden difference would have to be cannot be told: the regression has no usable error."
        )
    told = {"overturns": overturns, "unsure": unsure, "what": message("all") if q == 1 else message("{q:.0%}", q=q)}
    first = (
        message(
            "A hidden difference between exposed and comparison units that explains {overturns:.1%} of what is left of "
            "both exposure and outcome could account for {what} of the difference found ({unsure:.1%} could make it "
            "not significant).",
            **told,
        )
        if unsure > 0
        else message(
            "A hidden difference between exposed and comparison units that explains {overturns:.1%} of what is left of "
            "both exposure and outcome could account for {what} of the difference found, which is not significant "
            "anyway.",
            **told,
        )
    )
    parts = [first, _benchmark_words(found, bounds), _oster_words(selection)]
    return message("{parts:sentences}", parts=[part for part in parts if part])


def _benchmark_words(found: Regression, bounds: Sequence[Bound]) -> str:
    """What a variable as strong as the covariate that would shake the estimate most would leave of it."""
    once = [item for item in bounds if item.times == 1 and item.adjusted is not None and item.name != EVERYTHING]
    if not once:
        return ""
    sign = 1.0 if found.estimate >= 0 else -1.0
    worst = min(once, key=lambda item: sign * item.adjusted.estimate if item.adjusted else math.inf)
    left = sign * worst.adjusted.estimate / abs(found.estimate) if worst.adjusted and found.estimate else NAN
    if left > 0:
        return message(
            "One as strong as the strongest covariate known ({title}) would leave {left:.0%} of it.",
            title=worst.title,
            left=left,
        )
    return message(
        "One as strong as the strongest covariate known ({title}) would turn its sign round.", title=worst.title
    )


def _oster_words(selection: Oster | None) -> str:
    if selection is None or not math.isfinite(selection.delta):
        return ""
    delta = selection.delta
    if delta < 0:
        return message(
            "Hidden differences that work as the covariates do would not explain it; they would have to work the other "
            "way (Oster's delta {delta:.1f}).",
            delta=delta,
        )
    return message(
        "Selection on what is not observed would have to be {delta:.1f} times as strong as that on the covariates to "
        "explain it (Oster's delta).",
        delta=delta,
    )


def from_baseline(baseline: Baseline, *, q: float = 1.0, alpha: float = 0.05) -> OmittedVariables:
    """The robustness of the change since the baseline to a variable that its covariates leave out.

    Regression of the change of the outcome on exposure and every baseline column. Robustness values, bounds and lines
    rest on the classical t value, as in sensemakr; the error clustered by county (HC1 where every unit is a county of
    its own) is given beside it. Benchmarks are each covariate and all together, 1, 2 and 3 times as strong (all
    together once).

    Raises
    ------
    EstimationError
        Where units are no more than parameters, or the covariates explain exposure wholly.
    """
    frame = baseline.frame.assign(treated=baseline.frame["treated"].astype(float))
    cluster = "cluster" if frame["cluster"].nunique() < len(frame) else None
    found = regression(
        frame,
        outcome="outcome",
        treatment="treated",
        covariates=baseline.columns,
        titles=baseline.titles,
        cluster=cluster,
    )
    return omitted_variables(found, q=q, alpha=alpha)
