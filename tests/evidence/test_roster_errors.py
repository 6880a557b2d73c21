import dataclasses
import itertools

import numpy as np
import pytest

from tests.design.test_design import design
from wwc_research import catalog
from wwc_research.design.sample import Sample
from wwc_research.errors import InputError
from wwc_research.estimators import estimate
from wwc_research.evidence.roster_errors import roster_errors
from wwc_research.sources.synthetic import staggered_world

BOTH = pytest.mark.parametrize("estimator", ["imputation", "callaway_santanna"])


def rule(*shares, draws=99):
    return dataclasses.replace(catalog.plan().sensitivity, roster_shares=shares, roster_draws=draws)


def found_in(sample, *shares, draws=99, seed=0, std_error=1.0, estimator="imputation"):
    return roster_errors(
        sample,
        rule=rule(*shares, draws=draws),
        generator=np.random.default_rng(seed),
        std_error=std_error,
        scale=1.0,
        unit="points",
        estimator=estimator,
    )


def simulated(*, effect_size=4.0, noise=0.05, cohorts=None, n_units=60):
    world = staggered_world(
        generator=np.random.default_rng(3),
        n_units=n_units,
        times=range(2012, 2022),
        cohorts=cohorts or {2016: 10, 2018: 10},
        effect="constant",
        effect_size=effect_size,
        n_counties=n_units,
        noise=noise,
        county_shock=noise,
        survey_std_error=noise,
    )
    frame = world.frame[["unit", "time", "outcome", "cohort"]].assign(cluster=world.frame["unit"], weight=1.0)
    return Sample(frame=frame)


@BOTH
@pytest.mark.parametrize("changes", [{}, {"comparison": "never"}, {"anticipation": 1}])
def test_no_error_leaves_the_estimators_own_number(panel, changes, estimator):
    sample = design("broadband", **changes).sample(panel)
    found = found_in(sample, 0.0, draws=9, estimator=estimator)
    assert found.estimate == pytest.approx(estimate(sample, estimator).estimate, rel=1e-9)
    for row in found.rows:
        assert row.n_wrong == 0
        assert (row.low, row.high) == pytest.approx((found.estimate, found.estimate), rel=1e-12)
        assert row.sign_changed_share == row.bound_crossed_share == 0


@BOTH
@pytest.mark.parametrize("comparison", ["not_yet", "never"])
def test_every_roster_that_one_error_can_make_is_estimated_as_the_estimator_would(estimator, comparison):
    """One wrong unit of three exposed ones: all rosters are known, and every estimate drawn must be one of theirs."""
    sample = dataclasses.replace(simulated(cohorts={2016: 1, 2018: 1, 2021: 1}, n_units=7), comparison=comparison)
    of_unit = sample.frame.groupby("unit")["cohort"].first()
    exposed, hidden = of_unit.dropna(), of_unit[of_unit.isna()]

    def again(unit, cohort):
        frame = sample.frame.assign(cohort=sample.frame["cohort"].where(sample.frame["unit"] != unit, cohort))
        # a unit exposed after the last period is never exposed within it, and left out where only those compare
        if cohort > 2021 and comparison == "never":
            frame = frame.loc[frame["unit"] != unit]
        return estimate(dataclasses.replace(sample, frame=frame), estimator).estimate

    possible = {
        "dates": [again(unit, cohort + by) for (unit, cohort), by in itertools.product(exposed.items(), (-1, 1))],
        "missing": [again(unit, np.nan) for unit in exposed.index],
        "hidden": [again(unit, cohort) for unit, cohort in itertools.product(hidden.index, exposed)],
    }
    found = found_in(sample, 0.2, draws=400, estimator=estimator)
    for row in found.rows:
        assert row.n_wrong == 1
        assert row.mean == pytest.approx(np.mean(possible[row.kind]), abs=0.15)
        assert row.low == pytest.approx(min(possible[row.kind]), rel=1e-9)
        assert row.high == pytest.approx(max(possible[row.kind]), rel=1e-9)


def test_classical_misdating_makes_a_constant_effect_smaller_as_worked_out_by_hand():
    """Half the dates a year early put an untreated year among the exposed ones, half a year late a treated one before.

    One cohort in the middle of many years, nearly no noise, all dates wrong. A unit a year early has 5 of 6 exposed
    years treated and a clean past: its mean is 5/6 of the effect. A unit a year late has a clean past of 5 + 1 years,
    of which one was treated: its 4 exposed years show the effect less a sixth. By exposed unit-years: (6 x 5/6 + 4 x
    5/6) / 10 = 5/6. Year effects rest on many units that were never exposed.
    """
    sample = simulated(cohorts={2017: 30}, n_units=330, effect_size=6.0, noise=0.001)
    dates = found_in(sample, 1.0, draws=49).rows[0]
    assert dates.kind == "dates"
    assert dates.mean == pytest.approx(6.0 * 5 / 6, abs=0.15)
    assert dates.high < 6.0


