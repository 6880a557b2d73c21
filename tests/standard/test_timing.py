from pathlib import Path

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from wwc_research.catalog.undated import Interval, intervals, read_intervals
from wwc_research.errors import DataError, InputError
from wwc_research.sources import raw
from wwc_research.standard import timing


@pytest.mark.parametrize(
    ("announced_on", "year"),
    [("2018-01-25", 2018), ("2020-06", 2020), ("2021-07-14", 2022), ("2021-12-15", 2022), ("2022-03", 2022)],
)
def test_an_award_of_july_or_later_counts_from_the_next_year(announced_on, year):
    assert timing.first_exposed_year(announced_on) == year


@given(year=st.integers(2000, 2050), month=st.integers(1, 12), first=st.integers(1, 12))
def test_a_later_exposure_month_never_delays_exposure(year, month, first):
    date = f"{year}-{month:02}"
    early = timing.first_exposed_year(date, exposure_month=first)
    late = timing.first_exposed_year(date, exposure_month=first + 1)
    assert year <= late <= early <= year + 1


def test_an_undated_award_has_no_year_and_a_wrong_month_is_refused():
    assert timing.first_exposed_year("") is None
    with pytest.raises(InputError, match="between 1 and 13"):
        timing.first_exposed_year("2018-01-25", exposure_month=0)


def test_only_first_events_make_cohorts_and_undated_ones_are_marked():
    events = pd.DataFrame(
        {
            "place_id": ["0000002", "0000001", "0000001"],
            "event": ["first", "first", "level-up"],
            "level": ["silver", None, "gold"],
            "announced_on": ["2019-04-24", None, "2021-07-14"],
            "standard_edition": ["v2", "v2", "v2"],
            "confidence": ["source", "inferred", "source"],
        }
    )
    table = timing.cohorts(events)
    assert table["place_id"].tolist() == ["0000001", "0000002"]
    assert table["is_undated"].tolist() == [True, False]
    assert table["cohort"].tolist() == [pd.NA, 2019]


# ---- level, renewals and doses -----------------------------------------------------------------------------------

RAW = Path(__file__).parents[2] / "data" / "raw"


@pytest.fixture(scope="module")
def roster() -> pd.DataFrame:
    return raw.read_table(RAW, "certification/events")


def events_of(*rows: tuple) -> pd.DataFrame:
    """Events of one city: (event, level, announced_on), all of edition v2."""
    frame = pd.DataFrame(rows, columns=["event", "level", "announced_on"])
    return frame.assign(
        event_id=[f"a-{number}" for number in range(len(frame))],
        place_id="0000001",
        city="A",
        country="USA",
        label_year="",
        standard_edition="v2",
        confidence="source",
    )


def levels(events: pd.DataFrame, years: range, **options) -> list[str]:
    return timing.level_history(events, years=years, undated=options.pop("undated", {}), **options)["level"].tolist()


def test_a_bare_year_that_the_rule_would_split_is_no_exposed_year():
    assert timing.possible_exposed_years("2021") == (2021, 2022)
    assert timing.first_exposed_year("2021") is None
    assert timing.first_exposed_year("2021", exposure_month=13) == 2021


def test_the_level_of_a_year_is_the_last_one_known():
    events = events_of(("first", "silver", "2019-04-24"), ("level-up", "gold", "2021-12-15"))
    assert levels(events, range(2018, 2024)) == ["none", "silver", "silver", "silver", "gold", "gold"]


def test_the_order_of_the_events_does_not_matter(roster):
    years = range(2017, 2027)
    shuffled = roster.sample(frac=1, random_state=3)
    pd.testing.assert_frame_equal(
        timing.level_history(roster, years=years, validity_years=3),
        timing.level_history(shuffled, years=years, validity_years=3),
    )


def test_a_level_lapses_after_its_validity_and_never_where_that_is_unknown():
    events = events_of(("first", "silver", "2018-01-25"), ("recertified", "silver", "2022-03"))
    assert levels(events, range(2018, 2026)) == ["silver"] * 8
    lapsed = timing.level_history(events, years=range(2018, 2026), validity_years=3, undated={})
    assert lapsed["level"].tolist() == ["silver"] * 3 + ["none"] + ["silver"] * 3 + ["none"]
    assert lapsed["is_probable_lapse"].tolist() == [False] * 3 + [True] + [False] * 3 + [True]
    assert lapsed["ever_certified"].all()
    history = timing.city_histories(events, validity_years=3, undated={}).iloc[0]
    assert history["probable_lapse_year"] == 2025
    assert timing.city_histories(events, undated={})["probable_lapse_year"].isna().all()


@given(validity=st.integers(1, 6), more=st.integers(0, 4))
def test_a_longer_validity_never_takes_a_level_away(validity, more):
    events = events_of(("first", "silver", "2018-01-25"), ("level-up", "gold", "2020-06"))
    years = range(2017, 2030)
    short = timing.level_history(events, years=years, validity_years=validity, undated={})["level_dose"]
    long = timing.level_history(events, years=years, validity_years=validity + more, undated={})["level_dose"]
    assert (long >= short).all()


