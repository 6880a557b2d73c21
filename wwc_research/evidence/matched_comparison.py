"""Compared units: any matching or weighting method on one table, its balance, and the effect it gives.

In: one row a unit with treatment, covariates and maybe an outcome. Out: frozen `MatchedComparison`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, fields, replace
from typing import Any, Final, Literal, get_args

import numpy as np
import pandas as pd

from wwc_research.design.balance import (
    BalanceVerdict,
    balance,
    balance_verdict,
    distance_balance,
    effective_sample_size,
)
from wwc_research.design.cardinality import cardinality
from wwc_research.design.coarsened_exact import coarsened_exact, exact_matching
from wwc_research.design.entropy_balancing import entropy_balancing
from wwc_research.design.full_matching import full_matching
from wwc_research.design.inverse_probability import inverse_probability
from wwc_research.design.matching import Matches, covariate_matrix, nearest
from wwc_research.design.missing_covariates import CompleteCovariates, complete_covariates
from wwc_research.design.optimal import optimal
from wwc_research.design.propensity import LOGISTIC, propensity
from wwc_research.design.sample import Exclusion
from wwc_research.design.subclassification import subclassification
from wwc_research.design.weighting import Weighting
from wwc_research.errors import EstimationError, Faults, InputError, listed
from wwc_research.estimators import matched_difference, weighted_difference
from wwc_research.estimators.estimate import Estimate
from wwc_research.messages import Message, message

Method = Literal[
    "nearest",
    "optimal",
    "full",
    "coarsened_exact",
    "exact",
    "subclassification",
    "cardinality",
    "entropy_balancing",
    "inverse_probability",
]
Estimand = Literal["ATT", "ATE", "ATO"]
Missing = Literal["drop", "impute", "refuse"]
StdErrors = Literal[
    "matched_set",
    "set",
    "cluster",
    "matched_set_and_cluster",
    "set_and_cluster",
    "hc0",
    "hc1",
    "abadie_imbens",
    "bootstrap",
]

WIDEST_GAP: Final = 0.2  # a sample that may be a fifth short of the largest is not what cardinality matching promises
_USUAL_DRAWS: Final = 999
_MOST_PARTS: Final = 10_000  # of bins or classes; more would fill the memory and tell nobody apart from his like
_METHODS: Final[tuple[str, ...]] = get_args(Method)

# what each method takes beyond table, treatment and covariates, by the names of `Choices`
_TAKES: Mapping[str, frozenset[str]] = {
    "nearest": frozenset({"distance", "replace", "ratio", "caliper", "exact", "order", "ties", "covariance", "model"}),
    "optimal": frozenset({"distance", "ratio", "caliper", "exact", "covariance", "model"}),
    "full": frozenset({"distance", "caliper", "exact", "covariance", "model", "max_controls"}),
    "coarsened_exact": frozenset({"bins"}),
    "exact": frozenset(),
    "subclassification": frozenset({"subclasses", "exact", "model"}),
    "cardinality": frozenset({"tolerance", "ratio", "exact", "covariance", "time_limit"}),
    "entropy_balancing": frozenset({"moments", "tolerance"}),
    "inverse_probability": frozenset({"trim", "stabilised", "model"}),
}
_ESTIMANDS: Mapping[str, tuple[str, ...]] = {
    **dict.fromkeys(("nearest", "optimal", "cardinality"), ("ATT",)),
    **dict.fromkeys(("full", "coarsened_exact", "exact", "subclassification", "entropy_balancing"), ("ATT", "ATE")),
    "inverse_probability": ("ATT", "ATE", "ATO"),
}
_ROADS: Mapping[str, Callable[..., Weighting]] = {
    "optimal": optimal,
    "full": full_matching,
    "coarsened_exact": coarsened_exact,
    "exact": exact_matching,
    "subclassification": subclassification,
    "cardinality": cardinality,
    "entropy_balancing": entropy_balancing,
    "inverse_probability": inverse_probability,
}
_WITHOUT_SETS = ("entropy_balancing", "inverse_probability")
_OF_ALL = frozenset({"estimand", "std_errors", "adjust", "draws", "seed"})
# the two estimators name errors by set differently; users may use either name
_BY_SET = {"matched_set": "set", "matched_set_and_cluster": "set_and_cluster"}
_BY_MATCHED_SET = {short: long for long, short in _BY_SET.items()}
_OF_MATCHES = (None, "set", "cluster", "set_and_cluster", "hc1", "abadie_imbens")


@dataclass(frozen=True, slots=True, kw_only=True)
class Choices:
    """How to compare: only what was chosen is set, the rest is left to the method.

    Attributes
    ----------
    estimand
        `ATT`, `ATE` or `ATO`, where the method can give it; ATT by default.
    distance, replace, ratio, caliper, exact, order, ties, covariance
        As for `wwc_research.design.matching.nearest`; `exact` are columns of the table.
    model
        Propensity model, as for `wwc_research.design.propensity.propensity`.
    bins
        Of coarsened exact matching: `sturges` or a number.
    subclasses, tolerance, time_limit, moments, trim, stabilised, max_controls
        As for the functions of `wwc_research.design` that take them.
    std_errors
        One of `StdErrors`; by default as the estimator's method card says.
    adjust
        Columns for the outcome regression on top of the weights; with nearest neighbours with replacement, for
        their bias adjustment.
    draws, seed
        For what is drawn at random.
    """

    estimand: str | None = None
    distance: str | None = None
    replace: bool | None = None
    ratio: int | None = None
    caliper: float | None = None
    exact: Sequence[str] | None = None
    order: str | None = None
    ties: str | None = None
    covariance: str | None = None
    model: str | None = None
    bins: int | str | None = None
    subclasses: int | None = None
    tolerance: float | None = None
    time_limit: float | None = None
    moments: int | None = None
    trim: tuple[float, float] | None = None
    stabilised: bool | None = None
    max_controls: int | None = None
    std_errors: str | None = None
    adjust: Sequence[str] = ()
    draws: int | None = None
    seed: int | None = None

    def given(self) -> dict[str, Any]:
        """The choices that were made, by name."""
        found = {field.name: getattr(self, field.name) for field in fields(self)}
        return {
            name: value for name, value in found.items() if value is not None and value is not False and value != ()
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class MatchedComparison:
    """Who was compared with whom, how alike they are, and what came of it.

    Attributes
    ----------
    weighting
        How much each unit counts; `weighting.sets` and `weighting.pairs` where the method has them.
    treated
        Whether each unit is treated, by the weights' index.
    balance, verdict
        From `wwc_research.design.balance`, standardised as the estimand asks.
    distance_balance
        Of the propensity score; None where units were not compared by it.
    n_ties
        Choices between equally near controls; None but for nearest neighbours.
    effect
        None without an outcome.
    exclusions, settings
        What was left out, empty covariates first; options as used.
    warnings
        What a reader must know about the method's solution, in sentences; the verdict on balance is not among them.
    """

    weighting: Weighting
    treated: pd.Series
    balance: pd.DataFrame
    verdict: BalanceVerdict
    distance_balance: Mapping[str, float] | None
    n_ties: int | None
    effect: Estimate | None
    exclusions: tuple[Exclusion, ...]
    settings: Mapping[str, Any]
    warnings: tuple[str, ...] = ()

    @property
    def balance_warning(self) -> str:
        """A sentence where the balance forbids a finding, or cannot be judged; else empty."""
        if self.verdict.result == "failed":
            return message(
                "badly balanced: this comparison cannot carry a finding. {sentence}", sentence=self.verdict.sentence
            )
        if self.verdict.result == "cannot_tell":
            return message(
                "the balance cannot be judged, so this comparison cannot carry a finding. {sentence}",
                sentence=self.verdict.sentence,
            )
        return ""

    def as_dict(self) -> dict[str, Any]:
        """Plain values under the names of the command line's JSON; None where the method has no such thing."""
        weights, treated = self.weighting.weights.to_numpy(), self.treated.to_numpy()
        effect = {} if self.effect is None else self.effect.as_dict()
        pairs = self.weighting.pairs
        return {
            "method": self.weighting.method,
            "estimand": self.weighting.estimand,
            **{name: effect.get(name) for name in ("estimate", "std_error", "ci_low", "ci_high", "p_value")},
            "n_treated": int(treated.sum()),
            "n_control": int((~treated).sum()),
            "n_matched_treated": int((weights[treated] > 0).sum()),
            "n_matched_control": int((weights[~treated] > 0).sum()),
            "effective_n_treated": effective_sample_size(weights[treated]),
            "effective_n_control": effective_sample_size(weights[~treated]),
            "n_ties": self.n_ties,
            "balance": self.balance.to_dict(orient="records"),
            "balance_verdict": asdict(self.verdict) | {"sentence": self.verdict.sentence},
            "distance_balance": None if self.distance_balance is None else dict(self.distance_balance),
            "exclusions": [exclusion.as_dict() for exclusion in self.exclusions],
            "settings": dict(self.settings),
            "pairs": None if pairs is None else pairs.to_dict(orient="records"),
            "sets": self._sets(),
            "weights": self._weights(),
        }

    def _sets(self) -> dict[str, Any] | None:
        """How many sets there are, and how many of each size, `treated:controls`."""
        sets = self.weighting.sets
        if sets is None:
            return None
        inside = sets.notna()
        shapes = pd.crosstab(sets[inside].to_numpy(dtype=np.int64), self.treated[inside].to_numpy())
        sizes = shapes.reindex(columns=[True, False], fill_value=0).value_counts().sort_index().items()
        return {
            "count": self.weighting.n_sets,
            "sizes": {f"{shape[0]}:{shape[1]}": int(count) for shape, count in sizes},
        }

    def _weights(self) -> list[dict[str, Any]]:
        """One row a unit that counts: its weight and its set."""
        weights, sets = self.weighting.weights, self.weighting.sets
        codes = [None] * len(weights) if sets is None else [None if pd.isna(code) else int(code) for code in sets]
        return [
            {"unit": label, "weight": float(weight), "set": code}
            for label, weight, code in zip(weights.index, weights, codes, strict=True)
            if weight > 0
        ]


