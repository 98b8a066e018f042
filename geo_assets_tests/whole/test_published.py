"""What is published opens in ordinary tools, and its pixels are those of the scene."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import geopandas as gpd
import numpy as np
import pystac
import pytest
import rasterio

from geo_assets.grids import Canvas
from geo_assets_tests.kernels.raster.oracle import warp_whole
from geo_assets_tests.whole.conftest import DATES
from geo_assets_tests.whole.project import GRID

ASSETS = {
    "raw/districts": 1, "core/districts": 1, "out/topology_report": 1, "raw/scenes": 2,
    "core/scene_tiles": 2, "raw/events": 3, "core/events": 3,
}  # fmt: skip


@pytest.fixture
def tiles(done) -> gpd.GeoDataFrame:
    """The index of one scene, as a user who knows nothing of us finds it: through STAC."""
    path = done.project.root / "core/scene_tiles" / DATES[0] / "item.json"
    item = pystac.Item.from_file(str(path))
    (index,) = [asset for asset in item.assets.values() if asset.roles == ["index"]]
    index_path = Path(index.get_absolute_href())
    frame = gpd.read_parquet(index_path)
    return frame.assign(path=[index_path.parent / name for name in frame["location"]])


def test_the_mosaic_of_the_tiles_is_the_scene_warped_at_once(tiles, world):
    cells = [GRID.cell(int(tile.column), int(tile.row)) for tile in tiles.itertuples()]
    canvas = Canvas.of(cells)
    scene = world.folder / "scenes" / f"{DATES[0]}.tif"
    expected, _ = warp_whole(scene, GRID, canvas, "bilinear")
    mosaic = np.zeros_like(expected)
    for cell, path in zip(cells, tiles["path"], strict=True):
        left, top = canvas.offset(cell)
        with rasterio.open(path) as dataset:
            assert dataset.crs == "EPSG:3857"
            mosaic[:, top : top + 256, left : left + 256] = dataset.read()
    assert expected.any(axis=0).mean() > 0.3
    np.testing.assert_array_equal(mosaic, expected)


def test_the_index_tells_the_truth_of_every_tile(tiles):
    for tile in tiles.itertuples():
        assert hashlib.sha256(tile.path.read_bytes()).hexdigest() == tile.sha256
        with rasterio.open(tile.path) as dataset:
            np.testing.assert_allclose(dataset.bounds, tile.geometry.bounds, rtol=1e-12)
            assert (dataset.dataset_mask() > 0).mean() == pytest.approx(tile.valid_share)
            values = dataset.read(masked=True)
        assert [band.max() for band in values] == list(tile.max)


@pytest.mark.parametrize("asset", ASSETS)
def test_every_asset_is_a_stac_collection_whose_files_are_there(done, asset):
    collection = pystac.Collection.from_file(str(done.project.root / asset / "collection.json"))
    items = list(collection.get_items())
    assert len(items) == ASSETS[asset]
    for item in items:
        item.set_self_href(item.get_self_href())
        assert item.get_parent().id == collection.id
        assert item.assets
        for name, described in item.assets.items():
            path = Path(described.get_absolute_href())
            assert path.is_file(), name
            assert path.stat().st_size == described.extra_fields["file:size"]
            digest = hashlib.sha256(path.read_bytes()).hexdigest()
            assert described.extra_fields["file:checksum"] == f"1220{digest}"
        if item.bbox and asset != "core/events":  # where latitude and longitude were swapped
            west, south, east, north = item.bbox
            assert 14 < west < east < 15
            assert 50 < south < north < 51


def test_the_item_is_the_newest_commit(done):
    for path in done.project.root.rglob("item.json"):
        (commit,) = path.parent.glob("_commits/*.json")
        item, committed = json.loads(path.read_text()), json.loads(commit.read_text())
        assert item["properties"] == committed["properties"]
        assert item["assets"].keys() == committed["assets"].keys()


def test_a_layer_is_geoparquet_in_its_declared_crs(done, world):
    (path,) = (done.project.root / "core/districts/all").rglob("districts*.parquet")
    layer = gpd.read_parquet(path)
    delivered = gpd.read_file(world.folder / "layers/districts.gpkg").to_crs("EPSG:32633")
    assert layer.crs == "EPSG:32633"
    both = layer.set_index("district_id").geometry, delivered.set_index("district_id").geometry
    distance = both[0].hausdorff_distance(both[1].reindex(both[0].index))
    assert len(layer) == len(delivered) == 61
    assert distance.max() < 1e-3


def test_rows_delivered_are_rows_kept_and_rows_quarantined(done, world):
    for day, planted in world.truth["events"]["defects"].items():
        folder = done.project.root / "core/events" / day / "data"
        (kept,) = folder.rglob("events*.parquet")
        (quarantine,) = folder.rglob("quarantine.parquet")
        ids = set(gpd.read_parquet(kept)["id"])
        refused = gpd.pd.read_parquet(quarantine)
        assert len(ids) + len(refused) == 300
        assert not ids & set(planted["nan"])
