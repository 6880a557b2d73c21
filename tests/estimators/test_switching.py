"""Switching treatments: by hand, against did_multiplegt_dyn, lapses and levels, and whose path is known."""

from __future__ import annotations

import json

import numpy as np
import pandas as pd
import pytest

from wwc_research.design.sample import Exclusion, Sample
from wwc_research.errors import EstimationError, InputError
from wwc_research.estimators import switching


def paths(*, seed: int, noise: float = 1.0, units: int = 90, levels: bool = False) -> pd.DataFrame:
    """Units that start at 0 or 1; some go in, some lapse, some come back; 1.5 a unit now and 0.5 a unit last year."""
    generator = np.random.default_rng(seed)
    years = np.arange(2010, 2018)
    kind = np.arange(units) % 6
    dose = np.zeros((units, 8))
    dose[kind == 1, 3:] = 1
    dose[kind == 2, 5:] = 1
    dose[kind == 2, 7:] = 0
    dose[(kind == 3) | (kind == 4)] = 1
    dose[kind == 4, 4:] = 0
    if levels:
        dose[kind == 1, 5:] = 2
        dose[kind == 4, 6:] = 0.5
    last = np.column_stack([dose[:, :1], dose[:, :-1]])
    outcome = 3 * generator.normal(size=(units, 1)) + np.sqrt(years - 2000) + 1.5 * dose + 0.5 * last
    outcome = outcome + noise * generator.normal(size=(units, 8))
    return pd.DataFrame(
        {
            "unit": np.repeat([f"u{n:03d}" for n in range(units)], 8),
            "time": np.tile(years, units),
            "outcome": outcome.ravel(),
            "cohort": np.nan,
            "cluster": np.repeat([f"c{n // 2:02d}" for n in range(units)], 8),
            "weight": 1.0,
            "dose": dose.ravel(),
        }
    )


def run(frame: pd.DataFrame, *, comparison="not_yet", anticipation=0, **options):
    return switching.estimate(Sample(frame=frame, comparison=comparison, anticipation=anticipation), **options)


def numbers(result) -> np.ndarray:
    terms = [(t.estimate, t.std_error) for t in result.event_study if t.event_time != -1]
    return np.array([(result.estimate, result.std_error), *terms])


def test_one_gain_and_one_lapse_are_as_worked_by_hand():
    # a goes in at 2 and moves 5 against 1: +4. b lapses at 3 and moves -2 against 1: -(-3) = +3, and by two units
    frame = pd.DataFrame(
        {
            "unit": np.repeat(list("abcd"), 3),
            "time": np.tile([1, 2, 3], 4),
            "outcome": [0.0, 5, 7, 9, 9, 7, 2, 3, 5, 6, 6, 7],
            "cohort": np.nan,
            "cluster": np.repeat(list("abcd"), 3),
            "weight": 1.0,
            "dose": [0.0, 1, 1, 2, 2, 0, 0, 0, 0, 2, 2, 2],
        }
    )
    result = run(frame, scale="as_switched", effects=2)
    zero, one = (t for t in result.event_study if t.event_time >= 0)
    assert zero.estimate == pytest.approx((4 + 3) / 2)
    # at distance two only a is seen: 7 - 0 against 5 - 2
    assert one.estimate == pytest.approx(7 - 3)
    # overall: gaps 4 + 3 + 4 over treatment 1 + 2 + 1
    assert result.estimate == pytest.approx(11 / 4)
    per_dose = run(frame, effects=2)
    # a added 1 unit and b 2; at distance two a had added 2
    assert [t.estimate for t in per_dose.event_study if t.event_time >= 0] == pytest.approx([7 / 3, 4 / 2])
    # the one placebo is b's at distance one: 9 - 9 against 6 - 6
    assert per_dose.event_study[0].estimate == pytest.approx(0)
    assert (result.n_treated, result.settings["n_switchers_in"], result.settings["n_switchers_out"]) == (2, 1, 1)


