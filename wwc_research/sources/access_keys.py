"""Publishers' keys, which go into the request and nowhere else.

In: a key from the environment, addresses, texts. Out: the address to ask; texts, log records and redirects without it.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final
from urllib.parse import parse_qsl, quote, quote_plus, urljoin, urlsplit, urlunsplit

# Where a publisher gives out its keys, by host.
KEY_SIGN_UP: Final[Mapping[str, str]] = {"api.census.gov": "https://api.census.gov/data/key_signup.html"}


@dataclass(frozen=True, slots=True)
class Key:
    """A publisher's key: its query parameter, and its value, which no representation shows."""

    parameter: str
    value: str = field(repr=False)

    def added_to(self, address: str) -> str:
        """The address with the key, for a request and for nothing else."""
        joint = "&" if urlsplit(address).query else "?"
        return f"{address}{joint}{quote_plus(self.parameter)}={quote_plus(self.value)}"

    def spellings(self) -> set[str]:
        """The value as it can stand in an address or a text."""
        return {self.value, quote(self.value), quote(self.value, safe=""), quote_plus(self.value)}

    def is_in(self, text: str) -> bool:
        """Whether a text holds the value, in letters of either case."""
        return any(spelling.lower() in text.lower() for spelling in self.spellings())


class Hiding(logging.Filter):
    """Keeps keys out of texts, and out of urllib3's log, which names every address at its most talkative level."""

    def __init__(self) -> None:
        super().__init__()
        self.keys: set[Key] = set()

    def hidden(self, text: str) -> str:
        """The text with `<key>` where a key stood, in letters of either case: a server may have changed them."""
        for key in self.keys:
            for spelling in sorted(key.spellings(), key=len, reverse=True):
                text = re.sub(re.escape(spelling), "<key>", text, flags=re.IGNORECASE)
        return text

    def filter(self, record: logging.LogRecord) -> bool:
        """True: every record goes on, without keys."""
        text = record.getMessage()
        if (hidden := self.hidden(text)) != text:
            record.msg, record.args = hidden, ()
        return True


def redirect_target(address: str, location: str, *, key: Key | None) -> tuple[str, bool]:
    """Where a redirect leads, without fragment and key, and whether it held the key; empty for no address at all."""
    try:
        parts = urlsplit(urljoin(address, location))
        _ = parts.port, parts.hostname
    except ValueError:
        return "", False
    kept = []
    for item in parts.query.split("&"):
        pairs = parse_qsl(item, keep_blank_values=True)
        if key is None or not pairs or (pairs[0][0] != key.parameter and pairs[0][1] != key.value):
            kept.append(item)
    query = "&".join(kept)
    following = urlunsplit(parts._replace(query=query, fragment="")) if location else ""
    return following, query != parts.query
