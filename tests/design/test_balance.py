from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from tests.lalonde import read_lalonde
from wwc_research.catalog import plan
from wwc_research.design.balance import (
    balance,
    balance_verdict,
    common_support,
    distance_balance,
    effective_sample_size,
    overlap,
    sample_sizes,
)
from wwc_research.design.entropy_balancing import entropy_balancing
from wwc_research.design.matching import nearest
from wwc_research.errors import InputError
from wwc_research.evidence import checks

FIGURES = Path(__file__).parents[1] / "figures"
# names of the reference rows (R) -> columns of our table
COVARIATES = {
    "age": "age",
    "educ": "schooling_years",
    "race": "race",
    "married": "is_married",
    "nodegree": "has_no_degree",
    "re74": "earnings_1974_usd",
    "re75": "earnings_1975_usd",
}


@pytest.fixture(scope="module")
def lalonde():
    return read_lalonde()


@pytest.fixture(scope="module")
def table(lalonde):
    matches = nearest(lalonde, treatment="treated", covariates=list(COVARIATES.values()))
    table = balance(
        lalonde, treatment="treated", covariates=list(COVARIATES.values()), weights=matches.weights
    ).set_index("covariate")
    distance = distance_balance(lalonde, treatment="treated", weights=matches.weights, propensity=matches.propensity)
    return pd.concat([table, pd.DataFrame(distance, index=["distance"])])


def reference_rows():
    rows = pd.read_csv(FIGURES / "lalonde_numbers.csv")
    rows = rows[rows["spec"].str.startswith("SMD") & ~rows["spec"].str.contains("ATT sd|SMD distance")]
    for spec, expected in zip(rows["spec"], rows["estimate"], strict=True):
        name = spec.split()[-1]
        yield pytest.param("smd_after" if "after" in spec else "smd_before", name, expected, id=spec)


@pytest.mark.parametrize(("column", "name", "expected"), list(reference_rows()))
def test_standardised_differences_equal_those_of_r(table, column, name, expected):
    assert table.loc[COVARIATES.get(name, name), column] == pytest.approx(expected, rel=1e-6)


def test_distribution_gaps_equal_the_two_sample_kolmogorov_smirnov_statistic(lalonde, table):
    treated = lalonde["treated"] == 1
    for name in ("age", "earnings_1974_usd"):
        expected = stats.ks_2samp(lalonde.loc[treated, name], lalonde.loc[~treated, name]).statistic
        assert table.loc[name, "ks_before"] == pytest.approx(expected, rel=1e-12)


def test_variance_ratios_are_those_of_sample_variances_and_undefined_for_indicators(lalonde, table):
    treated = lalonde["treated"] == 1
    expected = lalonde.loc[treated, "age"].var() / lalonde.loc[~treated, "age"].var()
    assert table.loc["age", "variance_ratio_before"] == pytest.approx(expected, rel=1e-12)
    assert np.isnan(table.loc["raceblack", "variance_ratio_before"])


def test_unit_weights_leave_balance_as_it_was(lalonde):
    weights = pd.Series(1.0, index=lalonde.index)
    same = balance(lalonde, treatment="treated", covariates=["age", "race"], weights=weights)
    for measure in ("smd", "variance_ratio", "ks"):
        np.testing.assert_array_equal(same[f"{measure}_before"], same[f"{measure}_after"])


def test_a_covariate_that_does_not_vary_among_the_treated_has_no_standardised_difference():
    frame = pd.DataFrame({"treated": [1, 1, 0, 0], "x": [2.0, 2.0, 1.0, 3.0]})
    row = balance(frame, treatment="treated", covariates=["x"], weights=pd.Series(1.0, index=frame.index))
    assert np.isnan(row.loc[0, "smd_before"])


def test_reused_controls_count_for_less():
    assert effective_sample_size(np.ones(8)) == 8
    assert effective_sample_size(np.array([4.0, 0.0, 0.0])) == 1
    assert effective_sample_size(np.array([3.0, 1.0])) == pytest.approx(1.6)
    assert effective_sample_size(np.zeros(3)) == 0


