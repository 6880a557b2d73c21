from collections import defaultdict

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import Bounds, LinearConstraint, milp

from wwc_research.catalog.editions import edition
from wwc_research.errors import InputError
from wwc_research.standard import disclosure
from wwc_research.standard.deciders import EACH_ALONE, TOGETHER, ranks_and_deciders
from wwc_research.standard.impact import GAINS, HIGHER, KEEPS, LOSES, LOWER, STAYS, impact
from wwc_research.standard.proposals import variant
from wwc_research.standard.regions import census_region
from wwc_research.standard.responses import Responses
from wwc_research.standard.scoring import LEVELS
from wwc_research.standard.summaries import SIZE_BANDS

V2, V3, DRAFT = edition("v2"), edition("v3"), edition("v3-draft")
STATES = ("26", "39", "06", "48", "36")
V3_CORE = ("DM1", "LC1", "PA1")


def answers(rows, *, of, place_ids=None, dates=None):
    """One assessment for each list of ids that are met."""
    grid = [[int(id_ in met) for id_ in of.criteria] for met in rows]
    ids = place_ids or [f"{STATES[n % 5]}{n:05}" for n in range(len(rows))]
    return Responses(grid, place_ids=ids, assessed_on=dates, criteria=list(of.criteria), edition=of)


def first(of, number, *, with_=(), without=()):
    order = [*with_, *(id_ for id_ in of.criteria if id_ not in with_)]
    return [id_ for id_ in order if id_ not in without][:number]


def numbers(found, table, *, group):
    return {(row.change, row.item): row.cities_count for row in found.table(table, group=group)}


def random_world(seed, *, n=60, of=V3):
    rng = np.random.default_rng(seed)
    met = rng.random((n, len(of.criteria))) < rng.uniform(0.45, 0.95, n)[:, None]
    for column, item in enumerate(of.criteria.values()):
        met[:, column] |= item.is_core & (rng.random(n) < 0.9)
    ids = [f"{STATES[rng.choice(5, p=[0.4, 0.1, 0.2, 0.2, 0.1])]}{n:05}" for n in range(n)]
    people = {id_: float(np.exp(rng.normal(12, 1))) for id_ in ids}
    held = Responses(met.astype(int), place_ids=ids, criteria=list(of.criteria), edition=of)
    return held, people


PROPOSALS = (
    {"tie_rule": "up"},
    {"criteria": {"DM2": {"is_core": True}, "DM5": {"is_core": True}}},
    {
        "levels": [
            {"name": "silver", "minimum_pct": 55.0, "maximum_pct": 72.0},
            {"name": "gold", "minimum_pct": 74.0, "maximum_pct": 88.0},
            {"name": "platinum", "minimum_pct": 90.0, "maximum_pct": 100.0},
        ],
        "drop_criteria": ["OD1", "OD2", "OD3"],
    },
    {"criteria": {"DM1": {"is_core": False}, "EVAL1": {"points": 3.0}, "EVAL2": {"requires": ["EVAL1"]}}},
)


# --- by hand -------------------------------------------------------------------------------------------------------


def test_a_stricter_tie_rule_takes_only_the_cities_in_the_hole_from_gold_to_silver():
    # V2: 30 of 45 is 66.7 %, between silver (to 66) and gold (from 67); 25 is silver, 35 gold, 20 none.
    lenient = variant(V2, {"name": "lenient", "tie_rule": "up"})
    strict = variant(lenient, {"name": "strict", "tie_rule": "down"})
    held = answers([first(V2, number) for number in [30] * 4 + [35] * 5 + [25] * 6 + [20] * 3], of=lenient)
    found = impact(held, before=lenient, after=strict, k=3)
    group = "certified under lenient"
    assert found.groups == {group: 15, "not certified under lenient": 3}
    assert numbers(found, "change", group=group) == {((LOWER,), ()): 4, ((KEEPS,), ()): 11}
    assert found.rules == ("tie rule",)
    assert found.table("decided_by", group=group) == ()
    moved = numbers(found, "transition", group=group)
    # No platinum city: gold and platinum are not told apart
    assert moved[((LOWER,), ("from gold or platinum",))] == 4
    assert moved[((KEEPS,), ("silver to silver",))] == 6


