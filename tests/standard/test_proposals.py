import pytest

from wwc_research.catalog.editions import edition
from wwc_research.errors import InputError
from wwc_research.standard.comparison import compare
from wwc_research.standard.proposals import read_proposal, variant

V3 = edition("v3")


def test_a_proposal_differs_from_its_base_only_in_what_it_names():
    text = """
        based_on = "v3"
        name = "v3-next"
        tie_rule = "up"
        drop_criteria = ["OD1"]
        drop_outcome_requirement = true
        [criteria.DM2]
        is_core = true
        [criteria.BF4]
        practice = "BF"
        name = "Participatory budgets"
        points = 2.0
    """
    made = read_proposal(text, file="next.toml")
    assert (made.name, made.tie_rule, made.outcome_requirement) == ("v3-next", "up", None)
    assert set(made.criteria) == set(V3.criteria) - {"OD1"} | {"BF4"}
    assert made.criteria_total == 43
    assert (made.practices["OD"].criteria_count, made.practices["BF"].criteria_count) == (3, 4)
    assert made.criteria["DM2"].is_core
    assert made.criteria["DM2"].source == made.criteria["BF4"].source == "the proposal itself"
    assert made.criteria["DM3"] == V3.criteria["DM3"]
    assert made.levels == V3.levels
    found = compare(V3, made)
    assert [item.id for item in found.added] == ["BF4"]
    assert [item.id for item in found.dropped] == ["OD1"]
    assert found.core_gained == ("DM2",)


def test_a_criterion_that_is_renamed_stays_the_same_criterion():
    made = variant(V3, {"criteria": {"OD1": {"name": "Policy on open data and its use"}}})
    pair = next(pair for pair in compare(V3, made).pairs if pair.after.id == "OD1")
    assert pair.link == "alias"


def test_placeholders_of_the_base_stay():
    made = variant(edition("v2"), {"tie_rule": "up"})
    assert made.criteria == edition("v2").criteria


def test_all_faults_of_a_proposal_come_in_one_message():
    text = """
        based_on = "v3"
        tie_rule = "side"
        colour = "red"
        drop_criteria = ["ZZ9", "DM2"]
        [criteria.DM2]
        is_core = true
        [criteria.DM3]
        is_core = "yes"
    """
    with pytest.raises(InputError) as refusal:
        read_proposal(text, file="bad.toml")
    said = str(refusal.value)
    assert said.startswith("bad.toml: 5 faults")
    for part in ("'colour'", "ZZ9", "DM2 both dropped and changed", "tie_rule = 'side'", "is_core = 'yes'"):
        assert said.count(part) == 1


@pytest.mark.parametrize(
    ("text", "part"),
    [
        ("tie_rule = 'up'", "based_on = None; allowed: 'v1', 'v2'"),
        ("based_on = 'v9'", "based_on = 'v9'"),
        ("based_on = 'v3'", "changes nothing of v3"),
        ("based_on = 'v3'\nname = 'v2'\ntie_rule = 'up'", "is the name of an edition"),
        ("based_on = ", "is no TOML"),
        ("based_on = 'v3'\n[criteria.DM2]\nrequires = ['DM3']\n[criteria.DM3]\nrequires = ['DM2']", "in a circle"),
        ("based_on = 'v3'\ndrop_criteria = 'DM2'", "should be a list of ids"),
        ("based_on = 'v3'\ncriteria = 3", "should be tables"),
    ],
)
def test_a_proposal_that_cannot_be_followed_is_refused(text, part):
    with pytest.raises(InputError, match=r"p\.toml") as refusal:
        read_proposal(text, file="p.toml")
    assert part in str(refusal.value)
