"""Rules for single features."""

from __future__ import annotations

import numpy as np
import pytest
import shapely

from geo_assets.errors import ConfigError
from geo_assets.rules.found import Found, Metric
from geo_assets.rules.shape import shape_defects
from geo_assets.rules.topology import ShapeRules

SQUARE = shapely.box(400_000, 5_500_000, 400_010, 5_500_010)


def examine(shape: object, crs: str = "EPSG:32633", **rules: object) -> list[Found]:
    shapes = np.array([shape], object)
    with np.errstate(invalid="ignore"):
        valid = shapely.is_valid(shapes) & ~shapely.is_empty(shapes)
    found = shape_defects(shapes, np.array([7]), valid, ShapeRules(**rules), Metric(crs))
    listed = list(found)
    assert all(one.rows == (7,) for one in listed)
    return listed


def kinds(shape: object, crs: str = "EPSG:32633", **rules: object) -> list[str]:
    return [one.kind for one in examine(shape, crs, **rules)]


def test_a_good_feature_has_no_defect() -> None:
    strict = {"geometry_types": ("Polygon",), "orientation": "ccw", "sliver_width_m": 9.0}
    assert kinds(SQUARE, **strict) == []


@pytest.mark.parametrize(
    ("shape", "kind"),
    [
        (None, "null_geometry"),
        (shapely.Polygon(), "empty_geometry"),
        (shapely.Point(0, np.nan), "non_finite"),
        (shapely.Point(np.inf, 0), "non_finite"),
    ],
)
def test_what_has_no_place_is_nothing_else(shape: object, kind: str) -> None:
    assert kinds(shape, geometry_types=("Point",)) == [kind]


def test_types_are_what_is_declared() -> None:
    parts = shapely.MultiPolygon([SQUARE])
    assert kinds(parts, geometry_types=("Polygon",)) == ["multipart"]
    assert kinds(parts, geometry_types=("Polygon", "MultiPolygon")) == []
    assert kinds(SQUARE, geometry_types=("MultiPolygon",)) == ["unexpected_type"]
    assert kinds(SQUARE) == []


def test_validity_says_why_and_where() -> None:
    x, y = 400_000, 5_500_000
    (one,) = examine(shapely.Polygon([(x, y), (x + 2, y + 2), (x + 2, y), (x, y + 2)]))
    assert one.kind == "self_intersection"
    assert (one.geometry.x - x, one.geometry.y - y) == (1, 1)
    assert one.size_m == 2
    hole = shapely.Polygon(SQUARE.exterior, [shapely.box(x + 90, y, x + 91, y + 1).exterior])
    assert kinds(hole) == ["hole_lies_outside_shell"]


def test_collapsed_parts() -> None:
    x, y = 400_000, 5_500_000
    assert kinds(shapely.Polygon([(x, y), (x + 1, y), (x + 2, y), (x, y)])) == ["collapsed_part"]
    lines = shapely.MultiLineString([[(x, y), (x + 1, y)], [(x + 5, y), (x + 5, y)]])
    assert "collapsed_part" in kinds(lines)


def test_repeated_points_are_neighbours_in_one_ring() -> None:
    xy = shapely.get_coordinates(SQUARE)
    twice = shapely.Polygon(xy[[0, 1, 1, 1, 2, 3, 3, 4]])
    (one,) = examine(twice)
    assert (one.kind, one.detail) == ("repeated_point", "3 vertices repeat the one before.")
    x, y = xy[0]  # the end of one part is the start of the next: nothing is repeated
    parts = shapely.MultiLineString([[(x, y), (x + 1, y)], [(x + 1, y), (x + 1, y + 1)]])
    assert kinds(parts) == []
    assert kinds(shapely.MultiPoint([(x, y), (x, y)])) == []


def test_orientation_of_shells_and_holes() -> None:
    hole = shapely.box(400_004, 5_500_004, 400_006, 5_500_006)
    good = shapely.Polygon(SQUARE.exterior, [hole.exterior.reverse()])
    bad = shapely.Polygon(SQUARE.exterior, [hole.exterior])
    assert kinds(good, orientation="ccw") == []
    assert kinds(bad, orientation="ccw") == ["ring_orientation"]
    assert kinds(good.reverse(), orientation="cw") == []
    assert kinds(good, orientation="cw") == ["ring_orientation"]


def test_slivers_are_nowhere_wide() -> None:
    sliver = shapely.box(400_000, 5_500_000, 400_500, 5_500_002)
    (one,) = examine(sliver, sliver_width_m=2.5)
    assert (one.kind, one.size_m, one.area_m2) == ("sliver", pytest.approx(2, rel=0.02), 1000)
    assert kinds(sliver, sliver_width_m=1.9) == []


def test_what_concerns_a_whole_feature_has_its_extent_in_metres() -> None:
    (one,) = examine(shapely.MultiPolygon([SQUARE]), geometry_types=("Polygon",))
    assert one.size_m == pytest.approx(10)
    bow = shapely.Polygon([(10, 50), (10.001, 50.002), (10.001, 50), (10, 50.002)])
    (one,) = examine(bow, "EPSG:4326")
    assert one.size_m == pytest.approx(111_229 * 0.002, rel=1e-3)
    (one,) = examine(shapely.Polygon())
    assert one.size_m is None


def test_places_outside_the_crs() -> None:
    assert kinds(shapely.Point(13.4, 52.5)) == ["degrees_in_projected_crs"]
    assert kinds(shapely.Point(10, 95), "EPSG:4326") == ["swapped_axes"]
    assert kinds(shapely.Point(1e4, 95), "EPSG:4326") == ["out_of_bounds"]


def test_the_antimeridian_is_crossed_by_an_edge_and_not_between_parts() -> None:
    crossing = shapely.Polygon([(179, 0), (-179, 0), (-179, 1), (179, 1)])
    assert kinds(crossing, "EPSG:4326") == ["antimeridian"]
    split = shapely.MultiPolygon([shapely.box(179, 0, 180, 1), shapely.box(-180, 0, -179, 1)])
    assert kinds(split, "EPSG:4326") == []
    assert kinds(shapely.box(179, 0, 181, 1), "EPSG:4326") == ["antimeridian"]


def test_rules_that_make_no_sense_are_refused() -> None:
    for wrong in ({"orientation": "left"}, {"geometry_types": ("Blob",)}, {"sliver_width_m": -1}):
        with pytest.raises(ConfigError):
            ShapeRules(**wrong)
