"""How often each kind of inference finds an effect where there is none, by number of treated cities (simulated).

Run: python benchmarks/inference.py --draws 400 --seed 20261122 > benchmarks/inference.md
"""

from __future__ import annotations

import argparse
import math
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from wwc_research import inference
from wwc_research.errors import listed
from wwc_research.estimators import linear
from wwc_research.estimators.leverage import effective_clusters
from wwc_research.estimators.linear import ErrorModel
from wwc_research.estimators.wild_bootstrap import wild_cluster_bootstrap

Floats = npt.NDArray[np.float64]

N_UNITS, N_PERIODS, N_AREAS = 900, 15, 280
PERSISTENCE, AREA_SHOCK = 0.4, 0.5
FIRST_EXPOSED = (6, 8, 10)  # treated units are dealt to these periods in turn
TREATED = (3, 5, 8, 15, 30)
BOOTSTRAP_DRAWS, PERMUTATIONS = 999, 999
METHODS = {
    "cluster": "CR1",
    "cr2": "CR2 + Satterthwaite",
    "jackknife": "CR3",
    "wild": "WCR",
    "permutation": "RI",
}


def rejections(*, n_treated: int, draws: int, generator: np.random.Generator) -> dict[str, float]:
    """Share of draws with p < 0.05 under no effect, by method, and the mean effective number of clusters."""
    found = dict.fromkeys([*METHODS, "effective", "df"], 0.0)
    for _ in range(draws):
        for name, value in one_draw(n_treated=n_treated, generator=generator).items():
            found[name] += value / draws
    return found


def one_draw(*, n_treated: int, generator: np.random.Generator) -> dict[str, float]:
    """Whether each method rejects in one planted world without effect (0 or 1), and the effective clusters."""
    area = generator.permutation(np.arange(N_UNITS) % N_AREAS)
    outcome = _noise(area, generator=generator)
    cohort = np.full(N_UNITS, N_PERIODS)
    cohort[generator.permutation(N_UNITS)[:n_treated]] = np.resize(FIRST_EXPOSED, n_treated)
    unit, time = np.repeat(np.arange(N_UNITS), N_PERIODS), np.tile(np.arange(N_PERIODS), N_UNITS)
    clusters = area[unit]
    exposure = (time >= cohort[unit]).astype(float)[:, None]
    y = outcome.reshape(-1)
    values = {}
    for kind in ("cluster", "cr2", "jackknife"):
        fit = linear.fit(y, exposure, effects=(unit, time), errors=ErrorModel(kind=kind, clusters=(clusters,)))
        values[kind] = float(inference.p_value(fit.coefficients[0], fit.std_errors[0], fit.df) < 0.05)
        if kind == "cr2":
            values["df"] = fit.df
    wild = wild_cluster_bootstrap(
        y, exposure, column=0, clusters=clusters, effects=(unit, time), draws=BOOTSTRAP_DRAWS, generator=generator
    )
    values["wild"] = float(wild.p_value <= 0.05)
    values["permutation"] = float(_permutation_p_value(outcome, cohort, generator=generator) <= 0.05)
    share = effective_clusters(exposure, column=0, clusters=clusters, effects=(unit, time))
    values["effective"] = share.effective
    return values


def _noise(area: npt.NDArray[np.int64], *, generator: np.random.Generator) -> Floats:
    """AR(1) noise of variance 1 by unit, shocks by area and period, shape (units, periods)."""
    innovation = generator.normal(size=(N_UNITS, N_PERIODS)) * math.sqrt(1 - PERSISTENCE**2)
    noise = generator.normal(size=(N_UNITS, N_PERIODS))
    for period in range(1, N_PERIODS):
        noise[:, period] = PERSISTENCE * noise[:, period - 1] + innovation[:, period]
    return noise + AREA_SHOCK * generator.normal(size=(N_AREAS, N_PERIODS))[area]


def _permutation_p_value(outcome: Floats, cohort: npt.NDArray[np.int64], *, generator: np.random.Generator) -> float:
    """P-value of the two-way estimate over redrawn cohorts: in a balanced panel a sum of one number a treated unit."""
    swept = outcome - outcome.mean(axis=1, keepdims=True) - outcome.mean(axis=0) + outcome.mean()
    after = np.stack([swept[:, first:].sum(axis=1) for first in FIRST_EXPOSED], axis=1)
    kind = {first: number for number, first in enumerate(FIRST_EXPOSED)}
    treated = np.flatnonzero(cohort < N_PERIODS)
    paths = np.array([kind[int(first)] for first in cohort[treated]])
    real = abs(after[treated, paths].sum())
    lots = _lots(len(treated), generator=generator)
    drawn = np.abs(after[lots, paths].sum(axis=1))
    return float((1 + (drawn >= real * (1 - 1e-12)).sum()) / (1 + PERMUTATIONS))


def _lots(size: int, *, generator: np.random.Generator) -> npt.NDArray[np.int64]:
    """Ordered draws without replacement of `size` units, one row a permutation: rows with a unit twice are redrawn."""
    lots = generator.integers(0, N_UNITS, size=(PERMUTATIONS, size))
    while True:
        repeated = (np.diff(np.sort(lots, axis=1), axis=1) == 0).any(axis=1)
        if not repeated.any():
            return lots
        lots[repeated] = generator.integers(0, N_UNITS, size=(int(repeated.sum()), size))


def table(*, draws: int, seed: int, treated: Sequence[int] = TREATED) -> str:
    """The Markdown page: one row a number of treated units."""
    error = 100 * math.sqrt(0.05 * 0.95 / draws)
    lines = [
        "# False findings by number of treated cities (simulated)",
        "",
        f"`python benchmarks/inference.py --draws {draws} --seed {seed}`",
        "",
        f"Share of nominal 5 % tests that reject in planted worlds without any effect. {N_UNITS} cities in",
        f"{N_AREAS} areas over {N_PERIODS} periods; AR(1) noise ({PERSISTENCE}, variance 1) and area-period shocks",
        f"(SD {AREA_SHOCK}); treated cities drawn at random, first exposed in periods {listed(FIRST_EXPOSED)} in turn;",
        f"two-way fixed effects; errors clustered by area. WCR: Rademacher, {BOOTSTRAP_DRAWS} draws. RI:",
        f"{PERMUTATIONS} permutations of cohorts over all cities, unstudentised. Monte Carlo error of a share near",
        f"5 %: {error:.1f} points.",
        "",
        f"| treated | {' | '.join(METHODS.values())} | mean effective clusters | mean Satterthwaite df |",
        f"|---|{'---|' * (len(METHODS) + 2)}",
    ]
    generators = np.random.default_rng(seed).spawn(len(treated))
    for n_treated, generator in zip(treated, generators, strict=True):
        found = rejections(n_treated=n_treated, draws=draws, generator=generator)
        shares = " | ".join(f"{100 * found[name]:.1f} %" for name in METHODS)
        lines.append(f"| {n_treated} | {shares} | {found['effective']:.1f} | {found['df']:.1f} |")
    return "\n".join(lines) + "\n"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--draws", type=int, default=400)
    parser.add_argument("--seed", type=int, default=20261122)
    given = parser.parse_args()
    print(table(draws=given.draws, seed=given.seed), end="")


if __name__ == "__main__":
    main()
