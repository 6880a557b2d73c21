import gzip
import importlib
import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from typer.testing import CliRunner

from wwc_research import __version__
from wwc_research.cli import ESTIMATOR_NAMES, app
from wwc_research.estimators import ESTIMATORS

FIGURES = Path(__file__).parent / "figures"
ROLES = ["--unit", "county", "--time", "year", "--outcome", "log_employment", "--cohort", "first_treat"]
KEYS = {
    "estimator",
    "estimand",
    "estimate",
    "std_error",
    "ci_low",
    "ci_high",
    "p_value",
    "n_obs",
    "n_units",
    "n_treated",
    "n_clusters",
    "event_study",
    "group_time",
    "exclusions",
    "settings",
}


@pytest.fixture(scope="module")
def mpdta():
    wide = pd.read_csv(FIGURES / "mpdta.csv", dtype={"county": str})
    long = wide.melt(id_vars=["county", "first_treat", "log_population"], var_name="year", value_name="log_employment")
    long["year"] = long["year"].str.removeprefix("log_employment_").astype(int)
    return long


@pytest.fixture
def mpdta_file(mpdta, tmp_path):
    path = tmp_path / "counties.csv"
    mpdta.to_csv(path, index=False)
    return path


@pytest.fixture
def mpdta_dose_file(mpdta, tmp_path):
    """The same with a made-up dose: 1, 2 or 3 from the first raise on, by county."""
    path = tmp_path / "counties_with_dose.csv"
    exposed = (mpdta["first_treat"] > 0) & (mpdta["year"] >= mpdta["first_treat"])
    mpdta.assign(dose=exposed * (1 + mpdta["county"].astype(int) % 3)).to_csv(path, index=False)
    return path


def run(file, *options, out=None):
    arguments = ["estimate", str(file), *options]
    return CliRunner().invoke(app, arguments if out is None else [*arguments, "--json", str(out)])


def answer(file, *options):
    out = file.parent / "out.json"
    done = run(file, *options, out=out)
    assert done.exit_code == 0, done.output
    return json.loads(out.read_text(encoding="utf-8"))


def refused(file, *options):
    """The message of a refusal: exit status 2, one message, nothing written."""
    before = {path.name: path.read_bytes() for path in file.parent.iterdir() if path.is_file()}
    done = run(file, *options, out=file.parent / "out.json")
    assert done.exit_code == 2, done.output
    assert done.stdout == ""
    assert done.stderr.startswith("error: ")
    assert done.stderr.count("error: ") == 1
    assert "Traceback" not in done.output
    assert {path.name: path.read_bytes() for path in file.parent.iterdir() if path.is_file()} == before
    return done.stderr


@pytest.mark.parametrize(
    ("options", "estimate", "std_error"),
    [
        (["--estimator", "two_way_fe"], -0.0365489366740663, 0.0132651554293386),
        (
            ["--estimator", "callaway_santanna", "--comparison", "never"],
            -0.0399512751551763,
            0.0120340127701854,
        ),
        (
            ["--estimator", "callaway_santanna", "--comparison", "never", "--aggregation", "group"],
            -0.0310182822287484,
            0.0124460593209979,
        ),
        (
            ["--estimator", "callaway_santanna", "--comparison", "never", "--aggregation", "dynamic"],
            -0.0772398214573151,
            0.0199649890618494,
        ),
    ],
)
def test_a_users_file_gives_the_numbers_of_r(mpdta_file, options, estimate, std_error):
    """R: fixest 0.14.2 and did 2.5.1 on mpdta."""
    result = answer(mpdta_file, *ROLES, *options)
    assert result["estimate"] == pytest.approx(estimate, rel=1e-6)
    assert result["std_error"] == pytest.approx(std_error, rel=1e-6)


# These leave out rows by design, each counted: outside their windows, or units without the past they need.
PARTIAL = {
    "long_difference",
    "panel_matching",
    "random_trends",
    "stacked",
    "switching",
    "synthetic_control",
    "synthetic_did",
}


