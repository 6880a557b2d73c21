"""Tables as journals print them: regression, balance and cohort tables, to LaTeX, to HTML for Word, and to CSV.

In: evidence. Out: a `JournalTable`, which holds each figure once; the writers give it the marks of their format.
"""

from __future__ import annotations

import csv
import dataclasses
import io
import re
import unicodedata
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Any, Final, Literal, get_args

import pandas as pd
from markupsafe import Markup

from wwc_research import catalog
from wwc_research.catalog import Outcome
from wwc_research.errors import Faults, listed
from wwc_research.evidence.evidence import Evidence, Named
from wwc_research.messages import Message, counted, message
from wwc_research.report import wording
from wwc_research.report.csv_text import text_cell
from wwc_research.report.html import Block
from wwc_research.report.language import shown

Align = Literal["left", "center", "right"]
Layout = Literal["columns", "rows"]
UNDEFINED: Final = "–"


@dataclass(frozen=True, slots=True, kw_only=True)
class Cell:
    """One figure or text: `shown` as text or message, an en dash where it is undefined; `plain` in ASCII digits for a
    spreadsheet, without parentheses (which would read as a minus sign there) and empty where undefined; `value` the
    figure itself in the unit of the page; `stars` set behind it.
    """

    shown: str = ""
    plain: str = ""
    value: float | str | None = None
    stars: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Column:
    """A column's heading; neighbours of the same `span` share it above them. `width` in cm lets long text wrap."""

    title: str
    span: str = ""
    align: Align = "right"
    width: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """A label and one cell a column; `rule` draws a thin line above."""

    label: str
    cells: tuple[Cell, ...]
    rule: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class JournalTable:
    """A table with its title, headings, rows and notes; `name` is what a file of it is called, `stub` heads the labels.

    Raises
    ------
    InputError
        Where a row has not one cell a column.
    """

    name: str
    title: str
    stub: str
    columns: tuple[Column, ...]
    rows: tuple[Row, ...]
    notes: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        faults = Faults(f"table {self.name!r}")
        for row in self.rows:
            if len(row.cells) != len(self.columns):
                faults.add(f"row {row.label!r} has {len(row.cells)} cells for {len(self.columns)} columns.")
        faults.raise_if_any()

    def as_dict(self) -> dict[str, Any]:
        """Plain values for JSON; undefined figures are None."""
        return dataclasses.asdict(self)


def _number(value: float | None, *, decimals: int) -> Cell:
    text = wording.number(value, decimals=decimals)
    return Cell(shown=text, plain=_ascii(text), value=None if text == UNDEFINED else value)


def _ascii(text: str) -> str:
    return "" if text == UNDEFINED else str(text).replace(",", "")


def _in_parentheses(cell: Cell) -> Cell:
    return cell if cell.value is None else dataclasses.replace(cell, shown=message("({value})", value=cell.shown))


def _interval(low: float | None, high: float | None, *, decimals: int) -> Cell:
    ends = [_number(end, decimals=decimals) for end in (low, high)]
    if any(end.value is None for end in ends):
        return Cell(shown=UNDEFINED)
    plain = f"[{ends[0].plain}, {ends[1].plain}]"
    return Cell(shown=message("[{low}, {high}]", low=ends[0].shown, high=ends[1].shown), plain=plain, value=plain)


def _p(value: float | None) -> Cell:
    text = wording.p_value(value)
    return Cell(shown=text, plain=_ascii(text), value=None if text == UNDEFINED else value)


def _count(value: int | None) -> Cell:
    return _number(value, decimals=0)


def _text(text: str) -> Cell:
    return Cell(shown=text, plain=text, value=text)


