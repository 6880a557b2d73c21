import json
from dataclasses import replace
from pathlib import Path
from typing import get_args

import numpy as np
import pandas as pd
import pytest
from typer.testing import CliRunner

from wwc_research.cli import app
from wwc_research.design.cardinality import cardinality
from wwc_research.errors import InputError
from wwc_research.evidence import matched_comparison

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
    result = json.loads(out.read_text(encoding="utf-8"))
    out.unlink()
    return result


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


METHODS = get_args(matched_comparison.Method)
BY_SCORE = ("nearest", "optimal", "full", "subclassification", "inverse_probability")
NUMBERS = pd.read_csv(FIGURES / "lalonde_numbers.csv", index_col="spec")


def by(method, covariates=COVARIATES):
    return ["--treatment", "treated", "--covariates", covariates, "--method", method]


@pytest.fixture
def few(people):
    """A third of the people, so that every method is quick."""
    return people.iloc[::3].reset_index(drop=True)


@pytest.mark.parametrize(
    ("method", "covariates", "errors", "spec"),
    [
        ("coarsened_exact", COVARIATES, "set", "CEM default cutpoints(sturges), SE cluster stratum"),
        ("exact", "race,is_married,has_no_degree", "set", "exact race,married,nodegree"),
        ("subclassification", COVARIATES, "hc1", "PS subclassification 6, weighted diff (HC1)"),
        ("inverse_probability", COVARIATES, "hc0", "odds weights, HC0 SE"),
    ],
)
def test_strata_and_weights_give_the_numbers_of_r(people_file, method, covariates, errors, spec):
    result = answer(people_file, *by(method, covariates), *OUTCOME, "--std-errors", errors)
    row = NUMBERS.loc[spec]
    assert result["estimate"] == pytest.approx(row["estimate"], rel=1e-6)
    assert result["std_error"] == pytest.approx(row["std_error"], rel=1e-6)


def test_coarsened_exact_matching_keeps_the_people_that_r_keeps_and_says_where_it_cut(people_file):
    result = answer(people_file, *by("coarsened_exact"))
    row = NUMBERS.loc["CEM n matched treated / control"]
    assert (result["n_matched_treated"], result["n_matched_control"]) == (row["estimate"], row["std_error"])
    assert result["estimand"] == "ATT of the matched treated"
    assert len(result["settings"]["cutpoints"]["age"]) == 10
    coarser = answer(people_file, *by("coarsened_exact"), "--bins", "3")
    assert coarser["n_matched_treated"] > result["n_matched_treated"]
    assert (coarser["settings"]["bins"], len(coarser["settings"]["cutpoints"]["age"])) == (3, 2)


def test_entropy_balancing_gives_the_numbers_of_r_and_leaves_no_difference(people_file):
    result = answer(people_file, *by("entropy_balancing"), *OUTCOME)
    assert result["estimate"] == pytest.approx(NUMBERS.loc["first moments ATT", "estimate"], rel=1e-6)
    effective = NUMBERS.loc["effective N controls (Kish)", "estimate"]
    assert result["effective_n_control"] == pytest.approx(effective, rel=1e-6)
    assert max(abs(row["smd_after"]) for row in result["balance"]) < 1e-6
    assert result["balance_verdict"]["result"] == "passed"
    assert (result["pairs"], result["sets"], result["n_ties"]) == (None, None, None)
    assert answer(people_file, *by("entropy_balancing"), "--moments", "2")["settings"]["moments"] == 2


def test_optimal_pairs_are_never_further_apart_in_total_than_greedy_ones(people_file):
    greedy = answer(people_file, *by("nearest"), "--unit", "person")
    best = answer(people_file, *by("optimal"), *OUTCOME, "--unit", "person")
    total = sum(pair["distance"] for pair in best["pairs"])
    assert total == pytest.approx(best["settings"]["total_distance"])
    assert total <= sum(pair["distance"] for pair in greedy["pairs"]) + 1e-9
    assert best["sets"] == {"count": 185, "sizes": {"1:1": 185}}
    assert best["settings"]["std_errors"] == "set"


