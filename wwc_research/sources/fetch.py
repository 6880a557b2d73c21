"""A source's name, years and geographies → a new vintage under `data/fetched`, or word that there is nothing new.

In: `catalog/sources.toml`, the publisher's files or a folder of them. Out: `Fetched`; what exists is never touched.
"""

from __future__ import annotations

import hashlib
import os
import shutil
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final, Protocol
from urllib.parse import urlsplit

import pandas as pd

from wwc_research.errors import DataError, Faults, InputError, WwcError, listed
from wwc_research.sources import (
    acs_five_year,
    acs_one_year,
    acs_pums,
    bls_laus,
    census_population,
    epa_aqi,
    epa_monitors,
    fars,
    fbi_offenses,
    gazetteer_files,
    raw,
    vintages,
)
from wwc_research.sources.download import KEY_SIGN_UP, Client, Download
from wwc_research.sources.handed_in import HANDED_IN, HandedIn
from wwc_research.sources.observations import Reading, validate
from wwc_research.sources.places import STATE_CODE, Places, Scope
from wwc_research.sources.retrieval import Fetchable, Remote
from wwc_research.sources.tables import DOWNLOADS, Table, csv_bytes, to_wide
from wwc_research.sources.vintages import FILES, Vintage

# Adding a source that can be fetched adds a line, and a `[<source>.fetch]` to the catalog.
FETCHED: Final[Mapping[str, Fetchable]] = {
    "acs_one_year": acs_one_year,
    "acs_five_year": acs_five_year,
    "acs_pums": acs_pums,
    "epa_aqi": epa_aqi,
    "epa_monitors": epa_monitors,
    "bls_laus": bls_laus,
    "census_population": census_population,
    "gazetteer_files": gazetteer_files,
    "fars": fars,
    "fbi_offenses": fbi_offenses,
}


class SavedByHand(Protocol):
    """A fetchable source whose publisher gives its files no lasting address: they are saved by hand, under any name."""

    def found(self, folder: Path, *, settings: Mapping[str, Any]) -> tuple[Remote, ...]:
        """The publisher's files that lie in the folder, each with its year."""


# These stand in `FETCHED` too; their `remotes` refuses and says how the files are saved, `how` of the catalog as well.
SAVED_BY_HAND: Final[Mapping[str, SavedByHand]] = {"fbi_offenses": fbi_offenses}


class Described(Protocol):
    """A fetchable source that says what its variables measure, the same in all its tables."""

    def measured(self) -> dict[str, str]:
        """What each variable measures."""


# Those whose definitions follow from a catalog of their own; the others' stand in `[<source>.fetch.tables]`.
DESCRIBED: Final[Mapping[str, Described]] = {"acs_one_year": acs_one_year, "acs_five_year": acs_five_year}
# Declares what all variables of a table measure that have no text of their own.
ALL_OTHERS: Final = "*"
# Years fetched where none are named and the catalog names none: the last whole ones that the publisher may have.
DEFAULT_YEARS: Final = 5


class Watcher(Protocol):
    """Who is told how far a fetch is."""

    def file(self, name: str, *, number: int, count: int) -> None:
        """The file that comes next."""

    def transferred(self, name: str, done: int, total: int | None) -> None:
        """Bytes of the file that are here, and all of them where that is known."""

    def say(self, line: str) -> None:
        """A line for the user."""


class FetchError(WwcError):
    """The publisher's files could not be had or read; nothing that existed before was touched."""

    exit_status = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """What is asked of a publisher, checked.

    Attributes
    ----------
    source
        Name of the source.
    years, geographies
        Sorted years; words of `[<source>.fetch].geographies`.
    remotes
        The files.
    entry
        The source's entry in `catalog/sources.toml`.
    """

    source: str
    years: tuple[int, ...]
    geographies: tuple[str, ...]
    remotes: tuple[Remote, ...]
    entry: Mapping[str, Any]

    @property
    def settings(self) -> Mapping[str, Any]:
        """`[<source>.fetch]`."""
        settings: Mapping[str, Any] = self.entry["fetch"]
        return settings

    @property
    def keys(self) -> dict[str, str]:
        """Environment variables of the keys that the publishers want, with the host that wants each."""
        wanted = [remote for remote in self.remotes if remote.key is not None]
        return {remote.key[1]: urlsplit(remote.url).hostname or "" for remote in wanted if remote.key is not None}


