r"""Weighted difference: weighted mean of the treated less that of the controls, also with covariates.

**Estimand.** Always that of the weighting: the average effect on the treated (ATT), on all units (ATE) or on the
overlap (ATO), with words behind it where trimming or dropping units changed whom it speaks of. With a change as
outcome (after less before) it is a weighted difference in differences.

**Assumptions.** Given the covariates that the weights rest on, treated and control units would have had the same
mean outcome without treatment (ATE, ATO: and with it); every unit of the estimand has its like in the other group.
With `covariates` one of two may be wrong, the weights or the linear outcome models: the estimate is doubly robust
(Wooldridge 2007; for entropy balancing Zhao and Percival 2017).

**Equation.** $\hat\tau = a'(\hat\beta_1-\hat\beta_0)$, where $\hat\beta_d$ comes from weighted least squares of $y$ on
$x=(1,\text{covariates})$ among units with treatment $d$, and $a$ is the mean of $x$ over the units of the estimand
(ATT: the treated by their weights; ATE: all units that count; ATO: all by their weights). Without covariates
$\hat\tau$ is the difference of weighted means.

**Standard errors.** The sum of squares of each unit's contribution $\psi_i = \frac{t_i}{\sum t}(x_i-a)'
(\hat\beta_1-\hat\beta_0) + (2D_i-1)\,a'A_{D_i}^{-1}x_i w_i\hat e_i$, with $A_d=\sum_{D_i=d} w_i x_i x_i'$ and $t$ the
weights of the estimand: `hc0` as it is; `hc1` times $n/(n-k)$, $t$ with $n-k$ degrees of freedom; `set` and
`cluster` from sums by matched set or stratum, or by cluster, times $\frac{G}{G-1}\frac{n-1}{n-k}$, $t$ with $G-1$;
`set_and_cluster` two-way (Cameron, Gelbach and Miller 2011). $k$ counts both groups' coefficients. All take the
weights as given; for inverse probability weights of the ATE that is cautious on average (Lunceford and Davidian
2004), for the ATT it may err either way; where the covariates explain much of the outcome intervals without
`covariates` are far too wide (all of 300 held the truth in a simulation, 94 to 96 % with `covariates` for the ATT). For
the ATE with few treated units weights are few and large and intervals too short: with 41 treated of 480 they held the
truth in 86 % of 400 simulated worlds, 90 % with full matching; use `bootstrap` or the ATT there.
`bootstrap`: the standard deviation over draws of whole matched sets, or of units (or `cluster`s) with the weights
found anew in each draw by `reweight`; normal. Default: `set` where there are 20 sets or more, `set_and_cluster` with
a cluster, else `cluster` or `hc1`.

**Edge cases.** With a single set or cluster, as many parameters as units, or no noise the standard error is
undefined. Covariate values of the estimand that a group does not span are an error. A bootstrap of nearest
neighbours with replacement is refused: it is not valid (Abadie and Imbens 2008). Draws that cannot be weighted are
counted; more than one in ten is an error.

**Reference.** Wooldridge (2007), "Inverse probability weighted estimation for general missing data problems",
Journal of Econometrics 141(2); Zhao and Percival (2017), "Entropy balancing is doubly robust", Journal of Causal
Inference 5(1); Lunceford and Davidian (2004), Statistics in Medicine 23(19); Abadie and Imbens (2008), "On the
failure of the bootstrap for matching estimators", Econometrica 76(6); Abadie and Spiess (2022), "Robust
post-matching inference", JASA 117(538). Numbers: R's stats and sandwich on the LaLonde data.

**Deviations.** Inference is by the t distribution where R's sandwich leaves it to the user.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal, get_args

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from wwc_research.design.matching import covariate_matrix
from wwc_research.design.weighting import Weighting
from wwc_research.errors import EstimationError, Faults, InputError, listed
from wwc_research.estimators import linear
from wwc_research.estimators.estimate import Estimate
from wwc_research.inference import NAN
from wwc_research.messages import message

NAME = "weighted_difference"

StdErrors = Literal["hc0", "hc1", "set", "cluster", "set_and_cluster", "bootstrap"]
Reweight = Callable[[pd.DataFrame], Weighting]

Floats = NDArray[np.float64]
Flags = NDArray[np.bool_]

_CONVENTIONS: dict[StdErrors, str] = {
    "hc0": "HC0",
    "hc1": "HC1",
    "set": "CRV1 by matched set or stratum",
    "cluster": "CRV1 by cluster",
    "set_and_cluster": "two-way by matched set and cluster",
    "bootstrap": "standard deviation over bootstrap draws",
}
_ENOUGH_SETS = 20  # fewer clusters than this leave a clustered error too small
_FAILED_SHARE = 0.1
_EXACT = 1e-12  # contributions this small against the outcome are rounding


@dataclass(frozen=True, slots=True, kw_only=True)
class _Rows:
    """The units that count. `X` starts with a constant; `target` weighs the units the estimand speaks of."""

    y: Floats
    treated: Flags
    weights: Floats
    X: Floats
    target: Floats


@dataclass(frozen=True, slots=True, kw_only=True)
class _Effect:
    """The effect, each unit's contribution to its error, and how many coefficients it took."""

    value: float
    contributions: Floats
    n_parameters: int


