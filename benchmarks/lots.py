"""Does the cautious inference keep its size? python benchmarks/lots.py --draws 500 > benchmarks/lots.md

The worlds of coverage.py, judged as a page judges: by clustered errors, by lot, and by the larger of the two.
"""

import argparse
from concurrent.futures import ProcessPoolExecutor
from functools import partial

import numpy as np
from coverage import WORLDS, draw

from wwc_research import inference
from wwc_research.estimators import estimate
from wwc_research.evidence.randomisation import draw_lots

# Where nearly everybody is exposed there is next to nobody to draw, and drawing takes hours.
JUDGED = tuple(world for world in WORLDS if world != "growing effects, nearly all adopt")
COLUMNS = (
    "clustered p < 0.05",
    "lot p < 0.05",
    "larger p < 0.05",
    "coverage, clustered",
    "coverage, larger error",
    "leads p < 0.10",
    "drift p < 0.10",
    "either p < 0.10",
)


def judged(number: int, *, world: str, seed: int, lots: int) -> list[float]:
    generator = np.random.default_rng([seed, number])
    sample, truths = draw(WORLDS[world], generator)
    truth = truths["simple"]
    found = estimate(sample, "imputation", std_errors="bjs_leave_out")
    if np.isnan(found.std_error):  # a cohort in one county: a page then takes the plain errors, and says so
        found = estimate(sample, "imputation")
    lottery = draw_lots(sample, seed=seed, stream=f"{world} {number}", draws=lots, n_leads=5)
    wider = inference.confidence_interval(found.estimate, max(found.std_error, lottery.std_error))
    return [
        found.p_value < 0.05,
        lottery.p_value < 0.05,
        max(found.p_value, lottery.p_value) < 0.05,
        found.ci[0] < truth < found.ci[1],
        wider[0] < truth < wider[1],
        lottery.lead_p_value < 0.10,
        lottery.drift_p_value < 0.10,
        min(lottery.lead_p_value, lottery.drift_p_value) < 0.10,
    ]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--draws", type=int, default=500)
    parser.add_argument("--lots", type=int, default=499)
    parser.add_argument("--seed", type=int, default=20261122)
    parser.add_argument("--worlds", type=int, nargs="*", default=range(len(JUDGED)), help="numbers of worlds, from 0")
    given = parser.parse_args()
    print("# Size and coverage of the inference a page rests on\n")
    command = f"python benchmarks/lots.py --draws {given.draws} --lots {given.lots} --seed {given.seed}"
    print(f"`{command}`: the simulated worlds of coverage.md, imputation's simple average.")
    print(f"Monte Carlo error of a share near 5 %: {np.sqrt(0.05 * 0.95 / given.draws):.1%}.\n")
    print("| world | " + " | ".join(COLUMNS) + " |")
    print("|---" * (len(COLUMNS) + 1) + "|")
    with ProcessPoolExecutor() as pool:
        for world in (JUDGED[number] for number in given.worlds):
            work = partial(judged, world=world, seed=given.seed, lots=given.lots)
            shares = np.mean(list(pool.map(work, range(given.draws), chunksize=10)), axis=0)
            print(f"| {world} | " + " | ".join(f"{share:.1%}" for share in shares) + " |", flush=True)


if __name__ == "__main__":
    main()
