"""Level of every city before and after, and the one rule that decides where they differ.

In: `Responses` and two editions. Out: `Deciders`, confidential; aggregates of it are in `impact`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Final, Literal

import numpy as np
from numpy.typing import NDArray

from wwc_research.catalog.editions import Criterion, Edition, Level, TieRule, criterion_ids, folded
from wwc_research.messages import Message, message
from wwc_research.standard.comparison import compare
from wwc_research.standard.responses import MET, NOT_MET, Confidential, Responses
from wwc_research.standard.scoring import LEVELS, OWN_OUTCOME, Standing, score

Unanswered = Literal["met", "not met", "not assessed"]
Way = Literal["in", "out", "lower", "higher"]
Standings = Mapping[str, Mapping[str, Standing]]
Ranks = NDArray[np.intp]
Naming = Callable[[str], Message]

EACH_ALONE: Final = message("more than one change, each enough alone")
TOGETHER: Final = message("several changes together")
_CORE: Final = "core requirement:"
_CORE_LOST: Final = "no longer a core requirement:"
_TIE: Final = message("tie rule")
_OUTCOME: Final = message("outcome requirement")
# Above this many criteria that differ in one way, the way is judged as a whole: a table of forty rules tells nothing.
_SINGLE: Final = 12


class Deciders(Confidential):
    """Each city's level before and after by its last assessment, and what decides; shows only how many cities.

    Attributes
    ----------
    place_id
        Text array.
    level_before, level_after, level_if_met
        0 none to 3 platinum. Where the edition after gives no levels: 1 if its core and outcome requirements are met,
        else 0. `level_if_met` is `level_after` were every criterion without an answer met; None where it is the same.
    labels, decider
        What can decide, and its position for each city; -1 for a city that nothing changes for.
    rules
        The labels that are single changes.
    answered
        Ids of the edition after's criteria to which an answer was carried over.
    gives_levels
        Whether the edition after gives levels.
    ways
        What the changes can do at all: bring a city `in` or `out` of certification, to a `lower` or `higher` level.
    """

    __slots__ = (
        "answered",
        "decider",
        "gives_levels",
        "labels",
        "level_after",
        "level_before",
        "level_if_met",
        "place_id",
        "rules",
        "ways",
    )

    def __init__(
        self,
        place_id: NDArray[np.object_],
        *,
        level_before: Ranks,
        level_after: Ranks,
        level_if_met: Ranks | None,
        restored: Mapping[str, Ranks],
        answered: tuple[str, ...],
        gives_levels: bool,
        ways: frozenset[Way],
    ) -> None:
        self.ways = ways
        self.place_id = place_id
        self.level_before, self.level_after, self.level_if_met = level_before, level_after, level_if_met
        self.rules = tuple(restored)
        self.labels = (*self.rules, EACH_ALONE, TOGETHER)
        self.answered = answered
        self.gives_levels = gives_levels
        self.decider = _decider(level_before if gives_levels else np.ones_like(level_before), level_after, restored)

    def __repr__(self) -> str:
        return f"<Deciders: {len(self.place_id):,} cities, confidential>"


def ranks_and_deciders(
    responses: Responses,
    before: Edition,
    after: Edition,
    *,
    same: Mapping[str, str] | None = None,
    tie_rule: TieRule | None = None,
    outcomes: Standings | None = None,
    unanswered: Unanswered = "not assessed",
) -> Deciders:
    """Levels before and after of every city's last assessment, and what decides the difference.

    One change at a time is undone in the edition after, everything else of it kept, and the cities are scored again:

    - a core requirement that is new is dropped, one that fell away is restored;
    - a criterion that was added is taken out, with its points; one that was dropped is put back with its points and
      the answer it had;
    - points and prerequisites of a criterion that both have are what they were;
    - the bands, the tie rule, the outcome requirement are the old ones.

    The change *decides* for a city that fell if undoing it alone brings back at least its old level, and for one that
    rose if undoing it alone brings it to at most its old level. Where more than one change does so by itself, each is
    enough alone; where none does, several decide together. Above twelve criteria that differ in one way, the way is
    undone as a whole. Validity and population floor give no level and decide nothing.
    """
    pairs = _same(before, after) if same is None else _by_id(same, before, after)
    old, new = _effective(before, tie_rule), _effective(after, tie_rule)
    rows = _last_rows(responses)

    def ranks(edition: Edition, carried: Mapping[str, str], fill: Unanswered) -> Ranks:
        given = responses.under(edition, same=carried)
        if fill != "not assessed":
            given = _filled(given, edition, set(edition.criteria) - set(carried.values()), met=fill == "met")
        scored = score(given, edition, outcomes=_named(outcomes, edition))
        return np.array([LEVELS.index(level) for level in scored.level], dtype=np.intp)[rows]

    judged = new if after.levels_follow_points else _core_only(new)
    blank = tuple(id_ for id_ in after.criteria if id_ not in pairs.values())
    level_after = ranks(judged, pairs, unanswered)
    restored = {
        label: ranks(edition, carried, unanswered)
        for label, (edition, carried) in _undone(old, judged, pairs, gives_levels=judged is new).items()
    }
    frame = responses.confidential_frame()
    own = {id_: id_ for id_ in before.criteria}
    return Deciders(
        frame["place_id"].to_numpy(dtype=object)[rows],
        level_before=ranks(old, own, "not assessed"),
        level_after=level_after,
        level_if_met=ranks(judged, pairs, "met") if blank and unanswered != "met" else None,
        restored=restored,
        answered=tuple(id_ for id_ in after.criteria if id_ in pairs.values()),
        gives_levels=judged is new,
        ways=_ways(restored, old, judged),
    )


def _ways(rules: Mapping[str, Ranks], old: Edition, new: Edition) -> frozenset[Way]:
    """What the changes can do: a core or outcome requirement decides on certification only, the tie rule on levels."""
    ways: set[Way] = set()
    for rule in rules:
        if rule.startswith(_CORE) or (rule == _OUTCOME and old.outcome_requirement is None):
            ways.add("out")
        elif rule.startswith(_CORE_LOST) or (rule == _OUTCOME and new.outcome_requirement is None):
            ways.add("in")
        elif rule == _TIE:
            ways.add("lower" if new.tie_rule == "down" else "higher")
        else:
            ways |= {"in", "out", "lower", "higher"}
    return frozenset(ways)


def _decider(before: Ranks, after: Ranks, restored: Mapping[str, Ranks]) -> Ranks:
    """Position of what decides among the single changes, then `EACH_ALONE`, then `TOGETHER`; -1 without a change."""
    fell, rose = after < before, after > before
    undoes = np.array([np.where(fell, ranks >= before, ranks <= before) for ranks in restored.values()], dtype=bool)
    undoes = undoes.reshape(len(restored), len(before))
    number = undoes.sum(axis=0)
    single = undoes.argmax(axis=0) if len(restored) else np.zeros(len(before), dtype=np.intp)
    several = np.where(number > 1, len(restored), len(restored) + 1)
    return np.where(fell | rose, np.where(number == 1, single, several), -1)


def _by_id(same: Mapping[str, str], before: Edition, after: Edition) -> dict[str, str]:
    """The pairs by id; what is no criterion stays as it is, for `Responses.under` to name."""
    here, there = criterion_ids(before), criterion_ids(after)
    return {here.get(folded(one), one): there.get(folded(other), other) for one, other in same.items()}


def _same(before: Edition, after: Edition) -> dict[str, str]:
    """Criteria that a source says are the same, and numbered placeholders of one id, which only a variant shares."""
    pairs = {pair.before.id: pair.after.id for pair in compare(before, after).pairs if pair.link != "id"}
    stand_ins = {item.id for item in before.placeholders} & {item.id for item in after.placeholders}
    return pairs | {id_: id_ for id_ in before.criteria if id_ in stand_ins}


def _effective(edition: Edition, tie_rule: TieRule | None) -> Edition:
    """The edition with core flags only where core criteria are required, and the tie rule that is asked for."""
    criteria = {
        id_: replace(item, is_core=item.is_core and edition.core_required) for id_, item in edition.criteria.items()
    }
    return replace(edition, criteria=criteria, core_required=True, tie_rule=tie_rule or edition.tie_rule)


def _core_only(edition: Edition) -> Edition:
    """The edition with one level for every share, so that only core and outcome requirements decide."""
    any_share = (Level(name="silver", minimum_pct=0, maximum_pct=100),)
    return replace(edition, levels=any_share, total_is_known=True, levels_by_components=False)


def _undone(
    old: Edition, new: Edition, pairs: Mapping[str, str], *, gives_levels: bool
) -> dict[str, tuple[Edition, dict[str, str]]]:
    """By change: the new edition without it, and the criteria whose answers are carried over to that."""
    carried = dict(pairs)
    found: dict[str, tuple[Edition, dict[str, str]]] = {}
    back = {there: old.criteria[here] for here, there in pairs.items()}

    def note(named: Naming, ids: list[str], undo: Callable[[Criterion], Criterion]) -> None:
        for lot in [[id_] for id_ in ids] if len(ids) <= _SINGLE else [ids]:
            label = named(lot[0] if len(ids) <= _SINGLE else _many(lot))
            criteria = {id_: undo(item) if id_ in lot else item for id_, item in new.criteria.items()}
            found[label] = (replace(new, criteria=criteria), carried)

    def was_core(id_: str) -> bool:
        return id_ in back and back[id_].is_core

    # Without levels there is no share that could have fallen: every core criterion is judged, also one that was core.
    gained = [id_ for id_, item in new.criteria.items() if item.is_core and not (gives_levels and was_core(id_))]
    note(
        lambda what: message("core requirement: {criteria}", criteria=what),
        gained,
        lambda item: replace(item, is_core=False),
    )
    if gives_levels:
        lost = [id_ for id_, item in new.criteria.items() if was_core(id_) and not item.is_core]
        note(
            lambda what: message("no longer a core requirement: {criteria}", criteria=what),
            lost,
            lambda item: replace(item, is_core=True),
        )
        weights = [id_ for id_, item in back.items() if item.points != new.criteria[id_].points]
        note(
            lambda what: message("points of {criteria}", criteria=what),
            weights,
            lambda item: replace(item, points=back[item.id].points),
        )
        needs = {id_: _translated(item.requires, pairs) for id_, item in back.items()}
        chained = [id_ for id_, wanted in needs.items() if set(wanted) != set(new.criteria[id_].requires)]
        note(
            lambda what: message("prerequisites of {criteria}", criteria=what),
            chained,
            lambda item: replace(item, requires=needs[item.id]),
        )
        found |= _added(new, [id_ for id_ in new.criteria if id_ not in back], carried)
        found |= _dropped(old, new, pairs)
        bands = {name: [(b.name, b.minimum_pct, b.maximum_pct) for b in e.levels] for name, e in _both(old, new)}
        if bands["old"] != bands["new"]:
            found[message("level bands")] = (replace(new, levels=old.levels), carried)
        if old.tie_rule != new.tie_rule:
            found[_TIE] = (replace(new, tie_rule=old.tie_rule), carried)
    found |= _outcomes(old, new, carried, gives_levels=gives_levels)
    return found


def _many(ids: Sequence[str]) -> Message:
    return message("{n} criteria", n=len(ids))


def _both(old: Edition, new: Edition) -> tuple[tuple[str, Edition], tuple[str, Edition]]:
    return ("old", old), ("new", new)


def _translated(requires: tuple[str, ...], pairs: Mapping[str, str]) -> tuple[str, ...]:
    return tuple(pairs[here] for here in requires if here in pairs)


def _added(new: Edition, ids: list[str], carried: dict[str, str]) -> dict[str, tuple[Edition, dict[str, str]]]:
    """Without each criterion that was added, or without all of them where they are many."""
    found: dict[str, tuple[Edition, dict[str, str]]] = {}
    for lot in [[id_] for id_ in ids] if len(ids) <= _SINGLE else [ids]:
        criteria = {
            id_: replace(item, requires=tuple(name for name in item.requires if name not in lot))
            for id_, item in new.criteria.items()
            if id_ not in lot
        }
        label = (
            message("criterion added: {criterion}", criterion=lot[0])
            if len(ids) <= _SINGLE
            else message("{n} criteria added", n=len(lot))
        )
        if criteria:
            found[label] = (replace(new, criteria=criteria, criteria_total=len(criteria)), carried)
    return found


def _dropped(old: Edition, new: Edition, pairs: Mapping[str, str]) -> dict[str, tuple[Edition, dict[str, str]]]:
    """With each criterion that was dropped put back, or with all of them where they are many."""
    gone = [id_ for id_ in old.criteria if id_ not in pairs]
    found: dict[str, tuple[Edition, dict[str, str]]] = {}
    for lot in [[id_] for id_ in gone] if len(gone) <= _SINGLE else [gone]:
        # The new edition may use the code for another criterion: what is put back gets a code of its own
        ids = dict(pairs) | {id_: f"{id_} as in {old.name}" for id_ in lot}
        put_back = {
            ids[id_]: replace(
                old.criteria[id_],
                id=ids[id_],
                aliases=(),
                name="",
                requires=tuple(ids[name] for name in old.criteria[id_].requires if name in ids),
            )
            for id_ in lot
        }
        criteria = {
            **{id_: _with_old_needs(item, old, pairs, ids, lot) for id_, item in new.criteria.items()},
            **put_back,
        }
        label = (
            message("criterion dropped: {criterion}", criterion=lot[0])
            if len(gone) <= _SINGLE
            else message("{n} criteria dropped", n=len(lot))
        )
        practices = {**{item.practice: old.practices[item.practice] for item in put_back.values() if item.practice}}
        edition = replace(
            new, criteria=criteria, criteria_total=len(criteria), practices={**practices, **dict(new.practices)}
        )
        found[label] = (edition, ids)
    return found


def _with_old_needs(
    item: Criterion, old: Edition, pairs: Mapping[str, str], ids: Mapping[str, str], lot: list[str]
) -> Criterion:
    """The criterion with those prerequisites again that were dropped and are put back."""
    here = next((before for before, there in pairs.items() if there == item.id), None)
    again = () if here is None else tuple(ids[name] for name in old.criteria[here].requires if name in lot)
    return replace(item, requires=(*item.requires, *again))


def _outcomes(
    old: Edition, new: Edition, carried: dict[str, str], *, gives_levels: bool
) -> dict[str, tuple[Edition, dict[str, str]]]:
    """With the old outcome requirement; without levels there is none to go back to, and it is dropped."""
    wanted = old.outcome_requirement if gives_levels else None
    parts = [
        None if one is None else (one.outcomes, one.at_least, one.has_own_choice)
        for one in (wanted, new.outcome_requirement)
    ]
    if parts[0] == parts[1]:
        return {}
    return {_OUTCOME: (replace(new, outcome_requirement=wanted), carried)}


def _named(outcomes: Standings | None, edition: Edition) -> Standings | None:
    """The standings that the edition's requirement names."""
    if outcomes is None or edition.outcome_requirement is None:
        return None
    names = {*edition.outcome_requirement.outcomes}
    if edition.outcome_requirement.has_own_choice:
        names.add(OWN_OUTCOME)
    return {place: {name: said for name, said in given.items() if name in names} for place, given in outcomes.items()}


