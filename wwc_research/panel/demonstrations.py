"""Outcomes of the Standard judged from the panel's own figures: progress over a window, level against a threshold.

In: a `Panel` and the rules the caller chooses. Out: one row a city, figure and reading, and lines that say it.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, get_args

import numpy as np
import pandas as pd

from wwc_research import catalog
from wwc_research.catalog.editions import OutcomeRequirement
from wwc_research.catalog.thresholds import Threshold, candidates_for, threshold
from wwc_research.errors import Faults, InputError, listed
from wwc_research.messages import Message, message
from wwc_research.panel.panel import Panel
from wwc_research.sources.places import NoMatch, Places
from wwc_research.standard import demonstration
from wwc_research.standard.demonstration import CANNOT_TELL, Reading, Verdict, judge_requirement

Readings = Literal["progress", "standard", "both"]

OUTCOMES = ("broadband", "air_quality", "youth_neet")
# figures of one outcome that are measured in different ways, and never joined
MEASURES = {
    "air_quality": ("aqi_over_100_share", "pm25_mean_ug_m3"),
    "youth_neet": ("youth_neet_share", "youth_neet_2021_share"),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class OutcomeRules:
    """How outcomes are judged; the programme's own window, level and thresholds are not public.

    Attributes
    ----------
    window
        First and last year of *progress*; the last is also the year of *standard*. None: the first and the last year
        for which the city has the figure.
    level
        Of the one-sided test of progress.
    confidence
        Of the one-sided interval that must clear the threshold.
    thresholds
        By outcome (then its main figure) or panel column: a number in the panel's unit, or the name of a candidate of
        `catalog/thresholds.toml`.
    std_errors
        By outcome or panel column: the standard error of one year's figure, used only where the panel knows none; 0
        takes the figures as exact.
    refused_flags
        Figures so marked in the panel are not used.
    coverage_tolerance
        How far the share of the city's people whom the figure covers may differ between the two years of a window.
    """

    window: tuple[int, int] | None = None
    level: float = 0.95
    confidence: float = 0.95
    thresholds: Mapping[str, float | str] = field(default_factory=dict)
    std_errors: Mapping[str, float] = field(default_factory=dict)
    refused_flags: tuple[str, ...] = ()
    coverage_tolerance: float = 0.05

    def __post_init__(self) -> None:
        faults = Faults("rules for outcomes")
        if self.window is not None and not self.window[0] < self.window[1]:
            faults.add(f"window = {self.window} should be a first and a later last year")
        for name, share in (("level", self.level), ("confidence", self.confidence)):
            if not 0.5 < share < 1:
                faults.add(f"{name} = {share} should lie between 0.5 and 1, such as 0.95")
        for name, value in self.thresholds.items():
            column = _note_measure(name, faults)
            if isinstance(value, str):
                _note_candidate(value, column, faults)
            elif column.endswith("_share") and not 0 <= value <= 1:
                faults.add(f"threshold {value:g} of {name}: shares run from 0 to 1; write 80 percent as 0.8")
            elif not math.isfinite(value):
                faults.add(f"threshold {value} of {name} is no finite number")
        for name, std_error in self.std_errors.items():
            _note_measure(name, faults)
            if not (isinstance(std_error, int | float) and math.isfinite(std_error) and std_error >= 0):
                faults.add(f"standard error {std_error} of {name} should be a number of 0 or more")
        faults.raise_if_any()


@dataclass(frozen=True, slots=True, kw_only=True)
class Description:
    """What can be said about one city: `lines` to print, and `rows` of `demonstrations` with a `sentence` each."""

    place_id: str
    city: str
    lines: tuple[str, ...]
    rows: pd.DataFrame


def measures_of(outcome: str) -> tuple[str, ...]:
    """Panel columns that measure an outcome of the catalog, its main one first."""
    entry = catalog.outcome(outcome)
    return MEASURES.get(outcome, (entry.variable,))


def named_values(texts: Iterable[str], *, option: str) -> dict[str, float | str]:
    """`name=value` texts as a mapping; a value that is no number stays text, such as the name of a threshold."""
    faults = Faults(option)
    found: dict[str, float | str] = {}
    for text in texts:
        name, sign, value = (part.strip() for part in text.partition("="))
        if not (name and sign and value):
            faults.add(f"{text!r} should be written NAME=VALUE, such as pm25_mean_ug_m3=9.0")
        elif name in found:
            faults.add(f"{name} is given twice")
        else:
            found[name] = _number_or_text(value)
    faults.raise_if_any()
    return found


def named_numbers(texts: Iterable[str], *, option: str) -> dict[str, float]:
    """`name=number` texts as a mapping; every value that is no number is named in one error."""
    found = named_values(texts, option=option)
    faults = Faults(option)
    for name, value in found.items():
        if isinstance(value, str):
            faults.add(f"{name}={value} should be a number, such as 0.5")
    faults.raise_if_any()
    return {name: float(value) for name, value in found.items()}


def demonstrations(
    panel: Panel,
    *,
    reading: Readings = "both",
    outcomes: Sequence[str] = OUTCOMES,
    rules: OutcomeRules | None = None,
    place_ids: Iterable[str] | None = None,
) -> pd.DataFrame:
    """One row a city, figure and reading: demonstrated, not demonstrated, or cannot tell, with the numbers.

    Parameters
    ----------
    reading
        `progress`: change over the window beyond sampling error. `standard`: level of the last year against the
        threshold. `both`: a row for each.
    outcomes
        Names of the catalog's outcomes; better is what the catalog says.
    rules
        Window, levels, thresholds (default: `OutcomeRules()`, which sets no threshold).
    place_ids
        Places wanted (default: all of the panel).

    Returns
    -------
    DataFrame
        place_id, label, outcome, measure (panel column), reading, verdict, reason (why it cannot be told), year_from,
        year_to, value_from, value_to, std_error_from, std_error_to, is_given_error (the caller's, not the survey's),
        covered_share, change, std_error_change, detectable_change, threshold, threshold_name, bound, z, p_value. In
        the panel's units; empty where the reading has no such number. With a candidate that is a mean over several
        years, value_to is that mean, and year_from its first year.
    """
    if reading not in get_args(Readings):
        raise InputError(f"reading = {reading!r}; allowed: {listed(get_args(Readings))}")
    if not outcomes:
        raise InputError(f"no outcome is named; there are {listed(catalog.outcomes(), limit=40)}")
    rules = rules or OutcomeRules()
    frame = panel.frame
    if place_ids is not None:
        frame = frame.loc[frame["place_id"].isin(list(place_ids))]
    parts = []
    for outcome in outcomes:
        direction = catalog.outcome(outcome).direction
        for measure in measures_of(outcome):
            panel.column(measure)
            figures = _figures(frame, measure, rules=rules)
            for one in ("progress", "standard") if reading == "both" else (reading,):
                judge = _progress if one == "progress" else _standard
                rows = judge(figures, measure, direction=direction, rules=rules)
                parts.append(rows.assign(outcome=outcome, measure=measure, reading=one))
    labels = frame.drop_duplicates("place_id").set_index("place_id")["label"]
    table = pd.concat(parts, ignore_index=True)
    table["label"] = table["place_id"].map(labels)
    return table.reindex(columns=list(_COLUMNS)).astype({"year_from": "Int64", "year_to": "Int64"})


def standings(
    panel: Panel, requirement: OutcomeRequirement, *, rules: OutcomeRules | None = None
) -> dict[str, dict[str, Verdict]]:
    """place_id → outcome → verdict for the outcomes that an edition asks for, under the readings it allows.

    An outcome is demonstrated if any of its figures is under any of the readings; it cannot be told if none is but
    one cannot be told; only figures of places in the panel are judged.
    """
    reading: Readings = "both" if len(requirement.readings) > 1 else requirement.readings[0]
    rows = demonstrations(panel, reading=reading, outcomes=requirement.outcomes, rules=rules)
    found: dict[str, dict[str, Verdict]] = {}
    for (place, outcome), verdicts in rows.groupby(["place_id", "outcome"], sort=False)["verdict"]:
        found.setdefault(str(place), {})[str(outcome)] = judge_requirement(verdicts)
    return found


def describe_outcomes(
    panel: Panel,
    *,
    city: str,
    places: Places,
    reading: Readings = "both",
    outcomes: Sequence[str] = OUTCOMES,
    at_least: int = 1,
    rules: OutcomeRules | None = None,
) -> Description:
    """What the panel says of one city's outcomes: a line a figure and reading, and whether enough are demonstrated.

    Parameters
    ----------
    city
        A name with its state (`Detroit, MI`) or a 7-digit code.
    at_least
        How many of the outcomes must be demonstrated; one of them is, where any of its figures is.

    Raises
    ------
    InputError
        Where the city cannot be resolved, or is no place of the panel.
    """
    rules = rules or OutcomeRules()
    if not 1 <= at_least <= len(outcomes):
        raise InputError(
            f"at_least = {at_least} should lie between 1 and the {len(outcomes)} outcomes that are asked for"
        )
    match = places.resolve(city)
    if isinstance(match, NoMatch):
        raise InputError(match.sentence())
    if not panel.frame["place_id"].eq(match.place_id).any():
        raise InputError(
            f"{match.name}, {match.state} ({match.place_id}) is not in the panel, which holds places of 30,000 people "
            "and more; there are no figures to judge"
        )
    rows = demonstrations(panel, reading=reading, outcomes=outcomes, rules=rules, place_ids=[match.place_id])
    sentences = [_sentence(row, panel=panel, rules=rules) for row in rows.to_dict("records")]
    rows["sentence"] = pd.Series(
        sentences, index=rows.index, dtype=object
    )  # text columns would lose what can be translated
    label = places.name(match.place_id)
    lines: list[str] = [f"{label} ({match.place_id})"]
    for outcome, group in rows.groupby("outcome", sort=False):
        lines.append(message("{outcome}:", outcome=catalog.outcome(str(outcome)).title))
        lines += [
            message("  {reading}: {sentence}", reading=_READINGS[row["reading"]], sentence=row["sentence"])
            for row in group.to_dict("records")
        ]
    lines += _summary(rows, at_least=at_least, rules=rules)
    return Description(place_id=match.place_id, city=label, lines=tuple(lines), rows=rows)


_LEAST_P = 0.001  # smaller p-values are said as below this
_COLUMNS = (
    "place_id", "label", "outcome", "measure", "reading", "verdict", "reason", "year_from", "year_to", "value_from",
    "value_to", "std_error_from", "std_error_to", "is_given_error", "covered_share", "change", "std_error_change",
    "detectable_change", "threshold", "threshold_name", "bound", "z", "p_value",
)  # fmt: skip


def _number_or_text(value: str) -> float | str:
    try:
        return float(value)
    except ValueError:
        return value


def _note_measure(name: str, faults: Faults) -> str:
    """The panel column that a name means: itself, or the main figure of an outcome."""
    if name in catalog.outcomes():
        return catalog.outcomes()[name].variable
    if name not in catalog.variables():
        known = [*catalog.outcomes(), *(column for columns in MEASURES.values() for column in columns)]
        faults.add(f"{name!r} is no outcome and no figure of the panel; there are {listed(known, limit=40)}")
    return name


def _note_candidate(name: str, column: str, faults: Faults) -> None:
    try:
        entry = threshold(name)
    except InputError as error:
        faults.add(str(error))
        return
    if entry.variable != column:
        faults.add(f"threshold {name!r} speaks about {entry.variable}, not {column}; write {entry.variable}={name}")


def _chosen(values: Mapping[str, Any], measure: str) -> Any:
    """What the caller said of a panel column, by its own name or that of the outcome it is the main figure of."""
    if measure in values:
        return values[measure]
    names = [name for name in values if name in catalog.outcomes() and catalog.outcomes()[name].variable == measure]
    return values[names[0]] if names else None


def _figures(frame: pd.DataFrame, measure: str, *, rules: OutcomeRules) -> pd.DataFrame:
    """place_id, year, value, std_error, is_given_error, covered_share; refused figures are NaN."""
    none = pd.Series(np.nan, index=frame.index)
    figures = pd.DataFrame(
        {
            "place_id": frame["place_id"],
            "year": frame["year"],
            "value": frame[measure].astype(float),
            "std_error": frame.get(f"{measure}_std_error", none).astype(float),
            "covered_share": frame.get(f"{measure}_covered_share", none).astype(float),
        }
    )
    if f"{measure}_flag" in frame:
        refused = frame[f"{measure}_flag"].isin(rules.refused_flags)
        figures.loc[refused, ["value", "std_error"]] = np.nan
    given = _chosen(rules.std_errors, measure)
    figures["is_given_error"] = figures["std_error"].isna() & (given is not None)
    if given is not None:
        figures["std_error"] = figures["std_error"].fillna(float(given))
    return figures


def _at(figures: pd.DataFrame, years: pd.Series) -> pd.DataFrame:
    """Figures of each place in its own year, in the order of `years` (indexed by place); NaN where there is none."""
    keyed = figures.set_index(["place_id", "year"])
    wanted = pd.MultiIndex.from_arrays([years.index, years.fillna(-1).astype(int)])
    return keyed.reindex(wanted).set_axis(years.index)


def _years(figures: pd.DataFrame, *, rules: OutcomeRules) -> tuple[pd.Series, pd.Series]:
    """First and last year by place: those of the window, else of the place's own figures."""
    places = pd.Index(figures["place_id"].unique(), name="place_id")
    if rules.window is not None:
        first, last = (pd.Series(float(year), index=places) for year in rules.window)
        return first, last
    years = figures.loc[figures["value"].notna()].groupby("place_id")["year"]
    return years.min().reindex(places).astype(float), years.max().reindex(places).astype(float)


