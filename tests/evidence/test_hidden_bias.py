"""Rosenbaum's bounds are held to his lead example, to enumeration and to laws; E-values to the published ones."""

from __future__ import annotations

import itertools
import json
import math

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from tests.design.test_design import design
from wwc_research.design.baseline import long_difference
from wwc_research.design.full_matching import full_matching
from wwc_research.design.inverse_probability import inverse_probability
from wwc_research.design.matching import nearest
from wwc_research.errors import InputError
from wwc_research.evidence import e_values
from wwc_research.evidence import hidden_bias as hb

# Lead in the blood of 33 pairs of children, micrograms per decilitre; exposed through a parent's work, and controls:
# Morton et al. (1982), American Journal of Epidemiology 115(4), as in Rosenbaum (2002), Observational Studies, 3.2.4.
EXPOSED = [38, 23, 41, 18, 37, 36, 23, 62, 31, 34, 24, 14, 21, 17, 16, 20, 15]
EXPOSED += [10, 45, 39, 22, 35, 49, 48, 44, 35, 43, 39, 34, 13, 73, 25, 27]
CONTROL = [16, 18, 18, 24, 19, 11, 10, 15, 16, 18, 18, 13, 19, 10, 16, 16, 24]
CONTROL += [13, 9, 14, 21, 19, 7, 18, 19, 12, 11, 22, 25, 16, 13, 11, 13]
LEAD = np.array(EXPOSED, dtype=float) - np.array(CONTROL)


def by_gamma(found: hb.HiddenBias) -> dict[float, hb.GammaBounds]:
    return {item.gamma: item for item in found.bounds}


def test_the_p_values_of_the_lead_example_are_rosenbaums():
    # Rosenbaum (2002), table 4.2, quoted at second hand: upper bounds of the one-sided p-value, normal approximation
    published = {2: 0.0018, 3: 0.0136, 4: 0.0388, 4.25: 0.0468, 5: 0.0740}
    found = hb.pairs(LEAD, gammas=[1, *published], alternative="greater", distribution="normal")
    bounds = by_gamma(found)
    for gamma, p_value in published.items():
        assert round(bounds[gamma].p_high, 4) == p_value
        assert bounds[gamma].p_low < 0.0001
    assert bounds[1].p_high < 0.0001
    assert 4.25 < found.largest_gamma < 5


def test_the_effects_of_the_lead_example_are_rosenbaums():
    # Rosenbaum (2002), table 4.3, quoted at second hand: bounds on the Hodges-Lehmann estimate
    published = {1: (15, 15), 2: (10.25, 19.5), 3: (8, 23), 4: (6.5, 25), 5: (5, 26.5)}
    bounds = by_gamma(hb.pairs(LEAD, gammas=list(published)))
    assert {gamma: (item.effect_low, item.effect_high) for gamma, item in bounds.items()} == published


def test_pairs_without_a_difference_can_be_dropped_as_rbounds_does():
    # the algorithm of psens in rbounds: zeros dropped, average ranks, normal; upper bounds at Gamma 2 to 6
    published = {2: 0.0018, 3: 0.0131, 4: 0.0367, 5: 0.0694, 6: 0.1073}
    told = {"alternative": "greater", "distribution": "normal", "zeros": "dropped"}
    bounds = by_gamma(hb.pairs(LEAD, gammas=list(published), **told))
    assert {gamma: round(item.p_high, 4) for gamma, item in bounds.items()} == published


@pytest.mark.parametrize("gamma", [1.0, 1.5, 3.0])
@pytest.mark.parametrize("differences", [(1.0, -2.0, 3.0, 5.0), (1.0, 1.0, -1.0, 4.0), (0.0, 2.0, -2.0, 3.0)])
def test_four_pairs_have_the_p_value_of_all_their_sixteen_sign_patterns(gamma, differences):
    values = np.array(differences)
    ranks = stats.rankdata(np.abs(values)) * (values != 0)
    observed = ranks[values > 0].sum()
    chance = gamma / (1 + gamma)
    p_value = sum(
        math.prod(chance if sign else 1 - chance for sign in signs)
        for signs in itertools.product([0, 1], repeat=4)
        if np.array(signs) @ ranks >= observed
    )
    found = hb.pairs(differences, gammas=[gamma], alternative="greater", distribution="exact").bounds[0]
    assert found.p_high == pytest.approx(p_value, rel=1e-12)


