import numpy as np
import pytest

from wwc_research.design import matched_sets as module
from wwc_research.design.matched_sets import history_columns, matched_sets
from wwc_research.errors import InputError


@pytest.fixture
def histories():
    generator = np.random.default_rng(4)
    return generator.normal(size=(30, 3, 2)) + 0.3, generator.normal(size=(200, 3, 2)), np.ones(200)


def test_neighbours_are_the_nearest_by_the_mean_of_mahalanobis_distances_over_lags(histories):
    exposed, candidates, weight = histories
    sets = matched_sets(exposed, candidates=candidates, weight=weight, size=4)
    everybody = np.concatenate([exposed, candidates])
    expected = np.zeros((30, 200))
    for lag in range(3):
        inverse = np.linalg.inv(np.cov(everybody[:, lag].T))
        gap = exposed[:, lag][:, None] - candidates[:, lag]
        expected += np.sqrt(np.einsum("ijk,kl,ijl->ij", gap, inverse, gap)) / 3
    for position in range(30):
        members, shares, distance = sets.members(position)
        assert set(members) == set(np.argsort(expected[position])[:4])
        np.testing.assert_allclose(distance, expected[position, members], rtol=1e-9)
        np.testing.assert_allclose(shares, 0.25)


def test_the_tree_for_many_units_finds_the_same_sets_as_all_distances(histories, monkeypatch):
    exposed, candidates, weight = histories
    one = matched_sets(exposed[:, :, :1], candidates=candidates[:, :, :1], weight=weight)
    monkeypatch.setattr(module, "_FEW_DISTANCES", 0)
    other = matched_sets(exposed[:, :, :1], candidates=candidates[:, :, :1], weight=weight)
    np.testing.assert_array_equal(one.shares.toarray(), other.shares.toarray())
    np.testing.assert_allclose(one.distance, other.distance, rtol=1e-9)
    tied = np.repeat(candidates[:20, :, :1], 10, axis=0)
    monkeypatch.undo()
    one = matched_sets(exposed[:, :, :1], candidates=tied, weight=weight)
    monkeypatch.setattr(module, "_FEW_DISTANCES", 0)
    other = matched_sets(exposed[:, :, :1], candidates=tied, weight=weight)
    np.testing.assert_array_equal(one.shares.toarray(), other.shares.toarray())
    assert one.ties == other.ties == 30


def test_distances_in_blocks_are_those_in_one_go(histories, monkeypatch):
    exposed, candidates, weight = histories
    one = matched_sets(exposed, candidates=candidates, weight=weight)
    monkeypatch.setattr(module, "_DISTANCES_AT_ONCE", 700)
    other = matched_sets(exposed, candidates=candidates, weight=weight)
    np.testing.assert_array_equal(one.shares.toarray(), other.shares.toarray())


@pytest.mark.parametrize("refinement", ["mahalanobis", "propensity", "propensity_weights", "balancing", "none"])
def test_shares_of_every_set_add_up_to_one_and_follow_the_units_weights(histories, refinement):
    exposed, candidates, _ = histories
    weight = np.where(np.arange(200) % 2 == 0, 2.0, 1.0)
    sets = matched_sets(exposed, candidates=candidates, weight=weight, refinement=refinement)
    np.testing.assert_allclose(np.asarray(sets.shares.sum(axis=1)).ravel(), 1.0)
    assert (sets.shares.data > 0).all()
    assert len(sets.set_of) == 30
    if refinement in ("mahalanobis", "propensity"):
        members, shares, _ = sets.members(3)
        np.testing.assert_allclose(shares, weight[members] / weight[members].sum())


def test_balancing_shares_give_the_candidates_the_mean_history_of_the_exposed(histories):
    exposed, candidates, weight = histories
    sets = matched_sets(exposed, candidates=candidates, weight=weight, refinement="balancing")
    found = sets.shares @ history_columns(candidates)
    np.testing.assert_allclose(found[0], history_columns(exposed).mean(axis=0), atol=1e-6)


def test_units_of_other_measures_and_copies_of_a_measure_change_no_set(histories):
    exposed, candidates, weight = histories
    one = matched_sets(exposed, candidates=candidates, weight=weight)
    scale = np.array([1000.0, -0.01])
    other = matched_sets(exposed * scale + 5, candidates=candidates * scale + 5, weight=weight)
    np.testing.assert_array_equal(one.shares.toarray(), other.shares.toarray())
    copied = [np.concatenate([part, part[:, :, :1]], axis=2) for part in (exposed, candidates)]
    again = matched_sets(copied[0], candidates=copied[1], weight=weight)
    np.testing.assert_array_equal(one.shares.toarray(), again.shares.toarray())


def test_where_there_are_fewer_candidates_than_wanted_all_are_taken(histories):
    exposed, candidates, weight = histories
    sets = matched_sets(exposed, candidates=candidates[:3], weight=weight[:3], size=5)
    assert sets.shares.toarray() == pytest.approx(1 / 3)
    with pytest.raises(InputError, match="refinement 'optimal' is unknown; use mahalanobis"):
        matched_sets(exposed, candidates=candidates, weight=weight, refinement="optimal")
