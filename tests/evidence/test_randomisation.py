import dataclasses
import itertools

import numpy as np
import pandas as pd
import pytest

from tests.design.test_design import design
from wwc_research.design.sample import Sample
from wwc_research.errors import EstimationError, InputError
from wwc_research.estimators import estimate
from wwc_research.evidence.multiplicity import romano_wolf
from wwc_research.evidence.randomisation import draw_lots, read_draws, write_draws
from wwc_research.sources.synthetic import staggered_world

BOTH = pytest.mark.parametrize("estimator", ["imputation", "callaway_santanna"])


def lots(sample, *, seed=0, stream="certification", draws=199, n_leads=5, estimator="imputation", **options):
    return draw_lots(sample, seed=seed, stream=stream, draws=draws, n_leads=n_leads, estimator=estimator, **options)


def simulated(*, seed, effect_size=0.0):
    world = staggered_world(
        generator=np.random.default_rng(seed),
        n_units=60,
        times=range(2012, 2022),
        cohorts={2018: 4, 2020: 5},
        effect_size=effect_size,
        n_counties=60,
    )
    frame = world.frame[["unit", "time", "outcome", "cohort"]].assign(cluster=world.frame["county"], weight=1.0)
    return Sample(frame=frame)


@BOTH
@pytest.mark.parametrize("outcome", ["broadband", "air_quality", "youth_neet"])
@pytest.mark.parametrize("changes", [{}, {"comparison": "never"}, {"anticipation": 1}])
def test_the_real_assignment_gives_the_estimators_own_number(panel, outcome, changes, estimator):
    sample = design(outcome, **changes).sample(panel)
    found = lots(sample, draws=19, estimator=estimator)
    assert found.estimate == pytest.approx(estimate(sample, estimator).estimate, rel=1e-9)


@BOTH
def test_leaving_a_unit_out_is_estimating_without_it(panel, estimator):
    sample = design("broadband").sample(panel)
    found = lots(sample, draws=19, estimator=estimator)
    assert len(found.without_one) == sample.n_treated
    for unit in list(found.without_one)[:3]:
        kept = dataclasses.replace(sample, frame=sample.frame.loc[sample.frame["unit"] != unit])
        assert found.without_one[unit] == pytest.approx(estimate(kept, estimator).estimate, rel=1e-9)


def test_the_leads_judged_are_those_that_the_estimate_shows(panel):
    for outcome in ("broadband", "air_quality"):
        sample = design(outcome).sample(panel)
        shown = [term.event_time for term in estimate(sample, "imputation").event_study if term.event_time < 0]
        assert list(lots(sample, draws=19).leads) == shown


def test_only_estimators_whose_lots_can_be_drawn_are_allowed(panel):
    with pytest.raises(InputError, match="allowed: imputation"):
        lots(design("broadband").sample(panel), estimator="two_way_fe")


def test_lots_are_drawn_within_strata_so_that_a_trend_of_theirs_is_no_effect():
    """Large units grow, exposed units are large: without strata chance seldom does as well, within them it does."""
    free, within = [], []
    for seed in range(12):
        sample = simulated(seed=seed)
        frame = sample.frame
        large = frame["cohort"].notna() | frame["unit"].isin(sorted(frame["unit"].unique())[::3])
        growing = frame.assign(outcome=frame["outcome"] + 1.5 * large * (frame["time"] - 2012))
        free.append(lots(dataclasses.replace(sample, frame=growing), seed=seed))
        within.append(lots(dataclasses.replace(sample, frame=growing.assign(stratum=large)), seed=seed))
    assert max(item.p_value for item in free) < 0.05
    assert min(item.p_value for item in within) > 0.05
    for item in within:
        assert item.placebo_mean > 0.5 * item.estimate
        assert item.std_error >= item.placebo_mean


def test_a_stratum_wholly_exposed_leaves_nothing_to_chance():
    sample = simulated(seed=1)
    frame = sample.frame.assign(stratum=sample.frame["cohort"].notna())
    only = frame.loc[frame["cohort"].isna() | (frame["cohort"] == 2018)]
    found = lots(dataclasses.replace(sample, frame=only), draws=50)
    assert found.p_value == 1


