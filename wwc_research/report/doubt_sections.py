"""The parts of an outcome page that say how far to believe it: plan, variations, sensitivity, curve, calibration.

In: evidence. Out: a Block each, nothing computed. A part that has nothing to show says so in one sentence.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from wwc_research import catalog, inference
from wwc_research.catalog import Outcome
from wwc_research.evidence.evidence import Evidence
from wwc_research.messages import Message, counted, message
from wwc_research.report import calibration_plot, html, sensitivity_plots, specification_plot, wording
from wwc_research.report.html import Block
from wwc_research.report.method_cards import ESTIMATORS

# the short names of the checks that have no meaning for some designs (the keys of `evidence.APPLIES_TO`)
CHECKS: Final = {
    "sure_rows": message("Awards that are not sure"),
    "undated": message("Exposed places without a date"),
    "later_editions": message("Awards under later editions"),
    "placebo_cohorts": message("Placebo cohorts"),
    "exposure_rule": message("The year from which exposure counts"),
    "by_county": message("Places collapsed to counties"),
    "neighbours_out": message("Without neighbours of the exposed"),
    "rings": message("Rings of distance"),
    "spillover": message("Spillover"),
    "survey_noise": message("Sampling error of the survey"),
    "corrections": message("Declared corrections"),
    "placebo_outcomes": message("Placebo outcomes"),
    "placebo_dates": message("Placebo dates"),
    "pre_trends": message("Trends before exposure"),
    "anticipation": message("Anticipation"),
    "balance": message("Balance"),
    "overlap": message("Overlap"),
    "one_cohort": message("One cohort left out"),
}
_RESULTS: Final = {"fit": message("fit"), "in_doubt": message("in doubt"), "unfit": message("unfit")}
_AGREES: Final = {True: message("yes"), False: message("no"), None: message("cannot tell")}
_SECTIONS: Final = {
    "hidden_bias": message("Hidden bias in the matched pairs"),
    "e_value": message("E-value"),
    "roster_errors": message("Errors in the roster"),
}
# the families of the plan that ships; another plan's are called by their own names
_NOT_ASKED: Final = {"failed": message("not asked")}


def plan(evidence: Evidence) -> Block:
    """Whether the run follows the locked plan, with every deviation."""
    found = evidence.plan_status
    title = html.heading(message("Was this planned?"))
    if not found:
        none = message("This page was made without a comparison with the locked plan.")
        return title + html.paragraph(none)
    expected = {
        "better": message("The plan expected better outcomes where there is exposure; both directions were tested."),
        "worse": message("The plan expected worse outcomes where there is exposure; both directions were tested."),
        "either": message("The plan expected no direction; both were tested."),
    }[evidence.rules["expected"]]
    parts = [title, html.paragraph(found["sentence"]), html.paragraph(expected)]
    if found["deviations"]:
        parts += [
            html.paragraph(message("Every deviation from the locked plan:")),
            html.bullets(found["deviations"]),
        ]
    if found["notes"]:
        parts.append(html.fold(message("Differences that change nothing that was asked"), html.bullets(found["notes"])))
    return html.joined(parts)


def many_questions(evidence: Evidence) -> Block:
    """The p-value by itself and corrected over the family, and the halves of the exposed units."""
    found = evidence.adjusted
    title = html.heading(message("One question among many"))
    if not found:
        none = message("The p-values have not been corrected for the number of questions.")
        return title + html.paragraph(none)
    values = {
        message("By itself, the more cautious of two"): evidence.judged.get("p_value"),
        message("Holm: corrected for any false finding in the family"): found["holm"],
        message("Romano-Wolf, by joint lots: the same, with what the questions share"): found["romano_wolf"],
        message("The one the verdict rests on"): found["family"],
        message("q-value (Benjamini-Hochberg): corrected for the share of false findings"): found["benjamini_hochberg"],
    }
    rows = [{"how": how, "value": wording.p_value(value)} for how, value in values.items()]
    text = counted(
        "The family “{family}” holds {n} question, over outcomes and treatments. The more questions are asked, the "
        "likelier one of them shows something by chance alone. Each family is held to 5 % by itself; a report of "
        "several families is held to as many times that.",
        "The family “{family}” holds {n} questions, over outcomes and treatments. The more questions are asked, the "
        "likelier one of them shows something by chance alone. Each family is held to 5 % by itself; a report of "
        "several families is held to as many times that.",
        n=found["n_hypotheses"],
        family=wording.family(evidence),
    )
    columns = {"how": message("How"), "value": message("p or q")}
    caption = message("p-values, alone and corrected")
    parts = [title, html.paragraph(text), html.table(rows, caption=caption, columns=columns, name="p_values")]
    return html.joined([*parts, _groups(evidence)] if evidence.groups else parts)


def _groups(evidence: Evidence) -> Block:
    outcome = catalog.outcome(evidence.outcome)
    names = {
        "smaller": message("The smaller half of the exposed"),
        "larger": message("The larger half of the exposed"),
    }
    rows = [
        {
            "group": names[row["group"]],
            "n_treated": wording.count(row["n_treated"]),
            "estimate": row["failed"] or wording.bare_effect(row["estimate"], outcome),
            "interval": wording.bare_interval(None if row["failed"] else row, outcome),
            "p_value": wording.p_value(row["p_value"]),
            "holm": wording.p_value(row["holm"]),
        }
        for row in evidence.groups
    ]
    columns = {
        "group": message("Group, by population"),
        "n_treated": message("Exposed"),
        "estimate": message("Difference, {unit}", unit=outcome.unit),
        "interval": message("95 % interval"),
        "p_value": message("p"),
        "holm": message("p, corrected"),
    }
    caption = message("Halves of the exposed, a family of their own")
    return html.table(rows, caption=caption, columns=columns, name="halves")


def variations(evidence: Evidence) -> Block:
    """The headline made otherwise in one point each, and placebos where nothing should be seen."""
    title = html.heading(message("Does it hold when one thing changes?"))
    if not evidence.variations:
        return title + html.paragraph(message("No variation of the design could be made."))
    outcome = catalog.outcome(evidence.outcome)
    rows = [
        {
            "title": row["title"],
            **_in_its_unit(row["estimate"], outcome),
            "n_treated": _count(row["estimate"]),
            "agrees": _AGREES[row["agrees"]],
        }
        for row in evidence.variations
    ]
    columns = {
        "title": message("Changed"),
        "estimate": message("Difference, {unit}", unit=outcome.unit),
        "interval": message("95 % interval"),
        "n_treated": message("Exposed"),
        "agrees": message("As it should be"),
    }
    intro = message(
        "The first rows ask the same question with one thing changed, and should lie near the headline. Placebos and "
        "rings ask where nothing should be seen, and should lie near zero. Intervals are by clustered errors, those of "
        "placebos by the more cautious of clustered errors and lots."
    )
    caption = message("Variations and placebos")
    parts = [title, html.paragraph(intro), html.table(rows, caption=caption, columns=columns, name="variations")]
    failed = [_because(row["title"], row["failed"]) for row in evidence.variations if row["failed"]]
    if failed:
        parts.append(html.fold(message("Variations that could not be made, and why"), html.bullets(failed)))
    if evidence.not_applicable:
        why = [_because(CHECKS.get(name, name), reason) for name, reason in evidence.not_applicable.items()]
        parts.append(html.fold(message("Questions that have no meaning here, and why"), html.bullets(why)))
    return html.joined(parts)


def _because(what: str, why: str) -> Message:
    return message("{what}: {why}", what=what, why=why)


def _in_its_unit(values: Mapping[str, Any] | None, outcome: Outcome) -> dict[str, Message]:
    """Estimate and interval of a row; a placebo outcome has a scale and a unit of its own."""
    none = wording.number(None, decimals=0)
    if not values:
        return {"estimate": none, "interval": none}
    scale = values.get("scale")
    if scale is None:
        return {
            "estimate": wording.bare_effect(values["estimate"], outcome),
            "interval": wording.bare_interval(values, outcome),
        }
    estimate = wording.number(scale * values["estimate"], decimals=2, signed=True)
    if values["unit"] != outcome.unit:
        estimate = message("{value} {unit}", value=estimate, unit=values["unit"])
    error = (values.get("judged") or {}).get("std_error")
    if error is None:
        return {"estimate": estimate, "interval": none}
    low, high = (
        wording.number(scale * end, decimals=2, signed=True)
        for end in inference.confidence_interval(values["estimate"], error)
    )
    return {"estimate": estimate, "interval": message("{low} to {high}", low=low, high=high)}


def _count(values: Mapping[str, Any] | None) -> Message:
    """Exposed units behind an estimate; a lead of the headline has no count of its own."""
    return wording.number(values["n_treated"] if values else None, decimals=0)


def sensitivity(evidence: Evidence) -> Block:
    """What it would take to overturn the finding."""
    outcome = catalog.outcome(evidence.outcome)
    found = evidence.sensitivity
    title = html.heading(message("What would it take to overturn this?"))
    if not found:
        return title + html.paragraph(message("No sensitivity analysis was made."))
    parts = [title, *_trends(found, outcome), *_omitted(found, outcome)]
    for name, words in _SECTIONS.items():
        values = found.get(name)
        if values is not None:
            parts += [html.heading(words, level=3), html.paragraph(_said(values))]
            parts += [html.bullets(values["assumed"])] if values.get("assumed") else []
    roster = found.get("roster_errors", {})
    if "rows" in roster:
        rows = [
            {
                "what": row["sentence"],
                "low": wording.bare_effect(row["low"], outcome),
                "high": wording.bare_effect(row["high"], outcome),
            }
            for row in roster["rows"]
        ]
        columns = {"what": message("If"), "low": message("5th percentile"), "high": message("95th percentile")}
        caption = message("Estimates under wrong rosters, {unit}", unit=outcome.unit)
        table = html.table(rows, caption=caption, columns=columns, name="wrong_rosters")
        parts.append(html.fold(message("Wrong rosters, one by one"), table))
    return html.joined(parts)


def _said(values: Mapping[str, Any]) -> str:
    sentence: str = values.get("sentence", "")
    return sentence or message(
        "Could not be made: {reason}", reason=values.get("failed", message("no reason was kept"))
    )


def _trends(found: Mapping[str, Any], outcome: Outcome) -> Sequence[Block]:
    """Rambachan and Roth's bounds, and what the test of the leads could have missed."""
    values = found.get("parallel_trends", _NOT_ASKED)
    parts = [html.heading(message("If trends were not parallel"), level=3), html.paragraph(_said(values))]
    rows = [row for row in values.get("rows", ()) if row["kind"] == "relative_magnitudes"]
    if rows:
        parts.append(_bounds(values, rows, outcome))
    parts.append(html.paragraph(_said(found.get("pretrend_power", _NOT_ASKED))))
    parts.append(
        html.paragraph(
            message(
                "Both speak of the group-time averages against the last year before exposure, with errors by lot, and "
                "the second of a Wald test of their leads at 5 % (Roth 2022); the check on this page is another test "
                "of the same years, by lot."
            )
        )
    )
    return parts


