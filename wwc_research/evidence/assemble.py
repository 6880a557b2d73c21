"""Evidence for one outcome and treatment, assembled as the plan says: estimates, checks, tables, provenance.

In: a Panel, the plan, and the parts that were prepared. Out: `Assembled`; `judging.judge` corrects and judges it.
"""

from __future__ import annotations

import dataclasses
import inspect
import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from wwc_research import catalog, inference
from wwc_research.catalog import Analysis, Headline, Plan, Treatment
from wwc_research.design.baseline import cross_section
from wwc_research.design.design import Design
from wwc_research.design.sample import Sample
from wwc_research.errors import EstimationError, InputError, listed
from wwc_research.estimators import estimate as estimate_by_name
from wwc_research.estimators import linear, matched_difference, method_card, synthetic_control
from wwc_research.estimators.estimate import Estimate
from wwc_research.estimators.rows import read_rows
from wwc_research.estimators.wild_bootstrap import wild_cluster_bootstrap
from wwc_research.evidence import checks, planned_estimators, trust
from wwc_research.evidence.adoptions import map_rows, thinned, timeline_rows
from wwc_research.evidence.alternatives import TITLES, Alternatives, alternatives, as_named, compare
from wwc_research.evidence.calibration import PageLots, card
from wwc_research.evidence.calibration_draws import Chunk
from wwc_research.evidence.evidence import Check, Evidence
from wwc_research.evidence.placebos import placebos
from wwc_research.evidence.provenance import provenance
from wwc_research.evidence.randomisation import Lottery, draw_lots
from wwc_research.evidence.sensitivity import Finding, sensitivity
from wwc_research.evidence.specifications import centred
from wwc_research.evidence.variations import variations
from wwc_research.messages import Message, message, said
from wwc_research.panel.panel import Panel

Floats = npt.NDArray[np.float64]


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Prepared:
    """What was worked out beforehand: draws of the calibration, the specification curve as plain values, and the panel
    as published, which only outcomes with corrected figures need. `failed` says why a part could not be made, by name.
    `events` is the table certification/events, without which awards have no timeline.

    Without calibration nothing is known of the estimators on this panel, and no difference can be claimed.
    """

    chunks: tuple[Chunk, ...] = ()
    curve: Mapping[str, Any] | None = None
    uncorrected: Panel | None = None
    events: pd.DataFrame | None = None
    failed: Mapping[str, str] = dataclasses.field(default_factory=dict)


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Assembled:
    """Evidence before correction and verdict, and the lots behind it, which the correction of a family needs."""

    evidence: Evidence
    draws: Floats


