"""Two vintages of a source → what the publisher changed, per variable and year, in numbers and in plain words.

In: long observations, or names such as `epa_aqi@2022`. Out: `Revisions`: a frame, sentences, CSV text.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pandas as pd

from wwc_research.errors import DataError, InputError, listed
from wwc_research.messages import MINUS, Message, counted, message
from wwc_research.sources import raw, vintages
from wwc_research.sources.tables import csv_bytes

Judgement = Literal["re-scored", "revised", "unchanged", "appeared", "vanished", "no_figures"]
Origin = Literal["shipped", "fetched"]

# A series is re-scored where the whole of it moves one way. In EPA's re-scoring of 2024 81 to 86 % of counties moved,
# 99 % of them the same way, with a mean of 1.3 to 1.5 standard deviations of the revisions; the revisions of the
# Census Bureau's population estimates reach 76 % one way (measured on the shipped tables).
RESCORED_FEWEST = 10
RESCORED_MOVED = 0.5
RESCORED_ONE_WAY = 0.9
RESCORED_MEAN_TO_SPREAD = 0.5
# Shipped figures keep six decimals.
_ROUNDING = 5e-7

_KEY = ["place_id", "year", "variable"]
COLUMNS = (
    "variable", "year", "judgement", "n_compared", "n_equal", "n_revised", "n_up", "n_down",
    "mean_old", "mean_new", "mean_revision", "median_revision", "p05_revision", "p95_revision",
    "sd_old", "standardised", "median_std_errors", "largest_revision", "largest_place_id",
    "n_appeared", "n_vanished", "appeared_flags", "vanished_flags", "definition_old", "definition_new",
)  # fmt: skip


# --- naming a vintage ------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class HeldVintage:
    """One vintage of a source's observations that is held here, shipped or fetched.

    Attributes
    ----------
    source, vintage
        As in the observations; the vintage of fetched figures is the name of their folder.
    origin
        `shipped` (under `data/raw`) or `fetched` (under `data/fetched`).
    folder
        Where its manifest lies.
    tables
        Names of its tables of observations.
    definitions
        What its figures measure, by variable, where that is declared; otherwise what the variable's name says.
    """

    source: str
    vintage: str
    origin: Origin
    folder: Path
    tables: tuple[str, ...]
    definitions: Mapping[str, str]

    @property
    def name(self) -> str:
        """`epa_aqi@2022`: how a command names it."""
        return f"{self.source}@{self.vintage}"


def held_vintages(data_dir: Path) -> tuple[HeldVintage, ...]:
    """Every vintage of observations under `data_dir`: the shipped ones, then the fetched ones.

    Shipped vintages of a source are sorted by name, fetched ones by the moment they were fetched.
    """
    raw_dir = Path(data_dir) / "raw"
    catalog = raw.load_sources()
    groups: dict[tuple[str, str], list[raw.Table]] = {}
    for table in raw.list_tables(raw_dir) if raw_dir.is_dir() else []:
        if table.kind == "observations":
            groups.setdefault((table.source, table.vintage), []).append(table)
    found = []
    for (source, vintage), tables in sorted(groups.items()):
        declared = {
            table: entry.get("definitions", {}) for table, entry in catalog.get(source, {}).get("tables", {}).items()
        }
        found.append(_held(source, vintage, "shipped", raw_dir, tables, declared))
    for item in vintages.list_vintages(Path(data_dir) / "fetched"):
        tables = [table for table in item.tables if table.kind == "observations"]
        if tables:
            found.append(_held(item.source, item.name, "fetched", item.folder, tables, item.definitions))
    return tuple(found)


def _held(
    source: str,
    vintage: str,
    origin: Origin,
    folder: Path,
    tables: list[raw.Table],
    declared: Mapping[str, Mapping[str, str]],
) -> HeldVintage:
    names = tuple(table.name for table in tables)
    texts: dict[str, list[str]] = {}
    for table, entry in declared.items():
        if table.partition("/")[2] in names or table in names or f"{source}/{table}" in names:
            for variable, text in entry.items():
                texts.setdefault(variable, []).append(text)
    merged = {variable: "; ".join(sorted(set(said))) for variable, said in texts.items()}
    return HeldVintage(source=source, vintage=vintage, origin=origin, folder=folder, tables=names, definitions=merged)


def find_vintage(name: str, *, data_dir: Path) -> HeldVintage:
    """The vintage that `name` means: `epa_aqi@2022`, or `shipped:epa_aqi@2022` where both kinds have that name.

    Raises
    ------
    InputError
        If nothing or more than one thing has that name; the message lists what there is.
    """
    held = held_vintages(data_dir)
    origin, _, rest = name.rpartition(":")
    hits = [item for item in held if item.name == rest and origin in ("", item.origin)]
    if len(hits) == 1:
        return hits[0]
    if hits:
        raise InputError(f"'{name}' is both a shipped and a fetched vintage: write shipped:{rest} or fetched:{rest}")
    source = rest.split("@")[0]
    same = [item.name for item in held if item.source == source]
    what = f"vintages of {source}: " if same else "vintages: "
    shown = listed(dict.fromkeys(same or [item.name for item in held]), limit=60)
    raise InputError(f"no vintage '{name}' is held in {data_dir}. A vintage is written SOURCE@VINTAGE; {what}{shown}")


def read_vintage(vintage: HeldVintage) -> pd.DataFrame:
    """Long observations of one vintage as its publisher gave them, without this project's corrections."""
    frame = raw.read_observations(vintage.folder, sources=[vintage.source], corrected=False)
    if vintage.origin == "shipped":
        frame = frame[frame["vintage"] == vintage.vintage].reset_index(drop=True)
    return frame