# py-did-multiplegt-dyn 0.1.9, effects=3, placebo=2: (estimate, SE) of placebos 2, 1, effects 1, 2, 3, Av_tot_eff
THEIRS = {
    (False, "unit", "as_switched"): [
        (-0.256217, 0.208166), (0.010381, 0.266060), (1.377860, 0.279460), (1.853595, 0.238116), (1.433321, 0.260444),
        (1.749291, 0.242562),
    ],
    (False, "cluster", "per_dose"): [
        (-0.128108, 0.084868), (0.010381, 0.272628), (1.377860, 0.275199), (0.926797, 0.118112), (0.537495, 0.101960),
        (1.749291, 0.243488),
    ],
    (True, "cluster", "as_switched"): [
        (-0.256217, 0.169737), (0.010381, 0.272628), (1.377860, 0.275199), (1.853595, 0.236223), (1.683321, 0.271893),
        (1.734627, 0.229165),
    ],
    (True, "unit", "per_dose"): [
        (-0.128108, 0.104083), (0.010381, 0.266060), (1.377860, 0.279460), (0.926797, 0.119058), (0.594113, 0.091921),
        (1.734627, 0.228293),
    ],
}  # fmt: skip


@pytest.mark.parametrize(("levels", "cluster", "scale"), THEIRS)
def test_effects_placebos_and_errors_are_those_of_did_multiplegt_dyn(levels, cluster, scale):
    frame = paths(seed=1, levels=levels)
    result = run(frame.assign(cluster=frame[cluster]), scale=scale)
    mine = numbers(result)
    np.testing.assert_allclose(np.vstack([mine[1:], mine[:1]]), THEIRS[levels, cluster, scale], atol=6e-7)
    assert [t.event_time for t in result.event_study] == [-3, -2, -1, 0, 1, 2]


# the same package with one changer of its kind left: by unit; weighted and by cluster; those who lapse, by unit
FEW = {
    "plain": [
        (0.555558, 0.331152), (0.027945, 0.330471), (1.656955, 0.302990), (1.893618, 0.389246), (1.373874, 0.375284),
        (2.135075, 0.377004),
    ],
    "weighted": [
        (0.576500, 0.319642), (0.246205, 0.342819), (1.568870, 0.289505), (1.884103, 0.347910), (1.276245, 0.386349),
        (2.104912, 0.362565),
    ],
    "out": [
        (0.329584, 0.519980), (-0.568760, 0.503205), (1.857181, 0.451731), (1.676362, 0.571790), (1.849467, 0.493907),
        (2.153204, 0.492158),
    ],
}  # fmt: skip


@pytest.mark.parametrize("case", FEW)
def test_a_change_that_one_unit_made_alone_still_counts_as_noise_as_theirs_does(case):
    frame = paths(seed=2, levels=True)
    number = frame["unit"].str[1:].astype(int)
    frame = frame[(number % 6 != 1) | (number == 1)]
    if case == "weighted":
        frame = frame.assign(weight=1.0 + frame["unit"].str[1:].astype(int) % 3)
    else:
        frame = frame.assign(cluster=frame["unit"])
    result = run(frame, scale="as_switched", switchers="out" if case == "out" else "both")
    mine = numbers(result)
    np.testing.assert_allclose(np.vstack([mine[1:], mine[:1]]), FEW[case], atol=6e-7)


def test_the_joint_test_of_the_placebos_is_theirs():
    # p-values of the chi-squared with 2 degrees of freedom, which ours is before F: 0.349613 is theirs by unit
    from scipy import stats

    frame = paths(seed=1)
    result = run(frame.assign(cluster=frame["unit"]))
    assert result.pre_trend_restrictions == 2
    assert stats.chi2.sf(result.pre_trend_statistic, 2) == pytest.approx(0.349613, abs=6e-7)


