# ruff: noqa: D102, PTH108, PTH112, PTH120 - the protocol documents the methods; Path objects cost
# more than what is done with them here
"""A local folder as an object store, with the guarantees that a bucket gives.

A file appears under its name only when its bytes are on the disk: it is written into the
hidden folder `.tmp` of the root, flushed with fsync, and then linked (`create`, fails if the
name is taken) or renamed (`put`). Names themselves survive a power cut after `sync`, which
flushes the folders; the commit protocol calls it before and after the commit is linked.

What can be made again (`paths.is_spare`) appears whole to every process too, but is not flushed:
after a power cut it may be empty, and whoever needs it makes it again.
"""

from __future__ import annotations

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
from typing import TypeVar

from geo_assets.errors import ConfigError, GeoAssetsError, InputError, TransientError
from geo_assets.store.files import fill_file
from geo_assets.store.folders import Folders, Ways, flush_folder
from geo_assets.store.objects import ObjectMeta
from geo_assets.store.paths import checked_path, is_spare
from geo_assets.store.threads import in_thread
from geo_assets.store.verify import land

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
        self._inner = f"{self.uri.rstrip('/')}/"
        self._folders = Folders(self.uri)
        self._ways = Ways(self._inner)
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
        def rename() -> None:
            self._write(self._inside(path, follow=False), path, body, os.replace)

        await self._run(rename, path)

    async def create(self, path: str, body: bytes | Path) -> bool:
        def link() -> bool:
            file = self._inside(path, follow=False)
            if os.path.lexists(file):
                self._inside(path)
                return False
            return self._write(file, path, body, os.link)

        return await self._run(link, path)

    async def list(self, prefix: str, *, after: str | None = None) -> AsyncIterator[ObjectMeta]:
        entries = (meta for meta in self._below(prefix) if after is None or meta.path > after)
        full = True
        while full:
            page = await self._run(lambda: list(islice(entries, _PAGE)), prefix)
            full = len(page) == _PAGE
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
            self._folders.forget(str(folder))
            return len(sizes), sum(sizes)

        return await self._run(remove, prefix)

    async def sync(self, prefix: str) -> None:
        def flush() -> None:
            folder = str(self._inside(prefix))
            if not os.path.isdir(folder):
                return
            for below, folders, _ in os.walk(folder):
                here = below.removeprefix(self._inner)
                folders[:] = [name for name in folders if not is_spare(f"{here}/{name}/")]
                flush_folder(below)
            self._folders.secure(folder)

        await self._run(flush, prefix)

    def local_path(self, path: str) -> Path | None:
        return self._root / checked_path(path, self.uri)

    def address(self, path: str) -> str:
        return self._inner + path

    def _inside(self, path: str, *, follow: bool = True) -> Path:
        """The file of a path, which lies below the root also after symbolic links."""
        file = self._inner + checked_path(path, self.uri)
        way = file if follow else os.path.dirname(file)
        if self._ways.has_link(way):
            real = os.path.realpath(way)
            if real != self.uri and not real.startswith(self._inner):
                raise InputError(
                    "A symbolic link stays inside the root",
                    real,
                    file,
                    "Copy the data into the root, or make its folder the root.",
                )
        return Path(file)

    def _write(
        self, file: Path, path: str, body: bytes | Path, publish: Callable[[str, Path], None]
    ) -> bool:
        """Make a whole file appear under its name; False if the name is taken."""
        temporary = f"{self._inner}{_TEMPORARY}/{uuid.uuid4().hex}"
        if not self._ready or not os.path.isdir(f"{self._inner}{_TEMPORARY}"):
            self._prepare()
        try:
            fill_file(temporary, body, flush=not is_spare(path))
            # A folder may be missing, or a garbage collection may just be removing it.
            for last in (False, False, True):
                try:
                    publish(temporary, file)
                except FileExistsError:
                    return False
                except (FileNotFoundError, NotADirectoryError):
                    if last:
                        raise
                    self._make_folder(file.parent)
                else:
                    return True
        finally:
            with contextlib.suppress(FileNotFoundError):
                os.unlink(temporary)
        return False

    def _make_folder(self, folder: Path) -> None:
        try:
            self._folders.make(str(folder))
        except (FileExistsError, NotADirectoryError) as error:
            raise _translated(error, str(folder)) from error

    def _prepare(self) -> None:
        """Make the root, and remove what crashed writers left behind."""
        missing = [folder for folder in (self._root, *self._root.parents) if not folder.exists()]
        self._make_folder(self._root / _TEMPORARY)
        for folder in missing:
            flush_folder(str(folder.parent))
        for file in (self._root / _TEMPORARY).iterdir():
            with contextlib.suppress(FileNotFoundError):
                if time.time() - file.stat().st_mtime > _ABANDONED_S:
                    file.unlink()
        self._ready = True

    def _below(self, prefix: str) -> Iterator[ObjectMeta]:
        yield from self._walk(self._inside(prefix) if prefix else self._root)

    def _walk(self, folder: Path | str) -> Iterator[ObjectMeta]:
        try:
            with os.scandir(folder) as found:
                entries = sorted(found, key=_path_order)
        except (FileNotFoundError, NotADirectoryError):
            return
        for entry in entries:
            if entry.name.startswith("."):
                continue
            if entry.is_dir(follow_symlinks=False):
                yield from self._walk(entry.path)
            elif entry.is_file():
                with contextlib.suppress(FileNotFoundError):
                    yield _meta(entry.path.removeprefix(self._inner), entry.stat())

    async def _run(self, work: Callable[[], T], path: str) -> T:
        try:
            return await in_thread(work)
        except (FileNotFoundError, NotADirectoryError, IsADirectoryError) as error:
            raise FileNotFoundError(self.address(path)) from error
        except OSError as error:
            raise _translated(error, self.address(path)) from error


def _path_order(entry: os.DirEntry[str]) -> str:
    """Makes a walk give whole paths in their order as text, as buckets do: `after` counts on it."""
    return f"{entry.name}/" if entry.is_dir(follow_symlinks=False) else entry.name


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
