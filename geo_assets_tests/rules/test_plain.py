"""What is called certain is what GEOS says too, whatever the polygon."""

from __future__ import annotations

import struct

import hypothesis.strategies as st
import numpy as np
import pyarrow as pa
import pytest
import shapely
from hypothesis import given, settings

from geo_assets.rules import plain as module
from geo_assets.rules.found import Metric
from geo_assets.rules.plain import (
    MOST_VERTICES,
    STAR_VERTICES,
    Plain,
    plain_polygons,
    plain_vertices,
)
from geo_assets.rules.shape import blameless, shape_defects
from geo_assets.rules.topology import ShapeRules
from geo_assets.rules.validity import is_sound
from geo_assets.rules.wkb import read_wkb


@pytest.fixture(autouse=True)
def _edges_of_few_rings_are_compared_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_WORTH", 1)


def column(shapes: list, **how: object) -> pa.Array:
    return pa.array(list(shapely.to_wkb(np.array(shapes, object), **how)), pa.binary())


def ring(xy: list) -> bytes:
    """WKB of a polygon, as it is: GEOS would not make one of an open or broken ring."""
    flat = [number for point in xy for number in point]
    return struct.pack(f"<BIII{len(flat)}d", 1, 3, 1, len(xy), *flat)


def holds(wkb: pa.Array) -> Plain:
    """Everything that is said of the certain ones, held against GEOS."""
    plain = plain_polygons(wkb)
    shapes = read_wkb(wkb)[plain.certain]
    assert shapely.is_valid(shapes).all()
    assert not shapely.is_empty(shapes).any()
    parts = shapely.get_parts(shapes)
    slim = shapely.remove_repeated_points(parts)
    assert (shapely.get_num_coordinates(slim) == shapely.get_num_coordinates(parts)).all()
    assert (shapely.get_num_coordinates(shapes) == plain.vertices[plain.certain]).all()
    xy = plain_vertices(wkb, plain, np.flatnonzero(plain.certain))
    assert np.array_equal(xy.T, shapely.get_coordinates(shapes))
    assert (shapely.get_type_id(shapes) == np.where(plain.multi[plain.certain], 6, 3)).all()
    assert (shapely.is_ccw(shapely.get_exterior_ring(parts)) == plain.ccw[plain.certain]).all()
    assert np.array_equal(shapely.bounds(shapes), plain.bounds[plain.certain])
    area, border = shapely.area(shapes), plain.border[plain.certain]
    with np.errstate(over="ignore"):
        slack = 1e-6 * area + 1e-13 * border**2
    assert (np.abs(plain.area[plain.certain] - area) <= slack).all()
    assert (plain.border[plain.certain] >= shapely.length(shapes) * (1 - 1e-9)).all()
    return plain


def star(turns: int, points: int = 11) -> list:
    """A ring that turns so many times around its middle."""
    angle = 2 * np.pi * turns * np.arange(points) / points
    xy = np.column_stack([np.cos(angle), np.sin(angle)])
    return [*map(tuple, xy), tuple(xy[0])]


@pytest.mark.parametrize("count", [3, 4, 9, STAR_VERTICES - 1, STAR_VERTICES, MOST_VERTICES - 1])
@pytest.mark.parametrize("turn", [1, -1])
def test_a_convex_polygon_is_certain(count: int, turn: int) -> None:
    shape = shapely.Polygon(star(turn, count))
    plain = holds(column([shape, shapely.MultiPolygon([shape])]))
    assert plain.certain.tolist() == [True, True]
    assert plain.multi.tolist() == [False, True]
    assert plain.ccw.tolist() == [turn == 1] * 2


@pytest.mark.parametrize("turns", [0, 2, 3, 5, -2])
def test_a_star_that_crosses_itself_is_not(turns: int) -> None:
    """It turns as steadily as a circle, only more than once."""
    wkb = pa.array([ring(star(turns))], pa.binary())
    assert not shapely.is_valid(read_wkb(wkb)).any()
    assert not plain_polygons(wkb).certain.any()


SQUARE = shapely.box(0, 0, 1, 1)


