"""WHAT EXISTS, declared: outcomes, treatments, covariates and the plan, read from TOML and checked.

In: the package's own TOML files. Out: frozen entries by name; a wrong entry is refused with all its faults.
"""

from __future__ import annotations

import dataclasses
import hashlib
import re
import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import cache
from importlib import resources
from typing import Any, Literal, TypeVar, get_args, get_origin, get_type_hints

from wwc_research.catalog.evidence_rules import CalibrationRule, SensitivityRule, SpecificationRule
from wwc_research.errors import DataError, Faults, InputError, listed
from wwc_research.messages import Message, message

Transform = Literal["none", "log", "log_change"]
Geography = Literal["place", "county"]
Headline = Literal["imputation", "callaway_santanna"]
Alternative = Literal[
    "two_way_fe",
    "event_study",
    "matched_difference",
    "never",
    "anticipation_1",
    "panel_matching",
    "synthetic_did",
    "random_trends",
    "precision",
    "population",
    "region_by_year",
    "people_share",
    "by_place",
]


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """One thing measured about residents; see the head of `outcomes.toml` for the fields."""

    name: str
    title: str
    better: str
    topic: str
    variable: str
    noun: str
    direction: Literal["higher", "lower"]
    scale: float
    unit: str
    decimals: int
    natural_factor: float
    natural_unit: str
    city_factor: float
    city_thing: str
    city_base: str
    geography: Geography
    source: str
    is_award_condition: bool
    has_survey_error: bool
    description: str
    coverage: str
    traps: tuple[str, ...] = ()
    transform: Literal["none", "log"] = "none"
    gaps: Mapping[str, str] = field(default_factory=dict)
    breaks: Mapping[str, str] = field(default_factory=dict)

    def breaks_between(self, first: int, last: int) -> dict[int, str]:
        """First years of a new series after `first` and up to `last`, with the reason why they cannot be compared."""
        return {int(year): why for year, why in sorted(self.breaks.items()) if first < int(year) <= last}


@dataclass(frozen=True, slots=True, kw_only=True)
class Treatment:
    """One practice or award of a city; see the head of `treatments.toml` for the fields."""

    name: str
    title: str
    noun: str
    exposed: str
    exposed_city: str
    unexposed: str
    table: str
    kind: Literal["dated", "membership"]
    description: str
    caveats: tuple[str, ...] = ()
    exposure_month: int = 7
    as_of: int | None = None
    known_through: int | None = None
    minimum_level: Literal["", "silver", "gold", "platinum"] = ""

    @property
    def is_award(self) -> bool:
        """Whether it is dated by certifications, which come under an edition of the Standard."""
        return self.table == "certification/events"


@dataclass(frozen=True, slots=True, kw_only=True)
class Covariate:
    """One baseline characteristic of a city, built from panel columns of the baseline years."""

    name: str
    title: str
    variables: tuple[str, ...]
    transform: Transform = "none"
    over_places: Literal["mean", "sum"] = "mean"


