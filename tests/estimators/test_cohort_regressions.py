"""sun_abraham, extended_twfe and stacked: against R and other programs, by hand, by dummies, planted truths, laws."""

from __future__ import annotations

import re

import numpy as np
import pandas as pd
import pytest
from conftest import FIGURES, effect_at, world

from wwc_research.design.sample import Sample
from wwc_research.errors import EstimationError, InputError
from wwc_research.estimators import cells, extended_twfe, stacked, sun_abraham
from wwc_research.estimators.estimate import Estimate

ALL = {module.NAME: module.estimate for module in (sun_abraham, extended_twfe, stacked)}
SATURATED = ("sun_abraham", "extended_twfe")
REFERENCE = pd.read_csv(FIGURES / "reference_numbers.csv")
WHOLE = (2016, 2017, 2018, 2019, 2020, 2021, 2022)


def run(frame: pd.DataFrame, name: str, *, covariates: tuple[str, ...] = (), options=None, **changes) -> Estimate:
    return ALL[name](Sample(frame=frame, covariates=covariates, **changes), **(options or {}))


def events(result: Estimate) -> dict[int, tuple[float, float]]:
    return {term.event_time: (term.estimate, term.std_error) for term in result.event_study}


def numbers(result: Estimate) -> np.ndarray:
    terms = [(t.estimate, t.std_error) for t in (*result.event_study, *result.group_time)]
    return np.array([(result.estimate, result.std_error), *terms])


@pytest.fixture(scope="module")
def mpdta_alone(mpdta) -> Sample:
    return Sample(frame=mpdta, comparison="never")


@pytest.fixture(scope="module")
def whole() -> pd.DataFrame:
    """The staggered world without a missing wave, each unit its own cluster."""
    frame = world(seed=5, noise=1.0, times=WHOLE)
    return frame.assign(cluster=frame["unit"])


# Against other programs ------------------------------------------------------------------------------------------


def test_sun_abraham_is_fixest_on_mpdta(mpdta_alone):
    result = sun_abraham.estimate(mpdta_alone)
    rows = REFERENCE[REFERENCE["estimator"] == "Sun-Abraham"]
    assert len(rows) == 8
    for row in rows.itertuples():
        at = re.fullmatch(r"event year::(-?\d)", row.spec)
        mine = events(result)[int(at[1])] if at else (result.estimate, result.std_error)
        assert mine == pytest.approx((row.estimate, row.std_error), rel=1e-7), row.spec
    assert result.df == 499


def test_extended_twfe_without_covariates_is_imputation(mpdta):
    result = run(mpdta, "extended_twfe")
    rows = REFERENCE[REFERENCE["spec"].str.startswith("hand imputation")]
    assert len(rows) == 5
    for row in rows.itertuples():
        at = re.fullmatch(r"hand imputation event (\d)", row.spec)
        mine = events(result)[int(at[1])][0] if at else result.estimate
        assert mine == pytest.approx(row.estimate, rel=1e-6), row.spec


@pytest.mark.parametrize(
    ("comparison", "anticipation", "overall", "cells_"),
    [  # WooldridgeDiD(control_group, anticipation, cluster="unit") of diff-diff 3.13.0
        (
            "not_yet",
            0,
            (-0.047709918278453355, 0.013264957788278693),
            {
                (2004, 2004): (-0.01937236367592222, 0.022381770443295923),
                (2004, 2007): (-0.10470747157660085, 0.0338743054603234),
                (2006, 2006): (0.0025138619419133638, 0.01993281690400176),
                (2006, 2007): (-0.03919273559172452, 0.024008748273465975),
                (2007, 2007): (-0.043106032808698326, 0.018431147223806222),
            },
        ),
        (
            "not_yet",
            1,
            (-0.039255744927242715, 0.018084193075578743),
            {
                (2006, 2005): (-0.0032205215670941608, 0.023100039086803442),
                (2007, 2006): (-0.02273549611933536, 0.01895570280279188),
                (2007, 2007): (-0.048789906838532, 0.021201531891241472),
            },
        ),
        (
            "never",
            1,
            (-0.04520554068373797, 0.01668847519401578),
            {
                (2006, 2003): (-0.006520112424233027, 0.023409764135882725),
                (2007, 2004): (0.0027258928861162756, 0.01645414271532373),
                (2007, 2007): (-0.057141530108885445, 0.0202820382483172),
            },
        ),
    ],
)
def test_extended_twfe_is_what_another_program_says_of_mpdta(mpdta, comparison, anticipation, overall, cells_):
    result = run(mpdta, "extended_twfe", comparison=comparison, anticipation=anticipation)
    assert (result.estimate, result.std_error) == pytest.approx(overall, rel=1e-9)
    mine = {(t.cohort, t.time): (t.estimate, t.std_error) for t in result.group_time}
    for at, expected in cells_.items():
        assert mine[at] == pytest.approx(expected, rel=1e-9)