def _progress(figures: pd.DataFrame, measure: str, *, direction: Any, rules: OutcomeRules) -> pd.DataFrame:
    first, last = _years(figures, rules=rules)
    before, after = _at(figures, first), _at(figures, last)
    judged = demonstration.judge_progress(
        before["value"],
        after["value"],
        std_error_before=before["std_error"],
        std_error_after=after["std_error"],
        direction=direction,
        level=rules.level,
    ).set_axis(first.index)
    rows = pd.DataFrame(
        {
            "verdict": judged["verdict"],
            "reason": judged["reason"],
            "year_from": first,
            "year_to": last,
            "value_from": before["value"],
            "value_to": after["value"],
            "std_error_from": before["std_error"].where(before["value"].notna()),
            "std_error_to": after["std_error"].where(after["value"].notna()),
            "is_given_error": _true(before["is_given_error"]) | _true(after["is_given_error"]),
            "covered_share": after["covered_share"],
            "change": judged["change"],
            "std_error_change": judged["std_error"],
            "detectable_change": judged["detectable_change"],
            "z": judged["z"],
            "p_value": judged["p_value"],
        }
    )
    moved = (before["covered_share"] - after["covered_share"]).abs() > rules.coverage_tolerance
    _untold(rows, moved, "the figure covers other people")
    _untold(rows, rows["value_from"].notna() & rows["year_from"].eq(rows["year_to"]), "one year only")
    if measure.endswith("_usd"):
        _untold(rows, rows["change"].notna(), "nominal dollars")
    if "_5y_" in measure:
        _untold(rows, (last - first) < 5, "overlapping windows")
    return rows.reset_index()


