"""Which vintages fill which column of the panel: the shipped ones, or those that a plan names, fetched ones among them.

In: data/raw, data/fetched and the plan's [figures]. Out: checked and corrected observations, and vintages by column.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from wwc_research import catalog
from wwc_research.catalog import Variable
from wwc_research.errors import DataError, Faults, listed
from wwc_research.sources import corrections, raw
from wwc_research.sources.tables import MANIFEST, Table

Figures = Mapping[str, Sequence[str]]
# length of the codes that observations of each geography bear
_CODE_LENGTH = {"place": 7, "county": 5, "puma": 8}


@dataclass(frozen=True, slots=True, kw_only=True, order=True)
class Vintage:
    """One vintage of one source."""

    source: str
    name: str

    def __str__(self) -> str:
        """As a plan writes it."""
        return f"{self.source}@{self.name}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Observed:
    """Figures for the panel.

    Attributes
    ----------
    frame
        Long observations of every vintage that a column may take figures from, corrected or as published.
    vintages
        By panel column, in order of preference; a column without an entry is not in the panel.
    corrections
        What the declared corrections took out, and what they no longer had to, one line each.
    """

    frame: pd.DataFrame
    vintages: Mapping[str, tuple[Vintage, ...]]
    corrections: tuple[str, ...]


def fetched_beside(raw_dir: Path) -> Path:
    """The folder of fetched vintages that belongs to a folder of shipped tables: `data/fetched` to `data/raw`."""
    return Path(raw_dir).parent / "fetched"


def read_figures(
    raw_dir: Path, *, figures: Figures | None = None, fetched_dir: Path | None = None, corrected: bool = True
) -> Observed:
    """The observations that fill the panel, and which vintages each column takes.

    Parameters
    ----------
    raw_dir
        Folder of the shipped tables.
    figures
        Vintages by panel column, as `source@vintage` in order of preference; others have the shipped figures.
    fetched_dir
        Folder of the fetched vintages (default: `fetched` beside `raw_dir`).
    corrected
        Whether the declared corrections are applied.

    Raises
    ------
    InputError
        For vintages that are not on disk, hold no such figures, or differ in definition: all of them at once.
    DataError
        Where the shipped tables do not hold what the catalog promises, or a table was altered.
    """
    raw_dir = Path(raw_dir)
    chosen = _chosen(figures or {})
    folders = _fetched_folders(chosen, raw_dir=raw_dir, fetched_dir=fetched_dir or fetched_beside(raw_dir))
    shipped = raw.read_observations(raw_dir, corrected=False)
    lines: tuple[str, ...] = ()
    ledger = corrections.load_corrections()
    if corrected:
        shipped, removed = corrections.apply_corrections(shipped, ledger)
        lines = _correction_lines(removed, ledger)
    parts = [shipped]
    for vintage, folder in folders.items():
        fetched = raw.read_observations(folder, sources=[vintage.source], corrected=False)
        if corrected:
            fetched, removed, repaired = corrections.apply_to_fetched(fetched, ledger)
            lines += _correction_lines(removed, ledger, vintage=vintage)
            lines += _repair_lines(repaired, ledger, vintage=vintage)
        parts.append(fetched)
    frame = pd.concat(parts, ignore_index=True) if folders else shipped
    vintages = _by_column(frame, chosen)
    _refuse_unlike(frame, vintages, chosen=chosen, definitions=_definitions(raw_dir, folders))
    return Observed(frame=frame, vintages=vintages, corrections=lines)


def digest_of_fetched(digest: Any, *, figures: Figures | None, raw_dir: Path, fetched_dir: Path | None = None) -> None:
    """Add to a hash what [figures] of a plan says and every byte of the fetched tables that it names; nothing else."""
    chosen = _chosen(figures or {})
    for column in sorted(chosen):
        digest.update(f"{column} = {[str(vintage) for vintage in chosen[column]]}\0".encode())
    folders = _fetched_folders(chosen, raw_dir=Path(raw_dir), fetched_dir=fetched_dir or fetched_beside(raw_dir))
    for vintage, folder in folders.items():
        for path in sorted([folder / MANIFEST, *(folder / table.path for table in raw.list_tables(folder))]):
            digest.update(f"{vintage}/{path.name}\0".encode() + _bytes_of(path) + b"\0")


def fetched_tables(figures: Figures | None, *, raw_dir: Path) -> dict[str, tuple[Table, Path]]:
    """The fetched tables that [figures] of a plan names, by `source@vintage/table`, each with its file."""
    chosen = _chosen(figures or {})
    folders = _fetched_folders(chosen, raw_dir=Path(raw_dir), fetched_dir=fetched_beside(raw_dir))
    return {
        f"{vintage}/{table.name.rpartition('/')[2]}": (table, folder / table.path)
        for vintage, folder in folders.items()
        for table in raw.list_tables(folder)
    }


def refuse_absent(figures: Figures, *, raw_dir: Path) -> None:
    """Raise one `InputError` with every vintage of [figures] that is not on disk, and the command that gets it."""
    _fetched_folders(_chosen(figures), raw_dir=Path(raw_dir), fetched_dir=fetched_beside(raw_dir))


def _bytes_of(path: Path) -> bytes:
    if not path.is_file():
        raise DataError(f"{path}: the manifest names this file and it is absent; fetch the vintage again")
    return path.read_bytes()


def _chosen(figures: Figures) -> dict[str, tuple[Vintage, ...]]:
    """The vintages that a plan names, by column."""
    faults = Faults("[figures]")
    found: dict[str, tuple[Vintage, ...]] = {}
    for column, named in figures.items():
        pairs = [catalog.split_vintage(text) for text in named]
        if column not in catalog.variables():
            faults.add(f"{column} is no column of the panel; allowed: {listed(catalog.variables(), limit=60)}")
        elif not pairs or not all(source for source, _ in pairs):
            faults.add(f'{column} = {list(named)!r} should be vintages such as "epa_aqi@2026-11-23"')
        elif catalog.variables()[column].geography == "puma":
            faults.add(f"{column} is filled from one table of microdata areas that ships, and from no other")
        else:
            found[column] = tuple(Vintage(source=source, name=name) for source, name in pairs)
    faults.raise_if_any()
    return found


def _fetched_folders(
    chosen: Mapping[str, tuple[Vintage, ...]], *, raw_dir: Path, fetched_dir: Path
) -> dict[Vintage, Path]:
    """The folder of each fetched vintage that the plan names, sorted; those that ship need none."""
    if not chosen:
        return {}
    shipped = {Vintage(source=table.source, name=table.vintage) for table in raw.list_tables(raw_dir)}
    faults = Faults("[figures]")
    folders = {}
    for vintage in sorted({vintage for named in chosen.values() for vintage in named}):
        folder = fetched_dir / vintage.source / vintage.name
        if vintage in shipped:
            if (folder / MANIFEST).is_file():
                faults.add(f"{vintage} is the name of shipped figures and of {folder}; rename that folder")
        elif (folder / MANIFEST).is_file():
            folders[vintage] = folder
        else:
            columns = [column for column, named in chosen.items() if vintage in named]
            faults.add(f"{listed(columns)}: {_absence(vintage, fetched_dir=fetched_dir, shipped=shipped)}")
    faults.raise_if_any()
    return folders


def _absence(vintage: Vintage, *, fetched_dir: Path, shipped: Iterable[Vintage]) -> str:
    """That a vintage is not on disk, what there is of its source, and how to get it."""
    home = fetched_dir / vintage.source
    there = sorted(path.parent.name for path in home.glob(f"*/{MANIFEST}") if not path.parent.name.startswith("."))
    known = [*sorted(item.name for item in shipped if item.source == vintage.source), *there]
    held = f"there {'is' if len(known) == 1 else 'are'} {listed(known, limit=20)}" if known else "there is none of it"
    return (
        f"no vintage {vintage.name!r} of {vintage.source} is on disk; {held}. Name one of these, bring the folder "
        f"{vintage.source}/{vintage.name} from where the plan was made, or fetch today's figures with "
        f"'wwc-research data fetch {vintage.source} --vintage {vintage.name}'"
    )


def _correction_lines(
    removed: pd.DataFrame, ledger: Mapping[str, Mapping[str, Any]], *, vintage: Vintage | None = None
) -> tuple[str, ...]:
    """What each correction took out, in one line an entry."""
    lines = []
    for name, rows in removed.groupby("correction"):
        places, years = sorted(rows["place_id"].unique()), sorted(rows["year"].unique())
        entry = ledger[str(name)]
        where = entry["source"] if vintage is None else str(vintage)
        lines.append(f"{where}, {listed(places)}, {listed(years)}: {len(rows)} figures removed. {entry['reason']}")
    return tuple(lines)


def _repair_lines(
    repaired: pd.DataFrame, ledger: Mapping[str, Mapping[str, Any]], *, vintage: Vintage
) -> tuple[str, ...]:
    """Which figures of a vintage no longer show the declared error and were kept, in one line an entry."""
    lines = []
    for name, rows in repaired.groupby("correction"):
        guard = ledger[str(name)]["still_wrong_if"]
        limit = f"above {guard['above']:g}" if "above" in guard else f"below {guard['below']:g}"
        found = [f"{row.value:g} for {row.place_id} in {row.year}" for row in rows.itertuples(index=False)]
        lines.append(
            f"{vintage}: kept as published, since {guard['variable']} is {listed(found)}, not {limit}: the publisher "
            f"has repaired the error of the entry {name}"
        )
    return tuple(lines)


# --- which vintages a column takes -----------------------------------------------------------------------


def _by_column(frame: pd.DataFrame, chosen: Mapping[str, tuple[Vintage, ...]]) -> dict[str, tuple[Vintage, ...]]:
    """Vintages by column of the panel; every name that has no such figures is a fault."""
    held = frame[["source", "vintage", "variable"]].drop_duplicates().itertuples(index=False, name=None)
    held_by: dict[tuple[str, str], list[str]] = {}
    for source, vintage, variable in held:
        held_by.setdefault((str(source), str(variable)), []).append(str(vintage))
    vintages: dict[str, tuple[Vintage, ...]] = {}
    faults = Faults("[figures]")
    for variable in catalog.variables().values():
        if variable.name in chosen:
            vintages[variable.name] = chosen[variable.name]
            for vintage in chosen[variable.name]:
                _note_figureless(frame, variable, vintage, faults=faults)
        elif variable.shipped:
            vintages[variable.name] = _shipped(variable, sorted(held_by.get((variable.source, variable.observed), [])))
    faults.raise_if_any()
    return vintages


def _shipped(variable: Variable, found: Sequence[str]) -> tuple[Vintage, ...]:
    wanted = variable.vintages or tuple(found)
    missing = [vintage for vintage in wanted if vintage not in found]
    if not found or missing:
        raise DataError(
            f"catalog/variables.toml [{variable.name}]: the tables hold vintages {list(found)} of {variable.observed} "
            f"from {variable.source}, but not {missing or 'any'}; compile the source again or correct the entry"
        )
    if not variable.vintages and len(found) > 1:
        raise DataError(
            f"catalog/variables.toml [{variable.name}]: the tables hold several vintages ({list(found)}); "
            "say in `vintages` which are meant"
        )
    return tuple(Vintage(source=variable.source, name=name) for name in wanted)


def rows_of(frame: pd.DataFrame, vintage: Vintage, variable: Variable) -> pd.DataFrame:
    """The figures of a vintage that can fill a column: its variable, for its kind of place."""
    rows = frame.loc[
        (frame["source"] == vintage.source)
        & (frame["vintage"] == vintage.name)
        & (frame["variable"] == variable.observed)
    ]
    return rows.loc[rows["place_id"].str.len() == _CODE_LENGTH[variable.geography]]


def _note_figureless(frame: pd.DataFrame, variable: Variable, vintage: Vintage, *, faults: Faults) -> None:
    """Note a vintage that has no figures for the column, with what it has."""
    if len(rows_of(frame, vintage, variable)):
        return
    rows = frame.loc[(frame["source"] == vintage.source) & (frame["vintage"] == vintage.name)]
    if (rows["variable"] == variable.observed).any():
        faults.add(
            f"{variable.name}: {vintage} has {variable.observed}, but not for any {variable.geography}, for which the "
            f"column is measured; fetch it with --geography {variable.geography}"
        )
        return
    faults.add(
        f"{variable.name}: {vintage} holds no {variable.observed}; it has "
        f"{listed(sorted(rows['variable'].unique()), limit=40)}"
    )


# --- what vintages measure -------------------------------------------------------------------------------

Definitions = Mapping[tuple[Vintage, str], frozenset[str]]


def _definitions(raw_dir: Path, folders: Mapping[Vintage, Path]) -> Definitions:
    """By vintage and variable, the declared texts of what it measures; a variable without one measures its name."""
    found: dict[tuple[Vintage, str], set[str]] = {}
    for vintage, variable, text in (*_declared_shipped(raw_dir), *_declared_fetched(folders)):
        found.setdefault((vintage, variable), set()).add(text)
    return {key: frozenset(texts) for key, texts in found.items()}


def _declared_shipped(raw_dir: Path) -> Iterator[tuple[Vintage, str, str]]:
    sources = raw.load_sources()
    for table in raw.list_tables(raw_dir):
        entry = sources.get(table.source, {}).get("tables", {}).get(table.name.rpartition("/")[2], {})
        for variable, text in entry.get("definitions", {}).items():
            yield Vintage(source=table.source, name=table.vintage), variable, text


def _declared_fetched(folders: Mapping[Vintage, Path]) -> Iterator[tuple[Vintage, str, str]]:
    if not folders:
        return
    from wwc_research.sources.vintages import load_vintage  # which loads a client that nothing else here needs

    for vintage, folder in folders.items():
        known = load_vintage(folder.parents[1], source=vintage.source, name=vintage.name)
        for texts in known.definitions.values():
            for variable, text in texts.items():
                yield vintage, variable, text


def _refuse_unlike(
    frame: pd.DataFrame,
    vintages: Mapping[str, tuple[Vintage, ...]],
    *,
    chosen: Mapping[str, tuple[Vintage, ...]],
    definitions: Definitions,
) -> None:
    """Refuse columns whose vintages do not measure the same: all of them in one error."""
    faults = Faults("vintages that differ in definition")
    for column, named in vintages.items():
        variable = catalog.variables()[column]
        texts = {vintage: measured(vintage, variable, definitions) for vintage in named}
        if len(set(texts.values())) > 1:
            said = "; ".join(f"{vintage}: {text}" for vintage, text in texts.items())
            where = "[figures]" if column in chosen else "catalog/variables.toml"
            faults.add(
                f"{where} {column}: {said}. A change between them would be one of definition, so they are not joined: "
                f'name one of them, such as {column} = ["{named[0]}"]'
            )
    faults.raise_if_any()


def measured(vintage: Vintage, variable: Variable, definitions: Definitions) -> str:
    """What a vintage says it measures by the variable, in words."""
    texts = definitions.get((vintage, variable.observed), frozenset({variable.observed}))
    return "; ".join(sorted(texts))


def hash_of_figures(figures: Figures) -> str:
    """A short name of the choice of figures, the same for the same choice."""
    lines = "\n".join(f"{column} = {[*figures[column]]}" for column in sorted(figures))
    return hashlib.sha256(lines.encode()).hexdigest()[:12]
