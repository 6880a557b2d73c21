"""A proposed edition as changes to one that exists, in a TOML file of the editions' own form.

In: `based_on` and what differs. Out: an `Edition` checked as every other; all faults of the file in one message.
"""

from __future__ import annotations

import dataclasses
import tomllib
from collections.abc import Mapping
from typing import Any, Final

from wwc_research.catalog.editions import Edition, checked_edition, edition, editions, folded
from wwc_research.errors import DataError, Faults, InputError, listed

# What only a proposal has, beside the fields of an edition.
_OWN: Final = ("based_on", "drop_criteria", "drop_outcome_requirement")
# Tables of which a proposal gives only what differs.
_TABLES: Final = ("criteria", "practices")


def read_proposal(text: str, *, file: str) -> Edition:
    """The edition that a TOML text proposes.

    Parameters
    ----------
    text
        `based_on = "v3"` and what differs, in the form of the editions' own files: fields at the top replace those of
        the base; `[criteria.<id>]` and `[practices.<id>]` change the fields they name, or add what the base does not
        have; `[[levels]]` and `[outcome_requirement]` replace the whole; `drop_criteria = ["OD1"]` takes criteria away
        and `drop_outcome_requirement = true` the requirement. Counts follow by themselves.
    file
        The name errors give to the text.

    Raises
    ------
    InputError
        With every fault of form; where there is none, with every contradiction (see `read_edition`).
    """
    try:
        raw = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise InputError(f"{file}: this is no TOML ({error}); a code may stand only once") from error
    base = raw.get("based_on")
    if not isinstance(base, str) or base not in editions():
        raise InputError(f"{file}: based_on = {base!r}; allowed: {listed(map(repr, editions()), limit=20)}")
    changes = {key: value for key, value in raw.items() if key != "based_on"}
    return variant(edition(base), changes, file=file)


def variant(base: Edition, changes: Mapping[str, Any], *, file: str = "proposal") -> Edition:
    """The edition that `changes` (as in `read_proposal`, without `based_on`) make of `base`.

    The source of what it changes is the proposal itself, where it names none. A criterion that gets another name keeps
    the old one as an alias, so that answers to it still count. The name is `<base>-proposal` where none is given.

    Raises
    ------
    InputError
        As `read_proposal`; a proposal that changes nothing is refused too.
    """
    faults = Faults(file)
    raw = _plain(base) | {"name": f"{base.name}-proposal", "title": f"Proposal based on {base.title}"}
    raw["years"] = "proposed"
    known = {item.name for item in dataclasses.fields(Edition)} | set(_OWN[1:])
    for key in changes.keys() - known:
        faults.add(f"unknown field {key!r}; allowed: {listed(sorted(known), limit=40)}")
    changes = {key: value for key, value in changes.items() if key in known}
    dropped = _dropped(base, changes, faults)
    raw |= {key: value for key, value in changes.items() if key not in (*_OWN, *_TABLES)}
    for table in _TABLES:
        raw[table] = _merged(raw[table], changes.get(table, {}), table=table, faults=faults)
    for id_, item in base.criteria.items():
        entry = raw["criteria"][id_]
        if isinstance(entry.get("name"), str) and item.name and folded(entry["name"]) != folded(item.name):
            entry["aliases"] = [*entry["aliases"], item.name]
    raw["criteria"] = {id_: entry for id_, entry in raw["criteria"].items() if id_ not in dropped}
    if changes.get("drop_outcome_requirement", False) is True:
        raw.pop("outcome_requirement", None)
    elif "drop_outcome_requirement" in changes and changes["drop_outcome_requirement"] is not False:
        faults.add(f"drop_outcome_requirement = {changes['drop_outcome_requirement']!r} should be true or false")
    if raw["name"] in editions():
        faults.add(f"name = {raw['name']!r} is the name of an edition; give the proposal one of its own")
    _count(raw, changes)
    proposed = None
    try:
        proposed = checked_edition(raw, file=file)
    except DataError as error:
        _take_over(str(error), file=file, faults=faults)
    faults.raise_if_any()
    assert proposed is not None  # raise_if_any has raised otherwise
    labels = {"name": base.name, "title": base.title, "notes": base.notes, "source": base.source, "years": base.years}
    if dataclasses.replace(proposed, **labels) == base:  # type: ignore[arg-type]  # fields of an edition by name
        raise InputError(f"{file}: changes nothing of {base.name}; name a field, criterion or level that differs")
    return proposed