def estimate(
    frame: pd.DataFrame,
    weighting: Weighting,
    *,
    treatment: str,
    outcome: str,
    covariates: Sequence[str] = (),
    cluster: str | None = None,
    std_errors: StdErrors | None = None,
    reweight: Reweight | None = None,
    draws: int = 999,
    generator: np.random.Generator | None = None,
) -> Estimate:
    """The average effect of a treatment on the units that a weighting speaks of.

    Parameters
    ----------
    frame
        The table that was weighted: same index, with treatment, outcome, covariates and cluster.
    weighting
        From any method of `wwc_research.design`.
    treatment
        Column of 0 and 1.
    outcome
        Column of finite numbers (a level or a change) for every unit that counts.
    covariates
        Columns of numbers or text for the outcome models, known before exposure; none by default.
    cluster
        Column of groups that share shocks, such as the county of a city.
    std_errors
        By default as the method card says.
    reweight
        For `bootstrap` without matched sets: gives the weighting of a drawn table (new index, same columns), for
        example `lambda drawn: entropy_balancing(drawn, treatment="certified", covariates=[...])`.
    draws, generator
        For `bootstrap`: how many draws, and where the randomness comes from.

    Raises
    ------
    InputError
        For missing columns or values, and standard errors that the weighting cannot give, all at once.
    EstimationError
        If a group has no weight, or the covariates of the estimand lie outside what a group spans.
    """
    kind = std_errors or _default(weighting, cluster)
    _refuse_unusable(frame, weighting, treatment, outcome, cluster, kind)
    _refuse_unfit_bootstrap(weighting, kind, reweight=reweight, draws=draws, generator=generator)
    counted = frame.loc[weighting.weights.index[weighting.weights > 0]]
    columns = _Columns(treatment=treatment, outcome=outcome, covariates=tuple(covariates))
    rows = _rows(counted, weighting, columns)
    found = _effect(rows)
    groups = _groups(counted, weighting, cluster=cluster, kind=kind)
    extra: dict[str, Any] = {}
    if kind == "bootstrap" and reweight is not None:
        std_error, extra = _redrawn(
            frame, columns, reweight=reweight, cluster=cluster, draws=draws, generator=generator
        )
        df = math.inf
    elif kind == "bootstrap":
        std_error, extra = _sets_redrawn(rows, groups[0], draws=draws, generator=generator)
        df = math.inf
    else:
        std_error, df = _std_error(found, groups=groups, kind=kind)
    return Estimate(
        estimator=NAME,
        estimand=weighting.estimand,
        estimate=found.value,
        std_error=std_error,
        df=df,
        n_obs=len(rows.y),
        n_units=len(rows.y),
        n_treated=int(rows.treated.sum()),
        n_clusters=min((int(codes.max()) + 1 for codes in groups), default=len(rows.y)),
        exclusions=weighting.exclusions,
        settings={
            **weighting.settings,
            "method": weighting.method,
            "outcome_covariates": list(covariates),
            "std_errors": kind,
            "std_error_convention": _CONVENTIONS[kind],
            **extra,
        },
    )


