import dataclasses

import numpy as np
import pandas as pd
import pytest

from tests.design.test_baseline import with_changed_figures_after
from wwc_research import catalog
from wwc_research.catalog.peers import peers_rule, read_peers_rule
from wwc_research.design.peers import find_peers
from wwc_research.errors import DataError, EstimationError, InputError
from wwc_research.panel.panel import Panel
from wwc_research.report import peers as wording

SYRACUSE, MEMPHIS, SOUTH_BEND = "3673000", "4748000", "1871000"


def replaced(panel: Panel, frame: pd.DataFrame) -> Panel:
    return dataclasses.replace(panel, frame=frame)


def test_distances_are_mahalanobis_on_the_declared_figures_by_hand(panel):
    found = find_peers(panel, place_id=SYRACUSE, count=2000)
    rows = panel.frame[panel.frame["year"].isin(found.years)]
    means = rows.groupby("place_id")[["population_count", "median_income_usd"]].mean().apply(np.log)
    shares = ["black_share", "hispanic_share", "age_under_18_share", "age_65_plus_share", "unemployment_share"]
    table = means.join(rows.groupby("place_id")[shares].mean()).dropna()
    assert len(table) == found.n_compared + 1 == len(found.peers) + 1
    inverse = np.linalg.inv(table.cov())
    gap = table - table.loc[SYRACUSE]
    expected = np.sqrt(np.einsum("ij,jk,ik->i", gap, inverse, gap))
    expected = pd.Series(expected, index=table.index).drop(SYRACUSE).sort_values()
    got = pd.Series({peer.place_id: peer.distance for peer in found.peers})
    np.testing.assert_allclose(got, expected.reindex(got.index), rtol=1e-9)
    assert got.is_monotonic_increasing
    farthest, nearest = found.peers[-1], found.peers[0]
    assert farthest.nearer_than_cities_share == 0
    assert nearest.nearer_than_cities_share == pytest.approx(1 - 1 / found.n_compared)
    assert farthest.nearer_than_pairs_share < 0.5 < nearest.nearer_than_pairs_share <= 1


def test_figures_after_the_years_compared_move_no_peer(panel):
    for outcome in (None, "broadband"):
        real = find_peers(panel, place_id=SYRACUSE, outcome=outcome)
        changed = with_changed_figures_after(panel, max(real.years))
        assert find_peers(changed, place_id=SYRACUSE, outcome=outcome).peers == real.peers


def test_figures_after_the_citys_own_exposure_are_refused(panel):
    with pytest.raises(InputError, match=r"Syracuse, NY counts as exposed .* from 2022; .*Choose 2021 or before"):
        find_peers(panel, place_id=SYRACUSE, years=[2022])
    with pytest.raises(InputError, match=r"date unknown; .*Choose 2017 or before"):
        find_peers(panel, place_id=SOUTH_BEND, years=[2018])


def test_cities_exposed_by_then_are_no_peers_and_are_counted(panel):
    found = find_peers(panel, place_id=SYRACUSE, years=[2018], count=2000)
    reasons = {item.reason: item.units for item in found.exclusions}
    cities = panel.frame.drop_duplicates("place_id")
    assert (
        reasons["exposed in 2018 or before: its figures may follow from it"]
        == (cities["certification_cohort"] <= 2018).sum()
    )
    assert reasons["known to be exposed, date unknown"] == cities["certification_is_undated"].sum() > 0
    assert all((peer.certification.since or 9999) > 2018 for peer in found.peers)
    assert sum(reasons.values()) + found.n_compared + 1 == len(cities)


def test_certified_undated_and_never_certified_are_told_apart(panel):
    found = {peer.place_id: peer for peer in find_peers(panel, place_id=SYRACUSE, count=2000).peers}
    assert found[SOUTH_BEND].certification.status == "undated"
    assert not found[SOUTH_BEND].may_be_compared
    memphis = found[MEMPHIS].certification
    assert (memphis.status, memphis.since, memphis.edition) == ("certified", 2019, "v2")
    never = [peer for peer in found.values() if peer.certification.status == "never"]
    assert len(never) > 400
    assert all(peer.may_be_compared for peer in never)


