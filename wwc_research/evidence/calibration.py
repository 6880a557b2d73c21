"""The calibration card: error rates, bias and power of each estimator among placebo units of the user's own panel.

In: chunks of placebo estimates (or a Sample), the plan's rule. Out: a card, and whether each can carry a headline.
"""

from __future__ import annotations

import dataclasses
import math
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Final, Literal

import numpy as np
import numpy.typing as npt

from wwc_research import inference
from wwc_research.catalog import CalibrationRule
from wwc_research.catalog import plan as shipped_plan
from wwc_research.design.sample import Sample
from wwc_research.errors import InputError, listed
from wwc_research.evidence.calibration_draws import Chunk, Planted, WorkUnit, calibration_units, run_chunk
from wwc_research.evidence.placebo_pool import PlaceboPool, placebo_sample
from wwc_research.evidence.questions import workers
from wwc_research.evidence.randomisation import Lottery
from wwc_research.messages import Message, counted, message

Floats = npt.NDArray[np.float64]
Basis = Literal["own_error", "as_judged"]
Result = Literal["fit", "in_doubt", "unfit"]

SIZE: Final = 0.05  # of the tests that are tried; its interval is the 95 % one
POWER: Final = 0.80
FEWEST_DRAWS: Final = 50  # with fewer nothing is called fit
FEWEST_WITH_ERROR: Final = 0.9  # share of draws that must have an estimate and a standard error
_SAME: Final = 1e-8  # of the effect or the spread: closer than this is rounding
_BIASES: Final = ("bias", "growing_bias")


@dataclass(frozen=True, slots=True, kw_only=True)
class CalibrationRow:
    """One line of the card; numbers are in the unit of the outcome, shares from 0 to 1, undefined ones NaN.

    Attributes
    ----------
    estimator, basis
        Which estimator, judged by its `own_error`, or `as_judged` on the page: see `card`.
    draws, with_error
        Placebo draws run, and those with an estimate and a standard error: shares are of these.
    bias, bias_error
        Mean of the placebo estimates, and its Monte Carlo error.
    growing_bias
        How far, on average, an effect that grows with exposure is missed beyond `bias`: the change that it makes to
        an estimate, less its mean over exposed rows. That mean is what headlines estimate; an estimator of another
        average, such as the event study's over event times, differs from it by that.
    spread, mean_std_error
        Standard deviation of the placebo estimates, and the error that was claimed for them on average.
    false_positive_share, false_positive_low, false_positive_high
        Share of true nulls called significant at 5 %, with its 95 % Monte Carlo interval (Wilson).
    coverage, coverage_low, coverage_high, coverage_draws
        Share of 95 % intervals that hold a constant planted effect, with its Monte Carlo interval; over all draws
        where the effect is known to move the estimates by exactly itself, else over the draws with one planted.
    shifts_exactly
        Whether it did so, to rounding, with errors unchanged; None where none was planted.
    minimum_detectable_effect
        Smallest constant effect that 80 % of draws find, at 5 % and with the right sign, up and down alike.
    power_at_effect, power
        Share of draws that find the planned smallest effect of interest; and (effect, share) pairs from zero on.
    failures
        Reasons for draws without an estimate, and how many.
    result, sentence
        Whether the estimator can carry a headline by the plan's rule, and that in a sentence.
    """

    estimator: str
    basis: Basis
    draws: int
    with_error: int
    bias: float
    bias_error: float
    growing_bias: float
    spread: float
    mean_std_error: float
    false_positive_share: float
    false_positive_low: float
    false_positive_high: float
    coverage: float
    coverage_low: float
    coverage_high: float
    coverage_draws: int
    shifts_exactly: bool | None
    minimum_detectable_effect: float
    power_at_effect: float
    power: tuple[tuple[float, float], ...]
    failures: Mapping[str, int]
    result: Result
    sentence: str

    @property
    def can_carry(self) -> bool:
        """Whether the rule lets it head a page: all but those shown to be unfit."""
        return self.result != "unfit"

    def as_dict(self) -> dict[str, Any]:
        """Plain values for JSON; undefined numbers are None."""
        return _plain({**dataclasses.asdict(self), "power": [list(pair) for pair in self.power]})