def place_labels(raw_dir: Path) -> dict[str, str]:
    """Names for people to read, by `place_id`: places of the gazetteer and counties."""
    rows = []
    for table, code in (("gazetteer/names", "place_id"), ("gazetteer/counties", "county_id")):
        frame = raw.read_table(raw_dir, table)
        rows += frame[[code, "name", "state"]].values.tolist()
    return {code: f"{name}, {state}" for code, name, state in rows}


# --- comparing -------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class Revisions:
    """What changed from one vintage to another.

    Attributes
    ----------
    old, new
        Names of the two vintages.
    frame
        One row a variable and year, columns `COLUMNS`. Values in the variable's own unit; `standardised` is the mean
        revision over `sd_old`, the spread of the old figures over places; `median_std_errors` is the median of
        |revision| over the figure's standard error where that is known (NaN elsewhere).
        `appeared_flags` and `vanished_flags` say which mark the missing side carries, with counts.
    sentences
        One a row of the frame.
    summary
        One sentence a variable, then what only one of the vintages holds.
    """

    old: str
    new: str
    frame: pd.DataFrame
    sentences: tuple[Message, ...]
    summary: tuple[Message, ...]

    @property
    def lines(self) -> tuple[str, ...]:
        """The summary, and under it the sentence of every series that is not unchanged."""
        told = [
            f"  {text}"
            for text, judgement in zip(self.sentences, self.frame["judgement"], strict=True)
            if judgement in ("re-scored", "revised")
        ]
        return (f"{self.old} → {self.new}", *self.summary, *told)

    @property
    def rescored(self) -> tuple[str, ...]:
        """Variables of which at least one year is re-scored, sorted."""
        return tuple(sorted(self.frame.loc[self.frame["judgement"] == "re-scored", "variable"].unique()))

    def to_csv(self) -> str:
        """The frame as CSV text, the same bytes for the same figures."""
        return csv_bytes(self.frame).decode()


def diff(old: str, new: str, *, data_dir: Path, variables: Collection[str] | None = None) -> Revisions:
    r"""Revisions between two vintages given by name.

    Parameters
    ----------
    old, new
        `SOURCE@VINTAGE`; see `find_vintage`.
    data_dir
        The folder that holds `raw` and `fetched`.
    variables
        Compare only these.

    Examples
    --------
    >>> found = diff("epa_aqi@2022", "epa_aqi@2026", data_dir=Path("data"))  # doctest: +SKIP
    >>> print(*found.lines, sep="\n")  # doctest: +SKIP
    >>> Path("revisions.csv").write_text(found.to_csv())  # doctest: +SKIP
    """
    earlier, later = find_vintage(old, data_dir=data_dir), find_vintage(new, data_dir=data_dir)
    if (earlier.origin, earlier.name) == (later.origin, later.name):
        raise InputError(f"'{old}' and '{new}' are the same vintage; give two")
    frames = [_chosen(read_vintage(item), variables, item.name) for item in (earlier, later)]
    return revisions(
        *frames,
        old_name=earlier.name,
        new_name=later.name,
        old_definitions=earlier.definitions,
        new_definitions=later.definitions,
        labels=place_labels(Path(data_dir) / "raw"),
    )


