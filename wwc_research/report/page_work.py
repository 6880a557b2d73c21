"""One page to make: which notebook runs with which parameters, where its page goes, and what stands around it.

In: plain values. Out: a frozen value that goes to another process, or another machine with the same files.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

Audience = Literal["staff", "research"]
EngineKind = Literal["auto", "fork", "portable"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Link:
    """A link at the head of a page: its text, where it goes (relative to the page), the language of what is there."""

    text: str
    href: str
    language: str = ""
    is_here: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class PageWork:
    """A page of a batch.

    Attributes
    ----------
    name
        Under which a failure is reported and a page is asked for: `certification/broadband.staff.es`.
    notebook, executed, target
        The template, where its executed copy is kept, and the page.
    parameters
        For the cell tagged `parameters`; text only, so that no reader of parameters can take a code for a number.
    title
        Of the page, in its language.
    language
        `en`, `es` or `pt`.
    audience
        `staff` pages show no code.
    links
        To the index, to the same page for the other audience and in the other languages.
    """

    name: str
    notebook: Path
    executed: Path
    target: Path
    parameters: Mapping[str, str]
    title: str
    language: str = "en"
    audience: Audience = "research"
    links: tuple[Link, ...] = ()


__all__ = ["Audience", "EngineKind", "Link", "PageWork"]
