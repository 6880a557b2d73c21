"""Compiled tables → the city-year panel: places as published, counties and microdata areas by weights.

In: data/raw, and the fetched vintages that a plan names. Out: a `Panel` of every US place of 30,000 people and more,
2006-2024 or up to the last fetched year.
"""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Sequence
from importlib import resources
from pathlib import Path

import numpy as np
import pandas as pd

from wwc_research import catalog
from wwc_research.catalog import Variable
from wwc_research.errors import DataError, InputError
from wwc_research.panel import doses
from wwc_research.panel.areas import area_values_to_places
from wwc_research.panel.figures import Figures, Vintage, digest_of_fetched, read_figures, rows_of
from wwc_research.panel.panel import Panel, PanelColumn, Served
from wwc_research.sources import crosswalks, raw
from wwc_research.sources.places import short_name
from wwc_research.standard import timing

YEARS = range(2006, 2025)
MAIN_COUNTY = "_main_county"


def build_panel(
    raw_dir: Path, *, corrected: bool = True, figures: Figures | None = None, fetched_dir: Path | None = None
) -> Panel:
    """The panel of `raw_dir`, one row a place and year.

    Parameters
    ----------
    raw_dir
        Folder with manifest.toml and the compiled tables.
    corrected
        Whether the declared corrections are applied; without them the panel shows the figures as published.
    figures
        Vintages by panel column, as `source@vintage` in order of preference (`Plan.figures`); all other columns have
        the shipped figures, and columns without shipped figures are absent.
    fetched_dir
        Folder of the fetched vintages (default: `fetched` beside `raw_dir`).

    Raises
    ------
    DataError
        Where a table is absent or altered, or where a figure the catalog promises is not in the tables.
    InputError
        Where `figures` names vintages that are not on disk, hold no such figures, or differ in definition.
    """
    universe = raw.read_table(raw_dir, "gazetteer/universe")
    observed = read_figures(raw_dir, figures=figures, fetched_dir=fetched_dir, corrected=corrected)
    grid = _grid(
        universe, counties=raw.read_table(raw_dir, "gazetteer/counties"), years=_years(observed.frame, figures)
    )
    young = _young_people(observed.frame)
    parts, columns = [grid], []
    for name, vintages in observed.vintages.items():
        variable = catalog.variables()[name]
        values = _preferred(observed.frame, variable, vintages=vintages)
        crosswalk = _crosswalk(raw_dir, geography=variable.geography, young=young)
        filled = _to_places(values, variable, crosswalk=crosswalk, grid=grid)
        parts.append(filled)
        served = _served(values, vintages, crosswalk=crosswalk, grid=grid)
        columns.append(_described(filled, variable, served=served, grid=grid))
    levels, level_columns = doses.level_columns(
        grid,
        raw.read_table(raw_dir, "certification/events"),
        exposure_month=catalog.treatment("certification").exposure_month,
    )
    treated, treatment_columns = _treatments(grid, raw_dir, levels=levels[doses.LEVEL])
    share = doses.county_share(
        grid,
        parts=raw.read_table(raw_dir, "crosswalks/place_county"),
        counties=raw.read_table(raw_dir, "crosswalks/county_population"),
    )
    frame = pd.concat([*parts, treated, levels, share.rename(doses.COUNTY_SHARE)], axis=1)
    return Panel(
        frame=frame,
        columns=(*columns, *treatment_columns, *level_columns),
        data_hash=_inputs_hash(raw_dir, figures=figures, fetched_dir=fetched_dir),
        corrections=observed.corrections,
    )


def panel_is_current(path: Path, *, raw: Path, figures: Figures | None = None, fetched_dir: Path | None = None) -> bool:
    """Whether the panel at `path` was made from these tables and vintages by this very code.

    Raises
    ------
    InputError
        Where `figures` names vintages that are not on disk.
    """
    wanted = _inputs_hash(raw, figures=figures, fetched_dir=fetched_dir)
    if not path.exists():
        return False
    try:
        return Panel.read(path).data_hash == wanted
    except InputError:
        return False


