"""Geometry rules agree with GEOS and say where."""

from __future__ import annotations

from pathlib import Path

import geopandas as gpd
import hypothesis.strategies as st
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import shapely
from hypothesis import HealthCheck, given, settings

from geo_assets.model import MAX_SAMPLES
from geo_assets.rules.geometry import GeometryRules, check_geometry
from geo_assets.rules.validity import reason_kind

WKT = {
    "self_intersection": "POLYGON ((0 0, 2 2, 2 0, 0 2, 0 0))",
    "ring_self_intersection": "POLYGON ((0 0, 4 0, 4 4, 2 0, 0 4, 0 0))",
    "hole_lies_outside_shell": "POLYGON ((0 0, 1 0, 1 1, 0 0), (5 5, 6 5, 6 6, 5 5))",
    "nested_shells": "MULTIPOLYGON (((0 0, 9 0, 9 9, 0 9, 0 0)), ((1 1, 2 1, 2 2, 1 1)))",
    "too_few_points_in_geometry_component": "LINESTRING (1 1, 1 1)",
    "interior_is_disconnected": "POLYGON ((0 0, 4 0, 4 4, 0 4, 0 0), (0 2, 2 0, 4 2, 2 4, 0 2))",
    "empty_geometry": "POLYGON EMPTY",
}


def write(path: Path, shapes: list, **options: object) -> Path:
    layer = gpd.GeoDataFrame({"id": [f"n{i}" for i in range(len(shapes))]}, geometry=shapes,
                             crs="EPSG:4326")  # fmt: skip
    layer.to_parquet(path, **options)
    return path


@pytest.mark.parametrize("kind", WKT)
def test_each_reason_is_a_kind(kind: str, tmp_path: Path) -> None:
    shapes = [shapely.box(0, 0, 1, 1), shapely.from_wkt(WKT[kind])]
    found = check_geometry([write(tmp_path / "x.parquet", shapes)], key="id")
    assert dict(found.counts) == {kind: 1}
    assert (found.checked, found.samples[0].feature) == (2, "n1")
    if kind != "empty_geometry":
        assert found.samples[0].detail.startswith("GEOS: ")
        assert found.samples[0].lon is not None


def test_a_bow_tie_is_located_where_it_crosses(tmp_path: Path) -> None:
    shape = shapely.from_wkt(WKT["self_intersection"])
    (sample,) = check_geometry([write(tmp_path / "x.parquet", [shape])]).samples
    assert (sample.lon, sample.lat) == (1.0, 1.0)
    assert sample.detail == "GEOS: Self-intersection[1 1]"
    assert reason_kind("Self-intersection[-1.5e3 2]") == ("self_intersection", (-1500.0, 2.0))
    assert reason_kind("Too few points") == ("too_few_points", None)


def test_missing_and_unexpected_geometry(tmp_path: Path) -> None:
    shapes = [None, shapely.Point(1, 2), shapely.box(0, 0, 1, 1)]
    path = write(tmp_path / "x.parquet", shapes)
    rules = GeometryRules(geometry_types=("Polygon",))
    assert dict(check_geometry([path], rules).counts) == {"null_geometry": 1, "unexpected_type": 1}
    rules = GeometryRules(null_geometry=True)
    assert check_geometry([path], rules).total == 0


def test_coordinates_that_are_not_finite_or_not_geometry(tmp_path: Path) -> None:
    path = write(tmp_path / "x.parquet", [shapely.Point(1, 2), shapely.Point(3, 4)])
    table = pq.read_table(path)
    nan = shapely.to_wkb(shapely.Point(np.nan, 5))
    wkb = pa.array([nan, b"\1\2"], pa.binary())
    pq.write_table(table.set_column(1, table.schema.field("geometry"), wkb), path)
    found = check_geometry([path])
    assert dict(found.counts) == {"non_finite": 1, "unreadable_geometry": 1}


def test_parts_and_row_groups_add_up(tmp_path: Path) -> None:
    bow = shapely.from_wkt(WKT["self_intersection"])
    shapes = [bow if i % 3 == 0 else shapely.box(0, 0, 1, 1) for i in range(300)]
    path = write(tmp_path / "x.parquet", shapes, row_group_size=100)
    whole = check_geometry([path])
    pieces = sum((check_geometry([path], row_groups=range(i, i + 1)) for i in (1, 2)),
                 check_geometry([path], row_groups=range(1)))  # fmt: skip
    assert whole == pieces
    assert (whole.checked, whole.total, len(whole.samples)) == (300, 100, MAX_SAMPLES)
    both = check_geometry([path, path])
    assert (both.checked, both.total) == (600, 200)
    assert check_geometry([path], row_groups=range(2, 3)).samples[0].feature == "201"


CORNERS = st.tuples(st.integers(0, 4), st.integers(0, 4))


@settings(max_examples=40, deadline=None, suppress_health_check=list(HealthCheck))
@given(rings=st.lists(st.lists(CORNERS, min_size=3, max_size=7), min_size=1, max_size=8))
def test_the_verdict_is_that_of_geos(rings: list, tmp_path_factory: pytest.TempPathFactory) -> None:
    shapes = [shapely.Polygon(ring) for ring in rings]
    path = write(tmp_path_factory.mktemp("v") / "x.parquet", shapes)
    found = check_geometry([path])
    assert {int(s.feature) for s in found.samples} == {
        i for i, shape in enumerate(shapes) if not shape.is_valid
    }