def _standard(figures: pd.DataFrame, measure: str, *, direction: Any, rules: OutcomeRules) -> pd.DataFrame:
    _, last = _years(figures, rules=rules)
    chosen = _chosen(rules.thresholds, measure)
    candidate = threshold(chosen) if isinstance(chosen, str) else None
    limit = candidate.value if candidate else math.nan if chosen is None else float(chosen)
    span = candidate.averaging_years if candidate else 1
    past = [_at(figures, last - lag) for lag in range(span)]
    value = sum(part["value"] for part in past) / span
    # years as independent estimates, so the error of their mean shrinks with the root of their number
    std_error = np.sqrt(sum(part["std_error"] ** 2 for part in past)) / span
    judged = demonstration.judge_standard(
        value, std_error=std_error, threshold=limit, direction=direction, confidence=rules.confidence
    ).set_axis(last.index)
    return pd.DataFrame(
        {
            "verdict": judged["verdict"],
            "reason": judged["reason"],
            "year_from": last - span + 1 if span > 1 else np.nan,
            "year_to": last,
            "value_to": value,
            "std_error_to": std_error.where(value.notna()),
            "is_given_error": _true(past[0]["is_given_error"]),
            "covered_share": past[0]["covered_share"],
            "threshold": limit,
            "threshold_name": candidate.name if candidate else "",
            "bound": judged["bound"],
            "z": judged["z"],
            "p_value": judged["p_value"],
        }
    ).reset_index()


