import gzip
import io
import os

import numpy as np
import pandas as pd
import pytest

from wwc_research.errors import Faults, InputError
from wwc_research.panel.files import read_panel, read_units
from wwc_research.panel.tables import read_table

ROLES = {"unit": "place", "time": "year", "outcome": "share", "cohort": "first"}
GOOD = """place,year,share,first,county,w
01001,2019,1.5,2020,A,1
01001,2020,2.5,2020,A,1
1001,2019,1.0,,A,2
1001,2020,1.25,,A,2
02002,2019,3,0,B,1
02002,2020,4,inf,B,1
"""


def written(tmp_path, content, name="cities.csv"):
    path = tmp_path / name
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


def checked(path, **changes):
    """What `read_panel` makes of the file; raises what was noted, as the callers do."""
    faults = Faults(where=path.name)
    result = read_panel(path, **{**ROLES, **changes}, faults=faults)
    faults.raise_if_any()
    return result


def message(path, **changes):
    with pytest.raises(InputError) as caught:
        checked(path, **changes)
    return str(caught.value)


def with_line(line):
    return GOOD + line + "\n"


def test_unit_codes_keep_their_leading_zeros(tmp_path):
    frame = checked(written(tmp_path, GOOD)).frame
    assert frame["unit"].unique().tolist() == ["01001", "1001", "02002"]


def test_empty_zero_and_infinite_cohorts_are_never(tmp_path):
    frame = checked(written(tmp_path, GOOD)).frame
    assert frame.groupby("unit", sort=False)["cohort"].first().to_dict() == {
        "01001": 2020.0,
        "1001": pytest.approx(np.nan, nan_ok=True),
        "02002": pytest.approx(np.nan, nan_ok=True),
    }


def test_unit_and_weight_stand_in_where_no_cluster_or_weights_are_named(tmp_path):
    plain = checked(written(tmp_path, GOOD)).frame
    assert plain["cluster"].tolist() == plain["unit"].tolist()
    assert set(plain["weight"]) == {1.0}
    named = checked(written(tmp_path, GOOD), cluster="county", weights="w").frame
    assert set(named["cluster"]) == {"A", "B"}
    assert set(named["weight"]) == {1.0, 2.0}


@pytest.mark.parametrize(
    ("content", "encoding"),
    [
        (GOOD.encode(), "UTF-8"),
        (b"\xef\xbb\xbf" + GOOD.encode(), "UTF-8 with byte order mark"),
        (GOOD.encode("utf-16"), "UTF-16"),
        (GOOD.replace("02002", "Espa\u00f1ola").encode("latin-1"), "Latin-1"),
        (gzip.compress(GOOD.encode()), "UTF-8"),
        (GOOD.replace("\n", "\r\n").encode(), "UTF-8"),
    ],
)
def test_the_same_table_comes_from_every_encoding_and_the_settings_say_which(tmp_path, content, encoding):
    result = checked(written(tmp_path, content))
    assert result.settings["encoding"] == encoding
    assert result.frame["outcome"].tolist() == [1.5, 2.5, 1.0, 1.25, 3.0, 4.0]
    assert ("encoding_note" in result.settings) == (encoding == "Latin-1")
    if encoding == "Latin-1":
        assert "Espa\u00f1ola" in set(result.frame["unit"])


def test_parquet_and_csv_give_the_same_frame(tmp_path):
    table = pd.read_csv(io.StringIO(GOOD), dtype={"place": str})
    path = tmp_path / "cities.parquet"
    table.to_parquet(path)
    pd.testing.assert_frame_equal(checked(path).frame, checked(written(tmp_path, GOOD)).frame)


def test_whole_numbers_stored_as_floats_are_the_same_unit_codes(tmp_path):
    path = tmp_path / "cities.parquet"
    table = pd.read_csv(io.StringIO(GOOD.replace("02002", "3")), dtype={"place": float})
    table.loc[[2, 3], "place"] = 7.0
    table.to_parquet(path)
    assert set(checked(path).frame["unit"]) == {"1001", "7", "3"}


