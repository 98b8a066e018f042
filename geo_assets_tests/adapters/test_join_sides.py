"""A join of remote layers reads the parts that it needs, and they are verified."""

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import shapely
from pyproj import CRS

from geo_assets.assets.join_sides import fetch_sides
from geo_assets.errors import ConfigError, InputError
from geo_assets.kernels.geoparquet import LayerWriter, bbox_array, geo_schema
from geo_assets.kernels.join import join_index_kernel, join_kernel, join_merge_kernel
from geo_assets.kernels.join_plan import plan_join
from geo_assets.kernels.join_spec import JoinIndexSpec, JoinMergeSpec, JoinRule, Statistic
from geo_assets.kernels.parquet_footer import footer_facts
from geo_assets.model import PARQUET, KernelResult, OutputFile
from geo_assets.store import partial
from geo_assets.store.artifact import ArtifactStore
from geo_assets.store.objects import open_store
from geo_assets.store.observed import ObservedObjects, sinks
from geo_assets.store.partial import requests

UTM = "EPSG:32633"


def layer(path, shapes, rows, **columns):
    """A layer as `core/<layer>` has it, in row groups of so many rows."""
    shapes = np.asarray(shapes, object)
    columns = {"id": pa.array(np.arange(len(shapes))), **columns}
    fields = [pa.field(name, column.type) for name, column in columns.items()]
    bounds = tuple(shapely.total_bounds(shapes))
    schema = geo_schema(fields, CRS(UTM), geometry_types=(), bounds=bounds, covering="bbox")
    writer = LayerWriter(path, schema)
    table = pa.table({**columns, "geometry": pa.array(shapely.to_wkb(shapes), pa.binary()),
                      "bbox": bbox_array(shapely.bounds(shapes))})  # fmt: skip
    for start in range(0, len(table), rows):
        writer.write(table.select(schema.names).slice(start, rows))
    writer.close()
    return path


@pytest.fixture(autouse=True)
def small_gaps(monkeypatch):
    """Row groups are small here, and so are the columns between those that are read."""
    monkeypatch.setattr(partial, "_GAP", 16 << 10)


@pytest.fixture
def layers(tmp_path):
    """100,000 points with wide attributes, from west to east, and zones in a part of it."""
    rng = np.random.default_rng(0)
    x = np.sort(rng.random(100_000)) * 1000
    text = pa.array([f"{n:064x}" for n in rng.integers(0, 2**62, len(x))])
    points = layer(tmp_path / "points.parquet", shapely.points(x, rng.random(len(x)) * 100), 5000,
                   text=text, value=pa.array(rng.random(len(x))))  # fmt: skip
    at = np.arange(300.0, 400, 10)
    cells = shapely.box(at, 20, at + 10, 60)
    far = shapely.box(5000 + at, 20, 5010 + at, 60)
    zones = layer(tmp_path / "zones.parquet", np.concatenate([cells, far]), 10,
                  name=pa.array([f"zone {i}" for i in range(20)]))  # fmt: skip
    return points, zones


def opened(address, **fields):
    return ArtifactStore(ObservedObjects(open_store(address, **fields)))


async def publish(store, name, path, **facts):
    file = OutputFile.of(path, path.name, PARQUET, facts=facts or footer_facts(path))
    attempt = await store.begin(("core", name), None, "1" * 32)
    receipt = await attempt.stage_chunk("1", KernelResult(files=(file,)))
    return await attempt.commit(receipt.objects, properties={}, inputs={}, run_id="run")


async def joined(store, artifacts, rule, folder, columns=(None, None)):
    """The table of a join, as the asset makes it, and the bytes that the store gave."""
    read = []
    sinks.append(lambda got, _put: read.append(got))
    try:
        left, right = await fetch_sides(store, artifacts, columns, rule, folder)
    finally:
        sinks.pop()
    place = folder / "index"
    place.mkdir(parents=True)
    join_index_kernel(JoinIndexSpec(left=left[0], right=right, rule=rule), place)
    parts = []
    for spec in plan_join(left[0], right, rule, place):
        parts += [file.path for file in join_kernel(spec, folder).files]
    if rule.how != "aggregate":
        return pa.concat_tables([pq.read_table(part) for part in parts]), sum(read)
    merge = JoinMergeSpec(right=right, rule=rule, index=place, parts=tuple(parts), name="j.parquet")
    return pq.read_table(join_merge_kernel(merge, folder).files[0].path), sum(read)


