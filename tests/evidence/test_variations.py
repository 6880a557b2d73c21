import dataclasses
import json

import numpy as np
import pandas as pd
import pytest

from wwc_research import catalog
from wwc_research.design import variants
from wwc_research.design.design import Design
from wwc_research.design.rings import ring
from wwc_research.design.sample import Sample
from wwc_research.errors import EstimationError, InputError
from wwc_research.estimators import estimate as estimate_by_name
from wwc_research.estimators.estimate import Estimate
from wwc_research.evidence.variations import Variations, variations
from wwc_research.messages import Message
from wwc_research.panel.panel import Panel

RULE = catalog.plan().verdict


def headline(sample: Sample) -> Estimate:
    return estimate_by_name(sample, "imputation", aggregation="simple")


def design(outcome: str = "broadband", *, treatment: str = "certification", **changes: object) -> Design:
    planned = Design(
        outcome=catalog.outcome(outcome),
        treatment=catalog.treatment(treatment),
        analysis=catalog.plan().analyses[outcome],
    )
    return planned.with_analysis(**changes) if changes else planned


def varied(planned: Design, panel: Panel, *, std_error: float | None = None, **more: object) -> Variations:
    sample = planned.sample(panel)
    found = headline(sample)
    return variations(
        planned,
        panel,
        sample=sample,
        headline=found,
        estimate=headline,
        judged_std_error=found.std_error if std_error is None else std_error,
        rule=RULE,
        **more,
    )


def made(
    n_units: int = 60, *, years: range = range(2010, 2020), cohorts: dict[int, float] | None = None
) -> pd.DataFrame:
    """A quiet panel: unit and year effects and a little noise."""
    generator = np.random.default_rng(3)
    rows = pd.DataFrame([(f"{u:03d}", t) for u in range(n_units) for t in years], columns=["unit", "time"])
    of_unit = rows["unit"].astype(int)
    rows["cohort"] = of_unit.map(cohorts or {}).astype(float)
    rows["outcome"] = 0.1 * of_unit + 0.02 * rows["time"] + 0.01 * generator.standard_normal(len(rows))
    rows["cluster"], rows["label"], rows["region"] = rows["unit"], rows["unit"], "west"
    return rows.assign(weight=1.0, people=1000.0, n_places=1)


@pytest.fixture(scope="module")
def broadband(panel) -> Variations:
    return varied(design(), panel)


@pytest.fixture(scope="module")
def air(panel) -> Variations:
    return varied(design("air_quality"), panel)


@pytest.fixture(scope="module")
def income(panel) -> Variations:
    return varied(design("median_income"), panel)


def by_name(found: Variations) -> dict:
    return {item.name: item for item in found.found}


def test_every_question_is_answered_or_said_not_to_apply(broadband):
    asked = {check.name for check in broadband.checks}
    absent = {item.name for item in broadband.not_applicable}
    assert not asked & absent
    assert asked | absent == {
        "one_cohort", "donut", "exposure_rule", "sure_rows", "undated", "later_editions", "corrections", "by_county",
        "population", "neighbours_out", "rings",
    }  # fmt: skip
    assert all(item.reason for item in broadband.not_applicable)
    assert {item.check.name for item in broadband.found} == asked
    values = broadband.as_dict()
    told = [item["title"] for item in values["found"]] + [item["reason"] for item in values["not_applicable"]]
    assert all(isinstance(text, Message) for text in (*told, *(item.failed for item in broadband.found if item.failed)))
    assert all((item.estimate is None) == bool(item.failed) for item in broadband.found)
    json.dumps(broadband.as_dict(), allow_nan=False)


def test_a_county_outcome_has_no_neighbours_inside_its_county(air):
    assert {"neighbours_out", "by_county"} <= {item.name for item in air.not_applicable}


def test_a_policy_has_no_editions_and_no_roster(panel):
    found = varied(design("employment", treatment="open_data_policy"), panel)
    absent = {item.name for item in found.not_applicable}
    assert {"later_editions", "sure_rows"} <= absent
    with pytest.raises(InputError, match="no roster of awards"):
        dataclasses.replace(design("employment", treatment="open_data_policy"), roster="source_only")


def test_a_variation_agrees_within_one_judged_standard_error_and_not_beyond(panel):
    sample = design().sample(panel)
    found = headline(sample)
    moved = {
        f"without_{cohort}": abs(headline(variants.without_cohort(sample, cohort)).estimate - found.estimate)
        for cohort in (2018, 2019, 2020, 2022)
    }
    middle = sum(sorted(moved.values())[1:3]) / 2
    rows = by_name(varied(design(), panel, std_error=middle))
    assert {name: rows[name].agrees for name in moved} == {name: value <= middle for name, value in moved.items()}
    assert {rows[name].agrees for name in moved} == {True, False}
    assert rows["without_2018"].check.result == "failed"


