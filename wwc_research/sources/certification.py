"""The certification roster → dated events of each city, checked against the gazetteer.

In: `roster.csv`, one row an event with its source. Out: table `events`.
"""

from __future__ import annotations

import re
from pathlib import Path

import pandas as pd

from wwc_research.errors import DataError, Faults, listed
from wwc_research.sources.observations import Reading
from wwc_research.sources.places import Match, Scope, normalised

FILE = "treatment/roster.csv"
EVENTS = ("first", "level-up", "recertified", "honor-roll")
LEVELS = ("silver", "gold", "platinum")
EDITIONS = ("v1", "v2", "v3")
CONFIDENCES = ("source", "inferred", "conflict")
DATE_FORMATS = {"day": r"\d{4}-\d{2}-\d{2}", "month": r"\d{4}-\d{2}", "year": r"\d{4}", "unknown": ""}
COUNTRY_PREFIX = {
    "Argentina": "AR",
    "Brazil": "BR",
    "Canada": "CA",
    "Chile": "CL",
    "Colombia": "CO",
    "Guatemala": "GT",
    "Mexico": "MX",
    "Uruguay": "UY",
}
_COLUMNS = (
    "event_id", "place_id", "city", "state", "country", "event", "level", "announced_on", "date_precision",
    "label_year", "standard_edition", "confidence", "source_url", "note",
)  # fmt: skip


def read(publishers_dir: Path, *, scope: Scope) -> Reading:
    """Table `events`: one row an award, all columns text, '' where the roster asserts nothing.

    `place_id` is the 7-digit place code in the US. Abroad it is the country's two-letter prefix and a slug
    of the city's name (`AR-buenos-aires`), until the official code of that country is known and replaces it.
    `announced_on` has the precision that `date_precision` says (day, month, year, unknown); `label_year` is
    the programme's own year, often the assessment year: never use one for the other.

    Raises
    ------
    DataError
        With every row whose code is not the place that its name and state resolve to, whose event, level,
        edition or date is not allowed, or whose first certification occurs twice.
    """
    raw = pd.read_csv(Path(publishers_dir) / FILE, dtype=str, keep_default_na=False)
    raw["place_id"] = [
        code if country == "USA" else foreign_id(city, country)
        for code, city, country in zip(raw["place_geoid"], raw["city"], raw["country"], strict=True)
    ]
    faults = Faults(FILE, kind=DataError)
    _check_allowed(raw, faults)
    _check_codes(raw, scope, faults)
    _check_order(raw, faults)
    faults.raise_if_any()
    table = raw[list(_COLUMNS)].sort_values("event_id", ignore_index=True)
    return Reading(tables={"events": table})


def foreign_id(city: str, country: str) -> str:
    """`AR-buenos-aires`: country prefix and slug of the name, for cities outside the United States."""
    return f"{COUNTRY_PREFIX.get(country, '??')}-{normalised(city).replace(' ', '-')}"


def _check_allowed(raw: pd.DataFrame, faults: Faults) -> None:
    allowed = {
        "event": EVENTS,
        "level": (*LEVELS, ""),
        "standard_edition": (*EDITIONS, ""),
        "confidence": CONFIDENCES,
        "date_precision": tuple(DATE_FORMATS),
        "country": ("USA", *COUNTRY_PREFIX),
    }
    for column, values in allowed.items():
        wrong = raw.loc[~raw[column].isin(values), ["event_id", column]]
        for event_id, value in wrong.itertuples(index=False, name=None):
            faults.add(f"{event_id}: {column} '{value}' is none of {listed(values, limit=12)}")
    for event_id, text, precision in raw[["event_id", "announced_on", "date_precision"]].itertuples(index=False):
        pattern = DATE_FORMATS.get(precision)
        if pattern is not None and not re.fullmatch(pattern, text):
            faults.add(f"{event_id}: announced_on '{text}' is no date of precision '{precision}'")
    twice = raw.loc[raw.duplicated("event_id"), "event_id"]
    if len(twice):
        faults.add(f"event_id occurs twice: {listed(twice)}")


def _check_codes(raw: pd.DataFrame, scope: Scope, faults: Faults) -> None:
    cities = raw.loc[raw["country"] == "USA", ["city", "state", "place_id"]].drop_duplicates()
    for city, state, place_id in cities.itertuples(index=False, name=None):
        outcome = scope.places.resolve(city, state=state)
        if not isinstance(outcome, Match):
            faults.add(outcome.sentence())
        elif outcome.place_id != place_id:
            faults.add(f"{city}, {state} carries code {place_id}, the gazetteer says {outcome.place_id}")


def _check_order(raw: pd.DataFrame, faults: Faults) -> None:
    firsts = raw[raw["event"] == "first"]
    twice = firsts.loc[firsts.duplicated("place_id"), "event_id"]
    if len(twice):
        faults.add(f"a second first certification: {listed(twice)}")
    later = raw[raw["event"].isin(["level-up", "recertified"])]
    orphans = later.loc[~later["place_id"].isin(firsts["place_id"]), "event_id"]
    if len(orphans):
        faults.add(f"no first certification precedes {listed(orphans)}")
