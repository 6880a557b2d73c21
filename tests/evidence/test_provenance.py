import dataclasses

import pytest

from tests.report.example_evidence import example_evidence
from wwc_research import catalog
from wwc_research.errors import DataError
from wwc_research.evidence.assemble import planned_design
from wwc_research.evidence.evidence import Evidence
from wwc_research.evidence.provenance import provenance
from wwc_research.messages import Message, decoded, encoded
from wwc_research.panel.panel import Panel, Served
from wwc_research.report import sections
from wwc_research.report.html import text_only
from wwc_research.report.language import speaking

PLAN = catalog.plan()


def told(panel, outcome, treatment="certification"):
    return provenance(panel, PLAN, design=planned_design(outcome=outcome, treatment=treatment, plan=PLAN))["sources"]


def with_served(panel: Panel, name: str, *served: Served) -> Panel:
    """The panel as if other vintages had filled a column."""
    columns = [
        dataclasses.replace(column, served=served, source=served[0].source) if column.name == name else column
        for column in panel.columns
    ]
    return dataclasses.replace(panel, columns=tuple(columns))


def page_of(sources) -> str:
    found = example_evidence()
    kept = decoded(encoded({**found.provenance, "sources": sources}))
    return str(sections.provenance(dataclasses.replace(found, provenance=kept)).html)


@pytest.mark.parametrize("outcome", PLAN.analyses)
def test_every_column_that_the_plan_names_has_its_source_its_vintage_and_its_figures(panel, outcome):
    analysis = PLAN.analyses[outcome]
    chosen = (*analysis.covariates, *analysis.cross_section_covariates)
    wanted = {catalog.outcome(outcome).variable, "population_count", "certification_cohort", *analysis.placebo_outcomes}
    wanted |= {column for name in chosen for column in catalog.covariates()[name].variables}
    sources = told(panel, outcome)
    found = {
        (column["name"], str(source["vintage"])): column["n_figures"]
        for source in sources
        for column in source["columns"]
        if column["n_figures"] is not None
    }
    assert {name for name, _ in found} >= wanted
    for name in wanted - {"certification_cohort"}:
        for item in panel.column(name).served:
            assert found[name, item.vintage] == item.n_figures > 0
    assert found["certification_cohort", "2026-11"] == 67
    assert not any(source["is_fetched"] for source in sources)


def test_vintages_of_one_source_are_told_apart_with_the_figures_of_each(panel):
    air = [source for source in told(panel, "air_quality") if source["series"] == "Air Quality Index by county"]
    counts = {source["vintage"]: source["columns"][0]["n_figures"] for source in air}
    assert counts == {item.vintage: item.n_figures for item in panel.column("aqi_over_100_share").served}
    assert list(counts) == ["2026", "2022"]


def test_a_fetched_vintage_is_called_so_beside_the_shipped_one_and_in_every_language(panel):
    fetched = Served(source="acs_one_year", vintage="2026-11-23", n_figures=1234)
    shipped = Served(source="acs_demographics", vintage="acs1", n_figures=7)
    sources = told(with_served(panel, "hispanic_share", fetched, shipped), "broadband")
    new = next(source for source in sources if source["is_fetched"])
    assert new["vintage"] == "fetched 2026-11-23"
    assert isinstance(new["vintage"], Message)
    assert [(column["name"], column["n_figures"]) for column in new["columns"]] == [("hispanic_share", 1234)]
    text = text_only(page_of(sources))
    assert "fetched 2026-11-23" in text
    assert "Hispanic residents (characteristic and placebo outcome): 1,234" in text
    assert "Hispanic residents (characteristic and placebo outcome): 7" in text
    with speaking("es"):
        spanish = text_only(page_of(sources))
    assert "2026-11-23" in spanish
    assert "1,234" in spanish
    assert not [word for word in ("fetched", "characteristic", "placebo outcome", "residents") if word in spanish]


def test_places_joined_with_counties_name_the_lists_that_join_them(panel):
    for outcome, vintage in (("employment", "2022"), ("air_quality", "2022"), ("youth_neet", "2022, 2010")):
        row = next(source for source in told(panel, outcome) if source["series"].startswith("Crosswalks"))
        assert row["vintage"] == vintage
        assert "shares of people that join places with counties" in text_only(page_of([row]))


def test_the_table_of_sources_of_the_shipped_plan_stays_short(panel):
    for outcome in PLAN.analyses:
        page = page_of(told(panel, outcome))
        assert page.count('<th scope="row">') <= 12
        assert len(page.encode()) < 9_000


def test_evidence_keeps_the_vintages_of_each_column_and_that_of_an_earlier_format_is_refused(panel, tmp_path):
    fetched = Served(source="acs_one_year", vintage="2026-11-23", n_figures=1234)
    known = dataclasses.replace(
        example_evidence(), provenance={"sources": told(with_served(panel, "broadband_share", fetched), "broadband")}
    )
    path = tmp_path / "evidence.json"
    known.write(path)
    first = Evidence.read(path).provenance["sources"][0]
    assert (first["vintage"], first["is_fetched"]) == ("fetched 2026-11-23", True)
    assert (first["columns"][0]["name"], first["columns"][0]["n_figures"]) == ("broadband_share", 1234)
    path.write_text(path.read_text(encoding="utf-8").replace('"format": 5', '"format": 4'), encoding="utf-8")
    with pytest.raises(DataError, match="another version; run 'wwc-research report' again"):
        Evidence.read(path)
