"""The imputation estimator: by hand, by dense matrices, against R and diff-diff, and in planted worlds."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from conftest import effect_at, world

from wwc_research.design.sample import Sample
from wwc_research.errors import EstimationError, InputError
from wwc_research.estimators import Estimate, imputation, linear

REFERENCE = pd.read_csv(Path(__file__).parents[1] / "figures" / "reference_numbers.csv").query(
    "dataset == 'mpdta' and estimator == 'BJS imputation' and estimate.notna()"
)
AGGREGATIONS = ("simple", "group", "calendar", "dynamic")


def run(frame: pd.DataFrame, *, options: dict | None = None, **settings) -> Estimate:
    return imputation.estimate(Sample(frame=frame, **settings), **(options or {}))


def terms(result: Estimate) -> dict[int, tuple[float, float]]:
    return {term.event_time: (term.estimate, term.std_error) for term in result.event_study}


@pytest.fixture(scope="module")
def exact() -> pd.DataFrame:
    return world(seed=2, noise=0.0)


@pytest.fixture
def by_hand() -> pd.DataFrame:
    """Changes of 4 and 8 among the never exposed, 10 in the exposed: effect 4, standard error 4 / (2 root 2)."""
    return pd.DataFrame(
        {
            "unit": np.repeat(["m", "n", "x"], 3),
            "time": np.tile([1, 2, 3], 3),
            "outcome": [1.0, 3, 6, 0, 2, 9, 2, 4, 13],
            "cohort": np.repeat([np.nan, np.nan, 3.0], 3),
            "cluster": np.repeat(["m", "n", "x"], 3),
            "weight": 1.0,
        }
    )


def test_an_effect_worked_by_hand(by_hand):
    result = run(by_hand)
    assert result.estimate == pytest.approx(4, abs=1e-12)
    assert result.std_error == pytest.approx(np.sqrt(2), abs=1e-12)
    assert result.settings["warnings"] == ["cohort 3 has 1 cluster: its standard errors are too small."]
    assert [(t.cohort, t.time, t.n_treated, t.n_comparison) for t in result.group_time] == [(3, 3, 1, 2)]


@pytest.mark.parametrize(
    "row",
    [pytest.param(row, id=row.spec) for row in REFERENCE.itertuples() if not row.spec.startswith("hand")],
)
def test_rs_didimputation_without_the_cohort_that_it_drops(mpdta, row):
    result = run(mpdta[mpdta["cohort"] != 2004], options={"leads": 2})
    found = (result.estimate, result.std_error)
    if row.spec.startswith("event"):
        found = terms(result)[int(row.spec.removeprefix("event "))]
    assert found == pytest.approx((row.estimate, row.std_error), rel=1e-6)


@pytest.mark.parametrize(
    "row", [pytest.param(row, id=row.spec) for row in REFERENCE.itertuples() if row.spec.startswith("hand")]
)
def test_imputation_by_hand_in_r_with_every_cohort(mpdta, row):
    result = run(mpdta)
    found = result.estimate
    if "event" in row.spec:
        found = terms(result)[int(row.spec.removeprefix("hand imputation event "))][0]
    assert found == pytest.approx(row.estimate, rel=1e-6)


# ImputationDiD(cluster=..., leave_one_out=...) of diff-diff 3.13.0 on the same frames; its leave-one-out standard
# error is Borusyak, Jaravel and Spiess' appendix A.9: (frame, covariate, cluster, kind, estimate, standard error)
DIFF_DIFF = [
    ("mpdta", (), "unit", "bjs", -0.04770991827781891, 0.013222488650016436),
    ("mpdta", (), "unit", "bjs_leave_out", -0.04770991827781891, 0.013469090063466653),
    ("whole", (), "unit", "bjs", 1.6153048421367897, 0.16990609245897076),
    ("whole", (), "cluster", "bjs", 1.6153048421367897, 0.2183644660421484),
    ("whole", (), "cluster", "bjs_leave_out", 1.6153048421367897, 0.22591079700240177),
    ("whole", ("size",), "cluster", "bjs", 1.6288347362125573, 0.2230466048376127),
    ("holes", (), "cluster", "bjs", 1.6429597096802298, 0.2482762726820203),
    ("holes", (), "unit", "bjs_leave_out", 1.6429597096802298, 0.21984247745763769),
    ("holes", ("size",), "cluster", "bjs", 1.6604428818227412, 0.25705524218085873),
    ("holes", ("size",), "cluster", "bjs_leave_out", 1.6604428818227412, 0.27061833956954556),
]


@pytest.mark.parametrize(("name", "covariates", "cluster", "kind", "estimate", "std_error"), DIFF_DIFF)
def test_diff_diff_agrees(mpdta, staggered, name, covariates, cluster, kind, estimate, std_error):
    holes = staggered.sample(frac=0.85, random_state=4)
    frame = {"mpdta": mpdta, "whole": staggered, "holes": holes}[name]
    result = run(frame.assign(cluster=frame[cluster]), covariates=covariates, options={"std_errors": kind})
    assert result.estimate == pytest.approx(estimate, rel=1e-8)
    assert result.std_error == pytest.approx(std_error, rel=1e-8)


def dense(frame: pd.DataFrame, share: np.ndarray, *, anticipation: int, leave_out: bool) -> tuple[float, float]:
    """The paper's formulas with all dummies written out; `share` is the weight of each row in the estimand."""
    frame = frame.assign(cohort=frame["cohort"].fillna(np.inf))
    clean = (frame["time"] < frame["cohort"] - anticipation).to_numpy()
    Z = np.column_stack([pd.get_dummies(frame[key]).to_numpy(float) for key in ("unit", "time")] + [frame["size"]])
    weight = frame["weight"].to_numpy()
    inverse = np.linalg.pinv(Z[clean].T @ (Z[clean] * weight[clean, None]), rcond=1e-12)
    y = frame["outcome"].to_numpy()
    gap = y - Z @ (inverse @ (Z[clean].T @ (weight * y)[clean]))
    v = np.where(clean, -weight * (Z @ (inverse @ (Z.T @ share))), share)
    error = gap.copy()
    for _, cell in frame[share > 0].groupby(["cohort", "time"]):
        codes = pd.factorize(cell["cluster"])[0]
        of_cluster = np.eye(codes.max() + 1)[codes]
        v_sum, vt_sum = of_cluster.T @ v[cell.index], of_cluster.T @ (v * gap)[cell.index]
        counted = 1 - np.eye(len(v_sum)) if leave_out else np.ones((len(v_sum), len(v_sum)))
        error[cell.index] -= of_cluster @ ((counted @ (v_sum * vt_sum)) / (counted @ v_sum**2))
    scores = pd.Series(v * error).groupby(frame["cluster"].to_numpy()).sum()
    return float(v @ y), float(np.sqrt((scores**2).sum()))


