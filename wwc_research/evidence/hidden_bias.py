"""How much hidden bias in who was exposed a matched comparison can bear: Rosenbaum's bounds.

In: matched sets with outcomes. Out: frozen values for a page.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final, Literal, get_args

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy import stats
from scipy.optimize import brentq

from wwc_research import inference
from wwc_research.design.matching import Matches
from wwc_research.design.weighting import Weighting
from wwc_research.errors import Faults, InputError, listed
from wwc_research.inference import NAN
from wwc_research.messages import counted, message

Floats = NDArray[np.float64]
Alternative = Literal["two_sided", "greater", "less"]
Distribution = Literal["auto", "exact", "normal"]
Zeros = Literal["ranked", "dropped"]
Statistic = Literal["signed_rank", "m_statistic"]

GAMMAS: Final = (1.0, 1.25, 1.5, 2.0, 3.0, 4.0, 5.0)
LARGEST_GAMMA: Final = 100.0  # beyond that nothing is learnt: no known confounder is a hundredfold
FEWEST_SETS: Final = 6  # with 5 pairs no two-sided p-value below 0.05 exists, whatever the outcomes
MOST_PAIRS: Final = 4_000  # the Hodges-Lehmann estimate needs the mean of every two differences
_EXACT_PAIRS = 100  # up to here the signed rank's distribution is summed, beyond it is taken as normal
_TRIM = 2.5  # of Huber's function, in medians of the absolute differences: the default of senmv


@dataclass(frozen=True, slots=True, kw_only=True)
class GammaBounds:
    """What is certain of the p-value, the effect and its interval if odds of exposure differ by up to `gamma`.

    Units that look alike may differ in their odds of exposure by this factor; the p-value lies between `p_low` and
    `p_high`, the Hodges-Lehmann estimate between `effect_low` and `effect_high`, and `ci_low` to `ci_high` covers the
    effect at the level whatever the bias.
    """

    gamma: float
    p_low: float
    p_high: float
    effect_low: float
    effect_high: float
    ci_low: float
    ci_high: float

    def as_dict(self) -> dict[str, Any]:
        """Plain values; undefined numbers are None."""
        names = ("gamma", "p_low", "p_high", "effect_low", "effect_high", "ci_low", "ci_high")
        return {name: _number(getattr(self, name)) for name in names}


@dataclass(frozen=True, slots=True, kw_only=True)
class HiddenBias:
    """Rosenbaum's bounds for one matched comparison.

    Attributes
    ----------
    statistic
        `signed_rank` of pairs, or `m_statistic` of sets.
    alternative, alpha
        Of the test.
    bounds
        One a value of Gamma, rising.
    largest_gamma
        Up to this factor the p-value stays at or below `alpha`, whatever the hidden bias. NaN where it is above
        even without bias, infinite where it stays below up to `LARGEST_GAMMA`.
    hiding_gamma
        Where the sets show no significant difference: from this factor on hidden bias could be hiding one. NaN where
        they show one, infinite where none is reached up to `LARGEST_GAMMA`.
    n_sets, n_units
        Sets and units compared.
    assumed
        What the sets are taken for, in plain English.
    why_not
        Why nothing can be told; else empty.
    sentence
        The finding in plain English.
    """

    statistic: Statistic
    alternative: Alternative
    alpha: float
    bounds: tuple[GammaBounds, ...]
    largest_gamma: float
    hiding_gamma: float
    n_sets: int
    n_units: int
    assumed: tuple[str, ...]
    why_not: str
    sentence: str

    def as_dict(self) -> dict[str, Any]:
        """Plain JSON values; undefined numbers are None, an infinite `largest_gamma` is None with the sentence."""
        return {
            "statistic": self.statistic,
            "alternative": self.alternative,
            "alpha": self.alpha,
            "bounds": [item.as_dict() for item in self.bounds],
            "largest_gamma": _number(self.largest_gamma),
            "hiding_gamma": _number(self.hiding_gamma),
            "n_sets": self.n_sets,
            "n_units": self.n_units,
            "assumed": list(self.assumed),
            "why_not": self.why_not,
            "sentence": self.sentence,
        }


def _number(value: float) -> float | None:
    return float(value) if math.isfinite(value) else None


class _Pairs:
    """Differences of pairs, treated less control, with Wilcoxon's signed rank statistic."""

    statistic: Statistic = "signed_rank"

    def __init__(self, differences: Floats, *, distribution: Distribution, zeros: Zeros) -> None:
        self.differences = differences
        kept = differences[differences != 0]
        # Rosenbaum's book ranks pairs without a difference and lets them count for neither side
        ranked = stats.rankdata(np.abs(differences))[differences != 0]
        ranks = ranked if zeros == "ranked" else stats.rankdata(np.abs(kept))
        self.ranks, self.observed = ranks, float(ranks[kept > 0].sum())
        self.total = float(ranks.sum())
        self.is_exact = distribution == "exact" or (distribution == "auto" and len(kept) <= _EXACT_PAIRS)
        n = len(differences)
        first, second = np.triu_indices(n)
        self.walsh = np.sort((differences[first] + differences[second]) / 2)

    def p_greater(self, gamma: float, *, is_upper: bool) -> float:
        """Largest (or smallest) p-value against a positive effect that bias up to `gamma` allows."""
        chance = gamma / (1 + gamma) if is_upper else 1 / (1 + gamma)
        return self._upper_tail(self.ranks, self.observed, chance)

    def p_less(self, gamma: float, *, is_upper: bool) -> float:
        """The same against a negative effect."""
        chance = gamma / (1 + gamma) if is_upper else 1 / (1 + gamma)
        return self._upper_tail(self.ranks, self.total - self.observed, chance)

    def _upper_tail(self, ranks: Floats, observed: float, chance: float) -> float:
        if not len(ranks):
            return 1.0
        if self.is_exact:
            table = signed_rank_distribution(ranks, chance=chance)
            # ranks tied share halves, so the table counts half ranks
            return float(min(1.0, table[round(2 * observed) :].sum()))
        spread = math.sqrt(chance * (1 - chance) * float(ranks @ ranks))
        return inference.upper_p_value((observed - chance * ranks.sum()) / spread)

    def effect(self, gamma: float) -> tuple[float, float]:
        """Range of the Hodges-Lehmann estimate, as order statistics of the means of two differences."""
        low, high = 1 / (1 + gamma), gamma / (1 + gamma)
        return _order_statistic(self.walsh, low), _order_statistic(self.walsh, high)

    def interval(self, gamma: float, *, size: float) -> tuple[float, float]:
        """Effects that a two-sided test of `size` cannot reject under some bias up to `gamma`."""
        n, count = len(self.differences), len(self.walsh)
        chance = gamma / (1 + gamma)
        ranks = np.arange(1, n + 1, dtype=float)
        if self.is_exact:
            tail = signed_rank_distribution(ranks, chance=chance)[::2][::-1].cumsum()[::-1]
            reached = np.flatnonzero(tail <= size / 2)
            critical = int(reached[0]) if len(reached) else count + 1
        else:
            spread = math.sqrt(chance * (1 - chance) * float(ranks @ ranks))
            critical = math.ceil(chance * count + inference.critical_value(level=1 - size) * spread)
        if critical > count:
            return -math.inf, math.inf
        return float(self.walsh[count - critical]), float(self.walsh[critical - 1])


