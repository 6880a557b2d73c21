"""The specification curve: every defensible way of asking one question, beside what lots would have drawn.

In: a design, a panel, the plan's rule. Out: `SpecificationCurve`, with the share that agrees and a joint test.
"""

from __future__ import annotations

import dataclasses
import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from wwc_research import inference
from wwc_research.catalog.evidence_rules import SpecificationRule
from wwc_research.design.design import Design
from wwc_research.errors import EstimationError
from wwc_research.evidence.specification_parts import (
    Choices,
    SpecificationPart,
    Tried,
    specification_part,
    specification_units,
)
from wwc_research.messages import Message, message
from wwc_research.panel.panel import Panel

__all__ = [
    "JointTest",
    "Specification",
    "SpecificationCurve",
    "joined_curve",
    "joint_test",
    "specification_curve",
    "specification_part",
    "specification_units",
]

Floats = npt.NDArray[np.float64]
BEYOND = 1.96  # null spreads; the normal's two-sided 5 %
FEWEST_FINITE = 0.9  # share of draws in which a specification must have an estimate to be tested jointly
BAND_STEPS = 21
DECISIONS: Final = tuple(item.name for item in dataclasses.fields(Choices))
COLUMNS: Final = (
    *DECISIONS,
    "estimate",
    "std_error",
    "ci_low",
    "ci_high",
    "p_value",
    "lot_p_value",
    "n_treated",
    "n_units",
    "is_mechanical",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Specification:
    """One specification and its estimate, in the unit of the outcome; `failed` holds the reason where there is none.

    `std_error`, `df` are clustered by county, for imputation with leave-out as on the page. `lot_p_value` is the share
    of draws at least as far from their mean, NaN where the specification is no part of the joint test. `is_mechanical`
    marks awards whose conditions include a good outcome.
    """

    choices: Choices
    estimate: float
    std_error: float
    df: float
    lot_p_value: float
    n_treated: int
    n_units: int
    is_mechanical: bool
    failed: str = ""

    @property
    def p_value(self) -> float:
        """Two-sided p-value of no effect, from the standard error."""
        return inference.p_value(self.estimate, self.std_error, self.df)

    @property
    def ci(self) -> tuple[float, float]:
        """95 % confidence interval."""
        return inference.confidence_interval(self.estimate, self.std_error, self.df)

    def row(self, levels: Mapping[str, Sequence[str]]) -> list[Any]:
        """Values in the order of `COLUMNS`: decisions as places among their levels, numbers to six digits."""
        low, high = self.ci
        numbers = (self.estimate, self.std_error, low, high, self.p_value, self.lot_p_value)
        decisions = [places.index(getattr(self.choices, name)) for name, places in levels.items()]
        return [*decisions, *map(_short, numbers), self.n_treated, self.n_units, int(self.is_mechanical)]


@dataclass(frozen=True, slots=True, kw_only=True)
class JointTest:
    """All specifications at once against no effect of any.

    Attributes
    ----------
    n_specifications, n_left_out, draws
        How many are tested, and how many have no estimates under the draws, such as group-time averages with
        covariates; how many assignments were drawn.
    median, median_p_value
        Median of the estimates, each less the mean of its draws in units of their spread; two-sided by lot.
    share_beyond, share_p_value
        Largest share, over the two directions, of estimates beyond 1.96 spreads; by lot.
    band
        Rows (share of the specifications below, low, middle, high): where 95 % of draws have their sorted estimates.
    """

    n_specifications: int
    n_left_out: int
    draws: int
    median: float
    median_p_value: float
    share_beyond: float
    share_p_value: float
    band: tuple[tuple[float, float, float, float], ...]

    @property
    def sentence(self) -> Message:
        """What the test says, for a page."""
        if not math.isfinite(self.median_p_value):
            return message(
                "The specifications could not be tested together: none has an estimate under the drawn assignments."
            )
        parts = [
            message(
                "Had chance alone chosen the exposed, the {n_specifications} specifications tested together would have "
                "a middle estimate at least as far from what is usual in {median_share:.1%} of {draws} draws, and as "
                "large a share of unusual estimates in {beyond_share:.1%} of them.",
                n_specifications=self.n_specifications,
                median_share=self.median_p_value,
                draws=self.draws,
                beyond_share=self.share_p_value,
            )
        ]
        if self.n_left_out:
            parts.append(
                message(
                    "{n_left_out} more cannot be computed for many draws and are no part of this test.",
                    n_left_out=self.n_left_out,
                )
            )
        return message("{parts:sentences}", parts=parts)

    def as_dict(self) -> dict[str, Any]:
        """Plain values for JSON; undefined numbers are null."""
        return {
            "n_specifications": self.n_specifications,
            "n_left_out": self.n_left_out,
            "draws": self.draws,
            "median": _short(self.median),
            "median_p_value": _short(self.median_p_value),
            "share_beyond": _short(self.share_beyond),
            "share_p_value": _short(self.share_p_value),
            "band": [[_short(value) for value in row] for row in self.band],
            "sentence": self.sentence,
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class SpecificationCurve:
    """Every defensible specification of one question.

    Attributes
    ----------
    specifications
        In the order of the plan, the failed ones among them.
    headline
        The planned decisions.
    skipped
        Combinations that mean nothing here, by reason; they were not estimated.
    duplicates
        Combinations that turned out to be another one, with the same rows and the same estimator.
    joint
        The joint test.
    size
        Level at which estimates are called significant.
    """

    specifications: tuple[Specification, ...]
    headline: Choices
    skipped: dict[str, int]
    duplicates: int
    joint: JointTest
    size: float

    @property
    def estimated(self) -> tuple[Specification, ...]:
        """Those with an estimate."""
        return tuple(item for item in self.specifications if not item.failed)

    def as_dict(self) -> dict[str, Any]:
        """Plain values for JSON: a summary, `columns` and `rows` (sorted by estimate), the failed and the skipped.

        In a row a decision is a place among its `levels`. Undefined numbers are null. `headline_row` is the place of
        the planned specification among the rows, null where it failed.
        """
        shown = sorted(self.estimated, key=lambda item: item.estimate)
        values = np.array([item.estimate for item in shown])
        place = next((at for at, item in enumerate(shown) if item.choices == self.headline), None)
        sign = math.copysign(1, shown[place].estimate) if place is not None else math.nan
        significant = np.array([item.p_value < self.size for item in shown], dtype=bool)
        failed = [item for item in self.specifications if item.failed]
        levels = {
            name: list(dict.fromkeys(getattr(item.choices, name) for item in self.specifications)) for name in DECISIONS
        }
        return {
            "n_specifications": len(shown),
            "n_failed": len(failed),
            "n_skipped": sum(self.skipped.values()),
            "n_duplicates": self.duplicates,
            "n_mechanical": sum(item.is_mechanical for item in shown),
            "share_same_sign": _short(float((np.sign(values) == sign).mean())) if place is not None else None,
            "share_significant_positive": _short(float((significant & (values > 0)).mean())),
            "share_significant_negative": _short(float((significant & (values < 0)).mean())),
            "median": _short(float(np.median(values))),
            "lowest": _short(float(values[0])),
            "highest": _short(float(values[-1])),
            "size": self.size,
            "headline_row": place,
            "sentence": self.sentence,
            "joint": self.joint.as_dict(),
            "levels": levels,
            "columns": list(COLUMNS),
            "rows": [item.row(levels) for item in shown],
            "failed": [[*dataclasses.astuple(item.choices), item.failed] for item in failed],
            "skipped": [{"reason": reason, "combinations": count} for reason, count in self.skipped.items()],
        }

    @property
    def sentence(self) -> Message:
        """How many specifications agree, for a page."""
        shown = self.estimated
        planned = [item for item in shown if item.choices == self.headline]
        positive = sum(item.estimate > 0 for item in shown)
        clear = [item for item in shown if item.p_value < self.size]
        up = sum(item.estimate > 0 for item in clear)
        told: dict[str, Any] = {"up": up, "down": len(clear) - up, "size": self.size}
        if planned:
            same = positive if planned[0].estimate > 0 else len(shown) - positive
            agreement = message(
                "Of {n_specifications} defensible specifications {same} have the sign of the planned one",
                n_specifications=len(shown),
                same=same,
            )
        else:
            agreement = message(
                "Of {n_specifications} defensible specifications {positive} have a positive estimate",
                n_specifications=len(shown),
                positive=positive,
            )
        return _told(agreement, mechanical=sum(item.is_mechanical for item in shown), **told)


def specification_curve(
    design: Design, panel: Panel, *, rule: SpecificationRule, seed: int, size: float = 0.05
) -> SpecificationCurve:
    """Every defensible specification of the rule, estimated, and tested jointly by lot.

    Parameters
    ----------
    design
        The planned one: its analysis has the headline's estimator, comparison, window, editions and covariates.
    panel
        City-years.
    rule
        The plan's `[specifications]`.
    seed
        Of the lots.
    size
        Level at which estimates are called significant.

    Raises
    ------
    EstimationError
        Where no specification has an estimate.
    """
    parts = [specification_part(design, panel, unit, rule=rule, seed=seed) for unit in specification_units(rule)]
    return joined_curve(design, parts, rule=rule, size=size)


def centred(curve: Mapping[str, Any], *, estimator: str) -> dict[str, Any]:
    """The plain values of a curve with the planned decisions of another estimator in its middle.

    `headline_row`, `share_same_sign` and `sentence` follow; where that specification is not among the rows, there is no
    share, and the sentence says so.
    """
    at = {name: place for place, name in enumerate(curve["columns"])}
    if curve["headline_row"] is None:
        return dict(curve)
    levels, rows = curve["levels"], curve["rows"]
    planned = list(rows[curve["headline_row"]])
    if estimator not in levels["estimator"]:
        return {**curve, "headline_row": None, "share_same_sign": None}
    planned[at["estimator"]] = levels["estimator"].index(estimator)
    decisions = [at[name] for name in levels]
    place = next((n for n, row in enumerate(rows) if all(row[d] == planned[d] for d in decisions)), None)
    if place is None:
        return {**curve, "headline_row": None, "share_same_sign": None}
    sign = math.copysign(1, rows[place][at["estimate"]])
    same = sum(math.copysign(1, row[at["estimate"]]) == sign for row in rows)
    clear = [row[at["estimate"]] > 0 for row in rows if _below(row[at["p_value"]], curve["size"])]
    agreement = message(
        "Of {n_specifications} defensible specifications {same} have the sign of this page's headline",
        n_specifications=len(rows),
        same=same,
    )
    return {
        **curve,
        "headline_row": place,
        "share_same_sign": _short(same / len(rows)),
        "sentence": _told(
            agreement,
            up=sum(clear),
            down=len(clear) - sum(clear),
            size=curve["size"],
            mechanical=curve["n_mechanical"],
        ),
    }


def _below(p_value: float | None, size: float) -> bool:
    return p_value is not None and p_value < size


def _told(agreement: Message, *, up: int, down: int, size: float, mechanical: int) -> Message:
    """How many agree in sign, how many are significant by themselves, and how many are partly mechanical."""
    parts = [
        message(
            "{agreement}; by their usual standard errors {up} are significantly positive and {down} significantly "
            "negative at the {percent:g} % level, whatever the number tried.",
            agreement=agreement,
            up=up,
            down=down,
            percent=100 * size,
        )
    ]
    if mechanical:
        parts.append(
            message(
                "In {mechanical} of them awards count that had a good outcome as a condition: they are partly "
                "mechanical.",
                mechanical=mechanical,
            )
        )
    return message("{parts:sentences}", parts=parts)


def joined_curve(
    design: Design, parts: Sequence[SpecificationPart], *, rule: SpecificationRule, size: float = 0.05
) -> SpecificationCurve:
    """The curve of finished parts, in the order of `specification_units`; parts may come from several processes.

    Raises
    ------
    EstimationError
        Where no specification has an estimate.
    """
    analysis = design.analysis
    tried: dict[str, Tried] = {}
    duplicates = sum(part.duplicates for part in parts)
    skipped: Counter[str] = Counter()
    for part in parts:
        skipped.update(part.skipped)
        for item in part.tried:
            duplicates += item.fingerprint in tried
            tried.setdefault(item.fingerprint, item)
    every = list(tried.values())
    if all(item.failed for item in every):
        raise EstimationError(
            message(
                "{outcome} by {treatment}: no specification has an estimate; the first said: {why}",
                outcome=design.outcome.name,
                treatment=design.treatment.name,
                why=every[0].failed if every else message("nothing was asked"),
            )
        )
    tested = [item for item in every if _is_tested(item)]
    drawn = np.column_stack([item.drawn for item in tested]) if tested else np.zeros((1 + rule.draws, 0))
    by_lot = dict(zip([item.fingerprint for item in tested], _lot_p_values(drawn), strict=True))
    return SpecificationCurve(
        specifications=tuple(
            _specification(item, lot_p_value=by_lot.get(item.fingerprint, math.nan)) for item in every
        ),
        headline=Choices(
            estimator=analysis.headline,
            comparison=analysis.comparison,
            window="plan",
            covariates="none",
            cohorts="plan",
            weighting="equal",
        ),
        skipped=dict(skipped),
        duplicates=duplicates,
        joint=joint_test(drawn, n_left_out=sum(not item.failed for item in every) - len(tested)),
        size=size,
    )


def _specification(item: Tried, *, lot_p_value: float) -> Specification:
    return Specification(
        choices=item.choices,
        estimate=item.estimate,
        std_error=item.std_error,
        df=item.df,
        lot_p_value=lot_p_value,
        n_treated=item.n_treated,
        n_units=item.n_units,
        is_mechanical=item.is_mechanical,
        failed=item.failed,
    )


def _is_tested(item: Tried) -> bool:
    """Whether nearly all draws have an estimate, and they differ."""
    finite = item.drawn[np.isfinite(item.drawn)]
    if not len(item.drawn) or len(finite) < FEWEST_FINITE * len(item.drawn):
        return False
    return bool(np.ptp(finite) > 1e-12 * np.abs(finite).max())


def joint_test(drawn: Floats, *, n_left_out: int = 0) -> JointTest:
    """All specifications against no effect of any, by lot.

    Each estimate is taken less the mean of its own draws, in units of their spread, the real assignment counted as
    one of them, so that every assignment is judged alike and the test is exact where units of a stratum are
    exchangeable. Two statistics: the median over specifications (two-sided), and the larger of the shares beyond
    1.96 spreads in one direction; p = (1 + draws at least as extreme) / (1 + draws). Simonsohn, Simmons and Nelson
    (2020), "Specification curve analysis", Nature Human Behaviour 4, for specifications by sign and significance;
    here by standardised size, since clustered errors are too small with few exposed units.

    Parameters
    ----------
    drawn
        Shape (1 + draws, specifications): the real assignment first, the same draw of units along a row; NaN where
        a draw has no estimate.
    n_left_out
        Specifications that are not among them, for the record.
    """
    if not drawn.shape[1]:
        nothing = math.nan
        return JointTest(
            n_specifications=0,
            n_left_out=n_left_out,
            draws=len(drawn) - 1,
            median=nothing,
            median_p_value=nothing,
            share_beyond=nothing,
            share_p_value=nothing,
            band=(),
        )
    scores = _scores(drawn)
    medians = np.nanmedian(scores, axis=1)
    known = np.isfinite(scores).sum(axis=1)
    beyond = np.maximum((scores > BEYOND).sum(axis=1), (scores < -BEYOND).sum(axis=1)) / known
    return JointTest(
        n_specifications=drawn.shape[1],
        n_left_out=n_left_out,
        draws=len(drawn) - 1,
        median=float(medians[0]),
        median_p_value=_as_extreme(np.abs(medians)),
        share_beyond=float(beyond[0]),
        share_p_value=_as_extreme(beyond),
        band=_band(drawn[1:]),
    )


def _scores(drawn: Floats) -> Floats:
    """Estimates less the mean of their draws, over the spread; shape (1 + draws, specifications)."""
    return np.asarray((drawn - np.nanmean(drawn, axis=0)) / np.nanstd(drawn, axis=0))


def _lot_p_values(drawn: Floats) -> list[float]:
    """Two-sided p-value by lot of each specification alone."""
    if not drawn.shape[1]:
        return []
    return [_as_extreme(np.abs(column[np.isfinite(column)])) for column in _scores(drawn).T]


def _as_extreme(statistics: Floats) -> float:
    """Share of assignments, the real one first and among them, with a statistic at least as large."""
    return float((statistics >= statistics[0] * (1 - 1e-12)).mean())


def _band(placebo: Floats) -> tuple[tuple[float, float, float, float], ...]:
    """Where draws have the quantiles of their estimates: share below, 2.5 %, 50 % and 97.5 % of draws."""
    shares = np.linspace(0, 1, BAND_STEPS)
    whole = placebo[np.isfinite(placebo).all(axis=1)]
    if not len(whole):
        return ()
    sorted_curves = np.quantile(whole, shares, axis=1)
    low, middle, high = np.quantile(sorted_curves, [0.025, 0.5, 0.975], axis=1)
    rows = zip(shares.tolist(), low.tolist(), middle.tolist(), high.tolist(), strict=True)
    return tuple((share, below, centre, above) for share, below, centre, above in rows)


def _short(value: float) -> float | None:
    """Six significant digits; undefined is None."""
    return float(f"{value:.6g}") if math.isfinite(value) else None
