"""Nearest-neighbour matching: for every treated unit its nearest untreated ones, and weights for both.

In: one row a unit, a treatment of 0 and 1, covariates. Out: frozen `Matches`.
Greedy matching with the conventions of R's MatchIt 4.7 (ties included), whose figures it is held to.
"""

from __future__ import annotations

import heapq
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, get_args

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.spatial import cKDTree
from scipy.special import expit, xlogy

from wwc_research.design.sample import Exclusion
from wwc_research.errors import EstimationError, Faults, InputError, listed
from wwc_research.messages import message, said

Distance = Literal["propensity", "mahalanobis"]
Order = Literal["largest", "closest", "data", "random"]
Ties = Literal["one", "all"]
Covariance = Literal["within_groups", "overall"]

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]
Flags = NDArray[np.bool_]

_DECIMALS: Mapping[Distance, int] = {"propensity": 12, "mahalanobis": 9}
_TAKEN_BEFORE_NEW_TREE = 256
_MOST_ASKED = 500
_NOTHING_VARIES = message("no covariate varies, so there is no distance to match on. Give covariates that differ.")


@dataclass(frozen=True, slots=True, kw_only=True)
class Matches:
    """Who was matched with whom.

    Attributes
    ----------
    pairs
        One row a pair: `treated`, `control` (labels of the input's index), `weight` (the share of the treated
        unit's comparison that rests on this control; sums to 1 by treated unit), `distance`.
    weights
        By the input's index: 1 for matched treated units, the sum of pair weights for controls, else 0.
    propensity
        Estimated propensity scores by the input's index, where they were needed; else empty.
    estimand
        The average effect on the treated (ATT), or on the matched treated where some stayed unmatched.
    with_replacement
        Whether one control may serve several treated units.
    ties
        How many choices were between controls at the same distance.
    exclusions
        Treated units without a match and controls that are nobody's match, with reasons.
    settings
        Options as used.
    """

    pairs: pd.DataFrame
    weights: pd.Series
    propensity: pd.Series
    estimand: str
    with_replacement: bool
    ties: int
    exclusions: tuple[Exclusion, ...] = ()
    settings: Mapping[str, Any] = field(default_factory=dict)

    @property
    def n_matched_treated(self) -> int:
        """Treated units with at least one match."""
        return int(self.pairs["treated"].nunique())

    @property
    def n_matched_control(self) -> int:
        """Distinct controls that serve as a match."""
        return int(self.pairs["control"].nunique())


def covariate_matrix(frame: pd.DataFrame, *, covariates: Sequence[str]) -> pd.DataFrame:
    """Covariates as floats, a text column as one indicator a level, named `<column><level>` as in R.

    Raises
    ------
    InputError
        For columns that are absent, or have empty or infinite cells.
    """
    faults = Faults(where="covariates")
    parts: list[pd.DataFrame] = []
    for name in covariates:
        if name not in frame:
            faults.add(f"no column {name!r}; the table has {listed(frame.columns, limit=12)}.")
            continue
        column = frame[name]
        if column.isna().any():
            faults.add(f"{name!r} is empty in {int(column.isna().sum()):,} of the rows; leave those out first.")
        elif pd.api.types.is_numeric_dtype(column):
            values = column.to_numpy(dtype=float)
            if np.isinf(values).any():
                faults.add(f"{name!r} has infinite values; leave those rows out first.")
            parts.append(pd.DataFrame({name: values}, index=frame.index))
        else:
            levels = sorted(column.astype(str).unique())
            parts.append(
                pd.DataFrame(
                    {f"{name}{level}": (column.astype(str) == level).to_numpy(dtype=float) for level in levels},
                    index=frame.index,
                )
            )
    faults.raise_if_any()
    return pd.concat(parts, axis=1)


