"""Where the figures of a page come from: each column that the analysis used, by the vintage that served it.

In: a Panel, the plan and the design. Out: plain values for the last table of a page, and all hashes.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final

from wwc_research import __version__, catalog
from wwc_research.catalog import Plan
from wwc_research.design.design import Design
from wwc_research.messages import Message, message
from wwc_research.panel.panel import Panel, PanelColumn
from wwc_research.sources import raw

LEVEL: Final = "certification_level_dose"
Sources = Mapping[str, Mapping[str, Any]]


def provenance(panel: Panel, plan: Plan, *, design: Design) -> dict[str, Any]:
    """Sources and vintages with the columns that they filled, and all hashes.

    `sources` has an entry a source and vintage, that of the outcome first: series, publisher, vintage, licence,
    is_fetched, and `columns`, each with name, title, roles and `n_figures` (of places, counties or microdata areas by
    year; of exposures the places with a date; None for what only joins places and counties).
    """
    entries = raw.load_sources()
    found: dict[tuple[str, str], dict[str, Any]] = {}
    for source, vintage, column in _filled(panel, design, entries=entries):
        entry = found.setdefault((source, vintage), {**_origin(source, vintage, entries=entries), "columns": []})
        entry["columns"].append(column)
    return {
        "sources": list(found.values()),
        "plan_title": plan.title,
        "plan_written": plan.written,
        "plan_sha256": plan.sha256,
        "data_sha256": panel.data_hash,
        "version": __version__,
        "seed": plan.seed,
    }


def roles(design: Design) -> dict[str, tuple[Message, ...]]:
    """The panel columns that the analysis uses, and what for."""
    analysis, outcome = design.analysis, design.outcome
    used: dict[str, dict[Message, None]] = {outcome.variable: {message("outcome"): None}}
    if analysis.cross_section_year is not None:
        across = f"{outcome.name}_{analysis.cross_section_year}_share"
        used.setdefault(across, {})[message("cross-section")] = None
    used.setdefault(f"{design.treatment.name}_cohort", {})[message("exposure")] = None
    if design.treatment.minimum_level:
        used.setdefault(LEVEL, {})[message("exposure")] = None
    for name in (*analysis.covariates, *analysis.cross_section_covariates):
        for column in catalog.covariates()[name].variables:
            used.setdefault(column, {})[message("characteristic")] = None
    for column in analysis.placebo_outcomes:
        used.setdefault(column, {})[message("placebo outcome")] = None
    used.setdefault("population_count", {})[message("size groups and weights")] = None
    return {column: tuple(kinds) for column, kinds in used.items()}


def _filled(panel: Panel, design: Design, *, entries: Sources) -> Iterator[tuple[str, str, dict[str, Any]]]:
    """(source, vintage, column with the number of its figures) for all that the analysis rests on."""
    by_area = design.analysis.unit == "county"
    for name, kinds in roles(design).items():
        column = panel.column(name)
        by_area |= column.geography != "place"
        titled: str = column.title if name != LEVEL else message("Level of certification held")
        known = {"name": name, "title": titled, "roles": kinds}
        for item in column.served:
            yield item.source, item.vintage, {**known, "n_figures": item.n_figures}
        if not column.served:
            # exposures repeat their one date in every year
            n_figures = column.n_places if column.unit == "first exposed year" else column.n_values
            yield column.source, _vintage(column, design, entries=entries), {**known, "n_figures": n_figures}
    bare: dict[str, Any] = {"roles": (), "n_figures": None}
    if by_area:
        title = message("shares of people that join places with counties and microdata areas")
        tables = ["place_county"]
        tables += ["county_population"] if design.analysis.unit == "county" else []
        tables += ["puma_place_2010"] if design.analysis.cross_section_year is not None else []
        vintage = _vintages(entries["crosswalks"], tables)
        yield "crosswalks", vintage, {"name": "county_people_share", "title": title, **bare}
    title = message("codes, names and coordinates of places, names of counties")
    vintage = _vintages(entries["gazetteer"], ["universe", "counties"])
    yield "gazetteer", vintage, {"name": "place_id", "title": title, **bare}


def _vintage(column: PanelColumn, design: Design, *, entries: Sources) -> str:
    """The vintage of a column that no figures were served to: that of the treatment's table, or of one's own file."""
    source, _, table = design.treatment.table.partition("/")
    if column.source == source and source in entries:
        return _vintages(entries[source], [table])
    return ", ".join(column.vintages)


def _vintages(source: Mapping[str, Any], tables: list[str]) -> str:
    return ", ".join(dict.fromkeys(str(source["tables"][table]["vintage"]) for table in tables))


def shipped_vintages(source: Mapping[str, Any]) -> set[str]:
    """The vintages of a source whose tables ship; any other was fetched."""
    return {str(table["vintage"]) for table in source.get("tables", {}).values()}


def vintage_in_words(vintage: str, *, source: Mapping[str, Any]) -> str:
    """The vintage of a served figure as a page calls it: its name, and plainly where it was fetched."""
    return vintage if vintage in shipped_vintages(source) else message("fetched {vintage}", vintage=vintage)


def _origin(source: str, vintage: str, *, entries: Sources) -> dict[str, Any]:
    """A source with one of its vintages; a researcher's own file by its name and its hash."""
    if source not in entries:
        return {
            "series": source,
            "publisher": message("a file of the researcher's own"),
            "vintage": vintage,
            "licence": message("not stated"),
            "is_fetched": False,
        }
    entry = entries[source]
    ships = all(name in shipped_vintages(entry) for name in vintage.split(", "))
    return {
        "series": entry["title"],
        "publisher": entry["publisher"],
        "vintage": vintage if ships else vintage_in_words(vintage, source=entry),
        "licence": entry["licence"],
        "is_fetched": not ships,
    }


__all__ = ["provenance", "roles", "shipped_vintages", "vintage_in_words"]
