"""Absorption and covariances against dummy variables and statsmodels, and the edges of each."""

from __future__ import annotations

import numpy as np
import pytest
import statsmodels.api as sm

from wwc_research.design.sample import Sample
from wwc_research.errors import EstimationError, InputError
from wwc_research.estimators import estimate, linear
from wwc_research.estimators.linear import ErrorModel


def codes(generator: np.random.Generator, *, rows: int, levels: int) -> np.ndarray:
    drawn = np.concatenate([np.arange(levels), generator.integers(0, levels, rows - levels)])
    return generator.permutation(drawn)


def dummies(*effects: np.ndarray) -> np.ndarray:
    blocks = [np.eye(effect.max() + 1)[effect] for effect in effects]
    return np.column_stack([blocks[0], *(block[:, 1:] for block in blocks[1:])])


@pytest.fixture
def uneven() -> dict[str, np.ndarray]:
    """400 rows, three crossed unbalanced effects, weights over a factor of 50, two regressors."""
    generator = np.random.default_rng(11)
    effects = tuple(codes(generator, rows=400, levels=levels) for levels in (40, 25, 7))
    X = generator.normal(size=(400, 2)) + effects[1][:, None] / 10
    y = X @ [0.5, -2.0] + effects[0] / 5 - effects[2] + generator.normal(size=400)
    return {"effects": effects, "X": X, "y": y, "w": np.exp(generator.uniform(0, 4, 400))}


def test_absorbing_three_uneven_weighted_effects_equals_regressing_on_their_dummies(uneven):
    ours = linear.absorb(uneven["X"], effects=uneven["effects"], weights=uneven["w"])
    design = dummies(*uneven["effects"])
    root = np.sqrt(uneven["w"])[:, None]
    beta = np.linalg.lstsq(design * root, uneven["X"] * root, rcond=None)[0]
    np.testing.assert_allclose(ours, uneven["X"] - design @ beta, atol=1e-10)


def test_the_one_pass_of_a_balanced_panel_equals_the_general_way():
    generator = np.random.default_rng(3)
    unit, time = np.repeat(np.arange(30), 8), np.tile(np.arange(8), 30)
    values = generator.normal(size=(240, 3)) * [1, 1e3, 1e-3]
    quick = linear.absorb(values, effects=(unit, time))
    general = linear.absorb(values, effects=(unit, time, np.zeros(240, dtype=int)))
    np.testing.assert_allclose(quick, general, rtol=1e-9, atol=1e-11 * np.abs(values).max())


def test_absorbing_does_not_depend_on_the_order_of_effects_or_rows(uneven):
    straight = linear.absorb(uneven["X"], effects=uneven["effects"], weights=uneven["w"])
    order = np.random.default_rng(1).permutation(400)
    turned = linear.absorb(
        uneven["X"][order],
        effects=[effect[order] for effect in reversed(uneven["effects"])],
        weights=uneven["w"][order],
    )
    np.testing.assert_allclose(turned, straight[order], atol=1e-10)


@pytest.mark.parametrize(
    ("errors", "statsmodels_kind"),
    [
        (ErrorModel(kind="iid"), {"cov_type": "nonrobust"}),
        (ErrorModel(kind="hetero"), {"cov_type": "HC1"}),
        (ErrorModel(kind="cluster"), {"cov_type": "cluster"}),
    ],
)
def test_weighted_fits_and_their_errors_are_those_of_statsmodels_with_dummies(uneven, errors, statsmodels_kind):
    effects, X, y, w = (uneven[name] for name in ("effects", "X", "y", "w"))
    cluster = np.random.default_rng(8).integers(0, 60, 400)
    cluster = np.unique(cluster, return_inverse=True)[1]
    extra = {"cov_kwds": {"groups": cluster}} if errors.kind == "cluster" else {}
    if errors.kind == "cluster":
        errors = ErrorModel(clusters=(cluster,))
    theirs = sm.WLS(y, np.column_stack([X, dummies(*effects)]), weights=w).fit(**statsmodels_kind, **extra)
    ours = linear.fit(y, X, effects=effects, weights=w, errors=errors)
    np.testing.assert_allclose(ours.coefficients, theirs.params[:2], rtol=1e-9)
    np.testing.assert_allclose(ours.std_errors, theirs.bse[:2], rtol=1e-8)


