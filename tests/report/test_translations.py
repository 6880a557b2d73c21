import io
import re
import string

import pytest
from babel.messages.pofile import read_po

from wwc_research.messages import Message, counted, message
from wwc_research.report import language
from wwc_research.report.text import collect

OTHERS = [code for code in language.LANGUAGES if code != "en"]


@pytest.fixture(scope="module")
def texts():
    return collect.collected()


@pytest.fixture(params=OTHERS)
def catalogue(request):
    return read_po(io.BytesIO(language.text_of(request.param)), locale=language.LANGUAGES[request.param].locale)


def fields(template: str) -> set[tuple[str, str]]:
    parsed = string.Formatter().parse(template)
    return {(name, spec or "") for _, name, spec, _ in parsed if name is not None}


def digits(template: str) -> list[str]:
    return sorted(re.findall(r"\d+", re.sub(r"(?<=\d)[.,\u00a0](?=\d)", "", re.sub(r"{[^}]*}", "", template))))


def test_texts_are_collected_from_code_templates_and_catalog(texts):
    files = set.union(*texts.values())
    assert {"report/staff_sections.py", "catalog/outcomes.toml", "catalog/treatments.toml"} <= files
    assert any(file.endswith(".j2") for file in files)
    assert any(file.startswith("evidence/") for file in files)
    assert any(isinstance(text, tuple) for text in texts)


def test_every_text_is_translated_and_nothing_else_is_kept(catalogue, texts):
    known = {tuple(entry.id) if isinstance(entry.id, list | tuple) else entry.id for entry in catalogue if entry.id}
    assert texts.keys() - known == set(), "run python -m wwc_research.report.text.collect and translate what is empty"
    assert known - texts.keys() == set(), "run python -m wwc_research.report.text.collect"
    forms = [entry.string if isinstance(entry.string, tuple | list) else (entry.string,) for entry in catalogue]
    missing = [entry.id for entry, strings in zip(catalogue, forms, strict=True) if entry.id and not all(strings)]
    assert missing == []


def test_no_translation_is_fuzzy_or_given_up(catalogue):
    assert [entry.id for entry in catalogue if entry.id and entry.fuzzy] == []
    assert list(catalogue.obsolete) == []


def test_a_translation_has_the_fields_and_the_numbers_of_its_text(catalogue):
    wrong = []
    for entry in catalogue:
        if not entry.id:
            continue
        plural = isinstance(entry.id, tuple | list)
        ids = entry.id if plural else (entry.id,)
        strings = entry.string if plural else (entry.string,)
        wanted, allowed = set.intersection(*map(fields, ids)), set.union(*map(fields, ids))
        for text in strings:
            lacking = wanted - fields(text)
            if fields(text) - allowed or (lacking - {field for field in lacking if plural and field[0] == "n"}):
                wrong.append((entry.id, text))
            if not plural and digits(text) != digits(entry.id):
                wrong.append((entry.id, text))
    assert wrong == []


def test_a_plural_has_as_many_forms_as_its_language_needs(catalogue):
    for entry in catalogue:
        if isinstance(entry.id, tuple | list):
            assert len(entry.string) == catalogue.num_plurals


def test_numbers_lists_and_plurals_follow_the_language(monkeypatch):
    texts = {
        "{n} city": ("{n} ciudad", "{n} ciudades"),
        "The gap is {gap:+,.1f} in {places:list} ({n_units}).": "En {places:list} ({n_units}): {gap:+,.1f}.",
        "points": "puntos",
        "Nothing.": ("Nada.", "Nada en {n} casos."),
    }
    made = language.Catalogue(texts=texts, plural_index=lambda n: int(n != 1))
    monkeypatch.setattr(language, "catalogue", lambda code: made)
    units = counted("{n} city", "{n} cities", n=3)
    said = message(
        "The gap is {gap:+,.1f} in {places:list} ({n_units}).", gap=-1234.56, places=["A", "B"], n_units=units
    )
    assert said == "The gap is -1,234.6 in A and B (3 cities)."
    with language.speaking("pt"):
        assert language.shown(said) == "En A e B (3 ciudades): −1.234,6."
    with language.speaking("es"):
        assert language.shown(said) == "En A y B (3 ciudades): −1,234.6."
        assert language.shown("points") == "puntos"
        assert language.shown(counted("{n} city", "{n} cities", n=1)) == "1 ciudad"
        assert language.shown("Detroit, MI") == "Detroit, MI"
        assert language.shown(Message("Nothing.")) == "Nada.", "a text that has got its plural since"
    assert language.current().code == "en"


def test_a_language_without_texts_is_refused():
    with pytest.raises(Exception, match="there is no language 'fr'; use en, es and pt"):
        language.speak("fr")
