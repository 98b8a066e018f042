"""Gives freed memory back to the system between the phases of a kernel."""

from __future__ import annotations

import ctypes
import sys

import pyarrow as pa


def release_memory() -> None:
    """Return what Arrow's pool and the C library keep for later.

    A worker's resident size is what the memory budget sees. After millions of small geometries
    the allocators of a process hold hundreds of megabytes that nothing uses.
    """
    pa.default_memory_pool().release_unused()
    if sys.platform == "linux":
        trim = getattr(ctypes.CDLL(None), "malloc_trim", None)  # glibc has it, musl does not
        if trim is not None:
            trim(0)