@BOTH
def test_a_hand_worked_lottery(estimator):
    # four units, one exposed from 2 on; changes 5, 1, 1, 1: the real one is the largest of four possible
    frame = pd.DataFrame(
        [(unit, time, change * time, cohort) for unit, change, cohort in
         (("a", 5.0, 2.0), ("b", 1.0, np.nan), ("c", 1.0, np.nan), ("d", 1.0, np.nan)) for time in (1, 2)],
        columns=["unit", "time", "outcome", "cohort"],
    )  # fmt: skip
    found = lots(Sample(frame=frame.assign(cluster=frame["unit"], weight=1.0)), draws=4000, estimator=estimator)
    assert found.estimate == pytest.approx(4.0)
    assert found.p_value == pytest.approx(0.25, abs=0.03)
    assert found.leads == ()
    assert np.isnan(found.lead_p_value)
    assert np.isnan(found.drift_p_value)


@BOTH
def test_chance_alone_is_seldom_called_an_effect_and_a_planted_effect_is_found(estimator):
    null = [lots(simulated(seed=seed), seed=seed, estimator=estimator) for seed in range(120)]
    rejected = np.mean([item.p_value <= 0.05 for item in null])
    assert rejected < 0.11  # 5 % expected, two Monte Carlo standard errors are 4 points
    leads = np.mean([item.lead_p_value <= 0.10 for item in null])
    assert 0.02 < leads < 0.19
    drifts = np.mean([item.drift_p_value <= 0.10 for item in null])
    assert 0.02 < drifts < 0.19
    planted = [
        lots(simulated(seed=seed, effect_size=6.0), seed=seed, estimator=estimator).p_value for seed in range(10)
    ]
    assert max(planted) < 0.05


def test_a_slow_drift_before_exposure_is_found():
    for seed in range(5):
        sample = simulated(seed=seed)
        frame = sample.frame
        drift = 0.5 * (frame["time"] - 2012) * frame["cohort"].notna()
        drifting = dataclasses.replace(sample, frame=frame.assign(outcome=frame["outcome"] + drift))
        assert lots(drifting, seed=seed).drift_p_value < 0.05


def test_the_same_seed_gives_the_same_lots_and_the_sample_is_not_changed(panel):
    sample = design("broadband").sample(panel)
    before = sample.frame.copy()
    found, again = lots(sample, seed=7), lots(sample, seed=7)
    assert found == again
    assert (found.event_covariance == again.event_covariance).all()
    assert found.p_value != lots(sample, seed=8).p_value
    assert before.equals(sample.frame)


def small(*, seed=0, cohorts=(2.0, 3.0, np.nan, np.nan, 3.0, np.nan), strata=(0, 0, 0, 0, 1, 1), n_times=4):
    """Six units without any order in their outcomes."""
    generator = np.random.default_rng(seed)
    frame = pd.DataFrame(
        [
            (f"u{unit}", time, generator.normal(), cohort, stratum)
            for unit, (cohort, stratum) in enumerate(zip(cohorts, strata, strict=True))
            for time in range(n_times)
        ],
        columns=["unit", "time", "outcome", "cohort", "stratum"],
    )
    return Sample(frame=frame.assign(cluster="of " + frame["unit"], weight=1.0))


def test_every_assignment_within_the_strata_is_drawn_equally_often():
    # two cohorts of one among four units, and one of two: 4 * 3 * 2 assignments, told apart by their estimate
    found = lots(small(), draws=12_000)
    values, counts = np.unique(found.null_draws.round(9), return_counts=True)
    assert len(values) == 24
    assert ((counts - 500) ** 2 / 500).sum() < 49.7  # 99.9 % point of chi-squared with 23 degrees of freedom


def test_the_first_of_more_draws_are_the_same_draws():
    few, many = lots(small(), draws=50), lots(small(), draws=200)
    assert few.null_draws * few.std_error == pytest.approx(many.null_draws[:50] * many.std_error)


