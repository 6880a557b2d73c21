"""The map: the projection is Snyder's, the outlines are whole, and nobody is named who is not on the public roster."""

from __future__ import annotations

import copy
import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from matplotlib import pyplot as plt
from matplotlib.colors import to_rgb
from matplotlib.path import Path as Outlined

from wwc_research.errors import DataError
from wwc_research.report import html, map_plot, outlines
from wwc_research.report.map_plot import albers, certified_map, cohort_spans, map_finding, span_colours
from wwc_research.report.outlines.compile import compile_outlines
from wwc_research.sources.places import STATE_CODE

ROOT = Path(__file__).parents[2]


@pytest.fixture(autouse=True)
def _closed():
    yield
    plt.close("all")


def exposed(label: str, latitude: float, longitude: float, cohort: int, state: str = "MI") -> dict:
    return {
        "label": label,
        "state": state,
        "latitude": latitude,
        "longitude": longitude,
        "cohort": cohort,
        "level": "silver",
    }


def compared(latitude: float | None, longitude: float | None, state: str = "OH") -> dict:
    return {"label": "", "state": state, "latitude": latitude, "longitude": longitude, "cohort": None, "level": ""}


ROWS = [
    exposed("Detroit, MI", 42.4, -83.1, 2022),
    exposed("Boston, MA", 42.36, -71.06, 2018, "MA"),
    exposed("Seattle, WA", 47.6, -122.3, 2018, "WA"),
    compared(41.5, -81.7),
    compared(39.96, -83.0),
]


def test_the_projection_gives_the_worked_example_of_its_source():
    """Snyder (1987), USGS Professional Paper 1395, appendix A, page 291."""
    x, y = albers(35.0, -75.0, parallels=(29.5, 45.5), origin=(23.0, -96.0))
    assert float(x) == pytest.approx(0.2952720, abs=5e-8)
    assert float(y) == pytest.approx(0.2416774, abs=5e-8)
    assert np.hypot(*albers(23.0, -96.0, parallels=(29.5, 45.5), origin=(23.0, -96.0))) == pytest.approx(0, abs=1e-15)


@pytest.mark.parametrize("frame", [map_plot.LOWER_48, *map_plot.INSETS])
def test_equal_areas_on_the_globe_are_equal_on_the_map(frame):
    latitude, longitude = np.meshgrid(np.linspace(20, 68, 9), np.linspace(-160, -70, 7))
    step = 1e-4

    def moved(north: float, east: float) -> np.ndarray:
        spots = albers(latitude + north, longitude + east, parallels=frame.parallels, origin=frame.origin)
        return np.array(spots)

    up, across = moved(step, 0) - moved(-step, 0), moved(0, step) - moved(0, -step)
    area = np.abs(up[0] * across[1] - up[1] * across[0])
    globe = np.radians(2 * step) ** 2 * np.cos(np.radians(latitude))
    assert np.allclose(area / globe, 1, rtol=1e-5)


def test_the_outlines_say_where_they_come_from_and_are_small():
    source = outlines.outline_source()
    assert source.publisher == "U.S. Census Bureau"
    assert source.vintage == "2017"
    assert "public domain" in source.licence
    assert len(source.input_sha256) == 64
    assert Path(outlines.__file__).with_name("states.toml").stat().st_size < 40_000


def test_every_state_is_drawn_and_every_ring_is_closed():
    shown = outlines.state_outlines()
    assert {state for outline in shown for state in outline.states} == set(STATE_CODE) - {"PR"}
    assert all(outline.points[0] == outline.points[-1] for outline in shown if outline.kind == "land")
    assert all(len(outline.states) == 2 for outline in shown if outline.kind == "border")


def test_borders_end_on_another_line():
    shown = outlines.state_outlines()
    for outline in (outline for outline in shown if outline.kind == "border"):
        others = np.array([point for other in shown if other is not outline for point in other.points])
        if outline.points[0] != outline.points[-1]:
            gaps = [np.hypot(*(others - np.array(end)).T).min() for end in (outline.points[0], outline.points[-1])]
            # where Maryland meets Virginia in Chesapeake Bay the island between them is too small to be drawn
            assert max(gaps) < (0.2 if outline.states == ("MD", "VA") else 0.02), outline


