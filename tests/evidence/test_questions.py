import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from wwc_research import catalog
from wwc_research.errors import DataError, InputError
from wwc_research.evidence.questions import THREADS, Question, in_one_line, read_plan_file, with_family, workers

BROADBAND = Question(treatment="certification", outcome="broadband")


def test_the_family_of_a_question_holds_all_its_outcomes_under_every_planned_treatment():
    plan = catalog.plan()
    asked = with_family([BROADBAND], plan=plan)
    residents = {name for name, analysis in plan.analyses.items() if analysis.family == "residents"}
    assert {item.outcome for item in asked} == residents
    assert {item.treatment for item in asked} == set(plan.treatments)
    assert len(asked) == len(set(asked)) == len(residents) * len(plan.treatments)


def test_a_treatment_beyond_the_plan_joins_the_family_and_drives_nobody_out():
    plan = catalog.plan()
    asked = with_family([Question(treatment="gold_certification", outcome="broadband")], plan=plan)
    assert set(asked) > set(with_family([BROADBAND], plan=plan))
    assert "gold_certification" in {item.treatment for item in asked}


def test_a_plan_that_cannot_be_read_is_refused_with_its_name(tmp_path):
    binary = tmp_path / "plan.toml"
    binary.write_bytes(b"\xff\xfe")
    for path in (tmp_path / "absent.toml", tmp_path, binary):
        with pytest.raises(InputError, match=path.name):
            read_plan_file(path)
    binary.write_text("title = 'no plan'", encoding="utf-8")
    with pytest.raises(DataError):
        read_plan_file(binary)


def test_without_a_file_the_plan_is_the_shipped_one():
    assert read_plan_file(None).sha256 == catalog.plan().sha256


def test_a_failure_is_one_line_without_the_folders_of_the_machine(tmp_path):
    error = DataError(f"{tmp_path}{os.sep}data/raw/table.csv: 2 faults\n  1. one\n  2. two")
    assert in_one_line(error, root=tmp_path) == "data/raw/table.csv: 2 faults 1. one 2. two"
    assert in_one_line(ZeroDivisionError("division by zero"), root=tmp_path) == "ZeroDivisionError: division by zero"


def test_workers_have_one_thread_each_and_the_setting_of_before_comes_back(monkeypatch):
    monkeypatch.setenv(THREADS[0], "7")
    monkeypatch.delenv(THREADS[1], raising=False)
    with workers(1) as pool:
        assert [pool.submit(os.getenv, name).result() for name in THREADS] == ["1"] * len(THREADS)
    assert os.environ[THREADS[0]] == "7"
    assert THREADS[1] not in os.environ


STARTS_A_WORKER = """
import os, time
from wwc_research.evidence.questions import workers
if __name__ == "__main__":
    with workers(1) as pool:
        print(pool.submit(os.getpid).result(), flush=True)
        time.sleep(60)
"""


def is_running(pid: int) -> bool:
    """Whether the process is there and not merely waiting to be counted as dead."""
    status = Path(f"/proc/{pid}/stat")
    return status.exists() and status.read_text(encoding="utf-8").rpartition(")")[2].split()[0] != "Z"


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="asks the kernel's list of processes")
def test_workers_end_with_the_process_that_started_them(tmp_path):
    script = tmp_path / "start.py"
    script.write_text(STARTS_A_WORKER, encoding="utf-8")
    with subprocess.Popen(
        [sys.executable, str(script)], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    ) as started:
        assert started.stdout is not None
        worker = int(started.stdout.readline())
        assert is_running(worker)
        started.send_signal(signal.SIGKILL)
    until = time.monotonic() + 20
    while is_running(worker) and time.monotonic() < until:
        time.sleep(0.05)
    assert not is_running(worker)
