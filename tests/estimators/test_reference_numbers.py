"""Every number that R's fixest, did and plm give on mpdta and Grunfeld, to one part in a million."""

from __future__ import annotations

import functools
import math
import re
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from wwc_research.design.sample import Sample
from wwc_research.estimators import callaway_santanna, estimate, linear
from wwc_research.estimators.linear import ErrorModel
from wwc_research.estimators.rows import read_rows

ALL_NUMBERS = pd.read_csv(Path(__file__).parents[1] / "figures" / "reference_numbers.csv")
# Numbers of the other estimators are held in the tests of those.
ELSEWHERE = {
    ("mpdta", "BJS imputation"): "test_imputation.py",
    ("mpdta", "Gardner did2s"): "test_two_stage.py",
    ("mpdta", "Goodman-Bacon"): "test_goodman_bacon.py",
    ("mpdta", "Sun-Abraham"): "test_cohort_regressions.py",
    ("quakes", "OLS"): "test_spatial.py",
    ("p25(BH1995 style)", "p.adjust"): "../evidence/test_multiplicity.py",
}
REFERENCE = ALL_NUMBERS.loc[
    [key not in ELSEWHERE for key in zip(ALL_NUMBERS.dataset, ALL_NUMBERS.estimator, strict=True)]
]
RELATIVE = 1e-6
COMPARISON = {"nevertreated": "never", "notyettreated": "not_yet", "never": "never"}
TWFE_KINDS = {
    "iid": "iid",
    "hetero(HC1)": "hetero",
    "cluster id": "cluster",
    "twoway id+year": "two_way_cluster",
    "Driscoll-Kraay lag default": "driscoll_kraay",
    "CRV3 jackknife centred at full estimate": "jackknife",
}
UNADJUSTED = {"adjust_parameters": False, "adjust_clusters": False}


def two_way(frame: pd.DataFrame, spec: str) -> tuple[float, float]:
    sample = Sample(frame=frame, comparison="never")
    kind = spec.removeprefix("y~d|id+year ")
    if kind in TWFE_KINDS:
        result = estimate(sample, "two_way_fe", std_errors=TWFE_KINDS[kind])
        return result.estimate, result.std_error
    rows = read_rows(sample)
    errors = {
        "Newey-West panel lag=1": ErrorModel(kind="newey_west", unit=rows.unit, time=rows.period, lag=1),
        "cluster id ssc(K.adj=FALSE,G.adj=FALSE)": ErrorModel(clusters=(rows.cluster,), **UNADJUSTED),
    }[kind]
    fit = linear.fit(
        rows.outcome, rows.is_exposed[:, None].astype(float), effects=(rows.unit, rows.period), errors=errors
    )
    return fit.coefficients[0], fit.std_errors[0]


def callaway(frame: pd.DataFrame, spec: str) -> tuple[float, float]:
    """Overall effects and event times by `estimate`, cells by its group_time, other terms by `aggregate`."""
    cell = re.fullmatch(r"ATT\(g,t\) ~1 dr never varying g=(\d+) t=(\d+)", spec)
    if cell:
        result = estimate(Sample(frame=frame, comparison="never"), "callaway_santanna")
        (term,) = [t for t in result.group_time if (t.cohort, t.time) == (int(cell[1]), int(cell[2]))]
        return term.estimate, term.std_error
    parts = re.fullmatch(
        r"~(?P<x>[1x]) (?P<adjustment>\w+) (?P<comparison>\w+) "
        r"(?:(?P<universal>universal) |anticipation=(?P<early>\d) )?"
        r"(?:agg )?(?P<by>\w+)(?: overall analytic SE| at (?P<at>-?\d+))?",
        spec,
    )
    assert parts, f"the specification {spec!r} is not understood"
    sample = Sample(
        frame=frame,
        comparison=COMPARISON[parts["comparison"]],
        covariates=("log_population",) if parts["x"] == "x" else (),
        anticipation=int(parts["early"] or 0),
    )
    options = {"adjustment": parts["adjustment"], "base_period": parts["universal"] or "varying"}
    if parts["at"] is None:
        result = estimate(sample, "callaway_santanna", aggregation=parts["by"], **options)
        return result.estimate, result.std_error
    if parts["by"] == "dynamic":
        result = estimate(sample, "callaway_santanna", **options)
        (term,) = [t for t in result.event_study if t.event_time == int(parts["at"])]
        return term.estimate, term.std_error
    effects = callaway_santanna.group_time_effects(read_rows(sample), **options)
    average = callaway_santanna.aggregate(effects, by=parts["by"])
    position = average.at.index(int(parts["at"]))
    return average.term_estimates[position], average.term_std_errors[position]


