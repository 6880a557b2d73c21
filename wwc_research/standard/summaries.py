"""What may be published of scores: aggregates over at least k cities, small cells and their complements suppressed.

In: `Scores`, never shown. Out: `PublicSummary`, plain numbers that name no city.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
import pandas as pd

from wwc_research.errors import Faults
from wwc_research.standard.scoring import LEVELS, Scores

# Ends of the size bands in residents; the first is the programme's floor.
SIZE_BANDS = (30_000, 100_000, 250_000, 500_000)
_UNKNOWN_SIZE = "population not known"


@dataclass(frozen=True, slots=True, kw_only=True)
class PublicSummary:
    """Aggregates that may be shown; a missing number was suppressed.

    Attributes
    ----------
    is_simulated
        Whether the cities are made up; say so wherever the numbers are shown.
    cities_count
        Cities, each by its last assessment.
    levels
        Frame `level`, `cities_count`.
    practices
        Frame `practice`, `mean_share` (0-1, two decimals, over all cities).
    size_bands
        Frame `size_band`, `cities_count`, `mean_share` (of all points); None without populations.
    """

    edition: str
    k: int
    is_simulated: bool
    cities_count: int
    levels: pd.DataFrame
    practices: pd.DataFrame
    size_bands: pd.DataFrame | None


def public_summary(
    scores: Scores,
    *,
    k: int = 10,
    population: Mapping[str, float] | None = None,
    earlier: Sequence[Scores] = (),
) -> PublicSummary:
    """Counts by level, mean share by practice, counts and mean share by size band, each over at least k cities.

    A cell of fewer than k cities, zero included, is suppressed, and further cells with it until those suppressed are
    at least two and hold at least k cities together: the total minus what is shown then says nothing about fewer. A
    mean is suppressed where all cities of the cell have the same value, since it would tell each city's. No two
    attributes are crossed.

    Parameters
    ----------
    population
        place_id → residents, for size bands.
    earlier
        Scores of which summaries are already public. A summary is refused if its assessments differ from one of these
        by fewer than k cities, for the difference of the two would tell about those. Releases that are not handed in
        cannot be guarded against.

    Raises
    ------
    InputError
        If k is below 3, there are fewer than k cities, or an earlier release is too near. Numbers below k are not told.
    """
    faults = Faults("public summary")
    if k < 3:
        faults.add(f"k = {k} protects nobody: of two cities each knows the other. Give 3 or more; 10 is usual")
    last = _last_rows(scores)
    places = scores.place_id[last]
    if len(last) < k:
        faults.add(f"fewer than k = {k} cities, so nothing may be shown")
    if any(0 < _changed(scores, other) < k for other in earlier):
        faults.add(f"differs from an earlier release by fewer than k = {k} cities; wait until more are assessed")
    faults.raise_if_any()
    practices = scores.practice_shares.iloc[last]
    return PublicSummary(
        edition=scores.edition,
        k=k,
        is_simulated=scores.is_simulated,
        cities_count=len(last),
        levels=_levels_table(scores.level[last], k=k),
        practices=pd.DataFrame(
            {
                "practice": [str(name) for name in practices.columns],
                "mean_share": [_mean(practices[name].to_numpy()) for name in practices.columns],
            }
        ),
        size_bands=None if population is None else _bands_table(places, scores.share[last], population, k=k),
    )


def suppressed(counts: Sequence[int], *, k: int, unsafe: Sequence[bool] = ()) -> list[bool]:
    """Which cells of one table with a known total may not be shown.

    Cells below k (and those marked unsafe), then the smallest others until the suppressed are none, or at least two
    that hold at least k together.
    """
    hidden = [count < k for count in counts]
    if unsafe:
        hidden = [flag or bad for flag, bad in zip(hidden, unsafe, strict=True)]
    by_size = sorted(range(len(counts)), key=lambda cell: counts[cell])
    while any(hidden) and not all(hidden):
        held = [count for count, flag in zip(counts, hidden, strict=True) if flag]
        if sum(held) >= k and len(held) >= 2:
            break
        hidden[next(cell for cell in by_size if not hidden[cell])] = True
    return hidden


def _last_rows(scores: Scores) -> list[int]:
    """Row of each city's last assessment, in the order of place_id."""
    rows: dict[str, int] = {}
    for row in np.lexsort((scores.assessed_on.astype(str), scores.place_id.astype(str))):
        rows[scores.place_id[row]] = int(row)
    return list(rows.values())


def _changed(scores: Scores, other: Scores) -> int:
    """Cities that are in one of two releases only, or whose last scores differ."""
    now, before = (
        {
            one.place_id[row]: (
                one.assessed_on[row],
                one.points[row],
                one.level[row],
                tuple(one.practice_shares.iloc[row].fillna(-1)),
            )
            for row in _last_rows(one)
        }
        for one in (scores, other)
    )
    return sum(now.get(place) != before.get(place) for place in now.keys() | before.keys())


def _levels_table(levels: Any, *, k: int) -> pd.DataFrame:
    counts = [int(np.sum(levels == name)) for name in LEVELS]
    hidden = suppressed(counts, k=k)
    return pd.DataFrame({"level": list(LEVELS), "cities_count": _shown(counts, hidden)})


def _bands_table(places: Any, shares: Any, population: Mapping[str, float], *, k: int) -> pd.DataFrame:
    """Counts and mean shares by size band; a band whose mean would tell is hidden with its count."""
    residents = np.array([population.get(place, np.nan) for place in places], dtype=float)
    ends = (0, *SIZE_BANDS, np.inf)
    names = [f"below {SIZE_BANDS[0]:,}"]
    names += [f"{low:,} to {high - 1:,}" for low, high in pairwise(SIZE_BANDS)]
    names += [f"{SIZE_BANDS[-1]:,} and more", _UNKNOWN_SIZE]
    inside = [(residents >= low) & (residents < high) for low, high in pairwise(ends)]
    inside.append(np.isnan(residents))
    counts = [int(flags.sum()) for flags in inside]
    means = [_mean(shares[flags]) for flags in inside]
    hidden = suppressed(counts, k=k, unsafe=[mean is None for mean in means])
    return pd.DataFrame(
        {
            "size_band": names,
            "cities_count": _shown(counts, hidden),
            "mean_share": pd.array(
                [None if flag else mean for mean, flag in zip(means, hidden, strict=True)], "Float64"
            ),
        }
    )


def _mean(values: Any) -> float | None:
    """Mean to two decimals; None where it is not known or every value is the same and so would be told."""
    if len(values) == 0 or np.isnan(values).any() or np.ptp(values) == 0:
        return None
    return round(float(np.mean(values)), 2)


def _shown(counts: Sequence[int], hidden: Sequence[bool]) -> Any:
    return pd.array([None if flag else count for count, flag in zip(counts, hidden, strict=True)], dtype="Int64")
