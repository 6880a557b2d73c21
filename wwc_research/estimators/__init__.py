"""Estimators by name: a Sample in, an Estimate out. The docstring of each module is its method card.

Adding one is one file with NAME, OPTIONS and estimate(), and one line in `_MODULES`.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from types import ModuleType
from typing import Any

from wwc_research.design.sample import Sample
from wwc_research.errors import InputError
from wwc_research.estimators import (
    callaway_santanna,
    dose_response,
    event_study,
    extended_twfe,
    goodman_bacon,
    imputation,
    long_difference,
    options,
    panel_matching,
    poisson_fe,
    random_trends,
    stacked,
    sun_abraham,
    switching,
    synthetic_control,
    synthetic_did,
    two_stage,
    two_way_fe,
)
from wwc_research.estimators.estimate import Estimate, EventTerm, GroupTimeTerm
from wwc_research.estimators.options import Option

_MODULES: tuple[ModuleType, ...] = (
    callaway_santanna,
    dose_response,
    event_study,
    extended_twfe,
    goodman_bacon,
    imputation,
    long_difference,
    panel_matching,
    poisson_fe,
    random_trends,
    stacked,
    sun_abraham,
    switching,
    synthetic_control,
    synthetic_did,
    two_stage,
    two_way_fe,
)

ESTIMATORS: dict[str, Callable[..., Estimate]] = {module.NAME: module.estimate for module in _MODULES}
OPTIONS: dict[str, tuple[Option, ...]] = {module.NAME: module.OPTIONS for module in _MODULES}
_CARDS: dict[str, str] = {module.NAME: inspect.cleandoc(module.__doc__ or "") for module in _MODULES}

__all__ = [
    "ESTIMATORS",
    "OPTIONS",
    "Estimate",
    "EventTerm",
    "GroupTimeTerm",
    "Option",
    "estimate",
    "method_card",
]


def _refuse_unknown(name: str) -> None:
    if name not in ESTIMATORS:
        raise InputError(f"estimator {name!r} does not exist; allowed: {', '.join(ESTIMATORS)}.")


def estimate(sample: Sample, name: str, **given: Any) -> Estimate:
    """What the estimator called `name` says about the sample.

    Parameters
    ----------
    sample
        Checked rows; never changed.
    name
        One of `ESTIMATORS`.
    **given
        Options of that estimator (`OPTIONS[name]`); None stands for the default.

    Raises
    ------
    InputError
        For an unknown name, or options the estimator does not take, None or not.
    EstimationError
        Where the sample cannot answer.
    """
    _refuse_unknown(name)
    options.checked(given, declared=OPTIONS[name], estimator=name)
    return ESTIMATORS[name](sample, **given)


def method_card(name: str) -> str:
    """The method card of the estimator called `name`, in Markdown with TeX formulas."""
    _refuse_unknown(name)
    return _CARDS[name]
