r"""Synthetic difference-in-differences: comparison units and earlier times weighted so that trends run together.

**Estimand.** The effect on exposed units and times. With staggered exposure each cohort $g$ has its own weights and
effect $\hat\tau_g$; the overall estimate averages them by exposed unit-times, $N_g T_g$ (`aggregation = "simple"`,
Clarke et al. 2023), or by units, $N_g$ (`group`).

**Assumptions.** Some weighted mean of comparison units would have moved in parallel with the exposed, after the
weighted past; weaker than parallel trends of all units. No effect before exposure less the anticipation; no effect on
comparison units; noise not much correlated over time.

**Equation.** $\hat\tau = \bar Y_{tr,post} - \hat\lambda'\bar Y_{tr,pre} - \sum_i\hat\omega_i(\bar Y_{i,post} -
\hat\lambda'Y_{i,pre})$. Unit weights $\hat\omega$ are on the simplex and minimise
$\sum_{t<g}(\omega_0 + \sum_i\omega_iY_{it} - \bar Y_{tr,t})^2 + \zeta^2T_{pre}\|\omega\|^2$ with
$\zeta = (N_{tr}T_{post})^{1/4}\hat\sigma$, $\hat\sigma$ the standard deviation of the comparison units' changes from
wave to wave before exposure; time weights $\hat\lambda$ minimise $\sum_i(\lambda_0 + \lambda'Y_{i,pre} -
\bar Y_{i,post})^2$ with a ridge of $10^{-6}\hat\sigma$. `weights = "sc"` (no intercept, hardly a ridge, no time
weights: synthetic control) and `"did"` (all equal) are the two neighbours in Arkhangelsky et al.'s Table 1. Covariates
are taken out first by a regression with unit and time effects on rows not exposed.

**Standard errors.** `placebo` (default): the exposure paths are dealt to comparison units by lot, `draws` times, and
everything is estimated anew with the ridges of the data; the standard deviation of those estimates. It needs more
comparison than exposed units and rests on equal noise in both. `settings["placebo_p_value"]` is the share of placebos
at least as large. `bootstrap` draws clusters; `jackknife` leaves clusters out with weights held, and is undefined
where a cohort is a single cluster; the bootstrap is undefined where all exposed units are. Normal inference.
Event-study errors come from the same draws.

**Edge cases.** Comparison units are never exposed, or under `comparison = "not_yet"` also first exposed after the
last wave (less the anticipation). Waves and complete units by the rule of `wide_panel`, losses counted; a missing
wave is no wave. Cohorts with fewer than two waves before exposure are left out and counted, and so are all
waves inside the anticipation window of each cohort. Event times before exposure are measured against the weighted
past, to which the weights were fitted: they show the fit and are no test. Sample weights are refused.

**Reference.** Arkhangelsky, Athey, Hirshberg, Imbens and Wager (2021), "Synthetic difference-in-differences", American
Economic Review 111(12), algorithms 1 to 4; Clarke, Pailañir, Athey and Imbens (2023), "Synthetic difference in
differences estimation", arXiv 2301.11859; Ciccia (2024), arXiv 2407.09565 (event study). Numbers: R synthdid 0.0.9 on
Proposition 99 (-15.604; synthetic control -19.620; difference-in-differences -27.349).

**Deviations.** `solver = "exact"` (default) solves both weight problems to machine precision; R stops Frank-Wolfe
early and drops small weights in between, which `solver = "frank_wolfe"` does by the same rule. On Proposition 99 the
exact answers are -15.6054 and, for synthetic control, -19.5136. Bootstrap and jackknife go by cluster, R by unit.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any, Literal, get_args

import numpy as np

from wwc_research.design.sample import Sample
from wwc_research.errors import EstimationError, InputError
from wwc_research.estimators import linear
from wwc_research.estimators.estimate import Estimate, EventTerm, GroupTimeTerm
from wwc_research.estimators.linear import Codes, Floats
from wwc_research.estimators.options import Option, checked
from wwc_research.estimators.rows import Mask, Rows, losses, read_rows
from wwc_research.estimators.simplex import frank_wolfe_weights, least_squares_weights
from wwc_research.estimators.wide_panel import WidePanel, wide_panel
from wwc_research.inference import NAN
from wwc_research.messages import message

NAME = "synthetic_did"
Weights = Literal["sdid", "sc", "did"]
Solver = Literal["exact", "frank_wolfe"]
StdErrors = Literal["placebo", "bootstrap", "jackknife", "none"]
Aggregation = Literal["simple", "group"]
FEWEST_DRAWS = 20
OPTIONS = (
    Option(
        name="weights",
        meaning="synthetic difference-in-differences, or its neighbours synthetic control and plain differences.",
        default="sdid",
        allowed=get_args(Weights),
    ),
    Option(
        name="std_errors",
        meaning="placebo exposure of comparison units, bootstrap or jackknife of clusters, or none.",
        default="placebo",
        allowed=get_args(StdErrors),
    ),
    Option(name="draws", meaning="how many placebos or bootstrap samples are drawn.", default=200),
    Option(name="seed", meaning="where the random numbers start.", default=0),
    Option(
        name="aggregation",
        meaning="whether cohorts count by exposed unit-times or by units.",
        default="simple",
        allowed=get_args(Aggregation),
    ),
    Option(
        name="solver",
        meaning="weights solved exactly, or stopped early as in R's synthdid.",
        default="exact",
        allowed=get_args(Solver),
    ),
)
_RULES: dict[str, str] = {
    "placebo": "placebo exposure of comparison units, ridges of the data, normal",
    "bootstrap": "bootstrap of clusters, ridges of the data, normal",
    "jackknife": "jackknife of clusters with weights held, normal",
    "none": "none",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class _Cohort:
    """Units first exposed at one time, as positions in the panel, and the waves they are compared over.

    `noise` is the spread of comparison units' changes before exposure, `zeta` the ridge on unit weights.
    """

    first: int
    members: Codes
    before: Codes
    after: Codes
    noise: float
    zeta: float


@dataclass(frozen=True, slots=True, kw_only=True)
class _Fit:
    """Effect of one cohort at every wave (NaN in the anticipation window), with the weights behind it."""

    path: Floats
    effect: float
    omega: Floats
    lam: Floats


def estimate(
    sample: Sample,
    *,
    weights: Weights | None = None,
    std_errors: StdErrors | None = None,
    draws: int | None = None,
    seed: int | None = None,
    aggregation: Aggregation | None = None,
    solver: Solver | None = None,
) -> Estimate:
    """The effect on the exposed against comparison units and times weighted to run parallel before exposure.

    Parameters
    ----------
    sample
        Checked rows; `covariates`, `comparison` and `anticipation` are honoured, weights other than one refused.
    weights, std_errors, draws, seed, aggregation, solver
        See `OPTIONS`; the same seed gives the same standard error.

    Raises
    ------
    InputError
        For options that are not offered, too few draws, or sample weights.
    EstimationError
        Where no cohort has two waves before exposure, or there is no unexposed complete unit.
    """
    options = checked(
        {
            "weights": weights,
            "std_errors": std_errors,
            "draws": draws,
            "seed": seed,
            "aggregation": aggregation,
            "solver": solver,
        },
        declared=OPTIONS,
        estimator=NAME,
    )
    if int(options["draws"] or 0) < FEWEST_DRAWS:
        raise InputError(f"{NAME}: draws = {options['draws']}; take {FEWEST_DRAWS} or more.")
    rows = read_rows(sample)
    if np.ptp(rows.weight) > 0:
        raise InputError(f"{NAME}: takes no sample weights, its own weights take their place; leave them out.")
    rows, dropped = _without_covariates(_comparable(rows))
    panel = wide_panel(rows)
    panel, cohorts, donors = _cohorts(panel)
    study = _Study(panel=panel, cohorts=cohorts, donors=donors, options=options)
    fits = [study.fit(cohort, donors=donors) for cohort in cohorts]
    shares = study.shares(study.sizes)
    overall = float(shares @ [fit.effect for fit in fits])
    drawn = study.drawn(fits)
    events = study.event_times
    paths = np.array([fit.path for fit in fits])
    return Estimate(
        estimator=NAME,
        estimand=message("effect on the exposed, averaged over cohorts by exposed unit-times")
        if options["aggregation"] == "simple"
        else message("effect on the exposed, averaged over cohorts by units"),
        estimate=overall,
        std_error=study.spread(drawn.overall),
        n_obs=len(panel.rows.outcome),
        n_units=panel.rows.n_units,
        n_treated=panel.rows.n_treated,
        n_clusters=panel.rows.n_clusters,
        event_study=tuple(
            EventTerm(event_time=int(at), estimate=float(value), std_error=study.spread(column))
            for at, value, column in zip(events, study.by_event_time(paths, study.sizes), drawn.terms.T, strict=True)
        ),
        group_time=tuple(study.group_time_terms(paths)),
        exclusions=panel.rows.exclusions,
        settings={
            **sample.settings,
            **options,
            "std_errors_rule": _RULES[str(options["std_errors"])],
            "comparison": panel.rows.comparison,
            "anticipation": panel.rows.anticipation,
            "dropped_covariates": dropped,
            "n_comparison": len(donors),
            "usable_draws": int(np.isfinite(drawn.overall).sum()),
            "placebo_p_value": study.placebo_p_value(drawn.overall, overall),
            "cohorts": [
                study.described(cohort, fit, float(share))
                for cohort, fit, share in zip(cohorts, fits, shares, strict=True)
            ],
        },
    )


def _comparable(rows: Rows) -> Rows:
    """Exposed units and those never exposed in sight; units in between are left out."""
    last = int(rows.time.max())
    late = np.isfinite(rows.cohort) & (rows.cohort > last) & (rows.cohort - rows.anticipation <= last)
    return rows.without(
        late, reason=message("first exposed after the last wave, which lies in its anticipation window")
    )


def _without_covariates(rows: Rows) -> tuple[Rows, list[str]]:
    """Rows with the part of the outcome that covariates explain taken out, and the covariates that explain nothing."""
    if not rows.covariate_names:
        return rows, []
    clean = rows.time < rows.cohort - rows.anticipation
    fit = linear.fit(
        rows.outcome[clean],
        rows.covariates[clean],
        effects=(rows.unit[clean], rows.period[clean]),
        errors=linear.ErrorModel(kind="iid"),
        optional_from=0,
    )
    kept = np.delete(rows.covariates, fit.dropped, axis=1)
    dropped = [rows.covariate_names[position] for position in fit.dropped]
    return replace(rows, outcome=rows.outcome - kept @ fit.coefficients), dropped


def _cohorts(panel: WidePanel) -> tuple[WidePanel, tuple[_Cohort, ...], Codes]:
    """The cohorts that can be estimated, and the positions of the units that compare; the rest is counted out."""
    lead, last = panel.rows.anticipation, int(panel.times[-1])
    is_donor = panel.cohort > last
    usable = is_donor.copy()
    for first in np.unique(panel.cohort[~is_donor]):
        usable |= (panel.cohort == first) & (np.sum(panel.times < first - lead) >= 2)
    if not usable.all():
        rows = panel.rows.without(
            panel.rows.of_units(~usable),
            reason=message("exposed after fewer than two waves: no change before exposure to fit"),
        )
        panel = wide_panel(rows) if rows.unit.size else panel
        is_donor = panel.cohort > last
    donors = np.flatnonzero(is_donor)
    if not len(donors) or is_donor.all() or not usable.any():
        lost = losses(panel.rows.exclusions)
        raise EstimationError(
            message(
                "{estimator}: {n_donors} complete comparison units and {n_exposed} complete exposed ones are "
                "left (left out: {lost}); narrow the window to years that most units have, or add places never "
                "exposed.",
                estimator=NAME,
                n_donors=len(donors),
                n_exposed=int((~is_donor).sum()),
                lost=lost,
            )
        )
    cohorts = []
    for first in np.unique(panel.cohort[~is_donor]):
        members = np.flatnonzero(panel.cohort == first)
        before, after = np.flatnonzero(panel.times < first - lead), np.flatnonzero(panel.times >= first)
        changes = np.diff(panel.outcome[np.ix_(donors, before)], axis=1)
        noise = float(changes.std(ddof=1)) if changes.size > 1 else 0.0
        if noise <= 1e-12 * float(np.abs(panel.outcome).max()):
            noise = 0.0
        zeta = (len(members) * len(after)) ** 0.25 * noise
        cohorts.append(_Cohort(first=int(first), members=members, before=before, after=after, noise=noise, zeta=zeta))
    return panel, tuple(cohorts), donors


@dataclass(frozen=True, slots=True, kw_only=True)
class _Draws:
    """Overall estimates (draws,) and event-study terms (draws, event times); for the jackknife, scaled to be draws."""

    overall: Floats
    terms: Floats


@dataclass(frozen=True, slots=True, kw_only=True)
class _Study:
    """One panel with its cohorts and comparison units, estimated and drawn by the same rules."""

    panel: WidePanel
    cohorts: tuple[_Cohort, ...]
    donors: Codes
    options: dict[str, str | int | None]

    def fit(self, cohort: _Cohort, *, donors: Codes, members: Codes | None = None, start: Floats | None = None) -> _Fit:
        """Weights and effects of one cohort; `donors` and `members` may repeat units (bootstrap)."""
        members = cohort.members if members is None else members
        control = self.panel.outcome[donors]
        treated = self.panel.outcome[members].mean(axis=0)
        past, target = control[:, cohort.before], treated[cohort.before]
        level = past.mean()  # weights do not depend on it; taken out for precision
        past, target, later = past - level, target - level, control[:, cohort.after].mean(axis=1) - level
        lam = self._time_weights(cohort, past, later)
        omega = self._unit_weights(cohort, past, target, start=start)
        gap = treated - omega @ control
        path = np.full(len(gap), NAN)
        shown = np.concatenate([cohort.before, cohort.after])
        path[shown] = gap[shown] - gap[cohort.before] @ lam
        return _Fit(path=path, effect=float(path[cohort.after].mean()), omega=omega, lam=lam)

    def _time_weights(self, cohort: _Cohort, past: Floats, later: Floats) -> Floats:
        n_before = len(cohort.before)
        kind = self.options["weights"]
        if kind == "sc":
            return np.zeros(n_before)
        if kind == "did" or cohort.noise == 0:
            return np.full(n_before, 1 / n_before)
        matrix, target = past - past.mean(axis=0), later - later.mean()
        return self._solved(matrix, target, zeta=1e-6 * cohort.noise, noise=cohort.noise)

    def _unit_weights(self, cohort: _Cohort, past: Floats, target: Floats, *, start: Floats | None) -> Floats:
        n = len(past)
        kind = self.options["weights"]
        if kind == "did" or cohort.noise == 0:
            return np.full(n, 1 / n)
        if kind == "sc":
            return self._solved(past.T, target, zeta=1e-6 * cohort.noise, noise=cohort.noise, start=start)
        centred, aim = (past - past.mean(axis=1, keepdims=True)).T, target - target.mean()
        return self._solved(centred, aim, zeta=cohort.zeta, noise=cohort.noise, start=start)

    def _solved(
        self, matrix: Floats, target: Floats, *, zeta: float, noise: float, start: Floats | None = None
    ) -> Floats:
        """Weights of least squares with ridge zeta squared times the rows of `matrix`."""
        if self.options["solver"] == "frank_wolfe":
            decrease = 1e-5 * noise
            rough = frank_wolfe_weights(matrix, target, zeta=zeta, least_decrease=decrease, most_steps=100, start=start)
            sparse = np.where(rough <= rough.max() / 4, 0.0, rough)
            return frank_wolfe_weights(
                matrix,
                target,
                zeta=zeta,
                least_decrease=decrease,
                most_steps=10_000,
                start=sparse / sparse.sum(),
            )
        ridge = zeta**2 * len(matrix)
        if len(matrix) > matrix.shape[1] + 1:
            upper: Floats = np.asarray(np.linalg.qr(np.column_stack([matrix, target]), mode="r"))
            matrix, target = upper[:, :-1], upper[:, -1]
        return least_squares_weights(matrix, target, ridge=ridge)

    def shares(self, sizes: Floats) -> Floats:
        """Share of each cohort in the overall estimate, for cohorts of these sizes; shape (..., cohorts)."""
        lengths = [len(cohort.after) if self.options["aggregation"] == "simple" else 1 for cohort in self.cohorts]
        weights = sizes * np.array(lengths, dtype=float)
        return np.asarray(weights / weights.sum(axis=-1, keepdims=True), dtype=float)

    @property
    def sizes(self) -> Floats:
        """Units of each cohort."""
        return np.array([len(cohort.members) for cohort in self.cohorts], dtype=float)

    @property
    def event_times(self) -> Codes:
        """Event times at which some cohort has an effect."""
        offsets = [
            self.panel.times[np.concatenate([cohort.before, cohort.after])] - cohort.first for cohort in self.cohorts
        ]
        return np.unique(np.concatenate(offsets))

    def by_event_time(self, paths: Floats, sizes: Floats) -> Floats:
        """Mean effect at each event time, cohorts by their units; shapes (..., cohorts, waves) and (..., cohorts)."""
        events = self.event_times
        total, mass = np.zeros((*sizes.shape[:-1], len(events))), np.zeros((*sizes.shape[:-1], len(events)))
        for number, cohort in enumerate(self.cohorts):
            seen = np.concatenate([cohort.before, cohort.after])
            at = np.searchsorted(events, self.panel.times[seen] - cohort.first)
            weight = sizes[..., number, None]
            total[..., at] += np.where(weight > 0, weight * paths[..., number, seen], 0.0)
            mass[..., at] += weight
        return np.divide(total, mass, out=np.full(mass.shape, NAN), where=mass > 0)

    def group_time_terms(self, paths: Floats) -> Iterator[GroupTimeTerm]:
        """Effect of every cohort at every wave; standard errors are of the averages only."""
        for cohort, path in zip(self.cohorts, paths, strict=True):
            for at in np.flatnonzero(np.isfinite(path)):
                yield GroupTimeTerm(
                    cohort=cohort.first,
                    time=int(self.panel.times[at]),
                    estimate=float(path[at]),
                    std_error=NAN,
                    n_treated=len(cohort.members),
                    n_comparison=len(self.donors),
                )

    def described(self, cohort: _Cohort, fit: _Fit, share: float) -> dict[str, Any]:
        """Plain values on one cohort: effect, share, and how many units and waves its weights amount to."""
        gap = fit.path[cohort.before]
        return {
            "cohort": cohort.first,
            "estimate": fit.effect,
            "share": share,
            "n_treated": len(cohort.members),
            "waves_before": len(cohort.before),
            "waves_after": len(cohort.after),
            "ridge": cohort.zeta,
            "effective_comparison": float(1 / np.sum(fit.omega**2)),
            "time_weights": {int(self.panel.times[at]): float(w) for at, w in zip(cohort.before, fit.lam, strict=True)},
            "pre_rmse": float(np.sqrt(np.mean((gap - gap.mean()) ** 2))),
        }

    def drawn(self, fits: list[_Fit]) -> _Draws:
        """Estimates under the asked resampling; none where there is none."""
        kinds: dict[str, Callable[[list[_Fit]], _Draws]] = {
            "placebo": self._placebos,
            "bootstrap": self._bootstrap,
            "jackknife": self._jackknife,
        }
        kind = kinds.get(str(self.options["std_errors"]))
        if kind is None or all(cohort.noise == 0 for cohort in self.cohorts):
            return _Draws(overall=np.zeros(0), terms=np.zeros((0, len(self.event_times))))
        return kind(fits)

    def spread(self, values: Floats) -> float:
        """Standard error from the draws, with the factor (draws - 1)/draws of R's synthdid; NaN below three draws."""
        usable = values[np.isfinite(values)]
        if self.options["std_errors"] == "jackknife":
            return (
                float(np.sqrt(np.sum((values - values.mean()) ** 2) * (len(values) - 1) / len(values)))
                if len(values)
                else NAN
            )
        if len(usable) < 3:
            return NAN
        result = float(usable.std(ddof=0))
        return result if result > 0 else NAN

    def placebo_p_value(self, drawn: Floats, effect: float) -> float | None:
        """Share of placebos, the data counted among them, at least as far from zero; None without placebos."""
        if self.options["std_errors"] != "placebo" or not len(drawn):
            return None
        return float((1 + np.sum(np.abs(drawn) >= abs(effect) * (1 - 1e-10))) / (1 + len(drawn)))

    def _generator(self) -> np.random.Generator:
        return np.random.default_rng(int(self.options["seed"] or 0))

    def _placebos(self, fits: list[_Fit]) -> _Draws:
        """Exposure paths dealt to comparison units: algorithm 4, cohorts together as in Clarke et al. (2023)."""
        sizes = self.sizes
        n_treated, n = int(sizes.sum()), len(self.donors)
        if n <= n_treated:
            return _Draws(overall=np.zeros(0), terms=np.zeros((0, len(self.event_times))))
        generator, cuts = self._generator(), np.cumsum(sizes.astype(int))[:-1]
        shares, overall, terms = self.shares(sizes), [], []
        for _ in range(int(self.options["draws"] or 0)):
            dealt = generator.permutation(n)
            kept = np.sort(dealt[n_treated:])
            refits = [
                self.fit(
                    cohort,
                    donors=self.donors[kept],
                    members=self.donors[members],
                    start=_normalised(fit.omega[kept]),
                )
                for cohort, fit, members in zip(self.cohorts, fits, np.split(dealt[:n_treated], cuts), strict=True)
            ]
            overall.append(float(shares @ [fit.effect for fit in refits]))
            terms.append(self.by_event_time(np.array([fit.path for fit in refits]), sizes))
        return _Draws(overall=np.array(overall), terms=np.array(terms))

    def _bootstrap(self, fits: list[_Fit]) -> _Draws:
        """Clusters drawn with replacement: algorithm 2; draws without exposed or comparison units are drawn again."""
        exposed = np.unique(self.panel.cluster[np.isin(np.arange(len(self.panel.cohort)), self.donors, invert=True)])
        if len(exposed) < 2:
            return _Draws(overall=np.zeros(0), terms=np.zeros((0, len(self.event_times))))
        generator = self._generator()
        groups = [np.flatnonzero(self.panel.cluster == code) for code in range(int(self.panel.cluster.max()) + 1)]
        place = np.full(len(self.panel.cohort), -1)
        place[self.donors] = np.arange(len(self.donors))
        overall: list[float] = []
        terms: list[Floats] = []
        tries = 0
        draws = int(self.options["draws"] or 0)
        while len(overall) < draws and tries < 20 * draws:
            tries += 1
            units = np.concatenate([groups[code] for code in generator.integers(len(groups), size=len(groups))])
            members = [np.sort(units[self.panel.cohort[units] == cohort.first]) for cohort in self.cohorts]
            positions = np.sort(place[units][place[units] >= 0])
            if not len(positions) or not sum(map(len, members)):
                continue
            sizes, effects = np.array([float(len(chosen)) for chosen in members]), np.zeros(len(members))
            paths = np.full((len(members), len(self.panel.times)), NAN)
            for number, (cohort, fit, chosen) in enumerate(zip(self.cohorts, fits, members, strict=True)):
                if len(chosen):
                    start = _normalised(fit.omega[positions])
                    refit = self.fit(cohort, donors=self.donors[positions], members=chosen, start=start)
                    effects[number], paths[number] = refit.effect, refit.path
            overall.append(float(self.shares(sizes) @ effects))
            terms.append(self.by_event_time(paths, sizes))
        return _Draws(overall=np.array(overall), terms=np.array(terms))

    def _jackknife(self, fits: list[_Fit]) -> _Draws:
        """Estimates without each cluster in turn, weights held and scaled to one: algorithm 3."""
        n_clusters = int(self.panel.cluster.max()) + 1
        n_waves = len(self.panel.times)
        paths = np.full((n_clusters, len(self.cohorts), n_waves), NAN)
        sizes = np.zeros((n_clusters, len(self.cohorts)))
        for number, (cohort, fit) in enumerate(zip(self.cohorts, fits, strict=True)):
            treated = _left_out(self.panel, cohort.members, np.ones(len(cohort.members)), n_clusters)
            control = _left_out(self.panel, self.donors, fit.omega, n_clusters)
            gap = treated - control
            shown: Mask = np.isfinite(fit.path)
            paths[:, number, shown] = (gap - gap[:, cohort.before] @ fit.lam[:, None])[:, shown]
            sizes[:, number] = len(cohort.members) - np.bincount(
                self.panel.cluster[cohort.members], minlength=n_clusters
            )
        if (sizes == 0).any():
            return _Draws(overall=np.full(n_clusters, NAN), terms=np.full((n_clusters, len(self.event_times)), NAN))
        effects = [paths[:, number, cohort.after].mean(axis=1) for number, cohort in enumerate(self.cohorts)]
        overall = np.einsum("ij,ij->i", self.shares(sizes), np.column_stack(effects))
        return _Draws(overall=overall, terms=self.by_event_time(paths, sizes))


def _left_out(panel: WidePanel, units: Codes, weights: Floats, n_clusters: int) -> Floats:
    """Weighted mean path of the units without each cluster in turn: shape (clusters, waves); NaN where none is left."""
    weighted = np.zeros((n_clusters, len(panel.times)))
    np.add.at(weighted, panel.cluster[units], weights[:, None] * panel.outcome[units])
    mass = np.bincount(panel.cluster[units], weights=weights, minlength=n_clusters)
    left = weights.sum() - mass
    left = np.where(left > 1e-12 * weights.sum(), left, NAN)
    return np.asarray((weighted.sum(axis=0) - weighted) / left[:, None], dtype=float)


def _normalised(weights: Floats) -> Floats:
    """Weights that sum to one, all equal where they sum to nothing."""
    total = float(weights.sum())
    if not math.isfinite(total) or total <= 0:
        return np.full(len(weights), 1 / len(weights))
    return np.asarray(weights / total, dtype=float)
