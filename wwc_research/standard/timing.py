"""Certification events become cohorts: the first year in which a city counts as exposed.

In: the events table of the certification source. Out: one row a city.
"""

from __future__ import annotations

import pandas as pd

from wwc_research.errors import InputError


def first_exposed_year(announced_on: str, *, exposure_month: int = 7) -> int | None:
    """The first year that counts as exposed; None where the date is not known.

    An award in `exposure_month` or later leaves too little of its year to matter and counts from the next.

    Parameters
    ----------
    announced_on
        ISO date, or year and month (`2020-06`); empty means undated.
    exposure_month
        1 to 13; 13 counts every award in its own year.

    Examples
    --------
    >>> first_exposed_year("2018-01-25"), first_exposed_year("2021-12-15"), first_exposed_year("")
    (2018, 2022, None)
    """
    if not 1 <= exposure_month <= 13:
        raise InputError(f"exposure_month = {exposure_month} should lie between 1 and 13")
    if not announced_on:
        return None
    year, month = (int(part) for part in announced_on.split("-")[:2])
    return year + (month >= exposure_month)


def cohorts(events: pd.DataFrame, *, exposure_month: int = 7) -> pd.DataFrame:
    """One row a city with a first certification: when exposed, under which edition, at which level.

    Parameters
    ----------
    events
        Columns place_id, event, level, announced_on, standard_edition, confidence (text).

    Returns
    -------
    DataFrame
        place_id, cohort (Int64; missing = certified but undated), edition, level, announced_on, confidence,
        is_undated; sorted by place_id.
    """
    first = events.loc[events["event"] == "first"].copy()
    years = [first_exposed_year(text, exposure_month=exposure_month) for text in first["announced_on"].fillna("")]
    table = pd.DataFrame(
        {
            "place_id": first["place_id"].to_numpy(),
            "cohort": pd.array(years, dtype="Int64"),
            "edition": first["standard_edition"].fillna("").to_numpy(),
            "level": first["level"].fillna("").to_numpy(),
            "announced_on": first["announced_on"].fillna("").to_numpy(),
            "confidence": first["confidence"].fillna("").to_numpy(),
        }
    )
    table["is_undated"] = table["cohort"].isna()
    return table.sort_values("place_id", ignore_index=True)