@dataclass(frozen=True, slots=True, kw_only=True)
class Fetched:
    """What a fetch came to.

    Attributes
    ----------
    vintage
        The new vintage, or the one that is still the publisher's latest.
    is_new
        Whether the vintage was made now.
    files_sent, bytes_sent
        What the publisher sent or was handed in; the rest was staged already or is unchanged since the vintage before.
    left_out
        What did not become a figure: `table`, `item`, `reason`, `rows`.
    """

    vintage: Vintage
    is_new: bool
    files_sent: int
    bytes_sent: int
    left_out: pd.DataFrame


# --- what to ask -----------------------------------------------------------------------------------------


def fetch_settings() -> dict[str, dict[str, Any]]:
    """The catalog entries of the sources that can be fetched, by name.

    Raises
    ------
    DataError
        If an entry of `FETCHED` has no `[<source>.fetch]` in the catalog.
    """
    catalog = raw.load_sources()
    absent = [source for source in FETCHED if "fetch" not in catalog.get(source, {})]
    if absent:
        raise DataError(f"catalog/sources.toml has no [<source>.fetch] for {listed(absent)}")
    return {source: catalog[source] for source in FETCHED}


def request(
    source: str,
    *,
    years: Collection[int] | None = None,
    geographies: Collection[str] | None = None,
    files: Path | None = None,
) -> Request:
    """What is asked of the source's publisher: every fault of source, years and geographies in one error.

    Parameters
    ----------
    years
        Default: `default_years` of the catalog, else the last five whole years of the source's span.
    geographies
        Words of the catalog; a state may be written `state:WA` or `WA` where the source offers states.
        Default: `default_geographies`.
    files
        Folder of files that were saved by hand. What a source of `SAVED_BY_HAND` asks for is what lies there; its
        default years are those of the files.
    """
    if source not in FETCHED:
        raise InputError(f"'{source}' cannot be fetched; there are {listed(FETCHED, limit=40)}")
    entry = fetch_settings()[source]
    settings = entry["fetch"]
    faults = Faults(f"data fetch {source}")
    found: tuple[Remote, ...] = ()
    if files is not None and source in SAVED_BY_HAND:
        found = SAVED_BY_HAND[source].found(files, settings=settings)
        years = [remote.year for remote in found if remote.year is not None] if years is None else years
    chosen = _years(years, settings, faults)
    words = _geographies(geographies, settings, faults)
    if found:
        lacking = sorted(set(chosen) - {remote.year for remote in found})
        if lacking:
            faults.add(f"{files} has no file of {listed(lacking, limit=30)}: {settings['how']}")
        found = tuple(remote for remote in found if remote.year in chosen)
    elif not faults:
        found = FETCHED[source].remotes(years=chosen, geographies=words, settings=settings)
    _refuse_odd_names(found, faults)
    faults.raise_if_any()
    return Request(source=source, years=chosen, geographies=words, remotes=found, entry=entry)


def default_years(settings: Mapping[str, Any], *, today: datetime | None = None) -> tuple[int, ...]:
    """The years that are fetched where none are named; `settings` is `[<source>.fetch]`."""
    first, last = settings["years"]
    if "default_years" in settings:
        wanted = range(settings["default_years"][0], settings["default_years"][1] + 1)
    else:
        last = min(last, (today or datetime.now(UTC)).year - 1)
        wanted = range(max(first, last - DEFAULT_YEARS + 1), last + 1)
    return tuple(year for year in wanted if str(year) not in missing_years(settings))


def missing_years(settings: Mapping[str, Any]) -> Mapping[str, str]:
    """Years inside the span that the publisher has no file of, with the reason."""
    missing: Mapping[str, str] = settings.get("missing_years", {})
    return missing


def _years(years: Collection[int] | None, settings: Mapping[str, Any], faults: Faults) -> tuple[int, ...]:
    if years is None:
        return default_years(settings)
    first, last = settings["years"]
    chosen = tuple(sorted(set(years)))
    outside = [year for year in chosen if not first <= year <= last]
    if outside:
        faults.add(f"--years {listed(outside)}: there are {first}-{last}")
    for year in chosen:
        if reason := missing_years(settings).get(str(year)):
            faults.add(f"--years {year}: {reason}")
    if not chosen:
        faults.add(f"--years names no year; there are {first}-{last}")
    return chosen


