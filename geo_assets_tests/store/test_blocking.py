"""No call of the store blocks the event loop."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest
from blockbuster import BlockBuster, BlockingError, blockbuster_ctx

from geo_assets.model import KernelResult, OutputFile, sha256_file
from geo_assets.store.artifact import ArtifactStore
from geo_assets_tests.store.conftest import ASSET, V1, V2


@pytest.fixture
def guard() -> Iterator[BlockBuster]:
    """Raises where our code blocks a running loop; the tests themselves may."""
    with blockbuster_ctx(["geo_assets.store", "geo_assets.model"]) as active:
        yield active


async def test_the_guard_sees_blocking_calls(guard, tmp_path):
    file = tmp_path / "f"
    file.write_bytes(b"1")
    with pytest.raises(BlockingError):
        sha256_file(file)


@pytest.fixture
def files(output) -> tuple[OutputFile, OutputFile]:
    return output("t/a.tif", b"1"), output("t/b.tif", os.urandom(2 << 20))


async def test_the_whole_life_of_an_artifact(objects, files, tmp_path, guard):
    small, large = files
    store = ArtifactStore(objects)
    attempt = await store.begin(ASSET, "day", V1)
    receipt = await attempt.stage_chunk("1", KernelResult(files=(small, large)))
    assert list(await attempt.finished()) == ["1"]
    await attempt.commit(receipt.objects, properties={}, inputs={}, run_id="run")
    await (await store.begin(ASSET, "day", V2)).stage(small)
    newest = await store.newest(ASSET, "day")
    assert newest
    for name in ("t/a.tif", "t/b.tif"):
        await store.local_file(newest, name, tmp_path / "scratch")
    await store.newest_of(ASSET, ["day", "other"])
    await store.collect_garbage(ASSET, "day", keep=1, abandon=True)
    assert await store.rebuild(ASSET) == 1
    await store.flush()
    copy = tmp_path / "copy" / "b.tif"
    await objects.download(f"{newest.data_prefix}/t/b.tif", copy, sha256=large.sha256)
    await objects.put("x/y", small.path)
    await objects.get_range("x/y", 0, 1)
    await objects.delete(["x/y"])
