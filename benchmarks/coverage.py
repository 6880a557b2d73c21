"""How far each estimator's intervals keep their promise in planted worlds shaped like the programme's data.

Run: python benchmarks/coverage.py --draws 1000 --seed 20261122 > benchmarks/coverage.md
"""

from __future__ import annotations

import argparse
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import numpy as np
import pandas as pd

from wwc_research.design.sample import Sample
from wwc_research.estimators import Estimate, estimate
from wwc_research.evidence.trust import inference_allowed
from wwc_research.sources.synthetic import staggered_world

GAP = 2020  # no standard one-year release of the American Community Survey
OURS = {2018: 9, 2019: 4, 2020: 6, 2022: 27}
NEARLY_ALL = {2018: 150, 2019: 80, 2020: 80, 2022: 120}
WORLDS: dict[str, dict[str, Any]] = {
    "no effect": {"cohorts": OURS, "effect": "none"},
    "constant effect 0.5": {"cohorts": OURS, "effect": "constant", "effect_size": 0.5},
    "growing effects, earlier cohorts larger": {"cohorts": OURS, "effect": "growing", "effect_size": 0.5},
    "growing effects, nearly all adopt": {"cohorts": NEARLY_ALL, "effect": "growing", "effect_size": 0.5},
    "no effect, three cities exposed": {"cohorts": {2018: 2, 2020: 1}, "effect": "none"},
    "no effect, one figure a county, cities as units": {"cohorts": OURS, "effect": "none", "shared": "cities"},
    "no effect, one figure a county, counties as units": {"cohorts": OURS, "effect": "none", "shared": "counties"},
}
RUNS: dict[str, tuple[str, dict[str, Any], str]] = {
    "imputation, leave out": ("imputation", {"std_errors": "bjs_leave_out"}, "simple"),
    "imputation, simple": ("imputation", {}, "simple"),
    "imputation, dynamic": ("imputation", {"aggregation": "dynamic"}, "dynamic"),
    "two_stage": ("two_stage", {}, "simple"),
    "extended_twfe": ("extended_twfe", {}, "simple"),
    "sun_abraham": ("sun_abraham", {}, "simple"),
    "stacked": ("stacked", {}, "dynamic"),
    "random_trends": ("random_trends", {}, "simple"),
    "two_way_fe, CRV1": ("two_way_fe", {}, "simple"),
    "two_way_fe, jackknife": ("two_way_fe", {"std_errors": "jackknife"}, "simple"),
    "event_study, CRV1": ("event_study", {}, "dynamic"),
    "callaway_santanna, simple": ("callaway_santanna", {}, "simple"),
    "callaway_santanna, simple, pre_trend = leads": ("callaway_santanna", {"pre_trend": "leads"}, "simple"),
    "callaway_santanna, dynamic": ("callaway_santanna", {"aggregation": "dynamic"}, "dynamic"),
}


@dataclass
class Tally:
    """What one estimator said in every draw of one world."""

    truth: float = 0.0
    estimates: list[float] = field(default_factory=list)
    std_errors: list[float] = field(default_factory=list)
    covered: list[bool] = field(default_factory=list)
    rejected: list[bool] = field(default_factory=list)
    pre_trend: list[float] = field(default_factory=list)

    def note(self, result: Estimate, *, truth: float) -> None:
        low, high = result.ci
        self.truth = truth
        self.estimates.append(result.estimate)
        self.std_errors.append(result.std_error)
        self.covered.append(low <= truth <= high)
        self.rejected.append(result.p_value < 0.05)
        self.pre_trend.append(result.pre_trend_p_value)

    def row(self) -> dict[str, str]:
        estimates = np.array(self.estimates)
        pre_trend = np.array(self.pre_trend)
        return {
            "truth": f"{self.truth:.3f}",
            "bias": f"{estimates.mean() - self.truth:+.3f}",
            "Monte Carlo error of bias": f"{estimates.std() / np.sqrt(len(estimates)):.3f}",
            "SD of estimates": f"{estimates.std():.3f}",
            "mean standard error": f"{np.mean(self.std_errors):.3f}",
            "coverage of 95 % interval": f"{np.mean(self.covered):.1%}",
            "p < 0.05": f"{np.mean(self.rejected):.1%}",
            "pre-trend p < 0.05": "none" if np.isnan(pre_trend).all() else f"{np.mean(pre_trend < 0.05):.1%}",
        }