def _order_statistic(ordered: Floats, share: float) -> float:
    """The value below which `share` of `ordered` lies, the middle of two where it falls between them."""
    place = share * len(ordered)
    if abs(place - round(place)) < 1e-9:
        place = round(place)
    low, high = max(math.ceil(place) - 1, 0), min(math.floor(place), len(ordered) - 1)
    return float((ordered[low] + ordered[high]) / 2)


def signed_rank_distribution(ranks: Floats, *, chance: float) -> Floats:
    """Probabilities that the ranks with a positive sign add up to 0, 1/2, 1, ..., each positive with `chance`."""
    steps = np.round(2 * np.asarray(ranks)).astype(int)
    table = np.zeros(int(steps.sum()) + 1)
    table[0] = 1.0
    for step in steps:
        shifted = np.zeros_like(table)
        shifted[step:] = table[: len(table) - step]
        table = (1 - chance) * table + chance * shifted
    return table


class _Sets:
    """Sets of one unit against several, with Huber's M-statistic and the separable bound of Rosenbaum (2007).

    `outcomes` has the single unit first and NaN where a set is smaller; `is_reversed` says in which sets the single
    unit is the control.
    """

    statistic: Statistic = "m_statistic"

    def __init__(self, outcomes: Floats, *, is_reversed: NDArray[np.bool_], trim: float = _TRIM) -> None:
        self.outcomes, self.is_reversed, self.trim = outcomes, is_reversed, trim
        self.sign = np.where(is_reversed, -1.0, 1.0)
        span = float(np.nanmax(outcomes) - np.nanmin(outcomes))
        self.reach = max(span, 1e-300)

    def _shifted(self, effect: float) -> Floats:
        moved = self.outcomes.copy()
        moved[~self.is_reversed, 0] -= effect
        moved[self.is_reversed, 1:] -= effect
        return moved

    def deviate(self, effect: float, gamma: float, *, direction: float, is_upper: bool = True) -> float:
        """Standard deviate of the statistic for the hypothesis of `effect` under the bias that bounds its p-value."""
        scores = m_scores(self._shifted(effect), trim=self.trim) * (self.sign * direction)[:, None]
        # the smallest expectation is that of the mirrored scores, mirrored back
        side = 1.0 if is_upper else -1.0
        mean, variance = separable_bound(side * scores, gamma=gamma)
        gap = float(scores[:, 0].sum()) - side * mean
        return gap / math.sqrt(variance) if variance > 0 else math.copysign(math.inf, gap) if gap else 0.0

    def p_greater(self, gamma: float, *, is_upper: bool) -> float:
        """Largest (or smallest) p-value against a positive effect that bias up to `gamma` allows."""
        return inference.upper_p_value(self.deviate(0.0, gamma, direction=1.0, is_upper=is_upper))

    def p_less(self, gamma: float, *, is_upper: bool) -> float:
        """The same against a negative effect."""
        return inference.upper_p_value(self.deviate(0.0, gamma, direction=-1.0, is_upper=is_upper))

    def effect(self, gamma: float) -> tuple[float, float]:
        """Effects at which the statistic equals its largest and its smallest expectation."""
        return self._solve(gamma, direction=1.0, wanted=0.0), self._solve(gamma, direction=-1.0, wanted=0.0)

    def interval(self, gamma: float, *, size: float) -> tuple[float, float]:
        """Effects that a two-sided test of `size` cannot reject under some bias up to `gamma`."""
        wanted = inference.critical_value(level=1 - size)
        low = self._solve(gamma, direction=1.0, wanted=wanted)
        high = self._solve(gamma, direction=-1.0, wanted=wanted)
        return low, high

    def _solve(self, gamma: float, *, direction: float, wanted: float) -> float:
        """The effect at which the deviate is `wanted`; it falls as the effect moves on in `direction`."""

        def gap(effect: float) -> float:
            return self.deviate(effect, gamma, direction=direction) - wanted

        behind, ahead = -direction * 1.01 * self.reach, direction * 1.01 * self.reach
        if gap(behind) <= 0:
            return -direction * math.inf
        return float(brentq(gap, behind, ahead, xtol=1e-9 * self.reach))


