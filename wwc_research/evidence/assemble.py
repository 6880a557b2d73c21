"""Evidence for one outcome, assembled as the plan says: estimates, checks, tables, provenance.

In: a Panel and the plan. Out: `Evidence` without q-value and verdict; `judge` adds both over all outcomes.
"""

from __future__ import annotations

import dataclasses
import inspect
import math
from collections.abc import Callable, Iterable, Sequence
from typing import Any, Final

import numpy as np
import pandas as pd

from wwc_research import __version__, catalog, inference
from wwc_research.catalog import Analysis, Headline, Plan, Treatment
from wwc_research.design.balance import balance
from wwc_research.design.baseline import Baseline, cross_section, long_difference
from wwc_research.design.design import PEOPLE_SHARE, Design
from wwc_research.design.matching import Matches, nearest
from wwc_research.design.sample import Exclusion, Sample
from wwc_research.errors import EstimationError, InputError, listed
from wwc_research.estimators import estimate as estimate_by_name
from wwc_research.estimators import linear, matched_difference, method_card, synthetic_control
from wwc_research.estimators.estimate import Estimate
from wwc_research.estimators.precision import precision_weighted
from wwc_research.estimators.rows import read_rows
from wwc_research.estimators.wild_bootstrap import wild_cluster_bootstrap
from wwc_research.evidence import checks, multiplicity, trust, verdict
from wwc_research.evidence.evidence import Check, Evidence, Named
from wwc_research.evidence.randomisation import Lottery, draw_lots
from wwc_research.panel.panel import Panel
from wwc_research.sources import raw

TITLES: Final[dict[Headline, str]] = {
    "imputation": "Imputation",
    "callaway_santanna": "Callaway and Sant'Anna",
}


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class _Comparison:
    """A matched comparison with everything a page shows of it."""

    estimate: Estimate
    balance: tuple[dict[str, Any], ...]
    matched: tuple[dict[str, Any], ...]


def assemble(*, outcome: str, treatment: str, panel: Panel, plan: Plan) -> Evidence:
    """Evidence for one outcome and treatment.

    Raises
    ------
    InputError
        Where the plan has no analysis of the outcome, or the treatment is not dated.
    EstimationError
        Where the headline design leaves nothing to compare.
    """
    if outcome not in plan.analyses:
        raise InputError(f"the plan has no analysis of {outcome!r}; it has {listed(plan.analyses, limit=40)}")
    analysis = plan.analyses[outcome]
    design = Design(outcome=catalog.outcome(outcome), treatment=catalog.treatment(treatment), analysis=analysis)
    sample = design.sample(panel)
    headline = _group_time(sample, analysis.headline, analysis=analysis)
    lottery = draw_lots(
        sample,
        generator=np.random.default_rng(plan.seed),
        draws=plan.verdict.draws,
        n_leads=plan.verdict.pre_trend_leads,
        estimator=analysis.headline,
    )
    alternatives, compared = _alternatives(design, panel, sample=sample, plan=plan)
    estimates = {item.title: found for item, found in alternatives if found is not None}
    return Evidence(
        outcome=outcome,
        treatment=treatment,
        family=analysis.family,
        minimum_effect_of_interest=analysis.minimum_effect_of_interest,
        headline=_named(headline_title(analysis), headline, name=analysis.headline),
        judged=_judged(headline, lottery),
        alternatives=tuple(item for item, _ in alternatives),
        checks=(
            checks.pre_trends(lottery, rule=plan.verdict),
            *_checks(headline, sample, panel, plan=plan, design=design, others=estimates, compared=compared),
            checks.as_populous(lottery, scale=design.outcome.scale, unit=design.outcome.unit),
            _one_unit(sample, lottery),
        ),
        q_value=None,
        verdict=None,
        cohorts=tuple(_cohorts(sample)),
        trends=tuple(_trends(sample, treatment=design.treatment)),
        balance=compared.balance if compared else (),
        matched=compared.matched if compared else (),
        cross_section=_cross_section(design, panel, plan=plan),
        synthetic=_synthetic(sample) if analysis.synthetic_controls else (),
        notes=tuple(_notes(design, panel, sample)),
        method_cards=_method_cards([headline, *estimates.values()], with_synthetic=analysis.synthetic_controls),
        provenance=_provenance(panel, plan, design=design),
    )


