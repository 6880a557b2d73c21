"""Dose response: by hand, levels and slope apart, an honest error of both, and what it must not claim."""

from __future__ import annotations

import json

import numpy as np
import pandas as pd
import pytest
import statsmodels.api as sm

from wwc_research.design.sample import Exclusion, Sample
from wwc_research.errors import EstimationError, InputError
from wwc_research.estimators import dose_response, two_way_fe


def doses(*, seed: int, noise: float = 1.0, per_dose: float = 2.0, units: int = 80, levels: int = 0) -> pd.DataFrame:
    """Half of the units exposed in 2014 or 2016, with doses of 0.2 to 1 and an effect of 1 + `per_dose` x dose."""
    generator = np.random.default_rng(seed)
    years = np.arange(2010, 2019)
    cohort = np.select([np.arange(units) % 4 == 0, np.arange(units) % 4 == 1], [2014.0, 2016.0], np.nan)
    dose = generator.uniform(0.2, 1, size=units)
    if levels:
        dose = generator.integers(1, levels + 1, size=units).astype(float)
    unit, time = np.repeat(np.arange(units), 9), np.tile(years, units)
    exposed = time >= np.nan_to_num(cohort[unit], nan=9999.0)
    level = 3 * generator.normal(size=units)
    outcome = level[unit] + np.sqrt(time - 2000) + exposed * (1 + per_dose * dose[unit])
    return pd.DataFrame(
        {
            "unit": [f"u{n:03d}" for n in unit],
            "time": time,
            "outcome": outcome + noise * generator.normal(size=len(unit)),
            "cohort": cohort[unit],
            "cluster": [f"c{n // 2:02d}" for n in unit],
            "weight": 1.0,
            "dose": np.where(exposed, dose[unit], 0.0),
            "x": generator.normal(size=len(unit)),
        }
    )


def run(frame: pd.DataFrame, *, covariates: tuple[str, ...] = (), **options):
    return dose_response.estimate(Sample(frame=frame, covariates=covariates), **options)


def four_units() -> pd.DataFrame:
    """Changes 3 and 5 at doses 1 and 2, and 1 and 2 without."""
    return pd.DataFrame(
        {
            "unit": np.repeat(list("abcd"), 2),
            "time": np.tile([2019, 2020], 4),
            "outcome": [0.0, 3, 7, 12, 1, 2, -4, -2],
            "cohort": np.repeat([2020.0, 2020.0, np.nan, np.nan], 2),
            "cluster": np.repeat(list("abcd"), 2),
            "weight": 1.0,
            "dose": [0.0, 1, 0, 2, 0, 0, 0, 0],
        }
    )


def test_four_units_are_as_worked_by_hand():
    result = run(four_units())
    assert result.estimate == pytest.approx(4 - 1.5)
    # a and b give (-1/2)^2 + (1/2)^2, c and d (1/4)^2 + (1/4)^2; times 2 / (2 - 1)
    assert result.std_error == pytest.approx(np.sqrt(2 * (1 / 2 + 1 / 8)))
    assert result.df == 1
    table = pd.DataFrame(result.settings["dose_bins"])
    assert table["dose_mean"].tolist() == [1, 2]
    assert table["estimate"].tolist() == pytest.approx([1.5, 3.5])
    assert table["n_units"].tolist() == [1, 1]
    assert table["std_error"].isna().all()  # one cluster a bin
    assert result.settings["slope"]["estimate"] == pytest.approx(2)
    assert result.settings["slope"]["std_error"] is None  # two units are no more than a line


def test_planted_levels_and_slope_are_recovered_exactly_without_noise():
    result = run(doses(seed=1, noise=0.0))
    table = pd.DataFrame(result.settings["dose_bins"])
    assert table["estimate"].to_numpy() == pytest.approx((1 + 2 * table["dose_mean"]).to_numpy(), abs=1e-8)
    assert table["n_units"].sum() == 40
    assert table["n_units"].max() - table["n_units"].min() <= 1
    assert result.settings["slope"]["estimate"] == pytest.approx(2, abs=1e-8)


def test_few_ordered_levels_are_bins_of_their_own():
    table = pd.DataFrame(run(doses(seed=2, levels=3)).settings["dose_bins"])
    assert table["dose_low"].tolist() == table["dose_high"].tolist() == [1, 2, 3]
    assert len(run(doses(seed=2), bins=5).settings["dose_bins"]) == 5


