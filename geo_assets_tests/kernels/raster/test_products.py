"""The index of tiles and the pictures."""

from __future__ import annotations

import base64
import json
import re
from pathlib import Path
from typing import Any

import geopandas
import numpy as np
import pyarrow.parquet as pq
import pyogrio
import pytest
import rasterio
from rasterio.transform import Affine

from geo_assets.grids import SquareGrid
from geo_assets.kernels.preview import PREVIEW_BYTES, PreviewSpec, draw_raster
from geo_assets.kernels.tile_index import TileIndexSpec, index_tiles, tile_record, write_records
from geo_assets_tests.kernels.raster.oracle import UTM, MakeScene, cut_all

GRID = SquareGrid("EPSG:32633", 30.0, 128)


@pytest.fixture
def version(make_scene: MakeScene, tmp_path: Path) -> tuple[Path, list[Any]]:
    """Tiles of a scene with their index beside them, as they lie in a version."""
    _, _, results = cut_all([make_scene(shape=(2, 400, 400), nodata=0)], GRID, tmp_path)
    tiles = [tile for result in results for tile in result.files]
    folder = tiles[0].path.parents[1]
    records = tmp_path / "records.jsonl"
    write_records(records, reversed([tile_record(tile) for tile in tiles]))
    index_tiles(TileIndexSpec(records=records, crs=GRID.crs_wkt), folder)
    return folder / "tiles.parquet", tiles


def test_the_index_is_a_layer_for_geopandas(version: tuple[Path, list[Any]]) -> None:
    path, tiles = version
    frame = geopandas.read_parquet(path)
    assert frame.crs == "EPSG:32633"
    assert len(frame) == len(tiles) > 9
    assert list(frame["row"]) == sorted(frame["row"])
    for tile in tiles:
        (row,) = frame[frame["location"] == tile.name].itertuples()
        assert row.geometry.bounds == tuple(tile.facts["bounds"])
        assert (row.size, row.sha256) == (tile.size, tile.sha256)
        assert list(row.max) == [band["max"] for band in tile.facts["stats"]]
    west, south, east, north = tiles[0].facts["bounds"]
    few = geopandas.read_parquet(path, bbox=(west + 1, south + 1, east - 1, north - 1))
    assert list(few["location"]) == [tiles[0].name]
    meta = json.loads(pq.read_metadata(path).metadata[b"geo"])
    assert meta["version"] == "1.1.0"
    assert "covering" in meta["columns"]["geometry"]


def test_the_index_is_a_raster_for_gdal(version: tuple[Path, list[Any]], tmp_path: Path) -> None:
    """The wheels' GDAL has no Parquet driver: the same rows as GeoPackage show that they serve.

    (Its GTI driver, of GDAL 3.10, misses the last row where a window needs that one alone.)
    """
    path, tiles = version
    folder = path.parent
    copy = folder / "tiles.gti.gpkg"
    pyogrio.write_dataframe(geopandas.read_parquet(path), copy, layer="tiles")
    with rasterio.open(copy, driver="GTI") as mosaic:
        assert mosaic.count == 2
        assert mosaic.crs.to_epsg() == 32633
        assert mosaic.res == (30, 30)
        pixels = mosaic.read()
        left, top = mosaic.bounds.left, mosaic.bounds.top
    for tile in tiles:
        column = round((tile.facts["bounds"][0] - left) / 30)
        row = round((top - tile.facts["bounds"][3]) / 30)
        with rasterio.open(tile.path) as single:
            part = pixels[:, row : row + 128, column : column + 128]
            np.testing.assert_array_equal(part, single.read())


def test_an_index_of_no_tiles(tmp_path: Path) -> None:
    write_records(tmp_path / "none.jsonl", [])
    spec = TileIndexSpec(records=tmp_path / "none.jsonl", crs=GRID.crs_wkt)
    result = index_tiles(spec, tmp_path)
    assert result.facts == {"tiles": 0, "bytes": 0, "valid_share": 0.0}
    assert len(geopandas.read_parquet(result.files[0].path)) == 0


@pytest.mark.filterwarnings("ignore::rasterio.errors.NotGeoreferencedWarning")
@pytest.mark.parametrize(("bands", "dtype"), [(1, "float32"), (3, "uint8"), (5, "uint16"),
                                              (1, "complex64"), (1, "int8")])  # fmt: skip
