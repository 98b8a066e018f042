"""The mosaic of the tiles is the scene warped at once, pixel for pixel."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio
from pyproj import Transformer
from rasterio.enums import ColorInterp, Resampling
from rasterio.transform import Affine
from rasterio.warp import reproject

from geo_assets.declarations import RESAMPLINGS
from geo_assets.grids import SquareGrid, TileMatrixGrid
from geo_assets_tests.kernels.raster.oracle import UTM, MakeScene, cut_all, some_values, warp_whole

MERCATOR = TileMatrixGrid("WebMercatorQuad", 12, 256)  # 38 m on the plane, 26 m on the ground
DTYPES = (
    "int8", "uint8", "uint16", "int16", "uint32", "int32", "uint64", "int64", "float32", "float64",
    "complex_int16", "complex64", "complex128",
)  # fmt: skip


@pytest.mark.parametrize("resampling", RESAMPLINGS)
def test_every_resampling_equals_the_whole_scene_warped_at_once(
    resampling: str, make_scene: MakeScene, tmp_path: Path
) -> None:
    values = some_values((2, 150, 200), "float32")
    values[0, 20:50, 30:60] = -9999
    values[1, 100:, :40] = -9999
    scene = make_scene(values=values, dtype="float32", nodata=-9999)
    (data, _), canvas, results = cut_all([scene], MERCATOR, tmp_path, resampling=resampling)
    whole, _ = warp_whole(scene, MERCATOR, canvas, resampling)
    assert sum(len(result.files) for result in results) >= 4
    np.testing.assert_array_equal(data, whole)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("resampling", ["nearest", "cubic"])
def test_every_type_of_pixel(
    dtype: str, resampling: str, make_scene: MakeScene, tmp_path: Path
) -> None:
    scene = make_scene(dtype=dtype)
    (data, valid), canvas, results = cut_all([scene], MERCATOR, tmp_path, resampling=resampling)
    whole, alpha = warp_whole(scene, MERCATOR, canvas, resampling)
    np.testing.assert_array_equal(data, whole.astype(data.dtype))
    np.testing.assert_array_equal(valid, alpha > 0)
    with rasterio.open(results[0].files[0].path) as tile:
        assert set(tile.dtypes) == {dtype}


PLACES: dict[str, tuple[Any, Affine]] = {
    "utm": ("EPSG:32633", UTM),
    "degrees": ("EPSG:4326", Affine(0.0004, 0, 15, 0, -0.0004, 47.8)),
    "rotated": ("EPSG:32633", UTM @ Affine.rotation(30)),
    "sheared, south up": ("EPSG:32633", Affine(30, 4, 500_000, 3, 30, 5_300_000)),
    "custom albers": (
        "+proj=aea +lat_1=46 +lat_2=49 +lat_0=47 +lon_0=14 +x_0=0 +y_0=0 +ellps=GRS80 +units=m",
        Affine(30, 0, 70_000, 0, -30, 90_000),
    ),
    "us feet": ("EPSG:2264", Affine(100, 0, 1_500_000, 0, -100, 600_000)),
}


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("resampling", ["nearest", "bilinear", "lanczos", "average"])
def test_every_kind_of_georeference(
    place: str, resampling: str, make_scene: MakeScene, tmp_path: Path
) -> None:
    crs, transform = PLACES[place]
    scene = make_scene(crs=crs, transform=transform)
    (data, valid), canvas, _ = cut_all([scene], MERCATOR, tmp_path, resampling=resampling)
    whole, alpha = warp_whole(scene, MERCATOR, canvas, resampling)
    np.testing.assert_array_equal(data, whole)
    np.testing.assert_array_equal(valid, alpha > 0)
    assert 0.05 < valid.mean() < 0.99


@pytest.mark.parametrize("resampling", ["nearest", "bilinear", "cubic", "lanczos", "average"])
def test_within_one_crs_tiles_equal_rasterio_reproject(
    resampling: str, make_scene: MakeScene, tmp_path: Path
) -> None:
    """Where no transformer approximates, rasterio's own function is the oracle."""
    scene = make_scene(dtype="float64")
    grid = SquareGrid("EPSG:32633", 16.0, 128)
    (data, valid), canvas, _ = cut_all([scene], grid, tmp_path, resampling=resampling)
    whole = np.zeros_like(data)
    with rasterio.open(scene) as source:
        reproject(rasterio.band(source, [1]), whole, dst_crs=source.crs,
                  dst_transform=Affine(*canvas.transform), resampling=Resampling[resampling],
                  XSCALE=1, YSCALE=1)  # fmt: skip
    np.testing.assert_allclose(data, whole, rtol=1e-12)
    np.testing.assert_array_equal(valid, whole[0] > 0)


