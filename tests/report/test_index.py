import base64
import dataclasses
import hashlib
import re
from html.parser import HTMLParser

import pytest

from tests.report.example_evidence import example_evidence
from wwc_research import catalog
from wwc_research.errors import InputError
from wwc_research.evidence.questions import Question
from wwc_research.messages import message
from wwc_research.report import index, shell
from wwc_research.report.index import gaps, index_html, summary
from wwc_research.report.language import LANGUAGES
from wwc_research.report.page_work import Link

CODES = ("improvement", "harm", "no_effect_larger", "cannot_tell")
TREATMENTS = ("certification", "open_data_policy")
HOSTILE = "<script>alert(1)</script>"
QUESTIONS = [Question(treatment=name, outcome="broadband") for name in TREATMENTS]
ALSO = (
    Link(text="All outcomes", href="index.html", is_here=True),
    Link(text="Español", href="index.es.html", language="es"),
    Link(text="evidence.csv", href="evidence.csv"),
)


def made(questions=QUESTIONS, *, found=None, failed=None, links=None, language="en"):
    failed = failed or {}
    given = {question: example_evidence() for question in questions if question.name not in failed}
    return index_html(
        questions, found={**given, **(found or {})}, failed=failed, links=links or {}, also=ALSO, language=language
    )


class Cells(HTMLParser):
    """Tags with their attributes, and the rows of the body."""

    def __init__(self, text):
        super().__init__()
        self.tags = []
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))

    def of(self, tag):
        return [given for name, given in self.tags if name == tag]


def test_every_question_has_one_row_and_a_failure_says_why():
    text = made(failed={QUESTIONS[1].name: "no <data>"})
    rows = [given for given in Cells(text).of("tr") if "data-verdict" in given]
    assert [given["data-verdict"] for given in rows] == ["cannot_tell", "failed"]
    assert [given["data-treatment"] for given in rows] == list(TREATMENTS)
    assert "no &lt;data&gt;" in text
    assert "Of 2 questions asked: 1 “Cannot tell”." in text
    assert "1 could not be analysed and is marked below." in text


def test_only_our_own_script_may_run_and_nothing_may_be_fetched():
    text = made()
    script = re.search(r"<script>(.*?)</script>", text, re.S).group(1)
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    policy = next(given["content"] for given in Cells(text).of("meta") if "http-equiv" in given)
    assert policy.startswith("default-src 'none';")
    assert f"script-src 'sha256-{digest}'" in policy
    assert "unsafe-eval" not in policy
    assert not re.search(r"connect-src|font-src|script-src 'unsafe", policy)
    assert not re.search(r'(?:src|href)="(?:https?:)?//', text)


def test_without_its_script_the_table_is_whole_and_the_controls_are_hidden():
    cells = Cells(made())
    form = next(given for given in cells.of("form"))
    assert "hidden" in form
    assert not any("hidden" in given for given in cells.of("tr"))
    assert all(given.get("scope") in ("col", "row") for given in cells.of("th"))


def test_each_column_that_can_be_sorted_has_a_key_in_every_row():
    text = made(failed={QUESTIONS[1].name: "why"})
    cells = Cells(text)
    sortable = [given["data-sort"] for given in cells.of("th") if "data-sort" in given]
    assert sortable == ["title", "rank", "estimate", "p", "q"]
    for name in sortable:
        assert text.count(f"data-{name}=") == len(QUESTIONS)
    numbers = [given["data-estimate"] for given in cells.of("td") if "data-estimate" in given]
    assert float(numbers[0]) == pytest.approx(0.006 / example_evidence().minimum_effect_of_interest)
    assert numbers[1] == ""


@pytest.mark.parametrize("code", CODES)
def test_a_verdict_is_told_by_its_words_and_a_shape_and_not_by_colour_alone(code):
    text = made(QUESTIONS[:1], found={QUESTIONS[0]: example_evidence(code)})
    shapes = {one: re.search(r'<svg class="mark.*?</svg>', made_with(one), re.S).group(0) for one in CODES}
    drawn = {re.sub(r'class="[^"]*"', "", shape) for shape in shapes.values()}
    assert len(drawn) == len(CODES)
    assert f'<span class="verdict {code}">' in text


def made_with(code):
    return made(QUESTIONS[:1], found={QUESTIONS[0]: example_evidence(code)})


