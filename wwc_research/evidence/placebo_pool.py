"""Placebo units from the real comparison pool: the real cohorts, dealt to units that were never exposed.

In: a Sample and a generator. Out: a Sample in whose world nobody is exposed.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt
import pandas as pd

from wwc_research.design.sample import Exclusion, Sample
from wwc_research.errors import EstimationError
from wwc_research.messages import message

Floats = npt.NDArray[np.float64]
Integers = npt.NDArray[np.int64]
Mask = npt.NDArray[np.bool_]

# Units of the pool that have to stay comparison units: fewer show no spread.
FEWEST_LEFT = 2


@dataclass(frozen=True, slots=True, kw_only=True)
class Draw:
    """One placebo assignment: the pool's unit for each place of a really exposed unit.

    `moved` places were filled from another size stratum, `apart` units of a county with several exposed units could
    not be placed in one county together.
    """

    units: Integers
    moved: int
    apart: int


@dataclass(frozen=True, slots=True, kw_only=True)
class PlaceboPool:
    """The comparison pool of one sample, ready for any number of draws.

    Attributes
    ----------
    sample
        The pool's rows, all never exposed; units and clusters are codes where asked for.
    row_unit, time, weight
        Code of the unit, time and weight of each row.
    stratum, cluster
        Of each unit of the pool; shape (units,).
    cohorts, strata
        Of each place, that is of each really exposed unit; shape (places,).
    able
        Whether the unit has rows before and after the place's exposure as the real unit had; shape (places, units).
    groups
        Places whose real units share a county, largest group first; lone places are in none.
    """

    sample: Sample
    row_unit: Integers
    time: Integers
    weight: Floats
    stratum: Floats
    cluster: Integers
    cohorts: Floats
    strata: Floats
    able: Mask
    groups: tuple[tuple[int, ...], ...]

    @classmethod
    def of(cls, sample: Sample, *, coded: bool = False) -> PlaceboPool:
        """The pool of units never exposed in the sample; the really exposed are taken out altogether.

        Parameters
        ----------
        coded
            Whether text is replaced by codes and columns that no estimator reads are dropped; estimates are the same,
            and sooner had.

        Raises
        ------
        EstimationError
            Where nobody is exposed, or the pool holds too few units to deal all cohorts to.
        """
        frame = sample.frame
        real = frame["cohort"].notna()
        spans = frame.assign(stratum=_numbers(frame)).groupby("unit", sort=True)
        spans = spans.agg(
            cohort=("cohort", "first"),
            stratum=("stratum", "first"),
            cluster=("cluster", "first"),
            first=("time", "min"),
            last=("time", "max"),
        )
        exposed, pool = spans.loc[spans["cohort"].notna()], spans.loc[spans["cohort"].isna()]
        if not len(exposed):
            raise EstimationError(
                message("sample: nobody is exposed, so there are no cohorts to deal to placebo units")
            )
        if len(pool) < len(exposed) + FEWEST_LEFT:
            raise EstimationError(
                message(
                    "sample: {n_exposed} units are exposed and {n_never} never; placebo units need at least {fewest} "
                    "units never exposed. Add comparison units.",
                    n_exposed=len(exposed),
                    n_never=len(pool),
                    fewest=len(exposed) + FEWEST_LEFT,
                )
            )
        first, last = (pool[name].to_numpy()[None, :] for name in ("first", "last"))
        cohorts = exposed["cohort"].to_numpy(float)
        seen_after = (exposed["last"].to_numpy() >= cohorts)[:, None]
        able = (first < cohorts[:, None] - sample.anticipation) & (~seen_after | (last >= cohorts[:, None]))
        taken = Exclusion(
            reason=message("really exposed: no part of a placebo world"), rows=int(real.sum()), units=len(exposed)
        )
        rows = frame.loc[~real].reset_index(drop=True)
        unit = pool.index.get_indexer(rows["unit"]).astype(np.int64)
        if coded:
            text = ["label", "n_places", "people", "stratum", "region"]
            unread = [name for name in text if name in rows and name not in (*sample.covariates, *sample.effects)]
            rows = rows.drop(columns=unread).assign(unit=unit, cluster=pd.factorize(rows["cluster"], sort=True)[0])
        order = exposed.reset_index().groupby("cluster", sort=True).indices.values()
        return cls(
            sample=replace(sample, frame=rows, exclusions=(*sample.exclusions, taken)),
            row_unit=unit,
            time=rows["time"].to_numpy(np.int64),
            weight=rows["weight"].to_numpy(float),
            stratum=pool["stratum"].to_numpy(float),
            cluster=pd.factorize(pool["cluster"], sort=True)[0].astype(np.int64),
            cohorts=cohorts,
            strata=exposed["stratum"].to_numpy(float),
            able=able,
            groups=tuple(
                sorted((tuple(int(p) for p in places) for places in order if len(places) > 1), key=lambda g: -len(g))
            ),
        )

    def draw(self, generator: np.random.Generator) -> Draw:
        """A unit for every place, none twice.

        Counties first: for each county with several exposed units, largest first, a county of the pool that still has
        as many is drawn by lot (where none has, the one with most), and its units fill the places, each the unit of
        the nearest size stratum. Then every other place draws from its own stratum, in a county of its own while
        there are any; places of a stratum that has run out draw from the nearest one that has not.

        Raises
        ------
        EstimationError
            Where no unit is left that was seen before and after a place's exposure.
        """
        deal = _Deal.begun(self, generator=generator)
        apart = sum(deal.together(group, generator) for group in self.groups)
        alone = [int(place) for place in generator.permutation(len(self.cohorts)) if deal.units[place] < 0]
        for place in alone:
            deal.within(place)
        for place in alone:
            if deal.units[place] < 0:
                deal.anywhere(place)
        moved = int((self.stratum[deal.units] != self.strata).sum())
        return Draw(units=deal.units, moved=moved, apart=apart)

    def cohort_of_rows(self, draw: Draw) -> Floats:
        """First exposed time of each row's unit in that draw, NaN = never."""
        cohort = np.full(len(self.stratum), np.nan)
        cohort[draw.units] = self.cohorts
        return cohort[self.row_unit]

    def world(self, cohort: Floats, *, effect: Floats | None = None) -> Sample:
        """The pool with placebo cohorts, and with an effect laid over its rows where one is given."""
        changed = {"cohort": cohort}
        if effect is not None:
            changed["outcome"] = self.sample.frame["outcome"].to_numpy(float) + effect
        return replace(self.sample, frame=self.sample.frame.assign(**changed))

    def effects(self, cohort: Floats, *, size: float) -> tuple[Floats, Floats]:
        """A constant effect, and one that grows with every period of exposure, on each row.

        Both have the weighted mean `size` over exposed rows; the growing one is proportional to one plus the time
        since exposure.
        """
        exposed = self.time >= cohort
        since: Floats = np.where(exposed, self.time - np.where(exposed, cohort, 0.0) + 1.0, 0.0)
        mean = float(self.weight @ since) / float(self.weight @ exposed) if exposed.any() else math.nan
        return size * exposed.astype(float), since * (size / mean)


