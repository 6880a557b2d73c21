"""The page on two editions of the Standard: what changes, how certain that is, and what it would do to scored cities.

In: two editions, perhaps an `Impact`. Out: text of one self-contained page for programme staff.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from markupsafe import Markup

from wwc_research.catalog.editions import Criterion, Edition, TieRule, edition
from wwc_research.errors import Faults, InputError
from wwc_research.messages import Message, counted, message
from wwc_research.report import html, shell, wording
from wwc_research.report.html import Block
from wwc_research.report.language import shown, speaking
from wwc_research.report.page_work import Link
from wwc_research.sources.places import Places
from wwc_research.standard import assessment_files, impact, regions
from wwc_research.standard.comparison import Comparison, Pair, compare, either
from wwc_research.standard.deciders import Unanswered
from wwc_research.standard.impact import Impact, Row, Table
from wwc_research.standard.proposals import read_proposal
from wwc_research.standard.scoring import Standing

_CERTAINTY: Final = {
    "source": message("a source says it"),
    "inferred": message("worked out, see the notes"),
    "memory": message("from memory, not checked"),
    "unknown": message("not known"),
}
_HAPPENS: Final = message("What would happen")
_HEADINGS: Final[Mapping[Table, tuple[Message, Message]]] = {
    "change": (message("What would become of them"), _HAPPENS),
    "transition": (message("From level to level"), message("Level before and after")),
    "decided_by": (message("Which rule decides"), message("Undoing this alone would undo the change")),
    "if_met": (message("How much hangs on criteria without an answer"), message("Would it happen")),
    "size_band": (message("By residents"), message("Residents")),
    "region": (message("By census region"), message("Region")),
}
_CODE, _NAME, _BEFORE, _AFTER = message("Code"), message("Name"), message("Before"), message("After")
_HOW_CERTAIN, _SOURCE, _SOURCES = message("How certain"), message("Source"), message("Sources")


def chosen_edition(text: str) -> Edition:
    """The edition of that name, or the proposal in the TOML file of that path."""
    if not text.endswith(".toml"):
        return edition(text)
    path = Path(text)
    if not path.is_file():
        raise InputError(f"{text}: no such file. Give the path of a proposal, or the name of an edition.")
    try:
        return read_proposal(path.read_text(encoding="utf-8"), file=path.name)
    except UnicodeDecodeError:
        raise InputError(f"{text}: is no text in UTF-8. Save it again as UTF-8.") from None


def paired_criteria(words: Sequence[str]) -> dict[str, str]:
    """Criterion before → criterion after from words such as `OD1=OD3`."""
    faults = Faults("--same")
    pairs: dict[str, str] = {}
    for word in words:
        here, equals, there = (part.strip() for part in word.partition("="))
        if not (here and equals and there):
            faults.add(f"{word!r} should be A=B, two criteria")
        elif here in pairs or there in pairs.values():
            faults.add(f"{word!r}: {here} or {there} is paired twice; keep one")
        pairs[here] = there
    faults.raise_if_any()
    return pairs


def impact_of_file(
    path: Path,
    *,
    before: Edition,
    after: Edition,
    raw_dir: Path,
    same: Mapping[str, str] | None = None,
    unanswered: Unanswered = "not assessed",
    tie_rule: TieRule | None = None,
    outcomes: Mapping[str, Mapping[str, Standing]] | None = None,
    k: int = 10,
) -> Impact:
    """The impact on the cities of an assessment file, by size and region from the project's own tables."""
    responses = assessment_files.read_assessments(path, edition=before, places=Places.load(raw_dir))
    return impact.impact(
        responses,
        before=before,
        after=after,
        same=same,
        unanswered=unanswered,
        tie_rule=tie_rule,
        outcomes=outcomes,
        population=regions.residents(raw_dir),
        k=k,
    )


def file_name(before: Edition, after: Edition) -> str:
    """Name of the page's file: letters and digits of the editions' names only."""
    plain = (re.sub(r"[^A-Za-z0-9.]+", "-", one.name).strip("-.") or "edition" for one in (before, after))
    return f"{'-to-'.join(plain)}.html"