def test_the_scale_of_weights_changes_nothing(uneven):
    fits = [
        linear.fit(
            uneven["y"],
            uneven["X"],
            effects=uneven["effects"],
            weights=uneven["w"] * scale,
            errors=ErrorModel(clusters=uneven["effects"][:1]),
        )
        for scale in (1, 1e6)
    ]
    np.testing.assert_allclose(fits[0].std_errors, fits[1].std_errors, rtol=1e-9)


def test_the_jackknife_is_the_spread_of_fits_that_leave_one_cluster_out(uneven):
    y, X, w = uneven["y"], uneven["X"], uneven["w"]
    cluster, period = uneven["effects"][0] // 4, uneven["effects"][2]
    effects = (uneven["effects"][0], period)
    ours = linear.fit(y, X, effects=effects, weights=w, errors=ErrorModel(kind="jackknife", clusters=(cluster,)))
    left_out = []
    for number in range(cluster.max() + 1):
        kept = cluster != number
        parts = [np.unique(effect[kept], return_inverse=True)[1] for effect in effects]
        fit = linear.fit(y[kept], X[kept], effects=parts, weights=w[kept], errors=ErrorModel(kind="iid"))
        left_out.append(fit.coefficients)
    spread = np.array(left_out) - ours.coefficients
    n = len(left_out)
    np.testing.assert_allclose(ours.covariance, (n - 1) / n * spread.T @ spread, rtol=1e-7)


def test_a_collinear_regressor_is_refused_or_dropped_and_named(uneven):
    X = np.column_stack([uneven["X"], uneven["X"] @ [2.0, 1.0], uneven["effects"][1]])
    arguments = {"effects": uneven["effects"], "errors": ErrorModel(kind="iid")}
    with pytest.raises(linear.CollinearError, match="regressor 3 and 4 of 4"):
        linear.fit(uneven["y"], X, **arguments)
    fit = linear.fit(uneven["y"], X, optional_from=2, **arguments)
    assert fit.dropped == (2, 3)
    assert fit.coefficients.shape == (2,)


def test_more_parameters_than_rows_are_refused():
    generator = np.random.default_rng(0)
    unit = np.repeat(np.arange(4), 2)
    with pytest.raises(EstimationError, match="8 rows for 8 parameters"):
        linear.fit(generator.normal(size=8), generator.normal(size=(8, 4)), effects=(unit,), errors=ErrorModel())


@pytest.mark.parametrize("kind", ["cluster", "jackknife"])
def test_a_single_cluster_has_no_standard_error(uneven, kind):
    one = np.zeros(400, dtype=int)
    fit = linear.fit(uneven["y"], uneven["X"], errors=ErrorModel(kind=kind, clusters=(one,)))
    assert np.isnan(fit.std_errors).all()
    assert np.isnan(fit.df)


def test_a_perfect_fit_has_no_standard_error(uneven):
    y = uneven["X"] @ [1.0, 2.0] + uneven["effects"][0]
    for kind in ("iid", "cluster", "jackknife"):
        errors = ErrorModel(kind=kind, clusters=uneven["effects"][:1])
        assert np.isnan(linear.fit(y, uneven["X"], effects=uneven["effects"][:1], errors=errors).std_errors).all()


def test_errors_without_their_codes_are_refused(uneven):
    with pytest.raises(InputError, match="two_way_cluster: needs 2 cluster codes, got 0"):
        linear.fit(uneven["y"], uneven["X"], errors=ErrorModel(kind="two_way_cluster"))
    with pytest.raises(InputError, match="driscoll_kraay: needs the time"):
        linear.fit(uneven["y"], uneven["X"], errors=ErrorModel(kind="driscoll_kraay"))


def test_a_wald_statistic_ignores_a_restriction_said_twice():
    generator = np.random.default_rng(2)
    root = generator.normal(size=(3, 3))
    covariance, estimates = root @ root.T, generator.normal(size=3)
    doubled = np.array([0, 1, 2, 2])
    direct = estimates @ np.linalg.solve(covariance, estimates)
    statistic, restrictions = linear.wald_statistic(estimates[doubled], covariance[np.ix_(doubled, doubled)])
    assert restrictions == 3
    assert statistic == pytest.approx(direct)