def _geographies(words: Collection[str] | None, settings: Mapping[str, Any], faults: Faults) -> tuple[str, ...]:
    if words is None:
        return tuple(settings["default_geographies"])
    allowed = list(settings["geographies"])
    chosen = []
    for word in dict.fromkeys(words):
        state = word.removeprefix("state:").upper()
        if word in allowed:
            chosen.append(word)
        elif state in STATE_CODE and state in allowed:
            chosen.append(state)
        else:
            faults.add(f"--geography {word}: there are {listed(offered(allowed), limit=20)}")
    if not words:
        faults.add(f"--geography names nothing; there are {listed(offered(allowed), limit=20)}")
    return tuple(chosen)


def offered(allowed: Sequence[str]) -> list[str]:
    """The words of geography that are allowed, states as one entry."""
    others = [word for word in allowed if word not in STATE_CODE]
    return others if len(others) == len(allowed) else [*others, "state:WA or any other state"]


def keys_by_geography(source: str) -> dict[str, list[str]]:
    """Environment variables of the keys that the source's publishers want, with the geographies that want each."""
    settings = fetch_settings()[source]["fetch"]
    found: dict[str, list[str]] = {}
    if source in SAVED_BY_HAND:
        return found
    for word in settings["geographies"]:
        years = default_years(settings)[-1:]
        for remote in FETCHED[source].remotes(years=years, geographies=[word], settings=settings):
            if remote.key is not None and word not in found.setdefault(remote.key[1], []):
                found[remote.key[1]].append(word)
    return found


def _refuse_odd_names(remotes: Sequence[Remote], faults: Faults) -> None:
    names = [remote.name for remote in remotes]
    odd = [name for name in names if not name or Path(name).name != name or name.startswith(".")]
    if odd or len(set(names)) < len(names):
        faults.add(f"the reader names files that cannot stand in one folder: {listed(odd or names)}; mend its remotes")


def refuse_missing_keys(asked: Request, *, mirror: str | None = None, files: Path | None = None) -> None:
    """Raise one `InputError` that names every environment variable of a key that is wanted and not set.

    A mirror may serve without keys, so none is asked for with one; nor is one for files that were saved by hand.
    """
    if mirror is not None or files is not None:
        return
    faults = Faults(f"data fetch {asked.source}")
    for variable, host in asked.keys.items():
        if not os.environ.get(variable, "").strip():
            where = f" A key is free: {KEY_SIGN_UP[host]}." if host in KEY_SIGN_UP else ""
            faults.add(
                f"{host} answers with a key only, and the environment variable {variable} holds none.{where} "
                f"Set {variable} and run the command again; nothing was asked for yet"
            )
    faults.raise_if_any()


# --- fetching --------------------------------------------------------------------------------------------