def test_an_added_core_criterion_takes_certification_from_those_that_do_not_meet_it():
    proposed = variant(V3, {"criteria": {"BF1": {"is_core": True}, "BF2": {"is_core": True}}})
    rows = [first(V3, 25, with_=(*V3_CORE, "BF2"), without=("BF1",))] * 5
    rows += [first(V3, 25, with_=(*V3_CORE, "BF1"), without=("BF2",))] * 4
    rows += [first(V3, 25, with_=V3_CORE, without=("BF1", "BF2"))] * 3
    rows += [first(V3, 25, with_=(*V3_CORE, "BF1", "BF2"))] * 6
    found = impact(answers(rows, of=V3), before=V3, after=proposed, k=3)
    group = "certified under v3"
    assert numbers(found, "change", group=group) == {((LOSES,), ()): 12, ((KEEPS,), ()): 6}
    # Who fails both is not put right by one alone; nobody is put right by either, so that part is told with the rest.
    assert numbers(found, "decided_by", group=group) == {
        ((LOSES,), ("core requirement: BF1",)): 5,
        ((LOSES,), ("core requirement: BF2",)): 4,
        ((LOSES,), (EACH_ALONE, TOGETHER)): 3,
    }


def test_what_decides_is_what_would_undo_the_change_alone():
    # 22 of 43 is silver. Points of two criteria halved: 21 of 42; dropping one more criterion that is met: below 51 %.
    proposed = variant(V3, {"name": "p", "drop_criteria": ["BF1"], "criteria": {"BF2": {"is_core": True}}})
    rows = [
        first(V3, 22, with_=(*V3_CORE, "BF1", "BF2")),  # 21 of 42 = 50 %: dropped BF1 decides
        first(V3, 24, with_=(*V3_CORE, "BF1"), without=("BF2",)),  # 23 of 42 = 54.8 %: BF2 decides
        first(V3, 22, with_=(*V3_CORE, "BF1"), without=("BF2",)),  # 21 of 42 and no BF2: both
        first(V3, 24, with_=(*V3_CORE, "BF2"), without=("BF1",)),  # 24 of 42 = 57 %: stays silver
    ]
    held = ranks_and_deciders(
        answers(rows, of=V3, place_ids=["0100001", "0100002", "0100003", "0100004"]), V3, proposed
    )
    said = [None if at < 0 else held.labels[at] for at in held.decider]
    assert said == ["criterion dropped: BF1", "core requirement: BF2", TOGETHER, None]
    assert held.level_before.tolist() == [1, 1, 1, 1]
    assert held.level_after.tolist() == [0, 0, 0, 1]


def test_two_changes_that_would_each_undo_it_are_each_enough_alone():
    # 23 of 43 is silver; two criteria of two points that nobody meets: 23 of 47 = 48.9 %, without either 23 of 45.
    added = {"practice": "BF", "points": 2.0}
    new = {id_: {**added, "name": f"A new criterion, {id_}"} for id_ in ("BF4", "BF5")}
    proposed = variant(V3, {"criteria": new})
    rows = [first(V3, 23, with_=V3_CORE), first(V3, 22, with_=V3_CORE)]  # 22 of 45 = 48.9 %: neither brings it back
    held = ranks_and_deciders(answers(rows, of=V3, place_ids=["0100001", "0100002"]), V3, proposed)
    assert held.level_after.tolist() == [0, 0]
    assert [held.labels[at] for at in held.decider] == [EACH_ALONE, TOGETHER]
    assert held.answered == tuple(V3.criteria)


def test_under_an_edition_without_levels_only_its_core_is_judged_and_what_has_no_answer_is_said():
    rows = [first(V2, 30, with_=("PA1",))] * 6 + [first(V2, 30, without=("PA1",))] * 5
    held = answers(rows, of=V2)
    blind = impact(held, before=V2, after=DRAFT, k=3)
    assert (blind.gives_levels, blind.answered, blind.criteria_count) == (False, (), 10)
    found = impact(held, before=V2, after=DRAFT, same={"PA1": "PA1"}, unanswered="met", k=3)
    counts = [row.cities_count for row in found.table("change", group="certified under v2")]
    assert found.answered == ("PA1",)
    assert counts == [5, 6]


