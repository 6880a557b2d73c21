"""The parts of an outcome page that say how far to believe it: plan, variations, sensitivity, curve, calibration.

In: evidence. Out: a Block each, nothing computed. A part that has nothing to show says so in one sentence.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from wwc_research import catalog, inference
from wwc_research.catalog import Outcome
from wwc_research.evidence.evidence import Evidence
from wwc_research.report import calibration_plot, html, sensitivity_plots, specification_plot, wording
from wwc_research.report.html import Block

ESTIMATORS: Final = {
    "imputation": "Imputation",
    "callaway_santanna": "Callaway and Sant'Anna",
    "two_way_fe": "Two-way fixed effects",
    "event_study": "Event study",
    "random_trends": "A trend for each unit",
    "panel_matching": "Matched on the years before",
    "synthetic_did": "Synthetic difference-in-differences",
}
_AGREES: Final = {True: "yes", False: "no", None: "cannot tell"}
_SECTIONS: Final = {
    "hidden_bias": "Hidden bias in the matched pairs",
    "e_value": "E-value",
    "roster_errors": "Errors in the roster",
}


def plan(evidence: Evidence) -> Block:
    """Whether the run follows the locked plan, with every deviation."""
    found = evidence.plan_status
    title = html.heading("Was this planned?")
    if not found:
        return title + html.paragraph("This page was made without a comparison with the locked plan.")
    expected = {
        "better": "The plan expected better outcomes where there is exposure; both directions were tested.",
        "worse": "The plan expected worse outcomes where there is exposure; both directions were tested.",
        "either": "The plan expected no direction; both were tested.",
    }[evidence.rules["expected"]]
    parts = [title, html.paragraph(found["sentence"]), html.paragraph(expected)]
    if found["deviations"]:
        parts += [html.paragraph("Every deviation from the locked plan:"), html.bullets(found["deviations"])]
    if found["notes"]:
        parts.append(html.fold("Differences that change nothing that was asked", html.bullets(found["notes"])))
    return html.joined(parts)


def many_questions(evidence: Evidence) -> Block:
    """The p-value by itself and corrected over the family, and the halves of the exposed units."""
    found = evidence.adjusted
    title = html.heading("One question among many")
    if not found:
        return title + html.paragraph("The p-values have not been corrected for the number of questions.")
    outcome = catalog.outcome(evidence.outcome)
    rows = [
        {"how": "By itself, the more cautious of two", "value": evidence.judged.get("p_value")},
        {"how": "Holm: corrected for any false finding in the family", "value": found["holm"]},
        {"how": "Romano-Wolf, by joint lots: the same, with what the questions share", "value": found["romano_wolf"]},
        {"how": "The one the verdict rests on", "value": found["family"]},
        {
            "how": "q-value (Benjamini-Hochberg): corrected for the share of false findings",
            "value": found["benjamini_hochberg"],
        },
    ]
    shown = [{"how": row["how"], "value": wording.p_value(row["value"])} for row in rows]
    text = (
        f"The family “{evidence.family}” holds {found['n_hypotheses']} questions, over outcomes and treatments. The "
        "more questions are asked, the likelier one of them shows something by chance alone. Each family is held to "
        "5 % by itself; a report of several families is held to as many times that."
    )
    parts = [
        title,
        html.paragraph(text),
        html.table(shown, caption="p-values, alone and corrected", columns={"how": "How", "value": "p or q"}),
    ]
    return html.joined([*parts, _groups(evidence, outcome)] if evidence.groups else parts)


def _groups(evidence: Evidence, outcome: Outcome) -> Block:
    names = {"smaller": "The smaller half of the exposed", "larger": "The larger half of the exposed"}
    rows = [
        {
            "group": names[row["group"]],
            "n_treated": f"{row['n_treated']:,}",
            "estimate": row["failed"] or wording.bare_effect(row["estimate"], outcome),
            "interval": _interval(None if row["failed"] else row, outcome),
            "p_value": wording.p_value(row["p_value"]),
            "holm": wording.p_value(row["holm"]),
        }
        for row in evidence.groups
    ]
    columns = {
        "group": "Group, by population",
        "n_treated": "Exposed",
        "estimate": f"Difference, {outcome.unit}",
        "interval": "95 % interval",
        "p_value": "p",
        "holm": "p, corrected",
    }
    return html.table(rows, caption="Halves of the exposed, a family of their own", columns=columns)


def variations(evidence: Evidence) -> Block:
    """The headline made otherwise in one point each, and placebos where nothing should be seen."""
    title = html.heading("Does it hold when one thing changes?")
    if not evidence.variations:
        return title + html.paragraph("No variation of the design could be made.")
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
        "title": "Changed",
        "estimate": f"Difference, {outcome.unit}",
        "interval": "95 % interval",
        "n_treated": "Exposed",
        "agrees": "As it should be",
    }
    intro = (
        "The first rows ask the same question with one thing changed, and should lie near the headline. Placebos and "
        "rings ask where nothing should be seen, and should lie near zero. Intervals are by clustered errors, those of "
        "placebos by the more cautious of clustered errors and lots."
    )
    parts = [title, html.paragraph(intro), html.table(rows, caption="Variations and placebos", columns=columns)]
    failed = [f"{row['title']}: {row['failed']}" for row in evidence.variations if row["failed"]]
    if failed:
        parts.append(html.fold("Variations that could not be made, and why", html.bullets(failed)))
    if evidence.not_applicable:
        why = [f"{name.replace('_', ' ')}: {reason}" for name, reason in evidence.not_applicable.items()]
        parts.append(html.fold("Questions that have no meaning here, and why", html.bullets(why)))
    return html.joined(parts)


def _in_its_unit(values: Mapping[str, Any] | None, outcome: Outcome) -> dict[str, str]:
    """Estimate and interval of a row; a placebo outcome has a scale and a unit of its own."""
    if not values:
        return {"estimate": "–", "interval": "–"}
    scale = values.get("scale")
    if scale is None:
        return {"estimate": wording.bare_effect(values["estimate"], outcome), "interval": _interval(values, outcome)}
    unit = "" if values["unit"] == outcome.unit else f" {values['unit']}"
    error = (values.get("judged") or {}).get("std_error")
    shown = wording.number(scale * values["estimate"], decimals=2, signed=True)
    if error is None:
        return {"estimate": shown + unit, "interval": "–"}
    low, high = inference.confidence_interval(values["estimate"], error)
    ends = [wording.number(scale * end, decimals=2, signed=True) for end in (low, high)]
    return {"estimate": shown + unit, "interval": f"{ends[0]} to {ends[1]}"}


def _interval(values: Mapping[str, Any] | None, outcome: Outcome) -> str:
    if not values or values["ci_low"] is None:
        return "–"
    return f"{wording.bare_effect(values['ci_low'], outcome)} to {wording.bare_effect(values['ci_high'], outcome)}"


def _count(values: Mapping[str, Any] | None) -> str:
    """Exposed units behind an estimate; a lead of the headline has no count of its own."""
    return f"{values['n_treated']:,}" if values and values["n_treated"] is not None else "–"


def sensitivity(evidence: Evidence) -> Block:
    """What it would take to overturn the finding."""
    outcome = catalog.outcome(evidence.outcome)
    found = evidence.sensitivity
    title = html.heading("What would it take to overturn this?")
    if not found:
        return title + html.paragraph("No sensitivity analysis was made.")
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
        columns = {"what": "If", "low": "5th percentile", "high": "95th percentile"}
        table = html.table(rows, caption=f"Estimates under wrong rosters, {outcome.unit}", columns=columns)
        parts.append(html.fold("Wrong rosters, one by one", table))
    return html.joined(parts)


def _said(values: Mapping[str, Any]) -> str:
    said = values.get("sentence") or f"Could not be made: {values.get('failed', 'no reason was kept')}"
    return wording.typeset(str(said))


def _trends(found: Mapping[str, Any], outcome: Outcome) -> Sequence[Block]:
    """Rambachan and Roth's bounds, and what the test of the leads could have missed."""
    values = found.get("parallel_trends", {"failed": "not asked"})
    parts = [html.heading("If trends were not parallel", level=3), html.paragraph(_said(values))]
    rows = [row for row in values.get("rows", ()) if row["kind"] == "relative_magnitudes"]
    if rows:
        axes = sensitivity_plots.trend_violations(
            rows,
            original={"ci_low": values["ci_low"], "ci_high": values["ci_high"]},
            scale=outcome.scale,
            unit=outcome.unit,
            label="Largest step after exposure, in multiples of the largest before",
            breakdown=values["m_bar_breakdown"],
        )
        columns = {"size": "Multiple of the largest step before", "low": "From", "high": "To"}
        every = [
            {"size": "parallel trends", "low": values["ci_low"], "high": values["ci_high"]},
            *({"size": f"{row['size']:g}", "low": row["ci_low"], "high": row["ci_high"]} for row in rows),
        ]
        shown = [
            {**row, "low": wording.bare_effect(row["low"], outcome), "high": wording.bare_effect(row["high"], outcome)}
            for row in every
        ]
        data = html.table(shown, caption=f"95 % intervals by size of the violation, {outcome.unit}", columns=columns)
        last = shown[-1]
        alt = (
            f"95 % interval of the effect by the violation of parallel trends allowed: {shown[0]['low']} to "
            f"{shown[0]['high']} {outcome.unit} with none, {last['low']} to {last['high']} with steps {last['size']} "
            "times the largest before exposure."
        )
        caption = (
            "Bounds of Rambachan and Roth (2023): the interval if trends after exposure may break by so many times the "
            "largest step seen before it. Event study and its covariance by lot."
        )
        parts.append(html.figure(axes, alt=alt, caption=caption, data=data))
    parts.append(html.paragraph(_said(found.get("pretrend_power", {"failed": "not asked"}))))
    parts.append(
        html.paragraph(
            "Both speak of the group-time averages against the last year before exposure, with errors by lot, and the "
            "second of a Wald test of their leads at 5 % (Roth 2022); the check on this page is another test of the "
            "same years, by lot."
        )
    )
    return parts


