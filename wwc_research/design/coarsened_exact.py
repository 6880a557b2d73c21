"""Exact and coarsened exact matching: strata of units equal in every covariate, whole or cut into bins.

In: one row a unit, a treatment of 0 and 1, covariates. Out: frozen `Weighting` with strata as sets.
Iacus, King and Porro (2012), "Causal inference without balance checking", Political Analysis 20(1).
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, Literal, get_args

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from wwc_research.design.matching import covariate_matrix, exact_strata, note_table_faults
from wwc_research.design.weighting import Estimand, Weighting, note_estimand
from wwc_research.errors import Faults, listed

Floats = NDArray[np.float64]
Flags = NDArray[np.bool_]

Bins = Literal["sturges"]


def exact_matching(
    frame: pd.DataFrame, *, treatment: str, covariates: Sequence[str], estimand: Estimand = "ATT"
) -> Weighting:
    """Strata of units that are equal in every covariate; those with one kind of unit only are left out.

    Parameters
    ----------
    frame
        One row a unit with a unique index.
    treatment
        Column of 0 and 1.
    covariates
        Columns of numbers or text, without empty cells.
    estimand
        `ATT` or `ATE`.

    Raises
    ------
    InputError
        For unusable columns or options, all at once.
    EstimationError
        If no stratum has both kinds of units.
    """
    treated = _checked_treatment(frame, treatment, covariates, estimand, faults=Faults(where="exact matching"))
    covariate_matrix(frame, covariates=covariates)
    return Weighting.of_strata(
        exact_strata(frame, exact=covariates),
        index=frame.index,
        treated=treated,
        method="exact",
        estimand=estimand,
        settings={"covariates": list(covariates)},
    )


def coarsened_exact(
    frame: pd.DataFrame,
    *,
    treatment: str,
    covariates: Sequence[str],
    bins: int | Bins | Mapping[str, int | Bins | Sequence[float]] = "sturges",
    estimand: Estimand = "ATT",
) -> Weighting:
    r"""Strata of units that are equal once numbers are cut into bins; one-sided strata are left out.

    Parameters
    ----------
    frame, treatment, covariates, estimand
        As for `exact_matching`; text columns are matched as they are.
    bins
        How numbers are cut: `sturges` (as many bins of equal width as Sturges' rule says,
        $\lceil\log_2 n + 1\rceil$, MatchIt's default), a number of bins of equal width (0 = not cut at all),
        or the cutpoints themselves; one for all, or by covariate (those not named get `sturges`). A value at a
        cutpoint is in the bin above.

    Returns
    -------
    Weighting
        `settings["cutpoints"]` names the cutpoints of every number (None where it was not cut): coarsened exact
        matching means nothing without them.

    Raises
    ------
    InputError
        For unusable columns or options, all at once.
    EstimationError
        If no stratum has both kinds of units.
    """
    faults = Faults(where="coarsened exact matching")
    wanted = dict(bins) if isinstance(bins, Mapping) else dict.fromkeys(covariates, bins)
    for name in [name for name in wanted if name not in covariates]:
        faults.add(f"bins are given for {name!r}, which is no covariate; the covariates are {listed(covariates)}.")
    for name, rule in wanted.items():
        if isinstance(bins, Mapping) and name in frame and not pd.api.types.is_numeric_dtype(frame[name]):
            faults.add(f"{name!r} is text and has no bins; join its categories in the table instead.")
        _note_rule(faults, name, rule)
    treated = _checked_treatment(frame, treatment, covariates, estimand, faults=faults)
    covariate_matrix(frame, covariates=covariates)
    coarse: dict[str, Any] = {}
    cutpoints: dict[str, list[float] | None] = {}
    for name in covariates:
        column = frame[name]
        if not pd.api.types.is_numeric_dtype(column):
            coarse[name] = column
            continue
        values = column.to_numpy(dtype=float)
        cuts = _cutpoints(values, rule=wanted.get(name, "sturges"))
        coarse[name] = values if cuts is None else np.searchsorted(cuts, values, side="right")
        cutpoints[name] = None if cuts is None else [float(cut) for cut in cuts]
    return Weighting.of_strata(
        exact_strata(pd.DataFrame(coarse, index=frame.index), exact=list(covariates)),
        index=frame.index,
        treated=treated,
        method="coarsened_exact",
        estimand=estimand,
        settings={"covariates": list(covariates), "cutpoints": cutpoints},
    )


def _cutpoints(values: Floats, *, rule: int | Bins | Sequence[float]) -> Floats | None:
    """Inner cutpoints in rising order; None where the values stay as they are."""
    if rule == "sturges":
        rule = math.ceil(math.log2(len(values)) + 1)
    if isinstance(rule, int):
        return None if rule == 0 else np.linspace(values.min(), values.max(), rule + 1)[1:-1]
    return np.unique(np.asarray(rule, dtype=float))


def _note_rule(faults: Faults, name: str, rule: Any) -> None:
    if isinstance(rule, str):
        if rule not in get_args(Bins):
            faults.add(f"bins {rule!r} of {name!r} are unknown; use sturges, a number of bins or the cutpoints.")
    elif isinstance(rule, int):
        if rule < 0:
            faults.add(f"{name!r} is to have {rule} bins; give 1 or more, or 0 to leave it uncut.")
    elif not np.isfinite(np.asarray(rule, dtype=float)).all():
        faults.add(f"the cutpoints of {name!r} are not all finite: {listed(rule)}.")


def _checked_treatment(
    frame: pd.DataFrame, treatment: str, covariates: Sequence[str], estimand: Estimand, *, faults: Faults
) -> Flags:
    note_estimand(faults, estimand)
    note_table_faults(faults, frame, treatment=treatment, covariates=covariates)
    faults.raise_if_any()
    return frame[treatment].to_numpy(dtype=float) == 1
