"""The panel's data dictionary, rendered from the catalog and from what the panel really holds.

In: a Panel. Out: Markdown text.
"""

from __future__ import annotations

from wwc_research import catalog
from wwc_research.catalog import Outcome
from wwc_research.panel.panel import Panel, PanelColumn

_HEAD = """# Data dictionary of the city-year panel

One row a `place_id` (7-digit state and place code, as text) and `year`. {rows:,} rows, {places:,} places,
{first}-{last}. Beside each figure `x` stand, where they apply, `x_std_error` (sampling error of the survey),
`x_flag` (why a value is missing or weak), `x_covered_share` (share of the city's people who live in the counties or
microdata areas that have a figure) and `x_main_county` (the figure of the county in which most of them live).

| column | what it is | unit | measured for | source | vintage | years | places | missing |
|---|---|---|---|---|---|---|---|---|
"""


def data_dictionary(panel: Panel) -> str:
    """Markdown: a head, one row a column, the outcomes with their traps, the corrections applied."""
    frame = panel.frame
    head = _HEAD.format(
        rows=len(frame),
        places=frame["place_id"].nunique(),
        first=int(frame["year"].min()),
        last=int(frame["year"].max()),
    )
    parts = [head + "\n".join(_row(column) for column in panel.columns), "\n\n## Outcomes and their traps\n"]
    known = {column.name for column in panel.columns}
    waiting = []
    for outcome in catalog.outcomes().values():
        if outcome.variable in known:
            parts.append(_outcome(outcome))
        elif not catalog.has_shipped_figures(outcome):
            waiting.append(outcome)
    if waiting:
        parts.append("\n## Outcomes that wait for figures\n")
        parts += [_outcome(outcome, way=catalog.way_to_analysis(outcome.name).strip() + ".") for outcome in waiting]
    parts.append("\n## Corrections applied\n\n" + ("\n".join(f"- {line}" for line in panel.corrections) or "None."))
    return "".join(parts) + "\n"


def _outcome(outcome: Outcome, *, way: str = "") -> str:
    """One outcome with its traps and breaks, and how its figures come into the panel where they do not ship."""
    lines = [*outcome.traps, *(f"Break in {year}: {why}" for year, why in outcome.breaks.items())]
    texts = [
        f"### {outcome.title} (`{outcome.variable}`)",
        outcome.description,
        way,
        "\n".join(f"- {x}" for x in lines),
    ]
    return "\n" + "\n\n".join(text for text in texts if text) + "\n"


def _vintages(column: PanelColumn) -> str:
    """The vintages; where there are several, with how many figures come from each, and of which source."""
    if len(column.served) < 2:
        return ", ".join(column.vintages)
    several = len({item.source for item in column.served}) > 1
    return ", ".join(
        f"{f'{item.source}@' if several else ''}{item.vintage} ({item.n_figures:,} figures)" for item in column.served
    )


def _row(column: PanelColumn) -> str:
    years = f"{column.first_year}-{column.last_year}" if column.first_year else ""
    cells = (
        f"`{column.name}`",
        column.title,
        column.unit,
        column.geography,
        ", ".join(dict.fromkeys(item.source for item in column.served)) or column.source,
        _vintages(column),
        years,
        f"{column.n_places:,}",
        f"{column.missing_share:.0%}",
    )
    return "| " + " | ".join(cells) + " |"
