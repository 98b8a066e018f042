"""Local files on their way to and from a store; all of it blocks: call it in threads."""

from __future__ import annotations

import mmap
import os
import shutil
from pathlib import Path
from typing import Any, BinaryIO

_IN_MEMORY = 8 << 20


def open_body(file: Path) -> tuple[bytes | mmap.mmap, int]:
    """The bytes of a file: read if few, else mapped, which costs page cache but no memory."""
    size = file.stat().st_size
    if size <= _IN_MEMORY:
        return file.read_bytes(), size
    with file.open("rb") as opened:
        return mmap.mmap(opened.fileno(), 0, access=mmap.ACCESS_READ), size


def new_file(part: Path) -> BinaryIO:
    """An empty file, open for writing, its folder made."""
    part.parent.mkdir(parents=True, exist_ok=True)
    return part.open("w+b", buffering=0)


def write_at(file: BinaryIO, block: Any, offset: int) -> None:
    """Write all of `block` at `offset`; many threads may do so at once."""
    view = memoryview(block)
    while view:
        written = os.pwrite(file.fileno(), view, offset)
        view, offset = view[written:], offset + written


def drop_file(file: BinaryIO, part: Path) -> None:
    """Close a file and remove it, if it still has its temporary name."""
    file.close()
    part.unlink(missing_ok=True)


def fill_file(file: str, body: bytes | Path, *, flush: bool) -> None:
    """Write a new file; with `flush`, its bytes survive a power cut afterwards."""
    if isinstance(body, Path):
        shutil.copyfile(body, file)
    descriptor = os.open(file, os.O_WRONLY | os.O_CREAT, 0o666)
    try:
        if isinstance(body, bytes):
            view = memoryview(body)
            while view:
                view = view[os.write(descriptor, view) :]
        if flush:
            os.fsync(descriptor)
    finally:
        os.close(descriptor)
