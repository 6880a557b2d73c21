import dataclasses
import json
import math
import re
from pathlib import Path

import matplotlib.pyplot as plt
import nbformat
import numpy as np
import pytest
from nbclient import NotebookClient

from tests.report.example_evidence import example_evidence
from wwc_research import catalog
from wwc_research.design.peers import find_all_peers, find_peers
from wwc_research.errors import DataError, InputError
from wwc_research.evidence.questions import Question
from wwc_research.panel.city_figures import Break, city_histories
from wwc_research.panel.panel import Served
from wwc_research.report import city_page, city_plots, city_sections, html
from wwc_research.report.city_page import CityPage, plan_cities, write_facts
from wwc_research.report.html import text_only
from wwc_research.sources.places import Match, Places

ROOT = Path(__file__).parents[2]
PLAN = catalog.plan()
DETROIT, LOUISVILLE, PHOENIX, TULSA, SHREVEPORT = "2622000", "2148006", "0455000", "4075000", "2270000"
SECTIONS = ("answer", "outcomes", "peers", "standard", "not_to_claim", "sources")
BROADBAND = Question(treatment="certification", outcome="broadband")


def whole(path: Path, *, drawn: bool = False) -> str:
    """The page; without its pictures, which take most of the time, unless they are asked for."""
    page = CityPage.open(path)
    with pytest.MonkeyPatch.context() as patch:
        if not drawn:
            patch.setattr(city_plots, "history", lambda rows, **_: None)
            patch.setattr(html, "figure", lambda axes, *, alt, caption, data: html.paragraph(alt) + data)
        return "\n".join(str(page.show(getattr(city_sections, name)).html) for name in SECTIONS)


def rows_of(page: str, caption: str) -> list[list[str]]:
    """The cells of each row of a table's body, as they are written; their end tags may be left out."""
    body = re.search(rf"<caption>{caption}.*?<tbody>(.*?)</table>", page, re.S)[1]
    return [re.split(r"<t[hd][^>]*>", row)[1:] for row in body.split("<tr>")[1:]]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("cities")


@pytest.fixture(scope="module")
def paths(panel, folder):
    return write_facts(
        [DETROIT, LOUISVILLE, PHOENIX, TULSA, SHREVEPORT],
        panel=panel,
        found={BROADBAND: example_evidence()},
        folder=folder,
        root=ROOT,
        plan=PLAN,
        links={BROADBAND: {"en": "../certification/broadband.html"}},
    )


@pytest.fixture(scope="module")
def detroit(paths):
    return whole(paths[DETROIT], drawn=True)


def test_cities_are_named_in_words_by_code_or_as_a_group():
    assert plan_cities(["Detroit, MI", LOUISVILLE, "Louisville, KY"], root=ROOT) == (DETROIT, LOUISVILLE)
    certified = plan_cities(["certified"], root=ROOT)
    assert DETROIT in certified
    assert SHREVEPORT not in certified
    assert len(certified) < len(plan_cities(["all"], root=ROOT))


def test_all_faults_of_the_names_are_told_at_once_with_the_nearest_names():
    with pytest.raises(InputError) as error:
        plan_cities(["Detriot, MI", "Detroit, MI", "Syracuse", "Syracuse, MO"], root=ROOT)
    told = str(error.value)
    assert "3 faults" in told
    assert "Detroit city, MI (2622000)" in told
    assert "add the state" in told
    assert "not in the panel" in told


def test_the_quick_way_to_a_name_never_contradicts_the_resolver(panel):
    places, names_of = Places.load(ROOT / "data" / "raw"), city_page._names_by_state(ROOT / "data" / "raw")
    labels = panel.frame["label"].unique()[::5]
    quick = {label: city_page._by_plain_name(label, names_of=names_of) for label in labels}
    found = {label: place_id for label, place_id in quick.items() if place_id}
    assert len(found) > 0.9 * len(labels)
    for label, place_id in found.items():
        match = places.resolve(label)
        assert isinstance(match, Match)
        assert match.place_id == place_id


def test_every_place_of_the_panel_is_known_to_some_outcome(panel):
    columns = [catalog.outcome(name).variable for name in catalog.plan().analyses]
    known = panel.frame.loc[panel.frame[columns].notna().any(axis=1), "place_id"].unique()
    assert set(plan_cities(["all"], root=ROOT)) == set(known)


def test_peers_of_many_cities_are_those_of_each_alone(panel):
    many = find_all_peers(panel, place_ids=[DETROIT, TULSA], count=4)
    assert many == {place: find_peers(panel, place_id=place, count=4) for place in (DETROIT, TULSA)}


