"""Outcomes without exposure, imputed from clean rows: unit levels, perhaps unit trends, time effects, controls.

In: arrays with one row a unit and time. Out: a frozen `Counterfactual`. No estimator: what several share.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from wwc_research.errors import EstimationError
from wwc_research.estimators import linear
from wwc_research.estimators.linear import Codes, Floats
from wwc_research.inference import NAN
from wwc_research.messages import message

Mask = npt.NDArray[np.bool_]
_EXACT = 1e-12  # residuals this small against what was to be explained are rounding, not noise
_SINGULAR = 1e-10  # eigenvalues this small against the largest are zero
_UNREACHED = 1e-6  # a row's part outside what the clean rows determine, in units of a dummy


@dataclass(frozen=True, slots=True, kw_only=True)
class UnitParts:
    """Weighted least squares within each unit on a level and, if asked, a linear trend.

    Attributes
    ----------
    unit
        Codes 0..N-1 a row.
    fitted_weight
        Weight of each row in the fit; 0 leaves it out.
    total
        Sum of those weights by unit.
    distance
        Time less the unit's mean time, a row; zero without trends.
    spread
        Weighted sum of squared distances by unit; zero where there is no trend to fit.
    """

    unit: Codes
    fitted_weight: Floats
    total: Floats
    distance: Floats
    spread: Floats

    def predicted(self, column: Floats) -> Floats:
        """What the unit's own fitted rows predict for each of its rows."""
        level = self._by_unit(self.fitted_weight * column, self.total)
        slope = self._by_unit(self.fitted_weight * self.distance * column, self.spread)
        values: Floats = level[self.unit] + slope[self.unit] * self.distance
        return values

    def removed(self, columns: Floats) -> Floats:
        """Columns less what `predicted` gives for them."""
        return np.column_stack([column - self.predicted(column) for column in columns.T])

    def spread_back(self, weights: Floats) -> Floats:
        """The weights on fitted rows with which `weights @ predicted(y)` is a sum over y: the transpose."""
        level = self._by_unit(weights, self.total)
        slope = self._by_unit(weights * self.distance, self.spread)
        values: Floats = self.fitted_weight * (level[self.unit] + slope[self.unit] * self.distance)
        return values

    def _by_unit(self, values: Floats, divisor: Floats) -> Floats:
        sums = np.bincount(self.unit, weights=values, minlength=len(divisor))
        return np.divide(sums, divisor, out=np.zeros_like(divisor), where=divisor > 0)


def unit_parts(*, unit: Codes, time: Codes, weight: Floats, trends: bool) -> UnitParts:
    """The within-unit fit on rows of positive weight, with a trend in time where `trends` is set."""
    n_units = int(unit.max()) + 1
    total = np.bincount(unit, weights=weight, minlength=n_units).astype(float)
    distance = np.zeros(len(unit))
    spread = np.zeros(n_units)
    if trends:
        clock = (time - time.min()).astype(float)
        mean = np.divide(np.bincount(unit, weights=weight * clock), total, out=np.zeros(n_units), where=total > 0)
        distance = clock - mean[unit]
        spread = np.bincount(unit, weights=weight * distance**2, minlength=n_units).astype(float)
        spread[spread <= _EXACT * total * max(float(np.ptp(clock)), 1.0) ** 2] = 0.0
    return UnitParts(unit=unit, fitted_weight=weight, total=total, distance=distance, spread=spread)


@dataclass(frozen=True, slots=True, kw_only=True)
class Counterfactual:
    """Outcomes less their imputed value without exposure.

    Attributes
    ----------
    gap
        Outcome less imputed outcome: a residual on clean rows, an effect with noise on the others.
    is_reached
        Rows whose imputed outcome the clean rows determine.
    dropped
        Positions of controls that the effects explain on the rows fitted.
    """

    gap: Floats
    is_reached: Mask
    dropped: tuple[int, ...]
    parts: UnitParts
    columns: Floats
    inverse: Floats
    donor_weight: Floats

    def influence(self, weights: Floats) -> Floats:
        """Weights v on all rows with v @ outcome = weights @ gap.

        Borusyak, Jaravel and Spiess (2024), "Revisiting event-study designs", Review of Economic Studies
        91(6), proposition 3: v on clean rows is minus the projection of the weights through the model.
        """
        through_time = self.donor_weight * (self.columns @ (self.inverse @ (self.columns.T @ weights)))
        values: Floats = weights - self.parts.spread_back(weights) - through_time
        return values