def test_findings_are_named_in_the_summary():
    found = dict(zip(QUESTIONS, (example_evidence("improvement"), example_evidence("harm")), strict=True))
    lines = summary(found, failed={})
    assert lines[1] == "Evidence of improvement: Broadband access (What Works Cities Certification)."
    assert lines[2] == "Evidence of harm: Broadband access (Open-data policy)."
    assert summary({QUESTIONS[0]: example_evidence()}, failed={})[1:] == [
        "Nowhere do the data show improvement or harm that can be relied on."
    ]
    assert summary({}, failed={"one": "why"}) == [
        "1 question was asked.",
        "1 could not be analysed and is marked below.",
    ]


def test_the_gap_is_the_mean_of_the_exposed_less_that_of_the_others_and_a_missing_year_stays_missing():
    trends = [{"group": "has it", "year": year, "mean": mean} for year, mean in ((2016, 0.5), (2017, 0.6), (2019, 0.9))]
    trends += [{"group": "not", "year": year, "mean": 0.4} for year in (2016, 2017, 2018, 2019, 2020)]
    found = gaps(example_evidence(trends=tuple(trends)))
    assert list(found) == [2016, 2017, 2018, 2019]
    assert found[2018] is None
    assert [found[year] for year in (2016, 2017, 2019)] == pytest.approx([0.1, 0.2, 0.5])
    assert gaps(example_evidence(trends=())) == {}


def test_intervals_are_drawn_to_one_scale_that_no_wild_one_can_stretch():
    evidence = example_evidence()
    unit = evidence.minimum_effect_of_interest
    reach = max(abs(evidence.judged[name]) for name in ("ci_low", "ci_high")) / unit
    assert index.scale([evidence]) == pytest.approx(min(max(1.5, reach), 4))
    wild = example_evidence(judged={**evidence.judged, "ci_high": 50 * unit})
    assert index.scale([evidence, wild]) == 4
    assert index.scale([]) == 1.5


def test_pages_of_a_question_are_linked_and_each_link_has_a_name_of_its_own():
    links = {
        question.name: (
            Link(text="For staff", href=f"{question.name}.staff.html"),
            Link(text="For research", href=f"{question.name}.html"),
        )
        for question in QUESTIONS
    }
    text = made(links=links)
    names = [re.sub(r"<[^>]*>", "", name) for name in re.findall(r'<a href="certification[^"]*">(.*?)</a>', text)]
    assert names == [
        "Broadband access",
        "For staff: Broadband access, What Works Cities Certification",
        "For research: Broadband access, What Works Cities Certification",
    ]


def test_the_page_says_its_language_and_marks_what_is_in_another():
    for code, language in LANGUAGES.items():
        text = made(failed={QUESTIONS[1].name: "no data at all"}, language=code)
        assert f'<html lang="{language.tag}">' in text
        assert ('lang="en">no data at all' in text) == (code != "en")
        assert 'hreflang="es" lang="es">Español</a>' in text
    translated = made(failed={QUESTIONS[1].name: message("There is no matched comparison.")}, language="es")
    assert 'lang="en">There' not in translated
    with pytest.raises(InputError, match="there is no language 'fr'"):
        made(language="fr")


def test_files_for_programs_stand_at_the_end_and_not_among_the_pages():
    text = made()
    header, rest = text.split("</header>")
    assert 'aria-current="page"' in header
    assert "evidence.csv" not in header
    assert 'href="evidence.csv"' in rest


def test_a_hostile_title_reason_or_link_is_shown_and_never_obeyed(monkeypatch):
    outcome = catalog.outcome("broadband")

    hostile = dataclasses.replace(outcome, title=HOSTILE, unit=HOSTILE, topic=HOSTILE, better=HOSTILE)
    monkeypatch.setattr(catalog, "outcome", lambda name: hostile)
    links = {QUESTIONS[0].name: (Link(text=HOSTILE, href='"><script>alert(1)</script>'),)}
    text = made(failed={QUESTIONS[1].name: HOSTILE}, links=links)
    assert text.count("<script") == 1
    assert "&lt;script&gt;alert(1)" in text


def test_a_page_without_a_script_allows_none():
    page = shell.surroundings(title="A page")
    text = shell.render("plain.html.j2", page=page, kicker="k", lead="<b>", body="")
    assert "script" not in text
    assert "&lt;b&gt;" in text