def test_without_bias_the_exact_test_is_wilcoxons():
    values = np.random.default_rng(1).normal(0.4, 1, 15)
    for alternative, scipys in (("two_sided", "two-sided"), ("greater", "greater"), ("less", "less")):
        expected = stats.wilcoxon(values, alternative=scipys, method="exact").pvalue
        found = hb.pairs(values, gammas=[1], alternative=alternative).bounds[0]
        assert found.p_high == pytest.approx(expected, rel=1e-10)
        assert found.p_low == pytest.approx(found.p_high)


def test_bounds_widen_with_gamma_and_the_interval_agrees_with_the_test():
    values = np.random.default_rng(2).normal(0.6, 1, 30)
    for found in (hb.pairs(values), hb.matched_sets(np.column_stack([values, np.zeros(30)]))):
        for one, next_ in itertools.pairwise(found.bounds):
            assert next_.p_low <= one.p_low + 1e-12
            assert next_.p_high >= one.p_high - 1e-12
            assert next_.effect_low <= one.effect_low
            assert next_.effect_high >= one.effect_high
        for item in found.bounds:
            assert item.ci_low <= item.effect_low <= item.effect_high <= item.ci_high
            assert (item.p_high <= 0.05) == (item.ci_low > 0 or item.ci_high < 0)


def test_at_the_largest_gamma_significance_is_just_kept():
    found = hb.pairs(LEAD, alternative="greater")
    edge = found.largest_gamma
    kept, lost = hb.pairs(LEAD, alternative="greater", gammas=[edge, edge * 1.00001]).bounds
    assert kept.p_high <= 0.05 < lost.p_high


def test_a_difference_that_is_not_significant_has_the_gamma_that_could_hide_one():
    values = np.random.default_rng(4).normal(0.05, 1, 40)
    found = hb.pairs(values)
    assert math.isnan(found.largest_gamma)
    before, after = hb.pairs(values, gammas=[found.hiding_gamma, found.hiding_gamma * 1.00001]).bounds
    assert before.p_low > 0.05 >= after.p_low
    assert "could be hiding one" in found.sentence


def test_turning_the_outcome_round_turns_the_answer_round():
    one, other = hb.pairs(LEAD, alternative="greater"), hb.pairs(-LEAD, alternative="less")
    for left, right in zip(one.bounds, other.bounds, strict=True):
        assert left.p_high == pytest.approx(right.p_high)
        assert left.effect_low == pytest.approx(-right.effect_high)
        assert left.ci_low == pytest.approx(-right.ci_high)
    sets = np.column_stack([EXPOSED, CONTROL, CONTROL[::-1]]).astype(float)
    one, other = hb.matched_sets(sets, alternative="greater"), hb.matched_sets(-sets, alternative="less")
    assert [item.p_high for item in one.bounds] == pytest.approx([item.p_high for item in other.bounds])


def test_the_normal_approximation_comes_near_the_exact_distribution():
    values = np.random.default_rng(6).normal(0.5, 1, 90)
    exact, normal = (hb.pairs(values, gammas=[1.5, 2], distribution=name) for name in ("exact", "normal"))
    for one, other in zip(exact.bounds, normal.bounds, strict=True):
        assert one.p_high == pytest.approx(other.p_high, abs=0.01)


@pytest.mark.parametrize("gamma", [1.0, 2.0, 4.5])
def test_the_bound_of_a_set_is_the_worst_over_every_hidden_trait(gamma):
    scores = hb.m_scores(np.random.default_rng(7).normal(size=(3, 5)))
    scores[0, 4] = np.nan
    mean, variance = hb.separable_bound(scores, gamma=gamma)
    worst_mean, worst_variance = 0.0, 0.0
    for row in scores:
        row = row[np.isfinite(row)]
        found = []
        for hidden in itertools.product([0, 1], repeat=len(row)):
            odds = gamma ** np.array(hidden)
            chance = odds / odds.sum()
            found.append((chance @ row, chance @ row**2 - (chance @ row) ** 2))
        top = max(item[0] for item in found)
        worst_mean += top
        worst_variance += max(item[1] for item in found if item[0] > top - 1e-12)
    assert mean == pytest.approx(worst_mean)
    assert variance == pytest.approx(worst_variance)


