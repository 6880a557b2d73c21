"""Our estimators beside their peers on one panel in one run: seconds and peak memory, each case in its own process.

Run in an environment with the peers: pip install -e '.[oracle]'; python benchmarks/peers.py > benchmarks/peers.md
"""

from __future__ import annotations

import argparse
import contextlib
import io
import resource
import subprocess
import sys
import time
import warnings
from collections.abc import Callable
from importlib import metadata
from pathlib import Path

import numpy as np
import pandas as pd
from estimators import best, panel

SIZES = {900: 7, 100_000: 3}
N_TIMES = 15
DRAWS = 999


def ours(name: str, covariates: tuple[str, ...] = (), **options: object) -> Callable[[pd.DataFrame], float]:
    from wwc_research.design.sample import Sample
    from wwc_research.estimators import estimate

    return lambda frame: (
        estimate(Sample(frame=frame, covariates=covariates, comparison="never"), name, **options).estimate
    )


def pyfixest_twfe(frame: pd.DataFrame) -> float:
    import pyfixest

    fit = pyfixest.feols("outcome ~ exposed | number + time", data=frame, vcov={"CRV1": "number"})
    return float(fit.coef()["exposed"])


def linearmodels_twfe(frame: pd.DataFrame) -> float:
    from linearmodels.panel import PanelOLS

    indexed = frame.set_index(["number", "time"])
    model = PanelOLS(indexed["outcome"], indexed[["exposed"]], entity_effects=True, time_effects=True)
    return float(model.fit(cov_type="clustered", cluster_entity=True).params["exposed"])


def diff_diff(kind: str, covariates: tuple[str, ...] = (), **options: object) -> Callable[[pd.DataFrame], float]:
    import diff_diff as peer

    def run(frame: pd.DataFrame) -> float:
        model = getattr(peer, kind)(**options)
        more = {"covariates": list(covariates)} if covariates else {}
        found = model.fit(frame, outcome="outcome", unit="number", time="time", first_treat="first", **more)
        return float(found.overall_att)

    return run


def csdid(covariates: str = "~1") -> Callable[[pd.DataFrame], float]:
    from csdid.att_gt import ATTgt

    def run(frame: pd.DataFrame) -> float:
        found = ATTgt(yname="outcome", gname="first", idname="number", tname="time", xformla=covariates, data=frame)
        with contextlib.redirect_stdout(io.StringIO()):
            overall = found.fit(est_method="dr").aggte(typec="simple")
        return float(overall.atte["overall_att"])

    return run


# label: how the estimate is had; what needs a peer is built only in its own process
CASES: dict[str, dict[str, Callable[[], Callable[[pd.DataFrame], float]]]] = {
    "two-way fixed effects, clustered": {
        "wwc_research": lambda: ours("two_way_fe"),
        "pyfixest": lambda: pyfixest_twfe,
        "linearmodels": lambda: linearmodels_twfe,
    },
    "Callaway-Sant'Anna": {
        "wwc_research": lambda: ours("callaway_santanna"),
        "diff_diff": lambda: diff_diff("CallawaySantAnna"),
        "csdid": lambda: csdid(),
    },
    "Callaway-Sant'Anna, doubly robust, one covariate": {
        "wwc_research": lambda: ours("callaway_santanna", ("x1",)),
        "diff_diff": lambda: diff_diff("CallawaySantAnna", ("x1",), pscore_trim=1e-4),
        "csdid": lambda: csdid("~ x1"),
    },
    f"Callaway-Sant'Anna, {DRAWS} bootstrap draws": {
        "wwc_research": lambda: ours("callaway_santanna", std_errors="bootstrap", draws=DRAWS),
        "diff_diff": lambda: diff_diff("CallawaySantAnna", n_bootstrap=DRAWS),
    },
    "imputation": {
        "wwc_research": lambda: ours("imputation"),
        "diff_diff": lambda: diff_diff("ImputationDiD"),
    },
    "Sun-Abraham": {
        "wwc_research": lambda: ours("sun_abraham"),
        "diff_diff": lambda: diff_diff("SunAbraham"),
    },
    "two-stage": {
        "wwc_research": lambda: ours("two_stage"),
        "diff_diff": lambda: diff_diff("TwoStageDiD"),
    },
}
# These need more memory than the machine has at the large size, or many minutes.
TOO_LARGE = {("Sun-Abraham", "diff_diff"), ("two-stage", "diff_diff"), ("Callaway-Sant'Anna", "csdid")}


def prepared(n_units: int) -> pd.DataFrame:
    """The panel of benchmarks/estimators.py with what the peers want to see."""
    frame = panel(n_units, N_TIMES)
    return frame.assign(
        number=np.repeat(np.arange(n_units), N_TIMES),
        first=frame["cohort"].fillna(0).astype(int),
        exposed=(frame["time"] >= frame["cohort"]).astype(float),
    )


def one_case(label: str, package: str, n_units: int) -> None:
    """Print estimate, seconds and peak megabytes of this very process."""
    warnings.simplefilter("ignore")
    # numba asks for a package called coverage, and must not find the script beside this one
    sys.path[:] = [path for path in sys.path if Path(path).resolve() != Path(__file__).resolve().parent]
    run = CASES[label][package]()
    run(prepared(300))  # imports and anything compiled at call time are not what is measured
    frame = prepared(n_units)
    base = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    value: list[float] = []
    seconds = best(lambda: value.append(run(frame)), repeats=SIZES[n_units])
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(value[0], seconds, peak, base)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--case", nargs=3, metavar=("LABEL", "PACKAGE", "UNITS"))
    parser.add_argument("--seconds", type=int, default=300, help="give a case up after this long")
    given = parser.parse_args()
    if given.case:
        one_case(given.case[0], given.case[1], int(given.case[2]))
        return
    versions = {name: metadata.version(name) for name in ("pyfixest", "linearmodels", "diff-diff", "csdid")}
    print("# Our estimators beside their peers\n")
    print("`python benchmarks/peers.py`, simulated panels, all in one run on one machine, best of 7 (900 units) or 3")
    print(f"(100,000 units), {N_TIMES} times; peers: " + ", ".join(f"{k} {v}" for k, v in versions.items()) + ".")
    print("Memory is the peak of the whole process, the panel and the imports in it.\n")
    for n_units in SIZES:
        print(f"## {n_units:,} units\n")
        print("| estimator | package | estimate | seconds | times ours | peak MB |\n|---|---|---|---|---|---|")
        for label, packages in CASES.items():
            first: float | None = None
            for package in packages:
                if n_units > 50_000 and (label, package) in TOO_LARGE:
                    print(f"| {label} | {package} | not run at this size | | | |", flush=True)
                    continue
                command = [sys.executable, __file__, "--case", label, package, str(n_units)]
                start = time.perf_counter()
                try:
                    done = subprocess.run(command, capture_output=True, text=True, timeout=given.seconds, check=False)
                except subprocess.TimeoutExpired:
                    spent = time.perf_counter() - start
                    print(f"| {label} | {package} | given up after {spent:.0f} s | | | |", flush=True)
                    continue
                if done.returncode:
                    why = (done.stderr.strip().splitlines() or ["no message"])[-1][:80]
                    print(f"| {label} | {package} | failed: {why} | | | |", flush=True)
                    continue
                value, seconds, peak, _ = (float(text) for text in done.stdout.split()[-4:])
                first = seconds if first is None else first
                print(
                    f"| {label} | {package} | {value:.6f} | {seconds:.3f} | {seconds / first:.1f} | {peak:,.0f} |",
                    flush=True,
                )
        print()


if __name__ == "__main__":
    main()
