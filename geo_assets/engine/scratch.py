"""Scratch space: one private folder per run, swept when its run is dead.

A run holds a lock on `<name>.lock` beside its folder. The system drops the lock when the process
ends, however it ends, so whoever can take it knows that the folder is garbage.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import secrets
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from geo_assets.errors import ConfigError

_RESERVE = 256 << 20


@contextmanager
def scratch_folder(root: Path) -> Iterator[Path]:
    """A new folder under `root` for the duration of the block; leftovers of dead runs are swept.

    Blocking; call it from a thread.

    Raises:
        ConfigError: `root` cannot be written.
    """
    try:
        root.mkdir(mode=0o700, parents=True, exist_ok=True)
        sweep(root)
        lock, folder = _claim(root)
    except OSError as error:
        raise ConfigError("The scratch folder can be written", str(error), str(root),
                          "Set GEO_ASSETS_SCRATCH to a folder with space.") from error  # fmt: skip
    try:
        yield folder
    finally:
        _give_up(folder, lock)


def sweep(root: Path) -> int:
    """Remove the folders of runs that are no more; their number."""
    swept = 0
    for path in sorted(root.glob("run-*.lock")):
        lock = _locked(path)
        if lock is not None:
            _give_up(path.with_suffix(""), lock)
            swept += 1
    return swept


class Space:
    """Free space of a folder's disk, sampled; the calls block, the fields do not."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.reserve = min(_RESERVE, shutil.disk_usage(folder).total // 10)
        """Bytes that are left free on purpose: 256 MiB, or a tenth of a small disk."""
        self.sample()

    def sample(self) -> None:
        """Look again."""
        self.free = shutil.disk_usage(self.folder).free

    @property
    def short(self) -> bool:
        """Less is free than is to be left free."""
        return self.free < self.reserve


def _claim(root: Path) -> tuple[int, Path]:
    while True:
        path = root / f"run-{os.getpid()}-{secrets.token_hex(4)}.lock"
        path.touch(mode=0o600, exist_ok=False)
        lock = _locked(path)
        if lock is not None:  # else a sweeper was faster than our lock
            folder = path.with_suffix("")
            folder.mkdir(mode=0o700)
            return lock, folder


def _locked(path: Path) -> int | None:
    """Take the lock without waiting; None if somebody holds it or has removed the file."""
    try:
        lock = os.open(path, os.O_RDWR | os.O_CLOEXEC)
    except FileNotFoundError:
        return None
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        if path.stat().st_ino == os.fstat(lock).st_ino:
            return lock
    except (BlockingIOError, FileNotFoundError):
        pass
    os.close(lock)
    return None


def _give_up(folder: Path, lock: int) -> None:
    """The folder first: as long as the lock file exists, a later run can finish the job."""
    shutil.rmtree(folder, ignore_errors=True)
    if not folder.exists():
        with contextlib.suppress(FileNotFoundError):
            folder.with_name(folder.name + ".lock").unlink()
    os.close(lock)
