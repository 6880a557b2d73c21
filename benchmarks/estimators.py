"""Time of each estimator as a multiple of a plain numpy within regression on the same panel, in the same run.

Run: python benchmarks/estimators.py
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable

import numpy as np
import pandas as pd

from wwc_research.design.sample import Sample
from wwc_research.estimators import estimate

SIZES = ((900, 15, 7), (100_000, 15, 1))
RUNS: tuple[tuple[str, str, tuple[str, ...], dict[str, str]], ...] = (
    ("two_way_fe", "two_way_fe", (), {}),
    ("two_way_fe, jackknife", "two_way_fe", (), {"std_errors": "jackknife"}),
    ("event_study", "event_study", (), {}),
    ("callaway_santanna", "callaway_santanna", (), {}),
    ("callaway_santanna, reg, 2 covariates", "callaway_santanna", ("x1", "x2"), {"adjustment": "reg"}),
    ("callaway_santanna, dr, 2 covariates", "callaway_santanna", ("x1", "x2"), {"adjustment": "dr"}),
)


def panel(n_units: int, n_times: int) -> pd.DataFrame:
    """A balanced panel, an eighth of its units exposed in each of four years."""
    generator = np.random.default_rng(1)
    unit, period = np.repeat(np.arange(n_units), n_times), np.tile(np.arange(n_times), n_units)
    cohort = generator.choice([2006.0, 2008.0, 2010.0, 2012.0, *[np.nan] * 4], size=n_units)[unit]
    name = np.array([f"{number:07d}" for number in range(n_units)])[unit]
    return pd.DataFrame(
        {
            "unit": name,
            "time": 2000 + period,
            "outcome": generator.normal(size=len(unit)) + (2000 + period >= cohort),
            "cohort": cohort,
            "cluster": name,
            "weight": 1.0,
            "x1": generator.normal(size=n_units)[unit],
            "x2": generator.normal(size=n_units)[unit],
        }
    )


def within(frame: pd.DataFrame, shape: tuple[int, int]) -> float:
    """The yardstick: two-way demeaning by reshape, one slope, its clustered standard error."""
    values = []
    for column in (frame["outcome"].to_numpy(), (frame["time"] >= frame["cohort"]).to_numpy(dtype=float)):
        table = column.reshape(shape)
        values.append(table - table.mean(1, keepdims=True) - table.mean(0) + table.mean())
    y, d = values
    slope = (d * y).sum() / (d * d).sum()
    return float(np.sqrt((((y - slope * d) * d).sum(1) ** 2).sum()) / (d * d).sum())


def best(run: Callable[[], object], *, repeats: int) -> float:
    """Shortest of `repeats` times, in seconds."""
    times = []
    for _ in range(repeats):
        start = time.perf_counter()
        run()
        times.append(time.perf_counter() - start)
    return min(times)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--largest", type=int, default=100_000, help="leave out panels with more units")
    largest = parser.parse_args().largest
    for n_units, n_times, repeats in SIZES:
        if n_units > largest:
            continue
        frame = panel(n_units, n_times)
        yardstick = best(lambda: within(frame, (n_units, n_times)), repeats=max(repeats, 3))  # noqa: B023
        print(f"\n{n_units:,} units x {n_times} times; numpy within regression {yardstick * 1e3:.1f} ms = 1\n")
        print("| estimator | seconds | times the within regression |\n|---|---|---|")
        for label, name, covariates, options in RUNS:
            sample = Sample(frame=frame, covariates=covariates)
            seconds = best(lambda: estimate(sample, name, **options), repeats=repeats)  # noqa: B023
            print(f"| {label} | {seconds:.3f} | {seconds / yardstick:.0f} |")


if __name__ == "__main__":
    main()
