"""Drawing a raster small."""

from __future__ import annotations

import base64
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import rasterio
from rasterio.enums import Resampling
from rasterio.errors import NotGeoreferencedWarning

from geo_assets.errors import InputError
from geo_assets.kernels.preview import PREVIEW_BYTES, PREVIEW_PIXELS, PreviewSpec
from geo_assets.kernels.raster.colour import Layer, paint, thin
from geo_assets.kernels.raster.footprint import bounds_of
from geo_assets.kernels.raster.guard import gdal, open_scene
from geo_assets.kernels.raster.inspect import has_palette, mask_kind
from geo_assets.kernels.raster.trouble import GDAL_ERRORS
from geo_assets.kernels.raster.warp import is_valid, undecodable
from geo_assets.model import KernelResult, OutputFile

_QUALITIES = (80, 60, 40, 25, 10)
_THUMBNAIL_BYTES = 525
"""700 characters as base64: with the text around it below the 1,000 that Dagster shows inline."""
_ALT_SHOWN = 90
_RGB = ("red", "green", "blue")


def draw(spec: PreviewSpec, workdir: Path) -> KernelResult:
    """Draw the raster; see `geo_assets.kernels.preview.draw_raster`."""
    layers = _stacked(spec) if spec.stacked else _mosaic(spec)
    colours, numbers = paint(layers)
    path = workdir / "preview.webp"
    path.write_bytes(fitting(colours, PREVIEW_BYTES, (1, 2, 4)))
    alt = _alt(spec.title, layers, numbers)
    file = OutputFile.of(
        path, path.name, "image/webp", roles=("overview",), facts={"alt": alt, "title": "preview"}
    )
    facts = {"alt": alt, "bands": numbers, "thumbnail": _thumbnail(colours, alt)}
    return KernelResult(files=(file,), facts=facts)


def _mosaic(spec: PreviewSpec) -> list[Layer]:
    """All files on one canvas, each read as small as it will be seen."""
    boxes, pixels = [], []
    for path in spec.files:
        with open_scene(path, crs=spec.crs) as dataset:
            boxes.append(bounds_of(dataset.transform, dataset.width, dataset.height))
            pixels.append(max(boxes[-1][2] - boxes[-1][0], boxes[-1][3] - boxes[-1][1])
                          / max(dataset.shape))  # fmt: skip
    left, bottom = min(box[0] for box in boxes), min(box[1] for box in boxes)
    right, top = max(box[2] for box in boxes), max(box[3] for box in boxes)
    unit = max(right - left, top - bottom) / PREVIEW_PIXELS
    unit = max(unit, min(pixels))
    width, height = max(1, round((right - left) / unit)), max(1, round((top - bottom) / unit))
    layers: list[Layer] = []
    for path, box in zip(spec.files, boxes, strict=True):
        x0, x1 = round((box[0] - left) / unit), round((box[2] - left) / unit)
        y0, y1 = round((top - box[3]) / unit), round((top - box[1]) / unit)
        parts = read_small(path, spec, (max(1, y1 - y0), max(1, x1 - x0)))
        if not layers:
            layers = [part.blank(height, width) for part in parts]
        for layer, part in zip(layers, parts, strict=False):
            layer.place(part, y0, x0)
    return layers


def _stacked(spec: PreviewSpec) -> list[Layer]:
    shape: tuple[int, int] | None = None
    layers: list[Layer] = []
    for path in spec.files[:3]:
        layers.extend(read_small(path, spec, shape)[:1])
        shape = layers[0].values.shape
    return layers


def read_small(path: Path, spec: PreviewSpec, shape: tuple[int, int] | None) -> list[Layer]:
    """The bands to draw of one file: three colours, or one."""
    with open_scene(path, crs=spec.crs) as dataset:
        if shape is None:
            scale = max(1.0, max(dataset.shape) / PREVIEW_PIXELS)
            shape = max(1, round(dataset.height / scale)), max(1, round(dataset.width / scale))
        bands = _bands(dataset)
        nodata = dataset.nodata if spec.nodata is None else spec.nodata
        try:
            values = dataset.read(
                bands, out_shape=(len(bands), *shape), resampling=Resampling.nearest
            )
            mask = dataset.dataset_mask(out_shape=shape) > 0
        except GDAL_ERRORS as error:
            raise undecodable(dataset, error) from None
        if mask_kind(dataset) in ("nodata", "none"):
            mask = np.any(is_valid(values, nodata), axis=0)
        table = dataset.colormap(1) if has_palette(dataset) else None
        plain = dataset.dtypes[0] == "uint8" and dataset.colorinterp[0].name == "red"
        names = [dataset.descriptions[band - 1] or f"band {band}" for band in bands]
    layers = []
    for raw, name in zip(values, names, strict=True):
        value = np.abs(raw) if np.iscomplexobj(raw) else raw
        layers.append(Layer(value, mask & np.isfinite(value), table, plain, name))
    return layers


def _bands(dataset: Any) -> list[int]:
    names = [value.name for value in dataset.colorinterp]
    said = [(text or "").lower() for text in dataset.descriptions]
    for known in (names, said):
        if set(_RGB) <= set(known):
            return [known.index(name) + 1 for name in _RGB]
    count = dataset.count - (1 if "alpha" in names else 0)
    return [1, 2, 3] if count >= 3 else [1]


def fitting(colours: Any, limit: int, steps: tuple[int, ...]) -> bytes:
    """The best WebP of at most `limit` bytes: first quality is given up, then size."""
    body = b""
    for step in steps:
        small = thin(colours, step)
        for quality in _QUALITIES:
            body = _webp(small, quality)
            if len(body) <= limit:
                return body
    return body if len(body) <= limit else b""


def _webp(colours: Any, quality: int) -> bytes:
    _, height, width = colours.shape
    profile = {"driver": "WEBP", "width": width, "height": height, "count": 4, "dtype": "uint8"}
    with gdal(), warnings.catch_warnings(), rasterio.MemoryFile(ext=".webp") as memory:
        warnings.simplefilter("ignore", NotGeoreferencedWarning)
        with memory.open(**profile, QUALITY=quality) as dataset:
            dataset.write(colours)
        return bytes(memory.getbuffer())


def _thumbnail(colours: Any, alt: str) -> str:
    """Markdown with a picture so small that Dagster shows it inline, empty where there is none."""
    longest = max(colours.shape[1:])
    steps = tuple(max(1, -(-longest // side)) for side in (64, 48, 32, 24, 16))
    body = fitting(colours, _THUMBNAIL_BYTES, steps)
    if not body:
        return ""
    text = alt if len(alt) <= _ALT_SHOWN else alt[: _ALT_SHOWN - 1] + "…"
    text = text.replace("[", "(").replace("]", ")")
    return f"![{text}](data:image/webp;base64,{base64.b64encode(body).decode()})"


def _alt(title: str, layers: list[Layer], numbers: list[dict[str, Any]]) -> str:
    if not layers:
        raise InputError("A picture shows at least one raster", "none", title)
    share = float(np.mean(layers[0].valid))
    ranges = ", ".join(
        f"{n['name']} {n['low']:.6g} to {n['high']:.6g}" for n in numbers if n["low"] is not None
    )
    return f"{title}: {share:.0%} with data" + (f", {ranges}" if ranges else "")
