"""HTML that is escaped by construction: tables with caption and scope, figures with alt text and data.

In: values; messages are said in the language that is spoken. Out: `Block`s that show themselves in JupyterLab and on
the page alike.
"""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, Any, cast

from markupsafe import Markup, escape

from wwc_research.errors import InputError
from wwc_research.messages import Message, message
from wwc_research.report.csv_text import text_cell
from wwc_research.report.language import current, shown
from wwc_research.report.svg import data_uri, in_address, minified

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


@dataclass(frozen=True, slots=True)
class Lined:
    """A cell of a table with two lines: its text, and below it in smaller letters what else is said of it."""

    text: str
    below: str


def block(template: str, **values: object) -> Block:
    """A Block from a template with `{name}` fields; every value is escaped unless it is Markup or a Block."""
    return Block(Markup(template).format(**{name: _safe(value) for name, value in values.items()}))


def _safe(value: object) -> object:
    """The value for a template: blocks and Markup as they are, other text in the reader's language."""
    if isinstance(value, Block):
        return value.html
    if isinstance(value, Lined):
        return Markup('{} <span class="under">{}</span>').format(_safe(value.text), _safe(value.below))
    return shown(value) if isinstance(value, str) and not isinstance(value, Markup) else value


def paragraph(text: str, *, css: str = "") -> Block:
    """One paragraph."""
    return block('<p class="{css}">{text}</p>', css=css, text=text) if css else block("<p>{text}</p>", text=text)


def heading(text: str, *, level: int = 2) -> Block:
    """A heading with an id made of its English text: it can be linked to, and is the same in every language."""
    slug = re.sub(r"[^a-z0-9]+", "-", str(text).lower()).strip("-")
    return block(f'<h{level} id="{{slug}}">{{text}}</h{level}>', slug=slug, text=text)


def bullets(items: Sequence[str]) -> Block:
    """An unordered list."""
    lines = Markup("").join(Markup("<li>{}</li>").format(shown(item)) for item in items)
    return Block(Markup("<ul>{}</ul>").format(lines))


def fold(summary: str, inside: Block) -> Block:
    """A part that is closed until the reader opens it."""
    return block("<details><summary>{summary}</summary>{inside}</details>", summary=summary, inside=inside)


def english(inside: Block) -> Block:
    """A part that exists in English only, marked as such for screen readers on a page in another language."""
    return block('<div lang="en">{inside}</div>', inside=inside)


def in_english(text: str) -> Markup:
    """Words of a publisher or of the programme, which exist in English only, marked as such on other pages."""
    return Markup("{}" if current().code == "en" else '<span lang="en">{}</span>').format(text)


def joined(parts: Sequence[Block]) -> Block:
    """The parts one after another."""
    return Block(Markup("\n").join(part.html for part in parts))


def table(
    rows: Sequence[Mapping[str, Any]],
    *,
    caption: str,
    columns: Mapping[str, str],
    name: str = "",
    download: bool = True,
    group: str = "",
    saved: Sequence[str] = (),
) -> Block:
    """A table with a caption, column headers with scope, the first column as row headers, and its values as CSV.

    Parameters
    ----------
    rows
        Values by column key, text or messages; numbers are set flush right.
    columns
        Header text by column key, in order.
    name
        Of the file that the download link saves, without ending; made of the caption where it is not given.
    download
        Whether there is a link to the values.
    group
        Key of the value by which rows are gathered under a line of their own, in the order in which values first occur.
    saved
        Keys of the values behind the link, where they are others than the columns.

    Notes
    -----
    End tags that HTML lets go (of cells, rows and their groups) are left out, and figures are set by the classes `n2`,
    `n3`, ... of the table, which name columns: both were a third of the bytes of long tables.
    """
    keys = list(columns)
    head = Markup("").join(Markup('<th scope="col">{}').format(shown(columns[key])) for key in keys)
    bodies = []
    for title in dict.fromkeys(row[group] for row in rows) if group else ("",):
        lines = [_line(row, keys) for row in rows if not group or row[group] == title]
        over = Markup('<tr><th scope="rowgroup" colspan="{}">{}').format(len(keys), _safe(title))
        bodies.append(Markup("<tbody>{}{}").format(over if group else "", Markup("").join(lines)))
    return Block(
        Markup(
            '<div class="scroll" role="region" aria-label="{label}" tabindex="0"><table{classes}>'
            "<caption>{caption}</caption><thead><tr>{head}{body}</table></div>{link}"
        ).format(
            label=shown(message("Table: {caption}", caption=caption)),
            classes=columns_of_figures([_is_numeric(rows, key) for key in keys]),
            caption=shown(caption),
            head=head,
            body=Markup("").join(bodies),
            link=_download(rows, keys=saved or keys, name=name or file_name(caption))
            if download and rows
            else Markup(""),
        )
    )


def _line(row: Mapping[str, Any], keys: Sequence[str]) -> Markup:
    cells = Markup("").join(Markup("<td>{}").format(_safe(row[key])) for key in keys[1:])
    return Markup('<tr><th scope="row">{}{}').format(_safe(row[keys[0]]), cells)


def columns_of_figures(is_figure: Sequence[bool]) -> Markup:
    """The class attribute of a table that sets columns flush right: `n2` for the second, and so on.

    A column of text beside one of figures has a gap before it: `g3`. The style sheet knows
    columns 2 to 13.
    """
    names = [f"n{at}" for at, here in enumerate(is_figure, start=1) if here]
    names += [f"g{at}" for at, pair in enumerate(pairwise(is_figure), start=2) if pair == (True, False)]
    return Markup(' class="{}"').format(" ".join(names)) if names else Markup("")


