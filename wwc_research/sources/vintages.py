"""Fetched figures as vintages: `data/fetched/<source>/<vintage>/`, whole or absent, never overwritten.

In: a staged folder of a publisher's files and the tables made of them. Out: `Vintage` values, checked against hashes.
"""

from __future__ import annotations

import errno
import hashlib
import json
import os
import re
import shutil
import sys
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, BinaryIO, Final

from wwc_research.atomic import write_text
from wwc_research.errors import DataError, Faults, InputError, listed
from wwc_research.sources.download import Download
from wwc_research.sources.raw import list_tables
from wwc_research.sources.tables import DOWNLOADS, MANIFEST, Table, manifest_text

if sys.platform == "win32":
    import msvcrt
else:
    import fcntl

FILES: Final = "files"
STAGING: Final = ".staging"
_TRIES: Final = 100
_SEAL: Final = "manifest_sha256"
_NAME = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9._-]{0,62}[A-Za-z0-9])?")
_HEAD = "# Written by `wwc-research data fetch`; never edited by hand."


@dataclass(frozen=True, slots=True, kw_only=True)
class Vintage:
    """What was fetched of one source at one time.

    Attributes
    ----------
    source, name
        Name of the source and of the vintage; together they name the folder.
    folder
        Holds `files/` (the publisher's bytes), `downloads.toml`, `manifest.toml` and the tables.
    years, geographies
        What was asked for.
    downloads
        One entry a publisher's file.
    tables
        The manifest, as under `data/raw`; paths are relative to `folder`.
    definitions
        Per table: panel variable → what the figure measures. Figures of two vintages may be joined only where the
        texts are equal.
    """

    source: str
    name: str
    folder: Path
    years: tuple[int, ...]
    geographies: tuple[str, ...]
    downloads: tuple[Download, ...]
    tables: tuple[Table, ...]
    definitions: Mapping[str, Mapping[str, str]]

    @property
    def files_dir(self) -> Path:
        """The folder of the publisher's files."""
        return self.folder / FILES

    @property
    def retrieved_at(self) -> str:
        """The moment of the last download, UTC."""
        return max((download.retrieved_at for download in self.downloads), default="")


def refuse_name(name: str, *, option: str = "--vintage") -> None:
    """Raise an `InputError` if `name` cannot name a folder on every machine."""
    if _NAME.fullmatch(name) is None:
        raise InputError(
            f"{option} {name!r}: a vintage's name has letters, digits, dots, dashes and underscores, at most 64, and "
            "begins and ends with a letter or digit, as in 2026-11-23 or before-revision"
        )


# --- staging and publishing ------------------------------------------------------------------------------


def staged_folder(fetched_dir: Path, *, source: str, name: str) -> Path:
    """Where a vintage is made ready before it is published."""
    return Path(fetched_dir) / STAGING / source / name


@contextmanager
def stage(fetched_dir: Path, *, source: str, name: str) -> Iterator[Path]:
    """The folder in which a vintage is made ready, with `files/`, kept to this process while the block runs.

    What an earlier try left there is still there. The folder stays after the block unless it was published or is empty.

    Raises
    ------
    InputError
        If the vintage exists, its name cannot be used, or another process is making it.
    """
    refuse_name(name)
    folder = staged_folder(fetched_dir, source=source, name=name)
    try:
        with _held(folder.with_name(f"{name}.lock"), what=f"{source}, vintage {name}"):
            _refuse_existing(fetched_dir, source=source, name=name)
            (folder / FILES).mkdir(parents=True, exist_ok=True)
            try:
                yield folder
            finally:
                _remove_empty(folder / FILES, folder)
    finally:
        _remove_empty(folder.parent, folder.parent.parent)


def publish(staged: Path, *, fetched_dir: Path, source: str, name: str) -> Vintage:
    """The vintage that the staged folder has become, in one rename after all is on the disk.

    Raises
    ------
    InputError
        If the vintage exists by now: another process has won, and the staged folder stays.
    OSError
        If the disk refuses: the staged folder stays, and no vintage is made.
    """
    _refuse_existing(fetched_dir, source=source, name=name)
    target = Path(fetched_dir) / source / name
    target.parent.mkdir(parents=True, exist_ok=True)
    for folder, _, files in os.walk(staged, topdown=False):
        for file in files:
            _sync(Path(folder) / file)
        _sync(Path(folder))
    try:
        staged.rename(target)
    except OSError as error:
        if error.errno in (errno.ENOTEMPTY, errno.EEXIST):
            _refuse_existing(fetched_dir, source=source, name=name)
        raise
    with suppress(OSError):  # the vintage is there: what follows must not say that it is not
        _sync(target.parent)
    return load_vintage(fetched_dir, source=source, name=name)


