from __future__ import annotations

import pandas as pd
import pytest

from wwc_research.errors import DataError
from wwc_research.sources import raw
from wwc_research.sources.places import (
    Match,
    NoMatch,
    Places,
    alternative_names,
    legal_type,
    normalised,
    short_name,
)


@pytest.mark.parametrize(
    ("text", "place_id"),
    [
        ("Louisville, KY", "2148006"),
        ("Louisville/Jefferson County metro government (balance), Kentucky", "2148006"),
        ("Athens, GA", "1303440"),
        ("Athens-Clarke County, Georgia", "1303440"),
        ("Nashville, TN", "4752006"),
        ("Nashville-Davidson, TN", "4752006"),
        ("Macon, GA", "1349008"),
        ("Lexington, KY", "2146027"),
        ("Augusta, GA", "1304204"),
        ("Indianapolis, IN", "1836003"),
        ("Boise, ID", "1608830"),
        ("Boise City city, Idaho", "1608830"),
        ("Saint Paul, MN", "2758000"),
        ("St. Paul, Minnesota", "2758000"),
        ("saint-paul-mn", "2758000"),
        ("Ft. Collins, CO", "0827425"),
        ("Fort Collins, CO", "0827425"),
        ("La Canada Flintridge, CA", "0639003"),
        ("Coeur d'Alene, ID", "1616750"),
        ("O'Fallon, MO", "2954074"),
        ("Washington, DC", "1150000"),
        ("Washington, D.C.", "1150000"),
        ("washington-dc", "1150000"),
        ("District of Columbia", "1150000"),
        ("Honolulu, HI", "1571550"),
        ("winston-salem-nc", "3775000"),
        ("City of Tempe, Arizona", "0473000"),
        ("Fishers town, Indiana", "1823278"),
        ("Carson City, NV", "3209700"),
        ("0644000", "0644000"),
    ],
)
def test_a_name_in_any_of_its_forms_is_one_place(places: Places, text: str, place_id: str) -> None:
    outcome = places.resolve(text)
    assert isinstance(outcome, Match), outcome
    assert outcome.place_id == place_id


@pytest.mark.parametrize(
    ("name", "states"),
    [("Rochester", {"MN": "2754880", "NY": "3663000"}), ("Glendale", {"AZ": "0427820", "CA": "0630000"})],
)
def test_a_name_of_two_states_needs_its_state(places: Places, name: str, states: dict[str, str]) -> None:
    outcome = places.resolve(name)
    assert isinstance(outcome, NoMatch)
    assert outcome.reason == "ambiguous"
    assert all(any(code in text for text in outcome.candidates) for code in states.values())
    for state, code in states.items():
        assert places.resolve(name, state=state).place_id == code


def test_a_misspelt_name_is_never_guessed_but_the_nearest_is_named(places: Places) -> None:
    outcome = places.resolve("Tempee", state="AZ")
    assert isinstance(outcome, NoMatch)
    assert outcome.reason == "unresolved"
    assert outcome.candidates[0] == "Tempe city, AZ (0473000)"


def test_a_state_that_is_none_resolves_nothing(places: Places) -> None:
    assert isinstance(places.resolve("Springfield", state="XX"), NoMatch)


def test_a_dissolved_city_is_not_the_government_that_took_its_name(places: Places) -> None:
    assert isinstance(places.resolve("Macon city", state="GA"), NoMatch)


def test_all_faults_of_a_list_come_in_one_error(places: Places) -> None:
    resolution = places.resolve_all([("Tempe", "AZ"), ("Tempee", "AZ"), "Rochester", ("Atlantis", "GA")])
    assert set(resolution.found) == {"Tempe, AZ"}
    assert [miss.text for miss in resolution.unresolved] == ["Tempee, AZ", "Atlantis, GA"]
    assert [miss.text for miss in resolution.ambiguous] == ["Rochester"]
    with pytest.raises(DataError, match=r"list\.csv: 3 faults") as caught:
        resolution.raise_if_incomplete(where="list.csv")
    assert "Nearest names: Tempe city, AZ (0473000)" in str(caught.value)
    assert "add the state" in str(caught.value)


def test_every_us_city_of_the_roster_resolves_to_its_code(places: Places, raw_dir) -> None:
    events = raw.read_table(raw_dir, "certification/events")
    cities = events.loc[events["country"] == "USA", ["city", "state", "place_id"]].drop_duplicates()
    assert len(cities) == 74
    for city, state, place_id in cities.itertuples(index=False):
        assert places.resolve(city, state=state).place_id == place_id


def test_every_place_of_the_universe_resolves_to_itself(places: Places) -> None:
    inside = places.names[places.names["in_universe"]]
    assert len(inside) == 1298
    pairs = list(zip(inside["name"], inside["state"], strict=True))
    resolution = places.resolve_all(pairs)
    found = {match.place_id for match in resolution.found.values()}
    assert found == set(inside["place_id"])


def test_names_for_people_show_the_city(places: Places) -> None:
    assert places.name("2148006") == "Louisville, KY"
    assert places.name("0473000") == "Tempe, AZ"
    assert places.name("1349008") == "Macon, GA"
    with pytest.raises(DataError, match="9999999"):
        places.name("9999999")


def test_a_hyphen_splits_only_consolidated_governments() -> None:
    assert alternative_names("Winston-Salem city") == ()
    assert alternative_names("Macon-Bibb County") == ("Macon-Bibb", "Macon")
    assert alternative_names("Butte-Silver Bow (balance)") == ("Butte",)


def test_the_legal_description_is_the_lower_case_tail() -> None:
    assert (short_name("Boise City city"), legal_type("Boise City city")) == ("Boise City", "city")
    assert (short_name("Carson City"), legal_type("Carson City")) == ("Carson City", "")
    assert normalised("Cañon City") == "canon city"


def test_counties_resolve_by_name_and_state_and_cities_stay_apart(places: Places) -> None:
    assert places.resolve_county("Baltimore", state="Maryland") == "24005"
    assert places.resolve_county("Baltimore (City)", state="Maryland") == "24510"
    assert places.resolve_county("Saint Louis", state="Missouri") == "29189"
    assert places.resolve_county("St. Louis City", state="Missouri") == "29510"
    assert places.resolve_county("Dona Ana", state="New Mexico") == "35013"
    assert places.resolve_county("Richmond City", state="Virginia") == "51760"
    assert places.resolve_county("District of Columbia", state="District Of Columbia") == "11001"
    assert places.resolve_county("SONORA", state="Country Of Mexico") is None


def test_two_places_of_one_name_and_state_are_ambiguous() -> None:
    names = pd.DataFrame(
        {
            "place_id": ["3957750", "3957792"],
            "name": ["Oakwood city", "Oakwood village"],
            "state": ["OH", "OH"],
            "in_universe": [False, False],
            "aliases": ["", ""],
        }
    )
    counties = pd.DataFrame({"county_id": ["39001"], "name": ["Adams County"], "state": ["OH"]})
    small = Places(names, counties)
    assert isinstance(small.resolve("Oakwood, OH"), NoMatch)
    assert small.resolve("Oakwood village, OH").place_id == "3957792"
