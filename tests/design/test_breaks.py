import dataclasses

import numpy as np
import pytest

from tests.design.test_design import design
from wwc_research import catalog
from wwc_research.design.baseline import long_difference
from wwc_research.design.design import Design
from wwc_research.errors import InputError
from wwc_research.evidence import assemble
from wwc_research.messages import Message

WHY = "The question was put in other words."


def broken(year: int, **changes: object) -> Design:
    """The planned design of broadband, as if its series broke in a year."""
    planned = design("broadband", **changes)
    return dataclasses.replace(planned, outcome=dataclasses.replace(planned.outcome, breaks={str(year): WHY}))


def test_a_sample_across_a_break_is_refused_with_the_reason_and_both_ways_out(panel):
    with pytest.raises(InputError, match=f"broadband, 2016-2022: the series breaks in 2019. {WHY}") as caught:
        broken(2019).sample(panel)
    assert "Compare years of one side only" in str(caught.value)
    assert "accept_breaks = [2019]" in str(caught.value)


def test_a_matched_change_across_a_break_is_refused_as_well(panel):
    with pytest.raises(InputError, match="breaks in 2019"):
        long_difference(panel, design=broken(2019))


def test_a_break_at_the_first_year_of_the_window_is_not_crossed(panel):
    assert len(broken(2016).sample(panel).frame) == len(design("broadband").sample(panel).frame)
    with pytest.raises(InputError, match="breaks in 2022"):
        broken(2022).sample(panel)


def test_baseline_years_before_the_window_count_as_compared(panel):
    with pytest.raises(InputError, match="breaks in 2018"):
        broken(2018, window=(2018, 2022), baseline_years=(2017,)).sample(panel)


def test_an_accepted_break_is_said_on_the_page_and_kept_in_the_settings(panel):
    accepted = broken(2019, accept_breaks=(2019,))
    sample = accepted.sample(panel)
    assert sample.settings["accepted_breaks"] == [2019]
    assert "accepted_breaks" not in design("broadband").sample(panel).settings
    notes = [note for note in assemble._notes(accepted, panel, sample) if WHY in note]
    assert len(notes) == 1
    assert isinstance(notes[0], Message)
    assert "breaks in 2019" in notes[0]
    assert "a change of the figures and not of the cities" in notes[0]


@pytest.mark.parametrize("name", ["rent_burden", "violent_crime"])
def test_an_outcome_without_figures_is_refused_with_the_command_that_gets_them(panel, name):
    analysis = dataclasses.replace(
        catalog.plan().analyses["broadband"], name=name, window=(2016, 2020), post_years=(2020,)
    )
    asked = Design(outcome=catalog.outcome(name), treatment=catalog.treatment("certification"), analysis=analysis)
    with pytest.raises(InputError, match=f"wwc-research data fetch {asked.outcome.source}"):
        asked.sample(panel)
    with pytest.raises(InputError, match=f"wwc-research data fetch {asked.outcome.source}"):
        assemble.planned_design(outcome=name, treatment="certification", plan=catalog.plan())


def test_errors_of_a_logarithm_are_errors_over_values(panel):
    frame = panel.frame.assign(median_income_usd_std_error=500.0)
    with_errors = dataclasses.replace(panel, frame=frame)
    rows = design("median_income").unit_years(with_errors).dropna(subset=["outcome"])
    np.testing.assert_allclose(rows["outcome_std_error"], 500.0 / np.exp(rows["outcome"]))
    assert design("median_income").unit_years(panel)["outcome_std_error"].isna().all()
