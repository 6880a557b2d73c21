import csv
import dataclasses
import hashlib
import io
import json
from pathlib import Path

import pytest

from wwc_research.errors import InputError
from wwc_research.report.evidence_table import FIELDS, evidence_csv
from wwc_research.report.run_diff import difference

HEAD = {
    "outcome": "broadband", "treatment": "certification", "family": "residents", "name": "imputation",
    "is_headline": True, "estimator": "imputation", "estimand": "effect", "estimate": 0.006, "std_error": 0.004,
    "ci_low": -0.002, "ci_high": 0.014, "p_value": 0.13, "q_value": 0.4, "minimum_detectable_effect": 0.01,
    "n_obs": 2856, "n_units": 481, "n_treated": 48, "n_clusters": 269, "judged_std_error": 0.005,
    "judged_ci_low": -0.004, "judged_ci_high": 0.016, "judged_p_value": 0.23, "lot_p_value": 0.23,
    "holm_p_value": 0.46, "romano_wolf_p_value": 0.4, "family_p_value": 0.4, "verdict": "cannot_tell",
    "grade": "none", "failed": "",
}  # fmt: skip
OTHER = {
    **{key: HEAD[key] for key in FIELDS if HEAD[key] != "" and not key.startswith(("judged", "lot", "holm", "romano"))},
    "name": "two_way_fe", "is_headline": False, "verdict": "", "grade": "", "family_p_value": "", "q_value": "",
}  # fmt: skip
JOBS = {**HEAD, "outcome": "employment", "family": "labour"}
ROWS = (HEAD, OTHER, JOBS)


