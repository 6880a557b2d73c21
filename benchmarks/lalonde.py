"""How near does each method come to the experiment? python benchmarks/lalonde.py > benchmarks/lalonde.md

The treated of the National Supported Work experiment against men who were never in it; the experiment's own
difference of means is the truth to be found again.
"""

import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd

from wwc_research.design.balance import balance, effective_sample_size
from wwc_research.design.cardinality import cardinality
from wwc_research.design.coarsened_exact import coarsened_exact
from wwc_research.design.entropy_balancing import entropy_balancing
from wwc_research.design.full_matching import full_matching
from wwc_research.design.inverse_probability import inverse_probability
from wwc_research.design.matching import Matches, nearest
from wwc_research.design.optimal import optimal
from wwc_research.design.subclassification import subclassification
from wwc_research.design.weighting import Weighting
from wwc_research.errors import EstimationError
from wwc_research.estimators import matched_difference, weighted_difference
from wwc_research.estimators.estimate import Estimate

FIGURES = Path(__file__).parents[1] / "tests" / "figures"
OUTCOME = "earnings_1978_usd"
COVARIATES = [
    "age",
    "schooling_years",
    "race",
    "is_married",
    "has_no_degree",
    "earnings_1974_usd",
    "earnings_1975_usd",
    "is_without_earnings_1974",
    "is_without_earnings_1975",
]
COLUMNS = (
    "method",
    "estimand",
    "estimate",
    "std error",
    "off by",
    "treated",
    "controls",
    "effective controls",
    "largest \\|SMD\\|",
    "seconds",
)
Method = Callable[..., Weighting | Matches]
NEAREST_ALL_TIES = partial(
    nearest, distance="mahalanobis", covariance="overall", replace=True, ties="all", ratio=3, tie_tolerance=1e-5
)
METHODS: dict[str, Method] = {
    "nearest, propensity": nearest,
    "nearest, propensity, caliper 0.1": partial(nearest, caliper=0.1),
    "nearest, Mahalanobis, 3 with replacement": NEAREST_ALL_TIES,
    "the same, bias-adjusted": NEAREST_ALL_TIES,
    "optimal": optimal,
    "full": full_matching,
    "coarsened exact": coarsened_exact,
    "subclassification, 6": subclassification,
    "cardinality, SMD 0.1": cardinality,
    "entropy balancing": entropy_balancing,
    "entropy balancing, squares too": partial(entropy_balancing, moments=2),
    "inverse probability": inverse_probability,
    "inverse probability, 0.1 to 0.9": partial(inverse_probability, trim=(0.1, 0.9)),
    "inverse probability, overlap": partial(inverse_probability, estimand="ATO"),
}


def men(comparison: str) -> tuple[pd.DataFrame, pd.DataFrame]:
    """The experiment, and its treated beside the comparison men."""
    experiment = pd.read_csv(FIGURES / "nsw.csv", index_col="person")
    others = pd.read_csv(FIGURES / comparison, index_col="person")
    both = pd.concat([experiment[experiment["treated"] == 1], others[others["treated"] == 0]])
    for year in (1974, 1975):
        both[f"is_without_earnings_{year}"] = (both[f"earnings_{year}_usd"] == 0).astype(int)
    return experiment, both


def estimated(name: str, frame: pd.DataFrame, found: Weighting | Matches) -> Estimate:
    if isinstance(found, Matches) and found.with_replacement:
        adjusted = COVARIATES if "adjusted" in name else ()
        return matched_difference.estimate(
            frame, found, outcome=OUTCOME, std_errors="abadie_imbens", bias_covariates=adjusted
        )
    weighting = Weighting.of(found) if isinstance(found, Matches) else found
    return weighted_difference.estimate(frame, weighting, treatment="treated", outcome=OUTCOME)


def line(name: str, frame: pd.DataFrame, method: Method, *, truth: float) -> str:
    started = time.perf_counter()
    try:
        found = method(frame, treatment="treated", covariates=COVARIATES)
    except EstimationError as error:
        return f"| {name} | could not be done: {error} |" + " |" * (len(COLUMNS) - 2)
    seconds = time.perf_counter() - started
    result = estimated(name, frame, found)
    controls = found.weights[frame["treated"] == 0]
    table = balance(frame, treatment="treated", covariates=COVARIATES, weights=found.weights)
    cells = (
        name,
        result.estimand,
        f"{result.estimate:,.0f}",
        f"{result.std_error:,.0f}",
        f"{result.estimate - truth:+,.0f}",
        f"{result.n_treated:,}",
        f"{int((controls > 0).sum()):,}",
        f"{effective_sample_size(controls.to_numpy()):,.0f}",
        f"{table['smd_after'].abs().max():.2f}",
        f"{seconds:.1f}",
    )
    return "| " + " | ".join(cells) + " |"


def raw(frame: pd.DataFrame) -> Weighting:
    return Weighting(weights=pd.Series(1.0, index=frame.index), estimand="ATT", method="none")


def main() -> None:
    experiment, _ = men("lalonde.csv")
    benchmark = weighted_difference.estimate(experiment, raw(experiment), treatment="treated", outcome=OUTCOME)
    low, high = benchmark.ci
    print("# How near each method comes to an experiment\n")
    print(
        "`python benchmarks/lalonde.py`: earnings in 1978, US dollars. The National Supported Work experiment says "
        f"{benchmark.estimate:,.0f} (95 % interval {low:,.0f} to {high:,.0f}; Dehejia and Wahba 1999). Each method "
        "gets the 185 men treated there and comparison men from a survey instead of the experiment's controls: "
        f"{', '.join(COVARIATES)}. A gap of a few hundred dollars is within the noise of the experiment itself: no "
        "order of merit should be read from it. Read `largest |SMD|` and `effective controls` first.\n"
    )
    for title, file in (
        ("Current Population Survey", "cps_comparison.csv.gz"),
        ("Panel Study of Income Dynamics", "lalonde.csv"),
    ):
        _, frame = men(file)
        print(f"## {title}: {int((frame['treated'] == 0).sum()):,} men\n")
        print("| " + " | ".join(COLUMNS) + " |")
        print("|---" * len(COLUMNS) + "|")
        print(line("no adjustment", frame, lambda table, **_: raw(table), truth=benchmark.estimate), flush=True)
        for name, method in METHODS.items():
            print(line(name, frame, method, truth=benchmark.estimate), flush=True)
        print()


if __name__ == "__main__":
    np.seterr(all="raise", under="ignore")
    main()
