"""Edge-matched coverages of any size with a few defects, for benchmarks.

    python benchmarks/coverages.py OUT.parquet [--polygons 50000] [--vertices 97] [--seed 1]

Cells of an uneven grid whose borders are random walks: neighbours share every vertex, rounded to
a millimetre. Some are then spoilt: crossed, drawn apart, drawn over each other, delivered twice,
null or empty.
"""

from __future__ import annotations

import argparse
import math
from pathlib import Path

import geopandas as gpd
import numpy as np
import shapely

SPOILT = {"bowtie": 50, "gap": 5, "overlap": 5, "duplicate": 4, "null": 3, "empty": 2}
WIDTH = 110_000.0
ORIGIN = np.array([300_000.0, 5_490_000.0])
ROW_GROUP = 65_536


def write_coverage(path: Path, polygons: int, vertices: int, seed: int = 1) -> None:
    """A layer in EPSG:32633 with the columns `id` and `geometry` and bounding boxes.

    Args:
        path: The file.
        polygons: How many, about: the next square number below.
        vertices: Of each ring, about: four borders of whole numbers of segments.
        seed: Of all that is random.
    """
    rng = np.random.default_rng(seed)
    side, segments = math.isqrt(polygons), max(2, (vertices - 1) // 4)
    rings = _cells(side, segments, rng)
    shapes = np.append(shapely.polygons(rings), [None] * SPOILT["duplicate"])
    inner = np.flatnonzero(np.arange(side**2) % side % 3 == 1)  # no two of these are neighbours
    inner = inner[(inner // side) % 3 == 1]
    picked = iter(rng.choice(inner, sum(SPOILT.values()), replace=False))
    for kind, number in SPOILT.items():
        for count in range(number):
            at = int(next(picked))
            if kind == "duplicate":
                shapes[side**2 + count] = shapes[at]
            else:
                shapes[at] = _spoilt(kind, rings[at], WIDTH / side, segments)
    layer = gpd.GeoDataFrame(
        {"id": np.arange(len(shapes))}, geometry=gpd.GeoSeries(shapes, crs="EPSG:32633")
    )
    layer.to_parquet(
        path, index=False, write_covering_bbox=True, schema_version="1.1.0", compression="zstd",
        row_group_size=ROW_GROUP,
    )  # fmt: skip


def _cells(side: int, segments: int, rng: np.random.Generator) -> np.ndarray:
    """Rings, shape (side * side, 4 * segments + 1, 2), counter-clockwise."""
    size = WIDTH / side
    nodes = np.stack(np.meshgrid(np.arange(side + 1), np.arange(side + 1)), -1) * size
    nodes = np.round(nodes + ORIGIN + rng.uniform(-0.15, 0.15, nodes.shape) * size, 3)
    along = _borders(nodes[:, :-1], nodes[:, 1:], segments, rng)
    up = _borders(nodes[:-1], nodes[1:], segments, rng)
    ring = [along[:-1], up[:, 1:], along[1:, :, ::-1], up[:, :-1, ::-1]]
    rings = np.concatenate([border[:, :, :-1] for border in ring], axis=2)
    rings = rings.reshape(side * side, -1, 2)
    return np.concatenate([rings, rings[:, :1]], axis=1)


def _borders(
    start: np.ndarray, end: np.ndarray, segments: int, rng: np.random.Generator
) -> np.ndarray:
    """A random walk from each start to each end, so near the straight line that none cross."""
    t = np.linspace(0, 1, segments + 1)
    steps = rng.normal(0, 1 / math.sqrt(segments), (*start.shape[:2], segments))
    walk = np.concatenate([np.zeros((*start.shape[:2], 1)), np.cumsum(steps, axis=2)], axis=2)
    walk = 0.3 * (walk - walk[..., -1:] * t)
    near = 0.35 * np.minimum(t, 1 - t)
    walk = np.clip(walk, -near, near)[..., None]
    across = (end - start)[..., ::-1] * [-1, 1]
    straight = start[..., None, :] + (end - start)[..., None, :] * t[:, None]
    lines = np.round(straight + walk * across[..., None, :], 3)
    lines[..., 0, :], lines[..., -1, :] = start, end
    return lines


def _spoilt(kind: str, ring: np.ndarray, size: float, segments: int) -> shapely.Polygon | None:
    if kind == "null":
        return None
    if kind == "empty":
        return shapely.Polygon()
    ring, half = ring.copy(), segments // 2
    if kind == "bowtie":
        ring[[half, half + 2 * segments]] = ring[[half + 2 * segments, half]]
    else:
        ring[half, 1] += 0.05 * size * (1 if kind == "gap" else -1)
    return shapely.Polygon(ring)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("out", type=Path)
    parser.add_argument("--polygons", type=int, default=50_000)
    parser.add_argument("--vertices", type=int, default=97)
    parser.add_argument("--seed", type=int, default=1)
    args = parser.parse_args()
    write_coverage(args.out, args.polygons, args.vertices, args.seed)


if __name__ == "__main__":
    main()
