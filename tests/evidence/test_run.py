import dataclasses
import json
import shutil
import signal
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest

from tests.conftest import fresh_project, quick_plan_text
from wwc_research.errors import EstimationError
from wwc_research.evidence import parts, run
from wwc_research.evidence.evidence import Evidence
from wwc_research.evidence.randomisation import read_draws
from wwc_research.messages import message
from wwc_research.report import batch, batch_plan

FEWER = {"draws = 199": "draws = 39", "draws = 60": "draws = 10", "draws = 49": "draws = 19"}
NEET = "certification/youth_neet"


def plan_text(*outcomes: str) -> str:
    """The quick plan with fewer draws still."""
    text = quick_plan_text(*outcomes)
    for quick, quicker in FEWER.items():
        assert quick in text
        text = text.replace(quick, quicker)
    return text


def answer(root: Path, *, text: str, jobs: int = 1):
    path = root / "plan.toml"
    path.write_text(text, encoding="utf-8")
    expected: list[dict[str, float]] = []
    ticks: list[str] = []
    wanted = batch_plan.plan_batch(root=root, plan_path=path, jobs=jobs)
    answers = batch.answer_batch(wanted, tick=ticks.append, expect=expected.append)
    assert sorted(ticks) == sorted(expected[-1])
    return answers


def found_by_name(answers) -> dict[str, Evidence]:
    return {question.name: evidence for question, evidence in answers.found.items()}


def as_text(evidence: Evidence) -> str:
    return json.dumps(evidence.as_dict(), sort_keys=True)


def parts_of(root: Path) -> dict[str, Path]:
    folder = root / "data" / "processed" / "parts"
    return {path.relative_to(folder).as_posix(): path for path in sorted(folder.rglob("*")) if path.is_file()}


def times(root: Path) -> dict[str, int]:
    return {name: path.stat().st_mtime_ns for name, path in parts_of(root).items()}


def copied(root: Path, tmp_path: Path) -> Path:
    return shutil.copytree(root, tmp_path / "project")


@contextmanager
def in_this_process(jobs):
    """Instead of worker processes, so that a test can reach into the work."""
    with ThreadPoolExecutor(1) as pool:
        yield pool


@pytest.fixture(scope="module")
def one_state():
    """The code counts as unchanged throughout, also while somebody edits it."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(parts, "code_hash", lambda: "one state")
        yield


@pytest.fixture(scope="module")
def empty(answered, one_state, tmp_path_factory) -> Path:
    """A project with its panel and no part."""
    root = fresh_project(tmp_path_factory.mktemp("empty") / "project")
    made = root / "data" / "processed"
    made.mkdir()
    for path in (answered[0] / "data" / "processed").glob("panel*"):
        shutil.copy2(path, made)
    return root


@pytest.fixture(scope="module")
def undisturbed(empty, tmp_path_factory) -> tuple[Path, Evidence]:
    """A project in which one process has answered one question, and the answer."""
    root = shutil.copytree(empty, tmp_path_factory.mktemp("undisturbed") / "project")
    answers = answer(root, text=plan_text("youth_neet"), jobs=1)
    assert not answers.failed
    return root, found_by_name(answers)[NEET]


def contents(root: Path) -> dict[str, bytes]:
    """Every part as it is on disk."""
    return {name: path.read_bytes() for name, path in parts_of(root).items()}


KILLED = """
import sys
from pathlib import Path
from wwc_research.evidence import parts
from wwc_research.report import batch, batch_plan
if __name__ == "__main__":
    parts.code_hash = lambda: "one state"
    root = Path(sys.argv[1])
    wanted = batch_plan.plan_batch(root=root, plan_path=root / "plan.toml", jobs=2)
    batch.answer_batch(wanted)