_EMPTY: Final = Cell()
_ESTIMATORS: Final = {
    "imputation": message("imputation"),
    "callaway_santanna": message("Callaway and Sant'Anna"),
    "two_way_fe": message("two-way fixed effects"),
    "event_study": message("two-way event study"),
    "matched_difference": message("difference of matched pairs"),
    "panel_matching": message("matched on the years before"),
    "synthetic_did": message("synthetic difference-in-differences"),
    "random_trends": message("unit trends"),
    "dose_response": message("two-way, by dose"),
}
_COMPARISONS: Final = {"not_yet": message("not yet or never"), "never": message("never")}
_ERRORS: Final = {
    "bjs": message("imputation's own"),
    "bjs_leave_out": message("leave-out"),
    "analytic": message("influence functions"),
    "cluster": message("clustered"),
    "matched_set": message("by matched set"),
    "matched_set_and_cluster": message("by matched set and cluster"),
    "placebo": message("placebo exposures"),
}
_BY_COUNTY: Final = {
    "bjs": message("imputation's own, by county"),
    "bjs_leave_out": message("leave-out, by county"),
    "analytic": message("influence functions, by county"),
    "cluster": message("by county"),
}
# which weights a way of asking has is said by its name, and by the estimator where that makes the weights itself
_WEIGHTS: Final = {
    "population": message("population"),
    "precision": message("survey precision"),
    "matched_difference": message("matched pairs"),
    "panel_matching": message("matched sets"),
    "synthetic_did": message("synthetic"),
}
_STARS: Final = ((0.01, "***"), (0.05, "**"), (0.1, "*"))


def regression_table(
    evidence: Evidence,
    *,
    specifications: Sequence[str] | None = None,
    layout: Layout = "columns",
    stars: bool = False,
    decimals: int | None = None,
) -> JournalTable:
    """The headline and the other ways of asking side by side, each with its error, interval, p-value and counts.

    Estimates are in the unit of the page. Beside the headline stands what the verdict rests on: the judged interval and
    p-value, and the p-value corrected over the family. Ways that could not be gone are named in the notes.

    Parameters
    ----------
    specifications
        Names (`Named.name`) of the estimates to show, in this order; all of them where None.
    layout
        A specification a column, as journals have it, or a specification a row, for many of them.
    stars
        Also mark p below 10, 5 and 1 %, each by its own p-value, corrected for nothing.
    decimals
        Of effects; those of the outcome's page where None.

    Raises
    ------
    InputError
        For names that the evidence does not have, or an unknown layout.
    """
    chosen = _chosen(evidence, specifications, layout=layout)
    outcome = catalog.outcome(evidence.outcome)
    places = outcome.decimals if decimals is None else decimals
    available = [item for item in chosen if item.estimate is not None]
    figures = [
        _figures(item, evidence=evidence, outcome=outcome, places=places, stars=stars, rows=layout == "rows")
        for item in available
    ]
    heads = [
        message("({number}) {title}", number=number, title=item.title) for number, item in enumerate(available, start=1)
    ]
    is_headline = [item.name == evidence.headline.name for item in available]
    if layout == "columns":
        columns, rows = _specifications_across(figures, heads, is_headline, outcome=outcome)
    else:
        columns, rows = _specifications_down(figures, heads, outcome=outcome)
    return JournalTable(
        name=f"regression-{evidence.treatment}-{evidence.outcome}",
        title=message(
            "{outcome} and {treatment}", outcome=outcome.title, treatment=catalog.treatment(evidence.treatment).title
        ),
        stub="" if layout == "columns" else message("Specification"),
        columns=columns,
        rows=rows,
        notes=tuple(_regression_notes(evidence, chosen, outcome=outcome, stars=stars)),
    )


def _chosen(evidence: Evidence, names: Sequence[str] | None, *, layout: str) -> list[Named]:
    known = {item.name: item for item in (evidence.headline, *evidence.alternatives)}
    faults = Faults("regression table")
    if layout not in get_args(Layout):
        faults.add(f"layout {layout!r} is unknown; use {' or '.join(get_args(Layout))}.")
    for name in names or ():
        if name not in known:
            faults.add(f"there is no estimate {name!r}; the evidence has {listed(known, limit=40)}.")
    faults.raise_if_any()
    return [known[name] for name in dict.fromkeys(known if names is None else names)]


