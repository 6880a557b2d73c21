"""The Goodman-Bacon decomposition: by hand, against bacondecomp, and always adding up."""

from __future__ import annotations

import json

import numpy as np
import pandas as pd
import pytest
from conftest import FIGURES, world

from wwc_research.design.sample import Sample
from wwc_research.errors import EstimationError
from wwc_research.estimators import goodman_bacon, two_way_fe


def parts(result) -> pd.DataFrame:
    return pd.DataFrame(result.settings["comparisons"])


def three_units() -> pd.DataFrame:
    """One unit exposed in 2, one in 4, one never, over 1 to 4, with effects 6 and 3 and growth 1 a year."""
    outcome = [[10, 17, 18, 19], [0, 1, 2, 6], [5, 6, 7, 8]]
    return pd.DataFrame(
        {
            "unit": np.repeat(["a", "b", "c"], 4),
            "time": np.tile([1, 2, 3, 4], 3),
            "outcome": np.array(outcome, dtype=float).ravel(),
            "cohort": np.repeat([2.0, 4.0, np.nan], 4),
            "cluster": np.repeat(["a", "b", "c"], 4),
            "weight": 1.0,
        }
    )


def test_three_units_are_decomposed_as_worked_by_hand():
    # exposed shares 3/4 and 1/4; weights in sixteenths times (1/3)^2:
    # a-untreated 3/16, b-untreated 3/16, a-b (1/2)(1/4) = 2/16, b-a (1/2)(1/4) = 2/16; all of 10/16
    result = goodman_bacon.estimate(Sample(frame=three_units()))
    by_hand = pd.DataFrame(
        [
            ("treated vs untreated", 2, np.nan, 0.3, 6.0),
            ("earlier vs later treated", 2, 4.0, 0.2, 6.0),
            ("later vs earlier treated", 4, 2.0, 0.2, 3.0),
            ("treated vs untreated", 4, np.nan, 0.3, 3.0),
        ],
        columns=["type", "cohort", "comparison_cohort", "weight", "estimate"],
    )
    pd.testing.assert_frame_equal(parts(result), by_hand)
    assert result.estimate == pytest.approx(0.3 * 6 + 0.2 * 6 + 0.2 * 3 + 0.3 * 3)


def test_mpdta_is_decomposed_as_by_bacondecomp(mpdta):
    numbers = pd.read_csv(FIGURES / "reference_numbers.csv")
    theirs = numbers[numbers["estimator"] == "Goodman-Bacon"].set_index("spec")["estimate"]
    result = goodman_bacon.estimate(Sample(frame=mpdta))
    assert result.estimate == pytest.approx(theirs["sum(weight*estimate)=TWFE"], rel=1e-9)
    names = {
        goodman_bacon.UNTREATED: "Treated vs Untreated",
        goodman_bacon.EARLIER: "Earlier vs Later Treated",
        goodman_bacon.LATER: "Later vs Earlier Treated",
    }
    for ours, name in names.items():
        share = result.settings["shares"][ours]
        assert share["weight"] == pytest.approx(theirs[f"weight: {name}"], rel=1e-9)
        assert share["estimate"] == pytest.approx(theirs[f"mean estimate: {name}"], rel=1e-9)


@pytest.mark.parametrize("seed", range(4))
def test_the_comparisons_add_up_to_two_way_fixed_effects_whatever_the_weights_and_gaps(seed):
    frame = world(seed=seed, noise=1.0)
    heavy = dict(zip(frame["unit"].unique(), np.random.default_rng(seed).uniform(0.2, 4, 90), strict=True))
    sample = Sample(frame=frame.assign(weight=frame["unit"].map(heavy)))
    result, twfe = goodman_bacon.estimate(sample), two_way_fe.estimate(sample)
    table = parts(result)
    assert table["weight"].sum() == pytest.approx(1)
    assert (table["weight"] > 0).all()
    assert table["weight"] @ table["estimate"] == pytest.approx(twfe.estimate, rel=1e-10)
    assert (result.estimate, result.std_error, result.df) == (twfe.estimate, twfe.std_error, twfe.df)


def test_growing_effects_show_in_the_comparisons_with_units_already_exposed():
    shares = goodman_bacon.estimate(Sample(frame=world(seed=3, noise=0.0))).settings["shares"]
    # truth: effects grow from 1 by 0.5 a year, so no effect is below 1
    assert shares[goodman_bacon.UNTREATED]["estimate"] > 1
    assert shares[goodman_bacon.EARLIER]["estimate"] > 1
    assert shares[goodman_bacon.LATER]["estimate"] < 1


def test_units_with_a_gap_are_counted_out_and_the_rest_still_adds_up(staggered):
    gappy = staggered.drop(index=staggered.index[[3, 100, 101]])
    result = goodman_bacon.estimate(Sample(frame=gappy))
    (exclusion,) = result.exclusions
    assert "balanced panel" in exclusion.reason
    assert (exclusion.rows, exclusion.units) == (9, 2)
    table = parts(result)
    assert table["weight"] @ table["estimate"] == pytest.approx(result.estimate)


def test_what_the_decomposition_cannot_hold_for_is_refused(staggered):
    with pytest.raises(EstimationError, match="anticipation = 1 leaves rows out"):
        goodman_bacon.estimate(Sample(frame=staggered, anticipation=1))
    with pytest.raises(EstimationError, match="weights change over time"):
        goodman_bacon.estimate(Sample(frame=staggered.assign(weight=staggered["time"] - 2000.0)))
    kept = (staggered["time"] != 2017) | staggered["cohort"].isna()
    with pytest.raises(EstimationError, match="none are exposed or none are left"):
        goodman_bacon.estimate(Sample(frame=staggered[kept]))


def test_covariates_are_named_as_not_used_and_the_settings_are_plain_json(staggered):
    result = goodman_bacon.estimate(Sample(frame=staggered, covariates=("size",)))
    plain = goodman_bacon.estimate(Sample(frame=staggered))
    assert result.estimate == plain.estimate
    assert result.settings["covariates_not_used"] == ["size"]
    assert json.loads(json.dumps(result.as_dict()))["settings"]["shares"] == result.settings["shares"]
