import csv
import dataclasses
import io
import math
import re
import string
import tomllib
from html.parser import HTMLParser
from urllib.parse import unquote

import pytest

from tests.conftest import ROOT
from tests.report.example_evidence import CITIES, empty_evidence, example_evidence, failed_evidence
from wwc_research import catalog
from wwc_research.messages import encoded
from wwc_research.report import citation, doubt_sections, html, language, sections, staff_sections
from wwc_research.report.text import collect

RESEARCH = (
    sections.headline,
    sections.estimand,
    sections.cohorts,
    sections.places,
    sections.event_study,
    sections.trends,
    sections.synthetic,
    sections.cross_section,
    sections.estimates,
    doubt_sections.many_questions,
    sections.checks,
    doubt_sections.variations,
    doubt_sections.specification_curve,
    doubt_sections.sensitivity,
    doubt_sections.calibration,
    sections.balance,
    sections.exclusions,
    doubt_sections.plan,
    sections.methods,
    sections.provenance,
    citation.citation,
)
STAFF = (
    staff_sections.answer,
    staff_sections.picture,
    staff_sections.how_sure,
    staff_sections.not_to_claim,
    staff_sections.change_of_mind,
    staff_sections.about,
)
# what remains in English on every page: names of places, publications, plans, files
NAMES = (
    *CITIES,
    "Mobile, AL",
    "Omaha, NE",
    "Tulsa, OK",
    "Jefferson County, KY",
    "Marion County, IN",
    "Duval County, FL",
    "Broadband access, American Community Survey",
    "Urban Institute",
    "ODC-BY",
    "acs1",
    "First honest analysis",
    "residents",
    "certification/events.csv",
    "broadband_share",
    "youth_neet",
    "employment",
    "imputation",  # the file name of a method card
)


class Reader(HTMLParser):
    """What a reader of a fragment meets: `texts` outside what is marked as English, `tags`, `pictures`, `downloads`."""

    def __init__(self, block):
        super().__init__()
        self.texts, self.tags, self.pictures, self.downloads = [], [], [], {}
        self._open, self._english = [], 0
        self.feed(str(block.html))

    def handle_starttag(self, tag, attrs):
        values = dict(attrs)
        self.tags.append(tag)
        if tag not in ("img", "br"):
            self._open.append(values.get("lang") == "en")
            self._english += self._open[-1]
        self.texts += [values[name] for name in ("alt", "aria-label") if name in values and not self._english]
        if tag == "img":
            self.pictures.append(unquote(values["src"].partition(",")[2]))
        if "download" in values:
            self.downloads[values["download"]] = unquote(values["href"].partition(",")[2])

    def handle_endtag(self, tag):
        self._english -= self._open.pop()

    def handle_data(self, data):
        self.texts += [] if self._english else [data]


def read(evidence, parts=RESEARCH):
    return Reader(html.joined([part(evidence) for part in parts]))


def dotted(template: str) -> str:
    """The template with a dot for every letter that is not part of a field."""
    parts = []
    for literal, name, spec, _ in string.Formatter().parse(template):
        parts.append(re.sub(r"[^\W\d_]", "·", literal).replace("{", "{{").replace("}", "}}"))
        if name is not None:
            parts.append("{" + name + (f":{spec}" if spec else "") + "}")
    return "".join(parts)


def templates(value):
    """The texts of every message in plain values, at any depth."""
    if isinstance(value, dict):
        if "message" in value:
            yield (value["message"], value["plural"]) if "plural" in value else value["message"]
        for item in value.values():
            yield from templates(item)
    elif isinstance(value, list | tuple):
        for item in value:
            yield from templates(item)


@pytest.fixture(scope="module")
def dots():
    """A language that knows every text that is collected for translation, and has nothing but dots for them."""
    said = [failed_evidence(), example_evidence(), *map(example_evidence, ("improvement", "no_effect_larger"))]
    known = [*collect.collected(), *templates(encoded([dataclasses.asdict(found) for found in said]))]
    pairs = [text if isinstance(text, tuple) else (text, "") for text in known]
    texts = {one: (dotted(one), dotted(many)) if many else dotted(one) for one, many in pairs}
    return language.Catalogue(texts=texts, plural_index=lambda n: int(n != 1))


def untranslated(texts):
    found = set()
    for text in texts:
        for name in sorted(NAMES, key=len, reverse=True):
            text = text.replace(name, "")
        if re.search(r"[A-Za-z]{2,}", text):
            found.add(text.strip())
    return found