def standard_html(
    before: Edition,
    after: Edition,
    *,
    impact: Impact | None = None,
    language: str = "en",
    links: Sequence[Link] = (),
) -> str:
    """The page: a lead sentence, what can and cannot be said, the impact where there is one, every difference.

    Parameters
    ----------
    language
        `en`, `es` or `pt`. Texts of the Standard are the programme's own and stay English, marked as such.
    links
        At the head of the page.

    Raises
    ------
    InputError
        For a language that there is not.
    """
    with speaking(language):
        found = compare(before, after)
        sources = _Sources()
        parts = [_limits(before, after, found, impact)]
        if impact is not None and impact.answered:
            parts.append(_impact(impact))
        parts += [_criteria(before, after, found, sources), _rules(found), _notes(before, after), sources.block()]
        kicker = message(
            "{before} ({before_years}) and {after} ({after_years})",
            before=before.title,
            before_years=before.years,
            after=after.title,
            after_years=after.years,
        )
        title = message("The Standard: from {before} to {after}", before=before.name, after=after.name)
        return shell.render(
            "plain.html.j2",
            page=shell.surroundings(title=title, links=links),
            kicker=shown(kicker),
            lead=shown(_lead(found, impact)),
            body=html.joined(parts).html,
        )


def _lead(found: Comparison, impact: Impact | None) -> Message:
    """What matters most, in a sentence or two."""
    if impact is not None and not impact.answered:
        return message(
            "These cities have answered none of the {n:,} criteria of {edition}, so what it would do to them cannot be "
            "told.",
            n=impact.criteria_count,
            edition=impact.after,
        )
    if impact is not None:
        return _impact_lead(impact)
    counts = (
        counted("{n:,} criterion added", "{n:,} criteria added", n=len(found.added)),
        counted(
            "{n:,} without a counterpart in the new edition",
            "{n:,} without a counterpart in the new edition",
            n=len(found.dropped),
        ),
        counted("{n:,} renamed", "{n:,} renamed", n=len(found.renamed)),
        counted("{n:,} with other points", "{n:,} with other points", n=len(found.re_weighted)),
        counted("{n:,} newly core", "{n:,} newly core", n=len(found.core_gained)),
    )
    said = [count for count in counts if count.values["n"]]
    rules = len(found.level_changes) + len(found.rule_changes)
    first = (
        message("Among the criteria that sources name, {parts:list}.", parts=said)
        if said
        else message("No named criterion differs.")
    )
    second = counted("{n:,} level band or rule differs.", "{n:,} level bands and rules differ.", n=rules)
    return message("{parts:sentences}", parts=[first, second])


def _impact_lead(impact: Impact) -> Message:
    sentences = []
    for group, total in impact.groups.items():
        rows = impact.table("change", group=group)
        if len(rows) == 1 and len(rows[0].change) > 1:
            text = message("Of {total:,} cities {group}, nothing can be told apart safely.", total=total, group=group)
        else:
            said = [_would(row) for row in rows]
            text = message("Of {total:,} cities {group}, {parts:list}.", total=total, group=group, parts=said)
        sentences.append(text)
    if impact.is_simulated:
        return message("Simulated cities, no real ones: {parts:sentences}", parts=sentences)
    return message("{parts:sentences}", parts=sentences)


_WOULD: Final[Mapping[str, Callable[[int], Message]]] = {
    "loses certification": lambda n: message("{n:,} would lose certification", n=n),
    "falls to a lower level": lambda n: message("{n:,} would fall to a lower level", n=n),
    "keeps its level": lambda n: message("{n:,} would keep their level", n=n),
    "rises to a higher level": lambda n: message("{n:,} would rise to a higher level", n=n),
    "stays without certification": lambda n: message("{n:,} would stay without certification", n=n),
    "gains certification": lambda n: message("{n:,} would gain certification", n=n),
    "does not meet every core requirement": lambda n: message("{n:,} would not meet every core requirement", n=n),
    "meets every core requirement": lambda n: message("{n:,} would meet every core requirement", n=n),
}


def _would(row: Row) -> Message:
    if len(row.change) == 1:
        return _WOULD[row.change[0]](row.cities_count)
    return message("for {n:,} this would hold: {changes}", n=row.cities_count, changes=either(row.change))


def _limits(before: Edition, after: Edition, found: Comparison, impact: Impact | None) -> Block:
    """What the page can and cannot say."""
    items = [text for one in (before, after) for text in _edition_limits(one)]
    if found.same_code_only:
        items.append(
            counted(
                "{n:,} criterion has the same code in both editions without any source saying that it is the same "
                "criterion. It is listed, and not taken as the same.",
                "{n:,} criteria have the same code in both editions without any source saying that it is the same "
                "criterion. They are listed, and not taken as the same.",
                n=len(found.same_code_only),
            )
        )
    uncertain = len(found.dropped) - len(found.dropped_for_certain)
    if uncertain:
        items.append(
            counted(
                "{n:,} named criterion has no known counterpart: it may be gone, or stand there under another name.",
                "{n:,} named criteria have no known counterpart: each may be gone, or stand there under another name.",
                n=uncertain,
            )
        )
    if impact is not None:
        items += _impact_limits(impact)
    items.append(message("A comparison of texts says nothing of how strictly assessors apply them."))
    return html.heading(message("What this page can and cannot say")) + html.bullets(items)