def text_of(rows) -> str:
    buffer = io.StringIO()
    writer = csv.DictWriter(buffer, FIELDS, lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return buffer.getvalue()


@pytest.fixture
def finished(tmp_path):
    """Write a finished run; what is given differs from a plain one."""

    def made(name: str, rows=ROWS, **changes) -> Path:
        folder = tmp_path / name
        folder.mkdir()
        text = text_of(rows)
        (folder / "evidence.csv").write_text(text, encoding="utf-8", newline="\n")
        asked = [f"{row['treatment']}/{row['outcome']}" for row in rows if row["is_headline"]]
        record = {
            "fingerprint": "f0",
            "finished_at": "2026-11-22T20:00:00Z",
            "seconds": 3.0,
            "parameters": {"questions": asked, "run": name},
            "plan": {"title": "A plan", "written": "2026-11-01", "sha256": "a" * 64},
            "seed": 7,
            "data_sha256": "d0",
            "tables": {"epa_aqi/one": "1", "bls_laus/two": "2"},
            "versions": {"python": "3.12.1", "pandas": "2.3.0"},
            "platform": "linux",
            "failed": {},
            "files": {"evidence.csv": hashlib.sha256(text.encode()).hexdigest()},
            **changes,
        }
        (folder / "run.json").write_text(json.dumps(record), encoding="utf-8")
        return folder

    return made


def moved(row, by: float, **changes):
    """The row with estimate and interval moved by so many judged standard errors."""
    step = by * 0.005
    shifted = {key: row[key] + step for key in ("estimate", "ci_low", "ci_high", "judged_ci_low", "judged_ci_high")}
    return {**row, **shifted, **changes}


def test_two_runs_that_find_the_same_differ_in_nothing(finished):
    found = difference(finished("one"), finished("two", seconds=99.0, finished_at="2026-11-23T20:00:00Z"))
    assert found.same_findings
    assert (found.findings, found.n_same, found.n_others) == ((), 2, 1)
    assert found.sentences == (
        "The findings are the same: 2 questions, and 1 estimate beside the headlines.",
        "Data, code and plan are the same as well.",
    )


def test_a_changed_verdict_comes_before_an_estimate_that_moved_and_that_before_small_changes(finished):
    income = {**JOBS, "outcome": "median_income"}
    new = (
        moved(HEAD, 0.05),
        OTHER,
        moved(JOBS, 3.0),
        {**income, "verdict": "improvement", "grade": "promising"},
    )
    found = difference(finished("one", rows=(*ROWS, income)), finished("two", rows=new))
    assert [item.kind for item in found.findings] == ["verdict", "moved", "slightly"]
    first, second, third, *_ = found.sentences
    assert "was “cannot tell” and is now “evidence of improvement”" in first
    # 0.6 points and three errors of 0.5 more; the interval from -0.4 and 1.6
    assert "+0.60 percentage points" in second
    assert "then +2.10 percentage points (+1.10 to +3.10 percentage points, p 0.400)" in second
    assert third.startswith("1 question with figures that changed by less than a tenth")
    assert "certification/broadband" in third


@pytest.mark.parametrize(("by", "kind"), [(0.101, "moved"), (-0.101, "moved"), (0.099, "slightly"), (1e-8, None)])
def test_an_estimate_has_moved_beyond_a_tenth_of_its_standard_error(finished, by, kind):
    found = difference(finished("one", rows=(HEAD,)), finished("two", rows=(moved(HEAD, by),)))
    assert [item.kind for item in found.findings] == ([kind] if kind else [])
    assert found.same_findings is (kind is None)


def test_of_two_standard_errors_the_smaller_measures_the_change(finished):
    wide = {**moved(HEAD, 0.2), "judged_std_error": 0.5}
    for number, pair in enumerate(((HEAD, wide), (wide, HEAD))):
        folders = [finished(f"{number}{side}", rows=(row,)) for side, row in zip("ab", pair, strict=True)]
        assert difference(*folders).findings[0].kind == "moved"


def test_of_several_estimates_that_moved_the_farthest_comes_first(finished):
    found = difference(finished("one"), finished("two", rows=(moved(HEAD, 0.5), OTHER, moved(JOBS, -2.0))))
    assert [item.question for item in found.findings] == ["certification/employment", "certification/broadband"]


@pytest.mark.parametrize(
    ("changes", "kind"),
    [
        ({"grade": "promising"}, "grade"),
        ({"name": "callaway_santanna"}, "moved"),
        ({"judged_ci_high": 0.0166}, "interval"),
        ({"family_p_value": 0.41}, "p_value"),
        ({"estimate": ""}, "moved"),
        ({"judged_std_error": 0.00501}, "slightly"),
    ],
)
def test_every_change_of_a_finding_is_a_difference(finished, changes, kind):
    found = difference(finished("one", rows=(HEAD,)), finished("two", rows=({**HEAD, **changes},)))
    assert [item.kind for item in found.findings] == [kind]
    assert not found.same_findings


def test_questions_that_are_new_gone_or_failed_are_each_named_with_the_reason(finished):
    one = finished("one", rows=(HEAD, OTHER), failed={"certification/unemployment": "no figures", "a/b": "never"})
    rows = (JOBS, {**HEAD, "outcome": "unemployment"})
    two = finished("two", rows=rows, failed={"certification/broadband": "too few units", "a/b": "never"})
    found = difference(one, two)
    assert {item.question.split("/")[1]: item.kind for item in found.findings} == {
        "broadband": "failed",
        "unemployment": "repaired",
        "employment": "new",
    }
    assert found.failed_in_both == ("a/b",)
    assert found.n_same == 0
    text = " ".join(found.sentences)
    assert "failed in the second run, not in the first: too few units." in text
    assert "failed in the first run, not in the second: no figures." in text
    assert "1 question failed in both runs: a/b." in text
    back = difference(two, one)
    assert "gone" in [item.kind for item in back.findings]


def test_a_page_that_failed_hides_no_changed_figures(finished):
    failed = {"certification/broadband": "no picture"}
    one = finished("one", rows=(HEAD,))
    found = difference(one, finished("two", rows=(moved(HEAD, 2.0),), failed=failed))
    assert found.findings[0].kind == "failed"
    assert "no picture. Its figures were +0.60" in found.findings[0].sentence
    harm = finished("three", rows=({**HEAD, "verdict": "harm"},), failed=failed)
    assert "evidence of harm" in difference(one, harm).sentences[0]
    assert "no picture" in difference(one, harm).sentences[0]


def test_an_estimate_beside_the_headline_that_moved_is_counted_as_a_difference(finished):
    for by, counts in ((1.0, (1, 0)), (0.01, (0, 1)), (0.0, (0, 0))):
        shifted = {**OTHER, "estimate": OTHER["estimate"] + by * OTHER["std_error"]}
        found = difference(finished(f"one{by}"), finished(f"two{by}", rows=(HEAD, shifted, JOBS)))
        assert (found.others_moved, found.others_slightly) == counts
        assert found.same_findings is (by == 0.0)
    assert difference(finished("one"), finished("two", rows=(HEAD, JOBS))).others_moved == 1


def test_an_estimate_that_takes_the_headlines_place_is_compared_with_itself(finished):
    swapped = ({**HEAD, "name": "two_way_fe"}, {**OTHER, "name": "imputation"})
    found = difference(finished("one", rows=(HEAD, OTHER)), finished("two", rows=swapped))
    assert found.others_moved == 0
    assert "another estimator heads it (imputation, then two_way_fe)" in found.sentences[0]


def test_data_code_and_plan_are_told_apart(finished):
    found = difference(
        finished("one"),
        finished(
            "two",
            tables={"epa_aqi/one": "9", "new/table": "3"},
            data_sha256="d1",
            versions={"python": "3.12.1", "pandas": "3.0.0"},
            platform="darwin",
            fingerprint="f1",
            plan={"title": "A plan", "written": "2026-11-02", "sha256": "b" * 64},
            seed=8,
            parameters={"questions": ["certification/broadband"], "run": "two", "audience": "staff"},
        ),
    )
    assert found.same_findings
    assert found.data == (
        "Data: 1 table changed: epa_aqi/one.",
        "Data: 1 table added: new/table.",
        "Data: 1 table removed: bls_laus/two.",
    )
    assert found.code[:2] == (
        "Code: other versions: pandas 2.3.0 → 3.0.0.",
        "Code: the first run was made on linux, the second on darwin.",
    )
    assert found.plan == (
        "Plan: another text: “A plan”, written 2026-11-01, then “A plan”, written 2026-11-02.",
        "Plan: the seed was 7 and is 8.",
        "Plan: 1 page no longer asked for: certification/employment.",
        "Plan: the parameter audience was None and is 'staff'.",
    )


def test_what_only_a_hash_tells_is_said(finished):
    one = finished("one")
    assert "package's own code" in difference(one, finished("two", fingerprint="f1")).code[0]
    assert "manifest" in difference(one, finished("three", data_sha256="d1")).data[0]
    unexplained = difference(one, finished("four", rows=(moved(HEAD, 1.0), OTHER, JOBS)))
    assert "should have found the same" in unexplained.sentences[-1]


def test_all_faults_of_both_runs_come_in_one_error(finished, tmp_path):
    one, two = finished("one", failed=[], tables=None), finished("two")
    with (two / "evidence.csv").open("a", encoding="utf-8") as file:
        file.write("broadband,certification\n")
    with pytest.raises(InputError) as caught:
        difference(one, two)
    for part in ("3 faults", "lacks tables and failed", "not as many cells", "is not the file that run.json tells of"):
        assert part in str(caught.value)
    with pytest.raises(InputError, match="there is no such folder"):
        difference(tmp_path / "none", one)


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("run.json", None, r"run\.json: is missing"),
        ("run.json", b'{"fingerprint": "f0", "fin', "is no whole JSON"),
        ("run.json", b"[]", "holds no record"),
        ("run.json", b"\xff\xfe", "no text in UTF-8"),
        ("evidence.csv", None, r"evidence\.csv: is missing"),
        ("evidence.csv", b"", "lacks the columns"),
        ("evidence.csv", text_of(({**HEAD, "estimate": "much"},)).encode(), "'much' is no number"),
        ("evidence.csv", text_of((HEAD, HEAD)).encode(), "twice"),
        ("evidence.csv", text_of((OTHER,)).encode(), "has 0 headline estimates"),
        ("evidence.csv", text_of(ROWS[:2]).encode(), "broken off"),
    ],
)
def test_a_half_written_or_altered_run_is_refused(finished, name, content, message):
    one, two = finished("one"), finished("two")
    (two / name).unlink()
    if content is not None:
        (two / name).write_bytes(content)
    with pytest.raises(InputError, match=message):
        difference(one, two)


