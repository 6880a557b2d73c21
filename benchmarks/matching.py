"""Matching and weighting beside their peers in one run: seconds and peak memory, each case in its own process.

Run in an environment with the peers: pip install causalinference==0.1.3.post1 psmpy==0.3.16 ebal==1.0.0
python benchmarks/matching.py > benchmarks/matching.md
"""

from __future__ import annotations

import argparse
import contextlib
import io
import os
import resource
import subprocess
import sys
import time
import warnings
from collections.abc import Callable
from functools import partial
from importlib import import_module, metadata
from pathlib import Path

import numpy as np
import pandas as pd

FIGURES = Path(__file__).parents[1] / "tests" / "figures"
SIZES = {900: 3, 20_000: 1}
N_COVARIATES = 12
TREATED_SHARE = 0.1
PEERS = ("causalinference", "psmpy", "ebal")
Run = Callable[[pd.DataFrame], float]


def covariates_of(frame: pd.DataFrame) -> list[str]:
    return [name for name in frame if name not in ("treated", "outcome")]


def difference(frame: pd.DataFrame, weights: pd.Series) -> float:
    """Weighted mean of the treated less that of the others."""
    treated = frame["treated"] == 1
    means = [np.average(frame.loc[rows, "outcome"], weights=weights[rows]) for rows in (treated, ~treated)]
    return float(means[0] - means[1])


def ours(module: str, name: str | None = None, **options: object) -> Run:
    function = getattr(import_module(f"wwc_research.design.{module}"), name or module)

    def run(frame: pd.DataFrame) -> float:
        found = function(frame, treatment="treated", covariates=covariates_of(frame), **options)
        return difference(frame, found.weights)

    return run


def causalinference(step: str, **options: object) -> Run:
    from causalinference import CausalModel

    def run(frame: pd.DataFrame) -> float:
        model = CausalModel(*(frame[name].to_numpy(dtype=float) for name in ("outcome", "treated")), arrays(frame))
        if step in ("blocking", "weighting"):
            model.est_propensity()
        if step == "blocking":
            model.stratify_s()
        getattr(model, f"est_via_{step}")(**options)
        found = model.estimates[step]
        return float(found.get("att", found["ate"]))

    return run


def psmpy(frame: pd.DataFrame) -> float:
    from psmpy import PsmPy

    table = frame.rename_axis("person").reset_index()
    model = PsmPy(table, treatment="treated", indx="person", exclude=["outcome"])
    model.logistic_ps(balance=False)
    model.kdtree_matched(matcher="propensity_logit", replacement=False)
    pairs = model.matched_ids.dropna()
    known = frame["outcome"]
    columns = [known.loc[pairs[name].to_numpy()].to_numpy() for name in pairs.columns[:2]]
    first_is_treated = frame["treated"].loc[pairs.iloc[0, 0]] == 1
    return float((columns[0] - columns[1]).mean() * (1 if first_is_treated else -1))


def ebal(frame: pd.DataFrame) -> float:
    from ebal import ebal_bin

    model = ebal_bin(print_level=-1, PCA=False)
    found = model.ebalance(frame["treated"].to_numpy(), arrays(frame), frame["outcome"].to_numpy(dtype=float))
    if not found["converged"]:
        raise RuntimeError("did not converge")
    return difference(frame, pd.Series(found["w"], index=frame.index))


def arrays(frame: pd.DataFrame) -> np.ndarray:
    return frame[covariates_of(frame)].to_numpy(dtype=float)


# label: how the estimate is had; what needs a peer is built only in its own process
CASES: dict[str, dict[str, Callable[[], Run]]] = {
    "nearest, propensity, without replacement": {
        "wwc_research": lambda: ours("matching", "nearest"),
        "psmpy": lambda: psmpy,
    },
    "nearest, Mahalanobis, with replacement": {
        "wwc_research": lambda: ours("matching", "nearest", distance="mahalanobis", replace=True, ties="all"),
        "causalinference": lambda: causalinference("matching", weights="maha", matches=1),
    },
    "nearest, Mahalanobis, without replacement": {
        "wwc_research": lambda: ours("matching", "nearest", distance="mahalanobis"),
    },
    "optimal": {"wwc_research": lambda: ours("optimal")},
    "full": {"wwc_research": lambda: ours("full_matching")},
    "coarsened exact, 3 bins": {"wwc_research": lambda: ours("coarsened_exact", bins=3)},
    "subclassification, 6": {
        "wwc_research": lambda: ours("subclassification"),
        "causalinference": lambda: causalinference("blocking", adj=0),
    },
    "cardinality, SMD 0.1": {"wwc_research": lambda: ours("cardinality")},
    "entropy balancing": {
        "wwc_research": lambda: ours("entropy_balancing"),
        "ebal": lambda: ebal,
    },
    "inverse probability": {
        "wwc_research": lambda: ours("inverse_probability"),
        "causalinference": lambda: causalinference("weighting"),
    },
}