def impute(
    outcome: Floats,
    controls: Floats,
    *,
    unit: Codes,
    time: Codes,
    weight: Floats,
    is_clean: Mask,
    is_donor: Mask,
    trends: bool = False,
) -> Counterfactual:
    """Every row's outcome less the outcome imputed for it without exposure.

    The model is y = unit level (+ unit trend) + time effect + controls, each unit's own parts fitted on its
    clean rows, time effects and controls on the rows that are clean and donors.

    Parameters
    ----------
    outcome, controls
        Shapes (rows,) and (rows, columns).
    unit, time, weight
        Codes 0..N-1, times in calendar units, positive weights, one a row.
    is_clean
        Rows not yet touched by exposure.
    is_donor
        Rows of units that may inform time effects and controls.
    trends
        Whether each unit has a linear trend of its own.
    """
    parts = unit_parts(unit=unit, time=time, weight=np.where(is_clean, weight, 0.0), trends=trends)
    donor_weight = np.where(is_clean & is_donor, weight, 0.0)
    if not donor_weight.any():
        raise EstimationError(
            message("imputation: no clean row of a unit that may be compared with; add places never exposed.")
        )
    rest = parts.removed((outcome - outcome.mean())[:, None])[:, 0]
    dummies = parts.removed(_dummies(time))
    controls, dropped = _kept(controls, dummies=dummies, parts=parts, donor_weight=donor_weight)
    columns = np.column_stack([dummies, controls])
    inverse, kernel = _inverted(columns.T @ (columns * donor_weight[:, None]))
    gap: Floats = rest - columns @ (inverse @ (columns.T @ (donor_weight * rest)))
    if np.linalg.norm(gap) <= _EXACT * np.linalg.norm(outcome):
        gap = np.zeros_like(gap)
    is_reached = (parts.total > 0)[unit]
    if trends:
        is_reached &= (parts.spread > 0)[unit]
    if kernel.size:
        is_reached &= np.abs(columns @ kernel).max(axis=1) < _UNREACHED
    return Counterfactual(
        gap=gap,
        is_reached=is_reached,
        dropped=dropped,
        parts=parts,
        columns=columns,
        inverse=inverse,
        donor_weight=donor_weight,
    )


def without_trends(columns: Floats, *, unit: Codes, time: Codes, weight: Floats) -> tuple[Floats, int]:
    """Columns with unit levels, unit trends and time effects taken out, and the rank of the time effects.

    Frisch and Waugh (1933): first the unit's level and trend, then time dummies treated likewise.
    """
    parts = unit_parts(unit=unit, time=time, weight=weight, trends=True)
    dummies, rest = parts.removed(_dummies(time)), parts.removed(columns)
    inverse, kernel = _inverted(dummies.T @ (dummies * weight[:, None]))
    absorbed: Floats = rest - dummies @ (inverse @ (dummies.T @ (rest * weight[:, None])))
    return absorbed, dummies.shape[1] - kernel.shape[1]


def _dummies(time: Codes) -> Floats:
    return (time[:, None] == np.unique(time)).astype(float)


def _inverted(products: Floats) -> tuple[Floats, Floats]:
    """Inverse of cross products on their range, and a basis of what they leave undetermined."""
    values, vectors = np.linalg.eigh((products + products.T) / 2)
    kept = values > _SINGULAR * max(float(values.max()), 0.0)
    inverse: Floats = (vectors[:, kept] / values[kept]) @ vectors[:, kept].T
    return inverse, vectors[:, ~kept]


def _kept(
    controls: Floats, *, dummies: Floats, parts: UnitParts, donor_weight: Floats
) -> tuple[Floats, tuple[int, ...]]:
    """Controls less their unit parts, scaled to the dummies' size; positions of those explained already."""
    if not controls.shape[1]:
        return controls, ()
    fitted = donor_weight > 0
    rest = parts.removed(controls - controls.mean(axis=0))
    inverse, _ = _inverted(dummies.T @ (dummies * donor_weight[:, None]))
    absorbed = rest - dummies @ (inverse @ (dummies.T @ (rest * donor_weight[:, None])))
    root = np.sqrt(donor_weight[fitted])[:, None]
    before = (controls - controls.mean(axis=0))[fitted] * root
    dropped = linear.dependent_columns(before, absorbed=absorbed[fitted] * root)
    kept = np.delete(rest, dropped, axis=1)
    scale = np.sqrt(np.mean(kept**2, axis=0))
    return kept / np.where(scale > 0, scale, 1.0), tuple(dropped)


def average_error(
    counterfactual: Counterfactual, *, weights: Floats, expected: Floats, cluster: Codes, n_parameters: int = 1
) -> tuple[float, float]:
    """Standard error of `weights @ gap`, and the degrees of freedom for t-based inference.

    The square root of the sum over clusters of squared sums of v times residual, where exposed rows take
    their gap less `expected` (Borusyak, Jaravel and Spiess 2024, equation 10), multiplied by
    m/(m - p) with m the clusters that carry weight and p the parameters of `expected`: with few exposed
    clusters the variance is theirs, and so are the m - p degrees of freedom. NaN where m <= p.

    Parameters
    ----------
    weights
        On the rows averaged, zero elsewhere.
    expected
        What the gap of a row would be without noise, by the grouping that the average is about.
    cluster
        Codes 0..G-1 a row.
    n_parameters
        Number of parameters behind `expected` that the average rests on.
    """
    averaged = weights != 0
    residual = counterfactual.gap - np.where(averaged, expected, 0.0)
    # rows neither clean nor averaged have no weight
    sums = np.bincount(cluster, weights=counterfactual.influence(weights) * residual)
    n_carrying = int(np.count_nonzero(np.bincount(cluster[averaged])))
    df = n_carrying - n_parameters
    if df < 1:
        return NAN, NAN
    return linear.std_error(float(sums @ sums) * n_carrying / df), float(df)