def test_in_two_periods_levels_and_slope_are_regressions_on_changes():
    frame = doses(seed=3)
    frame = frame[frame["time"].isin([2012, 2018])]
    result = run(frame, estimand="slope")
    wide = frame.pivot(index="unit", columns="time", values=["outcome", "dose"])
    change, dose = wide["outcome"][2018] - wide["outcome"][2012], wide["dose"][2018].to_numpy()
    design = np.column_stack([np.ones(80), dose > 0, dose])
    theirs = sm.OLS(change.to_numpy(), design).fit()
    assert result.estimate == pytest.approx(theirs.params[2], rel=1e-9)
    level = theirs.params[1] + theirs.params[2] * dose[dose > 0].mean()
    assert run(frame).estimate == pytest.approx(level, rel=1e-9)
    # the slope does not depend on the comparison units, so it is a regression among 40 exposed in 20 or 40 clusters
    exposed = dose > 0
    groups = pd.factorize(frame.groupby("unit")["cluster"].first()[exposed])[0]
    among = sm.OLS(change[exposed].to_numpy(), design[exposed][:, 1:]).fit(
        cov_type="cluster", cov_kwds={"groups": groups, "use_correction": False}
    )
    m = groups.max() + 1
    assert result.std_error == pytest.approx(among.bse[1] * np.sqrt(m / (m - 2)), rel=1e-9)
    assert result.df == m - 2


def test_the_slope_is_never_the_estimate_unless_asked_for_and_then_says_what_it_assumes():
    frame = doses(seed=4)
    level, slope, twfe = (run(frame, estimand=name) for name in (None, "slope", "twfe"))
    assert "strong parallel trends" not in level.estimand
    for result in (slope, twfe):
        assert "needs strong parallel trends" in result.estimand
    assert slope.estimate == level.settings["slope"]["estimate"]
    assert "negatively" in twfe.estimand
    binary = frame.assign(dose=(frame["dose"] > 0).astype(float))
    ordinary = two_way_fe.estimate(Sample(frame=frame))
    assert run(binary, estimand="twfe").estimate == pytest.approx(ordinary.estimate, rel=1e-10)
    assert run(binary, estimand="twfe").std_error == pytest.approx(ordinary.std_error, rel=1e-10)


@pytest.mark.parametrize(("estimand", "truth"), [("level", None), ("slope", 2.0)])
def test_intervals_cover_the_truth_about_as_often_as_they_say(estimand, truth):
    base = doses(seed=8, noise=0.0, units=48)
    goal = run(base).estimate if truth is None else truth
    generator = np.random.default_rng(12)
    hits = 0
    for _ in range(120):
        shock = generator.normal(size=24)[base["cluster"].str[1:].astype(int)] * (base["time"] >= 2014)
        outcome = base["outcome"] + shock + generator.normal(size=len(base))
        low, high = run(base.assign(outcome=outcome), estimand=estimand).ci
        hits += low <= goal <= high
    assert 106 <= hits <= 120  # 95 % of 120, give or take three standard deviations


def test_noise_in_the_dose_flattens_the_slope_by_its_reliability_and_leaves_the_level():
    frame = doses(seed=5, noise=0.0, units=4000)
    units = frame["unit"].str[1:].astype(int).to_numpy()
    error = np.random.default_rng(3).normal(scale=0.1, size=4000)[units]
    noisy = frame.assign(dose=np.where(frame["dose"] > 0, np.maximum(frame["dose"] + error, 0.01), 0.0))
    reliability = (0.8**2 / 12) / (0.8**2 / 12 + 0.1**2)
    result = run(noisy, estimand="slope")
    assert result.estimate == pytest.approx(2 * reliability, rel=0.05)
    assert run(noisy).estimate == pytest.approx(run(frame).estimate)


def test_a_dose_that_contradicts_the_cohorts_is_refused_with_both_faults():
    frame = doses(seed=6)
    first = frame["dose"] > 0
    wrong = frame.assign(
        dose=np.where(first & (frame["time"] == 2018), 0.0, np.where(frame["time"] == 2010, 0.3, frame["dose"]))
    )
    with pytest.raises(
        EstimationError, match=r"(?s)2 faults.*80 rows before exposure.*0\.3.*40 exposed rows have a dose"
    ):
        run(wrong)
    with pytest.raises(InputError, match="needs a column dose"):
        run(frame.drop(columns="dose"))
    with pytest.raises(EstimationError, match="bins = 0; take 1 or more"):
        run(frame, bins=0)


