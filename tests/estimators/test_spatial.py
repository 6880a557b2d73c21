"""Conley's errors against fixest, all pairs written out, and the two cluster cases at their ends."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from wwc_research.errors import InputError
from wwc_research.estimators import linear
from wwc_research.estimators.linear import ErrorModel
from wwc_research.estimators.spatial import neighbour_meat

FIGURES = Path(__file__).parents[1] / "figures"


@pytest.fixture(scope="module")
def quakes() -> pd.DataFrame:
    return pd.read_csv(FIGURES / "quakes.csv")


@pytest.mark.parametrize(
    ("spec", "distance"),
    [
        ("default", "triangular"),
        ("triangular distance pixel 0", "triangular"),
        ("spherical pixel 0", "spherical"),
    ],
)
def test_the_earthquakes_of_fiji_have_the_errors_of_fixest(quakes, spec, distance):
    table = pd.read_csv(FIGURES / "reference_numbers.csv")
    row = table[(table["dataset"] == "quakes") & (table["spec"] == f"depth~mag Conley 100km {spec}")].iloc[0]
    latitude, longitude = quakes["latitude"].to_numpy(), quakes["longitude"].to_numpy()
    X = np.column_stack([np.ones(1000), quakes["magnitude"]])
    errors = ErrorModel(kind="conley", latitude=latitude, longitude=longitude, cutoff_km=100, distance=distance)
    fit = linear.fit(quakes["depth"].to_numpy(dtype=float), X, errors=errors)
    assert fit.coefficients[1] == pytest.approx(row["estimate"], rel=1e-11)
    assert fit.std_errors[1] == pytest.approx(row["std_error"], rel=1e-11)
    assert fit.df == 998


def test_the_earthquakes_are_those_of_r(quakes):
    assert len(quakes) == 1000
    assert quakes["latitude"].mean() == pytest.approx(-20.64275)
    assert quakes["longitude"].mean() == pytest.approx(179.46202)
    assert quakes["depth"].mean() == pytest.approx(311.371)
    assert quakes["magnitude"].mean() == pytest.approx(4.6204)


@pytest.fixture
def scattered() -> dict[str, np.ndarray]:
    """60 places around the date line and near the pole, five periods, two score columns."""
    generator = np.random.default_rng(7)
    unit, time = np.repeat(np.arange(60), 5), np.tile(np.arange(5), 60)
    latitude = np.where(np.arange(60) < 40, generator.uniform(-5, 5, 60), generator.uniform(80, 89, 60))
    longitude = np.where(np.arange(60) < 40, generator.uniform(176, 184, 60), generator.uniform(-180, 180, 60))
    longitude = np.where(longitude > 180, longitude - 360, longitude)
    return {
        "scores": generator.normal(size=(300, 2)),
        "latitude": latitude[unit],
        "longitude": longitude[unit],
        "unit": unit,
        "time": time,
    }


def near(world: dict[str, np.ndarray], *, cutoff_km: float, distance: str) -> np.ndarray:
    """Every pair of rows, by the formulas of the two distances."""
    phi, lam = np.radians(world["latitude"]), np.radians(world["longitude"])
    apart = np.abs(lam[:, None] - lam)
    apart = np.minimum(apart, 2 * np.pi - apart)
    if distance == "triangular":
        squared = (phi[:, None] - phi) ** 2 + (np.cos((phi[:, None] + phi) / 2) * apart) ** 2
        return np.sqrt(squared) <= np.radians(cutoff_km / 111)
    half = np.sin((phi[:, None] - phi) / 2) ** 2 + np.cos(phi)[:, None] * np.cos(phi) * np.sin(apart / 2) ** 2
    return 2 * 6376 * np.arcsin(np.sqrt(np.minimum(half, 1))) <= cutoff_km


@pytest.mark.parametrize("distance", ["triangular", "spherical"])
@pytest.mark.parametrize("cutoff_km", [0.0, 150.0, 700.0, 25_000.0])
def test_the_meat_is_the_sum_over_all_pairs_of_near_rows(scattered, distance, cutoff_km):
    pairs = near(scattered, cutoff_km=cutoff_km, distance=distance)
    if cutoff_km == 700:
        assert 0.05 < pairs.mean() < 0.9
    scores, same_time = scattered["scores"], scattered["time"][:, None] == scattered["time"]
    same_unit = scattered["unit"][:, None] == scattered["unit"]
    place = {"latitude": scattered["latitude"], "longitude": scattered["longitude"], "distance": distance}
    for linked, codes in (
        (pairs, {}),
        (pairs & same_time, {"time": scattered["time"]}),
        ((pairs & same_time) | same_unit, {"time": scattered["time"], "unit": scattered["unit"]}),
    ):
        found = neighbour_meat(scores, cutoff_km=cutoff_km, **place, **codes)
        np.testing.assert_allclose(found, scores.T @ linked @ scores, rtol=1e-9, atol=1e-9)


def test_a_cutoff_of_zero_with_serial_correlation_is_clustering_by_unit(scattered):
    generator = np.random.default_rng(2)
    unit, time = scattered["unit"], scattered["time"]
    y, X = generator.normal(size=300), generator.normal(size=(300, 2))
    place = {"latitude": scattered["latitude"], "longitude": scattered["longitude"], "cutoff_km": 0.0}
    spatial = ErrorModel(kind="conley", unit=unit, time=time, **place)
    fits = [linear.fit(y, X, effects=(unit, time), errors=errors) for errors in (spatial, ErrorModel(clusters=(unit,)))]
    np.testing.assert_allclose(fits[0].covariance, fits[1].covariance, rtol=1e-9)
    assert fits[0].df == fits[1].df == 59


def test_one_place_for_each_cluster_is_clustering_by_place():
    generator = np.random.default_rng(3)
    cluster = np.repeat(np.arange(20), 6)
    y, X = generator.normal(size=120), np.column_stack([generator.normal(size=120), np.ones(120)])
    plain = {"adjust_parameters": False, "adjust_clusters": False}
    spatial = ErrorModel(kind="conley", latitude=cluster * 2.0, longitude=cluster * 3.0, cutoff_km=1.0, **plain)
    ours = linear.fit(y, X, errors=spatial)
    np.testing.assert_allclose(
        ours.covariance, linear.fit(y, X, errors=ErrorModel(clusters=(cluster,), **plain)).covariance, rtol=1e-9
    )


def test_longitudes_to_180_and_to_360_are_the_same_places(scattered):
    arguments = {"latitude": scattered["latitude"], "cutoff_km": 400.0}
    one = neighbour_meat(scattered["scores"], longitude=scattered["longitude"], **arguments)
    other = neighbour_meat(scattered["scores"], longitude=scattered["longitude"] % 360, **arguments)
    np.testing.assert_allclose(one, other, rtol=1e-12)


def test_impossible_places_and_options_are_told_all_at_once(scattered):
    with pytest.raises(InputError, match="4 faults") as caught:
        neighbour_meat(
            scattered["scores"],
            latitude=scattered["latitude"] + 90,
            longitude=scattered["longitude"] * np.nan,
            cutoff_km=-1,
            distance="flat",
        )
    assert "allowed: triangular, spherical" in str(caught.value)


def test_conley_without_places_is_refused():
    with pytest.raises(InputError, match="conley: needs the latitude and longitude"):
        linear.fit(np.arange(9.0) ** 2, np.arange(9.0)[:, None], errors=ErrorModel(kind="conley"))
