"""A Design says which units of the panel are compared, over which years; its sample says what it left out.

In: a Panel and the plan's analysis. Out: a Sample for panel estimators, or a baseline table for matching.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal, get_args

import numpy as np
import pandas as pd

from wwc_research import catalog
from wwc_research.catalog import Analysis, Outcome, Treatment
from wwc_research.design.sample import Exclusion, Sample
from wwc_research.errors import EstimationError, Faults, InputError, listed
from wwc_research.messages import message
from wwc_research.panel.panel import Panel
from wwc_research.sources.observations import FLAG_WORDS
from wwc_research.standard.regions import region_of_state
from wwc_research.standard.timing import LEVEL_DOSE, first_exposed_year

MAIN_COUNTY = "_main_county"
PEOPLE_SHARE = "people_share"
FEWEST_EXPOSED = 5
Exposure = Literal["own", "neighbours"]
Roster = Literal["all", "source_only"]
Undated = Literal["out", "comparison"]
SURE = "source"
UNDATED = message("known to be exposed, date unknown")


@dataclass(frozen=True, slots=True, kw_only=True)
class Design:
    """Who is compared with whom for one outcome and one treatment.

    Units are places, or counties where the outcome was measured for counties: a county counts as exposed from
    the first year in which any of its places in the panel was.

    `dose` names how much of the treatment an exposed unit has: for places a column of the panel such as
    `certification_level_dose`, for counties `people_share`, the share of the county's people who live in exposed
    places. It becomes the sample's column `dose`, 0 for who is not exposed.

    `exposure = "neighbours"` asks about spillover: units are places never exposed themselves, and a place counts as
    exposed from the first year in which another place of its county was.

    `roster = "source_only"` leaves out units whose first award is not documented by a source of its own (those whose
    row of the roster is inferred, or where sources conflict). `undated = "comparison"` keeps units known to be exposed
    without a date, as if they never were. `exposure_month` dates exposure by another rule than the treatment's: an
    award of that month or later counts from the next year (13: every award in its own year; 1: always from the next).
    """

    outcome: Outcome
    treatment: Treatment
    analysis: Analysis
    dose: str = ""
    exposure: Exposure = "own"
    roster: Roster = "all"
    undated: Undated = "out"
    exposure_month: int | None = None

    def __post_init__(self) -> None:
        if self.treatment.kind != "dated":
            dated = [name for name, entry in catalog.treatments().items() if entry.kind == "dated"]
            raise InputError(
                f"{self.treatment.name} is not dated, so it has no before and after; use one of {listed(dated)}"
            )
        for option, allowed in (("exposure", Exposure), ("roster", Roster), ("undated", Undated)):
            if (value := getattr(self, option)) not in get_args(allowed):
                raise InputError(f"{option} = {value!r} is not offered; allowed: {listed(get_args(allowed))}")
        if self.exposure_month is not None and not 1 <= self.exposure_month <= 13:
            raise InputError(f"exposure_month = {self.exposure_month} should lie between 1 and 13")
        if self.roster != "all" and not self.treatment.is_award:
            raise InputError(f"{self.treatment.name} has no roster of awards; use roster = 'all'")
        if self.exposure == "neighbours" and (self.analysis.unit == "county" or self.dose):
            raise InputError("exposure = 'neighbours' is about places without a dose; use unit = 'place' and no dose")
        if self.dose and self.analysis.unit == "county" and self.dose != PEOPLE_SHARE:
            raise InputError(f"dose {self.dose!r} is not known for counties; allowed: {PEOPLE_SHARE}")

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
        InputError
            Where the years reach across a break of the series that the analysis does not accept, or the panel has no
            figures of the outcome.
        """
        self.refuse_breaks()
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
        frame = frame.assign(stratum=_size_strata(frame, groups=self.analysis.size_strata))
        # codes of places and of counties both begin with the state's
        frame["region"] = frame["unit"].str[:2].map(region_of_state)
        columns = ["unit", "time", "outcome", "cohort", "cluster", "weight", "label"]
        columns += ["n_places", "people", "stratum", "region"]
        if self.dose:
            frame = frame.assign(dose=frame["dose"].where(frame["time"] >= frame["cohort"], 0.0))
            columns.append("dose")
        columns += [name for name in ("outcome_std_error", "latitude", "longitude") if frame[name].notna().all()]
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
                **({"dose": self.dose} if self.dose else {}),
                **({"exposure": self.exposure} if self.exposure != "own" else {}),
                **({"roster": self.roster} if self.roster != "all" else {}),
                **({"undated": self.undated} if self.undated != "out" else {}),
                **({"exposure_month": self.exposure_month} if self.exposure_month is not None else {}),
                **({"accepted_breaks": list(self.accepted_breaks)} if self.accepted_breaks else {}),
            },
        )

    @property
    def accepted_breaks(self) -> dict[int, str]:
        """Breaks of the series that the years compared reach across, with the reasons; the analysis accepts them."""
        crossed = self.outcome.breaks_between(*self.analysis.span)
        return {year: why for year, why in crossed.items() if year in self.analysis.accept_breaks}

    def refuse_breaks(self) -> None:
        """Raise an `InputError` where years are compared across a break that the analysis does not accept."""
        first, last = self.analysis.span
        faults = Faults(f"{self.outcome.name}, {first}-{last}")
        for year, why in self.outcome.breaks_between(first, last).items():
            if year not in self.analysis.accept_breaks:
                faults.add(catalog.break_refusal(year, why))
        faults.raise_if_any()

    def _exclusion_rules(self, frame: pd.DataFrame) -> list[tuple[str, pd.Series]]:
        """(reason, rows to drop), in the order in which they are applied."""
        by_unit = frame.groupby("unit")
        never_seen = by_unit["outcome"].transform("count") == 0
        missing = frame["outcome"].isna()
        flagged = missing & frame["flag"].ne("")
        gaps = {int(year): why for year, why in self.outcome.gaps.items()}
        rules: list[tuple[str, pd.Series]] = [
            (
                message("no figure in any year (the source covers {coverage})", coverage=self.outcome.coverage),
                never_seen,
            )
        ]
        rules += [
            (message("{year}: {why}", year=year, why=why), missing & frame["time"].eq(year))
            for year, why in sorted(gaps.items())
        ]
        rules += [
            (
                message("figure removed or withheld: {flag}", flag=FLAG_WORDS.get(flag, flag)),
                flagged & frame["flag"].eq(flag),
            )
            for flag in sorted(frame.loc[flagged, "flag"].unique())
        ]
        rules.append((message("no figure in this year"), missing))
        if self.exposure == "neighbours":
            rules.append((message("exposed itself, or may be: no neighbour of an exposed place"), frame["is_own"]))
        if self.undated == "out":
            undated = message("known to be exposed, date unknown: neither exposed nor a comparison")
            rules.append((undated, frame["is_undated"]))
        if self.roster == "source_only":
            rules.append((message("award not documented by a source of its own"), frame["is_unsure"]))
        if self.treatment.known_through is not None:
            last = self.treatment.known_through
            reason = message("after {last}, the last year in which every exposure is known", last=last)
            rules.append((reason, frame["time"] > last))
        if self.treatment.is_award:
            rules.append(self._later_awards(frame))
            other = frame["is_other_award"].astype(bool)
            reason = message("before its exposure, with a city awarded under another edition in the county")
            rules.append((reason, other))
        if self.treatment.minimum_level:
            rules.append(
                (
                    message(
                        "certified below {level}: neither exposed nor a comparison", level=self.treatment.minimum_level
                    ),
                    frame["is_lower_level"],
                )
            )
        if self.dose:
            rules.append((message("exposed, and the dose is not known"), frame["dose"].isna()))
        rules.append(
            (
                message("a single year with a figure: no change can be seen"),
                frame.loc[~missing].groupby("unit")["time"].transform("size") < 2,
            )
        )
        first_seen = frame["time"].where(~missing).groupby(frame["unit"]).transform("min")
        past = frame["cohort"] > first_seen + self.analysis.anticipation
        reason = message("exposed in or before its first year with a figure: no past")
        rules.append((reason, frame["cohort"].notna() & ~past))
        return rules

    def _later_awards(self, frame: pd.DataFrame) -> tuple[str, pd.Series]:
        """Units first awarded under another edition: out of the never exposed, and out of others once awarded."""
        editions = [edition.upper() for edition in self.analysis.editions]
        later = frame["is_later_edition"].astype(bool)
        if self.analysis.comparison == "never":
            reason = message(
                "first awarded under another edition than {editions:list}: not never exposed", editions=editions
            )
            return reason, later
        own = later & (frame["time"] >= frame["cohort"] - self.analysis.anticipation)
        reason = message("own years after a first award under another edition than {editions:list}", editions=editions)
        return reason, own

    def _require_contrast(self, frame: pd.DataFrame) -> None:
        treated = frame["cohort"].notna()
        what = message(
            "{outcome} by {treatment}, {first}-{last}",
            outcome=self.outcome.name,
            treatment=self.treatment.name,
            first=self.analysis.window[0],
            last=self.analysis.window[1],
        )
        if frame.empty or not treated.any():
            raise EstimationError(
                message("{what}: no exposed unit has a figure; widen the window or the editions", what=what)
            )
        if treated.all() and self.analysis.comparison == "never":
            raise EstimationError(message("{what}: every unit is exposed; use comparison = not_yet", what=what))

    def unit_years(self, panel: Panel) -> pd.DataFrame:
        """One row a unit and year with the outcome as analysed, before any exclusion.

        Columns: unit, time, outcome, outcome_std_error (NaN where not published, or for a transformed outcome), flag,
        cohort, is_undated, is_unsure (awarded without a source of its own; only with `roster = "source_only"`),
        is_later_edition, is_lower_level, dose, cluster, label, latitude, longitude, people (in the place, or about in
        the county), n_places.
        """
        places = self._place_years(panel)
        if self.exposure == "neighbours":
            places = _by_neighbours(places)
        if self.analysis.unit == "place":
            dropped = ["county_outcome", "county_std_error", "county_flag", "county_id", "county_people_share"]
            return places.assign(n_places=1).drop(columns=dropped)
        return self._county_years(places, panel)

    def _place_years(self, panel: Panel) -> pd.DataFrame:
        frame = panel.frame
        name, variable = self.treatment.name, self.outcome.variable
        if variable not in frame and not catalog.has_shipped_figures(self.outcome):
            way = catalog.variables()[variable].way_to_figures
            raise InputError(f"{self.outcome.name}: no figures of {variable} ship with the package. {way}")
        cohort = self._cohorts(frame)
        edition = frame.get(f"{name}_edition", pd.Series("", index=frame.index))
        later = cohort.notna() & ~edition.isin(self.analysis.editions) if self.treatment.is_award else False
        lower = frame["certification_level_dose"] < LEVEL_DOSE[self.treatment.minimum_level or "none"]
        county = self.analysis.unit == "county"
        return pd.DataFrame(
            {
                "unit": frame["place_id"],
                "time": frame["year"],
                "outcome": self._analysed(frame[variable]),
                "flag": frame.get(f"{variable}_flag", pd.Series("", index=frame.index)).fillna(""),
                "cohort": cohort,
                "is_undated": frame.get(f"{name}_is_undated", pd.Series(False, index=frame.index)),
                "is_unsure": self._unsure(frame),
                "is_later_edition": later,
                "is_other_award": False,
                "is_lower_level": lower & (frame["certification_level_dose"] > 0),
                "dose": self._doses(frame, exposed=frame["year"] >= cohort),
                "cluster": frame["county_id"],
                "label": frame["label"],
                "county_id": frame["county_id"],
                "county_outcome": self._analysed(frame[variable + MAIN_COUNTY]) if county else np.nan,
                "county_flag": frame[variable + MAIN_COUNTY + "_flag"].fillna("") if county else "",
                "outcome_std_error": self._std_errors(frame, variable),
                "county_std_error": self._std_errors(frame, variable + MAIN_COUNTY) if county else np.nan,
                "latitude": frame["latitude"],
                "longitude": frame["longitude"],
                "county_people_share": frame["county_people_share"],
                "people": frame["population_count"],
            }
        )

    def _cohorts(self, frame: pd.DataFrame) -> pd.Series:
        """First exposed year by the treatment's rule, or by `exposure_month`; who has none has none by any rule."""
        name = self.treatment.name
        cohort = frame[f"{name}_cohort"].astype("float64")
        if self.exposure_month is None or self.exposure_month == self.treatment.exposure_month:
            return cohort
        dates = self._treatment_column(frame, "date")
        years = {text: first_exposed_year(text, exposure_month=self.exposure_month) for text in dates.unique()}
        return dates.map(years).astype("float64").where(cohort.notna())

    def _unsure(self, frame: pd.DataFrame) -> pd.Series:
        """Whether a unit was awarded and no source of its own says so; asked only where the design asks."""
        if self.roster == "all":
            return pd.Series(False, index=frame.index)
        confidence = self._treatment_column(frame, "confidence")
        return confidence.ne("") & confidence.ne(SURE)

    def _treatment_column(self, frame: pd.DataFrame, field: str) -> pd.Series:
        column = f"{self.treatment.name}_{field}"
        if column not in frame:
            raise InputError(f"the panel has no column {column!r}; run 'wwc-research panel build'")
        return frame[column]

    def _doses(self, frame: pd.DataFrame, *, exposed: pd.Series) -> pd.Series:
        """Dose of each place and year, 0 where not exposed; for counties whether it is exposed."""
        if not self.dose or self.analysis.unit == "county":
            return exposed.astype(float)
        if self.dose not in frame:
            raise InputError(f"dose {self.dose!r} is no column of the panel; see 'wwc-research panel describe'")
        return frame[self.dose].astype(float).where(exposed, 0.0)

    def _std_errors(self, frame: pd.DataFrame, variable: str) -> pd.Series:
        """Published standard errors of the outcome as analysed; of a logarithm by the delta method, se / x."""
        published = frame.get(f"{variable}_std_error", pd.Series(np.nan, index=frame.index))
        return published / frame[variable] if self.outcome.transform == "log" else published

    def _analysed(self, values: pd.Series) -> pd.Series:
        return np.log(values) if self.outcome.transform == "log" else values

    def _county_years(self, places: pd.DataFrame, panel: Panel) -> pd.DataFrame:
        """Places collapsed to their main county; the county's own figure, the earliest exposure in it."""
        chosen = self.analysis.editions
        dated = places.assign(
            chosen_cohort=places["cohort"].where(~places["is_later_edition"].astype(bool)),
            # of the chosen editions only: others are no part of this exposure
            exposed_people=places["county_people_share"]
            * (places["dose"] > 0).where(~places["is_later_edition"].astype(bool), False),
            later_cohort=places["cohort"].where(places["is_later_edition"].astype(bool)),
        )
        grouped = dated.groupby(["county_id", "time"], sort=True)
        counties = grouped.agg(
            outcome=("county_outcome", "first"),
            flag=("county_flag", "first"),
            chosen_cohort=("chosen_cohort", "min"),
            later_cohort=("later_cohort", "min"),
            any_undated=("is_undated", "any"),
            any_unsure=("is_unsure", "any"),
            any_lower=("is_lower_level", "any"),
            outcome_std_error=("county_std_error", "first"),
            latitude=("latitude", "mean"),
            longitude=("longitude", "mean"),
            n_places=("unit", "nunique"),
        )
        known = places.assign(share=places["county_people_share"].where(places["people"].notna()))
        sums = known.groupby(["county_id", "time"], sort=True)[["people", "share"]].sum(min_count=1)
        # a share that is not known must not count as none
        exposed = dated.groupby(["county_id", "time"], sort=True)["exposed_people"]
        counties = counties.join(sums).assign(exposed_people=exposed.sum().where(exposed.count() == exposed.size()))
        counties = counties.reset_index()
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
                "is_unsure": counties["any_unsure"].astype(bool),
                "is_later_edition": is_later,
                # a county with one city at the level is exposed, whatever its other cities hold
                "is_other_award": (counties["later_cohort"] <= counties["time"]) & (counties["time"] < cohort),
                "is_lower_level": counties["any_lower"].astype(bool) & ~(counties["time"] >= cohort),
                "dose": counties["exposed_people"],
                "people": counties["people"] / counties["share"],
                "cluster": counties["county_id"],
                "label": counties["county_id"].map(names),
                "n_places": counties["n_places"],
                "outcome_std_error": counties["outcome_std_error"],
                "latitude": counties["latitude"],
                "longitude": counties["longitude"],
            }
        )


