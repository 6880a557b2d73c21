"""Finished parts of an evidence pass on disk, so that a killed run goes on where it stopped and nothing is done twice.

In: a part's kind, what it was made from, its plain values. Out: the same values, as long as nothing they rest on has
changed.
"""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from importlib import metadata, resources
from pathlib import Path
from typing import Any, Final

from wwc_research.atomic import write_text
from wwc_research.messages import decoded, encoded

KEPT: Final = 3  # states of code and data whose parts are kept, so that going back and forth costs nothing
PACKAGES: Final = ("numpy", "pandas", "scipy", "statsmodels", "scikit-learn")
_PAGES: Final = ("report/", "cli/", "catalog/plan.toml")


def code_hash() -> str:
    """Hash over all code and declarations that numbers depend on; the pages and the plan are not among them."""
    base = Path(str(resources.files("wwc_research")))
    digest = hashlib.sha256()
    for path in sorted(base.rglob("*")):
        name = path.relative_to(base).as_posix()
        if path.suffix in (".py", ".toml") and not name.startswith(_PAGES):
            digest.update(name.encode() + b"\0" + path.read_bytes() + b"\0")
    for package in PACKAGES:
        digest.update(f"{package} {metadata.version(package)}\0".encode())
    return digest.hexdigest()


@dataclass(frozen=True, slots=True, kw_only=True)
class Parts:
    """Parts under `folder` that were made by one state of code and data, `state`."""

    folder: Path
    state: str

    @classmethod
    def of(cls, folder: Path, *, data_hash: str) -> Parts:
        """The parts that the code and figures at hand may use; those of states long past are removed."""
        state = hashlib.sha256(f"{code_hash()}\0{data_hash}".encode()).hexdigest()[:16]
        home = folder / state
        home.mkdir(parents=True, exist_ok=True)
        home.touch()
        others = sorted((path for path in folder.iterdir() if path.is_dir()), key=lambda path: path.stat().st_mtime)
        for old in others[:-KEPT]:
            shutil.rmtree(old, ignore_errors=True)
        return cls(folder=folder, state=state)

    def path(self, kind: str, *, made_from: Mapping[str, Any]) -> Path:
        """Where the part is kept; `made_from` are plain values, all that it rests on besides code and data."""
        key = hashlib.sha256(json.dumps(made_from, sort_keys=True, default=list).encode()).hexdigest()[:24]
        return self.folder / self.state / kind / f"{key}.json"


def read_part(path: Path) -> dict[str, Any] | None:
    """The part's values, or None where it was never finished or its file is damaged."""
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):  # not UTF-8, or no JSON
        return None
    return decoded(found) if isinstance(found, dict) else None


def write_part(path: Path, values: Mapping[str, Any]) -> None:
    """Write the part, whole or not at all; messages keep their template and values."""
    write_text(path, json.dumps(encoded(values), allow_nan=False) + "\n")
