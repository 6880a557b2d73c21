"""One city's figures by year beside those of other cities, and how far it moved against them.

In: a `Panel`, an outcome and cities with their peers. Out: one frozen `History` a city; a description, no estimate.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from wwc_research import inference
from wwc_research.catalog import Outcome
from wwc_research.panel.panel import Panel
from wwc_research.sources.corrections import load_corrections

FEWEST = 3  # a mean of fewer cities is those cities
MOST_YEARS = 3  # on each side of a change
WEAKER = ("quality_2", "quality_3")

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True, kw_only=True)
class Figure:
    """One year: the city's own value with its 95 % survey error, means of peers and group; NaN where there is none."""

    year: int
    value: float
    low: float
    high: float
    peers: float
    group: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Missing:
    """Years without a figure and the mark that says why; `correction` is the reason of a declared one, else empty."""

    years: tuple[int, ...]
    why: str
    correction: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """From the years `before` to the years `after`, in the unit of the analysis (a log difference for logs).

    Attributes
    ----------
    own, peers
        Change of the city, and of the mean of its peers (NaN without peers).
    gap
        own - peers.
    own_low, own_high, gap_low, gap_high
        95 % by survey error alone; NaN where that is not known.
    """

    before: tuple[int, ...]
    after: tuple[int, ...]
    own: float
    own_low: float
    own_high: float
    peers: float
    gap: float
    gap_low: float
    gap_high: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Break:
    """First year of a new series, why it cannot be compared with the one before, and whether the plan does so."""

    year: int
    why: str
    is_accepted: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class History:
    """What the panel knows of one outcome in one city.

    Attributes
    ----------
    figures
        A row a year from the first to the last in which the panel has the outcome for anybody; no rows where the city
        has no figure at all.
    missing
        Years of these without a figure of the city.
    weaker_years
        Years whose figure the publisher gives a weaker grade.
    peers, n_group
        Place_ids whose mean stands beside the city, and how many cities the mean of the group counts: each has a
        figure in every year in which the city has one.
    covered_share
        Least share of the city's people whom the figure covers; NaN where it is the city's own figure.
    breaks
        Breaks of the series between the first and the last figure of the city.
    change
        None where one side has no year.
    is_parted
        Whether it is None because of a break: there are figures on both sides, and the series breaks between them.
    """

    place_id: str
    outcome: str
    figures: tuple[Figure, ...]
    missing: tuple[Missing, ...]
    weaker_years: tuple[int, ...]
    peers: tuple[str, ...]
    n_group: int
    covered_share: float
    breaks: tuple[Break, ...]
    change: Change | None
    is_parted: bool


def city_histories(
    panel: Panel,
    outcome: Outcome,
    *,
    peers: Mapping[str, Sequence[str]],
    since: Mapping[str, int],
    otherwise: tuple[Sequence[int], Sequence[int]],
    accepted: Collection[int] = (),
) -> dict[str, History]:
    """The history of an outcome in each city.

    Parameters
    ----------
    panel
        With the outcome's variable as a column.
    peers
        By city, the place_ids to compare it with.
    since
        First year that counts as exposed, by city; its change goes from the last `MOST_YEARS` years with figures
        before that year to the last `MOST_YEARS` from it on, all of them on one side of any break of the series.
    otherwise
        Years before and after for the other cities; those with figures are used.
    accepted
        Breaks of the series that the plan compares across; here figures of one side only are compared all the same.

    Returns
    -------
    dict
        By place_id. Means of peers and group leave out, for a county figure, cities of the same county, which have
        the same figure; means of logs are taken back to the unit of the panel. The group of a certified city is the
        other certified ones, that of another city the others.
    """
    tables = _Tables.of(panel, outcome, accepted=accepted)
    return {place_id: tables.history(place_id, chosen, since, otherwise) for place_id, chosen in peers.items()}


