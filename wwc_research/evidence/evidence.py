"""Evidence is all that a page may say about one outcome, as plain values that go to JSON and back.

In: estimates, checks, tables. Out: one frozen value; pages read it and compute nothing.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from wwc_research.atomic import write_text
from wwc_research.errors import DataError

CheckResult = Literal["passed", "failed", "cannot_tell"]
Cause = Literal["", "unreliable", "imprecise"]
VerdictCode = Literal["associated_better", "associated_worse", "no_effect_as_large", "cannot_tell"]
FORMAT = 2


@dataclass(frozen=True, slots=True, kw_only=True)
class Check:
    """One question put to a finding: what it asks, the answer, the number behind it, one sentence."""

    name: str
    asks: str
    result: CheckResult
    statistic: float | None
    sentence: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Named:
    """An estimate under the name it has on the page; `failed` holds the reason where there is none."""

    name: str
    title: str
    estimate: Mapping[str, Any] | None
    failed: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """What the declared rule concludes, and each line of the rule that decided.

    `cause` says why nothing can be told: the comparison is `unreliable`, or the interval `imprecise`.
    """

    code: VerdictCode
    because: tuple[str, ...]
    cause: Cause = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Evidence:
    """Everything a page says about one outcome and treatment.

    `headline` and `alternatives` hold `Estimate.as_dict()` values in the unit of the outcome. `judged` is what the
    verdict and the first sentences of a page rest on: estimate, std_error, ci_low, ci_high, p_value and
    minimum_detectable_effect by the more cautious of clustered errors and lots (`basis`), with `lot_p_value`,
    `lot_std_error`, `draws`, and `years_after`, the mean distance from exposure. `cohorts`, `trends`, `balance`,
    `matched` and `exclusions` are lists of rows; `synthetic` has one entry a synthetic control, where they are
    planned; `method_cards` are those of the estimators used; `provenance` names data and plan hashes.
    """

    outcome: str
    treatment: str
    family: str
    minimum_effect_of_interest: float
    headline: Named
    judged: Mapping[str, Any]
    alternatives: tuple[Named, ...]
    checks: tuple[Check, ...]
    q_value: float | None
    verdict: Verdict | None
    cohorts: tuple[Mapping[str, Any], ...]
    trends: tuple[Mapping[str, Any], ...]
    balance: tuple[Mapping[str, Any], ...]
    matched: tuple[Mapping[str, Any], ...]
    cross_section: Mapping[str, Any] | None = None
    synthetic: tuple[Mapping[str, Any], ...] = ()
    notes: tuple[str, ...] = ()
    method_cards: Mapping[str, str] = field(default_factory=dict)
    provenance: Mapping[str, Any] = field(default_factory=dict)

    def write(self, path: Path) -> None:
        """Write as JSON, beside first and then renamed; undefined numbers are null."""
        text = json.dumps({"format": FORMAT, **dataclasses.asdict(self)}, indent=1, allow_nan=False, ensure_ascii=False)
        write_text(path, text + "\n")

    @classmethod
    def read(cls, path: Path) -> Evidence:
        """The evidence written to `path`.

        Raises
        ------
        DataError
            Where the file is absent or of another format.
        """
        if not path.exists():
            raise DataError(f"{path}: there is no evidence yet; run 'wwc-research report'")
        raw: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        if raw.pop("format", None) != FORMAT:
            raise DataError(f"{path} was written by another version; run 'wwc-research report' again")
        verdict = raw["verdict"]
        return cls(
            **{
                **raw,
                "headline": Named(**raw["headline"]),
                "alternatives": tuple(Named(**item) for item in raw["alternatives"]),
                "checks": tuple(Check(**item) for item in raw["checks"]),
                "verdict": Verdict(**{**verdict, "because": tuple(verdict["because"])}) if verdict else None,
                **{key: tuple(raw[key]) for key in ("cohorts", "trends", "balance", "matched", "notes", "synthetic")},
            }
        )
