import math
from pathlib import Path

import pytest

from wwc_research.catalog.editions import edition
from wwc_research.errors import InputError
from wwc_research.messages import Message
from wwc_research.panel.demonstrations import (
    OutcomeRules,
    demonstrations,
    describe_outcomes,
    measures_of,
    named_values,
    standings,
)
from wwc_research.sources.places import Places
from wwc_research.standard.demonstration import CANNOT_TELL, DEMONSTRATED, NOT_DEMONSTRATED

RAW = Path(__file__).parents[2] / "data" / "raw"
DETROIT = "2622000"
PM25 = "pm25_mean_ug_m3"


@pytest.fixture(scope="module")
def places() -> Places:
    return Places.load(RAW)


def row_of(panel, measure, reading, place_id=DETROIT, **rules):
    rows = demonstrations(panel, rules=OutcomeRules(**rules), place_ids=[place_id])
    (row,) = rows.loc[rows["measure"].eq(measure) & rows["reading"].eq(reading)].to_dict("records")
    return row


def cell(panel, column, year, place_id=DETROIT):
    frame = panel.frame
    return frame.loc[frame["place_id"].eq(place_id) & frame["year"].eq(year), column].item()


def test_progress_is_the_panels_own_change_over_its_own_sampling_error(panel):
    row = row_of(panel, "broadband_share", "progress", window=(2016, 2021))
    change = cell(panel, "broadband_share", 2021) - cell(panel, "broadband_share", 2016)
    error = math.hypot(*(cell(panel, "broadband_share_std_error", year) for year in (2016, 2021)))
    assert row["change"] == pytest.approx(change)
    assert row["z"] == pytest.approx(change / error)
    assert row["verdict"] == DEMONSTRATED


def test_a_gain_within_sampling_error_is_no_progress(panel):
    # 83.5 % in 2021 and 83.4 % in 2022
    assert row_of(panel, "broadband_share", "progress", window=(2021, 2022))["verdict"] == NOT_DEMONSTRATED


def test_without_a_window_each_city_gets_its_own_first_and_last_year(panel):
    rows = demonstrations(panel, reading="progress", outcomes=["broadband"])
    told = rows.loc[rows["verdict"] != CANNOT_TELL].set_index("place_id")
    seen = panel.frame.loc[panel.frame["broadband_share"].notna()].groupby("place_id")["year"]
    assert len(told) == 486
    assert told["year_from"].tolist() == seen.min().reindex(told.index).tolist()
    assert told["year_to"].tolist() == seen.max().reindex(told.index).tolist()


def test_figures_without_sampling_error_cannot_be_told_until_the_caller_gives_one(panel):
    silent = row_of(panel, PM25, "progress", window=(2012, 2021))
    assert (silent["verdict"], silent["reason"]) == (CANNOT_TELL, "no sampling error")
    given = row_of(panel, PM25, "progress", window=(2007, 2021), std_errors={PM25: 0.5})
    assert given["verdict"] == DEMONSTRATED
    assert given["is_given_error"]
    assert given["std_error_change"] == pytest.approx(0.5 * math.sqrt(2))


def test_a_given_error_never_replaces_the_surveys_own(panel):
    row = row_of(panel, "broadband_share", "progress", window=(2016, 2021), std_errors={"broadband": 0.5})
    assert not row["is_given_error"]
    assert row["std_error_to"] == pytest.approx(cell(panel, "broadband_share_std_error", 2021))


def test_no_threshold_is_ever_assumed(panel):
    rows = demonstrations(panel, reading="standard")
    assert set(rows["verdict"]) == {CANNOT_TELL}
    assert set(rows["reason"]) == {"no figure", "no threshold"}


