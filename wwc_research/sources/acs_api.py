"""One answer of the Census Bureau's interface (JSON: a list of rows, the header first) → header and text rows.

In: `acs1-2022-b28003-places-53.json`. Out: header and rows; whatever is no such answer is a fault that says what it is.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pandas as pd

from wwc_research.errors import Faults, listed

_KEYS_NEEDED = (
    "The interface wants a key since May 2026: set the environment variable CENSUS_API_KEY (free at "
    "api.census.gov/data/key_signup.html) and fetch again"
)


def read_rows(path: Path, *, where: str, faults: Faults) -> tuple[list[str], pd.DataFrame] | None:
    """Header and frame of text; None where the answer is empty (204: no such figures) or a fault was noted."""
    text = path.read_bytes().decode("utf-8-sig", errors="replace").strip()
    if not text:
        return None
    if text.startswith("<"):
        faults.add(f"{where}: is an HTML page, not JSON. {_KEYS_NEEDED}")
        return None
    try:
        answer = json.loads(text)
    except (ValueError, RecursionError) as error:  # ValueError: also a number of thousands of digits
        what = f"says {text[:120]!r}" if text.lower().startswith("error") else f"cannot be read as JSON ({error})"
        faults.add(f"{where}: {what}; the answer is cut off or an error. Fetch it again")
        return None
    if isinstance(answer, dict):
        said = answer.get("error") or answer.get("message") or ", ".join(str(key) for key in answer)
        faults.add(f"{where}: is an error object, not a table: {str(said)[:120]!r}")
        return None
    return _table(answer, where=where, faults=faults)


def _table(answer: Any, *, where: str, faults: Faults) -> tuple[list[str], pd.DataFrame] | None:
    is_rows = isinstance(answer, list) and bool(answer) and all(isinstance(row, list) for row in answer)
    if not is_rows or not all(isinstance(name, str) for name in answer[0]):
        faults.add(f"{where}: is no list of rows with a header first, as the interface gives")
        return None
    header: list[str] = answer[0]
    uneven = [number for number, row in enumerate(answer[1:], start=2) if len(row) != len(header)]
    if uneven:
        faults.add(f"{where}: rows {listed(uneven, limit=3)} do not have the {len(header)} cells of the header")
        return None
    if len(answer) == 1:
        faults.add(f"{where}: has a header and no row")
        return None
    nested = [
        number
        for number, row in enumerate(answer[1:], start=2)
        if any(isinstance(cell, (list, dict, bool)) for cell in row)
    ]
    if nested:
        faults.add(f"{where}: rows {listed(nested, limit=3)} hold cells that are neither text nor number")
        return None
    rows = [["" if cell is None else str(cell) for cell in row] for row in answer[1:]]
    return header, pd.DataFrame(rows, columns=header, dtype=object)
