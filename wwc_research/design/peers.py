"""Similar cities: the cities most like a named one before any certification, and how they differ from it.

In: a `Panel`, the catalog's covariates and years. Out: frozen `Peers`; nothing is measured after exposure.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.spatial.distance import pdist

from wwc_research import catalog
from wwc_research.catalog import Outcome
from wwc_research.catalog.peers import Words, peers_rule
from wwc_research.design.baseline import characteristics
from wwc_research.design.matching import mahalanobis_coordinates
from wwc_research.design.sample import Exclusion
from wwc_research.errors import EstimationError, InputError, listed
from wwc_research.messages import counted, message
from wwc_research.panel.panel import Panel

Status = Literal["certified", "never", "undated"]
Floats = NDArray[np.float64]

FEWEST_CITIES = 20  # a covariance of a handful of cities measures nothing


@dataclass(frozen=True, slots=True, kw_only=True)
class Characteristic:
    """One thing that cities are compared on.

    `value` is the named city's, in the unit of the panel; `spread` the standard deviation over all cities compared,
    on the scale of the comparison (log points for logs).
    """

    name: str
    title: str
    words: Words
    value: float
    spread: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Certification:
    """What is publicly known of a city's certification.

    `since` is the first year that counts as exposed; None for the never certified and the undated.
    """

    status: Status
    level: str = ""
    since: int | None = None
    edition: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Peer:
    """One city and how near it is.

    Attributes
    ----------
    rank, place_id, label
        1 is the nearest.
    distance
        Mahalanobis, in standard deviations.
    nearer_than_cities_share, nearer_than_pairs_share
        Share of all cities compared that are farther from the named city; share of all pairs of cities that are
        farther apart than these two.
    values
        By characteristic, in the unit of the panel.
    gaps
        By characteristic, this city less the named one in standard deviations.
    certification
        This city's.
    """

    rank: int
    place_id: str
    label: str
    distance: float
    nearer_than_cities_share: float
    nearer_than_pairs_share: float
    values: Mapping[str, float]
    gaps: Mapping[str, float]
    certification: Certification

    @property
    def may_be_compared(self) -> bool:
        """Whether it can stand as an uncertified comparison for all years: never certified, as far as is known."""
        return self.certification.status == "never"


@dataclass(frozen=True, slots=True, kw_only=True)
class Peers:
    """The cities most like one.

    Attributes
    ----------
    place_id, label, certification
        The named city.
    years
        When everything was measured, before any exposure.
    outcome
        Name of the outcome whose level is among the characteristics; empty for none.
    characteristics, peers
        What was compared; nearest first.
    n_compared
        Cities with all figures, the named one not counted.
    exclusions
        Cities that could not be compared, with reasons.
    missing
        Characteristics that could not be compared, each with its reason.
    """

    place_id: str
    label: str
    certification: Certification
    years: tuple[int, ...]
    outcome: str
    characteristics: tuple[Characteristic, ...]
    peers: tuple[Peer, ...]
    n_compared: int
    exclusions: tuple[Exclusion, ...] = ()
    missing: tuple[str, ...] = ()

    def as_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return {
            "place_id": self.place_id,
            "city": self.label,
            "certification": asdict(self.certification),
            "years": list(self.years),
            "outcome": self.outcome or None,
            "distance": "Mahalanobis, covariance of all cities compared",
            "characteristics": [
                {"name": item.name, "title": item.title, "value": item.value, "spread": item.spread}
                for item in self.characteristics
            ],
            "peers": [
                asdict(peer)
                | {"values": dict(peer.values), "gaps": dict(peer.gaps)}
                | {"may_be_compared": peer.may_be_compared}
                for peer in self.peers
            ],
            "n_compared": self.n_compared,
            "exclusions": [item.as_dict() for item in self.exclusions],
            "missing": list(self.missing),
        }


def find_peers(
    panel: Panel,
    *,
    place_id: str,
    count: int = 10,
    outcome: str | None = None,
    years: Sequence[int] | None = None,
    treatment: str = "certification",
) -> Peers:
    """The `count` cities most like a city in what was measured before exposure.

    Parameters
    ----------
    panel
        Of places.
    place_id
        A place of the panel.
    outcome
        Name in the catalog: the covariates and baseline years of its planned analysis, and its own mean over these
        years. Without one the characteristics and years of `catalog/peers.toml`.
    years
        Measure in these years instead.
    treatment
        Dated treatment whose exposure must come after the last of the years.

    Returns
    -------
    Peers
        Distances are Mahalanobis's (1936) with the covariance of all cities compared, so that characteristics that go
        together do not count twice.

    Raises
    ------
    InputError
        For an unknown place or outcome, or years that do not come before the city's own exposure.
    EstimationError
        Where too few cities have the figures, or the city has none.
    """
    comparison = _Comparison.of(panel, count=count, outcome=outcome, years=years, treatment=treatment)
    return comparison.peers_of(place_id)


def find_all_peers(
    panel: Panel, *, place_ids: Iterable[str], count: int = 10
) -> dict[str, Peers | InputError | EstimationError]:
    """What `find_peers` gives for each of many cities without an outcome, or the error where it gives none.

    What the cities share is worked out once: a thousand of them take seconds.
    """
    comparison = _Comparison.of(panel, count=count)
    found: dict[str, Peers | InputError | EstimationError] = {}
    for place_id in place_ids:
        try:
            found[place_id] = comparison.peers_of(place_id)
        except (InputError, EstimationError) as error:
            found[place_id] = error
    return found


@dataclass(frozen=True, slots=True, kw_only=True)
class _Comparison:
    """What all cities asked about have in common; `spaces` keeps distances by the characteristics compared."""

    panel: Panel
    count: int
    outcome: Outcome | None
    years: tuple[int, ...]
    exposure: str
    known: Mapping[str, Certification]
    labels: Mapping[str, str]
    table: pd.DataFrame
    spaces: dict[tuple[str, ...], tuple[_Space, tuple[Exclusion, ...]]] = field(default_factory=dict)

    @classmethod
    def of(
        cls,
        panel: Panel,
        *,
        count: int,
        outcome: str | None = None,
        years: Sequence[int] | None = None,
        treatment: str = "certification",
    ) -> _Comparison:
        if count < 1:
            raise InputError(f"count = {count}; it counts peers, 1 or more")
        chosen = None if outcome is None else catalog.outcome(outcome)
        names, window = _asked_for(chosen, years)
        exposure = catalog.treatment(treatment)
        if exposure.kind != "dated":
            raise InputError(f"{treatment} is not dated, so nothing can be said to come before it")
        fixed = panel.frame.drop_duplicates("place_id").set_index("place_id")
        rows = zip(fixed.index, fixed.to_dict("records"), strict=True)
        table = characteristics(panel, unit="place", names=names, years=window).reindex(fixed.index)
        if chosen is not None:
            table[chosen.name] = _mean_level(panel, chosen, years=window)
        return cls(
            panel=panel,
            count=count,
            outcome=chosen,
            years=window,
            exposure=exposure.title,
            known={place: _certification(row, treatment) for place, row in rows},
            labels={str(place): str(label) for place, label in fixed["label"].items()},
            table=table,
        )

    def peers_of(self, place_id: str) -> Peers:
        """The peers of one place; see `find_peers` for the errors."""
        if place_id not in self.labels:
            raise InputError(f"place {place_id} is not in the panel, which holds places of 30,000 people and more")
        label, last = self.labels[place_id], max(self.years)
        _refuse_late(label, self.known, place_id=place_id, last=last, exposure=self.exposure)
        table, missing = _comparable(self.table, self.panel, place_id=place_id, label=label, years=self.years)
        key = tuple(table.columns)
        if key not in self.spaces:
            whole, exclusions = _without_unusable(table, self.known, last=last)
            self.spaces[key] = (_Space.of(whole), exclusions)
        space, exclusions = self.spaces[key]
        return _ranked(
            space,
            self.labels,
            self.known,
            place_id=place_id,
            count=self.count,
            years=self.years,
            outcome=self.outcome,
            exclusions=exclusions,
            missing=missing,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class _Space:
    """Cities with all figures as points: `shown` in the units of the panel, `pairs` all distances in order."""

    places: pd.Index
    columns: tuple[str, ...]
    values: Floats
    shown: Floats
    coordinates: Floats
    pairs: Floats
    spread: Floats

    @classmethod
    def of(cls, table: pd.DataFrame) -> _Space:
        X = table.to_numpy(dtype=float)
        nobody = np.zeros(len(X), dtype=bool)
        coordinates, _ = mahalanobis_coordinates(X, treated=nobody, covariance="overall")
        return cls(
            places=table.index,
            columns=tuple(table.columns),
            values=X,
            shown=_in_panel_units(table),
            coordinates=coordinates,
            pairs=np.sort(pdist(coordinates)),
            spread=X.std(axis=0, ddof=1),
        )


def _asked_for(outcome: Outcome | None, years: Sequence[int] | None) -> tuple[tuple[str, ...], tuple[int, ...]]:
    """Covariates to compare on, and the years they are measured in."""
    rule = peers_rule()
    names, window = rule.characteristics, rule.baseline_years
    if outcome is not None:
        analysis = catalog.plan().analyses.get(outcome.name)
        if analysis is not None:
            names = analysis.covariates or analysis.cross_section_covariates or names
            window = analysis.baseline_years or window
        # the outcome's own level stands for a covariate that is the same figure
        names = tuple(n for n in names if catalog.covariates()[n].variables != (outcome.variable,))
    window = tuple(sorted(set(years))) if years else window
    if len(window) < 2:
        names = tuple(n for n in names if catalog.covariates()[n].transform != "log_change")
    return names, window


def _certification(row: Mapping[str, Any], treatment: str) -> Certification:
    cohort = row.get(f"{treatment}_cohort")
    if row.get(f"{treatment}_is_undated"):
        return Certification(status="undated", level=str(row.get(f"{treatment}_level") or ""))
    if cohort is None or pd.isna(cohort):
        return Certification(status="never")
    return Certification(
        status="certified",
        level=str(row.get(f"{treatment}_level") or ""),
        since=int(cohort),
        edition=str(row.get(f"{treatment}_edition") or ""),
    )


def _first_exposure(known: Mapping[str, Certification]) -> int:
    return min((item.since for item in known.values() if item.since is not None), default=9999)


def _refuse_late(label: str, known: Mapping[str, Certification], *, place_id: str, last: int, exposure: str) -> None:
    """Refuse figures that may already follow from the named city's own exposure."""
    own, first = known[place_id], _first_exposure(known)
    if own.since is not None and own.since <= last:
        raise InputError(
            message(
                "{label} counts as exposed to {exposure} from {since}; figures of {last} may follow from it. Choose "
                "{before} or before.",
                label=label,
                exposure=exposure,
                since=own.since,
                last=last,
                before=own.since - 1,
            )
        )
    if own.status == "undated" and last >= first:
        raise InputError(
            message(
                "{label} is known to be exposed to {exposure}, date unknown; figures of {last} may follow from it. "
                "Choose {before} or before, when no city was.",
                label=label,
                exposure=exposure,
                last=last,
                before=first - 1,
            )
        )


