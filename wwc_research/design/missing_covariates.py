"""Empty cells of covariates, by a declared rule: units are left out and counted, or cells filled and marked.

In: one row a unit. Out: a frozen `CompleteCovariates`. Neither the treatment nor the outcome is looked at.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, get_args

import numpy as np
import pandas as pd

from wwc_research.design.sample import Exclusion
from wwc_research.errors import EstimationError, Faults, listed
from wwc_research.messages import message

Rule = Literal["drop", "impute"]


@dataclass(frozen=True, slots=True, kw_only=True)
class CompleteCovariates:
    """A table whose covariates have no empty cell, and what it took.

    Attributes
    ----------
    frame
        The table given: without the units left out, or with cells filled and one further column of 0 and 1,
        `is_missing_<covariate>`, for each covariate that had some empty.
    covariates
        Those asked for and, where cells were filled, the columns that mark them: pass these on.
    exclusions
        Units left out; a unit counts at the first covariate it lacks, so that the counts add up.
    settings
        `missing_rule`, and `missing_covariates`: by covariate the number and share of empty cells, and the value
        they were filled with (None where units were left out).
    """

    frame: pd.DataFrame
    covariates: tuple[str, ...]
    exclusions: tuple[Exclusion, ...]
    settings: Mapping[str, Any]


def complete_covariates(frame: pd.DataFrame, *, covariates: Sequence[str], rule: Rule) -> CompleteCovariates:
    """The table with every covariate known, by leaving units out or by filling and marking cells.

    Parameters
    ----------
    frame
        One row a unit.
    covariates
        Columns of numbers or text.
    rule
        `drop`: units with an empty covariate are left out. `impute`: the mean of a column of numbers, the commonest
        value (the first of them by name) of any other, over all units, whatever their treatment; and an indicator
        to match on or weight by. Rosenbaum and Rubin (1984), JASA 79(387), appendix: scores that use the indicators
        balance what was observed and who lacks what, not the values that nobody saw.

    Raises
    ------
    InputError
        For an unknown rule or absent columns, columns with no value at all, or indicators that would overwrite.
    EstimationError
        If leaving units out leaves none.
    """
    faults = Faults(where="covariates")
    if rule not in get_args(Rule):
        faults.add(f"rule {rule!r} is unknown; use {listed(get_args(Rule))}.")
    for name in covariates:
        if name not in frame:
            faults.add(f"no column {name!r}; the table has {listed(frame.columns, limit=12)}.")
        elif len(frame) and frame[name].isna().all():
            faults.add(f"{name!r} is empty for every unit; leave it out.")
        elif rule == "impute" and frame[name].isna().any() and _mark(name) in frame:
            faults.add(f"{_mark(name)!r} exists already; rename it, that name is for marking filled cells.")
    faults.raise_if_any()
    gaps = {name: frame[name].isna() for name in dict.fromkeys(covariates) if frame[name].isna().any()}
    fills = {name: _typical(frame[name]) if rule == "impute" else None for name in gaps}
    settings = {
        "missing_rule": rule,
        "missing_covariates": {
            name: {"count": int(gap.sum()), "share": float(gap.mean()), "filled_with": fills[name]}
            for name, gap in gaps.items()
        },
    }
    if rule == "drop":
        kept, exclusions = _left_out(frame, gaps)
        return CompleteCovariates(frame=kept, covariates=tuple(covariates), exclusions=exclusions, settings=settings)
    filled = frame.assign(
        **{name: _filled(frame[name], fills[name]) for name in gaps},
        **{_mark(name): gap.to_numpy(dtype=int) for name, gap in gaps.items()},
    )
    names = (*covariates, *(_mark(name) for name in gaps))
    return CompleteCovariates(frame=filled, covariates=names, exclusions=(), settings=settings)


def _mark(name: str) -> str:
    return f"is_missing_{name}"


def _typical(column: pd.Series) -> Any:
    if pd.api.types.is_numeric_dtype(column) and not pd.api.types.is_bool_dtype(column):
        return float(column.astype(float).mean())
    counts = column.dropna().astype(str).value_counts()
    return min(str(value) for value in counts.index[counts == counts.max()])


def _filled(column: pd.Series, value: Any) -> pd.Series:
    if isinstance(value, float):
        return column.astype(float).fillna(value)
    texts = np.where(column.isna(), value, column.astype(str))
    return pd.Series(texts, index=column.index, dtype="str")


def _left_out(frame: pd.DataFrame, gaps: Mapping[str, pd.Series]) -> tuple[pd.DataFrame, tuple[Exclusion, ...]]:
    kept = np.ones(len(frame), dtype=bool)
    exclusions: list[Exclusion] = []
    for name, gap in gaps.items():
        lost = kept & gap.to_numpy()
        if lost.any():
            count = int(lost.sum())
            exclusions.append(
                Exclusion(reason=message("unit without a value of {name}", name=name), rows=count, units=count)
            )
        kept &= ~lost
    if not kept.any():
        raise EstimationError(
            message(
                "covariates: every unit lacks one of {gaps}. Use fewer covariates, or fill and mark them.",
                gaps=listed(gaps),
            )
        )
    return frame.loc[kept], tuple(exclusions)
