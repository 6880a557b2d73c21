"""What another edition or a changed rule would do to the cities that were scored, in aggregates that may be published.

In: `Responses`, the edition they were given under, the one proposed. Out: a frozen `Impact` without any city.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, Final, Literal, get_args

import numpy as np
from numpy.typing import NDArray

from wwc_research.catalog.editions import Edition, TieRule
from wwc_research.errors import Faults, listed
from wwc_research.messages import Message, message
from wwc_research.standard import disclosure
from wwc_research.standard.comparison import LEVEL_WORDS, either
from wwc_research.standard.deciders import Deciders, Unanswered, ranks_and_deciders
from wwc_research.standard.disclosure import Codes
from wwc_research.standard.regions import REGIONS, census_region
from wwc_research.standard.responses import Responses
from wwc_research.standard.scoring import LEVELS, OWN_OUTCOME, Standing
from wwc_research.standard.summaries import SIZE_BANDS

Table = Literal["change", "transition", "decided_by", "if_met", "size_band", "region"]

LOSES: Final = message("loses certification")
LOWER: Final = message("falls to a lower level")
KEEPS: Final = message("keeps its level")
HIGHER: Final = message("rises to a higher level")
STAYS: Final = message("stays without certification")
GAINS: Final = message("gains certification")
FAILS: Final = message("does not meet every core requirement")
MEETS: Final = message("meets every core requirement")
STILL: Final = message("also if every criterion without an answer were met")
ONLY_UNANSWERED: Final = message("only because of criteria without an answer")
_FALLING: Final = frozenset({LOSES, LOWER, FAILS})
_RISING: Final = frozenset({HIGHER, GAINS})


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One published number.

    Attributes
    ----------
    group
        Cities certified, or not certified, under the edition before.
    table
        What the number belongs to; `change` are the parts of a group, every other table divides them further.
    change
        What becomes of these cities; several texts stand for cities of which one of them is true, not told apart.
    item
        Levels, deciding rule, size band or region; several texts likewise. Empty for the table `change`.
    cities_count
        At least k.
    """

    group: str
    table: Table
    change: tuple[str, ...]
    item: tuple[str, ...]
    cities_count: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Impact:
    """What may be published of an impact.

    Attributes
    ----------
    before, after, k, unanswered
        Names of the editions and the options.
    groups
        How many cities of each group the numbers are about.
    rows
        Every number, see `Row`.
    left_out
        Groups of fewer than k cities (nobody's numbers stand anywhere), by name.
    withheld
        (group, table) that would not be safe.
    gives_levels
        Whether the edition after gives levels; where it does not, only its core requirements are judged.
    criteria_count, answered
        Criteria of the edition after, and the ids of those to which the cities have given an answer.
    rules
        What differs between the editions and can decide; where it is one, it decides everything and no table says so.
    is_simulated
        Whether the cities are invented.
    """

    before: str
    after: str
    k: int
    unanswered: Unanswered
    groups: Mapping[str, int]
    rows: tuple[Row, ...]
    left_out: tuple[str, ...]
    withheld: tuple[tuple[str, Table], ...]
    gives_levels: bool
    criteria_count: int
    answered: tuple[str, ...]
    rules: tuple[str, ...]
    is_simulated: bool

    def table(self, name: Table, *, group: str) -> tuple[Row, ...]:
        """The rows of one table of one group; none where it is withheld or does not arise."""
        return tuple(row for row in self.rows if row.table == name and row.group == group)

    def as_rows(self) -> list[dict[str, Any]]:
        """Every number as a row of plain values: group, table, change, item, cities_count; texts joined by ` | `."""
        totals = [
            {"group": name, "table": "group", "change": "", "item": "", "cities_count": count}
            for name, count in self.groups.items()
        ]
        return totals + [
            {
                "group": row.group,
                "table": row.table,
                "change": " | ".join(row.change),
                "item": " | ".join(row.item),
                "cities_count": row.cities_count,
            }
            for row in self.rows
        ]


