"""The panels that a run reads, built where they are absent or were made from other figures or other code.

In: the project's folder and the plan's choice of figures. Out: paths of Parquet files.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

Figures = Mapping[str, Sequence[str]]


def panel_path(root: Path, *, figures: Figures | None = None) -> Path:
    """Where the panel is kept; that of a plan with [figures] of its own beside the one of the shipped figures."""
    return _kept(root, "panel", figures=figures)


def uncorrected_path(root: Path, *, figures: Figures | None = None) -> Path:
    """Where the panel is kept in which known errors of the sources are left as published."""
    return _kept(root, "panel_uncorrected", figures=figures)


def _kept(root: Path, name: str, *, figures: Figures | None) -> Path:
    if figures:
        from wwc_research.panel.figures import hash_of_figures

        name = f"{name}_{hash_of_figures(figures)}"
    return root / "data" / "processed" / f"{name}.parquet"


def ensure_panel(root: Path, *, say: Callable[[str], None], figures: Figures | None = None) -> Path:
    """The panel file; it and its twin with the figures as published are built anew where they have to be.

    Parameters
    ----------
    figures
        `Plan.figures`: fetched vintages by column.

    Raises
    ------
    InputError
        Where `figures` names vintages that are not on disk, hold no such figures, or differ in definition.
    """
    from wwc_research.panel.build import build_panel, panel_is_current

    raw = root / "data" / "raw"
    wanted = ((panel_path(root, figures=figures), True), (uncorrected_path(root, figures=figures), False))
    for path, corrected in wanted:
        if not panel_is_current(path, raw=raw, figures=figures):
            if corrected:
                beside = " and the vintages that the plan names" if figures else ""
                say(f"Building the city-year panel from data/raw{beside} ...")
            build_panel(raw, corrected=corrected, figures=figures).write(path)
    return wanted[0][0]