def _size_strata(frame: pd.DataFrame, *, groups: int) -> np.ndarray:
    """Number of the size group of each row's unit, by median population: groups hold equally many exposed units.

    There are fewer groups than asked for where they would hold fewer than `FEWEST_EXPOSED` exposed units each.

    Units without a population are a group of their own, -1.
    """
    by_unit = frame.groupby("unit")
    people = by_unit["people"].median()
    exposed = by_unit["cohort"].first().notna() & people.notna()
    groups = min(groups, int(exposed.sum()) // FEWEST_EXPOSED)
    if groups < 2:
        return np.zeros(len(frame), dtype=int)
    limits = np.unique(people[exposed].quantile(np.arange(1, groups) / groups))
    number = pd.Series(np.where(people.isna(), -1, np.searchsorted(limits, people, side="right")), people.index)
    return frame["unit"].map(number).to_numpy(dtype=int)


def _by_neighbours(places: pd.DataFrame) -> pd.DataFrame:
    """The same rows with the exposure of the other places of the county for each place's own, and `is_own`.

    A place whose only exposed neighbours are undated, or awarded under another edition, is undated or of that
    edition itself.
    """
    own = places.drop_duplicates("unit").set_index("unit")
    exposed = own["cohort"].notna()
    is_own = exposed | own["is_undated"].astype(bool)
    later = own["is_later_edition"].astype(bool)
    neighbours = own.assign(
        chosen=own["cohort"].where(~later),
        other=own["cohort"].where(later),
    ).groupby("county_id")
    unsure = own["county_id"].map(neighbours["is_unsure"].any()).astype(bool)
    # a place that is exposed itself leaves the sample, so those that stay never count among their own neighbours
    chosen, other = (own["county_id"].map(neighbours[name].min()) for name in ("chosen", "other"))
    undated = own["county_id"].map(neighbours["is_undated"].any()).astype(bool) & chosen.isna()
    is_later = chosen.isna() & other.notna()
    cohort = chosen.where(~is_later, other)
    of_row = places["unit"]
    return places.assign(
        cohort=of_row.map(cohort).to_numpy(dtype=float),
        is_later_edition=of_row.map(is_later).to_numpy(dtype=bool),
        is_undated=of_row.map(undated).to_numpy(dtype=bool),
        is_own=of_row.map(is_own).to_numpy(dtype=bool),
        is_unsure=of_row.map(unsure).to_numpy(dtype=bool),
        dose=(places["time"] >= of_row.map(cohort)).astype(float),
        is_lower_level=False,
    )
