import ast
import base64
import csv
import hashlib
import inspect
import io
import re
import zipfile
from collections.abc import Iterator
from html import unescape
from itertools import pairwise
from urllib.parse import unquote
from xml.etree.ElementTree import Element

import pytest
from tinyhtml5.parser import HTMLParser

from tests.report import example_evidence
from tests.report.example_pages import ASKED, CITIES, FORMULA, OF_A_RUN, RESEARCH, SCRIPT, STAFF
from wwc_research.report.language import LANGUAGES, catalogue

CODES = tuple(LANGUAGES)
# a page with all its pictures takes a second or two, so that these are spread over the languages
ONCE = [(name, CODES[at % 3]) for at, name in enumerate((*STAFF, *RESEARCH, *CITIES))]
EVERY = [*ONCE, *((name, code) for name in OF_A_RUN for code in CODES)]
LARGEST = 200_000
UNFINISHED = re.compile(r"\bNone\b(?! of\b)|\b(?:nan|NaN|inf|NaT)\b|\bMessage\(|\{[a-z_]+(?::[^}]*)?\}|\bundefined\b")
# words of English that neither Spanish nor Portuguese has; names of programmes and papers may hold some
ENGLISH = re.compile(r"\b(?:the|of|with|which|were|than|between|their|from|each|would|could)\b")
# sentences that the example evidence makes up; those of real evidence are held by test_translations
MADE_UP = [
    re.compile(re.sub(r"\\\{.*?\\\}", ".+", re.escape(call.args[0].value)))
    for call in ast.walk(ast.parse(inspect.getsource(example_evidence)))
    if isinstance(call, ast.Call) and isinstance(call.func, ast.Name) and call.func.id in ("message", "counted")
    if len(re.sub(r"\{.*?\}", "", call.args[0].value)) > 12  # a bare frame would fit any text
]
NUMBER = re.compile(r"[-+]?[\d.]+(?:e[-+]?\d+)?")
VOID_OF_TEXT = ("style", "script")


class Page:
    """A page as a browser would read it."""

    def __init__(self, text: str) -> None:
        parser = HTMLParser(namespace_html_elements=False)
        self.root = parser.parse(text)
        self.errors = parser.errors
        self.parents = {child: parent for parent in self.root.iter() for child in parent}

    def all(self, *tags: str) -> list[Element]:
        return [one for one in self.root.iter() if one.tag in tags]

    def within(self, element: Element, wanted: str) -> bool:
        return any(one.tag == wanted for one in self.above(element))

    def above(self, element: Element) -> Iterator[Element]:
        while element in self.parents:
            element = self.parents[element]
            yield element

    def texts(self, *, but_english: bool = False) -> list[str]:
        """The pieces of text that are shown, in pictures too, without the code and, if asked, marked English."""
        drawn = [unquote(one.get("src", "")) for one in self.all("img")]
        lettered = [unescape(text) for one in drawn for text in re.findall(r">([^<>]+)</(?:text|tspan)>", one)]
        return [text for text in (*_texts(self.root, but_english=but_english), *lettered) if text.strip()]

    def following(self, element: Element) -> Element | None:
        beside = list(self.parents[element])
        at = beside.index(element) + 1
        return beside[at] if at < len(beside) else None


def _texts(element: Element, *, but_english: bool) -> Iterator[str]:
    is_code = "code" in element.get("class", "").split()
    is_foreign = but_english and element.get("lang") == "en"
    if isinstance(element.tag, str) and element.tag not in VOID_OF_TEXT and not is_code and not is_foreign:
        yield element.text or ""
        for name in ("alt", "aria-label", "data-label", "title"):
            yield element.get(name, "")
        for child in element:
            yield from _texts(child, but_english=but_english)
            yield child.tail or ""


def text_of(element: Element) -> str:
    return "".join(element.itertext()).strip()


@pytest.fixture(scope="session")
def read(pages):
    known: dict[tuple[str, str], Page] = {}

    def one(name: str, code: str) -> Page:
        if (name, code) not in known:
            known[name, code] = Page(pages.html(name, code))
        return known[name, code]

    return one


