import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from typer.testing import CliRunner

from wwc_research.cli import app

FIGURES = Path(__file__).parent / "figures"
COVARIATES = "age,schooling_years,race,is_married,has_no_degree,earnings_1974_usd,earnings_1975_usd"
BASE = ["--treatment", "treated", "--covariates", COVARIATES, "--method", "nearest"]
OUTCOME = ["--outcome", "earnings_1978_usd"]
KEYS = {
    "method",
    "estimand",
    "estimate",
    "std_error",
    "n_treated",
    "n_control",
    "n_matched_treated",
    "n_matched_control",
    "balance",
    "exclusions",
    "settings",
}


@pytest.fixture
def people():
    return pd.read_csv(FIGURES / "lalonde.csv")


@pytest.fixture
def people_file(people, tmp_path):
    path = tmp_path / "people.csv"
    people.to_csv(path, index=False)
    return path


def run(file, *options):
    return CliRunner().invoke(app, ["match", str(file), *options])


def answer(file, *options):
    out = file.parent / "out.json"
    done = run(file, *options, "--json", str(out))
    assert done.exit_code == 0, done.output
    return json.loads(out.read_text(encoding="utf-8"))


def refused(file, *options):
    done = run(file, *options, "--json", str(file.parent / "out.json"))
    assert done.exit_code == 2, done.output
    assert done.stdout == ""
    assert done.stderr.startswith("error: ")
    assert "Traceback" not in done.output
    assert not (file.parent / "out.json").exists()
    assert not list(file.parent.glob("*.part"))
    return done.stderr


@pytest.mark.parametrize(
    ("options", "estimate", "std_error"),
    [
        ([], 894.367480270275, 705.229764061618),
        (["--caliper", "0.1"], 1835.40768243244, 1026.55641199335),
        (["--replace"], 1991.61527351352, 928.122668764621),
        (["--order", "closest"], 894.367480270275, 745.078302661096),
        (["--ratio", "2"], 220.288640675677, 661.191009876752),
        (["--distance", "mahalanobis"], 538.562938648652, 732.695179587364),
    ],
)
def test_a_users_file_gives_the_numbers_of_matchit(people_file, options, estimate, std_error):
    """R: MatchIt 4.7.2 with sandwich standard errors on the LaLonde data."""
    result = answer(people_file, *BASE, *OUTCOME, *options)
    assert result["estimate"] == pytest.approx(estimate, rel=1e-6)
    assert result["std_error"] == pytest.approx(std_error, rel=1e-6)


def test_the_abadie_imbens_error_of_rs_matching_is_one_option_away(people_file):
    result = answer(
        people_file,
        *BASE,
        *OUTCOME,
        *["--distance", "mahalanobis", "--covariance", "overall", "--replace", "--ties", "all"],
        *["--std-errors", "abadie_imbens"],
    )
    assert result["estimate"] == pytest.approx(262.240078270271, rel=1e-6)
    assert result["std_error"] == pytest.approx(1252.83044330156, rel=1e-6)


def test_the_output_keeps_its_contract(people_file):
    result = answer(people_file, *BASE, *OUTCOME, "--unit", "person", "--exact", "is_married")
    assert set(result) >= KEYS
    assert (result["method"], result["n_treated"], result["n_control"]) == ("nearest", 185, 429)
    for row in result["balance"]:
        assert set(row) >= {
            "covariate",
            "smd_before",
            "smd_after",
            "variance_ratio_before",
            "variance_ratio_after",
        }
    covariates = {row["covariate"] for row in result["balance"]}
    assert {"age", "raceblack"} <= covariates
    assert "distance" not in covariates
    assert set(result["distance_balance"]) == set(result["balance"][0]) - {"covariate"}
    assert result["pairs"][0]["treated"].startswith("p")
    assert result["settings"]["exact"] == ["is_married"]
    assert result["settings"]["columns"]["treatment"] == "treated"