# MatchIt's printed summary of LaLonde before matching (its vignette "Getting started"), four decimals
PRINTED = {
    "distance": (1.7941, 0.3774, 0.6444),
    "age": (-0.3094, 0.0813, 0.1577),
    "schooling_years": (0.0550, 0.0347, 0.1114),
    "raceblack": (1.7615, 0.6404, 0.6404),
    "is_married": (-0.8263, 0.3236, 0.3236),
    "earnings_1974_usd": (-0.7211, 0.2248, 0.4470),
    "earnings_1975_usd": (-0.2903, 0.1342, 0.2876),
}


@pytest.mark.parametrize(("name", "printed"), PRINTED.items())
def test_mean_and_largest_gaps_of_distributions_are_those_matchit_prints(table, name, printed):
    found = table.loc[name, ["smd_before", "ecdf_mean_before", "ks_before"]].to_numpy(dtype=float)
    np.testing.assert_allclose(found, printed, atol=5.1e-5)


def test_differences_are_measured_by_the_spread_of_those_whose_effect_it_is(lalonde):
    weights = pd.Series(1.0, index=lalonde.index)
    rows = {
        estimand: balance(lalonde, treatment="treated", covariates=["age"], weights=weights, estimand=estimand).loc[
            0, "smd_before"
        ]
        for estimand in ("ATT", "ATC", "ATE", "ATO", "ATT of the matched treated")
    }
    groups = lalonde.groupby("treated")["age"]
    gap, variance = groups.mean()[1] - groups.mean()[0], groups.var()
    assert rows["ATT"] == rows["ATT of the matched treated"] == pytest.approx(gap / np.sqrt(variance[1]))
    assert rows["ATC"] == pytest.approx(gap / np.sqrt(variance[0]))
    assert rows["ATE"] == rows["ATO"] == pytest.approx(gap / np.sqrt(variance.mean()))
    with pytest.raises(InputError, match="estimand 'LATE' is unknown; use ATT, ATC, ATE and ATO"):
        balance(lalonde, treatment="treated", covariates=["age"], weights=weights, estimand="LATE")


def test_squares_and_products_get_rows_but_not_products_of_one_columns_levels(lalonde):
    names = ["age", "race", "is_married"]
    weights = pd.Series(1.0, index=lalonde.index)
    found = balance(lalonde, treatment="treated", covariates=names, weights=weights, interactions=True)
    own = ["age", "raceblack", "racehispan", "racewhite", "is_married"]
    products = {"age x raceblack", "age x racehispan", "age x racewhite", "age x is_married"}
    products |= {f"{level} x is_married" for level in own[1:4]}
    assert set(found["covariate"]) == {*own, "age^2", *products}
    rows = found.set_index("covariate")
    both = lalonde["race"].eq("black") & lalonde["is_married"].eq(1)
    means = both.groupby(lalonde["treated"]).mean()
    assert rows.loc["raceblack x is_married", "mean_treated_before"] == pytest.approx(means[1])
    centred = (lalonde["age"] - lalonde["age"].mean()) ** 2
    assert rows.loc["age^2", "mean_control_before"] == pytest.approx(centred[lalonde["treated"].eq(0)].mean())


def test_means_balanced_exactly_can_leave_products_unlike(lalonde):
    names = ["age", "schooling_years", "is_married", "earnings_1974_usd"]
    found = entropy_balancing(lalonde, treatment="treated", covariates=names)
    arguments = {"treatment": "treated", "covariates": names, "weights": found.weights, "estimand": found.estimand}
    assert balance_verdict(balance(lalonde, **arguments), limit=0.001).result == "passed"
    verdict = balance_verdict(balance(lalonde, **arguments, interactions=True), limit=0.05)
    assert verdict.result == "failed"
    assert "^2" in verdict.worst or " x " in verdict.worst
    sizes = sample_sizes(lalonde, treatment="treated", weights=found.weights)
    assert sizes["effective_n_treated"] == sizes["n_treated"] == 185
    assert sizes["effective_n_control"] == pytest.approx(found.settings["effective_n_control"])
    assert sizes["effective_n_control"] < sizes["n_control_used"] <= sizes["n_control"] == 429