def m_scores(outcomes: Floats, *, trim: float = _TRIM) -> Floats:
    """Each unit's mean over its set of Huber's function of its differences from the others; NaN stays NaN.

    Differences are in medians of all absolute differences within sets (of those not zero, where half of them are) and
    cut at `trim`. Maritz (1979); Rosenbaum (2007), section 4.2; as `mscorev` of the R package sensitivitymv, which
    stops where half are zero.
    """
    n, size = outcomes.shape
    differences = outcomes[:, :, None] - outcomes[:, None, :]
    off_diagonal = ~np.eye(size, dtype=bool)[None].repeat(n, axis=0)
    apart = np.abs(differences[off_diagonal])
    scale = float(np.nanmedian(apart))
    if scale == 0 and np.nanmax(apart) > 0:
        scale = float(np.nanmedian(apart[apart > 0]))
    scale = scale or 1.0
    cut = np.clip(differences / scale, -trim, trim) / trim
    sums = np.nansum(np.where(off_diagonal, cut, 0.0), axis=2)
    members = np.isfinite(outcomes).sum(axis=1, keepdims=True)
    return np.where(np.isfinite(outcomes), sums / members, NAN)


def separable_bound(scores: Floats, *, gamma: float) -> tuple[float, float]:
    """Largest expectation of the sum of the single units' scores over sets, and the largest variance it allows.

    In each set the hidden confounder is high for the units with the highest scores; how many is chosen set by set,
    first by expectation, then by variance. Gastwirth, Krieger and Rosenbaum (2000), "Asymptotic separability in
    sensitivity analysis", Journal of the Royal Statistical Society B 62(3).
    """
    ordered = -np.sort(-np.where(np.isfinite(scores), scores, -np.inf), axis=1)
    size = np.isfinite(scores).sum(axis=1)
    value = np.where(np.isfinite(ordered), ordered, 0.0)
    first, second = np.cumsum(value, axis=1), np.cumsum(value**2, axis=1)
    high = np.arange(1, scores.shape[1])[None, :]
    weight = gamma * high + size[:, None] - high
    top = slice(0, scores.shape[1] - 1)
    mean = ((gamma - 1) * first[:, top] + first[:, -1:]) / weight
    square = ((gamma - 1) * second[:, top] + second[:, -1:]) / weight
    variance = square - mean**2
    usable = high < size[:, None]
    best = np.where(usable, mean, -np.inf).max(axis=1, keepdims=True)
    tied = usable & (mean >= best - 1e-12 * (1 + np.abs(best)))
    return float(best.sum()), float(np.where(tied, variance, -np.inf).max(axis=1).sum())


