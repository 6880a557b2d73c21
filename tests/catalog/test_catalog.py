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