def test_previews_are_small_and_tell_numbers(
    bands: int, dtype: str, make_scene: MakeScene, tmp_path: Path
) -> None:
    scene = make_scene(shape=(bands, 500, 700), dtype=dtype, nodata=0)
    result = draw_raster(PreviewSpec(files=(scene,), title="scene [a]"), tmp_path)
    (file,) = result.files
    assert file.size <= PREVIEW_BYTES
    assert file.roles == ("overview",)
    with rasterio.open(file.path) as picture:
        assert (picture.width, picture.height) == (384, 274)
    assert re.match(r"scene \[a\]: \d+% with data, band 1 [-\d.]+ to [\d.]+", result.facts["alt"])
    assert sum(result.facts["bands"][0]["histogram"]) > 100_000
    thumbnail = result.facts["thumbnail"]
    assert 100 < len(thumbnail) < 1000
    body = base64.b64decode(thumbnail.split("base64,")[1].rstrip(")"))
    assert len(body) <= 525
    assert body[8:12] == b"WEBP"
    assert thumbnail.startswith("![scene (a)")


@pytest.mark.filterwarnings("ignore::rasterio.errors.NotGeoreferencedWarning")
def test_pictures_show_holes_mosaics_and_classes(make_scene: MakeScene, tmp_path: Path) -> None:
    palette = {1: (255, 0, 0, 255), 2: (0, 0, 255, 255)}
    ones = np.ones((1, 100, 100), dtype=np.uint8)
    left = make_scene("a.tif", values=ones, dtype="uint8", nodata=0, palette=palette)
    right = make_scene("b.tif", values=2 * ones, dtype="uint8", nodata=0, palette=palette,
                       transform=UTM @ Affine.translation(150, 0))  # fmt: skip
    result = draw_raster(PreviewSpec(files=(left, right), title="two"), tmp_path)
    with rasterio.open(result.files[0].path) as picture:
        red, _, blue, alpha = picture.read()
    assert alpha.shape == (100, 250)
    assert (alpha[50, 50], alpha[50, 125], alpha[50, 200]) == (255, 0, 255)
    assert red[50, 50] > 200 > 100 > red[50, 200]
    assert blue[50, 200] > 200 > 100 > blue[50, 50]
    assert "80% with data" in result.facts["alt"]


@pytest.mark.filterwarnings("ignore::rasterio.errors.NotGeoreferencedWarning")
def test_bands_in_files_of_their_own_are_stacked(make_scene: MakeScene, tmp_path: Path) -> None:
    files = tuple(make_scene(f"{name}.tif", shape=(1, 60, 60)) for name in "rgb")
    result = draw_raster(PreviewSpec(files=files, title="rgb", stacked=True), tmp_path)
    assert len(result.facts["bands"]) == 3
    with rasterio.open(result.files[0].path) as picture:
        assert (picture.width, picture.height) == (60, 60)


@pytest.mark.filterwarnings("ignore::rasterio.errors.NotGeoreferencedWarning")
def test_colours_are_those_that_bands_are_named_after_and_clouds_leave_the_land_visible(
    make_scene: MakeScene, tmp_path: Path
) -> None:
    values = np.full((4, 100, 100), 1000, dtype=np.uint16)
    values[2, :, 50:] = 1400  # more red in the east
    values[:, 0, 0] = 900
    values[:, :10] = 9000  # clouds in the north
    scene = make_scene(values=values, dtype="uint16")
    with rasterio.open(scene, "r+") as dataset:
        dataset.descriptions = ("Blue", "Green", "Red", "NIR")
    result = draw_raster(PreviewSpec(files=(scene,), title="scene"), tmp_path)
    assert [band["name"] for band in result.facts["bands"]] == ["Red", "Green", "Blue"]
    with rasterio.open(result.files[0].path) as picture:
        red, green, blue = picture.read()[:3].astype(int)
    assert red[5, 80] > 240
    assert 40 < red[60, 80] < 150
    assert red[60, 80] > green[60, 80] + 30
    assert abs(green[60, 80] - blue[60, 80]) < 20


def test_a_picture_of_nothing(make_scene: MakeScene, tmp_path: Path) -> None:
    scene = make_scene(values=np.zeros((1, 50, 50), np.uint8), dtype="uint8", nodata=0)
    result = draw_raster(PreviewSpec(files=(scene,), title="empty"), tmp_path)
    assert result.facts["alt"] == "empty: 0% with data"
