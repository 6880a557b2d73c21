import io
import json
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import numpy as np
import pandas as pd
import pytest
from typer.testing import CliRunner

from wwc_research.cli import app
from wwc_research.design.user_sample import sample_from_file
from wwc_research.estimators import ESTIMATORS, estimate
from wwc_research.evidence import calibration

ROLES = ["--unit", "city", "--time", "year", "--outcome", "share", "--cohort", "first"]
SMALL = ["--estimator", "two_way_fe", "--effect", "0.5", "--draws", "60", "--jobs", "1"]


def run(*words: object):
    done = CliRunner().invoke(app, [str(word) for word in words])
    assert "Traceback" not in done.output
    return done


def table(*, n_units=60, exposed=10, late=0):
    """Noise of standard deviation 1 about unit levels; `exposed` cities from 2018 on, `late` more from 2020 on."""
    generator = np.random.default_rng(8)
    years = np.arange(2014, 2022)
    first = np.zeros(n_units, dtype=int)
    first[:exposed], first[exposed : exposed + late] = 2018, 2020
    levels = np.repeat(generator.normal(size=n_units), len(years))
    return pd.DataFrame(
        {
            "city": np.repeat([f"c{number:03d}" for number in range(n_units)], len(years)),
            "year": np.tile(years, n_units),
            "share": levels + generator.normal(size=len(levels)),
            "first": np.repeat(first, len(years)),
            "county": np.repeat([f"k{number // 2:03d}" for number in range(n_units)], len(years)),
            "size": levels,
        }
    )


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "cities.csv"
    table().to_csv(path, index=False)
    return path


@pytest.fixture
def here(monkeypatch):
    """Draws are made in this process, which needs no second one to start."""

    @contextmanager
    def in_this_process(jobs):
        with ThreadPoolExecutor(1) as pool:
            yield pool

    monkeypatch.setattr(calibration, "workers", in_this_process)


def test_the_card_is_that_of_the_library_for_any_number_of_processes(file, request):
    done = run("simulate", file, *ROLES, *SMALL, "--jobs", 2, "--seed", 4, "--json", "-")
    assert done.exit_code == 0
    found = json.loads(done.stdout)
    sample = sample_from_file(file, unit="city", time="year", outcome="share", cohort="first")
    request.getfixturevalue("here")
    known = calibration.calibrate(sample, estimators=["two_way_fe"], draws=60, effect=0.5, seed=4).as_dict()
    assert {name: found[name] for name in known} == json.loads(json.dumps(known))
    assert found["settings"]["seed"] == 4
    assert found["settings"]["draws"] == 60
    assert found["settings"]["columns"]["cohort"] == "first"


@pytest.mark.usefixtures("here")
def test_the_card_is_told_as_a_table_with_its_sentences(file, tmp_path):
    out = tmp_path / "card.json"
    done = run("simulate", file, *ROLES, *SMALL, "--json", out)
    card = json.loads(out.read_text(encoding="utf-8"))
    row, judged = card["rows"]
    lines = done.stdout.splitlines()
    assert lines[0] == card["sentence"]
    assert "60 times, 10 of 50 units never exposed" in lines[0]
    head, own, by_lot = lines[2:5]
    for name in ("bias", "coverage", "false positives (95 % interval)", "smallest seen", "power at 0.5"):
        assert name in head
    assert own.startswith("two_way_fe ")
    assert by_lot.startswith("two_way_fe, by lot ")
    assert f"{row['bias']:+.3g}" in own
    for name in ("coverage", "false_positive_share", "false_positive_low", "false_positive_high", "power_at_effect"):
        assert f"{100 * row[name]:.1f} %" in own
    assert f"{row['minimum_detectable_effect']:.3g}" in own
    assert f"two_way_fe: {row['sentence']}" in lines
    assert f"two_way_fe, by lot: {judged['sentence']}" in lines
    assert lines[-1] == "two_way_fe can carry a headline on this panel."


@pytest.mark.usefixtures("here")
def test_an_estimator_that_misses_growing_effects_heads_no_page(tmp_path):
    """Cities exposed early, whose effects still grow, are the comparison of those exposed late."""
    path = tmp_path / "waves.csv"
    table(n_units=104, exposed=25, late=25).to_csv(path, index=False)
    done = run("simulate", path, *ROLES, "--estimator", "two_way_fe", "--effect", 9, "--draws", 60, "--jobs", 1)
    assert done.exit_code == 0
    assert "two_way_fe, by lot: Unfit to carry a headline: it misses an effect that grows" in done.stdout
    assert done.stdout.endswith("two_way_fe cannot carry a headline on this panel.\n")


@pytest.mark.usefixtures("here")
def test_too_few_draws_leave_what_they_show_in_doubt(file):
    done = run("simulate", file, *ROLES, *SMALL, "--draws", 5)
    assert "too few to tell" in done.stdout
    assert done.stdout.endswith("two_way_fe can carry a headline on this panel, though it is in doubt.\n")


@pytest.mark.usefixtures("here")
def test_by_default_the_headline_its_fallback_and_the_usual_regression_are_tried(file):
    done = run("simulate", file, *ROLES, "--effect", 0.5, "--draws", 2, "--jobs", 1, "--json", "-")
    found = json.loads(done.stdout)
    assert (found["headline"], found["fallback"]) == ("imputation", "callaway_santanna")
    assert [(row["estimator"], row["basis"]) for row in found["rows"]] == [
        ("imputation", "own_error"),
        ("callaway_santanna", "own_error"),
        ("two_way_fe", "own_error"),
        ("imputation", "as_judged"),
        ("callaway_santanna", "as_judged"),
    ]