def test_an_undated_renewal_leaves_a_lapse_open():
    events = events_of(("first", "silver", "2018-01-25"), ("recertified", "silver", ""))
    assert levels(events, range(2020, 2022), validity_years=3) == ["silver", "unknown"]
    assert timing.city_histories(events, validity_years=3, undated={})["undated_renewals"].tolist() == [1]


def test_an_award_of_unknown_level_has_no_dose_and_a_renewal_of_unknown_level_keeps_it():
    table = timing.level_history(events_of(("first", "", "2020-06")), years=[2020], undated={})
    assert table["level"].tolist() == ["unknown"]
    assert table["level_dose"].isna().all()
    assert table["ever_certified"].tolist() == [True]
    assert levels(events_of(("first", "gold", "2018-01"), ("recertified", "", "2020-06")), range(2020, 2021)) == [
        "gold"
    ]


def test_an_undated_city_is_unknown_only_between_its_candidate_cohorts():
    events = events_of(("first", "silver", ""), ("level-up", "gold", "2024-01-23"))
    table = timing.level_history(events, years=range(2018, 2025), undated={"a-0": interval()})
    assert table["level"].tolist() == ["none", "none", "unknown", "unknown", "silver", "silver", "gold"]
    assert table["ever_certified"].isna().tolist() == [False, False, True, True, False, False, False]
    history = timing.city_histories(events, undated={"a-0": interval()}).iloc[0]
    assert (history["cohort_earliest"], history["cohort_latest"]) == (2020, 2022)
    assert history["is_interval_censored"]


def test_without_candidates_the_whole_interval_is_possible_and_without_interval_every_earlier_year():
    events = events_of(("first", "silver", ""), ("level-up", "gold", "2024-01-23"))
    wide = interval(candidates=())
    assert levels(events, range(2018, 2023), undated={"a-0": wide}) == ["none", *["unknown"] * 3, "silver"]
    assert levels(events, range(2018, 2025)) == [*["unknown"] * 6, "gold"]


def test_a_short_validity_within_a_wide_interval_is_not_taken_for_never():
    # from 2019 to 2022 each start is possible; in 2021 only one of them still counts with a validity of one year
    wide = {"a-0": interval(candidates=())}
    assert levels(events_of(("first", "silver", "")), range(2020, 2024), validity_years=1, undated=wide) == [
        "unknown",
        "unknown",
        "unknown",
        "none",
    ]


def interval(candidates: tuple[str, ...] = ("2020-06", "2022-03")) -> Interval:
    return Interval(
        name="a-0",
        place_id="0000001",
        label="A",
        earliest="2019-04-25",
        latest="2022-03-30",
        evidence="by elimination",
        source="test",
        confidence="inferred",
        candidates=candidates,
    )


def test_an_interval_that_contradicts_itself_is_refused_with_all_faults():
    text = """
    [x]
    place_id = "1"
    label = "X"
    earliest = "2022-01-01"
    latest = "2020-01-01"
    candidates = ["2030-01"]
    confidence = "inferred"
    evidence = "e"
    source = "s"
    """
    with pytest.raises(DataError, match=r"(?s)2 faults.*after latest.*lies outside"):
        read_intervals(text)


def test_awards_without_a_first_one_and_a_validity_of_nothing_are_refused():
    with pytest.raises(InputError, match="not exactly one first award"):
        timing.level_history(events_of(("level-up", "gold", "2020-06")), years=[2020])
    with pytest.raises(InputError, match="validity_years = 0"):
        levels(events_of(("first", "gold", "2020-06")), range(2020, 2021), validity_years=0)


def test_places_without_any_award_are_listed_as_never_certified():
    table = timing.level_history(
        events_of(("first", "gold", "2020-06")), years=[2021], place_ids=["0000002"], undated={}
    )
    assert table["place_id"].tolist() == ["0000001", "0000002"]
    assert table["level_dose"].tolist() == [2.0, 0.0]
    assert table["ever_certified"].tolist() == [True, False]


def test_a_score_counts_from_the_year_after_a_late_assessment_and_expires():
    scores = pd.DataFrame({"place_id": ["1", "1"], "assessed_on": ["2019-03-01", "2021-09-30"], "share": [0.5, 0.7]})
    dose = timing.score_dose(scores, years=range(2018, 2026), validity_years=3)["score_dose"]
    assert dose.isna().tolist() == [True, *[False] * 6, True]
    assert dose.iloc[1:7].tolist() == [0.5, 0.5, 0.5, 0.7, 0.7, 0.7]
    with pytest.raises(InputError, match="0 to 1"):
        timing.score_dose(scores.assign(share=60), years=[2020])
    with pytest.raises(InputError, match="no date"):
        timing.score_dose(scores.assign(assessed_on=""), years=[2020])


# ---- the real roster, against the programme's stated totals and the notes of the roster --------------------------