def _figures(
    item: Named, *, evidence: Evidence, outcome: Outcome, places: int, stars: bool, rows: bool
) -> dict[str, Cell]:
    """The cells of one specification by the name of the figure; those of the judged inference for the headline only."""
    values: Mapping[str, Any] = item.estimate or {}
    settings = values["settings"]

    def spread(found: Mapping[str, Any]) -> dict[str, Cell]:
        scaled = {
            key: None if found.get(key) is None else found[key] * outcome.scale
            for key in ("std_error", "ci_low", "ci_high")
        }
        return {
            "std_error": _in_parentheses(_number(scaled["std_error"], decimals=places)),
            "interval": _interval(scaled["ci_low"], scaled["ci_high"], decimals=places),
            "p_value": _p(found.get("p_value")),
        }

    p_value = values["p_value"]
    marks = next((mark for limit, mark in _STARS if p_value is not None and p_value < limit), "")
    estimate = None if values["estimate"] is None else values["estimate"] * outcome.scale
    cells = {
        "estimate": dataclasses.replace(_number(estimate, decimals=places), stars=marks if stars else ""),
        **spread(values),
        **{name: _count(values[name]) for name in ("n_units", "n_treated", "n_clusters", "n_obs")},
        "estimator": _text(_ESTIMATORS.get(values["estimator"], values["estimator"].replace("_", " "))),
        "comparison": _text(_compared(settings)),
        "weights": _text(_WEIGHTS.get(item.name, message("none"))),
        "errors": _text(_errors(settings)),
    }
    if item.name == evidence.headline.name and evidence.judged:
        cells |= {f"judged_{name}": cell for name, cell in spread(evidence.judged).items()}
        cells["judged_estimate"] = dataclasses.replace(cells["estimate"], stars="")
        if evidence.adjusted or rows:
            cells["family_p_value"] = _p(evidence.family_p_value)
    return cells


def _compared(settings: Mapping[str, Any]) -> str:
    kind = settings.get("comparison")
    return message("matched") if kind is None else _COMPARISONS.get(kind, str(kind).replace("_", " "))


def _errors(settings: Mapping[str, Any]) -> str:
    kind = str(settings.get("std_errors", "cluster"))
    known = {**_ERRORS, **(_BY_COUNTY if settings.get("cluster") == "county" else {})}
    return known.get(kind, kind.replace("_", " "))


def _specifications_across(
    figures: Sequence[Mapping[str, Cell]], heads: Sequence[str], is_headline: Sequence[bool], *, outcome: Outcome
) -> tuple[tuple[Column, ...], tuple[Row, ...]]:
    first_span, other_span = message("Heads the page"), message("The same question, asked otherwise")
    spans = [first_span if first else other_span for first in is_headline]
    columns = [
        Column(title=head, span=span, align="center", width=2.4) for head, span in zip(heads, spans, strict=True)
    ]
    blocks: tuple[dict[str, str], ...] = (
        {
            "estimate": message("Difference, {unit}", unit=wording.axis_unit(outcome)),
            "std_error": message("(standard error)"),
            "interval": message("[95 % interval]"),
            "p_value": message("p"),
        },
        {
            "judged_std_error": message("(standard error, as judged)"),
            "judged_interval": message("[95 % interval, as judged]"),
            "judged_p_value": message("p, as judged"),
            "family_p_value": message("p, corrected over the family"),
        },
        {
            "n_units": message("Units"),
            "n_treated": message("Exposed units"),
            "n_clusters": message("Clusters"),
            "n_obs": message("Rows"),
        },
        {
            "estimator": message("Estimator"),
            "comparison": message("Comparison"),
            "weights": message("Weights"),
            "errors": message("Standard errors"),
        },
    )
    rows = []
    for number, block in enumerate(blocks):
        kept = [key for key in block if any(key in cells for cells in figures)]
        for position, key in enumerate(kept):
            cells = tuple(found.get(key, _EMPTY) for found in figures)
            rows.append(Row(label=block[key], cells=cells, rule=number > 0 and position == 0))
    return tuple(columns), tuple(rows)


