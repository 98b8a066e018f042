"""The check kernel and its picture: small, located, and the same every time."""

from __future__ import annotations

import xml.etree.ElementTree as ET
from collections.abc import Callable
from pathlib import Path

import geopandas as gpd
import numpy as np
import pytest
import shapely

from geo_assets.kernels.layer_checks import check_layer
from geo_assets.kernels.layer_spec import InspectSpec, LayerCheckSpec
from geo_assets.kernels.vector_inspect import inspect_layer
from geo_assets.kernels.vector_preview import MAX_SVG_BYTES, MAX_THUMBNAIL_BYTES, layer_preview
from geo_assets.model import Findings


def scattered(count: int, size: float) -> gpd.GeoDataFrame:
    """Regular polygons with many vertices, scattered over a UTM tile."""
    xy = np.random.default_rng(3).uniform(0, 1e5, (count, 2)) + np.array([4e5, 5e6])
    shapes = shapely.buffer(shapely.points(xy), size, quad_segs=12)
    return gpd.GeoDataFrame({"id": np.arange(count)}, geometry=shapes, crs="EPSG:32633")


def test_a_layer_is_checked_and_drawn(build: Callable, tmp_path: Path) -> None:
    layer = scattered(300, 2000)
    for row in (10, 20):
        square = np.array([(0, 0), (1000, 1000), (1000, 0), (0, 1000), (0, 0)])
        layer.loc[row, "geometry"] = shapely.Polygon(square + np.array([4.5e5, 5.05e6 + row]))
    layer.to_parquet(tmp_path / "in.parquet")
    made, _ = build(tmp_path / "in.parquet", key="id")
    spec = LayerCheckSpec(paths=(made.files[0].path,), crs="EPSG:32633", key="id",
                          columns={"id": "int64"}, geometry_types=("Polygon",))  # fmt: skip

    result = check_layer(spec, tmp_path)

    geometry = Findings.from_dict(result.facts["geometry"])
    assert dict(geometry.counts) == {"self_intersection": 2}
    assert sorted(s.feature for s in geometry.samples) == ["10", "20"]
    assert all(14 < s.lon < 16 and 45 < s.lat < 46 for s in geometry.samples)
    assert result.facts["crs"]["counts"] == result.facts["schema"]["counts"] == {}
    assert result.facts["alt"] == "Map of 300 features, 2 defects: 2 self_intersection"
    svg = result.files[0].path.read_text()
    assert len(ET.fromstring(svg).findall(".//{*}circle")) == 2
    again = check_layer(spec, tmp_path)
    assert again.files[0].sha256 == result.files[0].sha256


@pytest.mark.parametrize(("count", "size"), [(1, 500), (40, 8000), (3000, 900), (20_000, 1)])
def test_pictures_stay_small(count: int, size: float, tmp_path: Path) -> None:
    path = tmp_path / "layer.parquet"
    scattered(count, size).to_parquet(path, write_covering_bbox=True, schema_version="1.1.0")
    preview = layer_preview([path])
    assert len(preview.svg.encode()) <= MAX_SVG_BYTES
    assert len(preview.thumbnail.encode()) <= MAX_THUMBNAIL_BYTES
    assert f"{count:,}" in preview.alt
    for text in (preview.svg, preview.thumbnail):
        assert ET.fromstring(text).findall(".//{*}path")


def test_every_feature_of_a_coverage_is_drawn(tmp_path: Path) -> None:
    grid = [shapely.box(x, y, x + 1, y + 1) for x in range(25) for y in range(25)]
    wavy = shapely.segmentize(shapely.buffer(grid, 0.02), 0.05)  # more vertices than have room
    path = tmp_path / "layer.parquet"
    gpd.GeoDataFrame(geometry=wavy, crs=32633).to_parquet(path)
    (drawn,) = ET.fromstring(layer_preview([path]).svg).findall(".//{*}path")
    assert drawn.attrib["d"].count("M") == 625


def test_a_layer_without_places_still_has_a_picture(tmp_path: Path) -> None:
    path = tmp_path / "layer.parquet"
    gpd.GeoDataFrame({"a": [1]}, geometry=[None], crs=4326).to_parquet(path)
    ET.fromstring(layer_preview([path]).svg)


def test_what_was_delivered_is_described(mixed_layer: gpd.GeoDataFrame, tmp_path: Path) -> None:
    path = tmp_path / "layer.gpkg"
    mixed_layer.loc[2, "geometry"] = None
    mixed_layer.to_file(path)
    facts = inspect_layer(InspectSpec(source=path), tmp_path).facts
    assert facts["driver"] == "GPKG"
    assert facts["crs"]["authority"] == "EPSG:32633"
    assert (facts["features"], facts["null_geometries"]) == (4, 1)
    assert facts["geometry_types"] == ["Polygon"]
    assert facts["bounds"] == [5e5, 5e6, 500040.0, 5000010.0]
    assert facts["columns"]["number"] == "int32"
