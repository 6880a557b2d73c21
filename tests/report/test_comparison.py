import csv
import dataclasses
import io
import re
from urllib.parse import unquote

import pytest

from tests.report.example_evidence import example_evidence, failed_evidence
from wwc_research import catalog
from wwc_research.errors import InputError
from wwc_research.evidence.questions import Question
from wwc_research.report import comparison, html
from wwc_research.report.comparison import comparison_html, entries, forest
from wwc_research.report.language import LANGUAGES

TREATMENTS = ("certification", "open_data_policy", "gold_certification")
QUESTIONS = [Question(treatment=name, outcome="broadband") for name in TREATMENTS]


def made(found, *, failed=None, questions=QUESTIONS, language="en"):
    return comparison_html(questions, found=found, failed=failed or {}, links=(), language=language)


def test_each_outcome_has_one_figure_and_one_table_with_every_treatment():
    asked = [*QUESTIONS, Question(treatment="certification", outcome="air_quality")]
    text = made({question: example_evidence() for question in asked}, questions=asked)
    assert text.count("<figure>") == text.count("<table") == 2
    titles = [catalog.treatment(name).title for name in TREATMENTS]
    for table in re.findall(r"<tbody>.*?</tbody>", text, re.S):
        assert re.findall(r'<th scope="row">(.*?)</th>', table) == titles


def test_a_treatment_that_is_missing_is_said_to_be_and_why():
    text = made({QUESTIONS[0]: example_evidence()}, failed={QUESTIONS[1].name: "no units at all"})
    plain = html.text_only(text)
    assert "Open-data policy is missing here, because it could not be analysed: no units at all" in plain
    assert f"{catalog.treatment('gold_certification').title} is missing here: the run did not ask about it." in plain
    assert "Not analysed" in plain
    assert "Not asked" in plain


def test_without_any_estimate_there_is_no_figure_and_no_fault():
    text = made({question: failed_evidence() for question in QUESTIONS})
    assert "<figure>" not in text
    assert text.count("has no interval here") == len(QUESTIONS)


def test_the_page_forbids_a_ranking_before_any_number():
    text = made({question: example_evidence() for question in QUESTIONS})
    assert text.index("Do not rank these against each other") < text.index("<figure>")


def test_dots_and_intervals_are_those_of_the_evidence_in_the_unit_of_the_outcome():
    outcome = catalog.outcome("broadband")
    found = entries(
        "broadband", [catalog.treatment("certification")], found={QUESTIONS[0]: example_evidence("harm")}, failed={}
    )
    axes = forest(found, outcome)
    spans = [line.get_xdata() for line in axes.lines if len(line.get_xdata()) == 2 and line.get_ydata()[0] == 0]
    values = example_evidence("harm").judged
    ends = [outcome.scale * values["ci_low"], outcome.scale * values["ci_high"]]
    assert any(list(span) == pytest.approx(ends) for span in spans)
    comparison.plt.close(axes.figure)


def test_the_alt_text_says_which_intervals_leave_out_zero():
    text = made({QUESTIONS[0]: example_evidence("harm"), QUESTIONS[1]: example_evidence()})
    alt = re.search(r'alt="(.*?)"', text).group(1)
    assert alt.startswith("The interval does not include zero for What Works Cities Certification.")
    text = made({QUESTIONS[1]: example_evidence()})
    assert re.search(r'alt="(.*?)"', text).group(1).startswith("Every interval includes zero.")


def test_a_city_level_and_a_county_level_comparison_name_their_units():
    found = example_evidence()
    settings = {**found.headline.estimate["settings"], "unit": "county"}
    headline = dataclasses.replace(found.headline, estimate={**found.headline.estimate, "settings": settings})
    text = made({QUESTIONS[0]: found, QUESTIONS[1]: dataclasses.replace(found, headline=headline)})
    n = found.headline.estimate["n_treated"]
    assert f"{n} cities" in text
    assert f"{n} counties" in text


def test_hostile_names_are_shown_and_never_obeyed_neither_on_the_page_nor_in_its_csv(monkeypatch):
    known = catalog.treatment
    names = {"certification": "<script>alert(1)</script>", "open_data_policy": '=HYPERLINK("x")'}

    def hostile(name):
        return dataclasses.replace(known(name), title=names.get(name, name))

    monkeypatch.setattr(catalog, "treatment", hostile)
    text = made({question: example_evidence() for question in QUESTIONS}, failed={QUESTIONS[2].name: "<img src=x>"})
    assert "<script" not in text
    assert "<img src=x" not in text
    data = unquote(re.search(r'href="data:text/csv;charset=utf-8,(.*?)"', text).group(1))
    first = [row[0] for row in csv.reader(io.StringIO(data))]
    assert first[1:3] == ["<script>alert(1)</script>", """'=HYPERLINK("x")"""]


def test_the_page_says_its_language():
    for code, language in LANGUAGES.items():
        text = made({QUESTIONS[0]: example_evidence()}, failed={QUESTIONS[1].name: "why"}, language=code)
        assert f'<html lang="{language.tag}">' in text
        assert '<span lang="en">why</span>' in text
    with pytest.raises(InputError, match="there is no language"):
        made({}, language="fr")
