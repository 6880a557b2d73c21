import dataclasses
import json
import re

import pytest

from wwc_research import catalog
from wwc_research.errors import DataError, InputError


def test_every_planned_analysis_has_an_outcome_whose_variable_is_a_panel_column():
    variables = catalog.variables()
    for name in catalog.plan().analyses:
        assert catalog.outcome(name).variable in variables


def test_every_outcome_and_every_covariate_is_filled_from_declared_variables():
    variables = catalog.variables()
    for outcome in catalog.outcomes().values():
        assert variables[outcome.variable].source == outcome.source
        assert variables[outcome.variable].geography == outcome.geography
    for covariate in catalog.covariates().values():
        assert set(covariate.variables) <= set(variables)


def test_a_faulty_entry_is_refused_with_every_fault_at_once():
    text = '[broken]\ntitle = 3\nvariables = ["a"]\ntransform = "square"\ncolour = "red"\n'
    with pytest.raises(DataError) as caught:
        catalog.read_entries(catalog.Covariate, text, file="covariates.toml")
    message = str(caught.value)
    assert "3 faults" in message
    assert "unknown field 'colour'" in message
    assert "title = 3" in message
    assert "none, log and log_change" in message


def test_an_unknown_outcome_or_treatment_is_refused_with_the_known_ones():
    with pytest.raises(InputError, match="broadband"):
        catalog.outcome("brodband")
    with pytest.raises(InputError, match="certification"):
        catalog.treatment("certificate")


ANALYSIS = (
    '[analyses.broadband]\nfamily = "f"\nminimum_effect_of_interest = 0.02\nwindow = [2016, 2022]\nunit = "place"\n'
    'baseline_years = [2016]\npost_years = [2022]\ncovariates = ["log_population"]'
)


def plan_text(*, analysis: str = ANALYSIS, **changes: str) -> str:
    """The shipped plan with one analysis, and other values in place of some."""
    head = catalog.plan().text.split("[analyses.")[0]
    for name, value in changes.items():
        head, count = re.subn(rf"^{name} = .*$", f"{name} = {value}", head, flags=re.M)
        assert count == 1
    return head + analysis


def test_a_plan_reads_back_with_its_defaults_and_its_hash():
    plan = catalog.read_plan(plan_text())
    assert plan.analyses["broadband"].comparison == "not_yet"
    assert plan.analyses["broadband"].window == (2016, 2022)
    assert len(plan.sha256) == 64
    assert plan.sha256 != catalog.read_plan(plan_text(seed="2")).sha256


def test_a_plan_names_everything_that_a_finding_is_put_to():
    plan = catalog.plan()
    assert plan.treatment in plan.treatments
    assert plan.prior_knowledge
    for analysis in plan.analyses.values():
        assert analysis.expected == "better"
        assert analysis.fallback != analysis.headline
        assert {analysis.headline, analysis.fallback} <= set(plan.calibration.estimators)
        assert analysis.minimum_effect_of_interest > 0
    tried = {*plan.calibration.estimators, *plan.calibration.slow_estimators}
    beside = {name for analysis in plan.analyses.values() for name in analysis.alternatives}
    assert tried >= beside & {"two_way_fe", "event_study", "panel_matching", "synthetic_did", "random_trends"}


def test_a_plan_refuses_a_specification_that_no_estimator_makes():
    text = plan_text().replace('"callaway_santanna", "two_way_fe"]\ncomparisons', '"luck"]\ncomparisons')
    with pytest.raises(DataError, match="estimators"):
        catalog.read_plan(text)


def test_a_plan_that_contradicts_the_catalog_or_itself_is_refused_with_every_fault():
    text = plan_text(
        treatment='"luck"',
        analysis='[analyses.happiness]\nfamily = "f"\nminimum_effect_of_interest = 0.02\nwindow = [2022, 2016]\n'
        'unit = "place"\nbaseline_years = [2022]\npost_years = [2016]\ncovariates = ["height"]',
    )
    with pytest.raises(DataError) as caught:
        catalog.read_plan(text)
    for word in ("happiness", "height", "luck", "window"):
        assert word in str(caught.value)


def test_baseline_years_never_reach_into_the_years_compared():
    for analysis in catalog.plan().analyses.values():
        assert max(analysis.baseline_years) < min(analysis.post_years)


# --- outcomes without shipped figures, vintages, breaks ---------------------------------------------------

WAITING = [name for name, entry in catalog.outcomes().items() if not catalog.has_shipped_figures(entry)]


def analysis_of(outcome: str, *, first: int = 2014, last: int = 2019, more: str = "") -> str:
    return (
        f'[analyses.{outcome}]\nfamily = "f"\nminimum_effect_of_interest = 0.02\nwindow = [{first}, {last}]\n'
        f'unit = "place"\nbaseline_years = [{first}]\npost_years = [{last}]\ncovariates = []\n{more}'
    )


def with_figures(text: str, **figures: list[str]) -> str:
    lines = [f"{column} = {json.dumps(named)}" for column, named in figures.items()]
    return "\n".join([text, "[figures]", *lines, ""])


def test_the_outcomes_that_wait_for_figures_are_those_that_were_declared_so():
    assert set(WAITING) == {"youth_neet_city", "youth_16_19_neet", "rent_burden", "traffic_deaths", "violent_crime"}
    assert not set(WAITING) & set(catalog.plan().analyses)
    for name in WAITING:
        entry = catalog.outcome(name)
        assert len(entry.traps) >= 3
        assert all(text.endswith(".") for text in (*entry.traps, *entry.breaks.values(), entry.description))


