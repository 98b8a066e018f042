"""Recognises geometry that GEOS cannot hold, from the type code of its WKB."""

from __future__ import annotations

import struct

import pyarrow as pa
import pyarrow.compute as pc

_CURVES = frozenset((8, 9, 10, 11, 12, 13, 14))
"""ISO codes: circular string to multi surface, curve and surface."""
_COLLECTION = 7


def has_curves(wkb: pa.Array) -> bool:
    """Whether any geometry is a curve; a collection is judged by its first member."""
    codes = {_code(head, 0) for head in _heads(wkb, 5)}
    if codes & _CURVES:
        return True
    return _COLLECTION in codes and any(
        _code(head, 0) == _COLLECTION and _code(head, 9) in _CURVES for head in _heads(wkb, 14)
    )


def _heads(wkb: pa.Array, length: int) -> list[bytes]:
    """The distinct first bytes of all geometries that are not null."""
    heads: list[bytes | None] = pc.unique(pc.binary_slice(wkb, 0, length)).to_pylist()
    return [head for head in heads if head]


def _code(head: bytes, at: int) -> int:
    """ISO type code without dimension, from both the ISO and the extended encoding."""
    if len(head) < at + 5:
        return 0
    (value,) = struct.unpack_from("<I" if head[at] else ">I", head, at + 1)
    return int((value & 0x0FFFFFFF) % 1000)
