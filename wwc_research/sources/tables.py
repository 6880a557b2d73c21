"""The layout of shipped tables: manifest entry, bytes of a CSV, wide on disk and long in memory.

In: frames. Out: `Table` entries, CSV bytes, manifest text, and the two shapes of observations.
"""

from __future__ import annotations

import io
import json
from dataclasses import dataclass, fields

import numpy as np
import pandas as pd

from wwc_research.errors import DataError
from wwc_research.sources.observations import COLUMNS

MANIFEST = "manifest.toml"
# Beside the manifest of fetched tables, and never beside that of shipped ones.
DOWNLOADS = "downloads.toml"
_HEAD = "# Written by the compile step. One entry a table under data/raw; never edited by hand."


@dataclass(frozen=True, slots=True, kw_only=True)
class Table:
    """One entry of the manifest: what a file under `data/raw` is, and what it must hash to."""

    name: str
    path: str
    kind: str
    sha256: str
    rows: int
    key: tuple[str, ...]
    title: str
    publisher: str
    series: str
    vintage: str
    licence: str
    retrieved: str
    geography: str
    years: tuple[int, int]
    url: str
    obtained: str

    @property
    def source(self) -> str:
        """Name of the source, the first part of the table's name."""
        return self.name.split("/", maxsplit=1)[0]


def csv_bytes(frame: pd.DataFrame) -> bytes:
    r"""The frame as CSV, the same bytes on every machine: `\n`, shortest digits, whole numbers bare."""
    text = frame.copy()
    for column in text.columns:
        if pd.api.types.is_float_dtype(text[column]):
            text[column] = [_digits(number) for number in text[column].tolist()]
    buffer = io.StringIO()
    text.to_csv(buffer, index=False, lineterminator="\n")
    return buffer.getvalue().encode("utf-8")


def _digits(number: float) -> str:
    if number != number:
        return ""
    return str(int(number)) if number.is_integer() else repr(number)


def manifest_text(tables: list[Table], *, head: str = _HEAD) -> str:
    """The manifest as TOML, one `[[tables]]` entry a table, below the comment `head`."""
    lines = [head, ""]
    for table in tables:
        lines.append("[[tables]]")
        for item in fields(table):
            value = getattr(table, item.name)
            # A JSON string, number or list of them is valid TOML as it stands.
            lines.append(f"{item.name} = {json.dumps(list(value) if isinstance(value, tuple) else value)}")
        lines.append("")
    return "\n".join(lines)


def to_wide(frame: pd.DataFrame) -> pd.DataFrame:
    """One row a place and year: `place_id`, `year`, then per variable its value, `__se` and `__flag`.

    Columns without any entry are left out. The frame must be of one source and vintage.
    """
    if frame[["source", "vintage"]].drop_duplicates().shape[0] > 1:
        raise DataError("a wide table holds one source and vintage; split the frame first")
    parts = {}
    for variable in dict.fromkeys(frame["variable"]):
        rows = frame[frame["variable"] == variable].set_index(["place_id", "year"])
        parts[variable] = rows["value"]
        if rows["std_error"].notna().any():
            parts[f"{variable}__se"] = rows["std_error"]
        if (rows["flag"] != "").any():
            parts[f"{variable}__flag"] = rows["flag"]
    wide = pd.DataFrame(parts).sort_index().reset_index()
    for column in wide.columns[wide.columns.str.endswith("__flag")]:
        wide[column] = wide[column].fillna("")
    return wide


def to_long(wide: pd.DataFrame, *, source: str, vintage: str) -> pd.DataFrame:
    """The long observations that `to_wide` wrote: a value or a flag makes an observation."""
    variables = [c for c in wide.columns if c not in ("place_id", "year") and "__" not in c]
    count = len(wide)
    blank = np.full(count, "", dtype=object)
    missing = np.full(count, np.nan)
    long = pd.DataFrame(
        {
            "place_id": np.tile(wide["place_id"].to_numpy(dtype=object), len(variables)),
            "year": np.tile(wide["year"].to_numpy(), len(variables)),
            "variable": np.repeat(np.array(variables, dtype=object), count),
            "value": _stacked(wide, variables, "", missing).astype(float),
            "std_error": _stacked(wide, variables, "__se", missing).astype(float),
            "flag": _stacked(wide, variables, "__flag", blank),
            "source": source,
            "vintage": vintage,
        }
    )
    present = long["value"].notna() | (long["flag"] != "")
    return long.loc[present, list(COLUMNS)]


def _stacked(wide: pd.DataFrame, variables: list[str], suffix: str, blank: np.ndarray) -> np.ndarray:
    columns = [f"{variable}{suffix}" for variable in variables]
    parts = [wide[c].to_numpy() if c in wide.columns else blank for c in columns]
    return np.concatenate(parts) if parts else blank[:0]
