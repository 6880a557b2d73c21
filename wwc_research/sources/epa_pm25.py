"""EPA Air Quality System PM2.5 monitors → county annual means in micrograms per cubic metre.

In: one county-year table (FRM/FEM, parameter 88101). Out: observation table `county_means`.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd

from wwc_research.sources.observations import Reading, left_out, long_frame
from wwc_research.sources.places import Scope

SOURCE = "epa_pm25"
FILE = "epa_aqs/pm25/pm25_county_year_exCA.csv.gz"


def read(publishers_dir: Path, *, scope: Scope) -> Reading:
    """`pm25_mean_ug_m3` by county and year, flagged `incomplete_monitors` where no site was valid.

    California and the year 2016 are absent from the publisher's table; no row stands for them.
    """
    raw = pd.read_csv(Path(publishers_dir) / FILE, dtype={"fips": str})
    frame = raw.rename(columns={"fips": "place_id"})
    frame["flag"] = np.where(frame["valid_sites"] == 0, "incomplete_monitors", "")
    inside = frame["place_id"].isin(scope.counties)
    variable = "pm25_mean_ug_m3"
    table = long_frame(
        frame[inside],
        source=SOURCE,
        vintage="2022",
        values={variable: "pm25_mean"},
        flags={variable: "flag"},
        decimals={variable: 4},
    )
    entries = [("county_means", "other counties", "no place of the universe lies in them", int((~inside).sum()))]
    return Reading(observations={"county_means": table}, left_out=left_out(entries))