def test_a_city_is_never_its_own_peer_and_being_near_is_mutual(panel):
    found = find_peers(panel, place_id=SYRACUSE, count=2000)
    assert SYRACUSE not in {peer.place_id for peer in found.peers}
    other = found.peers[3]
    back = {peer.place_id: peer.distance for peer in find_peers(panel, place_id=other.place_id, count=2000).peers}
    assert back[SYRACUSE] == pytest.approx(other.distance, rel=1e-9)


def test_an_outcome_brings_its_planned_covariates_years_and_its_own_level(panel):
    found = find_peers(panel, place_id=SYRACUSE, outcome="broadband")
    plan = catalog.plan().analyses["broadband"]
    assert found.years == plan.baseline_years
    assert [item.name for item in found.characteristics] == [*plan.covariates, "broadband"]
    city = panel.frame[panel.frame["place_id"].eq(SYRACUSE)].set_index("year")["broadband_share"]
    assert found.characteristics[-1].value == pytest.approx(city[[2016, 2017]].mean())
    income = find_peers(panel, place_id=SYRACUSE, outcome="median_income")
    names = [item.name for item in income.characteristics]
    assert names.count("median_income") == 1
    assert "log_median_income" not in names


def test_a_figure_that_the_city_lacks_is_said_and_not_compared(panel):
    frame = panel.frame.copy()
    frame.loc[frame["place_id"].eq(SYRACUSE), "black_share"] = np.nan
    found = find_peers(replaced(panel, frame), place_id=SYRACUSE)
    assert "black_share" not in [item.name for item in found.characteristics]
    assert any(
        "Black residents" in text and "no figure for Syracuse, NY in 2014-2016" in text for text in found.missing
    )
    assert any("Black residents" in text for text in wording.notes(found))
    late = find_peers(panel, place_id=SYRACUSE, years=[2020])
    assert any("no figure for any city in 2020 (the panel has 2010-2018)" in text for text in late.missing)


def test_a_question_that_cannot_be_answered_says_why(panel):
    with pytest.raises(InputError, match="there is no outcome 'height'"):
        find_peers(panel, place_id=SYRACUSE, outcome="height")
    with pytest.raises(InputError, match="count = 0"):
        find_peers(panel, place_id=SYRACUSE, count=0)
    with pytest.raises(InputError, match="not in the panel"):
        find_peers(panel, place_id="0000000")
    with pytest.raises(EstimationError, match="cannot be compared in 1990"):
        find_peers(panel, place_id=SYRACUSE, years=[1990])
    few = replaced(panel, panel.frame[panel.frame["state"].isin(["NY"])])
    with pytest.raises(EstimationError, match="too few to say who is alike"):
        find_peers(few, place_id=SYRACUSE)


def test_differences_are_said_in_words_and_add_up(panel):
    found = find_peers(panel, place_id=SYRACUSE)
    peer = found.peers[0]
    said = wording.sentence(peer, found=found)
    assert said.startswith(f"{peer.label}: population ")
    assert " against 144,000;" in said
    income = 100 * (peer.values["log_median_income"] / found.characteristics[1].value - 1)
    assert f"median income {abs(income):.0f} % {'higher' if income > 0 else 'lower'}" in said
    assert "of all pairs of cities" in said
    lines = wording.lines(found)
    table = lines[2 : 4 + len(found.peers)]
    starts = {line.index(text) for line, text in zip(table[1:], ["certified silver"], strict=False)}
    assert starts == {table[0].index("Certification")}
    assert any(line.startswith("Not on the list means not on the public roster") for line in lines)


def test_no_city_that_is_alike_is_said_to_be_so(panel):
    frame = panel.frame.copy()
    frame.loc[frame["place_id"].eq(SYRACUSE), "unemployment_share"] = 0.9
    found = find_peers(replaced(panel, frame), place_id=SYRACUSE)
    assert found.peers[0].nearer_than_pairs_share < 0.5
    assert any(text.startswith("No city is close") for text in wording.notes(found))


def test_every_covariate_has_words_and_the_years_come_before_any_certification(panel):
    rule = peers_rule()
    assert set(rule.words) == set(catalog.covariates())
    assert max(rule.baseline_years) < panel.frame["certification_cohort"].min()
    text = (
        catalog.text_of("peers.toml")
        .replace("[words.black_share]", "[words.tall_share]")
        .replace('"points"', '"feet"', 1)
    )
    with pytest.raises(DataError, match=r"(?s)'tall_share' is no covariate.*'black_share' has no \[words"):
        read_peers_rule(text)
