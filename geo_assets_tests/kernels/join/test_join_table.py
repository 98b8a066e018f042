"""The joined table: columns, names, order, partitions, CRSs; as geopandas has it."""

import json

import geopandas as gpd
import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import shapely

from geo_assets.errors import ConfigError, InputError
from geo_assets.kernels.join_plan import CHUNK_ROWS, chunk_bytes, plan_join
from geo_assets.kernels.join_spec import JoinRule, JoinSide

UTM = "EPSG:32633"


@pytest.fixture
def frames():
    rng = np.random.default_rng(0)
    n = 4000
    points = gpd.GeoDataFrame(
        {"id": np.arange(n), "name": [f"p{i % 7}ü" for i in range(n)], "value": rng.random(n),
         "day": pd.to_datetime("2024-01-01") + pd.to_timedelta(rng.integers(0, 9, n), "D")},
        geometry=shapely.points(rng.random((n, 2)) * 110), crs=UTM)  # fmt: skip
    x, y = rng.random((2, 60)) * 100
    zones = gpd.GeoDataFrame(
        {"id": np.arange(60) * 10, "name": [f"zone {i}" for i in range(60)], "rank": np.arange(60)},
        geometry=shapely.box(x, y, x + 15, y + 12), crs=UTM)  # fmt: skip
    return points, zones


def same(path, expected):
    """Equal to what geopandas gives, up to the order of columns."""
    found = gpd.read_parquet(path)
    expected = expected.sort_index(kind="stable").reset_index(drop=True)
    order = ["id_left", "index_right"]
    expected = expected.sort_values(order, kind="stable").reset_index(drop=True)
    assert sorted(found.columns) == sorted(expected.columns)
    for name in expected.columns:
        left, right = found[name], expected[name]
        if name == "geometry":
            assert (shapely.to_wkb(left.values) == shapely.to_wkb(right.values)).all()
        else:
            pd.testing.assert_series_equal(left, right, check_dtype=False, check_names=False)


@pytest.mark.parametrize("how", ["inner", "left"])
@pytest.mark.parametrize("predicate", ["intersects", "within"])
def test_a_table_is_what_geopandas_makes(bench, frames, how, predicate):
    points, zones = frames
    path = bench.run(
        bench.frame(points, rows=900), bench.frame(zones), how=how, predicate=predicate
    )
    same(path, gpd.sjoin(points, zones, how=how, predicate=predicate))
    assert gpd.read_parquet(path).crs == UTM


@pytest.mark.parametrize("predicate", ["intersects", "contains", "overlaps", "touches"])
def test_polygons_with_polygons_are_what_geopandas_makes(bench, frames, predicate):
    points, zones = frames
    left = points.head(500).assign(geometry=points.head(500).buffer(4, quad_segs=2))
    path = bench.run(bench.frame(left), bench.frame(zones), predicate=predicate)
    same(path, gpd.sjoin(left, zones, predicate=predicate))


@pytest.mark.parametrize("how", ["inner", "left"])
@pytest.mark.parametrize("kind", ["points", "boxes", "nearest"])
def test_partitions_make_the_same_table(bench, frames, kind, how):
    points, zones = frames
    if kind == "boxes":
        points = points.assign(geometry=points.buffer(0.5, cap_style="square"))
    fields = {"how": how}
    if kind == "nearest":
        fields |= {"predicate": "nearest", "max_distance": 3.0, "distance_column": "far"}
    left = bench.frame(points, rows=700, covering=kind == "boxes")
    right = bench.frame(zones)
    whole = bench.table(left, right, cuts=[], **fields)
    assert whole.num_rows > 1000
    assert bench.table(left, right, cuts=[1, 699, 700, 2500, 2501], **fields).equals(whole)


def test_rows_follow_the_left_then_the_right_order(bench, frames):
    points, zones = frames
    table = bench.table(bench.frame(points), bench.frame(zones), how="left")
    rows = list(zip(table["id_left"].to_pylist(), table["index_right"].to_pylist(), strict=True))
    assert rows == sorted(rows, key=lambda row: (row[0], -1 if row[1] is None else row[1]))
    assert set(table["id_left"].to_pylist()) == set(range(len(points)))


def test_the_same_join_gives_the_same_bytes(bench, frames):
    points, zones = frames
    left, right = bench.frame(points), bench.frame(zones)
    assert bench.run(left, right).read_bytes() == bench.run(left, right).read_bytes()


def test_columns_are_chosen_and_the_key_takes_the_place_of_the_row_number(bench, frames):
    points, zones = frames
    left = bench.frame(points, side={"columns": ("value",)})
    right = bench.frame(zones, side={"columns": ("rank",)})
    table = bench.table(left, right, right_key="name", index_column="zone")
    assert table.column_names == ["value", "geometry", "zone", "rank"]
    assert table["zone"].to_pylist() == [f"zone {i}" for i in table["rank"].to_pylist()]


