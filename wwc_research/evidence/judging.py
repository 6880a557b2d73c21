"""The second pass: p-values corrected over each family, then the verdict of the plan's rule.

In: evidence of every question of a run and the lots behind it. Out: the same evidence, corrected and judged.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from wwc_research import catalog
from wwc_research.catalog import Plan
from wwc_research.evidence import multiplicity, verdict
from wwc_research.evidence.evidence import Evidence

Floats = npt.NDArray[np.float64]


def judge(found: Sequence[Evidence], *, draws: Sequence[Floats], plan: Plan) -> list[Evidence]:
    """The same evidence with p-values corrected over each family, and with its verdict.

    `adjusted` gets Holm's p-value and Benjamini and Hochberg's q-value, both of the judged p-values; `romano_wolf`, the
    step-down p-value of the estimates over their errors by lot in the joint lots; and `family`, the larger of
    `romano_wolf` and the judged p-value, on which the verdict rests: an error rate held by one test is held by two
    that must both reject. Groups of units are a family of their own.

    Parameters
    ----------
    draws
        `Lottery.null_draws` of each; an empty array where there are none, which leaves it to Holm.
    """
    corrected: list[Evidence] = []
    by_family: dict[str, list[int]] = {}
    for position, item in enumerate(found):
        by_family.setdefault(item.family, []).append(position)
    adjusted: dict[int, dict[str, Any]] = {}
    groups: dict[int, list[dict[str, Any]]] = {position: [] for position in range(len(found))}
    for members in by_family.values():
        some = [found[position] for position in members]
        adjusted |= dict(zip(members, _adjusted(some, [draws[position] for position in members]), strict=True))
        for position, row in _grouped(members, some):
            groups[position].append(row)
    for position, item in enumerate(found):
        known = dataclasses.replace(item, adjusted=adjusted[position], groups=tuple(groups[position]))
        decision = verdict.decide(known, outcome=catalog.outcome(item.outcome), rule=plan.verdict)
        corrected.append(dataclasses.replace(known, verdict=decision))
    return corrected


def _adjusted(found: Sequence[Evidence], draws: Sequence[Floats]) -> list[dict[str, Any]]:
    p_values = [_value(item.judged, "p_value") for item in found]
    holm = multiplicity.holm(p_values)
    q_values = multiplicity.benjamini_hochberg(p_values)
    step_down = _romano_wolf(found, draws)
    rows = []
    for p_value, held, q_value, by_lot in zip(p_values, holm, q_values, step_down, strict=True):
        family = max(by_lot, p_value) if math.isfinite(by_lot) else held
        values = {"holm": held, "benjamini_hochberg": q_value, "romano_wolf": by_lot, "family": family}
        known: dict[str, Any] = {name: value if math.isfinite(value) else None for name, value in values.items()}
        rows.append({**known, "n_hypotheses": int(np.isfinite(p_values).sum())})
    return rows


def _romano_wolf(found: Sequence[Evidence], draws: Sequence[Floats]) -> list[float]:
    """Step-down p-values from the joint lots; NaN for questions without lots."""
    length = max((len(column) for column in draws), default=0)
    if not length:
        return [math.nan] * len(found)
    joint = np.full((length, len(found)), math.nan)
    for position, column in enumerate(draws):
        joint[: len(column), position] = column
    statistics = [_value(item.judged, "estimate") / _value(item.judged, "lot_std_error") for item in found]
    return multiplicity.romano_wolf(statistics, draws=joint)


def _grouped(members: Sequence[int], found: Sequence[Evidence]) -> Iterable[tuple[int, dict[str, Any]]]:
    """Rows of `groups` with Holm's p-value over all groups of the family."""
    rows = [(position, dict(row)) for position, item in zip(members, found, strict=True) for row in item.groups]
    held = multiplicity.holm([_value(row, "p_value") for _, row in rows])
    for (position, row), p_value in zip(rows, held, strict=True):
        yield position, {**row, "holm": p_value if math.isfinite(p_value) else None}


def _value(values: Mapping[str, Any], name: str) -> float:
    found = values.get(name)
    return math.nan if found is None else float(found)