def test_nearest_equals_projecting_each_pixel_by_hand(
    make_scene: MakeScene, tmp_path: Path
) -> None:
    values = np.arange(1, 150 * 200 + 1, dtype=np.int32).reshape(1, 150, 200)
    scene = make_scene(values=values, dtype="int32", nodata=0)
    (data, _), canvas, _ = cut_all([scene], MERCATOR, tmp_path, resampling="nearest")
    columns, rows = np.meshgrid(np.arange(canvas.width) + 0.5, np.arange(canvas.height) + 0.5)
    x, y = Affine(*canvas.transform) @ (columns, rows)
    source = Transformer.from_crs(MERCATOR.crs_wkt, "EPSG:32633", always_xy=True).transform(x, y)
    column, row = (np.floor(part).astype(int) for part in ~UTM @ source)
    inside = (column >= 0) & (column < 200) & (row >= 0) & (row < 150)
    expected = np.zeros(data.shape[1:], dtype=np.int32)
    expected[inside] = values[0, row[inside], column[inside]]
    assert (data[0] != expected).sum() <= 3  # PROJ is there in two builds: ties of 1e-9 pixels
    assert inside.sum() > 30_000


def test_reproject_of_the_whole_agrees_within_its_own_approximation(
    make_scene: MakeScene, tmp_path: Path
) -> None:
    """It may be off by 0.125 pixels of the source; tiles are exact."""
    numbers = np.arange(1, 150 * 200 + 1, dtype=np.int32).reshape(1, 150, 200)
    scene = make_scene(values=numbers, dtype="int32", nodata=0)
    (data, _), canvas, _ = cut_all([scene], MERCATOR, tmp_path, resampling="nearest")
    whole = np.zeros_like(data)
    with rasterio.open(scene) as source:
        reproject(rasterio.band(source, [1]), whole, dst_crs=MERCATOR.crs_wkt,
                  dst_transform=Affine(*canvas.transform))  # fmt: skip
    both = (data > 0) & (whole > 0)
    rows, columns = np.abs(
        np.array(np.divmod(data[both] - 1, 200)) - np.divmod(whole[both] - 1, 200)
    )
    assert max(rows.max(), columns.max()) <= 1
    assert ((rows > 0) | (columns > 0)).mean() < 0.15
    assert ((data > 0) != (whole > 0)).mean() < 0.01


def test_downsampling_kernels_are_wide_enough_and_the_same_in_every_tile(
    make_scene: MakeScene, tmp_path: Path
) -> None:
    scene = make_scene(shape=(1, 600, 800), dtype="float32")
    grid = SquareGrid("EPSG:32633", 120.0, 32)
    (data, valid), canvas, _ = cut_all([scene], grid, tmp_path, resampling="cubic")
    whole, alpha = warp_whole(scene, grid, canvas, "cubic", XSCALE="0.25", YSCALE="0.25")
    np.testing.assert_array_equal(data, whole)
    np.testing.assert_array_equal(valid, alpha > 0)
    inner = data[0, 20:-30, 20:-30]
    assert inner.std() < some_values((1, 600, 800), "float32").std() + 2  # noise averaged away


def test_nodata_of_one_band_never_flows_into_pixels(make_scene: MakeScene, tmp_path: Path) -> None:
    values = np.full((2, 150, 200), 50, dtype=np.float32)
    values[0, :75] = -9999
    scene = make_scene(values=values, dtype="float32", nodata=-9999)
    (data, _), _, _ = cut_all([scene], MERCATOR, tmp_path, resampling="cubic")
    assert set(np.unique(data[0])) == set(np.unique(data[1])) == {-9999.0, 50.0}
    assert (data[1] == 50).sum() > 1.9 * (data[0] == 50).sum()