@pytest.mark.parametrize(
    ("content", "part"),
    [
        (b"", "the file is empty"),
        (b"  \n \n", "the file is empty"),
        (b"place,year,share,first\n", "a header and no rows"),
        (b"PK\x03\x04rest", "Save the sheet as CSV"),
        (b"\x1f\x8bbroken", "damaged gzip"),
        (b"PAR1broken", "cannot be read as Parquet"),
        (b"\x00\x01\x02", "neither CSV nor Parquet"),
        (b"a,b,a\n1,2,3\n", "column name 'a' stands over columns 1 and 3"),
        (b"a,b\n1,2,3\n4,5\n", "the header has 2 cells, but row 2 has 3"),
    ],
)
def test_a_file_that_is_no_table_is_refused_with_the_reason(tmp_path, content, part):
    with pytest.raises(InputError, match=part):
        read_table(written(tmp_path, content))


def test_a_missing_file_and_a_folder_are_refused(tmp_path):
    with pytest.raises(InputError, match="no such file"):
        read_table(tmp_path / "none.csv")
    with pytest.raises(InputError, match="is a folder"):
        read_table(tmp_path)


def test_a_missing_column_brings_its_nearest_names(tmp_path):
    assert "no column 'Shares' (outcome). Nearest names: share" in message(written(tmp_path, GOOD), outcome="Shares")


@pytest.mark.parametrize(("mark", "spoken"), [(";", "semicolons"), ("\t", "tabs"), ("|", "upright bars")])
def test_a_file_with_another_separator_is_one_fault_with_the_way_out(tmp_path, mark, spoken):
    for content in (GOOD, GOOD.replace("place", '"place, or city"')):
        text = message(written(tmp_path, content.replace(",", mark).replace(f"place{mark} or", "place, or")))
        assert f"separated by {spoken}" in text
        assert "commas between the cells." in text
        assert "faults" not in text
        assert "quotes" not in text


def test_decimal_commas_between_semicolons_are_one_fault_with_the_way_out(tmp_path):
    text = message(written(tmp_path, GOOD.replace(",", ";").replace(".", ",")))
    assert "separated by semicolons" in text
    assert "points in the numbers (1.5, not 1,5)" in text
    assert "faults" not in text


def test_a_semicolon_in_a_name_or_a_text_is_no_separator(tmp_path):
    content = GOOD.replace("county", "county; or parish").replace(",A,", ",A; B,")
    assert len(checked(written(tmp_path, content), cluster="county; or parish").frame) == 6


def test_an_address_is_refused_with_what_to_do():
    for address in ("https://example.org/data/cities.csv", "s3://bucket/cities.parquet"):
        with pytest.raises(InputError, match=f"{address}: files must be on this computer. Download it"):
            read_table(address)


def test_a_pipe_is_no_regular_file(tmp_path):
    os.mkfifo(tmp_path / "pipe.csv")
    with pytest.raises(InputError, match="is no regular file"):
        read_table(tmp_path / "pipe.csv")


def test_text_in_a_number_column_is_named_with_row_and_value(tmp_path):
    text = message(written(tmp_path, with_line("02002,2021,n.a.,0,B,1")))
    assert "cities.csv: column 'share', row 8: 'n.a.' is no number" in text


def test_rows_are_counted_as_a_spreadsheet_counts_them_blank_lines_included(tmp_path):
    assert "row 9: 'x'" in message(written(tmp_path, GOOD + "\n02002,2021,x,0,B,1\n"))


def test_rows_of_parquet_are_counted_from_one(tmp_path):
    path = tmp_path / "cities.parquet"
    pd.read_csv(io.StringIO(GOOD.replace("1.5", "x").replace("2.5", "y")), dtype=str).to_parquet(path)
    assert "column 'share', data rows 1 and 2: 'x' and 'y' are no numbers" in message(path)
    units = tmp_path / "units.parquet"
    pd.read_csv(io.StringIO(UNITS)).to_parquet(units)
    assert read_units(units, treatment="treat", covariates=["income"]).frame.index[0] == "row 1"


@pytest.mark.parametrize("cell", [[1.0, 2.0], {"a": 1.0}, b"1.5"])
def test_a_column_of_lists_records_or_bytes_is_one_fault(tmp_path, cell):
    path = tmp_path / "cities.parquet"
    table = pd.read_csv(io.StringIO(GOOD), dtype={"place": str})
    table.assign(share=[cell] * 6).to_parquet(path)
    text = message(path)
    assert "column 'share' holds lists, records or bytes" in text
    assert "faults" not in text
    table.assign(w=[cell] * 6).to_parquet(path)
    assert "column 'w' holds lists, records or bytes" in message(path, covariates=["w"])
    assert len(checked(path).frame) == 6


