"""The imputation estimate, and its leads, under many assignments at once: what randomisation inference needs.

In: one outcome matrix and drawn units. Out: one number a draw. No estimator: `imputation` gives errors too.
"""

from __future__ import annotations

import numpy as np

from wwc_research.estimators.drawn_equations import (
    draw_sums,
    drawn_panel,
    matrices,
    solved,
    unit_equations,
)
from wwc_research.estimators.linear import Codes, Floats
from wwc_research.estimators.rows import Mask


def imputed_average(
    outcomes: Floats,
    *,
    times: Codes,
    drawn: Codes,
    cohorts: Floats,
    anticipation: int = 0,
    weights: Floats | None = None,
    covariates: Floats | None = None,
) -> Floats:
    """The imputation estimate (aggregation `simple`) for each drawn assignment, shape (draws,).

    Equal to `imputation.estimate` on the sample so relabelled. A draw whose untreated rows leave a time effect
    unidentified is NaN. Units are taken out exactly, which leaves one equation a time (and covariate); drawn units
    change its terms by what is tabled once for every unit and cohort.

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
    weights
        Shape of `outcomes`; they weigh the fit and the average. All alike by default.
    covariates
        Shape (units, covariates): fixed traits, each with an effect of its own at every time, as a sample has whose
        covariates are the traits times an indicator of every time but one.

    Raises
    ------
    InputError
        Where the shapes do not fit together.
    """
    panel = drawn_panel(
        outcomes,
        times=times,
        drawn=drawn,
        cohorts=cohorts,
        anticipation=anticipation,
        weights=weights,
        covariates=covariates,
    )

    def features(members: Codes, cohort: float) -> Floats:
        values, clean = panel.outcome[members], panel.clean(cohort)[members]
        weight = panel.weight[members]
        exposed = weight * panel.exposed(cohort)[members] * clean.any(axis=1, keepdims=True)
        share = weight * clean
        share = share / np.where(clean.any(axis=1, keepdims=True), share.sum(axis=1, keepdims=True), 1.0)
        total = exposed.sum(axis=1, keepdims=True)
        raw = (values * exposed).sum(axis=1, keepdims=True) - total * (values * share).sum(axis=1, keepdims=True)
        equations = unit_equations(panel, members, kept=clean)
        equations -= unit_equations(panel, members, kept=panel.observed[members])
        return np.column_stack([equations, raw, panel.by_traits(exposed - total * share, members), total])

    start = unit_equations(panel, np.arange(len(outcomes)), kept=panel.observed).sum(axis=0)
    result, done = np.full(len(drawn), np.nan), 0
    for sums in draw_sums(features, drawn=drawn, cohorts=cohorts, width=start.size + panel.n_effects + 2):
        matrix, right = matrices(panel, start + sums[:, : start.size])
        rest = sums[:, start.size :]
        effects = solved(matrix, right, n_grounded=panel.n_effects, n_traits=panel.traits.shape[1])
        total = rest[:, 0] - np.einsum("dt,dt->d", rest[:, 1:-1], effects)
        exposed = rest[:, -1]
        np.divide(total, exposed, out=result[done : done + len(sums)], where=exposed > 0)
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
    panel = drawn_panel(outcomes, times=times, drawn=drawn, cohorts=cohorts, anticipation=anticipation)
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
    for sums in draw_sums(features, drawn=drawn, cohorts=cohorts, width=start.size):
        equations = start + sums
        matrix = equations[:, : size**2].reshape(-1, size, size)
        found = solved(matrix, equations[:, size**2 :], n_grounded=n_times)
        result[done : done + len(sums), seen] = found[:, n_times:]
        done += len(sums)
    return result


def _equations(values: Floats, clean: Mask, *, columns: Floats) -> Floats:
    """Each unit's terms in the normal equations for times and `columns`, its own effect taken out.

    Shape (units, k * k + k): the matrix row by row, then the right-hand side; k times and columns.
    """
    n_units, n_times = clean.shape
    weight = clean.astype(float)
    design = np.broadcast_to(np.eye(n_times), (n_units, n_times, n_times))
    design = np.concatenate([design, np.broadcast_to(columns, (n_units, *columns.shape))], axis=2)
    design = design * weight[:, :, None]
    count = np.maximum(weight.sum(axis=1), 1.0)
    sums = design.sum(axis=1)
    matrix = design.transpose(0, 2, 1) @ design - sums[:, :, None] * (sums / count[:, None])[:, None, :]
    means = (values * weight).sum(axis=1) / count
    right = (design * (values - means[:, None])[:, :, None]).sum(axis=1)
    return np.concatenate([matrix.reshape(n_units, sums.shape[1] ** 2), right], axis=1)