def _bounds(values: Mapping[str, Any], rows: Sequence[Mapping[str, Any]], outcome: Outcome) -> Block:
    """The interval under ever larger breaks of the trends, drawn and as figures."""
    axes = sensitivity_plots.trend_violations(
        rows,
        original={"ci_low": values["ci_low"], "ci_high": values["ci_high"]},
        scale=outcome.scale,
        unit=wording.axis_unit(outcome),
        label=message("Largest step after exposure, in multiples of the largest before"),
        breakdown=values["m_bar_breakdown"],
    )
    listed = [
        {
            "size": size,
            "low": wording.bare_effect(row["ci_low"], outcome),
            "high": wording.bare_effect(row["ci_high"], outcome),
        }
        for size, row in (
            (message("parallel trends"), values),
            *((message("{size:g}", size=row["size"]), row) for row in rows),
        )
    ]
    columns = {
        "size": message("Multiple of the largest step before"),
        "low": message("From"),
        "high": message("To"),
    }
    caption = message("95 % intervals by size of the violation, {unit}", unit=outcome.unit)
    data = html.table(listed, caption=caption, columns=columns, name="parallel_trends")
    first, last = listed[0], listed[-1]
    alt = message(
        "95 % interval of the effect by the violation of parallel trends allowed: {low} to {high} {unit} with none, "
        "{last_low} to {last_high} with steps {size:g} times the largest before exposure.",
        low=first["low"],
        high=first["high"],
        unit=outcome.unit,
        last_low=last["low"],
        last_high=last["high"],
        size=rows[-1]["size"],
    )
    caption = message(
        "Bounds of Rambachan and Roth (2023): the interval if trends after exposure may break by so many times the "
        "largest step seen before it. Event study and its covariance by lot."
    )
    return html.figure(axes, alt=alt, caption=caption, data=data)