def _default(weighting: Weighting, cluster: str | None) -> StdErrors:
    if weighting.n_sets >= _ENOUGH_SETS:
        return "set" if cluster is None else "set_and_cluster"
    return "hc1" if cluster is None else "cluster"


def _refuse_unusable(
    frame: pd.DataFrame, weighting: Weighting, treatment: str, outcome: str, cluster: str | None, kind: StdErrors
) -> None:
    faults = Faults(where="weighted difference")
    if kind not in get_args(StdErrors):
        faults.add(f"std_errors {kind!r} is unknown; use {listed(get_args(StdErrors), limit=9)}.")
    if kind in ("set", "set_and_cluster") and weighting.sets is None:
        faults.add(f"std_errors {kind!r} need matched sets or strata, and {weighting.method} gives none.")
    if kind in ("cluster", "set_and_cluster") and cluster is None:
        faults.add(f"std_errors {kind!r} need a cluster column.")
    labels = weighting.weights.index[weighting.weights > 0]
    absent = labels.difference(frame.index)
    if len(absent) or not frame.index.is_unique:
        faults.add(f"weights and table disagree: {listed(absent)} absent; use the table that was weighted.")
        faults.raise_if_any()
    counted = frame.loc[labels]
    for name in (treatment, outcome, cluster):
        if name is None:
            continue
        if name not in counted:
            faults.add(f"no column {name!r}; the table has {listed(counted.columns, limit=12)}.")
        elif counted[name].isna().any():
            units = listed(counted.index[counted[name].isna()])
            faults.add(f"{name!r} is empty for units {units}; leave them out before weighting.")
    if outcome in counted and not pd.api.types.is_numeric_dtype(counted[outcome]):
        faults.add(f"outcome {outcome!r} is no column of numbers.")
    elif outcome in counted and np.isinf(counted[outcome].to_numpy(dtype=float)).any():
        faults.add(f"outcome {outcome!r} has infinite values; leave those units out before weighting.")
    if treatment in counted and not set(counted[treatment].dropna().unique()) <= {0, 1}:
        faults.add(f"treatment {treatment!r} must be 0 or 1; it has {listed(counted[treatment].unique())}.")
    faults.raise_if_any()


def _refuse_unfit_bootstrap(
    weighting: Weighting,
    kind: StdErrors,
    *,
    reweight: Reweight | None,
    draws: int,
    generator: np.random.Generator | None,
) -> None:
    if kind != "bootstrap":
        return
    faults = Faults(where="weighted difference, bootstrap")
    if weighting.pairs is not None and weighting.sets is None:
        faults.add(
            "it is not valid for nearest neighbours with replacement (Abadie and Imbens 2008, Econometrica 76(6)); use "
            "matched_difference with std_errors 'abadie_imbens'."
        )
    elif weighting.pairs is not None and reweight is not None:
        faults.add("matched sets are drawn whole, not matched anew (Abadie and Spiess 2022); leave reweight out.")
    elif weighting.sets is None and reweight is None:
        faults.add(f"{weighting.method} has no sets to draw; give reweight, which finds the weights of each draw.")
    if draws < 2:
        faults.add(f"draws is {draws}; give 2 or more, 999 for a page.")
    if generator is None:
        faults.add("it needs a seed.")
    faults.raise_if_any()


@dataclass(frozen=True, slots=True, kw_only=True)
class _Columns:
    """Which columns of the table are what."""

    treatment: str
    outcome: str
    covariates: tuple[str, ...]