def test_a_wald_statistic_of_nothing_is_undefined():
    statistic, restrictions = linear.wald_statistic(np.zeros(0), np.zeros((0, 0)))
    assert np.isnan(statistic)
    assert restrictions == 0
    statistic, restrictions = linear.wald_statistic(np.ones(2), np.zeros((2, 2)))
    assert np.isnan(statistic)
    assert restrictions == 0


def test_random_effects_lie_between_pooling_and_within_and_work_on_an_unbalanced_panel():
    generator = np.random.default_rng(4)
    unit = np.repeat(np.arange(60), generator.integers(2, 9, 60))
    x = generator.normal(size=len(unit)) + generator.normal(size=60)[unit]
    y = 2 * x + generator.normal(size=60)[unit] * 0.7 + generator.normal(size=len(unit))
    fit = linear.random_effects(y, x[:, None], unit=unit, errors=ErrorModel(clusters=(unit,)))
    assert fit.coefficients[1] == pytest.approx(2, abs=4 * fit.std_errors[1])


@pytest.fixture
def small() -> dict[str, np.ndarray]:
    """24 units in 8 clusters over 5 periods: the numbers that were put to linearmodels and pyfixest."""
    generator = np.random.default_rng(4)
    unit, time = np.repeat(np.arange(24), 5), np.tile(np.arange(5), 24)
    x, z = ((unit % 5 == 0) & (time >= 2)).astype(float), generator.normal(size=120)
    y = generator.normal(size=120) + generator.normal(size=8)[unit % 8] * time * 0.5 + x * 0.6 + z
    return {"y": y, "X": np.column_stack([x, z]), "unit": unit, "time": time, "cluster": unit % 8}


def test_two_way_clustered_errors_are_those_of_linearmodels(small):
    """linearmodels 7.1, PanelOLS with both effects, clusters by cluster and time, all small-sample factors off."""
    clusters, effects = (small["cluster"], small["time"]), (small["unit"], small["time"])
    plain = ErrorModel(kind="two_way_cluster", clusters=clusters, adjust_parameters=False, adjust_clusters=False)
    ours = linear.fit(small["y"], small["X"], effects=effects, errors=plain)
    np.testing.assert_allclose(ours.coefficients, [0.6487248946904046, 0.8223236373073876], rtol=1e-10)
    np.testing.assert_allclose(ours.std_errors, [0.5227331101594302, 0.09368723723758911], rtol=1e-10)


def test_the_jackknife_is_that_of_pyfixest_but_for_its_factor(small):
    """pyfixest 0.40.1, CRV3 by cluster: it multiplies the sum of squares by G/(G-1) (N-1)/(N-K), here by (G-1)/G."""
    errors = ErrorModel(kind="jackknife", clusters=(small["cluster"],))
    ours = linear.fit(small["y"], small["X"], effects=(small["time"],), errors=errors)
    np.testing.assert_allclose(ours.coefficients, [0.9703278497840462, 0.9173410959271155], rtol=1e-10)
    factor = (8 / 7) * (119 / (120 - 7)) / (7 / 8)
    theirs = [0.5479378350598435, 0.1906605976411686]
    np.testing.assert_allclose(ours.std_errors * np.sqrt(factor), theirs, rtol=1e-8)


def test_every_kind_of_error_reaches_the_estimators_and_conley_needs_places(staggered):
    places = staggered.assign(
        latitude=staggered.groupby("unit").ngroup() / 10.0, longitude=-100 + staggered.groupby("unit").ngroup() % 7
    )
    errors = {
        kind: estimate(Sample(frame=places), "two_way_fe", std_errors=kind).std_error for kind in linear.STD_ERRORS
    }
    assert all(0.01 < error < 1 for error in errors.values())
    assert len(set(errors.values())) == len(linear.STD_ERRORS)
    with pytest.raises(InputError, match="conley: needs a column latitude"):
        estimate(Sample(frame=staggered), "two_way_fe", std_errors="conley")