def test_column_names_that_repeat_in_parquet_are_a_fault(tmp_path):
    path = tmp_path / "cities.parquet"
    pd.read_csv(io.StringIO(GOOD)).assign(**{"share ": 1.0}).to_parquet(path)
    assert "column name 'share' stands over columns 3 and 7" in message(path)


@pytest.mark.parametrize("date", ["2019-01-01", "01/02/2019", "2019-01", "2019-01-01 00:00:00"])
def test_dates_as_time_are_told_to_become_years(tmp_path, date):
    text = message(written(tmp_path, GOOD.replace("2019", date)))
    assert f"column 'year', rows 2, 4 and 6: dates ({date!r}) where a whole number must stand" in text
    assert "Give the year as a whole number, such as 2019." in text
    assert "faults" not in text


def test_dates_of_parquet_are_told_to_become_years(tmp_path):
    path = tmp_path / "cities.parquet"
    table = pd.read_csv(io.StringIO(GOOD), dtype={"place": str})
    times = pd.to_datetime(table["year"].astype(str))
    for column in (times, times.dt.date):
        table.assign(year=column).to_parquet(path)
        text = message(path)
        assert "Give the year as a whole number, such as 2019." in text
        assert "faults" not in text


def test_one_text_in_several_rows_is_no_number(tmp_path):
    text = message(written(tmp_path, GOOD.replace("1.5,", "x,").replace("2.5,", "x,")))
    assert "rows 2 and 3: 'x' is no number." in text


def test_an_unreadable_cohort_is_not_never(tmp_path):
    lines = "a,2019,1,2020,B,1\na,2020,2,bad,B,1\na,2021,3,2020,B,1\n"
    text = message(written(tmp_path, GOOD + lines))
    assert "'bad' is no number" in text
    assert "faults" not in text


def test_a_covariate_without_any_value_is_the_only_fault(tmp_path):
    lines = GOOD.replace("A,1", "A,").replace("A,2", "A,").replace("B,1", "B,")
    text = message(written(tmp_path, lines), covariates=["w"])
    assert "'w' has no value in any row" in text
    assert "faults" not in text


def test_gaps_that_leave_no_row_are_a_fault_that_names_the_columns(tmp_path):
    content = "place,year,share,first,x\na,1,5,2,\na,2,,2,3\nb,1,5,0,\nb,2,,0,4\n"
    text = message(written(tmp_path, content), covariates=["x"])
    assert "no row has a value in each of share and x" in text
    assert "faults" not in text


def test_numbers_with_separators_are_not_guessed(tmp_path):
    assert "'1,234' is no number" in message(written(tmp_path, with_line('02002,2021,"1,234",0,B,1')))
    assert "'1_000' is no number" in message(written(tmp_path, with_line("02002,2021,1_000,0,B,1")))


def test_infinite_outcomes_are_a_fault(tmp_path):
    assert "row 8: infinite values" in message(written(tmp_path, with_line("02002,2021,-inf,0,B,1")))


def test_numbers_beyond_any_measurement_are_a_fault(tmp_path):
    assert "row 8: '1e300', beyond any" in message(written(tmp_path, with_line("02002,2021,1e300,0,B,1")))


def test_a_second_row_for_a_unit_and_time_is_a_fault(tmp_path):
    text = message(written(tmp_path, with_line("02002,2020,4,0,B,1")))
    assert "rows 7 and 8: more than one row for unit '02002' at 2020" in text


def test_a_cohort_that_changes_inside_a_unit_is_a_fault(tmp_path):
    text = message(written(tmp_path, with_line("02002,2021,4,2021,B,1")))
    assert "changes inside a unit: unit '02002' has never and 2021" in text


def test_a_unit_may_not_change_its_cluster(tmp_path):
    content = with_line("02002,2021,4,0,C,1")
    assert "unit '02002' has 'B' and 'C'" in message(written(tmp_path, content), cluster="county")
    checked(written(tmp_path, content))