def _mean_level(panel: Panel, outcome: Outcome, *, years: Sequence[int]) -> pd.Series:
    """Mean of the outcome as analysed over all years in which anybody has it; NaN where a city lacks one."""
    if outcome.variable not in panel.frame:
        raise InputError(
            f"the panel has no column {outcome.variable!r}; build it again with 'wwc-research panel build'"
        )
    rows = panel.frame.loc[panel.frame["year"].isin(years) & panel.frame[outcome.variable].notna()]
    values = np.log(rows[outcome.variable]) if outcome.transform == "log" else rows[outcome.variable]
    by_place = values.groupby(rows["place_id"])
    return by_place.mean().where(by_place.size() == rows["year"].nunique())


def _comparable(
    table: pd.DataFrame, panel: Panel, *, place_id: str, label: str, years: Sequence[int]
) -> tuple[pd.DataFrame, tuple[str, ...]]:
    """The columns that the named city has, and why each of the others is left out."""
    when = _span(years)
    missing = []
    for name in table.columns[table.loc[place_id].isna()]:
        variables = (
            catalog.covariates()[name].variables if name in catalog.covariates() else (catalog.outcome(name).variable,)
        )
        column = panel.column(variables[0])
        said = {"title": _title(name), "when": when, "first": column.first_year, "last": column.last_year}
        missing.append(
            message("{title}: no figure for {label} in {when} (the panel has {first}-{last})", label=label, **said)
            if table[name].notna().any()
            else message("{title}: no figure for any city in {when} (the panel has {first}-{last})", **said)
        )
    kept = table.loc[:, table.loc[place_id].notna()]
    if kept.empty:
        raise EstimationError(
            message(
                "{label} cannot be compared in {when}. {missing:semicolons}", label=label, when=when, missing=missing
            )
        )
    return kept, tuple(missing)


