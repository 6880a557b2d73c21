"""Urban Institute mobility metrics for 486 places → employment, income percentiles, rents, schooling.

In: four tables from ACS microdata. Out: tables `employment`, `income`, `housing`, `schooling`.
"""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from wwc_research.sources.observations import (
    Reading,
    long_frame,
    quality_flag,
    std_error_from_bounds,
    std_error_from_interval,
)
from wwc_research.sources.places import Scope

SOURCE = "urban_mobility"
FILES = {
    "employment": "urban_mobility/metrics_employment_place_all_longitudinal.csv",
    "income": "urban_mobility/metrics_income_place_all_longitudinal.csv",
    "housing": "urban_mobility/housing_place_2014_2015_2016_2017_2018_2019_2021_2022_2023.csv",
    "schooling": "urban_mobility/metrics_college_place_all_longitudinal.csv",
}
_SHARES = {
    "employment": ("employed_share", "share_employed"),
    "schooling": ("hs_degree_share", "share_hs_degree"),
}


def read(publishers_dir: Path, *, scope: Scope) -> Reading:
    """Variables of 486 places, 2014-19 and 2021-23 (schooling: five waves), with errors and grades.

    `employed_share` (ages 25-54), `hs_degree_share` (ages 19-20), `income_p20_usd`, `income_p50_usd`,
    `income_p80_usd` (household income, nominal), and `affordable_30_ami_ratio`, `affordable_50_ami_ratio`,
    `affordable_80_ami_ratio`: homes affordable at that percentage of area median income for each household
    with such an income. The publisher calls the last a share, but it exceeds 1 in most cities, so it is a
    ratio here. It has no bounds. The flag holds the publisher's grade (`quality_2`, `quality_3`).
    """
    publishers_dir = Path(publishers_dir)
    tables = {
        table: _share_table(publishers_dir / FILES[table], variable, column)
        for table, (variable, column) in _SHARES.items()
    }
    tables["income"] = _income_table(publishers_dir / FILES["income"])
    tables["housing"] = _housing_table(publishers_dir / FILES["housing"])
    return Reading(observations=tables)


def _load(path: Path) -> pd.DataFrame:
    raw = pd.read_csv(path, dtype={"state": str, "place": str})
    return raw.assign(place_id=raw["state"].str.zfill(2) + raw["place"].str.zfill(5))


def _share_table(path: Path, variable: str, column: str) -> pd.DataFrame:
    frame = _load(path)
    frame["std_error"] = std_error_from_bounds(frame[column], frame[f"{column}_lb"], frame[f"{column}_ub"])
    frame["flag"] = quality_flag(frame[f"{column}_quality"])
    return long_frame(
        frame,
        source=SOURCE,
        vintage="2025",
        values={variable: column},
        std_errors={variable: "std_error"},
        flags={variable: "flag"},
    )


def _income_table(path: Path) -> pd.DataFrame:
    frame = _load(path)
    names = {f"income_p{rank}_usd": f"pctl_income_{rank}" for rank in (20, 50, 80)}
    for column in names.values():
        frame[f"{column}_se"] = std_error_from_interval(frame[f"{column}_lb"], frame[f"{column}_ub"])
        frame[f"{column}_flag"] = quality_flag(frame[f"{column}_quality"])
    return long_frame(
        frame,
        source=SOURCE,
        vintage="2025",
        values=names,
        std_errors={variable: f"{column}_se" for variable, column in names.items()},
        flags={variable: f"{column}_flag" for variable, column in names.items()},
        decimals=dict.fromkeys(names, 0),
    )


def _housing_table(path: Path) -> pd.DataFrame:
    frame = _load(path)
    frame = frame[(frame["subgroup_type"] == "tenure") & (frame["subgroup"] == "All")].copy()
    names = {f"affordable_{level}_ami_ratio": f"share_affordable_{level}_ami" for level in (30, 50, 80)}
    for column in names.values():
        frame[f"{column}_flag"] = quality_flag(frame[f"{column}_quality"])
    return long_frame(
        frame,
        source=SOURCE,
        vintage="2025",
        values=names,
        flags={variable: f"{column}_flag" for variable, column in names.items()},
    )
