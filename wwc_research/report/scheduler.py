"""An existing dask.distributed cluster as the place where units of work are done.

In: its address, the project's folder, which every worker sees at the same path. Out: a pool that takes work as that of
this machine does, once every worker has shown that it would compute the same.
"""

from __future__ import annotations

import os
import platform
import sys
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Future
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, Final

from wwc_research.errors import Faults, InputError, ReportError, listed
from wwc_research.evidence.questions import THREADS
from wwc_research.report.batch_files import code_hash, data_hash, versions

TIMEOUT: Final = 5.0  # seconds until a scheduler that does not answer is given up
_APPLE: Final = "VECLIB_MAXIMUM_THREADS"  # read by Apple's library alone, and not set by dask's workers
# a worker that has run for days may hold older code than the files on its disk
_CODE_AT_START: Final = code_hash()


def state(root: Path) -> dict[str, Any]:
    """What this process would compute with: versions, hashes of code and data, threads."""
    return {
        **versions(),
        "code": _CODE_AT_START,
        "data": data_hash(root) if (root / "data" / "raw" / "manifest.toml").is_file() else "absent",
    }


def _probe(root: str) -> dict[str, Any]:
    """The state of a worker, with the threads that its sums may use."""
    threads = {name: os.environ.get(name, "unset") for name in THREADS if name != _APPLE or sys.platform == "darwin"}
    return {**state(Path(root)), "threads": threads}


def _differences(found: Mapping[str, Any], expected: Mapping[str, Any], *, root: Path) -> list[str]:
    """What a worker would compute with that this machine does not, in words."""
    if found["data"] == "absent":
        return [f"sees no project at {root}; every worker needs the same folder at the same path"]
    told = []
    for name, value in expected.items():
        if found.get(name) == value:
            continue
        if name == "code":
            told.append("runs other code of wwc-research than this machine; install the same and start it again")
        elif name == "data":
            told.append(f"sees other figures below {root / 'data' / 'raw'} than this machine")
        else:
            told.append(f"has {name} {found.get(name, 'absent')}, this machine {value}")
    return told


@dataclass(frozen=True, slots=True, kw_only=True)
class _Unit:
    """A unit of work that is done only where the same comes out as here: workers may join while a run is under way."""

    root: str
    expected: tuple[tuple[str, Any], ...]

    def __call__(self, work: Callable[..., Any], /, *arguments: Any) -> Any:
        differences = _own_differences(self.root, self.expected)
        if differences:
            raise ReportError(f"a worker on {platform.node()} {'; '.join(differences)}")
        return work(*arguments)


@cache
def _own_differences(root: str, expected: tuple[tuple[str, Any], ...]) -> list[str]:
    return _differences(_probe(root), dict(expected), root=Path(root))


@dataclass(frozen=True, slots=True, kw_only=True)
class ClusterPool:
    """The workers of a cluster; a unit whose worker is lost is done again by another."""

    executor: Any
    unit: _Unit

    def submit(self, work: Callable[..., Any], /, *arguments: Any) -> Future[Any]:
        """Have `work(*arguments)` done on the cluster."""
        future: Future[Any] = self.executor.submit(self.unit, work, *arguments)
        return future


@contextmanager
def cluster(address: str, *, root: Path) -> Iterator[ClusterPool]:
    """The cluster at `address`, every worker of which has shown that it computes what this machine would.

    Raises
    ------
    InputError
        Where the scheduler does not answer within five seconds, has no workers, or a worker has other versions, code or
        figures, or more threads than one: naming each worker and the difference.
    """
    from distributed import Client

    try:
        client = Client(address, timeout=TIMEOUT, set_as_default=False)
    except (OSError, TimeoutError) as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise InputError(
            f"--scheduler {address}: does not answer within {TIMEOUT:.0f} seconds ({reason}). Start one with "
            "'dask scheduler', or correct the address."
        ) from None
    with client:
        expected = state(root)
        _check_workers(client, address=address, expected=expected, root=root)
        unit = _Unit(root=str(root), expected=tuple(expected.items()))
        executor = client.get_executor(pure=False)
        try:
            yield ClusterPool(executor=executor, unit=unit)
        finally:
            # what is still waiting is of no use to anybody: all was done, or the run was given up
            executor.shutdown(wait=False)


def _check_workers(client: Any, *, address: str, expected: Mapping[str, Any], root: Path) -> None:
    faults = Faults(f"--scheduler {address}")
    known = client.scheduler_info(n_workers=-1)["workers"]
    if not known:
        faults.add(f"has no workers. Start some with: dask worker {address} --nthreads 1")
    answers = client.run(_probe, str(root), on_error="return") if known else {}
    for worker, info in known.items():
        found = answers.get(worker)
        if isinstance(found, dict):
            for difference in _differences(found, expected, root=root):
                faults.add(f"worker {worker} {difference}")
            many = [name for name, value in found["threads"].items() if value != "1"]
            if many or info["nthreads"] != 1:
                faults.add(
                    f"worker {worker} computes with more than one thread ({info['nthreads']} of its own; "
                    f"{listed(many)} not 1), so that sums could differ in their last digits; start it with --nthreads 1"
                )
        else:
            faults.add(f"worker {worker} cannot do this work ({type(found).__name__}: {found})")
    faults.raise_if_any()


__all__ = ["ClusterPool", "cluster", "state"]