RULES = {
    "inner": JoinRule(crs=UTM),
    "left": JoinRule(crs=UTM, how="left"),
    "near": JoinRule(crs=UTM, predicate="nearest", max_distance=25.0, distance_column="far"),
    "any": JoinRule(crs=UTM, predicate="nearest"),
    "dwithin": JoinRule(crs=UTM, predicate="dwithin", distance=7.5),
    "aggregate": JoinRule(crs=UTM, how="aggregate", zone_geometry=True,
                          statistics=(Statistic(name="count"),
                                      Statistic(name="sum", column="value"))),
}  # fmt: skip
SHARES = {"inner": 0.2, "near": 0.25, "dwithin": 0.25, "aggregate": 0.15}
"""Of a join's bytes, what it reads at most; the others need every row."""


@pytest.mark.parametrize("name", RULES)
async def test_a_remote_join_reads_a_part_and_gives_the_same(layers, tmp_path, s3_server, name):
    rule = RULES[name]
    remote = opened(f"s3://{s3_server.bucket()}/r", s3=s3_server.access())
    local = opened(str(tmp_path / "local"))
    tables = []
    for store in (remote, local):
        artifacts = [await publish(store, path.stem, path) for path in layers]
        table, read = await joined(store, artifacts, rule, tmp_path / str(len(tables)))
        tables.append(table)
        size = sum(path.stat().st_size for path in layers)
        if store is remote:
            assert 0 < read < SHARES.get(name, 1.1) * size
    assert tables[0].equals(tables[1])
    assert tables[0].num_rows > 10
    whole = [await publish(remote, f"whole_{path.stem}", path, rows=1) for path in layers]
    table, read = await joined(remote, whole, rule, tmp_path / "whole")
    assert table.equals(tables[0]) and read >= size


async def test_columns_that_are_not_kept_are_not_read(layers, tmp_path, s3_server):
    store = opened(f"s3://{s3_server.bucket()}", s3=s3_server.access())
    artifacts = [await publish(store, path.stem, path) for path in layers]
    reads = []
    for number, columns in enumerate([(None, None), (("id",), ())]):
        table, read = await joined(store, artifacts, RULES["left"], tmp_path / str(number), columns)
        assert table.num_rows == 100_000
        reads.append(read)
    assert reads[1] < 0.75 * reads[0]


async def test_damage_in_a_part_is_found(layers, tmp_path):
    """A flipped bit in a page, or in the footer, is no result."""
    store = opened(f"memory://{tmp_path.name}")
    points, zones = layers
    facts = footer_facts(points)
    chunk = pq.read_metadata(points).row_group(7).column(2)
    right = await publish(store, "zones", zones)
    for place, name in ((chunk.data_page_offset + 400, "page"), (-200, "footer")):
        body = bytearray(points.read_bytes())
        body[place] ^= 1
        damaged = tmp_path / f"{name}.parquet"
        damaged.write_bytes(body)
        left = await publish(store, name, damaged, **facts)
        with pytest.raises(InputError) as caught:
            await joined(store, (left, right), RULES["inner"], tmp_path / name)
        assert ("SHA-256" if name == "footer" else "arrive") in caught.value.rule


async def test_a_shorter_object_and_one_that_is_gone_are_named(layers, tmp_path):
    store = opened(f"memory://{tmp_path.name}")
    artifact = await publish(store, "points", layers[0])
    file = await store.partial_file(artifact, "points.parquet", tmp_path)
    size = layers[0].stat().st_size
    assert file is not None and file.stat().st_size == size
    with pytest.raises(InputError, match="size"):
        await store.fetch_parts(artifact, "points.parquet", file, [(size - 10, size + 10)])
    await store.objects.delete([f"{artifact.data_prefix}/points.parquet"])
    with pytest.raises(InputError, match="kept while it is read"):
        await store.fetch_parts(artifact, "points.parquet", file, [(0, 10)])
    with pytest.raises(InputError, match="kept while it is read"):
        await store.partial_file(artifact, "points.parquet", tmp_path / "again")


async def test_a_right_layer_of_several_files_is_refused(layers, tmp_path):
    store = opened(str(tmp_path / "local"))
    left = await publish(store, "points", layers[0])
    attempt = await store.begin(("core", "many"), None, "1" * 32)
    files = [OutputFile.of(layers[1], f"z{i}.parquet", PARQUET) for i in range(2)]
    receipt = await attempt.stage_chunk("1", KernelResult(files=tuple(files)))
    right = await attempt.commit(receipt.objects, properties={}, inputs={}, run_id="run")
    with pytest.raises(ConfigError, match="one file"):
        await fetch_sides(store, (left, right), (None, None), RULES["inner"], tmp_path)


def test_requests_join_what_is_close_and_cut_what_is_long():
    mib = 1 << 20
    spans = [(30 * mib, 30 * mib + 5), (100, 200), (0, 50), (3 * mib, 20 * mib)]
    asked = list(requests(spans))
    assert asked == [(0, 200), (3 * mib, 11 * mib), (11 * mib, 19 * mib), (19 * mib, 20 * mib),
                     (30 * mib, 30 * mib + 5)]  # fmt: skip
    assert list(requests([])) == []