def _chosen(frame: pd.DataFrame, variables: Collection[str] | None, name: str) -> pd.DataFrame:
    if variables is None:
        return frame
    unknown = sorted(set(variables) - set(frame["variable"]))
    if unknown:
        held = listed(sorted(frame["variable"].unique()), limit=40)
        raise InputError(f"{name} holds no variable {listed(unknown)}; it holds {held}")
    return frame[frame["variable"].isin(variables)]


def revisions(
    old: pd.DataFrame,
    new: pd.DataFrame,
    *,
    old_name: str = "old",
    new_name: str = "new",
    old_definitions: Mapping[str, str] | None = None,
    new_definitions: Mapping[str, str] | None = None,
    labels: Mapping[str, str] | None = None,
) -> Revisions:
    """What the publisher changed between two vintages, per variable and year.

    Parameters
    ----------
    old, new
        Long observations; `place_id + year + variable` names one row in each.
    old_name, new_name
        How messages name them.
    old_definitions, new_definitions
        What a variable measures, where it is not what its name says.
    labels
        Names of places for the sentences.

    Raises
    ------
    InputError
        If they have no variable and year in common.
    DataError
        If a frame holds a figure twice.
    """
    _refuse_doubles(old, old_name)
    _refuse_doubles(new, new_name)
    _refuse_strangers(old, new, (old_name, new_name))
    texts = (dict(old_definitions or {}), dict(new_definitions or {}))
    columns = [*_KEY, "value", "std_error", "flag"]
    both = old[columns].merge(new[columns], on=_KEY, how="outer", suffixes=("_old", "_new"), indicator="held")
    rows = [_series(str(v), int(y), part, texts) for (v, y), part in both.groupby(["variable", "year"], sort=True)]
    frame = pd.DataFrame(rows, columns=list(COLUMNS))
    named = dict(labels or {})
    return Revisions(
        old=old_name,
        new=new_name,
        frame=frame,
        sentences=tuple(_sentence(row, named) for row in rows),
        summary=_summary(frame, old_name, new_name),
    )


def _refuse_doubles(frame: pd.DataFrame, name: str) -> None:
    twice = frame.duplicated(_KEY)
    if twice.any():
        shown = frame.loc[twice, _KEY].astype(str).agg(" ".join, axis=1)
        raise DataError(
            f"{name}: {int(twice.sum()):,} figures occur more than once: {listed(shown, limit=3)}. "
            "Compare one vintage of one source at a time"
        )


def _refuse_strangers(old: pd.DataFrame, new: pd.DataFrame, names: tuple[str, str]) -> None:
    series = [set(zip(frame["variable"], frame["year"], strict=True)) for frame in (old, new)]
    if series[0] & series[1]:
        return
    shown = [
        f"{name} holds {listed(sorted(frame['variable'].unique()), limit=6)} in {_span(frame['year'])}"
        for name, frame in zip(names, (old, new), strict=True)
    ]
    raise InputError(
        f"{names[0]} and {names[1]} have no variable and year in common: {'; '.join(shown)}. "
        "Give two vintages of the same series"
    )


def is_relative(variable: str) -> bool:
    """Whether changes of a variable are judged as shares of the earlier figure: counts and dollars."""
    return variable.endswith(("_count", "_usd"))


def relative_change(earlier: pd.Series, later: pd.Series, *, variable: str) -> pd.Series:
    """Change in the variable's own unit, or as a share of the earlier figure; see `is_relative`."""
    change = later - earlier
    return change / earlier.where(earlier != 0) if is_relative(variable) else change


def judge(old: pd.Series, new: pd.Series, *, variable: str) -> Judgement:
    """`unchanged`, `revised`, or `re-scored` where the series as a whole moves one way.

    Re-scored: at least half of ten figures or more moved, nine in ten of them the same way, and the mean revision is
    at least half the standard deviation of the revisions. Figures that differ by rounding alone are equal.
    """
    change = relative_change(old, new, variable=variable).dropna()
    moved = change[~_equal(old, new).reindex(change.index)]
    if _equal(old, new).all():
        return "unchanged"
    one_way = max((moved > 0).mean(), (moved < 0).mean()) if len(moved) else 0.0
    if (
        len(change) >= RESCORED_FEWEST
        and len(moved) >= RESCORED_MOVED * len(change)
        and one_way >= RESCORED_ONE_WAY
        and abs(change.mean()) >= RESCORED_MEAN_TO_SPREAD * change.std()
    ):
        return "re-scored"
    return "revised"


def _equal(old: pd.Series, new: pd.Series) -> pd.Series:
    return (new - old).abs() <= _ROUNDING


