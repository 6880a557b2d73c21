"""The map of exposed places by cohort over the outlines of the states, and the sentence that goes with it.

In: plain rows. Out: axes, text. Only the public roster is drawn, never an applicant.
"""

from __future__ import annotations

import itertools
import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import matplotlib as mpl

mpl.use("agg", force=False)

import numpy as np
import numpy.typing as npt
from matplotlib import pyplot as plt
from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from matplotlib.markers import MarkerStyle
from matplotlib.patches import PathPatch
from matplotlib.path import Path as Outlined
from matplotlib.transforms import Affine2D

from wwc_research.messages import Message, counted, message
from wwc_research.report.language import shown
from wwc_research.report.outlines import state_outlines
from wwc_research.report.plots import INK, STYLE, Rows

MARKERS: Final = ("o", "s", "^", "D", "v", "P", "X")
MARKER_SIZE = 6.0  # points
MOST_DOTS = 260
COMPARISON: Final = "comparison"
COMPARISON_PLACES: Final = message("comparison places")
COMPARISON_COUNTIES: Final = message("comparison counties")
LAND, COAST, BORDER, PALE = "#f5f5f3", "#9a9a9a", "#d4d4d0", "#8f8f8f"
LONGEST_STRAIGHT = 5.0  # degrees of longitude that are drawn as one straight line
Floats = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True, kw_only=True)
class Frame:
    """A part of the country with its own projection; parallels and origin in degrees (Snyder 1987, pages 98 to 99).

    `states` None means all but those of the insets; `box` is where it stands on the figure (left, bottom, width and
    height in points).
    """

    states: frozenset[str] | None
    parallels: tuple[float, float]
    origin: tuple[float, float]
    box: tuple[float, float, float, float]


WIDTH, HEIGHT = 518.4, 338.4  # points of the figure; axes count in them
LOWER_48: Final = Frame(states=None, parallels=(29.5, 45.5), origin=(23.0, -96.0), box=(8, 18, 502, 284))
INSETS: Final = (
    Frame(states=frozenset({"AK"}), parallels=(55.0, 65.0), origin=(50.0, -154.0), box=(30, 20, 112, 78)),
    Frame(states=frozenset({"HI"}), parallels=(8.0, 18.0), origin=(3.0, -157.0), box=(148, 20, 62, 44)),
)
_FAR: Final = frozenset({"AK", "HI"})


@dataclass(frozen=True, slots=True, kw_only=True)
class _Drawing:
    """A frame with the outlines in it, and the scale and shift that fit them into its box."""

    frame: Frame
    land: tuple[Floats, ...]
    borders: tuple[Floats, ...]
    scale: float
    shift: Floats

    def points(self, degrees: Floats) -> Floats:
        """(longitude, latitude) to points of the figure, to a tenth: finer detail would only lengthen the file."""
        return np.round(_projected(degrees, self.frame) * self.scale + self.shift, 1)


def albers(
    latitude: npt.ArrayLike, longitude: npt.ArrayLike, *, parallels: tuple[float, float], origin: tuple[float, float]
) -> tuple[Floats, Floats]:
    """Plane coordinates x and y of points under the Albers equal-area conic projection of a sphere of radius 1.

    Parameters
    ----------
    latitude, longitude
        Degrees north and east.
    parallels
        The two standard parallels, in degrees north.
    origin
        Latitude and longitude that come to (0, 0).

    Notes
    -----
    Snyder, J. P. (1987), Map Projections: A Working Manual, USGS Professional Paper 1395, equations 14-1 to 14-6.
    """
    first, second = (math.radians(value) for value in parallels)
    cone = (math.sin(first) + math.sin(second)) / 2
    constant = math.cos(first) ** 2 + 2 * cone * math.sin(first)
    radius = np.sqrt(constant - 2 * cone * np.sin(np.radians(np.asarray(latitude, dtype=float)))) / cone
    base = math.sqrt(constant - 2 * cone * math.sin(math.radians(origin[0]))) / cone
    angle = cone * np.radians(np.asarray(longitude, dtype=float) - origin[1])
    return radius * np.sin(angle), base - radius * np.cos(angle)