@pytest.mark.parametrize("estimator", sorted(ESTIMATORS))
def test_every_estimator_keeps_the_contract_of_the_output(mpdta_dose_file, estimator):
    more = ["--dose", "dose"] if estimator in {"dose_response", "switching"} else []
    result = answer(mpdta_dose_file, *ROLES, *more, "--estimator", estimator, "--seed", "3")
    assert set(result) >= KEYS
    assert result["estimator"] == estimator
    counts = (result["n_obs"], result["n_units"], result["n_treated"])
    if estimator in PARTIAL:
        assert all(0 < count <= whole for count, whole in zip(counts, (2500, 500, 191), strict=True))
        assert counts == (2500, 500, 191) or sum(item["rows"] for item in result["exclusions"]) > 0
    else:
        assert counts == (2500, 500, 191)
    assert result["settings"]["inference"]["trusted"] == "cluster"
    assert result["by_lot"] is None
    assert result["ci_low"] < result["estimate"] < result["ci_high"]
    assert result["settings"]["version"] == __version__
    assert result["settings"]["seed"] == 3
    for term in result["event_study"]:
        assert set(term) >= {"event_time", "estimate", "std_error", "ci_low", "ci_high"}
    for term in result["group_time"]:
        assert set(term) >= {"cohort", "time", "estimate", "std_error"}


def test_the_help_names_every_estimator():
    assert sorted(ESTIMATOR_NAMES) == sorted(ESTIMATORS)
    text = " ".join(CliRunner().invoke(app, ["estimate", "--help"]).output.split())
    for name in ESTIMATORS:
        assert name in text
    assert "Examples:" in text


def test_the_help_names_every_key_beyond_the_basics(mpdta_file):
    text = CliRunner().invoke(app, ["estimate", "--help"]).output
    line = " ".join(text.split()).split("Beyond the basics OUT has ")[1].split(".")[0]
    result = answer(mpdta_file, *ROLES, "--estimator", "two_way_fe")
    assert set(line.replace(" and ", ", ").split(", ")) == set(result) - KEYS


def test_parquet_gzip_and_csv_give_the_same_answer(mpdta, mpdta_file, tmp_path):
    packed = tmp_path / "counties.csv.gz"
    packed.write_bytes(gzip.compress(mpdta_file.read_bytes()))
    columns = tmp_path / "counties.parquet"
    mpdta.to_parquet(columns)
    options = [*ROLES, "--estimator", "two_way_fe"]
    expected = answer(mpdta_file, *options)["estimate"]
    assert answer(packed, *options)["estimate"] == pytest.approx(expected, rel=1e-12)
    assert answer(columns, *options)["estimate"] == pytest.approx(expected, rel=1e-12)


def test_the_order_of_rows_does_not_matter(mpdta, mpdta_file, tmp_path):
    shuffled = tmp_path / "shuffled.csv"
    mpdta.sample(frac=1, random_state=1).to_csv(shuffled, index=False)
    options = [*ROLES, "--estimator", "callaway_santanna"]
    assert answer(shuffled, *options)["estimate"] == pytest.approx(answer(mpdta_file, *options)["estimate"])


def test_empty_zero_and_infinite_cohorts_mean_the_same(mpdta, mpdta_file, tmp_path):
    expected = answer(mpdta_file, *ROLES, "--estimator", "callaway_santanna")["estimate"]
    for mark in ("", "inf"):
        other = tmp_path / "other.csv"
        mpdta.assign(first_treat=mpdta["first_treat"].astype(str).replace("0", mark)).to_csv(other, index=False)
        assert answer(other, *ROLES, "--estimator", "callaway_santanna")["estimate"] == expected