def test_leaving_out_the_only_cohort_leaves_nothing_to_estimate():
    frame = made(cohorts=dict.fromkeys(range(10), 2015.0))
    with pytest.raises(EstimationError, match="no exposed unit"):
        variants.without_cohort(Sample(frame=frame), 2015.0)


def test_a_design_of_one_cohort_cannot_be_asked_about_its_cohorts(panel):
    # all awards under V1 are of January 2018
    planned = design(editions=("v1",))
    found = varied(planned, panel)
    check = next(check for check in found.checks if check.name == "one_cohort")
    assert planned.sample(panel).frame["cohort"].nunique() == 1
    assert check.result == "cannot_tell"


def test_the_donut_drops_exactly_the_year_of_exposure_and_the_year_before(panel):
    sample = design("employment").sample(panel)
    left = variants.donut(sample)
    keys = ["unit", "time"]
    gone = sample.frame.merge(left.frame[keys], on=keys, how="left", indicator=True).query("_merge == 'left_only'")
    distance = sample.frame["time"] - sample.frame["cohort"]
    assert len(gone) == distance.isin([-1, 0]).sum() == left.exclusions[-1].rows
    assert (gone["time"] - gone["cohort"]).isin([-1, 0]).all()
    assert left.anticipation == 1


def test_the_donut_gives_a_method_with_a_base_year_one_to_start_from():
    sample = Sample(frame=made(cohorts=dict.fromkeys(range(10), 2015.0)))
    sample.frame.loc[sample.frame["time"] > sample.frame["cohort"], "outcome"] += 1
    found = estimate_by_name(variants.donut(sample), "callaway_santanna", base_period="universal")
    assert found.estimate == pytest.approx(1, abs=0.05)


def test_places_collapsed_to_counties_are_means_by_people_and_exposed_with_the_first(panel):
    frame = made(4, cohorts={0: 2015.0, 1: 2017.0})
    frame["cluster"] = frame["unit"].map({"000": "a", "001": "a", "002": "a", "003": "b"})
    frame["people"] = frame["unit"].map({"000": 100.0, "001": 300.0, "002": 600.0, "003": 50.0})
    # a place that misses a year is in no mean
    frame = frame.loc[~((frame["unit"] == "002") & (frame["time"] == 2012))]
    found = variants.by_county(Sample(frame=frame)).frame
    wide = frame.pivot_table(index="time", columns="unit", values="outcome")
    county = found.loc[found["unit"] == "a"].set_index("time")
    assert county["outcome"].to_numpy() == pytest.approx((0.25 * wide["000"] + 0.75 * wide["001"]).to_numpy())
    assert (county["cohort"] == 2015).all()
    assert (county["n_places"] == 2).all()
    assert found.loc[found["unit"] == "b", "cohort"].isna().all()


def test_without_neighbours_only_comparison_places_of_counties_with_an_exposed_place_leave(panel):
    sample = design().sample(panel)
    left = variants.without_neighbours(sample, {"06037"})
    gone = set(sample.frame["unit"]) - set(left.frame["unit"])
    assert gone
    facts = sample.frame.drop_duplicates("unit").set_index("unit").loc[sorted(gone)]
    assert facts["cohort"].isna().all()
    assert (facts["cluster"] == "06037").all()


def test_the_corrections_are_asked_about_only_where_one_touches_the_outcome(panel, air, broadband):
    reasons = {item.name: item.reason for item in air.not_applicable}
    assert "without corrections was not given" in reasons["corrections"]
    assert "no declared correction" in {item.name: item.reason for item in broadband.not_applicable}["corrections"]
    frame = panel.frame.copy()
    faulty = (frame["county_id"] == "04013") & frame["year"].isin([2020, 2021])
    frame.loc[faulty, "aqi_over_100_share_main_county"] = 0.55
    planned = design("air_quality")
    found = by_name(varied(planned, panel, uncorrected=dataclasses.replace(panel, frame=frame)))["as_published"]
    # certified cities lie under the faulty monitor, which shows many more bad days
    assert found.estimate["estimate"] > headline(planned.sample(panel)).estimate
    assert found.estimate["n_obs"] > 0


def test_v3_cohorts_of_an_outcome_that_v3_asks_for_are_called_partly_mechanical(air, income):
    assert "partly mechanical" in by_name(air)["with_v3"].check.sentence
    assert "partly mechanical" not in by_name(income)["with_v3"].check.sentence


def test_a_handful_of_other_units_is_shown_and_not_judged(income):
    found = by_name(income)["v3_only"]
    assert found.estimate["n_treated"] < RULE.minimum_treated_clusters
    assert found.agrees is None


# ---------------------------------------------------------------------------------------------------------- rings


