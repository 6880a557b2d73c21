"""The parts of a city's page, one function a part: facts in, a Block out, nothing computed.

A part that has nothing to show says so; what is said of a city is public, and nothing is said of how it got there.
"""

from __future__ import annotations

import datetime
from collections.abc import Mapping, Sequence
from typing import Any, Final

from wwc_research import catalog
from wwc_research.catalog import Outcome
from wwc_research.messages import Message, counted, message
from wwc_research.report import city_plots, html, language, wording
from wwc_research.report.city_page import Facts, heading_of
from wwc_research.report.html import Block

EVENTS: Final = {
    "first": message("first award"),
    "level-up": message("rose to a higher level"),
    "recertified": message("certified again"),
}
VERDICTS: Final = {
    "demonstrated": message("demonstrated"),
    "not demonstrated": message("not demonstrated"),
    "cannot tell": message("cannot tell"),
}
WHY_NOT: Final = {
    "no figure": message("There is no figure for both years."),
    "no sampling error": message(
        "How far chance moves this figure is not known, so a real change cannot be told from noise."
    ),
    "the figure covers other people": message("The two years cover different shares of the city's people."),
    "one year only": message("There is a figure for one year only."),
    "nominal dollars": message("Dollars are not corrected for inflation."),
    "overlapping windows": message("The two figures share years."),
}
WITHHELD: Final = {
    "not_published": message(
        "suppressed: the publisher gives no figure, as it does where too few people were asked to rely on one"
    ),
    "few_days": message("left out: air quality was measured on too few days of the year"),
    "incomplete_monitors": message("left out: too few of the county's monitors measured the whole year"),
    "": message("the source has no figure for this city in these years"),
}
EDITIONS: Final = message(
    "V1 is the first edition of the Standard (2017), V2 the second (2018), V3 its Version 3.0 (August 2022)."
)
UNITS: Final = {"share": (100.0, "%"), "usd": (1.0, message("dollars"))}


def _entry(row: Mapping[str, Any]) -> Outcome:
    return catalog.outcome(row["outcome"])


def _level(value: float | None, *, unit: str, decimals: int) -> Message:
    """A figure in its own unit: `83.4 %`, `38,080 dollars`."""
    scale, word = UNITS.get(unit, (1.0, unit))
    places = 0 if unit == "usd" else decimals
    shown = wording.number(None if value is None else scale * value, decimals=places)
    return message("{value} {unit}", value=shown, unit=word)


def _day(text: str, *, precision: str) -> str | Message:
    """A date as precisely as it is known, in the reader's language."""
    if precision == "day":
        return language.date(datetime.date.fromisoformat(text))
    if precision == "month":
        from babel.dates import format_skeleton

        month = datetime.date.fromisoformat(f"{text}-01")
        return str(format_skeleton("yMMMM", month, locale=language.current().locale))
    return text or message("date not known")


def answer(facts: Facts) -> Block:
    """Title, the city in a sentence, its awards, and its outcomes at a glance."""
    parts = [
        html.block(
            '<h1>{title}</h1><p class="kicker">{kicker}</p>',
            title=heading_of(facts),
            kicker=message("What public figures say about one city, and what they cannot say"),
        ),
        html.block(
            '<section class="answer" aria-label="{label}"><p class="sentence">{sentence}</p></section>',
            label=message("The city in a sentence"),
            sentence=in_a_sentence(facts),
        ),
    ]
    awards = facts["certification"]["awards"]
    if len(awards) > 1:
        parts.append(_awards(awards))
    elif awards and _is_worked_out(awards[0]):
        parts.append(
            html.paragraph(
                message("That award is worked out from other public statements and was not announced as such.")
            )
        )
    known = [row for row in facts["outcomes"] if row["figures"]]
    if not known and any(row["others"] for row in facts["outcomes"]):
        return html.joined(parts)
    if not known:
        return html.joined([*parts, html.paragraph(NOTHING)])
    return html.joined([*parts, _glance(known, facts=facts)])


