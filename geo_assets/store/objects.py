"""Where bytes live: one small protocol for folders and object stores."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Protocol
from urllib.parse import unquote, urlsplit

from geo_assets.errors import ConfigError


@dataclass(frozen=True, slots=True, kw_only=True)
class ObjectMeta:
    """What a store knows about an object without reading it."""

    path: str
    """`/`-separated, relative to the root of the store."""
    size: int
    """Bytes."""
    modified: datetime
    """When it was written, by the clock of the store."""


@dataclass(frozen=True, slots=True, kw_only=True)
class S3Access:
    """How to reach S3; what is not given comes from the environment, as boto3 reads it.

    It holds secrets, which neither `repr` nor an error shows. Never send one to a worker.
    """

    endpoint_url: str | None = None
    region: str | None = None
    access_key: str | None = field(default=None, repr=False)
    secret: str | None = field(default=None, repr=False)
    session_token: str | None = field(default=None, repr=False)
    profile: str | None = None
    """A profile of the shared AWS configuration files."""
    unsigned: bool = False
    """Send anonymous requests, for public buckets."""
    verify: bool | str = True
    """False accepts any TLS certificate; a path names the certificate authorities to trust."""


class ObjectStore(Protocol):
    """Immutable-friendly object storage; every path is relative to `uri`.

    Paths are `/`-separated; a segment that is empty, hidden or `..` is an `InputError`.
    Faults that may pass are retried, then raised as `TransientError`; refused credentials
    and missing buckets are a `ConfigError`. No method blocks the event loop. A cancelled
    write leaves the object absent or whole, never torn.
    """

    @property
    def uri(self) -> str:
        """`s3://bucket/prefix`, or the absolute path of a local folder."""
        ...

    async def get(self, path: str) -> bytes:
        """The bytes of a small object.

        Raises:
            FileNotFoundError: There is no such object.
        """
        ...

    async def get_range(self, path: str, start: int, length: int) -> bytes:
        """At most `length` bytes from offset `start`; fewer at the end of the object.

        Raises:
            FileNotFoundError: There is no such object.
        """
        ...

    async def download(
        self, path: str, to: Path, *, size: int | None = None, sha256: str | None = None
    ) -> None:
        """Write an object to a file, in bounded memory, under a temporary name until whole.

        Raises:
            FileNotFoundError: There is no such object.
            InputError: Its size or hash is not the expected one; nothing is left at `to`.
        """
        ...

    async def put(self, path: str, body: bytes | Path) -> None:
        """Write or replace an object. Only for files that can be derived again."""
        ...

    async def create(self, path: str, body: bytes | Path) -> bool:
        """Write an object unless one exists, atomically.

        Returns:
            True if this call created it, for certain. False if something may be there: an
            object of another writer, or ours after a lost reply. Read it to find out.
        """
        ...

    def list(self, prefix: str, *, after: str | None = None) -> AsyncIterator[ObjectMeta]:
        """Every object below the folder `prefix` ("" for all), in no particular order.

        Args:
            prefix: Whole segments, no trailing slash.
            after: Only paths that sort after this one.
        """
        ...

    async def folders(self, prefix: str) -> Sequence[str]:
        """The names of the folders directly below the folder `prefix`, sorted."""
        ...

    async def head(self, path: str) -> ObjectMeta | None:
        """What is known about an object, or None if there is none."""
        ...

    async def delete(self, paths: Sequence[str]) -> None:
        """Delete objects; those that do not exist count as deleted."""
        ...

    async def delete_folder(self, prefix: str) -> tuple[int, int]:
        """Delete everything below a folder; how many objects that were, and their bytes."""
        ...

    async def sync(self, prefix: str) -> None:
        """Return when what was written below `prefix` survives a power cut."""
        ...

    def local_path(self, path: str) -> Path | None:
        """The file that holds an object, or None in a store that is not a local folder."""
        ...

    def address(self, path: str) -> str:
        """The full address of an object, for people."""
        ...


def open_store(uri: str, *, s3: S3Access | None = None) -> ObjectStore:
    """The store behind an address. Nothing is read or written yet.

    Args:
        uri: A folder, `file://`, `s3://bucket/prefix`, `gs://`, `az://container/prefix`,
            `https://` (read only), or `memory://name` (one per process and name; for tests).
        s3: Credentials and endpoint of S3; without it they come from the environment.

    Raises:
        ConfigError: The address or the credentials make no sense.
    """
    scheme = match[1].lower() if (match := re.match(r"([A-Za-z][A-Za-z0-9+.-]*)://", uri)) else ""
    if scheme in ("", "file"):
        from geo_assets.store.local import LocalObjects

        return LocalObjects(Path(unquote(urlsplit(uri).path) if scheme else uri))
    if scheme in ("s3", "gs", "az", "https", "http", "memory"):
        from geo_assets.store.connect import open_remote

        return open_remote(uri, scheme, s3 or S3Access())
    raise ConfigError(
        "A store is a folder or a URL of a kind that is known",
        f"{scheme}://",
        "",
        "Use a folder, file, s3, gs, az, https or memory.",
    )