def assemble(*, outcome: str, treatment: str, panel: Panel, plan: Plan, prepared: Prepared | None = None) -> Assembled:
    """Evidence for one outcome and treatment, for `judging.judge` to correct and judge.

    Where the card shows the planned headline to be miscalibrated on this panel, the plan's fallback takes its place.

    Raises
    ------
    InputError
        Where the plan has no analysis of the outcome, or the treatment is not dated.
    EstimationError
        Where the headline design leaves nothing to compare.
    """
    prepared = prepared or Prepared()
    design = planned_design(outcome=outcome, treatment=treatment, plan=plan)
    sample = design.sample(panel)
    found, calibrated = _headline(design, sample, plan=plan, prepared=prepared)
    others = alternatives(design, panel, sample=sample, plan=plan, headline=found.name)
    varied = _varied(design, panel, sample=sample, found=found, plan=plan, uncorrected=prepared.uncorrected)
    finding = Finding(judged=found.judged, lottery=found.lottery, compared=others.compared, headline=found.name)
    evidence = Evidence(
        outcome=outcome,
        treatment=treatment,
        family=design.analysis.family,
        minimum_effect_of_interest=design.analysis.minimum_effect_of_interest,
        headline=as_named(headline_title(design.analysis, found.name), found.estimate, name=found.name),
        judged=found.judged,
        alternatives=others.named,
        checks=(
            checks.pre_trends(found.lottery, rule=plan.verdict),
            *calibrated.checks,
            *_checks(found.estimate, sample, panel, plan=plan, design=design, name=found.name, others=others),
            checks.as_populous(found.lottery, scale=design.outcome.scale, unit=design.outcome.unit),
            _one_unit(sample, found.lottery),
            *varied.checks,
        ),
        verdict=None,
        cohorts=tuple(_cohorts(sample)),
        trends=tuple(_trends(sample, treatment=design.treatment, is_survey=design.outcome.has_survey_error)),
        places=tuple(thinned(map_rows(panel, sample=sample))),
        adoptions=tuple(_adoptions(panel, sample, treatment=design.treatment, events=prepared.events)),
        balance=others.compared.balance if others.compared else (),
        overlap=others.compared.overlap if others.compared else (),
        matched=others.compared.matched if others.compared else (),
        cross_section=_cross_section(design, panel, plan=plan),
        synthetic=_synthetic(sample) if design.analysis.synthetic_controls else (),
        notes=(
            *_notes(design, panel, sample),
            *calibrated.notes,
            *(
                message("The specification curve could not be made: {why}", why=why)
                for why in _reasons(prepared, "specifications")
            ),
        ),
        variations=varied.rows,
        not_applicable=varied.not_applicable,
        sensitivity=sensitivity(design, panel, sample=sample, finding=finding, rule=plan.sensitivity, seed=plan.seed),
        specifications=centred(prepared.curve, estimator=found.name) if prepared.curve else None,
        calibration=calibrated.card,
        groups=tuple(_groups(design, sample, found=found, plan=plan)),
        rules={
            "balance_limit": plan.verdict.balance_limit,
            "size": plan.verdict.size,
            "gates": _gates(plan),
            "expected": design.analysis.expected,
        },
        method_cards=_method_cards(
            [found.estimate, *others.found.values()], with_synthetic=design.analysis.synthetic_controls
        ),
        provenance=provenance(panel, plan, design=design),
        own={
            kind: dataclasses.asdict(entry)
            for kind, entry in (("outcome", design.outcome), ("treatment", design.treatment))
            if catalog.is_own(entry.name)
        },
    )
    return Assembled(evidence=evidence, draws=found.lottery.null_draws)


def _reasons(prepared: Prepared, name: str) -> tuple[str, ...]:
    return (prepared.failed[name],) if name in prepared.failed else ()


def planned_design(*, outcome: str, treatment: str, plan: Plan) -> Design:
    """The design that the plan gives a question.

    Raises
    ------
    InputError
        Where the plan has no analysis of the outcome, or the treatment is not dated.
    """
    if outcome not in plan.analyses:
        way = catalog.way_to_analysis(outcome)
        raise InputError(
            f"the plan has no analysis of {outcome!r}; it has {listed(plan.analyses, limit=40)}.{way}".removesuffix(".")
        )
    return Design(
        outcome=catalog.outcome(outcome), treatment=catalog.treatment(treatment), analysis=plan.analyses[outcome]
    )


def headline_title(analysis: Analysis, name: Headline) -> Message:
    """How the headline estimate is called on a page."""
    if analysis.comparison == "not_yet":
        return message("{method}, against not yet or never exposed", method=TITLES[name])
    return message("{method}, against never exposed", method=TITLES[name])


def _gates(plan: Plan) -> list[str]:
    return list(dict.fromkeys((*plan.verdict.difference_gates, *plan.verdict.null_gates)))


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class _Headline:
    """The estimate that heads the page, the lots it was judged by, and the judged numbers."""

    name: Headline
    estimate: Estimate
    lottery: Lottery
    judged: dict[str, Any]

    @classmethod
    def of(cls, name: Headline, sample: Sample, *, design: Design, plan: Plan, leave_one_out: bool = True) -> _Headline:
        found = planned_estimators.run(name, sample, aggregation=design.analysis.aggregation, seed=plan.seed)
        lottery = draw_lots(
            sample,
            seed=plan.seed,
            stream=design.treatment.name,
            draws=plan.verdict.draws,
            n_leads=plan.verdict.pre_trend_leads,
            estimator=name,
            leave_one_out=leave_one_out,
        )
        return cls(name=name, estimate=found, lottery=lottery, judged=_judged(found, lottery, df=_clustered_df(sample)))


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class _Calibrated:
    """The card as plain values, the check that it makes, and what a reader must know of the choice of headline."""

    card: dict[str, Any] | None
    checks: tuple[Check, ...]
    notes: tuple[str, ...]


