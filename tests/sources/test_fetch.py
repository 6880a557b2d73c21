from __future__ import annotations

import errno
import hashlib
import logging
import re
import shutil
import tempfile
from collections.abc import Callable, Iterator
from copy import deepcopy
from dataclasses import replace
from pathlib import Path
from typing import Any
from urllib.parse import urlencode, urlsplit

import pandas as pd
import pytest

from tests.sources.publisher_server import (
    Given,
    PublisherServer,
    cut,
    dripped,
    gzip_bomb,
    nothing,
    page,
    redirected,
    refused,
    reset,
    stalled,
    wants_contact,
    wants_key,
    whole,
    zip_bomb,
    zip_of,
)
from tests.sources.test_acs_pums import NEET, csv_text, person
from tests.sources.test_acs_tables import BROADBAND, summary_text
from tests.sources.test_bls_laus import one_line, write_book
from tests.sources.test_census_population import lines
from tests.sources.test_epa_monitors import pm25, text_of
from tests.sources.test_fars import ALABAMA, ELSEWHERE, TOWN
from tests.sources.test_fars import put as put_crashes
from tests.sources.test_fbi_offenses import CITIES, sheet
from tests.sources.test_fbi_offenses import put as put_table
from tests.sources.test_gazetteer_files import COUNTIES, COUNTY_HEAD, PLACE_HEAD, PLACES
from wwc_research.errors import DataError, InputError, WwcError
from wwc_research.sources import acs_definitions, acs_tables, bls_laus, raw, vintages
from wwc_research.sources import fetch as fetching
from wwc_research.sources.download import Client
from wwc_research.sources.fetch import FETCHED, SAVED_BY_HAND, Fetched, FetchError, fetch, request
from wwc_research.sources.handed_in import HANDED_IN
from wwc_research.sources.places import Places, Scope
from wwc_research.sources.retrieval import Remote

HEADER = (
    '"State","County","Year","Days with AQI","Good Days","Moderate Days","Unhealthy for Sensitive Groups Days",'
    '"Unhealthy Days","Very Unhealthy Days","Hazardous Days","Max AQI","90th Percentile AQI","Median AQI",'
    '"Days CO","Days NO2","Days Ozone","Days PM2.5","Days PM10"\n'
)
WAYNE = '"Michigan","Wayne",{year},365,200,150,10,3,1,1,301,90,45,0,5,200,160,0\n'
CITY = '"Maryland","Baltimore (City)",{year},350,300,40,10,0,0,0,120,80,40,0,0,0,350,0\n'
UNFINISHED = '"Michigan","Wayne",{year},265,100,150,10,3,1,1,301,90,45,0,5,100,160,0\n'
DONA_ANA = '"New Mexico","Doña Ana",{year},365,300,55,10,0,0,0,120,80,40,0,0,0,365,0\n'


def aqi_text(year: int, *, header: str = HEADER, rows: str = WAYNE + CITY) -> str:
    return header + rows.format(year=year)


def aqi_zip(year: int, text: str | bytes | None = None) -> bytes:
    return zip_of({f"annual_aqi_by_county_{year}.csv": aqi_text(year) if text is None else text})


def aqi_path(year: int) -> str:
    return f"/aqsweb/airdata/annual_aqi_by_county_{year}.zip"


@pytest.fixture(scope="session")
def catalog() -> dict[str, Any]:
    return raw.load_sources()


@pytest.fixture(scope="session")
def read_once(places: Places, raw_dir: Path) -> Callable[..., Scope]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Places, "load", lambda folder: places)
        scope = fetching.scope_of({}, raw_dir=raw_dir)
    return lambda entry, *, raw_dir: replace(scope, settings=entry.get("settings", {}))


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch, catalog: dict[str, Any], read_once: Callable[..., Scope]) -> None:
    """Catalog and gazetteer are read once for all tests; no key or contact of this machine is known to them."""
    monkeypatch.setattr(raw, "load_sources", lambda: catalog)
    monkeypatch.setattr(fetching, "scope_of", read_once)
    for variable in ("CENSUS_API_KEY", "WWC_RESEARCH_CONTACT"):
        monkeypatch.delenv(variable, raising=False)


@pytest.fixture
def server() -> Iterator[PublisherServer]:
    with PublisherServer() as running:
        yield running


@pytest.fixture
def data_dir(tmp_path: Path, raw_dir: Path) -> Path:
    folder = tmp_path / "data"
    folder.mkdir()
    (folder / "raw").symlink_to(raw_dir)
    return folder


def hurried(**options: Any) -> Client:
    """A client that neither waits nor asks a silent server for long."""
    return Client(**{**options, "per_second": 1e6, "read_timeout": 0.2, "sleep": lambda seconds: None})


@pytest.fixture
def get(server: PublisherServer, data_dir: Path) -> Callable[..., Fetched]:
    def got(source: str = "epa_aqi", **options: Any) -> Fetched:
        return fetch(source, data_dir=data_dir, mirror=server.url, connect=hurried, **options)

    return got


@pytest.fixture(scope="session")
def first_vintage(tmp_path_factory: pytest.TempPathFactory, raw_dir: Path, read_once: Callable[..., Scope]) -> Path:
    """A folder `fetched` with one vintage of the air-quality index, from an address that all servers below bear."""
    folder = tmp_path_factory.mktemp("first")
    (folder / "raw").symlink_to(raw_dir)
    with PublisherServer() as running, pytest.MonkeyPatch.context() as patch:
        patch.setattr(fetching, "scope_of", read_once)
        running.serve(aqi_path(2023), aqi_zip(2023))
        fetch("epa_aqi", data_dir=folder, years=[2023], vintage="before", mirror=running.url, connect=hurried)
        path = folder / "fetched" / "epa_aqi" / "before" / "downloads.toml"
        path.write_text(path.read_text().replace(running.url, "http://127.0.0.1:0"))
    return folder / "fetched"


@pytest.fixture
def one_vintage(server: PublisherServer, data_dir: Path, first_vintage: Path) -> vintages.Vintage:
    server.serve(aqi_path(2023), aqi_zip(2023))
    shutil.copytree(first_vintage, data_dir / "fetched")
    path = data_dir / "fetched" / "epa_aqi" / "before" / "downloads.toml"
    path.write_text(path.read_text().replace("http://127.0.0.1:0", server.url))
    return vintages.load_vintage(data_dir / "fetched", source="epa_aqi", name="before")


