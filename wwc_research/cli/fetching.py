"""`data`: the shipped tables and the fetched vintages: what there is, whether it is as it should be, and fresh ones."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final, TextIO

import typer

from wwc_research.cli.app import Commands, Root, app, names_in, project_root, refuse_unwritable, write_whole
from wwc_research.cli.progress import StatusLine, in_words
from wwc_research.errors import DataError, Faults, InputError, listed

if TYPE_CHECKING:
    from wwc_research.sources.expectations import Finding
    from wwc_research.sources.fetch import Fetched
    from wwc_research.sources.vintages import Vintage

data = typer.Typer(
    cls=Commands, no_args_is_help=True, rich_markup_mode=None, help="The figures: list, check, fetch, compare, compile."
)
app.add_typer(data, name="data")

_TRUSTED: Final = (2.0, 1 << 20)  # seconds and bytes of a file before a time is announced
_MOST_YEARS: Final = 200


@data.command("list")
def data_list(root: Root = None) -> None:
    """The tables that ship and those that were fetched: rows, years, vintage, publisher, licence.

    \b
    Example:
      wwc-research data list
    """
    from wwc_research.sources import raw, vintages

    folder = project_root(root) / "data"
    for table in raw.list_tables(folder / "raw"):
        typer.echo(f"{table.name}: {table.rows:,} rows, {table.years[0]}-{table.years[1]}, vintage {table.vintage}")
        typer.echo(f"    {table.publisher}. {table.series}. {table.licence}")
    held = vintages.list_vintages(folder / "fetched")
    for vintage in held:
        size = sum(download.bytes for download in vintage.downloads)
        asked = f"{_spans(vintage.years)}; {listed(vintage.geographies, limit=60)}"
        typer.echo(f"{vintage.source}@{vintage.name}: fetched {vintage.retrieved_at}, {_megabytes(size)}, {asked}")
        for table in vintage.tables:
            typer.echo(f"    {table.name}: {table.rows:,} rows, {table.years[0]}-{table.years[1]}. {table.series}")
    if not held:
        typer.echo("Nothing was fetched yet: `wwc-research data sources` says what can be.")


@data.command("sources")
def data_sources() -> None:
    """What can be fetched from its publisher: years, geographies, key, address, licence.

    \b
    Example:
      wwc-research data sources
    """
    from wwc_research.sources import fetch

    for source, entry in fetch.fetch_settings().items():
        settings = entry["fetch"]
        first, last = settings["years"]
        by_hand = source in fetch.SAVED_BY_HAND
        default = "those of the files" if by_hand else _spans(fetch.default_years(settings))
        typer.echo(f"{source}: {entry['title']}")
        typer.echo(f"    years {first}-{last} (if none are named: {default})")
        for year, reason in fetch.missing_years(settings).items():
            typer.echo(f"    not {year}: {reason}")
        words = listed(fetch.offered(settings["geographies"]), limit=20)
        typer.echo(f"    geography {words} (if none is named: {listed(settings['default_geographies'], limit=9)})")
        for variable, wanting in fetch.keys_by_geography(source).items():
            typer.echo(f"    {listed(wanting, limit=9)}: with a key in the environment variable {variable}")
        if by_hand:
            typer.echo(f"    with --files alone: {settings['how']}")
        typer.echo(f"    {entry['publisher']}. {entry['licence']}")
        typer.echo(f"    {entry['url']}")


@data.command("fetch")
def data_fetch(
    source: Annotated[str, typer.Argument(metavar="SOURCE", help="As `data sources` names it.")],
    years: Annotated[
        str | None, typer.Option(metavar="YEARS", help="As in 2019-2023,2024 (default: see `data sources`).")
    ] = None,
    geography: Annotated[
        str | None, typer.Option(metavar="WORDS", help="As in place,county or state:WA (default: see `data sources`).")
    ] = None,
    vintage: Annotated[
        str | None, typer.Option(metavar="NAME", help="Name of the new vintage (default: the day).")
    ] = None,
    mirror: Annotated[
        str | None, typer.Option(metavar="URL", help="Address that stands in for scheme and host of the publisher.")
    ] = None,
    files: Annotated[
        Path | None,
        typer.Option(metavar="DIR", help="Take the publisher's files from there, where they were saved by hand."),
    ] = None,
    contact: Annotated[
        str | None,
        typer.Option(metavar="EMAIL", help="Told to the publisher, which may want it (default: WWC_RESEARCH_CONTACT)."),
    ] = None,
    discard: Annotated[
        bool, typer.Option("--discard", help="Remove what earlier tries have left unfinished, and stop.")
    ] = False,
    root: Root = None,
) -> None:
    """Fetch fresh figures from their publisher into a new vintage, data/fetched/SOURCE/VINTAGE.

    Figures that are there already stay as they are, and the panel keeps the shipped ones until a plan names the vintage
    under [figures]. After a failure the same command goes on where it stopped. The exit status is 0 where a vintage
    was made or the publisher has nothing new, 1 where the fetch failed, and 2 where the command cannot be used so.

    With --files nobody is asked for anything, and no key is needed: the files are copied from DIR, which stays as it
    is. Where some are missing, the error gives the name and the address of each.

    A key comes from an environment variable alone (`data sources` names it) and is never written down.

    \b
    Examples:
      wwc-research data fetch epa_aqi --years 2019-2024
      wwc-research data fetch bls_laus --contact me@example.org
      wwc-research data fetch acs_pums --years 2023 --geography state:WA
      wwc-research data fetch fbi_offenses --files saved
    """
    from wwc_research.sources import fetch

    folder = project_root(root) / "data"
    if discard:
        _discard(source, folder / "fetched", vintage)
        return
    chosen = None if years is None else years_in(years)
    words = None if geography is None else names_in(geography)
    shown = Transfers()
    try:
        found = fetch.fetch(
            source,
            data_dir=folder,
            years=chosen,
            geographies=words,
            vintage=vintage,
            mirror=mirror,
            files=files,
            contact=contact,
            watcher=shown,
        )
    finally:
        shown.clear()
    _tell(found, folder)


@data.command("check")
def data_check(
    draft: Annotated[
        bool, typer.Option("--draft", help="Print a new catalog/expectations.toml for these figures, and stop.")
    ] = False,
    draft_diff: Annotated[
        bool, typer.Option("--draft-diff", help="Print what that draft would change, as a diff, and stop.")
    ] = False,
    root: Root = None,
) -> None:
    """Hold every table to its hash and keys, and to what the figures are expected to look like; all faults at once.

    The exit status is 0 where everything is as it should be or has merely moved, 1 where a figure cannot be right, and
    2 where a file is not what its manifest says.

    \b
    Examples:
      wwc-research data check
      wwc-research data check --draft-diff
    """
    from wwc_research.sources import expectation_draft, expectations, vintages

    folder = project_root(root) / "data"
    if draft or draft_diff:
        made = expectation_draft.draft if draft else expectation_draft.draft_diff
        typer.echo(made(folder / "raw", fetched_dir=folder / "fetched"), nl=False)
        return
    tables, findings = expectations.check_shipped(folder / "raw")
    typer.echo(f"{len(tables)} tables, {sum(table.rows for table in tables):,} rows: as the manifest says.")
    held = vintages.list_vintages(folder / "fetched")
    _verify(held, folder / "fetched")
    if held:
        typer.echo(f"{len(held)} fetched {'vintage' if len(held) == 1 else 'vintages'}: as when fetched.")
        findings += expectations.check_fetched(folder)
    for finding in findings:
        typer.echo(finding.line)
    wrong = sum(finding.severity == "error" for finding in findings)
    if findings:
        typer.echo(f"{wrong} cannot be right, {len(findings) - wrong} moved.")
    if wrong:
        raise typer.Exit(1)


@data.command("diff")
def data_diff(
    old: Annotated[str, typer.Argument(metavar="OLD", help="A vintage, as in epa_aqi@2022.")],
    new: Annotated[str, typer.Argument(metavar="NEW", help="Another one of the same series, as in epa_aqi@2026.")],
    variables: Annotated[
        str | None, typer.Option(metavar="NAMES", help="Compare these alone, separated by commas.")
    ] = None,
    csv_path: Annotated[
        Path | None, typer.Option("--csv", metavar="OUT", help="Write one row a variable and year there.")
    ] = None,
    root: Root = None,
) -> None:
    """What the publisher changed between two vintages, shipped or fetched: revised, re-scored, appeared, vanished.

    \b
    Examples:
      wwc-research data diff epa_aqi@2022 epa_aqi@2026
      wwc-research data diff epa_aqi@2026 epa_aqi@2026-11-23 --csv revisions.csv
    """
    from wwc_research.sources import revisions

    folder = project_root(root) / "data"
    refuse_unwritable(csv_path, source=folder / "raw" / "manifest.toml", option="--csv")
    chosen = None if variables is None else names_in(variables)
    found = revisions.diff(old, new, data_dir=folder, variables=chosen)
    if csv_path is not None:
        write_whole(found.to_csv(), path=csv_path, option="--csv")
    typer.echo("\n".join(str(line) for line in found.lines))


@data.command("compile")
def data_compile(
    publishers: Annotated[Path, typer.Argument(metavar="DIR", help="Folder of the publishers' files.")],
    root: Root = None,
) -> None:
    """Read the publishers' files and write the compact tables of data/raw anew, with their manifest.

    \b
    Example:
      wwc-research data compile ../publishers
    """
    from wwc_research.sources import raw

    written = raw.compile_all(
        publishers, project_root(root) / "data" / "raw", progress=lambda name: typer.echo(f"reading {name}", err=True)
    )
    typer.echo(f"{len(written)} tables written to data/raw.")


def years_in(text: str) -> list[int]:
    """The years of a text such as `2019-2023,2024`; an `InputError` with every part that is no year or span."""
    faults = Faults(f"--years {text!r}")
    found: set[int] = set()
    for part in names_in(text):
        ends = re.fullmatch(r"(\d{4})(?:\s*-\s*(\d{4}))?", part, flags=re.ASCII)
        if ends is None:
            faults.add(f"{part!r} is no year and no span of years, as in 2019-2023,2024")
            continue
        first, last = int(ends[1]), int(ends[2] or ends[1])
        if not first <= last < first + _MOST_YEARS:
            faults.add(f"{part!r} runs from {first} to {last}; give the earlier year first")
            continue
        found |= set(range(first, last + 1))
    faults.raise_if_any()
    return sorted(found)


def _discard(source: str, fetched_dir: Path, vintage: str | None) -> None:
    from wwc_research.sources import fetch, vintages

    if source not in fetch.FETCHED:
        raise InputError(f"'{source}' cannot be fetched; there are {listed(fetch.FETCHED, limit=40)}")
    staged = vintages.list_staged(fetched_dir, source=source)
    names = [vintage] if vintage else list(staged)
    freed = sum(vintages.discard(fetched_dir, source=source, name=name) for name in names)
    if any(name in staged for name in names):
        typer.echo(f"{source}: {_megabytes(freed)} of unfinished downloads removed. Vintages stay as they are.")
    else:
        typer.echo(f"{source}: no unfinished download lies here.")


def _verify(held: Sequence[Vintage], fetched_dir: Path) -> None:
    from wwc_research.sources import vintages

    faults = Faults(str(fetched_dir), kind=DataError)
    for vintage in held:
        try:
            vintages.verify(vintage)
        except DataError as error:
            faults.add(str(error))
    faults.raise_if_any()


def _tell(found: Fetched, folder: Path) -> None:
    """What a fetch came to, and what is not as expected in the new figures."""
    from wwc_research import catalog
    from wwc_research.sources.handed_in import HANDED_IN

    vintage = found.vintage
    name = f"{vintage.source}@{vintage.name}"
    if not found.is_new:
        typer.echo(f"{vintage.source}: nothing new since {vintage.name}, fetched {vintage.retrieved_at}.")
        return
    rows = sum(table.rows for table in vintage.tables if table.kind == "observations")
    way = "handed in" if any(entry.mirror == HANDED_IN for entry in vintage.downloads) else "sent"
    sent = f"{found.files_sent} of {len(vintage.downloads)} files {way} ({_megabytes(found.bytes_sent)})"
    typer.echo(f"{name}, {_spans(vintage.years)}: {sent}, {rows:,} rows of figures, in {vintage.folder}")
    if len(found.left_out):
        typer.echo(f"    {int(found.left_out['rows'].sum()):,} rows were left out; left_out.csv says which and why.")
    columns = [column.name for column in catalog.variables().values() if column.source == vintage.source]
    if columns:
        typer.echo(f'    To use it, name it in a plan under [figures], as in {columns[0]} = ["{name}"]')
    findings = _findings(vintage, folder)
    moved = sum(finding.severity == "moved" for finding in findings)
    for finding in findings:
        if finding.severity == "error":
            typer.echo(finding.line, err=True)
    if moved:
        typer.echo(f"    {moved} things moved since the vintage before: `wwc-research data check` says which.")


def _findings(vintage: Vintage, folder: Path) -> tuple[Finding, ...]:
    """What is not as expected in this vintage, and what moved since the one before it."""
    from wwc_research.sources import expectations, revisions

    held = revisions.held_vintages(folder)
    for position, item in enumerate(held):
        if (item.source, item.vintage, item.origin) == (vintage.source, vintage.name, "fetched"):
            earlier = [other for other in held[:position] if other.source == item.source]
            return expectations.check_vintage(item, earlier=earlier)
    return ()  # tables without figures of places and years


class Transfers(StatusLine):
    """How far a fetch is."""

    def __init__(self, *, stream: TextIO | None = None, clock: Callable[[], float] = time.monotonic) -> None:
        super().__init__(stream=stream, clock=clock)
        self._place = ""
        self._began: tuple[float, int] | None = None

    def file(self, name: str, *, number: int, count: int) -> None:
        """The file that comes next."""
        self._place = f"{number} of {count} files: {name}"
        self._began = None
        self._show(self._place)

    def transferred(self, name: str, done: int, total: int | None) -> None:
        """Bytes of the file that are here, and all of them where that is known."""
        if self._began is None:  # what an earlier try has left tells nothing of the speed
            self._began = (self._clock(), done)
        said = [
            self._place or name,
            _megabytes(done) if total is None else f"{_megabytes(done)} of {_megabytes(total)}",
        ]
        seconds, got = self._clock() - self._began[0], done - self._began[1]
        if total is not None and done < total and seconds >= _TRUSTED[0] and got >= _TRUSTED[1]:
            said.append(f"about {in_words(seconds * (total - done) / got)} left")
        self._show(", ".join(said))


def _megabytes(size: int) -> str:
    return f"{size / 1e6:,.1f} MB" if size >= 50_000 else f"{size:,} bytes"


def _spans(years: Sequence[int]) -> str:
    """Years in short: `2016-2019, 2021`."""
    runs: list[list[int]] = []
    for year in sorted(years):
        if runs and runs[-1][1] == year - 1:
            runs[-1][1] = year
        else:
            runs.append([year, year])
    return ", ".join(str(first) if first == last else f"{first}-{last}" for first, last in runs)


__all__: Final[list[Any]] = ["Transfers", "data", "years_in"]
