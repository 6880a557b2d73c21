"""City pages: which cities are asked for, everything that their pages say as plain values, and the page put together.

In: names, a panel, the evidence of a run. Out: one JSON of facts a city; pages show them and compute nothing.
"""

from __future__ import annotations

import csv
import dataclasses
import json
import math
import re
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Self

from wwc_research import catalog
from wwc_research.atomic import write_text
from wwc_research.errors import DataError, EstimationError, Faults, InputError
from wwc_research.messages import Message, decoded, encoded, message, said
from wwc_research.report import language as languages
from wwc_research.sources.places import NoMatch, Places, alternative_names, normalised, short_name, state_postal

if TYPE_CHECKING:
    from wwc_research.catalog import Outcome, Plan
    from wwc_research.design.peers import Peers
    from wwc_research.evidence.evidence import Evidence
    from wwc_research.evidence.questions import Question
    from wwc_research.panel.city_figures import History
    from wwc_research.panel.panel import Panel
    from wwc_research.report.html import Block

FORMAT: Final = 2
TREATMENT: Final = "certification"
EDITION: Final = "v3"
N_PEERS: Final = 10
AWARDS: Final = ("first", "level-up", "recertified")

Facts = Mapping[str, Any]
Section = Callable[[Facts], "Block"]


def plan_cities(names: Sequence[str], *, root: Path) -> tuple[str, ...]:
    """The place_ids that the names ask for, each once.

    Parameters
    ----------
    names
        `Detroit, MI`, a 7-digit code, `certified` (every US city of the public roster) or `all` (every place of the
        panel).
    root
        Of the project; only the compiled gazetteer and roster under `data/raw` are read.

    Raises
    ------
    InputError
        With every name that means no place, several, or one that the panel does not hold.
    DataError
        Where a table is missing.
    """
    raw_dir = root / "data" / "raw"
    universe = [row["place_id"] for row in _rows(raw_dir / "gazetteer" / "universe.csv")]
    known, faults, found = set(universe), Faults("--cities"), {}
    places: Places | None = None
    names_of: dict[str, list[tuple[str, str]]] = {}
    for text in names:
        if text in ("certified", "all"):
            ids = universe if text == "all" else sorted(known & _awards(raw_dir).keys())
            found.update(dict.fromkeys(ids))
            continue
        names_of = names_of or _names_by_state(raw_dir)
        place_id = text.strip() if text.strip() in known else _by_plain_name(text, names_of=names_of)
        if place_id is None:
            # reading every name takes a moment, so it is left for those that are not written plainly
            places = places or Places.load(raw_dir)
            match = places.resolve(text)
            if isinstance(match, NoMatch):
                faults.add(match.sentence())
                continue
            place_id = match.place_id
        if place_id not in known:
            faults.add(f"{text} ({place_id}) is not in the panel, which holds places of 30,000 people and more")
            continue
        found[place_id] = None
    faults.raise_if_any()
    return tuple(found)


def _names_by_state(raw_dir: Path) -> dict[str, list[tuple[str, str]]]:
    """Place_id and Census name of every place by state."""
    found: dict[str, list[tuple[str, str]]] = {}
    for row in _rows(raw_dir / "gazetteer" / "names.csv"):
        found.setdefault(row["state"], []).append((row["place_id"], row["name"]))
    return found


def _by_plain_name(text: str, *, names_of: Mapping[str, Sequence[tuple[str, str]]]) -> str | None:
    """The one place that bears exactly this name in this state; None where the resolver of names must look."""
    name, _, tail = text.rpartition(",")
    name, state = name.strip(), state_postal(tail)
    if not name or state is None:
        return None
    near = [(place_id, full) for place_id, full in names_of.get(state, ()) if full.startswith(name)]
    for forms in (lambda full: (full, short_name(full)), alternative_names):
        hits = [place_id for place_id, full in near if name in forms(full)]
        if hits:
            return hits[0] if len(hits) == 1 else None
    return None


def _rows(path: Path) -> Iterator[dict[str, str]]:
    if not path.is_file():
        raise DataError(f"{path}: the table is missing; run 'wwc-research data compile' first")
    with path.open(encoding="utf-8", newline="") as file:
        yield from csv.DictReader(file)


