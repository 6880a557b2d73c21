import dataclasses

import numpy as np
import pandas as pd
import pytest

from tests.design.test_design import design
from wwc_research.design.sample import Sample
from wwc_research.errors import EstimationError, InputError
from wwc_research.estimators import estimate
from wwc_research.evidence.worlds import Components, describe, estimate_components, make_world

MADE = Components(
    level=50.0,
    unit_spread=5.0,
    years=(0.0, 1.0, 1.5, 2.0, 4.0, 3.0, 2.0, 2.5),
    noise=2.0,
    persistence=0.6,
    cluster_shock=1.0,
    size_slope=-0.5,
)


def skeleton(*, n_units=400, n_clusters=100, gap=True):
    """Units in clusters and strata by population, 8 years with one gap, exposed from 2016 or 2018."""
    generator = np.random.default_rng(11)
    times = [2011, 2012, 2013, 2014, 2016, 2017, 2018, 2019] if gap else list(range(2012, 2020))
    people = np.exp(generator.normal(11.5, 1, n_units))
    cohort = np.full(n_units, np.nan)
    cohort[: n_units // 5] = np.repeat([2016.0, 2018.0], n_units // 10)
    frame = pd.DataFrame(
        {
            "unit": np.repeat([f"{number:05d}" for number in range(n_units)], len(times)),
            "time": np.tile(times, n_units),
            "outcome": generator.normal(size=n_units * len(times)),
            "cohort": np.repeat(cohort, len(times)),
            "cluster": np.repeat(
                [f"c{number:03d}" for number in generator.integers(n_clusters, size=n_units)], len(times)
            ),
            "weight": 1.0,
            "label": np.repeat([f"Town {number}" for number in range(n_units)], len(times)),
            "people": np.repeat(people, len(times)),
            "stratum": np.repeat((people > np.median(people)).astype(int), len(times)),
        }
    )
    return Sample(frame=frame)


def worlds(kind, *, draws=8, sample=None, components=MADE, **options):
    sample = sample or skeleton()
    return [
        make_world(sample, kind=kind, generator=np.random.default_rng([5, seed]), components=components, **options)
        for seed in range(draws)
    ]


def mean_leads(found, *, leads=(-4, -3, -2, -1)):
    terms = [estimate(world, "imputation").event_study for world in found]
    return np.array([np.mean([t.estimate for study in terms for t in study if t.event_time == at]) for at in leads])


@pytest.mark.parametrize(
    "changes", [{}, {"persistence": 0.0}, {"persistence": -0.3}, {"cluster_shock": 0.0}, {"size_slope": 0.0}]
)
def test_the_components_that_made_a_world_are_found_in_it(changes):
    made = dataclasses.replace(MADE, **changes)
    found = [estimate_components(world) for world in worlds("null", components=made)]

    def mean(name):
        return np.mean([getattr(item, name) for item in found])

    assert mean("noise") == pytest.approx(made.noise, rel=0.05)
    assert mean("persistence") == pytest.approx(made.persistence, abs=0.06)
    assert mean("cluster_shock") == pytest.approx(made.cluster_shock, abs=0.3 if not made.cluster_shock else 0.15)
    assert mean("size_slope") == pytest.approx(made.size_slope, abs=0.12)
    assert mean("unit_spread") == pytest.approx(made.unit_spread, rel=0.06)
    assert mean("level") == pytest.approx(made.level, abs=0.6)
    assert np.mean([item.years for item in found], axis=0) == pytest.approx(np.array(made.years), abs=0.3)


def test_components_of_a_panel_with_holes_are_found_as_well():
    sample = skeleton()
    kept = np.random.default_rng(2).random(len(sample.frame)) > 0.25
    holed = dataclasses.replace(sample, frame=sample.frame.loc[kept].reset_index(drop=True))
    made = dataclasses.replace(MADE, size_slope=0.0)
    found = [estimate_components(world) for world in worlds("null", sample=holed, components=made)]
    assert np.mean([item.noise for item in found]) == pytest.approx(made.noise, rel=0.06)
    assert np.mean([item.persistence for item in found]) == pytest.approx(made.persistence, abs=0.08)


@pytest.mark.parametrize("shape", ["constant", "growing"])
def test_a_true_effect_is_recovered_on_average(shape):
    found = [estimate(world, "imputation") for world in worlds("effect", effect=3.0, shape=shape, draws=12)]
    spread = np.std([item.estimate for item in found], ddof=1) / np.sqrt(12)
    assert np.mean([item.estimate for item in found]) == pytest.approx(3.0, abs=max(3 * spread, 0.05))
    assert spread < 0.3
    by_time = [np.mean([t.estimate for item in found for t in item.event_study if t.event_time == at]) for at in (0, 3)]
    assert (by_time[1] - by_time[0] > 1.5) == (shape == "growing")


def test_null_worlds_have_no_effect_and_flat_leads():
    found = worlds("null", draws=16)
    assert np.mean([estimate(world, "imputation").estimate for world in found]) == pytest.approx(0, abs=0.3)
    assert mean_leads(found) == pytest.approx(np.zeros(4), abs=0.4)


@pytest.mark.parametrize("kind", ["confounded", "diverging"])
def test_worlds_with_unlike_trends_show_them_before_exposure_and_call_them_an_effect(kind):
    found = worlds(kind, strength=4.0)
    leads = mean_leads(found)
    assert leads[-1] > leads[0] + 0.5
    assert np.mean([estimate(world, "imputation").estimate for world in found]) > 1.5


def test_an_effect_can_be_laid_over_a_bias():
    plain = [estimate(world, "imputation").estimate for world in worlds("diverging", strength=2.0)]
    more = [estimate(world, "imputation").estimate for world in worlds("diverging", strength=2.0, effect=3.0)]
    assert np.array(more) - np.array(plain) == pytest.approx(np.full(8, 3.0))


def test_an_anticipated_effect_shows_two_years_ahead_and_no_earlier():
    leads = mean_leads(worlds("anticipation", effect=6.0, strength=0.5, sample=skeleton(gap=False), draws=12))
    assert leads[2:] == pytest.approx([3, 3], abs=0.8)
    assert leads[:2] == pytest.approx([0, 0], abs=0.8)
    sample = dataclasses.replace(skeleton(gap=False), anticipation=2)
    allowed = worlds("anticipation", effect=6.0, strength=0.5, sample=sample)
    assert np.mean([estimate(world, "imputation").estimate for world in allowed]) == pytest.approx(6.0, abs=0.8)


def test_exposure_is_dealt_within_strata_to_units_with_a_past():
    sample = skeleton()
    early = sample.frame["unit"].isin(sorted(sample.frame["unit"].unique())[::2])
    late = dataclasses.replace(sample, frame=sample.frame.loc[early | (sample.frame["time"] >= 2017)])
    world = make_world(late, kind="null", generator=np.random.default_rng(0), components=MADE)
    real, made = (item.frame.drop_duplicates("unit") for item in (late, world))
    counts = [frame.groupby(["stratum", "cohort"]).size() for frame in (real, made)]
    pd.testing.assert_series_equal(*counts)
    exposed = world.frame.loc[world.frame["cohort"].notna()]
    assert (exposed.groupby("unit")["time"].min() < exposed.groupby("unit")["cohort"].first()).all()
    assert (real["cohort"].notna().to_numpy() != made["cohort"].notna().to_numpy()).any()


def test_units_that_rise_are_the_likelier_to_be_exposed_where_adoption_is_confounded():
    quiet = dataclasses.replace(MADE, noise=0.01, cluster_shock=0.0, persistence=0.0, size_slope=0.0)
    for world in worlds("confounded", strength=100.0, components=quiet, draws=3):
        rise = world.frame.groupby("unit")["outcome"].agg(lambda values: values.iloc[-1] - values.iloc[0])
        exposed = world.frame.groupby("unit")["cohort"].first().notna()
        assert rise[exposed].mean() - rise[~exposed].mean() > 0.5 * rise.std()
        assert rise[~exposed].max() > rise[exposed].median()


def test_a_world_says_that_it_is_simulated_and_names_no_real_place():
    sample = skeleton()
    world = worlds("effect", effect=1.0, draws=1)[0]
    assert world.settings["simulated"] is True
    assert (world.settings["world"], world.settings["true_effect"]) == ("effect", 1.0)
    assert describe(world).startswith("Simulated, no figure is real: 400 units, 80 of them exposed;")
    assert world.frame["is_simulated"].all()
    for column in ("unit", "label", "cluster"):
        assert not set(world.frame[column]) & set(sample.frame[column])
        assert world.frame[column].nunique() == sample.frame[column].nunique()
    with pytest.raises(InputError, match="holds real figures"):
        describe(sample)


def test_the_skeleton_stays_and_the_sample_is_not_changed(panel):
    sample = design("air_quality").sample(panel)
    before = sample.frame.copy()
    world = make_world(sample, kind="null", generator=np.random.default_rng(1))
    assert before.equals(sample.frame)
    assert len(world.frame) == len(sample.frame)
    assert world.frame["unit"].is_monotonic_increasing
    for column in ("time", "people", "stratum", "weight", "latitude"):
        pd.testing.assert_series_equal(world.frame[column], sample.frame[column])
    assert world.n_treated == sample.n_treated


def test_the_same_generator_gives_the_same_world():
    sample = skeleton()
    first, again, other = (
        make_world(sample, kind="null", generator=np.random.default_rng(seed), components=MADE) for seed in (1, 1, 2)
    )
    pd.testing.assert_frame_equal(first.frame, again.frame)
    assert not first.frame["outcome"].equals(other.frame["outcome"])


def test_a_world_like_the_real_panel_varies_as_much_as_the_real_panel(panel):
    sample = design("employment").sample(panel)
    made = estimate_components(sample)
    again = [estimate_components(w) for w in worlds("null", sample=sample, components=made, draws=4)]
    assert made.noise == pytest.approx(np.mean([item.noise for item in again]), rel=0.06)
    assert made.size_slope < -0.3


def test_what_makes_no_world_is_refused_with_all_its_faults():
    sample = skeleton(n_units=40)
    for options, said in (
        ({"kind": "chaos", "shape": "round"}, r"(?s)2 faults.*allowed: null, effect.*allowed: constant and growing"),
        ({"kind": "null", "effect": 1.0, "strength": 1.0}, "(?s)2 faults.*no effect.*no bias"),
        ({"kind": "effect"}, "about an effect"),
        ({"kind": "anticipation"}, "(?s)2 faults.*about an effect.*nothing without a strength"),
        ({"kind": "diverging", "strength": float("nan")}, "strength = nan"),
    ):
        with pytest.raises(InputError, match=said):
            make_world(sample, generator=np.random.default_rng(0), **options)


def test_too_few_units_to_learn_from_or_to_deal_to_are_an_error():
    sample = skeleton(n_units=40)
    frame = sample.frame
    with pytest.raises(EstimationError, match="0 comparison units have three figures"):
        estimate_components(dataclasses.replace(sample, frame=frame.loc[frame["cohort"].notna()]))
    late = frame.loc[(frame["time"] >= 2016) | (frame["unit"] < "00003")]
    with pytest.raises(EstimationError, match=r"only .* units with a figure before"):
        make_world(
            dataclasses.replace(sample, frame=late), kind="null", generator=np.random.default_rng(0), components=MADE
        )
