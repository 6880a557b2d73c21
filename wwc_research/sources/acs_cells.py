"""The text cells of one ACS table → estimates and margins of its lines, with the reason where one is missing.

In: rows of text under the publisher's column names. Out: `Cells`; every fault noted with file, row, column and value.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import pandas as pd

from wwc_research.errors import Faults, listed
from wwc_research.sources.acs_definitions import Definitions, Group

# `B28003_004E` in the interface and in some early files, `B28003_E004` in the table-based files.
_COLUMN: Final = re.compile(r"([BC]\d{5}[A-Z]{0,3})_(?:(\d{3})(EA|MA|E|M)|(E|M)(\d{3}))")
# Sums of lines may differ by what a disclosure rule rounds, never by a line of another meaning.
_SUM_TOLERANCE: Final = 0.001
_SUM_SLACK: Final = 10.0

_SHOWN: Final = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class Cells:
    """Lines of one table for one kind of area.

    Attributes
    ----------
    estimate, margin
        Rows of areas by `place_id`, a column a line; NaN where missing. A controlled estimate has margin 0.
    estimate_flag, margin_flag
        Why a figure is missing, or that an estimate is controlled; '' where there is nothing to say.
    is_open
        Whether the annotation says that a median lies in an open interval (`250,000+`).
    """

    estimate: pd.DataFrame
    margin: pd.DataFrame
    estimate_flag: pd.DataFrame
    margin_flag: pd.DataFrame
    is_open: pd.DataFrame


def named_columns(header: Sequence[str], *, group: Group, where: str, faults: Faults) -> dict[str, str] | None:
    """Publisher's column name to `E004`, `M004`, `EA004`, `MA004`; None where the header will not do.

    Faults: the column names of another table, an estimate or margin that is missing, more lines than the table has,
    no `GEO_ID`, a needed name that occurs twice. Other columns are left to the caller.
    """
    found: dict[str, str] = {}
    others: set[str] = set()
    for name in header:
        match = _COLUMN.fullmatch(name)
        if match is None:
            continue
        table, line, kind, kind_first, line_last = match.groups()
        if table == group.name:
            found[name] = f"{kind or kind_first}{line or line_last}"
        else:
            others.add(table)
    before = len(faults)
    if others:
        faults.add(f"{where}: holds columns of table {listed(sorted(others))}; expected {group.name} alone")
    needed = [name for name in header if name in found or name in ("GEO_ID", "state")]
    twice = sorted({name for name in needed if needed.count(name) > 1} if len(set(needed)) < len(needed) else ())
    if twice:
        faults.add(f"{where}: columns {listed(twice)} occur more than once")
    if "GEO_ID" not in header:
        faults.add(f"{where}: has no column GEO_ID; it has {listed(header, limit=8)}")
    wanted = [(kind, f"{line:03d}") for line in range(1, group.lines + 1) for kind in ("E", "M")]
    have = set(found.values())
    missing = [f"{group.name}_{line}{kind}" for kind, line in wanted if kind + line not in have]
    if missing and not others:
        faults.add(
            f"{where}: columns {listed(missing)} are missing (estimate and margin of {group.lines} lines expected); "
            f"it has {listed(header, limit=8)}"
        )
    beyond = sorted(int(name[1:]) for name in have if re.fullmatch(r"E\d{3}", name) and int(name[1:]) > group.lines)
    if beyond:
        faults.add(
            f"{where}: table {group.name} has lines {listed(beyond)} beyond the {group.lines} that "
            "catalog/acs_tables.toml knows: it was redrawn, and lines may mean other things. Compare the labels and "
            "give the definitions a last year there"
        )
    return found if len(faults) == before else None


def lines_needed(group: Group, *, known: Definitions) -> frozenset[int]:
    """Lines that a figure is made of, and those that the table's sums are held against."""
    used = (line for entry in known.of_group(group.name) for line in entry.used)
    return frozenset([*used, *(line for total in group.adds_up for line in total)])


