"""What stands around every page: head with its content policy, links to other pages, footer; written once.

In: a template and its values, said in the language that is spoken. Out: text of one self-contained page.
"""

from __future__ import annotations

import base64
import hashlib
import re
from collections.abc import Sequence
from functools import cache
from importlib import resources
from typing import Any

import jinja2
from markupsafe import Markup

from wwc_research import __version__
from wwc_research.messages import message
from wwc_research.report import language
from wwc_research.report.page_work import Audience, Link

TEMPLATES = "templates"


def say(template: str, /, **values: Any) -> str:
    """The text in the language that is spoken; templates of pages call it with texts written out."""
    return language.shown(message(template, **values))


@cache
def css() -> str:
    """The style sheet shared by all pages, without its comments and the spaces that nothing needs."""
    told = re.sub(r"/\*.*?\*/", "", _text("page", "page.css"), flags=re.DOTALL)
    return re.sub(r";}", "}", re.sub(r"\s*([{};,])\s*|(:)\s+", r"\1\2", re.sub(r"\s+", " ", told))).strip()


def _text(*names: str) -> str:
    return resources.files(__package__).joinpath(TEMPLATES, *names).read_text(encoding="utf-8")


@cache
def environment() -> jinja2.Environment:
    """The templates of pages that no notebook makes: all text is escaped, an undefined value is an error."""
    made = jinja2.Environment(
        loader=jinja2.FunctionLoader(_source), autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True
    )
    made.globals |= {"say": say}
    return made


def _source(name: str) -> str | None:
    try:
        return _text(*name.split("/"))
    except FileNotFoundError:
        return None


def surroundings(
    *, title: str, links: Sequence[Link] = (), audience: Audience = "research", script: str = ""
) -> dict[str, Any]:
    """The values that `shell.html.j2` puts around a page, in the language that is spoken.

    Parameters
    ----------
    title
        Of the page, as text or message.
    script
        The one script that the page may run: its hash goes to the content policy. None where empty.
    """
    return {
        "title": language.shown(title),
        "language": language.current().tag,
        "css": Markup(css()),
        "version": __version__,
        "links": tuple(links),
        "audience": audience,
        "say": say,
        "script": Markup(script),
        "script_hash": hash_source(script) if script else "",
    }


def hash_source(script: str) -> str:
    """The source of an inline script for a content policy (W3C, Content Security Policy Level 3, section 6.7.3)."""
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    return f"'sha256-{digest}'"


def render(template: str, *, page: dict[str, Any], **values: Any) -> str:
    """The page of a template."""
    return environment().get_template(template).render(page=page, **values)


def script(name: str) -> str:
    """A script of ours, as it is put into a page."""
    return _text(name).strip()


__all__ = ["css", "environment", "hash_source", "render", "say", "script", "surroundings"]
