import copy
import json
import pickle

import numpy as np
import pytest

from wwc_research.errors import EstimationError
from wwc_research.messages import Message, counted, decoded, encoded, message, said


@pytest.fixture
def gap() -> Message:
    inner = counted("{n} city", "{n} cities", n=3)
    return message(
        "{who:list}: {gap:+.1f} in {where}; {why:sentences}", who=["A", "B"], gap=1.25, where=inner, why=["X."]
    )


def test_a_message_is_its_english_text(gap):
    assert gap == "A and B: +1.2 in 3 cities; X."
    assert hash(gap) == hash(str(gap))
    assert json.loads(json.dumps([gap])) == ["A and B: +1.2 in 3 cities; X."]


def test_a_message_survives_json_pickle_and_copies(gap):
    kept = decoded(json.loads(json.dumps(encoded({"rows": [{"said": gap}]}))))["rows"][0]["said"]
    for found in (kept, pickle.loads(pickle.dumps(gap)), copy.deepcopy(gap)):
        assert isinstance(found, Message)
        assert (found, found.template, found.plural) == (gap, gap.template, "")
        assert found.values["where"].plural == "{n} cities"
        assert encoded(found) == encoded(gap)


def test_plain_values_pass_through_the_code_for_json():
    plain = {"message": "no values beside it", "list": [1, 2.5, None, "text"], "empty": {}}
    assert decoded(encoded(plain)) == plain


def test_numbers_of_numpy_and_undefined_numbers_are_kept_as_plain_values():
    found = message("{a:.2f} {b:,} {c:.1f}", a=np.float64(1.234), b=np.int64(12000), c=float("nan"))
    assert found == "1.23 12,000 nan"
    assert [type(found.values[name]) for name in "abc"] == [float, int, str]


def test_one_thing_is_said_in_the_singular():
    assert [counted("{n} city", "{n} cities", n=n) for n in (0, 1, 2)] == ["0 cities", "1 city", "2 cities"]


def test_an_error_keeps_the_message_it_was_raised_with():
    assert isinstance(said(EstimationError(message("{n} rows", n=2))), Message)
    assert said(ValueError("plain")) == "plain"
    assert said(KeyError()) == ""


def test_a_message_that_is_not_filled_wholly_is_refused():
    with pytest.raises(KeyError):
        message("{share:.0%} of {n_units} cities", share=0.2)
