import pytest

from wwc_research.errors import DataError, EstimationError, Faults, InputError, listed
from wwc_research.messages import message, said


def test_all_faults_of_an_input_are_raised_together():
    faults = Faults("file.csv")
    faults.add("row 2: a is missing")
    faults.add("row 9: b is text")
    with pytest.raises(InputError) as caught:
        faults.raise_if_any()
    assert str(caught.value) == "file.csv: 2 faults\n  1. row 2: a is missing\n  2. row 9: b is text"


def test_no_fault_raises_nothing_and_one_fault_stands_on_one_line():
    faults = Faults("catalog", kind=DataError)
    faults.raise_if_any()
    faults.add("wrong")
    with pytest.raises(DataError, match=r"^catalog: wrong$"):
        faults.raise_if_any()


def test_one_fault_of_an_estimation_and_a_list_in_it_can_be_said_in_another_language():
    faults = Faults("dose", kind=EstimationError)
    faults.add(message("no figure for {names}", names=listed(["a", *range(7)])))
    with pytest.raises(EstimationError) as caught:
        faults.raise_if_any()
    kept = said(caught.value)
    assert kept == "dose: no figure for a, 0, 1, 2, 3 and 3 more"
    *names, more = kept.values["fault"].values["names"].values["values"]
    assert names == ["a", "0", "1", "2", "3"]
    assert more.values == {"n": 3}


def test_long_lists_are_cut_and_counted():
    assert listed([]) == "none"
    assert listed(["a"]) == "a"
    assert listed(["a", "b", "c"]) == "a, b and c"
    assert listed(range(7)) == "0, 1, 2, 3, 4 and 2 more"