def test_nan_as_nodata(make_scene: MakeScene, tmp_path: Path) -> None:
    values = some_values((2, 150, 200), "float32")
    values[0, 30:60, 30:60] = np.nan
    scene = make_scene(values=values, dtype="float32", nodata=np.nan)
    (data, _), canvas, results = cut_all([scene], MERCATOR, tmp_path)
    whole, _ = warp_whole(scene, MERCATOR, canvas, "bilinear")
    np.testing.assert_array_equal(data, whole)
    with rasterio.open(results[0].files[0].path) as tile:
        assert np.isnan(tile.nodata)


def test_masks_and_alpha_follow_the_pixels(make_scene: MakeScene, tmp_path: Path) -> None:
    mask = np.ones((150, 200), dtype=bool)
    mask[40:70, 50:90] = False
    scene = make_scene(shape=(3, 150, 200), dtype="uint8", mask=mask, photometric="rgb")
    (data, valid), canvas, results = cut_all([scene], MERCATOR, tmp_path)
    whole, alpha = warp_whole(scene, MERCATOR, canvas, "bilinear")
    np.testing.assert_array_equal(data, whole)
    np.testing.assert_array_equal(valid, alpha > 0)
    with rasterio.open(results[0].files[0].path) as tile:
        assert tile.colorinterp == (ColorInterp.red, ColorInterp.green, ColorInterp.blue)
        assert tile.nodata is None

    values = np.concatenate([some_values((3, 150, 200), "uint8"), mask[None] * np.uint8(255)])
    colours = (ColorInterp.red, ColorInterp.green, ColorInterp.blue, ColorInterp.alpha)
    scene = make_scene("alpha.tif", values=values, dtype="uint8", photometric="rgb",
                       alpha="non-premultiplied", interp=colours)  # fmt: skip
    (data, _), canvas, results = cut_all([scene], MERCATOR, tmp_path / "alpha")
    whole, _ = warp_whole(scene, MERCATOR, canvas, "bilinear")
    np.testing.assert_array_equal(data, whole)
    with rasterio.open(results[0].files[0].path) as tile:
        assert tile.colorinterp == colours


@pytest.mark.parametrize(
    ("crs", "transform"),
    [
        ("EPSG:4326", Affine(0.02, 0, 178.0, 0, -0.02, 2.0)),
        ("EPSG:4326", Affine(0.02, 0, -182.0, 0, -0.02, 2.0)),
        ("EPSG:32601", Affine(2000, 0, 0, 0, -2000, 200_000)),
        ("EPSG:3832", Affine(2000, 0, 3_140_000, 0, -2000, 200_000)),
    ],
    ids=["degrees beyond 180", "degrees below -180", "utm zone 1", "pacific mercator"],
)
@pytest.mark.parametrize(
    "grid",
    [TileMatrixGrid("WebMercatorQuad", 6, 256), TileMatrixGrid("WorldCRS84Quad", 5, 256)],
    ids=["mercator", "degrees"],
)
def test_both_sides_of_the_antimeridian_are_made(
    crs: str, transform: Affine, grid: TileMatrixGrid, make_scene: MakeScene, tmp_path: Path
) -> None:
    values = np.full((1, 200, 200), 7, dtype=np.uint8)
    scene = make_scene(values=values, dtype="uint8", crs=crs, transform=transform, nodata=0)
    (data, _), canvas, results = cut_all([scene], grid, tmp_path, resampling="nearest")
    with rasterio.open(scene) as source:
        area = _area_deg(source)
    made = [tile.facts["cell"] for result in results for tile in result.files]
    columns = {int(cell.split("/")[1]) for cell in made}
    assert 0 in columns
    assert grid.shape[0] - 1 in columns
    resolution = canvas.resolution[0] * (1 if "CRS84" in grid.id else 180 / 20037508.34)
    assert (data == 7).sum() * resolution**2 == pytest.approx(area, rel=0.02)


def _area_deg(source: Any) -> float:
    """Square degrees near the equator that a scene covers."""
    a = abs(source.transform.a) * source.width * abs(source.transform.e) * source.height
    return a if source.crs.is_geographic else a / 111_320**2
