"""Rings around exposed places: unexposed units near one against those far from all, as a Sample.

In: unit-years of a Design and its Sample. Out: a Sample whose exposure is that of the nearest exposed places.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import numpy.typing as npt
import pandas as pd

from wwc_research.design.sample import Exclusion, Sample
from wwc_research.errors import EstimationError, InputError
from wwc_research.messages import message

EARTH_KM = 6371.0  # mean radius
Floats = npt.NDArray[np.float64]


def ring(sample: Sample, units: pd.DataFrame, *, inner_km: float, outer_km: float, far_km: float) -> Sample:
    """Units never exposed, taken as exposed from when a place in the ring around them was, and units far from all.

    A unit belongs to the ring in which its nearest exposed place lies, whenever that one was exposed. Errors are
    clustered by the nearest exposed place, since all units around it share its exposure; comparison units by their own.

    Parameters
    ----------
    sample
        From `Design.sample`, with latitude and longitude.
    units
        One row a unit, in the sample or not: unit, latitude, longitude, cohort (NaN = never), is_undated and
        is_later_edition. Units near a place exposed without a date leave, and years from which a place of
        another edition within `far_km` was exposed.
    inner_km, outer_km
        Distances of the ring, the outer one included.

    Raises
    ------
    EstimationError
        Where the ring, or the far comparison, is empty.
    """
    if not 0 <= inner_km < outer_km <= far_km:
        raise InputError(f"inner_km = {inner_km}, outer_km = {outer_km}, far_km = {far_km} should rise")
    frame = sample.frame.loc[sample.frame["cohort"].isna()].reset_index(drop=True)
    if "latitude" not in frame:
        raise EstimationError(message("the units have no coordinates, so no distance is known"))
    own = frame.drop_duplicates("unit").set_index("unit")
    later = units["is_later_edition"].astype(bool)
    dated = units.loc[units["cohort"].notna() & ~later & units["latitude"].notna()]
    apart = _distances(own, dated)
    if not apart.size:
        raise EstimationError(message("no exposed place has coordinates, or no unit is left unexposed"))
    nearest = apart.min(axis=1)
    cohorts = np.where(apart <= outer_km, dated["cohort"].to_numpy(dtype=float), np.inf).min(axis=1)
    in_ring, is_far = (nearest > inner_km) & (nearest <= outer_km), nearest > far_km
    # a place at distance 0 belongs to the innermost ring
    in_ring |= (nearest == 0) & (inner_km == 0)
    undated = units.loc[units["is_undated"].astype(bool) & units["latitude"].notna()]
    unsure = (_distances(own, undated) <= np.where(is_far, far_km, outer_km)[:, None]).any(axis=1)
    other = units.loc[later & units["latitude"].notna()]
    until = _first_year_near(_distances(own, other), other["cohort"].to_numpy(dtype=float), within=far_km)
    facts = pd.DataFrame(
        {
            "cohort": np.where(in_ring, cohorts, np.nan),
            "kept": (in_ring | is_far) & ~unsure & ~own.index.isin(dated["unit"]),
            "until": until,
            "source": dated["unit"].to_numpy()[apart.argmin(axis=1)],
        },
        index=own.index,
    )
    return _dealt(sample, frame, facts=facts, inner_km=inner_km, outer_km=outer_km)


def _dealt(sample: Sample, frame: pd.DataFrame, *, facts: pd.DataFrame, inner_km: float, outer_km: float) -> Sample:
    """Rows with the exposure of the ring, less those that are in neither group or cannot show a change."""
    of_row = facts.reindex(frame["unit"]).reset_index(drop=True)
    exposed = of_row["cohort"].notna()
    rows = frame.assign(
        cohort=of_row["cohort"],
        cluster=frame["cluster"].where(~exposed, "near " + of_row["source"].astype(str)),
    )
    kept = of_row["kept"].astype(bool) & ~(rows["time"] >= of_row["until"])
    first = rows["time"].where(kept).groupby(rows["unit"]).transform("min")
    last = rows["time"].where(kept).groupby(rows["unit"]).transform("max")
    kept &= ~exposed | (rows["cohort"] > first + sample.anticipation) & (rows["cohort"] <= last)
    if not (kept & exposed).any() or not (kept & ~exposed).any():
        missing = (
            message("unit in the ring with years before and after")
            if (kept & ~exposed).any()
            else message("unit far from all")
        )
        raise EstimationError(
            message(
                "{inner_km:g} to {outer_km:g} km: no {missing}", inner_km=inner_km, outer_km=outer_km, missing=missing
            )
        )
    gone = rows.loc[~kept]
    lost = Exclusion(
        reason=message(
            "neither {inner_km:g} to {outer_km:g} km from an exposed place nor far from all",
            inner_km=inner_km,
            outer_km=outer_km,
        ),
        rows=len(gone),
        units=int(gone["unit"].nunique()),
    )
    return replace(
        sample,
        frame=rows.loc[kept].reset_index(drop=True),
        exclusions=(*sample.exclusions, *((lost,) if lost.rows else ())),
    )


def _first_year_near(apart: Floats, cohorts: Floats, *, within: float) -> Floats:
    """First exposed year of any source within the distance, one a unit; infinity where there is none."""
    return np.where(apart <= within, cohorts, np.inf).min(axis=1, initial=np.inf)


def _distances(units: pd.DataFrame, sources: pd.DataFrame) -> Floats:
    """Great-circle distance in km, shape (units, sources), by the haversine formula."""
    latitude, longitude = (np.radians(units[name].to_numpy(dtype=float)) for name in ("latitude", "longitude"))
    other_latitude, other_longitude = (
        np.radians(sources[name].to_numpy(dtype=float)) for name in ("latitude", "longitude")
    )
    half = np.sin((latitude[:, None] - other_latitude) / 2) ** 2
    half = half + np.cos(latitude)[:, None] * np.cos(other_latitude) * (
        np.sin((longitude[:, None] - other_longitude) / 2) ** 2
    )
    return np.asarray(2 * EARTH_KM * np.arcsin(np.sqrt(np.clip(half, 0, 1))))