def map_finding(rows: Rows, *, one: str, many: str) -> Message:
    """One sentence for the map: how many are exposed, in how many states, when, and when the most.

    Parameters
    ----------
    rows
        From `evidence.adoptions.map_rows`.
    one, many
        What an exposed unit is called: `certified city`, `certified cities`.

    Examples
    --------
    >>> rows = [{"state": "MI", "cohort": 2018}, {"state": "OH", "cohort": 2022}, {"state": "OH", "cohort": 2022}]
    >>> map_finding(rows, one="certified city", many="certified cities")
    '3 certified cities in 2 states were first exposed between 2018 and 2022, the most (2) in 2022.'
    """
    exposed = [row for row in rows if row["cohort"] is not None]
    if not exposed:
        return message("No {many} are in the sample, so the map shows comparison places alone.", many=many)
    return counted(
        "{n:,} {one} in {states} was first exposed {when}.",
        "{n:,} {many} in {states} were first exposed {when}.",
        n=len(exposed),
        one=one,
        many=many,
        states=_states({row["state"] for row in exposed}),
        when=years_told(Counter(row["cohort"] for row in exposed)),
    )


def map_caption(*, by_county: bool = False) -> Message:
    """What stands under the map: which year a place or a county is shown by."""
    if by_county:
        return message(
            "Each county with exposed cities by the first year in which it counts as exposed in this analysis, which "
            "can be the year after the first city in it began."
        )
    return message(
        "Each exposed place by the first year in which it counts as exposed in this analysis, which can be the year "
        "after the one in which it was announced."
    )


def years_told(counts: Mapping[int, int]) -> Message:
    """When, and when the most: `between 2018 and 2022, the most (27) in 2022`."""
    first, last = min(counts), max(counts)
    if first == last:
        return message("in {year}", year=first)
    most = max(counts.values())
    peaks = [year for year in sorted(counts) if counts[year] == most]
    if len(peaks) == len(counts):
        return message(
            "between {first} and {last}, equally many in each of {n_years} years",
            first=first,
            last=last,
            n_years=len(peaks),
        )
    if len(peaks) > 1:
        return message(
            "between {first} and {last}, the most ({most:,} each) in {peaks:list}",
            first=first,
            last=last,
            most=most,
            peaks=peaks,
        )
    return message(
        "between {first} and {last}, the most ({most:,}) in {peak}", first=first, last=last, most=most, peak=peaks[0]
    )


def _states(states: Iterable[str]) -> Message:
    """`27 states`, `26 states and the District of Columbia`."""
    named = set(states)
    count = len(named - {"DC"})
    if "DC" not in named:
        return counted("{n} state", "{n} states", n=count)
    if not count:
        return message("the District of Columbia")
    return counted("{n} state and the District of Columbia", "{n} states and the District of Columbia", n=count)


def certified_map(rows: Rows, *, comparison: str = COMPARISON_PLACES) -> Axes:
    """Exposed places by cohort, over the states; comparison places are small grey dots.

    Each cohort has a shape of its own and a colour that turns lighter with time. More than seven cohorts are joined
    into seven spans of years. Alaska and Hawaii have an inset where an exposed place lies there; what is not drawn
    (no coordinates, or a comparison place in a part without inset) is counted below the map. Comparison dots that
    would all but cover one another are drawn once.

    Parameters
    ----------
    rows
        Rows with label, state, latitude, longitude (None where not known), cohort (None: comparison), level, and
        maybe `n_units`, how many comparison units a dot stands for.
    comparison
        What the grey dots are called.
    """
    placed = [row for row in rows if row["latitude"] is not None and row["longitude"] is not None]
    exposed = [row for row in placed if row["cohort"] is not None]
    spans = cohort_spans([row["cohort"] for row in exposed])
    frames = [LOWER_48, *(inset for inset in INSETS if any(_holds(inset, row) for row in exposed))]
    with mpl.rc_context(STYLE):
        figure, axes = plt.subplots(figsize=(WIDTH / 72, HEIGHT / 72))
    axes.set_position((0.0, 0.0, 1.0, 1.0))
    axes.set(xlim=(0, WIDTH), ylim=(0, HEIGHT))
    axes.axis("off")
    for frame in frames:
        _draw(axes, _drawing(frame), [row for row in placed if _holds(frame, row)], spans=spans)
    handles = _handles(spans, exposed)
    n_comparison = _units(row for row in rows if row["cohort"] is None)
    if n_comparison:
        title = message("{n:,} {comparison}", n=n_comparison, comparison=comparison)
        handles.append(Line2D([], [], marker=".", color=PALE, linestyle="", markersize=4, label=shown(title)))
    if handles:
        longest = max(len(str(handle.get_label())) for handle in handles)
        # as many as fit beside one another, and never more than two lines above the land
        columns = max(min(len(handles), int(WIDTH / (5.3 * longest + 22))), math.ceil(len(handles) / 2))
        style: Any = {"ncols": columns, "handletextpad": 0.2, "columnspacing": 1.2, "fontsize": 9, "frameon": False}
        # on the left, which a phone shows before the picture is scrolled
        figure.legend(handles=handles, loc="upper left", **style)
    if missing := _not_drawn(rows, frames):
        told = shown(message("Not on the map: {missing:list}.", missing=missing))
        figure.text(0.5, 0.015, told, ha="center", va="bottom", fontsize=9, color=INK)
    return axes


