"""How alike treated and compared units are, covariate by covariate, before and after matching or weighting.

In: one row a unit and weights. Out: a table ready for a love plot, sample sizes, common support, and a verdict.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Any, Final, Literal, get_args

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from wwc_research import inference
from wwc_research.design.matching import covariate_matrix
from wwc_research.errors import Faults, InputError, listed
from wwc_research.messages import Message, counted, message

Floats = NDArray[np.float64]
Flags = NDArray[np.bool_]
Estimand = Literal["ATT", "ATC", "ATE", "ATO"]

USUAL_LIMIT: Final = 0.1  # Austin (2009), Statistics in Medicine 28(25), and the habit since
_NO_DIFFERENCE: Final = 1e-9  # of the largest value: rounding, where a spread of zero leaves nothing to divide by

COLUMNS = (
    "covariate",
    "mean_treated_before",
    "mean_control_before",
    "mean_treated_after",
    "mean_control_after",
    "smd_before",
    "smd_after",
    "variance_ratio_before",
    "variance_ratio_after",
    "ks_before",
    "ks_after",
    "ecdf_mean_before",
    "ecdf_mean_after",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class BalanceVerdict:
    """Whether matched or weighted groups are alike enough for a comparison to be read.

    Attributes
    ----------
    result
        `passed`: every covariate within the limit. `failed`: at least one beyond it. `cannot_tell`: none beyond
        it, but some cannot be judged, or there are none.
    worst, largest
        The covariate with the largest absolute standardised difference, and that difference; empty and NaN where
        none is known.
    limit
        The threshold that decided.
    beyond, unknown
        Covariates beyond the limit, worst first; covariates that cannot be judged.
    """

    result: Literal["passed", "failed", "cannot_tell"]
    worst: str
    largest: float
    limit: float
    beyond: tuple[str, ...] = ()
    unknown: tuple[str, ...] = ()

    @property
    def sentence(self) -> Message:
        """The verdict in words, its threshold in it."""
        if not self.worst and not self.unknown:
            return message("There is no matched comparison.")
        values: dict[str, Any] = {"largest": self.largest, "worst": self.worst, "limit": self.limit}
        parts = []
        if self.worst and self.beyond:
            parts.append(
                message(
                    "The largest standardised difference after matching is {largest:.3f} ({worst}), above the limit of "
                    "{limit:g}.",
                    **values,
                )
            )
        elif self.worst:
            parts.append(
                message(
                    "The largest standardised difference after matching is {largest:.3f} ({worst}), within the limit "
                    "of {limit:g}.",
                    **values,
                )
            )
        if len(self.beyond) > 1:
            parts.append(
                counted("{n} covariate is beyond it.", "{n} covariates are beyond it.", n=len(self.beyond)),
            )
        if self.unknown:
            parts.append(
                message(
                    "It cannot be told for {names}: the spread to measure it by is zero.", names=listed(self.unknown)
                )
            )
        return message("{parts:sentences}", parts=parts)


def balance(
    frame: pd.DataFrame,
    *,
    treatment: str,
    covariates: Sequence[str],
    weights: pd.Series,
    estimand: str = "ATT",
    interactions: bool = False,
) -> pd.DataFrame:
    """One row a covariate: means, standardised mean differences, variance ratios and distribution gaps.

    Parameters
    ----------
    frame
        One row a unit.
    treatment
        Column of 0 and 1.
    covariates
        Columns; a text column gives one row a level.
    weights
        Matching or balancing weights by the frame's index; 0 for units left out.
    estimand
        Whose effect is estimated decides what differences are measured by: `ATT` the standard deviation of all
        treated units, `ATC` that of all controls, `ATE` and `ATO` both pooled (the root of their mean variance);
        always before weighting, as in MatchIt. Words behind it are ignored (`ATT of the matched treated`).
    interactions
        Whether squares (of covariates with more than two values) and products of all pairs of covariates get rows
        of their own; products of two levels of one text column are left out, since they are zero.

    Returns
    -------
    pandas.DataFrame
        Columns `covariate`; `mean_..._before/after` in the unit of the covariate; `smd_before/after`, the
        difference of means in standard deviations as above; `variance_ratio_before/after`, treated over control,
        NaN for 0/1 covariates; `ks_before/after`, the largest gap between the distribution functions, 0 to 1 (in
        MatchIt "eCDF max"); `ecdf_mean_before/after`, their mean gap over the values that occur ("eCDF mean").

    Raises
    ------
    InputError
        For unusable covariates, an unknown estimand, or weights that leave a group empty.
    """
    whose = estimand.split()[0] if estimand.split() else estimand
    if whose not in get_args(Estimand):
        raise InputError(f"balance: estimand {estimand!r} is unknown; use {listed(get_args(Estimand))}.")
    matrix = covariate_matrix(frame, covariates=covariates)
    if interactions:
        matrix = _with_products(matrix, frame=frame, covariates=covariates)
    treated, after = _checked_groups(frame, treatment=treatment, weights=weights)
    rows = [
        (name, *_measures(matrix[name].to_numpy(), treated=treated, after=after, whose=whose))
        for name in matrix.columns
    ]
    return pd.DataFrame(rows, columns=list(COLUMNS))


def sample_sizes(frame: pd.DataFrame, *, treatment: str, weights: pd.Series) -> dict[str, float]:
    """How many units there are, how many count, and what they are worth, in each group.

    Parameters
    ----------
    frame, treatment, weights
        As for `balance`.

    Returns
    -------
    dict
        `n_treated`, `n_control`; `n_treated_used`, `n_control_used` (weight above 0); `effective_n_treated`,
        `effective_n_control` (Kish); `largest_control_share`, of all control weight on one control.
    """
    treated, after = _checked_groups(frame, treatment=treatment, weights=weights)
    counts: dict[str, float] = {}
    for name, side in (("treated", treated), ("control", ~treated)):
        counts[f"n_{name}"] = int(side.sum())
        counts[f"n_{name}_used"] = int((after[side] > 0).sum())
        counts[f"effective_n_{name}"] = effective_sample_size(after[side])
    counts["largest_control_share"] = float(after[~treated].max() / after[~treated].sum())
    return counts


def common_support(
    frame: pd.DataFrame,
    *,
    treatment: str,
    covariates: Sequence[str],
    propensity: pd.Series | None = None,
    weights: pd.Series | None = None,
) -> pd.DataFrame:
    """One row a covariate: how many of the treated lie within the range of the controls.

    Parameters
    ----------
    frame, treatment, covariates
        As for `balance`.
    propensity
        Scores by the frame's index, for a first row `propensity`; units without a score are left out of it.
    weights
        Where given, only units of positive weight are looked at.

    Returns
    -------
    pandas.DataFrame
        Columns `covariate`, `control_low`, `control_high`, `n_treated_outside`, `treated_inside_share` (0 to 1).
    """
    columns = covariate_matrix(frame, covariates=covariates)
    if propensity is not None and len(propensity):
        columns.insert(0, "propensity", propensity.reindex(frame.index).to_numpy(dtype=float))
    unit = pd.Series(1.0, index=frame.index) if weights is None else weights
    treated, after = _checked_groups(frame, treatment=treatment, weights=unit)
    rows = []
    for name in columns:
        x = columns[name].to_numpy()
        ours, theirs = (x[side & (after > 0) & ~np.isnan(x)] for side in (treated, ~treated))
        if not (len(ours) and len(theirs)):
            continue
        inside = (ours >= theirs.min()) & (ours <= theirs.max())
        rows.append((name, float(theirs.min()), float(theirs.max()), int((~inside).sum()), float(inside.mean())))
    names = ["covariate", "control_low", "control_high", "n_treated_outside", "treated_inside_share"]
    return pd.DataFrame(rows, columns=names)


def overlap(
    frame: pd.DataFrame, *, treatment: str, propensity: pd.Series, weights: pd.Series, bins: int = 20
) -> pd.DataFrame:
    """How the propensity scores of both groups lie on one scale: the rows of an overlap plot.

    Parameters
    ----------
    frame, treatment, weights
        As for `balance`.
    propensity
        Scores by the frame's index; units without a score are left out.
    bins
        Number of equal steps between the smallest and the largest score.

    Returns
    -------
    pandas.DataFrame
        One row a step: `low`, `high`; `treated_before`, `control_before`, `treated_after`, `control_after`, each
        group's share in the step. The sum over steps of the smaller of two shares is their overlap, 0 to 1.
    """
    if bins < 1:
        raise InputError(f"overlap: bins is {bins}; it counts steps of the scale, 1 or more.")
    score = propensity.reindex(frame.index).to_numpy(dtype=float)
    known = np.isfinite(score)
    if not known.any():
        raise InputError("overlap: no unit has a propensity score; use a method that estimates one.")
    treated, after = _checked_groups(frame.loc[known], treatment=treatment, weights=weights)
    score = score[known]
    edges = np.linspace(score.min(), score.max() if score.max() > score.min() else score.min() + 1e-9, bins + 1)
    table = {"low": edges[:-1], "high": edges[1:]}
    for when, weight in (("before", np.ones(len(score))), ("after", after)):
        for name, side in (("treated", treated), ("control", ~treated)):
            counts = np.histogram(score[side], bins=edges, weights=weight[side])[0]
            table[f"{name}_{when}"] = counts / counts.sum()
    return pd.DataFrame(table)


def balance_verdict(
    rows: pd.DataFrame | Sequence[Mapping[str, Any]],
    *,
    limit: float = USUAL_LIMIT,
    titles: Mapping[str, str] | None = None,
) -> BalanceVerdict:
    """Whether the groups are alike after matching: no absolute standardised difference beyond `limit`.

    Parameters
    ----------
    rows
        From `balance`, or its rows as mappings with `covariate` (or `title`) and `smd_after` (None = unknown).
    limit
        In standard deviations.
    titles
        Names for readers, by covariate.

    Notes
    -----
    A covariate whose spread is zero has no standardised difference. It is no fault where the means agree; where they
    differ it cannot be judged, and neither can the match.
    """
    if not limit > 0:
        raise InputError(f"balance: limit is {limit}; it counts standard deviations and must be above zero.")
    records = rows.to_dict("records") if isinstance(rows, pd.DataFrame) else list(rows)
    known: dict[str, float] = {}
    unknown: list[str] = []
    for row in records:
        code = row.get("covariate", row.get("title", ""))
        name = row.get("title", (titles or {}).get(code, code))
        value = row["smd_after"]
        if value is not None and math.isfinite(value):
            known[name] = abs(float(value))
        elif _means_differ(row):
            unknown.append(name)
    ranked = sorted(known, key=lambda name: -known[name])
    beyond = tuple(name for name in ranked if known[name] > limit)
    tells = bool(ranked) and not unknown
    return BalanceVerdict(
        result="failed" if beyond else "passed" if tells else "cannot_tell",
        worst=ranked[0] if ranked else "",
        largest=known[ranked[0]] if ranked else inference.NAN,
        limit=limit,
        beyond=beyond,
        unknown=tuple(unknown),
    )


def distance_balance(
    frame: pd.DataFrame, *, treatment: str, weights: pd.Series, propensity: pd.Series, estimand: str = "ATT"
) -> dict[str, float]:
    """How alike the groups are in what they were matched on: the measures of `balance` for the propensity score.

    Parameters
    ----------
    frame, treatment, weights, estimand
        As for `balance`.
    propensity
        Scores by the frame's index.
    """
    table = balance(
        pd.DataFrame({"distance": propensity.reindex(frame.index), "treated": frame[treatment]}),
        treatment="treated",
        covariates=["distance"],
        weights=weights,
        estimand=estimand,
    )
    return {str(name): float(value) for name, value in table.iloc[0].drop("covariate").items()}


def effective_sample_size(weights: Floats) -> float:
    """Kish's effective number of units, the squared sum of the weights over the sum of their squares."""
    total = float(np.square(weights).sum())
    return float(weights.sum()) ** 2 / total if total > 0 else 0.0


