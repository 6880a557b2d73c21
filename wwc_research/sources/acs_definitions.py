"""`catalog/acs_tables.toml` → which lines of which ACS table make which figure, in which years, and what codes mean.

In: the package's own TOML file. Out: frozen definitions by name; a wrong entry is refused with all its faults.
"""

from __future__ import annotations

import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from functools import cache
from pathlib import Path
from typing import Any, Final, Literal

from wwc_research.errors import DataError, Faults, listed
from wwc_research.sources.observations import FLAG_WORDS

Product = Literal["one_year", "five_year"]
FILE: Final = Path(__file__).parents[1] / "catalog" / "acs_tables.toml"
_WORDS: Final[Mapping[Product, str]] = {"one_year": "ACS 1-year", "five_year": "ACS 5-year"}
_CODES: Final = ("estimate_codes", "estimate_signs", "margin_codes", "margin_signs")


@dataclass(frozen=True, slots=True, kw_only=True)
class Group:
    """One table of the survey; see the head of `acs_tables.toml` for the fields."""

    name: str
    title: str
    universe: str
    lines: int
    adds_up: tuple[tuple[int, ...], ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Definition:
    """One figure made of lines of a table; see the head of `acs_tables.toml` for the fields."""

    name: str
    group: str
    label: str
    one_year_from: int
    five_year_from: int
    one_year_to: int = 9999
    five_year_to: int = 9999
    otherwise: str = "the table was not published"
    numerator: tuple[int, ...] = ()
    denominator: tuple[int, ...] = ()
    excluded: tuple[int, ...] = ()
    line: int = 0
    lowest: float | None = None
    highest: float | None = None

    @property
    def is_median(self) -> bool:
        """Whether the figure is one published median rather than a share of counts."""
        return self.line > 0

    @property
    def used(self) -> tuple[int, ...]:
        """Every line that enters the figure."""
        return (self.line,) if self.is_median else (*self.denominator, *self.excluded, *self.numerator)

    def holds(self, year: int, *, product: Product) -> bool:
        """Whether the lines mean this in that release; a 5-year release is named by its last year."""
        first, last = self.span(product)
        return first <= year <= last

    def span(self, product: Product) -> tuple[int, int]:
        """First and last release for which the lines mean this."""
        if product == "one_year":
            return self.one_year_from, self.one_year_to
        return self.five_year_from, self.five_year_to

    def variable(self, product: Product) -> str:
        """Name in the observations: `broadband_share`, or `broadband_5y_share` for a 5-year figure."""
        stem, _, unit = self.name.rpartition("_")
        return self.name if product == "one_year" else f"{stem}_5y_{unit}"

    def measured(self, product: Product) -> str:
        """What the figure is made of, in words: only figures of the same text are of one series."""
        lines = _in_words((self.line,) if self.is_median else self.numerator)
        if not self.is_median:
            lines += f" over {_in_words(self.denominator)}"
        if self.excluded:
            lines += f" less {_in_words(self.excluded)}"
        return f"{self.label}: {self.group}, {lines}, {_WORDS[product]}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Definitions:
    """All groups and variables, and the flag of each number or sign that stands in place of a figure."""

    groups: Mapping[str, Group]
    variables: Mapping[str, Definition]
    estimate_codes: Mapping[float, str]
    margin_codes: Mapping[float, str]
    estimate_signs: Mapping[str, str] = field(default_factory=dict)
    margin_signs: Mapping[str, str] = field(default_factory=dict)

    def groups_of(self, year: int, *, product: Product) -> tuple[str, ...]:
        """The tables that at least one figure of that release is made of."""
        wanted = (entry.group for entry in self.variables.values() if entry.holds(year, product=product))
        return tuple(dict.fromkeys(wanted))

    def of_group(self, group: str) -> tuple[Definition, ...]:
        """The figures made of one table."""
        return tuple(entry for entry in self.variables.values() if entry.group == group)


@cache
def definitions() -> Definitions:
    """The package's own definitions, read once."""
    return parse(FILE.read_text(encoding="utf-8"), where=f"catalog/{FILE.name}")


def parse(text: str, *, where: str) -> Definitions:
    """The definitions in a TOML text; every wrong entry in one `DataError`."""
    raw = tomllib.loads(text)
    faults = Faults(where, kind=DataError)
    groups = {name: _entry(Group, name, entry, faults) for name, entry in raw.get("groups", {}).items()}
    variables = {name: _entry(Definition, name, entry, faults) for name, entry in raw.get("variables", {}).items()}
    faults.raise_if_any()
    known = {name: group for name, group in groups.items() if group is not None}
    for entry in variables.values():
        if entry is not None:
            _check_definition(entry, known, faults)
    for group in known.values():
        outside = [line for total in group.adds_up for line in total if not 1 <= line <= group.lines]
        if outside:
            faults.add(f"groups.{group.name}: adds_up names lines {listed(outside)} of {group.lines}")
    odd = sorted({flag for table in _CODES for flag in raw.get(table, {}).values()} - set(FLAG_WORDS))
    if odd:
        faults.add(f"flags {listed(odd)} are not known; there are {listed(FLAG_WORDS, limit=20)}")
    faults.raise_if_any()
    return Definitions(
        groups=known,
        variables={name: entry for name, entry in variables.items() if entry is not None},
        estimate_codes={float(code): flag for code, flag in raw.get("estimate_codes", {}).items()},
        margin_codes={float(code): flag for code, flag in raw.get("margin_codes", {}).items()},
        estimate_signs=raw.get("estimate_signs", {}),
        margin_signs=raw.get("margin_signs", {}),
    )


def _entry(kind: type[Any], name: str, entry: Mapping[str, Any], faults: Faults) -> Any:
    known = {item.name for item in fields(kind)} - {"name"}
    odd = sorted(set(entry) - known)
    if odd:
        faults.add(f"{name}: fields {listed(odd)} are not known; there are {listed(sorted(known), limit=20)}")
        return None
    values = {key: _frozen(value) for key, value in entry.items()}
    try:
        return kind(name=name, **values)
    except TypeError as error:
        faults.add(f"{name}: {str(error).removeprefix(f'{kind.__name__}.__init__() ')}")
        return None


def _in_words(lines: Sequence[int]) -> str:
    """`lines 7 to 10`, `lines 8 to 11 and 19 to 22`, `line 1`."""
    runs: list[list[int]] = []
    for line in sorted(lines):
        if runs and line == runs[-1][-1] + 1:
            runs[-1].append(line)
        else:
            runs.append([line])
    shown: list[str] = []
    for run in runs:
        shown += [f"{run[0]} to {run[-1]}"] if len(run) > 2 else [str(line) for line in run]
    # joined here and not by `listed`, whose words follow the language of the report: these are compared
    head = f"{', '.join(shown[:-1])} and " if len(shown) > 1 else ""
    return f"{'line' if len(lines) == 1 else 'lines'} {head}{shown[-1]}"


def _frozen(value: Any) -> Any:
    return tuple(_frozen(item) for item in value) if isinstance(value, list) else value


def _check_definition(entry: Definition, groups: Mapping[str, Group], faults: Faults) -> None:
    where = f"variables.{entry.name}"
    group = groups.get(entry.group)
    if group is None:
        faults.add(f"{where}: group {entry.group} has no entry; there are {listed(groups, limit=20)}")
        return
    outside = [line for line in entry.used if not 1 <= line <= group.lines]
    if outside:
        faults.add(f"{where}: lines {listed(outside)} lie outside the {group.lines} lines of {entry.group}")
    is_share = bool(entry.numerator and entry.denominator)
    if is_share == entry.is_median:
        faults.add(f"{where}: give either numerator and denominator, or line")
    unit = "_share" if is_share else "_usd"
    if not entry.name.endswith(unit):
        faults.add(f"{where}: its name must end in {unit}, its unit")
    if len(set(entry.numerator)) < len(entry.numerator) or set(entry.numerator) & set(entry.excluded):
        faults.add(f"{where}: a line counts twice, or is both counted and excluded")