# announced on: cities held, of them in the US, silver, gold, platinum, unknown, stated new cities
COHORTS = {
    "2018-01-25": (9, 9, 8, 1, 0, 0, 9),
    "2019-04-24": (4, 4, 4, 0, 0, 0, 4),
    "2020-06": (6, 6, 5, 1, 0, 0, 11),
    "2021-07-14": (16, 16, 12, 4, 0, 0, 16),
    "2021-12-15": (10, 10, 10, 0, 0, 0, 10),
    "2022-03": (3, 3, 3, 0, 0, 0, 5),
    "2023-06-21": (7, 2, 5, 2, 0, 0, 7),
    "2024-01-23": (12, 5, 4, 2, 1, 5, 12),
    "2024-06-17": (9, 4, 9, 0, 0, 0, 9),
    "2025-02-26": (16, 8, 11, 3, 0, 2, 21),
    "2026-01": (1, 0, 0, 0, 0, 1, 13),
    "": (5, 5, 5, 0, 0, 0, 0),
}


def test_cohort_sizes_and_levels_of_the_roster_are_those_of_its_notes(roster):
    table = timing.announcement_cohorts(roster).set_index("announced_on")
    counts = table[["cities", "us_cities", "silver", "gold", "platinum", "unknown"]]
    assert {date: tuple(row) for date, row in zip(counts.index, counts.to_numpy().tolist(), strict=True)} == {
        date: row[:6] for date, row in COHORTS.items()
    }
    assert table.index[-1] == ""
    assert int(table["cities"].sum()) == 98


def test_no_cohort_holds_more_cities_than_the_programme_stated_and_the_open_slots_are_those_known(roster):
    table = timing.announcement_cohorts(roster).set_index("announced_on")["cities"]
    open_slots = {date: row[6] - int(table[date]) for date, row in COHORTS.items() if date}
    assert {date: n for date, n in open_slots.items() if n} == {
        "2020-06": 5,
        "2022-03": 2,
        "2025-02-26": 5,
        "2026-01": 12,
    }
    # the five undated and two unnamed US cities fill the seven slots of 2020 and 2022
    assert open_slots["2020-06"] + open_slots["2022-03"] == int(table[""]) + 2


def test_the_roster_has_158_events_and_72_us_cities_67_of_them_dated(roster):
    assert roster["event"].value_counts().to_dict() == {
        "first": 98,
        "level-up": 35,
        "recertified": 14,
        "honor-roll": 11,
    }
    history = timing.city_histories(roster)
    us = history.loc[history["place_id"].isin(roster.loc[roster["country"] == "USA", "place_id"])]
    assert (len(history), len(us), int((~us["is_interval_censored"]).sum())) == (98, 72, 67)


def test_the_levels_of_mid_2020_are_those_held_in_the_notes(roster):
    # stated: 2 platinum, 6 gold, 16 silver; the five silver that are missing are exactly the open slots
    counts = timing.level_history(roster, years=[2020])["level"].value_counts()
    assert (counts["platinum"], counts["gold"], counts["silver"], counts["unknown"]) == (2, 6, 11, 5)


def test_the_undated_cities_are_the_five_declared_and_settled_from_2022_on(roster):
    history = timing.city_histories(roster)
    censored = history.loc[history["is_interval_censored"]]
    assert set(censored["place_id"]) == {entry.place_id for entry in intervals().values()}
    assert set(intervals()) <= set(roster["event_id"])
    assert set(censored["city"]) == {"Charlotte", "San Jose", "South Bend", "Cincinnati", "Tulsa"}
    table = timing.level_history(roster, years=range(2018, 2024))
    ever = table.loc[table["place_id"].isin(censored["place_id"])].groupby("year")["ever_certified"]
    assert ever.apply(lambda flags: flags.isna().sum()).tolist() == [0, 0, 5, 5, 0, 0]


def test_a_label_year_never_stands_for_the_announcement(roster):
    history = timing.city_histories(roster)
    dated = history.loc[history["announced_on"].ne("") & history["label_year"].ne("")]
    differs = dated["announced_on"].str[:4].ne(dated["label_year"])
    assert set(dated.loc[differs, "announced_on"]) == {"2022-03", "2024-01-23", "2025-02-26", "2026-01"}
    assert dated.loc[differs, "cohort_earliest"].eq(dated.loc[differs, "announced_on"].str[:4].astype(int)).all()


def test_cohorts_and_histories_agree_on_every_dated_city(roster):
    cohorts = timing.cohorts(roster).set_index("place_id")["cohort"]
    history = timing.city_histories(roster).set_index("place_id")
    dated = history.loc[~history["is_interval_censored"], "cohort_earliest"]
    pd.testing.assert_series_equal(cohorts.dropna(), dated, check_names=False)


def test_topeka_probably_lapses_three_years_after_its_last_recertification(roster):
    history = timing.city_histories(roster, validity_years=3).set_index("place_id")
    topeka = history.loc["2071000"]
    assert (topeka["recertifications"], topeka["probable_lapse_year"]) == (1, 2025)
    table = timing.level_history(roster, years=[2024, 2025], validity_years=3)
    assert table.loc[table["place_id"] == "2071000", "level"].tolist() == ["silver", "none"]