def shares(frame: pd.DataFrame, by: str) -> np.ndarray:
    """Weight of each row in the estimand, written down from its definition."""
    after = frame["time"] >= frame["cohort"].fillna(np.inf)
    weight = frame["weight"].where(after, 0.0)
    if by == "simple":
        return (weight / weight.sum()).to_numpy()
    if by == "group":
        first = frame.groupby("unit").head(1)
        size = first[first["unit"].isin(frame["unit"][after])].groupby("cohort")["weight"].sum()
        in_cell = weight / weight.groupby([frame["cohort"], frame["time"]]).transform("sum")
        n_times = frame["time"].where(after).groupby(frame["cohort"]).transform("nunique")
        return (in_cell / n_times * frame["cohort"].map(size / size.sum())).fillna(0.0).to_numpy()
    label = frame["time"] if by == "calendar" else frame["time"] - frame["cohort"]
    return (weight / weight.groupby(label).transform("sum") / label[after].nunique()).fillna(0.0).to_numpy()


@pytest.mark.parametrize("by", AGGREGATIONS)
@pytest.mark.parametrize("kind", ["bjs", "bjs_leave_out"])
@pytest.mark.parametrize("anticipation", [0, 1])
def test_matrices_written_out_agree_for_every_average(staggered, by, kind, anticipation):
    """Holes, weights that change over time, a covariate, clusters above units."""
    part = staggered[staggered["cluster"] < "c14"].sample(frac=0.9, random_state=1)
    frame = part.sort_values(["unit", "time"], ignore_index=True)
    weight = 0.5 + np.random.default_rng(3).random(len(frame))
    # every unit is seen before its exposure, so that no row is lost
    seen = frame["time"].lt(frame["cohort"].fillna(np.inf) - anticipation).groupby(frame["unit"]).transform("any")
    frame = frame.assign(weight=weight)[seen].reset_index(drop=True)
    expected = dense(frame, shares(frame, by), anticipation=anticipation, leave_out=kind == "bjs_leave_out")
    result = run(
        frame, covariates=("size",), anticipation=anticipation, options={"aggregation": by, "std_errors": kind}
    )
    assert (result.estimate, result.std_error) == pytest.approx(expected, rel=1e-9)


