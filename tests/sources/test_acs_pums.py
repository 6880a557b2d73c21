"""People of the synthetic files are made up; their files have the publisher's layout of the year."""

from __future__ import annotations

import dataclasses
import gzip
import tomllib
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from scipy.linalg import hadamard
from scipy.stats import truncnorm

from wwc_research import catalog
from wwc_research.errors import DataError, InputError
from wwc_research.sources import acs_pums
from wwc_research.sources.microdata_areas import AreaCounts, Unlikeness, place_shares, unlikeness
from wwc_research.sources.microdata_tallies import shares, tally, totals
from wwc_research.sources.observations import FLAG_WORDS, validate
from wwc_research.sources.places import Places, Scope

ENTRY = tomllib.loads((Path(acs_pums.__file__).parents[1] / "catalog" / "sources.toml").read_text("utf-8"))["acs_pums"]
SETTINGS, FETCH = ENTRY["settings"], ENTRY["fetch"]
REPLICATES = range(1, 81)
NEET = {"SCH": "1", "ESR": "6"}


def person(number: int, **values: str) -> dict[str, str]:
    """A white woman of 20 in school and out of work, area 00101 of Washington, weight 100 in every replicate."""
    base = {"RT": "P", "SERIALNO": f"2022HU{number:07d}", "DIVISION": "9", "SPORDER": "1", "PUMA": "00101"}
    base |= {"REGION": "4", "ST": "53", "ADJINC": "1042311", "PWGTP": "100", "AGEP": "20", "SEX": "2"}
    base |= {"RAC1P": "1", "HISP": "01", "SCH": "2", "ESR": "6"}
    base |= values
    return base | {f"PWGTP{r}": values.get(f"PWGTP{r}", base["PWGTP"]) for r in REPLICATES}


def csv_text(rows: list[dict[str, str]], *, names: Mapping[str, str] | None = None, drop: tuple[str, ...] = ()) -> str:
    """The records as CSV; `names` renames columns, `drop` leaves them out."""
    columns = [name for name in rows[0] if name not in drop]
    lines = [",".join((names or {}).get(name, name) for name in columns)]
    return "\n".join([*lines, *(",".join(row.get(name, "") for name in columns) for row in rows)]) + "\n"


def zipped(path: Path, members: Mapping[str, str | bytes]) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, text in {**members, "ACS2022_PUMS_README.pdf": b"%PDF"}.items():
            archive.writestr(name, text)
    return path


def state_file(folder: Path, rows: list[dict[str, str]], **options: Any) -> Path:
    return zipped(folder / "2022_csv_pwa.zip", {"psam_p53.csv": csv_text(rows, **options)})


def youth(path: Path, *, year: int | None = 2022, **options: Any):
    return acs_pums.youth_tally([path], year=year, settings=SETTINGS, **options)


def faults_of(path: Path, **options: Any) -> str:
    with pytest.raises(DataError) as caught:
        youth(path, **options)
    return str(caught.value)


# --- the figure, by hand -----------------------------------------------------------------------------------


def test_only_those_out_of_school_and_out_of_work_count(tmp_path: Path):
    """SCH 1, 2, 3 by ESR 1 to 6: of eighteen people two are neither in school nor working, (1, 3) and (1, 6)."""
    pairs = [(school, work) for school in "123" for work in "123456"]
    rows = [person(n, SCH=school, ESR=work) for n, (school, work) in enumerate(pairs)]
    found = youth(state_file(tmp_path, rows))
    assert found.of("neet")[0, 0] == 200
    assert found.of("youth")[0, 0] == 1800
    # with a job at work or not, in the armed forces at work or not: four of six, in each of the three
    assert found.of("employed")[0, 0] == 1200


def test_ages_are_16_to_24_and_blanks_of_children_are_no_fault(tmp_path: Path):
    ages = {2: ("", ""), 15: ("1", ""), 16: ("1", "6"), 19: ("1", "6"), 20: ("1", "6"), 24: ("1", "6"), 25: ("1", "6")}
    rows = [person(age, AGEP=str(age), SCH=school, ESR=work) for age, (school, work) in ages.items()]
    found = youth(state_file(tmp_path, rows))
    assert found.sampled_of("youth")[0] == 4
    assert found.sampled_of("age_16_19")[0] == 2
    assert found.sampled_of("age_20_24 neet")[0] == 2


def test_hispanic_origin_comes_before_race_and_everybody_is_in_one_group(tmp_path: Path):
    people = [("01", "1"), ("02", "1"), ("24", "2"), ("01", "2"), ("01", "6"), ("01", "7"), ("01", "9"), ("01", "3")]
    rows = [person(n, HISP=origin, RAC1P=race) for n, (origin, race) in enumerate(people)]
    found = youth(state_file(tmp_path, rows))
    sizes = {g: int(found.sampled_of(g)[0]) for g in ("hispanic", "white", "black", "asian", "other_race")}
    assert sizes == {"hispanic": 2, "white": 1, "black": 1, "asian": 1, "other_race": 3}
    assert sum(sizes.values()) == len(rows)


def two_areas() -> list[dict[str, str]]:
    """Area 101: one of 100 neither in school nor working and three of 100 in school; in replicate 1 the first has 150.

    Area 102: one of 60 neither, and 140 in school. Shares 0.25 and 0.3.
    """
    return [
        person(1, **NEET, PWGTP1="150"),
        *(person(n) for n in (2, 3, 4)),
        person(5, **NEET, PUMA="00102", PWGTP="60", SEX="1"),
        person(6, PUMA="00102", PWGTP="140", SEX="1"),
    ]


