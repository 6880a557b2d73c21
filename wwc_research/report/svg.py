"""Small SVG: what matplotlib writes, said in a fifth of the bytes, and as an address that HTML can hold as it is.

In: the text of an SVG file of matplotlib's (text as text). Out: SVG text that shows the same, to a tenth of a point.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final
from xml.etree import ElementTree
from xml.sax.saxutils import escape

_SVG, _LINK = "{http://www.w3.org/2000/svg}", "{http://www.w3.org/1999/xlink}href"
_TOKENS: Final = re.compile(r"[A-Za-z]|-?[\d.]+(?:e-?\d+)?")
_COUNTS: Final = {"M": 2, "L": 2, "Q": 4, "C": 6, "Z": 0}
# what an element has that says nothing: matplotlib writes them all out
_DEFAULTS: Final = {
    "fill": "#000000",
    "stroke": "none",
    "stroke-dashoffset": "0",
    "stroke-linecap": "butt",
    "stroke-linejoin": "round",
    "stroke-width": "1",
}
# what the reader below understands; a picture with anything else is left as it is
_KNOWN: Final[Mapping[str, frozenset[str]]] = {
    "svg": frozenset({"width", "height", "viewBox", "version"}),
    "g": frozenset({"id", "clip-path", "style"}),
    "defs": frozenset(),
    "style": frozenset({"type"}),
    "clipPath": frozenset({"id"}),
    "rect": frozenset({"x", "y", "width", "height"}),
    "path": frozenset({"id", "d", "style", "clip-path"}),
    "use": frozenset({_LINK, "x", "y", "style"}),
    "text": frozenset({"x", "y", "style", "transform"}),
}
# a single line of text is turned around its place, a line of several is moved there and turned
_PLACED: Final = re.compile(
    r"rotate\((?P<around>-?[\d.]+) [-\d.]+ [-\d.]+\)"
    r"|translate\((?P<x>-?[\d.]+) (?P<y>-?[\d.]+)\)(?: rotate\((?P<turn>-?[\d.]+)\))?"
)
_LETTERS: Final = "abcdefghijklmnopqrstuvwxyz"
Style = tuple[tuple[str, str], ...]


@dataclass(slots=True)
class _Mark:
    """A path or a text of the picture: its style, what clips it, and its shape in tenths of a point or its words."""

    style: Style
    clip: str = ""
    shape: list[tuple[str, tuple[int, ...]]] = field(default_factory=list)
    text: str = ""
    at: tuple[int, int] = (0, 0)
    turn: str = ""

    @property
    def joins(self) -> bool:
        """Whether it may be one path with others of its style: strokes without area, none of them see-through."""
        names = dict(self.style)
        return bool(self.shape) and names.get("fill") == "none" and not {"opacity", "stroke-opacity"} & names.keys()


def minified(svg: str) -> str:
    """The picture without what cannot be seen: metadata, groups, repeated styles, digits beyond a tenth of a point.

    Marks that are drawn many times become strokes of one path, styles become classes, moves become relative. The same
    text in gives the same text out.
    """
    root = ElementTree.fromstring(svg)
    for metadata in root.findall(f"{_SVG}metadata"):
        root.remove(metadata)
    if not all(map(_is_understood, root.iter())):
        return svg
    reader = _Reader(root)
    marks = _merged(reader.marks(root))
    names = {style: _name(number) for number, style in enumerate(dict.fromkeys(mark.style for mark in marks))}
    clips = {clip: _name(number) for number, clip in enumerate(dict.fromkeys(mark.clip for mark in marks if mark.clip))}
    common = _common([mark.style for mark in marks if mark.text])
    rules = "".join(
        f".{name}{{{';'.join(f'{key}:{value}' for key, value in style if (key, value) not in common)}}}"
        for style, name in names.items()
    )
    base = ";".join(f"{key}:{value}" for key, value in (("stroke-linejoin", "round"), *common))
    shapes = "".join(
        f"<clipPath id='{name}'><path d='{reader.clips[clip]}'/></clipPath>" for clip, name in clips.items()
    )
    body = "".join(_groups(marks, names=names, clips=clips))
    size = f"width='{root.get('width')}' height='{root.get('height')}' viewBox='{root.get('viewBox')}'"
    return f"<svg xmlns='http://www.w3.org/2000/svg' {size}><style>svg{{{base}}}{rules}</style>{shapes}{body}</svg>"


def _is_understood(element: ElementTree.Element) -> bool:
    name = str(element.tag).removeprefix(_SVG)
    if name not in _KNOWN or not _KNOWN[name].issuperset(element.keys()):
        return False
    placed = element.get("transform")
    return placed is None or bool(_PLACED.fullmatch(placed))


def data_uri(svg: str) -> str:
    """The picture as an address."""
    return f"data:image/svg+xml,{in_address(svg)}"


def in_address(text: str) -> str:
    """Text for an address that holds its data: only what no address or attribute in double quotes may hold is escaped.

    Letters outside ASCII are allowed in an address as they are (WHATWG URL standard, section 4.3).
    """
    return "".join(_ESCAPED.get(sign, sign) for sign in text)


_ESCAPED: Final = {sign: f"%{ord(sign):02X}" for sign in '%#<>"&{}|\\^`[] \n\t\r'}


def _name(number: int) -> str:
    return _LETTERS[number] if number < 26 else _name(number // 26 - 1) + _LETTERS[number % 26]


def _common(styles: Sequence[Style]) -> Style:
    """What most texts have in common, which the root can say for all: family and size of the letters."""
    found: list[tuple[str, str]] = []
    for key in ("font-family", "font-size"):
        values = [dict(style).get(key, "") for style in styles]
        if values:
            # in the order of their first use where several are as frequent
            found.append((key, max(dict.fromkeys(values), key=values.count)))
    return tuple(found)


class _Reader:
    """Marks of a picture in the order they are painted, symbols put where they are used."""

    def __init__(self, root: ElementTree.Element) -> None:
        self.symbols = {
            str(path.get("id")): path for path in root.iter(f"{_SVG}path") if path.get("id") and path.get("d")
        }
        self.clips: dict[str, str] = {}
        self.named: dict[str, str] = {}
        for clip in root.iter(f"{_SVG}clipPath"):
            box = clip.find(f"{_SVG}rect")
            if box is not None:
                x, y, width, height = (round(10 * float(box.get(key, "0"))) for key in ("x", "y", "width", "height"))
                shape = [("M", (x, y)), ("L", (x + width, y)), ("L", (x + width, y + height)), ("L", (x, y + height))]
                self.named[str(clip.get("id"))] = path = _written(shape)
            else:
                inner = clip.find(f"{_SVG}path")
                self.named[str(clip.get("id"))] = path = _written(_shape("" if inner is None else inner.get("d", "")))
            self.clips[path] = path

    def marks(
        self, element: ElementTree.Element, *, clip: str = "", over: Mapping[str, str] | None = None
    ) -> list[_Mark]:
        """Marks inside an element; those of an axis in the order lines, ticks, labels, so that like stands by like."""
        found: list[_Mark] = []
        for child in element:
            kind = child.tag.removeprefix(_SVG) if isinstance(child.tag, str) else ""
            own = self._clip(child) or clip
            if kind == "g":
                inside = self.marks(child, clip=own, over={**(over or {}), **_styles(child)})
                is_axis = str(child.get("id", "")).startswith("matplotlib.axis")
                found += sorted(inside, key=lambda mark: (bool(mark.text), not mark.clip)) if is_axis else inside
            elif kind in ("path", "use", "text"):
                found += self._mark(child, kind=kind, clip=own, over=over or {})
        return found

    def _clip(self, element: ElementTree.Element) -> str:
        name = re.fullmatch(r"url\(#(.+)\)", element.get("clip-path", ""))
        return self.named[name[1]] if name else ""

    def _mark(self, child: ElementTree.Element, *, kind: str, clip: str, over: Mapping[str, str]) -> Iterator[_Mark]:
        if kind == "text":
            placed = _PLACED.fullmatch(child.get("transform", ""))
            found = placed.groupdict() if placed else {}
            x, y = (round(10 * float(found.get(key) or child.get(key) or 0)) for key in ("x", "y"))
            angle = round(10 * float(found.get("around") or found.get("turn") or 0)) % 3600
            turn = _tenths(angle if angle <= 1800 else angle - 3600) if angle else ""
            style = {**over, **_styles(child)}
            yield _Mark(_ordered(style), text="".join(child.itertext()), at=(x, y), turn=turn)
            return
        if kind == "path":
            yield _Mark(_ordered({**over, **_styles(child)}), clip, _shape(child.get("d", "")))
            return
        symbol = self.symbols[str(child.get(_LINK) or child.get("href"))[1:]]
        left, top = (10 * float(child.get(key, "0")) for key in ("x", "y"))
        # a property of the symbol itself counts for more than that of its use
        style = {**over, **_styles(child), **_styles(symbol)}
        shape = _shape(symbol.get("d", ""), x=left, y=top)
        if [letter for letter, _ in shape] == ["M", "L"]:
            style["fill"] = "none"  # a tick has no area
        yield _Mark(_ordered(style), clip, shape)


def _styles(element: ElementTree.Element) -> dict[str, str]:
    parts = (part.split(":", 1) for part in element.get("style", "").split(";") if ":" in part)
    return {key.strip(): value.strip() for key, value in parts}


def _ordered(style: Mapping[str, str]) -> Style:
    """The properties in order and in short, without those that change nothing."""
    kept = dict(style)
    if kept.get("stroke", "none") == "none":
        kept = {key: value for key, value in kept.items() if not key.startswith("stroke")}
    if kept.get("fill") == "none":
        kept.pop("fill-opacity", None)
    if float(kept.get("opacity", "1")) == 1:
        kept.pop("opacity", None)
    short = {key: _short(value) for key, value in kept.items() if _DEFAULTS.get(key) != value}
    return tuple(sorted(short.items()))


def _short(value: str) -> str:
    whole = re.sub(r"#([0-9a-f])\1([0-9a-f])\2([0-9a-f])\3\b", r"#\1\2\3", value)
    return re.sub(r"\d+\.\d+", lambda number: f"{float(number[0]):.3g}".removeprefix("0"), whole).replace(", ", ",")


def _shape(d: str, *, x: float = 0.0, y: float = 0.0) -> list[tuple[str, tuple[int, ...]]]:
    """Steps of a path in whole tenths of a point, moved by (x, y), which are tenths too; circles as one step `A`."""
    tokens = _TOKENS.findall(d)
    steps: list[tuple[str, list[float]]] = []
    at = 0
    while at < len(tokens):
        letter = tokens[at].upper()
        count = _COUNTS[letter]
        steps.append((letter, [10 * float(token) for token in tokens[at + 1 : at + 1 + count]]))
        at += 1 + count
    if [letter for letter, _ in steps] == ["M", *"CCCCCCCC", "Z"] and abs(steps[0][1][0]) < 1e-6:
        return [("A", (round(x), round(y), round(abs(steps[0][1][1]))))]
    return [
        (letter, tuple(round(value + (y if place % 2 else x)) for place, value in enumerate(values)))
        for letter, values in steps
    ]


def _merged(marks: Sequence[_Mark]) -> list[_Mark]:
    """Neighbours that are strokes of one style as one path."""
    found: list[_Mark] = []
    for mark in marks:
        last = found[-1] if found else None
        if last is not None and mark.joins and (last.style, last.clip) == (mark.style, mark.clip):
            last.shape = [*last.shape, *mark.shape]
        elif mark.text or mark.shape:
            found.append(mark)
    return found


def _groups(marks: Sequence[_Mark], *, names: Mapping[Style, str], clips: Mapping[str, str]) -> Iterator[str]:
    """Elements; runs with the same class and clip stand in a group that says both once."""
    at = 0
    while at < len(marks):
        first = marks[at]
        end = at + 1
        while end < len(marks) and (marks[end].style, marks[end].clip) == (first.style, first.clip):
            end += 1
        said = f" class='{names[first.style]}'"
        said += f" clip-path='url(#{clips[first.clip]})'" if first.clip else ""
        if end - at == 1:
            yield _element(first, said)
        else:
            yield f"<g{said}>{''.join(_element(mark, '') for mark in marks[at:end])}</g>"
        at = end


def _element(mark: _Mark, said: str) -> str:
    if mark.shape:
        return f"<path{said} d='{_written(mark.shape)}'/>"
    x, y = map(_tenths, mark.at)
    turn = f" transform='rotate({mark.turn} {x} {y})'" if mark.turn else ""
    return f"<text{said} x='{x}' y='{y}'{turn}>{escape(mark.text)}</text>"


def _tenths(value: int) -> str:
    """Tenths of a point as a number of points, without a zero that says nothing: `-.5`, `12`, `3.4`."""
    whole, rest = divmod(abs(value), 10)
    digits = f"{whole or ''}.{rest}" if rest else str(whole)
    return f"-{digits}" if value < 0 else digits


def _written(shape: Sequence[tuple[str, tuple[int, ...]]]) -> str:
    """The steps as the shortest path: relative, horizontal and vertical ones by one number, letters not repeated."""
    parts: list[str] = []
    x = y = start_x = start_y = 0
    before = ""
    for number, (letter, values) in enumerate(shape):
        if letter == "Z":
            parts.append("z")
            x, y, before = start_x, start_y, "z"
            continue
        if letter == "A":
            centre_x, centre_y, radius = values
            reach = _tenths(radius)
            parts.append(f"M{_joined((centre_x, centre_y - radius))}a{reach},{reach},0,1,0,.1,0z")
            x, y, before = centre_x, centre_y - radius, "z"
            continue
        if letter == "M" and [*shape, ("M", ())][number + 1][0] == "M":
            continue  # a move before a move, or at the end, draws nothing
        moves = [value - (y if place % 2 else x) for place, value in enumerate(values)]
        x, y = values[-2], values[-1]
        if letter == "M":
            start_x, start_y = x, y
            named, moves = ("M", list(values)) if not before else ("m", moves)
        elif letter == "L" and not moves[1]:
            named, moves = "h", moves[:1]
        elif letter == "L" and not moves[0]:
            named, moves = "v", moves[1:]
        else:
            named = letter.lower()
        text = _joined(moves)
        repeats = named == before and named != "m"
        parts.append((("" if text.startswith("-") else ",") + text) if repeats else named + text)
        before = named
    return "".join(parts)


def _joined(values: Sequence[int]) -> str:
    text = ""
    for value in values:
        number = _tenths(value)
        text += number if not text or number.startswith("-") else f",{number}"
    return text


__all__ = ["data_uri", "in_address", "minified"]
