"""Covariance of neighbours: the middle of Conley's spatial sandwich, from latitude and longitude.

In: scores, places, and where wanted units and periods. Out: a matrix. No estimator.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Final, Literal

import numpy as np
from scipy import sparse
from scipy.spatial import cKDTree

from wwc_research.errors import Faults
from wwc_research.estimators.absorption import Codes, Floats, group_sums, levels

Distance = Literal["triangular", "spherical"]
DISTANCES: Final = ("triangular", "spherical")

_EARTH_KM = 6376.0  # fixest's radius
_KM_A_DEGREE = 111.0  # fixest's length of a degree of latitude
_BLOCK = 2_000  # places whose neighbours are held at once


def neighbour_meat(
    scores: Floats,
    *,
    latitude: Floats,
    longitude: Floats,
    cutoff_km: float,
    distance: Distance = "triangular",
    unit: Codes | None = None,
    time: Codes | None = None,
) -> Floats:
    """Sum of products of scores over all pairs of rows that may be correlated, shape (columns, columns).

    Conley (1999), "GMM estimation with cross sectional dependence", Journal of Econometrics 92(1), with the uniform
    kernel and the distances of R's fixest: a pair counts wholly up to the cutoff and not at all beyond.

    Parameters
    ----------
    scores
        Shape (rows, columns).
    latitude, longitude
        Degrees, one a row; longitudes may run to 180 or to 360.
    cutoff_km
        Farthest distance at which errors are correlated.
    distance
        `triangular`: differences in degrees, 111 km each, longitudes shrunk by the cosine of the mean latitude;
        `spherical`: great circle on a radius of 6,376 km.
    time
        Codes a row: only rows of one period are neighbours. Without it rows of all periods are, as in fixest.
    unit
        Codes a row: rows of one unit are correlated at any distance in time, as in Hsiang (2010). Needs `time`.

    Raises
    ------
    InputError
        For a cutoff, distance, latitude or longitude that cannot be: all faults at once.
    """
    _refuse_impossible(latitude, longitude, cutoff_km=cutoff_km, distance=distance)
    places, place = np.unique(np.column_stack([latitude, longitude % 360]), axis=0, return_inverse=True)
    place = place.reshape(-1).astype(np.int64)
    n_columns = scores.shape[1]
    period = np.zeros(len(scores), dtype=np.int64) if time is None else time
    n_periods = levels(period)
    cell_sums = group_sums(scores, groups=place * n_periods + period, n_groups=len(places) * n_periods)
    wide = cell_sums.reshape(len(places), n_periods * n_columns)
    near = np.zeros_like(wide)
    for block, weights in _neighbours(places, cutoff_km=cutoff_km, distance=distance):
        near[block] = weights @ wide
    meat: Floats = cell_sums.T @ near.reshape(-1, n_columns)
    if unit is not None and time is not None:
        sums = group_sums(scores, groups=unit, n_groups=levels(unit))
        meat = meat + sums.T @ sums - scores.T @ scores
    return (meat + meat.T) / 2


def _refuse_impossible(latitude: Floats, longitude: Floats, *, cutoff_km: float, distance: str) -> None:
    faults = Faults(where="conley")
    if not (math.isfinite(cutoff_km) and cutoff_km >= 0):
        faults.add(f"cutoff_km = {cutoff_km}; it is a distance in kilometres, 0 or more.")
    if distance not in DISTANCES:
        faults.add(f"distance = {distance!r} is not offered; allowed: {', '.join(DISTANCES)}.")
    if not (np.abs(latitude) <= 90).all():
        faults.add("latitude is missing or beyond 90 degrees in some rows; give degrees north.")
    if not ((longitude >= -180) & (longitude <= 360)).all():
        faults.add("longitude is missing or outside -180 to 360 degrees in some rows; give degrees east.")
    faults.raise_if_any()


def _neighbours(places: Floats, *, cutoff_km: float, distance: str) -> Iterator[tuple[slice, sparse.csr_array]]:
    """Block after block of places, with weights of 0 or 1 to all places, themselves among them.

    Candidates lie within a chord of the unit sphere. By sin^2(d/2) = sin^2(dphi/2) + cos cos sin^2(dlambda/2), and
    the product of the cosines being at most the squared cosine of the mean latitude, the chord never exceeds the
    triangular distance in radians; so no neighbour by either distance is missed.
    """
    phi, lam = np.radians(places.T)
    points = np.column_stack([np.cos(phi) * np.cos(lam), np.cos(phi) * np.sin(lam), np.sin(phi)])
    limit = math.radians(cutoff_km / _KM_A_DEGREE)
    if distance == "spherical":
        limit = 2 * math.sin(min(cutoff_km / _EARTH_KM, math.pi) / 2)
    tree = cKDTree(points)
    for start in range(0, len(places), _BLOCK):
        block = slice(start, min(start + _BLOCK, len(places)))
        found = tree.query_ball_point(points[block], r=limit * (1 + 1e-9) + 1e-12)
        counts = np.array([len(near) for near in found])
        other = np.concatenate([np.asarray(near, dtype=np.int64) for near in found])
        own = np.repeat(np.arange(block.start, block.stop), counts)
        kept = np.ones(len(other), dtype=bool)
        if distance == "triangular":
            apart = np.abs(lam[own] - lam[other])
            apart = np.minimum(apart, 2 * math.pi - apart) * np.cos((phi[own] + phi[other]) / 2)
            kept = (phi[own] - phi[other]) ** 2 + apart**2 <= limit**2
        shape = (block.stop - block.start, len(places))
        yield block, sparse.csr_array((np.ones(kept.sum()), (own[kept] - start, other[kept])), shape=shape)