def _omitted(found: Mapping[str, Any], outcome: Outcome) -> Sequence[Block]:
    """Cinelli and Hazlett's bounds of the regression of the change since baseline."""
    values = found.get("omitted_variables", _NOT_ASKED)
    parts = [
        html.heading(message("If something that matters was left out"), level=3),
        html.paragraph(_said(values)),
    ]
    if "bounds" not in values:
        return parts
    rows = [
        {
            "title": row["title"],
            "times": wording.number(row["times"], decimals=0 if float(row["times"]).is_integer() else 1),
            "estimate": wording.bare_effect(row["estimate"], outcome),
        }
        for row in values["bounds"]
        if row["estimate"] is not None
    ]
    columns = {
        "title": message("As strong as"),
        "times": message("Times"),
        "estimate": message("Estimate left, {unit}", unit=outcome.unit),
    }
    caption = message("The estimate with an omitted variable as strong as a known one")
    data = html.table(rows, caption=caption, columns=columns, name="omitted_variables")
    axes = sensitivity_plots.omitted_variable_contour(
        values["contour"],
        values["bounds"],
        estimate=values["estimate"],
        scale=outcome.scale,
        unit=wording.axis_unit(outcome),
    )
    alt = message(
        "The estimate of {effect} under an omitted variable, by how much of exposure and of the outcome it explains; "
        "it reaches zero where both are {robustness:.1%}.",
        effect=wording.effect(values["estimate"], outcome),
        robustness=values["robustness_value"],
    )
    caption = message(
        "Bounds of Cinelli and Hazlett (2020) for the regression of the change since the baseline years on exposure "
        "and the planned covariates. Markers: a variable as strong as that covariate."
    )
    return [*parts, html.figure(axes, alt=alt, caption=caption, data=data)]