def walk(folder: Path, rows: list[tuple[str, str, float, float]], *, decade: int = 2020) -> Path:
    table = pd.DataFrame(rows, columns=["puma_id", "place_id", "puma_share", "place_share"])
    (folder / "crosswalks").mkdir(exist_ok=True)
    table.assign(population_count=0).to_csv(folder / "crosswalks" / f"puma_place_{decade}.csv", index=False)
    return folder


def fetched(folder: Path, places: Places, raw_dir: Path, **settings: Any):
    """What the source reads from the folder, for two groups and without a least number of records."""
    groups = {name: SETTINGS["groups"][name] for name in ("female", "male")}
    scope = Scope(places=places, settings={**SETTINGS, "least_sampled": 1, "groups": groups, **settings})
    return acs_pums.read_fetched(folder, scope=scope, vintage="v1", settings=FETCH, raw_dir=raw_dir)


def figure(frame: pd.DataFrame, place_id: str, variable: str) -> pd.Series:
    rows = frame[(frame["place_id"] == place_id) & (frame["variable"] == variable)]
    assert len(rows) == 1, f"{place_id} {variable}: {len(rows)} rows"
    return rows.iloc[0]


@pytest.fixture(scope="module")
def by_hand(tmp_path_factory: pytest.TempPathFactory, places: Places) -> Mapping[str, pd.DataFrame]:
    """Tables of `two_areas`: Seattle is all of area 101, with 80 % of its people, and half of area 102."""
    folder = tmp_path_factory.mktemp("two_areas")
    state_file(folder, two_areas())
    raw = walk(folder, [("P5300101", "5363000", 1.0, 0.8), ("P5300102", "5363000", 0.5, 0.2)])
    return fetched(folder, places, raw).observations


def test_shares_and_errors_of_areas_are_those_worked_out_by_hand(by_hand: Mapping[str, pd.DataFrame]):
    pumas = by_hand["pumas"]
    validate(pumas, where="pumas")
    first = figure(pumas, "P5300101", "youth_neet_share")
    assert first["value"] == 0.25
    # replicate 1 gives 150/450 = 1/3, all others 0.25: sqrt(4/80) (1/3 - 1/4) = 0.018634
    assert first["std_error"] == pytest.approx(0.018634, abs=1e-6)
    count = figure(pumas, "P5300101", "youth_neet_count")
    # sqrt(4/80) 50 = 11.18, kept as a whole number of people
    assert (count["value"], count["std_error"]) == (100, 11)
    # area 102 has a case, but no replicate moves it: the sample says nothing of its error
    second = figure(pumas, "P5300102", "youth_neet_share")
    assert second["value"] == 0.3
    assert np.isnan(second["std_error"])
    assert second["flag"] == "no_cases"
    assert figure(pumas, "P5300102", "youth_sample_count")["value"] == 2


def test_a_citys_ratio_and_its_error_are_formed_from_sums_of_its_areas(by_hand: Mapping[str, pd.DataFrame]):
    cities = by_hand["places"]
    validate(cities, where="places")
    # (100 + 0.5 60) / (400 + 0.5 200) = 130/500; replicate 1: 180/550 = 0.327273; sqrt(0.05) 0.067273 = 0.015043
    assert figure(cities, "5363000", "youth_neet_share")["value"] == pytest.approx(0.26)
    assert figure(cities, "5363000", "youth_neet_sampling_se")["value"] == pytest.approx(0.015043, abs=1e-6)
    assert figure(cities, "5363000", "youth_population_count")["value"] == 500
    # four records of area 101 and half of two
    assert figure(cities, "5363000", "youth_sample_count")["value"] == 5
    # 0.8 of its people live among themselves, 0.2 where half are others
    assert figure(cities, "5363000", "youth_own_people_share")["value"] == pytest.approx(0.9)
    # women live in area 101 alone and men in 102
    assert figure(cities, "5363000", "youth_neet_female_share")["value"] == pytest.approx(0.25)
    assert figure(cities, "5363000", "youth_neet_male_share")["value"] == pytest.approx(0.3)


def test_the_total_error_is_the_root_of_the_sum_of_both_parts(tmp_path: Path, places: Places):
    state_file(tmp_path, many_areas(14))
    links = [(f"P53{n:05d}", "5363000" if n < 4 else "5367000", 0.4, 0.25 if n < 4 else 0.1) for n in range(14)]
    raw = walk(tmp_path, links)
    cities = fetched(tmp_path, places, raw).observations["places"]
    sampling = figure(cities, "5363000", "youth_neet_sampling_se")["value"]
    allocation = figure(cities, "5363000", "youth_neet_allocation_se")["value"]
    assert sampling > 0
    assert allocation > 0
    total = figure(cities, "5363000", "youth_neet_share")["std_error"]
    assert total == pytest.approx(np.hypot(sampling, allocation), abs=2e-6)


def test_the_columns_of_the_panel_take_errors_that_the_source_makes():
    made = acs_pums._variables(SETTINGS)["places"]
    columns = [variable for variable in catalog.variables().values() if variable.source == acs_pums.SOURCE]
    assert {variable.observed for variable in columns} <= set(made)
    errors = {variable.name: variable.std_error for variable in columns if variable.std_error}
    assert errors == {"youth_neet_city_share": "youth_neet_sampling_se"}
    assert set(errors.values()) <= set(made)