def _inputs_hash(raw_dir: Path, *, figures: Figures | None, fetched_dir: Path | None) -> str:
    """Hash over the tables as they are and over the code and catalog (but the plan) that turn them into the panel."""
    base = Path(str(resources.files("wwc_research")))
    made_by = [path for room in ("panel", "sources", "standard", "catalog") for path in (base / room).rglob("*")]
    digest = hashlib.sha256()
    for path in [raw_dir / "manifest.toml", *sorted(raw_dir.rglob("*.csv")), *sorted(made_by)]:
        if path.suffix in {".py", ".toml", ".csv"} and path.name != "plan.toml":
            digest.update(path.read_bytes())
    digest_of_fetched(digest, figures=figures, raw_dir=raw_dir, fetched_dir=fetched_dir)
    return digest.hexdigest()


def _years(observations: pd.DataFrame, figures: Figures | None) -> range:
    """The years of the panel: fetched figures can add later ones, never earlier ones."""
    named = {text for texts in (figures or {}).values() for text in texts}
    chosen = (observations["source"] + "@" + observations["vintage"]).isin(named) & observations["value"].notna()
    last = observations.loc[chosen, "year"].max() if chosen.any() else YEARS.stop - 1
    return range(YEARS.start, max(YEARS.stop, int(last) + 1))


def _grid(universe: pd.DataFrame, *, counties: pd.DataFrame, years: range) -> pd.DataFrame:
    """Every place and year, with the place's Census name, its short label, its state and main county."""
    named = counties.set_index("county_id")
    county_names = universe["county_id"].map(named["name"] + ", " + named["state"])
    places = universe[["place_id", "name", "state", "county_id", "latitude", "longitude"]].assign(
        label=universe["name"].map(short_name) + ", " + universe["state"],
        county_name=county_names.to_numpy(),
    )
    return places.merge(pd.DataFrame({"year": np.arange(years.start, years.stop)}), how="cross").sort_values(
        ["place_id", "year"], ignore_index=True
    )


def _preferred(observations: pd.DataFrame, variable: Variable, *, vintages: Sequence[Vintage]) -> pd.DataFrame:
    """Observations of one variable with one row a place and year, the preferred vintage first."""
    ranked = pd.concat(
        [_with_errors(observations, variable, vintage).assign(rank=at) for at, vintage in enumerate(vintages)]
    )
    twice = ranked.duplicated(["place_id", "year", "rank"])
    if twice.any():
        first = ranked.loc[twice].iloc[0]
        raise DataError(
            f"{variable.name}: {vintages[first['rank']]} has more than one {variable.observed} for {first['place_id']} "
            f"in {first['year']}; fetch it again with one geography or one table of them"
        )
    ranked.loc[ranked["flag"].isin(variable.refused_flags), ["value", "std_error"]] = np.nan
    # a vintage comes before another only where it has the figure: a row that says why there is none does not hide one
    order = ranked.assign(empty=ranked["value"].isna()).sort_values(["empty", "rank"], kind="stable")
    return order.drop_duplicates(["place_id", "year"])


def _with_errors(observations: pd.DataFrame, variable: Variable, vintage: Vintage) -> pd.DataFrame:
    """A vintage's figures for a column, with the standard errors beside them or those of `variable.std_error`."""
    rows = rows_of(observations, vintage, variable)
    if not variable.std_error:
        return rows
    errors = rows_of(observations, vintage, dataclasses.replace(variable, variable=variable.std_error))
    if errors.empty:
        raise DataError(
            f"{variable.name}: {vintage} holds no {variable.std_error}, which is the standard error of the column; "
            "fetch it again"
        )
    named = errors[["place_id", "year", "value"]].rename(columns={"value": "named"})
    # 0 is a sample without variation, not certainty
    joined = rows.merge(named, on=["place_id", "year"], how="left")
    known = joined.pop("named")
    return joined.assign(std_error=known.where((known > 0) & joined["value"].notna()))


