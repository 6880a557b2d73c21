"""Random trends and the imputation they share: by hand, against dummies, R and pyfixest, and where they go wrong."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from conftest import FIGURES, world

from wwc_research.design.sample import Sample
from wwc_research.errors import EstimationError
from wwc_research.estimators import counterfactual, random_trends, two_way_fe


def trending(*, seed: int, noise: float, effect: float = 2.0, units: int = 60) -> pd.DataFrame:
    """Units with slopes of their own, steeper where exposed in 2006 or 2008; a third never."""
    generator = np.random.default_rng(seed)
    years = np.arange(2000, 2012)
    cohort = np.select([np.arange(units) % 3 == 0, np.arange(units) % 3 == 1], [2006.0, 2008.0], np.nan)
    slope = generator.normal(size=units) + np.isfinite(cohort)
    unit, time = np.repeat(np.arange(units), len(years)), np.tile(years, units)
    outcome = slope[unit] * (time - 2000) + np.sin(time) + effect * (time >= np.nan_to_num(cohort, nan=9999)[unit])
    return pd.DataFrame(
        {
            "unit": [f"u{number:03d}" for number in unit],
            "time": time,
            "outcome": outcome + noise * generator.normal(size=len(unit)),
            "cohort": cohort[unit],
            "cluster": [f"u{number:03d}" for number in unit],
            "weight": 1.0,
        }
    )


def test_one_exposed_and_one_comparison_unit_are_as_worked_by_hand():
    # exposed: line 1, 3, 5 before, so 7 and 9 expected, 10 and 14 seen; the other has 0, 1, 2, then 0.5 and 1 more
    # than its line, which is what the times did
    frame = pd.DataFrame(
        {
            "unit": np.repeat(["a", "b"], 5),
            "time": np.tile([1, 2, 3, 4, 5], 2),
            "outcome": [1, 3, 5, 10, 14, 0, 1, 2, 3.5, 5],
            "cohort": np.repeat([4.0, np.nan], 5),
            "cluster": np.repeat(["a", "b"], 5),
            "weight": 1.0,
        }
    )
    result = random_trends.estimate(Sample(frame=frame))
    assert [term.estimate for term in result.event_study] == pytest.approx([10 - 7 - 0.5, 14 - 9 - 1])
    assert result.estimate == pytest.approx((2.5 + 4) / 2)
    assert np.isnan(result.std_error)  # one exposed cluster


@pytest.mark.parametrize("trend_rows", ["untreated", "all"])
def test_own_trends_that_bias_two_way_fixed_effects_are_taken_out_exactly(trend_rows):
    sample = Sample(frame=trending(seed=1, noise=0.0))
    assert random_trends.estimate(sample, trend_rows=trend_rows).estimate == pytest.approx(2.0, abs=1e-9)
    assert two_way_fe.estimate(sample).estimate > 4


def test_trends_on_all_rows_absorb_an_effect_that_grows_and_trends_before_exposure_do_not():
    frame = world(seed=9, noise=0.0)
    clean = random_trends.estimate(Sample(frame=frame))
    assert [term.estimate for term in clean.event_study] == pytest.approx([1, 1.5, 2, 2.5, 3], abs=1e-8)
    absorbed = random_trends.estimate(Sample(frame=frame), trend_rows="all")
    assert absorbed.estimate < 0.6 * clean.estimate


@pytest.mark.parametrize(
    ("covariates", "theirs", "std_error"),
    [((), 0.5147532216793541, 0.2644190434919148), (("size",), 0.5346993100426715, 0.26432581816701095)],
)
def test_the_regression_on_all_rows_is_that_of_pyfixest(staggered, covariates, theirs, std_error):
    # pyfixest 0.40.1: feols("outcome ~ d (+ size) + i(unit, t) | unit + time", vcov={"CRV1": "cluster"}), which
    # counts the 90 slopes as parameters; fixed effects nested in clusters are not counted, nor are slopes here
    result = random_trends.estimate(Sample(frame=staggered, covariates=covariates), trend_rows="all")
    n_covariates = len(covariates)
    assert result.estimate == pytest.approx(theirs, rel=1e-9)
    rescaled = std_error * np.sqrt((540 - 96 - n_covariates) / (540 - 6 - n_covariates))
    assert result.std_error == pytest.approx(rescaled, rel=1e-9)
    assert result.df == 29


def imputed(frame: pd.DataFrame, *, trends: bool = False, controls: np.ndarray | None = None):
    unit = pd.factorize(frame["unit"], sort=True)[0]
    clean = ~(frame["time"] >= frame["cohort"]).to_numpy()
    fit = counterfactual.impute(
        frame["outcome"].to_numpy(),
        np.zeros((len(frame), 0)) if controls is None else controls,
        unit=unit,
        time=frame["time"].to_numpy(),
        weight=frame["weight"].to_numpy(),
        is_clean=clean,
        is_donor=np.ones(len(frame), dtype=bool),
        trends=trends,
    )
    return fit, clean, unit


@pytest.mark.parametrize("trends", [False, True])
def test_imputed_outcomes_are_the_prediction_of_the_dummy_regression(staggered, trends):
    frame = staggered.drop(index=staggered.index[[8, 77, 301]]).assign(
        weight=1 + staggered["time"] % 3 * staggered["unit"].str[-1].astype(int)
    )
    controls = frame[["size"]].to_numpy()
    fit, clean, unit = imputed(frame, trends=trends, controls=controls)
    own = np.eye(90)[unit]
    clock = (frame["time"] - 2016).to_numpy()[:, None]
    design = np.column_stack([own, pd.get_dummies(frame["time"]), controls, *([own * clock] if trends else [])])
    design = design.astype(float)
    root = np.sqrt(frame["weight"].to_numpy())
    beta = np.linalg.lstsq(design[clean] * root[clean, None], (frame["outcome"].to_numpy() * root)[clean], rcond=1e-12)
    expected = frame["outcome"].to_numpy() - design @ beta[0]
    np.testing.assert_allclose(fit.gap[fit.is_reached], expected[fit.is_reached], atol=1e-8)
    weights = np.where(clean | ~fit.is_reached, 0.0, np.random.default_rng(1).uniform(size=len(frame)))
    assert fit.influence(weights) @ frame["outcome"].to_numpy() == pytest.approx(weights @ fit.gap, rel=1e-9)
    np.testing.assert_allclose(fit.influence(weights) @ design, 0, atol=1e-8)


def test_without_trends_the_imputation_is_that_of_r_on_mpdta(mpdta):
    numbers = pd.read_csv(FIGURES / "reference_numbers.csv")
    theirs = numbers[numbers["estimator"] == "BJS imputation"].set_index("spec")
    fit, clean, _ = imputed(mpdta)
    static = theirs.loc["hand imputation point estimate (fixef.rm=none), all treated obs", "estimate"]
    assert fit.gap[~clean].mean() == pytest.approx(static, rel=1e-6)
    for event_time in range(4):
        at = (mpdta["time"] - mpdta["cohort"]).eq(event_time).to_numpy()
        expected = theirs.loc[f"hand imputation event {event_time}", "estimate"]
        assert fit.gap[at].mean() == pytest.approx(expected, rel=1e-6)
    # R's didimputation loses the cohort of 2004, and takes mean effects by cohort and time without our m/(m - 1)
    later = mpdta[mpdta["cohort"] != 2004]
    fit, clean, unit = imputed(later)
    cell = later["cohort"].fillna(0) * 10_000 + later["time"]
    expected = pd.Series(fit.gap, index=later.index).groupby(cell).transform("mean").to_numpy()
    weights = np.where(clean, 0.0, 1 / (~clean).sum())
    error, df = counterfactual.average_error(fit, weights=weights, expected=expected, cluster=unit)
    row = theirs.loc[theirs.index.str.startswith("static")].iloc[0]
    assert weights @ fit.gap == pytest.approx(row["estimate"], rel=1e-6)
    assert error * np.sqrt(df / (df + 1)) == pytest.approx(row["std_error"], rel=1e-6)


def test_intervals_cover_the_truth_about_as_often_as_they_say():
    generator = np.random.default_rng(4)
    frame = trending(seed=2, noise=0.0, units=45)
    frame = frame[frame["time"] < 2011]
    hits = 0
    for _ in range(150):
        noisy = frame.assign(outcome=frame["outcome"] + generator.normal(size=len(frame)))
        low, high = random_trends.estimate(Sample(frame=noisy)).ci
        hits += low <= 2.0 <= high
    assert 134 <= hits <= 149  # 95 % of 150, give or take three standard deviations


def test_exposed_units_without_a_trend_of_their_own_and_times_without_comparison_are_counted_out(staggered):
    short = staggered.drop(index=staggered.index[(staggered["unit"] == "u000") & (staggered["time"] == 2016)])
    result = random_trends.estimate(Sample(frame=short))
    (exclusion,) = result.exclusions
    assert (exclusion.reason[:42], exclusion.rows, exclusion.units) == (
        "exposed after fewer than two clean periods",
        5,
        1,
    )
    nobody_last = staggered[staggered["cohort"].notna()]
    result = random_trends.estimate(Sample(frame=nobody_last))
    assert [(e.rows, e.units) for e in result.exclusions] == [(45, 45)]
    assert "no clean row of another unit" in result.exclusions[0].reason
    with pytest.raises(EstimationError, match="start the window earlier"):
        random_trends.estimate(
            Sample(
                frame=staggered[staggered["time"] > 2016].assign(
                    cohort=staggered["cohort"].where(staggered["cohort"].isin([2018]))
                )
            )
        )


def test_only_never_exposed_units_give_the_time_effects_where_only_they_are_compared():
    frame = trending(seed=3, noise=0.3)
    later = frame["cohort"].eq(2008) & frame["time"].between(2006, 2007)
    bent = frame.assign(outcome=frame["outcome"] + 5 * later)
    plain = random_trends.estimate(Sample(frame=frame, comparison="never"))
    moved = random_trends.estimate(Sample(frame=bent, comparison="never"))
    # the cohort of 2006, last in event time, is compared with the never exposed, whatever that of 2008 does
    only = frame[frame["cohort"] != 2008]
    alone = random_trends.estimate(Sample(frame=only, comparison="never"))
    assert plain.event_study[-1].estimate == pytest.approx(alone.event_study[-1].estimate, rel=1e-9)
    assert moved.event_study[-1].estimate == pytest.approx(alone.event_study[-1].estimate, rel=1e-9)
    not_yet = random_trends.estimate(Sample(frame=bent))
    assert abs(not_yet.event_study[-1].estimate - alone.event_study[-1].estimate) > 0.1


def test_the_anticipation_window_is_neither_clean_nor_exposed():
    frame = trending(seed=6, noise=0.0)
    soon = frame["time"] == frame["cohort"] - 1
    bent = frame.assign(outcome=frame["outcome"] + 4 * soon)
    for trend_rows in ("untreated", "all"):
        result = random_trends.estimate(Sample(frame=bent, anticipation=1), trend_rows=trend_rows)
        assert result.estimate == pytest.approx(2.0, abs=1e-8)