def discard(fetched_dir: Path, *, source: str, name: str) -> int:
    """Bytes freed by removing what was staged for a vintage; published vintages stay."""
    refuse_name(name)
    folder = staged_folder(fetched_dir, source=source, name=name)
    if not folder.is_dir():
        return 0
    with _held(folder.with_name(f"{name}.lock"), what=f"{source}, vintage {name}"):
        if not folder.is_dir():  # another process was quicker
            return 0
        freed = _size(folder)
        shutil.rmtree(folder)
    _remove_empty(folder.parent, folder.parent.parent)
    return freed


def list_staged(fetched_dir: Path, *, source: str) -> dict[str, int]:
    """Bytes that lie staged of a source, by name of the vintage they were meant for; a file just begun has 0."""
    folder = Path(fetched_dir) / STAGING / source
    if not folder.is_dir():
        return {}
    held = [path for path in sorted(folder.iterdir()) if any(each.is_file() for each in path.rglob("*"))]
    return {path.name: _size(path) for path in held}


def free_name(fetched_dir: Path, *, source: str, day: str) -> str:
    """The day itself, or `<day>-2`, `-3` … where that vintage of the source exists."""
    taken = set(vintage_names(fetched_dir, source=source))
    return next(name for name in (day, *(f"{day}-{n}" for n in range(2, len(taken) + 3))) if name not in taken)


def _refuse_existing(fetched_dir: Path, *, source: str, name: str) -> None:
    target = Path(fetched_dir) / source / name
    if target.exists():
        raise InputError(
            f"{target}: this vintage exists, and vintages are never overwritten. Give another name with --vintage"
        )


@contextmanager
def _held(path: Path, *, what: str) -> Iterator[None]:
    """The lock of that file; the system releases it where the process dies."""
    file = _locked(path, what=what)
    try:
        yield
    finally:
        with suppress(OSError):  # Windows keeps open files
            path.unlink()
        file.close()