def impact(
    responses: Responses,
    *,
    before: Edition,
    after: Edition,
    same: Mapping[str, str] | None = None,
    tie_rule: TieRule | None = None,
    outcomes: Mapping[str, Mapping[str, Standing]] | None = None,
    unanswered: Unanswered = "not assessed",
    population: Mapping[str, float] | None = None,
    region: Mapping[str, str] | None = None,
    k: int = 10,
) -> Impact:
    """How many cities would lose, keep or gain a level and certification, by level, deciding rule, size and region.

    Each city counts by its last assessment. A rule *decides* a city's change if the edition after with this one rule
    as it was before, and all else new, undoes the change (see `deciders`). Groups of cities that are not told apart
    stand as one number.

    What a reader can learn. (1) Every number counts at least k cities, and so does its rest within the group, zero
    included: no number says that nobody, or everybody, of a group is in it. Numbers of cities by what is public of
    them (certified before or not, level before, size, region) are divided by the change only where every cell holds k.
    (2) Within the cities of a group that change for the worse, and within the others, all tables are partitions into
    parts of at least k; a table is published only if no group of fewer than k cities follows from adding and
    subtracting the numbers of all tables, even for a reader who knows which combinations of parts do not occur.
    (3) A group of fewer than k cities is left out of every number. What this does not stop: bounds that are narrow
    and not exact, a reader who knows the answers of other cities, and comparison with another release on the same
    cities (another k, edition or `unanswered`). Publish one.

    Parameters
    ----------
    same
        Criterion before → criterion after. Without it, those that an alias or the same id and official name joins
        (`comparison.compare`), and numbered placeholders of the same id. A code alone joins nothing: `OD2` of v2 and
        of v3 are two criteria.
    tie_rule
        For both editions; each edition's own where not given.
    outcomes
        As for `scoring.score`; each edition takes the outcomes that it names.
    unanswered
        How criteria after count to which no city has given an answer. `not assessed` and `not met` count nothing, the
        worst case; `met` is the best one. In the worst case the table `if_met` says how much hangs on it.
    population, region
        place_id → residents; place_id → region (default: the census region of the place code).

    Raises
    ------
    InputError
        With every fault of the options; if the responses belong to another edition than `before`, that gives no level,
        or `after` gives neither level nor core criteria; if no group has k cities. No error holds a city or a number.
    """
    _check(responses, before, after, k=k, unanswered=unanswered, outcomes=outcomes)
    judged = ranks_and_deciders(
        responses, before, after, same=same, tie_rule=tie_rule, outcomes=outcomes, unanswered=unanswered
    )
    places = [str(place) for place in judged.place_id]
    bands, band = _size_bands(places, population)
    regions, lies_in = _regions(places, region)
    names = {
        True: message("certified under {edition}", edition=before.name),
        False: message("not certified under {edition}", edition=before.name),
    }
    groups: dict[str, int] = {}
    rows: list[Row] = []
    left_out: list[str] = []
    withheld: list[tuple[str, Table]] = []
    for is_certified, name in names.items():
        inside = (judged.level_before > 0) == is_certified
        if 0 < inside.sum() < k:
            left_out.append(name)
        if inside.sum() < k:
            continue
        one = _Group(name, judged, inside, is_certified=is_certified, k=k)
        one.divide_by_size(bands, band)
        one.divide_by_region(regions, lies_in)
        groups[name] = int(inside.sum())
        rows += one.rows
        withheld += [(name, table) for table in dict.fromkeys(one.withheld)]
    if not groups:
        faults = Faults("impact")
        faults.add(f"neither the certified nor the other cities are k = {k} or more, so nothing may be shown")
        faults.raise_if_any()
    return Impact(
        before=before.name,
        after=after.name,
        k=k,
        unanswered=unanswered,
        groups=groups,
        rows=tuple(rows),
        left_out=tuple(left_out),
        withheld=tuple(withheld),
        gives_levels=after.levels_follow_points,
        criteria_count=len(after.criteria),
        answered=judged.answered,
        rules=judged.rules,
        is_simulated=responses.is_simulated,
    )


