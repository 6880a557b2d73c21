"""Microdata files → weighted counts of any subsets by area under 81 weights, and shares and totals of them.

In: files of `microdata_files`, conditions on whole-number columns. Out: a `Tally`; frames of figures with errors.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, get_args

import numpy as np
import numpy.typing as npt
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
from scipy import sparse

from wwc_research.errors import DataError, Faults, InputError, listed
from wwc_research.sources.microdata_files import Member, batches, members, missing_columns
from wwc_research.sources.places import STATE_CODE
from wwc_research.sources.replicate_weights import REPLICATES, ratios, std_error

Floats = npt.NDArray[np.float64]
Integers = npt.NDArray[np.int64]
# A row fulfils a condition if each column named holds one of the codes listed; a blank fulfils none.
Condition = Mapping[str, Collection[int]]
Weight = Literal["PWGTP", "WGTP"]
By = Literal["puma", "state"]

_SERIAL, _ORDER = "SERIALNO", "SPORDER"
# Serial numbers of this length begin with the year (all from 2018 on); the shorter ones before tell nothing.
_DATED_SERIAL = 13
_FIVE_YEAR_AREAS = ("PUMA00", "PUMA10", "PUMA20")
_SHOWN = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class Tally:
    """Counts of subsets by area.

    Attributes
    ----------
    areas
        `P` and seven digits for a public-use microdata area, two digits for a state; sorted.
    subsets
        Names of the subsets.
    sampled
        Records of the sample, shape (areas, subsets).
    weighted
        Sums of weights, shape (areas, subsets, 81): the full weight, then the replicates.
    """

    areas: tuple[str, ...]
    subsets: tuple[str, ...]
    sampled: Integers
    weighted: Floats

    def of(self, subset: str) -> Floats:
        """Sums of weights of one subset, shape (areas, 81)."""
        return self.weighted[:, self.subsets.index(subset)]

    def sampled_of(self, subset: str) -> Integers:
        """Records of one subset by area."""
        return self.sampled[:, self.subsets.index(subset)]


def shares(tally: Tally, *, part: str, whole: str) -> pd.DataFrame:
    """Share of `whole` that is `part`, by area: `area`, `value`, `std_error` (of the ratio), `sampled` (of the whole).

    The value is NaN where the sample holds nobody of the whole. The error is that of `replicate_weights.std_error`,
    0 where no record or every record of the whole is of the part.
    """
    estimates = ratios(tally.of(part), tally.of(whole))
    return pd.DataFrame(
        {
            "area": list(tally.areas),
            "value": estimates[:, 0],
            "std_error": std_error(estimates),
            "sampled": tally.sampled_of(whole),
        }
    )


def totals(tally: Tally, *, subset: str) -> pd.DataFrame:
    """Number of people or housing units of a subset, by area: `area`, `value`, `std_error`, `sampled`."""
    estimates = tally.of(subset)
    return pd.DataFrame(
        {
            "area": list(tally.areas),
            "value": estimates[:, 0],
            "std_error": std_error(estimates),
            "sampled": tally.sampled_of(subset),
        }
    )


def tally(
    paths: Sequence[Path],
    *,
    subsets: Mapping[str, Condition],
    universe: Condition,
    codes: Mapping[str, tuple[int, int]] | None = None,
    weight: Weight = "PWGTP",
    by: By = "puma",
    year: int | None = None,
    factors: Mapping[int, int] | None = None,
    state: str | None = None,
    identity: Collection[str] = (_SERIAL, _ORDER),
) -> Tally:
    """Weighted counts of every subset of the universe by area, over all files, in one pass.

    Each file is read once in batches: memory holds one batch, the sums (areas × subsets × 81) and, for the check on
    duplicates, eight bytes a record of the universe.

    Parameters
    ----------
    paths
        Files of one data year: zips of the Census Bureau, or CSV files, plain or gzipped.
    subsets
        Name to condition, within the universe; an empty condition is the universe itself.
    universe
        Condition that a record must fulfil to be looked at, e.g. `{"AGEP": range(16, 25)}`.
    codes
        Column to lowest and highest code. Within the universe these columns are never blank, and hold no other code;
        name those that the publisher fills for everybody in the universe.
    weight
        `PWGTP` for files of persons, `WGTP` for files of housing units; the replicates carry the numbers 1 to 80.
    by
        `puma` or `state`.
    year
        Data year that the files must be of; None leaves it unchecked.
    factors
        The one value of ADJINC in the files of a year, by year. It tells the year of a file whose name and serial
        numbers do not; nothing is checked in files without the column, nor where neither the year nor the value found
        is among those given.
    state
        Two-digit code for files that have no column of the state.
    identity
        Columns that together name one record; none switches the check on duplicates off.

    Raises
    ------
    DataError
        With every fault of every file: columns missing (and what can still be had without them), codes and blanks that
        cannot be, records twice, another year or period, a state of another file, damage.
    """
    for name, value, allowed in (("weight", weight, get_args(Weight)), ("by", by, get_args(By))):
        if value not in allowed:
            raise InputError(f"{name}={value!r} is not known; choose from {listed(allowed)}")
    if not paths:
        raise InputError("no microdata file was given")
    if state is not None and state not in STATE_CODE.values():
        raise InputError(f"state={state!r} is no two-digit code of a state, such as 53 for Washington")
    found = [member for path in paths for member in members(path, kind=weight[0].lower() if weight == "PWGTP" else "h")]
    wanted = _Wanted(
        subsets=dict(subsets), universe=universe, codes=dict(codes or {}), weight=weight, by=by, year=year,
        factors=dict(factors or {}), state=state, identity=tuple(identity),
    )  # fmt: skip
    faults = Faults("microdata", kind=DataError)
    for member in found:
        _check_header(member, wanted, faults)
    faults.raise_if_any()
    sums: dict[int, Floats] = {}
    seen: list[npt.NDArray[np.uint64]] = []
    for member in found:
        seen += _add_up(member, wanted, sums, faults)
    _check_twice(found, wanted, seen, faults)
    faults.raise_if_any()
    if not sums:
        names = listed([Path(path).name for path in paths])
        raise DataError(f"{names}: no record of the universe ({_words(universe)})")
    order = sorted(sums)
    table = np.stack([sums[area] for area in order])
    return Tally(
        areas=tuple(f"P{area:07d}" if by == "puma" else f"{area:02d}" for area in order),
        subsets=tuple(subsets),
        sampled=table[:, :, 0].astype(np.int64),
        weighted=table[:, :, 1:],
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class _Wanted:
    """The question put to the files, as `tally` got it."""

    subsets: Mapping[str, Condition]
    universe: Condition
    codes: Mapping[str, tuple[int, int]]
    weight: str
    by: str
    year: int | None
    factors: Mapping[int, int]
    state: str | None
    identity: tuple[str, ...]

    @property
    def weights(self) -> list[str]:
        return [self.weight, *(f"{self.weight}{number}" for number in range(1, REPLICATES + 1))]

    @property
    def conditions(self) -> list[str]:
        """Columns that the universe and the subsets ask for, each once."""
        asked = [name for condition in (self.universe, *self.subsets.values()) for name in condition]
        return list(dict.fromkeys([*asked, *self.codes]))

    def columns(self, member: Member) -> list[str]:
        """All columns to read of a member."""
        places = ["PUMA"] if self.by == "puma" else []
        optional = [name for name in ("ST", "ADJINC", _SERIAL) if name in member.header]
        return list(dict.fromkeys([*places, *optional, *self.identity, *self.conditions, *self.weights]))


# --- headers -----------------------------------------------------------------------------------------------


def _check_header(member: Member, wanted: _Wanted, faults: Faults) -> None:
    columns = wanted.columns(member)
    missing = missing_columns(member, columns)
    replicates = [name for name in missing if name in wanted.weights[1:]]
    if replicates:
        faults.add(
            f"{member.label}: {len(replicates)} of the {REPLICATES} replicate weights are missing "
            f"({listed(replicates, limit=_SHOWN)}); without them no standard error can be had"
        )
    asked = [name for name in missing if name in wanted.conditions]
    if asked:
        faults.add(_without(member, asked, wanted))
    if "PUMA" in missing and any(name in member.header for name in _FIVE_YEAR_AREAS):
        present = [name for name in _FIVE_YEAR_AREAS if name in member.header]
        faults.add(f"{member.label}: holds {listed(present)}, no PUMA: it is a file of five years, not of one")
    others = [name for name in missing if name not in replicates and name not in asked]
    if others:
        faults.add(f"{member.label}: columns {listed(others)} are missing; it holds {listed(member.header, limit=12)}")
    twice = sorted({name for name in columns if member.header.count(name) > 1})
    if twice:
        faults.add(f"{member.label}: columns {listed(twice)} stand twice in the header")
    if "ST" not in member.header and wanted.state is None:
        faults.add(f"{member.label}: has neither column ST nor STATE; say which state it is of")
    if wanted.year is not None and member.year not in (None, wanted.year):
        faults.add(f"{member.label}: is of {member.year} by its name; {wanted.year} was expected")


def _without(member: Member, missing: Sequence[str], wanted: _Wanted) -> str:
    """What cannot be had from a member for want of columns, and what can."""
    lacks = set(missing)
    cannot = [name for name, condition in wanted.subsets.items() if lacks & set(condition)]
    can = [name for name, condition in wanted.subsets.items() if condition and not lacks & set(condition)]
    if lacks & set(wanted.universe):
        cannot, can = list(wanted.subsets), []
    rest = f"it can still give {listed(can, limit=12)}" if can else "nothing that was asked for can be had from it"
    return f"{member.label}: {_columns(missing)} missing, which {listed(cannot)} cannot do without; {rest}"


def _columns(names: Sequence[str]) -> str:
    return f"column {names[0]} is" if len(names) == 1 else f"columns {listed(names)} are"


def _words(condition: Condition) -> str:
    return " and ".join(f"{name} in {listed(sorted(codes), limit=12)}" for name, codes in condition.items())


# --- rows --------------------------------------------------------------------------------------------------


def _add_up(member: Member, wanted: _Wanted, sums: dict[int, Floats], faults: Faults) -> list[npt.NDArray[np.uint64]]:
    """Add a member's records to `sums` by area; one number a record of the universe, equal for equal identities."""
    told: list[str] = []

    def fault(text: str) -> None:
        told.append(text)
        faults.add(f"{member.label}: {text}")

    watch = _Watch(member=member, wanted=wanted)
    seen = []
    for batch in batches(member, columns=wanted.columns(member), fault=fault):
        watch.rows += batch.num_rows
        watch.look_at_all(batch)
        inside = batch.filter(pa.array(_holds(batch, wanted.universe)))
        if not inside.num_rows:
            continue
        watch.look_at_universe(inside)
        areas = _areas(inside, wanted)
        if areas is not None:
            _add_batch(inside, areas, wanted, sums)
        if wanted.identity:
            seen.append(_identities(inside, wanted.identity))
    if not watch.rows and not told:
        fault("holds no record")
    watch.report(fault)
    return seen