def _true(flags: pd.Series) -> pd.Series:
    return flags.eq(True)  # absent years are NaN, and nobody gave their error


def _untold(rows: pd.DataFrame, where: pd.Series, reason: str) -> None:
    rows.loc[where, "verdict"] = CANNOT_TELL
    rows.loc[where, "reason"] = reason
    rows.loc[where, ["z", "p_value"]] = np.nan


_READINGS: dict[str, Message] = {"progress": message("progress"), "standard": message("standard")}
_VERDICTS: dict[str, Message] = {
    demonstration.DEMONSTRATED: message("demonstrated"),
    demonstration.NOT_DEMONSTRATED: message("not demonstrated"),
    CANNOT_TELL: message("cannot tell"),
}
_WHY = {
    "no sampling error": message(
        "the sampling error of this figure is not known, and a change or level without one cannot be told from noise; "
        "give a standard error to judge it"
    ),
    "the figure covers other people": message("the two years cover different shares of the city's people"),
    "one year only": message("there is a figure for one year only"),
    "nominal dollars": message("dollars are nominal, so the change holds inflation"),
    "overlapping windows": message("the two five-year windows share years, so the figures are not independent"),
}


def _sentence(row: dict[str, Any], *, panel: Panel, rules: OutcomeRules) -> Message:
    """The verdict with its numbers in words."""
    column = panel.column(row["measure"])
    title = _whose(row, title=column.title, geography=column.geography)
    outcome = catalog.outcome(row["outcome"])
    if row["reason"] == "no figure":
        why = _absence(row, panel=panel, gaps=outcome.gaps)
        return message("cannot tell. {title}: {why}.", title=title, why=why)
    if row["reading"] == "progress" and row["reason"] != "one year only":
        figures = _change_text(row, unit=column.unit)
    else:
        figures = _level_text(row, unit=column.unit)
    if row["reason"] == "no threshold":
        names = [
            message("{name} ({value:g})", name=entry.name, value=entry.value)
            for entry in candidates_for(row["measure"])
        ]
        if not names:
            return message("cannot tell. {title}: {figures}; no threshold was chosen.", title=title, figures=figures)
        return message(
            "cannot tell. {title}: {figures}; no threshold was chosen; candidates: {names}.",
            title=title,
            figures=figures,
            names=listed(names),
        )
    if row["verdict"] == CANNOT_TELL:
        return message("cannot tell. {title}: {figures}; {why}.", title=title, figures=figures, why=_WHY[row["reason"]])
    return message(
        "{verdict}. {title}: {figures}; {grounds}.",
        verdict=_VERDICTS[row["verdict"]],
        title=title,
        figures=figures,
        grounds=_grounds(row, unit=column.unit, rules=rules),
    )


