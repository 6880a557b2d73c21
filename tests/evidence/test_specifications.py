"""Every defensible specification is estimated, failed ones are kept, and the joint test keeps its promise."""

import json
from dataclasses import replace

import numpy as np
import pytest
from scipy import stats

from tests.design.test_design import design
from wwc_research import catalog
from wwc_research.errors import EstimationError
from wwc_research.estimators import estimate
from wwc_research.evidence import specification_parts, specifications
from wwc_research.evidence.specifications import (
    joined_curve,
    joint_test,
    specification_curve,
    specification_part,
    specification_units,
)

RULE = replace(
    catalog.plan().specifications,
    estimators=("imputation", "two_way_fe"),
    windows=("plan", "from_2014"),
    covariates=("none",),
    cohorts=("plan", "all_editions"),
    weightings=("equal", "population"),
    draws=99,
)
ONE_WAY = replace(RULE, comparisons=("not_yet",), windows=("plan",), cohorts=("plan",))


def test_the_combinations_are_those_that_mean_something_and_the_others_are_counted(panel):
    curve = specification_curve(design("broadband"), panel, rule=RULE, seed=1)
    asked = 2 * 2 * 2 * 2 * 2
    assert curve.skipped == {specification_parts.ONE_COMPARISON: 8, specification_parts.LATE_START: 12}
    # up to 2022 the other editions add no exposed city, so that with them half of the rest is asked twice
    assert curve.duplicates == 6
    found = {(item.choices.estimator, item.choices.comparison, item.choices.weighting) for item in curve.estimated}
    assert found == {
        (name, comparison, weighting)
        for name, comparison in (("imputation", "not_yet"), ("imputation", "never"), ("two_way_fe", "not_yet"))
        for weighting in ("equal", "population")
    }
    assert len(curve.specifications) == 6 == asked - 20 - curve.duplicates
    assert {item.choices.cohorts for item in curve.specifications} == {"plan"}


def test_the_planned_specification_is_the_estimate_of_the_plan(panel):
    planned = design("air_quality")
    curve = specification_curve(planned, panel, rule=ONE_WAY, seed=1)
    row = next(item for item in curve.estimated if item.choices == curve.headline)
    found = estimate(planned.sample(panel), "imputation", std_errors="bjs_leave_out")
    assert (row.estimate, row.std_error, row.n_units) == (found.estimate, found.std_error, found.n_units)
    shown = curve.as_dict()
    place = shown["columns"].index("estimate")
    assert shown["rows"][shown["headline_row"]][place] == pytest.approx(found.estimate, rel=1e-5)
    assert [line[place] for line in shown["rows"]] == sorted(line[place] for line in shown["rows"])


def test_covariates_precision_and_group_times_are_asked_and_drawn_where_they_can_be(panel):
    rule = replace(
        RULE,
        estimators=("imputation", "callaway_santanna", "two_way_fe"),
        comparisons=("not_yet",),
        windows=("plan", "without_2020_2021"),
        covariates=("none", "plan"),
        cohorts=("anticipation_1",),
        weightings=("population", "precision"),
        draws=9,
    )
    planned = design("broadband")
    part = specification_part(planned, panel, "anticipation_1", rule=rule, seed=3)
    joint = joined_curve(planned, [part], rule=rule).joint
    assert (joint.n_specifications, joint.n_left_out) == (20, 4)
    assert "4 more cannot be computed for many draws" in joint.sentence
    assert len(part.tried) == 3 * 2 * 2 * 2
    assert not any(item.failed for item in part.tried)
    undrawn = {(item.choices.estimator, item.choices.covariates) for item in part.tried if not len(item.drawn)}
    assert undrawn == {("callaway_santanna", "plan")}
    assert all(item.drawn[0] == pytest.approx(item.estimate, rel=1e-6) for item in part.tried if len(item.drawn))


