"""What changes from one edition of the Standard to another: criteria, weights, core, practices, levels and rules.

In: two editions. Out: a frozen `Comparison`; `as_rows` gives it as rows for a table.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import reduce
from typing import Final, Literal

from wwc_research.catalog import outcome
from wwc_research.catalog.editions import (
    Criterion,
    Edition,
    Level,
    LevelName,
    OutcomeRequirement,
    Practice,
    TieRule,
    folded,
)
from wwc_research.messages import Message, message

Link = Literal["same", "alias", "id"]
LEVEL_WORDS: Final[Mapping[str, Message]] = {
    "none": message("none"),
    "silver": message("silver"),
    "gold": message("gold"),
    "platinum": message("platinum"),
}
_TIES: Final[Mapping[TieRule, Message]] = {"down": message("down"), "up": message("up")}
_READINGS: Final = {"progress": message("progress"), "standard": message("standard")}


@dataclass(frozen=True, slots=True, kw_only=True)
class Pair:
    """One criterion in both editions.

    `link` says how it was recognised: `same` id and name, `alias` declared by either edition, or only the same `id`
    under another name or a name of our own wording, in which case no source says that it is the same criterion.
    """

    before: Criterion
    after: Criterion
    link: Link


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """Something that both editions say in their own way, in words: `item`, `before` and `after`."""

    item: str
    before: str
    after: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """All that differs between two editions.

    Attributes
    ----------
    old, new
        Names of the editions.
    pairs
        Criteria recognised in both, in the order of the new edition.
    added, dropped
        Named criteria without a counterpart. What is certain among them, `added_for_certain` and
        `dropped_for_certain` say.
    placeholders_old, placeholders_new
        How many criteria of each edition no source names; they are never matched.
    re_weighted, moved
        Pairs whose points differ; pairs whose practice differs (a practice under a new code is no move).
    core_gained, core_lost
        Ids of the new edition that were not core before; ids of the old one that are core no more.
    practice_changes, level_changes, rule_changes
        Practices added, dropped or renamed; bands; totals, tie rule, outcome requirement, validity, population floor.
    """

    old: str
    new: str
    pairs: tuple[Pair, ...]
    added: tuple[Criterion, ...]
    dropped: tuple[Criterion, ...]
    added_for_certain: tuple[str, ...]
    dropped_for_certain: tuple[str, ...]
    placeholders_old: int
    placeholders_new: int
    re_weighted: tuple[Pair, ...]
    moved: tuple[Pair, ...]
    core_gained: tuple[str, ...]
    core_lost: tuple[str, ...]
    practice_changes: tuple[Change, ...]
    level_changes: tuple[Change, ...]
    rule_changes: tuple[Change, ...]

    @property
    def renamed(self) -> tuple[Pair, ...]:
        """Pairs that an alias joins and whose id or official name differs."""
        return tuple(pair for pair in self.pairs if pair.link == "alias" and _is_renamed(pair))

    @property
    def same_code_only(self) -> tuple[Pair, ...]:
        """Pairs of one code of which no source says that they are the same criterion."""
        return tuple(pair for pair in self.pairs if pair.link == "id")

    def as_rows(self) -> list[dict[str, str]]:
        """The differences as rows of texts: change, item, before, after, note; placeholders have a row of their own."""
        return [*self._criterion_rows(), *self._pair_rows(), *self._rule_rows()]

    def _criterion_rows(self) -> Iterator[dict[str, str]]:
        for item in self.added:
            unsure = message("may stand unnamed in {edition}, or under another code", edition=self.old)
            note = "" if item.id in self.added_for_certain else unsure
            yield _row("added", item.id, "", item.name, note)
        for item in self.dropped:
            unsure = message("no source says what became of it in {edition}", edition=self.new)
            note = "" if item.id in self.dropped_for_certain else unsure
            yield _row("dropped", item.id, item.name, "", note)
        if self.placeholders_old or self.placeholders_new:
            counts = (str(self.placeholders_old), str(self.placeholders_new))
            yield _row("unnamed", "criteria without a known name", *counts, "not compared")

    def _pair_rows(self) -> Iterator[dict[str, str]]:
        for pair in self.renamed:
            before, after = (f"{item.id} {item.name}" for item in (pair.before, pair.after))
            yield _row("renamed", pair.after.id, before, after)
        for pair in self.same_code_only:
            note = "matched by code; no source says that it is the same criterion"
            yield _row("same code", pair.after.id, pair.before.name, pair.after.name, note)
        for pair in self.re_weighted:
            points = (f"{item.points:g}" for item in (pair.before, pair.after))
            yield _row("re-weighted", pair.after.id, *points)
        for pair in self.moved:
            yield _row("moved", pair.after.id, pair.before.practice, pair.after.practice)
        for id_ in self.core_gained:
            yield _row("core", id_, "not core", "core")
        for id_ in self.core_lost:
            yield _row("core", id_, "core", "not core")

    def _rule_rows(self) -> Iterator[dict[str, str]]:
        groups = {"practice": self.practice_changes, "level": self.level_changes, "rule": self.rule_changes}
        for kind, changes in groups.items():
            for change in changes:
                yield _row(kind, change.item, change.before, change.after)


def compare(old: Edition, new: Edition) -> Comparison:
    """What was added, dropped, renamed, re-weighted and re-ruled from `old`, the earlier edition, to `new`.

    Criteria are matched by the aliases that either edition declares, then by id. A criterion that the new edition
    calls new does not continue an older one of the same code, unless the older edition calls it new too. Placeholders
    are counted and never matched. Codes and names are compared without regard to case, spaces and punctuation.
    """
    pairs = _pairs(old, new)
    added = _without_partner(new, {pair.after.id for pair in pairs})
    dropped = _without_partner(old, {pair.before.id for pair in pairs})
    core_before = {pair.after.id for pair in pairs if pair.before.is_core}
    core_after = {pair.before.id for pair in pairs if pair.after.is_core}
    is_whole = _is_whole(old) and _is_whole(new)
    practices = _practice_partners(old, new)
    moved = tuple(pair for pair in pairs if practices.get(pair.before.practice, "") != pair.after.practice)
    return Comparison(
        old=old.name,
        new=new.name,
        pairs=pairs,
        added=added,
        dropped=dropped,
        added_for_certain=tuple(item.id for item in added if item.is_new or is_whole),
        dropped_for_certain=tuple(item.id for item in dropped if is_whole),
        placeholders_old=len(old.placeholders),
        placeholders_new=len(new.placeholders),
        re_weighted=tuple(pair for pair in pairs if pair.before.points != pair.after.points),
        moved=moved,
        core_gained=tuple(id_ for id_, item in new.criteria.items() if item.is_core and id_ not in core_before),
        core_lost=tuple(id_ for id_, item in old.criteria.items() if item.is_core and id_ not in core_after),
        practice_changes=_practice_changes(old, new, practices),
        level_changes=_level_changes(old, new),
        rule_changes=_rule_changes(old, new),
    )


def _row(change: str, item: str, before: str, after: str, note: str = "") -> dict[str, str]:
    return {"change": change, "item": item, "before": before, "after": after, "note": note}


def _is_whole(edition: Edition) -> bool:
    """Whether every criterion of the edition is named."""
    return edition.total_is_known and not edition.placeholders


def _without_partner(edition: Edition, partnered: set[str]) -> tuple[Criterion, ...]:
    named = (item for item in edition.criteria.values() if not item.is_placeholder)
    return tuple(item for item in named if item.id not in partnered)


def _is_renamed(pair: Pair) -> bool:
    if folded(pair.before.id) != folded(pair.after.id):
        return True
    is_official = not (pair.before.is_own_wording or pair.after.is_own_wording)
    return is_official and folded(pair.before.name) != folded(pair.after.name)


def _link(before: Criterion, after: Criterion) -> Link | None:
    """How two named criteria are known to be one, or None."""
    is_same_id = folded(before.id) == folded(after.id)
    names_before = {folded(text) for text in (before.id, before.name) if text}
    names_after = {folded(text) for text in (after.id, after.name) if text}
    if names_before & {folded(text) for text in after.aliases} or names_after & {
        folded(text) for text in before.aliases
    }:
        return "alias"
    if not is_same_id or (after.is_new and not before.is_new):
        return None
    is_same_name = folded(before.name) == folded(after.name) and before.is_own_wording == after.is_own_wording
    return "same" if is_same_name else "id"


def _pairs(old: Edition, new: Edition) -> tuple[Pair, ...]:
    """Each named criterion of either edition in at most one pair: aliases first, then ids."""
    olds = [item for item in old.criteria.values() if not item.is_placeholder]
    news = [item for item in new.criteria.values() if not item.is_placeholder]
    links = {(before.id, after.id): _link(before, after) for after in news for before in olds}
    found: dict[str, Pair] = {}
    taken: set[str] = set()
    for wanted in ("alias", "same", "id"):
        for after in news:
            for before in olds:
                link = links[before.id, after.id]
                if link == wanted and after.id not in found and before.id not in taken:
                    found[after.id] = Pair(before=before, after=after, link=link)
                    taken.add(before.id)
    return tuple(found[item.id] for item in news if item.id in found)


def _practice_partners(old: Edition, new: Edition) -> dict[str, str]:
    """Ids of the new edition's practices by the ids of the old ones that they continue."""

    def codes(practice: Practice) -> set[str]:
        return {folded(code) for code in (practice.id, *practice.aliases)}

    partners: dict[str, str] = {}
    for before in old.practices.values():
        for after in new.practices.values():
            if folded(before.id) in codes(after) or folded(after.id) in codes(before):
                partners.setdefault(before.id, after.id)
    return partners


