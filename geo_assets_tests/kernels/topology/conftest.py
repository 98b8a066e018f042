"""Coverages whose defects are known, and the three kernels as one call."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import geopandas as gpd
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import shapely

from geo_assets.kernels.topology import (
    TopologyPlan,
    merge_report,
    plan_topology,
    report_spec,
    topology_chunk,
    topology_chunks,
)
from geo_assets.model import KernelResult
from geo_assets.rules.topology import TopologyRules

CELL = 1000.0
ORIGIN = np.array([400_000.0, 5_500_000.0])


def coverage(side: int, seed: int = 1, points: int = 4) -> list[shapely.Polygon]:
    """An edge-matched coverage of `side` x `side` cells with wavy borders."""
    rng = np.random.default_rng(seed)
    nodes = np.stack(np.meshgrid(np.arange(side + 1), np.arange(side + 1)), -1) * CELL + ORIGIN
    nodes = np.round(nodes + rng.uniform(-200, 200, nodes.shape), 3)
    lines: dict[Any, np.ndarray] = {}

    def border(a: tuple[int, int], b: tuple[int, int]) -> np.ndarray:
        key = min(a, b), max(a, b)
        if key not in lines:
            p, q = nodes[key[0][1], key[0][0]], nodes[key[1][1], key[1][0]]
            t = np.linspace(0, 1, points)[:, None]
            wave = rng.uniform(-30, 30, (points, 2)) * np.sin(np.pi * t)
            line = np.round(p * (1 - t) + q * t + wave, 3)
            line[0], line[-1] = p, q
            lines[key] = line
        return lines[key] if a < b else lines[key][::-1]

    cells = []
    for j, i in itertools.product(range(side), range(side)):
        corners = [(i, j), (i + 1, j), (i + 1, j + 1), (i, j + 1), (i, j)]
        ring = [border(a, b)[:-1] for a, b in itertools.pairwise(corners)]
        cells.append(shapely.Polygon(np.concatenate(ring)))
    return cells


def moved(polygon: shapely.Polygon, vertex: int, by: tuple[float, float]) -> shapely.Polygon:
    """The polygon with one vertex of its own moved."""
    xy = shapely.get_coordinates(polygon)[:-1].copy()
    xy[vertex] += by
    return shapely.Polygon(xy)


def write(path: Path, shapes: list[Any], crs: str = "EPSG:32633", *, covering: bool = True) -> Path:
    """A GeoParquet layer with a text key `name`: f0, f1, ..."""
    frame = gpd.GeoDataFrame(
        {"name": [f"f{i}" for i in range(len(shapes))]}, geometry=gpd.GeoSeries(shapes, crs=crs)
    )
    frame.to_parquet(path, write_covering_bbox=covering, schema_version="1.1.0", row_group_size=64)
    return path


def run(
    layer: Path,
    rules: TopologyRules,
    folder: Path,
    chunk_bytes: int = 1 << 30,
    *,
    key: str = "name",
) -> tuple[pa.Table, KernelResult]:
    """Plan, examine every chunk, merge."""
    folder.mkdir(parents=True)
    plan = TopologyPlan(layer=layer, rules=rules, chunk_bytes=chunk_bytes)
    (folder / "plan").mkdir()
    facts = plan_topology(plan, folder / "plan").facts
    folders = []
    for number, spec in enumerate(topology_chunks(plan, facts)):
        folders.append(folder / f"chunk{number}")
        folders[-1].mkdir()
        topology_chunk(spec, folders[-1])
    (folder / "report").mkdir()
    result = merge_report(report_spec(plan, facts, key, folders), folder / "report")
    return pq.read_table(result.files[0].path), result


def pairs(table: pa.Table) -> dict[str, list[str]]:
    """Ids by kind."""
    found: dict[str, list[str]] = {}
    for row in table.select(["kind", "ids"]).to_pylist():
        found.setdefault(row["kind"], []).append(row["ids"])
    return found


@pytest.fixture(scope="session")
def planting() -> SimpleNamespace:
    """The helpers of this module."""
    return SimpleNamespace(
        coverage=coverage, moved=moved, write=write, run=run, pairs=pairs, ORIGIN=ORIGIN
    )


@pytest.fixture
def examine(tmp_path: Path) -> Callable[..., tuple[pa.Table, KernelResult]]:
    """`run` in a new folder each time."""
    numbers = itertools.count()

    def call(
        layer: Path, rules: TopologyRules, chunk_bytes: int = 1 << 30, *, key: str = "name"
    ) -> Any:
        return run(layer, rules, tmp_path / f"run{next(numbers)}", chunk_bytes, key=key)

    return call