def test_extended_twfe_with_a_covariate_is_the_published_example_of_etwfe(mpdta):
    """The vignette of R's etwfe prints these four decimals for lemp ~ lpop on mpdta."""
    result = run(mpdta, "extended_twfe", covariates=("log_population",))
    assert (result.estimate, result.std_error) == pytest.approx((-0.0506, 0.0125), abs=6e-5)
    published = {0: (-0.0332, 0.0134), 1: (-0.0573, 0.0172), 2: (-0.1379, 0.0308), 3: (-0.1095, 0.0323)}
    for at, expected in published.items():
        assert events(result)[at] == pytest.approx(expected, abs=1e-4)


@pytest.mark.parametrize(
    ("comparison", "post", "overall", "path"),
    [  # StackedDiD(kappa_pre=2, weighting="aggregate") of diff-diff 3.13.0 on the world below
        (
            "not_yet",
            0,
            (1.09205148481156, 0.24969949881298997),
            {-2: (-0.009752606544816595, 0.23498409554996508)},
        ),
        (
            "not_yet",
            1,
            (1.3055169362105423, 0.2893933692832113),
            {
                -2: (0.12133398385839213, 0.2895001504597868),
                0: (1.0027623629752969, 0.3130153944535146),
                1: (1.6082715094457876, 0.3399980922539922),
            },
        ),
        (
            "never",
            1,
            (1.2073587247680042, 0.2830407737718038),
            {1: (1.4958194387079633, 0.32969723486837277)},
        ),
    ],
)
def test_pooled_stacks_are_what_another_program_says(whole, comparison, post, overall, path):
    options = {"kappa_pre": 2, "kappa_post": post, "fixed_effects": "pooled"}
    result = run(whole, "stacked", comparison=comparison, options=options)
    assert (result.estimate, result.std_error) == pytest.approx(overall, rel=1e-9)
    for at, expected in path.items():
        assert events(result)[at] == pytest.approx(expected, rel=1e-9)


# By hand and by dummies ------------------------------------------------------------------------------------------


def two_cohorts() -> pd.DataFrame:
    """Changes a year of 0 for d, e and f; a exposed in 2 gains 3 then 5, b exposed in 3 gains 7; c is b's twin."""
    paths = {"a": [1, 4, 6], "b": [2, 2, 9], "c": [5, 5, 12], "d": [0, 0, 0], "e": [3, 3, 3], "f": [1, 2, 3]}
    cohort = {"a": 2.0, "b": 3.0, "c": 3.0}
    rows = [(unit, t + 1, float(y), cohort.get(unit)) for unit, ys in paths.items() for t, y in enumerate(ys)]
    frame = pd.DataFrame(rows, columns=["unit", "time", "outcome", "cohort"])
    return frame.assign(cohort=frame["cohort"].astype(float), cluster=frame["unit"], weight=1.0)


def test_sun_abraham_worked_by_hand():
    result = run(two_cohorts(), "sun_abraham", comparison="never")
    # the never exposed gain 1/3 a year; base of a is 1, of b and c is 2
    found = {(t.cohort, t.time): t.estimate for t in result.group_time}
    assert found == pytest.approx({(2, 2): 3 - 1 / 3, (2, 3): 5 - 2 / 3, (3, 1): 0 + 1 / 3, (3, 3): 7 - 1 / 3})
    assert result.estimate == pytest.approx((8 / 3 + 13 / 3 + 2 * 20 / 3) / 4)
    assert events(result)[0][0] == pytest.approx((8 / 3 + 2 * 20 / 3) / 3)
    assert events(result)[-1][0] == 0
    assert (result.n_obs, result.n_units, result.n_treated) == (18, 6, 3)
    assert [(t.n_treated, t.n_comparison) for t in result.group_time] == [(1, 5), (1, 3), (2, 4), (2, 3)]