def test_pairs_as_sets_have_the_closed_form_of_rosenbaum_2007():
    scores = hb.m_scores(np.column_stack([EXPOSED, CONTROL]).astype(float))
    size, gamma = np.abs(scores[:, 0]), 3.0
    mean, variance = hb.separable_bound(scores, gamma=gamma)
    assert mean == pytest.approx((gamma - 1) / (gamma + 1) * size.sum())
    assert variance == pytest.approx(4 * gamma / (1 + gamma) ** 2 * (size**2).sum())


def test_without_bias_sets_have_the_moments_of_all_assignments():
    table = np.random.default_rng(9).normal(size=(4, 3))
    scores = hb.m_scores(table)
    sums = [sum(choice) for choice in itertools.product(*scores)]
    mean, variance = hb.separable_bound(scores, gamma=1.0)
    assert mean == pytest.approx(np.mean(sums), abs=1e-12)
    assert variance == pytest.approx(np.var(sums))


def test_scores_of_a_set_add_up_to_nothing_and_are_cut():
    table = np.array([[5.0, 1.0, np.nan], [100.0, 2.0, 3.0]])
    scores = hb.m_scores(table, trim=1.0)
    assert np.nansum(scores, axis=1) == pytest.approx(0, abs=1e-12)
    assert math.isnan(scores[0, 2])
    assert scores[1, 0] == pytest.approx(2 / 3)


def test_a_set_turned_round_is_that_set_with_the_outcome_mirrored():
    table = np.random.default_rng(10).normal(size=(12, 4)) + np.array([1.0, 0, 0, 0])
    straight = hb.matched_sets(table, alternative="greater")
    turned = hb.matched_sets(-table, is_reversed=[True] * 12, alternative="greater")
    for one, other in zip(straight.bounds, turned.bounds, strict=True):
        assert one.p_high == pytest.approx(other.p_high)
        assert one.effect_low == pytest.approx(other.effect_low, abs=1e-6)


def test_a_planted_effect_lies_between_the_bounds_under_the_bias_planted():
    generator = np.random.default_rng(12)
    inside = 0
    for _ in range(60):
        hidden = generator.integers(0, 2, size=(80, 2))
        odds = 2.0**hidden
        first = generator.random(80) < odds[:, 0] / odds.sum(axis=1)
        outcome = 1.5 * hidden + generator.normal(size=(80, 2))
        gaps = np.where(first, outcome[:, 0] - outcome[:, 1], outcome[:, 1] - outcome[:, 0]) + 0.7
        found = hb.pairs(gaps, gammas=[2], distribution="normal").bounds[0]
        inside += found.ci_low <= 0.7 <= found.ci_high
    assert inside >= 55


def test_matches_of_one_control_are_pairs_and_of_several_are_sets(panel):
    baseline = long_difference(panel, design=design("broadband"))
    frame = baseline.frame.assign(treated=baseline.frame["treated"].astype(int)).set_index("unit", drop=False)
    told = {"treatment": "treated", "covariates": list(baseline.columns)}
    single = nearest(frame, **told)
    found = hb.from_matches(frame, single, outcome="outcome", cluster="cluster")
    assert found.statistic == "signed_rank"
    gaps = frame["outcome"].loc[single.pairs["treated"]].to_numpy()
    gaps = gaps - frame["outcome"].loc[single.pairs["control"]].to_numpy()
    assert [item.p_high for item in found.bounds] == pytest.approx([item.p_high for item in hb.pairs(gaps).bounds])
    assert found.n_units == 2 * found.n_sets
    assert "share a cluster" in found.assumed[0]
    json.dumps(found.as_dict(), allow_nan=False)
    several = hb.from_matches(frame, nearest(frame, **told, ratio=3), outcome="outcome")
    assert (several.statistic, several.n_units) == ("m_statistic", 4 * several.n_sets)


def star_frame() -> pd.DataFrame:
    scores = [*np.linspace(0.1, 0.9, 12), *np.linspace(0.15, 0.95, 30)]
    outcome = np.random.default_rng(3).normal(size=42)
    return pd.DataFrame({"treated": [1] * 12 + [0] * 30, "x": scores, "outcome": outcome})