def _omitted(found: Mapping[str, Any], outcome: Outcome) -> Sequence[Block]:
    """Cinelli and Hazlett's bounds of the regression of the change since baseline."""
    values = found.get("omitted_variables", {"failed": "not asked"})
    parts = [html.heading("If something that matters was left out", level=3), html.paragraph(_said(values))]
    if "bounds" not in values:
        return parts
    known = [row for row in values["bounds"] if row["estimate"] is not None]
    rows = [
        {
            "title": row["title"],
            "times": f"{row['times']:g}",
            "estimate": wording.bare_effect(row["estimate"], outcome),
        }
        for row in known
    ]
    columns = {"title": "As strong as", "times": "Times", "estimate": f"Estimate left, {outcome.unit}"}
    data = html.table(rows, caption="The estimate with an omitted variable as strong as a known one", columns=columns)
    axes = sensitivity_plots.omitted_variable_contour(
        values["contour"], values["bounds"], estimate=values["estimate"], scale=outcome.scale, unit=outcome.unit
    )
    alt = (
        f"The estimate of {wording.effect(values['estimate'], outcome)} under an omitted variable, by how much of "
        f"exposure and of the outcome it explains; it reaches zero where both are {values['robustness_value']:.1%}."
    )
    caption = (
        "Bounds of Cinelli and Hazlett (2020) for the regression of the change since the baseline years on exposure "
        "and the planned covariates. Markers: a variable as strong as that covariate."
    )
    return [*parts, html.figure(axes, alt=alt, caption=caption, data=data)]