def test_planted_effects_of_gains_lapses_and_returns_are_recovered_exactly():
    for levels in (False, True):
        result = run(paths(seed=3, noise=0.0, levels=levels), scale="as_switched", effects=3)
        # one unit more or less: 1.5 at once and 2 a year later; in the third year kind 2 is back at 0, and with levels
        # kind 1 has 2 and kind 4 is down by half a unit only
        after = [t.estimate for t in result.event_study if t.event_time >= 0]
        third = ((1.5 * 2 + 0.5) + 0.5 + (1.5 * 0.5 + 0.5)) / 3 if levels else (2.0 + 0.5 + 2.0) / 3
        assert after == pytest.approx([1.5, 2.0, third], abs=1e-9)
        assert [t.estimate for t in result.event_study if t.event_time < 0] == pytest.approx([0, 0, 0], abs=1e-9)
    only = {name: run(paths(seed=3, noise=0.0), switchers=name, effects=2) for name in ("in", "out")}
    for result in only.values():
        assert result.estimate == pytest.approx((1.5 + 2) / 2, abs=1e-9)
    assert (only["in"].n_treated, only["out"].n_treated) == (30, 15)


def test_intervals_cover_the_truth_about_as_often_as_they_say():
    base = paths(seed=4, noise=0.0, units=60)
    truth = run(base).estimate
    generator = np.random.default_rng(9)
    cluster = base["cluster"].str[1:].astype(int)
    hits = 0
    for _ in range(150):
        shock = 0.5 * generator.normal(size=(30, 8))[cluster, base["time"] - 2010]
        low, high = run(base.assign(outcome=base["outcome"] + shock + generator.normal(size=len(base)))).ci
        hits += low <= truth <= high
    assert 134 <= hits <= 150  # 95 % of 150, give or take three standard deviations


def test_rows_whose_path_is_not_known_or_has_no_sign_are_counted_out():
    frame = paths(seed=5)
    late = (frame["unit"] == "u000") & (frame["time"] == 2010)
    gap = (frame["unit"] == "u001") & (frame["time"] == 2015)
    crossing = (frame["unit"] == "u004") & (frame["time"] >= 2016)
    frame = frame.assign(dose=frame["dose"].mask(crossing, 2.0))[~late & ~gap]
    result = run(frame)
    assert [(e.reason.split(":")[0], e.rows, e.units) for e in result.exclusions] == [
        ("unit not observed in the first period", 7, 1),
        ("after the unit's first gap", 2, 1),
        ("from where the treatment has been both above and below its first value", 2, 1),
    ]
    kept = frame[(frame["unit"] != "u000") & ~((frame["unit"] == "u001") & (frame["time"] > 2015))]
    kept = kept[~((kept["unit"] == "u004") & (kept["time"] >= 2016))]
    np.testing.assert_array_equal(numbers(run(kept)), numbers(result))


def test_only_units_that_never_change_are_compared_if_that_is_asked_and_anticipation_moves_the_base():
    frame = paths(seed=6)
    first = frame["unit"].str[1:].astype(int) % 6
    bent = frame.assign(outcome=frame["outcome"] + 4 * ((first == 2) & frame["time"].between(2013, 2014)))
    np.testing.assert_allclose(
        run(bent, comparison="never", switchers="out").estimate,
        run(frame, comparison="never", switchers="out").estimate,
    )
    without = frame[first != 2]
    moved = numbers(run(bent[(first != 1)], comparison="never", effects=1, placebos=0))
    assert np.isfinite(moved).all()
    assert abs(run(bent).estimate - run(frame).estimate) > 0.05
    assert run(without, comparison="never").estimate == pytest.approx(run(without).estimate)
    exact = paths(seed=6, noise=0.0)
    soon = exact["dose"].ne(exact.groupby("unit")["dose"].shift(-1)) & exact["time"].lt(2017)
    early = exact.assign(outcome=exact["outcome"] + 9 * (soon & exact["time"].isin([2012, 2013, 2014])))
    result = run(early, anticipation=1, effects=1, placebos=0)
    assert result.estimate == pytest.approx(1.5, abs=1e-9)