def test_leads_are_the_regression_on_untreated_rows(staggered):
    result = run(staggered, covariates=("size",), options={"leads": 3})
    frame = staggered[staggered["time"] < staggered["cohort"].fillna(9999)]
    unit, time, cluster = (pd.factorize(frame[key], sort=True)[0] for key in ("unit", "time", "cluster"))
    event_time = (frame["time"] - frame["cohort"]).to_numpy()
    fit = linear.fit(
        frame["outcome"].to_numpy(),
        np.column_stack([*(event_time == at for at in (-3, -2, -1)), frame["size"]]).astype(float),
        effects=(unit, time),
        errors=linear.ErrorModel(clusters=(cluster,)),
    )
    leads = [term for term in result.event_study if term.event_time < 0]
    assert [term.event_time for term in leads] == [-3, -2, -1]
    assert [term.estimate for term in leads] == pytest.approx(list(fit.coefficients[:3]), rel=1e-9)
    assert [term.std_error for term in leads] == pytest.approx(list(fit.std_errors[:3]), rel=1e-9)
    assert {term.df for term in leads} == {29.0}
    wald = linear.wald_statistic(fit.coefficients[:3], fit.covariance[:3, :3])
    assert (result.pre_trend_statistic, result.pre_trend_restrictions) == pytest.approx(wald, rel=1e-9)


def test_leads_are_as_many_as_can_be_told_apart_and_at_most_five(staggered, mpdta):
    assert run(staggered).settings["leads"] == [-5, -4, -3, -2, -1]
    assert run(mpdta).settings["leads"] == [-3, -2, -1]  # four years before 2007, one of them the base
    none = run(mpdta, options={"leads": 0})
    assert min(terms(none)) == 0
    assert np.isnan(none.pre_trend_statistic)
    assert none.pre_trend_restrictions == 0
    with pytest.raises(EstimationError, match="leads = 4, but only 3 can be told apart"):
        run(mpdta, options={"leads": 4})
    with pytest.raises(InputError, match="leads = -1; it is a number of periods"):
        run(mpdta, options={"leads": -1})


def test_a_cohort_with_two_years_before_it_has_one_lead(by_hand):
    assert run(by_hand).settings["leads"] == [-1]


def test_outcomes_after_exposure_move_no_lead(staggered):
    exposed = staggered["time"] >= staggered["cohort"]
    other = run(staggered.assign(outcome=staggered["outcome"] + 9 * exposed))
    before = [term for term in run(staggered).event_study if term.event_time < 0]
    assert [term for term in other.event_study if term.event_time < 0] == before


def test_planted_effects_are_found_exactly_across_a_missing_wave(exact):
    result = run(exact)
    for term in result.event_study:
        assert term.estimate == pytest.approx(float(effect_at(np.array(term.event_time))), abs=1e-9)
    assert [t.event_time for t in result.event_study] == [-5, -4, -3, -2, -1, 0, 1, 2, 3, 4]
    found = {(t.cohort, t.time): t.estimate for t in result.group_time}
    assert set(found) == {(g, t) for g in (2018, 2020, 2022) for t in (2018, 2019, 2021, 2022) if t >= g}
    for (cohort, time), value in found.items():
        assert value == pytest.approx(float(effect_at(np.array(time - cohort))), abs=1e-9)


def test_rows_in_the_anticipation_window_are_shown_and_neither_fitted_nor_averaged(exact):
    exact = exact[exact["cohort"] != 2018]  # which has nothing before its window
    early = exact["time"].sub(exact["cohort"]).isin([-2, -1])
    frame = exact.assign(outcome=exact["outcome"] + 0.7 * early)
    assert abs(terms(run(frame))[2][0] - 2.0) > 0.1
    careful = run(frame, anticipation=2)
    assert careful.estimate == pytest.approx(run(exact).estimate, abs=1e-9)
    for event_time, (value, _) in terms(careful).items():
        planted = float(effect_at(np.array(event_time))) + 0.7 * (event_time in (-2, -1))
        assert value == pytest.approx(planted, abs=1e-9)
    assert careful.settings["leads"] == [-5, -4, -3]  # event time -6 is the base


def test_a_cohort_with_a_single_untreated_year_is_kept(mpdta):
    result = run(mpdta)
    assert result.n_treated == 20 + 40 + 131
    assert {t.cohort: t.n_treated for t in result.group_time}[2004] == 20
    assert result.exclusions == ()


