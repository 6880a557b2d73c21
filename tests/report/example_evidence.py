"""Evidence put together by hand, without any estimation: every field filled, for tests of pages.

In: a verdict and changes. Out: an `Evidence` whose texts are messages, as the real ones are.
"""

from __future__ import annotations

import dataclasses
from functools import cache
from typing import Any

from wwc_research.evidence import omitted_variables
from wwc_research.evidence.evidence import Cause, Check, CheckResult, Evidence, Grade, Named, Verdict, VerdictCode
from wwc_research.messages import counted, message

GATES = ("pre_trends", "treated_clusters", "direction", "balance", "one_unit", "calibration")
SIZES = {"improvement": (0.031, 0.012), "harm": (-0.031, 0.012), "no_effect_larger": (0.002, 0.009)}
UNSURE = (0.006, 0.0145)
SETTINGS: dict[str, Any] = {
    "outcome": "broadband",
    "treatment": "certification",
    "unit": "place",
    "window": [2016, 2022],
    "editions": ["v1", "v2"],
    "comparison": "not_yet",
    "anticipation": 0,
    "cluster": "county",
    "aggregation": "simple",
    "std_errors": "bjs_leave_out",
    "leads": [-3, -2, -1],
    "dropped_covariates": [],
}
EXCLUSIONS = (
    {"reason": message("no figure in any year"), "rows": 5684, "units": 812},
    {
        "reason": message("{year}: {reason}", year=2020, reason=message("no standard release")),
        "rows": 486,
        "units": 486,
    },
)
CITIES = ("Boston, MA", "Kansas City, MO", "Memphis, TN", "Arlington, TX", "Mesa, AZ", "Gilbert, AZ")


def example_evidence(verdict: VerdictCode = "cannot_tell", *, cause: Cause = "imprecise", **changes: Any) -> Evidence:
    """Evidence on broadband and certification that says `verdict`; `changes` replace whole fields.

    `cause` matters for `cannot_tell` alone: `imprecise`, or `unreliable` with a failed check of the trends before.
    """
    estimate, half = SIZES.get(verdict, UNSURE)
    unreliable = verdict == "cannot_tell" and cause == "unreliable"
    judged = {
        **_numbers(estimate, half),
        "lot_p_value": 0.2845,
        "lot_std_error": half / 2.5,
        "df": 25.6,
        "years_after": 1.24,
        "draws": 9999,
        "basis": "cluster",
    }
    made = Evidence(
        outcome="broadband",
        treatment="certification",
        family="residents",
        minimum_effect_of_interest=0.02,
        headline=Named(name="imputation", title=message("Imputation"), estimate=_estimate(estimate, half)),
        judged=judged,
        alternatives=_alternatives(estimate, half),
        checks=_checks(unreliable=unreliable),
        verdict=_verdict(verdict, cause=cause),
        cohorts=(
            {"cohort": 2018, "n_units": 4, "labels": list(CITIES[:4])},
            {"cohort": 2019, "n_units": 2, "labels": list(CITIES[4:])},
        ),
        trends=tuple(_trends()),
        balance=tuple(_balance()),
        overlap=tuple(_overlap()),
        matched=tuple({"treated": name, "controls": ["Mobile, AL", "Omaha, NE"]} for name in CITIES),
        places=tuple(_places()),
        adoptions=tuple(_adoptions()),
        **{**_doubts(estimate), **_extras(estimate)},
    )
    return dataclasses.replace(made, **changes)


def failed_evidence() -> Evidence:
    """Evidence in which no estimate could be made at all."""
    why = message("fewer than {needed} exposed units: {found}", needed=2, found=1)
    found = example_evidence()
    gone = [dataclasses.replace(item, estimate=None, failed=why) for item in (found.headline, *found.alternatives)]
    bare = empty_evidence(headline=gone[0], alternatives=tuple(gone[1:]), judged={})
    return dataclasses.replace(bare, verdict=None)


def empty_evidence(**changes: Any) -> Evidence:
    """Evidence with an estimate and next to nothing else: no figure, no table, no doubt was looked into."""
    rows = (
        "checks",
        "cohorts",
        "trends",
        "balance",
        "overlap",
        "matched",
        "places",
        "adoptions",
        "synthetic",
        "notes",
        "variations",
        "groups",
    )
    none = {
        **dict.fromkeys(rows, ()),
        **{key: {} for key in ("sensitivity", "adjusted", "plan_status", "not_applicable", "method_cards")},
        **dict.fromkeys(("cross_section", "specifications", "calibration")),
    }
    return example_evidence(**{**none, **changes})