@pytest.mark.parametrize(
    ("change", "options", "message"),
    [
        (lambda f: f.assign(dose=0.5), {}, r"dose of no unit changes \(switchers = both\)"),
        (lambda f: f[f["dose"].groupby(f["unit"]).transform("first") == 0], {"switchers": "out"}, "switchers = out"),
        (lambda f: f.assign(dose=f["dose"] + 10 * f["unit"].str[1:].astype(int)), {}, "round the dose"),
        (lambda f: f, {"effects": 0, "placebos": -1}, r"(?s)2 faults.*take 1 or more.*take 0 or more"),
    ],
)
def test_a_sample_that_cannot_answer_says_why(change, options, message):
    with pytest.raises(EstimationError, match=message):
        run(change(paths(seed=7)), **options)


def test_the_dose_column_is_needed():
    with pytest.raises(InputError, match="needs a column dose"):
        run(paths(seed=7).drop(columns="dose"))


def test_changers_without_comparison_are_counted_in_the_settings():
    frame = paths(seed=8)
    odd = frame["unit"] == "u004"
    result = run(frame.assign(dose=frame["dose"].mask(odd & (frame["time"] < 2014), 3.0)))
    assert result.settings["n_switchers_without_comparison"] == 1
    assert result.n_treated == 44
    assert result.settings["n_switchers_by_effect"] == [44, 44, 44]


class TestLaws:
    def test_shift_and_scale_of_the_outcome(self):
        frame = paths(seed=10, levels=True)
        base = numbers(run(frame))
        np.testing.assert_allclose(numbers(run(frame.assign(outcome=frame["outcome"] + 1000))), base, atol=1e-9)
        scaled = numbers(run(frame.assign(outcome=-50 * frame["outcome"])))
        np.testing.assert_allclose(scaled, base * [-50, 50], rtol=1e-9, atol=1e-12)

    def test_a_dose_counted_down_turns_the_sign_and_one_in_per_cent_divides(self):
        frame = paths(seed=10, levels=True)
        base = numbers(run(frame))
        np.testing.assert_allclose(numbers(run(frame.assign(dose=1 - frame["dose"]))), base * [-1, 1], rtol=1e-9)
        np.testing.assert_allclose(numbers(run(frame.assign(dose=100 * frame["dose"]))), base / 100, rtol=1e-9)

    def test_order_calendar_and_names_change_nothing_and_the_input_is_not_changed(self):
        frame = paths(seed=10)
        base = numbers(run(frame))
        shuffled = frame.sample(frac=1, random_state=2)
        before = shuffled.copy(deep=True)
        np.testing.assert_array_equal(numbers(run(shuffled)), base)
        pd.testing.assert_frame_equal(shuffled, before)
        np.testing.assert_array_equal(numbers(run(frame.assign(time=frame["time"] - 500))), base)
        renamed = frame.assign(unit=frame["unit"].str[::-1], cluster=frame["cluster"].str[::-1])
        np.testing.assert_allclose(numbers(run(renamed)), base, atol=1e-9)

    def test_a_weight_of_two_is_the_same_unit_twice_in_its_cluster(self):
        frame = paths(seed=10)
        heavy = frame["unit"].str[-1].isin(list("02468"))
        twice = pd.concat([frame, frame[heavy].assign(unit=lambda rows: rows["unit"] + "b")])
        weighted = numbers(run(frame.assign(weight=np.where(heavy, 2.0, 1.0))))
        np.testing.assert_allclose(weighted, numbers(run(twice)), rtol=1e-8)

    def test_a_constant_outcome_has_no_effect_and_no_p_value(self):
        result = run(paths(seed=10).assign(outcome=0.37))
        assert result.estimate == pytest.approx(0, abs=1e-12)
        assert np.isnan(result.p_value)

    def test_settings_and_exclusions_reach_the_result_as_plain_values(self):
        before = Exclusion(reason="undated", rows=12, units=2)
        sample = Sample(frame=paths(seed=10), exclusions=(before,), settings={"outcome": "broadband"})
        result = switching.estimate(sample)
        assert result.exclusions == (before,)
        assert json.loads(json.dumps(result.as_dict()))["settings"]["outcome"] == "broadband"
        assert (result.n_obs, result.n_units, result.n_treated, result.n_clusters) == (720, 90, 45, 45)