def test_more_errors_pull_a_true_effect_nearer_to_zero_and_hidden_units_that_were_not_exposed_the_most():
    found = found_in(simulated(), 0.1, 0.2, 0.4)
    by_kind = {kind: [row.mean for row in found.rows if row.kind == kind] for kind in ("dates", "missing", "hidden")}
    assert found.estimate == pytest.approx(4.0, abs=0.2)
    for means in by_kind.values():
        assert found.estimate > means[0] > means[1] > means[2] > 0
    # m of 20 added at random: the share of exposed units that show the effect falls to 20 / (20 + m)
    for mean, share in zip(by_kind["hidden"], (0.1, 0.2, 0.4), strict=True):
        assert mean == pytest.approx(found.estimate / (1 + share), rel=0.05)


def test_hidden_units_come_from_the_strata_of_the_exposed():
    sample = simulated(effect_size=0.0)
    frame = sample.frame
    large = frame["cohort"].notna() | frame["unit"].isin(sorted(frame["unit"].unique())[::3])
    # the large ones that were never exposed jump where others do not: a draw among all would show less of the jump
    jumping = frame.assign(
        outcome=frame["outcome"] + 9.0 * (large & frame["cohort"].isna() & (frame["time"] >= 2017)), stratum=large
    )
    within = found_in(dataclasses.replace(sample, frame=jumping), 0.5).rows[2]
    among_all = found_in(dataclasses.replace(sample, frame=jumping.drop(columns="stratum")), 0.5).rows[2]
    assert within.mean > among_all.mean + 0.5


def test_a_stratum_with_no_comparison_left_adds_nobody():
    sample = simulated()
    frame = sample.frame.assign(stratum=sample.frame["cohort"].notna())
    hidden = found_in(dataclasses.replace(sample, frame=frame), 0.5).rows[2]
    assert hidden.low == pytest.approx(hidden.high)


def test_crossing_counts_draws_on_the_other_side_of_the_line_in_both_directions():
    sample = simulated()
    exact = found_in(sample, 0.2)
    assert all(row.bound_crossed_share == 0 for row in found_in(sample, 0.2, std_error=0.01).rows)
    between = (exact.rows[2].mean + exact.estimate) / 2 / 1.959964
    assert found_in(sample, 0.2, std_error=between).rows[2].bound_crossed_share > 0.9
    below = exact.estimate * 1.0001 / 1.959964
    assert all(row.bound_crossed_share < 1 for row in found_in(sample, 0.2, std_error=below).rows)
    undefined = found_in(sample, 0.2, std_error=np.nan)
    assert all(row.as_dict()["bound_crossed_share"] is None for row in undefined.rows)
    assert "chance" not in undefined.rows[0].sentence


def test_the_same_seed_gives_the_same_bits_whatever_other_rows_are_asked_for(panel):
    sample = design("broadband").sample(panel)
    before = sample.frame.copy()
    assert found_in(sample, 0.05, 0.1) == found_in(sample, 0.05, 0.1)
    assert found_in(sample, 0.05, 0.1).rows != found_in(sample, 0.05, 0.1, seed=1).rows
    assert found_in(sample, 0.05, 0.1).rows[1::2] == found_in(sample, 0.1).rows
    assert before.equals(sample.frame)


def test_the_sentence_says_how_many_and_between_what(panel):
    outcome = catalog.outcome("broadband")
    found = roster_errors(
        design("broadband").sample(panel),
        rule=rule(0.05, 0.1, 0.2),
        generator=np.random.default_rng(0),
        std_error=0.004,
        scale=outcome.scale,
        unit=outcome.unit,
    )
    dates = found.rows[1]
    assert "5 of 48 dates wrong by a year" in found.sentence
    assert f"between {100 * dates.low:+.2f} and {100 * dates.high:+.2f}" in found.sentence
    assert found.sentence.count(". ") == 0
    assert found.sentence.values["dates"].values == {"low": 100 * dates.low, "high": 100 * dates.high}
    assert dates.as_dict()["sentence"].values["condition"].values == {"n": 5, "n_exposed": 48}
    assert "5 of 48 exposed places were listed by mistake" in found.rows[4].sentence
    assert [row["kind"] for row in found.as_dict()["rows"]] == ["dates"] * 3 + ["missing"] * 3 + ["hidden"] * 3


def test_striking_off_the_only_exposed_unit_leaves_no_estimate_and_says_so():
    sample = simulated(cohorts={2016: 1})
    missing = found_in(sample, 0.1).rows[1]
    assert missing.draws == 0
    assert missing.as_dict()["mean"] is None
    assert missing.sentence == "If 1 of 1 exposed units was listed by mistake, there would be no estimate."


def test_what_cannot_be_used_is_refused_with_all_its_faults():
    sample = simulated()
    weighted = sample.frame.assign(weight=np.arange(len(sample.frame)) + 1.0, x=0.0)
    with pytest.raises(InputError, match=r"(?s)4 faults.*allowed: imputation.*covariates.*weights.*shares from 0 to 1"):
        found_in(dataclasses.replace(sample, frame=weighted, covariates=("x",)), 1.5, estimator="two_way_fe")
    with pytest.raises(InputError, match="roster_draws = 0"):
        found_in(sample, 0.1, draws=0)
    with pytest.raises(InputError, match="one or more shares"):
        found_in(sample)


def test_the_order_of_rows_does_not_matter():
    sample = simulated()
    shuffled = dataclasses.replace(sample, frame=sample.frame.sample(frac=1, random_state=1))
    assert found_in(shuffled, 0.2).rows == found_in(sample, 0.2).rows
