"""Layers on a map: where they are, what was left out, and that it is said."""

from __future__ import annotations

import json
from pathlib import Path

import geopandas
import numpy as np
import pytest
import shapely

from geo_assets.errors import ContractError
from geo_assets.kernels.map_layer import MapLayerSpec, map_layer
from geo_assets.kernels.map_page import COLOURS, MapPageSpec, PageLayer, map_page


def _written(folder: Path, frame: geopandas.GeoDataFrame) -> Path:
    path = folder / "layer.parquet"
    frame.to_parquet(path, write_covering_bbox=True, schema_version="1.1.0")
    return path


def _drawn(folder: Path, **options):
    work = folder / f"work-{len(list(folder.iterdir()))}"
    work.mkdir()
    result = map_layer(MapLayerSpec(**options), work)
    return json.loads(result.files[0].path.read_text(encoding="utf-8")), result


def _circles(number: int) -> geopandas.GeoDataFrame:
    centres = np.arange(number) * 100.0
    shapes = shapely.buffer(shapely.points(450_000 + centres, 5_550_000), 40, quad_segs=64)
    return geopandas.GeoDataFrame({"id": range(number)}, geometry=shapes, crs="EPSG:32633")


def test_small_layer_is_drawn_vertex_for_vertex_where_geopandas_has_it(tmp_path: Path):
    frame = _circles(5)
    found, result = _drawn(tmp_path, paths=(_written(tmp_path, frame),))

    expected = frame.to_crs("OGC:CRS84")
    shapes = [
        shapely.from_geojson(json.dumps(one["geometry"])) for one in found["shapes"]["features"]
    ]
    gap = shapely.hausdorff_distance(shapes, expected.geometry.to_numpy())
    assert gap.max() < 1e-6
    assert [one["properties"]["id"] for one in found["shapes"]["features"]] == list(range(5))
    assert result.facts["bbox"] == pytest.approx(expected.total_bounds, abs=1e-4)
    assert result.facts["note"] == "5 features"
    assert "marks" not in found


def test_large_layer_is_simplified_until_it_fits_and_says_how_far(tmp_path: Path):
    frame = _circles(200)
    limit = 120_000
    found, result = _drawn(tmp_path, paths=(_written(tmp_path, frame),), max_bytes=limit)

    assert result.files[0].size < limit * 1.01
    assert result.facts["drawn"] == 200
    assert 0 < result.facts["tolerance_m"] < 40
    assert "simplified to" in result.facts["note"]
    shapes = [
        shapely.from_geojson(json.dumps(one["geometry"])) for one in found["shapes"]["features"]
    ]
    back = geopandas.GeoSeries(shapes, crs="OGC:CRS84").to_crs(frame.crs)
    gap = shapely.hausdorff_distance(back.to_numpy(), frame.geometry.to_numpy())
    assert gap.max() <= result.facts["tolerance_m"] + 0.2


def test_of_too_many_features_the_largest_are_drawn_and_the_rest_counted(tmp_path: Path):
    frame = _circles(50)
    frame = frame.set_geometry(frame.geometry.centroid.buffer(1 + frame["id"]))
    found, result = _drawn(tmp_path, paths=(_written(tmp_path, frame),), max_features=10)

    assert [one["properties"]["id"] for one in found["shapes"]["features"]] == list(range(40, 50))
    assert result.facts["note"].startswith("10 of 50 features")


def test_missing_places_and_numbers_are_left_out_and_marks_are_in_the_middle(tmp_path: Path):
    frame = geopandas.GeoDataFrame(
        {"kind": ["gap", "gap", "lost"], "size_m": [2.0, np.nan, 1.0]},
        geometry=[shapely.box(14, 50, 14.2, 50.2), shapely.box(15, 50, 15.2, 50.2), None],
        crs="EPSG:4326",
    )
    found, result = _drawn(tmp_path, paths=(_written(tmp_path, frame),), marks=True)

    middles = [one["geometry"]["coordinates"] for one in found["marks"]["features"]]
    assert middles == [[14.1, 50.1], [15.1, 50.1]]
    assert "size_m" not in {
        name for name, value in found["shapes"]["features"][1]["properties"].items() if value
    }
    assert result.facts["counts"] == {"gap": 2}
    assert result.facts["note"] == "2 of 3 features"


def test_map_of_nothing_is_refused(tmp_path: Path):
    frame = geopandas.GeoDataFrame({"id": [1]}, geometry=[None], crs="EPSG:4326")
    _, result = _drawn(tmp_path, paths=(_written(tmp_path, frame),))
    layer = PageLayer(title="a", kind="layer", file=result.files[0].path, facts=result.facts,
                      colour=COLOURS[0])  # fmt: skip
    with pytest.raises(ContractError, match="at least one feature"):
        map_page(MapPageSpec(title="empty", layers=(layer,)), tmp_path)