def test_outcomes_of_one_treatment_are_drawn_by_the_same_lots_and_treatments_apart(panel):
    sample = design("broadband").sample(panel)
    own = lots(sample).null_draws
    mirrored = dataclasses.replace(sample, frame=sample.frame.assign(outcome=3 - 2 * sample.frame["outcome"]))
    assert lots(mirrored).null_draws == pytest.approx(-own, abs=1e-9)
    assert abs(np.corrcoef(own, lots(sample, stream="open_data_policy").null_draws)[0, 1]) < 0.25
    # a unit that is missing gives its place to the next, the others stay
    absent = sample.frame.loc[sample.frame["cohort"].isna(), "unit"].iloc[0]
    fewer = dataclasses.replace(sample, frame=sample.frame.loc[sample.frame["unit"] != absent])
    assert np.corrcoef(own, lots(fewer).null_draws)[0, 1] > 0.9


def test_the_lots_do_not_depend_on_the_order_of_rows_or_of_names(panel):
    sample = design("broadband").sample(panel)
    shuffled = dataclasses.replace(sample, frame=sample.frame.sample(frac=1, random_state=3))
    assert lots(shuffled).null_draws == pytest.approx(lots(sample).null_draws)


def test_a_county_and_its_most_populous_city_share_their_luck():
    counties = simulated(seed=3)
    county = counties.frame
    main = county.assign(unit="city " + county["unit"], cluster=county["unit"], people=9.0)
    county = county.assign(cluster=county["unit"])
    village = main.loc[main["cohort"].isna()].assign(people=1.0)
    noise = np.random.default_rng(4).normal(size=len(village))
    village = village.assign(unit="a " + village["unit"], outcome=noise)
    by_county = lots(dataclasses.replace(counties, frame=county)).null_draws
    assert lots(dataclasses.replace(counties, frame=main)).null_draws == pytest.approx(by_county)
    # villages come first by name, so it is their people that let the cities keep the luck of their counties
    both = pd.concat([main, village], ignore_index=True)
    by_city = lots(dataclasses.replace(counties, frame=both)).null_draws
    assert np.corrcoef(by_city, by_county)[0, 1] > 0.4
    turned = both.assign(people=10.0 - both["people"])
    assert abs(np.corrcoef(lots(dataclasses.replace(counties, frame=turned)).null_draws, by_county)[0, 1]) < 0.3


@BOTH
@pytest.mark.parametrize("effect_size", [0.0, 2.0])
def test_one_outcome_alone_keeps_its_p_value_by_lot(estimator, effect_size):
    found = lots(simulated(seed=5, effect_size=effect_size), estimator=estimator)
    alone = romano_wolf([found.estimate / found.std_error], draws=found.null_draws[:, None])
    assert alone == pytest.approx([found.p_value])


def test_a_draw_without_an_estimate_is_undefined_and_keeps_its_place():
    sample = small(cohorts=(2.0, np.nan, np.nan, np.nan, np.nan, np.nan), strata=(0,) * 6)
    # a unit never seen before exposure has no estimate; the one of its draws is then undefined, and no other
    frame = sample.frame.loc[~(sample.frame["unit"].eq("u5") & sample.frame["time"].lt(2))]
    found = lots(dataclasses.replace(sample, frame=frame))
    undefined = np.isnan(found.null_draws)
    assert undefined.sum() == 199 - found.draws
    assert 10 < undefined.sum() < 60  # one draw in six
    twin = lots(sample, draws=199)
    assert np.corrcoef(found.null_draws[~undefined], twin.null_draws[~undefined])[0, 1] > 0.9


def test_where_nothing_is_left_to_chance_null_draws_are_undefined():
    sample = simulated(seed=1)
    frame = sample.frame.assign(stratum=sample.frame["cohort"].notna())
    only = frame.loc[frame["cohort"].isna() | (frame["cohort"] == 2018)]
    found = lots(dataclasses.replace(sample, frame=only), draws=50)
    assert np.isnan(found.null_draws).all() or found.std_error < 1e-9
    assert len(found.null_draws) == 50


def test_an_outcome_asked_twice_is_corrected_for_once(panel):
    sample = design("broadband").sample(panel)
    first, again = lots(sample), lots(sample)
    statistic = first.estimate / first.std_error
    twice = romano_wolf([statistic] * 2, draws=np.column_stack([first.null_draws, again.null_draws]))
    assert twice == romano_wolf([statistic], draws=first.null_draws[:, None]) * 2