def _whose(row: dict[str, Any], *, title: str, geography: str) -> str:
    """The title, saying where a figure is not the city's own, and how many of its people it covers."""
    if geography == "place":
        return title
    covered = row["covered_share"]
    if covered < 0.995:
        told = {"title": title, "covered": covered}
        if geography == "county":
            return message("{title} (from the county, covering {covered:.0%} of the city's people)", **told)
        return message("{title} (from the microdata areas, covering {covered:.0%} of the city's people)", **told)
    if geography == "county":
        return message("{title} (from the county)", title=title)
    return message("{title} (from the microdata areas)", title=title)


def _absence(row: dict[str, Any], *, panel: Panel, gaps: Mapping[str, str]) -> Message:
    years = [row["year_from"], row["year_to"]] if row["reading"] == "progress" else [row["year_to"]]
    known = [int(year) for year in years if not pd.isna(year)]
    if not known:
        return message("the panel has no figure for this city")
    if row["reading"] == "progress":
        values = {int(row[f"year_{end}"]): row[f"value_{end}"] for end in ("from", "to")}
        known = [year for year, value in values.items() if math.isnan(value)]
    elif not pd.isna(row["year_from"]):
        return message(
            "the mean of {first} to {last} needs a figure for each of these years",
            first=int(row["year_from"]),
            last=known[0],
        )
    own = panel.frame.loc[panel.frame["place_id"].eq(row["place_id"]) & panel.frame[row["measure"]].notna(), "year"]
    why = [message("{year}: {why}", year=year, why=gaps[str(year)]) for year in known if str(year) in gaps]
    without = message("{years:list} ({why:semicolons})", years=known, why=why) if why else listed(known)
    if not len(own):
        return message("no usable figure for {years}; there are none at all", years=without)
    return message(
        "no usable figure for {years}; there are figures for {first} to {last}",
        years=without,
        first=int(own.min()),
        last=int(own.max()),
    )