def pairs(
    differences: Sequence[float] | Floats,
    *,
    gammas: Sequence[float] = GAMMAS,
    alternative: Alternative = "two_sided",
    distribution: Distribution = "auto",
    zeros: Zeros = "ranked",
    alpha: float = 0.05,
) -> HiddenBias:
    """Rosenbaum's bounds for matched pairs by Wilcoxon's signed rank test.

    Parameters
    ----------
    differences
        Outcome of the exposed less that of the control, one a pair; finite.
    gammas
        Factors by which the odds of exposure of alike units may differ, from 1.
    alternative
        `greater`: the effect is positive; `less`: negative; `two_sided`: twice the smaller p-value.
    distribution
        `exact`: the signed rank's distribution summed; `normal`; `auto`: exact up to 100 pairs.
    zeros
        Pairs without a difference: `ranked` among the others but counted for neither side, as in Rosenbaum's book;
        `dropped` before ranking, as in the R package rbounds.
    alpha
        Level for `largest_gamma` and the intervals.

    Notes
    -----
    Rosenbaum (2002), Observational Studies, second edition, sections 4.3.2 to 4.3.5. Effects and intervals are order
    statistics of the means of every two differences, which takes ties as if there were none.
    """
    values = np.asarray(differences, dtype=float)
    options = {"alternative": alternative, "distribution": distribution, "zeros": zeros}
    _refuse_options(options, gammas=gammas, values=values)
    if len(values) > MOST_PAIRS:
        raise InputError(
            f"hidden bias: {len(values):,} pairs are more than the {MOST_PAIRS:,} whose differences can be averaged "
            "two by two; use matched_sets."
        )
    return _assembled(
        _Pairs(values, distribution=distribution, zeros=zeros),
        gammas=gammas,
        alternative=alternative,
        alpha=alpha,
        counts=(len(values), 2 * len(values)),
    )


