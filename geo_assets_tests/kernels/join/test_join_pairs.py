"""Joins equal brute force, for every predicate, on ordinary and on hostile geometry."""

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import shapely
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from geo_assets.kernels import join_blocks
from geo_assets.kernels.join_spec import PREDICATES, JoinSide

TOPOLOGICAL = PREDICATES[:8]
ODD = [None, "POINT EMPTY", "POLYGON EMPTY", "GEOMETRYCOLLECTION EMPTY", "MULTIPOLYGON EMPTY"]
PLAIN = [
    "POINT (1 1)", "POINT (0.5 0.5)", "POINT (2 1)", "POINT (7 7)", "MULTIPOINT ((0 0), (9 9))",
    "LINESTRING (0 0, 2 2)", "LINESTRING (2 0, 2 2)", "LINESTRING (0.2 0.5, 0.8 0.5)",
    "LINESTRING (-1 1, 5 1)", "MULTILINESTRING ((0 0, 1 0), (4 4, 5 5))",
    "POLYGON ((0 0, 2 0, 2 2, 0 2, 0 0))", "POLYGON ((2 0, 4 0, 4 2, 2 2, 2 0))",
    "POLYGON ((1 1, 3 1, 3 3, 1 3, 1 1))",
    "POLYGON ((0 0, 6 0, 6 6, 0 6, 0 0), (1 1, 3 1, 3 3, 1 3, 1 1))",
    "MULTIPOLYGON (((0 0, 1 0, 1 1, 0 1, 0 0)), ((5 5, 6 5, 6 6, 5 6, 5 5)))",
    "POLYGON ((0 0, 1e-9 0, 1 1, 0 0))", "POLYGON ((0 0, 2 0, 2 2, 0 2, 0 0))",
    "GEOMETRYCOLLECTION (POINT (1 1), LINESTRING (0 0, 2 0))",
]  # fmt: skip
POLYGONAL = [text for text in PLAIN if "POLYGON" in text]


def shapes_of(texts):
    return np.array([None if text is None else shapely.from_wkt(text) for text in texts], object)


@pytest.mark.parametrize("predicate", TOPOLOGICAL)
@pytest.mark.parametrize("others", [PLAIN, POLYGONAL], ids=["any", "polygons"])
def test_every_predicate_on_every_kind_of_geometry(bench, brute, predicate, others):
    left, right = shapes_of(ODD + PLAIN * 4), shapes_of(others + ODD)
    found = bench.pairs(bench.layer(left), bench.layer(right), predicate=predicate)
    assert found == brute(left, right, predicate)
    assert (bench.facts[0]["grid_cells"] > 0) == (others is POLYGONAL)


@pytest.mark.parametrize("predicate", TOPOLOGICAL)
def test_points_in_polygons_on_borders_and_in_overlaps(bench, brute, predicate):
    right = shapes_of(POLYGONAL + ODD)
    at = np.arange(-0.5, 6.6, 0.5)
    x, y = (c.ravel() for c in np.meshgrid(at, at))
    left = np.concatenate([shapely.points(x, y), shapes_of([None, "POINT EMPTY"])])
    found = bench.pairs(bench.layer(left), bench.layer(right), predicate=predicate)
    assert found == brute(left, right, predicate)
    assert bench.facts[0]["grid_cells"] > 0


@pytest.mark.parametrize("distance", [0.0, 0.5, 1.0, 3.7])
def test_within_a_distance(bench, brute, distance):
    left, right = shapes_of(ODD + PLAIN), shapes_of(PLAIN + ODD)
    found = bench.pairs(bench.layer(left), bench.layer(right), predicate="dwithin",
                        distance=distance)  # fmt: skip
    assert found == brute(left, right, "dwithin", distance)


