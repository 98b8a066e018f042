"""Kernels that misbehave in every way a native library can."""

from __future__ import annotations

import ctypes
import logging
import os
import resource
import signal
import sys
import threading
import time
from dataclasses import dataclass
from pathlib import Path

from geo_assets.errors import InputError, TransientError
from geo_assets.model import JSON, KernelResult, OutputFile


@dataclass(frozen=True, slots=True, kw_only=True)
class Spec:
    number: int = 0
    seconds: float = 0.0
    size: int = 0
    marker: Path | None = None


class TwoArguments(Exception):  # noqa: N818
    """Does not unpickle: `args` holds one value, `__init__` wants two."""

    def __init__(self, first, second):
        super().__init__(f"{first} {second}")


class NoPickle:
    def __reduce__(self):
        raise TypeError("no pickle of me")


def good(spec: Spec, workdir: Path) -> KernelResult:
    if spec.seconds:
        time.sleep(spec.seconds)
    path = workdir / "out.json"
    path.write_text(f'{{"number": {spec.number}}}')
    return KernelResult(
        files=(OutputFile.of(path, "out.json", JSON),),
        facts={"number": spec.number, "pid": os.getpid()},
    )


def noop(spec: Spec, workdir: Path) -> KernelResult:
    return KernelResult()


def kill(spec: Spec, workdir: Path) -> KernelResult:
    os.kill(os.getpid(), signal.SIGKILL)
    raise AssertionError


def kill_once(spec: Spec, workdir: Path) -> KernelResult:
    assert not list(workdir.iterdir())
    (workdir / "half.tmp").touch()
    if not spec.marker.exists():
        spec.marker.touch()
        os.kill(os.getpid(), signal.SIGKILL)
    return good(spec, workdir)


def segfault(spec: Spec, workdir: Path) -> KernelResult:
    ctypes.string_at(0)
    raise AssertionError


def hang(spec: Spec, workdir: Path) -> KernelResult:
    time.sleep(3600)
    raise AssertionError


def hang_once(spec: Spec, workdir: Path) -> KernelResult:
    if not spec.marker.exists():
        spec.marker.touch()
        time.sleep(3600)
    return good(spec, workdir)


def stop(spec: Spec, workdir: Path) -> KernelResult:
    os.kill(os.getpid(), signal.SIGSTOP)
    time.sleep(3600)
    raise AssertionError


def leave(spec: Spec, workdir: Path) -> KernelResult:
    sys.exit(3)


def leave_hard(spec: Spec, workdir: Path) -> KernelResult:
    os._exit(4)


def close_channel(spec: Spec, workdir: Path) -> KernelResult:
    os.closerange(3, 64)
    time.sleep(3600)
    raise AssertionError


def two_arguments(spec: Spec, workdir: Path) -> KernelResult:
    raise TwoArguments("one", "two")


def foreign(spec: Spec, workdir: Path) -> KernelResult:
    from rasterio.errors import RasterioIOError

    raise RasterioIOError("not recognized as a supported file format")


def no_pickle(spec: Spec, workdir: Path) -> KernelResult:
    return KernelResult(facts={"value": NoPickle()})


def not_a_result(spec: Spec, workdir: Path):
    return 42


def too_large(spec: Spec, workdir: Path) -> KernelResult:
    return KernelResult(facts={"blob": "x" * (2 << 20)})


def killed_while_sending(spec: Spec, workdir: Path) -> KernelResult:
    """Dies at a random moment of a reply that is as large as a reply can be."""
    timer = threading.Timer(spec.seconds, os.kill, (os.getpid(), signal.SIGKILL))
    timer.start()
    return KernelResult(facts={"blob": "x" * 1_000_000})


def hog(spec: Spec, workdir: Path) -> KernelResult:
    held = []
    for _ in range(spec.size >> 22):
        held.append(bytearray(os.urandom(1 << 12) * (1 << 10)))
        time.sleep(0.001)
    time.sleep(spec.seconds)
    return KernelResult(facts={"held": len(held)})


def memory_error(spec: Spec, workdir: Path) -> KernelResult:
    raise MemoryError("no room for 931 GiB")


def bad_input(spec: Spec, workdir: Path) -> KernelResult:
    raise InputError("A scene has a CRS", "none", "a.tif", "Declare one.")


def value_error(spec: Spec, workdir: Path) -> KernelResult:
    raise ValueError("plain", 7)


def transient_until(spec: Spec, workdir: Path) -> KernelResult:
    """Fails until the marker folder holds `number` files."""
    tries = len(list(spec.marker.iterdir()))
    if tries < spec.number:
        (spec.marker / str(tries)).touch()
        raise TransientError("The disk answers", "EIO", "here", "Wait.")
    return good(spec, workdir)


def talk(spec: Spec, workdir: Path) -> KernelResult:
    logging.getLogger("geo_assets.kernels.talk").info("info %d", spec.number)
    logging.getLogger("rasterio._env").warning("GDAL says %d", spec.number)
    print(f"printed {spec.number}")  # noqa: T201
    os.write(2, f"from C {spec.number}\n".encode())
    return KernelResult()


def chatter(spec: Spec, workdir: Path) -> KernelResult:
    for number in range(spec.number):
        logging.getLogger("noise").warning("line %d", number)
    return KernelResult()


def modules(spec: Spec, workdir: Path) -> KernelResult:
    names = sorted({name.split(".")[0] for name, module in sys.modules.items() if module})
    main = sys.modules["__main__"]
    return KernelResult(
        facts={
            "modules": names,
            "main_file": getattr(main, "__file__", None),
            "environ": dict(os.environ),
            "threads": len(list(Path("/proc/self/task").iterdir())),
            "sigint": signal.getsignal(signal.SIGINT) is signal.SIG_IGN,
            "pid": os.getpid(),
            "nursery": os.getppid(),
        }
    )


def page_faults(spec: Spec, workdir: Path) -> KernelResult:
    """Make and free the same arrays again and again; how many pages the kernel had to clear."""
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range(spec.number):
        arrays = [b"x" * spec.size for _ in range(6)]
        del arrays
    faults = resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before
    return KernelResult(facts={"pages": faults})


def grow_resting(spec: Spec, workdir: Path) -> KernelResult:
    globals().setdefault("_leak", []).append(bytearray(os.urandom(1 << 12) * (spec.size >> 12)))
    return KernelResult(facts={"pid": os.getpid()})
