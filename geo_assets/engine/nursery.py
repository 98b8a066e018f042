"""The nursery: a small process that imports the heavy libraries once and forks the workers.

`multiprocessing`'s own fork server is not used: it imports the program's main module again (in a
Dagster process that is Dagster), it is one global that Dagster may have started with its own
preload, and its children do not die with the program. This one knows nothing but what it is told,
has one thread, and when the engine goes away it kills its workers and ends.

Spoken on the control socket: the engine sends one byte with two file descriptors (channel,
output); the nursery answers with `REPLY` records.
"""

from __future__ import annotations

import contextlib
import gc
import importlib
import os
import select
import signal
import socket
import struct
import sys
from collections.abc import Sequence
from typing import NoReturn

from geo_assets.engine import sandbox, worker

REPLY = struct.Struct("<cqq")
READY = b"R"
BORN = b"B"
DEAD = b"D"
FORK = b"F"

PRELOAD = ("numpy", "pyproj", "shapely", "rasterio", "rasterio.warp", "rasterio.shutil", "pyarrow",
           "pyarrow.parquet", "pandas")  # fmt: skip
"""What nearly every kernel imports; cheap in memory because the workers share it.

Pandas is here because pyarrow imports it with the first array that it converts: a worker that did
so by itself had 40 MB of its own instead of 5. Nothing that starts a thread or holds a connection
belongs here (dagster, obstore)."""


def main(control_fd: int, preload: Sequence[str], *, fork: bool) -> NoReturn:
    """Serve the engine until it closes the control socket.

    Args:
        control_fd: The socket to the engine.
        preload: Modules to import before the first worker; those that do not exist are skipped.
        fork: Fork workers from this process; otherwise each is a new interpreter.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    os.set_inheritable(control_fd, False)
    sandbox.apply()
    # rasterio imports boto3 if it can, a quarter of a second for what a worker must not do
    sys.modules["boto3"] = None  # type: ignore[assignment]
    if fork:
        for name in preload:
            _end_if_alone(control_fd)
            with contextlib.suppress(ImportError):
                importlib.import_module(name)
        _register_drivers()
        gc.collect()
        gc.freeze()  # the collector shall not touch, and so copy, the pages that workers share
    _Nursery(socket.socket(fileno=control_fd), fork=fork).serve()


def _end_if_alone(control_fd: int) -> None:
    """Imports take seconds on a cold disk; do not go on with them for an engine that is gone."""
    poll = select.poll()
    poll.register(control_fd, 0)
    if poll.poll(0):
        os._exit(0)


def _register_drivers() -> None:
    """Once here instead of in every worker."""
    if rasterio := sys.modules.get("rasterio"):
        with rasterio.Env():
            os.environ["OGR_SKIP"] = sandbox.OGR_SKIP


class _Nursery:
    def __init__(self, control: socket.socket, *, fork: bool) -> None:
        self._control = control
        self._fork = fork
        self._children: set[int] = set()
        self._woken, self._wake = os.pipe()
        os.set_blocking(self._woken, False)
        os.set_blocking(self._wake, False)

    def serve(self) -> NoReturn:
        signal.signal(signal.SIGCHLD, lambda *_: None)
        signal.set_wakeup_fd(self._wake)
        self._reply(READY, os.getpid(), 0)
        control = self._control.fileno()
        while True:
            ready, _, _ = select.select([control, self._woken], [], [])
            if self._woken in ready:
                self._reap()
            if control in ready:
                self._request()

    def _request(self) -> None:
        try:
            byte, fds, _, _ = socket.recv_fds(self._control, 1, 2)
        except ConnectionError:
            byte, fds = b"", []
        if not byte:
            self._end()
        pid = self._start(*fds)
        for fd in fds:
            os.close(fd)
        self._children.add(pid)
        self._reply(BORN, pid, 0)

    def _start(self, channel_fd: int, output_fd: int) -> int:
        parent = os.getpid()
        if not self._fork:
            for fd in (channel_fd, output_fd):
                os.set_inheritable(fd, True)
            code = bootstrap("worker", f"main({channel_fd}, {output_fd}, {parent})")
            return os.posix_spawn(sys.executable, [sys.executable, "-c", code], os.environ)
        pid = os.fork()
        if pid:
            return pid
        status = 1
        try:
            signal.set_wakeup_fd(-1)
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            self._control.close()
            os.close(self._wake)
            os.close(self._woken)
            worker.main(channel_fd, output_fd, parent)
        except SystemExit as end:
            status = end.code if isinstance(end.code, int) else 1
        except BaseException:  # noqa: BLE001 - a forked child never returns to the nursery's loop
            sys.excepthook(*sys.exc_info())
        finally:
            os._exit(status)

    def _reap(self) -> None:
        with contextlib.suppress(BlockingIOError):
            os.read(self._woken, 4096)
        while self._children:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                return
            if not pid:
                return
            self._children.discard(pid)
            self._reply(DEAD, pid, os.waitstatus_to_exitcode(status))

    def _reply(self, kind: bytes, pid: int, code: int) -> None:
        try:
            self._control.sendall(REPLY.pack(kind, pid, code))
        except OSError:
            self._end()

    def _end(self) -> NoReturn:
        for pid in self._children:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        for pid in self._children:
            with contextlib.suppress(ChildProcessError):
                os.waitpid(pid, 0)
        os._exit(0)


def bootstrap(module: str, call: str) -> str:
    """Source text for `python -c`: this process's import path, then one call.

    The main module of the new interpreter is this text, so that nothing of ours is run twice.
    """
    path = [entry or os.getcwd() for entry in sys.path]  # noqa: PTH109 - as the interpreter does
    return (
        f"import sys; sys.path[:] = {path!r}; "
        f"from geo_assets.engine import {module}; {module}.{call}"
    )