@pytest.mark.parametrize("name", WAITING)
def test_a_plan_that_asks_about_an_outcome_without_figures_is_refused_with_the_command(name):
    with pytest.raises(DataError) as caught:
        catalog.read_plan(plan_text(analysis=analysis_of(name)))
    variable = catalog.variables()[catalog.outcome(name).variable]
    assert f"wwc-research data fetch {variable.source}" in str(caught.value)
    assert f'{variable.name} = ["{variable.source}@VINTAGE"]' in str(caught.value)


def test_an_outcome_needs_an_analysis_and_a_vintage_and_nothing_else():
    text = with_figures(plan_text(analysis=analysis_of("rent_burden")), rent_burden_share=["acs_one_year@2026-11-23"])
    plan = catalog.read_plan(text)
    assert plan.figures == {"rent_burden_share": ("acs_one_year@2026-11-23",)}
    assert list(plan.analyses) == ["rent_burden"]
    assert catalog.plan().figures == {}


def test_every_wrong_choice_of_figures_is_told_at_once():
    text = with_figures(
        plan_text(),
        height=["epa_aqi@2026"],
        aqi_median_index=["2026"],
        broadband_share=["acs@2026"],
        unemployment_share=[],
        hs_degree_share=["cdc_places@2024"],
        pm25_mean_ug_m3=["epa_pm25@2022", "epa_pm25 @ 2022"],
    )
    with pytest.raises(DataError, match="6 faults") as caught:
        catalog.read_plan(text)
    for word in (
        "height is no column",
        "'2026' should be source@vintage",
        "there is no source 'acs'",
        "unemployment_share = [] should be a list",
        "hs_degree_share: Figures of CDC PLACES",
        "pm25_mean_ug_m3 names a vintage twice",
    ):
        assert word in str(caught.value)


def crime_plan(*, first: int, last: int, more: str = "") -> str:
    known = {"violent_crime_per_100k": ["epa_aqi@2026-11-23"]}  # any known source: reading a plan opens no vintage
    return with_figures(plan_text(analysis=analysis_of("violent_crime", first=first, last=last, more=more)), **known)


def test_a_window_across_a_break_is_refused_with_the_reason():
    with pytest.raises(DataError, match=r"2014-2023: the series breaks in 2021\. In 2021 the FBI") as caught:
        catalog.read_plan(crime_plan(first=2014, last=2023))
    assert "accept_breaks = [2021]" in str(caught.value)


@pytest.mark.parametrize(("first", "last"), [(2014, 2020), (2021, 2024)])
def test_years_of_one_side_of_a_break_are_compared(first, last):
    assert catalog.read_plan(crime_plan(first=first, last=last)).analyses


def test_a_break_is_crossed_where_the_analysis_accepts_it_and_no_other():
    accepted = "accept_breaks = [2021]\n"
    plan = catalog.read_plan(crime_plan(first=2014, last=2023, more=accepted))
    assert plan.analyses["violent_crime"].accept_breaks == (2021,)
    with pytest.raises(DataError, match="the series breaks in 2013"):
        catalog.read_plan(crime_plan(first=2010, last=2023, more=accepted))
    with pytest.raises(DataError, match="2019 is no break of the series; it breaks in 2013 and 2021"):
        catalog.read_plan(crime_plan(first=2014, last=2020, more="accept_breaks = [2019]\n"))


# --- sources that no effect is estimated on ---------------------------------------------------------------

LONG = ["Year", "StateAbbr", "Data_Value", "Low_Confidence_Limit", "LocationID", "MeasureId", "DataValueTypeID"]


@pytest.mark.parametrize(
    "name", ["places", "CDC PLACES", "cdc_places", "500 Cities", "cdc-places-2024.csv", "PLACES 2023"]
)
def test_model_based_estimates_are_refused_by_any_of_their_names(name):
    own = dataclasses.replace(catalog.outcome("broadband"), name="obesity", variable="obesity", source=name)
    with pytest.raises(InputError, match="would find the model") as caught:
        catalog.declare(own)
    assert "https://www.cdc.gov/places" in str(caught.value)
    assert "obesity" not in catalog.outcomes()


@pytest.mark.parametrize("name", ["places.csv", "my_places", "places_of_worship", "workplaces", "500 rows", ""])
def test_names_that_only_sound_alike_are_not_refused(name):
    assert catalog.refused_source(name) is None


def test_official_columns_are_recognised_in_any_case_and_those_of_direct_surveys_are_not():
    assert catalog.refused_columns(LONG)
    assert catalog.refused_columns([name.lower() for name in LONG])
    assert catalog.refused_columns(["place_id", "OBESITY_CrudePrev", "cohort"], measure="OBESITY_CrudePrev")
    # the Chronic Disease Indicators, counted or surveyed directly
    direct = ["YearStart", "DataValue", "LowConfidenceLimit", "LocationID", "QuestionID", "DataValueTypeID"]
    assert catalog.refused_columns(direct) is None
    assert catalog.refused_columns(["place_id", "OBESITY_CrudePrev", "broadband"], measure="broadband") is None


def test_a_plan_with_an_own_outcome_of_model_based_estimates_is_refused():
    fields = dataclasses.asdict(catalog.outcome("traffic_deaths")) | {
        "source": "cdc_places",
        "variable": "obesity_share",
    }
    kept = {key: value for key, value in fields.items() if key != "name" and value not in ({}, ())}
    lines = [f"{key} = {json.dumps(list(value) if isinstance(value, tuple) else value)}" for key, value in kept.items()]
    text = plan_text(analysis="\n".join(["[own.outcomes.obesity]", *lines, "", analysis_of("obesity")]))
    with pytest.raises(DataError, match="would find the model"):
        catalog.read_plan(text)