def _not_drawn(rows: Rows, frames: Sequence[Frame]) -> list[Message]:
    """What has no place on the map and why: `2 for comparison in Alaska or Hawaii`; nothing where all have one."""
    nowhere = [row for row in rows if row["latitude"] is None or row["longitude"] is None]
    far = _units(row for row in rows if row not in nowhere and not any(_holds(frame, row) for frame in frames))
    exposed = _units(row for row in nowhere if row["cohort"] is not None)
    told = [message("{n_far:,} for comparison in Alaska or Hawaii", n_far=far)] if far else []
    n_nowhere = _units(nowhere)
    if exposed:
        told.append(
            message("{n_nowhere:,} without coordinates ({exposed:,} exposed)", n_nowhere=n_nowhere, exposed=exposed)
        )
    elif nowhere:
        told.append(message("{n_nowhere:,} without coordinates", n_nowhere=n_nowhere))
    return told


def _units(rows: Iterable[Mapping[str, Any]]) -> int:
    """How many units the rows stand for; a row may have `n_units` of them."""
    return sum(row.get("n_units", 1) for row in rows)


def cohort_spans(cohorts: Sequence[int]) -> list[tuple[int, int]]:
    """Spans of years (first, last), at most one a marker: neighbours with the fewest members are joined first."""
    counts = Counter(cohorts)
    spans = [(year, year, counts[year]) for year in sorted(counts)]
    while len(spans) > len(MARKERS):
        sums = [first[2] + second[2] for first, second in itertools.pairwise(spans)]
        at = sums.index(min(sums))
        spans[at : at + 2] = [(spans[at][0], spans[at + 1][1], sums[at])]
    return [(first, last) for first, last, _ in spans]


def span_colours(n: int) -> list[str]:
    """Colours that can be told apart without red and green and turn lighter from the first to the last."""
    # the lightest shade still stands out from the land, 3 to 1
    shades = np.linspace(0.0, 0.61, n) if n > 1 else np.array([0.2])
    return [mpl.colors.to_hex(colour) for colour in mpl.colormaps["plasma"](shades)]


def _holds(frame: Frame, row: Mapping[str, Any]) -> bool:
    return row["state"] not in _FAR if frame.states is None else row["state"] in frame.states


def _drawing(frame: Frame) -> _Drawing:
    """Outlines of a frame, largest that its box allows, in the middle of it."""
    kinds: dict[str, list[Floats]] = {"land": [], "border": []}
    for outline in state_outlines():
        if not _FAR.intersection(outline.states) if frame.states is None else frame.states >= {*outline.states}:
            kinds[outline.kind].append(_bent(np.array(outline.points)))
    edge = np.vstack([_projected(ring, frame) for ring in kinds["land"]])
    low, high = edge.min(axis=0), edge.max(axis=0)
    corner, size = np.array(frame.box[:2]), np.array(frame.box[2:])
    scale = float((size / (high - low)).min())
    shift = corner + size / 2 - scale * (low + high) / 2
    return _Drawing(frame=frame, land=tuple(kinds["land"]), borders=tuple(kinds["border"]), scale=scale, shift=shift)


