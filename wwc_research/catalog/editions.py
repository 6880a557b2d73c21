"""Editions of the Standard, one TOML each under `standards/`: practices, criteria, levels, requirements.

In: the package's own TOML, or a text of the same form. Out: frozen `Edition`s; all faults of a file at once.
"""

from __future__ import annotations

import tomllib
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import cache
from graphlib import CycleError, TopologicalSorter
from importlib import resources
from typing import Any, Literal, TypeVar, get_args

from wwc_research.catalog import build_entry, outcomes
from wwc_research.errors import DataError, Faults, InputError, listed

LevelName = Literal["silver", "gold", "platinum"]
Confidence = Literal["source", "inferred", "memory", "unknown"]
TieRule = Literal["down", "up"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Practice:
    """A practice area: `id` (`DM`), its title, how many criteria the edition has in it, codes of other editions."""

    id: str
    title: str
    criteria_count: int | None = None
    aliases: tuple[str, ...] = ()
    confidence: Confidence = "source"
    source: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Criterion:
    """One criterion.

    Attributes
    ----------
    id, practice, name
        Stable id (`DM1`), id of its practice (empty where not known), name (empty where not known).
    aliases
        Ids and names under which other editions or files know it.
    points
        What it counts.
    requires
        Ids that must be met before its points count.
    is_core, is_new, is_placeholder
        Must be met for certification; new in this edition; a numbered stand-in for a criterion whose name no
        source gives.
    is_own_wording
        The name is a description of ours, because no source gives the official one.
    """

    id: str
    practice: str
    name: str
    aliases: tuple[str, ...] = ()
    points: float = 1.0
    requires: tuple[str, ...] = ()
    is_core: bool = False
    is_new: bool = False
    is_placeholder: bool = False
    is_own_wording: bool = False
    confidence: Confidence = "source"
    source: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Level:
    """A level and the band of the share of points (percent, both ends included) that the programme publishes.

    In an edition whose levels follow components the percentages are of components, not of points.
    """

    name: LevelName
    minimum_pct: float
    maximum_pct: float
    confidence: Confidence = "source"
    source: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class OutcomeRequirement:
    """How many of the named outcomes must be demonstrated, and how each may be.

    `outcomes` are names of the catalog's outcomes; `readings` those the sources allow: `progress` (change over a
    window) or `standard` (level against a threshold). No threshold is public, so none stands here. `has_own_choice`
    says that an outcome of the city's own choice counts as well; no table of figures holds it, so staff judge it.
    """

    outcomes: tuple[str, ...]
    at_least: int
    readings: tuple[Literal["progress", "standard"], ...]
    has_own_choice: bool = False
    confidence: Confidence = "source"
    source: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Edition:
    """One edition of the Standard.

    `tie_rule` says which level a total gets that falls into a hole between two published bands (30 of 45, 29 of
    43): `down` the lower, `up` the higher. A share below the lowest band is no level.

    `total_is_known` is False where no source states how many criteria there are: `criteria_total` then counts only
    those that are named, and a share of it means nothing. `levels_by_components` is True where levels follow
    components of which no public source lists the criteria. Levels come from points only if `levels_follow_points`.
    """

    name: str
    title: str
    years: str
    criteria_total: int
    tie_rule: TieRule
    practices: Mapping[str, Practice]
    criteria: Mapping[str, Criterion]
    levels: tuple[Level, ...]
    core_required: bool = False
    outcome_requirement: OutcomeRequirement | None = None
    validity_years: float | None = None
    population_floor: int | None = None
    total_is_known: bool = True
    levels_by_components: bool = False
    confidence: Confidence = "source"
    source: str = ""
    notes: tuple[str, ...] = field(default_factory=tuple)

    @property
    def points_total(self) -> float:
        """All points a city can have."""
        return sum(criterion.points for criterion in self.criteria.values())

    @property
    def levels_follow_points(self) -> bool:
        """Whether a share of points gives a level in this edition."""
        return self.total_is_known and not self.levels_by_components and bool(self.levels)

    @property
    def placeholders(self) -> tuple[Criterion, ...]:
        """The criteria that exist and that no source names."""
        return tuple(criterion for criterion in self.criteria.values() if criterion.is_placeholder)


Part = TypeVar("Part", Practice, Criterion, Level, OutcomeRequirement, Edition)


def folded(text: str) -> str:
    """A code or name with only its letters and digits, in one case and with `&` as `and`: `dm 1` and `DM-1` are one.

    Examples
    --------
    >>> folded("dm 1") == folded("DM-1") == folded("DM1")
    True
    """
    return "".join(character for character in text.casefold().replace("&", "and") if character.isalnum())


def criterion_ids(edition: Edition) -> dict[str, str]:
    """Ids of the edition's criteria by every folded id, name and alias that means them (see `folded`)."""
    known = {folded(alias): item.id for item in edition.criteria.values() for alias in item.aliases}
    known |= {folded(item.name): item.id for item in edition.criteria.values() if item.name}
    return known | {folded(id_): id_ for id_ in edition.criteria}


def read_edition(text: str, *, file: str) -> Edition:
    """The edition that a TOML text declares, checked as a whole.

    Parameters
    ----------
    text
        Fields of `Edition` at the top; tables `practices.<id>`, `criteria.<id>` and `outcome_requirement`; an array
        of tables `levels`; and, for criteria without a known name, a table `placeholders` with `count`, `prefix` and
        perhaps `source`, which adds `<prefix>01`, `<prefix>02`, … at one point each.
    file
        The name errors give to the text.

    Raises
    ------
    DataError
        With every fault of form (fields that are unknown, missing or ill-typed); where there is none, with every
        contradiction: ids, names or aliases used twice;
        practices, prerequisites or outcomes that do not exist; prerequisites in a circle; counts that do not add up;
        level bands out of order or overlapping.
    """
    try:
        raw = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise DataError(f"{file}: this is no TOML ({error}); a code may stand only once") from error
    return checked_edition(raw, file=file)


def checked_edition(raw: Mapping[str, Any], *, file: str) -> Edition:
    """The edition that a mapping of the form of `read_edition`'s TOML declares, checked as a whole; errors alike."""
    faults = Faults(file, kind=DataError)
    criteria = _tables(raw, "criteria", faults) | _placeholders(raw, faults)
    named = {id_: {"name": "", "practice": "", **values} for id_, values in criteria.items()}
    fields: dict[str, Any] = {
        **{key: value for key, value in raw.items() if key != "placeholders"},
        "practices": _parts(Practice, "practices", _tables(raw, "practices", faults), faults),
        "criteria": _parts(Criterion, "criteria", named, faults),
        "levels": _levels(raw, faults),
    }
    if "outcome_requirement" in raw:
        fields["outcome_requirement"] = _part(OutcomeRequirement, "outcome_requirement", raw, faults)
    fields.setdefault("name", "")
    built = _part(Edition, "edition", {"edition": fields}, faults)
    faults.raise_if_any()
    assert built is not None  # raise_if_any has raised otherwise
    _check(built, faults)
    faults.raise_if_any()
    return built


def _part(kind: type[Part], label: str, tables: Mapping[str, Any], faults: Faults) -> Part | None:
    values = tables[label]
    if not isinstance(values, dict):
        faults.add(f"[{label}] should be a table, not {values!r}")
        return None
    plain: Any = kind
    entry: Part | None = build_entry(plain, label, values, faults)
    return entry


def _parts(kind: type[Part], table: str, entries: Mapping[str, Any], faults: Faults) -> dict[str, Part]:
    built = {
        id_: _part(kind, f"{table}.{id_}", {f"{table}.{id_}": {**entries[id_], "id": id_}}, faults) for id_ in entries
    }
    return {id_: entry for id_, entry in built.items() if entry is not None}


def _tables(raw: Mapping[str, Any], key: str, faults: Faults) -> dict[str, dict[str, Any]]:
    tables = raw.get(key, {})
    if not isinstance(tables, dict):
        faults.add(f"{key} = {tables!r} should be tables, one [{key}.<id>] each")
        return {}
    for id_, values in tables.items():
        if not isinstance(values, dict):
            faults.add(f"{key}.{id_} = {values!r} should be a table [{key}.{id_}]")
    return {id_: values for id_, values in tables.items() if isinstance(values, dict)}


def _placeholders(raw: Mapping[str, Any], faults: Faults) -> dict[str, dict[str, Any]]:
    """Fields of the criteria that the table `placeholders` stands for, by id."""
    if "placeholders" not in raw:
        return {}
    table = raw["placeholders"]
    if not (
        isinstance(table, dict)
        and set(table) <= {"count", "prefix", "source"}
        and type(table.get("count")) is int
        and table["count"] > 0
        and isinstance(table.get("prefix"), str)
        and isinstance(table.get("source", ""), str)
    ):
        faults.add(f"[placeholders] should have count (above 0), prefix and perhaps source, not {table!r}")
        return {}
    shared = {"is_placeholder": True, "confidence": "unknown", "source": table.get("source", "")}
    width = max(2, len(str(table["count"])))
    ids = [f"{table['prefix']}{number:0{width}}" for number in range(1, table["count"] + 1)]
    for id_ in set(ids) & set(_tables(raw, "criteria", Faults(""))):
        faults.add(f"[placeholders] makes {id_}, which is a criterion of its own; choose another prefix")
    return {id_: dict(shared) for id_ in ids}


def _levels(raw: Mapping[str, Any], faults: Faults) -> list[Level]:
    levels = raw.get("levels", [])
    if not isinstance(levels, list):
        faults.add(f"levels = {levels!r} should be tables, one [[levels]] each")
        return []
    labelled = {f"levels.{number}": values for number, values in enumerate(levels, start=1)}
    built = [_part(Level, label, labelled, faults) for label in labelled]
    return [level for level in built if level is not None]


def _check(edition: Edition, faults: Faults) -> None:
    """Note every contradiction inside an edition whose fields are all well typed."""
    if not edition.name:
        faults.add("name is missing or empty; give the edition a name such as 'v3'")
    _check_codes(edition, faults)
    _check_criteria(edition, faults)
    _check_counts(edition, faults)
    _check_levels(edition, faults)
    if edition.outcome_requirement is not None:
        _check_outcomes(edition.outcome_requirement, faults)
    if edition.validity_years is not None and not 0 < edition.validity_years < float("inf"):
        faults.add(f"validity_years = {edition.validity_years:g} should be above 0; leave it out where not known")
    if edition.population_floor is not None and edition.population_floor < 0:
        faults.add(f"population_floor = {edition.population_floor} should not be below 0")


def _check_codes(edition: Edition, faults: Faults) -> None:
    meanings: list[tuple[str, str, str]] = []
    for item in edition.criteria.values():
        # An alias or name that folds to its criterion's own id is a repetition, not a second meaning
        texts = {folded(text): text for text in (*item.aliases, item.name, item.id) if text}
        meanings += [(key, text, item.id) for key, text in texts.items()]
        repeated = [alias for alias, count in Counter(folded(alias) for alias in item.aliases).items() if count > 1]
        if repeated:
            faults.add(f"[criteria.{item.id}] has the alias {listed(repeated)} more than once")
        if "" in {folded(text) for text in (*item.aliases, item.id)}:
            faults.add(f"[criteria.{item.id}] has an id or alias without any letter or digit")
    _add_shared(meanings, "criteria", faults)
    codes = [(folded(code), code, item.id) for item in edition.practices.values() for code in (item.id, *item.aliases)]
    _add_shared(codes, "practices", faults)


def _add_shared(meanings: Iterable[tuple[str, str, str]], table: str, faults: Faults) -> None:
    holders: dict[str, dict[str, str]] = {}
    for key, text, id_ in meanings:
        holders.setdefault(key, {}).setdefault(id_, text)
    for owners in holders.values():
        if len(owners) > 1:
            faults.add(
                f"{table} {listed(owners, limit=10)} share the id, name or alias {next(iter(owners.values()))!r}"
            )


def _check_criteria(edition: Edition, faults: Faults) -> None:
    for item in edition.criteria.values():
        label = f"[criteria.{item.id}]"
        if item.practice not in edition.practices and not (item.is_placeholder and not item.practice):
            faults.add(f"{label} practice = {item.practice!r}; allowed: {listed(edition.practices, limit=20)}")
        if not item.name and not item.is_placeholder:
            faults.add(f"{label} has no name; give one, or set is_placeholder = true")
        if item.name and item.is_placeholder:
            faults.add(f"{label} is a placeholder and yet has the name {item.name!r}; take one of them away")
        if not 0 < item.points < float("inf"):
            faults.add(f"{label} points = {item.points:g} should be above 0")
        missing = [id_ for id_ in item.requires if id_ not in edition.criteria]
        if missing:
            faults.add(f"{label} requires {listed(missing)}, which is no criterion of this edition; use ids")
    try:
        TopologicalSorter({item.id: item.requires for item in edition.criteria.values()}).prepare()
    except CycleError as error:
        faults.add(f"prerequisites go in a circle: {' → '.join(reversed(error.args[1]))}; take one of them away")
    if edition.core_required and not any(item.is_core for item in edition.criteria.values()):
        faults.add("core_required = true and no criterion has is_core = true")


def _check_counts(edition: Edition, faults: Faults) -> None:
    found = len(edition.criteria)
    if found != edition.criteria_total:
        faults.add(
            f"criteria_total = {edition.criteria_total} and {found} criteria are given; add placeholders or mend"
        )
    stated = {item.id: item.criteria_count for item in edition.practices.values() if item.criteria_count is not None}
    total = sum(stated.values())
    is_whole = len(stated) == len(edition.practices)
    if total > edition.criteria_total or (is_whole and stated and total != edition.criteria_total):
        faults.add(f"the practices' criteria_count add up to {total}, criteria_total is {edition.criteria_total}")
    held = Counter(item.practice for item in edition.criteria.values())
    for id_, count in stated.items():
        if held[id_] > count or (held[id_] < count and held[""] == 0):
            faults.add(f"[practices.{id_}] criteria_count = {count} and {held[id_]} criteria name this practice")


def _check_levels(edition: Edition, faults: Faults) -> None:
    names = [level.name for level in edition.levels]
    order = [name for name in get_args(LevelName) if name in names]
    if names != order:
        faults.add(f"levels stand as {listed(names)}; each once, in the order {listed(get_args(LevelName))}")
    for level in edition.levels:
        if not 0 <= level.minimum_pct <= level.maximum_pct <= 100:
            faults.add(f"the {level.name} band {level.minimum_pct:g}-{level.maximum_pct:g} should rise within 0-100")
    for lower, upper in zip(edition.levels, edition.levels[1:], strict=False):
        if upper.minimum_pct <= lower.maximum_pct:
            faults.add(
                f"the {upper.name} band begins at {upper.minimum_pct:g}, "
                f"not above the end of {lower.name} at {lower.maximum_pct:g}"
            )


def _check_outcomes(requirement: OutcomeRequirement, faults: Faults) -> None:
    missing = [name for name in requirement.outcomes if name not in outcomes()]
    if missing:
        faults.add(
            f"[outcome_requirement] outcomes {listed(missing)} do not exist; allowed: {listed(outcomes(), limit=40)}"
        )
    number = len(requirement.outcomes) + requirement.has_own_choice
    if not 1 <= requirement.at_least <= number:
        faults.add(
            f"[outcome_requirement] at_least = {requirement.at_least} should lie between 1 and "
            f"{number}, the number of outcomes"
        )
    if not requirement.readings:
        faults.add("[outcome_requirement] readings is empty; allowed: progress and standard")


@cache
def editions() -> dict[str, Edition]:
    """All editions that ship with the package by name, oldest first.

    Raises
    ------
    DataError
        Where a file is faulty or declares another name than its own.
    """
    folder = resources.files("wwc_research.catalog").joinpath("standards")
    found: dict[str, Edition] = {}
    # The order of file names is the order of time: `v3-draft.toml` stands before `v3.toml`
    for path in sorted(folder.iterdir(), key=lambda item: item.name):
        if path.name.endswith(".toml"):
            file = f"catalog/standards/{path.name}"
            entry = read_edition(path.read_text(encoding="utf-8"), file=file)
            if f"{entry.name}.toml" != path.name:
                raise DataError(f"{file}: name = {entry.name!r} should be the name of the file without its ending")
            found[entry.name] = entry
    return found


def edition(name: str) -> Edition:
    """The edition `name`; an unknown name is an InputError that lists the known ones."""
    if name not in editions():
        raise InputError(f"there is no edition {name!r}; allowed: {listed(editions(), limit=20)}")
    return editions()[name]