def _edition_limits(one: Edition) -> list[Message]:
    """What cannot be said of one edition."""
    values: dict[str, Any] = {"edition": one.name, "total": one.criteria_total}
    items = []
    if one.placeholders:
        items.append(
            message(
                "{edition}: {n:,} of its {total:,} criteria are named by no source. They are counted as placeholders "
                "and never matched with anything.",
                n=len(one.placeholders),
                **values,
            )
        )
    if not one.total_is_known:
        items.append(
            message(
                "{edition}: how many criteria it has is not known ({total:,} are named), so no share of points and no "
                "level can be worked out from it.",
                **values,
            )
        )
    elif not one.levels_follow_points:
        items.append(
            message("{edition}: its levels do not follow the share of points, or no bands are known.", **values)
        )
    return items


def _impact_limits(impact: Impact) -> list[Message]:
    answered, total = len(impact.answered), impact.criteria_count
    items = [_answered(impact)]
    if not answered:
        items.append(
            message("Which criteria of the two editions are the same, somebody who knows both must say (--same A=B).")
        )
        return items
    if answered * 2 < total:
        items.append(
            message(
                "Fewer than half of the criteria have an answer. The impact below says more about missing answers than "
                "about cities; do not quote it without this sentence."
            )
        )
    if not impact.gives_levels:
        items.append(
            message(
                "{edition} gives no levels. Only its core requirements are judged, where cities answered them.",
                edition=impact.after,
            )
        )
    items.append(
        message(
            "Cities are judged by the practice they had when they were assessed. They would prepare for new rules, so "
            "these numbers say what the rules would change, not how many cities will be certified."
        )
    )
    return items


def _answered(impact: Impact) -> Message:
    """How many criteria have answers, and how the others count."""
    answered, total = len(impact.answered), impact.criteria_count
    values: dict[str, Any] = {"answered": answered, "total": total, "edition": impact.after, "rest": total - answered}
    if answered == total:
        return message("The cities have answered {answered:,} of the {total:,} criteria of {edition}.", **values)
    if impact.unanswered == "met":
        return message(
            "The cities have answered {answered:,} of the {total:,} criteria of {edition}. The other {rest:,} count as "
            "met for every city: this is the best case, not a forecast.",
            **values,
        )
    if impact.unanswered == "not met":
        return message(
            "The cities have answered {answered:,} of the {total:,} criteria of {edition}. The other {rest:,} count as "
            "not met for every city: this is the worst case, not a forecast.",
            **values,
        )
    return message(
        "The cities have answered {answered:,} of the {total:,} criteria of {edition}. The other {rest:,} count as not "
        "assessed for every city: this is the worst case, not a forecast.",
        **values,
    )


def _impact(impact: Impact) -> Block:
    parts = [html.heading(message("What it would do to the scored cities"))]
    for group, total in impact.groups.items():
        parts += _impact_on(impact, group, total)
    parts += [
        html.paragraph(
            message("Cities {group} are fewer than {k} and are left out of every number.", group=name, k=impact.k)
        )
        for name in impact.left_out
    ]
    if len(impact.rules) == 1:
        text = message("Only one thing changes that could matter ({rule}), so it decides.", rule=impact.rules[0])
        parts.append(html.paragraph(text))
    elif not impact.rules:
        parts.append(html.paragraph(message("Nothing changes that could matter for a level.")))
    return html.joined([*parts, html.fold(message("How these numbers protect cities"), _protection(impact.k))])


def _impact_on(impact: Impact, group: str, total: int) -> list[Block]:
    """The tables of one group of cities, and which are left out."""
    title = message("Cities {group}: {total:,}", group=group, total=total)
    parts = [html.heading(title, level=3)]
    for table in _HEADINGS:
        rows = impact.table(table, group=group)
        if rows and not (table == "transition" and len(rows) == 1):
            parts.append(_impact_table(table, rows, group=group))
    hidden = [
        _HEADINGS[table][0] for name, table in impact.withheld if name == group and not impact.table(table, group=group)
    ]
    if hidden:
        text = message(
            "Not shown, because it would tell about fewer than {k} cities: {parts:semicolons}.",
            k=impact.k,
            parts=hidden,
        )
        parts.append(html.paragraph(text))
    return parts


