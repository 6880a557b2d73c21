import dataclasses
import math

import pandas as pd
import pytest

from wwc_research import catalog
from wwc_research.design.sample import Sample
from wwc_research.errors import DataError, InputError
from wwc_research.evidence.assemble import _trends, assemble
from wwc_research.evidence.evidence import Evidence
from wwc_research.evidence.judging import judge
from wwc_research.report import batch, batch_plan

PLAN = catalog.plan()


@pytest.fixture(scope="module")
def found(answered) -> dict[str, Evidence]:
    return answered[1]


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
        assert judged["p_value"] >= max(headline["p_value"], judged["lot_p_value"])
        assert judged["ci_low"] <= headline["ci_low"] < headline["ci_high"] <= judged["ci_high"]
        assert judged["minimum_detectable_effect"] >= headline["minimum_detectable_effect"]
        assert 1 <= judged["df"] < headline["n_clusters"]


def test_an_interval_leaves_out_zero_exactly_where_the_p_value_is_below_five_percent(found):
    for evidence in found.values():
        judged = evidence.judged
        assert (judged["ci_low"] > 0 or judged["ci_high"] < 0) == (judged["p_value"] < 0.05)
        middle = (judged["ci_low"] + judged["ci_high"]) / 2
        assert middle == pytest.approx(judged["estimate"], abs=1e-12)


def test_a_way_that_cannot_be_gone_is_kept_with_its_reason(found):
    for evidence in found.values():
        for item in evidence.alternatives:
            assert (item.estimate is None) == bool(item.failed)


def test_youth_neet_is_never_more_than_what_three_counties_allow(found):
    evidence = found["youth_neet"]
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
    assert asked == {"broadband": True, "youth_neet": False, "employment": True}


def test_the_other_ways_of_asking_stand_beside_the_headline(found):
    evidence = found["broadband"]
    names = {item.name for item in evidence.alternatives}
    other = {"imputation", "callaway_santanna"} - {evidence.headline.name}
    assert names >= other | {
        "panel_matching",
        "synthetic_did",
        "precision",
        "population",
        "region_by_year",
    }


def test_county_outcomes_are_compared_county_by_county(found):
    values = found["youth_neet"].headline.estimate
    assert values["settings"]["unit"] == "county"
    assert values["n_clusters"] == values["n_units"]


def test_undated_cities_are_named_as_kept_out_on_every_page(found):
    for evidence in found.values():
        assert any("Charlotte" in note and "Tulsa" in note for note in evidence.notes)


def test_evidence_written_is_read_back_whole(found, tmp_path):
    for evidence in found.values():
        path = tmp_path / f"{evidence.outcome}.json"
        evidence.write(path)
        again = Evidence.read(path)
        assert again == evidence
        again.write(path)
        assert Evidence.read(path) == evidence


def test_p_values_are_corrected_over_the_family_and_every_question_is_judged(found):
    for evidence in (found["broadband"], found["youth_neet"]):
        assert evidence.adjusted["n_hypotheses"] == 2
        assert evidence.family_p_value >= evidence.judged["p_value"]
        assert evidence.adjusted["holm"] >= evidence.q_value >= evidence.judged["p_value"]
    alone = found["employment"]
    assert alone.adjusted["n_hypotheses"] == 1
    assert alone.q_value == alone.adjusted["holm"] == pytest.approx(alone.judged["p_value"])
    assert all(item.verdict is not None for item in found.values())


def test_more_outcomes_in_a_family_never_lower_a_corrected_p_value(found):
    evidence = found["broadband"]
    alone = judge([evidence], draws=[[]], plan=PLAN)[0]
    assert alone.adjusted["romano_wolf"] is None
    assert alone.family_p_value == pytest.approx(evidence.judged["p_value"])
    assert evidence.family_p_value >= alone.family_p_value


def test_every_gate_of_the_plan_is_put_or_said_to_have_no_meaning(found):
    for evidence in found.values():
        put = {check.name for check in evidence.checks} | set(evidence.not_applicable)
        assert put >= {*PLAN.verdict.difference_gates, *PLAN.verdict.null_gates}