def fetch(
    source: str,
    *,
    data_dir: Path,
    years: Collection[int] | None = None,
    geographies: Collection[str] | None = None,
    vintage: str | None = None,
    mirror: str | None = None,
    files: Path | None = None,
    contact: str | None = None,
    watcher: Watcher | None = None,
    connect: Callable[..., Client] | None = None,
) -> Fetched:
    """A new vintage of the source, or the latest one where the publisher has nothing new.

    Files that were fetched whole by an earlier try are not fetched again, and files that the publisher has not
    changed since the latest vintage are copied from there. There is nothing new where all files are unchanged, and
    years, geographies and definitions are the same; with a name in `vintage` a vintage is made all the same.

    Parameters
    ----------
    data_dir
        The folder that holds `raw` (the shipped tables, for places and counties) and `fetched`.
    years, geographies
        See `request`.
    vintage
        Name of the new vintage; by default the day (UTC), or `<day>-2` where that vintage exists.
    mirror, contact
        As for `Client`.
    files
        Folder of files that were saved by hand under the names of `request(...).remotes`: they are copied from there,
        nobody is asked for anything, and `downloads.toml` says so (`mirror = "file"`). Not with `mirror`.
    watcher
        Told of files, bytes and steps.
    connect
        Makes the client from `mirror`, `contact`, `per_second` and `progress`; `Client` if left out.

    Raises
    ------
    InputError
        For unknown names, missing keys, a vintage that exists, a full disk: before anything is asked for; and for every
        file of `files` that is missing or not what it should be.
    FetchError
        If the publisher's files cannot be had or are not what they should be. What came whole stays staged (copies of
        `files` do not), no vintage is made, and older vintages and the shipped tables are as they were.

    Examples
    --------
    >>> found = fetch("epa_aqi", data_dir=Path("data"), years=[2023, 2024])  # doctest: +SKIP
    >>> found.vintage.name, [table.name for table in found.vintage.tables]  # doctest: +SKIP
    """
    if mirror is not None and files is not None:
        raise InputError("--mirror and --files: the files come from one of the two; leave the other out")
    told: Watcher = watcher or _Silence()
    handed = None if files is None else HandedIn(files, progress=told.transferred)
    asked = request(source, years=years, geographies=geographies, files=files)
    refuse_missing_keys(asked, mirror=mirror, files=files)
    sizes = {remote.name: remote.largest for remote in asked.remotes} if handed is None else handed.sizes(asked.remotes)
    fetched_dir, raw_dir = Path(data_dir) / "fetched", Path(data_dir) / "raw"
    name = vintage or vintages.free_name(fetched_dir, source=source, day=f"{datetime.now(UTC):%Y-%m-%d}")
    held = vintages.list_vintages(fetched_dir, source=source)
    latest = held[-1] if held else None
    for other, size in vintages.list_staged(fetched_dir, source=source).items():
        if other != name:
            told.say(
                f"{size / 1e6:,.1f} MB lie staged for vintage {other} since an earlier try: --vintage {other} goes on "
                f"with them, and --discard --vintage {other} removes them"
            )
    connection = handed or (connect or Client)(
        mirror=mirror, contact=contact, per_second=asked.settings["per_second"], progress=told.transferred
    )
    with vintages.stage(fetched_dir, source=source, name=name) as staged:
        if handed is not None:
            _refuse_staged(asked, staged)
        _refuse_full_disk(sizes, staged)
        origin = _address(mirror) if handed is None else HANDED_IN
        work = _Work(asked=asked, staged=staged, latest=latest, mirror=origin, watcher=told)
        try:
            with connection as client:
                work.get_files(client)
            _refuse_twins(asked.source, work.downloads)
            if latest is not None and vintage is None and work.is_unchanged:
                shutil.rmtree(staged)
                return work.outcome(latest, is_new=False)
            told.say(f"reading {len(asked.remotes)} files of {source}")
            left_out = _compile(asked, staged, name=name, downloads=work.downloads, raw_dir=raw_dir)
        except (WwcError, OSError) as error:
            failure = FetchError(f"{_cause(error, staged)}\n{work.way_on}")
            if handed is not None:
                shutil.rmtree(staged)
        else:
            try:
                made = vintages.publish(staged, fetched_dir=fetched_dir, source=source, name=name)
                return work.outcome(made, is_new=True, left_out=left_out)
            except OSError as error:
                failure = FetchError(f"{_cause(error, staged)}\n{work.way_on}")
                if handed is not None:
                    shutil.rmtree(staged)
    # Raised out here, so that no library's error stands behind it.
    raise failure


def _cause(error: Exception, staged: Path) -> str:
    """Why a fetch failed; a disk that fills up names no file of its own accord."""
    if not isinstance(error, OSError):
        return str(error)
    return f"{error.filename or staged}: cannot be written or read: {error.strerror}. Look to the disk and its rights"


def _refuse_twins(source: str, downloads: Sequence[Download]) -> None:
    """Refuse two files of the same bytes: many say their year in their name alone, and one would be wrong."""
    by_hash: dict[str, list[str]] = {}
    for entry in downloads:
        if not entry.is_empty:
            by_hash.setdefault(entry.sha256, []).append(entry.name)
    faults = Faults(source, kind=DataError)
    for names in by_hash.values():
        if len(names) > 1:
            faults.add(f"{listed(names)} hold the same bytes, so all but one of them are not what was asked for")
    faults.raise_if_any()


class _Silence:
    """A watcher that is told in vain."""

    def file(self, name: str, *, number: int, count: int) -> None: ...

    def transferred(self, name: str, done: int, total: int | None) -> None: ...

    def say(self, line: str) -> None: ...


