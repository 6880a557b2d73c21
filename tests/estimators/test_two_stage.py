"""Two-stage differences in differences: by hand, by dense matrices, against did2s and diff-diff, and planted."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from conftest import effect_at, world

from wwc_research.design.sample import Sample
from wwc_research.errors import InputError
from wwc_research.estimators import Estimate, imputation, two_stage

REFERENCE = pd.read_csv(Path(__file__).parents[1] / "figures" / "reference_numbers.csv").query(
    "dataset == 'mpdta' and estimator == 'Gardner did2s'"
)


def run(frame: pd.DataFrame, *, options: dict | None = None, **settings) -> Estimate:
    return two_stage.estimate(Sample(frame=frame, **settings), **(options or {}))


@pytest.mark.parametrize("row", [pytest.param(row, id=row.spec) for row in REFERENCE.itertuples()])
def test_rs_did2s_agrees(mpdta, row):
    result = run(mpdta)
    found = {f"event rel::{t.event_time}": (t.estimate, t.std_error) for t in result.event_study}
    found["static cluster id"] = (result.estimate, result.std_error)
    assert found[row.spec] == pytest.approx((row.estimate, row.std_error), rel=1e-6)


# TwoStageDiD(cluster=...) of diff-diff 3.13.0 on the same frames: (holes, covariate, cluster, then the overall effect
# and that at event time 1, each with its standard error)
DIFF_DIFF = [
    (False, (), "unit", 1.61530484213679, 0.17371021529521596, 1.2977359047128538, 0.23040176504841586),
    (False, ("size",), "cluster", 1.6288347362125577, 0.22304660483759622, 1.3278377516832531, 0.2560814482344589),
    (True, (), "cluster", 1.6429597096802298, 0.2475870032329911, 1.3564551770068933, 0.2741721211328642),
    (True, ("size",), "unit", 1.6604428818227415, 0.2154538398944401, 1.401312587951839, 0.24527769907358496),
]


@pytest.mark.parametrize(("holes", "covariates", "cluster", "overall", "error", "later", "later_error"), DIFF_DIFF)
def test_diff_diff_agrees(staggered, holes, covariates, cluster, overall, error, later, later_error):
    frame = staggered.sample(frac=0.85, random_state=4) if holes else staggered
    result = run(frame.assign(cluster=frame[cluster]), covariates=covariates)
    (term,) = [term for term in result.event_study if term.event_time == 1]
    found = (result.estimate, result.std_error, term.estimate, term.std_error)
    assert found == pytest.approx((overall, error, later, later_error), rel=1e-8)


def test_an_effect_worked_by_hand():
    """Changes of 4 and 8 among the never exposed, 10 in the exposed: effect 4, standard error 4 / (2 root 2)."""
    unit = np.repeat(["m", "n", "x"], 3)
    frame = pd.DataFrame(
        {
            "unit": unit,
            "time": np.tile([1, 2, 3], 3),
            "outcome": [1.0, 3, 6, 0, 2, 9, 2, 4, 13],
            "cohort": np.repeat([np.nan, np.nan, 3.0], 3),
            "cluster": unit,
            "weight": 1.0,
        }
    )
    result = run(frame)
    assert (result.estimate, result.std_error) == pytest.approx((4, np.sqrt(2)), abs=1e-12)
    assert result.settings["warnings"] == ["1 exposed cluster: the standard error is too small."]


@pytest.mark.parametrize("anticipation", [0, 2])
def test_both_stages_written_out_as_matrices_agree(staggered, anticipation):
    """Gardner (2021), section 3, with weights that change over time, a covariate and clusters above units."""
    staggered = staggered[staggered["cohort"] != 2018]  # which has nothing before a window of two years
    weight = 0.5 + np.random.default_rng(3).random(len(staggered))
    frame = staggered.assign(weight=weight, cohort=staggered["cohort"].fillna(np.inf))
    clean = (frame["time"] < frame["cohort"] - anticipation).to_numpy()
    event_time = (frame["time"] - frame["cohort"]).to_numpy()
    at = np.unique(event_time[np.isfinite(event_time)])
    Z = np.column_stack([pd.get_dummies(frame[key]).to_numpy(float) for key in ("unit", "time")] + [frame["size"]])
    Z0, y, w = Z * clean[:, None], frame["outcome"].to_numpy(), weight[:, None]
    inverse = np.linalg.pinv(Z0.T @ (Z0 * w), rcond=1e-12)
    gap = y - Z @ (inverse @ (Z0.T @ (weight * y)))
    result = run(staggered.assign(weight=weight), covariates=("size",), anticipation=anticipation)
    found = {term.event_time: (term.estimate, term.std_error) for term in result.event_study}
    leads = at < -anticipation
    for indicators in ((event_time[:, None] == at).astype(float), (event_time[:, None] >= 0).astype(float)):
        bread = np.linalg.inv(indicators.T @ (indicators * w))
        coefficients = bread @ (indicators.T @ (weight * gap))
        moments = indicators * (w[:, 0] * (gap - indicators @ coefficients))[:, None]
        first = Z0 * (weight * gap * clean)[:, None] @ (inverse @ (Z.T @ (indicators * w)))
        scores = pd.DataFrame((moments - first) @ bread).groupby(frame["cluster"].to_numpy()).sum().to_numpy()
        errors = np.sqrt((scores**2).sum(axis=0))
        if indicators.shape[1] == 1:
            expected = (coefficients[0], errors[0])
            assert (result.estimate, result.std_error) == pytest.approx(expected, rel=1e-9)
        else:
            assert found == {
                int(event_time): pytest.approx(pair, rel=1e-7, abs=1e-12)
                for event_time, *pair in zip(at, coefficients, errors, strict=True)
            }
            covariance = scores[:, leads].T @ scores[:, leads]
            wald = coefficients[leads] @ np.linalg.pinv(covariance, rcond=1e-9, hermitian=True) @ coefficients[leads]
            assert result.pre_trend_statistic == pytest.approx(wald, rel=1e-6)


@pytest.mark.parametrize("aggregation", ["simple", "dynamic"])
@pytest.mark.parametrize("covariates", [(), ("size",)])
def test_estimates_after_exposure_are_those_of_imputation(staggered, aggregation, covariates):
    frame = staggered.sample(frac=0.9, random_state=1)
    sample = Sample(frame=frame, covariates=covariates)
    one = two_stage.estimate(sample, aggregation=aggregation)
    other = imputation.estimate(sample, aggregation=aggregation, leads=0)
    assert one.estimate == pytest.approx(other.estimate, rel=1e-10)
    after = [term for term in one.event_study if term.event_time >= 0]
    for mine, theirs in zip(after, other.event_study, strict=True):
        assert mine.estimate == pytest.approx(theirs.estimate, rel=1e-10)


def test_planted_effects_are_found_exactly_across_a_missing_wave():
    for term in run(world(seed=2, noise=0.0)).event_study:
        assert term.estimate == pytest.approx(float(effect_at(np.array(term.event_time))), abs=1e-9)


def test_rows_in_the_anticipation_window_are_shown_and_neither_fitted_nor_averaged():
    exact = world(seed=2, noise=0.0)
    exact = exact[exact["cohort"] != 2018]  # which has nothing before its window
    early = exact["time"].sub(exact["cohort"]).isin([-2, -1])
    careful = run(exact.assign(outcome=exact["outcome"] + 0.7 * early), anticipation=2)
    assert careful.estimate == pytest.approx(run(exact).estimate, abs=1e-9)
    for term in careful.event_study:
        planted = float(effect_at(np.array(term.event_time))) + 0.7 * (term.event_time in (-2, -1))
        assert term.estimate == pytest.approx(planted, abs=1e-9)


def test_a_unit_that_moves_between_clusters_is_refused(staggered):
    moved = staggered.assign(cluster=staggered["cluster"].mask(staggered["time"] == 2022, "c99"))
    with pytest.raises(InputError, match="90 units change their cluster over time; two_stage needs"):
        run(moved)


def test_intervals_hold_the_planted_effect_about_as_often_as_they_say():
    hits = []
    for seed in range(60):
        frame = world(seed=seed, noise=1.0)
        planted = effect_at((frame["time"] - frame["cohort"].fillna(9999)).to_numpy())
        low, high = run(frame).ci
        hits.append(low <= planted[planted > 0].mean() <= high)
    assert 0.85 <= np.mean(hits) <= 0.99
