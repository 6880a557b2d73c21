"""Greater Louisville Project tables from ACS microdata → youth not in school or work, 21 peer counties.

In: one table by county, year, sex and race. Out: observation table `peers` and the list `counties`.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd

from wwc_research.errors import DataError
from wwc_research.sources.observations import Z_90, Reading, long_frame
from wwc_research.sources.places import Scope

SOURCE = "youth_neet_county"
FILE = "youth_neet/glp_disconnected_county_2000_2019.csv"
# The publisher merges St. Louis city and St. Louis County into one peer; no official code stands for both.
MERGED = "MERGED-st-louis"
MERGED_MEMBERS = ("29189", "29510")


def read(publishers_dir: Path, *, scope: Scope) -> Reading:
    """`youth_neet_share` of people aged 16-24 in 2000 and 2005-19, also by sex and race, with errors.

    Subgroups are `youth_neet_<sex>_share`, `youth_neet_<race>_share` and `youth_neet_<sex>_<race>_share`
    (races: black, white, hispanic, other; the first two and the last not Hispanic).

    The publisher's margin of error is 1.645 standard errors of the count from 80 replicate weights, and its
    field CI is that margin over the population in percent; so the standard error of a share is CI / 164.5.
    It takes the population as known. In 2000 (decennial sample) there are no replicate weights and no error.
    Where the sample held no such person the publisher writes 0: such rows are flagged `no_cases`.
    """
    raw = pd.read_csv(Path(publishers_dir) / FILE, dtype={"FIPS": str})
    index = ["FIPS", "year", "sex", "race"]
    wide = raw.pivot(index=index, columns="var_type", values="disconnected").reset_index()  # noqa: PD010
    _check_margin(wide)
    wide["place_id"] = wide["FIPS"].replace("MERGED", MERGED)
    wide["value"] = wide["percent"] / 100
    wide["std_error"] = wide["CI"] / 100 / Z_90
    wide["flag"] = np.where((wide["estimate"] == 0) & wide["MOE"].isna(), "no_cases", "")
    parts = []
    for (sex, race), rows in wide.groupby(["sex", "race"]):
        group = "_".join(part for part in (str(sex), str(race)) if part != "total")
        variable = f"youth_neet_{group}_share" if group else "youth_neet_share"
        parts.append(
            long_frame(
                rows,
                source=SOURCE,
                vintage="2019",
                values={variable: "value"},
                std_errors={variable: "std_error"},
                flags={variable: "flag"},
            )
        )
    return Reading(
        observations={"peers": pd.concat(parts, ignore_index=True)},
        tables={"counties": _counties(sorted(wide["place_id"].unique()), scope)},
    )


def _check_margin(wide: pd.DataFrame) -> None:
    """CI must be the margin of error in percent of the population: the formula of the standard error."""
    known = wide["MOE"].notna()
    worked_out = wide["MOE"] / wide["population"] * 100
    off = known & ((worked_out - wide["CI"]).abs() > 1e-6)
    if off.any():
        raise DataError(f"{FILE}: in {int(off.sum()):,} rows CI is not MOE / population x 100, so its level is unknown")


def _counties(place_ids: list[str], scope: Scope) -> pd.DataFrame:
    known = scope.places.counties
    label = dict(zip(known["county_id"], known["name"] + ", " + known["state"], strict=True))
    rows = []
    for place_id in place_ids:
        members = MERGED_MEMBERS if place_id == MERGED else (place_id,)
        rows.append((place_id, " and ".join(label[code] for code in members), "|".join(members)))
    return pd.DataFrame(rows, columns=["place_id", "name", "county_ids"])
