"""Jupyter kernels for pages, of this very Python: started afresh anywhere, or forked from a warm process on Linux.

In: a notebook, the folder it runs in. Out: the notebook with its outputs; nothing stays behind, however a run ends.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import re
import signal
import socket
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from queue import Empty
from tempfile import TemporaryDirectory, gettempdir
from typing import TYPE_CHECKING, Any, Final, Self

import zmq.asyncio
from jupyter_client.kernelspec import KernelSpec, KernelSpecManager
from jupyter_client.manager import AsyncKernelManager
from jupyter_client.provisioning.local_provisioner import LocalProvisioner
from jupyter_client.provisioning.provisioner_base import KernelProvisionerBase
from nbclient import NotebookClient
from traitlets.config import Config

from wwc_research.errors import ReportError
from wwc_research.evidence.questions import THREADS

if TYPE_CHECKING:
    from nbformat import NotebookNode

START_SECONDS: Final = 60
LONGEST_FOLDER: Final = 60  # a socket's path may have 107 characters on Linux and 103 on macOS
QUIET: Final = ["--log-level=CRITICAL", "--HistoryManager.enabled=False", "--Completer.use_jedi=False"]
_CELL_FILE = re.compile(r"\S*ipykernel_\d+[/\\](\d+)\.py")


@contextmanager
def short_folder() -> Iterator[Path]:
    """A new folder whose path is short enough for sockets, removed in the end."""
    base = gettempdir()
    with TemporaryDirectory(prefix="wwc-", dir=base if len(base) <= LONGEST_FOLDER else "/tmp") as folder:
        yield Path(folder)


def environment(folder: Path) -> dict[str, str]:
    """The environment of a kernel: one thread, sets in one order, pictures inline, and nobody's own IPython profile."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("JPY_")}
    ours = {
        "PYTHONHASHSEED": "0",
        "MPLBACKEND": "module://matplotlib_inline.backend_inline",
        "IPYTHONDIR": str(folder / "ipython"),
        # Arrow's allocator would keep a thread of its own, and a process with threads is not safe to fork
        "JE_ARROW_MALLOC_CONF": "background_thread:false",
    }
    return kept | dict.fromkeys(THREADS, "1") | ours


class _ThisPython(KernelSpecManager):
    """Any kernel is this Python: a kernel that the user has installed as `python3` may be another environment."""

    def get_kernel_spec(self, kernel_name: str) -> KernelSpec:
        argv = [sys.executable, "-m", "ipykernel_launcher", "-f", "{connection_file}"]
        return KernelSpec(argv=argv, display_name="Python 3", language="python")


class ForkedKernel(KernelProvisionerBase):
    """A kernel forked from a `ForkServer`: signals go through the server, which knows who is still there."""

    server: ForkServer
    pid: int | None = None
    returncode: int | None = None

    @property
    def has_process(self) -> bool:
        """Whether there is a kernel."""
        return self.pid is not None

    async def poll(self) -> int | None:
        """The exit status, or nothing while it runs."""
        return None if self.pid is None else self.server.ended.get(self.pid)

    async def wait(self) -> int | None:
        """The exit status, once it has ended."""
        while self.pid is not None and self.pid not in self.server.ended:
            await self.server.news()
        status, self.pid = await self.poll(), None
        return status

    async def send_signal(self, signum: int) -> None:
        """Send a signal to the kernel and what it has started."""
        if self.pid is not None:
            await self.server.send(kernel=self.pid, signal=int(signum))

    async def kill(self, restart: bool = False) -> None:
        """Kill it."""
        await self.send_signal(signal.SIGKILL)

    async def terminate(self, restart: bool = False) -> None:
        """Ask it to end."""
        await self.send_signal(signal.SIGTERM)

    async def pre_launch(self, **kwargs: Any) -> dict[str, Any]:
        """Write the connection file and make the command line, as a kernel on this machine wants them."""
        extra = kwargs.pop("extra_arguments", [])
        manager: Any = self.parent
        manager.write_connection_file()
        self.connection_info = manager.get_connection_info()
        return await super().pre_launch(cmd=manager.format_kernel_cmd(extra_arguments=extra), **kwargs)

    async def launch_kernel(self, cmd: list[str], **kwargs: Any) -> Any:
        """Have it forked; what stands before the kernel's own arguments is Python and the launcher."""
        self.pid = await self.server.fork(cmd[3:], folder=str(kwargs["cwd"]))
        return self.connection_info

    async def cleanup(self, restart: bool = False) -> None:
        """Nothing is left."""