def headline_title(analysis: Analysis) -> str:
    """How the headline estimate is called on a page."""
    against = "not yet or never exposed" if analysis.comparison == "not_yet" else "never exposed"
    return f"{TITLES[analysis.headline]}, against {against}"


def _named(title: str, found: Estimate, *, name: str) -> Named:
    return Named(name=name, title=title, estimate=found.as_dict())


def _alternatives(
    design: Design, panel: Panel, *, sample: Sample, plan: Plan
) -> tuple[list[tuple[Named, Estimate | None]], _Comparison | None]:
    """Every other planned way of asking; a way that cannot be gone is kept with its reason."""
    compared: list[_Comparison] = []

    def matched() -> Estimate:
        compared.append(compare(long_difference(panel, design=design), plan=plan))
        return compared[0].estimate

    def varied(**changes: object) -> Callable[[], Estimate]:
        changed = design.with_analysis(**changes)
        return lambda: _group_time(changed.sample(panel), analysis.headline, analysis=changed.analysis)

    analysis = design.analysis
    other: Headline = "callaway_santanna" if analysis.headline == "imputation" else "imputation"
    ways: list[tuple[str, str, Callable[[], Estimate]]] = [
        (other, TITLES[other], lambda: _group_time(sample, other, analysis=analysis)),
        ("two_way_fe", "Two-way fixed effects", lambda: estimate_by_name(sample, "two_way_fe")),
        (
            "event_study",
            "Event study (two-way fixed effects), mean after",
            lambda: estimate_by_name(sample, "event_study"),
        ),
        ("matched_difference", "Nearest neighbours, change since the baseline", matched),
        (
            "never",
            "Callaway and Sant'Anna, against never exposed only",
            lambda: _group_time(
                design.with_analysis(comparison="never").sample(panel), "callaway_santanna", analysis=analysis
            ),
        ),
        ("anticipation_1", "One year of anticipation", varied(anticipation=1)),
        (
            "panel_matching",
            "Matched on the years before, doubly robust",
            lambda: estimate_by_name(sample, "panel_matching", adjustment="doubly_robust"),
        ),
        (
            "synthetic_did",
            "Synthetic difference-in-differences",
            lambda: estimate_by_name(sample, "synthetic_did", seed=plan.seed),
        ),
        ("random_trends", "Each unit with a trend of its own", lambda: estimate_by_name(sample, "random_trends")),
    ]
    if "outcome_std_error" in sample.frame:
        weighted = "Rows weighted by the survey's precision"
        ways.append(
            (
                "precision",
                weighted,
                lambda: _group_time(precision_weighted(sample), analysis.headline, analysis=analysis),
            )
        )
    by_people, by_region = _weighted_by_people(sample), dataclasses.replace(sample, effects=("region",))
    ways += [
        (
            "population",
            "Units weighted by their population",
            lambda: _group_time(by_people, analysis.headline, analysis=analysis),
        ),
        (
            "region_by_year",
            "Two-way fixed effects within census regions",
            lambda: estimate_by_name(by_region, "two_way_fe"),
        ),
    ]
    if analysis.unit == "county" and analysis.also_by_place:
        shares = dataclasses.replace(design, dose=PEOPLE_SHARE)
        title = "Per whole county exposed, by share of its people (two-way fixed effects)"
        ways.append(
            (
                "people_share",
                title,
                lambda: estimate_by_name(shares.sample(panel), "dose_response", estimand="twfe"),
            )
        )
    if analysis.unit == "county" and analysis.also_by_place:
        ways.append(("by_place", "Cities as units, errors clustered by county", varied(unit="place")))
    found: list[tuple[Named, Estimate | None]] = []
    for name, title, way in ways:
        try:
            result = way()
        except EstimationError as error:
            found.append((Named(name=name, title=title, estimate=None, failed=str(error)), None))
        else:
            found.append((_named(title, result, name=name), result))
    return found, compared[0] if compared else None


