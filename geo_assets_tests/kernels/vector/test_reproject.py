"""Reprojection equals PROJ vertex by vertex, and says which operation it used."""

from __future__ import annotations

import numpy as np
import pytest
import shapely
from pyproj import CRS, Transformer

from geo_assets.errors import ContractError, InputError
from geo_assets.kernels.reproject import crosses_antimeridian, plan_reprojection, without_m

SHAPES = np.array([
    shapely.from_wkt(text) if text else None
    for text in (
        "POINT (12 48)", "POINT Z (12 48 300)", "LINESTRING (12 48, 13 49)", None,
        "POLYGON ((10 45, 11 45, 11 46, 10 45), (10.5 45.2, 10.6 45.2, 10.6 45.3, 10.5 45.2))",
        "MULTIPOINT ((1 2), (3 4))", "MULTILINESTRING ((1 2, 3 4), (5 6, 7 8))",
        "MULTIPOLYGON Z (((0 0 1, 1 0 2, 1 1 3, 0 0 1)))", "POLYGON EMPTY", "POINT EMPTY",
        "GEOMETRYCOLLECTION (POINT (1 2), LINESTRING (1 2, 3 4))",
    )
], dtype=object)  # fmt: skip


def test_every_type_of_geometry_is_transformed_as_proj_does_it() -> None:
    plan = plan_reprojection(CRS(4326), CRS(32633))
    oracle = Transformer.from_crs(4326, 32633, always_xy=True)

    got, bad = plan.apply(SHAPES)

    assert not bad.any()
    for before, after in zip(SHAPES, got, strict=True):
        if before is None:
            assert after is None
            continue
        assert (after.geom_type, after.has_z) == (before.geom_type, before.has_z)
        for old, new in zip(shapely.get_coordinates(before, include_z=before.has_z),
                            shapely.get_coordinates(after, include_z=before.has_z),
                            strict=True):  # fmt: skip
            assert np.allclose(oracle.transform(*old), new, rtol=0, atol=1e-9)


def test_the_same_crs_leaves_coordinates_alone() -> None:
    plan = plan_reprojection(CRS("OGC:CRS84"), CRS(4326))
    got, _ = plan.apply(SHAPES)
    assert plan.transformer is None
    assert shapely.equals_identical(got, SHAPES).sum() == len(SHAPES) - 1


def test_coordinates_without_a_place_are_named() -> None:
    plan = plan_reprojection(CRS(4326), CRS(3857))
    shapes = shapely.points([[0, 0], [0, 95], [10, 90]])
    lines = np.array(
        [shapely.LineString([(0, 0), (200, 95)]), shapely.LineString([(0, 0), (1, 1)])]
    )
    assert plan.apply(shapes)[1].tolist()[:2] == [False, True]
    assert plan.apply(lines)[1].tolist() == [True, False]


def test_results_do_not_depend_on_batches() -> None:
    plan = plan_reprojection(CRS(4267), CRS(4326), bounds=(-125, 25, -66, 49))
    points = shapely.points(np.random.default_rng(0).uniform([-125, 25], [-66, 49], (500, 2)))
    whole, _ = plan.apply(points)
    pieces = np.concatenate([plan.apply(part)[0] for part in np.array_split(points, 7)])
    assert shapely.equals_identical(whole, pieces).all()
    assert plan.operation.accuracy_m is not None


def test_measures_are_dropped_and_heights_kept() -> None:
    shapes = np.array([shapely.from_wkt("POINT ZM (1 2 3 4)"), shapely.from_wkt("POINT M (1 2 4)"),
                       shapely.from_wkt("POINT Z (1 2 3)"), None], dtype=object)  # fmt: skip
    assert [shape and shape.wkt for shape in without_m(shapes)][:3] == [
        "POINT Z (1 2 3)", "POINT (1 2)", "POINT Z (1 2 3)"]  # fmt: skip


def test_an_accuracy_out_of_reach_names_the_grid() -> None:
    place = (-81.0, 34.0, -76.0, 36.5)
    with pytest.raises(ContractError, match=r"us_noaa\w+\.tif") as caught:
        plan_reprojection(CRS(4267), CRS(4269), bounds=place, required_accuracy_m=1, where="nc")
    assert "unknown accuracy" in caught.value.got
    assert caught.value.where == "nc"
    assert plan_reprojection(
        CRS(4326), CRS(32633), required_accuracy_m=0.1
    ).operation.best_available
    with pytest.raises(ContractError, match=r"accurate to 0\.001 m"):
        plan_reprojection(CRS(4314), CRS(25832), bounds=(8, 50, 9, 51), required_accuracy_m=0.001)


def test_without_an_operation_there_is_an_error() -> None:
    local = CRS('LOCAL_CS["site",UNIT["metre",1]]')
    with pytest.raises(InputError, match="site"):
        plan_reprojection(local, CRS(4326))


def test_features_across_the_antimeridian_are_found() -> None:
    shapes = np.array([
        shapely.LineString([(179, 0), (-179, 1)]), shapely.box(170, 0, 179, 1),
        shapely.MultiPoint([(179, 0), (-179, 0)]), shapely.LineString([(-80, 0), (80, 0)]), None,
        shapely.MultiLineString([[(1, 1), (2, 2)], [(-179, 0), (179.5, 0)]]),
    ], dtype=object)  # fmt: skip
    assert crosses_antimeridian(shapes).tolist() == [True, False, False, False, False, True]
