"""Monitoring sites and places as points → what residents of a place are near to.

In: coordinates in degrees. Out: distances in kilometres and distance-weighted means of sites around a place.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd

from wwc_research.errors import DataError

_EARTH_KM = 6371.0088


def place_points(raw_dir: Path) -> pd.DataFrame:
    """`place_id`, `latitude`, `longitude` of every place of the universe, NaN where no point is held."""
    path = Path(raw_dir) / "gazetteer" / "universe.csv"
    if not path.is_file():
        raise DataError(f"{path}: the gazetteer is missing; run `wwc-research data compile` first")
    return pd.read_csv(
        path,
        dtype={"place_id": str, "latitude": float, "longitude": float},
        usecols=["place_id", "latitude", "longitude"],
    )


def distances_km(places: pd.DataFrame, sites: pd.DataFrame) -> np.ndarray:
    """Great-circle distances, one row a place and one column a site; NaN where either has no coordinates.

    The haversine formula on a sphere of 6,371.0088 km, the Earth's mean radius: within 0.6 % of the ellipsoid, far
    less than a city's centre is certain by.
    """
    phi, lam = (np.radians(places[name].to_numpy(float))[:, None] for name in ("latitude", "longitude"))
    phi_s, lam_s = (np.radians(sites[name].to_numpy(float))[None, :] for name in ("latitude", "longitude"))
    half = np.sin((phi - phi_s) / 2) ** 2 + np.cos(phi) * np.cos(phi_s) * np.sin((lam - lam_s) / 2) ** 2
    return 2 * _EARTH_KM * np.arcsin(np.sqrt(np.clip(half, 0, 1)))


def weights(distance: np.ndarray, *, radius_km: float, at_least_km: float, power: float) -> np.ndarray:
    """Weights of sites (columns) for places (rows) that add up to 1, or are all 0 where no site is within the radius.

    A site counts with its distance to the minus `power` (Shepard 1968, inverse distance weighting); distances below
    `at_least_km` count as that, so that no site takes everything by standing at the place's centre.
    """
    near = distance <= radius_km
    raw = np.where(near, np.maximum(distance, at_least_km), np.inf) ** -float(power)
    total = raw.sum(axis=1, keepdims=True)
    return np.divide(raw, total, out=np.zeros_like(raw), where=total > 0)
