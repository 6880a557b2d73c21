import dataclasses

import numpy as np
import pytest

from tests.evidence import test_verdict
from wwc_research import catalog
from wwc_research.evidence.judging import judge

PLAN = catalog.plan()
NO_LOTS = np.empty(0)
# scaled by their root mean squares 1.370 and 1.355, the larger of each row is 0.365, 1.824, 0.730, 1.107
JOINT = np.array([[0.5, -0.4], [2.5, 2.2], [-1.0, 0.3], [0.1, -1.5]])


def question(p_value, *, statistic=1.0, outcome="broadband", family="residents", groups=(), treatment="certification"):
    """Evidence that passes every gate, with that p-value; `statistic` is its estimate over its error by lot."""
    found = test_verdict.evidence(estimate=0.03, half=0.01)
    judged = {**found.judged, "p_value": p_value, "lot_std_error": 0.03 / statistic}
    rows = tuple({"group": str(number), "p_value": value} for number, value in enumerate(groups))
    return dataclasses.replace(
        found, outcome=outcome, treatment=treatment, family=family, judged=judged, groups=rows, adjusted={}
    )


def adjusted(found, *, draws=None):
    judged = judge(found, draws=draws or [NO_LOTS] * len(found), plan=PLAN)
    return {name: [item.adjusted[name] for item in judged] for name in judged[0].adjusted}


def test_holm_and_benjamini_hochberg_are_those_worked_by_hand():
    found = adjusted([question(0.01), question(0.04), question(0.03)])
    assert found["holm"] == pytest.approx([0.03, 0.06, 0.06])
    assert found["benjamini_hochberg"] == pytest.approx([0.03, 0.04, 0.04])
    assert found["n_hypotheses"] == [3, 3, 3]


def test_without_lots_the_family_is_held_by_holm():
    found = adjusted([question(0.01), question(0.04), question(0.03)])
    assert found["romano_wolf"] == [None] * 3
    assert found["family"] == found["holm"]


def test_romano_wolf_steps_down_through_the_joint_lots_as_worked_by_hand():
    found = adjusted([question(0.01, statistic=2.6), question(0.05, statistic=1.0)], draws=list(JOINT.T))
    assert found["romano_wolf"] == pytest.approx([1 / 5, 3 / 5])
    assert found["family"] == pytest.approx([1 / 5, 3 / 5])


def test_the_family_p_value_is_never_below_the_judged_one():
    found = adjusted([question(0.33, statistic=2.6), question(0.7, statistic=1.0)], draws=list(JOINT.T))
    assert found["romano_wolf"] == pytest.approx([1 / 5, 3 / 5])
    assert found["family"] == pytest.approx([0.33, 0.7])


def test_a_question_without_lots_is_held_by_holm_and_keeps_nobody_from_the_joint_ones():
    some = [question(0.01, statistic=2.6), question(0.02), question(0.05, statistic=1.0)]
    found = adjusted(some, draws=[JOINT[:, 0], NO_LOTS, JOINT[:, 1]])
    assert found["romano_wolf"] == [pytest.approx(1 / 5), None, pytest.approx(3 / 5)]
    assert found["family"] == pytest.approx([1 / 5, 0.04, 3 / 5])


def test_a_question_without_a_p_value_has_no_corrected_one_and_does_not_count():
    found = adjusted([question(0.01), question(None), question(0.04)])
    assert found["holm"] == [pytest.approx(0.02), None, pytest.approx(0.04)]
    assert found["family"][1] is None
    assert found["n_hypotheses"] == [2, 2, 2]


def test_families_are_corrected_apart():
    mixed = [question(0.01), question(0.03, outcome="employment", family="economy"), question(0.04)]
    found = adjusted(mixed)
    assert found["holm"] == pytest.approx([0.02, 0.03, 0.04])
    assert found["n_hypotheses"] == [2, 1, 2]


def test_two_treatments_of_one_outcome_are_two_questions_of_one_family():
    found = adjusted([question(0.02), question(0.03, treatment="open_data_policy")])
    assert found["holm"] == pytest.approx([0.04, 0.04])
    assert found["n_hypotheses"] == [2, 2]


def test_the_order_of_the_questions_changes_no_corrected_number():
    some = [question(0.01, statistic=2.6), question(0.05, statistic=1.0), question(0.2)]
    draws = [*JOINT.T, NO_LOTS]
    there, back = adjusted(some, draws=draws), adjusted(some[::-1], draws=draws[::-1])
    assert {name: values[::-1] for name, values in back.items()} == there


def test_groups_are_a_family_of_their_own():
    with_groups = [question(0.01, groups=(0.01, 0.04)), question(0.02, groups=(0.03, None))]
    other = question(0.01, outcome="employment", family="economy", groups=(0.5,))
    judged = judge([*with_groups, other], draws=[NO_LOTS] * 3, plan=PLAN)
    held = [[row["holm"] for row in item.groups] for item in judged]
    assert held == [[pytest.approx(0.03), pytest.approx(0.06)], [pytest.approx(0.06), None], [0.5]]
    assert [item.adjusted["holm"] for item in judged] == pytest.approx([0.02, 0.02, 0.01])


def test_the_verdict_rests_on_the_corrected_p_value():
    alone = judge([question(0.02)], draws=[NO_LOTS], plan=PLAN)
    assert alone[0].verdict.code == "improvement"
    among = judge([question(0.02), question(0.5), question(0.6)], draws=[NO_LOTS] * 3, plan=PLAN)
    assert among[0].adjusted["family"] == pytest.approx(0.06)
    assert among[0].verdict.code == "cannot_tell"


def test_judging_leaves_what_it_was_given_as_it_was():
    found = question(0.02, groups=(0.01,))
    before = found.as_dict()
    judge([found], draws=[NO_LOTS], plan=PLAN)
    assert found.as_dict() == before