class _Work:
    """The staged files of one fetch: which are there, which came unchanged, what to say where it fails."""

    def __init__(self, *, asked: Request, staged: Path, latest: Vintage | None, mirror: str, watcher: Watcher) -> None:
        self.asked, self.staged, self.latest, self.mirror, self.watcher = asked, staged, latest, mirror, watcher
        self.files_sent = self.bytes_sent = 0
        self._known = {} if latest is None else {entry.name: entry for entry in latest.downloads}
        self._got = {entry.name: entry for entry in _staged_downloads(staged)}

    @property
    def downloads(self) -> list[Download]:
        """The entries of the files asked for, as far as they are here."""
        return [self._got[remote.name] for remote in self.asked.remotes if remote.name in self._got]

    @property
    def is_unchanged(self) -> bool:
        """Whether the latest vintage has the same files, asked for in the same way and with the same meaning."""
        before = self.latest
        if before is None or (before.years, before.geographies) != (self.asked.years, self.asked.geographies):
            return False
        hashes = {entry.name: entry.sha256 for entry in before.downloads}
        same_files = {entry.name: entry.sha256 for entry in self.downloads} == hashes
        return same_files and _definitions(self.asked, _variables(before)) == before.definitions

    @property
    def way_on(self) -> str:
        """Where the files lie, and what can be done."""
        if self.mirror == HANDED_IN:
            return (
                "No vintage was made, and what was there before is as it was, your own files too. Save those at fault "
                "again and run the same command again."
            )
        whole = len(self.downloads)
        command = f"wwc-research data fetch {self.asked.source}"
        name = self.staged.name
        if not whole and not any((self.staged / FILES).iterdir()):
            return "Nothing was kept, no vintage was made, and what was there before is as it was."
        return (
            f"{whole} of {len(self.asked.remotes)} files lie whole in {self.staged / FILES}; no vintage was made, and "
            f"what was there before is as it was. The same command with --vintage {name} goes on from there; "
            f"`{command} --discard --vintage {name}` removes them, to fetch them anew."
        )

    def get_files(self, client: Client | HandedIn) -> None:
        """Every file in its place, with its entry written down as soon as it is whole."""
        for number, remote in enumerate(self.asked.remotes, start=1):
            self.watcher.file(remote.name, number=number, count=len(self.asked.remotes))
            if not self._is_staged(remote):
                self._got.pop(remote.name, None)
                self._got[remote.name] = self._gotten(client, remote)
                self._write()
        wanted = {remote.name for remote in self.asked.remotes}
        for path in (self.staged / FILES).iterdir():
            if path.name not in wanted:  # of an earlier try that asked for more
                path.unlink()
        self._got = {name: entry for name, entry in self._got.items() if name in wanted}
        self._write()

    def outcome(self, vintage: Vintage, *, is_new: bool, left_out: pd.DataFrame | None = None) -> Fetched:
        """What the fetch came to."""
        rest = Reading().left_out if left_out is None else left_out
        return Fetched(
            vintage=vintage, is_new=is_new, files_sent=self.files_sent, bytes_sent=self.bytes_sent, left_out=rest
        )

    def _is_staged(self, remote: Remote) -> bool:
        entry, path = self._got.get(remote.name), self.staged / FILES / remote.name
        if entry is None or (entry.url, entry.mirror) != (remote.url, self.mirror) or not path.is_file():
            return False
        return vintages.sha256_of(path) == entry.sha256

    def _gotten(self, client: Client | HandedIn, remote: Remote) -> Download:
        target = self.staged / FILES / remote.name
        known = self._known.get(remote.name)
        if known is None or not self._can_be_asked(known, remote):
            found: Download | None = client.fetch(remote, target=target)
        else:
            found = client.fetch_if_changed(remote, target=target, known=known)
            if found is None:
                assert self.latest is not None
                shutil.copyfile(self.latest.files_dir / known.name, target)
                # the publisher has just said that this is its version
                return replace(known, retrieved_at=f"{datetime.now(UTC):%Y-%m-%dT%H:%M:%SZ}")
        assert found is not None
        self.files_sent += 1
        self.bytes_sent += found.bytes
        return found

    def _can_be_asked(self, known: Download, remote: Remote) -> bool:
        """Whether the latest vintage's copy may stand for the file, if the publisher says that it is unchanged."""
        assert self.latest is not None
        path = self.latest.files_dir / known.name
        same = (known.url, known.mirror) == (remote.url, self.mirror) and path.is_file()
        return same and vintages.sha256_of(path) == known.sha256

    def _write(self) -> None:
        vintages.write_downloads(
            self.staged,
            source=self.asked.source,
            downloads=list(self._got.values()),
            years=self.asked.years,
            geographies=self.asked.geographies,
        )


