"""The list of city pages of a run.

In: the pages. Out: text of one self-contained page.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from wwc_research.messages import message
from wwc_research.report import language as languages
from wwc_research.report import shell
from wwc_research.report.page_work import Link, PageWork


def city_index_html(
    pages: Sequence[PageWork], *, failed: Mapping[str, str], links: Sequence[Link], language: str
) -> str:
    """The page that links to every city page in one language, in the order of their titles.

    Parameters
    ----------
    pages
        In that language, in the folder of the list.
    failed
        One line of explanation by `PageWork.name`.
    links
        At the head of the page.

    Raises
    ------
    InputError
        For a language that there is not.
    """
    with languages.speaking(language):
        return shell.render(
            "cities.html.j2",
            page=shell.surroundings(title=message("Cities"), links=links),
            cities=[Link(text=work.title, href=work.target.name) for work in sorted(pages, key=lambda one: one.title)],
            failed=dict(failed),
        )


__all__ = ["city_index_html"]
