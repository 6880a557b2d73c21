"""Urban Institute digital-access tables (ACS B28003, B28004, B28009) → broadband shares with errors.

In: three tables for 486 places. Out: observation tables `one_year`, `five_year`, `groups`.
"""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from wwc_research.sources.observations import (
    Reading,
    left_out,
    long_frame,
    quality_flag,
    std_error_from_bounds,
)
from wwc_research.sources.places import Scope

SOURCE = "acs_broadband"
FILES = {
    "one_year": "census_acs/ui_digital_access_city_acs1_2016_2022.csv",
    "five_year": "census_acs/ui_digital_access_city_acs5_2017_2022.csv",
    "groups": "census_acs/ui_digital_access_city_subgroup_2016_2022.csv",
}
GROUPS = {
    ("race-ethnicity", "Black, Non-Hispanic"): "black",
    ("race-ethnicity", "Hispanic"): "hispanic",
    ("race-ethnicity", "White, Non-Hispanic"): "white",
    ("race-ethnicity", "Other Races and Ethnicities"): "other_race",
    ("income", "Income Less Than 50k"): "income_under_50k",
    ("income", "Income More Than 50k"): "income_over_50k",
}


def read(publishers_dir: Path, *, scope: Scope) -> Reading:
    """`broadband_share` (1-year), `broadband_5y_share` and `broadband_5y_<group>_share`, with errors.

    Notes
    -----
    Bounds are 95 % bounds, cut off at 100 %; see `std_error_from_bounds`. The group table is a 5-year table
    although the file does not say so: its totals lie within 0.4 points (standard deviation over places) of
    the 5-year series and 2.5 to 3 points of the 1-year series. Race groups count people (B28009), income
    groups households (B28004), so the two kinds must not be compared with each other.
    """
    one_year, left_one = _year_table(publishers_dir, "one_year", "broadband_share", "acs1")
    five_year, left_five = _year_table(publishers_dir, "five_year", "broadband_5y_share", "acs5")
    groups, left_groups = _group_table(publishers_dir)
    return Reading(
        observations={"one_year": one_year, "five_year": five_year, "groups": groups},
        left_out=left_out([*left_one, *left_five, *left_groups]),
    )


def _load(publishers_dir: Path, table: str) -> tuple[pd.DataFrame, list[tuple[str, str, str, int]]]:
    raw = pd.read_csv(Path(publishers_dir) / FILES[table], dtype=str)
    frame = pd.DataFrame(
        {
            "place_id": raw["state"].str.zfill(2) + raw["place"].str.zfill(5),
            "year": raw["year"].astype(int),
            "value": _share(raw["share_digital_access"]),
            "lower": _share(raw["share_digital_access_lb"]),
            "upper": _share(raw["share_digital_access_ub"]),
            "flag": quality_flag(raw["share_digital_access_quality"]),
        }
    )
    if table == "groups":
        frame["group"] = [
            GROUPS.get(pair, "")
            for pair in zip(raw["subgroup_type"], raw["subgroup"], strict=True)
        ]  # fmt: skip
    frame["std_error"] = std_error_from_bounds(frame["value"], frame["lower"], frame["upper"])
    empty = frame.groupby("year")["value"].transform("count") == 0
    counts = frame.loc[empty, "year"].value_counts().sort_index()
    entries = [(table, str(year), "the file holds no figure for this year", int(n)) for year, n in counts.items()]
    return frame[~empty].reset_index(drop=True), entries


def _share(text: pd.Series) -> pd.Series:
    """Shares from `70.710%` or `0.7071`."""
    percent = text.str.endswith("%", na=False)
    number = pd.to_numeric(text.str.rstrip("%"), errors="coerce")
    return number.where(~percent, number / 100)


def _year_table(
    publishers_dir: Path, table: str, variable: str, vintage: str
) -> tuple[pd.DataFrame, list[tuple[str, str, str, int]]]:
    frame, entries = _load(publishers_dir, table)
    return _long(frame, variable, vintage), entries


def _group_table(publishers_dir: Path) -> tuple[pd.DataFrame, list[tuple[str, str, str, int]]]:
    frame, entries = _load(publishers_dir, "groups")
    totals = int((frame["group"] == "").sum())
    entries.append(("groups", "All", "totals repeat the five-year table in other universes", totals))
    parts = [_long(frame[frame["group"] == group], f"broadband_5y_{group}_share", "acs5") for group in GROUPS.values()]
    return pd.concat(parts, ignore_index=True), entries


def _long(frame: pd.DataFrame, variable: str, vintage: str) -> pd.DataFrame:
    return long_frame(
        frame,
        source=SOURCE,
        vintage=vintage,
        values={variable: "value"},
        std_errors={variable: "std_error"},
        flags={variable: "flag"},
    )
