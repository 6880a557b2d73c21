import os
import signal
import socket
import subprocess
import sys
import time
from contextlib import contextmanager

import pytest

from tests.report.batch_examples import answers_by_hand, write_template
from wwc_research.errors import InputError
from wwc_research.evidence.questions import THREADS
from wwc_research.report import batch, scheduler
from wwc_research.report.batch_plan import plan_batch

pytest.importorskip("distributed")
ONE_THREAD = {**os.environ, **dict.fromkeys(THREADS, "1")}


def free_port() -> int:
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        return held.getsockname()[1]


@contextmanager
def started(*processes: subprocess.Popen):
    try:
        yield processes
    finally:
        for process in processes:
            process.kill()
            process.wait()


@contextmanager
def running(tmp_path, *, workers: int = 1, threads: int = 1):
    """A scheduler and workers, processes of their own as on other machines; gives the address and the workers."""
    address = f"tcp://127.0.0.1:{free_port()}"
    host, port = address.removeprefix("tcp://").split(":")

    def start(kind: str, *options: str) -> subprocess.Popen:
        command = [sys.executable, "-m", f"distributed.cli.dask_{kind}", *options, "--no-dashboard"]
        return subprocess.Popen(
            command, env=ONE_THREAD, cwd=tmp_path, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )

    options = ("--nthreads", str(threads), "--no-nanny", "--local-directory", str(tmp_path), "--host", host)
    with started(
        start("scheduler", "--host", host, "--port", port),
        *(start("worker", address, *options) for _ in range(workers)),
    ) as (_, *every):
        wait_for(address, n_workers=workers)
        yield address, every


def wait_for(address: str, *, n_workers: int) -> None:
    from distributed import Client

    until = time.monotonic() + 30
    while True:
        try:
            with Client(address, timeout=1, set_as_default=False) as client:
                client.wait_for_workers(n_workers, timeout=20)
                return
        except OSError:
            assert time.monotonic() < until, "no scheduler came up"
            time.sleep(0.1)


def test_a_killed_worker_loses_nothing_and_the_pages_are_those_of_this_machine(project, tmp_path, monkeypatch):
    monkeypatch.setattr(batch, "answer_batch", answers_by_hand)
    write_template(project, "print(audience, language, len(open(evidence_path).read()))")
    outcomes = ("broadband", "employment", "youth_neet")
    asked = {"root": project, "outcomes": outcomes, "treatments": ("certification",), "audiences": ("staff",)}
    assert not batch.run_batch(plan_batch(out=tmp_path / "here", jobs=2, **asked)).failed
    with running(tmp_path, workers=2) as (address, workers):

        def kill_one(name: str) -> None:
            workers[0].send_signal(signal.SIGKILL)

        there = plan_batch(out=tmp_path / "there", scheduler=address, **asked)
        done = batch.run_batch(there, tick=kill_one)
    assert not done.failed
    assert len(done.made) == 3
    for page in (tmp_path / "here").rglob("*.html"):
        assert (tmp_path / "there" / page.relative_to(tmp_path / "here")).read_bytes() == page.read_bytes()


def test_workers_that_would_compute_something_else_are_refused_by_name(project, tmp_path, monkeypatch):
    with running(tmp_path, threads=2) as (address, _):
        monkeypatch.setattr(scheduler, "_CODE_AT_START", "other")
        monkeypatch.setattr(scheduler, "versions", lambda: {"pandas": "0.1"})
        with (
            pytest.raises(InputError) as caught,
            scheduler.cluster(address, root=project),
        ):
            pass
    for part in (address, "worker tcp://127.0.0.1", "other code", "pandas", "this machine 0.1", "--nthreads 1"):
        assert part in str(caught.value)


def test_a_worker_that_sees_other_figures_or_none_is_told_from_one_that_sees_the_same(project, tmp_path):
    expected = scheduler.state(project)
    assert scheduler._differences(expected, expected, root=project) == []
    (absent,) = scheduler._differences(scheduler.state(tmp_path / "none"), expected, root=project)
    assert "same folder at the same path" in absent
    (other,) = scheduler._differences({**expected, "data": "d1"}, expected, root=project)
    assert "other figures" in other


def test_a_worker_that_joins_later_is_asked_the_same_before_it_does_anything(project):
    state = scheduler.state(project)
    unit = scheduler._Unit(root=str(project), expected=tuple(state.items()))
    assert unit(abs, -3) == 3
    wrong = scheduler._Unit(root=str(project), expected=tuple({**state, "pandas": "0.1"}.items()))
    with pytest.raises(scheduler.ReportError, match=r"pandas .*this machine 0\.1"):
        wrong(abs, -3)


def test_a_scheduler_that_is_not_there_is_told_with_the_way_out(project, monkeypatch):
    address = f"tcp://127.0.0.1:{free_port()}"
    begun = time.monotonic()
    monkeypatch.setattr(scheduler, "TIMEOUT", 0.5)
    with (
        pytest.raises(InputError, match=rf"{address}: does not answer within") as caught,
        scheduler.cluster(address, root=project),
    ):
        pass
    assert time.monotonic() - begun < 5
    assert "dask scheduler" in str(caught.value)
