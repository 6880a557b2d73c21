"""Normal equations of time effects, for every draw of who is exposed: unit effects taken out, draws only change sums.

In: an outcome matrix, weights, unit traits and drawn units. Out: sums a draw, and solutions. No estimator.
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
_RETURNED = 1e-6  # how near a known solution must come back: singular systems miss it by far
_ENTRIES = 1_000_000  # numbers held at once for a chunk of draws
_FEW = 24  # up to this size eigenvalues are cheaper than they are useful to avoid


@dataclass(frozen=True, slots=True, kw_only=True)
class DrawnPanel:
    """What stays the same from draw to draw.

    Attributes
    ----------
    outcome
        Shape (units, times), less a constant, zero where not observed.
    weight
        Shape (units, times), zero where not observed.
    times, anticipation
        Calendar time of each column; periods before exposure that are not clean.
    traits
        Shape (units, 1 + covariates), the first column 1: each has an effect of its own at every time.
    """

    outcome: Floats
    weight: Floats
    times: Codes
    anticipation: int
    traits: Floats

    @property
    def observed(self) -> Mask:
        """Shape (units, times)."""
        return np.asarray(self.weight > 0, dtype=bool)

    @property
    def n_effects(self) -> int:
        """Number of time effects: one a time and trait."""
        return len(self.times) * self.traits.shape[1]

    def clean(self, cohort: float) -> Mask:
        """Shape (units, times): observed and untreated, had the unit that cohort."""
        return self.observed & (self.times < cohort - self.anticipation)

    def exposed(self, cohort: float) -> Mask:
        """Shape (units, times): observed and exposed, had the unit that cohort."""
        return self.observed & (self.times >= cohort)

    def by_traits(self, values: Floats, members: Codes) -> Floats:
        """Values at each time by each trait, shape (members, times x traits): columns as the solutions have them."""
        return (values[:, :, None] * self.traits[members][:, None, :]).reshape(len(members), self.n_effects)


def drawn_panel(
    outcomes: Floats,
    *,
    times: Codes,
    drawn: Codes,
    cohorts: Floats,
    anticipation: int = 0,
    weights: Floats | None = None,
    covariates: Floats | None = None,
) -> DrawnPanel:
    """The panel behind drawn assignments, checked.

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
        Periods before exposure in which the outcome may already respond.
    weights
        Shape of `outcomes`, positive where observed; all alike by default.
    covariates
        Shape (units, covariates), finite: each has an effect of its own at every time. None by default.

    Raises
    ------
    InputError
        Where the shapes do not fit together, or weights are not positive: all faults at once.
    """
    observed = np.isfinite(outcomes)
    weight = np.ones(outcomes.shape) if weights is None else weights
    extra = np.zeros((len(outcomes), 0)) if covariates is None else covariates
    faults = Faults(where="drawn assignments")
    if outcomes.ndim != 2 or outcomes.shape[1] != len(times):
        faults.add(f"outcomes has shape {outcomes.shape} for {len(times)} times; it is (units, times).")
    elif drawn.ndim != 2 or drawn.shape[1] != len(cohorts):
        faults.add(f"drawn has shape {drawn.shape} for {len(cohorts)} cohorts; it is (draws, treated).")
    elif drawn.size and not 0 <= drawn.min() <= drawn.max() < len(outcomes):
        faults.add(f"drawn has positions {drawn.min()} to {drawn.max()} in {len(outcomes)} units.")
    if weight.shape != outcomes.shape:
        faults.add(f"weights has shape {weight.shape} for outcomes of {outcomes.shape}; it is (units, times).")
    elif not (np.isfinite(weight[observed]).all() and (weight[observed] > 0).all()):
        faults.add("weights must be positive numbers wherever an outcome is observed.")
    if extra.ndim != 2 or len(extra) != len(outcomes) or not np.isfinite(extra).all():
        faults.add(f"covariates has shape {extra.shape} for {len(outcomes)} units; it is finite, (units, covariates).")
    if (np.diff(times) <= 0).any():
        faults.add("times must increase from column to column.")
    faults.raise_if_any()
    centre = outcomes[observed].mean() if observed.any() else 0.0
    return DrawnPanel(
        outcome=np.where(observed, outcomes - centre, 0.0),
        weight=np.where(observed, weight, 0.0),
        times=times,
        anticipation=anticipation,
        traits=np.column_stack([np.ones(len(outcomes)), extra]),
    )


def unit_equations(panel: DrawnPanel, members: Codes, *, kept: Mask) -> Floats:
    """Each member's terms in the normal equations for the time effects on its kept rows, its own effect taken out.

    Shape (members, terms): the matrix is a product of a part by times and one by traits, both symmetric, of which
    the upper halves are stored; then the right-hand side. `kept` has shape (members, times). Sums over units are
    read by `matrices`.
    """
    weight = panel.weight[members] * kept
    total = np.maximum(weight.sum(axis=1, keepdims=True), np.finfo(float).tiny)
    first, second = np.triu_indices(weight.shape[1])
    by_times = -weight[:, first] * (weight / total)[:, second]
    by_times[:, first == second] += weight
    left, right = np.triu_indices(panel.traits.shape[1])
    traits = panel.traits[members]
    by_pair = traits[:, left] * traits[:, right]
    matrix = (by_times[:, :, None] * by_pair[:, None, :]).reshape(len(members), len(first) * len(left))
    means = (weight * panel.outcome[members]).sum(axis=1, keepdims=True) / total
    response = weight * (panel.outcome[members] - means)
    return np.concatenate([matrix, panel.by_traits(response, members)], axis=1)


def matrices(panel: DrawnPanel, sums: Floats) -> tuple[Floats, Floats]:
    """Matrices and right-hand sides of summed `unit_equations`, shapes (draws, k, k) and (draws, k)."""
    n_times, n_traits, size = len(panel.times), panel.traits.shape[1], panel.n_effects
    by_times, by_pair = (_symmetric_positions(n) for n in (n_times, n_traits))
    n_pairs = n_traits * (n_traits + 1) // 2
    position = by_times[:, None, :, None] * n_pairs + by_pair[None, :, None, :]
    n_terms = n_times * (n_times + 1) // 2 * n_pairs
    matrix = sums[:, :n_terms][:, position.reshape(-1)].reshape(len(sums), size, size)
    return matrix, sums[:, n_terms : n_terms + size]


def _symmetric_positions(n: int) -> Codes:
    """Where each entry of a symmetric matrix stands among those of its upper half."""
    result = np.zeros((n, n), dtype=np.int64)
    upper = np.triu_indices(n)
    result[upper] = result.T[upper] = np.arange(len(upper[0]))
    return result


def draw_sums(
    features: Callable[[Codes, float], Floats], *, drawn: Codes, cohorts: Floats, width: int
) -> Iterator[Floats]:
    """Features of the drawn units summed within each draw, a chunk of draws at a time, shape (chunk, width).

    `features` gives those of units had they a cohort, shape (units, width): tabled once for every unit and cohort.
    """
    tables = {}
    for cohort in np.unique(cohorts):
        members = np.unique(drawn[:, cohorts == cohort])
        tables[cohort] = members, features(members, float(cohort))
    step = max(_ENTRIES // width, 1)  # few enough to stay near the processor
    for start in range(0, len(drawn), step):
        chunk = drawn[start : start + step]
        total = np.zeros((len(chunk), width))
        for cohort, (members, table) in tables.items():
            total += member_sums(table, np.searchsorted(members, chunk[:, cohorts == cohort]))
        yield total


def member_sums(table: Floats, position: Codes) -> Floats:
    """Rows of a table summed within each draw; `position` has shape (draws, members), the result (draws, columns)."""
    starts = np.arange(0, position.size + 1, max(position.shape[1], 1))[: len(position) + 1]
    chosen = sparse.csr_array((np.ones(position.size), position.ravel(), starts), shape=(len(position), len(table)))
    return np.asarray(chosen @ table)


def solved(matrix: Floats, right: Floats, *, n_grounded: int, n_traits: int = 1) -> Floats:
    """Solutions of stacked equations, shape (draws, k); NaN where something is not identified.

    The first `n_grounded` unknowns are effects by time and trait, of which a constant over time is free for each
    of `n_traits`: it is set by grounding, and drops out of everything that is made of the solutions.
    """
    if not len(matrix):
        return right.copy()
    size, n_times = matrix.shape[1], n_grounded // n_traits
    scale = np.einsum("dii->d", matrix) / size
    tied = np.zeros((size, size))
    tied[:n_grounded, :n_grounded] = np.kron(np.ones((n_times, n_times)), np.eye(n_traits)) / n_times
    grounded = matrix + scale[:, None, None] * tied
    same = len(grounded) > 1 and bool((grounded[1:] == grounded[:1]).all())
    if same or size <= _FEW:
        return _by_eigenvalues(grounded[:1] if same else grounded, right, scale=scale)
    # a solution known beforehand must come back, or rounding has eaten the one that is asked for
    known = np.linspace(1.0, 2.0, size)
    both = np.stack([right, grounded @ known], axis=2)
    try:
        found = np.linalg.solve(grounded, both)
    except np.linalg.LinAlgError:  # one draw is singular to the last bit, and numpy does not say which
        return _by_eigenvalues(grounded, right, scale=scale)
    returned = np.abs(found[:, :, 1] - known).max(axis=1) < _RETURNED
    return np.where(returned[:, None], found[:, :, 0], np.nan)


def _by_eigenvalues(grounded: Floats, right: Floats, *, scale: Floats) -> Floats:
    """Solutions where one matrix, or one a draw, is turned to its eigenvectors; NaN where an eigenvalue vanishes."""
    values, vectors = np.linalg.eigh(grounded)
    usable = values > _SINGULAR * scale[: len(values), None]
    inverse = np.where(usable, values, np.nan)
    if len(values) == 1 and len(right) > 1:
        found = (right @ vectors[0] / inverse) @ vectors[0].T
        return found if bool(usable.all()) else np.full_like(found, np.nan)
    found = np.einsum("dij,dj->di", vectors, np.einsum("dji,dj->di", vectors, right) / inverse)
    found[~np.asarray(usable.all(axis=1))] = np.nan
    return found
