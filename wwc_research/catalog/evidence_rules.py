"""How far findings are put to the test: the plan's sections on specifications, calibration, sensitivity and placebos.

In: tables of `plan.toml`. Out: frozen rules.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

SpecEstimator = Literal["imputation", "callaway_santanna", "two_way_fe"]
SpecComparison = Literal["not_yet", "never"]
SpecWindow = Literal["plan", "without_2020_2021", "from_2014"]
SpecCovariates = Literal["none", "plan"]
SpecCohorts = Literal["plan", "all_editions", "source_only", "anticipation_1"]
SpecWeighting = Literal["equal", "population", "precision"]


@dataclass(frozen=True, slots=True, kw_only=True)
class SpecificationRule:
    """The declared choices whose every combination is estimated; see `[specifications]` of `plan.toml`.

    `draws` assignments by lot make the joint test of no effect.
    """

    estimators: tuple[SpecEstimator, ...]
    comparisons: tuple[SpecComparison, ...]
    windows: tuple[SpecWindow, ...]
    covariates: tuple[SpecCovariates, ...]
    cohorts: tuple[SpecCohorts, ...]
    weightings: tuple[SpecWeighting, ...]
    draws: int


@dataclass(frozen=True, slots=True, kw_only=True)
class CalibrationRule:
    """How estimators are tried on placebo cities of the real panel; see `[calibration]` of `plan.toml`.

    `draws` placebo assignments for each of `estimators`, `slow_draws` for each of `slow_estimators`. An estimator that
    rejects more than `largest_false_positive_share` of true nulls at 5 %, or whose 95 % interval covers less often than
    `smallest_coverage`, or whose bias exceeds `largest_bias` of its own spread, cannot carry the headline.
    """

    draws: int
    slow_draws: int
    estimators: tuple[str, ...]
    slow_estimators: tuple[str, ...]
    largest_false_positive_share: float
    smallest_coverage: float
    largest_bias: float


@dataclass(frozen=True, slots=True, kw_only=True)
class SensitivityRule:
    """Which violations are assumed, and how large; see `[sensitivity]` of `plan.toml`.

    `relative_magnitudes` are multiples of the largest step before exposure (Rambachan and Roth's M-bar),
    `smoothness_steps` multiples of the standard error of the first lead, `roster_shares` shares of exposed units whose
    date is shifted or which are missing from the roster, `roster_draws` rosters drawn for each; `placebo_draws`
    assignments by lot judge each placebo.
    """

    relative_magnitudes: tuple[float, ...]
    smoothness_steps: tuple[float, ...]
    roster_shares: tuple[float, ...]
    roster_draws: int
    placebo_draws: int