def test_a_history_is_the_panels_own_figures_and_its_change_is_worked_by_hand(panel):
    outcome, near = catalog.outcome("broadband"), ("2270000", "0107000", "3916000")
    found = city_histories(
        panel, outcome, peers={DETROIT: near}, since={DETROIT: 2022}, otherwise=((2016, 2017), (2022,))
    )[DETROIT]
    wide = panel.frame.pivot_table(index="place_id", columns="year", values="broadband_share")
    errors = panel.frame.pivot_table(index="place_id", columns="year", values="broadband_share_std_error")
    moved = wide[2022] - wide[[2018, 2019, 2021]].mean(axis=1)
    variance = errors[2022] ** 2 + (errors[[2018, 2019, 2021]] ** 2).sum(axis=1) / 9
    change = found.change
    assert (change.before, change.after) == ((2018, 2019, 2021), (2022,))
    assert change.own == pytest.approx(moved[DETROIT])
    assert change.gap == pytest.approx(moved[DETROIT] - moved[list(near)].mean())
    half = 1.959964 * math.sqrt(variance[DETROIT] + variance[list(near)].sum() / 9)
    assert change.gap_high - change.gap == pytest.approx(half, rel=1e-5)
    row = next(figure for figure in found.figures if figure.year == 2019)
    assert (row.value, row.peers) == pytest.approx((wide.loc[DETROIT, 2019], wide.loc[list(near), 2019].mean()))
    assert found.missing[0].years == (2020,)


@pytest.mark.parametrize(("broken", "sides"), [(2019, ((2019, 2021), (2022,))), (2022, None)])
def test_a_change_of_a_city_never_crosses_a_break_of_the_series(panel, broken, sides):
    outcome = dataclasses.replace(catalog.outcome("broadband"), breaks={str(broken): "New words."})
    found = city_histories(panel, outcome, peers={DETROIT: ()}, since={DETROIT: 2022}, otherwise=((), ()))[DETROIT]
    assert (found.change and (found.change.before, found.change.after)) == sides
    assert found.is_parted == (sides is None)
    assert found.breaks == (Break(year=broken, why="New words.", is_accepted=False),)


def test_a_break_before_the_first_figure_of_a_city_is_not_crossed(panel):
    outcome = dataclasses.replace(catalog.outcome("broadband"), breaks={"2016": "New words.", "2023": "Newer words."})
    found = city_histories(panel, outcome, peers={DETROIT: ()}, since={}, otherwise=((2016,), (2022,)))[DETROIT]
    assert (found.breaks, found.is_parted) == ((), False)
    assert found.change


def _with_crime(panel):
    """A panel with made-up fetched crime figures, and a plan that asks about them across the break of 2021."""
    outcome = catalog.outcome("violent_crime")
    variable = catalog.variables()[outcome.variable]
    rows = panel.frame["year"].between(2014, 2022).to_numpy()
    figures = np.where(rows, 10.0 + 0.1 * (panel.frame["year"] - 2014), np.nan)
    column = dataclasses.replace(
        panel.column("broadband_share"),
        name=variable.name,
        title=variable.title,
        unit=variable.unit,
        source=variable.source,
        vintages=("2026-11-23",),
        first_year=2014,
        last_year=2022,
        served=(Served(source=variable.source, vintage="2026-11-23", n_figures=int(rows.sum())),),
    )
    changed = dataclasses.replace(
        panel, frame=panel.frame.assign(**{variable.name: figures}), columns=(*panel.columns, column)
    )
    planned = PLAN.analyses["broadband"]
    analysis = dataclasses.replace(planned, name=outcome.name, accept_breaks=(2021,))
    return changed, dataclasses.replace(PLAN, analyses={"broadband": planned, outcome.name: analysis})


def test_a_page_shows_the_outcomes_of_the_plan_in_use_and_says_which_break_it_accepts(panel, tmp_path):
    changed, plan = _with_crime(panel)
    path = write_facts([SHREVEPORT], panel=changed, found={}, folder=tmp_path, root=ROOT, plan=plan)[SHREVEPORT]
    assert [row["outcome"] for row in city_page.read_facts(path)["outcomes"]] == ["broadband", "violent_crime"]
    text = text_only(whole(path))
    assert "The series breaks in 2021. In 2021 the FBI" in text
    assert "The plan compares across it all the same" in text
    assert "the series breaks between them, so nothing is said of a change" in text
    assert "fetched 2026-11-23" in text
    spanish = text_only(CityPage.open(path, language="es").show(city_sections.sources).html)
    assert "fetched" not in spanish
    assert "2026-11-23" in spanish