def _add_batch(batch: pa.RecordBatch, areas: Integers, wanted: _Wanted, sums: dict[int, Floats]) -> None:
    """Add one batch's records and weights to every (area, subset) they belong to, by one sparse product."""
    weights = np.empty((batch.num_rows, 2 + REPLICATES))
    weights[:, 0] = 1.0
    for position, name in enumerate(wanted.weights, start=1):
        weights[:, position] = _numbers(batch, name, blank=0)
    codes, places = np.unique(areas, return_inverse=True)
    belongs = np.column_stack([_holds(batch, condition) for condition in wanted.subsets.values()])
    rows, subset = np.nonzero(belongs)
    cells = places[rows] * belongs.shape[1] + subset
    shape = (len(codes) * belongs.shape[1], batch.num_rows)
    added = sparse.csr_matrix((np.ones(len(rows)), (cells, rows)), shape=shape) @ weights
    for code, block in zip(codes.tolist(), added.reshape(len(codes), belongs.shape[1], -1), strict=True):
        if code in sums:
            sums[code] += block
        else:
            sums[code] = block.copy()


def _holds(batch: pa.RecordBatch, condition: Condition) -> npt.NDArray[np.bool_]:
    """Which rows fulfil a condition; a blank fulfils none."""
    held = np.ones(batch.num_rows, dtype=bool)
    for name, codes in condition.items():
        held &= np.isin(_numbers(batch, name), np.fromiter(codes, dtype=np.int32))
    return held


