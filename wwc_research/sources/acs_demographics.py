"""ACS 1-year age, race and Hispanic origin of places, 2010-18 → shares of residents.

In: one table with place codes. Out: observation table `one_year`.
"""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from wwc_research.sources.observations import Reading, left_out, long_frame
from wwc_research.sources.places import Scope

SOURCE = "acs_demographics"
FILE = "census_acs/jasonjklim_place_pop_2010_2018_asrh.csv"
_COUNTS = {
    "black_share": "POP_BLACK",
    "white_share": "POP_WHITE",
    "asian_share": "POP_ASIAN",
    "hispanic_share": "POP_HISPANIC",
}


def read(publishers_dir: Path, *, scope: Scope) -> Reading:
    """Shares of residents: `black_share`, `white_share`, `asian_share`, `hispanic_share` and two ages.

    Race shares are of people of one race, whatever their ethnicity (B02001): the table cannot give
    white non-Hispanic people, so `white_share` includes Hispanic white people. Negative numbers
    (-998, -999999999) are the publisher's marks for figures that were not published. No margins of error.
    """
    raw = pd.read_csv(Path(publishers_dir) / FILE, dtype={"FIPS_STATE_PLACE": str})
    counts = raw[["POP_TOTAL", *_COUNTS.values()]].astype(float)
    counts = counts.where(counts >= 0)
    percent = raw[["PER_AGE_18PLUS", "PER_AGE_65PLUS"]].astype(float)
    percent = percent.where(percent >= 0)
    frame = pd.DataFrame({"place_id": raw["FIPS_STATE_PLACE"], "year": raw["YEAR"]})
    for variable, column in _COUNTS.items():
        frame[variable] = counts[column] / counts["POP_TOTAL"]
    frame["age_under_18_share"] = 1 - percent["PER_AGE_18PLUS"] / 100
    frame["age_65_plus_share"] = percent["PER_AGE_65PLUS"] / 100
    inside = frame["place_id"].isin(scope.places.universe)
    variables = [*_COUNTS, "age_under_18_share", "age_65_plus_share"]
    table = long_frame(frame[inside], source=SOURCE, vintage="acs1", values={name: name for name in variables})
    outside = raw.loc[~inside, ["CITY_NAME", "ST_NAME"]].agg(",".join, axis=1)
    entries = [
        (
            "one_year",
            str(name),
            "no place of the universe (census-designated place or Puerto Rico)",
            int(rows),
        )
        for name, rows in outside.value_counts().sort_index().items()
    ]
    return Reading(observations={"one_year": table}, left_out=left_out(entries))