def propensity_scores(X: Floats, *, treated: Flags) -> Floats:
    """Probability of treatment given the covariates, by logistic regression (iteratively reweighted).

    Equal rows get equal scores to the last bit, so that ties are ties. Collinear columns do no harm. Units whose
    category holds only treated or only untreated ones get scores at 1 or 0, as in R's glm.

    Parameters
    ----------
    X
        Covariates, shape (units, columns), without a constant.
    treated
        Shape (units,).

    Raises
    ------
    EstimationError
        If no covariate varies, or if they tell treated from untreated units perfectly: no maximum exists.
    """
    rows, unit_row = np.unique(X, axis=0, return_inverse=True)
    unit_row = unit_row.reshape(-1)
    if len(rows) == 1:
        raise EstimationError(_NOTHING_VARIES)
    spread = rows.std(axis=0)
    scaled = (rows - rows.mean(axis=0)) / np.where(spread > 0, spread, 1.0)
    design = np.column_stack([np.ones(len(rows)), scaled])
    count = np.bincount(unit_row).astype(float)
    events = np.bincount(unit_row, weights=treated.astype(float)).astype(float)
    coefficients = np.zeros(design.shape[1])
    coefficients[0] = np.log(events.sum() / (count.sum() - events.sum()))
    loss, probability = _bernoulli_loss(design @ coefficients, events=events, count=count)
    for _ in range(100):
        if loss < 1e-6 * len(X):
            break
        root = np.sqrt(np.maximum(count * probability * (1 - probability), 1e-300))
        response = (events - count * probability) / root
        step = np.linalg.lstsq(design * root[:, None], response, rcond=1e-10)[0]
        before = loss
        # where treatment is rare a whole step can overshoot and never come back
        for length in 0.5 ** np.arange(50):
            loss, probability = _bernoulli_loss(design @ (coefficients + length * step), events=events, count=count)
            if loss <= before * (1 + 1e-13):
                break
        coefficients = coefficients + length * step
        if abs(before - loss) < 1e-13 * loss:
            fitted: Floats = probability[unit_row]
            return fitted
    raise EstimationError(
        message(
            "the covariates tell treated from untreated units perfectly, so no propensity score exists. Use "
            "fewer covariates, or mahalanobis distances."
        )
    )


def _bernoulli_loss(index: Floats, *, events: Floats, count: Floats) -> tuple[float, Floats]:
    """Minus the log likelihood of `events` out of `count`, and the probabilities that go with the index."""
    probability: Floats = expit(index)
    return -float(xlogy(events, probability).sum() + xlogy(count - events, 1 - probability).sum()), probability


def unit_scores(X: Floats, *, treated: Flags, given: pd.Series | None, index: pd.Index) -> Floats:
    """Propensity scores in the order of the table: those given, else `propensity_scores`, shape (units,).

    Parameters
    ----------
    X, treated
        As for `propensity_scores`.
    given
        Scores by label, or None.
    index
        Labels of the table's rows.

    Raises
    ------
    InputError
        If a given score is missing or no probability.
    EstimationError
        As `propensity_scores`.
    """
    if given is None:
        return propensity_scores(X, treated=treated)
    if not given.index.is_unique:
        raise InputError("the scores repeat labels; give one a unit.")
    found = given.reindex(index)
    wrong = index[~found.between(0, 1).to_numpy(dtype=bool)]
    if len(wrong):
        raise InputError(f"the scores of {listed(wrong)} are missing or not between 0 and 1; give one a unit.")
    # rounding errors of the model that gave them are no differences between units
    return np.round(found.to_numpy(dtype=float), 12)


def mahalanobis_coordinates(
    X: Floats, *, treated: Flags, covariance: Covariance = "within_groups"
) -> tuple[Floats, Floats]:
    """Coordinates whose squared Euclidean distance is the Mahalanobis distance, and a scan coordinate.

    The covariance is pooled within treated and untreated units (Rubin 1980, as in MatchIt) or that of all
    units; it is inverted on the space that the covariates span. The second array orders units for the choice
    between ties: the first coordinate of MatchIt's pivoted Cholesky factor.

    Parameters
    ----------
    X
        Covariates, shape (units, columns).
    treated
        Shape (units,).
    covariance
        `within_groups` or `overall`.

    Raises
    ------
    EstimationError
        If no covariate varies.
    """
    rows, unit_row = np.unique(X, axis=0, return_inverse=True)
    unit_row = unit_row.reshape(-1)
    spread = X.std(axis=0, ddof=1)
    varies = spread > 1e-12 * np.maximum(1.0, np.abs(X).max(axis=0))
    if not varies.any():
        raise EstimationError(_NOTHING_VARIES)
    scaled = (rows[:, varies] - X[:, varies].mean(axis=0)) / spread[varies]
    units = scaled[unit_row]
    centred = units - units.mean(axis=0)
    freedom = len(units) - 1
    if covariance == "within_groups":
        for group in (treated, ~treated):
            centred[group] = units[group] - units[group].mean(axis=0)
        freedom = len(units) - 2
    values, vectors = np.linalg.eigh(centred.T @ centred / max(freedom, 1))
    kept = values > 1e-8 * values.max()
    if not kept.any():
        raise EstimationError(message("no covariate varies within the groups; use the overall covariance."))
    coordinates = scaled @ (vectors[:, kept] / np.sqrt(values[kept]))
    inverse = (vectors[:, kept] / values[kept]) @ vectors[:, kept].T
    scan = scaled @ inverse[int(np.argmax(np.round(np.diag(inverse), 9)))]
    return coordinates[unit_row], np.round(scan, 9)[unit_row]