def test_exposed_rows_at_times_when_nobody_is_untreated_are_counted_out(staggered):
    frame = staggered[staggered["cohort"].notna()]
    result = run(frame)
    (left_out,) = result.exclusions
    assert (left_out.rows, left_out.units) == (45, 45)  # 2022, when the last cohort is exposed too
    assert left_out.reason == "no untreated outcome at that time to compare with"
    kept = frame.assign(cohort=frame["cohort"].where(frame["cohort"] < 2022))
    assert result.estimate == pytest.approx(run(kept[kept["time"] < 2022]).estimate, rel=1e-12)


def test_units_that_no_untreated_row_links_are_not_compared(by_hand):
    """The exposed unit is seen untreated in years when nobody else is seen."""
    apart = by_hand[~((by_hand["unit"] != "x") & (by_hand["time"] < 3))]
    later = apart.assign(time=apart["time"] + (apart["unit"] != "x"))
    frame = pd.concat([apart, later[later["unit"] != "x"]])
    with pytest.raises(EstimationError, match="no exposed row has an untreated outcome at the same time"):
        run(frame)


def test_a_unit_that_moves_between_clusters_is_refused(staggered):
    moved = staggered.assign(cluster=staggered["cluster"].mask(staggered["time"] == 2022, "c99"))
    with pytest.raises(InputError, match="90 units change their cluster over time; imputation needs"):
        run(moved)


def test_a_single_cluster_has_no_effect_of_others_to_be_held_against(staggered):
    alone = staggered["cohort"].eq(2020) & staggered["unit"].ne("u001")
    frame = staggered[~alone].assign(cluster=staggered["unit"])
    plain, left_out = (run(frame, options={"std_errors": kind}) for kind in ("bjs", "bjs_leave_out"))
    assert np.isfinite(plain.std_error)
    assert np.isnan(left_out.std_error)
    errors = {(t.cohort, t.time): t.std_error for t in left_out.group_time}
    assert {cohort for (cohort, _), error in errors.items() if np.isnan(error)} == {2020}
    assert left_out.settings["warnings"] == [
        "cohort 2020 has 1 cluster: averages that hold it have no leave-out standard error."
    ]


def test_a_covariate_that_the_effects_explain_is_dropped_and_named(staggered):
    fixed = staggered.assign(area=staggered["unit"].str[-1].astype(float))
    result = run(fixed, covariates=("area", "size"))
    assert result.settings["dropped_covariates"] == ["area"]
    assert result.estimate == pytest.approx(run(staggered, covariates=("size",)).estimate, rel=1e-10)


def test_leaving_the_own_cluster_out_widens_the_standard_error(staggered):
    plain, left_out = (run(staggered, options={"std_errors": kind}) for kind in ("bjs", "bjs_leave_out"))
    for one, other in zip(plain.group_time, left_out.group_time, strict=True):
        assert other.std_error > one.std_error


def panel(generator: np.random.Generator, *, units: int, sizes: tuple[int, ...]) -> pd.DataFrame:
    """Years 2010-24 without 2020, cohorts 2017, 2018, 2019 and 2021, serially correlated noise, effect 0.5."""
    years = np.delete(np.arange(2010, 2025), 10)
    cohort = np.repeat([2017.0, 2018.0, 2019.0, 2021.0, np.nan], [*sizes, units - sum(sizes)])
    noise = generator.normal(size=(units, 15))
    for year in range(1, 15):
        noise[:, year] += 0.4 * noise[:, year - 1]
    exposed = years >= np.nan_to_num(cohort, nan=9999.0)[:, None]
    outcome = generator.normal(size=(units, 1)) + generator.normal(size=14) + np.delete(noise, 10, axis=1)
    unit = np.repeat(np.char.zfill(np.arange(units).astype(str), 4), 14)
    return pd.DataFrame(
        {
            "unit": unit,
            "time": np.tile(years, units),
            "outcome": (outcome + 0.5 * exposed).ravel(),
            "cohort": np.repeat(cohort, 14),
            "cluster": unit,
            "weight": 1.0,
        }
    )


def test_intervals_hold_the_planted_effect_about_as_often_as_they_say():
    """Cohorts of 9, 4, 6 and 27 units of 300: 1,000 worlds give 92.8 %, and 94.7 % with `bjs_leave_out`."""
    generator = np.random.default_rng(11)
    hits = []
    for _ in range(100):
        low, high = run(panel(generator, units=300, sizes=(9, 4, 6, 27)), options={"leads": 0}).ci
        hits.append(low <= 0.5 <= high)
    assert 0.86 <= np.mean(hits) <= 0.98