@pytest.mark.usefixtures("here")
def test_clusters_covariates_and_comparison_reach_the_sample(file):
    more = ["--cluster", "county", "--covariates", "size", "--comparison", "never", "--anticipation", "1"]
    done = run("simulate", file, *ROLES, *SMALL, *more, "--draws", 3, "--json", "-")
    settings = json.loads(done.stdout)["settings"]
    assert settings["columns"]["cluster"] == "county"
    assert settings["covariates"] == ["size"]
    assert (settings["comparison"], settings["anticipation"]) == ("never", 1)


def without_comparison(frame):
    return frame.assign(first=np.where(frame["first"] == 0, 2020, frame["first"]))


@pytest.mark.parametrize(
    ("words", "change", "parts"),
    [
        ([], None, ["--effect is needed", "in the unit of the outcome", "power"]),
        (["--effect", "0"], None, ["--effect 0 ", "other than 0"]),
        (["--effect", "nan"], None, ["--effect nan"]),
        (["--estimator", "luck", "--effect", "1"], None, ["'luck' does not exist", *sorted(ESTIMATORS)]),
        (["--estimator", "luck"], None, ["2 faults", "'luck'", "--effect is needed"]),
        (["--effect", "1"], without_comparison, ["60 units are exposed and 0 never", "Add comparison units"]),
        (["--effect", "1"], lambda frame: frame.drop(columns="share"), ["share"]),
        (["--effect", "1", "--estimator", "dose_response"], None, ["--estimator dose_response", "dose"]),
        (["--effect", "1", "--draws", "0"], None, ["--draws"]),
        (["--effect", "1", "--json", "no/such/folder/out.json"], None, ["does not exist"]),
    ],
)
def test_bad_input_is_one_error_before_any_work(file, monkeypatch, words, change, parts):
    def never(*_, **__):
        raise AssertionError("work was started")

    monkeypatch.setattr("wwc_research.evidence.calibration.calibrate", never)
    if change is not None:
        change(table()).to_csv(file, index=False)
    done = run("simulate", file, *ROLES, *words)
    assert done.exit_code == 2
    assert done.stdout == ""
    for part in parts:
        assert part in done.stderr


def test_the_input_is_never_written_over(file):
    before = file.read_bytes()
    done = run("simulate", file, *ROLES, *SMALL, "--json", file)
    assert done.exit_code == 2
    assert "is the input itself" in done.stderr
    assert file.read_bytes() == before


def world(project, kind, *words):
    return run("simulate", "world", kind, "--root", project, *words)


def test_a_world_says_in_every_row_that_it_is_simulated_and_is_read_by_estimate(answered_project, tmp_path):
    out = tmp_path / "world.csv"
    done = world(answered_project, "effect", "--like", "broadband", "--effect", 0.05, "--out", out)
    assert done.exit_code == 0
    assert done.stdout.startswith("Simulated, no figure is real")
    assert "true effect +0.05" in done.stdout
    frame = pd.read_csv(out)
    assert frame.columns[0] == "is_simulated"
    assert frame["is_simulated"].all()
    assert frame["unit"].str.startswith("simulated").all()
    sample = sample_from_file(
        out, unit="unit", time="time", outcome="outcome", cohort="cohort", cluster="cluster", weights="weight"
    )
    found = estimate(sample, "imputation")
    assert abs(found.estimate - 0.05) < 4 * found.std_error
    assert found.estimate > 2 * found.std_error


def test_a_world_follows_from_its_seed_and_a_dash_prints_it_alone(answered_project):
    words = ["null", "--like", "youth_neet", "--out", "-"]
    first, again, other = (world(answered_project, *words, "--seed", seed) for seed in (1, 1, 2))
    assert first.stdout == again.stdout != other.stdout
    assert pd.read_csv(io.StringIO(first.stdout))["is_simulated"].all()
    assert first.stderr.startswith("Simulated, no figure is real")


@pytest.mark.parametrize(
    ("words", "part"),
    [
        (["null", "--like", "luck"], "no analysis of 'luck'"),
        (["null", "--like", "broadband", "--effect", "1"], "a null world has no effect"),
        (["diverging", "--like", "broadband"], "nothing without a strength"),
        (["sunny", "--like", "broadband"], "sunny"),
        (["null", "--like", "broadband", "--treatment", "luck"], "luck"),
    ],
)
def test_a_world_that_cannot_be_made_is_refused_and_nothing_is_written(answered_project, tmp_path, words, part):
    out = tmp_path / "world.csv"
    done = world(answered_project, *words, "--out", out)
    assert done.exit_code == 2
    assert part in done.stderr
    assert not out.exists()


def test_a_world_is_never_written_over_the_panel(answered_project):
    panel = answered_project / "data" / "processed" / "panel.parquet"
    before = panel.read_bytes()
    done = world(answered_project, "null", "--like", "broadband", "--out", panel)
    assert done.exit_code == 2
    assert "--out" in done.stderr
    assert panel.read_bytes() == before


@pytest.mark.parametrize("words", [("simulate",), ("simulate", "world")])
def test_each_command_explains_itself_with_an_example(words):
    done = run(*words, "--help")
    assert done.exit_code == 0
    assert "wwc-research simulate" in done.stdout
