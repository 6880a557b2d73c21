"""What verdicts are worth in simulated worlds of known truth: python benchmarks/verdicts.py > benchmarks/verdicts.md

Build the panel first (wwc-research panel build). Two processes of one thread by default; more in --help.
"""

import argparse
import dataclasses
import sys
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from wwc_research import catalog
from wwc_research.catalog import Headline, Plan
from wwc_research.design.baseline import long_difference
from wwc_research.design.sample import Sample
from wwc_research.errors import EstimationError
from wwc_research.estimators import estimate
from wwc_research.estimators.drawn_group_times import group_time_averages
from wwc_research.estimators.drawn_imputations import imputed_average
from wwc_research.estimators.estimate import Estimate
from wwc_research.evidence import checks, planned_estimators, trust
from wwc_research.evidence.alternatives import TITLES, compare, weighted_by_people
from wwc_research.evidence.assemble import _clustered_df, _judged, planned_design  # as pages judge
from wwc_research.evidence.calibration import PageLots, card
from wwc_research.evidence.calibration_draws import Chunk, WorkUnit
from wwc_research.evidence.evidence import Check, CheckResult, Evidence, Named
from wwc_research.evidence.judging import judge
from wwc_research.evidence.placebo_pool import PlaceboPool
from wwc_research.evidence.questions import workers
from wwc_research.evidence.randomisation import Lottery, draw_lots
from wwc_research.evidence.worlds import Components, Shape, WorldKind, estimate_components, make_world
from wwc_research.panel.panel import Panel

Floats = npt.NDArray[np.float64]

OUTCOMES: Final = ("broadband", "air_quality", "employment", "unemployment", "median_income")
TREATMENT: Final = "certification"
STEEP: Final = 100.0  # a strength beside which noise is nothing, to learn the bias that a strength of one makes
STEEP_WORLDS: Final = 8


@dataclass(frozen=True, slots=True, kw_only=True)
class Kind:
    """A kind of world; `effect` and `bias` are in minimum detectable effects that the page without them states."""

    name: str
    title: str
    world: WorldKind
    effect: float = 0.0
    bias: float = 0.0
    shape: Shape = "constant"
    strength: float = 0.0

    @property
    def cards(self) -> str:
        """Whose calibration cards it shares: the pool of units never exposed is that of the null worlds but there."""
        return self.name if self.world == "confounded" else "null"


KINDS: Final = {
    kind.name: kind
    for kind in (
        Kind(name="null", title="no effect", world="null"),
        Kind(name="effect", title="effect of 2, constant", world="effect", effect=2.0),
        Kind(name="growing", title="effect of 2, growing", world="effect", effect=2.0, shape="growing"),
        Kind(name="confounded_1", title="confounded, bias of 1", world="confounded", bias=1.0),
        Kind(name="confounded_2", title="confounded, bias of 2", world="confounded", bias=2.0),
        Kind(name="diverging_1", title="diverging, bias of 1", world="diverging", bias=1.0),
        Kind(name="diverging_2", title="diverging, bias of 2", world="diverging", bias=2.0),
        Kind(
            name="anticipation", title="effect of 2, half of it early", world="anticipation", effect=2.0, strength=0.5
        ),
    )
}
BIASED: Final = ("confounded", "diverging")
HALVED: Final = ("growing", "anticipation")  # half as many families
GATES: Final = ("pre_trends", "treated_clusters", "calibration", "balance", "direction", "one_unit")


@dataclass(frozen=True, slots=True, kw_only=True)
class Setting:
    """What every process needs: where the panel is, lots a question, placebo draws a card, cards, the seed."""

    panel: Path
    lots: int
    placebo_draws: int
    seed: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Skeleton:
    """One outcome's real sample, what its outcomes are made of, and the balance of its real matched comparison."""

    sample: Sample
    components: Components
    balance: Check


@dataclass(frozen=True, slots=True, kw_only=True)
class Card:
    """What a calibration card says: who heads the page, and the check it makes."""

    carrier: Headline
    check: Check