def world(*, spill: float, seed: int = 1, reach: float = 25.0) -> tuple[Sample, pd.DataFrame]:
    """15 exposed places, around each some at 10, 40 and 80 km, and 60 far away; `spill` within `reach` km."""
    generator = np.random.default_rng(seed)
    places = []
    for number in range(15):
        places.append((f"e{number}", 0.0, float(3 * number), 2014.0 + number % 3, 0.0))
        for far in (10.0, 40.0, 80.0):
            for copy in range(3):
                places.append((f"n{number}_{far:.0f}_{copy}", far / 111.19, float(3 * number), np.nan, far))
    places += [(f"f{number}", 20.0, float(number), np.nan, np.inf) for number in range(60)]
    units = pd.DataFrame(places, columns=["unit", "latitude", "longitude", "cohort", "far"])
    near = units["unit"].str.extract(r"^[en](\d+)")[0].astype(float) % 3 + 2014
    units = units.assign(since=near.where(units["far"] <= reach), is_undated=False, is_later_edition=False)
    frame = units.merge(pd.DataFrame({"time": range(2008, 2020)}), how="cross")
    noise = 0.05 * generator.standard_normal(len(frame))
    level = frame["unit"].map(dict(zip(units["unit"], generator.standard_normal(len(units)), strict=True)))
    moved = spill * ((frame["time"] >= frame["since"]) & frame["cohort"].isna())
    frame = frame.assign(outcome=level + 0.03 * (frame["time"] - 2008) + noise + moved, weight=1.0)
    frame = frame.assign(cluster=frame["unit"], label=frame["unit"], people=1000.0)
    return Sample(frame=frame.drop(columns=["far", "since"]).sort_values(["unit", "time"], ignore_index=True)), units


def around(sample: Sample, units: pd.DataFrame, inner: float, outer: float) -> Sample:
    return ring(sample, units, inner_km=inner, outer_km=outer, far_km=100)


def test_a_spillover_that_ends_is_seen_in_its_ring_and_not_beyond():
    sample, units = world(spill=0.2)
    inside = headline(around(sample, units, 0, 25))
    beyond = headline(around(sample, units, 25, 50))
    assert inside.estimate == pytest.approx(0.2, abs=0.03)
    assert inside.p_value < 0.001
    assert abs(beyond.estimate) < 3 * beyond.std_error


def test_where_nothing_spills_over_the_rings_are_rarely_significant():
    found = [headline(around(*world(spill=0.0, seed=seed), 0, 25)).p_value for seed in range(12)]
    assert np.mean(np.array(found) < 0.05) <= 0.25


def test_a_ring_holds_those_whose_nearest_exposed_place_is_in_it_and_the_comparison_is_far_from_all():
    sample, units = world(spill=0.0)
    found = around(sample, units, 25, 50)
    rows = found.frame.drop_duplicates("unit")
    assert set(rows.loc[rows["cohort"].notna(), "unit"]) == {name for name in units["unit"] if "_40_" in name}
    assert set(rows.loc[rows["cohort"].isna(), "unit"]) == {f"f{number}" for number in range(60)}
    # all units around one exposed place are one cluster
    assert rows.loc[rows["cohort"].notna(), "cluster"].nunique() == 15
    assert len(found.frame) + sum(item.rows for item in found.exclusions) == (~sample.frame["cohort"].notna()).sum()


def test_a_unit_beside_an_undated_place_is_in_no_ring():
    sample, units = world(spill=0.0)
    units.loc[units["unit"] == "f0", "is_undated"] = True
    found = around(sample, units, 0, 25).frame
    assert not {"f0"} & set(found["unit"])
    assert "f30" in set(found["unit"])


def test_units_without_coordinates_are_in_no_ring():
    sample, units = world(spill=0.0)
    bare = dataclasses.replace(sample, frame=sample.frame.drop(columns=["latitude", "longitude"]))
    with pytest.raises(EstimationError, match="no coordinates"):
        around(bare, units, 0, 25)
    with pytest.raises(InputError, match="should rise"):
        around(sample, units, 50, 25)


def test_a_planted_spillover_fails_the_check_and_none_passes(panel):
    planned = design("employment")
    sample = planned.sample(panel)
    units = planned.unit_years(panel).drop_duplicates("unit")
    exposed = around(sample, units, 0, 25).frame
    rows = exposed.loc[exposed["time"] >= exposed["cohort"], ["unit", "time"]]
    frame = panel.frame.copy()
    keys = pd.MultiIndex.from_frame(rows)
    hit = pd.MultiIndex.from_frame(frame[["place_id", "year"]]).isin(keys)
    frame.loc[hit, "employed_share"] += 0.10
    found = varied(planned, dataclasses.replace(panel, frame=frame))
    check = next(check for check in found.checks if check.name == "rings")
    assert check.result == "failed"
    assert by_name(found)["ring_0_25"].estimate["estimate"] > 0.05