def test_places_of_the_gazetteer_lie_on_the_land_of_the_map():
    places = pd.read_csv(ROOT / "data/raw/gazetteer/universe.csv", dtype={"place_id": str}).dropna(subset=["latitude"])
    spots = places[["longitude", "latitude"]].to_numpy()
    on_land = np.zeros(len(places), dtype=bool)
    for outline in outlines.state_outlines():
        if outline.kind == "land":
            on_land |= Outlined(np.array(outline.points)).contains_points(spots)
    assert on_land.mean() > 0.96
    near = np.array([point for outline in outlines.state_outlines() for point in outline.points])
    beside = spots[~on_land]
    away = np.hypot(beside[:, None, 0] - near[None, :, 0], beside[:, None, 1] - near[None, :, 1]).min(axis=1)
    assert np.quantile(away, 0.9) < 1.0


def topology(*, arcs: list, states: dict) -> dict:
    geometries = [
        {"type": "MultiPolygon", "id": code, "arcs": polygons, "properties": {}} for code, polygons in states.items()
    ]
    transform = {"scale": [0.01, 0.01], "translate": [-100.0, 30.0]}
    objects = {"states": {"type": "GeometryCollection", "geometries": geometries}}
    return {"type": "Topology", "transform": transform, "objects": objects, "arcs": arcs}


def test_two_states_become_one_land_and_one_border_and_a_rock_is_left_out(tmp_path):
    border = [[500, 0], [0, 500]]
    west = [[500, 500], [-500, 0], [0, -500], [250, 0], [1, 1], [249, -1]]
    east = [[500, 0], [500, 0], [0, 500], [-500, 0]]
    rock = [[2000, 0], [5, 0], [0, 5], [-5, -5]]
    made = topology(arcs=[border, west, east, rock], states={"31": [[[0, 1]], [[3]]], "19": [[[2, -1]]], "72": [[[3]]]})
    source = tmp_path / "states.json"
    source.write_text(json.dumps(made))
    compile_outlines(source, out=tmp_path / "out.toml")
    written = (tmp_path / "out.toml").read_text()
    assert written.count("[[land]]") == 1
    assert written.count("[[border]]") == 1
    assert 'states = "IA NE"\npoints = "-9500 3000 -9500 3500"' in written
    # the wiggle of a hundredth of a degree is gone
    assert "3001" not in written
    assert "-9000 3500" in written


def test_a_file_that_is_no_topology_of_states_is_refused(tmp_path):
    source = tmp_path / "states.json"
    source.write_text('{"type": "FeatureCollection"}')
    with pytest.raises(DataError, match=r"no TopoJSON object 'states'; give states-10m.json"):
        compile_outlines(source, out=tmp_path / "out.toml")
    assert not (tmp_path / "out.toml").exists()


def polygons(axes, label: str) -> int:
    """How many shapes the element of that label holds, over all frames."""
    codes = [patch.get_path().codes for patch in axes.patches if patch.get_label() == label]
    return sum(int((each == Outlined.MOVETO).sum()) for each in codes)


def test_each_exposed_place_has_one_marker_and_each_comparison_place_a_dot():
    given = copy.deepcopy(ROWS)
    axes = certified_map(given, comparison="cities not certified")
    assert (polygons(axes, "2018"), polygons(axes, "2022"), polygons(axes, "comparison")) == (2, 1, 2)
    legend = [text.get_text() for text in axes.figure.legends[0].get_texts()]
    assert legend == ["from 2018: 2", "from 2022: 1", "2 cities not certified"]
    assert given == ROWS
    assert axes.figure.texts == []


def test_a_marker_stands_where_the_projection_puts_the_place():
    """Two roads: the distance on the picture between two cities, and that on the sphere, at the scale of the map."""
    axes = certified_map([ROWS[0], ROWS[1]])
    first, second = (
        patch.get_path().vertices[:-1].mean(axis=0) for patch in axes.patches if patch.get_label() in ("2018", "2022")
    )
    land = next(patch for patch in axes.patches if len(patch.get_path()) > 300).get_path().vertices
    # Maine's eastern end to Washington's Cape Alava: 66.95 W 44.8 N, 124.73 W 48.16 N, 4,370 km apart on the sphere
    scale = (land[:, 0].max() - land[:, 0].min()) / 4_500
    assert np.hypot(*(first - second)) / scale == pytest.approx(986, rel=0.08)


