import dataclasses
import json
import math

import numpy as np
import pandas as pd
import pytest

from tests.design.test_design import design
from wwc_research import catalog, inference
from wwc_research.design.sample import Sample
from wwc_research.errors import EstimationError, InputError
from wwc_research.estimators import estimate
from wwc_research.evidence import planned_estimators
from wwc_research.evidence.calibration import (
    Chunk,
    WorkUnit,
    calibrate,
    calibration_units,
    card,
    placebo_sample,
    run_chunk,
)
from wwc_research.evidence.placebo_pool import PlaceboPool

RULE = dataclasses.replace(catalog.plan().calibration, estimators=("two_way_fe",), slow_estimators=(), draws=300)
LINEAR = ("imputation", "callaway_santanna", "two_way_fe", "event_study", "random_trends")


def world(*, seed=0, n_units=120, exposed=None, years=range(2012, 2022), per_county=1, strata=1, trend=0.0):
    """Nothing happens to anybody: unit effects, year effects, independent noise of one variance."""
    generator = np.random.default_rng(seed)
    exposed = {2017: 10, 2019: 20} if exposed is None else exposed
    unit = np.arange(n_units)
    cohort = np.full(n_units, np.nan)
    cohort[: sum(exposed.values())] = np.repeat(list(exposed), list(exposed.values()))
    size = generator.permutation(np.arange(n_units) % strata)
    levels = generator.normal(size=n_units)
    rows = [
        {
            "unit": f"u{i:04d}",
            "time": year,
            "outcome": levels[i] + 0.1 * (year - 2012) + trend * size[i] * (year - 2012) + generator.normal(),
            "cohort": cohort[i],
            "cluster": f"c{i // per_county:04d}",
            "weight": 1.0,
            "stratum": size[i],
            "latitude": 40.0 + i / 100,
        }
        for i in unit
        for year in years
    ]
    return Sample(frame=pd.DataFrame(rows))


def chunk(sample, name, *, first=0, draws=20, seed=7, effect=0.5):
    return run_chunk(sample, unit=WorkUnit(estimator=name, first=first, draws=draws), seed=seed, effect=effect)


def one_row(sample, name="two_way_fe", *, draws=300, effect=0.5):
    found = card([chunk(sample, name, draws=draws, effect=effect)], rule=RULE, effect=effect, headline=name)
    return found.row(name)


def handmade(estimates, *, std_error=1.0, effect=0.0, name="two_way_fe", first=0, failures=None, drawn=None):
    """Draws of one unit each, all of another unit unless `drawn` says how often each was."""
    n = len(estimates)
    return Chunk(
        unit=WorkUnit(estimator=name, first=first, draws=n),
        seed=1,
        effect=effect,
        estimates=tuple(estimates),
        std_errors=tuple(None if value is None else std_error for value in estimates),
        df=(None,) * n,
        planted=(),
        moved=(0,) * n,
        apart=(0,) * n,
        drawn=drawn or (1,) * n,
        n_exposed=1,
        failures=failures or {},
    )


@pytest.mark.parametrize("outcome", ["broadband", "air_quality", "youth_neet"])
def test_placebo_units_were_never_exposed_and_cohorts_keep_their_sizes(panel, outcome):
    sample = design(outcome).sample(panel)
    real = sample.frame.drop_duplicates("unit").set_index("unit")["cohort"]
    for seed in range(20):
        frame = placebo_sample(sample, generator=np.random.default_rng(seed)).frame
        dealt = frame.drop_duplicates("unit").set_index("unit")["cohort"]
        assert real[dealt.index].isna().all()
        assert len(dealt) == real.isna().sum()
        assert dealt.value_counts().to_dict() == real.value_counts().to_dict()


def test_a_placebo_world_keeps_outcomes_weights_and_optional_columns_and_counts_who_left():
    sample = world()
    before = sample.frame.copy()
    found = placebo_sample(sample, generator=np.random.default_rng(0))
    pd.testing.assert_frame_equal(sample.frame, before)
    pool = before.loc[before["cohort"].isna()].reset_index(drop=True)
    pd.testing.assert_frame_equal(found.frame.drop(columns="cohort"), pool.drop(columns="cohort"))
    assert found.exclusions[-1].units == 30
    assert found.exclusions[-1].rows == 300