def _staged_downloads(staged: Path) -> tuple[Download, ...]:
    """The entries that an earlier try has left; none where they cannot be read, so that the files are fetched anew."""
    try:
        return vintages.read_downloads(staged, way_out="")[0]
    except DataError:
        return ()


def _address(mirror: str | None) -> str:
    return "" if mirror is None else urlsplit(mirror).geturl()


def _refuse_staged(asked: Request, staged: Path) -> None:
    """Refuse to put files that are handed in where those of an earlier try lie."""
    if any((staged / FILES).iterdir()):
        raise InputError(
            f"{asked.source}: files of an earlier try lie staged for vintage {staged.name}, and files that are handed "
            f"in do not replace them. Give another name with --vintage, or remove them with --discard --vintage "
            f"{staged.name}"
        )


def _refuse_full_disk(sizes: Mapping[str, int], staged: Path) -> None:
    """Refuse to begin where the most that each file may hold would not fit, beside what is staged already."""
    here = {path.name for path in (staged / FILES).iterdir() if path.is_file()}
    wanted = sum(size for name, size in sizes.items() if name not in here)
    free = shutil.disk_usage(staged).free
    if wanted > free:
        raise InputError(
            f"{staged}: {free / 1e6:,.0f} MB are free, and the {len(sizes)} files may hold up to "
            f"{wanted / 1e6:,.0f} MB. Make room, or ask for fewer years with --years or a smaller --geography"
        )


# --- tables ----------------------------------------------------------------------------------------------


def _compile(asked: Request, staged: Path, *, name: str, downloads: Sequence[Download], raw_dir: Path) -> pd.DataFrame:
    """Write the tables and the manifest into the staged folder; what was left out."""
    for path in staged.glob("*.csv"):
        path.unlink()
    scope = scope_of(asked.entry, raw_dir=raw_dir)
    reading = FETCHED[asked.source].read_fetched(
        staged / FILES, scope=scope, vintage=name, settings=asked.settings, raw_dir=raw_dir
    )
    _check_reading(reading, asked=asked, name=name)
    made = []
    frames = {table: frame for table, frame in {**reading.observations, **reading.tables}.items() if len(frame)}
    for table, frame in frames.items():
        is_observed = table in reading.observations
        entry = asked.settings["tables"][table]
        facts = {
            "kind": "observations" if is_observed else "table",
            "key": ("place_id", "year") if is_observed else tuple(entry["key"]),
            "series": entry["series"],
        }
        made.append(_written(to_wide(frame) if is_observed else frame, table, facts, asked, staged, downloads))
    rest = reading.left_out[reading.left_out["rows"] > 0]
    if len(rest):
        rest = rest.sort_values(["table", "item", "reason"], ignore_index=True)
        facts = {"kind": "table", "key": (), "series": "what did not become a figure, with the reason"}
        made.append(_written(rest, raw.LEFT_OUT, facts, asked, staged, downloads))
    observed = {table: set(frames[table]["variable"]) for table in frames if table in reading.observations}
    vintages.write_manifest(staged, tables=made, definitions=_definitions(asked, observed))
    return rest


def scope_of(entry: Mapping[str, Any], *, raw_dir: Path) -> Scope:
    """What the reader of a catalog entry needs beside its files, from the shipped gazetteer and crosswalks."""
    # Connecticut's planning regions too: some publishers give figures of these alone
    counties = frozenset(raw.read_table(raw_dir, "crosswalks/place_county")["county_id"])
    return Scope(places=Places.load(raw_dir), counties=counties, settings=entry.get("settings", {}))