def test_stacks_worked_by_hand():
    result = run(two_cohorts(), "stacked", options={"kappa_pre": 1, "kappa_post": 0})
    # stack 2: a against b, c (not yet), d, e, f: 3 - 1/5; stack 3: b, c against d, e, f: 7 - 1/3
    assert result.estimate == pytest.approx((1 * (3 - 1 / 5) + 2 * (7 - 1 / 3)) / 3)
    plain = run(two_cohorts(), "stacked", options={"kappa_pre": 1, "kappa_post": 0, "weights": "none"})
    precision = np.array([1 * 5 / 6, 2 * 3 / 5])
    assert plain.estimate == pytest.approx(precision @ [3 - 1 / 5, 7 - 1 / 3] / precision.sum())


def dummies(values: pd.Series) -> np.ndarray:
    return pd.get_dummies(values, drop_first=True).to_numpy(float)


def by_dummies(
    frame: pd.DataFrame, X: np.ndarray, *, effects: list[pd.Series], weight: np.ndarray, k: int, counted: int
) -> tuple[np.ndarray, np.ndarray]:
    """The first k coefficients and their CRV1 covariance, by pseudo-inverse of the dense design."""
    design = np.column_stack([X, *(dummies(effect) for effect in effects), np.ones(len(X))])
    y, root, n = frame["outcome"].to_numpy(), np.sqrt(weight), len(X)
    inverse = np.linalg.pinv(design * root[:, None], rcond=1e-11)
    coefficients = inverse @ (y * root)
    influence = pd.DataFrame((inverse * (root * (y - design @ coefficients))).T).groupby(frame["cluster"].to_numpy())
    sums = influence.sum().to_numpy()[:, :k]
    g = len(sums)
    return coefficients[:k], g / (g - 1) * (n - 1) / (n - counted) * sums.T @ sums


