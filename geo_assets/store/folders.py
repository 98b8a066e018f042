# ruff: noqa: PTH102, PTH112, PTH120 - Path objects cost more than what is done with them here
"""Folders whose names survive a power cut, with as few flushes as that takes; all of it blocks."""

from __future__ import annotations

import os
import threading
import time
from stat import S_ISDIR, S_ISLNK

from geo_assets.store.bounded import Recent

_REMEMBERED = 4096
"""Folders whose names are known to be safe; a forgotten one is only flushed again."""

_IN_VIEW = 512
"""Folders that are believed for a moment."""

_BELIEVED_S = 1.0
"""How long a folder is taken for one without looking."""


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


class Ways:
    """Which ways below one root lead through a symbolic link; any thread may ask.

    One small partition asks some twenty times for the same few folders, so a folder that is none
    is believed to be none for a moment.
    """

    def __init__(self, root: str) -> None:
        self._start = len(root) - 1
        self._seen: Recent[str, float] = Recent(_IN_VIEW)
        self._guard = threading.Lock()

    def has_link(self, way: str) -> bool:
        """Whether anything below the root, on the way and at its end, is a symbolic link."""
        end, now = self._start, time.monotonic()
        while end < len(way):
            end = way.find("/", end + 1)
            end = len(way) if end < 0 else end
            here = way[:end]
            if self._seen.get(here, 0.0) > now:
                continue
            try:
                mode = os.lstat(here).st_mode
            except (FileNotFoundError, NotADirectoryError):
                return False
            if S_ISLNK(mode):
                return True
            if S_ISDIR(mode):
                with self._guard:
                    self._seen[here] = now + _BELIEVED_S
        return False