def _span(years: Sequence[int]) -> str:
    return str(years[0]) if len(years) == 1 else f"{min(years)}-{max(years)}"


def _title(name: str) -> str:
    return catalog.covariates()[name].title if name in catalog.covariates() else catalog.outcome(name).title


def _without_unusable(
    table: pd.DataFrame, known: Mapping[str, Certification], *, last: int
) -> tuple[pd.DataFrame, tuple[Exclusion, ...]]:
    """Cities with all figures that were not exposed by `last`, and how many are not such."""
    since = pd.Series({place: item.since for place, item in known.items()}, dtype=float).reindex(table.index)
    undated = pd.Series({place: item.status == "undated" for place, item in known.items()}).reindex(table.index)
    rules = [
        (message("exposed in {last} or before: its figures may follow from it", last=last), since <= last),
        (message("known to be exposed, date unknown"), undated & (last >= _first_exposure(known))),
    ]
    rules += [(message("no figure: {title}", title=_title(name)), table[name].isna()) for name in table.columns]
    ledger, alive = [], pd.Series(True, index=table.index)
    for reason, drop in rules:
        gone = alive & drop
        if gone.any():
            ledger.append(Exclusion(reason=reason, rows=int(gone.sum()), units=int(gone.sum())))
            alive &= ~gone
    kept = table.loc[alive]
    if len(kept) < FEWEST_CITIES:
        lost = listed(
            (
                counted("{n} city: {reason}", "{n} cities: {reason}", n=item.units, reason=item.reason)
                for item in ledger
            ),
            limit=8,
        )
        raise EstimationError(
            message(
                "only {n_cities} other cities have all figures, too few to say who is alike (left out: {lost}). "
                "Choose other years, or no outcome.",
                n_cities=len(kept) - 1,
                lost=lost,
            )
        )
    return kept, tuple(ledger)


