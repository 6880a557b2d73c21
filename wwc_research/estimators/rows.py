"""A Sample as sorted, coded arrays, without units that cannot inform any estimator; each loss is counted.

In: `Sample`, never changed. Out: `Rows`. No estimator: the door that all of them go through.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Literal

import numpy as np
import numpy.typing as npt
import pandas as pd

from wwc_research.design.sample import OPTIONAL_COLUMNS, Comparison, Exclusion, Sample
from wwc_research.errors import EstimationError, Faults, InputError, listed
from wwc_research.estimators.linear import Codes, ErrorModel, Floats, StdErrors
from wwc_research.messages import Message, counted, message

EffectKind = Literal["by_time", "plain"]
Mask = npt.NDArray[np.bool_]
_COLUMNS = ("unit", "time", "outcome", "cohort", "cluster", "weight")


@dataclass(frozen=True, slots=True, kw_only=True)
class Rows:
    """One entry a unit and time, sorted by both.

    Attributes
    ----------
    unit, cluster
        Codes from 0, every code present.
    time
        In calendar units; gaps are allowed.
    cohort
        First exposed time; infinity = never.
    outcome, weight
        Finite; weights positive.
    covariates
        Shape (rows, covariates), named by `covariate_names`.
    optional
        Those of the sample's `OPTIONAL_COLUMNS` that it has, finite.
    effects
        Codes from 0 of the sample's further effects, by name.
    unit_names
        The sample's name of each unit, by its code.
    comparison, anticipation, exclusions
        From the sample, with what was left out here added.
    """

    unit: Codes
    time: Codes
    cohort: Floats
    cluster: Codes
    outcome: Floats
    weight: Floats
    covariates: Floats
    covariate_names: tuple[str, ...]
    optional: Mapping[str, Floats]
    comparison: Comparison
    anticipation: int
    exclusions: tuple[Exclusion, ...]
    effects: Mapping[str, Codes] = field(default_factory=dict)
    unit_names: npt.NDArray[np.object_] = field(default_factory=lambda: np.empty(0, dtype=object))

    @property
    def event_time(self) -> Floats:
        """Time since exposure in calendar units, minus infinity for the never exposed."""
        return self.time - self.cohort

    @property
    def is_exposed(self) -> Mask:
        """Whether the unit is exposed at that time."""
        return np.asarray(self.time >= self.cohort, dtype=bool)

    @property
    def period(self) -> Codes:
        """Time as codes 0..T-1 in calendar order."""
        return _compact(self.time - self.time.min())

    @property
    def n_units(self) -> int:
        """Number of units."""
        return int(self.unit.max()) + 1

    @property
    def n_clusters(self) -> int:
        """Number of clusters."""
        return int(self.cluster.max()) + 1

    @property
    def n_treated(self) -> int:
        """Number of units seen exposed."""
        return int(np.unique(self.unit[self.is_exposed]).size)

    def error_model(self, kind: StdErrors, *, cutoff_km: float = 100.0) -> ErrorModel:
        """The error model of that kind for these rows: clusters from the sample, the second one time.

        `cutoff_km` is the distance up to which errors go together with `conley`.

        Raises
        ------
        InputError
            For `conley` without latitude and longitude.
        """
        period = self.period
        if kind == "conley":
            places = [self.needed(name, estimator="std_errors = conley") for name in ("latitude", "longitude")]
            return ErrorModel(
                kind=kind,
                unit=self.unit,
                time=period,
                latitude=places[0],
                longitude=places[1],
                cutoff_km=cutoff_km,
            )
        clusters = (self.cluster, period) if kind == "two_way_cluster" else (self.cluster,)
        return ErrorModel(kind=kind, clusters=clusters, unit=self.unit, time=period)

    def fixed_effects(self, kind: EffectKind, *, estimator: str) -> tuple[Codes, ...]:
        """Unit and time, and the sample's further effects: at each time (`by_time`) or once (`plain`).

        Effects at each time hold those of time, which are then left out.

        Raises
        ------
        InputError
            For a plain effect that never changes within a unit: the unit's effect holds it already.
        """
        period = self.period
        if not self.effects:
            return self.unit, period
        if kind == "by_time":
            n_times = int(period.max()) + 1
            return self.unit, *(_compact(codes * n_times + period) for codes in self.effects.values())
        is_same = np.diff(self.unit) == 0
        still = [name for name, codes in self.effects.items() if not np.diff(codes)[is_same].any()]
        if still:
            raise InputError(
                f"{estimator}: {listed(still)} never changes within a unit, so unit effects hold it already; take "
                "extra_effects = by_time, or leave it out."
            )
        return self.unit, period, *self.effects.values()

    def of_units(self, keep: Mask) -> Mask:
        """A mask over units spread over their rows."""
        return np.asarray(keep[self.unit], dtype=bool)

    def without(self, drop: Mask, *, reason: str) -> Rows:
        """The rows not in `drop`, with an exclusion that counts those that are; itself where there are none.

        Units are counted where at least one of their rows is dropped.
        """
        if not drop.any():
            return self
        exclusion = Exclusion(reason=reason, rows=int(drop.sum()), units=int(np.unique(self.unit[drop]).size))
        keep = ~drop
        return replace(
            self,
            unit=_compact(self.unit[keep]),
            time=self.time[keep],
            cohort=self.cohort[keep],
            cluster=_compact(self.cluster[keep]),
            outcome=self.outcome[keep],
            weight=self.weight[keep],
            covariates=self.covariates[keep],
            optional={name: values[keep] for name, values in self.optional.items()},
            effects={name: _compact(codes[keep]) for name, codes in self.effects.items()},
            unit_names=self.unit_names[np.bincount(self.unit[keep], minlength=len(self.unit_names)) > 0],
            exclusions=(*self.exclusions, exclusion),
        )

    def needed(self, name: str, *, estimator: str) -> Floats:
        """The optional column of that name, which the estimator cannot do without.

        Raises
        ------
        InputError
            Where the sample does not have it.
        """
        if name not in self.optional:
            flag = name.removeprefix("outcome_").replace("_", "-")
            raise InputError(
                f"{estimator}: needs a column {name} in the sample ({OPTIONAL_COLUMNS[name]}); add it, or name the "
                f"file's column with --{flag}."
            )
        return self.optional[name]


def _compact(codes: Codes) -> Codes:
    present = np.bincount(codes) > 0
    return (np.cumsum(present) - 1)[codes]


def read_rows(sample: Sample, *, takes_effects: bool = False) -> Rows:
    """The sample as arrays, less what no estimator can use.

    Left out, each with an exclusion: units seen only once; units not seen before their exposure (less the
    anticipation), whose own effect is unknown and whose trend already carries it; and under
    `comparison = "never"` units first exposed after the last period, which are neither never exposed nor
    exposed in sight.

    Raises
    ------
    InputError
        For a frame that is not a sample: all faults at once.
    EstimationError
        Where no effect can be estimated: one period, nobody exposed, nobody to compare with.
    """
    rows = coded_rows(sample, takes_effects=takes_effects)
    rows = rows.without(rows.of_units(np.bincount(rows.unit) < 2), reason=message("unit observed in a single period"))
    if rows.unit.size == 0 or np.ptp(rows.time) == 0:
        raise EstimationError(
            message(
                "sample: no unit is observed in two periods; an effect needs a before and an after. Widen the window."
            )
        )
    rows = _with_a_past(rows)
    if rows.comparison == "never":
        late = np.isfinite(rows.cohort) & (rows.cohort > rows.time.max())
        rows = rows.without(
            late, reason=message("first exposed after the last period, and only the never exposed are compared")
        )
    _refuse_without_contrast(rows)
    return rows


def coded_rows(sample: Sample, *, takes_effects: bool = False) -> Rows:
    """The whole sample as arrays, for estimators whose exposure is no single first time.

    Parameters
    ----------
    sample
        Never changed.
    takes_effects
        Whether the estimator can absorb the sample's further `effects`.

    Raises
    ------
    InputError
        For a frame that is not a sample: all faults at once; for further effects that nobody would absorb.
    EstimationError
        Where it has no rows.
    """
    frame = sample.frame
    missing = [name for name in (*_COLUMNS, *sample.covariates, *sample.effects) if name not in frame.columns]
    if missing:
        raise InputError(f"sample: no column {listed(missing)}; build it with Design.sample.")
    if sample.effects and not takes_effects:
        raise InputError(
            f"sample: effects of {listed(sample.effects)} are for two_way_fe and event_study only; leave them out here."
        )
    if not len(frame):
        raise EstimationError(
            message("sample: it has no rows; see its exclusions, and widen the window or the places.")
        )
    codes, names = pd.factorize(frame["unit"], sort=True)
    unit = codes.astype(np.int64)
    cluster = pd.factorize(frame["cluster"], sort=True)[0].astype(np.int64)
    time = frame["time"].to_numpy(dtype=np.int64)
    key = unit * (np.ptp(time) + 1) + (time - time.min())
    order = slice(None) if (np.diff(key) > 0).all() else np.argsort(key, kind="stable")
    cohort = frame["cohort"].to_numpy(dtype=float)
    covariates = frame[list(sample.covariates)].to_numpy(dtype=float).reshape(len(frame), -1)
    rows = Rows(
        unit=unit[order],
        time=time[order],
        cohort=np.where(np.isnan(cohort), np.inf, cohort)[order],
        cluster=cluster[order],
        outcome=frame["outcome"].to_numpy(dtype=float)[order],
        weight=frame["weight"].to_numpy(dtype=float)[order],
        covariates=covariates[order],
        covariate_names=tuple(sample.covariates),
        optional={name: frame[name].to_numpy(dtype=float)[order] for name in OPTIONAL_COLUMNS if name in frame.columns},
        comparison=sample.comparison,
        anticipation=sample.anticipation,
        exclusions=tuple(sample.exclusions),
        effects={name: pd.factorize(frame[name], sort=True)[0].astype(np.int64)[order] for name in sample.effects},
        unit_names=np.asarray(names, dtype=object),
    )
    _refuse_malformed(rows, is_repeated=bool((np.diff(key[order]) == 0).any()))
    return rows


def _refuse_malformed(rows: Rows, *, is_repeated: bool) -> None:
    faults = Faults(where="sample")
    same_unit = np.diff(rows.unit) == 0
    if is_repeated:
        faults.add("a unit has two rows at one time; average or drop one of them.")
    if (rows.cohort[1:] != rows.cohort[:-1])[same_unit].any():
        faults.add("a unit has two values of cohort; cohort is the one first exposed time of the unit.")
    if rows.unit.min() < 0 or rows.cluster.min() < 0:
        faults.add("unit or cluster is missing in some rows; fill it or drop the rows.")
    for name, codes in rows.effects.items():
        if codes.min() < 0:
            faults.add(f"{name} is missing in some rows; fill it or drop the rows.")
    if not np.isfinite(rows.outcome).all() or not np.isfinite(rows.covariates).all():
        faults.add("outcome or covariates are not finite in some rows; drop those rows.")
    for name, values in rows.optional.items():
        if not np.isfinite(values).all():
            faults.add(f"{name} is not finite in some rows; drop those rows.")
    if not (np.isfinite(rows.weight).all() and (rows.weight > 0).all()):
        faults.add("weights must be positive numbers; drop rows without weight.")
    if rows.anticipation < 0:
        faults.add(f"anticipation = {rows.anticipation}; it is a number of periods, 0 or more.")
    if rows.comparison not in ("never", "not_yet"):
        faults.add(f"comparison = {rows.comparison!r} is not offered; allowed: never, not_yet.")
    faults.raise_if_any()


def _with_a_past(rows: Rows) -> Rows:
    is_clean = rows.time < rows.cohort - rows.anticipation
    has_past = np.bincount(rows.unit, weights=is_clean) > 0
    reason = message("exposed in or before the first period observed: no past")
    if rows.anticipation:
        reason = message(
            "exposed less {anticipation} of anticipation in or before the first period observed: no past",
            anticipation=rows.anticipation,
        )
    return rows.without(
        rows.of_units(~has_past),
        reason=reason,
    )


def losses(exclusions: Sequence[Exclusion]) -> Message:
    """Units lost by reason, for an error that says why nothing is left."""
    if not exclusions:
        return message("none")
    lost = [counted("{n} unit: {reason}", "{n} units: {reason}", n=e.units, reason=e.reason) for e in exclusions]
    return message("{lost:semicolons}", lost=lost)


def _refuse_without_contrast(rows: Rows) -> None:
    if rows.unit.size == 0 or not rows.is_exposed.any():
        lost = losses(rows.exclusions)
        raise EstimationError(
            message(
                "sample: no unit is seen both before and after its exposure (left out: {lost}). Start the window "
                "earlier, or end it later.",
                lost=lost,
            )
        )
    if rows.comparison == "never" and np.isfinite(rows.cohort).all():
        raise EstimationError(
            message(
                "sample: all {n_units} units are exposed and comparison = never; take comparison = not_yet, or "
                "add places that were never exposed.",
                n_units=rows.n_units,
            )
        )
    if np.ptp(rows.cohort[np.isfinite(rows.cohort)]) == 0 and np.isfinite(rows.cohort).all():
        raise EstimationError(
            message(
                "sample: all {n_units} units are first exposed at {cohort:.0f}, so nobody is left to compare "
                "with; add places exposed later or never.",
                n_units=rows.n_units,
                cohort=rows.cohort[0],
            )
        )
