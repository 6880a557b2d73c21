"""The imputation estimate, and its leads, under many assignments at once: what randomisation inference needs.

In: one outcome matrix and drawn units. Out: one number a draw. No estimator: `imputation` gives errors too.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
from scipy import sparse

from wwc_research.errors import Faults
from wwc_research.estimators.linear import Codes, Floats
from wwc_research.estimators.rows import Mask

_SINGULAR = 1e-9  # an eigenvalue this small against the mean of the diagonal leaves something unidentified
_ENTRIES = 4_000_000  # numbers held at once for a chunk of draws


@dataclass(frozen=True, slots=True, kw_only=True)
class _Panel:
    """The outcome with holes filled by zero, what is observed, the times, and the anticipation."""

    outcome: Floats
    observed: Mask
    times: Codes
    anticipation: int

    def clean(self, cohort: float) -> Mask:
        """Shape (units, times): observed and untreated, had the unit that cohort."""
        return self.observed & (self.times < cohort - self.anticipation)


def imputed_average(outcomes: Floats, *, times: Codes, drawn: Codes, cohorts: Floats, anticipation: int = 0) -> Floats:
    """The imputation estimate (aggregation `simple`) for each drawn assignment, shape (draws,).

    Equal to `imputation.estimate` on the sample so relabelled, without covariates and with equal weights. A draw
    whose untreated rows leave a time effect unidentified is NaN. Units are taken out exactly, which leaves one
    equation a time; drawn units change its terms by what is tabled once for every unit and cohort.

    Parameters
    ----------
    outcomes
        Shape (units, times), NaN where not observed.
    times
        Calendar time of each column, increasing.
    drawn
        Rows of `outcomes` that are exposed, shape (draws, treated); all other units are never exposed.
    cohorts
        First exposed time of each column of `drawn`, shape (treated,).
    anticipation
        Periods before exposure that are neither fitted nor averaged.

    Raises
    ------
    InputError
        Where the shapes do not fit together.
    """
    panel = _panel(outcomes, times=times, drawn=drawn, cohorts=cohorts, anticipation=anticipation)
    n_times = len(times)

    def features(members: Codes, cohort: float) -> Floats:
        values, clean = panel.outcome[members], panel.clean(cohort)[members]
        exposed = panel.observed[members] & (panel.times >= cohort) & clean.any(axis=1, keepdims=True)
        share = clean / np.maximum(clean.sum(axis=1, keepdims=True), 1)
        n_exposed = exposed.sum(axis=1, keepdims=True)
        raw = (values * exposed).sum(axis=1, keepdims=True) - n_exposed * (values * share).sum(axis=1, keepdims=True)
        equations = _equations(values, clean) - _equations(values, panel.observed[members])
        return np.column_stack([equations, raw, exposed - n_exposed * share, n_exposed])

    start = _equations(panel.outcome, panel.observed).sum(axis=0)
    result, done = np.full(len(drawn), np.nan), 0
    for sums in _sums(features, drawn=drawn, cohorts=cohorts, width=start.size + n_times + 2):
        equations, rest = start + sums[:, : start.size], sums[:, start.size :]
        matrix = equations[:, : n_times**2].reshape(-1, n_times, n_times)
        effects = _solved(matrix, equations[:, n_times**2 :], n_grounded=n_times)
        n_exposed = rest[:, -1]
        total = rest[:, 0] - np.einsum("dt,dt->d", rest[:, 1:-1], effects)
        np.divide(total, n_exposed, out=result[done : done + len(sums)], where=n_exposed > 0)
        done += len(sums)
    return result


def imputed_leads(
    outcomes: Floats, *, times: Codes, drawn: Codes, cohorts: Floats, leads: int, anticipation: int = 0
) -> Floats:
    """The lead coefficients of `imputation` for each drawn assignment, shape (draws, leads), nearest lead first.

    Column l - 1 is event time -l less the anticipation, NaN where a missing wave leaves no such row. A draw
    whose leads cannot be told apart from unit and time effects is NaN throughout.

    Parameters
    ----------
    outcomes, times, drawn, cohorts, anticipation
        As in `imputed_average`.
    leads
        How many periods before exposure have a lead, 1 or more.

    Raises
    ------
    InputError
        Where the shapes do not fit together.
    """
    panel = _panel(outcomes, times=times, drawn=drawn, cohorts=cohorts, anticipation=anticipation)
    event_times = np.arange(-anticipation - 1, -anticipation - 1 - leads, -1)
    seen = np.isin(event_times, times[:, None] - cohorts)
    n_times, shown = len(times), event_times[seen]
    size = n_times + len(shown)

    def features(members: Codes, cohort: float) -> Floats:
        values, clean = panel.outcome[members], panel.clean(cohort)[members]
        is_lead = (panel.times[:, None] == cohort + shown).astype(float)
        without = np.zeros((n_times, len(shown)))
        return _equations(values, clean, columns=is_lead) - _equations(values, panel.observed[members], columns=without)

    start = _equations(panel.outcome, panel.observed, columns=np.zeros((n_times, len(shown)))).sum(axis=0)
    result, done = np.full((len(drawn), leads), np.nan), 0
    for sums in _sums(features, drawn=drawn, cohorts=cohorts, width=start.size):
        equations = start + sums
        matrix = equations[:, : size**2].reshape(-1, size, size)
        solved = _solved(matrix, equations[:, size**2 :], n_grounded=n_times)
        result[done : done + len(sums), seen] = solved[:, n_times:]
        done += len(sums)
    return result


def _panel(outcomes: Floats, *, times: Codes, drawn: Codes, cohorts: Floats, anticipation: int) -> _Panel:
    faults = Faults(where="drawn assignments")
    if outcomes.ndim != 2 or outcomes.shape[1] != len(times):
        faults.add(f"outcomes has shape {outcomes.shape} for {len(times)} times; it is (units, times).")
    elif drawn.ndim != 2 or drawn.shape[1] != len(cohorts):
        faults.add(f"drawn has shape {drawn.shape} for {len(cohorts)} cohorts; it is (draws, treated).")
    elif drawn.size and not 0 <= drawn.min() <= drawn.max() < len(outcomes):
        faults.add(f"drawn has positions {drawn.min()} to {drawn.max()} in {len(outcomes)} units.")
    if (np.diff(times) <= 0).any():
        faults.add("times must increase from column to column.")
    faults.raise_if_any()
    observed = np.isfinite(outcomes)
    centre = outcomes[observed].mean() if observed.any() else 0.0
    return _Panel(
        outcome=np.where(observed, outcomes - centre, 0.0), observed=observed, times=times, anticipation=anticipation
    )


def _equations(values: Floats, clean: Mask, *, columns: Floats | None = None) -> Floats:
    """Each unit's terms in the normal equations for times and `columns`, its own effect taken out.

    Shape (units, k * k + k): the matrix row by row, then the right-hand side; k times and columns.
    """
    n_units, n_times = clean.shape
    weight = clean.astype(float)
    design = np.broadcast_to(np.eye(n_times), (n_units, n_times, n_times))
    if columns is not None:
        spread = np.broadcast_to(columns, (n_units, *columns.shape))
        design = np.concatenate([design, spread], axis=2)
    design = design * weight[:, :, None]
    count = np.maximum(weight.sum(axis=1), 1.0)
    sums = design.sum(axis=1)
    matrix = design.transpose(0, 2, 1) @ design - sums[:, :, None] * (sums / count[:, None])[:, None, :]
    means = (values * weight).sum(axis=1) / count
    right = (design * (values - means[:, None])[:, :, None]).sum(axis=1)
    return np.concatenate([matrix.reshape(n_units, sums.shape[1] ** 2), right], axis=1)


def _sums(features: Callable[[Codes, float], Floats], *, drawn: Codes, cohorts: Floats, width: int) -> Iterator[Floats]:
    """Features of the drawn units summed within each draw, a chunk of draws at a time, shape (chunk, width)."""
    tables = {}
    for cohort in np.unique(cohorts):
        members = np.unique(drawn[:, cohorts == cohort])
        tables[cohort] = members, features(members, float(cohort))
    step = max(_ENTRIES // width, 1)
    for start in range(0, len(drawn), step):
        chunk = drawn[start : start + step]
        total = np.zeros((len(chunk), width))
        for cohort, (members, table) in tables.items():
            position = np.searchsorted(members, chunk[:, cohorts == cohort])
            n_draws, n_each = position.shape
            starts = np.arange(0, position.size + 1, n_each)
            chosen = sparse.csr_array((np.ones(position.size), position.ravel(), starts), shape=(n_draws, len(members)))
            total += chosen @ table
        yield total


def _solved(matrix: Floats, right: Floats, *, n_grounded: int) -> Floats:
    """Solutions of stacked equations, NaN where singular beyond the free constant of the first `n_grounded`."""
    scale = np.einsum("dii->d", matrix) / matrix.shape[1]
    grounded = matrix.copy()
    grounded[:, :n_grounded, :n_grounded] += (scale / n_grounded)[:, None, None]
    if len(grounded) > 1 and (grounded == grounded[:1]).all():
        values, vectors = (part[None] for part in np.linalg.eigh(grounded[0]))
    else:
        values, vectors = np.linalg.eigh(grounded)
    usable = values > _SINGULAR * scale[:, None]
    turned = np.einsum("dji,dj->di", np.broadcast_to(vectors, matrix.shape), right)
    found = np.einsum("dij,dj->di", np.broadcast_to(vectors, matrix.shape), turned / np.where(usable, values, np.nan))
    return np.where(usable.all(axis=1)[:, None], found, np.nan)
