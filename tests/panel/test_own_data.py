import dataclasses

import numpy as np
import pandas as pd
import pytest

from wwc_research import catalog
from wwc_research.errors import DataError, InputError
from wwc_research.estimators import estimate
from wwc_research.evidence.assemble import planned_design
from wwc_research.panel import own_data
from wwc_research.panel.panel import Panel
from wwc_research.sources.synthetic import own_files

ANALYSIS = {
    "family": "own",
    "minimum_effect_of_interest": 1.0,
    "window": [2012, 2016],
    "unit": "place",
    "baseline_years": [2012, 2013],
    "post_years": [2015, 2016],
    "covariates": [],
}


@pytest.fixture
def small_panel() -> Panel:
    """Forty places of five years, without any figure."""
    n, years = 40, range(2012, 2017)
    frame = pd.DataFrame(
        [
            {
                "place_id": f"01{i:05d}",
                "year": year,
                "label": f"Town {i}, AL",
                "county_id": f"01{i:03d}",
                "county_name": f"County {i}",
                "latitude": 32.0,
                "longitude": -86.0,
                "population_count": 50_000.0 + i,
                "county_people_share": 0.5,
                "certification_level_dose": 0.0,
            }
            for i in range(n)
            for year in years
        ]
    )
    return Panel(frame=frame, columns=(), data_hash="0" * 64)


@pytest.fixture
def outcome() -> catalog.Outcome:
    shipped = catalog.outcome("broadband")
    return dataclasses.replace(
        shipped, name="library_visits", variable="library_visits_count", scale=1.0, is_award_condition=False, gaps={}
    )


@pytest.fixture
def treatment() -> catalog.Treatment:
    shipped = catalog.treatment("open_data_policy")
    return dataclasses.replace(shipped, name="late_opening", table="starts.csv", known_through=None)


@pytest.fixture(autouse=True)
def _forget_own_entries():
    yield
    for known in (catalog.outcomes(), catalog.treatments()):
        for name in [name for name in known if catalog.is_own(name)]:
            del known[name]


def write(path, text):
    path.write_text(text, encoding="utf-8")
    return path


def test_a_planted_effect_of_an_own_treatment_on_an_own_outcome_is_recovered(small_panel, outcome, treatment, tmp_path):
    exposed = range(12)
    visits = ["place_id,year,value"]
    visits += [
        f"01{i:05d},{year},{10 + i + 0.5 * year - 1000 + (3 if i in exposed and year >= 2015 else 0)}"
        for i in range(40)
        for year in range(2012, 2017)
    ]
    starts = ["city,started_on", *(f'"Town {i}, AL",2015-03-01' for i in exposed), '"Town 20, AL",']
    figures = own_data.read_outcome(write(tmp_path / "visits.csv", "\n".join(visits)), panel=small_panel)
    begun = own_data.read_treatment(write(tmp_path / "starts.csv", "\n".join(starts)), panel=small_panel, place="city")
    text = own_data.plan_text(
        outcome=outcome, treatment=treatment, analysis=ANALYSIS, title="Own", written="2026-11-22"
    )
    plan = catalog.read_plan(text)
    joined = own_data.with_outcome(small_panel, outcome=outcome, table=figures)
    joined = own_data.with_treatment(joined, treatment=treatment, table=begun)
    sample = planned_design(outcome="library_visits", treatment="late_opening", plan=plan).sample(joined)
    found = estimate(sample, "imputation")
    assert found.estimate == pytest.approx(3.0, abs=1e-9)
    assert found.n_treated == 12
    assert sample.frame["unit"].nunique() == 39, "a place exposed since nobody knows when is no comparison"
    assert joined.data_hash != small_panel.data_hash
    assert joined.column("library_visits_count").n_values == 200


def test_all_faults_of_an_outcome_file_are_told_at_once(small_panel, tmp_path):
    rows = [
        "place_id,year,value",
        "0100001,2012,1",
        "0100001,2012,2",
        "Town 2 AL,2013,3",
        "0100003,1990,4",
        "0100004,2014,x",
    ]
    with pytest.raises(InputError) as error:
        own_data.read_outcome(write(tmp_path / "visits.csv", "\n".join(rows)), panel=small_panel)
    told = str(error.value)
    for part in ("visits.csv", "rows 2 and 3", "Did you mean Town 2, AL", "1990", "column 'value'"):
        assert part in told


def test_all_faults_of_a_treatment_file_are_told_at_once(small_panel, tmp_path):
    rows = ["place_id,started_on", "0100001,2015", "0100001,2016", "0100002,spring 2015", "9999999,2015"]
    with pytest.raises(InputError) as error:
        own_data.read_treatment(write(tmp_path / "starts.csv", "\n".join(rows)), panel=small_panel)
    for part in ("starts.csv", "more than once", "spring 2015", "9999999"):
        assert part in str(error.value)
    with pytest.raises(InputError, match="no column started_on"):
        own_data.read_treatment(write(tmp_path / "other.csv", "place_id,when\n0100001,2015"), panel=small_panel)