@dataclass(slots=True, kw_only=True)
class ForkServer:
    """The warm process, seen from the one that drives the kernels.

    Attributes
    ----------
    ended
        Exit status by process id, of kernels that have ended; all of them where the server itself is gone.
    """

    process: subprocess.Popen[bytes]
    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter
    ended: dict[int, int] = field(default_factory=dict)
    _started: asyncio.Queue[int] = field(default_factory=asyncio.Queue)
    _news: asyncio.Event = field(default_factory=asyncio.Event)
    _forking: asyncio.Lock = field(default_factory=asyncio.Lock)
    _kernels: set[int] = field(default_factory=set)
    _listening: asyncio.Task[None] | None = None

    @classmethod
    @asynccontextmanager
    async def running(cls, *, folder: Path, modules: Sequence[str], languages: Sequence[str]) -> AsyncIterator[Self]:
        """A server that has imported `modules`, ended with its kernels when the block ends.

        Raises
        ------
        ReportError
            Where it did not come up, or runs threads, with which it would not be safe to fork.
        """
        ours, theirs = socket.socketpair()
        with theirs:
            command = [sys.executable, "-m", "wwc_research.report.fork_server", str(theirs.fileno()), str(os.getpid())]
            process = subprocess.Popen(
                command,
                pass_fds=[theirs.fileno()],
                env=environment(folder),
                stdin=subprocess.DEVNULL,
                start_new_session=True,  # Ctrl-C is for the driver, which ends it in order
            )
        reader, writer = await asyncio.open_connection(sock=ours)
        server = cls(process=process, reader=reader, writer=writer)
        try:
            await server.send(folder=str(folder), modules=list(modules), languages=list(languages))
            first = json.loads(await asyncio.wait_for(reader.readline(), START_SECONDS) or b"{}")
            if first.get("threads") != 1:
                raise ReportError(
                    "the process that forks kernels did not start, or runs threads; use the portable engine"
                )
            server._listening = asyncio.create_task(server._listen())
            yield server
        finally:
            await server._close()

    async def send(self, **message: Any) -> None:
        """Send one message; where the server is gone, so are its kernels, and there is nobody to tell."""
        with contextlib.suppress(ConnectionError):
            self.writer.write(json.dumps(message).encode() + b"\n")
            await self.writer.drain()

    async def fork(self, arguments: list[str], *, folder: str) -> int:
        """The process id of a new kernel."""
        async with self._forking:
            await self.send(arguments=arguments, folder=folder)
            pid = await self._started.get()
        if pid < 0:
            raise ReportError("the process that forks kernels is gone")
        return pid

    async def news(self) -> None:
        """Wait until some kernel has ended."""
        await self._news.wait()

    async def _listen(self) -> None:
        while line := await self.reader.readline():
            message = json.loads(line)
            if "started" in message:
                self._kernels.add(message["started"])
                self._started.put_nowait(message["started"])
            else:
                self._end(message["ended"], message["status"])
        for pid in tuple(self._kernels):
            self._end(pid, -signal.SIGKILL)
        self._started.put_nowait(-1)

    def _end(self, pid: int, status: int) -> None:
        self._kernels.discard(pid)
        self.ended[pid] = status
        self._news.set()
        self._news.clear()

    async def _close(self) -> None:
        if self._listening is not None:
            self._listening.cancel()
        self.writer.close()
        with contextlib.suppress(ConnectionError):
            await self.writer.wait_closed()
        try:
            await asyncio.to_thread(self.process.wait, 3)
        except subprocess.TimeoutExpired:  # it may still be importing
            self.process.kill()
            await asyncio.to_thread(self.process.wait)


