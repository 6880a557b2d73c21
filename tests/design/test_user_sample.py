import numpy as np
import pandas as pd
import pytest

from wwc_research.design.user_sample import sample_from_file
from wwc_research.errors import InputError

ROLES = {"unit": "unit", "time": "time", "outcome": "y", "cohort": "first"}


def write(tmp_path, cohorts, *, times=range(2015, 2021), **more):
    """A file of one unit a cohort given (NaN = never) with an outcome that varies."""
    generator = np.random.default_rng(0)
    frame = pd.DataFrame(
        [
            {"unit": f"u{n}", "time": t, "y": generator.normal(), "first": g, "state": f"s{n // 2}"}
            for n, g in enumerate(cohorts)
            for t in times
        ]
    ).assign(**more)
    path = tmp_path / "panel.csv"
    frame.to_csv(path, index=False)
    return path


def message(path, **changes):
    with pytest.raises(InputError) as caught:
        sample_from_file(path, **{**ROLES, **changes})
    return str(caught.value)


NEVER = float("nan")


def test_a_sample_is_sorted_and_has_the_promised_types(tmp_path):
    sample = sample_from_file(write(tmp_path, [2018, NEVER, 2019]), **ROLES, cluster="state")
    assert sample.frame["time"].dtype == np.int64
    assert sample.frame["unit"].is_monotonic_increasing
    assert (sample.n_units, sample.n_treated, sample.n_clusters) == (3, 2, 2)


def test_units_treated_from_the_first_period_are_a_fault_or_left_out_and_counted(tmp_path):
    path = write(tmp_path, [2015, 2013, 2018, 2018, NEVER])
    assert "2 units are treated in the first period (2015) or before" in message(path)
    sample = sample_from_file(path, **ROLES, always_treated="exclude")
    assert [(item.rows, item.units) for item in sample.exclusions] == [(12, 2)]
    assert "first period (2015)" in sample.exclusions[0].reason
    assert sample.n_treated == 2


def test_anticipation_moves_the_baseline(tmp_path):
    path = write(tmp_path, [2016, 2018, 2018, NEVER])
    assert sample_from_file(path, **ROLES).n_treated == 3
    assert sample_from_file(path, **ROLES, anticipation=1).n_treated == 2


def test_units_exposed_after_the_last_period_count_as_never_exposed(tmp_path):
    sample = sample_from_file(write(tmp_path, [2018, 2018, 2025, 2025]), **ROLES, comparison="never")
    assert sample.n_treated == 2
    assert sample.settings["units_first_exposed_after_the_last_period"] == 2


def test_nobody_treated_is_a_fault(tmp_path):
    assert "no unit is first treated" in message(write(tmp_path, [NEVER, NEVER]))


def test_nobody_left_after_the_first_period_is_a_fault_that_says_so(tmp_path):
    text = message(write(tmp_path, [2015, 2014, NEVER]))
    assert "apart from 2 treated in the first period (2015)" in text


def test_all_treated_is_a_fault_unless_timing_alone_can_compare(tmp_path):
    two_cohorts = write(tmp_path, [2017, 2018, 2018])
    assert "all 3 units are treated" in message(two_cohorts, comparison="never")
    assert sample_from_file(two_cohorts, **ROLES, comparison="not_yet").n_treated == 3
    assert "all 2 units are treated in 2018" in message(write(tmp_path, [2018, 2018]))


def test_one_treated_unit_is_a_fault(tmp_path):
    assert "only one unit is treated (u0)" in message(write(tmp_path, [2018, NEVER, NEVER]))


def test_few_treated_units_bring_a_warning_and_many_do_not(tmp_path):
    few = sample_from_file(write(tmp_path, [2018] * 5 + [NEVER] * 3), **ROLES)
    assert "only 5 treated units" in few.settings["warnings"][0]
    many = sample_from_file(write(tmp_path, [2018] * 10 + [NEVER] * 3), **ROLES)
    assert many.settings["warnings"] == []


def test_nobody_never_treated_brings_a_warning_that_says_what_cannot_be_seen(tmp_path):
    everyone = sample_from_file(write(tmp_path, [2017] * 6 + [2019] * 6), **ROLES)
    (warning,) = everyone.settings["warnings"]
    assert "no unit is never treated" in warning
    assert "after the last start (2019) cannot be seen" in warning
    with_never = sample_from_file(write(tmp_path, [2017] * 6 + [2019] * 6 + [NEVER]), **ROLES)
    assert with_never.settings["warnings"] == []
    with_late = sample_from_file(write(tmp_path, [2017] * 6 + [2019] * 6 + [2030]), **ROLES)
    assert with_late.settings["warnings"] == []


def test_codes_that_differ_only_in_leading_zeros_bring_a_warning(tmp_path):
    path = write(tmp_path, [2018] * 10 + [NEVER] * 10)
    text = path.read_text()
    for n in range(7):
        text = text.replace(f"u{n},", f"{n + 1},").replace(f"u{n + 10},", f"0{n + 1},")
    path.write_text(text)
    (warning,) = sample_from_file(path, **ROLES).settings["warnings"]
    assert "'01' beside '1', '02' beside '2'" in warning
    assert "'05' beside '5' and 2 more" in warning


def test_an_unreadable_outcome_does_not_empty_the_other_periods(tmp_path):
    path = write(tmp_path, [2018, 2018, NEVER], times=[2017, 2018])
    frame = pd.read_csv(path, dtype=object)
    frame.loc[frame["time"] == "2018", "y"] = "n/k"
    frame.to_csv(path, index=False)
    text = message(path)
    assert "'n/k' is no number" in text
    assert "faults" not in text


def test_a_text_as_covariate_is_the_only_fault(tmp_path):
    text = message(write(tmp_path, [2018, 2018, NEVER], region="north"), covariates=["region"])
    assert "'north' is no number" in text
    assert "faults" not in text


def test_one_unit_treated_from_the_first_period_is_one_unit(tmp_path):
    assert "1 unit is treated in the first period (2015)" in message(write(tmp_path, [2015, 2018, 2018, NEVER]))


def test_one_period_and_one_cluster_are_faults(tmp_path):
    text = message(write(tmp_path, [2018, 2019, NEVER], times=[2015], state="x"), cluster="state")
    assert "every row is of period 2015" in text
    assert "all units share the cluster 'x'" in text
    assert "never changes over time" not in text


def test_faults_of_the_file_and_of_the_comparison_come_together(tmp_path):
    path = write(tmp_path, [2018, 2018])
    path.write_text(path.read_text() + "u0,2015,n/k,2018,s0\n")
    text = message(path, comparison="sometimes", anticipation=-1)
    for part in (
        "'n/k' is no number",
        "more than one row",
        "all 2 units",
        "'sometimes'",
        "anticipation is -1",
    ):
        assert part in text
