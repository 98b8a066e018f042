"""A server that ignores create-if-absent is refused before anything is staged."""

from __future__ import annotations

import pytest

from geo_assets.errors import ConfigError
from geo_assets.store import probe as probing
from geo_assets.store.artifact import ArtifactStore
from geo_assets.store.objects import open_store
from geo_assets_tests.store.conftest import ASSET, V1, memory, paths
from geo_assets_tests.store.fault_proxy import Fault, first


class Overwriting:
    """A server that answers 200 to every conditional PUT, as some S3 servers do."""

    def __init__(self, *, silent: bool = False) -> None:
        self._inner = memory()
        self._silent = silent
        self._creates = 0

    def __getattr__(self, name):
        return getattr(self._inner, name)

    async def create(self, path, body):
        await self._inner.put(path, body)
        self._creates += 1
        return not (self._silent and self._creates > 1)  # the reply of a later one is lost


@pytest.mark.parametrize("silent", [False, True])
async def test_a_server_that_overwrites_is_refused(silent):
    objects = Overwriting(silent=silent)
    store = ArtifactStore(objects)
    with pytest.raises(ConfigError, match="ignores If-None-Match"):
        await store.probe()
    with pytest.raises(ConfigError, match="overwrote one"):
        await store.begin(ASSET, None, V1)
    assert await paths(objects) == [probing.PATH]


async def test_an_honest_store_is_asked_once(store, monkeypatch):
    await store.probe()
    calls = []
    monkeypatch.setattr(type(store.objects), "create", lambda *_: calls.append(1))
    await ArtifactStore(store.objects).probe()
    await store.begin(ASSET, None, V1)
    assert not calls and await paths(store.objects) == [probing.PATH]


async def test_a_second_process_finds_the_probe_of_the_first(store, monkeypatch):
    await store.probe()
    monkeypatch.setattr(probing, "_honest", set())
    await store.probe()


@pytest.mark.parametrize(
    "fault", [Fault(kind="lost_reply"), Fault(kind="status")], ids=["lost", "503"]
)
async def test_faults_do_not_condemn_an_honest_server(s3_server, proxy, fault):
    objects = open_store(f"s3://{s3_server.bucket()}", s3=s3_server.access(proxy.endpoint))
    proxy.plan = first(2, fault, "PUT")
    await ArtifactStore(objects).probe()


async def test_a_source_is_no_root():
    with pytest.raises(ConfigError, match="can be written"):
        await ArtifactStore(open_store("https://localhost/data")).begin(ASSET, None, V1)