def test_a_question_the_catalog_does_not_know_is_shown_by_its_name_and_bare(finished):
    own = {**HEAD, "outcome": "my_own"}
    found = difference(finished("one", rows=(own,)), finished("two", rows=(moved(own, 1.0),)))
    assert found.sentences[0].startswith("certification/my_own: 0.006 (−0.004 to 0.016, p 0.400), then 0.011 (")


def test_the_difference_is_plain_json(finished):
    found = difference(finished("one"), finished("two", rows=(moved(HEAD, 1.0), OTHER, {**JOBS, "estimate": "nan"})))
    values = json.loads(json.dumps(found.as_dict(), allow_nan=False))
    assert values["same_findings"] is False
    assert values["sentences"] == list(found.sentences)
    assert {item["question"]: item["second"]["estimate"] for item in values["findings"]} == {
        "certification/broadband": pytest.approx(0.011),
        "certification/employment": None,
    }
    assert set(values) >= {field.name for field in dataclasses.fields(found)}


def test_the_keys_are_those_that_a_batch_writes(finished):
    """A run whose evidence.csv is written by the batch itself is read."""
    from tests.report.test_journal_tables import made_evidence

    evidence = made_evidence()
    text = evidence_csv([evidence])
    one = finished("one", rows=())
    record = json.loads((one / "run.json").read_text(encoding="utf-8"))
    record["files"]["evidence.csv"] = hashlib.sha256(text.encode()).hexdigest()
    (one / "evidence.csv").write_text(text, encoding="utf-8", newline="\n")
    (one / "run.json").write_text(json.dumps(record), encoding="utf-8")
    found = difference(one, finished("two", rows=()))
    assert [item.question for item in found.findings] == [f"{evidence.treatment}/{evidence.outcome}"]
    assert found.findings[0].first.estimate == evidence.headline.estimate["estimate"]
    assert found.findings[0].first.std_error == evidence.judged["std_error"]


def test_a_run_that_keeps_the_pieces_of_its_fingerprint_apart_tells_which_changed(finished):
    pieces = {"code": "c0", "templates": {"outcome_report.ipynb": "t0"}, "languages": {"en": ""}, "lock": "l0"}
    one = finished("one", fingerprint="f0", pieces=pieces)
    for name, said in (("code", "own code"), ("templates", "template"), ("languages", "languages"), ("lock", "lock")):
        two = finished(f"two-{name}", fingerprint="f1", pieces={**pieces, name: "other"})
        (sentence,) = difference(one, two).code
        assert said in sentence