def specification_curve(evidence: Evidence) -> Block:
    """Every defensible specification, sorted, with the decisions beneath."""
    title = html.heading(message("Every defensible way at once"))
    curve = evidence.specifications
    if not curve:
        return title + html.paragraph(message("The specification curve was not made."))
    outcome = catalog.outcome(evidence.outcome)
    axes = specification_plot.specification_curve(curve, scale=outcome.scale, unit=wording.axis_unit(outcome))
    alt = message(
        "{n} estimates in rising order, from {lowest} to {highest}, the middle one {median}, with the decisions behind "
        "each.",
        n=curve["n_specifications"],
        lowest=wording.bare_effect(curve["lowest"], outcome),
        highest=wording.effect(curve["highest"], outcome),
        median=wording.bare_effect(curve["median"], outcome),
    )
    caption = message(
        "Each column is one specification that the plan declares: above its estimate with a 95 % interval, below the "
        "decisions taken. Shaded: where estimates would lie if chance had chosen the exposed."
    )
    parts = [
        title,
        html.paragraph(curve["sentence"]),
        html.paragraph(curve["joint"]["sentence"]),
        html.figure(axes, alt=alt, caption=caption, data=_specifications(curve, outcome)),
    ]
    left = [
        counted("{n} combination: {reason}", "{n} combinations: {reason}", n=row["combinations"], reason=row["reason"])
        for row in curve["skipped"]
    ]
    names = list(curve["levels"])
    left += [
        message(
            "{choices:semicolons}: {reason}",
            choices=[_choice(name, level) for name, level in zip(names, row[:-1], strict=True)],
            reason=row[-1],
        )
        for row in curve["failed"]
    ]
    shown = html.fold(message("Combinations that are not drawn"), html.bullets(left))
    return html.joined([*parts, shown] if left else parts)


def _choice(name: str, level: str) -> str:
    """What the figure calls one level of a decision."""
    return specification_plot.DECISIONS[name][1].get(level, level)


_GATHERED: Final = ("estimator", "comparison", "window")


def _specifications(curve: Mapping[str, Any], outcome: Outcome) -> Block:
    """All specifications by method, comparison and years: where else they leave the plan, estimate, interval, p by lot.

    Each group is named once: its words in every row were a third of the table.
    """
    at = {name: place for place, name in enumerate(curve["columns"])}
    planned = None if curve["headline_row"] is None else curve["rows"][curve["headline_row"]]
    levels: Mapping[str, Sequence[str]] = curve["levels"]

    def told(values: Sequence[Any], names: Sequence[str]) -> list[str]:
        return [
            _choice(name, levels[name][values[at[name]]])
            for name in names
            if name == "estimator" or planned is None or values[at[name]] != planned[at[name]]
        ]

    rows = []
    for values in curve["rows"]:
        other = told(values, [name for name in levels if name not in _GATHERED])
        ends = {f"ci_{end}": values[at[f"ci_{end}"]] for end in ("low", "high")}
        rows.append(
            {
                **{name: levels[name][values[at[name]]] for name in levels},
                "group": message("{choices:semicolons}", choices=told(values, [n for n in levels if n in _GATHERED])),
                "choices": message("{choices:semicolons}", choices=other) if other else message("as planned"),
                "estimate": wording.bare_effect(values[at["estimate"]], outcome),
                "interval": wording.bare_interval(ends, outcome),
                "lot": wording.p_value(values[at["lot_p_value"]]),
                **{end: wording.bare_effect(value, outcome) for end, value in ends.items()},
            }
        )
    columns = {
        "choices": message("Other than planned") if planned else message("Decisions"),
        "estimate": message("Difference, {unit}", unit=outcome.unit),
        "interval": message("95 % interval"),
        "lot": message("p by lot"),
    }
    caption = message("All specifications by method, in rising order")
    kept = (*levels, "estimate", "ci_low", "ci_high", "lot")
    return html.table(rows, caption=caption, columns=columns, name="specifications", group="group", saved=kept)