def _impact_table(table: Table, rows: Sequence[Row], *, group: str) -> Block:
    """One table; a column each change where there are several for one size band or region."""
    title, first = _HEADINGS[table]
    caption = message("{title} (cities {group})", title=title, group=group)
    cities = message("Cities")
    texts: list[dict[str, Any]]
    if table == "change":
        texts = [{"item": either(row.change), "0": wording.count(row.cities_count)} for row in rows]
        return html.table(texts, caption=caption, columns={"item": first, "0": cities})
    if table in ("transition", "decided_by"):
        texts = [
            {"item": either(row.item), "change": either(row.change), "cities": wording.count(row.cities_count)}
            for row in rows
        ]
        return html.table(texts, caption=caption, columns={"item": first, "change": _HAPPENS, "cities": cities})
    changes = list(dict.fromkeys(row.change for row in rows))
    found = {(row.item, row.change): wording.count(row.cities_count) for row in rows}
    texts = [
        {"item": either(item)} | {str(at): found[item, change] for at, change in enumerate(changes)}
        for item in dict.fromkeys(row.item for row in rows)
    ]
    columns = {"item": first} | {
        str(at): message("Cities: {change}", change=either(change)) for at, change in enumerate(changes)
    }
    return html.table(texts, caption=caption, columns=columns)


def _protection(k: int) -> Block:
    return html.bullets(
        [
            message(
                "Every number counts at least {k} cities. Smaller groups are added to their neighbours and told as "
                "one, written with “or”. That holds for groups of no city too, so no line says that nobody or "
                "everybody is in it.",
                k=k,
            ),
            message(
                "A table is left out where groups of fewer than {k} cities would follow from adding or subtracting "
                "numbers of this page.",
                k=k,
            ),
            message("A city that knows its own case, or those of its neighbours, knows more than this page says."),
            message(
                "Publish one such page on one set of cities. Two pages with other options can be compared with each "
                "other."
            ),
        ]
    )


class _Sources:
    """Sources by number, in the order in which they are first cited."""

    def __init__(self) -> None:
        self._numbers: dict[str, int] = {}

    def cite(self, *texts: str) -> Markup:
        numbers = sorted({self._numbers.setdefault(text, len(self._numbers) + 1) for text in texts if text})
        links = [Markup('<a href="#source-{0}">{0}</a>').format(number) for number in numbers]
        return Markup(", ").join(links) if links else Markup("{}").format(shown(message("none")))

    def block(self) -> Block:
        if not self._numbers:
            return Block(Markup(""))
        items = [
            Markup('<li id="source-{}">{}</li>').format(number, _linked(text)) for text, number in self._numbers.items()
        ]
        return html.heading(_SOURCES) + Block(Markup('<ol class="sources">{}</ol>').format(Markup("").join(items)))


def _linked(text: str) -> Markup:
    address = re.fullmatch(r"https://\S+", text)
    return Markup('<a href="{0}" rel="noreferrer">{0}</a>').format(text) if address else html.in_english(text)


def _criteria(before: Edition, after: Edition, found: Comparison, sources: _Sources) -> Block:
    """Every difference between criteria, with certainty and sources."""
    certain = {"added": set(found.added_for_certain), "dropped": set(found.dropped_for_certain)}
    unnamed = message("may stand unnamed in {edition}, or under another code", edition=before.name)
    no_source = message("no source says what became of it in {edition}", edition=after.name)
    names = {"there": after.name, "elsewhere": before.name}
    parts = [
        html.heading(message("What changes in the criteria")),
        _singles(
            message("Named in {there} and not in {elsewhere}", **names),
            found.added,
            lambda item: _CERTAINTY[item.confidence] if item.id in certain["added"] else unnamed,
            sources,
        ),
        _singles(
            message("Named in {there} and not in {elsewhere}", there=before.name, elsewhere=after.name),
            found.dropped,
            lambda item: _CERTAINTY[item.confidence] if item.id in certain["dropped"] else no_source,
            sources,
        ),
    ]
    joins = message("an alias in one of the editions joins them")
    code_only = message("only the code agrees; not taken as the same")
    titles = message("Renamed"), message("Same code, and not known to be the same criterion")
    parts += [
        _pairs(titles[0], found.renamed, _named, joins, sources),
        _pairs(titles[1], found.same_code_only, _named, code_only, sources),
        _pairs(message("Other points"), found.re_weighted, _points, None, sources),
        _pairs(message("Other practice"), found.moved, lambda item: item.practice, None, sources),
        _core(before, after, found, sources),
    ]
    return html.joined(parts)


