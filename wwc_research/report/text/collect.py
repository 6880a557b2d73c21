"""Every text that a page can show is collected, and the catalogues of all languages are brought up to date.

In: the package's code, templates and catalog entries. Out: <language>.po, translations kept, new texts empty.
Run it as `python -m wwc_research.report.text.collect` after a text has changed.
"""

from __future__ import annotations

import io
import re
from collections.abc import Iterator
from importlib import resources
from pathlib import Path
from typing import Any, Final

from babel.messages.catalog import Catalog
from babel.messages.extract import extract
from babel.messages.pofile import read_po, write_po

from wwc_research import __version__, catalog
from wwc_research.atomic import write_text
from wwc_research.catalog.editions import editions
from wwc_research.catalog.peers import peers_rule
from wwc_research.panel.demonstrations import measures_of
from wwc_research.report.city_sections import UNITS
from wwc_research.report.language import LANGUAGES

KEYWORDS: Final = {"message": (1,), "counted": (1, 2), "say": (1,)}
# what of the catalog is said on a page; names of publishers and series stay as they are
FIELDS: Final = {
    "outcomes": (
        "title", "better", "topic", "noun", "unit", "natural_unit", "city_thing", "city_base", "description",
        "coverage", "traps", "gaps", "breaks",
    ),
    "treatments": ("title", "noun", "exposed", "exposed_city", "unexposed", "description", "caveats"),
    "covariates": ("title",),
}  # fmt: skip
AUTHORS: Final = "The wwc-research authors"
HEADER: Final = "# Texts of the pages of wwc-research. Kept by python -m wwc_research.report.text.collect\n"
Text = str | tuple[str, str]


def collected() -> dict[Text, set[str]]:
    """The files that each text stands in; a text with a plural is a pair."""
    found: dict[Text, set[str]] = {}
    for file, text in (*_written(), *_declared(), *_words_of_peers(), *_editions(), *_columns()):
        found.setdefault(text, set()).add(file)
    return found


def _written() -> Iterator[tuple[str, Text]]:
    base = Path(str(resources.files("wwc_research")))
    for path in sorted(base.rglob("*")):
        kind = {".py": "python", ".j2": "jinja2.ext:babel_extract"}.get(path.suffix)
        if kind is None:
            continue
        with path.open("rb") as source:
            for _, text, _, _ in extract(kind, source, keywords=KEYWORDS, options={"silent": "false"}):
                # a call with a variable has no text; fields alone have no words
                if text and (isinstance(text, str) or all(text)) and _has_words(text):
                    yield path.relative_to(base).as_posix(), text if isinstance(text, str) else (text[0], text[1])


def _has_words(text: str | tuple[str, ...]) -> bool:
    """Whether there is a letter outside of the fields in braces."""
    return re.search(r"[^\W\d_]", re.sub(r"{[^}]*}", "", "".join(text))) is not None


def _declared() -> Iterator[tuple[str, str]]:
    for kind, fields in FIELDS.items():
        for entry in getattr(catalog, kind)().values():
            for name in fields:
                for text in _texts(getattr(entry, name)):
                    yield f"catalog/{kind}.toml", text


def _words_of_peers() -> Iterator[tuple[str, str]]:
    for words in peers_rule().words.values():
        for text in (words.head, words.noun, words.more, words.less):
            yield "catalog/peers.toml", text


def _editions() -> Iterator[tuple[str, str]]:
    """How editions are called and dated; their practices and criteria are the programme's own words."""
    for name, entry in editions().items():
        for text in (entry.title, entry.years):
            yield f"catalog/standards/{name}.toml", text


def _columns() -> Iterator[tuple[str, str]]:
    """Titles of the columns that analyses use, with the units of outcomes and placebo outcomes, as declared."""
    known = catalog.variables()
    measures = [measure for outcome in catalog.outcomes() for measure in measures_of(outcome)]
    placebos = [column for analysis in catalog.plan().analyses.values() for column in analysis.placebo_outcomes]
    for column in (column for covariate in catalog.covariates().values() for column in covariate.variables):
        yield "catalog/variables.toml", known[column].title
    for measure in (*measures, *placebos):
        if measure in known:
            yield "catalog/variables.toml", known[measure].title
            if known[measure].unit not in UNITS:
                yield "catalog/variables.toml", known[measure].unit


def _texts(value: Any) -> Iterator[str]:
    texts = value.values() if isinstance(value, dict) else value if isinstance(value, tuple) else (value,)
    yield from (text for text in texts if text)


def updated(language: str, *, old: bytes) -> str:
    """The catalogue of a language with all texts collected: known translations stay, texts no longer used go."""
    locale = LANGUAGES[language].locale
    known = read_po(io.BytesIO(old), locale=locale) if old else Catalog(locale=locale)
    fresh = Catalog(
        locale=locale,
        fuzzy=False,
        header_comment=HEADER.strip(),
        project="wwc-research",
        version=__version__,
        last_translator=AUTHORS,
        language_team=AUTHORS,
        msgid_bugs_address="the issues of the project",
        copyright_holder=AUTHORS,
    )
    fresh.creation_date = fresh.revision_date = known.creation_date
    for text, files in sorted(collected().items(), key=lambda item: (sorted(item[1])[0], str(item[0]))):
        entry = known.get(text)
        # a text that has got a plural, or lost it, is another text
        string = entry.string if entry and isinstance(entry.id, str) == isinstance(text, str) else ""
        fresh.add(text, string, locations=[(file, 0) for file in sorted(files)])
    buffer = io.BytesIO()
    write_po(buffer, fresh, width=120, include_lineno=False, omit_header=False)
    return buffer.getvalue().decode()


def main() -> None:
    """Bring the catalogue of every language but English up to date, in place."""
    folder = Path(str(resources.files(__package__)))
    for language in LANGUAGES:
        if language != "en":
            path = folder / f"{language}.po"
            write_text(path, updated(language, old=path.read_bytes() if path.exists() else b""))


if __name__ == "__main__":
    main()
