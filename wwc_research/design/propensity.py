"""Propensity scores by a model that is named: logistic regression, or any scikit-learn classifier.

In: covariates and who is treated. Out: one probability of treatment a unit.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from wwc_research.design.matching import propensity_scores
from wwc_research.errors import EstimationError, InputError
from wwc_research.messages import message

Floats = NDArray[np.float64]
Flags = NDArray[np.bool_]

LOGISTIC = "logistic"
# Short names for the classifiers asked for most, and what they are told: leaves and penalties large enough to give
# probabilities inside 0 and 1. A classifier asked for by its class name keeps scikit-learn's settings.
SHORT_NAMES: Mapping[str, tuple[str, Mapping[str, Any]]] = {
    "gradient_boosting": ("GradientBoostingClassifier", {"max_depth": 2, "min_samples_leaf": 10}),
    "random_forest": ("RandomForestClassifier", {"n_estimators": 300, "min_samples_leaf": 10}),
    "extra_trees": ("ExtraTreesClassifier", {"n_estimators": 300, "min_samples_leaf": 10}),
    "penalised_logistic": ("LogisticRegression", {"max_iter": 1000}),
    "naive_bayes": ("GaussianNB", {}),
}


def propensity(
    X: Floats, *, treated: Flags, model: str = LOGISTIC, folds: int = 5, generator: np.random.Generator | None = None
) -> Floats:
    """Probability of treatment given the covariates, shape (units,).

    `logistic` is maximum likelihood on all units (`matching.propensity_scores`). Every other model is cross-fitted:
    a unit's score comes from a model that has not seen that unit, for a flexible model would else know who was
    treated by heart and leave no overlap (Chernozhukov et al. 2018, Econometrics Journal 21(1), section 3).

    Parameters
    ----------
    X
        Covariates, shape (units, columns), without a constant.
    treated
        Shape (units,).
    model
        `logistic`, a name in `SHORT_NAMES`, or the class name of a scikit-learn classifier that gives probabilities.
    folds
        Parts for cross-fitting, each with its share of treated units; fewer where a group is smaller.
    generator
        Needed by every model but `logistic`.

    Raises
    ------
    InputError
        For an unknown model, one without probabilities, or a generator that is missing.
    EstimationError
        If no covariate varies, covariates tell the groups perfectly (`logistic`), a group has a single unit, or
        the model cannot be fitted.
    """
    if model == LOGISTIC:
        return propensity_scores(X, treated=treated)
    if generator is None:
        raise InputError(f"propensity model {model!r} draws parts at random: give a seed.")
    if folds < 2:
        raise InputError(f"folds is {folds}; cross-fitting needs 2 parts or more.")
    seeds = [int(seed) for seed in generator.integers(2**31, size=2)]
    classifier = _classifier(model, seed=seeds[0])
    smaller = int(min(treated.sum(), (~treated).sum()))
    if smaller < 2:
        raise EstimationError(
            message(
                "propensity model {model!r}: cross-fitting needs 2 units or more in each group; use {plain!r}.",
                model=model,
                plain=LOGISTIC,
            )
        )
    from sklearn.model_selection import StratifiedKFold, cross_val_predict

    parts = StratifiedKFold(n_splits=min(folds, smaller), shuffle=True, random_state=seeds[1])
    try:
        found = cross_val_predict(classifier, X, treated.astype(int), cv=parts, method="predict_proba")
    except ValueError as error:
        reason = str(error).strip().splitlines()[-1]
        raise EstimationError(
            message(
                "propensity model {model!r} cannot be fitted to these covariates ({reason}); use another.",
                model=model,
                reason=reason,
            )
        ) from error
    scores: Floats = np.asarray(found, dtype=float)[:, 1]
    return scores


def _classifier(model: str, *, seed: int) -> Any:
    """The named classifier behind a standardisation of the covariates, its random numbers fixed."""
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler
    from sklearn.utils import all_estimators

    known = dict(all_estimators(type_filter="classifier"))
    name, told = SHORT_NAMES.get(model, (model, {}))
    if name not in known:
        raise InputError(
            f"propensity model {model!r} is unknown; use {', '.join([LOGISTIC, *SHORT_NAMES])}, or the class "
            "name of a scikit-learn classifier."
        )
    kind = known[name]
    try:
        classifier = kind()
    except TypeError as error:
        raise InputError(f"propensity model {model!r} cannot stand alone ({error}); use another.") from error
    if not hasattr(classifier, "predict_proba"):
        raise InputError(f"propensity model {model!r} gives no probabilities; use one that does.")
    seeded = {"random_state": seed} if "random_state" in classifier.get_params() else {}
    return make_pipeline(StandardScaler(), classifier.set_params(**told, **seeded))
