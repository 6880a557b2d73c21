"""A picture made small shows what it showed, and can stand in an address."""

from __future__ import annotations

import io
import re
from urllib.parse import unquote
from xml.etree import ElementTree

import matplotlib as mpl
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from matplotlib import pyplot as plt

from wwc_research.report.svg import _shape, _written, data_uri, minified

NUMBER = r"-?(?:\d+\.?\d*|\.\d+)"


def walked(path: str) -> list[tuple[float, float]]:
    """Ends of the steps of a path of straight relative steps, by a second reading of the SVG rules."""
    spots: list[tuple[float, float]] = []
    start = (0.0, 0.0)
    for letter, rest in re.findall(r"([A-Za-z])([^A-Za-z]*)", path):
        values = [float(number) for number in re.findall(NUMBER, rest)]
        x, y = spots[-1] if spots else (0.0, 0.0)
        if letter in "Mm":
            start = (values[0], values[1]) if letter == "M" else (x + values[0], y + values[1])
            spots.append(start)
        elif letter == "h":
            spots += [(x := x + value, y) for value in values]
        elif letter == "v":
            spots += [(x, y := y + value) for value in values]
        elif letter == "l":
            spots += [(x := x + a, y := y + b) for a, b in zip(values[::2], values[1::2], strict=True)]
        else:
            spots.append(start)
    return spots


SPOT = st.tuples(st.floats(-999, 999), st.floats(-999, 999))


@given(st.lists(st.lists(SPOT, min_size=2, max_size=6), min_size=1, max_size=5), st.booleans())
def test_a_shortened_path_goes_where_the_long_one_went(lines, closed):
    whole = " ".join(
        f"M {line[0][0]:f} {line[0][1]:f} " + " ".join(f"L {x:f} {y:f}" for x, y in line[1:]) + (" z" if closed else "")
        for line in lines
    )
    meant = [spot for line in lines for spot in [*line, *([line[0]] if closed else [])]]
    np.testing.assert_allclose(walked(_written(_shape(whole))), meant, atol=0.051)


def written(axes) -> str:
    buffer = io.StringIO()
    with mpl.rc_context({"svg.hashsalt": "a", "svg.fonttype": "none"}):
        axes.figure.savefig(buffer, format="svg", metadata={"Date": None})
    plt.close(axes.figure)
    return buffer.getvalue()


def test_texts_stay_texts_and_no_mark_is_lost():
    _, axes = plt.subplots()
    axes.plot([0, 1, 2], [1, 2, 0], "o-", label="a < b & c")
    axes.set_xlabel("two\nlines")
    axes.legend()
    before = written(axes)
    after = minified(before)
    texts = [element.text for element in ElementTree.fromstring(after).iter() if element.tag.endswith("text")]
    assert {"a < b & c", "two", "lines"} <= set(texts)
    # three points and the one in the legend
    assert after.count(",0,1,0,.1,0z") == 4
    assert len(after.encode()) < len(before.encode()) / 3


def test_what_is_not_understood_is_left_as_it_is():
    _, axes = plt.subplots()
    axes.imshow(np.eye(3))
    before = written(axes)
    assert minified(before) == before


@given(st.text(alphabet=st.characters(codec="utf-8")))
def test_an_address_holds_any_text_without_a_sign_that_is_not_allowed(text):
    address = data_uri(text)
    assert not set(address) & set(' "<>&#{}|\\^`[]\n\t')
    assert unquote(address.removeprefix("data:image/svg+xml,")) == text


@pytest.mark.parametrize(
    ("d", "short"), [("M 1 2 L 3 2 L 3 4 z", "M1,2h2v2z"), ("M 0 0 M 1 1 L 2.04 1.96", "M1,1l1,1")]
)
def test_steps_are_relative_and_say_nothing_twice(d, short):
    assert _written(_shape(d)) == short
