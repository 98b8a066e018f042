# ruff: noqa: D102 - the protocol documents the methods
"""An object store whose requests are counted and logged, with the fields of their chunk."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Callable, Sequence
from pathlib import Path
from time import monotonic
from typing import TypeAlias

from geo_assets.store.objects import ObjectMeta, ObjectStore

Sink: TypeAlias = Callable[[int, int], None]
"""Told bytes read and bytes written of one request, in the task that made it."""

sinks: list[Sink] = []
"""Who counts requests in this process."""

_log = logging.getLogger(__name__)


class ObservedObjects:
    """The store inside, unchanged; each request is told to `sinks` and logged at level DEBUG."""

    def __init__(self, inside: ObjectStore) -> None:
        self._inside = inside
        self.uri = inside.uri
        self.local_path = inside.local_path
        self.address = inside.address

    def __repr__(self) -> str:
        return repr(self._inside)

    async def get(self, path: str) -> bytes:
        begin = monotonic()
        body = await self._inside.get(path)
        self._told("get", path, begin, read=len(body))
        return body

    async def get_range(self, path: str, start: int, length: int) -> bytes:
        begin = monotonic()
        body = await self._inside.get_range(path, start, length)
        self._told("get range", path, begin, read=len(body))
        return body

    async def download(
        self, path: str, to: Path, *, size: int | None = None, sha256: str | None = None
    ) -> None:
        begin = monotonic()
        await self._inside.download(path, to, size=size, sha256=sha256)
        self._told("download", path, begin, read=await _size(to) if size is None else size)

    async def put(self, path: str, body: bytes | Path) -> None:
        begin = monotonic()
        await self._inside.put(path, body)
        self._told("put", path, begin, written=await _size(body))

    async def create(self, path: str, body: bytes | Path) -> bool:
        begin = monotonic()
        created = await self._inside.create(path, body)
        self._told("create", path, begin, written=await _size(body) if created else 0)
        return created

    async def list(self, prefix: str, *, after: str | None = None) -> AsyncIterator[ObjectMeta]:
        begin = monotonic()
        async for meta in self._inside.list(prefix, after=after):
            yield meta
        self._told("list", prefix, begin)

    async def folders(self, prefix: str) -> Sequence[str]:
        begin = monotonic()
        names = await self._inside.folders(prefix)
        self._told("folders", prefix, begin)
        return names

    async def head(self, path: str) -> ObjectMeta | None:
        begin = monotonic()
        meta = await self._inside.head(path)
        self._told("head", path, begin)
        return meta

    async def delete(self, paths: Sequence[str]) -> None:
        await self._inside.delete(paths)

    async def delete_folder(self, prefix: str) -> tuple[int, int]:
        return await self._inside.delete_folder(prefix)

    async def sync(self, prefix: str) -> None:
        await self._inside.sync(prefix)

    @staticmethod
    def _told(kind: str, path: str, begin: float, *, read: int = 0, written: int = 0) -> None:
        for sink in sinks:
            sink(read, written)
        if _log.isEnabledFor(logging.DEBUG):
            moved = read or written
            seconds = monotonic() - begin
            _log.debug("request %s %s: %d bytes in %.3f s", kind, path, moved, seconds)


async def _size(body: bytes | Path) -> int:
    if isinstance(body, Path):
        return (await asyncio.to_thread(body.stat)).st_size
    return len(body)