def _served(
    values: pd.DataFrame, vintages: Sequence[Vintage], *, crosswalk: pd.DataFrame | None, grid: pd.DataFrame
) -> tuple[Served, ...]:
    """How many figures of each vintage the column rests on: of places, counties or areas, in the years of the panel."""
    areas = (grid["place_id"] if crosswalk is None else crosswalk["area_id"]).drop_duplicates()
    within = values["year"].between(grid["year"].min(), grid["year"].max())
    used = values.loc[values["value"].notna() & within].merge(areas.rename("place_id"), on="place_id")
    counts = used["rank"].value_counts()
    return tuple(
        Served(source=vintage.source, vintage=vintage.name, n_figures=int(counts.get(at, 0)))
        for at, vintage in enumerate(vintages)
    )


def _to_places(
    values: pd.DataFrame, variable: Variable, *, crosswalk: pd.DataFrame | None, grid: pd.DataFrame
) -> pd.DataFrame:
    """Columns of one variable aligned with `grid`: value, and where known standard error, flag, coverage."""
    if crosswalk is None:
        return _aligned(values.set_index(["place_id", "year"]), grid, name=variable.name)
    weighted = area_values_to_places(values, crosswalk=crosswalk).set_index(["place_id", "year"])
    filled = _aligned(weighted, grid, name=variable.name)
    if variable.geography == "puma":
        return filled
    own = values.rename(columns={"place_id": "county_id"}).set_index(["county_id", "year"])
    main = _aligned(own, grid, name=variable.name + MAIN_COUNTY, key="county_id")
    return pd.concat([filled, main], axis=1)


def _aligned(indexed: pd.DataFrame, grid: pd.DataFrame, *, name: str, key: str = "place_id") -> pd.DataFrame:
    wanted = pd.MultiIndex.from_frame(grid[[key, "year"]])
    found = indexed.reindex(wanted)
    columns = {name: found["value"].to_numpy(dtype=float)}
    if found["std_error"].notna().any():
        columns[f"{name}_std_error"] = found["std_error"].to_numpy(dtype=float)
    if "flag" in found:
        columns[f"{name}_flag"] = found["flag"].fillna("").astype(str).to_numpy()
    if "covered_share" in found:
        columns[f"{name}_covered_share"] = found["covered_share"].to_numpy(dtype=float)
    return pd.DataFrame(columns, index=grid.index)


def _young_people(observations: pd.DataFrame) -> pd.Series:
    """People aged 16 to 24 by microdata area, from the one shipped table of them."""
    rows = observations.loc[
        (observations["variable"] == "youth_population_count") & (observations["source"] == "youth_neet_puma")
    ]
    return rows.set_index("place_id")["value"]


def _crosswalk(raw_dir: Path, *, geography: str, young: pd.Series) -> pd.DataFrame | None:
    """place_id, area_id, share of the place's people, weight of the area, and the years for which they hold.

    None for figures of places, which need none.
    """
    if geography == "place":
        return None
    if geography == "puma":
        return _microdata_areas(raw_dir, young=young)
    table = raw.read_table(raw_dir, "crosswalks/place_county")
    first = table["period"].map({period: span[0] for period, span in crosswalks.PERIODS.items()})
    last = table["period"].map({period: span[1] for period, span in crosswalks.PERIODS.items()})
    return pd.DataFrame(
        {
            "place_id": table["place_id"],
            "area_id": table["county_id"],
            "share": table["county_share"],
            "weight": table["county_share"],
            # The oldest list also serves the years before it. Connecticut's planning regions serve every year: some
            # publishers carry them back, and no figure is of regions and of counties.
            "first_year": first.where((first > first.min()) & (table["county_kind"] == "county"), YEARS.start),
            "last_year": last,
        }
    )


def _microdata_areas(raw_dir: Path, *, young: pd.Series) -> pd.DataFrame:
    """Areas of the 2010 census, for which the only figures (2021) were drawn, weighted by their young people."""
    table = raw.read_table(raw_dir, "crosswalks/puma_place_2010")
    return pd.DataFrame(
        {
            "place_id": table["place_id"],
            "area_id": table["puma_id"],
            "share": table["place_share"],
            "weight": table["puma_share"] * table["puma_id"].map(young),
            "first_year": 2012,
            "last_year": 2021,
        }
    )