def _specifications_down(
    figures: Sequence[Mapping[str, Cell]], heads: Sequence[str], *, outcome: Outcome
) -> tuple[tuple[Column, ...], tuple[Row, ...]]:
    effect = message("Difference, {unit}", unit=wording.axis_unit(outcome))
    number_of, design = message("Number of"), message("Design")
    columns = {
        "estimate": Column(title=message("Estimate"), span=effect),
        "std_error": Column(title=message("(Std. error)"), span=effect),
        "interval": Column(title=message("[95 % interval]"), span=effect),
        "p_value": Column(title=message("p")),
        "family_p_value": Column(title=message("p, corrected")),
        "n_units": Column(title=message("Units"), span=number_of),
        "n_treated": Column(title=message("Exposed"), span=number_of),
        "n_clusters": Column(title=message("Clusters"), span=number_of),
        "estimator": Column(title=message("Estimator"), span=design, align="left", width=2.6),
        "comparison": Column(title=message("Comparison"), span=design, align="left", width=2.0),
        "weights": Column(title=message("Weights"), span=design, align="left", width=2.0),
        "errors": Column(title=message("Std. errors"), span=design, align="left", width=2.6),
    }
    rows = []
    for number, (head, cells) in enumerate(zip(heads, figures, strict=True), start=1):
        alone = {key: cell for key, cell in cells.items() if key != "family_p_value"}
        rows.append(Row(label=head, cells=tuple(alone.get(key, _EMPTY) for key in columns)))
        if "judged_p_value" in cells:
            judged = {key: cells.get(f"judged_{key}", _EMPTY) for key in columns}
            judged["family_p_value"] = cells["family_p_value"]
            rows.append(Row(label=message("({number}) as judged", number=number), cells=tuple(judged.values())))
    return tuple(columns.values()), tuple(rows)


def _regression_notes(evidence: Evidence, chosen: Sequence[Named], *, outcome: Outcome, stars: bool) -> Iterable[str]:
    treatment = catalog.treatment(evidence.treatment)
    yield message(
        "Effects of {treatment} on {outcome}, in {unit}.",
        treatment=treatment.noun,
        outcome=outcome.noun,
        unit=wording.axis_unit(outcome),
    )
    yield message("Higher is better.") if outcome.direction == "higher" else message("Lower is better.")
    yield message("Units are {units}.", units=wording.units(evidence))
    yield message(
        "Standard errors stand in parentheses and 95 % intervals in brackets, each by the errors named in the table; "
        "p-values of single estimates are not corrected for their number."
    )
    if evidence.judged and any(item.name == evidence.headline.name for item in chosen):
        yield message("As judged: {how}", how=wording.how_judged(evidence))
        adjusted = evidence.adjusted
        if adjusted:
            yield message(
                "Corrected over the {n_hypotheses} questions of the family “{family}”: p = {p}, on which the verdict "
                "rests (Holm {holm}, q {q}).",
                n_hypotheses=adjusted["n_hypotheses"],
                family=wording.family(evidence),
                p=wording.p_value(adjusted["family"]),
                holm=wording.p_value(adjusted["holm"]),
                q=wording.p_value(adjusted["benjamini_hochberg"]),
            )
        else:
            yield message("The p-values have not been corrected for the number of questions.")
    for item in chosen:
        if item.estimate is None:
            yield message("{title} could not be estimated: {reason}", title=item.title, reason=item.failed)
    for warning in (evidence.headline.estimate or {}).get("settings", {}).get("warnings", ()):
        yield message("{title} warns: {warning}", title=evidence.headline.title, warning=warning)
    if stars:
        yield message(
            "* p < {loose:g}, ** p < {usual:g}, *** p < {strict:g}, each by its own p-value.",
            loose=_STARS[2][0],
            usual=_STARS[1][0],
            strict=_STARS[0][0],
        )
    yield _source(evidence)


