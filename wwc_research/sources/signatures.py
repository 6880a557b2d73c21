"""What the first and last bytes of a file say of its kind: a publisher's error page also comes with status 200.

In: bytes, or a file on the disk, and the kind that was asked for. Out: what is wrong, in words; empty where nothing is.
"""

from __future__ import annotations

import html
import re
import zipfile
from pathlib import Path
from typing import Final

from wwc_research.sources.retrieval import Kind

# As many first bytes as `kind_fault` wants to see, or all of a shorter file.
SNIFFED: Final = 1024

_WORDS: Final = {"zip": "a zip file", "xlsx": "an Excel workbook", "csv": "a CSV table", "json": "JSON", "text": "text"}
_MAGIC: Final = {
    b"PK": "a zip file",
    b"\x1f\x8b": "a gzip file",
    b"%PDF": "a PDF file",
    b"\xd0\xcf\x11\xe0": "an Excel file of the old format",
    b"\xff\xfe": "text in UTF-16",
    b"\xfe\xff": "text in UTF-16",
}
_MARK = b"\xef\xbb\xbf"


def kind_fault(begun: bytes, *, kind: Kind) -> str:
    """What is wrong with the first bytes of a file of this kind; empty where nothing is."""
    wanted = _WORDS[kind]
    if not begun:
        return f"an empty file came in place of {wanted}"
    if is_page(begun):
        return f"an HTML page came in place of {wanted}"
    came = next((name for start, name in _MAGIC.items() if begun.startswith(start)), "")
    bare = begun.removeprefix(_MARK).lstrip()
    if kind in ("zip", "xlsx"):
        is_right = begun.startswith((b"PK\x03\x04", b"PK\x05\x06"))
    elif kind == "json":
        is_right = not came and bare[:1] in (b"[", b"{")
    else:
        if not came and b"\0" in begun:
            came = "a file that is no text"
        if not came and bare[:1] == b"<":
            came = "marked-up text"
        if not came and kind == "csv" and bare[:1] in (b"[", b"{"):
            came = "JSON"
        is_right = not came
    return "" if is_right else f"{came or 'something else'} came in place of {wanted}"


def whole_fault(path: Path, *, kind: Kind) -> str:
    """What is wrong with the begin or the end of a whole file of this kind; empty where nothing is."""
    with path.open("rb") as file:
        begun = file.read(SNIFFED)
        file.seek(max(0, path.stat().st_size - SNIFFED))
        end = file.read().rstrip()
    if fault := kind_fault(begun, kind=kind):
        return fault
    if kind in ("zip", "xlsx") and not zipfile.is_zipfile(path):
        return "the zip file is cut off: the list of members at its end is missing"
    if kind == "json" and not end.endswith((b"]", b"}")):
        return "the JSON is cut off before its end"
    return ""


def is_page(begun: bytes) -> bool:
    """Whether this begins as an HTML page does."""
    bare = begun.removeprefix(_MARK).lstrip()[:400].lower()
    return bare.startswith((b"<!doctype html", b"<html", b"<head", b"<body", b"<title")) or (
        bare.startswith((b"<?xml", b"<!--")) and b"<html" in bare
    )


def page_title(page: str) -> str:
    """The title of an HTML page as text; empty where it has none."""
    found = re.search(r"(?is)<title[^>]*>(.*?)</title", page)
    return html.unescape(found[1]).strip() if found else ""


def one_line(text: str, *, longest: int = 120) -> str:
    """A foreign text that is safe to show: one line, without control characters, shortened."""
    line = " ".join("".join(sign if sign.isprintable() else " " for sign in text).split())
    return line if len(line) <= longest else f"{line[: longest - 1]}…"