def _headline(design: Design, sample: Sample, *, plan: Plan, prepared: Prepared) -> tuple[_Headline, _Calibrated]:
    """The planned headline, or the fallback where the panel shows the planned one to be miscalibrated."""
    planned, fallback = design.analysis.headline, design.analysis.fallback
    first = _Headline.of(planned, sample, design=design, plan=plan)
    if not prepared.chunks:
        why = prepared.failed.get("calibration", message("The estimators were not tried on placebo units."))
        return first, _Calibrated(card=None, checks=(checks.uncalibrated(why),), notes=())
    ways = {planned: first}
    if fallback != planned:
        ways[fallback] = _Headline.of(fallback, sample, design=design, plan=plan)
    made = card(
        prepared.chunks,
        rule=plan.calibration,
        effect=design.analysis.minimum_effect_of_interest,
        headline=planned,
        fallback=fallback if fallback != planned else "",
        lots={name: PageLots.of(way.lottery, df=way.judged["df"] or math.inf) for name, way in ways.items()},
    )
    carrier: Headline = fallback if made.carrier == fallback else planned
    notes: tuple[str, ...] = ()
    if carrier != planned:
        note = message(
            "The plan would have {planned} head this page. On placebo units of this panel it does not pass: {why} The "
            "plan's fallback, {fallback}, heads it.",
            planned=TITLES[planned],
            why=made.row(planned, basis="as_judged").sentence,
            fallback=TITLES[fallback],
        )
        notes = (note,)
    check = checks.calibration(made.row(carrier, basis="as_judged"), title=TITLES[carrier])
    return ways[carrier], _Calibrated(card=made.as_dict(), checks=(check,), notes=notes)


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class _Varied:
    """Variations and placebos as rows of a page, the checks they make, and those that have no meaning here."""

    rows: tuple[dict[str, Any], ...]
    checks: tuple[Check, ...]
    not_applicable: dict[str, str]


def _varied(
    design: Design, panel: Panel, *, sample: Sample, found: _Headline, plan: Plan, uncorrected: Panel | None
) -> _Varied:
    """Every variation and placebo that applies."""

    def run(chosen: Sample) -> Estimate:
        return planned_estimators.run(found.name, chosen, aggregation=design.analysis.aggregation, seed=plan.seed)

    changed = variations(
        design,
        panel,
        sample=sample,
        headline=found.estimate,
        estimate=run,
        judged_std_error=found.judged["std_error"] or math.nan,
        rule=plan.verdict,
        uncorrected=uncorrected,
    )
    tried = placebos(
        design.with_analysis(headline=found.name),
        panel,
        sample=sample,
        headline=found.estimate,
        estimate=run,
        rule=plan.verdict,
        seed=plan.seed,
        draws=plan.sensitivity.placebo_draws,
    )
    rows = tuple(
        {
            "name": item.name,
            "title": item.title,
            "question": item.check.name,
            "estimate": _short(item.estimate) if item.estimate else None,
            "failed": item.failed,
            "agrees": item.agrees,
        }
        for item in (*changed.found, *tried.found)
    )
    return _Varied(
        rows=rows,
        checks=(*changed.checks, *tried.checks),
        not_applicable={item.name: item.reason for item in (*changed.not_applicable, *tried.not_applicable)},
    )


_KEPT = (
    "scale",
    "unit",
    "judged",
    "estimate",
    "std_error",
    "ci_low",
    "ci_high",
    "p_value",
    "n_obs",
    "n_units",
    "n_treated",
    "n_clusters",
)


def _short(values: Mapping[str, Any]) -> dict[str, Any]:
    """What a table shows of an estimate."""
    return {name: values.get(name) for name in _KEPT}


def _groups(design: Design, sample: Sample, *, found: _Headline, plan: Plan) -> Iterable[dict[str, Any]]:
    """The headline for each half of the exposed units by population, judged as the headline is."""
    frame = sample.frame
    people = frame.loc[frame["cohort"].notna()].groupby("unit")["people"].median()
    middle = people.median()
    for group in design.analysis.groups:
        chosen = people.index[people > middle] if group == "larger" else people.index[people <= middle]
        row: dict[str, Any] = {"group": group, "n_treated": len(chosen), "failed": "", "p_value": None}
        part = dataclasses.replace(sample, frame=frame.loc[frame["cohort"].isna() | frame["unit"].isin(chosen)])
        try:
            half = _Headline.of(found.name, part, design=design, plan=plan, leave_one_out=False)
        except EstimationError as error:
            yield {**row, "failed": said(error)}
        else:
            kept = ("estimate", "std_error", "ci_low", "ci_high", "p_value", "minimum_detectable_effect")
            yield {**row, "n_treated": half.estimate.n_treated, **{name: half.judged[name] for name in kept}}


