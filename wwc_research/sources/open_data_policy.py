"""Sunlight Foundation index of open-data policies → first adoption of each city, and what is no city.

In: one row a policy, places as slugs. Out: tables `adoptions` and `unresolved`.
"""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from wwc_research.sources.observations import Reading, left_out
from wwc_research.sources.places import STATE_CODE, Match, Scope

FILE = "treatment/sunlight_policies_index.csv"
# The index's own codes for help in writing the policy.
ASSISTANCE = {
    "wwc": "Sunlight, through What Works Cities",
    "prewwc": "Sunlight, before What Works Cities",
    "nonwwc": "Sunlight, outside What Works Cities",
    "wizard": "Sunlight's online policy wizard",
    "didnt": "none",
}


def read(publishers_dir: Path, *, scope: Scope) -> Reading:
    """Table `adoptions`, one row a city; table `unresolved`, one row a policy of no city of the gazetteer.

    `adoptions`: `place_id`, `slug`, `adopted_on` (ISO date, '' where only the year is known),
    `date_precision`, `year`, `legal_means` (as the index words it), `assisted_by` (key of `ASSISTANCE`),
    `policy_url`, `policies_count` (policies of this city in the index), `in_universe`.
    The first adoption is the earliest date; a policy dated by year only counts as that year's last day.
    `unresolved`: `slug`, `year`, `adopted_on`, `reason`.
    """
    raw = pd.read_csv(Path(publishers_dir) / FILE, dtype=str, keep_default_na=False)
    outcomes = {slug: scope.places.resolve(slug) for slug in raw["place"].unique()}
    place_ids = {slug: hit.place_id for slug, hit in outcomes.items() if isinstance(hit, Match)}
    frame = pd.DataFrame(
        {
            "place_id": raw["place"].map(place_ids),
            "slug": raw["place"],
            "adopted_on": raw["date"],
            "date_precision": raw["date"].map(lambda text: "day" if text else "year"),
            "year": raw["year"].astype(int),
            "legal_means": raw["legal_custom"].str.strip(),
            "assisted_by": raw["sunlight"],
            "policy_url": raw["policy_url"],
        }
    )
    found = frame[frame["place_id"].notna()].copy()
    found["order"] = found["adopted_on"].where(found["adopted_on"] != "", found["year"].astype(str) + "-12-31")
    found["policies_count"] = found.groupby("place_id")["slug"].transform("size")
    first = found.sort_values(["place_id", "order"]).drop_duplicates("place_id")
    universe = set(scope.places.universe)
    first = first.assign(in_universe=first["place_id"].isin(universe).astype(int)).drop(columns="order")
    missed = frame[frame["place_id"].isna()]
    unresolved = missed[["slug", "year", "adopted_on"]].assign(reason=[_reason(slug) for slug in missed["slug"]])
    entries = [
        ("adoptions", str(slug), str(reason), int(rows))
        for (slug, reason), rows in unresolved.groupby(["slug", "reason"]).size().items()
    ]
    entries.append(("adoptions", "later policies", "not the city's first adoption", len(found) - len(first)))
    return Reading(
        tables={
            "adoptions": first.reset_index(drop=True),
            "unresolved": unresolved.sort_values(["slug", "adopted_on"], ignore_index=True),
        },
        left_out=left_out(entries),
    )


def _reason(slug: str) -> str:
    if slug.upper() in STATE_CODE:
        return "a state"
    if "-county-" in slug:
        return "a county"
    return "no incorporated place of the gazetteer (a town, village or special district)"
