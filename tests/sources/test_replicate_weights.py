from __future__ import annotations

import numpy as np
import pytest

from wwc_research.sources.replicate_weights import REPLICATES, ratios, std_error


def test_the_error_of_one_moved_replicate_is_its_distance_times_the_root_of_four_eightieths():
    estimates = np.full(1 + REPLICATES, 0.25)
    estimates[7] = 0.25 + 1 / 12
    assert std_error(estimates) == pytest.approx(np.sqrt(4 / 80) / 12)


def test_the_centre_is_the_full_estimate_and_not_the_mean_of_the_replicates():
    estimates = np.full(1 + REPLICATES, 11.0)
    estimates[0] = 10.0
    assert std_error(estimates) == pytest.approx(np.sqrt(4 / 80 * 80))


def test_the_error_of_a_ratio_is_that_of_the_ratio_in_every_replicate():
    part, whole = np.full(1 + REPLICATES, 20.0), np.full(1 + REPLICATES, 100.0)
    part[1], whole[1] = 40.0, 200.0  # both double: the ratio stays
    assert std_error(ratios(part, whole)) == 0
    assert std_error(part) > 0


def test_a_ratio_without_a_positive_whole_is_undefined_and_so_is_its_error():
    whole = np.full((2, 1 + REPLICATES), 5.0)
    whole[0, 3] = 0.0
    whole[1, 3] = -2.0  # replicate weights may be negative
    estimates = ratios(np.ones_like(whole), whole)
    assert np.isnan(estimates[:, 3]).all()
    assert np.isnan(std_error(estimates)).all()


def test_errors_scale_with_the_unit():
    estimates = np.random.default_rng(1).normal(50, 5, (3, 1 + REPLICATES))
    np.testing.assert_allclose(std_error(1000 * estimates), 1000 * std_error(estimates))
