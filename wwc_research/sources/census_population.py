"""Census population estimates → residents of places.

In: the 2019 estimates workbook and yearly figures for 486 places. Out: tables `estimates_2019`, `yearly`.
"""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from wwc_research.errors import DataError, listed
from wwc_research.sources.observations import Reading, left_out, long_frame
from wwc_research.sources.places import Scope
from wwc_research.sources.workbooks import ESTIMATE_YEARS, place_estimates

SOURCE = "census_population"
ESTIMATES_FILE = "census_pep/SUB-IP-EST2019-ANNRES.xlsx"
YEARLY_FILE = "census_geo/place-populations.csv"


def read(publishers_dir: Path, *, scope: Scope) -> Reading:
    """`population_count` in two vintages that must not be joined without a thought.

    `pep2019`: Population Estimates Program, vintage 2019, one consistent series 2010-19 for the universe.
    `yearly`: the Urban Institute's list of 486 places 2014-23, where every year has the vintage of its day
    and 2020 is the census count, so the step from 2019 to 2020 is partly a correction.
    """
    publishers_dir = Path(publishers_dir)
    frame, entries = _estimates(publishers_dir / ESTIMATES_FILE, scope)
    raw = pd.read_csv(publishers_dir / YEARLY_FILE, dtype={"state": str, "place": str})
    yearly = pd.DataFrame(
        {
            "place_id": raw["state"].str.zfill(2) + raw["place"].str.zfill(5),
            "year": raw["year"],
            "value": raw["population"],
        }
    )
    variable = "population_count"
    decimals = {variable: 0}
    return Reading(
        observations={
            "estimates_2019": long_frame(
                frame, source=SOURCE, vintage="pep2019", values={variable: "value"}, decimals=decimals
            ),
            "yearly": long_frame(
                yearly, source=SOURCE, vintage="yearly", values={variable: "value"}, decimals=decimals
            ),
        },
        left_out=left_out(entries),
    )


def _estimates(path: Path, scope: Scope) -> tuple[pd.DataFrame, list[tuple[str, str, str, int]]]:
    names = scope.places.names
    universe = names.loc[names["in_universe"], ["place_id", "name", "state"]]
    estimates = place_estimates(path)
    joined = estimates.merge(universe, on=["name", "state"], how="left", validate="many_to_one")
    absent = sorted(set(universe["place_id"]) - set(joined["place_id"].dropna()))
    if absent:
        raise DataError(f"{path.name}: no estimate for places {listed(absent)} of the universe")
    inside = joined["place_id"].notna()
    long = joined[inside].melt("place_id", list(ESTIMATE_YEARS), var_name="year")
    # "(X)" stands for a place that did not exist yet.
    long["value"] = pd.to_numeric(long["value"], errors="coerce")
    reason = "never had the universe's minimum population"
    return long, [("estimates_2019", "other incorporated places", reason, int((~inside).sum()))]