def test_support_counts_the_treated_beyond_every_control():
    frame = pd.DataFrame({"treated": [1, 1, 1, 0, 0, 0], "x": [0.0, 5.0, 9.0, 1.0, 4.0, 6.0]})
    score = pd.Series([0.2, 0.5, 0.7, 0.1, 0.6, np.nan])
    rows = common_support(frame, treatment="treated", covariates=["x"], propensity=score).set_index("covariate")
    assert list(rows.index) == ["propensity", "x"]
    assert rows.loc["x", ["control_low", "control_high", "n_treated_outside"]].tolist() == [1, 6, 2]
    assert rows.loc["x", "treated_inside_share"] == pytest.approx(1 / 3)
    assert rows.loc["propensity", "n_treated_outside"] == 1
    kept = pd.Series([0.0, 1, 0, 1, 1, 1])
    rows = common_support(frame, treatment="treated", covariates=["x"], weights=kept)
    assert rows.loc[0, "treated_inside_share"] == 1


def test_overlap_gives_each_groups_shares_before_and_after(lalonde):
    matches = nearest(lalonde, treatment="treated", covariates=["age", "race", "is_married"])
    rows = overlap(lalonde, treatment="treated", propensity=matches.propensity, weights=matches.weights, bins=10)
    shares = rows.drop(columns=["low", "high"])
    np.testing.assert_allclose(shares.sum(), 1.0)

    def common(when):
        return rows[[f"treated_{when}", f"control_{when}"]].min(axis=1).sum()

    assert common("after") > common("before") + 0.1
    with pytest.raises(InputError, match="no unit has a propensity score"):
        overlap(lalonde, treatment="treated", propensity=pd.Series(dtype=float), weights=matches.weights)


def test_the_verdict_names_the_worst_covariate_and_its_threshold(table):
    rows = table.reset_index(names="covariate")
    verdict = balance_verdict(rows, limit=0.25, titles={"raceblack": "Black men"})
    assert (verdict.result, verdict.worst, verdict.limit) == ("failed", "Black men", 0.25)
    assert verdict.largest == pytest.approx(1.02585928270134, rel=1e-9)
    assert verdict.sentence.startswith("The largest standardised difference after matching is 1.026 (Black men), above")
    assert len(verdict.beyond) == int((rows["smd_after"].abs() > 0.25).sum()) > 1
    calm = balance_verdict(rows[rows["covariate"].isin(["age", "earnings_1975_usd"])], limit=0.1)
    assert (calm.result, calm.beyond) == ("passed", ())
    assert "within the limit of 0.1" in calm.sentence


def test_the_verdict_agrees_with_the_check_of_a_page(table):
    rule = plan().verdict
    rows = table.reset_index(names="title").to_dict("records")
    for some in (rows, rows[1:2], []):
        check, verdict = checks.balance(some, rule=rule), balance_verdict(some, limit=rule.balance_limit)
        assert check.result == verdict.result
        assert verdict.sentence == check.sentence


def test_what_cannot_be_measured_cannot_be_told_unless_the_means_agree():
    frame = pd.DataFrame({"treated": [1, 1, 0, 0], "x": [2.0, 2.0, 1.0, 3.0], "y": [2.0, 2.0, 1.0, 2.0]})
    weights = pd.Series(1.0, index=frame.index)
    both = balance(frame, treatment="treated", covariates=["x", "y"], weights=weights)
    verdict = balance_verdict(both)
    assert (verdict.result, verdict.unknown) == ("cannot_tell", ("y",))
    assert "cannot be told for y" in verdict.sentence
    assert balance_verdict([]).result == "cannot_tell"


def test_weights_that_leave_a_group_empty_or_are_missing_are_refused_together(lalonde):
    none = pd.Series(0.0, index=lalonde.index)
    with pytest.raises(InputError, match=r"(?s)no treated unit has any weight.*no control has any weight"):
        balance(lalonde, treatment="treated", covariates=["age"], weights=none)
    with pytest.raises(InputError, match="missing or negative"):
        sample_sizes(lalonde, treatment="treated", weights=none.iloc[1:] + 1)


@pytest.mark.parametrize("value", [20.0, 0.1, 1e9])
def test_a_covariate_that_is_the_same_for_all_has_no_difference_made_of_rounding(value):
    generator = np.random.default_rng(3)
    frame = pd.DataFrame({"treated": [1] * 37 + [0] * 91, "century": value})
    weights = pd.Series(generator.random(128), index=frame.index)
    (row,) = balance(frame, treatment="treated", covariates=["century"], weights=weights).to_dict("records")
    assert np.isnan([row["smd_before"], row["smd_after"], row["variance_ratio_after"]]).all()
    assert balance_verdict([row]).result == "cannot_tell"
