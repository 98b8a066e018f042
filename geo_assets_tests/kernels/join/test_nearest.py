"""The nearest features equal brute force and geopandas, also for giants."""

import geopandas as gpd
import numpy as np
import pytest
import shapely
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from geo_assets.kernels import join_blocks, nearest


def brute_nearest(left, right, neighbours=1, limit=np.inf):
    """(left, right, distance): the k nearest and ties of the last."""
    found = []
    for i, shape in enumerate(left):
        far = shapely.distance(shape, right)
        known = np.sort(far[np.isfinite(far)])
        if shape is None or not len(known):
            continue
        last = min(known[min(neighbours, len(known)) - 1], limit)
        found += [(i, int(j), float(far[j])) for j in np.flatnonzero(far <= last)]
    return found


def run(bench, left, right, **fields):
    table = bench.table(bench.layer(left), bench.layer(right), predicate="nearest",
                        distance_column="far", **fields)  # fmt: skip
    return list(
        zip(*(table[name].to_pylist() for name in ("id_left", "index_right", "far")), strict=True)
    )


def mixed(rng, number, size=100.0):
    xy = rng.random((number, 2)) * size
    shapes = shapely.points(xy)
    third = number // 3
    shapes[:third] = shapely.buffer(shapes[:third], 4, quad_segs=rng.integers(1, 40))
    shapes[third : 2 * third] = shapely.linestrings(
        np.stack(
            [xy[third : 2 * third], xy[third : 2 * third] + rng.random((third, 2)) * 9], axis=1
        )
    )
    return shapes


@given(st.integers(0, 2**32), st.sampled_from([1, 2, 5, 50]), st.sampled_from([None, 4.0, 30.0]))
@settings(
    max_examples=12, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
def test_the_nearest_are_those_of_brute_force(bench, seed, neighbours, limit):
    rng = np.random.default_rng(seed)
    left, right = mixed(rng, 45), mixed(rng, 30)
    left[7] = right[3] = None
    found = run(bench, left, right, neighbours=neighbours, max_distance=limit)
    assert found == brute_nearest(left, right, neighbours, np.inf if limit is None else limit)


def test_ties_all_count(bench):
    left = shapely.points([[0, 0], [10, 0]])
    right = shapely.points([[1, 0], [-1, 0], [0, 1], [3, 0]])
    assert run(bench, left, right) == [(0, 0, 1.0), (0, 1, 1.0), (0, 2, 1.0), (1, 3, 7.0)]


@pytest.mark.parametrize("neighbours", [1, 3])
def test_giants_are_measured_by_runs_of_their_edges(bench, neighbours, monkeypatch):
    rng = np.random.default_rng(1)
    right = np.array([
        shapely.Point(30, 30).buffer(20, quad_segs=900),
        shapely.Point(70, 70).buffer(25, quad_segs=500).difference(shapely.Point(70, 70).buffer(9)),
        shapely.union(shapely.Point(10, 80).buffer(5, quad_segs=99), shapely.box(16, 86, 24, 94)),
        shapely.LineString(np.c_[np.arange(400) / 4, 3 * np.sin(np.arange(400))]),
        shapely.MultiPoint(rng.random((99, 2)) * 100 + 100),
    ], object)  # fmt: skip
    left = np.concatenate([mixed(rng, 300, 110), shapely.points([[70, 70]])])
    assert run(bench, left, right, neighbours=neighbours) == brute_nearest(left, right, neighbours)
    monkeypatch.setattr(join_blocks, "_BLOCK_VERTICES", 1000)
    monkeypatch.setattr(join_blocks, "MAX_PAIRS", 100)
    monkeypatch.setattr(nearest, "_AT_ONCE", 17)
    assert run(bench, left, right, neighbours=neighbours) == brute_nearest(left, right, neighbours)


@pytest.mark.parametrize("how", ["inner", "left"])
@pytest.mark.parametrize("limit", [None, 2.0])
def test_it_is_what_geopandas_finds(bench, how, limit):
    rng = np.random.default_rng(2)
    left = gpd.GeoDataFrame({"a": np.arange(400)}, geometry=mixed(rng, 400), crs="EPSG:32633")
    right = gpd.GeoDataFrame({"b": np.arange(90)}, geometry=mixed(rng, 90), crs="EPSG:32633")
    expected = gpd.sjoin_nearest(left, right, how=how, max_distance=limit, distance_col="far")
    expected = expected.sort_values(["a", "index_right"])
    found = bench.table(bench.frame(left), bench.frame(right), predicate="nearest", how=how,
                        max_distance=limit, distance_column="far")  # fmt: skip
    for name in ("a", "index_right", "b", "far"):
        values = found[name].to_numpy(zero_copy_only=False).astype(float)
        assert np.array_equal(values, expected[name].to_numpy(float), equal_nan=True)


def test_nothing_to_be_near_to(bench):
    left = shapely.points([[0, 0]])
    assert run(bench, left, np.array([None, shapely.Point()], object)) == []
    assert run(bench, left, np.array([None], object), how="left") == [(0, None, None)]