@dataclass(frozen=True, slots=True, kw_only=True)
class Variable:
    """One column of the panel and the observations it is filled from; see the head of `variables.toml`."""

    name: str
    title: str
    source: str
    unit: str
    geography: Literal["place", "county", "puma"]
    variable: str = ""
    std_error: str = ""
    vintages: tuple[str, ...] = ()
    refused_flags: tuple[str, ...] = ()
    shipped: bool = True

    @property
    def observed(self) -> str:
        """Name of the variable in the observations."""
        return self.variable or self.name

    @property
    def way_to_figures(self) -> str:
        """How figures of a column come into the panel that does not ship with any, in one sentence."""
        return (
            f"Run 'wwc-research data fetch {self.source}', then name the vintage in the plan under [figures]: "
            f'{self.name} = ["{self.source}@VINTAGE"]'
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Analysis:
    """The planned analysis of one outcome: an entry of `plan.toml` with the plan's defaults filled in.

    `alternatives` are the other ways of asking that stand beside the headline; `expected` is the direction that the
    plan expects. `fallback` takes the headline's place where the headline is miscalibrated on the panel; `groups` are
    halves of the exposed units by population, asked about apart; `placebo_outcomes` are columns of the panel that
    certification should not move. `accept_breaks` are first years of a new series of the outcome that the analysis
    reaches across all the same.
    """

    name: str
    family: str
    minimum_effect_of_interest: float
    window: tuple[int, ...]
    unit: Geography
    baseline_years: tuple[int, ...]
    post_years: tuple[int, ...]
    covariates: tuple[str, ...]
    editions: tuple[str, ...]
    comparison: Literal["never", "not_yet"]
    anticipation: int
    headline: Headline
    aggregation: str
    alternatives: tuple[Alternative, ...]
    expected: Literal["better", "worse", "either"] = "better"
    fallback: Headline = "callaway_santanna"
    size_strata: int = 1
    groups: tuple[Literal["smaller", "larger"], ...] = ()
    placebo_outcomes: tuple[str, ...] = ()
    also_by_place: bool = True
    synthetic_controls: bool = False
    cross_section_year: int | None = None
    cross_section_covariates: tuple[str, ...] = ()
    accept_breaks: tuple[int, ...] = ()

    @property
    def span(self) -> tuple[int, int]:
        """First and last year that the analysis compares, in its window or as baseline and later years."""
        years = (*self.window, *self.baseline_years, *self.post_years)
        return min(years), max(years)


@dataclass(frozen=True, slots=True, kw_only=True)
class VerdictRule:
    """The declared thresholds a finding must pass; see `[verdict]` of `plan.toml`."""

    size: float
    pre_trend_size: float
    pre_trend_leads: int
    draws: int
    minimum_treated_clusters: int
    balance_limit: float
    difference_gates: tuple[str, ...]
    null_gates: tuple[str, ...]
    moderate_checks: tuple[str, ...]
    moderate_breakdown: float
    moderate_robustness_value: float
    moderate_same_sign_share: float


@dataclass(frozen=True, slots=True, kw_only=True)
class MatchingRule:
    """How the matched comparison pairs units; see `[matching]` of `plan.toml`."""

    method: Literal["nearest", "optimal"]
    distance: Literal["propensity", "mahalanobis"]
    ratio: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """The whole plan: analyses by outcome, the rules of every test, its text, and the hash that pages print.

    `treatment` heads the report, `treatments` are all those of one run; `prior_knowledge` says what had been seen of
    results when the plan was written. `figures` names by panel column the vintages that fill it, as `source@vintage` in
    order of preference; all other columns have the shipped figures.
    """

    title: str
    written: str
    treatment: str
    treatments: tuple[str, ...]
    prior_knowledge: str
    seed: int
    analyses: Mapping[str, Analysis]
    matching: MatchingRule
    verdict: VerdictRule
    specifications: SpecificationRule
    calibration: CalibrationRule
    sensitivity: SensitivityRule
    text: str
    sha256: str
    figures: Mapping[str, tuple[str, ...]] = field(default_factory=dict)


Entry = TypeVar("Entry")


@dataclass(frozen=True, slots=True, kw_only=True)
class RefusedSource:
    """A source of figures that no effect may be estimated on; see the head of `refused_sources.toml`."""

    name: str
    title: str
    names: tuple[str, ...]
    columns: tuple[str, ...]
    endings: tuple[str, ...]
    reason: str
    instead: str
    documentation: tuple[str, ...]

    def goes_by(self, text: str) -> bool:
        """Whether the text is one of its names, or holds one of several words, however it is written."""
        plain = _plain_name(text)
        names = [_plain_name(name) for name in (self.name, *self.names)]
        undated = "_".join(word for word in plain.split("_") if not word.isdigit())
        # "places" alone may stand in any file's name
        return plain in names or undated in names or any("_" in name and f"_{name}_" in f"_{plain}_" for name in names)

    @property
    def refusal(self) -> str:
        """Why no effect is estimated on it, what can be done instead, and where its publisher says so."""
        return f"{self.title}. {self.reason} {self.instead} See {listed(self.documentation)}."


def _plain_name(text: str) -> str:
    return re.sub(r"[^a-z0-9]+", "_", text.lower()).strip("_")


def text_of(file: str) -> str:
    """The text of one of the package's own TOML files."""
    return resources.files(__name__).joinpath(file).read_text(encoding="utf-8")


def _fits(value: Any, wanted: Any) -> bool:
    """Whether a TOML value is of the declared type (lists stand for tuples, integers for floats)."""
    origin = get_origin(wanted)
    if origin is Literal:
        return value in get_args(wanted)
    if origin is tuple:
        return isinstance(value, list) and all(_fits(item, get_args(wanted)[0]) for item in value)
    if origin is not None and issubclass(dict, origin):
        return isinstance(value, dict)
    if get_args(wanted):
        return any(_fits(value, option) for option in get_args(wanted))
    if wanted is float:
        return isinstance(value, int | float) and not isinstance(value, bool)
    if wanted is int:
        return isinstance(value, int) and not isinstance(value, bool)
    return isinstance(value, wanted)


def _described(wanted: Any) -> str:
    return listed(get_args(wanted)) if get_origin(wanted) is Literal else str(wanted).replace("typing.", "")


def build_entry(kind: type[Entry], name: str, values: Mapping[str, Any], faults: Faults) -> Entry | None:
    """The entry `name` as a frozen value, or None after noting in `faults` every field that is wrong."""
    hints = get_type_hints(kind)
    known = {item.name: item for item in dataclasses.fields(kind)}  # type: ignore[arg-type]  # any frozen dataclass
    before = len(faults)
    for key in values.keys() - known.keys():
        faults.add(f"[{name}] has an unknown field {key!r}; allowed: {listed(sorted(known), limit=40)}")
    chosen: dict[str, Any] = {"name": name} if "name" in known else {}
    for key, item in known.items():
        if key in values:
            if not _fits(values[key], hints[key]):
                faults.add(f"[{name}] {key} = {values[key]!r} should be {_described(hints[key])}")
            chosen[key] = tuple(values[key]) if isinstance(values[key], list) else values[key]
        elif key not in chosen and item.default is item.default_factory is dataclasses.MISSING:
            faults.add(f"[{name}] lacks the field {key!r}")
    return kind(**chosen) if len(faults) == before else None


def read_entries(kind: type[Entry], text: str, *, file: str) -> dict[str, Entry]:
    """Entries of one TOML text by name.

    Raises
    ------
    DataError
        With every unknown, missing or ill-typed field of the whole file.
    """
    faults = Faults(file, kind=DataError)
    built = {name: build_entry(kind, name, values, faults) for name, values in tomllib.loads(text).items()}
    faults.raise_if_any()
    return {name: entry for name, entry in built.items() if entry is not None}


@cache
def outcomes() -> dict[str, Outcome]:
    """All outcomes by name, in the order of the file, and after them those that a plan declared for itself."""
    return read_entries(Outcome, text_of("outcomes.toml"), file="catalog/outcomes.toml")


@cache
def treatments() -> dict[str, Treatment]:
    """All treatments by name, and after them those that a plan declared for itself."""
    return read_entries(Treatment, text_of("treatments.toml"), file="catalog/treatments.toml")


@cache
def _shipped() -> tuple[frozenset[str], frozenset[str]]:
    """Names of the outcomes and of the treatments that ship, which no plan may give another meaning."""
    known = (tomllib.loads(text_of(file)) for file in ("outcomes.toml", "treatments.toml"))
    first, second = (frozenset(names) for names in known)
    return first, second


def is_own(name: str) -> bool:
    """Whether the outcome or treatment was declared by a plan and does not ship."""
    return not any(name in names for names in _shipped())


def declare(entry: Outcome | Treatment) -> None:
    """Make an outcome or a treatment of a researcher's own known by its name, for this process.

    Raises
    ------
    InputError
        Where an entry that ships has that name, or the outcome is of a source that allows no estimate of an effect.
    """
    if not is_own(entry.name):
        raise InputError(f"{entry.name!r} is the name of an entry that ships; give yours another")
    if isinstance(entry, Outcome):
        refuse_for_effects(entry)
    known: dict[str, Any] = outcomes() if isinstance(entry, Outcome) else treatments()
    known[entry.name] = entry


def entry_of(kind: str, values: Mapping[str, Any]) -> Outcome | Treatment:
    """The entry that `dataclasses.asdict` gave the values of; `kind` is outcome or treatment.

    Raises
    ------
    DataError
        For values that are no such entry.
    """
    faults = Faults(f"the {kind} of one's own", kind=DataError)
    fields = {key: list(value) if isinstance(value, tuple) else value for key, value in values.items() if key != "name"}
    known = {key: value for key, value in fields.items() if value is not None}
    name = str(values.get("name", ""))
    made: Outcome | Treatment | None = (
        build_entry(Outcome, name, known, faults) if kind == "outcome" else build_entry(Treatment, name, known, faults)
    )
    faults.raise_if_any()
    assert made is not None  # raise_if_any has raised otherwise
    return made


def _declare_own(own: Mapping[str, Any], faults: Faults) -> None:
    """Declare the entries under [own.outcomes] and [own.treatments] of a plan."""
    for section in ("outcomes", "treatments"):
        for name, values in own.get(section, {}).items():
            entry: Outcome | Treatment | None = (
                build_entry(Outcome, name, values, faults)
                if section == "outcomes"
                else build_entry(Treatment, name, values, faults)
            )
            if entry is None:
                continue
            try:
                declare(entry)
            except InputError as error:
                faults.add(f"[own.{section}.{name}] {error}")


@cache
def covariates() -> dict[str, Covariate]:
    """All covariates by name."""
    return read_entries(Covariate, text_of("covariates.toml"), file="catalog/covariates.toml")


@cache
def variables() -> dict[str, Variable]:
    """All panel columns that come from observations, by name."""
    return read_entries(Variable, text_of("variables.toml"), file="catalog/variables.toml")


def has_shipped_figures(outcome: Outcome) -> bool:
    """Whether the panel has figures of the outcome without any being fetched; those of one's own are joined to it."""
    column = variables().get(outcome.variable)
    return column is None or column.shipped


def way_to_analysis(outcome: str) -> str:
    """How an outcome that waits for figures gets into a plan, in one sentence; nothing for any other name."""
    entry = outcomes().get(outcome)
    if entry is None or has_shipped_figures(entry):
        return ""
    way = variables()[entry.variable].way_to_figures
    return f" No figures of it ship with the package. {way}, and add [analyses.{outcome}]"


@cache
def refused_sources() -> dict[str, RefusedSource]:
    """Sources that allow no estimate of an effect, by name, with the reason."""
    return read_entries(RefusedSource, text_of("refused_sources.toml"), file="catalog/refused_sources.toml")


def refused_source(name: str) -> RefusedSource | None:
    """The refused source that goes by this name, however it is written; None where there is none."""
    return next((source for source in refused_sources().values() if source.goes_by(name)), None)


def refused_columns(columns: Iterable[str], *, measure: str | None = None) -> RefusedSource | None:
    """The refused source whose official columns these are; `measure` is the column that an effect is wanted on.

    A file that was cut down to a measure under a name of its own cannot be recognised.
    """
    plain = {column.strip().lower() for column in columns}
    for source in refused_sources().values():
        if plain >= {column.lower() for column in source.columns}:
            return source
        if measure is not None and measure.strip().lower().endswith(tuple(end.lower() for end in source.endings)):
            return source
    return None


def refuse_for_effects(outcome: Outcome) -> None:
    """Raise an `InputError` where the outcome is of a source that allows no estimate of an effect."""
    for text in (outcome.source, outcome.name, outcome.variable):
        source = refused_source(text)
        if source is not None:
            raise InputError(f"[{outcome.name}] is refused: {source.refusal}")


def read_plan(text: str, *, file: str = "catalog/plan.toml") -> Plan:
    """The plan of a TOML text, checked against the other entries of the catalog.

    Outcomes and treatments of its own, under [own.outcomes.NAME] and [own.treatments.NAME], are declared first.

    Raises
    ------
    DataError
        With every fault: ill-typed fields, outcomes, covariates or treatments that do not exist, years that
        contradict each other.
    """
    faults = Faults(file, kind=DataError)
    try:
        raw = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise DataError(f"{file} is no TOML: {error}. Compare it with the plan that ships with the package.") from None
    _declare_own(raw.get("own", {}), faults)
    defaults = raw.get("defaults", {})
    analyses: dict[str, Analysis] = {}
    for name, values in raw.get("analyses", {}).items():
        entry = build_entry(Analysis, name, {**defaults, **values}, faults)
        if entry is not None:
            analyses[name] = entry
            _check_analysis(entry, faults)
    matching = build_entry(MatchingRule, "matching", raw.get("matching", {}), faults)
    figures = _read_figures(raw.get("figures", {}), faults)
    for name in analyses:
        _check_figures(name, figures, faults)
    verdict = build_entry(VerdictRule, "verdict", raw.get("verdict", {}), faults)
    specifications = build_entry(SpecificationRule, "specifications", raw.get("specifications", {}), faults)
    calibration = build_entry(CalibrationRule, "calibration", raw.get("calibration", {}), faults)
    sensitivity = build_entry(SensitivityRule, "sensitivity", raw.get("sensitivity", {}), faults)
    for name in (raw.get("treatment"), *raw.get("treatments", ())):
        if name not in treatments():
            faults.add(f"treatment = {name!r}; allowed: {listed(treatments())}")
    for key in ("title", "written", "seed"):
        if key not in raw:
            faults.add(f"lacks the field {key!r}")
    faults.raise_if_any()
    # raise_if_any has raised otherwise
    assert verdict is not None
    assert matching is not None
    assert specifications is not None
    assert calibration is not None
    assert sensitivity is not None
    return Plan(
        title=raw["title"],
        written=str(raw["written"]),
        treatment=raw["treatment"],
        treatments=tuple(raw.get("treatments", [raw["treatment"]])),
        prior_knowledge=str(raw.get("prior_knowledge", "")),
        seed=raw["seed"],
        analyses=analyses,
        matching=matching,
        verdict=verdict,
        specifications=specifications,
        calibration=calibration,
        sensitivity=sensitivity,
        text=text,
        sha256=hashlib.sha256(text.encode()).hexdigest(),
        figures=figures,
    )


def split_vintage(text: str) -> tuple[str, str]:
    """Source and vintage of `source@vintage`; both are empty where the text is no such pair."""
    source, sign, vintage = (part.strip() for part in text.partition("@"))
    return (source, vintage) if sign and source and vintage and "@" not in vintage else ("", "")


def _read_figures(section: Any, faults: Faults) -> dict[str, tuple[str, ...]]:
    """[figures] of a plan: vintages by panel column, as `source@vintage` in order of preference."""
    if not isinstance(section, dict):
        faults.add('[figures] should be a table such as aqi_median_index = ["epa_aqi@2026-11-23"]')
        return {}
    sources = tomllib.loads(text_of("sources.toml"))
    figures: dict[str, tuple[str, ...]] = {}
    for column, named in section.items():
        if column not in variables():
            faults.add(f"[figures] {column} is no column of the panel; allowed: {listed(variables(), limit=60)}")
            continue
        if not isinstance(named, list) or not named or not all(isinstance(text, str) for text in named):
            faults.add(
                f'[figures] {column} = {named!r} should be a list such as ["{variables()[column].source}@VINTAGE"]'
            )
            continue
        for text in named:
            _check_vintage(column, text, sources=sources, faults=faults)
        pairs = ["@".join(split_vintage(text)) for text in named]
        if len(set(pairs)) < len(pairs):
            faults.add(f"[figures] {column} names a vintage twice: {listed(named, limit=20)}")
        figures[column] = tuple(pairs)
    return figures


def _check_vintage(column: str, text: str, *, sources: Mapping[str, Any], faults: Faults) -> None:
    source, _ = split_vintage(text)
    refused = refused_source(source) if source else None
    if not source:
        faults.add(
            f"[figures] {column}: {text!r} should be source@vintage, such as {variables()[column].source}@2026-11-23"
        )
    elif refused is not None:
        faults.add(f"[figures] {column}: {refused.refusal}")
    elif source not in sources:
        faults.add(f"[figures] {column}: there is no source {source!r}; there are {listed(sources, limit=60)}")


def _check_figures(outcome: str, figures: Mapping[str, tuple[str, ...]], faults: Faults) -> None:
    """Note an analysis of an outcome that has no figures: none ship, and the plan names none."""
    entry = outcomes().get(outcome)
    if entry is not None and not has_shipped_figures(entry) and entry.variable not in figures:
        way = variables()[entry.variable].way_to_figures
        faults.add(f"[analyses.{outcome}]: no figures of {entry.variable} ship with the package. {way}")


def _check_analysis(entry: Analysis, faults: Faults) -> None:
    if entry.name not in outcomes():
        faults.add(f"[analyses.{entry.name}] is no outcome; allowed: {listed(outcomes(), limit=40)}")
    for name in (*entry.covariates, *entry.cross_section_covariates):
        if name not in covariates():
            faults.add(
                f"[analyses.{entry.name}] covariate {name!r} does not exist; allowed: {listed(covariates(), limit=40)}"
            )
    if len(entry.window) != 2 or entry.window[0] >= entry.window[1]:
        faults.add(f"[analyses.{entry.name}] window = {entry.window} should be [first year, last year]")
    elif entry.baseline_years and entry.post_years and max(entry.baseline_years) >= min(entry.post_years):
        faults.add(
            f"[analyses.{entry.name}] baseline_years must end before post_years begin; "
            f"got {max(entry.baseline_years)} and {min(entry.post_years)}"
        )
    else:
        _check_breaks(entry, faults)


def _check_breaks(entry: Analysis, faults: Faults) -> None:
    outcome = outcomes().get(entry.name)
    if outcome is None:
        return
    unknown = [year for year in entry.accept_breaks if str(year) not in outcome.breaks]
    if unknown:
        known = f"it breaks in {listed(outcome.breaks, limit=20)}" if outcome.breaks else "it has none"
        faults.add(f"[analyses.{entry.name}] accept_breaks: {listed(unknown)} is no break of the series; {known}")
    first, last = entry.span
    for year, why in outcome.breaks_between(first, last).items():
        if year not in entry.accept_breaks:
            faults.add(f"[analyses.{entry.name}] {first}-{last}: {break_refusal(year, why)}")


def break_refusal(year: int, why: str) -> Message:
    """Why years before and after a break are not compared, and the two ways out."""
    return message(
        "the series breaks in {year}. {why} Compare years of one side only, or, knowing that, write "
        "accept_breaks = [{year}] in the plan's analysis; the page then says so.",
        year=str(year),
        why=why,
    )


@cache
def plan() -> Plan:
    """The plan that ships with the package."""
    return read_plan(text_of("plan.toml"))


def outcome(name: str) -> Outcome:
    """The outcome `name`; an unknown name is an InputError that lists the known ones."""
    if name not in outcomes():
        raise InputError(f"there is no outcome {name!r}; the catalog has {listed(outcomes(), limit=40)}")
    return outcomes()[name]


def treatment(name: str) -> Treatment:
    """The treatment `name`; an unknown name is an InputError that lists the known ones."""
    if name not in treatments():
        raise InputError(f"there is no treatment {name!r}; the catalog has {listed(treatments(), limit=40)}")
    return treatments()[name]
