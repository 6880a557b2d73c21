"""Counts by public-use microdata area → shares of cities, with the sampling and the allocation part of the error.

In: sums of weights by area and a crosswalk of areas to places. Out: one row a place; correlations within areas.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pandas as pd
from scipy.special import log_ndtr

from wwc_research.sources.replicate_weights import ratios, std_error

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True, kw_only=True)
class AreaCounts:
    """A share's part and whole by area.

    Attributes
    ----------
    areas
        `P` and seven digits.
    part, whole
        Sums of weights, shape (areas, 81): the full weight, then the replicates.
    sampled
        Records of the whole by area.
    """

    areas: tuple[str, ...]
    part: Floats
    whole: Floats
    sampled: npt.NDArray[np.int64]

    @property
    def states(self) -> npt.NDArray[np.str_]:
        """Two-digit state of each area."""
        return np.array([area[1:3] for area in self.areas], dtype=str)

    @property
    def share(self) -> Floats:
        """Share of each area; NaN where nobody was sampled."""
        return ratios(self.part[:, 0], self.whole[:, 0])


@dataclass(frozen=True, slots=True, kw_only=True)
class Unlikeness:
    """How unlike the areas of a state are: variance of their true shares over θ(1 - θ), θ the state's share.

    Attributes
    ----------
    share
        θ by state; NaN where nobody was sampled.
    ratio
        Variance over θ(1 - θ) by state, always positive.
    own
        The moment estimate by state before it was drawn, which may be negative; only states that have one.
    typical
        The ratio that the states' own ones were drawn towards.
    """

    share: Mapping[str, float]
    ratio: Mapping[str, float]
    own: Mapping[str, float]
    typical: float

    def variance(self, state: str) -> float:
        """Variance of true shares between areas of a state; NaN where θ is 0, 1 or not known."""
        share = self.share.get(state, np.nan)
        scale = share * (1 - share)
        return self.ratio.get(state, self.typical) * scale if scale > 0 else np.nan


def unlikeness(counts: AreaCounts, *, typical: float, spread: float, least_states: int | None = None) -> Unlikeness:
    """Variance of the true shares between the areas of each state, freed from sampling error and of chance.

    By state, first the general moment estimator (DerSimonian and Kacker 2007) with weights nₐ, the records of area a:

        τ² = [Σ nₐ(θₐ - θ)² - Σ nₐ vₐ (1 - nₐ/n)] / C,    C = n - Σ nₐ²/n,    n = Σ nₐ

    Sampling variances are smoothed, vₐ = k θ(1 - θ)/nₐ with k the design effect over the state's areas, since an area
    without a case in its sample has a replicate variance of 0 and yet is not known exactly.

    Of few areas τ² is mostly chance: it is too small or negative as often as not, and intervals that rest on it are
    then too short. So the ratio r = τ²/(θ(1 - θ)) is drawn towards a typical one, R, as far as it is uncertain
    (empirical Bayes; Morris 1983, for a normal estimate and a normal spread of what is estimated):

        mean = (ω² r + V R)/(ω² + V),    variance = ω² V/(ω² + V)

    with ω = `spread` · R the standard deviation of true ratios between states, and V the sampling variance of r, that
    of a quadratic form in normal shares:

        V = 2 Σₐ Σ_b A_ab² (R + k/nₐ)(R + k/n_b) / C²,    A_ab = nₐ[a = b] - nₐ n_b/n

    V is taken at R, not at r: a ratio that came out too small would otherwise vouch for its own precision. No variance
    is negative, so the state takes the mean of that normal law cut off at 0, which is positive however r came out, and
    is R for a state of one area.

    Parameters
    ----------
    counts
        All areas of the states at hand. Each state's result rests on its own areas, whatever other states are there,
        unless `least_states` is given.
    typical
        R.
    spread
        ω/R.
    least_states
        From so many states of two areas and more on, R is the ratio pooled within them instead, if it is positive.
    """
    share, records = counts.share, counts.sampled.astype(float)
    known = (records > 0) & np.isfinite(share)
    means: dict[str, float] = {}
    own: dict[str, tuple[float, Floats, float]] = {}
    sums = np.zeros(2)
    for state in sorted(set(counts.states.tolist())):
        inside = known & (counts.states == state)
        whole = counts.whole[inside, 0].sum()
        mean = float(counts.part[inside, 0].sum() / whole) if whole > 0 else np.nan
        means[state] = mean
        scale = mean * (1 - mean)
        if inside.sum() < 2 or not scale > 0:
            continue
        effect = _design_effect(counts, inside)
        variance = _between(share[inside], records[inside], effect * scale)
        own[state] = (variance / scale, records[inside], effect)
        sums += (inside.sum() - 1) * np.array([variance, scale])
    if least_states is not None and len(own) >= least_states and sums[0] > 0:
        typical = float(sums[0] / sums[1])
    drawn = {state: _drawn(*found, typical=typical, spread=spread) for state, found in own.items()}
    return Unlikeness(
        share=means,
        ratio={state: drawn.get(state, typical) for state in means},
        own={state: found[0] for state, found in own.items()},
        typical=typical,
    )


def _drawn(ratio: float, records: Floats, effect: float, *, typical: float, spread: float) -> float:
    """A state's own ratio drawn towards the typical one by its uncertainty: the positive mean of `unlikeness`."""
    n = records.sum()
    form = np.diag(records) - np.outer(records, records) / n
    noise = typical + effect / records
    uncertain = 2 * (form**2 * np.outer(noise, noise)).sum() / (n - (records**2).sum() / n) ** 2
    between = (spread * typical) ** 2
    mean = (between * ratio + uncertain * typical) / (between + uncertain)
    deviation = np.sqrt(between * uncertain / (between + uncertain))
    if deviation == 0:
        return float(mean)
    low = mean / deviation
    # φ/Φ by their logarithms, which hold far below 0 too
    return float(mean + deviation * np.exp(-0.5 * low**2 - 0.5 * np.log(2 * np.pi) - log_ndtr(low)))