def _series(
    variable: str, year: int, part: pd.DataFrame, definitions: tuple[dict[str, str], dict[str, str]]
) -> dict[str, Any]:
    """One row of the frame from the outer join of two vintages of one variable and year."""
    in_old, in_new = part["value_old"].notna(), part["value_new"].notna()
    common = part[in_old & in_new]
    change = common["value_new"] - common["value_old"]
    equal = _equal(common["value_old"], common["value_new"])
    std_error = common["std_error_old"].fillna(common["std_error_new"])
    sd_old = float(common["value_old"].std()) if len(common) > 1 else np.nan
    largest = change.abs().idxmax() if len(change) else None
    appeared, vanished = part[in_new & ~in_old], part[in_old & ~in_new]
    if len(common):
        judgement: Judgement = judge(common["value_old"], common["value_new"], variable=variable)
    else:
        judgement = "appeared" if len(appeared) else "vanished" if len(vanished) else "no_figures"
    low, high = (float(change.quantile(q)) if len(change) else np.nan for q in (0.05, 0.95))
    mean = float(change.mean())
    return {
        "variable": variable,
        "year": year,
        "judgement": judgement,
        "n_compared": len(common),
        "n_equal": int(equal.sum()),
        "n_revised": int((~equal).sum()),
        "n_up": int(((change > 0) & ~equal).sum()),
        "n_down": int(((change < 0) & ~equal).sum()),
        "mean_old": float(common["value_old"].mean()),
        "mean_new": float(common["value_new"].mean()),
        "mean_revision": mean,
        "median_revision": float(change.median()),
        "p05_revision": low,
        "p95_revision": high,
        "sd_old": sd_old,
        "standardised": mean / sd_old if sd_old > 0 else np.nan,
        "median_std_errors": float((change.abs() / std_error).median()) if std_error.notna().any() else np.nan,
        "largest_revision": float(change[largest]) if largest is not None else np.nan,
        "largest_place_id": str(common.loc[largest, "place_id"]) if largest is not None else "",
        "n_appeared": len(appeared),
        "n_vanished": len(vanished),
        "appeared_flags": _flags(appeared["flag_old"]),
        "vanished_flags": _flags(vanished["flag_new"]),
        "definition_old": definitions[0].get(variable, variable),
        "definition_new": definitions[1].get(variable, variable),
    }


def _flags(flags: pd.Series) -> str:
    """`few_days 3, no row 1`: the marks of missing figures with their counts."""
    counts = flags.fillna("no row").replace("", "no flag").value_counts()
    return ", ".join(f"{flag} {count}" for flag, count in sorted(counts.items()))


# --- in words --------------------------------------------------------------------------------------------


def figure(value: float, *, variable: str, change: bool = False, unit: bool = True) -> str:
    """A figure of a variable as people write it, with its unit unless `unit` is False; with a sign if it is a change.

    Shares are shown in percent and their changes in percentage points; a value below one keeps two digits more.

    Examples
    --------
    >>> figure(0.6831, variable="aqi_good_share")
    '68.3 %'
    >>> figure(0.00017, variable="aqi_over_100_share", change=True)
    '+0.017 points'
    >>> figure(57123.0, variable="income_p50_usd")
    '57,123 dollars'
    """
    if not np.isfinite(value):
        return "–"
    kind = _unit(variable)
    shown = value * 100 if kind == "share" else value
    decimals = {"share": 1, "count": 0, "usd": 0, "ratio": 2}.get(kind, 1)
    if 0 < abs(shown) < 1:
        decimals = max(decimals, 1 - int(np.floor(np.log10(abs(shown)))))
    elif change and kind == "count" and abs(shown) < 10:
        decimals = 0 if float(shown).is_integer() else 2
    text = f"{shown:+,.{decimals}f}" if change and shown else f"{shown:,.{decimals}f}"
    tail = {
        "share": " points" if change else " %",
        "usd": " dollars",
        "ug_m3": " µg/m³",
        "index": " index points" if change else "",
        "per_100k": " per 100,000",
        "pct": " points" if change else " %",
    }.get(kind, "")
    return text.replace("-", MINUS) + (tail if unit else "")


def _unit(variable: str) -> str:
    units = ("share", "count", "usd", "ratio", "index", "ug_m3", "per_100k", "pct")
    return next((unit for unit in units if variable.endswith(f"_{unit}")), "")