def test_every_check_of_doubt_is_made_or_refused_with_a_reason(found):
    asked = {
        "pre_trends", "calibration", "one_unit", "one_cohort", "donut", "exposure_rule", "sure_rows", "undated",
        "later_editions", "by_county", "population", "neighbours_out", "rings", "corrections", "placebo_dates",
        "placebo_outcomes", "placebo_cohorts", "anticipation", "balance", "direction",
    }  # fmt: skip
    for evidence in found.values():
        assert {check.name for check in evidence.checks} | set(evidence.not_applicable) >= asked
        assert all(check.sentence for check in evidence.checks)
        assert all(reason for reason in evidence.not_applicable.values())


def test_every_sensitivity_analysis_speaks(found):
    for evidence in found.values():
        assert set(evidence.sensitivity) == {
            "parallel_trends", "pretrend_power", "omitted_variables", "hidden_bias", "e_value", "roster_errors",
        }  # fmt: skip
        for values in evidence.sensitivity.values():
            assert values.get("sentence") or values["failed"]
    assert found["broadband"].sensitivity["parallel_trends"]["breakdown_relative_magnitude"] is not None
    assert found["broadband"].sensitivity["omitted_variables"]["robustness_value"] > 0


def test_the_card_judges_what_heads_the_page(found):
    for evidence in found.values():
        rows = {(row["estimator"], row["basis"]): row for row in evidence.calibration["rows"]}
        row = rows[evidence.headline.name, "as_judged"]
        check = next(check for check in evidence.checks if check.name == "calibration")
        assert (check.result == "passed") == (row["result"] == "fit")
        assert evidence.calibration["carrier"] in ("", evidence.headline.name)


def test_halves_of_the_exposed_are_a_family_of_their_own(found):
    rows = found["broadband"].groups
    assert [row["group"] for row in rows] == ["smaller", "larger"]
    assert sum(row["n_treated"] for row in rows) == found["broadband"].headline.estimate["n_treated"]
    assert all(row["holm"] >= row["p_value"] for row in rows)


def test_a_run_without_a_lock_says_so(found):
    assert found["broadband"].plan_status["state"] == "not_locked"


def test_finished_parts_are_read_and_the_answer_is_the_same_to_the_last_bit(answered, quick_plan):
    root, found = answered
    wanted = batch_plan.plan_batch(root=root, plan_path=quick_plan, jobs=1)
    again = batch.answer_batch(wanted)
    assert {question.outcome: evidence for question, evidence in again.found.items()} == found


def test_the_sampling_error_of_a_mean_is_that_worked_by_hand():
    """Errors 3 and 4 of two units: the root of 9 + 16 over 2 is 2.5; a unit without a figure each year is left out."""
    frame = pd.DataFrame(
        {
            "unit": ["a", "a", "b", "b", "c"],
            "time": [2018, 2019, 2018, 2019, 2018],
            "cohort": [2019.0, 2019.0, 2019.0, 2019.0, math.nan],
            "outcome": [1.0, 2.0, 3.0, 4.0, 5.0],
            "outcome_std_error": [3.0, 6.0, 4.0, 8.0, 1.0],
        }
    )
    sample = Sample(frame=frame, settings={"unit": "place"})
    rows = list(_trends(sample, treatment=catalog.treatment("certification"), is_survey=True))
    assert [(row["year"], row["mean"], row["std_error"], row["n_units"]) for row in rows] == [
        (2018, 2.0, 2.5, 2),
        (2019, 3.0, 5.0, 2),
    ]
    bare = dataclasses.replace(sample, frame=frame.drop(columns="outcome_std_error"))
    for given, is_survey in ((sample, False), (bare, True)):
        found = _trends(given, treatment=catalog.treatment("certification"), is_survey=is_survey)
        assert {row["std_error"] for row in found} == {None}


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
