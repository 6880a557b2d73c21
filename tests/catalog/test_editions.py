from dataclasses import replace
from importlib import resources

import pytest

from wwc_research import catalog
from wwc_research.catalog.editions import criterion_ids, edition, editions, folded, read_edition
from wwc_research.errors import DataError, InputError

SMALL = """
name = "small"
title = "A small edition"
years = "2030"
criteria_total = 4
tie_rule = "down"

[practices.AA]
title = "First"
criteria_count = 2

[practices.BB]
title = "Second"
criteria_count = 2

[criteria.AA1]
practice = "AA"
name = "One"
aliases = ["OLD1"]

[criteria.AA2]
practice = "AA"
name = "Two"
requires = ["AA1"]

[criteria.BB1]
practice = "BB"
name = "Three"

[placeholders]
count = 1
prefix = "UNKNOWN"

[[levels]]
name = "silver"
minimum_pct = 50
maximum_pct = 74

[[levels]]
name = "gold"
minimum_pct = 75
maximum_pct = 100
"""


def read(*changes: tuple[str, str], extra: str = ""):
    text = SMALL
    for before, after in changes:
        assert text.count(before) == 1, before
        text = text.replace(before, after)
    return read_edition(text + extra, file="small.toml")


def fault(*changes: tuple[str, str], extra: str = "") -> str:
    with pytest.raises(DataError) as caught:
        read(*changes, extra=extra)
    return str(caught.value)


def test_the_editions_stand_oldest_first():
    assert list(editions()) == ["v1", "v2", "v3-draft", "v3"]


def test_an_unknown_edition_is_refused_with_the_known_ones():
    with pytest.raises(InputError, match="'v9'; allowed: v1, v2, v3-draft and v3"):
        edition("v9")


# Counts as published: 50 criteria in 6 categories, 45 in 8 practices, 43 in 8; the draft names 7 new and 3 core
@pytest.mark.parametrize(
    ("name", "criteria", "unnamed", "practices", "core", "new"),
    [("v1", 50, 50, 6, 0, 0), ("v2", 45, 34, 8, 0, 0), ("v3-draft", 10, 0, 6, 3, 7), ("v3", 43, 0, 8, 3, 7)],
)
def test_each_edition_has_the_counts_that_its_sources_give(name, criteria, unnamed, practices, core, new):
    chosen = edition(name)
    assert chosen.criteria_total == len(chosen.criteria) == chosen.points_total == criteria
    assert len(chosen.placeholders) == unnamed
    assert len(chosen.practices) == practices
    assert sum(item.is_core for item in chosen.criteria.values()) == core
    assert sum(item.is_new for item in chosen.criteria.values()) == new


def test_the_practices_of_version_3_have_their_published_sizes():
    sizes = {id_: practice.criteria_count for id_, practice in edition("v3").practices.items()}
    assert sizes == {"DM": 9, "LC": 7, "OD": 4, "PA": 5, "BF": 3, "RDC": 8, "EVAL": 4, "CI": 3}


def test_only_the_editions_whose_total_is_known_and_whose_levels_follow_points_give_levels():
    assert {name: entry.levels_follow_points for name, entry in editions().items()} == {
        "v1": False,
        "v2": True,
        "v3-draft": False,
        "v3": True,
    }
    assert edition("v1").levels_by_components
    assert not edition("v3-draft").total_is_known
    assert edition("v3-draft").levels == ()
    assert not replace(edition("v3"), total_is_known=False).levels_follow_points
    assert not replace(edition("v3"), levels_by_components=True).levels_follow_points


@pytest.mark.parametrize(("name", "holes"), [("v2", [30]), ("v3", [29])])
def test_the_published_bands_leave_one_whole_count_between_silver_and_gold(name, holes):
    chosen = edition(name)
    lowest = chosen.levels[0].minimum_pct
    counts = [count for count in range(chosen.criteria_total + 1) if 100 * count / chosen.criteria_total >= lowest]
    shares = {count: 100 * count / chosen.criteria_total for count in counts}
    in_band = {n for n, share in shares.items() for b in chosen.levels if b.minimum_pct <= share <= b.maximum_pct}
    assert sorted(set(counts) - in_band) == holes
    assert any(f"{holes[0]} of {chosen.criteria_total}" in note for note in chosen.notes)