NOTHING: Final = message(
    "None of the outcomes that this project follows has a public figure for this city. Nothing can be said here about "
    "its residents; that is a gap in the data and no judgement on the city."
)


def in_a_sentence(facts: Facts) -> Message:
    """Population, and what the public roster says: certified when and at which level, or not on the list."""
    known, people = facts["certification"], facts["population"]
    city = message("{city}", city=facts["city"])
    if people is not None:
        city = message("{city} ({n:,} people in {year})", city=facts["city"], n=people["count"], year=people["year"])
    if known["status"] == "none":
        return message("{city} is not on the public list of cities with What Works Cities Certification.", city=city)
    if known["status"] == "undated":
        if known["interval"] is None:
            return message(
                "{city} is on the public list of cities with What Works Cities Certification; the date of its first "
                "award is not public.",
                city=city,
            )
        low, high = (_day(text, precision="day") for text in known["interval"])
        return message(
            "{city} is on the public list of cities with What Works Cities Certification; its first award came between "
            "{low} and {high}, on a day that is not public.",
            city=city,
            low=low,
            high=high,
        )
    first, last = known["awards"][0], known["awards"][-1]
    day = _day(first["announced_on"], precision=first["date_precision"])
    if first["level"] and last["level"] and last["level"] != first["level"]:
        return message(
            "{city} was first given What Works Cities Certification on {day}, level {level}; the latest level on the "
            "public list is {last}.",
            city=city,
            day=day,
            level=first["level"],
            last=last["level"],
        )
    if first["level"]:
        return message(
            "{city} was first given What Works Cities Certification on {day}, level {level}.",
            city=city,
            day=day,
            level=first["level"],
        )
    return message("{city} was first given What Works Cities Certification on {day}.", city=city, day=day)


def _is_worked_out(award: Mapping[str, str]) -> bool:
    return award["confidence"] != "source"


def _awards(awards: Sequence[Mapping[str, str]]) -> Block:
    """The awards as a table; those that nobody announced as such are marked in their own row."""
    rows = [
        {
            "when": _day(award["announced_on"], precision=award["date_precision"]),
            "event": html.Lined(EVENTS[award["event"]], message("worked out, not announced as such"))
            if _is_worked_out(award)
            else EVENTS[award["event"]],
            "level": award["level"] or message("not known"),
            "edition": award["standard_edition"].upper() or message("not known"),
        }
        for award in awards
    ]
    columns = {
        "when": message("Announced"),
        "event": message("What happened"),
        "level": message("Level"),
        "edition": message("Edition of the Standard"),
    }
    table = html.table(rows, caption=message("Awards on the public list"), columns=columns, name="awards")
    notes = [EDITIONS] if any(award["standard_edition"] for award in awards) else []
    if any(_is_worked_out(award) for award in awards):
        notes.append(message("An award that is worked out follows from other public statements."))
    return html.joined([table, *(html.paragraph(note) for note in notes)])


def _glance(known: Sequence[Mapping[str, Any]], *, facts: Facts) -> Block:
    """One row an outcome: the latest figure, its change and the change of the peers."""
    rows = []
    for item in known:
        outcome, change = _entry(item), item["change"]
        last = _own(item)[-1]
        rows.append(
            {
                "shown": html.Lined(outcome.title, _better(outcome)),
                "outcome": outcome.title,
                "better": outcome.direction,
                "last": message(
                    "{figure} ({year})",
                    figure=_level(last["value"], unit=item["unit"], decimals=outcome.decimals),
                    year=str(last["year"]),
                ),
                "own": wording.effect(change["own"], outcome) if change else message("–"),
                "peers": wording.effect(change["peers"], outcome)
                if change and change["peers"] is not None
                else message("–"),
            }
        )
    columns = {
        "shown": message("Outcome"),
        "last": message("Latest figure"),
        "own": message("Change in the city"),
        "peers": message("Change in similar cities"),
    }
    caption = message("The outcomes at a glance")
    if facts["certification"]["status"] == "certified":
        why = message(
            "Changes run from up to three years before the first award to up to three years after it; an award of July "
            "or later counts from the next year. They describe; they are no effect of the award."
        )
    else:
        why = message("Changes run between the years that the plan of this project compares. They describe, no more.")
    saved = ["outcome", "better", "last", "own", "peers"]
    return html.table(rows, caption=caption, columns=columns, name="outcomes", saved=saved) + html.paragraph(why)