def _numbers(estimate: float, half: float) -> dict[str, float]:
    return {
        "estimate": estimate,
        "std_error": half / 2,
        "ci_low": estimate - half,
        "ci_high": estimate + half,
        "p_value": 0.004 if abs(estimate) > half else 0.38,
        "minimum_detectable_effect": 1.4 * half,
    }


def _estimate(estimate: float, half: float, *, estimator: str = "imputation", **settings: Any) -> dict[str, Any]:
    terms = [
        {"event_time": time, **{key: (size + shift * half) for key, shift in zip(_ENDS, (0, -1, 1), strict=True)}}
        for time, size in (
            (-3, 0.004),
            (-2, -0.003),
            (-1, 0.001),
            (0, estimate / 2),
            (1, estimate),
            (2, 1.4 * estimate),
        )
    ]
    return {
        "estimator": estimator,
        "estimand": message("effect on the exposed, averaged over exposed units and times by weight"),
        **_numbers(estimate, half),
        "df": None,
        "pre_trend_p_value": 0.2159,
        "n_obs": 2856,
        "n_units": 481,
        "n_treated": 6,
        "n_clusters": 269,
        "event_study": [{**term, "std_error": half / 2, "band_low": None, "band_high": None} for term in terms],
        "group_time": [],
        "exclusions": list(EXCLUSIONS),
        "settings": {**SETTINGS, "warnings": [message("cohort {cohort} has few clusters.", cohort=2019)], **settings},
    }


_ENDS = ("estimate", "ci_low", "ci_high")


def _alternatives(estimate: float, half: float) -> tuple[Named, ...]:
    def named(name: str, title: str, share: float, **settings: Any) -> Named:
        return Named(name=name, title=title, estimate=_estimate(share * estimate, half, estimator=name, **settings))

    return (
        named("callaway_santanna", message("Callaway and Sant'Anna"), 0.8, adjustment="dr", std_errors="analytic"),
        named("two_way_fe", message("Two-way fixed effects"), 1.1, std_errors="cluster"),
        named(
            "matched_difference",
            message("Matched pairs, change since the baseline"),
            0.9,
            method="optimal",
            covariates=["outcome_level", "log_population"],
            std_errors="matched_set_and_cluster",
        ),
        Named(
            name="synthetic_did",
            title=message("Synthetic difference-in-differences"),
            estimate=None,
            failed=message("cohort {cohort} has no year before exposure", cohort=2018),
        ),
    )


def _check(name: str, asks: str, result: CheckResult, sentence: str, statistic: float | None = None) -> Check:
    return Check(name=name, asks=asks, result=result, statistic=statistic, sentence=sentence)


def _checks(*, unreliable: bool) -> tuple[Check, ...]:
    parallel = _check(
        "pre_trends",
        message("Did the groups move alike before exposure?"),
        "failed" if unreliable else "passed",
        message("Joint test of {n} leads, p = {p:.3f}.", n=3, p=0.012 if unreliable else 0.738),
        0.012 if unreliable else 0.738,
    )
    gates = (_check(name, message("Does it hold?"), "passed", message("It holds."), 0.1) for name in GATES[1:])
    others = (
        _check("overlap", message("Are there alike units?"), "passed", message("The scores of both overlap."), 0.4),
        _check("spillover", message("Did neighbours move?"), "cannot_tell", message("Too few neighbours: {n}.", n=1)),
    )
    return (parallel, *gates, *others)


def _verdict(code: VerdictCode, *, cause: Cause) -> Verdict:
    clear = code != "cannot_tell"
    grade = Grade(
        strength="moderate" if clear else "none",
        essa=message("tier 2 (moderate evidence)") if clear else message("no tier above 4 (a rationale)"),
        clearinghouse=message("meets standards with reservations") if clear else message("does not meet standards"),
        because=(message("Matched units are alike ({apart:.2f} standard deviations at most).", apart=0.14),),
    )
    because = (message("The interval includes no effect, and large ones."),)
    return Verdict(code=code, because=because, grade=grade, cause="" if clear else cause)