def read_cells(
    text: pd.DataFrame,
    files: pd.Series,
    *,
    group: Group,
    known: Definitions,
    faults: Faults,
) -> Cells:
    """Numbers of the lines that are needed; a code in any other is no one's loss.

    Parameters
    ----------
    text
        Rows by `place_id`, columns `E001`, `M001`, ... (see `named_columns`) as text; '' or missing for nothing.
    files
        Name of the file that each row comes from, for the faults.
    """
    wanted = sorted(lines_needed(group, known=known))
    blocks = {
        kind: _block(text, files, kind=kind, lines=wanted, group=group, codes=codes, words=words, faults=faults)
        for kind, codes, words in (
            ("E", known.estimate_codes, known.estimate_signs),
            ("M", known.margin_codes, known.margin_signs),
        )
    }
    estimate, estimate_flag = blocks["E"]
    margin, margin_flag = blocks["M"]
    estimate_flag = np.where(np.isnan(estimate) & (estimate_flag == ""), "not_published", estimate_flag)
    margin = np.where(margin_flag == "controlled", 0.0, margin)
    margin_flag = np.where(np.isnan(margin) & (margin_flag == "") & ~np.isnan(estimate), "no_margin", margin_flag)
    signs = _signs(text, kind="E", lines=wanted)
    made = [pd.DataFrame(part, index=text.index, columns=wanted) for part in (estimate, margin)]
    flags = [pd.DataFrame(part, index=text.index, columns=wanted) for part in (estimate_flag, margin_flag)]
    is_open = signs.str.fullmatch(r"[\d,]+[+-]").to_numpy(dtype=bool).reshape(estimate.shape)
    _check_sums(made[0], files, group=group, faults=faults)
    return Cells(
        estimate=made[0],
        margin=made[1],
        estimate_flag=flags[0],
        margin_flag=flags[1],
        is_open=pd.DataFrame(is_open, index=text.index, columns=wanted),
    )


def _signs(text: pd.DataFrame, *, kind: str, lines: Sequence[int]) -> pd.Series:
    """The annotations of estimates or margins, row by row; '' where there are none."""
    names = [f"{kind}A{line:03d}" for line in lines]
    return pd.Series(text.reindex(columns=names).to_numpy(dtype=object).ravel()).fillna("").astype(str).str.strip()


def _block(
    text: pd.DataFrame,
    files: pd.Series,
    *,
    kind: str,
    lines: Sequence[int],
    group: Group,
    codes: Mapping[float, str],
    words: Mapping[str, str],
    faults: Faults,
) -> tuple[np.ndarray, np.ndarray]:
    """Numbers of all estimates or margins, NaN where a code or nothing stands; and the flag of each code or sign."""
    cells = pd.Series(text[[f"{kind}{line:03d}" for line in lines]].to_numpy(dtype=object).ravel())
    plain = cells.fillna("").astype(str).str.strip()
    number = pd.to_numeric(plain.where(plain != ""), errors="coerce").to_numpy(dtype=float)
    flag = pd.Series(number).map(codes).fillna("").to_numpy(dtype=object)
    known_codes = listed([f"{code:.0f}" for code in codes], limit=8)
    for wrong, what in (
        (np.isnan(number) & (plain != "").to_numpy(), "no number; fetch the file again"),
        (np.isinf(number), "no finite number; fetch the file again"),
        (
            (number < 0) & np.isfinite(number) & (flag == ""),
            f"negative and none of the codes known here ({known_codes}); add a new one to catalog/acs_tables.toml",
        ),
    ):
        hits = np.flatnonzero(wrong)
        if len(hits):
            shown = [
                f"{files.iloc[hit // len(lines)]}, row {text.index[hit // len(lines)]}, column "
                f"{group.name}_{lines[hit % len(lines)]:03d}{kind}: {plain.iloc[hit][:40]!r}"
                for hit in hits[:_SHOWN]
            ]
            more = f" and {len(hits) - _SHOWN:,} more" if len(hits) > _SHOWN else ""
            faults.add(f"{'; '.join(shown)}{more} {'is' if len(hits) == 1 else 'are'} {what}")
    from_sign = _signs(text, kind=kind, lines=lines).map(words).fillna("").to_numpy(dtype=object)
    # where there is an annotation it counts in place of the number beside it (Census Bureau, notes on annotations)
    flag = np.where(flag == "", from_sign, flag)
    number = np.where((number >= 0) & np.isfinite(number) & (flag == ""), number, np.nan)
    shape = (len(text), len(lines))
    return number.reshape(shape), flag.reshape(shape)


def _check_sums(estimate: pd.DataFrame, files: pd.Series, *, group: Group, faults: Faults) -> None:
    for total, *parts in group.adds_up:
        sums = estimate[parts].to_numpy().sum(axis=1)
        whole = estimate[total].to_numpy()
        off = np.abs(sums - whole) > np.maximum(_SUM_SLACK, _SUM_TOLERANCE * whole)
        if off.any():
            first = int(np.flatnonzero(off)[0])
            faults.add(
                f"{files.iloc[first]}: in {int(off.sum()):,} rows line {total:03d} of {group.name} is not the sum of "
                f"lines {listed([f'{line:03d}' for line in parts], limit=12)}, e.g. row {estimate.index[first]}: "
                f"{whole[first]:,.0f} against {sums[first]:,.0f}; the lines have moved or the file is damaged"
            )