@dataclass(frozen=True, slots=True, kw_only=True)
class _Tables:
    """Places by years, as arrays: values on the scale of the analysis, standard errors, marks, covered shares."""

    outcome: Outcome
    accepted: Collection[int]
    rows: Mapping[str, int]
    years: Sequence[int]
    values: Floats
    errors: Floats
    marks: NDArray[np.object_]
    covered: Floats
    county: NDArray[np.object_]
    is_certified: NDArray[np.bool_]
    corrections: Mapping[str, str]
    critical: float

    @classmethod
    def of(cls, panel: Panel, outcome: Outcome, *, accepted: Collection[int]) -> _Tables:
        name, column = outcome.variable, panel.column(outcome.variable)
        years = range(column.first_year or 0, (column.last_year or -1) + 1)
        frame = panel.frame.loc[panel.frame["year"].isin(years)]
        places = pd.Index(sorted(panel.frame["place_id"].unique()))

        keyed = frame.set_index(["place_id", "year"])
        cells = pd.MultiIndex.from_product([places, years])

        def table(key: str, *, absent: object = math.nan) -> NDArray[Any]:
            kept = keyed[key] if key in keyed else pd.Series(absent, index=keyed.index)
            return kept.reindex(cells).to_numpy().reshape(len(places), len(years))

        values = table(name).astype(float)
        flag = f"{name}_flag" if f"{name}_flag" in frame else f"{name}_main_county_flag"
        marks = table(flag, absent="")
        marks = np.where(pd.isna(marks), "", marks).astype(object)
        fixed = panel.frame.drop_duplicates("place_id").set_index("place_id").reindex(places)
        ever = fixed["certification_cohort"].notna() | fixed["certification_is_undated"].eq(True)
        return cls(
            outcome=outcome,
            accepted=accepted,
            rows={str(place): at for at, place in enumerate(places)},
            years=years,
            values=np.log(values) if outcome.transform == "log" else values,
            errors=table(f"{name}_std_error").astype(float),
            marks=marks,
            covered=table(f"{name}_covered_share").astype(float),
            county=fixed["county_id"].to_numpy(dtype=object),
            is_certified=ever.to_numpy(dtype=bool),
            corrections=_reasons(outcome),
            critical=inference.critical_value(),
        )

    def history(
        self,
        place_id: str,
        peers: Sequence[str],
        since: Mapping[str, int],
        otherwise: tuple[Sequence[int], Sequence[int]],
    ) -> History:
        """What is known of one city."""
        own = self.rows[place_id]
        has = np.isfinite(self.values[own])
        whole: NDArray[np.bool_] = np.asarray(np.isfinite(self.values[:, has]).all(axis=1) & has.any())
        whole[own] = False
        if self.outcome.geography == "county":
            whole &= self.county != self.county[own]
        chosen = [self.rows[peer] for peer in peers if whole[self.rows[peer]]]
        group = np.flatnonzero(whole & (self.is_certified == self.is_certified[own]))
        chosen = chosen if len(chosen) >= FEWEST else []
        group = group if len(group) >= FEWEST else group[:0]
        covered = self.covered[own][has]
        known = self._known_sides(has, since.get(place_id), otherwise)
        sides = self._one_series(*known)
        return History(
            place_id=place_id,
            outcome=self.outcome.name,
            figures=self._figures(own, has, chosen, group),
            missing=self._missing(place_id, own, has),
            weaker_years=tuple(y for at, y in enumerate(self.years) if has[at] and self.marks[own, at] in WEAKER),
            peers=tuple(peer for peer in peers if self.rows[peer] in set(chosen)),
            n_group=len(group),
            covered_share=float(np.nanmin(covered)) if np.isfinite(covered).any() else math.nan,
            breaks=self._breaks(has),
            change=self._change(own, chosen, *sides) if all(sides) else None,
            is_parted=all(known) and not all(sides),
        )

    def _breaks(self, has: NDArray[np.bool_]) -> tuple[Break, ...]:
        known = [year for at, year in enumerate(self.years) if has[at]]
        crossed = self.outcome.breaks_between(known[0], known[-1]) if known else {}
        return tuple(Break(year=year, why=why, is_accepted=year in self.accepted) for year, why in crossed.items())

    def _figures(
        self, own: int, has: NDArray[np.bool_], chosen: Sequence[int], group: NDArray[np.intp]
    ) -> tuple[Figure, ...]:
        if not has.any():
            return ()
        none = np.full(len(self.years), math.nan)
        means = [self.values[list(rows)].mean(axis=0) if len(rows) else none for rows in (chosen, group)]
        back = np.exp if self.outcome.transform == "log" else np.asarray
        value, near, others = (back(np.where(has, part, math.nan)) for part in (self.values[own], *means))
        half = self.critical * self.errors[own]
        return tuple(
            Figure(
                year=year,
                value=float(value[at]),
                low=float(value[at] - half[at]),
                high=float(value[at] + half[at]),
                peers=float(near[at]),
                group=float(others[at]),
            )
            for at, year in enumerate(self.years)
        )

    def _missing(self, place_id: str, own: int, has: NDArray[np.bool_]) -> tuple[Missing, ...]:
        """Years without a figure by what is known of the reason; a declared correction is told by its mark."""
        grouped: dict[tuple[str, str], list[int]] = {}
        for at, year in enumerate(self.years):
            if not has[at]:
                mark = str(self.marks[own, at])
                why = "gap" if str(year) in self.outcome.gaps else mark
                area = self.county[own] if self.outcome.geography == "county" else place_id
                correction = self.corrections.get(f"{area} {year} {mark}", "")
                grouped.setdefault((why, correction), []).append(year)
        return tuple(Missing(years=tuple(years), why=why, correction=text) for (why, text), years in grouped.items())

    def _known_sides(
        self, has: NDArray[np.bool_], since: int | None, otherwise: tuple[Sequence[int], Sequence[int]]
    ) -> tuple[list[int], list[int]]:
        """Positions of the years with a figure before and after."""
        known = [at for at in range(len(self.years)) if has[at]]
        if since is None:
            before, after = ([at for at in known if self.years[at] in side] for side in otherwise)
        else:
            before, after = ([at for at in known if (self.years[at] >= since) is late] for late in (False, True))
        return before, after

    def _one_series(self, before: list[int], after: list[int]) -> tuple[list[int], list[int]]:
        """The nearest of these years that no break parts from the last year before."""
        if before and after:
            last = self.years[before[-1]]
            # figures across a break of the series are no change of the city
            after = [at for at in after if not self.outcome.breaks_between(last, self.years[at])]
            before = [at for at in before if not self.outcome.breaks_between(self.years[at], last)]
        return before[-MOST_YEARS:], after[-MOST_YEARS:]

    def _change(self, own: int, chosen: Sequence[int], before: list[int], after: list[int]) -> Change:
        """Means of the years after less means of those before; survey errors of different years are independent."""
        moved = self.values[:, after].mean(axis=1) - self.values[:, before].mean(axis=1)
        # of logs by the delta method: errors over values
        errors = self.errors if self.outcome.transform == "none" else self.errors / np.exp(self.values)
        variance = sum((errors[:, side] ** 2).sum(axis=1) / len(side) ** 2 for side in (before, after))
        variance = np.asarray(variance, dtype=float)
        peers = float(moved[list(chosen)].mean()) if chosen else math.nan
        own_low, own_high = self._interval(float(moved[own]), float(variance[own]))
        gap = float(moved[own]) - peers
        both = float(variance[own] + variance[list(chosen)].sum() / len(chosen) ** 2) if chosen else math.nan
        gap_low, gap_high = self._interval(gap, both)
        return Change(
            before=tuple(self.years[at] for at in before),
            after=tuple(self.years[at] for at in after),
            own=float(moved[own]),
            own_low=own_low,
            own_high=own_high,
            peers=peers,
            gap=gap,
            gap_low=gap_low,
            gap_high=gap_high,
        )

    def _interval(self, value: float, variance: float) -> tuple[float, float]:
        return inference.simultaneous_band(value, math.sqrt(variance), self.critical)


def _reasons(outcome: Outcome) -> dict[str, str]:
    """Reasons of the declared corrections of an outcome's figures by area, year and mark."""
    found: dict[str, str] = {}
    for entry in load_corrections().values():
        if entry["source"] == outcome.source and outcome.variable in entry["variables"]:
            areas: Iterable[str] = entry["place_ids"]
            found |= {f"{area} {year} {entry['flag']}": entry["reason"] for area in areas for year in entry["years"]}
    return found


__all__ = ["FEWEST", "MOST_YEARS", "Break", "Change", "Figure", "History", "Missing", "city_histories"]