def _numbers(batch: pa.RecordBatch, name: str, *, blank: int = -1) -> npt.NDArray[np.int32]:
    """A column with `blank` for blanks; no code is negative."""
    column = batch.column(name)
    return (pc.fill_null(column, blank) if column.null_count else column).to_numpy(zero_copy_only=False)


def _areas(batch: pa.RecordBatch, wanted: _Wanted) -> Integers | None:
    """State and area code as one number; None where one is blank or negative somewhere, which `_Watch` reports."""
    names = batch.schema.names
    states = (
        _numbers(batch, "ST").astype(np.int64) if "ST" in names else np.full(batch.num_rows, int(wanted.state or 0))
    )
    if wanted.by == "state":
        return None if (states < 0).any() else states
    areas = _numbers(batch, "PUMA").astype(np.int64)
    return None if (states < 0).any() or (areas < 0).any() else states * 100_000 + areas


def _identities(batch: pa.RecordBatch, identity: Sequence[str]) -> npt.NDArray[np.uint64]:
    """A 64-bit number for each record's identity: equal for equal ones, else different but for one chance in 10¹²."""
    total = np.zeros(batch.num_rows, dtype=np.uint64)
    for name in identity:
        values = batch.column(name).to_numpy(zero_copy_only=False)
        hashed = pd.util.hash_array(values, categorize=False)
        total = total * np.uint64(0x9E3779B97F4A7C15) + hashed
    return total