@pytest.mark.parametrize(
    ("limit", "verdict"), [(0.80, DEMONSTRATED), (0.83, NOT_DEMONSTRATED), (0.9, NOT_DEMONSTRATED)]
)
def test_a_level_must_clear_the_threshold_by_its_sampling_error(panel, limit, verdict):
    # Detroit 2021: 83.5 % with a standard error of 1.0 points, so the 95 % bound is 81.8 %
    row = row_of(panel, "broadband_share", "standard", window=(2016, 2021), thresholds={"broadband": limit})
    assert row["verdict"] == verdict
    assert row["bound"] == pytest.approx(0.8183, abs=1e-3)


def test_a_candidate_that_is_a_mean_of_three_years_is_held_against_that_mean(panel):
    rules = {"window": (2016, 2021), "thresholds": {PM25: "naaqs_2024"}, "std_errors": {PM25: 0.6}}
    row = row_of(panel, PM25, "standard", **rules)
    years = [cell(panel, PM25, year) for year in (2019, 2020, 2021)]
    assert row["value_to"] == pytest.approx(sum(years) / 3)
    assert row["std_error_to"] == pytest.approx(0.6 / math.sqrt(3))
    assert (row["year_from"], row["threshold"], row["verdict"]) == (2019, 9.0, NOT_DEMONSTRATED)
    easier = row_of(panel, PM25, "standard", **{**rules, "thresholds": {PM25: "naaqs_2012"}})
    assert easier["verdict"] == DEMONSTRATED


def test_cross_section_and_county_series_of_youth_are_never_joined(panel):
    assert measures_of("youth_neet") == ("youth_neet_share", "youth_neet_2021_share")
    row = row_of(panel, "youth_neet_2021_share", "progress")
    assert (row["verdict"], row["reason"]) == (CANNOT_TELL, "one year only")
    louisville = row_of(panel, "youth_neet_share", "progress", place_id="2148006")
    assert (louisville["year_from"], louisville["year_to"]) == (2006, 2019)
    assert louisville["verdict"] == NOT_DEMONSTRATED


def test_nominal_dollars_are_never_progress(panel):
    rows = demonstrations(
        panel, reading="progress", outcomes=["median_income"], rules=OutcomeRules(std_errors={"median_income": 100})
    )
    assert DEMONSTRATED not in set(rows["verdict"])
    assert "nominal dollars" in set(rows["reason"])


def test_a_figure_that_covers_other_people_than_before_shows_no_progress(panel):
    rows = demonstrations(
        panel, reading="progress", outcomes=["air_quality"], rules=OutcomeRules(std_errors={PM25: 0.1})
    )
    moved = rows.loc[rows["reason"] == "the figure covers other people"]
    assert len(moved) > 0
    assert set(moved["verdict"]) == {CANNOT_TELL}
    loose = OutcomeRules(std_errors={PM25: 0.1}, coverage_tolerance=1.0)
    again = demonstrations(panel, reading="progress", outcomes=["air_quality"], rules=loose)
    assert "the figure covers other people" not in set(again["reason"])


def test_the_lines_of_a_city_say_verdict_years_figures_and_test(panel, places):
    found = describe_outcomes(panel, city="Detroit, MI", places=places)
    text = "\n".join(found.lines)
    assert found.lines[0] == "Detroit, MI (2622000)"
    assert "progress: demonstrated. Households with a computer" in text
    assert "59.5% in 2016 (standard error 1.0 points), 83.4% in 2022" in text
    assert "z = 15.5" in text
    assert "one-sided p < 0.001" in text
    assert "candidates: who_2021 (5), naaqs_2012 (12) and naaqs_2024 (9)" in text
    assert "progress, at least 1 of 3 outcomes: demonstrated" in text
    assert "not public" in found.lines[-1]
    assert "nan" not in text
    assert len(found.rows) == 10
    said = found.rows["sentence"].tolist()
    assert all(isinstance(text, Message) for text in (*said, *found.lines[1:]))
    before = said[0].values["figures"].values["before"].values
    assert (before["figure"].values["value"], before["when"].values["year"]) == (found.rows["value_from"][0], 2016)


