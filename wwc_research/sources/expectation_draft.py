"""The shipped tables → the text of `catalog/expectations.toml` that they meet, to be reviewed as a diff.

In: `data/raw`, and the expectations held so far. Out: TOML text, the same for the same tables.
"""

from __future__ import annotations

import difflib
import itertools
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from wwc_research.sources import raw, revisions
from wwc_research.sources.expectations import (
    FEWEST_PLACES,
    FILE,
    MOST_WORDS,
    Expectation,
    Expectations,
    Relation,
    Slack,
    TableExpectation,
    any_year,
    by_place_and_year,
    changes,
    load_expectations,
    parse_expectations,
    value_columns,
    yearly_changes,
)
from wwc_research.sources.revisions import is_relative, relative_change

_LIMITS: Mapping[str, tuple[float, float]] = {"_share": (0.0, 1.0), "_pct": (0.0, 100.0)}
_NOT_NEGATIVE = ("_ratio", "_count", "_usd", "_index", "_ug_m3", "_per_100k")
# Without any slack a figure still meets what was drafted from it, whatever the last binary digit.
_LEAST_ROOM = 1e-6
_NOTHING = Expectation()

_HEAD = """\
# What the tables under data/raw are expected to look like; `data check` holds them to it, and fetched vintages too.
# Written by `data check --draft` from the tables themselves, with the slack declared below. A change of this file is
# reviewed as a diff: each changed line says what moved. Relations, the slack and `[fetched]` are written by hand, as is
# `revision` where no two shipped vintages overlap; a new draft carries them over.
#
# tables.<name>           rows and key of the table; then one entry a variable (observations) or column (other tables)
#   bounds                smallest and largest value accepted
#   medians               the median over places of each year lies within
#   change                99 % of places change by less than this from one figure to the next
#   shift                 the median change over places, each year, lies within
#                         (change, shift and revision: counts and dollars as a share of the earlier figure)
#   missing_share, flags  largest share of rows without a value, and of rows with each flag
#   std_errors            smallest and largest standard error; std_error_share: fewest figures with one, as a share
#   revision              95 % of figures are revised by less than this from one vintage to the next; where nothing is
#                         said, no expectation is held and every revision is told
#   places                number of places with a value, by year; a year that is not named is not expected
#   words, length, blank_share   of text: the words accepted, characters of a code, largest share of empty cells
# tables.<name>.relations  sum: the columns added up (and over the rows that share `by`) lie `within`; ascending: each
#                         column is at least the one before; mean_of: `total` lies between its parts; ratio: `total`
#                         is the first column over the second, give or take `tolerance`
# fetched.<source>        variables that only fetched vintages hold; what is shipped is held to the tables' entries
"""


def draft(raw_dir: Path, *, present: Expectations | None = None, fetched_dir: Path | None = None) -> str:
    """The text of an expectations file that the tables under `raw_dir` meet, with the slack of `present`.

    The same text for the same tables. Relations, revisions that cannot be measured and what is said of fetched sources
    are carried over from `present` (the shipped file if left out).

    Parameters
    ----------
    fetched_dir
        `data/fetched`: variables that only the latest fetched vintage of a source holds are drafted too.
    """
    known = load_expectations() if present is None else present
    slack = known.slack
    tables = sorted(raw.list_tables(raw_dir), key=lambda item: item.name)
    frames = {table.name: raw.read_table(raw_dir, table.name) for table in tables}
    revised = _measured_revisions(tables, frames, slack)
    lines = [_HEAD, "[slack]", *(f"{name} = {_number(getattr(slack, name))}" for name in Slack.__slots__)]
    shipped: dict[str, set[str]] = {}
    for table in tables:
        frame = by_place_and_year(frames[table.name])
        before = known.tables.get(table.name, TableExpectation(kind="table"))
        lines += ["", f'[tables."{table.name}"]', f'kind = "{_kind(table)}"', f"rows = [{len(frame)}, {len(frame)}]"]
        lines.append(f"key = {json.dumps(list(table.key))}")
        lines += _relation_lines(table.name, before.relations)
        observed = table.kind == "observations"
        names = value_columns(frame) if observed else [str(name) for name in frames[table.name].columns]
        shipped.setdefault(table.source, set()).update(names)
        for name in names if not observed else sorted(names):
            where = f'tables."{table.name}".variables.{name}'
            entry = _of_variable(frame, name, slack) if observed else _of_column(frame[name], slack)
            old = before.variables.get(name)
            measured = revised.get((table.source, name), old.revision if old is not None else None)
            lines += _entry_lines(where, replace(entry, revision=measured))
    for source, entries in sorted(_fetched_entries(known, fetched_dir, shipped).items()):
        for name, entry in sorted(entries.items()):
            lines += _entry_lines(f"fetched.{source}.variables.{name}", entry)
    return "\n".join(lines) + "\n"