@dataclass(frozen=True, slots=True, kw_only=True)
class Work:
    """World `number` of a kind on an outcome's skeleton. `card` is None where it is not known yet."""

    outcome: str
    kind: str
    number: int
    effect: float = 0.0
    strength: float = 0.0
    card: Card | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """One question of one world: its evidence before correction, its lots, its two tests of the years before."""

    evidence: Evidence
    draws: Floats
    leads: float
    drift: float


@cache
def skeleton(outcome: str, setting: Setting) -> Skeleton:
    plan, panel = catalog.plan(), _panel(setting.panel)
    design = planned_design(outcome=outcome, treatment=TREATMENT, plan=plan)
    sample = design.sample(panel)
    compared = compare(long_difference(panel, design=design), plan=plan)
    return Skeleton(
        sample=sample,
        components=estimate_components(sample),
        balance=checks.balance(compared.balance, rule=plan.verdict),
    )


@cache
def _panel(path: Path) -> Panel:
    return Panel.read(path)


def world(work: Work, setting: Setting) -> Sample:
    """The world; those of one number and outcome share their noise, and their exposure unless it is confounded."""
    kind, base = KINDS[work.kind], skeleton(work.outcome, setting)
    return make_world(
        base.sample,
        kind=kind.world,
        generator=np.random.default_rng([setting.seed, OUTCOMES.index(work.outcome), work.number]),
        effect=work.effect,
        strength=work.strength,
        shape=kind.shape,
        components=base.components,
    )


def lottery_of(sample: Sample, number: int, setting: Setting, *, name: Headline, draws: int = 0) -> Lottery:
    """Lots of the world; one stream for all outcomes of a family. With `draws`, few of them and leave-one-out."""
    return draw_lots(
        sample,
        seed=setting.seed,
        stream=f"{TREATMENT} {number}",
        draws=draws or setting.lots,
        n_leads=catalog.plan().verdict.pre_trend_leads,
        estimator=name,
        event_leads=0,
        leave_one_out=draws > 0,
    )


def carded(work: Work, setting: Setting) -> Card:
    """The calibration card of a world, and the choice of the headline by it, as `assemble` has it."""
    plan, sample = catalog.plan(), world(work, setting)
    analysis = plan.analyses[work.outcome]
    names: tuple[Headline, ...] = (analysis.headline, analysis.fallback)
    made = card(
        _chunks(sample, names=names, effect=analysis.minimum_effect_of_interest, setting=setting),
        rule=plan.calibration,
        effect=analysis.minimum_effect_of_interest,
        headline=analysis.headline,
        fallback=analysis.fallback,
        lots={
            name: PageLots.of(lottery_of(sample, work.number, setting, name=name), df=_clustered_df(sample))
            for name in names
        },
    )
    carrier = analysis.fallback if made.carrier == analysis.fallback else analysis.headline
    return Card(carrier=carrier, check=checks.calibration(made.row(carrier, basis="as_judged"), title=TITLES[carrier]))


def _chunks(sample: Sample, *, names: Sequence[Headline], effect: float, setting: Setting) -> list[Chunk]:
    """Placebo draws as `run_chunk` makes them, estimated all at once; each has the error of the world's estimate."""
    pool = PlaceboPool.of(sample, coded=True)
    draws = [
        pool.draw(np.random.default_rng(np.random.SeedSequence([setting.seed, number])))
        for number in range(setting.placebo_draws)
    ]
    drawn = np.array([draw.units for draw in draws])
    wide = pool.sample.frame.pivot_table(index="unit", columns="time", values="outcome")
    shared: dict[str, Any] = {"times": wide.columns.to_numpy(np.int64), "drawn": drawn, "cohorts": pool.cohorts}
    estimates = {
        "imputation": imputed_average(wide.to_numpy(float), anticipation=sample.anticipation, **shared),
        "callaway_santanna": group_time_averages(
            wide.to_numpy(float), anticipation=sample.anticipation, comparison=sample.comparison, **shared
        ),
    }
    chunks = []
    for name in names:
        own = planned_estimators.run(name, sample, aggregation="simple", seed=setting.seed)
        chunks.append(
            Chunk(
                unit=WorkUnit(estimator=name, first=0, draws=len(draws)),
                seed=setting.seed,
                effect=effect,
                estimates=tuple(float(value) if np.isfinite(value) else None for value in estimates[name]),
                std_errors=(own.std_error,) * len(draws),
                df=(own.df if np.isfinite(own.df) else None,) * len(draws),
                planted=(),
                moved=tuple(draw.moved for draw in draws),
                apart=tuple(draw.apart for draw in draws),
                drawn=tuple(int(count) for count in np.bincount(drawn.ravel(), minlength=len(wide))),
                n_exposed=len(pool.cohorts),
                failures={},
            )
        )
    return chunks


