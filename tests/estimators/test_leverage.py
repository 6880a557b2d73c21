"""Bias-reduced errors against explicit hat matrices, R's theorem about absorbed effects, and effective clusters."""

from __future__ import annotations

import numpy as np
import pytest

from wwc_research.errors import EstimationError
from wwc_research.estimators import linear
from wwc_research.estimators.leverage import effective_clusters
from wwc_research.estimators.linear import ErrorModel


@pytest.fixture
def panel() -> dict[str, np.ndarray]:
    """24 units, six periods with gaps, five units exposed late, one covariate, weights over a factor of 20."""
    generator = np.random.default_rng(1)
    unit, time = np.repeat(np.arange(24), 6), np.tile(np.arange(6), 24)
    keep = generator.random(144) > 0.15
    unit, time = unit[keep], time[keep]
    X = np.column_stack([(unit < 5) & (time >= 2), generator.normal(size=len(unit))]).astype(float)
    y = generator.normal(size=len(unit)) + X @ [1.0, 2.0] + unit
    return {"unit": unit, "time": time, "X": X, "y": y, "w": np.exp(generator.normal(size=len(unit)))}


def textbook(y, X, *, effects, cluster, w, contrast):
    """Covariance and Satterthwaite df with every matrix written out: all effects as dummies, N x N projections."""
    root = np.sqrt(w)
    design = np.column_stack([X, *[np.eye(effect.max() + 1)[effect] for effect in effects]]) * root[:, None]
    solve = np.linalg.pinv(design)
    annihilator = np.eye(len(y)) - design @ solve
    residuals = annihilator @ (y * root)
    covariance, columns = 0.0, []
    for number in range(cluster.max() + 1):
        rows = np.flatnonzero(cluster == number)
        values, vectors = np.linalg.eigh(annihilator[np.ix_(rows, rows)])
        kept = values > 1e-9
        adjusted = (solve[: X.shape[1], rows] @ vectors[:, kept] / np.sqrt(values[kept])) @ vectors[:, kept].T
        score = adjusted @ residuals[rows]
        covariance = covariance + np.outer(score, score)
        columns.append(annihilator[:, rows] @ adjusted.T @ contrast)
    gram = np.array(columns) @ np.array(columns).T
    return covariance, np.trace(gram) ** 2 / np.sum(gram**2)


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("effects", [("unit", "time"), ("unit",), ("time",)])
@pytest.mark.parametrize("units_a_cluster", [1, 3])
def test_cr2_and_its_degrees_of_freedom_are_those_of_explicit_hat_matrices(panel, weighted, effects, units_a_cluster):
    w = panel["w"] if weighted else np.ones(len(panel["y"]))
    cluster, absorbed = panel["unit"] // units_a_cluster, tuple(panel[name] for name in effects)
    contrast = np.array([1.0, 0.5])
    errors = ErrorModel(kind="cr2", clusters=(cluster,))
    fit = linear.fit(panel["y"], panel["X"], effects=absorbed, weights=w, errors=errors)
    covariance, df = textbook(panel["y"], panel["X"], effects=absorbed, cluster=cluster, w=w, contrast=contrast)
    np.testing.assert_allclose(fit.covariance, covariance, rtol=1e-9)
    assert fit.contrast_df(contrast) == pytest.approx(df, rel=1e-9)
    assert fit.df == pytest.approx(min(fit.contrast_df(row) for row in np.eye(2)))


def test_two_group_means_worked_by_hand():
    """Constant and a dummy, one row a cluster: CR2 is HC2, s1^2/n1 + s0^2/n0, the df Welch's at equal variances."""
    y, treated = np.array([1.0, 3.0, 2.0, 4.0, 9.0]), np.array([1.0, 1.0, 0, 0, 0])
    X = np.column_stack([treated, np.ones(5)])
    fit = linear.fit(y, X, errors=ErrorModel(kind="cr2", clusters=(np.arange(5),)))
    assert fit.coefficients[0] == pytest.approx(2.0 - 5.0)
    assert fit.covariance[0, 0] == pytest.approx(2.0 / 2 + 13.0 / 3)
    # variance estimate: chi2(1)/1 x 1/2 + chi2(2)/2 x 1/3, so df = (1/2 + 1/3)^2 / ((1/2)^2/1 + (1/3)^2/2)
    assert fit.contrast_df(np.array([1.0, 0.0])) == pytest.approx((5 / 6) ** 2 / (1 / 4 + 1 / 18))