class _Neighbours:
    """The nearest controls of a treated unit, and which of equally near ones comes first.

    Controls are looked up in a k-d tree for each stratum, so that no matrix of all distances is ever held.
    """

    def __init__(
        self,
        treated: Flags,
        *,
        coordinates: Floats,
        scan: Floats,
        kind: Distance,
        strata: Integers,
        score: Floats | None,
        caliper: float,
    ) -> None:
        self.treated = np.flatnonzero(treated)
        self.controls = np.flatnonzero(~treated)
        self.kind = kind
        self._coordinates = coordinates
        self._strata = strata
        self._score = score
        self._caliper = caliper
        position = np.empty(len(scan), dtype=np.int64)
        position[np.argsort(scan, kind="stable")] = np.arange(len(scan))
        self._position = position
        self.free = np.ones(len(self.controls), dtype=bool)
        self._members = {
            int(code): np.flatnonzero(strata[self.controls] == code) for code in np.unique(strata[self.treated])
        }
        self._trees: dict[int, tuple[Integers, cKDTree]] = {}
        self._taken_since: dict[int, int] = {}
        self._by_score: dict[int, tuple[Integers, Floats]] = {}

    def take(self, j: int) -> None:
        """Control `j` is free no longer."""
        self.free[j] = False
        stratum = int(self._strata[self.controls[j]])
        self._taken_since[stratum] = self._taken_since.get(stratum, 0) + 1

    def stratum(self, i: int) -> Flags:
        """Controls that agree with treated unit `i` on every exact covariate."""
        return self._strata[self.controls] == self._strata[self.treated[i]]

    def allowed(self, i: int) -> Flags:
        """Controls in the stratum of treated unit `i` and within its caliper, free or not."""
        return self.stratum(i) & self._within_caliper(i, np.arange(len(self.controls)))

    def _within_caliper(self, i: int, candidates: Integers) -> Flags:
        if self._score is None or not np.isfinite(self._caliper):
            return np.ones(len(candidates), dtype=bool)
        return np.abs(self._score[self.controls[candidates]] - self._score[self.treated[i]]) <= self._caliper

    def distances(self, i: int, candidates: Integers) -> Floats:
        """Distances of treated unit `i` to some controls, rounded so that ties are ties."""
        gap = self._coordinates[self.controls[candidates]] - self._coordinates[self.treated[i]]
        squared = np.einsum("ij,ij->i", gap, gap)
        raw = np.sqrt(squared) if self.kind == "propensity" else squared
        return np.round(raw, _DECIMALS[self.kind])

    def rank(self, i: int, candidates: Integers, seen: Sequence[int]) -> Integers:
        """Rank among ties: an outward walk over the sorted units, from `i` and the controls it has seen.

        By propensity, the walk starts downwards and the first control met wins; by Mahalanobis, it starts
        upwards and the last one wins, as in MatchIt.
        """
        own = self._position[self.treated[i]]
        others = self._position[self.controls[candidates]]
        met = [own, *self._position[self.controls[list(seen)]]] if self.kind == "propensity" else [own]
        below, above = min(met) - others, others - max(met)
        if self.kind == "propensity":
            return np.where(below > 0, 2 * below - 1, 2 * above)
        return -np.where(below > 0, 2 * below, 2 * above - 1)

    def nearest(
        self,
        i: int,
        *,
        taken: Sequence[int],
        passed: int | None = None,
        number: int = 1,
        all_ties: bool = False,
        tolerance: float = 0.0,
    ) -> tuple[Integers, Floats, bool]:
        """The `number` nearest free controls of treated unit `i`, their distances, and if a tie was seen."""
        candidates, gaps = self._candidates(i, taken=taken, number=number, tolerance=tolerance)
        if not len(candidates):
            return candidates, gaps, False
        seen = [*taken] if passed is None else [*taken, passed]
        order = np.lexsort((self.rank(i, candidates, seen), gaps))
        last = min(number, len(order)) - 1
        edge = gaps[order[last]]
        tie = len(order) > last + 1 and bool(gaps[order[last + 1]] <= edge + tolerance)
        chosen = order[gaps[order] <= edge + tolerance] if all_ties else order[: last + 1]
        return candidates[chosen], gaps[chosen], tie

    def _candidates(self, i: int, *, taken: Sequence[int], number: int, tolerance: float) -> tuple[Integers, Floats]:
        """Free controls of unit `i`, in the table's order: all up to the distance of the `number`-th, ties too."""
        stratum = int(self._strata[self.treated[i]])
        if self.kind == "mahalanobis" and np.isfinite(self._caliper):
            return self._inside_window(i, stratum, taken=taken)
        members, tree = self._tree(stratum)
        if not len(members):
            return members, np.empty(0)
        slack = 10.0 ** (1 - _DECIMALS[self.kind])
        asked = 16 + 4 * number
        while asked < min(len(members), _MOST_ASKED):
            reach, found = tree.query(self._coordinates[self.treated[i]], k=np.arange(1, asked + 1))
            candidates, gaps = self._open(i, members[found], taken=taken)
            # whoever the tree has not named is at least this far away
            beyond = float(reach[-1] if self.kind == "propensity" else reach[-1] ** 2) - slack
            enough = len(gaps) >= number and np.partition(gaps, number - 1)[number - 1] + tolerance < beyond
            if enough or (self.kind == "propensity" and beyond > self._caliper):
                return candidates, gaps
            asked *= 8
        # so many ties, or so few left, that looking at everybody is quicker
        candidates, gaps = self._open(i, members, taken=taken)
        if len(gaps) > number:
            close = gaps <= np.partition(gaps, number - 1)[number - 1] + tolerance
            return candidates[close], gaps[close]
        return candidates, gaps

    def _open(self, i: int, candidates: Integers, *, taken: Sequence[int]) -> tuple[Integers, Floats]:
        """Those of some controls that are free, within the caliper and not taken, and their distances."""
        candidates = np.sort(candidates)
        candidates = candidates[self.free[candidates] & self._within_caliper(i, candidates)]
        if len(taken):
            candidates = candidates[~np.isin(candidates, taken)]
        return candidates, self.distances(i, candidates)

    def _inside_window(self, i: int, stratum: int, *, taken: Sequence[int]) -> tuple[Integers, Floats]:
        """Free controls within the caliper, in the table's order: a tree of covariates knows nothing of scores."""
        if self._score is None:
            raise ValueError("a caliper needs scores")
        if stratum not in self._by_score:
            members = self._members[stratum]
            members = members[np.argsort(self._score[self.controls[members]], kind="stable")]
            self._by_score[stratum] = members, self._score[self.controls[members]]
        members, scores = self._by_score[stratum]
        own, reach = self._score[self.treated[i]], self._caliper * (1 + 1e-9) + 1e-15
        window = members[np.searchsorted(scores, own - reach) : np.searchsorted(scores, own + reach, side="right")]
        return self._open(i, window, taken=taken)

    def _tree(self, stratum: int) -> tuple[Integers, cKDTree]:
        if stratum not in self._trees or self._taken_since.get(stratum, 0) >= _TAKEN_BEFORE_NEW_TREE:
            members = self._members[stratum][self.free[self._members[stratum]]]
            self._trees[stratum] = members, cKDTree(self._coordinates[self.controls[members]])
            self._taken_since[stratum] = 0
        return self._trees[stratum]


