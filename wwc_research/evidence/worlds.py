"""Simulated worlds with a known truth on a real sample's skeleton, to learn what verdicts are worth.

In: a Sample and a generator. Out: a Sample with the same units, times and gaps and made-up outcomes, marked as such.
"""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass, replace
from typing import Any, Final, Literal, get_args

import numpy as np
import numpy.typing as npt
import pandas as pd
from scipy import optimize

from wwc_research.design.sample import Sample
from wwc_research.errors import EstimationError, Faults, listed
from wwc_research.estimators import linear
from wwc_research.messages import message

Floats = npt.NDArray[np.float64]
Integers = npt.NDArray[np.int64]
WorldKind = Literal["null", "effect", "confounded", "diverging", "anticipation"]
Shape = Literal["constant", "growing"]
YEARS_AHEAD: Final = 2  # how long before exposure an anticipated effect shows
_BOUND: Final = 0.98  # of the persistence, either way
_STEEPEST: Final = -2.0  # log variance over log population; sampling error falls by -1
_CLEAR: Final = 2.0  # standard errors from which noise counts as falling with population
_DESCRIBED: Final[dict[WorldKind, str]] = {
    "null": "exposure dealt by lot within groups by size, without any effect",
    "effect": "exposure dealt by lot within groups by size, with a true effect",
    "confounded": "units that rise anyway are the likelier to be exposed",
    "diverging": "exposed units drift away from the others before and after exposure",
    "anticipation": f"the outcome responds {YEARS_AHEAD} years before exposure already",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Components:
    """What the comparison units' outcomes are made of, in the unit of the outcome.

    Attributes
    ----------
    level, unit_spread
        Mean of the units' means and their standard deviation.
    years
        Movement common to all by time, first time zero.
    noise, persistence
        Standard deviation of a unit's own noise (root of the mean variance over units), and its correlation from one
        year to the next.
    cluster_shock
        Standard deviation of what units of one cluster share in a year; 0 where no two comparison units share one.
    size_slope
        Change of the log variance of the noise with the log of population, 0 or below.
    """

    level: float
    unit_spread: float
    years: tuple[float, ...]
    noise: float
    persistence: float
    cluster_shock: float
    size_slope: float

    @property
    def deviation(self) -> float:
        """Standard deviation of all that moves a unit of average noise in a year."""
        return math.hypot(self.noise, self.cluster_shock)

    def as_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return {**asdict(self), "years": list(self.years)}


@dataclass(frozen=True, slots=True, kw_only=True)
class _Skeleton:
    """What a world keeps of a sample: times, and by unit what is observed, cohort, cluster, stratum, log population.

    `outcomes` has shape (units, times), NaN where not observed; cohort is infinite for never exposed.
    """

    units: list[str]
    times: Integers
    outcomes: Floats
    cohorts: Floats
    clusters: Integers
    strata: Integers
    log_people: Floats

    @classmethod
    def of(cls, sample: Sample) -> _Skeleton:
        frame = sample.frame
        table = frame.pivot_table(index="unit", columns="time", values="outcome")
        units = frame.drop_duplicates("unit").set_index("unit").reindex(table.index)
        nobody = pd.Series(0, index=table.index)
        people = frame.groupby("unit")["people"].median().reindex(table.index) if "people" in frame else nobody
        logged = np.log(people.where(people > 0).astype(float))
        return cls(
            units=list(table.index),
            times=table.columns.to_numpy(np.int64),
            outcomes=table.to_numpy(float),
            cohorts=units["cohort"].fillna(np.inf).to_numpy(float),
            clusters=pd.factorize(units["cluster"])[0].astype(np.int64),
            strata=pd.factorize(units.get("stratum", nobody), use_na_sentinel=False)[0].astype(np.int64),
            log_people=(logged - logged.mean()).fillna(0.0).to_numpy(float),
        )

    @property
    def observed(self) -> npt.NDArray[np.bool_]:
        return np.isfinite(self.outcomes)

    def chosen(self, units: npt.NDArray[np.bool_]) -> _Skeleton:
        """The same with some of its units."""
        return replace(
            self,
            units=[name for name, kept in zip(self.units, units, strict=True) if kept],
            **{
                name: getattr(self, name)[units] for name in ("outcomes", "cohorts", "clusters", "strata", "log_people")
            },
        )


def make_world(
    sample: Sample,
    *,
    kind: WorldKind,
    generator: np.random.Generator,
    effect: float = 0.0,
    strength: float = 0.0,
    shape: Shape = "constant",
    components: Components | None = None,
) -> Sample:
    r"""The sample with made-up outcomes, and exposure dealt anew, of which the truth is known.

    $y_{it} = \alpha_i + \lambda_t + s_{c(i)t} + e_{it} + \tau_{it} + b_{it}$: normal unit effects, the real
    common movement, normal shocks shared by a cluster in a year, AR(1) noise $e$, the effect and the bias of the kind:

    - `null`, `effect`: exposure by lot within the sample's strata, no bias;
    - `confounded`: a hidden characteristic $x_i$ (standard normal) makes units rise by `strength` $\cdot x_i$ over the
      whole period, and within strata the odds of exposure are $e^{x_i}$;
    - `diverging`: exposed units drift away by `strength` over the whole period, before and after exposure alike;
    - `anticipation`: in the two years before exposure `strength` times the effect is there already.

    Units, clusters and labels get made-up names in the order of the real ones, and a column `is_simulated` is true.
    A column `dose` is left out, since it belongs to the real exposure; the other columns and the exclusions are the
    real sample's.

    Parameters
    ----------
    kind
        `null`, `effect`, `confounded`, `diverging` or `anticipation`.
    generator
        The only source of randomness.
    effect
        True effect, averaged over all exposed rows, in the unit of the outcome.
    strength
        `confounded`, `diverging`: in standard deviations of a unit's yearly noise (`Components.deviation`) over the
        whole period; `anticipation`: share of the effect.
    shape
        `constant`, or `growing` with every year of exposure.
    components
        From `estimate_components` of the same sample, to spare estimating them for every world.

    Raises
    ------
    InputError
        For another kind or shape, an effect in a null world, or an effect or strength of nothing where the kind is
        about it.
    EstimationError
        Where a stratum has too few units with a past to be dealt its exposures.
    """
    _refuse_unusable(kind, effect=effect, strength=strength, shape=shape)
    made = components or estimate_components(sample)
    skeleton = _Skeleton.of(sample)
    hidden = generator.normal(size=len(skeleton.units)) if kind == "confounded" else np.zeros(len(skeleton.units))
    cohorts = _dealt(skeleton, anticipation=sample.anticipation, odds=hidden, generator=generator)
    outcomes = _untreated(skeleton, made, generator=generator)
    effects = _effects(skeleton, cohorts, effect=effect, shape=shape)
    span = (skeleton.times - skeleton.times[0]) / (skeleton.times[-1] - skeleton.times[0])
    if kind == "confounded":
        outcomes += strength * made.deviation * hidden[:, None] * span
    elif kind == "diverging":
        outcomes += strength * made.deviation * np.isfinite(cohorts)[:, None] * span
    elif kind == "anticipation":
        ahead = (skeleton.times >= cohorts[:, None] - YEARS_AHEAD) & (skeleton.times < cohorts[:, None])
        outcomes += strength * effect * ahead
    return _as_sample(
        sample,
        skeleton,
        cohorts=cohorts,
        outcomes=outcomes + effects,
        settings={"world": kind, "world_described": _DESCRIBED[kind], "true_effect": effect, "strength": strength}
        | {"shape": shape},
    )


def _refuse_unusable(kind: str, *, effect: float, strength: float, shape: str) -> None:
    faults = Faults("simulated world")
    if kind not in get_args(WorldKind):
        faults.add(f"kind = {kind!r} is not offered; allowed: {listed(get_args(WorldKind), limit=9)}")
    if shape not in get_args(Shape):
        faults.add(f"shape = {shape!r} is not offered; allowed: {listed(get_args(Shape))}")
    for name, value in (("effect", effect), ("strength", strength)):
        if not math.isfinite(value):
            faults.add(f"{name} = {value}; give a number")
    if kind == "null" and effect:
        faults.add(f"a null world has no effect; got effect = {effect}")
    if kind in ("effect", "anticipation") and not effect:
        faults.add(f"kind = {kind!r} is about an effect; give one that is not zero")
    if kind in ("confounded", "diverging", "anticipation") and not strength:
        faults.add(f"kind = {kind!r} is nothing without a strength; give one that is not zero")
    if kind in ("null", "effect") and strength:
        faults.add(f"kind = {kind!r} has no bias to be strong; got strength = {strength}")
    faults.raise_if_any()


# --- what real outcomes are made of ----------------------------------------------------------------------


def estimate_components(sample: Sample) -> Components:
    """What the outcomes of the sample's comparison units are made of, by the method of moments.

    Unit and time effects are taken out; products of residuals of two units in one cluster and year give the shocks
    that they share; variance and first autocovariance give noise and persistence, each set against what
    taking out the unit's mean leaves of them over the years that are observed; the log of the units' variances is
    set against the log of population, and its slope kept where it is negative by two standard errors. The noise of a
    world is normal; real figures can have heavier tails.

    Raises
    ------
    EstimationError
        Where fewer than three comparison units have three or more figures.
    """
    everyone = _Skeleton.of(sample)
    enough = everyone.observed.sum(axis=1) >= 3
    never = everyone.chosen(~np.isfinite(everyone.cohorts) & enough)
    if len(never.units) < 3:
        raise EstimationError(
            message(
                "{n_units} comparison units have three figures or more; a world needs three such units to be made",
                n_units=len(never.units),
            )
        )
    within, years = _two_way(never)
    shared = _shared_variance(within, never.clusters)
    variance, persistence = _noise(within, times=never.times, shared=shared)
    means = np.nanmean(never.outcomes - years, axis=1)
    alike = float(np.power(persistence, np.abs(never.times[:, None] - never.times)).mean())
    spread = float(means.var(ddof=1)) - variance * alike - shared / float(never.observed.sum(axis=1).mean())
    return Components(
        level=float(means.mean()),
        unit_spread=math.sqrt(max(spread, 0.0)),
        years=tuple(float(value) for value in years),
        noise=math.sqrt(variance),
        persistence=persistence,
        cluster_shock=math.sqrt(shared),
        size_slope=_size_slope(within, never.log_people, shared=shared),
    )


def _two_way(never: _Skeleton) -> tuple[Floats, Floats]:
    """Residuals after unit and time effects, NaN where not observed; and the time effects, the first zero."""
    unit, time = np.nonzero(never.observed)
    seen, codes = np.unique(time, return_inverse=True)
    values = never.outcomes[unit, time]
    indicators = (codes[:, None] == np.arange(1, len(seen))).astype(float)
    columns = linear.absorb(np.column_stack([values, indicators]), effects=(unit,))
    slopes = np.linalg.lstsq(columns[:, 1:], columns[:, 0], rcond=None)[0]
    within = np.full(never.outcomes.shape, np.nan)
    within[unit, time] = columns[:, 0] - columns[:, 1:] @ slopes
    years = np.zeros(len(never.times))
    years[seen[1:]] = slopes
    return within, years


def _shared_variance(within: Floats, clusters: Integers) -> float:
    """Variance of what units of one cluster share in a year: mean product of two of them, the unit means put back."""
    known = np.isfinite(within)
    filled = np.where(known, within, 0.0)
    n_clusters = int(clusters.max()) + 1
    sums, squares, counts = (np.zeros((n_clusters, within.shape[1])) for _ in range(3))
    for table, values in ((sums, filled), (squares, filled**2), (counts, known.astype(float))):
        np.add.at(table, clusters, values)
    pairs = float((counts * (counts - 1)).sum())
    if not pairs:
        return 0.0
    left = 1 - 1 / float(known.sum(axis=1).mean())
    return max(float((sums**2 - squares).sum()) / pairs / left, 0.0)


def _noise(within: Floats, *, times: Integers, shared: float) -> tuple[float, float]:
    """Variance of the units' own noise, and its persistence from year to year.

    Taking out means makes residuals of one unit look less alike than they are, the more so the fewer years there are;
    the moments are therefore set against those of an AR(1) from which the same means are taken out.
    """
    known = np.isfinite(within)
    filled = np.where(known, within, 0.0)
    next_to = known[:, 1:] & known[:, :-1]
    seen = np.array([(filled**2).sum(), (filled[:, 1:] * filled[:, :-1])[next_to].sum()])
    patterns, counts = np.unique(known, axis=0, return_counts=True)
    gaps = np.abs(times[:, None] - times[None, :])

    def expected(persistence: float) -> Floats:
        """Sums of squares and of neighbours' products for noise of variance 1."""
        # an odd power of a negative number stays negative; 0 ** 0 is 1
        correlation = np.power(persistence, gaps)
        total = np.zeros(2)
        for pattern, count in zip(patterns, counts, strict=True):
            keep = np.diag(pattern.astype(float)) - np.outer(pattern, pattern) / pattern.sum()
            left = keep @ correlation @ keep
            both = pattern[1:] & pattern[:-1]
            total += count * np.array([np.trace(left), np.diag(left, 1)[both].sum()])
        return total

    own = seen - shared * expected(0.0)
    if own[0] <= 0:
        return 0.0, 0.0

    def off(persistence: float) -> float:
        squares, products = expected(persistence)
        return float(products / squares - own[1] / own[0])

    ends = off(-_BOUND), off(_BOUND)
    if ends[0] >= 0 or ends[1] <= 0:
        persistence = -_BOUND if ends[0] >= 0 else _BOUND
    else:
        persistence = float(optimize.brentq(off, -_BOUND, _BOUND, xtol=1e-6))
    return float(own[0] / expected(persistence)[0]), persistence


def _size_slope(within: Floats, log_people: Floats, *, shared: float) -> float:
    """Slope of the log variance of the units' own noise on log population; 0 unless variances clearly fall.

    Whether they do is asked of a straight line through their logs; how steeply, of the gamma likelihood of variances
    that are the shared one plus a part that falls.
    """
    spare = np.isfinite(within).sum(axis=1) - 1
    variance = np.nansum(within**2, axis=1) / spare
    usable = variance > 0
    x, seen = log_people[usable], variance[usable]
    if len(x) < 3 or np.ptp(x) == 0:
        return 0.0
    x, y = x - x.mean(), np.log(seen) - np.log(seen).mean()
    line = float(x @ y / (x @ x))
    rest = y - line * x
    if line >= -_CLEAR * math.sqrt(float(rest @ rest) / (len(x) - 2) / float(x @ x)):
        return 0.0
    own = max(float(seen.mean()) - shared, 0.0)

    def misfit(slope: float) -> float:
        scale = np.exp(slope * x)
        mean = shared + own * scale / scale.mean()
        return float((np.log(mean) + seen / mean).sum())

    return float(optimize.minimize_scalar(misfit, bounds=(_STEEPEST, 0.0), method="bounded").x)


# --- worlds ----------------------------------------------------------------------------------------------


def _untreated(skeleton: _Skeleton, made: Components, *, generator: np.random.Generator) -> Floats:
    """Outcomes without exposure, shape (units, times)."""
    times = skeleton.times
    n_units, n_times = len(skeleton.units), len(times)
    levels = generator.normal(made.level, made.unit_spread, n_units)
    shocks = generator.normal(0, made.cluster_shock, (int(skeleton.clusters.max()) + 1, n_times))[skeleton.clusters]
    scale = np.exp(made.size_slope * skeleton.log_people)
    draws = generator.normal(size=(n_units, n_times))
    noise = np.empty((n_units, n_times))
    noise[:, 0] = draws[:, 0]
    for step in range(1, n_times):
        kept = made.persistence ** int(times[step] - times[step - 1])
        noise[:, step] = kept * noise[:, step - 1] + math.sqrt(1 - kept**2) * draws[:, step]
    own = made.noise * np.sqrt(scale / scale.mean())
    return levels[:, None] + np.array(made.years) + shocks + own[:, None] * noise


def _dealt(skeleton: _Skeleton, *, anticipation: int, odds: Floats, generator: np.random.Generator) -> Floats:
    """Cohort by unit: within each stratum those of its exposed units, dealt to units with a past, log odds given.

    Units are drawn one after another with chances proportional to their odds among those left: the largest of
    log odds plus Gumbel noise (Yellott 1977, "The relationship between Luce's choice axiom ...", J. Math. Psych. 15).
    """
    first = skeleton.times[np.argmax(skeleton.observed, axis=1)]
    cohorts = np.full(len(skeleton.units), np.inf)
    ranks = odds + generator.gumbel(size=len(odds))
    for stratum in np.unique(skeleton.strata):
        held = skeleton.cohorts[(skeleton.strata == stratum) & np.isfinite(skeleton.cohorts)]
        if not len(held):
            continue
        able = np.flatnonzero((skeleton.strata == stratum) & (first < held.min() - anticipation))
        if len(able) < len(held):
            raise EstimationError(
                message(
                    "a stratum has {n_exposed} exposed units and only {n_able} units with a figure before "
                    "{first:.0f}; use fewer strata",
                    n_exposed=len(held),
                    n_able=len(able),
                    first=held.min() - anticipation,
                )
            )
        chosen = able[np.argsort(-ranks[able])[: len(held)]]
        cohorts[chosen] = generator.permutation(held)
    return cohorts


def _effects(skeleton: _Skeleton, cohorts: Floats, *, effect: float, shape: Shape) -> Floats:
    """True effect by unit and time, with mean `effect` over the exposed rows that are observed."""
    exposed = skeleton.times >= cohorts[:, None]
    path = exposed.astype(float)
    if shape == "growing":
        since = skeleton.times - np.where(np.isfinite(cohorts), cohorts, 0.0)[:, None]
        path = np.where(exposed, 1.0 + since, 0.0)
    mean = path[exposed & skeleton.observed].mean() if (exposed & skeleton.observed).any() else 1.0
    return np.asarray(effect * path / mean)


def _as_sample(
    sample: Sample, skeleton: _Skeleton, *, cohorts: Floats, outcomes: Floats, settings: dict[str, Any]
) -> Sample:
    """The sample with the world's outcomes and cohorts in its rows, and made-up names."""
    frame = sample.frame.drop(columns="dose", errors="ignore")
    unit = pd.Index(skeleton.units).get_indexer(pd.Index(frame["unit"]))
    time = np.searchsorted(skeleton.times, frame["time"].to_numpy())
    of_unit = cohorts[unit]
    named: dict[str, Any] = {
        "unit": _names("simulated", unit),
        "cluster": _names("simulated cluster", skeleton.clusters[unit]),
        "outcome": outcomes[unit, time],
        "cohort": np.where(np.isfinite(of_unit), of_unit, np.nan),
        "is_simulated": True,
    }
    if "label" in frame:
        named["label"] = _names("Simulated unit", unit)
    return replace(
        sample,
        frame=frame.assign(**named),
        settings={**sample.settings, "simulated": True, **settings},
    )


def _names(prefix: str, numbers: Integers) -> pd.Index:
    """Names whose alphabetical order is that of their numbers, one a row."""
    return pd.Index([f"{prefix} {number + 1:06d}" for number in range(int(numbers.max()) + 1)]).take(numbers)


def describe(world: Sample) -> str:
    """The world in one sentence that starts with the word simulated.

    Raises
    ------
    InputError
        Where the sample is no simulated world.
    """
    settings = world.settings
    faults = Faults("sample")
    if not settings.get("simulated"):
        faults.add("it holds real figures; only a world of make_world can be described")
    faults.raise_if_any()
    return (
        f"Simulated, no figure is real: {world.n_units:,} units, {world.n_treated:,} of them exposed; "
        f"{settings['world_described']}; true effect {settings['true_effect']:+.4g} in the unit of the outcome."
    )