def _checked_groups(frame: pd.DataFrame, *, treatment: str, weights: pd.Series) -> tuple[Flags, Floats]:
    """Who is treated, and the weights in the order of the frame; a group without weight is refused."""
    treated = frame[treatment].to_numpy(dtype=float) == 1
    after = weights.reindex(frame.index).to_numpy(dtype=float)
    faults = Faults(where="balance")
    if not (after >= 0).all():
        faults.add(f"weights of {listed(frame.index[~(after >= 0)])} are missing or negative; 0 leaves a unit out.")
    for name, side in (("treated unit", treated), ("control", ~treated)):
        if not (after[side] > 0).any():
            faults.add(f"no {name} has any weight, so there is nothing to compare.")
    faults.raise_if_any()
    return treated, after


def _means_differ(row: Mapping[str, Any]) -> bool:
    ours, theirs = row.get("mean_treated_after"), row.get("mean_control_after")
    if ours is None or theirs is None:
        return False
    return abs(ours - theirs) > _NO_DIFFERENCE * max(abs(ours), abs(theirs))


def _with_products(matrix: pd.DataFrame, *, frame: pd.DataFrame, covariates: Sequence[str]) -> pd.DataFrame:
    """The columns, their squares, and the products of pairs that are not two levels of one text column."""
    column_of = {}
    for name in covariates:
        for column in covariate_matrix(frame, covariates=[name]).columns:
            column_of[column] = name
    parts = {name: matrix[name] for name in matrix}
    # centred, so that the square of a year is about its spread and not about its level
    centred = matrix - matrix.mean()
    parts |= {f"{name}^2": centred[name] ** 2 for name in matrix if matrix[name].nunique() > 2}
    parts |= {
        f"{one} x {other}": (
            matrix[one] * matrix[other] if _both_binary(matrix, one, other) else centred[one] * centred[other]
        )
        for one, other in combinations(matrix, 2)
        if column_of[one] != column_of[other]
    }
    return pd.DataFrame(parts)


