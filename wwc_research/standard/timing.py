"""Certification events become time: cohorts, level by year, renewals and probable lapse, doses.

In: the events table of the certification source. Out: frames a city, a city-year or an announcement.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd

from wwc_research.catalog.undated import Interval, intervals
from wwc_research.errors import InputError, listed

LEVEL_DOSE = {"none": 0.0, "silver": 1.0, "gold": 2.0, "platinum": 3.0}
UNKNOWN_LEVEL = "unknown"
_AWARDS = ("first", "level-up", "recertified")


def first_exposed_year(announced_on: str, *, exposure_month: int = 7) -> int | None:
    """The first year that counts as exposed; None where the date is not known.

    An award in `exposure_month` or later leaves too little of its year to matter and counts from the next.

    Parameters
    ----------
    announced_on
        ISO date, year and month (`2020-06`), or year; empty means undated. A bare year that the rule would put into
        two years is not dated well enough, and gives None.
    exposure_month
        1 to 13; 13 counts every award in its own year.

    Examples
    --------
    >>> first_exposed_year("2018-01-25"), first_exposed_year("2021-12-15"), first_exposed_year("")
    (2018, 2022, None)
    """
    years = possible_exposed_years(announced_on, exposure_month=exposure_month)
    return years[0] if len(years) == 1 else None


def possible_exposed_years(announced_on: str, *, exposure_month: int = 7) -> tuple[int, ...]:
    """The years that can be the first exposed one: two where only the year of the award is known, none if undated.

    Examples
    --------
    >>> possible_exposed_years("2021"), possible_exposed_years("2021-12"), possible_exposed_years("")
    ((2021, 2022), (2022,), ())
    """
    if not 1 <= exposure_month <= 13:
        raise InputError(f"exposure_month = {exposure_month} should lie between 1 and 13")
    if not announced_on:
        return ()
    year, *rest = (int(part) for part in announced_on.split("-"))
    months = rest[:1] or [1, 12]
    return tuple(sorted({year + (month >= exposure_month) for month in months}))


def cohorts(events: pd.DataFrame, *, exposure_month: int = 7) -> pd.DataFrame:
    """One row a city with a first certification: when exposed, under which edition, at which level.

    Parameters
    ----------
    events
        Columns place_id, event, level, announced_on, standard_edition, confidence (text).

    Returns
    -------
    DataFrame
        place_id, cohort (Int64; missing = certified but undated), edition, level, announced_on, confidence,
        is_undated; sorted by place_id.
    """
    first = events.loc[events["event"] == "first"].copy()
    years = [first_exposed_year(text, exposure_month=exposure_month) for text in first["announced_on"].fillna("")]
    table = pd.DataFrame(
        {
            "place_id": first["place_id"].to_numpy(),
            "cohort": pd.array(years, dtype="Int64"),
            "edition": first["standard_edition"].fillna("").to_numpy(),
            "level": first["level"].fillna("").to_numpy(),
            "announced_on": first["announced_on"].fillna("").to_numpy(),
            "confidence": first["confidence"].fillna("").to_numpy(),
        }
    )
    table["is_undated"] = table["cohort"].isna()
    return table.sort_values("place_id", ignore_index=True)


def announcement_cohorts(events: pd.DataFrame) -> pd.DataFrame:
    """One row an announcement: how many cities it certified first, of them in the United States, and at what level.

    Parameters
    ----------
    events
        Columns event, country, level, announced_on, label_year, standard_edition (text).

    Returns
    -------
    DataFrame
        announced_on ('' = undated), label_year (the programme's own, often the year of assessment; several joined by
        `|`), edition, cities, us_cities, silver, gold, platinum, unknown; in order of announcement, undated last.
    """
    rows = []
    first = events.loc[events["event"] == "first"].fillna("")
    for announced_on, group in first.groupby("announced_on"):
        counts = group["level"].replace("", UNKNOWN_LEVEL).value_counts()
        rows.append(
            {
                "announced_on": str(announced_on),
                "label_year": "|".join(sorted({text for text in group["label_year"] if text})),
                "edition": "|".join(sorted({text for text in group["standard_edition"] if text})),
                "cities": len(group),
                "us_cities": int((group["country"] == "USA").sum()),
                **{level: int(counts.get(level, 0)) for level in ("silver", "gold", "platinum", UNKNOWN_LEVEL)},
            }
        )
    rows.sort(key=lambda row: (row["announced_on"] == "", row["announced_on"]))
    return pd.DataFrame(rows)


def city_histories(
    events: pd.DataFrame,
    *,
    validity_years: float | None = None,
    exposure_month: int = 7,
    undated: Mapping[str, Interval] | None = None,
) -> pd.DataFrame:
    """One row a certified city: its award, the edition of the award, what it renewed and when it probably lapses.

    Parameters
    ----------
    events
        Columns event_id, place_id, city, event, level, announced_on, label_year, standard_edition (text).
    validity_years
        Years for which an award counts; None = unknown, and nothing lapses.
    exposure_month
        See `first_exposed_year`.
    undated
        Intervals by event_id of first awards without a date (default: the catalog's).

    Returns
    -------
    DataFrame
        place_id, city, edition_at_award, level_at_award, announced_on, label_year, cohort_earliest and cohort_latest
        (first exposed year; missing where nothing bounds it), is_interval_censored, last_level (last level known),
        last_announced_on, level_ups, recertifications, undated_renewals, probable_lapse_year (first year without
        the level unless it was renewed; missing where validity is unknown, or a renewal has no date).
    """
    _check_validity(validity_years)
    rows = []
    for place_id, awards in _awards_by_place(events, exposure_month=exposure_month, undated=undated).items():
        first = awards[0]
        dated = [award for award in awards if award.announced_on]
        levels = [award.level for award in [*(a for a in awards if not a.announced_on), *dated] if award.level]
        undated_renewals = sum(not award.years for award in awards[1:])
        last = max((max(award.years) for award in awards if award.years), default=None)
        lapse = None if validity_years is None or last is None or undated_renewals else last + validity_years
        rows.append(
            {
                "place_id": place_id,
                "city": first.city,
                "edition_at_award": first.edition,
                "level_at_award": first.level,
                "announced_on": first.announced_on,
                "label_year": first.label_year,
                "cohort_earliest": min(first.years, default=None),
                "cohort_latest": max(first.years, default=None),
                "is_interval_censored": len(first.years) != 1,
                "last_level": levels[-1] if levels else UNKNOWN_LEVEL,
                "last_announced_on": dated[-1].announced_on if dated else "",
                "level_ups": sum(award.event == "level-up" for award in awards),
                "recertifications": sum(award.event == "recertified" for award in awards),
                "undated_renewals": undated_renewals,
                "probable_lapse_year": None if lapse is None else math.ceil(lapse),
            }
        )
    whole = ("cohort_earliest", "cohort_latest", "probable_lapse_year")
    return pd.DataFrame(rows).astype(dict.fromkeys(whole, "Int64"))


def level_history(
    events: pd.DataFrame,
    *,
    years: Iterable[int],
    validity_years: float | None = None,
    exposure_month: int = 7,
    undated: Mapping[str, Interval] | None = None,
    place_ids: Iterable[str] = (),
) -> pd.DataFrame:
    """One row a city and year: the level held, its dose, and whether the city was ever certified by then.

    The level is the last one known among the awards that count by that year. A date known only within bounds is run
    through every year it can be; what all of them agree on is stated, the rest is unknown. An award of unknown level
    makes the level unknown; a recertification of unknown level keeps the level before.

    Parameters
    ----------
    events, exposure_month, undated
        See `city_histories`.
    years
        Calendar years wanted.
    validity_years
        Years after which an award that was not renewed counts as lapsed; None = unknown, and nothing lapses.
    place_ids
        Further places, without any award, to be listed as never certified.

    Returns
    -------
    DataFrame
        place_id, year, level (none, silver, gold, platinum, unknown), level_dose (0 to 3, NaN = unknown),
        ever_certified, is_probable_lapse (boolean; missing = unknown); sorted by place_id and year.
    """
    _check_validity(validity_years)
    wanted = sorted(set(years))
    awards = _awards_by_place(events, exposure_month=exposure_month, undated=undated)
    rows = []
    for place_id in sorted({*awards, *place_ids}):
        own = awards.get(place_id, [])
        for year in wanted:
            level, ever, lapsed = _state(own, year, validity_years=validity_years)
            rows.append((place_id, year, level, LEVEL_DOSE.get(level, math.nan), ever, lapsed))
    columns = ["place_id", "year", "level", "level_dose", "ever_certified", "is_probable_lapse"]
    table = pd.DataFrame(rows, columns=columns)
    return table.astype({"level_dose": float, "ever_certified": "boolean", "is_probable_lapse": "boolean"})


def score_dose(
    scores: pd.DataFrame,
    *,
    years: Iterable[int],
    exposure_month: int = 7,
    validity_years: float | None = None,
) -> pd.DataFrame:
    """One row a scored city and year: the share of points of its last assessment that counts by then.

    Parameters
    ----------
    scores
        Columns place_id, assessed_on (ISO date, year and month, or year), share (0 to 1).
    years
        Calendar years wanted.
    exposure_month
        An assessment of this month or later counts from the next year; a bare year counts from the next.
    validity_years
        Years after which an assessment no longer counts; None = it counts until the next one.

    Returns
    -------
    DataFrame
        place_id, year, score_dose; NaN before the first assessment and after the last one has expired, since a city
        that was not assessed did not score 0.
    """
    _check_validity(validity_years)
    shares = scores["share"].to_numpy(dtype=float)
    if not np.all((shares >= 0) & (shares <= 1)):
        raise InputError(f"{int(np.sum(~((shares >= 0) & (shares <= 1))))} shares lie outside 0 to 1 or are empty")
    counted: dict[str, list[tuple[int, str, float]]] = {}
    for place_id, date, share in zip(scores["place_id"], scores["assessed_on"].fillna(""), shares, strict=True):
        possible = possible_exposed_years(str(date), exposure_month=exposure_month)
        if not possible:
            raise InputError("an assessment has no date in assessed_on; a dose needs one")
        counted.setdefault(str(place_id), []).append((max(possible), str(date), float(share)))
    rows = []
    for place_id, year in itertools.product(sorted(counted), sorted(set(years))):
        past = [entry for entry in counted[place_id] if entry[0] <= year]
        last = max(past, default=None)
        expired = last is not None and validity_years is not None and year - last[0] >= validity_years
        rows.append((place_id, year, math.nan if last is None or expired else last[2]))
    return pd.DataFrame(rows, columns=["place_id", "year", "score_dose"])


@dataclass(frozen=True, slots=True, kw_only=True)
class _Award:
    """An award of one city; `years` are those it can count from, none where nothing bounds it."""

    city: str
    event: str
    level: str
    announced_on: str
    label_year: str
    edition: str
    years: tuple[int, ...]


def _check_validity(validity_years: float | None) -> None:
    if validity_years is not None and not validity_years > 0:
        raise InputError(f"validity_years = {validity_years} should be above 0, or None where it is unknown")


def _awards_by_place(
    events: pd.DataFrame, *, exposure_month: int, undated: Mapping[str, Interval] | None
) -> dict[str, list[_Award]]:
    """Awards of each city that has a first one, the first in front, the others by date, undated ones last."""
    known = intervals() if undated is None else undated
    columns = ["event_id", "place_id", "city", "event", "level", "announced_on", "label_year", "standard_edition"]
    found: dict[str, list[_Award]] = {}
    rows = events.loc[events["event"].isin(_AWARDS), columns].fillna("")
    for event_id, place_id, city, event, level, announced_on, label_year, edition in rows.itertuples(index=False):
        years = possible_exposed_years(announced_on, exposure_month=exposure_month)
        if not years and event_id in known:
            years = _interval_years(known[event_id], exposure_month=exposure_month)
        award = _Award(
            city=city,
            event=event,
            level=level,
            announced_on=announced_on,
            label_year=label_year,
            edition=edition,
            years=years,
        )
        found.setdefault(str(place_id), []).append(award)
    orphans = [place for place, awards in found.items() if sum(award.event == "first" for award in awards) != 1]
    if orphans:
        raise InputError(f"places {listed(orphans)} have awards and not exactly one first award; correct the events")
    return {place: sorted(found[place], key=_order) for place in sorted(found)}


def _order(award: _Award) -> tuple[bool, bool, str]:
    return award.event != "first", not award.announced_on, award.announced_on


def _interval_years(interval: Interval, *, exposure_month: int) -> tuple[int, ...]:
    """Years an undated award can count from: those of its candidate announcements, else the whole interval."""
    dates = interval.candidates or (interval.earliest, interval.latest)
    years = {year for date in dates for year in possible_exposed_years(date, exposure_month=exposure_month)}
    return tuple(sorted(years) if interval.candidates else range(min(years), max(years) + 1))


def _state(awards: list[_Award], year: int, *, validity_years: float | None) -> tuple[str, bool | None, bool | None]:
    """Level, ever certified and lapsed in one year, as far as every possible dating of the awards agrees."""
    placed = [award for award in awards if award.years]
    renewed_some_time = any(not award.years for award in awards[1:])
    states = set()
    for years in itertools.product(*(award.years for award in placed)):
        past = [(start, number) for number, (start, _) in enumerate(zip(years, placed, strict=True)) if start <= year]
        states.add(_one_state(placed, past, year, validity_years=validity_years))
    if awards and not awards[0].years and not any(min(award.years) <= year for award in placed):
        # a first award that nothing bounds may lie before any year
        return UNKNOWN_LEVEL, None, None
    levels, evers, lapses = (set(values) for values in zip(*states, strict=True))
    level = levels.pop() if len(levels) == 1 else UNKNOWN_LEVEL
    ever = evers.pop() if len(evers) == 1 else None
    lapsed = lapses.pop() if len(lapses) == 1 else None
    if lapsed and renewed_some_time:
        # an undated renewal may have kept the level
        return UNKNOWN_LEVEL, ever, None
    return level, ever, lapsed


def _one_state(
    awards: list[_Award], past: list[tuple[int, int]], year: int, *, validity_years: float | None
) -> tuple[str, bool, bool]:
    if not past:
        return "none", False, False
    if validity_years is not None and year - max(past)[0] >= validity_years:
        return "none", True, True
    level = UNKNOWN_LEVEL
    for _, number in sorted(past):
        award = awards[number]
        if award.level or award.event != "recertified":
            level = award.level or UNKNOWN_LEVEL
    return level, True, False