def _rows(counted: pd.DataFrame, weighting: Weighting, columns: _Columns) -> _Rows:
    weights = weighting.weights.loc[counted.index].to_numpy(dtype=float)
    treated = counted[columns.treatment].to_numpy(dtype=float) == 1
    if treated.all() or not treated.any():
        raise EstimationError(
            message(
                "weighted difference: no control has a weight above zero, so there is nothing to compare. Trim less or "
                "match on less."
            )
            if treated.any()
            else message(
                "weighted difference: no treated unit has a weight above zero, so there is nothing to compare. Trim "
                "less or match on less."
            )
        )
    X = np.ones((len(counted), 1))
    if columns.covariates:
        matrix = covariate_matrix(counted, covariates=columns.covariates).to_numpy()
        spread = matrix.std(axis=0)
        X = np.column_stack([X, (matrix - matrix.mean(axis=0)) / np.where(spread > 0, spread, 1.0)])
    target = weights
    if weighting.estimand.startswith("ATT"):
        target = np.where(treated, weights, 0.0)
    elif weighting.estimand.startswith("ATE"):
        base = weighting.settings.get("base_weights")
        target = np.ones(len(counted)) if base is None else counted[base].to_numpy(dtype=float)
    y = counted[columns.outcome].to_numpy(dtype=float)
    return _Rows(y=y, treated=treated, weights=weights, X=X, target=target)


def _effect(rows: _Rows) -> _Effect:
    """The method card's equation, and each unit's share in the error."""
    share = rows.target / rows.target.sum()
    goal = share @ rows.X
    contributions = np.zeros(len(rows.y))
    difference = np.zeros(rows.X.shape[1])
    n_parameters = 0
    for side, sign in ((rows.treated, 1.0), (~rows.treated, -1.0)):
        X, y = rows.X[side], rows.y[side]
        weights = rows.weights[side] / rows.weights[side].sum()
        inverse, rank = _inverse_on_range((X * weights[:, None]).T @ X, goal, is_treated=sign > 0)
        # centred, so that a level common to all costs no digits
        centre = float(weights @ y)
        coefficients = inverse @ (X.T @ (weights * (y - centre)))
        residuals = y - centre - X @ coefficients
        contributions[side] = sign * (X @ (inverse @ goal)) * weights * residuals
        coefficients[0] += centre
        difference += sign * coefficients
        n_parameters += rank
    contributions += share * ((rows.X - goal) @ difference)
    if np.linalg.norm(contributions) * len(rows.y) <= _EXACT * np.linalg.norm(rows.y):
        contributions = np.zeros_like(contributions)
    return _Effect(value=float(goal @ difference), contributions=contributions, n_parameters=n_parameters)


def _inverse_on_range(products: Floats, goal: Floats, *, is_treated: bool) -> tuple[Floats, int]:
    """Inverse of the cross products on the space that they span, which must hold `goal`; and its dimension."""
    values, vectors = np.linalg.eigh(products)
    kept = values > 1e-10 * values.max()
    beyond = vectors[:, ~kept].T @ goal
    if np.abs(beyond).max(initial=0.0) > 1e-6:
        raise EstimationError(
            message(
                "weighted difference: no treated unit that counts tells of some covariate values of the units the "
                "estimand speaks of. Leave the covariate (or its rare category) out."
            )
            if is_treated
            else message(
                "weighted difference: no control that counts tells of some covariate values of the units the estimand "
                "speaks of. Leave the covariate (or its rare category) out."
            )
        )
    inverse: Floats = (vectors[:, kept] / values[kept]) @ vectors[:, kept].T
    return inverse, int(kept.sum())


def _groups(
    counted: pd.DataFrame, weighting: Weighting, *, cluster: str | None, kind: StdErrors
) -> tuple[linear.Codes, ...]:
    """Codes by which contributions are added up, or units drawn: sets, clusters, both or none."""
    groups: list[linear.Codes] = []
    draws_clusters = kind == "bootstrap" and cluster is not None
    if weighting.sets is not None and (kind in ("set", "set_and_cluster") or (kind == "bootstrap" and cluster is None)):
        sets = weighting.sets.loc[counted.index]
        own = np.arange(len(sets)) + int(sets.max()) + 1 if sets.notna().any() else np.arange(len(sets))
        codes = np.where(sets.isna(), own, sets.fillna(-1).to_numpy(dtype=np.int64))
        groups.append(pd.factorize(codes)[0].astype(np.int64))
    if cluster is not None and (kind in ("cluster", "set_and_cluster") or draws_clusters):
        groups.append(pd.factorize(counted[cluster])[0].astype(np.int64))
    if draws_clusters and weighting.sets is not None and weighting.pairs is not None:
        spread = counted[cluster].groupby(weighting.sets.loc[counted.index]).nunique()
        if (spread > 1).any():
            raise InputError(
                f"weighted difference, bootstrap: {int((spread > 1).sum()):,} matched sets reach across clusters, so "
                "neither can be drawn whole; use std_errors 'set_and_cluster'."
            )
    return tuple(groups)


