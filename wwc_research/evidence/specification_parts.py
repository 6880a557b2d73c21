"""Each defensible way of asking one question: its sample, its estimate, and its estimates under common lots.

In: a design, a panel, the plan's rule. Out: `SpecificationPart`s, work units that may be made in any order.
"""

from __future__ import annotations

import hashlib
import itertools
import math
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import pandas as pd

from wwc_research.catalog.evidence_rules import (
    SpecCohorts,
    SpecComparison,
    SpecCovariates,
    SpecificationRule,
    SpecWeighting,
    SpecWindow,
)
from wwc_research.design.baseline import covariate_table
from wwc_research.design.design import Design
from wwc_research.design.sample import Sample
from wwc_research.design.variants import weighted_by_people, without
from wwc_research.errors import EstimationError
from wwc_research.estimators import Estimate
from wwc_research.estimators import estimate as estimate_by_name
from wwc_research.estimators.drawn_group_times import group_time_averages
from wwc_research.estimators.drawn_imputations import imputed_average
from wwc_research.estimators.drawn_two_way import two_way_coefficients
from wwc_research.estimators.precision import precision_weighted
from wwc_research.estimators.rows import Rows, read_rows
from wwc_research.messages import message, said
from wwc_research.panel.panel import Panel

Floats = npt.NDArray[np.float64]
Integers = npt.NDArray[np.int64]
ALL_EDITIONS: Final = ("v1", "v2", "v3")
PANDEMIC, START = (2020, 2021), 2014
NO_COVARIATES = message("covariates: the plan names none for this outcome")
MEASURED_LATE = message("covariates: measured in or after the first exposure, which may have moved them")
NOT_AWARDS = message("cohorts: only awards have editions and a roster with sources")
NO_ERRORS = message("precision weights: the source publishes no standard errors for every figure")
ONE_COMPARISON = message("two-way fixed effects compares all rows with all, whichever comparison is asked for")
NOT_PANDEMIC = message("window: it has neither 2020 nor 2021")
LATE_START = message("window: it starts in {year} or later as planned", year=START)
_OUTSIDE: Final = {
    "plan": message("outside the planned window"),
    "without_2020_2021": message("in 2020 or 2021"),
    "from_2014": message("before {year}", year=START),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Choices:
    """One decision in each respect; see `SpecificationRule`."""

    estimator: str
    comparison: SpecComparison
    window: SpecWindow
    covariates: SpecCovariates
    cohorts: SpecCohorts
    weighting: SpecWeighting


@dataclass(frozen=True, slots=True, kw_only=True)
class Tried:
    """What came of one specification.

    Attributes
    ----------
    choices
        The decisions.
    estimate, std_error, df, n_treated, n_units
        As the estimator gives them, in the unit of the outcome; NaN and 0 where `failed` holds the reason.
    is_mechanical
        Whether awards count whose conditions include a good outcome.
    fingerprint
        Of all that the estimator was given: two specifications that share it are one.
    drawn
        The estimate of the real assignment first, then under each draw, shape (1 + draws,); empty where the estimator
        cannot be had for many draws at once.
    """

    choices: Choices
    estimate: float = math.nan
    std_error: float = math.nan
    df: float = math.inf
    n_treated: int = 0
    n_units: int = 0
    is_mechanical: bool = False
    failed: str = ""
    fingerprint: str = ""
    drawn: Floats = field(default_factory=lambda: np.zeros(0))


@dataclass(frozen=True, slots=True, kw_only=True)
class SpecificationPart:
    """The specifications of one work unit, and the combinations not tried, by reason."""

    tried: tuple[Tried, ...]
    skipped: Mapping[str, int]
    duplicates: int


def specification_units(rule: SpecificationRule) -> tuple[SpecCohorts, ...]:
    """Work units, each to be given to `specification_part`: the rule's choices of cohorts, the plan's first."""
    return tuple(sorted(rule.cohorts, key=lambda cohorts: cohorts != "plan"))


def specification_part(
    design: Design, panel: Panel, unit: SpecCohorts, *, rule: SpecificationRule, seed: int
) -> SpecificationPart:
    """Every defensible specification with one choice of cohorts; the same whichever process makes it.

    Parameters
    ----------
    design
        The planned one.
    unit
        From `specification_units`.
    seed
        Of the lots, which are the same for all units: a unit of the panel has one key a draw.
    """
    skipped: Counter[str] = Counter()
    wanted = [
        choices for choices in _combinations(rule, unit, design=design) if _is_defensible(choices, design, skipped)
    ]
    lots = _Lots.of(design, panel, seed=seed, draws=rule.draws)
    tried: dict[str, Tried] = {}
    duplicates = 0
    samples = _Samples(design=design, panel=panel)
    for choices in wanted:
        why = samples.refusal(choices)
        if why:
            skipped[why] += 1
            continue
        try:
            asked = samples.asked(choices)
            if asked.fingerprint in tried or asked.fingerprint == samples.planned_fingerprint(choices):
                duplicates += 1
                continue
            found = _tried(asked, design=design, lots=lots)
        except EstimationError as error:
            found = Tried(choices=choices, failed=said(error), fingerprint=f"failed {choices}")
        tried[found.fingerprint] = found
    return SpecificationPart(tried=tuple(tried.values()), skipped=dict(skipped), duplicates=duplicates)


def _combinations(rule: SpecificationRule, unit: SpecCohorts, *, design: Design) -> Iterator[Choices]:
    """All combinations with these cohorts, those of the plan before others, so that a duplicate bears its name."""
    planned = design.analysis.comparison
    comparisons = sorted(rule.comparisons, key=lambda comparison: comparison != planned)
    windows = sorted(rule.windows, key=lambda window: window != "plan")
    weightings = sorted(rule.weightings, key=lambda weighting: weighting != "equal")
    covariates = sorted(rule.covariates, key=lambda chosen: chosen != "none")
    for comparison, window, weighting, chosen, estimator in itertools.product(
        comparisons, windows, weightings, covariates, rule.estimators
    ):
        yield Choices(
            estimator=estimator,
            comparison=comparison,
            window=window,
            covariates=chosen,
            cohorts=unit,
            weighting=weighting,
        )


def _is_defensible(choices: Choices, design: Design, skipped: Counter[str]) -> bool:
    """Whether the combination means something; if not, the reason is counted."""
    analysis = design.analysis
    first, last = analysis.window
    known = min(last, design.treatment.known_through or last)
    rules = (
        (choices.cohorts in ("all_editions", "source_only") and not design.treatment.is_award, NOT_AWARDS),
        (choices.estimator == "two_way_fe" and choices.comparison != analysis.comparison, ONE_COMPARISON),
        (choices.window == "from_2014" and first >= START, LATE_START),
        (choices.window == "without_2020_2021" and (known < min(PANDEMIC) or first > max(PANDEMIC)), NOT_PANDEMIC),
        (choices.covariates == "plan" and not analysis.covariates, NO_COVARIATES),
    )
    for applies, reason in rules:
        if applies:
            skipped[reason] += 1
            return False
    return True


@dataclass(frozen=True, slots=True, kw_only=True)
class _Asked:
    """One specification ready to be estimated.

    `sample` has the covariates as they were at baseline, the same at every time; `rows` are it, coded;
    `has_later_awards` says whether units are exposed that are not with the plan's editions.
    """

    choices: Choices
    sample: Sample
    rows: Rows
    fingerprint: str
    has_later_awards: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class _Samples:
    """The samples of one work unit; what several specifications share is made once."""

    design: Design
    panel: Panel
    made: dict[tuple[Any, ...], Any] = field(default_factory=dict)

    def asked(self, choices: Choices) -> _Asked:
        """The specification's sample and rows.

        Raises
        ------
        EstimationError
            Where nothing is left to compare.
        """
        key = (choices.comparison, choices.window, choices.weighting, choices.covariates, choices.cohorts)
        sample = self._once(("sample", *key), lambda: self._sample(choices))
        rows = self._once(("rows", *key), lambda: read_rows(sample))
        return _Asked(
            choices=choices,
            sample=sample,
            rows=rows,
            fingerprint=self._once(("hash", choices), lambda: _fingerprint(rows, choices)),
            has_later_awards=choices.cohorts == "all_editions" and self._has_later_awards(rows, choices),
        )

    def _has_later_awards(self, rows: Rows, choices: Choices) -> bool:
        planned = self._planned(replace(choices, cohorts="plan")).frame
        exposed = rows.unit_names[np.unique(rows.unit[rows.is_exposed])]
        return not set(exposed) <= set(planned.loc[planned["cohort"].notna(), "unit"])

    def planned_fingerprint(self, choices: Choices) -> str:
        """That of the same with the plan's editions, which awards of other editions need not change; else empty."""
        if choices.cohorts != "all_editions":
            return ""
        try:
            return self.asked(replace(choices, cohorts="plan")).fingerprint
        except EstimationError:
            return ""

    def refusal(self, choices: Choices) -> str:
        """Why the figures themselves rule the combination out; empty where they do not."""
        try:
            planned = self._planned(choices)
        except EstimationError:
            return ""
        if choices.weighting == "precision" and "outcome_std_error" not in planned.frame:
            return NO_ERRORS
        baseline = self.design.analysis.baseline_years
        if choices.covariates == "plan" and planned.frame["cohort"].min() <= max(baseline):
            return MEASURED_LATE
        return ""

    def _once(self, key: tuple[Any, ...], make: Callable[[], Any]) -> Any:
        if key not in self.made:
            self.made[key] = make()
        return self.made[key]

    def _planned(self, choices: Choices) -> Sample:
        return self._once(
            ("planned", choices.comparison, choices.cohorts), lambda: _designed(self.design, choices).sample(self.panel)
        )

    def _sample(self, choices: Choices) -> Sample:
        sample = _windowed(self._planned(choices), choices.window)
        if choices.weighting == "population":
            sample = weighted_by_people(sample)
        if choices.weighting == "precision":
            sample = precision_weighted(sample)
        if choices.covariates == "none":
            return sample
        analysis = self.design.analysis
        table = self._once(
            ("covariates",),
            lambda: covariate_table(
                self.panel, design=self.design, names=analysis.covariates, years=analysis.baseline_years
            ),
        )
        return _with_traits(sample, table)


def _designed(design: Design, choices: Choices) -> Design:
    changed = design.with_analysis(comparison=choices.comparison)
    if choices.cohorts == "all_editions":
        return changed.with_analysis(editions=ALL_EDITIONS)
    if choices.cohorts == "anticipation_1":
        return changed.with_analysis(anticipation=1)
    return replace(changed, roster="source_only") if choices.cohorts == "source_only" else changed


def _windowed(sample: Sample, window: SpecWindow) -> Sample:
    time = sample.frame["time"]
    drop = {"plan": time < 0, "without_2020_2021": time.isin(PANDEMIC), "from_2014": time < START}[window]
    kept = without(sample, drop, reason=_OUTSIDE[window])
    if sample.comparison == "not_yet":
        return kept
    # estimators leave them out too, but only after weights and covariates have been measured over them
    late = kept.frame["cohort"] > kept.frame["time"].max()
    return without(
        kept,
        late,
        reason=message("first exposed after the last period, and only the never exposed are compared"),
    )


def _with_traits(sample: Sample, table: pd.DataFrame) -> Sample:
    """The sample with baseline covariates in units of their spread; units without them are left out and counted."""
    position, units = pd.factorize(sample.frame["unit"])
    lacking = table.reindex(units).isna().any(axis=1).to_numpy()
    drop = pd.Series(lacking[position], index=sample.frame.index)
    kept = without(sample, drop, reason=message("no baseline figure of a covariate"))
    position, units = pd.factorize(kept.frame["unit"])
    present = table.reindex(units)
    scaled = (present - present.mean()) / present.std(ddof=0)
    values = {name: scaled[name].to_numpy(dtype=float)[position] for name in scaled.columns}
    return replace(kept, frame=kept.frame.assign(**values), covariates=tuple(scaled.columns))


def _by_time(sample: Sample) -> Sample:
    """The sample with each covariate by an indicator of every time but the first, for unit and time effects."""
    if not sample.covariates:
        return sample
    time = sample.frame["time"].to_numpy()
    columns = {
        f"{name} in {at}": sample.frame[name].to_numpy() * (time == at)
        for name in sample.covariates
        for at in np.unique(time)[1:]
    }
    frame = pd.concat([sample.frame.drop(columns=list(sample.covariates)), pd.DataFrame(columns)], axis=1)
    return replace(sample, frame=frame, covariates=tuple(columns))


def _fingerprint(rows: Rows, choices: Choices) -> str:
    """Hash of what the estimator is given: a cohort beyond the last time less the anticipation is never exposed."""
    cohort = np.where(rows.cohort - rows.anticipation > rows.time.max(), np.inf, rows.cohort)
    comparison = rows.comparison if choices.estimator == "callaway_santanna" else ""
    digest = hashlib.blake2b(f"{choices.estimator} {comparison} {rows.anticipation}".encode(), digest_size=16)
    digest.update("\0".join(rows.unit_names).encode())
    for values in (rows.unit, rows.time, cohort, rows.cluster, rows.outcome, rows.weight, rows.covariates):
        digest.update(np.ascontiguousarray(values).tobytes())
    return digest.hexdigest()


def _tried(asked: _Asked, *, design: Design, lots: _Lots) -> Tried:
    choices, aggregation = asked.choices, design.analysis.aggregation
    if choices.estimator == "callaway_santanna":
        found = estimate_by_name(asked.sample, choices.estimator, aggregation=aggregation)
    elif choices.estimator == "imputation":
        found = _imputed(_by_time(asked.sample), aggregation=aggregation)
    else:
        found = estimate_by_name(_by_time(asked.sample), choices.estimator)
    return Tried(
        choices=choices,
        estimate=found.estimate,
        std_error=found.std_error,
        df=found.df,
        n_treated=found.n_treated,
        n_units=found.n_units,
        is_mechanical=asked.has_later_awards and design.outcome.is_award_condition,
        fingerprint=asked.fingerprint,
        drawn=_drawn(asked, found.estimate, lots=lots),
    )


def _imputed(sample: Sample, *, aggregation: str) -> Estimate:
    """With leave-out errors, as a page's headline has them; the plain ones where a cohort lies in one county."""
    given: dict[str, Any] = {"aggregation": aggregation, "leads": 0}
    found = estimate_by_name(sample, "imputation", std_errors="bjs_leave_out", **given)
    return found if math.isfinite(found.std_error) else estimate_by_name(sample, "imputation", **given)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Lots:
    """One random key a draw for every unit of the panel; `names` are sorted, `keys` has shape (draws, units)."""

    names: npt.NDArray[np.object_]
    keys: Floats
    dealt: dict[bytes, tuple[Integers, Floats]] = field(default_factory=dict)

    @classmethod
    def of(cls, design: Design, panel: Panel, *, seed: int, draws: int) -> _Lots:
        column = "county_id" if design.analysis.unit == "county" else "place_id"
        names = np.array(sorted(panel.frame[column].dropna().unique()), dtype=object)
        generator = np.random.default_rng(np.random.SeedSequence([seed, draws]))
        return cls(names=names, keys=generator.random((draws, len(names))))

    def deal(self, rows: Rows, strata: Integers) -> tuple[Integers, Floats]:
        """Units that hold the cohorts, the real ones first, shape (1 + draws, treated), and the cohort of each column.

        Within each stratum the units with the smallest keys take its cohorts, the earliest first.
        """
        first = np.flatnonzero(np.diff(rows.unit, prepend=-1))
        cohort = rows.cohort[first]
        cohort = np.where(cohort - rows.anticipation > rows.time.max(), np.inf, cohort)
        key = hashlib.blake2b(
            cohort.tobytes() + strata.tobytes() + "\0".join(rows.unit_names).encode(), digest_size=16
        ).digest()
        if key not in self.dealt:
            self.dealt[key] = self._deal(cohort, strata, rows.unit_names)
        return self.dealt[key]

    def _deal(self, cohort: Floats, strata: Integers, unit_names: npt.NDArray[np.object_]) -> tuple[Integers, Floats]:
        keys = self.keys[:, np.searchsorted(self.names, unit_names)]
        real, drawn = [], []
        for stratum in np.unique(strata):
            members = np.flatnonzero(strata == stratum)
            holders = members[np.isfinite(cohort[members])]
            real.append(holders[np.argsort(cohort[holders], kind="stable")])
            drawn.append(members[np.argsort(keys[:, members], axis=1)[:, : len(holders)]])
        columns = np.concatenate(real)
        return np.vstack([columns[None, :], np.concatenate(drawn, axis=1)]), cohort[columns]


def _drawn(asked: _Asked, estimate: float, *, lots: _Lots) -> Floats:
    """Estimates of the real assignment and of each draw; none where many draws cannot be had at once.

    The real one must be the estimator's own: where it is not (an average other than the simple one, rows that only
    the estimator leaves out) the draws would be of something else.
    """
    rows, estimator = asked.rows, asked.choices.estimator
    traits = rows.covariates[np.flatnonzero(np.diff(rows.unit, prepend=-1))]
    if estimator not in ("imputation", "two_way_fe", "callaway_santanna"):
        return np.zeros(0)
    if estimator == "callaway_santanna" and traits.shape[1]:
        return np.zeros(0)
    drawn, cohorts = lots.deal(rows, _strata(asked))
    times = np.unique(rows.time)
    outcomes = np.full((rows.n_units, len(times)), np.nan)
    weights = np.zeros(outcomes.shape)
    outcomes[rows.unit, rows.period], weights[rows.unit, rows.period] = rows.outcome, rows.weight
    given: dict[str, Any] = {
        "times": times,
        "drawn": drawn,
        "cohorts": cohorts,
        "anticipation": rows.anticipation,
        "weights": weights,
    }
    if estimator == "callaway_santanna":
        found = group_time_averages(outcomes, comparison=rows.comparison, **given)
    else:
        average = imputed_average if estimator == "imputation" else two_way_coefficients
        found = average(outcomes, covariates=traits, **given)
    return found if np.isclose(found[0], estimate, rtol=1e-6, atol=1e-12) else np.zeros(0)


def _strata(asked: _Asked) -> Integers:
    """Size group of each unit of the rows, in which lots are drawn."""
    frame = asked.sample.frame
    if "stratum" not in frame:
        return np.zeros(asked.rows.n_units, dtype=np.int64)
    return frame.groupby("unit")["stratum"].first().reindex(asked.rows.unit_names).to_numpy(dtype=np.int64)
