from __future__ import annotations

import io
import struct
import zipfile
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pyarrow.csv
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.sources.publisher_server import zip_bomb, zip_of
from wwc_research.errors import DataError, InputError
from wwc_research.sources.archives import MIXED_TEXT, Member, members, open_member, text_of, text_stream

LARGEST = 10_000_000
TABLE = b"place,share\n" + b"".join(b"%07d,%d\n" % (number, number * 7919 % 1000) for number in range(40_000))


@pytest.fixture
def archive(tmp_path) -> Path:
    return written(tmp_path, zip_of({"psam_p53.csv": TABLE, "docs/README.txt": "of the bureau", "docs/": ""}))


def written(folder: Path, content: bytes) -> Path:
    path = folder / "figures.zip"
    path.write_bytes(content)
    return path


def entry(name: str, *, mode: int | None = None, method: int = zipfile.ZIP_DEFLATED) -> zipfile.ZipInfo:
    info = zipfile.ZipInfo(name)
    info.compress_type = method
    if mode is not None:
        info.create_system, info.external_attr = 3, mode << 16
    return info


def zip_with(*entries: zipfile.ZipInfo, content: bytes = b"a,b\n1,2\n") -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as packed:
        for info in entries:
            packed.writestr(info, content)
    return buffer.getvalue()


# --- what is read ----------------------------------------------------------------------------------------


def test_members_are_files_and_not_folders(archive):
    found = members(archive)
    assert [member.name for member in found] == ["psam_p53.csv", "docs/README.txt"]
    assert found[0] == Member(name="psam_p53.csv", size=len(TABLE), packed_size=found[0].packed_size)
    assert 0 < found[0].packed_size < len(TABLE)


@pytest.mark.parametrize("pattern", ["psam_p53.csv", "PSAM_P*.csv", "*.csv", "psam_p[0-9][0-9].csv"])
def test_a_member_is_found_by_name_or_pattern(archive, pattern):
    with open_member(archive, pattern, largest=LARGEST) as stream:
        assert stream.read() == TABLE


def test_a_pattern_without_a_slash_looks_at_the_last_part_of_a_name(archive):
    for pattern in ("readme.txt", "docs/*"):
        with open_member(archive, pattern, largest=LARGEST) as stream:
            assert stream.read() == b"of the bureau"


def test_pandas_and_pyarrow_read_the_stream_as_they_read_a_file(archive):
    expected = pd.read_csv(io.BytesIO(TABLE))
    with open_member(archive, "*.csv", largest=LARGEST) as stream:
        pd.testing.assert_frame_equal(pd.read_csv(stream), expected)
    with open_member(archive, "*.csv", largest=LARGEST) as stream:
        chunks = pd.concat(pd.read_csv(stream, chunksize=7000))
    pd.testing.assert_frame_equal(chunks, expected)
    options = pyarrow.csv.ReadOptions(block_size=1 << 16)
    with open_member(archive, "*.csv", largest=LARGEST) as stream:
        read = pyarrow.csv.open_csv(stream, read_options=options)
        table = pa.Table.from_batches(list(read))
    assert table.num_rows == len(expected)
    assert table["share"].to_pylist() == expected["share"].tolist()
    with open_member(archive, "*.csv", largest=LARGEST) as stream:
        assert sum(1 for _ in text_stream(stream)) == len(expected) + 1


# --- which member ----------------------------------------------------------------------------------------


def test_where_no_member_fits_the_error_lists_what_there_is(archive):
    with (
        pytest.raises(DataError, match=r"no member fits '\*\.xlsx'; it holds psam_p53\.csv and docs/README\.txt"),
        open_member(archive, "*.xlsx", largest=LARGEST),
    ):
        pass


def test_where_several_members_fit_the_error_lists_them(tmp_path):
    path = written(tmp_path, zip_of({"psam_pusa.csv": "a", "psam_pusb.csv": "b"}))
    with (
        pytest.raises(DataError, match=r"2 members fit 'psam_pus\*'.*psam_pusa\.csv and psam_pusb\.csv"),
        open_member(path, "psam_pus*", largest=LARGEST),
    ):
        pass


# --- hostile ---------------------------------------------------------------------------------------------