@pytest.mark.parametrize(("left", "fields", "message"), [
    ({"columns": ("nothing",)}, {}, "nothing"),
    ({}, {"index_column": "value"}, "value"),
    ({}, {"right_key": "nothing"}, "right_key"),
    ({}, {"crs": "EPSG:999999"}, "EPSG:999999"),
])  # fmt: skip
def test_wrong_declarations_are_refused(bench, frames, left, fields, message):
    points, zones = frames
    with pytest.raises(ConfigError, match=message):
        bench.run(bench.frame(points, side=left), bench.frame(zones), **fields)


@pytest.mark.parametrize("fields", [
    {"predicate": "near"}, {"how": "outer"}, {"predicate": "dwithin"}, {"distance": 1.0},
    {"max_distance": 1.0}, {"predicate": "nearest", "max_distance": 0},
    {"predicate": "nearest", "neighbours": 0}, {"predicate": "dwithin", "distance": float("nan")},
    {"how": "aggregate", "statistics": ()},
])  # fmt: skip
def test_rules_that_make_no_sense_are_refused(fields):
    with pytest.raises(ConfigError):
        JoinRule(crs=UTM, **fields)


def test_every_type_of_column_survives(bench):
    from decimal import Decimal

    n = 40
    kinds = pa.array(["x", "y"] * 20).dictionary_encode()
    columns = {
        "text": pa.array(["žluťoučký", None] * 20), "number": pa.array(range(n), pa.uint8()),
        "price": pa.array([Decimal("1.20"), None] * 20, pa.decimal128(9, 2)),
        "day": pa.array([19000, None] * 20, pa.date32()),
        "at": pa.array([1, None] * 20, pa.timestamp("us", tz="UTC")),
        "tags": pa.array([["a", "b"], None] * 20), "kind": kinds,
        "where": pa.array([{"a": 1, "b": "c"}, None] * 20), "raw": pa.array([b"\0\xff", None] * 20),
    }  # fmt: skip
    side = bench.layer(shapely.points(np.arange(n) % 4, 0.5))
    meta = pq.read_schema(side.path).metadata
    own = pq.read_table(side.path)["geometry"]
    left = JoinSide(path=bench.folder / "typed.parquet")
    pq.write_table(pa.table({**columns, "geometry": own}).replace_schema_metadata(meta), left.path)
    right = bench.layer(shapely.box([0.5, 2.5], 0, [1.5, 3.5], 1))
    table = bench.table(left, right, how="left")
    assert table.num_rows == n
    for name, values in columns.items():
        assert table[name].type == values.type
        assert table[name].to_pylist() == values.to_pylist()


# ------------------------------------------------------------------------------------ CRSs


def test_different_crss_are_reprojected_to_the_declared_one(bench, frames):
    points, zones = frames
    points = points.set_geometry(points.translate(400_000, 5_500_000)).set_crs(UTM)
    zones = zones.set_geometry(zones.translate(400_000, 5_500_000)).set_crs(UTM)
    degrees = zones.to_crs("EPSG:4326")
    back = degrees.to_crs(UTM)
    path = bench.run(bench.frame(points), bench.frame(degrees), crs=UTM)
    same(path, gpd.sjoin(points, back))
    assert bench.facts[0]["right_operation"]["operation"] != "none"
    path = bench.run(bench.frame(points.to_crs("EPSG:4326")), bench.frame(back), crs=UTM)
    found = gpd.read_parquet(path)
    assert found.crs == UTM
    moved = points.to_crs("EPSG:4326").to_crs(UTM)
    same(path, gpd.sjoin(moved, back))


def test_crs84_and_epsg_4326_are_the_same_place(bench):
    left = bench.layer(shapely.points([[10, 50]]), crs="OGC:CRS84")
    right = bench.layer([shapely.box(9, 49, 11, 51)], crs="EPSG:4326")
    assert bench.pairs(left, right, crs="EPSG:4326") == [(0, 0)]


def test_a_wrong_or_unknown_crs_is_refused(bench):
    points, zones = shapely.points([[1, 1]]), [shapely.box(0, 0, 2, 2)]
    right = bench.layer(zones)
    with pytest.raises(InputError, match="declared CRS"):
        bench.run(bench.layer(points, crs="EPSG:4326", side={"crs": UTM}), right)
    unknown = bench.layer(points, crs=None)
    with pytest.raises(InputError, match="has a CRS"):
        bench.run(unknown, right)
    declared = JoinSide(path=unknown.path, crs=UTM)
    assert gpd.read_parquet(bench.run(declared, right)).crs == UTM


