import copy
import dataclasses
import json
import pickle

import numpy as np
import pytest

from wwc_research.catalog.editions import edition
from wwc_research.errors import InputError
from wwc_research.standard.responses import MET, NOT_ASSESSED, Responses
from wwc_research.standard.scoring import score

V3 = edition("v3")


def responses(values=((1, 0, -1),), criteria=("DM1", "LC1", "PA1"), **given):
    keys = {"place_ids": [f"99{n:05}" for n in range(len(values))], "edition": V3} | given
    return Responses(np.array(values), criteria=criteria, **keys)


@pytest.mark.parametrize("kind", ["responses", "scores"])
def test_nothing_that_holds_answers_prints_or_lends_them(kind):
    held = responses(names=["Secretville"], assessed_on=["2019-02-03"])
    held = held if kind == "responses" else score(held, V3)
    # old-style formatting is one more way in which values could leak, hence the exception
    # the old way of formatting must not leak either, so it stands here on purpose
    for shown in (repr(held), str(held), f"{held}", f"{held:>5}", held._repr_html_(), "%s" % held, f"{[held]}"):  # noqa: UP031
        assert "1 assessments" in shown
        for secret in ("Secretville", "9900000", "2019", "array", "DM1", "silver"):
            assert secret not in shown
    for leak in (iter, list, pickle.dumps, copy.copy, copy.deepcopy, vars, json.dumps):
        with pytest.raises(TypeError):
            leak(held)
    assert "Secretville" not in repr(np.array([held], dtype=object))
    with pytest.raises(TypeError):
        held[0]


def test_the_one_door_out_gives_keys_and_all_criteria_and_cannot_change_what_is_held():
    held = responses(names=["Springfield, XX"])
    frame = held.confidential_frame()
    assert list(frame.columns) == ["place_id", "name", "assessed_on", *V3.criteria]
    assert frame.loc[0, ["DM1", "LC1", "PA1", "CI3"]].tolist() == [1, 0, NOT_ASSESSED, NOT_ASSESSED]
    frame.loc[0, "LC1"] = MET
    assert held.confidential_frame().loc[0, "LC1"] == 0


def test_every_fault_is_told_at_once_and_no_fault_tells_an_answer_or_a_city():
    with pytest.raises(InputError) as refused:
        responses(
            [[1, 7, 0], [1, 1, 1]],
            criteria=("DM1", "dm 1", "XX9"),
            place_ids=["9911111", "9911111"],
            names=["Secretville"] * 2,
        )
    said = str(refused.value)
    for part in ("other than 1", "twice on one date", "XX9", "DM1: given in more than one"):
        assert part in said
    assert "Secretville" not in said
    assert "9911111" not in said
    with pytest.raises(InputError, match=r"shape \(1, 3\)"):
        responses(criteria=("DM1", "LC1"))


def test_answers_are_carried_to_another_edition_only_where_the_criteria_are_the_same():
    draft = edition("v3-draft")
    held = Responses([[1, 1, 0]], place_ids=["9900000"], criteria=["SI2", "DM1", "OD2"], edition=draft)
    frame = held.under(V3).confidential_frame()
    assert frame.loc[0, ["CI2", "DM1", "OD2", "LC1", "BF1"]].tolist() == [1, 1, 0, NOT_ASSESSED, NOT_ASSESSED]
    v2 = Responses([[1, 1]], place_ids=["9900000"], criteria=["OD1", "OD2"], edition=edition("v2"))
    chosen = v2.under(V3, same={"OD1": "OD1"}).confidential_frame()
    assert chosen.loc[0, ["OD1", "OD2"]].tolist() == [1, NOT_ASSESSED]
    with pytest.raises(InputError, match="'XX1' is no criterion of v2"):
        v2.under(V3, same={"XX1": "OD1"})


def test_points_fill_in_what_they_say_and_only_those_in_between_are_kept():
    two = dataclasses.replace(V3.criteria["DM1"], points=2.0)
    half = dataclasses.replace(V3.criteria["LC1"], points=1.5)
    chosen = dataclasses.replace(V3, criteria={**V3.criteria, "DM1": two, "LC1": half})
    held = responses([[-1, -1, 1], [0, -1, -1]], points=[[1, 1.5, np.nan], [0, 0.7, 1]], edition=chosen)
    ids = ["DM1", "LC1", "PA1"]
    assert held.confidential_frame()[ids].to_numpy().tolist() == [[0, 1, 1], [0, 0, 1]]
    kept = held.confidential_frame(what="points")[ids].to_numpy()
    np.testing.assert_array_equal(kept, [[1, np.nan, np.nan], [np.nan, 0.7, np.nan]])
    # where the criterion is worth one point, part of two is not met; what was met stays so
    carried = held.under(V3)
    assert carried.confidential_frame()[ids].to_numpy().tolist() == [[0, 1, 1], [0, 0, 1]]
    assert carried.confidential_frame(what="points")[ids].isna().all(axis=None)
    assert held.under(chosen).confidential_frame(what="points").equals(held.confidential_frame(what="points"))


def test_evidence_and_the_own_outcome_go_where_the_answers_go_and_stay_as_confidential():
    held = responses([[1, 1, 0]], evidence=[[0, 1, -1]], own_outcome=["not demonstrated"])
    same = held.under(V3)
    assert same.confidential_frame(what="evidence")[["DM1", "LC1", "PA1", "CI3"]].to_numpy().tolist() == [
        [0, 1, -1, -1]
    ]
    assert same.confidential_frame(what="own_outcome")["own_outcome"].tolist() == ["not demonstrated"]
    assert held.under(edition("v3-draft")).confidential_frame(what="own_outcome")["own_outcome"].tolist() == [""]
    assert "demonstrated" not in repr(held)
    with pytest.raises(InputError, match="allowed: responses, points, evidence and own_outcome"):
        held.confidential_frame(what="names")


def test_points_evidence_and_own_outcomes_that_cannot_be_are_refused_without_an_answer_or_a_city():
    with pytest.raises(InputError) as refused:
        responses(
            [[1, 1, 0]],
            points=[[0, 2, 0.5]],
            names=["Secretville"],
        )
    said = str(refused.value)
    for part in ("LC1: points below 0 or above", "PA1: fractions of points", "DM1: points that contradict"):
        assert part in said
    assert "Secretville" not in said
    with pytest.raises(InputError, match=r"4 faults[\s\S]*evidence other than 1[\s\S]*points have shape[\s\S]*"):
        responses(points=[[1]], evidence=[[2, 0, 1]], own_outcome=["well", ""])


def test_simulated_places_say_so_and_never_stand_beside_real_ones():
    held = responses(place_ids=["XX-sim-0001"])
    assert "SIMULATED" in repr(held)
    assert "SIMULATED" in repr(score(held, V3))
    assert "SIMULATED" not in repr(responses())
    with pytest.raises(InputError, match="simulated and real places stand together"):
        responses([[1, 1, 1]] * 2, place_ids=["XX-sim-0001", "2622000"])
