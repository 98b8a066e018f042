"""The nearest right geometries of each left one, exact, without measuring giants whole.

Outside of a geometry, its distance is that of the nearest of its edges. So large geometries are
cut into short runs of edges, with their own vertices, and a tree finds the nearest run; what
intersects is at distance 0 and found by the join's own means.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
import pyarrow as pa
import shapely

from geo_assets.kernels.join_blocks import Block, Blocks, Load, portions
from geo_assets.kernels.join_found import Pairs, Tally
from geo_assets.kernels.join_geometry import decode
from geo_assets.kernels.join_index import RightIndex
from geo_assets.kernels.join_layer import Project
from geo_assets.kernels.join_pairs import Finder
from geo_assets.kernels.join_spec import JoinRule
from geo_assets.kernels.label_grid import Array

_RUN = 32
"""Edges of a piece."""
_WHOLE = 64
"""Geometries of at most so many coordinates are not cut."""
_AT_ONCE = 1 << 14


@dataclass(frozen=True, slots=True)
class _Pieces:
    shapes: Array
    owner: Array
    """Right row of each piece."""
    rows: int
    """Different owners."""
    tree: shapely.STRtree


class Nearest:
    """Finds the nearest right rows of the left rows of one join."""

    def __init__(
        self, rule: JoinRule, index: RightIndex, project: Project | None, where: str
    ) -> None:
        self.rule = rule
        touching = replace(rule, predicate="intersects", max_distance=None, neighbours=1,
                           distance_column=None)  # fmt: skip
        self._meets = Finder(touching, index, project, where)
        self._every = np.flatnonzero(np.isfinite(index.bounds[:, 0]))
        self._blocks = Blocks(index)
        self._made: tuple[Block, _Pieces] | None = None

    @property
    def tally(self) -> Tally:
        """How the work was done."""
        return self._meets.tally

    def find(self, geometry: pa.Array, covering: Array | None) -> Iterator[Pairs]:  # noqa: ARG002
        """For each left row the `neighbours` nearest right rows, and all as near as the last.

        Pairs are sorted by left row, then right row, with their distance.
        """
        shapes = decode(geometry, self._meets.project, self._meets.where)
        bounds = shapely.bounds(shapes)
        self.tally.see(bounds)
        for touching in self._meets.find_shapes(geometry, shapes, bounds):
            start, stop = touching.start, touching.stop
            rank = np.bincount(touching.left - start, minlength=stop - start)
            here = ~shapely.is_missing(shapes[start:stop])
            rest = np.flatnonzero(here & (rank < self.rule.neighbours)) + start
            parts = [(touching.left, touching.right, np.zeros(len(touching.left)))]
            for first in range(0, len(rest), _AT_ONCE):
                at = rest[first : first + _AT_ONCE]
                parts += [(at[item], row, far) for item, row, far in self._search(shapes[at])]
            yield _best(self.rule.neighbours, start, stop, parts)

    def _search(self, shapes: Array) -> Iterator[tuple[Array, Array, Array]]:
        for block in self._blocks.near(self._every):
            if self._made is None or self._made[0] is not block:
                self._made = (block, _make_pieces(block))
            pieces = self._made[1]
            if self.rule.neighbours == 1:
                found, far = pieces.tree.query_nearest(
                    shapes, max_distance=self.rule.max_distance, return_distance=True
                )
                yield found[0], pieces.owner[found[1]], far
            else:
                yield from _widening(self.rule, pieces, shapes)


def _widening(
    rule: JoinRule, pieces: _Pieces, shapes: Array
) -> Iterator[tuple[Array, Array, Array]]:
    """Everything within a radius that holds enough owners; the radius doubles until it does."""
    limit = np.inf if rule.max_distance is None else rule.max_distance
    enough = min(rule.neighbours, pieces.rows)
    at = np.arange(len(shapes))
    first, far = pieces.tree.query_nearest(shapes, all_matches=False, return_distance=True)
    radius = np.zeros(len(shapes))
    radius[first[0]] = far
    span = float(np.ptp(shapely.total_bounds(pieces.shapes).reshape(2, 2), axis=0).max())
    radius = np.minimum(np.maximum(radius * 2, span * 1e-4), limit)
    while len(at):
        item, row, distance = _around(pieces, shapes[at], radius[at])
        owners = np.unique(np.stack([item, row]), axis=1)[0]
        done = (np.bincount(owners, minlength=len(at)) >= enough) | (radius[at] >= limit)
        keep = done[item]
        yield at[item[keep]], row[keep], distance[keep]
        at = at[~done]
        radius[at] = np.minimum(radius[at] * 2 + 1e-300, limit)


def _around(pieces: _Pieces, shapes: Array, radius: Array) -> tuple[Array, Array, Array]:
    """(position, right row, distance) of the pieces within the radius of each shape."""
    reach = np.array([-1.0, -1.0, 1.0, 1.0]) * radius[:, None] * 1.000001
    boxes = shapely.bounds(shapes) + reach
    parts = [(np.zeros(0, np.intp), np.zeros(0, np.intp), np.zeros(0))]
    load = Load.of(shapely.bounds(pieces.shapes)).bound(boxes)
    for part in portions(load):
        item, piece = pieces.tree.query(shapely.box(*boxes[part].T))
        item = item + part.start
        distance = shapely.distance(shapes[item], pieces.shapes[piece])
        near = distance <= radius[item]
        parts.append((item[near], pieces.owner[piece[near]], distance[near]))
    item, row, distance = (np.concatenate(p) for p in zip(*parts, strict=True))
    return item, row, distance


def _best(neighbours: int, start: int, stop: int, parts: list[tuple[Array, Array, Array]]) -> Pairs:
    """The nearest of the candidates, one pair for each two rows."""
    left, right, far = (np.concatenate(p) for p in zip(*parts, strict=True))
    order = np.lexsort((far, right, left))
    left, right, far = left[order], right[order], far[order]
    first = (np.diff(left, prepend=-1) != 0) | (np.diff(right, prepend=-1) != 0)
    left, right, far = left[first], right[first], far[first]
    order = np.lexsort((far, left))
    begin = np.searchsorted(left, left)  # first pair of the same left row
    last = np.minimum(begin + neighbours, np.searchsorted(left, left, "right")) - 1
    keep = far <= far[order][last]
    return Pairs(start, stop, left[keep], right[keep], far[keep])


def _make_pieces(block: Block) -> _Pieces:
    """The block's geometries, the large ones cut into runs of edges."""
    cut = (block.sizes > _WHOLE) & (shapely.get_type_id(block.shapes) < 7)
    shapes, owner = [block.shapes[~cut]], [block.rows[~cut]]
    parts, of = shapely.get_parts(block.shapes[cut], return_index=True)
    of = block.rows[cut][of]
    area = shapely.get_type_id(parts) == 3
    rings, ring_of = shapely.get_rings(parts[area], return_index=True)
    point = shapely.get_type_id(parts) == 0
    lines = np.concatenate([rings, parts[~area & ~point]])
    line_of = np.concatenate([of[area][ring_of], of[~area & ~point]])
    shapes.append(parts[point])
    owner.append(of[point])
    if len(lines):
        runs, run_of = _runs(lines)
        shapes.append(runs)
        owner.append(line_of[run_of])
    every = np.concatenate(shapes)
    return _Pieces(every, np.concatenate(owner), len(block.rows), shapely.STRtree(every))


def _runs(lines: Array) -> tuple[Array, Array]:
    """Runs of at most `_RUN` edges of the lines, and the line of each."""
    xy, line = shapely.get_coordinates(lines, return_index=True)
    start = np.searchsorted(line, np.arange(len(lines)))
    edge = np.flatnonzero(line[1:] == line[:-1])
    run = (edge - start[line[edge]]) // _RUN
    head = np.flatnonzero((np.diff(line[edge], prepend=-1) != 0) | (np.diff(run, prepend=-1) != 0))
    counts = np.diff(np.append(head, len(edge))) + 1
    number = np.repeat(np.arange(len(head)), counts)
    at = np.arange(len(number)) - np.repeat(np.cumsum(counts) - counts, counts)
    return shapely.linestrings(xy[edge[head][number] + at], indices=number), line[edge[head]]
