"""Whether an outcome is demonstrated: progress beyond sampling error, or a level that clears a threshold.

In: arrays of figures with their standard errors. Out: one verdict a row, with the numbers it rests on.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Literal, get_args

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray

from wwc_research import inference
from wwc_research.errors import InputError, listed

Verdict = Literal["demonstrated", "not demonstrated", "cannot tell"]
Reading = Literal["progress", "standard"]
Direction = Literal["higher", "lower"]

DEMONSTRATED: Verdict = "demonstrated"
NOT_DEMONSTRATED: Verdict = "not demonstrated"
CANNOT_TELL: Verdict = "cannot tell"

Floats = NDArray[np.float64]


def judge_progress(
    before: ArrayLike,
    after: ArrayLike,
    *,
    std_error_before: ArrayLike,
    std_error_after: ArrayLike,
    direction: Direction,
    level: float = 0.95,
) -> pd.DataFrame:
    """One row a pair of figures: whether the outcome got better by more than sampling error explains.

    z = ±(after - before) / sqrt(s_before² + s_after²), positive where the outcome got better. Progress is demonstrated
    where the one-sided p-value of "no improvement" is at most 1 - `level`. The two figures are taken as independent
    estimates, which holds for separate years of a survey and not for windows that overlap.

    Parameters
    ----------
    before, after
        Figures in one unit; NaN where there is none.
    std_error_before, std_error_after
        Their standard errors; NaN where unknown, 0 where the figure is taken as exact.
    direction
        Whether `higher` or `lower` is better.
    level
        Between 0.5 and 1.

    Returns
    -------
    DataFrame
        change (after - before), std_error (of the change), z, p_value, detectable_change (the improvement that the
        test finds with 80 % probability), verdict, reason (why it cannot be told: `no figure`, `no sampling error`).
    """
    sign = _sign(direction)
    _check_level(level, name="level")
    first, last, s_first, s_last = _aligned(before, after, std_error_before, std_error_after)
    _check_errors(s_first, s_last)
    change = last - first
    std_error = np.hypot(s_first, s_last)
    gain = sign * change
    p_values = _one_sided(gain, std_error)
    verdict, reason = _verdicts(p_values <= 1 - level, figure=change, std_error=std_error)
    detectable = [inference.minimum_detectable_effect(float(s), size=2 * (1 - level)) for s in std_error]
    return pd.DataFrame(
        {
            "change": change,
            "std_error": std_error,
            "z": _ratio(gain, std_error),
            "p_value": p_values,
            "detectable_change": np.asarray(detectable, dtype=float),
            "verdict": verdict,
            "reason": reason,
        }
    )


def judge_standard(
    value: ArrayLike,
    *,
    std_error: ArrayLike,
    threshold: ArrayLike,
    direction: Direction,
    confidence: float = 0.95,
) -> pd.DataFrame:
    """One row a figure: whether its level clears the threshold with the whole one-sided interval.

    The bound is the figure moved by z_confidence standard errors to its worse side; the standard is demonstrated where
    that bound is at the threshold or on its better side. A figure on the right side whose interval straddles the
    threshold is not demonstrated.

    Parameters
    ----------
    value, threshold
        In one unit; NaN where there is none.
    std_error
        NaN where unknown, 0 where the figure is taken as exact.
    direction
        `higher`: the threshold is a floor; `lower`: a ceiling.
    confidence
        Of the one-sided interval, between 0.5 and 1.

    Returns
    -------
    DataFrame
        distance (from the threshold, positive on its better side), bound, z, p_value (of "the true level misses the
        threshold"), verdict, reason (`no figure`, `no threshold`, `no sampling error`).
    """
    sign = _sign(direction)
    _check_level(confidence, name="confidence")
    level, error, limit = _aligned(value, std_error, threshold)
    _check_errors(error)
    distance = sign * (level - limit)
    lows = [_lower_bound(float(d), float(s), confidence) for d, s in zip(distance, error, strict=True)]
    low = np.asarray(lows, dtype=float)
    verdict, reason = _verdicts(low >= 0, figure=level, std_error=error)
    unset = np.isfinite(level) & ~np.isfinite(limit)
    verdict[unset], reason[unset] = CANNOT_TELL, "no threshold"
    return pd.DataFrame(
        {
            "distance": distance,
            "bound": level - sign * (distance - low),
            "z": _ratio(distance, error),
            "p_value": _one_sided(distance, error, at_zero=0.0),
            "verdict": verdict,
            "reason": reason,
        }
    )


def judge_requirement(verdicts: Iterable[str], *, at_least: int = 1) -> Verdict:
    """Whether at least so many are demonstrated: not, if even those that cannot be told would not suffice."""
    found = list(verdicts)
    unknown = sorted(set(found) - set(get_args(Verdict)))
    if unknown:
        raise InputError(f"verdict {listed(map(repr, unknown))} is none of {listed(get_args(Verdict))}")
    if at_least < 1:
        raise InputError(f"at_least = {at_least} should be 1 or more")
    if found.count(DEMONSTRATED) >= at_least:
        return DEMONSTRATED
    if found.count(DEMONSTRATED) + found.count(CANNOT_TELL) >= at_least:
        return CANNOT_TELL
    return NOT_DEMONSTRATED


def chance_of_luck(tests: int, *, level: float = 0.95) -> float:
    """Chance that at least one of `tests` independent tests shows something where nothing is: 1 - level^tests."""
    _check_level(level, name="level")
    return 1 - level**tests


def _sign(direction: Direction) -> int:
    if direction not in get_args(Direction):
        raise InputError(f"direction = {direction!r}; allowed: {listed(get_args(Direction))}")
    return 1 if direction == "higher" else -1


def _check_level(level: float, *, name: str) -> None:
    if not 0.5 < level < 1:
        raise InputError(f"{name} = {level} should lie between 0.5 and 1, such as 0.95")


def _aligned(*arrays: ArrayLike) -> list[Floats]:
    floats = [np.atleast_1d(np.asarray(array, dtype=float)) for array in arrays]
    try:
        return [np.array(array) for array in np.broadcast_arrays(*floats)]
    except ValueError as error:
        sizes = listed((len(array) for array in floats), limit=10)
        raise InputError(f"the arrays have {sizes} rows; give one length, or single numbers") from error


def _check_errors(*arrays: Floats) -> None:
    negative = np.concatenate([array[array < 0] for array in arrays])
    if len(negative):
        raise InputError(f"standard errors of {listed(map(float, negative))}; they are never below 0")


def _ratio(figure: Floats, std_error: Floats) -> Floats:
    """Figure over its error; an exact figure is infinitely many errors from zero, and zero is none."""
    with np.errstate(divide="ignore", invalid="ignore"):
        ratio = figure / std_error
    return np.where((std_error == 0) & (figure == 0), 0.0, ratio)


def _one_sided(gain: Floats, std_error: Floats, *, at_zero: float = 1.0) -> Floats:
    """P-value of "the true gain is not positive"; `at_zero` is that of an exact gain of nothing."""
    return np.array([_one_p(float(g), float(s), at_zero) for g, s in zip(gain, std_error, strict=True)], dtype=float)


def _one_p(gain: float, std_error: float, at_zero: float) -> float:
    if std_error == 0 and math.isfinite(gain):
        return at_zero if gain == 0 else float(gain < 0)
    half = inference.p_value(gain, std_error) / 2
    return half if gain > 0 else 1 - half


def _lower_bound(distance: float, std_error: float, confidence: float) -> float:
    if std_error == 0:
        return distance
    # one side of a two-sided interval that leaves 1 - confidence on each side
    return inference.confidence_interval(distance, std_error, level=2 * confidence - 1)[0]


def _verdicts(
    shown: NDArray[np.bool_], *, figure: Floats, std_error: Floats
) -> tuple[NDArray[np.object_], NDArray[np.object_]]:
    no_figure, no_error = ~np.isfinite(figure), ~np.isfinite(std_error)
    verdict = np.where(shown, DEMONSTRATED, NOT_DEMONSTRATED).astype(object)
    verdict[no_figure | no_error] = CANNOT_TELL
    reason = np.full(len(figure), "", dtype=object)
    reason[no_error] = "no sampling error"
    reason[no_figure] = "no figure"
    return verdict, reason
