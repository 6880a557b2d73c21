"""A Sample is what every estimator takes: checked rows under fixed names, and what was left out, and why.

In: frames with known columns. Out: frozen `Sample` and `Exclusion` values.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final, Literal

import pandas as pd

Comparison = Literal["never", "not_yet"]

# Columns that only some estimators need.
OPTIONAL_COLUMNS: Final = {
    "dose": "how much of the treatment the unit has at that time, 0 = none",
    "at_risk": "what a count is out of: residents, days, households",
    "outcome_std_error": "standard error of the outcome as published",
    "latitude": "degrees north",
    "longitude": "degrees east",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Exclusion:
    """Rows that did not reach the estimator: the reason, how many rows, how many units."""

    reason: str
    rows: int
    units: int

    def as_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return {"reason": self.reason, "rows": self.rows, "units": self.units}


@dataclass(frozen=True, slots=True, kw_only=True)
class Sample:
    """Checked unit-time rows, ready for any estimator.

    Attributes
    ----------
    frame
        One row a unit and time, sorted by both, with the columns `unit` (text), `time` (int),
        `outcome` (float, finite), `cohort` (float: first exposed time, NaN = never exposed),
        `cluster` (text), `weight` (float > 0), the covariates, and any of `OPTIONAL_COLUMNS` (float, finite).
    covariates
        Names of the covariate columns in `frame` (float, finite).
    effects
        Names of further columns of `frame` (text, none missing) whose levels have effects of their own in
        `two_way_fe` and `event_study`, such as region; the other estimators refuse them.
    comparison
        `never`: only units never exposed; `not_yet`: also units before their exposure.
    anticipation
        Periods before exposure in which the outcome may already respond.
    exclusions
        What was left out on the way here.
    settings
        Column names and options as the user gave them; goes into the output unchanged.
    """

    frame: pd.DataFrame
    covariates: tuple[str, ...] = ()
    effects: tuple[str, ...] = ()
    comparison: Comparison = "not_yet"
    anticipation: int = 0
    exclusions: tuple[Exclusion, ...] = ()
    settings: Mapping[str, Any] = field(default_factory=dict)

    @property
    def n_units(self) -> int:
        """Number of distinct units."""
        return int(self.frame["unit"].nunique())

    @property
    def n_treated(self) -> int:
        """Number of distinct units that are ever exposed."""
        return int(self.frame.loc[self.frame["cohort"].notna(), "unit"].nunique())

    @property
    def n_clusters(self) -> int:
        """Number of distinct clusters."""
        return int(self.frame["cluster"].nunique())
