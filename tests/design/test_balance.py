from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from tests.lalonde import read_lalonde
from wwc_research.design.balance import balance, distance_balance, effective_sample_size
from wwc_research.design.matching import nearest

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