def matched_sets(
    outcomes: Floats,
    *,
    is_reversed: Sequence[bool] | None = None,
    gammas: Sequence[float] = GAMMAS,
    alternative: Alternative = "two_sided",
    trim: float = _TRIM,
    alpha: float = 0.05,
) -> HiddenBias:
    """Rosenbaum's bounds for sets of one unit against one or more, by Huber's M-statistic.

    Parameters
    ----------
    outcomes
        Shape (sets, largest set): the exposed unit first, then its controls, NaN where a set has fewer.
    is_reversed
        Sets of which the first unit is the control and the others are exposed, as in full matching; none by default.
    trim
        Where Huber's function is cut, in medians of the absolute differences within sets.
    gammas, alternative, alpha
        As for `pairs`.

    Notes
    -----
    Rosenbaum (2007), "Sensitivity analysis for m-estimates, tests, and confidence intervals in matched observational
    studies", Biometrics 63(2); as senmv of sensitivitymv, and senfm of sensitivityfull for sets turned round. The
    distribution is normal, so that few sets deserve little trust.
    """
    values = np.asarray(outcomes, dtype=float)
    if values.ndim != 2 or values.shape[1] < 2:
        raise InputError(f"hidden bias: outcomes have shape {values.shape}; use one row a set and 2 columns or more.")
    turned = np.zeros(len(values), dtype=bool) if is_reversed is None else np.asarray(is_reversed, dtype=bool)
    whole = np.isfinite(values[:, 0]) & (np.isfinite(values).sum(axis=1) >= 2)
    _refuse_options({"alternative": alternative}, gammas=gammas, values=np.where(whole, 0.0, NAN))
    return _assembled(
        _Sets(values, is_reversed=turned, trim=trim),
        gammas=gammas,
        alternative=alternative,
        alpha=alpha,
        counts=(len(values), int(np.isfinite(values).sum())),
    )


_ALLOWED: Final = {"alternative": Alternative, "distribution": Distribution, "zeros": Zeros}


def _refuse_options(options: Mapping[str, str], *, gammas: Sequence[float], values: Floats) -> None:
    faults = Faults(where="hidden bias")
    for name, value in options.items():
        if value not in get_args(_ALLOWED[name]):
            faults.add(f"{name} {value!r} is unknown; use {listed(get_args(_ALLOWED[name]))}.")
    if not gammas or min(gammas) < 1 or not all(math.isfinite(gamma) for gamma in gammas):
        faults.add(f"gammas are {listed(gammas, limit=12)}; they are factors of odds, 1 or more.")
    if not len(values):
        faults.add("there are no matched sets.")
    elif not np.isfinite(values).all():
        faults.add(f"{int((~np.isfinite(values)).sum())} sets lack an outcome; leave them out first.")
    faults.raise_if_any()


def _p_value(sets: _Pairs | _Sets, gamma: float, *, alternative: Alternative, is_upper: bool) -> float:
    if alternative == "greater":
        return sets.p_greater(gamma, is_upper=is_upper)
    if alternative == "less":
        return sets.p_less(gamma, is_upper=is_upper)
    smaller = min(sets.p_greater(gamma, is_upper=is_upper), sets.p_less(gamma, is_upper=is_upper))
    return min(1.0, 2 * smaller)


def largest_gamma(p_value: Callable[[float], float], *, alpha: float) -> float:
    """The Gamma up to which `p_value` is at most `alpha`, to six digits, by bisection; NaN if not even at 1.

    Infinite where it still is at `LARGEST_GAMMA`.
    """
    return _crossing(lambda gamma: p_value(gamma) <= alpha)


def hiding_gamma(p_value: Callable[[float], float], *, alpha: float) -> float:
    """The Gamma from which on `p_value`, the smallest that bias allows, is at most `alpha`; NaN if so at 1 already."""
    return _crossing(lambda gamma: p_value(gamma) > alpha)


def _crossing(holds: Callable[[float], bool]) -> float:
    """The largest Gamma at which something holds that holds up to a point and not beyond."""
    if not holds(1.0):
        return NAN
    if holds(LARGEST_GAMMA):
        return math.inf
    low, high = 1.0, LARGEST_GAMMA
    while high - low > 1e-7 * low:
        middle = math.sqrt(low * high)
        low, high = (middle, high) if holds(middle) else (low, middle)
    return low


