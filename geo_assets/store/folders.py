# ruff: noqa: PTH102, PTH112, PTH120 - Path objects cost more than what is done with them here
"""Folders whose names survive a power cut, with as few flushes as that takes; all of it blocks."""

from __future__ import annotations

import os
import threading
from stat import S_ISLNK

from geo_assets.store.bounded import Recent

_REMEMBERED = 4096
"""Folders whose names are known to be safe; a forgotten one is only flushed again."""


class Folders:
    """What is known to be safe of the folders below one root; any thread may use it.

    The name of a folder is safe once the folder above was flushed. That is asked for again and
    again for the folders that many partitions share, so it is remembered; and one flush serves
    everybody who asks for it before it begins.
    """

    def __init__(self, root: str) -> None:
        self._root = root
        self._guard = threading.Lock()
        self._safe: Recent[str, None] = Recent(_REMEMBERED)
        self._flushes: dict[str, _Flush] = {}

    def make(self, folder: str) -> None:
        """Make a folder and those above it, unless they are there.

        Raises:
            FileExistsError: A file is in the way.
        """
        try:
            os.mkdir(folder)
        except FileExistsError:
            if not os.path.isdir(folder):
                raise
            return
        except FileNotFoundError:
            self.make(os.path.dirname(folder))
            self.make(folder)
            return
        self.forget(folder)

    def forget(self, folder: str) -> None:
        """A folder is new or gone: its name is not safe, and therefore none below is."""
        with self._guard:
            self._safe.pop(folder, None)

    def secure(self, folder: str) -> None:
        """Return when the names of a folder and of those above it, up to the root, are safe."""
        chain = []
        while folder != self._root:
            chain.append(folder)
            folder = os.path.dirname(folder)
        chain.reverse()
        with self._guard:
            safe = next((at for at, name in enumerate(chain) if name not in self._safe), len(chain))
        for name in chain[safe:]:  # from above: a name in a folder without a safe name is lost
            self._flush(os.path.dirname(name))
            with self._guard:
                self._safe[name] = None

    def _flush(self, folder: str) -> None:
        with self._guard:
            flush = self._flushes.setdefault(folder, _Flush())
            flush.asked += 1
            mine = flush.asked
        with flush.running:
            if flush.served < mine:
                with self._guard:
                    serves = flush.asked
                flush_folder(folder)
                flush.served = serves
        with self._guard:
            if flush.served == flush.asked:
                self._flushes.pop(folder, None)


class _Flush:
    """Flushes of one folder: who asks before the next one begins is served by it."""

    def __init__(self) -> None:
        self.running = threading.Lock()
        self.asked = 0
        self.served = 0


def flush_folder(folder: str) -> None:
    """Return when the names in a folder survive a power cut."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def has_link(root: str, way: str) -> bool:
    """Whether anything on the way from `root`, which ends with `/`, is a symbolic link."""
    end = len(root) - 1
    while end < len(way):
        end = way.find("/", end + 1)
        end = len(way) if end < 0 else end
        try:
            if S_ISLNK(os.lstat(way[:end]).st_mode):
                return True
        except (FileNotFoundError, NotADirectoryError):
            return False
    return False