def _both_binary(matrix: pd.DataFrame, one: str, other: str) -> bool:
    return all(bool(matrix[name].isin((0.0, 1.0)).all()) for name in (one, other))


def _measures(x: Floats, *, treated: Flags, after: Floats, whose: str) -> tuple[float, ...]:
    before = np.ones(len(x))
    binary = bool(np.isin(x, (0.0, 1.0)).all())
    own, others = (_variance(x[side], weights=before[side], binary=binary) for side in (treated, ~treated))
    spread = math.sqrt({"ATT": own, "ATC": others}.get(whose, (own + others) / 2))
    means: list[float] = []
    smds: list[float] = []
    ratios: list[float] = []
    largest: list[float] = []
    mean_gaps: list[float] = []
    for weights in (before, after):
        sides = [(x[side], weights[side]) for side in (treated, ~treated)]
        mean_treated, mean_control = (float(np.average(values, weights=w)) for values, w in sides)
        variances = [_variance(values, weights=w, binary=binary) for values, w in sides]
        means += [mean_treated, mean_control]
        smds.append(_ratio(mean_treated - mean_control, spread))
        ratios.append(inference.NAN if binary else _ratio(*variances))
        gaps = _distribution_gaps(x, treated=treated, weights=weights)
        largest.append(float(gaps.max()))
        # two values have one gap between them; the second is zero by construction and would halve the mean
        mean_gaps.append(float(gaps.max() if binary else gaps.mean()))
    return (*means, *smds, *ratios, *largest, *mean_gaps)


def _ratio(above: float, below: float) -> float:
    return above / below if below > 0 else inference.NAN


def _variance(x: Floats, *, weights: Floats, binary: bool) -> float:
    """Weighted variance; p(1 - p) for 0/1 covariates, else unbiased for equal weights, as in MatchIt."""
    counted = x[weights > 0]
    if counted.min() == counted.max():
        # else the mean's last bit would pass for a spread, and a column that is the same for all as out of balance
        return 0.0
    share = weights / weights.sum()
    mean = float((share * x).sum())
    if binary:
        return mean * (1 - mean)
    left = 1 - float(np.square(share).sum())
    return float((share * np.square(x - mean)).sum()) / left if left > 1e-12 else 0.0


def _distribution_gaps(x: Floats, *, treated: Flags, weights: Floats) -> Floats:
    """Gaps between the weighted distribution functions of treated and untreated units, one a distinct value."""
    share = np.where(treated, weights / weights[treated].sum(), -weights / weights[~treated].sum())
    order = np.argsort(x, kind="stable")
    steps = np.cumsum(share[order])
    last_of_value = np.append(np.diff(x[order]) > 0, True)
    gaps: Floats = np.abs(steps[last_of_value])
    return gaps
