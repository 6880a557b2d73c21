import dataclasses
import sys

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from wwc_research.catalog.editions import Criterion, Edition, OutcomeRequirement, Practice, edition
from wwc_research.errors import InputError
from wwc_research.standard import scoring
from wwc_research.standard.responses import Responses
from wwc_research.standard.scoring import LEVELS, level_of, score
from wwc_research.standard.summaries import public_summary, suppressed

V2, V3 = edition("v2"), edition("v3")


def chained() -> Edition:
    """Six criteria: DM1 (core) ← DM2 ← DM3, PA1 (core), PA2 requires DM3 and PA1, PA3 of two points.

    The chain stands backwards, so that a block must be carried more than one pass.
    """
    rows = [
        ("DM3", {"requires": ("DM2",)}),
        ("DM2", {"requires": ("DM1",)}),
        ("DM1", {"is_core": True, "aliases": ("DG1",)}),
        ("PA1", {"is_core": True}),
        ("PA2", {"requires": ("DM3", "PA1")}),
        ("PA3", {"points": 2.0}),
    ]
    return Edition(
        name="chained",
        title="A made-up edition",
        years="never",
        criteria_total=6,
        tie_rule="down",
        practices={"DM": Practice(id="DM", title="Data"), "PA": Practice(id="PA", title="Performance")},
        criteria={id_: Criterion(id=id_, practice=id_[:2], name=id_, **given) for id_, given in rows},
        levels=V3.levels,
        core_required=True,
    )


CHAINED = chained()


def met(edition_, ids, *, not_assessed=(), place="9900000", **given):
    row = [-1 if id_ in not_assessed else int(id_ in ids) for id_ in edition_.criteria]
    return Responses([row], place_ids=[place], criteria=list(edition_.criteria), edition=edition_, **given)


def decided(edition_, ids, **given):
    kept = {name: given.pop(name) for name in ("tie_rule", "outcomes") if name in given}
    return score(met(edition_, ids, **given), edition_, **kept).confidential_records()[0]


def first(edition_, number, *, without=(), core=("DM1", "LC1", "PA1")):
    """The core criteria and the next ones up to `number`, those in `without` left out."""
    order = [id_ for id_ in core if id_ in edition_.criteria]
    order += [id_ for id_ in edition_.criteria if id_ not in core]
    return [id_ for id_ in order if id_ not in without][:number]


def grids(edition_, *, max_size=4):
    row = st.lists(st.sampled_from([-1, 0, 1]), min_size=len(edition_.criteria), max_size=len(edition_.criteria))
    return st.lists(row, min_size=1, max_size=max_size).map(np.array)


def held(grid, edition_=CHAINED, *, criteria=None):
    keys = {"place_ids": [f"99{n:05}" for n in range(len(grid))], "edition": edition_}
    return Responses(grid, criteria=criteria or list(edition_.criteria), **keys)


# Worked by hand. V2: 45 criteria, silver 51-66 %, gold 67-83, platinum 84-100. V3: 43, 51-67, 68-84, from 85 on.
BY_HAND = [
    (V2, 0, "none", "none"),
    (V2, 22, "none", "none"),  # 48.9 %
    (V2, 23, "silver", "silver"),  # 51.1
    (V2, 29, "silver", "silver"),  # 64.4
    (V2, 30, "silver", "gold"),  # 66.67: the hole
    (V2, 31, "gold", "gold"),  # 68.9
    (V2, 37, "gold", "gold"),  # 82.2
    (V2, 38, "platinum", "platinum"),  # 84.4
    (V2, 45, "platinum", "platinum"),
    (V3, 21, "none", "none"),  # 48.8
    (V3, 22, "silver", "silver"),  # 51.2
    (V3, 28, "silver", "silver"),  # 65.1
    (V3, 29, "silver", "gold"),  # 67.44: the hole
    (V3, 30, "gold", "gold"),  # 69.8
    (V3, 36, "gold", "gold"),  # 83.7
    (V3, 37, "platinum", "platinum"),  # 86.0
    (V3, 43, "platinum", "platinum"),
]


