"""Real rasters of every kind go through, and their tiles have what the scene has."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import rasterio

from geo_assets.errors import InputError
from geo_assets.grids import SquareGrid, TileMatrixGrid
from geo_assets.kernels.preview import PreviewSpec, draw_raster
from geo_assets.kernels.scene import SceneSpec, inspect_scene
from geo_assets.kernels.tile_checks import TileCheckSpec, check_tiles
from geo_assets_tests.kernels.raster.oracle import cut_all, warp_whole

SCENES = {
    "raster/rasterio_fixtures/[!w]*": 8,
    "raster/rasterio_fixtures/world*": 2,
    "raster/modis_sinusoidal": 5,
    "raster/modis_ndvi_series": 9,
    "raster/naip_series": 13,
    "raster/landsat_series": 11,
    "raster/landsat8_qa": 7,
    "raster/landsat8_fullres": 11,
    "raster/landsat8_60m": 9,
    "raster/sentinel2_jp2": 11,
    "raster/dem_srtm_pair": 8,
    "raster/dem_misc/[glv]*": 2,
    "raster/dem_misc/dom*": 14,
    "area/zion": 10,
    "area/olinda_raster": 11,
    "area/sao_miguel": 7,
}


NO_CRS = {"float_nan.tif", "rotated.tif"}
"""Files that name no CRS, as published: refused until one is declared."""
TOO_SMALL = {"test_esri_wkt.tif"}
"""Two pixels of 10 m: no pixel of the grid has its centre in it."""


@pytest.mark.parametrize("folder", SCENES)
def test_real_scenes_become_tiles(folder: str, data_folder: Path, tmp_path: Path) -> None:
    grid = TileMatrixGrid("WebMercatorQuad", SCENES[folder], 512)
    pattern = folder if "*" in folder else f"{folder}/*"
    files = [path for path in sorted(data_folder.glob(pattern)) if _is_raster(path)]
    assert files
    for number, path in enumerate(files):
        work = tmp_path / str(number)
        work.mkdir()
        if path.name in NO_CRS:
            with pytest.raises(InputError, match=rf"A scene has a CRS.*{path.name}"):
                inspect_scene(SceneSpec(files=(path,)), work)
            continue
        _, _, results = cut_all([path], grid, work, resampling="bilinear")
        tiles = [tile for result in results for tile in result.files]
        assert bool(tiles) != (path.name in TOO_SMALL), path.name
        spec = TileCheckSpec(files=tuple(t.path for t in tiles), crs=grid.crs_wkt,
                             names=tuple(t.name for t in tiles),
                             cells=tuple(grid.cell(t.facts["column"], t.facts["row"])
                                         for t in tiles))  # fmt: skip
        facts = check_tiles(spec, work).facts
        assert all(not found["counts"] for found in facts.values()), (path.name, facts)
        picture = draw_raster(PreviewSpec(files=(path,), title=path.name), work)
        assert picture.files[0].size > 30


@pytest.mark.parametrize("name", sorted(NO_CRS))
def test_a_declared_crs_stands_in_for_a_missing_one(
    name: str, data_folder: Path, tmp_path: Path
) -> None:
    """One of the two is rotated; both are then warped like any other."""
    path = data_folder / "raster/rasterio_fixtures" / name
    with rasterio.open(path) as source:
        size = abs(source.transform.determinant) ** 0.5
    grid = SquareGrid("EPSG:32618", size, 64)
    (_, valid), _, results = cut_all(
        [path], grid, tmp_path, resampling="nearest", source_crs="EPSG:32618"
    )
    made = [tile for result in results for tile in result.files]
    assert made
    with rasterio.open(path) as source:
        pixels = np.count_nonzero(source.dataset_mask())
    assert valid.sum() == pytest.approx(pixels, abs=2 + 0.1 * pixels)


def _is_raster(path: Path) -> bool:
    return path.suffix.lower() in (".tif", ".jp2")


def test_a_landsat_scene_of_twelve_files(data_folder: Path, tmp_path: Path) -> None:
    folder = min((data_folder / "raster/landsat_nyc_series/L8NY18").iterdir())
    files = sorted(folder.glob("*_B*.TIF"))
    grid = SquareGrid("EPSG:32618", 3000.0, 64)
    (data, valid), canvas, _ = cut_all(files, grid, tmp_path, nodata=0, resampling="nearest")
    assert data.shape[0] == len(files) == 12
    for band, path in enumerate(files):
        whole, _ = warp_whole(path, grid, canvas, "nearest")
        np.testing.assert_array_equal(data[band], whole[0])
    assert valid.any()


def test_lcmap_has_a_crs_without_a_code_and_nearest_is_exact(
    data_folder: Path, tmp_path: Path
) -> None:
    path = next((data_folder / "raster/lcmap_5000").glob("*LCPRI*.tif"))
    facts = inspect_scene(SceneSpec(files=(path,)), tmp_path).facts
    assert not facts["crs_name"].startswith("EPSG")
    grid = TileMatrixGrid("WebMercatorQuad", 8, 512)
    (data, _), canvas, results = cut_all([path], grid, tmp_path, categorical=True)
    whole, _ = warp_whole(path, grid, canvas, "nearest")
    np.testing.assert_array_equal(data, whole)
    assert results[0].facts["resampling"] == "nearest"


def test_a_corner_of_world_cover(data_folder: Path, tmp_path: Path) -> None:
    path = min((data_folder / "raster/worldcover_36000").iterdir())
    (data, _), _, results = cut_all([path], TileMatrixGrid("WebMercatorQuad", 6, 512), tmp_path)
    with rasterio.open(path) as source:
        known = set(np.unique(source.read(1, out_shape=(1, 1000, 1000))))
    assert set(np.unique(data)) <= known
    assert results[0].facts["categorical"] is True
