"""Rings that certainly do not touch or cross themselves, many at once and without geometries.

Edges that follow each other must turn, or go on, but not come back. All others must be apart: they
are compared by the boxes around them, first those of long runs of edges, which are apart for nearly
all, and then those of their halves. Where that does not tell for certain, nothing is said.
"""

from __future__ import annotations

from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

_FEW = 4
"""So many boxes of a ring are not put into larger ones."""
# Shewchuk's bound for the sign of a cross product of rounded differences.
ERROR = (3.0 + 16.0 * 2.0**-53) * 2.0**-53
TINY = 1e-300  # below this the products themselves are not exact enough

Mask: TypeAlias = NDArray[np.bool_]
Numbers: TypeAlias = NDArray[np.float64]
Places: TypeAlias = NDArray[np.intp]
_Pairs: TypeAlias = tuple[Places, Places, Places]
"""A number, a higher one, and the ring of both."""
_Boxes: TypeAlias = tuple[Numbers, Numbers, Numbers, Numbers]
"""The left, lower, right and upper sides of boxes, each of shape (boxes of a ring, rings)."""


def simple_rings(xy: Numbers, edges: Places) -> Mask:
    """Which of some closed rings of at least three edges are simple for certain.

    Args:
        xy: Shape (2, 1 + n, rings), contiguous: the vertices; the more often n is even when
            it is halved, the faster. After the last one, which is the first again, it is repeated.
        edges: Shape (rings,): how many edges each ring has.
    """
    simple = _goes_on(xy, edges)
    low, high = np.minimum(xy[:, :-1], xy[:, 1:]), np.maximum(xy[:, :-1], xy[:, 1:])
    one, other, ring = _near((low[0], low[1], high[0], high[1]))
    # The repeated vertices are no edges, and the last edge is the first one's neighbour.
    real = (other < edges[ring]) & ((one > 0) | (other < edges[ring] - 1))
    one, other, ring = one[real], other[real], ring[real]
    simple[ring[~_apart(xy, one, other, ring)]] = False
    return simple


def cross(ax: Numbers, ay: Numbers, bx: Numbers, by: Numbers) -> tuple[Numbers, Numbers]:
    """The product a x b of differences of two coordinates each, and a bound of its error."""
    left, right = ax * by, ay * bx
    product = left - right
    error = np.abs(left, out=left)
    error += np.abs(right, out=right)
    error *= ERROR
    error += TINY
    return product, error


def _goes_on(xy: Numbers, edges: Places) -> Mask:
    """Whether no edge comes back over the one before it, nor is of zero length."""
    step = np.diff(xy, axis=1)
    turn, error = cross(*step[:, :-1], *step[:, 1:])
    doubt = np.abs(turn) <= error
    doubt |= np.isnan(turn)
    doubt &= np.arange(1, step.shape[1])[:, None] < edges
    at, ring = np.nonzero(doubt)
    rings = np.arange(len(edges))
    before = np.concatenate([step[:, at, ring], step[:, edges - 1, rings]], axis=1)
    after = np.concatenate([step[:, at + 1, ring], step[:, 0]], axis=1)
    goes_on = np.ones(len(edges), bool)
    goes_on[np.concatenate([ring, rings])[~_certain(before, after)]] = False
    return goes_on


def _certain(before: Numbers, after: Numbers) -> Mask:
    """Whether steps certainly turn, or go on in about the same direction."""
    (ax, ay), (bx, by) = before, after
    turn, error = cross(ax, ay, bx, by)
    straight, vague = cross(ax, -ay, by, bx)
    return (np.abs(turn) > error) | (straight > vague)


def _near(edges: _Boxes) -> _Pairs:
    """Pairs of edges, none of them of neighbours, whose boxes have a common point.

    From large boxes down to those of edges. Parts of boxes that are neighbours are compared all
    together; parts of others only where these have a common point.
    """
    levels = [edges]
    while len(levels[-1][0]) > _FEW and len(levels[-1][0]) % 2 == 0:
        left, lower, right, upper = levels[-1]
        levels.append((
            np.minimum(left[::2], left[1::2]), np.minimum(lower[::2], lower[1::2]),
            np.maximum(right[::2], right[1::2]), np.maximum(upper[::2], upper[1::2]),
        ))  # fmt: skip
    top = levels.pop()
    pairs = _joined([_touching(top, lag, 1) for lag in range(2, len(top[0]))])
    for boxes in reversed(levels):
        pairs = _joined([_parts(boxes, pairs), _touching(boxes, 2, 1), _touching(boxes, 3, 2)])
    return pairs


def _joined(pairs: list[_Pairs]) -> _Pairs:
    one, other, ring = (np.concatenate(part) for part in zip(*pairs, strict=True))
    return one, other, ring


def _touching(boxes: _Boxes, lag: int, step: int) -> _Pairs:
    """Every box that many from the first, if it and the one `lag` later have a common point."""
    left, lower, right, upper = boxes
    near = left[lag::step] <= right[:-lag:step]
    near &= right[lag::step] >= left[:-lag:step]
    near &= lower[lag::step] <= upper[:-lag:step]
    near &= upper[lag::step] >= lower[:-lag:step]
    box, ring = np.divmod(np.flatnonzero(near), near.shape[1])
    return box * step, box * step + lag, ring


def _parts(boxes: _Boxes, pairs: _Pairs) -> _Pairs:
    """The pairs of halves, of pairs of boxes twice as large, that have a common point."""
    one, other, ring = pairs
    one = np.concatenate([2 * one, 2 * one, 2 * one + 1, 2 * one + 1])
    other = np.concatenate([2 * other, 2 * other + 1] * 2)
    ring = np.tile(ring, 4)
    rings = boxes[0].shape[1]
    here, there = one * rings + ring, other * rings + ring
    left, lower, right, upper = (side.ravel() for side in boxes)
    near = left.take(here) <= right.take(there)
    near &= right.take(here) >= left.take(there)
    near &= lower.take(here) <= upper.take(there)
    near &= upper.take(here) >= lower.take(there)
    return one[near], other[near], ring[near]


def _apart(xy: Numbers, one: Places, other: Places, ring: Places) -> Mask:
    """Whether edges certainly have no common point: one has both ends on one side of the other."""
    p, q, r, s = (xy[:, at, ring] for at in (one, one + 1, other, other + 1))
    apart = _beside(p, q, r, s)
    rest = np.flatnonzero(~apart)
    apart[rest] = _beside(r[:, rest], s[:, rest], p[:, rest], q[:, rest])
    return apart


def _beside(p: Numbers, q: Numbers, r: Numbers, s: Numbers) -> Mask:
    """Whether r and s are certainly on the same side of the line through p and q."""
    step = q - p
    first, vague = cross(*step, *(r - p))
    second, unsure = cross(*step, *(s - p))
    return ((first > vague) & (second > unsure)) | ((first < -vague) & (second < -unsure))
