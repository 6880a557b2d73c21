import math

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from wwc_research.evidence.multiplicity import q_values


def test_q_values_are_those_of_the_published_example():
    # Benjamini and Hochberg (1995), section 4: the four smallest of fifteen p-values pass at 5 %
    p_values = [
        0.0001, 0.0004, 0.0019, 0.0095, 0.0201, 0.0278, 0.0298, 0.0344, 0.0459, 0.3240, 0.4262, 0.5719, 0.6528,
        0.7590, 1.0000,
    ]  # fmt: skip
    assert sum(q < 0.05 for q in q_values(p_values)) == 4


@given(st.lists(st.floats(0, 1), min_size=1, max_size=20))
def test_a_q_value_is_never_below_its_p_value_and_keeps_the_order(p_values):
    found = np.array(q_values(p_values))
    assert (found >= np.array(p_values) - 1e-12).all()
    order = np.argsort(p_values, kind="stable")
    assert (np.diff(found[order]) >= -1e-12).all()


def test_an_undefined_p_value_stays_undefined_and_does_not_count():
    found = q_values([0.01, math.nan, 0.04])
    assert math.isnan(found[1])
    assert found[0] == q_values([0.01, 0.04])[0]
    assert all(math.isnan(q) for q in q_values([math.nan]))
