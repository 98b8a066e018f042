# ruff: noqa: D102 - the protocol documents the methods
"""Object stores over the network, by obstore. Only this module and `connect` import it.

Neither a store nor anything that holds one is ever pickled: it would carry the secret key.
Uploads are single conditional PUTs: they are atomic, and one that is cancelled leaves
nothing behind, where a cancelled multipart upload leaves parts that are invisible and paid.
"""

from __future__ import annotations

import asyncio
import atexit
import contextlib
import mmap
import time
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, NoReturn, TypeAlias, TypeVar

import obstore
from obstore import exceptions as obx

from geo_assets.errors import ConfigError, ContractError, InputError, TransientError
from geo_assets.store.bounded import each, whole
from geo_assets.store.faults import translated
from geo_assets.store.files import drop_file, new_file, open_body, write_at
from geo_assets.store.objects import ObjectMeta
from geo_assets.store.paths import checked_path
from geo_assets.store.redact import status_of
from geo_assets.store.retrying import Backoff
from geo_assets.store.verify import check, land

if TYPE_CHECKING:
    from obstore.store import ObjectStore as Client

Connect: TypeAlias = "Callable[[int, int | None], Client]"
T = TypeVar("T")

MAX_PUT = 5 << 30
"""Bytes that S3 takes in one PUT."""

_STREAMED = 16 << 20
_RANGE = 8 << 20
_RANGES_AT_ONCE = 4
_PAGE = 1000
_ROOT = "."
_TIMEOUT_S = 300
_IDLE_S = 60
_BYTES_PER_TIMEOUT = 256 << 20
_WRITING = ("Results go to a store that can be written", "Use a folder, s3://, gs:// or az://.")
_LISTING = ("A web server cannot be listed", "Name the objects, or use a folder or bucket.")

# A thread of the client that is still letting go of a Python object when the interpreter
# ends aborts the whole process (4 of 30 short runs): give such threads a moment.
atexit.register(time.sleep, 0.1)


