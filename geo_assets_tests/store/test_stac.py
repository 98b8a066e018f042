# ruff: noqa: ASYNC240 - the files are small
"""What is written is a STAC catalog that ordinary tools follow from the collection down."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

import pystac
import pytest

from geo_assets.errors import TransientError
from geo_assets.store import derived
from geo_assets.store.artifact import ArtifactStore
from geo_assets.store.objects import open_store
from geo_assets.store.paths import encode_segment
from geo_assets_tests.store.conftest import ASSET, V1, V2, V3, memory, paths

KEYS = ["2026-01-03", "a/b %2F|é", "data"]


async def publish(store, version, file, *, partition="2026-01-03", bbox=(10.0, 50.0, 11.0, 51.0),
                  datetime="2026-01-03T10:00:00Z", asset=ASSET, **properties):  # fmt: skip
    attempt = await store.begin(asset, partition, version)
    staged = await attempt.stage(file)
    return await attempt.commit(
        [staged],
        properties=properties,
        inputs={"source": "s"},
        run_id="r",
        bbox=bbox,
        datetime=datetime,
    )


async def read(store, path):
    return json.loads(await store.objects.get(path))


@pytest.fixture
def store(tmp_path):
    return ArtifactStore(open_store(str(tmp_path / "root")))


async def test_pystac_walks_from_the_collection_to_the_bytes(store, output):
    for key in KEYS:
        await publish(
            store,
            V1,
            output("10/5/3.tif", key.encode()),
            partition=key,
            **{"proj:code": "EPSG:32633"},
        )
    collection = pystac.Collection.from_file(store.objects.address("raw/scenes/collection.json"))
    assert collection.id == "raw/scenes" and collection.extent.spatial.bboxes == [
        [10.0, 50.0, 11.0, 51.0]
    ]
    items = sorted(
        collection.get_items(), key=lambda item: KEYS.index(item.properties["geo_assets:partition"])
    )
    assert [item.properties["geo_assets:partition"] for item in items] == KEYS
    for key, item in zip(KEYS, items, strict=True):
        assert item.collection_id == "raw/scenes" and item.get_collection().id == "raw/scenes"
        asset = item.assets["10/5/3.tif"]
        assert Path(asset.get_absolute_href()).read_bytes() == key.encode()
        assert asset.media_type == "image/tiff" and asset.roles == ["data"]
        assert item.ext.proj.code == "EPSG:32633" and item.ext.has("file")
        assert asset.ext.file.size == len(key.encode())
        assert asset.ext.file.checksum.startswith("1220") and len(asset.ext.file.checksum) == 68


async def test_a_commit_is_an_item_from_where_it_lies(store, output):
    await publish(store, V1, output("a.tif", b"1"))
    await publish(store, V2, output("a.tif", b"22"))
    folder = "raw/scenes/2026-01-03"
    item = pystac.Item.from_file(store.objects.address(f"{folder}/_commits/{2:012d}.json"))
    assert item.to_dict()["stac_version"] == "1.1.0"
    assert Path(item.assets["a.tif"].get_absolute_href()).read_bytes() == b"22"
    [before] = item.get_links("predecessor-version")
    assert Path(before.get_absolute_href()).read_bytes()
    face = pystac.Item.from_file(store.objects.address(f"{folder}/item.json"))
    assert face.properties == item.properties and face.geometry == item.geometry
    [canonical] = face.get_links("canonical")
    assert canonical.get_absolute_href() == item.self_href


@pytest.mark.parametrize(
    ("bbox", "kind"),
    [
        (None, None),
        ((10.0, 50.0, 11.0, 51.0), "Polygon"),
        ((170.0, -10.0, -170.0, 10.0), "MultiPolygon"),
    ],
)
async def test_geometry(store, output, bbox, kind):
    await publish(store, V1, output("a.tif", b"1"), bbox=bbox)
    raw = await read(store, "raw/scenes/2026-01-03/item.json")
    item = pystac.Item.from_dict(raw)
    assert (item.geometry and item.geometry["type"]) == kind
    assert ("bbox" in raw) == (bbox is not None)
    extent = (await read(store, "raw/scenes/collection.json"))["extent"]["spatial"]["bbox"]
    world, across = [-180.0, -90.0, 180.0, 90.0], [-180.0, -10.0, 180.0, 10.0]
    assert extent == [world if bbox is None else across if kind == "MultiPolygon" else list(bbox)]


async def test_times(store, output):
    span = {"start_datetime": "2026-01-01T00:00:00Z", "end_datetime": "2026-01-02T00:00:00+01:00"}
    await publish(store, V1, output("a", b"1"), partition="span", datetime=None, **span)
    await publish(
        store, V1, output("a", b"1"), partition="instant", datetime="2025-06-01T00:00:00Z"
    )
    await publish(store, V1, output("a", b"1"), partition="none", datetime=None)
    spanned = pystac.Item.from_dict(await read(store, "raw/scenes/span/item.json"))
    assert spanned.datetime is None and spanned.common_metadata.end_datetime is not None
    timeless = await read(store, "raw/scenes/none/item.json")
    assert timeless["properties"]["datetime"] == timeless["properties"]["created"]
    [[start, _]] = (await read(store, "raw/scenes/collection.json"))["extent"]["temporal"][
        "interval"
    ]
    assert start == "2025-06-01T00:00:00Z"


async def test_the_collection_is_written_when_it_changes(output):
    """A known partition costs no write; a large collection is written for each hundredth part."""
    store = ArtifactStore(memory())
    written = count_writes(store, "raw/scenes/collection.json")
    for version in (V1, V2, V1):
        await publish(store, version, output("a", version.encode()))
    assert len(written) == 1
    file = output("a", b"1")
    await asyncio.gather(*(publish(store, V1, file, partition=f"p{n}") for n in range(400)))
    assert len(written) < 300
    await store.flush()
    await store.flush()
    links = (await read(store, "raw/scenes/collection.json"))["links"]
    assert len([link for link in links if link["rel"] == "item"]) == 401


async def test_another_process_adds_and_does_not_replace(output):
    objects = memory()
    first, second = ArtifactStore(objects), ArtifactStore(objects)
    await publish(first, V1, output("a", b"1"), partition="p1")
    await publish(second, V1, output("a", b"1"), partition="p2", bbox=(-5.0, 1.0, 2.0, 3.0))
    await publish(first, V1, output("a", b"1"), partition="p3")
    collection = await read(first, "raw/scenes/collection.json")
    assert [link["title"] for link in collection["links"] if link["rel"] == "item"] == [
        "p1",
        "p2",
        "p3",
    ]
    assert collection["extent"]["spatial"]["bbox"] == [[-5.0, 1.0, 11.0, 51.0]]
    written = count_writes(third := ArtifactStore(objects), "raw/scenes/collection.json")
    await publish(third, V2, output("a", b"2"), partition="p1")
    assert not written


def count_writes(store, path):
    real, written = store.objects.put, []

    async def put(target, body):
        if target == path:
            written.append(target)
        await real(target, body)

    store.objects.put = put
    return written


async def test_everything_derived_is_rebuilt_from_the_commits(store, output):
    for key in KEYS:
        await publish(store, V1, output("a", key.encode()), partition=key)
    # An asset whose key begins with that of this one has folders of its own below it.
    await publish(store, V1, output("a", b"1"), partition=None, asset=(*ASSET, "nested"))
    derived_paths = [
        path
        for path in await paths(store.objects, "raw/scenes")
        if path.endswith(("item.json", "collection.json"))
    ]
    before = {path: await store.objects.get(path) for path in derived_paths}
    await store.objects.delete([path for path in before if "nested" not in path])
    assert await ArtifactStore(store.objects).rebuild(ASSET) == 3
    assert {path: await store.objects.get(path) for path in derived_paths} == before
    await store.objects.put("raw/scenes/collection.json", b"damaged")
    await publish(ArtifactStore(store.objects), V1, output("a", b"1"), partition="new")
    assert len((await read(store, "raw/scenes/collection.json"))["links"]) == 2
    assert await store.rebuild(ASSET) == 4
    assert await store.rebuild(("never", "published")) == 0


async def test_the_face_shows_the_newest_commit_whoever_writes_last(output):
    """A slow writer of an older commit finds the newer one and writes that."""
    objects = memory()
    slow, fast = ArtifactStore(objects), ArtifactStore(objects)
    real, path, began = (
        objects.put,
        f"raw/scenes/{encode_segment('day')}/item.json",
        asyncio.Event(),
    )

    async def put(target, body):
        if target == path and not began.is_set():
            began.set()
            await overtaken.wait()
        await real(target, body)

    objects.put = put
    overtaken = asyncio.Event()
    first = asyncio.ensure_future(publish(slow, V1, output("a", b"1"), partition="day"))
    await began.wait()
    await publish(fast, V2, output("a", b"2"), partition="day")
    newest = await publish(fast, V3, output("a", b"3"), partition="day")
    overtaken.set()
    await first
    face = await read(fast, path)
    assert face["properties"]["geo_assets:sequence"] == newest.sequence == 3


async def test_a_failed_write_of_the_collection_is_made_up_for(output, monkeypatch):
    store = ArtifactStore(memory())
    real = derived._collection_json

    def fail(*_):
        raise TransientError("The store answers", "no")

    monkeypatch.setattr(derived, "_collection_json", fail)
    await publish(store, V1, output("a", b"1"), partition="p1")
    monkeypatch.setattr(derived, "_collection_json", real)
    await store.flush()
    assert len((await read(store, "raw/scenes/collection.json"))["links"]) == 2


async def test_a_collection_is_written_few_times_for_many_partitions(store, output):
    written = count_writes(store, "raw/scenes/collection.json")
    async with store.gathering():
        for number in range(30):
            await publish(store, V1, output("a", b"1"), partition=f"p{number}")
        assert len(written) == 1, "the first one, and the others after some seconds or at the end"
    assert len(written) == 2
    assert len((await read(store, "raw/scenes/collection.json"))["links"]) == 1 + 30


async def test_a_collection_that_cannot_be_written_at_the_end_undoes_nothing(
    store, output, monkeypatch, caplog
):
    def fail(*_):
        raise TransientError("The store answers", "no")

    async with store.gathering():
        await publish(store, V1, output("a", b"1"), partition="p1")
        monkeypatch.setattr(derived, "_collection_json", fail)
        newest = await publish(store, V1, output("a", b"1"), partition="p2")
    assert "a collection.json is not" in caplog.text
    assert await store.newest(ASSET, "p2") == newest
