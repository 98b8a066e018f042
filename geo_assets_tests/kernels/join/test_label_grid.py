"""Every point's place is what GEOS says, also on edges, on vertices and in overlaps."""

import numpy as np
import pytest
import shapely
from hypothesis import given, settings
from hypothesis import strategies as st

from geo_assets.kernels import label_grid
from geo_assets.kernels.label_grid import LabelGrid
from geo_assets.kernels.label_grid_boxes import place_boxes
from geo_assets.kernels.label_grid_build import build, make_cells
from geo_assets.kernels.label_grid_edges import Edges, Rings


def grid_of(polygons, points=1000):
    polygons = np.asarray(polygons, object)
    edges = Edges.of(Rings.of(polygons, np.arange(len(polygons))))
    return build(edges, make_cells(shapely.bounds(polygons), points, edges))


def answer(grid, polygons, x, y):
    """(inside, unsure) as sets of (point, polygon)."""
    inside, unsure = set(), set()
    for found in grid.locate(x, y):
        inside |= set(zip(found.point.tolist(), found.polygon.tolist(), strict=True))
        unsure |= set(zip(found.unsure_point.tolist(), found.unsure_polygon.tolist(), strict=True))
    return inside, unsure


def check(polygons, x, y, points=1000):
    polygons = np.asarray(polygons, object)
    grid = grid_of(polygons, points)
    inside, unsure = answer(grid, polygons, x, y)
    p = shapely.points(x, y)
    holds = shapely.contains(polygons[None, :], p[:, None])
    edge = shapely.touches(polygons[None, :], p[:, None])
    assert not inside & unsure
    assert {tuple(pair) for pair in np.argwhere(edge).tolist()} <= unsure
    assert inside | {(i, j) for i, j in unsure if holds[i, j]} == {
        tuple(pair) for pair in np.argwhere(holds).tolist()
    }
    return inside, unsure


def special_points(polygons, rng, extra=60):
    """Vertices, points on edges, next to them, and anywhere."""
    xy = shapely.get_coordinates(polygons)
    t = rng.random((len(xy), 1))
    on = xy + t * (np.roll(xy, -1, 0) - xy)
    mid = (xy + np.roll(xy, -1, 0)) / 2
    low, high = xy.min(axis=0), xy.max(axis=0)
    some = low + rng.random((extra, 2)) * (high - low) * 1.2 - 0.1 * (high - low)
    every = np.concatenate(
        [xy, on, mid, np.nextafter(xy, np.inf), np.nextafter(mid, -np.inf), some]
    )
    return every[:, 0].copy(), every[:, 1].copy()


@st.composite
def polygon_sets(draw):
    """Valid polygons: stars with holes, squares on whole numbers, slivers; they may overlap."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    shift = draw(st.sampled_from([0.0, 5.5e6, -180.0]))
    size = draw(st.sampled_from([1e-3, 1.0, 1e4]))
    polygons = []
    for _ in range(draw(st.integers(1, 7))):
        kind = draw(st.sampled_from(["star", "box", "sliver", "hole", "multi"]))
        center = rng.integers(0, 4, 2)
        if kind == "box":
            a, b = rng.integers(0, 5, 2), rng.integers(1, 4, 2)
            polygon = shapely.box(*a, *(a + b))
        elif kind == "sliver":
            a, b = rng.random(2) * 4, rng.random(2) * 4
            polygon = shapely.polygons([a, b, b + rng.random(2) * 1e-7])
        else:
            angle = np.sort(rng.random(rng.integers(3, 14))) * 2 * np.pi
            ring = center + np.c_[np.cos(angle), np.sin(angle)] * (
                0.3 + rng.random((len(angle), 1))
            )
            polygon = shapely.polygons(ring)
            if not polygon.is_valid:
                continue
            if kind == "hole":
                polygon = polygon.difference(shapely.box(*(center - 0.2), *(center + 0.1)))
            if kind == "multi":
                polygon = polygon.union(shapely.box(*(center + 2), *(center + 3)))
        polygon = shapely.transform(polygon, lambda c: c * size + shift)
        if (
            polygon.is_valid
            and polygon.area > 0
            and polygon.geom_type in ("Polygon", "MultiPolygon")
        ):
            polygons.append(draw(st.sampled_from([polygon, shapely.reverse(polygon)])))
    if not polygons:
        polygons = [shapely.box(0, 0, 1, 1)]
    return np.array(polygons, object), rng


@given(polygon_sets(), st.sampled_from([0, 300, 200_000]))
@settings(max_examples=300, deadline=None)
def test_every_point_is_where_geos_says(case, points):
    polygons, rng = case
    check(polygons, *special_points(polygons, rng), points)


def test_a_coverage_of_squares_on_whole_numbers():
    """Edges and vertices lie on the cells' own kind of lines, and points on all of them."""
    a = np.arange(0, 5.0)
    x, y = (c.ravel() for c in np.meshgrid(a, a))
    at = np.arange(0, 5.01, 0.25)
    px, py = (c.ravel() for c in np.meshgrid(at, at))
    inside, unsure = check(shapely.box(x, y, x + 1, y + 1), px, py)
    assert unsure
    assert inside