@pytest.mark.parametrize(("edition_", "number", "down", "up"), BY_HAND)
def test_totals_get_the_level_worked_out_by_hand(edition_, number, down, up):
    for rule, wanted in (("down", down), ("up", up)):
        row = decided(edition_, first(edition_, number), tie_rule=rule)
        assert (row["points"], row["level"], row["certified"]) == (number, wanted, wanted != "none")
        assert row["share"] == pytest.approx(number / edition_.criteria_total)
        in_hole = down != up
        assert any("lies between the bands of silver and gold" in text for text in row["reasons"]) == in_hole


@pytest.mark.parametrize(("edition_", "hole"), [(V2, {30}), (V3, {29})])
def test_every_possible_total_has_exactly_one_level_and_the_rules_differ_only_in_the_hole(edition_, hole):
    down, up = (
        [level_of(n, edition_, tie_rule=rule) for n in range(edition_.criteria_total + 1)] for rule in ("down", "up")
    )
    for levels in (down, up):
        assert set(levels) == set(LEVELS)
        ranks = [LEVELS.index(name) for name in levels]
        assert ranks == sorted(ranks)
    assert {n for n, (one, other) in enumerate(zip(down, up, strict=True)) if one != other} == hole


DECISIONS = [
    (first(V3, 24, without=["DM1"]), {}, "none", "silver", ["core criterion DM1 not met", "24 of 43 would be silver"]),
    (first(V3, 24, without=["DM1"]), {"not_assessed": ["DM1"]}, "none", "silver", ["core criterion DM1 not assessed"]),
    (first(V3, 40, without=["DM1", "PA1"]), {}, "none", "platinum", ["core criterion PA1 not met"]),
    (first(V3, 24), {}, "silver", "silver", ["24 of 43 is silver", "outcome not assessed"]),
    (first(V3, 20), {}, "none", "none", ["20 of 43 is below silver (51 %)"]),
]


@pytest.mark.parametrize(("ids", "given_", "level", "by_points", "reasons"), DECISIONS)
def test_decisions_worked_by_hand_come_with_their_reasons(ids, given_, level, by_points, reasons):
    row = decided(V3, ids, **given_)
    assert (row["level"], row["level_by_points"], row["certified"]) == (level, by_points, level != "none")
    assert set(reasons) <= set(row["reasons"])


def test_a_prerequisite_blocks_points_down_the_whole_chain_and_each_block_is_told():
    row = decided(CHAINED, ["DM2", "DM3", "PA1", "PA2", "PA3"])
    assert row["points"] == 3  # PA1 and PA3 (two points)
    assert row["practice_shares"] == {"DM": 0.0, "PA": 0.75}
    assert row["reasons"] == [
        "core criterion DM1 not met",
        "3 of 7 is below silver (51 %)",
        "DM3 met but its prerequisite DM2 is itself blocked: no point",
        "DM2 met but its prerequisite DM1 is not: no point",
        "PA2 met but its prerequisite DM3 is itself blocked: no point",
    ]


def test_practice_shares_are_of_the_practices_criteria_and_null_where_these_are_not_known():
    shares = decided(V3, [f"DM{n}" for n in range(1, 8)])["practice_shares"]
    assert list(shares) == ["DM", "LC", "OD", "PA", "BF", "RDC", "EVAL", "CI"]
    assert shares["DM"] == pytest.approx(7 / 9)
    assert shares["LC"] == 0
    assert set(decided(V2, ["DG1"])["practice_shares"].values()) == {None}


@pytest.mark.parametrize(("name", "reason"), [("v1", "follow components"), ("v3-draft", "total of v3-draft is not")])
def test_an_edition_that_cannot_give_a_level_gives_none_and_says_why(name, reason):
    chosen = edition(name)
    row = decided(chosen, list(chosen.criteria))
    assert (row["level"], row["certified"]) == ("none", False)
    assert any(reason in text for text in row["reasons"])
    if not chosen.total_is_known:
        assert (row["share"], row["criteria_total"]) == (None, None)


STANDINGS = [
    (None, "silver", "outcome not assessed"),
    ({"other": {}}, "silver", "outcome not assessed"),
    ({"9900000": {}}, "silver", "outcome not assessed"),
    ({"9900000": {"a": "demonstrated"}}, "silver", "outcome requirement met: 1 demonstrated"),
    ({"9900000": {"a": "not demonstrated", "b": "demonstrated"}}, "silver", "outcome requirement met"),
    ({"9900000": {"a": "not demonstrated", "b": "not demonstrated"}}, "none", "requirement not met: 0 demonstrated, w"),
    ({"9900000": {"a": "not demonstrated", "b": "cannot tell"}}, "none", "others cannot be told"),
    ({"9900000": {"a": "not demonstrated"}}, "none", "others cannot be told"),
]


