"""Responses and an edition become points, shares, a level and a decision with its reasons.

Pure and vectorised: loops run over criteria, practices and distinct totals, never over cities.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final, Literal, get_args

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from wwc_research.catalog.editions import Edition, OutcomeRequirement, TieRule
from wwc_research.errors import Faults, listed
from wwc_research.standard.responses import (
    KEYS,
    MET,
    NOT_ASSESSED,
    NOT_MET,
    REFUSED,
    Confidential,
    Responses,
)

Standing = Literal["demonstrated", "not demonstrated", "cannot tell"]

LEVELS: Final = ("none", "silver", "gold", "platinum")
OWN_OUTCOME: Final = "own_outcome"

Flags = NDArray[np.bool_]
# Shares are compared with published whole percentages; this is far below one point of any edition.
_ROUNDING = 1e-9


class _Reasons:
    """Sentences gathered for many cities at once: one text and the rows it is said of."""

    def __init__(self) -> None:
        self.texts: list[str] = []
        self.rows: list[NDArray[np.intp]] = []

    def add(self, text: str, flags: Flags) -> None:
        rows = np.flatnonzero(flags)
        if len(rows):
            self.texts.append(text)
            self.rows.append(rows)

    def by_row(self, n: int) -> list[list[str]]:
        """The texts of each row, in the order in which they were added."""
        said: list[list[str]] = [[] for _ in range(n)]
        for text, rows in zip(self.texts, self.rows, strict=True):
            for row in rows:
                said[row].append(text)
        return said


class Scores(Confidential):
    """What each assessment scores; shows how many there are and never what they are.

    Attributes
    ----------
    edition, tie_rule
        Under which edition and tie rule.
    points, share
        Arrays, one entry an assessment; `share` (0-1) is NaN where the edition's total is not known.
    criteria_total
        Criteria of the edition; None where not known.
    practice_shares
        Frame assessment × practice (0-1); NaN for a practice of which not every criterion is known.
    level, level_by_points
        Text arrays. `level` is the one awarded: `none` unless certified. `level_by_points` is what the points alone
        would give.
    is_certified
        Flags.
    place_id, assessed_on
        Text arrays of keys.
    is_simulated
        Whether the places are invented.
    """

    __slots__ = (
        "_names",
        "_reasons",
        "assessed_on",
        "criteria_total",
        "edition",
        "is_certified",
        "is_simulated",
        "level",
        "level_by_points",
        "place_id",
        "points",
        "practice_shares",
        "share",
        "tie_rule",
    )

    def __init__(
        self,
        keys: pd.DataFrame,
        *,
        edition: str,
        tie_rule: TieRule,
        points: NDArray[np.float64],
        share: NDArray[np.float64],
        criteria_total: int | None,
        practice_shares: pd.DataFrame,
        level_by_points: NDArray[np.object_],
        is_certified: Flags,
        is_simulated: bool,
        reasons: _Reasons,
    ) -> None:
        self.edition = edition
        self.tie_rule = tie_rule
        self.points = points
        self.share = share
        self.criteria_total = criteria_total
        self.practice_shares = practice_shares
        self.level_by_points = level_by_points
        self.level: NDArray[np.object_] = np.where(is_certified, level_by_points, "none")
        self.is_certified = is_certified
        self.is_simulated = is_simulated
        self.place_id: NDArray[np.object_] = keys["place_id"].to_numpy(dtype=object)
        self.assessed_on: NDArray[np.object_] = keys["assessed_on"].to_numpy(dtype=object)
        self._names: NDArray[np.object_] = keys["name"].to_numpy(dtype=object)
        self._reasons = reasons

    def __repr__(self) -> str:
        label = "SIMULATED, handled as confidential" if self.is_simulated else "confidential"
        return f"<Scores: {len(self):,} assessments under {self.edition}, {label}>"

    def __len__(self) -> int:
        """How many assessments were scored."""
        return len(self.points)

    def confidential_records(self) -> list[dict[str, Any]]:
        """One mapping of plain values an assessment, under the names of the command's output, with its reasons.

        Sorted by place_id and date; what is not known is None. The records print what they hold.
        """
        said = self._reasons.by_row(len(self))
        order = np.lexsort((self.assessed_on.astype(str), self.place_id.astype(str)))
        shares = self.practice_shares.to_dict(orient="records")
        return [
            {
                "place_id": self.place_id[row],
                "name": self._names[row],
                "edition": self.edition,
                "assessed_on": self.assessed_on[row],
                "points": _plain_number(self.points[row]),
                "criteria_total": self.criteria_total,
                "share": _known(self.share[row]),
                "practice_shares": {str(name): _known(value) for name, value in shares[row].items()},
                "level": self.level[row],
                "level_by_points": self.level_by_points[row],
                "certified": bool(self.is_certified[row]),
                "reasons": said[row],
            }
            for row in order
        ]

    def level_counts(self) -> dict[str, int]:
        """How many assessments got each level, the highest first, `none` last."""
        return {name: int(np.sum(self.level == name)) for name in reversed(LEVELS)}


def score(
    responses: Responses,
    edition: Edition,
    *,
    tie_rule: TieRule | None = None,
    outcomes: Mapping[str, Mapping[str, Standing]] | None = None,
) -> Scores:
    """Points, shares, level and decision of every assessment under an edition.

    A criterion counts its points where it is met and all its prerequisites count; not assessed counts nothing. Points
    below the full ones count as they are, but the criterion is not met: as a core criterion it stops certification,
    as a prerequisite it blocks. A response whose evidence was not accepted counts as not met. The level follows the
    share of all points. Certified is who reaches a level, meets every core criterion (where the edition requires them;
    a prerequisite blocks points only, so a blocked core criterion is met) and does not fail the outcome requirement.

    Parameters
    ----------
    tie_rule
        Level of a total in a hole between two bands, `down` or `up`; the edition's own where not given.
    outcomes
        place_id → outcome → `demonstrated`, `not demonstrated` or `cannot tell`. The outcome requirement is judged
        for the places that stand here, and for assessments whose responses hold the city's own outcome; for others the
        decision is made without it and says "outcome not assessed". What cannot be told is not demonstrated. Where the
        edition knows an outcome of the city's own choice it may stand here as `own_outcome`; that of the assessment
        itself goes before it.

    Raises
    ------
    InputError
        If the responses belong to another edition (see `Responses.under`), or an option, prerequisite or standing is
        none that exists.
    """
    rule = edition.tie_rule if tie_rule is None else tie_rule
    _check(responses, edition, rule=rule, outcomes=outcomes)
    columns = list(edition.criteria)
    frame = responses.confidential_frame(what="own_outcome")
    said = responses.confidential_frame()[columns].to_numpy()
    part = responses.confidential_frame(what="points")[columns].to_numpy()
    refused = responses.confidential_frame(what="evidence")[columns].to_numpy() == REFUSED
    values = np.where(refused & (said == MET), NOT_MET, said)
    in_part = np.isfinite(part) & ~refused
    weights = np.array([criterion.points for criterion in edition.criteria.values()], dtype=float)
    counts = counting(values == MET, edition)
    counts_in_part = in_part & _unblocked(counts, edition)
    earned = counts * weights + np.where(counts_in_part, part, 0.0)
    points = earned.sum(axis=1)
    reasons = _Reasons()
    passes = _core_passes(values, in_part, edition, reasons=reasons)
    passes &= _outcome_passes(frame, edition.outcome_requirement, outcomes=outcomes, reasons=reasons)
    share, level = _levels(points, edition, rule=rule)
    is_certified = passes & (level != "none")
    _say_totals(points, level, edition, rule=rule, passes=passes, reasons=reasons)
    _say_refused(refused & (said == MET), refused & np.isfinite(part), edition, reasons=reasons)
    _say_in_part(np.where(counts_in_part, part, np.nan), edition, reasons=reasons)
    _say_blocked(values == MET, in_part, counts, edition, reasons=reasons)
    unassessed = (values == NOT_ASSESSED).sum(axis=1)
    for number in np.unique(unassessed[unassessed > 0]):
        reasons.add(f"{number} of {len(edition.criteria)} criteria not assessed: no points", unassessed == number)
    return Scores(
        frame[list(KEYS)],
        edition=edition.name,
        tie_rule=rule,
        points=points,
        share=share,
        criteria_total=edition.criteria_total if edition.total_is_known else None,
        practice_shares=_practice_shares(earned, weights, edition),
        level_by_points=level,
        is_certified=is_certified,
        is_simulated=responses.is_simulated,
        reasons=reasons,
    )


def counting(met: Flags, edition: Edition) -> Flags:
    """Which criteria count: met, and every prerequisite counts too, so a block runs down the whole chain.

    Shape (assessments, criteria) in and out, columns in the order of the edition.
    """
    position = {name: column for column, name in enumerate(edition.criteria)}
    counts = met.copy()
    # Each pass carries a block one step further; a chain has at most as many steps as there are criteria.
    for _ in range(len(position)):
        before = counts.copy()
        for name, criterion in edition.criteria.items():
            for required in criterion.requires:
                counts[:, position[name]] &= counts[:, position[required]]
        if np.array_equal(before, counts):
            break
    return counts


def _unblocked(counts: Flags, edition: Edition) -> Flags:
    """Which criteria have no prerequisite that does not count."""
    position = {name: column for column, name in enumerate(edition.criteria)}
    free = np.ones(counts.shape, dtype=bool)
    for name, criterion in edition.criteria.items():
        for required in criterion.requires:
            free[:, position[name]] &= counts[:, position[required]]
    return free


def level_of(points: float, edition: Edition, *, tie_rule: TieRule | None = None) -> str:
    """Level that a total of points alone gives: `none`, `silver`, `gold` or `platinum`.

    `none` also where the edition's total is not known or its levels follow components.
    """
    rule = edition.tie_rule if tie_rule is None else tie_rule
    return str(_levels(np.array([points], dtype=float), edition, rule=rule)[1][0])


def _check(
    responses: Responses, edition: Edition, *, rule: str, outcomes: Mapping[str, Mapping[str, Any]] | None
) -> None:
    faults = Faults(f"scoring with {edition.name}")
    if rule not in get_args(TieRule):
        faults.add(f"tie_rule {rule!r} is unknown; allowed: {listed(get_args(TieRule))}")
    if responses.edition != edition.name or set(responses.criteria) != set(edition.criteria):
        faults.add(f"the responses were given under {responses.edition}; carry them over with Responses.under first")
    for criterion in edition.criteria.values():
        absent = [name for name in criterion.requires if name not in edition.criteria]
        if absent:
            faults.add(f"{criterion.id} requires {listed(absent)}, which the edition does not have")
    standings = {str(value) for given in (outcomes or {}).values() for value in given.values()}
    if standings - set(get_args(Standing)):
        wrong = listed(repr(text) for text in sorted(standings - set(get_args(Standing))))
        faults.add(f"outcomes are said to be {wrong}; allowed: {listed(get_args(Standing))}")
    if outcomes and edition.outcome_requirement is not None:
        wanted = _outcome_names(edition.outcome_requirement)
        foreign = sorted({name for given in outcomes.values() for name in given} - set(wanted))
        if foreign:
            faults.add(
                f"outcomes hold {listed(foreign)}, which the requirement does not name; it names {listed(wanted)}"
            )
    faults.raise_if_any()


def _no_level_because(edition: Edition) -> str:
    """Why an edition gives no level; '' where it gives one."""
    if not edition.total_is_known:
        return f"no level: the total of {edition.name} is not known"
    if edition.levels_by_components:
        return f"no level: the levels of {edition.name} follow components, not the share of points"
    return "" if edition.levels_follow_points else f"no level: {edition.name} names no bands"


def _levels(
    points: NDArray[np.float64], edition: Edition, *, rule: TieRule
) -> tuple[NDArray[np.float64], NDArray[np.object_]]:
    """Share of all points and the level of each total."""
    total = edition.points_total
    whole = edition.total_is_known and total > 0
    share = points / total if whole else np.full(len(points), np.nan)
    level = np.full(len(points), "none", dtype=object)
    if _no_level_because(edition):
        return share, level
    pct = 100 * share
    bands = sorted(edition.levels, key=lambda band: band.minimum_pct)
    floors = [band.minimum_pct for band in bands]
    for position, band in enumerate(bands):
        level[pct >= floors[position] - _ROUNDING] = band.name
        if position and rule == "up":
            level[_hole(pct, bands, position=position)] = band.name
    return share, level


def _hole(pct: NDArray[np.float64], bands: list[Any], *, position: int) -> Flags:
    """Shares above the band below and under the band at `position`."""
    above = pct > bands[position - 1].maximum_pct + _ROUNDING
    return above & (pct < bands[position].minimum_pct - _ROUNDING)


def _core_passes(values: NDArray[np.int8], in_part: Flags, edition: Edition, *, reasons: _Reasons) -> Flags:
    passes = np.ones(len(values), dtype=bool)
    if not edition.core_required:
        return passes
    for column, criterion in enumerate(edition.criteria.values()):
        if criterion.is_core:
            answer = values[:, column]
            partly = in_part[:, column]
            reasons.add(f"core criterion {criterion.id} met in part only", partly)
            reasons.add(f"core criterion {criterion.id} not met", (answer == NOT_MET) & ~partly)
            reasons.add(f"core criterion {criterion.id} not assessed", answer == NOT_ASSESSED)
            passes &= answer == MET
    return passes


def _outcome_passes(
    frame: pd.DataFrame,
    requirement: OutcomeRequirement | None,
    *,
    outcomes: Mapping[str, Mapping[str, Standing]] | None,
    reasons: _Reasons,
) -> Flags:
    """True where the outcome requirement is met or cannot be judged for want of outcomes.

    The frame has place_id and own_outcome, a row an assessment.
    """
    n = len(frame)
    if requirement is None:
        return np.ones(n, dtype=bool)
    shown = np.zeros(n, dtype=int)
    unclear = np.zeros(n, dtype=int)
    judged = np.zeros(n, dtype=bool)
    for name in _outcome_names(requirement):
        given = {place: standings[name] for place, standings in (outcomes or {}).items() if name in standings}
        standing = frame["place_id"].map(given)
        if name == OWN_OUTCOME:
            standing = frame["own_outcome"].where(frame["own_outcome"] != "", standing)
        judged |= standing.notna().to_numpy(dtype=bool)
        shown += (standing == "demonstrated").to_numpy(dtype=bool)
        unclear += (standing.isna() | (standing == "cannot tell")).to_numpy(dtype=bool)
    failed = judged & (shown < requirement.at_least)
    wanted = f"{requirement.at_least} of {listed(_outcome_names(requirement))}"
    reasons.add("outcome not assessed", ~judged)
    for number in np.unique(shown[judged]):
        said = f"outcome requirement {'met' if number >= requirement.at_least else 'not met'}: {number} demonstrated"
        alike = judged & (shown == number)
        may_tell = failed & (unclear > 0)
        reasons.add(f"{said}, wanted {wanted}", alike & ~may_tell)
        reasons.add(f"{said}, others cannot be told, wanted {wanted}", alike & may_tell)
    return ~failed


def _outcome_names(requirement: OutcomeRequirement) -> tuple[str, ...]:
    """Names under which standings may be given, that of the city's own choice last."""
    return (*requirement.outcomes, OWN_OUTCOME) if requirement.has_own_choice else requirement.outcomes


