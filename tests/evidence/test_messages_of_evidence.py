"""Every text of the evidence that a page shows can be said in another language, also after a way through JSON."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping
from functools import cache
from typing import Any

import pytest

from tests.report.example_evidence import example_evidence
from wwc_research import catalog
from wwc_research.evidence.evidence import Evidence
from wwc_research.evidence.parts import read_part, write_part
from wwc_research.messages import Message, counted, message

# fields of any depth that hold text for readers
SHOWN = {
    "asks",
    "because",
    "clearinghouse",
    "deviations",
    "essa",
    "failed",
    "not_applicable",
    "notes",
    "reason",
    "sentence",
    "title",
    "warnings",
}
# `group` is a title among trends, a name among groups of units
TITLES = {"trends"}
# above, text that has no translation is a flattened sentence rather than a name, a city or a date
LONGEST_NAME = 60


@cache
def catalog_words() -> frozenset[str]:
    """All texts of the catalog, which are looked up in the catalogues of translations as they are."""
    found: set[str] = set()
    entries = (catalog.outcomes(), catalog.treatments(), catalog.covariates(), catalog.variables())
    for known in entries:
        for entry in known.values():
            found.update(_texts(dataclasses.asdict(entry)))
    return frozenset({*found, *_texts(dataclasses.asdict(catalog.plan()))})


def _texts(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, Mapping):
        for item in value.values():
            yield from _texts(item)
    elif isinstance(value, list | tuple):
        for item in value:
            yield from _texts(item)


def shown(value: Any, *, path: str = "", is_shown: bool = False) -> Iterator[tuple[str, str]]:
    """(where, text) of every text for readers, at any depth."""
    if isinstance(value, str):
        if is_shown and value:
            yield path, value
    elif isinstance(value, Mapping):
        for key, item in value.items():
            named = key in SHOWN or (key == "group" and path.split("/")[1] in TITLES)
            yield from shown(item, path=f"{path}/{key}", is_shown=is_shown or named)
    elif isinstance(value, list | tuple):
        for item in value:
            yield from shown(item, path=path, is_shown=is_shown)


def flattened(text: str) -> Iterator[str]:
    """Sentences among the values of a message, at any depth, that lost their template."""
    values = [item for value in getattr(text, "values", {}).values() for item in _parts(value)]
    for value in values:
        if isinstance(value, Message):
            yield from flattened(value)
        elif isinstance(value, str) and len(value) > LONGEST_NAME and value not in catalog_words():
            yield value


def _parts(value: Any) -> tuple[Any, ...]:
    return value if isinstance(value, tuple) else (value,)


def untranslatable(evidence: Evidence) -> list[tuple[str, str]]:
    values = dataclasses.asdict(evidence)
    failed = values["specifications"] and values["specifications"].pop("failed")
    found = [(where, text) for where, text in shown(values) if not _can_be_said(text)]
    # a failed specification is a row of codes with the reason last
    found += [("specifications/failed", row[-1]) for row in failed or () if not _can_be_said(row[-1])]
    return found


def _can_be_said(text: str) -> bool:
    return text in catalog_words() or (isinstance(text, Message) and not list(flattened(text)))


@pytest.fixture(params=["broadband", "youth_neet", "employment"])
def evidence(request, answered) -> Evidence:
    return answered[1][request.param]


def test_every_text_of_the_evidence_for_readers_is_a_message_or_a_word_of_the_catalog(evidence):
    texts = list(shown(dataclasses.asdict(evidence)))
    assert len(texts) > 100
    assert untranslatable(evidence) == []


def test_where_the_exposed_are_and_when_they_adopted_is_part_of_the_evidence(evidence):
    exposed = [row for row in evidence.places if row["cohort"] is not None]
    assert len(exposed) == evidence.headline.estimate["n_treated"]
    assert sum(row["n_units"] for row in evidence.places) == evidence.headline.estimate["n_units"]
    firsts = [row for row in evidence.adoptions if row["event"] == "first"]
    assert len(firsts) >= len(exposed)
    assert all(row["label"] == "" for row in evidence.places if row["cohort"] is None)


def test_survey_errors_of_the_means_are_given_where_the_source_publishes_them(evidence):
    assert catalog.outcome(evidence.outcome).has_survey_error
    assert all(0 < row["std_error"] < 0.05 for row in evidence.trends)


def test_a_plain_sentence_is_found_out():
    noted = example_evidence(notes=("2020 is missing.",))
    assert ("/notes", "2020 is missing.") in untranslatable(noted)
    lost = message("Not known: {why}", why="There are too few years before exposure to look at the last of them.")
    assert ("/notes", lost) in untranslatable(example_evidence(notes=(lost,)))


NOTE = counted(
    "{n} city: {names:list}; {why} ({share:.1%})",
    "{n} cities: {names:list}; {why} ({share:.1%})",
    n=2,
    names=["Mesa, AZ", message("{n} more", n=3)],
    why=message("none is dated"),
    share=0.125,
)


def test_evidence_written_and_read_and_written_again_has_the_same_bytes(tmp_path):
    first, second = tmp_path / "first.json", tmp_path / "second.json"
    example_evidence(notes=(NOTE,)).write(first)
    again = Evidence.read(first)
    again.write(second)
    assert first.read_bytes() == second.read_bytes()
    note = again.notes[0]
    assert note == "2 cities: Mesa, AZ and 3 more; none is dated (12.5%)"
    assert (note.template, note.plural) == (NOTE.template, NOTE.plural)
    assert note.values == NOTE.values
    assert note.values["why"].template == "none is dated"


def test_a_part_keeps_its_messages(tmp_path):
    path = tmp_path / "part.json"
    write_part(path, {"sentence": NOTE, "rows": [{"failed": NOTE}]})
    found = read_part(path)
    assert found["sentence"].template == found["rows"][0]["failed"].template == NOTE.template
    assert found["sentence"].values == NOTE.values