def test_draws_written_are_the_draws_read(tmp_path):
    found = lots(small())
    write_draws(tmp_path / "evidence" / "broadband.npy", found.null_draws)
    assert (read_draws(tmp_path / "evidence" / "broadband.npy") == found.null_draws).all()
    assert [path.name for path in (tmp_path / "evidence").iterdir()] == ["broadband.npy"]


@pytest.mark.parametrize("content", [None, b"", b"no numbers", "matrix"])
def test_a_file_without_draws_is_named_with_what_to_do(tmp_path, content):
    path = tmp_path / "broadband.npy"
    if content == "matrix":
        np.save(path, np.ones((2, 2)))
    elif content is not None:
        path.write_bytes(content)
    with pytest.raises(InputError, match=r"broadband\.npy: .*assemble the evidence again"):
        read_draws(path)


@pytest.mark.parametrize("outcome", ["broadband", "unemployment"])
def test_the_event_study_is_that_of_the_group_time_estimator(panel, outcome):
    sample = design(outcome).sample(panel)
    found = lots(sample)
    reference = estimate(sample, "callaway_santanna", base_period="universal")
    terms = {term.event_time: term.estimate for term in reference.event_study}
    assert found.event_estimates == pytest.approx([terms[time] for time in found.event_times])
    assert found.event_times[:5] == (-6, -5, -4, -3, -2)
    assert lots(sample, event_leads=2).event_times == found.event_times[3:]


def test_the_weights_of_the_lags_give_the_simple_average():
    sample = simulated(seed=2, effect_size=3.0)
    found = lots(sample, estimator="callaway_santanna")
    assert found.event_weights @ found.event_estimates == pytest.approx(found.estimate)
    # cohorts of 4 and 5 units over 4 and 2 years: 9, 9, 4, 4 of 26 unit-times, by either estimator
    for weights in (found.event_weights, lots(sample).event_weights):
        assert weights[-4:] == pytest.approx(np.array([9, 9, 4, 4]) / 26)
        assert (weights[:-4] == 0).all()


def test_an_event_time_that_rests_on_one_unit_is_not_shown():
    # cohorts 2 (one unit) and 3 (two units) over 0 .. 3: only cohort 2 reaches lag 1, only cohort 3 lead -3
    found = lots(small(cohorts=(2.0, 3.0, 3.0, np.nan, np.nan, np.nan)))
    assert found.event_times == (-3, -2, 0)


def test_a_hand_worked_covariance_of_the_event_study():
    # two of five units exposed from 2 on, periods 0 .. 3, base 1: the path is taken from the exposed, then all ten
    # pairs are equally likely
    sample = small(cohorts=(2.0, 2.0, np.nan, np.nan, np.nan), strata=(0,) * 5)
    found = lots(sample, draws=40_000)
    assert found.event_times == (-2, 0, 1)
    wide = sample.frame.pivot(index="unit", columns="time", values="outcome").to_numpy()
    change = (wide - wide[:, [1]])[:, [0, 2, 3]]
    path = change[:2].mean(axis=0) - change[2:].mean(axis=0)
    assert found.event_estimates == pytest.approx(path)
    change[:2] -= path
    drawn = []
    for pair in itertools.combinations(range(5), 2):
        rest = [unit for unit in range(5) if unit not in pair]
        drawn.append(change[list(pair)].mean(axis=0) - change[rest].mean(axis=0))
    expected = np.array(drawn).T @ np.array(drawn) / 10
    assert found.event_covariance == pytest.approx(expected, abs=0.03 * np.diag(expected).max())


def test_the_covariance_of_the_event_study_is_its_spread_over_worlds():
    studies = [lots(simulated(seed=seed, effect_size=2.0), seed=seed, draws=99) for seed in range(50)]
    spread = np.std([study.event_estimates for study in studies], axis=0)
    expected = np.sqrt(np.mean([np.diag(study.event_covariance) for study in studies], axis=0))
    assert expected == pytest.approx(spread, rel=0.35)  # a standard deviation of 50 is known to 10 %
    assert np.mean(expected) == pytest.approx(np.mean(spread), rel=0.15)


def test_without_a_past_nothing_can_be_drawn(panel):
    sample = design("broadband").sample(panel)
    late = dataclasses.replace(sample, frame=sample.frame.loc[sample.frame["time"] >= 2022])
    with pytest.raises(EstimationError, match="before and after"):
        lots(late)
