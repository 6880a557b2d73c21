"""ACS microdata 2021 by public-use microdata area (PUMA) → youth not in school or work, one cross-section.

In: one table by state and 2010 PUMA. Out: observation table `pumas_2021`.
"""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from wwc_research.sources.observations import Reading, long_frame
from wwc_research.sources.places import STATE_CODE, Scope

SOURCE = "youth_neet_puma"
FILE = "youth_neet/disconnectedDataByPUMA.csv"


def read(publishers_dir: Path, *, scope: Scope) -> Reading:
    """`youth_neet_share` and `youth_neet_count` of people aged 16-24, and `youth_population_count`, 2021.

    The share is `disconnected_per_pop` over 1,000 (per 1,000 residents aged 16-24). The file's
    `disconnected_density` is per square kilometre and no share. Areas are those drawn after the 2010
    census (the 2021 survey still used them), so the matching crosswalk is `puma_place_2010`. For a city add
    up counts and populations times `puma_share`, then divide. There are no margins of error.
    """
    raw = pd.read_csv(Path(publishers_dir) / FILE, dtype={"PUMA": str})
    share = raw["disconnected_per_pop"] / 1000
    frame = pd.DataFrame(
        {
            "place_id": "P" + raw["state"].str.upper().map(STATE_CODE) + raw["PUMA"].str.zfill(5),
            "year": 2021,
            "share": share,
            "count": raw["count"],
            "people": (raw["count"] / share).round(),
        }
    )
    table = long_frame(
        frame,
        source=SOURCE,
        vintage="acs1",
        values={"youth_neet_share": "share", "youth_neet_count": "count", "youth_population_count": "people"},
    )
    return Reading(observations={"pumas_2021": table})