def compare(baseline: Baseline, *, plan: Plan) -> _Comparison:
    """Nearest neighbours of the exposed units by the plan's rule, the effect, the balance, who with whom."""
    frame = baseline.frame.assign(treated=baseline.frame["treated"].astype(int)).set_index("unit", drop=False)
    matches = nearest(
        frame,
        treatment="treated",
        covariates=list(baseline.columns),
        distance=plan.matching.distance,
        ratio=plan.matching.ratio,
    )
    found = matched_difference.estimate(frame, matches, outcome="outcome", cluster=_shared_cluster(frame))
    rows = balance(frame, treatment="treated", covariates=list(baseline.columns), weights=matches.weights)
    return _Comparison(
        estimate=dataclasses.replace(found, exclusions=(*baseline.exclusions, *found.exclusions)),
        balance=tuple(_balance_row(row, baseline.titles) for row in rows.to_dict("records")),
        matched=tuple(_who_with_whom(frame, matches)),
    )


def _shared_cluster(frame: pd.DataFrame) -> str | None:
    """Cluster by county as well, unless every unit is a county of its own."""
    return "cluster" if frame["cluster"].nunique() < len(frame) else None


def _balance_row(row: dict[str, Any], titles: dict[str, str]) -> dict[str, Any]:
    numbers = ("smd_before", "smd_after", "variance_ratio_before", "variance_ratio_after")
    known = {key: float(row[key]) if math.isfinite(row[key]) else None for key in numbers}
    return {"covariate": row["covariate"], "title": titles[row["covariate"]], **known}


def _who_with_whom(frame: pd.DataFrame, matches: Matches) -> Iterable[dict[str, Any]]:
    labels = frame["label"]
    for treated, rows in matches.pairs.groupby("treated", sort=False):
        yield {"treated": labels[treated], "controls": [labels[unit] for unit in rows["control"]]}


def _checks(
    headline: Estimate,
    sample: Sample,
    panel: Panel,
    *,
    plan: Plan,
    design: Design,
    others: dict[str, Estimate],
    compared: _Comparison | None,
) -> tuple[Check, ...]:
    found = [
        checks.treated_clusters(trust.inference_allowed(sample), rule=plan.verdict),
        _small_samples(sample, plan=plan),
        checks.direction(headline, others=others),
        checks.balance(compared.balance if compared else (), rule=plan.verdict),
    ]
    # a county's figure is shared by its places, so neighbours would only show the effect itself
    if design.outcome.geography == "place":
        found.append(_spillover(design, panel, plan=plan))
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


def _weighted_by_people(sample: Sample) -> Sample:
    """Rows weighted by the unit's median population; units without one are left out and counted."""
    people = sample.frame.groupby("unit")["people"].transform("median")
    known = people.notna()
    lost = sample.frame.loc[~known]
    gone = Exclusion(reason="no population to weight by", rows=len(lost), units=int(lost["unit"].nunique()))
    frame = sample.frame.loc[known].assign(weight=people[known] / people[known].mean())
    return dataclasses.replace(sample, frame=frame, exclusions=(*sample.exclusions, *([gone] if gone.rows else [])))


def _synthetic(sample: Sample) -> tuple[dict[str, Any], ...]:
    """Each exposed unit beside its synthetic control; nothing where none can be made."""
    try:
        return tuple(found.as_dict() for found in synthetic_control.synthetic_controls(sample))
    except EstimationError:
        return ()


def _spillover(design: Design, panel: Panel, *, plan: Plan) -> Check:
    """Did places never exposed move differently where a neighbour was?"""
    asks = dataclasses.replace(design.with_analysis(unit="place"), exposure="neighbours")
    outcome, least = design.outcome, plan.verdict.minimum_treated_clusters
    try:
        sample = asks.sample(panel)
        found = _group_time(sample, design.analysis.headline, analysis=asks.analysis)
    except EstimationError as error:
        return checks.spillover(None, why=str(error), scale=outcome.scale, unit=outcome.unit)
    allowed = trust.inference_allowed(sample)
    weight = min(allowed.n_treated, allowed.effective)
    if weight < least:
        why = (
            f"{found.n_treated} such places lie in {allowed.n_treated} counties, which decide an estimate as "
            f"{weight:.0f} of equal weight would: too few to tell."
        )
        return checks.spillover(None, why=why, scale=outcome.scale, unit=outcome.unit)
    return checks.spillover(found, why="", scale=outcome.scale, unit=outcome.unit)


