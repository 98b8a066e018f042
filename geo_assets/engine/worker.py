"""The worker's side: one process that does chunks, one after another.

It imports no asyncio, no dagster and no object store. Whatever happens here, the engine gets one
answer per chunk or an end of file; both are complete news.
"""

from __future__ import annotations

import contextlib
import ctypes
import faulthandler
import logging
import os
import resource
import select
import signal
import socket
import sys
import threading
import traceback
from dataclasses import dataclass
from pathlib import Path
from time import monotonic
from typing import Any, NoReturn

from geo_assets.engine import channel
from geo_assets.errors import ContractError, GeoAssetsError, WorkerMemory
from geo_assets.model import KernelResult

_LOG_RECORDS = 200
_TEXT_LIMIT = 4000
_TRIM_ABOVE = 8 << 20
_REUSED = 32 << 20  # larger arrays are handed back when they are freed: glibc allows no more
_HELD = 64 << 20
_M_TRIM_THRESHOLD = -1
_M_MMAP_THRESHOLD = -3
_PR_SET_PDEATHSIG = 1
_PR_SET_NAME = 15


@dataclass(frozen=True, slots=True, kw_only=True)
class Account:
    """What one chunk cost its worker."""

    peak_bytes: int
    """The most memory it used on top of the worker's resting size."""
    resting_bytes: int
    """Anonymous bytes of the worker afterwards."""
    wall_s: float
    cpu_s: float
    recycle: bool
    """The worker should not be used again."""


def main(channel_fd: int, output_fd: int, parent: int) -> NoReturn:
    """Serve chunks until the engine closes the channel, then end the process.

    Args:
        channel_fd: The private socket.
        output_fd: The pipe that stdout and stderr go to.
        parent: Process id that must stay alive; 0 skips the check.
    """
    _die_with(parent)
    _reuse_memory()
    os.dup2(output_fd, 1)
    os.dup2(output_fd, 2)
    os.close(output_fd)
    for stream in (sys.stdout, sys.stderr):
        stream.reconfigure(line_buffering=True)  # type: ignore[union-attr]
    faulthandler.enable()
    sock = socket.socket(fileno=channel_fd)
    threading.Thread(target=_watch, args=(os.dup(channel_fd),), daemon=True).start()
    line = channel.Channel(sock)
    forward = _Forward(line)
    logging.basicConfig(handlers=[forward], level=logging.WARNING, force=True)
    logging.captureWarnings(capture=True)
    resting = _memory().anonymous
    line.send(channel.READY, channel.dump(resting))
    while message := line.receive():
        kind, payload, resting = _serve(message[1], forward, resting)
        sys.stdout.flush()
        sys.stderr.flush()
        line.send(kind, payload)
    os._exit(0)


def _die_with(parent: int) -> None:
    """Let the owner decide about signals, and do not outlive it."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_CORE, (0, resource.getrlimit(resource.RLIMIT_CORE)[1]))
    if sys.platform == "linux":
        libc = ctypes.CDLL(None)
        libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
        libc.prctl(_PR_SET_NAME, b"geo-worker")
        # when the host itself runs out, the kernel shall take a worker and not the run
        with contextlib.suppress(OSError):
            Path("/proc/self/oom_score_adj").write_text("800", encoding="ascii")
    if parent and os.getppid() != parent:
        os._exit(0)


def _reuse_memory() -> None:
    """Let the arrays of a chunk get the memory of those before.

    By itself glibc hands memory back at once when an array is freed, and the kernel has to clear
    it for the next one: of a join that was a tenth of all CPU time. At the end of a chunk all of
    it is handed back.
    """
    if sys.platform == "linux":
        with contextlib.suppress(AttributeError):  # a C library without it
            libc = ctypes.CDLL(None)
            libc.mallopt(_M_MMAP_THRESHOLD, _REUSED)
            libc.mallopt(_M_TRIM_THRESHOLD, _HELD)


def _watch(fd: int) -> None:
    """End the process when the engine's end of the channel is gone, even in mid-chunk."""
    poll = select.poll()
    poll.register(fd, 0)
    poll.poll()
    os._exit(0)


class _Forward(logging.Handler):
    """Sends log records to the engine, at most `_LOG_RECORDS` for one chunk."""

    def __init__(self, line: channel.Channel) -> None:
        super().__init__()
        self._line = line
        self.sent = 0

    def emit(self, record: logging.LogRecord) -> None:
        self.sent += 1
        if self.sent > _LOG_RECORDS:
            return
        text = record.getMessage()
        if record.exc_info:
            text += "\n" + "".join(traceback.format_exception(*record.exc_info))
        self.post(record.name, record.levelno, text)

    def post(self, name: str, level: int, text: str) -> None:
        with contextlib.suppress(OSError):
            self._line.send(channel.LOG, channel.dump((name, level, text[:_TEXT_LIMIT])))

    def end_of_chunk(self) -> None:
        if self.sent > _LOG_RECORDS:
            left_out = self.sent - _LOG_RECORDS
            self.post(__name__, logging.WARNING, f"{left_out} more log records left out")
        self.sent = 0