def many_areas(count: int) -> list[dict[str, str]]:
    """Areas of 40 people with shares from 5 % to 60 %, replicates at random around the weight (seeded)."""
    generator = np.random.default_rng(5)
    rows = []
    for area in range(count):
        for n in range(40):
            factors = generator.choice([0.3, 1.0, 1.7], 80)
            moved = {f"PWGTP{r}": str(round(100 * factor)) for r, factor in zip(REPLICATES, factors, strict=True)}
            case = NEET if n < 3 + area * 21 / max(count - 1, 1) else {}
            rows.append(person(1000 * area + n, PUMA=f"{area:05d}", **case, **moved))
    return rows


# --- the allocation part -----------------------------------------------------------------------------------


def counts_of(share: list[float], *, people: float = 1000.0, records: int = 100) -> AreaCounts:
    whole = np.full((len(share), 81), people)
    return AreaCounts(
        areas=tuple(f"P53{n:05d}" for n in range(len(share))),
        part=whole * np.array(share)[:, None],
        whole=whole,
        sampled=np.full(len(share), records),
    )


def one_city(held: list[float]) -> pd.DataFrame:
    ids = [f"P53{n:05d}" for n in range(len(held))]
    lives = np.array(held) / sum(held)
    return pd.DataFrame({"puma_id": ids, "place_id": "5363000", "puma_share": held, "place_share": lives})


def test_the_allocation_error_is_the_formula_worked_out_by_hand():
    # variance between areas 0.0025 = ratio 0.0025/0.16 at a state's share of 0.2
    known = Unlikeness(share={"53": 0.2}, ratio={"53": 0.0025 / 0.16}, own={}, typical=0.02)
    found = place_shares(counts_of([0.2, 0.2]), crosswalk=one_city([1.0, 0.25]), unlike=known, part_spread=2.0)
    # weights 0.8 and 0.2; 0.2² · 2 · 0.0025 · 0.75² = 0.0001125
    assert found["allocation_se"][0] == pytest.approx(np.sqrt(0.0001125))
    assert found["sampling_se"][0] == 0


def test_a_city_of_whole_areas_has_no_allocation_error_even_where_nothing_tells_the_variance():
    unknown = Unlikeness(share={"53": np.nan}, ratio={"53": 0.02}, own={}, typical=0.02)
    inside = place_shares(counts_of([0.1, 0.3]), crosswalk=one_city([1.0, 1.0]), unlike=unknown, part_spread=2.0)
    across = place_shares(counts_of([0.1, 0.3]), crosswalk=one_city([1.0, 0.9]), unlike=unknown, part_spread=2.0)
    assert inside["allocation_se"][0] == 0
    assert np.isnan(across["allocation_se"][0])
    assert np.isnan(across["std_error"][0])


def test_the_smaller_the_citys_part_of_an_area_the_larger_the_allocation_error():
    known = Unlikeness(share={"53": 0.2}, ratio={"53": 0.01}, own={}, typical=0.02)
    errors = [
        place_shares(counts_of([0.2]), crosswalk=one_city([held]), unlike=known, part_spread=2.0)["allocation_se"][0]
        for held in (0.05, 0.3, 0.6, 0.9, 1.0)
    ]
    assert errors == sorted(errors, reverse=True)
    assert errors[-1] == 0


def test_the_variance_between_areas_is_the_sample_variance_where_nothing_is_sampling():
    found = unlikeness(counts_of([0.1, 0.2, 0.3]), typical=0.02, spread=0.5)
    # equal records and no replicate variance: (0.1² + 0 + 0.1²)/2 = 0.01, over 0.2 · 0.8
    assert found.own["53"] == pytest.approx(0.0625)


def test_a_states_ratio_is_drawn_towards_the_typical_one_as_worked_out_by_hand():
    found = unlikeness(counts_of([0.1, 0.2, 0.3]), typical=0.02, spread=0.5)
    # three equal areas without sampling error: V = 2 R²/(3 - 1) = 0.0004; ω² = 0.0001; r = 0.0625
    mean, deviation = (0.0001 * 0.0625 + 0.0004 * 0.02) / 0.0005, np.sqrt(0.0001 * 0.0004 / 0.0005)
    assert found.ratio["53"] == pytest.approx(truncnorm.mean(-mean / deviation, np.inf, mean, deviation))
    assert found.variance("53") == pytest.approx(0.16 * found.ratio["53"])


def test_no_states_ratio_is_zero_or_jumps_where_its_estimate_stops_being_positive():
    # of 12 areas with one share each of the small differences here, the own estimate passes through 0
    steps = [replicated([0.2 - step, 0.2 + step] * 6) for step in np.linspace(0, 0.08, 81)]
    found = [unlikeness(counts, typical=0.02, spread=0.5) for counts in steps]
    own, ratio = [each.own["53"] for each in found], [each.ratio["53"] for each in found]
    assert min(own) < 0 < max(own)
    assert min(ratio) > 0.003
    assert np.all(np.diff(ratio) > -1e-6)
    assert np.diff(ratio).max() < 0.0015