@pytest.mark.parametrize(("outcomes", "level", "reason"), STANDINGS)
def test_the_outcome_requirement_is_judged_only_where_outcomes_are_supplied(outcomes, level, reason):
    wanted = OutcomeRequirement(outcomes=("a", "b"), at_least=1, readings=("progress",))
    row = decided(dataclasses.replace(V3, outcome_requirement=wanted), first(V3, 24), outcomes=outcomes)
    assert row["level"] == level
    assert any(reason in text for text in row["reasons"])
    assert ("24 of 43 would be silver" in row["reasons"]) == (level == "none")


@settings(deadline=None)
@given(grid=grids(CHAINED), data=st.data())
def test_a_city_never_loses_points_level_or_certification_when_a_response_improves(grid, data):
    row = data.draw(st.integers(0, len(grid) - 1))
    column = data.draw(st.integers(0, grid.shape[1] - 1))
    better = grid.copy()
    better[row, column] = data.draw(st.integers(int(grid[row, column]), 1))
    before, after = score(held(grid), CHAINED), score(held(better), CHAINED)
    assert (after.points >= before.points).all()
    assert [LEVELS.index(x) for x in after.level] >= [LEVELS.index(x) for x in before.level]
    assert (after.is_certified >= before.is_certified).all()


@settings(max_examples=50, deadline=None)
@given(grid=grids(V3, max_size=3), data=st.data())
def test_the_order_of_cities_and_criteria_does_not_matter(grid, data):
    rows = data.draw(st.permutations(range(len(grid))))
    columns = data.draw(st.permutations(range(grid.shape[1])))
    ids, places = list(V3.criteria), [f"99{n:05}" for n in range(len(grid))]
    turned = Responses(
        grid[np.ix_(rows, columns)],
        place_ids=[places[row] for row in rows],
        criteria=[ids[column] for column in columns],
        edition=V3,
    )
    assert score(turned, V3).confidential_records() == score(held(grid, V3), V3).confidential_records()


@settings(deadline=None)
@given(grid=grids(CHAINED))
def test_aliases_score_as_their_targets(grid):
    ids = ["dg-1" if id_ == "DM1" else id_.lower() for id_ in CHAINED.criteria]
    assert (
        score(held(grid, criteria=ids), CHAINED).confidential_records()
        == score(held(grid), CHAINED).confidential_records()
    )


@settings(deadline=None)
@given(grid=grids(CHAINED))
def test_exactly_the_criteria_that_are_met_and_give_no_point_stand_in_the_reasons(grid):
    weights = [criterion.points for criterion in CHAINED.criteria.values()]
    for row, values in zip(score(held(grid), CHAINED).confidential_records(), grid, strict=True):
        blocked = {text.split()[0] for text in row["reasons"] if text.endswith("no point")}
        earned = sum(
            weight
            for id_, value, weight in zip(CHAINED.criteria, values, weights, strict=True)
            if value == 1 and id_ not in blocked
        )
        assert row["points"] == earned
        assert blocked <= {id_ for id_, value in zip(CHAINED.criteria, values, strict=True) if value == 1}


# --- Points and evidence

WORTH = {id_: int(criterion.points) for id_, criterion in CHAINED.criteria.items()}
# one cell: points given (None: not assessed) and evidence (1 accepted, 0 not, -1 nothing said)
cells = st.tuples(
    *(st.tuples(st.sampled_from([None, *range(n + 1)]), st.sampled_from([-1, 0, 1])) for n in WORTH.values())
)
answer_sheets = st.lists(cells, min_size=1, max_size=4)


def handed_in(sheets, *, edition_=CHAINED):
    points = np.array([[np.nan if given is None else given for given, _ in row] for row in sheets])
    return Responses(
        np.full(points.shape, -1),
        points=points,
        evidence=[[evidence for _, evidence in row] for row in sheets],
        place_ids=[f"99{n:05}" for n in range(len(sheets))],
        criteria=list(edition_.criteria),
        edition=edition_,
    )