def answered(work: Work, setting: Setting) -> Answer:
    """The question asked of the world as a page asks it.

    Leaving out every unit in turn takes as long as all else; it is done where the verdict can hang on it, that is
    where a difference shows and neither test of the years before stops it, even if they shared their level.
    """
    plan, sample = catalog.plan(), world(work, setting)
    assert work.card is not None
    rule, name = plan.verdict, work.card.carrier
    aggregation = plan.analyses[work.outcome].aggregation
    found = planned_estimators.run(name, sample, aggregation=aggregation, seed=plan.seed)
    lottery = lottery_of(sample, work.number, setting, name=name)
    judged = _judged(found, lottery, df=_clustered_df(sample))
    before = checks.pre_trends(lottery, rule=rule)
    made = [
        before,
        checks.treated_clusters(trust.inference_allowed(sample), rule=rule),
        work.card.check,
        skeleton(work.outcome, setting).balance,
    ]
    shows = judged["p_value"] < rule.size
    if shows or KINDS[work.kind].world in BIASED:
        made.append(checks.direction(found, others=others(sample, headline=name, plan=plan, aggregation=aggregation)))
    if shows and (before.statistic is None or 2 * before.statistic >= rule.pre_trend_size):
        # who is left out does not hang on the lots, so few are drawn for it
        without = lottery_of(sample, work.number, setting, name=name, draws=9).without_one
        labels = sample.frame.drop_duplicates("unit").set_index("unit")["label"].to_dict()
        made.append(checks.one_unit(dataclasses.replace(lottery, without_one=without), labels=labels))
    evidence = Evidence(
        outcome=work.outcome,
        treatment=TREATMENT,
        family="simulated",
        minimum_effect_of_interest=plan.analyses[work.outcome].minimum_effect_of_interest,
        headline=Named(name=name, title=TITLES[name], estimate=found.as_dict() | {"event_study": [], "group_time": []}),
        judged=judged,
        alternatives=(),
        checks=tuple(made),
        verdict=None,
        cohorts=(),
        trends=(),
        balance=(),
        overlap=(),
        matched=(),
    )
    return Answer(evidence=evidence, draws=lottery.null_draws, leads=lottery.lead_p_value, drift=lottery.drift_p_value)


def others(sample: Sample, *, headline: Headline, plan: Plan, aggregation: str) -> dict[str, Estimate]:
    """The alternatives of a page that need nothing but the sample and are quick."""

    def run(name: str, chosen: Sample = sample) -> Callable[[], Estimate]:
        return lambda: planned_estimators.run(name, chosen, aggregation=aggregation, seed=plan.seed)

    ways: dict[str, Callable[[], Estimate]] = {
        "the other headline": run("callaway_santanna" if headline == "imputation" else "imputation"),
        "two_way_fe": run("two_way_fe"),
        "event_study": run("event_study"),
        "random_trends": run("random_trends"),
        "population": run(headline, weighted_by_people(sample)),
        "region_by_year": lambda: estimate(dataclasses.replace(sample, effects=("region",)), "two_way_fe"),
    }
    found = {}
    for title, way in ways.items():
        try:
            found[title] = way()
        except EstimationError:
            continue
    return found


# --- rules ------------------------------------------------------------------------------------------------