@st.composite
def layers(draw):
    """Two layers of random geometry on whole and on arbitrary coordinates."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    whole = draw(st.booleans())

    def some(number, kinds):
        made = []
        for kind in rng.choice(kinds, number):
            a = rng.integers(0, 9, 2) if whole else rng.random(2) * 9
            b = rng.integers(1, 4, 2) if whole else rng.random(2) * 3
            made.append({
                "point": shapely.Point(a), "box": shapely.box(*a, *(a + b)),
                "ring": shapely.box(*a, *(a + 3)).difference(shapely.box(*(a + 1), *(a + 2))),
                "disc": shapely.Point(a).buffer(b[0]), "line": shapely.LineString([a, a + b]),
                "null": None, "empty": shapely.Polygon(),
                "bow": shapely.Polygon([a, a + b, a + b * [1, 0], a + b * [0, 1]]),
            }[kind])  # fmt: skip
        return np.array([*made, None], object)[:-1]

    left = draw(st.sampled_from([["point"], ["point", "null"], ["box", "line", "point", "null"]]))
    right = draw(
        st.sampled_from(
            [
                ["box", "ring"],
                ["disc", "empty", "null"],
                ["box", "disc", "bow"],
                ["point", "line", "disc"],
            ]
        )
    )
    return some(60, left), some(draw(st.integers(0, 12)), right)


@given(layers(), st.sampled_from(["intersects", "within", "covered_by", "touches", "overlaps"]))
@settings(
    max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
def test_random_layers(bench, brute, case, predicate):
    left, right = case
    found = bench.pairs(bench.layer(left), bench.layer(right), predicate=predicate)
    assert found == brute(left, right, predicate)


def test_a_giant_polygon_is_joined_by_its_edges(bench, brute):
    angle = np.linspace(0, 2 * np.pi, 40_000, endpoint=False)
    radius = 100 + 8 * np.sin(angle * 60)
    giant = shapely.polygons(np.c_[radius * np.cos(angle), radius * np.sin(angle)])
    rng = np.random.default_rng(0)
    xy = np.concatenate([rng.random((5000, 2)) * 220 - 110, shapely.get_coordinates(giant)[:200]])
    left = shapely.points(xy)
    right = np.array([giant, shapely.box(-5, -5, 5, 5)])
    assert bench.pairs(bench.layer(left), bench.layer(right)) == brute(left, right, "intersects")
    assert bench.facts[1]["left_decided_by_label"] > 4500


@pytest.mark.parametrize("covering", [False, True])
def test_small_polygons_in_zones(bench, brute, covering):
    """Boxes inside one zone are decided by label; those at its edges, and multiples, by GEOS."""
    rng = np.random.default_rng(1)
    x, y = rng.random((2, 3000)) * 100
    left = shapely.box(x, y, x + 0.4, y + 0.3)
    left[::500] = None
    grid = np.arange(0, 100, 10.0)
    zx, zy = (c.ravel() for c in np.meshgrid(grid, grid))
    right = shapely.box(zx, zy, zx + 10, zy + 10)
    right = np.append(right, shapely.Polygon([(0, 0), (30, 30), (30, 0), (0, 30)]))  # invalid
    for predicate in ("intersects", "within", "touches", "overlaps"):
        found = bench.pairs(bench.layer(left, covering=covering), bench.layer(right),
                            predicate=predicate)  # fmt: skip
        assert found == brute(left, right, predicate)
    assert bench.facts[0]["right_invalid"] == 1
    assert bench.facts[1]["left_decided_by_label"] > 2000


def small_shapes(rng, polygons):
    """Small geometry on vertices, edges and corners of polygons, and around whole rings of them."""
    xy = shapely.get_coordinates(polygons)
    at = xy[rng.integers(0, len(xy), 120)]
    side = rng.choice([1e-9, 0.25, 0.5, 1.0], (120, 1))
    middle = (xy[:-1] + xy[1:])[rng.integers(0, len(xy) - 1, 60)] / 2
    tilted = np.array([[0, -1], [1, 0], [0, 1], [-1, 0]]) * 0.4
    lines = np.stack([at[:60] - 0.3, at[60:]], axis=1)
    made = [
        shapely.box(*at.T, *(at + side).T),  # a corner on a vertex
        shapely.box(*(at - side).T, *at.T),
        shapely.polygons(middle[:, None] + tilted),  # across an edge
        shapely.polygons(at[:60, None] + 0.3 + tilted),
        shapely.linestrings(lines),
        shapely.union(shapely.box(*at[:30].T, *(at[:30] + 0.2).T),
                      shapely.box(*(at[:30] + 3).T, *(at[:30] + 3.2).T)),  # two parts
        shapely.buffer(shapely.Point(0, 0), 0.2).boundary.interpolate(np.arange(20) / 20),
        shapely.polygons(at[:20, None] + [(0, 0), (1, 1), (1, 0), (0, 1)]),  # bow-ties
        shapely.polygons(at[:20, None] + [(0, 0), (0, 0), (0.4, 0), (0.4, 0.4)]),  # repeated points
        shapely.box(*(at[:30] - 0.6).T, *(at[:30] + 0.6).T),
    ]  # fmt: skip
    rings = shapely.box(*(at[:20] - 1).T, *(at[:20] + 1).T)
    holes = shapely.difference(rings, shapely.box(*(at[:20] - 0.5).T, *(at[:20] + 0.5).T))
    return np.concatenate([*made, holes])


@st.composite
def zones(draw):
    """Coverages, overlaps, holes, islands and polygons so small that a left one holds them."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    cells = np.arange(0, 6.0)
    x, y = (c.ravel() for c in np.meshgrid(cells, cells))
    squares = shapely.box(x, y, x + 1, y + 1)
    kind = draw(st.sampled_from(["coverage", "overlaps", "holes", "tiny", "parts", "turned"]))
    if kind == "overlaps":
        return np.concatenate([squares, shapely.box(x[:9], y[:9], x[:9] + 2.5, y[:9] + 2.5)]), rng
    if kind == "holes":
        whole = shapely.box(0, 0, 6, 6)
        return np.array([whole.difference(shapely.union_all(squares[::3])), *squares[::6]]), rng
    if kind == "tiny":
        return shapely.box(x, y, x + 1e-3, y + 1e-3), rng
    if kind == "parts":
        tiny = shapely.box(x + 0.4, y + 0.4, x + 0.41, y + 0.41)
        return shapely.union(shapely.box(x + 8, y, x + 8.9, y + 0.9), tiny), rng
    if kind == "turned":
        angle = rng.random() * np.pi
        turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
        return shapely.transform(squares, lambda xy: xy @ turn), rng
    return squares, rng


