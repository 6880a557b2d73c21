r"""Synthetic control: a weighted mix of comparison units that moved with the exposed unit before its exposure.

**Estimand.** The effect on each exposed unit after exposure: its outcome less that of its own mix, the mean of those
gaps. With several exposed units each has its own mix, and the overall estimate is their plain mean.

**Assumptions.** A mix that follows the unit over a long past would have gone on following it; no effect before exposure
less the anticipation; no effect on comparison units. A poor fit of the past refutes the first: read `pre_rmspe` and
`imbalance_share` (the misfit over that of the plain mean of donors) before the estimate.

**Equation.** Weights $w \ge 0$, $\sum_jw_j = 1$ minimise $\sum_{t<g}(y_{1t} - \sum_jw_jy_{jt})^2$. With covariates or
given predictors they minimise $\sum_kv_k(x_{1k} - \sum_jw_jx_{jk})^2$ over standardised predictors, importance $v$
by nested optimisation of the fit of past outcomes; the sample's covariates enter as means before exposure, beside the
outcome at the first, middle and last wave before it. `method = "ridge"` adds a ridge regression of the rest of the
past (augmented synthetic control), the ridge by leaving out each past wave: weights may then be negative.

**Standard errors.** Every donor in turn plays the exposed unit, among the other donors. The standard error is the root
mean square of those placebo effects (of means of as many placebos as there are exposed units, `draws` times by lot,
where there are several), normal. It rests on as much noise in donors as in the exposed; the tests in `settings` do not
use it: `ratio_p_value` is the rank of RMSPE after over before exposure among all placebos, `effect_p_value` the rank
of the mean gap. With $J$ donors no p-value is below $1/(J+1)$.

**Edge cases.** Donors are never exposed, or under `comparison = "not_yet"` first exposed after the last wave (less the
anticipation). Waves are the exposed unit's own that at least half of the donors have; donors must have every one.
Exposed units with fewer than two waves before exposure, none after, or fewer than two donors are left out. All is
counted. Where many mixes fit the past exactly (fewer waves than donors) the evenest is taken; where many fit all
predictors, the one that follows past outcomes best. Sample weights are refused.

**Reference.** Abadie, Diamond and Hainmueller (2010), "Synthetic control methods for comparative case studies", Journal
of the American Statistical Association 105(490); Abadie (2021), Journal of Economic Literature 59(2); Ben-Michael,
Feller and Rothstein (2021), "The augmented synthetic control method", Journal of the American Statistical Association
116(536); Cavallo et al. (2013), Review of Economics and Statistics 95(5) (several exposed). Numbers: pysyncon 1.7.0
on Proposition 99.

**Deviations.** The exposed unit is no donor of the placebos (in Abadie et al. it is). Placebos keep the exposed unit's
importance of predictors; leaving a donor out keeps its ridge. R's augsynth leaves the last past wave out of the choice
of the ridge; here all are in.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal, get_args

import numpy as np

from wwc_research.design.sample import Exclusion, Sample
from wwc_research.errors import EstimationError, InputError, listed
from wwc_research.estimators import synthetic_weights
from wwc_research.estimators.estimate import Estimate, EventTerm
from wwc_research.estimators.linear import Codes, Floats
from wwc_research.estimators.options import Option, checked
from wwc_research.estimators.rows import Mask, Rows, coded_rows
from wwc_research.inference import NAN
from wwc_research.messages import counted, message

NAME = "synthetic_control"
Method = Literal["classic", "ridge"]
OPTIONS = (
    Option(
        name="method",
        meaning="weights on the simplex, or augmented by a ridge regression.",
        default="classic",
        allowed=get_args(Method),
    ),
    Option(name="draws", meaning="how many means of placebos are drawn where several units are exposed.", default=999),
    Option(name="seed", meaning="where the random numbers start.", default=0),
)
OUTCOME = "outcome"
FEWEST_DONORS = 2
FEWEST_PAST = 2
NOTABLE_WEIGHT = 0.01
MOST_IN_DETAIL = 10  # exposed units up to which `estimate` also looks in time and leaves donors out


@dataclass(frozen=True, slots=True, kw_only=True)
class Predictor:
    """The mean of a column of the sample over given times, all before exposure; `outcome` is a column too."""

    column: str
    times: tuple[int, ...]

    @property
    def name(self) -> str:
        """Column and years, such as `income 1980-1988`."""
        first, last = min(self.times), max(self.times)
        return f"{self.column} {first}" if first == last else f"{self.column} {first}-{last}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Placebo:
    """One donor as if it had been exposed: gaps at all waves, mean gap after, RMSPE before, and after over before."""

    unit: str
    label: str
    gaps: tuple[float, ...]
    effect: float
    pre_rmspe: float
    ratio: float


@dataclass(frozen=True, slots=True, kw_only=True)
class InTime:
    """What the method finds for a date at which nothing happened: only waves before the real exposure are used.

    `gaps` are the unit's by `times`; `placebos` the same of every donor, with the misfit before the false date.
    """

    exposed_from: int
    effect: float
    ratio: float
    ratio_p_value: float
    times: tuple[int, ...]
    gaps: tuple[float, ...]
    placebos: tuple[tuple[tuple[float, ...], float], ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class SyntheticControl:
    """One exposed unit beside its synthetic control.

    Attributes
    ----------
    unit, label, exposed_from
        Which unit (its label where the sample has one), first exposed when.
    times, exposed, synthetic, gaps, is_past
        One entry a wave: the unit's outcome, its mix's, the difference, and whether weights were fitted to it.
    effect, std_error
        Mean gap from exposure on; root mean square of the placebos' effects.
    pre_rmspe, post_rmspe, imbalance_share
        Root mean squared gap before and from exposure; the former over that of the plain mean of donors.
    ratio_p_value, effect_p_value
        Rank of post_rmspe / pre_rmspe, and of the size of the effect, among the unit and all placebos.
    weights
        Unit and weight of every donor, largest first.
    donor_labels
        Label of every donor.
    placebos, in_time, leave_one_out
        Placebos in space; the placebo in time (None with too short a past); effect without each notable donor.
    predictors
        Name, importance, and value of the unit, its mix and the donors' mean; empty where past outcomes are matched.
    ridge
        The ridge of the augmentation; None without.
    exclusions
        What was left out for this unit.
    """

    unit: str
    label: str
    exposed_from: int
    times: tuple[int, ...]
    exposed: tuple[float, ...]
    synthetic: tuple[float, ...]
    gaps: tuple[float, ...]
    is_past: tuple[bool, ...]
    effect: float
    std_error: float
    pre_rmspe: float
    post_rmspe: float
    imbalance_share: float
    ratio_p_value: float
    effect_p_value: float
    weights: tuple[tuple[str, float], ...]
    donor_labels: Mapping[str, str]
    placebos: tuple[Placebo, ...]
    in_time: InTime | None = None
    leave_one_out: tuple[tuple[str, float], ...] = ()
    predictors: tuple[Mapping[str, Any], ...] = ()
    ridge: float | None = None
    exclusions: tuple[Exclusion, ...] = field(default_factory=tuple)

    def as_dict(self, *, with_series: bool = True) -> dict[str, Any]:
        """Plain values for JSON: rows a wave, a donor and a placebo; without series the numbers only."""
        result: dict[str, Any] = {
            "unit": self.unit,
            "label": self.label,
            "exposed_from": self.exposed_from,
            "effect": self.effect,
            "std_error": _plain(self.std_error),
            "pre_rmspe": self.pre_rmspe,
            "post_rmspe": self.post_rmspe,
            "imbalance_share": _plain(self.imbalance_share),
            "ratio_p_value": self.ratio_p_value,
            "effect_p_value": self.effect_p_value,
            "n_donors": len(self.weights),
            "n_placebos": len(self.placebos),
            "waves_before": sum(self.is_past),
            "waves_after": sum(time >= self.exposed_from for time in self.times),
            "ridge": self.ridge,
            "donors": [
                {"unit": unit, "label": self.donor_labels[unit], "weight": weight}
                for unit, weight in self.weights
                if abs(weight) >= NOTABLE_WEIGHT / 10
            ],
            "leave_one_out": [
                {"unit": unit, "label": self.donor_labels[unit], "effect": effect}
                for unit, effect in self.leave_one_out
            ],
            "in_time": None
            if self.in_time is None
            else {
                "exposed_from": self.in_time.exposed_from,
                "effect": self.in_time.effect,
                "ratio": self.in_time.ratio,
                "ratio_p_value": self.in_time.ratio_p_value,
            },
            "predictors": [dict(row) for row in self.predictors],
            "exclusions": [exclusion.as_dict() for exclusion in self.exclusions],
        }
        if with_series and self.in_time is not None:
            result["in_time"] |= {
                "series": [
                    {"time": time, "gap": gap} for time, gap in zip(self.in_time.times, self.in_time.gaps, strict=True)
                ],
                "placebos": [{"gaps": list(gaps), "pre_rmspe": misfit} for gaps, misfit in self.in_time.placebos],
            }
        if with_series:
            columns = zip(self.times, self.exposed, self.synthetic, self.gaps, self.is_past, strict=True)
            result["series"] = [
                {"time": time, "exposed": own, "synthetic": mix, "gap": gap, "is_past": past}
                for time, own, mix, gap, past in columns
            ]
            result["placebos"] = [
                {
                    "unit": placebo.unit,
                    "label": placebo.label,
                    "effect": placebo.effect,
                    "pre_rmspe": placebo.pre_rmspe,
                    "ratio": placebo.ratio,
                    "gaps": list(placebo.gaps),
                }
                for placebo in self.placebos
            ]
        return result


def _plain(value: float) -> float | None:
    return float(value) if np.isfinite(value) else None


def estimate(
    sample: Sample, *, method: Method | None = None, draws: int | None = None, seed: int | None = None
) -> Estimate:
    """The mean gap between exposed units and their synthetic controls, from exposure on.

    Parameters
    ----------
    sample
        Checked rows; `covariates`, `comparison` and `anticipation` are honoured, weights other than one refused.
    method, draws, seed
        See `OPTIONS`.

    Raises
    ------
    InputError
        For options that are not offered, or sample weights.
    EstimationError
        Where no exposed unit has a past, a time after and donors.
    """
    options = checked({"method": method, "draws": draws, "seed": seed}, declared=OPTIONS, estimator=NAME)
    study = _Study(sample)
    detail = len(study.exposed) <= MOST_IN_DETAIL
    found, left_out = _each(study, method=method or "classic", predictors=study.default_predictors, detail=detail)
    generator = np.random.default_rng(int(options["seed"] or 0))
    drawn = _drawn_means(found, draws=int(options["draws"] or 0), generator=generator)
    effect = float(np.mean([one.effect for one in found]))
    ratios = [_ratio(one.pre_rmspe, one.post_rmspe) for one in found]
    used = study.used(found)
    return Estimate(
        estimator=NAME,
        estimand=message("mean gap between exposed units and their synthetic controls, from exposure on"),
        estimate=effect,
        std_error=_root_mean_square(drawn.effects) or NAN,
        n_obs=int(used.sum()),
        n_units=len(np.unique(study.rows.unit[used])),
        n_treated=len(found),
        n_clusters=len(np.unique(study.rows.cluster[used])),
        event_study=_event_terms(found, drawn),
        exclusions=(*study.rows.exclusions, *left_out),
        settings={
            **sample.settings,
            **options,
            "std_errors": "root mean square of placebo effects, normal",
            "comparison": sample.comparison,
            "anticipation": sample.anticipation,
            "ratio_p_value": _rank(float(np.mean(ratios)), drawn.ratios),
            "effect_p_value": _rank(abs(effect), np.abs(drawn.effects)),
            "units": [one.as_dict(with_series=False) for one in found],
        },
    )


def synthetic_controls(
    sample: Sample,
    *,
    units: Sequence[str] | None = None,
    method: Method = "classic",
    predictors: Sequence[Predictor] = (),
    fake_exposures: Mapping[str, int] | None = None,
) -> tuple[SyntheticControl, ...]:
    """The synthetic control of each exposed unit in turn, with placebos in space and time, in the order of `units`.

    Parameters
    ----------
    sample
        Checked rows; a column `label` names units for readers. Columns of predictors may be missing at other times.
    units
        Exposed units; by default all that have a past, a time after and donors.
    method
        `classic`, or `ridge` for the augmented variant, which takes no predictors.
    predictors
        What is matched in place of all past outcomes; by default the sample's covariates, where it has any.
    fake_exposures
        First time of the placebo in time by unit; by default the middle wave of the past.

    Raises
    ------
    InputError
        For a method that is not offered, unknown units, or predictors that are not there.
    EstimationError
        Where a named unit cannot be estimated, or no unit can.
    """
    if method not in get_args(Method):
        raise InputError(f"method = {method!r} is not offered; allowed: {listed(get_args(Method))}.")
    study = _Study(sample)
    chosen = tuple(predictors) or study.default_predictors
    found, _ = _each(study, method=method, predictors=chosen, units=units, fakes=fake_exposures or {})
    return found


def _each(
    study: _Study,
    *,
    method: Method,
    predictors: tuple[Predictor, ...],
    units: Sequence[str] | None = None,
    fakes: Mapping[str, int] | None = None,
    detail: bool = True,
) -> tuple[tuple[SyntheticControl, ...], tuple[Exclusion, ...]]:
    """Results of the units asked for, and exclusions: exposed units that cannot be estimated, donors without a part."""
    if method == "ridge" and predictors:
        raise InputError(f"{NAME}: method = ridge matches past outcomes only; leave covariates and predictors out.")
    asked = [study.code(unit) for unit in units] if units is not None else list(study.exposed)
    found, lost, shared = [], [], dict[tuple[Any, ...], tuple[Placebo, ...]]()
    for code in asked:
        case, reason = study.case(code)
        if case is None:
            if units is not None:
                raise EstimationError(
                    message(
                        "{estimator}: {unit} {reason}; see its rows in the sample.",
                        estimator=NAME,
                        unit=study.names[code],
                        reason=reason,
                    )
                )
            lost.append(
                Exclusion(
                    reason=message("exposed, but {reason}", reason=reason),
                    rows=int((study.rows.unit == code).sum()),
                    units=1,
                )
            )
            continue
        fake = (fakes or {}).get(study.names[code])
        found.append(_one(study, case, method=method, predictors=predictors, fake=fake, shared=shared, detail=detail))
    if not found:
        why = [e.reason for e in lost] or [message("nobody is exposed in sight")]
        raise EstimationError(
            message(
                "{estimator}: no exposed unit has at least {fewest_past} waves before exposure, one after and "
                "{fewest_donors} complete donors ({why:semicolons}). Start the window earlier, or add places "
                "never exposed.",
                estimator=NAME,
                fewest_past=FEWEST_PAST,
                fewest_donors=FEWEST_DONORS,
                why=why,
            )
        )
    reasons = dict.fromkeys(e.reason for e in lost)
    merged = tuple(
        Exclusion(
            reason=reason,
            rows=sum(e.rows for e in lost if e.reason == reason),
            units=sum(e.reason == reason for e in lost),
        )
        for reason in reasons
    )
    return tuple(found), (*merged, *study.unused_donors(found))


@dataclass(frozen=True, slots=True, kw_only=True)
class _Case:
    """One exposed unit beside its donors: `outcome` has the unit in row 0 and a donor in each further row."""

    code: int
    first: int
    donors: Codes
    times: Codes
    outcome: Floats
    is_past: Mask
    is_after: Mask
    exclusions: tuple[Exclusion, ...]


class _Study:
    """The sample's rows with names, and who is exposed, who a donor."""

    def __init__(self, sample: Sample) -> None:
        self.sample = sample
        self.rows: Rows = coded_rows(sample)
        if np.ptp(self.rows.weight) > 0:
            raise InputError(f"{NAME}: takes no sample weights, its own weights take their place; leave them out.")
        frame = sample.frame.drop_duplicates("unit").sort_values("unit")
        self.names: list[str] = [str(name) for name in frame["unit"]]
        self.labels: list[str] = [str(name) for name in frame["label" if "label" in frame else "unit"]]
        first = np.flatnonzero(np.diff(self.rows.unit, prepend=-1))
        self.cohort: Floats = self.rows.cohort[first]
        last = int(self.rows.time.max())
        in_sight = self.cohort <= last
        after = np.isinf(self.cohort) if sample.comparison == "never" else self.cohort - sample.anticipation > last
        self.exposed: Codes = np.flatnonzero(in_sight)
        self.donors: Codes = np.flatnonzero(after)
        self.waves: Codes = np.unique(self.rows.time)
        self.matrix: Floats = np.full((len(self.names), len(self.waves)), NAN)
        self.matrix[self.rows.unit, np.searchsorted(self.waves, self.rows.time)] = self.rows.outcome

    @property
    def default_predictors(self) -> tuple[Predictor, ...]:
        """Covariates as means over each unit's past (no times given yet), with three past outcomes; empty without."""
        return tuple(Predictor(column=name, times=()) for name in self.sample.covariates)

    def code(self, unit: str) -> int:
        """Position of a named unit, which must be exposed in sight."""
        if unit not in self.names:
            raise InputError(f"{NAME}: unit {unit!r} is not in the sample; it has {listed(self.names)}.")
        code = self.names.index(unit)
        if code not in self.exposed:
            named = listed([self.names[other] for other in self.exposed])
            raise InputError(f"{NAME}: unit {unit!r} is not exposed in the sample's time; exposed are {named}.")
        return code

    def case(self, code: int) -> tuple[_Case | None, str]:
        """The unit beside its complete donors, or why there is no such thing."""
        first, lead = float(self.cohort[code]), self.sample.anticipation
        seen = np.isfinite(self.matrix[code])
        donor_share = np.isfinite(self.matrix[self.donors]).mean(axis=0) if len(self.donors) else np.zeros(len(seen))
        is_wave = seen & (donor_share >= 0.5)
        times = self.waves[is_wave]
        complete = np.isfinite(self.matrix[np.ix_(self.donors, is_wave)]).all(axis=1)
        donors = self.donors[complete]
        is_past, is_after = times < first - lead, times >= first
        if is_past.sum() < FEWEST_PAST:
            return None, counted("has {n} wave before exposure", "has {n} waves before exposure", n=int(is_past.sum()))
        if not is_after.any():
            return None, message("has no wave after exposure")
        if len(donors) < FEWEST_DONORS:
            return None, counted("has {n} complete donor", "has {n} complete donors", n=len(donors))
        exclusions = []
        if (seen & ~is_wave).any():
            reason = message("own rows at times that fewer than half of the donors have")
            exclusions.append(Exclusion(reason=reason, rows=int((seen & ~is_wave).sum()), units=1))
        if not complete.all():
            lost = self.matrix[self.donors[~complete]]
            reason = message("no donor: not observed in all {n_waves} waves", n_waves=len(times))
            exclusions.append(Exclusion(reason=reason, rows=int(np.isfinite(lost).sum()), units=len(lost)))
        case = _Case(
            code=code,
            first=int(first),
            donors=donors,
            times=times,
            outcome=self.matrix[np.ix_(np.append(code, donors), is_wave)],
            is_past=is_past,
            is_after=is_after,
            exclusions=tuple(exclusions),
        )
        return case, ""

    def predictor_values(self, case: _Case, predictors: tuple[Predictor, ...]) -> tuple[list[str], Floats]:
        """Names of the predictors and their values, shape (predictors, 1 + donors)."""
        past = case.times[case.is_past]
        wanted = [one if one.times else Predictor(column=one.column, times=tuple(map(int, past))) for one in predictors]
        if any(not one.times for one in predictors):
            middle = past[[0, (len(past) - 1) // 2, -1]]
            wanted += [Predictor(column=OUTCOME, times=(int(time),)) for time in dict.fromkeys(middle)]
        values = []
        units = [self.names[code] for code in (case.code, *case.donors)]
        for one in wanted:
            late = [time for time in one.times if time >= case.first - self.sample.anticipation]
            if one.column not in self.sample.frame or late:
                wrong = f"takes times from exposure on ({listed(late)})" if late else "is no column of the sample"
                raise InputError(f"{NAME}: predictor {one.name} {wrong}; use columns and times before exposure.")
            chosen = self.sample.frame[self.sample.frame["time"].isin(one.times)]
            mean = chosen.groupby(chosen["unit"].astype(str))[one.column].mean().reindex(units)
            if mean.isna().any():
                raise InputError(
                    f"{NAME}: predictor {one.name} is missing for {listed(mean.index[mean.isna()])}; take other times, "
                    "or leave those units out."
                )
            values.append(mean.to_numpy(dtype=float))
        return [one.name for one in wanted], np.array(values)

    def used(self, found: Iterable[SyntheticControl]) -> Mask:
        """Rows that some result rests on."""
        used = np.zeros(self.matrix.shape, dtype=bool)
        for one in found:
            named = (one.unit, *(unit for unit, _ in one.weights))
            codes = np.searchsorted(np.array(self.names), named)
            used[np.ix_(codes, np.isin(self.waves, one.times))] = True
        return np.asarray(used[self.rows.unit, np.searchsorted(self.waves, self.rows.time)], dtype=bool)

    def unused_donors(self, found: Sequence[SyntheticControl]) -> tuple[Exclusion, ...]:
        """Rows of comparison units that no result rests on."""
        idle = ~self.used(found) & ~np.isin(self.rows.unit, self.exposed)
        if not idle.any():
            return ()
        reason = message("comparison rows that no exposed unit could use: not observed in all of its waves")
        return (Exclusion(reason=reason, rows=int(idle.sum()), units=len(np.unique(self.rows.unit[idle]))),)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Recipe:
    """How weights come about for whichever unit plays the exposed one; a ridge that is not given is chosen."""

    method: Method
    importance: Floats | None = None
    ridge: float | None = None

    def weights(self, past: Floats, predictors: Floats | None) -> tuple[Floats, float | None]:
        """Weights of rows 1 and on to mimic row 0, and the ridge chosen."""
        own, others = past[0], past[1:].T
        if self.importance is not None and predictors is not None:
            weights = synthetic_weights.predictor_weights(
                predictors[:, 0], predictors[:, 1:], importance=self.importance, past=own, past_donors=others
            )
            return weights, None
        ridge = self.ridge
        if self.method == "ridge" and ridge is None:
            ridge = synthetic_weights.chosen_ridge(own, others)
        return synthetic_weights.outcome_weigher(ridge=ridge)(own, others), ridge


def _one(
    study: _Study,
    case: _Case,
    *,
    method: Method,
    predictors: tuple[Predictor, ...],
    fake: int | None,
    shared: dict[tuple[Any, ...], tuple[Placebo, ...]],
    detail: bool,
) -> SyntheticControl:
    """The result for one exposed unit; `shared` keeps placebos that do not depend on the exposed unit."""
    names: list[str] = []
    values = importance = None
    past = case.outcome[:, case.is_past]
    if predictors:
        names, raw = study.predictor_values(case, predictors)
        values = np.column_stack(synthetic_weights.standardised(raw[:, 0], raw[:, 1:]))
        nested = synthetic_weights.nested_importance(values[:, 0], values[:, 1:], past=past[0], past_donors=past[1:].T)
        importance = nested.importance
    recipe = _Recipe(method=method, importance=importance)
    weights, ridge = recipe.weights(past, values)
    gaps = case.outcome[0] - weights @ case.outcome[1:]
    key = (case.first, tuple(case.times), tuple(case.donors))
    placebos = shared.get(key) if importance is None else None
    if placebos is None:
        placebos = shared[key] = _placebos(study, case, recipe, values)
    effect, before, after = _summary(gaps, case)
    plain = _root_mean_square((case.outcome[0] - case.outcome[1:].mean(axis=0))[case.is_past])
    order = sorted(range(len(weights)), key=lambda at: (-weights[at], study.names[case.donors[at]]))
    return SyntheticControl(
        unit=study.names[case.code],
        label=study.labels[case.code],
        exposed_from=case.first,
        times=tuple(map(int, case.times)),
        exposed=tuple(map(float, case.outcome[0])),
        synthetic=tuple(map(float, case.outcome[0] - gaps)),
        gaps=tuple(map(float, gaps)),
        is_past=tuple(map(bool, case.is_past)),
        effect=effect,
        std_error=_root_mean_square(np.array([placebo.effect for placebo in placebos])),
        pre_rmspe=before,
        post_rmspe=after,
        imbalance_share=before / plain if plain > 0 else NAN,
        ratio_p_value=_rank(_ratio(before, after), np.array([placebo.ratio for placebo in placebos])),
        effect_p_value=_rank(abs(effect), np.abs([placebo.effect for placebo in placebos])),
        weights=tuple((study.names[case.donors[at]], float(weights[at])) for at in order),
        donor_labels={study.names[code]: study.labels[code] for code in case.donors},
        placebos=placebos,
        in_time=_in_time(case, method=method, fake=fake) if detail else None,
        leave_one_out=tuple(_without_each(study, case, replace(recipe, ridge=ridge), values, weights))
        if detail
        else (),
        predictors=_predictor_rows(names, raw, importance, weights) if importance is not None else (),
        ridge=ridge,
        exclusions=case.exclusions,
    )


def _predictor_rows(
    names: list[str], raw: Floats, importance: Floats, weights: Floats
) -> tuple[Mapping[str, Any], ...]:
    return tuple(
        {
            "name": name,
            "importance": float(share),
            "exposed": float(row[0]),
            "synthetic": float(row[1:] @ weights),
            "donor_mean": float(row[1:].mean()),
        }
        for name, share, row in zip(names, importance, raw, strict=True)
    )


def _summary(gaps: Floats, case: _Case) -> tuple[float, float, float]:
    """Mean gap from exposure on, RMSPE before, RMSPE from exposure on."""
    after = gaps[case.is_after]
    return float(after.mean()), _root_mean_square(gaps[case.is_past]), _root_mean_square(after)


def _root_mean_square(values: Floats) -> float:
    """NaN for no values."""
    return float(np.sqrt(np.mean(np.square(values)))) if len(values) else NAN


def _ratio(before: float, after: float) -> float:
    """RMSPE after over before; infinite for a perfect past, one where nothing ever differs."""
    if before > 0:
        return after / before
    return np.inf if after > 0 else 1.0


def _rank(value: float, placebos: Floats) -> float:
    """Share of the unit and its placebos that are at least as far out."""
    ties = placebos >= value * (1 - 1e-10) if np.isfinite(value) else np.isinf(placebos)
    return float((1 + np.sum(ties)) / (1 + len(placebos)))


def _placebos(study: _Study, case: _Case, recipe: _Recipe, values: Floats | None) -> tuple[Placebo, ...]:
    """Every donor as the exposed unit among the other donors."""
    found = []
    n = len(case.donors)
    for at, code in enumerate(case.donors):
        rows = np.append(at, np.delete(np.arange(n), at)) + 1
        outcome = case.outcome[rows]
        weights, _ = recipe.weights(outcome[:, case.is_past], None if values is None else values[:, rows])
        gaps = outcome[0] - weights @ outcome[1:]
        effect, before, after = _summary(gaps, case)
        found.append(
            Placebo(
                unit=study.names[code],
                label=study.labels[code],
                gaps=tuple(map(float, gaps)),
                effect=effect,
                pre_rmspe=before,
                ratio=_ratio(before, after),
            )
        )
    return tuple(found)


def _without_each(
    study: _Study, case: _Case, recipe: _Recipe, values: Floats | None, weights: Floats
) -> Iterable[tuple[str, float]]:
    """The effect without each donor of notable weight in turn."""
    if len(weights) <= FEWEST_DONORS:
        return
    for at in np.flatnonzero(np.abs(weights) >= NOTABLE_WEIGHT):
        rows = np.delete(np.arange(len(case.outcome)), at + 1)
        outcome = case.outcome[rows]
        others, _ = recipe.weights(outcome[:, case.is_past], None if values is None else values[:, rows])
        gaps = outcome[0] - others @ outcome[1:]
        yield study.names[case.donors[at]], float(gaps[case.is_after].mean())


def _in_time(case: _Case, *, method: Method, fake: int | None) -> InTime | None:
    """The same on the past alone, exposure set to `fake` or its middle wave; past outcomes are matched."""
    times = case.times[case.is_past]
    if fake is None:
        if len(times) < 2 * FEWEST_PAST:
            return None
        fake = int(times[len(times) // 2])
    is_past, is_after = times < fake, times >= fake
    if is_past.sum() < FEWEST_PAST or not is_after.any():
        raise InputError(
            f"{NAME}: fake exposure {fake} leaves {int(is_past.sum())} waves before and {int(is_after.sum())} after it "
            f"in the past {times[0]}-{times[-1]}; take one inside."
        )
    outcome = case.outcome[:, case.is_past]
    recipe, ratios, players = _Recipe(method=method), [], []
    for player in range(len(outcome)):
        others = np.setdiff1d(np.arange(1, len(outcome)), player)
        chosen = outcome[np.append(player, others)]
        weights, _ = recipe.weights(chosen[:, is_past], None)
        gaps = chosen[0] - weights @ chosen[1:]
        misfit = _root_mean_square(gaps[is_past])
        ratios.append(_ratio(misfit, _root_mean_square(gaps[is_after])))
        players.append((tuple(map(float, gaps)), misfit))
    own = players[0][0]
    return InTime(
        exposed_from=fake,
        effect=float(np.array(own)[is_after].mean()),
        ratio=ratios[0],
        ratio_p_value=_rank(ratios[0], np.array(ratios[1:])),
        times=tuple(int(time) for time in times),
        gaps=own,
        placebos=tuple(players[1:]),
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class _Drawn:
    """Means over as many placebos as there are exposed units: effects, ratios, gaps by event time (draws, events)."""

    effects: Floats
    ratios: Floats
    events: Codes
    gaps: Floats


def _drawn_means(found: Sequence[SyntheticControl], *, draws: int, generator: np.random.Generator) -> _Drawn:
    """For one exposed unit every placebo once; for several, a donor for each by lot, no donor twice where possible."""
    events = np.unique([time - one.exposed_from for one in found for time in one.times])
    if len(found) == 1:
        picks = [[placebo] for placebo in found[0].placebos]
    else:
        picks = [_dealt(found, generator) for _ in range(draws)]
    gaps = np.array([_by_event_time(found, [placebo.gaps for placebo in pick], events) for pick in picks])
    return _Drawn(
        effects=np.array([np.mean([placebo.effect for placebo in pick]) for pick in picks]),
        ratios=np.array([np.mean([placebo.ratio for placebo in pick]) for pick in picks]),
        events=events,
        gaps=gaps,
    )


def _dealt(found: Sequence[SyntheticControl], generator: np.random.Generator) -> list[Placebo]:
    taken: set[str] = set()
    picks = []
    for one in found:
        # walk on from a place by lot to the next donor not taken
        start, n = int(generator.integers(len(one.placebos))), len(one.placebos)
        free = (at % n for at in range(start, start + n) if one.placebos[at % n].unit not in taken)
        picks.append(one.placebos[next(free, start)])
        taken.add(picks[-1].unit)
    return picks


def _by_event_time(found: Sequence[SyntheticControl], gaps: Sequence[Sequence[float]], events: Codes) -> Floats:
    """Mean gap at each event time over the units that have it."""
    total, count = np.zeros(len(events)), np.zeros(len(events))
    for one, series in zip(found, gaps, strict=True):
        at = np.searchsorted(events, np.array(one.times) - one.exposed_from)
        total[at] += series
        count[at] += 1
    return np.asarray(total / count, dtype=float)


def _event_terms(found: Sequence[SyntheticControl], drawn: _Drawn) -> tuple[EventTerm, ...]:
    means = _by_event_time(found, [one.gaps for one in found], drawn.events)
    errors = [_root_mean_square(column) or NAN for column in drawn.gaps.T]
    return tuple(
        EventTerm(event_time=int(at), estimate=float(mean), std_error=error)
        for at, mean, error in zip(drawn.events, means, errors, strict=True)
    )