def as_planned(answer: Answer) -> tuple[Check, ...]:
    return answer.evidence.checks


def shared_level(answer: Answer) -> tuple[Check, ...]:
    """The two tests of the years before share their level."""
    return _with(answer.evidence.checks, {"pre_trends": _shared(answer)})


def _shared(answer: Answer) -> CheckResult:
    """Twice the smaller p-value against the plan's level."""
    size, known = catalog.plan().verdict.pre_trend_size, [p for p in (answer.leads, answer.drift) if np.isfinite(p)]
    return "cannot_tell" if not known else "failed" if len(known) * min(known) < size else "passed"


def bias_passes(answer: Answer) -> tuple[Check, ...]:
    """As planned, but a card stops a difference by its false positives and its coverage, not by its bias alone."""
    made = answer.evidence.checks
    stopped = [check for check in made if check.name == "calibration" and stops_by(check) == "bias alone"]
    return _with(made, {"calibration": "passed"}) if stopped else made


def balance_passes(answer: Answer) -> tuple[Check, ...]:
    """As planned, but balance counts as passed everywhere."""
    return _with(answer.evidence.checks, {"balance": "passed"})


def both_pass(answer: Answer) -> tuple[Check, ...]:
    """Both of these."""
    return _with(bias_passes(answer), {"balance": "passed"})


def all_changes(answer: Answer) -> tuple[Check, ...]:
    """Besides, the two tests of the years before share their level."""
    return _with(both_pass(answer), {"pre_trends": _shared(answer)})


def stops_by(check: Check) -> str:
    """What a calibration check says against the method."""
    if check.result == "passed":
        return "nothing"
    # the sentence lists every limit that is broken
    words = ("it calls", "its 95 % interval", "misses", "too few", "Only", "say nothing")
    other = any(word in check.sentence for word in words)
    return "other limits" if other or "where nothing happened" not in check.sentence else "bias alone"


def _with(made: Sequence[Check], results: Mapping[str, Any]) -> tuple[Check, ...]:
    return tuple(
        dataclasses.replace(check, result=results[check.name]) if check.name in results else check for check in made
    )


RULES: Final[dict[str, Callable[[Answer], tuple[Check, ...]]]] = {
    "A": as_planned,
    "B": shared_level,
    "C": bias_passes,
    "D": balance_passes,
    "E": both_pass,
    "F": all_changes,
}

Family = Sequence[Answer]


def verdicts(families: Sequence[Family], *, rule: str) -> list[list[Evidence]]:
    """Every family judged, with the checks as the rule has them."""
    return [
        judge(
            [dataclasses.replace(item.evidence, checks=RULES[rule](item)) for item in family],
            draws=[item.draws for item in family],
            plan=catalog.plan(),
        )
        for family in families
    ]


# --- the study --------------------------------------------------------------------------------------------


def bias_of_one(outcome: str, kind: WorldKind, setting: Setting) -> float:
    """The bias that a strength of one makes in the planned headline, in the unit of the outcome."""
    name = next(item.name for item in KINDS.values() if item.world == kind)
    worlds = [
        world(Work(outcome=outcome, kind=name, number=number, strength=STEEP), setting)
        for number in range(STEEP_WORLDS)
    ]
    analysis = catalog.plan().analyses[outcome]
    found = [
        planned_estimators.run(analysis.headline, item, aggregation=analysis.aggregation, seed=setting.seed)
        for item in worlds
    ]
    return float(np.mean([item.estimate for item in found])) / STEEP


def better(outcome: str) -> int:
    """The sign of an improvement."""
    return 1 if catalog.outcome(outcome).direction == "higher" else -1


Mapped = Callable[[Callable[..., Any], Sequence[Work]], list[Any]]