def test_how_much_hangs_on_criteria_without_an_answer_is_told_from_worst_to_best_case():
    added = {"practice": "BF", "name": "A new criterion that nobody has met", "points": 4.0, "is_core": False}
    proposed = variant(V3, {"criteria": {"BF4": added, "BF2": {"is_core": True}}})
    rows = [first(V3, 23, with_=(*V3_CORE, "BF2"))] * 4  # 23 of 47 = 48.9 %, 27 of 47 = 57 % if met
    rows += [first(V3, 30, with_=V3_CORE, without=("BF2",))] * 5
    rows += [first(V3, 43)] * 6
    found = impact(answers(rows, of=V3), before=V3, after=proposed, k=3)
    told = {row.item[0][:9]: row.cities_count for row in found.table("if_met", group="certified under v3")}
    assert told == {"also if e": 5, "only beca": 4}
    best = impact(answers(rows, of=V3), before=V3, after=proposed, unanswered="met", k=3)
    assert best.table("if_met", group="certified under v3") == ()
    assert next(row.cities_count for row in best.table("change", group="certified under v3")) == 5


def test_only_the_last_assessment_of_a_city_counts():
    ids = [f"26{n:05}" for n in range(4)]
    rows = [first(V3, 43)] * 4 + [first(V3, 43, without=("BF1",))] * 4
    held = answers(rows, of=V3, place_ids=ids * 2, dates=["2022"] * 4 + ["2023"] * 4)
    found = impact(held, before=V3, after=variant(V3, {"criteria": {"BF1": {"is_core": True}}}), k=3)
    assert found.groups == {"certified under v3": 4}
    changed = ranks_and_deciders(held, V3, variant(V3, {"criteria": {"BF1": {"is_core": True}}}))
    assert changed.level_after.tolist() == [0, 0, 0, 0]


def test_an_outcome_requirement_that_is_dropped_lets_cities_gain_certification():
    held = answers([first(V3, 43)] * 8, of=V3)
    frame = held.confidential_frame()
    places = frame["place_id"].tolist()
    said = {place: {"broadband": "not demonstrated", "air_quality": "not demonstrated"} for place in places[:4]}
    said |= {place: {"broadband": "demonstrated"} for place in places[4:]}
    free = variant(V3, {"drop_outcome_requirement": True})
    judged = ranks_and_deciders(held, V3, free, outcomes=said)
    assert judged.level_before.tolist().count(0) == 4
    assert judged.level_after.tolist() == [3] * 8
    assert set(judged.decider.tolist()) == {-1, 0}
    assert judged.rules == ("outcome requirement",)


# --- laws ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("changes", PROPOSALS)
def test_order_of_cities_and_criteria_changes_no_number(changes):
    held, people = random_world(3)
    frame = held.confidential_frame()
    shuffled = frame.sample(frac=1, random_state=1)
    columns = list(V3.criteria)[::-1]
    turned = Responses(
        shuffled[columns].to_numpy(), place_ids=shuffled["place_id"].tolist(), criteria=columns, edition=V3
    )
    given = {"before": V3, "after": variant(V3, changes), "population": people, "k": 3}
    assert impact(held, **given) == impact(turned, **given)


@pytest.mark.parametrize("changes", PROPOSALS)
def test_every_table_of_a_group_adds_up_to_what_it_divides(changes):
    held, people = random_world(8, n=200)
    found = impact(held, before=V3, after=variant(V3, changes), population=people, k=5)
    for group, total in found.groups.items():
        change = {row.change: row.cities_count for row in found.table("change", group=group)}
        assert sum(change.values()) == total
        for name in ("transition", "size_band", "region"):
            rows = found.table(name, group=group)
            assert not rows or sum(row.cities_count for row in rows) == total
        for name in ("decided_by", "if_met"):
            sums = defaultdict(int)
            for row in found.table(name, group=group):
                sums[row.change] += row.cities_count
            for labels, number in sums.items():
                assert number == sum(count for part, count in change.items() if set(part) <= set(labels))