HOSTILE = {
    "absolute": (zip_with(entry("/etc/passwd")), "'/etc/passwd' has a name that leads out"),
    "upwards": (zip_with(entry("a/../../x.csv")), "leads out"),
    "drive": (zip_with(entry("C:x.csv")), "'C:x.csv' has a name that leads out"),
    "backslash": (zip_with(entry("..\\x.csv")), "leads out"),
    "control": (zip_with(entry("a\x1b[31m.csv")), "control characters"),
    "link": (zip_with(entry("x.csv", mode=0o120777)), "'x.csv' is a symbolic link"),
    "bzip2": (zip_with(entry("x.csv", method=zipfile.ZIP_BZIP2)), "packed with bzip2"),
    "bomb": (zip_bomb(5_000_000), "a decompression bomb"),
    "no zip": (b"a,b\n1,2\n", "no whole zip file"),
    "empty": (b"", "no whole zip file"),
    "page": (b"<!DOCTYPE html><title>Not Found</title>", "no whole zip file"),
}


@pytest.mark.parametrize(("content", "fault"), HOSTILE.values(), ids=HOSTILE)
def test_a_hostile_archive_is_one_clear_error(tmp_path, content, fault):
    path = written(tmp_path, content)
    with pytest.raises(DataError, match=fault):
        members(path)
    with pytest.raises(DataError, match=fault), open_member(path, largest=LARGEST):
        pass


def test_all_faults_of_an_archive_come_in_one_error(tmp_path):
    path = written(tmp_path, zip_with(entry("/a.csv"), entry("b.csv", mode=0o120777), entry("../c.csv")))
    with pytest.raises(DataError, match="3 faults"):
        members(path)


def test_a_name_that_is_there_twice_is_refused(tmp_path):
    with pytest.warns(UserWarning, match="Duplicate name"):
        content = zip_with(entry("a.csv"), entry("a.csv"))
    with pytest.raises(DataError, match=r"'a\.csv' is there twice"):
        members(written(tmp_path, content))


def test_an_encrypted_member_is_refused_with_its_name(tmp_path):
    content = bytearray(zip_with(entry("a.csv")))
    content[6] |= 1
    content[content.index(b"PK\x01\x02") + 8] |= 1
    with pytest.raises(DataError, match=r"'a\.csv' is encrypted"):
        members(written(tmp_path, bytes(content)))


def test_members_that_share_their_bytes_are_refused(tmp_path):
    """As in the bombs that unpack one kernel many times over (Fifield 2019)."""
    content = zip_with(entry("a.csv"), entry("b.csv"))
    first, second = (place for place in range(len(content)) if content[place : place + 4] == b"PK\x01\x02")
    shared = bytearray(content)
    shared[second + 42 : second + 46] = struct.pack("<I", 0)
    with pytest.raises(DataError, match="overlaps"):
        members(written(tmp_path, bytes(shared)))
    longer = bytearray(content)
    size = struct.unpack("<I", content[first + 20 : first + 24])[0]
    longer[first + 20 : first + 24] = struct.pack("<I", size + 20)
    with pytest.raises(DataError, match=r"'a\.csv' overlaps"):
        members(written(tmp_path, bytes(longer)))


def test_a_zip_inside_a_zip_is_refused(tmp_path):
    path = written(tmp_path, zip_of({"a.csv": zip_of({"b.csv": "x"})}))
    with pytest.raises(DataError, match="zip file inside a zip file"), open_member(path, largest=LARGEST):
        pass


def test_a_member_is_never_larger_than_may_be_whatever_it_declares(archive, tmp_path):
    with pytest.raises(DataError, match="are the most it may be"), open_member(archive, "*.csv", largest=1000):
        pass
    with pytest.raises(DataError, match="are the most it may be"):
        members(archive, largest=1000)
    assert members(archive, largest=LARGEST)
    # declares ten bytes and holds many
    content = bytearray(zip_of({"a.csv": TABLE}))
    place = content.index(b"PK\x01\x02")
    content[place + 24 : place + 28] = content[22:26] = struct.pack("<I", 10)
    path = written(tmp_path, bytes(content))
    with pytest.raises(DataError, match="CRC"), open_member(path, largest=1000) as stream:
        stream.read()


def test_what_comes_is_counted(archive, monkeypatch):
    # as if the archive declared less than it holds and zipfile believed it
    with open_member(archive, "*.csv", largest=len(TABLE)) as stream:
        stream.raw._largest = 100_000
        with pytest.raises(DataError, match="unpacks to more than the 100,000 bytes"):
            stream.read()


# --- damaged ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("reader", ["read", "pandas", "pyarrow"])
def test_damage_in_the_middle_comes_out_of_every_reader_as_one_error(tmp_path, reader):
    content = bytearray(zip_of({"a.csv": TABLE}, packed=False))
    content[300_000] ^= 0xFF
    with pytest.raises(DataError, match=r"a\.csv: is no whole zip file: Bad CRC-32"):
        read_by(reader, written(tmp_path, bytes(content)))
    packed = bytearray(zip_of({"a.csv": TABLE}))
    packed[60_000:60_040] = b"\xff" * 40
    with pytest.raises(DataError, match=r"a\.csv: is no whole zip file"):
        read_by(reader, written(tmp_path, bytes(packed)))