def test_full_matching_uses_everybody_and_bounds_its_sets(people_file):
    result = answer(people_file, *by("full"), *OUTCOME)
    assert (result["n_matched_treated"], result["n_matched_control"]) == (185, 429)
    bounded = answer(people_file, *by("full"), "--max-controls", "5")
    assert max(int(size.split(":")[1]) for size in bounded["sets"]["sizes"]) <= 5


def test_cardinality_matching_is_balanced_within_its_tolerance(people, few, people_file):
    few.to_csv(people_file, index=False)
    result = answer(people_file, *by("cardinality"), *OUTCOME, "--tolerance", "0.05")
    assert max(abs(row["smd_after"]) for row in result["balance"]) <= 0.05 + 1e-9
    assert result["balance_verdict"]["result"] == "passed"
    assert result["settings"]["gap"] <= result["settings"]["max_gap"]


def with_gap(monkeypatch, gap):
    def hurried(*args, **options):
        found = cardinality(*args, **options)
        return replace(found, settings={**found.settings, "gap": gap, "most_possible": 80})

    monkeypatch.setitem(matched_comparison._ROADS, "cardinality", hurried)


def test_a_cardinality_search_cut_short_is_warned_of_or_refused(few, people_file, monkeypatch):
    few.to_csv(people_file, index=False)
    with_gap(monkeypatch, 0.1)
    (warning,) = answer(people_file, *by("cardinality"))["settings"]["warnings"]
    assert "up to 10% larger" in warning
    with_gap(monkeypatch, 0.3)
    text = refused(people_file, *by("cardinality"))
    assert "up to 30% larger" in text
    assert "tolerance" in text


@pytest.mark.parametrize("method", METHODS)
def test_every_method_gives_the_same_keys_and_a_verdict_on_balance(few, people_file, method):
    few.to_csv(people_file, index=False)
    result = answer(people_file, *by(method, "age,race"), *OUTCOME, "--unit", "person")
    assert set(result) == set(answer(people_file, *BASE, *OUTCOME))
    assert result["method"] == method
    assert result["estimand"].startswith("ATT")
    assert result["std_error"] > 0
    worst = max(abs(row["smd_after"]) for row in result["balance"])
    assert result["balance_verdict"]["largest"] == pytest.approx(worst)
    assert result["balance_verdict"]["result"] == ("failed" if worst > 0.1 else "passed")
    counted = {row["unit"]: row["weight"] for row in result["weights"]}
    assert len(counted) == result["n_matched_treated"] + result["n_matched_control"]
    assert min(counted.values()) > 0
    assert (result["distance_balance"] is not None) == (method in BY_SCORE)
    if result["sets"] is not None:
        sizes = [[int(part) * n for part in size.split(":")] for size, n in result["sets"]["sizes"].items()]
        assert sum(size[0] for size in sizes) == result["n_matched_treated"]
        assert sum(size[1] for size in sizes) == result["n_matched_control"]


def test_a_bad_balance_is_said_aloud(people_file):
    for method, is_bad in (("nearest", True), ("entropy_balancing", False)):
        done = run(people_file, *by(method))
        assert done.exit_code == 0
        assert ("badly balanced: this comparison cannot carry a finding" in done.stderr) == is_bad


def test_the_estimand_decides_what_differences_are_measured_by(people_file):
    spread = {}
    for estimand in ("att", "ate", "ato"):
        result = answer(people_file, *by("inverse_probability"), *OUTCOME, "--estimand", estimand)
        assert result["estimand"] == estimand.upper()
        row = result["balance"][0]
        spread[estimand] = (row["mean_treated_before"] - row["mean_control_before"]) / row["smd_before"]
    ages = pd.read_csv(people_file).groupby("treated")["age"].var()
    assert spread["att"] == pytest.approx(np.sqrt(ages[1]))
    assert spread["ate"] == spread["ato"] == pytest.approx(np.sqrt(ages.mean()))


