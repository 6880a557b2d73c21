"""Poisson with unit and time effects: by hand, against statsmodels and pyfixest, and where ratios are infinite."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import statsmodels.api as sm

from wwc_research.design.sample import Sample
from wwc_research.errors import EstimationError
from wwc_research.estimators import poisson_fe


def counts(*, seed: int, effect: float = 0.4, growth: float = 0.0, units: int = 60) -> pd.DataFrame:
    """Poisson counts of units of very different size; a quarter exposed in 2013, one in 2015, half never."""
    generator = np.random.default_rng(seed)
    years = np.arange(2010, 2018)
    cohort = np.select([np.arange(units) % 4 == 0, np.arange(units) % 4 == 1], [2013.0, 2015.0], np.nan)
    unit, time = np.repeat(np.arange(units), 8), np.tile(years, units)
    since = time - np.nan_to_num(cohort[unit], nan=9999.0)
    size = generator.uniform(0.5, 4, size=units)[unit]
    people = np.round(1000 * size * (1 + 0.02 * (time - 2010)))
    x = generator.normal(size=len(unit))
    log_mean = np.log(3 * size) + 0.1 * np.sin(time) + 0.2 * x + np.where(since >= 0, effect + growth * since, 0.0)
    return pd.DataFrame(
        {
            "unit": [f"u{n:03d}" for n in unit],
            "time": time,
            "outcome": generator.poisson(np.exp(log_mean)).astype(float),
            "cohort": cohort[unit],
            "cluster": [f"c{n // 2:02d}" for n in unit],
            "weight": 1.0,
            "x": x,
            "at_risk": people,
        }
    )


def run(frame: pd.DataFrame, covariates: tuple[str, ...] = (), *, fit_rows=None, use_at_risk=False, **changes):
    if not use_at_risk:
        frame = frame.drop(columns="at_risk", errors="ignore")
    return poisson_fe.estimate(Sample(frame=frame, covariates=covariates, **changes), fit_rows=fit_rows)


def two_by_two() -> pd.DataFrame:
    """Exposed from 10 + 20 to 90, not exposed from 5 + 15 to 30: a ratio of (90/30) / (30/20) = 2."""
    return pd.DataFrame(
        {
            "unit": np.repeat(list("abcd"), 2),
            "time": np.tile([2019, 2020], 4),
            "outcome": [10.0, 40, 20, 50, 5, 6, 15, 24],
            "cohort": np.repeat([2020.0, 2020.0, np.nan, np.nan], 2),
            "cluster": np.repeat(list("abcd"), 2),
            "weight": 1.0,
        }
    )


@pytest.mark.parametrize("fit_rows", ["all", "untreated"])
def test_two_by_two_is_the_ratio_of_ratios_worked_by_hand(fit_rows):
    result = run(two_by_two(), fit_rows=fit_rows)
    assert result.estimate == pytest.approx(np.log(2))
    assert result.settings["percent_change"]["estimate"] == pytest.approx(100)
    if fit_rows == "untreated":
        # expected without exposure 15 and 30, so 45 fewer than counted, in two rows
        assert result.settings["effect_on_outcome"] == pytest.approx(45 / 2)
        # influence values: 40/90 - 15/45 and 50/90 - 30/45; of the time effect, -(6 - 5 * 1.5)/30 and +(...) likewise
        values = np.array([40 / 90 - 15 / 45, 50 / 90 - 30 / 45, -(6 - 7.5) / 30, -(24 - 22.5) / 30])
        assert result.std_error == pytest.approx(np.sqrt(2 * values @ values))


@pytest.mark.parametrize("covariates", [(), ("x",)])
@pytest.mark.parametrize("use_at_risk", [False, True])
def test_the_regression_is_the_dummy_glm_of_statsmodels(covariates, use_at_risk):
    frame = counts(seed=2, units=24)
    frame = frame.drop(index=frame.index[[3, 40]]).assign(weight=1.0)
    result = run(frame, covariates, use_at_risk=use_at_risk)
    exposed = (frame["time"] >= frame["cohort"]).astype(float)
    design = np.column_stack(
        [exposed, frame[list(covariates)], pd.get_dummies(frame["unit"]), pd.get_dummies(frame["time"]).iloc[:, 1:]]
    ).astype(float)
    offset = np.log(frame["at_risk"].to_numpy()) if use_at_risk else None
    groups = pd.factorize(frame["cluster"])[0]
    model = sm.GLM(frame["outcome"].to_numpy(), design, family=sm.families.Poisson(), offset=offset)
    theirs = model.fit(tol=1e-14, maxiter=100, cov_type="cluster", cov_kwds={"groups": groups, "use_correction": False})
    assert result.estimate == pytest.approx(theirs.params[0], abs=1e-8)
    # statsmodels without its correction is the bare sandwich; ours counts 1 for the units, which clusters nest
    n, counted = len(frame), 1 + len(covariates) + 8
    factor = 12 / 11 * (n - 1) / (n - counted)
    assert result.std_error == pytest.approx(theirs.bse[0] * np.sqrt(factor), rel=1e-7)
    assert result.df == 11


def test_the_regression_is_that_of_pyfixest():
    # pyfixest 0.40.1: fepois("outcome ~ d (+ x) | unit + time", vcov={"CRV1": "cluster"}, iwls_tol=1e-12)
    plain, adjusted = run(counts(seed=3)), run(counts(seed=3), ("x",))
    assert plain.estimate == pytest.approx(0.3941270408269444, rel=1e-10)
    assert plain.std_error == pytest.approx(0.0801714923354607, rel=1e-7)
    assert adjusted.estimate == pytest.approx(0.29501166425460706, rel=1e-10)
    assert adjusted.std_error == pytest.approx(0.07125114603331137, rel=1e-7)


def test_a_planted_ratio_is_recovered_exactly_from_expected_counts():
    frame = counts(seed=1)
    exposed = frame["time"] >= frame["cohort"]
    level = frame["unit"].str[1:].astype(float) + 1
    exact = frame.assign(outcome=level * (1.5 + np.sin(frame["time"])) * np.where(exposed, 0.7, 1.0))
    for fit_rows in ("all", "untreated"):
        result = run(exact, fit_rows=fit_rows)
        assert result.estimate == pytest.approx(np.log(0.7), abs=1e-10)
        assert result.settings["percent_change"]["estimate"] == pytest.approx(-30)


def test_growing_ratios_contaminate_the_one_coefficient_and_not_the_imputation():
    frame = counts(seed=1)
    since = (frame["time"] - frame["cohort"]).fillna(-1)
    exact = frame.assign(outcome=(1.5 + np.sin(frame["time"])) * np.exp(np.where(since >= 0, 0.2 + 0.3 * since, 0)))
    imputed = run(exact, fit_rows="untreated")
    assert [t.estimate for t in imputed.event_study] == pytest.approx([0.2, 0.5, 0.8, 1.1, 1.4], abs=1e-9)
    exposed = (since >= 0).to_numpy()
    truth = np.log(exact["outcome"][exposed].sum() / (1.5 + np.sin(frame["time"]))[exposed].sum())
    assert imputed.estimate == pytest.approx(truth, abs=1e-9)
    assert run(exact).estimate < truth - 0.05


@pytest.mark.parametrize("fit_rows", ["all", "untreated"])
def test_intervals_cover_the_truth_about_as_often_as_they_say(fit_rows):
    results = [run(counts(seed=seed), fit_rows=fit_rows).ci for seed in range(60)]
    hits = sum(low <= 0.4 <= high for low, high in results)
    assert 52 <= hits <= 60  # 95 % of 60, give or take three standard deviations


@pytest.mark.parametrize("fit_rows", ["all", "untreated"])
def test_the_anticipation_window_is_left_out_and_late_cohorts_are_no_comparison_if_only_the_never_exposed_are(fit_rows):
    frame = counts(seed=1)
    since = frame["time"] - frame["cohort"]
    exact = frame.assign(outcome=(1.5 + np.sin(frame["time"])) * np.where(since >= 0, 1.3, 1.0))
    early = exact.assign(outcome=exact["outcome"] * np.where(since == -1, 1.2, 1.0))
    assert run(early, fit_rows=fit_rows, anticipation=1).estimate == pytest.approx(np.log(1.3), abs=1e-9)
    assert run(early, fit_rows=fit_rows).estimate < np.log(1.3) - 0.01
    bent = exact.assign(
        outcome=exact["outcome"] * np.where((frame["cohort"] == 2015) & (since < 0) & (since > -3), 2, 1)
    )
    result = run(bent, fit_rows=fit_rows, comparison="never")
    if fit_rows == "untreated":  # levels of the late cohort are off, times are not
        assert result.event_study[-1].estimate == pytest.approx(np.log(1.3), abs=1e-9)
        assert abs(run(bent, fit_rows=fit_rows).event_study[-1].estimate - np.log(1.3)) > 0.01


def test_times_without_anybody_to_compare_with_are_counted_out_of_the_imputation():
    frame = counts(seed=1)
    result = run(frame[frame["cohort"].notna()], fit_rows="untreated")
    assert [(e.rows, e.units) for e in result.exclusions] == [(90, 30)]
    assert [t.event_time for t in result.event_study] == [0, 1]


def test_a_count_out_of_those_at_risk_is_the_rate_weighted_by_them():
    frame = counts(seed=5)
    by_count = run(frame, use_at_risk=True)
    rate = frame.assign(outcome=frame["outcome"] / frame["at_risk"] * 1e5, weight=frame["at_risk"])
    by_rate = run(rate)
    assert by_rate.estimate == pytest.approx(by_count.estimate, abs=1e-9)
    assert by_rate.std_error == pytest.approx(by_count.std_error, rel=1e-7)
    assert abs(run(frame).estimate - by_count.estimate) > 1e-6


def test_units_and_periods_of_nothing_but_zeros_are_counted_out():
    frame = counts(seed=4)
    silent = frame["unit"].isin(["u002", "u005"])
    frame = frame.assign(outcome=frame["outcome"].mask(silent | (frame["time"] == 2010), 0.0))
    result = run(frame)
    assert [(e.reason, e.rows, e.units) for e in result.exclusions] == [
        ("unit with an outcome of zero in every period", 16, 2),
        ("period with an outcome of zero in every unit", 58, 58),
    ]
    without = run(frame[~silent & (frame["time"] != 2010)])
    assert (result.estimate, result.std_error) == (without.estimate, without.std_error)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda f: f.assign(outcome=f["outcome"].mask(f["time"] >= f["cohort"], 0.0)), "log ratio is minus infinity"),
        (
            lambda f: f.assign(outcome=f["outcome"].mask(f["cohort"].notna() & ~(f["time"] >= f["cohort"]), 0.0)),
            "so the log ratio is infinite",
        ),
        (lambda f: f.assign(outcome=f["outcome"] - 3), r"negative in \d+ rows \(lowest -3\)"),
        (
            lambda f: f.assign(outcome=f["outcome"].where(f["x"] > 0, 0.0), x=np.where(f["x"] > 0, 0.0, 1.0)),
            "a coefficient runs off to infinity",
        ),
    ],
)
def test_counts_that_cannot_answer_say_why(change, message):
    with pytest.raises(EstimationError, match=message):
        run(change(counts(seed=6)), ("x",))


def test_people_at_risk_must_be_some():
    frame = counts(seed=6)
    with pytest.raises(EstimationError, match="at_risk is 0 or less in 8 rows"):
        run(frame.assign(at_risk=frame["at_risk"].mask(frame["unit"] == "u003", 0.0)), use_at_risk=True)


@pytest.mark.parametrize("fit_rows", ["all", "untreated"])
class TestLaws:
    def numbers(self, frame, fit_rows, covariates=("x",)):
        result = run(frame, covariates, fit_rows=fit_rows, use_at_risk=True)
        return np.array([(result.estimate, result.std_error), *((t.estimate, t.std_error) for t in result.event_study)])

    def test_a_rescaled_outcome_changes_nothing(self, fit_rows):
        frame = counts(seed=7)
        scaled = frame.assign(outcome=50 * frame["outcome"], at_risk=frame["at_risk"] / 1000)
        np.testing.assert_allclose(self.numbers(scaled, fit_rows), self.numbers(frame, fit_rows), atol=1e-9)

    def test_order_calendar_and_names_change_nothing_and_the_input_is_not_changed(self, fit_rows):
        frame = counts(seed=7)
        base = self.numbers(frame, fit_rows)
        shuffled = frame.sample(frac=1, random_state=2)
        before = shuffled.copy(deep=True)
        np.testing.assert_array_equal(self.numbers(shuffled, fit_rows), base)
        pd.testing.assert_frame_equal(shuffled, before)
        moved = frame.assign(time=frame["time"] - 500, cohort=frame["cohort"] - 500)
        np.testing.assert_array_equal(self.numbers(moved, fit_rows), base)
        renamed = frame.assign(unit=frame["unit"].str[::-1], cluster=frame["cluster"].str[::-1])
        np.testing.assert_allclose(self.numbers(renamed, fit_rows), base, atol=1e-9)

    def test_a_weight_of_two_is_the_same_unit_twice_in_its_cluster(self, fit_rows):
        frame = counts(seed=7)
        heavy = frame["unit"].str[-1].isin(list("02468"))
        twice = pd.concat([frame, frame[heavy].assign(unit=lambda rows: rows["unit"] + "b")])
        weighted = self.numbers(frame.assign(weight=np.where(heavy, 2.0, 1.0)), fit_rows, ())
        doubled = self.numbers(twice, fit_rows, ())
        np.testing.assert_allclose(weighted[:, 0], doubled[:, 0], atol=1e-9)
        np.testing.assert_allclose(weighted[:, 1], doubled[:, 1], rtol=1e-8 if fit_rows == "untreated" else 0.02)

    def test_a_constant_outcome_has_no_effect_and_no_p_value(self, fit_rows):
        result = run(counts(seed=7).assign(outcome=0.37), fit_rows=fit_rows)
        assert result.estimate == pytest.approx(0, abs=1e-12)
        assert np.isnan(result.std_error)
        assert np.isnan(result.p_value)
