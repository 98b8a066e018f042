# ruff: noqa: D102 - the protocol documents the methods
"""A local folder as an object store, with the guarantees that a bucket gives.

A file appears under its name only when its bytes are on the disk: it is written into the
hidden folder `.tmp` of the root, flushed with fsync, and then linked (`create`, fails if the
name is taken) or renamed (`put`). Names themselves survive a power cut after `sync`, which
flushes the folders; the commit protocol calls it before and after the commit is linked.
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
_TEMPORARY = ".tmp"
_ABANDONED_S = 24 * 3600.0
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
        self._ready = False

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
        entries = (meta for meta in self._below(prefix) if after is None or meta.path > after)
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
            for path in paths:
                with contextlib.suppress(FileNotFoundError, NotADirectoryError):
                    self._inside(path, follow=False).unlink()

        await self._run(unlink, "")

    async def delete_folder(self, prefix: str) -> tuple[int, int]:
        def remove() -> tuple[int, int]:
            folder = self._inside(prefix, follow=False)
            sizes = [meta.size for meta in self._walk(folder)]
            shutil.rmtree(folder, ignore_errors=True)
            return len(sizes), sum(sizes)

        return await self._run(remove, prefix)

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
        if not self._ready or not (self._root / _TEMPORARY).is_dir():
            self._prepare()
        temporary = self._root / _TEMPORARY / uuid.uuid4().hex
        try:
            _fill(temporary, body)
            # A garbage collection may just be removing the folder: then it is made again.
            for last in (False, True):
                self._make_folder(file.parent)
                try:
                    publish(temporary, file)
                except FileExistsError:
                    return False
                except FileNotFoundError:
                    if last:
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

    def _prepare(self) -> None:
        """Make the root, and remove what crashed writers left behind."""
        missing = [folder for folder in (self._root, *self._root.parents) if not folder.exists()]
        self._make_folder(self._root / _TEMPORARY)
        for folder in missing:
            _fsync_folder(folder.parent)
        for file in (self._root / _TEMPORARY).iterdir():
            with contextlib.suppress(FileNotFoundError):
                if time.time() - file.stat().st_mtime > _ABANDONED_S:
                    file.unlink()
        self._ready = True

    def _below(self, prefix: str) -> Iterator[ObjectMeta]:
        yield from self._walk(self._inside(prefix) if prefix else self._root)

    def _walk(self, folder: Path) -> Iterator[ObjectMeta]:
        try:
            with os.scandir(folder) as found:
                entries = sorted(found, key=_path_order)
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

    async def _run(self, work: Callable[[], T], path: str) -> T:
        try:
            return await asyncio.to_thread(work)
        except (FileNotFoundError, NotADirectoryError, IsADirectoryError) as error:
            raise FileNotFoundError(self.address(path)) from error
        except OSError as error:
            raise _translated(error, self.address(path)) from error


def _path_order(entry: os.DirEntry[str]) -> str:
    """Makes a walk give whole paths in their order as text, as buckets do: `after` counts on it."""
    return f"{entry.name}/" if entry.is_dir(follow_symlinks=False) else entry.name


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
            "Look at its permissions, its free space, and whether its file system has hard links.",
        )
    return TransientError("The file system answers", text, where)
