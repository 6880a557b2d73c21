"""Publishers' files that were saved by hand, taken from a folder as if the publisher had just sent them.

In: a folder and the `Remote` files wanted. Out: copies beside a `Download` each; the folder itself is only read.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Final, Self

from wwc_research.errors import Faults, InputError
from wwc_research.sources.access_keys import Key
from wwc_research.sources.download import Download
from wwc_research.sources.resumption import Part, plain_disk_errors
from wwc_research.sources.retrieval import Remote
from wwc_research.sources.signatures import whole_fault

# `Download.mirror` of a file that came from a folder; the address of a mirror begins with http.
HANDED_IN: Final = "file"


class HandedIn:
    """Stands in for a `Client`: the files come from a folder.

    Parameters
    ----------
    folder
        Holds each file under the `name` of its `Remote`; other files are not looked at.
    progress
        Called with the file's name, and its bytes twice, once it is copied.
    """

    def __init__(self, folder: Path, *, progress: Callable[[str, int, int | None], None] | None = None) -> None:
        self.folder = Path(folder)
        self._progress = progress
        if not self.folder.is_dir():
            raise InputError(f"--files {folder}: there is no such folder")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None: ...

    def sizes(self, remotes: Sequence[Remote]) -> dict[str, int]:
        """Bytes of each file, after the checks that a download has to pass.

        Raises
        ------
        InputError
            One, with every file that is missing (and its address), too large, cut off or of another kind.
        """
        faults = Faults(f"--files {self.folder}")
        found = {}
        for remote in remotes:
            path = self.folder / remote.name
            try:
                found[remote.name] = path.stat().st_size
                if fault := _fault(path, remote=remote, size=found[remote.name]):
                    faults.add(f"{remote.name}: {fault}; save it again from {remote.url}")
            except FileNotFoundError:
                empty = ", or make an empty file of that name if there is nothing" if remote.may_be_empty else ""
                faults.add(f"{remote.name} is missing; save {remote.url} under that name{empty}")
            except OSError as error:
                faults.add(f"{remote.name} cannot be read ({error.strerror}); change its rights or save it again")
        faults.raise_if_any()
        return found

    def fetch(self, remote: Remote, *, target: Path) -> Download:
        """A copy of the folder's file at `target`, whole."""
        part = Part(target=Path(target), url=remote.url)
        with plain_disk_errors(target):
            shutil.copyfile(self.folder / remote.name, part.path)
        size, digest = part.finish()
        if self._progress is not None:
            self._progress(remote.name, size, size)
        return Download(
            name=remote.name,
            url=remote.url,
            sha256=digest,
            bytes=size,
            retrieved_at=f"{datetime.now(UTC):%Y-%m-%dT%H:%M:%SZ}",
            mirror=HANDED_IN,
        )

    def fetch_if_changed(self, remote: Remote, *, target: Path, known: Download) -> Download | None:
        """A copy of the folder's file at `target`, also where it is the `known` one."""
        return self.fetch(remote, target=target)


def _fault(path: Path, *, remote: Remote, size: int) -> str:
    """What a download would be refused for; empty where there is nothing."""
    if not path.is_file():
        return "is no file"
    if size == 0 and remote.may_be_empty:
        return ""
    if size > remote.largest:
        return f"it has {size:,} bytes, and {remote.largest:,} are the most (largest_mb in catalog/sources.toml)"
    if fault := whole_fault(path, kind=remote.kind):
        return fault
    value = "" if remote.key is None else os.environ.get(remote.key[1], "").strip()
    if value and Key("", value).is_in(path.read_text(encoding="utf-8", errors="replace")):
        return "it repeats the key, which must not lie on the disk"
    return ""
