"""ACS 1-year S1901 keyed by names → median household income of places, nominal dollars.

In: one table of city names, states and years. Out: observation table `one_year`.
"""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from wwc_research.errors import DataError
from wwc_research.sources.observations import Reading, left_out, long_frame
from wwc_research.sources.places import Scope, state_postal

SOURCE = "acs_income"
FILE = "census_acs/acs1y_s1901_median_income_2010_2023.csv"


def read(publishers_dir: Path, *, scope: Scope) -> Reading:
    """`median_income_usd` by place and year; the table has no margins of error.

    Census-designated places and Puerto Rico are no incorporated places of the states: they are listed in
    `left_out` by name, with the places that the catalog declares. A city that should resolve and does not
    raises `DataError` with the nearest names.
    """
    raw = pd.read_csv(Path(publishers_dir) / FILE)
    state = raw["State"].map(state_postal)
    # Urban Honolulu is a census-designated place by law and a city by any other measure: keep it.
    designated = raw["City"].str.endswith(" CDP") & (raw["City"] != "Urban Honolulu CDP")
    reason = pd.Series("", index=raw.index)
    reason[designated] = "census-designated place, not an incorporated city"
    reason[state.isna()] = "outside the states and DC"
    for name, why in scope.settings.get("left_out", {}).items():
        reason[(raw["City"] + ", " + raw["State"]) == name] = why
    wanted = reason == ""
    pairs = list(zip(raw.loc[wanted, "City"], state[wanted], strict=True))
    resolution = scope.places.resolve_all(pairs)
    resolution.raise_if_incomplete(where=FILE)
    place_ids = {label: match.place_id for label, match in resolution.found.items()}
    frame = pd.DataFrame(
        {
            "place_id": [place_ids[f"{city}, {postal}"] for city, postal in pairs],
            "year": raw.loc[wanted, "Year"].to_numpy(),
            "value": raw.loc[wanted, "Median_Income"].to_numpy(),
        }
    )
    variable = "median_income_usd"
    table = long_frame(frame, source=SOURCE, vintage="acs1", values={variable: "value"}, decimals={variable: 0})
    if len(table) + int((~wanted).sum()) != len(raw):
        raise DataError(f"{FILE}: {len(raw):,} rows became {len(table):,} and {int((~wanted).sum()):,} left out")
    label = raw["City"] + ", " + raw["State"]
    entries = [
        ("one_year", str(name), str(why), int(rows))
        for (name, why), rows in label[~wanted].groupby([label, reason]).size().items()
    ]
    return Reading(observations={"one_year": table}, left_out=left_out(entries))
