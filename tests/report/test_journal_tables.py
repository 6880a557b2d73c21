import csv
import html.parser
import io
import json
import re

import pytest

from wwc_research.errors import InputError
from wwc_research.evidence.evidence import Evidence, Named
from wwc_research.report import journal_tables as tables
from wwc_research.report.language import shown

HOSTILE = (
    "=HYPERLINK(1)",
    "<script>alert(1)</script>",
    '100 % & more_than #1 ~ ^ $x$ {y} | "z" `w`',
    r"\input{/etc/passwd}",
    "\t=1+1",
    "\r@SUM(A1)",
    "[3cm] wide",
    "* starred",
    "--- dashed",
    "Cañon\u00a0City \N{MINUS SIGN}1 – ok",
    "東京 \U0001f600",
    "\x00null\nline",
    "+1",
    "%",
    "\\",
    "\ud800 half",
)


def values(name: str, estimate: float, std_error: float | None, **settings) -> dict:
    known = std_error is not None
    return {
        "estimator": name,
        "estimand": "effect",
        "estimate": estimate,
        "std_error": std_error,
        "ci_low": estimate - 2 * std_error if known else None,
        "ci_high": estimate + 2 * std_error if known else None,
        "p_value": 0.04 if known else None,
        "minimum_detectable_effect": 0.02,
        "n_obs": 2856,
        "n_units": 1481,
        "n_treated": 48,
        "n_clusters": 269,
        "settings": {"unit": "place", "comparison": "not_yet", "cluster": "county", **settings},
    }


def made_evidence(**changes) -> Evidence:
    """Evidence on broadband whose figures are easy to follow: shares, shown in percentage points to one decimal."""
    pairs = values("matched_difference", -0.0123, None, std_errors="matched_set_and_cluster")
    del pairs["settings"]["comparison"], pairs["settings"]["cluster"]
    plain = {
        "outcome": "broadband",
        "treatment": "certification",
        "family": "residents",
        "minimum_effect_of_interest": 0.01,
        "headline": Named(
            name="imputation",
            title="Imputation",
            estimate=values("imputation", 0.0062, 0.004, std_errors="bjs_leave_out", warnings=["few & far"]),
        ),
        "judged": {
            "estimate": 0.0062, "std_error": 0.005, "ci_low": -0.0038, "ci_high": 0.0162, "p_value": 0.23,
            "lot_p_value": 0.23, "lot_std_error": 0.005, "draws": 9999, "basis": "lot", "df": 20.0,
            "minimum_detectable_effect": 0.015, "years_after": 1.5,
        },
        "alternatives": (
            Named(name="two_way_fe", title="Two-way", estimate=values("two_way_fe", -0.0004, 0.0071)),
            Named(name="matched_difference", title="Matched pairs", estimate=pairs),
            Named(name="population", title="By people", estimate=values("imputation", 0.0101, 0.003)),
            Named(name="never", title="Against never", estimate=None, failed="nobody is left"),
        ),
        "checks": (),
        "verdict": None,
        "cohorts": (
            {"cohort": 2018, "n_units": 2, "labels": ["Boston, MA", "=cmd()"]},
            {"cohort": 2020, "n_units": 1, "labels": ["<script>"]},
        ),
        "trends": (),
        "balance": (
            {"covariate": "a", "title": "Population (log)", "smd_before": 1.2, "smd_after": -0.3,
             "variance_ratio_before": 2.29, "variance_ratio_after": 1.05},
            {"covariate": "b", "title": "=Share_of %", "smd_before": None, "smd_after": 0.1,
             "variance_ratio_before": None, "variance_ratio_after": 1.0},
        ),
        "overlap": (),
        "matched": (),
        "adjusted": {"holm": 0.46, "benjamini_hochberg": 0.41, "romano_wolf": 0.4, "family": 0.4, "n_hypotheses": 6},
        "rules": {"balance_limit": 0.25},
        "provenance": {"version": "0.1.0", "plan_sha256": "a" * 64, "data_sha256": "b" * 64},
    }  # fmt: skip
    return Evidence(**{**plain, **changes})


def hostile_table() -> tables.JournalTable:
    """Every hostile text as title, stub, heading, label, cell and note."""
    cells = tuple(tables.Cell(shown=text, plain=text, value=text) for text in HOSTILE)
    return tables.JournalTable(
        name="../\\x{y}",
        title=" ".join(HOSTILE),
        stub=HOSTILE[0],
        columns=tuple(
            tables.Column(title=text, span=text, align="left" if at % 2 else "center", width=2.0 if at % 3 else None)
            for at, text in enumerate(HOSTILE)
        ),
        rows=tuple(tables.Row(label=text, cells=cells, rule=at == 3) for at, text in enumerate(HOSTILE)),
        notes=HOSTILE,
    )


