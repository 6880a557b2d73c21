"""What changed between two finished runs: findings first, then data, code and plan.

In: two folders of reports/ with run.json and evidence.csv. Out: a `RunDifference` in plain sentences.
"""

from __future__ import annotations

import csv
import dataclasses
import hashlib
import io
import json
import math
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Literal

from wwc_research import catalog
from wwc_research.errors import Faults, InputError, listed
from wwc_research.report import wording
from wwc_research.report.language import localised, shown

Kind = Literal["verdict", "failed", "repaired", "new", "gone", "grade", "moved", "interval", "p_value", "slightly"]
# a change smaller than this share of its standard error is the rounding of another machine
SAME: Final = 1e-6
MOVED: Final = 0.1
_NUMBERS: Final = (
    "estimate",
    "std_error",
    "ci_low",
    "ci_high",
    "judged_std_error",
    "judged_ci_low",
    "judged_ci_high",
    "judged_p_value",
    "family_p_value",
)
_TEXTS: Final = ("outcome", "treatment", "name", "is_headline", "verdict", "grade", "failed")
_RECORD: Final[Mapping[str, type]] = {
    "fingerprint": str,
    "finished_at": str,
    "parameters": dict,
    "plan": dict,
    "seed": int,
    "data_sha256": str,
    "tables": dict,
    "versions": dict,
    "platform": str,
    "failed": dict,
    "files": dict,
}
# what run.json keeps apart, besides data, plan and versions, which are told of in more detail
_PIECES: Final[Mapping[str, str]] = {
    "code": "the package's own code is another",
    "templates": "the template notebooks are others",
    "languages": "the texts in other languages, or the languages asked for, are others",
    "lock": "the plan's lock is another",
}
_VERDICTS: Final = {**wording.VERDICT_COUNTED, "": "not judged"}
_GRADES: Final = {"": "not graded"}
# the largest matter first
_KINDS: Final[tuple[Kind, ...]] = (
    "verdict",
    "failed",
    "repaired",
    "gone",
    "new",
    "grade",
    "moved",
    "interval",
    "p_value",
    "slightly",
)
_COUNTED: Final[Mapping[Kind, str]] = {
    "interval": "an interval that moved by more than a tenth of a standard error, about the same estimate",
    "p_value": "a corrected p-value that changed, and nothing larger",
    "slightly": "figures that changed by less than a tenth of their standard error",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """What a run says of one question by one estimate; undefined numbers are None.

    `std_error`, `ci_low` and `ci_high` are the judged ones where there are some, in the unit of the outcome.
    """

    question: str
    name: str
    verdict: str
    grade: str
    estimate: float | None
    std_error: float | None
    ci_low: float | None
    ci_high: float | None
    p_value: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class QuestionChange:
    """One question whose finding is not the same: the largest `kind` of change, one sentence, both findings."""

    question: str
    kind: Kind
    sentence: str
    first: Finding | None
    second: Finding | None


@dataclass(frozen=True, slots=True, kw_only=True)
class RunDifference:
    """What changed from one run to another.

    `findings` has the questions that changed, the largest matter first; `n_same` counts the others, and
    `failed_in_both` names those without an answer in either. Of the `n_others` estimates beside the headlines,
    `others_moved` by more than a tenth of their standard error or are in one run only, and `others_slightly` changed by
    less. `data`, `code` and `plan` are sentences, empty where nothing changed. `sentences` says all of it in the order
    of importance.
    """

    first: str
    second: str
    findings: tuple[QuestionChange, ...]
    n_same: int
    failed_in_both: tuple[str, ...]
    others_moved: int
    others_slightly: int
    n_others: int
    data: tuple[str, ...]
    code: tuple[str, ...]
    plan: tuple[str, ...]

    @property
    def same_findings(self) -> bool:
        """Whether both runs find the same, up to the rounding of another machine."""
        return not (self.findings or self.others_moved or self.others_slightly)

    @property
    def sentences(self) -> tuple[str, ...]:
        """What changed in plain sentences, the largest matter first."""
        return (*_findings_said(self), *self.data, *self.code, *self.plan, *_left_to_say(self))

    def as_dict(self) -> dict[str, Any]:
        """Plain values for JSON; undefined numbers are None."""
        return {**dataclasses.asdict(self), "same_findings": self.same_findings, "sentences": list(self.sentences)}


def difference(run_a: Path, run_b: Path) -> RunDifference:
    """What changed from the run in folder `run_a` to the one in `run_b`: findings, data, code, plan.

    An estimate has moved where it changed by more than a tenth of the smaller of its two standard errors; a change
    below a millionth of it is rounding, and no change.

    Raises
    ------
    InputError
        Where a folder is no finished run: absent, unreadable, half-written, or changed since. All faults of both.
    """
    faults = Faults("reports diff", kind=InputError)
    runs = [_read(path, faults) for path in (Path(run_a), Path(run_b))]
    faults.raise_if_any()
    first, second = (run for run in runs if run is not None)
    names = list(dict.fromkeys((*first.questions, *second.questions)))
    unanswered = tuple(name for name in names if name not in first.headlines and name not in second.headlines)
    changed = [item for item in (_change(name, first, second) for name in names) if item is not None]
    failed_in_both = tuple(name for name in unanswered if name in first.failed and name in second.failed)
    moved, slightly, n_others = _others(first, second)
    data, plan = tuple(_data_said(first.record, second.record)), tuple(_plan_said(first.record, second.record))
    return RunDifference(
        first=f"{first.name} ({first.record['finished_at']})",
        second=f"{second.name} ({second.record['finished_at']})",
        findings=tuple(sorted(changed, key=_importance)),
        n_same=len(names) - len(changed) - len(failed_in_both),
        failed_in_both=failed_in_both,
        others_moved=moved,
        others_slightly=slightly,
        n_others=n_others,
        data=data,
        code=tuple(_code_said(first.record, second.record, explained=bool(data or plan))),
        plan=plan,
    )


def _importance(change: QuestionChange) -> tuple[int, float]:
    """The kind of change first, then by how many standard errors the estimate moved."""
    one, two = change.first, change.second
    if one is None or two is None or one.estimate is None or two.estimate is None or not _unit(one, two):
        return _KINDS.index(change.kind), 0.0
    return _KINDS.index(change.kind), -abs(two.estimate - one.estimate) / _unit(one, two)


def _others(first: _Run, second: _Run) -> tuple[int, int, int]:
    """Estimates beside the headlines that moved or are in one run only, that changed by less, and all of them.

    An estimate that heads the question in one of the runs is compared with itself in the other.
    """
    common = first.headlines.keys() & second.headlines.keys()
    keys = [key for key in dict.fromkeys((*first.others, *second.others)) if key[0] in common]
    every = [
        {(item.question, item.name): item for item in run.headlines.values()} | run.others for run in (first, second)
    ]
    moved = slightly = 0
    for key in keys:
        one, two = (found.get(key) for found in every)
        if one is None or two is None or _moved(one, two):
            moved += 1
        elif _differ(one.estimate, two.estimate, by=SAME * _unit(one, two)):
            slightly += 1
    return moved, slightly, len(keys)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Run:
    """A finished run as read: headlines by question, other estimates by question and name, failures by question."""

    name: str
    record: Mapping[str, Any]
    headlines: Mapping[str, Finding]
    others: dict[tuple[str, str], Finding]

    @property
    def failed(self) -> Mapping[str, str]:
        found: Mapping[str, str] = self.record["failed"]
        return found

    @property
    def questions(self) -> tuple[str, ...]:
        return tuple(dict.fromkeys((*self.headlines, *self.failed)))


def _read(folder: Path, faults: Faults) -> _Run | None:
    """The run in a folder; None where it cannot be used, with every fault noted."""
    before = len(faults)
    if not folder.is_dir():
        faults.add(f"{folder}: there is no such folder. Name a run under reports/, or its folder.")
        return None
    texts = {name: _text(folder / name, faults) for name in ("run.json", "evidence.csv")}
    record = None if texts["run.json"] is None else _record(texts["run.json"], folder / "run.json", faults)
    found = texts["evidence.csv"]
    findings = [] if found is None else _findings(found, folder / "evidence.csv", faults)
    if record is not None and found is not None:
        known = record["files"].get("evidence.csv")
        if known != hashlib.sha256(found.encode()).hexdigest():
            faults.add(
                f"{folder / 'evidence.csv'}: is not the file that run.json tells of: the run was broken off, or the "
                "file changed since. Make the run again with 'wwc-research report --force'."
            )
    if record is None or len(faults) > before:
        return None
    return _Run(
        name=folder.resolve().name,
        record=record,
        headlines={item.question: item for is_headline, item in findings if is_headline},
        others={(item.question, item.name): item for is_headline, item in findings if not is_headline},
    )


def _text(path: Path, faults: Faults) -> str | None:
    try:
        return path.read_bytes().decode("utf-8")
    except FileNotFoundError:
        faults.add(
            f"{path}: is missing: the run never ended, or this is no run's folder. Make it with 'wwc-research report'."
        )
    except OSError as error:
        faults.add(f"{path}: cannot be read ({error.strerror or error}). Check the path.")
    except UnicodeDecodeError:
        faults.add(f"{path}: is no text in UTF-8. Make the run again with 'wwc-research report --force'.")
    return None


def _record(text: str, path: Path, faults: Faults) -> dict[str, Any] | None:
    again = "Make the run again with 'wwc-research report --force'."
    try:
        found = json.loads(text)
    except json.JSONDecodeError as error:
        faults.add(f"{path}: is no whole JSON (line {error.lineno}: {error.msg}). {again}")
        return None
    if not isinstance(found, dict):
        faults.add(f"{path}: holds no record of a run. {again}")
        return None
    wrong = [name for name, kind in _RECORD.items() if not isinstance(found.get(name), kind)]
    if "parameters" not in wrong and not isinstance(found["parameters"].get("questions"), list):
        wrong.append("parameters.questions")
    if "failed" not in wrong and not all(isinstance(why, str) for why in found["failed"].values()):
        wrong.append("the reason of a failure")
    if wrong:
        faults.add(f"{path}: lacks {listed(wrong, limit=20)}, or has another kind of value there. {again}")
        return None
    return found


def _findings(text: str, path: Path, faults: Faults) -> list[tuple[bool, Finding]]:
    """Whether it is the headline, and the finding, of every row."""
    reader = csv.DictReader(io.StringIO(text))
    lacking = [name for name in (*_TEXTS, *_NUMBERS) if name not in (reader.fieldnames or ())]
    if lacking:
        faults.add(
            f"{path}: lacks the columns {listed(lacking, limit=20)}. Another version wrote it; make the run again."
        )
        return []
    found: list[tuple[bool, Finding]] = []
    seen = set()
    for row in reader:
        where = f"{path}, line {reader.line_num}"
        if None in row or None in row.values():
            faults.add(f"{where}: has not as many cells as the header. The file was cut; make the run again.")
            continue
        values = {name: _number(row[name], f"{where}, {name}", faults) for name in _NUMBERS}
        item = _finding(row, values)
        if (item.question, item.name) in seen:
            faults.add(f"{where}: {item.question} has the estimate {item.name} twice. Make the run again.")
        seen.add((item.question, item.name))
        found.append((row["is_headline"] == "True", item))
    heads = Counter(item.question for is_headline, item in found if is_headline)
    for question in dict.fromkeys(item.question for _, item in found):
        if heads[question] != 1:
            faults.add(f"{path}: {question} has {heads[question]} headline estimates, not one. Make the run again.")
    return found


def _number(text: str, where: str, faults: Faults) -> float | None:
    if not text:
        return None
    try:
        value = float(text)
    except ValueError:
        faults.add(f"{where}: {text!r} is no number. Make the run again.")
        return None
    return value if math.isfinite(value) else None


def _finding(row: Mapping[str, str], values: Mapping[str, float | None]) -> Finding:
    judged = "judged_" if values["judged_std_error"] is not None else ""
    return Finding(
        question=f"{row['treatment']}/{row['outcome']}",
        name=row["name"],
        verdict=row["verdict"],
        grade=row["grade"],
        estimate=values["estimate"],
        std_error=values[f"{judged}std_error"],
        ci_low=values[f"{judged}ci_low"],
        ci_high=values[f"{judged}ci_high"],
        p_value=values["family_p_value"] if values["family_p_value"] is not None else values["judged_p_value"],
    )


def _differ(one: float | None, two: float | None, *, by: float) -> bool:
    if one is None or two is None:
        return one is not two
    return abs(two - one) > by


def _unit(first: Finding, second: Finding) -> float:
    """What a change is measured by: the smaller standard error or, without any, the size of the estimate."""
    errors = [item.std_error for item in (first, second) if item.std_error]
    sizes = [abs(item.estimate) for item in (first, second) if item.estimate is not None]
    return min(errors) if errors else max(sizes, default=0.0)


def _moved(first: Finding, second: Finding) -> bool:
    return _differ(first.estimate, second.estimate, by=MOVED * _unit(first, second))


def _change(question: str, first: _Run, second: _Run) -> QuestionChange | None:
    """The largest change of one question; None where there is none."""
    one, two = first.headlines.get(question), second.headlines.get(question)
    kind = _kind(question, first, second)
    if kind is None:
        return None
    why = second.failed.get(question, "") if kind == "failed" else first.failed.get(question, "")
    sentence = _said(question, kind, one, two, why=why)
    if kind == "verdict" and question in second.failed and question not in first.failed:
        sentence += f" Its page failed in the second run: {second.failed[question].rstrip('.')}."
    return QuestionChange(question=question, kind=kind, sentence=sentence, first=one, second=two)


def _kind(question: str, first: _Run, second: _Run) -> Kind | None:
    one, two = first.headlines.get(question), second.headlines.get(question)
    if one is not None and two is not None and one.verdict != two.verdict:
        return "verdict"
    if question in second.failed and question not in first.failed:
        return "failed"
    if question in first.failed and question not in second.failed and question in second.questions:
        return "repaired"
    if question not in second.questions:
        return "gone"
    if question not in first.questions:
        return "new"
    if one is None or two is None:
        # failed in both, with evidence left by one of them
        return None if one is two else ("gone" if two is None else "new")
    return _by_figures(one, two)


def _by_figures(one: Finding, two: Finding) -> Kind | None:
    unit = _unit(one, two)
    ends = [(one.ci_low, two.ci_low), (one.ci_high, two.ci_high)]
    if one.grade != two.grade:
        return "grade"
    if one.name != two.name or _moved(one, two):
        return "moved"
    if any(_differ(*pair, by=MOVED * unit) for pair in ends):
        return "interval"
    if _differ(one.p_value, two.p_value, by=SAME):
        return "p_value"
    close = [(one.estimate, two.estimate), (one.std_error, two.std_error), *ends]
    return "slightly" if any(_differ(*pair, by=SAME * unit) for pair in close) else None


def _title(question: str) -> str:
    """The question in words; its name where the catalog does not know it."""
    treatment, _, outcome = question.partition("/")
    known = catalog.outcomes().get(outcome), catalog.treatments().get(treatment)
    return f"{known[0].title} and {known[1].title}" if known[0] and known[1] else question


def _sized(finding: Finding) -> str:
    """Estimate, interval and corrected p in the unit of the page, or bare where the catalog knows no unit."""
    outcome = catalog.outcomes().get(finding.question.partition("/")[2])
    if finding.estimate is None:
        return "no estimate"
    ends = {"ci_low": finding.ci_low, "ci_high": finding.ci_high}
    if outcome is None:
        low, high = ("–" if end is None else localised(f"{end:.4g}") for end in ends.values())
        size, spread = localised(f"{finding.estimate:.4g}"), f"{low} to {high}"
    else:
        # one decimal more than the page, so that what moved is seen
        finer = dataclasses.replace(outcome, decimals=outcome.decimals + 1)
        size, spread = shown(wording.effect(finding.estimate, finer)), shown(wording.interval(ends, finer))
    return f"{size} ({spread}, p {wording.p_value(finding.p_value)})"


def _said(question: str, kind: Kind, one: Finding | None, two: Finding | None, *, why: str) -> str:
    title = _title(question)
    if kind in ("failed", "repaired"):
        reason = f": {why.rstrip('.')}" if why else ""
        if one is not None and two is not None and _by_figures(one, two):
            reason += f". Its figures were {_sized(one)}, then {_sized(two)}"
        if kind == "failed":
            return f"{title}: failed in the second run, not in the first{reason}."
        return f"{title}: failed in the first run, not in the second{reason}."
    if kind in ("gone", "new") or one is None or two is None:
        only = "first" if kind == "gone" else "second"
        left = one if kind == "gone" else two
        return f"{title}: only the {only} run has it{f', with “{_verdict(left)}”: {_sized(left)}' if left else ''}."
    sizes = f"{_sized(one)}, then {_sized(two)}"
    if kind == "verdict":
        return f"{title}: the verdict was “{_verdict(one)}” and is now “{_verdict(two)}”: {sizes}."
    if kind == "grade":
        before, after = (_GRADES.get(item.grade, item.grade) for item in (one, two))
        return f"{title}: the same verdict, but the strength of evidence was “{before}” and is now “{after}”: {sizes}."
    other = f"another estimator heads it ({one.name}, then {two.name}): " if one.name != two.name else ""
    return f"{title}: {other}{sizes}."


def _verdict(finding: Finding) -> str:
    return _VERDICTS.get(finding.verdict, finding.verdict)


def _findings_said(found: RunDifference) -> Iterable[str]:
    if found.same_findings:
        yield (
            f"The findings are the same: {found.n_same:,} {_plural('question', found.n_same)}, and {found.n_others:,} "
            f"{_plural('estimate', found.n_others)} beside the headlines."
        )
    for item in found.findings:
        if item.kind not in _COUNTED:
            yield item.sentence
    for kind, words in _COUNTED.items():
        some = [item for item in found.findings if item.kind == kind]
        if some:
            names = listed([item.question for item in some], limit=6)
            yield f"{len(some):,} {_plural('question', len(some))} with {words}: {names}."
    if found.others_moved or found.others_slightly:
        yield (
            f"Of the {found.n_others:,} estimates beside the headlines, {found.others_moved:,} moved by more than a "
            f"tenth of their standard error or are in one run only, and {found.others_slightly:,} changed by less."
        )
    if found.n_same and not found.same_findings:
        yield f"{found.n_same:,} {_plural('question', found.n_same)} with the same finding."
    if found.failed_in_both:
        count, names = len(found.failed_in_both), listed(found.failed_in_both, limit=6)
        yield f"{count:,} {_plural('question', count)} failed in both runs: {names}."


def _left_to_say(found: RunDifference) -> Iterable[str]:
    """What it means that data, code and plan are the same."""
    if found.data or found.code or found.plan:
        return
    if found.same_findings:
        yield "Data, code and plan are the same as well."
    else:
        yield (
            "Data, code and plan are the same, so the runs should have found the same. Make one of them again with "
            "'wwc-research report --force', and if that differs too, tell the authors."
        )


def _plural(word: str, count: int) -> str:
    return word if count == 1 else f"{word}s"


def _data_said(first: Mapping[str, Any], second: Mapping[str, Any]) -> Iterable[str]:
    """Tables changed, added and removed, by hash."""
    one, two = first["tables"], second["tables"]
    groups = {
        "changed": [name for name in one if name in two and one[name] != two[name]],
        "added": [name for name in two if name not in one],
        "removed": [name for name in one if name not in two],
    }
    for word, names in groups.items():
        if names:
            yield f"Data: {len(names):,} {_plural('table', len(names))} {word}: {listed(names, limit=8)}."
    if not any(groups.values()) and first["data_sha256"] != second["data_sha256"]:
        yield "Data: every listed table is the same, but the manifest or a file beside the tables is not."


def _code_said(first: Mapping[str, Any], second: Mapping[str, Any], *, explained: bool) -> Iterable[str]:
    """Versions, platform, and what only the fingerprint tells."""
    one, two = first["versions"], second["versions"]
    changed = [
        f"{name} {one.get(name, 'absent')} → {two.get(name, 'absent')}"
        for name in dict.fromkeys((*one, *two))
        if one.get(name) != two.get(name)
    ]
    if changed:
        yield f"Code: other versions: {listed(changed, limit=20)}."
    if first["platform"] != second["platform"]:
        yield f"Code: the first run was made on {first['platform']}, the second on {second['platform']}."
    if first["fingerprint"] == second["fingerprint"]:
        return
    before, after = first.get("pieces"), second.get("pieces")
    if isinstance(before, dict) and isinstance(after, dict):
        for name, words in _PIECES.items():
            if before.get(name) != after.get(name):
                yield f"Code: {words}."
    elif changed or explained:
        yield (
            "Code: the fingerprint over code, data and plan is another; whether the package's own code changed besides "
            "what stands here cannot be told from it."
        )
    else:
        yield (
            "Code: data, plan and versions are the same, so it is the package's own code, the notebook or the plan's "
            "lock that changed."
        )


def _plan_said(first: Mapping[str, Any], second: Mapping[str, Any]) -> Iterable[str]:
    """Plan, seed, and the questions that were asked for pages; the run's own name is no difference."""
    one, two = first["plan"], second["plan"]
    if one.get("sha256") != two.get("sha256"):
        names = [f"“{plan.get('title')}”, written {plan.get('written')}" for plan in (one, two)]
        same = " under the same title and date" if names[0] == names[1] else ""
        yield f"Plan: another text{same}: {names[0]}" + ("." if same else f", then {names[1]}.")
    if first["seed"] != second["seed"]:
        yield f"Plan: the seed was {first['seed']} and is {second['seed']}."
    asked, now = (list(record["parameters"].get("questions", ())) for record in (first, second))
    for words, names in (
        ("no longer asked for", [name for name in asked if name not in now]),
        ("asked for besides", [name for name in now if name not in asked]),
    ):
        if names:
            yield f"Plan: {len(names):,} {_plural('page', len(names))} {words}: {listed(names, limit=8)}."
    other = dict.fromkeys((*first["parameters"], *second["parameters"]))
    for name in other:
        values = [record["parameters"].get(name) for record in (first, second)]
        if name not in ("questions", "run") and values[0] != values[1]:
            yield f"Plan: the parameter {name} was {values[0]!r} and is {values[1]!r}."


__all__ = ["Finding", "QuestionChange", "RunDifference", "difference"]
