"""CRS rules: equality by what a CRS is, and coordinates that cannot be in it."""

from __future__ import annotations

from pathlib import Path

import geopandas as gpd
import numpy as np
import pytest
import shapely
from pyproj import CRS

from geo_assets.errors import ConfigError, InputError
from geo_assets.rules.crs import check_crs, expect_crs, looks_like_degrees, misplaced, same_crs

SAME = [
    ("EPSG:4326", "OGC:CRS84"),
    ("EPSG:32633", CRS(32633).to_wkt("WKT1_ESRI")),
    ("EPSG:2193", CRS(2193).to_wkt("WKT1_GDAL")),
    ("EPSG:5070", CRS(5070).to_json()),
    ("+proj=utm +zone=33 +datum=WGS84", "+proj=utm +zone=33 +datum=WGS84 +units=m"),
]
OTHER = [
    ("EPSG:4326", "EPSG:4269"),
    ("EPSG:4326", "EPSG:4267"),
    ("EPSG:32633", "EPSG:32632"),
    ("EPSG:32633", "EPSG:25833"),
    ("EPSG:2264", "EPSG:32119"),
    ("EPSG:3857", "EPSG:3395"),
]


@pytest.mark.parametrize(("one", "other"), SAME)
def test_two_spellings_of_a_crs_are_one(one: str, other: str) -> None:
    assert same_crs(CRS(one), CRS(other))
    assert same_crs(CRS(other), CRS(one))


@pytest.mark.parametrize(("one", "other"), OTHER)
def test_near_misses_are_different(one: str, other: str) -> None:
    assert not same_crs(CRS(one), CRS(other))


def test_a_crs_is_expected() -> None:
    utm = CRS(32633)
    assert expect_crs(None, utm, "x") == utm
    assert expect_crs(utm, None, "x") == utm
    with pytest.raises(InputError, match=r"no CRS \(x.prj is missing\), in x"):
        expect_crs(None, None, "x", missing="x.prj is missing")
    with pytest.raises(InputError, match=r"EPSG:4326 \(WGS 84\), got EPSG:32633"):
        expect_crs(utm, CRS(4326), "x")


@pytest.mark.parametrize(
    ("crs", "bounds", "kind"),
    [
        (4326, (10, 50, 11, 51), None),
        (4326, (179, 50, 190, 51), None),
        (4326, (50, -120, 51, -119), "swapped_axes"),
        (4326, (5e5, 5e6, 5.1e5, 5.1e6), "out_of_bounds"),
        (32633, (4e5, 5e6, 5e5, 5.1e6), None),
        (32633, (-2e6, 5e6, -1.9e6, 5.1e6), None),
        (32633, (12, 48, 13, 49), "degrees_in_projected_crs"),
        (32633, (5e6, 4e5, 5.1e6, 5e5), "swapped_axes"),
        (32633, (1e9, 5e6, 1.1e9, 6e6), "out_of_bounds"),
        (3857, (12, 48, 13, 49), None),
        (2056, (8, 47, 8.1, 47.1), "degrees_in_projected_crs"),
        ("+proj=aea +lat_1=10 +lat_2=20", (12, 48, 13, 49), None),
        (32633, (np.nan, np.nan, np.nan, np.nan), None),
    ],
)
def test_impossible_places_are_named(crs: object, bounds: tuple, kind: str | None) -> None:
    assert misplaced(np.array([bounds], dtype=float), CRS(crs))[0] == kind


def test_a_whole_layer_of_degrees_is_recognised() -> None:
    assert looks_like_degrees((8, 47, 9, 48), CRS(3857))
    assert not looks_like_degrees((8, 47, 9, 48), CRS(4326))
    assert not looks_like_degrees((8e5, 47, 9e5, 48), CRS(3857))


def test_a_file_is_held_against_the_declared_crs(tmp_path: Path) -> None:
    shapes = [shapely.box(4e5, 5e6, 5e5, 5.1e6), shapely.box(12, 48, 13, 49), None]
    layer = gpd.GeoDataFrame({"a": [1, 2, 3]}, geometry=shapes, crs=32633)
    path = tmp_path / "layer.parquet"
    layer.to_parquet(path, write_covering_bbox=True, schema_version="1.1.0")
    assert dict(check_crs([path], "EPSG:32633").counts) == {"degrees_in_projected_crs": 1}
    found = check_crs([path], "EPSG:4326")
    assert found.counts["crs_mismatch"] == 1
    layer.set_crs(None, allow_override=True).to_parquet(path)
    assert dict(check_crs([path], "EPSG:32633").counts) == {"crs_missing": 1}
    with pytest.raises(ConfigError, match="nonsense"):
        check_crs([path], "nonsense")
