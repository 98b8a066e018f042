"""What the I/O manager takes, what it hands out, and what it refuses."""

# Dagster reads the annotations of assets as objects, so this module does without
# `from __future__ import annotations`.

import asyncio
import json
import threading

import dagster as dg
import geopandas as gpd
import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from shapely import Point

from geo_assets.io_manager import wait
from geo_assets.model import Artifact
from geo_assets.values import Raster
from geo_assets_tests.adapters.conftest import failure, materializations, stale_status

PARTS = dg.StaticPartitionsDefinition(["a", "b", "c"])
VERSION = "dagster/data_version"


def frame(shift: float = 0.0) -> gpd.GeoDataFrame:
    points = [Point(500_000.0 + shift + x, 5_500_000.0) for x in range(4)]
    return gpd.GeoDataFrame({"n": range(4), "t": list("abcd")}, geometry=points, crs="EPSG:32633")


def raster(fill: float = 0.0, dtype: str = "float32") -> Raster:
    data = (np.arange(2 * 40 * 30).reshape(2, 40, 30) + fill).astype(dtype)
    return Raster(data=data, transform=(10.0, 0.0, 5e5, 0.0, -10.0, 5.5e6), crs="EPSG:32633")


@dg.asset(key=["core", "frame"])
def frames():
    return frame()


@dg.asset(key=["core", "table"])
def tables():
    return pa.table({"n": [1, 2, 3], "t": ["x", None, "z"]})


@dg.asset(key=["core", "raster"])
def rasters():
    made = raster()
    made.data[0, 0, 0] = np.nan
    return made


@dg.asset(key=["core", "parts"], partitions_def=PARTS)
def parts(context: dg.AssetExecutionContext):
    made = {key: frame(ord(key)) for key in context.partition_keys}
    return made if len(made) > 1 else made[context.partition_key]


def reader(annotation, upstream, *, partitions=None, mapping=None):
    """An asset that reads `upstream` as `annotation` and keeps what it got."""
    got = []
    given = (
        {"key": upstream} if mapping is None else {"key": upstream, "partition_mapping": mapping}
    )

    @dg.asset(key=["out", "reader"], ins={"value": dg.AssetIn(**given)}, partitions_def=partitions)
    def read(value: annotation) -> None:
        got.append(value)

    return read, got


def assert_same_frame(one: gpd.GeoDataFrame, other: gpd.GeoDataFrame) -> None:
    assert one.crs == other.crs
    assert list(one.columns) == list(other.columns)
    assert one.geometry.geom_equals(other.geometry).all()
    pd.testing.assert_frame_equal(
        pd.DataFrame(one.drop(columns="geometry")), pd.DataFrame(other.drop(columns="geometry")),
        check_dtype=False,
    )  # fmt: skip


def test_a_frame_comes_back_as_it_was_returned(bench):
    read, got = reader(gpd.GeoDataFrame, ["core", "frame"])
    assert bench.run(frames, read).success
    assert_same_frame(got[0], frame())


def test_a_table_comes_back_as_it_was_returned(bench):
    read, got = reader(pa.Table, ["core", "table"])
    assert bench.run(tables, read).success
    assert got[0].equals(pa.table({"n": [1, 2, 3], "t": ["x", None, "z"]}))


def test_a_raster_comes_back_as_it_was_returned(bench):
    read, got = reader(Raster, ["core", "raster"])
    result = bench.run(rasters, read)
    assert result.success
    expected = raster()
    expected.data[0, 0, 0] = np.nan
    np.testing.assert_array_equal(got[0].data, expected.data)
    assert got[0].transform == expected.transform
    assert "UTM zone 33N" in got[0].crs


@pytest.mark.parametrize("annotation", [Artifact, dg.Nothing], ids=["Artifact", "nothing at all"])
def test_without_a_type_in_memory_only_a_handle_is_handed_out(bench, annotation):
    if annotation is Artifact:
        read, got = reader(Artifact, ["core", "frame"])
    else:
        got = []

        @dg.asset(key=["out", "reader"], ins={"value": dg.AssetIn(key=["core", "frame"])})
        def read(value) -> None:
            got.append(value)

    assert bench.run(frames, read).success
    (handle,) = got
    assert isinstance(handle, Artifact)
    assert handle.asset == ("core", "frame")
    assert [item.name for item in handle.objects] == ["data.parquet"]
    assert handle.properties["rows"] == 4


def test_a_run_of_several_partitions_stores_and_loads_each(bench):
    read, got = reader(dict[str, gpd.GeoDataFrame], ["core", "parts"], partitions=PARTS)
    result = bench.run(parts, read, span=("a", "c"))
    assert result.success
    (loaded,) = got
    assert sorted(loaded) == ["a", "b", "c"]
    for key, value in loaded.items():
        assert_same_frame(value, frame(ord(key)))
    made = materializations(result, "core", "parts")
    assert sorted(made) == ["a", "b", "c"]
    versions = {event.metadata["geo_assets/version"].value for event in made.values()}
    assert len(versions) == 3, "each partition has the metadata of its own version"
    assert {event.metadata["dagster/row_count"].value for event in made.values()} == {4}


def test_one_partition_is_not_wrapped_in_a_mapping(bench):
    read, got = reader(gpd.GeoDataFrame, ["core", "parts"], partitions=PARTS)
    assert bench.run(parts, read, partition_key="b").success
    assert_same_frame(got[0], frame(ord("b")))


def test_a_mapping_is_what_its_annotation_says_for_one_partition_too(bench):
    read, got = reader(dict[str, Artifact], ["core", "parts"], partitions=PARTS)
    assert bench.run(parts, read, partition_key="b").success
    assert {key: value.label for key, value in got[0].items()} == {"b": "core/parts[b]"}