def lalonde() -> pd.DataFrame:
    """LaLonde's 614 men with text as indicators, as every package can take it."""
    men = pd.read_csv(FIGURES / "lalonde.csv", index_col="person").rename(columns={"earnings_1978_usd": "outcome"})
    coded = pd.get_dummies(men, columns=["race"], drop_first=True, dtype=float)
    return coded.reset_index(drop=True)


def simulated(n_units: int) -> pd.DataFrame:
    """Twelve covariates (four of 0 and 1), a tenth treated, more often where the first ones are high; effect 1."""
    generator = np.random.default_rng(7)
    X = generator.normal(size=(n_units, N_COVARIATES))
    X[:, 8:] = (X[:, 8:] > 0).astype(float)
    push = 0.5 * X[:, 0] + 0.4 * X[:, 1] - 0.3 * X[:, 2] + 0.3 * X[:, 8] + generator.logistic(size=n_units)
    treated = (push >= np.quantile(push, 1 - TREATED_SHARE)).astype(int)
    outcome = X[:, :4].sum(axis=1) + treated + generator.normal(size=n_units)
    frame = pd.DataFrame(X, columns=[f"x{number}" for number in range(N_COVARIATES)])
    return frame.assign(treated=treated, outcome=outcome)


def one_case(label: str, package: str, n_units: int) -> None:
    """Print LaLonde's estimate, the simulated one, seconds and peak megabytes of this very process."""
    warnings.simplefilter("ignore")
    # the peers must not be taken from the scripts beside this one
    sys.path[:] = [path for path in sys.path if Path(path).resolve() != Path(__file__).resolve().parent]
    with contextlib.redirect_stdout(io.StringIO()):
        run = CASES[label][package]()
        known = run(lalonde())  # imports and anything built at the first call are not what is measured
        frame = simulated(n_units)
        seconds, value = np.inf, np.nan
        for _ in range(SIZES[n_units]):
            start = time.perf_counter()
            value = run(frame)
            seconds = min(seconds, time.perf_counter() - start)
    print(known, value, seconds, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024)


def rows(label: str, n_units: int, *, limit: int) -> None:
    """One line of the table for every package that has the method."""
    first: float | None = None
    for package in CASES[label]:
        command = [sys.executable, __file__, "--case", label, package, str(n_units)]
        say = partial(print, f"| {label} | {package} |", flush=True)
        try:
            done = subprocess.run(command, capture_output=True, text=True, timeout=limit, check=False)
        except subprocess.TimeoutExpired:
            say(f"given up after {limit} s | | | | |")
            continue
        if done.returncode:
            why = (done.stderr.strip().splitlines() or ["no message"])[-1].replace("|", "/")
            say(f"failed: {why[:150]} | | | | |")
            continue
        known, value, seconds, peak = (float(text) for text in done.stdout.split()[-4:])
        first = seconds if first is None else first
        say(f"{known:,.0f} | {value:.3f} | {seconds:.3f} | {seconds / first:.1f} | {peak:,.0f} |")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--case", nargs=3, metavar=("LABEL", "PACKAGE", "UNITS"))
    parser.add_argument("--seconds", type=int, default=45, help="give a case up after this long")
    given = parser.parse_args()
    if given.case:
        one_case(given.case[0], given.case[1], int(given.case[2]))
        return
    print("# Matching and weighting beside their peers\n")
    print(
        f"`python benchmarks/matching.py`: {N_COVARIATES} simulated covariates, {TREATED_SHARE:.0%} treated, a true "
        "effect of 1; all in one run on one machine, best of three (900 units) or one run (20,000 units), each case in "
        "its own process; peers: " + ", ".join(f"{name} {metadata.version(name)}" for name in PEERS) + ". Memory is "
        "the peak of the whole process, imports in it. `LaLonde` is the estimate for LaLonde's 614 men in dollars "
        "(`lalonde.md` has the experiment's). Where two packages share a label they solve the same kind of problem, "
        "not always the same problem: see the notes below. Ratios within this run are what counts, not seconds: the "
        f"load of the machine's {os.cpu_count()} cores was {os.getloadavg()[0]:.1f} when it began.\n"
    )
    for n_units in SIZES:
        print(f"## {n_units:,} units\n")
        print(
            "| method | package | LaLonde | estimate | seconds | times ours | peak MB |\n|---|---|---|---|---|---|---|"
        )
        for label in CASES:
            rows(label, n_units, limit=given.seconds)
        print()
    print(NOTES, end="")


NOTES = """## Notes

- psmpy fits its propensity score with a penalty and on unscaled columns, and serves treated units in the order of the
  table; ours fits by maximum likelihood and serves the largest score first.
- causalinference's matching estimates three effects and standard errors at once, matching both ways; ours matches the
  controls of the treated only. Its inverse-probability estimate is the average effect on all (with a regression), ours
  the effect on the treated. Its blocks are cut by a rule of its own (not six), for the effect on the
  treated; ours are six with equal numbers of treated units.
- ebal was run without its principal components, which would change what is balanced.
- Optimal, full, coarsened exact and cardinality matching have no peer among these packages.
- Cardinality matching searches for 30 seconds unless told otherwise. Tried once more by itself at 20,000 units it ended
  with its own error, that no balanced sample was found in that time.
"""


if __name__ == "__main__":
    main()