def _awards(raw_dir: Path) -> dict[str, list[dict[str, str]]]:
    """Public awards of US cities by place_id, in order of time, undated ones first.

    What was announced and is no award is left out: a page says of a city that it is on the public list of certified
    cities, or that it is not, and nothing else about its way there.
    """
    found: dict[str, list[dict[str, str]]] = {}
    fields = ("event", "level", "announced_on", "date_precision", "standard_edition", "confidence")
    for row in _rows(raw_dir / "certification" / "events.csv"):
        if row["country"] == "USA" and row["place_id"] and row["event"] in AWARDS:
            found.setdefault(row["place_id"], []).append({field: row[field] for field in fields})
    for awards in found.values():
        awards.sort(key=lambda award: (award["event"] != "first", award["announced_on"]))
    return found


def slug(place_id: str, *, label: str) -> str:
    """The name of a city's files: `detroit-mi-2622000`; the code keeps two cities of one name apart."""
    words = re.sub(r"[^a-z0-9]+", "-", normalised(label)).strip("-")
    return f"{words}-{place_id}" if words else place_id


def write_facts(
    place_ids: Sequence[str],
    *,
    panel: Panel,
    found: Mapping[Question, Evidence],
    folder: Path,
    root: Path,
    plan: Plan,
    links: Mapping[Question, Mapping[str, str]] | None = None,
) -> dict[str, Path]:
    """One JSON a city under `folder`, with everything that its page says.

    Parameters
    ----------
    place_ids
        Places of the panel, as `plan_cities` gives them.
    found
        The evidence of the run; outcomes it does not know stand on the page without an average effect.
    root
        Of the project, for the public roster.
    plan
        Whose outcomes stand on the page, with the years that it compares and the breaks that it accepts.
    links
        Where the page of a question stands, relative to the city's page, by language.

    Returns
    -------
    dict
        By place_id the path, whose stem is the city's `slug`.

    Raises
    ------
    InputError
        For places that the panel does not hold, all at once.
    """
    from wwc_research.design.peers import find_all_peers

    fixed = panel.frame.drop_duplicates("place_id").set_index("place_id")
    faults = Faults("cities")
    for place_id in place_ids:
        if place_id not in fixed.index:
            faults.add(f"place {place_id} is not in the panel, which holds places of 30,000 people and more")
    faults.raise_if_any()
    rows = {str(row["place_id"]): row for row in fixed.loc[list(place_ids)].reset_index().to_dict("records")}
    near = find_all_peers(panel, place_ids=place_ids, count=N_PEERS)
    awards = _awards(root / "data" / "raw")
    people = _population(panel, place_ids)
    outcomes = _outcomes(panel, near, rows=rows, plan=plan, found=found, links=links or {})
    standard = _standard(panel, place_ids)
    sources = _sources(panel, plan=plan)
    paths = {}
    for place_id, row in rows.items():
        label = str(row["label"])
        facts = {
            "format": FORMAT,
            "place_id": place_id,
            "city": label,
            "name": str(row["name"]),
            "county": str(row["county_name"]),
            "population": people.get(place_id),
            "certification": _certification(place_id, row, awards),
            "outcomes": outcomes[place_id],
            "peers": _peers(near[place_id]),
            "standard": standard[place_id],
            "sources": sources,
            "data_sha256": panel.data_hash,
        }
        paths[place_id] = folder / f"{slug(place_id, label=label)}.json"
        write_text(paths[place_id], json.dumps(_plain(encoded(facts)), ensure_ascii=False, indent=1) + "\n")
    return paths


def _plain(value: Any) -> Any:
    """The value with undefined numbers as None, as JSON has no other."""
    if isinstance(value, Mapping):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _population(panel: Panel, place_ids: Sequence[str]) -> dict[str, dict[str, int]]:
    """The latest count of residents and its year."""
    found: dict[str, dict[str, int]] = {}
    own = panel.frame.loc[panel.frame["place_id"].isin(place_ids)]
    for column in ("population_count", "population_recent_count"):
        last = own.loc[own[column].notna()].groupby("place_id").tail(1)
        for place_id, year, count in last[["place_id", "year", column]].itertuples(index=False):
            if place_id not in found or found[place_id]["year"] < year:
                found[str(place_id)] = {"count": int(count), "year": int(year)}
    return found


def _certification(place_id: str, row: Mapping[str, Any], awards: Mapping[str, list[dict[str, str]]]) -> dict[str, Any]:
    """What the public roster says: `status`, `since` (first year that counts as after), `awards`, `interval`."""
    from wwc_research.catalog.undated import intervals

    own = awards.get(place_id, [])
    since = _since(row)
    bounds = next(([item.earliest, item.latest] for item in intervals().values() if item.place_id == place_id), None)
    status = "none" if not own else "certified" if since is not None else "undated"
    return {"status": status, "since": since, "awards": own, "interval": bounds if status == "undated" else None}


