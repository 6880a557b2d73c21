"""The calibration card of the real panel, and what it costs: OPENBLAS_NUM_THREADS=1 python benchmarks/calibration.py

Build the panel first (wwc-research panel build). One process, one thread; times are of the processor. More in --help.
"""

import argparse
import dataclasses
import time
from collections import Counter
from pathlib import Path

from wwc_research import catalog
from wwc_research.design.design import Design
from wwc_research.evidence.calibration import Calibration, CalibrationRow, calibration_units, card, run_chunk
from wwc_research.panel.panel import Panel

COLUMNS = (
    "estimator",
    "basis",
    "draws",
    "seconds",
    "bias / spread",
    "growing bias / spread",
    "mean error / spread",
    "false positives",
    "coverage",
    "detectable",
    "result",
)


def run(outcome: str, *, panel: Panel, draws: int, slow_draws: int) -> tuple[Calibration, Counter[str]]:
    plan = catalog.plan()
    analysis = plan.analyses[outcome]
    design = Design(outcome=catalog.outcome(outcome), treatment=catalog.treatment(plan.treatment), analysis=analysis)
    sample = design.sample(panel)
    rule = dataclasses.replace(plan.calibration, draws=draws, slow_draws=slow_draws)
    effect = analysis.minimum_effect_of_interest
    chunks, seconds = [], Counter()
    for unit in calibration_units(rule):
        start = time.process_time()
        chunks.append(run_chunk(sample, unit=unit, seed=plan.seed, effect=effect, aggregation=analysis.aggregation))
        seconds[unit.estimator] += time.process_time() - start
    found = card(chunks, rule=rule, effect=effect, headline=analysis.headline, fallback=analysis.fallback)
    return found, seconds


def line(row: CalibrationRow, *, seconds: Counter[str]) -> str:
    cells = (
        row.estimator,
        row.basis.replace("_", " "),
        f"{row.draws:,}",
        f"{seconds[row.estimator]:.1f}" if row.basis == "own_error" else "",
        f"{row.bias / row.spread:+.2f} ± {2 * row.bias_error / row.spread:.2f}",
        f"{row.growing_bias / row.spread:+.2f}",
        f"{row.mean_std_error / row.spread:.2f}",
        f"{row.false_positive_share:.1%} ({row.false_positive_low:.1%}-{row.false_positive_high:.1%})",
        f"{row.coverage:.1%}",
        f"{row.minimum_detectable_effect:.4f}",
        row.result.replace("_", " "),
    )
    return f"| {' | '.join(cells)} |"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--draws", type=int, default=1000)
    parser.add_argument("--slow-draws", type=int, default=100)
    parser.add_argument("--outcomes", nargs="*", default=["broadband", "youth_neet"])
    parser.add_argument("--panel", type=Path, default=Path("data/processed/panel.parquet"))
    given = parser.parse_args()
    panel = Panel.read(given.panel)
    print("# Calibration cards of the real panel, and their cost\n")
    names = " ".join(given.outcomes)
    print(
        f"`python benchmarks/calibration.py --draws {given.draws} --slow-draws {given.slow_draws} --outcomes {names}`"
    )
    print(
        "\nSeconds of one core, every tenth draw run again with a constant and a growing effect. Shares with their 95 %"
    )
    print(
        "Monte Carlo interval; bias and errors in spreads of the placebo estimates; detectable effects in the unit of"
    )
    print("the outcome. Lines as judged keep their size by construction.")
    for outcome in given.outcomes:
        found, seconds = run(outcome, panel=panel, draws=given.draws, slow_draws=given.slow_draws)
        print(f"\n## {outcome}: {sum(seconds.values()):.0f} s\n\n{found.sentence}\n")
        print(f"Heads the page by the rule: {found.carrier or 'none'}.\n")
        print(f"| {' | '.join(COLUMNS)} |\n|{'---|' * len(COLUMNS)}")
        for row in found.rows:
            print(line(row, seconds=seconds))


if __name__ == "__main__":
    main()