def _sentence(row: Mapping[str, Any], labels: Mapping[str, str]) -> Message:
    """One series in plain words."""
    variable = row["variable"]
    head = {"variable": variable, "year": str(row["year"])}
    parts: list[Message] = []
    if row["judgement"] in ("appeared", "vanished", "no_figures"):
        words: dict[str, Message] = {
            "appeared": message("{variable} {year}: only in the new vintage.", **head),
            "vanished": message("{variable} {year}: no longer in the new vintage.", **head),
            "no_figures": message("{variable} {year}: neither vintage has a figure.", **head),
        }
        parts.append(words[row["judgement"]])
    elif row["judgement"] == "unchanged":
        parts.append(message("{variable} {year}: unchanged, all {n:,} figures.", **head, n=row["n_compared"]))
    else:
        parts.append(_revision(row, head, labels))
    if row["definition_old"] != row["definition_new"]:
        parts.append(
            message(
                "The definition changed from “{old}” to “{new}”.", old=row["definition_old"], new=row["definition_new"]
            )
        )
    if row["n_appeared"]:
        parts.append(
            counted(
                "{n:,} figure appeared (before: {flags}).",
                "{n:,} figures appeared (before: {flags}).",
                n=row["n_appeared"],
                flags=row["appeared_flags"],
            )
        )
    if row["n_vanished"]:
        parts.append(
            counted(
                "{n:,} figure vanished (now: {flags}).",
                "{n:,} figures vanished (now: {flags}).",
                n=row["n_vanished"],
                flags=row["vanished_flags"],
            )
        )
    return message("{parts:sentences}", parts=parts)


def _revision(row: Mapping[str, Any], head: Mapping[str, str], labels: Mapping[str, str]) -> Message:
    variable, place = row["variable"], row["largest_place_id"]

    def moved(name: str, *, unit: bool = True) -> str:
        return figure(row[name], variable=variable, change=True, unit=unit)

    parts = [
        message(
            "{variable} {year}: {judgement}. {n_revised:,} of {n_compared:,} figures changed ({n_up:,} up, "
            "{n_down:,} down); mean {mean_old} → {mean_new} ({mean}; median {median}; 5 to 95 % {low} to {high}).",
            **head,
            judgement=row["judgement"],
            **{name: row[name] for name in ("n_revised", "n_compared", "n_up", "n_down")},
            mean_old=figure(row["mean_old"], variable=variable),
            mean_new=figure(row["mean_new"], variable=variable),
            mean=moved("mean_revision"),
            median=moved("median_revision", unit=False),
            low=moved("p05_revision", unit=False),
            high=moved("p95_revision", unit=False),
        ),
        message(
            "Largest: {largest} in {place}.",
            largest=moved("largest_revision"),
            place=f"{labels[place]} ({place})" if place in labels else place,
        ),
    ]
    if row["judgement"] == "re-scored" and np.isfinite(row["standardised"]):
        parts.append(
            message(
                "The mean shift is {share:.2f} of a standard deviation between places: do not join the vintages.",
                share=abs(row["standardised"]),
            )
        )
    if np.isfinite(row["median_std_errors"]):
        parts.append(message("The median change is {n:.1f} standard errors of the figure.", n=row["median_std_errors"]))
    return message("{parts:sentences}", parts=parts)


def _summary(frame: pd.DataFrame, old: str, new: str) -> tuple[Message, ...]:
    """One sentence a variable: its judgements with their years."""
    lines = []
    for variable, part in frame.groupby("variable", sort=True):
        words = {
            "re-scored": message("re-scored: the whole series moved one way"),
            "revised": message("revised"),
            "unchanged": message("unchanged"),
            "appeared": message("only in {vintage}", vintage=new),
            "vanished": message("only in {vintage}", vintage=old),
            "no_figures": message("without a figure"),
        }
        told = [
            message("{judgement} ({years})", judgement=text, years=_span(part.loc[part["judgement"] == word, "year"]))
            for word, text in words.items()
            if (part["judgement"] == word).any()
        ]
        if (part["definition_old"] != part["definition_new"]).any():
            told.append(message("the definition changed"))
        lines.append(message("{variable}: {told:semicolons}.", variable=str(variable), told=told))
    return tuple(lines)


def _span(years: Collection[int] | pd.Series) -> str:
    """`2016-19, 2021`: years in runs."""
    runs: list[list[int]] = []
    for year in sorted({int(year) for year in years}):
        if runs and year == runs[-1][1] + 1:
            runs[-1][1] = year
        else:
            runs.append([year, year])
    return ", ".join(str(a) if a == b else f"{a}-{b if a // 100 != b // 100 else f'{b % 100:02d}'}" for a, b in runs)
