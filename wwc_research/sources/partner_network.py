"""What Works Cities partner list of August 2018 → member cities with their place codes.

In: one row a city. Out: table `members`.
"""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from wwc_research.sources.observations import Reading
from wwc_research.sources.places import Scope

FILE = "treatment/city_status_data.csv"


def read(publishers_dir: Path, *, scope: Scope) -> Reading:
    """Table `members`: `place_id`, `city`, `state`, `status` (Active, Completed), `with_sunlight`, `as_of`.

    The date of entry is not given: membership is known as of 2018 only. A city that does not resolve raises
    `DataError` with the nearest names.
    """
    raw = pd.read_csv(Path(publishers_dir) / FILE, dtype=str, keep_default_na=False)
    pairs = list(zip(raw["City"], raw["State"], strict=True))
    resolution = scope.places.resolve_all(pairs)
    resolution.raise_if_incomplete(where=FILE)
    table = pd.DataFrame(
        {
            "place_id": [resolution.found[f"{city}, {state}"].place_id for city, state in pairs],
            "city": raw["City"],
            "state": raw["State"],
            "status": raw["Status"],
            "with_sunlight": (raw["Sunlight"] == "TRUE").astype(int),
            "as_of": 2018,
        }
    )
    return Reading(tables={"members": table.sort_values("place_id", ignore_index=True)})
