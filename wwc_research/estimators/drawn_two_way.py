"""The two-way fixed-effects estimate under many assignments at once, by Frisch, Waugh and Lovell.

In: one outcome matrix and drawn units. Out: one number a draw. No estimator: `two_way_fe` gives errors too.
"""

from __future__ import annotations

import numpy as np

from wwc_research.estimators.drawn_equations import draw_sums, drawn_panel, matrices, solved, unit_equations
from wwc_research.estimators.linear import Codes, Floats

_COLLINEAR = 1e-9  # share of the variation of exposure that the effects leave; less is rounding


def two_way_coefficients(
    outcomes: Floats,
    *,
    times: Codes,
    drawn: Codes,
    cohorts: Floats,
    anticipation: int = 0,
    weights: Floats | None = None,
    covariates: Floats | None = None,
) -> Floats:
    r"""The coefficient of exposure with unit and time effects for each drawn assignment, shape (draws,).

    Equal to `two_way_fe.estimate` on the sample so relabelled: drawn units without a row before exposure (less the
    anticipation) leave the regression, and so do rows inside the anticipation window. With $M$ the projection off
    all effects it is $D'My / D'MD$ (Frisch and Waugh 1933, Econometrica 1(4)). A draw whose exposure the effects
    explain is NaN.

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
        Periods before exposure that are left out.
    weights
        Shape of `outcomes`; all alike by default.
    covariates
        Shape (units, covariates): fixed traits, each with an effect of its own at every time.

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
        clean, exposed = panel.clean(cohort)[members], panel.exposed(cohort)[members]
        has_past = clean.any(axis=1, keepdims=True)
        kept = (clean | exposed) & has_past
        weight = panel.weight[members] * kept
        treated = weight * exposed
        share = weight / np.where(has_past, weight.sum(axis=1, keepdims=True), 1.0)
        total = treated.sum(axis=1, keepdims=True)
        own = total - total * (share * exposed).sum(axis=1, keepdims=True)
        values = panel.outcome[members]
        product = (treated * values).sum(axis=1, keepdims=True) - total * (share * values).sum(axis=1, keepdims=True)
        equations = unit_equations(panel, members, kept=kept)
        equations -= unit_equations(panel, members, kept=panel.observed[members])
        return np.column_stack([equations, own, product, panel.by_traits(treated - total * share, members)])

    start = unit_equations(panel, np.arange(len(outcomes)), kept=panel.observed).sum(axis=0)
    result, done = np.full(len(drawn), np.nan), 0
    for sums in draw_sums(features, drawn=drawn, cohorts=cohorts, width=start.size + panel.n_effects + 2):
        matrix, response = matrices(panel, start + sums[:, : start.size])
        own, product, load = sums[:, start.size], sums[:, start.size + 1], sums[:, start.size + 2 :]
        explained = solved(matrix, load, n_grounded=panel.n_effects, n_traits=panel.traits.shape[1])
        left = own - np.einsum("dt,dt->d", load, explained)
        found = product - np.einsum("dt,dt->d", response, explained)
        usable = left > _COLLINEAR * np.maximum(own, np.finfo(float).tiny)
        np.divide(found, left, out=result[done : done + len(sums)], where=usable)
        done += len(sums)
    return result
