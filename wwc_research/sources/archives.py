"""Zip files of publishers, read without unpacking them to the disk, and publishers' text in whatever encoding.

In: a zip file and the name of a member. Out: a binary stream that cannot be a bomb; text.
"""

from __future__ import annotations

import codecs
import io
import lzma
import re
import stat
import struct
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path
from typing import IO, TYPE_CHECKING, BinaryIO, Final

from wwc_research.errors import DataError, Faults, InputError, listed

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer

MOST_MEMBERS: Final = 10_000
# Deflate packs at most 1,032 to 1; tables of figures are packed 3 to 40 to 1.
MOST_RATIO: Final = 250
# The ratio is not looked at below this size: no bomb, and a short file of zeros packs well.
RATIO_FROM: Final = 1 << 20
# The name of the error handler that reads bytes which are not UTF-8 as Windows-1252: for `errors=` of any decoder.
MIXED_TEXT: Final = "publishers-text"

_METHODS = {9: "deflate64", 12: "bzip2", 14: "lzma", 93: "zstandard"}
_LOCAL_HEAD = struct.Struct("<4s22xHH")
_FETCH_AGAIN = "Delete the file and fetch it again"
_UNREADABLE = (
    zipfile.BadZipFile,
    zipfile.LargeZipFile,
    zlib.error,
    lzma.LZMAError,
    struct.error,
    EOFError,
    OSError,
    NotImplementedError,  # zipfile, for a compression it does not know
    RuntimeError,
    ValueError,
    LookupError,
    OverflowError,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Member:
    """One file in a zip file.

    Attributes
    ----------
    name
        As the archive gives it, with its folders.
    size, packed_size
        Bytes as the archive declares them: unpacked, and in the archive.
    """

    name: str
    size: int
    packed_size: int


def members(path: Path, *, largest: int | None = None) -> tuple[Member, ...]:
    """The files in a zip file, in its order, after everything that can be checked without unpacking.

    To be called, with `largest`, before a library opens a zip file by itself, as openpyxl does with a workbook.

    Parameters
    ----------
    path
        The zip file.
    largest
        Most bytes that all members together may declare.

    Raises
    ------
    InputError
        If there is no such file, or it cannot be opened.
    DataError
        If it is no whole zip file, or has names that lead elsewhere, links, encrypted or overlapping members, a
        name twice, an unusual compression, or more than figures can be: all of it in one error.
    """
    with _archive(path) as archive:
        found = tuple(
            Member(name=info.filename, size=info.file_size, packed_size=info.compress_size)
            for info in archive.infolist()
            if not info.is_dir()
        )
    total = sum(member.size for member in found)
    if largest is not None and total > largest:
        raise DataError(f"{path}: unpacks to {total:,} bytes, and {largest:,} are the most it may be. {_FETCH_AGAIN}")
    return found


@contextmanager
def open_member(path: Path, pattern: str = "*", *, largest: int, is_workbook: bool = False) -> Iterator[BinaryIO]:
    """A binary stream of the one member of a zip file that fits `pattern`.

    The stream cannot go back. It serves `pyarrow.csv.open_csv`, `pandas.read_csv` and `io.TextIOWrapper`; what is
    wrong with the packed bytes comes out of them as the `DataError` of this module.

    Parameters
    ----------
    path
        The zip file.
    pattern
        Name of the member, or a pattern with `*`, `?` and `[…]`, in letters of either case. Without a slash it is
        held against the last part of a name.
    largest
        Most bytes that the member may unpack to, held against what it declares and against what comes.
    is_workbook
        Whether the member is an Excel workbook, which is itself a zip file; `workbooks.sheet_rows` checks it.

    Raises
    ------
    InputError
        If there is no such file, or it cannot be opened.
    DataError
        As for `members`; if no member or several fit; if the member is too large, is itself a zip file, or is
        damaged, also in the middle of reading.
    """
    with _archive(path) as archive:
        info = _chosen(archive, path=path, pattern=pattern)
        where = f"{path}, {info.filename}"
        if info.file_size > largest:
            raise DataError(
                f"{where}: unpacks to {info.file_size:,} bytes, and {largest:,} are the most it may be. {_FETCH_AGAIN}"
            )
        with _plain_errors(where):
            raw = archive.open(info)
        with raw, io.BufferedReader(_Unpacked(raw, where=where, largest=largest), 1 << 16) as stream:
            if not is_workbook and stream.peek(4)[:4] in (b"PK\x03\x04", b"PK\x05\x06"):
                raise DataError(f"{where}: is a zip file inside a zip file, which is not read. {_FETCH_AGAIN}")
            yield stream


def text_of(source: bytes | BinaryIO, *, where: str = "the text") -> str:
    """The text of a publisher's file, without byte order mark, whatever it was written in.

    Bytes that are UTF-8 are read as such, and all others as Windows-1252 (the few that have no sign there as
    Latin-1), also where both stand in one file. UTF-16 is recognised by its byte order mark.

    Parameters
    ----------
    source
        The bytes, or a binary stream, which is read to its end.
    where
        What the error calls the file.

    Raises
    ------
    DataError
        If it is no text: it holds bytes of zero.
    """
    content = source if isinstance(source, bytes) else source.read()
    if content.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        try:
            return content.decode("utf-16")
        except UnicodeDecodeError:
            raise DataError(f"{where}: begins as UTF-16 and is not. {_FETCH_AGAIN}") from None
    if b"\0" in content:
        raise DataError(f"{where}: is no text; it holds bytes of zero. {_FETCH_AGAIN}")
    return content.decode("utf-8-sig", errors=MIXED_TEXT)


def text_stream(stream: BinaryIO) -> io.TextIOWrapper:
    """The same decoding line by line, for files that are not held in memory; line ends are left as they are."""
    return io.TextIOWrapper(stream, encoding="utf-8-sig", errors=MIXED_TEXT, newline="")


# --- opening ---------------------------------------------------------------------------------------------


@contextmanager
def _archive(path: Path) -> Iterator[zipfile.ZipFile]:
    path = Path(path)
    try:
        file = path.open("rb")
    except OSError as error:
        raise InputError(f"{path}: cannot be opened: {error.strerror}. Fetch it first") from None
    with file:
        with _plain_errors(str(path)):
            archive = zipfile.ZipFile(file)
        with archive:
            _refuse_hostile(archive, file=file, path=path)
            yield archive


@contextmanager
def _plain_errors(where: str) -> Iterator[None]:
    """What zipfile raises inside the block, of a dozen kinds, becomes one `DataError`."""
    try:
        yield
    except _UNREADABLE as error:
        raise _unreadable(error, where=where) from None


def _unreadable(error: Exception, *, where: str) -> DataError:
    reason = str(error).strip() or type(error).__name__
    return DataError(f"{where}: is no whole zip file: {reason}. {_FETCH_AGAIN}")


def _chosen(archive: zipfile.ZipFile, *, path: Path, pattern: str) -> zipfile.ZipInfo:
    files = [info for info in archive.infolist() if not info.is_dir()]
    fitting = [info for info in files if info.filename == pattern] or [
        info for info in files if _fits(info.filename, pattern=pattern)
    ]
    if len(fitting) == 1:
        return fitting[0]
    if not fitting:
        inside = listed([info.filename for info in files], limit=20)
        raise DataError(f"{path}: no member fits {pattern!r}; it holds {inside}. Has the publisher changed the names?")
    names = listed([info.filename for info in fitting], limit=20)
    raise DataError(f"{path}: {len(fitting)} members fit {pattern!r}, where one is wanted: {names}")


def _fits(name: str, *, pattern: str) -> bool:
    held = name if "/" in pattern else name.rsplit("/", 1)[-1]
    return fnmatchcase(held.lower(), pattern.lower())


# --- what a zip file must not be -------------------------------------------------------------------------


def _refuse_hostile(archive: zipfile.ZipFile, *, file: BinaryIO, path: Path) -> None:
    infos = archive.infolist()
    if len(infos) > MOST_MEMBERS:
        raise DataError(f"{path}: {len(infos):,} members, and {MOST_MEMBERS:,} are the most that are read")
    faults = Faults(str(path), kind=DataError)
    seen: set[str] = set()
    for info in infos:
        for fault in _member_faults(info):
            faults.add(f"{fault}. {_FETCH_AGAIN}")
        if info.filename in seen:
            faults.add(f"member {info.filename!r} is there twice. {_FETCH_AGAIN}")
        seen.add(info.filename)
    for fault in _overlaps(archive, file=file):
        faults.add(f"{fault}. {_FETCH_AGAIN}")
    faults.raise_if_any()


def _member_faults(info: zipfile.ZipInfo) -> Iterator[str]:
    # zipfile turns backslashes into slashes on Windows and cuts a name at a zero byte; `orig_filename` is untouched
    name = info.orig_filename
    parts = re.split(r"[/\\]", name)
    if not name or name.startswith(("/", "\\")) or ".." in parts or "\\" in name or re.match(r"[A-Za-z]:", name):
        yield f"member {name!r} has a name that leads out of the archive"
    elif not name.isprintable():
        yield f"member {name!r} has control characters in its name"
    if info.create_system == 3 and stat.S_ISLNK(info.external_attr >> 16):
        yield f"member {name!r} is a symbolic link"
    if info.flag_bits & 0x1:
        yield f"member {name!r} is encrypted, and publishers' files are not"
    if info.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        way = _METHODS.get(info.compress_type, f"method {info.compress_type}")
        yield f"member {name!r} is packed with {way}, and only deflate is read"
    if info.file_size > RATIO_FROM and info.file_size > MOST_RATIO * info.compress_size:
        yield (
            f"member {name!r} unpacks {info.compress_size:,} bytes to {info.file_size:,}, more than "
            f"{MOST_RATIO} to 1: a decompression bomb"
        )


def _overlaps(archive: zipfile.ZipFile, *, file: BinaryIO) -> Iterator[str]:
    """Members whose packed bytes reach into the next one: the same bytes would be unpacked many times over."""
    infos = sorted(archive.infolist(), key=lambda info: info.header_offset)
    ends = [info.header_offset for info in infos[1:]] + [archive.start_dir]
    for info, end in zip(infos, ends, strict=True):
        try:
            file.seek(info.header_offset)
            magic, name_length, extra_length = _LOCAL_HEAD.unpack(file.read(_LOCAL_HEAD.size))
        except (OSError, ValueError, struct.error):
            magic, name_length, extra_length = b"", 0, 0
        if magic != b"PK\x03\x04":
            yield f"member {info.filename!r} does not begin where the list of members says"
        elif info.header_offset + _LOCAL_HEAD.size + name_length + extra_length + info.compress_size > end:
            yield f"member {info.filename!r} overlaps what comes after it"


class _Unpacked(io.RawIOBase):
    """The unpacked bytes of a member, counted, with plain errors."""

    def __init__(self, raw: IO[bytes], *, where: str, largest: int) -> None:
        self._raw, self._where, self._largest = raw, where, largest
        self._count = 0

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: WriteableBuffer, /) -> int:
        with memoryview(buffer) as view, view.cast("B") as target:
            with _plain_errors(self._where):
                piece = self._raw.read(len(target))
            self._count += len(piece)
            if self._count > self._largest:
                raise DataError(
                    f"{self._where}: unpacks to more than the {self._largest:,} bytes it may have. {_FETCH_AGAIN}"
                )
            target[: len(piece)] = piece
        return len(piece)


# --- text ------------------------------------------------------------------------------------------------


def _windows_1252(error: UnicodeError) -> tuple[str, int]:
    if not isinstance(error, UnicodeDecodeError):
        raise error
    wrong = error.object[error.start : error.end]
    signs = []
    for number in wrong:
        try:
            signs.append(bytes([number]).decode("cp1252"))
        except UnicodeDecodeError:
            signs.append(chr(number))
    return "".join(signs), error.end


codecs.register_error(MIXED_TEXT, _windows_1252)