def counted_by_hand(row):
    """Points and whether every core criterion is met, one city at a time and by recursion: the other road."""
    given = {id_: 0 if evidence == 0 or not n else n for id_, (n, evidence) in zip(WORTH, row, strict=True)}

    def is_counted(id_):
        return given[id_] == WORTH[id_] and all(map(is_counted, CHAINED.criteria[id_].requires))

    points = sum(n for id_, n in given.items() if all(map(is_counted, CHAINED.criteria[id_].requires)))
    return points, all(given[id_] == WORTH[id_] for id_ in ("DM1", "PA1"))


@settings(deadline=None)
@given(sheets=answer_sheets)
def test_points_and_evidence_count_as_one_city_after_the_other_does_by_hand(sheets):
    scores = score(handed_in(sheets), CHAINED)
    for row, points, level, certified in zip(
        sheets, scores.points, scores.level_by_points, scores.is_certified, strict=True
    ):
        wanted, has_core = counted_by_hand(row)
        assert points == wanted
        assert level == level_of(wanted, CHAINED)
        assert certified == (has_core and level != "none")


@settings(deadline=None)
@given(sheets=answer_sheets, data=st.data())
def test_a_city_never_loses_points_or_level_when_points_rise_or_evidence_is_accepted(sheets, data):
    row, column = data.draw(st.integers(0, len(sheets) - 1)), data.draw(st.integers(0, len(WORTH) - 1))
    given_, evidence = sheets[row][column]
    more = data.draw(st.integers(given_ or 0, list(WORTH.values())[column]))
    surer = data.draw(st.sampled_from([-1, 1] if evidence == 0 else [evidence, 1]))
    better = [list(cells_) for cells_ in sheets]
    better[row][column] = (more, surer)
    before, after = score(handed_in(sheets), CHAINED), score(handed_in(better), CHAINED)
    assert (after.points >= before.points).all()
    assert (after.is_certified >= before.is_certified).all()
    ranks = [[LEVELS.index(name) for name in scores.level] for scores in (before, after)]
    assert all(new >= old for old, new in zip(*ranks, strict=True))


@settings(deadline=None)
@given(grid=grids(CHAINED), data=st.data())
def test_full_points_and_no_points_say_the_same_as_met_and_not_met(grid, data):
    worth = np.array(list(WORTH.values()))
    points = np.where(grid >= 0, grid * worth, np.nan)
    keys = {"place_ids": [f"99{n:05}" for n in range(len(grid))], "criteria": list(WORTH), "edition": CHAINED}
    silent = np.where(np.array(data.draw(st.lists(st.booleans(), min_size=6, max_size=6))), -1, grid)
    by_points = Responses(silent, points=points, evidence=np.ones(grid.shape, int), **keys)
    assert score(by_points, CHAINED).confidential_records() == score(held(grid), CHAINED).confidential_records()


@settings(deadline=None)
@given(sheets=answer_sheets)
def test_every_response_that_counts_for_less_than_it_claims_stands_in_the_reasons(sheets):
    for said, row in zip(score(handed_in(sheets), CHAINED).confidential_records(), sheets, strict=True):
        refused = {id_ for id_, (n, evidence) in zip(WORTH, row, strict=True) if n and evidence == 0}
        assert {text.split()[0] for text in said["reasons"] if "evidence not accepted" in text} == refused
        told = {text.split()[0] for text in said["reasons"] if "no point" in text or "met in part:" in text} | refused
        claimed = sum(n or 0 for n, _ in row)
        assert (said["points"] < claimed) <= bool(told)


def test_partial_points_and_refused_evidence_worked_by_hand_come_with_their_reasons():
    order = list(CHAINED.criteria)  # DM3, DM2, DM1, PA1, PA2, PA3 (two points)
    row = dict.fromkeys(order, (1, -1)) | {"DM1": (1, 0), "PA3": (1, 1)}
    said = score(handed_in([[row[id_] for id_ in order]]), CHAINED).confidential_records()[0]
    assert said["points"] == 2  # PA1, and one of PA3's two
    assert said["practice_shares"] == {"DM": 0.0, "PA": 0.5}
    assert said["reasons"] == [
        "core criterion DM1 not met",
        "2 of 7 is below silver (51 %)",
        "DM1 said to be met, evidence not accepted",
        "PA3 met in part: 1 of 2 points",
        "DM3 met but its prerequisite DM2 is itself blocked: no point",
        "DM2 met but its prerequisite DM1 is not: no point",
        "PA2 met but its prerequisite DM3 is itself blocked: no point",
    ]