def test_a_control_used_again_makes_one_set_of_its_exposed_units():
    frame = star_frame()
    matches = nearest(frame.iloc[[*range(12), 12, 20, 25, 30, 33, 36, 39]], treatment="treated", covariates=["x"])
    pairs = pd.DataFrame({"treated": range(12), "control": [12, 12, 20, 20, 25, 30, 33, 36, 36, 39, 40, 41]})
    pairs = pairs.assign(weight=1.0, distance=0.0)
    object.__setattr__(matches, "pairs", pairs)
    found = hb.from_matches(frame, matches, outcome="outcome")
    assert (found.statistic, found.n_sets, found.n_units) == ("m_statistic", 9, 21)
    assert found.assumed[0].startswith("3 controls serve several exposed units")


def test_chains_of_matches_are_not_bounded_and_say_why():
    frame = star_frame()
    matches = nearest(frame, treatment="treated", covariates=["x"], replace=True, ratio=2)
    pairs = matches.pairs.copy()
    pairs["control"] = [12 + position // 2 for position in range(len(pairs))]
    pairs["treated"] = [(position + 1) // 2 % 12 for position in range(len(pairs))]
    object.__setattr__(matches, "pairs", pairs)
    found = hb.from_matches(frame, matches, outcome="outcome")
    assert found.bounds == ()
    assert "controls used again" in found.sentence
    assert math.isnan(found.largest_gamma)


def test_full_matching_is_bounded_and_weights_alone_are_refused():
    frame = star_frame()
    found = hb.from_matches(
        frame, full_matching(frame, treatment="treated", covariates=["x"]), outcome="outcome", gammas=[1, 2]
    )
    assert found.n_units == 42
    assert len(found.bounds) == 2
    with pytest.raises(InputError, match="matches no pairs"):
        hb.from_matches(frame, inverse_probability(frame, treatment="treated", covariates=["x"]), outcome="outcome")


def test_too_few_sets_cannot_tell():
    frame = star_frame().iloc[[0, 1, 2, *range(12, 30)]]
    found = hb.from_matches(frame, nearest(frame, treatment="treated", covariates=["x"]), outcome="outcome")
    assert "too few" in found.why_not
    assert min(hb.pairs(range(1, 6), gammas=[1]).bounds[0].p_high, 1) > 0.05
    assert hb.pairs(range(1, 7), gammas=[1]).bounds[0].p_high < 0.05


def test_wrong_options_are_listed_together():
    with pytest.raises(InputError, match="3 faults") as caught:
        hb.pairs([1.0, math.nan], gammas=[0.5], alternative="both")
    assert "two_sided, greater and less" in str(caught.value)


def test_the_e_value_is_that_of_vanderweele_and_ding():
    # VanderWeele and Ding (2017): a risk ratio of 3.9 (1.8 to 8.7) has E-values 7.26 and 3.0
    found = e_values.e_value(3.9, ci_low=1.8, ci_high=8.7)
    assert (round(found.value, 2), round(found.limit, 1)) == (7.26, 3.0)
    # protective ratios are turned round
    other = e_values.e_value(1 / 3.9, ci_low=1 / 8.7, ci_high=1 / 1.8)
    assert (other.value, other.limit) == pytest.approx((found.value, found.limit))


def test_an_interval_that_holds_one_needs_nothing_to_reach_it():
    assert e_values.e_value(1.2, ci_low=0.9, ci_high=1.6).limit == 1
    assert e_values.e_value(0.8, ci_low=0.6, ci_high=1.1).limit == 1
    assert e_values.e_value(1.0, ci_low=0.9, ci_high=1.1).value == 1
    assert math.isnan(e_values.e_value(1.2).limit)


def test_a_standardised_difference_goes_by_way_of_its_ratio():
    # worked by hand: exp(0.455) = 1.5762, exp(0.455 - 0.445) = 1.0101
    found = e_values.standardised_e_value(1.0, std_error=0.5, outcome_spread=2.0)
    assert (round(found.ratio, 4), round(found.value, 3), round(found.limit, 3)) == (1.5762, 2.529, 1.111)
    assert found.is_approximate
    assert e_values.standardised_e_value(1.0, std_error=0.5, outcome_spread=0.0).as_dict()["value"] is None


def test_a_share_becomes_a_ratio_only_where_there_is_one():
    found = e_values.share_e_value(0.05, mean_exposed=0.25, ci_low=0.01, ci_high=0.09)
    assert found.ratio == pytest.approx(0.25 / 0.20)
    assert found.ci_low == pytest.approx(0.25 / 0.24)
    none = e_values.share_e_value(0.3, mean_exposed=0.25)
    assert none.as_dict()["value"] is None
    assert "no risk ratio" in none.sentence