def _practice_changes(old: Edition, new: Edition, partners: dict[str, str]) -> tuple[Change, ...]:
    changes = []
    for before in old.practices.values():
        after = new.practices.get(partners.get(before.id, ""))
        if after is None:
            changes.append(Change(item=before.id, before=before.title, after=_absent(new)))
        elif before.id != after.id or folded(before.title) != folded(after.title):
            texts = (f"{before.id} {before.title}", f"{after.id} {after.title}")
            changes.append(Change(item=after.id, before=texts[0], after=texts[1]))
    for practice in new.practices.values():
        if practice.id not in partners.values():
            changes.append(Change(item=practice.id, before=_absent(old), after=practice.title))
    return tuple(changes)


def _absent(edition: Edition) -> str:
    return message("none") if edition.total_is_known else message("not named")


def _level_changes(old: Edition, new: Edition) -> tuple[Change, ...]:
    names: tuple[LevelName, ...] = ("silver", "gold", "platinum")
    bands = [(name, _band(old, name), _band(new, name)) for name in names]
    return tuple(
        Change(item=LEVEL_WORDS[name], before=before, after=after) for name, before, after in bands if before != after
    )


def _band(edition: Edition, name: LevelName) -> str:
    found: list[Level] = [level for level in edition.levels if level.name == name]
    if not found:
        return message("not stated")
    low, high = found[0].minimum_pct, found[0].maximum_pct
    if edition.levels_by_components:
        if low == high:
            return message("{low:g} % of components", low=low)
        return message("{low:g} to {high:g} % of components", low=low, high=high)
    if low == high:
        return message("{low:g} % of points", low=low)
    return message("{low:g} to {high:g} % of points", low=low, high=high)