def draw(options: dict[str, Any], generator: np.random.Generator) -> tuple[Sample, dict[str, float]]:
    """One sample, and the true value of each target: over exposed unit-years, and over event times."""
    shared = options.get("shared")
    planted = {name: value for name, value in options.items() if name != "shared"}
    # where one figure stands for a county, cities crowd in few of them, as they do
    n_counties = 120 if shared else 300
    world = staggered_world(
        generator=generator, n_units=470, times=tuple(range(2016, 2023)), n_counties=n_counties, **planted
    )
    frame = world.frame[world.frame["time"] != GAP]
    if shared:
        frame = _with_one_figure_a_county(frame, units=shared)
    exposed = frame[frame["time"] >= frame["cohort"]]
    by_event_time = exposed.groupby(exposed["time"] - exposed["cohort"])["true_effect"].mean()
    sample = Sample(
        frame=pd.DataFrame(
            {
                "unit": frame["unit"],
                "time": frame["time"],
                "outcome": frame["outcome"],
                "cohort": frame["cohort"],
                "cluster": frame["county"],
                "weight": 1.0,
            }
        )
    )
    return sample, {"simple": float(exposed["true_effect"].mean()), "dynamic": float(by_event_time.mean())}


def _with_one_figure_a_county(frame: pd.DataFrame, *, units: str) -> pd.DataFrame:
    """Every city shows the mean of its county; or the counties themselves, exposed from their first city on."""
    keys = ["county", "time"]
    if units == "cities":
        return frame.assign(outcome=frame.groupby(keys)["outcome"].transform("mean"))
    first = frame.groupby("county")["cohort"].min()
    counties = frame.groupby(keys, as_index=False)[["outcome", "true_effect"]].mean()
    return counties.assign(unit=counties["county"], cohort=counties["county"].map(first))


def simulate(options: dict[str, Any], *, draws: int, seed: int) -> tuple[dict[str, Tally], float]:
    """What each estimator said in every draw, and the share of draws in which the rule asks for lots."""
    generator = np.random.default_rng(seed)
    tallies = {label: Tally() for label in RUNS}
    asked = 0
    for _ in range(draws):
        sample, truth = draw(options, generator)
        asked += inference_allowed(sample).method == "randomisation"
        for label, (name, given, target) in RUNS.items():
            tallies[label].note(estimate(sample, name, **given), truth=truth[target])
    return tallies, asked / draws


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--draws", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=20261122)
    given = parser.parse_args()
    print("# Bias and coverage in planted worlds\n")
    print(f"`python benchmarks/coverage.py --draws {given.draws} --seed {given.seed}`\n")
    print(
        "470 units in 300 counties, 2016-19 and 2021-22; AR(1) noise 0.4 (innovation SD 1), county-year shocks\n"
        "(SD 0.5), survey error (median SD 0.5); comparison not yet exposed, errors clustered by county. First\n"
        "exposed: 9 in 2018, 4 in 2019, 6 in 2020, 27 in 2022; where nearly all adopt 150, 80, 80 and 120; where\n"
        "three do, 2 in 2018 and 1 in 2020. Where a county has one figure, the 470 cities lie in 120 counties.\n"
        "Targets: the mean true effect over exposed unit-years; for `event_study` and `dynamic` over event times.\n"
        "Where a standard error is undefined (leave-out errors with a cohort in one county) nothing is covered or\n"
        "rejected.\n"
        f"Monte Carlo error of a share near 5 %: {np.sqrt(0.05 * 0.95 / given.draws):.1%}."
    )
    with ProcessPoolExecutor() as pool:
        results = list(pool.map(partial(simulate, draws=given.draws, seed=given.seed), WORLDS.values()))
    for label, (tallies, asked) in zip(WORLDS, results, strict=True):
        rows = {run: tally.row() for run, tally in tallies.items()}
        columns = list(next(iter(rows.values())))
        print(f"\n## {label[0].upper()}{label[1:]}\n")
        print(f"The rule for few clusters asks for lots, and a page says so, in {asked:.0%} of the draws.\n")
        print("| estimator | " + " | ".join(columns) + " |")
        print("|---" * (len(columns) + 1) + "|")
        for run, row in rows.items():
            print(f"| {run} | " + " | ".join(row.values()) + " |")


if __name__ == "__main__":
    main()
