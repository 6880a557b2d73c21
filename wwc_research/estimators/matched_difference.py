r"""Matched difference: weighted mean of the treated less that of their matched controls.

**Estimand.** The average effect on the treated (ATT); on the *matched* treated where a caliper, exact
covariates or a lack of controls left some without a match. With a change as outcome (after less before) it
is a matched difference in differences.

**Assumptions.** Given the covariates that were matched on, treated and control units would have had the same
mean outcome (for changes: the same mean change) without treatment; controls like every treated unit exist.

**Equation.** $\hat\tau = \frac{1}{N_1}\sum_{i:D_i=1}\Big(y_i - \sum_j w_{ij}\,y_j\Big)$, $\sum_j w_{ij} =
1$: least squares of the outcome on treatment with the matching weights. With `bias_covariates` every $y$ is first
replaced by $y-\hat\mu_0(x)$, where $\hat\mu_0$ is least squares of the outcome on these covariates among the matched
controls, weighted by $K_j=\sum_i w_{ij}$: the bias adjustment of Abadie and Imbens (2011), eq. 4.

**Standard errors.** Without replacement CRV1 by matched set, $\frac{G}{G-1}\frac{n-1}{n-2}$ times the
sandwich, $t$ with $G-1$ degrees of freedom; with `cluster` two-way by matched set and cluster (Cameron,
Gelbach and Miller 2011). With replacement HC1, or CRV1 by `cluster`. `abadie_imbens`: homoscedastic form of
Abadie and Imbens (2006), normal, $\frac{1}{N_1^2}\Big[\sum_{D_i=1}(\hat\tau_i-\hat\tau)^2 +
\sum_{D_j=0}(K_j^2-\tilde K_j)\,\hat\sigma^2\Big]$ with $K_j=\sum_i w_{ij}$, $\tilde K_j=\sum_i w_{ij}^2$ and
$\hat\sigma^2$ half the weighted mean of $(y_i-y_j-\hat\tau)^2$. The others take the matches as given. All take
$\hat\mu_0$ as given, which costs nothing in large samples (Abadie and Imbens 2011, theorem 2), and an estimated
propensity score as known.

**Edge cases.** With a single matched set, or residuals of zero, the standard error is undefined. A bias covariate
that is the same for all matched controls (or explained by the others) adjusts nothing.

**Reference.** Ho, Imai, King and Stuart (2011), "MatchIt", Journal of Statistical Software 42(8); Abadie and
Imbens (2006), "Large sample properties of matching estimators", Econometrica 74(1), and (2011), "Bias-corrected
matching estimators", Journal of Business and Economic Statistics 29(1). Numbers: MatchIt 4.7.2 and Matching 4.10.8
on the LaLonde data.

**Deviations.** Inference is by the t distribution where MatchIt's guides use the normal. Matching adjusts for bias by
the covariates matched on; here they are named. Its ties are controls within $10^{-5}$ of the least squared distance:
`nearest` with `tie_tolerance`.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Literal, get_args

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from wwc_research.design.matching import Matches, covariate_matrix
from wwc_research.errors import EstimationError, Faults, listed
from wwc_research.estimators import linear
from wwc_research.estimators.estimate import Estimate
from wwc_research.inference import NAN
from wwc_research.messages import message

NAME = "matched_difference"

StdErrors = Literal["matched_set", "cluster", "matched_set_and_cluster", "hc1", "abadie_imbens"]

_CONVENTIONS: dict[StdErrors, str] = {
    "matched_set": "CRV1 by matched set",
    "cluster": "CRV1 by cluster",
    "matched_set_and_cluster": "two-way by matched set and cluster",
    "hc1": "HC1",
    "abadie_imbens": "Abadie and Imbens (2006), homoscedastic",
}


def estimate(
    frame: pd.DataFrame,
    matches: Matches,
    *,
    outcome: str,
    cluster: str | None = None,
    std_errors: StdErrors | None = None,
    bias_covariates: Sequence[str] = (),
) -> Estimate:
    """The average effect on the matched treated units.

    Parameters
    ----------
    frame
        The table that was matched: same index, with the outcome (a level or a change) and the cluster.
    matches
        From `wwc_research.design.matching.nearest`.
    outcome
        Column of finite numbers for every matched unit.
    cluster
        Column of groups that share shocks, such as the county of a city.
    std_errors
        By default as the method card says: `matched_set`, `matched_set_and_cluster`, `hc1` or `cluster`;
        `abadie_imbens` on demand, with replacement.
    bias_covariates
        Columns of numbers or text whose remaining differences within the matches are adjusted for by regression,
        as a rule those that were matched on; none by default.

    Raises
    ------
    InputError
        For a missing column, missing outcomes, or standard errors that the matches cannot give.
    EstimationError
        If matched controls are too few for the bias covariates.
    """
    kind = std_errors or _default(matches, cluster)
    matched = frame.loc[matches.weights.index[matches.weights > 0]]
    _refuse_unusable(matched, matches, outcome=outcome, cluster=cluster, kind=kind)
    weights = matches.weights.loc[matched.index].to_numpy()
    treated = matched.index.isin(matches.pairs["treated"])
    y = matched[outcome].to_numpy(dtype=float)
    if bias_covariates:
        X = covariate_matrix(matched, covariates=bias_covariates).to_numpy()
        y = y - _untreated_outcomes(y, X, controls=~treated, weights=weights)
    effect = float(
        np.average(y[treated], weights=weights[treated]) - np.average(y[~treated], weights=weights[~treated])
    )
    clusters = _cluster_codes(matched, matches, cluster=cluster, kind=kind)
    if kind == "abadie_imbens":
        std_error, df = _abadie_imbens(pd.Series(y, index=matched.index), matches, effect=effect), math.inf
    elif len(y) <= 2 or any(codes.max() == 0 for codes in clusters):
        std_error, df = NAN, NAN
    else:
        std_error, df = _least_squares(y, treated, weights, clusters=clusters)
    return Estimate(
        estimator=NAME,
        estimand=matches.estimand,
        estimate=effect,
        std_error=std_error,
        df=df,
        n_obs=len(y),
        n_units=len(y),
        n_treated=matches.n_matched_treated,
        n_clusters=min((int(codes.max()) + 1 for codes in clusters), default=len(y)),
        exclusions=matches.exclusions,
        settings={
            **matches.settings,
            "bias_covariates": list(bias_covariates),
            "std_errors": kind,
            "std_error_convention": _CONVENTIONS[kind],
        },
    )


def _default(matches: Matches, cluster: str | None) -> StdErrors:
    if matches.with_replacement:
        return "hc1" if cluster is None else "cluster"
    return "matched_set" if cluster is None else "matched_set_and_cluster"


def _refuse_unusable(
    matched: pd.DataFrame, matches: Matches, *, outcome: str, cluster: str | None, kind: StdErrors
) -> None:
    faults = Faults(where="matched difference")
    if kind not in get_args(StdErrors):
        faults.add(f"std_errors {kind!r} is unknown; use {listed(get_args(StdErrors))}.")
    if matches.with_replacement and kind in ("matched_set", "matched_set_and_cluster"):
        faults.add(f"std_errors {kind!r} need matching without replacement; use 'hc1' or 'cluster'.")
    if not matches.with_replacement and kind == "abadie_imbens":
        faults.add("std_errors 'abadie_imbens' need matching with replacement; use 'matched_set'.")
    if cluster is None and kind in ("cluster", "matched_set_and_cluster"):
        faults.add(f"std_errors {kind!r} need a cluster column.")
    for name in (outcome, cluster):
        if name is None:
            continue
        if name not in matched:
            faults.add(f"no column {name!r}; the table has {listed(matched.columns, limit=12)}.")
        elif matched[name].isna().any():
            units = listed(matched.index[matched[name].isna()])
            faults.add(f"{name!r} is empty for matched units {units}; leave them out before matching.")
    faults.raise_if_any()


def _cluster_codes(
    matched: pd.DataFrame, matches: Matches, *, cluster: str | None, kind: StdErrors
) -> tuple[linear.Codes, ...]:
    codes: list[linear.Codes] = []
    if kind in ("matched_set", "matched_set_and_cluster"):
        own_set = dict(zip(matches.pairs["control"], matches.pairs["treated"], strict=True))
        sets = [own_set.get(label, label) for label in matched.index]
        codes.append(pd.factorize(np.array(sets, dtype=object))[0].astype(np.int64))
    if kind in ("cluster", "matched_set_and_cluster") and cluster is not None:
        codes.append(pd.factorize(matched[cluster])[0].astype(np.int64))
    return tuple(codes)


def _least_squares(
    y: NDArray[np.float64],
    treated: NDArray[np.bool_],
    weights: NDArray[np.float64],
    *,
    clusters: tuple[linear.Codes, ...],
) -> tuple[float, float]:
    kinds: dict[int, linear.StdErrors] = {0: "hetero", 1: "cluster", 2: "two_way_cluster"}
    fit = linear.fit(
        y,
        np.column_stack([treated.astype(float), np.ones(len(y))]),
        weights=weights,
        errors=linear.ErrorModel(kind=kinds[len(clusters)], clusters=clusters),
    )
    return float(fit.std_errors[0]), fit.df


def _untreated_outcomes(
    y: NDArray[np.float64], X: NDArray[np.float64], *, controls: NDArray[np.bool_], weights: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Outcome expected without treatment for all matched units, by weighted least squares among their controls."""
    weigh = weights[controls]
    # from the controls' means and in their spread, so that a column that does not vary there adjusts nothing
    centred = X - np.average(X[controls], axis=0, weights=weigh)
    spread = np.sqrt(np.average(np.square(centred[controls]), axis=0, weights=weigh))
    usable = spread > 1e-12 * np.abs(X).max(axis=0, initial=0.0)
    scaled = centred[:, usable] / spread[usable]
    root = np.sqrt(weigh)
    level = float(np.average(y[controls], weights=weigh))
    solved = np.linalg.lstsq(scaled[controls] * root[:, None], (y[controls] - level) * root, rcond=1e-10)
    if solved[2] + 1 >= controls.sum():
        raise EstimationError(
            message(
                "matched difference: {n_controls:,} matched controls for {n_parameters:,} parameters of the bias "
                "adjustment; name fewer bias covariates.",
                n_controls=int(controls.sum()),
                n_parameters=solved[2] + 1,
            )
        )
    expected: NDArray[np.float64] = level + scaled @ solved[0]
    return expected


def _abadie_imbens(outcome: pd.Series, matches: Matches, *, effect: float) -> float:
    """Standard error by Abadie and Imbens (2006), eq. for the ATT with one variance for all controls."""
    pairs = matches.pairs
    gap = outcome.loc[pairs["treated"]].to_numpy() - outcome.loc[pairs["control"]].to_numpy()
    share = pairs["weight"].to_numpy()
    own = pd.Series(gap * share).groupby(pairs["treated"].to_numpy(), sort=False).sum().to_numpy()
    by_control = pd.Series(share).groupby(pairs["control"].to_numpy(), sort=False)
    reuse = np.square(by_control.sum().to_numpy()) - by_control.agg(lambda w: np.square(w).sum()).to_numpy()
    noise = float((share * np.square(gap - effect)).sum()) / (2 * share.sum())
    variance = float(np.square(own - effect).sum() + reuse.sum() * noise) / len(own) ** 2
    return linear.std_error(variance)
