"""What if the roster is wrong? The estimate under rosters with dates shifted, units taken off or hidden ones added.

In: a Sample, the plan's rule, a generator. Out: `RosterErrors`, a row for every kind and share, each with a sentence.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Final, Literal, get_args

import numpy as np
import numpy.typing as npt
import pandas as pd

from wwc_research import inference
from wwc_research.catalog import Headline
from wwc_research.catalog.evidence_rules import SensitivityRule
from wwc_research.design.sample import Sample
from wwc_research.errors import EstimationError, Faults, listed
from wwc_research.estimators.drawn_imputations import imputed_average
from wwc_research.messages import Message, counted, message

Floats = npt.NDArray[np.float64]
Integers = npt.NDArray[np.int64]
Kind = Literal["dates", "missing", "hidden"]
_NEVER: Final = np.inf
_LITTLE: Final = 0.01  # smaller shares of rosters are said as less than this
_LEFT_OUT: Final = -np.inf  # exposed at all times: such a unit is neither averaged nor compared with


@dataclass(frozen=True, slots=True, kw_only=True)
class RosterError:
    """The estimate under many rosters that are wrong in one way.

    Attributes
    ----------
    kind
        `dates`: exposed units were first exposed a year earlier or later; `missing`: exposed units were listed by
        mistake and are comparison units; `hidden`: comparison units were exposed in truth.
    share, n_wrong
        Of the exposed units, and how many units that is (at least one where the share is not zero).
    draws
        Rosters with an estimate.
    mean, low, high
        Mean, 5th and 95th percentile of the estimates, in the unit of the outcome.
    sign_changed_share, bound_crossed_share
        Draws with the opposite sign, and draws on the other side of 1.96 standard errors from zero than the estimate.
    sentence
        The row in plain words.
    """

    kind: Kind
    share: float
    n_wrong: int
    draws: int
    mean: float
    low: float
    high: float
    sign_changed_share: float
    bound_crossed_share: float
    sentence: str

    def as_dict(self) -> dict[str, Any]:
        """Plain values for JSON; undefined numbers are null."""
        return {name: _plain(value) for name, value in asdict(self).items()}


@dataclass(frozen=True, slots=True, kw_only=True)
class RosterErrors:
    """The estimate of the roster as it is, beside those of rosters that are wrong.

    `sentence` speaks of the middle share of the plan.
    """

    estimate: float
    std_error: float
    estimator: Headline
    rows: tuple[RosterError, ...]
    sentence: str

    def as_dict(self) -> dict[str, Any]:
        """Plain values for JSON; undefined numbers are null."""
        return {
            "estimate": _plain(self.estimate),
            "std_error": _plain(self.std_error),
            "estimator": self.estimator,
            "rows": [row.as_dict() for row in self.rows],
            "sentence": self.sentence,
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class _Finding:
    """What the rosters drawn are held against, and how it is said: `unit` of the outcome, `place` or `county`."""

    estimate: float
    std_error: float
    n_exposed: int
    scale: float
    unit: str
    kind_of_unit: str

    def between(self, low: float, high: float) -> Message:
        return message("between {low:+.2f} and {high:+.2f}", low=self.scale * low, high=self.scale * high)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Roster:
    """Outcome by unit and time (NaN where not observed), times, and by unit cohort (infinity = never) and stratum."""

    outcomes: Floats
    times: Integers
    cohorts: Floats
    strata: Integers

    @classmethod
    def of(cls, sample: Sample) -> _Roster:
        frame = sample.frame
        table = frame.pivot_table(index="unit", columns="time", values="outcome")
        units = frame.drop_duplicates("unit").set_index("unit").reindex(table.index)
        strata = (
            pd.factorize(units["stratum"], use_na_sentinel=False)[0] if "stratum" in units else np.zeros(len(units))
        )
        return cls(
            outcomes=table.to_numpy(float),
            times=table.columns.to_numpy(np.int64),
            cohorts=units["cohort"].fillna(_NEVER).to_numpy(float),
            strata=strata.astype(np.int64),
        )

    @property
    def exposed(self) -> Integers:
        """Positions of units exposed within the period."""
        return np.flatnonzero(self.cohorts <= self.times[-1])

    @property
    def unexposed(self) -> Integers:
        return np.flatnonzero(self.cohorts > self.times[-1])


def roster_errors(
    sample: Sample,
    *,
    rule: SensitivityRule,
    generator: np.random.Generator,
    std_error: float,
    scale: float,
    unit: str,
    estimator: Headline = "imputation",
) -> RosterErrors:
    """The estimator's simple average under rosters that are wrong in a share of the exposed units.

    Errors are added at random to the roster as it is. Where it has such errors already, they have moved the estimate
    the same way before, and one without them lies on the other side, about as far off (the first step of Cook and
    Stefanski 1994, "Simulation-extrapolation estimation", JASA 89). Hidden units are drawn from the strata of the
    exposed ones and get their cohorts; which units really are hidden nobody knows, and if they share the effect, units
    drawn at random show too little of it.

    Parameters
    ----------
    sample
        Without covariates and with equal weights, as the plan's designs are.
    rule
        `roster_shares` and `roster_draws` are used.
    generator
        The only source of randomness; one number is drawn from it, which seeds a stream for every kind and share.
    std_error
        The one that is judged, in the unit of the outcome; NaN leaves `bound_crossed_share` undefined.
    scale, unit
        From the unit of the estimate to that of the sentences.
    estimator
        `imputation` or `callaway_santanna`.

    Raises
    ------
    InputError
        For another estimator, a sample with covariates or unequal weights, shares outside 0 to 1, or no draws.
    EstimationError
        Where the roster as it is gives no estimate.
    """
    _refuse_unusable(sample, rule, estimator=estimator)
    roster = _Roster.of(sample)
    estimates = _estimator(sample, roster, estimator=estimator)
    estimate = float(estimates(roster.cohorts[None, :])[0])
    if not math.isfinite(estimate):
        raise EstimationError(
            message("the roster as it is gives no estimate, so errors in it change nothing; widen the window")
        )
    finding = _Finding(
        estimate=estimate,
        std_error=std_error,
        n_exposed=len(roster.exposed),
        scale=scale,
        unit=unit,
        kind_of_unit=str(sample.settings.get("unit", "")),
    )
    asked = [(kind, share) for kind in get_args(Kind) for share in rule.roster_shares]
    rows = []
    seed = int(generator.integers(2**63))
    for kind, share in asked:
        n_wrong = min(max(round(share * len(roster.exposed)), 1), len(roster.exposed)) if share > 0 else 0
        drawn = np.full(rule.roster_draws, estimate)
        if n_wrong:
            # a stream of its own, so that a row does not hang on which other rows are asked for
            stream = np.random.default_rng([seed, get_args(Kind).index(kind), round(share * 1e6)])
            drawn = estimates(_DRAWN[kind](roster, n_wrong=n_wrong, draws=rule.roster_draws, generator=stream))
        rows.append(_row(drawn, kind=kind, share=share, n_wrong=n_wrong, finding=finding))
    return RosterErrors(
        estimate=estimate,
        std_error=std_error,
        estimator=estimator,
        rows=tuple(rows),
        sentence=_overall(rows, finding=finding),
    )


def _refuse_unusable(sample: Sample, rule: SensitivityRule, *, estimator: str) -> None:
    faults = Faults("roster errors")
    if estimator not in get_args(Headline):
        faults.add(f"no rosters can be drawn for {estimator!r}; allowed: {listed(get_args(Headline))}")
    if sample.covariates or sample.effects:
        faults.add(
            f"the sample has covariates or effects ({listed([*sample.covariates, *sample.effects])}); leave them out"
        )
    if np.ptp(sample.frame["weight"].to_numpy()) > 0:
        faults.add("the sample has unequal weights; set them to 1")
    odd = [share for share in rule.roster_shares if not 0 <= share <= 1]
    if odd or not rule.roster_shares:
        faults.add(f"roster_shares = {listed(rule.roster_shares)}; give one or more shares from 0 to 1")
    if rule.roster_draws < 1:
        faults.add(f"roster_draws = {rule.roster_draws}; give 1 or more")
    faults.raise_if_any()


def _shifted(roster: _Roster, *, n_wrong: int, draws: int, generator: np.random.Generator) -> Floats:
    """Cohorts, shape (draws, units), with `n_wrong` of the exposed a year earlier or later."""
    cohorts = np.tile(roster.cohorts, (draws, 1))
    chosen = _some(roster.exposed, n_wrong=n_wrong, draws=draws, generator=generator)
    at = np.arange(draws)[:, None], chosen
    cohorts[at] += generator.choice([-1.0, 1.0], size=chosen.shape)
    return cohorts


def _struck_off(roster: _Roster, *, n_wrong: int, draws: int, generator: np.random.Generator) -> Floats:
    """Cohorts, shape (draws, units), with `n_wrong` of the exposed never exposed."""
    cohorts = np.tile(roster.cohorts, (draws, 1))
    chosen = _some(roster.exposed, n_wrong=n_wrong, draws=draws, generator=generator)
    np.put_along_axis(cohorts, chosen, _NEVER, axis=1)
    return cohorts


def _found(roster: _Roster, *, n_wrong: int, draws: int, generator: np.random.Generator) -> Floats:
    """Cohorts, shape (draws, units), with `n_wrong` more exposed units: cohort and stratum of exposed ones drawn.

    A stratum that has no comparison unit left adds none.
    """
    cohorts = np.tile(roster.cohorts, (draws, 1))
    models = _some(roster.exposed, n_wrong=n_wrong, draws=draws, generator=generator)
    for stratum in np.unique(roster.strata[roster.exposed]):
        pool = roster.unexposed[roster.strata[roster.unexposed] == stratum]
        like = roster.strata[models] == stratum
        place = np.cumsum(like, axis=1) - 1
        row, column = np.nonzero(like & (place < len(pool)))
        order = generator.permuted(np.tile(pool, (draws, 1)), axis=1)
        cohorts[row, order[row, place[row, column]]] = roster.cohorts[models[row, column]]
    return cohorts


_DRAWN: Final[dict[Kind, Callable[..., Floats]]] = {"dates": _shifted, "missing": _struck_off, "hidden": _found}


def _some(members: Integers, *, n_wrong: int, draws: int, generator: np.random.Generator) -> Integers:
    """Members drawn without replacement, shape (draws, n_wrong)."""
    return generator.permuted(np.tile(members, (draws, 1)), axis=1)[:, :n_wrong]


def _estimator(sample: Sample, roster: _Roster, *, estimator: Headline) -> Callable[[Floats], Floats]:
    """From cohorts by draw and unit, shape (draws, units), to estimates, shape (draws,)."""

    def estimates(cohorts: Floats) -> Floats:
        if sample.comparison == "never":
            late = (cohorts > roster.times[-1]) & np.isfinite(cohorts)
            cohorts = np.where(late, _LEFT_OUT, cohorts)
        if estimator == "imputation":
            return _imputed(roster, cohorts, anticipation=sample.anticipation)
        return _group_time(roster, cohorts, anticipation=sample.anticipation, comparison=sample.comparison)

    return estimates


def _imputed(roster: _Roster, cohorts: Floats, *, anticipation: int) -> Floats:
    """The imputation estimate by draw.

    `imputed_average` wants as many units of each cohort in every draw: places that a draw leaves empty are given to a
    unit that was never observed, which adds nothing.
    """
    nobody = len(roster.outcomes)
    places, starts = [], []
    for cohort in np.unique(cohorts[cohorts <= roster.times[-1]]):
        holds = cohorts == cohort
        members = np.flatnonzero(holds.any(axis=0))
        most = int(holds.sum(axis=1).max())
        # the holders of each draw first, in a fixed order, then as many empty places as it lacks
        slots = np.where(holds[:, members], members, nobody)
        places.append(np.sort(slots, axis=1)[:, :most])
        starts.append(np.full(most, cohort))
    if not places:
        return np.full(len(cohorts), np.nan)
    unseen = np.full((1, len(roster.times)), np.nan)
    return imputed_average(
        np.concatenate([roster.outcomes, unseen]),
        times=roster.times,
        drawn=np.concatenate(places, axis=1),
        cohorts=np.concatenate(starts),
        anticipation=anticipation,
    )


def _group_time(roster: _Roster, cohorts: Floats, *, anticipation: int, comparison: str) -> Floats:
    """Callaway and Sant'Anna's simple average by draw, each effect against the last period before exposure."""
    times = roster.times
    values = np.unique(cohorts[np.isfinite(cohorts)])
    members = {cohort: (cohorts == cohort).astype(float) for cohort in [*values, _NEVER]}
    total, weight = np.zeros(len(cohorts)), np.zeros(len(cohorts))
    for cohort in values:
        before = np.flatnonzero(times < cohort - anticipation)
        after = np.flatnonzero(times >= cohort)
        if not len(before) or not len(after):
            continue
        change = roster.outcomes[:, after] - roster.outcomes[:, before[-1]][:, None]
        seen = np.isfinite(change).astype(float)
        filled = np.where(seen > 0, change, 0.0)
        own = members[cohort]
        size = own.sum(axis=1)
        never = [members[_NEVER] @ part for part in (filled, seen)]
        later = {k: [members[k] @ part for part in (filled, seen)] for k in values if k > cohort}
        sums, counts = own @ filled, own @ seen
        for column, now in enumerate(times[after]):
            rest, n_rest = never[0][:, column].copy(), never[1][:, column].copy()
            if comparison == "not_yet":
                for other, (other_sums, other_counts) in later.items():
                    if other > now + anticipation:
                        rest += other_sums[:, column]
                        n_rest += other_counts[:, column]
            known = (counts[:, column] > 0) & (n_rest > 0)
            safe = np.where(known, counts[:, column], 1.0), np.where(known, n_rest, 1.0)
            effect = sums[:, column] / safe[0] - rest / safe[1]
            total += np.where(known, size * effect, 0.0)
            weight += np.where(known, size, 0.0)
    return np.divide(total, weight, out=np.full(len(cohorts), np.nan), where=weight > 0)


def _row(drawn: Floats, *, kind: Kind, share: float, n_wrong: int, finding: _Finding) -> RosterError:
    known = drawn[np.isfinite(drawn)]
    if known.size:
        mean, (low, high) = float(known.mean()), (float(end) for end in np.percentile(known, [5, 95]))
        flipped = float((known * finding.estimate < 0).mean())
        _, bound = inference.confidence_interval(0.0, finding.std_error)
        other_side = (np.abs(known) > bound) != (abs(finding.estimate) > bound)
        crossed = float(other_side.mean()) if math.isfinite(bound) else math.nan
    else:
        mean = low = high = flipped = crossed = math.nan
    return RosterError(
        kind=kind,
        share=share,
        n_wrong=n_wrong,
        draws=len(known),
        mean=mean,
        low=low,
        high=high,
        sign_changed_share=flipped,
        bound_crossed_share=crossed,
        sentence=_sentence(kind, n_wrong, ends=(low, high), shares=(flipped, crossed), finding=finding),
    )


def _sentence(
    kind: Kind, n_wrong: int, *, ends: tuple[float, float], shares: tuple[float, float], finding: _Finding
) -> Message:
    condition = _condition(kind, n_wrong, finding=finding)
    flipped, crossed = shares
    if math.isnan(flipped):
        return message("{condition}, there would be no estimate.", condition=condition)
    told = {
        "condition": condition,
        "low": finding.scale * ends[0],
        "high": finding.scale * ends[1],
        "unit": finding.unit,
        "flipped": _flipped(flipped),
    }
    if not math.isfinite(crossed):
        return message(
            "{condition}, the estimate would lie between {low:+.2f} and {high:+.2f} {unit} in 9 of 10 rosters drawn; "
            "{flipped}.",
            **told,
        )
    return message(
        "{condition}, the estimate would lie between {low:+.2f} and {high:+.2f} {unit} in 9 of 10 rosters drawn; "
        "{flipped}, {crossed}.",
        crossed=_crossed(crossed),
        **told,
    )


def _condition(kind: Kind, n_wrong: int, *, finding: _Finding) -> Message:
    n_exposed = finding.n_exposed
    if kind == "dates":
        return message("With {n} of {n_exposed} dates wrong by a year", n=n_wrong, n_exposed=n_exposed)
    # one template for each kind of unit: other languages inflect more than the noun
    if kind == "missing":
        if finding.kind_of_unit == "place":
            return counted(
                "If {n} of {n_exposed} exposed places was listed by mistake",
                "If {n} of {n_exposed} exposed places were listed by mistake",
                n=n_wrong,
                n_exposed=n_exposed,
            )
        if finding.kind_of_unit == "county":
            return counted(
                "If {n} of {n_exposed} exposed counties was listed by mistake",
                "If {n} of {n_exposed} exposed counties were listed by mistake",
                n=n_wrong,
                n_exposed=n_exposed,
            )
        return counted(
            "If {n} of {n_exposed} exposed units was listed by mistake",
            "If {n} of {n_exposed} exposed units were listed by mistake",
            n=n_wrong,
            n_exposed=n_exposed,
        )
    if finding.kind_of_unit == "place":
        return counted(
            "If {n} more place was exposed and is hidden in the comparison",
            "If {n} more places were exposed and are hidden in the comparison",
            n=n_wrong,
        )
    if finding.kind_of_unit == "county":
        return counted(
            "If {n} more county was exposed and is hidden in the comparison",
            "If {n} more counties were exposed and are hidden in the comparison",
            n=n_wrong,
        )
    return counted(
        "If {n} more unit was exposed and is hidden in the comparison",
        "If {n} more units were exposed and are hidden in the comparison",
        n=n_wrong,
    )


def _flipped(share: float) -> Message:
    if share in (0, 1):
        return message("all would change its sign") if share else message("none would change its sign")
    if share < _LITTLE:
        return message("under {share:.0%} would change its sign", share=_LITTLE)
    return message("{share:.0%} would change its sign", share=share)


def _crossed(share: float) -> Message:
    if share in (0, 1):
        return (
            message("all would move it across the line between chance and more")
            if share
            else message("none would move it across the line between chance and more")
        )
    if share < _LITTLE:
        return message("under {share:.0%} would move it across the line between chance and more", share=_LITTLE)
    return message("{share:.0%} would move it across the line between chance and more", share=share)


def _overall(rows: Sequence[RosterError], *, finding: _Finding) -> Message:
    """One sentence on the middle share of the plan; the rows' own where a kind has no estimate."""
    shares = sorted({row.share for row in rows})
    by_kind = {row.kind: row for row in rows if row.share == shares[len(shares) // 2]}
    if any(math.isnan(row.mean) for row in by_kind.values()):
        return message("{parts:sentences}", parts=[row.sentence for row in by_kind.values()])
    most = max(row.sign_changed_share for row in by_kind.values())
    return message(
        "The estimate is {estimate:+.2f} {unit}; with {n} of {n_exposed} dates wrong by a year it would lie {dates} in "
        "9 of 10 rosters drawn, with as many of the exposed listed by mistake {missing}, with as many hidden in the "
        "comparison {hidden}, and its sign would change in {most}.",
        estimate=finding.scale * finding.estimate,
        unit=finding.unit,
        n=by_kind["dates"].n_wrong,
        n_exposed=finding.n_exposed,
        most=_of_them(most),
        **{kind: finding.between(row.low, row.high) for kind, row in by_kind.items()},
    )


def _of_them(share: float) -> Message:
    if share in (0, 1):
        return message("all of them") if share else message("none of them")
    if share < _LITTLE:
        return message("under {share:.0%} of them", share=_LITTLE)
    return message("at most {share:.0%} of them", share=share)


def _plain(value: Any) -> Any:
    return None if isinstance(value, float) and not math.isfinite(value) else value
