"""A sentence and its values kept apart, so that a page can say it in another language.

In: a template with named fields, and values. Out: a `Message`: its English text, which remembers what it was made of.
"""

from __future__ import annotations

import math
import string
from collections.abc import Mapping, Sequence
from typing import Any, Final, Self

_KEYS: Final = frozenset({"message", "values", "plural"})
MINUS: Final = "\N{MINUS SIGN}"


class Filling(string.Formatter):
    """Templates filled with values in English; other languages say otherwise how a value is shown.

    A field is formatted as `str.format` does, and a sequence by one of three words in place of a specification:
    `{names:list}` is "a, b and c", `{parts:sentences}` sets a space between them, `{parts:semicolons}` a semicolon.
    A number that is not finite is shown as it is, whatever the specification.
    """

    def text(self, value: Message) -> str:
        """What a message is in this language."""
        return str(value)

    def listed(self, items: Sequence[str]) -> str:
        """The items as a list in a sentence."""
        return items[0] if len(items) == 1 else f"{', '.join(items[:-1])} and {items[-1]}" if items else "none"

    def number(self, text: str) -> str:
        """A number that was formatted the English way, as it is written in this language."""
        return text

    def format_field(self, value: Any, format_spec: str) -> str:
        """One value as text."""
        if isinstance(value, Message):
            return format(self.text(value), format_spec)
        if isinstance(value, str):
            return self.word(value)
        if isinstance(value, list | tuple):
            items = [self.format_field(item, "") for item in value]
            if format_spec == "list":
                return self.listed(items)
            return {"sentences": " ", "semicolons": "; "}[format_spec].join(items)
        if value is None:
            return "–"
        return self.number(format(value, format_spec))

    def word(self, value: str) -> str:
        """A value that is text: a name, or a word of the catalog."""
        return value


ENGLISH: Final = Filling()


class Message(str):
    """Text in English, with the template and the values that it was made of.

    It is a plain string to everything that does not ask: it compares, prints and sorts as its English text. An
    operation on it (`+`, `.replace`, an f-string around it) gives a plain string that can no longer be translated.

    Attributes
    ----------
    template
        English text with named fields in braces; the key of its translations.
    plural
        The same for another number than one, chosen by the value `n`; empty where there is no plural.
    values
        By field name: text, numbers, other messages, or sequences of these.
    """

    __slots__ = ("plural", "template", "values")
    template: str
    plural: str
    values: Mapping[str, Any]

    def __new__(cls, template: str, values: Mapping[str, Any] | None = None, plural: str = "") -> Self:
        """The message; NumPy numbers among the values become Python's."""
        plain = {name: _plain(value) for name, value in (values or {}).items()}
        chosen = plural if plural and plain["n"] != 1 else template
        made = super().__new__(cls, ENGLISH.vformat(chosen, (), plain) if plain or "{" in chosen else chosen)
        made.template, made.plural, made.values = template, plural, plain
        return made

    def __reduce__(self) -> tuple[Any, ...]:
        """Copies and pickles keep template and values."""
        return (type(self), (self.template, dict(self.values), self.plural))


def message(template: str, /, **values: Any) -> Message:
    """A message from an English template: `message("{share:.0%} of {n_units} cities", share=0.2, n_units=40)`.

    The template is written out where it is called, so that it can be collected for translation.
    """
    return Message(template, values)


def counted(singular: str, plural: str, /, *, n: int, **values: Any) -> Message:
    """A message about a number of things: `counted("{n} city", "{n} cities", n=3)`."""
    return Message(singular, {"n": n, **values}, plural)


def _plain(value: Any) -> Any:
    if isinstance(value, str):
        return value
    if isinstance(value, list | tuple):
        return tuple(_plain(item) for item in value)
    if hasattr(value, "item"):
        value = value.item()
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    return value


def said(error: BaseException) -> str:
    """What an error says: the message that it was raised with, if there was one, else its text."""
    first = error.args[0] if len(error.args) == 1 else None
    return first if isinstance(first, Message) else str(error)


def encoded(value: Any) -> Any:
    """The value with every message as plain values for JSON, at any depth."""
    if isinstance(value, Message):
        kept = {"message": value.template, "values": encoded(value.values)}
        return {**kept, "plural": value.plural} if value.plural else kept
    if isinstance(value, Mapping):
        return {key: encoded(item) for key, item in value.items()}
    return [encoded(item) for item in value] if isinstance(value, list | tuple) else value


def decoded(value: Any) -> Any:
    """The value with the messages that `encoded` took apart."""
    if isinstance(value, dict):
        if "message" in value and value.keys() <= _KEYS and isinstance(value.get("values"), dict):
            return Message(value["message"], decoded(value["values"]), value.get("plural", ""))
        return {key: decoded(item) for key, item in value.items()}
    return [decoded(item) for item in value] if isinstance(value, list) else value


__all__ = ["ENGLISH", "MINUS", "Filling", "Message", "counted", "decoded", "encoded", "message", "said"]