def _filled(given: Responses, edition: Edition, ids: set[str], *, met: bool) -> Responses:
    """The answers with every criterion of `ids` met, or none of them."""
    frame = given.confidential_frame()
    values = frame[list(edition.criteria)].to_numpy(copy=True)
    columns = [at for at, id_ in enumerate(edition.criteria) if id_ in ids]
    values[:, columns] = MET if met else NOT_MET
    parts = {what: given.confidential_frame(what=what) for what in ("points", "evidence", "own_outcome")}
    requirement = edition.outcome_requirement
    has_own = requirement is not None and requirement.has_own_choice
    return Responses(
        values,
        place_ids=frame["place_id"].tolist(),
        assessed_on=frame["assessed_on"].tolist(),
        names=frame["name"].tolist(),
        criteria=list(edition.criteria),
        edition=edition,
        points=parts["points"][list(edition.criteria)].to_numpy(dtype=float),
        evidence=parts["evidence"][list(edition.criteria)].to_numpy(),
        own_outcome=parts["own_outcome"]["own_outcome"].tolist() if has_own else None,
    )


def _last_rows(responses: Responses) -> NDArray[np.intp]:
    """Row of each city's last assessment, in the order of place_id."""
    frame = responses.confidential_frame()[["place_id", "assessed_on"]].astype(str)
    last = frame.sort_values(["place_id", "assessed_on"]).drop_duplicates("place_id", keep="last")
    return last.index.to_numpy(dtype=np.intp)
