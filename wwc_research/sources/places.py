"""Names and codes of places and counties to `place_id`: exact first, normalised second, never by guess.

In: the gazetteer's tables. Out: matches, and for the rest the reason and the nearest names.
"""

from __future__ import annotations

import difflib
import re
import unicodedata
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from wwc_research.errors import DataError, Faults, listed

if TYPE_CHECKING:
    import pandas as pd

How = Literal["code", "exact", "normalised", "alias"]

_STATES = """AL:01:Alabama AK:02:Alaska AZ:04:Arizona AR:05:Arkansas CA:06:California CO:08:Colorado
CT:09:Connecticut DE:10:Delaware DC:11:District_of_Columbia FL:12:Florida GA:13:Georgia HI:15:Hawaii
ID:16:Idaho IL:17:Illinois IN:18:Indiana IA:19:Iowa KS:20:Kansas KY:21:Kentucky LA:22:Louisiana ME:23:Maine
MD:24:Maryland MA:25:Massachusetts MI:26:Michigan MN:27:Minnesota MS:28:Mississippi MO:29:Missouri
MT:30:Montana NE:31:Nebraska NV:32:Nevada NH:33:New_Hampshire NJ:34:New_Jersey NM:35:New_Mexico NY:36:New_York
NC:37:North_Carolina ND:38:North_Dakota OH:39:Ohio OK:40:Oklahoma OR:41:Oregon PA:42:Pennsylvania
RI:44:Rhode_Island SC:45:South_Carolina SD:46:South_Dakota TN:47:Tennessee TX:48:Texas UT:49:Utah
VT:50:Vermont VA:51:Virginia WA:53:Washington WV:54:West_Virginia WI:55:Wisconsin WY:56:Wyoming"""
STATE_CODE = {entry.split(":")[0]: entry.split(":")[1] for entry in _STATES.split()}
STATE_NAME = {entry.split(":")[0]: entry.split(":")[2].replace("_", " ") for entry in _STATES.split()}
STATE_OF_CODE = {code: postal for postal, code in STATE_CODE.items()}
_STATE_TEXTS = (
    {postal.lower(): postal for postal in STATE_CODE}
    | {name.lower(): postal for postal, name in STATE_NAME.items()}
    | {code: postal for postal, code in STATE_CODE.items()}
)

# Legal descriptions that the Census Bureau writes after a place's own name, always in lower case.
_LEGAL = re.compile(
    r"\s+(consolidated government|unified government|metropolitan government|metro government|"
    r"metro township|charter township|city and borough|urban county|municipality|township|corporation|"
    r"borough|village|town|city|CDP)$"
)
_BALANCE = re.compile(r"\s*\(balance\)$")
_COUNTY_WORDS = re.compile(r"\s+(county|parish|borough|census area|municipality|city and borough|planning region)$")
_WORD = re.compile(r"[a-z0-9]+")
_KINDS_OF = frozenset({"city", "town", "village", "municipality"})
_SHORT_WORDS = {"saint": "st", "sainte": "ste", "fort": "ft", "mount": "mt"}
_CONSOLIDATED = ("government", "urban county", "(balance)", " County")


def state_postal(text: str) -> str | None:
    """Postal code of a state given as postal code, name or two-digit code; None if it is no state."""
    return _STATE_TEXTS.get(" ".join(text.replace(".", "").lower().split()))


def legal_type(name: str) -> str:
    """Legal description in a Census name: `city`, `town`, `unified government` ...; '' if it has none."""
    found = _LEGAL.search(_BALANCE.sub("", name))
    return found.group(1) if found else ""


def short_name(name: str) -> str:
    """The place's own name without its legal description: `Boise City city` gives `Boise City`."""
    return _LEGAL.sub("", _BALANCE.sub("", name)).strip()


def alternative_names(name: str) -> tuple[str, ...]:
    """Other names a Census name implies: the city in a consolidated government, a name in brackets.

    `Louisville/Jefferson County metro government (balance)` gives `Louisville`; `Macon-Bibb County` gives
    `Macon`; `San Buenaventura (Ventura) city` gives both; `Winston-Salem city` gives nothing.
    """
    own = short_name(name)
    others = []
    consolidated = any(word in name for word in _CONSOLIDATED) and legal_type(name) != "city"
    if consolidated:
        without_county = own.removesuffix(" County")
        others += [without_county, re.split(r"[/-]", without_county)[0]]
    bracket = re.fullmatch(r"(.+?) \((.+)\)", own)
    if bracket:
        others += [bracket.group(1), bracket.group(2)]
    if own.endswith(" Town"):
        others.append(own.removesuffix(" Town"))
    if own.startswith("Urban "):
        others.append(own.removeprefix("Urban "))
    return tuple(dict.fromkeys(text for text in others if text and text != own))


def normalised(text: str) -> str:
    """Comparable form: no accents, case or punctuation; Saint, Fort and Mount abbreviated; no `city of`."""
    plain = text if text.isascii() else unicodedata.normalize("NFKD", text).encode("ascii", "ignore").decode()
    words = _WORD.findall(plain.lower().replace("'", ""))
    if len(words) > 2 and words[1] == "of" and words[0] in _KINDS_OF:
        words = words[2:]
    return " ".join([_SHORT_WORDS.get(word, word) for word in words])


