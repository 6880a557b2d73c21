"""Microdata of a year of the country, streamed and by DuckDB; coverage of cities' intervals; unlikeness of neighbours.

Run: python benchmarks/pums.py --persons 3300000 > benchmarks/pums.md
The files of people are simulated in the official layout; so are the worlds of the coverage table.
"""

from __future__ import annotations

import argparse
import dataclasses
import os
import platform
import resource
import subprocess
import sys
import tempfile
import time
import tomllib
import zipfile
from importlib import metadata
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv as pacsv
from scipy.linalg import hadamard
from scipy.optimize import brentq

from wwc_research.sources.acs_pums import youth_tally
from wwc_research.sources.microdata_areas import AreaCounts, Unlikeness, place_shares, unlikeness
from wwc_research.sources.places import STATE_CODE

ROOT = Path(__file__).resolve().parents[1]
CATALOG = tomllib.loads((ROOT / "wwc_research" / "catalog" / "sources.toml").read_text("utf-8"))
SETTINGS = CATALOG["acs_pums"]["settings"]
YEAR = 2022
CHUNK = 20_000
FILLERS = 190  # columns that nobody asks for; with them a record has about 1,150 bytes, as the publisher's has
FIRST_OF_B = 29  # states from Missouri on are in the second member
CRITICAL = 1.959964

# --- a year of the country ---------------------------------------------------------------------------------


def write_year(path: Path, *, persons: int, seed: int) -> None:
    """A zip of two members in the layout of 2022, written a chunk at a time; areas are those of the crosswalk."""
    generator = np.random.default_rng(seed)
    crosswalk = pd.read_csv(ROOT / "data" / "raw" / "crosswalks" / "puma_place_2020.csv", dtype={"puma_id": str})
    codes = np.sort(crosswalk["puma_id"].str[1:].astype(int).unique())
    # about as many areas as the country has: those without a city of the crosswalk get codes of their own
    states = np.array(sorted(map(int, STATE_CODE.values())))
    others = (states[:, None] * 100_000 + 90_000 + np.arange(20)).ravel()
    areas = np.sort(np.concatenate([codes, others]))
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive:
        first_part = areas // 100_000 < FIRST_OF_B
        for name, inside in (("psam_pusa.csv", first_part), ("psam_pusb.csv", ~first_part)):
            count = round(persons * inside.mean())
            with archive.open(name, "w", force_zip64=True) as stream:
                for start in range(0, count, CHUNK):
                    size = min(CHUNK, count - start)
                    batch = people(areas[inside], first=start, size=size, of=count, generator=generator)
                    options = pacsv.WriteOptions(include_header=start == 0, quoting_style="none")
                    pacsv.write_csv(batch, stream, options)