def firms(frame: pd.DataFrame, estimator: str, spec: str) -> tuple[float, float]:
    column, _, wanted = spec.partition(" ")
    firm, year = (frame[name].rank(method="dense").to_numpy(int) - 1 for name in ("firm", "year"))
    outcome, regressors = frame["investment"].to_numpy(), frame[["value", "capital"]].to_numpy(float)
    errors = {
        "": ErrorModel(kind="iid"),
        "vcovHC arellano HC0": ErrorModel(clusters=(firm,), **UNADJUSTED),
        "SCC Driscoll-Kraay maxlag=2": ErrorModel(kind="driscoll_kraay", time=year, lag=2, **UNADJUSTED),
        "cluster firm": ErrorModel(clusters=(firm,)),
    }[wanted]
    position = ["value", "capital"].index(column)
    if estimator.endswith("within"):
        fit = linear.fit(outcome, regressors, effects=(firm,), errors=errors)
    elif estimator == "plm random":
        fit, position = linear.random_effects(outcome, regressors, unit=firm, errors=errors), position + 1
    else:
        with_constant = np.column_stack([np.ones(len(outcome)), regressors])
        fit, position = linear.fit(outcome, with_constant, errors=errors), position + 1
    return fit.coefficients[position], fit.std_errors[position]


@pytest.mark.parametrize(
    "row",
    [pytest.param(row, id=f"{row.dataset}: {row.estimator} {row.spec}") for row in REFERENCE.itertuples()],
)
def test_r_and_we_give_the_same_number(row, mpdta, grunfeld):
    ours = {
        "TWFE": functools.partial(two_way, mpdta),
        "CS": functools.partial(callaway, mpdta),
    }.get(row.estimator, functools.partial(firms, grunfeld, row.estimator))
    value, std_error = ours(row.spec)
    assert value == pytest.approx(row.estimate, rel=RELATIVE)
    if math.isnan(row.std_error):
        assert math.isnan(std_error)
    else:
        assert std_error == pytest.approx(row.std_error, rel=RELATIVE)


def test_the_table_of_reference_numbers_is_whole():
    counts = ALL_NUMBERS.groupby(["dataset", "estimator"]).size().to_dict()
    assert counts == {
        ("Grunfeld", "fixest within"): 2,
        ("Grunfeld", "plm pooling"): 4,
        ("Grunfeld", "plm random"): 4,
        ("Grunfeld", "plm within"): 6,
        ("mpdta", "BJS imputation"): 12,
        ("mpdta", "CS"): 125,
        ("mpdta", "Gardner did2s"): 9,
        ("mpdta", "Goodman-Bacon"): 7,
        ("mpdta", "Sun-Abraham"): 8,
        ("mpdta", "TWFE"): 8,
        ("quakes", "OLS"): 3,
        ("p25(BH1995 style)", "p.adjust"): 18,
    }
    for file in ELSEWHERE.values():
        assert "reference_numbers.csv" in (Path(__file__).parent / file).read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("covariates", "adjustment", "p_value"),
    [((), "dr", 0.16812), (("log_population",), "dr", 0.23267), ((), "reg", 0.16812)],
)
def test_the_pre_trend_test_is_that_of_the_did_documentation(mpdta, covariates, adjustment, p_value):
    sample = Sample(frame=mpdta, comparison="never", covariates=covariates)
    result = estimate(sample, "callaway_santanna", adjustment=adjustment)
    assert result.pre_trend_restrictions == 5
    assert result.pre_trend_p_value == pytest.approx(p_value, abs=5e-6)
