"""The estimates of an event study with their covariance: what every question about pre-trends starts from.

In: estimates, covariance, event times, base period. Out: one checked value.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from wwc_research.errors import Faults, InputError, listed
from wwc_research.messages import message

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class EventCoefficients:
    """Event-study estimates, one a period but the base, with their covariance.

    Attributes
    ----------
    estimates, covariance
        In the unit of the outcome (squared), shapes (n,) and (n, n).
    event_times
        Distances from exposure of the estimates, rising, without the base; with it they have no gap.
    base
        The period all are measured against: -1, or earlier where anticipation is allowed for. What comes after it
        can differ from parallel trends by violation as well as by effect.

    Raises
    ------
    InputError
        With every fault found: shapes, numbers that are not finite, a covariance that is none, gaps in time.
    """

    estimates: Floats
    covariance: Floats
    event_times: tuple[int, ...]
    base: int = -1

    def __post_init__(self) -> None:
        object.__setattr__(self, "estimates", np.array(self.estimates, dtype=float))
        object.__setattr__(self, "covariance", np.array(self.covariance, dtype=float))
        object.__setattr__(self, "event_times", tuple(int(time) for time in self.event_times))
        faults = Faults("event-study coefficients")
        self._check_numbers(faults)
        self._check_times(faults)
        faults.raise_if_any()

    def _check_numbers(self, faults: Faults) -> None:
        count, covariance = len(self.event_times), self.covariance
        if self.estimates.shape != (count,):
            faults.add(f"{count} event times but estimates of shape {self.estimates.shape}; give one a time")
        elif not np.isfinite(self.estimates).all():
            bad = [
                time for time, value in zip(self.event_times, self.estimates, strict=True) if not math.isfinite(value)
            ]
            faults.add(
                message(
                    "the estimates at event times {times} are not finite; leave these periods out", times=listed(bad)
                )
            )
        if covariance.shape != (count, count):
            faults.add(f"the covariance has shape {covariance.shape}; it needs ({count}, {count})")
            return
        if not np.isfinite(covariance).all():
            faults.add(
                message("the covariance has numbers that are not finite; leave out periods without a standard error")
            )
            return
        largest = float(np.abs(covariance).max(initial=0))
        if not np.allclose(covariance, covariance.T, rtol=0, atol=1e-8 * largest):
            faults.add("the covariance is not symmetric")
        if not (np.diag(covariance) > 0).all():
            bad = [time for time, value in zip(self.event_times, np.diag(covariance), strict=True) if not value > 0]
            faults.add(
                message(
                    "the variances at event times {times} are not above zero; the base has no place here",
                    times=listed(bad),
                )
            )
        elif np.linalg.eigvalsh((covariance + covariance.T) / 2).min() < -1e-8 * largest:
            faults.add(message("the covariance has a negative eigenvalue, so no estimates can have it"))

    def _check_times(self, faults: Faults) -> None:
        times, whole = self.event_times, sorted({*self.event_times, self.base})
        if self.base in times:
            faults.add(f"event time {self.base} is the base; leave it out of the estimates")
        elif list(times) != sorted(set(times)):
            faults.add(f"the event times {listed(times, limit=20)} do not rise; sort estimates and covariance by time")
        elif whole != list(range(whole[0], whole[-1] + 1)):
            missing = sorted(set(range(whole[0], whole[-1] + 1)) - set(whole))
            faults.add(
                message(
                    "event times {times} are missing; steps between periods need them, so keep only what lies this "
                    "side of the gap",
                    times=listed(missing),
                )
            )
        if not any(time > self.base for time in times):
            faults.add(
                message("no event time lies after the base {base}, so there is no effect to bound", base=self.base)
            )

    @property
    def n_pre(self) -> int:
        """Leads: periods before the base."""
        return sum(time < self.base for time in self.event_times)

    @property
    def n_post(self) -> int:
        """Periods after the base."""
        return len(self.event_times) - self.n_pre

    def nearest(self, n_leads: int) -> EventCoefficients:
        """The same with no more than the `n_leads` leads nearest the base: far ones rest on few cohorts."""
        kept = [place for place, time in enumerate(self.event_times) if time >= self.base - n_leads]
        return EventCoefficients(
            estimates=self.estimates[kept],
            covariance=self.covariance[np.ix_(kept, kept)],
            event_times=tuple(self.event_times[place] for place in kept),
            base=self.base,
        )

    def weights(self, given: Sequence[float] | None = None) -> Floats:
        """Weights over the periods after the base, shape (n_post,): those given, or all alike from exposure on.

        Raises
        ------
        InputError
            Where there are too few or too many, or all are zero, or no period is exposed.
        """
        lags = [time for time in self.event_times if time > self.base]
        if given is None:
            exposed = np.array([time >= 0 for time in lags], dtype=float)
            if not exposed.any():
                raise InputError(
                    f"event times after the base are {listed(lags)}, none of them 0 or later; give weights"
                )
            return exposed / exposed.sum()
        weights = np.array(given, dtype=float)
        if weights.shape != (len(lags),) or not np.isfinite(weights).all() or not weights.any():
            raise InputError(
                f"weights {listed(given, limit=20)}: one finite number for each of the event times "
                f"{listed(lags, limit=20)} is needed, not all zero"
            )
        return weights
