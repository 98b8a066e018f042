"""The plan of a zonal job: zones in the raster's CRS, grouped by where they lie."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import shapely
from exactextract.operation import prepare_operations
from exactextract.raster import NumPyRasterSource
from numpy.typing import NDArray
from pyproj import CRS

from geo_assets.errors import ConfigError, InputError
from geo_assets.kernels.reproject import Reprojection, plan_reprojection
from geo_assets.kernels.spool import cut, geometry_column, spatial_chunks, write_spool
from geo_assets.kernels.zonal import ABSENT, INVALID, OK, OUTSIDE, STATUS, ZonalPlan
from geo_assets.kernels.zonal_grid import ZonalGrid
from geo_assets.kernels.zonal_open import open_grid
from geo_assets.model import KernelResult

_ZONE_COST = 20_000  # pixels that take as long as a zone does without any


def plan(spec: ZonalPlan, workdir: Path) -> KernelResult:
    """Bring zones into the raster's CRS and group them: see `zonal.plan_zones`."""
    _check_statistics(spec.statistics)
    grid = open_grid(spec.rasters)
    _check_bands(spec.bands, grid)
    if grid.block_bytes > spec.cache_bytes:
        raise InputError(f"A block of a raster fits into {spec.cache_bytes} bytes of memory",
                         f"blocks of {grid.block_bytes} bytes", spec.rasters[0].name,
                         "Cut the scene into tiles first, as raster_tiles_asset does.")  # fmt: skip
    column = geometry_column(spec.zones)
    assert column.crs is not None
    into = plan_reprojection(
        column.crs, CRS.from_user_input(grid.crs), bounds=column.bbox and column.bbox[:2] +
        column.bbox[len(column.bbox) // 2 :][:2], where=spec.zones.name,
        required_accuracy_m=spec.required_accuracy_m,
    )  # fmt: skip
    bounds, status = _spool_zones(spec.zones, into, grid, workdir)
    spatial_chunks(workdir, 1 << 62)
    order = np.load(workdir / "order.npy")[: int((status == OK).sum())]
    size = grid.pixels_in(bounds[order])
    cost = size.astype(np.int64) + _ZONE_COST
    spans = cut(cost, -(-int(cost.sum()) // spec.chunks)) if len(cost) else []
    chunks = [[a, b, int(size[a:b].max())] for a, b, _ in spans]
    facts = {
        "spool": str(workdir), "chunks": chunks, "grid": _grid_facts(grid), "zones": len(status),
        "status": {name: int((status == code).sum()) for code, name in enumerate(STATUS)},
        "operation": into.operation.facts(),
    }  # fmt: skip
    return KernelResult(facts=facts)


def _spool_zones(
    zones: Path, into: Reprojection, grid: ZonalGrid, folder: Path
) -> tuple[NDArray[np.float64], NDArray[np.uint8]]:
    """Spool the zones in the raster's CRS, with `status.npy` and `area.npy`.

    Returns:
        Bounds and status of every zone.
    """
    statuses: list[NDArray[np.uint8]] = []
    areas: list[NDArray[np.float64]] = []
    extent = shapely.box(*grid.bounds)

    def change(shapes: NDArray[np.object_]) -> NDArray[np.object_]:
        moved, lost = into.apply(shapely.force_2d(shapes))
        statuses.append(_status(moved, lost, extent))
        areas.append(shapely.area(moved))
        kept = np.array(moved, object)
        kept[statuses[-1] != OK] = None
        return kept

    bounds = write_spool(zones, folder, change)
    status = np.concatenate([np.empty(0, np.uint8), *statuses])
    np.save(folder / "status.npy", status)
    np.save(folder / "area.npy", np.concatenate([np.empty(0), *areas]))
    return bounds, status


def _check_statistics(statistics: tuple[str, ...]) -> None:
    nothing = NumPyRasterSource(np.zeros((1, 1)))
    for text in statistics:
        try:
            prepare_operations([text], [nothing], [])
        except RuntimeError as error:
            fix = f"Write for example mean or quantile(q=0.9). It says: {error}"
            raise ConfigError("exactextract reads each statistic", repr(text), "", fix) from None


def _check_bands(bands: tuple[int, ...], grid: ZonalGrid) -> None:
    for band in bands:
        if not 1 <= band <= grid.bands:
            raise ConfigError(f"A band is a number from 1 to {grid.bands}", repr(band),
                              grid.tiles[0].path.name)  # fmt: skip


def _status(
    zones: NDArray[np.object_], lost: NDArray[np.bool_], extent: shapely.Polygon
) -> NDArray[np.uint8]:
    absent = shapely.is_missing(zones) | shapely.is_empty(zones)
    polygons = np.isin(shapely.get_type_id(zones), (3, 6))
    with np.errstate(invalid="ignore"):
        fit = polygons & ~lost & ~absent
        fit[fit] = shapely.is_valid(zones[fit])
    # Only at the raster's edge does it need a construction to know that a zone has area inside.
    inside = fit & shapely.covers(extent, shapely.envelope(zones))
    edge = fit & ~inside
    inside[edge] = shapely.area(shapely.intersection(zones[edge], extent)) > 0
    status = np.where(inside, OK, np.where(fit, OUTSIDE, np.where(absent, ABSENT, INVALID)))
    return status.astype(np.uint8)


def _grid_facts(grid: ZonalGrid) -> dict[str, Any]:
    fields = asdict(grid)
    fields["tiles"] = [tile | {"path": str(tile["path"])} for tile in fields["tiles"]]
    return fields
