from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.lalonde import COVARIATES, read_lalonde
from wwc_research.design.coarsened_exact import coarsened_exact, exact_matching
from wwc_research.design.subclassification import subclassification
from wwc_research.errors import EstimationError, InputError
from wwc_research.estimators import linear

REFERENCE = pd.read_csv(Path(__file__).parents[1] / "figures" / "lalonde_numbers.csv").set_index("spec")


@pytest.fixture(scope="module")
def lalonde():
    return read_lalonde()


def fitted(frame, weighting, *, by_set):
    """Weighted difference of earnings and its standard error, HC1 or clustered by set."""
    kept = (weighting.weights > 0).to_numpy()
    clusters = (weighting.sets[kept].to_numpy(dtype=np.int64),) if by_set else ()
    fit = linear.fit(
        frame.loc[kept, "earnings_1978_usd"].to_numpy(),
        np.column_stack([frame.loc[kept, "treated"].to_numpy(dtype=float), np.ones(kept.sum())]),
        weights=weighting.weights[kept].to_numpy(),
        errors=linear.ErrorModel(kind="cluster" if by_set else "hetero", clusters=clusters),
    )
    return float(fit.coefficients[0]), float(fit.std_errors[0])


def assert_equals_r(frame, weighting, spec, *, by_set):
    estimate, std_error = fitted(frame, weighting, by_set=by_set)
    assert estimate == pytest.approx(REFERENCE.loc[spec, "estimate"], rel=1e-9)
    assert std_error == pytest.approx(REFERENCE.loc[spec, "std_error"], rel=1e-9)


def counts(frame, weighting):
    kept = weighting.weights > 0
    return int((kept & (frame["treated"] == 1)).sum()), int((kept & (frame["treated"] == 0)).sum())


def test_coarsened_exact_matching_equals_that_of_r(lalonde):
    weighting = coarsened_exact(lalonde, treatment="treated", covariates=COVARIATES)
    row = REFERENCE.loc["CEM n matched treated / control"]
    # the table keeps the two counts in its two columns of numbers
    assert counts(lalonde, weighting) == (row["estimate"], row["std_error"])
    assert_equals_r(lalonde, weighting, "CEM default cutpoints(sturges), SE cluster stratum", by_set=True)


def test_exact_matching_equals_that_of_r(lalonde):
    covariates = ["race", "is_married", "has_no_degree"]
    weighting = exact_matching(lalonde, treatment="treated", covariates=covariates)
    row = REFERENCE.loc["exact race,married,nodegree n treated/control"]
    assert counts(lalonde, weighting) == (row["estimate"], row["std_error"])
    assert_equals_r(lalonde, weighting, "exact race,married,nodegree", by_set=True)


def test_subclassification_equals_that_of_r(lalonde):
    weighting = subclassification(lalonde, treatment="treated", covariates=COVARIATES)
    assert_equals_r(lalonde, weighting, "PS subclassification 6, weighted diff (HC1)", by_set=False)
    assert len(weighting.settings["cutpoints"]) == 5
    assert weighting.n_sets == 6


def test_the_cutpoints_are_in_the_settings_and_reproduce_the_strata(lalonde):
    found = coarsened_exact(lalonde, treatment="treated", covariates=COVARIATES)
    cutpoints = found.settings["cutpoints"]
    assert list(cutpoints) == [name for name in COVARIATES if name != "race"]
    assert all(len(cuts) == 10 for cuts in cutpoints.values())
    again = coarsened_exact(lalonde, treatment="treated", covariates=COVARIATES, bins=cutpoints)
    pd.testing.assert_series_equal(again.weights, found.weights)


def test_a_value_at_a_cutpoint_is_in_the_bin_above():
    frame = pd.DataFrame({"treated": [1, 0, 0], "x": [5.0, 4.9, 7.0]}, index=list("abc"))
    weighting = coarsened_exact(frame, treatment="treated", covariates=["x"], bins={"x": [5.0]})
    assert weighting.weights.tolist() == [1, 0, 1]
    assert [(item.reason, item.units) for item in weighting.exclusions] == [
        ("control in a stratum without treated units", 1)
    ]