def _draw(axes: Axes, drawing: _Drawing, rows: Rows, *, spans: Sequence[tuple[int, int]]) -> None:
    """Land, borders, comparison dots and markers of one frame."""
    land = one_path([drawing.points(ring) for ring in drawing.land], facecolor=LAND, edgecolor=COAST, linewidth=0.7)
    axes.add_patch(land)
    if drawing.borders:
        borders = [drawing.points(line) for line in drawing.borders]
        axes.add_patch(one_path(borders, facecolor="none", edgecolor=BORDER, linewidth=0.6))
    dots = _thinned(drawing.points(_degrees([row for row in rows if row["cohort"] is None])))
    if len(dots):
        # a very short stroke with round caps is a dot, and all of them are one element of the picture
        strokes = [np.vstack([dot, dot + np.array([0.1, 0])]) for dot in dots]
        style = {"facecolor": "none", "edgecolor": PALE, "linewidth": 1.8, "capstyle": "round", "label": COMPARISON}
        axes.add_patch(one_path(strokes, **style))
    groups = []
    for span, colour, marker in zip(spans, span_colours(len(spans)), MARKERS, strict=False):
        first, last = span
        chosen = [row for row in rows if row["cohort"] is not None and first <= row["cohort"] <= last]
        groups.append((drawing.points(_degrees(chosen)), colour, marker, span))
    # the largest cohort first, so that it does not cover the others
    for spots, colour, marker, span in sorted(groups, key=lambda group: -len(group[0])):
        if len(spots):
            shapes = [np.round(spot + _shape(marker), 1) for spot in spots]
            style = {"facecolor": colour, "edgecolor": "white", "linewidth": 0.6, "label": _years(span)}
            axes.add_patch(one_path(shapes, **style))


def _thinned(dots: Floats) -> Floats:
    """The dots without those that would all but cover another, and never more than `MOST_DOTS`."""
    cell = 2.0
    while True:
        _, chosen = np.unique(np.round(dots / cell), axis=0, return_index=True)
        if len(chosen) <= MOST_DOTS:
            return dots[np.sort(chosen)]
        cell *= 1.1


def _shape(marker: str) -> Floats:
    """Outline of a marker around (0, 0), in points."""
    # a circle of curves would be three times as long in the file
    style = MarkerStyle(marker)
    round_one = Outlined.unit_regular_polygon(12).transformed(Affine2D().scale(0.5))
    path = round_one if marker == "o" else style.get_path().transformed(style.get_transform())
    return np.array(path.to_polygons()[0], dtype=float) * MARKER_SIZE


def _years(span: tuple[int, int]) -> str:
    return str(span[0]) if span[0] == span[1] else f"{span[0]}–{span[1]}"


def _marker(colour: str, marker: str) -> dict[str, Any]:
    return {
        "linestyle": "",
        "marker": marker,
        "markersize": MARKER_SIZE,
        "markerfacecolor": colour,
        "markeredgecolor": "white",
        "markeredgewidth": 0.6,
    }


def _handles(spans: Sequence[tuple[int, int]], exposed: Rows) -> list[Line2D]:
    handles = []
    for span, colour, marker in zip(spans, span_colours(len(spans)), MARKERS, strict=False):
        n = sum(span[0] <= row["cohort"] <= span[1] for row in exposed)
        title = message("from {years}: {n:,}", years=_years(span), n=n)
        handles.append(Line2D([], [], **_marker(colour, marker), label=shown(title)))
    return handles


def _degrees(rows: Rows) -> Floats:
    """Longitude and latitude of the rows, one row each."""
    return np.array([(row["longitude"], row["latitude"]) for row in rows], dtype=float).reshape(-1, 2)


def _projected(degrees: Floats, frame: Frame) -> Floats:
    x, y = albers(degrees[:, 1], degrees[:, 0], parallels=frame.parallels, origin=frame.origin)
    return np.column_stack([x, y])


def _bent(line: Floats) -> Floats:
    """The line with points put in on long stretches, which are curves under the projection (the 49th parallel)."""
    parts = [line[:1]]
    for start, end in itertools.pairwise(line):
        steps = max(1, math.ceil(abs(end[0] - start[0]) / LONGEST_STRAIGHT))
        parts.append(start + (end - start) * np.arange(1, steps + 1)[:, None] / steps)
    return np.vstack(parts)


def one_path(lines: Sequence[Floats], **style: Any) -> PathPatch:
    """Many lines as a single element, without the simplification and snapping that would lose short strokes."""
    path = Outlined.make_compound_path(*(Outlined(line) for line in lines))
    path.should_simplify = False
    return PathPatch(path, snap=False, joinstyle="round", **style)