def _rule_changes(old: Edition, new: Edition) -> tuple[Change, ...]:
    before, after = _rules(old), _rules(new)
    return tuple(Change(item=key, before=before[key], after=after[key]) for key in before if before[key] != after[key])


def _rules(edition: Edition) -> dict[str, str]:
    """What the edition says beside its criteria and bands, in words."""
    validity, floor = edition.validity_years, edition.population_floor
    has_bands, total = edition.levels_follow_points, edition.criteria_total
    by_points = message("points") if has_bands else message("not stated")
    return {
        message("criteria"): message("{total}", total=total)
        if edition.total_is_known
        else message("not stated ({total} named)", total=total),
        message("levels follow"): message("components") if edition.levels_by_components else by_points,
        message("total between two bands"): _TIES[edition.tie_rule] if has_bands else message("does not arise"),
        message("core criteria"): message("required") if edition.core_required else message("none known"),
        message("outcomes"): _outcomes_in_words(edition.outcome_requirement),
        message("validity"): message("not stated") if validity is None else message("{years:g} years", years=validity),
        message("population floor"): message("not stated") if floor is None else message("{floor:,}", floor=floor),
    }


def _outcomes_in_words(requirement: OutcomeRequirement | None) -> str:
    if requirement is None:
        return message("none known")
    own = (message("an outcome of the city's own choice"),) if requirement.has_own_choice else ()
    return message(
        "at least {n} of {outcomes:list}, by {readings}",
        n=requirement.at_least,
        outcomes=[*(outcome(name).title for name in requirement.outcomes), *own],
        readings=either([_READINGS[name] for name in requirement.readings]),
    )


def either(texts: Sequence[str]) -> str:
    """The texts as alternatives: `silver or gold`."""
    return reduce(lambda one, other: message("{one} or {other}", one=one, other=other), texts)
