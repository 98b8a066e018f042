"""How much memory there is, and how much processes use."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path

import psutil

from geo_assets.settings import Settings

RESTING_BYTES = 64 << 20
"""Private bytes of a worker that does nothing, as measured with the preload."""

_PAGE = os.sysconf("SC_PAGE_SIZE")
_CGROUP = Path("/sys/fs/cgroup")
_SMALLEST = 64 << 20
_OF_CGROUP = 0.8
_OF_AVAILABLE = 0.5


def budget_bytes(settings: Settings) -> int:
    """Bytes for all running chunks together.

    `settings.memory_bytes` is taken as it is. Otherwise it is 80% of the cgroup's limit or, on a
    host without one, half of the memory that is available now; in both cases less what this
    process uses and the resting size of the workers.
    """
    if settings.memory_bytes:
        return settings.memory_bytes
    limit = cgroup_limit()
    own = psutil.Process().memory_info().rss
    resting = settings.worker_count * RESTING_BYTES
    if limit is None:
        usable = int(psutil.virtual_memory().available * _OF_AVAILABLE) - resting
    else:
        usable = int(limit * _OF_CGROUP) - own - resting
    return max(usable, _SMALLEST)


def cgroup_limit(root: Path = _CGROUP, membership: Path = Path("/proc/self/cgroup")) -> int | None:
    """The tightest memory limit of this process's cgroup (v1 or v2) in bytes, None without one."""
    limits = []
    with contextlib.suppress(OSError):
        for line in membership.read_text(encoding="utf-8").splitlines():
            _, controllers, path = line.split(":", 2)
            if controllers == "":
                limits += _limits(root, path, "memory.max")
                limits += _limits(root / "unified", path, "memory.max")
            elif "memory" in controllers.split(","):
                limits += _limits(root / "memory", path, "memory.limit_in_bytes")
    total = psutil.virtual_memory().total
    return min((limit for limit in limits if limit < total), default=None)


def _limits(mount: Path, path: str, name: str) -> list[int]:
    """The limits from the cgroup up to the root; inside a container the path may not exist."""
    folder = mount / path.lstrip("/")
    found = []
    for level in (folder, *folder.parents):
        with contextlib.suppress(OSError, ValueError):
            found.append(int((level / name).read_text(encoding="ascii")))
        if level == mount:
            break
    return found


def sizes(pid: int) -> tuple[int, int]:
    """Resident bytes, and of these the anonymous ones, which no file on disk backs.

    Raises:
        OSError: The process is gone.
    """
    try:
        fields = Path(f"/proc/{pid}/statm").read_bytes().split()
        resident, shared = int(fields[1]) * _PAGE, int(fields[2]) * _PAGE
    except (FileNotFoundError, IndexError):
        try:
            resident, shared = psutil.Process(pid).memory_info().rss, 0
        except psutil.Error as error:
            raise ProcessLookupError(pid) from error
    return resident, resident - shared


def proportional(pid: int) -> int:
    """The proportional set size in bytes: shared pages are divided among those who share them.

    Where the system does not say, the resident size.

    Raises:
        OSError: The process is gone.
    """
    with contextlib.suppress(FileNotFoundError, PermissionError):
        for line in Path(f"/proc/{pid}/smaps_rollup").read_bytes().splitlines():
            if line.startswith(b"Pss:"):
                return int(line.split()[1]) << 10
    return sizes(pid)[0]