def nearest(
    frame: pd.DataFrame,
    *,
    treatment: str,
    covariates: Sequence[str],
    distance: Distance = "propensity",
    replace: bool = False,
    ratio: int = 1,
    caliper: float | None = None,
    exact: Sequence[str] = (),
    order: Order | None = None,
    ties: Ties = "one",
    tie_tolerance: float = 0.0,
    covariance: Covariance = "within_groups",
    scores: pd.Series | None = None,
    generator: np.random.Generator | None = None,
) -> Matches:
    """The nearest untreated units of every treated one, for the effect on the treated.

    Parameters
    ----------
    frame
        One row a unit with a unique index.
    treatment
        Column of 0 and 1.
    covariates
        Columns of numbers or text (one indicator a level), without empty cells.
    distance
        `propensity`: difference of the fitted probabilities of a logistic regression. `mahalanobis`: Mahalanobis
        distance (not squared) on the scale of `covariance`.
    replace
        Whether one control may serve several treated units.
    ratio
        Controls wanted a treated unit. Without replacement every treated unit gets its first before any gets
        its second.
    caliper
        Widest difference of propensity scores allowed, in standard deviations of the score over all units.
    exact
        Columns on which matched units must agree.
    order
        Who chooses first: `largest` propensity (default by propensity), `closest` pair, order of the `data`
        (default by Mahalanobis), or `random` (needs `generator`). Of no consequence with replacement.
    ties
        `one` of equally near controls, as MatchIt; or `all` of them in equal shares, as Abadie and Imbens
        (2006), only with replacement.
    tie_tolerance
        With `ties="all"`: how much further than the last match a control may be and still count as equally near,
        as a difference of scores or of squared Mahalanobis distances. R's Matching takes 1e-5 of the latter.
    covariance
        Of the Mahalanobis distance: `within_groups`, or `overall` as in R's Matching.
    scores
        Propensity scores by the table's index, from a model of one's own; by default logistic regression on the
        covariates.
    generator
        Only for `order="random"`.

    Raises
    ------
    InputError
        For unusable columns or options, all at once.
    EstimationError
        If nobody can be matched, or no propensity score exists.
    """
    order = order or ("largest" if distance == "propensity" else "data")
    settings: dict[str, Any] = {
        "method": "nearest",
        "distance": distance,
        "replace": replace,
        "ratio": ratio,
        "caliper": caliper,
        "exact": list(exact),
        "order": "data" if replace else order,
        "ties_kept": ties,
        "tie_tolerance": tie_tolerance,
        "covariance": covariance if distance == "mahalanobis" else None,
        "covariates": list(covariates),
        "scores": "logistic regression" if scores is None else "given",
    }
    _refuse_unusable(frame, treatment, exact, settings | {"order": order}, generator)
    treated = frame[treatment].to_numpy(dtype=float) == 1
    X = covariate_matrix(frame, covariates=covariates).to_numpy()
    score = None
    try:
        if distance == "propensity" or caliper is not None or order == "largest":
            score = unit_scores(X, treated=treated, given=scores, index=frame.index)
            settings["units_with_propensity_0_or_1"] = int(((score < 1e-8) | (score > 1 - 1e-8)).sum())
        if distance == "propensity" and score is not None:
            coordinates, scan = score[:, None], score
        else:
            coordinates, scan = mahalanobis_coordinates(X, treated=treated, covariance=covariance)
    except EstimationError as error:
        raise EstimationError(
            message("covariates {covariates}: {reason}", covariates=listed(covariates, limit=12), reason=said(error))
        ) from error
    neighbours = _Neighbours(
        treated,
        coordinates=coordinates,
        scan=scan,
        kind=distance,
        strata=exact_strata(frame, exact=exact),
        score=score,
        caliper=np.inf if caliper is None or score is None else caliper * float(score.std(ddof=1)),
    )
    if replace:
        found, n_ties = _with_replacement(neighbours, ratio=ratio, all_ties=ties == "all", tolerance=tie_tolerance)
    elif order == "closest":
        found, n_ties = _closest_first(neighbours, ratio=ratio)
    else:
        turn = _turns(order, neighbours, score=score, generator=generator)
        found, n_ties = _in_turn(neighbours, turn, ratio=ratio)
    return _assembled(frame, neighbours, found, n_ties, replace=replace, score=score, settings=settings)


