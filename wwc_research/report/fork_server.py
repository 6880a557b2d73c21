"""A process that has imported what pages need, and forks a Jupyter kernel for every page (Linux only).

In: one JSON object a line over a socket. Out: over the same socket, the id of each kernel, and how it ended.
Run by kernels.py as `python -m wwc_research.report.fork_server DESCRIPTOR`.
"""

from __future__ import annotations

import contextlib
import ctypes
import gc
import importlib
import json
import os
import selectors
import shutil
import signal
import socket
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NoReturn

_DIE_WITH_PARENT = 1  # PR_SET_PDEATHSIG, linux/prctl.h
_LIBC = ctypes.CDLL(None, use_errno=True)


def die_with_parent(parent: int) -> None:
    """Have this process killed once `parent`, which started it, has ended, however it ended."""
    _LIBC.prctl(_DIE_WITH_PARENT, signal.SIGKILL)
    if os.getppid() != parent:
        os._exit(1)


def preload(modules: Sequence[str], languages: Sequence[str]) -> None:
    """Import `modules` and do once what every page would do first: fonts, catalogues, IPython itself."""
    import IPython.core.completer
    import IPython.core.historyapp  # noqa: F401  (IPython imports these when a shell starts)

    for name in modules:
        with contextlib.suppress(Exception):  # what cannot be imported fails in the cell that wants it, and is shown
            importlib.import_module(name)
    if "pandas" in sys.modules:
        import pandas as pd

        # pandas chooses these when it is imported, and this process is not a kernel yet
        pd.set_option("display.max_columns", 20, "display.encoding", "UTF-8")
    if "matplotlib" in sys.modules:
        _warm_fonts()
    from wwc_research.report import language

    for code in languages:
        with language.speaking(code):
            language.shown("")
            language.localised("1,000.5%")


def _warm_fonts() -> None:
    """Find and measure the fonts, with no pyplot: its backend must be chosen inside the kernel."""
    import io

    from matplotlib.figure import Figure

    figure = Figure()
    axes = figure.subplots()
    axes.set_title("0.5 − $x^2$", fontweight="bold")
    axes.plot([0, 1], [1, 1000])
    figure.savefig(io.BytesIO(), format="svg")


def threads() -> int:
    """Threads of this process; with more than one a fork could copy a lock that nobody will release."""
    return len(list(Path("/proc/self/task").iterdir()))


class Server:
    """Forks kernels on request, tells when they end, and ends them all when the socket closes."""

    def __init__(self, control: socket.socket) -> None:
        self.control = control
        self.lines = control.makefile("rb", buffering=0)
        self.kernels: set[int] = set()
        self.folder = ""

    def tell(self, **message: Any) -> None:
        """Send one message."""
        self.control.sendall(json.dumps(message).encode() + b"\n")

    def run(self) -> None:
        """Serve until the other side is gone."""
        first = json.loads(self.lines.readline())
        self.folder = first["folder"]
        preload(first["modules"], first["languages"])
        gc.collect()
        gc.freeze()  # what is there now is never looked at again, so its pages stay shared
        woken, wakes = os.pipe()
        for end in (woken, wakes):
            os.set_blocking(end, False)
        signal.set_wakeup_fd(wakes, warn_on_full_buffer=False)
        signal.signal(signal.SIGCHLD, lambda *_: None)
        self.tell(ready=True, threads=threads())
        with selectors.DefaultSelector() as waiting:
            waiting.register(self.control, selectors.EVENT_READ)
            waiting.register(woken, selectors.EVENT_READ)
            while True:
                ready = {key.fileobj for key, _ in waiting.select()}
                if woken in ready:
                    os.read(woken, 4096)
                    self.reap()
                if self.control in ready and not self.answer():
                    return

    def reap(self) -> None:
        """Take leave of kernels that have ended, and say so."""
        for pid in tuple(self.kernels):
            ended, status = os.waitpid(pid, os.WNOHANG)
            if ended:
                self.kernels.remove(pid)
                self.tell(ended=pid, status=os.waitstatus_to_exitcode(status))

    def answer(self) -> bool:
        """Do what one line asks for; false where the other side is gone."""
        line = self.lines.readline()
        if not line:
            return False
        request = json.loads(line)
        if "signal" in request:
            self.signal(request["kernel"], request["signal"])
        else:
            pid = self.fork(request["arguments"], folder=request["folder"])
            self.kernels.add(pid)
            self.tell(started=pid)
        return True

    def signal(self, pid: int, number: int) -> None:
        """Send a signal to a kernel and what it started, unless it has ended and its number may be another's."""
        if pid not in self.kernels:
            return
        try:
            os.killpg(pid, number)
        except ProcessLookupError:  # it has not yet come to lead a group of its own
            os.kill(pid, number)

    def fork(self, arguments: list[str], *, folder: str) -> int:
        """A new kernel with these command line arguments, in this working folder."""
        server = os.getpid()
        pid = os.fork()
        if pid:
            return pid
        try:
            os.setsid()
            die_with_parent(server)
            signal.set_wakeup_fd(-1)
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            self.lines.close()
            self.control.close()
            os.chdir(folder)
            become_kernel(arguments)
        finally:
            os._exit(1)

    def end(self) -> None:
        """Kill the kernels that are left and remove the folder of their sockets."""
        for pid in self.kernels:
            self.signal(pid, signal.SIGKILL)
        shutil.rmtree(self.folder, ignore_errors=True)


def become_kernel(arguments: list[str]) -> NoReturn:
    """Go on as a kernel, with random numbers of its own."""
    import random

    from ipykernel.kernelapp import IPKernelApp

    random.seed()
    if "numpy" in sys.modules:
        import numpy as np

        np.random.seed()  # noqa: NPY002  (the legacy state is what every fork would share)
    sys.argv = ["ipykernel_launcher.py", *arguments]
    app = IPKernelApp.instance()
    app.initialize(arguments)
    app.start()
    os._exit(0)


def main() -> None:
    """Serve the socket whose descriptor is the first argument, for the process whose id is the second."""
    descriptor, parent = int(sys.argv[1]), int(sys.argv[2])
    die_with_parent(parent)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    sys.path.pop(0)  # the folder it was started in; IPython puts the kernel's own there
    server = Server(socket.socket(fileno=descriptor))
    try:
        server.run()
    except (BrokenPipeError, ConnectionResetError):
        pass
    finally:
        server.end()


if __name__ == "__main__":
    main()
