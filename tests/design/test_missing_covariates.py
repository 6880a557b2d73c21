import numpy as np
import pandas as pd
import pytest

from wwc_research.design.inverse_probability import inverse_probability
from wwc_research.design.missing_covariates import complete_covariates
from wwc_research.errors import EstimationError, InputError


def cities():
    return pd.DataFrame(
        {
            "income_usd": [10.0, np.nan, 30.0, 50.0, np.nan],
            "region": ["west", "south", None, "south", None],
            "population_count": [1, 2, 3, 4, 5],
            "certified": [1, 0, 1, 0, 0],
        },
        index=list("abcde"),
    )


NAMES = ["income_usd", "region", "population_count"]


def test_dropped_units_are_counted_once_at_the_first_covariate_they_lack():
    found = complete_covariates(cities(), covariates=NAMES, rule="drop")
    assert list(found.frame.index) == ["a", "d"]
    assert [(item.reason, item.units) for item in found.exclusions] == [
        ("unit without a value of income_usd", 2),
        ("unit without a value of region", 1),
    ]
    assert found.covariates == tuple(NAMES)


def test_filled_cells_hold_the_mean_or_the_commonest_value_and_are_marked():
    found = complete_covariates(cities(), covariates=NAMES, rule="impute")
    assert found.frame["income_usd"].tolist() == [10, 30, 30, 50, 30]
    assert found.frame["region"].tolist() == ["west", "south", "south", "south", "south"]
    assert found.frame["is_missing_income_usd"].tolist() == [0, 1, 0, 0, 1]
    assert found.frame["is_missing_region"].tolist() == [0, 0, 1, 0, 1]
    assert found.covariates == (*NAMES, "is_missing_income_usd", "is_missing_region")
    assert found.exclusions == ()
    assert found.settings["missing_covariates"]["region"] == {"count": 2, "share": 0.4, "filled_with": "south"}


def test_filling_is_blind_to_the_treatment():
    one = complete_covariates(cities(), covariates=NAMES, rule="impute").frame
    other = complete_covariates(cities().assign(certified=[0, 1, 0, 1, 1]), covariates=NAMES, rule="impute").frame
    pd.testing.assert_frame_equal(one.drop(columns="certified"), other.drop(columns="certified"))


def test_of_equally_common_values_the_first_by_name_is_taken():
    frame = pd.DataFrame({"region": ["west", "east", None]})
    found = complete_covariates(frame, covariates=["region"], rule="impute")
    assert found.frame["region"].tolist() == ["west", "east", "east"]


@pytest.mark.parametrize("rule", ["drop", "impute"])
def test_a_table_without_empty_cells_stays_as_it_is_and_the_input_always_does(rule):
    frame = cities()
    complete_covariates(frame, covariates=NAMES, rule=rule)
    pd.testing.assert_frame_equal(frame, cities())
    whole = cities().dropna()
    found = complete_covariates(whole, covariates=NAMES, rule=rule)
    pd.testing.assert_frame_equal(found.frame, whole)
    assert found.covariates == tuple(NAMES)
    assert found.settings["missing_covariates"] == {}


def test_the_result_goes_straight_into_weighting():
    generator = np.random.default_rng(3)
    frame = pd.DataFrame({"x": generator.normal(size=200), "treated": generator.integers(0, 2, size=200)})
    frame.loc[::9, "x"] = np.nan
    found = complete_covariates(frame, covariates=["x"], rule="impute")
    weighting = inverse_probability(found.frame, treatment="treated", covariates=found.covariates, estimand="ATO")
    lacking = found.frame["is_missing_x"]
    shares = [
        np.average(lacking[frame["treated"] == group], weights=weighting.weights[frame["treated"] == group])
        for group in (0, 1)
    ]
    assert shares[0] == pytest.approx(shares[1])


def test_what_cannot_be_completed_is_refused():
    with pytest.raises(InputError, match=r"(?s)'guess' is unknown.*no column 'age'"):
        complete_covariates(cities(), covariates=["age"], rule="guess")
    with pytest.raises(InputError, match="empty for every unit"):
        complete_covariates(cities().assign(region=None), covariates=["region"], rule="impute")
    with pytest.raises(InputError, match="exists already"):
        complete_covariates(cities().assign(is_missing_region=0), covariates=["region"], rule="impute")
    alternating = pd.DataFrame({"x": [1.0, np.nan], "z": [np.nan, 1.0]})
    with pytest.raises(EstimationError, match="every unit lacks one of x and z"):
        complete_covariates(alternating, covariates=["x", "z"], rule="drop")