"""


def test_a_killed_run_of_two_processes_goes_on_and_ends_with_the_bits_of_one_undisturbed_process(
    empty, undisturbed, tmp_path
):
    root = copied(empty, tmp_path)
    (root / "plan.toml").write_text(plan_text("youth_neet"), encoding="utf-8")
    script = tmp_path / "killed.py"
    script.write_text(KILLED, encoding="utf-8")
    with subprocess.Popen([sys.executable, str(script), str(root)], stdout=subprocess.DEVNULL) as started:
        until = time.monotonic() + 120
        while len(parts_of(root)) < 3 and started.poll() is None and time.monotonic() < until:
            time.sleep(0.02)
        started.send_signal(signal.SIGKILL)
    time.sleep(0.5)  # its workers end with it
    finished = {name: made for name, made in times(root).items() if not Path(name).name.startswith(".")}
    assert 3 <= len(finished) < len(parts_of(undisturbed[0]))
    answers = answer(root, text=plan_text("youth_neet"), jobs=2)
    assert as_text(found_by_name(answers)[NEET]) == as_text(undisturbed[1])
    after = times(root)
    assert {name: after[name] for name in finished} == finished
    made, expected = contents(root), contents(undisturbed[0])
    assert {name: made[name] for name in expected} == expected


def test_damaged_files_are_made_anew_and_sound_ones_left_alone(undisturbed, tmp_path, monkeypatch):
    root = copied(undisturbed[0], tmp_path)
    monkeypatch.setattr(run, "workers", in_this_process)
    sound = contents(root)
    hurt = {}
    for name, path in parts_of(root).items():
        kind = path.parent.name + path.suffix
        if kind not in hurt:
            hurt[kind] = name
            path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    assert set(hurt) == {"calibration.json", "specifications.json", "conclusion.json", "conclusion.npy"}
    before = times(root)
    answers = answer(root, text=plan_text("youth_neet"))
    assert as_text(found_by_name(answers)[NEET]) == as_text(undisturbed[1])
    assert contents(root) == sound
    assert {name for name, made in times(root).items() if made != before[name]} == set(hurt.values())


@pytest.fixture
def worked(monkeypatch, undisturbed) -> list[str]:
    """What a run works, by name, done in this process; curve and conclusion are the known ones."""
    root, evidence = undisturbed
    known = run.Assembled(
        evidence=dataclasses.replace(evidence, verdict=None, plan_status={}),
        draws=read_draws(next(path for path in parts_of(root).values() if path.suffix == ".npy")),
    )
    curve = next(path for path in parts_of(root).values() if path.parent.name == "specifications")
    done: list[str] = []

    class Curve:
        def as_dict(self):
            return json.loads(curve.read_text(encoding="utf-8"))

    def note(name, value):
        done.append(name)
        return value

    chunk = run.run_chunk
    monkeypatch.setattr(run, "workers", in_this_process)
    monkeypatch.setattr(run, "run_chunk", lambda *a, unit, **k: note(unit.estimator, chunk(*a, unit=unit, **k)))
    monkeypatch.setattr(run, "specification_curve", lambda *a, **k: note("curve", Curve()))
    monkeypatch.setattr(run, "assemble", lambda *, outcome, **k: note(f"conclusion of {outcome}", known))
    return done


HEADLINES = {"imputation", "callaway_santanna", "two_way_fe"}
SLOW = {"event_study", "random_trends", "panel_matching", "synthetic_did"}
CONCLUDED = "conclusion of youth_neet"


@pytest.mark.parametrize(
    ("locked", "now", "expected"),
    [
        ("seed", "seed", set()),
        ('title = "First', 'title = "Second', {CONCLUDED}),
        ("smallest_coverage = 0.90", "smallest_coverage = 0.91", {CONCLUDED}),
        ("draws = 10\n", "draws = 11\n", {*HEADLINES, CONCLUDED}),
        ("slow_draws = 2", "slow_draws = 3", {*SLOW, CONCLUDED}),
        ('cohorts = ["plan"]\nweightings = ["equal", ', "cohorts = ['plan']\nweightings = [", {"curve", CONCLUDED}),
        ("window = [2006, 2019]", "window = [2007, 2019]", {*HEADLINES, *SLOW, "curve", CONCLUDED}),
    ],
)
def test_a_changed_number_of_the_plan_reworks_only_what_rests_on_it(
    undisturbed, tmp_path, worked, locked, now, expected
):
    root, text = copied(undisturbed[0], tmp_path), plan_text("youth_neet")
    assert locked in text
    assert not answer(root, text=text.replace(locked, now, 1)).failed
    assert set(worked) == expected
    assert len(worked) == len(expected)


def test_a_question_that_fails_leaves_its_neighbours_answered_and_is_tried_again(
    undisturbed, tmp_path, worked, monkeypatch
):
    root, text = copied(undisturbed[0], tmp_path), plan_text("youth_neet", "employment")
    chunk = run.run_chunk

    def broken(sample, **options):
        if sample.n_treated > 3:
            raise ZeroDivisionError(f"in {root}/data")
        return chunk(sample, **options)

    with monkeypatch.context() as patch:
        patch.setattr(run, "run_chunk", broken)
        answers = answer(root, text=text)
    assert {question.name: why for question, why in answers.failed.items()} == {
        "certification/employment": f"ZeroDivisionError: in {root}/data".replace(f"{root}/", "")
    }
    assert set(found_by_name(answers)) == {NEET}
    assert found_by_name(answers)[NEET].verdict is not None
    worked.clear()
    assert not answer(root, text=text).failed
    assert set(worked) == {*HEADLINES, *SLOW, "conclusion of employment"}


def test_a_reason_that_can_be_translated_is_still_one_after_it_was_kept(undisturbed, tmp_path, worked, monkeypatch):
    root, handed = copied(undisturbed[0], tmp_path), []
    known = run.assemble

    def refuse(*_, **__):
        raise EstimationError(message("{n_units} units are too few", n_units=3))

    monkeypatch.setattr(run, "specification_curve", refuse)
    monkeypatch.setattr(run, "assemble", lambda *, prepared, **options: handed.append(prepared) or known(**options))
    assert not answer(root, text=plan_text("youth_neet").replace("[2006, 2019]", "[2006, 2018]")).failed
    reason = handed[0].failed["specifications"]
    assert reason == "3 units are too few"
    assert reason.template == "{n_units} units are too few"


def test_what_the_data_do_not_allow_is_kept_as_a_reason_and_handed_on(undisturbed, tmp_path, worked, monkeypatch):
    root, text = copied(undisturbed[0], tmp_path), plan_text("youth_neet").replace("[2006, 2019]", "[2006, 2018]")
    handed = []
    known = run.assemble

    def refuse(*_, **__):
        raise EstimationError("too few units")

    def keep(*, prepared, **options):
        handed.append(prepared)
        return known(**options)

    monkeypatch.setattr(run, "specification_curve", refuse)
    monkeypatch.setattr(run, "assemble", keep)
    assert not answer(root, text=text).failed
    assert handed[0].curve is None
    assert handed[0].failed == {"specifications": "too few units"}
    assert len(handed[0].chunks) == 7


def test_a_window_without_figures_fails_its_question_in_one_line(undisturbed, tmp_path, monkeypatch):
    root = copied(undisturbed[0], tmp_path)
    monkeypatch.setattr(run, "workers", in_this_process)
    answers = answer(root, text=plan_text("youth_neet").replace("window = [2006, 2019]", "window = [1990, 1995]"))
    assert not answers.found
    (why,) = answers.failed.values()
    assert "\n" not in why
    assert "Error:" not in why


def test_workers_that_are_killed_fail_the_questions_that_were_under_way(undisturbed, tmp_path, monkeypatch):
    root = copied(undisturbed[0], tmp_path)

    class Broken(ThreadPoolExecutor):
        def submit(self, work, *arguments):
            if work is run._conclude:
                raise BrokenProcessPool("a process was terminated")
            return super().submit(work, *arguments)

    @contextmanager
    def broken(jobs):
        with Broken(1) as pool:
            yield pool

    monkeypatch.setattr(run, "workers", broken)
    for path in (root / "data" / "processed" / "parts").rglob("conclusion/*"):
        path.unlink()
    answers = answer(root, text=plan_text("youth_neet"))
    assert list(answers.failed.values()) == ["BrokenProcessPool: a process was terminated"]


def test_lots_and_evidence_of_a_conclusion_belong_together(undisturbed):
    root, evidence = undisturbed
    (lots,) = (path for path in parts_of(root).values() if path.suffix == ".npy")
    draws = read_draws(lots)
    assert len(draws) == 39
    at_least = (np.abs(draws) >= abs(evidence.judged["estimate"] / evidence.judged["lot_std_error"]) * (1 - 1e-9)).sum()
    assert evidence.judged["lot_p_value"] == pytest.approx((1 + at_least) / (1 + np.isfinite(draws).sum()))