def _assembled(
    sets: _Pairs | _Sets,
    *,
    gammas: Sequence[float],
    alternative: Alternative,
    alpha: float,
    counts: tuple[int, int],
) -> HiddenBias:
    found = []
    for gamma in sorted(gammas):
        p_low, p_high = (_p_value(sets, gamma, alternative=alternative, is_upper=upper) for upper in (False, True))
        effect_low, effect_high = sets.effect(gamma)
        ci_low, ci_high = sets.interval(gamma, size=alpha)
        found.append(
            GammaBounds(
                gamma=float(gamma),
                p_low=p_low,
                p_high=p_high,
                effect_low=effect_low,
                effect_high=effect_high,
                ci_low=ci_low,
                ci_high=ci_high,
            )
        )

    def p_value(gamma: float, *, is_upper: bool) -> float:
        return _p_value(sets, gamma, alternative=alternative, is_upper=is_upper)

    most = largest_gamma(lambda gamma: p_value(gamma, is_upper=True), alpha=alpha)
    hiding = hiding_gamma(lambda gamma: p_value(gamma, is_upper=False), alpha=alpha) if math.isnan(most) else NAN
    return HiddenBias(
        statistic=sets.statistic,
        alternative=alternative,
        alpha=alpha,
        bounds=tuple(found),
        largest_gamma=most,
        hiding_gamma=hiding,
        n_sets=counts[0],
        n_units=counts[1],
        assumed=(),
        why_not="",
        sentence=_sentence(most, hiding, n_sets=counts[0]),
    )


def _sentence(most: float, hiding: float, *, n_sets: int) -> str:
    if math.isnan(most):
        if math.isfinite(hiding):
            return message(
                "The {n_sets} matched sets show no significant difference, so none has to be explained away; a hidden "
                "trait that multiplies the odds of exposure by {hiding:.2f} (Rosenbaum's Gamma) could be hiding one.",
                n_sets=n_sets,
                hiding=hiding,
            )
        return message(
            "The {n_sets} matched sets show no significant difference, so none has to be explained away; no hidden "
            "trait of any plausible strength could be hiding one.",
            n_sets=n_sets,
        )
    if math.isinf(most):
        return message(
            "Even a hidden trait that multiplied the odds of exposure by {largest:g} could not explain it.",
            largest=LARGEST_GAMMA,
        )
    if most < 1.05:
        return message(
            "Almost any hidden trait that made exposure more likely could explain the difference of the matched sets."
        )
    return message(
        "The difference of the {n_sets} matched sets stays significant unless something hidden multiplies the odds of "
        "exposure by more than {most:.2f} (Rosenbaum's Gamma).",
        n_sets=n_sets,
        most=most,
    )


def from_matches(
    frame: pd.DataFrame,
    matches: Matches | Weighting,
    *,
    outcome: str,
    gammas: Sequence[float] = GAMMAS,
    alternative: Alternative = "two_sided",
    cluster: str | None = None,
    alpha: float = 0.05,
) -> HiddenBias:
    """Rosenbaum's bounds for a matched comparison: pairs by signed ranks, larger sets by the M-statistic.

    Sets are units joined by a match. A control that serves several exposed units (replacement, full matching) makes
    one set of them, which is bounded as such: one control against several exposed. Where chains of matches join
    several of both, the sets are no stars, and nothing can be told.

    Parameters
    ----------
    frame
        The table that was matched: same index, with the outcome.
    matches
        With pairs of exposed units and controls.
    cluster
        Column of groups that share shocks, such as the county: how many sets share one is said in `assumed`, since
        the bounds take sets as independent.
    outcome, gammas, alternative, alpha
        As for `pairs`; the outcome is a column.

    Raises
    ------
    InputError
        Where the matches have no pairs, or matched units no outcome.
    """
    joined = matches.pairs
    if joined is None:
        raise InputError(message("hidden bias: this method weighs units and matches no pairs; use a matching method."))
    _refuse_outcome(frame, joined, outcome=outcome)
    sets = _stars(joined)
    broken = sum(len(treated) > 1 and len(controls) > 1 for treated, controls in sets)
    counts = len(sets), sum(len(treated) + len(controls) for treated, controls in sets)
    is_paired = all(len(treated) == len(controls) == 1 for treated, controls in sets)
    statistic: Statistic = "signed_rank" if is_paired and len(sets) <= MOST_PAIRS else "m_statistic"
    if broken or len(sets) < FEWEST_SETS:
        why = (
            message(
                "{broken} of {n_sets} sets join several exposed units with several controls (controls used again), "
                "which the bounds are not made for",
                broken=broken,
                n_sets=len(sets),
            )
            if broken
            else message(
                "{n_sets} matched sets are too few: no p-value below {size} exists with fewer than {fewest}",
                n_sets=len(sets),
                size=0.05,
                fewest=FEWEST_SETS,
            )
        )
        return _cannot_tell(why, statistic=statistic, alternative=alternative, alpha=alpha, counts=counts)
    values = frame[outcome]
    if statistic == "signed_rank":
        gaps = [float(values[treated[0]] - values[controls[0]]) for treated, controls in sets]
        found = pairs(gaps, gammas=gammas, alternative=alternative, alpha=alpha)
    else:
        turned = [len(treated) > 1 for treated, _ in sets]
        rows = [
            [*controls, *treated] if is_turned else [*treated, *controls]
            for (treated, controls), is_turned in zip(sets, turned, strict=True)
        ]
        table = np.full((len(rows), max(map(len, rows))), NAN)
        for position, labels in enumerate(rows):
            table[position, : len(labels)] = values.loc[labels].to_numpy(dtype=float)
        found = matched_sets(table, is_reversed=turned, gammas=gammas, alternative=alternative, alpha=alpha)
    return _with_assumptions(found, counts=counts, assumed=tuple(_assumptions(frame, sets, cluster=cluster)))


