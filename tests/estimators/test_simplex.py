"""Laws of weights on the simplex: feasible, best, and independent of order, shift and scale."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.optimize import minimize

from wwc_research.estimators.simplex import frank_wolfe_weights, least_squares_weights, optimality_gap

SHAPES = [(19, 38), (30, 10), (12, 300), (3, 18), (1, 6)]


def problem(rows: int, columns: int, *, seed: int, far: float = 0.0) -> tuple[np.ndarray, np.ndarray]:
    generator = np.random.default_rng(seed)
    return generator.normal(size=(rows, columns)) + generator.normal(size=columns), generator.normal(size=rows) + far


@pytest.mark.parametrize(("rows", "columns"), SHAPES)
@pytest.mark.parametrize("ridge", [0.0, 1e-6, 1e-2, 1.0, 100.0])
@pytest.mark.parametrize("far", [0.0, 5.0])
def test_weights_are_feasible_and_no_others_are_better(rows, columns, ridge, far):
    for seed in range(3):
        matrix, target = problem(rows, columns, seed=seed, far=far)
        weights = least_squares_weights(matrix, target, ridge=ridge)
        assert weights.min() >= 0
        assert weights.sum() == pytest.approx(1, abs=1e-12)
        # with many exact fits the evenest is taken, by a ridge of 1e-6
        assert optimality_gap(matrix, target, weights, ridge=ridge) < (1e-10 if ridge or rows >= columns else 1e-6)


def test_a_general_solver_finds_the_same_weights():
    matrix, target = problem(12, 5, seed=4)
    for ridge in (0.0, 0.3):
        found = minimize(
            lambda w, r=ridge: np.sum((matrix @ w - target) ** 2) + r * w @ w,
            np.full(5, 0.2),
            bounds=[(0, 1)] * 5,
            constraints={"type": "eq", "fun": lambda w: w.sum() - 1},
            options={"ftol": 1e-15, "maxiter": 500},
        )
        np.testing.assert_allclose(least_squares_weights(matrix, target, ridge=ridge), found.x, atol=1e-6)


def test_two_donors_by_hand():
    # the target lies a quarter of the way from the first donor to the second
    matrix = np.array([[0.0, 4.0], [0.0, 4.0]])
    np.testing.assert_allclose(least_squares_weights(matrix, np.array([1.0, 1.0])), [0.75, 0.25], atol=1e-12)
    # beyond the first donor the best mix is the first alone
    np.testing.assert_allclose(least_squares_weights(matrix, np.array([-1.0, -3.0])), [1, 0], atol=1e-12)
    # (4w - 1)^2 + (4w - 1)^2 + 16 (w^2 + (1 - w)^2), w of the second: 64 w - 16 + 64 w - 32 = 0
    ridged = least_squares_weights(matrix, np.array([1.0, 1.0]), ridge=16.0)
    np.testing.assert_allclose(ridged, [0.625, 0.375], atol=1e-12)


@pytest.mark.parametrize("ridge", [0.0, 0.5])
@pytest.mark.parametrize(("rows", "columns"), [(19, 38), (3, 18)])
def test_order_and_common_shifts_change_no_weight_and_scale_only_the_ridge(rows, columns, ridge):
    matrix, target = problem(rows, columns, seed=9)
    weights = least_squares_weights(matrix, target, ridge=ridge)
    order = np.random.default_rng(2).permutation(columns)
    np.testing.assert_allclose(least_squares_weights(matrix[:, order], target, ridge=ridge), weights[order], atol=1e-7)
    shift = np.arange(rows)[:, None] * 3.0
    moved = least_squares_weights(matrix + shift, target + shift[:, 0], ridge=ridge)
    np.testing.assert_allclose(moved, weights, atol=1e-7)
    scaled = least_squares_weights(7 * matrix, 7 * target, ridge=49 * ridge)
    np.testing.assert_allclose(scaled, weights, atol=1e-7)


def test_equal_donors_share_and_a_large_ridge_makes_all_equal():
    np.testing.assert_allclose(least_squares_weights(np.ones((4, 5)), np.ones(4)), 0.2)
    matrix, target = problem(6, 8, seed=1)
    np.testing.assert_allclose(least_squares_weights(matrix, target, ridge=1e9), 1 / 8, atol=1e-6)


def test_frank_wolfe_comes_near_the_best_weights_when_it_is_let_run():
    matrix, target = problem(20, 8, seed=3)
    exact = least_squares_weights(matrix, target, ridge=20 * 0.5**2)
    rough = frank_wolfe_weights(matrix, target, zeta=0.5, least_decrease=1e-7, most_steps=10_000)
    np.testing.assert_allclose(rough, exact, atol=1e-3)