def test_a_dose_that_changes_is_that_of_the_first_exposed_row_or_the_mean():
    frame = doses(seed=7)
    later = frame.assign(dose=np.where((frame["dose"] > 0) & (frame["time"] == 2018), 5.0, frame["dose"]))
    assert run(later).settings["dose_bins"] == run(frame).settings["dose_bins"]
    assert run(later, unit_dose="mean").settings["dose_bins"][0]["dose_mean"] > 1


def test_rows_that_no_clean_row_reaches_and_the_anticipation_window_are_counted_out():
    frame = doses(seed=9)
    result = run(frame[frame["cohort"].notna()])
    (exclusion,) = result.exclusions
    assert (exclusion.rows, exclusion.units) == (120, 40)
    twfe = dose_response.estimate(Sample(frame=frame, anticipation=1), estimand="twfe")
    assert [(e.rows, e.units) for e in twfe.exclusions] == [(40, 40)]
    assert twfe.n_obs == 680


class TestLaws:
    def numbers(self, frame: pd.DataFrame, covariates: tuple[str, ...] = ("x",)) -> np.ndarray:
        result = run(frame, covariates=covariates)
        records = [*result.settings["dose_bins"], result.settings["slope"]]
        return np.array(
            [(result.estimate, result.std_error), *((r["estimate"], r["std_error"]) for r in records)], dtype=float
        )

    def test_shift_and_scale_of_the_outcome(self):
        frame = doses(seed=10)
        base = self.numbers(frame)
        np.testing.assert_allclose(self.numbers(frame.assign(outcome=frame["outcome"] + 1000)), base, atol=1e-9)
        scaled = self.numbers(frame.assign(outcome=-50 * frame["outcome"]))
        np.testing.assert_allclose(scaled, base * [-50, 50], rtol=1e-8)

    def test_the_unit_of_the_dose_only_divides_the_slope(self):
        frame = doses(seed=10)
        base, per_cent = self.numbers(frame), self.numbers(frame.assign(dose=100 * frame["dose"]))
        np.testing.assert_allclose(per_cent[:-1], base[:-1], rtol=1e-9)
        np.testing.assert_allclose(per_cent[-1], base[-1] / 100, rtol=1e-9)

    def test_order_calendar_and_names_change_nothing_and_the_input_is_not_changed(self):
        frame = doses(seed=10)
        base = self.numbers(frame)
        shuffled = frame.sample(frac=1, random_state=2)
        before = shuffled.copy(deep=True)
        np.testing.assert_array_equal(self.numbers(shuffled), base)
        pd.testing.assert_frame_equal(shuffled, before)
        moved = frame.assign(time=frame["time"] - 500, cohort=frame["cohort"] - 500)
        np.testing.assert_array_equal(self.numbers(moved), base)
        renamed = frame.assign(unit=frame["unit"].str[::-1], cluster=frame["cluster"].str[::-1])
        np.testing.assert_allclose(self.numbers(renamed), base, atol=1e-9)

    def test_a_weight_of_two_is_the_same_unit_twice_in_its_cluster(self):
        frame = doses(seed=10, levels=3)
        heavy = frame["unit"].str[-1].isin(list("02468"))
        twice = pd.concat([frame, frame[heavy].assign(unit=lambda rows: rows["unit"] + "b")])
        weighted = self.numbers(frame.assign(weight=np.where(heavy, 2.0, 1.0)))
        np.testing.assert_allclose(weighted, self.numbers(twice), rtol=1e-8)

    def test_a_constant_outcome_has_no_effect_and_no_p_value(self):
        result = run(doses(seed=10).assign(outcome=0.37))
        assert result.estimate == pytest.approx(0, abs=1e-12)
        assert np.isnan(result.p_value)

    def test_settings_and_exclusions_reach_the_result_as_plain_values(self):
        before = Exclusion(reason="undated", rows=12, units=2)
        sample = Sample(frame=doses(seed=10), exclusions=(before,), settings={"outcome": "broadband"})
        result = dose_response.estimate(sample)
        assert result.exclusions == (before,)
        assert json.loads(json.dumps(result.as_dict()))["settings"]["outcome"] == "broadband"
        assert (result.n_obs, result.n_units, result.n_treated, result.n_clusters) == (720, 80, 40, 40)