def test_a_neighbour_with_the_same_county_figure_is_no_comparison(panel):
    county = panel.frame.loc[panel.frame["county_id"].eq("04013"), "place_id"].unique()
    found = city_histories(
        panel,
        catalog.outcome("air_quality"),
        peers={PHOENIX: [place for place in county if place != PHOENIX]},
        since={},
        otherwise=((2012,), (2022,)),
    )[PHOENIX]
    assert not found.peers
    assert math.isnan(found.change.peers)
    assert [item.why for item in found.missing] == ["suspect_monitor"]
    assert "tribal ozone monitor" in found.missing[0].correction


def test_the_page_says_when_a_city_was_certified_and_what_it_cannot_say(detroit, paths):
    text = text_only(detroit)
    assert "was first given What Works Cities Certification on July 14, 2021, level gold" in text
    assert "This is a description and not an effect" in text
    assert 'href="../certification/broadband.html"' in detroit
    assert "No figure for 2020: no standard ACS 1-year release" in text
    assert "belong to the county (Wayne County, MI)" in text
    assert "Memphis, TN ★" in text
    assert "By public figures, Detroit, MI shows progress" in text
    assert "level silver; the latest level on the public list is platinum" in text_only(whole(paths[LOUISVILLE]))
    assert "is not on the public list" in text_only(whole(paths[SHREVEPORT]))
    assert "on a day that is not public" in text_only(whole(paths[TULSA]))
    assert "are known to be wrong and were taken out" in text_only(whole(paths[PHOENIX]))


def test_an_award_that_nobody_announced_is_marked_in_its_own_row(paths):
    page = whole(paths[LOUISVILLE])
    awards = json.loads(paths[LOUISVILLE].read_text(encoding="utf-8"))["certification"]["awards"]
    marked = ["worked out, not announced as such" in row[1] for row in rows_of(page, "Awards on the public list")]
    assert marked == [award["confidence"] != "source" for award in awards]
    assert any(marked)
    assert not all(marked)
    assert "V1 is the first edition of the Standard (2017)" in text_only(page)
    alone = city_page.read_facts(paths[DETROIT])
    sentence = "That award is worked out from other public statements"
    assert sentence not in text_only(city_sections.answer(alone).html)
    alone["certification"]["awards"][0]["confidence"] = "inferred"
    assert sentence in text_only(city_sections.answer(alone).html)


def test_peers_are_called_as_the_city_itself_is(detroit, paths):
    firsts = [text_only(row[0]) for row in rows_of(detroit, "Cities most like")]
    assert firsts[0] == "Detroit, MI certified"
    assert "Shreveport, LA not on the list" in firsts
    assert "Memphis, TN ★ certified silver, counted from 2019, V2" in firsts
    assert "_name,log_population" in detroit
    assert "_distance,_certification%0A" in detroit
    assert "V2 the second (2018)" in text_only(detroit)
    assert "never certified" not in text_only(whole(paths[SHREVEPORT])).lower()


def test_columns_have_translated_titles_and_publishers_keep_their_own_words(paths):
    page = CityPage.open(paths[DETROIT], language="es")
    standing = text_only(page.show(city_sections.standard).html)
    assert "Households" not in standing
    assert "microgramos por metro cúbico" in standing
    sources = str(page.show(city_sections.sources).html)
    cells = [cell for row in rows_of(sources, "") for cell in row]
    assert len(cells) >= 4
    assert all(cell.startswith('<span lang="en">') for cell in cells)
    in_english = str(CityPage.open(paths[DETROIT]).show(city_sections.sources).html)
    assert "<span lang" not in in_english


def test_a_page_keeps_below_its_size_and_asks_nothing_of_the_network(detroit):
    assert len(detroit.encode()) < 200_000
    assert not re.search(r'(?:src|href)="(?:https?:)?//', detroit)


def test_nothing_is_said_of_applicants_or_scores(paths):
    for path in paths.values():
        told = path.read_text(encoding="utf-8") + text_only(whole(path))
        assert not re.search(r"\bappl(?:y|ied|icants?|ications?)\b|unsuccessful|honou?r.roll|\bscores?\b", told, re.I)


def test_facts_hold_plain_values_and_are_written_whole(paths):
    facts = json.loads(paths[DETROIT].read_text(encoding="utf-8"), parse_constant=pytest.fail)
    assert paths[DETROIT].stem == "detroit-mi-2622000"
    assert [award["level"] for award in facts["certification"]["awards"]] == ["gold"]
    assert not list(paths[DETROIT].parent.glob("*.part"))
    assert city_page.title(paths[DETROIT], "en") == "Detroit, MI: its peers, its outcomes, where it stands"