def test_an_unpartitioned_asset_reads_all_partitions_of_its_input(bench):
    assert bench.run(parts, span=("a", "c")).success
    read, got = reader(dict[str, gpd.GeoDataFrame], ["core", "parts"])
    assert bench.run(parts, read, select="out/reader").success
    assert sorted(got[0]) == ["a", "b", "c"]


def test_without_an_annotation_several_partitions_are_handles_by_key(bench):
    assert bench.run(parts, span=("a", "b")).success
    got = []

    @dg.asset(
        ins={"value": dg.AssetIn(key=["core", "parts"])},
        key=["out", "reader"],
        partitions_def=PARTS,
    )
    def read(value) -> None:
        got.append(value)

    assert bench.run(parts, read, select="out/reader", span=("a", "b")).success
    assert {key: type(value) for key, value in got[0].items()} == {"a": Artifact, "b": Artifact}


def test_the_same_value_again_is_no_new_version(bench):
    first = bench.run(frames)
    second = bench.run(frames)
    (one,) = materializations(first, "core", "frame").values()
    (two,) = materializations(second, "core", "frame").values()
    assert one.metadata["geo_assets/commit"].value == two.metadata["geo_assets/commit"].value == 1
    assert len(list(bench.root.rglob("_commits/*.json"))) == 1


def test_the_content_is_the_data_version_so_nothing_downstream_goes_stale(bench):
    read, _ = reader(gpd.GeoDataFrame, ["core", "frame"])
    first = bench.run(frames, read)
    (made,) = materializations(first, "core", "frame").values()
    assert made.tags[VERSION] == made.metadata["geo_assets/version"].value
    assert bench.run(frames, read, select="core/frame").success
    assert (
        stale_status(bench.instance, dg.Definitions(assets=[frames, read]), ["out", "reader"])
        == "FRESH"
    )


def test_a_version_that_the_asset_gives_is_kept(bench):
    @dg.asset(key=["core", "frame"])
    def own():
        return dg.MaterializeResult(value=frame(), data_version=dg.DataVersion("mine"))

    (made,) = materializations(bench.run(own), "core", "frame").values()
    assert made.tags[VERSION] == "mine"


def test_what_is_not_materialized_is_named_with_what_to_do(bench):
    read, _ = reader(Artifact, ["core", "parts"], partitions=PARTS)
    assert bench.run(parts, partition_key="a").success
    result = bench.run(parts, read, select="out/reader", span=("a", "c"))
    assert not result.success
    said = failure(result)
    assert "nothing for b, c, in core/parts" in said
    assert "Materialize core/parts first" in said


@pytest.mark.parametrize(
    ("value", "said"),
    [
        (lambda: {"a": frame()}, "one value for each partition of the run"),
        (frame, "maps each key to its value, got GeoDataFrame"),
        (lambda: {key: object() for key in "abc"}, "got object"),
        (lambda: dict(zip("abc", (frame(), frame(), "text"), strict=True)), "got str"),
        (lambda: {key: frame().set_crs(None, allow_override=True) for key in "abc"}, "has a CRS"),
    ],
    ids=["missing keys", "no mapping", "no type", "one of three", "no CRS"],
)
def test_what_cannot_be_published_leaves_nothing_behind(bench, value, said):
    @dg.asset(key=["core", "parts"], partitions_def=PARTS)
    def wrong():
        return value()

    result = bench.run(wrong, span=("a", "c"))
    assert not result.success
    assert said in failure(result)
    assert list(bench.root.rglob("_commits/*.json")) == []


def test_an_annotation_that_nothing_reads_is_refused(bench):
    assert bench.run(frames).success
    read, _ = reader(bytes, ["core", "frame"])
    result = bench.run(frames, read, select="out/reader")
    assert "An input is annotated as Artifact, GeoDataFrame" in failure(result)


def test_a_raster_is_not_read_as_a_frame(bench):
    assert bench.run(rasters).success
    read, _ = reader(gpd.GeoDataFrame, ["core", "raster"])
    result = bench.run(rasters, read, select="out/reader")
    assert "Annotate the parameter as Artifact" in failure(result)


def test_a_damaged_object_is_not_handed_out(bench):
    assert bench.run(tables).success
    (path,) = bench.root.rglob("data/*/data.parquet")
    path.chmod(0o644)
    body = bytearray(path.read_bytes())
    body[20] ^= 1
    path.write_bytes(body)
    read, got = reader(pa.Table, ["core", "table"])
    result = bench.run(tables, read, select="out/reader")
    assert not got
    assert "SHA-256" in failure(result)


def test_an_asset_that_returns_nothing_publishes_nothing(bench):
    @dg.asset(key=["core", "frame"])
    def nothing():
        return None

    assert bench.run(nothing).success
    assert not bench.root.exists()


def test_the_committed_item_is_small_and_says_what_it_is(bench):
    assert bench.run(frames).success
    (commit,) = bench.root.rglob("_commits/*.json")
    item = json.loads(commit.read_text())
    assert item["properties"]["rows"] == 4
    assert item["properties"]["columns"]["n"] == "int64"
    west, south, east, north = item["bbox"]
    assert 14.99 < west <= east < 15.01
    assert 49.6 < south <= north < 49.7


async def test_waiting_works_where_a_loop_runs_already():
    async def work() -> str:
        await asyncio.sleep(0)
        return threading.current_thread().name

    assert wait(work()) == "geo-assets-io"


def test_waiting_raises_what_the_work_raised():
    async def work() -> None:
        msg = "boom"
        raise KeyError(msg)

    with pytest.raises(KeyError, match="boom"):
        wait(work())
