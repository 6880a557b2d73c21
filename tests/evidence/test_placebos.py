import dataclasses
import json
import math

import numpy as np
import pandas as pd
import pytest

from wwc_research import catalog
from wwc_research.design.design import Design
from wwc_research.design.sample import Sample
from wwc_research.errors import EstimationError, InputError
from wwc_research.estimators import estimate as estimate_by_name
from wwc_research.estimators.estimate import Estimate
from wwc_research.evidence.placebos import (
    _median,
    _Placebo,
    earlier,
    later_certified,
    placebos,
    with_placebo_outcome,
)
from wwc_research.evidence.variations import Variations
from wwc_research.panel.panel import Panel

RULE = catalog.plan().verdict
OUTCOMES = list(catalog.plan().analyses)


def headline(sample: Sample) -> Estimate:
    return estimate_by_name(sample, "imputation", aggregation="simple")


def design(outcome: str = "employment", *, treatment: str = "certification", **changes: object) -> Design:
    planned = Design(
        outcome=catalog.outcome(outcome),
        treatment=catalog.treatment(treatment),
        analysis=catalog.plan().analyses[outcome],
    )
    return planned.with_analysis(**changes) if changes else planned


def asked(planned: Design, panel: Panel, *, seed: int = 1, draws: int = 99) -> Variations:
    sample = planned.sample(panel)
    return placebos(
        planned,
        panel,
        sample=sample,
        headline=headline(sample),
        estimate=headline,
        rule=RULE,
        seed=seed,
        draws=draws,
    )


def planted(panel: Panel, planned: Design, *, jump: float, years_before: int) -> Panel:
    """The panel with every place's outcome moved from some years before its own real exposure."""
    variable = planned.outcome.variable
    frame = panel.frame.copy()
    hit = frame["year"] >= frame["certification_cohort"].astype(float) - years_before
    frame.loc[hit.fillna(False), variable] += jump
    return dataclasses.replace(panel, frame=frame)


def results(found: Variations) -> dict[str, str]:
    return {check.name: check.result for check in found.checks}


@pytest.fixture(scope="module")
def employment(panel) -> Variations:
    return asked(design(), panel)


def test_every_family_is_answered_in_plain_values(employment):
    assert [check.name for check in employment.checks] == [
        "placebo_dates",
        "placebo_outcomes",
        "placebo_cohorts",
        "anticipation",
    ]
    assert employment.not_applicable == ()
    assert all((item.estimate is None) == bool(item.failed) for item in employment.found)
    json.dumps(employment.as_dict(), allow_nan=False)


def test_the_same_seed_gives_the_same_placebos_and_another_other_lots(panel):
    planned = design(placebo_outcomes=("age_65_plus_share",))
    first, again, other = (asked(planned, panel, seed=seed, draws=49).as_dict() for seed in (1, 1, 2))
    assert first == again
    assert first != other


@pytest.mark.parametrize("anticipation", [0, 1])
@pytest.mark.parametrize("years", [2, 3])
@pytest.mark.parametrize("outcome", ["broadband", "air_quality", "median_income"])
def test_an_earlier_date_uses_no_row_of_the_real_exposure(panel, outcome, years, anticipation):
    sample = design(outcome, anticipation=anticipation).sample(panel)
    real = sample.frame.drop_duplicates("unit").set_index("unit")["cohort"]
    found = earlier(sample, years=years)
    cohort = found.frame["unit"].map(real)
    exposed = found.frame["cohort"].notna()
    assert (found.frame.loc[exposed, "time"] < cohort[exposed] - anticipation).all()
    assert (found.frame.loc[exposed, "cohort"] == cohort[exposed] - years).all()
    # who is never exposed keeps every row, and nobody else joins them
    never = sample.frame["cohort"].isna()
    assert (~exposed).sum() == never.sum()
    lost = len(sample.frame) - len(found.frame)
    assert lost == sum(item.rows for item in found.exclusions[len(sample.exclusions) :])


def test_an_effect_of_the_award_is_none_before_it(panel):
    planned = design()
    plain, moved = planned.sample(panel), planned.sample(planted(panel, planned, jump=1.0, years_before=0))
    for years in (2, 3):
        pd.testing.assert_frame_equal(earlier(plain, years=years).frame, earlier(moved, years=years).frame)


def test_units_without_a_year_before_the_earlier_date_leave():
    rows = pd.DataFrame([(u, t) for u in "abc" for t in range(2010, 2016)], columns=["unit", "time"])
    rows["cohort"] = rows["unit"].map({"a": 2012.0, "b": 2014.0})
    found = earlier(Sample(frame=rows.assign(outcome=1.0)), years=2)
    # a would have been exposed from its first year on
    assert set(found.frame["unit"]) == {"b", "c"}
    with pytest.raises(EstimationError, match="no exposed unit"):
        earlier(Sample(frame=rows.loc[rows["unit"] != "b"].assign(outcome=1.0)), years=2)


def test_a_move_before_the_award_fails_the_dates_and_the_leads(panel, employment):
    planned = design()
    found = results(asked(planned, planted(panel, planned, jump=0.05, years_before=2)))
    assert found["placebo_dates"] == "failed"
    assert found["anticipation"] == "failed"
    # on the real panel neither is
    assert results(employment)["placebo_dates"] == "passed"
    assert results(employment)["anticipation"] == "passed"


