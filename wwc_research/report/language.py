"""Messages in the reader's language: sentences, numbers, plural forms, lists and dates, by gettext catalogues.

In: a `Message` or text. Out: text in the language that is spoken at the moment, English unless something else was set.
"""

from __future__ import annotations

import datetime
import gettext
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from functools import cache
from importlib import resources
from typing import Any, Final

from wwc_research.errors import InputError, listed
from wwc_research.messages import MINUS, Filling, Message


@dataclass(frozen=True, slots=True, kw_only=True)
class Language:
    """One language of the pages: `code` on the command line, `locale` for Babel, `tag` in HTML, `name` in itself."""

    code: str
    locale: str
    tag: str
    name: str


LANGUAGES: Final = {
    "en": Language(code="en", locale="en_US", tag="en", name="English"),
    "es": Language(code="es", locale="es_419", tag="es-419", name="Español"),
    "pt": Language(code="pt", locale="pt_BR", tag="pt-BR", name="Português"),
}
_SPOKEN: ContextVar[str] = ContextVar("language", default="en")


def current() -> Language:
    """The language that is spoken at the moment."""
    return LANGUAGES[_SPOKEN.get()]


def speak(code: str) -> None:
    """Speak the language `code` from now on.

    Raises
    ------
    InputError
        For a language there are no texts in.
    """
    if code not in LANGUAGES:
        raise InputError(f"there is no language {code!r}; use {listed(LANGUAGES)}")
    _SPOKEN.set(code)


@contextmanager
def speaking(code: str) -> Iterator[Language]:
    """Speak the language `code` inside the block."""
    before = _SPOKEN.get()
    speak(code)
    try:
        yield current()
    finally:
        _SPOKEN.set(before)


@dataclass(frozen=True, slots=True, kw_only=True)
class Catalogue:
    """Translations by English template; `plural_index` tells which plural form a number takes."""

    texts: dict[str, str | tuple[str, ...]]
    plural_index: Callable[[int], int]


def text_of(code: str) -> bytes:
    """The catalogue file of a language, as it ships."""
    return resources.files(__package__).joinpath("text", f"{code}.po").read_bytes()


@cache
def catalogue(code: str) -> Catalogue:
    """The translations of a language; empty for English, which the templates are written in."""
    if code == "en":
        return Catalogue(texts={}, plural_index=lambda n: int(n != 1))
    import io

    from babel.messages.pofile import read_po

    found = read_po(io.BytesIO(text_of(code)), locale=LANGUAGES[code].locale)
    texts: dict[str, str | tuple[str, ...]] = {}
    for entry in found:
        if not entry.id or entry.fuzzy:
            continue
        forms = (entry.string,) if isinstance(entry.string, str) else tuple(entry.string or ())
        if forms and all(forms):
            # a text with a plural is known by its singular
            texts[entry.id if isinstance(entry.id, str) else entry.id[0]] = forms[0] if len(forms) == 1 else forms
    return Catalogue(texts=texts, plural_index=gettext.c2py(found.plural_expr))


class _Spoken(Filling):
    """Templates filled in the language that is spoken."""

    def text(self, value: Message) -> str:
        return shown(value)

    def word(self, value: str) -> str:
        return shown(value)

    def listed(self, items: Any) -> str:
        language = current()
        if language.code == "en" or len(items) < 2:
            return super().listed(items)
        from babel.lists import format_list

        return format_list(items, style="standard", locale=language.locale)

    def number(self, text: str) -> str:
        return localised(text)


_SPEAKER: Final = _Spoken()


@cache
def _symbols(code: str) -> tuple[str, str, str]:
    """Decimal sign, sign between thousands, and what stands before a percent sign."""
    if code == "en":
        return ".", ",", ""
    from babel import Locale

    locale = Locale.parse(LANGUAGES[code].locale)
    symbols = locale.number_symbols["latn"]
    return symbols["decimal"], symbols["group"], "\N{NO-BREAK SPACE}" if "\xa0" in _percent(locale) else ""


def _percent(locale: Any) -> str:
    return str(locale.percent_formats[None].pattern)


def localised(number: str) -> str:
    """A number written the English way (`-1,234.5`), as the language writes it, with a true minus sign."""
    decimal, group, before_percent = _symbols(_SPOKEN.get())
    text = number.replace("-", MINUS) if number[:1] in "-+" else number
    if (decimal, group) != (".", ","):
        text = text.translate(str.maketrans(".,", decimal + group))
    return text.replace("%", f"{before_percent}%") if before_percent else text


def shown(text: str) -> str:
    """The text in the language that is spoken.

    A `Message` is translated by its template and filled with its values; other text is looked up as it is, so that
    titles and descriptions of the catalog are translated and names remain what they are. What has no translation
    stays English; a test of the catalogues sees to it that nothing of ours does.
    """
    found = catalogue(_SPOKEN.get())
    if not isinstance(text, Message):
        known = found.texts.get(text, text) if text else text
        return known if isinstance(known, str) else known[0]
    template = found.texts.get(text.template)
    if template is None:
        one = text.template if not text.plural or text.values["n"] == 1 else text.plural
    else:
        # evidence of an earlier version may hold a text that has got its plural since
        one = template if isinstance(template, str) else template[found.plural_index(int(text.values.get("n", 1)))]
    return _SPEAKER.vformat(one, (), text.values) if text.values or "{" in one else one


def date(day: datetime.date) -> str:
    """The day in words: `November 22, 2026`."""
    from babel.dates import format_date

    return str(format_date(day, format="long", locale=current().locale))


__all__ = [
    "LANGUAGES",
    "Catalogue",
    "Language",
    "catalogue",
    "current",
    "date",
    "localised",
    "shown",
    "speak",
    "speaking",
    "text_of",
]
