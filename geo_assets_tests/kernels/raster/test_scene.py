"""The facts of scenes: place on earth, CRS by equality, and what chunks need to know."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio
import shapely
from rasterio.crs import CRS
from rasterio.transform import Affine
from shapely.geometry import shape

from geo_assets.errors import ConfigError, InputError
from geo_assets.kernels.raster.footprint import lonlat_place
from geo_assets.kernels.scene import SceneSpec, inspect_scene
from geo_assets_tests.kernels.raster.oracle import UTM, MakeScene


def test_the_facts_of_a_scene(make_scene: MakeScene, tmp_path: Path) -> None:
    scene = make_scene(shape=(2, 150, 200), dtype="float32", nodata=np.nan)
    result = inspect_scene(SceneSpec(files=(scene,), names=("raw.tif",)), tmp_path)
    (file,) = result.files
    assert (file.path, file.name, file.size) == (scene, "raw.tif", scene.stat().st_size)
    facts = file.facts
    json.dumps(result.facts, allow_nan=False)
    assert facts["crs_name"] == "EPSG:32633"
    assert facts["nodata"] == ["nan", "nan"]
    assert facts["mask"] == "nodata"
    assert facts["extent"]["transform"] == list(UTM)[:6]
    assert facts["bounds"] == [500_000, 5_295_500, 506_000, 5_300_000]
    west, south, east, north = result.facts["bbox"]
    assert 14.99 < west < east < 15.1
    assert 47.8 < south < north < 47.86
    assert shape(result.facts["footprint"]).is_valid


def test_crs_are_compared_as_objects_not_by_code(make_scene: MakeScene, tmp_path: Path) -> None:
    """An ESRI spelling of UTM 33 has no EPSG code and is EPSG:32633 all the same."""
    esri = CRS.from_epsg(32633).to_wkt(version="WKT1_ESRI")
    scene = make_scene(crs=CRS.from_wkt(esri))
    inspect_scene(SceneSpec(files=(scene,), expected_crs="EPSG:32633"), tmp_path)
    with pytest.raises(InputError, match=r"in EPSG:32634, got EPSG:32633.*scene\.tif"):
        inspect_scene(SceneSpec(files=(scene,), expected_crs="EPSG:32634"), tmp_path)
    with pytest.raises(ConfigError, match="PROJ knows"):
        inspect_scene(SceneSpec(files=(scene,), expected_crs="EPSG:0"), tmp_path)


def test_a_nodata_value_that_pixels_cannot_have_tells_nothing(
    make_scene: MakeScene, tmp_path: Path
) -> None:
    scene = make_scene(dtype="float32", nodata=-9999)
    with rasterio.open(scene) as source:
        assert source.nodata == -9999
    assert inspect_scene(SceneSpec(files=(scene,)), tmp_path).files[0].facts["mask"] == "nodata"
    plain = make_scene("plain.tif", dtype="uint8")
    assert inspect_scene(SceneSpec(files=(plain,)), tmp_path).files[0].facts["mask"] == "none"


def test_one_file_for_each_band_is_one_scene(make_scene: MakeScene, tmp_path: Path) -> None:
    one = make_scene("b1.tif")
    two = make_scene("b2.tif", transform=UTM @ Affine.translation(50, 0))
    facts = inspect_scene(SceneSpec(files=(one, two)), tmp_path).facts
    assert facts["bands"] == 2
    assert [file["name"] for file in facts["files"]] == ["b1.tif", "b2.tif"]
    boxes = [file["bbox"] for file in facts["files"]]
    assert facts["bbox"] == [boxes[0][0], *facts["bbox"][1:2], boxes[1][2], facts["bbox"][3]]


PLACES: dict[str, tuple[Any, tuple[float, float, float, float], Any]] = {
    "plain": ("EPSG:4326", (5, 40, 6, 41), [5, 40, 6, 41]),
    "beyond 180": ("EPSG:4326", (170, -10, 190, 10), [170, -10, -170, 10]),
    "zero to 360": ("EPSG:4326", (0, -90, 360, 90), [-180, -90, 180, 90]),
    "200 to 220": ("EPSG:4326", (200, 0, 220, 5), [-160, 0, -140, 5]),
    "south pole": ("EPSG:3031", (-3e6, -3e6, 3e6, 3e6), [-180, -90, 180, None]),
    "north pole": ("EPSG:3413", (-1e6, -1e6, 1e6, 1e6), [-180, None, 180, 90]),
    "utm 1": ("EPSG:32601", (0, 0, 1_000_000, 1_000_000), None),
}


def over(bounds: tuple[float, float, float, float]) -> Affine:
    """The transform of 100 x 80 pixels over a box."""
    left, bottom, right, top = bounds
    return Affine((right - left) / 100, 0, left, 0, (bottom - top) / 80, top)


@pytest.mark.parametrize("name", PLACES)
def test_where_scenes_lie_on_earth(name: str) -> None:
    crs, bounds, expected = PLACES[name]
    box, footprint = lonlat_place(CRS.from_user_input(crs), over(bounds), 100, 80)
    assert box is not None
    geometry = shape(footprint)
    assert geometry.is_valid
    assert -180 <= geometry.bounds[0] < geometry.bounds[2] <= 180
    if expected is not None:
        for got, meant in zip(box, expected, strict=True):
            assert meant is None or got == pytest.approx(meant)
    if name in ("beyond 180", "utm 1"):
        assert box[0] > box[2], "crosses the antimeridian, as GeoJSON says it"
        assert geometry.geom_type == "MultiPolygon"
        assert geometry.contains(shapely.Point(179.5, 1))
        assert geometry.contains(shapely.Point(-179.5, 1))


def test_a_raster_without_a_place_on_earth_has_none() -> None:
    nowhere = over((1e12, 1e12, 2e12, 2e12))
    assert lonlat_place(CRS.from_epsg(32633), nowhere, 100, 80) == (None, None)