def _points(item: Criterion) -> Message:
    return message("{points:g}", points=item.points)


def _named(item: Criterion) -> Markup:
    return Markup("{} {}").format(item.id, _name(item))


def _name(item: Criterion) -> Markup:
    """The criterion's name, which is the programme's English unless it is our wording; then the page says so."""
    name = html.in_english(item.name)
    return Markup("{} ({})").format(name, shown(message("our wording"))) if item.is_own_wording else name


def _none(caption: Message) -> Block:
    return html.paragraph(message("{caption}: none.", caption=caption))


def _with_count(caption: Message, items: Sequence[object]) -> Message:
    return message("{caption}: {n:,}", caption=caption, n=len(items))


def _singles(
    caption: Message, items: Sequence[Criterion], certainty: Callable[[Criterion], Message], sources: _Sources
) -> Block:
    if not items:
        return _none(caption)
    rows = [
        {
            "id": item.id,
            "name": _name(item),
            "points": _points(item),
            "certainty": certainty(item),
            "source": sources.cite(item.source),
        }
        for item in items
    ]
    columns = {"id": _CODE, "name": _NAME, "points": message("Points"), "certainty": _HOW_CERTAIN, "source": _SOURCE}
    return html.table(rows, caption=_with_count(caption, items), columns=columns)


def _pairs(
    caption: Message,
    pairs: Sequence[Pair],
    said: Callable[[Criterion], str],
    certainty: Message | None,
    sources: _Sources,
) -> Block:
    if not pairs:
        return _none(caption)
    rows = [
        {
            "id": pair.after.id,
            "before": said(pair.before),
            "after": said(pair.after),
            "certainty": certainty or _CERTAINTY[pair.after.confidence],
            "source": sources.cite(pair.before.source, pair.after.source),
        }
        for pair in pairs
    ]
    columns = {"id": _CODE, "before": _BEFORE, "after": _AFTER, "certainty": _HOW_CERTAIN, "source": _SOURCES}
    return html.table(rows, caption=_with_count(caption, pairs), columns=columns)


def _core(before: Edition, after: Edition, found: Comparison, sources: _Sources) -> Block:
    core, not_core = message("core"), message("not core")
    items = [(after.criteria[id_], not_core, core) for id_ in found.core_gained]
    items += [(before.criteria[id_], core, not_core) for id_ in found.core_lost]
    if not items:
        return html.paragraph(message("Core criteria: no difference known."))
    rows = [
        {
            "id": item.id,
            "name": _name(item),
            "before": was,
            "after": becomes,
            "certainty": _CERTAINTY[item.confidence],
            "source": sources.cite(item.source),
        }
        for item, was, becomes in items
    ]
    columns = {"id": _CODE, "name": _NAME, "before": _BEFORE, "after": _AFTER, "certainty": _HOW_CERTAIN}
    caption = message("Core criteria, which every certified city must meet")
    return html.table(rows, caption=caption, columns=columns | {"source": _SOURCE})


def _rules(found: Comparison) -> Block:
    """Practices, bands and rules."""
    parts = [html.heading(message("What changes in practices, levels and rules"))]
    groups = (
        (message("Practices"), found.practice_changes),
        (message("Level bands"), found.level_changes),
        (message("Rules"), found.rule_changes),
    )
    for caption, changes in groups:
        if not changes:
            parts.append(html.paragraph(message("{caption}: no difference known.", caption=caption)))
            continue
        rows = [
            {"item": change.item, "before": _said(change.before), "after": _said(change.after)} for change in changes
        ]
        columns = {"item": message("What"), "before": _BEFORE, "after": _AFTER}
        parts.append(html.table(rows, caption=caption, columns=columns))
    return html.joined(parts)


def _said(text: str) -> str:
    """A message as it is; the title of a practice as English."""
    return text if isinstance(text, Message) else html.in_english(text)


def _notes(before: Edition, after: Edition) -> Block:
    """What is known and not known of each edition, as its file says."""
    parts = [html.heading(message("What is known of the two editions"))]
    for one in (before, after):
        marks = [item.confidence for item in one.criteria.values()]
        said = [
            message("{n:,} {certainty}", n=marks.count(mark), certainty=text)
            for mark, text in _CERTAINTY.items()
            if mark in marks
        ]
        text = message("{title}. Criteria by certainty: {parts:list}.", title=one.title, parts=said)
        notes = html.english(html.bullets(one.notes)) if one.notes else html.paragraph(message("None."))
        parts += [html.paragraph(text), html.fold(message("Notes on {edition}", edition=one.name), notes)]
    return html.joined(parts)