def compare_units(
    frame: pd.DataFrame,
    *,
    covariates: Sequence[str],
    method: str,
    treatment: str = "treated",
    outcome: str | None = None,
    cluster: str | None = None,
    missing: Missing = "drop",
    choices: Choices | None = None,
) -> MatchedComparison:
    """Treated and untreated units made alike by a method, with balance and, given an outcome, the effect.

    Parameters
    ----------
    frame
        One row a unit with a unique index.
    covariates
        Columns of numbers or text, known before exposure.
    method
        One of `Method`.
    treatment
        Column of 0 and 1.
    outcome
        Column of finite numbers, a level or a change; None for balance alone.
    cluster
        Column of groups that share shocks.
    missing
        What becomes of units with an empty covariate: left out, filled and marked, or an error.
    choices
        Options of the method and of the errors.

    Raises
    ------
    InputError
        For choices that the method does not take, and unusable columns.
    EstimationError
        If the method has no answer for these units, or one too far from what it promises.
    """
    chosen = choices or Choices()
    faults = Faults(where=f"comparison by {method}")
    note_unfit_choices(faults, chosen, method=method, has_outcome=outcome is not None, has_cluster=cluster is not None)
    faults.raise_if_any()
    whole, matched_on, adjusted_for = _completed(frame, covariates, chosen.adjust, missing=missing)
    generator = None if chosen.seed is None else np.random.default_rng(chosen.seed)

    def weigh(table: pd.DataFrame) -> tuple[Weighting, Matches | None]:
        return _weighed(
            table, treatment=treatment, covariates=matched_on, method=method, choices=chosen, generator=generator
        )

    weighting, matches = weigh(whole.frame)
    effect = None
    if outcome is not None:
        effect = _effect(
            whole.frame,
            (weighting, matches),
            columns=(treatment, outcome, cluster),
            choices=replace(chosen, adjust=adjusted_for),
            reweight=lambda drawn: weigh(drawn)[0],
            generator=generator,
        )
    told = {"frame": whole.frame, "treatment": treatment, "weights": weighting.weights, "estimand": weighting.estimand}
    table = balance(**told, covariates=matched_on)
    by_score = len(weighting.propensity) and weighting.settings.get("distance") != "mahalanobis"
    return MatchedComparison(
        weighting=weighting,
        treated=whole.frame[treatment] == 1,
        balance=table,
        verdict=balance_verdict(table),
        distance_balance=distance_balance(**told, propensity=weighting.propensity) if by_score else None,
        n_ties=None if matches is None else matches.ties,
        effect=effect,
        exclusions=whole.exclusions + weighting.exclusions,
        settings={**(weighting.settings if effect is None else effect.settings), **whole.settings},
        warnings=_solution_warnings(weighting),
    )


