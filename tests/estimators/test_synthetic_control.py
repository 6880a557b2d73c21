"""Synthetic control: outside numbers, planted truths, laws, and the youth figures of Louisville's peer counties."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from wwc_research import catalog
from wwc_research.design.design import Design
from wwc_research.design.sample import Sample
from wwc_research.errors import EstimationError, InputError
from wwc_research.estimators import estimate, synthetic_weights
from wwc_research.estimators.synthetic_control import Predictor, SyntheticControl, synthetic_controls

FIGURES = Path(__file__).parents[1] / "figures"


def long(table: pd.DataFrame, cohorts: dict[str, float]) -> pd.DataFrame:
    """Units in columns, times in the index, as the frame of a sample."""
    frame = (
        table.rename_axis(index="time").melt(ignore_index=False, var_name="unit", value_name="outcome").reset_index()
    )
    return frame.assign(cohort=frame["unit"].map(cohorts).astype(float), cluster=frame["unit"], weight=1.0)


@pytest.fixture(scope="module")
def california() -> pd.DataFrame:
    table = pd.read_csv(FIGURES / "proposition99.csv", index_col="state").T
    table.index = table.index.astype(int)
    return long(table, {"California": 1989.0})


@pytest.fixture(scope="module")
def past(california) -> tuple[np.ndarray, np.ndarray]:
    wide = california[california["time"] < 1989].pivot(index="time", columns="unit", values="outcome")
    return wide["California"].to_numpy(), wide.drop(columns="California").to_numpy()


def world(*, seed: int, effect: float = 0.0, donors: int = 12, times: int = 16, first: int = 10) -> pd.DataFrame:
    """Units of two factors, the first one exposed and inside the mixes of the others."""
    generator = np.random.default_rng(seed)
    loading = generator.uniform(0, 1, size=(2, donors + 1))
    loading[:, 0] = loading[:, 1:].mean(axis=1)
    paths = np.cumsum(generator.normal(size=(times, 2)), axis=0) @ loading * 2
    paths = paths + 0.1 * generator.normal(size=paths.shape)
    paths[first:, 0] += effect
    return long(pd.DataFrame(paths, columns=[f"u{n:02d}" for n in range(donors + 1)]), {"u00": float(first)})


def only(frame: pd.DataFrame, **options) -> SyntheticControl:
    return synthetic_controls(Sample(frame=frame), **options)[0]


def test_a_half_and_half_mix_by_hand():
    table = pd.DataFrame({"a": [1.0, 2, 3, 8], "b": [0.0, 2, 2, 4], "c": [2.0, 2, 4, 2]}, index=[1, 2, 3, 4])
    one = only(long(table, {"a": 4.0}))
    assert dict(one.weights) == pytest.approx({"b": 0.5, "c": 0.5})
    assert one.gaps == pytest.approx((0, 0, 0, 5), abs=1e-9)
    assert one.effect == pytest.approx(5)
    # b mimicked by c alone misses by (-2, 0, -2) before and 2 after; c by b the same with the other sign
    assert [p.ratio for p in one.placebos] == pytest.approx([2 / np.sqrt(8 / 3)] * 2)
    assert [p.effect for p in one.placebos] == pytest.approx([2, -2])
    assert one.std_error == pytest.approx(2)
    assert one.ratio_p_value == one.effect_p_value == pytest.approx(1 / 3)


def test_weights_and_effect_on_proposition_99_are_those_of_pysyncon(california):
    one = only(california)
    # pysyncon 1.7.0, all outcomes 1970-88 as predictors of equal importance; its solver stops at 1e-5
    wanted = {
        "Utah": 0.39391,
        "Montana": 0.23185,
        "Nevada": 0.20492,
        "Connecticut": 0.10909,
        "New Hampshire": 0.04543,
        "Colorado": 0.01481,
    }
    assert {unit: weight for unit, weight in one.weights if weight > 1e-9} == pytest.approx(wanted, abs=1e-5)
    assert one.effect == pytest.approx(-19.51367, abs=1e-4)
    assert len(one.placebos) == 38
    assert one.ratio_p_value == pytest.approx(3 / 39)
    assert one.in_time is not None
    assert one.in_time.exposed_from == 1979
    assert [unit for unit, _ in one.leave_one_out] == sorted(wanted)


def test_the_ridge_augmented_variant_is_that_of_pysyncon(california, past):
    own, donors = past
    plain = synthetic_weights.outcome_weigher()(own, donors)
    after = california[california["time"] >= 1989].pivot(index="time", columns="unit", values="outcome")
    # pysyncon 1.7.0, AugSynth without covariates, at given ridges
    for ridge, value in ((1e3, -16.755874558503013), (1e5, -19.22000743292706)):
        weights = synthetic_weights.ridge_augmented(own, donors, weights=plain, ridge=ridge)
        assert weights.sum() == pytest.approx(1)
        gap = after["California"] - after.drop(columns="California") @ weights
        assert gap.mean() == pytest.approx(value, abs=1e-4)
    one = only(california, method="ridge")
    assert one.ridge == pytest.approx(429.83758110859065, rel=1e-6)
    assert one.effect == pytest.approx(-15.952603, abs=1e-4)
    assert one.pre_rmspe < only(california).pre_rmspe


def test_a_vast_ridge_leaves_the_simplex_weights_and_none_fits_the_past_exactly(past):
    own, donors = past
    plain = synthetic_weights.outcome_weigher()(own, donors)
    vast = synthetic_weights.ridge_augmented(own, donors, weights=plain, ridge=1e14)
    np.testing.assert_allclose(vast, plain, atol=1e-6)
    tiny = synthetic_weights.ridge_augmented(own, donors, weights=plain, ridge=1e-9)
    np.testing.assert_allclose(donors @ tiny, own, atol=1e-5)


def test_importance_of_predictors_fits_the_past_at_least_as_well_as_pysyncon(california):
    predictors = [Predictor(column="outcome", times=tuple(range(1970, 1989)))]
    predictors += [Predictor(column="outcome", times=(year,)) for year in (1975, 1980, 1988)]
    one = only(california, predictors=predictors)
    # pysyncon 1.7.0, Synth with the same four predictors, Nelder-Mead: mean squared gap 1970-88
    assert one.pre_rmspe**2 <= 8.91395783040773 + 1e-6
    assert sum(row["importance"] for row in one.predictors) == pytest.approx(1)
    assert one.predictors[0]["name"] == "outcome 1970-1988"
    assert one.predictors[3]["exposed"] == pytest.approx(90.1)


# Abadie, Diamond and Hainmueller (2010), table 2
PUBLISHED = {"Utah": 0.334, "Nevada": 0.234, "Montana": 0.199, "Colorado": 0.164, "Connecticut": 0.069}


@pytest.fixture(scope="module")
def synthetic_california(california) -> SyntheticControl:
    """From the seven predictors of the paper; means over the past are columns that do not change."""
    means = pd.read_csv(FIGURES / "proposition99_predictors.csv", index_col="state")
    predictors = [Predictor(column=name, times=(1988,)) for name in means]
    predictors += [Predictor(column="outcome", times=(year,)) for year in (1975, 1980, 1988)]
    return only(california.join(means, on="unit"), predictors=predictors)


def test_the_published_weights_of_synthetic_california_are_found_to_half_a_hundredth(synthetic_california):
    # many importances of predictors fit the past all but equally well: the weights are no sharper than this
    weights = dict(synthetic_california.weights)
    assert [unit for unit, _ in synthetic_california.weights][:5] == list(PUBLISHED)
    assert {unit: weights[unit] for unit in PUBLISHED} == pytest.approx(PUBLISHED, abs=0.005)
    assert 1 - sum(weights[unit] for unit in PUBLISHED) < 0.005
    # the largest ratio of all 39 states, as in the paper: 1 / 39 = 0.026
    assert synthetic_california.ratio_p_value == pytest.approx(1 / 39)


def test_synthetic_california_has_the_published_predictor_means(synthetic_california):
    told = {row["name"]: row["synthetic"] for row in synthetic_california.predictors}
    # table 1; it prints a youth share of 17.40 for California too, whose figures give 17.35
    assert told["log_income 1988"] == pytest.approx(9.86, abs=0.005)
    assert told["share_aged_15_24 1988"] == pytest.approx(0.1740, abs=0.0006)
    assert told["retail_price_cents 1988"] == pytest.approx(89.41, abs=0.03)
    assert told["beer_gallons 1988"] == pytest.approx(24.20, abs=0.03)
    for year, packs in ((1988, 91.62), (1980, 120.43), (1975, 126.99)):
        assert told[f"outcome {year}"] == pytest.approx(packs, abs=0.1)


def test_synthetic_california_follows_the_past_no_worse_than_the_published_weights(california, synthetic_california):
    wide = california[california["time"] < 1989].pivot(index="time", columns="unit", values="outcome")
    gaps = wide["California"] - wide[list(PUBLISHED)] @ pd.Series(PUBLISHED)
    theirs = float(np.sqrt((gaps**2).mean()))
    assert theirs == pytest.approx(1.757612, abs=1e-6)
    assert synthetic_california.pre_rmspe <= theirs


def test_covariates_of_the_sample_are_matched_on_their_past_means():
    frame = world(seed=3)
    size = frame["unit"].map({unit: float(n % 5) for n, unit in enumerate(frame["unit"].unique())})
    frame = frame.assign(size=size + frame["time"] / 10)
    one = synthetic_controls(Sample(frame=frame, covariates=("size",)))[0]
    assert [row["name"] for row in one.predictors] == ["size 0-9", "outcome 0", "outcome 4", "outcome 9"]
    result = estimate(Sample(frame=frame, covariates=("size",)), "synthetic_control")
    assert result.estimate == pytest.approx(one.effect)


def test_a_planted_effect_is_found_and_its_placebo_rank_is_first():
    one = only(world(seed=1, effect=4.0))
    assert one.effect == pytest.approx(4, abs=0.4)
    assert one.ratio_p_value == one.effect_p_value == pytest.approx(1 / 13)
    assert one.in_time is not None
    assert abs(one.in_time.effect) < 0.5


def test_the_placebo_test_keeps_its_size_where_nothing_happens():
    generator = np.random.default_rng(5)
    p_values, effects = [], []
    for _ in range(70):
        paths = np.cumsum(generator.normal(size=(12, 10)), axis=0)
        one = only(long(pd.DataFrame(paths, columns=list("abcdefghij")), {"a": 8.0}))
        p_values.append(one.ratio_p_value)
        effects.append(one.effect_p_value)
    for values in (p_values, effects):
        # 70 draws of a rank among 10: 7 at 0.1, standard deviation 2.5
        assert np.sum(np.array(values) <= 0.1001) <= 15
        assert 0.4 < np.mean(values) < 0.7


def as_numbers(one: SyntheticControl) -> np.ndarray:
    placebos = [value for p in sorted(one.placebos, key=lambda p: p.effect) for value in (p.effect, p.pre_rmspe)]
    return np.array([one.effect, one.pre_rmspe, one.post_rmspe, one.std_error, *one.gaps, *placebos])


@pytest.mark.parametrize("method", ["classic", "ridge"])
def test_shift_scale_order_names_and_calendar_do_what_they_must(method):
    frame = world(seed=2, effect=1.0)
    before = frame.copy(deep=True)
    one = only(frame, method=method)
    moved = frame.assign(outcome=frame["outcome"] + 500, time=frame["time"] + 2000, cohort=frame["cohort"] + 2000)
    np.testing.assert_allclose(as_numbers(only(moved, method=method)), as_numbers(one), atol=1e-6)
    scaled = only(frame.assign(outcome=20 * frame["outcome"]), method=method)
    np.testing.assert_allclose(as_numbers(scaled), 20 * as_numbers(one), rtol=1e-6, atol=1e-6)
    flipped = only(frame.assign(outcome=-frame["outcome"]), method=method)
    assert flipped.effect == pytest.approx(-one.effect, abs=1e-8)
    assert flipped.ratio_p_value == one.ratio_p_value
    shuffled = only(frame.sample(frac=1, random_state=1), method=method)
    np.testing.assert_array_equal(as_numbers(shuffled), as_numbers(one))
    renamed = only(frame.assign(unit=frame["unit"].str[::-1]), method=method)
    np.testing.assert_allclose(as_numbers(renamed), as_numbers(one), atol=1e-6)
    pd.testing.assert_frame_equal(frame, before)


def test_a_common_shock_changes_no_gap_and_a_twin_donor_takes_half_the_weight_of_its_twin():
    frame = world(seed=2, effect=1.0)
    one = only(frame)
    shocked = only(frame.assign(outcome=frame["outcome"] + 9 * np.sin(frame["time"])))
    np.testing.assert_allclose(shocked.gaps, one.gaps, atol=1e-7)
    heaviest = one.weights[0][0]
    twin = frame[frame["unit"] == heaviest].assign(unit="zz", cluster="zz")
    both = only(pd.concat([frame, twin]))
    np.testing.assert_allclose(both.gaps, one.gaps, atol=1e-7)
    weights = dict(both.weights)
    assert weights[heaviest] + weights["zz"] == pytest.approx(one.weights[0][1], abs=1e-6)


def test_weights_are_a_mix_and_the_exposed_unit_is_never_its_own_donor():
    frame = world(seed=4)
    frame = frame.assign(cohort=frame["cohort"].mask(frame["unit"].eq("u01"), 12.0))
    for one in synthetic_controls(Sample(frame=frame)):
        donors = [unit for unit, _ in one.weights]
        assert not {"u00", "u01"} & {*donors, *(p.unit for p in one.placebos)}
        assert min(weight for _, weight in one.weights) >= 0
        assert sum(weight for _, weight in one.weights) == pytest.approx(1)


def test_several_exposed_units_are_averaged_and_each_is_reported():
    frame = world(seed=4, effect=2.0)
    frame = frame.assign(cohort=frame["cohort"].mask(frame["unit"].eq("u01"), 12.0))
    each = synthetic_controls(Sample(frame=frame))
    result = estimate(Sample(frame=frame), "synthetic_control", draws=200)
    assert result.estimate == pytest.approx(np.mean([one.effect for one in each]))
    assert result.n_treated == 2
    assert [unit["label"] for unit in result.settings["units"]] == ["u00", "u01"]
    assert result.std_error < max(one.std_error for one in each)
    terms = {term.event_time: term.estimate for term in result.event_study}
    gaps = [dict(zip(np.array(one.times) - one.exposed_from, one.gaps, strict=True)) for one in each]
    assert terms[0] == pytest.approx((gaps[0][0] + gaps[1][0]) / 2)
    assert terms[5] == pytest.approx(gaps[0][5])


def test_a_missing_wave_costs_nothing_and_incomplete_donors_are_counted_out():
    frame = world(seed=6, effect=3.0)
    whole_wave = frame["time"].eq(6)
    assert only(frame[~whole_wave]).exclusions == ()
    hole = frame["unit"].eq("u03") & frame["time"].eq(2)
    one = only(frame[~hole])
    assert [(e.rows, e.units) for e in one.exclusions] == [(15, 1)]
    assert "u03" not in dict(one.weights)
    result = estimate(Sample(frame=frame[~hole]), "synthetic_control")
    assert result.n_units == 12
    assert [(e.rows, e.units) for e in result.exclusions] == [(15, 1)]


def test_exposed_units_without_a_past_are_counted_out_and_named_when_asked_for():
    frame = world(seed=6)
    frame = frame.assign(cohort=frame["cohort"].mask(frame["unit"].eq("u05"), 1.0))
    result = estimate(Sample(frame=frame), "synthetic_control")
    assert [(e.reason, e.rows) for e in result.exclusions] == [("exposed, but has 1 wave before exposure", 16)]
    with pytest.raises(EstimationError, match="u05 has 1 wave before exposure"):
        synthetic_controls(Sample(frame=frame), units=["u05"])


def test_what_cannot_be_answered_says_why(california):
    sample = Sample(frame=california)
    with pytest.raises(InputError, match="allowed: classic and ridge"):
        synthetic_controls(sample, method="bayes")
    with pytest.raises(InputError, match=r"'Utah' is not exposed .* exposed are California"):
        synthetic_controls(sample, units=["Utah"])
    with pytest.raises(InputError, match="takes times from exposure on"):
        synthetic_controls(sample, predictors=[Predictor(column="outcome", times=(1990,))])
    with pytest.raises(InputError, match="is no column of the sample"):
        synthetic_controls(sample, predictors=[Predictor(column="beer", times=(1980,))])
    with pytest.raises(InputError, match="fake exposure 1995 leaves"):
        synthetic_controls(sample, fake_exposures={"California": 1995})
    with pytest.raises(InputError, match="takes no sample weights"):
        estimate(Sample(frame=california.assign(weight=california["time"] * 1.0)), "synthetic_control")
    with pytest.raises(EstimationError, match="nobody is exposed in sight"):
        estimate(Sample(frame=california.assign(cohort=np.nan)), "synthetic_control")


def test_plain_values_for_evidence_hold_every_series(california):
    values = only(california).as_dict()
    assert len(values["series"]) == 31
    assert {len(placebo["gaps"]) for placebo in values["placebos"]} == {31}
    row = values["series"][-1]
    assert row["exposed"] - row["synthetic"] == pytest.approx(row["gap"])
    assert "series" not in only(california).as_dict(with_series=False)


def test_youth_donors_are_neither_certified_by_then_nor_certified_without_a_date(panel):
    plan = catalog.plan().analyses["youth_neet"]
    design = Design(outcome=catalog.outcome("youth_neet"), treatment=catalog.treatment("certification"), analysis=plan)
    sample = design.sample(panel)
    found = synthetic_controls(sample)
    assert {(one.label, one.exposed_from) for one in found} == {
        ("Jefferson County, KY", 2018),
        ("Jackson County, MO", 2018),
        ("Shelby County, TN", 2019),
    }
    places = panel.frame.drop_duplicates("place_id")
    certified = places["certification_cohort"].le(plan.window[1]) | places["certification_is_undated"].astype(bool)
    barred = set(places.loc[certified, "county_id"])
    charlotte = places.loc[places["label"].eq("Charlotte, NC"), "county_id"].iloc[0]
    assert charlotte in barred
    for one in found:
        assert not barred & set(one.donor_labels)
        assert len(one.placebos) == 14
        assert 1 / 15 <= one.ratio_p_value <= 1
        assert len(one.times) == 14


def test_the_placebo_in_time_can_be_drawn_like_the_one_in_space(california):
    from matplotlib import pyplot as plt

    from wwc_research.report import synthetic_plots

    rows = only(california).as_dict()["in_time"]
    gaps = [row["gap"] for row in rows["series"] if row["time"] >= rows["exposed_from"]]
    assert np.mean(gaps) == pytest.approx(rows["effect"])
    assert max(row["time"] for row in rows["series"]) == 1988
    assert len(rows["placebos"]) == 38
    axes = synthetic_plots.placebo_gaps(
        rows["series"], rows["placebos"], exposed_from=rows["exposed_from"], scale=1, unit="packs", name="California"
    )
    assert len(axes.get_lines()) == 2 + 38 + 1
    plt.close("all")