def _check_reading(reading: Reading, *, asked: Request, name: str) -> None:
    """Hold what a reader made to the contract of observations and to the catalog; every fault in one error."""
    faults = Faults(asked.source, kind=DataError)
    undeclared = sorted({*reading.observations, *reading.tables} - set(asked.settings["tables"]))
    if undeclared:
        where = f"[{asked.source}.fetch.tables] of catalog/sources.toml"
        faults.add(f"the reader makes {listed(undeclared)}, which {where} does not declare")
    for table in sorted(set(reading.observations) - set(undeclared)):
        declared = _declared(asked, table)
        nameless = sorted(set(reading.observations[table]["variable"]) - set(declared))
        if nameless and ALL_OTHERS not in declared:
            faults.add(
                f"{table}: [{asked.source}.fetch.tables.{table}.definitions] of catalog/sources.toml does not say what "
                f"{listed(nameless, limit=40)} measure; declare each, or '{ALL_OTHERS}' for all others"
            )
    for table, frame in reading.observations.items():
        try:
            validate(frame, where=f"{asked.source}/{table}")
        except DataError as error:
            faults.add(str(error))
            continue
        odd = frame[(frame["source"] != asked.source) | (frame["vintage"] != name)]
        if len(odd):
            shown = listed(sorted(set(odd["source"] + "@" + odd["vintage"])))
            faults.add(f"{table}: rows of {shown} in vintage {asked.source}@{name}")
    if not any(len(frame) for frame in {**reading.observations, **reading.tables}.values()):
        faults.add("the files hold no figure that this project can use; compare them with the publisher's page")
    for table in sorted(set(reading.tables) - set(undeclared)):
        key = list(asked.settings["tables"][table]["key"])
        if key and reading.tables[table].duplicated(key).any():
            faults.add(f"{table}: {listed(key)} do not name one row each")
    faults.raise_if_any()


def _written(
    frame: pd.DataFrame,
    table: str,
    facts: Mapping[str, Any],
    asked: Request,
    staged: Path,
    downloads: Sequence[Download],
) -> Table:
    content = csv_bytes(frame)
    (staged / f"{table}.csv").write_bytes(content)
    years = frame["year"] if "year" in frame.columns and len(frame) else pd.Series(asked.years)
    return Table(
        name=f"{asked.source}/{table}",
        path=f"{table}.csv",
        kind=facts["kind"],
        sha256=hashlib.sha256(content).hexdigest(),
        rows=len(frame),
        key=facts["key"],
        title=asked.entry["title"],
        publisher=asked.entry["publisher"],
        series=facts["series"],
        vintage=staged.name,
        licence=asked.entry["licence"],
        retrieved=max(entry.retrieved_at for entry in downloads)[:10],
        geography=", ".join(asked.geographies),
        years=(int(years.min()), int(years.max())),
        url=asked.entry["url"],
        obtained=_addresses(downloads),
    )


def _addresses(downloads: Sequence[Download]) -> str:
    """The addresses of the files, or the first and the last where there are many, and what gave them in their place."""
    urls = list(dict.fromkeys(entry.url for entry in downloads))
    shown = "; ".join(urls)
    if len(urls) > 3:
        shown = f"{urls[0]} to {urls[-1]} ({len(urls)} files, in {DOWNLOADS})"
    if any(entry.mirror == HANDED_IN for entry in downloads):
        return f"{shown}, saved by hand and handed in"
    mirrors = sorted({entry.mirror for entry in downloads if entry.mirror})
    return f"{shown}, by way of {'; '.join(mirrors)}" if mirrors else shown


def _declared(asked: Request, table: str) -> dict[str, str]:
    """What the catalog says today that the table's variables measure; `ALL_OTHERS` is one of the keys where it is."""
    described = DESCRIBED[asked.source].measured() if asked.source in DESCRIBED else {}
    return {**described, **asked.settings["tables"].get(table, {}).get("definitions", {})}


def _definitions(asked: Request, variables: Mapping[str, Collection[str]]) -> dict[str, dict[str, str]]:
    """What the variables of these tables of observations measure, as the catalog says today: those declared and these.

    A variable that nothing is said of is left out, and so is a table of such variables.
    """
    found = {}
    for table in sorted(variables):
        declared = _declared(asked, table)
        rest = declared.pop(ALL_OTHERS, None)
        others = sorted(set(variables[table]) - set(declared))
        found[table] = declared | ({} if rest is None else dict.fromkeys(others, rest))
    return {table: texts for table, texts in found.items() if texts}


def _variables(vintage: Vintage) -> dict[str, set[str]]:
    """The variables of each table of observations of a vintage; none where the table's file is gone."""
    found: dict[str, set[str]] = {}
    for table in vintage.tables:
        path = vintage.folder / table.path
        if table.kind == "observations":
            header = path.read_bytes().partition(b"\n")[0].decode("utf-8", "replace") if path.is_file() else ""
            names = {column.partition("__")[0] for column in header.split(",")} - {""}
            found[table.name.partition("/")[2]] = names - {"place_id", "year"}
    return found