def test_trimming_is_spoken_of_in_the_estimand_and_short_or_long(people_file):
    short = answer(people_file, *by("inverse_probability"), *OUTCOME, "--trim", "0.1", "--stabilised")
    long = answer(people_file, *by("inverse_probability"), *OUTCOME, "--trim", "0.1,0.9")
    assert short["estimand"] == "ATT among units with a propensity of 0.1 to 0.9"
    assert short["estimate"] == pytest.approx(long["estimate"])
    assert short["n_matched_control"] < 429


def test_another_propensity_model_needs_a_seed_and_repeats_with_it(few, people_file):
    few.to_csv(people_file, index=False)
    for method in ("nearest", "subclassification", "inverse_probability"):
        options = [*by(method), *OUTCOME, "--model", "naive_bayes"]
        assert "give a --seed" in refused(people_file, *options)
        first = answer(people_file, *options, "--seed", "1")
        assert first["estimate"] == answer(people_file, *options, "--seed", "1")["estimate"]
        assert first["estimate"] != answer(people_file, *by(method), *OUTCOME)["estimate"]
    assert "is unknown" in refused(people_file, *by("optimal"), "--model", "magic", "--seed", "1")
    assert "cannot be fitted" in refused(people_file, *by("optimal"), "--model", "MultinomialNB", "--seed", "1")


def test_adjustment_is_a_regression_on_top_or_that_of_abadie_and_imbens(people_file):
    numbers = NUMBERS.loc["Matching::Match Mahalanobis M=1 ATT BiasAdjust=TRUE AI SE (ties kept)"]
    again = ["--distance", "mahalanobis", "--covariance", "overall", "--replace", "--ties", "all"]
    adjusted = [*OUTCOME, "--adjust", COVARIATES]
    result = answer(people_file, *by("nearest"), *adjusted, *again, "--std-errors", "abadie_imbens")
    # R's ties are a hair wider than equal distances, which the tests of the estimator allow for
    assert result["estimate"] == pytest.approx(numbers["estimate"], abs=0.02 * numbers["std_error"])
    assert result["settings"]["bias_covariates"] == COVARIATES.split(",")
    for method in ("nearest", "entropy_balancing"):
        result = answer(people_file, *by(method), *OUTCOME, "--adjust", "age,earnings_1975_usd")
        assert result["settings"]["outcome_covariates"] == ["age", "earnings_1975_usd"]
        plain = answer(people_file, *by(method), *OUTCOME)
        # balanced means leave a regression on the same covariates nothing to do
        same = result["estimate"] == pytest.approx(plain["estimate"], rel=1e-6)
        assert same == (method == "entropy_balancing")


def test_a_column_adjusted_for_need_not_be_matched_on(people_file):
    result = answer(people_file, *by("exact", "race"), *OUTCOME, "--adjust", "age")
    assert {row["covariate"] for row in result["balance"]} == {"raceblack", "racehispan", "racewhite"}
    assert result["settings"]["adjust"] == ["age"]


@pytest.mark.parametrize("method", ["full", "subclassification", "entropy_balancing", "inverse_probability"])
def test_a_bootstrap_is_near_the_formula_and_repeats_with_its_seed(few, people_file, method):
    few.to_csv(people_file, index=False)
    options = [*by(method, "age,race"), *OUTCOME]
    drawn = [*options, "--std-errors", "bootstrap", "--draws", "60"]
    assert "give a --seed" in refused(people_file, *drawn)
    first = answer(people_file, *drawn, "--seed", "3")
    assert first["std_error"] == answer(people_file, *drawn, "--seed", "3")["std_error"]
    assert first["settings"]["draws"] == 60
    assert 0.5 < first["std_error"] / answer(people_file, *options)["std_error"] < 2


