"""Widths are what inscribed circles say; metres are what the ellipsoid says."""

from __future__ import annotations

import numpy as np
import pytest
import shapely
from pyproj import Geod

from geo_assets.rules.found import Metric, wider_than, widths


def test_widths_are_diameters_of_the_largest_circle_inside() -> None:
    shapes = np.array([
        shapely.box(0, 0, 10, 4),
        shapely.Point(0, 0).buffer(3, quad_segs=64),
        shapely.box(0, 0, 1_000_000, 0.002),
        shapely.Polygon([(0, 0), (4, 0), (0, 3)]),
        shapely.difference(shapely.box(0, 0, 12, 12), shapely.box(1, 1, 11, 11)),
    ], object)  # fmt: skip
    corner = 4 - 2 * 2**0.5  # a corner holds a circle a little wider than the arms of the frame
    assert widths(shapes) == pytest.approx([4, 6, 0.002, 2, corner], rel=0.02)
    assert wider_than(shapes, 1.9).tolist() == [True, True, False, True, False]
    assert wider_than(shapes, 2.1).tolist() == [True, True, False, False, False]


def test_metres_of_degrees_follow_the_ellipsoid() -> None:
    metric = Metric("EPSG:4326", (-60.0, 60.0))
    boxes = np.array(
        [shapely.box(10, lat, 10.001, lat + 0.001) for lat in (-60, 0, 45, 70)], object
    )
    scaled = metric.metres(boxes)
    geod = Geod(ellps="WGS84")
    for box, flat in zip(boxes, scaled, strict=True):
        area, border = geod.geometry_area_perimeter(box)
        assert flat.area == pytest.approx(area, rel=1e-4)
        assert flat.length == pytest.approx(border, rel=1e-4)
    assert metric.units(111_320) == pytest.approx(2.0, rel=0.01)  # a degree is short at 60 degrees
    assert metric.small_units(111_320) == pytest.approx(1.0, rel=0.01)


def test_metres_of_feet() -> None:
    metric = Metric("EPSG:2964")
    (box,) = metric.metres(np.array([shapely.box(0, 0, 1000, 1000)], object))
    assert box.area == pytest.approx((1000 * 0.304800609601) ** 2)
    assert metric.units(0.304800609601) == pytest.approx(1)


def test_a_place_that_is_none_is_nan() -> None:
    places = Metric("EPSG:32633").lonlat(np.array([[500_000.0, 0.0], [np.nan, 1.0]]))
    assert places[0] == pytest.approx([15, 0], abs=1e-9)
    assert np.isnan(places[1]).all()