def _refuse_unusable(
    frame: pd.DataFrame,
    treatment: str,
    exact: Sequence[str],
    options: Mapping[str, Any],
    generator: np.random.Generator | None,
) -> None:
    faults = Faults(where="matching")
    allowed = {"distance": Distance, "order": Order, "ties_kept": Ties}
    for name, literal in allowed.items():
        if options[name] not in get_args(literal):
            spoken = name.removesuffix("_kept")
            faults.add(f"{spoken} {options[name]!r} is unknown; use {listed(get_args(literal))}.")
    if options["covariance"] not in (None, *get_args(Covariance)):
        faults.add(f"covariance {options['covariance']!r} is unknown; use {listed(get_args(Covariance))}.")
    if options["ratio"] < 1:
        faults.add(f"ratio is {options['ratio']}; it counts controls a treated unit, 1 or more.")
    if options["caliper"] is not None and not options["caliper"] > 0:
        faults.add(f"caliper is {options['caliper']}; it counts standard deviations and must be above zero.")
    if options["order"] == "random" and generator is None and not options["replace"]:
        faults.add("a random order needs a seed.")
    if options["ties_kept"] == "all" and not options["replace"]:
        faults.add("all ties can be kept only with replacement.")
    if not options["tie_tolerance"] >= 0 or (options["tie_tolerance"] > 0 and options["ties_kept"] != "all"):
        faults.add(f"tie_tolerance is {options['tie_tolerance']}; it is 0 or more, and of use with ties 'all' only.")
    note_table_faults(faults, frame, treatment=treatment, covariates=options["covariates"], exact=exact)
    faults.raise_if_any()