def _trends() -> list[dict[str, Any]]:
    groups = (message("Certified cities"), 0.80, 6), (message("Other cities"), 0.78, 410)
    return [
        {
            "group": group,
            "year": year,
            "mean": start + 0.015 * (year - 2016),
            "std_error": 0.011 / n_units**0.5,
            "n_units": n_units,
        }
        for group, start, n_units in groups
        for year in (2016, 2017, 2018, 2019, 2021, 2022)
    ]


def _places() -> list[dict[str, Any]]:
    spots = ((42.36, -71.06), (39.1, -94.58), (35.15, -90.05), (32.74, -97.11), (33.42, -111.83), (33.35, -111.79))
    exposed = [
        {
            "label": name,
            "state": name[-2:],
            "latitude": latitude,
            "longitude": longitude,
            "cohort": 2018 if number < 4 else 2019,
            "level": "silver",
        }
        for number, (name, (latitude, longitude)) in enumerate(zip(CITIES, spots, strict=True))
    ]
    dot = {
        "label": "",
        "state": "AL",
        "latitude": 30.69,
        "longitude": -88.04,
        "cohort": None,
        "level": "",
        "n_units": 3,
    }
    return [*exposed, dot]


def _adoptions() -> list[dict[str, Any]]:
    first = [
        {"label": name, "event": "first", "level": "silver", "announced_on": "2017-11-30", "year": 2017}
        for name in CITIES
    ]
    rose = {"label": CITIES[0], "event": "level-up", "level": "gold", "announced_on": "2019-04-24", "year": 2019}
    return [first[0], rose, *first[1:]]


def _balance() -> list[dict[str, Any]]:
    titles = {
        "outcome_level": message("The outcome itself, mean of the baseline years"),
        "log_population": "Population",
    }
    return [
        {
            "covariate": name,
            "title": title,
            "smd_before": -0.25,
            "smd_after": 0.035,
            "variance_ratio_before": 1.13,
            "variance_ratio_after": 0.99,
        }
        for name, title in titles.items()
    ]


def _overlap() -> list[dict[str, float]]:
    sides = ("treated_before", "control_before", "treated_after", "control_after")
    return [{"low": low / 4, "high": (low + 1) / 4, **dict.fromkeys(sides, 0.25)} for low in range(4)]


def _extras(estimate: float) -> dict[str, Any]:
    shown = {"title": message("Population (log)"), "covariate": "log_population", "smd_before": 1.46, "smd_after": 0.2}
    matched = _check("balance", message("Alike?"), "passed", message("All within {limit:.2f}.", limit=0.25))
    return {
        "cross_section": {
            "year": 2021,
            "failed": "",
            "estimate": _estimate(0.0068, 0.03, estimator="matched_difference"),
            "balance": [{**shown, "variance_ratio_before": 3.4, "variance_ratio_after": 1.6}],
            "balance_check": dataclasses.asdict(matched),
            "matched": [{"treated": "Mesa, AZ", "controls": ["St. Paul, MN"]}],
            "exclusions": [{"reason": message("not all figures"), "rows": 813, "units": 813}],
        },
        "synthetic": (_synthetic(estimate),),
        "notes": (
            message("Only first awards under V1 and V2 count as exposed."),
            counted(
                "{n} city is kept out: {names:list}.",
                "{n} cities are kept out: {names:list}.",
                n=1,
                names=["Tulsa, OK"],
            ),
        ),
        "method_cards": {"imputation": "Imputation: what exposed units would have had, and the difference."},
        "provenance": {
            "sources": [
                {
                    "series": "Broadband access, American Community Survey",
                    "publisher": "Urban Institute",
                    "vintage": "acs1",
                    "licence": "ODC-BY 1.0",
                    "is_fetched": False,
                    "columns": [
                        {
                            "name": "broadband_share",
                            "title": "Households with a computer and broadband of any kind, ACS 1-year",
                            "roles": (message("outcome"),),
                            "n_figures": 2886,
                        }
                    ],
                }
            ],
            "plan_title": "First honest analysis",
            "plan_written": "2026-11-22",
            "plan_sha256": "e7" * 32,
            "data_sha256": "90" * 32,
            "version": "0.1.0",
            "seed": 20261122,
        },
    }


