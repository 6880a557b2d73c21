"""Answers of cities to the criteria of an edition, in a type that never prints them.

In: grids assessment × criterion (met or not, points, evidence). Out: `Responses`; one open door, `confidential_frame`.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any, Final, Literal, NoReturn, get_args

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from wwc_research.catalog.editions import Edition, criterion_ids, folded
from wwc_research.errors import Faults, InputError, listed

MET: Final = 1
NOT_MET: Final = 0
NOT_ASSESSED: Final = -1

ACCEPTED: Final = 1
REFUSED: Final = 0
NOT_SAID: Final = -1

KEYS: Final = ("place_id", "name", "assessed_on")
# XX is a code that ISO 3166 leaves to users: no place of any country can have such an id.
SIMULATED_PREFIX: Final = "XX-sim-"

Held = Literal["responses", "points", "evidence", "own_outcome"]
OwnStanding = Literal["demonstrated", "not demonstrated", "cannot tell"]


class Confidential(ABC):
    """Base of everything that holds cities' answers: shows counts only, and cannot be pickled, copied or iterated.

    A pickle is a copy of the values on a disk, a queue or a cache that nobody counts, so it is refused; hand values on
    through the one door that says so in its name. What this cannot stop: a debugger, or a test runner that shows local
    arrays.
    """

    __slots__ = ()

    @abstractmethod
    def __repr__(self) -> str: ...

    def __str__(self) -> str:
        return repr(self)

    def __format__(self, spec: str) -> str:
        return repr(self)

    def _repr_html_(self) -> str:
        return repr(self).replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")

    def __iter__(self) -> NoReturn:
        raise TypeError(f"{type(self).__name__} cannot be iterated: its values are confidential")

    def __reduce_ex__(self, protocol: Any) -> NoReturn:
        raise TypeError(f"{type(self).__name__} cannot be pickled or copied: its values are confidential")


class Responses(Confidential):
    """Assessments × criteria: met, not met or not assessed; perhaps points given and evidence accepted or not.

    Shows how many there are and never what they say.

    Parameters
    ----------
    values
        Shape (assessments, criteria): 1 met, 0 not met, -1 not assessed.
    points
        Same shape: points given, NaN where none were. All points of a criterion say that it is met, fewer that it is
        not, so they may stand where `values` says not assessed and must agree with it elsewhere. Where a criterion is
        worth a whole number of points they are whole; where it is worth a fraction (1.5), any number up to it.
    evidence
        Same shape: 1 accepted, 0 not accepted, -1 nothing said. A response whose evidence was not accepted counts for
        nothing; one of which nothing is said counts.
    own_outcome
        One text an assessment: whether staff judge the outcome of the city's own choice `demonstrated`, `not
        demonstrated` or `cannot tell`; '' where none was handed in.
    place_ids, assessed_on
        Keys of each assessment; dates as text (`2023-06-21`, also `2023-06` or `2023`), '' where not known.
    names
        Names of the cities for people to read; the place_ids where not given.
    criteria
        Ids or aliases of the criteria, in the order of the columns.
    edition
        The edition under which the answers were given. Criteria that it has and `criteria` lacks were not assessed.

    Attributes
    ----------
    is_simulated
        Whether the places are invented (ids `XX-sim-…`); real and invented places cannot be held together.

    Raises
    ------
    InputError
        With every fault of shape, keys and criteria. No error holds a value or a name.
    """

    __slots__ = (
        "_assessed_on",
        "_evidence",
        "_names",
        "_own_outcome",
        "_place_ids",
        "_points",
        "_values",
        "criteria",
        "edition",
        "is_simulated",
    )

    criteria: tuple[str, ...]
    edition: str
    is_simulated: bool

    def __init__(
        self,
        values: Any,
        *,
        place_ids: Sequence[str],
        criteria: Sequence[str],
        edition: Edition,
        assessed_on: Sequence[str] | None = None,
        names: Sequence[str] | None = None,
        points: Any = None,
        evidence: Any = None,
        own_outcome: Sequence[str] | None = None,
    ) -> None:
        faults = Faults("responses")
        n = len(place_ids)
        keys = _keys(place_ids, assessed_on, names, own_outcome, faults=faults)
        ids = _ids(criteria, edition, faults=faults)
        wanted = (n, len(criteria))
        grid = _grid(values, wanted, name="values", allowed=_VALUES, faults=faults)
        said = _grid(evidence, wanted, name="evidence", allowed=_EVIDENCE, faults=faults)
        given = None if points is None else np.asarray(points, dtype=float)
        if given is not None and given.shape != wanted:
            faults.add(f"points have shape {given.shape}, where {wanted} is wanted (assessments, criteria)")
        if own_outcome is not None and any(own_outcome) and not has_own_choice(edition):
            faults.add(f"an outcome of the city's own choice is handed in, and {edition.name} knows none; leave it out")
        faults.raise_if_any()
        assert grid is not None  # only what was not given is None
        worth = np.array([edition.criteria[name].points for name in ids], dtype=float)
        if given is not None:
            grid = _agreed(grid, given, worth, ids, faults=faults)
        faults.raise_if_any()
        place = [list(edition.criteria).index(name) for name in ids]
        shape = (n, len(edition.criteria))
        self._values: NDArray[np.int8] = _spread(grid, place, shape=shape, empty=NOT_ASSESSED).astype(np.int8)
        self._evidence = _spread(said, place, shape=shape, empty=NOT_SAID) if said is not None else None
        # What is met or not met in full says its points by itself; only points in between have to be kept.
        part = None if given is None else np.where((given > 0) & (given < worth), given, np.nan)
        has_parts = part is not None and bool(np.isfinite(part).any())
        self._points = _spread(part, place, shape=shape, empty=np.nan) if part is not None and has_parts else None
        self._place_ids, self._assessed_on, self._names, self._own_outcome = keys
        self.criteria = tuple(edition.criteria)
        self.edition = edition.name
        self.is_simulated = n > 0 and place_ids[0].startswith(SIMULATED_PREFIX)

    def __repr__(self) -> str:
        label = "SIMULATED, handled as confidential" if self.is_simulated else "confidential"
        return f"<Responses: {len(self):,} assessments × {len(self.criteria)} criteria of {self.edition}, {label}>"

    def __len__(self) -> int:
        """How many assessments there are."""
        return len(self._values)

    def confidential_frame(self, *, what: Held = "responses") -> pd.DataFrame:
        """All keys (place_id, name, assessed_on) and a column each criterion.

        This is the one door out. The frame prints what it holds: keep it out of logs, pages and notebooks.

        Parameters
        ----------
        what
            `responses`: 1 met, 0 not met or not in full, -1 not assessed. `points`: points given below the full ones,
            NaN elsewhere. `evidence`: 1 accepted, 0 not accepted, -1 nothing said. `own_outcome`: instead of the
            criteria one column `own_outcome`, '' where none was handed in.
        """
        keys = pd.DataFrame(dict(zip(KEYS, (self._place_ids, self._names, self._assessed_on), strict=True)))
        if what == "own_outcome":
            return keys.assign(own_outcome=self._own_outcome)
        grids = {"responses": self._values, "points": self._points, "evidence": self._evidence}
        if what not in grids:
            raise InputError(f"what = {what!r}; allowed: {listed(get_args(Held))}")
        grid = grids[what]
        if grid is None:
            empty = np.nan if what == "points" else np.int8(NOT_SAID)
            grid = np.full(self._values.shape, empty)
        return pd.concat([keys, pd.DataFrame(grid, columns=list(self.criteria))], axis=1)

    def under(self, edition: Edition, *, same: Mapping[str, str] | None = None) -> Responses:
        """The same answers to those criteria that another edition also has; its other criteria are not assessed.

        Points below the full ones stay where they are below the full ones of the other edition too; else the criterion
        stays not met, since no source says what they would be worth there. The outcome of the city's own choice stays
        where the other edition knows one.

        Parameters
        ----------
        same
            Id here → id there. Without it, criteria are the same where id or alias agree. That is right for a variant
            of one edition and wrong between v2 and v3, where one code (`OD2`) stands for different criteria.

        Raises
        ------
        InputError
            If an id of `same` does not exist.
        """
        codes = criterion_ids(edition)
        wanted = dict(same) if same is not None else {name: name for name in self.criteria}
        faults = Faults(f"criteria of {self.edition} under {edition.name}")
        for here, there in wanted.items():
            if here not in self.criteria:
                faults.add(f"{here!r} is no criterion of {self.edition}; it has {listed(self.criteria, limit=60)}")
            if same is not None and folded(there) not in codes:
                faults.add(f"{there!r} is no criterion of {edition.name}; it has {listed(edition.criteria, limit=60)}")
        faults.raise_if_any()
        kept = {here: codes[folded(there)] for here, there in wanted.items() if folded(there) in codes}
        columns = [self.criteria.index(here) for here in kept]
        points = None
        if self._points is not None:
            worth = np.array([edition.criteria[there].points for there in kept.values()])
            whole = (worth == np.floor(worth)) & (self._points[:, columns] % 1 != 0)
            points = np.where((self._points[:, columns] < worth) & ~whole, self._points[:, columns], np.nan)
        return Responses(
            self._values[:, columns],
            points=points,
            evidence=None if self._evidence is None else self._evidence[:, columns],
            own_outcome=self._own_outcome.tolist() if has_own_choice(edition) else None,
            place_ids=self._place_ids.tolist(),
            assessed_on=self._assessed_on.tolist(),
            names=self._names.tolist(),
            criteria=list(kept.values()),
            edition=edition,
        )


_VALUES = {MET: "met", NOT_MET: "not met", NOT_ASSESSED: "not assessed"}
_EVIDENCE = {ACCEPTED: "accepted", REFUSED: "not accepted", NOT_SAID: "nothing said"}

Column = NDArray[np.object_]


def has_own_choice(edition: Edition) -> bool:
    """Whether the edition lets an outcome of the city's own choice count."""
    return edition.outcome_requirement is not None and edition.outcome_requirement.has_own_choice


def _keys(
    place_ids: Sequence[str],
    assessed_on: Sequence[str] | None,
    names: Sequence[str] | None,
    own_outcome: Sequence[str] | None,
    *,
    faults: Faults,
) -> tuple[Column, Column, Column, Column]:
    """Place, date, name and own outcome of each assessment."""
    n = len(place_ids)
    dates = [""] * n if assessed_on is None else list(assessed_on)
    shown = list(place_ids) if names is None else list(names)
    own = [""] * n if own_outcome is None else list(own_outcome)
    if len(dates) != n or len(shown) != n:
        faults.add(f"{n} place_ids, {len(dates)} dates and {len(shown)} names; give one of each an assessment")
    elif len(set(zip(place_ids, dates, strict=True))) < n:
        faults.add("at least one city is assessed twice on one date; keep one row for each city and date")
    if len(own) != n:
        faults.add(f"{n} place_ids and {len(own)} own outcomes; give one an assessment, '' where there is none")
    if set(own) - {"", *get_args(OwnStanding)}:
        faults.add(f"own outcomes other than {listed(get_args(OwnStanding))} and '' (none); recode them first")
    if len({place_id.startswith(SIMULATED_PREFIX) for place_id in place_ids}) > 1:
        faults.add("simulated and real places stand together; keep them apart")
    place, when, name, outcome = (np.array(texts, dtype=object) for texts in (list(place_ids), dates, shown, own))
    return place, when, name, outcome


def _ids(criteria: Sequence[str], edition: Edition, *, faults: Faults) -> list[str]:
    codes = criterion_ids(edition)
    unknown = [text for text in criteria if folded(text) not in codes]
    if unknown:
        faults.add(f"{listed(unknown)}: no criterion of {edition.name}; it has {listed(edition.criteria, limit=60)}")
    ids = [codes.get(folded(text), text) for text in criteria]
    repeated = sorted({name for name in ids if ids.count(name) > 1})
    if repeated:
        faults.add(f"{listed(repeated)}: given in more than one column; keep one")
    return ids


def _grid(
    values: Any, wanted: tuple[int, int], *, name: str, allowed: Mapping[int, str], faults: Faults
) -> NDArray[Any] | None:
    if values is None:
        return None
    grid = np.asarray(values)
    if grid.shape != wanted:
        faults.add(f"{name} have shape {grid.shape}, where {wanted} is wanted (assessments, criteria)")
    if grid.size and not np.isin(grid, list(allowed)).all():
        meant = listed(f"{code} ({text})" for code, text in allowed.items())
        faults.add(f"{name} other than {meant}; recode them first")
    return grid


def _agreed(
    grid: NDArray[Any], given: NDArray[np.float64], worth: NDArray[np.float64], ids: Sequence[str], *, faults: Faults
) -> NDArray[Any]:
    """The grid with what points say filled in; points that cannot be, or contradict it, are faults by criterion."""
    has = ~np.isnan(given)
    outside = has & ((given < 0) | (given > worth))
    broken = has & ~outside & (worth == np.floor(worth)) & (np.mod(np.where(has & ~outside, given, 0), 1) != 0)
    said = np.where(given == worth, MET, NOT_MET)
    against = has & (grid != NOT_ASSESSED) & (grid != said)
    for flags, text in (
        (outside, "points below 0 or above what the criterion is worth"),
        (broken, "fractions of points, where the criterion is worth whole ones"),
        (against & ~outside, "points that contradict the response (all points: met; fewer: not met)"),
    ):
        where = np.flatnonzero(np.any(flags, axis=0))
        if len(where):
            faults.add(f"{listed(ids[column] for column in where.tolist())}: {text}")
    return np.where(has, said, grid)


def _spread(grid: NDArray[Any], place: Sequence[int], *, shape: tuple[int, int], empty: float) -> NDArray[Any]:
    """The columns at their places among all criteria of the edition; the others are empty. It cannot be written to."""
    whole = np.full(shape, empty, dtype=float if np.isnan(empty) else np.int8)
    whole[:, place] = grid.reshape(shape[0], len(place))
    whole.setflags(write=False)
    return whole
