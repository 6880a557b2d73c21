"""The outcome page for one audience in one language: which sections it shows, and that they speak its language.

In: an evidence file, an audience, a language. Out: Blocks, one a cell of the template; none where a part is for others.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Self, get_args

from wwc_research.errors import InputError, listed
from wwc_research.evidence.evidence import Evidence
from wwc_research.report import language
from wwc_research.report.html import Block
from wwc_research.report.page_work import Audience

Section = Callable[[Evidence], Block]


@dataclass(frozen=True, slots=True, kw_only=True)
class OutcomePage:
    """An outcome page being put together; open it with `OutcomePage.open`."""

    evidence: Evidence
    audience: Audience
    language: str

    @classmethod
    def open(cls, evidence_path: str | Path, *, audience: Audience = "research", language: str = "en") -> Self:
        """The page of one evidence file.

        Raises
        ------
        InputError
            For an audience or a language that there is not.
        DataError
            Where the evidence is absent or of another version.
        """
        if audience not in get_args(Audience):
            raise InputError(f"there is no audience {audience!r}; use {listed(get_args(Audience))}")
        with _speaking(language):
            return cls(evidence=Evidence.read(Path(evidence_path)), audience=audience, language=language)

    def both(self, section: Section) -> Block:
        """The section, for either audience."""
        with _speaking(self.language):
            return section(self.evidence)

    def staff(self, section: Section) -> Block | None:
        """The section on a page for staff; nothing elsewhere."""
        return self.both(section) if self.audience == "staff" else None

    def research(self, section: Section) -> Block | None:
        """The section on a page for research; nothing elsewhere."""
        return self.both(section) if self.audience == "research" else None


_speaking = language.speaking

__all__ = ["OutcomePage"]
