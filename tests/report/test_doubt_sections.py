import dataclasses
import re

import pytest

from tests.report.example_evidence import empty_evidence, example_evidence
from wwc_research.report import doubt_sections, html, sections

PARTS = (
    doubt_sections.plan,
    doubt_sections.many_questions,
    doubt_sections.variations,
    doubt_sections.specification_curve,
    doubt_sections.sensitivity,
    doubt_sections.calibration,
)


@pytest.fixture(scope="module")
def found():
    return example_evidence()


def text_of(part, evidence) -> str:
    return html.text_only(str(part(evidence).html))


@pytest.mark.parametrize("part", PARTS, ids=lambda part: part.__name__)
def test_a_part_without_anything_to_show_says_so_in_one_sentence(part):
    text = text_of(part, empty_evidence())
    assert text.rstrip().endswith(".")
    assert "<table" not in part(empty_evidence()).html


@pytest.mark.parametrize("part", PARTS, ids=lambda part: part.__name__)
def test_every_part_shows_what_a_real_run_found(part, answered):
    for evidence in answered[1].values():
        text = str(part(evidence).html)
        assert text.count("<h2") == 1
        assert text.count("<table") == text.count("<caption")
        assert "None" not in html.text_only(text)
        assert "nan" not in html.text_only(text).split()


def test_the_card_says_that_exposures_are_simulated(found):
    text = text_of(doubt_sections.calibration, found)
    assert "simulated placebo exposures" in text
    assert "simulated exposures, real outcomes" in text
    assert "Imputation, as judged on this page" in text
    assert "in doubt" in text


def test_corrected_p_values_stand_beside_the_one_by_itself(found):
    text = text_of(doubt_sections.many_questions, found)
    assert "Romano-Wolf" in text
    assert "Holm" in text
    assert "6 questions" in text
    assert "The larger half of the exposed" in text


def test_a_deviation_from_the_plan_is_listed_on_the_page(found):
    status = {
        **found.plan_status,
        "sentence": "This run deviates.",
        "deviations": ["window: other <years>"],
    }
    text = str(doubt_sections.plan(dataclasses.replace(found, plan_status=status)).html)
    assert "This run deviates." in text
    assert "window: other &lt;years&gt;" in text


def test_an_analysis_that_could_not_be_made_gives_its_reason(found):
    broken = {name: {"failed": f"no {name}"} for name in found.sensitivity}
    text = text_of(doubt_sections.sensitivity, dataclasses.replace(found, sensitivity=broken))
    for name in broken:
        assert f"no {name}" in text


def test_a_specification_is_told_by_where_it_leaves_the_plan(found):
    text = str(doubt_sections.specification_curve(found).html)
    _, *bodies = [re.findall(r'<th scope="row(?:group)?"[^>]*>([^<]*)', body) for body in text.split("<tbody>")]
    assert bodies == [
        ["imputation; not yet or never exposed", "as planned", "by population"],
        [
            "Callaway and Sant&#39;Anna; not yet or never exposed",
            "at baseline, as planned",
            "at baseline, as planned; by population",
        ],
        ["imputation", "as planned"],
        ["Callaway and Sant&#39;Anna", "at baseline, as planned; by population"],
    ]


def test_without_the_planned_specification_every_decision_is_told(found):
    curve = {**found.specifications, "headline_row": None}
    text = html.text_only(
        str(doubt_sections.specification_curve(dataclasses.replace(found, specifications=curve)).html)
    )
    assert "Other than planned" not in text
    assert "imputation; not yet or never exposed; as planned" in text


def test_a_question_without_meaning_here_is_named_in_words(found):
    text = text_of(doubt_sections.variations, found)
    assert "Declared corrections: no declared correction touches Broadband access" in text
    assert "First awards under V3 alone: no unit is seen before and after" in text


def test_a_placebo_outcome_is_shown_in_its_own_scale(found):
    text = text_of(doubt_sections.variations, found)
    assert "\N{MINUS SIGN}0.20" in text
    other = [dict(row) for row in found.variations]
    other[1]["estimate"] = {**other[1]["estimate"], "unit": "years", "scale": 10.0}
    changed = dataclasses.replace(found, variations=tuple(other))
    assert "\N{MINUS SIGN}0.02 years" in text_of(doubt_sections.variations, changed)


def test_the_grade_and_the_verdict_stand_on_top():
    for verdict in ("improvement", "harm", "no_effect_larger", "cannot_tell"):
        text = text_of(sections.headline, example_evidence(verdict))
        assert "Grade by the plan" in text
        assert "better than moderate" in text
