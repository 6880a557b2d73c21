import math
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from wwc_research.errors import InputError
from wwc_research.evidence.multiplicity import benjamini_hochberg, benjamini_yekutieli, holm, romano_wolf

FIGURES = Path(__file__).parents[1] / "figures" / "reference_numbers.csv"
BY_NAME = {"holm": holm, "BH": benjamini_hochberg, "BY": benjamini_yekutieli}
EACH = pytest.mark.parametrize("adjusted", BY_NAME.values(), ids=BY_NAME)
P_VALUES = st.lists(st.floats(0, 1), min_size=1, max_size=20)


def null_draws(*, seed=0, draws=199, hypotheses=4, correlation=0.5):
    generator = np.random.default_rng(seed)
    shared = generator.standard_normal((draws, 1))
    own = generator.standard_normal((draws, hypotheses))
    return np.sqrt(correlation) * shared + np.sqrt(1 - correlation) * own


@pytest.mark.parametrize("name", BY_NAME)
def test_adjusted_p_values_are_those_of_r(name):
    # the table has the six smallest of 25 p-values and not the other nineteen, which are made up here: the adjusted
    # six depend on them by their number alone, as long as none is so small that it pulls the six down
    table = pd.read_csv(FIGURES)
    rows = table.loc[table["estimator"].eq("p.adjust") & table["spec"].str.startswith(f"{name} p ")]
    smallest = rows["spec"].str.split().str[-1].astype(float).tolist()
    assert len(smallest) == 6
    found = BY_NAME[name]([*smallest, *np.linspace(0.06, 1, 19)])[:6]
    assert found == pytest.approx(rows["estimate"].tolist(), rel=1e-6)


def test_q_values_are_those_of_the_published_example():
    # Benjamini and Hochberg (1995), section 4: the four smallest of fifteen p-values pass at 5 %; Holm lets three pass
    p_values = [
        0.0001, 0.0004, 0.0019, 0.0095, 0.0201, 0.0278, 0.0298, 0.0344, 0.0459, 0.3240, 0.4262, 0.5719, 0.6528,
        0.7590, 1.0000,
    ]  # fmt: skip
    assert sum(q < 0.05 for q in benjamini_hochberg(p_values)) == 4
    assert sum(p < 0.05 for p in holm(p_values)) == 3


@EACH
@given(p_values=P_VALUES)
def test_an_adjusted_p_value_is_never_below_its_p_value_and_keeps_the_order(adjusted, p_values):
    found = np.array(adjusted(p_values))
    assert (found >= np.array(p_values) - 1e-12).all()
    assert (found <= 1).all()
    order = np.argsort(p_values, kind="stable")
    assert (np.diff(found[order]) >= -1e-12).all()


@given(p_values=P_VALUES)
def test_the_false_discovery_rate_asks_less_than_the_family_wise_rate(p_values):
    assert (np.array(benjamini_hochberg(p_values)) <= np.array(holm(p_values)) + 1e-12).all()
    assert (np.array(benjamini_hochberg(p_values)) <= np.array(benjamini_yekutieli(p_values)) + 1e-12).all()


@EACH
def test_an_undefined_p_value_stays_undefined_and_does_not_count(adjusted):
    found = adjusted([0.01, math.nan, 0.04])
    assert math.isnan(found[1])
    assert [found[0], found[2]] == adjusted([0.01, 0.04])
    assert all(math.isnan(q) for q in adjusted([math.nan]))
    assert adjusted([]) == []


@EACH
def test_what_is_no_p_value_is_refused_all_at_once(adjusted):
    with pytest.raises(InputError, match=r"(?s)1\.5 is no p-value.*-0\.1 is no p-value"):
        adjusted([0.2, 1.5, -0.1])


def test_a_hand_worked_step_down():
    # every column has root mean square 1 (squares sum to 5), so scales change nothing
    null = np.array(
        [
            [0.5, 1.0, -1.9],
            [-1.9, 0.0, 0.5],
            [1.0, -1.9, 0.3],
            [0.3, 0.5, -1.0],
            [-0.2, -0.3, 0.2],
        ]
    )
    null[4] = np.copysign(np.sqrt(5 - (null[:4] ** 2).sum(axis=0)), null[4])  # 0.2, 0.4, 0.2
    # |t| = 1.7, 1.8, 0.95, so the second is first. Largest of a row over all three: 1.9, 1.9, 1.9, 1.0, 0.4; three
    # are 1.8 or more: (1 + 3) / 6. Over first and third: 1.9, 1.9, 1.0, 1.0, 0.2; two are 1.7 or more: (1 + 2) / 6,
    # raised to the 4 / 6 before it. The third alone: 1.9, 0.5, 0.3, 1.0, 0.2; two are 0.95 or more: 3 / 6, raised.
    assert romano_wolf([-1.7, 1.8, 0.95], draws=null) == pytest.approx([4 / 6] * 3)
    # |t| = 1.7, 2.0, 0.4: none of a row is 2 or more, 1 / 6; as before 3 / 6; 1.9, 0.5, 1.0 make 4 / 6
    assert romano_wolf([-1.7, 2.0, 0.4], draws=null) == pytest.approx([3 / 6, 1 / 6, 4 / 6])