def draft_diff(raw_dir: Path, *, path: Path = FILE, fetched_dir: Path | None = None) -> str:
    """What a new draft would change in the expectations file, as a unified diff; '' where nothing."""
    text = Path(path).read_text(encoding="utf-8")
    present = parse_expectations(text, file=path.name)
    made = draft(raw_dir, present=present, fetched_dir=fetched_dir)
    pair = (text.splitlines(keepends=True), made.splitlines(keepends=True))
    return "".join(difflib.unified_diff(*pair, f"{path.name} (committed)", f"{path.name} (draft)", n=2))


def _kind(table: raw.Table) -> str:
    return "observations" if table.kind == "observations" else "table"


def _of_variable(frame: pd.DataFrame, name: str, slack: Slack) -> Expectation:
    """What one variable of a wide observation table looks like, with room; `frame` as `by_place_and_year` gives it."""
    value = frame[name]
    flag = frame[f"{name}__flag"] if f"{name}__flag" in frame.columns else pd.Series("", index=frame.index)
    error = frame[f"{name}__se"] if f"{name}__se" in frame.columns else pd.Series(np.nan, index=frame.index)
    present = value.notna() | (flag != "")
    grouped = value.groupby(frame["year"])
    counts = grouped.count()
    middle = grouped.median()[counts >= FEWEST_PLACES]
    width = float(value.quantile(0.75) - value.quantile(0.25))
    by_year = yearly_changes(changes(frame, name))
    change = float(by_year["size"].max()) if len(by_year) else None
    shifts = by_year["shift"].tolist()
    low, high = float(middle.min()), float(middle.max())
    medians = _widened(low, high, width * slack.medians, _limits(name)) if len(middle) else ()
    with_error = float(error[value.notna()].notna().mean())
    missing = float((present & value.isna()).sum() / present.sum())
    words = flag[flag != ""].value_counts() / present.sum()
    return Expectation(
        bounds=_roomy(value, slack.bounds, limits=_limits(name), relative=is_relative(name)),
        medians=medians,
        change=None if change is None else _above(change * (1 + slack.change), change * slack.change),
        shift=_widened(min(shifts), max(shifts), (change or 0.0) * slack.change / 2) if shifts else (),
        missing_share=_share_above(missing, slack),
        flags={str(word): _share_above(float(share), slack) for word, share in sorted(words.items())},
        std_errors=_roomy(error, slack.bounds, limits=(0.0, np.inf)) if error.notna().any() else (),
        std_error_share=max(0.0, float(np.floor((with_error - slack.shares) * 100) / 100))
        if error.notna().any()
        else 0.0,
        places=_runs(
            {
                int(year): [int(np.floor(number * (1 - slack.places))), int(np.ceil(number * (1 + slack.places)))]
                for year, number in counts[counts > 0].items()
            }
        ),
    )


def _of_column(column: pd.Series, slack: Slack) -> Expectation:
    """What one column of another table looks like, with room."""
    if pd.api.types.is_numeric_dtype(column):
        blank = _share_above(float(column.isna().mean()), slack)
        name = str(column.name)
        bounds = _roomy(column, slack.bounds, limits=_limits(name), relative=is_relative(name))
        return Expectation(bounds=bounds, blank_share=blank)
    filled = column[column != ""]
    lengths = set(filled.str.len())
    words = sorted(set(filled))
    is_code = len(lengths) == 1 and bool(filled.str.fullmatch(r"P?\d+").all()) and len(words) > MOST_WORDS
    return Expectation(
        words=tuple(words) if len(words) <= MOST_WORDS and len(filled) >= 2 * len(words) else (),
        length=int(next(iter(lengths))) if is_code else None,
        blank_share=_share_above(float((column == "").mean()), slack),
    )


def _measured_revisions(
    tables: Sequence[raw.Table], frames: Mapping[str, pd.DataFrame], slack: Slack
) -> dict[tuple[str, str], float]:
    """By source and variable the largest 95th percentile of revisions over years, of shipped vintages that overlap.

    A re-scored variable is left out: what the publisher did once is nothing to expect.
    """
    found: dict[tuple[str, str], float] = {}
    rescored: set[tuple[str, str]] = set()
    observed = [table for table in tables if table.kind == "observations"]
    for old, new in itertools.combinations(observed, 2):
        pair = frames[old.name], frames[new.name]
        shared = sorted(set(value_columns(pair[0])) & set(value_columns(pair[1])))
        if old.source != new.source or old.vintage == new.vintage or not shared:
            continue
        both = pair[0].merge(pair[1], on=["place_id", "year"], suffixes=("__old", "__new"))
        for variable, (_, part) in itertools.product(shared, both.groupby("year")):
            earlier, later = part[f"{variable}__old"], part[f"{variable}__new"]
            held = earlier.notna() & later.notna()
            if not held.any():
                continue
            key = (old.source, variable)
            if revisions.judge(earlier[held], later[held], variable=variable) == "re-scored":
                rescored.add(key)
            size = float(relative_change(earlier[held], later[held], variable=variable).abs().quantile(0.95))
            limit = _above(size * (1 + slack.revision), size * slack.revision) if size else 0.0
            found[key] = max(found.get(key, 0.0), limit)
    return {key: size for key, size in found.items() if key not in rescored}