def test_placebo_units_come_from_the_strata_of_the_real_ones_while_those_hold():
    sample = world(strata=3)
    real = sample.frame.drop_duplicates("unit").dropna(subset="cohort").groupby("cohort")["stratum"].value_counts()
    found = placebo_sample(sample, generator=np.random.default_rng(3)).frame.drop_duplicates("unit")
    dealt = found.dropna(subset="cohort").groupby("cohort")["stratum"].value_counts()
    assert dealt.sort_index().to_dict() == real.sort_index().to_dict()


def test_where_a_stratum_runs_out_the_rest_comes_from_the_nearest_and_is_counted():
    sample = world(n_units=60, exposed={2017: 6})
    names = sorted(sample.frame["unit"].unique())
    # all six exposed are of stratum 3, which has two units left; 2 has three, 0 the others
    strata = dict.fromkeys(names, 0) | dict.fromkeys(names[:8], 3) | dict.fromkeys(names[8:11], 2)
    sample = dataclasses.replace(sample, frame=sample.frame.assign(stratum=sample.frame["unit"].map(strata)))
    pool = PlaceboPool.of(sample)
    for seed in range(10):
        draw = pool.draw(np.random.default_rng(seed))
        assert draw.moved == 4
        assert sorted(pool.stratum[draw.units]) == [0, 2, 2, 2, 3, 3]


def test_units_of_one_county_are_replaced_by_units_of_one_county():
    sample = world(n_units=120, exposed={2017: 9}, per_county=3)
    pool = PlaceboPool.of(sample)
    for seed in range(10):
        draw = pool.draw(np.random.default_rng(seed))
        assert draw.apart == 0
        assert sorted(np.unique(pool.cluster[draw.units], return_counts=True)[1]) == [3, 3, 3]


def test_what_no_county_of_the_pool_can_hold_together_is_counted_apart():
    sample = world(n_units=60, exposed={2017: 3})
    together = sample.frame["cluster"].where(sample.frame["cohort"].isna(), "one county")
    draw = PlaceboPool.of(dataclasses.replace(sample, frame=sample.frame.assign(cluster=together))).draw(
        np.random.default_rng(0)
    )
    assert draw.apart == 3


def test_a_placebo_unit_is_seen_before_and_after_as_the_real_ones_are():
    sample = world(n_units=40, exposed={2017: 3})
    frame = sample.frame
    late = frame["unit"].isin(sorted(frame["unit"].unique())[10:20]) & (frame["time"] < 2017)
    gone = frame["unit"].isin(sorted(frame["unit"].unique())[20:30]) & (frame["time"] >= 2017)
    cut = dataclasses.replace(sample, frame=frame.loc[~late & ~gone].reset_index(drop=True))
    for seed in range(20):
        found = placebo_sample(cut, generator=np.random.default_rng(seed)).frame.dropna(subset="cohort")
        spans = found.groupby("unit")["time"].agg(["min", "max"])
        assert (spans["min"] < 2017).all()
        assert (spans["max"] >= 2017).all()


def test_a_pool_that_is_too_small_is_refused_with_its_numbers():
    with pytest.raises(EstimationError, match="30 units are exposed and 20 never"):
        placebo_sample(world(n_units=50), generator=np.random.default_rng(0))


def test_every_unit_of_the_pool_is_drawn_about_as_often_as_the_others():
    found = chunk(world(n_units=40, exposed={2017: 5}, years=range(2015, 2019)), "two_way_fe", draws=300, effect=0.0)
    expected = 300 * 5 / 35
    assert np.abs(np.array(found.drawn) - expected).max() < 4.5 * math.sqrt(expected)


def test_codes_in_place_of_text_change_no_number():
    sample = world(strata=2, per_county=2)
    found = chunk(sample, "imputation", draws=3)
    for number in range(3):
        generator = np.random.default_rng(np.random.SeedSequence([7, number]))
        direct = planned_estimators.run(
            "imputation", placebo_sample(sample, generator=generator), aggregation="simple", seed=0
        )
        assert found.estimates[number] == direct.estimate
        assert found.std_errors[number] == direct.std_error