def test_errors_by_set_go_by_either_name(people_file):
    for method in ("nearest", "optimal"):
        one, other = (
            answer(people_file, *by(method), *OUTCOME, "--std-errors", name) for name in ("set", "matched_set")
        )
        assert one["std_error"] == other["std_error"] > 0


UNFIT = {
    "bins for nearest": (by("nearest"), ["--bins", "4"], "--bins has no meaning for nearest; coarsened_exact takes it"),
    "replace for full": (by("full"), ["--replace"], "--replace has no meaning for full; nearest takes it"),
    "exact strata of strata": (by("exact"), ["--exact", "race"], "--exact has no meaning for exact"),
    "ate of nearest": (by("nearest"), ["--estimand", "ate"], "nearest cannot give the ATE, only ATT; full,"),
    "ato of entropy": (by("entropy_balancing"), ["--estimand", "ato"], "inverse_probability can."),
    "text as bins": (by("coarsened_exact"), ["--bins", "many"], "--bins 'many' is not understood"),
    "far too many bins": (by("coarsened_exact"), ["--bins", "99999999999"], "10,000 at most"),
    "three bounds": (by("inverse_probability"), ["--trim", "0.1,0.5,0.9"], "--trim '0.1,0.5,0.9' is not understood"),
    "bounds that cross": (by("inverse_probability"), ["--trim", "0.6"], "one number below 0.5"),
    "no number as bound": (by("inverse_probability"), ["--trim", "nan,1"], "is not understood"),
    "sets of weights": (by("inverse_probability"), [*OUTCOME, "--std-errors", "set"], "inverse_probability forms none"),
    "clusters without column": (by("full"), [*OUTCOME, "--std-errors", "cluster"], "need a --cluster column"),
    "errors of other matches": (by("full"), [*OUTCOME, "--std-errors", "abadie_imbens"], "with replacement; use hc1"),
    "bootstrap of reused controls": (
        by("nearest"),
        [*OUTCOME, "--replace", "--std-errors", "bootstrap", "--seed", "1"],
        "not valid for nearest neighbours with replacement",
    ),
    "draws of no bootstrap": (by("full"), [*OUTCOME, "--draws", "9"], "only for --std-errors bootstrap"),
    "adjusting no outcome": (by("full"), ["--adjust", "age"], "--adjust needs an --outcome"),
    "a model that no score uses": (
        by("optimal"),
        ["--distance", "mahalanobis", "--model", "logistic"],
        "no propensity score is used",
    ),
    "a negative tolerance": (by("cardinality"), ["--tolerance", "-1"], "tolerance is -1"),
    "no time": (by("cardinality"), ["--time-limit", "0"], "time_limit is 0"),
    "an unknown column": (by("full"), [*OUTCOME, "--adjust", "shoe_size"], "no column 'shoe_size'"),
}


@pytest.mark.parametrize("case", UNFIT)
def test_options_that_do_not_fit_the_method_are_refused(people_file, case):
    base, options, part = UNFIT[case]
    assert part in refused(people_file, *base, *options)


def test_all_options_that_do_not_fit_come_in_one_message(people_file):
    options = ["--bins", "x", "--ties", "all", "--estimand", "ato", "--std-errors", "set_and_cluster", "--draws", "1"]
    text = refused(people_file, *by("entropy_balancing"), *OUTCOME, *options)
    assert "match --method entropy_balancing: 6 faults" in text
    for part in ("--bins", "--ties", "--estimand", "need matched sets", "--cluster column", "--draws"):
        assert part in text


SEPARATED = {
    **dict.fromkeys(BY_SCORE, "perfectly"),
    "coarsened_exact": "no set has both",
    "exact": "no set has both",
    "cardinality": "no sample of treated units and controls is balanced",
    "entropy_balancing": "no weights balance the covariates",
}