def test_an_entry_that_ships_keeps_its_meaning(small_panel, outcome, treatment):
    with pytest.raises(InputError, match="give yours another"):
        catalog.declare(dataclasses.replace(outcome, name="broadband"))
    with pytest.raises(DataError, match="give yours another"):
        own_data.plan_text(
            outcome=dataclasses.replace(outcome, name="broadband"),
            treatment=treatment,
            analysis=ANALYSIS,
            title="Own",
            written="2026-11-22",
        )


def test_a_column_of_the_panel_is_never_overwritten(small_panel, outcome, tmp_path):
    figures = own_data.read_outcome(
        write(tmp_path / "visits.csv", "place_id,year,value\n0100001,2012,1"), panel=small_panel
    )
    with pytest.raises(InputError, match="has a column 'year' already"):
        own_data.with_outcome(small_panel, outcome=dataclasses.replace(outcome, variable="year"), table=figures)


def test_standard_errors_come_along_and_are_missing_where_not_given(small_panel, outcome, tmp_path):
    path = write(tmp_path / "visits.csv", "place_id,year,value,std_error\n0100001,2012,1,0.5\n0100002,2012,2,")
    joined = own_data.with_outcome(small_panel, outcome=outcome, table=own_data.read_outcome(path, panel=small_panel))
    errors = joined.frame.loc[joined.frame["year"] == 2012, "library_visits_count_std_error"].to_numpy()
    assert errors[1] == 0.5
    assert np.isnan(errors[[0, 2]]).all()


def test_a_rule_of_the_plan_is_changed_where_it_stands_and_an_unknown_one_is_refused(small_panel, outcome, treatment):
    given = {"outcome": outcome, "treatment": treatment, "analysis": ANALYSIS, "title": "Own", "written": "2026-11-22"}
    text = own_data.plan_text(**given, rules={"verdict": {"draws": 99}, "calibration": {"draws": 7}})
    plan = catalog.read_plan(text)
    assert (plan.verdict.draws, plan.calibration.draws) == (99, 7)
    assert plan.specifications.draws == catalog.plan().specifications.draws
    assert (plan.treatments, list(plan.analyses)) == (("late_opening",), ["library_visits"])
    with pytest.raises(InputError, match=r"no field many in \[verdict\]"):
        own_data.plan_text(**given, rules={"verdict": {"many": 99}})


def test_simulated_files_hold_the_planted_effect(panel, tmp_path):
    paths = own_files(panel.frame, folder=tmp_path, effect=3.0, generator=np.random.default_rng(1))
    figures = own_data.read_outcome(paths[0], panel=panel).frame
    starts = own_data.read_treatment(paths[1], panel=panel).frame.set_index("place_id")["started_on"].str[:4]
    assert (figures["place_id"].nunique(), len(starts)) == (300, 40)
    began = figures["place_id"].map(starts.astype(float))
    change = figures.assign(late=figures["year"] >= 2017).pivot_table(index="place_id", columns="late", values="value")
    gain = change[True] - change[False]
    exposed = gain.index.isin(starts.index)
    assert began.notna().sum() == 40 * 11
    assert gain[exposed].mean() - gain[~exposed].mean() == pytest.approx(3.0, abs=1.1)


def test_a_plan_keeps_gaps_and_breaks_of_an_own_outcome(outcome, treatment):
    own = dataclasses.replace(outcome, gaps={"2013": 'closed "for works"'}, breaks={"2015": "Counted anew."})
    asked = {"outcome": own, "treatment": treatment, "title": "Own", "written": "2026-11-23"}
    with pytest.raises(DataError, match=r"the series breaks in 2015\. Counted anew\."):
        own_data.plan_text(**asked, analysis=ANALYSIS)
    own_data.plan_text(**asked, analysis=ANALYSIS | {"accept_breaks": [2015]})
    assert catalog.outcome(own.name) == own


LONG = "place_id,year,Data_Value,Low_Confidence_Limit,MeasureId,DataValueTypeID\n"


def test_a_file_of_model_based_estimates_is_refused_by_its_columns(small_panel, tmp_path, outcome):
    long = write(tmp_path / "mine.csv", LONG + "0100000,2012,31.2,30.1,OBESITY,CrdPrv\n")
    wide = write(tmp_path / "wide.csv", "place_id,year,OBESITY_CrudePrev\n0100000,2012,31.2\n")
    with pytest.raises(InputError, match=r"mine\.csv is refused: Figures of CDC PLACES"):
        own_data.read_outcome(long, panel=small_panel, value="Data_Value")
    with pytest.raises(InputError, match="would find the model"):
        own_data.read_outcome(wide, panel=small_panel, value="OBESITY_CrudePrev")
    places = dataclasses.replace(outcome, source="cdc_places")
    with pytest.raises(InputError, match="would find the model"):
        own_data.with_outcome(small_panel, outcome=places, table=None)