def test_points_below_the_full_ones_neither_meet_a_core_criterion_nor_open_what_it_is_required_for():
    worth_two = {
        id_: dataclasses.replace(criterion, points=2.0 if id_ == "DM1" else criterion.points)
        for id_, criterion in CHAINED.criteria.items()
    }
    chosen = dataclasses.replace(CHAINED, criteria=worth_two)
    for given_, points, certified in ((1, 4, False), (2, 8, True)):
        row = [(given_ if id_ == "DM1" else int(c.points), -1) for id_, c in worth_two.items()]
        said = score(handed_in([row], edition_=chosen), chosen).confidential_records()[0]
        assert (said["points"], said["certified"]) == (points, certified)
        stops = {
            "core criterion DM1 met in part only",
            "DM2 met but its prerequisite DM1 is met in part only: no point",
        }
        assert stops.isdisjoint(said["reasons"]) == certified
        assert certified or stops <= set(said["reasons"])


# --- The outcome of a city's own choice

OWN = [
    (None, "", "silver", "outcome not assessed"),
    (None, "demonstrated", "silver", "met: 1 demonstrated, wanted 1 of broadband, air_quality and own_outcome"),
    (None, "not demonstrated", "none", "not met: 0 demonstrated, others cannot be told"),
    ({"broadband": "demonstrated"}, "not demonstrated", "silver", "met: 1 demonstrated"),
    ({"broadband": "not demonstrated", "air_quality": "not demonstrated"}, "demonstrated", "silver", "met: 1 demon"),
    ({"broadband": "not demonstrated", "air_quality": "not demonstrated"}, "", "none", "others cannot be told"),
    (
        {"broadband": "not demonstrated", "air_quality": "not demonstrated"},
        "not demonstrated",
        "none",
        "0 demonstrated, w",
    ),
    ({"broadband": "demonstrated"}, "demonstrated", "silver", "met: 2 demonstrated"),
    ({"own_outcome": "demonstrated"}, "", "silver", "met: 1 demonstrated"),
    ({"own_outcome": "demonstrated"}, "cannot tell", "none", "0 demonstrated, others cannot be told"),
]


@pytest.mark.parametrize(("panel", "own", "level", "reason"), OWN)
def test_the_citys_own_outcome_joins_those_of_the_panel_and_that_of_the_assessment_goes_first(
    panel, own, level, reason
):
    row = decided(V3, first(V3, 24), outcomes=panel and {"9900000": panel}, own_outcome=[own])
    assert row["level"] == level
    assert any(reason in text for text in row["reasons"])


def test_an_edition_that_knows_no_own_choice_takes_none():
    with pytest.raises(InputError, match="v2 knows none"):
        met(V2, [], own_outcome=["demonstrated"])
    draft = edition("v3-draft")
    with pytest.raises(InputError, match="hold own_outcome, which the requirement does not name"):
        score(met(draft, []), draft, outcomes={"9900000": {"own_outcome": "demonstrated"}})