def _say_totals(
    points: NDArray[np.float64],
    level: NDArray[np.object_],
    edition: Edition,
    *,
    rule: TieRule,
    passes: Flags,
    reasons: _Reasons,
) -> None:
    """A sentence on what each total gives, or why none is given."""
    why_not = _no_level_because(edition)
    if why_not:
        reasons.add(why_not, np.ones(len(points), dtype=bool))
        return
    bands = sorted(edition.levels, key=lambda band: band.minimum_pct)
    total = _plain_number(edition.points_total)
    for number in np.unique(points):
        same = points == number
        name = level_of(float(number), edition, tie_rule=rule)
        said = f"{_plain_number(number)} of {total}"
        pct = np.array([100 * number / edition.points_total])
        for position in range(1, len(bands)):
            if _hole(pct, bands, position=position)[0]:
                between = f"{bands[position - 1].name} and {bands[position].name}"
                reasons.add(f"{said} lies between the bands of {between}: tie rule {rule}", same)
        if name == "none":
            reasons.add(f"{said} is below {bands[0].name} ({bands[0].minimum_pct:g} %)", same)
        else:
            reasons.add(f"{said} is {name}", same & passes)
            reasons.add(f"{said} would be {name}", same & ~passes)


def _say_refused(met: Flags, in_part: Flags, edition: Edition, *, reasons: _Reasons) -> None:
    """A sentence for each criterion whose evidence was not accepted."""
    for column, name in enumerate(edition.criteria):
        reasons.add(f"{name} said to be met, evidence not accepted", met[:, column])
        reasons.add(f"{name} said to be met in part, evidence not accepted", in_part[:, column])


