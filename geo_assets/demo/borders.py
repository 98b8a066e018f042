"""The network of borders between districts: Voronoi edges, each drawn once and made fractal."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TypeAlias

import numpy as np
import shapely
from numpy.typing import NDArray

from geo_assets.demo.world import Points, World

Indices: TypeAlias = NDArray[np.int64]
Lines: TypeAlias = NDArray[np.float64]
"""Polylines of shape (lines, vertices, 2): x, y."""

OUTSIDE = -1
"""The site on the far side of the world's edge."""
MILLIMETRE = 0.001

_SNAP_M = 0.005  # Voronoi vertices this close to the world's edge lie on it
_SEGMENTS = 16  # of every border
_KITE = 0.9  # share of the kite that a border may use
_ROUGHNESS = 0.72


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Borders:
    """A planar network: every border once, and for every site its borders in ring order."""

    sites: Points
    """One point inside each district, shape (districts, 2), metres."""
    line: Lines
    """Every border from its first to its last vertex, shape (borders, vertices, 2), metres."""
    side: Indices
    """The two sites of each border, shape (borders, 2); the second is `OUTSIDE` at the edge."""
    ring_border: Indices
    """Border of each ring entry; entries of one site are contiguous and in ring order."""
    ring_site: Indices
    """Site of each ring entry."""
    ring_reversed: NDArray[np.bool_]
    """Whether the ring runs along the border backwards."""

    def straightened(self, borders: Indices) -> Borders:
        """The same network with the chosen borders drawn straight."""
        line = self.line.copy()
        line[borders] = _straight(line[borders, 0], line[borders, -1])
        return replace(self, line=line)

    def ring_lines(self) -> Lines:
        """A copy of each ring entry's border, in the direction in which its ring runs."""
        lines = self.line[self.ring_border]
        lines[self.ring_reversed] = lines[self.ring_reversed, ::-1]
        return lines


def draw_borders(world: World, count: int) -> Borders:
    """Divide the world into `count` districts, small where many people live.

    Neighbours share one border, so they match exactly. A border stays inside the kite that its
    ends and its two sites span; kites do not overlap, so borders cannot cross.
    """
    rng = world.rng("districts", str(count))
    sites = _sites(world, rng, count)
    ends, side, ring_border, ring_site, ring_reversed = _voronoi(world, sites)
    # A border that reaches the world's edge meets it at a right angle, and stays straight: a
    # fractal one could run beside the edge, and pass for a gap.
    outside = side[:, 1] == OUTSIDE
    outer = np.asarray(np.isin(_nodes(ends), _nodes(ends[outside])).any(axis=1))
    return Borders(
        sites=sites,
        line=_fractal(rng, ends, sites[side[:, 0]], sites[side[:, 1]], outer),
        side=side,
        ring_border=ring_border,
        ring_site=ring_site,
        ring_reversed=ring_reversed,
    )