@pytest.mark.parametrize("name", LINEAR)
def test_a_constant_effect_moves_a_linear_estimator_by_exactly_itself(name):
    found = chunk(world(n_units=80), name, draws=31)
    assert len(found.planted) == 4
    for item in found.planted:
        assert item.constant - found.estimates[item.draw] == pytest.approx(0.5, abs=1e-10)
        assert item.constant_std_error == pytest.approx(found.std_errors[item.draw], abs=1e-10)
    assert card([found], rule=RULE, effect=0.5, headline=name).row(name).shifts_exactly


def test_the_planted_effects_have_the_stated_mean_over_exposed_rows():
    sample = world()
    pool = PlaceboPool.of(dataclasses.replace(sample, frame=sample.frame.assign(weight=1 + sample.frame.index % 3)))
    cohort = pool.cohort_of_rows(pool.draw(np.random.default_rng(0)))
    exposed = pool.time >= cohort
    for laid in pool.effects(cohort, size=0.7):
        assert np.average(laid[exposed], weights=pool.weight[exposed]) == pytest.approx(0.7)
        assert not laid[~exposed].any()


def test_growing_effects_bias_two_way_fixed_effects_and_not_imputation():
    """Nearly everybody adopts: early adopters, whose effects still grow, are the comparison of late ones."""
    sample = world(n_units=110, exposed={2014: 25, 2018: 25}, years=range(2012, 2022))
    assert one_row(sample, "two_way_fe", draws=41, effect=3.0).growing_bias < -0.3
    assert one_row(sample, "imputation", draws=41, effect=3.0).growing_bias == pytest.approx(0, abs=1e-9)


def test_among_many_units_of_one_variance_the_usual_test_keeps_its_size():
    row = one_row(world(n_units=160, exposed={2017: 50}, years=range(2015, 2019)))
    assert row.false_positive_low < 0.05 < row.false_positive_high
    assert row.coverage == 1 - row.false_positive_share
    assert abs(row.bias) < 3 * row.bias_error
    assert row.mean_std_error == pytest.approx(row.spread, rel=0.15)
    assert row.result == "fit"


def test_with_three_exposed_clusters_the_usual_test_is_declared_unfit_and_the_cautious_one_is_not():
    sample = world(n_units=60, exposed={2018: 3}, years=range(2013, 2022))
    found = card([chunk(sample, "two_way_fe", draws=200)], rule=RULE, effect=0.5, headline="two_way_fe")
    row, judged = found.row("two_way_fe"), found.row("two_way_fe", basis="as_judged")
    assert row.false_positive_low > 0.10
    assert row.result == "unfit"
    assert not row.can_carry
    assert "of true nulls significant" in row.sentence
    assert judged.false_positive_share < 0.05
    assert judged.coverage > 0.90
    assert judged.can_carry


def test_the_minimum_detectable_effect_is_about_two_point_eight_spreads():
    row = one_row(world(n_units=160, exposed={2017: 50}, years=range(2015, 2019)), effect=0.0)
    assert row.minimum_detectable_effect == pytest.approx(2.8 * row.spread, rel=0.12)


def test_power_is_eighty_percent_at_the_minimum_detectable_effect_and_never_falls():
    quantiles = [
        inference.confidence_interval(0, 1, level=abs(2 * p - 1))[int(p > 0.5)] for p in np.arange(0.5, 1000) / 1000
    ]
    row = card([handmade(quantiles)], rule=RULE, effect=0.0, headline="two_way_fe").row("two_way_fe")
    assert row.minimum_detectable_effect == pytest.approx(inference.minimum_detectable_effect(1.0), abs=0.01)
    shares = [share for _, share in row.power]
    assert shares == sorted(shares)
    assert row.power[0][1] == pytest.approx(row.false_positive_share / 2)
    assert shares[-1] > 0.8


