"""Method cards as HTML: their paragraphs and marks, and their formulas as MathML, which needs no script.

In: the docstring of an estimator. Out: a Block. Everything is escaped by construction.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from functools import lru_cache
from types import ModuleType
from typing import Final
from xml.etree import ElementTree

from markupsafe import Markup, escape

from wwc_research.messages import message
from wwc_research.report import html
from wwc_research.report.html import Block

ESTIMATORS: Final = {
    "imputation": message("Imputation"),
    "callaway_santanna": message("Callaway and Sant'Anna"),
    "two_way_fe": message("Two-way fixed effects"),
    "event_study": message("Event study"),
    "random_trends": message("A trend for each unit"),
    "panel_matching": message("Matched on the years before"),
    "synthetic_did": message("Synthetic difference-in-differences"),
    "synthetic_control": message("Synthetic control"),
    "matched_difference": message("Difference of matched pairs"),
    "dose_response": message("Dose response"),
    "extended_twfe": message("Extended two-way fixed effects"),
    "goodman_bacon": message("Goodman-Bacon decomposition"),
    "long_difference": message("Long difference"),
    "poisson_fe": message("Poisson with fixed effects"),
    "stacked": message("Stacked regression"),
    "sun_abraham": message("Sun and Abraham"),
    "switching": message("Exposure that switches on and off"),
    "two_stage": message("Two stages"),
}

_MARKS: Final = re.compile(
    r"\$(?P<tex>[^$]+)\$|\*\*(?P<b>.+?)\*\*|`(?P<code>[^`]+)`|\*(?P<em>[^*\s](?:[^*]*[^*\s])?)\*", re.DOTALL
)
# the elements of a formula, and how many parts each has; any number where it is None
_PARTS: dict[str, int | None] = {"mi": 0, "mn": 0, "mo": 0, "mtext": 0, "mspace": 0, "mrow": None, "msqrt": None}
_PARTS |= {"msub": 2, "msup": 2, "mover": 2, "munder": 2, "mfrac": 2, "mroot": 2, "msubsup": 3, "munderover": 3}
# what a browser needs of MathML; its own dictionary of operators gives the rest
_KEPT: Final = (("accent", "true"), ("mathvariant", "normal"))
_LONG: Final = 12  # signs after which a piece may end
_BREAKS: Final = frozenset("=+-\N{MINUS SIGN}\N{ELEMENT OF}<>")
_WORD: Final = re.compile(r"[A-Z]{3,}|[A-Za-z]{4,}")


def method_card(name: str, text: str) -> Block:
    """The card of an estimator, folded under its title; the card itself is in English and marked so.

    Parameters
    ----------
    name
        The estimator's key; one without a title here, of somebody's own, is shown as it is.
    text
        Paragraphs parted by empty lines, lists of lines that begin with `- `, `**bold**`, `*emphasis*`, code between
        backticks and TeX between dollar signs.
    """
    parts = re.split(r"\n\s*\n", text.strip())
    return html.fold(ESTIMATORS.get(name, name), html.english(Block(Markup("").join(map(_paragraph, parts)))))


def _paragraph(text: str) -> Markup:
    """A paragraph, or a list where every item begins with a hyphen."""
    if text.lstrip().startswith("- "):
        items = re.split(r"(?:^|\n)\s*- ", text)[1:]
        return Markup("<ul>{}</ul>").format(
            Markup("").join(Markup("<li>{}</li>").format(_marked(one)) for one in items)
        )
    return Markup("<p>{}</p>").format(_marked(text))


def _marked(text: str) -> Markup:
    """Text with its marks as elements; lines are joined."""
    parts, at = [], 0
    for found in _MARKS.finditer(text):
        parts += [_plain(text[at : found.start()]), _element(str(found.lastgroup), found[str(found.lastgroup)])]
        at = found.end()
    return Markup("").join([*parts, _plain(text[at:])])


def _plain(text: str) -> Markup:
    # a quote is no danger in text, and would be five bytes where it is escaped
    return Markup(str(escape(text.replace("\n", " "))).replace("&#39;", "'").replace("&#34;", '"'))


def _element(kind: str, text: str) -> Markup:
    if kind == "tex":
        return formula(text)
    return Markup(f"<{kind}>{{}}</{kind}>").format(_plain(text) if kind == "code" else _marked(text))


@lru_cache(maxsize=1024)
def formula(tex: str) -> Markup:
    """TeX as MathML, lean enough for many pages; as code where it cannot be converted.

    A single Latin letter or a number needs no MathML: it is set as text, in italics where it is a letter.
    """
    from latex2mathml import converter, exceptions  # 50 ms, which only pages with cards should pay

    tex = " ".join(tex.split())
    if re.fullmatch(r"[A-Za-z]", tex):
        return Markup("<i>{}</i>").format(tex)
    if re.fullmatch(r"-?\d+", tex):
        return Markup(escape(tex.replace("-", "\N{MINUS SIGN}")))
    refused: tuple[type[Exception], ...] = (ElementTree.ParseError, KeyError, IndexError, ValueError)
    refused += tuple(_refusals(exceptions))
    try:
        root = ElementTree.fromstring(converter.convert(tex))
        pieces = [Markup("<math>{}</math>").format(_children(piece)) for piece in _pieces(_top(root))]
        return Markup("<wbr>").join(pieces)
    except refused:
        return Markup("<code>{}</code>").format(tex)


def _refusals(module: ModuleType) -> list[type[Exception]]:
    """What the converter raises; its exceptions have no common class of their own."""
    return [one for one in vars(module).values() if isinstance(one, type) and issubclass(one, Exception)]


def _top(root: ElementTree.Element) -> ElementTree.Element:
    """The row that holds the whole formula; `math` is a row itself."""
    return root[0] if len(root) == 1 and _tag(root[0]) == "mrow" else root


def _pieces(row: ElementTree.Element) -> list[list[ElementTree.Element]]:
    """A long formula in pieces between which a line may break: browsers break none, and a phone would cut it."""
    pieces: list[list[ElementTree.Element]] = [[]]
    size = 0
    for child in row:
        if size >= _LONG and child.text in _BREAKS:
            pieces.append([])
            size = 0
        pieces[-1].append(child)
        size += sum(1 for one in child.iter() if len(one) == 0)
    return pieces


def _tag(element: ElementTree.Element) -> str:
    return element.tag.rpartition("}")[2]


def _children(element: Iterable[ElementTree.Element]) -> Markup:
    """What a row holds; letters one after another that make a word are one name, set upright as MathML sets names."""
    parts = []
    letters = ""
    for child in [*element, None]:
        if child is not None and _is_letter(child):
            letters += child.text or ""
            continue
        names = [letters] if _WORD.fullmatch(letters) else letters
        parts += [Markup("<mi>{}</mi>").format(name) for name in names]
        letters = ""
        if child is not None:
            parts.append(_mathml(child))
    return Markup("").join(parts)


def _is_letter(element: ElementTree.Element) -> bool:
    return _tag(element) == "mi" and not element.attrib and bool(re.fullmatch("[A-Za-z]", element.text or ""))


def _mathml(element: ElementTree.Element) -> Markup:
    """An element and all within it; a row around a single one is left out.

    Raises
    ------
    ValueError
        For an element that is none of the known ones or lacks a part, or a command that was not understood.
    """
    tag = _tag(element)
    parts = _PARTS.get(tag, -1)
    if parts not in (None, len(element)) or "\\" in (element.text or ""):
        raise ValueError(f"<{tag}>{element.text} is no element of a formula")
    if tag == "mspace":
        return Markup('<mspace width="{}"></mspace>').format(element.get("width", "0"))
    inside = _children(element) if tag == "mrow" else Markup("").join(map(_mathml, element))
    if tag == "mrow" and len(re.findall("<m", inside)) == 1:
        return inside
    kept = Markup("").join(Markup(' {}="{}"').format(*pair) for pair in _KEPT if pair in element.attrib.items())
    return Markup(f"<{tag}{{}}>{{}}{{}}</{tag}>").format(kept, (element.text or "").strip(), inside)


__all__ = ["ESTIMATORS", "formula", "method_card"]