def every_table(evidence: Evidence) -> list[tables.JournalTable]:
    return [
        tables.regression_table(evidence),
        tables.regression_table(evidence, layout="rows", stars=True),
        tables.balance_table(evidence),
        tables.cohort_table(evidence),
    ]


def grid(table: tables.JournalTable) -> dict[str, list[str]]:
    return {row.label: [shown(cell.shown) for cell in row.cells] for row in table.rows}


COMMANDS = {
    "centering", "small", "footnotesize", "caption", "label", "toprule", "midrule", "bottomrule", "cmidrule",
    "multicolumn", "parbox", "item", "texttt", "textbackslash", "textasciicircum", "textasciitilde", "textless",
    "textgreater", "textbar", "textasciigrave", "dots", "times", "pm", "leq", "geq", "to", "cdot", "circ",
}  # fmt: skip
TOKEN = re.compile(r"\\(begin|end)\{(\w+)\}|\\([A-Za-z]+)|\\(.)|([{}$&#%_^~])|(\n)|([^\\{}$&#%_^~\n]+)", re.DOTALL)


def read_latex(text: str) -> list[int]:
    """Widths of the tabular's lines, of a text that holds to a strict grammar; an AssertionError for any other."""
    first, body = text.split("\n", 1)
    assert first.startswith("% needs ")
    depth, math, stack, at = 0, False, [], 0
    for found in TOKEN.finditer(body):
        assert found.start() == at, body[at : at + 20]
        at = found.end()
        which, environment, command, escaped, special, _, plain = found.groups()
        if which == "begin":
            stack.append((environment, depth))
        elif which == "end":
            assert stack.pop() == (environment, depth)
        elif command:
            assert command in COMMANDS, command
        elif escaped:
            assert escaped in "{}$&#%_\\"
        elif special in ("{", "}"):
            depth += 1 if special == "{" else -1
            assert depth >= 0
        elif special == "$":
            math = not math
        elif special in ("^", "_"):
            assert math
        elif special:
            assert special == "&"
            assert (stack[-1][0], depth) == ("tabular", 0)
        elif plain:
            assert all(sign.isprintable() and (sign.isascii() or "À" <= sign <= "ž") for sign in plain), plain
    assert (at, depth, math, stack) == (len(body), 0, False, [])
    inside = body[body.index(r"\toprule") : body.index(r"\end{tabular}")]
    ends = r"\\\\\n|\\(?:top|mid|bottom)rule\n|\\cmidrule\(lr\)\{[\d-]+\}[ \n]"
    # what follows the end of a line or a rule would be read as its option
    assert not re.search(rf"(?:{ends})\s*[\[*]", inside)
    lines = [line for line in re.split(ends, inside) if line.strip()]
    return [
        sum(int((re.findall(r"^\s*\\multicolumn\{(\d+)\}", cell) or [1])[0]) for cell in cells(line)) for line in lines
    ]


def cells(line: str) -> list[str]:
    return re.split(r"(?<!\\)&", line)