def test_covariates_measured_after_the_first_exposure_are_refused(panel):
    rule = replace(ONE_WAY, covariates=("none", "plan"))
    policy = specification_curve(design("air_quality", treatment="open_data_policy"), panel, rule=rule, seed=1)
    assert policy.skipped == {specification_parts.MEASURED_LATE: 4}


def test_what_has_no_meaning_for_a_policy_is_skipped(panel):
    rule = replace(RULE, cohorts=("plan", "all_editions", "source_only"), comparisons=("not_yet",))
    policy = specification_curve(design("employment", treatment="open_data_policy"), panel, rule=rule, seed=1)
    assert policy.skipped[specification_parts.NOT_AWARDS] == 2 * 2 * 2 * 2
    assert {item.choices.cohorts for item in policy.specifications} == {"plan"}


def test_awards_that_had_a_good_outcome_as_condition_are_flagged(panel):
    rule = replace(ONE_WAY, cohorts=("plan", "all_editions"), weightings=("equal",))
    marked = {
        name: {item.choices.cohorts: item.is_mechanical for item in curve.estimated}
        for name in ("air_quality", "employment")
        for curve in [specification_curve(design(name), panel, rule=rule, seed=1)]
    }
    assert marked["air_quality"] == {"plan": False, "all_editions": True}
    assert not marked["employment"]["plan"]


def test_a_specification_that_cannot_be_estimated_is_kept_with_its_reason(panel):
    rule = replace(ONE_WAY, windows=("plan", "without_2020_2021"))
    curve = specification_curve(design("broadband", window=(2019, 2021)), panel, rule=rule, seed=1)
    failed = [item for item in curve.specifications if item.failed]
    assert len(failed) == 4
    assert len(curve.estimated) == 4
    assert all("two periods" in item.failed and item.choices.window == "without_2020_2021" for item in failed)
    assert curve.as_dict()["n_failed"] == 4
    assert curve.as_dict()["failed"][0][-1] == failed[0].failed


def test_no_estimate_at_all_is_an_error(panel):
    rule = replace(ONE_WAY, windows=("without_2020_2021",))
    with pytest.raises(EstimationError, match="no specification has an estimate"):
        specification_curve(design("broadband", window=(2019, 2021)), panel, rule=rule, seed=1)


def test_parts_made_in_any_order_give_the_same_curve_to_the_last_bit(panel):
    planned, rule = design("employment"), replace(RULE, comparisons=("not_yet",), windows=("plan",), draws=19)
    whole = specification_curve(planned, panel, rule=rule, seed=5)
    units = specification_units(rule)
    made = {unit: specification_part(planned, panel, unit, rule=rule, seed=5) for unit in reversed(units)}
    assert joined_curve(planned, [made[unit] for unit in units], rule=rule) == whole
    other = specification_curve(planned, panel, rule=rule, seed=6)
    assert other.joint != whole.joint


def test_a_draw_keeps_how_many_of_each_cohort_are_in_each_size_group(panel):
    sample = design("broadband").sample(panel)
    rows = specification_parts.read_rows(sample)
    strata = sample.frame.groupby("unit")["stratum"].first().to_numpy(dtype=np.int64)
    lots = specification_parts._Lots.of(design("broadband"), panel, seed=2, draws=5)
    drawn, cohorts = lots.deal(rows, strata)
    first = np.flatnonzero(np.diff(rows.unit, prepend=-1))
    assert (rows.cohort[first][drawn[0]] == cohorts).all()
    assert (strata[drawn] == strata[drawn[:1]]).all()
    assert all(len(set(row)) == len(row) for row in drawn)


def test_a_units_key_is_its_own_whoever_else_is_in_the_sample(panel):
    sample = design("broadband").sample(panel)
    rows = specification_parts.read_rows(sample)
    lots = specification_parts._Lots.of(design("broadband"), panel, seed=2, draws=40)
    one = np.zeros(rows.n_units, dtype=np.int64)
    drawn, _ = lots.deal(rows, one)
    gone = rows.unit_names[drawn[1][-1]]
    fewer = specification_parts.read_rows(replace(sample, frame=sample.frame.loc[sample.frame["unit"] != gone]))
    left, _ = lots.deal(fewer, one[1:])
    # without the unit whose key was largest among the drawn, the others stay, and the next takes its place
    assert set(rows.unit_names[drawn[1]]) - {gone} <= set(fewer.unit_names[left[1]])


