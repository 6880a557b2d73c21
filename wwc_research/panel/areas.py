"""County and microdata-area figures are brought to cities by population weights.

In: observations of areas, and a crosswalk of places to areas. Out: one row a place and year with the
weighted value and the share of the city's people it covers.
"""

from __future__ import annotations

import numpy as np
import pandas as pd


def area_values_to_places(observations: pd.DataFrame, *, crosswalk: pd.DataFrame) -> pd.DataFrame:
    """Population-weighted values of one variable by place and year.

    value = Σ wₐ xₐ / Σ wₐ over the areas a of the place that have a figure; covered share = Σ shareₐ. Standard
    errors are carried as if the areas' sampling errors were independent: √(Σ wₐ² sₐ²) / Σ wₐ.

    Parameters
    ----------
    observations
        Columns place_id (the area's code), year, value, std_error; one variable, one row an area and year.
    crosswalk
        Columns place_id, area_id, share (of the place's people who live in the area), weight (of the area in the
        place's figure: the share, or the number of those the figure counts), first_year, last_year.

    Returns
    -------
    DataFrame
        place_id, year, value, std_error, covered_share; only places with at least one area that has a figure.
    """
    present = observations.loc[observations["value"].notna(), ["place_id", "year", "value", "std_error"]]
    joined = crosswalk.merge(present.rename(columns={"place_id": "area_id"}), on="area_id")
    joined = joined.loc[joined["year"].between(joined["first_year"], joined["last_year"])]
    joined = joined.assign(
        weighted=joined["weight"] * joined["value"],
        variance=(joined["weight"] * joined["std_error"]) ** 2,
    )
    sums = joined.groupby(["place_id", "year"], as_index=False).agg(
        weighted=("weighted", "sum"),
        weight=("weight", "sum"),
        covered_share=("share", "sum"),
        variance=("variance", "sum"),
        known_errors=("variance", "count"),
        areas=("share", "size"),
    )
    variance = sums["variance"].where(sums["known_errors"] == sums["areas"])
    return pd.DataFrame(
        {
            "place_id": sums["place_id"],
            "year": sums["year"],
            "value": sums["weighted"] / sums["weight"],
            "std_error": np.sqrt(variance) / sums["weight"],
            "covered_share": sums["covered_share"].clip(upper=1.0),
        }
    )
