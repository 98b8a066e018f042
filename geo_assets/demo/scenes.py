"""Dated four-band scenes: the same land under a different season, sky and swath."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np
import rasterio
from numpy.typing import NDArray
from rasterio.windows import Window

from geo_assets.demo.fields import Field, fractal, repeat, stretch
from geo_assets.demo.world import CRS, PIXEL_M, World
from geo_assets.model import Json

BANDS = ("blue", "green", "red", "nir")
"""Band descriptions, in file order."""
NODATA = 0

_BLOCK = 512
_WINDOW = 1024  # rendered at once: bounds memory to about 150 MB at any size
_COARSE = 512  # samples a side of the smooth fields
_CLOUDY = 0.12  # share of the sky
_COLLAR = 0.22  # share of a scene's width outside the swath
_SLANT = 0.21  # columns per row: the swath edge leans by about 12 degrees
_PARCEL_PX = 26.0

# Reflectance x 10,000 + 1,000 of blue, green, red and near infrared.
_WATER, _FOREST, _CROP, _GRASS, _BARE, _TOWN = range(6)
_SPECTRA = np.array(
    [
        [1350, 1300, 1400, 1420, 1800, 2100],
        [1330, 1500, 1650, 1700, 2150, 2250],
        [1210, 1330, 1700, 1600, 2500, 2400],
        [1100, 3900, 4300, 4000, 3300, 3100],
    ],
    np.float32,
)
_SEASONAL = np.array([0, 0.35, 1, 0.6, 0.1, 0.1], np.float32)
_ROUGH = np.array([0.15, 1.2, 0.8, 0.9, 1.0, 2.6], np.float32)
_OFFSET = np.float32(1000)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Land:
    """What every date shows: coarse fields over the whole world."""

    relief: Field
    moisture: Field
    town: Field
    warp: tuple[Field, Field]
    texture: tuple[Field, Field]
    shade: Field
    parcels: NDArray[np.float32]
    water_level: float
    forest_level: float


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Sky:
    """What one date adds: season, clouds and the edge of the swath."""

    summer: np.float32
    cloud: Field
    cloud_level: float
    swath_from: float
    swath_to: float
    stream: str


def write_scene(path: Path, world: World, date: dt.date) -> Json:
    """Write one scene as a tiled, deflated GeoTIFF of uint16 (nodata 0, `BANDS` described).

    Memory does not grow with the scene. The bytes depend on `world` and `date` only.

    Returns:
        The truth about its defects: there are none.
    """
    land, sky = _land(world), _sky(world, date)
    west, _, _, north = world.bounds
    profile = {
        "driver": "GTiff",
        "width": world.size_px,
        "height": world.size_px,
        "count": len(BANDS),
        "dtype": "uint16",
        "nodata": NODATA,
        "crs": CRS,
        "transform": rasterio.Affine(PIXEL_M, 0, west, 0, -PIXEL_M, north),
        "tiled": True,
        "blockxsize": _BLOCK,
        "blockysize": _BLOCK,
        "compress": "deflate",
        "predictor": 2,
        "zlevel": 1,
        "bigtiff": "IF_SAFER",
    }
    with rasterio.open(path, "w", **profile) as scene:
        scene.descriptions = BANDS
        scene.update_tags(TIFFTAG_DATETIME=f"{date:%Y:%m:%d} 10:10:31", AREA_OR_POINT="Area")
        for window in _windows(world.size_px):
            scene.write(_render(world, land, sky, window), window=window)
    return {}


def _windows(size: int) -> Iterator[Window]:
    for row in range(0, size, _WINDOW):
        for col in range(0, size, _WINDOW):
            yield Window(col, row, min(_WINDOW, size - col), min(_WINDOW, size - row))


@lru_cache(maxsize=1)
def _land(world: World) -> _Land:
    rng = world.rng("land")
    relief = fractal(rng, _COARSE, 3.0)
    moisture = fractal(rng, _COARSE, 2.6)
    slope = relief - np.roll(relief, 1, 1) + 0.5 * (relief - np.roll(relief, 1, 0))
    return _Land(
        relief=relief,
        moisture=moisture,
        town=_town(world),
        warp=(fractal(rng, 48, 3.4), fractal(rng, 48, 3.4)),
        # Prime periods: their sum repeats only after 387,349 pixels.
        texture=(fractal(rng, 509, 2.3), fractal(rng, 761, 2.3)),
        shade=slope / slope.std(),
        parcels=rng.random(1 << 16, dtype=np.float32),
        water_level=float(np.quantile(relief, 0.07)),
        forest_level=float(np.quantile(moisture, 0.66)),
    )


def _town(world: World) -> Field:
    """Density of building, 1 in the centre of a city, falling with distance."""
    cities = world.cities()
    west, _, _, north = world.bounds
    step = world.edge_m / _COARSE
    middle = (np.arange(_COARSE) + 0.5) * step
    town = np.zeros((_COARSE, _COARSE), np.float32)
    for (x, y), radius in zip(cities.xy, cities.radius_m, strict=True):
        away = np.hypot(west + middle[None] - x, north - middle[:, None] - y)
        np.maximum(town, np.exp(-away / (1.3 * radius)).astype(np.float32), out=town)
    return town


def _sky(world: World, date: dt.date) -> _Sky:
    stream = f"sky {date.isoformat()}"
    rng = world.rng(stream)
    day = date.timetuple().tm_yday
    cloud = fractal(rng, _COARSE, 2.9)
    left = rng.random() * _COLLAR * world.size_px
    return _Sky(
        summer=np.float32(0.5 - 0.5 * np.cos(2 * np.pi * (day - 15) / 365)),
        cloud=cloud,
        cloud_level=float(np.quantile(cloud, 1 - _CLOUDY)),
        swath_from=left,
        swath_to=left + (1 - _COLLAR) * world.size_px,
        stream=stream,
    )


def _render(world: World, land: _Land, sky: _Sky, window: Window) -> NDArray[np.uint16]:
    """The pixels of one window, shape (bands, rows, columns)."""
    rows = np.arange(window.row_off, window.row_off + window.height, dtype=np.int64)
    cols = np.arange(window.col_off, window.col_off + window.width, dtype=np.int64)
    rng = world.rng(sky.stream, f"noise {window.row_off} {window.col_off}")
    texture = 0.7 * repeat(land.texture[0], rows, cols) + 0.7 * repeat(land.texture[1], rows, cols)
    cover, parcel = _cover(world, land, texture, rows, cols)
    rough = _ROUGH[cover]
    shade = 1 + 0.055 * stretch(land.shade, rows, cols, world.size_px) * (cover != _WATER)
    shade += texture * 0.06 * rough
    haze = stretch(sky.cloud, rows, cols, world.size_px) + texture * 0.06 - sky.cloud_level
    haze = np.clip(haze * 2.2, 0, 1)
    green = _SEASONAL[cover] * (sky.summer * (0.55 + 0.9 * parcel) - 0.5)
    tint = 0.35 * (parcel - 0.5) * (cover >= _CROP)
    pixels = np.empty((len(BANDS), len(rows), len(cols)), np.uint16)
    for band, spectrum in enumerate(_SPECTRA):
        leaf = green if BANDS[band] == "nir" else -green
        value = (spectrum[cover] - _OFFSET) * (1 + 0.5 * leaf + tint) * shade
        noise = rng.standard_normal(value.shape, dtype=np.float32)
        value += noise * (17 + 0.015 * value) * np.sqrt(rough)
        value += haze * (6500 + 120 * noise + 700 * texture - value)
        pixels[band] = np.clip(value + _OFFSET, NODATA + 1, 65535)
    across = cols[None] + _SLANT * (rows[:, None] - world.size_px / 2)
    pixels[:, (across < sky.swath_from) | (across > sky.swath_to)] = NODATA
    return pixels


def _cover(
    world: World, land: _Land, texture: Field, rows: NDArray[np.int64], cols: NDArray[np.int64]
) -> tuple[NDArray[np.int8], Field]:
    """The cover class of each pixel, and one random value for each parcel of farmland."""
    size = world.size_px
    u = cols[None] / _PARCEL_PX + 12 * stretch(land.warp[0], rows, cols, size)
    v = rows[:, None] / (0.6 * _PARCEL_PX) + 12 * stretch(land.warp[1], rows, cols, size)
    cell = np.floor(u).astype(np.int64) * 73_856_093 ^ np.floor(v).astype(np.int64) * 19_349_663
    use = land.parcels[cell & 0xFFFF]
    parcel = land.parcels[((cell >> 3) * 31 + 7) & 0xFFFF]
    cover = np.where(use < 0.62, _CROP, np.where(use < 0.9, _GRASS, _BARE)).astype(np.int8)
    cover[stretch(land.moisture, rows, cols, size) + 0.12 * texture > land.forest_level] = _FOREST
    cover[stretch(land.town, rows, cols, size) * (0.75 + 0.5 * parcel) > 0.45] = _TOWN
    cover[stretch(land.relief, rows, cols, size) + 0.03 * texture < land.water_level] = _WATER
    return cover, parcel