@dataclass(frozen=True, slots=True, kw_only=True)
class Calibration:
    """The card of one panel.

    Attributes
    ----------
    effect
        The planned smallest effect of interest, which was planted.
    headline, fallback
        Estimators that have a line `as_judged` as well; `fallback` may be empty.
    rows
        One line an estimator by its own error, then those as judged.
    n_exposed, n_pool
        Placebo units in each draw, and units they are drawn from.
    often_drawn
        Units of the pool that are in more than half of the draws: where there are some, draws are much alike, and
        the spread is understated.
    moved, apart
        Mean number of places filled from another size stratum than the real unit's, and of units of a county with
        several that could not be kept in one county.
    sentence
        All that in plain words.
    """

    effect: float
    headline: str
    fallback: str
    rows: tuple[CalibrationRow, ...]
    n_exposed: int
    n_pool: int
    often_drawn: int
    moved: float
    apart: float
    sentence: str

    @property
    def carrier(self) -> str:
        """The estimator that heads the page: the headline if it is fit as judged, else the fallback if that is.

        Where neither is fit, the first that is only in doubt; empty where both are unfit.
        """
        names = [name for name in (self.headline, self.fallback) if name]
        for result in ("fit", "in_doubt"):
            for name in names:
                if self.row(name, basis="as_judged").result == result:
                    return name
        return ""

    def row(self, estimator: str, *, basis: Basis = "own_error") -> CalibrationRow:
        """The line of that estimator.

        Raises
        ------
        InputError
            Where the card has none.
        """
        for item in self.rows:
            if item.estimator == estimator and item.basis == basis:
                return item
        have = listed([f"{item.estimator} ({item.basis})" for item in self.rows], limit=20)
        raise InputError(f"the card has no line {estimator} ({basis}); it has {have}")

    def as_dict(self) -> dict[str, Any]:
        """Plain values for JSON; undefined numbers are None."""
        known = {item.name: getattr(self, item.name) for item in dataclasses.fields(self)}
        return _plain({**known, "carrier": self.carrier, "rows": [item.as_dict() for item in self.rows]})


def _plain(values: Mapping[str, Any]) -> dict[str, Any]:
    """The same values with None for undefined numbers."""
    return {
        key: None if isinstance(value, float) and not math.isfinite(value) else value for key, value in values.items()
    }


@dataclass(frozen=True, slots=True, kw_only=True)
class _Draws:
    """All draws of one estimator, NaN where there is none; `planted` by number of the draw."""

    estimates: Floats
    std_errors: Floats
    df: Floats
    planted: tuple[Planted, ...]
    failures: Mapping[str, int]

    @classmethod
    def of(cls, chunks: Sequence[Chunk]) -> _Draws:
        chunks = sorted(chunks, key=lambda chunk: chunk.unit.first)
        expected = 0
        for chunk in chunks:
            if chunk.unit.first != expected:
                raise InputError(
                    f"calibration of {chunk.unit.estimator}: draws from {expected} on are followed by draws from "
                    f"{chunk.unit.first} on; pass every chunk of calibration_units once"
                )
            expected += chunk.unit.draws
        failures: Counter[str] = Counter()
        for chunk in chunks:
            failures.update(chunk.failures)
        estimates, std_errors, df = (
            np.array([value for chunk in chunks for value in getattr(chunk, name)], dtype=float)
            for name in ("estimates", "std_errors", "df")
        )
        return cls(
            estimates=estimates,
            std_errors=np.where(std_errors > 0, std_errors, np.nan),
            df=np.where(np.isnan(df), np.inf, df),
            planted=tuple(item for chunk in chunks for item in chunk.planted),
            failures=dict(failures),
        )

    @property
    def own_reach(self) -> Floats:
        """Half-width of each draw's own 95 % interval."""
        factors = {df: inference.confidence_interval(0.0, 1.0, df, level=1 - SIZE)[1] for df in np.unique(self.df)}
        return np.array([factors[df] for df in self.df]) * self.std_errors

    def shifts_exactly(self, effect: float) -> bool | None:
        """Whether a constant effect moved every estimate by itself and left its error alone."""
        rounding = _SAME * max(abs(effect), _spread(self.estimates))
        gaps = []
        for item in self.planted:
            if item.constant is None:
                return False
            gaps.append(abs(item.constant - self.estimates[item.draw] - effect))
            before = self.std_errors[item.draw]
            gaps.append(0.0 if math.isnan(before) else abs((item.constant_std_error or math.nan) - before))
        return bool(np.max(gaps) <= rounding) if gaps else None