def _described(
    filled: pd.DataFrame, variable: Variable, *, served: tuple[Served, ...], grid: pd.DataFrame
) -> PanelColumn:
    present = filled[variable.name].notna()
    years = grid.loc[present, "year"]
    first, last = (int(years.min()), int(years.max())) if present.any() else (None, None)
    n_places = int(grid.loc[present, "place_id"].nunique())
    spanned = grid["place_id"].nunique() * (last - first + 1) if first is not None and last is not None else 0
    return PanelColumn(
        name=variable.name,
        title=variable.title,
        unit=variable.unit,
        geography=variable.geography,
        source=served[0].source,
        vintages=tuple(dict.fromkeys(item.vintage for item in served)),
        served=served,
        first_year=first,
        last_year=last,
        n_values=int(present.sum()),
        n_places=n_places,
        missing_share=round(1 - present.sum() / spanned, 4) if spanned else 1.0,
    )


def _treatments(grid: pd.DataFrame, raw_dir: Path, *, levels: pd.Series) -> tuple[pd.DataFrame, list[PanelColumn]]:
    """Cohort columns of the dated treatments, membership of the others, with their provenance."""
    columns: dict[str, np.ndarray] = {}
    described = []
    for treatment in catalog.treatments().values():
        table = raw.read_table(raw_dir, treatment.table)
        if treatment.minimum_level:
            name = f"{treatment.name}_cohort"
            rows = doses.level_cohorts(grid.assign(dose=levels), table, level=treatment.minimum_level)
            for field in ("cohort", "edition", "is_undated", "date", "confidence"):
                columns[f"{treatment.name}_{field}"] = _mapped(grid, rows[field], field)
        elif treatment.is_award:
            rows = timing.cohorts(table, exposure_month=treatment.exposure_month).set_index("place_id")
            rows = rows.rename(columns={"announced_on": "date"})
            for field in ("cohort", "edition", "level", "is_undated", "date", "confidence"):
                columns[f"{treatment.name}_{field}"] = _mapped(grid, rows[field], field)
            name = f"{treatment.name}_cohort"
        elif treatment.kind == "dated":
            rows = _adoptions(table, exposure_month=treatment.exposure_month)
            name = f"{treatment.name}_cohort"
            columns[name] = _mapped(grid, rows, "cohort")
            columns[f"{treatment.name}_date"] = _mapped(grid, _adoption_dates(table), "date")
            known = set(table["place_id"].dropna())
            columns[f"{treatment.name}_is_undated"] = (
                grid["place_id"].isin(known) & np.isnan(columns[name])
            ).to_numpy()
        else:
            name = f"is_{treatment.name}"
            columns[name] = grid["place_id"].isin(table["place_id"].dropna()).to_numpy()
        filled = pd.Series(columns[name], index=grid.index).replace({False: None}).notna()
        described.append(
            PanelColumn(
                name=name,
                title=treatment.title,
                unit="first exposed year" if treatment.kind == "dated" else "yes or no",
                geography="place",
                source=treatment.table.split("/")[0],
                vintages=(),
                first_year=None,
                last_year=None,
                n_values=int(filled.sum()),
                n_places=int(grid.loc[filled, "place_id"].nunique()),
                missing_share=0.0,
            )
        )
    return pd.DataFrame(columns, index=grid.index), described


def _adoptions(table: pd.DataFrame, *, exposure_month: int) -> pd.Series:
    """First exposed year by place from a table of adoption dates."""
    dates = _adoption_dates(table)
    years = [timing.first_exposed_year(text, exposure_month=exposure_month) for text in dates]
    return pd.Series(years, index=dates.index, dtype=float)


def _adoption_dates(table: pd.DataFrame) -> pd.Series:
    """Earliest date of adoption by place as published; a bare year stands before every day of its year."""
    dated = table.loc[table["place_id"].notna() & table["adopted_on"].fillna("").ne("")]
    return dated.groupby("place_id")["adopted_on"].min()


def _mapped(grid: pd.DataFrame, values: pd.Series, field: str) -> np.ndarray:
    found = grid["place_id"].map(values)
    if field == "is_undated":
        return found.fillna(False).to_numpy(dtype=bool)
    if field == "cohort":
        return found.to_numpy(dtype=float, na_value=np.nan)
    return found.fillna("").astype(str).to_numpy()
