"""Answers of cities to the criteria of an edition, in a type that never prints them.

In: a grid assessment × criterion of small integers. Out: `Responses`; its only open door is `confidential_frame`.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any, Final, NoReturn

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from wwc_research.catalog.editions import Edition, criterion_ids, folded
from wwc_research.errors import Faults, listed

MET: Final = 1
NOT_MET: Final = 0
NOT_ASSESSED: Final = -1

KEYS: Final = ("place_id", "name", "assessed_on")


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
    """Assessments × criteria: met, not met or not assessed. Shows how many there are and never what they say.

    Parameters
    ----------
    values
        Shape (assessments, criteria): 1 met, 0 not met, -1 not assessed.
    place_ids, assessed_on
        Keys of each assessment; dates as text (`2023-06-21`, also `2023-06` or `2023`), '' where not known.
    names
        Names of the cities for people to read; the place_ids where not given.
    criteria
        Ids or aliases of the criteria, in the order of the columns.
    edition
        The edition under which the answers were given. Criteria that it has and `criteria` lacks were not assessed.

    Raises
    ------
    InputError
        With every fault of shape, keys and criteria. No error holds a value or a name.
    """

    __slots__ = ("_assessed_on", "_names", "_place_ids", "_values", "criteria", "edition")

    criteria: tuple[str, ...]
    edition: str

    def __init__(
        self,
        values: Any,
        *,
        place_ids: Sequence[str],
        criteria: Sequence[str],
        edition: Edition,
        assessed_on: Sequence[str] | None = None,
        names: Sequence[str] | None = None,
    ) -> None:
        faults = Faults("responses")
        grid = np.asarray(values)
        n = len(place_ids)
        dates = [""] * n if assessed_on is None else list(assessed_on)
        shown = list(place_ids) if names is None else list(names)
        if grid.shape != (n, len(criteria)):
            faults.add(f"values have shape {grid.shape}, where {(n, len(criteria))} is wanted (assessments, criteria)")
        if grid.size and not np.isin(grid, (MET, NOT_MET, NOT_ASSESSED)).all():
            faults.add("values other than 1 (met), 0 (not met) and -1 (not assessed); recode them first")
        if len(dates) != n or len(shown) != n:
            faults.add(f"{n} place_ids, {len(dates)} dates and {len(shown)} names; give one of each an assessment")
        elif len(set(zip(place_ids, dates, strict=True))) < n:
            faults.add("at least one city is assessed twice on one date; keep one row for each city and date")
        codes = criterion_ids(edition)
        unknown = [text for text in criteria if folded(text) not in codes]
        if unknown:
            faults.add(
                f"{listed(unknown)}: no criterion of {edition.name}; it has {listed(edition.criteria, limit=60)}"
            )
        ids = [codes.get(folded(text), text) for text in criteria]
        repeated = sorted({name for name in ids if ids.count(name) > 1})
        if repeated:
            faults.add(f"{listed(repeated)}: given in more than one column; keep one")
        faults.raise_if_any()
        whole = np.full((n, len(edition.criteria)), NOT_ASSESSED, dtype=np.int8)
        position = {name: column for column, name in enumerate(edition.criteria)}
        whole[:, [position[name] for name in ids]] = grid.reshape(n, len(ids))
        whole.setflags(write=False)
        self._values: NDArray[np.int8] = whole
        self._place_ids = np.array(list(place_ids), dtype=object)
        self._names = np.array(shown, dtype=object)
        self._assessed_on = np.array(dates, dtype=object)
        self.criteria = tuple(edition.criteria)
        self.edition = edition.name

    def __repr__(self) -> str:
        return f"<Responses: {len(self):,} assessments × {len(self.criteria)} criteria of {self.edition}, confidential>"

    def __len__(self) -> int:
        """How many assessments there are."""
        return len(self._values)

    def confidential_frame(self) -> pd.DataFrame:
        """All keys and values: place_id, name, assessed_on, and a column of 1, 0 or -1 each criterion.

        This is the one door out. The frame prints what it holds: keep it out of logs, pages and notebooks.
        """
        keys = pd.DataFrame(dict(zip(KEYS, (self._place_ids, self._names, self._assessed_on), strict=True)))
        return pd.concat([keys, pd.DataFrame(self._values, columns=list(self.criteria))], axis=1)

    def under(self, edition: Edition, *, same: Mapping[str, str] | None = None) -> Responses:
        """The same answers to those criteria that another edition also has; its other criteria are not assessed.

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
        return Responses(
            self._values[:, columns],
            place_ids=self._place_ids.tolist(),
            assessed_on=self._assessed_on.tolist(),
            names=self._names.tolist(),
            criteria=list(kept.values()),
            edition=edition,
        )