def calibration(evidence: Evidence) -> Block:
    """The calibration card: how each estimator does on placebo units of this very panel."""
    title = html.heading(message("Do the methods work on these data?"))
    card = evidence.calibration
    if not card:
        none = message("The estimators were not tried on placebo units, so no difference is claimed.")
        return title + html.paragraph(none)
    outcome = catalog.outcome(evidence.outcome)
    axes = calibration_plot.power_curve(card, titles=ESTIMATORS, scale=outcome.scale, unit=wording.axis_unit(outcome))
    judged = next(
        row for row in card["rows"] if row["basis"] == "as_judged" and row["estimator"] == evidence.headline.name
    )
    alt = message(
        "Share of placebo draws in which an effect is found, by its size. As judged here, the method that heads the "
        "page ({method}) finds an effect of {size} in four draws of five.",
        method=ESTIMATORS[evidence.headline.name],
        size=wording.effect(judged["minimum_detectable_effect"], outcome, signed=False),
    )
    caption = message(
        "Effects of known size laid over placebo units drawn from places never exposed, at the real cohort sizes and "
        "dates; simulated exposures, real outcomes."
    )
    doubt = message(
        "Placebo units and the lots of this page are drawn from nearly the same places, so that as judged the share of "
        "false findings is small almost by construction. The card says nothing about how cities select themselves."
    )
    lines = [_because(_method(row), row["sentence"]) for row in card["rows"]]
    return html.joined(
        [
            title,
            html.paragraph(card["sentence"]),
            html.paragraph(judged["sentence"]),
            html.paragraph(doubt),
            _card(card, outcome),
            html.figure(axes, alt=alt, caption=caption, data=_power(card, outcome)),
            html.fold(message("What each line of the card says"), html.bullets(lines)),
        ]
    )


def _method(row: Mapping[str, Any]) -> str:
    title = ESTIMATORS.get(row["estimator"], row["estimator"])
    return message("{title}, as judged on this page", title=title) if row["basis"] == "as_judged" else title


def _card(card: Mapping[str, Any], outcome: Outcome) -> Block:
    rows = [
        {
            "title": _method(row),
            "draws": wording.count(row["draws"]),
            "bias": wording.bare_effect(row["bias"], outcome),
            "coverage": wording.percent(row["coverage"]),
            "false": wording.percent(row["false_positive_share"]),
            "mde": wording.number(_shown(row["minimum_detectable_effect"], outcome), decimals=outcome.decimals),
            "result": _RESULTS[row["result"]],
        }
        for row in card["rows"]
    ]
    columns = {
        "title": message("Method"),
        "draws": message("Draws"),
        "bias": message("Bias, {unit}", unit=outcome.unit),
        "coverage": message("Truth in the 95 % interval"),
        "false": message("True nulls called significant"),
        "mde": message("Found 4 times in 5"),
        "result": message("Result"),
    }
    caption = message("Calibration card (simulated placebo exposures)")
    return html.table(rows, caption=caption, columns=columns, name="calibration_card")


def _power(card: Mapping[str, Any], outcome: Outcome) -> Block:
    """The points of the power curves, every few, as a table: size of the effect, share found by each method."""
    drawn = {row["estimator"]: dict(row["power"]) for row in card["rows"] if row["basis"] == "as_judged"}
    sizes = sorted({size for curve in drawn.values() for size in curve})
    kept = sizes[:: max(1, len(sizes) // 10)]
    columns = {"size": message("True effect, {unit}", unit=outcome.unit)}
    columns |= {name: ESTIMATORS.get(name, name) for name in drawn}
    rows = [
        {
            "size": wording.number(_shown(size, outcome), decimals=outcome.decimals + 1),
            **{name: wording.percent(curve.get(size)) for name, curve in drawn.items()},
        }
        for size in kept
    ]
    caption = message("Share of placebo draws that find an effect, by its size")
    return html.table(rows, caption=caption, columns=columns, name="power")


def _shown(value: float | None, outcome: Outcome) -> float | None:
    return None if value is None else wording.in_unit(value, outcome)


__all__ = [
    "CHECKS",
    "calibration",
    "many_questions",
    "plan",
    "sensitivity",
    "specification_curve",
    "variations",
]
