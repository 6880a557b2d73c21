"""GEO_IDs of the Census Bureau → `place_id`s, held against the level and the year that were asked for.

In: `1600000US5363000`, `0500000US53033`, `7950000US5311601`, `795P200US5323301`. Out: `5363000`, `53033`, `P5311601`.
"""

from __future__ import annotations

from typing import Final, Literal, get_args

import pandas as pd

from wwc_research.errors import Faults, listed
from wwc_research.sources.places import STATE_OF_CODE

Geography = Literal["place", "county", "puma"]
GEOGRAPHIES: Final = get_args(Geography)
LEVELS: Final = {"place": "160", "county": "050", "puma": "795"}
PLURAL: Final = {"place": "places", "county": "counties", "puma": "public-use microdata areas"}
# In the interface's words, percent-encoded as they stand in an address.
API_WORDS: Final = {"place": "place", "county": "county", "puma": "public%20use%20microdata%20area"}
_DIGITS: Final = {"place": 7, "county": 5, "puma": 7}
_TABLES: Final = {"place": "places", "county": "counties"}
# summary level, variant of the geography, component (00: the whole area), then the code after "US"
_FORM: Final = r"^(?P<level>\d{3})(?P<variant>[0-9A-Z]{2})(?P<component>[0-9A-Z]{2})US(?P<code>[0-9A-Z]*)$"
_FIRST_YEAR_OF_2020_PUMAS: Final = 2022
# Connecticut's eight counties (09001 to 09015) became nine planning regions (09110 to 09190) with the 2022 releases.
_FIRST_YEAR_OF_REGIONS: Final = 2022


def puma_decade(year: int) -> int:
    """2010 or 2020: the census after which the public-use microdata areas of a release were drawn.

    Releases of 2012 to 2021, 1-year and 5-year, stand on areas drawn after the 2010 census, those from 2022 on areas
    drawn after the 2020 census: a table of a 5-year window is tabulated on the geography of its last year.
    """
    return 2020 if year >= _FIRST_YEAR_OF_2020_PUMAS else 2010


def table_name(geography: str, *, year: int) -> str:
    """Name of the observation table: areas of two censuses share codes and must not share a table."""
    return f"pumas_{puma_decade(year)}" if geography == "puma" else _TABLES[geography]


def is_of_year(place_id: str, *, year: int) -> bool:
    """Whether releases of that year hold the area; False for Connecticut's counties or regions of the other years."""
    if len(place_id) != _DIGITS["county"] or not place_id.startswith("09"):
        return True
    return (place_id >= "09100") == (year >= _FIRST_YEAR_OF_REGIONS)


def place_ids(geo_ids: pd.Series, *, geography: str, year: int, where: str, faults: Faults) -> pd.Series:
    """The `place_id` of every GEO_ID, with every fault noted: form, level, part of an area, decade, duplicates.

    Parameters
    ----------
    geo_ids
        GEO_IDs of one file, as text.
    where
        Name of the file, for the faults.
    """
    parts = geo_ids.str.extract(_FORM)
    unread = parts["level"].isna()
    if unread.any():
        shown = listed([repr(text) for text in geo_ids[unread]], limit=3)
        faults.add(f"{where}: {int(unread.sum()):,} GEO_IDs cannot be read: {shown}; fetch the file again")
    known = parts[~unread]
    ids = geo_ids[~unread]
    wrong_level = known["level"] != LEVELS[geography]
    if wrong_level.any():
        faults.add(
            f"{where}: {int(wrong_level.sum()):,} rows are of summary level {listed(sorted(set(known['level'])))}; "
            f"{PLURAL[geography]} are level {LEVELS[geography]}: {listed(ids[wrong_level], limit=3)}"
        )
    digits = _DIGITS[geography]
    wrong_code = ~(known["code"].str.isdigit() & (known["code"].str.len() == digits)) & ~wrong_level
    if wrong_code.any():
        faults.add(f"{where}: codes of {PLURAL[geography]} have {digits} digits: {listed(ids[wrong_code], limit=3)}")
    _check_variant(known, ids, geography=geography, year=year, where=where, faults=faults)
    twice = ids[ids.duplicated()]
    if len(twice):
        faults.add(f"{where}: {len(twice):,} GEO_IDs occur more than once: {listed(sorted(set(twice)), limit=3)}")
    if geography == "county":
        _check_connecticut(known["code"], year=year, where=where, faults=faults)
    return ("P" if geography == "puma" else "") + parts["code"].fillna("")


def state_of(place_id: str) -> str:
    """Postal code of the state of a place, county or area; the two digits where it is none of the fifty and DC."""
    digits = place_id.removeprefix("P")[:2]
    return STATE_OF_CODE.get(digits, digits)


def _check_variant(
    parts: pd.DataFrame, ids: pd.Series, *, geography: str, year: int, where: str, faults: Faults
) -> None:
    expected = "P2" if geography == "puma" and puma_decade(year) == 2020 else "00"
    wrong = (parts["variant"] != expected) & (parts["level"] == LEVELS[geography])
    if wrong.any() and geography == "puma":
        faults.add(
            f"{where}: GEO_IDs of {year} stand on areas drawn after the {puma_decade(year)} census and begin with "
            f"795{expected}00US; {int(wrong.sum()):,} do not ({listed(ids[wrong], limit=3)}), so the file is of "
            "another year"
        )
    elif wrong.any():
        faults.add(f"{where}: {listed(ids[wrong], limit=3)} are a variant of {PLURAL[geography]} that is not known")
    part = (parts["component"] != "00") & (parts["level"] == LEVELS[geography])
    if part.any():
        faults.add(f"{where}: {listed(ids[part], limit=3)} are parts of areas (urban or rural), not whole ones")


def _check_connecticut(codes: pd.Series, *, year: int, where: str, faults: Faults) -> None:
    here = codes[codes.str.startswith("09")]
    regions = here >= "09100"
    if year >= _FIRST_YEAR_OF_REGIONS and (~regions).any():
        faults.add(
            f"{where}: holds Connecticut's former counties ({listed(here[~regions], limit=3)}), which releases from "
            f"{_FIRST_YEAR_OF_REGIONS} no longer do: the file is of an earlier year than {year}"
        )
    if year < _FIRST_YEAR_OF_REGIONS and regions.any():
        faults.add(
            f"{where}: holds Connecticut's planning regions ({listed(here[regions], limit=3)}), which no release "
            f"before {_FIRST_YEAR_OF_REGIONS} does: the file is of a later year than {year}"
        )