@pytest.mark.parametrize("name", SATURATED)
def test_the_saturated_regression_is_the_one_on_its_dummies_with_holes_and_weights(staggered, name):
    generator = np.random.default_rng(3)
    frame = staggered.assign(weight=generator.uniform(0.5, 2, len(staggered))).drop(index=[3, 100, 217, 301])
    event_time = frame["time"] - frame["cohort"]
    base = {2018: 2017, 2020: 2019, 2022: 2021}
    own = event_time.notna() & (frame["time"] != frame["cohort"].map(base))
    own &= (event_time >= 0) if name == "extended_twfe" else True
    key = (frame["cohort"] * 10_000 + frame["time"]).where(own)
    shown = np.sort(key.dropna().unique())
    X = (key.to_numpy()[:, None] == shown).astype(float)
    theirs, covariance = by_dummies(
        frame,
        X,
        effects=[frame["unit"], frame["time"]],
        weight=frame["weight"].to_numpy(),
        k=len(shown),
        counted=len(shown) + frame["time"].nunique(),
    )
    result = run(frame, name)
    np.testing.assert_allclose([t.estimate for t in result.group_time], theirs, rtol=1e-8)
    errors = [t.std_error for t in result.group_time]
    np.testing.assert_allclose(errors, np.sqrt(np.diag(covariance)), rtol=1e-8)
    size = X.T @ frame["weight"].to_numpy() * (shown % 10_000 >= shown // 10_000)
    average = size / size.sum()
    assert result.estimate == pytest.approx(average @ theirs, rel=1e-9)
    assert result.std_error == pytest.approx(np.sqrt(average @ covariance @ average), rel=1e-9)


def test_covariates_of_extended_twfe_have_slopes_by_time_cohort_and_cell(whole):
    """The regression of the method card on dense columns, which statsmodels solves by pseudo-inverse."""
    x = whole["size"].to_numpy()
    own = (whole["time"] >= whole["cohort"]).to_numpy()
    key = (whole["cohort"] * 10_000 + whole["time"]).where(own).to_numpy()
    shown = np.unique(key[own])
    X = (key[:, None] == shown).astype(float)
    centred = np.column_stack([x - x[X[:, k] == 1].mean() for k in range(len(shown))])
    slopes = [pd.get_dummies(whole[c].fillna(0)).to_numpy(float) * x[:, None] for c in ("time", "cohort")]
    k, regressors = len(shown), np.column_stack([X, X * centred, *slopes])
    # parameters: a slope and a level in each of k cells and 7 times and a slope in each of 4 cohorts, of which the
    # slopes of times and cohorts hold one in common; the units are nested in the clusters
    counted = k + 7 + k + 7 + 4 - 1
    effects, weight = [whole["unit"], whole["time"]], np.ones(len(x))
    theirs, covariance = by_dummies(whole, regressors, effects=effects, weight=weight, k=k, counted=counted)
    result = run(whole, "extended_twfe", covariates=("size",))
    np.testing.assert_allclose([t.estimate for t in result.group_time], theirs, rtol=1e-7)
    np.testing.assert_allclose([t.std_error for t in result.group_time], np.sqrt(np.diag(covariance)), rtol=1e-7)


@pytest.mark.parametrize("weights", ["corrective", "none"])
def test_stacks_are_the_regression_on_their_dummies(whole, weights):
    parts = []
    for cohort in (2018, 2020):
        window = whole[whole["time"].between(cohort - 2, cohort + 1)]
        clean = window["cohort"].isna() | (window["cohort"] > cohort + 1)
        part = window[clean | (window["cohort"] == cohort)]
        parts.append(part.assign(stack=cohort, exposed=part["cohort"] == cohort, event=part["time"] - cohort))
    stack = pd.concat(parts, ignore_index=True)
    n = stack.groupby(["stack", "exposed"])["unit"].nunique().unstack()
    share = (n[True] / n[True].sum()) / (n[False] / n[False].sum())
    factor = (
        np.where(stack["exposed"], 1.0, stack["stack"].map(share)) if weights == "corrective" else np.ones(len(stack))
    )
    X = np.column_stack([stack["exposed"] & (stack["event"] == e) for e in (-2, 0, 1)]).astype(float)
    unit, time = (stack["stack"].astype(str) + stack[c].astype(str) for c in ("unit", "time"))
    # the units are nested in the clusters; of the times fixest counts every one in every stack
    theirs, covariance = by_dummies(stack, X, effects=[unit, time], weight=factor, k=3, counted=3 + time.nunique())
    result = run(whole, "stacked", options={"kappa_pre": 2, "kappa_post": 1, "weights": weights})
    found = events(result)
    np.testing.assert_allclose([found[e][0] for e in (-2, 0, 1)], theirs, rtol=1e-8)
    np.testing.assert_allclose([found[e][1] for e in (-2, 0, 1)], np.sqrt(np.diag(covariance)), rtol=1e-8)
    assert result.settings["n_stacked_rows"] == len(stack)
    assert result.n_obs < len(stack)


# Two roads -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["cluster", "iid", "hetero"])
@pytest.mark.parametrize("name", ALL)
@pytest.mark.parametrize("covariates", [(), ("size",)])
def test_cross_products_and_dummies_agree(staggered, monkeypatch, name, kind, covariates):
    generator = np.random.default_rng(4)
    frame = staggered.assign(weight=generator.uniform(0.5, 2, len(staggered))).sample(frac=0.95, random_state=1)
    options = {"std_errors": kind} | ({"kappa_pre": 2, "kappa_post": 1} if name == "stacked" else {})
    short = run(frame, name, covariates=covariates, options=options)
    monkeypatch.setattr("wwc_research.estimators.within.KINDS", ())
    long = run(frame, name, covariates=covariates, options=options)
    np.testing.assert_allclose(numbers(short), numbers(long), rtol=1e-7, atol=1e-10)
    assert short.df == long.df


@pytest.mark.parametrize("name", ALL)
@pytest.mark.parametrize("kind", ["jackknife", "two_way_cluster", "driscoll_kraay", "newey_west"])
def test_the_kind_of_error_moves_the_error_and_never_the_effect(staggered, name, kind):
    clustered, other = run(staggered, name), run(staggered, name, options={"std_errors": kind})
    assert other.estimate == pytest.approx(clustered.estimate, rel=1e-9)
    assert other.std_error > 0
    assert other.std_error != pytest.approx(clustered.std_error, rel=1e-6)


def test_extended_twfe_against_the_never_exposed_alone_is_sun_abraham(staggered):
    for anticipation in (0, 1):
        one = run(staggered, "extended_twfe", comparison="never", anticipation=anticipation)
        other = run(staggered, "sun_abraham", comparison="never", anticipation=anticipation)
        np.testing.assert_allclose(numbers(one), numbers(other), rtol=1e-12)


# Planted truths --------------------------------------------------------------------------------------------------


def truth(frame: pd.DataFrame) -> float:
    event_time = (frame["time"] - frame["cohort"]).to_numpy()
    return float(effect_at(event_time[event_time >= 0]).mean())


@pytest.mark.parametrize("name", SATURATED)
@pytest.mark.parametrize("comparison", ["never", "not_yet"])
def test_growing_effects_are_recovered_through_a_missing_wave(name, comparison):
    frame = world(seed=9, noise=0.0)
    result = run(frame, name, comparison=comparison)
    assert result.estimate == pytest.approx(truth(frame), abs=1e-9)
    for term in result.event_study:
        assert term.estimate == pytest.approx(float(effect_at(np.array(term.event_time))), abs=1e-9)


@pytest.mark.parametrize("name", SATURATED)
def test_without_anyone_never_exposed_the_last_cohort_is_compared_with(name):
    everyone = world(seed=9, noise=0.0).query("cohort.notna()")
    result = run(everyone, name)
    seen = everyone[(everyone["time"] < 2022) & (everyone["time"] >= everyone["cohort"])]
    assert result.estimate == pytest.approx(truth(seen), abs=1e-9)
    assert [(e.rows, e.units) for e in result.exclusions] == [(45, 45)]
    assert "nobody to compare with is observed at 2022" in result.exclusions[0].reason


def test_stacks_recover_growing_effects_and_leave_out_windows_beyond_the_data():
    frame = world(seed=9, noise=0.0, times=WHOLE)
    result = run(frame, "stacked", options={"kappa_pre": 2, "kappa_post": 2})
    assert {e: round(value, 9) for e, (value, _) in events(result).items()} == {-2: 0, -1: 0, 0: 1, 1: 1.5, 2: 2}
    assert result.exclusions[0].reason == "cohort 2022: its window reaches beyond the periods observed"
    assert result.n_obs + sum(e.rows for e in result.exclusions) == len(frame)


def test_corrective_weights_give_each_cohort_its_share_and_bare_stacks_do_not():
    """Cohort 2018 has 10 units and effect 0, cohort 2020 40 and effect 1: the share-weighted effect is 0.8."""
    units = np.arange(120)
    cohort = np.where(units < 10, 2018.0, np.where(units < 50, 2020.0, np.nan))
    unit, time = np.repeat(units, 6), np.tile(np.arange(2016, 2022), 120)
    frame = pd.DataFrame({"unit": unit.astype(str), "time": time, "cohort": cohort[unit], "weight": 1.0})
    frame = frame.assign(
        cluster=frame["unit"], outcome=unit + time**1.1 + 1.0 * (cohort[unit] == 2020) * (time >= 2020)
    )
    options = {"kappa_pre": 2, "kappa_post": 1}
    assert run(frame, "stacked", options=options).estimate == pytest.approx(0.8, abs=1e-9)
    assert abs(run(frame, "stacked", options=options | {"weights": "none"}).estimate - 0.8) > 0.02


def test_an_effect_that_depends_on_the_covariate_is_averaged_over_the_exposed(whole):
    """Trends differ by size; the effect is 1 + size: extended_twfe gives its mean among the exposed."""
    size = whole.groupby("unit")["size"].transform("first")
    exposed = whole["time"] >= whole["cohort"]
    outcome = 0.5 * size * (whole["time"] - 2016) + (1 + size) * exposed
    result = run(whole.assign(outcome=outcome, size=size), "extended_twfe", covariates=("size",))
    assert result.estimate == pytest.approx(1 + size[exposed].mean(), abs=1e-9)


@pytest.mark.parametrize("name", ALL)
def test_intervals_hold_the_truth_about_as_often_as_they_say(name):
    """40 worlds of 90 units: fewer than 33 of 40 has probability 0.0004 at true coverage 0.95."""
    held = 0
    for seed in range(40):
        frame = world(seed=seed, noise=1.0)
        event_time = (frame["time"] - frame["cohort"]).to_numpy()
        wanted = 1.0 if name == "stacked" else float(effect_at(event_time[event_time >= 0]).mean())
        low, high = run(frame, name).ci
        held += low <= wanted <= high
    assert held >= 33


# Edges -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ALL)
def test_anticipation_moves_the_base_and_keeps_the_window_out_of_the_leads(whole, name):
    early = (whole["time"] - whole["cohort"]).isin([-1])
    spoiled = whole.assign(outcome=whole["outcome"] + 100 * early)
    result = run(spoiled, name, comparison="never", anticipation=1)
    assert events(result)[-1][0] > 90
    assert events(result)[-2][0] == 0
    assert abs(result.estimate) < 5
    assert result.pre_trend_restrictions == sum(e < -2 for e in events(result))
    if result.pre_trend_restrictions:
        assert result.pre_trend_p_value > 0.001


def test_a_unit_never_linked_to_its_cohorts_base_is_left_out_and_counted(whole):
    lost = whole["unit"].eq("u000") & ~whole["time"].isin([2016, 2019])  # base of 2018 is 2017
    others = whole["cohort"].eq(2018) & whole["unit"].ne("u000") & whole["time"].isin([2016, 2019])
    frame = whole[~lost & ~others]
    result = run(frame, "sun_abraham")
    assert [(e.rows, e.units) for e in result.exclusions] == [(2, 1)]
    assert "never linked" in result.exclusions[0].reason
    without = run(frame[frame["unit"] != "u000"], "sun_abraham")
    np.testing.assert_allclose(numbers(result), numbers(without), rtol=1e-12)


def test_a_covariate_that_explains_nothing_is_dropped_and_named(mpdta):
    frame = mpdta.assign(trend=mpdta["time"] * 1.0)
    result = run(frame, "sun_abraham", covariates=("log_population", "trend"))
    assert result.settings["dropped_covariates"] == ["log_population", "trend"]
    assert result.estimate == pytest.approx(run(mpdta, "sun_abraham").estimate, rel=1e-9)
    again = run(
        mpdta.assign(twin=mpdta["outcome"] ** 2, x=mpdta["outcome"] ** 2), "sun_abraham", covariates=("x", "twin")
    )
    assert again.settings["dropped_covariates"] == ["twin"]


def test_small_cohorts_are_named(whole):
    few = whole["cohort"].eq(2020) & ~whole["unit"].isin(["u001", "u007"])
    for name in SATURATED:
        said = run(whole[~few], name).settings["warnings"]
        assert said[0] == "cohort 2020 has 2 exposed units: its standard errors are too small."


def test_windows_that_cannot_be_are_refused(whole):
    with pytest.raises(InputError, match=r"(?s)2 faults.*kappa_pre = 1 leaves no base.*kappa_post = -1 ends before"):
        run(whole, "stacked", anticipation=1, options={"kappa_pre": 1, "kappa_post": -1})
    with pytest.raises(EstimationError, match="no cohort has a clean comparison from 9 before"):
        run(whole, "stacked", options={"kappa_pre": 9})
    with pytest.raises(InputError, match="weights = 'some' is not offered; allowed: corrective, none"):
        run(whole, "stacked", options={"weights": "some"})


def test_the_default_window_is_the_widest_that_every_cohort_fills(whole):
    settings = run(whole, "stacked").settings
    assert (settings["kappa_pre"], settings["kappa_post"], settings["n_stacks"]) == (2, 0, 3)


def test_covariates_without_variation_among_those_compared_are_refused():
    frame = two_cohorts()
    frame = frame.assign(x=frame["unit"].eq("a") * 1.0 + frame["unit"].eq("b") * 0.5)
    with pytest.raises(EstimationError, match=r"vary too little among the units compared with|nothing is left"):
        run(frame, "extended_twfe", covariates=("x",), comparison="never")


def test_averages_of_cells_weigh_as_they_say(mpdta):
    result = run(mpdta, "extended_twfe")
    table = pd.DataFrame([(t.cohort, t.time, t.estimate, t.n_treated) for t in result.group_time], columns=list("gtyn"))
    by_group = table.groupby("g").agg(y=("y", "mean"), n=("n", "first"))
    by_time = table.assign(w=table["y"] * table["n"]).groupby("t")[["w", "n"]].sum()
    event = table.assign(t=table["t"] - table["g"], w=table["y"] * table["n"]).groupby("t")[["w", "n"]].sum()
    expected = {
        "simple": table["y"] @ table["n"] / table["n"].sum(),
        "group": by_group["y"] @ by_group["n"] / by_group["n"].sum(),
        "calendar": (by_time["w"] / by_time["n"]).mean(),
        "dynamic": (event["w"] / event["n"]).mean(),
    }
    for by, value in expected.items():
        assert run(mpdta, "extended_twfe", options={"aggregation": by}).estimate == pytest.approx(value, rel=1e-12)
    assert set(expected) == set(cells.AGGREGATIONS)


def test_a_single_cluster_leaves_the_error_undefined(whole):
    for name in ALL:
        result = run(whole.assign(cluster="one"), name)
        assert np.isfinite(result.estimate)
        assert np.isnan(result.std_error)
        assert np.isnan(result.p_value)
