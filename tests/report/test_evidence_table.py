import csv
import io

from tests.report.example_evidence import example_evidence
from wwc_research.report.csv_text import text_cell
from wwc_research.report.evidence_table import FIELDS, evidence_csv


def test_every_estimate_has_a_row_and_the_headline_alone_is_judged():
    evidence = example_evidence("improvement")
    rows = list(csv.DictReader(io.StringIO(evidence_csv([evidence]))))
    assert len(rows) == 1 + len(evidence.alternatives)
    assert tuple(rows[0]) == FIELDS
    (head,) = (row for row in rows if row["is_headline"] == "True")
    assert head["verdict"] == "improvement"
    assert float(head["judged_p_value"]) == evidence.judged["p_value"]
    assert not any(row["verdict"] or row["judged_p_value"] for row in rows if row is not head)


def test_text_in_evidence_csv_is_no_formula():
    assert text_cell("=HYPERLINK(1)") == "'=HYPERLINK(1)"
    assert text_cell("ATT") == "ATT"