@pytest.mark.parametrize("method", METHODS)
def test_groups_with_nothing_in_common_are_explained_by_every_method(few, people_file, method):
    few.assign(age=few["age"] + 100 * few["treated"]).to_csv(people_file, index=False)
    text = refused(people_file, *by(method, "age,race"), *OUTCOME)
    assert text.startswith("error: people.csv: ")
    assert SEPARATED[method] in text


@pytest.mark.parametrize("method", METHODS)
def test_one_treated_unit_is_refused_by_every_method(few, people_file, method):
    few[(few["treated"] == 0) | (few["person"] == few["person"].iloc[0])].to_csv(people_file, index=False)
    assert "only one treated unit" in refused(people_file, *by(method), *OUTCOME)


@pytest.mark.parametrize("method", METHODS)
def test_collinear_and_constant_covariates_change_nothing_or_little(few, people_file, method):
    few.assign(months=few["age"] * 12, planet="earth", century=20).to_csv(people_file, index=False)
    plain = answer(people_file, *by(method, "age,race"), *OUTCOME)
    more = answer(people_file, *by(method, "age,race,months,planet,century"), *OUTCOME)
    assert more["n_matched_treated"] == plain["n_matched_treated"]
    if method != "cardinality":  # samples of one size abound; which is taken depends on the covariates
        assert more["estimate"] == pytest.approx(plain["estimate"], rel=1e-6)
    constant = [row for row in more["balance"] if row["covariate"] == "century"]
    assert constant[0]["smd_after"] is None


@pytest.mark.parametrize("method", METHODS)
def test_covariates_that_never_vary_are_one_group_or_a_clear_refusal(few, people_file, method):
    few.assign(century=20).to_csv(people_file, index=False)
    if method in ("exact", "coarsened_exact"):
        result = answer(people_file, *by(method, "century"), *OUTCOME)
        assert (result["sets"]["count"], result["balance_verdict"]["result"]) == (1, "cannot_tell")
    else:
        assert "no covariate varies" in refused(people_file, *by(method, "century"), *OUTCOME)


@pytest.mark.parametrize("method", METHODS)
def test_missing_covariates_are_left_out_or_filled_and_marked_or_refused(few, people_file, method):
    few = few.astype({"race": object})
    few.loc[[0, 5, 90, 120], "age"] = np.nan
    few.loc[[7, 100], "race"] = None
    few.to_csv(people_file, index=False)
    options = [*by(method, "age,race"), *OUTCOME]
    dropped = answer(people_file, *options)
    assert dropped["n_treated"] + dropped["n_control"] == len(few) - 6
    assert {item["reason"]: item["rows"] for item in dropped["exclusions"]}["no value of age"] == 4
    filled = answer(people_file, *options, "--missing", "impute")
    assert filled["n_treated"] + filled["n_control"] == len(few)
    assert {"is_missing_age", "is_missing_race"} <= {row["covariate"] for row in filled["balance"]}
    assert filled["settings"]["missing_covariates"]["age"]["count"] == 4
    text = refused(people_file, *options, "--missing", "refuse")
    assert "'age' is empty for 4 of" in text
    assert "'race' is empty for 2 of" in text


def test_the_help_names_every_method():
    text = CliRunner().invoke(app, ["match", "--help"]).output
    for method in METHODS:
        assert f"\n    {method} " in text


def test_a_comparison_needs_no_command_line_and_leaves_its_table_as_it_was(people):
    frame = people.set_index("person")
    before = frame.copy()
    choices = matched_comparison.Choices(estimand="ATE", adjust=("age",))
    found = matched_comparison.compare_units(
        frame, covariates=["age", "race"], method="full", outcome="earnings_1978_usd", choices=choices
    )
    assert found.effect.estimand == found.weighting.estimand == "ATE"
    assert found.as_dict()["estimate"] == found.effect.estimate
    pd.testing.assert_frame_equal(frame, before)
    with pytest.raises(InputError, match="method 'magic' is unknown; use nearest, optimal,"):
        matched_comparison.compare_units(frame, covariates=["age"], method="magic")