def _fetched_entries(
    known: Expectations, fetched_dir: Path | None, shipped: Mapping[str, set[str]]
) -> dict[str, dict[str, Expectation]]:
    found = {source: dict(entries) for source, entries in known.fetched.items()}
    if fetched_dir is None:
        return found
    for vintage in revisions.held_vintages(Path(fetched_dir).parent):
        if vintage.origin != "fetched":
            continue
        for table in vintage.tables:
            frame = by_place_and_year(raw.read_table(vintage.folder, table))
            for name in value_columns(frame):
                if name not in shipped.get(vintage.source, set()):
                    entry = _of_variable(frame, name, known.slack)
                    found.setdefault(vintage.source, {})[name] = replace(entry, places=any_year(entry.places))
    return found


def _limits(name: str) -> tuple[float, float]:
    if name.endswith(_NOT_NEGATIVE):
        return (0.0, np.inf)
    return next((limits for suffix, limits in _LIMITS.items() if name.endswith(suffix)), (-np.inf, np.inf))


def _roomy(values: pd.Series, room: float, *, limits: tuple[float, float], relative: bool = False) -> tuple[float, ...]:
    """Smallest and largest with room: a part of the range, or of either figure itself where sizes differ widely.

    What is never negative stays so, and whole numbers stay whole.
    """
    if not values.notna().any():
        return ()
    low, high = float(values.min()), float(values.max())
    if low >= 0:
        limits = (max(0.0, limits[0]), limits[1])
    if pd.api.types.is_integer_dtype(values) and not relative:
        whole = int(room * (high - low))
        return (max(low - whole, limits[0]), min(high + whole, limits[1]))
    if relative:
        return (_widened(low, low, room * abs(low), limits)[0], _widened(high, high, room * abs(high), limits)[1])
    return _widened(low, high, room * ((high - low) or abs(high) or 1.0), limits)


def _widened(
    low: float, high: float, room: float, limits: tuple[float, float] = (-np.inf, np.inf)
) -> tuple[float, float]:
    """The span with room on both sides, rounded outwards to two digits of the room, within the unit's limits."""
    room = max(room, _LEAST_ROOM)
    grain = _grain(room)
    wide = (np.floor((low - room) / grain) * grain, np.ceil((high + room) / grain) * grain)
    return (float(max(_tidy(wide[0], grain), limits[0])), float(min(_tidy(wide[1], grain), limits[1])))


def _above(value: float, room: float) -> float:
    grain = _grain(max(room, _LEAST_ROOM))
    return _tidy(np.ceil((value + _LEAST_ROOM) / grain) * grain, grain)


def _grain(room: float) -> float:
    return float(10.0 ** (np.floor(np.log10(room)) - 1))


def _tidy(value: float, grain: float) -> float:
    return round(float(value), max(0, int(-np.floor(np.log10(grain)))))


def _share_above(share: float, slack: Slack) -> float:
    return float(min(1.0, np.ceil(round((share + slack.shares) * 100, 6)) / 100)) if share > 0 else 0.0


def _runs(by_year: Mapping[int, list[int]]) -> dict[str, Any]:
    """Years with the same span as one entry: `2006-2009`."""
    runs: list[tuple[int, int, list[int]]] = []
    for year, span in sorted(by_year.items()):
        if runs and runs[-1][1] == year - 1 and runs[-1][2] == span:
            runs[-1] = (runs[-1][0], year, span)
        else:
            runs.append((year, year, span))
    return {str(first) if first == last else f"{first}-{last}": span for first, last, span in runs}


def _relation_lines(table: str, relations: Sequence[Relation]) -> Iterator[str]:
    for relation in relations:
        yield f'[[tables."{table}".relations]]'
        for name in ("rule", "of", "total", "by", "within", "tolerance", "because"):
            value = getattr(relation, name)
            if value not in ("", (), 0.0):
                yield f"{name} = {_toml(value)}"


def _entry_lines(where: str, entry: Expectation) -> Iterator[str]:
    """One expectation as TOML; a field that says nothing is left out."""
    yield f"[{where}]"
    for name in Expectation.__slots__:
        value = getattr(entry, name)
        if name in ("places", "flags") or value == getattr(_NOTHING, name):
            continue
        yield f"{name} = {_toml(value)}"
    if entry.flags:
        yield f"flags = {{{', '.join(f'{word} = {_number(share)}' for word, share in sorted(entry.flags.items()))}}}"
    if entry.places:
        yield f"[{where}.places]"
        for years, (low, high) in entry.places.items():
            yield f"{years} = [{low}, {high}]"


def _toml(value: Any) -> str:
    if isinstance(value, tuple):
        return f"[{', '.join(_toml(item) for item in value)}]"
    return json.dumps(value, ensure_ascii=False) if isinstance(value, str) else _number(value)


def _number(value: float) -> str:
    return str(int(value)) if float(value).is_integer() else repr(float(value))