def test_core_criteria_of_version_3_are_marked_as_not_verified_after_the_draft():
    core = {item.id: item.confidence for item in edition("v3").criteria.values() if item.is_core}
    assert core == {"LC1": "inferred", "DM1": "inferred", "PA1": "inferred"}


def test_the_draft_asks_for_progress_and_the_edition_in_force_allows_both_readings():
    draft, in_force = edition("v3-draft").outcome_requirement, edition("v3").outcome_requirement
    assert draft is not None
    assert in_force is not None
    assert draft.outcomes == ("broadband", "air_quality", "youth_neet")
    assert draft.readings == ("progress",)
    assert in_force.outcomes == ("broadband", "air_quality")
    assert in_force.readings == ("progress", "standard")
    assert (draft.has_own_choice, in_force.has_own_choice) == (False, True)


def test_codes_of_the_draft_mean_their_successors_however_they_are_typed():
    known = criterion_ids(edition("v3"))
    assert [known[folded(code)] for code in ("SI2", "si-3", "dm 1", "Influencing with data and evidence")] == [
        "CI2",
        "CI3",
        "DM1",
        "CI3",
    ]
    assert folded("SI1") not in known


def test_what_no_source_names_is_marked_unknown_and_everything_else_has_a_source():
    for chosen in editions().values():
        for item in chosen.criteria.values():
            assert (item.confidence == "unknown") == item.is_placeholder == (not item.name)
            assert item.source
        for level in chosen.levels:
            assert level.source or level.confidence == "memory"


def test_validity_and_population_floor_stand_only_where_a_source_gives_them():
    assert {name: entry.validity_years for name, entry in editions().items() if entry.validity_years} == {"v1": 3}
    assert {name: entry.population_floor for name, entry in editions().items() if entry.population_floor} == {
        "v3": 30_000
    }


def test_every_file_of_the_folder_is_an_edition_and_reads_back_alike():
    folder = resources.files("wwc_research.catalog").joinpath("standards")
    for name, chosen in editions().items():
        text = folder.joinpath(f"{name}.toml").read_text(encoding="utf-8")
        assert read_edition(text, file=f"{name}.toml") == chosen


def test_a_sound_edition_is_read_with_its_placeholders_numbered():
    small = read()
    assert list(small.criteria) == ["AA1", "AA2", "BB1", "UNKNOWN01"]
    assert small.criteria["UNKNOWN01"].is_placeholder
    assert small.criteria["AA2"].requires == ("AA1",)
    assert [level.name for level in small.levels] == ["silver", "gold"]