def _say_in_part(points: NDArray[np.float64], edition: Edition, *, reasons: _Reasons) -> None:
    """A sentence for each criterion of which some points count, NaN where none in part do."""
    for column, (name, criterion) in enumerate(edition.criteria.items()):
        for number in np.unique(points[np.isfinite(points[:, column]), column]):
            said = f"{name} met in part: {_plain_number(number)} of {_plain_number(criterion.points)} points"
            reasons.add(said, points[:, column] == number)


def _say_blocked(met: Flags, in_part: Flags, counts: Flags, edition: Edition, *, reasons: _Reasons) -> None:
    """A sentence for each criterion that is met, perhaps in part, and counts nothing, and what stops it."""
    position = {name: column for column, name in enumerate(edition.criteria)}
    for name, criterion in edition.criteria.items():
        own = position[name]
        for said, stopped in ((f"{name} met", met[:, own] & ~counts[:, own]), (f"{name} met in part", in_part[:, own])):
            for required in criterion.requires:
                column = position[required]
                partly = in_part[:, column]
                blocked = met[:, column] & ~counts[:, column]
                short = f"{said} but its prerequisite {required} is"
                reasons.add(f"{short} met in part only: no point", stopped & partly)
                reasons.add(f"{short} not: no point", stopped & ~met[:, column] & ~partly)
                reasons.add(f"{short} itself blocked: no point", stopped & blocked)


def _practice_shares(scored: NDArray[np.float64], weights: NDArray[np.float64], edition: Edition) -> pd.DataFrame:
    """Share of a practice's points (0-1); NaN for a practice of which not every criterion is known."""
    practices = np.array([criterion.practice for criterion in edition.criteria.values()], dtype=object)
    shares = {}
    for name, practice in edition.practices.items():
        inside = practices == name
        if practice.criteria_count is None:
            whole = edition.total_is_known and not (practices == "").any()
        else:
            whole = int(inside.sum()) == practice.criteria_count
        total = weights[inside].sum()
        shares[name] = scored[:, inside].sum(axis=1) / total if whole and total > 0 else np.full(len(scored), np.nan)
    return pd.DataFrame(shares, index=range(len(scored)))


def _known(value: float) -> float | None:
    return None if np.isnan(value) else float(value)


def _plain_number(value: float) -> float | int:
    return int(value) if float(value).is_integer() else float(value)