def test_most_points_need_no_look_at_an_edge():
    rng = np.random.default_rng(1)
    circles = shapely.buffer(shapely.points(rng.random((20, 2)) * 100), 5, quad_segs=16)
    grid = grid_of(circles, 100_000)
    x, y = rng.random((2, 100_000)) * 100
    assert sum(found.looked_up for found in grid.locate(x, y)) > 90_000


def test_overlapping_polygons_all_count_in_cells_without_edges():
    boxes = shapely.box(0, 0, np.array([10.0, 10.0, 6.0]), 10)
    inside, _ = check(boxes, np.array([3.0, 8.0]), np.array([3.0, 8.0]))
    assert inside == {(0, 0), (0, 1), (0, 2), (1, 0), (1, 1)}


def test_many_polygons_over_one_place_are_looked_at_in_small_blocks(monkeypatch):
    monkeypatch.setattr(label_grid, "MAX_WORK", 500)
    rng = np.random.default_rng(2)
    polygons = shapely.buffer(shapely.points(rng.random((60, 2))), 1.0)
    x, y = rng.random((2, 400))
    check(polygons, x, y)
    blocks = list(grid_of(polygons).locate(x, y))
    assert len(blocks) > 10
    assert [b.start for b in blocks[1:]] == [b.stop for b in blocks[:-1]]


def test_points_that_are_not_finite_are_nowhere():
    x = np.array([np.nan, np.inf, -np.inf, 0.5, 1e300])
    inside, unsure = answer(grid_of([shapely.box(0, 0, 1, 1)]), None, x, np.full(5, 0.5))
    assert (inside, unsure) == ({(3, 0)}, set())


def test_a_saved_grid_gives_the_same_answers(tmp_path):
    rng = np.random.default_rng(3)
    polygons = shapely.buffer(shapely.points(rng.random((30, 2)) * 10), 1.0)
    grid = grid_of(polygons)
    loaded = LabelGrid.load(tmp_path, grid.save(tmp_path))
    x, y = special_points(polygons, rng)
    assert answer(loaded, polygons, x, y) == answer(grid, polygons, x, y)


@given(polygon_sets(), st.sampled_from([0.02, 0.3]))
@settings(max_examples=100, deadline=None)
def test_boxes_are_placed_for_certain_or_left_open(case, size):
    polygons, rng = case
    grid = grid_of(polygons, 20_000)
    total = shapely.total_bounds(polygons)
    span = (total[2:] - total[:2]).max()
    corner = total[:2] - 0.1 * span + rng.random((300, 2)) * 1.2 * span
    vertex = shapely.get_coordinates(polygons)[:100]
    low = np.concatenate([corner, vertex, vertex - 0.02 * span])
    bounds = np.hstack([low, low + rng.random((len(low), 2)) * size * span])
    bounds[300:, 2:] = bounds[300:, :2] + 0.02 * span
    boxes = shapely.box(*bounds.T)
    meets = shapely.intersects(polygons[None, :], boxes[:, None])
    holds = shapely.contains_properly(polygons[None, :], boxes[:, None])
    (placed,) = place_boxes(grid, bounds)
    tried = np.ones(len(bounds), bool)
    tried[placed.untried] = False
    sure = np.zeros(meets.shape, bool)
    maybe = np.zeros(meets.shape, bool)
    sure[placed.sure_box, placed.sure_polygon] = True
    maybe[placed.maybe_box, placed.maybe_polygon] = True
    assert holds[sure].all()
    assert not (sure & maybe).any()
    assert not (meets & ~sure & ~maybe)[tried].any()
    assert not (sure | maybe)[~tried].any()


def test_a_grid_stays_small_whatever_the_edges():
    """Long edges enter many cells, stacked polygons fill many: cells get larger instead."""
    rng = np.random.default_rng(4)
    triangles = shapely.polygons(rng.random((300, 3, 2)) * 1e6)
    triangles = triangles[shapely.is_valid(triangles)]
    edges = Edges.of(Rings.of(triangles, np.arange(len(triangles))))
    cells = make_cells(shapely.bounds(triangles), 10**9, edges)
    depth = shapely.area(shapely.box(*shapely.bounds(triangles).T)).sum() / (cells.dx * cells.dy)
    assert depth <= 1.1 * 2**25
    assert cells.nx * cells.ny <= 1.1 * 2**24


@pytest.mark.parametrize("size", [1e-9, 1e9])
def test_tiny_and_huge_worlds(size):
    rng = np.random.default_rng(5)
    polygons = shapely.buffer(shapely.points(rng.random((5, 2)) * size), 0.2 * size)
    check(polygons, *special_points(polygons, rng))


@pytest.mark.parametrize("thin", ["POLYGON ((0 0, 10 0, 10 1e-9, 0 0))",
                                  "POLYGON ((0 0, 1e-9 10, 1e-9 0, 0 0))"])  # fmt: skip
def test_slivers(thin):
    polygon = shapely.from_wkt(thin)
    check([polygon], *special_points(np.array([polygon]), np.random.default_rng(6)))
