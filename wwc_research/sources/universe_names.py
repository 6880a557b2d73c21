"""Publishers' names of cities → the places of the universe, without looking up thousands that cannot be among them.

In: the gazetteer and a name with its state. Out: a `Match` or `NoMatch` of `Places.resolve`, or None.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from wwc_research.sources.places import Match, NoMatch, Places, alternative_names, normalised, short_name


@dataclass(frozen=True, slots=True)
class UniverseNames:
    """Names of one gazetteer; `Places.resolve` compares a name that it does not know with all others of its state.

    Parameters
    ----------
    places
        The gazetteer.
    """

    places: Places
    universe: frozenset[str] = field(init=False, repr=False)
    _forms: frozenset[tuple[str, str]] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        names = self.places.names[self.places.names["in_universe"]]
        forms = {
            (row.state, normalised(text))
            for row in names.itertuples(index=False)
            for text in (row.name, short_name(row.name), *alternative_names(row.name), *(row.aliases or "").split("|"))
            if text
        }
        object.__setattr__(self, "universe", frozenset(self.places.universe))
        object.__setattr__(self, "_forms", frozenset(forms))

    def find(self, text: str, *, state: str) -> Match | NoMatch | None:
        """What `Places.resolve` says of a name that a place of the universe goes by, else None.

        A match can still be another place of that name, outside the universe; `NoMatch` is a name of several.

        Parameters
        ----------
        text
            Name without state.
        state
            Postal code.
        """
        if not {(state, normalised(text)), (state, normalised(short_name(text)))} & self._forms:
            return None
        return self.places.resolve(text, state=state)
