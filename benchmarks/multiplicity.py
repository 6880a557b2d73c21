"""How often a family of outcomes has a false finding, by correction. Outcomes of the same units, judged by lot.

Run: python benchmarks/multiplicity.py > benchmarks/multiplicity.md
"""

from __future__ import annotations

import argparse
from concurrent.futures import ProcessPoolExecutor
from functools import partial

import numpy as np
import numpy.typing as npt

from wwc_research.evidence.multiplicity import benjamini_hochberg, benjamini_yekutieli, holm, romano_wolf

Floats = npt.NDArray[np.float64]

UNITS, EXPOSED = 200, 40
CORRELATIONS = (0.0, 0.5, 0.9)
HYPOTHESES = (6, 12)
SHARES_FALSE = (0.0, 1 / 3)
EFFECT = 3.0  # of a false null, in standard errors of the difference of means
SIZE = 0.05
METHODS = (
    "none",
    "Holm",
    "Romano-Wolf",
    "Romano-Wolf, lots not joint",
    "Romano-Wolf, draws less the estimate",
    "Benjamini-Hochberg",
    "Benjamini-Yekutieli",
)


def outcomes(*, hypotheses: int, correlation: float, generator: np.random.Generator) -> Floats:
    """Standard normal outcomes, every two of them correlated alike; shape (units, hypotheses)."""
    shared, own = generator.standard_normal((UNITS, 1)), generator.standard_normal((UNITS, hypotheses))
    return np.sqrt(correlation) * shared + np.sqrt(1 - correlation) * own


def differences(exposed: Floats, values: Floats) -> Floats:
    """Mean of the exposed less that of the others; exposed has one row a draw, shape (draws, units)."""
    return exposed @ values / EXPOSED - (1 - exposed) @ values / (UNITS - EXPOSED)


def adjusted(number: int, *, hypotheses: int, correlation: float, n_false: int, seed: int, lots: int) -> Floats:
    """Adjusted p-values of one world, shape (methods, hypotheses); the first `n_false` hypotheses are false."""
    generator = np.random.default_rng([seed, hypotheses, round(100 * correlation), n_false, number])
    values = outcomes(hypotheses=hypotheses, correlation=correlation, generator=generator)
    luck = generator.random((lots + 1, UNITS))
    exposed = (luck <= np.partition(luck, EXPOSED - 1, axis=1)[:, [EXPOSED - 1]]).astype(float)
    values[:, :n_false] += EFFECT * np.sqrt(1 / EXPOSED + 1 / (UNITS - EXPOSED)) * exposed[0][:, None]
    estimates, drawn = differences(exposed[:1], values)[0], differences(exposed[1:], values)
    plain = (1 + (np.abs(drawn) >= np.abs(estimates)).sum(axis=0)) / (1 + lots)
    less = differences(exposed[1:], values - exposed[0][:, None] * estimates)
    spread = np.sqrt((less**2).mean(axis=0))  # Lottery.std_error
    apart = generator.permuted(drawn, axis=0)
    return np.array(
        [
            plain,
            holm(plain.tolist()),
            romano_wolf(estimates / spread, draws=drawn / spread),
            romano_wolf(estimates / spread, draws=apart / spread),
            romano_wolf(estimates / spread, draws=less / spread),
            benjamini_hochberg(plain.tolist()),
            benjamini_yekutieli(plain.tolist()),
        ]
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--worlds", type=int, default=2000)
    parser.add_argument("--lots", type=int, default=499)
    parser.add_argument("--seed", type=int, default=20261122)
    given = parser.parse_args()
    print("# False findings in a family of outcomes, by correction (simulated)\n")
    print(f"`python benchmarks/multiplicity.py --worlds {given.worlds} --lots {given.lots} --seed {given.seed}`\n")
    print(f"{EXPOSED} of {UNITS} units exposed by lot; normal outcomes, every two correlated alike; a false null is")
    print(f"{EFFECT:g} standard errors from zero. p-values by {given.lots} lots, the same lots for all outcomes of a")
    print("world. First number: share of worlds with a true null rejected at 5 % (family-wise error rate; Monte")
    print(f"Carlo error near 5 %: {100 * np.sqrt(0.05 * 0.95 / given.worlds):.1f} points). Second: share of the")
    print('false nulls found. "Lots not joint": the same draws, shuffled within each outcome. "Draws less the')
    print('estimate": the draws behind the standard error, which impose the estimate as the effect.\n')
    print("Benjamini-Hochberg and Benjamini-Yekutieli promise the false discovery rate, which is the family-wise")
    print("rate only where every null is true. Romano-Wolf's scale is taken from the lots: with 499 of them that")
    print("adds a few tenths of a point, which shrink in proportion to one over their number.\n")
    print("| outcomes | false nulls | correlation | " + " | ".join(METHODS) + " |")
    print("|---" * (len(METHODS) + 3) + "|")
    with ProcessPoolExecutor() as pool:
        for hypotheses in HYPOTHESES:
            for share in SHARES_FALSE:
                for correlation in CORRELATIONS:
                    n_false = round(share * hypotheses)
                    world = {"hypotheses": hypotheses, "correlation": correlation, "n_false": n_false}
                    work = partial(adjusted, **world, seed=given.seed, lots=given.lots)
                    rejected = np.array(list(pool.map(work, range(given.worlds), chunksize=50))) <= SIZE
                    wrong = rejected[:, :, n_false:].any(axis=2).mean(axis=0)
                    texts = [f"{rate:.1%}" for rate in wrong]
                    if n_false:
                        power = rejected[:, :, :n_false].mean(axis=(0, 2))
                        texts = [f"{text}, {found:.0%}" for text, found in zip(texts, power, strict=True)]
                    print(f"| {hypotheses} | {n_false} | {correlation:g} | " + " | ".join(texts) + " |", flush=True)


if __name__ == "__main__":
    main()
