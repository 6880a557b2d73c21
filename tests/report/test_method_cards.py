import inspect
import re
from xml.etree import ElementTree

import pytest

from wwc_research.estimators import ESTIMATORS, matched_difference, method_card
from wwc_research.report import html, method_cards
from wwc_research.report.language import speaking

SHIPPED = {name: method_card(name) for name in ESTIMATORS}
SHIPPED[matched_difference.NAME] = inspect.cleandoc(matched_difference.__doc__ or "")
TEX = {name: [" ".join(tex.split()) for tex in re.findall(r"\$([^$]+)\$", text)] for name, text in SHIPPED.items()}


@pytest.mark.parametrize("name", SHIPPED)
def test_every_formula_of_a_shipped_card_becomes_mathematics(name):
    assert [tex for tex in TEX[name] if "<code>" in method_cards.formula(tex)] == []


@pytest.mark.parametrize("name", SHIPPED)
def test_a_shipped_card_shows_no_mark_up_of_its_text(name):
    made = str(method_cards.method_card(name, SHIPPED[name]).html)
    shown = re.sub(r"<code>.*?</code>", "", made)
    assert not re.search(r"[$`\\]|\*\*", shown)
    assert len(re.findall("(?<!<wbr>)<math>", made)) == sum(
        not re.fullmatch(r"[A-Za-z]|-?\d+", tex) for tex in TEX[name]
    )
    assert "<h" not in made
    ElementTree.fromstring(made.replace("<wbr>", ""))  # every element is closed and within its parent


def test_every_estimator_has_a_title_and_no_title_is_left_over():
    assert method_cards.ESTIMATORS.keys() == SHIPPED.keys()


def test_a_card_is_folded_under_its_title_in_the_language_of_the_reader_and_marked_english():
    with speaking("es"):
        made = str(method_cards.method_card("synthetic_control", "One line.").html)
    assert made == '<details><summary>Control sintético</summary><div lang="en"><p>One line.</p></div></details>'


def test_marks_of_a_card_become_elements_and_its_lines_one_paragraph():
    text = "A **bold** and `x < y`,\nthen *so*.\n\n- one $t$\n- two $-1$\n\nIt's 2 * 3 * 4."
    made = str(method_cards.method_card("own", text).html)
    assert "<p>A <b>bold</b> and <code>x &lt; y</code>, then <em>so</em>.</p>" in made
    assert "<ul><li>one <i>t</i></li><li>two −1</li></ul>" in made
    assert "<p>It's 2 * 3 * 4.</p>" in made


def test_a_formula_is_lean_and_a_word_in_it_is_one_name():
    assert method_cards.formula(r"ATT(g) = \hat\tau") == (
        "<math><mi>ATT</mi><mo>(</mo><mi>g</mi><mo>)</mo><mo>=</mo>"
        '<mover accent="true"><mi>τ</mi><mo>^</mo></mover></math>'
    )
    assert method_cards.formula(r"y_{it}") == "<math><msub><mi>y</mi><mrow><mi>i</mi><mi>t</mi></mrow></msub></math>"


def test_a_long_formula_may_break_before_a_sign():
    made = method_cards.formula(r"y_{it} = \alpha_i + \lambda_t + \beta D_{it} + \gamma x_{it} + \varepsilon_{it}")
    assert all(piece.startswith(("<math><mo>+", "<math><msub>")) for piece in made.split("<wbr>"))
    assert made.count("<wbr>") == 1


@pytest.mark.parametrize("tex", [r"\nonsense{x}", r"\frac{1}", "x_1_2", r"\left( x"])
def test_a_formula_that_cannot_be_converted_is_shown_as_it_is_written(tex):
    assert method_cards.formula(tex) == f"<code>{tex}</code>"


def test_a_card_of_somebody_else_harms_no_page():
    hostile = "<script>alert(1)</script>"
    made = method_cards.method_card(hostile, f"{hostile} **{hostile}** `{hostile}` ${hostile}$ *{hostile}*").html
    assert "<script" not in made
    assert "alert" in html.text_only(made)
