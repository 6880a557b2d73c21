"""Cells and column heads of an assessment file: what each says about a criterion, or why it cannot be read.

In: texts as they stand in the file. Out: an `Answer`, or a sentence that names the fault.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from typing import Final, Literal, NamedTuple, get_args

from wwc_research.catalog.editions import Criterion, Edition, criterion_ids, folded
from wwc_research.errors import listed
from wwc_research.standard.responses import (
    ACCEPTED,
    MET,
    NOT_ASSESSED,
    NOT_MET,
    NOT_SAID,
    REFUSED,
    OwnStanding,
    has_own_choice,
)

Kind = Literal["response", "points", "evidence"]

OWN_OUTCOME: Final = "ownoutcome"

RESPONSES: Final = (
    dict.fromkeys(("met", "yes", "y", "true", "1", "1.0"), MET)
    | dict.fromkeys(("not met", "notmet", "unmet", "no", "n", "false", "0", "0.0"), NOT_MET)
    | dict.fromkeys(("", "not assessed", "notassessed", "n/a", "na"), NOT_ASSESSED)
)
EVIDENCE: Final = (
    dict.fromkeys(("yes", "y", "true", "1", "1.0", "accepted", "verified", "supplied"), ACCEPTED)
    | dict.fromkeys(("no", "n", "false", "0", "0.0", "not accepted", "not verified", "not supplied"), REFUSED)
    | dict.fromkeys(("missing", "rejected"), REFUSED)
    | {"": NOT_SAID}
)


class Answer(NamedTuple):
    """What is said of one criterion: a response, points (NaN where none were given) and evidence."""

    response: int = NOT_ASSESSED
    points: float = math.nan
    evidence: int = NOT_SAID


@dataclass(frozen=True, slots=True, kw_only=True)
class Texts:
    """The cells that speak of one criterion; '' where there is none."""

    response: str = ""
    points: str = ""
    evidence: str = ""

    def answer(self, criterion: Criterion, *, faults: list[str], where: str = "") -> Answer:
        """What the cells say together; for each that cannot be read, and for points against response, a fault."""
        response = _response(self.response, where=where, faults=faults)
        evidence = _evidence(self.evidence, where=where, faults=faults)
        points = _points(self.points, criterion, faults=faults)
        if math.isnan(points):
            return Answer(response, points, evidence)
        said = MET if points == criterion.points else NOT_MET
        if response not in (NOT_ASSESSED, said):
            faults.append(
                f"response and points of {criterion.id} contradict each other; all points are met, fewer are not met"
            )
        return Answer(said, points, evidence)


KINDS: Final[tuple[Kind, ...]] = get_args(Kind)


class Heads:
    """The criteria of an edition as files name them."""

    def __init__(self, edition: Edition) -> None:
        self._edition = edition
        self._codes = criterion_ids(edition)

    def criterion(self, text: str) -> str | None:
        """Id of a criterion by code, alias or name, also where both stand together (`DM1: Implementing ...`)."""
        return self._codes.get(folded(text)) or self._codes.get(folded(_split(text)[0]))

    def column(self, text: str) -> tuple[str, Kind] | None:
        """Criterion of a column and what the column says of it: `DM1`, `DM1 points`, `DM1 evidence`.

        A name may end in the word itself (`Promotion of Data & Evidence`), so the word counts as an ending only where
        what stands before it is a criterion by itself.
        """
        if folded(text) not in self._codes:
            for kind in KINDS[1:]:
                if re.search(rf"\W{kind}\W*$|_{kind}\W*$", text, flags=re.IGNORECASE):
                    before = self._wholly(re.sub(rf"{kind}\W*$", "", text, flags=re.IGNORECASE))
                    if before is not None:
                        return before, kind
        found = self.criterion(text)
        return None if found is None else (found, "response")

    def unknown(self, text: str) -> str:
        """Why the text is no criterion."""
        known = listed(self._edition.criteria, limit=60)
        return f"{text!r} is no criterion of {self._edition.name}, by code, name or alias. It has {known}"

    def example(self) -> str:
        """A few ids."""
        return listed(self._edition.criteria, limit=3)

    def _wholly(self, text: str) -> str | None:
        """Id of a criterion by code, alias or name, or by a code and its own name, with nothing left over."""
        code, name = _split(text)
        by_code = self._codes.get(folded(code))
        joined = by_code is not None and self._codes.get(folded(name)) == by_code
        return self._codes.get(folded(text)) or (by_code if joined else None)


def own_standing(text: str, edition: Edition, *, faults: list[str]) -> OwnStanding | Literal[""]:
    """Judgement of the outcome of the city's own choice; '' where none was handed in."""
    plain = _plain(text)
    if not plain:
        return ""
    if not has_own_choice(edition):
        faults.append(f"own_outcome: {edition.name} knows no outcome of the city's own choice; leave it out")
        return ""
    for known in get_args(OwnStanding):
        if plain == known:
            return known
    faults.append(f"own_outcome {text!r} is none of {listed(get_args(OwnStanding))}")
    return ""


def _split(text: str) -> tuple[str, str]:
    code, *rest = re.split(r"[:.–—]|\s-\s", text, maxsplit=1)
    return code, "".join(rest)


def _plain(text: str) -> str:
    return " ".join(text.lower().replace("_", " ").replace("-", " ").split())


def _response(text: str, *, where: str, faults: list[str]) -> int:
    plain = _plain(text)
    if plain in RESPONSES:
        return RESPONSES[plain]
    hint = "; points have a column of their own" if re.fullmatch(r"\d+([.,]\d+)?", plain) else ""
    faults.append(f"response {text!r}{where} is none of met, not met and not assessed (1, 0, blank; yes, no){hint}")
    return NOT_ASSESSED


def _evidence(text: str, *, where: str, faults: list[str]) -> int:
    plain = _plain(text)
    if plain in EVIDENCE:
        return EVIDENCE[plain]
    faults.append(f"evidence {text!r}{where} is none of yes and no (accepted, not accepted; 1, 0; blank: nothing said)")
    return NOT_SAID


def _points(text: str, criterion: Criterion, *, faults: list[str]) -> float:
    """Points given; NaN where none were, or after noting a fault."""
    if not text:
        return math.nan
    whole = criterion.points.is_integer()
    worth = f"{criterion.points:g}"
    try:
        points = float(text)
    except ValueError:
        points = math.nan
    if not 0 <= points <= criterion.points or (whole and not points.is_integer()):
        wanted = f"a whole number from 0 to {worth}" if whole else f"a number from 0 to {worth}"
        faults.append(f"points {text!r} of {criterion.id} should be {wanted}, which is what it is worth")
        return math.nan
    return points