def test_a_placebo_cohort_has_only_later_awards_before_them_and_dates_of_real_exposures(panel):
    planned = design()
    sample = planned.sample(panel)
    units = planned.unit_years(panel).drop_duplicates("unit").set_index("unit")
    later = units.index[units["is_later_edition"].astype(bool)]
    real = sample.frame.drop_duplicates("unit").set_index("unit")["cohort"].dropna()
    found = later_certified(sample, later=list(later), cohorts=real.tolist(), generator=np.random.default_rng(1)).frame
    exposed = found.loc[found["cohort"].notna()]
    assert set(exposed["unit"]) <= set(later)
    assert (exposed["time"] < exposed["unit"].map(units["cohort"])).all()
    assert set(exposed["cohort"]) <= set(real)
    assert not set(real.index) & set(found["unit"])


def test_without_later_editions_there_are_no_placebo_cohorts(panel):
    policy = asked(design(treatment="open_data_policy", placebo_outcomes=("age_65_plus_share",)), panel, draws=49)
    assert [item.name for item in policy.not_applicable] == ["placebo_cohorts"]
    with pytest.raises(EstimationError, match="later edition"):
        later_certified(design().sample(panel), later=[], cohorts=[2018.0], generator=np.random.default_rng(1))


@pytest.mark.parametrize("outcome", OUTCOMES)
def test_every_placebo_outcome_of_the_plan_is_another_column_with_exposed_units(panel, outcome):
    planned = design(outcome)
    assert planned.analysis.placebo_outcomes
    for name in planned.analysis.placebo_outcomes:
        other = with_placebo_outcome(planned, panel, column=panel.column(name))
        assert name != planned.outcome.variable
        assert other.sample(panel).n_treated >= 5
        assert other.analysis.window[1] <= planned.analysis.window[1]


def test_a_placebo_outcome_that_moves_fails_and_names_the_one(panel):
    planned = design(placebo_outcomes=("age_65_plus_share", "hispanic_share"))
    frame = panel.frame.copy()
    hit = frame["year"] >= frame["certification_cohort"].astype(float)
    frame.loc[hit.fillna(False), "age_65_plus_share"] += 0.10
    found = asked(planned, dataclasses.replace(panel, frame=frame))
    assert results(found)["placebo_outcomes"] == "failed"
    agrees = {item.name: item.agrees for item in found.found}
    assert not agrees["placebo_age_65_plus_share"]
    assert agrees["placebo_hispanic_share"]


def test_counts_and_dollars_are_analysed_in_logs_and_said_in_percent(panel):
    other = with_placebo_outcome(design(), panel, column=panel.column("population_recent_count"))
    assert (other.outcome.transform, other.outcome.unit) == ("log", "percent")
    share = with_placebo_outcome(design("unemployment"), panel, column=panel.column("age_65_plus_share"))
    assert (share.outcome.transform, share.outcome.unit, share.analysis.unit) == ("none", "percentage points", "place")
    fine = with_placebo_outcome(design("unemployment"), panel, column=panel.column("pm25_mean_ug_m3"))
    assert fine.analysis.unit == "county"


def test_a_placebo_outcome_has_the_breaks_of_its_own_series_and_none_of_the_outcomes(panel, monkeypatch):
    planned = design()
    broken = dataclasses.replace(planned, outcome=dataclasses.replace(planned.outcome, breaks={"2013": "New words."}))
    other = with_placebo_outcome(broken, panel, column=panel.column("age_65_plus_share"))
    assert other.analysis.window[0] < 2013
    assert len(other.sample(panel).frame)
    own = dataclasses.replace(planned.outcome, variable="age_65_plus_share", breaks={"2012": "New words."})
    monkeypatch.setattr(catalog, "outcomes", lambda: {"own": own})
    assert with_placebo_outcome(planned, panel, column=panel.column("age_65_plus_share")).analysis.window[0] == 2012


def test_a_placebo_outcome_that_is_no_column_is_refused(panel):
    with pytest.raises(InputError, match="shoe_size"):
        asked(design(placebo_outcomes=("shoe_size",)), panel)


def test_a_plan_without_placebo_outcomes_says_so(panel):
    found = asked(design(placebo_outcomes=()), panel, draws=49)
    assert "names no placebo outcome" in found.not_applicable[0].reason


def test_in_a_null_world_few_placebos_find_anything(panel):
    # noise beside the unit's level, for the same units and cohorts: nothing happens at any date
    planned = design(placebo_outcomes=())
    generator = np.random.default_rng(5)
    failed = []
    for _ in range(4):
        frame = panel.frame.copy()
        noise = pd.Series(0.02 * generator.standard_normal(len(frame)), index=frame.index)
        frame["employed_share"] = noise.where(frame["employed_share"].notna())
        found = results(asked(planned, dataclasses.replace(panel, frame=frame), draws=49))
        failed += [result == "failed" for result in found.values()]
    assert np.mean(failed) <= 0.3


def test_later_cohorts_are_judged_by_twice_the_middle_p_value_of_the_deals():
    outcome = catalog.outcome("employment")
    made = [_Placebo(name="x", title="X", of=outcome, p_value=value) for value in (0.9, 0.01, 0.2, math.nan, 0.3, 0.02)]
    assert _median(made).p_value == pytest.approx(0.4)
    assert _median(made[:1]).p_value == 1.0
    assert math.isnan(_median(made[3:4]).p_value)