def note_unfit_choices(
    faults: Faults, choices: Choices, *, method: str, has_outcome: bool, has_cluster: bool, prefix: str = ""
) -> None:
    """Every choice that the method does not take or that lacks another, noted in `faults`; raises nothing.

    Parameters
    ----------
    faults
        Gathers what is wrong; the caller raises.
    choices, method
        As for `compare_units`.
    has_outcome, has_cluster
        Whether an outcome and a cluster column are given.
    prefix
        `--` spells choices as on the command line.
    """
    if method not in _TAKES:
        faults.add(f"method {method!r} is unknown; use {listed(_METHODS, limit=len(_METHODS))}.")
        return

    def spelled(name: str) -> str:
        return f"{prefix}{name.replace('_', '-')}" if prefix else name

    given = choices.given()
    for name in given:
        if name not in _TAKES[method] | _OF_ALL:
            owners = [other for other in _METHODS if name in _TAKES[other]]
            verb = "takes" if len(owners) == 1 else "take"
            faults.add(f"{spelled(name)} has no meaning for {method}; {listed(owners)} {verb} it.")
    if choices.estimand is not None and choices.estimand not in _ESTIMANDS[method]:
        can = [other for other in _METHODS if choices.estimand in _ESTIMANDS[other]]
        where = f"{listed(can)} can" if can else f"choose among {listed(get_args(Estimand))}"
        faults.add(
            f"{spelled('estimand')}: {method} cannot give the {choices.estimand}, only {listed(_ESTIMANDS[method])}; "
            f"{where}."
        )
    for name in ("bins", "subclasses"):
        if isinstance(given.get(name), int) and given[name] > _MOST_PARTS:
            faults.add(f"{spelled(name)} is {given[name]:,}; {_MOST_PARTS:,} at most.")
    _note_model(faults, choices, method=method, spelled=spelled)
    _note_errors(faults, choices, method=method, has_cluster=has_cluster, spelled=spelled)
    if not has_outcome:
        unused: list[str] = [name for name in ("adjust", "draws") if name in given]
        unused += ["std_errors"] if choices.std_errors and method != "nearest" else []
        for name in unused:
            faults.add(f"{spelled(name)} needs an {spelled('outcome')}; give one, or leave it out.")