def test_the_balance_of_the_propensity_score_is_that_of_matchit_and_stands_apart(people_file):
    numbers = pd.read_csv(FIGURES / "lalonde_numbers.csv").set_index("spec")["estimate"]
    found = answer(people_file, *BASE)["distance_balance"]
    assert found["smd_before"] == pytest.approx(numbers["SMD before distance"], rel=1e-6)
    assert found["smd_after"] == pytest.approx(numbers["SMD after NN distance"], rel=1e-6)
    for options in (["--distance", "mahalanobis"], ["--distance", "mahalanobis", "--caliper", "0.2"]):
        assert answer(people_file, *BASE, *options)["distance_balance"] is None


def test_without_outcome_there_is_balance_and_no_estimate(people_file):
    result = answer(people_file, *BASE)
    assert result["estimate"] is None
    assert result["std_error"] is None
    assert result["settings"]["warnings"] == []
    assert result["n_matched_treated"] == 185
    smd = {row["covariate"]: row["smd_after"] for row in result["balance"]}
    assert smd["age"] == pytest.approx(0.0717696897509558, rel=1e-6)


def test_a_caliper_changes_the_estimand_and_the_exclusions_say_whom_it_cost(people_file):
    result = answer(people_file, *BASE, "--caliper", "0.1")
    assert result["estimand"] == "ATT of the matched treated"
    assert result["n_matched_treated"] == 111
    unmatched = sum(item["units"] for item in result["exclusions"] if item["reason"].startswith("treated"))
    assert unmatched == 185 - 111