def _locked(path: Path, *, what: str) -> BinaryIO:
    while True:
        file = _opened(path)
        try:
            if sys.platform == "win32":
                msvcrt.locking(file.fileno(), msvcrt.LK_NBLCK, 1)
            else:
                fcntl.flock(file.fileno(), fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            file.close()
            if error.errno not in (errno.EAGAIN, errno.EACCES, errno.EWOULDBLOCK):
                raise
            raise InputError(
                f"{what}: another process is making it. Wait until it is done, or give another name with --vintage"
            ) from error
        # The file may have been removed by its last holder between opening and locking.
        with suppress(FileNotFoundError):
            if path.stat().st_ino == os.fstat(file.fileno()).st_ino:
                return file
        file.close()


def _opened(path: Path) -> BinaryIO:
    """The file, in its folder: another process that ends removes the folder where it finds it empty."""
    for _ in range(_TRIES):
        with suppress(FileNotFoundError, FileExistsError):
            path.parent.mkdir(parents=True, exist_ok=True)
            return path.open("ab")
    path.parent.mkdir(parents=True, exist_ok=True)
    return path.open("ab")


def _sync(path: Path) -> None:
    if path.is_dir() and sys.platform == "win32":  # folders cannot be opened there
        return
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _size(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


def _remove_empty(*folders: Path) -> None:
    for path in folders:
        with suppress(OSError):
            path.rmdir()


# --- what a vintage's own files say ----------------------------------------------------------------------


def write_downloads(
    folder: Path, *, source: str, downloads: Sequence[Download], years: Sequence[int], geographies: Sequence[str]
) -> None:
    """Write `downloads.toml`: what was asked for, and one entry a file without any key."""
    lines = [_HEAD, "", f"source = {_toml(source)}", f"years = {_toml(list(years))}"]
    lines += [f"geographies = {_toml(list(geographies))}", ""]
    for download in sorted(downloads, key=lambda entry: entry.name):
        lines.append("[[files]]")
        lines += [f"{item.name} = {_toml(getattr(download, item.name))}" for item in fields(Download)]
        lines.append("")
    write_text(folder / DOWNLOADS, "\n".join(lines))


def write_manifest(folder: Path, *, tables: Sequence[Table], definitions: Mapping[str, Mapping[str, str]]) -> None:
    """Write `manifest.toml`: the entries as under `data/raw`, and what each table's variables measure.

    Its hash is written into `downloads.toml`, which must be there, so that an edited manifest is noticed.
    """
    lines = [manifest_text(list(tables), head=_HEAD)]
    for table, texts in definitions.items():
        lines.append(f"[definitions.{_toml(table)}]")
        lines += [f"{_toml(variable)} = {_toml(text)}" for variable, text in texts.items()]
        lines.append("")
    write_text(folder / MANIFEST, "\n".join(lines))
    _seal(folder)


def _seal(folder: Path) -> None:
    """Write the manifest's hash below the head of `downloads.toml`, in place of one that stands there."""
    # not `splitlines`, which also breaks at signs that a server's word may hold
    head, *lines = (folder / DOWNLOADS).read_text(encoding="utf-8").split("\n")
    rest = [line for line in lines if not line.startswith(f"{_SEAL} = ")]
    seal = f"{_SEAL} = {_toml(sha256_of(folder / MANIFEST))}"
    write_text(folder / DOWNLOADS, "\n".join([head, *rest[:1], seal, *rest[1:]]))


def read_downloads(folder: Path, *, way_out: str) -> tuple[tuple[Download, ...], tuple[int, ...], tuple[str, ...]]:
    """The entries of `downloads.toml`, and the years and geographies that were asked for."""
    path = folder / DOWNLOADS
    content = _toml_of(path, way_out=way_out)
    entries = content.get("files", [])
    years, geographies = content.get("years", []), content.get("geographies", [])
    faults = Faults(str(path), kind=DataError)
    if not isinstance(years, list) or not all(isinstance(year, int) for year in years):
        faults.add(f"years are {years!r}; a list of whole numbers is expected. {way_out}")
    if not isinstance(geographies, list) or not all(isinstance(word, str) for word in geographies):
        faults.add(f"geographies are {geographies!r}; a list of words is expected. {way_out}")
    if not isinstance(entries, list) or not entries or not all(isinstance(entry, dict) for entry in entries):
        faults.add(f"names no file. {way_out}")
        entries = []
    wanted = {item.name for item in fields(Download)}
    for number, entry in enumerate(entries, start=1):
        if set(entry) != wanted:
            odd = sorted(wanted ^ set(entry))
            faults.add(f"entry {number} ({entry.get('name', '?')}): missing or unknown fields {listed(odd)}. {way_out}")
            continue
        wrong = sorted(name for name, value in entry.items() if type(value) is not (int if name == "bytes" else str))
        if wrong:
            faults.add(f"entry {number} ({entry['name']}): {listed(wrong)} of a wrong type. {way_out}")
        elif Path(entry["name"]).name != entry["name"]:
            faults.add(f"entry {number}: {entry['name']!r} is no plain file name. {way_out}")
    faults.raise_if_any()
    return tuple(Download(**entry) for entry in entries), tuple(years), tuple(geographies)


def vintage_names(fetched_dir: Path, *, source: str) -> list[str]:
    """Names of a source's published vintages, sorted."""
    folder = Path(fetched_dir) / source
    if not folder.is_dir():
        return []
    return sorted(path.name for path in folder.iterdir() if path.is_dir() and not path.name.startswith("."))


def list_vintages(fetched_dir: Path, *, source: str | None = None) -> list[Vintage]:
    """The published vintages, of one source or of all, by source and moment of retrieval.

    Raises
    ------
    DataError
        If any is damaged: all of them in one message.
    """
    fetched_dir = Path(fetched_dir)
    if source is not None:
        sources = [source]
    elif fetched_dir.is_dir():
        sources = sorted(path.name for path in fetched_dir.iterdir() if path.is_dir() and path.name != STAGING)
    else:
        sources = []
    faults = Faults(str(fetched_dir), kind=DataError)
    found = []
    for each in sources:
        for name in vintage_names(fetched_dir, source=each):
            try:
                found.append(load_vintage(fetched_dir, source=each, name=name))
            except DataError as error:
                faults.add(str(error))
    faults.raise_if_any()
    return sorted(found, key=_moment)


def _moment(vintage: Vintage) -> tuple[str, str, int, str]:
    # two may be of one second
    written = (vintage.folder / MANIFEST).stat().st_mtime_ns
    return vintage.source, vintage.retrieved_at, written, vintage.name


def load_vintage(fetched_dir: Path, *, source: str, name: str) -> Vintage:
    """A published vintage as its `downloads.toml` and `manifest.toml` describe it.

    The manifest is held against its hash in `downloads.toml`; the hashes of files and tables are left to `verify`.

    Raises
    ------
    InputError
        If there is no such vintage; the message lists those that exist.
    DataError
        If one of the two files is missing or damaged, or the manifest was edited.
    """
    folder = Path(fetched_dir) / source / name
    if name not in vintage_names(fetched_dir, source=source):
        known = vintage_names(fetched_dir, source=source)
        rest = f"there are {listed(known, limit=20)}" if known else "nothing was fetched of it yet"
        raise InputError(f"{source}: no vintage '{name}' under {fetched_dir}; {rest}")
    way_out = _way_out(folder)
    downloads, years, geographies = read_downloads(folder, way_out=way_out)
    if not (folder / MANIFEST).is_file():
        raise DataError(f"{folder / MANIFEST}: the file is missing. {way_out}")
    tables = list_tables(folder, way_out=way_out)
    definitions = _toml_of(folder / MANIFEST, way_out=way_out).get("definitions", {})
    if not all(isinstance(d, dict) and all(isinstance(t, str) for t in d.values()) for d in definitions.values()):
        raise DataError(f"{folder / MANIFEST}: the definitions are damaged. {way_out}")
    if fault := _edited_manifest(folder, way_out=way_out):
        raise DataError(fault)
    return Vintage(
        source=source,
        name=name,
        folder=folder,
        years=years,
        geographies=geographies,
        downloads=downloads,
        tables=tuple(tables),
        definitions=definitions,
    )


def _edited_manifest(folder: Path, *, way_out: str) -> str:
    """What is wrong if the manifest is not the one that was written beside `downloads.toml`; '' if it is."""
    written = _toml_of(folder / DOWNLOADS, way_out=way_out).get(_SEAL)
    if not isinstance(written, str):
        return f"{folder / DOWNLOADS}: holds no {_SEAL}, the hash of {MANIFEST}. {way_out}"
    if not (folder / MANIFEST).is_file():
        return f"{folder / MANIFEST}: the file is missing. {way_out}"
    found = sha256_of(folder / MANIFEST)
    if found == written:
        return ""
    return _changed(folder / MANIFEST, found=found, expected=written, way_out=way_out)


def _changed(path: Path, *, found: str, expected: str, way_out: str) -> str:
    return (
        f"{path}: the file has changed since it was fetched (sha256 {found[:12]}…, expected {expected[:12]}…). "
        f"Fetched figures are never edited by hand. {way_out}"
    )


def verify(vintage: Vintage) -> None:
    """Raise one `DataError` with every file of the vintage that is missing, changed or not in its lists."""
    faults = Faults(f"{vintage.source}, vintage {vintage.name}", kind=DataError)
    way_out = _way_out(vintage.folder)
    known = [(vintage.files_dir / download.name, download.sha256) for download in vintage.downloads]
    known += [(vintage.folder / table.path, table.sha256) for table in vintage.tables]
    for path, sha256 in known:
        if not path.is_file():
            faults.add(f"{path}: the file is missing. {way_out}")
            continue
        found = sha256_of(path)
        if found != sha256:
            faults.add(_changed(path, found=found, expected=sha256, way_out=way_out))
    if fault := _edited_manifest(vintage.folder, way_out=way_out):
        faults.add(fault)
    paths = {path for path, _ in known} | {vintage.folder / DOWNLOADS, vintage.folder / MANIFEST}
    for path in sorted(vintage.folder.rglob("*")):
        if path.is_file() and path not in paths:
            faults.add(f"{path}: is in no list of the vintage; remove the file")
    faults.raise_if_any()


def sha256_of(path: Path) -> str:
    """The file's hash, read in pieces."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _way_out(folder: Path) -> str:
    return f"Remove the folder {folder} and fetch again, or restore it from a copy"


def _toml_of(path: Path, *, way_out: str) -> dict[str, Any]:
    if not path.is_file():
        raise DataError(f"{path}: the file is missing. {way_out}")
    try:
        return tomllib.loads(path.read_bytes().decode("utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise DataError(f"{path}: cannot be read as TOML: {error}. {way_out}") from error


def _toml(value: str | int | list[str] | list[int]) -> str:
    """The value as TOML: JSON without surrogate pairs and bare control characters, which TOML refuses."""
    text = json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")
    return text.encode("utf-8", "replace").decode()