def people(areas: npt.NDArray[np.int64], *, first: int, size: int, of: int, generator: np.random.Generator) -> pa.Table:
    """Records of persons in households of two, in order of area, blanks where the publisher leaves blanks."""
    number = np.arange(first, first + size)
    area = areas[number * len(areas) // of]
    age = generator.integers(0, 95, size)
    weight = generator.integers(20, 220, size)
    member = "A" if areas[0] // 100_000 < FIRST_OF_B else "B"
    household = pc.utf8_lpad(pa.array(number // 2).cast(pa.string()), 6, "0")
    serial = pc.binary_join_element_wise(f"{YEAR}HU{'0' if member == 'A' else '1'}", household, "")
    columns: dict[str, object] = {
        "RT": pa.array(["P"] * size),
        "SERIALNO": serial,
        "DIVISION": generator.integers(1, 10, size),
        "SPORDER": number % 2 + 1,
        "PUMA": pc.utf8_lpad(pa.array(area % 100_000).cast(pa.string()), 5, "0"),
        "REGION": generator.integers(1, 5, size),
        "ST": pc.utf8_lpad(pa.array(area // 100_000).cast(pa.string()), 2, "0"),
        "ADJINC": np.full(size, 1_042_311),
        "PWGTP": weight,
        "AGEP": age,
        "SEX": generator.integers(1, 3, size),
        "RAC1P": generator.choice([1, 2, 6, 8, 9], size, p=[0.6, 0.12, 0.06, 0.1, 0.12]),
        "HISP": generator.choice([1, 2, 4], size, p=[0.8, 0.15, 0.05]),
        "SCH": pa.array(generator.choice([1, 2, 3], size, p=[0.45, 0.4, 0.15]), mask=age < 3),
        "ESR": pa.array(generator.choice([1, 3, 6], size, p=[0.6, 0.05, 0.35]), mask=age < 16),
    }
    filler = generator.integers(0, 2_000, (size, 8))
    columns |= {f"X{position}": filler[:, position % 8] for position in range(FILLERS)}
    factors = np.array([0.3, 1.0, 1.0, 1.7])[generator.integers(0, 4, (80, size))]
    columns |= {f"PWGTP{r + 1}": np.rint(weight * factors[r]).astype(np.int64) for r in range(80)}
    return pa.table(columns)


def by_stream(path: Path) -> npt.NDArray[np.float64]:
    """The package's way, from inside the zip."""
    return youth_tally([path], year=YEAR, settings=SETTINGS).weighted


def by_duckdb(folder: Path) -> npt.NDArray[np.float64]:
    """The same sums by DuckDB from extracted members: fine cells first, then their sums by subset."""
    import duckdb

    weights = ["PWGTP", *(f"PWGTP{r}" for r in range(1, 81))]
    connection = duckdb.connect()
    keys = "ST, PUMA, AGEP, SEX, RAC1P, HISP, SCH, ESR"
    sums = ", ".join(f"sum({name})::DOUBLE AS {name}" for name in weights)
    cells = connection.execute(
        f"SELECT {keys}, {sums} FROM read_csv('{folder}/psam_pus*.csv', header = true) "
        f"WHERE AGEP BETWEEN 16 AND 24 GROUP BY {keys}"
    ).df()
    area = cells["ST"].astype(int).to_numpy() * 100_000 + cells["PUMA"].astype(int).to_numpy()
    codes, places = np.unique(area, return_inverse=True)
    groups = {"": {}, **SETTINGS["groups"]}
    held = [np.ones(len(cells), dtype=bool)]
    for group, belongs in groups.items():
        if group:
            held.append(_of(cells, belongs))
        for measure, condition in SETTINGS["measures"].items():
            if not group or measure in SETTINGS["measures_by_group"]:
                held.append(_of(cells, belongs) & _of(cells, condition))
    values = cells[weights].to_numpy()
    out = np.zeros((len(codes), len(held), len(weights)))
    for position, rows in enumerate(held):
        np.add.at(out[:, position], places[rows], values[rows])
    return out


def _of(cells: pd.DataFrame, condition: dict[str, list[int]]) -> npt.NDArray[np.bool_]:
    held = np.ones(len(cells), dtype=bool)
    for name, codes in condition.items():
        held &= cells[name].isin(codes).to_numpy()
    return held


def measured(*words: str) -> tuple[float, float, str]:
    """Seconds, megabytes at the peak, and the sums' fingerprint, of this script in a process of its own."""
    command = [sys.executable, __file__, *words]
    started = time.perf_counter()
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    seconds = time.perf_counter() - started
    if done.returncode:
        sys.exit(done.stderr)
    megabytes, fingerprint = done.stdout.split()
    return seconds, float(megabytes), fingerprint


def peak_megabytes() -> float:
    """Highest resident memory of this process; Linux's ru_maxrss begins with that of the process it was forked from."""
    status = Path("/proc/self/status")
    if status.is_file():
        line = next(line for line in status.read_text().splitlines() if line.startswith("VmHWM"))
        return int(line.split()[1]) / 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def work(way: str, path: Path) -> None:
    """One way in this process: prints peak memory in megabytes and a fingerprint of the sums."""
    if way == "stream":
        sums = by_stream(path)
    elif way == "duckdb":
        sums = by_duckdb(path)
    else:
        sums = np.zeros(1)  # imports alone
    print(f"{peak_megabytes():.0f}", f"{sums.sum():.0f}/{(sums[..., 1:] ** 2).sum():.0f}" if sums.ndim == 3 else "-")


def year_table(*, persons: int, seed: int) -> None:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        print(f"## A year of the country: {persons:,} simulated records\n", flush=True)
        rows = []
        for count in dict.fromkeys((persons // 10, persons)):
            path = folder / f"{YEAR}_csv_pus.zip"
            write_year(path, persons=count, seed=seed)
            packed = path.stat().st_size / 1e6
            seconds, memory, sums = measured("--work", "stream", str(path))
            rows.append((f"streamed from the zip, {count:,} records", packed, seconds, memory, sums))
        started = time.perf_counter()
        with zipfile.ZipFile(path) as archive:
            archive.extractall(folder / "csv")
        extracting = time.perf_counter() - started
        on_disk = sum(file.stat().st_size for file in (folder / "csv").iterdir()) / 1e6
        path.unlink()
        rows.append(("extracting the zip to the disk", on_disk, extracting, np.nan, ""))
        seconds, memory, sums = measured("--work", "duckdb", str(folder / "csv"))
        rows.append(("DuckDB from the extracted CSV, all cores", on_disk, seconds, memory, sums))
        _, base, _ = measured("--work", "nothing", name)
    print("| way | MB on the disk | seconds | MB of memory at the peak |\n|---|---|---|---|")
    for way, disk, seconds, memory, _ in rows:
        print(f"| {way} | {disk:,.0f} | {seconds:.1f} | {'' if np.isnan(memory) else f'{memory:,.0f}'} |")
    streamed, duck = rows[1], rows[-1]
    same = {sums for way, _, _, _, sums in rows if sums and f"{persons // 10:,}" not in way}
    gain = (extracting + duck[2]) / streamed[2]
    print(f"\nThe imports alone take {base:,.0f} MB. Same sums all ways, to the last unit: {len(same) == 1}.")
    print(
        f"Extracting and DuckDB take {gain:.2f} times the seconds of the stream, "
        f"{duck[3] / streamed[3]:.1f} times its memory, and {on_disk:,.0f} MB of disk that the stream does not need.\n"
    )


# --- coverage ----------------------------------------------------------------------------------------------

AREAS, RECORDS, MEAN, SPREAD = 40, 130, 0.12, 0.05


def replicate_factors(count: int, *, replicates: int = 64) -> npt.NDArray[np.float64]:
    """1 + 2^(-3/2)(h - h'), rows h of a Hadamard matrix going round; shape (count, 1 + replicates), ones first."""
    matrix = hadamard(replicates)[1:]
    turn = np.arange(count) % (replicates - 1)
    return np.column_stack([np.ones(count), 1 + 2**-1.5 * (matrix[turn] - matrix[(turn + 1) % (replicates - 1)])])


def world(
    *,
    held: float,
    alike: float,
    shift: float,
    generator: np.random.Generator,
    areas: int = AREAS,
    spread: float = SPREAD,
) -> tuple[AreaCounts, npt.NDArray]:
    """A state whose areas have a city's side and another, with a sample of each; the true shares of the city sides."""
    between, within = np.sqrt(alike) * spread, np.sqrt(1 - alike) * spread
    sides = MEAN + between * generator.standard_normal((areas, 1)) + within * generator.standard_normal((areas, 2))
    sides[:, 0] += shift * spread
    sides = sides.clip(0.01, 0.6)
    in_city = generator.random((areas, RECORDS)) < held
    case = generator.random((areas, RECORDS)) < np.where(in_city, sides[:, :1], sides[:, 1:])
    weights = generator.integers(40, 160, (areas, RECORDS))
    factors = replicate_factors(areas * RECORDS).reshape(areas, RECORDS, -1) * weights[:, :, None]
    counts = AreaCounts(
        areas=tuple(f"P01{number:05d}" for number in range(areas)),
        part=np.einsum("an,anr->ar", case, factors),
        whole=factors.sum(axis=1),
        sampled=np.full(areas, RECORDS),
    )
    return counts, sides[:, 0]


def cities(counts: AreaCounts, unlike: Unlikeness, *, held: float) -> pd.DataFrame:
    """Shares of cities that are a side of one area each."""
    ids = [area[1:] for area in counts.areas]
    walk = pd.DataFrame({"puma_id": counts.areas, "place_id": ids, "puma_share": held, "place_share": 1.0})
    return place_shares(counts, crosswalk=walk, unlike=unlike, part_spread=SETTINGS["part_spread"])


def drawn(counts: AreaCounts) -> Unlikeness:
    """The ratios as the package has them."""
    return unlikeness(counts, typical=SETTINGS["typical_unlikeness"], spread=SETTINGS["unlikeness_spread"])


def holds(found: pd.DataFrame, truth: npt.NDArray, column: str) -> float:
    """Share of 95 % intervals that hold the truth, of those cities whose sample has a case."""
    stated = found["sampling_se"].to_numpy() > 0
    off = np.abs(found["value"].to_numpy() - truth)
    return float((off <= CRITICAL * found[column].to_numpy())[stated].mean())


def coverage(*, held: float, alike: float, shift: float, worlds: int, seed: int) -> tuple[float, float, float]:
    """Share of 95 % intervals of one-area cities that hold the truth: sampling alone, both; mean ratio of widths."""
    hits, wide = np.zeros(2), 0.0
    for number in range(worlds):
        generator = np.random.default_rng([seed, number, round(100 * held), round(100 * alike), round(100 * shift)])
        counts, truth = world(held=held, alike=alike, shift=shift, generator=generator)
        found = cities(counts, drawn(counts), held=held)
        hits += [holds(found, truth, column) for column in ("sampling_se", "std_error")]
        stated = found[found["sampling_se"] > 0]
        wide += (stated["std_error"] / stated["sampling_se"]).mean()
    return hits[0] / worlds, hits[1] / worlds, wide / worlds


def coverage_table(*, worlds: int, seed: int) -> None:
    print("## Coverage of 95 % intervals of a city's share (simulated)\n")
    print(
        f"{worlds} states of {AREAS} areas of {RECORDS} records, mean share {MEAN:g}; every area has a city's side "
        f"and another, whose true shares have standard deviation {SPREAD:g} and the correlation given. Each city is "
        "one side of one area; samples without a case have no interval and are left out. Last rows: city sides worse "
        "by a standard deviation everywhere, which the formula does not "
        f"know of. Monte Carlo error near 95 %: {100 * np.sqrt(0.05 * 0.95 / (worlds * AREAS)):.2f} points.\n"
    )
    print("| own share | correlation of sides | city sides worse by | sampling error alone | with allocation | width |")
    print("|---|---|---|---|---|---|")
    for alike, shift in ((1 / 3, 0.0), (0.6, 0.0), (0.0, 0.0), (1 / 3, 1.0)):
        for held in (1.0, 0.9, 0.6, 0.3):
            alone, both, width = coverage(held=held, alike=alike, shift=shift, worlds=worlds, seed=seed)
            worse = f"{100 * shift * SPREAD:g} points"
            print(f"| {held:g} | {alike:.2f} | {worse} | {alone:.1%} | {both:.1%} | × {width:.2f} |", flush=True)


def small_state_table(*, worlds: int, seed: int) -> None:
    """Coverage by the number of a state's areas: its own estimate believed, and drawn towards the typical one."""
    held = 0.4
    print("\n## States of few areas (simulated)\n")
    print(
        f"{worlds} states a row, each city {held:.0%} of one area, sides correlated by 1/3; the true variance between "
        "areas over θ(1 - θ) differs between states as in the settings, by a gamma law. *Believed*: a state's own "
        "estimate where it is positive and the state has ten areas, else the typical one, as was done before. *Drawn*: "
        "`unlikeness`. *Lowest tenth*: the tenth of the states whose own estimate is lowest against the truth, those "
        "with a positive one. In the last rows states are on average twice or half as unlike inside as the settings "
        "say.\n"
    )
    print("| areas | truth over typical | own not positive | believed | drawn | lowest tenth, believed | and drawn |")
    print("|---|---|---|---|---|---|---|")
    for areas, times in (*((areas, 1.0) for areas in (3, 6, 10, 15, 20, 40)), (3, 2.0), (10, 2.0), (10, 0.5)):
        negative, rows, tenth = _small_states(areas, held=held, times=times, worlds=worlds, seed=seed)
        print(
            f"| {areas} | {times:g} | {negative:.0%} | "
            + " | ".join(f"{value:.1%}" for value in (*rows, *tenth))
            + " |",
            flush=True,
        )


def _small_states(
    areas: int, *, held: float, times: float, worlds: int, seed: int
) -> tuple[float, npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    typical, relative = SETTINGS["typical_unlikeness"], SETTINGS["unlikeness_spread"]
    rows = []
    for number in range(worlds):
        generator = np.random.default_rng([seed, areas, number])
        ratio = times * generator.gamma(relative**-2, typical * relative**2)
        # an area of both sides has the variance of its mixture
        mixture = held**2 + (1 - held) ** 2 + 2 * held * (1 - held) / 3
        spread = np.sqrt(ratio * MEAN * (1 - MEAN) / mixture)
        counts, truth = world(held=held, alike=1 / 3, shift=0, generator=generator, areas=areas, spread=spread)
        as_drawn = drawn(counts)
        own = as_drawn.own.get("01", np.nan)
        believed = {"01": own if own > 0 and areas >= 10 else typical}
        each = [cities(counts, way, held=held) for way in (dataclasses.replace(as_drawn, ratio=believed), as_drawn)]
        rows.append((own / ratio, *(holds(found, truth, "std_error") for found in each)))
    table = np.array(sorted(rows))
    positive = table[table[:, 0] > 0]
    return (
        float((table[:, 0] <= 0).mean()),
        table[:, 1:].mean(axis=0),
        positive[: max(len(table) // 10, 1), 1:].mean(axis=0),
    )


# --- states ------------------------------------------------------------------------------------------------


def state_table() -> None:
    """How unlike areas of a state are and how far states differ in it: the areas of 2021."""
    table = pd.read_csv(ROOT / "data" / "raw" / "youth_neet_puma" / "pumas_2021.csv").dropna()
    print("\n## How unlike areas of a state are, 2021\n")
    print(
        "Variance of true shares between the areas of a state over θ(1 - θ), from `youth_neet_puma`; sampling variance "
        "is taken off as below. The typical ratio is pooled over states by degrees of freedom; the standard deviation "
        "of the states' true ratios around it is by Paule and Mandel, with the variances V of `unlikeness`.\n"
    )
    print(
        "| design effect | states | own estimate not positive | typical ratio | standard deviation of ratios "
        "| over the typical ratio |"
    )
    print("|---|---|---|---|---|---|")
    for effect in (1.0, 1.5, 2.0):
        states, negative, typical, deviation = _states(table, effect)
        print(f"| {effect} | {states} | {negative} | {typical:.4f} | {deviation:.4f} | {deviation / typical:.2f} |")
    print(
        f"\nThe settings take {SETTINGS['typical_unlikeness']} and {SETTINGS['unlikeness_spread']}, "
        "those of the design effect 1.5."
    )


def _states(table: pd.DataFrame, effect: float) -> tuple[int, int, float, float]:
    own, scale, parts = [], [], []
    for _, group in table.groupby(table["place_id"].str[1:3]):
        if len(group) < 2:
            continue
        share, n = group["youth_neet_share"].to_numpy(), group["youth_population_count"].to_numpy() / 110
        mean, total = np.average(share, weights=n), n.sum()
        size = total - (n**2).sum() / total
        noise = effect * (1 - n / total).sum()
        own.append(((n * (share - mean) ** 2).sum() / (mean * (1 - mean)) - noise) / size)
        scale.append((len(n) - 1) * mean * (1 - mean))
        parts.append((np.diag(n) - np.outer(n, n) / total, n, size))
    ratio = np.array(own)
    typical = float((ratio * scale).sum() / np.sum(scale))
    variance = np.array(
        [
            2 * (form**2 * np.outer(typical + effect / n, typical + effect / n)).sum() / size**2
            for form, n, size in parts
        ]
    )

    def excess(between: float) -> float:
        weight = 1 / (variance + between)
        return float((weight * (ratio - np.average(ratio, weights=weight)) ** 2).sum() - (len(ratio) - 1))

    found = brentq(excess, 0, 1) if excess(0) > 0 else 0.0
    return len(ratio), int((ratio <= 0).sum()), typical, float(np.sqrt(found))


# --- neighbours --------------------------------------------------------------------------------------------


def neighbour_table() -> None:
    """What pairs of real neighbouring areas say of the variance between the two sides of one."""
    table = pd.read_csv(ROOT / "data" / "raw" / "youth_neet_puma" / "pumas_2021.csv")
    table = table.dropna().sort_values("place_id")
    print("\n## How unlike two sides of an area are: pairs of real neighbouring areas, 2021\n")
    print(
        "Areas of `youth_neet_puma` with the same first three digits of their code mostly are parts of one county or "
        "city. Two of them in order of code are taken as the two sides of one larger area, half and half; the variance "
        "of their difference is set against the variance between such larger areas of a state. The file has no "
        "errors, so sampling variance is taken off for one record in 110 people at three design effects.\n"
    )
    print("| design effect | pairs | SD between areas of a state | SD of a pair's difference | κ of pairs as areas |")
    print("|---|---|---|---|---|")
    for effect in (1.0, 1.5, 2.0):
        print("| {} | {} | {:.2f} points | {:.2f} points | {:.2f} |".format(*_neighbours(table, effect)))
    print(f"\nThe settings take κ = {SETTINGS['part_spread']:g}. Independent sides would give 4 at half and half.")


def _neighbours(table: pd.DataFrame, effect: float) -> tuple[float, int, float, float, float]:
    parts = []
    for _, group in table.groupby(table["place_id"].str[:6]):
        rows = group.iloc[: len(group) // 2 * 2]
        parts.append(pd.concat([rows.iloc[0::2].reset_index(), rows.iloc[1::2].reset_index()], axis=1, keys=["a", "b"]))
    pairs = pd.concat(parts, ignore_index=True)
    people = pairs[[("a", "youth_population_count"), ("b", "youth_population_count")]].to_numpy()
    cases = pairs[[("a", "youth_neet_count"), ("b", "youth_neet_count")]].to_numpy()
    mean = cases.sum(axis=1) / people.sum(axis=1)
    noise = effect * mean * (1 - mean) * (110 / people).sum(axis=1)
    apart = float((np.diff(cases / people, axis=1)[:, 0] ** 2 - noise).mean())
    state = pairs[("a", "place_id")].str[1:3].to_numpy()
    larger = _within_states(mean, people.sum(axis=1) / 110, state, effect)
    every = _within_states(
        table["youth_neet_share"].to_numpy(),
        table["youth_population_count"].to_numpy() / 110,
        table["place_id"].str[1:3].to_numpy(),
        effect,
    )
    return effect, len(pairs), 100 * np.sqrt(every), 100 * np.sqrt(apart), apart / larger


def _within_states(share: npt.NDArray, records: npt.NDArray, state: npt.NDArray, effect: float) -> float:
    """Variance of true shares between areas, pooled over states of ten areas and more."""
    total, freedom = 0.0, 0
    for code in np.unique(state):
        x, n = share[state == code], records[state == code]
        if len(x) < 10:
            continue
        mean = np.average(x, weights=n)
        excess = (n * (x - mean) ** 2).sum() - effect * mean * (1 - mean) * (len(x) - 1)
        total += (len(x) - 1) * excess / (n.sum() - (n**2).sum() / n.sum())
        freedom += len(x) - 1
    return total / freedom


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    persons = "records of the simulated year; 3300000 is whole, 0 leaves the year out"
    parser.add_argument("--persons", type=int, default=200_000, help=persons)
    parser.add_argument("--worlds", type=int, default=100)
    parser.add_argument("--states", type=int, default=400, help="simulated states for each number of areas")
    parser.add_argument("--seed", type=int, default=20261122)
    parser.add_argument("--work", nargs=2, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.work:
        work(given.work[0], Path(given.work[1]))
        return
    load = os.getloadavg()[0]
    print("# Microdata: memory and time of a year, coverage of cities' intervals\n")
    print(f"`python benchmarks/pums.py {' '.join(sys.argv[1:])}`".replace(" `", "`") + "\n")
    names = ("pyarrow", "duckdb", "numpy", "scipy")
    print(
        f"One run: Python {platform.python_version()}, {os.cpu_count()} cores, "
        f"{', '.join(f'{name} {metadata.version(name)}' for name in names)}. Load average at the start {load:.1f} "
        "(0 is a quiet machine). Each way ran in a process of its own; the peak is its resident memory.\n"
    )
    if given.persons:
        year_table(persons=given.persons, seed=given.seed)
    coverage_table(worlds=given.worlds, seed=given.seed)
    small_state_table(worlds=given.states, seed=given.seed)
    state_table()
    neighbour_table()


if __name__ == "__main__":
    main()