def _checks(
    headline: Estimate,
    sample: Sample,
    panel: Panel,
    *,
    plan: Plan,
    design: Design,
    name: Headline,
    others: Alternatives,
) -> tuple[Check, ...]:
    found = [
        checks.treated_clusters(trust.inference_allowed(sample), rule=plan.verdict),
        _small_samples(sample, plan=plan),
        checks.direction(
            headline,
            others=others.found,
            n_failed=sum(bool(item.failed) for item in others.named),
        ),
        checks.balance(others.compared.balance if others.compared else (), rule=plan.verdict),
        checks.overlap(others.compared.overlap if others.compared else ()),
    ]
    # a county's figure is shared by its places, so neighbours would only show the effect itself
    if design.outcome.geography == "place":
        found.append(_spillover(design, panel, plan=plan, name=name))
    if design.outcome.has_survey_error:
        found.append(checks.survey_noise(_noise_shares(sample, panel, design=design)))
    return tuple(found)


def _small_samples(sample: Sample, *, plan: Plan) -> Check:
    """Clustered, bias-reduced and bootstrapped inference on the same two-way regression."""
    rows = read_rows(sample)
    bootstrap = wild_cluster_bootstrap(
        rows.outcome,
        rows.is_exposed[:, None].astype(float),
        column=0,
        effects=(rows.unit, rows.period),
        clusters=rows.cluster,
        weights=rows.weight,
        draws=plan.verdict.draws,
        generator=np.random.default_rng(plan.seed),
    )
    return checks.small_samples(
        estimate_by_name(sample, "two_way_fe"),
        reduced=estimate_by_name(sample, "two_way_fe", std_errors="cr2"),
        bootstrap=bootstrap,
        size=plan.verdict.size,
    )


def _synthetic(sample: Sample) -> tuple[dict[str, Any], ...]:
    """Each exposed unit beside its synthetic control; nothing where none can be made."""
    try:
        return tuple(found.as_dict() for found in synthetic_control.synthetic_controls(sample))
    except EstimationError:
        return ()


def _spillover(design: Design, panel: Panel, *, plan: Plan, name: Headline) -> Check:
    """Did places never exposed move differently where a neighbour was?"""
    asks = dataclasses.replace(design.with_analysis(unit="place"), exposure="neighbours")
    outcome, least = design.outcome, plan.verdict.minimum_treated_clusters
    try:
        sample = asks.sample(panel)
        found = planned_estimators.run(name, sample, aggregation=asks.analysis.aggregation, seed=plan.seed)
    except EstimationError as error:
        return checks.spillover(None, why=said(error), scale=outcome.scale, unit=outcome.unit)
    allowed = trust.inference_allowed(sample)
    weight = min(allowed.n_treated, allowed.effective)
    if weight < least:
        why = message(
            "{n_places} such places lie in {n_counties} counties, which decide an estimate as {weight:.0f} of equal "
            "weight would: too few to tell.",
            n_places=found.n_treated,
            n_counties=allowed.n_treated,
            weight=weight,
        )
        return checks.spillover(None, why=why, scale=outcome.scale, unit=outcome.unit)
    return checks.spillover(found, why="", scale=outcome.scale, unit=outcome.unit)