def _synthetic(estimate: float) -> dict[str, Any]:
    times = range(2012, 2020)
    series = [
        {
            "time": time,
            "exposed": 0.14 - 0.002 * place,
            "synthetic": 0.13,
            "gap": 0.01 - 0.002 * place,
            "is_past": time < 2018,
        }
        for place, time in enumerate(times)
    ]
    gaps = [point["gap"] / 2 for point in series]
    return {
        "unit": "21111",
        "label": "Jefferson County, KY",
        "exposed_from": 2018,
        "effect": estimate,
        "std_error": 0.0168,
        "pre_rmspe": 0.0159,
        "ratio_p_value": 0.667,
        "n_placebos": 2,
        "donors": [
            {"unit": "18097", "label": "Marion County, IN", "weight": 0.6},
            {"unit": "12031", "label": "Duval County, FL", "weight": 0.4},
        ],
        "in_time": {"exposed_from": 2014, "effect": -0.0087, "ratio_p_value": 0.13},
        "series": series,
        "placebos": [{"unit": str(n), "label": f"County {n}", "gaps": gaps, "pre_rmspe": 0.01} for n in (1, 2)],
    }


def _doubts(estimate: float) -> dict[str, Any]:
    return {
        "variations": tuple(_variations(estimate)),
        "not_applicable": {"corrections": message("no declared correction touches {title}", title="Broadband access")},
        "sensitivity": _sensitivity(estimate),
        "specifications": _curve(estimate),
        "calibration": _card(),
        "groups": tuple(
            {"group": group, "n_treated": 3, "failed": "", "holm": 1.0, **_numbers(estimate, 0.02)}
            for group in ("smaller", "larger")
        ),
        "adjusted": {
            "holm": 1.0,
            "benjamini_hochberg": 0.775,
            "romano_wolf": 0.8125,
            "family": 0.8125,
            "n_hypotheses": 6,
        },
        "plan_status": {
            "state": "deviates",
            "date": "2026-11-22",
            "deviations": [message("window: {first} instead of {planned}", first=2015, planned=2016)],
            "notes": [
                message("Outcomes that this run does not show: {names:list}.", names=["youth_neet", "employment"])
            ],
            "sentence": message("This run deviates from the plan that was locked on {date}.", date="2026-11-22"),
        },
        "rules": {"balance_limit": 0.25, "size": 0.05, "gates": list(GATES), "expected": "better"},
    }


def _variations(estimate: float) -> list[dict[str, Any]]:
    own = {"scale": None, "unit": None, "judged": None, **_numbers(estimate, 0.02), "n_treated": 5}
    placebo = {
        **own,
        "scale": 100.0,
        "unit": "percentage points",
        "judged": {"std_error": 0.004},
        "estimate": -0.002,
        "n_treated": None,
    }
    rows = (
        ("without_2018", message("Without the units first exposed in {cohort}", cohort=2018), own, True, ""),
        ("placebo_hispanic_share", message("Hispanic residents, among places"), placebo, True, ""),
        ("v3_only", message("First awards under V3 alone"), None, None, message("no unit is seen before and after")),
    )
    return [
        {"name": name, "title": title, "question": "one_cohort", "estimate": values, "agrees": agrees, "failed": failed}
        for name, title, values, agrees, failed in rows
    ]


@cache
def _contour(estimate: float) -> dict[str, Any]:
    return omitted_variables.contour(
        estimate, 0.0038, df=457, largest_treatment=0.3, largest_outcome=0.3, steps=7
    ).as_dict()