@pytest.fixture
def nothing_but_dots(dots, monkeypatch):
    monkeypatch.setattr(language, "catalogue", lambda code: dots)
    with language.speaking("es"):
        yield


@pytest.mark.usefixtures("nothing_but_dots")
@pytest.mark.parametrize("parts", [RESEARCH, STAFF], ids=["research", "staff"])
def test_no_text_of_a_page_and_of_its_pictures_escapes_translation(parts):
    page = read(example_evidence(), parts)
    assert untranslated(page.texts) == set()
    pictures = [re.sub(r"<style.*?</style>|<[^>]*>", " ", picture) for picture in page.pictures]
    assert untranslated(pictures) == set()
    assert all("·" in picture for picture in pictures)
    assert sum(text.count("·") for text in page.texts) > 500


@pytest.mark.usefixtures("nothing_but_dots")
@pytest.mark.parametrize("cause", ["imprecise", "unreliable"])
@pytest.mark.parametrize("verdict", ["improvement", "harm", "no_effect_larger", "cannot_tell"])
def test_no_verdict_escapes_translation(verdict, cause):
    found = example_evidence(verdict, cause=cause)
    page = read(found, (sections.headline, *(part for part in STAFF if part is not staff_sections.picture)))
    assert untranslated(page.texts) == set()


@pytest.mark.usefixtures("nothing_but_dots")
@pytest.mark.parametrize("made", [failed_evidence, empty_evidence])
def test_no_reason_for_an_empty_part_escapes_translation(made):
    drawn = (sections.event_study, sections.estimates)
    page = read(made(), [part for part in RESEARCH if made is failed_evidence or part not in drawn])
    assert untranslated(page.texts) == set()


def test_a_research_page_has_every_part_once_and_every_table_and_figure_its_data():
    page = read(example_evidence("improvement"))
    assert page.tags.count("h1") == 1
    assert (
        page.tags.count("table") == page.tags.count("caption") == len([n for n in page.downloads if n.endswith(".csv")])
    )
    assert "None" not in " ".join(page.texts)
    told = " ".join(page.texts)
    for part in ("What exactly is estimated", "Who counts as exposed", "How to cite this", "Units by propensity score"):
        assert part in told
    assert told.count("The figures behind this picture") == len(page.pictures)


@pytest.mark.parametrize("made", [failed_evidence, empty_evidence])
@pytest.mark.parametrize("part", [*RESEARCH, *STAFF], ids=lambda part: part.__name__)
def test_a_part_with_nothing_to_show_says_so_or_is_empty(part, made):
    text = html.text_only(part(made()).html).strip()
    assert not text or len(text.split()) > 3
    assert "None" not in text
    assert "nan" not in text.split()


def test_the_estimand_names_all_that_defines_it():
    told = " ".join(Reader(sections.estimand(example_evidence())).texts)
    assert "the Urban Institute's list of 486 cities" in told
    assert "2016 to 2022" in told
    assert "those not exposed yet, or never, in the same year" in told
    assert "none: effects are looked for from the first exposed year on" in told
    assert "first awards under V1 and V2" in told
    assert "errors clustered by county" in told
    assert "2.0 percentage points" in told


def test_another_comparison_and_anticipation_change_the_estimand():
    found = example_evidence()
    settings = {**found.headline.estimate["settings"], "comparison": "never", "anticipation": 2, "unit": "county"}
    estimate = {**found.headline.estimate, "settings": settings}
    changed = dataclasses.replace(found, headline=dataclasses.replace(found.headline, estimate=estimate))
    told = " ".join(Reader(sections.estimand(changed)).texts)
    assert "those never exposed in the years shown" in told
    assert "effects may begin 2 years before the first exposed one" in told
    assert "a county in a year" in told


def test_a_journal_table_is_saved_as_csv_and_as_latex():
    page = Reader(sections.cohorts(example_evidence()))
    saved = {name.rpartition(".")[2]: text for name, text in page.downloads.items()}
    assert "Boston, MA" in saved["csv"]
    assert r"\toprule" in saved["tex"]


def test_saved_figures_are_numbers_a_program_can_read():
    page = Reader(sections.event_study(example_evidence()))
    rows = list(csv.DictReader(io.StringIO(page.downloads["event_study.csv"])))
    assert [int(row["event_time"]) for row in rows] == [-3, -2, -1, 0, 1, 2]
    assert float(rows[4]["estimate"]) == pytest.approx(0.6)