def _check(
    responses: Responses,
    before: Edition,
    after: Edition,
    *,
    k: int,
    unanswered: str,
    outcomes: Mapping[str, Mapping[str, Any]] | None,
) -> None:
    faults = Faults("impact")
    if k < 3:
        faults.add(f"k = {k} protects nobody: of two cities each knows the other. Give 3 or more; 10 is usual")
    if unanswered not in get_args(Unanswered):
        faults.add(f"unanswered {unanswered!r} is unknown; allowed: {listed(get_args(Unanswered))}")
    if responses.edition != before.name:
        faults.add(f"the responses were given under {responses.edition}, not {before.name}")
    if before.name == after.name:
        faults.add(f"before and after are both named {before.name}; give the proposal a name of its own")
    if not before.levels_follow_points:
        faults.add(f"{before.name} gives no level from points, so nothing can be compared with it; start from another")
    if not after.levels_follow_points and not (after.core_required and any(c.is_core for c in after.criteria.values())):
        faults.add(f"{after.name} gives neither a level from points nor core criteria, so no city can be judged by it")
    named = {OWN_OUTCOME}
    for one in (before, after):
        named |= set(one.outcome_requirement.outcomes) if one.outcome_requirement else set()
    foreign = sorted({name for given in (outcomes or {}).values() for name in given} - named)
    if foreign:
        faults.add(f"outcomes hold {listed(foreign)}, which neither edition names")
    faults.raise_if_any()


