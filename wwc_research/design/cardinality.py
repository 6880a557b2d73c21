"""Cardinality matching: the largest sample that is balanced as closely as was asked for.

In: one row a unit, a treatment of 0 and 1, covariates, a tolerance. Out: frozen `Weighting`.
Zubizarreta, Paredes and Rosenbaum (2014), Annals of Applied Statistics 8(1); solved as an integer programme.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import get_args

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.optimize import Bounds, LinearConstraint, OptimizeResult, milp

from wwc_research.design.admissible import canonical_rows, gaps_between
from wwc_research.design.matching import (
    Covariance,
    covariate_matrix,
    exact_strata,
    mahalanobis_coordinates,
    note_table_faults,
)
from wwc_research.design.optimal import least_assignment, pairs_table
from wwc_research.design.sample import Exclusion
from wwc_research.design.weighting import Weighting
from wwc_research.errors import EstimationError, Faults, listed
from wwc_research.messages import message

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]
Flags = NDArray[np.bool_]


def cardinality(
    frame: pd.DataFrame,
    *,
    treatment: str,
    covariates: Sequence[str],
    tolerance: float | Mapping[str, float] = 0.1,
    ratio: int | None = 1,
    exact: Sequence[str] = (),
    pair: bool = True,
    covariance: Covariance = "within_groups",
    max_gap: float = 0.01,
    time_limit: float = 30.0,
) -> Weighting:
    """The most units (up to a small stated gap) whose standardised mean differences all stay within the tolerance.

    With a ratio, treated and untreated units are both chosen, `ratio` of the latter for each of the former; the
    estimand is the effect on the chosen treated. Without (None), all treated units stay and as many controls as
    balance allows are chosen (profile matching). Balanced samples of the same size are common; which is taken
    depends on covariates and labels, not on the order of the rows.

    Parameters
    ----------
    frame
        One row a unit with a unique index.
    treatment
        Column of 0 and 1.
    covariates
        Columns of numbers or text (one indicator a level), without empty cells.
    tolerance
        Largest standardised mean difference allowed, in standard deviations of all treated units (of all units
        where the treated do not vary), as in `wwc_research.design.balance.balance`; one for all, or one for
        each covariate.
    ratio
        Controls a treated unit, or None.
    exact
        Columns in whose every combination of values there are `ratio` controls a treated unit; needs a ratio.
    pair
        Whether the chosen units are then paired as closely as possible by Mahalanobis distance, so that errors
        can be clustered by set; only with a ratio.
    covariance
        Of the Mahalanobis distance of all units: `within_groups` or `overall`.
    max_gap
        A sample is large enough when no other can be larger by more than this share; 0 = the largest there is,
        which can take long.
    time_limit
        Seconds after which the best sample found so far is taken.

    Returns
    -------
    Weighting
        In `settings`: `proven_largest`, `most_possible` (upper bound on the units counted), `gap` (relative to
        the sample found) and `largest_difference`, the largest standardised mean difference that is left.

    Raises
    ------
    InputError
        For unusable columns or options, all at once.
    EstimationError
        If no sample is balanced so closely, or none was found in time.
    """
    faults = Faults(where="cardinality matching")
    limits = _limits(tolerance, covariates, faults)
    _note_options(faults, ratio=ratio, exact=exact, covariance=covariance, max_gap=max_gap, time_limit=time_limit)
    note_table_faults(faults, frame, treatment=treatment, covariates=covariates, exact=exact)
    faults.raise_if_any()
    treated = frame[treatment].to_numpy(dtype=float) == 1
    parts = [covariate_matrix(frame, covariates=[name]) for name in covariates]
    allowed = np.concatenate(
        [np.full(part.shape[1], limits[name]) for name, part in zip(covariates, parts, strict=True)]
    )
    X = pd.concat(parts, axis=1).to_numpy()
    scaled = _standardised(X, treated=treated)
    strata = exact_strata(frame, exact=exact)
    rows = canonical_rows(X, index=frame.index)
    answer = _largest(
        scaled[rows],
        treated=treated[rows],
        allowed=allowed,
        strata=strata[rows],
        ratio=ratio,
        max_gap=max_gap,
        time_limit=time_limit,
    )
    chosen = np.zeros(len(frame), dtype=bool)
    chosen[rows] = answer.x > 0.5
    counted = int((chosen & (treated if ratio else ~treated)).sum())
    most = max(counted, math.floor(-answer.mip_dual_bound + 1e-6))
    codes, pairs = np.where(chosen, 0, -1), None
    if pair and ratio:
        codes, pairs = _paired(
            X, rows[chosen[rows]], treated=treated, ratio=ratio, covariance=covariance, strata=strata, index=frame.index
        )
    left_out = {
        message("treated unit outside the largest balanced sample"): int((treated & ~chosen).sum()),
        message("control outside the largest balanced sample"): int((~treated & ~chosen).sum()),
    }
    gaps = scaled[chosen & treated].mean(axis=0) - scaled[chosen & ~treated].mean(axis=0)
    weighting = Weighting.of_sets(
        codes,
        index=frame.index,
        treated=treated,
        method="cardinality",
        pairs=pairs,
        exclusions=tuple(Exclusion(reason=why, rows=count, units=count) for why, count in left_out.items() if count),
        settings={
            "method": "cardinality",
            "covariates": list(covariates),
            "tolerance": dict(limits),
            "ratio": ratio,
            "exact": list(exact),
            "pair": pair and ratio is not None,
            "covariance": covariance,
            "max_gap": max_gap,
            "time_limit": time_limit,
            "proven_largest": most == counted,
            "most_possible": most,
            "gap": most / counted - 1,
            "largest_difference": float(np.abs(gaps).max()),
        },
    )
    # unpaired, the chosen units are no sets: errors by set would rest on a single one
    return weighting if pairs is not None else replace(weighting, sets=None)


def _limits(tolerance: float | Mapping[str, float], covariates: Sequence[str], faults: Faults) -> dict[str, float]:
    if not isinstance(tolerance, Mapping):
        limits = dict.fromkeys(covariates, float(tolerance))
    else:
        limits = {name: float(limit) for name, limit in tolerance.items()}
        missing = [name for name in covariates if name not in limits]
        unknown = [name for name in limits if name not in covariates]
        if missing:
            faults.add(f"no tolerance for {listed(missing)}; give one for each covariate, or one for all.")
        if unknown:
            faults.add(f"a tolerance is given for {listed(unknown)}; the covariates are {listed(covariates)}.")
    wrong = sorted({limit for limit in limits.values() if not 0 <= limit < np.inf})
    if wrong:
        faults.add(f"tolerance is {listed(wrong)}; it counts standard deviations, 0 or more.")
    return limits


def _note_options(
    faults: Faults,
    *,
    ratio: int | None,
    exact: Sequence[str],
    covariance: Covariance,
    max_gap: float,
    time_limit: float,
) -> None:
    if ratio is not None and ratio < 1:
        faults.add(f"ratio is {ratio}; it counts controls a treated unit, 1 or more, or None to keep all treated.")
    if ratio is None and exact:
        faults.add("exact columns need a ratio of controls to treated units; give one.")
    if covariance not in get_args(Covariance):
        faults.add(f"covariance {covariance!r} is unknown; use {listed(get_args(Covariance))}.")
    if not 0 <= max_gap < 1:
        faults.add(f"max_gap is {max_gap}; it is a share, 0 or more and below 1.")
    if not time_limit > 0:
        faults.add(f"time_limit is {time_limit}; it counts seconds and must be above zero.")


def _standardised(X: Floats, *, treated: Flags) -> Floats:
    """Covariates less their mean, in the units of the tolerance; 0 where a covariate never varies."""

    def spread(x: Floats) -> Floats:
        binary = np.isin(X, (0.0, 1.0)).all(axis=0)
        return x.std(axis=0, ddof=1 if len(x) > 1 else 0) * np.where(binary & (len(x) > 1), np.sqrt(1 - 1 / len(x)), 1)

    own, everyone = spread(X[treated]), spread(X)
    tiny = 1e-12 * np.maximum(1.0, np.abs(X).max(axis=0))
    scale = np.where(own > tiny, own, everyone)
    return np.where(everyone > tiny, (X - X.mean(axis=0)) / np.where(scale > tiny, scale, 1.0), 0.0)


def _largest(
    scaled: Floats,
    *,
    treated: Flags,
    allowed: Floats,
    strata: Integers,
    ratio: int | None,
    max_gap: float,
    time_limit: float,
) -> OptimizeResult:
    """The solver's answer: `x` marks the chosen rows; minus the objective counts treated units, or controls."""
    share = np.where(treated, 1.0, -1.0 / (ratio or 1))[:, None]
    if ratio is None:
        # all treated units stay, so that their mean is a number: controls must lie about it
        wanted = np.where(treated[:, None], 0.0, scaled - scaled[treated].mean(axis=0))
        size = (~treated).astype(float)
        constraints = [LinearConstraint(size[None, :], 1, np.inf)]
    else:
        wanted = scaled * share
        size = treated.astype(float)
        cells = pd.get_dummies(strata).to_numpy(dtype=float) * share
        constraints = [LinearConstraint(cells.T, 0, 0), LinearConstraint(size[None, :], 1, np.inf)]
    for sign in (1.0, -1.0):
        constraints.append(LinearConstraint((sign * wanted - size[:, None] * allowed).T, -np.inf, 0))
    answer = milp(
        -size,
        integrality=np.ones(len(size)),
        bounds=Bounds(treated.astype(float) if ratio is None else 0, 1),
        constraints=constraints,
        options={"time_limit": time_limit, "mip_rel_gap": max_gap},
    )
    if answer.x is not None:
        return answer
    if answer.status == 2:
        raise EstimationError(
            message(
                "no sample of treated units and controls is balanced within {allowed} standard deviations. Allow "
                "larger differences, or balance fewer covariates.",
                allowed=listed(sorted(set(allowed))),
            )
        )
    raise EstimationError(
        message(
            "no balanced sample was found in {time_limit} seconds; allow more, or larger differences.",
            time_limit=time_limit,
        )
    )


def _paired(
    X: Floats,
    chosen: Integers,
    *,
    treated: Flags,
    ratio: int,
    covariance: Covariance,
    strata: Integers,
    index: pd.Index,
) -> tuple[Integers, pd.DataFrame]:
    coordinates, _ = mahalanobis_coordinates(X, treated=treated, covariance=covariance)
    codes = np.full(len(X), -1, dtype=np.int64)
    found: list[tuple[Integers, Integers, Floats]] = []
    for stratum in np.unique(strata[chosen]):
        rows = chosen[strata[chosen] == stratum]
        mine, theirs = rows[treated[rows]], rows[~treated[rows]]
        matrix = gaps_between(coordinates[mine], coordinates[theirs])
        left, right = np.nonzero(np.isfinite(matrix))
        gaps = matrix[left, right]
        kept = least_assignment(left, right, gaps, shape=(len(mine), len(theirs)), ratio=ratio)
        codes[mine[left[kept]]] = mine[left[kept]]
        codes[theirs[right[kept]]] = mine[left[kept]]
        found.append((mine[left[kept]], theirs[right[kept]], gaps[kept]))
    return codes, pairs_table(found, index=index)