def _judged(headline: Estimate, lottery: Lottery, *, df: float) -> dict[str, Any]:
    """The more cautious of clustered inference and inference by lot: the wider interval, the larger p-value.

    Both ways give an interval that leaves out zero where their p-value is below 5 %, and so does the more cautious:
    clustered errors with t quantiles, lots with the quantile of the estimates drawn.

    Parameters
    ----------
    df
        Degrees of freedom of the clustered errors.
    """
    by_cluster = inference.critical_value(df) * headline.std_error
    by_lot = PageLots.of(lottery).limit
    half = max((value for value in (by_cluster, by_lot) if not math.isnan(value)), default=math.nan)
    std_error = max(value for value in (headline.std_error, lottery.std_error) if not math.isnan(value))
    p_values = (lottery.p_value, inference.p_value(headline.estimate, headline.std_error, df))
    after = [term for term in headline.group_time if term.time >= term.cohort]
    weights = [term.n_treated for term in after]
    years = sum(w * (term.time - term.cohort) for w, term in zip(weights, after, strict=True)) / sum(weights)
    values = {
        "estimate": headline.estimate,
        "std_error": std_error,
        "ci_low": headline.estimate - half,
        "ci_high": headline.estimate + half,
        "p_value": max(value for value in p_values if not math.isnan(value)),
        "minimum_detectable_effect": inference.detectable_effect(half, std_error),
        "lot_p_value": lottery.p_value,
        "lot_std_error": lottery.std_error,
        "df": df,
        "years_after": years,
    }
    known: dict[str, Any] = {name: value if math.isfinite(value) else None for name, value in values.items()}
    return {**known, "draws": lottery.draws, "basis": "cluster" if by_cluster > by_lot else "lot"}


def _clustered_df(sample: Sample) -> float:
    """Effective clusters less one, or where they cannot be had the exposed or all clusters less one."""
    allowed = trust.inference_allowed(sample)
    effective = allowed.effective if math.isfinite(allowed.effective) else float(allowed.n_treated)
    return max(effective - 1.0, 1.0)


def _one_unit(sample: Sample, lottery: Lottery) -> Check:
    labels = sample.frame.drop_duplicates("unit").set_index("unit")["label"]
    return checks.one_unit(lottery, labels=labels.to_dict())


def _noise_shares(sample: Sample, panel: Panel, *, design: Design) -> dict[str, float]:
    """Mean sampling variance over the variance within units after year effects, exposed and comparison apart."""
    key, suffix = ("county_id", "_main_county") if design.analysis.unit == "county" else ("place_id", "")
    column = f"{design.outcome.variable}{suffix}_std_error"
    if column not in panel.frame or design.outcome.transform != "none":
        return {message("all units"): math.nan}
    errors = panel.frame.drop_duplicates([key, "year"]).set_index([key, "year"])[column]
    rows = sample.frame
    sampled = errors.reindex(pd.MultiIndex.from_frame(rows[["unit", "time"]])).to_numpy()
    codes = [pd.factorize(rows[name])[0] for name in ("unit", "time")]
    shares: dict[str, float] = {}
    groups = (
        (message("exposed units"), rows["cohort"].notna()),
        (message("comparison units"), rows["cohort"].isna()),
    )
    for group, chosen in groups:
        mask = chosen.to_numpy()
        some = [pd.factorize(code[mask])[0] for code in codes]
        within = linear.absorb(rows.loc[mask, "outcome"].to_numpy()[:, None], effects=some).ravel()
        spare = mask.sum() - some[0].max() - some[1].max() - 1
        variance = float(within @ within) / spare if spare > 0 else math.nan
        shares[group] = float(pd.Series(sampled[mask]).pow(2).mean()) / variance if variance > 0 else math.nan
    return shares


def _cohorts(sample: Sample) -> Iterable[dict[str, Any]]:
    units = sample.frame.drop_duplicates("unit")
    for cohort, rows in units.loc[units["cohort"].notna()].groupby("cohort"):
        labels = sorted(rows["label"])
        yield {"cohort": int(float(str(cohort))), "n_units": len(labels), "labels": labels}


def _adoptions(
    panel: Panel, sample: Sample, *, treatment: Treatment, events: pd.DataFrame | None
) -> list[dict[str, Any]]:
    """Rows of the timeline; none for awards without their roster."""
    if events is None and treatment.is_award:
        return []
    return timeline_rows(panel, sample=sample, events=pd.DataFrame() if events is None else events)


def group_titles(treatment: Treatment, *, unit: str) -> tuple[Message, Message]:
    """How the exposed and the comparison units are called: `certified cities`, `cities not certified`."""
    cities = {"units": message("cities")}
    exposed = Message(treatment.exposed, cities)
    if unit == "county":
        return message("counties with {exposed}", exposed=exposed), message("counties without")
    return exposed, Message(treatment.unexposed, cities)


