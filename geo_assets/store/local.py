# ruff: noqa: D102 - the protocol documents the methods
"""A local folder as an object store, with the guarantees that a bucket gives.

A file appears under its name only when its bytes are on the disk: it is written under a
hidden temporary name, flushed with fsync, and then linked (`create`, fails if the name is
taken) or renamed (`put`). Names themselves survive a power cut after `sync`, which flushes
the folders; the commit protocol calls it before and after the commit is linked.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import os
import shutil
import time
import uuid
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from datetime import UTC, datetime
from itertools import islice
from pathlib import Path
from typing import ParamSpec, TypeVar

from geo_assets.errors import ConfigError, GeoAssetsError, InputError, TransientError
from geo_assets.store.objects import ObjectMeta
from geo_assets.store.paths import checked_path
from geo_assets.store.verify import land

P = ParamSpec("P")
T = TypeVar("T")

_PAGE = 1000
_STALE_S = 3600.0
_WRONG_SETUP = (
    errno.EPERM,
    errno.EACCES,
    errno.EROFS,
    errno.ENOSPC,
    errno.EDQUOT,
    errno.ENOTDIR,
    errno.EISDIR,
    errno.EEXIST,
    errno.ENAMETOOLONG,
    errno.EOPNOTSUPP,
    errno.ELOOP,
)


class LocalObjects:
    """An `ObjectStore` in a folder; the folder is created by the first write."""

    def __init__(self, root: Path) -> None:
        # Symbolic links in the root itself are the user's choice; below it none leads out.
        self._root = Path(os.path.realpath(root.expanduser()))
        self.uri = str(self._root)

    def __repr__(self) -> str:
        return f"LocalObjects({self.uri!r})"

    async def get(self, path: str) -> bytes:
        return await self._run(lambda: self._inside(path).read_bytes(), path)

    async def get_range(self, path: str, start: int, length: int) -> bytes:
        def read() -> bytes:
            with self._inside(path).open("rb", buffering=0) as file:
                return os.pread(file.fileno(), length, start)

        return await self._run(read, path)

    async def download(
        self, path: str, to: Path, *, size: int | None = None, sha256: str | None = None
    ) -> None:
        def copy() -> None:
            source = self._inside(path)
            to.parent.mkdir(parents=True, exist_ok=True)
            part = to.with_name(f"{to.name}.{uuid.uuid4().hex}.part")
            try:
                shutil.copyfile(source, part)
                land(part, to, self.address(path), size, sha256)
            finally:
                part.unlink(missing_ok=True)

        await self._run(copy, path)

    async def put(self, path: str, body: bytes | Path) -> None:
        await self._run(lambda: self._write(path, body, os.replace), path)

    async def create(self, path: str, body: bytes | Path) -> bool:
        def link() -> bool:
            if os.path.lexists(self._inside(path)):
                return False
            return self._write(path, body, os.link)

        return await self._run(link, path)

    async def list(self, prefix: str, *, after: str | None = None) -> AsyncIterator[ObjectMeta]:
        folder = self._root / checked_path(prefix, self.uri) if prefix else self._root
        entries = (meta for meta in self._walk(folder) if after is None or meta.path > after)
        while page := await self._run(lambda: list(islice(entries, _PAGE)), prefix):
            for meta in page:
                yield meta

    async def folders(self, prefix: str) -> Sequence[str]:
        def scan() -> list[str]:
            try:
                with os.scandir(self._inside(prefix) if prefix else self._root) as entries:
                    names = [entry.name for entry in entries if entry.is_dir(follow_symlinks=False)]
            except (FileNotFoundError, NotADirectoryError):
                return []
            return sorted(name for name in names if not name.startswith("."))

        return await self._run(scan, prefix)

    async def head(self, path: str) -> ObjectMeta | None:
        def stat() -> ObjectMeta | None:
            file = self._inside(path)
            return _meta(path, file.stat()) if file.is_file() else None

        return await self._run(stat, path)

    async def delete(self, paths: Sequence[str]) -> None:
        def unlink() -> None:
            files = [self._inside(path, follow=False) for path in paths]
            for file in files:
                with contextlib.suppress(FileNotFoundError, NotADirectoryError):
                    file.unlink()
            for folder in {file.parent for file in files}:
                self._prune(folder)

        await self._run(unlink, "")

    async def sync(self, prefix: str) -> None:
        def flush() -> None:
            folder = self._inside(prefix)
            for below, _, _ in os.walk(folder):
                _fsync_folder(Path(below))
            while folder != self._root:
                folder = folder.parent
                if folder.is_dir():
                    _fsync_folder(folder)

        await self._run(flush, prefix)

    def local_path(self, path: str) -> Path | None:
        return self._root / checked_path(path, self.uri)

    def address(self, path: str) -> str:
        return str(self._root / path)

    def _inside(self, path: str, *, follow: bool = True) -> Path:
        """The file of a path, which lies below the root also after symbolic links."""
        file = self._root / checked_path(path, self.uri)
        real = Path(os.path.realpath(file if follow else file.parent))
        if real != self._root and self._root not in real.parents:
            raise InputError(
                "A symbolic link stays inside the root",
                str(real),
                str(file),
                "Copy the data into the root, or make its folder the root.",
            )
        return file

    def _write(self, path: str, body: bytes | Path, publish: Callable[[Path, Path], None]) -> bool:
        """Make a whole, flushed file appear under its name; False if the name is taken."""
        file = self._inside(path, follow=False)
        if not self._root.is_dir():
            self._make_root()
        # A folder that another process is just removing because it is empty is made again.
        for last in (False, False, True):
            self._make_folder(file.parent)
            temporary = file.with_name(f".{uuid.uuid4().hex}.tmp")
            try:
                _fill(temporary, body)
                publish(temporary, file)
            except FileExistsError:
                return False
            except FileNotFoundError:
                if last or file.parent.is_dir():
                    raise
            else:
                return True
            finally:
                temporary.unlink(missing_ok=True)
        return False

    def _make_folder(self, folder: Path) -> None:
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except (FileExistsError, NotADirectoryError) as error:
            raise _translated(error, str(folder)) from error

    def _make_root(self) -> None:
        missing = [folder for folder in (self._root, *self._root.parents) if not folder.exists()]
        self._root.mkdir(parents=True, exist_ok=True)
        for folder in missing:
            _fsync_folder(folder.parent)

    def _walk(self, folder: Path) -> Iterator[ObjectMeta]:
        try:
            with os.scandir(folder) as found:
                entries = sorted(found, key=lambda entry: entry.name)
        except (FileNotFoundError, NotADirectoryError):
            return
        for entry in entries:
            if entry.name.startswith("."):
                continue
            if entry.is_dir(follow_symlinks=False):
                yield from self._walk(Path(entry.path))
            elif entry.is_file():
                with contextlib.suppress(FileNotFoundError):
                    path = Path(entry.path).relative_to(self._root).as_posix()
                    yield _meta(path, entry.stat())

    def _prune(self, folder: Path) -> None:
        """Remove folders that have become empty, and what crashed writers left in them."""
        while folder != self._root:
            try:
                for entry in list(os.scandir(folder)):
                    stale = time.time() - entry.stat(follow_symlinks=False).st_mtime > _STALE_S
                    if stale and entry.name.startswith(".") and entry.name.endswith(".tmp"):
                        os.unlink(entry.path)  # noqa: PTH108 - a DirEntry has a path, not a Path
                folder.rmdir()
            except OSError:  # not empty, or gone already
                return
            folder = folder.parent

    async def _run(self, work: Callable[[], T], path: str) -> T:
        try:
            return await asyncio.to_thread(work)
        except (FileNotFoundError, NotADirectoryError, IsADirectoryError) as error:
            raise FileNotFoundError(self.address(path)) from error
        except OSError as error:
            raise _translated(error, self.address(path)) from error


def _fill(file: Path, body: bytes | Path) -> None:
    if isinstance(body, Path):
        shutil.copyfile(body, file)
    else:
        file.write_bytes(body)
    descriptor = os.open(file, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _fsync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _meta(path: str, stat: os.stat_result) -> ObjectMeta:
    modified = datetime.fromtimestamp(stat.st_mtime, UTC)
    return ObjectMeta(path=path, size=stat.st_size, modified=modified)


def _translated(error: OSError, where: str) -> GeoAssetsError:
    text = error.strerror or str(error)
    if error.errno in _WRONG_SETUP:
        return ConfigError(
            "The folder can be written and has room",
            text,
            where,
            "Look at its permissions, its free space and its file system.",
        )
    return TransientError("The file system answers", text, where)