def _source(evidence: Evidence) -> Message:
    found = evidence.provenance
    return message(
        "Source: wwc-research {version}, plan {plan}, data {data}.",
        version=str(found["version"]),
        plan=str(found["plan_sha256"])[:16],
        data=str(found["data_sha256"])[:16],
    )


def balance_table(evidence: Evidence) -> JournalTable:
    """How alike exposed and matched comparison units are in each characteristic, before and after matching.

    Standardised differences are in standard deviations of the exposed; variance ratios are exposed over comparison.
    Without a matched comparison the table has no rows, and its note says so.
    """
    difference, ratio = message("Standardised difference"), message("Variance ratio")
    columns = {
        "smd_before": Column(title=message("Before"), span=difference),
        "smd_after": Column(title=message("After"), span=difference),
        "variance_ratio_before": Column(title=message("Before"), span=ratio),
        "variance_ratio_after": Column(title=message("After"), span=ratio),
    }
    rows = [
        Row(label=row["title"], cells=tuple(_number(row[key], decimals=2) for key in columns))
        for row in evidence.balance
    ]
    notes = [message("No matched comparison could be made.")]
    if rows:
        limit = evidence.rules["balance_limit"]
        sizes = [abs(row["smd_after"]) for row in evidence.balance if row["smd_after"] is not None]
        beyond = sum(size > limit for size in sizes)
        notes = [
            message(
                "Differences between exposed and comparison units in standard deviations of the exposed, and their "
                "variances over those of the comparison, before and after matching."
            ),
            counted(
                "After matching {n} of {n_all} differences exceeds the plan's limit of {limit:g}.",
                "After matching {n} of {n_all} differences exceed the plan's limit of {limit:g}.",
                n=beyond,
                n_all=len(sizes),
                limit=limit,
            ),
        ]
    return JournalTable(
        name=f"balance-{evidence.treatment}-{evidence.outcome}",
        title=message("Balance of the matched comparison: {outcome}", outcome=catalog.outcome(evidence.outcome).title),
        stub=message("Characteristic"),
        columns=tuple(columns.values()),
        rows=tuple(rows),
        notes=(*notes, _source(evidence)),
    )


def cohort_table(evidence: Evidence) -> JournalTable:
    """When the exposed units were first exposed, how many and which they are, with their total."""
    treatment = catalog.treatment(evidence.treatment)
    rows = [
        Row(label=str(row["cohort"]), cells=(_count(row["n_units"]), _text("; ".join(row["labels"]))))
        for row in evidence.cohorts
    ]
    total = sum(row["n_units"] for row in evidence.cohorts)
    everyone = (evidence.headline.estimate or {}).get("n_units")
    named = {"n": total, "units": wording.units(evidence)}
    told = counted("{n:,} of the {units} is exposed.", "{n:,} of the {units} are exposed.", **named)
    if everyone is not None:
        told = counted(
            "{n:,} of {n_all:,} {units} is exposed.", "{n:,} of {n_all:,} {units} are exposed.", n_all=everyone, **named
        )
    notes = [told, message("{description}", description=treatment.description)]
    if rows:
        rows.append(Row(label=message("All"), cells=(_count(total), _EMPTY), rule=True))
    else:
        notes = [message("No unit is exposed in the sample.")]
    return JournalTable(
        name=f"cohorts-{evidence.treatment}-{evidence.outcome}",
        title=message(
            "Cohorts in the sample: {treatment}, {outcome}",
            treatment=treatment.title,
            outcome=catalog.outcome(evidence.outcome).title,
        ),
        stub=message("First exposed"),
        columns=(Column(title=message("Units")), Column(title=message("Which"), align="left", width=10.0)),
        rows=tuple(rows),
        notes=(*notes, _source(evidence)),
    )