@dataclass(frozen=True, slots=True, kw_only=True)
class Match:
    """A text that names one place. `how`: `code`, `exact`, `normalised` or `alias`."""

    text: str
    place_id: str
    name: str
    state: str
    how: How


@dataclass(frozen=True, slots=True, kw_only=True)
class NoMatch:
    """A text that names no place (`unresolved`) or several (`ambiguous`), with the candidates."""

    text: str
    reason: Literal["unresolved", "ambiguous"]
    candidates: tuple[str, ...]

    def sentence(self) -> str:
        """What is wrong and what to do, in one line."""
        if self.reason == "ambiguous":
            return f"'{self.text}' names {listed(self.candidates)}; add the state or give the code"
        return f"'{self.text}' is no place of the gazetteer. Nearest names: {listed(self.candidates)}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Resolution:
    """Outcome of resolving many texts: `found` by text, and those without one place."""

    found: dict[str, Match]
    unresolved: tuple[NoMatch, ...]
    ambiguous: tuple[NoMatch, ...]

    def raise_if_incomplete(self, *, where: str) -> None:
        """Raise one `DataError` that lists every text without one place, with the nearest names."""
        faults = Faults(where, kind=DataError)
        for miss in (*self.unresolved, *self.ambiguous):
            faults.add(miss.sentence())
        faults.raise_if_any()


@dataclass(frozen=True, slots=True)
class Places:
    """All incorporated places and counties of the gazetteer, and the ways to name them.

    Parameters
    ----------
    names
        Columns `place_id`, `name` (Census name with legal description), `state` (postal), `in_universe`,
        `aliases` (separated by `|`).
    counties
        Columns `county_id`, `name`, `state`.
    """

    names: pd.DataFrame
    counties: pd.DataFrame
    _by_id: dict[str, tuple[str, str]] = field(init=False, repr=False)
    _keys: tuple[dict[tuple[str, str], set[str]], ...] = field(init=False, repr=False)
    _county_keys: dict[tuple[str, str], set[str]] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        exact: dict[tuple[str, str], set[str]] = {}
        loose: dict[tuple[str, str], set[str]] = {}
        alias: dict[tuple[str, str], set[str]] = {}
        by_id = {}
        rows = self.names[["place_id", "name", "state", "aliases"]].itertuples(index=False, name=None)
        for place_id, name, state, aliases in rows:
            by_id[place_id] = (name, state)
            for text in {name, short_name(name)}:
                _add(exact, state, text, place_id)
                _add(loose, state, normalised(text), place_id)
            for text in (*alternative_names(name), *(aliases or "").split("|")):
                _add(alias, state, normalised(text), place_id)
        county: dict[tuple[str, str], set[str]] = {}
        for county_id, name, state in self.counties[["county_id", "name", "state"]].itertuples(index=False):
            _add(county, state, _county_key(name), county_id)
        object.__setattr__(self, "_by_id", by_id)
        object.__setattr__(self, "_keys", (exact, loose, alias))
        object.__setattr__(self, "_county_keys", county)

    @classmethod
    def load(cls, raw_dir: Path) -> Places:
        """The places of the compiled gazetteer under `data/raw`."""
        import pandas as pd

        folder = Path(raw_dir) / "gazetteer"
        frames = []
        for table in ("names", "counties"):
            path = folder / f"{table}.csv"
            if not path.is_file():
                raise DataError(f"{path}: the gazetteer is missing; run `wwc-research data compile` first")
            frames.append(pd.read_csv(path, dtype=str, keep_default_na=False))
        names, counties = frames
        return cls(names.assign(in_universe=names["in_universe"] == "1"), counties)

    def name(self, place_id: str) -> str:
        """`Tempe, AZ`: own name and postal code of a place, for people to read."""
        if place_id not in self._by_id:
            raise DataError(f"place_id {place_id} is no place of the gazetteer")
        name, state = self._by_id[place_id]
        alternatives = alternative_names(name)
        # A consolidated government is known by its city; the bracketed and Town forms keep their own name.
        shown = alternatives[-1] if alternatives and "(" not in short_name(name) else short_name(name)
        return f"{shown}, {state}"

    def __contains__(self, place_id: object) -> bool:
        return place_id in self._by_id

    @property
    def universe(self) -> tuple[str, ...]:
        """The `place_id`s of the universe of places, sorted."""
        return tuple(sorted(self.names.loc[self.names["in_universe"], "place_id"]))

    def resolve(self, text: str, *, state: str | None = None) -> Match | NoMatch:
        """The one place that `text` names, or why there is none.

        Parameters
        ----------
        text
            A 7-digit code, a Census name, a plain name, `City, ST`, `City, State` or a slug `city-st`.
        state
            Postal code, name or two-digit code. Without one, a name of several states is ambiguous.

        Notes
        -----
        Tried in this order, and the first stage with a hit decides: code; the exact Census or plain name;
        the same normalised; names implied by a consolidated government, and declared aliases; the plain name
        of a text with another legal description (`Fishers town` is now `Fishers city`). The last never meets
        an alias: `Macon city` had other boundaries than the `Macon-Bibb County` it was merged into.
        """
        if re.fullmatch(r"\d{7}", text.strip()) and text.strip() in self._by_id:
            return self._match(text, text.strip(), "code")
        name, postal = _split_state(text, state)
        if state is not None and postal is None:
            nearest = self._nearest(name, None)
            return NoMatch(text=f"{text}, {state}", reason="unresolved", candidates=nearest)
        exact, loose, alias = self._keys
        stages: tuple[tuple[dict[tuple[str, str], set[str]], str, How], ...] = (
            (exact, name, "exact"),
            (loose, normalised(name), "normalised"),
            (alias, normalised(name), "alias"),
            (loose, normalised(short_name(name)), "normalised"),
        )
        for index, key, how in stages:
            hits = index.get((postal or "", key), set())
            if len(hits) == 1:
                return self._match(text, next(iter(hits)), how)
            if hits:
                shown = tuple(f"{self._by_id[hit][0]}, {self._by_id[hit][1]} ({hit})" for hit in sorted(hits))
                return NoMatch(text=text, reason="ambiguous", candidates=shown)
        return NoMatch(text=text, reason="unresolved", candidates=self._nearest(name, postal))

    def resolve_all(self, texts: Iterable[str | tuple[str, str]]) -> Resolution:
        """Every text (or `(text, state)` pair) resolved; found ones by `text` or `text, state`."""
        found: dict[str, Match] = {}
        unresolved: list[NoMatch] = []
        ambiguous: list[NoMatch] = []
        for item in dict.fromkeys(texts):
            text, state = (item, None) if isinstance(item, str) else item
            outcome = self.resolve(text, state=state)
            label = text if state is None else f"{text}, {state}"
            if isinstance(outcome, Match):
                found[label] = outcome
            else:
                miss = NoMatch(text=label, reason=outcome.reason, candidates=outcome.candidates)
                (ambiguous if outcome.reason == "ambiguous" else unresolved).append(miss)
        return Resolution(found=found, unresolved=tuple(unresolved), ambiguous=tuple(ambiguous))

    def resolve_county(self, name: str, *, state: str) -> str | None:
        """The 5-digit code of a county by name and state, or None. Independent cities keep `city`."""
        hits = self._county_keys.get((state_postal(state) or "?", _county_key(name)), set())
        return next(iter(hits)) if len(hits) == 1 else None

    def _match(self, text: str, place_id: str, how: How) -> Match:
        name, state = self._by_id[place_id]
        return Match(text=text, place_id=place_id, name=name, state=state, how=how)

    def _nearest(self, name: str, postal: str | None) -> tuple[str, ...]:
        # Without a state the search stays inside the universe: comparing 19,500 names takes seconds.
        known = self.names
        pool = known[known["state"] == postal] if postal else known[known["in_universe"]]
        labels: dict[str, str] = {}
        for place_id, full, state in pool[["place_id", "name", "state"]].itertuples(index=False, name=None):
            for form in (short_name(full), *alternative_names(full)):
                labels.setdefault(normalised(form), f"{full}, {state} ({place_id})")
        close = difflib.get_close_matches(normalised(name), labels, n=3, cutoff=0.6)
        return tuple(dict.fromkeys(labels[key] for key in close))