def _since(row: Mapping[str, Any]) -> int | None:
    """The first year that counts as after the first award; None without an award, or without its date."""
    import pandas as pd

    cohort = row.get(f"{TREATMENT}_cohort")
    return None if cohort is None or pd.isna(cohort) else int(cohort)


def _outcomes(
    panel: Panel,
    near: Mapping[str, Peers | InputError | EstimationError],
    *,
    rows: Mapping[str, Mapping[str, Any]],
    plan: Plan,
    found: Mapping[Question, Evidence],
    links: Mapping[Question, Mapping[str, str]],
) -> dict[str, list[dict[str, Any]]]:
    """By city, what its page says of each outcome of the plan."""
    from wwc_research.evidence.questions import Question
    from wwc_research.panel.city_figures import city_histories
    from wwc_research.panel.demonstrations import measures_of

    # peers on the list changed with their own awards: the mean to set a city against is of the others
    peers = {
        place_id: () if isinstance(item, Exception) else tuple(p.place_id for p in item.peers if p.may_be_compared)
        for place_id, item in near.items()
    }
    since = {place_id: year for place_id, row in rows.items() if (year := _since(row)) is not None}
    said_of: dict[str, list[dict[str, Any]]] = {place_id: [] for place_id in rows}
    for name, analysis in plan.analyses.items():
        outcome = catalog.outcome(name)
        planned = (analysis.baseline_years, analysis.post_years)
        histories = city_histories(
            panel, outcome, peers=peers, since=since, otherwise=planned, accepted=analysis.accept_breaks
        )
        question = Question(treatment=TREATMENT, outcome=name)
        average = _average(found.get(question), outcome, links=links.get(question, {}))
        unit = panel.column(outcome.variable).unit
        elsewhere = [_latest(panel, measure, place_ids=rows) for measure in measures_of(name)[1:]]
        for place_id, history in histories.items():
            others = [rows_of[place_id] for rows_of in elsewhere if place_id in rows_of]
            said_of[place_id].append(_history(history, unit=unit) | {"average": average, "others": others})
    return said_of


def _latest(panel: Panel, measure: str, *, place_ids: Collection[str]) -> dict[str, dict[str, Any]]:
    """The latest figure of a column by city, in the column's own words."""
    frame, column = panel.frame, panel.column(measure)
    known = frame.loc[frame["place_id"].isin(list(place_ids)) & frame[measure].notna()]
    last = known.groupby("place_id").tail(1)
    return {
        str(place_id): {"title": column.title, "unit": column.unit, "year": int(year), "value": float(value)}
        for place_id, year, value in last[["place_id", "year", measure]].itertuples(index=False)
    }


def _history(history: History, *, unit: str) -> dict[str, Any]:
    return {**dataclasses.asdict(history), "peers": len(history.peers), "unit": unit}


def _average(found: Evidence | None, outcome: Outcome, *, links: Mapping[str, str]) -> dict[str, Any] | None:
    """The average effect over all cities, in the words of the outcome's own page."""
    from wwc_research.report import wording

    if found is None:
        return None
    return {
        "verdict": wording.verdict_title(found, outcome),
        "sentence": wording.headline_sentence(found, outcome, catalog.treatment(found.treatment)),
        "links": dict(links),
    }


def _peers(found: Peers | InputError | EstimationError) -> dict[str, Any]:
    """The peers as rows, with what a reader must know of them; `failed` says why there are none."""
    from wwc_research.report import peers as wording

    if isinstance(found, Exception):
        return {"failed": said(found), "peers": [], "characteristics": [], "notes": []}
    return {
        "failed": "",
        "years": list(found.years),
        "n_compared": found.n_compared,
        "is_far": wording.is_far(found),
        "n_missing": len(found.missing),
        "characteristics": [
            {"name": item.name, "head": item.words.head, "said_as": item.words.said_as, "value": item.value}
            for item in found.characteristics
        ],
        "peers": [
            {
                "city": peer.label,
                "values": dict(peer.values),
                "distance": peer.distance,
                "nearer_than_pairs_share": peer.nearer_than_pairs_share,
                "status": wording.status(peer.certification),
                "is_certified": not peer.may_be_compared,
            }
            for peer in found.peers
        ],
        "notes": wording.notes(found),
    }