@given(zones(), st.sampled_from(["intersects", "within", "covers"]), st.booleans())
@settings(
    max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
def test_small_shapes_at_the_edges_of_zones(bench, brute, case, predicate, covering):
    polygons, rng = case
    left = small_shapes(rng, polygons)
    if predicate != "intersects":  # of invalid geometry GEOS says one thing prepared, one not
        left = left[shapely.is_valid(left)]
    plain = left[shapely.get_type_id(left) == 3] if covering else left
    found = bench.pairs(bench.layer(plain, covering=covering), bench.layer(polygons),
                        predicate=predicate)  # fmt: skip
    assert found == brute(plain, polygons, predicate)
    assert bench.facts[0]["grid_cells"] > 0


@pytest.mark.parametrize("form", ["z", "big", "ewkb", "large", "null", "parts"])
def test_small_polygons_in_any_wkb(bench, brute, form):
    """The bytes are read in place only where they are what they seem."""
    rng = np.random.default_rng(5)
    x, y = rng.random((2, 400)) * 10
    left = shapely.box(x, y, x + 0.4, y + 0.3)
    if form == "parts":
        left[::2] = shapely.multipolygons(left[::2, None])
    layer = bench.layer(left, covering=True)
    table = pq.read_table(layer.path)
    solid = shapely.force_3d(left, 7.0) if form == "z" else left
    wkb = shapely.to_wkb(shapely.set_srid(solid, 32633), byte_order=0 if form == "big" else 1,
                         include_srid=form == "ewkb", flavor="extended")  # fmt: skip
    if form == "null":
        wkb[::3] = None
        left[::3] = None
    kind = pa.large_binary() if form == "large" else pa.binary()
    at = table.schema.get_field_index("geometry")
    pq.write_table(table.set_column(at, "geometry", pa.array(wkb, kind)), layer.path)
    cells = np.arange(0, 10.0)
    zx, zy = (c.ravel() for c in np.meshgrid(cells, cells))
    right = shapely.box(zx, zy, zx + 1, zy + 1)
    assert bench.pairs(layer, bench.layer(right)) == brute(left, right, "intersects")


def test_bounded_portions_give_the_same_pairs(bench, brute, monkeypatch):
    for name, value in {"MAX_PAIRS": 40, "_BLOCK_VERTICES": 60, "_PREPARED_VERTICES": 20}.items():
        monkeypatch.setattr(join_blocks, name, value)
    rng = np.random.default_rng(2)
    left = shapely.buffer(shapely.points(rng.random((200, 2)) * 10), 0.5)
    right = np.concatenate([shapely.buffer(shapely.points(rng.random((40, 2)) * 10), 1.0),
                            shapely.linestrings(rng.random((10, 2, 2)) * 10)])  # fmt: skip
    found = bench.pairs(bench.layer(left), bench.layer(right))
    assert found == brute(left, right, "intersects")
    near = bench.pairs(bench.layer(left), bench.layer(right), predicate="dwithin", distance=0.7)
    assert near == brute(left, right, "dwithin", 0.7)


@pytest.mark.parametrize("kind", ["little", "big", "z", "ewkb", "mixed", "large_binary"])
def test_points_in_any_wkb(bench, brute, kind):
    rng = np.random.default_rng(3)
    left = shapely.points(rng.random((100, 2)) * 4)
    right = shapely.box([0, 1], [0, 1], [2, 3], [2, 3])
    side, other = bench.layer(left), bench.layer(right)
    table = pq.read_table(side.path)
    solid = shapely.force_3d(left, 5.0)
    wkb = {
        "little": shapely.to_wkb(left), "big": shapely.to_wkb(left, byte_order=0),
        "z": shapely.to_wkb(solid, flavor="iso"), "ewkb": shapely.to_wkb(solid, flavor="extended"),
        "mixed": np.where(np.arange(100) % 2, shapely.to_wkb(left), shapely.to_wkb(solid)),
        "large_binary": shapely.to_wkb(left),
    }[kind]  # fmt: skip
    import pyarrow as pa

    array = pa.array(wkb, pa.large_binary() if kind == "large_binary" else pa.binary())
    at = table.column_names.index("geometry")
    pq.write_table(table.set_column(at, pa.field("geometry", array.type), array)
                   .replace_schema_metadata(table.schema.metadata), side.path)  # fmt: skip
    assert bench.pairs(JoinSide(path=side.path), other) == brute(left, right, "intersects")


def test_what_is_not_finite_never_matches_and_is_counted(bench):
    left = shapely.points([[1, 1], [np.nan, 1], [np.inf, 1], [1, 2]])
    with np.errstate(invalid="ignore"):
        torn = shapely.polygons([[0, 0], [4, 0], [np.nan, 4], [0, 4]])
    right = np.array([torn, shapely.box(0, 0, 5, 5)])
    assert bench.pairs(bench.layer(left), bench.layer(right)) == [(0, 1), (3, 1)]
    assert bench.facts[0]["right_not_comparable"] == 1
    assert bench.facts[1]["left_not_comparable"] == 2
    assert bench.pairs(bench.layer(left), bench.layer(right), how="left") == [
        (0, 1), (1, None), (2, None), (3, 1)]  # fmt: skip


@pytest.mark.parametrize("how", ["inner", "left"])
@pytest.mark.parametrize(("left", "right"), [([], PLAIN), (PLAIN, []), ([], []), (PLAIN, ODD),
                                             (ODD, POLYGONAL)])  # fmt: skip
def test_nothing_to_join(bench, left, right, how):
    left, right = shapes_of(left), shapes_of(right)
    found = bench.pairs(bench.layer(left), bench.layer(right), how=how)
    assert found == ([(i, None) for i in range(len(left))] if how == "left" else [])