@dataclass(frozen=True, slots=True, kw_only=True)
class Scope:
    """What a reader needs beside its files.

    Attributes
    ----------
    places
        The gazetteer, for names and codes.
    counties
        Codes of the counties that hold part of a place of the universe; county tables keep only these.
    settings
        The source's own entry in `catalog/sources.toml`.
    """

    places: Places
    counties: frozenset[str] = frozenset()
    settings: Mapping[str, Any] = field(default_factory=dict)


def _add(index: dict[tuple[str, str], set[str]], state: str, key: str, place_id: str) -> None:
    if key:
        index.setdefault((state, key), set()).add(place_id)
        index.setdefault(("", key), set()).add(place_id)


def _county_key(name: str) -> str:
    plain = _COUNTY_WORDS.sub("", name.strip().lower())
    return normalised(plain).replace(" ", "")


def _split_state(text: str, state: str | None) -> tuple[str, str | None]:
    """Name and postal code in a text; the state given apart wins."""
    clean = " ".join(text.split())
    name, postal = clean, None
    slug = re.fullmatch(r"([a-z0-9-]+)-([a-z]{2})", clean)
    last_word = re.fullmatch(r"(.+) ([A-Z]{2}|D\.C\.)", clean)
    if "," in clean and state_postal(clean.rsplit(",", 1)[1]):
        name, tail = clean.rsplit(",", 1)
        postal = state_postal(tail)
    elif slug and slug.group(2).upper() in STATE_CODE:
        name, postal = slug.group(1).replace("-", " "), slug.group(2).upper()
    elif last_word and state_postal(last_word.group(2)):
        name, postal = last_word.group(1), state_postal(last_word.group(2))
    return name.strip(), (state_postal(state) if state is not None else postal)
