"""How to cite a page, the package and the data behind it, in words and as BibTeX.

In: evidence. Out: a Block; the references themselves are in English, as a list of references would have them.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Final

from wwc_research import catalog
from wwc_research.evidence.evidence import Evidence
from wwc_research.messages import message
from wwc_research.report import html
from wwc_research.report.html import Block

# as in CITATION.cff, against which a test holds them
AUTHOR: Final = "The wwc-research authors"
TITLE: Final = "wwc-research: an honest test of What Works Cities Certification and residents' outcomes"
YEAR: Final = "2026"


def citation(evidence: Evidence) -> Block:
    """The page and the package as references, what identifies the page, and a BibTeX block of all with the data."""
    found = evidence.provenance
    page = html.block(
        "<p>{author} ({year}). <cite>{title}</cite>. {note}.</p>", title=_page_title(evidence), **_who(evidence)
    )
    package = html.block(
        "<p>{author} ({year}). <cite>{title}</cite> ({version}).</p>",
        author=AUTHOR,
        year=YEAR,
        title=TITLE,
        version=found["version"],
    )
    identified = message(
        "The page is identified by its plan and its data: two pages with the same two hashes and the same version show "
        "the same figures. Please cite the publishers of the figures too."
    )
    text = html.block("<pre>{text}</pre>", text=bibtex(evidence))
    return html.joined(
        [
            html.heading(message("How to cite this")),
            html.english(page + package),
            html.paragraph(identified),
            html.fold(message("As BibTeX, with the sources of the figures"), html.english(text)),
        ]
    )


def _page_title(evidence: Evidence) -> str:
    return f"{catalog.outcome(evidence.outcome).title} and {catalog.treatment(evidence.treatment).title}"


def _who(evidence: Evidence) -> dict[str, str]:
    found = evidence.provenance
    note = (
        f"Made with wwc-research {found['version']}, plan {found['plan_sha256'][:16]}, data {found['data_sha256'][:16]}"
    )
    return {"author": AUTHOR, "year": YEAR, "note": note}


def bibtex(evidence: Evidence) -> str:
    """BibTeX entries of the page, the package, and every source of the page's figures."""
    found = evidence.provenance
    key = f"{evidence.treatment}_{evidence.outcome}"
    who = _who(evidence)
    entries = [
        _entry(
            "misc",
            f"wwc_{key}",
            {"author": who["author"], "title": _page_title(evidence), "year": YEAR, "note": who["note"]},
        ),
        _entry(
            "software", "wwc_research", {"author": AUTHOR, "title": TITLE, "year": YEAR, "version": found["version"]}
        ),
        *(
            _entry(
                "misc",
                f"data_{number}",
                {
                    "author": source["publisher"],
                    "title": source["series"],
                    "note": f"Vintage {source['vintage']}; licence: {source['licence']}",
                },
            )
            for number, source in enumerate(found["sources"], start=1)
        ),
    ]
    return "\n\n".join(entries)


def _entry(kind: str, key: str, fields: dict[str, str]) -> str:
    return "\n".join([f"@{kind}{{{key},", *_lines(fields), "}"])


def _lines(fields: dict[str, str]) -> Iterable[str]:
    # the second pair of braces keeps a publisher's name whole, where BibTeX looks for first and last names
    for name, value in fields.items():
        escaped = re.sub(r"([&%$#_{}])", r"\\\1", " ".join(str(value).replace("\\", " ").split()))
        yield f"  {name} = {{{{{escaped}}}}},"


__all__ = ["AUTHOR", "TITLE", "YEAR", "bibtex", "citation"]