HOLED = shapely.Polygon(SQUARE.exterior, [shapely.box(0.2, 0.2, 0.3, 0.3).exterior])
LEFT = {
    "null": None,
    "nothing": b"",
    "cut off": b"\1\3",
    "open": ring([(0, 0), (1, 0), (1, 1), (0, 1)]),
    "repeated": ring([(0, 0), (1, 0), (1, 0), (1, 1), (0, 0)]),
    "bow tie": ring([(0, 0), (9, 9), (9, 0), (0, 9), (0, 0)]),
    "spike": ring([(0, 0), (4, 0), (8, 0), (4, 0), (4, 4), (0, 0)]),
    "spike at its end": ring([(0, 0), (4, 0), (4, 4), (-4, -4), (0, 0)]),
    "nan": ring([(0, 0), (1, np.nan), (1, 1), (0, 0)]),
    "infinite": ring([(0, 0), (np.inf, 0), (1, 1), (0, 0)]),
    "huge": ring([(-1e308, 0), (1e308, 0), (1e308, 1e308), (-1e308, 0)]),
    "tiny": ring([(0, 0), (5e-324, 0), (5e-324, 5e-324), (0, 0)]),
    "one place": ring([(0, 0)] * 5),
    "empty": shapely.to_wkb(shapely.Polygon()),
    "big-endian": shapely.to_wkb(SQUARE, byte_order=0),
    "EWKB": shapely.to_wkb(shapely.set_srid(SQUARE, 4326), include_srid=True),
    "3-D": shapely.to_wkb(shapely.force_3d(SQUARE)),
    "holed": shapely.to_wkb(HOLED),
    "two parts": shapely.to_wkb(shapely.MultiPolygon([SQUARE, shapely.box(5, 5, 6, 6)])),
    "line": shapely.to_wkb(shapely.LineString(SQUARE.exterior)),
    "long": shapely.to_wkb(shapely.Polygon(star(1, MOST_VERTICES))),
}