def _note_model(faults: Faults, choices: Choices, *, method: str, spelled: Callable[[str], str]) -> None:
    if choices.model is None or "model" not in _TAKES[method]:
        return
    if choices.model != LOGISTIC and choices.seed is None:
        faults.add(f"{spelled('model')} {choices.model!r} draws at random; give a {spelled('seed')}.")
    if choices.distance == "mahalanobis" and choices.caliper is None and choices.order != "largest":
        faults.add(
            f"{spelled('model')} has no meaning for Mahalanobis distances without a {spelled('caliper')}: no "
            "propensity score is used."
        )


def _note_errors(
    faults: Faults, choices: Choices, *, method: str, has_cluster: bool, spelled: Callable[[str], str]
) -> None:
    kind = _BY_SET.get(choices.std_errors or "", choices.std_errors)
    named = f"{spelled('std_errors')} {choices.std_errors!r}"
    again = method == "nearest" and bool(choices.replace)
    if choices.std_errors is not None and choices.std_errors not in get_args(StdErrors):
        faults.add(f"{named} are unknown; use {listed(get_args(StdErrors), limit=9)}.")
    if kind in ("set", "set_and_cluster") and (again or method in _WITHOUT_SETS):
        why = "nearest neighbours with replacement form none" if again else f"{method} forms none"
        faults.add(f"{named} need matched sets, and {why}; use hc1 or cluster.")
    if kind in ("cluster", "set_and_cluster") and not has_cluster:
        faults.add(f"{named} need a {spelled('cluster')} column; name one.")
    if kind == "abadie_imbens" and not again:
        faults.add(f"{named} are for nearest neighbours with replacement; use hc1, or sets or clusters.")
    if kind == "hc0" and again and choices.adjust:
        faults.add(f"{named} are not offered for the bias adjustment with replacement; use hc1 or abadie_imbens.")
    if kind == "bootstrap" and again:
        faults.add(
            f"{named} are not valid for nearest neighbours with replacement (Abadie and Imbens 2008, Econometrica "
            "76(6)); use abadie_imbens."
        )
    elif kind == "bootstrap" and choices.seed is None:
        faults.add(f"{named} draw at random; give a {spelled('seed')}.")
    if choices.draws is not None and kind != "bootstrap":
        faults.add(f"{spelled('draws')} has a meaning only for {spelled('std_errors')} bootstrap.")
    elif choices.draws is not None and choices.draws < 2:
        faults.add(f"{spelled('draws')} is {choices.draws}; give 2 or more, 999 for a page.")


