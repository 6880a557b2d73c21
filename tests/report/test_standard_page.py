import re
from html.parser import HTMLParser
from urllib.parse import unquote

import numpy as np
import pytest

from wwc_research.catalog.editions import edition, editions
from wwc_research.errors import InputError
from wwc_research.report import standard_page
from wwc_research.report.html import text_only
from wwc_research.report.language import LANGUAGES
from wwc_research.report.standard_page import file_name, paired_criteria, standard_html
from wwc_research.standard import impact as impact_module
from wwc_research.standard.impact import impact
from wwc_research.standard.proposals import variant
from wwc_research.standard.responses import Responses

V2, V3, DRAFT = edition("v2"), edition("v3"), edition("v3-draft")


class Outline(HTMLParser):
    """Headings, ids, links and tags of a page."""

    def __init__(self, text):
        super().__init__()
        self.tags, self.ids, self.anchors, self.levels = [], [], [], []
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        given = dict(attrs)
        self.tags.append((tag, given))
        if "id" in given:
            self.ids.append(given["id"])
        if tag == "a" and given["href"].startswith("#"):
            self.anchors.append(given["href"][1:])
        if re.fullmatch(r"h\d", tag):
            self.levels.append(int(tag[1]))


def assessed(of, *, n=240, seed=1):
    rng = np.random.default_rng(seed)
    grid = rng.random((n, len(of.criteria))) < rng.uniform(0.45, 0.95, n)[:, None]
    for column, item in enumerate(of.criteria.values()):
        grid[:, column] |= item.is_core & (rng.random(n) < 0.9)
    ids = [f"{('26', '06', '48')[place % 3]}{place:05}" for place in range(n)]
    return Responses(
        grid.astype(int), place_ids=ids, names=[f"Town {i}" for i in ids], criteria=list(of.criteria), edition=of
    )


PROPOSAL = variant(V3, {"name": "proposal 7", "criteria": {"DM2": {"is_core": True}, "DM5": {"is_core": True}}})


def pages():
    for before in editions().values():
        for after in editions().values():
            if before is not after:
                yield standard_html(before, after)
    yield standard_html(V3, PROPOSAL, impact=impact(assessed(V3), before=V3, after=PROPOSAL))
    yield standard_html(V2, V3, impact=impact(assessed(V2), before=V2, after=V3, same={"DG1": "DM2"}))


def test_every_page_is_whole_accessible_and_asks_for_nothing():
    for text in pages():
        made = Outline(text)
        names = [tag for tag, _ in made.tags]
        assert names.count("h1") == names.count("main") == 1
        assert not {"script", "img", "link", "iframe", "object"} & set(names)
        assert "default-src 'none'" in text
        assert len(made.ids) == len(set(made.ids))
        assert set(made.anchors) <= set(made.ids)
        assert all(later <= earlier + 1 for earlier, later in zip(made.levels, made.levels[1:], strict=False))
        assert names.count("table") == names.count("caption")
        assert all(given.get("scope") in ("col", "row") for tag, given in made.tags if tag == "th")
        assert ">None<" not in text


def test_an_edition_comparison_says_what_is_not_known():
    text = text_only(standard_html(V2, V3))
    assert "34 of its 45 criteria are named by no source" in text
    assert "3 criteria have the same code in both editions without any source" in text
    assert "What it would do" not in text
    text = text_only(standard_html(V3, DRAFT))
    assert "how many criteria it has is not known (10 are named)" in text


def test_editions_are_named_in_the_language_and_outcomes_by_their_titles():
    text = text_only(standard_html(V2, V3, language="es"))
    assert "Segunda edición del Estándar" in text
    assert "since August 2022" not in text
    assert "Second edition" not in text
    told = text_only(standard_html(V2, V3))
    assert "Broadband access" in told
    assert "air_quality" not in told


def test_the_impact_leads_the_page_and_no_city_stands_on_it():
    held = assessed(V3)
    found = impact(held, before=V3, after=PROPOSAL)
    text = standard_html(V3, PROPOSAL, impact=found)
    group = "certified under v3"
    loses = next(row.cities_count for row in found.table("change", group=group))
    lead = re.search(r'<p class="sentence">(.*?)</p>', text).group(1)
    assert lead.startswith(f"Of {found.groups[group]} cities {group}, {loses} would lose certification and")
    assert "Town" not in text
    assert not any(place in text for place in held.confidential_frame()["place_id"])
    assert "Which rule decides" in text


def test_every_count_of_cities_on_the_page_is_published_by_the_impact():
    found = impact(assessed(V3), before=V3, after=PROPOSAL)
    text = standard_html(V3, PROPOSAL, impact=found)
    section = text[text.index("What it would do") : text.index("How these numbers")]
    shown = {int(number) for number in re.findall(r"<td>(\d+)(?=<)", section)}
    assert shown
    assert shown <= {row.cities_count for row in found.rows}


def test_without_any_answer_to_the_new_criteria_no_impact_is_claimed():
    text = text_only(standard_html(V2, V3, impact=impact(assessed(V2), before=V2, after=V3)))
    assert "have answered none of the 43 criteria of v3" in text
    assert "would lose" not in text


def test_texts_of_a_proposal_are_shown_and_never_obeyed():
    hostile = "<script>alert(1)</script>"
    changes = {
        "name": hostile,
        "title": hostile,
        "notes": [hostile],
        "criteria": {"DM2": {"name": hostile, "source": hostile}},
    }
    made = variant(V3, changes)
    assert "<script" not in standard_html(V3, made)
    assert re.fullmatch(r"[A-Za-z0-9.-]+\.html", file_name(V3, made))


def test_pairs_of_criteria_are_read_and_all_faults_said_at_once():
    assert paired_criteria(["OD1=OD3", " PA1 = PA1 "]) == {"OD1": "OD3", "PA1": "PA1"}
    with pytest.raises(InputError, match="--same: 2 faults"):
        paired_criteria(["OD1", "PA1=PA1", "PA2=PA1"])


def test_a_proposal_that_is_no_file_is_refused(tmp_path):
    with pytest.raises(InputError, match="no such file"):
        standard_page.chosen_edition(str(tmp_path / "none.toml"))
    with pytest.raises(InputError, match="v3-draft"):
        standard_page.chosen_edition("v9")


def test_the_page_speaks_its_language_and_marks_the_texts_of_the_programme_as_english():
    for code, language in LANGUAGES.items():
        text = standard_html(V2, V3, language=code)
        assert f'<html lang="{language.tag}">' in text
        assert ('<span lang="en">' in text) == (code != "en")
        assert '<div lang="en"><ul>' in text
    with pytest.raises(InputError, match="there is no language 'fr'"):
        standard_html(V2, V3, language="fr")


def test_every_change_that_can_befall_a_city_has_a_sentence():
    changes = (impact_module.LOSES, impact_module.LOWER, impact_module.KEEPS, impact_module.HIGHER)
    changes += (impact_module.STAYS, impact_module.GAINS, impact_module.FAILS, impact_module.MEETS)
    assert set(standard_page._WOULD) == set(changes)
    assert standard_page._WOULD[changes[0]](1234) == "1,234 would lose certification"


def test_a_download_holds_text_and_no_markup():
    text = standard_html(V2, V3, language="es")
    tables = [unquote(data) for data in re.findall(r'href="data:text/csv;charset=utf-8,(.*?)"', text)]
    assert tables
    assert not any("<" in table for table in tables)
