"""A transfer that broke off, kept beside its target with what is needed to go on: never a splice of two versions.

In: a publisher's answers, as headers. Out: whether one continues another; the unfinished file, and the whole one.
"""

from __future__ import annotations

import email.utils
import errno
import hashlib
import json
import os
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import BinaryIO, Self

from wwc_research.atomic import write_text
from wwc_research.errors import InputError

_FULL_DISK = {errno.ENOSPC, getattr(errno, "EDQUOT", errno.ENOSPC)}
_PLACE = re.compile(r"bytes (\d{1,18})-(\d{1,18})/(\d{1,18})")


@dataclass(frozen=True, slots=True, kw_only=True)
class Version:
    """Which version of a file a transfer brings, as far as a later one can be held to it.

    Attributes
    ----------
    validator
        What If-Range is given, which wants a strong one (RFC 9110, 13.1.5): an ETag that is not weak, or a
        Last-Modified at least a minute older than the answer.
    etag, last_modified
        As the server gave them.
    total
        Bytes of the whole file.
    """

    validator: str
    etag: str
    last_modified: str
    total: int

    @classmethod
    def of(cls, headers: Mapping[str, str], *, total: int | None) -> Self | None:
        """The version that an answer's headers name; None where a later transfer could not be held to it."""
        etag, last_modified = headers.get("ETag", ""), headers.get("Last-Modified", "")
        modified, date = http_date(last_modified), http_date(headers.get("Date", ""))
        is_old = modified is not None and date is not None and date - modified >= timedelta(minutes=1)
        validator = etag if etag.startswith('"') else last_modified if is_old else ""
        if total is None or not validator or headers.get("Accept-Ranges", "").lower() == "none":
            return None
        return cls(validator=validator, etag=etag, last_modified=last_modified, total=total)

    def continues(self, headers: Mapping[str, str], *, offset: int) -> bool:
        """Whether a 206 with these headers brings the rest of this very version, from `offset` to its end."""
        place = _PLACE.fullmatch(headers.get("Content-Range", "").strip())
        if place is None or coding(headers):
            return False
        if tuple(map(int, place.groups())) != (offset, self.total - 1, self.total):
            return False
        etag, last_modified = headers.get("ETag", ""), headers.get("Last-Modified", "")
        # A server may leave one of the two out (RFC 9110, 15.3.7), but not the one that it was held to.
        agrees = etag in ("", self.etag) and last_modified in ("", self.last_modified)
        return agrees and self.validator in (etag, last_modified)


class Part:
    """The unfinished file beside its target (`<target>.part`); a note in `<target>.part.json` says of what."""

    def __init__(self, *, target: Path, url: str) -> None:
        self.target, self.url = target, url
        self.path = target.with_name(f"{target.name}.part")
        self._note = target.with_name(f"{target.name}.part.json")

    def length(self) -> int:
        """Bytes of the unfinished file; 0 where there is none."""
        try:
            return self.path.stat().st_size
        except OSError:
            return 0

    def version(self) -> Version | None:
        """The version begun; None where nothing can be taken up."""
        try:
            note = json.loads(self._note.read_text(encoding="utf-8"))
            url, version = note.pop("url"), Version(**note)
        except (OSError, ValueError, TypeError, AttributeError, KeyError):
            return None
        texts = (version.validator, version.etag, version.last_modified)
        is_sound = all(isinstance(text, str) for text in texts) and isinstance(version.total, int)
        return version if is_sound and url == self.url and 0 < self.length() < version.total else None

    def drop(self) -> None:
        """Remove the unfinished file and its note."""
        with plain_disk_errors(self.target):
            self._note.unlink(missing_ok=True)
            self.path.unlink(missing_ok=True)

    @contextmanager
    def opened(self, *, offset: int, version: Version | None) -> Iterator[BinaryIO]:
        """The unfinished file to write to from `offset` on; the note never speaks of other bytes than lie there."""
        if offset == 0:
            self._note.unlink(missing_ok=True)
            self.path.write_bytes(b"")
            if version is not None:
                write_text(self._note, json.dumps({"url": self.url, **asdict(version)}))
        with self.path.open("r+b") as file:
            file.seek(offset)
            yield file

    def finish(self) -> tuple[int, str]:
        """Bytes and sha256, read back from the disk, of the file that now has its final name."""
        with plain_disk_errors(self.target):
            with self.path.open("r+b") as file:
                digest = hashlib.file_digest(file, "sha256").hexdigest()
                os.fsync(file.fileno())
                size = os.fstat(file.fileno()).st_size
            self.path.replace(self.target)
            self._note.unlink(missing_ok=True)
        return size, digest


@contextmanager
def plain_disk_errors(target: Path) -> Iterator[None]:
    """An error of the disk inside the block becomes an `InputError` that names the target."""
    try:
        yield
    except OSError as error:
        if error.errno in _FULL_DISK:
            raise InputError(f"{target}: the disk is full. Make room and run the command again") from None
        why = error.strerror or type(error).__name__
        raise InputError(f"{target}: cannot be written: {why}. Choose another folder or its rights") from None


def coding(headers: Mapping[str, str]) -> str:
    """How a body is packed for the transfer; empty where it is not."""
    word = headers.get("Content-Encoding", "").strip().lower()
    return "" if word == "identity" else word


def http_date(text: str) -> datetime | None:
    """The moment of an HTTP date, in UTC where it names no zone; None where it is none."""
    try:
        moment = email.utils.parsedate_to_datetime(text)
    except (TypeError, ValueError, IndexError, OverflowError):
        return None
    return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment
