"""The parts of an outcome page for researchers, one function a part: evidence in, a Block out, nothing computed.

A part that has nothing to show says so in one sentence.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from itertools import groupby
from typing import Any, Final

from markupsafe import Markup

from wwc_research import catalog
from wwc_research.catalog import Outcome, Treatment
from wwc_research.evidence.evidence import Evidence, Named
from wwc_research.messages import Message, counted, message
from wwc_research.report import html, journal_tables, map_plot, plots, synthetic_plots, timeline_plot, wording
from wwc_research.report.html import Block
from wwc_research.report.journal_tables import JournalTable, Row
from wwc_research.report.language import shown
from wwc_research.report.method_cards import method_card
from wwc_research.report.svg import in_address

CHECK_WORDS: Final = {
    "passed": message("passed"),
    "failed": message("failed"),
    "cannot_tell": message("cannot tell"),
}
EVENT_WORDS: Final = {
    "first": message("first"),
    "level-up": message("rise to a higher level"),
    "recertified": message("renewed"),
}
_COMPARED: Final = {
    "not_yet": message("those not exposed yet, or never, in the same year"),
    "never": message("those never exposed in the years shown"),
}
BROAD = 9  # columns from which on a table may be wider than the text
_CLUSTERS: Final = {"county": message("county"), "place": message("city"), "state": message("state")}


def _entries(evidence: Evidence) -> tuple[Outcome, Treatment]:
    return catalog.outcome(evidence.outcome), catalog.treatment(evidence.treatment)


def _available(evidence: Evidence) -> list[tuple[Named, Mapping[str, Any]]]:
    named = (evidence.headline, *evidence.alternatives)
    return [(item, item.estimate) for item in named if item.estimate is not None]


def title_and_answer(evidence: Evidence) -> Block:
    """The head of every outcome page: title, question, verdict and the one sentence that may be quoted."""
    outcome, treatment = _entries(evidence)
    title = html.block(
        '<h1>{title}</h1><p class="kicker">{kicker}</p>',
        title=outcome.title,
        kicker=message("{treatment}: does it go with better outcomes for residents?", treatment=treatment.title),
    )
    box = html.block(
        '<section class="answer" aria-label="{label}"><p class="verdict {code}">{verdict}</p>'
        '<p class="sentence">{sentence}</p></section>',
        label=message("The answer"),
        code=evidence.verdict.code if evidence.verdict else "cannot_tell",
        verdict=wording.verdict_title(evidence, outcome),
        sentence=wording.headline_sentence(evidence, outcome, treatment),
    )
    return html.joined([title, box])


def headline(evidence: Evidence) -> Block:
    """Title, the sentence to quote, how big, how sure, what the data could have shown, what not to claim."""
    outcome, treatment = _entries(evidence)
    values = evidence.judged
    parts = [title_and_answer(evidence)]
    if values.get("std_error") is not None:
        size = message(
            "{best} (95 % interval {spread}), {horizon}. In other words, {natural}. {direction}",
            best=wording.effect(values["estimate"], outcome),
            spread=wording.interval(values, outcome),
            horizon=wording.horizon(evidence),
            natural=wording.natural_size(values, outcome),
            direction=_direction(outcome),
        )
        parts += [html.heading(message("How big")), html.paragraph(size)]
    parts += [
        html.heading(message("How sure, and why")),
        html.paragraph(wording.how_sure(evidence)),
        html.paragraph(wording.graded(evidence)),
        html.paragraph(wording.how_judged(evidence)),
        html.paragraph(wording.smallest_visible(evidence, outcome)),
        html.heading(message("What not to claim")),
        html.bullets(wording.not_to_claim(evidence, outcome, treatment)),
    ]
    if evidence.notes:
        parts += [html.heading(message("What the data allow here")), html.bullets(evidence.notes)]
    return html.joined(parts)


def _direction(outcome: Outcome) -> Message:
    if outcome.direction == "higher":
        return message("For this outcome, higher is better.")
    return message("For this outcome, lower is better.")


def estimand(evidence: Evidence) -> Block:
    """What exactly is estimated: unit, population, exposure, comparison, years, anticipation, averaging, inference."""
    outcome, treatment = _entries(evidence)
    title = html.heading(message("What exactly is estimated"))
    values = evidence.headline.estimate
    if values is None:
        why = message("No estimate could be made: {reason}", reason=evidence.headline.failed)
        return title + html.paragraph(why)
    settings = values["settings"]
    by_county = settings.get("unit") == "county"
    first, last = wording.years_analysed(evidence, treatment)
    rows = {
        message("Outcome"): outcome.noun,
        message("Scale"): message("{unit}. {direction}", unit=outcome.unit, direction=_direction(outcome)),
        message("Unit"): message("a county in a year") if by_county else message("a city in a year"),
        message("Population"): outcome.coverage,
        message("Exposure"): treatment.description,
        message("Compared with"): _COMPARED.get(settings.get("comparison"), message("matched units")),
        message("Years"): message("{first} to {last}", first=first, last=last),
        message("Anticipation"): _anticipation(settings.get("anticipation", 0)),
        message("Average"): values["estimand"],
        message("Estimator"): evidence.headline.title,
        message("Inference"): _inference(settings),
        message("Matters from"): wording.effect(evidence.minimum_effect_of_interest, outcome, signed=False),
    }
    editions = settings.get("editions")
    if treatment.is_award and editions:
        counts = message("first awards under {editions:list}", editions=[str(name).upper() for name in editions])
        rows[message("Awards that count")] = counts
    listed = [{"part": part, "here": here} for part, here in rows.items()]
    columns = {"part": message("Part"), "here": message("On this page")}
    return title + html.table(listed, caption=message("The estimand"), columns=columns, name="estimand")


def _anticipation(years: int) -> Message:
    if not years:
        return message("none: effects are looked for from the first exposed year on")
    return counted(
        "effects may begin {n} year before the first exposed one",
        "effects may begin {n} years before the first exposed one",
        n=years,
    )


def _inference(settings: Mapping[str, Any]) -> Message:
    kind = str(settings.get("cluster", "county"))
    return message(
        "the more cautious of errors clustered by {cluster} and of drawing the exposed by lot; 95 % intervals",
        cluster=_CLUSTERS.get(kind, kind),
    )


def event_study(evidence: Evidence) -> Block:
    """Effects by years from exposure, with the leads that show whether trends were parallel before."""
    outcome, _ = _entries(evidence)
    title = html.heading(message("Before and after exposure"))
    terms = (evidence.headline.estimate or {}).get("event_study", [])
    if not terms:
        return title + html.paragraph(message("No event study could be estimated for this outcome."))
    axes = plots.event_study([wording.row_in_unit(term, outcome) for term in terms], scale=1.0, unit=outcome.unit)
    rows = [
        {
            "event_time": wording.count(term["event_time"]),
            "estimate": wording.bare_effect(term["estimate"], outcome),
            "interval": wording.bare_interval(term, outcome),
        }
        for term in terms
    ]
    columns = {
        "event_time": message("Years from exposure"),
        "estimate": message("Difference"),
        "interval": message("95 % interval"),
    }
    caption = message("Effects by years from exposure, {unit}", unit=outcome.unit)
    data = html.table(rows, caption=caption, columns=columns, name="event_study")
    alt = message(
        "Effects by years from first exposure. {before} {after}",
        before=_lie(terms, outcome, before=True),
        after=_lie(terms, outcome, before=False),
    )
    return title + html.figure(axes, alt=alt, caption=_event_study_caption(evidence), data=data)


def _event_study_caption(evidence: Evidence) -> Message:
    if evidence.headline.name == "imputation":
        return message(
            "{title}: estimates by years from first exposure with 95 % intervals (errors clustered by county), later "
            "years against all years before exposure, earlier ones against the years before them. Points left of the "
            "dashed line should lie near zero if the compared groups moved alike before.",
            title=evidence.headline.title,
        )
    return message(
        "{title}: estimates by years from first exposure with 95 % intervals (errors clustered by county), all "
        "measured against the last year before exposure. Points left of the dashed line should lie near zero if the "
        "compared groups moved alike before.",
        title=evidence.headline.title,
    )


def _lie(terms: Sequence[Mapping[str, Any]], outcome: Outcome, *, before: bool) -> Message:
    """Where the estimates before or after exposure lie, and how many of their intervals exclude zero."""
    chosen = [term for term in terms if (term["event_time"] < 0) == before and term["ci_low"] is not None]
    if not chosen:
        return message("Before it there are none.") if before else message("After it there are none.")
    values = [term["estimate"] for term in chosen]
    found = {
        "low": wording.bare_effect(min(values), outcome),
        "high": wording.effect(max(values), outcome),
        "excluding": sum(term["ci_low"] > 0 or term["ci_high"] < 0 for term in chosen),
        "every": len(chosen),
    }
    if before:
        return message(
            "Before it the estimates lie between {low} and {high}, and {excluding} of {every} intervals exclude zero.",
            **found,
        )
    return message(
        "After it the estimates lie between {low} and {high}, and {excluding} of {every} intervals exclude zero.",
        **found,
    )


def trends(evidence: Evidence) -> Block:
    """Yearly means of exposed and comparison units."""
    title = html.heading(message("The raw figures by year"))
    if not evidence.trends:
        none = message("No unit has a figure in every year, so raw means would compare different units.")
        return title + html.paragraph(none)
    has_errors = has_survey_errors(evidence)
    is_log = _entries(evidence)[0].transform == "log"
    columns = {
        "year": message("Year"),
        "group": message("Group"),
        "mean": message("Geometric mean") if is_log else message("Mean"),
        **({"std_error": message("Standard error of the surveys")} if has_errors else {}),
        "n_units": message("Units"),
    }
    caption = (
        message("Geometric means of units with a figure in every year shown. Raw figures: nothing is adjusted.")
        if is_log
        else message("Means of units with a figure in every year shown. Raw figures: nothing is adjusted.")
    )
    bands = message(
        "Bands: 95 % intervals of the mean from the surveys' own sampling error; they say nothing of the differences "
        "between cities."
    )
    told = message("{parts:sentences}", parts=[caption, *([bands] if has_errors else [])])
    return title + means_by_year(evidence, caption=told, columns=columns)


def has_survey_errors(evidence: Evidence) -> bool:
    """Whether the surveys' own error is known for a mean of the raw figures, and in the unit that is shown."""
    is_log = _entries(evidence)[0].transform == "log"
    return not is_log and any(row["std_error"] is not None for row in evidence.trends)


def means_by_year(
    evidence: Evidence, *, caption: Message, columns: Mapping[str, Message], width: float = 7.2, height: float = 3.8
) -> Block:
    """The picture of the yearly means of both groups with its values; geometric means where logarithms are analysed.

    Parameters
    ----------
    columns
        Headings of the values by key, in order: year, group, mean, std_error, n_units, or some of them.
    width, height
        Of the picture in inches.
    """
    outcome, _ = _entries(evidence)
    is_log = outcome.transform == "log"
    scale = 1.0 if is_log else outcome.scale
    means = [{**row, "mean": math.exp(row["mean"]), "std_error": None} if is_log else row for row in evidence.trends]
    axes = plots.trends(means, scale=scale, label=_level(outcome), width=width, height=height)
    rows = [
        {
            "year": str(row["year"]),
            "group": row["group"],
            "mean": wording.number(scale * row["mean"], decimals=0 if is_log else 2),
            "std_error": wording.number(_scaled(row["std_error"], scale), decimals=2),
            "n_units": wording.count(row["n_units"]),
        }
        for row in means
    ]
    columns = {key: told for key, told in columns.items() if not (is_log and key == "std_error")}
    title = message("Mean by year: {title}", title=outcome.title)
    data = html.table(rows, caption=title, columns=columns, name="means_by_year")
    ends = {row["group"]: row for row in evidence.trends}
    starts = {row["group"]: row for row in reversed(evidence.trends)}
    first, second = ends if len(ends) == 2 else (next(iter(ends)),) * 2
    gaps = [side[first]["mean"] - side[second]["mean"] for side in (starts, ends)]
    start, end = (
        wording.effect(gap, outcome) if is_log else wording.number(scale * gap, decimals=2, signed=True) for gap in gaps
    )
    alt = message(
        "Mean by year, {first_year} to {last_year}. “{first}” less “{second}”: {start} at the start and {end} at the "
        "end.",
        first_year=starts[first]["year"],
        last_year=ends[first]["year"],
        first=first,
        second=second,
        start=start,
        end=end,
    )
    return html.figure(axes, alt=alt, caption=caption, data=data)


def _level(outcome: Outcome) -> Message:
    """What the axis of a level of the outcome is called; a difference in points is of levels in per cent."""
    if outcome.transform == "log":
        if not outcome.variable.endswith("_usd"):
            return Message(outcome.title)
        return message("{title}, {unit}", title=outcome.title, unit=message("dollars"))
    if outcome.unit == "percentage points":
        return message("{title}, %", title=outcome.title)
    return message("{title}, {unit}", title=outcome.title, unit=outcome.unit)


def synthetic(evidence: Evidence) -> Block:
    """Each exposed unit beside its synthetic control, where the plan asks for them; an empty block elsewhere."""
    if not evidence.synthetic:
        return html.block("")
    outcome, _ = _entries(evidence)
    intro = message(
        "Each exposed unit is set beside a mix of unexposed ones, weighted so that the mix moved like it before. The "
        "same is done for every unexposed unit as if it had been exposed: a gap says something only if few of those "
        "placebos show as large a one. With so few units the smallest p-value there can be is not small."
    )
    rows = [
        {
            "label": row["label"],
            "exposed_from": str(row["exposed_from"]),
            "effect": wording.bare_effect(row["effect"], outcome),
            "fit": wording.number(_scaled(row["pre_rmspe"], outcome.scale), decimals=outcome.decimals),
            "p_value": message("{p:.2f} (of {n} placebos)", p=row["ratio_p_value"], n=row["n_placebos"]),
            "in_time": message(
                "{p:.2f}, as if from {year}", p=row["in_time"]["ratio_p_value"], year=row["in_time"]["exposed_from"]
            )
            if row["in_time"]
            else message("past too short"),
        }
        for row in evidence.synthetic
    ]
    columns = {
        "label": message("Exposed"),
        "exposed_from": message("From"),
        "effect": message("Mean gap since, {unit}", unit=outcome.unit),
        "fit": message("Misfit before"),
        "p_value": message("p by placebos"),
        "in_time": message("p of a placebo date"),
    }
    parts = [
        html.heading(message("Each exposed unit and its synthetic control")),
        html.paragraph(intro),
        html.table(rows, caption=message("Synthetic controls"), columns=columns, name="synthetic_controls"),
    ]
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
    alt = message(
        "{label} less its synthetic control: misfit before {year} {misfit} {unit}, mean gap since {effect}, p by "
        "placebos {p:.2f}.",
        label=row["label"],
        year=row["exposed_from"],
        misfit=wording.number(_scaled(row["pre_rmspe"], outcome.scale), decimals=outcome.decimals),
        unit=outcome.unit,
        effect=wording.effect(row["effect"], outcome),
        p=row["ratio_p_value"],
    )
    largest = row["donors"][:4]
    caption = message(
        "{label}: outcome less its synthetic control (most of it {mix:semicolons}), over the same for every placebo. A "
        "gap that leaves the placebos only after the dashed line would be a sign of an effect.",
        label=row["label"],
        mix=[message("{name} {weight:.0%}", name=donor["label"], weight=donor["weight"]) for donor in largest],
    )
    values = [
        {
            "time": str(point["time"]),
            "exposed": wording.number(_scaled(point["exposed"], outcome.scale), decimals=outcome.decimals),
            "synthetic": wording.number(_scaled(point["synthetic"], outcome.scale), decimals=outcome.decimals),
            "gap": wording.bare_effect(point["gap"], outcome),
        }
        for point in row["series"]
    ]
    columns = {
        "time": message("Year"),
        "exposed": message("Exposed"),
        "synthetic": message("Its synthetic"),
        "gap": message("Gap"),
    }
    told = message("{label} and its synthetic control", label=row["label"])
    return html.figure(axes, alt=alt, caption=caption, data=html.table(values, caption=told, columns=columns))


def estimates(evidence: Evidence) -> Block:
    """Every estimate of the effect: drawn with the smallest effect each could see, and as a regression table."""
    outcome, _ = _entries(evidence)
    title = html.heading(message("Every way of asking"))
    available = [_as_judged(item, values, evidence) for item, values in _available(evidence)]
    if not available:
        every = (evidence.headline, *evidence.alternatives)
        told = [
            message("{title} could not be estimated: {reason}", title=item.title, reason=item.failed) for item in every
        ]
        return title + html.bullets(told)
    drawn = [
        {**wording.row_in_unit(values, outcome), "title": told, "is_headline": item.name == evidence.headline.name}
        for item, told, values in available
    ]
    axes = plots.estimates(drawn, scale=1.0, unit=outcome.unit)
    alt = message(
        "{n} estimates of the same question. {each:sentences}",
        n=len(drawn),
        each=[
            message("{title}: {effect}.", title=told, effect=wording.effect(values["estimate"], outcome))
            for _, told, values in available
        ],
    )
    rows = [
        {
            "title": told,
            "estimate": wording.bare_effect(values["estimate"], outcome),
            "interval": wording.bare_interval(values, outcome),
            "mde": wording.number(
                wording.row_in_unit(values, outcome)["minimum_detectable_effect"], decimals=outcome.decimals
            ),
        }
        for _, told, values in available
    ]
    columns = {
        "title": message("Method"),
        "estimate": message("Difference, {unit}", unit=outcome.unit),
        "interval": message("95 % interval"),
        "mde": message("Smallest visible"),
    }
    shown = message("Estimates for {title}, and the smallest effect each could see", title=outcome.title)
    caption = message(
        "Filled: the estimate that heads the page, as planned. Hollow: the same question asked another way."
    )
    data = html.table(rows, caption=shown, columns=columns, name="estimates")
    picture = html.figure(axes, alt=alt, caption=caption, data=data)
    return html.joined([title, picture, journal(journal_tables.regression_table(evidence, layout="rows"))])


def _as_judged(
    item: Named, values: Mapping[str, Any], evidence: Evidence
) -> tuple[Named, Message | str, Mapping[str, Any]]:
    """The estimate with its title and values; the headline by the inference that the page's answer rests on."""
    judged = evidence.judged
    if item.name != evidence.headline.name or judged.get("std_error") is None:
        return item, item.title, values
    known = {key: judged[key] for key in ("ci_low", "ci_high", "minimum_detectable_effect") if key in judged}
    return item, message("{title} (as judged)", title=item.title), {**values, **known}


def journal(table: JournalTable) -> Block:
    """A table as in a journal in the style of the page, with links that save it as CSV and as LaTeX.

    Without the styles in every cell that `journal_tables.to_html` gives it for Word: they are most of its bytes.
    """
    made = {"csv": journal_tables.to_csv(table), "tex": journal_tables.to_latex(table)}
    kinds = {"csv": ("text/csv", message("Download as CSV")), "tex": ("text/plain", message("Download as LaTeX"))}
    links = Markup(" · ").join(
        html.block(
            '<a download="{name}.{ending}" href="data:{kind};charset=utf-8,{text}">{label}</a>',
            name=table.name,
            ending=ending,
            kind=kind,
            text=Markup(in_address(made[ending])),
            label=label,
        ).html
        for ending, (kind, label) in kinds.items()
    )
    return html.block(
        '<div class="scroll{broad}" role="region" aria-label="{label}" tabindex="0"><table{figures}><caption>{caption}'
        '</caption><thead>{head}<tbody>{body}</table></div><p class="notes">{notes}</p>'
        '<p class="download">{links}</p>',
        broad=" broad" if len(table.columns) >= BROAD else "",
        label=message("Table: {caption}", caption=table.title),
        caption=table.title,
        figures=html.columns_of_figures([False, *(column.align != "left" for column in table.columns)]),
        head=_journal_head(table),
        body=Markup("").join(map(_journal_row, table.rows)),
        notes=message("{parts:sentences}", parts=table.notes),
        links=links,
    )


def _journal_head(table: JournalTable) -> Markup:
    """The headings, under those that span several columns where there are any."""
    above = Markup("")
    if any(column.span for column in table.columns):
        spans = [(span, sum(1 for _ in columns)) for span, columns in groupby(table.columns, key=lambda one: one.span)]
        cells = [
            Markup('<th scope="colgroup" colspan="{}">{}').format(size, shown(span))
            if span
            else Markup('<td colspan="{}">').format(size)
            for span, size in spans
        ]
        above = Markup("<tr><td>{}").format(Markup("").join(cells))
    titles = [table.stub, *(column.title for column in table.columns)]
    return Markup("{}<tr>{}").format(
        above, Markup("").join(Markup('<th scope="col">{}').format(shown(title)) for title in titles)
    )


def _journal_row(row: Row) -> Markup:
    cells = [Markup("<td>{}{}").format(shown(cell.shown), cell.stars) for cell in row.cells]
    return Markup('<tr><th scope="row">{}{}').format(shown(row.label), Markup("").join(cells))


def _scaled(value: float | None, scale: float) -> float | None:
    return None if value is None else value * scale


def checks(evidence: Evidence) -> Block:
    """Each question put to the finding and its answer."""
    title = html.heading(message("Checks"))
    if not evidence.checks:
        return title + html.paragraph(message("No check could be made."))
    rows = [
        {"asks": check.asks, "result": CHECK_WORDS[check.result], "sentence": check.sentence}
        for check in evidence.checks
    ]
    columns = {"asks": message("Question"), "result": message("Answer"), "sentence": message("Why")}
    caption = message("Checks on the finding")
    return title + html.table(rows, caption=caption, columns=columns, name="checks")


def balance(evidence: Evidence) -> Block:
    """How alike the matched units are, before and after matching."""
    title = html.heading(message("Who is compared in the matched comparison"))
    if not evidence.balance:
        return title + html.paragraph(message("No matched comparison could be made."))
    known = [row for row in evidence.balance if row["smd_before"] is not None and row["smd_after"] is not None]
    if not known:
        none = message("No characteristic varies among the exposed, so balance cannot be measured.")
        return title + html.paragraph(none)
    axes = plots.love_plot(known, limit=evidence.rules["balance_limit"])
    worst = max(known, key=lambda row: abs(row["smd_after"]))
    alt = message(
        "Standardised differences of {n} characteristics before and after matching. The largest after matching is "
        "{size:.2f}, in “{title}”.",
        n=len(known),
        size=abs(worst["smd_after"]),
        title=worst["title"],
    )
    caption = message(
        "Differences between exposed and comparison units in standard deviations; nearer zero is more alike."
    )
    picture = html.figure(axes, alt=alt, caption=caption, data=journal(journal_tables.balance_table(evidence)))
    return html.joined([title, picture, *_overlap(evidence), _matched(evidence)])


def _overlap(evidence: Evidence) -> list[Block]:
    """How the propensity scores of both groups lie on one scale; nothing where none were estimated."""
    if not evidence.overlap:
        return []
    sides = {
        "treated_before": message("Exposed, before"),
        "control_before": message("Others, before"),
        "treated_after": message("Exposed, after"),
        "control_after": message("Others, after"),
    }
    rows = [
        {
            "score": message("{low:.2f} to {high:.2f}", low=row["low"], high=row["high"]),
            **{side: wording.percent(row[side], decimals=0) for side in sides},
        }
        for row in evidence.overlap
    ]
    caption = message("Shares of both groups by propensity score, before and after matching.")
    columns = {"score": message("Score"), **sides}
    data = html.table(rows, caption=message("Units by propensity score"), columns=columns, name="overlap")
    alt = next((check.sentence for check in evidence.checks if check.name == "overlap"), None)
    told = alt or message("How many units of each group have a propensity score of each size.")
    return [html.figure(plots.overlap_plot(evidence.overlap), alt=told, caption=caption, data=data)]


def _matched(evidence: Evidence) -> Block:
    rows = [
        {"treated": row["treated"], "controls": message("{names:semicolons}", names=row["controls"])}
        for row in evidence.matched
    ]
    columns = {"treated": message("Exposed"), "controls": message("Compared with")}
    sets = html.table(rows, caption=message("Matched sets"), columns=columns, name="matched_sets")
    matched = next((item.estimate for item in evidence.alternatives if item.name == "matched_difference"), None)
    lost = _exclusion_table(matched["exclusions"] if matched else [], caption=message("Exclusions, matched"))
    return html.fold(message("Who was matched with whom"), sets) + html.fold(
        message("Left out of the matched comparison"), lost
    )


def cohorts(evidence: Evidence) -> Block:
    """When the units that count as exposed were first exposed, which they are, and where the dates are from."""
    _, treatment = _entries(evidence)
    source = message(
        "The dates are in the table {table} under data/raw, with the source of every row; the compilation stands "
        "among the sources at the end of this page.",
        table=f"{treatment.table}.csv",
    )
    table = journal(journal_tables.cohort_table(evidence))
    return html.joined([html.heading(message("Who counts as exposed")), table, html.paragraph(source)])


def places(evidence: Evidence) -> Block:
    """Where the exposed units lie and when each began, as a map and a timeline; nothing where neither is known."""
    _, treatment = _entries(evidence)
    many = wording.exposed_units(evidence, treatment)
    parts = []
    if any(row["cohort"] is not None for row in evidence.places):
        by_county = _is_by_county(evidence)
        others = map_plot.COMPARISON_COUNTIES if by_county else map_plot.COMPARISON_PLACES
        axes = map_plot.certified_map(evidence.places, comparison=others)
        alt = map_plot.map_finding(evidence.places, one=wording.exposed_unit(evidence, treatment), many=many)
        rows = [
            {"label": row["label"], "cohort": str(row["cohort"]), "level": timeline_plot.level_word(row["level"])}
            for row in evidence.places
            if row["cohort"] is not None
        ]
        columns = {
            "label": message("Which"),
            "cohort": message("First exposed"),
            "level": message("Level in the first exposed year"),
        }
        if not any(row["level"] for row in rows):
            columns.pop("level")
        data = html.table(rows, caption=message("Exposed units on the map"), columns=columns, name="map")
        parts += [html.figure(axes, alt=alt, caption=map_plot.map_caption(by_county=by_county), data=data)]
    if evidence.adoptions:
        one, many = treatment.exposed_city, wording.exposed_cities(treatment)
        alt = timeline_plot.timeline_finding(evidence.adoptions, one=one, many=many)
        rows = [
            {
                "label": row["label"],
                "event": EVENT_WORDS[row["event"]],
                "level": timeline_plot.level_word(row["level"]),
                "announced_on": row["announced_on"] or message("not known"),
            }
            for row in evidence.adoptions
        ]
        columns = {
            "label": message("City"),
            "event": message("Event"),
            "level": message("Level"),
            "announced_on": message("Announced"),
        }
        data = html.table(rows, caption=message("Awards and adoptions"), columns=columns, name="timeline")
        axes = timeline_plot.adoption_timeline(evidence.adoptions)
        caption = timeline_plot.timeline_caption(is_award=treatment.is_award)
        parts += [html.figure(axes, alt=alt, caption=caption, data=data)]
    return html.joined([html.heading(message("Where, and since when")), *parts]) if parts else html.block("")


def _is_by_county(evidence: Evidence) -> bool:
    values = evidence.headline.estimate
    return values is not None and values["settings"].get("unit") == "county"


def exclusions(evidence: Evidence) -> Block:
    """Every row that did not reach the headline estimate, with its reason."""
    title = html.heading(message("What was left out"))
    values = evidence.headline.estimate
    listed = values["exclusions"] if values else []
    if not listed:
        return title + html.paragraph(message("Nothing was left out."))
    return title + _exclusion_table(listed, caption=message("Exclusions, in the order applied"))


def _exclusion_table(listed: Sequence[Mapping[str, Any]], *, caption: str) -> Block:
    rows = [
        {"reason": row["reason"], "rows": wording.count(row["rows"]), "units": wording.count(row["units"])}
        for row in listed
    ]
    columns = {"reason": message("Reason"), "rows": message("Rows"), "units": message("Units")}
    return html.table(rows, caption=caption, columns=columns)


def cross_section(evidence: Evidence) -> Block:
    """The matched cross-section, where the outcome has one; an empty block elsewhere."""
    outcome, treatment = _entries(evidence)
    found = evidence.cross_section
    if found is None:
        return html.block("")
    title = html.heading(message("Cities side by side in {year}", year=found["year"]))
    if found["failed"]:
        why = message("The cross-section could not be made: {reason}", reason=found["failed"])
        return title + html.paragraph(why)
    values = found["estimate"]
    text = message(
        "In {year}, {n_treated} {exposed} differed from as many matched on size, income and composition by {effect} "
        "(95 % interval {spread}). A difference in one year is not a change: nothing is known of these cities before, "
        "so it says nothing about what made the difference.",
        year=found["year"],
        n_treated=wording.count(values["n_treated"]),
        exposed=wording.exposed_cities(treatment),
        effect=wording.effect(values["estimate"], outcome),
        spread=wording.interval(values, outcome),
    )
    rows = [
        {
            "title": row["title"],
            "smd_before": wording.number(row["smd_before"], decimals=2),
            "smd_after": wording.number(row["smd_after"], decimals=2),
        }
        for row in found["balance"]
    ]
    columns = {
        "title": message("Characteristic"),
        "smd_before": message("Difference before"),
        "smd_after": message("Difference after"),
    }
    caption = message("Balance of the cross-section")
    parts = [
        title,
        html.paragraph(text),
        html.paragraph(found["balance_check"]["sentence"]),
        html.table(rows, caption=caption, columns=columns, name="cross_section_balance"),
    ]
    lost = [
        counted("{reason}: {n:,} city", "{reason}: {n:,} cities", n=row["units"], reason=row["reason"])
        for row in found["exclusions"]
    ]
    left_out = html.fold(message("Left out of the cross-section"), html.bullets(lost))
    return html.joined([*parts, left_out] if lost else parts)


def methods(evidence: Evidence) -> Block:
    """The method cards of the estimators used, and the traps of the outcome and the treatment."""
    outcome, treatment = _entries(evidence)
    title = html.heading(message("Methods and known weaknesses"))
    described = message("{parts:sentences}", parts=[outcome.description, treatment.description])
    known = html.bullets([*outcome.traps, *treatment.caveats])
    cards = [method_card(name, card) for name, card in evidence.method_cards.items()]
    return html.joined([title, html.paragraph(described), known, *cards])


def provenance(evidence: Evidence) -> Block:
    """Where every figure comes from, and the hashes of data and plan."""
    found = evidence.provenance
    rows = [
        {key: _own_words(source[key]) for key in ("series", "publisher", "vintage", "licence")}
        | {"columns": message("{parts:semicolons}", parts=[_filled(column) for column in source["columns"]])}
        for source in found["sources"]
    ]
    columns = {
        "series": message("Series"),
        "vintage": message("Vintage"),
        "columns": message("What it fills, with the number of figures"),
        "publisher": message("Publisher"),
        "licence": message("Licence"),
    }
    settings = [
        message(
            "Plan: {title}, written {written}, sha256 {hash}",
            title=found["plan_title"],
            written=found["plan_written"],
            hash=found["plan_sha256"][:16],
        ),
        message("Data: sha256 {hash}", hash=found["data_sha256"][:16]),
        message("Package: wwc-research {version}", version=found["version"]),
        message("Seed: {seed}", seed=str(found["seed"])),
    ]
    return html.joined(
        [
            html.heading(message("Sources and versions")),
            html.table(rows, caption=message("Sources of this page"), columns=columns, name="sources"),
            html.bullets(settings),
        ]
    )


def _own_words(text: str) -> str:
    """What the project says is translated; a publisher's words stay as they are."""
    return text if isinstance(text, Message) else html.in_english(text)


def _filled(column: Mapping[str, Any]) -> Message:
    """A column with what it is used for and how many figures of the vintage fill it."""
    if column["n_figures"] is None:
        return message("{title}", title=column["title"])
    return message("{title} ({roles:list}): {n:,}", title=column["title"], roles=column["roles"], n=column["n_figures"])


__all__ = [
    "balance",
    "checks",
    "cohorts",
    "cross_section",
    "estimand",
    "estimates",
    "event_study",
    "exclusions",
    "has_survey_errors",
    "headline",
    "journal",
    "means_by_year",
    "methods",
    "provenance",
    "synthetic",
    "trends",
]
