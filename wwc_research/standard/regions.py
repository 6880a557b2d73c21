"""Census region of a place, from the state in its code, and how many residents it has."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Final

from wwc_research.messages import message
from wwc_research.sources import raw
from wwc_research.sources.places import STATE_CODE
from wwc_research.standard.responses import SIMULATED_PREFIX

# Census Bureau, Geography Division: Census Regions and Divisions of the United States.
_STATES: Final = {
    message("Northeast"): "CT ME MA NH RI VT NJ NY PA",
    message("Midwest"): "IL IN MI OH WI IA KS MN MO NE ND SD",
    message("South"): "DE DC FL GA MD NC SC VA WV AL KY MS TN AR LA OK TX",
    message("West"): "AZ CO ID MT NV NM UT WY AK CA HI OR WA",
}
_OF_CODE: Final = {STATE_CODE[postal]: region for region, states in _STATES.items() for postal in states.split()}
ABROAD: Final = message("outside the United States")
NOT_KNOWN: Final = message("region not known")
REGIONS: Final = (*_STATES, ABROAD, NOT_KNOWN)


def region_of_state(state_code: str) -> str:
    """The census region of a two-digit state code; `NOT_KNOWN` for territories."""
    return _OF_CODE.get(state_code, NOT_KNOWN)


def census_region(place_id: str) -> str:
    """One of `REGIONS`: the census region of a 7-digit place code, or why there is none.

    Examples
    --------
    >>> census_region("2622000"), census_region("CO-bogota")
    ('Midwest', 'outside the United States')
    """
    if re.fullmatch(r"\d{7}", place_id):
        return region_of_state(place_id[:2])
    is_abroad = re.match(r"[A-Z]{2}-", place_id) and not place_id.startswith(SIMULATED_PREFIX)
    return ABROAD if is_abroad else NOT_KNOWN


def residents(raw_dir: Path) -> dict[str, float]:
    """place_id → residents in the latest year that the compiled Census estimates have of the place."""
    table = raw.read_table(raw_dir, "census_population/yearly").dropna(subset=["population_count"])
    latest = table.sort_values("year").drop_duplicates("place_id", keep="last")
    return dict(zip(latest["place_id"].astype(str), latest["population_count"].astype(float), strict=True))