class RemoteObjects:
    """An `ObjectStore` behind a network.

    Args:
        connect: Makes a client with a limit for whole requests and one for silence, in seconds.
        uri: The address of the root, without secrets.
        secrets: Texts that no error may show.
        read_only: Refuse to write; also means that nothing can be listed (HTTP).
    """

    def __init__(
        self,
        connect: Connect,
        uri: str,
        *,
        secrets: Sequence[str | None] = (),
        read_only: bool = False,
    ) -> None:
        self.uri = uri
        self._connect = connect
        self._secrets = tuple(secrets)
        self._read_only = read_only
        self._backoff = Backoff()
        self._reader = connect(_TIMEOUT_S, _IDLE_S)
        self._writers: dict[int, Client] = {}

    def __repr__(self) -> str:
        return f"RemoteObjects({self.uri!r})"

    def __reduce__(self) -> NoReturn:
        msg = "A remote store holds credentials and is never pickled: send its address instead"
        raise TypeError(msg)

    async def get(self, path: str) -> bytes:
        async def read() -> bytes:
            return bytes(await (await obstore.get_async(self._reader, path)).bytes_async())

        return await self._call(read, path)

    async def get_range(self, path: str, start: int, length: int) -> bytes:
        async def read() -> bytes:
            try:
                return bytes(
                    await obstore.get_range_async(self._reader, path, start=start, length=length)
                )
            except obx.BaseError as error:
                if status_of(str(error)) == 416 or "StartTooLarge" in str(error):
                    return b""
                raise

        return await self._call(read, path) if length > 0 else b""

    async def download(
        self, path: str, to: Path, *, size: int | None = None, sha256: str | None = None
    ) -> None:
        part = to.with_name(f"{to.name}.{uuid.uuid4().hex}.part")
        file = await asyncio.to_thread(new_file, part)
        try:
            meta = None if self._read_only else await self._head(path)
            if meta is not None:
                check(self.address(path), meta["size"], None, size, None)
            if meta is None or meta["size"] <= _STREAMED:
                await self._call(lambda: self._stream(path, file), path)
            else:
                await self._ranges(path, file, meta["size"], meta["e_tag"])
            await asyncio.to_thread(file.close)
            await asyncio.to_thread(land, part, to, self.address(path), size, sha256)
        finally:
            await asyncio.to_thread(drop_file, file, part)

    async def put(self, path: str, body: bytes | Path) -> None:
        data, size = await self._body(body, path)
        await self._call(
            lambda: obstore.put_async(self._writer(size), path, data, use_multipart=False), path
        )

    async def create(self, path: str, body: bytes | Path) -> bool:
        data, size = await self._body(body, path)

        async def put() -> bool:
            try:
                await obstore.put_async(self._writer(size), path, data, mode="create")
            except (obx.AlreadyExistsError, obx.PreconditionError):
                return False
            return True

        return await self._call(put, path)

    async def list(self, prefix: str, *, after: str | None = None) -> AsyncIterator[ObjectMeta]:
        self._refuse(*_LISTING)
        pages, failures = self._pages(prefix, after), 0
        while True:
            try:
                page = await self._attempt(partial(_next, pages), prefix or _ROOT)
            except TransientError:
                # A stream that failed would end without a word: begin after the last path.
                if (failures := failures + 1) >= self._backoff.attempts:
                    raise
                await self._backoff.pause(failures)
                pages = self._pages(prefix, after)
                continue
            if not page:
                return
            for meta in page:
                yield _meta(meta)
            after, failures = page[-1]["path"], 0

    async def folders(self, prefix: str) -> Sequence[str]:
        self._refuse(*_LISTING)
        found = await self._call(
            lambda: obstore.list_with_delimiter_async(self._reader, prefix or None),
            prefix or _ROOT,
        )
        return sorted(folder.rsplit("/", 1)[-1] for folder in found["common_prefixes"])

    async def head(self, path: str) -> ObjectMeta | None:
        try:
            return _meta(await self._head(path))
        except FileNotFoundError:
            return None

    async def delete(self, paths: Sequence[str]) -> None:
        self._refuse(*_WRITING)
        for start in range(0, len(paths), _PAGE):
            page = list(paths[start : start + _PAGE])
            try:
                await self._call(partial(obstore.delete_async, self._reader, page), page[0])
            except FileNotFoundError:  # GCS and Azure stop at an object that is gone
                await each(self._delete_one, page, limit=_RANGES_AT_ONCE)

    async def delete_folder(self, prefix: str) -> tuple[int, int]:
        found = [meta async for meta in self.list(prefix)]
        await self.delete([meta.path for meta in found])
        return len(found), sum(meta.size for meta in found)

    async def sync(self, prefix: str) -> None:
        """Nothing to do: what a bucket has acknowledged is durable."""

    def local_path(self, path: str) -> Path | None:  # noqa: ARG002 - there is none
        return None

    def address(self, path: str) -> str:
        return f"{self.uri.rstrip('/')}/{path}"

    def _writer(self, size: int) -> Client:
        """A client whose time limit fits the body: 300 s for each 256 MiB.

        It has no read timeout, because that also ends an upload that takes longer.
        """
        units = max(1, -(-size // _BYTES_PER_TIMEOUT))
        if units not in self._writers:
            self._writers[units] = self._connect(units * _TIMEOUT_S, None)
        return self._writers[units]

    async def _body(self, body: bytes | Path, path: str) -> tuple[bytes | mmap.mmap, int]:
        self._refuse(*_WRITING)
        if isinstance(body, bytes):
            return body, len(body)
        data, size = await asyncio.to_thread(open_body, body)
        if size > MAX_PUT:
            raise ContractError(
                "An object is at most 5 GiB, the most that one PUT takes",
                f"{size} bytes",
                self.address(path),
                "Cut it into smaller chunks.",
            )
        return data, size

    async def _head(self, path: str) -> Any:
        return await self._call(lambda: obstore.head_async(self._reader, path), path)

    async def _delete_one(self, path: str) -> None:
        with contextlib.suppress(FileNotFoundError):
            await self._call(lambda: obstore.delete_async(self._reader, path), path)

    def _pages(self, prefix: str, after: str | None) -> Any:
        return obstore.list(self._reader, prefix or None, offset=after, chunk_size=_PAGE)

    async def _stream(self, path: str, file: BinaryIO) -> None:
        offset = 0
        await asyncio.to_thread(file.truncate, 0)
        result = await obstore.get_async(self._reader, path)
        async for block in result.stream(min_chunk_size=_RANGE):
            await whole(write_at, file, block, offset)
            offset += len(block)

    async def _ranges(self, path: str, file: BinaryIO, size: int, e_tag: str | None) -> None:
        async def fetch(start: int) -> None:
            span = (start, min(start + _RANGE, size))
            result = await obstore.get_async(self._reader, path, options={"range": span})
            if result.meta["e_tag"] != e_tag:
                raise InputError(
                    "An object does not change while it is read",
                    "a new version",
                    self.address(path),
                    "Run again.",
                )
            await whole(write_at, file, await result.bytes_async(), start)

        await each(
            lambda start: self._call(lambda: fetch(start), path),
            range(0, size, _RANGE),
            limit=_RANGES_AT_ONCE,
        )

    async def _call(self, work: Callable[[], Awaitable[T]], path: str) -> T:
        """The result of a request, repeated while its fault may pass."""
        return await self._backoff.call(lambda: self._attempt(work, path))

    async def _attempt(self, work: Callable[[], Awaitable[T]], path: str) -> T:
        if path != _ROOT:
            checked_path(path, self.uri)
        try:
            return await work()
        except (obx.BaseError, OSError, ValueError) as error:
            failure = translated(error, self.address(path), self._secrets)
        raise failure  # out here it carries no context, which could show a secret

    def _refuse(self, rule: str, fix: str) -> None:
        if self._read_only:
            raise ConfigError(rule, self.uri, "", fix)


async def _next(pages: Any) -> Any:
    async for page in pages:
        return page
    return ()


def _meta(meta: Any) -> ObjectMeta:
    return ObjectMeta(path=meta["path"], size=meta["size"], modified=meta["last_modified"])