def test_judged_as_on_the_page_is_the_larger_error_and_the_larger_p_value():
    """Twenty draws 1 to 20 with error 1: alone all from 2 on are significant; by lot nothing is, 1 in 20 being 5 %."""
    found = card([handmade(range(1, 21))], rule=RULE, effect=0.0, headline="two_way_fe")
    own, judged = found.row("two_way_fe"), found.row("two_way_fe", basis="as_judged")
    assert own.false_positive_share == 19 / 20
    assert judged.false_positive_share == 0
    assert judged.mean_std_error == pytest.approx(math.sqrt(np.mean(np.arange(1, 21) ** 2)))
    # 1.96 x 11.98 = 23.5 covers all
    assert judged.coverage == 1
    # up: 20 - i, down: 20 + i; four fifths of these 40 numbers are at most 32
    assert judged.minimum_detectable_effect == 32


def test_the_rule_needs_more_than_chance_in_the_draws_to_call_a_method_unfit():
    def with_rejections(n, hits):
        # alternating signs: no bias
        values = [(-1) ** i * (3.0 if i < hits else 0.5) for i in range(n)]
        return card([handmade(values)], rule=RULE, effect=0.0, headline="two_way_fe").row("two_way_fe")

    assert with_rejections(1000, 50).result == "fit"
    assert with_rejections(1000, 105).result == "in_doubt"
    assert with_rejections(1000, 140).result == "unfit"
    assert with_rejections(100, 12).result == "in_doubt"
    assert with_rejections(20, 0).result == "in_doubt"


def test_a_biased_method_cannot_carry_a_headline_and_the_fallback_does():
    steady = [(-1) ** i * 0.5 for i in range(200)]
    chunks = [handmade([x + 1 for x in steady]), handmade(steady, name="imputation")]
    found = card(chunks, rule=RULE, effect=0.0, headline="two_way_fe", fallback="imputation")
    assert found.row("two_way_fe").result == "unfit"
    assert "spreads on average" in found.row("two_way_fe").sentence
    assert found.carrier == "imputation"
    alone = card(chunks[:1], rule=RULE, effect=0.0, headline="two_way_fe")
    assert alone.carrier == ""


def test_what_the_same_few_units_are_peculiar_in_is_no_bias_of_the_method():
    values = [1 + (-1) ** i * 0.5 for i in range(200)]
    many = card([handmade(values)], rule=RULE, effect=0.0, headline="two_way_fe").row("two_way_fe")
    two = card([handmade(values, drawn=(100, 100))], rule=RULE, effect=0.0, headline="two_way_fe").row("two_way_fe")
    one = card([handmade(values, drawn=(200, 0))], rule=RULE, effect=0.0, headline="two_way_fe").row("two_way_fe")
    assert (many.result, two.result, one.result) == ("unfit", "fit", "in_doubt")
    assert "the same units" in one.sentence


def test_in_worlds_of_exchangeable_units_hardly_any_method_is_found_biased():
    unfit = 0
    for seed in range(40):
        sample = world(n_units=60, exposed={2017: 8}, strata=4, seed=seed)
        found = card([chunk(sample, "two_way_fe", draws=60, effect=0.0)], rule=RULE, effect=0.0, headline="two_way_fe")
        unfit += "spreads on average" in found.row("two_way_fe").sentence
    assert unfit <= 5


def test_draws_without_an_estimate_are_counted_with_their_reason_and_many_make_a_method_unfit():
    found = chunk(world(n_units=60, exposed={2013: 10}), "random_trends", draws=5)
    assert set(found.estimates) == {None}
    assert sum(found.failures.values()) == 5
    row = card([found], rule=RULE, effect=0.5, headline="random_trends").row("random_trends")
    assert row.result == "unfit"
    assert math.isnan(row.false_positive_share)
    assert json.loads(json.dumps(row.as_dict(), allow_nan=False))["minimum_detectable_effect"] is None


def test_any_cutting_into_pieces_and_any_way_through_json_gives_the_same_bits():
    sample = world(n_units=60, exposed={2017: 6, 2019: 6}, strata=2)
    rule = dataclasses.replace(RULE, estimators=("imputation", "two_way_fe"), draws=12)
    cards = []
    for size in (12, 5):
        units = calibration_units(rule, chunk=size)
        assert sum(unit.draws for unit in units) == 24
        chunks = [run_chunk(sample, unit=unit, seed=3, effect=0.4) for unit in units]
        stored = [Chunk.from_dict(json.loads(json.dumps(item.as_dict(), allow_nan=False))) for item in chunks]
        assert stored == chunks
        cards.append(card(stored[::-1], rule=rule, effect=0.4, headline="imputation", fallback="two_way_fe").as_dict())
    assert cards[0] == cards[1]