def _one_line(text: str) -> str:
    """The text in the language spoken, on one line, without signs that no format can hold (control, half ones)."""
    kept = "".join(sign for sign in " ".join(shown(text).split()) if unicodedata.category(sign) not in ("Cc", "Cs"))
    return kept.strip()


def _spans(table: JournalTable) -> list[tuple[str, int]]:
    """Spanning headings from left to right, each with the number of its columns; empty where none spans."""
    runs = groupby(table.columns, key=lambda column: column.span)
    return [(span, sum(1 for _ in columns)) for span, columns in runs]


_LATEX: Final = {
    "\\": r"\textbackslash{}",
    "{": r"\{",
    "}": r"\}",
    "$": r"\$",
    "&": r"\&",
    "#": r"\#",
    "%": r"\%",
    "_": r"\_",
    "^": r"\textasciicircum{}",
    "~": r"\textasciitilde{}",
    "<": r"\textless{}",
    ">": r"\textgreater{}",
    "|": r"\textbar{}",
    "`": r"\textasciigrave{}",
    '"': "''",
    "[": "{[}",  # after a line's end a bracket or star would be read as an option of it
    "]": "{]}",
    "*": "{*}",
    "-": "{-}",  # two in a row would become a dash
    "\N{MINUS SIGN}": "$-$",
    "–": "--",
    "—": "---",
    "‘": "`",
    "’": "'",
    "“": "``",
    "”": "''",
    "…": r"\dots{}",
    "×": r"$\times$",
    "±": r"$\pm$",
    "≤": r"$\leq$",
    "≥": r"$\geq$",
    "→": r"$\to$",
    "·": r"$\cdot$",
    "°": r"$^{\circ}$",
}
# letters that LaTeX's T1 encoding has; the rest of these blocks stops a run of pdflatex
_LETTERS: Final = frozenset(map(chr, range(0xC0, 0x180))) - frozenset("×÷ĦħĸĿŀŉŦŧſ")


_LONG_LABEL, _LABEL_WIDTH = 45, 6.0


def _latex_sign(sign: str) -> str:
    if sign in _LATEX:
        return _LATEX[sign]
    return sign if sign.isascii() or sign in _LETTERS else rf"\texttt{{U+{ord(sign):04X}}}"


def _latex(text: str) -> str:
    """The text as LaTeX prints it in the language spoken, whatever signs are in it."""
    escaped = "".join(map(_latex_sign, _one_line(unicodedata.normalize("NFC", shown(text)))))
    return re.sub(r"(?<=\w)\{-\}(?=\w)", "-", escaped)  # a single hyphen within a word needs no guard


def to_latex(table: JournalTable) -> str:
    """The table as a LaTeX float in booktabs' style, notes below; the first line names the packages it needs.

    Text is escaped, so that no name can be a command; a letter that LaTeX's T1 fonts lack stands as its number.
    """
    letters = {"left": "l", "center": "c", "right": "r"}
    longest = max((len(shown(row.label)) for row in table.rows), default=0)
    layout = "l" if longest <= _LONG_LABEL else f"p{{{_LABEL_WIDTH:g}cm}}"
    for column in table.columns:
        wraps = column.width is not None and column.align == "left"
        layout += f"p{{{column.width:g}cm}}" if wraps else letters[column.align]
    label = re.sub(r"[^a-z0-9]+", "-", table.name.lower()).strip("-")
    heads = [_latex(table.stub), *map(_latex_head, table.columns)]
    lines = [
        r"% needs \usepackage[T1]{fontenc} and \usepackage{booktabs,threeparttable}",
        r"\begin{table}[htbp]",
        r"\centering\small",
        r"\begin{threeparttable}",
        rf"\caption{{{_latex(table.title)}}}",
        rf"\label{{tab:{label}}}",
        rf"\begin{{tabular}}{{{layout}}}",
        r"\toprule",
        *_latex_spans(table),
        " & ".join(heads) + r" \\",
        r"\midrule",
    ]
    for row in table.rows:
        lines += [r"\midrule"] if row.rule else []
        cells = [_latex_cell(cell, column) for cell, column in zip(row.cells, table.columns, strict=True)]
        lines.append(" & ".join([_latex(row.label), *cells]) + r" \\")
    lines += [r"\bottomrule", r"\end{tabular}"]
    if table.notes:
        notes = [rf"\item {_latex(note)}" for note in table.notes]
        lines += [r"\begin{tablenotes}[flushleft]", r"\footnotesize", *notes, r"\end{tablenotes}"]
    return "\n".join([*lines, r"\end{threeparttable}", r"\end{table}", ""])


