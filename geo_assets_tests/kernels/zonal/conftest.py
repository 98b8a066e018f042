"""Rasters, zones, and the three kernels as one call."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import geopandas as gpd
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import rasterio
import shapely
from affine import Affine

from geo_assets.kernels.zonal import (
    ZonalPlan,
    compute_zones,
    merge_zones,
    plan_zones,
    zonal_chunks,
    zonal_table,
)

WEST, NORTH, PIXEL = 500_000.0, 5_600_000.0, 10.0
CRS = "EPSG:32633"


def scene(
    path: Path,
    pixels: np.ndarray,
    *,
    nodata: float | None = None,
    mask: np.ndarray | None = None,
    transform: Affine | None = None,
    crs: str = CRS,
    scale: float | None = None,
    **profile: Any,
) -> Path:
    """A tiled GeoTIFF of pixels (bands, height, width)."""
    options = {"tiled": True, "blockxsize": 32, "blockysize": 32, "compress": "deflate"} | profile
    with (
        rasterio.Env(GDAL_TIFF_INTERNAL_MASK=True),
        rasterio.open(
            path, "w", driver="GTiff", width=pixels.shape[2], height=pixels.shape[1],
            count=pixels.shape[0], dtype=pixels.dtype, crs=crs, nodata=nodata,
            transform=transform or Affine(PIXEL, 0, WEST, 0, -PIXEL, NORTH), **options,
        ) as file,
    ):  # fmt: skip
        file.write(pixels)
        if mask is not None:
            file.write_mask(mask)
        if scale is not None:
            file.scales = [scale] * pixels.shape[0]
            file.offsets = [-7.5] * pixels.shape[0]
    return path


def blobs(
    number: int,
    seed: int,
    size: int,
    reach: float = 150.0,
    *,
    origin: Sequence[float] = (WEST, NORTH),
) -> list[shapely.Polygon]:
    """Star-shaped zones around a raster of `size` pixels, some of them partly or quite outside."""
    rng = np.random.default_rng(seed)
    zones = []
    for _ in range(number):
        x, y = rng.uniform(-0.15, 1.15, 2) * size * PIXEL
        angle = np.sort(rng.uniform(0, 2 * np.pi, rng.integers(3, 12)))
        radius = rng.uniform(0.1, 1.0, len(angle)) * reach
        xy = np.column_stack([np.cos(angle), np.sin(angle)]) * radius[:, None]
        zone = shapely.Polygon(xy + np.array([origin[0] + x, origin[1] - y]))
        zones.append(zone if zone.is_valid else zone.convex_hull)
    return zones


def layer(path: Path, zones: list[Any], crs: str = CRS) -> Path:
    """Zones with a text key."""
    frame = gpd.GeoDataFrame(
        {"name": [f"z{i}" for i in range(len(zones))]}, geometry=gpd.GeoSeries(zones, crs=crs)
    )
    frame.to_parquet(path, write_covering_bbox=True, schema_version="1.1.0")
    return path


Compute = Callable[..., tuple[pa.Table, dict[str, Any]]]


@pytest.fixture
def compute(tmp_path: Path) -> Compute:
    """Plan, compute every group, merge."""
    numbers = itertools.count()

    def call(
        rasters: Path | Sequence[Path], zones: Path, statistics: Sequence[str], **options: Any
    ) -> tuple[pa.Table, dict[str, Any]]:
        folder = tmp_path / f"run{next(numbers)}"
        plan = ZonalPlan(
            rasters=(rasters,) if isinstance(rasters, Path) else tuple(rasters),
            zones=zones, statistics=tuple(statistics), **options,
        )  # fmt: skip
        (folder / "plan").mkdir(parents=True)
        facts = dict(plan_zones(plan, folder / "plan").facts)
        folders, chunks = [], []
        for number, spec in enumerate(zonal_chunks(plan, facts)):
            folders.append(folder / f"chunk{number}")
            folders[-1].mkdir()
            chunks.append(compute_zones(spec, folders[-1]).facts)
        (folder / "table").mkdir()
        merged = merge_zones(zonal_table(plan, facts, "name", folders), folder / "table")
        return pq.read_table(merged.files[0].path), facts | {"chunks": chunks} | merged.facts

    return call


@pytest.fixture(scope="session")
def made() -> SimpleNamespace:
    """The helpers of this module."""
    return SimpleNamespace(scene=scene, blobs=blobs, layer=layer, WEST=WEST, NORTH=NORTH, CRS=CRS)
