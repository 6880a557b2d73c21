"""Sampling error split from other noise, and the weights that follow from the split."""

import numpy as np
import pandas as pd
import pytest

from wwc_research.design.sample import Sample
from wwc_research.errors import EstimationError, InputError
from wwc_research.estimators import estimate
from wwc_research.estimators.precision import noise_split, precision_weighted

TAU = 0.5


def noisy(seed: int, *, tau: float = TAU, spread: float = 1.0, missing: float = 0.0) -> Sample:
    """120 units over 8 times whose published standard errors differ much, a fourth of the units exposed at 5."""
    generator = np.random.default_rng(seed)
    units, times = 120, 8
    unit, time = np.repeat(np.arange(units), times), np.tile(np.arange(times), units)
    sigma = np.exp(generator.normal(scale=spread, size=units))[unit] * 0.5
    cohort = np.where(unit % 4 == 0, 5.0, np.nan)
    effect = 1.0 * (time >= np.nan_to_num(cohort, nan=99))
    noise = generator.normal(size=unit.size) * np.sqrt(tau**2 + sigma**2)
    frame = pd.DataFrame(
        {
            "unit": unit.astype(str),
            "time": time,
            "outcome": generator.normal(size=units)[unit] + 0.2 * time + effect + noise,
            "cohort": cohort,
            "cluster": unit.astype(str),
            "weight": 1.0,
            "outcome_std_error": sigma,
        }
    )
    return Sample(frame=frame.loc[generator.random(unit.size) >= missing])


@pytest.mark.parametrize("missing", [0.0, 0.1])
def test_the_planted_variances_are_recovered(missing):
    splits = [noise_split(noisy(seed, missing=missing)) for seed in range(30)]
    other = np.array([split.other_variance for split in splits])
    assert abs(other.mean() - TAU**2) < 3 * other.std() / np.sqrt(30)
    for split in splits:
        total = split.other_variance + split.sampling_variance
        assert split.sampling_share == pytest.approx(split.sampling_variance / total) or split.other_variance == 0


def test_a_balanced_panel_of_two_units_and_two_times_gives_the_hand_worked_split():
    frame = pd.DataFrame(
        {
            "unit": list("aabbccdd"),
            "time": [0, 1] * 4,
            "outcome": [0.0, 2, 0, -2, 0, 2, 0, -2],
            "cohort": [np.nan] * 8,
            "cluster": list("aabbccdd"),
            "weight": 1.0,
            "outcome_std_error": 0.5,
        }
    )
    exposed = frame.assign(unit=frame["unit"] + "x", cohort=1.0, outcome=frame["outcome"] + 7.0 * frame["time"])
    split = noise_split(Sample(frame=pd.concat([frame, exposed])))
    # exposed units are seen once before exposure and left out: 8 rows, spare = 8 x 1/2 x 3/4 = 3, each residual is 1
    assert split.sampling_variance == pytest.approx(0.25)
    assert split.other_variance == pytest.approx((8 - 3 * 0.25) / 3)
    assert split.sampling_share == pytest.approx(3 * 0.25 / 8)


def test_the_split_holds_where_most_units_are_exposed():
    found = []
    for seed in range(40):
        sample = noisy(seed, tau=1.0)
        mostly = sample.frame.assign(cohort=np.where(sample.frame["unit"].astype(int) % 4 == 0, np.nan, 5.0))
        found.append(noise_split(Sample(frame=mostly)).other_variance)
    assert abs(np.mean(found) - 1) < 3 * np.std(found) / np.sqrt(40)


def test_these_weights_beat_none_and_bare_inverse_variances_do_not():
    found = {"none": [], "split": [], "bare": []}
    for seed in range(60):
        sample = noisy(seed, tau=1.0, spread=1.5)
        bare = sample.frame.assign(weight=1 / sample.frame["outcome_std_error"] ** 2)
        ways = {"none": sample, "split": precision_weighted(sample), "bare": Sample(frame=bare)}
        for name, way in ways.items():
            found[name].append(estimate(way, "two_way_fe").estimate - 1)
    error = {name: float(np.mean(np.square(values))) for name, values in found.items()}
    assert error["split"] < 0.5 * error["none"]
    assert error["split"] < error["bare"]


def test_equal_errors_leave_the_estimate_as_it_was():
    sample = noisy(3)
    even = Sample(frame=sample.frame.assign(outcome_std_error=0.3))
    weighted = precision_weighted(even)
    assert estimate(weighted, "two_way_fe").estimate == pytest.approx(estimate(even, "two_way_fe").estimate)
    assert weighted.settings["other_variance"] > 0


def test_an_outcome_without_published_errors_is_refused():
    with pytest.raises(InputError, match="outcome_std_error"):
        precision_weighted(Sample(frame=noisy(1).frame.drop(columns="outcome_std_error")))


def test_a_row_without_any_noise_is_refused_since_it_would_get_all_the_weight():
    frame = noisy(1).frame
    huge = frame.assign(outcome_std_error=np.where(frame["unit"] == "0", 0.0, 50.0))
    with pytest.raises(EstimationError, match="standard error of 0"):
        precision_weighted(Sample(frame=huge))