def test_a_facts_file_that_is_absent_or_of_another_version_is_refused(tmp_path):
    path = tmp_path / "city.json"
    with pytest.raises(DataError, match="no facts"):
        city_page.read_facts(path)
    path.write_text('{"format": 0}')
    with pytest.raises(DataError, match="another version"):
        city_page.read_facts(path)


def test_a_place_outside_the_panel_is_refused_before_anything_is_written(panel, tmp_path):
    with pytest.raises(InputError, match="0000000"):
        write_facts([DETROIT, "0000000"], panel=panel, found={}, folder=tmp_path, root=ROOT, plan=PLAN)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("name", ["<script>alert(1)</script>", '=HYPERLINK("x")'])
def test_a_name_that_is_code_harms_no_one(panel, tmp_path, name):
    frame = panel.frame.copy()
    frame["label"] = frame["label"].where(~frame["place_id"].isin([DETROIT, SHREVEPORT]), name)
    changed = dataclasses.replace(panel, frame=frame)
    path = write_facts([DETROIT], panel=changed, found={}, folder=tmp_path, root=ROOT, plan=PLAN)[DETROIT]
    assert path.parent == tmp_path
    page = whole(path, drawn=True)
    assert "<script" not in page
    for start in ("%0A=HYPER", ",=HYPER", "%0A%22=HYPER", ",%22=HYPER"):
        assert start not in page


def test_a_city_without_any_figure_gets_a_page_that_says_so(panel, tmp_path):
    frame = panel.frame.copy()
    columns = [
        column.name for column in panel.columns if column.first_year is not None and column.name in frame.columns
    ]
    frame.loc[frame["place_id"].eq(SHREVEPORT), columns] = np.nan
    changed = dataclasses.replace(panel, frame=frame)
    path = write_facts([SHREVEPORT], panel=changed, found={}, folder=tmp_path, root=ROOT, plan=PLAN)[SHREVEPORT]
    text = text_only(whole(path))
    assert "None of the outcomes that this project follows has a public figure for this city" in text
    assert "No peers could be found" in text
    assert "cannot settle whether" in text


def test_peers_found_on_few_characteristics_are_called_poor(panel, tmp_path):
    path = write_facts(["0100820"], panel=panel, found={}, folder=tmp_path, root=ROOT, plan=PLAN)["0100820"]
    assert "These peers are poor ones: 5 characteristics could not be compared" in text_only(whole(path))


def test_a_suppressed_figure_is_said_to_be_suppressed(panel, tmp_path):
    frame = panel.frame.copy()
    row = frame["place_id"].eq(SHREVEPORT) & frame["year"].eq(2019)
    frame.loc[row, "broadband_share"] = np.nan
    frame.loc[row, "broadband_share_flag"] = "not_published"
    changed = dataclasses.replace(panel, frame=frame)
    path = write_facts([SHREVEPORT], panel=changed, found={}, folder=tmp_path, root=ROOT, plan=PLAN)[SHREVEPORT]
    assert "No figure for 2019: suppressed: the publisher gives no figure" in text_only(whole(path))


@pytest.mark.notebook
def test_the_notebook_makes_the_page(paths):
    notebook = nbformat.read(ROOT / "notebooks" / "city_report.ipynb", as_version=4)
    chosen = next(cell for cell in notebook.cells if "parameters" in cell.metadata.get("tags", []))
    chosen.source = f"facts_path = {str(paths[DETROIT])!r}\nlanguage = 'es'"
    NotebookClient(notebook, timeout=120, kernel_name="python3").execute()
    shown = "".join(out.data["text/html"] for cell in notebook.cells for out in cell.outputs)
    assert shown.count("<h1>") == 1
    assert shown.count("<figure>") == 5


def test_no_line_of_the_picture_leads_across_a_break():
    rows = [dict.fromkeys(("value", "low", "high", "peers", "group"), 1.0) | {"year": y} for y in range(2019, 2023)]
    names = {"city": "Detroit", "peers": "peers", "group": "others"}
    axes = city_plots.history(rows, scale=2.0, unit="points", breaks=[2021], **names)
    for line in axes.get_lines()[:3]:
        assert list(line.get_xdata()) == [2019, 2020, 2020.5, 2021, 2022]
        assert list(np.isnan(line.get_ydata())) == [False, False, True, False, False]
    assert list(axes.get_lines()[3].get_xdata()) == [2020.5, 2020.5]
    plt.close(axes.figure)
