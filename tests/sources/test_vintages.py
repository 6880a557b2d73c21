from __future__ import annotations

import os
import shutil
import tomllib
from dataclasses import replace
from pathlib import Path

import pytest

from wwc_research.errors import DataError, InputError
from wwc_research.sources import raw, vintages
from wwc_research.sources.download import Download
from wwc_research.sources.tables import Table
from wwc_research.sources.vintages import Vintage

TABLE = b"place_id,year,aqi_good_share\n24005,2023,0.5\n"
FILE = b"as it came\r\n"
NAME = "annual_aqi_by_county_2023.zip"
DOWNLOAD = Download(
    name=NAME,
    url="https://aqs.epa.gov/aqsweb/airdata/annual_aqi_by_county_2023.zip",
    sha256="1c8a08a6a8d0e0d5a44c3b1c1b4de3fa53d61e3a4d0e4d3c49a0df0e4f0a2c11",
    bytes=len(FILE),
    retrieved_at="2026-11-23T10:00:00Z",
    last_modified="Tue, 06 May 2025 14:00:00 GMT",
    etag='"5f3-a\\b"',
)


def filled(staged: Path, *, retrieved_at: str = DOWNLOAD.retrieved_at) -> None:
    """A staged folder with one publisher's file and one table of one figure."""
    (staged / "files" / NAME).write_bytes(FILE)
    (staged / "counties.csv").write_bytes(TABLE)
    download = replace(DOWNLOAD, sha256=vintages.sha256_of(staged / "files" / NAME), retrieved_at=retrieved_at)
    vintages.write_downloads(staged, source="epa_aqi", downloads=[download], years=[2023], geographies=["county"])
    table = Table(
        name="epa_aqi/counties", path="counties.csv", kind="observations",
        sha256=vintages.sha256_of(staged / "counties.csv"), rows=1, key=("place_id", "year"), title="Air",
        publisher="EPA", series="annual_aqi_by_county", vintage=staged.name, licence="public domain",
        retrieved="2026-11-23",
        geography="county", years=(2023, 2023), url="https://aqs.epa.gov", obtained=download.url,
    )  # fmt: skip
    vintages.write_manifest(
        staged, tables=[table], definitions={"counties": {"aqi_good_share": 'a "share", 50 or less'}}
    )


def published(fetched_dir: Path, name: str = "2026-11-23", **facts: str) -> Vintage:
    with vintages.stage(fetched_dir, source="epa_aqi", name=name) as staged:
        filled(staged, **facts)
        return vintages.publish(staged, fetched_dir=fetched_dir, source="epa_aqi", name=name)


def files_of(folder: Path) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_a_vintage_is_read_back_as_it_was_published(tmp_path):
    made = published(tmp_path)
    assert made.folder == tmp_path / "epa_aqi" / "2026-11-23"
    assert sorted(files_of(made.folder)) == ["counties.csv", "downloads.toml", f"files/{NAME}", "manifest.toml"]
    again = vintages.load_vintage(tmp_path, source="epa_aqi", name="2026-11-23")
    assert again == made
    assert (again.years, again.geographies, again.downloads[0].etag) == ((2023,), ("county",), '"5f3-a\\b"')
    assert again.definitions == {"counties": {"aqi_good_share": 'a "share", 50 or less'}}
    assert again.retrieved_at == DOWNLOAD.retrieved_at
    vintages.verify(again)
    assert not (tmp_path / ".staging").exists()
    frame = raw.read_observations(made.folder, corrected=False)
    assert frame[["place_id", "year", "value", "vintage"]].values.tolist() == [["24005", 2023, 0.5, "2026-11-23"]]


@pytest.mark.parametrize("etag", ['"a"', "W/\\x", "\x7f\t\n", "naïve 😀", "]]\n[[files]]", '"""'])
def test_whatever_a_server_says_of_its_file_is_valid_toml(tmp_path, etag):
    (tmp_path / "files").mkdir()
    vintages.write_downloads(tmp_path, source="s", downloads=[replace(DOWNLOAD, etag=etag)], years=[], geographies=[])
    [entry], _, _ = vintages.read_downloads(tmp_path, way_out="")
    assert entry.etag == etag