def hashes(*folders: Path) -> dict[str, str]:
    """What every file of the folders hashes to, by path."""
    files = [path for folder in folders for path in folder.rglob("*") if path.is_file()]
    return {str(path): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


def everything_in(folder: Path) -> bytes:
    return b"\n".join(str(path).encode() + path.read_bytes() for path in folder.rglob("*") if path.is_file())


# --- a good publisher ------------------------------------------------------------------------------------


def test_a_fetch_makes_a_vintage_that_the_readers_of_shipped_tables_read(server, get, data_dir):
    for year in (2022, 2023):
        server.serve(aqi_path(year), aqi_zip(year))
    found = get(years=[2023, 2022], vintage="first")
    vintage = found.vintage
    assert (found.is_new, found.files_sent) == (True, 2)
    assert vintage.folder == data_dir / "fetched" / "epa_aqi" / "first"
    assert (vintage.years, vintage.geographies) == ((2022, 2023), ("county",))
    for year, download in zip((2022, 2023), vintage.downloads, strict=True):
        assert (vintage.files_dir / download.name).read_bytes() == aqi_zip(year)
        assert download.url == f"https://aqs.epa.gov{aqi_path(year)}"
        assert download.mirror == server.url
    vintages.verify(vintage)
    frame = raw.read_observations(vintage.folder, corrected=False)
    shares = frame[frame["variable"] == "aqi_good_share"].set_index(["place_id", "year"])["value"]
    assert shares["26163", 2023] == pytest.approx(200 / 365, abs=1e-6)
    assert shares["24510", 2022] == pytest.approx(300 / 350, abs=1e-6)
    assert set(frame["vintage"]) == {"first"}
    [table] = [table for table in vintage.tables if table.kind == "observations"]
    assert (table.name, table.years, table.retrieved) == ("epa_aqi/counties", (2022, 2023), vintage.retrieved_at[:10])
    assert table.obtained == "; ".join(entry.url for entry in vintage.downloads) + f", by way of {server.url}"
    assert vintage.definitions["counties"]["aqi_good_share"].endswith("breakpoints of May 2024")


def test_nothing_new_makes_no_vintage_and_sends_nothing(server, get, data_dir, one_vintage):
    before = hashes(data_dir)
    found = get(years=[2023])
    assert (found.is_new, found.files_sent, found.vintage.name) == (False, 0, "before")
    assert server.requests[-1].headers["if-none-match"]
    assert hashes(data_dir) == before
    assert not (data_dir / "fetched" / ".staging").exists()


def test_the_same_file_without_a_validator_is_nothing_new_either(server, get, data_dir):
    bare = whole(aqi_zip(2023), headers={"ETag": None, "Last-Modified": None})
    server.serve(aqi_path(2023), bare)
    get(years=[2023], vintage="before")
    found = get(years=[2023])
    assert (found.is_new, found.files_sent) == (False, 1)
    assert [path.name for path in (data_dir / "fetched" / "epa_aqi").iterdir()] == ["before"]


def test_a_named_vintage_is_made_though_nothing_is_new(get, one_vintage):
    found = get(years=[2023], vintage="again")
    assert (found.is_new, found.files_sent) == (True, 0)
    assert found.vintage.downloads[0].sha256 == one_vintage.downloads[0].sha256
    vintages.verify(found.vintage)


def test_a_changed_file_makes_a_vintage_beside_the_old_one(server, get, data_dir, one_vintage):
    before = hashes(one_vintage.folder)
    server.serve(aqi_path(2023), aqi_zip(2023, aqi_text(2023, rows=WAYNE.replace(",45,", ",47,") + CITY)))
    found = get(years=[2023])
    assert re.fullmatch(r"\d{4}-\d\d-\d\d", found.vintage.name)
    assert hashes(one_vintage.folder) == before
    held = vintages.list_vintages(data_dir / "fetched", source="epa_aqi")
    assert [vintage.name for vintage in held] == ["before", found.vintage.name]


def test_other_years_make_a_vintage_and_unchanged_files_are_not_sent_again(server, get, one_vintage):
    server.serve(aqi_path(2022), aqi_zip(2022))
    found = get(years=[2022, 2023])
    assert (found.is_new, found.files_sent, len(found.vintage.downloads)) == (True, 1, 2)
    vintages.verify(found.vintage)


def test_a_changed_definition_makes_a_vintage_though_the_files_are_the_same(get, monkeypatch, catalog, one_vintage):
    other = deepcopy(catalog)
    other["epa_aqi"]["fetch"]["tables"]["counties"]["definitions"]["aqi_good_share"] = "something else"
    monkeypatch.setattr(raw, "load_sources", lambda: other)
    found = get(years=[2023])
    assert found.is_new
    assert found.vintage.definitions["counties"]["aqi_good_share"] == "something else"


def test_a_vintage_whose_copy_was_edited_is_not_taken_for_the_publishers(server, get, one_vintage):
    copy = one_vintage.files_dir / one_vintage.downloads[0].name
    copy.write_bytes(aqi_zip(2023, aqi_text(2023, rows=CITY)))
    found = get(years=[2023], vintage="after")
    assert "if-none-match" not in server.requests[-1].headers
    assert (found.vintage.files_dir / copy.name).read_bytes() == aqi_zip(2023)


def test_what_came_from_a_mirror_is_not_taken_for_the_publishers(server, get, data_dir, one_vintage):
    with PublisherServer() as other:
        other.serve(aqi_path(2023), aqi_zip(2023))
        found = fetch("epa_aqi", data_dir=data_dir, years=[2023], vintage="after", mirror=other.url, connect=hurried)
        assert "if-none-match" not in other.requests[-1].headers
    assert found.vintage.downloads[0].mirror == other.url


# --- a publisher that misbehaves -------------------------------------------------------------------------

WAYNES_SHARE = pytest.approx(200 / 365, abs=1e-6)


def recovered() -> dict[str, Callable[[int], list[Given]]]:
    """Answers that end well, by what the publisher does; each is given a year of its own."""

    def text(year: int, **parts: str) -> str:
        return aqi_text(year, **parts)

    spanish = WAYNE + CITY + DONA_ANA
    return {
        "429 with Retry-After": lambda year: [refused(429, retry_after="2"), aqi_zip(year)],
        "503": lambda year: [refused(503), refused(503), aqi_zip(year)],
        "slow": lambda year: [dripped(aqi_zip(year), piece=200, pause=0.001)],
        "cut off": lambda year: [cut(aqi_zip(year), after=100), aqi_zip(year)],
        "reset": lambda year: [reset(aqi_zip(year), after=100), aqi_zip(year)],
        "silent": lambda year: [stalled(aqi_zip(year), after=100), aqi_zip(year)],
        "redirect": lambda year: [redirected(f"/moved/{year}.zip")],
        "extra column": lambda year: [
            aqi_zip(year, text(year, header="Remark," + HEADER, rows="x," + WAYNE + "y," + CITY))
        ],
        "byte-order mark": lambda year: [aqi_zip(year, b"\xef\xbb\xbf" + text(year).encode())],
        "Latin-1": lambda year: [aqi_zip(year, text(year, rows=spanish).encode("latin-1"))],
        "UTF-8": lambda year: [aqi_zip(year, text(year, rows=spanish).encode())],
        "UTF-16": lambda year: [aqi_zip(year, text(year, rows=spanish).encode("utf-16"))],
        "Windows line ends": lambda year: [aqi_zip(year, text(year).replace("\n", "\r\n"))],
    }  # fmt: skip


def test_a_publisher_in_trouble_is_waited_for_and_harmless_oddities_are_read(
    server, get, data_dir, one_vintage, raw_dir
):
    before = hashes(raw_dir, one_vintage.folder)
    years = {}
    for year, (behaviour, answers) in enumerate(recovered().items(), start=2006):
        server.serve(aqi_path(year), *answers(year))
        server.serve(f"/moved/{year}.zip", aqi_zip(year))
        years[year] = behaviour
    vintage = get(years=list(years), vintage="after").vintage
    vintages.verify(vintage)
    frame = raw.read_observations(vintage.folder, corrected=False)
    good = frame[frame["variable"] == "aqi_good_share"]
    shares = good[good["place_id"] == "26163"].set_index("year")["value"]
    assert {behaviour: shares.get(year) for year, behaviour in years.items()} == dict.fromkeys(
        years.values(), WAYNES_SHARE
    )
    accented = {years[year] for year in good.loc[good["place_id"] == "35013", "year"]}
    assert accented == {"Latin-1", "UTF-8", "UTF-16"}
    assert hashes(raw_dir, one_vintage.folder) == before
    assert not (data_dir / "fetched" / ".staging").exists()


GOOD = aqi_zip(2024)
FAILED: dict[str, tuple[list[Given], str]] = {
    "429 without end": ([refused(429, retry_after="1")], "given up after 5 attempts.*429"),
    "429 for a day": ([refused(429, retry_after="86400")], "asks to come back in 86,400 seconds"),
    "503 without end": ([refused(503)], "given up after 5 attempts.*503"),
    "cut off without end": ([cut(GOOD, after=40)], "given up after 5 attempts"),
    "silent without end": ([stalled(GOOD, after=0)], "given up after 5 attempts"),
    "404": ([page("Not Found", status=404)], "no such file.*may not be published for 2024 yet"),
    "403": ([page("Access Denied", status=403)], "WWC_RESEARCH_CONTACT"),
    "204": ([nothing()], "no such figures"),
    "HTML page": ([page("Down for maintenance")], "an HTML page came in place of a zip file.*Down for maintenance"),
    "empty file": ([whole(b"")], "empty file"),
    "another kind": ([aqi_text(2024)], "in place of a zip file"),
    "truncated zip": ([GOOD[:-30]], "cut off"),
    "damaged zip": ([GOOD[:80] + b"\xff" * 40 + GOOD[120:]], "annual_aqi_by_county_2024"),
    "zip bomb": ([zip_bomb(6_000_000, name="annual_aqi_by_county_2024.csv")], "2024.*(bomb|packed|unpack)"),
    "gzip bomb": ([gzip_bomb(400_000)], "a zip file"),
    "zip that climbs": ([zip_of({"../../evil.csv": aqi_text(2024)})], "evil"),
    "two members": ([zip_of({"a.csv": aqi_text(2024), "b.csv": aqi_text(2024)})], "annual_aqi_by_county_2024"),
    "too large": ([whole(b"PK\x03\x04" + b"\0" * 5_000_001)], "5,000,000 are the most"),
    "redirect loop": ([redirected(aqi_path(2024))], "redirects go in a circle"),
    "redirect away from https": ([redirected("http://example.org/x.zip")], "secure connection"),
    "changed column": ([aqi_zip(2024, aqi_text(2024).replace("Good Days", "Days Good"))], "Good Days"),
    "column missing": ([aqi_zip(2024, re.sub(r"(?m)^([^,]*),[^,]*,", r"\1,", aqi_text(2024)))], "County"),
    "wrong year inside": ([aqi_zip(2024, aqi_text(2019))], "2019"),
    "duplicate rows": ([aqi_zip(2024, aqi_text(2024, rows=WAYNE + CITY + WAYNE))], "more than once"),
    "page in a zip": ([aqi_zip(2024, "<!DOCTYPE html><html><body>Sorry</body></html>")], "annual_aqi_by_county_2024"),
    "empty table": ([aqi_zip(2024, HEADER)], "annual_aqi_by_county_2024"),
    "binary": ([aqi_zip(2024, bytes(range(256)) * 20)], "annual_aqi_by_county_2024"),
    "text for a number": ([aqi_zip(2024, aqi_text(2024).replace(",200,", ",many,"))], "many"),
    "running year": ([aqi_zip(2024, aqi_text(2024, rows=UNFINISHED))], "whole year"),
}  # fmt: skip


@pytest.mark.parametrize("behaviour", FAILED)
def test_a_publisher_that_misbehaves_leaves_a_clear_error_and_everything_as_it_was(
    server, get, data_dir, one_vintage, raw_dir, behaviour
):
    answers, said = FAILED[behaviour]
    before = hashes(raw_dir, one_vintage.folder)
    server.serve(aqi_path(2024), *answers)
    with pytest.raises(FetchError, match=f"(?s){said}") as failure:
        get(years=[2024], vintage="after")
    assert "what was there before is as it was" in str(failure.value)
    assert hashes(raw_dir, one_vintage.folder) == before
    assert [path.name for path in (data_dir / "fetched" / "epa_aqi").iterdir()] == ["before"]
    outside = [path for path in data_dir.parent.rglob("*") if path.is_file() and "fetched" not in path.parts]
    assert outside == []


@pytest.mark.parametrize("behaviour", ["HTML page", "truncated zip", "wrong year inside"])
def test_once_the_publisher_has_mended_its_file_the_same_command_makes_the_vintage(server, get, data_dir, behaviour):
    server.serve(aqi_path(2024), *FAILED[behaviour][0])
    with pytest.raises(FetchError):
        get(years=[2024], vintage="after")
    server.serve(aqi_path(2024), GOOD)
    vintages.discard(data_dir / "fetched", source="epa_aqi", name="after")
    assert get(years=[2024], vintage="after").is_new
    assert not (data_dir / "fetched" / ".staging").exists()


def test_a_file_that_came_whole_is_not_fetched_again_after_a_failure(server, get, data_dir):
    server.serve(aqi_path(2022), aqi_zip(2022))
    padded = aqi_text(2023, header="Remark," + HEADER, rows="x" * 3000 + "," + WAYNE)
    long = zip_of({"annual_aqi_by_county_2023.csv": padded}, packed=False)
    server.serve(aqi_path(2023), cut(long, after=2000), *[refused(503)] * 4)
    with pytest.raises(FetchError, match=r"1 of 2 files lie whole in .*files") as failure:
        get(years=[2022, 2023], vintage="a")
    assert "--discard --vintage a" in str(failure.value)
    staged = data_dir / "fetched" / ".staging" / "epa_aqi" / "a" / "files"
    assert sorted(path.name for path in staged.iterdir())[0] == "annual_aqi_by_county_2022.zip"
    asked = len(server.requests)
    server.serve(aqi_path(2023), long)
    found = get(years=[2022, 2023], vintage="a")
    assert server.paths()[asked:] == [aqi_path(2023)]
    assert server.requests[-1].headers["range"] == "bytes=2000-"
    assert found.files_sent == 1
    assert sorted(path.name for path in found.vintage.files_dir.iterdir()) == [
        "annual_aqi_by_county_2022.zip", "annual_aqi_by_county_2023.zip",
    ]  # fmt: skip
    vintages.verify(found.vintage)


def test_a_staged_file_that_was_damaged_is_fetched_again(server, get, data_dir):
    server.serve(aqi_path(2022), aqi_zip(2022))
    server.serve(aqi_path(2023), page())
    with pytest.raises(FetchError):
        get(years=[2022, 2023], vintage="a")
    staged = data_dir / "fetched" / ".staging" / "epa_aqi" / "a"
    (staged / "files" / "annual_aqi_by_county_2022.zip").write_bytes(b"spoilt")
    server.serve(aqi_path(2023), aqi_zip(2023))
    vintage = get(years=[2022, 2023], vintage="a").vintage
    assert (vintage.files_dir / "annual_aqi_by_county_2022.zip").read_bytes() == aqi_zip(2022)
    vintages.verify(vintage)


def test_a_smaller_request_after_a_failure_leaves_no_file_of_the_larger_one(server, get):
    for year in (2022, 2023):
        server.serve(aqi_path(year), aqi_zip(year))
    with pytest.raises(FetchError, match="2 of 3 files lie whole"):
        get(years=[2022, 2023, 2024], vintage="a")
    vintage = get(years=[2022], vintage="a").vintage
    assert [path.name for path in vintage.files_dir.iterdir()] == ["annual_aqi_by_county_2022.zip"]
    vintages.verify(vintage)


def test_what_a_mirror_has_staged_is_not_taken_for_another_ones(server, get, data_dir):
    server.serve(aqi_path(2022), aqi_zip(2022))
    with pytest.raises(FetchError, match="1 of 2 files lie whole"):
        get(years=[2022, 2023], vintage="a")
    with PublisherServer() as other:
        for year in (2022, 2023):
            other.serve(aqi_path(year), aqi_zip(year))
        years = [2022, 2023]
        found = fetch("epa_aqi", data_dir=data_dir, years=years, vintage="a", mirror=other.url, connect=hurried)
        assert other.paths() == [aqi_path(2022), aqi_path(2023)]
        assert {entry.mirror for entry in found.vintage.downloads} == {other.url}


def test_one_years_file_that_is_given_for_another_year_too_is_refused(server, get):
    for year in (2022, 2023):
        server.serve(aqi_path(year), aqi_zip(2022))
    with pytest.raises(FetchError, match=r"2022\.zip and annual_aqi_by_county_2023\.zip hold the same bytes"):
        get(years=[2022, 2023])


def test_a_reader_that_refuses_the_files_leaves_them_for_inspection(server, get, data_dir):
    server.serve(aqi_path(2023), aqi_zip(2023, aqi_text(2019)))
    with pytest.raises(FetchError) as failure:
        get(years=[2023], vintage="a")
    staged = data_dir / "fetched" / ".staging" / "epa_aqi" / "a" / "files"
    assert f"1 of 1 files lie whole in {staged}" in str(failure.value)
    assert (staged / "annual_aqi_by_county_2023.zip").read_bytes() == aqi_zip(2023, aqi_text(2019))
    # the same command reads them again without asking the publisher
    asked = len(server.requests)
    with pytest.raises(FetchError):
        get(years=[2023], vintage="a")
    assert len(server.requests) == asked


def test_offline_is_said_at_once_and_the_shipped_figures_go_on_serving(data_dir, raw_dir):
    before = hashes(raw_dir)
    waited: list[float] = []

    def connect(**options: Any) -> Client:
        return Client(**options, sleep=waited.append)

    with PublisherServer() as gone:
        address = gone.url
    with pytest.raises(FetchError, match=r"The shipped figures, and those fetched\s+before, go on serving") as failure:
        fetch("epa_aqi", data_dir=data_dir, years=[2022, 2023], mirror=address, connect=connect)
    assert sum(waited) < 2
    assert "Nothing was kept" in str(failure.value)
    assert not (data_dir / "fetched" / ".staging").exists()
    assert hashes(raw_dir) == before


def test_a_disk_without_room_is_told_before_anything_is_asked_for(server, get, monkeypatch):
    monkeypatch.setattr(fetching.shutil, "disk_usage", lambda path: shutil._ntuple_diskusage(10**9, 10**9, 4_000_000))
    with pytest.raises(InputError, match="4 MB are free, and the 1 files may hold up to 5 MB"):
        get(years=[2023])
    assert server.requests == []


def test_a_disk_that_fills_up_amid_a_fetch_is_told_with_the_folder_and_the_way_on(server, get, data_dir, monkeypatch):
    server.serve(aqi_path(2023), aqi_zip(2023))

    def full(*args: object, **options: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(vintages, "write_manifest", full)
    with pytest.raises(FetchError, match=r"late: cannot be written or read: No space left on device") as caught:
        get(years=[2023], vintage="late")
    assert "1 of 1 files lie whole" in str(caught.value)
    assert "--vintage late goes on from there" in str(caught.value)
    assert vintages.vintage_names(data_dir / "fetched", source="epa_aqi") == []


def test_a_vintage_that_cannot_be_put_in_its_place_is_told_with_the_way_on(server, get, data_dir, monkeypatch):
    server.serve(aqi_path(2023), aqi_zip(2023))

    def refused(self: Path, target: Path) -> None:
        raise PermissionError(errno.EACCES, "Permission denied", str(self))

    with monkeypatch.context() as patch:
        patch.setattr(Path, "rename", refused)
        with pytest.raises(FetchError, match=r"late: cannot be written or read: Permission denied") as caught:
            get(years=[2023], vintage="late")
    assert "--vintage late goes on from there" in str(caught.value)
    assert vintages.vintage_names(data_dir / "fetched", source="epa_aqi") == []
    (data_dir / "saved").mkdir()
    (data_dir / "saved" / "annual_aqi_by_county_2023.zip").write_bytes(aqi_zip(2023))
    with monkeypatch.context() as patch:
        patch.setattr(Path, "rename", refused)
        with pytest.raises(FetchError, match=r"(?s)Permission denied.*No vintage was made"):
            hand_in(data_dir, data_dir / "saved", years=[2023], vintage="by-hand")
    assert list(vintages.list_staged(data_dir / "fetched", source="epa_aqi")) == ["late"]
    found = get(years=[2023], vintage="late")
    assert (found.is_new, found.files_sent) == (True, 0)


def test_a_variable_without_a_definition_is_a_fault_of_the_catalog(server, get, monkeypatch, catalog):
    other = deepcopy(catalog)
    texts = other["epa_aqi"]["fetch"]["tables"]["counties"]["definitions"]
    del texts["aqi_days_count"], texts["aqi_good_share"]
    monkeypatch.setattr(raw, "load_sources", lambda: other)
    server.serve(aqi_path(2023), aqi_zip(2023))
    told = r"\[epa_aqi.fetch.tables.counties.definitions\].*not say what aqi_days_count and aqi_good_share measure"
    with pytest.raises(FetchError, match=told):
        get(years=[2023], vintage="a")
    texts["*"] = "all others"
    made = get(years=[2023], vintage="a").vintage
    assert {name for name, text in made.definitions["counties"].items() if text == "all others"} == {
        "aqi_days_count", "aqi_good_share",
    }  # fmt: skip
    assert not get(years=[2023]).is_new
    texts["*"] = "all others, measured anew"
    assert get(years=[2023]).is_new


def test_another_formula_of_a_survey_figure_makes_a_vintage_though_the_files_are_the_same(server, get, monkeypatch):
    for remote in request("acs_one_year", years=[2022], geographies=["place"]).remotes:
        server.serve(urlsplit(remote.url).path, acs_file(remote))
    before = get("acs_one_year", years=[2022], geographies=["place"], vintage="before").vintage
    assert "B25070, lines 7 to 10 over line 1 less line 11" in before.definitions["places"]["rent_burden_share"]
    assert not get("acs_one_year", years=[2022], geographies=["place"]).is_new
    known = acs_definitions.definitions()
    wider = replace(known.variables["rent_burden_share"], excluded=())
    other = replace(known, variables={**known.variables, "rent_burden_share": wider})
    monkeypatch.setattr(acs_tables, "definitions", lambda: other)
    found = get("acs_one_year", years=[2022], geographies=["place"])
    assert found.is_new
    assert found.vintage.definitions["places"]["rent_burden_share"].endswith("lines 7 to 10 over line 1, ACS 1-year")


def test_a_table_the_catalog_does_not_declare_is_a_fault_of_the_reader(server, get, monkeypatch, catalog):
    other = deepcopy(catalog)
    other["epa_aqi"]["fetch"]["tables"] = {}
    monkeypatch.setattr(raw, "load_sources", lambda: other)
    server.serve(aqi_path(2023), aqi_zip(2023))
    with pytest.raises(FetchError, match="the reader makes counties"):
        get(years=[2023])


# --- the other publishers --------------------------------------------------------------------------------


def acs_file(remote: Remote) -> bytes:
    group = remote.name.split("-")[1].split(".")[0].upper()
    return summary_text(group, {"1600000US2622000": BROADBAND if group == "B28003" else {}}).encode()


def workbook(remote: Remote) -> bytes:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / remote.name
        write_book(path, one_line(2022))
        return path.read_bytes()


def gazetteer_zip(remote: Remote) -> bytes:
    rows = [PLACE_HEAD, *PLACES] if "place" in remote.name else [COUNTY_HEAD, *COUNTIES]
    return zip_of({remote.name.replace(".zip", ".txt"): "\n".join(rows) + "\n"})


def persons(remote: Remote) -> bytes:
    """Four people in Fargo's area, the one of North Dakota that lies in a city; one is in no school and out of work."""
    people = [person(n, ST="38", PUMA="00600", **(NEET if n == 1 else {})) for n in range(1, 5)]
    return zip_of({"psam_p38.csv": csv_text(people)})


def crashes(remote: Remote) -> bytes:
    with tempfile.TemporaryDirectory() as folder:
        return put_crashes(Path(folder), [*ELSEWHERE, *ALABAMA, *TOWN], year=remote.year).read_bytes()


Figure = tuple[str, str, int, str, float]


def louisville_alone(entry: dict[str, Any], *, raw_dir: Path) -> Scope:
    name = "Louisville/Jefferson County metro government (balance)"
    names = pd.DataFrame(
        [("2148006", name, "KY", True, "")], columns=["place_id", "name", "state", "in_universe", "aliases"]
    )
    return Scope(
        places=Places(names, pd.DataFrame(columns=["county_id", "name", "state"])), settings=entry.get("settings", {})
    )


# Source: years, geographies, the file of each remote, and one figure: table, place, year, variable, value.
PUBLISHERS: dict[str, tuple[list[int], list[str], Callable[[Remote], bytes], Figure]] = {
    "epa_monitors": (
        [2023], ["county"],
        lambda remote: zip_of({"annual_conc_by_monitor_2023.csv": text_of([pm25("26-163-0001", 9.5)])}),
        ("counties", "26163", 2023, "pm25_mean_ug_m3", 9.5),
    ),
    "bls_laus": ([2022], ["county"], workbook, ("annual_averages", "01001", 2022, "labor_force_count", 26789)),
    "census_population": (
        [2022], ["place"], lambda remote: "\n".join([*lines(), ""]).encode(),
        ("estimates", "2148006", 2022, "population_count", 641962),
    ),
    "acs_one_year": ([2022], ["place"], acs_file, ("places", "2622000", 2022, "broadband_share", 0.85)),
    "acs_five_year": ([2022], ["place"], acs_file, ("places", "2622000", 2022, "broadband_5y_share", 0.85)),
    "acs_pums": ([2022], ["state:ND"], persons, ("pumas", "P3800600", 2022, "youth_neet_share", 0.25)),
    "gazetteer_files": (
        [2025], ["place", "county"], gazetteer_zip,
        ("places", "0667000", 2025, "land_km2", 121.4553),
    ),
    "fars": ([2019], ["US"], crashes, ("places", "2148006", 2019, "traffic_deaths_count", 4)),
}  # fmt: skip


@pytest.mark.parametrize("source", PUBLISHERS)
def test_every_other_publishers_files_become_a_vintage(server, get, monkeypatch, catalog, source):
    years, geographies, content, (table, place, year, variable, value) = PUBLISHERS[source]
    small = deepcopy(catalog)
    small["census_population"]["fetch"]["minimum_places"] = 54
    small["gazetteer_files"]["fetch"] |= {"minimum_place": 4, "minimum_counties": 2}
    small["acs_pums"]["settings"]["least_sampled"] = 1
    small["fars"]["fetch"]["minimum_crashes"] = 51
    monkeypatch.setattr(raw, "load_sources", lambda: small)
    monkeypatch.setattr(bls_laus, "LEAST_COUNTIES", 51)
    if source == "census_population":  # the excerpt holds one place a state
        monkeypatch.setattr(fetching, "scope_of", louisville_alone)
    for remote in request(source, years=years, geographies=geographies).remotes:
        server.serve(urlsplit(remote.url).path, content(remote))
    vintage = get(source, years=years, geographies=geographies, vintage="first").vintage
    vintages.verify(vintage)
    observed = [item for item in vintage.tables if item.kind == "observations"]
    for item in observed:
        long = raw.to_long(raw.read_table(vintage.folder, item.name), source=source, vintage="first")
        texts = vintage.definitions[item.name.partition("/")[2]]
        assert set(long["variable"]) <= set(texts)
        assert all(" " in text for text in texts.values())
    assert ("*" in str(vintage.definitions)) is False
    again = get(source, years=years, geographies=geographies)
    assert not again.is_new
    frame = raw.read_table(vintage.folder, f"{source}/{table}")
    row = frame[(frame["place_id"] == place) & (frame["year"] == year)]
    assert row[variable].tolist() == [pytest.approx(value, abs=1e-6)]


@pytest.mark.shared
def test_the_publishers_own_files_are_fetched_and_read(server, get, publishers_dir, raw_dir):
    """Real: EPA's county files of 2022 and 2023 under the breakpoints of May 2024."""
    folder = publishers_dir / "epa_aqs" / "vintage-2026"
    for year in (2022, 2023):
        server.serve(aqi_path(year), aqi_zip(year, (folder / f"annual_aqi_by_county_{year}.csv").read_bytes()))
    vintage = get(years=[2022, 2023], vintage="real").vintage
    fetched = raw.read_table(vintage.folder, "epa_aqi/counties").set_index(["place_id", "year"])
    shipped = raw.read_table(raw_dir, "epa_aqi/vintage_2026")
    shipped = shipped[shipped["year"].isin([2022, 2023])].set_index(["place_id", "year"])
    assert len(fetched) > 900
    # the shipped table has flags in other years
    pd.testing.assert_frame_equal(fetched, shipped[list(fetched.columns)])
    assert (shipped.filter(like="__flag").fillna("") == "").all(axis=None)


# --- files that were saved by hand -------------------------------------------------------------------------


@pytest.fixture
def saved(tmp_path: Path) -> Path:
    folder = tmp_path / "saved"
    folder.mkdir()
    for year in (2022, 2023):
        (folder / f"annual_aqi_by_county_{year}.zip").write_bytes(aqi_zip(year))
    (folder / "notes.txt").write_text("mine")
    return folder


def hand_in(data_dir: Path, saved: Path, source: str = "epa_aqi", **options: Any) -> Fetched:
    def connect(**_: Any) -> Client:
        raise AssertionError("a publisher is asked though the files are here")

    return fetch(source, data_dir=data_dir, files=saved, connect=connect, **options)


def test_files_saved_by_hand_become_the_vintage_that_a_download_makes_and_say_so(server, get, data_dir, saved):
    for year in (2022, 2023):
        server.serve(aqi_path(year), aqi_zip(year))
    sent = get(years=[2022, 2023], vintage="sent").vintage
    before = hashes(saved)
    found = hand_in(data_dir, saved, years=[2022, 2023], vintage="handed")
    vintage = found.vintage
    vintages.verify(vintage)
    assert (found.is_new, found.files_sent, found.bytes_sent) == (True, 2, sum(map(len, map(aqi_zip, (2022, 2023)))))
    assert hashes(saved) == before
    for download, other in zip(vintage.downloads, sent.downloads, strict=True):
        assert (download.name, download.url, download.sha256) == (other.name, other.url, other.sha256)
        assert (download.mirror, download.etag, download.last_modified) == (HANDED_IN, "", "")
    assert [(table.name, table.rows, table.key) for table in vintage.tables] == [
        (table.name, table.rows, table.key) for table in sent.tables
    ]
    figures = [
        raw.read_observations(folder, corrected=False).drop(columns="vintage")
        for folder in (vintage.folder, sent.folder)
    ]
    pd.testing.assert_frame_equal(*figures)
    assert vintage.tables[0].obtained.endswith("annual_aqi_by_county_2023.zip, saved by hand and handed in")


def test_the_file_that_the_publisher_sent_before_is_nothing_new_by_hand(data_dir, saved, one_vintage):
    before = hashes(data_dir)
    found = hand_in(data_dir, saved, years=[2023])
    assert (found.is_new, found.vintage.name) == (False, "before")
    assert hashes(data_dir) == before


def test_every_file_that_cannot_be_taken_is_told_at_once_with_its_address(data_dir, saved):
    (saved / "annual_aqi_by_county_2020.zip").write_text("<!doctype html><title>Down</title>")
    (saved / "annual_aqi_by_county_2021.zip").write_bytes(b"PK\x03\x04" + b"\0" * 5_000_001)
    (saved / "annual_aqi_by_county_2022.zip").write_bytes(GOOD[:-30])
    (saved / "annual_aqi_by_county_2023.zip").unlink()
    (saved / "annual_aqi_by_county_2024.zip").mkdir()
    with pytest.raises(InputError, match="6 faults") as refusal:
        hand_in(data_dir, saved, years=range(2019, 2025))
    text = str(refusal.value)
    for year, said in {
        2019: "annual_aqi_by_county_2019.zip is missing; save https",
        2020: "an HTML page came in place of a zip file; save it again",
        2021: "5,000,000 are the most",
        2022: "the zip file is cut off",
        2023: "annual_aqi_by_county_2023.zip is missing",
        2024: "annual_aqi_by_county_2024.zip: is no file",
    }.items():
        assert said in text
        assert f"https://aqs.epa.gov{aqi_path(year)}" in text
    assert not list((data_dir / "fetched").rglob("*"))
    with pytest.raises(InputError, match="nowhere: there is no such folder"):
        hand_in(data_dir, saved / "nowhere", years=[2023])


def test_handed_in_files_that_the_reader_refuses_leave_nothing_and_are_read_anew_when_mended(data_dir, saved):
    path = saved / "annual_aqi_by_county_2023.zip"
    path.write_bytes(aqi_zip(2023, aqi_text(2019)))
    with pytest.raises(FetchError, match=r"(?s)2019.*your own files too\. Save those at fault again"):
        hand_in(data_dir, saved, years=[2023], vintage="a")
    assert not list((data_dir / "fetched").rglob("*"))
    path.write_bytes(aqi_zip(2023))
    assert hand_in(data_dir, saved, years=[2023], vintage="a").is_new


def test_handed_in_files_do_not_replace_what_an_earlier_try_has_fetched(server, get, data_dir, saved):
    server.serve(aqi_path(2022), aqi_zip(2022))
    with pytest.raises(FetchError, match="1 of 2 files lie whole"):
        get(years=[2022, 2023], vintage="a")
    before = hashes(data_dir / "fetched")
    with pytest.raises(InputError, match=r"lie staged for vintage a.*--discard --vintage a"):
        hand_in(data_dir, saved, years=[2022, 2023], vintage="a")
    assert hashes(data_dir / "fetched") == before
    assert hand_in(data_dir, saved, years=[2022, 2023], vintage="b").is_new


def test_no_key_is_needed_for_files_that_are_here(data_dir, saved):
    with pytest.raises(InputError, match=r"is missing; save https://api\.census\.gov/\S+ under that name") as refusal:
        hand_in(data_dir, saved, **key_request())
    assert "CENSUS_API_KEY" not in str(refusal.value)


def test_a_file_saved_by_hand_that_holds_the_key_is_refused_without_showing_it(data_dir, saved, keyed):
    for remote in request("acs_one_year", years=[2022], geographies=["api_county"]).remotes:
        (saved / remote.name).write_text(f'[["{KEY}"]]')
    with pytest.raises(InputError, match="it repeats the key, which must not lie on the disk") as refusal:
        hand_in(data_dir, saved, **key_request())
    assert KEY not in str(refusal.value)
    assert not list((data_dir / "fetched").rglob("*"))


def test_a_mirror_and_a_folder_together_are_refused(data_dir, saved):
    with pytest.raises(InputError, match="--mirror and --files"):
        hand_in(data_dir, saved, mirror="https://example.org")


def test_a_publisher_without_lasting_addresses_is_served_by_hand_alone(data_dir, saved, monkeypatch, catalog):
    small = deepcopy(catalog)
    small["fbi_offenses"]["fetch"] |= {"minimum_cities": 3, "most_odd_share": 0.2}
    monkeypatch.setattr(raw, "load_sources", lambda: small)
    with pytest.raises(InputError, match=r"no lasting address.*data fetch fbi_offenses --files DIR"):
        fetch("fbi_offenses", data_dir=data_dir)
    put_table(saved, sheet(CITIES))
    put_table(saved, sheet(CITIES, year=2022), year=2022, kind="zip")
    with pytest.raises(InputError, match="has no file of 2020 and 2021: the FBI gives its tables no lasting address"):
        hand_in(data_dir, saved, "fbi_offenses", years=[2019, 2020, 2021])
    vintage = hand_in(data_dir, saved, "fbi_offenses", vintage="all").vintage
    vintages.verify(vintage)
    assert vintage.years == (2019, 2022)
    assert {entry.name: entry.url for entry in vintage.downloads} == {
        "offenses-known-to-le-2022.zip": "https://cde.ucr.cjis.gov/LATEST/webapp/#/pages/downloads",
        "table-8-2019.csv": "https://ucr.fbi.gov/crime-in-the-u.s",
    }
    for table, year in (("revised_rape", 2019), ("both_forms", 2022)):
        frame = raw.read_table(vintage.folder, f"fbi_offenses/{table}")
        row = frame[(frame["place_id"] == "1714000") & (frame["year"] == year)]
        assert row["violent_crime_count"].tolist() == [25_532]
    one = hand_in(data_dir, saved, "fbi_offenses", years=[2019], vintage="one").vintage
    assert [entry.name for entry in one.downloads] == ["table-8-2019.csv"]


# --- what may be asked -----------------------------------------------------------------------------------


def test_every_fault_of_a_request_is_in_one_message_with_what_is_allowed():
    with pytest.raises(InputError, match=r"'epa' cannot be fetched; there are .*epa_aqi"):
        request("epa")
    with pytest.raises(InputError) as refusal:
        request("acs_one_year", years=[1999, 2020], geographies=["city", "county"])
    text = str(refusal.value)
    assert "3 faults" in text
    for part in (
        "--years 1999: there are 2005-",
        "--years 2020: there is no standard 1-year release",
        "--geography city",
    ):
        assert part in text
    with pytest.raises(InputError, match="2 faults"):
        request("epa_aqi", years=[], geographies=[])


def test_the_catalog_and_the_registry_name_the_same_sources_to_fetch(catalog):
    assert {source for source, entry in catalog.items() if "fetch" in entry} == set(FETCHED)


@pytest.mark.parametrize("source", sorted(set(FETCHED) - set(SAVED_BY_HAND)))
def test_every_source_that_can_be_fetched_says_what_a_default_fetch_asks_for(source):
    asked = request(source)
    assert asked.remotes
    first, last = asked.settings["years"]
    assert all(first <= year <= last for year in asked.years)
    assert set(asked.geographies) <= set(asked.settings["geographies"])
    assert asked.keys == {}, "a default fetch wants no key"
    assert asked.settings["per_second"] > 0
    for remote in asked.remotes:
        assert remote.url.startswith("https://")
        assert 0 < remote.largest <= 2e9
    for name, table in asked.settings["tables"].items():
        assert table["series"], name
        assert table["kind"] == "observations" or table["key"] is not None


@pytest.mark.parametrize("source", SAVED_BY_HAND)
def test_a_source_saved_by_hand_says_where_its_files_are_and_how_they_are_handed_in(source, catalog):
    settings = catalog[source]["fetch"]
    with pytest.raises(InputError, match=f"wwc-research data fetch {source} --files DIR"):
        request(source)
    assert fetching.keys_by_geography(source) == {}
    assert settings["url"] in settings["how"]
    assert settings["older_url"] in settings["how"]
    for name, table in settings["tables"].items():
        assert table["series"], name


def test_a_state_may_be_written_with_its_sign_or_without():
    words = [
        request("acs_pums", years=[2023], geographies=[word]).geographies for word in ("WA", "state:WA", "state:wa")
    ]
    assert words == [("WA",)] * 3
    with pytest.raises(InputError, match="--geography state:XX: there are US and state:WA or any other state"):
        request("acs_pums", years=[2023], geographies=["state:XX"])


# --- keys ------------------------------------------------------------------------------------------------

KEY = "0123secret+key/ef&7%"


@pytest.fixture
def keyed(monkeypatch: pytest.MonkeyPatch) -> None:
    """A source of one small table from an interface that wants a key."""
    catalog = raw.load_sources()
    monkeypatch.setattr(raw, "load_sources", lambda: catalog)
    monkeypatch.setenv("CENSUS_API_KEY", KEY)


def key_request(**options: Any) -> dict[str, Any]:
    return {"source": "acs_one_year", "years": [2022], "geographies": ["api_county"], **options}


def test_a_missing_key_is_told_before_anything_is_asked_for(data_dir):
    with pytest.raises(InputError) as refusal:
        fetch(data_dir=data_dir, connect=hurried, **key_request())
    text = str(refusal.value)
    assert "the environment variable CENSUS_API_KEY holds none" in text
    assert "https://api.census.gov/data/key_signup.html" in text
    assert not (data_dir / "fetched").exists()


@pytest.mark.parametrize(
    "answer",
    [
        lambda request: wants_key("[]", key="another"),
        lambda request: page(f"wrong key {request.query['key']}"),
        lambda request: page(f"wrong key {request.query['key']}", status=400),
        lambda request: redirected(f"http://127.0.0.1:9/steal?key={request.query['key']}"),
        lambda request: redirected(f"{request.path}?again={len(request.query)}&{urlencode({'key': KEY})}"),
        lambda request: whole(f'[["{request.query["key"]}"]]', headers={"ETag": f'"{request.query["key"]}"'}),
        lambda request: refused(503, body=request.query["key"]),
        lambda request: cut(request.query["key"] * 9, after=5),
    ],
    ids=["refused", "page", "400", "stolen", "echoed", "validator", "503", "cut"],
)  # fmt: skip
def test_a_key_stands_in_no_error_log_or_list(server, get, data_dir, keyed, caplog, answer):
    caplog.set_level(logging.DEBUG)
    server.serve("/data/2022/acs/acs1", answer)
    with pytest.raises(WwcError) as failure:
        get(**key_request(vintage="a"))
    assert KEY in server.everything_said
    chain: list[BaseException] = [failure.value]
    while chain[-1].__cause__ or chain[-1].__context__:
        chain.append(chain[-1].__cause__ or chain[-1].__context__)
    said = "\n".join([*(f"{error} {error!r}" for error in chain), caplog.text])
    lists = [path.read_text() for path in (data_dir / "fetched").rglob("*.toml")]
    notes = [path.read_text() for path in (data_dir / "fetched").rglob("*.part.json")]
    for spelling in (KEY, "0123secret", "secret%2Bkey"):
        assert spelling not in said
        assert not [text for text in (*lists, *notes) if spelling in text]


def test_a_contact_reaches_a_publisher_that_wants_one(server, get, data_dir):
    server.serve(aqi_path(2023), wants_contact(aqi_zip(2023)))
    with pytest.raises(FetchError, match="WWC_RESEARCH_CONTACT"):
        get(years=[2023], vintage="a")
    assert get(years=[2023], vintage="a", contact="me@example.org").is_new
    assert "me@example.org" in server.everything_said
    assert b"me@example.org" not in everything_in(data_dir / "fetched")


def test_a_damaged_vintage_of_the_source_is_named_before_anything_is_asked_for(server, get, one_vintage):
    (one_vintage.folder / "downloads.toml").write_text("files = [")
    asked = len(server.requests)
    with pytest.raises(DataError, match=r"downloads\.toml: cannot be read as TOML"):
        get(years=[2023])
    assert len(server.requests) == asked
