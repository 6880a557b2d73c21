import dataclasses

import pytest

from tests.evidence.test_verdict import BROADBAND, RULE, evidence
from tests.report.example_evidence import example_evidence, failed_evidence
from wwc_research import catalog
from wwc_research.evidence.verdict import decide
from wwc_research.messages import Message
from wwc_research.report import language, wording

CERTIFICATION = catalog.treatment("certification")
PROOF = ("caus", "improv", "works", "because of", "leads to")


def judged(**changes):
    found = evidence(**changes)
    return dataclasses.replace(found, verdict=decide(found, outcome=BROADBAND, rule=RULE))


@pytest.mark.parametrize(
    ("value", "decimals", "text"),
    [(-0.94, 1, "\N{MINUS SIGN}0.9"), (0.94, 1, "+0.9"), (-0.04, 1, "0.0"), (12345.6, 0, "+12,346"), (None, 1, "–")],
)
def test_numbers_have_a_sign_a_true_minus_and_no_negative_zero(value, decimals, text):
    assert language.shown(wording.number(value, decimals=decimals, signed=True)) == text


def test_a_sentence_gets_true_minus_signs_before_its_numbers_and_nowhere_else():
    text = language.shown(wording.headline_sentence(judged(estimate=0.01, half=0.03), BROADBAND, CERTIFICATION))
    assert "\N{MINUS SIGN}2.0 to +4.0 percentage points" in text
    assert "-" not in text


def test_a_p_value_is_never_printed_as_zero():
    assert wording.p_value(1e-9) == "< 0.001"
    assert wording.p_value(0.0123) == "0.012"
    assert wording.p_value(float("nan")) == "–"


def test_no_verdict_but_an_association_says_that_outcomes_differ():
    for changes in ({"p_value": 0.5}, {"pre_trends": "failed"}, {"estimate": 0.004, "half": 0.01, "p_value": 0.9}):
        found = judged(**changes)
        sentence = wording.headline_sentence(found, BROADBAND, CERTIFICATION)
        assert " saw " not in sentence
        assert "cannot tell" in sentence or "neither pulled ahead nor fell behind" in sentence


@pytest.mark.parametrize("estimate", [0.03, -0.03])
def test_an_association_gives_direction_interval_and_is_no_proof(estimate):
    sentence = wording.headline_sentence(judged(estimate=estimate), BROADBAND, CERTIFICATION)
    assert ("rise" if estimate > 0 else "fall") in sentence
    assert "not proof of cause" in sentence
    assert "percentage points" in sentence


def test_no_headline_sentence_speaks_of_cause():
    for changes in ({}, {"p_value": 0.5}, {"estimate": 0.004, "p_value": 0.9}):
        sentence = wording.headline_sentence(judged(**changes), BROADBAND, CERTIFICATION).replace("What Works", "")
        assert not any(word in sentence.replace("not proof of cause", "").lower() for word in PROOF)


def test_a_comparison_that_fails_is_not_said_to_fit_the_data():
    unreliable = wording.headline_sentence(judged(pre_trends="failed"), BROADBAND, CERTIFICATION)
    assert "cannot be relied on" in unreliable
    assert "fits the data" not in unreliable
    imprecise = wording.headline_sentence(judged(estimate=0.01, half=0.03, p_value=0.5), BROADBAND, CERTIFICATION)
    assert "fits the data" in imprecise


def test_later_awards_used_as_exposed_are_said_to_be():
    found = judged()
    settings = {"settings": {"editions": ["v1", "v2", "v3"]}}
    used = dataclasses.replace(found, headline=dataclasses.replace(found.headline, estimate=settings))
    assert any("They are among" in line for line in wording.not_to_claim(used, BROADBAND, CERTIFICATION))
    assert any("are not among" in line for line in wording.not_to_claim(found, BROADBAND, CERTIFICATION))


def test_without_an_estimate_the_sentence_says_so():
    found = dataclasses.replace(evidence(), headline=dataclasses.replace(evidence().headline, estimate=None))
    assert "cannot say" in wording.headline_sentence(found, BROADBAND, CERTIFICATION)


def test_the_natural_size_counts_households_per_thousand():
    values = {"estimate": 0.0123, "ci_low": -0.002, "ci_high": 0.03}
    assert wording.natural_size(values, BROADBAND) == ("about +12 connected households per 1,000 (from -2.0 to +30)")


def test_every_outcome_that_the_award_asks_for_warns_of_later_awards():
    for outcome in catalog.outcomes().values():
        lines = " ".join(wording.not_to_claim(judged(), outcome, CERTIFICATION))
        assert ("condition of the award" in lines) == outcome.is_award_condition