def _latex_head(column: Column) -> str:
    return _wrapped(_latex(column.title), column, at="b")


def _latex_cell(cell: Cell, column: Column) -> str:
    text = _latex(cell.shown) + (f"$^{{{cell.stars}}}$" if cell.stars else "")
    return _wrapped(text, column, at="t") if isinstance(cell.value, str) and " " in text else text


def _wrapped(text: str, column: Column, *, at: str) -> str:
    """The text in a box of the column's width, where the column itself does not wrap."""
    if column.width is None or column.align == "left":
        return text
    return rf"\parbox[{at}]{{{column.width:g}cm}}{{\centering {text}}}"


def _latex_spans(table: JournalTable) -> list[str]:
    if not any(column.span for column in table.columns):
        return []
    heads, rules, first = [""], [], 2
    for span, size in _spans(table):
        heads.append(rf"\multicolumn{{{size}}}{{c}}{{{_latex(span)}}}" if span else " & " * (size - 1))
        rules += [rf"\cmidrule(lr){{{first}-{first + size - 1}}}"] if span else []
        first += size
    return [" & ".join(heads) + r" \\", " ".join(rules)]


_THICK, _THIN = "1.5pt solid black", "0.75pt solid black"


def to_html(table: JournalTable) -> Block:
    """The table with its styles in every cell, as Word keeps them when it is pasted: lines above and below only.

    Everything outside ASCII is written as a character reference, so that the text survives any encoding of the file.
    """
    width = 1 + len(table.columns)
    caption = Markup('<caption style="text-align:left;font-weight:bold;padding:0 0 4pt 0">{}</caption>').format(
        _one_line(table.title)
    )
    body = [_html_row(row, table, is_last=row is table.rows[-1]) for row in table.rows]
    notes = Markup("<br>").join(_one_line(note) for note in table.notes)
    foot = Markup("")
    if table.notes:
        style = "padding:4pt 0 0 0;font-size:9pt;text-align:left;border:none"
        foot = Markup('<tfoot><tr><td colspan="{}" style="{}">{}</td></tr></tfoot>').format(width, style, notes)
    whole = Markup(
        '<table style="border-collapse:collapse;font-family:serif;font-size:10pt">{}<thead>{}</thead>'
        "<tbody>{}</tbody>{}</table>"
    ).format(caption, _html_head(table), Markup("").join(body), foot)
    # markupsafe has escaped every value by now: references for what is not ASCII add no mark-up
    return Block(Markup(str(whole).encode("ascii", "xmlcharrefreplace").decode("ascii")))


def _style(column: Column | None, *, above: str = "none", below: str = "none", at: str = "bottom") -> str:
    align = column.align if column else "left"
    edges = f"border-top:{above};border-bottom:{below};border-left:none;border-right:none"
    return f"{edges};padding:2pt 6pt;text-align:{align};vertical-align:{at}"


