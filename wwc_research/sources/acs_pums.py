"""ACS microdata of persons (PUMS, 1-year) → young people neither in school nor working, by area and by city.

In: zips of the Census Bureau, a state's or the country's. Out: observation tables `pumas` and `places`.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from wwc_research.errors import DataError, Faults, InputError, listed
from wwc_research.sources.microdata_areas import AreaCounts, Unlikeness, place_shares, unlikeness
from wwc_research.sources.microdata_tallies import Condition, Tally, shares, tally, totals
from wwc_research.sources.observations import Reading, left_out, long_frame
from wwc_research.sources.places import STATE_CODE, Scope
from wwc_research.sources.retrieval import Remote

SOURCE = "acs_pums"
COUNTRY = "US"
_FILE = re.compile(r"(?P<year>\d{4})_csv_p(?P<area>[a-z]{2})\.zip")
# Areas drawn after the 2010 census serve the data years 2012-2021, those drawn after the 2020 census the later ones.
_FIRST_YEAR_OF_2020_AREAS = 2022
_EVERYBODY = "youth"
# Below this share of the crosswalk's areas in a state, the file is of areas drawn in another decade.
_SAME_AREAS = 0.5


def remotes(*, years: Sequence[int], geographies: Sequence[str], settings: Mapping[str, Any]) -> tuple[Remote, ...]:
    """One zip of person records a year and state, or a year for the country (`US`), by year and name.

    Raises
    ------
    InputError
        With every fault: years outside the span or without a standard file, words that are no state, and `US`
        together with a state, whose people would be counted twice.
    """
    faults = Faults(f"{SOURCE}: what to fetch")
    first, last = (int(year) for year in settings["years"])
    reasons = {int(year): text for year, text in settings.get("missing_years", {}).items()}
    for year in sorted(set(years)):
        if not first <= year <= last:
            faults.add(f"year {year}: files with areas that a crosswalk here knows exist for {first} to {last}")
        elif year in reasons:
            faults.add(f"year {year}: {reasons[year]}")
    wanted = list(dict.fromkeys(word.upper() for word in geographies))
    odd = [word for word in wanted if word != COUNTRY and word not in STATE_CODE]
    if odd:
        faults.add(
            f"geographies {listed(odd)} are not known; give {COUNTRY} for all, or postal codes of states such as WA"
        )
    if COUNTRY in wanted and len(wanted) > 1:
        faults.add(f"{COUNTRY} holds every state already; leave {listed([w for w in wanted if w != COUNTRY])} out")
    if not wanted or not years:
        faults.add("name at least one year and one geography")
    faults.raise_if_any()
    largest = int(settings["largest_mb"]) * 1_000_000
    return tuple(
        Remote(
            url=settings["address"].format(year=year, area=word.lower()),
            name=f"{year}_csv_p{word.lower()}.zip",
            kind="zip",
            largest=largest,
            year=year,
        )
        for year in sorted(set(years))
        for word in sorted(wanted)
    )


def read_fetched(files_dir: Path, *, scope: Scope, vintage: str, settings: Mapping[str, Any], raw_dir: Path) -> Reading:
    """Shares of people aged 16-24 neither in school nor working, and at work, by area and by city.

    Neither in school nor working: SCH = 1 (not attending in the last three months, school at home counts as
    attending) and ESR = 3 or 6 (unemployed, or not in the labour force; armed forces are at work). All people of the
    age count, those in group quarters too. That is the definition of `youth_neet_puma` and of Measure of America.

    Parameters
    ----------
    files_dir
        Holds `<year>_csv_p<state>.zip` or `<year>_csv_pus.zip`.
    scope
        `scope.settings` is `[acs_pums.settings]`: measures, groups, codes and thresholds.
    vintage
        Name of the vintage, which the observations carry.
    settings
        `[acs_pums.fetch]`.
    raw_dir
        Its `crosswalks/puma_place_2010.csv` and `puma_place_2020.csv` bring areas to cities.

    Returns
    -------
    Reading
        `pumas` and `places`, both with `youth_population_count`, `youth_sample_count`, `youth_neet_count`,
        `youth_neet_share`, `youth_employed_share`, and for each group of the settings `youth_neet_<group>_share` and
        `youth_<group>_sample_count`. `places` has beside each share (name without `_share`) `…_sampling_se` and
        `…_allocation_se`, of which its `std_error` is the root of the sum of squares, in observations and not in a
        table apart so that a panel can carry them: a change within a decade has the sampling part alone
        (`place_shares`); and `youth_own_people_share`. Counts carry the sampling error only. How unlike the areas of
        a state are is told by its own files and by what was measured on those of 2021, so that `youth_neet_share` of
        a city has the same error whether its state was fetched alone or with the country; shares of groups and of
        those at work take what is typical from the files, if they hold `least_states` states.

        Flags: `few_sampled` (fewer than `least_sampled` records: the share is missing), `no_cases` (a share of 0 or
        1 in the sample: no error can be stated), `allocated` (own people below `least_own_share`: mostly other
        people's figure, with a case or without), `not_available` (part of a city lies in areas the files lack).

    Raises
    ------
    DataError
        With every fault of a year's files, an ADJINC of another year among them; see `tally`.
    """
    rules = scope.settings
    found = _files(Path(files_dir))
    areas, cities, rest = [], [], []
    for year, paths in found.items():
        counted = youth_tally(paths, year=year, settings=rules)
        _refuse_other_states(counted, paths)
        areas.append(_area_rows(counted, year=year, settings=rules))
        crosswalk = _crosswalk(Path(raw_dir), year)
        rows, missing = _place_rows(
            counted, crosswalk, year=year, settings=rules, where=listed([p.name for p in paths])
        )
        cities.append(rows[rows["place_id"].isin(scope.places.names["place_id"])])
        rest += missing
    names = _variables(rules)
    observations = {
        "pumas": _observations(pd.concat(areas, ignore_index=True), names["pumas"], vintage=vintage),
        "places": _observations(pd.concat(cities, ignore_index=True), names["places"], vintage=vintage),
    }
    return Reading(observations=observations, left_out=left_out(rest))


def youth_tally(paths: Sequence[Path], *, year: int | None, settings: Mapping[str, Any], **options: Any) -> Tally:
    """Counts of young people, of those of each measure, and of both within each group, by area.

    Subsets are `youth`, `<measure>`, `<group>` and `<group> <measure>` by the names of `settings`; a column that a
    measure wants and a file lacks is a `DataError` that says what the file can still give. `options` go to `tally`.
    """
    subsets: dict[str, Condition] = {_EVERYBODY: {}}
    for group, belongs in {"": {}, **settings["groups"]}.items():
        if group:
            subsets[group] = belongs
        for measure, condition in settings["measures"].items():
            if not group or measure in settings["measures_by_group"]:
                subsets[f"{group} {measure}".strip()] = {**_conditions_met(belongs, condition), **condition}
    codes = {name: (int(low), int(high)) for name, (low, high) in settings["codes"].items()}
    factors = {int(known): int(factor) for known, factor in settings["income_factors"].items()}
    return tally(
        paths, subsets=subsets, universe=settings["universe"], codes=codes, year=year, factors=factors, **options
    )


def _conditions_met(belongs: Condition, condition: Condition) -> Condition:
    """A group's condition, if no column of it is the measure's as well."""
    shared = sorted(set(belongs) & set(condition))
    if shared:
        raise InputError(f"catalog/sources.toml, {SOURCE}: a group and a measure both set {listed(shared)}")
    return belongs


def _files(folder: Path) -> dict[int, list[Path]]:
    """Files of persons by year; none is a `DataError`."""
    found: dict[int, list[Path]] = {}
    for path in sorted(folder.glob("*.zip")):
        match = _FILE.fullmatch(path.name)
        if match and match["area"].upper() in {COUNTRY, *STATE_CODE}:
            found.setdefault(int(match["year"]), []).append(path)
    if not found:
        raise DataError(f"{folder}: no file <year>_csv_p<state>.zip or <year>_csv_pus.zip")
    return found


def _refuse_other_states(counted: Tally, paths: Sequence[Path]) -> None:
    """A `DataError` where the files hold other states than their names say."""
    words = [match["area"].upper() for path in paths if (match := _FILE.fullmatch(path.name))]
    expected = set(STATE_CODE.values()) if COUNTRY in words else {STATE_CODE[word] for word in words}
    held = {area[1:3] for area in counted.areas}
    faults = Faults(listed([path.name for path in paths]), kind=DataError)
    if expected - held:
        faults.add(f"nobody of states {listed(sorted(expected - held))}: a part of the file is missing; fetch it again")
    if held - expected:
        faults.add(f"people of states {listed(sorted(held - expected))}, which the name does not say")
    faults.raise_if_any()


def _crosswalk(raw_dir: Path, year: int) -> pd.DataFrame:
    decade = 2020 if year >= _FIRST_YEAR_OF_2020_AREAS else 2010
    path = raw_dir / "crosswalks" / f"puma_place_{decade}.csv"
    if not path.is_file():
        raise DataError(
            f"{path}: the crosswalk is missing; run `wwc-research data compile` or restore the shipped data"
        )
    return pd.read_csv(path, dtype={"puma_id": str, "place_id": str})


def _shares_asked(settings: Mapping[str, Any]) -> dict[str, tuple[str, str]]:
    """Name of each share without `_share` → its part and its whole among the subsets."""
    asked = {f"youth_{measure}": (measure, _EVERYBODY) for measure in settings["measures"]}
    by_group = [(m, g) for m in settings["measures_by_group"] for g in settings["groups"]]
    return asked | {f"youth_{measure}_{group}": (f"{group} {measure}", group) for measure, group in by_group}


def _variables(settings: Mapping[str, Any]) -> dict[str, list[str]]:
    """Variables of the two tables in order."""
    asked = list(_shares_asked(settings))
    groups = [f"youth_{group}_sample_count" for group in settings["groups"]]
    counts = ["youth_population_count", "youth_sample_count", "youth_neet_count", *groups]
    pumas = [*counts, *(f"{name}_share" for name in asked)]
    parts = [f"{name}_{part}_se" for name in asked for part in ("sampling", "allocation")]
    return {"pumas": pumas, "places": [*pumas, *parts, "youth_own_people_share"]}


# --- rows --------------------------------------------------------------------------------------------------


def _area_rows(counted: Tally, *, year: int, settings: Mapping[str, Any]) -> pd.DataFrame:
    """One row an area: a column a variable, with `__se` and `__flag` where it has them."""
    columns: dict[str, Any] = {"place_id": list(counted.areas), "year": year}
    for name, subset in (("youth_population_count", _EVERYBODY), ("youth_neet_count", "neet")):
        found = totals(counted, subset=subset)
        columns |= {name: found["value"].clip(lower=0), f"{name}__se": found["std_error"]}
    columns["youth_sample_count"] = counted.sampled_of(_EVERYBODY)
    for group in settings["groups"]:
        columns[f"youth_{group}_sample_count"] = counted.sampled_of(group)
    for name, (part, whole) in _shares_asked(settings).items():
        found = shares(counted, part=part, whole=whole)
        columns |= _share_columns(
            name, found["value"], found["std_error"], sampled=found["sampled"], sampling=found["std_error"],
            least=settings["least_sampled"],
        )  # fmt: skip
    return pd.DataFrame(columns)


def _share_columns(
    name: str, value: pd.Series, std_error: pd.Series, *, sampled: pd.Series, sampling: pd.Series, least: int
) -> dict[str, pd.Series]:
    """Share, error and flag: missing on few records; without an error where the sample holds no variation."""
    few = (sampled < least) | value.isna()
    # Under a negative weight a share may leave 0 to 1; the full weight has none.
    no_cases = ~few & ~(sampling > 0)
    flag = pd.Series(np.select([few, no_cases], ["few_sampled", "no_cases"], default=""), index=value.index)
    return {
        f"{name}_share": value.mask(few),
        f"{name}_share__se": std_error.mask(few | no_cases),
        f"{name}_share__flag": flag,
    }


def _place_rows(
    counted: Tally, crosswalk: pd.DataFrame, *, year: int, settings: Mapping[str, Any], where: str
) -> tuple[pd.DataFrame, list[tuple[str, str, str, int]]]:
    """One row a city whose state is in the files, and what is missing of the crosswalk's areas."""
    states = {area[1:3] for area in counted.areas}
    links = crosswalk[crosswalk["puma_id"].str[1:3].isin(states)]
    missing = _missing_areas(links, counted, where=where)
    columns: dict[str, Any] = {}
    for name, (part, whole) in _shares_asked(settings).items():
        counts = AreaCounts(
            areas=counted.areas, part=counted.of(part), whole=counted.of(whole), sampled=counted.sampled_of(whole)
        )
        # Measured once for this share, so that a city's error does not hang on which other states were fetched.
        measured = (part, whole) == ("neet", _EVERYBODY)
        unlike = unlikeness(
            counts,
            typical=float(settings["typical_unlikeness"]),
            spread=float(settings["unlikeness_spread"]),
            least_states=None if measured else int(settings["least_states"]),
        )
        columns |= _city_columns(name, counts, links, unlike, settings)
        if whole != _EVERYBODY:
            columns[f"youth_{whole}_sample_count"] = columns.pop("sampled")
    frame = pd.DataFrame(columns)
    frame["year"] = year
    return frame, [("places", area, f"area of the crosswalk that the {year} files lack", 1) for area in missing]


def _city_columns(
    name: str, counts: AreaCounts, links: pd.DataFrame, unlike: Unlikeness, settings: Mapping[str, Any]
) -> dict[str, Any]:
    """Columns of one share for all cities; those of everybody's share hold the counts as well."""
    found = place_shares(counts, crosswalk=links, unlike=unlike, part_spread=float(settings["part_spread"]))
    own = found["own_share"]
    columns = _share_columns(
        name, found["value"], found["std_error"], sampled=found["sampled"], sampling=found["sampling_se"],
        least=settings["least_sampled"],
    )  # fmt: skip
    value, error, flag = f"{name}_share", f"{name}_share__se", f"{name}_share__flag"
    partly = found["covered_share"] < settings["least_covered_share"]
    columns[value], columns[error] = columns[value].mask(partly), columns[error].mask(partly)
    columns[flag] = columns[flag].mask(partly, "not_available")
    no_cases = columns[flag] == "no_cases"
    # Readers refuse allocated figures: one without a case is no less other people's.
    mostly_others = columns[flag].isin(["", "no_cases"]) & (own < settings["least_own_share"])
    columns[flag] = columns[flag].mask(mostly_others, "allocated")
    for part in ("sampling", "allocation"):
        shown = found[f"{part}_se"].mask(columns[value].isna())
        if part == "sampling":
            shown = shown.mask(no_cases)
        columns |= {f"{name}_{part}_se": shown, f"{name}_{part}_se__flag": columns[flag].mask(shown.notna(), "")}
    if name == "youth_neet":
        columns |= {
            "place_id": found["place_id"],
            "youth_population_count": found["whole"].mask(partly),
            "youth_population_count__se": found["whole_se"].mask(partly),
            "youth_neet_count": found["part"].mask(partly),
            "youth_neet_count__se": found["part_se"].mask(partly),
            "youth_sample_count": found["sampled"].round(),
            "youth_own_people_share": own,
        }
        for count in ("youth_population_count", "youth_neet_count"):
            columns[f"{count}__flag"] = partly.map({True: "not_available", False: ""})
    return columns | {"sampled": found["sampled"].round()}


def _missing_areas(links: pd.DataFrame, counted: Tally, *, where: str) -> list[str]:
    """Areas of the crosswalk that the files lack; most of a state's missing is a file of another decade."""
    here = links["puma_id"].drop_duplicates()
    absent = here[~here.isin(counted.areas)]
    state = here.str[1:3]
    share = here.isin(counted.areas).groupby(state).mean()
    other = sorted(share.index[share < _SAME_AREAS])
    if other:
        raise DataError(
            f"{where}: of states {listed(other)} most areas that lie in cities are missing (e.g. "
            f"{listed(absent[absent.str[1:3].isin(other)].tolist(), limit=3)}): the areas were drawn in another "
            "decade, or the file is not whole"
        )
    return sorted(absent)


def _observations(frame: pd.DataFrame, variables: Sequence[str], *, vintage: str) -> pd.DataFrame:
    """Long observations of the variables, with their errors and flags."""
    present = [name for name in variables if name in frame.columns]
    decimals = {name: 0 for name in present if name.endswith("_count")}
    return long_frame(
        frame,
        source=SOURCE,
        vintage=vintage,
        values={name: name for name in present},
        std_errors={name: f"{name}__se" for name in present if f"{name}__se" in frame.columns},
        flags={name: f"{name}__flag" for name in present if f"{name}__flag" in frame.columns},
        missing_flag="not_available",
        decimals=decimals,
    )
