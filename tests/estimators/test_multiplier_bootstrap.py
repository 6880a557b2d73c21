"""Random weights on influence functions: known errors and critical values, and what is undefined."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from wwc_research.estimators.multiplier_bootstrap import multiplier_bootstrap


def test_errors_and_critical_value_are_those_of_independent_normal_estimates():
    sums = np.random.default_rng(1).normal(size=(6000, 8))
    spread = multiplier_bootstrap([sums], n_units=6000, draws=4000, generator=np.random.default_rng(2))
    np.testing.assert_allclose(spread.std_errors, np.sqrt((sums**2).sum(axis=0)) / 6000, rtol=0.08)
    independent = stats.norm.ppf((1 + 0.95 ** (1 / 8)) / 2)  # Sidak: 2.73
    assert spread.critical_value(range(8)) == pytest.approx(independent, abs=0.09)


def test_the_weights_have_mean_zero_and_second_and_third_moment_one():
    """Mammen (1993): an influence of one cluster alone shows the weights themselves."""
    one = np.ones((1, 1))
    weights = multiplier_bootstrap([one], n_units=1, draws=200_000, generator=np.random.default_rng(5)).deviations
    assert len(np.unique(weights.round(9))) == 2
    for power, moment in ((1, 0.0), (2, 1.0), (3, 1.0)):
        assert np.mean(weights**power) == pytest.approx(moment, abs=0.02)


def test_matrices_side_by_side_are_one_matrix():
    sums = np.random.default_rng(3).normal(size=(9000, 5))
    whole, parts = (
        multiplier_bootstrap(given, n_units=100, draws=150, generator=np.random.default_rng(4))
        for given in ([sums], [sums[:, :2], sums[:, 2:]])
    )
    np.testing.assert_allclose(parts.deviations, whole.deviations, rtol=1e-12, atol=1e-12)


def test_an_estimate_without_influence_has_no_error_and_no_part_in_the_band():
    sums = np.column_stack([np.zeros(300), np.random.default_rng(6).normal(size=300)])
    spread = multiplier_bootstrap([sums], n_units=300, draws=999, generator=np.random.default_rng(7))
    assert np.isnan(spread.std_errors[0])
    assert np.isnan(spread.critical_value([0]))
    assert spread.critical_value([0, 1]) == spread.critical_value([1])


def test_a_band_over_one_estimate_is_never_narrower_than_its_interval():
    sums = np.random.default_rng(8).normal(size=(500, 1))
    values = [
        multiplier_bootstrap([sums], n_units=500, draws=99, generator=np.random.default_rng(seed)).critical_value([0])
        for seed in range(20)
    ]
    assert min(values) == pytest.approx(stats.norm.ppf(0.975))