def specification_curve(evidence: Evidence) -> Block:
    """Every defensible specification, sorted, with the decisions beneath."""
    title = html.heading("Every defensible way at once")
    curve = evidence.specifications
    if not curve:
        return title + html.paragraph("The specification curve was not made.")
    outcome = catalog.outcome(evidence.outcome)
    axes = specification_plot.specification_curve(curve, scale=outcome.scale, unit=outcome.unit)
    alt = (
        f"{curve['n_specifications']} estimates in rising order, from {wording.bare_effect(curve['lowest'], outcome)} "
        f"to {wording.effect(curve['highest'], outcome)}, the middle one "
        f"{wording.bare_effect(curve['median'], outcome)}, "
        "with the decisions behind each."
    )
    caption = (
        "Each column is one specification that the plan declares: above its estimate with a 95 % interval, below the "
        "decisions taken. Shaded: where estimates would lie if chance had chosen the exposed."
    )
    parts = [
        title,
        html.paragraph(curve["sentence"]),
        html.paragraph(curve["joint"]["sentence"]),
        html.figure(axes, alt=alt, caption=caption, data=_specifications(curve, outcome)),
    ]
    left = [f"{row['combinations']} combinations: {row['reason']}" for row in curve["skipped"]]
    left += [f"{', '.join(str(part) for part in row[:-1])}: {row[-1]}" for row in curve["failed"]]
    return html.joined([*parts, html.fold("Combinations that are not drawn", html.bullets(left))] if left else parts)