def test_a_vintage_is_never_overwritten(tmp_path):
    before = files_of(published(tmp_path).folder)
    with (
        pytest.raises(InputError, match="never overwritten"),
        vintages.stage(tmp_path, source="epa_aqi", name="2026-11-23"),
    ):
        pass
    with vintages.stage(tmp_path, source="epa_aqi", name="other") as staged:
        filled(staged)
        with pytest.raises(InputError, match=r"this vintage exists.*--vintage"):
            vintages.publish(staged, fetched_dir=tmp_path, source="epa_aqi", name="2026-11-23")
        assert (staged / "counties.csv").is_file()
    assert files_of(tmp_path / "epa_aqi" / "2026-11-23") == before


def test_a_vintage_that_appears_while_another_is_renamed_wins(tmp_path, monkeypatch):
    with vintages.stage(tmp_path, source="epa_aqi", name="a") as staged:
        filled(staged)
        before = files_of(staged)
        monkeypatch.setattr(
            vintages, "_sync", lambda path: (tmp_path / "epa_aqi" / "a" / "files").mkdir(parents=True, exist_ok=True)
        )
        with pytest.raises(InputError, match="this vintage exists"):
            vintages.publish(staged, fetched_dir=tmp_path, source="epa_aqi", name="a")
        assert files_of(staged) == before


def test_of_two_at_once_one_makes_the_vintage_and_the_other_is_told(tmp_path):
    # the lock is of the open file, so that a second opening in this process stands for another process
    with vintages.stage(tmp_path, source="epa_aqi", name="a") as staged:
        filled(staged)
        with (
            pytest.raises(InputError, match="epa_aqi, vintage a: another process is making it"),
            vintages.stage(tmp_path, source="epa_aqi", name="a"),
        ):
            pass
        with pytest.raises(InputError, match="another process is making it"):
            vintages.discard(tmp_path, source="epa_aqi", name="a")
        with vintages.stage(tmp_path, source="epa_aqi", name="b"):
            pass  # another vintage is free
        assert staged.is_dir()
    with vintages.stage(tmp_path, source="epa_aqi", name="a") as again:  # the lock was given back
        assert (again / "counties.csv").is_file()


def test_the_lock_of_a_process_that_was_killed_holds_nobody_up(tmp_path):
    lock = tmp_path / ".staging" / "epa_aqi" / "a.lock"
    lock.parent.mkdir(parents=True)
    lock.write_bytes(b"")
    with vintages.stage(tmp_path, source="epa_aqi", name="a"):
        pass
    assert not lock.exists()


@pytest.mark.parametrize("name", ["", ".", "..", "../x", "a/b", "a\\b", ".hidden", "-x", "a.", "x" * 65, "a b", "ü"])
def test_a_name_that_cannot_be_a_folder_everywhere_is_refused(tmp_path, name):
    with (
        pytest.raises(InputError, match="a vintage's name has letters"),
        vintages.stage(tmp_path / "fetched", source="epa_aqi", name=name),
    ):
        pass
    assert not (tmp_path / "fetched").exists()


def test_the_day_is_the_name_and_later_ones_of_the_day_are_numbered(tmp_path):
    names = []
    for _ in range(3):
        names.append(vintages.free_name(tmp_path, source="epa_aqi", day="2026-11-23"))
        published(tmp_path, names[-1])
    assert names == ["2026-11-23", "2026-11-23-2", "2026-11-23-3"]


def test_vintages_are_listed_by_source_and_moment_and_staged_ones_are_none(tmp_path):
    published(tmp_path, "newer", retrieved_at="2026-11-24T10:00:00Z")
    published(tmp_path, "zz-older", retrieved_at="2026-11-23T10:00:00Z")
    with vintages.stage(tmp_path, source="epa_aqi", name="half") as staged:
        (staged / "files" / f"{NAME}.part").write_bytes(b"12345")
    assert [vintage.name for vintage in vintages.list_vintages(tmp_path)] == ["zz-older", "newer"]
    assert vintages.list_vintages(tmp_path, source="bls_laus") == []
    assert vintages.list_staged(tmp_path, source="epa_aqi") == {"half": 5}
    assert vintages.discard(tmp_path, source="epa_aqi", name="half") == 5
    assert vintages.discard(tmp_path, source="epa_aqi", name="half") == 0
    assert not (tmp_path / ".staging").exists()
    assert len(vintages.list_vintages(tmp_path)) == 2