@pytest.mark.parametrize("places", [(0.0, 0.0), (5.5e6, 4e5)])
@pytest.mark.parametrize("count", [8, 16, 17, 40, 97, 200, 508])
def test_a_ring_that_is_not_seen_whole_is_compared(count: int, places: tuple) -> None:
    """A comb; at each place its ring may begin, and with a tooth that reaches the next one."""
    teeth = np.arange(count // 2)
    comb = np.column_stack([np.repeat(teeth, 2), np.tile([0.0, 5.0], len(teeth))]) + 0.25
    xy = np.vstack([comb, [[len(teeth), -1], [-1, -1]]]) + places
    rings = [[*np.roll(xy, turn, axis=0)] for turn in range(0, len(xy), max(1, len(xy) // 20))]
    wkb = pa.array([ring([*xy, xy[0]]) for xy in rings] * 2, pa.binary())
    assert holds(wkb).certain.all()
    for at, to in ((1, 3), (len(xy) - 4, 2)):
        touching = xy.copy()
        touching[at] = xy[to]
        pair = [ring([*map(tuple, s), tuple(s[0])]) for s in (touching, touching[::-1], xy)]
        certain = plain_polygons(pa.array(pair, pa.binary())).certain
        assert certain.tolist() == [False, False, True]


@st.composite
def walks(draw: st.DrawFn) -> list:
    """Rings of any number of vertices with folds at all scales; some cross themselves."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    xy = np.array([[0, 0], [4, 0], [4, 4], [0, 4], [0, 0]], float)
    rough = draw(st.sampled_from([0.1, 0.3, 0.6]))
    for _ in range(draw(st.integers(1, 6))):
        step = np.diff(xy, axis=0)
        side = step[:, ::-1] * [1, -1] * rng.uniform(-rough, rough, (len(step), 1))
        middle = (xy[:-1] + xy[1:]) / 2 + side
        xy = np.vstack([np.stack([xy[:-1], middle], axis=1).reshape(-1, 2), xy[:1]])
    kept = rng.random(len(xy) - 1) < draw(st.sampled_from([0.8, 1.0]))
    kept[:3] = True
    return [*map(tuple, xy[:-1][kept]), tuple(xy[0])]


@settings(max_examples=60, deadline=None)
@given(rings=st.lists(walks(), min_size=1, max_size=12))
def test_rings_with_folds_are_certain_if_and_only_if_they_are_valid(rings: list) -> None:
    wkb = pa.array([ring(xy) for xy in rings], pa.binary())
    assert holds(wkb).certain.tolist() == shapely.is_valid(read_wkb(wkb)).tolist()


def test_few_rings_are_left_to_geos(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_WORTH", 400)
    shape = shapely.Polygon(star(1, 96))
    assert [plain_polygons(column([shape] * n)).certain.tolist() for n in (2, 5)] == [
        [False] * 2,
        [True] * 5,
    ]


@pytest.mark.parametrize("kind", LEFT)
def test_all_else_is_left_to_geos(kind: str) -> None:
    plain = holds(pa.array([LEFT[kind], shapely.to_wkb(SQUARE)], pa.binary()))
    assert plain.certain.tolist() == [False, True]


def test_a_column_may_be_a_slice_large_or_have_bytes_under_its_nulls() -> None:
    shapes = [shapely.box(i, 0, i + 1 + i % 3, 1) for i in range(30)]
    whole = column(shapes)
    for wkb in (whole.slice(7, 11), whole.cast(pa.large_binary()).slice(7, 11)):
        plain = holds(wkb)
        assert plain.certain.all()
        assert np.array_equal(plain.bounds, shapely.bounds(shapes[7:18]))
    present = pa.array([i != 3 for i in range(30)]).buffers()[1]
    hidden = pa.Array.from_buffers(pa.binary(), 30, [present, *whole.buffers()[1:]])
    assert np.flatnonzero(~holds(hidden).certain).tolist() == [3]
    assert len(plain_polygons(whole.slice(0, 0)).certain) == 0
    assert len(plain_polygons(pa.nulls(4, pa.binary())).certain) == 4


CORNERS = st.tuples(st.integers(-3, 3), st.integers(-3, 3))
RINGS = st.lists(CORNERS, min_size=3, max_size=9)
NUDGES = st.lists(st.integers(-2, 2), min_size=20, max_size=20)


@settings(max_examples=150, deadline=None)
@given(rings=st.lists(RINGS, min_size=1, max_size=20), nudges=NUDGES,
       scale=st.sampled_from([1.0, 1e-3, 0.1, 1e-150, 1e150]),
       origin=st.sampled_from([0.0, 0.1, 5.5e6, -1e12]))  # fmt: skip
def test_rings_that_nearly_touch_are_never_called_certain_wrongly(
    rings: list, nudges: list, scale: float, origin: float
) -> None:
    """Small integers fall together often; a few last bits more or less decide then."""
    shapes = []
    for corners in rings:
        xy = np.array(corners, float) * scale + origin
        for at, steps in enumerate(nudges[: xy.size]):
            # Zero stays: beside it numbers are so small that GEOS's products of them vanish.
            for _ in range(abs(steps) if xy.flat[at] else 0):
                xy.flat[at] = np.nextafter(xy.flat[at], np.inf * steps)
        shapes.append(ring([*map(tuple, xy), tuple(xy[0])]))
    holds(pa.array(shapes, pa.binary()))


RULES = st.builds(
    ShapeRules,
    geometry_types=st.sampled_from([(), ("Polygon",), ("MultiPolygon",), ("Point",)]),
    orientation=st.sampled_from([None, "ccw", "cw"]),
    sliver_width_m=st.sampled_from([0.0, 1.0, 1e5]),
)


@settings(max_examples=80, deadline=None)
@given(rings=st.lists(RINGS, min_size=1, max_size=12), rules=RULES, multi=st.booleans(),
       place=st.sampled_from([("EPSG:32633", 4e5, 5.5e6), ("EPSG:32633", 0, 0),
                              ("EPSG:4326", 0, 0), ("EPSG:4326", 179, 0),
                              ("EPSG:4326", 30, 91)]))  # fmt: skip
def test_what_is_blameless_has_no_finding(
    rings: list, rules: ShapeRules, multi: bool, place: tuple[str, float, float]
) -> None:
    crs, x, y = place
    shapes = np.array([shapely.Polygon(np.add(corners, (x, y))) for corners in rings], object)
    if multi:
        shapes = np.array([shapely.MultiPolygon([shape]) for shape in shapes], object)
    metric = Metric(crs)
    clean = blameless(plain_polygons(column(list(shapes))), rules, metric)
    found = shape_defects(shapes, np.arange(len(shapes)), is_sound(shapes), rules, metric)
    assert not {row for one in found for row in one.rows} & set(np.flatnonzero(clean).tolist())
    sound = is_sound(shapes, clean)
    assert np.array_equal(sound, is_sound(shapes))
