import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from wwc_research.errors import InputError
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