def _completed(
    frame: pd.DataFrame, covariates: Sequence[str], adjust: Sequence[str], *, missing: Missing
) -> tuple[CompleteCovariates, list[str], list[str]]:
    """The table without empty covariates, those to match on and those to adjust for, each with its marks."""
    names = list(dict.fromkeys([*covariates, *adjust]))
    if missing not in get_args(Missing):
        raise InputError(f"missing {missing!r} is unknown; use {listed(get_args(Missing))}.")
    if missing == "refuse":
        faults = Faults(where="covariates")
        for name in names:
            units = frame.index[frame[name].isna()] if name in frame else frame.index[:0]
            if len(units):
                faults.add(
                    f"{name!r} is empty for {len(units):,} of {len(frame):,} units ({listed(units)}); fill it in, or "
                    "say drop or impute."
                )
        faults.raise_if_any()
    whole = complete_covariates(frame, covariates=names, rule="drop" if missing == "refuse" else missing)
    marks = dict(zip(whole.settings["missing_covariates"], whole.covariates[len(names) :], strict=False))

    def marked(wanted: Sequence[str]) -> list[str]:
        return [*wanted, *(marks[name] for name in dict.fromkeys(wanted) if name in marks)]

    settings = dict(whole.settings) | {"missing_rule": missing}
    return replace(whole, settings=settings), marked(covariates), marked(adjust)