def _html_head(table: JournalTable) -> Markup:
    spanning = any(column.span for column in table.columns)
    lines = []
    if spanning:
        cells = [Markup('<td style="{}"></td>').format(_style(None, above=_THICK))]
        middle = Column(title="", align="center")
        for span, size in _spans(table):
            style = _style(middle, above=_THICK, below=_THIN if span else "none")
            mark = (
                '<th scope="colgroup" colspan="{}" style="{}">{}</th>'
                if span
                else '<td colspan="{}" style="{}">{}</td>'
            )
            cells.append(Markup(mark).format(size, style, _one_line(span)))
        lines.append(Markup("<tr>{}</tr>").format(Markup("").join(cells)))
    above = "none" if spanning else _THICK
    mark = '<th scope="col" style="{}">{}</th>' if table.stub else '<td style="{}">{}</td>'
    cells = [Markup(mark).format(_style(None, above=above, below=_THIN), _one_line(table.stub))]
    cells += [
        Markup('<th scope="col" style="{}">{}</th>').format(
            _style(column, above=above, below=_THIN), _one_line(column.title)
        )
        for column in table.columns
    ]
    lines.append(Markup("<tr>{}</tr>").format(Markup("").join(cells)))
    return Markup("").join(lines)


def _html_row(row: Row, table: JournalTable, *, is_last: bool) -> Markup:
    above, below = (_THIN if row.rule else "none"), (_THICK if is_last else "none")
    label = Markup('<th scope="row" style="{};font-weight:normal">{}</th>').format(
        _style(None, above=above, below=below, at="top"), _one_line(row.label)
    )
    cells = [
        Markup('<td style="{}">{}{}</td>').format(
            _style(column, above=above, below=below, at="top") + _unbroken(cell),
            _one_line(cell.shown),
            Markup("<sup>{}</sup>").format(cell.stars) if cell.stars else "",
        )
        for column, cell in zip(table.columns, row.cells, strict=True)
    ]
    return Markup("<tr>{}{}</tr>").format(label, Markup("").join(cells))


def _unbroken(cell: Cell) -> str:
    """An interval or a figure stays on its line; text may wrap."""
    return ";white-space:nowrap" if cell.shown.startswith("[") or not isinstance(cell.value, str) else ""


def to_csv(table: JournalTable) -> str:
    """The table as CSV text: figures as bare numbers in ASCII, undefined ones empty, text never a formula.

    Headings, labels and notes are in the language spoken. The notes follow the rows, each in the first cell of a row of
    its own, so that what a figure is stays with it.
    """

    def safe(text: str) -> str:
        return text_cell(_one_line(text))

    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator="\n")
    writer.writerow([safe(table.stub), *map(safe, _flat_heads(table))])
    for row in table.rows:
        cells = [cell.plain if isinstance(cell.value, int | float) else safe(cell.plain) for cell in row.cells]
        writer.writerow([safe(row.label), *cells])
    blank = [""] * len(table.columns)
    writer.writerows([safe(note), *blank] for note in table.notes)
    return buffer.getvalue()


def _flat_heads(table: JournalTable) -> list[str]:
    return [
        message("{span}: {title}", span=column.span, title=column.title) if column.span else column.title
        for column in table.columns
    ]


def to_frame(table: JournalTable) -> pd.DataFrame:
    """The table as a frame: labels as the index, figures unrounded in the unit of the page, undefined ones None.

    Columns are of type object where a table stands upright, since one then holds figures and text.
    """
    rows = [[cell.value for cell in row.cells] for row in table.rows]
    index = pd.Index([row.label for row in table.rows], name=table.stub or None, dtype=object)
    return pd.DataFrame(rows, index=index, columns=_flat_heads(table), dtype=object)


__all__ = [
    "Cell",
    "Column",
    "JournalTable",
    "Row",
    "balance_table",
    "cohort_table",
    "regression_table",
    "to_csv",
    "to_frame",
    "to_html",
    "to_latex",
]
