"""What the figures are expected to look like (`catalog/expectations.toml`) → everything that is not so, all at once.

In: shipped tables or a fetched vintage, and the file. Out: `Finding`s, each with its way out.
"""

from __future__ import annotations

import tomllib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Final, Literal

import numpy as np
import pandas as pd

from wwc_research.catalog import build_entry
from wwc_research.errors import DataError, Faults, listed
from wwc_research.sources import raw, revisions
from wwc_research.sources.revisions import HeldVintage, figure, is_relative, relative_change
from wwc_research.sources.tables import to_long

FILE = raw.CATALOG / "expectations.toml"
Severity = Literal["error", "moved"]
Rule = Literal["sum", "ascending", "mean_of", "ratio"]
ANY_YEAR: Final = "any"

_ADOPT = "If the publisher's figures did change, review `data check --draft` and commit it; otherwise mend the reader."
_MEND = "Look at the publisher's file and mend the reader, or declare a known error in corrections.toml."
# A change of one place is no rule: medians and changes are held where at least so many places have a figure.
FEWEST_PLACES = 10
_NEARLY_ALL = 0.99
MOST_WORDS = 12


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One thing that is not as expected.

    `error`: it cannot be right (bounds, keys, relations, unknown words, no expectation). `moved`: it may be right and
    somebody has to look (coverage, rows, medians, changes, revisions). `rule` is the expectation's name in the file.
    `text` names table, place or row, year, variable, value, expectation and way out.
    """

    severity: Severity
    table: str
    rule: str
    variable: str
    text: str

    @property
    def line(self) -> str:
        """`error  epa_aqi/vintage_2026: …`, for a terminal."""
        return f"{self.severity:<5}  {self.table}: {self.text}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Slack:
    """How much room a draft leaves around what it sees.

    `bounds` of the range (of the figure itself for counts and dollars), `medians` of the middle half's width, `change`
    of the largest change (half of that room is left around `shift`), `places` of the number of places, `shares` in
    absolute terms, `revision` of the largest revision.
    """

    bounds: float = 0.10
    medians: float = 0.25
    change: float = 0.25
    places: float = 0.02
    shares: float = 0.02
    revision: float = 0.25


@dataclass(frozen=True, slots=True, kw_only=True)
class Expectation:
    """What is expected of one variable of observations or one column of another table; see the head of the file."""

    bounds: tuple[float, ...] = ()
    medians: tuple[float, ...] = ()
    change: float | None = None
    shift: tuple[float, ...] = ()
    missing_share: float = 0.0
    flags: Mapping[str, float] = field(default_factory=dict)
    std_errors: tuple[float, ...] = ()
    std_error_share: float = 0.0
    revision: float | None = None
    places: Mapping[str, Any] = field(default_factory=dict)
    words: tuple[str, ...] = ()
    length: int | None = None
    blank_share: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Relation:
    """A rule between columns of one table; see the head of the file."""

    rule: Rule
    of: tuple[str, ...]
    because: str
    total: str = ""
    by: tuple[str, ...] = ()
    within: tuple[float, ...] = ()
    tolerance: float = 0.0

    @property
    def columns(self) -> set[str]:
        """Every column it speaks of."""
        return {*self.of, *self.by, *([self.total] if self.total else [])}


@dataclass(frozen=True, slots=True, kw_only=True)
class TableExpectation:
    """What is expected of one table."""

    kind: Literal["observations", "table"]
    rows: tuple[int, ...] = ()
    key: tuple[str, ...] = ()
    variables: Mapping[str, Expectation] = field(default_factory=dict)
    relations: tuple[Relation, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Expectations:
    """The whole file: by table, by source for what is fetched only, and the slack of its drafts."""

    tables: Mapping[str, TableExpectation]
    fetched: Mapping[str, Mapping[str, Expectation]]
    slack: Slack

    def of_source(self, source: str) -> TableExpectation:
        """What a fetched table of `source` is held to: the envelope of its shipped tables, and `[fetched]` above it.

        A fetched vintage has its own years, so coverage is the smallest number of places of any year.
        """
        chosen = [entry for name, entry in self.tables.items() if name.split("/")[0] == source]
        entries = [entry for entry in chosen if entry.kind == "observations"]
        merged: dict[str, Expectation] = {}
        for entry in entries:
            for variable, expected in entry.variables.items():
                loose = replace(expected, places=any_year(expected.places))
                merged[variable] = _envelope(merged[variable], loose) if variable in merged else loose
        merged |= self.fetched.get(source, {})
        relations = tuple(dict.fromkeys(relation for entry in entries for relation in entry.relations))
        return TableExpectation(kind="observations", key=("place_id", "year"), variables=merged, relations=relations)


def any_year(places: Mapping[str, Any]) -> dict[str, Any]:
    """The smallest number of places of any year, as coverage that names no year."""
    return {ANY_YEAR: [min(int(low) for low, _ in places.values()), 10**9]} if places else {}


def _envelope(a: Expectation, b: Expectation) -> Expectation:
    """What either of two expectations accepts."""

    def span(name: str) -> tuple[float, ...]:
        first, second = getattr(a, name), getattr(b, name)
        return (min(first[0], second[0]), max(first[1], second[1])) if first and second else first or second

    def largest(name: str) -> float | None:
        known = [value for value in (getattr(a, name), getattr(b, name)) if value is not None]
        return max(known, default=None)

    places = [item.places[ANY_YEAR][0] for item in (a, b) if item.places]
    return Expectation(
        bounds=span("bounds"),
        medians=span("medians"),
        change=largest("change"),
        shift=span("shift"),
        missing_share=max(a.missing_share, b.missing_share),
        flags={name: max(a.flags.get(name, 0.0), b.flags.get(name, 0.0)) for name in {*a.flags, *b.flags}},
        std_errors=span("std_errors"),
        std_error_share=min(a.std_error_share, b.std_error_share),
        revision=largest("revision"),
        places={ANY_YEAR: [min(places), 10**9]} if places else {},
    )


# --- reading the file ------------------------------------------------------------------------------------


def load_expectations(path: Path = FILE) -> Expectations:
    """The expectations of a file (the shipped one if left out); one `DataError` with every wrong field."""
    try:
        return parse_expectations(Path(path).read_text(encoding="utf-8"), file=path.name)
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"{path}: cannot be read: {error}") from error


def parse_expectations(text: str, *, file: str) -> Expectations:
    """The expectations in a TOML text; one `DataError` with every wrong field."""
    try:
        entries = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise DataError(f"{file}: cannot be read as TOML: {error}") from error
    faults = Faults(file, kind=DataError)
    odd = sorted(set(entries) - {"slack", "tables", "fetched"})
    if odd:
        faults.add(f"unknown sections {listed(odd)}; allowed: slack, tables and fetched")
    slack = build_entry(Slack, "slack", entries.get("slack", {}), faults) or Slack()
    tables = {}
    for name, values in entries.get("tables", {}).items():
        variables = _variables(f"tables.{name}", values.get("variables", {}), faults)
        relations = [
            _relation(f"tables.{name}.relations", item, set(variables), faults) for item in values.get("relations", [])
        ]
        plain = {key: value for key, value in values.items() if key not in ("variables", "relations")}
        entry = build_entry(TableExpectation, f"tables.{name}", plain, faults)
        if entry is not None:
            kept = tuple(relation for relation in relations if relation is not None)
            tables[name] = replace(entry, variables=variables, relations=kept)
    fetched = {
        source: _variables(f"fetched.{source}", values.get("variables", {}), faults)
        for source, values in entries.get("fetched", {}).items()
    }
    faults.raise_if_any()
    return Expectations(tables=tables, fetched=fetched, slack=slack)


def _variables(where: str, values: Mapping[str, Any], faults: Faults) -> dict[str, Expectation]:
    found = {}
    for name, fields in values.items():
        entry = build_entry(Expectation, f"{where}.variables.{name}", fields, faults)
        if entry is None:
            continue
        spans = {key: getattr(entry, key) for key in ("bounds", "medians", "shift", "std_errors")}
        spans |= {f"places.{key}": value for key, value in entry.places.items()}
        for key, span in spans.items():
            if len(span) not in ((2,) if key.startswith("places") else (0, 2)) or list(span) != sorted(span):
                faults.add(f"[{where}.variables.{name}] {key} = {list(span)} should be a smallest and a largest number")
        for key in entry.places:
            if key != ANY_YEAR and not all(part.isdigit() for part in key.split("-")):
                faults.add(f"[{where}.variables.{name}] places.{key}: write a year, two with a dash, or '{ANY_YEAR}'")
        found[name] = entry
    return found


def _relation(where: str, values: Mapping[str, Any], known: set[str], faults: Faults) -> Relation | None:
    entry = build_entry(Relation, where, values, faults)
    if entry is None:
        return None
    unknown = sorted(entry.columns - known - {"place_id", "year"})
    if unknown:
        faults.add(f"[{where}] speaks of {listed(unknown)}, which the table's expectations do not name")
    wanted = {"sum": len(entry.within) == 2, "mean_of": bool(entry.total), "ratio": entry.total and len(entry.of) == 2}
    if not wanted.get(entry.rule, True):
        faults.add(f"[{where}] {entry.rule} of {listed(entry.of)} lacks `within`, `total` or its two columns")
    return entry


# --- checking --------------------------------------------------------------------------------------------


def check_shipped(
    raw_dir: Path, *, expectations: Expectations | None = None
) -> tuple[list[raw.Table], tuple[Finding, ...]]:
    r"""The manifest, checked as `raw.check` does, and all that is not as expected; every file is read once.

    Raises
    ------
    DataError
        If a table is not what the manifest says; expectations are then not looked at.

    Examples
    --------
    >>> tables, findings = check_shipped(Path("data/raw"))  # doctest: +SKIP
    >>> print(*(finding.line for finding in findings), sep="\n")  # doctest: +SKIP
    """
    frames: dict[str, pd.DataFrame] = {}
    tables = raw.check(raw_dir, each=lambda table, frame: frames.update({table.name: frame}))
    return tables, check_expectations(frames, load_expectations() if expectations is None else expectations)


def check_expectations(frames: Mapping[str, pd.DataFrame], expectations: Expectations) -> tuple[Finding, ...]:
    """Everything in the shipped tables that is not as expected, errors first.

    Parameters
    ----------
    frames
        Tables by name, as `raw.read_table` gives them (observations wide).
    expectations
        As `load_expectations` gives them. Every table expected must be there, and nothing else.
    """
    found: list[Finding] = []
    for name in sorted({*frames, *expectations.tables}):
        if name not in frames:
            found.append(_finding("error", name, "tables", "", "the table is expected and absent. Restore it"))
        elif name not in expectations.tables:
            text = "there is no expectation for this table. Draft one with `data check --draft` and review it"
            found.append(_finding("error", name, "tables", "", text))
        else:
            found += _table_findings(name, frames[name], expectations.tables[name])
    return _ordered(found)


def check_fetched(data_dir: Path, *, expectations: Expectations | None = None) -> tuple[Finding, ...]:
    r"""What is not as expected in every fetched vintage, and what moved since the vintage before it.

    The vintage before is the one fetched last before it, or for the first fetched one the latest shipped vintage that
    shares a series with it. Hashes of the publisher's files are left to `vintages.verify`: call it first.
    Fetched tables that hold no observations are not looked at.

    Examples
    --------
    >>> print(*(finding.line for finding in check_fetched(Path("data"))), sep="\n")  # doctest: +SKIP
    """
    expected = load_expectations() if expectations is None else expectations
    held = revisions.held_vintages(data_dir)
    found: list[Finding] = []
    for position, vintage in enumerate(held):
        if vintage.origin != "fetched":
            continue
        earlier = [item for item in held[:position] if item.source == vintage.source]
        found += check_vintage(vintage, expectations=expected, earlier=earlier)
    return _ordered(found)


def check_vintage(
    vintage: HeldVintage, *, expectations: Expectations | None = None, earlier: Sequence[HeldVintage] = ()
) -> tuple[Finding, ...]:
    """What is not as expected in one fetched vintage, and what moved since the last of `earlier` that shares a series.

    Values outside the bounds by less than the bounds' own width are `moved`, since figures of new years may lie there.
    """
    expected = load_expectations() if expectations is None else expectations
    entry = expected.of_source(vintage.source)
    frames = {name: raw.read_table(vintage.folder, name) for name in vintage.tables}
    found: list[Finding] = []
    for name, frame in frames.items():
        held = set(value_columns(frame))
        mine = replace(entry, variables={key: item for key, item in entry.variables.items() if key in held})
        shown = f"{vintage.name.partition('@')[0]}@{vintage.vintage}/{name.partition('/')[2]}"
        found += _table_findings(shown, frame, mine, fetched=True)
    new = _long(frames, vintage)
    for previous in reversed(earlier):
        old = revisions.read_vintage(previous)
        shared = new.merge(old[["variable", "year"]].drop_duplicates(), on=["variable", "year"])
        if len(shared):
            found += compare_vintages(old, new, old_name=previous.name, new_name=vintage.name, expected=entry.variables)
            break
    return _ordered(found)


def _long(frames: Mapping[str, pd.DataFrame], vintage: HeldVintage) -> pd.DataFrame:
    parts = [to_long(frame, source=vintage.source, vintage=vintage.vintage) for frame in frames.values()]
    return pd.concat(parts, ignore_index=True)


def compare_vintages(
    old: pd.DataFrame,
    new: pd.DataFrame,
    *,
    old_name: str,
    new_name: str,
    expected: Mapping[str, Expectation],
) -> tuple[Finding, ...]:
    """What moved between two vintages: coverage, variables, re-scored series, revisions beyond what is expected.

    `old` and `new` are long observations. A year that the new one lacks for every variable is not told: a vintage holds
    the years that were asked for.
    """
    changed = revisions.revisions(old, new, old_name=old_name, new_name=new_name)
    fetched = set(new["year"])  # a year that no figure of the vintage has was not asked for
    found: list[Finding] = []

    def moved(rule: str, variable: str, text: str) -> None:
        found.append(_finding("moved", new_name, rule, variable, text))

    for (_, row), sentence in zip(changed.frame.iterrows(), changed.sentences, strict=True):
        variable, year = str(row["variable"]), int(row["year"])
        before = int(row["n_compared"] + row["n_vanished"])
        after = int(row["n_compared"] + row["n_appeared"])
        if row["judgement"] in ("re-scored", "revised"):
            limit = expected[variable].revision if variable in expected else None
            size = _revision_size(old, new, variable, year)
            if row["judgement"] == "re-scored":
                moved("revision", variable, f"{sentence} Look up what the publisher changed before using both.")
            elif limit is None:
                moved("revision", variable, f"{sentence} No size of revision is expected of it in expectations.toml.")
            elif size > limit:
                moved(
                    "revision", variable, f"{sentence} 95 % of figures were expected within {limit:g}; found {size:g}."
                )
        if row["n_vanished"] or row["n_appeared"]:
            text = f"coverage of {variable} in {year}: {before:,} → {after:,} places since {old_name}"
            details = [
                f"{row[f'n_{word}']:,} {word} ({row[f'{word}_flags']})"
                for word in ("appeared", "vanished")
                if row[f"n_{word}"]
            ]
            if row["n_compared"]:
                moved("places", variable, f"{text}: {listed(details)}")
            elif row["judgement"] == "vanished" and year in fetched:
                moved("places", variable, f"{text}. Fetch {year} too if it is still published")
    return tuple(found)


def _revision_size(old: pd.DataFrame, new: pd.DataFrame, variable: str, year: int) -> float:
    """The 95th percentile of revisions of one series, in the unit of `Expectation.revision`."""
    parts = [
        frame[(frame["variable"] == variable) & (frame["year"] == year)].set_index("place_id")["value"].dropna()
        for frame in (old, new)
    ]
    return float(relative_change(*parts, variable=variable).abs().quantile(0.95))


def _finding(severity: Severity, table: str, rule: str, variable: str, text: str) -> Finding:
    return Finding(severity=severity, table=table, rule=rule, variable=variable, text=text)


def _ordered(found: Sequence[Finding]) -> tuple[Finding, ...]:
    return tuple(sorted(found, key=lambda item: item.severity != "error"))


def _table_findings(
    table: str, frame: pd.DataFrame, expected: TableExpectation, *, fetched: bool = False
) -> list[Finding]:
    found: list[Finding] = []

    def add(severity: Severity, rule: str, variable: str, text: str) -> None:
        found.append(_finding(severity, table, rule, variable, text))

    _check_rows(frame, expected, add)
    observed = expected.kind == "observations"
    names = value_columns(frame) if observed else [str(name) for name in frame.columns]
    frame = by_place_and_year(frame) if observed else frame
    for name in sorted({*names, *expected.variables}):
        if name not in names:
            add("error", "variables", name, f"{name} is expected and absent; the table holds {listed(names, limit=12)}")
        elif name not in expected.variables:
            text = f"there is no expectation for {name}. Draft one with `data check --draft` and review it"
            add("moved" if fetched else "error", "variables", name, text)
        elif observed:
            _check_variable(frame, name, expected.variables[name], add, fetched=fetched)
        else:
            _check_column(frame[name], name, expected.variables[name], add)
    for relation in expected.relations:
        if relation.columns <= set(frame.columns):
            _check_relation(frame, relation, add)
    return found


_Add = Callable[[Severity, str, str, str], None]


def value_columns(frame: pd.DataFrame) -> list[str]:
    """The variables of a wide observation table."""
    return [str(c) for c in frame.columns if c not in ("place_id", "year") and "__" not in str(c)]


def _check_rows(frame: pd.DataFrame, expected: TableExpectation, add: _Add) -> None:
    if expected.rows and not expected.rows[0] <= len(frame) <= expected.rows[1]:
        add("moved", "rows", "", f"{len(frame):,} rows; expected {_range(expected.rows)}. {_ADOPT}")
    key = list(expected.key)
    if key and set(key) <= set(frame.columns):
        twice = frame.duplicated(key)
        if twice.any():
            shown = [" ".join(map(str, row)) for row in frame.loc[twice, key].itertuples(index=False)]
            text = (
                f"{_n(twice, 'row repeats', 'rows repeat')} a key of {listed(key)}: {listed(shown, limit=3)}. {_MEND}"
            )
            add("error", "key", "", text)
    elif key:
        add("error", "key", "", f"key columns {listed(sorted(set(key) - set(frame.columns)))} are absent. {_MEND}")


def _check_variable(frame: pd.DataFrame, name: str, expected: Expectation, add: _Add, *, fetched: bool) -> None:
    value = frame[name]
    flag = frame[f"{name}__flag"] if f"{name}__flag" in frame.columns else pd.Series("", index=frame.index)
    present = value.notna() | (flag != "")
    _check_bounds(frame, name, value, expected, add, fetched=fetched)
    _check_std_errors(frame, name, expected, add)
    count = int(present.sum())
    missing = int((present & value.isna()).sum())
    if count and missing / count > expected.missing_share:
        text = f"{missing:,} of {count:,} {name} have no value ({missing / count:.1%}); expected at most "
        add("moved", "missing_share", name, f"{text}{expected.missing_share:.1%}. {_ADOPT}")
    for word, number in flag[flag != ""].value_counts().sort_index().items():
        limit = expected.flags.get(str(word))
        if limit is None:
            text = f"{number:,} × {name} with the flag {word}, which is not expected of it (expected: "
            add(
                "error",
                "flags",
                name,
                f"{text}{listed(sorted(expected.flags)) if expected.flags else 'none'}). {_ADOPT}",
            )
        elif number / count > limit:
            text = f"{number:,} of {count:,} {name} with the flag {word} ({number / count:.1%}); expected at most"
            add("moved", "flags", name, f"{text} {limit:.1%}. {_ADOPT}")
    _check_years(frame, name, value, expected, add)
    _check_changes(frame, name, expected, add)


def _check_bounds(
    frame: pd.DataFrame, name: str, value: pd.Series, expected: Expectation, add: _Add, *, fetched: bool
) -> None:
    if not expected.bounds:
        return
    low, high = expected.bounds
    outside = value.notna() & ~value.between(low, high)
    if not outside.any():
        return
    width = high - low
    mild = fetched and bool(value[outside].between(low - width, high + width).all())
    distance = np.maximum(low - value, value - high)
    shown = _worst(frame, name, distance.where(outside))
    text = f"{_n(outside, 'value', 'values')} of {name} outside {low:g} to {high:g}: {shown}. "
    add("moved" if mild else "error", "bounds", name, text + (_ADOPT if mild else _MEND))


def _check_std_errors(frame: pd.DataFrame, name: str, expected: Expectation, add: _Add) -> None:
    column = f"{name}__se"
    with_value = frame[name].notna()
    error = frame[column] if column in frame.columns else pd.Series(np.nan, index=frame.index)
    if expected.std_errors:
        outside = error.notna() & ~error.between(*expected.std_errors)
        if outside.any():
            low, high = expected.std_errors
            distance = np.maximum(low - error, error - high)
            text = f"{_n(outside, 'standard error', 'standard errors')} of {name} outside {low:g} to {high:g}: "
            add("error", "std_errors", name, f"{text}{_worst(frame, column, distance.where(outside))}. {_MEND}")
    elif error.notna().any():
        text = f"{int(error.notna().sum()):,} {name} have a standard error where none is expected. {_ADOPT}"
        add("moved", "std_errors", name, text)
    share = error[with_value].notna().mean() if with_value.any() else 1.0
    if share < expected.std_error_share:
        text = f"{share:.1%} of the figures of {name} have a standard error; expected at least "
        add("moved", "std_error_share", name, f"{text}{expected.std_error_share:.1%}. {_ADOPT}")


def _worst(frame: pd.DataFrame, column: str, distance: pd.Series) -> str:
    """The three rows furthest off: `1.7 for 0103076 in 2016`."""
    rows = distance.dropna().sort_values(ascending=False, kind="stable").index[:3]
    shown = frame.loc[rows, [column, "place_id", "year"]].itertuples(index=False, name=None)
    return str(listed([f"{number:g} for {place_id} in {year}" for number, place_id, year in shown]))


def _check_years(frame: pd.DataFrame, name: str, value: pd.Series, expected: Expectation, add: _Add) -> None:
    """Coverage and median of each year."""
    grouped = value.groupby(frame["year"])
    counts, medians = grouped.count(), grouped.median()
    wanted = _by_year(expected.places)
    years = set(counts.index[counts > 0].astype(int))
    for year in sorted(years | {year for year in wanted if isinstance(year, int)}):
        span = wanted.get(year, wanted.get(ANY_YEAR))
        number = int(counts.get(year, 0))
        if span is None:
            known = listed(sorted(str(item) for item in expected.places), limit=20)
            text = f"{number:,} places have {name} in {year}, a year that is not expected (expected: {known}). {_ADOPT}"
            add("moved", "places", name, text)
        elif not span[0] <= number <= span[1]:
            most = span[1] < 10**9
            wish = _range(span) if most else f"at least {span[0]:,}"
            text = f"coverage of {name} in {year}: {number:,} places with a value; expected {wish}. "
            add("moved", "places", name, text + (_ADOPT if most else "Fewer is right where fewer were asked for."))
    if not expected.medians:
        return
    low, high = expected.medians
    for year, median in medians[counts >= FEWEST_PLACES].items():
        if not low <= median <= high:
            text = f"the median of {name} in {year} is {median:g}; expected {low:g} to {high:g}. {_ADOPT}"
            add("moved", "medians", name, text)


def _by_year(places: Mapping[str, Any]) -> dict[int | str, tuple[int, int]]:
    found: dict[int | str, tuple[int, int]] = {}
    for key, (low, high) in places.items():
        if key == ANY_YEAR:
            found[key] = (int(low), int(high))
            continue
        first, _, last = key.partition("-")
        found |= {year: (int(low), int(high)) for year in range(int(first), int(last or first) + 1)}
    return found


def by_place_and_year(frame: pd.DataFrame) -> pd.DataFrame:
    """A wide observation table in the order that `changes` wants, with the index it had and a column `place__code`."""
    if not {"place_id", "year"} <= set(frame.columns):
        return frame
    codes, _ = pd.factorize(frame["place_id"], sort=True)
    return frame.assign(place__code=codes).sort_values(["place__code", "year"])


def changes(ordered: pd.DataFrame, name: str) -> pd.DataFrame:
    """Change of each place from its last figure: columns `place_id`, `year`, `before`, `after`, `change`, `size`."""
    rows = ordered.loc[ordered[name].notna(), ["place_id", "place__code", "year", name]]
    codes, values = rows["place__code"].to_numpy(), rows[name].to_numpy(dtype=float)
    same = codes[1:] == codes[:-1]
    found = rows[["place_id", "year"]].iloc[1:][same].reset_index(drop=True)
    before, after = pd.Series(values[:-1][same]), pd.Series(values[1:][same])
    change = relative_change(before, after, variable=name)
    return found.assign(before=before, after=after, change=change, size=change.abs()).dropna(subset=["change"])


def yearly_changes(changed: pd.DataFrame) -> pd.DataFrame:
    """Of each year with figures of enough places: `size` (99th percentile of changes) and `shift` (their median)."""
    grouped = changed.groupby("year")
    found = pd.DataFrame({"size": grouped["size"].quantile(_NEARLY_ALL), "shift": grouped["change"].median()})
    return found[grouped.size() >= FEWEST_PLACES]


def _check_changes(ordered: pd.DataFrame, name: str, expected: Expectation, add: _Add) -> None:
    if expected.change is None and not expected.shift:
        return
    changed = changes(ordered, name)
    unit = " of the earlier figure" if is_relative(name) else ""
    for year, size, shift in yearly_changes(changed).itertuples(name=None):
        if expected.change is not None and size > expected.change:
            part = changed[changed["year"] == year]
            worst = part.loc[part["size"].idxmax()]
            text = (
                f"99 % of places change {name} by up to {size:.4g}{unit} in {year}; expected at most "
                f"{expected.change:g}. Largest: {figure(worst['before'], variable=name)} → "
                f"{figure(worst['after'], variable=name)} in {worst['place_id']}. {_ADOPT}"
            )
            add("moved", "change", name, text)
        if expected.shift and not expected.shift[0] <= shift <= expected.shift[1]:
            low, high = expected.shift
            text = f"the median place changes {name} by {shift:.4g}{unit} in {year}; expected {low:g} to {high:g}. "
            add("moved", "shift", name, f"{text}A change of definition, vintage or unit looks like this. {_ADOPT}")


def _check_column(column: pd.Series, name: str, expected: Expectation, add: _Add) -> None:
    """One column of a table that holds no observations; rows are counted as in the file, the header being row 1."""
    if pd.api.types.is_numeric_dtype(column):
        blank = column.isna()
        outside = ~blank & ~column.between(*expected.bounds) if expected.bounds else blank & False
        if outside.any():
            low, high = expected.bounds
            shown = [f"{column[i]:g} in row {i + 2}" for i in column.index[outside][:3]]
            text = f"{_n(outside, 'value', 'values')} of {name} outside {low:g} to {high:g}: {listed(shown)}. {_MEND}"
            add("error", "bounds", name, text)
    else:
        blank = column == ""
        _check_text(column[~blank], name, expected, add)
    share = float(blank.mean()) if len(column) else 0.0
    if share > expected.blank_share:
        text = f"{int(blank.sum()):,} of {len(column):,} cells of {name} are empty ({share:.1%}); expected at most "
        add("moved", "blank_share", name, f"{text}{expected.blank_share:.1%}. {_ADOPT}")


def _check_text(column: pd.Series, name: str, expected: Expectation, add: _Add) -> None:
    def told(rows: pd.Series) -> str:
        return str(listed([f"'{text}' in row {i + 2}" for i, text in rows.iloc[:3].items()]))

    if expected.words:
        odd = column[~column.isin(expected.words)]
        if len(odd):
            text = f"{_n(odd.notna(), 'cell', 'cells')} of {name} with a word that is not expected: {told(odd)}. "
            add("error", "words", name, f"{text}Expected: {listed(expected.words, limit=MOST_WORDS)}. {_ADOPT}")
    if expected.length is not None:
        odd = column[column.str.len() != expected.length]
        if len(odd):
            text = f"{_n(odd.notna(), 'code', 'codes')} of {name} without {expected.length} characters: {told(odd)}. "
            add("error", "length", name, f"{text}A code that lost its leading zeros looks like this. {_MEND}")


def _check_relation(frame: pd.DataFrame, relation: Relation, add: _Add) -> None:
    """One finding with the rows that break a relation; rows with a missing part are passed over."""
    parts = frame[list(relation.of)].apply(pd.to_numeric)
    whole = parts.notna().all(axis=1)
    where = list(relation.by) or [c for c in ("place_id", "year") if c in frame.columns]
    if relation.rule == "sum":
        seen = parts.sum(axis=1)[whole]
        if relation.by:
            seen = seen.groupby([frame.loc[whole, c] for c in relation.by]).sum()
            named = seen.index.to_frame(index=False)
            seen = seen.reset_index(drop=True)
        else:
            named = frame.loc[whole, where]
        broken = ~seen.between(*relation.within)
        what, wish = f"the sum of {listed(relation.of)}", f"{relation.within[0]:g} to {relation.within[1]:g}"
    else:
        named = frame[where]
        broken, seen, what, wish = _row_relation(frame, relation, parts, whole)
    if broken.any():
        rows = broken.index[broken][:3]
        shown = [f"{seen[i]:.6g} for {' '.join(str(item) for item in named.loc[i])}" for i in rows]
        cases = f"It is not in {_n(broken, 'case', 'cases')}: {listed(shown)}. {_MEND}"
        variable = relation.total or ", ".join(relation.of)
        add("error", relation.rule, variable, f"{what} should be {wish}: {relation.because}. {cases}")


def _row_relation(
    frame: pd.DataFrame, relation: Relation, parts: pd.DataFrame, whole: pd.Series
) -> tuple[pd.Series, pd.Series, str, str]:
    """Rows that break it, the value to show, what it is, and what it should be."""
    slack = relation.tolerance
    if relation.rule == "ascending":
        broken = whole & (parts.diff(axis=1).iloc[:, 1:].min(axis=1) < -slack)
        return broken, parts.iloc[:, 0], relation.of[0], f"the smallest of {' ≤ '.join(relation.of)}"
    total = pd.to_numeric(frame[relation.total])
    if relation.rule == "mean_of":
        broken = whole & total.notna() & ~total.between(parts.min(axis=1) - slack, parts.max(axis=1) + slack)
        return broken, total, relation.total, f"between its parts {listed(relation.of, limit=8)}"
    share = parts.iloc[:, 0] / parts.iloc[:, 1].where(parts.iloc[:, 1] != 0)
    broken = whole & total.notna() & share.notna() & ((total - share).abs() > slack)
    return broken, total, relation.total, f"{relation.of[0]} over {relation.of[1]}"


def _n(rows: pd.Series, one: str, many: str) -> str:
    """`1 value`, `2,300 values`."""
    number = int(rows.sum())
    return f"{number:,} {one if number == 1 else many}"


def _range(span: Sequence[float]) -> str:
    return f"{span[0]:,}" if span[0] == span[1] else f"{span[0]:,} to {span[1]:,}"
