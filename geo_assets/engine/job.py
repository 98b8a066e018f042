"""A chunk as the bytes that travel to a worker."""

from __future__ import annotations

import logging
import pickle
from pathlib import Path
from typing import Any

from geo_assets.engine import channel
from geo_assets.errors import ContractError
from geo_assets.model import Chunk


def kernel_name(chunk: Chunk) -> str:
    """The kernel's dotted name, also when it is no ordinary function."""
    kernel = chunk.kernel
    return f"{getattr(kernel, '__module__', '')}.{getattr(kernel, '__qualname__', repr(kernel))}"


def packed(chunk: Chunk, folder: Path) -> bytes:
    """The job as bytes, checked before a worker is taken.

    Raises:
        ContractError: The kernel is not importable by name, or the spec is no small plain value.
    """
    kernel: Any = chunk.kernel
    try:
        if kernel.__module__ == "__main__" or "<" in kernel.__qualname__:
            msg = f"{kernel_name(chunk)} is not importable"
            raise pickle.PicklingError(msg)
        level = logging.getLogger("geo_assets").getEffectiveLevel()
        job = channel.dump((chunk.id, level, kernel, chunk.spec, str(folder)))
    except (pickle.PicklingError, TypeError, AttributeError) as error:
        raise ContractError(
            "A chunk's kernel is a module-level function and its spec can be pickled",
            str(error), chunk.id, "Define the kernel in a module; put plain values into the spec.",
        ) from error  # fmt: skip
    if len(job) > channel.PAYLOAD_LIMIT:
        raise ContractError(
            f"A chunk's spec is smaller than {channel.PAYLOAD_LIMIT} bytes",
            f"{len(job)} bytes",
            chunk.id,
            "Hand over large data as a file.",
        )
    return job