def replicated(share: list[float]) -> AreaCounts:
    """Areas of 100 records whose replicates have twice the variance of a simple random sample."""
    counts = counts_of(share)
    factors = np.where(np.arange(80) % 2, 1.0, -1.0) * np.sqrt(2 / 4)
    part = counts.part.copy()
    spread = np.sqrt(np.array(share) * (1 - np.array(share)) / 100)
    part[:, 1:] += counts.whole[:, 1:] * spread[:, None] * factors
    return AreaCounts(areas=counts.areas, part=part, whole=counts.whole, sampled=counts.sampled)


def test_a_states_variance_is_the_same_alone_and_in_the_country_unless_the_country_is_asked():
    one, other = counts_of([0.1, 0.3, 0.2]), counts_of([0.05, 0.35, 0.1])
    country = AreaCounts(
        areas=(*one.areas, *(area.replace("P53", "P11") for area in other.areas)),
        part=np.vstack([one.part, other.part]),
        whole=np.vstack([one.whole, other.whole]),
        sampled=np.concatenate([one.sampled, other.sampled]),
    )
    alone = unlikeness(one, typical=0.02, spread=0.5).ratio["53"]
    assert unlikeness(country, typical=0.02, spread=0.5).ratio["53"] == alone
    asked = unlikeness(country, typical=0.02, spread=0.5, least_states=2)
    # two degrees of freedom each: (0.01 + 0.0258333)/(0.16 + 0.138889)
    assert asked.typical == pytest.approx((0.01 + 0.0258333) / (0.16 + 0.1388889), abs=1e-6)
    assert asked.ratio["53"] > alone
    assert unlikeness(country, typical=0.02, spread=0.5, least_states=3).ratio["53"] == alone


def test_a_state_of_one_area_and_a_flat_country_take_the_typical_ratio():
    assert unlikeness(counts_of([0.2]), typical=0.02, spread=0.5).ratio["53"] == 0.02
    flat = unlikeness(replicated([0.2, 0.2]), typical=0.02, spread=0.5, least_states=1)
    assert flat.own["53"] < 0
    assert flat.typical == 0.02


def test_a_city_across_the_areas_of_a_lone_small_state_has_an_error(tmp_path: Path, places: Places):
    """Wholly alike areas, of which nothing can be told: the total error was missing without a word."""
    generator = np.random.default_rng(3)
    rows = []
    for number, area in enumerate([*["00101"] * 60, *["00102"] * 60]):
        moved = {f"PWGTP{r}": str(v) for r, v in zip(REPLICATES, generator.choice([30, 100, 170], 80), strict=True)}
        rows.append(person(number, PUMA=area, **(NEET if number % 5 == 0 else {}), **moved))
    state_file(tmp_path, rows)
    raw = walk(tmp_path, [("P5300101", "5363000", 0.6, 0.5), ("P5300102", "5363000", 0.6, 0.5)])
    cities = fetched(tmp_path, places, raw).observations["places"]
    share = figure(cities, "5363000", "youth_neet_share")
    assert share["flag"] == ""
    assert share["std_error"] > figure(cities, "5363000", "youth_neet_sampling_se")["value"]
    # two halves: 2 (1/2)² · 2 · τ² · 0.4², τ² near 0.0209 · 0.2 · 0.8
    expected = np.sqrt(0.5 * 2 * SETTINGS["typical_unlikeness"] * 0.16 * 0.16)
    assert figure(cities, "5363000", "youth_neet_allocation_se")["value"] == pytest.approx(expected, rel=0.3)


def simulated(*, areas: int, spread: float, generator: np.random.Generator) -> tuple[AreaCounts, np.ndarray]:
    """A state of areas of two sides of equal spread and correlation 1/3, 40 % and 60 %; the first sides' shares."""
    records, held = 130, 0.4
    matrix = hadamard(64)[1:]
    turn = np.arange(areas * records) % 63
    factors = np.column_stack([np.ones(len(turn)), 1 + 2**-1.5 * (matrix[turn] - matrix[(turn + 1) % 63])])
    factors = factors.reshape(areas, records, -1)
    common, own = generator.standard_normal((areas, 1)), generator.standard_normal((areas, 2))
    sides = (0.2 + spread * (np.sqrt(1 / 3) * common + np.sqrt(2 / 3) * own)).clip(0.01, 0.9)
    inside = generator.random((areas, records)) < held
    case = generator.random((areas, records)) < np.where(inside, sides[:, :1], sides[:, 1:])
    counts = AreaCounts(
        areas=tuple(f"P53{n:05d}" for n in range(areas)),
        part=np.einsum("an,anr->ar", case, factors),
        whole=factors.sum(axis=1),
        sampled=np.full(areas, records),
    )
    return counts, sides[:, 0]


def cities_of(counts: AreaCounts, unlike: Unlikeness) -> pd.DataFrame:
    """Shares of cities that are 40 % of an area each."""
    ids = [area[1:] for area in counts.areas]
    links = pd.DataFrame({"puma_id": counts.areas, "place_id": ids, "puma_share": 0.4, "place_share": 1.0})
    return place_shares(counts, crosswalk=links, unlike=unlike, part_spread=2.0)