class _Watch:
    """What is odd about the records of one member, counted while they pass."""

    def __init__(self, *, member: Member, wanted: _Wanted) -> None:
        self.rows = 0
        self._member, self._wanted = member, wanted
        self._counts: dict[str, int] = {}
        self._factors: set[int] = set()
        self._states: set[int] = set()
        self._years: dict[str, int] = {}
        self._odd: dict[str, set[int]] = {}

    def _note(self, text: str, count: int) -> None:
        if count:
            self._counts[text] = self._counts.get(text, 0) + int(count)

    def look_at_all(self, batch: pa.RecordBatch) -> None:
        """Columns that decide whether a record is of the universe, and those that tell period and state."""
        for name in self._wanted.universe:
            self._look_at_codes(batch, name)
        for name, found in (("ADJINC", self._factors), ("ST", self._states)):
            if name in batch.schema.names:
                found |= set(pc.unique(batch.column(name)).to_pylist()) - {None}

    def look_at_universe(self, batch: pa.RecordBatch) -> None:
        """Blanks and unknown codes, weights, serial numbers."""
        for name in self._wanted.codes:
            if name not in self._wanted.universe:
                self._look_at_codes(batch, name)
        blank = [name for name in self._wanted.weights if batch.column(name).null_count]
        worst = max((batch.column(name).null_count for name in blank), default=0)
        self._note(f"with a blank in {listed(blank, limit=_SHOWN)}", worst)
        # A replicate weight may be negative, the weight itself never is.
        full = self._wanted.weight
        self._note(f"with a negative {full}", (_numbers(batch, full, blank=0) < 0).sum())
        for name in ("ST", "PUMA", *self._wanted.identity):
            if name in batch.schema.names:
                self._note(f"without {name}", batch.column(name).null_count)
        for name, highest in (("PUMA", 99_999), ("ST", 99)):
            if name in batch.schema.names:
                values = _numbers(batch, name, blank=0)
                self._note(f"with {name} outside 0 to {highest}", ((values < 0) | (values > highest)).sum())
        if _SERIAL in batch.schema.names and self._wanted.year is not None:
            serials = batch.column(_SERIAL)
            dated = serials.filter(pc.equal(pc.utf8_length(serials), _DATED_SERIAL))
            years = pc.utf8_slice_codeunits(dated, 0, 4)
            for entry in pc.value_counts(years).to_pylist():
                text = str(entry["values"])
                self._years[text] = self._years.get(text, 0) + entry["counts"]

    def _look_at_codes(self, batch: pa.RecordBatch, name: str) -> None:
        if name not in self._wanted.codes:
            return
        low, high = self._wanted.codes[name]
        self._note(f"without {name}", batch.column(name).null_count)
        values = _numbers(batch, name)
        outside = ((values < low) | (values > high)) & ~batch.column(name).is_null().to_numpy(zero_copy_only=False)
        self._note(f"with {name} outside {low} to {high}", outside.sum())
        if outside.any():
            self._odd.setdefault(name, set()).update(np.unique(values[outside]).tolist()[:_SHOWN])

    def report(self, fault: Callable[[str], None]) -> None:
        """Every oddity as a fault."""
        for text, count in self._counts.items():
            name = next((name for name in self._odd if f"with {name} outside" in text), None)
            example = f" (e.g. {listed(sorted(self._odd[name]), limit=_SHOWN)})" if name else ""
            fault(f"records {text}: {count:,}{example}")
        if len(self._factors) > 1:
            fault(
                f"column ADJINC holds {len(self._factors)} factors ({listed(sorted(self._factors))}): a file of one "
                "year has one, so this is a file of several years"
            )
        elif self._factors and self._wanted.year is not None:
            self._check_factor(next(iter(self._factors)), self._wanted.year, fault)
        other = {text: count for text, count in self._years.items() if text != str(self._wanted.year)}
        if other:
            shown = listed([f"{text} ({count:,})" for text, count in sorted(other.items())])
            fault(f"serial numbers begin with {shown}; {self._wanted.year} was expected")
        stated = self._member.state or self._wanted.state
        foreign = sorted(self._states - {int(stated)}) if stated else []
        if foreign:
            fault(f"holds records of states {listed([f'{code:02d}' for code in foreign])}; only {stated} was expected")

    def _check_factor(self, found: int, year: int, fault: Callable[[str], None]) -> None:
        """Compare the file's one ADJINC with that of the year wanted, and with those of other years."""
        factors = self._wanted.factors
        others = [known for known, factor in factors.items() if factor == found and known != year]
        if factors.get(year, found) == found and not others:
            return
        whose = f", the factor of {listed(others)}" if others else ""
        known = f", whose factor is {factors[year]}" if year in factors else ""
        fault(f"column ADJINC holds {found}{whose}; {year} was expected{known}")


def _check_twice(
    found: Sequence[Member], wanted: _Wanted, seen: Sequence[npt.NDArray[np.uint64]], faults: Faults
) -> None:
    """Name the records of the universe that stand in the files more than once."""
    if not seen:
        return
    numbers, counts = np.unique(np.concatenate(seen), return_counts=True)
    twice = numbers[counts > 1]
    if not len(twice):
        return
    names: list[str] = []
    for member in found:
        columns = list(dict.fromkeys([*wanted.identity, *wanted.universe]))
        for batch in batches(member, columns=columns, fault=lambda text: None):
            inside = batch.filter(pa.array(_holds(batch, wanted.universe)))
            for row in np.flatnonzero(np.isin(_identities(inside, wanted.identity), twice)).tolist():
                names.append(" ".join(str(inside.column(name)[row].as_py()) for name in wanted.identity))
    faults.add(
        f"{len(twice):,} records stand more than once ({' + '.join(wanted.identity)}: "
        f"{listed(sorted(set(names)), limit=_SHOWN)}); keep one file of each state, and either states or the country"
    )