@given(statistic=st.floats(-5, 5), seed=st.integers(0, 1000))
def test_a_single_hypothesis_keeps_its_plain_p_value(statistic, seed):
    null = null_draws(seed=seed, draws=49, hypotheses=1)
    plain = (1 + (np.abs(null[:, 0]) >= abs(statistic)).sum()) / 50
    assert romano_wolf([statistic], draws=null) == pytest.approx([plain])


@given(
    statistics=st.lists(st.floats(-5, 5), min_size=4, max_size=4),
    seed=st.integers(0, 1000),
    correlation=st.sampled_from([0.0, 0.5, 0.9]),
)
def test_the_step_down_never_asks_more_than_holm_on_the_same_draws(statistics, seed, correlation):
    # equal marginals, so that the order of |t| is that of p: then no noise is left and the law is exact
    joint = null_draws(seed=seed, draws=99, correlation=correlation)
    null = np.sort(joint[:, 0])[joint.argsort(axis=0).argsort(axis=0)]
    plain = [(1 + (np.abs(null[:, 0]) >= abs(t) * (1 - 1e-12)).sum()) / 100 for t in statistics]
    found = np.array(romano_wolf(statistics, draws=null))
    assert (found <= np.array(holm(plain)) + 1e-12).all()
    assert (found >= np.array(plain) - 1e-12).all()


@given(order=st.permutations(range(4)), seed=st.integers(0, 1000))
def test_the_order_of_the_hypotheses_does_not_matter(order, seed):
    null, statistics = null_draws(seed=seed), np.array([2.5, -1.0, 1.0, 0.3])
    found = np.array(romano_wolf(statistics, draws=null))
    assert romano_wolf(statistics[order], draws=null[:, order]) == pytest.approx(found[order])


def test_the_unit_of_an_outcome_does_not_matter():
    null, statistics, units = null_draws(), np.array([2.5, -1.0, 1.9, 0.3]), np.array([100.0, 0.01, 1.0, 3.0])
    assert romano_wolf(statistics * units, draws=null * units) == pytest.approx(romano_wolf(statistics, draws=null))


def test_hypotheses_that_move_as_one_cost_nothing():
    null = np.repeat(null_draws(hypotheses=1), 6, axis=1)
    assert romano_wolf([2.0] * 6, draws=null) == pytest.approx(romano_wolf([2.0], draws=null[:, :1]) * 6)


def test_an_undefined_hypothesis_stays_undefined_and_does_not_count():
    null = null_draws()
    without = romano_wolf([2.0, 1.5, 1.0], draws=null[:, [0, 2, 3]])
    found = romano_wolf([2.0, math.nan, 1.5, 1.0], draws=null)
    assert math.isnan(found[1])
    assert [found[0], *found[2:]] == without
    never_drawn = null.copy()
    never_drawn[:, 1] = np.nan
    assert romano_wolf([2.0, 3.0, 1.5, 1.0], draws=never_drawn)[2:] == without[1:]
    assert all(math.isnan(p) for p in romano_wolf([1.0], draws=np.empty((0, 1))))


def test_draws_in_which_a_hypothesis_has_no_value_are_left_out():
    null = null_draws()
    holed = null.copy()
    holed[:50, 2] = np.nan
    statistics = [2.0, 1.5, 1.0, 0.5]
    assert romano_wolf(statistics, draws=holed) == romano_wolf(statistics, draws=null[50:])


def test_draws_of_another_shape_are_refused():
    with pytest.raises(InputError, match=r"shape \(199, 4\) for 3 hypotheses"):
        romano_wolf([1.0, 2.0, 3.0], draws=null_draws())


@pytest.mark.parametrize("correlation", [0.0, 0.9])
def test_a_true_null_of_many_is_seldom_rejected_and_dependence_is_not_paid_for(correlation):
    false_findings, cautious = 0, 0
    for seed in range(400):
        joint = null_draws(seed=seed, draws=200, hypotheses=6, correlation=correlation)
        plain = (1 + (np.abs(joint[1:]) >= np.abs(joint[0])).sum(axis=0)) / 200
        false_findings += min(romano_wolf(joint[0], draws=joint[1:])) <= 0.05
        cautious += min(holm(plain.tolist())) <= 0.05
    assert 0.02 < false_findings / 400 < 0.085  # 5 % expected, a Monte Carlo standard error is 1.1 points
    assert cautious / 400 < 0.085
    if correlation == 0.9:
        assert cautious < 0.6 * false_findings
