"""The one result type of all estimators: numbers in, inference by `wwc_research.inference`, no plotting."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import pandas as pd

from wwc_research import inference
from wwc_research.design.sample import Exclusion


def _as_json(value: Any) -> Any:
    """The same value as it is read back from JSON: keys are text there, and tuples lists."""
    if isinstance(value, Mapping):
        return {str(key): _as_json(item) for key, item in value.items()}
    return [_as_json(item) for item in value] if isinstance(value, list | tuple) else value


def _json_number(value: float) -> float | None:
    return float(value) if math.isfinite(value) else None


@dataclass(frozen=True, slots=True, kw_only=True)
class EventTerm:
    """The effect at one distance from exposure; the base period has estimate 0 and no standard error.

    `critical_value` is the half-width, in standard errors, of a band that holds all terms at once; NaN where the
    estimator gives none.
    """

    event_time: int
    estimate: float
    std_error: float
    df: float = math.inf
    critical_value: float = inference.NAN

    @property
    def ci(self) -> tuple[float, float]:
        """95 % confidence interval."""
        return inference.confidence_interval(self.estimate, self.std_error, self.df)

    @property
    def band(self) -> tuple[float, float]:
        """95 % simultaneous band at this term; NaN where the estimator gives none."""
        return inference.simultaneous_band(self.estimate, self.std_error, self.critical_value)

    def as_dict(self) -> dict[str, Any]:
        """Plain values for JSON; undefined numbers are null."""
        low, high = self.ci
        band_low, band_high = self.band
        return {
            "event_time": self.event_time,
            "estimate": _json_number(self.estimate),
            "std_error": _json_number(self.std_error),
            "ci_low": _json_number(low),
            "ci_high": _json_number(high),
            "band_low": _json_number(band_low),
            "band_high": _json_number(band_high),
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class GroupTimeTerm:
    """The effect on one cohort (first exposed time) at one time."""

    cohort: int
    time: int
    estimate: float
    std_error: float
    n_treated: int
    n_comparison: int

    def as_dict(self) -> dict[str, Any]:
        """Plain values for JSON; undefined numbers are null."""
        return {
            "cohort": self.cohort,
            "time": self.time,
            "estimate": _json_number(self.estimate),
            "std_error": _json_number(self.std_error),
            "n_treated": self.n_treated,
            "n_comparison": self.n_comparison,
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class Estimate:
    """What one estimator says about one sample.

    Attributes
    ----------
    estimator, estimand
        Name on the command line; what is estimated, in words.
    estimate, std_error
        In the unit of the outcome.
    df
        Degrees of freedom for t-based inference; infinity means the normal.
    n_obs, n_units, n_treated, n_clusters
        Rows, units, ever-exposed units and clusters that the estimate rests on.
    event_study, group_time
        Effects by distance from exposure and by cohort and time, where the estimator has them.
    pre_trend_statistic, pre_trend_restrictions
        Joint Wald test that every estimated lead is zero; NaN and 0 where there is none.
    exclusions, settings
        What was left out and why; options as used, the standard-error convention among them.
    """

    estimator: str
    estimand: str
    estimate: float
    std_error: float
    df: float = math.inf
    n_obs: int
    n_units: int
    n_treated: int
    n_clusters: int
    event_study: tuple[EventTerm, ...] = ()
    group_time: tuple[GroupTimeTerm, ...] = ()
    pre_trend_statistic: float = inference.NAN
    pre_trend_restrictions: int = 0
    exclusions: tuple[Exclusion, ...] = ()
    settings: Mapping[str, Any] = field(default_factory=dict)

    @property
    def ci(self) -> tuple[float, float]:
        """95 % confidence interval."""
        return inference.confidence_interval(self.estimate, self.std_error, self.df)

    @property
    def p_value(self) -> float:
        """Two-sided p-value of no effect."""
        return inference.p_value(self.estimate, self.std_error, self.df)

    @property
    def minimum_detectable_effect(self) -> float:
        """Smallest true effect found with 80 % probability at the 5 % level."""
        return inference.minimum_detectable_effect(self.std_error, self.df)

    @property
    def pre_trend_p_value(self) -> float:
        """P-value of the joint test that all leads are zero; NaN where there are none."""
        return inference.wald_p_value(self.pre_trend_statistic, self.pre_trend_restrictions, self.df)

    def as_dict(self) -> dict[str, Any]:
        """Plain values under the names of the command line's JSON; undefined numbers are null."""
        low, high = self.ci
        return {
            "estimator": self.estimator,
            "estimand": self.estimand,
            "estimate": _json_number(self.estimate),
            "std_error": _json_number(self.std_error),
            "ci_low": _json_number(low),
            "ci_high": _json_number(high),
            "p_value": _json_number(self.p_value),
            "df": _json_number(self.df),
            "minimum_detectable_effect": _json_number(self.minimum_detectable_effect),
            "pre_trend_p_value": _json_number(self.pre_trend_p_value),
            "n_obs": self.n_obs,
            "n_units": self.n_units,
            "n_treated": self.n_treated,
            "n_clusters": self.n_clusters,
            "event_study": [term.as_dict() for term in self.event_study],
            "group_time": [term.as_dict() for term in self.group_time],
            "exclusions": [exclusion.as_dict() for exclusion in self.exclusions],
            "settings": _as_json(dict(self.settings)),
        }

    def tidy(self) -> pd.DataFrame:
        """One row a term: the overall effect first, then the event study.

        Columns: term, event_time, estimate, std_error, ci_low, ci_high, p_value.
        """
        low, high = self.ci
        rows: list[tuple[str, int | None, float, float, float, float, float]] = [
            ("overall", None, self.estimate, self.std_error, low, high, self.p_value)
        ]
        for term in self.event_study:
            term_low, term_high = term.ci
            p_value = inference.p_value(term.estimate, term.std_error, term.df)
            rows.append(("event", term.event_time, term.estimate, term.std_error, term_low, term_high, p_value))
        columns = ["term", "event_time", "estimate", "std_error", "ci_low", "ci_high", "p_value"]
        return pd.DataFrame(rows, columns=columns).astype({"event_time": "Int64"})

    def summary(self) -> str:
        """One line for a person at a terminal."""
        low, high = self.ci
        spread = "standard error undefined"
        if math.isfinite(low):
            spread = (
                f"standard error {self.std_error:.4g}, 95 % interval {low:.4g} to {high:.4g}, p = {self.p_value:.3g}"
            )
        return (
            f"{self.estimator}: {self.estimate:.6g} ({spread}); "
            f"{self.n_obs:,} rows, {self.n_units:,} units, {self.n_treated:,} treated, "
            f"{self.n_clusters:,} clusters"
        )