def _sites(world: World, rng: np.random.Generator, count: int) -> Points:
    """Distinct places, thinned to one for each small cell, ordered from north-west as registers."""
    low = np.array(world.bounds[:2])
    cell = 0.2 * world.edge_m / np.sqrt(count)
    sites = np.empty((0, 2))
    while len(sites) < count:
        more = world.scatter(rng, count, rural=0.5)
        sites = np.vstack([sites, more])
        _, first = np.unique((sites - low) // cell, axis=0, return_index=True)
        sites = sites[np.sort(first)]
    sites = np.round(sites[:count], 2)
    strip = np.floor((world.bounds[3] - sites[:, 1]) / world.edge_m * np.sqrt(count))
    return sites[np.lexsort((sites[:, 0], strip))]


def _voronoi(
    world: World, sites: Points
) -> tuple[Lines, Indices, Indices, Indices, NDArray[np.bool_]]:
    """Ends and sides of every border, and the ring entries (border, site, reversed)."""
    cells = _cells(world, sites)
    corners, site = shapely.get_coordinates(cells, return_index=True)
    corners = _on_edge(corners, world)
    node_xy, node = np.unique(np.round(corners / MILLIMETRE).astype(np.int64), axis=0,
                              return_inverse=True)  # fmt: skip
    start, end = node[:-1], node[1:]
    entry = (site[:-1] == site[1:]) & (start != end)
    start, end, site = start[entry], end[entry], site[:-1][entry]
    pair = np.column_stack([np.minimum(start, end), np.maximum(start, end)])
    ends, first, border = np.unique(pair, axis=0, return_index=True, return_inverse=True)
    side = np.full((len(ends), 2), OUTSIDE, np.int64)
    side[:, 0] = site[first]
    second = np.ones(len(site), np.bool_)
    second[first] = False
    side[border[second], 1] = site[second]
    origin = np.array([world.bounds[0], world.bounds[1]])
    xy = np.round(node_xy[ends] * MILLIMETRE + origin, 3)
    return xy, side, border, site, start != ends[border, 0]


def _cells(world: World, sites: Points) -> NDArray[np.object_]:
    """The Voronoi cell of each site, relative to the south-west corner of the world.

    Sites near the world's edge are mirrored at it: the edge itself then becomes a border.
    """
    local, edge = sites - world.bounds[:2], world.edge_m
    reach = edge * min(1.0, 8 / np.sqrt(len(sites)))
    ghosts = [local]
    for axis in (0, 1):
        for limit in (0.0, edge):
            ghost = local[np.abs(local[:, axis] - limit) <= reach]
            ghost[:, axis] = 2 * limit - ghost[:, axis]
            ghosts.append(ghost)
    everything = shapely.multipoints(np.vstack(ghosts))
    cells = shapely.get_parts(shapely.voronoi_polygons(everything, ordered=True))
    return np.asarray(cells[: len(sites)])


def _nodes(ends: Lines) -> NDArray[np.complex128]:
    """Ends as complex numbers, shape (borders, 2): whole nodes compare at once."""
    nodes: NDArray[np.complex128] = ends[..., 0] + 1j * ends[..., 1]
    return nodes


def _on_edge(corners: Points, world: World) -> Points:
    for limit in (0.0, world.edge_m):
        corners[np.abs(corners - limit) < _SNAP_M] = limit
    return corners


def _straight(start: Points, end: Points) -> Lines:
    along = np.linspace(0.0, 1.0, _SEGMENTS + 1)[None, :, None]
    line = start[:, None] * (1 - along) + end[:, None] * along
    line[:, 0], line[:, -1] = start, end
    return line


def _fractal(
    rng: np.random.Generator, ends: Lines, left: Points, right: Points, straight: NDArray[np.bool_]
) -> Lines:
    """Displace the midpoints of each border again and again, inside the kite of its sites."""
    start, end = ends[:, 0], ends[:, 1]
    chord = end - start
    length = np.hypot(*chord.T)
    tangent = chord / length[:, None]
    normal = np.column_stack([-tangent[:, 1], tangent[:, 0]])
    offset = _displace(rng, length)
    room = np.minimum(_room(start, tangent, length, left), _room(start, tangent, length, right))
    room *= _KITE
    offset = room * np.tanh(offset / np.maximum(room, MILLIMETRE))
    offset[straight] = 0.0
    line = _straight(start, end)
    line[:, 1:-1] += (normal[:, None] * offset[..., None])[:, 1:-1]
    return line


def _displace(rng: np.random.Generator, length: NDArray[np.float64]) -> NDArray[np.float64]:
    offset = np.zeros((len(length), _SEGMENTS + 1))
    size, step = 0.16 * length, _SEGMENTS
    while step > 1:
        half = step // 2
        middle = np.arange(half, _SEGMENTS, step)
        offset[:, middle] = (offset[:, middle - half] + offset[:, middle + half]) / 2
        offset[:, middle] += rng.standard_normal((len(length), len(middle))) * size[:, None]
        size, step = size * 2**-_ROUGHNESS, half
    return offset


def _room(
    start: Points, tangent: Points, length: NDArray[np.float64], site: Points
) -> NDArray[np.float64]:
    """Height over the border of the triangle that it spans with `site`, at each vertex."""
    away = site - start
    foot = (away * tangent).sum(1)[:, None]
    height = np.abs(away[:, 0] * tangent[:, 1] - away[:, 1] * tangent[:, 0])[:, None]
    along = np.linspace(0.0, 1.0, _SEGMENTS + 1)[None] * length[:, None]
    rest = length[:, None] - along
    with np.errstate(divide="ignore", invalid="ignore"):
        rising = np.where(foot > 0, height / foot * along, np.inf)
        falling = np.where(foot < length[:, None], height * rest / (length[:, None] - foot), np.inf)
    return np.minimum(rising, falling)