def _change_text(row: dict[str, Any], *, unit: str) -> Message:
    before, after = (
        _with_error(
            _figure(row[f"value_{end}"], unit),
            when=message("in {year}", year=int(row[f"year_{end}"])),
            std_error=row[f"std_error_{end}"],
            unit=unit,
        )
        for end in ("from", "to")
    )
    change = _difference(row["change"], unit)
    return message("{before}, {after}, a change of {change}", before=before, after=after, change=change)


def _level_text(row: dict[str, Any], *, unit: str) -> Message:
    when = message("in {year}", year=int(row["year_to"]))
    if row["reading"] == "standard" and not pd.isna(row["year_from"]):
        when = message("on average over {first} to {last}", first=int(row["year_from"]), last=int(row["year_to"]))
    return _with_error(_figure(row["value_to"], unit), when=when, std_error=row["std_error_to"], unit=unit)


def _with_error(figure: Message, *, when: Message, std_error: float, unit: str) -> Message:
    if math.isnan(std_error):
        return message("{figure} {when}", figure=figure, when=when)
    if std_error == 0:
        return message("{figure} {when} (taken as exact)", figure=figure, when=when)
    if unit == "share":
        points = 100 * std_error
        return message("{figure} {when} (standard error {points:.1f} points)", figure=figure, when=when, points=points)
    return message("{figure} {when} (standard error {error:.2f})", figure=figure, when=when, error=std_error)


def _grounds(row: dict[str, Any], *, unit: str, rules: OutcomeRules) -> Message:
    exact = row["std_error_change"] == 0 or (row["reading"] == "standard" and row["std_error_to"] == 0)
    test = message("the figures were taken as exact, as asked") if exact else _test_text(row)
    if row["reading"] == "standard":
        return _bound_text(row, unit=unit, confidence=rules.confidence, test=test)
    if exact:
        return (
            message("an improvement; {test}", test=test)
            if row["z"] > 0
            else message("no improvement; {test}", test=test)
        )
    if row["verdict"] == demonstration.DEMONSTRATED:
        return message(
            "more than sampling error explains at the {level:.0%} level; {test}", level=rules.level, test=test
        )
    if row["z"] <= 0:
        return message("which is no improvement; {test}", test=test)
    return message(
        "within sampling error (an improvement of {detectable} would be found four times in five); {test}",
        detectable=_size(row["detectable_change"], unit),
        test=test,
    )


