"""Polygons that are certainly simple, told from their WKB without making geometries.

A ring is simple if all of it can be seen from one point: it then turns around that point steadily
and once, so no two of its edges meet. Seen from the mean of its vertices nearly every small
polygon is of this kind (of a million parcels of 13 vertices, 98 %). The edges of the others are
compared with each other, as `simple` does it. What is not certain, for its shape or for the
rounding of its coordinates, is left to GEOS.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from geo_assets.rules.simple import ERROR, TINY, Mask, Numbers, cross, simple_rings
from geo_assets.rules.wkb import wkb_bytes

MOST_VERTICES = 513
"""Longer rings cost GEOS less."""
STAR_VERTICES = 40
"""Longer rings are seldom seen whole from one point."""
_STEP = 16
"""Rings are compared together whose numbers of edges are equal when rounded up to this."""
_WORTH = 2048
"""Fewer vertices in all cost GEOS less than it takes to compare them together."""

_POLYGON = [("order", "u1"), ("type", "<u4"), ("rings", "<u4"), ("vertices", "<u4")]
_MULTI = [("outer_order", "u1"), ("outer_type", "<u4"), ("parts", "<u4")]
_HEADERS: dict[int, dict[str, int]] = {
    13: {"order": 1, "type": 3, "rings": 1},
    22: {"outer_order": 1, "outer_type": 6, "parts": 1, "order": 1, "type": 3, "rings": 1},
}
"""What stands before the vertices of a Polygon, and of a MultiPolygon of one, by length."""
_BLOCK = 16_384  # vertices worked on at once: all that is known of them fits into the cache
_MANY = 131_072  # vertices compared at once: more calls cost more than what the cache saves


@dataclass(frozen=True, slots=True, kw_only=True)
class Plain:
    """What is certain of n features; where `certain` is False the rest is void."""

    certain: Mask
    """Shape (n,): one closed ring, finite, valid, no vertex twice."""
    vertices: NDArray[np.int64]
    """Shape (n,): how many its ring has, the first one again at its end included."""
    multi: Mask
    """Shape (n,): it is a MultiPolygon of one Polygon, not a Polygon."""
    ccw: Mask
    """Shape (n,): its ring runs counter-clockwise."""
    bounds: Numbers
    """Shape (n, 4): x min, y min, x max, y max."""
    area: Numbers
    """Shape (n,): about, in square units: to 1e-6, or to 1e-13 of the square of its border."""
    border: Numbers
    """Shape (n,): its length is at most this, in units."""


def plain_polygons(wkb: pa.Array) -> Plain:
    """Look at a binary column.

    Args:
        wkb: Shape (n,): little-endian ISO WKB in x, y order is understood; all else, and null,
            is not certain.
    """
    data, starts, sizes = wkb_bytes(wkb)
    size = len(starts)
    plain = Plain(
        certain=np.zeros(size, np.bool_), vertices=np.zeros(size, np.int64),
        multi=np.zeros(size, np.bool_), ccw=np.zeros(size, np.bool_),
        bounds=np.empty((size, 4)), area=np.empty(size), border=np.empty(size),
    )  # fmt: skip
    for header in _HEADERS:
        rows, count = _of_form(data, starts, sizes, header)
        plain.multi[rows] = "parts" in _HEADERS[header]
        plain.vertices[rows] = count
        at = starts[rows] + header
        with np.errstate(all="ignore"):  # what is not finite is not certain
            for some, number in _alike(np.where(count <= STAR_VERTICES, count, 0), _BLOCK):
                xy = _read(data, at[some], number)
                _note(plain, rows[some], xy, _seen_whole(xy))
            open_ = np.where(plain.certain[rows], 0, count - 1)
            for some, number in _alike(-(-open_ // _STEP) * _STEP, _MANY, _WORTH):
                xy = _read_padded(data, at[some], open_[some], number)
                _note(plain, rows[some], xy, _compared(xy, open_[some]))
    if wkb.null_count:
        plain.certain[wkb.is_null().to_numpy(zero_copy_only=False)] = False
    return plain


def plain_vertices(wkb: pa.Array, plain: Plain, rows: NDArray[np.int64]) -> Numbers:
    """Shape (2, vertices): x and y, ring after ring.

    Args:
        wkb: The column.
        plain: What is known of it.
        rows: Positions of certain features.
    """
    data, starts, _ = wkb_bytes(wkb)
    if not len(rows):
        return np.zeros((2, 0))
    single, multi = _HEADERS
    count = plain.vertices[rows]
    first = starts[rows] + np.where(plain.multi[rows], multi, single)
    at = np.repeat(first - 16 * (np.cumsum(count) - count), count) + 16 * np.arange(count.sum())
    vertices = np.ndarray((len(data) - 15,), "<c16", data, strides=(1,))[at]
    return np.stack([vertices.real, vertices.imag])


def _of_form(
    data: NDArray[np.uint8], starts: NDArray[np.int64], sizes: NDArray[np.int64], header: int
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Rows whose WKB has a header of this form and one ring, and how many vertices it has."""
    count = (sizes - header) // 16
    fits = (sizes == header + 16 * count) & (count > 3) & (count <= MOST_VERTICES)
    rows = np.flatnonzero(fits)
    count = count[rows]
    if not len(rows):
        return rows, count
    fields = np.dtype([*(_MULTI if "parts" in _HEADERS[header] else []), *_POLYGON])
    anywhere = np.ndarray((len(data) - header + 1,), f"V{header}", data, strides=(1,))
    heads = anywhere[starts[rows]].view(fields)
    good = heads["vertices"] == count
    for name, value in _HEADERS[header].items():
        good &= heads[name] == value
    return rows[good], count[good]