def test_alaska_has_an_inset_only_where_an_exposed_place_lies_there():
    far = compared(61.2, -149.9, "AK")
    without = certified_map([*ROWS, far, compared(None, None)])
    told = [text.get_text() for text in without.figure.texts]
    assert told == ["Not on the map: 1 for comparison in Alaska or Hawaii and 1 without coordinates."]
    inset = certified_map([*ROWS, far, exposed("Juneau, AK", 58.3, -134.4, 2018, "AK")])
    assert inset.figure.texts == []
    assert len(inset.patches) > len(without.patches)
    assert polygons(inset, "2018") == 3


def test_an_exposed_place_without_coordinates_is_not_lost_in_silence():
    axes = certified_map([*ROWS, exposed("Atlantis, FL", None, None, 2022, "FL")])  # type: ignore[arg-type]  # the case
    assert [text.get_text() for text in axes.figure.texts] == ["Not on the map: 1 without coordinates (1 exposed)."]


def test_many_cohorts_become_at_most_seven_spans_that_hold_every_year_once():
    cohorts = [2009] + [2010] * 2 + [year for year in range(2011, 2019) for _ in range(10)]
    spans = cohort_spans(cohorts)
    assert len(spans) == 7
    assert spans[0] == (2009, 2011)
    years = [year for first, last in spans for year in range(first, last + 1)]
    assert years == list(range(2009, 2019))
    assert cohort_spans([2018, 2022, 2022]) == [(2018, 2018), (2022, 2022)]
    assert cohort_spans([]) == []


def luminance(colour: str) -> float:
    """WCAG 2.2, relative luminance."""
    linear = [value / 12.92 if value <= 0.04045 else ((value + 0.055) / 1.055) ** 2.4 for value in to_rgb(colour)]
    return float(np.dot((0.2126, 0.7152, 0.0722), linear))


@pytest.mark.parametrize("n", range(1, 8))
def test_later_cohorts_are_lighter_and_all_stand_out_from_the_land(n):
    shades = [luminance(colour) for colour in span_colours(n)]
    assert shades == sorted(shades)
    assert len(set(shades)) == n
    assert all((luminance(map_plot.LAND) + 0.05) / (shade + 0.05) >= 3 for shade in shades)
    assert len(set(map_plot.MARKERS)) == 7


def test_the_sentence_counts_places_states_and_years():
    told = map_finding(ROWS, one="certified city", many="certified cities")
    assert told == "3 certified cities in 3 states were first exposed between 2018 and 2022, the most (2) in 2018."
    alone = map_finding([exposed("Washington, DC", 38.9, -77.0, 2018, "DC")], one="certified city", many="")
    assert alone == "1 certified city in the District of Columbia was first exposed in 2018."
    even = map_finding(ROWS[:2], one="city", many="cities")
    assert even == "2 cities in 2 states were first exposed between 2018 and 2022, equally many in each of 2 years."
    assert map_finding(ROWS[3:], one="city", many="cities").startswith("No cities are in the sample")


def test_a_full_map_stays_below_forty_kilobytes_and_comes_out_the_same_twice():
    rng = np.random.default_rng(7)
    spots = np.column_stack([rng.uniform(31, 48, 700), rng.uniform(-120, -76, 700)])
    rows = [exposed(f"City {at}", *spot, 2012 + at % 7) for at, spot in enumerate(spots[:90])]
    rows += [compared(*spot) for spot in spots[90:]]
    rows.append(exposed("Anchorage, AK", 61.2, -149.9, 2012, "AK"))
    first, second = (html._svg(certified_map(rows)) for _ in range(2))
    assert first == second
    assert len(first) < 40_000


def test_a_map_without_exposed_places_is_drawn_too():
    axes = certified_map(ROWS[3:])
    assert [text.get_text() for text in axes.figure.legends[0].get_texts()] == ["2 comparison places"]
    assert not certified_map([]).figure.legends