@dataclass(frozen=True, slots=True, kw_only=True)
class Kernels:
    """Runs notebooks, each in a kernel of its own; forked where there is a server to fork from."""

    folder: Path
    context: zmq.asyncio.Context
    server: ForkServer | None = None

    @classmethod
    @asynccontextmanager
    async def running(cls, *, fork: bool, modules: Sequence[str], languages: Sequence[str]) -> AsyncIterator[Self]:
        """Ready to run notebooks; inside the block only."""
        with short_folder() as folder, zmq.asyncio.Context() as context:
            if not fork:
                yield cls(folder=folder, context=context)
                return
            async with ForkServer.running(folder=folder, modules=modules, languages=languages) as server:
                yield cls(folder=folder, context=context, server=server)

    async def run(self, notebook: NotebookNode, *, name: str, cwd: Path, cell_seconds: int) -> None:
        """Execute the cells in order, with their outputs put into `notebook`.

        Parameters
        ----------
        name
            Short and of this run alone: names its sockets.
        cell_seconds
            How long one cell may take.

        Raises
        ------
        CellExecutionError, CellTimeoutError, DeadKernelError, RuntimeError
            Nbclient's own, where a cell fails, takes too long, or the kernel dies or does not start.
        """
        manager = self._manager(name)
        client = NotebookClient(
            notebook,
            km=manager,
            timeout=cell_seconds,
            record_timing=False,
            coalesce_streams=True,
            extra_arguments=list(QUIET),
            ipython_hist_file="",
        )
        try:
            await client.async_start_new_kernel(cwd=str(cwd), env=environment(self.folder))
            client.kc = manager.client(context=self.context)
            client.kc.start_channels(stdin=False)
            notebook.metadata["language_info"] = await _answered(client.kc, manager)
            for index, cell in enumerate(notebook.cells):
                await client.async_execute_cell(cell, index, execution_count=client.code_cells_executed + 1)
        finally:
            for cell in notebook.cells:
                _forget_process(cell)
            await _ended(manager, client.kc)

    def _manager(self, name: str) -> AsyncKernelManager:
        transport = {} if os.name == "nt" else {"transport": "ipc", "ip": str(self.folder / name)}
        manager = AsyncKernelManager(
            context=self.context,
            connection_file=str(self.folder / f"{name}.json"),
            kernel_spec_manager=_ThisPython(),
            config=Config({"KernelManager": transport}),
            **transport,
        )
        asked = {"kernel_id": name, "kernel_spec": manager.kernel_spec, "parent": manager}
        if self.server is None:
            manager.provisioner = LocalProvisioner(**asked)
        else:
            manager.provisioner = forked = ForkedKernel(**asked)
            forked.server = self.server
        return manager


async def _answered(client: Any, manager: AsyncKernelManager) -> dict[str, Any]:
    """What the kernel says of its language, once its answers and its outputs both arrive.

    A kernel's outputs are published: what it sends before this side has subscribed is lost, so it is asked until
    something comes. (Jupyter's own `wait_for_ready` does the same and then always waits another fifth of a second.)
    """
    deadline = asyncio.get_running_loop().time() + START_SECONDS
    while asyncio.get_running_loop().time() < deadline:
        client.kernel_info()
        with contextlib.suppress(Empty):
            reply = await client.get_shell_msg(timeout=1)
            await client.get_iopub_msg(timeout=0.2)
            language: dict[str, Any] = reply["content"]["language_info"]
            return language
        if not await manager.is_alive():
            raise RuntimeError("the kernel died while it started")
    raise RuntimeError(f"the kernel did not answer within {START_SECONDS} seconds")


async def _ended(manager: AsyncKernelManager, client: Any) -> None:
    """Kill the kernel and what it has started; all it made has been received."""
    provisioner = manager.provisioner
    if provisioner is not None and provisioner.has_process:
        await provisioner.kill()
        await provisioner.wait()
    if client is not None:
        client.stop_channels()
    await manager.cleanup_resources()


def _forget_process(cell: NotebookNode) -> None:
    """Leave the kernel's process id out of outputs: it stands in the file names that warnings and traces give."""
    for output in cell.get("outputs", ()):
        if output.output_type == "stream":
            output.text = _CELL_FILE.sub("a cell", output.text)
        elif output.output_type == "error":
            output.traceback = [_CELL_FILE.sub("a cell", line) for line in output.traceback]


__all__ = ["ForkServer", "ForkedKernel", "Kernels", "short_folder"]