def with_cohorts_dealt_anew(panel, *, seed, effect=0.0):
    """The panel in which certification is dealt to places by lot, with an effect on broadband of those that get it."""
    frame = panel.frame
    names = frame["place_id"].unique()
    taken_from = dict(zip(names, np.random.default_rng(seed).permutation(names), strict=True))
    columns = [
        name for name in frame.columns if name.startswith("certification_") and name != "certification_level_dose"
    ]
    fixed = frame.drop_duplicates("place_id").set_index("place_id")[columns]
    dealt = fixed.loc[frame["place_id"].map(taken_from)].set_index(frame.index)
    frame = frame.assign(**{name: dealt[name] for name in columns})
    variable = catalog.outcome("broadband").variable
    exposed = frame["year"] >= frame["certification_cohort"].astype(float)
    return replace(panel, frame=frame.assign(**{variable: frame[variable] + effect * exposed.fillna(False)}))


def test_a_planted_effect_is_found_by_the_joint_test_and_chance_is_not(panel):
    one = replace(ONE_WAY, draws=99, weightings=("equal",))
    found = specification_curve(
        design("broadband"), with_cohorts_dealt_anew(panel, seed=0, effect=0.05), rule=one, seed=1
    )
    assert found.joint.median_p_value == 0.01
    assert found.joint.share_p_value <= 0.05
    assert found.as_dict()["share_significant_positive"] == 1.0
    null = [
        specification_curve(design("broadband"), with_cohorts_dealt_anew(panel, seed=seed), rule=one, seed=1).joint
        for seed in range(16)
    ]
    p_values = [test.median_p_value for test in null]
    assert stats.kstest(p_values, "uniform").pvalue > 0.05
    assert sum(p_value <= 0.05 for p_value in p_values) <= 3


def test_the_joint_test_is_exact_where_rows_are_exchangeable():
    generator = np.random.default_rng(8)
    mixed = generator.normal(size=(12, 5))
    found = [joint_test(generator.normal(size=(40, 12)) @ mixed + 3.0) for _ in range(400)]
    medians, shares = ([getattr(test, name) <= 0.05 for test in found] for name in ("median_p_value", "share_p_value"))
    assert np.mean(medians) == pytest.approx(0.05, abs=0.025)
    assert np.mean(shares) <= 0.075  # shares have many ties, each of which counts as extreme
    assert stats.kstest([test.median_p_value for test in found], "uniform").pvalue > 0.01


def test_a_hand_worked_joint_test():
    drawn = np.array([[4.0, 40.0], [1.0, -10.0], [-1.0, 10.0], [0.0, 0.0]])
    found = joint_test(drawn)
    scores = (drawn - drawn.mean(axis=0)) / drawn.std(axis=0)
    assert found.median == pytest.approx(scores[0].mean())
    assert found.median_p_value == 0.25
    assert found.share_beyond == 0.0
    assert found.share_p_value == 1.0
    assert found.band[0][1:] == pytest.approx(np.quantile([-10.0, -1.0, 0.0], [0.025, 0.5, 0.975]))
    assert joint_test(np.zeros((5, 0))).n_specifications == 0


def test_the_json_of_a_curve_is_plain_and_small(panel):
    shown = specification_curve(design("broadband"), panel, rule=ONE_WAY, seed=1).as_dict()
    text = json.dumps(shown, allow_nan=False)
    assert json.loads(text) == shown
    assert set(shown["columns"]) == set(specifications.COLUMNS)
    per_row = len(json.dumps(shown["rows"], separators=(",", ":"))) / len(shown["rows"])
    assert per_row < 130  # 240 specifications stay below 40 kB