def test_a_null_warns_against_both_readings():
    lines = wording.not_to_claim(judged(p_value=0.9), BROADBAND, CERTIFICATION)
    assert any("brings better broadband" in line for line in lines)
    assert any("does nothing" in line for line in lines)


def spoken(monkeypatch, texts):
    """A made-up language that knows a few texts and writes numbers as Portuguese does."""
    known = language.Catalogue(texts=texts, plural_index=lambda n: int(n != 1))
    monkeypatch.setattr(language, "catalogue", lambda code: known)
    return language.speaking("pt")


@pytest.mark.parametrize("verdict", ["improvement", "harm", "no_effect_larger", "cannot_tell"])
@pytest.mark.parametrize("unit", ["place", "county"])
def test_everything_that_is_said_is_a_message(verdict, unit):
    found = example_evidence(verdict)
    estimate = {**found.headline.estimate, "settings": {**found.headline.estimate["settings"], "unit": unit}}
    found = dataclasses.replace(found, headline=dataclasses.replace(found.headline, estimate=estimate))
    both, three = (found, BROADBAND), (found, BROADBAND, CERTIFICATION)
    said = [
        *(say(found) for say in (wording.how_sure, wording.graded, wording.how_judged, wording.horizon, wording.units)),
        *(say(*both) for say in (wording.verdict_title, wording.smallest_visible)),
        wording.headline_sentence(*three),
        wording.exposed_units(found, CERTIFICATION),
        wording.natural_size(found.judged, BROADBAND),
        wording.interval(found.judged, BROADBAND),
        *wording.not_to_claim(*three),
    ]
    assert all(isinstance(text, Message) for text in said)
    assert not any("{" in text or "None" in text for text in said)


def test_a_failed_headline_is_spoken_of_everywhere():
    found = failed_evidence()
    assert wording.verdict_title(found, BROADBAND) == "Not judged"
    assert wording.headline_sentence(found, BROADBAND, CERTIFICATION).startswith("The public data cannot say")
    assert wording.how_judged(found) == "No inference was possible."


def test_another_language_has_its_own_order_of_words_and_its_own_numbers(monkeypatch):
    texts = {
        "We cannot tell whether {noun} goes with {better}: the best estimate for {topic} is {best}, and anything "
        "from {spread} fits the data.": "Ex {spread} bo {best} ({topic}): {better} ye {noun}?",
        "{value} {unit}": "{unit} {value}",
        "{low} to {high}": "{low} du {high}",
        "percentage points": "zim",
        "broadband access": "brod",
    }
    sentence = wording.headline_sentence(example_evidence(), BROADBAND, CERTIFICATION)
    with spoken(monkeypatch, texts):
        assert language.shown(sentence) == (
            "Ex \N{MINUS SIGN}0,9 du zim +2,1 bo zim +0,6 (brod): better broadband access ye certification by "
            "What Works Cities?"
        )
    assert sentence.startswith("We cannot tell")


def test_exposed_units_are_inflected_by_the_words_of_the_catalogue(monkeypatch):
    texts = {
        "certified {units}": "{units} zertas",
        "cities": "urbas",
        "counties with {exposed}": "komitas kun {exposed}",
    }
    by_county = example_evidence()
    estimate = {**by_county.headline.estimate, "settings": {"unit": "county"}}
    by_county = dataclasses.replace(by_county, headline=dataclasses.replace(by_county.headline, estimate=estimate))
    with spoken(monkeypatch, texts):
        assert language.shown(wording.exposed_units(example_evidence(), CERTIFICATION)) == "urbas zertas"
        assert language.shown(wording.exposed_units(by_county, CERTIFICATION)) == "komitas kun urbas zertas"


def test_an_effect_on_a_logarithm_is_told_in_per_cent_and_not_in_log_points():
    income, broadband = catalog.outcome("median_income"), catalog.outcome("broadband")
    ends = {"estimate": 0.0695, "ci_low": -0.0695, "ci_high": 0.5, "minimum_detectable_effect": None}
    assert wording.in_unit(0.0695, broadband) == pytest.approx(6.95)
    assert wording.effect(0.0695, income) == "+7.2 percent"
    assert wording.bare_interval(ends, income) == "-6.7 to +64.9"
    assert "about +4,678 dollars" in wording.natural_size(ends, income)
    drawn = wording.row_in_unit({**ends, "event_time": 2}, income)
    assert drawn["ci_high"] == pytest.approx(64.87, abs=0.01)
    assert (drawn["event_time"], drawn["minimum_detectable_effect"]) == (2, None)
    assert (wording.axis_unit(income), wording.axis_unit(broadband)) == ("percent (log points)", broadband.unit)
