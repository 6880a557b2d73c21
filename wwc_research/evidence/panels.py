"""The panels that a run reads, built where they are absent or were made from other figures or other code.

In: the project's folder. Out: paths of Parquet files.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path


def panel_path(root: Path) -> Path:
    """Where the panel is kept."""
    return root / "data" / "processed" / "panel.parquet"


def uncorrected_path(root: Path) -> Path:
    """Where the panel is kept in which known errors of the sources are left as published."""
    return root / "data" / "processed" / "panel_uncorrected.parquet"


def ensure_panel(root: Path, *, say: Callable[[str], None]) -> Path:
    """The panel file; it and its twin with the figures as published are built anew where they have to be."""
    from wwc_research.panel.build import build_panel, panel_is_current

    raw = root / "data" / "raw"
    for path, corrected in ((panel_path(root), True), (uncorrected_path(root), False)):
        if not panel_is_current(path, raw=raw):
            if corrected:
                say("Building the city-year panel from data/raw ...")
            build_panel(raw, corrected=corrected).write(path)
    return panel_path(root)