def test_clusters_reach_the_standard_error(people, people_file):
    people.assign(county=people["age"] // 5).to_csv(people_file, index=False)
    plain = answer(people_file, *BASE, *OUTCOME)
    clustered = answer(people_file, *BASE, *OUTCOME, "--cluster", "county")
    assert clustered["estimate"] == plain["estimate"]
    assert clustered["std_error"] != pytest.approx(plain["std_error"], rel=1e-3)
    assert clustered["settings"]["std_errors"] == "matched_set_and_cluster"


def test_a_random_order_needs_a_seed_and_repeats_with_it(people_file):
    options = [*BASE, *OUTCOME, "--order", "random", "--caliper", "0.1"]
    assert "needs a seed" in refused(people_file, *options)
    first = answer(people_file, *options, "--seed", "1")
    assert first["estimate"] == answer(people_file, *options, "--seed", "1")["estimate"]
    assert first["settings"]["seed"] == 1


def test_missing_values_are_left_out_and_counted(people, people_file):
    people.loc[[0, 5], "age"] = np.nan
    people.loc[600, "earnings_1978_usd"] = np.nan
    people.to_csv(people_file, index=False)
    result = answer(people_file, *BASE, *OUTCOME)
    reasons = {item["reason"]: item["rows"] for item in result["exclusions"]}
    assert reasons["no value of age"] == 2
    assert reasons["no value of earnings_1978_usd"] == 1
    assert result["n_treated"] + result["n_control"] == 611


def spoiled(people, column, row, value):
    frame = people.astype(object)
    frame.loc[row, column] = value
    return frame


BAD = {
    "missing columns": (lambda d: d.drop(columns=["age", "race"]), "no column 'age'"),
    "text in numbers": (lambda d: spoiled(d, "age", 4, "young"), "row 6: 'young' is no number"),
    "treatment of 2": (lambda d: spoiled(d, "treated", 4, 2), "row 6: '2' where 1 (treated)"),
    "all treated": (lambda d: d.assign(treated=1), "no untreated unit"),
    "one treated": (lambda d: d[(d["treated"] == 0) | (d["person"] == "p001")], "only one treated unit"),
    "none treated": (lambda d: d.assign(treated=0), "no treated unit"),
    "one control": (
        lambda d: d[(d["treated"] == 1) | (d["person"] == d.query("treated == 0")["person"].iloc[0])],
        "people.csv: column 'treated': only one untreated unit",
    ),
    "constant outcome": (lambda d: d.assign(earnings_1978_usd=7), "is 7 in every row"),
    "infinities": (lambda d: spoiled(d, "age", 4, np.inf), "row 6: infinite values"),
    "duplicate units": (lambda d: spoiled(d, "person", 4, "p001"), "rows 2 and 6: more than one row"),
    "empty covariate": (lambda d: d.assign(age=None), "'age' has no value in any row"),
    "only a header": (lambda d: d.head(0), "a header and no rows"),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_input_is_one_clear_error_and_nothing_is_written(people, people_file, case):
    spoil, part = BAD[case]
    spoil(people).to_csv(people_file, index=False)
    assert part in refused(people_file, *BASE, *OUTCOME, "--unit", "person")


def test_an_empty_file_is_refused(people_file):
    people_file.write_bytes(b"")
    assert "the file is empty" in refused(people_file, *BASE)


def test_all_faults_come_in_one_message(people, people_file):
    frame = spoiled(people, "treated", 4, "maybe")
    frame.loc[7, "age"] = "old"
    frame.drop(columns="race").to_csv(people_file, index=False)
    text = refused(people_file, *BASE, *OUTCOME)
    assert "3 faults" in text
    for part in ("no column 'race'", "'maybe'", "'old'"):
        assert part in text


def test_covariates_that_separate_the_groups_are_explained(people, people_file):
    people.assign(age=people["age"] + 100 * people["treated"]).to_csv(people_file, index=False)
    text = refused(people_file, *BASE)
    assert text.startswith("error: people.csv: covariates age, schooling_years,")
    assert "perfectly" in text


def test_two_controls_leave_one_message_and_no_trace_of_the_code(people, people_file):
    pd.concat([people[people["treated"] == 1], people[people["treated"] == 0].head(2)]).to_csv(people_file, index=False)
    text = refused(people_file, *BASE, *OUTCOME)
    assert "Warning" not in text
    assert text.count("\n") == 1


def test_a_single_cluster_is_refused(people, people_file):
    people.assign(county="x").to_csv(people_file, index=False)
    assert "all units share the cluster 'x'" in refused(people_file, *BASE, *OUTCOME, "--cluster", "county")


def test_an_undefined_standard_error_is_said_to_be_undefined(people, people_file):
    people["earnings_1978_usd"] *= 1e-300
    people.to_csv(people_file, index=False)
    done = run(people_file, *BASE, *OUTCOME)
    assert done.exit_code == 0
    assert "standard error undefined" in done.stdout
    assert "warning: the standard error is undefined" in done.stderr


def test_unit_codes_alike_but_for_zeros_bring_a_warning(people, people_file):
    people["person"] = ["07", *map(str, range(1, len(people)))]
    people.to_csv(people_file, index=False)
    (warning,) = answer(people_file, *BASE, "--unit", "person")["settings"]["warnings"]
    assert "'07' beside '7'" in warning


def test_marked_and_latin_1_files_are_read(people, people_file):
    people["race"] = people["race"].replace("hispan", "hispa\u00f1o")
    for codec, label in (("utf-8-sig", "UTF-8 with byte order mark"), ("latin-1", "Latin-1")):
        people.to_csv(people_file, index=False, encoding=codec)
        result = answer(people_file, *BASE)
        assert result["settings"]["encoding"] == label
        assert "racehispa\u00f1o" in {row["covariate"] for row in result["balance"]}


def test_an_unknown_method_is_refused_with_those_allowed(people_file):
    done = run(people_file, "--treatment", "treated", "--covariates", "age", "--method", "magic")
    assert done.exit_code == 2
    assert "nearest" in done.stderr


def test_the_help_has_examples():
    text = CliRunner().invoke(app, ["match", "--help"]).output
    assert "Examples:" in text
    assert "--covariates" in text


def test_the_help_names_every_key_beyond_the_basics(people_file):
    text = CliRunner().invoke(app, ["match", "--help"]).output
    line = " ".join(text.split()).split("Beyond the basics OUT has ")[1].split(".")[0]
    assert set(line.replace(" and ", ", ").split(", ")) == set(answer(people_file, *BASE)) - KEYS
