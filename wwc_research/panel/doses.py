"""Doses of a treatment as columns of the panel: level held, ever certified, share of the county, score.

In: the panel's grid, certification events, county populations; for scores also `Scores`. Out: columns and panels.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd

from wwc_research.errors import InputError, listed
from wwc_research.panel.panel import Panel, PanelColumn
from wwc_research.sources import crosswalks
from wwc_research.standard import timing
from wwc_research.standard.scoring import Scores

LEVEL = "certification_level_dose"
EVER = "has_been_certified"
COUNTY_SHARE = "county_people_share"


def level_columns(
    grid: pd.DataFrame, events: pd.DataFrame, *, exposure_month: int = 7, validity_years: float | None = None
) -> tuple[pd.DataFrame, list[PanelColumn]]:
    """Level held and ever certified for every place and year of `grid`, with their description.

    Returns
    -------
    tuple
        Frame aligned with `grid`: `certification_level_dose` (0 none, 1 silver, 2 gold, 3 platinum; NaN where a
        level or its date is not known) and `has_been_certified` (1 or 0; NaN where not known). See
        `timing.level_history` for `validity_years`.
    """
    years = sorted(grid["year"].unique())
    history = timing.level_history(events, years=years, exposure_month=exposure_month, validity_years=validity_years)
    known = history.set_index(["place_id", "year"])
    wanted = pd.MultiIndex.from_frame(grid[["place_id", "year"]])
    has_history = grid["place_id"].isin(history["place_id"])
    found = known.reindex(wanted)
    columns = {
        LEVEL: found["level_dose"].to_numpy(dtype=float),
        EVER: found["ever_certified"].to_numpy(dtype=float, na_value=np.nan),
    }
    frame = pd.DataFrame({name: np.where(has_history, values, 0.0) for name, values in columns.items()}, grid.index)
    titles = {
        LEVEL: ("Level of certification held: 0 none, 1 silver, 2 gold, 3 platinum", "level"),
        EVER: ("Certified at any level by then", "1 or 0"),
    }
    return frame, [
        _described(frame[name], grid, name=name, title=title, unit=unit, source="certification")
        for name, (title, unit) in titles.items()
    ]


def level_cohorts(rows: pd.DataFrame, events: pd.DataFrame, *, level: str) -> pd.DataFrame:
    """First exposed year at `level` or higher by place, with the edition of the award that reached it.

    Parameters
    ----------
    rows
        Columns place_id, year, dose (level dose, NaN = unknown).
    events
        Certification events.

    Returns
    -------
    DataFrame
        Indexed by place_id: cohort (NaN = never, as far as is known), edition, is_undated (the level may have been
        reached in a year before the cohort, or in some year where there is none), date and confidence of the award
        that reached it.
    """
    least = timing.LEVEL_DOSE[level]
    reached = rows.loc[rows["dose"] >= least].groupby("place_id")["year"].min()
    unknown = rows.loc[rows["dose"].isna()].groupby("place_id")["year"].min()
    places = pd.Index(sorted({*reached.index, *unknown.index}), name="place_id")
    cohort, doubt = reached.reindex(places).astype(float), unknown.reindex(places).astype(float)
    awards = events.loc[events["level"].map(timing.LEVEL_DOSE) >= least].sort_values("announced_on")
    fields = ["place_id", "standard_edition", "announced_on", "confidence"]
    award = awards.reindex(columns=fields, fill_value="").drop_duplicates("place_id").set_index("place_id")
    award = award.reindex(places).fillna("")
    undated = doubt.notna() & ~(cohort <= doubt)
    return pd.DataFrame(
        {
            "cohort": cohort.where(~undated),
            "edition": award["standard_edition"],
            "is_undated": undated,
            "date": award["announced_on"],
            "confidence": award["confidence"],
        }
    )


def county_share(grid: pd.DataFrame, *, parts: pd.DataFrame, counties: pd.DataFrame) -> pd.Series:
    """Share of the people of a place's main county who live in that place, one entry a row of `grid`.

    Parameters
    ----------
    parts, counties
        Tables `crosswalks/place_county` and `crosswalks/county_population`.
    """
    parts = parts.loc[parts["county_kind"] == "county", ["place_id", "county_id", "period", "population_count"]]
    totals = counties.rename(columns={"population_count": "county_people"})
    shares = parts.merge(totals, on=["county_id", "period"], how="left", validate="many_to_one")
    share = (shares["population_count"] / shares["county_people"]).to_numpy()
    by_part = pd.Series(share, index=pd.MultiIndex.from_frame(shares[["place_id", "county_id", "period"]]))
    keys = grid[["place_id", "county_id"]].assign(period=grid["year"].map(crosswalks.period_of))
    return pd.Series(by_part.reindex(pd.MultiIndex.from_frame(keys)).to_numpy(dtype=float), grid.index)


def with_score_dose(
    panel: Panel,
    scores: Scores,
    *,
    practice: str | None = None,
    exposure_month: int = 7,
    validity_years: float | None = None,
) -> Panel:
    """The panel with the share of points of each city's last assessment that counts, as a confidential column.

    Parameters
    ----------
    practice
        Id of a practice area whose share is wanted; without it the share of all points. The column is `score_dose`,
        or `<practice>_score_dose` in lower case; NaN where a city was not assessed, which is not a score of 0.
    exposure_month, validity_years
        See `timing.score_dose`.

    Raises
    ------
    InputError
        If the edition has no such practice, or no scored city is in the panel. The panel returned refuses to be
        written to a file.
    """
    known = list(scores.practice_shares.columns)
    if practice is not None and practice not in known:
        raise InputError(f"{scores.edition} has no practice {practice!r}; it has {listed(known, limit=20)}")
    shares = scores.share if practice is None else scores.practice_shares[practice].to_numpy(dtype=float)
    table = pd.DataFrame({"place_id": scores.place_id, "assessed_on": scores.assessed_on, "share": shares})
    table = table.loc[table["place_id"].isin(panel.frame["place_id"])]
    if table.empty:
        raise InputError(f"none of the {len(scores):,} assessments is of a city in the panel")
    doses = timing.score_dose(
        table,
        years=sorted(panel.frame["year"].unique()),
        exposure_month=exposure_month,
        validity_years=validity_years,
    ).set_index(["place_id", "year"])["score_dose"]
    name = "score_dose" if practice is None else f"{practice.lower()}_score_dose"
    values = doses.reindex(pd.MultiIndex.from_frame(panel.frame[["place_id", "year"]])).to_numpy(dtype=float)
    frame = panel.frame.assign(**{name: values})
    title = "Share of all points" if practice is None else f"Share of the points of {practice}"
    column = _described(frame[name], frame, name=name, title=f"{title}, last assessment", unit="share", source="scores")
    others = tuple(item for item in panel.columns if item.name != name)
    return replace(panel, frame=frame, columns=(*others, column), is_confidential=True)


def _described(values: pd.Series, grid: pd.DataFrame, *, name: str, title: str, unit: str, source: str) -> PanelColumn:
    present = values.notna()
    return PanelColumn(
        name=name,
        title=title,
        unit=unit,
        geography="place",
        source=source,
        vintages=(),
        first_year=None,
        last_year=None,
        n_values=int(present.sum()),
        n_places=int(grid.loc[present, "place_id"].nunique()),
        missing_share=0.0,
    )