def _weighed(
    frame: pd.DataFrame,
    *,
    treatment: str,
    covariates: Sequence[str],
    method: str,
    choices: Choices,
    generator: np.random.Generator | None,
) -> tuple[Weighting, Matches | None]:
    """The weighting, and for nearest neighbours the matches it comes from."""
    given = {name: value for name, value in choices.given().items() if name in _TAKES[method]}
    if choices.estimand is not None and len(_ESTIMANDS[method]) > 1:
        given["estimand"] = choices.estimand
    told: dict[str, Any] = {"treatment": treatment, "covariates": covariates}
    if method == "inverse_probability":
        return inverse_probability(frame, **told, **given, generator=generator), None
    model = given.pop("model", LOGISTIC)
    if model != LOGISTIC:
        given["scores"] = _scores(frame, treatment, covariates, model=model, generator=generator)
    if method == "nearest":
        matches = nearest(frame, **told, **given, generator=generator)
        if model != LOGISTIC:
            matches = replace(matches, settings={**matches.settings, "scores": model})
        return Weighting.of(matches), matches
    weighting = _ROADS[method](frame, **told, **given)
    more: dict[str, Any] = {"scores": model} if model != LOGISTIC else {}
    if method == "coarsened_exact":
        more["bins"] = given.get("bins", "sturges")
    weighting = replace(weighting, settings={**weighting.settings, **more})
    _refuse_far_from_largest(weighting)
    return weighting, None


def _scores(
    frame: pd.DataFrame,
    treatment: str,
    covariates: Sequence[str],
    *,
    model: str,
    generator: np.random.Generator | None,
) -> pd.Series:
    treated = frame[treatment].to_numpy(dtype=float) == 1
    X = covariate_matrix(frame, covariates=covariates).to_numpy()
    return pd.Series(propensity(X, treated=treated, model=model, generator=generator), index=frame.index)


def _refuse_far_from_largest(weighting: Weighting) -> None:
    found = weighting.settings
    if weighting.method == "cardinality" and found["gap"] > WIDEST_GAP:
        raise EstimationError(
            message(
                "cardinality: {gap}. Nobody can say how far it is from the largest balanced sample. Allow more time "
                "(time limit), larger differences (tolerance), or balance fewer covariates.",
                gap=_gap_in_words(found),
            )
        )


def _solution_warnings(weighting: Weighting) -> tuple[str, ...]:
    found = weighting.settings
    if weighting.method != "cardinality" or found["gap"] <= found["max_gap"]:
        return ()
    return (
        message("cardinality: {gap}. Another run may choose other units; allow more time", gap=_gap_in_words(found)),
    )


def _gap_in_words(found: Mapping[str, Any]) -> Message:
    return message(
        "the search stopped after {seconds:g} seconds, and a balanced sample could be up to {gap:.0%} larger than the "
        "one found ({most:,} units at most)",
        seconds=found["time_limit"],
        gap=found["gap"],
        most=found["most_possible"],
    )


def _effect(
    frame: pd.DataFrame,
    found: tuple[Weighting, Matches | None],
    *,
    columns: tuple[str, str, str | None],
    choices: Choices,
    reweight: weighted_difference.Reweight,
    generator: np.random.Generator | None,
) -> Estimate:
    """The effect by the estimator that fits: matched difference for nearest neighbours as they are, else weighted."""
    weighting, matches = found
    treatment, outcome, cluster = columns
    kind = _BY_SET.get(choices.std_errors or "", choices.std_errors)
    again = bool(choices.replace)
    if matches is not None and kind in _OF_MATCHES and (again or not choices.adjust):
        return matched_difference.estimate(
            frame,
            matches,
            outcome=outcome,
            cluster=cluster,
            std_errors=_BY_MATCHED_SET.get(kind or "", kind),  # type: ignore[arg-type]  # among those of the estimator
            bias_covariates=choices.adjust,
        )
    # matched sets are drawn whole; strata and weights are found anew in every draw
    anew = kind == "bootstrap" and weighting.pairs is None
    return weighted_difference.estimate(
        frame,
        weighting,
        treatment=treatment,
        outcome=outcome,
        covariates=choices.adjust,
        cluster=cluster,
        std_errors=kind,  # type: ignore[arg-type]  # checked by note_unfit_choices
        reweight=reweight if anew else None,
        draws=_USUAL_DRAWS if choices.draws is None else choices.draws,
        generator=generator if kind == "bootstrap" else None,
    )
