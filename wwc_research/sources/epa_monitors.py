"""EPA AirData annual summaries by monitor → PM2.5 and ozone of places and counties.

In: files `annual_conc_by_monitor_<year>.zip`. Out: observation tables `places` and `counties`, table `sites`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from wwc_research.errors import DataError, Faults, listed
from wwc_research.sources.airdata import YearFile, note, numbers, read_year, yearly_files, yearly_remotes
from wwc_research.sources.monitor_places import distances_km, place_points, weights
from wwc_research.sources.observations import Reading, left_out, long_frame, sorted_frame
from wwc_research.sources.places import STATE_OF_CODE, Scope
from wwc_research.sources.retrieval import Remote

SOURCE = "epa_monitors"
_STEM = "annual_conc_by_monitor"
_MONITOR = ["State Code", "County Code", "Site Num", "POC"]
_TEXTS = (
    *_MONITOR,
    "Parameter Code",
    "Latitude",
    "Longitude",
    "Sample Duration",
    "Pollutant Standard",
    "Metric Used",
    "Method Name",
    "Units of Measure",
    "Event Type",
    "Observation Percent",
    "Completeness Indicator",
    "Certification Indicator",
)
_NO_METHOD = ("", "-")
# The fifty states and DC lie within these degrees, the last Aleutian islands beyond 180 degrees west.
_LATITUDES, _LONGITUDES, _LAST_ALEUTIANS = (18.0, 72.0), (-180.0, -66.0), 172.0
_Entries = list[tuple[str, str, str, int]]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Selected:
    """One pollutant of one year: valid sites, and all sites that measured it under the standard."""

    year: int
    pollutant: str
    sites: pd.DataFrame
    seen: pd.DataFrame


def remotes(*, years: Sequence[int], geographies: Sequence[str], settings: Mapping[str, Any]) -> tuple[Remote, ...]:
    """One national zip a year, `annual_conc_by_monitor_<year>.zip`; places and counties come from the same file.

    Raises
    ------
    InputError
        If a year lies outside `years` of `[epa_monitors.fetch]`.
    """
    return yearly_remotes(
        years, address=settings["url"], span=settings["years"], largest_mb=settings["largest_mb"], where=SOURCE
    )


def read_fetched(files_dir: Path, *, scope: Scope, vintage: str, settings: Mapping[str, Any], raw_dir: Path) -> Reading:
    """Concentrations of places and counties from monitors that one declared rule selects.

    Parameters
    ----------
    files_dir
        Folder with `annual_conc_by_monitor_<year>.zip` (or `.csv`).
    scope
        `counties` are those kept; `settings` is `[epa_monitors.settings]`: the rules below, and per pollutant
        (`pollutants.<name>`) its parameter code, unit, standards, metric, durations and variables. A variable is a
        column of the file (`Arithmetic Mean`) or one over another (`Primary Exceedance Count / Valid Day Count`).
    vintage
        Name of the vintage, written into every row.
    settings
        Not used.
    raw_dir
        The shipped gazetteer, for the points of the places.

    Returns
    -------
    Reading
        `places` and `counties`: the declared variables, and for each pollutant `<name>_sites_count`, at places
        `<name>_nearest_km` (the nearest valid site at whatever distance), and where filter samplers are told from
        continuous monitors `<name>_filter_share`, the weight of the former.
        `sites`: one row a valid site, year and pollutant, with its monitors (`pocs`), durations, methods and
        certification as the file words them, and its figures; key `site_id` (`04-013-9997`), `year`, `pollutant`.
        `left_out`: under `sites` every row of the files that no site is made of, with the reason; under `counties`
        the sites of counties outside the scope.

    Raises
    ------
    DataError
        If a file is faulty (all faults of all files in one error) or no year has a valid site.

    Notes
    -----
    One row a monitor (site, parameter and occurrence code), in this order:

    1. States and DC; other areas have no place of the universe.
    2. One pollutant standard a file, the first of `standards` that it has: EPA repeats each monitor once for every
       standard it has had. The mean does not depend on the standard, a count of exceedances does.
    3. One event type a monitor, the first of `event_types` it has. `No Events` and `Events Included` are what was
       in the air, smoke included; a monitor has one or the other. The `Excluded` types are what counts for
       attainment, and which days they leave out is decided by states and EPA, also after certification.
    4. A complete year: `Completeness Indicator` Y and at least `minimum_observation_percent`.
    5. Certified by the agency that runs the monitor, from `certification_from` on (before, most rows were never
       certified). This drops all monitors that need no certification, among them tribal ones, of which one spoilt
       the index of Maricopa County AZ (04-013-5100) for 2020 and 2021.
    6. One sample duration, the first of `durations`, where an instrument was changed within the year.

    Monitors of one site are averaged first, so that a site with three instruments counts once. A county's value is
    the mean of its sites. A place's value is the mean of the sites within `radius_km` of its centre, weighted by
    distance to the minus `power`, distances below `nearest_counts_as_km` counting as that. Network design (40 CFR
    58, appendix D, 1.2) calls 0.5 to 4 km the neighbourhood scale of a site and 4 to 50 km the urban scale: below
    4 km a centre is no more exact than the site's own reach, and 25 km is the middle of the urban scale. A place
    without a valid site that near has no value here; the county's, brought to places by their residents, is the
    other road to one.
    """
    rules = scope.settings
    faults = Faults(SOURCE, kind=DataError)
    entries: _Entries = []
    selected: list[_Selected] = []
    for path in yearly_files(files_dir, _STEM):
        selected += _read_file(path, rules, entries, faults)
    faults.raise_if_any()
    selected = [part for part in selected if len(part.sites)]
    if not selected:
        lost = [f"{item}: {reason} ({rows:,})" for table, item, reason, rows in entries if rows]
        raise DataError(f"{SOURCE}: no monitor passes the rules of catalog/sources.toml; {listed(lost, limit=12)}")
    points = place_points(raw_dir)
    near, inside, used = [], [], []
    for part in selected:
        held = part.sites["county_id"].isin(scope.counties)
        entries.append(("counties", _item(part), "no place of the universe lies in the county", int((~held).sum())))
        lost_points = int(part.sites["latitude"].isna().sum())
        entries.append(("places", _item(part), "the site has no coordinates within the states", lost_points))
        at_places, reached = _at_places(part, points, rules, vintage)
        near.append(at_places)
        inside.append(_at_counties(part, scope, rules, vintage))
        used.append(part.sites[held | reached].assign(year=part.year, pollutant=part.pollutant))
    observations = {"places": sorted_frame(pd.concat(near)), "counties": sorted_frame(pd.concat(inside))}
    return Reading(
        observations=observations,
        tables={"sites": _site_table(pd.concat(used, ignore_index=True), rules)},
        left_out=left_out([entry for entry in entries if entry[3]]),
    )


# --- one file --------------------------------------------------------------------------------------------


def _read_file(path: Path, rules: Mapping[str, Any], entries: _Entries, faults: Faults) -> list[_Selected]:
    pollutants = rules["pollutants"]
    needed = {column for rule in pollutants.values() for text in rule["variables"].values() for column in _parts(text)}
    parameters = [rule["parameter"] for rule in pollutants.values()]
    wanted = ("Parameter Code", parameters)
    file = read_year(path, columns=[*_TEXTS, *sorted(needed)], wanted=wanted, faults=faults)
    if file is None:
        return []
    rows = file.rows.copy()
    for column, width in (("State Code", 2), ("County Code", 3), ("Site Num", 4)):
        rows[column] = rows[column].str.zfill(width)
    codes = ~rows["State Code"].str.fullmatch(r"(?!00)\d{2}|CC")
    note(replace(file, rows=rows), "State Code", codes, "is no state's code (two digits; CC is Canada)", faults)
    rows["POC"] = rows["POC"].str.lstrip("0")
    rows["county_id"] = rows["State Code"] + rows["County Code"]
    rows["site_id"] = rows["State Code"] + "-" + rows["County Code"] + "-" + rows["Site Num"]
    entries.append(("sites", str(file.year), f"parameters other than {listed(parameters)}", file.passed_over))
    rows = _keep(rows, rows["State Code"].isin(STATE_OF_CODE), f"{file.year}", "outside the states and DC", entries)
    found = []
    for pollutant, rule in pollutants.items():
        of_it = replace(file, rows=rows[rows["Parameter Code"] == rule["parameter"]])
        found.append(_select(of_it, pollutant, rule, rules, entries, faults))
    return found


def _select(
    file: YearFile,
    pollutant: str,
    rule: Mapping[str, Any],
    rules: Mapping[str, Any],
    entries: _Entries,
    faults: Faults,
) -> _Selected:
    """The rows that the rules of `read_fetched` leave, averaged by site; the others are counted in `entries`."""
    item = f"{file.year}, {pollutant}"
    methods = _methods(file.rows)
    rows = _of_one_standard(file, rule, item, entries)
    rows = _keep(
        rows,
        rows["Sample Duration"].isin(rule["durations"]),
        item,
        f"sample duration other than {listed(rule['durations'])}",
        entries,
    )
    file = replace(file, rows=rows)
    _check_rows(file, rule, faults)
    rows = _of_one_event_type(rows, rules["event_types"], item, entries)
    rows = rows.assign(**_coordinates(replace(file, rows=rows), faults))
    seen = rows.drop_duplicates("site_id")[["site_id", "county_id", "latitude", "longitude"]]
    rows = _complete(replace(file, rows=rows), float(rules["minimum_observation_percent"]), item, entries, faults)
    rows = _certified(rows, file.year, rules, item, entries)
    rank = rows["Sample Duration"].map({name: place for place, name in enumerate(rule["durations"])})
    first = rank == rank.groupby([rows["site_id"], rows["POC"]]).transform("min")
    rows = _keep(rows, first, item, "another sample duration of the same monitor", entries)
    values = _values(replace(file, rows=rows), rule["variables"], faults)
    rows = rows.assign(**values)
    present = rows[[*values]].notna().all(axis=1)
    rows = _keep(rows, present, item, f"no figure of {listed(values)}", entries)
    sites = _averaged(rows, [*values], rule, methods)
    return _Selected(year=file.year, pollutant=pollutant, sites=sites, seen=seen)


def _keep(rows: pd.DataFrame, keep: pd.Series, item: str, reason: str, entries: _Entries) -> pd.DataFrame:
    entries.append(("sites", item, reason, int((~keep).sum())))
    return rows[keep]


def _of_one_standard(file: YearFile, rule: Mapping[str, Any], item: str, entries: _Entries) -> pd.DataFrame:
    rows = file.rows
    held = set(rows["Pollutant Standard"])
    standard = next((name for name in rule["standards"] if name in held), rule["standards"][0])
    is_it = rows["Pollutant Standard"] == standard
    listed_one = rows["Pollutant Standard"].isin(rule["standards"])
    monitor = rows["site_id"] + " " + rows["POC"]
    stranded = listed_one & ~monitor.isin(set(monitor[is_it]))
    entries.append(("sites", item, f"the monitor has no row of the standard {standard}", int(stranded.sum())))
    rows = _keep(rows[~stranded], is_it[~stranded], item, f"pollutant standard other than {standard}", entries)
    metric = rule["metric"]
    return _keep(rows, rows["Metric Used"] == metric, item, f"metric other than {metric}", entries)


def _check_rows(file: YearFile, rule: Mapping[str, Any], faults: Faults) -> None:
    rows = file.rows
    for column, shape in (("State Code", r"\d{2}"), ("County Code", r"\d{3}"), ("Site Num", r"\d{4}"), ("POC", r"\d+")):
        note(file, column, ~rows[column].str.fullmatch(shape), f"is none of the form {shape}", faults)
    other = rows["Units of Measure"] != rule["units"]
    note(file, "Units of Measure", other, f"is not {rule['units']}", faults)
    twice = rows.duplicated(["site_id", "POC", "Sample Duration", "Event Type"], keep=False)

    def told(row: pd.Series) -> str:
        return f"{row['site_id']}, POC {row['POC']}, {row['Sample Duration']}, {row['Event Type']}"

    note(file, "Site Num", twice, "a monitor more than once under one standard", faults, told=told)


def _of_one_event_type(rows: pd.DataFrame, order: Sequence[str], item: str, entries: _Entries) -> pd.DataFrame:
    rank = rows["Event Type"].map({name: place for place, name in enumerate(order)}).astype(float)
    best = rank.groupby([rows["site_id"], rows["POC"], rows["Sample Duration"]]).transform("min")
    without = best.isna()
    rows = _keep(rows, ~without, item, f"the monitor has no row of the event types {listed(order)}", entries)
    first = (rank == best)[~without]
    return _keep(rows, first, item, "another event type of the same monitor", entries)


def _coordinates(file: YearFile, faults: Faults) -> dict[str, pd.Series]:
    latitude = numbers(file, "Latitude", low=-90, high=90, faults=faults, blank=True)
    longitude = numbers(file, "Longitude", low=-180, high=180, faults=faults, blank=True)
    # an unknown point is blank or 0, 0, in the Atlantic; a lost sign puts a site into China
    known = latitude.between(*_LATITUDES) & (longitude.between(*_LONGITUDES) | (longitude > _LAST_ALEUTIANS))
    return {"latitude": latitude.where(known), "longitude": longitude.where(known)}


def _complete(file: YearFile, percent: float, item: str, entries: _Entries, faults: Faults) -> pd.DataFrame:
    observed = numbers(file, "Observation Percent", low=0, high=400, faults=faults, blank=True)
    full = file.rows["Completeness Indicator"] == "Y"
    rows = _keep(file.rows, full, item, "the year is not complete by EPA's criteria (Completeness Indicator)", entries)
    enough = observed[full] >= percent
    return _keep(rows, enough, item, f"less than {percent:g} percent of the scheduled observations", entries)


def _certified(rows: pd.DataFrame, year: int, rules: Mapping[str, Any], item: str, entries: _Entries) -> pd.DataFrame:
    accepted = [*rules["certified"]]
    if year < int(rules["certification_from"]):
        accepted += rules["certified_before"]
    word = rows["Certification Indicator"]
    kept = word.isin(accepted)
    for other, count in word[~kept].value_counts().sort_index().items():
        entries.append(("sites", item, f"certification: {other or 'nothing said'}", int(count)))
    return rows[kept]


def _parts(text: str) -> list[str]:
    return [part.strip() for part in text.split(" / ")]


def _values(file: YearFile, variables: Mapping[str, str], faults: Faults) -> dict[str, pd.Series]:
    """The variables as columns of the file, or one column over another."""
    found = {}
    for variable, text in variables.items():
        top, *rest = (numbers(file, name, low=0, high=500, faults=faults, blank=True) for name in _parts(text))
        if rest:
            bottom = rest[0].where(rest[0] > 0)
            note(file, _parts(text)[0], top > bottom, f"more than {_parts(text)[1]}", faults)
            top = top / bottom
        found[variable] = top
    return found


def _methods(rows: pd.DataFrame) -> pd.Series:
    """Names of the methods of each monitor: rows computed from hourly values name none, the hourly rows do."""
    named = rows[~rows["Method Name"].isin(_NO_METHOD)]
    return named.groupby(["site_id", "POC"])["Method Name"].agg(_joined)


def _joined(texts: pd.Series) -> str:
    return "|".join(sorted(set(texts)))


def _averaged(
    rows: pd.DataFrame, variables: Sequence[str], rule: Mapping[str, Any], methods: pd.Series
) -> pd.DataFrame:
    """One row a site: means over its monitors, and what they are."""
    keys = pd.MultiIndex.from_frame(rows[["site_id", "POC"]])
    rows = rows.assign(
        method=methods.reindex(keys).fillna("").to_numpy(dtype=object),
        filters=rows["Sample Duration"].isin(rule.get("filter_durations", ())).astype(float),
    )
    by_site = rows.groupby("site_id", sort=True)
    means = by_site[[*variables, "filters"]].mean()
    first = by_site[["county_id", "latitude", "longitude"]].first()
    texts = {
        "pocs": by_site["POC"].agg(_joined),
        "durations": by_site["Sample Duration"].agg(_joined),
        "methods": by_site["method"].agg(_joined),
        "certification": by_site["Certification Indicator"].agg(_joined),
    }
    return pd.concat([first, means, pd.DataFrame(texts, index=means.index)], axis=1).reset_index()


# --- places, counties, sites -----------------------------------------------------------------------------


def _item(part: _Selected) -> str:
    return f"{part.year}, {part.pollutant}"


def _means(rule: Mapping[str, Any], pollutant: str) -> dict[str, str]:
    """Variable → column of the sites that is averaged."""
    shares = {f"{pollutant}_filter_share": "filters"} if rule.get("filter_durations") else {}
    return {name: name for name in rule["variables"]} | shares


def _at_places(
    part: _Selected, points: pd.DataFrame, rules: Mapping[str, Any], vintage: str
) -> tuple[pd.DataFrame, np.ndarray]:
    """Observations of every place of the universe, and which sites lie within the radius of one."""
    sites, radius = part.sites, float(rules["radius_km"])
    distance = distances_km(points, sites)
    weight = weights(
        distance, radius_km=radius, at_least_km=float(rules["nearest_counts_as_km"]), power=float(rules["power"])
    )
    within = distance <= radius
    has = within.any(axis=1)
    seen = (distances_km(points, part.seen) <= radius).any(axis=1)
    nowhere = points["latitude"].isna() | points["longitude"].isna()
    why = np.select([nowhere, has, seen], ["no_coordinates", "", "no_valid_monitor"], "no_monitor_near")
    columns = _means(rules["pollutants"][part.pollutant], part.pollutant)
    nearest = np.where(np.isnan(distance), np.inf, distance).min(axis=1, initial=np.inf)
    known = np.where(nowhere, np.nan, within.sum(axis=1))
    values = {name: np.where(has, weight @ sites[column].to_numpy(float), np.nan) for name, column in columns.items()}
    wide = pd.DataFrame(
        {
            "place_id": points["place_id"],
            "year": part.year,
            **values,
            f"{part.pollutant}_sites_count": known,
            f"{part.pollutant}_nearest_km": np.where(np.isinf(nearest), np.nan, nearest),
            "why": why,
            "unknown": np.where(nowhere, "no_coordinates", ""),
        }
    )
    counted = (f"{part.pollutant}_sites_count", f"{part.pollutant}_nearest_km")
    flags = dict.fromkeys(columns, "why") | dict.fromkeys(counted, "unknown")
    return _long(wide, flags, vintage), np.asarray(within.any(axis=0))


def _at_counties(part: _Selected, scope: Scope, rules: Mapping[str, Any], vintage: str) -> pd.DataFrame:
    """Means over the valid sites of each county in scope that has a monitor."""
    columns = _means(rules["pollutants"][part.pollutant], part.pollutant)
    by_county = part.sites.groupby("county_id")
    means = by_county[[*columns.values()]].mean().rename(columns={column: name for name, column in columns.items()})
    ids = sorted(set(part.seen["county_id"]) & set(scope.counties))
    wide = means.reindex(ids)
    count = f"{part.pollutant}_sites_count"
    wide[count] = by_county.size().reindex(ids).fillna(0)
    wide["why"] = np.where(wide[count] == 0, "no_valid_monitor", "")
    wide["none"] = ""
    wide = wide.rename_axis("place_id").reset_index().assign(year=part.year)
    return _long(wide, dict.fromkeys(columns, "why") | {count: "none"}, vintage)


def _long(wide: pd.DataFrame, flags: Mapping[str, str], vintage: str) -> pd.DataFrame:
    decimals = {name: 3 if name.endswith("_km") else 4 if name.endswith("_ug_m3") else 6 for name in flags}
    return long_frame(
        wide, source=SOURCE, vintage=vintage, values={name: name for name in flags}, flags=flags, decimals=decimals
    )


def _site_table(used: pd.DataFrame, rules: Mapping[str, Any]) -> pd.DataFrame:
    variables = [name for rule in rules["pollutants"].values() for name in rule["variables"]]
    columns = ["site_id", "year", "pollutant", "county_id", "latitude", "longitude"]
    texts = ["pocs", "durations", "methods", "certification"]
    table = used.reindex(columns=[*columns, *texts, *variables])
    table[variables] = table[variables].round(6)
    return table.sort_values(["pollutant", "site_id", "year"], ignore_index=True)