def _sensitivity(estimate: float) -> dict[str, Any]:
    bounds = [
        {
            "kind": "relative_magnitudes",
            "method": "c_lf",
            "size": size,
            "ci_low": estimate - wide,
            "ci_high": estimate + wide,
        }
        for size, wide in ((0.0, 0.012), (0.5, 0.02), (1.0, 0.03))
    ]
    known = {"name": "log_population", "title": "Population (log)", "times": 1.0, "why": "", "estimate": estimate / 2}
    wrong = message(
        "With {n} dates wrong by a year it would lie between {low:+.2f} and {high:+.2f}.", n=2, low=0.5, high=0.7
    )
    return {
        "parallel_trends": {
            "estimate": estimate,
            "ci_low": estimate - 0.012,
            "ci_high": estimate + 0.012,
            "rows": bounds,
            "m_bar_breakdown": 0.4,
            "sentence": message("The interval includes zero even if trends were parallel."),
            "breakdown_relative_magnitude": 0.4,
        },
        "pretrend_power": {"sentence": message("A drift of {slope:.2f} points a year would be missed.", slope=0.49)},
        "omitted_variables": {
            "estimate": estimate,
            "std_error": 0.0038,
            "robustness_value": 0.0205,
            "bounds": [{**known, "partial_r2_treatment": 0.02, "partial_r2_outcome": 0.1}],
            "contour": _contour(estimate),
            "sentence": message(
                "A hidden difference that explains {share:.1%} of both could account for it.", share=0.02
            ),
        },
        "hidden_bias": {
            "sentence": message("The {n} matched sets show no significant difference.", n=6),
            "assumed": [message("Sets are taken as independent.")],
        },
        "e_value": {"sentence": message("A hidden trait would have to multiply both by {value:.2f}.", value=1.09)},
        "roster_errors": {
            "rows": [{"kind": "dates", "n_wrong": 2, "low": 0.005, "high": 0.0073, "sentence": wrong}],
            "sentence": message("The estimate is {estimate:+.2f} percentage points.", estimate=100 * estimate),
        },
    }


def _curve(estimate: float) -> dict[str, Any]:
    levels = {
        "estimator": ["imputation", "callaway_santanna"],
        "comparison": ["not_yet", "never"],
        "window": ["plan", "without_2020_2021"],
        "covariates": ["none", "plan"],
        "cohorts": ["plan", "source_only"],
        "weighting": ["equal", "population"],
    }
    columns = [*levels, "estimate", "std_error", "ci_low", "ci_high", "p_value", "lot_p_value"]
    rows = [
        [n % 2, n // 2 % 2, 0, n % 2, 0, n // 3, size, 0.005, size - 0.01, size + 0.01, 0.3, 0.4]
        for n, size in enumerate(estimate + shift for shift in (-0.006, -0.002, 0.0, 0.001, 0.004, 0.007))
    ]
    return {
        "n_specifications": len(rows),
        "median": estimate + 0.0005,
        "lowest": estimate - 0.006,
        "highest": estimate + 0.007,
        "share_same_sign": 1.0,
        "headline_row": 2,
        "sentence": message("Of {n} defensible specifications {same} have the sign of the headline.", n=6, same=6),
        "joint": {
            "band": [[0.0, -0.012, -0.006, -0.001], [0.5, -0.004, 0.0, 0.004], [1.0, 0.001, 0.006, 0.012]],
            "sentence": message("Had chance alone chosen the exposed, {share:.1%} of draws would.", share=0.362),
        },
        "levels": levels,
        "columns": columns,
        "rows": rows,
        "failed": [["two_way_fe", "not_yet", "plan", "none", "plan", "equal", message("nothing varies")]],
        "skipped": [{"reason": message("two-way fixed effects compares all rows with all"), "combinations": 12}],
    }


def _card() -> dict[str, Any]:
    def row(estimator: str, basis: str) -> dict[str, Any]:
        return {
            "estimator": estimator,
            "basis": basis,
            "draws": 1000,
            "bias": 0.0014,
            "false_positive_share": 0.026,
            "coverage": 0.974,
            "minimum_detectable_effect": 0.0146,
            "power": [[0.0, 0.026], [0.01, 0.5], [0.02, 0.95]],
            "failures": {},
            "result": "fit" if basis == "as_judged" else "in_doubt",
            "sentence": message("Of {draws:,} true nulls it calls {share:.1%} significant.", draws=1000, share=0.026),
        }

    names = [(name, basis) for basis in ("own_error", "as_judged") for name in ("imputation", "callaway_santanna")]
    return {
        "effect": 0.02,
        "headline": "imputation",
        "fallback": "callaway_santanna",
        "rows": [row(*name) for name in names],
        "sentence": message("{draws:,} times, {n} of {pool} units were drawn by lot.", draws=1000, n=6, pool=433),
        "carrier": "imputation",
    }


__all__ = ["empty_evidence", "example_evidence", "failed_evidence"]