def _between(share: Floats, records: Floats, unit_variance: float) -> float:
    """τ² of `unlikeness`; may be negative. `unit_variance` is vₐ nₐ, equal for all areas."""
    n = records.sum()
    mean = (records * share).sum() / n
    excess = (records * (share - mean) ** 2).sum() - unit_variance * (1 - records / n).sum()
    return float(excess / (n - (records**2).sum() / n))


def _design_effect(counts: AreaCounts, inside: npt.NDArray[np.bool_]) -> float:
    """Replicate variances over those of simple random samples of the same records, added up over areas."""
    share, records = counts.share[inside], counts.sampled[inside]
    replicated = std_error(ratios(counts.part[inside], counts.whole[inside])) ** 2
    usable = np.isfinite(replicated)
    plain = (share * (1 - share))[usable].sum()
    return float((records[usable] * replicated[usable]).sum() / plain) if plain > 0 else 1.0


def place_shares(
    counts: AreaCounts, *, crosswalk: pd.DataFrame, unlike: Unlikeness, part_spread: float
) -> pd.DataFrame:
    """Shares of places from the areas they lie in, with two parts of the error kept apart.

    With aₐ the share of area a's people who live in the place (`puma_share`), Yₐ and Xₐ part and whole of the area:

        θ = Σ aₐYₐ / Σ aₐXₐ,    wₐ = aₐXₐ / Σ aₐXₐ

    *Sampling.* The ratio is formed under each of the 80 replicate weights; its error is theirs.

    *Allocation.* aₐYₐ takes the city's side of an area to have the area's own share. It has not: if θ₁ is the share on
    the city's side and θ₂ on the other, the area's is aₐθ₁ + (1 - aₐ)θ₂, so the city's side is off by
    (1 - aₐ)(θ₁ - θ₂). With Var(θ₁ - θ₂) = κτ², τ² the variance of true shares between areas of the state,

        Var = Σ wₐ² κ τ² (1 - aₐ)²

    which is 0 where the areas lie wholly in the city and largest where it is a small part of one.

    Assumptions: the two sides of an area differ as if drawn alike, without a sign known beforehand (a city that is
    poorer than its suburbs everywhere is off to one side, which no variance of this kind covers; nor are the area's
    people of the group divided between the sides as all its people are: the fault in wₐ is left out, which is nothing
    for a city within one area, and small where its areas have like shares); sides of different areas differ
    independently; τ² speaks for the size of parts. κ = 2 makes two sides as unlike as two areas of the state;
    `benchmarks/pums.md` has what pairs of real neighbouring areas say of it, and what coverage is when it fails.

    Cities that share an area share its people and its sides, so their errors, both parts, are not independent of each
    other; nothing here says how far.

    The allocation part is much the same from year to year while areas stay as drawn, the sampling part is new each
    year: a change within a decade is judged by the sampling parts alone, a level by their sum.

    Parameters
    ----------
    counts
        Areas and their sums.
    crosswalk
        `puma_id`, `place_id`, `puma_share`, `place_share`; the areas drawn in the decade of the counts.
    unlike
        From `unlikeness`.
    part_spread
        κ.

    Returns
    -------
    DataFrame
        One row a place of the crosswalk: `place_id`, `value`, `sampling_se`, `allocation_se`,
        `std_error` (root of the sum of squares; NaN where a part is), `part`, `whole` (people), `part_se`, `whole_se`
        (sampling only), `sampled` (Σ aₐnₐ: records expected to be of the place), `own_share` (of the people its
        residents' areas hold, the share that live in the place, averaged over residents), `covered_share` (share of
        its people whose area is in `counts`).
    """
    position = {area: number for number, area in enumerate(counts.areas)}
    present = crosswalk["puma_id"].isin(position).to_numpy()
    every, places = pd.factorize(crosswalk["place_id"], sort=True)
    links, codes = crosswalk[present], every[present]
    area = links["puma_id"].map(position).to_numpy(dtype=int)
    held, lives = links["puma_share"].to_numpy(dtype=float), links["place_share"].to_numpy(dtype=float)

    def over_areas(values: Floats) -> Floats:
        out = np.zeros((len(places), *values.shape[1:]))
        np.add.at(out, codes, values)
        return out

    part = over_areas(held[:, None] * counts.part[area])
    whole = over_areas(held[:, None] * counts.whole[area])
    estimates = ratios(part, whole)
    weight = ratios(held * counts.whole[area, 0], whole[codes, 0])
    between = np.array([unlike.variance(state) for state in counts.states.tolist()])[area]
    # A variance that is not known does no harm to a city that holds its areas whole.
    beyond = np.where(held < 1, weight**2 * part_spread * between * (1 - held) ** 2, 0.0)
    sampling, allocation = std_error(estimates), np.sqrt(over_areas(beyond))
    covered = over_areas(lives)
    return pd.DataFrame(
        {
            "place_id": places.astype(str),
            "value": estimates[:, 0],
            "sampling_se": sampling,
            "allocation_se": allocation,
            "std_error": np.hypot(sampling, allocation),
            "part": part[:, 0],
            "whole": whole[:, 0],
            "part_se": std_error(part),
            "whole_se": std_error(whole),
            "sampled": over_areas(held * counts.sampled[area]),
            "own_share": ratios(over_areas(lives * held), covered),
            "covered_share": covered,
        }
    )
