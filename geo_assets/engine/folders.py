"""Empty folders of one run, used again and again.

Many small chunks would make and delete thousands of folders. That slows everything else on ext4:
it gives no inode away within five seconds of its end, and passes over each such inode whenever it
makes a new file, in the store too.
"""

from __future__ import annotations

import asyncio
import itertools
import logging
import os
import shutil
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path

from geo_assets.engine.scope import finish
from geo_assets.store.threads import in_thread

_log = logging.getLogger(__name__)


class EmptyFolders:
    """Hands out empty folders below one root, each to one user at a time.

    What was given back is emptied in the background, all of it together. Until that is done no new
    folder is made, so that files which cannot be deleted fast enough do not fill the disk.
    """

    def __init__(self, root: Path) -> None:
        self._root = root
        self._serial = itertools.count(1)
        self._turn = asyncio.Lock()  # first come, first served
        self._free: list[Path] = []
        self._used: list[Path] = []
        self._emptying: asyncio.Task[None] | None = None

    async def _take(self) -> Path:
        """A folder that is empty and nobody else's."""
        async with self._turn:
            if not self._free:
                await self.settle()
            if self._free:
                return self._free.pop()
            folder = self._root / str(next(self._serial))
            await in_thread(lambda: folder.mkdir(parents=True))
            return folder

    def _give_back(self, folder: Path) -> None:
        """Have a folder emptied for its next user; nobody may write into it any more."""
        self._used.append(folder)
        if self._emptying is None:
            self._emptying = asyncio.create_task(self._empty())

    @asynccontextmanager
    async def lent(self) -> AsyncIterator[Path]:
        """A folder for the block; all that is in it is deleted soon afterwards.

        After an error or a cancellation it is deleted at once and nobody gets it again: a thread
        that was left behind may still write into it.
        """
        folder = await self._take()
        try:
            yield folder
        except BaseException:
            await finish(in_thread(lambda: shutil.rmtree(folder, ignore_errors=True)))
            raise
        self._give_back(folder)

    async def settle(self) -> None:
        """Return when all that was given back is empty."""
        if self._emptying is not None:
            await asyncio.wait([self._emptying])

    async def _empty(self) -> None:
        try:
            while self._used:
                used, self._used = self._used, []
                self._free += await in_thread(partial(_emptied, used))
        finally:
            self._emptying = None


def empty(folder: Path) -> None:
    """Delete what is in a folder. Blocking.

    Raises:
        OSError: The folder is not there, or something in it cannot be deleted.
    """
    with os.scandir(folder) as entries:
        for entry in entries:
            if entry.is_dir(follow_symlinks=False):
                shutil.rmtree(entry.path)
            else:
                os.unlink(entry.path)  # noqa: PTH108 - it is no Path


def _emptied(folders: Sequence[Path]) -> list[Path]:
    """Those of the folders that are empty now."""
    done = []
    for folder in folders:
        try:
            empty(folder)
        except OSError as error:
            _log.warning("%s is not used again: %s", folder, error)
        else:
            done.append(folder)
    return done
