from dataclasses import replace

import pytest

from wwc_research.catalog.editions import Criterion, Edition, edition, editions
from wwc_research.standard.comparison import Comparison, compare


def changed(base: Edition, *criteria: Criterion, without: tuple[str, ...] = (), **fields) -> Edition:
    """`base` with some criteria replaced, added or taken away."""
    kept = {id_: item for id_, item in base.criteria.items() if id_ not in without}
    every = kept | {item.id: item for item in criteria}
    return replace(base, name="proposal", criteria=every, criteria_total=len(every), **fields)


def criterion(id_: str, name: str, practice: str = "DM", **fields) -> Criterion:
    return Criterion(id=id_, practice=practice, name=name, **fields)


def links(found: Comparison) -> dict[str, str]:
    return {pair.before.id: pair.after.id for pair in found.pairs}


V3 = edition("v3")


@pytest.mark.parametrize("name", list(editions()))
def test_an_edition_compared_with_itself_differs_in_nothing(name):
    found = compare(edition(name), edition(name))
    assert (found.added, found.dropped, found.renamed, found.re_weighted, found.moved) == ((), (), (), (), ())
    assert (found.core_gained, found.core_lost) == ((), ())
    assert (found.practice_changes, found.level_changes, found.rule_changes) == ((), (), ())
    assert {row["change"] for row in found.as_rows()} <= {"unnamed"}


def test_criteria_renamed_after_the_draft_are_found_by_alias():
    found = compare(edition("v3-draft"), V3)
    assert {pair.before.id: pair.after.id for pair in found.renamed} == {"PA1": "PA1", "SI2": "CI2", "SI3": "CI3"}
    assert found.dropped == ()
    assert found.moved == ()  # the practice was renamed, the criteria did not move
    assert len(found.pairs) == 10
    assert "CI" in {change.item for change in found.practice_changes}


def test_an_alias_works_whichever_edition_declares_it():
    draft = edition("v3-draft")
    stripped = replace(V3, criteria={id_: replace(item, aliases=()) for id_, item in V3.criteria.items()})
    assert links(compare(draft, stripped)) == links(compare(draft, V3))
    bare = replace(draft, criteria={id_: replace(item, aliases=()) for id_, item in draft.criteria.items()})
    assert links(compare(bare, V3)) == links(compare(draft, V3))


def test_what_a_source_calls_new_is_added_for_certain_and_the_rest_may_stand_unnamed():
    found = compare(edition("v2"), V3)
    assert set(found.added_for_certain) == {"DM7", "DM8", "DM9", "EVAL4", "OD2", "CI2", "CI3"}
    assert len(found.added) == 40
    assert found.dropped_for_certain == ()
    notes = {row["item"]: row["note"] for row in found.as_rows() if row["change"] == "added"}
    assert notes["DM7"] == ""
    assert "v2" in notes["DM2"]


def test_a_code_that_the_newer_edition_gives_to_something_new_is_no_match():
    found = compare(edition("v2"), V3)
    assert links(found) == {"OD1": "OD1", "PA1": "PA1", "RDC6": "RDC6"}
    assert "OD2" in {item.id for item in found.dropped}
    assert "OD2" in {item.id for item in found.added}


def test_a_match_by_code_alone_is_no_renaming_and_says_that_it_is_not_sure():
    found = compare(edition("v2"), V3)
    assert found.renamed == ()
    assert [pair.after.id for pair in found.same_code_only] == ["OD1", "PA1", "RDC6"]
    assert all("no source" in row["note"] for row in found.as_rows() if row["change"] == "same code")


def test_placeholders_are_counted_and_never_matched():
    found = compare(edition("v1"), edition("v2"))
    assert (found.placeholders_old, found.placeholders_new) == (50, 34)
    assert found.pairs == ()
    assert len(found.added) == 11
    unnamed = changed(V3, replace(V3.criteria["DM2"], name="", is_placeholder=True, aliases=("DM3",)))
    for found in (compare(unnamed, V3), compare(V3, unnamed)):
        assert "DM2" not in {pair.after.id for pair in found.pairs}
        assert links(found)["DM3"] == "DM3"


