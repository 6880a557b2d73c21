"""How long is a specification curve, what does it say, how long does it take?

OMP_NUM_THREADS=1 python benchmarks/specifications.py > benchmarks/specifications.md

Processor time of one thread: matrices of this size are solved slower, not faster, by several.
"""

import argparse
import json
import time
from pathlib import Path

from wwc_research import catalog
from wwc_research.design.design import Design
from wwc_research.evidence.specifications import specification_curve
from wwc_research.panel.build import build_panel

COLUMNS = (
    "treatment",
    "outcome",
    "specifications",
    "same sign as planned",
    "significant up",
    "significant down",
    "median",
    "tested jointly",
    "p, median",
    "p, share beyond",
    "seconds",
    "kB of JSON",
)


def line(treatment: str, outcome: str, *, panel) -> list[str]:
    plan = catalog.plan()
    rule = plan.specifications
    design = Design(
        outcome=catalog.outcome(outcome), treatment=catalog.treatment(treatment), analysis=plan.analyses[outcome]
    )
    start = time.process_time()
    shown = specification_curve(design, panel, rule=rule, seed=plan.seed).as_dict()
    seconds = time.process_time() - start
    joint = shown["joint"]
    return [
        treatment,
        outcome,
        str(shown["n_specifications"]),
        f"{shown['share_same_sign']:.0%}",
        f"{shown['share_significant_positive']:.0%}",
        f"{shown['share_significant_negative']:.0%}",
        f"{design.outcome.scale * shown['median']:+.2f} {design.outcome.unit}",
        str(joint["n_specifications"]),
        f"{joint['median_p_value']:.3f}",
        f"{joint['share_p_value']:.3f}",
        f"{seconds:.1f}",
        f"{len(json.dumps(shown, separators=(',', ':'))) / 1000:.0f}",
    ]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--outcomes", nargs="*", default=list(catalog.plan().analyses))
    given = parser.parse_args()
    panel = build_panel(Path("data/raw"))
    print("# Specification curves of the plan\n")
    print("Written by `benchmarks/specifications.py`; processor seconds of one thread.\n")
    print(f"| {' | '.join(COLUMNS)} |\n|{'---|' * len(COLUMNS)}", flush=True)
    for treatment in catalog.plan().treatments:
        for outcome in given.outcomes:
            print(f"| {' | '.join(line(treatment, outcome, panel=panel))} |", flush=True)


if __name__ == "__main__":
    main()