def _group_time(sample: Sample, name: Headline, *, analysis: Analysis) -> Estimate:
    """An estimator of effects by cohort and time, averaged as planned."""
    if name == "callaway_santanna":
        # leads are measured against the last period before exposure, as the lags are
        return estimate_by_name(sample, name, aggregation=analysis.aggregation, base_period="universal")
    # with cohorts as small as ours the leave-out errors keep their coverage, the plain ones do not (93 % of 95 %)
    found = estimate_by_name(sample, name, aggregation=analysis.aggregation, std_errors="bjs_leave_out")
    if math.isfinite(found.std_error):
        return found
    plain = estimate_by_name(sample, name, aggregation=analysis.aggregation)
    said = "a cohort lies in one county, so leave-out errors do not exist; the plain ones, used instead, are too small"
    return dataclasses.replace(
        plain, settings={**plain.settings, "warnings": [*plain.settings.get("warnings", []), said]}
    )


def _judged(headline: Estimate, lottery: Lottery) -> dict[str, Any]:
    """The more cautious of clustered inference and inference by lot: the larger error, the larger p-value."""
    by_lot = not headline.std_error > lottery.std_error
    std_error = lottery.std_error if by_lot else headline.std_error
    low, high = inference.confidence_interval(headline.estimate, std_error)
    after = [term for term in headline.group_time if term.time >= term.cohort]
    weights = [term.n_treated for term in after]
    years = sum(w * (term.time - term.cohort) for w, term in zip(weights, after, strict=True)) / sum(weights)
    values = {
        "estimate": headline.estimate,
        "std_error": std_error,
        "ci_low": low,
        "ci_high": high,
        "p_value": max(value for value in (lottery.p_value, headline.p_value) if not math.isnan(value)),
        "minimum_detectable_effect": inference.minimum_detectable_effect(std_error),
        "lot_p_value": lottery.p_value,
        "lot_std_error": lottery.std_error,
        "years_after": years,
    }
    known: dict[str, Any] = {name: value if math.isfinite(value) else None for name, value in values.items()}
    return {**known, "draws": lottery.draws, "basis": "lot" if by_lot else "cluster"}


def _one_unit(sample: Sample, lottery: Lottery) -> Check:
    labels = sample.frame.drop_duplicates("unit").set_index("unit")["label"]
    return checks.one_unit(lottery, labels=labels.to_dict())


def _noise_shares(sample: Sample, panel: Panel, *, design: Design) -> dict[str, float]:
    """Mean sampling variance over the variance within units after year effects, exposed and comparison apart."""
    key, suffix = ("county_id", "_main_county") if design.analysis.unit == "county" else ("place_id", "")
    column = f"{design.outcome.variable}{suffix}_std_error"
    if column not in panel.frame or design.outcome.transform != "none":
        return {"all units": math.nan}
    errors = panel.frame.drop_duplicates([key, "year"]).set_index([key, "year"])[column]
    rows = sample.frame
    sampled = errors.reindex(pd.MultiIndex.from_frame(rows[["unit", "time"]])).to_numpy()
    codes = [pd.factorize(rows[name])[0] for name in ("unit", "time")]
    shares = {}
    for group, chosen in (("exposed units", rows["cohort"].notna()), ("comparison units", rows["cohort"].isna())):
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