def run(
    mapped: Mapped, setting: Setting, *, nulls: int, families: int, cards: int, log: Callable[[str], None]
) -> dict[str, list[Family]]:
    """Families of answers by kind; each family holds the outcomes in order. More families begin with the same ones."""
    made = _cards(mapped, {"null": cards}, strengths={})
    log(f"{cards} cards an outcome")
    found = {"null": _answers(mapped, "null", nulls, cards=made, mde=None, strengths={})}
    log(f"null: {nulls} families")
    mde = {
        (outcome, number): float(family[column].evidence.judged["minimum_detectable_effect"])
        for number, family in enumerate(found["null"])
        for column, outcome in enumerate(OUTCOMES)
    }
    # strength for a bias of one in the unit of the outcome; what a page states is multiplied in world by world
    strengths = {
        (outcome, kind.name): kind.bias * better(outcome) / bias_of_one(outcome, kind.world, setting)
        for outcome in OUTCOMES
        for kind in KINDS.values()
        if kind.world in BIASED
    }
    typical = {outcome: float(np.median([mde[outcome, number] for number in range(nulls)])) for outcome in OUTCOMES}
    confounded = {kind: max(cards // 4, 1) for kind in KINDS if KINDS[kind].cards == kind != "null"}
    made |= _cards(mapped, confounded, strengths={key: value * typical[key[0]] for key, value in strengths.items()})
    log("cards of confounded worlds")
    for name in KINDS:
        if name != "null":
            count = families // 2 if name in HALVED else families
            found[name] = _answers(mapped, name, count, cards=made, mde=mde, strengths=strengths)
            log(f"{name}: {count} families")
    return found


def _cards(
    mapped: Mapped, counts: Mapping[str, int], *, strengths: Mapping[tuple[str, str], float]
) -> dict[tuple[str, str], list[Card]]:
    """Cards by outcome and kind, of its worlds from number 0 on."""
    works = [
        Work(outcome=outcome, kind=kind, number=number, strength=strengths.get((outcome, kind), 0.0))
        for kind, count in counts.items()
        for outcome in OUTCOMES
        for number in range(count)
    ]
    made: dict[tuple[str, str], list[Card]] = {}
    for work, item in zip(works, mapped(carded, works), strict=True):
        made.setdefault((work.outcome, work.kind), []).append(item)
    return made


def _answers(
    mapped: Mapped,
    name: str,
    count: int,
    *,
    cards: Mapping[tuple[str, str], list[Card]],
    mde: Mapping[tuple[str, int], float] | None,
    strengths: Mapping[tuple[str, str], float],
) -> list[Family]:
    kind = KINDS[name]
    works = []
    for number in range(count):
        for outcome in OUTCOMES:
            own = cards[outcome, kind.cards]
            stated = mde[outcome, number] if mde else 0.0
            works.append(
                Work(
                    outcome=outcome,
                    kind=name,
                    number=number,
                    effect=kind.effect * stated * better(outcome),
                    strength=kind.strength or strengths.get((outcome, name), 0.0) * stated,
                    card=own[number % len(own)],
                )
            )
    flat: list[Answer] = mapped(answered, works)
    return [flat[start : start + len(OUTCOMES)] for start in range(0, len(flat), len(OUTCOMES))]


def alone(found: Mapping[str, list[Family]], name: str) -> list[Family]:
    """Families with an effect in one question, each in turn, and none in the others."""
    families: list[Family] = []
    for number, (effects, nulls) in enumerate(zip(found[name], found["null"], strict=False)):
        chosen = number % len(OUTCOMES)
        families.append([effects[n] if n == chosen else nulls[n] for n in range(len(OUTCOMES))])
    return families


# --- the tables -------------------------------------------------------------------------------------------


def share(values: Iterable[object]) -> str:
    """A share in per cent with its Monte Carlo error."""
    known = np.array([bool(value) for value in values], dtype=float)
    if not len(known):
        return ""
    mean = known.mean()
    return f"{100 * mean:.1f} ± {100 * np.sqrt(mean * (1 - mean) / len(known)):.1f}"


def table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
    print("| " + " | ".join(header) + " |\n" + "|---" * len(header) + "|")
    for row in rows:
        print("| " + " | ".join(row) + " |")
    print()


def is_code(item: Evidence, code: str) -> bool:
    return item.verdict is not None and item.verdict.code == code


def write_tables(found: Mapping[str, list[Family]], *, cards: int) -> None:
    sets = {**found, "alone": alone(found, "effect")}
    titles = {**{name: kind.title for name, kind in KINDS.items()}, "alone": "effect of 2, constant, in one question"}
    judged = {rule: {name: verdicts(families, rule=rule) for name, families in sets.items()} for rule in RULES}
    order = ["null", "alone", *(name for name in KINDS if name != "null")]
    _families_table(judged, order=order, titles=titles)
    _questions_table(judged, order=order, titles=titles)
    _caught_table(found, judged, titles=titles)
    _gates_table(judged["A"], order=["effect", "growing", "anticipation"], titles=titles)
    _pre_trends_table(found)
    _cards_table(found, cards=cards)
    _skeletons_table(found, judged)


def _cards_table(found: Mapping[str, list[Family]], *, cards: int) -> None:
    print("## What calibration cards say of the method that heads the page, per cent of cards\n")
    print("Nothing is wrong with any of these methods in null worlds.\n")
    rows = []
    for name in ("null", *(name for name, kind in KINDS.items() if kind.cards == name != "null")):
        # later families are dealt the same cards again
        first = found[name][: cards if name == "null" else max(cards // 4, 1)]
        for column, outcome in enumerate((*OUTCOMES, "all")):
            answers = [a for family in first for a in (family if outcome == "all" else [family[column]])]
            made = [check for item in answers for check in item.evidence.checks if check.name == "calibration"]
            cells = [share(check.result == result for check in made) for result in ("passed", "cannot_tell", "failed")]
            cells += [share(stops_by(check) == why for check in made) for why in ("bias alone", "other limits")]
            rows.append([KINDS[name].title, outcome, *cells])
    table(["world", "outcome", "fit", "in doubt", "unfit", "stopped by bias alone", "by other limits"], rows)


def _families_table(judged: Mapping[str, Any], *, order: Sequence[str], titles: Mapping[str, str]) -> None:
    print("## Families with at least one evidence of improvement, per cent\n")
    table(
        ["world", "families", *(f"rule {rule}" for rule in judged)],
        (
            [
                titles[name],
                str(len(judged["A"][name])),
                *(
                    share(any(is_code(item, "improvement") for item in family) for family in judged[rule][name])
                    for rule in judged
                ),
            ]
            for name in order
        ),
    )


def _questions_table(judged: Mapping[str, Any], *, order: Sequence[str], titles: Mapping[str, str]) -> None:
    codes = ("improvement", "harm", "no_effect_larger", "cannot_tell")
    print("## Questions by verdict, per cent\n")
    print("Of the effect in one question only that question is counted.\n")
    rows = []
    for rule in judged:
        for name in order:
            families = judged[rule][name]
            items = [item for family in families for item in family]
            if name == "alone":
                items = [family[number % len(OUTCOMES)] for number, family in enumerate(families)]
            rows.append([rule, titles[name], *(share(is_code(item, code) for item in items) for code in codes)])
    table(["rule", "world", *(code.replace("_", " ") for code in codes)], rows)


def _failed(item: Evidence, *names: str) -> bool:
    return any(check.name in names and check.result == "failed" for check in item.checks)


def _caught_table(found: Mapping[str, list[Family]], judged: Mapping[str, Any], *, titles: Mapping[str, str]) -> None:
    print("## Worlds with a bias: what stops it, per cent of questions\n")
    print('"Realised" is the mean estimate over the minimum detectable effect that the page without bias states.')
    print("The named checks are those that look at the world's outcomes; balance and calibration do not see this bias.")
    print('"No claim" is every verdict but improvement and harm.\n')
    rows = []
    for rule in ("A", "B", "E", "F"):
        for name in (name for name, kind in KINDS.items() if kind.world in BIASED):
            items = [item for family in judged[rule][name] for item in family]
            # a family's null twin may be one of more, so that numbers go together
            twins = [twin for family in found["null"][: len(judged[rule][name])] for twin in family]
            realised = np.mean(
                [
                    item.judged["estimate"] * better(item.outcome) / twin.evidence.judged["minimum_detectable_effect"]
                    for item, twin in zip(items, twins, strict=True)
                ]
            )
            shown = [item for item in items if (item.family_p_value or 0.0) < catalog.plan().verdict.size]
            rows.append(
                [
                    rule,
                    titles[name],
                    f"{realised:.2f}",
                    share(_failed(item, "pre_trends") for item in items),
                    share(_failed(item, "pre_trends", "direction", "one_unit") for item in items),
                    share((item.family_p_value or 0.0) < catalog.plan().verdict.size for item in items),
                    share(_failed(item, "pre_trends", "direction", "one_unit") for item in shown),
                    share(not (is_code(item, "improvement") or is_code(item, "harm")) for item in items),
                ]
            )
    table(
        [
            "rule",
            "world",
            "realised",
            "pre_trends failed",
            "pre_trends, direction or one_unit failed",
            "a difference shows",
            "of those, a named check failed",
            "no claim",
        ],
        rows,
    )


def _gates_table(judged: Mapping[str, Any], *, order: Sequence[str], titles: Mapping[str, str]) -> None:
    print("## Which gate of rule A stops a true difference, per cent of the questions that show one\n")
    print("Several can stop one question. one_unit is asked only where neither test of the years before rejects at")
    print("half the level.\n")
    rows = []
    for name in order:
        for outcome in (*OUTCOMES, "all"):
            items = [item for family in judged[name] for item in family if outcome in (item.outcome, "all")]
            shown = [item for item in items if (item.family_p_value or 0.0) < catalog.plan().verdict.size]
            cells = [titles[name], outcome, share(item in shown for item in items)]
            for gate in GATES:
                asked = [check for item in shown for check in item.checks if check.name == gate]
                cells.append(share(check.result != "passed" for check in asked))
            cells.append(share(is_code(item, "improvement") for item in items))
            rows.append(cells)
    table(["world", "outcome", "shows", *GATES, "improvement"], rows)


def _pre_trends_table(found: Mapping[str, list[Family]]) -> None:
    print("## The tests of the years before, per cent of questions that reject\n")
    names = ("null", "growing", "anticipation", *(name for name, kind in KINDS.items() if kind.world in BIASED))
    rows = []
    for name in names:
        items = [item for family in found[name] for item in family]
        least = [np.nanmin([item.leads, item.drift]) for item in items]
        rows.append(
            [
                KINDS[name].title,
                share(item.leads < 0.10 for item in items),
                share(item.drift < 0.10 for item in items),
                share(value < 0.10 for value in least),
                share(value < 0.05 for value in least),
            ]
        )
    table(["world", "leads, 10 %", "drift, 10 %", "either, 10 % (A)", "either, 5 % (B)"], rows)


def _skeletons_table(found: Mapping[str, list[Family]], judged: Mapping[str, Any]) -> None:
    print("## By outcome\n")
    print('"Detectable" is the median of what pages of null worlds state, in the unit of the outcome.\n')
    names = ("null", *(name for name, kind in KINDS.items() if kind.world in BIASED))
    rows = []
    for column, outcome in enumerate(OUTCOMES):
        nulls = [family[column].evidence for family in found["null"]]
        check = {item.name: item for item in nulls[0].checks}
        cells = [
            outcome,
            f"{np.median([item.judged['minimum_detectable_effect'] for item in nulls]):.4f}",
            f"{check['balance'].result} ({check['balance'].statistic:.3f})",
        ]
        cells += [share(_failed(family[column], "pre_trends") for family in judged["A"][name]) for name in names]
        rows.append(cells)
    failed = [f"pre_trends failed: {KINDS[name].title}" for name in names]
    table(["outcome", "detectable", "balance of the real design", *failed], rows)
    print("Evidence of improvement, per cent:\n")
    planted = ("effect", *names[1:])
    rows = [
        [
            rule,
            outcome,
            *(share(is_code(family[column], "improvement") for family in judged[rule][name]) for name in planted),
        ]
        for rule in ("A", "E")
        for column, outcome in enumerate(OUTCOMES)
    ]
    table(["rule", "outcome", *(KINDS[name].title for name in planted)], rows)


def write_head(given: argparse.Namespace) -> None:
    plan = catalog.plan()
    print("# What verdicts are worth: simulated worlds of known truth\n")
    print("All figures are simulated; none says anything about a real city. Made by")
    print(
        f"`python benchmarks/verdicts.py --nulls {given.nulls} --families {given.families} --cards {given.cards} "
        f"--lots {given.lots} --placebo-draws {given.placebo_draws} --seed {given.seed}`"
    )
    print(f"on {given.date}, plan {plan.sha256[:12]}. Shares in per cent ± one Monte Carlo standard error.\n")
    print(f"A family is five questions of {TREATMENT}: {', '.join(OUTCOMES)}.")
    print(
        "Each stands on the skeleton of its real sample (units, years, gaps, counties, cohorts) with made-up outcomes"
    )
    print("of the variance, persistence, county shocks and size that the real ones have (evidence/worlds.py), and all")
    print("five are corrected together. Youth NEET is left out: three exposed counties never pass `treated_clusters`.")
    print("Outcomes of a family are independent, which is the hardest case for the error rate. Each question goes the")
    print("way of a page: estimate, lots, the more cautious of both, checks, Romano-Wolf, verdict.\n")
    print("Effects and biases are in the minimum detectable effect that the same page states in the same world with")
    print("nothing planted, and in the favourable direction. A bias is the mean error of the planned headline. Worlds")
    print("of one number share their noise.\n")
    print(
        "Unlike a page: calibration cards rest on fewer placebo draws, each with the standard error of the world's own"
    )
    print("estimate, and are made for the first worlds only, then dealt in turn (a quarter as many for confounded")
    print("worlds); balance is that of the real design, once an outcome; `direction` asks the other headline, two-way")
    print("regression, event study, random trends, population weights and region by year, and leaves out matching,")
    print("synthetic difference-in-differences, never-exposed comparison, anticipation and precision weights.\n")
    print("Rules: **A** as planned. **B**: as A, and the two tests of the years before share their level (twice the")
    print("smaller p-value against 0.10). **C**: as A, and a calibration card stops a difference by its false-positive")
    print("share or its coverage, no longer by its bias alone. **D**: as A, and balance counts as passed everywhere.")
    print("**E**: C and D. **F**: B, C and D. Who heads a page is left as under A.")
    print("B was thought of beforehand; C to F were tried after seeing which gates stop true effects.\n")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--nulls", type=int, default=200, help="families without anything planted")
    parser.add_argument("--families", type=int, default=100, help="of every other kind; half as many of some")
    parser.add_argument("--cards", type=int, default=40, help="calibration cards an outcome")
    parser.add_argument("--lots", type=int, default=399)
    parser.add_argument("--placebo-draws", type=int, default=400)
    parser.add_argument("--seed", type=int, default=20261122)
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--panel", type=Path, default=Path("data/processed/panel.parquet"))
    given = parser.parse_args()
    given.date = time.strftime("%Y-%m-%d")
    if given.nulls < max(given.families, given.cards):
        parser.error("--nulls: at least as many as --families and --cards, since every world has a null twin")
    start = time.monotonic()

    def log(text: str) -> None:
        print(f"{time.monotonic() - start:6.0f} s  {text}", file=sys.stderr, flush=True)

    setting = Setting(panel=given.panel, lots=given.lots, placebo_draws=given.placebo_draws, seed=given.seed)
    with workers(given.jobs) as pool:

        def mapped(function: Callable[..., Any], works: Sequence[Work]) -> list[Any]:
            return list(pool.map(function, works, [setting] * len(works), chunksize=4))

        found = run(mapped, setting, nulls=given.nulls, families=given.families, cards=given.cards, log=log)
    write_head(given)
    write_tables(found, cards=given.cards)


if __name__ == "__main__":
    main()