def test_an_unknown_vintage_is_told_with_those_that_exist(tmp_path):
    with pytest.raises(InputError, match="nothing was fetched of it yet"):
        vintages.load_vintage(tmp_path, source="epa_aqi", name="a")
    published(tmp_path, "b")
    with pytest.raises(InputError, match=r"no vintage 'a' under .*; there are b"):
        vintages.load_vintage(tmp_path, source="epa_aqi", name="a")


def test_every_damaged_file_of_a_vintage_is_named_in_one_message(tmp_path):
    made = published(tmp_path)
    (made.folder / "counties.csv").write_bytes(TABLE.replace(b"0.5", b"0.6"))
    (made.files_dir / NAME).unlink()
    (made.folder / "notes.txt").write_text("mine")
    with pytest.raises(DataError) as refused:
        vintages.verify(made)
    text = str(refused.value)
    assert "3 faults" in text
    for part in (
        f"{NAME}: the file is missing. Remove the folder {made.folder} and fetch again",
        "counties.csv: the file has changed since it was fetched",
        "notes.txt: is in no list",
    ):
        assert part in text


@pytest.mark.parametrize(
    ("file", "damage", "said"),
    [
        ("downloads.toml", None, "the file is missing"),
        ("manifest.toml", None, "the file is missing"),
        ("downloads.toml", b"files = [", "cannot be read as TOML"),
        ("manifest.toml", b"\xff\xfe", "cannot be read as TOML"),
        ("downloads.toml", b"", "names no file"),
        ("downloads.toml", b"files = 3\nyears = 'x'\ngeographies = [1]", "3 faults"),
        ("downloads.toml", b"[[files]]\nname = 'x'", "missing or unknown fields"),
        ("manifest.toml", b"[[tables]]\nname = 'x'", "missing or unknown fields"),
        ("manifest.toml", b"tables = []", "it names no table"),
    ],
)
def test_a_damaged_list_is_named_with_the_way_out(tmp_path, file, damage, said):
    made = published(tmp_path)
    if damage is None:
        (made.folder / file).unlink()
    else:
        (made.folder / file).write_bytes(damage)
    for read in (
        lambda: vintages.load_vintage(tmp_path, source="epa_aqi", name=made.name),
        lambda: vintages.list_vintages(tmp_path),
    ):
        with pytest.raises(DataError) as refused:
            read()
        assert said in str(refused.value)
        assert file in str(refused.value)
        if "fields" not in said:
            assert "Remove the folder" in str(refused.value)


@pytest.mark.parametrize("file", ["manifest.toml", "downloads.toml"])
def test_an_edited_manifest_is_noticed_and_so_is_a_hash_that_was_taken_out(tmp_path, file):
    made = published(tmp_path)
    path, text = made.folder / file, (made.folder / file).read_text()
    kept = [line for line in text.replace("50 or less", "100 or less").split("\n") if "manifest_sha256" not in line]
    path.write_text("\n".join(kept))
    for read in (
        lambda: vintages.verify(made),
        lambda: vintages.load_vintage(tmp_path, source="epa_aqi", name=made.name),
        lambda: vintages.list_vintages(tmp_path),
    ):
        with pytest.raises(DataError, match=r"has changed since it was fetched|holds no manifest_sha256") as refused:
            read()
        assert f"Remove the folder {made.folder} and fetch again" in str(refused.value)


