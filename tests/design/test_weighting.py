import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.lalonde import COVARIATES, read_lalonde
from wwc_research.design.matching import nearest
from wwc_research.design.weighting import Weighting, set_weights, two_sided
from wwc_research.errors import EstimationError, InputError

UNITS = st.lists(st.tuples(st.integers(-1, 4), st.booleans()), min_size=1, max_size=40)


def arrays(units):
    codes, treated = zip(*units, strict=True)
    return np.array(codes, dtype=np.int64), np.array(treated)


@given(UNITS)
def test_kept_sets_have_treated_and_untreated_units_and_no_other_set_is_lost(units):
    codes, treated = arrays(units)
    kept = two_sided(codes, treated=treated)
    for code in range(5):
        mine = codes == code
        both = (mine & treated).any() and (mine & ~treated).any()
        assert (kept[mine] == (code if both else -1)).all()
    assert (kept[codes < 0] == -1).all()


@given(UNITS)
def test_weights_of_sets_sum_to_those_whom_the_estimand_speaks_of_on_both_sides(units):
    codes, treated = arrays(units)
    kept = two_sided(codes, treated=treated)
    inside = kept >= 0
    for estimand, target in (("ATT", treated), ("ATE", np.ones(len(codes), dtype=bool))):
        weights = set_weights(kept, treated=treated, estimand=estimand)
        assert (weights[~inside] == 0).all()
        for code in np.unique(kept[inside]):
            mine = kept == code
            for side in (treated, ~treated):
                assert weights[mine & side].sum() == pytest.approx((mine & target).sum())


def test_a_hand_worked_stratum_has_the_weights_of_the_textbook():
    treated = np.array([True, True, False, False, False])
    codes = np.zeros(5, dtype=np.int64)
    np.testing.assert_allclose(set_weights(codes, treated=treated, estimand="ATT"), [1, 1, 2 / 3, 2 / 3, 2 / 3])
    np.testing.assert_allclose(set_weights(codes, treated=treated, estimand="ATE"), [2.5, 2.5, 5 / 3, 5 / 3, 5 / 3])


def test_nearest_matches_as_a_weighting_keep_their_weights_and_put_each_pair_in_one_set():
    lalonde = read_lalonde()
    matches = nearest(lalonde, treatment="treated", covariates=COVARIATES, ratio=2)
    weighting = Weighting.of(matches)
    pd.testing.assert_series_equal(weighting.weights, matches.weights)
    left = weighting.sets.loc[matches.pairs["treated"]].to_numpy()
    assert (left == weighting.sets.loc[matches.pairs["control"]].to_numpy()).all()
    assert weighting.n_sets == matches.n_matched_treated
    assert weighting.sets.isna().equals(matches.weights == 0)


def test_matches_with_replacement_have_no_sets():
    matches = nearest(read_lalonde(), treatment="treated", covariates=COVARIATES, replace=True)
    weighting = Weighting.of(matches)
    assert weighting.sets is None
    assert weighting.n_sets == 0


def test_negative_weights_are_refused_and_name_the_unit():
    with pytest.raises(InputError, match="weights of b are negative"):
        Weighting(weights=pd.Series([1.0, -0.5], index=["a", "b"]), estimand="ATT", method="mine")


def test_sets_without_both_kinds_of_units_are_an_error_with_a_way_out():
    with pytest.raises(EstimationError, match="fewer covariates"):
        Weighting.of_strata(
            np.array([0, 1]),
            index=pd.Index(["a", "b"]),
            treated=np.array([True, False]),
            method="exact",
            estimand="ATT",
            settings={},
        )