def test_an_impact_shows_no_city_and_faults_are_gathered():
    held, people = random_world(4)
    found = impact(held, before=V3, after=variant(V3, PROPOSALS[1]), population=people, k=3)
    text = repr(found) + str(found.as_rows())
    assert not any(place in text for place in people)
    judged = ranks_and_deciders(held, V3, variant(V3, PROPOSALS[1]))
    assert repr(judged) == "<Deciders: 60 cities, confidential>"
    with pytest.raises(InputError, match="3 faults") as refusal:
        impact(held, before=V2, after=V2, k=2)
    assert not any(place in str(refusal.value) for place in people)
    with pytest.raises(InputError, match="nothing may be shown"):
        impact(held, before=V3, after=variant(V3, PROPOSALS[0]), k=100)
    with pytest.raises(InputError, match="v1 gives neither a level"):
        impact(held, before=V3, after=edition("v1"))


def test_a_group_of_fewer_than_k_cities_is_in_no_number():
    rows = [first(V3, 43)] * 8 + [first(V3, 5)] * 2
    found = impact(answers(rows, of=V3), before=V3, after=variant(V3, {"tie_rule": "up"}), k=3)
    assert found.left_out == ("not certified under v3",)
    assert {row.group for row in found.rows} == {"certified under v3"}


def test_a_group_in_which_everybody_changes_is_not_told():
    rows = [first(V3, 43, without=("BF1",))] * 9 + [first(V3, 5)] * 9
    found = impact(answers(rows, of=V3), before=V3, after=variant(V3, {"criteria": {"BF1": {"is_core": True}}}), k=3)
    assert numbers(found, "change", group="certified under v3") == {((LOSES, KEEPS), ()): 9}


def test_places_lie_in_the_census_regions():
    found = [census_region(code) for code in ("2622000", "0644000", "4835000", "3651000", "CO-bogota", "XX-sim-1")]
    assert found == ["Midwest", "West", "South", "Northeast", "outside the United States", "region not known"]


# --- attacks -------------------------------------------------------------------------------------------------------

grids = st.lists(st.tuples(*[st.integers(0, 2)] * 3), min_size=1, max_size=9)


@given(grids)
@settings(max_examples=25, deadline=None)
def test_the_smallest_group_that_follows_from_the_sums_is_found(rows):
    """Against every subset of the combinations and the rank of the sums."""
    columns = [np.array(column) for column in zip(*rows, strict=True)]
    cells, sizes = np.unique(np.array(rows), axis=0, return_counts=True)
    sums = np.hstack([np.eye(3)[cells[:, axis]] for axis in range(3)])
    rank = np.linalg.matrix_rank(sums)
    smallest = len(rows)
    for mask in range(1, 2 ** len(cells)):
        chosen = np.array([mask >> at & 1 for at in range(len(cells))])
        if sizes @ chosen < smallest and np.linalg.matrix_rank(np.column_stack([sums, chosen])) == rank:
            smallest = int(sizes @ chosen)
    assert disclosure.smallest_deducible(columns) == smallest


def _band(residents):
    names = ["below 30,000", "30,000 to 99,999", "100,000 to 249,999", "250,000 to 499,999", "500,000 and more"]
    return names[int(np.searchsorted(SIZE_BANDS, residents, side="right"))]


def _label(before, after):
    if not before:
        return GAINS if after else STAYS
    return LOSES if not after else LOWER if after < before else HIGHER if after > before else KEEPS


def _holds(row, cell, after):
    """Whether a city of the cell with this level after is counted in a published row."""
    before, size, region = cell
    if _label(before, after) not in row.change:
        return False
    if row.table == "size_band":
        return size in row.item
    if row.table == "region":
        return region in row.item
    if row.table == "transition":
        start, _, end = row.item[0].partition(" to ")
        if start.startswith("from "):
            return LEVELS[before] in start.removeprefix("from ").split(" or ")
        return LEVELS[before] == start and LEVELS[after] in end.split(" or ")
    return True