def test_no_bins_at_all_are_exact_matching(lalonde):
    covariates = ["race", "schooling_years"]
    uncut = coarsened_exact(lalonde, treatment="treated", covariates=covariates, bins=0)
    exact = exact_matching(lalonde, treatment="treated", covariates=covariates)
    pd.testing.assert_series_equal(uncut.weights, exact.weights)


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 10_000), st.integers(1, 6), st.sampled_from(["ATT", "ATE"]))
def test_units_of_a_stratum_are_in_the_same_bin_and_weights_sum_as_they_must(seed, bins, estimand):
    generator = np.random.default_rng(seed)
    frame = pd.DataFrame({"treated": generator.permutation([1] * 10 + [0] * 30), "x": generator.normal(size=40)})
    frame["kind"] = generator.choice(["a", "b"], size=40)
    options = {"treatment": "treated", "covariates": ["x", "kind"], "bins": bins, "estimand": estimand}
    weighting = coarsened_exact(frame, **options)
    inside = weighting.sets.notna()
    cuts = np.array(weighting.settings["cutpoints"]["x"])
    bin_ = pd.Series(np.searchsorted(cuts, frame["x"], side="right"))
    assert (bin_[inside].groupby(weighting.sets[inside].astype(int)).nunique() == 1).all()
    assert (frame.loc[inside, "kind"].groupby(weighting.sets[inside].astype(int)).nunique() == 1).all()
    treated = frame["treated"] == 1
    target = (inside & treated).sum() if estimand == "ATT" else inside.sum()
    assert weighting.weights[treated].sum() == pytest.approx(target)
    assert weighting.weights[~treated].sum() == pytest.approx(target)
    assert weighting.n_units + sum(item.units for item in weighting.exclusions) == 40
    turned = coarsened_exact(frame.iloc[::-1], **options)
    np.testing.assert_allclose(turned.weights.reindex(frame.index), weighting.weights, rtol=1e-12)


def test_a_constant_covariate_changes_nothing(lalonde):
    for method in (coarsened_exact, exact_matching, subclassification):
        one = method(lalonde, treatment="treated", covariates=["race", "has_no_degree"])
        other = method(lalonde.assign(same=3.0), treatment="treated", covariates=["race", "has_no_degree", "same"])
        pd.testing.assert_series_equal(one.weights, other.weights)


def test_classes_of_propensity_have_equally_many_treated_units(lalonde):
    weighting = subclassification(lalonde, treatment="treated", covariates=["age", "earnings_1975_usd"], subclasses=5)
    treated = weighting.sets[lalonde["treated"] == 1].value_counts()
    assert treated.max() - treated.min() <= 12  # equal scores stay together
    assert treated.sum() == 185


def test_classes_divided_by_exact_columns_never_mix_them(lalonde):
    weighting = subclassification(lalonde, treatment="treated", covariates=COVARIATES, exact=["race", "age"])
    inside = weighting.sets.notna()
    assert (lalonde.loc[inside, "race"].groupby(weighting.sets[inside].astype(int)).nunique() == 1).all()
    assert sum(item.units for item in weighting.exclusions) == (~inside).sum() > 0


def test_classes_for_everybody_are_cut_at_everybodys_scores(lalonde):
    weighting = subclassification(lalonde, treatment="treated", covariates=["age"], subclasses=3, estimand="ATE")
    np.testing.assert_allclose(weighting.settings["cutpoints"], weighting.propensity.quantile([1 / 3, 2 / 3]))


def test_one_treated_unit_is_compared_with_its_own_stratum():
    frame = pd.DataFrame({"treated": [1, 0, 0, 0], "x": [1.0, 1.1, 2.0, 0.9]})
    for weighting in (
        coarsened_exact(frame, treatment="treated", covariates=["x"], bins={"x": [1.5]}),
        subclassification(frame, treatment="treated", covariates=["x"], subclasses=1),
    ):
        assert weighting.weights.sum() == pytest.approx(2)
        assert weighting.weights[0] == 1


def test_strata_without_common_support_or_scores_are_errors_in_words():
    frame = pd.DataFrame({"treated": [1, 1, 0, 0], "x": [5.0, 6.0, 1.0, 2.0]})
    with pytest.raises(EstimationError, match="less finely"):
        coarsened_exact(frame, treatment="treated", covariates=["x"])
    with pytest.raises(EstimationError, match="perfectly"):
        subclassification(frame, treatment="treated", covariates=["x"])


def test_all_unusable_options_are_named_at_once(lalonde):
    with pytest.raises(InputError) as caught:
        coarsened_exact(
            lalonde,
            treatment="treat",
            covariates=["age", "race"],
            bins={"age": -1, "race": 2, "height": "sturges", "weight": "scott"},
            estimand="ATX",
        )
    for part in ("'treat'", "-1 bins", "'race' is text", "'height', which is no covariate", "scott", "ATX"):
        assert part in str(caught.value)
    with pytest.raises(InputError, match="subclasses is 0"):
        subclassification(lalonde, treatment="treated", covariates=["age"], subclasses=0)


def test_missing_covariates_are_refused_and_counted(lalonde):
    holes = lalonde.assign(age=lalonde["age"].where(lalonde["age"] > 20))
    for method in (coarsened_exact, exact_matching, subclassification):
        with pytest.raises(InputError, match="'age' is empty in"):
            method(holes, treatment="treated", covariates=["age", "race"])
