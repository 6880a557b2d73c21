"""Gaps between groups of residents as outcomes in their own right, each with its own standard error.

In: the panel's broadband shares by group, or the observations of youth by sex and race. Out: `Gaps`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np
import pandas as pd

from wwc_research import catalog
from wwc_research.errors import InputError, listed
from wwc_research.panel.panel import Panel

BroadbandKind = Literal["race", "income"]
YouthKind = Literal["race", "sex"]

# the two kinds count different things (people, households), so a gap never crosses them; the reference stands first
BROADBAND_GROUPS: Mapping[str, tuple[str, ...]] = {
    "race": ("white", "black", "hispanic", "other_race"),
    "income": ("income_over_50k", "income_under_50k"),
}
BROADBAND_UNIVERSE = {"race": "people", "income": "households"}
YOUTH_GROUPS: Mapping[str, tuple[str, ...]] = {
    "race": ("white", "black", "hispanic", "other"),
    "sex": ("male", "female"),
}
ROW_COLUMNS = (
    "place_id", "year", "outcome", "universe", "kind", "group", "reference", "value_group", "value_reference", "gap",
    "std_error", "is_group_worse",
)  # fmt: skip
LEFT_OUT_COLUMNS = ("kind", "group", "reason", "rows")


@dataclass(frozen=True, slots=True, kw_only=True)
class Gaps:
    """Gaps, and how many pairs of figures gave none.

    Attributes
    ----------
    rows
        place_id (place or county), year, outcome, universe (what a share counts), kind, group, reference, value_group,
        value_reference, gap (group - reference, as a share), std_error (of the gap; NaN where an error is unknown),
        is_group_worse (by the direction of the outcome).
    left_out
        kind, group, reason, rows: pairs in which the group's or the reference's figure is missing or flagged.
    """

    rows: pd.DataFrame
    left_out: pd.DataFrame


def broadband_gaps(
    panel: Panel,
    *,
    kind: BroadbandKind,
    reference: str | None = None,
    accepted_flags: tuple[str, ...] = (),
) -> Gaps:
    """Gaps in broadband between groups of one kind, by place and year, from the 5-year figures.

    gap = group - reference; std_error = sqrt(s_group² + s_reference²). Assumption: the groups are independent samples,
    which is near the truth for disjoint groups of one survey.

    Parameters
    ----------
    kind
        `race` (of people) or `income` (of households); the universes differ and are never mixed.
    reference
        Group of that kind (default: `white`, `income_over_50k`).
    accepted_flags
        Marks of weaker figures to be used all the same, such as `quality_2`; by default any mark leaves a figure out.
    """
    groups, chosen = _groups(BROADBAND_GROUPS, kind, reference, allowed=get_args(BroadbandKind))
    frame = panel.frame
    parts = []
    for group in groups:
        column = f"broadband_5y_{group}_share"
        panel.column(column)
        parts.append(
            pd.DataFrame(
                {
                    "place_id": frame["place_id"],
                    "year": frame["year"],
                    "group": group,
                    "value": frame[column],
                    "std_error": frame[f"{column}_std_error"],
                    "flag": frame[f"{column}_flag"],
                }
            )
        )
    figures = pd.concat(parts, ignore_index=True)
    return _gaps(
        # city-years for which nothing was ever published are not figures left out
        figures.loc[figures["value"].notna() | figures["flag"].fillna("").ne("")],
        kind=kind,
        reference=chosen,
        groups=groups,
        outcome="broadband",
        universe=BROADBAND_UNIVERSE[kind],
        accepted_flags=accepted_flags,
    )


def youth_neet_gaps(
    observations: pd.DataFrame,
    *,
    kind: YouthKind,
    reference: str | None = None,
    accepted_flags: tuple[str, ...] = (),
) -> Gaps:
    """Gaps in the share of young people out of school and work, by county and year.

    As `broadband_gaps`: gap = group - reference, independent samples assumed. In 2000 the source has no errors, and
    the gap's error is NaN.

    Parameters
    ----------
    observations
        Long observations (`raw.read_observations`) that hold the source `youth_neet_county`.
    kind
        `race` or `sex`.
    reference
        Group of that kind (default: `white`, `male`).
    accepted_flags
        Marks of figures to be used all the same; by default any mark (`no_cases`) leaves a figure out.
    """
    groups, chosen = _groups(YOUTH_GROUPS, kind, reference, allowed=get_args(YouthKind))
    variables = {f"youth_neet_{group}_share": group for group in groups}
    own = observations.loc[observations["source"].eq("youth_neet_county") & observations["variable"].isin(variables)]
    missing = sorted(set(variables) - set(own["variable"]))
    if missing:
        raise InputError(f"the observations hold no {listed(missing)} of source youth_neet_county; read that source")
    figures = own.assign(group=own["variable"].map(variables))
    # two counties merged into one peer bear no official code and belong to no place
    merged = figures["place_id"].str.startswith("MERGED")
    found = _gaps(
        figures.loc[~merged],
        kind=kind,
        reference=chosen,
        groups=groups,
        outcome="youth_neet",
        universe="people aged 16 to 24",
        accepted_flags=accepted_flags,
    )
    counts = figures.loc[merged & figures["group"].ne(chosen), "group"].value_counts()
    extra = [(kind, group, "merged area without a code", int(counts.get(group, 0))) for group in groups]
    extra = [row for row in extra if row[3]]
    left_out = [*found.left_out.itertuples(index=False, name=None), *extra]
    return Gaps(rows=found.rows, left_out=pd.DataFrame(left_out, columns=list(LEFT_OUT_COLUMNS)))


def _groups(
    known: Mapping[str, tuple[str, ...]], kind: str, reference: str | None, *, allowed: tuple[str, ...]
) -> tuple[tuple[str, ...], str]:
    if kind not in allowed:
        raise InputError(f"kind = {kind!r}; allowed: {listed(allowed)}")
    groups = known[kind]
    if reference is not None and reference not in groups:
        raise InputError(f"reference = {reference!r} is no group of kind {kind!r}; allowed: {listed(groups)}")
    return groups, reference or groups[0]


def _gaps(
    figures: pd.DataFrame,
    *,
    kind: str,
    reference: str,
    groups: tuple[str, ...],
    outcome: str,
    universe: str,
    accepted_flags: tuple[str, ...],
) -> Gaps:
    """Gaps of every group to the reference, place and year by place and year."""
    flags = figures["flag"].fillna("")
    usable = figures.assign(
        why=np.select(
            [figures["value"].isna(), flags.ne("") & ~flags.isin(accepted_flags)], ["not published", "flagged"], ""
        )
    )
    keyed = usable.set_index(["place_id", "year", "group"])[["value", "std_error", "why"]]
    keys = usable[["place_id", "year"]].drop_duplicates().sort_values(["place_id", "year"], ignore_index=True)
    direction = catalog.outcome(outcome).direction
    parts, left_out = [], []
    for group in (name for name in groups if name != reference):
        own, other = (_of_group(keyed, keys, name) for name in (group, reference))
        reasons = np.where(own["why"].ne(""), "group " + own["why"], np.where(other["why"].ne(""), "reference ", ""))
        reasons = np.where(reasons == "reference ", "reference " + other["why"], reasons)
        kept = reasons == ""
        left_out += [
            (kind, group, str(reason), int(count))
            for reason, count in zip(*np.unique(reasons[~kept].astype(str), return_counts=True), strict=True)
        ]
        gap = own["value"] - other["value"]
        table = keys.assign(
            outcome=outcome,
            universe=universe,
            kind=kind,
            group=group,
            reference=reference,
            value_group=own["value"],
            value_reference=other["value"],
            gap=gap,
            std_error=np.hypot(own["std_error"], other["std_error"]),
            is_group_worse=gap < 0 if direction == "higher" else gap > 0,
        )
        parts.append(table.loc[kept])
    rows = pd.concat(parts, ignore_index=True)[list(ROW_COLUMNS)]
    return Gaps(
        rows=rows.sort_values(["place_id", "year", "group"], ignore_index=True),
        left_out=pd.DataFrame(left_out, columns=list(LEFT_OUT_COLUMNS)),
    )


def _of_group(keyed: pd.DataFrame, keys: pd.DataFrame, group: str) -> pd.DataFrame:
    """Figures of one group in the order of `keys`."""
    wanted = pd.MultiIndex.from_arrays([keys["place_id"], keys["year"], [group] * len(keys)])
    return keyed.reindex(wanted).reset_index(drop=True).fillna({"why": "not published"})