class Page(html.parser.HTMLParser):
    """Tags, attributes and text of a fragment; every tag must be closed in order."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: list[str] = []
        self.attributes: list[tuple[str, str | None]] = []
        self.lines: list[list[str]] = []
        self.widths: list[int] = []
        self.feed(text)
        self.close()
        assert not self.open

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.attributes += attrs
        if tag == "br":
            return
        self.open.append(tag)
        if tag == "tr":
            self.lines.append([])
            self.widths.append(0)
        if tag in ("td", "th"):
            self.lines[-1].append("")
            self.widths[-1] += int(dict(attrs).get("colspan", 1))

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if "tr" in self.open:
            self.lines[-1][-1] += data


def test_estimates_stand_in_the_unit_of_the_page_with_their_errors_below():
    shown = grid(tables.regression_table(made_evidence()))
    assert shown["Difference, percentage points"] == ["0.6", "0.0", "−1.2", "1.0"]
    assert shown["(standard error)"] == ["(0.4)", "(0.7)", "–", "(0.3)"]
    assert shown["[95 % interval]"] == ["[−0.2, 1.4]", "[−1.5, 1.4]", "–", "[0.4, 1.6]"]
    assert shown["p"] == ["0.040", "0.040", "–", "0.040"]
    assert shown["Units"][0] == "1,481"
    assert shown["Weights"] == ["none", "none", "matched pairs", "population"]
    assert shown["Comparison"] == ["not yet or never", "not yet or never", "matched", "not yet or never"]
    assert shown["Standard errors"] == ["leave-out, by county", "by county", "by matched set and cluster", "by county"]


def test_the_judged_interval_and_the_corrected_p_stand_under_the_headline_alone():
    shown = grid(tables.regression_table(made_evidence()))
    assert shown["[95 % interval, as judged]"] == ["[−0.4, 1.6]", "", "", ""]
    assert shown["p, as judged"] == ["0.230", "", "", ""]
    assert shown["p, corrected over the family"] == ["0.400", "", "", ""]
    assert "p, as judged" not in grid(tables.regression_table(made_evidence(), specifications=["two_way_fe"]))
    down = tables.regression_table(made_evidence(), layout="rows")
    assert grid(down)["(1) as judged"][:5] == ["0.6", "(0.5)", "[−0.4, 1.6]", "0.230", "0.400"]


def test_both_layouts_hold_the_same_figures():
    across, down = (tables.regression_table(made_evidence(), layout=layout) for layout in ("columns", "rows"))
    upright, flat = tables.to_frame(across), tables.to_frame(down)
    for label, column in (("p", "p"), ("Units", "Number of: Units"), ("Weights", "Design: Weights")):
        single = flat.loc[[name for name in flat.index if "judged" not in name], column]
        assert upright.loc[label].tolist() == single.tolist()
    assert upright.loc["Difference, percentage points"].iloc[0] == pytest.approx(0.62)


def test_stars_are_set_only_where_asked_for():
    plain, starred = (tables.regression_table(made_evidence(), stars=stars) for stars in (False, True))
    assert not any(cell.stars for row in plain.rows for cell in row.cells)
    assert [cell.stars for cell in starred.rows[0].cells] == ["**", "**", "", "**"]
    assert "0.6$^{**}$" in tables.to_latex(starred)
    assert "0.6<sup>**</sup>" in str(tables.to_html(starred).html)
    assert ",0.6,0.0,-1.2,1.0\n" in tables.to_csv(starred)


def test_estimates_are_chosen_by_name_in_the_order_given_and_unknown_ones_refused_together():
    table = tables.regression_table(made_evidence(), specifications=["population", "imputation"], decimals=3)
    assert [column.title for column in table.columns] == ["(1) By people", "(2) Imputation"]
    assert grid(table)["Difference, percentage points"] == ["1.010", "0.620"]
    with pytest.raises(InputError) as caught:
        tables.regression_table(made_evidence(), specifications=["luck", "fate"], layout="circle")
    for part in ("3 faults", "'luck'", "'fate'", "matched_difference", "columns or rows"):
        assert part in str(caught.value)


def test_notes_say_what_errors_and_corrections_are_and_which_way_failed():
    notes = " ".join(tables.regression_table(made_evidence()).notes)
    for part in (
        "Against never could not be estimated: nobody is left",
        "By lot (9,999 draws) p = 0.230",
        "6 questions of the family “residents' lives”: p = 0.400",
        "Imputation warns: few & far",
        "plan aaaaaaaaaaaaaaaa",
    ):
        assert part in notes
    assert "have not been corrected" in " ".join(tables.regression_table(made_evidence(adjusted={})).notes)


def test_balance_counts_what_is_beyond_the_limit_and_leaves_undefined_figures_open():
    table = tables.balance_table(made_evidence())
    assert grid(table) == {
        "Population (log)": ["1.20", "−0.30", "2.29", "1.05"],
        "=Share_of %": ["–", "0.10", "–", "1.00"],
    }
    assert "1 of 2 differences exceeds the plan's limit of 0.25" in table.notes[1]


def test_cohorts_add_up_to_the_exposed():
    table = tables.cohort_table(made_evidence())
    assert [row.cells[0].value for row in table.rows] == [2, 1, 3]
    assert grid(table)["2018"][1] == "Boston, MA; =cmd()"
    assert "3 of 1,481 cities are exposed" in table.notes[0]


def test_a_table_without_anything_to_show_says_so_in_a_note():
    bare = made_evidence(balance=(), cohorts=(), headline=Named(name="imputation", title="Imputation", estimate=None,
                         failed="no figures"), alternatives=(), judged={}, adjusted={})  # fmt: skip
    for table in every_table(bare):
        assert not table.rows
        assert any("No " in note or "could not be" in note for note in table.notes)
        read_latex(tables.to_latex(table))
        Page(str(tables.to_html(table).html))
        assert len(tables.to_csv(table).splitlines()) == 1 + len(table.notes)
        assert tables.to_frame(table).empty


def test_latex_is_well_formed_with_every_line_of_one_width():
    for table in (*every_table(made_evidence()), hostile_table()):
        widths = read_latex(tables.to_latex(table))
        assert set(widths) == {1 + len(table.columns)}
        assert len(widths) == len(table.rows) + 1 + any(column.span for column in table.columns)


def test_latex_shows_a_true_minus_and_an_en_dash():
    text = tables.to_latex(tables.regression_table(made_evidence()))
    assert "& 0.6 & 0.0 & $-$1.2 & 1.0" in text
    assert "& (0.4) & (0.7) & -- & (0.3)" in text


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        (r"\input{x}", r"\textbackslash{}input\{x\}"),
        ("a_b & 5 %", r"a\_b \& 5 \%"),
        ("[2cm]", "{[}2cm{]}"),
        ("---", "{-}{-}{-}"),
        ("Winston-Salem", "Winston-Salem"),
        ("Cañon City", "Cañon City"),
        ("Can\u0303on", "Cañon"),
        ("東", r"\texttt{U+6771}"),
        ("a\n\\\\\nb", r"a \textbackslash{}\textbackslash{} b"),
    ],
)
def test_no_sign_of_a_name_is_a_command_of_latex(text, wanted):
    table = tables.JournalTable(name="t", title="T", stub=text, columns=(), rows=())
    assert f"\\toprule\n{wanted} \\\\\n" in tables.to_latex(table)


def test_html_has_only_lines_above_and_below_and_no_classes():
    for table in (*every_table(made_evidence()), hostile_table()):
        text = str(tables.to_html(table).html)
        assert text.isascii()
        page = Page(text)
        assert {name for name, _ in page.attributes} <= {"style", "scope", "colspan"}
        assert set(page.tags) <= {"table", "caption", "thead", "tbody", "tfoot", "tr", "th", "td", "br", "sup"}
        assert set(page.widths) == {1 + len(table.columns)}
        styles = [value for name, value in page.attributes if name == "style" and "border-top" in value]
        assert styles
        for style in styles:
            assert "border-left:none;border-right:none" in style
    (spanning, heads, first, *_) = Page(str(tables.to_html(tables.regression_table(made_evidence())).html)).lines
    assert spanning[1:] == ["Heads the page", "The same question, asked otherwise"]
    assert heads[1] == "(1) Imputation"
    assert first == ["Difference, percentage points", "0.6", "0.0", "−1.2", "1.0"]


def test_hostile_names_are_text_in_html():
    page = Page(str(tables.to_html(hostile_table()).html))
    assert "script" not in page.tags
    assert page.lines[2][2] == "<script>alert(1)</script>"


def test_csv_holds_bare_numbers_and_never_a_formula():
    for table in (*every_table(made_evidence()), hostile_table()):
        rows = list(csv.reader(io.StringIO(tables.to_csv(table))))
        assert {len(row) for row in rows} == {1 + len(table.columns)}
        for cell in (cell for row in rows for cell in row):
            assert not cell.startswith(("=", "+", "@", "\t", "\r"))
            assert not cell.startswith("-") or float(cell) < 0
    rows = {row[0]: row[1:] for row in csv.reader(io.StringIO(tables.to_csv(tables.regression_table(made_evidence()))))}
    assert rows["Difference, percentage points"] == ["0.6", "0.0", "-1.2", "1.0"]
    # in parentheses a spreadsheet would take them for negative
    assert rows["(standard error)"] == ["0.4", "0.7", "", "0.3"]
    assert rows["[95 % interval]"][0] == "[-0.2, 1.4]"
    assert rows["Units"][0] == "1481"
    assert any(label.startswith("'=Share_of") for label in csv_labels(tables.balance_table(made_evidence())))


def csv_labels(table: tables.JournalTable) -> list[str]:
    return [row[0] for row in csv.reader(io.StringIO(tables.to_csv(table)))]


def test_a_row_with_too_few_cells_is_refused():
    with pytest.raises(InputError, match=r"'x' has 0 cells for 1 columns"):
        tables.JournalTable(
            name="t", title="T", stub="", columns=(tables.Column(title="a"),), rows=(tables.Row(label="x", cells=()),)
        )


def test_a_table_is_plain_json_and_a_frame_keeps_figures_unrounded():
    table = tables.balance_table(made_evidence())
    assert json.loads(json.dumps(table.as_dict(), allow_nan=False))["rows"][1]["cells"][0]["value"] is None
    frame = tables.to_frame(table)
    assert frame.loc["Population (log)", "Standardised difference: After"] == -0.3
    assert frame.index.name == "Characteristic"


def test_tables_of_real_evidence_are_well_formed(answered):
    for evidence in answered[1].values():
        before = json.dumps(evidence.as_dict())
        for table in every_table(evidence):
            assert table.rows
            assert set(read_latex(tables.to_latex(table))) == {1 + len(table.columns)}
            assert "nan" not in tables.to_csv(table).lower().split(",")
            assert "None" not in str(tables.to_html(table).html)
        assert len(tables.regression_table(evidence).columns) == 1 + sum(
            item.estimate is not None for item in evidence.alternatives
        )
        assert json.dumps(evidence.as_dict()) == before