def read_by(reader: str, path: Path) -> None:
    with open_member(path, largest=LARGEST) as stream:
        if reader == "read":
            stream.read()
        elif reader == "pandas":
            pd.read_csv(stream)
        else:
            for _ in pyarrow.csv.open_csv(stream, read_options=pyarrow.csv.ReadOptions(block_size=1 << 16)):
                pass


@settings(max_examples=60)
@given(st.data())
def test_whatever_is_cut_off_or_changed_is_read_rightly_or_is_our_error(tmp_path_factory, data):
    good = zip_of({"a.csv": TABLE[:400], "b.csv": TABLE[:90]})
    content = bytearray(good)
    for _ in range(data.draw(st.integers(1, 3))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    del content[data.draw(st.one_of(st.just(len(content)), st.integers(0, len(content)))) :]
    path = written(tmp_path_factory.getbasetemp(), bytes(content))
    try:
        names = [member.name for member in members(path)]
        for name in names:
            with open_member(path, name, largest=LARGEST) as stream:
                read = stream.read()
            assert read in (TABLE[:400], TABLE[:90], b"")
    except (DataError, InputError):
        return


@pytest.mark.parametrize("end", [10, 30, 200])
def test_a_cut_off_archive_says_to_fetch_it_again(tmp_path, end):
    path = written(tmp_path, zip_of({"a.csv": TABLE})[:-end])
    with pytest.raises(DataError, match="Delete the file and fetch it again"):
        members(path)


def test_an_archive_that_is_not_there_is_said(tmp_path):
    with pytest.raises(InputError, match="No such file"):
        members(tmp_path / "none.zip")
    with pytest.raises(InputError, match="directory"), open_member(tmp_path, largest=1):
        pass


def test_an_error_of_the_reader_is_not_taken_for_one_of_the_archive(archive):
    with pytest.raises(ValueError, match="mine"), open_member(archive, "*.csv", largest=LARGEST):
        raise ValueError("mine")


# --- text ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("content", "text"),
    [
        ("Cañon City".encode(), "Cañon City"),
        (b"\xef\xbb\xbfName", "Name"),
        ("Doña Ana".encode("latin-1"), "Doña Ana"),
        ("O’Fallon – 5 €".encode("cp1252"), "O’Fallon – 5 €"),
        (b"\x81", "\x81"),
        ("Doña Ana\n".encode() + "Española\n".encode("latin-1"), "Doña Ana\nEspañola\n"),
        (b"\xef\xbb\xbf" + "Peñasco".encode("latin-1"), "Peñasco"),
        ("Añasco".encode("utf-16"), "Añasco"),
        (b"", ""),
    ],
)
def test_text_is_read_whatever_it_was_written_in(content, text):
    assert text_of(content) == text
    assert text_of(io.BytesIO(content)) == text
    if not content.startswith(b"\xff\xfe"):
        assert text_stream(io.BytesIO(content)).read() == text


def test_pandas_and_open_know_the_same_way_of_reading(tmp_path):
    path = tmp_path / "names.csv"
    path.write_bytes("name\nDoña Ana\n".encode() + "Española\n".encode("latin-1"))
    assert pd.read_csv(path, encoding="utf-8", encoding_errors=MIXED_TEXT)["name"].tolist() == ["Doña Ana", "Española"]
    with path.open(encoding="utf-8-sig", errors=MIXED_TEXT) as file:
        assert file.read().split() == ["name", "Doña", "Ana", "Española"]


@given(st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"])))
def test_text_in_utf_8_is_read_as_it_is(text):
    content = text.encode()
    assert text_of(content) == text.removeprefix("\ufeff")


@given(st.binary().filter(lambda content: b"\0" not in content and content[:2] not in (b"\xff\xfe", b"\xfe\xff")))
def test_no_bytes_are_too_odd_to_read(content):
    assert len(text_of(content)) <= len(content)


@pytest.mark.parametrize("content", [b"a\0b", b"\xff\xfea"])
def test_what_is_no_text_is_an_error_with_its_place(content):
    with pytest.raises(DataError, match=r"names\.csv: "):
        text_of(content, where="names.csv")


def test_writing_is_not_given_the_error_handler_of_reading():
    with pytest.raises(UnicodeEncodeError):
        "ñ".encode("ascii", errors=MIXED_TEXT)
