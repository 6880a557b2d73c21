"""The parts of an outcome page, one function a part: evidence in, a Block out, nothing computed.

A part that has nothing to show says so in one sentence.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from wwc_research import catalog
from wwc_research.catalog import Outcome, Treatment
from wwc_research.evidence.evidence import Evidence, Named
from wwc_research.report import html, plots, synthetic_plots, wording
from wwc_research.report.html import Block

CHECK_WORDS = {"passed": "passed", "failed": "failed", "cannot_tell": "cannot tell"}


def load(path: str | Path) -> Evidence:
    """The evidence that a page shows."""
    return Evidence.read(Path(path))


def _entries(evidence: Evidence) -> tuple[Outcome, Treatment]:
    return catalog.outcome(evidence.outcome), catalog.treatment(evidence.treatment)


def _available(evidence: Evidence) -> list[tuple[Named, Mapping[str, Any]]]:
    named = (evidence.headline, *evidence.alternatives)
    return [(item, item.estimate) for item in named if item.estimate is not None]


def headline(evidence: Evidence) -> Block:
    """Title, the sentence to quote, how big, how sure, what the data could have shown, what not to claim."""
    outcome, treatment = _entries(evidence)
    values = evidence.judged
    verdict = wording.verdict_title(evidence, outcome)
    parts = [
        html.block(
            '<h1>{title}</h1><p class="kicker">{treatment}: does it go with better outcomes for residents?</p>',
            title=outcome.title,
            treatment=treatment.title,
        ),
        html.block(
            '<section class="answer" aria-label="The answer"><p class="verdict {code}">{verdict}</p>'
            '<p class="sentence">{sentence}</p></section>',
            code=evidence.verdict.code if evidence.verdict else "cannot_tell",
            verdict=verdict,
            sentence=wording.headline_sentence(evidence, outcome, treatment),
        ),
    ]
    if values.get("std_error") is not None:
        size = (
            f"{wording.effect(values['estimate'], outcome)} (95 % interval {wording.interval(values, outcome)}), "
            f"{wording.horizon(evidence)}. In other words, {wording.natural_size(values, outcome)}. "
            f"For this outcome, {outcome.direction} is better."
        )
        parts += [html.heading("How big"), html.paragraph(size)]
    parts += [
        html.heading("How sure, and why"),
        html.paragraph(wording.how_sure(evidence)),
        html.paragraph(wording.graded(evidence)),
        html.paragraph(wording.how_judged(evidence)),
        html.paragraph(wording.smallest_visible(evidence, outcome)),
        html.heading("What not to claim"),
        html.bullets(wording.not_to_claim(evidence, outcome, treatment)),
    ]
    if evidence.notes:
        parts += [html.heading("What the data allow here"), html.bullets(evidence.notes)]
    return html.joined(parts)


def event_study(evidence: Evidence) -> Block:
    """Effects by years from exposure, with the leads that show whether trends were parallel before."""
    outcome, _ = _entries(evidence)
    title = html.heading("Before and after exposure")
    terms = (evidence.headline.estimate or {}).get("event_study", [])
    if not terms:
        return title + html.paragraph("No event study could be estimated for this outcome.")
    axes = plots.event_study(terms, scale=outcome.scale, unit=outcome.unit)
    leads = [term for term in terms if term["event_time"] < 0 and term["ci_low"] is not None]
    lags = [term for term in terms if term["event_time"] >= 0 and term["ci_low"] is not None]
    rows = [
        {
            "event_time": term["event_time"],
            "estimate": wording.bare_effect(term["estimate"], outcome),
            "interval": f"{wording.bare_effect(term['ci_low'], outcome)} to "
            f"{wording.bare_effect(term['ci_high'], outcome)}",
        }
        for term in terms
    ]
    data = html.table(
        rows,
        caption=f"Effects by years from exposure, {outcome.unit}",
        columns={"event_time": "Years from exposure", "estimate": "Difference", "interval": "95 % interval"},
    )
    alt = (
        f"Effects by years from first exposure. Before it the estimates lie {_range(leads, outcome)}, and "
        f"{_excluding_zero(leads)} of {len(leads)} intervals exclude zero; after it they lie {_range(lags, outcome)}, "
        f"and {_excluding_zero(lags)} of {len(lags)} do."
    )
    against = {
        "imputation": "later years against all years before exposure, earlier ones against the years before them",
    }.get(evidence.headline.name, "all measured against the last year before exposure")
    caption = (
        f"{evidence.headline.title}: estimates by years from first exposure with 95 % intervals (errors clustered by "
        f"county), {against}. Points left of the dashed line should lie near "
        "zero if the compared groups moved alike before."
    )
    return title + html.figure(axes, alt=alt, caption=caption, data=data)


def _range(terms: Sequence[Mapping[str, Any]], outcome: Outcome) -> str:
    if not terms:
        return "nowhere (there are none)"
    values = [term["estimate"] for term in terms]
    return f"between {wording.bare_effect(min(values), outcome)} and {wording.effect(max(values), outcome)}"


def _excluding_zero(terms: Sequence[Mapping[str, Any]]) -> int:
    return sum(term["ci_low"] > 0 or term["ci_high"] < 0 for term in terms)


def trends(evidence: Evidence) -> Block:
    """Yearly means of exposed and comparison units."""
    outcome, _ = _entries(evidence)
    title = html.heading("The raw figures by year")
    if not evidence.trends:
        return title + html.paragraph("No unit has a figure in every year, so raw means would compare different units.")
    label = f"{outcome.title}, {outcome.unit}"
    scale = outcome.scale
    if outcome.transform == "log":
        label, scale = f"{outcome.title}, natural logarithm", 1.0
    axes = plots.trends(evidence.trends, scale=scale, label=label.replace("percentage points", "%"))
    rows = [
        {
            "year": row["year"],
            "group": row["group"],
            "mean": wording.number(scale * row["mean"], decimals=2),
            "n_units": f"{row['n_units']:,}",
        }
        for row in evidence.trends
    ]
    data = html.table(
        rows,
        caption=f"Mean by year: {outcome.title}",
        columns={"year": "Year", "group": "Group", "mean": "Mean", "n_units": "Units"},
    )
    ends = {row["group"]: row for row in evidence.trends}
    starts = {row["group"]: row for row in reversed(evidence.trends)}
    first, second = ends if len(ends) == 2 else (next(iter(ends)),) * 2
    gaps = [
        wording.number(scale * (rows[first]["mean"] - rows[second]["mean"]), decimals=2, signed=True)
        for rows in (starts, ends)
    ]
    alt = (
        f"Mean by year, {starts[first]['year']} to {ends[first]['year']}. "
        f"{first} less {second[0].lower()}{second[1:]}: {gaps[0]} at the start and {gaps[1]} at the end."
    )
    caption = "Means of units with a figure in every year shown. Raw figures: nothing is adjusted."
    return title + html.figure(axes, alt=alt, caption=caption, data=data)


def synthetic(evidence: Evidence) -> Block:
    """Each exposed unit beside its synthetic control, where the plan asks for them; an empty block elsewhere."""
    if not evidence.synthetic:
        return html.block("")
    outcome, _ = _entries(evidence)
    intro = (
        "Each exposed unit is set beside a mix of unexposed ones, weighted so that the mix moved like it before. The "
        "same is done for every unexposed unit as if it had been exposed: a gap says something only if few of those "
        "placebos show as large a one. With so few units the smallest p-value there can be is not small."
    )
    parts = [html.heading("Each exposed unit and its synthetic control"), html.paragraph(intro)]
    rows = [
        {
            "label": row["label"],
            "exposed_from": row["exposed_from"],
            "effect": wording.bare_effect(row["effect"], outcome),
            "fit": wording.number(_scaled(row["pre_rmspe"], outcome), decimals=outcome.decimals),
            "p_value": f"{row['ratio_p_value']:.2f} (of {row['n_placebos']} placebos)",
            "in_time": f"{row['in_time']['ratio_p_value']:.2f}, as if from {row['in_time']['exposed_from']}"
            if row["in_time"]
            else "past too short",
        }
        for row in evidence.synthetic
    ]
    columns = {
        "label": "Exposed",
        "exposed_from": "From",
        "effect": f"Mean gap since, {outcome.unit}",
        "fit": "Misfit before",
        "p_value": "p by placebos",
        "in_time": "p of a placebo date",
    }
    parts.append(html.table(rows, caption="Synthetic controls", columns=columns))
    return html.joined([*parts, *(_one_synthetic(row, outcome) for row in evidence.synthetic)])


def _one_synthetic(row: Mapping[str, Any], outcome: Outcome) -> Block:
    axes = synthetic_plots.placebo_gaps(
        row["series"],
        row["placebos"],
        exposed_from=row["exposed_from"],
        scale=outcome.scale,
        unit=outcome.unit,
        name=row["label"],
    )
    misfit = wording.number(_scaled(row["pre_rmspe"], outcome), decimals=outcome.decimals)
    alt = (
        f"{row['label']} less its synthetic control: misfit before {row['exposed_from']} {misfit} {outcome.unit}, mean "
        f"gap since {wording.effect(row['effect'], outcome)}, p by placebos {row['ratio_p_value']:.2f}."
    )
    mix = "; ".join(f"{donor['label']} {donor['weight']:.0%}" for donor in row["donors"][:4])
    caption = (
        f"{row['label']}: outcome less its synthetic control (most of it {mix}), over the same for every placebo. A "
        "gap that leaves the placebos only after the dashed line would be a sign of an effect."
    )
    values = [
        {
            "time": point["time"],
            "exposed": wording.number(outcome.scale * point["exposed"], decimals=outcome.decimals),
            "synthetic": wording.number(outcome.scale * point["synthetic"], decimals=outcome.decimals),
            "gap": wording.bare_effect(point["gap"], outcome),
        }
        for point in row["series"]
    ]
    columns = {"time": "Year", "exposed": "Exposed", "synthetic": "Its synthetic", "gap": "Gap"}
    data = html.table(values, caption=f"{row['label']} and its synthetic control", columns=columns)
    return html.figure(axes, alt=alt, caption=caption, data=data)


def estimates(evidence: Evidence) -> Block:
    """Every estimate of the effect side by side, the minimum detectable effect beside each."""
    outcome, _ = _entries(evidence)
    title = html.heading("Every way of asking")
    available = _available(evidence)
    failed = [item for item in (evidence.headline, *evidence.alternatives) if item.failed]
    parts = [title]
    if available:
        drawn = [
            {"title": item.title, "is_headline": item.name == evidence.headline.name, **values}
            for item, values in available
        ]
        axes = plots.estimates(drawn, scale=outcome.scale, unit=outcome.unit)
        alt = f"{len(drawn)} estimates of the same question. " + " ".join(
            f"{item.title}: {wording.effect(values['estimate'], outcome)}." for item, values in available
        )
        rows = [
            {
                "title": item.title,
                "estimate": wording.bare_effect(values["estimate"], outcome),
                "interval": f"{wording.bare_effect(values['ci_low'], outcome)} to "
                f"{wording.bare_effect(values['ci_high'], outcome)}",
                "p_value": wording.p_value(values["p_value"]),
                "mde": wording.number(_scaled(values["minimum_detectable_effect"], outcome), decimals=outcome.decimals),
                "n_treated": f"{values['n_treated']:,}",
                "n_units": f"{values['n_units']:,}",
                "n_clusters": f"{values['n_clusters']:,}",
            }
            for item, values in available
        ]
        columns = {
            "title": "Method",
            "estimate": f"Difference, {outcome.unit}",
            "interval": "95 % interval",
            "p_value": "p",
            "mde": "Smallest visible",
            "n_treated": "Exposed",
            "n_units": "Units",
            "n_clusters": "Clusters",
        }
        caption = "Filled: the estimate that heads the page, as planned. Hollow: the same question asked another way."
        parts.append(html.figure(axes, alt=alt, caption=caption))
        parts.append(html.table(rows, caption=f"Estimates for {outcome.title}", columns=columns))
        parts.append(html.paragraph("p-values and intervals of single rows are not corrected for their number."))
        warnings = (evidence.headline.estimate or {}).get("settings", {}).get("warnings", [])
        if warnings:
            parts += [html.paragraph("What the estimator itself warns of:"), html.bullets(warnings)]
    if failed:
        parts.append(html.bullets([f"{item.title} could not be estimated: {item.failed}" for item in failed]))
    return html.joined(parts)


def _scaled(value: float | None, outcome: Outcome) -> float | None:
    return None if value is None else value * outcome.scale


def checks(evidence: Evidence) -> Block:
    """Each question put to the finding and its answer."""
    rows = [
        {"asks": check.asks, "result": CHECK_WORDS[check.result], "sentence": wording.typeset(check.sentence)}
        for check in evidence.checks
    ]
    columns = {"asks": "Question", "result": "Answer", "sentence": "Why"}
    return html.heading("Checks") + html.table(rows, caption="Checks on the finding", columns=columns)


def balance(evidence: Evidence) -> Block:
    """How alike the matched units are, before and after matching."""
    title = html.heading("Who is compared in the matched comparison")
    if not evidence.balance:
        return title + html.paragraph("No matched comparison could be made.")
    limit = evidence.rules["balance_limit"]
    known = [row for row in evidence.balance if row["smd_before"] is not None and row["smd_after"] is not None]
    if not known:
        return title + html.paragraph("No characteristic varies among the exposed, so balance cannot be measured.")
    axes = plots.love_plot(known, limit=limit)
    worst = max(known, key=lambda row: abs(row["smd_after"]))
    alt = (
        f"Standardised differences of {len(known)} characteristics before and after matching. The largest "
        f"after matching is {abs(worst['smd_after']):.2f}, in {worst['title']}."
    )
    rows = [
        {
            "title": row["title"],
            **{
                key: wording.number(row[key], decimals=2)
                for key in ("smd_before", "smd_after", "variance_ratio_before", "variance_ratio_after")
            },
        }
        for row in evidence.balance
    ]
    columns = {
        "title": "Characteristic",
        "smd_before": "Difference before",
        "smd_after": "Difference after",
        "variance_ratio_before": "Variance ratio before",
        "variance_ratio_after": "Variance ratio after",
    }
    data = html.table(rows, caption="Balance, in standard deviations of the exposed", columns=columns)
    caption = "Differences between exposed and comparison units in standard deviations; nearer zero is more alike."
    return html.joined(
        [title, html.figure(axes, alt=alt, caption=caption, data=data), *_overlap(evidence), _matched(evidence)]
    )


def _overlap(evidence: Evidence) -> list[Block]:
    """How the propensity scores of both groups lie on one scale; nothing where none were estimated."""
    if not evidence.overlap:
        return []
    check = next(check for check in evidence.checks if check.name == "overlap")
    caption = "Shares of both groups by propensity score, before and after matching."
    return [html.figure(plots.overlap_plot(evidence.overlap), alt=check.sentence, caption=caption)]


def _matched(evidence: Evidence) -> Block:
    rows = [{"treated": row["treated"], "controls": "; ".join(row["controls"])} for row in evidence.matched]
    columns = {"treated": "Exposed", "controls": "Compared with"}
    who = html.fold("Who was matched with whom", html.table(rows, caption="Matched sets", columns=columns))
    matched = next((item.estimate for item in evidence.alternatives if item.name == "matched_difference"), None)
    lost = matched["exclusions"] if matched else []
    return who + html.fold("Left out of the matched comparison", _exclusion_table(lost, caption="Exclusions, matched"))


def cohorts(evidence: Evidence) -> Block:
    """When the units that count as exposed were first exposed, and which they are."""
    rows = [
        {
            "cohort": row["cohort"],
            "n_units": f"{row['n_units']:,}",
            "labels": "; ".join(row["labels"]),
        }
        for row in evidence.cohorts
    ]
    columns = {"cohort": "First exposed", "n_units": "Units", "labels": "Which"}
    return html.heading("Who counts as exposed") + html.table(rows, caption="Cohorts in the sample", columns=columns)


def exclusions(evidence: Evidence) -> Block:
    """Every row that did not reach the headline estimate, with its reason."""
    title = html.heading("What was left out")
    values = evidence.headline.estimate
    listed = values["exclusions"] if values else []
    if not listed:
        return title + html.paragraph("Nothing was left out.")
    return title + _exclusion_table(listed, caption="Exclusions, in the order applied")


def _exclusion_table(listed: Sequence[Mapping[str, Any]], *, caption: str) -> Block:
    rows = [{"reason": row["reason"], "rows": f"{row['rows']:,}", "units": f"{row['units']:,}"} for row in listed]
    return html.table(rows, caption=caption, columns={"reason": "Reason", "rows": "Rows", "units": "Units"})


def cross_section(evidence: Evidence) -> Block:
    """The matched cross-section, where the outcome has one; an empty block elsewhere."""
    outcome, treatment = _entries(evidence)
    found = evidence.cross_section
    if found is None:
        return html.block("")
    title = html.heading(f"Cities side by side in {found['year']}")
    if found["failed"]:
        return title + html.paragraph(f"The cross-section could not be made: {found['failed']}")
    values = found["estimate"]
    text = (
        f"In {found['year']}, {values['n_treated']:,} {treatment.exposed.format(units='cities')} differed from as many "
        f"matched on size, income and composition by {wording.effect(values['estimate'], outcome)} (95 % interval "
        f"{wording.interval(values, outcome)}). A difference in one year is not a change: nothing is known of "
        "these cities before, so it says nothing about what made the difference."
    )
    rows = [
        {
            "title": row["title"],
            "smd_before": wording.number(row["smd_before"], decimals=2),
            "smd_after": wording.number(row["smd_after"], decimals=2),
        }
        for row in found["balance"]
    ]
    columns = {"title": "Characteristic", "smd_before": "Difference before", "smd_after": "Difference after"}
    lost = [f"{row['reason']}: {row['units']:,} cities" for row in found["exclusions"]]
    parts = [
        title,
        html.paragraph(text),
        html.paragraph(found["balance_check"]["sentence"]),
        html.table(rows, caption="Balance of the cross-section", columns=columns),
    ]
    return html.joined([*parts, html.fold("Left out of the cross-section", html.bullets(lost))] if lost else parts)


def methods(evidence: Evidence) -> Block:
    """The method cards of the estimators used, and the traps of the outcome and the treatment."""
    outcome, treatment = _entries(evidence)
    cards = [
        html.fold(name, html.block("<pre>{card}</pre>", card=card)) for name, card in evidence.method_cards.items()
    ]
    known = html.bullets([*outcome.traps, *treatment.caveats])
    parts = [
        html.heading("Methods and known weaknesses"),
        html.paragraph(f"{outcome.description} {treatment.description}"),
        known,
    ]
    return html.joined([*parts, *cards])


def provenance(evidence: Evidence) -> Block:
    """Where every figure comes from, and the hashes of data and plan."""
    found = evidence.provenance
    rows = [{key: str(source[key]) for key in source} for source in found["sources"]]
    columns = {"series": "Series", "publisher": "Publisher", "vintage": "Vintage", "licence": "Licence"}
    settings = [
        f"Plan: {found['plan_title']}, written {found['plan_written']}, sha256 {found['plan_sha256'][:16]}",
        f"Data: sha256 {found['data_sha256'][:16]}",
        f"Package: wwc-research {found['version']}",
        f"Seed: {found['seed']}",
    ]
    return (
        html.heading("Sources and versions")
        + html.table(rows, caption="Sources of this page", columns=columns)
        + html.bullets(settings)
    )
