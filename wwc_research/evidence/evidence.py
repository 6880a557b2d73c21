"""Evidence is all that a page may say about one outcome, as plain values that go to JSON and back.

In: estimates, checks, tables. Out: one frozen value; pages read it and compute nothing.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, Literal

from wwc_research import catalog
from wwc_research.atomic import write_text
from wwc_research.errors import DataError
from wwc_research.messages import decoded, encoded, message

CheckResult = Literal["passed", "failed", "cannot_tell"]
Cause = Literal["", "unreliable", "imprecise"]
VerdictCode = Literal["improvement", "harm", "no_effect_larger", "cannot_tell"]
Strength = Literal["moderate", "promising", "none"]
FORMAT = 5
_ROWS: Final = (
    "cohorts", "trends", "balance", "overlap", "matched", "notes", "synthetic", "variations", "groups", "places",
    "adoptions",
)  # fmt: skip


_AWARDS, _PLACES = message("treatments that are awards"), message("outcomes measured for places")
_EVERY: Final = message("every design")
APPLIES_TO: Final = {
    "sure_rows": _AWARDS,
    "undated": message("treatments with places known to be exposed, not since when"),
    "later_editions": _AWARDS,
    "placebo_cohorts": _AWARDS,
    "exposure_rule": message("treatments dated by month"),
    "by_county": _PLACES,
    "neighbours_out": _PLACES,
    "rings": _PLACES,
    "spillover": _PLACES,
    "survey_noise": message("outcomes from a survey"),
    "corrections": message("outcomes that a declared correction touches"),
    "placebo_outcomes": message("outcomes with planned placebo outcomes"),
    "placebo_dates": message("exposed units with years enough before"),
    "pre_trends": message("exposed units with two years or more before"),
    "anticipation": message("exposed units with two years or more before"),
    "balance": message("outcomes with planned baseline years"),
    "overlap": message("matching on the propensity score"),
    "one_cohort": message("two cohorts or more"),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Check:
    """One question put to a finding: what it asks, the answer, the number behind it, one sentence."""

    name: str
    asks: str
    result: CheckResult
    statistic: float | None
    sentence: str

    @property
    def applies_to(self) -> str:
        """Which designs the question can be put to."""
        return APPLIES_TO.get(self.name, _EVERY)


@dataclass(frozen=True, slots=True, kw_only=True)
class Named:
    """An estimate under the name it has on the page; `failed` holds the reason where there is none."""

    name: str
    title: str
    estimate: Mapping[str, Any] | None
    failed: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Grade:
    """How strong a finding is: `essa` by analogy to the tiers of US education law, `clearinghouse` in the words of the
    What Works Clearinghouse (which is not the programme) for the design, and why.
    """

    strength: Strength
    essa: str
    clearinghouse: str
    because: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """What the declared rule concludes, and each line of the rule that decided.

    `cause` says why nothing can be told: the comparison is `unreliable`, or the interval `imprecise`.
    """

    code: VerdictCode
    because: tuple[str, ...]
    grade: Grade
    cause: Cause = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Evidence:
    """Everything a page says about one outcome and treatment.

    `headline` and `alternatives` hold `Estimate.as_dict()` values in the unit of the outcome. `judged` is what the
    verdict and the first sentences of a page rest on: estimate, std_error, ci_low, ci_high, p_value and
    minimum_detectable_effect by the more cautious of clustered errors and lots (`basis`), with `lot_p_value`,
    `lot_std_error`, `draws`, and `years_after`, the mean distance from exposure. `cohorts`, `trends`, `balance`,
    `overlap`, `matched` and `exclusions` are lists of rows; `places` and `adoptions` are those of the map and of the
    timeline (`evidence.adoptions`), empty where there are none; `synthetic` has one entry a synthetic control, where
    they are planned; `method_cards` are those of the estimators used; `provenance` has
    each source and vintage with the columns that it filled, and the hashes of data and plan.

    How far to believe it: `variations` are the headline's design changed in one point each and placebos,
    `not_applicable` the names of checks that have no meaning here, and why; `sensitivity` has `parallel_trends`,
    `pretrend_power`, `omitted_variables`, `hidden_bias`, `e_value` and `roster_errors`, each the plain values of its
    module, absent where it could not be made; `specifications` and `calibration` are those of the curve and the card;
    `groups` are estimates for halves of the exposed units. `adjusted` holds p-values corrected over the family
    (`holm`, `benjamini_hochberg`, `romano_wolf`, `family`, `n_hypotheses`), `plan_status` how the run stands to the
    locked plan, `rules` the plan's limits that a page names. `own` holds the catalog entries of an outcome and a
    treatment of a researcher's own, under those names; it is empty where both ship.

    Sentences, titles and reasons are `Message`s, which keep their template and values on the way through JSON.
    """

    outcome: str
    treatment: str
    family: str
    minimum_effect_of_interest: float
    headline: Named
    judged: Mapping[str, Any]
    alternatives: tuple[Named, ...]
    checks: tuple[Check, ...]
    verdict: Verdict | None
    cohorts: tuple[Mapping[str, Any], ...]
    trends: tuple[Mapping[str, Any], ...]
    balance: tuple[Mapping[str, Any], ...]
    overlap: tuple[Mapping[str, Any], ...]
    matched: tuple[Mapping[str, Any], ...]
    cross_section: Mapping[str, Any] | None = None
    synthetic: tuple[Mapping[str, Any], ...] = ()
    notes: tuple[str, ...] = ()
    variations: tuple[Mapping[str, Any], ...] = ()
    not_applicable: Mapping[str, str] = field(default_factory=dict)
    sensitivity: Mapping[str, Any] = field(default_factory=dict)
    specifications: Mapping[str, Any] | None = None
    calibration: Mapping[str, Any] | None = None
    groups: tuple[Mapping[str, Any], ...] = ()
    places: tuple[Mapping[str, Any], ...] = ()
    adoptions: tuple[Mapping[str, Any], ...] = ()
    adjusted: Mapping[str, Any] = field(default_factory=dict)
    plan_status: Mapping[str, Any] = field(default_factory=dict)
    rules: Mapping[str, Any] = field(default_factory=dict)
    method_cards: Mapping[str, str] = field(default_factory=dict)
    provenance: Mapping[str, Any] = field(default_factory=dict)
    own: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)

    @property
    def q_value(self) -> float | None:
        """Benjamini and Hochberg's q-value over the family; None before the correction, or without a p-value."""
        return self.adjusted.get("benjamini_hochberg")

    @property
    def family_p_value(self) -> float | None:
        """The p-value that keeps the family-wise error rate, which the verdict rests on."""
        return self.adjusted.get("family")

    def as_dict(self) -> dict[str, Any]:
        """Plain values for JSON; undefined numbers are None, messages are taken apart (`messages.encoded`)."""
        return {"format": FORMAT, **encoded(dataclasses.asdict(self))}

    def write(self, path: Path) -> None:
        """Write as JSON, beside first and then renamed; undefined numbers are null."""
        write_text(path, json.dumps(self.as_dict(), indent=1, allow_nan=False, ensure_ascii=False) + "\n")

    @classmethod
    def read(cls, path: Path) -> Evidence:
        """The evidence written to `path`; entries of a researcher's own are declared to the catalog.

        Raises
        ------
        DataError
            Where the file is absent or of another format.
        """
        if not path.exists():
            raise DataError(f"{path}: there is no evidence yet; run 'wwc-research report'")
        raw: dict[str, Any] = decoded(json.loads(path.read_text(encoding="utf-8")))
        if raw.pop("format", None) != FORMAT:
            raise DataError(f"{path} was written by another version; run 'wwc-research report' again")
        verdict = raw["verdict"]
        if verdict:
            known = verdict["grade"]
            known = Grade(**{**known, "because": tuple(known["because"])})
            verdict = Verdict(**{**verdict, "because": tuple(verdict["because"]), "grade": known})
        for kind, values in raw["own"].items():
            catalog.declare(catalog.entry_of(kind, values))
        return cls(
            **{
                **raw,
                "headline": Named(**raw["headline"]),
                "alternatives": tuple(Named(**item) for item in raw["alternatives"]),
                "checks": tuple(Check(**item) for item in raw["checks"]),
                "verdict": verdict,
                **{key: tuple(raw[key]) for key in _ROWS},
            }
        )
