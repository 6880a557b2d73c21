"""Many downloads of a page become one archive, since text as an address takes three times the bytes it takes packed.

In: HTML whose links hold files as data addresses. Out: the same page with one link that holds them all, zipped.
"""

from __future__ import annotations

import base64
import io
import re
import zipfile
from collections.abc import Sequence
from typing import Final
from urllib.parse import unquote

from markupsafe import Markup, escape

from wwc_research.messages import message
from wwc_research.report.language import shown

PLACE: Final = "<!--archive-->"
MOST_LINKS = 6
_LINK: Final = re.compile(
    r'<a download="(?P<name>[^"]+)" href="data:text/[a-z]+;charset=utf-8,(?P<text>[^"]*)">(?P<label>[^<]*)</a>'
)
# the earliest time a zip file can hold: the same page gives the same bytes at any time
_NO_TIME: Final = (1980, 1, 1, 0, 0, 0)


def gathered(page: str, *, name: str, most_links: int = MOST_LINKS) -> str:
    """The page with its files in one zip archive where it holds more than `most_links`; `PLACE` says where.

    Each link then points to the archive and says which file in it is meant.
    """
    links = list(_LINK.finditer(page))
    if len(links) <= most_links:
        return page.replace(PLACE, "")
    names = _distinct([link["name"] for link in links])
    files = [(name, unquote(link["text"]).encode()) for name, link in zip(names, links, strict=True)]
    left = iter(names)
    pointing = _LINK.sub(lambda _: f'<a href="#all-files">{next(left)}</a>', page)
    return pointing.replace(PLACE, _section(files, name=name))


def _distinct(names: Sequence[str]) -> list[str]:
    """The names, with a number before the ending of those that have been given."""
    found: list[str] = []
    for name in names:
        stem, _, ending = name.rpartition(".")
        number, free = 1, name
        while free in found:
            number += 1
            free = f"{stem}_{number}.{ending}"
        found.append(free)
    return found


def _section(files: Sequence[tuple[str, bytes]], *, name: str) -> str:
    packed = _zipped(files)
    label = message("Download all {n} files in one archive (ZIP, {size:.0f} kB)", n=len(files), size=len(packed) / 1000)
    said = message(
        "The figures of every table and picture of this page as CSV, the tables of estimates, balance and cohorts also "
        "as LaTeX."
    )
    return str(
        Markup(
            '<section id="all-files"><h2>{title}</h2><p>{said}</p><p class="download"><a download="{name}.zip" '
            'href="data:application/zip;base64,{packed}">{label}</a></p></section>'
        ).format(
            title=shown(message("All tables and figures to download")),
            said=shown(said),
            name=escape(name),
            packed=base64.b64encode(packed).decode(),
            label=shown(label),
        )
    )


def _zipped(files: Sequence[tuple[str, bytes]]) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED, compresslevel=9) as archive:
        for name, content in files:
            archive.writestr(zipfile.ZipInfo(name, _NO_TIME), content, zipfile.ZIP_DEFLATED, 9)
    return buffer.getvalue()


__all__ = ["MOST_LINKS", "PLACE", "gathered"]