def operations(n):
    """Operations of the scoring module for n cities that are copies of the same ten."""
    grid = np.tile(np.random.default_rng(1).integers(-1, 2, size=(10, 43)), (n // 10, 1))
    place_ids, evidence = [f"99{n:05}" for n in range(n)], np.where(grid == 1, grid[:, ::-1], -1)
    points = np.where(grid >= 0, grid, np.nan)
    responses, count = (
        Responses(
            grid,
            points=points,
            evidence=evidence,
            own_outcome=["demonstrated"] * n,
            place_ids=place_ids,
            criteria=list(V3.criteria),
            edition=V3,
        ),
        0,
    )

    def trace(frame, event, _):
        nonlocal count
        if frame.f_code.co_filename != scoring.__file__:
            return None
        frame.f_trace_opcodes = True
        count += event == "opcode"
        return trace

    before = sys.gettrace()
    sys.settrace(trace)
    try:
        score(responses, V3, outcomes={"9900000": {"broadband": "demonstrated"}})
    finally:
        sys.settrace(before)
    return count


def test_scoring_takes_no_more_steps_for_ten_thousand_cities_than_for_ten():
    few = operations(10)
    assert few > 1000
    assert operations(10_000) == few


def test_what_cannot_be_scored_is_refused_with_every_reason():
    with pytest.raises(InputError, match="given under v2; carry them over"):
        score(met(V2, []), V3)
    with pytest.raises(InputError, match=r"2 faults[\s\S]*allowed: down and up[\s\S]*said to be 'perhaps'"):
        score(met(V3, []), V3, tie_rule="middle", outcomes={"1": {"broadband": "perhaps"}})
    with pytest.raises(InputError, match="hold happiness, which the requirement does not name"):
        score(met(V3, []), V3, outcomes={"1": {"happiness": "demonstrated"}})


# --- What may be published


def many(totals, *, start=0, edition_=V3):
    grid = np.array([[id_ in first(edition_, number) for id_ in edition_.criteria] for number in totals], dtype=int)
    places = [f"99{n + start:05}" for n in range(len(totals))]
    return score(Responses(grid, place_ids=places, criteria=list(edition_.criteria), edition=edition_), edition_)


counts_lists = st.lists(st.integers(0, 40), min_size=2, max_size=7)


@settings(deadline=None)
@given(counts=counts_lists, k=st.integers(3, 15))
def test_no_subtraction_from_the_total_tells_about_fewer_than_k(counts, k):
    hidden = suppressed(counts, k=k)
    shown = [count for count, flag in zip(counts, hidden, strict=True) if not flag]
    assert all(count >= k for count in shown)
    rest = sum(counts) - sum(shown)
    assert not any(hidden) or all(hidden) or (rest >= k and sum(hidden) >= 2)


@settings(max_examples=40, deadline=None)
@given(totals=st.lists(st.integers(0, 43), min_size=10, max_size=60), data=st.data())
def test_no_table_of_a_summary_can_be_differenced_to_fewer_than_k(totals, data):
    scores = many(totals)
    sizes = data.draw(st.lists(st.integers(20_000, 900_000), min_size=len(totals), max_size=len(totals)))
    summary = public_summary(scores, population=dict(zip(scores.place_id, sizes, strict=True)))
    for table in (summary.levels, summary.size_bands):
        shown = table["cities_count"].dropna()
        assert (shown >= 10).all()
        rest = summary.cities_count - shown.sum()
        assert rest == 0 or rest >= 10 or shown.empty
        assert table["cities_count"].isna().sum() != 1
    assert (summary.size_bands["mean_share"].isna() == summary.size_bands["cities_count"].isna()).all()


def test_a_summary_shows_what_is_large_enough_and_hides_a_small_level_with_its_neighbour():
    summary = public_summary(many([40] * 3 + [32] * 12 + [24] * 20 + [5] * 15))
    shown = dict(zip(summary.levels["level"], summary.levels["cities_count"], strict=True))
    assert shown["platinum"] is pd.NA
    assert shown["gold"] is pd.NA
    assert (shown["silver"], shown["none"], summary.cities_count) == (20, 15, 50)


def test_a_mean_that_every_city_shares_and_a_level_that_every_city_has_are_not_told():
    summary = public_summary(many([24] * 15), population={})
    assert summary.levels["cities_count"].isna().all()
    assert summary.practices["mean_share"].isna().all()
    assert summary.size_bands["mean_share"].isna().all()


def test_two_releases_that_differ_by_fewer_than_k_cities_cannot_both_be_made():
    before = many([5, 24] * 10)
    public_summary(before)
    for after in (many([5, 24] * 10 + [40]), many([5, 24] * 9 + [5, 40]), many([5, 24] * 9)):
        with pytest.raises(InputError, match="earlier release by fewer than k = 10"):
            public_summary(after, earlier=[before])
    assert public_summary(before, earlier=[before]).cities_count == 20
    assert public_summary(many([5, 24] * 15), earlier=[before]).cities_count == 30


def test_a_city_counts_once_by_its_last_assessment_and_few_cities_give_no_summary():
    grid = np.array([[id_ in first(V3, 24) for id_ in V3.criteria]] * 18, dtype=int)
    responses = Responses(
        grid,
        place_ids=[f"99{n % 9:05}" for n in range(18)],
        assessed_on=["2019"] * 9 + ["2023-06"] * 9,
        criteria=list(V3.criteria),
        edition=V3,
    )
    with pytest.raises(InputError, match="fewer than k = 10") as refused:
        public_summary(score(responses, V3))
    assert "9 " not in str(refused.value)
    with pytest.raises(InputError, match="k = 2 protects nobody"):
        public_summary(many([24] * 20), k=2)
