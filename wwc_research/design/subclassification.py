"""Subclassification: strata of units with like propensity scores.

In: one row a unit, a treatment of 0 and 1, covariates. Out: frozen `Weighting` with strata as sets.
Rosenbaum and Rubin (1984), "Reducing bias in observational studies using subclassification", JASA 79(387).
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd

from wwc_research.design.matching import (
    covariate_matrix,
    exact_strata,
    note_table_faults,
    unit_scores,
)
from wwc_research.design.weighting import Estimand, Weighting, note_estimand
from wwc_research.errors import EstimationError, Faults, listed
from wwc_research.messages import message, said


def subclassification(
    frame: pd.DataFrame,
    *,
    treatment: str,
    covariates: Sequence[str],
    subclasses: int = 6,
    exact: Sequence[str] = (),
    scores: pd.Series | None = None,
    estimand: Estimand = "ATT",
) -> Weighting:
    """Classes of like propensity, cut at quantiles of the score of those whom the estimand speaks of.

    A class without treated or without untreated units is left out, and the estimand says so.

    Parameters
    ----------
    frame
        One row a unit with a unique index.
    treatment
        Column of 0 and 1.
    covariates
        Columns of numbers or text (one indicator a level), without empty cells.
    subclasses
        Number of classes; cut at equally spaced quantiles (R's type 7) of the treated units' scores for the ATT,
        of all units' scores for the ATE. A score at a cutpoint is in the class above.
    exact
        Columns on which units of a class must agree: every class is divided by them.
    scores
        Propensity scores by the table's index, from a model of one's own; by default logistic regression on the
        covariates.
    estimand
        `ATT` or `ATE`.

    Returns
    -------
    Weighting
        `settings["cutpoints"]` are the scores between the classes.

    Raises
    ------
    InputError
        For unusable columns or options, all at once.
    EstimationError
        If no class has both kinds of units, or no propensity score exists.
    """
    faults = Faults(where="subclassification")
    if subclasses < 1:
        faults.add(f"subclasses is {subclasses}; it counts classes, 1 or more.")
    note_estimand(faults, estimand)
    note_table_faults(faults, frame, treatment=treatment, covariates=covariates, exact=exact)
    faults.raise_if_any()
    treated = frame[treatment].to_numpy(dtype=float) == 1
    try:
        X = covariate_matrix(frame, covariates=covariates).to_numpy()
        score = unit_scores(X, treated=treated, given=scores, index=frame.index)
    except EstimationError as error:
        raise EstimationError(
            message("covariates {covariates}: {reason}", covariates=listed(covariates, limit=12), reason=said(error))
        ) from error
    spoken_of = score[treated] if estimand == "ATT" else score
    cuts = np.quantile(spoken_of, np.linspace(0, 1, subclasses + 1)[1:-1])
    # equal scores differ from a quantile between them in the last bit at most
    classes = np.searchsorted(cuts - 1e-14, score, side="right")
    strata = exact_strata(frame, exact=exact)
    return Weighting.of_strata(
        classes.astype(np.int64) * (int(strata.max()) + 1) + strata,
        index=frame.index,
        treated=treated,
        method="subclassification",
        estimand=estimand,
        propensity=pd.Series(score, index=frame.index, name="propensity"),
        settings={
            "covariates": list(covariates),
            "subclasses": subclasses,
            "exact": list(exact),
            "scores": "logistic regression" if scores is None else "given",
            "cutpoints": [float(cut) for cut in cuts],
        },
    )