def test_solid_geometry_keeps_its_heights_when_it_is_reprojected(bench):
    left = bench.layer(np.append(shapely.points([[15, 50, 7]]), shapely.points([[15, 50]])),
                       crs="EPSG:4326")  # fmt: skip
    right = bench.layer([shapely.box(4e5, 5e6, 6e5, 6e6)])
    out = gpd.read_parquet(bench.run(left, right)).geometry
    assert out.has_z.tolist() == [True, False]
    assert out[0].z == 7


@pytest.mark.parametrize(
    "fields", [{"predicate": "nearest"}, {"predicate": "dwithin", "distance": 1}]
)
def test_distances_in_degrees_are_refused(bench, fields):
    layer = bench.layer(shapely.points([[1, 1]]), crs="EPSG:4326")
    with pytest.raises(ConfigError, match="projected"):
        bench.run(layer, layer, crs="EPSG:4326", **fields)


def test_a_file_that_is_not_geoparquet_is_refused(bench):
    pq.write_table(pa.table({"a": [1]}), bench.folder / "plain.parquet")
    side = JoinSide(path=bench.folder / "plain.parquet")
    with pytest.raises(InputError, match="GeoParquet"):
        bench.run(side, side)


def test_broken_wkb_is_named(bench):
    side = bench.layer(shapely.points([[1, 1], [2, 2]]))
    table = pq.read_table(side.path)
    broken = table.set_column(table.column_names.index("geometry"), "geometry",
                              pa.array([b"\1\2\3", b"\0"]))  # fmt: skip
    pq.write_table(broken.replace_schema_metadata(table.schema.metadata), side.path)
    with pytest.raises(InputError, match="WKB"):
        bench.run(side, bench.layer([shapely.box(0, 0, 1, 1)]))


# ------------------------------------------------------------------------------------ plan


def test_the_plan_covers_every_row_once_and_follows_row_groups(bench, frames):
    points, zones = frames
    left, right = bench.frame(points, rows=100), bench.frame(zones)
    rule = JoinRule(crs=UTM)
    (spec,) = plan_join(left, right, rule, bench.folder)
    assert (spec.start, spec.stop, spec.number) == (0, 4000, 0)
    assert CHUNK_ROWS > 4000
    assert chunk_bytes(spec) > 0


@pytest.mark.parametrize(("target", "rows"), [(250, 100), (1000, 4000), (150, 400)])
def test_chunks_are_about_equal(bench, frames, monkeypatch, target, rows):
    monkeypatch.setattr("geo_assets.kernels.join_plan.CHUNK_ROWS", target)
    points, zones = frames
    left, right = bench.frame(points, rows=rows), bench.frame(zones)
    specs = plan_join(left, right, JoinRule(crs=UTM), bench.folder)
    assert [s.start for s in specs] == [0, *[s.stop for s in specs[:-1]]]
    assert specs[-1].stop == 4000
    assert all(s.stop - s.start <= max(2 * target, rows) for s in specs)
    assert [s.number for s in specs] == list(range(len(specs)))


def test_the_metadata_states_the_box_and_keeps_the_covering(bench, frames):
    points, zones = frames
    boxes = points.assign(geometry=points.buffer(1))
    path = bench.run(bench.frame(boxes, covering=True), bench.frame(zones))
    geo = json.loads(pq.read_metadata(path).metadata[b"geo"])["columns"]["geometry"]
    assert geo["covering"]["bbox"]["xmin"] == ["bbox", "xmin"]
    found = gpd.read_parquet(path)
    assert "bbox" not in found.columns or found.shape[0]
    total = found.total_bounds
    assert (geo["bbox"][0] <= total[0]) & (geo["bbox"][3] >= total[3])
    part = gpd.read_parquet(path, bbox=tuple(total[:2]) + tuple(total[:2] + 30))
    assert 0 < len(part) < len(found)


def test_a_large_geometry_that_matches_often_is_written_in_bounded_tables(bench, monkeypatch):
    monkeypatch.setattr("geo_assets.kernels.join_output._TABLE_BYTES", 20_000)
    left = shapely.buffer(shapely.points([[0, 0], [500, 0]]), 400, quad_segs=200)
    rng = np.random.default_rng(0)
    right = shapely.points(rng.random((300, 2)) * 900 - 400)
    table = bench.table(bench.layer(left), bench.layer(right), predicate="contains", how="left")
    pairs = list(zip(table["id_left"].to_pylist(), table["index_right"].to_pylist(), strict=True))
    assert pairs == [(i, j) for i in range(2) for j in range(300) if left[i].contains(right[j])]
    assert table["geometry"][-1].as_py() == shapely.to_wkb(left[1])