def _alike(
    count: NDArray[np.int64], block: int, least: int = 1
) -> Iterator[tuple[NDArray[np.int64], int]]:
    """Positions of the same count, and it, for about `block` in all.

    Counts that do not add up to `least` are left out, and so is 0.
    """
    small = count.astype(np.uint16)  # sorted by their digits
    order = np.argsort(small, kind="stable")
    small = small[order]
    edges = np.flatnonzero(np.diff(small, prepend=0, append=0))
    for first, last in zip(edges[:-1].tolist(), edges[1:].tolist(), strict=True):
        number = int(small[first])
        if (last - first) * number < least:
            continue
        step = max(1, block // number)
        for start in range(first, last, step):
            yield order[start : min(start + step, last)], number


def _read(data: NDArray[np.uint8], at: NDArray[np.int64], count: int) -> Numbers:
    """Shape (2, count, rings): the vertices of rings that begin at these bytes."""
    size = 16 * count
    anywhere = np.ndarray((len(data) - size + 1,), f"V{size}", data, strides=(1,))
    rings = anywhere[at].view("<f8").reshape(len(at), count, 2)
    return np.ascontiguousarray(rings.transpose(2, 1, 0))


def _read_padded(
    data: NDArray[np.uint8], at: NDArray[np.int64], edges: NDArray[np.int64], most: int
) -> Numbers:
    """Shape (2, most + 1, rings): the vertices of rings, of which the last is repeated."""
    anywhere = np.ndarray((len(data) - 15,), "<c16", data, strides=(1,))
    vertices = anywhere[at + 16 * np.minimum(np.arange(most + 1)[:, None], edges)]
    return np.stack([vertices.real, vertices.imag])


def _note(
    plain: Plain, rows: NDArray[np.int64], xy: Numbers, known: tuple[Mask, Mask, Numbers]
) -> None:
    """Put down what is known of some rings."""
    simple, plain.ccw[rows], plain.area[rows] = known
    plain.certain[rows] = simple & (xy[:, 0] == xy[:, -1]).all(axis=0)
    plain.bounds[rows] = np.concatenate([xy.min(axis=1), xy.max(axis=1)]).T
    # One axis at a time: numpy adds up both at once ten times slower.
    plain.border[rows] = np.abs(np.diff(xy, axis=1)).sum(axis=1).sum(axis=0)


def _compared(xy: Numbers, edges: NDArray[np.int64]) -> tuple[Mask, Mask, Numbers]:
    """Which rings are simple for certain; which way they turn; their area."""
    off = xy - xy[:, :1]
    turn, error = cross(*off[:, :-1], *off[:, 1:])
    total = turn.sum(axis=0)
    # Adding up n numbers errs by less than n roundings of the sum of their sizes.
    told = np.abs(total) > error.sum(axis=0) * len(turn)
    return simple_rings(xy, edges) & told, total > 0, np.abs(total) / 2


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
    left *= ERROR
    left += TINY
    ccw = (turn > left).all(axis=0)
    steady = ccw | (turn < -left).all(axis=0)
    above = off[1] >= 0
    once = (above[1:] > above[:-1]).sum(axis=0) == 1
    return steady & once, ccw, area
