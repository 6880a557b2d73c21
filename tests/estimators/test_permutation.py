"""Randomisation inference: exact where all assignments can be listed, uniform under no effect, and its refusals."""

from __future__ import annotations

import itertools
from functools import partial

import numpy as np
import pandas as pd
import pytest

from wwc_research.design.sample import Sample
from wwc_research.errors import EstimationError, InputError
from wwc_research.estimators import Estimate, estimate
from wwc_research.estimators.permutation import permutation_test

TWO_WAY = partial(estimate, name="two_way_fe")


def difference(sample: Sample) -> Estimate:
    """Mean change from time 1 to time 2 of the exposed less that of the others."""
    frame = sample.frame
    change = np.diff(frame["outcome"].to_numpy().reshape(-1, 2), axis=1)[:, 0]
    exposed = ~np.isnan(frame["cohort"].to_numpy()[::2])
    effect = change[exposed].mean() - change[~exposed].mean()
    spread = np.sqrt(change[exposed].var() / exposed.sum() + change[~exposed].var() / (~exposed).sum())
    return Estimate(
        estimator="difference",
        estimand="effect",
        estimate=float(effect),
        std_error=float(spread),
        n_obs=len(frame),
        n_units=len(change),
        n_treated=int(exposed.sum()),
        n_clusters=len(change),
    )


def two_periods(changes: list[float], *, n_treated: int, clusters: list[str] | None = None) -> Sample:
    units = [f"u{number:02d}" for number in range(len(changes))]
    rows = [
        {
            "unit": unit,
            "time": time,
            "outcome": 10.0 * number + change * (time - 1),
            "cohort": 2.0 if number < n_treated else np.nan,
            "cluster": clusters[number] if clusters else unit,
            "weight": 1.0,
        }
        for number, (unit, change) in enumerate(zip(units, changes, strict=True))
        for time in (1, 2)
    ]
    return Sample(frame=pd.DataFrame(rows))


def run(sample: Sample, **options):
    arguments = {"estimator": difference, "generator": np.random.default_rng(0), "draws": 400} | options
    return permutation_test(sample, **arguments)


def test_the_p_value_is_the_share_of_all_assignments_that_are_as_far_out():
    changes = [4.0, 3.0, 2.5, 0.0, 1.0, -1.0, 0.5]
    listed = [
        np.mean([changes[i] for i in chosen]) - np.mean([changes[i] for i in range(7) if i not in chosen])
        for chosen in itertools.combinations(range(7), 3)
    ]
    exact = np.mean(np.abs(listed) >= abs(listed[0]) - 1e-9)
    found = run(two_periods(changes, n_treated=3), draws=1500, interval=False)
    assert found.statistic == pytest.approx(listed[0])
    assert found.p_value == pytest.approx(exact, abs=0.015)
    assert np.unique(np.round(found.drawn, 9)).size == np.unique(np.round(listed, 9)).size


def test_the_data_count_as_one_draw():
    found = run(two_periods([50.0 + n for n in range(10)] + [0.1 * n for n in range(30)], n_treated=10), draws=99)
    assert found.p_value == 1 / 100
    assert found.draws == 99


def test_the_p_value_is_uniform_under_no_effect():
    p_values = []
    for seed in range(100):
        generator = np.random.default_rng(seed)
        sample = two_periods(list(generator.normal(size=12)), n_treated=3)
        p_values.append(run(sample, draws=39, generator=generator, interval=False).p_value)
    assert np.mean(p_values) == pytest.approx(0.5, abs=0.08)
    assert np.mean(np.array(p_values) <= 0.2) == pytest.approx(0.2, abs=0.1)


def test_the_interval_holds_just_the_constant_effects_that_the_test_keeps():
    generator = np.random.default_rng(3)
    changes = list(generator.normal(size=24) + np.r_[np.full(8, 1.5), np.zeros(16)])
    sample = two_periods(changes, n_treated=8)
    found = run(sample, draws=499)
    assert found.ci_low < 1.5 < found.ci_high

    def kept(effect: float) -> bool:
        frame = sample.frame.assign(
            outcome=sample.frame["outcome"] - effect * ((sample.frame["time"] == 2) & sample.frame["cohort"].notna())
        )
        return run(Sample(frame=frame), draws=499, interval=False).p_value >= 0.05

    width = found.ci_high - found.ci_low
    assert [kept(found.ci_low + 0.01 * width), kept(found.ci_high - 0.01 * width)] == [True, True]
    assert [kept(found.ci_low - 0.01 * width), kept(found.ci_high + 0.01 * width)] == [False, False]


def test_an_estimator_that_is_not_linear_has_no_interval_and_t_has_none_either():
    def bent(sample: Sample) -> Estimate:
        plain = difference(sample)
        return Estimate(
            estimator="bent",
            estimand="effect",
            estimate=float(np.sign(plain.estimate) * plain.estimate**2),
            std_error=1.0,
            n_obs=plain.n_obs,
            n_units=plain.n_units,
            n_treated=plain.n_treated,
            n_clusters=plain.n_clusters,
        )

    sample = two_periods([3.0, 1.0, 2.0, 0.5, 0.0, 0.2], n_treated=3)
    for options in ({"estimator": bent}, {"statistic": "t"}):
        found = run(sample, **options)
        assert np.isnan([found.ci_low, found.ci_high]).all()
        assert 0 < found.p_value < 1


