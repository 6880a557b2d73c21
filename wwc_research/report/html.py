"""HTML that is escaped by construction: tables with caption and scope, figures with alt text and data.

In: values. Out: `Block`s that show themselves in JupyterLab and on the page alike.
"""

from __future__ import annotations

import base64
import io
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, cast

from markupsafe import Markup, escape

from wwc_research.errors import InputError

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


@dataclass(frozen=True, slots=True)
class Block:
    """A piece of safe HTML."""

    html: Markup

    def _repr_html_(self) -> str:
        return str(self.html)

    def __add__(self, other: Block) -> Block:
        return Block(self.html + Markup("\n") + other.html)


def block(template: str, **values: object) -> Block:
    """A Block from a template with `{name}` fields; every value is escaped unless it is Markup or a Block."""
    safe = {name: value.html if isinstance(value, Block) else value for name, value in values.items()}
    return Block(Markup(template).format(**safe))


def paragraph(text: str, *, css: str = "") -> Block:
    """One paragraph."""
    return block('<p class="{css}">{text}</p>', css=css, text=text) if css else block("<p>{text}</p>", text=text)


def heading(text: str, *, level: int = 2) -> Block:
    """A heading with an id made of its text, so that it can be linked to."""
    slug = re.sub(r"[^a-z0-9]+", "-", text.lower()).strip("-")
    return block(f'<h{level} id="{{slug}}">{{text}}</h{level}>', slug=slug, text=text)


def bullets(items: Sequence[str]) -> Block:
    """An unordered list."""
    return Block(Markup("<ul>{}</ul>").format(Markup("").join(Markup("<li>{}</li>").format(i) for i in items)))


def fold(summary: str, inside: Block) -> Block:
    """A part that is closed until the reader opens it."""
    return block("<details><summary>{summary}</summary>{inside}</details>", summary=summary, inside=inside)


def joined(parts: Sequence[Block]) -> Block:
    """The parts one after another."""
    return Block(Markup("\n").join(part.html for part in parts))


def table(rows: Sequence[Mapping[str, Any]], *, caption: str, columns: Mapping[str, str]) -> Block:
    """A table with a caption, column headers with scope, and the first column as row headers.

    Parameters
    ----------
    rows
        Already formatted values by column key; numbers are set flush right.
    columns
        Header text by column key, in order.
    """
    keys = list(columns)
    right = {key: Markup(' class="number"') if _is_numeric(rows, key) else Markup("") for key in keys}
    head = Markup("").join(Markup('<th scope="col"{}>{}</th>').format(right[key], columns[key]) for key in keys)
    body = []
    for row in rows:
        cells = [Markup('<th scope="row">{}</th>').format(row[keys[0]])]
        cells += [Markup("<td{}>{}</td>").format(right[key], row[key]) for key in keys[1:]]
        body.append(Markup("<tr>{}</tr>").format(Markup("").join(cells)))
    return Block(
        Markup(
            '<div class="scroll" role="region" aria-label="{label}" tabindex="0"><table><caption>{caption}</caption>'
            "<thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>"
        ).format(label=f"Table: {caption}", caption=caption, head=head, body=Markup("").join(body))
    )


def _is_numeric(rows: Sequence[Mapping[str, Any]], key: str) -> bool:
    """Whether a column holds numbers (or intervals) only, the first column aside."""
    if not rows or key == next(iter(rows[0])):
        return False
    return all(re.fullmatch(r"[+\u2212<–\d.,\s]*(?: to [+\u2212–\d.,]+)?", str(row[key])) for row in rows)


def figure(axes: Axes, *, alt: str, caption: str, data: Block | None = None) -> Block:
    """The figure of `axes` as an inline SVG image with alt text, a caption, and its data in a folded table.

    Raises
    ------
    InputError
        Where the alt text is too short to state a finding or merely repeats the caption.
    """
    if len(alt) < 20 or alt == caption:
        raise InputError(f"the alt text of a figure must say what it shows; got {alt!r}")
    encoded = base64.b64encode(_svg(axes)).decode()
    image = Markup('<img src="data:image/svg+xml;base64,{}" alt="{}">').format(encoded, alt)
    # on a phone the picture keeps its size and is scrolled sideways: shrunk to the screen its text could not be read
    picture = Markup('<div class="picture" role="region" aria-label="{}" tabindex="0">{}</div>').format(
        f"Picture: {caption[:60]}", image
    )
    shown = Markup("<figure>{}<figcaption>{}</figcaption></figure>").format(picture, caption)
    return Block(shown) + fold("The figures behind this picture", data) if data else Block(shown)


def _svg(axes: Axes) -> bytes:
    """The figure of `axes` as SVG, byte for byte the same for the same figure, and closed afterwards."""
    import matplotlib as mpl
    from matplotlib import pyplot as plt

    drawing = cast("Figure", axes.figure)
    buffer = io.BytesIO()
    with mpl.rc_context(
        {"svg.hashsalt": "wwc-research", "svg.fonttype": "none", "font.sans-serif": ["DejaVu Sans", "Arial"]}
    ):
        drawing.savefig(buffer, format="svg", metadata={"Date": None})
    plt.close(drawing)
    return _SHAPES.sub(_shortened, buffer.getvalue().decode()).encode()


_SHAPES = re.compile(r' (d|x|y|transform|points)="([^"]*)"')


def _shortened(attribute: re.Match[str]) -> str:
    """A shape's attribute with coordinates to a hundredth of a point and single spaces."""
    name, value = attribute.groups()
    numbers = re.sub(r"\d+\.\d{3,}", lambda number: f"{float(number[0]):.2f}", value)
    return f' {name}="{" ".join(numbers.split())}"'


def text_only(html: str) -> str:
    """Text of an HTML fragment, for tests and plain e-mails."""
    return str(Markup(html).striptags())


__all__ = [
    "Block",
    "block",
    "bullets",
    "escape",
    "figure",
    "fold",
    "heading",
    "joined",
    "paragraph",
    "table",
    "text_only",
]
