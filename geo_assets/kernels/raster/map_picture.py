"""Rasters for a web map: one picture in Web Mercator, whose corners are known exactly."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from pyproj import Transformer
from rasterio.crs import CRS
from rasterio.enums import Resampling
from rasterio.transform import Affine
from rasterio.warp import reproject, transform_bounds

from geo_assets.kernels.map_raster import MapRasterSpec
from geo_assets.kernels.preview import PreviewSpec
from geo_assets.kernels.raster.colour import Layer, paint
from geo_assets.kernels.raster.footprint import bounds_of
from geo_assets.kernels.raster.guard import crs_of, gdal, open_scene
from geo_assets.kernels.raster.picture import fitting, read_small
from geo_assets.model import KernelResult, OutputFile

_MERCATOR = CRS.from_epsg(3857)
_EDGE = 20037508.342789244
_FINER = 1.25
"""Pixels read along a side for one drawn, so that turning them loses little."""


def draw_map(spec: MapRasterSpec, workdir: Path) -> KernelResult:
    """Draw the rasters; see `geo_assets.kernels.map_raster.map_raster`."""
    boxes, units = zip(*(_place(path, spec) for path in spec.files), strict=True)
    left, bottom = min(box[0] for box in boxes), min(box[1] for box in boxes)
    right, top = max(box[2] for box in boxes), max(box[3] for box in boxes)
    unit = max(max(right - left, top - bottom) / spec.pixels, min(units))
    width, height = max(1, round((right - left) / unit)), max(1, round((top - bottom) / unit))
    layers: list[Layer] = []
    for path, box in zip(spec.files, boxes, strict=True):
        parts = _turned(path, spec, box, unit)
        if not layers:
            layers = [part.blank(height, width) for part in parts]
        row, column = round((top - box[3]) / unit), round((box[0] - left) / unit)
        for layer, part in zip(layers, parts, strict=False):
            layer.place(part, row, column)
    colours, numbers = paint(layers)
    path = workdir / "raster.webp"
    path.write_bytes(fitting(colours, spec.max_bytes, (1, 2, 4)))
    east, south = left + width * unit, top - height * unit
    return KernelResult(
        files=(OutputFile.of(path, path.name, "image/webp"),),
        facts=_facts(spec, (left, south, east, top), unit, min(units), numbers),
    )


def _place(path: Path, spec: MapRasterSpec) -> tuple[tuple[float, float, float, float], float]:
    """Bounds in Web Mercator, and the size of a source pixel there."""
    with open_scene(path, crs=spec.crs) as dataset:
        bounds = bounds_of(dataset.transform, dataset.width, dataset.height)
        box = transform_bounds(crs_of(dataset, spec.crs), _MERCATOR, *bounds, densify_pts=21)
        box = tuple(float(np.clip(value, -_EDGE, _EDGE)) for value in box)
        return box, max((box[2] - box[0]) / dataset.width, (box[3] - box[1]) / dataset.height)


def _turned(
    path: Path, spec: MapRasterSpec, box: tuple[float, float, float, float], unit: float
) -> list[Layer]:
    """The bands of one file on its part of the canvas."""
    width, height = max(1, round((box[2] - box[0]) / unit)), max(1, round((box[3] - box[1]) / unit))
    with open_scene(path, crs=spec.crs) as dataset:
        shape = _shape(dataset, max(width, height))
        source, crs = dataset.transform, crs_of(dataset, spec.crs)
        source = source @ Affine.scale(dataset.width / shape[1], dataset.height / shape[0])
    looks = PreviewSpec(files=(), title="", crs=spec.crs, nodata=spec.nodata)
    where: dict[str, Any] = {
        "src_transform": source,
        "src_crs": crs,
        "dst_transform": Affine(unit, 0.0, box[0], 0.0, -unit, box[3]),
        "dst_crs": _MERCATOR,
        "resampling": Resampling.nearest,
    }
    layers = []
    for layer in read_small(path, looks, shape):
        with gdal():
            values = np.zeros((height, width), layer.values.dtype)
            reproject(layer.values, values, **where)
            valid = np.zeros((height, width), np.uint8)
            reproject(layer.valid.astype(np.uint8), valid, **where)
        layers.append(Layer(values, valid > 0, layer.table, layer.plain, layer.name))
    return layers


def _shape(dataset: Any, pixels: int) -> tuple[int, int]:
    scale = max(1.0, max(dataset.shape) / (pixels * _FINER))
    return max(1, round(dataset.height / scale)), max(1, round(dataset.width / scale))


def _facts(
    spec: MapRasterSpec,
    box: tuple[float, float, float, float],
    unit: float,
    finest: float,
    numbers: list[dict[str, Any]],
) -> dict[str, Any]:
    back = Transformer.from_crs("EPSG:3857", "OGC:CRS84", always_xy=True)
    (west, east), (south, north) = back.transform([box[0], box[2]], [box[1], box[3]])
    ranges = ", ".join(
        f"{one['name']} {one['low']:.4g} to {one['high']:.4g}"
        for one in numbers
        if one["low"] is not None
    )
    metres = unit * float(np.cos(np.radians((south + north) / 2)))
    parts = "" if len(spec.files) == 1 else f"{len(spec.files)} tiles, "
    seen = "" if unit <= finest * 1.01 else f", {unit / finest:.1f} source pixels in one"
    return {
        "bbox": [west, south, east, north],
        "corners": [[west, north], [east, north], [east, south], [west, south]],
        "bands": numbers,
        "note": f"{parts}picture of {metres:.3g} m pixels{seen}; {ranges}".rstrip("; "),
    }