def _std_error(found: _Effect, *, groups: tuple[linear.Codes, ...], kind: StdErrors) -> tuple[float, float]:
    n = len(found.contributions)
    rest = n - found.n_parameters
    if rest <= 0:
        return NAN, NAN
    if not groups:
        factor = 1.0 if kind == "hc0" else n / rest
        return linear.std_error(factor * float(np.square(found.contributions).sum())), float(rest)
    n_groups = min(int(codes.max()) + 1 for codes in groups)
    if n_groups < 2:
        return NAN, NAN

    def squares(codes: linear.Codes) -> float:
        return float(np.square(np.bincount(codes, weights=found.contributions)).sum())

    total = sum(squares(codes) for codes in groups)
    if len(groups) == 2:
        total -= squares(np.unique(np.column_stack(groups), axis=0, return_inverse=True)[1].reshape(-1))
    factor = n_groups / (n_groups - 1) * (n - 1) / rest
    return linear.std_error(factor * total), float(n_groups - 1)


def _sets_redrawn(
    rows: _Rows, codes: linear.Codes, *, draws: int, generator: np.random.Generator | None
) -> tuple[float, dict[str, Any]]:
    """Standard deviation over draws of whole groups, the weights as they are."""
    if generator is None:
        raise InputError("weighted difference, bootstrap: it needs a seed.")
    n_groups = int(codes.max()) + 1
    values: list[float] = []
    for _ in range(draws):
        times = np.bincount(generator.integers(n_groups, size=n_groups), minlength=n_groups)[codes]
        drawn = times > 0
        if rows.treated[drawn].all() or not rows.treated[drawn].any():
            continue
        part = _Rows(
            y=rows.y[drawn],
            treated=rows.treated[drawn],
            weights=(rows.weights * times)[drawn],
            X=rows.X[drawn],
            target=(rows.target * times)[drawn],
        )
        try:
            values.append(_effect(part).value)
        except EstimationError:
            continue
    return _spread(values, draws=draws)


def _redrawn(
    frame: pd.DataFrame,
    columns: _Columns,
    *,
    reweight: Reweight,
    cluster: str | None,
    draws: int,
    generator: np.random.Generator | None,
) -> tuple[float, dict[str, Any]]:
    """Standard deviation over draws of units or clusters, with weights found anew in each."""
    if generator is None:
        raise InputError("weighted difference, bootstrap: it needs a seed.")
    codes = np.arange(len(frame)) if cluster is None else pd.factorize(frame[cluster])[0]
    members = np.split(np.argsort(codes, kind="stable"), np.cumsum(np.bincount(codes))[:-1])
    values: list[float] = []
    for _ in range(draws):
        picked = generator.integers(len(members), size=len(members))
        drawn = frame.iloc[np.concatenate([members[number] for number in picked])].reset_index(drop=True)
        if drawn[columns.treatment].nunique() < 2:
            continue
        try:
            weighting = reweight(drawn)
            counted = drawn.loc[weighting.weights.index[weighting.weights > 0]]
            values.append(_effect(_rows(counted, weighting, columns)).value)
        except EstimationError:
            continue
    return _spread(values, draws=draws)


def _spread(values: Sequence[float], *, draws: int) -> tuple[float, dict[str, Any]]:
    failed = draws - len(values)
    if failed > _FAILED_SHARE * draws or len(values) < 2:
        raise EstimationError(
            message(
                "weighted difference, bootstrap: {failed:,} of {draws:,} draws could not be weighted or "
                "estimated, so the rest are no fair draws. Use fewer covariates, or std_errors 'hc1'.",
                failed=failed,
                draws=draws,
            )
        )
    return linear.std_error(float(np.var(values, ddof=1))), {"draws": draws, "draws_failed": failed}