def test_core_criteria_bands_and_rules_of_version_3_are_named_against_the_second_edition():
    found = compare(edition("v2"), V3)
    assert set(found.core_gained) == {"LC1", "DM1", "PA1"}
    bands = {change.item: (change.before, change.after) for change in found.level_changes}
    assert bands["gold"] == ("67 to 83 % of points", "68 to 84 % of points")
    rules = {change.item: (change.before, change.after) for change in found.rule_changes}
    assert rules["criteria"] == ("45", "43")
    assert rules["population floor"] == ("not stated", "30,000")


def test_levels_by_components_are_never_shown_as_shares_of_points():
    found = compare(edition("v1"), edition("v2"))
    assert {change.before for change in found.level_changes} == {f"{share} % of components" for share in (50, 75, 100)}


def test_the_total_of_the_draft_is_shown_as_not_stated():
    rules = {change.item: change.before for change in compare(edition("v3-draft"), V3).rule_changes}
    assert rules["criteria"] == "not stated (10 named)"
    assert rules["levels follow"] == "not stated"


def test_a_proposal_shows_each_kind_of_change_once():
    proposal = changed(
        V3,
        replace(V3.criteria["DM2"], points=2.0),
        replace(V3.criteria["DM3"], practice="OD"),
        replace(V3.criteria["DM4"], is_core=True),
        replace(V3.criteria["LC1"], is_core=False),
        criterion("DM10", "Data Ethics", is_new=True),
        criterion("DM5X", "Privacy", aliases=("DM5",)),
        without=("BF3", "DM5"),
        tie_rule="up",
    )
    found = compare(V3, proposal)
    assert [item.id for item in found.added] == ["DM10"]
    assert [item.id for item in found.dropped] == ["BF3"]
    assert found.dropped_for_certain == ("BF3",)
    assert [(pair.before.id, pair.after.id) for pair in found.renamed] == [("DM5", "DM5X")]
    assert [pair.after.id for pair in found.re_weighted] == ["DM2"]
    assert [pair.after.id for pair in found.moved] == ["DM3"]
    assert (found.core_gained, found.core_lost) == (("DM4",), ("LC1",))
    assert [change.item for change in found.rule_changes] == ["total between two bands"]
    kinds = [row["change"] for row in found.as_rows()]
    assert sorted(kinds) == sorted(["added", "dropped", "renamed", "re-weighted", "moved", "core", "core", "rule"])


def test_turning_a_proposal_round_swaps_added_and_dropped():
    proposal = changed(V3, criterion("DM10", "Data Ethics"), without=("BF3",))
    forth, back = compare(V3, proposal), compare(proposal, V3)
    assert [item.id for item in forth.added] == [item.id for item in back.dropped] == ["DM10"]
    assert [item.id for item in forth.dropped] == [item.id for item in back.added] == ["BF3"]


def test_the_order_of_criteria_does_not_change_what_is_found():
    turned = replace(V3, criteria=dict(reversed(list(V3.criteria.items()))))
    for name in ("v2", "v3-draft"):
        assert links(compare(edition(name), turned)) == links(compare(edition(name), V3))


def test_no_criterion_stands_in_two_pairs():
    split = changed(V3, criterion("DM1A", "Half", aliases=("DM1",)), criterion("DM1B", "Other half", aliases=("DM1",)))
    found = compare(V3, split)
    before = [pair.before.id for pair in found.pairs]
    assert len(before) == len(set(before)) == 43


def test_rows_are_texts_of_one_form():
    for old in editions().values():
        for row in compare(old, V3).as_rows():
            assert list(row) == ["change", "item", "before", "after", "note"]
            assert all(isinstance(text, str) for text in row.values())