def faults_of_form(page: Page, code: str) -> Iterator[str]:
    """What is wrong with the HTML itself."""
    yield from (f"parser, line {at[0]}: {what} {more}" for at, what, more in page.errors)
    if page.root.get("lang") != LANGUAGES[code].tag:
        yield f"lang is {page.root.get('lang')}"
    if [len(page.all(tag)) for tag in ("h1", "main", "title", "header", "footer")] != [1, 1, 1, 1, 1]:
        yield "not exactly one h1, main, title, header and footer"
    levels = [int(one.tag[1]) for one in page.all("h1", "h2", "h3", "h4", "h5", "h6")]
    if levels[0] != 1 or any(after > before + 1 for before, after in pairwise(levels)):
        yield f"levels of headings are skipped: {levels}"
    told = page.all("h1", "h2", "h3", "h4", "th", "a", "caption", "summary", "figcaption")
    yield from (f"empty {one.tag}" for one in told if not text_of(one))
    inside = {"ul": {"li"}, "ol": {"li"}, "dl": {"dt", "dd"}, "tr": {"td", "th"}, "tbody": {"tr"}, "thead": {"tr"}}
    for tag, allowed in inside.items():
        found = {child.tag for one in page.all(tag) for child in one}
        if not found <= allowed:
            yield f"{tag} holds {found - allowed}"
    ids = [one.get("id") for one in page.root.iter() if one.get("id") is not None]
    yield from (f"the id {one} is there twice" for one in {one for one in ids if ids.count(one) > 1})
    wanted = [one.get("href", "")[1:] for one in page.all("a") if one.get("href", "").startswith("#")]
    for name in ("aria-labelledby", "aria-describedby", "aria-controls", "for", "headers"):
        wanted += [target for one in page.root.iter() for target in one.get(name, "").split()]
    yield from (f"nothing has the id {one}" for one in set(wanted) - set(ids))


def faults_of_pictures_and_tables(page: Page, *, with_data: bool) -> Iterator[str]:
    """What a reader who sees no picture, or hears a table, would miss."""
    captions = {text_of(one) for one in page.all("figcaption")}
    for image in page.all("img"):
        alt = image.get("alt", "")
        if len(alt) < 20 or alt in captions:
            yield f"alt text: {alt!r}"
    for figure in page.all("figure"):
        beside = page.following(figure)
        has_table = beside is not None and beside.tag != "figure" and beside.find(".//table") is not None
        if with_data and not has_table:
            yield f"no table behind the picture: {text_of(figure)[:60]}"
    for table in page.all("table"):
        caption = table.find("caption")
        if caption is None:
            yield "a table without a caption"
        widths = {sum(int(cell.get("colspan", 1)) for cell in row) for row in table.iter("tr")}
        if len(widths) != 1:
            yield f"rows of {widths} cells{'' if caption is None else f': {text_of(caption)}'}"
    scopes = {one.get("scope") for one in page.all("th")}
    if not scopes <= {"col", "colgroup", "row", "rowgroup"}:
        yield f"scopes of th: {scopes}"
    labels = [one.get("aria-label") for one in page.root.iter() if one.get("role") == "region"]
    yield from (f"two regions are called {one!r}" for one in {one for one in labels if labels.count(one) > 1})


def faults_of_safety(page: Page) -> Iterator[str]:
    """What could fetch or run something."""
    for tag, attribute in (("link", "href"), ("script", "src"), ("iframe", "src"), ("img", "srcset"), ("base", "href")):
        yield from (f"{tag} {attribute}" for one in page.all(tag) if one.get(attribute) is not None)
    handlers = {name for one in page.root.iter() for name in one.attrib if str(name).startswith("on")}
    yield from (f"attribute {name}" for name in handlers)
    styles = [*(text_of(one) for one in page.all("style")), *(one.get("style", "") for one in page.root.iter())]
    yield from re.findall(r"@import[^;]*|url\([^)]*\)", "".join(styles))
    for image in page.all("img"):
        kind, _, source = image.get("src", "").partition(",")
        drawn = unquote(source) if kind == "data:image/svg+xml" else f"{kind} is no picture of ours"
        if not drawn.startswith("<svg"):
            yield drawn[:60]
        yield from re.findall(r"<(?:script|foreignObject|image)|href=\"(?!#)[^\"]*|url\((?!#)[^)]*", drawn)
    policies = [one.get("content", "") for one in page.all("meta") if one.get("http-equiv")]
    rules = dict(rule.strip().partition(" ")[::2] for rule in policies[0].split(";")) if len(policies) == 1 else {}
    scripts = [one.text or "" for one in page.all("script")]
    hashes = [f"'sha256-{base64.b64encode(hashlib.sha256(one.encode()).digest()).decode()}'" for one in scripts]
    expected = {"default-src": "'none'", "base-uri": "'none'", "form-action": "'none'", "img-src": "data:"}
    expected |= {"style-src": "'unsafe-inline'"} | ({"script-src": hashes[0]} if len(hashes) == 1 else {})
    if rules != expected:
        yield f"content policy {policies}"


