import dataclasses

import pytest

from wwc_research import catalog
from wwc_research.evidence.questions import Question
from wwc_research.report import doubt_sections, html, sections
from wwc_research.report.index import index_html

PARTS = (
    doubt_sections.plan,
    doubt_sections.many_questions,
    doubt_sections.variations,
    doubt_sections.specification_curve,
    doubt_sections.sensitivity,
    doubt_sections.calibration,
)


@pytest.fixture(scope="module")
def found(answered):
    return answered[1]


@pytest.mark.parametrize("part", PARTS, ids=lambda part: part.__name__)
def test_a_part_without_anything_to_show_says_so_in_one_sentence(part, found):
    bare = dataclasses.replace(
        found["broadband"],
        plan_status={},
        adjusted={},
        variations=(),
        specifications=None,
        sensitivity={},
        calibration=None,
    )
    text = html.text_only(str(part(bare).html))
    assert text.rstrip().endswith(".")
    assert "<table" not in part(bare).html


@pytest.mark.parametrize("part", PARTS, ids=lambda part: part.__name__)
def test_every_part_has_one_heading_and_named_tables_for_every_outcome(part, found):
    for evidence in found.values():
        text = str(part(evidence).html)
        assert text.count("<h2") == 1
        assert text.count("<table") == text.count("<caption")
        assert "None" not in html.text_only(text)
        assert "nan" not in html.text_only(text).split()


def test_the_card_says_that_exposures_are_simulated(found):
    text = html.text_only(str(doubt_sections.calibration(found["broadband"]).html))
    assert "simulated placebo exposures" in text
    assert "simulated exposures, real outcomes" in text


def test_corrected_p_values_stand_beside_the_one_by_itself(found):
    evidence = found["broadband"]
    text = html.text_only(str(doubt_sections.many_questions(evidence).html))
    assert "Romano-Wolf" in text
    assert "Holm" in text
    assert "2 questions" in text
    assert "The larger half of the exposed" in text


def test_a_deviation_from_the_plan_is_listed_on_the_page(found):
    status = {
        **found["broadband"].plan_status,
        "sentence": "This run deviates.",
        "deviations": ["window: other <years>"],
    }
    text = str(doubt_sections.plan(dataclasses.replace(found["broadband"], plan_status=status)).html)
    assert "This run deviates." in text
    assert "window: other &lt;years&gt;" in text


def test_an_analysis_that_could_not_be_made_gives_its_reason(found):
    evidence = found["broadband"]
    broken = {name: {"failed": f"no {name}"} for name in evidence.sensitivity}
    text = html.text_only(str(doubt_sections.sensitivity(dataclasses.replace(evidence, sensitivity=broken)).html))
    for name in broken:
        assert f"no {name}" in text


def test_the_grade_and_the_verdict_stand_on_top(found):
    for evidence in found.values():
        text = html.text_only(str(sections.headline(evidence).html))
        assert "Grade by the plan" in text
        assert "better than moderate" in text


def test_the_index_has_a_table_for_each_treatment_and_marks_what_failed(found):
    questions = [Question(treatment=name, outcome="broadband") for name in ("certification", "open_data_policy")]
    text = index_html(
        questions, found={questions[0]: found["broadband"]}, failed={"open_data_policy/broadband": "no <data>"}
    )
    assert text.count("<table") == 2
    assert 'href="certification/broadband.html"' in text
    assert "no &lt;data&gt;" in text
    assert catalog.treatment("open_data_policy").title in text
    assert "p, corrected" in text
    assert "Of 2 questions asked" in text
