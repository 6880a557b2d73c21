"""A score as treatment: confidential shares of points become the dose of a design, and an estimate follows."""

import dataclasses

import numpy as np
import pytest

from tests.design.test_design import design
from wwc_research.catalog.editions import edition
from wwc_research.estimators import estimate
from wwc_research.panel.doses import with_score_dose
from wwc_research.standard.responses import Responses
from wwc_research.standard.scoring import score


@pytest.fixture(scope="module")
def scored(panel):
    """Made-up answers of the certified cities, assessed the year before they count as exposed."""
    v2 = edition("v2")
    cities = panel.frame.drop_duplicates("place_id").dropna(subset=["certification_cohort"])
    generator = np.random.default_rng(7)
    values = (generator.random((len(cities), len(v2.criteria))) < 0.7).astype(int)
    responses = Responses(
        values,
        place_ids=list(cities["place_id"]),
        assessed_on=[f"{int(cohort) - 1}-06" for cohort in cities["certification_cohort"]],
        criteria=list(v2.criteria),
        edition=v2,
    )
    return with_score_dose(panel, score(responses, v2))


def test_the_share_of_points_is_the_dose_of_exposed_cities_and_an_effect_by_dose_follows(scored):
    planned = dataclasses.replace(design("broadband"), dose="score_dose")
    sample = planned.sample(scored)
    exposed = sample.frame["time"] >= sample.frame["cohort"]
    assert sample.frame.loc[exposed, "dose"].between(0.4, 0.95).all()
    assert (sample.frame.loc[~exposed, "dose"] == 0).all()
    found = estimate(sample, "dose_response")
    plain = estimate(design("broadband").sample(scored), "imputation")
    assert found.n_treated == plain.n_treated == 48
    assert found.ci[0] < plain.estimate < found.ci[1]
    assert sum(row["n_units"] for row in found.settings["dose_bins"]) == 48


def test_an_exposed_city_without_a_score_is_left_out_and_counted(scored, panel):
    lost = scored.frame["score_dose"].where(scored.frame["place_id"] != "2622000")
    planned = dataclasses.replace(design("broadband"), dose="score_dose")
    sample = planned.sample(dataclasses.replace(scored, frame=scored.frame.assign(score_dose=lost)))
    gone = [item for item in sample.exclusions if "dose is not known" in item.reason]
    assert len(gone) == 1
    assert gone[0].units == 1