def test_adjustment_covariates_cluster_and_weights_reach_the_estimator(mpdta, mpdta_file):
    frame = mpdta.assign(state=mpdta["county"].str[:-3], size=np.exp(mpdta["log_population"]))
    frame.to_csv(mpdta_file, index=False)
    base = [*ROLES, "--estimator", "callaway_santanna", "--comparison", "never"]
    adjusted = answer(mpdta_file, *base, "--covariates", "log_population", "--adjustment", "reg")
    plain = answer(mpdta_file, *base)
    assert adjusted["estimate"] != pytest.approx(plain["estimate"], rel=1e-4)
    clustered = answer(mpdta_file, *base, "--cluster", "state")
    assert clustered["n_clusters"] == frame["state"].nunique()
    assert clustered["std_error"] != pytest.approx(plain["std_error"], rel=1e-4)
    weighted = answer(mpdta_file, *base, "--weights", "size")
    assert weighted["estimate"] != pytest.approx(plain["estimate"], rel=1e-4)


def test_left_out_rows_are_in_the_answer(mpdta, mpdta_file):
    frame = mpdta.assign(log_employment=mpdta["log_employment"].astype(object))
    frame.loc[[0, 1], "log_employment"] = ["", "NA"]
    frame["first_treat"] = frame["first_treat"].replace(2004, 2003)
    frame.to_csv(mpdta_file, index=False)
    options = [*ROLES, "--estimator", "two_way_fe", "--always-treated", "exclude"]
    reasons = {item["reason"]: item for item in answer(mpdta_file, *options)["exclusions"]}
    assert reasons["no value of log_employment"]["rows"] == 2
    early = next(item for reason, item in reasons.items() if "first period (2003)" in reason)
    assert early["units"] == (mpdta.query("first_treat == 2004")["county"].nunique())


def test_a_dash_prints_the_answer_and_nothing_else(mpdta_file):
    done = run(mpdta_file, *ROLES, "--estimator", "two_way_fe", "--json", "-")
    assert json.loads(done.stdout)["estimator"] == "two_way_fe"


def test_an_option_without_meaning_is_said_to_be_unused(mpdta_file):
    done = run(mpdta_file, *ROLES, "--estimator", "two_way_fe", "--aggregation", "group")
    assert done.exit_code == 0
    assert "--aggregation has no meaning for two_way_fe" in done.stderr


def test_latin_1_and_marked_files_are_read_and_the_settings_say_so(mpdta, mpdta_file):
    frame = mpdta.assign(county="Pe\u00f1a " + mpdta["county"])
    options = [*ROLES, "--estimator", "two_way_fe"]
    estimates = []
    for codec, label in (("latin-1", "Latin-1"), ("utf-8-sig", "UTF-8 with byte order mark")):
        frame.to_csv(mpdta_file, index=False, encoding=codec)
        result = answer(mpdta_file, *options)
        assert result["settings"]["encoding"] == label
        estimates.append(result["estimate"])
    assert estimates[0] == estimates[1] == pytest.approx(-0.0365489366740663, rel=1e-6)


def corrupted(mpdta, **changes):
    frame = mpdta.astype(object)
    for column, (row, value) in changes.items():
        frame.loc[row, column] = value
    return frame


