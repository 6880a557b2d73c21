import math

import pytest

from wwc_research import catalog
from wwc_research.errors import DataError, InputError
from wwc_research.evidence.assemble import assemble, judge
from wwc_research.evidence.evidence import Evidence

PLAN = catalog.plan()


@pytest.fixture(scope="module")
def found(panel) -> dict[str, Evidence]:
    return {
        name: assemble(outcome=name, treatment="certification", panel=panel, plan=PLAN)
        for name in ("broadband", "youth_neet", "unemployment")
    }


def test_every_estimate_carries_its_sample_its_exclusions_and_what_it_could_have_seen(found):
    for evidence in found.values():
        values = evidence.headline.estimate
        assert values["minimum_detectable_effect"] > 0
        assert values["n_obs"] > values["n_units"] > values["n_treated"] > 0
        assert values["exclusions"]
        assert {item.name for item in evidence.alternatives} >= {"two_way_fe", "event_study", "matched_difference"}


def test_the_more_cautious_inference_is_judged(found):
    for evidence in found.values():
        judged, headline = evidence.judged, evidence.headline.estimate
        assert judged["std_error"] == max(headline["std_error"], judged["lot_std_error"])
        assert judged["p_value"] == max(headline["p_value"], judged["lot_p_value"])
        assert judged["ci_low"] <= headline["ci_low"] < headline["ci_high"] <= judged["ci_high"]
        assert judged["minimum_detectable_effect"] >= headline["minimum_detectable_effect"]


def test_a_way_that_cannot_be_gone_is_kept_with_its_reason(found):
    for evidence in found.values():
        for item in evidence.alternatives:
            assert (item.estimate is None) == bool(item.failed)


def test_youth_neet_is_never_more_than_what_three_counties_allow(found):
    evidence = judge([found["youth_neet"]], plan=PLAN)[0]
    assert evidence.headline.estimate["n_treated"] == 3
    assert evidence.verdict.code == "cannot_tell"
    assert evidence.cross_section["year"] == 2021
    assert evidence.cross_section["estimate"]["n_treated"] > 10


def test_each_county_of_youth_neet_stands_beside_a_mix_of_counties_never_certified(found):
    synthetic = found["youth_neet"].synthetic
    assert [row["label"].split(",")[0] for row in synthetic] == ["Jefferson County", "Jackson County", "Shelby County"]
    for row in synthetic:
        assert sum(donor["weight"] for donor in row["donors"]) == pytest.approx(1, abs=0.03)
        donors = {donor["unit"] for donor in row["donors"]}
        assert not donors & {"37119", "39061", "40143"}  # Charlotte, Cincinnati and Tulsa are certified, undated
        assert row["ratio_p_value"] >= 1 / (row["n_placebos"] + 1)
    assert found["broadband"].synthetic == ()


def test_spillover_is_asked_of_figures_measured_for_places_only(found):
    asked = {name: "spillover" in {check.name for check in evidence.checks} for name, evidence in found.items()}
    assert asked == {"broadband": True, "youth_neet": False, "unemployment": False}


def test_the_other_ways_of_asking_stand_beside_the_headline(found):
    names = {item.name for item in found["broadband"].alternatives}
    assert names >= {
        "callaway_santanna",
        "panel_matching",
        "synthetic_did",
        "precision",
        "population",
        "region_by_year",
    }
    assert "people_share" in {item.name for item in found["unemployment"].alternatives}


def test_county_outcomes_are_compared_county_by_county(found):
    values = found["unemployment"].headline.estimate
    assert values["settings"]["unit"] == "county"
    assert values["n_clusters"] == values["n_units"]
    assert "by_place" in {item.name for item in found["unemployment"].alternatives}


def test_undated_cities_are_named_as_kept_out_on_every_page(found):
    for evidence in found.values():
        assert any("Charlotte" in note and "Tulsa" in note for note in evidence.notes)


def test_evidence_written_is_read_back_whole(found, tmp_path):
    for evidence in judge(list(found.values()), plan=PLAN):
        path = tmp_path / f"{evidence.outcome}.json"
        evidence.write(path)
        again = Evidence.read(path)
        assert again == evidence
        again.write(path)
        assert Evidence.read(path) == evidence


def test_q_values_are_taken_over_the_family_and_every_outcome_is_judged(found):
    judged = {item.outcome: item for item in judge(list(found.values()), plan=PLAN)}
    residents = [judged["broadband"], judged["youth_neet"]]
    for item in residents:
        assert item.q_value >= item.judged["p_value"]
    alone = judged["unemployment"]
    assert alone.q_value == pytest.approx(alone.judged["p_value"])
    assert all(item.verdict is not None for item in judged.values())


def test_trends_compare_the_same_units_in_every_year(found):
    for evidence in found.values():
        for group in {row["group"] for row in evidence.trends}:
            counts = {row["n_units"] for row in evidence.trends if row["group"] == group}
            assert len(counts) == 1
            assert all(math.isfinite(row["mean"]) for row in evidence.trends)


def test_an_outcome_without_a_plan_is_refused(panel):
    with pytest.raises(InputError, match="the plan has no analysis of 'happiness'"):
        assemble(outcome="happiness", treatment="certification", panel=panel, plan=PLAN)


def test_absent_evidence_and_evidence_of_another_version_are_refused(tmp_path):
    with pytest.raises(DataError, match="no evidence yet"):
        Evidence.read(tmp_path / "absent.json")
    (tmp_path / "old.json").write_text('{"format": 0}', encoding="utf-8")
    with pytest.raises(DataError, match="another version"):
        Evidence.read(tmp_path / "old.json")