def _spread(values: Floats) -> float:
    known = values[np.isfinite(values)]
    return float(known.std(ddof=1)) if known.size > 1 else math.nan


def card(
    chunks: Sequence[Chunk],
    *,
    rule: CalibrationRule,
    effect: float,
    headline: str,
    fallback: str = "",
    lots: Mapping[str, PageLots] | None = None,
) -> Calibration:
    """The calibration card of all chunks of one sample.

    **As judged.** A page rests on the more cautious of the estimator's own error and inference by lot. The placebo
    draws are set against the very lots of the page, given in `lots`, so that the line measures how the page's judgement
    does in worlds of no effect. Without them all placebo draws share one lot distribution, that of the placebo
    estimates themselves, and the false-positive share is at most 5 % by construction. A draw's standard error is the
    larger of its own and that of the lots, its p-value the larger of both.

    **Power.** A constant effect moves an estimate by itself (checked where planted), so power at an effect is the share
    of placebo estimates that it lifts beyond the reach of their test, averaged over both signs.

    **Bias.** Draws share units, the more so where a size group has few: the mean of all draws keeps what those units
    are peculiar in, which no number of draws averages out. With `s` the mean share of units that two draws have in
    common, draws of exchangeable units have the variance `v`, differ among themselves by `v (1 - s)`, and their mean
    by `v s`; the interval of the bias holds that too, and its limit is in units of the root of `v`.

    **Rule.** An estimator is `unfit` if its false-positive share, coverage or bias (with no effect, or with a growing
    one) is beyond the rule's limit even at the nearer end of its 95 % Monte Carlo interval (Morris, White and Crowther
    2019, "Using simulation studies to evaluate statistical methods", Statistics in Medicine 38(11), on why simulated
    shares are given with their error), or if more than a tenth of its draws have no standard error; `in_doubt` if only
    the figure itself is beyond the limit, or the draws are fewer than 50; else `fit`. So that chance in the draws does
    not topple a sound method, and with 1,000 draws an unsound one still has less than two points to hide in.

    Parameters
    ----------
    rule
        The plan's limits.
    effect
        The planned smallest effect of interest, that of the chunks.
    headline, fallback
        Estimators that get a line `as_judged` as well.
    lots
        Those of the page, by estimator; see above.

    Raises
    ------
    InputError
        Where chunks are missing, doubled, or of other effects or seeds; where `headline` is not among them.
    """
    by_name: dict[str, list[Chunk]] = {}
    for chunk in chunks:
        by_name.setdefault(chunk.unit.estimator, []).append(chunk)
    if headline not in by_name or (fallback and fallback not in by_name):
        raise InputError(f"calibration: {headline!r} or {fallback!r} was not run; chunks are of {listed(by_name)}")
    if len({(chunk.seed, chunk.effect) for chunk in chunks}) > 1 or chunks[0].effect != effect:
        raise InputError(f"calibration: chunks are of several seeds or effects, or not of the effect {effect}")
    order = [name for name in (*rule.estimators, *rule.slow_estimators) if name in by_name]
    names = list(dict.fromkeys([*order, *by_name]))
    draws = {name: _Draws.of(by_name[name]) for name in names}
    wanted: list[tuple[str, Basis]] = [(name, "own_error") for name in names]
    wanted += [(name, "as_judged") for name in dict.fromkeys((headline, fallback)) if name]
    tests = [_Test.of(draws[name], basis=basis, lots=(lots or {}).get(name)) for name, basis in wanted]
    judged = [test for (_, basis), test in zip(wanted, tests, strict=True) if basis == "as_judged"]
    grid = _grid([test.minimum_detectable_effect for test in judged], effect=effect)
    of_headline = by_name[headline]
    counts = np.sum([chunk.drawn for chunk in of_headline], axis=0)
    n_draws = sum(chunk.unit.draws for chunk in of_headline)
    shared = float(((counts / n_draws) ** 2).sum()) / of_headline[0].n_exposed
    rows = [
        _row(name, basis, draws[name], test, rule=rule, effect=effect, grid=grid, shared=shared)
        for (name, basis), test in zip(wanted, tests, strict=True)
    ]
    known: dict[str, Any] = {
        "n_exposed": of_headline[0].n_exposed,
        "n_pool": len(counts),
        "often_drawn": int((counts > n_draws / 2).sum()),
        "moved": float(np.mean([value for chunk in of_headline for value in chunk.moved])),
        "apart": float(np.mean([value for chunk in of_headline for value in chunk.apart])),
    }
    return Calibration(
        effect=effect,
        headline=headline,
        fallback=fallback,
        rows=tuple(rows),
        sentence=_card_sentence(n_draws, **known),
        **known,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class PageLots:
    """Inference by lot as a page has it: the error, and the estimates drawn, by falling size without their signs."""

    std_error: float
    sizes: Floats
    counts_itself: bool = True
    df: float = math.inf

    @classmethod
    def of(cls, lottery: Lottery, *, df: float = math.inf) -> PageLots:
        """The lots of a page, and the degrees of freedom of its clustered errors."""
        drawn = np.abs(lottery.null_draws[np.isfinite(lottery.null_draws)]) * lottery.std_error
        return cls(std_error=lottery.std_error, sizes=np.sort(drawn)[::-1], df=df)

    @classmethod
    def of_draws(cls, estimates: Floats) -> PageLots:
        """Lots made of the placebo estimates themselves, each of which is one of them."""
        sizes = np.sort(np.abs(estimates[np.isfinite(estimates)]))[::-1]
        error = float(np.sqrt(np.mean(sizes**2))) if sizes.size else math.nan
        return cls(std_error=error, sizes=sizes, counts_itself=False)

    @property
    def limit(self) -> float:
        """What an estimate must exceed for a p-value below 5 %.

        On a page p = (1 + draws as large) / (1 + draws), the real assignment being one of them; an estimate that is
        one of the draws itself has its rank over their number.
        """
        extra = int(self.counts_itself)
        as_large = math.ceil(SIZE * (extra + self.sizes.size) - extra)
        if not self.sizes.size:
            return math.nan
        return float(self.sizes[as_large - 1]) if as_large > 0 else math.inf


@dataclass(frozen=True, slots=True, kw_only=True)
class _Test:
    """How each draw is judged: what its estimate must exceed to be significant, and its interval's half-width.

    `lot_std_error` is 0 where lots play no part.
    """

    estimates: Floats
    test_reach: Floats
    interval_reach: Floats
    std_errors: Floats
    lot_std_error: float

    @classmethod
    def of(cls, draws: _Draws, *, basis: Basis, lots: PageLots | None = None) -> _Test:
        own = draws.own_reach
        if basis == "own_error":
            reach, interval, errors, by_lot = own, own, draws.std_errors, 0.0
        else:
            judge = lots or PageLots.of_draws(draws.estimates)
            by_lot = judge.std_error
            # as pages do: the wider of both, which is significant where it leaves out zero
            errors = np.fmax(draws.std_errors, by_lot)
            by_cluster = np.fmax(own, inference.critical_value(judge.df, level=1 - SIZE) * draws.std_errors)
            reach = interval = np.fmax(by_cluster, judge.limit)
        known = np.isfinite(draws.estimates) & np.isfinite(reach)
        nothing = np.where(known, 0.0, np.nan)
        return cls(
            estimates=draws.estimates + nothing,
            test_reach=reach + nothing,
            interval_reach=interval + nothing,
            std_errors=errors + nothing,
            lot_std_error=by_lot,
        )

    @property
    def needed(self) -> Floats:
        """The smallest effect, up and down, with which each usable draw is significant and of the right sign."""
        needed = np.concatenate([self.test_reach - self.estimates, self.test_reach + self.estimates])
        return needed[np.isfinite(needed)]

    @property
    def minimum_detectable_effect(self) -> float:
        needed = self.needed
        return max(float(np.quantile(needed, POWER, method="inverted_cdf")), 0.0) if needed.size else math.nan

    def power(self, effect: float) -> float:
        needed = self.needed
        return float((needed <= effect).mean()) if needed.size else math.nan


def _grid(detectable: Sequence[float], *, effect: float) -> Floats:
    """Effects at which power is given, the same for every line: from none to well beyond what can be detected."""
    known = [value for value in detectable if math.isfinite(value)]
    return np.linspace(0.0, 1.25 * max([*known, 1.5 * abs(effect)]), 51)


def _row(
    name: str,
    basis: Basis,
    draws: _Draws,
    test: _Test,
    *,
    rule: CalibrationRule,
    effect: float,
    grid: Floats,
    shared: float,
) -> CalibrationRow:
    known = draws.estimates[np.isfinite(draws.estimates)]
    usable = np.isfinite(test.estimates)
    n = int(usable.sum())
    spread = _spread(draws.estimates)
    rejected = int((np.abs(test.estimates) > test.test_reach).sum())
    exact = draws.shifts_exactly(effect)
    covered, tried = _covered(draws, test, effect=effect, exact=exact)
    low, high = inference.share_interval(rejected, n)
    coverage_low, coverage_high = inference.share_interval(covered, tried)
    missed = [p.growing - draws.estimates[p.draw] - effect for p in draws.planted if p.growing is not None]
    values: dict[str, Any] = {
        "draws": len(draws.estimates),
        "with_error": n,
        "bias": float(known.mean()) if known.size else math.nan,
        "bias_error": spread / math.sqrt(known.size) if known.size else math.nan,
        "growing_bias": float(np.mean(missed)) if missed else math.nan,
        "spread": spread,
        "mean_std_error": float(test.std_errors[usable].mean()) if n else math.nan,
        "false_positive_share": rejected / n if n else math.nan,
        "false_positive_low": low,
        "false_positive_high": high,
        "coverage": covered / tried if tried else math.nan,
        "coverage_low": coverage_low,
        "coverage_high": coverage_high,
        "coverage_draws": tried,
    }
    growing = _interval_of_mean(missed)
    result, sentence = _judgement(values, growing=growing, rule=rule, shared=shared)
    return CalibrationRow(
        estimator=name,
        basis=basis,
        **values,
        shifts_exactly=exact,
        minimum_detectable_effect=test.minimum_detectable_effect,
        power_at_effect=test.power(abs(effect)),
        power=tuple((float(value), test.power(float(value))) for value in grid) if n else (),
        failures=draws.failures,
        result=result,
        sentence=sentence,
    )


def _covered(draws: _Draws, test: _Test, *, effect: float, exact: bool | None) -> tuple[int, int]:
    """Intervals that hold the planted constant effect, and how many there are."""
    if exact is not False:
        usable = np.isfinite(test.estimates)
        return int((np.abs(test.estimates) <= test.interval_reach).sum()), int(usable.sum())
    tried = [item for item in draws.planted if item.constant is not None and np.isfinite(test.estimates[item.draw])]
    gaps = [abs(item.constant - effect) for item in tried if item.constant is not None]
    # the half-width goes with the error that the estimator gave with the effect planted
    wider = [
        test.interval_reach[item.draw]
        * (max(item.constant_std_error or math.nan, test.lot_std_error) / test.std_errors[item.draw])
        for item in tried
    ]
    return int(sum(gap <= reach for gap, reach in zip(gaps, wider, strict=True))), len(tried)


def _interval_of_mean(values: Sequence[float]) -> tuple[float, float]:
    """95 % Monte Carlo interval of the mean of independent draws; the mean itself where they do not differ."""
    if len(values) < 2:
        return math.nan, math.nan
    mean, error = float(np.mean(values)), float(np.std(values, ddof=1) / math.sqrt(len(values)))
    return inference.confidence_interval(mean, error, len(values) - 1) if error > 0 else (mean, mean)


def _judgement(
    values: Mapping[str, Any], *, growing: tuple[float, float], rule: CalibrationRule, shared: float
) -> tuple[Result, Message]:
    """Fit, in doubt or unfit by the rule, and why."""
    n, draws = values["with_error"], values["draws"]
    if n < FEWEST_WITH_ERROR * draws or n == 0:
        return "unfit", message(
            "Only {n:,} of {draws:,} placebo draws have an estimate and a standard error: unfit.", n=n, draws=draws
        )
    if not shared < 1:
        return "in_doubt", message("Every draw takes the same units, so the draws say nothing about others.")
    # draws share units: what those are peculiar in moves the mean of all draws, however many there are
    spread = values["spread"] / math.sqrt(1 - shared)
    limit = rule.largest_bias * spread
    peculiar = math.sqrt(values["bias_error"] ** 2 + shared * spread**2)
    bias = inference.confidence_interval(values["bias"], peculiar) if peculiar > 0 else (values["bias"],) * 2
    in_spreads = {name: values[name] / spread if spread > 0 else math.nan for name in _BIASES}
    # (beyond even at the nearer end of the Monte Carlo interval, beyond as it stands, words)
    faults = [
        (
            values["false_positive_low"] > rule.largest_false_positive_share,
            values["false_positive_share"] > rule.largest_false_positive_share,
            message(
                "it calls {share:.1%} of true nulls significant at 5 %, more than the {allowed:.1%} allowed",
                share=values["false_positive_share"],
                allowed=rule.largest_false_positive_share,
            ),
        ),
        (
            values["coverage_high"] < rule.smallest_coverage,
            values["coverage"] < rule.smallest_coverage,
            message(
                "its 95 % interval holds the truth in {share:.1%}, less than the {required:.1%} required",
                share=values["coverage"],
                required=rule.smallest_coverage,
            ),
        ),
        (
            _nearest_to_zero(bias) > limit,
            False,  # within chance of who fills the pool, which is no doubt of the method
            message(
                "where nothing happened it finds {bias:+.2f} spreads on average, more than the {allowed:g} spreads "
                "allowed",
                bias=in_spreads["bias"],
                allowed=rule.largest_bias,
            ),
        ),
        (
            _nearest_to_zero(growing) > limit,
            abs(values["growing_bias"]) > limit,
            message(
                "it misses an effect that grows by {bias:+.2f} spreads, more than the {allowed:g} spreads allowed",
                bias=in_spreads["growing_bias"],
                allowed=rule.largest_bias,
            ),
        ),
    ]
    beyond = [words for certain, _, words in faults if certain]
    if beyond:
        return "unfit", message("Unfit to carry a headline: {faults:semicolons}.", faults=beyond)
    doubtful = [words for _, seen, words in faults if seen]
    if doubtful:
        return "in_doubt", message(
            "In doubt: {faults:semicolons}, though by no more than chance in the draws may explain.", faults=doubtful
        )
    if n < FEWEST_DRAWS:
        return "in_doubt", counted(
            "{n:,} placebo draw is too few to tell; take {fewest:,} or more.",
            "{n:,} placebo draws are too few to tell; take {fewest:,} or more.",
            n=n,
            fewest=FEWEST_DRAWS,
        )
    return "fit", message(
        "Of {n:,} true nulls it calls {false_positives:.1%} significant at 5 %, its 95 % interval holds the truth in "
        "{coverage:.1%}, and its bias is {bias:+.2f} of its spread, of which who happens to fill the pool explains up "
        "to {explained}: fit to carry a headline.",
        n=n,
        false_positives=values["false_positive_share"],
        coverage=values["coverage"],
        bias=in_spreads["bias"],
        explained=_in(peculiar, spread),
    )


def _in(error: float, spread: float) -> Message:
    """The 95 % reach of an error, in spreads."""
    if not spread > 0:
        return message("nothing")
    return message("{reach:.2f}", reach=inference.critical_value() * error / spread)


def _nearest_to_zero(interval: tuple[float, float]) -> float:
    """Distance of the interval from zero; 0 where it holds zero, NaN where it is undefined."""
    low, high = interval
    return 0.0 if low <= 0 <= high else min(abs(low), abs(high))


def _card_sentence(
    n_draws: int, *, n_exposed: int, n_pool: int, often_drawn: int, moved: float, apart: float
) -> Message:
    parts = [
        message(
            "{n_draws:,} times, {n_exposed:,} of {n_pool:,} units never exposed were given the real years of exposure "
            "by lot, and every estimator was asked for an effect that is not there.",
            n_draws=n_draws,
            n_exposed=n_exposed,
            n_pool=n_pool,
        )
    ]
    if moved or apart:
        parts.append(
            message(
                "On average {moved:.1f} of them came from another size group than the real unit, and {apart:.1f} could "
                "not be kept in one county with the others of their group.",
                moved=moved,
                apart=apart,
            )
        )
    if often_drawn:
        parts.append(
            counted(
                "{n:,} unit is in more than half of the draws, since few are of its size: what is peculiar to it moves "
                "all draws together, which the limit for bias allows for.",
                "{n:,} units are in more than half of the draws, since few are of their size: what is peculiar to them "
                "moves all draws together, which the limit for bias allows for.",
                n=often_drawn,
            )
        )
    return message("{parts:sentences}", parts=parts)


def calibrate(
    sample: Sample,
    *,
    estimators: Sequence[str],
    draws: int,
    effect: float,
    seed: int,
    jobs: int = 1,
    aggregation: str = "simple",
    rule: CalibrationRule | None = None,
    tick: Callable[[str], None] = lambda _: None,
) -> Calibration:
    """The calibration card of a user's own sample, the same for any number of processes.

    Parameters
    ----------
    sample
        With at least two more units never exposed than exposed ones.
    estimators
        Names; the first is judged as a headline, the second as its fallback.
    draws
        Placebo draws for each.
    effect
        Smallest effect of interest, in the unit of the outcome.
    rule
        Limits of error rates and bias; those of the shipped plan by default.
    tick
        Called after each finished piece of work (`calibration_units`) with the name of its estimator.

    Raises
    ------
    InputError
        Without an estimator or a draw.
    EstimationError
        Where the comparison pool is too small.
    """
    if not estimators or draws < 1:
        raise InputError(f"calibration: {len(estimators)} estimators and {draws} draws; at least one of each")
    limits = shipped_plan().calibration if rule is None else rule
    limits = dataclasses.replace(limits, estimators=tuple(dict.fromkeys(estimators)), draws=draws, slow_estimators=())
    work = partial(_chunk_of, sample, seed=seed, effect=effect, aggregation=aggregation)
    PlaceboPool.of(sample)  # a pool too small is said before processes are started
    with workers(jobs) as pool:
        chunks = []
        for chunk in pool.map(work, calibration_units(limits)):
            tick(chunk.unit.estimator)
            chunks.append(chunk)
    fallback = limits.estimators[1] if len(limits.estimators) > 1 else ""
    return card(chunks, rule=limits, effect=effect, headline=limits.estimators[0], fallback=fallback)


def _chunk_of(sample: Sample, unit: WorkUnit, *, seed: int, effect: float, aggregation: str) -> Chunk:
    return run_chunk(sample, unit=unit, seed=seed, effect=effect, aggregation=aggregation)


__all__ = [
    "Calibration",
    "CalibrationRow",
    "Chunk",
    "Planted",
    "WorkUnit",
    "calibrate",
    "calibration_units",
    "card",
    "placebo_sample",
    "run_chunk",
]
