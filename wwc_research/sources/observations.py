"""The one shape of a figure: `place_id, year, variable, value, std_error, flag, source, vintage`.

In: frames made by a source. Out: checked long frames, and what a source left out with the reason.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

import numpy as np
import pandas as pd

from wwc_research.errors import DataError, Faults, listed
from wwc_research.messages import message

COLUMNS = ("place_id", "year", "variable", "value", "std_error", "flag", "source", "vintage")
KEY = ("place_id", "year", "variable", "vintage", "source")
LEFT_OUT_COLUMNS = ("source", "table", "item", "reason", "rows")

FLAG_WORDS: Final = {
    "not_published": message("not published"),
    "not_available": message("not available"),
    "few_days": message("too few days with a measurement"),
    "incomplete_monitors": message("no monitor with a complete year"),
    "suspect_monitor": message("faulty monitor"),
    "quality_2": message("of lower quality, as the publisher rates it"),
    "quality_3": message("of the lowest quality, as the publisher rates it"),
    "no_cases": message("no case in the sample"),
    "few_sampled": message("too few people in the sample"),
    "allocated": message("mostly figures of people who live elsewhere in the same areas"),
    "partial_year": message("average over a part of the year"),
    "few_cases": message("too few cases in the sample"),
    "withheld": message("withheld by the publisher, for too few cases"),
    "no_margin": message("without a margin of error"),
    "controlled": message("fixed to an independent count, without sampling error"),
    "open_interval": message("in the open-ended lowest or highest interval"),
    "no_monitor_near": message("no monitor near the place"),
    "no_valid_monitor": message("no monitor with a complete and certified year"),
    "no_coordinates": message("no coordinates of the place"),
    "preliminary": message("preliminary, to be revised by the publisher"),
    "not_located": message("too many cases without a known place"),
    "no_population": message("no count of residents"),
}

# Two-sided normal quantiles: 95 % bounds (Urban Institute), 90 % margins of error (Census Bureau).
Z_95 = 1.959964
Z_90 = 1.645

_PLACE_ID = re.compile(r"\d{7}|\d{5}|P\d{7}|[A-Z]{2}-[a-z0-9-]+|MERGED-[a-z0-9-]+")
_BOUNDS: tuple[tuple[str, float, float], ...] = (
    ("_share", 0.0, 1.0),
    ("_ratio", 0.0, np.inf),
    ("_count", 0.0, np.inf),
    ("_usd", 0.0, np.inf),
    ("_index", 0.0, 500.0),
    ("_ug_m3", 0.0, 500.0),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """What one source makes of its publisher's files.

    Attributes
    ----------
    observations
        Long observation frames by table name.
    tables
        Typed tables that hold no figures of places and years (events, crosswalks), by table name.
    left_out
        What did not become a row: columns `table`, `item`, `reason`, `rows`.
    """

    observations: Mapping[str, pd.DataFrame] = field(default_factory=dict)
    tables: Mapping[str, pd.DataFrame] = field(default_factory=dict)
    left_out: pd.DataFrame = field(default_factory=lambda: pd.DataFrame(columns=["table", "item", "reason", "rows"]))


def left_out(entries: list[tuple[str, str, str, int]]) -> pd.DataFrame:
    """One row an item that did not become an observation: `table`, `item`, `reason`, `rows`."""
    return pd.DataFrame(entries, columns=["table", "item", "reason", "rows"])


def std_error_from_bounds(value: pd.Series, lower: pd.Series, upper: pd.Series) -> pd.Series:
    """Standard error of a share from its 95 % bounds, in the unit of the share.

    A publisher cuts bounds off at 0 and 1; the wider side is then the uncut one, so the standard error is
    the larger half-width over 1.96. A width of zero gives NaN: the sample holds no variation, which is not
    the same as certainty.
    """
    half = np.maximum(value - lower, upper - value)
    return (half / Z_95).where(half > 0)


def std_error_from_interval(lower: pd.Series, upper: pd.Series) -> pd.Series:
    """Standard error of a percentile from its uneven 95 % interval: full width over twice 1.96."""
    width = upper - lower
    return (width / (2 * Z_95)).where(width > 0)


def quality_flag(quality: pd.Series) -> pd.Series:
    """'' for the Urban Institute's best grade (1); `quality_2` and `quality_3` for the weaker ones."""
    grade = pd.to_numeric(quality, errors="coerce")
    return grade.map({2.0: "quality_2", 3.0: "quality_3"}).fillna("").astype(str)


