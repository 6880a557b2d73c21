"""A Weighting is what every matching and weighting method gives: how much each unit counts, and why.

In: one row a unit. Out: frozen `Weighting`, whatever the method, so that balance and errors are computed once.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, get_args

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from wwc_research.design.matching import Matches
from wwc_research.design.sample import Exclusion
from wwc_research.errors import EstimationError, Faults, InputError, listed
from wwc_research.messages import message

Estimand = Literal["ATT", "ATE"]

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]
Flags = NDArray[np.bool_]

_WORDS: Mapping[Estimand, str] = {
    "ATT": message("ATT of the matched treated"),
    "ATE": message("ATE of the matched units"),
}


def note_estimand(faults: Faults, estimand: str) -> None:
    """An unknown estimand, noted in `faults`; raises nothing."""
    if estimand not in get_args(Estimand):
        faults.add(f"estimand {estimand!r} is unknown; use {listed(get_args(Estimand))}.")


def no_scores() -> pd.Series:
    """An empty series, where a method needs no propensity score."""
    return pd.Series(dtype=float, name="propensity")


@dataclass(frozen=True, slots=True, kw_only=True)
class Weighting:
    """How much each unit counts in the comparison.

    Attributes
    ----------
    weights
        By the input's index, never negative; 0 = left out.
    estimand
        `ATT`, `ATE` or `ATO`, with words behind it where dropping or trimming units changed whom it speaks of.
    method
        Name of the method, as users choose it.
    sets
        Matched set or stratum by the input's index (nullable integers from 0), missing for units in none. None
        for methods without sets, and where one unit may be in several of them (replacement).
    pairs
        One row a treated unit and a control of its set: `treated`, `control`, `weight`, `distance`, as in
        `Matches.pairs`. None for methods that do not pair.
    propensity
        Estimated propensity scores by the input's index; empty where none were needed.
    exclusions
        What was left out, with reasons.
    settings
        Options as used, with what was found on the way (cutpoints, gaps, totals).
    """

    weights: pd.Series
    estimand: str
    method: str
    sets: pd.Series | None = None
    pairs: pd.DataFrame | None = None
    propensity: pd.Series = field(default_factory=no_scores)
    exclusions: tuple[Exclusion, ...] = ()
    settings: Mapping[str, Any] = field(default_factory=dict)

    def as_matches(self) -> Matches:
        """The pairs of a method without replacement, for estimators of matched differences.

        Raises
        ------
        InputError
            Where the method does not pair units.
        """
        if self.pairs is None:
            raise InputError(f"{self.method} pairs no units; use it with weighted differences.")
        return Matches(
            pairs=self.pairs,
            weights=self.weights,
            propensity=self.propensity,
            estimand=self.estimand,
            with_replacement=False,
            ties=0,
            exclusions=self.exclusions,
            settings=self.settings,
        )

    def __post_init__(self) -> None:
        bad = self.weights.index[~(self.weights >= 0)]
        if len(bad):
            raise InputError(f"{self.method}: weights of {listed(bad)} are negative or missing; drop those units.")
        if self.sets is not None and not self.sets.index.equals(self.weights.index):
            raise InputError(f"{self.method}: sets and weights have different indexes; use the input's for both.")

    @property
    def n_units(self) -> int:
        """Units that count."""
        return int((self.weights > 0).sum())

    @property
    def n_sets(self) -> int:
        """Distinct sets or strata; 0 for methods without."""
        return 0 if self.sets is None else int(self.sets.nunique())

    @classmethod
    def of(cls, matches: Matches) -> Weighting:
        """The weighting that nearest-neighbour `matches` amount to.

        A set is a treated unit with its controls. With replacement a control can be in several of them, so
        that `sets` is None.
        """
        sets = None
        if not matches.with_replacement:
            codes = pd.factorize(matches.pairs["treated"])[0]
            sets = pd.Series(pd.NA, index=matches.weights.index, dtype="Int64", name="set")
            sets.loc[matches.pairs["treated"].to_numpy()] = codes
            sets.loc[matches.pairs["control"].to_numpy()] = codes
        return cls(
            weights=matches.weights,
            estimand=matches.estimand,
            method=str(matches.settings.get("method", "nearest")),
            sets=sets,
            pairs=matches.pairs,
            propensity=matches.propensity,
            exclusions=matches.exclusions,
            settings=matches.settings,
        )

    @classmethod
    def of_sets(
        cls,
        codes: Integers,
        *,
        index: pd.Index,
        treated: Flags,
        method: str,
        estimand: Estimand = "ATT",
        pairs: pd.DataFrame | None = None,
        propensity: pd.Series | None = None,
        exclusions: tuple[Exclusion, ...] = (),
        settings: Mapping[str, Any],
    ) -> Weighting:
        """The weighting that sets of treated and untreated units amount to.

        Parameters
        ----------
        codes
            Set of each unit, shape (units,), -1 for none. Every set needs both kinds (`two_sided`).
        index, treated
            Labels and treatment of the units.
        method, estimand, pairs, propensity, exclusions, settings
            As the attributes; words are added to the estimand where units that it speaks of are in no set.

        Raises
        ------
        EstimationError
            If no unit is in a set.
        """
        if not (codes >= 0).any():
            raise EstimationError(
                message(
                    "{method}: no set has both treated and untreated units: {reasons}. Match on fewer covariates, or "
                    "less finely.",
                    method=method,
                    reasons=listed(item.reason for item in exclusions),
                )
            )
        numbered = np.full(len(codes), -1, dtype=np.int64)
        numbered[codes >= 0] = pd.factorize(codes[codes >= 0])[0]
        spoken_of = treated if estimand == "ATT" else np.ones(len(codes), dtype=bool)
        return cls(
            weights=pd.Series(set_weights(numbered, treated=treated, estimand=estimand), index=index, name="weight"),
            estimand=_WORDS[estimand] if (numbered[spoken_of] < 0).any() else estimand,
            method=method,
            sets=pd.Series(pd.array(numbered, dtype="Int64"), index=index, name="set").mask(numbered < 0),
            pairs=pairs,
            propensity=no_scores() if propensity is None else propensity,
            exclusions=exclusions,
            settings=settings,
        )

    @classmethod
    def of_strata(
        cls,
        strata: Integers,
        *,
        index: pd.Index,
        treated: Flags,
        method: str,
        estimand: Estimand,
        propensity: pd.Series | None = None,
        settings: Mapping[str, Any],
    ) -> Weighting:
        """The weighting of strata, without those that lack treated or untreated units.

        Parameters
        ----------
        strata
            Code of each unit from 0, shape (units,).
        index, treated, method, estimand, propensity, settings
            As for `of_sets`.

        Raises
        ------
        EstimationError
            If no stratum has both.
        """
        codes = two_sided(strata, treated=treated)
        counts = {
            message("treated unit in a stratum without controls"): int((treated & (codes < 0)).sum()),
            message("control in a stratum without treated units"): int((~treated & (codes < 0)).sum()),
        }
        return cls.of_sets(
            codes,
            index=index,
            treated=treated,
            method=method,
            estimand=estimand,
            propensity=propensity,
            exclusions=tuple(Exclusion(reason=why, rows=count, units=count) for why, count in counts.items() if count),
            settings={"method": method, **settings, "estimand": estimand},
        )


def two_sided(codes: Integers, *, treated: Flags) -> Integers:
    """The codes, with -1 for units whose set lacks treated or untreated units, shape (units,)."""
    inside = codes >= 0
    if not inside.any():
        return codes
    size = int(codes.max()) + 1
    both = np.ones(size, dtype=bool)
    for side in (treated, ~treated):
        both &= np.bincount(codes[inside & side], minlength=size) > 0
    return np.where(inside & both[np.where(inside, codes, 0)], codes, -1)


def set_weights(codes: Integers, *, treated: Flags, estimand: Estimand) -> Floats:
    """Weights that make every set count by its treated units (ATT) or by all its units (ATE), shape (units,).

    ATT: 1 for treated units, treated over untreated units of the set for the untreated, so that both sides sum
    to the number of treated units. ATE: units of the set over those of the own side, so that both sides sum to
    the number of units. MatchIt's weights are these up to a constant for each side, which changes no estimate
    and no sandwich error.

    Parameters
    ----------
    codes
        Set of each unit from 0, -1 for none; every set has both kinds.
    treated
        Shape (units,).
    estimand
        `ATT` or `ATE`.
    """
    weights = np.zeros(len(codes))
    inside = codes >= 0
    size = int(codes.max(initial=-1)) + 1
    counts = [np.bincount(codes[inside & side], minlength=size).astype(float) for side in (treated, ~treated)]
    target = counts[0] if estimand == "ATT" else counts[0] + counts[1]
    for side, count in zip((treated, ~treated), counts, strict=True):
        own = inside & side
        weights[own] = (target / np.maximum(count, 1.0))[codes[own]]
    return weights