def _ranked(
    space: _Space,
    labels: Mapping[str, str],
    known: Mapping[str, Certification],
    *,
    place_id: str,
    count: int,
    years: tuple[int, ...],
    outcome: Outcome | None,
    exclusions: tuple[Exclusion, ...],
    missing: tuple[str, ...],
) -> Peers:
    own, spread, shown = int(space.places.get_loc(place_id)), space.spread, space.shown
    distance = np.sqrt(np.square(space.coordinates - space.coordinates[own]).sum(axis=1))
    gaps = (space.values - space.values[own]) / np.where(spread > 0, spread, np.nan)
    order = [k for k in np.lexsort((space.places.to_numpy(), distance)) if k != own]
    others = np.sort(distance[order])
    peers = tuple(
        Peer(
            rank=rank,
            place_id=str(space.places[k]),
            label=labels[space.places[k]],
            distance=float(distance[k]),
            nearer_than_cities_share=_share_above(others, float(distance[k])),
            nearer_than_pairs_share=_share_above(space.pairs, float(distance[k])),
            values=dict(zip(space.columns, map(float, shown[k]), strict=True)),
            gaps=dict(zip(space.columns, map(float, gaps[k]), strict=True)),
            certification=known[space.places[k]],
        )
        for rank, k in enumerate(order[:count], start=1)
    )
    things = tuple(
        Characteristic(
            name=name, title=_title(name), words=_words(name), value=float(shown[own, at]), spread=float(spread[at])
        )
        for at, name in enumerate(space.columns)
    )
    return Peers(
        place_id=place_id,
        label=labels[place_id],
        certification=known[place_id],
        years=years,
        outcome=outcome.name if outcome is not None else "",
        characteristics=things,
        peers=peers,
        n_compared=len(space.places) - 1,
        exclusions=exclusions,
        missing=missing,
    )


def _share_above(sorted_values: Floats, value: float) -> float:
    above = len(sorted_values) - np.searchsorted(sorted_values, value, side="right")
    return float(above / len(sorted_values))


def _in_panel_units(table: pd.DataFrame) -> Floats:
    """The figures as the panel has them: logs taken back, growth left in log points."""
    is_log = [
        (catalog.covariates()[n].transform if n in catalog.covariates() else catalog.outcome(n).transform) == "log"
        for n in table.columns
    ]
    values = table.to_numpy(dtype=float)
    return np.where(is_log, np.exp(np.where(is_log, values, 0.0)), values)


def _words(name: str) -> Words:
    """How differences are said; for an outcome from its entry in the catalog."""
    if name in catalog.covariates():
        return peers_rule().words[name]
    entry = catalog.outcome(name)
    is_share = entry.variable.endswith("_share")
    said_as: Literal["points", "percent"] = "points" if is_share and entry.transform == "none" else "percent"
    head = message("{title} %", title=entry.title) if said_as == "points" else entry.title
    return Words(name=name, head=head, noun=entry.title, said_as=said_as)
