"""The page on two editions of the Standard: what changes, how certain that is, and what it would do to scored cities.

In: two editions, perhaps an `Impact`. Out: text of one self-contained page for programme staff.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from importlib import resources
from pathlib import Path
from typing import Final

import jinja2
from markupsafe import Markup

from wwc_research import __version__
from wwc_research.catalog.editions import Criterion, Edition, TieRule, edition
from wwc_research.errors import Faults, InputError, listed
from wwc_research.report import html, page
from wwc_research.report.html import Block
from wwc_research.sources.places import Places
from wwc_research.standard import assessment_files, impact, regions
from wwc_research.standard.comparison import Comparison, Pair, compare
from wwc_research.standard.deciders import Unanswered
from wwc_research.standard.impact import Impact, Row, Table
from wwc_research.standard.proposals import read_proposal
from wwc_research.standard.scoring import Standing

_CERTAINTY: Final = {
    "source": "a source says it",
    "inferred": "worked out, see the notes",
    "memory": "from memory, not checked",
    "unknown": "not known",
}
_HEADINGS: Final[Mapping[Table, tuple[str, str]]] = {
    "change": ("What would become of them", "What would happen"),
    "transition": ("From level to level", "Level before and after"),
    "decided_by": ("Which rule decides", "Undoing this alone would undo the change"),
    "if_met": ("How much hangs on criteria without an answer", "Would it happen"),
    "size_band": ("By residents", "Residents"),
    "region": ("By census region", "Region"),
}


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


def standard_html(before: Edition, after: Edition, *, impact: Impact | None = None) -> str:
    """The page: a lead sentence, what can and cannot be said, the impact where there is one, every difference."""
    found = compare(before, after)
    sources = _Sources()
    parts = [_limits(before, after, found, impact)]
    if impact is not None and impact.answered:
        parts.append(_impact(impact))
    parts += [_criteria(before, after, found, sources), _rules(found), _notes(before, after), sources.block()]
    body = parts[0]
    for part in parts[1:]:
        body = body + part
    template = jinja2.Environment(autoescape=True, undefined=jinja2.StrictUndefined).from_string(
        resources.files(__package__).joinpath("templates", "standard.html.j2").read_text(encoding="utf-8")
    )
    return template.render(
        title=f"The Standard: from {before.name} to {after.name}",
        kicker=f"{before.title} ({before.years}) and {after.title} ({after.years})",
        lead=_lead(found, impact),
        body=body.html,
        css=Markup(page.css()),
        version=__version__,
    )


def _number(count: int, noun: str, plural: str = "") -> str:
    return f"{count:,} {noun if count == 1 else plural or noun + 's'}"


def _lead(found: Comparison, impact: Impact | None) -> str:
    """What matters most, in a sentence or two."""
    if impact is not None and not impact.answered:
        return (
            f"These cities have answered none of the {impact.criteria_count} criteria of {impact.after}, "
            "so what it would do to them cannot be told."
        )
    if impact is not None:
        return _impact_lead(impact)
    counts = [
        (len(found.added), "criterion added", "criteria added"),
        (len(found.dropped), "without a counterpart in the new edition", ""),
        (len(found.renamed), "renamed", "renamed"),
        (len(found.re_weighted), "with other points", "with other points"),
        (len(found.core_gained), "newly core", "newly core"),
    ]
    said = [f"{count} {text if count == 1 else plural or text}" for count, text, plural in counts if count]
    rules = len(found.level_changes) + len(found.rule_changes)
    text = (
        f"Among the criteria that sources name, {listed(said, limit=9)}. " if said else "No named criterion differs. "
    )
    return text + f"{_number(rules, 'level band or rule differs', 'level bands and rules differ')}."


def _impact_lead(impact: Impact) -> str:
    sentences = []
    for group, total in impact.groups.items():
        rows = impact.table("change", group=group)
        if len(rows) == 1 and len(rows[0].change) > 1:
            sentences.append(f"Of {total:,} cities {group}, nothing can be told apart safely.")
        else:
            said = [f"{row.cities_count:,} {_would(row)}" for row in rows]
            sentences.append(f"Of {total:,} cities {group}, {listed(said, limit=9)}.")
    prefix = "Simulated cities, no real ones: " if impact.is_simulated else ""
    return prefix + " ".join(sentences)


_WOULD: Final = {
    "loses certification": "lose certification",
    "falls to a lower level": "fall to a lower level",
    "keeps its level": "keep their level",
    "rises to a higher level": "rise to a higher level",
    "stays without certification": "stay without certification",
    "gains certification": "gain certification",
    "does not meet every core requirement": "not meet every core requirement",
    "meets every core requirement": "meet every core requirement",
}


def _would(row: Row) -> str:
    return f"would {' or '.join(_WOULD[text] for text in row.change)}"


def _limits(before: Edition, after: Edition, found: Comparison, impact: Impact | None) -> Block:
    """What the page can and cannot say."""
    items = []
    for one in (before, after):
        if one.placeholders:
            items.append(
                f"{one.name}: {len(one.placeholders)} of its {one.criteria_total} criteria are named by no source. "
                "They are counted as placeholders and never matched with anything."
            )
        if not one.total_is_known:
            items.append(
                f"{one.name}: how many criteria it has is not known ({one.criteria_total} are named), so no share of "
                "points and no level can be worked out from it."
            )
        elif not one.levels_follow_points:
            items.append(f"{one.name}: its levels do not follow the share of points, or no bands are known.")
    if found.same_code_only:
        items.append(
            f"{_number(len(found.same_code_only), 'criterion has', 'criteria have')} the same code in both editions "
            "without any source saying that it is the same criterion. They are listed, and not taken as the same."
        )
    uncertain = len(found.dropped) - len(found.dropped_for_certain)
    if uncertain:
        text = _number(uncertain, "named criterion has", "named criteria have")
        items.append(f"{text} no known counterpart: each may be gone, or stand there under another name.")
    if impact is not None:
        items += _impact_limits(impact)
    items.append("A comparison of texts says nothing of how strictly assessors apply them.")
    return html.heading("What this page can and cannot say") + html.bullets(items)


def _impact_limits(impact: Impact) -> list[str]:
    answered, total = len(impact.answered), impact.criteria_count
    items = [
        f"The cities have answered {answered} of the {total} criteria of {impact.after}."
        + (
            ""
            if answered == total
            else f" The other {total - answered} count as {impact.unanswered} for every city: this is the "
            + ("best" if impact.unanswered == "met" else "worst")
            + " case, not a forecast."
        )
    ]
    if not answered:
        items.append("Which criteria of the two editions are the same, somebody who knows both must say (--same A=B).")
        return items
    if answered * 2 < total:
        items.append(
            "Fewer than half of the criteria have an answer. The impact below says more about missing answers than "
            "about cities; do not quote it without this sentence."
        )
    if not impact.gives_levels:
        items.append(
            f"{impact.after} gives no levels. Only its core requirements are judged, where cities answered them."
        )
    items.append(
        "Cities are judged by the practice they had when they were assessed. They would prepare for new rules, so "
        "these numbers say what the rules would change, not how many cities will be certified."
    )
    return items


def _impact(impact: Impact) -> Block:
    made = html.heading("What it would do to the scored cities")
    for group in impact.groups:
        made = made + html.heading(f"Cities {group}: {impact.groups[group]:,}", level=3)
        for table in _HEADINGS:
            rows = impact.table(table, group=group)
            if rows and not (table == "transition" and len(rows) == 1):
                made = made + _impact_table(table, rows, group=group)
        hidden = [
            _HEADINGS[table][0].lower()
            for name, table in impact.withheld
            if name == group and not impact.table(table, group=group)
        ]
        if hidden:
            text = f"Not shown, because it would tell about fewer than {impact.k} cities: {'; '.join(hidden)}."
            made = made + html.paragraph(text)
    for name in impact.left_out:
        made = made + html.paragraph(f"Cities {name} are fewer than {impact.k} and are left out of every number.")
    if len(impact.rules) == 1:
        made = made + html.paragraph(f"Only one thing changes that could matter ({impact.rules[0]}), so it decides.")
    elif not impact.rules:
        made = made + html.paragraph("Nothing changes that could matter for a level.")
    return made + html.fold("How these numbers protect cities", _protection(impact.k))


def _impact_table(table: Table, rows: Sequence[Row], *, group: str) -> Block:
    """One table; a column each change where there are several for one size band or region."""
    title, first = _HEADINGS[table]
    changes = list(dict.fromkeys(row.change for row in rows))
    about = f"cities {group}"
    if table == "change":
        texts = [{"item": _or(row.change), "0": f"{row.cities_count:,}"} for row in rows]
        return html.table(texts, caption=f"{title} ({about})", columns={"item": first, "0": "Cities"})
    if table in ("transition", "decided_by"):
        texts = [{"item": _or(row.item), "change": _or(row.change), "cities": f"{row.cities_count:,}"} for row in rows]
        columns = {"item": first, "change": "What would happen", "cities": "Cities"}
        return html.table(texts, caption=f"{title} ({about})", columns=columns)
    found = {(row.item, row.change): f"{row.cities_count:,}" for row in rows}
    texts = [
        {"item": _or(item)} | {str(at): found[item, change] for at, change in enumerate(changes)}
        for item in dict.fromkeys(row.item for row in rows)
    ]
    columns = {"item": first} | {str(at): f"Cities: {_or(change)}" for at, change in enumerate(changes)}
    return html.table(texts, caption=f"{title} ({about})", columns=columns)


def _or(texts: Sequence[str]) -> str:
    return " or ".join(texts)


def _protection(k: int) -> Block:
    merged = (
        f"Every number counts at least {k} cities. Smaller groups are added to their neighbours and told as one, "
        "written with “or”. That holds for groups of no city too, so no line says that nobody or everybody is in it."
    )
    left_out = (
        f"A table is left out where groups of fewer than {k} cities would follow from adding or subtracting numbers of "
        "this page."
    )
    known = "A city that knows its own case, or those of its neighbours, knows more than this page says."
    once = "Publish one such page on one set of cities. Two pages with other options can be compared with each other."
    return html.bullets([merged, left_out, known, once])


class _Sources:
    """Sources by number, in the order in which they are first cited."""

    def __init__(self) -> None:
        self._numbers: dict[str, int] = {}

    def cite(self, *texts: str) -> Markup:
        numbers = sorted({self._numbers.setdefault(text, len(self._numbers) + 1) for text in texts if text})
        links = [Markup('<a href="#source-{0}">{0}</a>').format(number) for number in numbers]
        return Markup(", ").join(links) if links else Markup("none")

    def block(self) -> Block:
        if not self._numbers:
            return Block(Markup(""))
        items = [
            Markup('<li id="source-{}">{}</li>').format(number, _linked(text)) for text, number in self._numbers.items()
        ]
        return html.heading("Sources") + Block(Markup('<ol class="sources">{}</ol>').format(Markup("").join(items)))


def _linked(text: str) -> Markup:
    address = re.fullmatch(r"https://\S+", text)
    return Markup('<a href="{0}" rel="noreferrer">{0}</a>').format(text) if address else Markup("{}").format(text)


def _criteria(before: Edition, after: Edition, found: Comparison, sources: _Sources) -> Block:
    """Every difference between criteria, with certainty and sources."""
    certain = {"added": set(found.added_for_certain), "dropped": set(found.dropped_for_certain)}
    made = html.heading("What changes in the criteria")
    made = made + _singles(
        f"Named in {after.name} and not in {before.name}",
        found.added,
        lambda item: (
            _CERTAINTY[item.confidence]
            if item.id in certain["added"]
            else f"may stand unnamed in {before.name}, or under another code"
        ),
        sources,
    )
    made = made + _singles(
        f"Named in {before.name} and not in {after.name}",
        found.dropped,
        lambda item: (
            _CERTAINTY[item.confidence]
            if item.id in certain["dropped"]
            else f"no source says what became of it in {after.name}"
        ),
        sources,
    )
    made = made + _pairs("Renamed", found.renamed, _named, "an alias in one of the editions joins them", sources)
    made = made + _pairs(
        "Same code, and not known to be the same criterion",
        found.same_code_only,
        _named,
        "only the code agrees; not taken as the same",
        sources,
    )
    made = made + _pairs("Other points", found.re_weighted, lambda item: f"{item.points:g}", "", sources)
    made = made + _pairs("Other practice", found.moved, lambda item: item.practice, "", sources)
    return made + _core(before, after, found, sources)


def _named(item: Criterion) -> str:
    return f"{item.id} {item.name}" + (" (our wording)" if item.is_own_wording else "")


def _singles(
    caption: str, items: Sequence[Criterion], certainty: Callable[[Criterion], str], sources: _Sources
) -> Block:
    if not items:
        return html.paragraph(f"{caption}: none.")
    rows = [
        {
            "id": item.id,
            "name": item.name + (" (our wording)" if item.is_own_wording else ""),
            "points": f"{item.points:g}",
            "certainty": certainty(item),
            "source": sources.cite(item.source),
        }
        for item in items
    ]
    columns = {"id": "Code", "name": "Name", "points": "Points", "certainty": "How certain", "source": "Source"}
    return html.table(rows, caption=f"{caption}: {len(items)}", columns=columns)


def _pairs(
    caption: str, pairs: Sequence[Pair], shown: Callable[[Criterion], str], certainty: str, sources: _Sources
) -> Block:
    if not pairs:
        return html.paragraph(f"{caption}: none.")
    rows = [
        {
            "id": pair.after.id,
            "before": shown(pair.before),
            "after": shown(pair.after),
            "certainty": certainty or _CERTAINTY[pair.after.confidence],
            "source": sources.cite(pair.before.source, pair.after.source),
        }
        for pair in pairs
    ]
    columns = {"id": "Code", "before": "Before", "after": "After", "certainty": "How certain", "source": "Sources"}
    return html.table(rows, caption=f"{caption}: {len(pairs)}", columns=columns)


def _core(before: Edition, after: Edition, found: Comparison, sources: _Sources) -> Block:
    items = [(after.criteria[id_], "not core", "core") for id_ in found.core_gained]
    items += [(before.criteria[id_], "core", "not core") for id_ in found.core_lost]
    if not items:
        return html.paragraph("Core criteria: no difference known.")
    rows = [
        {
            "id": item.id,
            "name": item.name,
            "before": was,
            "after": becomes,
            "certainty": _CERTAINTY[item.confidence],
            "source": sources.cite(item.source),
        }
        for item, was, becomes in items
    ]
    columns = {"id": "Code", "name": "Name", "before": "Before", "after": "After", "certainty": "How certain"}
    caption = "Core criteria, which every certified city must meet"
    return html.table(rows, caption=caption, columns=columns | {"source": "Source"})


def _rules(found: Comparison) -> Block:
    """Practices, bands and rules."""
    made = html.heading("What changes in practices, levels and rules")
    groups = (
        ("Practices", found.practice_changes),
        ("Level bands", found.level_changes),
        ("Rules", found.rule_changes),
    )
    for caption, changes in groups:
        if not changes:
            made = made + html.paragraph(f"{caption}: no difference known.")
            continue
        rows = [{"item": change.item, "before": change.before, "after": change.after} for change in changes]
        made = made + html.table(rows, caption=caption, columns={"item": "What", "before": "Before", "after": "After"})
    return made


def _notes(before: Edition, after: Edition) -> Block:
    """What is known and not known of each edition, as its file says."""
    made = html.heading("What is known of the two editions")
    for one in (before, after):
        marks = [item.confidence for item in one.criteria.values()]
        said = [f"{marks.count(mark)} {text}" for mark, text in _CERTAINTY.items() if mark in marks]
        text = f"{one.title}. Criteria by certainty: {listed(said)}."
        made = made + html.paragraph(text) + html.fold(f"Notes on {one.name}", html.bullets(one.notes or ("None.",)))
    return made