def _specifications(curve: Mapping[str, Any], outcome: Outcome) -> Block:
    """All specifications as a table: decisions in words, estimate, interval, p by lot."""
    names = list(curve["levels"])
    at = {name: place for place, name in enumerate(curve["columns"])}
    rows = []
    for values in curve["rows"]:
        decided = [str(curve["levels"][name][values[at[name]]]).replace("_", " ") for name in names]
        low, high = (wording.bare_effect(values[at[end]], outcome) for end in ("ci_low", "ci_high"))
        rows.append(
            {
                "choices": ", ".join(decided),
                "estimate": wording.bare_effect(values[at["estimate"]], outcome),
                "interval": f"{low} to {high}",
                "lot": wording.p_value(values[at["lot_p_value"]]),
            }
        )
    columns = {
        "choices": "Estimator, comparison, window, covariates, cohorts, weights",
        "estimate": f"Difference, {outcome.unit}",
        "interval": "95 % interval",
        "lot": "p by lot",
    }
    return html.table(rows, caption="All specifications, in rising order", columns=columns)


def calibration(evidence: Evidence) -> Block:
    """The calibration card: how each estimator does on placebo units of this very panel."""
    title = html.heading("Do the methods work on these data?")
    card = evidence.calibration
    if not card:
        return title + html.paragraph("The estimators were not tried on placebo units, so no difference is claimed.")
    outcome = catalog.outcome(evidence.outcome)
    axes = calibration_plot.power_curve(card, titles=ESTIMATORS, scale=outcome.scale, unit=outcome.unit)
    judged = next(
        row for row in card["rows"] if row["basis"] == "as_judged" and row["estimator"] == evidence.headline.name
    )
    mde = wording.effect(judged["minimum_detectable_effect"], outcome, signed=False)
    alt = (
        f"Share of placebo draws in which an effect is found, by its size. {ESTIMATORS[evidence.headline.name]} as "
        f"judged here finds an effect of {mde} in four draws of five."
    )
    caption = (
        "Effects of known size laid over placebo units drawn from places never exposed, at the real cohort sizes and "
        "dates; simulated exposures, real outcomes."
    )
    rows = [
        {
            "title": ESTIMATORS.get(row["estimator"], row["estimator"])
            + (", as judged on this page" if row["basis"] == "as_judged" else ""),
            "draws": f"{row['draws']:,}",
            "bias": wording.bare_effect(row["bias"], outcome),
            "coverage": _percent(row["coverage"]),
            "false": _percent(row["false_positive_share"]),
            "mde": wording.bare_effect(row["minimum_detectable_effect"], outcome).removeprefix("+"),
            "result": row["result"].replace("_", " "),
        }
        for row in card["rows"]
    ]
    columns = {
        "title": "Method",
        "draws": "Draws",
        "bias": f"Bias, {outcome.unit}",
        "coverage": "Truth in the 95 % interval",
        "false": "True nulls called significant",
        "mde": "Found 4 times in 5",
        "result": "Result",
    }
    return html.joined(
        [
            title,
            html.paragraph(card["sentence"]),
            html.paragraph(wording.typeset(judged["sentence"])),
            html.paragraph(
                "Placebo units and the lots of this page are drawn from nearly the same places, so that as judged "
                "the share of false findings is small almost by construction. The card says nothing about how cities "
                "select themselves."
            ),
            html.table(rows, caption="Calibration card (simulated placebo exposures)", columns=columns),
            html.figure(axes, alt=alt, caption=caption),
            html.fold("What each line of the card says", html.bullets([_line(row) for row in card["rows"]])),
        ]
    )


def _line(row: Mapping[str, Any]) -> str:
    judged = ", as judged" if row["basis"] == "as_judged" else ""
    return f"{ESTIMATORS.get(row['estimator'], row['estimator'])}{judged}: {wording.typeset(row['sentence'])}"


def _percent(share: float | None) -> str:
    return "–" if share is None else f"{100 * share:.1f} %"
