"""The city-year panel as a value: one frame, and for each column where it comes from and what it covers."""

from __future__ import annotations

import dataclasses
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from wwc_research.atomic import written_whole
from wwc_research.errors import InputError

_METADATA_KEY = b"wwc_research.panel"


@dataclass(frozen=True, slots=True, kw_only=True)
class Served:
    """How many figures of one vintage a column rests on: of places, counties or microdata areas, by year."""

    source: str
    vintage: str
    n_figures: int


@dataclass(frozen=True, slots=True, kw_only=True)
class PanelColumn:
    """Provenance and coverage of one column of the panel.

    `n_values` counts filled city-years, `n_places` cities with at least one; `missing_share` is the share of
    city-years between `first_year` and `last_year` that are empty. `vintages` are those that it takes figures from, in
    order of preference, and `served` says how many from each; `source` is that of the first.
    """

    name: str
    title: str
    unit: str
    geography: str
    source: str
    vintages: tuple[str, ...]
    first_year: int | None
    last_year: int | None
    n_values: int
    n_places: int
    missing_share: float
    served: tuple[Served, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Panel:
    """Every US place of 30,000 people and more by year.

    Attributes
    ----------
    frame
        One row a `place_id` and `year`, sorted by both.
    columns
        Provenance of each column that holds a figure or a treatment.
    data_hash
        Hash over the compiled tables and fetched vintages it was built from.
    corrections
        What the declared corrections took out, one line each.
    is_confidential
        Whether a column holds scores of cities; such a panel is not written to a file.
    """

    frame: pd.DataFrame
    columns: tuple[PanelColumn, ...]
    data_hash: str
    corrections: tuple[str, ...] = ()
    is_confidential: bool = False

    def column(self, name: str) -> PanelColumn:
        """Provenance of the column `name`."""
        for column in self.columns:
            if column.name == name:
                return column
        raise InputError(f"the panel has no column {name!r}; build it again with 'wwc-research panel build'")

    def coverage(self) -> pd.DataFrame:
        """One row a column: title, unit, source, vintages, years, values, places, missing share."""
        return pd.DataFrame([dataclasses.asdict(column) for column in self.columns])

    def write(self, path: Path) -> None:
        """Write the panel as Parquet with its provenance inside, beside first and then renamed.

        Raises
        ------
        InputError
            For a panel that holds cities' scores.
        """
        if self.is_confidential:
            raise InputError(
                f"{path}: not written, since the panel holds scores of cities, which are confidential; analyse it in "
                "memory and publish aggregates only"
            )
        import pyarrow as pa
        import pyarrow.parquet as pq

        table = pa.Table.from_pandas(self.frame, preserve_index=False)
        described = {
            "columns": [dataclasses.asdict(column) for column in self.columns],
            "data_hash": self.data_hash,
            "corrections": list(self.corrections),
        }
        metadata = {**(table.schema.metadata or {}), _METADATA_KEY: json.dumps(described).encode()}
        with written_whole(path) as beside:
            pq.write_table(table.replace_schema_metadata(metadata), beside, compression="zstd")

    @classmethod
    def read(cls, path: Path) -> Panel:
        """The panel written to `path`.

        Raises
        ------
        InputError
            Where the file is absent or was not written by `write`.
        """
        import pyarrow as pa
        import pyarrow.parquet as pq

        if not path.exists():
            raise InputError(f"{path}: there is no panel yet; run 'wwc-research panel build'")
        try:
            table = pq.read_table(path)
        except (pa.ArrowInvalid, OSError) as error:
            raise InputError(f"{path} is no Parquet file ({error}); run 'wwc-research panel build'") from error
        raw = (table.schema.metadata or {}).get(_METADATA_KEY)
        if raw is None:
            raise InputError(f"{path} holds no panel of this package; run 'wwc-research panel build'")
        described: dict[str, Any] = json.loads(raw)
        columns = tuple(
            PanelColumn(
                **{
                    **column,
                    "vintages": tuple(column["vintages"]),
                    "served": tuple(Served(**item) for item in column.get("served", ())),
                }
            )
            for column in described["columns"]
        )
        return cls(
            frame=table.to_pandas(),
            columns=columns,
            data_hash=described["data_hash"],
            corrections=tuple(described["corrections"]),
        )