def long_frame(
    wide: pd.DataFrame,
    *,
    source: str,
    vintage: str,
    values: Mapping[str, str],
    std_errors: Mapping[str, str] | None = None,
    flags: Mapping[str, str] | None = None,
    missing_flag: str = "not_published",
    decimals: Mapping[str, int] | None = None,
) -> pd.DataFrame:
    """Long observations from a frame with one row a place and year.

    Parameters
    ----------
    wide
        Columns `place_id`, `year` and those named below.
    values, std_errors, flags
        Variable name to the column that holds its value, standard error and flag.
    missing_flag
        Flag of a row whose value is missing and that carries no flag yet.
    decimals
        Decimals kept, by variable; 6 where nothing is said. Standard errors keep the same number.
    """
    parts = []
    for variable, column in values.items():
        places = (decimals or {}).get(variable, 6)
        value = pd.to_numeric(wide[column]).astype(float).round(places)
        se_column = (std_errors or {}).get(variable)
        flag_column = (flags or {}).get(variable)
        std_error = wide[se_column].astype(float).round(places) if se_column else np.nan
        part = pd.DataFrame(
            {
                "place_id": wide["place_id"].astype(str),
                "year": wide["year"].astype(int),
                "variable": variable,
                "value": value,
                "std_error": std_error,
                "flag": wide[flag_column].astype(str) if flag_column else "",
                "source": source,
                "vintage": vintage,
            }
        )
        # A grade without a value explains nothing.
        unexplained = part["value"].isna() & part["flag"].isin(["", "quality_2", "quality_3"])
        part["flag"] = part["flag"].mask(unexplained, missing_flag)
        part["std_error"] = part["std_error"].where(part["value"].notna() & (part["std_error"] > 0))
        parts.append(part)
    return sorted_frame(pd.concat(parts, ignore_index=True))


def sorted_frame(frame: pd.DataFrame) -> pd.DataFrame:
    """The same observations with the contract's columns, types and order."""
    typed = frame.loc[:, list(COLUMNS)].astype({"year": "int64", "value": "float64", "std_error": "float64"})
    return typed.sort_values(["source", "vintage", "variable", "place_id", "year"], ignore_index=True)


def validate(frame: pd.DataFrame, *, where: str) -> pd.DataFrame:
    """The frame itself, if it keeps the contract; otherwise one `DataError` with every fault.

    The contract: exactly `COLUMNS`; `place_id + year + variable + vintage + source` names one row; text
    columns are never missing; a value is finite, or missing with a flag that says why; a standard error is
    positive or missing, and missing where the value is; values lie within the bounds of their unit
    (`_share` 0 to 1; `_count`, `_usd`, `_ratio`, `_index`, `_ug_m3` not negative).
    """
    faults = Faults(where, kind=DataError)
    if list(frame.columns) != list(COLUMNS):
        faults.add(f"columns are {listed(frame.columns, limit=12)}; expected {listed(COLUMNS, limit=12)}")
        faults.raise_if_any()
    for column in ("place_id", "variable", "flag", "source", "vintage"):
        if frame[column].isna().any():
            faults.add(f"{int(frame[column].isna().sum()):,} rows have no {column}; fill it in")
    _check_ids(frame, faults)
    _check_keys(frame, faults)
    _check_values(frame, faults)
    faults.raise_if_any()
    return frame


def _check_ids(frame: pd.DataFrame, faults: Faults) -> None:
    ids = pd.Series(frame["place_id"].dropna().unique(), dtype=str)
    wrong = ids[[_PLACE_ID.fullmatch(text) is None for text in ids]]
    if len(wrong):
        faults.add(
            f"place_id {listed(wrong)} is none of: 7-digit place, 5-digit county, P + 7-digit public-use "
            "microdata area, country prefix and slug"
        )
    years = frame["year"]
    if len(years) and not years.between(1970, 2100).all():
        faults.add(f"years {listed(sorted(set(years[~years.between(1970, 2100)])))} are not plausible")


def _check_keys(frame: pd.DataFrame, faults: Faults) -> None:
    twice = frame.duplicated(list(KEY))
    if twice.any():
        rows = frame.loc[twice, list(KEY)].astype(str).agg(" ".join, axis=1)
        faults.add(f"{int(twice.sum()):,} keys occur more than once: {listed(rows, limit=3)}")


def _check_values(frame: pd.DataFrame, faults: Faults) -> None:
    value, error = frame["value"], frame["std_error"]
    if np.isinf(value).any() or np.isinf(error).any():
        faults.add("values or standard errors are infinite; a missing figure is NaN with a flag")
    silent = value.isna() & (frame["flag"] == "")
    if silent.any():
        rows = (frame["place_id"] + " " + frame["year"].astype(str) + " " + frame["variable"])[silent]
        faults.add(f"{int(silent.sum()):,} missing values carry no flag: {listed(rows, limit=3)}")
    if (error <= 0).any() or (error.notna() & value.isna()).any():
        faults.add("a standard error is positive, or missing where it is unknown or the value is missing")
    for suffix, low, high in _BOUNDS:
        of_unit = frame["variable"].str.endswith(suffix)
        outside = of_unit & value.notna() & ~value.between(low, high)
        if outside.any():
            first = frame[outside].iloc[0]
            faults.add(
                f"{int(outside.sum()):,} values of {listed(sorted(frame.loc[outside, 'variable'].unique()))} "
                f"lie outside {low:g} to {high:g}, e.g. {first['value']:g} for {first['place_id']} in "
                f"{first['year']}"
            )
