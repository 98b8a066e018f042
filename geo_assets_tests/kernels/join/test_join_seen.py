"""What is told from bytes is what GEOS tells of the geometries."""

import numpy as np
import pyarrow as pa
import pytest
import shapely

from geo_assets.kernels.join_seen import see
from geo_assets.kernels.label_grid_edges import Edges, Rings
from geo_assets.rules import plain

SQUARE = shapely.box(0, 0, 1, 1)
COMB = shapely.Polygon([(0, 0), (1, 5), (2, 0), (3, 5), (4, 0), (5, 5), (6, -1), (0, -1)])
HOLED = shapely.Polygon(SQUARE.exterior, [shapely.box(0.2, 0.2, 0.3, 0.3).exterior])
SHAPES = [
    SQUARE,
    shapely.reverse(SQUARE),
    None,
    COMB,
    HOLED,
    shapely.MultiPolygon([COMB]),
    shapely.MultiPolygon([HOLED, shapely.box(5, 5, 6, 6)]),
    shapely.Polygon(),
    shapely.Polygon([(0, 0), (9, 9), (9, 0), (0, 9)]),
    shapely.force_3d(SQUARE, 7),
    shapely.Polygon([(0, 0), (1, 0), (1, 0), (1, 1)]),
    shapely.Polygon([(0, 0), (3, 0), (6, 1e-12)]),
]


@pytest.fixture(autouse=True)
def _edges_of_few_rings_are_compared_too(monkeypatch):
    monkeypatch.setattr(plain, "_WORTH", 1)


def wkb(shapes, order=1):
    return pa.array(list(shapely.to_wkb(np.array(shapes, object), byte_order=order)), pa.binary())


@pytest.mark.parametrize("take", [slice(None), slice(0, 2), slice(4, 7), slice(2, 3), slice(0, 0)])
@pytest.mark.parametrize("order", [0, 1])
def test_all_that_is_seen_is_what_geos_says(take, order):
    shapes = np.array(SHAPES, object)[take]
    column = wkb(SHAPES, order)[take]
    seen = see(column, None, "layer.parquet")
    gone = shapely.is_missing(shapes) | shapely.is_empty(shapes)
    assert seen.wkb.is_null().to_pylist() == gone.tolist()
    assert shapely.equals_exact(shapely.from_wkb(seen.wkb.drop_null()), shapes[~gone]).all()
    assert np.array_equal(seen.bounds, shapely.bounds(shapes), equal_nan=True)
    assert seen.sizes.tolist() == np.where(gone, 0, shapely.get_num_coordinates(shapes)).tolist()
    assert seen.valid.tolist() == (shapely.is_valid(shapes) & ~gone).tolist()
    assert seen.polygonal
    good = np.flatnonzero(seen.valid)
    rings, all_by_geos = seen.rings(100), Rings.of(shapes[good], good + 100)
    for name in ("vertices", "counts", "polygon", "turn"):
        assert np.array_equal(getattr(rings, name), getattr(all_by_geos, name)), name


def test_other_geometries_are_no_polygons():
    assert not see(wkb([SQUARE, shapely.Point(1, 2)]), None, "layer.parquet").polygonal


def test_after_reprojection_all_is_told_from_the_new_coordinates():
    def project(x, y):
        return x * 2 + y, y - x

    seen = see(wkb([SQUARE, COMB]), project, "layer.parquet")
    moved = shapely.transform(np.array([SQUARE, COMB]), lambda xy: np.column_stack(project(*xy.T)))
    assert np.array_equal(seen.bounds, shapely.bounds(moved))
    assert np.array_equal(seen.rings(0).vertices.T, shapely.get_coordinates(moved))
    assert shapely.equals_exact(shapely.from_wkb(seen.wkb), moved).all()


def test_edges_of_parts_are_those_of_the_whole():
    seen = [see(wkb(SHAPES[a:b]), None, "layer.parquet") for a, b in ((0, 5), (5, 12))]
    joined = Edges.join([Edges.of(seen[0].rings(0)), Edges.of(seen[1].rings(5))])
    whole = Edges.of(see(wkb(SHAPES), None, "layer.parquet").rings(0))
    for name in ("vertices", "start", "polygon", "turn", "ring_polygon", "ring_size"):
        assert np.array_equal(getattr(joined, name), getattr(whole, name)), name
    assert joined.length == pytest.approx(whole.length)