def _plain(base: Edition) -> dict[str, Any]:
    """The edition as the mapping that its file would give."""
    raw = dataclasses.asdict(base)
    raw["criteria"] = {id_: _without_id(entry) for id_, entry in raw["criteria"].items()}
    raw["practices"] = {id_: _without_id(entry) for id_, entry in raw["practices"].items()}
    raw["levels"] = [_listed_values(level) for level in raw["levels"]]
    raw["notes"] = list(raw["notes"])
    requirement = raw.pop("outcome_requirement")
    if requirement is not None:
        raw["outcome_requirement"] = _listed_values(requirement)
    return {key: value for key, value in raw.items() if value is not None}


def _without_id(entry: Mapping[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in _listed_values(entry).items() if key != "id" and value is not None}


def _listed_values(entry: Mapping[str, Any]) -> dict[str, Any]:
    return {key: list(value) if isinstance(value, tuple) else value for key, value in entry.items()}


def _dropped(base: Edition, changes: Mapping[str, Any], faults: Faults) -> set[str]:
    given = changes.get("drop_criteria", [])
    if not isinstance(given, list) or not all(isinstance(id_, str) for id_ in given):
        faults.add(f"drop_criteria = {given!r} should be a list of ids")
        return set()
    unknown = [id_ for id_ in given if id_ not in base.criteria]
    if unknown:
        faults.add(
            f"drop_criteria names {listed(unknown)}, no criterion of {base.name}; "
            f"it has {listed(base.criteria, limit=60)}"
        )
    tables = changes.get("criteria", {})
    both = sorted(set(given) & set(tables)) if isinstance(tables, Mapping) else []
    if both:
        faults.add(f"{listed(both)} both dropped and changed; decide for one")
    return set(given)


def _merged(base: Mapping[str, Any], changes: Any, *, table: str, faults: Faults) -> dict[str, Any]:
    """The entries of the base with the fields that differ."""
    if not isinstance(changes, Mapping):
        faults.add(f"{table} = {changes!r} should be tables, one [{table}.<id>] each")
        return dict(base)
    merged = dict(base)
    for id_, values in changes.items():
        if isinstance(values, Mapping):
            # What the base's source says of an entry, it does not say of the change
            merged[id_] = {**merged.get(id_, {}), "source": "the proposal itself", "confidence": "source", **values}
        else:
            faults.add(f"{table}.{id_} = {values!r} should be a table [{table}.{id_}]")
    return merged


def _count(raw: dict[str, Any], changes: Mapping[str, Any]) -> None:
    """Counts as the criteria now give them, where the proposal does not state its own."""
    practices = [entry.get("practice", "") for entry in raw["criteria"].values()]
    if "criteria_total" not in changes:
        raw["criteria_total"] = len(practices)
    for id_, entry in raw["practices"].items():
        stated = changes.get("practices", {})
        own = stated.get(id_, {}) if isinstance(stated, Mapping) else {}
        if "criteria_count" in entry and "criteria_count" not in own:
            entry["criteria_count"] = practices.count(id_)


def _take_over(message: str, *, file: str, faults: Faults) -> None:
    """Note the faults of another gathering one by one."""
    lines = message.removeprefix(f"{file}: ").split("\n")
    for line in lines[1:] if len(lines) > 1 else lines:
        faults.add(line.strip().split(". ", 1)[-1] if len(lines) > 1 else line)