def note_table_faults(
    faults: Faults,
    frame: pd.DataFrame,
    *,
    treatment: str,
    covariates: Sequence[str],
    exact: Sequence[str] = (),
) -> None:
    """Every reason why units of a table cannot be compared, noted in `faults`; raises nothing.

    Parameters
    ----------
    faults
        Gathers what is wrong; the caller raises.
    frame, treatment, covariates, exact
        As for `nearest`.
    """
    if not covariates:
        faults.add("no covariates were given.")
    if not frame.index.is_unique:
        faults.add("the index repeats labels; give each unit its own.")
    for column in (treatment, *exact):
        if column not in frame:
            faults.add(f"no column {column!r}; the table has {listed(frame.columns, limit=12)}.")
    if treatment in frame:
        found = set(frame[treatment].dropna().unique())
        if frame[treatment].isna().any() or not found <= {0, 1}:
            faults.add(f"treatment {treatment!r} must be 0 or 1 in every row; it has {listed(found)}.")
        elif found != {0, 1}:
            faults.add(f"treatment {treatment!r} is {listed(found)} in every row; matching needs both.")


def exact_strata(frame: pd.DataFrame, *, exact: Sequence[str]) -> Integers:
    """One code a combination of the exact columns, shape (units,); 0 for all where there are none."""
    if not exact:
        return np.zeros(len(frame), dtype=np.int64)
    return frame.groupby(list(exact), sort=False, dropna=False).ngroup().to_numpy(dtype=np.int64)


def _turns(
    order: Order,
    neighbours: _Neighbours,
    *,
    score: Floats | None,
    generator: np.random.Generator | None,
) -> Integers:
    everyone = np.arange(len(neighbours.treated))
    if order == "largest" and score is not None:
        return np.argsort(-score[neighbours.treated], kind="stable")
    if order == "random" and generator is not None:
        return generator.permutation(everyone)
    return everyone


_Found = dict[int, list[tuple[int, float]]]


def _with_replacement(neighbours: _Neighbours, *, ratio: int, all_ties: bool, tolerance: float) -> tuple[_Found, int]:
    found: _Found = {}
    ties = 0
    for i in range(len(neighbours.treated)):
        controls, distances, tie = neighbours.nearest(i, taken=(), number=ratio, all_ties=all_ties, tolerance=tolerance)
        found[i] = [(int(j), float(d)) for j, d in zip(controls, distances, strict=True)]
        ties += tie
    return found, ties


