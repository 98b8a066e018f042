"""Polygons that are certainly simple, told from their WKB without making geometries.

A ring is simple if all of it can be seen from one point: it then turns around that point steadily
and once, so no two of its edges meet. Seen from the mean of its vertices nearly every small
polygon is of this kind (of a million parcels of 13 vertices, 98 %). What is not certain, for its
shape or for the rounding of its coordinates, is left to GEOS.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from geo_assets.rules.wkb import wkb_bytes

MOST_VERTICES = 40
"""Longer rings are seldom seen whole from one point."""

_POLYGON = [("order", "u1"), ("type", "<u4"), ("rings", "<u4"), ("vertices", "<u4")]
_MULTI = [("outer_order", "u1"), ("outer_type", "<u4"), ("parts", "<u4")]
_HEADERS: dict[int, dict[str, int]] = {
    13: {"order": 1, "type": 3, "rings": 1},
    22: {"outer_order": 1, "outer_type": 6, "parts": 1, "order": 1, "type": 3, "rings": 1},
}
"""What stands before the vertices of a Polygon, and of a MultiPolygon of one, by length."""
_BLOCK = 16_384  # vertices worked on at once: all that is known of them fits into the cache
# Shewchuk's bound for the sign of a cross product of rounded differences.
_ERROR = (3.0 + 16.0 * 2.0**-53) * 2.0**-53
_TINY = 1e-300  # below this the products themselves are not exact enough

Mask = NDArray[np.bool_]
Numbers = NDArray[np.float64]


@dataclass(frozen=True, slots=True, kw_only=True)
class Plain:
    """What is certain of n features; where `certain` is False the rest is void."""

    certain: Mask
    """Shape (n,): one closed ring, finite, valid, no vertex twice."""
    multi: Mask
    """Shape (n,): it is a MultiPolygon of one Polygon, not a Polygon."""
    ccw: Mask
    """Shape (n,): its ring runs counter-clockwise."""
    bounds: Numbers
    """Shape (n, 4): x min, y min, x max, y max."""
    area: Numbers
    """Shape (n,): about, in square units."""
    border: Numbers
    """Shape (n,): its length is at most this, in units."""


def plain_polygons(wkb: pa.Array) -> Plain:
    """Look at a binary column.

    Args:
        wkb: Shape (n,): little-endian ISO WKB in x, y order is understood; all else, and null,
            is not certain.
    """
    data, starts, sizes = wkb_bytes(wkb)
    rows = len(starts)
    plain = Plain(
        certain=np.zeros(rows, np.bool_), multi=np.zeros(rows, np.bool_),
        ccw=np.zeros(rows, np.bool_), bounds=np.empty((rows, 4)),
        area=np.empty(rows), border=np.empty(rows),
    )  # fmt: skip
    for header, count, chosen in _alike(sizes):
        records = _records(data, starts[chosen], header, count)
        good = records["vertices"] == count
        for name, value in _HEADERS[header].items():
            good &= records[name] == value
        with np.errstate(all="ignore"):  # what is not finite is not certain
            xy = np.ascontiguousarray(records["xy"].transpose(2, 1, 0))
            good &= (xy[:, 0] == xy[:, -1]).all(axis=0)
            seen, plain.ccw[chosen], plain.area[chosen] = _seen_whole(xy)
            plain.certain[chosen] = good & seen
            plain.multi[chosen] = "parts" in _HEADERS[header]
            plain.bounds[chosen] = np.concatenate([xy.min(axis=1), xy.max(axis=1)]).T
            # One axis at a time: numpy adds up both at once ten times slower.
            plain.border[chosen] = np.abs(np.diff(xy, axis=1)).sum(axis=1).sum(axis=0)
    if wkb.null_count:
        plain.certain[wkb.is_null().to_numpy(zero_copy_only=False)] = False
    return plain


def _alike(sizes: NDArray[np.int64]) -> Iterator[tuple[int, int, NDArray[np.int64]]]:
    """Length of the header, number of vertices, and some rows whose WKB can be of that form."""
    for header in _HEADERS:
        vertices = (sizes - header) // 16
        fits = (sizes == header + 16 * vertices) & (vertices > 3) & (vertices <= MOST_VERTICES)
        rows = np.flatnonzero(fits)
        count = vertices[rows].astype(np.uint8)
        order = np.argsort(count, kind="stable")
        rows, count = rows[order], count[order]
        edges = np.flatnonzero(np.diff(count, prepend=0, append=0))
        for first, last in zip(edges[:-1].tolist(), edges[1:].tolist(), strict=True):
            number = int(count[first])
            step = max(1, _BLOCK // number)
            for start in range(first, last, step):
                yield header, number, rows[start : min(start + step, last)]


def _records(
    data: NDArray[np.uint8], starts: NDArray[np.int64], header: int, count: int
) -> NDArray[np.void]:
    """The WKB of polygons of one ring with `count` vertices, as a structured array."""
    fields = [*(_MULTI if "parts" in _HEADERS[header] else []), *_POLYGON,
              ("xy", "<f8", (count, 2))]  # fmt: skip
    size = header + 16 * count
    anywhere = np.ndarray((len(data) - size + 1,), f"V{size}", data, strides=(1,))
    records: NDArray[np.void] = anywhere[starts].view(np.dtype(fields))
    return records


def _seen_whole(xy: Numbers) -> tuple[Mask, Mask, Numbers]:
    """Which rings certainly turn once around the mean of their vertices; which way; their area.

    Args:
        xy: Shape (2, vertices, rings), contiguous; first and last vertex are the same.
    """
    off = xy - xy[:, :-1].mean(axis=1)[:, None]
    left = off[0, :-1] * off[1, 1:]
    right = off[1, :-1] * off[0, 1:]
    turn = left - right
    area = np.abs(turn.sum(axis=0)) / 2
    np.abs(left, out=left)
    np.abs(right, out=right)
    left += right
    left *= _ERROR
    left += _TINY
    ccw = (turn > left).all(axis=0)
    steady = ccw | (turn < -left).all(axis=0)
    above = off[1] >= 0
    once = (above[1:] > above[:-1]).sum(axis=0) == 1
    return steady & once, ccw, area