def file_name(caption: str) -> str:
    """A name for a file, of small letters and digits, made of an English text."""
    return re.sub(r"[^a-z0-9]+", "_", str(caption).lower()).strip("_")[:60]


def _download(rows: Sequence[Mapping[str, Any]], *, keys: Sequence[str], name: str) -> Markup:
    """A link that holds the rows as CSV and saves them; nothing is fetched from anywhere."""
    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator="\n")
    are_intervals = {key: _are_intervals(rows, key) for key in keys}
    ends = {key: [f"{key}_low", f"{key}_high"] if are_intervals[key] else [key] for key in keys}
    writer.writerow(column for key in keys for column in ends[key])
    for row in rows:
        cells = [_ends(row[key]) if are_intervals[key] else [_plain_cell(row[key])] for key in keys]
        writer.writerow(cell for several in cells for cell in several)
    return Markup('<p class="download"><a download="{}.csv" href="data:text/csv;charset=utf-8,{}">{}</a></p>').format(
        name, Markup(in_address(buffer.getvalue())), shown(message("Download as CSV"))
    )


def _is_interval(value: Any) -> bool:
    return isinstance(value, Message) and value.values.keys() == {"low", "high"}


def _are_intervals(rows: Sequence[Mapping[str, Any]], key: str) -> bool:
    """Whether a column holds intervals and, where there are none, dashes."""
    cells = [row[key] for row in rows]
    return any(map(_is_interval, cells)) and all(_is_interval(cell) or cell == _UNDEFINED for cell in cells)


def _ends(value: Any) -> list[Any]:
    """Both ends of an interval as numbers for a program."""
    if not _is_interval(value):
        return ["", ""]
    return [_end(value.values[end]) for end in ("low", "high")]


def _end(value: Any) -> Any:
    """One end of an interval: a number as it is, that behind a formatted one, or that of an effect with its unit."""
    if isinstance(value, Message) and value.values.keys() == {"value", "unit"}:
        value = value.values["value"]
    return f"{value:.6g}" if isinstance(value, float) else _plain_cell(value)


_UNDEFINED = "–"


def _plain_cell(value: Any) -> Any:
    """A cell for a program: the number behind a formatted one, English text elsewhere, never a formula."""
    if isinstance(value, str) and value == _UNDEFINED:
        return ""
    if isinstance(value, Message) and value.template.startswith("{value:") and value.template.count("{") == 1:
        number = value.values["value"]
        return number if isinstance(number, int) else f"{number:.6g}"
    if isinstance(value, Markup | Block):
        value = text_only(value.html if isinstance(value, Block) else value)
    if isinstance(value, Lined):
        value = f"{value.text} ({value.below})"
    return text_cell(value) if isinstance(value, str) else value


def _is_numeric(rows: Sequence[Mapping[str, Any]], key: str) -> bool:
    """Whether a column holds numbers (or intervals) only, the first column aside."""
    if not rows or key == next(iter(rows[0])):
        return False
    return all(re.fullmatch(r"[-+\u2212<–\d.,\s%]*(?: to [-+\u2212–\d.,%]+)?", str(row[key])) for row in rows)


def figure(axes: Axes, *, alt: str, caption: str, data: Block | None = None) -> Block:
    """The figure of `axes` as an inline SVG image with alt text, a caption, and its data in a folded table.

    Raises
    ------
    InputError
        Where the alt text is too short to state a finding or merely repeats the caption.
    """
    if len(alt) < 20 or alt == caption:
        raise InputError(f"the alt text of a figure must say what it shows; got {alt!r}")
    # the address is escaped already, and escaping it again would make it longer
    image = Markup('<img src="{}" alt="{}">').format(Markup(data_uri(_svg(axes))), shown(alt))
    # on a phone the picture keeps its size and is scrolled sideways: shrunk to the screen its text could not be read
    picture = Markup('<div class="picture" role="region" aria-label="{}" tabindex="0">{}</div>').format(
        shown(message("Picture: {caption}", caption=shown(caption)[:60])), image
    )
    drawn = Block(Markup("<figure>{}<figcaption>{}</figcaption></figure>").format(picture, shown(caption)))
    return drawn + fold(message("The figures behind this picture"), data) if data else drawn


def _svg(axes: Axes) -> str:
    """The figure of `axes` as SVG, byte for byte the same for the same figure, and closed afterwards."""
    import matplotlib as mpl
    from matplotlib import pyplot as plt

    drawing = cast("Figure", axes.figure)
    buffer = io.BytesIO()
    with mpl.rc_context({"svg.hashsalt": "wwc-research", "svg.fonttype": "none", "font.sans-serif": _FAMILIES}):
        drawing.savefig(buffer, format="svg", metadata={"Date": None})
    plt.close(drawing)
    return minified(buffer.getvalue().decode())


# the first is what the widths were measured with; the others stand in for it where it is not installed
_FAMILIES = ["DejaVu Sans", "Verdana", "Arial"]


def text_only(html: str) -> str:
    """Text of an HTML fragment, for tests and plain e-mails."""
    return str(Markup(html).striptags())


__all__ = [
    "Block",
    "Lined",
    "block",
    "bullets",
    "columns_of_figures",
    "english",
    "escape",
    "figure",
    "fold",
    "heading",
    "in_english",
    "joined",
    "paragraph",
    "table",
    "text_only",
]