BAD = {
    "missing column": (lambda d: d.drop(columns="log_employment"), "no column 'log_employment'"),
    "duplicate rows": (lambda d: pd.concat([d, d.head(1)]), "rows 2 and 2502: more than one row"),
    "text in numbers": (lambda d: corrupted(d, log_employment=(5, "n/k")), "row 7: 'n/k' is no number"),
    "cohort changes": (lambda d: corrupted(d, first_treat=(3, 2005)), "changes inside a unit"),
    "treated in first": (lambda d: d.assign(first_treat=2003), "no unit is first treated"),
    "some in first": (
        lambda d: d.assign(first_treat=d["first_treat"].replace(2004, 2003)),
        "20 units are treated in the first period (2003)",
    ),
    "one treated": (
        lambda d: d[(d["first_treat"] == 0) | (d["county"] == d.query("first_treat > 0")["county"].iloc[0])],
        "only one unit is treated",
    ),
    "all treated": (lambda d: d.assign(first_treat=2005), "all 500 units are treated in 2005"),
    "nobody treated": (lambda d: d.assign(first_treat=0), "no unit is first treated"),
    "constant outcome": (lambda d: d.assign(log_employment=1.5), "is 1.5 in every row"),
    "infinities": (lambda d: corrupted(d, log_employment=(5, np.inf)), "row 7: infinite values"),
    "broken years": (lambda d: corrupted(d, year=(5, 2003.5)), "'2003.5' is no whole number"),
    "nothing measured": (lambda d: d.assign(log_employment=None), "has no value in any row"),
    "only a header": (lambda d: d.head(0), "a header and no rows"),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_input_is_one_clear_error_and_nothing_is_written(mpdta, mpdta_file, case):
    spoil, part = BAD[case]
    spoil(mpdta).to_csv(mpdta_file, index=False)
    assert part in refused(mpdta_file, *ROLES, "--estimator", "callaway_santanna")


def test_empty_and_missing_files_are_refused(mpdta_file, tmp_path):
    mpdta_file.write_bytes(b"")
    assert "the file is empty" in refused(mpdta_file, *ROLES, "--estimator", "two_way_fe")
    assert "no such file" in refused(tmp_path / "none.csv", *ROLES, "--estimator", "two_way_fe")


def test_all_treated_at_several_times_needs_the_not_yet_treated(mpdta, mpdta_file, tmp_path):
    mpdta.query("first_treat > 0").to_csv(mpdta_file, index=False)
    options = [*ROLES, "--estimator", "callaway_santanna"]
    assert "all 191 units are treated" in refused(mpdta_file, *options, "--comparison", "never")
    out = tmp_path / "out.json"
    done = run(mpdta_file, *options, "--comparison", "not_yet", out=out)
    assert done.exit_code == 0
    assert "warning: no unit is never treated" in done.stderr
    result = json.loads(out.read_text(encoding="utf-8"))
    assert result["n_treated"] == 60  # nobody is left to compare the 131 counties of the last raise with
    assert any("last start (2007) cannot be seen" in warning for warning in result["settings"]["warnings"])


@pytest.mark.parametrize("estimator", sorted(ESTIMATORS))
def test_an_undefined_standard_error_is_said_to_be_undefined(mpdta, mpdta_file, estimator):
    exposed = (mpdta["first_treat"] > 0) & (mpdta["year"] >= mpdta["first_treat"])
    tiny = mpdta["log_employment"] * 1e-300
    mpdta.assign(log_employment=tiny, dose=exposed.astype(int)).to_csv(mpdta_file, index=False)
    more = ["--dose", "dose"] if estimator in {"dose_response", "switching"} else []
    result = answer(mpdta_file, *ROLES, *more, "--estimator", estimator)
    assert result["std_error"] is None
    assert any("standard error is undefined" in warning for warning in result["settings"]["warnings"])


def test_warnings_name_no_option_that_the_command_lacks(mpdta, mpdta_file):
    treated = mpdta.loc[mpdta["first_treat"] == 2004, "county"].unique()
    mpdta[~mpdta["county"].isin(treated[3:])].to_csv(mpdta_file, index=False)
    warnings = " ".join(answer(mpdta_file, *ROLES, "--estimator", "callaway_santanna")["settings"]["warnings"])
    assert "its standard errors are too small" in warnings
    for absent in ("pre_trend =", "randomisation inference"):
        assert absent not in warnings


def test_codes_that_differ_only_in_leading_zeros_bring_a_warning(mpdta, mpdta_file):
    mpdta["county"] = mpdta["county"].replace(mpdta["county"].iloc[0], "0" + mpdta["county"].iloc[1])
    mpdta.to_csv(mpdta_file, index=False)
    done = run(mpdta_file, *ROLES, "--estimator", "two_way_fe")
    assert done.exit_code == 0
    assert "warning: unit codes that differ only in leading zeros" in done.stderr


def test_an_address_is_refused_and_named_as_given(tmp_path):
    done = run("https://example.org/cities.csv", *ROLES, "--estimator", "two_way_fe")
    assert done.exit_code == 2
    assert "https://example.org/cities.csv: files must be on this computer" in done.stderr


def test_all_faults_come_in_one_message(mpdta, mpdta_file):
    frame = corrupted(mpdta, log_employment=(5, "n/k"), first_treat=(3, 2005), year=(9, "x"))
    pd.concat([frame, frame.head(1)]).to_csv(mpdta_file, index=False)
    text = refused(mpdta_file, *ROLES, "--estimator", "two_way_fe", "--covariates", "income")
    assert "5 faults" in text
    for part in ("no column 'income'", "'n/k'", "'x'", "more than one row", "changes inside a unit"):
        assert part in text


def test_an_unknown_estimator_is_refused_with_those_allowed(mpdta_file):
    text = refused(mpdta_file, *ROLES, "--estimator", "magic")
    for name in ESTIMATORS:
        assert name in text


def test_an_unknown_choice_is_refused_with_those_allowed(mpdta_file):
    done = run(mpdta_file, *ROLES, "--estimator", "two_way_fe", "--comparison", "always")
    assert done.exit_code == 2
    assert "'never', 'not_yet'" in done.stderr


def test_an_output_that_cannot_be_written_is_refused_before_any_work(mpdta_file, tmp_path):
    options = [*ROLES, "--estimator", "two_way_fe"]
    for out, part in (
        (tmp_path / "no" / "out.json", "does not exist"),
        (tmp_path, "is a folder"),
        (mpdta_file, "is the input itself"),
    ):
        before = mpdta_file.read_bytes()
        done = run(mpdta_file, *options, out=out)
        assert done.exit_code == 2
        assert part in done.stderr
        assert mpdta_file.read_bytes() == before


def test_an_output_that_is_no_file_is_refused_and_stays(mpdta_file, tmp_path):
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    link = tmp_path / "link"
    link.symlink_to(pipe)
    loop = tmp_path / "loop"
    loop.symlink_to(loop)
    for out, part in ((pipe, "device or pipe"), (link, "device or pipe"), (Path("/dev/null"), "device or pipe")):
        done = run(mpdta_file, *ROLES, "--estimator", "two_way_fe", out=out)
        assert (done.exit_code, done.stdout) == (2, "")
        assert part in done.stderr
    assert pipe.is_fifo()
    assert link.is_symlink()
    assert Path("/dev/null").is_char_device()
    done = run(mpdta_file, *ROLES, "--estimator", "two_way_fe", out=loop)
    assert done.exit_code == 2
    assert done.stderr.startswith("error: ")
    assert loop.is_symlink()


def test_what_a_link_points_to_is_written_and_the_link_stays(mpdta_file, tmp_path):
    (tmp_path / "results").mkdir()
    target = tmp_path / "results" / "result.json"
    link = tmp_path / "latest.json"
    link.symlink_to(target)
    for _ in ("new", "there already"):
        assert run(mpdta_file, *ROLES, "--estimator", "two_way_fe", out=link).exit_code == 0
        assert link.is_symlink()
        assert json.loads(target.read_text(encoding="utf-8"))["n_units"] == 500


def test_a_place_without_permission_is_refused_before_any_work(mpdta_file, tmp_path, monkeypatch):
    folder = tmp_path / "locked"
    folder.mkdir()
    (tmp_path / "out.json").write_text("{}")
    locked = {folder, tmp_path / "out.json"}
    monkeypatch.setattr(os, "access", lambda path, mode: not (mode & os.W_OK and Path(path) in locked))
    for out, part in (
        (folder / "out.json", f"the folder {folder} may not be written to"),
        (tmp_path / "out.json", "protected"),
    ):
        done = run(mpdta_file.parent / "none.csv", *ROLES, "--estimator", "two_way_fe", out=out)
        assert (done.exit_code, done.stdout) == (2, "")
        assert part in done.stderr
    assert (tmp_path / "out.json").read_text() == "{}"


def test_nothing_is_printed_where_the_answer_cannot_be_written(mpdta_file, tmp_path, monkeypatch):
    def full(path, text):
        raise OSError(28, "No space left on device", str(path))

    monkeypatch.setattr(importlib.import_module("wwc_research.cli.app"), "write_text", full)
    text = refused(mpdta_file, *ROLES, "--estimator", "two_way_fe")
    assert "cannot be written (No space left on device)" in text


def test_an_earlier_answer_survives_a_failed_run(mpdta, mpdta_file):
    answer(mpdta_file, *ROLES, "--estimator", "two_way_fe")
    mpdta.assign(log_employment=1).to_csv(mpdta_file, index=False)
    refused(mpdta_file, *ROLES, "--estimator", "two_way_fe")
    assert json.loads((mpdta_file.parent / "out.json").read_text())["n_units"] == 500


def test_the_installed_command_runs_and_its_help_loads_no_heavy_library(mpdta_file):
    script = (
        "import sys; from wwc_research import cli; sys.argv = ['wwc-research', '--help']\n"
        "try:\n    cli.main()\nexcept SystemExit as stop:\n    status = stop.code\n"
        "heavy = {'pandas', 'numpy', 'scipy', 'matplotlib'} & set(sys.modules)\n"
        "sys.exit(f'{status} {heavy}' if status or heavy else 0)"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "estimate" in done.stdout

    command = [sys.executable, "-m", "wwc_research.cli", "estimate", str(mpdta_file), *ROLES]
    done = subprocess.run([*command, "--estimator", "magic"], capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert done.stderr.startswith("error: --estimator 'magic'")
    assert "Traceback" not in done.stderr


def test_the_version_is_printed():
    done = CliRunner().invoke(app, ["--version"])
    assert done.exit_code == 0
    assert done.output.strip() == f"wwc-research {__version__}"


def few_treated(path, *, n_treated: int):
    """A file of 40 made-up cities over 6 years, some of them exposed from 2018 on."""
    generator = np.random.default_rng(3)
    rows = [
        (f"city {city:02d}", year, 0.1 * year + generator.normal(), 2018 if city < n_treated else "")
        for city in range(40)
        for year in range(2015, 2021)
    ]
    frame = pd.DataFrame(rows, columns=["city", "year", "y", "first"])
    cities = frame["city"].str[-2:].astype(int)
    frame.assign(margin=0.5, lat=40 + frame.index % 7, lon=-90.0, region="r" + (cities % 4).astype(str)).to_csv(
        path, index=False
    )
    return path


CITIES = ["--unit", "city", "--time", "year", "--outcome", "y", "--cohort", "first"]


def test_with_few_treated_units_lots_are_drawn_and_the_answer_says_why(tmp_path):
    file = few_treated(tmp_path / "few.csv", n_treated=4)
    result = answer(file, *CITIES, "--estimator", "two_way_fe")
    assert result["settings"]["inference"]["trusted"] == "randomisation"
    assert result["settings"]["inference"]["treated_clusters"] == 4
    assert result["by_lot"]["draws"] == 199
    assert 0.005 <= result["by_lot"]["p_value"] <= 1
    assert any("4 of 40 clusters are treated" in warning for warning in result["settings"]["warnings"])
    asked = answer(file, *CITIES, "--estimator", "two_way_fe", "--lots", "60")
    assert asked["by_lot"]["draws"] == 60
    assert asked["by_lot"]["ci_low"] < asked["estimate"] < asked["by_lot"]["ci_high"]
    assert answer(file, *CITIES, "--estimator", "two_way_fe", "--lots", "0")["by_lot"] is None


def test_published_errors_weight_the_rows_and_the_answer_says_how_much_is_sampling(tmp_path):
    file = few_treated(tmp_path / "few.csv", n_treated=12)
    result = answer(file, *CITIES, "--estimator", "two_way_fe", "--std-error", "margin", "--lots", "0")
    assert 0.1 < result["settings"]["sampling_share"] < 0.6  # 0.25 of a variance near 1


def test_errors_by_distance_take_their_places_from_the_file(tmp_path):
    file = few_treated(tmp_path / "few.csv", n_treated=12)
    places = ["--latitude", "lat", "--longitude", "lon", "--option", "std_errors=conley"]
    result = answer(file, *CITIES, "--estimator", "two_way_fe", *places, "--lots", "0")
    assert result["std_error"] > 0
    assert result["settings"]["std_errors"] == "conley"
    assert "--latitude" in refused(file, *CITIES, "--estimator", "two_way_fe", "--option", "std_errors=conley")


def test_options_of_the_estimator_are_taken_by_name_and_wrong_ones_refused_together(tmp_path):
    file = few_treated(tmp_path / "few.csv", n_treated=12)
    given = ["--option", "bin_after=1", "--option", "bin_before=-3", "--lots", "0"]
    result = answer(file, *CITIES, "--estimator", "event_study", *given)
    assert [term["event_time"] for term in result["event_study"]] == [-3, -2, -1, 0, 1]
    said = refused(file, *CITIES, "--estimator", "event_study", "--option", "colour=red", "--option", "bin_after")
    assert "colour=red" in said
    assert "'bin_after'" in said
    assert "bin_before" in said


def test_a_dose_or_a_latitude_out_of_range_is_refused_with_row_and_value(tmp_path):
    file = few_treated(tmp_path / "few.csv", n_treated=12)
    frame = pd.read_csv(file)
    frame.loc[3, "lat"], frame.loc[5, "margin"] = 123.0, -1.0
    frame.to_csv(file, index=False)
    said = refused(
        file, *CITIES, "--estimator", "two_way_fe", "--latitude", "lat", "--longitude", "lon", "--std-error", "margin"
    )
    assert "row 5" in said
    assert "123" in said
    assert "row 7" in said
    assert "at least -90 and at most 90" in said


def test_effects_of_a_region_at_each_time_are_taken_out(tmp_path):
    file = few_treated(tmp_path / "few.csv", n_treated=12)
    frame = pd.read_csv(file)
    plain = answer(file, *CITIES, "--estimator", "two_way_fe", "--effects", "region", "--lots", "0")
    shift = frame["region"].str[1].astype(int) * (frame["year"] - 2015) ** 2
    frame.assign(y=frame["y"] + 5.0 * shift).to_csv(file, index=False)
    shifted = answer(file, *CITIES, "--estimator", "two_way_fe", "--effects", "region", "--lots", "0")
    assert shifted["estimate"] == pytest.approx(plain["estimate"], abs=1e-8)
    assert shifted["settings"]["effects"] == ["region"]
    assert "effects" in refused(file, *CITIES, "--estimator", "imputation", "--effects", "region", "--lots", "0")


def test_lots_over_units_are_not_trusted_where_units_of_a_cluster_differ_in_exposure(tmp_path):
    file = few_treated(tmp_path / "few.csv", n_treated=6)
    frame = pd.read_csv(file)
    frame.assign(county="c" + (frame["city"].str[-2:].astype(int) // 4).astype(str)).to_csv(file, index=False)
    result = answer(file, *CITIES, "--estimator", "two_way_fe", "--cluster", "county")
    assert result["settings"]["inference"]["trusted"] == "cr2"
    assert result["by_lot"] is None
    assert result["judged"]["by"] == "cr2"
    assert result["judged"]["ci_low"] < result["estimate"] < result["judged"]["ci_high"]
    assert result["judged"]["p_value"] != result["p_value"]
    assert answer(file, *CITIES, "--estimator", "imputation", "--cluster", "county")["judged"]["p_value"] is None


def test_a_dose_that_cannot_be_dealt_spoils_no_estimate(tmp_path):
    file = few_treated(tmp_path / "few.csv", n_treated=4)
    frame = pd.read_csv(file)
    frame["amount"] = ((frame["first"] <= frame["year"]) * (1 + frame.index % 2)).astype(float)
    frame.drop(index=7).to_csv(file, index=False)
    result = answer(file, *CITIES, "--estimator", "dose_response", "--dose", "amount")
    assert result["by_lot"] is None
    assert any("lots could not be drawn" in warning for warning in result["settings"]["warnings"])
    assert "seen at different times" in refused(
        file, *CITIES, "--estimator", "dose_response", "--dose", "amount", "--lots", "50"
    )
