"""Who was exposed, where and when: the rows that the map and the timeline of a page draw.

In: a panel, a sample, the public roster of awards. Out: rows; nobody is named in them who is not on that roster.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping, Sequence
from typing import Any, Final

import pandas as pd

from wwc_research import catalog
from wwc_research.design.sample import Sample
from wwc_research.errors import InputError
from wwc_research.panel.panel import Panel
from wwc_research.standard.timing import LEVEL_DOSE, UNKNOWN_LEVEL

# an honour roll names cities that have no certification, so it is no event of a timeline
EVENTS: Final = ("first", "level-up", "recertified")
MOST_DOTS: Final = 260
SMALLEST_CELL: Final = 0.25  # degrees; on a page's map dots closer than this all but cover one another
DECIMALS: Final = 3  # of a degree, about a hundred metres


def map_rows(panel: Panel, *, sample: Sample) -> list[dict[str, Any]]:
    """One row a unit of the sample, exposed ones first: label, state, latitude, longitude, cohort, level.

    Comparison units have no label, cohort or level, so that nobody is named who is not on the public roster. A
    county stands at the mean of its places. Degrees are rounded to a hundred metres, and None where the panel has no
    coordinates.

    Parameters
    ----------
    panel
        The panel from which the sample was drawn.
    sample
        From `Design.sample`: units are places or counties of the panel.

    Returns
    -------
    list of dict
        `cohort` is the first exposed year or None; `level` the level in that year (the highest of a county's places;
        `unknown` where the roster does not say), empty for a treatment without levels.

    Raises
    ------
    InputError
        Where the sample was not drawn from a panel, has units that the panel does not know, or exposed ones that were
        never exposed themselves (neighbours, rings).
    """
    is_county, treatment = _origin(sample)
    key = "county_id" if is_county else "place_id"
    places = panel.frame.drop_duplicates("place_id")
    spots = places.groupby(key).agg(
        latitude=("latitude", "mean"), longitude=("longitude", "mean"), state=("state", "first")
    )
    units = sample.frame.drop_duplicates("unit")[["unit", "label", "cohort"]]
    unknown = units.loc[~units["unit"].isin(spots.index), "unit"]
    if len(unknown):
        raise InputError(f"{len(unknown)} units of the sample, such as {unknown.iloc[0]}, are not in the panel")
    known = places.loc[places[f"{treatment.name}_cohort"].notna(), key]
    unlisted = units.loc[units["cohort"].notna() & ~units["unit"].isin(known), "unit"]
    if len(unlisted):
        # neighbours of exposed places count as exposed in some designs, and are on no roster
        raise InputError(
            f"{len(unlisted)} units, such as {unlisted.iloc[0]}, count as exposed in the sample and were not "
            "themselves; draw the map of the design with exposure = 'own'"
        )
    levels = _levels(panel, units, key=key, treatment=treatment)
    rows = []
    for unit, label, cohort in units.itertuples(index=False, name=None):
        spot, exposed = spots.loc[unit], not math.isnan(cohort)
        rows.append(
            {
                "label": label if exposed else "",
                "state": spot["state"],
                "latitude": _rounded(spot["latitude"]),
                "longitude": _rounded(spot["longitude"]),
                "cohort": int(cohort) if exposed else None,
                "level": levels.get(unit, "") if exposed else "",
            }
        )
    return sorted(rows, key=lambda row: (row["cohort"] is None, row["cohort"] or 0, row["label"], row["state"]))


def thinned(rows: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """The rows of a map as few as a picture of it needs, each with `n_units`, how many units it stands for.

    Exposed units stay as they are. Comparison units that lie close together in a state become one, at the place of
    one of them, so that at most about `MOST_DOTS` are left; those without coordinates become one row.

    Parameters
    ----------
    rows
        From `map_rows`.

    Examples
    --------
    >>> near = [{"state": "MI", "latitude": 42.4 + at / 100, "longitude": -83.1, "cohort": None} for at in range(3)]
    >>> thinned(near)
    [{'state': 'MI', 'latitude': 42.4, 'longitude': -83.1, 'cohort': None, 'n_units': 3}]
    """
    exposed = [{**row, "n_units": 1} for row in rows if row["cohort"] is not None]
    others = [dict(row) for row in rows if row["cohort"] is None]
    nowhere = [row for row in others if row["latitude"] is None or row["longitude"] is None]
    placed = [row for row in others if row["latitude"] is not None and row["longitude"] is not None]
    found = [*exposed, *_dots(placed)]
    if nowhere:
        found.append({**nowhere[0], "state": "", "latitude": None, "longitude": None, "n_units": len(nowhere)})
    return found


def _dots(placed: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Comparison units joined by state and cell of a grid, which is made coarser until they are few enough."""
    for step in itertools.count():
        cell = SMALLEST_CELL * 1.1**step
        groups: dict[tuple[Any, ...], list[Mapping[str, Any]]] = {}
        for row in placed:
            spot = (row["state"], round(row["latitude"] / cell), round(row["longitude"] / cell))
            groups.setdefault(spot, []).append(row)
        # every state keeps a dot, so a grid as coarse as this ends it
        if len(groups) <= MOST_DOTS or cell > 90:
            break
    return [{**members[0], "n_units": len(members)} for _, members in sorted(groups.items())]