def _test_text(row: dict[str, Any]) -> Message:
    p_value = message("= {p:.3f}", p=row["p_value"])
    if row["p_value"] < _LEAST_P:
        p_value = message("< {p:.3f}", p=_LEAST_P)
    if row["is_given_error"]:
        return message(
            "z = {z:.2f}, one-sided p {p_value}, with the standard error that was given", z=row["z"], p_value=p_value
        )
    return message("z = {z:.2f}, one-sided p {p_value}", z=row["z"], p_value=p_value)


def _bound_text(row: dict[str, Any], *, unit: str, confidence: float, test: Message) -> Message:
    entry = threshold(row["threshold_name"]) if row["threshold_name"] else None
    limit = _figure(row["threshold"], unit)
    if entry:
        limit = _named(entry, figure=limit, year=row["year_to"])
    told = {"confidence": confidence, "bound": _figure(row["bound"], unit), "limit": limit, "test": test}
    if row["verdict"] == demonstration.DEMONSTRATED:
        return message(
            "its {confidence:.0%} one-sided bound of {bound} clears the threshold of {limit}; {test}", **told
        )
    if row["z"] > 0:
        return message(
            "its {confidence:.0%} one-sided bound of {bound} does not clear the threshold of {limit}, although the "
            "figure itself does; {test}",
            **told,
        )
    return message(
        "its {confidence:.0%} one-sided bound of {bound} does not clear the threshold of {limit}; {test}", **told
    )


def _named(entry: Threshold, *, figure: Message, year: int) -> Message:
    """A threshold with its title, and whether it was not yet in force."""
    if entry.effective_from and int(entry.effective_from[:4]) > year:
        return message(
            "{figure} ({title}, in force from {since}, after these figures)",
            figure=figure,
            title=entry.title,
            since=entry.effective_from,
        )
    return message("{figure} ({title})", figure=figure, title=entry.title)


def _figure(value: float, unit: str) -> Message:
    if unit == "share":
        return message("{value:.1%}", value=value)
    if unit == "usd":
        return message("${value:,.0f}", value=value)
    return message("{value:.2f} {unit}", value=value, unit=unit)


def _difference(value: float, unit: str) -> Message:
    if unit == "share":
        return message("{points:+.1f} percentage points", points=100 * value)
    if unit == "usd":
        return message("{value:+,.0f} dollars", value=value)
    return message("{value:+.2f} {unit}", value=value, unit=unit)


def _size(value: float, unit: str) -> Message:
    if unit == "share":
        return message("{points:.1f} percentage points", points=100 * value)
    if unit == "usd":
        return message("{value:,.0f} dollars", value=value)
    return message("{value:.2f} {unit}", value=value, unit=unit)


def _summary(rows: pd.DataFrame, *, at_least: int, rules: OutcomeRules) -> list[Message]:
    """One line a reading: whether enough outcomes are demonstrated, and how easily luck alone would do it."""
    lines = []
    for reading in (one for one in get_args(Reading) if rows["reading"].eq(one).any()):
        own = rows.loc[rows["reading"] == reading]
        by_outcome = own.groupby("outcome", sort=False)["verdict"].agg(demonstration.judge_requirement)
        verdict = demonstration.judge_requirement(by_outcome, at_least=at_least)
        counts = [
            message("{verdict} {count}", verdict=_VERDICTS[str(name)], count=count)
            for name, count in by_outcome.value_counts(sort=False).items()
        ]
        lines.append(
            message(
                "{reading}, at least {at_least} of {n_outcomes} outcomes: {verdict} ({counts:list}).",
                reading=_READINGS[reading],
                at_least=at_least,
                n_outcomes=len(by_outcome),
                verdict=_VERDICTS[verdict],
                counts=counts,
            )
        )
        judged = int(own["verdict"].ne(CANNOT_TELL).sum())
        if reading == "progress" and judged > 1:
            lines.append(
                message(
                    "  {judged} figures were tested; where nothing improved, at least one would seem to with a chance "
                    "of {luck:.0%} if they are independent.",
                    judged=judged,
                    luck=demonstration.chance_of_luck(judged, level=rules.level),
                )
            )
    lines.append(
        message("The programme's own window, figures and thresholds are not public: these are the caller's choices.")
    )
    return lines
