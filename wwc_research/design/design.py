"""A Design says which units of the panel are compared, over which years; its sample says what it left out.

In: a Panel and the plan's analysis. Out: a Sample for panel estimators, or a baseline table for matching.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import pandas as pd

from wwc_research import catalog
from wwc_research.catalog import Analysis, Outcome, Treatment
from wwc_research.design.sample import Exclusion, Sample
from wwc_research.errors import EstimationError, InputError, listed
from wwc_research.panel.panel import Panel

MAIN_COUNTY = "_main_county"
UNDATED = "known to be exposed, date unknown"


@dataclass(frozen=True, slots=True, kw_only=True)
class Design:
    """Who is compared with whom for one outcome and one treatment.

    Units are places, or counties where the outcome was measured for counties: a county counts as exposed from
    the first year in which any of its places in the panel was.
    """

    outcome: Outcome
    treatment: Treatment
    analysis: Analysis

    def __post_init__(self) -> None:
        if self.treatment.kind != "dated":
            dated = [name for name, entry in catalog.treatments().items() if entry.kind == "dated"]
            raise InputError(
                f"{self.treatment.name} is not dated, so it has no before and after; use one of {listed(dated)}"
            )

    def with_analysis(self, **changes: object) -> Design:
        """The same design with some fields of its analysis changed."""
        return replace(self, analysis=replace(self.analysis, **changes))  # type: ignore[arg-type]

    def sample(self, panel: Panel) -> Sample:
        """The unit-years of the window that may be compared, and every exclusion with its reason.

        Clusters are counties: places of one county share shocks, and often the figure itself.

        Raises
        ------
        EstimationError
            Where no exposed or no comparison unit is left.
        """
        frame = self.unit_years(panel)
        first, last = self.analysis.window
        frame = frame.loc[frame["time"].between(first, last)].reset_index(drop=True)
        ledger: list[Exclusion] = []
        for reason, drop in self._exclusion_rules(frame):
            alive = drop.reindex(frame.index, fill_value=False)
            if alive.any():
                gone = frame.loc[alive]
                ledger.append(Exclusion(reason=reason, rows=len(gone), units=int(gone["unit"].nunique())))
                frame = frame.loc[~alive]
        later = frame["is_later_edition"].to_numpy(dtype=bool)
        frame = frame.assign(cohort=frame["cohort"].where(~later), weight=1.0)
        self._require_contrast(frame)
        columns = ["unit", "time", "outcome", "cohort", "cluster", "weight", "label", "n_places"]
        return Sample(
            frame=frame[columns].sort_values(["unit", "time"], ignore_index=True),
            comparison=self.analysis.comparison,
            anticipation=self.analysis.anticipation,
            exclusions=tuple(ledger),
            settings={
                "outcome": self.outcome.name,
                "treatment": self.treatment.name,
                "unit": self.analysis.unit,
                "window": list(self.analysis.window),
                "editions": list(self.analysis.editions),
                "comparison": self.analysis.comparison,
                "anticipation": self.analysis.anticipation,
                "cluster": "county",
            },
        )

    def _exclusion_rules(self, frame: pd.DataFrame) -> list[tuple[str, pd.Series]]:
        """(reason, rows to drop), in the order in which they are applied."""
        by_unit = frame.groupby("unit")
        never_seen = by_unit["outcome"].transform("count") == 0
        missing = frame["outcome"].isna()
        flagged = missing & frame["flag"].ne("")
        gaps = {int(year): why for year, why in self.outcome.gaps.items()}
        rules = [(f"no figure in any year (the source covers {self.outcome.coverage})", never_seen)]
        rules += [(f"{year}: {why}", missing & frame["time"].eq(year)) for year, why in sorted(gaps.items())]
        rules += [
            (f"figure removed or withheld: {flag.replace('_', ' ')}", flagged & frame["flag"].eq(flag))
            for flag in sorted(frame.loc[flagged, "flag"].unique())
        ]
        rules.append(("no figure in this year", missing))
        rules.append((f"{UNDATED}: neither exposed nor a comparison", frame["is_undated"]))
        if self.treatment.known_through is not None:
            last = self.treatment.known_through
            rules.append((f"after {last}, the last year in which every exposure is known", frame["time"] > last))
        if self.treatment.name == "certification":
            rules.append(self._later_awards(frame))
        rules.append(
            (
                "a single year with a figure: no change can be seen",
                frame.loc[~missing].groupby("unit")["time"].transform("size") < 2,
            )
        )
        first_seen = frame["time"].where(~missing).groupby(frame["unit"]).transform("min")
        past = frame["cohort"] > first_seen + self.analysis.anticipation
        rules.append(("exposed in or before its first year with a figure: no past", frame["cohort"].notna() & ~past))
        return rules

    def _later_awards(self, frame: pd.DataFrame) -> tuple[str, pd.Series]:
        """Units first awarded under another edition: out of the never exposed, and out of others once awarded."""
        editions = " or ".join(edition.upper() for edition in self.analysis.editions)
        later = frame["is_later_edition"].astype(bool)
        if self.analysis.comparison == "never":
            return f"first awarded under another edition than {editions}: not never exposed", later
        own = later & (frame["time"] >= frame["cohort"] - self.analysis.anticipation)
        return f"own years after a first award under another edition than {editions}", own

    def _require_contrast(self, frame: pd.DataFrame) -> None:
        treated = frame["cohort"].notna()
        what = f"{self.outcome.name} by {self.treatment.name}, {self.analysis.window[0]}-{self.analysis.window[1]}"
        if frame.empty or not treated.any():
            raise EstimationError(f"{what}: no exposed unit has a figure; widen the window or the editions")
        if treated.all() and self.analysis.comparison == "never":
            raise EstimationError(f"{what}: every unit is exposed; use comparison = not_yet")

    def unit_years(self, panel: Panel) -> pd.DataFrame:
        """One row a unit and year with the outcome as analysed, before any exclusion.

        Columns: unit, time, outcome, flag, cohort, is_undated, is_later_edition, cluster, label, n_places.
        """
        places = self._place_years(panel)
        if self.analysis.unit == "place":
            return places.assign(n_places=1).drop(columns=["county_outcome", "county_flag", "county_id"])
        return self._county_years(places, panel)

    def _place_years(self, panel: Panel) -> pd.DataFrame:
        frame = panel.frame
        name, variable = self.treatment.name, self.outcome.variable
        cohort = frame[f"{name}_cohort"].astype("float64")
        edition = frame.get(f"{name}_edition", pd.Series("", index=frame.index))
        later = cohort.notna() & ~edition.isin(self.analysis.editions) if name == "certification" else False
        county = self.analysis.unit == "county"
        return pd.DataFrame(
            {
                "unit": frame["place_id"],
                "time": frame["year"],
                "outcome": self._analysed(frame[variable]),
                "flag": frame.get(f"{variable}_flag", pd.Series("", index=frame.index)).fillna(""),
                "cohort": cohort,
                "is_undated": frame.get(f"{name}_is_undated", pd.Series(False, index=frame.index)),
                "is_later_edition": later,
                "cluster": frame["county_id"],
                "label": frame["label"],
                "county_id": frame["county_id"],
                "county_outcome": self._analysed(frame[variable + MAIN_COUNTY]) if county else np.nan,
                "county_flag": frame[variable + MAIN_COUNTY + "_flag"].fillna("") if county else "",
            }
        )

    def _analysed(self, values: pd.Series) -> pd.Series:
        return np.log(values) if self.outcome.transform == "log" else values

    def _county_years(self, places: pd.DataFrame, panel: Panel) -> pd.DataFrame:
        """Places collapsed to their main county; the county's own figure, the earliest exposure in it."""
        chosen = self.analysis.editions
        dated = places.assign(
            chosen_cohort=places["cohort"].where(~places["is_later_edition"].astype(bool)),
            later_cohort=places["cohort"].where(places["is_later_edition"].astype(bool)),
        )
        grouped = dated.groupby(["county_id", "time"], sort=True)
        counties = grouped.agg(
            outcome=("county_outcome", "first"),
            flag=("county_flag", "first"),
            chosen_cohort=("chosen_cohort", "min"),
            later_cohort=("later_cohort", "min"),
            any_undated=("is_undated", "any"),
            n_places=("unit", "nunique"),
        ).reset_index()
        names = panel.frame.drop_duplicates("county_id").set_index("county_id")["county_name"]
        is_later = counties["chosen_cohort"].isna() & counties["later_cohort"].notna()
        cohort = counties["chosen_cohort"].where(~is_later, counties["later_cohort"])
        if not chosen:
            raise InputError("editions: name at least one edition of the Standard")
        return pd.DataFrame(
            {
                "unit": counties["county_id"],
                "time": counties["time"],
                "outcome": counties["outcome"],
                "flag": counties["flag"],
                "cohort": cohort,
                "is_undated": counties["any_undated"].astype(bool),
                "is_later_edition": is_later,
                "cluster": counties["county_id"],
                "label": counties["county_id"].map(names),
                "n_places": counties["n_places"],
            }
        )