def _serve(job: bytes, forward: _Forward, resting: int) -> tuple[bytes, bytes, int]:
    start, cpu = monotonic(), _cpu_s()
    _reset_peak()
    recycle, chunk = False, ""
    try:
        chunk, level, kernel, spec, workdir = _load(job)
        logging.getLogger("geo_assets").setLevel(level)
        result = kernel(spec, Path(workdir))
        _check(result, chunk)
        kind, answer = channel.RESULT, result
    except Exception as error:  # noqa: BLE001 - every failure of a kernel is an answer
        kind, answer = channel.ERROR, _sendable(error, chunk)
        recycle = isinstance(error, MemoryError)
    memory = _memory()
    peak = max(0, memory.peak - resting)
    forward.end_of_chunk()
    if peak > _TRIM_ABOVE and sys.platform == "linux":
        ctypes.CDLL(None).malloc_trim(0)
        memory = _memory()
    account = Account(
        peak_bytes=peak,
        resting_bytes=memory.anonymous,
        wall_s=monotonic() - start,
        cpu_s=_cpu_s() - cpu,
        recycle=recycle,
    )
    return kind, _packed(answer, account, kind), memory.anonymous


def _load(job: bytes) -> tuple[str, int, Any, Any, str]:
    try:
        return channel.load(job)  # type: ignore[no-any-return]
    except Exception as error:
        raise ContractError(
            "A kernel and its spec are importable by name in a worker",
            f"{type(error).__name__}: {error}",
            fix="Define both at module level, in a module that workers can import.",
        ) from error


def _check(result: Any, chunk: str) -> None:
    """Refuse what is no small, picklable `KernelResult`."""
    if not isinstance(result, KernelResult):
        raise ContractError("A kernel returns a KernelResult", type(result).__name__, chunk)
    try:
        packed = channel.dump(result)
        channel.load(packed)
    except Exception as error:
        got = f"{type(error).__name__}: {error}"
        raise ContractError(
            "A kernel's result can be pickled",
            got[:_TEXT_LIMIT],
            chunk,
            "Put plain values into facts and data into files.",
        ) from error
    # the statistics beside it and the frame need some bytes too
    if len(packed) > channel.PAYLOAD_LIMIT:
        raise ContractError(
            f"A kernel's result is smaller than {channel.PAYLOAD_LIMIT} bytes",
            f"{len(packed)} bytes", chunk, "Write large data to a file.")  # fmt: skip


def _sendable(error: Exception, chunk: str) -> Exception:
    """The error itself if the engine can load it cheaply, or a description of it.

    Only built-in errors and our own are sent as they are: unpickling the error of a library in
    the engine would import that library on the event loop.
    """
    text = "".join(traceback.format_exception(error))[-_TEXT_LIMIT:]
    sent: Exception = error
    home = type(error).__module__
    if isinstance(error, MemoryError):
        sent = WorkerMemory("The kernel could get no more memory", str(error)[:_TEXT_LIMIT], chunk)
    elif not (home == "builtins" or home.startswith("geo_assets.")) or not _survives(error):
        sent = GeoAssetsError(
            f"The kernel raised {type(error).__name__}",
            str(error)[:_TEXT_LIMIT],
            chunk,
            fix="Its traceback is in the notes of this error.",
        )
    sent.add_note(f"In the worker:\n{text}")
    return sent


def _survives(error: Exception) -> bool:
    try:
        packed = channel.dump(error)
        again = channel.load(packed)
    except Exception:  # noqa: BLE001 - any way of failing means: it does not survive
        return False
    return type(again) is type(error) and len(packed) < channel.PAYLOAD_LIMIT // 2


def _packed(answer: Any, account: Account, kind: bytes) -> bytes:
    try:
        return channel.dump((answer, account))
    except Exception:  # a note or a cause that does not pickle
        if kind == channel.RESULT:
            raise
        plain = GeoAssetsError(f"The kernel raised {type(answer).__name__}", str(answer))
        return channel.dump((plain, account))


def _cpu_s() -> float:
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return usage.ru_utime + usage.ru_stime


@dataclass(frozen=True, slots=True)
class _Memory:
    anonymous: int
    peak: int
    """The most anonymous bytes since `_reset_peak`: the peak less what files back now."""


def _reset_peak() -> None:
    """Start a new high-water mark."""
    with contextlib.suppress(OSError):
        Path("/proc/self/clear_refs").write_text("5", encoding="ascii")


def _memory() -> _Memory:
    try:
        status = Path("/proc/self/status").read_text(encoding="ascii")
        size = {
            line[:6]: int(line.split()[1]) << 10 for line in status.splitlines() if " kB" in line
        }
        files = size["RssFil"] + size["RssShm"]
        return _Memory(size["RssAno"], size["VmHWM:"] - files)
    except (OSError, KeyError):
        scale = 1 if sys.platform == "darwin" else 1024
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * scale
        return _Memory(peak, peak)