def test_registered_estimators_work_as_they_are_and_the_input_stays(staggered):
    before = staggered.copy(deep=True)
    found = run(Sample(frame=staggered), estimator=TWO_WAY, draws=40)
    pd.testing.assert_frame_equal(staggered, before)
    assert found.statistic == TWO_WAY(Sample(frame=staggered)).estimate
    assert found.p_value == 1 / 41
    assert found.ci_low < found.statistic < found.ci_high


def test_row_order_changes_nothing_and_the_seed_everything(staggered):
    one = run(Sample(frame=staggered), estimator=TWO_WAY, draws=10, interval=False)
    shuffled = Sample(frame=staggered.sample(frac=1, random_state=2))
    np.testing.assert_array_equal(run(shuffled, estimator=TWO_WAY, draws=10, interval=False).drawn, one.drawn)
    other = run(Sample(frame=staggered), estimator=TWO_WAY, draws=10, generator=np.random.default_rng(1))
    assert (other.drawn != one.drawn).all()


def test_paths_stay_within_strata():
    """Both strata differ in level of change; within each the treated are ordinary, across they are not."""
    changes = [10.0, 10.2, 9.8, 10.1, 9.9, 10.0, 0.0, 0.1, -0.1, 0.2, 0.0, -0.2]
    sample = two_periods(changes, n_treated=3)
    strata = {f"u{number:02d}": "fast" if number < 6 else "slow" for number in range(12)}
    assert run(sample, strata=strata).p_value > 0.5
    assert run(sample).p_value < 0.1


def test_whole_clusters_are_dealt_where_they_were_exposed_together():
    clusters = [f"c{number // 2}" for number in range(12)]
    sample = two_periods([float(n % 5) for n in range(12)], n_treated=4, clusters=clusters)
    seen: list[tuple[str, ...]] = []

    def watched(sample: Sample) -> Estimate:
        exposed = sample.frame.loc[sample.frame["cohort"].notna()].groupby("cluster")["unit"].nunique()
        assert (exposed == 2).all()
        seen.append(tuple(exposed.index))
        return difference(sample)

    run(sample, estimator=watched, by="cluster", draws=60, interval=False)
    assert len(set(seen)) == 15  # two of six clusters


def test_doses_travel_with_their_unit():
    sample = two_periods([1.0, 2.0, 0.0, 0.5, 0.3], n_treated=2)
    dose = np.where(
        sample.frame["time"] == 2, sample.frame["cohort"].notna() * (1.0 + (sample.frame["unit"] == "u01")), 0
    )
    sample = Sample(frame=sample.frame.assign(dose=dose))
    seen = set()

    def watched(sample: Sample) -> Estimate:
        late = sample.frame[sample.frame["time"] == 2]
        assert sorted(late["dose"]) == [0, 0, 0, 1, 2]
        assert ((late["dose"] > 0) == late["cohort"].notna()).all()
        seen.add(tuple(late["dose"]))
        return difference(sample)

    run(sample, estimator=watched, draws=200, interval=False)
    assert len(seen) == 20


def test_draws_without_an_answer_are_counted_and_left_out():
    def picky(sample: Sample) -> Estimate:
        if sample.frame.loc[sample.frame["unit"] == "u05", "cohort"].notna().any():
            raise EstimationError("u05 has no past")
        return difference(sample)

    sample = two_periods([3.0, 1.0, 2.0, 0.5, 0.0, 0.2, 0.1, 0.4], n_treated=2)
    found = run(sample, estimator=picky)
    assert found.draws + found.undefined == 400
    assert 60 < found.undefined < 140
    with pytest.raises(EstimationError, match="no answer under"):
        run(two_periods([3.0, 1.0, 2.0, 0.5, 0.0, 0.2], n_treated=5), estimator=picky_unless_last)


def picky_unless_last(sample: Sample) -> Estimate:
    if sample.frame.loc[sample.frame["unit"] == "u05", "cohort"].notna().any():
        raise EstimationError("u05 has no past")
    return difference(sample)


def test_it_says_what_it_cannot_do():
    sample = two_periods([1.0, 2.0, 3.0, 4.0], n_treated=2, clusters=["a", "b", "a", "b"])
    with pytest.raises(InputError, match="4 faults") as caught:
        run(sample, draws=0, by="county", statistic="z", size=0)
    assert "allowed: unit, cluster" in str(caught.value)
    with pytest.raises(InputError, match="cluster a and b holds units of several cohorts"):
        run(sample, by="cluster")
    with pytest.raises(InputError, match="strata leave out unit u01, u02 and u03"):
        run(sample, strata={"u00": 1})
    with pytest.raises(EstimationError, match="no stratum holds two different"):
        run(sample, strata={"u00": 1, "u01": 1, "u02": 2, "u03": 2})
    gap = Sample(frame=sample.frame.assign(dose=1.0).iloc[1:])
    with pytest.raises(InputError, match="dose: units are seen at different times"):
        run(gap)