def test_estimators_see_the_same_placebo_units():
    sample = world(n_units=60, exposed={2017: 6}, strata=2)
    first, second = (chunk(sample, name, draws=5) for name in ("imputation", "two_way_fe"))
    assert first.drawn == second.drawn
    assert chunk(sample, "imputation", draws=5, seed=8).drawn != first.drawn


def test_slow_estimators_come_first_with_fewer_draws():
    units = calibration_units(catalog.plan().calibration, chunk=300)
    assert units[0] == WorkUnit(estimator="event_study", first=0, draws=60)
    assert [unit.draws for unit in units if unit.estimator == "imputation"] == [300, 300, 300, 100]
    with pytest.raises(InputError, match="at least one draw"):
        calibration_units(catalog.plan().calibration, chunk=0)


def test_a_card_of_missing_doubled_or_foreign_chunks_is_refused():
    whole = handmade([0.1] * 10)
    for chunks in ([handmade([0.1] * 10, first=10)], [whole, whole]):
        with pytest.raises(InputError, match="every chunk"):
            card(chunks, rule=RULE, effect=0.0, headline="two_way_fe")
    with pytest.raises(InputError, match="effect"):
        card([whole], rule=RULE, effect=0.3, headline="two_way_fe")
    with pytest.raises(InputError, match="was not run"):
        card([whole], rule=RULE, effect=0.0, headline="imputation")


def test_a_users_own_sample_is_calibrated_alike_in_other_processes_and_here():
    sample = world(n_units=50, exposed={2017: 5})
    with pytest.raises(InputError, match="at least one"):
        calibrate(sample, estimators=[], draws=5, effect=0.4, seed=1)
    found = calibrate(sample, estimators=["two_way_fe"], draws=60, effect=0.4, seed=1, jobs=2)
    here = card(
        [chunk(sample, "two_way_fe", draws=60, effect=0.4, seed=1)], rule=RULE, effect=0.4, headline="two_way_fe"
    )
    assert found == here
    assert [row.basis for row in found.rows] == ["own_error", "as_judged"]


def test_planned_options_are_those_of_the_pages():
    sample = world(n_units=60, exposed={2017: 6, 2019: 6})
    run = {
        name: planned_estimators.run(name, sample, aggregation="simple", seed=5)
        for name in ("imputation", "callaway_santanna", "synthetic_did", "two_way_fe")
    }
    assert run["imputation"].settings["std_errors"] == "bjs_leave_out"
    assert run["callaway_santanna"].settings["base_period"] == "universal"
    assert run["synthetic_did"].estimate == estimate(sample, "synthetic_did", seed=5).estimate
    assert run["two_way_fe"].estimate == estimate(sample, "two_way_fe").estimate


def test_without_leave_out_errors_the_plain_ones_come_with_a_warning():
    sample = world(n_units=60, exposed={2017: 1, 2019: 6})
    found = planned_estimators.run("imputation", sample, aggregation="simple", seed=5)
    assert found.settings["std_errors"] == "bjs"
    assert any("leave-out errors do not exist" in text for text in found.settings["warnings"])


@pytest.mark.parametrize(
    ("hits", "trials", "low", "high"),
    [(81, 263, 0.2553, 0.3662), (15, 148, 0.0624, 0.1605), (0, 20, 0.0, 0.1611), (1, 29, 0.0061, 0.1718)],
)
def test_the_interval_of_a_share_is_that_of_the_textbook(hits, trials, low, high):
    """Newcombe (1998), Statistics in Medicine 17(8), Table I, method 3."""
    assert inference.share_interval(hits, trials) == pytest.approx((low, high), abs=5e-5)


def test_a_share_of_nothing_has_no_interval():
    assert all(math.isnan(end) for end in inference.share_interval(0, 0))
