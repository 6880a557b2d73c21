"""The declared rule for few treated places: its bounds, and that fewer places never get a bolder method."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wwc_research.errors import InputError
from wwc_research.estimators.few_clusters import small_sample_rule

BOLDNESS = ("randomisation", "cr2", "cluster")


@pytest.mark.parametrize(
    ("n_treated", "n_clusters", "effective", "method", "alongside"),
    [
        (2, 280, math.nan, "randomisation", None),
        (3, 280, math.nan, "randomisation", "cr2"),
        (4, 280, 4.1, "randomisation", "cr2"),
        (5, 280, 5.2, "randomisation", "cr2"),
        (29, 280, math.nan, "randomisation", "cr2"),
        (30, 280, 31.0, "cluster", "randomisation"),
        (30, 280, 2.9, "randomisation", None),
        (278, 280, math.nan, "randomisation", None),
        (30, 60, math.nan, "cluster", "randomisation"),
        (0, 10, math.nan, "randomisation", None),
    ],
)
def test_the_scarcer_kind_of_cluster_decides(n_treated, n_clusters, effective, method, alongside):
    rule = small_sample_rule(n_treated=n_treated, n_clusters=n_clusters, effective=effective)
    assert (rule.method, rule.alongside) == (method, alongside)


@given(st.integers(0, 60), st.integers(1, 100), st.floats(1, 100))
def test_fewer_treated_or_effective_clusters_never_get_a_bolder_method(n_treated, spare, effective):
    def bold(n_treated: int, effective: float) -> int:
        rule = small_sample_rule(n_treated=n_treated, n_clusters=n_treated + spare + 60, effective=effective)
        return BOLDNESS.index(rule.method)

    assert bold(n_treated, effective) >= bold(max(n_treated - 1, 0), effective)
    assert bold(n_treated, effective) >= bold(n_treated, max(effective - 1, 1.0))


def test_the_reason_names_the_counts():
    why = small_sample_rule(n_treated=12, n_clusters=90, effective=3.4).why
    assert "12 of 90 clusters are treated" in why
    assert "3.4 clusters of equal weight" in why
    assert "1 of 90 clusters is treated" in small_sample_rule(n_treated=1, n_clusters=90).why


def test_counts_that_cannot_be_are_told_all_at_once():
    with pytest.raises(InputError, match="2 faults"):
        small_sample_rule(n_treated=11, n_clusters=10, effective=0.5)