def _origin(sample: Sample) -> tuple[bool, catalog.Treatment]:
    """Whether units are counties, and the treatment, as the design wrote them into the sample."""
    name, unit = sample.settings.get("treatment"), sample.settings.get("unit")
    if name not in catalog.treatments() or unit not in ("place", "county"):
        raise InputError(
            f"the sample has unit {unit!r} and treatment {name!r}; a map needs a sample from Design.sample, or rows of "
            "your own"
        )
    return unit == "county", catalog.treatment(name)


def _levels(panel: Panel, units: pd.DataFrame, *, key: str, treatment: catalog.Treatment) -> dict[str, str]:
    """Level of each exposed unit in its first exposed year; empty where the treatment is no award."""
    if not treatment.is_award:
        return {}
    names = {dose: level for level, dose in LEVEL_DOSE.items()}
    exposed = units.loc[units["cohort"].notna(), ["unit", "cohort"]].rename(columns={"unit": key})
    own = panel.frame[[key, "year", "certification_level_dose", f"{treatment.name}_cohort"]].merge(exposed, on=key)
    # in a county only the places exposed by then have a level that counts
    own = own.loc[(own["year"] == own["cohort"]) & (own[f"{treatment.name}_cohort"] <= own["cohort"])]
    highest = own.groupby(key)["certification_level_dose"].max()
    found = {str(unit): names.get(dose, UNKNOWN_LEVEL) for unit, dose in highest.items()}
    return {unit: found.get(unit, UNKNOWN_LEVEL) for unit in exposed[key]}


def _rounded(value: float) -> float | None:
    return round(float(value), DECIMALS) if math.isfinite(value) else None


def timeline_rows(panel: Panel, *, sample: Sample, events: pd.DataFrame) -> list[dict[str, Any]]:
    """One row an award of each exposed city of the sample, or of each exposed city in its exposed counties.

    Only cities that were exposed are in it, and only what the public roster says of them. For a treatment from a level
    on (gold) awards below it are left out, and the first one at it is the first; for a treatment that is no award
    each city has one row, without level.

    Parameters
    ----------
    panel
        The panel from which the sample was drawn.
    sample
        From `Design.sample`.
    events
        Table certification/events: place_id, event, level, announced_on.

    Returns
    -------
    list of dict
        label, event (first, level-up, recertified), level (silver, gold, platinum, unknown; empty for no award),
        announced_on ('' = not dated; as precise as published), year (None = not dated); cities in order of their
        first date, undated ones last.

    Raises
    ------
    InputError
        Where the sample was not drawn from a panel.
    """
    name, unit = sample.settings.get("treatment"), sample.settings.get("unit")
    if name not in catalog.treatments() or unit not in ("place", "county"):
        raise InputError(
            f"the sample has unit {unit!r} and treatment {name!r}; a timeline needs a sample from Design.sample, or "
            "rows of your own for adoption_timeline"
        )
    treatment = catalog.treatment(name)
    places = _exposed_places(panel, sample=sample, treatment=treatment)
    labels = dict(zip(places["place_id"], places["label"], strict=True))
    if treatment.is_award:
        return award_rows(events, labels=labels, minimum_level=treatment.minimum_level)
    dates = zip(places["label"], places[f"{name}_date"], strict=True)
    return _ordered([_row(label, event="first", level="", announced_on=date) for label, date in dates])


def award_rows(events: pd.DataFrame, *, labels: Mapping[str, str], minimum_level: str = "") -> list[dict[str, Any]]:
    """One row an award of the cities in `labels`, as `timeline_rows` gives them.

    Parameters
    ----------
    events
        Table certification/events: place_id, event, level, announced_on.
    labels
        Name on the picture by place_id; other cities are left out.
    minimum_level
        Awards below this level, or of unknown level, are left out.
    """
    chosen = events.loc[events["place_id"].isin(list(labels)) & events["event"].isin(EVENTS)].fillna("")
    least = LEVEL_DOSE[minimum_level or "none"]
    rows: list[dict[str, Any]] = []
    for place_id, awards in chosen.groupby("place_id", sort=True):
        own = [
            _row(labels[str(place_id)], event=event, level=level or UNKNOWN_LEVEL, announced_on=date)
            for event, level, date in awards[["event", "level", "announced_on"]].itertuples(index=False, name=None)
            if not minimum_level or LEVEL_DOSE.get(level, -1.0) >= least
        ]
        own.sort(key=lambda row: (row["event"] != "first", row["announced_on"] == "", row["announced_on"]))
        if minimum_level and own:
            own[0]["event"] = "first"
        rows += own
    return _ordered(rows)


def _exposed_places(panel: Panel, *, sample: Sample, treatment: catalog.Treatment) -> pd.DataFrame:
    """Exposed places of the sample, one row each; in exposed counties those that exposed them."""
    units = sample.frame.loc[sample.frame["cohort"].notna(), "unit"].unique()
    places = panel.frame.drop_duplicates("place_id")
    if sample.settings["unit"] == "place":
        return places.loc[places["place_id"].isin(units)]
    own = places["county_id"].isin(units) & places[f"{treatment.name}_cohort"].notna()
    if treatment.is_award:
        own &= places[f"{treatment.name}_edition"].isin(sample.settings["editions"])
    return places.loc[own]


def _row(label: str, *, event: str, level: str, announced_on: str) -> dict[str, Any]:
    year = int(announced_on[:4]) if announced_on else None
    return {"label": label, "event": event, "level": level, "announced_on": announced_on, "year": year}


def _ordered(rows: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    first = {row["label"]: row["announced_on"] or "~" for row in rows if row["event"] == "first"}
    # a stable sort: awards of one city keep their order
    return sorted(rows, key=lambda row: (first[row["label"]], row["label"]))
