"""Known errors of publishers, declared in `catalog/corrections.toml` → figures set missing, with a log.

In: long observations and the ledger. Out: the corrected frame and what was changed.
"""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from wwc_research.errors import DataError, Faults

_LOG = ("correction", "place_id", "year", "variable", "vintage", "value_was", "flag", "reason")
LEDGER = Path(__file__).parents[1] / "catalog" / "corrections.toml"


def load_corrections() -> dict[str, dict[str, Any]]:
    """The ledger of known errors (`catalog/corrections.toml`) by name of the entry."""
    return tomllib.loads(LEDGER.read_text(encoding="utf-8"))


def apply_corrections(
    observations: pd.DataFrame, corrections: Mapping[str, Mapping[str, Any]]
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """The observations with known errors set missing and flagged, and the log of what was changed.

    Parameters
    ----------
    observations
        Long frame. Entries whose source or guard variable it does not hold are passed over.
    corrections
        As `load_corrections` gives them.

    Returns
    -------
    tuple of DataFrame
        The corrected frame, and the log: `correction`, `place_id`, `year`, `variable`, `vintage`,
        `value_was`, `flag`, `reason`.

    Raises
    ------
    DataError
        If an entry finds none of its figures, or a raw figure that was wrong no longer is: the publisher
        has repaired it and the entry must go.
    """
    frame = observations.copy()
    faults = Faults("catalog/corrections.toml", kind=DataError)
    logs = []
    for name, entry in corrections.items():
        named = _rows_of(frame, entry)
        guard = entry["still_wrong_if"]
        has_guard = ((frame["source"] == entry["source"]) & (frame["variable"] == guard["variable"])).any()
        if has_guard:
            _check_guard(frame, name, entry, faults)
        rows = named & frame["variable"].isin(entry["variables"]) & frame["value"].notna()
        logs.append(_removed(frame, rows, name=name, entry=entry))
    faults.raise_if_any()
    return frame, pd.concat(logs, ignore_index=True) if logs else _no_log()


def apply_to_fetched(
    observations: pd.DataFrame, corrections: Mapping[str, Mapping[str, Any]]
) -> tuple[pd.DataFrame, pd.DataFrame, pd.DataFrame]:
    """The observations of one fetched vintage without known errors, what was removed, and what is repaired.

    A publisher that repairs an error must not stop who fetches the repaired figures. So the guard is asked figure by
    figure: where it still shows the error, or has no figure to show it by, the entry's figures are removed; where the
    guard's figure lies within its limit, the publisher has repaired that place and year and all stays as published;
    places and years that the vintage does not hold are passed over. An entry that names `vintages` is about these only.

    Parameters
    ----------
    observations
        Long frame of one source and vintage.
    corrections
        As `load_corrections` gives them.

    Returns
    -------
    tuple of DataFrame
        The corrected frame; the log as `apply_corrections` gives it; the guard's figures of what is repaired:
        `correction`, `place_id`, `year`, `value`.
    """
    frame = observations.copy()
    logs, repairs = [_no_log()], [pd.DataFrame(columns=["correction", "place_id", "year", "value"])]
    for name, entry in corrections.items():
        named = _rows_of(frame, entry)
        guard = entry["still_wrong_if"]
        asked = frame.loc[named & (frame["variable"] == guard["variable"]), ["place_id", "year", "value"]]
        asked = asked.loc[asked["value"].notna()]
        above, below = guard.get("above", np.inf), guard.get("below", -np.inf)
        repaired = asked.loc[~((asked["value"] > above) | (asked["value"] < below))]
        keys = pd.MultiIndex.from_frame(frame[["place_id", "year"]])
        is_repaired = keys.isin(pd.MultiIndex.from_frame(repaired[["place_id", "year"]]))
        rows = named & ~is_repaired & frame["variable"].isin(entry["variables"]) & frame["value"].notna()
        if rows.any():
            logs.append(_removed(frame, rows, name=name, entry=entry))
        if len(repaired):
            repairs.append(repaired.assign(correction=name)[["correction", "place_id", "year", "value"]])
    return frame, _joined(logs), _joined(repairs)


def _removed(frame: pd.DataFrame, rows: pd.Series, *, name: str, entry: Mapping[str, Any]) -> pd.DataFrame:
    """Set the rows missing in the frame itself; the log of what they were."""
    log = frame.loc[rows, ["place_id", "year", "variable", "vintage", "value"]].rename(columns={"value": "value_was"})
    frame.loc[rows, "value"] = np.nan
    frame.loc[rows, "std_error"] = np.nan
    frame.loc[rows, "flag"] = entry["flag"]
    return log.assign(correction=name, flag=entry["flag"], reason=entry["reason"])[list(_LOG)]


def _no_log() -> pd.DataFrame:
    return pd.DataFrame(columns=list(_LOG))


def _joined(parts: list[pd.DataFrame]) -> pd.DataFrame:
    """The filled parts in one frame, or the empty first one with its columns."""
    filled = [part for part in parts if len(part)]
    return pd.concat(filled, ignore_index=True) if filled else parts[0]


def _rows_of(frame: pd.DataFrame, entry: Mapping[str, Any]) -> pd.Series:
    rows = (
        (frame["source"] == entry["source"])
        & frame["place_id"].isin(entry["place_ids"])
        & frame["year"].isin(entry["years"])
    )
    return rows & frame["vintage"].isin(entry["vintages"]) if "vintages" in entry else rows


def _check_guard(frame: pd.DataFrame, name: str, entry: Mapping[str, Any], faults: Faults) -> None:
    guard = entry["still_wrong_if"]
    rows = frame[_rows_of(frame, entry) & (frame["variable"] == guard["variable"])]
    found = set(zip(rows["place_id"], rows["year"], strict=True))
    wanted = {(place_id, year) for place_id in entry["place_ids"] for year in entry["years"]}
    for place_id, year in sorted(wanted - found):
        faults.add(f"{name}: no {guard['variable']} for {place_id} in {year}; drop or correct the entry")
    above, below = guard.get("above", np.inf), guard.get("below", -np.inf)
    for row in rows[rows["value"].notna()].itertuples(index=False):
        if not (row.value > above or row.value < below):
            limit = f"above {above:g}" if np.isfinite(above) else f"below {below:g}"
            faults.add(
                f"{name}: {guard['variable']} of {row.place_id} in {row.year} (vintage {row.vintage}) is "
                f"{row.value:g}, no longer {limit}: the source is repaired, drop the entry"
            )
