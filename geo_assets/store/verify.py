"""Nothing is believed that was not measured: sizes and SHA-256 of objects and files."""

from __future__ import annotations

import asyncio
import hashlib
from pathlib import Path

from geo_assets.errors import InputError
from geo_assets.model import sha256_file
from geo_assets.store.objects import ObjectStore

_BLOCK = 8 << 20


async def digest(objects: ObjectStore, path: str) -> tuple[int, str]:
    """Size and SHA-256 of an object as it is stored now, read in blocks of 8 MiB.

    Raises:
        FileNotFoundError: There is no such object.
    """
    if (file := objects.local_path(path)) is not None:
        return await asyncio.to_thread(measure, file)
    if (meta := await objects.head(path)) is None:
        raise FileNotFoundError(objects.address(path))
    sha256, read = hashlib.sha256(), 0
    while read < meta.size:
        block = await objects.get_range(path, read, _BLOCK)
        if not block:
            break
        await asyncio.to_thread(sha256.update, block)
        read += len(block)
    return read, sha256.hexdigest()


def measure(file: Path) -> tuple[int, str]:
    """Size and SHA-256 of a file."""
    return file.stat().st_size, sha256_file(file)


def land(part: Path, to: Path, where: str, size: int | None, sha256: str | None) -> None:
    """Give a finished download its name, if it is what was asked for.

    Raises:
        InputError: Its size or hash is another one; the file is deleted.
    """
    try:
        check(where, part.stat().st_size, sha256_file(part) if sha256 else None, size, sha256)
        part.replace(to)
    finally:
        part.unlink(missing_ok=True)


def check(
    where: str,
    size: int,
    sha256: str | None,
    expected_size: int | None,
    expected_sha256: str | None,
) -> None:
    """Compare what was measured with what was promised.

    Raises:
        InputError: They differ; it names the object and both values.
    """
    fix = "The stored bytes are damaged: restore the object, or materialize it again."
    if expected_size is not None and size != expected_size:
        raise InputError(
            "An object has the size its commit states",
            f"{size} bytes instead of {expected_size}",
            where,
            fix,
        )
    if expected_sha256 is not None and sha256 != expected_sha256:
        raise InputError(
            "An object has the SHA-256 its commit states",
            f"{sha256} instead of {expected_sha256}",
            where,
            fix,
        )