def _own(item: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    return [row for row in item["figures"] if row["value"] is not None]


def outcomes(facts: Facts) -> Block:
    """Each outcome by year beside peers and group, how it moved, the average over all cities, and what is missing."""
    title = html.heading(message("Its outcomes by year"))
    known = [item for item in facts["outcomes"] if item["figures"]]
    without = [item for item in facts["outcomes"] if not item["figures"]]
    parts = [title]
    if known:
        parts.append(html.paragraph(_how_to_read(facts)))
    parts += [_outcome(item, facts=facts) for item in known]
    if without:
        parts.append(html.heading(message("Outcomes without a figure for this city"), level=3))
        parts.append(
            html.bullets(
                [
                    message(
                        "{title}: there are no figures by year for this city. The source covers {coverage}.",
                        title=_entry(item).title,
                        coverage=_entry(item).coverage,
                    )
                    for item in without
                ]
                + [text for item in without for text in _others(item)]
            )
        )
    return html.joined(parts)


def _how_to_read(facts: Facts) -> Message:
    group = _group(facts)
    return message(
        "Blue is the city. Orange squares are the mean of its peers that are not on the public list. The grey dots are "
        "the mean of a larger group: {group}. Each mean counts the same cities in every year. The blue band is survey "
        "error: the true figure lies in it 95 times in 100. Where there is no band, the source gives no such error.",
        group=group,
    )


def _group(facts: Facts) -> Message:
    if facts["certification"]["status"] == "none":
        return message("other cities not on the list")
    return message("other certified cities")


def _outcome(item: Mapping[str, Any], *, facts: Facts) -> Block:
    outcome = _entry(item)
    # words before the picture: on paper they fill the page that an unbroken picture leaves
    parts = [html.heading(outcome.title, level=3)]
    parts += [html.paragraph(text) for text in (_moved(item, facts=facts), *_average(item)) if text]
    parts += [*_link(item), _picture(item, facts=facts)]
    notes = [_better(outcome), *_broken(item), *_others(item), *_whose(item, facts=facts), *_missing(item)]
    notes += _doubts(item, facts=facts)
    return html.joined([*parts, html.bullets(notes)])


def _better(outcome: Outcome) -> Message:
    return message("Higher is better.") if outcome.direction == "higher" else message("Lower is better.")


def _others(item: Mapping[str, Any]) -> list[Message]:
    """Figures of the same outcome that are measured in another way."""
    return [
        message(
            "Measured in another way and joined with nothing else here: {title}, {value} in {year}.",
            title=row["title"],
            value=_level(row["value"], unit=row["unit"], decimals=1),
            year=str(row["year"]),
        )
        for row in item["others"]
    ]


def _picture(item: Mapping[str, Any], *, facts: Facts) -> Block:
    outcome, rows, city = _entry(item), item["figures"], facts["city"]
    scale, unit = UNITS.get(item["unit"], (1.0, item["unit"]))
    axes = city_plots.history(
        rows,
        scale=scale,
        unit=unit,
        city=city,
        peers=counted("mean of {n} peer", "mean of {n} peers", n=item["peers"]),
        group=message("{group}: {n:,}", group=_group(facts), n=item["n_group"]),
        award=_award_at(facts),
        award_label=message("first award"),
        breaks=[row["year"] for row in item["breaks"]],
    )

    def level(value: float | None) -> Message:
        return _level(value, unit=item["unit"], decimals=outcome.decimals)

    own = _own(item)
    first, last = own[0], own[-1]
    told = {"title": outcome.title, "city": city, "y0": str(first["year"]), "y1": str(last["year"])}
    told |= {"a": level(first["value"]), "b": level(last["value"])}
    if first["peers"] is not None:
        alt = message(
            "{title} in {city}: {a} in {y0} and {b} in {y1}. The mean of its peers went from {c} to {d}.",
            **told,
            c=level(first["peers"]),
            d=level(last["peers"]),
        )
    else:
        alt = message("{title} in {city}: {a} in {y0} and {b} in {y1}. No mean of peers could be drawn.", **told)
    table = [
        {
            "year": str(row["year"]),
            "value": level(row["value"]),
            "spread": message("{low} to {high}", low=level(row["low"]), high=level(row["high"]))
            if row["low"] is not None
            else message("–"),
            "peers": level(row["peers"]),
            "group": level(row["group"]),
        }
        for row in own
    ]
    columns = {
        "year": message("Year"),
        "value": city,
        "spread": message("95 % survey error"),
        "peers": message("Mean of peers"),
        "group": _group(facts),
    }
    if all(row["low"] is None for row in own):
        del columns["spread"]
    data = html.table(
        table, caption=message("{title} by year", title=outcome.title), columns=columns, name=outcome.name
    )
    caption = message(
        "By year: {noun}, in {unit}. Source: {source}",
        noun=outcome.noun,
        unit=unit,
        source=outcome.description,
    )
    return html.figure(axes, alt=alt, caption=caption, data=data)


def _award_at(facts: Facts) -> float | None:
    """Where the first award stands on an axis whose whole numbers are the middles of years."""
    known = facts["certification"]
    if known["status"] != "certified":
        return None
    year, *rest = (int(part) for part in known["awards"][0]["announced_on"].split("-"))
    return year + ((rest[0] - 0.5) / 12 if rest else 0.5) - 0.5


def _moved(item: Mapping[str, Any], *, facts: Facts) -> Message | None:
    """How the city moved against its peers, as a description."""
    outcome, change = _entry(item), item["change"]
    is_certified = facts["certification"]["status"] == "certified"
    if change is None:
        if item["is_parted"]:
            return message(
                "There are figures before and after, but the series breaks between them, so nothing is said of a "
                "change of the city."
            )
        if is_certified:
            return message("There are no figures on both sides of the first award, so there is no before and after.")
        return None
    told = {
        "city": facts["city"],
        "before": [str(year) for year in change["before"]],
        "after": [str(year) for year in change["after"]],
        "own": wording.effect(change["own"], outcome),
    }
    if change["peers"] is None:
        alone = message(
            "From {before:list} to {after:list} the figure changed by {own}. Too few of its peers have figures in all "
            "these years to set beside it.",
            **told,
        )
        return message("{parts:sentences}", parts=[alone, CAUTION])
    both = message(
        "From {before:list} to {after:list} the figure changed by {own} in {city} and by {peers} in the {n} peers. The "
        "difference is {gap}.",
        **told,
        peers=wording.effect(change["peers"], outcome),
        gap=wording.effect(change["gap"], outcome),
        n=item["peers"],
    )
    parts = [both]
    if change["gap_low"] is not None:
        parts.append(
            message(
                "By survey error alone the difference could be anything from {low} to {high}.",
                low=wording.bare_effect(change["gap_low"], outcome),
                high=wording.effect(change["gap_high"], outcome),
            )
        )
    return message("{parts:sentences}", parts=[*parts, CAUTION])


CAUTION: Final = message(
    "This is a description and not an effect: one city's change mixes everything that happened there."
)


def _average(item: Mapping[str, Any]) -> list[Message]:
    found = item["average"]
    if found is None:
        return [message("The average effect over all cities was not worked out in this run.")]
    return [
        message(
            "Over all cities together (verdict: {verdict}): {sentence}",
            verdict=found["verdict"],
            sentence=found["sentence"],
        )
    ]


def _link(item: Mapping[str, Any]) -> list[Block]:
    """A link to the outcome's own page in the reader's language, where the run made one."""
    href = (item["average"] or {}).get("links", {}).get(language.current().code)
    if not href:
        return []
    text = message("How this was found: the page on {title}", title=_entry(item).title)
    return [html.block('<p><a href="{href}">{text}</a></p>', href=href, text=text)]


def _whose(item: Mapping[str, Any], *, facts: Facts) -> list[Message]:
    """That a figure is the county's and not the city's own."""
    if _entry(item).geography != "county":
        return []
    said = [
        message(
            "These figures belong to the county ({county}) and not to the city alone; where a city lies in several "
            "counties, their figures are weighted by where its people live. A city government controls little of them.",
            county=facts["county"],
        )
    ]
    if item["covered_share"] is not None and item["covered_share"] < 0.995:
        said.append(
            message("They cover the counties of {share:.0%} of the city's people.", share=item["covered_share"])
        )
    return said


def _missing(item: Mapping[str, Any]) -> list[Message]:
    outcome, said = _entry(item), []
    for row in item["missing"]:
        years = [str(year) for year in row["years"]]
        if row["why"] == "gap":
            reasons = list(dict.fromkeys(outcome.gaps[year] for year in years))
            said.append(message("No figure for {years:list}: {reasons:semicolons}.", years=years, reasons=reasons))
        elif row["correction"]:
            said.append(message("The figures of {years:list} are known to be wrong and were taken out.", years=years))
            said.append(message("{reason}", reason=row["correction"]))
        else:
            why = WITHHELD.get(row["why"], WITHHELD[""])
            said.append(message("No figure for {years:list}: {why}.", years=years, why=why))
    return said


def _broken(item: Mapping[str, Any]) -> list[Message]:
    """Breaks of the series that the city's figures reach across, and whether the plan compares across them."""
    said = []
    for row in item["breaks"]:
        told = {"year": str(row["year"]), "why": row["why"]}
        if row["is_accepted"]:
            said.append(
                message(
                    "The series breaks in {year}. {why} Changes of the city are taken on one side of it only. The plan "
                    "compares across it all the same, so part of the average effect over all cities may be a change of "
                    "the figures.",
                    **told,
                )
            )
        else:
            said.append(
                message(
                    "The series breaks in {year}. {why} Changes of the city are taken on one side of it only.", **told
                )
            )
    return said


def _doubts(item: Mapping[str, Any], *, facts: Facts) -> list[Message]:
    outcome, said = _entry(item), []
    if item["weaker_years"]:
        said.append(
            message(
                "The publisher gives the figures of {years:list} a weaker grade: they lean on people outside the city.",
                years=[str(year) for year in item["weaker_years"]],
            )
        )
    if outcome.variable.endswith("_usd"):
        said.append(message("Dollars of each year, not corrected for inflation: compare with other cities only."))
    awards = facts["certification"]["awards"]
    if outcome.is_award_condition and awards and awards[0]["standard_edition"] == "v3":
        said.append(
            message(
                "Since August 2022 a good result on an outcome of this kind is a condition of the award, so a city "
                "certified since then looks better by rule."
            )
        )
    return said


def peers(facts: Facts) -> Block:
    """The cities most like it before any certification, with what was compared and which of them are certified."""
    found = facts["peers"]
    title = html.heading(message("Its peers"))
    if found["failed"]:
        reason = message("No peers could be found: {reason}", reason=found["failed"])
        return title + html.paragraph(reason)
    things = found["characteristics"]
    # a private key, since nothing stops a characteristic of being called city
    rows: list[dict[str, Any]] = [
        {
            **_named(facts["city"], _own_status(facts)),
            **_cells(things, {item["name"]: item["value"] for item in things}),
            "_distance": message("–"),
        }
    ]
    for peer in found["peers"]:
        name = message("{city} ★", city=peer["city"]) if peer["is_certified"] else peer["city"]
        distance = wording.number(peer["distance"], decimals=1)
        rows.append({**_named(name, peer["status"]), **_cells(things, peer["values"]), "_distance": distance})
    columns = {"_city": message("City and its certification"), **{item["name"]: item["head"] for item in things}}
    columns |= {"_distance": message("Distance")}
    why = message(
        "Of {n:,} other cities these were most like {city} in {years:list}, before any city was certified, in the "
        "characteristics of the table. They were chosen by that alone, never by how they did later. Distance counts "
        "how far apart two cities are in all of these together; smaller is more alike. A star marks peers that are "
        "certified: they are listed, and left out of the means on this page.",
        n=found["n_compared"],
        city=facts["city"],
        years=[str(year) for year in found["years"]],
    )
    parts = [title, html.paragraph(why)]
    if found["is_far"]:
        parts.append(
            html.paragraph(
                message("These peers are poor ones: no city is close to this one. Compare with care."), css="verdict"
            )
        )
    if found["n_missing"]:
        poor = counted(
            "These peers are poor ones: {n} characteristic could not be compared, for want of figures of {city}.",
            "These peers are poor ones: {n} characteristics could not be compared, for want of figures of {city}.",
            n=found["n_missing"],
            city=facts["city"],
        )
        parts.append(html.paragraph(poor, css="verdict"))
    caption = message("Cities most like {city}", city=facts["city"])
    saved = ["_name", *(item["name"] for item in things), "_distance", "_certification"]
    parts.append(html.table(rows, caption=caption, columns=columns, name="peers", saved=saved))
    if any(peer["status"].values.get("edition") for peer in found["peers"]):
        parts.append(html.paragraph(EDITIONS))
    parts.append(html.fold(message("What was compared, and what was left out"), html.bullets(found["notes"])))
    return html.joined(parts)


def _named(city: str, status: Message) -> dict[str, Any]:
    """A city over its certification, and both apart for the values behind the table."""
    return {"_city": html.Lined(city, status), "_name": city, "_certification": status}


def _own_status(facts: Facts) -> Message:
    return {
        "none": message("not on the list"),
        "undated": message("certified, date unknown"),
        "certified": message("certified"),
    }[facts["certification"]["status"]]


def _cells(things: Sequence[Mapping[str, Any]], values: Mapping[str, float | None]) -> dict[str, Message]:
    cells = {}
    for item in things:
        value = values[item["name"]]
        if item["said_as"] == "points":
            cells[item["name"]] = wording.number(None if value is None else 100 * value, decimals=1)
        else:
            cells[item["name"]] = wording.number(value, decimals=0)
    return cells


def standard(facts: Facts) -> Block:
    """Version 3.0's outcome requirement held against public figures, and what these cannot settle."""
    found = facts["standard"]
    title = html.heading(message("Where it stands against the Standard"))
    whole = {
        "demonstrated": message(
            "By public figures, {city} shows progress on at least {n} of these.",
            city=facts["city"],
            n=found["at_least"],
        ),
        "not demonstrated": message(
            "Public figures show no progress on these in {city} beyond what chance explains. An outcome of the city's "
            "own choice could still meet the requirement.",
            city=facts["city"],
        ),
        "cannot tell": message(
            "Public figures cannot settle whether {city} shows progress on these.", city=facts["city"]
        ),
    }
    intro = message(
        "Version 3.0 of the Standard asks certified cities to show a good result for residents in at least {n} of a "
        "few outcomes. Two of them can be looked up in public figures: broadband and air quality.",
        n=found["at_least"],
    )
    rows = [_standing(row) for row in found["rows"]]
    columns = {
        "shown": message("Figure"),
        "from": message("From"),
        "to": message("To"),
        "change": message("Change"),
        "judged": message("Progress"),
    }
    caption = message("Progress from the first to the last year with a figure")
    return html.joined(
        [
            title,
            html.paragraph(intro),
            html.paragraph(whole[found["verdict"]]),
            html.table(
                rows,
                caption=caption,
                columns=columns,
                name="standard",
                saved=["title", "geography", "from", "to", "change", "verdict", "why"],
            ),
            html.heading(message("What public data cannot tell"), level=3),
            html.bullets(_unknown(found)),
        ]
    )


def _standing(row: Mapping[str, Any]) -> dict[str, Any]:
    def level(end: str) -> Message:
        year = row[f"year_{end}"]
        if row[f"value_{end}"] is None or year is None:
            return message("–")
        figure = _level(row[f"value_{end}"], unit=row["unit"], decimals=1)
        return message("{figure} ({year})", figure=figure, year=str(year))

    change = message("–")
    if row["change"] is not None:
        change = _difference(row["change"], row["unit"], signed=True)
    is_countys = row["geography"] == "county"
    whose = message("the county's figure") if is_countys else message("the city's own figure")
    return {
        "shown": html.Lined(row["title"], whose),
        "title": row["title"],
        "geography": row["geography"],
        "from": level("from"),
        "to": level("to"),
        "change": change,
        "judged": html.Lined(VERDICTS[row["verdict"]], _why(row)),
        "verdict": VERDICTS[row["verdict"]],
        "why": _why(row),
    }


def _difference(value: float, unit: str, *, signed: bool = False) -> Message:
    if unit == "share":
        return message("{value} percentage points", value=wording.number(100 * value, decimals=1, signed=signed))
    return message("{value} {unit}", value=wording.number(value, decimals=1, signed=signed), unit=unit)


def _why(row: Mapping[str, Any]) -> Message:
    if row["reason"]:
        return WHY_NOT[row["reason"]]
    if row["verdict"] == "demonstrated":
        return message("More than survey error explains (one-sided p {p}).", p=wording.p_value(row["p_value"]))
    if row["p_value"] >= 0.5:
        return message("No improvement.")
    return message(
        "Within survey error: an improvement of {size} would have been found four times in five.",
        size=_difference(abs(row["detectable_change"]), row["unit"]),
    )


def _unknown(found: Mapping[str, Any]) -> list[Message]:
    said = [
        message(
            "Whether the programme would see it so: its own indicators, years and thresholds are not public. Here the "
            "first and the last year with a figure are compared, at the 95 % level."
        ),
        message(
            "Whether a level is reached: a level against an international standard is the other way to meet the "
            "requirement, and no threshold is public."
        ),
        message("Anything about the other criteria: answers to them are confidential and not used here."),
    ]
    if found["has_own_choice"]:
        said.insert(0, message("The outcome of the city's own choice, which counts as well: no public table holds it."))
    return said


def not_to_claim(facts: Facts) -> Block:
    """What no reader should say on the strength of the page."""
    lines = [
        message("That certification made the difference here: one city has no second self to compare with."),
        message("That it made none: the same holds the other way round."),
        message("That the city is better or worse run than its peers: they are alike in size and people, not in luck."),
    ]
    if facts["certification"]["status"] == "none":
        lines.append(
            message(
                "Anything from the city not being on the public list: the list says who is certified and nothing about "
                "any other city."
            )
        )
    else:
        lines.append(
            message(
                "Anything from a level being silver or platinum: levels follow practices of the city government, not "
                "outcomes of residents alone."
            )
        )
    lines.append(message("That county figures are the doing of the city government."))
    return html.heading(message("What not to claim")) + html.bullets(lines)


def sources(facts: Facts) -> Block:
    """Where every figure comes from, and the hash of the data."""
    columns = {
        "series": message("Series"),
        "publisher": message("Publisher"),
        "vintage": message("Vintage"),
        "licence": message("Licence"),
    }
    rows = [
        {key: text if isinstance(text, Message) else html.in_english(text) for key, text in source.items()}
        for source in facts["sources"]
    ]
    table = html.table(rows, caption=message("Sources of this page"), columns=columns, name="sources")
    data = message("Data: sha256 {hash}", hash=facts["data_sha256"][:16])
    return html.heading(message("Sources")) + html.fold(message("All sources"), table) + html.paragraph(data)


__all__ = ["answer", "in_a_sentence", "not_to_claim", "outcomes", "peers", "sources", "standard"]