def _trends(sample: Sample, *, treatment: Treatment, is_survey: bool) -> Iterable[dict[str, Any]]:
    """Yearly means over the units that have a figure in every year of the sample.

    `std_error` is what the survey's sampling leaves unsure of a mean: the root of the summed squared errors of the
    units over their number, for samples drawn apart in each; None where the source gives no error for every figure.
    """
    frame = sample.frame
    years = frame["time"].nunique()
    complete = frame.loc[frame.groupby("unit")["time"].transform("size") == years]
    treated = complete["cohort"].notna()
    has_errors = is_survey and "outcome_std_error" in frame
    names = group_titles(treatment, unit=sample.settings["unit"])
    for group, rows in zip(names, (complete[treated], complete[~treated]), strict=True):
        for year, chosen in rows.groupby("time"):
            yield {
                "group": group,
                "year": int(str(year)),
                "mean": float(chosen["outcome"].mean()),
                "std_error": float(np.sqrt(chosen["outcome_std_error"].pow(2).sum())) / len(chosen)
                if has_errors
                else None,
                "n_units": len(chosen),
            }


def _cross_section(design: Design, panel: Panel, *, plan: Plan) -> dict[str, Any] | None:
    year = design.analysis.cross_section_year
    if year is None:
        return None
    variable = f"{design.outcome.name}_{year}_share"
    try:
        compared = compare(cross_section(panel, design=design, variable=variable, year=year), plan=plan)
    except EstimationError as error:
        return {"year": year, "failed": said(error)}
    return {
        "year": year,
        "failed": "",
        "estimate": compared.estimate.as_dict(),
        "balance": list(compared.balance),
        "balance_check": dataclasses.asdict(checks.balance(compared.balance, rule=plan.verdict)),
        "matched": list(compared.matched),
        "exclusions": [item.as_dict() for item in compared.estimate.exclusions],
    }


def _notes(design: Design, panel: Panel, sample: Sample) -> Iterable[str]:
    outcome, analysis = design.outcome, design.analysis
    if design.treatment.is_award:
        yield from _edition_notes(design)
    undated = panel.frame.loc[panel.frame[f"{design.treatment.name}_is_undated"], "label"].unique()
    if len(undated):
        yield message(
            "{n_undated} cities are known to be {exposed}, but not since when: {names}. They are kept out on both "
            "sides.",
            n_undated=len(undated),
            exposed=Message(design.treatment.exposed, {"units": message("cities")}),
            names=listed(sorted(undated), limit=20),
        )
    if analysis.unit == "county":
        yield message(
            "The figure is measured for counties, so counties are compared: {n_treated} of {n_units} are exposed. A "
            "county counts as exposed from the first year in which one of its cities of 30,000 people or more does; a "
            "city that lies in several counties counts in the one where most of its people live. The effect is diluted "
            "by the rest of the county.",
            n_treated=sample.n_treated,
            n_units=sample.n_units,
        )
    yield from design.treatment.caveats
    first, last = int(sample.frame["time"].min()), int(sample.frame["time"].max())
    for year, why in outcome.gaps.items():
        if first < int(year) < last:
            yield message("{year} is missing: {why}.", year=str(year), why=why)
    for broken, why in design.accepted_breaks.items():
        yield message(
            "The series breaks in {year}. {why} The plan accepts this, so part of any change from before to after may "
            "be a change of the figures and not of the cities.",
            year=str(broken),
            why=why,
        )


def _edition_notes(design: Design) -> Iterable[str]:
    """Which awards count, and that since V3 a good outcome is a condition of the award."""
    editions = design.analysis.editions
    named = listed([edition.upper() for edition in editions])
    if "v3" in editions:
        yield message(
            "First awards under {editions} count as exposed. Since August 2022 (V3) good outcomes are a condition of "
            "certification, so part of any difference is the award's own rule and no effect of it.",
            editions=named,
        )
    else:
        yield message(
            "Only first awards under {editions} count as exposed. Since August 2022 (V3) a city has to show good "
            "outcomes to be certified; cities first certified since then are comparison until their award, then leave.",
            editions=named,
        )


def _method_cards(found: Sequence[Estimate], *, with_synthetic: bool) -> dict[str, str]:
    names = dict.fromkeys([*(item.estimator for item in found), *([synthetic_control.NAME] if with_synthetic else [])])
    cards = {name: method_card(name) for name in names if name != matched_difference.NAME}
    if matched_difference.NAME in names:
        cards[matched_difference.NAME] = inspect.cleandoc(matched_difference.__doc__ or "")
    return cards