@pytest.mark.parametrize(
    ("line", "changes", "part"),
    [
        ("02002,2020.5,4,0,B,1", {}, "'2020.5' is no whole number"),
        ("02002,2021,4,2020.5,C,1", {}, "'2020.5' is no whole number"),
        (",2021,4,0,B,1", {}, "row 8: the unit is empty"),
        ("02002,,4,0,B,1", {}, "row 8: the time is empty"),
        ("02002,2021,4,0,,1", {"cluster": "county"}, "row 8: the cluster is empty"),
        ("02002,2021,4,0,B,0", {"weights": "w"}, "weights of '0'"),
        ("02002,2021,4,0,B,-2", {"weights": "w"}, "weights of '-2'"),
        ("02002,2021,4,0,B,", {"weights": "w"}, "row 8: the weight is empty"),
        ("02002,2021,4,soon,B,1", {}, "'soon' is no number"),
    ],
)
def test_cells_that_the_design_needs_must_be_right_in_every_row(tmp_path, line, changes, part):
    assert part in message(written(tmp_path, with_line(line)), **changes)


def test_missing_outcomes_and_covariates_are_left_out_and_counted(tmp_path):
    content = with_line("02002,2021,,0,B,1") + "1001,2021,2,0,B,NA\n"
    result = checked(written(tmp_path, content), covariates=["w"])
    assert result.exclusions == (("no value of share", 1, 1), ("no value of w", 1, 1))
    assert len(result.frame) == 6


def test_a_column_without_any_value_is_a_fault(tmp_path):
    content = "place,year,share,first\na,1,,2\na,2,NA,2\n"
    assert "'share' has no value in any row" in message(written(tmp_path, content))


def test_an_outcome_that_never_varies_is_a_fault(tmp_path):
    constant = "place,year,share,first\na,1,5,2\na,2,5,2\nb,1,5,0\nb,2,5,0\n"
    assert "is 5 in every row" in message(written(tmp_path, constant))
    fixed = constant.replace("b,1,5", "b,1,6").replace("b,2,5", "b,2,6")
    assert "never changes over time" in message(written(tmp_path, fixed))


def test_one_column_may_not_play_two_parts(tmp_path):
    assert "'share' is given as outcome and as covariate 1" in message(written(tmp_path, GOOD), covariates=["share"])


def test_a_covariate_with_a_reserved_name_keeps_apart(tmp_path):
    content = GOOD.replace("county,w", "weight,cluster").replace(",A,", ",3,").replace(",B,", ",4,")
    frame = checked(written(tmp_path, content), covariates=["weight"]).frame
    assert set(frame["weight"]) == {1.0}
    assert set(frame["weight (covariate)"]) == {3.0, 4.0}


def test_all_faults_of_a_file_come_in_one_message(tmp_path):
    content = with_line("02002,2020,x,2021,B,0") + ",2021.5,inf,1,B,1\n"
    text = message(written(tmp_path, content), weights="w", covariates=["income"])
    assert "faults" in text.splitlines()[0]
    for part in (
        "no column 'income'",
        "'x' is no number",
        "infinite values",
        "the unit is empty",
        "no whole number",
        "more than one row",
        "changes inside a unit",
        "weights of '0'",
    ):
        assert part in text


def test_long_lists_of_rows_are_cut_and_counted(tmp_path):
    lines = "".join(f"c{number},2019,bad,0,B,1\n" for number in range(40))
    assert "rows 8, 9, 10, 11, 12 and 35 more" in message(written(tmp_path, GOOD + lines))


UNITS = """city,treat,income,region,y
a,1,5,north,1
b,1,6,south,2
c,0,5.5,north,3
d,0,6.5,south,4
"""


def units_message(path, **changes):
    options = {"treatment": "treat", "covariates": ["income"], **changes}
    with pytest.raises(InputError) as caught:
        read_units(path, **options)
    return str(caught.value)


def test_units_are_named_by_their_column_or_else_by_their_row(tmp_path):
    path = written(tmp_path, UNITS)
    named = read_units(path, treatment="treat", covariates=["income", "region"], unit="city").frame
    assert named.index.tolist() == ["a", "b", "c", "d"]
    assert named["region"].tolist() == ["north", "south", "north", "south"]
    assert read_units(path, treatment="treat", covariates=["income"]).frame.index[0] == "row 2"


def test_treatment_may_be_written_as_words(tmp_path):
    path = written(tmp_path, UNITS.replace(",1,", ",TRUE,", 2).replace(",0,", ",false,"))
    assert read_units(path, treatment="treat", covariates=["income"]).frame["treated"].sum() == 2