def unfinished(page: Page) -> list[str]:
    """Pieces of text in which a value is missing or a field was not filled."""
    return [text.strip() for text in page.texts() if UNFINISHED.search(text)]


def unmarked_english(page: Page, code: str) -> list[str]:
    """Pieces of text in English that are not marked as such, on a page in another language."""
    known = catalogue(code).texts
    texts = [text.strip() for text in page.texts(but_english=True)]
    # the last word of the programme's name stands on a line of its own in some pictures
    ours = [one for one in texts if one != "Cities" and not any(made_up.fullmatch(one) for made_up in MADE_UP)]
    return [text for text in ours if known.get(text, text) != text or len(ENGLISH.findall(text)) > 1]


@pytest.mark.parametrize(("name", "code"), EVERY, ids=lambda one: one)
def test_a_page_is_good_html_in_its_language_and_asks_for_nothing(pages, read, name, code):
    page, text = read(name, code), pages.html(name, code)
    faults = [
        *faults_of_form(page, code),
        *faults_of_pictures_and_tables(page, with_data=name not in STAFF),
        *faults_of_safety(page),
        *unfinished(page),
    ]
    assert not faults
    assert len(text.encode()) <= LARGEST
    assert len(page.all("script")) == (name == "index")


@pytest.mark.parametrize(("name", "code"), [one for one in EVERY if one[1] != "en"], ids=lambda one: one)
def test_no_sentence_stays_english_unless_it_is_marked(read, name, code):
    assert unmarked_english(read(name, code), code) == []


def test_the_lints_find_what_they_are_for():
    bad = Page('<!DOCTYPE html><html lang="en"><h1>a</h1><h3>b</h3></div><img src="http://x" alt="x"><table></table>')
    form, seen = " ".join(faults_of_form(bad, "es")), " ".join(faults_of_pictures_and_tables(bad, with_data=True))
    assert "end-tag" in form
    assert "lang is en" in form
    assert "skipped" in form
    assert "alt text: 'x'" in seen
    assert "without a caption" in seen
    assert list(faults_of_safety(bad)) == ["http://x is no picture of ours", "content policy []"]
    missing = Page("<p>None</p><p>{share:.0%}</p><p>nan</p><p>None of it</p>")
    assert unfinished(missing) == ["None", "{share:.0%}", "nan"]
    words = Page("<p>more of the same</p><p lang=en>of the kind</p>")
    assert unmarked_english(words, "es") == ["more of the same"]


@pytest.mark.parametrize("name", ["hostile.staff", "hostile.research", "hostile_city", "cities"])
def test_names_that_are_code_are_shown_and_never_obeyed(pages, read, name):
    code = dict(ONCE).get(name, "en")
    page, text = read(name, code), pages.html(name, code)
    assert not page.all("script")
    assert SCRIPT not in text
    shown = " ".join(page.texts())
    if name != "hostile.staff":  # pages for staff name no city
        assert SCRIPT in shown
    cells = [cell for table in csv_files(page) for row in csv.reader(io.StringIO(table)) for cell in row]
    assert not [cell for cell in cells if cell[:1] in ("=", "+", "-", "@", "\t", "\r") and not NUMBER.fullmatch(cell)]
    if name in ("hostile.research", "hostile_city"):
        assert any(FORMULA in cell for cell in cells)


def csv_files(page):
    """Text of every CSV file that a page holds, behind a link of its own or in the archive."""
    for address in (link.get("href", "") for link in page.all("a")):
        kind, _, content = address.partition(",")
        if kind.startswith("data:text/csv"):
            yield unquote(content)
        elif kind.startswith("data:application/zip"):
            with zipfile.ZipFile(io.BytesIO(base64.b64decode(content))) as archive:
                yield from (archive.read(name).decode() for name in archive.namelist() if name.endswith(".csv"))


def test_the_index_has_a_row_for_every_question_and_says_what_failed(read):
    page = read("index", "en")
    verdicts = [row.get("data-verdict") for row in page.all("tr") if row.get("data-verdict")]
    assert len(verdicts) == len(ASKED)
    assert set(verdicts) == {"improvement", "harm", "no_effect_larger", "cannot_tell", "failed"}
