"""Joins equal brute force, for every predicate, on ordinary and on hostile geometry."""

import numpy as np
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