def test_cr2_lies_between_cr1_without_factor_and_the_jackknife(panel):
    def error(kind):
        plain = ErrorModel(kind=kind, clusters=(panel["unit"],), adjust_parameters=False, adjust_clusters=False)
        effects = (panel["unit"], panel["time"])
        return linear.fit(panel["y"], panel["X"], effects=effects, errors=plain).std_errors[0]

    assert error("cluster") < error("cr2") < error("jackknife")


def test_a_coefficient_that_one_cluster_alone_tells_of_has_no_degrees_of_freedom(panel):
    """The treated cluster fits its own effect, so its noise is invisible; CR2 would be far too sure."""
    lone = (panel["unit"] == 3) & (panel["time"] > 3)
    X = np.column_stack([lone, panel["X"][:, 1]]).astype(float)
    errors = ErrorModel(kind="cr2", clusters=(panel["unit"],))
    fit = linear.fit(panel["y"], X, effects=(panel["unit"], panel["time"]), errors=errors)
    assert np.isnan(fit.contrast_df(np.array([1.0, 0.0])))
    assert np.isnan(fit.contrast_df(np.array([0.5, 0.5])))
    assert fit.contrast_df(np.array([0.0, 1.0])) == fit.df > 5


def test_one_cluster_has_no_bias_reduced_error(panel):
    errors = ErrorModel(kind="cr2", clusters=(np.zeros(len(panel["y"]), dtype=int),))
    fit = linear.fit(panel["y"], panel["X"], effects=(panel["time"],), errors=errors)
    assert np.isnan([*fit.std_errors, fit.df]).all()


def test_too_many_crossing_effects_are_refused_before_memory_runs_out():
    rows = 40_000
    unit, cluster = np.arange(rows) // 2, np.arange(rows) % 20_000
    errors = ErrorModel(kind="cr2", clusters=(cluster,))
    with pytest.raises(EstimationError, match="20,000 clusters and 20,000 fixed effects"):
        linear.fit(np.arange(rows) ** 0.5, np.sin(np.arange(rows))[:, None], effects=(unit,), errors=errors)


def test_equal_clusters_count_fully_and_a_dominant_one_counts_alone():
    cluster = np.repeat(np.arange(10), 4)
    even = np.tile([1.0, -1.0, 1.0, -1.0], 10)[:, None]
    found = effective_clusters(even, column=0, clusters=cluster)
    assert (found.n_clusters, found.effective, found.largest_share) == (10, pytest.approx(10), pytest.approx(0.1))
    lone = np.where(cluster == 0, even[:, 0] * 1e4, even[:, 0])[:, None]
    assert effective_clusters(lone, column=0, clusters=cluster).effective == pytest.approx(1, abs=1e-4)


def test_effective_clusters_are_g_over_one_plus_the_squared_variation_of_leverages(panel):
    """The form printed by Carter, Schnepel and Steigerwald, by leverages from explicit dummies."""
    dummies = [np.eye(panel[name].max() + 1)[panel[name]] for name in ("unit", "time")]
    others = np.column_stack([panel["X"][:, 1], *dummies]) * np.sqrt(panel["w"])[:, None]
    x = panel["X"][:, 0] * np.sqrt(panel["w"])
    leverage = np.bincount(panel["unit"], weights=(x - others @ (np.linalg.pinv(others) @ x)) ** 2)
    expected = 24 / (1 + leverage.var() / leverage.mean() ** 2)
    effects = (panel["unit"], panel["time"])
    found = effective_clusters(panel["X"], column=0, clusters=panel["unit"], effects=effects, weights=panel["w"])
    assert found.effective == pytest.approx(expected, rel=1e-9)


def test_few_treated_units_are_few_effective_clusters_however_many_there_are():
    unit, time = np.repeat(np.arange(300), 10), np.tile(np.arange(10), 300)
    x = ((unit < 4) & (time >= 5)).astype(float)[:, None]
    assert effective_clusters(x, column=0, clusters=unit, effects=(unit, time)).effective == pytest.approx(4, rel=0.1)


def test_a_column_explained_by_the_effects_has_no_effective_clusters():
    unit, time = np.repeat(np.arange(6), 4), np.tile(np.arange(4), 6)
    with pytest.raises(EstimationError, match="regressor 1: explained wholly"):
        effective_clusters(time[:, None] * 1.0, column=0, clusters=unit, effects=(unit, time))