def test_every_sentence_of_every_city_is_free_of_empty_numbers(panel, places):
    rules = OutcomeRules(
        thresholds={PM25: "naaqs_2024", "air_quality": 0.01, "broadband": 0.8, "youth_neet": 0.1},
        std_errors={PM25: 0.5, "air_quality": 0, "youth_neet_2021_share": 0.01},
    )
    for city in ("Los Angeles, CA", "Louisville, KY", "Boulder, CO", "Issaquah, WA", "Atlanta, GA", "New York, NY"):
        for window in (None, (2016, 2020)):
            given = OutcomeRules(window=window, thresholds=rules.thresholds, std_errors=rules.std_errors)
            lines = describe_outcomes(panel, city=city, places=places, rules=given).lines
            assert not any(word in line.lower() for line in lines for word in ("nan", "inf,", "<na>", "none."))


def test_a_missing_year_is_explained_by_the_publishers_gap(panel, places):
    rules = OutcomeRules(window=(2016, 2020))
    found = describe_outcomes(panel, city="Detroit, MI", places=places, outcomes=["broadband"], rules=rules)
    assert "no usable figure for 2020 (2020: no standard ACS 1-year release" in found.lines[2]


def test_a_threshold_younger_than_the_figures_says_so(panel, places):
    rules = OutcomeRules(thresholds={PM25: "naaqs_2024"}, std_errors={PM25: 0.5})
    found = describe_outcomes(panel, city="Detroit, MI", places=places, outcomes=["air_quality"], rules=rules)
    assert any("in force from 2024-05-06, after these figures" in line for line in found.lines)


def test_a_city_that_is_unknown_or_outside_the_panel_is_refused(panel, places):
    with pytest.raises(InputError, match="Detroit city, MI"):
        describe_outcomes(panel, city="Detriot, MI", places=places)
    with pytest.raises(InputError, match="not in the panel"):
        describe_outcomes(panel, city="Aspen, CO", places=places)
    with pytest.raises(InputError, match="at_least = 4"):
        describe_outcomes(panel, city="Detroit, MI", places=places, at_least=4)


def test_all_faults_of_the_rules_come_in_one_message():
    with pytest.raises(InputError) as caught:
        OutcomeRules(
            window=(2021, 2016),
            level=95,
            thresholds={"broadband": 80, "air_quality": "who_2021", PM25: "who", "happiness": 1},
            std_errors={PM25: -1},
        )
    text = str(caught.value)
    assert "7 faults" in text
    for part in ("window", "level = 95", "0.8", "pm25_mean_ug_m3=who_2021", "no threshold 'who'", "happiness", "-1"):
        assert part in text


def test_wrong_readings_and_outcomes_are_refused_with_those_allowed(panel):
    with pytest.raises(InputError, match="allowed: progress, standard and both"):
        demonstrations(panel, reading="level")
    with pytest.raises(InputError, match="no outcome 'happiness'"):
        demonstrations(panel, outcomes=["happiness"])
    with pytest.raises(InputError, match="no outcome is named"):
        demonstrations(panel, outcomes=[])


def test_options_of_the_command_line_become_numbers_or_names_of_thresholds():
    assert named_values(["broadband=0.8", f"{PM25} = who_2021"], option="--threshold") == {
        "broadband": 0.8,
        PM25: "who_2021",
    }
    with pytest.raises(InputError, match=r"(?s)--threshold: 2 faults.*NAME=VALUE.*given twice"):
        named_values(["broadband", "a=1", "a=2"], option="--threshold")


def test_standings_of_a_requirement_are_one_verdict_a_place_and_outcome(panel):
    found = standings(panel, edition("v3").outcome_requirement)
    assert set(found["2622000"]) == {"broadband", "air_quality"}
    assert found["2622000"]["broadband"] == "demonstrated"
    assert found["2622000"]["air_quality"] == "cannot tell"