def test_simulated_intervals_hold_the_truth_about_as_often_as_they_say_only_with_the_allocation_error():
    """Simulated: 40 areas, the city being 40 % of each."""
    worlds, hits = 25, np.zeros(2)
    for number in range(worlds):
        counts, truth = simulated(areas=40, spread=0.06, generator=np.random.default_rng([7, number]))
        found = cities_of(counts, unlikeness(counts, typical=0.0209, spread=0.52))
        off = np.abs(found["value"].to_numpy() - truth)
        hits += [(off <= 1.96 * found[name].to_numpy()).mean() for name in ("sampling_se", "std_error")]
    alone, both = hits / worlds
    assert alone < 0.85
    assert 0.92 < both < 0.98


def test_simulated_intervals_of_small_states_hold_where_their_own_variance_came_out_too_small():
    """Simulated: 80 states of 10 areas; the fifth of them whose own estimate is smallest, but positive."""
    states = []
    for number in range(80):
        counts, truth = simulated(areas=10, spread=0.06, generator=np.random.default_rng([8, number]))
        drawn = unlikeness(counts, typical=0.0209, spread=0.52)
        believed = dataclasses.replace(drawn, ratio=drawn.own)
        if drawn.own["53"] > 0:
            tables = [cities_of(counts, unlike) for unlike in (believed, drawn)]
            held = [(np.abs(table["value"] - truth) <= 1.96 * table["std_error"]).mean() for table in tables]
            states.append((drawn.own["53"], *held))
    worst = np.array(sorted(states)[: len(states) // 5])
    _, as_estimated, as_drawn = worst.mean(axis=0)
    assert as_estimated < 0.9
    assert as_drawn > 0.92


# --- flags -------------------------------------------------------------------------------------------------


def test_shares_on_few_records_are_missing_and_the_number_of_records_is_kept(tmp_path: Path, places: Places):
    state_file(tmp_path, two_areas())
    raw = walk(tmp_path, [("P5300101", "5363000", 1.0, 0.8), ("P5300102", "5363000", 0.5, 0.2)])
    tables = fetched(tmp_path, places, raw, least_sampled=5).observations
    assert figure(tables["pumas"], "P5300101", "youth_neet_share")["flag"] == "few_sampled"
    assert np.isnan(figure(tables["pumas"], "P5300101", "youth_neet_share")["value"])
    assert figure(tables["pumas"], "P5300101", "youth_sample_count")["value"] == 4
    city = figure(tables["places"], "5363000", "youth_neet_female_share")
    assert city["flag"] == "few_sampled"
    assert figure(tables["places"], "5363000", "youth_female_sample_count")["value"] == 4


def test_a_sample_without_a_case_gives_no_false_certainty(tmp_path: Path, places: Places):
    state_file(tmp_path, [person(1), person(2), person(3, PUMA="00102", **NEET)])
    raw = walk(tmp_path, [("P5300101", "5363000", 1.0, 1.0), ("P5300102", "5367000", 1.0, 1.0)])
    cities = fetched(tmp_path, places, raw).observations["places"]
    none, every = (figure(cities, place, "youth_neet_share") for place in ("5363000", "5367000"))
    assert (none["value"], every["value"]) == (0.0, 1.0)
    assert {none["flag"], every["flag"]} == {"no_cases"}
    assert np.isnan([none["std_error"], every["std_error"]]).all()


def test_a_figure_of_other_people_is_marked_as_theirs_though_the_sample_holds_no_case(tmp_path: Path, places: Places):
    """Without the mark the panel, which refuses allocated figures, would take in the shares of 0 alone."""
    state_file(tmp_path, [person(n) for n in range(5)])
    cities = fetched(tmp_path, places, walk(tmp_path, [("P5300101", "5363000", 0.4, 1.0)])).observations["places"]
    share = figure(cities, "5363000", "youth_neet_share")
    assert (share["value"], share["flag"]) == (0.0, "allocated")
    assert np.isnan(share["std_error"])
    assert np.isnan(figure(cities, "5363000", "youth_neet_sampling_se")["value"])


def test_a_city_that_is_a_small_part_of_its_areas_says_that_the_figure_is_mostly_others(tmp_path: Path, places: Places):
    state_file(tmp_path, many_areas(12))
    seattle = [(f"P53{n:05d}", "5363000", 0.3, 1 / 6) for n in range(6)]
    raw = walk(tmp_path, seattle + [(f"P53{n:05d}", "5367000", 0.9, 1 / 6) for n in range(6, 12)])
    cities = fetched(tmp_path, places, raw).observations["places"]
    assert figure(cities, "5363000", "youth_neet_share")["flag"] == "allocated"
    assert figure(cities, "5363000", "youth_own_people_share")["value"] == pytest.approx(0.3)
    assert figure(cities, "5367000", "youth_neet_share")["flag"] == ""
    assert set(cities["flag"]) <= {"", *FLAG_WORDS}


def test_a_city_of_which_an_area_is_missing_has_no_share_and_the_area_is_listed(tmp_path: Path, places: Places):
    state_file(tmp_path, many_areas(12))
    links = [(f"P53{n:05d}", "5363000", 0.9, 0.08) for n in range(12)] + [("P5300099", "5363000", 0.9, 0.04)]
    links += [("P5300098", "5367000", 1.0, 1.0)]
    reading = fetched(tmp_path, places, walk(tmp_path, links))
    assert figure(reading.observations["places"], "5363000", "youth_neet_share")["flag"] == "not_available"
    assert figure(reading.observations["places"], "5367000", "youth_population_count")["flag"] == "not_available"
    assert reading.left_out["item"].tolist() == ["P5300098", "P5300099"]


def test_the_crosswalk_is_that_of_the_decade_in_which_the_areas_were_drawn(tmp_path: Path, places: Places):
    rows = [row | {"SERIALNO": row["SERIALNO"].replace("2022", "2021", 1), "ADJINC": "1029928"} for row in two_areas()]
    zipped(tmp_path / "2021_csv_pwa.zip", {"psam_p53.csv": csv_text(rows)})
    state_file(tmp_path, two_areas())
    walk(tmp_path, [("P5300101", "5363000", 1.0, 1.0), ("P5300102", "5367000", 1.0, 1.0)], decade=2010)
    raw = walk(tmp_path, [("P5300102", "5363000", 1.0, 1.0), ("P5300101", "5367000", 1.0, 1.0)], decade=2020)
    cities = fetched(tmp_path, places, raw).observations["places"]
    seattle = cities[(cities["place_id"] == "5363000") & (cities["variable"] == "youth_neet_share")]
    assert seattle.set_index("year")["value"].to_dict() == {2021: 0.25, 2022: 0.3}


def test_areas_of_another_decade_are_an_error_that_names_them(tmp_path: Path, places: Places):
    state_file(tmp_path, two_areas())
    raw = walk(tmp_path, [(f"P5300{n}", "5363000", 1.0, 0.2) for n in range(201, 206)])
    with pytest.raises(DataError, match="drawn in another decade") as caught:
        fetched(tmp_path, places, raw)
    assert "P5300201" in str(caught.value)


# --- files -------------------------------------------------------------------------------------------------


def same_sums(one, other) -> bool:
    return one.areas == other.areas and bool((one.weighted == other.weighted).all())


def test_small_letters_another_state_column_extra_columns_quotes_and_marks_change_nothing(tmp_path: Path):
    rows = two_areas()
    plain = youth(state_file(tmp_path, rows))
    small = {f"PWGTP{r}": f"pwgtp{r}" for r in REPLICATES} | {"ST": "STATE", "AGEP": "agep"}
    extra = [row | {"NAME": "Peñasco"} for row in rows]
    text = csv_text(extra, names=small)
    for content in (text.encode("utf-8-sig"), text.encode("latin-1"), text.replace(",00101,", ',"00101",').encode()):
        other = zipped(tmp_path / "other.zip", {"psam_p53.csv": content})
        assert same_sums(plain, youth(other))
    with gzip.open(tmp_path / "other.csv.gz", "wb") as stream:
        stream.write(text.encode())
    assert same_sums(plain, youth(tmp_path / "other.csv.gz"))


def undated(factor: str) -> list[dict[str, str]]:
    """`two_areas` with serial numbers that say no year, and this ADJINC."""
    return [row | {"SERIALNO": row["SERIALNO"][-9:].replace("HU", "00"), "ADJINC": factor} for row in two_areas()]


def test_a_file_that_says_no_year_is_told_by_its_income_factor(tmp_path: Path):
    path = zipped(tmp_path / "old.zip", {"psam_p53.csv": csv_text(undated("1007588"))})
    assert youth(path, year=2016).of("neet")[0, 0] == 100
    text = faults_of(path, year=2015)
    assert "ADJINC holds 1007588, the factor of 2016; 2015 was expected, whose factor is 1001264" in text
    # a year whose factor is not known here is checked against those that are
    assert "the factor of 2016; 2024 was expected" in faults_of(path, year=2024)
    odd = zipped(tmp_path / "odd.zip", {"psam_p53.csv": csv_text(undated("1234567"))})
    assert "ADJINC holds 1234567; 2016 was expected, whose factor is 1007588" in faults_of(odd, year=2016)
    assert youth(odd, year=2024).of("neet")[0, 0] == 100
    without = zipped(tmp_path / "without.zip", {"psam_p53.csv": csv_text(undated("1007588"), drop=("ADJINC",))})
    assert youth(without, year=2015).of("neet")[0, 0] == 100


def test_files_before_2017_have_names_with_the_year_and_short_serial_numbers(tmp_path: Path):
    rows = undated("1007588")
    path = zipped(tmp_path / "old.zip", {"ss16pwa.csv": csv_text(rows, names={"PWGTP1": "pwgtp1"})})
    assert youth(path, year=2016).of("neet")[0, 0] == 100
    assert "is of 2016 by its name; 2015 was expected" in faults_of(path, year=2015)


def test_the_country_in_two_members_is_one_sum(tmp_path: Path):
    rows = two_areas()
    ohio = [row | {"ST": "39", "SERIALNO": row["SERIALNO"].replace("HU0", "HU9")} for row in rows]
    path = zipped(tmp_path / "us.zip", {"psam_pusa.csv": csv_text(ohio), "psam_pusb.csv": csv_text(rows)})
    assert youth(path).areas == ("P3900101", "P3900102", "P5300101", "P5300102")


def test_a_country_without_its_second_member_is_an_error_and_no_half_country(tmp_path: Path, places: Places):
    zipped(tmp_path / "2022_csv_pus.zip", {"psam_pusa.csv": csv_text(two_areas())})
    with pytest.raises(DataError, match=r"nobody of states 01, 02, .* a part of the file is missing"):
        fetched(tmp_path, places, walk(tmp_path, [("P5300101", "5363000", 1.0, 1.0)]))


def test_missing_columns_are_named_all_at_once_with_what_the_file_can_still_give(tmp_path: Path):
    text = faults_of(state_file(tmp_path, two_areas(), drop=("SCH", "PWGTP7", "PWGTP80", "SPORDER")))
    assert "3 faults" in text
    assert "2 of the 80 replicate weights are missing (PWGTP7 and PWGTP80)" in text
    assert "column SCH is missing, which neet, female neet" in text
    assert "can still give employed, female" in text
    assert "SPORDER" in text


def test_everything_odd_about_the_records_is_told_at_once(tmp_path: Path):
    rows = [
        *two_areas(),
        person(6, PUMA="00102"),  # stands twice
        person(11, ESR=""),
        person(12, ESR="9"),
        person(13, SCH="7"),
        person(14, SERIALNO="2021HU0000014"),
        person(15, ADJINC="1029928"),
        person(16, PWGTP3=""),
        person(20, PWGTP="-5"),
        person(17, ST="41"),
        person(18, AGEP=""),
        person(19, PUMA="-0009"),
    ]
    text = faults_of(state_file(tmp_path, rows))
    for part in (
        "records without ESR: 1",
        "records with ESR outside 1 to 6: 1 (e.g. 9)",
        "records with SCH outside 1 to 3: 1 (e.g. 7)",
        "serial numbers begin with 2021 (1); 2022 was expected",
        "ADJINC holds 2 factors (1029928 and 1042311)",
        "records with a blank in PWGTP3: 1",
        "records with a negative PWGTP: 1",
        "holds records of states 41; only 53 was expected",
        "records without AGEP: 1",
        "records with PUMA outside 0 to 99999: 1",
        "1 records stand more than once (SERIALNO + SPORDER: 2022HU0000006 1)",
    ):
        assert part in text


def test_records_that_two_files_share_are_found(tmp_path: Path):
    one = state_file(tmp_path, two_areas())
    two = zipped(tmp_path / "2022_csv_pus.zip", {"psam_pusb.csv": csv_text(two_areas())})
    with pytest.raises(DataError, match="6 records stand more than once"):
        acs_pums.youth_tally([one, two], year=2022, settings=SETTINGS)


def test_members_of_one_household_are_no_duplicates(tmp_path: Path):
    assert youth(state_file(tmp_path, [person(1), person(1, SPORDER="2")])).sampled_of("youth")[0] == 2


def test_cells_that_are_no_numbers_are_named_by_column_and_line(tmp_path: Path):
    rows = two_areas()
    rows[2] = rows[2] | {"AGEP": "twenty", "PWGTP5": "1e2"}
    text = faults_of(state_file(tmp_path, rows))
    assert "1 values of AGEP are no whole numbers (line 4: 'twenty')" in text
    assert "1 values of PWGTP5 are no whole numbers (line 4: '1e2')" in text
    assert "holds no record" not in text


def test_a_replicate_weight_may_be_negative(tmp_path: Path):
    """Replicate 1 counts the one without school and work as -20: -20/280; sqrt(4/80) (0.25 + 0.0714286) = 0.071874."""
    rows = [person(1, **NEET, PWGTP1="-20"), *(person(n) for n in (2, 3, 4))]
    found = shares(youth(state_file(tmp_path, rows)), part="neet", whole="youth").iloc[0]
    assert (found["value"], found["std_error"]) == (0.25, pytest.approx(0.071874, abs=1e-6))


def test_lines_of_another_width_are_told(tmp_path: Path):
    path = zipped(tmp_path / "wide.zip", {"psam_p53.csv": csv_text(two_areas()) + "P,2022HU0000099,9\n"})
    assert "1 lines are not of the header's width: 3 fields, 95 expected" in faults_of(path)


def test_a_question_that_cannot_be_put_is_refused_with_what_is_allowed(tmp_path: Path):
    path = state_file(tmp_path, two_areas())
    for options, text in (
        ({"state": "WA"}, "no two-digit code"),
        ({"by": "city"}, "choose from puma and state"),
        ({"weight": "W"}, "choose from PWGTP and WGTP"),
    ):
        with pytest.raises(InputError, match=text):
            tally([path], subsets={"all": {}}, universe={}, **options)
    with pytest.raises(InputError, match="no microdata file"):
        tally([], subsets={"all": {}}, universe={})
    with pytest.raises(InputError, match="no such file"):
        tally([tmp_path / "absent.zip"], subsets={"all": {}}, universe={})


def test_a_file_of_five_years_is_refused(tmp_path: Path):
    text = faults_of(state_file(tmp_path, two_areas(), names={"PUMA": "PUMA20"}))
    assert "holds PUMA20, no PUMA: it is a file of five years, not of one" in text


@pytest.mark.parametrize("damage", ["cut", "flipped", "page", "housing", "page inside", "header only", "empty"])
def test_what_is_no_whole_file_of_people_is_an_error_that_names_it(tmp_path: Path, damage: str):
    path = state_file(tmp_path, two_areas())
    content = path.read_bytes()
    if damage == "cut":
        path.write_bytes(content[: len(content) // 2])
    elif damage == "flipped":
        path.write_bytes(content[:300] + bytes(byte ^ 0xFF for byte in content[300:340]) + content[340:])
    elif damage == "page":
        path.write_text("<!DOCTYPE html><html><body>Service unavailable</body></html>")
    elif damage == "housing":
        zipped(path, {"psam_h53.csv": "RT,SERIALNO\nH,1\n"})
    elif damage == "page inside":
        zipped(path, {"psam_p53.csv": "<html><body>,</body></html>\n"})
    elif damage == "header only":
        zipped(path, {"psam_p53.csv": csv_text(two_areas()).splitlines()[0] + "\n"})
    else:
        zipped(path, {"psam_p53.csv": ""})
    assert path.name in faults_of(path)


# --- what to fetch -----------------------------------------------------------------------------------------


def test_addresses_are_one_zip_a_year_and_state_or_the_country():
    found = acs_pums.remotes(years=[2022, 2019], geographies=["wa", "DC"], settings=FETCH)
    base = "https://www2.census.gov/programs-surveys/acs/data/pums"
    assert found[0].url == f"{base}/2019/1-Year/csv_pdc.zip"
    assert found[1].url == f"{base}/2019/1-Year/csv_pwa.zip"
    assert [remote.name for remote in found][2:] == ["2022_csv_pdc.zip", "2022_csv_pwa.zip"]
    whole = acs_pums.remotes(years=[2023], geographies=["US"], settings=FETCH)
    assert [remote.url for remote in whole] == [f"{base}/2023/1-Year/csv_pus.zip"]
    assert {remote.kind for remote in found + whole} == {"zip"}


def test_years_and_geographies_that_cannot_be_had_are_refused_all_at_once():
    with pytest.raises(InputError) as caught:
        acs_pums.remotes(years=[2011, 2020], geographies=["US", "WA", "PR"], settings=FETCH)
    text = str(caught.value)
    assert "4 faults" in text
    for part in ("2011", "experimental weights", "PR", "US holds every state already"):
        assert part in text


# --- the publisher's files ---------------------------------------------------------------------------------

ALL_UNITS: dict[str, dict[str, list[int]]] = {
    "Total housing units (TYPE=1)": {},
    "Total occupied units": {"TEN": [1, 2, 3, 4]},
    "Owner occupied units (TEN in 1,2)": {"TEN": [1, 2]},
    "Renter occupied units (TEN in 3,4)": {"TEN": [3, 4]},
    "Owned with a mortgage (TEN=1)": {"TEN": [1]},
    "Owned free and clear (TEN=2)": {"TEN": [2]},
    "Rented for cash (TEN=3)": {"TEN": [3]},
    "No cash rent (TEN=4)": {"TEN": [4]},
    "Total vacant units": {"VACS": [1, 2, 3, 4, 5, 6, 7]},
    "For rent (VACS=1)": {"VACS": [1]},
    "For sale only (VACS=3)": {"VACS": [3]},
    "All Other Vacant (VACS in 2,4,5,6,7)": {"VACS": [2, 4, 5, 6, 7]},
}


@pytest.mark.shared
def test_washingtons_housing_units_of_2015_are_the_census_bureaus_own_figures_to_the_digit(publishers_dir: Path):
    """All twelve rows of the Bureau's table for verification: estimate, standard error and margin of error."""
    key = pd.read_csv(publishers_dir / "pums" / "pums_est_wa_2015.csv")
    assert key["characteristic"].tolist() == list(ALL_UNITS)
    found = tally(
        [publishers_dir / "pums" / "wa_house_2015.csv.gz"],
        subsets=ALL_UNITS, universe={}, weight="WGTP", by="state", state="53", identity=(),
    )  # fmt: skip
    rows = pd.concat([totals(found, subset=name) for name in ALL_UNITS], ignore_index=True)
    assert rows["value"].tolist() == key["pums_est_15"].tolist()
    assert rows["std_error"].round().tolist() == key["pums_se_15"].tolist()
    assert (1.645 * rows["std_error"]).round().tolist() == key["pums_moe_15"].tolist()


@pytest.mark.shared
def test_seattles_people_of_2016_give_employment_by_age_and_race_as_a_plain_sum_does(publishers_dir: Path):
    path = publishers_dir / "pums" / "sea_pop_2016.csv.gz"
    people = pd.read_csv(path, low_memory=False)
    adults = people[people["AGEP"].between(25, 54) & (people["RAC1P"] == 2)]
    at_work = adults["ESR"].isin([1, 2, 4, 5])
    weights = adults[["PWGTP", *(f"pwgtp{r}" for r in REPLICATES)]].to_numpy()
    ratio = weights[at_work].sum(axis=0) / weights.sum(axis=0)
    found = tally(
        [path],
        subsets={"black": {"RAC1P": [2]}, "employed": {"RAC1P": [2], "ESR": [1, 2, 4, 5]}},
        universe={"AGEP": range(25, 55)}, codes={"ESR": (1, 6)}, by="state", state="53", identity=(),
    )  # fmt: skip
    row = shares(found, part="employed", whole="black").iloc[0]
    assert row["sampled"] == len(adults)
    assert row["value"] == pytest.approx(ratio[0], abs=1e-12)
    assert row["std_error"] == pytest.approx(np.sqrt(4 / 80 * ((ratio[1:] - ratio[0]) ** 2).sum()), abs=1e-12)


@pytest.mark.shared
def test_seattles_file_lacks_the_school_column_and_the_error_says_so(publishers_dir: Path):
    text = faults_of(publishers_dir / "pums" / "sea_pop_2016.csv.gz", year=2016, state="53", identity=())
    assert text.startswith("microdata: sea_pop_2016.csv.gz: ")
    assert "column SCH is missing, which neet" in text
    assert "can still give employed" in text