def _numbers(frame: pd.DataFrame) -> Floats:
    """Size stratum of each row as a number whose distances mean something; all 0 where the sample has none."""
    if "stratum" not in frame:
        return np.zeros(len(frame))
    named = frame["stratum"]
    if pd.api.types.is_numeric_dtype(named) or pd.api.types.is_bool_dtype(named):
        return named.to_numpy(float)
    return pd.factorize(named, sort=True)[0].astype(float)


def _distances(strata: Floats, stratum: float) -> Floats:
    """Steps between size strata; the stratum of unknown size (below zero) is further off than any other."""
    unknown = (strata < 0) != (stratum < 0)
    return np.where(unknown, np.inf, np.abs(strata - stratum))


@dataclass(slots=True)
class _Deal:
    """One draw in the making; `priority` is the order in which equally good units are taken.

    `is_served` says of each county whether it has a placebo unit, `queues` are units of each stratum by priority.
    """

    pool: PlaceboPool
    priority: Integers
    units: Integers
    free: Mask
    is_served: Mask
    queues: dict[float, list[int]]

    @classmethod
    def begun(cls, pool: PlaceboPool, *, generator: np.random.Generator) -> _Deal:
        priority = generator.permutation(len(pool.stratum))
        ordered = pool.stratum[priority]
        return cls(
            pool=pool,
            priority=priority,
            units=np.full(len(pool.cohorts), -1, dtype=np.int64),
            free=np.ones(len(pool.stratum), dtype=bool),
            is_served=np.zeros(int(pool.cluster.max()) + 1, dtype=bool),
            queues={float(value): priority[ordered == value].tolist() for value in np.unique(ordered)},
        )

    def _take(self, place: int, unit: int) -> None:
        self.units[place] = unit
        self.free[unit] = False
        self.is_served[self.pool.cluster[unit]] = True

    def together(self, group: Sequence[int], generator: np.random.Generator) -> int:
        """Fill the places of one county from one county; the number of places left over."""
        pool = self.pool
        fits = self.free & pool.able[list(group)].all(axis=0)
        held = np.bincount(pool.cluster[fits], minlength=len(self.is_served))
        held[self.is_served] = 0
        most = min(len(group), int(held.max()))
        if most < 2:
            return len(group)
        county = int(generator.choice(np.flatnonzero(held >= most)))
        there = self.priority[(fits & (pool.cluster == county))[self.priority]].tolist()
        for place in generator.permutation(np.array(group))[:most]:
            distances = _distances(pool.stratum[there], float(pool.strata[place]))
            self._take(int(place), there.pop(int(np.argmin(distances))))
        return len(group) - most

    def within(self, place: int) -> None:
        """Fill a place from its own stratum; a county that has a placebo unit already only once the others are gone."""
        free, able, cluster = self.free, self.pool.able[place], self.pool.cluster
        second = -1
        for unit in self.queues.get(float(self.pool.strata[place]), []):
            if not free[unit] or not able[unit]:
                continue
            if not self.is_served[cluster[unit]]:
                self._take(place, unit)
                return
            second = unit if second < 0 else second
        if second >= 0:
            self._take(place, second)

    def anywhere(self, place: int) -> None:
        """Fill a place from the nearest stratum that has a unit left, in a county of its own if it can be."""
        pool = self.pool
        left = self.priority[(self.free & pool.able[place])[self.priority]]
        if not left.size:
            raise EstimationError(
                message(
                    "no unit never exposed is left that was seen before and after {cohort:.0f}; widen the window or "
                    "add comparison units",
                    cohort=pool.cohorts[place],
                )
            )
        shared = self.is_served[pool.cluster[left]]
        nearest = np.lexsort((shared, _distances(pool.stratum[left], float(pool.strata[place]))))[0]
        self._take(place, int(left[nearest]))


def placebo_sample(sample: Sample, *, generator: np.random.Generator) -> Sample:
    """The comparison pool with the real cohorts dealt to it by lot; outcomes are as they were: a world of no effect.

    Really exposed units are out altogether, and counted among the exclusions. Cohort years and sizes are the real
    ones; counties and size strata (column `stratum`) as `PlaceboPool.draw` says. Optional columns, weights and
    covariates stay.

    Raises
    ------
    EstimationError
        Where the pool is too small; see `PlaceboPool.of`.
    """
    pool = PlaceboPool.of(sample)
    return pool.world(pool.cohort_of_rows(pool.draw(generator)))
