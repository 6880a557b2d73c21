import itertools

import numpy as np
import pandas as pd
import pytest

from tests.lalonde import COVARIATES, read_lalonde
from wwc_research.design.balance import balance
from wwc_research.design.cardinality import cardinality
from wwc_research.errors import EstimationError, InputError


@pytest.fixture(scope="module")
def lalonde():
    return read_lalonde()


def table(seed, n_treated=5, n_control=7):
    generator = np.random.default_rng(seed)
    treated = [1] * n_treated + [0] * n_control
    x = generator.normal(size=len(treated)) + 0.7 * np.array(treated)
    return pd.DataFrame({"treated": treated, "x": x, "z": generator.normal(size=len(treated))})


def most_by_trying_all(frame, tolerance):
    """Largest number of treated units in a balanced sample of as many controls."""
    treated, controls = (frame.loc[frame["treated"] == side, ["x", "z"]].to_numpy() for side in (1, 0))
    limit = tolerance * treated.std(axis=0, ddof=1)
    best = 0
    for number in range(1, len(treated) + 1):
        means = [
            np.array([part[list(choice)].mean(axis=0) for choice in itertools.combinations(range(len(part)), number)])
            for part in (treated, controls)
        ]
        gaps = np.abs(means[0][:, None] - means[1][None])
        if (gaps <= limit).all(axis=2).any():
            best = number
    return best


@pytest.mark.parametrize("seed", range(8))
def test_no_balanced_sample_is_larger(seed):
    frame = table(seed)
    options = {"treatment": "treated", "covariates": ["x", "z"], "tolerance": 0.15, "max_gap": 0.0}
    most = most_by_trying_all(frame, 0.15)
    if most == 0:
        with pytest.raises(EstimationError, match=r"balanced within 0\.15"):
            cardinality(frame, **options)
        return
    weighting = cardinality(frame, **options)
    assert weighting.n_sets == most
    assert weighting.settings["proven_largest"]
    assert weighting.settings["most_possible"] == most


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"tolerance": 0.02},
        {"ratio": 2},
        {"ratio": None},
        {"tolerance": 0.05, "exact": ["race"]},
        {"tolerance": {**dict.fromkeys(COVARIATES, 0.1), "age": 0.01}},
    ],
)
def test_every_covariate_is_balanced_as_closely_as_was_asked_for(lalonde, options):
    weighting = cardinality(lalonde, treatment="treated", covariates=COVARIATES, **options)
    found = balance(lalonde, treatment="treated", covariates=COVARIATES, weights=weighting.weights)
    tolerance = options.get("tolerance", 0.1)
    limits = tolerance if isinstance(tolerance, dict) else dict.fromkeys(COVARIATES, tolerance)
    limit = found["covariate"].map(lambda name: limits["race" if name.startswith("race") else name])
    assert (found["smd_after"].abs() <= limit + 1e-6).all()
    assert weighting.settings["largest_difference"] == pytest.approx(found["smd_after"].abs().max(), abs=1e-9)


def test_the_chosen_units_are_paired_one_to_ratio_and_weights_sum_to_the_treated(lalonde):
    weighting = cardinality(lalonde, treatment="treated", covariates=COVARIATES, ratio=2)
    treated = lalonde["treated"] == 1
    sizes = pd.crosstab(weighting.sets.dropna().astype(int), lalonde["treated"])
    assert (sizes[1] == 1).all()
    assert (sizes[0] == 2).all()
    assert weighting.weights[~treated].sum() == pytest.approx(weighting.weights[treated].sum())
    assert treated[weighting.pairs["treated"]].all()
    assert not treated[weighting.pairs["control"]].any()
    assert weighting.estimand == "ATT of the matched treated"
    assert weighting.n_units + sum(item.units for item in weighting.exclusions) == len(lalonde)


def test_without_a_ratio_all_treated_units_stay(lalonde):
    weighting = cardinality(lalonde, treatment="treated", covariates=COVARIATES, ratio=None)
    treated = lalonde["treated"] == 1
    assert (weighting.weights[treated] == 1).all()
    assert weighting.estimand == "ATT"
    assert weighting.sets is None
    assert weighting.pairs is None


def test_exact_columns_are_balanced_exactly_and_pairs_agree_on_them(lalonde):
    weighting = cardinality(lalonde, treatment="treated", covariates=["age"], exact=["race"])
    kept = lalonde[weighting.weights > 0]
    counts = pd.crosstab(kept["race"], kept["treated"])
    assert (counts[0] == counts[1]).all()
    left, right = (lalonde.loc[weighting.pairs[side], "race"].to_numpy() for side in ("treated", "control"))
    assert (left == right).all()


def test_a_wider_tolerance_never_gives_fewer_units():
    frame = table(3, 15, 40)
    sizes = [
        cardinality(frame, treatment="treated", covariates=["x", "z"], tolerance=limit, max_gap=0.0).n_units
        for limit in (0.01, 0.1, 0.5, 2.0)
    ]
    assert sizes == sorted(sizes)
    assert sizes[-1] == 30


def test_the_order_of_the_rows_does_not_matter():
    frame = table(4, 12, 30)
    one = cardinality(frame, treatment="treated", covariates=["x", "z"])
    turned = cardinality(frame.iloc[::-1], treatment="treated", covariates=["x", "z"])
    pd.testing.assert_series_equal(one.weights, turned.weights.reindex(frame.index))


def test_constant_and_collinear_covariates_change_no_size():
    frame = table(5, 10, 20).assign(same=1.0)
    frame["twice"] = 2 * frame["x"]
    one = cardinality(frame, treatment="treated", covariates=["x", "z"])
    other = cardinality(frame, treatment="treated", covariates=["x", "z", "same", "twice"])
    assert one.n_units == other.n_units


def test_one_treated_unit_is_matched_within_the_spread_of_all_units():
    frame = pd.DataFrame({"treated": [1, 0, 0, 0], "x": [1.0, 1.05, 2.0, 4.0]})
    weighting = cardinality(frame, treatment="treated", covariates=["x"], tolerance=0.1)
    assert weighting.weights.tolist() == [1, 1, 0, 0]


def test_no_common_support_is_an_error_with_a_way_out():
    frame = pd.DataFrame({"treated": [1, 1, 0, 0], "x": [8.0, 9.0, 1.0, 2.0]})
    with pytest.raises(EstimationError, match="Allow larger differences"):
        cardinality(frame, treatment="treated", covariates=["x"])


def test_all_unusable_options_are_named_at_once(lalonde):
    with pytest.raises(InputError) as caught:
        cardinality(
            lalonde,
            treatment="treated",
            covariates=["age", "race"],
            tolerance={"age": -1.0, "height": 0.1},
            ratio=None,
            exact=["race"],
            max_gap=1.5,
            time_limit=0,
        )
    for part in (
        "no tolerance for race",
        "given for height",
        "-1.0",
        "need a ratio",
        "max_gap is 1.5",
        "time_limit is 0",
    ):
        assert part in str(caught.value)