def _trends(sample: Sample, *, treatment: Treatment) -> Iterable[dict[str, Any]]:
    """Yearly means over the units that have a figure in every year of the sample."""
    frame = sample.frame
    years = frame["time"].nunique()
    complete = frame.loc[frame.groupby("unit")["time"].transform("size") == years]
    treated = complete["cohort"].notna()
    names = [treatment.exposed.format(units="cities"), treatment.unexposed.format(units="cities")]
    if sample.settings["unit"] == "county":
        names = [f"counties with {names[0]}", "counties without"]
    for group, rows in zip(names, (complete[treated], complete[~treated]), strict=True):
        for year, chosen in rows.groupby("time"):
            yield {
                "group": group[0].upper() + group[1:],
                "year": int(str(year)),
                "mean": float(chosen["outcome"].mean()),
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
        return {"year": year, "failed": str(error)}
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
        yield (
            f"{len(undated)} cities are known to be {design.treatment.exposed.format(units='cities')}, but not since "
            f"when: {listed(sorted(undated), limit=20)}. They are kept out on both sides."
        )
    if analysis.unit == "county":
        yield (
            f"The figure is measured for counties, so counties are compared: {sample.n_treated} of {sample.n_units} "
            "are exposed. A county counts as exposed from the first year in which one of its cities of 30,000 people "
            "or more does; a city that lies in several counties counts in the one where most of its people live. "
            "The effect is diluted by the rest of the county."
        )
    yield from design.treatment.caveats
    first, last = int(sample.frame["time"].min()), int(sample.frame["time"].max())
    for year, why in outcome.gaps.items():
        if first < int(year) < last:
            yield f"{year} is missing: {why}."


def _edition_notes(design: Design) -> Iterable[str]:
    """Which awards count, and that since V3 a good outcome is a condition of the award."""
    editions = design.analysis.editions
    counted = listed([edition.upper() for edition in editions])
    if "v3" in editions:
        yield (
            f"First awards under {counted} count as exposed. Since August 2022 (V3) good outcomes are a condition of "
            "certification, so part of any difference is the award's own rule and no effect of it."
        )
    else:
        yield (
            f"Only first awards under {counted} count as exposed. Since August 2022 (V3) a city has to show good "
            "outcomes to be certified; cities first certified since then are comparison until their award, then leave."
        )


def _method_cards(found: Sequence[Estimate], *, with_synthetic: bool) -> dict[str, str]:
    names = dict.fromkeys([*(item.estimator for item in found), *([synthetic_control.NAME] if with_synthetic else [])])
    cards = {name: method_card(name) for name in names if name != matched_difference.NAME}
    if matched_difference.NAME in names:
        cards[matched_difference.NAME] = inspect.cleandoc(matched_difference.__doc__ or "")
    return cards


def _provenance(panel: Panel, plan: Plan, *, design: Design) -> dict[str, Any]:
    """Sources of the outcome, the treatment and the covariates, with vintages and licences, and all hashes."""
    used = {design.outcome.source, design.treatment.table.split("/")[0]}
    for name in (*design.analysis.covariates, *design.analysis.cross_section_covariates):
        for variable in catalog.covariates()[name].variables:
            used.add(panel.column(variable).source)
    if design.analysis.cross_section_year is not None:
        used.add("youth_neet_puma")
    entries = raw.load_sources()
    return {
        "sources": [_origin(entries[name]) for name in sorted(used)],
        "plan_title": plan.title,
        "plan_written": plan.written,
        "plan_sha256": plan.sha256,
        "data_sha256": panel.data_hash,
        "version": __version__,
        "seed": plan.seed,
    }


def _origin(source: dict[str, Any]) -> dict[str, str]:
    vintages = sorted({str(table["vintage"]) for table in source["tables"].values()})
    return {
        "series": source["title"],
        "publisher": source["publisher"],
        "vintage": ", ".join(vintages),
        "licence": source["licence"],
    }


def judge(found: Sequence[Evidence], *, plan: Plan) -> list[Evidence]:
    """The same evidence with q-values over each family and the verdict of the plan's rule."""
    q_by_outcome: dict[str, float] = {}
    for family in {item.family for item in found}:
        members = [item for item in found if item.family == family]
        p_values = [_p_value(item) for item in members]
        for item, q_value in zip(members, multiplicity.q_values(p_values), strict=True):
            q_by_outcome[item.outcome] = q_value
    judged = []
    for item in found:
        q_value = q_by_outcome[item.outcome]
        corrected = dataclasses.replace(item, q_value=q_value if math.isfinite(q_value) else None)
        decision = verdict.decide(corrected, outcome=catalog.outcome(item.outcome), rule=plan.verdict)
        judged.append(dataclasses.replace(corrected, verdict=decision))
    return judged


def _p_value(item: Evidence) -> float:
    value = item.judged.get("p_value")
    return math.nan if value is None else float(value)


__all__ = ["assemble", "compare", "judge"]