class _Group:
    """The cities of one group and the numbers that may be published of them; holds confidential values, never shown."""

    def __init__(self, name: str, judged: Deciders, inside: NDArray[np.bool_], *, is_certified: bool, k: int) -> None:
        self.name, self.k = name, k
        self.rows: list[Row] = []
        self.withheld: list[Table] = []
        self._inside = inside
        self._before = judged.level_before[inside]
        self._after = judged.level_after[inside]
        self._given = _changes(judged, inside)
        self._is_certified = is_certified
        labels = _possible(judged, is_certified=is_certified)
        nobody = np.zeros(len(self._given), dtype=np.intp)
        table = disclosure.counts(labels, self._given, nobody, n_columns=1)
        parts = disclosure.merged_neighbours(table, k=k)
        self._labels = [tuple(labels[row] for row in part) for part in parts]
        position = {label: row for row, label in enumerate(labels)}
        self._change = disclosure.recoded(np.array([position[text] for text in self._given], dtype=np.intp), parts)
        for number, part in enumerate(self._labels):
            self._add("change", part, (), int((self._change == number).sum()))
        self._sides = self._divided_into_sides()
        detail = self._transitions(judged.gives_levels)
        self._published = [[detail[side]] for side in self._sides]
        self._decided_by(judged)
        self._if_met(judged)

    def _add(self, table: Table, change: tuple[str, ...], item: tuple[str, ...], count: int) -> None:
        self.rows.append(Row(group=self.name, table=table, change=change, item=item, cities_count=count))

    def _divided_into_sides(self) -> list[NDArray[np.bool_]]:
        """Cities that change for the worse and the others; else those that gain and the others; else all in one."""
        for wanted in (_FALLING, _RISING):
            whole = [set(labels) <= wanted for labels in self._labels]
            touched = [bool(set(labels) & wanted) for labels in self._labels]
            if whole == touched and any(whole) and not all(whole):
                chosen = np.array(whole)[self._change]
                return [chosen, ~chosen]
        return [np.ones(len(self._change), dtype=bool)]

    def _side_labels(self, side: NDArray[np.bool_]) -> tuple[str, ...]:
        numbers = sorted(set(self._change[side].tolist()))
        return tuple(label for number in numbers for label in self._labels[number])

    def _transitions(self, gives_levels: bool) -> Codes:
        """Parts of change divided by level before and, where that is one level, by level after."""
        levels = [1, 2, 3] if self._is_certified else [0]
        table = disclosure.counts(levels, self._before.tolist(), self._change, n_columns=len(self._labels))
        # Nobody can rise above platinum or stay certified below silver: no secret, so no cell that must be filled
        nowhere = {(3, (HIGHER,)), (1, (LOWER,))}
        exempt = np.array([[(level, labels) in nowhere for labels in self._labels] for level in levels])
        parts = disclosure.merged_neighbours(table, k=self.k, exempt=exempt)
        codes = self._change * 100
        if not gives_levels or (len(parts) == 1 and len(levels) > 1):
            if len(levels) > 1:
                self.withheld.append("transition")
            return codes
        for number, part in enumerate(parts):
            for change, labels in enumerate(self._labels):
                here = np.isin(self._before, [levels[row] for row in part]) & (self._change == change)
                if not here.any():
                    continue
                found = self._levels_after([levels[row] for row in part], labels, self._after[here])
                codes[here] += number * 10 + found[1]
                for at, text in enumerate(found[0]):
                    self._add("transition", labels, (text,), int((found[1] == at).sum()))
        return codes

    def _levels_after(
        self, before: list[int], change: tuple[str, ...], after: NDArray[np.intp]
    ) -> tuple[list[Message], Codes]:
        """Texts and codes of the levels after, merged to at least k; not divided where several levels were before."""
        if len(before) > 1:
            levels = either([LEVEL_WORDS[LEVELS[level]] for level in before])
            return [message("from {levels}", levels=levels)], np.zeros(len(after), dtype=np.intp)
        possible = [level for level in range(4) if _label(before[0], level) in change]
        table = disclosure.counts(possible, after.tolist(), np.zeros(len(after), dtype=np.intp), n_columns=1)
        parts = disclosure.merged_neighbours(table, k=self.k)
        row = {level: at for at, level in enumerate(possible)}
        codes = disclosure.recoded(np.array([row[level] for level in after.tolist()], dtype=np.intp), parts)
        texts = [either([LEVEL_WORDS[LEVELS[possible[at]]] for at in reversed(part)]) for part in parts]
        was = LEVEL_WORDS[LEVELS[before[0]]]
        return [message("{before} to {after}", before=was, after=text) for text in texts], codes

    def _decided_by(self, judged: Deciders) -> None:
        """Which rule decides, for those that fall and for those that rise, where these stand by themselves."""
        if len(judged.rules) < 2:
            return
        decider = judged.decider[self._inside]
        for wanted in (_FALLING, _RISING):
            numbers = [number for number, labels in enumerate(self._labels) if set(labels) <= wanted]
            here = np.isin(self._change, numbers)
            if any(set(labels) & wanted for labels in self._labels) and not numbers:
                self.withheld.append("decided_by")
            if not here.any():
                continue
            labels = list(judged.labels)
            nobody = np.zeros(int(here.sum()), dtype=np.intp)
            table = disclosure.counts(range(len(labels)), decider[here].tolist(), nobody, n_columns=1)
            parts = disclosure.merged_rest(table, k=self.k)
            codes = np.full(len(here), -1, dtype=np.intp)
            codes[here] = disclosure.recoded(decider[here], parts)
            change = tuple(label for number in numbers for label in self._labels[number])
            if len(parts) > 1 and self._publish([codes]):
                for at, part in enumerate(parts):
                    self._add("decided_by", change, tuple(labels[row] for row in part), int((codes == at).sum()))
            else:
                self.withheld.append("decided_by")

    def _if_met(self, judged: Deciders) -> None:
        """Of those that fall, how many would not if every criterion without an answer were met."""
        if judged.level_if_met is None:
            return
        numbers = [number for number, labels in enumerate(self._labels) if set(labels) <= _FALLING]
        here = np.isin(self._change, numbers)
        if not here.any():
            return
        baseline = self._before if judged.gives_levels else np.ones_like(self._before)
        codes = np.where(here, (judged.level_if_met[self._inside] < baseline).astype(np.intp), 2)
        sizes = [int((codes == part).sum()) for part in (0, 1)]
        if min(sizes) < self.k or not self._publish([codes]):
            self.withheld.append("if_met")
            return
        change = tuple(label for number in numbers for label in self._labels[number])
        self._add("if_met", change, (STILL,), sizes[1])
        self._add("if_met", change, (ONLY_UNANSWERED,), sizes[0])

    def divide_by_size(self, labels: Sequence[str], given: NDArray[np.object_] | None) -> None:
        """Size bands, neighbours merged."""
        if given is not None:
            self._divide("size_band", labels, given[self._inside], is_ordered=True)

    def divide_by_region(self, labels: Sequence[str], given: NDArray[np.object_]) -> None:
        """Regions, the small ones merged."""
        self._divide("region", labels, given[self._inside], is_ordered=False)

    def _divide(self, name: Table, labels: Sequence[str], given: NDArray[np.object_], *, is_ordered: bool) -> None:
        side_of = np.zeros(len(given), dtype=np.intp)
        for number, side in enumerate(self._sides):
            side_of[side] = number
        table = disclosure.counts(labels, given.tolist(), side_of, n_columns=len(self._sides))
        merge = disclosure.merged_neighbours if is_ordered else disclosure.merged_rest
        parts = merge(table, k=self.k)
        row = {label: at for at, label in enumerate(labels)}
        codes = disclosure.recoded(np.array([row[label] for label in given.tolist()], dtype=np.intp), parts)
        if len(self._sides) == 1 or len(parts) == 1 or not self._publish([codes]):
            self.withheld.append(name)
            return
        for number, part in enumerate(parts):
            for side in self._sides:
                count = int(((codes == number) & side).sum())
                self._add(name, self._side_labels(side), tuple(labels[at] for at in part), count)

    def _publish(self, partitions: list[Codes]) -> bool:
        """Add the partitions to what is published of each side, if no small group follows from all of it."""
        wanted = [
            [*published, *(codes[side] for codes in partitions)]
            for published, side in zip(self._published, self._sides, strict=True)
        ]
        if any(disclosure.smallest_deducible(one) < self.k for one in wanted):
            return False
        self._published = wanted
        return True