@pytest.mark.parametrize(
    ("before", "after", "message"),
    [
        ('aliases = ["OLD1"]', 'aliases = ["BB1"]', "criteria AA1 and BB1 share the id, name or alias"),
        ('aliases = ["OLD1"]', 'aliases = ["bb-1"]', "criteria AA1 and BB1 share"),
        ('aliases = ["OLD1"]', 'aliases = ["three"]', "criteria AA1 and BB1 share"),
        ('aliases = ["OLD1"]', 'aliases = ["OLD1", "old 1"]', "more than once"),
        ('name = "Two"', 'name = "one"', "criteria AA1 and AA2 share"),
        ("[criteria.BB1]", "[criteria.aa1]", "criteria AA1 and aa1 share"),
        ("[criteria.BB1]", "[criteria.AA1]", "a code may stand only once"),
        ('name = "Two"', "", r"\[criteria.AA2\] has no name"),
        ('requires = ["AA1"]', 'requires = ["ZZ9"]', "ZZ9, which is no criterion"),
        ('requires = ["AA1"]', 'requires = ["AA2"]', "circle: AA2 → AA2"),
        ('requires = ["AA1"]', "points = -1", "points = -1 should be above 0"),
        ('practice = "BB"', 'practice = "CC"', "practice = 'CC'; allowed: AA and BB"),
        ("criteria_total = 4", "criteria_total = 5", "criteria_total = 5 and 4 criteria are given"),
        ('title = "Second"\ncriteria_count = 2', 'title = "Second"\ncriteria_count = 3', "add up to 5"),
        ('title = "First"\ncriteria_count = 2', 'title = "First"\ncriteria_count = 1', "2 criteria name this practice"),
        ("minimum_pct = 75", "minimum_pct = 74", "gold band begins at 74"),
        ("minimum_pct = 50", "minimum_pct = 80", "silver band 80-74 should rise"),
        ('name = "gold"', 'name = "silver"', "each once, in the order silver, gold and platinum"),
        ('name = "silver"', 'name = "bronze"', "should be silver, gold and platinum"),
        ('tie_rule = "down"', 'tie_rule = "nearest"', "should be down and up"),
        ('tie_rule = "down"', 'tie_rule = "down"\ncore_required = true', "no criterion has is_core"),
        ('tie_rule = "down"', 'tie_rule = "down"\nvalidity_years = 0', "validity_years = 0"),
        ('tie_rule = "down"', 'tie_rule = "down"\ncolour = "red"', "unknown field 'colour'"),
        ("count = 1\n", "count = 0\n", r"\[placeholders\] should have count"),
        ('name = "small"', "", "name is missing"),
        ("criteria_total = 4", "criteria_total = 4\nlevels = 3", "a code may stand only once"),
    ],
)
def test_a_contradiction_inside_an_edition_is_refused(before, after, message):
    with pytest.raises(DataError, match=message):
        read((before, after))


def test_prerequisites_in_a_circle_are_refused_and_the_circle_is_shown():
    message = fault(
        ('name = "Three"', 'name = "Three"\nrequires = ["AA2"]'), ('name = "One"', 'name = "One"\nrequires = ["BB1"]')
    )
    assert "prerequisites go in a circle" in message
    assert all(code in message for code in ("AA1", "AA2", "BB1"))


@pytest.mark.parametrize(
    ("requirement", "message"),
    [
        ('outcomes = ["broadbnd"]\nat_least = 1\nreadings = ["progress"]', "broadbnd do not exist; allowed: broadband"),
        ('outcomes = ["broadband"]\nat_least = 2\nreadings = ["progress"]', "between 1 and 1"),
        (
            'outcomes = ["broadband"]\nat_least = 3\nhas_own_choice = true\nreadings = ["progress"]',
            "at_least = 3 should lie between 1 and 2",
        ),
        ('outcomes = ["broadband"]\nat_least = 1\nreadings = []', "readings is empty"),
        ('outcomes = ["broadband"]\nat_least = 1\nreadings = ["luck"]', "luck"),
    ],
)
def test_an_outcome_requirement_that_cannot_be_met_or_read_is_refused(requirement, message):
    assert message in fault(extra=f"\n[outcome_requirement]\n{requirement}\n")


def test_all_faults_of_an_edition_are_named_at_once():
    message = fault(
        ('aliases = ["OLD1"]', 'aliases = ["BB1"]'),
        ('requires = ["AA1"]', 'requires = ["ZZ9"]'),
        ("minimum_pct = 75", "minimum_pct = 60"),
        ("criteria_total = 4", "criteria_total = 7"),
    )
    assert message.startswith("small.toml: 5 faults")
    for part in ("share", "ZZ9", "gold band", "criteria_total = 7"):
        assert part in message


@pytest.mark.parametrize(
    "text", ["practices = 3", "levels = 3", "criteria = [1]", "[criteria]\nAA1 = 3", "levels = [1]", "placeholders = 2"]
)
def test_a_table_of_the_wrong_kind_is_a_fault_and_no_crash(text):
    with pytest.raises(DataError, match=r"odd\.toml"):
        read_edition(text, file="odd.toml")


def test_outcomes_of_every_requirement_are_in_the_catalog():
    required = [entry.outcome_requirement for entry in editions().values() if entry.outcome_requirement]
    assert len(required) == 2
    assert {name for item in required for name in item.outcomes} <= set(catalog.outcomes())