def pinned(found, judged, people, *, k, seed):
    """Small groups of the roster of which the number with a certain change has only one value left.

    The adversary knows level before, size and region of every city, and all that is published. The range of every
    unknown number is found by integer programmes. Groups: cities alike in the three, and random unions of such below k.
    """
    roster = defaultdict(int)
    for place, before in zip(judged.place_id, judged.level_before, strict=True):
        roster[int(before), _band(people[place]), census_region(place)] += 1
    labels = {label for row in found.rows for label in row.change}
    names = [(cell, after) for cell in roster for after in range(4) if _label(cell[0], after) in labels]
    told, totals = [], []
    for cell, count in roster.items():
        told.append([float(name[0] == cell) for name in names])
        totals.append(count)
    for row in found.rows:
        if row.table in ("change", "transition", "size_band", "region"):
            inside = not row.group.startswith("not")
            told.append([float((cell[0] > 0) == inside and _holds(row, cell, after)) for cell, after in names])
            totals.append(row.cities_count)
    constraint = LinearConstraint(np.array(told), totals, totals)
    limits = Bounds(0, np.array([roster[cell] for cell, _ in names]))

    def extent(chosen):
        whole = np.ones(len(names))
        ends = [milp(sign * chosen, constraints=constraint, bounds=limits, integrality=whole) for sign in (1, -1)]
        assert all(end.success for end in ends)
        return round(-ends[1].fun - ends[0].fun)

    rng = np.random.default_rng(seed)
    cells = list(roster)
    groups = [[cell] for cell in cells if roster[cell] < k][:12]
    for _ in range(4):
        union = []
        for at in rng.permutation(len(cells)):
            if sum(roster[one] for one in union) + roster[cells[at]] < k and len(union) < 3:
                union.append(cells[at])
        groups.append(union)
    ways = {cell: {_label(cell[0], after) for other, after in names if other == cell} for cell in cells}
    bad = []
    for union in groups:
        for label in sorted(labels):
            # What the rules alone say of a city is known to everybody
            unsure = [cell for cell in union if label in ways[cell] and len(ways[cell]) > 1]
            chosen = np.array([float(cell in unsure and _label(cell[0], after) == label) for cell, after in names])
            if unsure and extent(chosen) < 1:
                bad.append((unsure, label))
    return bad


@pytest.mark.parametrize("changes", PROPOSALS)
def test_who_knows_level_size_and_region_of_every_city_learns_no_small_groups_fate(changes):
    held, people = random_world(0, n=50)
    proposed = variant(V3, changes)
    found = impact(held, before=V3, after=proposed, population=people, k=3)
    assert pinned(found, ranks_and_deciders(held, V3, proposed), people, k=3, seed=0) == []


def test_the_attack_succeeds_where_small_groups_are_not_merged(monkeypatch):
    monkeypatch.setattr(disclosure, "merged_neighbours", lambda table, **_: [[row] for row in range(len(table))])
    monkeypatch.setattr(disclosure, "merged_rest", lambda table, **_: [[row] for row in range(len(table))])
    monkeypatch.setattr(disclosure, "smallest_deducible", lambda _: 99)
    held, people = random_world(0, n=50)
    proposed = variant(V3, PROPOSALS[1])
    found = impact(held, before=V3, after=proposed, population=people, k=3)
    assert pinned(found, ranks_and_deciders(held, V3, proposed), people, k=3, seed=0)


@pytest.mark.parametrize("seed", range(12))
def test_no_group_below_k_follows_from_adding_and_subtracting_all_that_is_told_of_a_group(seed):
    """All tables at once, from the cities' own attributes: deciders too, with the zeros known to the reader."""
    k = 3
    held, people = random_world(seed)
    proposed = variant(V3, PROPOSALS[seed % 4])
    found = impact(held, before=V3, after=proposed, population=people, k=k)
    assert all(row.cities_count >= k for row in found.rows)
    judged = ranks_and_deciders(held, V3, proposed)
    sides = defaultdict(list)
    for place, before, after, decider in zip(
        judged.place_id, judged.level_before, judged.level_after, judged.decider, strict=True
    ):
        cell = (int(before), _band(people[place]), census_region(place))
        said = judged.labels[decider] if decider >= 0 else None
        rows = [row for row in found.rows if row.group.startswith("not") == (before == 0)]
        marks = {}
        for row in rows:
            if _holds(row, cell, int(after)) and (row.table != "decided_by" or said in row.item):
                marks.setdefault(row.table, []).append(row)
        assert all(len(given) == 1 for given in marks.values())
        side = marks["region"][0].change if "region" in marks else marks.get("size_band", marks["change"])[0].change
        sides[before == 0, side].append({name: given[0] for name, given in marks.items()})
    for cities in sides.values():
        tables = sorted({name for city in cities for name in city})
        codes = [[city.get(name) for city in cities] for name in tables]
        parts = [np.array([values.index(value) for value in values]) for values in codes]
        assert disclosure.smallest_deducible(parts) >= k