def test_a_hostile_name_is_text_everywhere():
    hostile = '<script>alert("x")</script>'
    found = example_evidence()
    changed = dataclasses.replace(
        found,
        cohorts=({**found.cohorts[0], "labels": [hostile]},),
        matched=({"treated": hostile, "controls": [hostile]},),
        synthetic=({**found.synthetic[0], "label": hostile},),
        notes=(hostile,),
    )
    page = read(changed, (sections.headline, sections.cohorts, sections.balance, sections.synthetic))
    assert "script" not in page.tags
    assert hostile in " ".join(page.texts)


def test_the_largest_leads_and_lags_are_told_without_eyes():
    told = " ".join(Reader(sections.event_study(example_evidence("improvement"))).texts)
    assert "Before it the estimates lie between \N{MINUS SIGN}0.3 and +0.4 percentage points" in told
    assert "and 0 of 3 intervals exclude zero. After it" in told
    assert "and 3 of 3 intervals exclude zero" in told


def test_the_citation_is_that_of_the_project():
    known = dict(re.findall(r'^(title|version|date-released): "?(.*?)"?$', (ROOT / "CITATION.cff").read_text(), re.M))
    assert known["title"] == citation.TITLE
    assert known["date-released"].startswith(citation.YEAR)
    assert f'- name: "{citation.AUTHOR}"' in (ROOT / "CITATION.cff").read_text()
    assert tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["authors"][0]["name"] == citation.AUTHOR


def test_a_page_is_cited_by_what_makes_its_figures():
    found = example_evidence()
    text = citation.bibtex(found)
    assert text.count("@") == 3
    assert text.count("{") == text.count("}")
    assert found.provenance["plan_sha256"][:16] in text
    hostile = {**found.provenance["sources"][0], "publisher": "Bureau of R&D {50%}"}
    changed = {**found.provenance, "sources": [hostile]}
    assert r"{{Bureau of R\&D \{50\%\}}}" in citation.bibtex(dataclasses.replace(found, provenance=changed))


def test_every_check_that_can_have_no_meaning_has_a_name_in_words():
    from wwc_research.evidence.evidence import APPLIES_TO

    assert doubt_sections.CHECKS.keys() == APPLIES_TO.keys()


def test_traps_of_outcome_and_treatment_are_told():
    told = " ".join(Reader(sections.methods(example_evidence())).texts)
    for trap in (*catalog.outcome("broadband").traps, *catalog.treatment("certification").caveats):
        assert trap in told


def test_means_of_logarithms_are_shown_in_dollars_and_their_gap_in_per_cent():
    means = {"Certified": (math.log(50_000), math.log(66_000)), "Others": (math.log(55_000), math.log(60_000))}
    rows = [
        {"group": group, "year": year, "mean": mean, "std_error": 0.01, "n_units": 4}
        for group, both in means.items()
        for year, mean in zip((2010, 2023), both, strict=True)
    ]
    page = Reader(sections.trends(dataclasses.replace(example_evidence(), outcome="median_income", trends=tuple(rows))))
    saved = list(csv.DictReader(io.StringIO(page.downloads["means_by_year.csv"])))
    assert [float(row["mean"]) for row in saved] == [50_000, 66_000, 55_000, 60_000]
    assert "std_error" not in saved[0]
    told = " ".join(page.texts)
    assert "\N{MINUS SIGN}9.1 percent at the start and +10.0 percent at the end" in told
    assert "Geometric means of units" in told
    assert "Median household income, dollars" in page.pictures[0]


def test_the_headline_among_the_estimates_has_the_interval_of_the_answer():
    found = example_evidence()
    judged = {
        **found.judged,
        "std_error": 0.02,
        "ci_low": -0.0312,
        "ci_high": 0.0512,
        "minimum_detectable_effect": 0.06,
    }
    page = Reader(sections.estimates(dataclasses.replace(found, judged=judged)))
    first, *others = csv.DictReader(io.StringIO(page.downloads["estimates.csv"]))
    assert first["title"] == f"{found.headline.title} (as judged)"
    assert [float(first[key]) for key in ("interval_low", "interval_high", "mde")] == pytest.approx([-3.12, 5.12, 6.0])
    assert others
    assert not any("as judged" in row["title"] for row in others)