def test_a_manifest_that_is_written_again_has_one_hash_whatever_a_server_said(tmp_path):
    with vintages.stage(tmp_path, source="epa_aqi", name="a") as staged:
        filled(staged)
        downloads = [replace(DOWNLOAD, etag="a\u2028b\x85c")]
        vintages.write_downloads(staged, source="epa_aqi", downloads=downloads, years=[2023], geographies=["county"])
        for _ in range(2):
            vintages.write_manifest(staged, tables=[], definitions={"counties": {"x": "y"}})
        content = tomllib.loads((staged / "downloads.toml").read_bytes().decode())
        assert content["files"][0]["etag"] == "a\u2028b\x85c"
        assert (content["source"], content["years"]) == ("epa_aqi", [2023])
        assert content["manifest_sha256"] == vintages.sha256_of(staged / "manifest.toml")


def test_a_download_of_no_bytes_yet_is_listed_and_can_be_discarded(tmp_path):
    with vintages.stage(tmp_path, source="epa_aqi", name="half") as staged:
        (staged / "files" / f"{NAME}.part").touch()
    assert vintages.list_staged(tmp_path, source="epa_aqi") == {"half": 0}
    vintages.discard(tmp_path, source="epa_aqi", name="half")
    assert not (tmp_path / ".staging").exists()


@pytest.mark.parametrize("times", [1, 3])
def test_a_folder_that_another_process_removes_before_the_lock_is_made_again(tmp_path, monkeypatch, times):
    real, lost = Path.open, []

    def raced(self, *given, **options):
        if self.name == "a.lock" and len(lost) < times:
            lost.append(self)
            self.parent.rmdir()
            self.parent.parent.rmdir()
        return real(self, *given, **options)

    monkeypatch.setattr(Path, "open", raced)
    with vintages.stage(tmp_path, source="epa_aqi", name="a") as staged:
        assert (staged / "files").is_dir()
    assert len(lost) == times


def test_what_another_process_discards_first_is_nothing_to_discard(tmp_path, monkeypatch):
    with vintages.stage(tmp_path, source="epa_aqi", name="a") as staged:
        filled(staged)
    real = vintages._locked
    monkeypatch.setattr(vintages, "_locked", lambda path, *, what: (shutil.rmtree(staged), real(path, what=what))[1])
    assert vintages.discard(tmp_path, source="epa_aqi", name="a") == 0


def test_a_vintage_that_is_there_is_not_said_to_have_failed(tmp_path, monkeypatch):
    real = vintages._sync

    def failing(path):
        if path.name == "epa_aqi":
            raise OSError(5, "Input/output error", str(path))
        real(path)

    monkeypatch.setattr(vintages, "_sync", failing)
    assert published(tmp_path, "a").folder.is_dir()


@pytest.mark.parametrize("change", ["name = '../up.zip'", "name = 3", "bytes = 'many'", "bytes = true"])
def test_an_entry_that_leads_elsewhere_or_has_a_wrong_type_is_refused(tmp_path, change):
    made = published(tmp_path)
    path = made.folder / "downloads.toml"
    field = change.split(" ")[0]
    lines = [change if line.startswith(f"{field} =") else line for line in path.read_text().splitlines()]
    path.write_text("\n".join(lines))
    assert tomllib.loads(path.read_text())["files"]
    with pytest.raises(DataError, match=r"of a wrong type|no plain file name"):
        vintages.load_vintage(tmp_path, source="epa_aqi", name=made.name)


def test_all_is_on_the_disk_before_the_vintage_appears(tmp_path, monkeypatch):
    synced = []
    real = vintages._sync
    monkeypatch.setattr(vintages, "_sync", lambda path: (synced.append(path.name), real(path)))
    rename = Path.rename
    monkeypatch.setattr(Path, "rename", lambda self, to: (synced.append("RENAME"), rename(self, to))[1])
    published(tmp_path, "a")
    at = synced.index("RENAME")
    assert set(synced[:at]) == {"counties.csv", "downloads.toml", NAME, "manifest.toml", "files", "a"}
    assert synced[at + 1 :] == ["epa_aqi"]


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="everything may be written by root")
def test_a_folder_that_may_not_be_written_is_an_error_of_the_system(tmp_path):
    tmp_path.chmod(0o500)
    with pytest.raises(PermissionError), vintages.stage(tmp_path, source="epa_aqi", name="a"):
        pass