@pytest.mark.parametrize(
    ("change", "part"),
    [
        (("a,1,", "a,2,"), "row 2: '2' where 1 (treated) or 0"),
        (("a,1,", "a,yes,"), "row 2: 'yes' where 1"),
        (("a,1,", "a,,"), "row 2: the treatment is empty"),
        (("6.5", "high"), "row 5: 'high' is no number"),
        (("6.5", "inf"), "row 5: infinite values"),
    ],
)
def test_faults_of_a_cross_section_are_named_with_row_and_value(tmp_path, change, part):
    assert part in units_message(written(tmp_path, UNITS.replace(*change)))


def test_both_groups_must_be_there(tmp_path):
    assert "no treated unit" in units_message(written(tmp_path, UNITS.replace(",1,", ",0,")))
    assert "no untreated unit" in units_message(written(tmp_path, UNITS.replace(",0,", ",1,")))


def test_one_untreated_unit_gives_no_choice(tmp_path):
    text = units_message(written(tmp_path, UNITS.replace("d,0", "d,1")))
    assert "column 'treat': only one untreated unit" in text
    assert "faults" not in text


def test_one_cluster_for_all_units_is_a_fault(tmp_path):
    path = written(tmp_path, UNITS.replace("south", "north"))
    assert "all units share the cluster 'north'" in units_message(path, cluster="region")


def test_gaps_that_leave_no_unit_are_a_fault_without_an_outcome_too(tmp_path):
    content = "treat,x,z\n1,5,\n1,,2\n0,3,\n0,,1\n"
    text = units_message(written(tmp_path, content), covariates=["x", "z"])
    assert "no row has a value in each of x and z" in text


def test_unit_codes_alike_but_for_zeros_bring_a_warning(tmp_path):
    path = written(tmp_path, UNITS.replace("a,1", "01,1").replace("c,0", "1,0"))
    found = read_units(path, treatment="treat", covariates=["income"], unit="city").warnings
    assert ["'01' beside '1'" in warning for warning in found] == [True]
    assert read_units(path, treatment="treat", covariates=["income"]).warnings == ()


def test_a_unit_has_one_row_in_a_cross_section(tmp_path):
    assert "more than one row for unit a" in units_message(written(tmp_path, UNITS.replace("b,1", "a,1")), unit="city")


def test_a_name_column_is_no_category(tmp_path):
    lines = "".join(f"city number {n},{n % 2},5,north,{n}\n" for n in range(60))
    text = units_message(written(tmp_path, UNITS + lines), covariates=["city"])
    assert "64 different texts" in text


PLACES = "unit,time,treated,cohort,OBESITY_CrudePrev,visits\n"


def test_no_effect_is_estimated_or_matched_on_model_based_estimates(tmp_path):
    path = tmp_path / "cities.csv"
    path.write_text(PLACES + "a,1,1,2,30.5,3\na,2,1,2,30.9,4\nb,1,0,,31.0,5\nb,2,0,,30.0,2\n", encoding="utf-8")
    faults = Faults(where="cities.csv")
    read_panel(path, unit="unit", time="time", outcome="OBESITY_CrudePrev", cohort="cohort", faults=faults)
    with pytest.raises(InputError, match="would find the model"):
        faults.raise_if_any()
    units = tmp_path / "units.csv"
    units.write_text(PLACES + "a,1,1,2,30.5,3\nb,1,0,,31.0,5\nc,1,0,,30.2,4\n", encoding="utf-8")
    with pytest.raises(InputError, match="would find the model"):
        read_units(units, treatment="treated", covariates=["visits"], outcome="OBESITY_CrudePrev")


def test_model_based_estimates_may_describe_units_before_exposure(tmp_path):
    path = tmp_path / "units.csv"
    path.write_text(PLACES + "a,1,1,2,30.5,3\nb,1,0,,31.0,5\nc,1,0,,30.2,4\nd,1,1,2,29.0,6\n", encoding="utf-8")
    found = read_units(path, treatment="treated", covariates=["OBESITY_CrudePrev"], outcome="visits")
    assert list(found.frame["OBESITY_CrudePrev"]) == [30.5, 31.0, 30.2, 29.0]
