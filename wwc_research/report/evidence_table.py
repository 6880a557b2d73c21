"""All estimates of a run as one table for programs.

In: judged evidence. Out: CSV text, one row an estimate.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable
from typing import TYPE_CHECKING, Final

from wwc_research.report.csv_text import text_cell

if TYPE_CHECKING:
    from wwc_research.evidence.evidence import Evidence

FIELDS: Final = (
    "outcome", "treatment", "family", "name", "is_headline", "estimator", "estimand", "estimate", "std_error",
    "ci_low", "ci_high", "p_value", "q_value", "minimum_detectable_effect", "n_obs", "n_units", "n_treated",
    "n_clusters", "judged_std_error", "judged_ci_low", "judged_ci_high", "judged_p_value", "lot_p_value",
    "holm_p_value", "romano_wolf_p_value", "family_p_value", "verdict", "grade", "failed",
)  # fmt: skip


def evidence_csv(found: Iterable[Evidence]) -> str:
    """All estimates of a run, one row each, as CSV text."""
    buffer = io.StringIO()
    writer = csv.DictWriter(buffer, FIELDS, extrasaction="ignore", lineterminator="\n")
    writer.writeheader()
    for evidence in found:
        for item in (evidence.headline, *evidence.alternatives):
            is_headline = item.name == evidence.headline.name
            judged = evidence.judged if is_headline else {}
            adjusted = evidence.adjusted if is_headline else {}
            decided = evidence.verdict if is_headline else None
            writer.writerow(
                {
                    **dict(item.estimate or {}),
                    "outcome": evidence.outcome,
                    "treatment": evidence.treatment,
                    "family": evidence.family,
                    "name": item.name,
                    "is_headline": is_headline,
                    "q_value": evidence.q_value if is_headline else None,
                    **{f"judged_{key}": judged.get(key) for key in ("std_error", "ci_low", "ci_high", "p_value")},
                    "lot_p_value": judged.get("lot_p_value"),
                    **{f"{key}_p_value": adjusted.get(key) for key in ("holm", "romano_wolf", "family")},
                    "verdict": decided.code if decided else None,
                    "grade": decided.grade.strength if decided else None,
                    "estimand": text_cell((item.estimate or {}).get("estimand", "")),
                    "failed": text_cell(item.failed),
                }
            )
    return buffer.getvalue()


__all__ = ["FIELDS", "evidence_csv"]