def _standard(panel: Panel, place_ids: Sequence[str]) -> dict[str, dict[str, Any]]:
    """By city, the outcome requirement of the edition in force held against public figures: progress over time."""
    from wwc_research.catalog.editions import edition
    from wwc_research.panel.demonstrations import demonstrations
    from wwc_research.standard.demonstration import judge_requirement

    entry = edition(EDITION)
    asked = entry.outcome_requirement
    assert asked is not None  # the edition that ships asks for outcomes
    table = demonstrations(panel, reading="progress", outcomes=asked.outcomes, place_ids=place_ids)
    kept = ["place_id", "outcome", "measure", "verdict", "reason", "year_from", "year_to", "value_from", "value_to"]
    kept += ["change", "std_error_change", "detectable_change", "p_value"]
    table = table[kept].astype(object).where(table[kept].notna(), None)
    columns = {name: panel.column(name) for name in table["measure"].unique()}
    by_place: dict[str, list[dict[str, Any]]] = {place_id: [] for place_id in place_ids}
    for row in table.to_dict("records"):
        column = columns[row["measure"]]
        place_id = str(row.pop("place_id"))
        by_place[place_id].append({**row, "title": column.title, "unit": column.unit, "geography": column.geography})
    said_of = {}
    for place_id, rows in by_place.items():
        verdicts = [
            judge_requirement(row["verdict"] for row in rows if row["outcome"] == name) for name in asked.outcomes
        ]
        said_of[place_id] = {
            "at_least": asked.at_least,
            "has_own_choice": asked.has_own_choice,
            "verdict": judge_requirement(verdicts, at_least=asked.at_least),
            "rows": rows,
        }
    return said_of


def _sources(panel: Panel, *, plan: Plan) -> list[dict[str, str]]:
    """Where the figures come from, with publisher, vintage and licence."""
    from wwc_research.catalog.peers import peers_rule
    from wwc_research.evidence.provenance import shipped_vintages
    from wwc_research.sources import raw

    entries = raw.load_sources()
    names = [catalog.outcome(name).variable for name in plan.analyses]
    names += [variable for name in peers_rule().characteristics for variable in catalog.covariates()[name].variables]
    served: dict[str, set[str]] = {}
    for column in map(panel.column, names):
        for item in column.served:
            served.setdefault(item.source, set()).add(item.vintage)
    served[TREATMENT] = shipped_vintages(entries[TREATMENT])
    return [
        {
            "series": entries[name]["title"],
            "publisher": entries[name]["publisher"],
            "vintage": _vintages(vintages, source=entries[name]),
            "licence": entries[name]["licence"],
        }
        for name, vintages in served.items()
    ]


def _vintages(vintages: Collection[str], *, source: Mapping[str, Any]) -> str:
    from wwc_research.evidence.provenance import vintage_in_words

    named = [vintage_in_words(vintage, source=source) for vintage in sorted(vintages)]
    is_said = any(isinstance(text, Message) for text in named)
    return message("{parts:semicolons}", parts=named) if is_said else ", ".join(named)


def read_facts(path: Path) -> dict[str, Any]:
    """The facts written to `path`, with their messages.

    Raises
    ------
    DataError
        Where the file is absent or was written by another version.
    """
    if not path.exists():
        raise DataError(f"{path}: there are no facts of this city yet; run 'wwc-research report --cities NAME'")
    raw: dict[str, Any] = decoded(json.loads(path.read_text(encoding="utf-8")))
    if raw.get("format") != FORMAT:
        raise DataError(f"{path} was written by another version; run 'wwc-research report --cities NAME' again")
    return raw


def heading_of(facts: Facts) -> Message:
    """The title of a city's page."""
    return message("{city}: its peers, its outcomes, where it stands", city=facts["city"])


def title(facts_path: Path, language: str) -> str:
    """The title of the page of a facts file, in a language."""
    with languages.speaking(language):
        return languages.shown(heading_of(read_facts(facts_path)))


@dataclass(frozen=True, slots=True, kw_only=True)
class CityPage:
    """A city's page being put together; open it with `CityPage.open`."""

    facts: Facts
    language: str

    @classmethod
    def open(cls, facts_path: str | Path, *, language: str = "en") -> Self:
        """The page of one facts file.

        Raises
        ------
        InputError
            For a language that there is not.
        DataError
            Where the facts are absent or of another version.
        """
        with languages.speaking(language):
            return cls(facts=read_facts(Path(facts_path)), language=language)

    def show(self, section: Section) -> Block:
        """The section, in the language of the page."""
        with languages.speaking(self.language):
            return section(self.facts)


__all__ = ["CityPage", "heading_of", "plan_cities", "read_facts", "slug", "title", "write_facts"]
