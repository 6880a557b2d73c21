"""Fetched vintages made up for tests, in the layout that `data fetch` writes."""

import hashlib
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pandas as pd

from wwc_research.sources import vintages
from wwc_research.sources.download import Download
from wwc_research.sources.tables import Table, csv_bytes, to_wide

Figures = Mapping[str, Mapping[tuple[str, int], float]]


def observations(
    figures: Figures, *, source: str, vintage: str, errors: Figures | None = None, flags: Mapping | None = None
) -> pd.DataFrame:
    """Long observations from values by variable, then by code and year."""
    rows = [
        {
            "place_id": place_id,
            "year": year,
            "variable": variable,
            "value": value,
            "std_error": (errors or {}).get(variable, {}).get((place_id, year), np.nan),
            "flag": (flags or {}).get((place_id, year), ""),
            "source": source,
            "vintage": vintage,
        }
        for variable, values in figures.items()
        for (place_id, year), value in values.items()
    ]
    return pd.DataFrame(rows)


def publish(
    fetched_dir: Path,
    *tables: pd.DataFrame,
    source: str,
    vintage: str,
    definitions: Mapping[str, str] | None = None,
) -> Path:
    """The folder of a vintage with these observations, a table each."""
    folder = fetched_dir / source / vintage
    (folder / vintages.FILES).mkdir(parents=True)
    (folder / vintages.FILES / "made_up.csv").write_bytes(b"made up\n")
    made = []
    for number, frame in enumerate(tables, start=1):
        content = csv_bytes(to_wide(frame))
        path = folder / f"table_{number}.csv"
        path.write_bytes(content)
        made.append(
            Table(
                name=f"{source}/{path.stem}",
                path=path.name,
                kind="observations",
                sha256=hashlib.sha256(content).hexdigest(),
                rows=content.count(b"\n") - 1,
                key=("place_id", "year"),
                title="Made up",
                publisher="a test",
                series="made up",
                vintage=vintage,
                licence="none",
                retrieved="2026-11-23",
                geography="places",
                years=(int(frame["year"].min()), int(frame["year"].max())),
                url="",
                obtained="made up",
            )
        )
    download = Download(
        name="made_up.csv",
        url="https://example.org/made_up.csv",
        sha256=hashlib.sha256(b"made up\n").hexdigest(),
        bytes=8,
        retrieved_at="2026-11-23T00:00:00Z",
    )
    vintages.write_downloads(folder, source=source, downloads=[download], years=[2023], geographies=["place"])
    texts = {"table_1": dict(definitions)} if definitions else {}
    vintages.write_manifest(folder, tables=made, definitions=texts)
    return folder