def _in_turn(neighbours: _Neighbours, turn: Integers, *, ratio: int) -> tuple[_Found, int]:
    found: _Found = {int(i): [] for i in turn}
    ties = 0
    for pass_ in range(ratio):
        for i in map(int, turn):
            if len(found[i]) < pass_:
                continue
            controls, distances, tie = neighbours.nearest(i, taken=[j for j, _ in found[i]])
            ties += tie
            if len(controls):
                found[i].append((int(controls[0]), float(distances[0])))
                neighbours.take(int(controls[0]))
    return found, ties


def _closest_first(neighbours: _Neighbours, *, ratio: int) -> tuple[_Found, int]:
    """Greedy over pairs; of pairs at the same distance the one found last goes first, as in MatchIt."""
    found: _Found = {i: [] for i in range(len(neighbours.treated))}
    ties = 0
    for pass_ in range(ratio):
        queue: list[tuple[float, int, int, int]] = []
        for i, mine in found.items():
            if len(mine) == pass_:
                controls, distances, tie = neighbours.nearest(i, taken=[j for j, _ in mine])
                ties += tie
                if len(controls):
                    queue.append((float(distances[0]), i, i, int(controls[0])))
        heapq.heapify(queue)
        newest = 0
        while queue:
            gap, _, i, j = heapq.heappop(queue)
            if neighbours.free[j]:
                neighbours.take(j)
                found[i].append((j, gap))
                continue
            controls, distances, tie = neighbours.nearest(i, taken=[k for k, _ in found[i]], passed=j)
            ties += tie
            if len(controls):
                newest -= 1
                heapq.heappush(queue, (float(distances[0]), newest, i, int(controls[0])))
    return found, ties


def _assembled(
    frame: pd.DataFrame,
    neighbours: _Neighbours,
    found: _Found,
    ties: int,
    *,
    replace: bool,
    score: Floats | None,
    settings: Mapping[str, Any],
) -> Matches:
    labels = frame.index.to_numpy()
    squared = neighbours.kind == "mahalanobis"
    rows = [
        (
            labels[neighbours.treated[i]],
            labels[neighbours.controls[j]],
            1 / len(mine),
            math.sqrt(gap) if squared else gap,
        )
        for i, mine in sorted(found.items())
        for j, gap in mine
    ]
    exclusions = _left_over(neighbours, found, replace=replace)
    if not rows:
        raise EstimationError(
            message(
                "no treated unit found a match: {reasons}. Widen the caliper or match exactly on fewer columns.",
                reasons=listed(item.reason for item in exclusions),
            )
        )
    pairs = pd.DataFrame(rows, columns=["treated", "control", "weight", "distance"])
    weights = pd.Series(0.0, index=frame.index, name="weight")
    weights.loc[pairs["treated"].unique()] = 1.0
    by_control = pairs.groupby("control", sort=False)["weight"].sum()
    weights.loc[by_control.index] = by_control.to_numpy()
    propensity = pd.Series(dtype=float) if score is None else pd.Series(score, index=frame.index)
    complete = all(found[i] for i in range(len(neighbours.treated)))
    return Matches(
        pairs=pairs,
        weights=weights,
        propensity=propensity,
        estimand="ATT" if complete else message("ATT of the matched treated"),
        with_replacement=replace,
        ties=ties,
        exclusions=exclusions,
        settings=dict(settings),
    )


def _left_over(neighbours: _Neighbours, found: _Found, *, replace: bool) -> tuple[Exclusion, ...]:
    reasons = {
        message("treated unit without a control that agrees on the exact covariates"): 0,
        message("treated unit without a control within the caliper"): 0,
        message("treated unit whose possible controls were all taken"): 0,
    }
    stratum, caliper, taken = reasons
    for i in range(len(neighbours.treated)):
        if found.get(i):
            continue
        if not neighbours.stratum(i).any():
            reasons[stratum] += 1
        elif not neighbours.allowed(i).any():
            reasons[caliper] += 1
        else:
            reasons[taken] += 1
    used = {j for mine in found.values() for j, _ in mine}
    reasons[message("control that is nobody's match")] = len(neighbours.controls) - len(used)
    return tuple(Exclusion(reason=reason, rows=count, units=count) for reason, count in reasons.items() if count)
