"""A test turned into an interval: the values of the effect that it does not reject.

In: a p-value as a function of the effect tested. Out: the two ends. No estimator.
"""

from __future__ import annotations

import math
from collections.abc import Callable

from wwc_research.inference import NAN

_DOUBLINGS = 40
_HALVINGS = 50


def inverted_interval(
    p_value: Callable[[float], float], *, centre: float, step: float, size: float = 0.05
) -> tuple[float, float]:
    """The ends of the values around `centre` whose p-value is at least `size`.

    Where the p-value of a resampling test is a staircase that crosses `size` more than once, the ends are of the
    stretch around `centre`. An end that no value reaches, as with very few clusters, is infinite.

    Parameters
    ----------
    p_value
        Of the hypothesis that the effect is the argument.
    centre
        The estimate: not rejected.
    step
        A first guess of half the width, such as two standard errors.
    size
        Nominal size of the test.
    """
    if not (math.isfinite(centre) and math.isfinite(step) and step > 0):
        return NAN, NAN
    return _end(p_value, centre=centre, step=-step, size=size), _end(p_value, centre=centre, step=step, size=size)


def _end(p_value: Callable[[float], float], *, centre: float, step: float, size: float) -> float:
    kept, tried = 0.0, step
    for _ in range(_DOUBLINGS):
        if p_value(centre + tried) < size:
            break
        kept, tried = tried, 2 * tried
    else:
        return math.copysign(math.inf, step)
    for _ in range(_HALVINGS):
        middle = (kept + tried) / 2
        if abs(tried - kept) <= 1e-9 * abs(step):
            break
        if p_value(centre + middle) < size:
            tried = middle
        else:
            kept = middle
    return centre + kept
