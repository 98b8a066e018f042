"""Stores of each kind, files to put into them, and a store that misbehaves on command."""

from __future__ import annotations

import uuid
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path

import pytest

from geo_assets.model import OutputFile
from geo_assets.store import commit, draft, files, remote
from geo_assets.store.artifact import ArtifactStore
from geo_assets.store.objects import ObjectStore, open_store
from geo_assets.store.retrying import Backoff
from geo_assets_tests.conftest import S3Server
from geo_assets_tests.store.fault_proxy import FaultProxy

ASSET = ("raw", "scenes")
V1, V2, V3 = ("1" * 32, "2" * 32, "3" * 32)


@pytest.fixture(params=["local", "memory", "s3"])
def objects(request: pytest.FixtureRequest, tmp_path: Path) -> ObjectStore:
    """The same contract for a folder, for memory and for S3 over HTTP."""
    if request.param == "local":
        return open_store(str(tmp_path / "root"))
    if request.param == "memory":
        return memory()
    server: S3Server = request.getfixturevalue("s3_server")
    return open_store(f"s3://{server.bucket()}/some/prefix", s3=server.access())


@pytest.fixture
def store(objects: ObjectStore) -> ArtifactStore:
    return ArtifactStore(objects)


@pytest.fixture
async def proxy(s3_server: S3Server) -> AsyncIterator[FaultProxy]:
    """A fault proxy before the S3 server."""
    async with FaultProxy(s3_server.port) as running:
        yield running


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """No test waits for backoff."""
    quick = Backoff(attempts=4, first_s=0.001, max_s=0.01)
    monkeypatch.setattr(commit, "SETTLING", quick)
    monkeypatch.setattr(draft, "SETTLING", quick)
    yield


@pytest.fixture(autouse=True)
def small_is_large(monkeypatch: pytest.MonkeyPatch) -> None:
    """2 MiB take the path of large objects: mapped files, concurrent ranges."""
    monkeypatch.setattr(remote, "_STREAMED", 1 << 20)
    monkeypatch.setattr(remote, "_RANGE", 1 << 18)
    monkeypatch.setattr(files, "_IN_MEMORY", 1 << 20)


@pytest.fixture
def output(tmp_path: Path) -> Callable[..., OutputFile]:
    """Make a kernel's output file: `output("a/b.tif", b"bytes")`."""

    def make(name: str, body: bytes, media_type: str = "image/tiff", **facts) -> OutputFile:
        path = tmp_path / "work" / uuid.uuid4().hex
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(body)
        return OutputFile.of(path, name, media_type, facts=facts)

    return make


def memory() -> ObjectStore:
    """A fresh store in memory."""
    return open_store(f"memory://{uuid.uuid4().hex}")


async def paths(objects: ObjectStore, prefix: str = "") -> list[str]:
    """All paths below a prefix, sorted."""
    return sorted([meta.path async for meta in objects.list(prefix)])