def _label(before: int, after: int) -> str:
    if before == 0:
        return GAINS if after > 0 else STAYS
    if after == 0:
        return LOSES
    return LOWER if after < before else HIGHER if after > before else KEEPS


def _possible(judged: Deciders, *, is_certified: bool) -> list[str]:
    """What can become of the cities of a group, in order; what the rules alone exclude is no secret and no part."""
    if not judged.gives_levels:
        return [FAILS, MEETS]
    ways = judged.ways
    wanted = {LOSES: "out" in ways, LOWER: "lower" in ways, KEEPS: True, HIGHER: "higher" in ways}
    if not is_certified:
        wanted = {STAYS: True, GAINS: "in" in ways}
    return [label for label, is_possible in wanted.items() if is_possible]


def _changes(judged: Deciders, inside: NDArray[np.bool_]) -> list[str]:
    """What becomes of each city of a group."""
    after = judged.level_after[inside].tolist()
    if not judged.gives_levels:
        return [MEETS if level else FAILS for level in after]
    return [_label(*pair) for pair in zip(judged.level_before[inside].tolist(), after, strict=True)]


def _size_bands(
    places: Sequence[str], population: Mapping[str, float] | None
) -> tuple[list[Message], NDArray[np.object_] | None]:
    """Names of the bands, the one for unknown sizes last, and the band of each city."""
    names = [
        message("below {residents:,}", residents=SIZE_BANDS[0]),
        *_inner_bands(),
        message("{residents:,} and more", residents=SIZE_BANDS[-1]),
        message("population not known"),
    ]
    if population is None:
        return names, None
    residents = np.array([population.get(place, np.nan) for place in places], dtype=float)
    at = np.where(np.isnan(residents), len(names) - 1, np.searchsorted(SIZE_BANDS, residents, side="right"))
    return names, np.array(names, dtype=object)[at]


def _inner_bands() -> Iterator[Message]:
    for low, high in pairwise(SIZE_BANDS):
        yield message("{low:,} to {high:,}", low=low, high=high - 1)


def _regions(places: Sequence[str], region: Mapping[str, str] | None) -> tuple[list[str], NDArray[np.object_]]:
    """Names of all regions there are, not only of those with a city, and the region of each city."""
    found = [census_region(place) if region is None else region.get(place, REGIONS[-1]) for place in places]
    names: list[str] = list(REGIONS) if region is None else sorted({*region.values(), REGIONS[-1]})
    return names, np.array(found, dtype=object)