_Star = tuple[list[Any], list[Any]]


def _refuse_outcome(frame: pd.DataFrame, joined: pd.DataFrame, *, outcome: str) -> None:
    faults = Faults(where="hidden bias")
    if outcome not in frame:
        faults.add(f"no column {outcome!r}; the table has {listed(frame.columns, limit=12)}.")
    else:
        labels = pd.unique(np.concatenate([joined["treated"].to_numpy(), joined["control"].to_numpy()]))
        values = frame.loc[labels, outcome]
        if values.isna().any():
            faults.add(f"{outcome!r} is empty for matched units {listed(values.index[values.isna()])}.")
    faults.raise_if_any()


def _stars(joined: pd.DataFrame) -> list[_Star]:
    """Exposed units and controls of each set of units that matches join, in the order of the pairs."""
    above: dict[tuple[str, Any], tuple[str, Any]] = {}

    def root(unit: tuple[str, Any]) -> tuple[str, Any]:
        while above.setdefault(unit, unit) != unit:
            above[unit] = unit = above[above[unit]]
        return unit

    for treated, control in zip(joined["treated"], joined["control"], strict=True):
        above[root(("control", control))] = root(("treated", treated))
    sets: dict[tuple[str, Any], _Star] = {}
    for kind, label in above:
        treated, controls = sets.setdefault(root((kind, label)), ([], []))
        (treated if kind == "treated" else controls).append(label)
    return list(sets.values())


def _assumptions(frame: pd.DataFrame, sets: Sequence[_Star], *, cluster: str | None) -> Iterator[str]:
    turned = sum(len(treated) > 1 for treated, _ in sets)
    if turned:
        yield counted(
            "{n} control serves several exposed units; it is one set of them, bounded as a set turned round.",
            "{n} controls serve several exposed units; each is one set of them, bounded as a set turned round.",
            n=turned,
        )
    if cluster is None:
        yield message("Sets are taken as independent of one another.")
        return
    of_sets = [set(frame.loc[[*treated, *controls], cluster]) for treated, controls in sets]
    seen = pd.Series([name for names in of_sets for name in names]).value_counts()
    shared = sum(any(seen[name] > 1 for name in names) for names in of_sets)
    if shared:
        yield message(
            "Sets are taken as independent, yet {shared} of {n_sets} share a {cluster} with another: the true p-values "
            "are likely larger.",
            shared=shared,
            n_sets=len(sets),
            cluster=cluster,
        )
    else:
        yield message("Sets are taken as independent; no two share a {cluster}.", cluster=cluster)


def _with_assumptions(found: HiddenBias, *, counts: tuple[int, int], assumed: tuple[str, ...]) -> HiddenBias:
    return replace(found, n_sets=counts[0], n_units=counts[1], assumed=assumed)


def _cannot_tell(
    why: str, *, statistic: Statistic, alternative: Alternative, alpha: float, counts: tuple[int, int]
) -> HiddenBias:
    return HiddenBias(
        statistic=statistic,
        alternative=alternative,
        alpha=alpha,
        bounds=(),
        largest_gamma=NAN,
        hiding_gamma=NAN,
        n_sets=counts[0],
        n_units=counts[1],
        assumed=(),
        why_not=why,
        sentence=message("How much hidden bias the comparison can bear cannot be told: {why}.", why=why),
    )
