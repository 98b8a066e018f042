"""The contract of a store, held to by a folder, by memory and by S3 over HTTP."""

from __future__ import annotations

import asyncio
import hashlib
import os
import pickle

import pytest

from geo_assets.errors import ConfigError, InputError
from geo_assets.store.objects import S3Access, open_store
from geo_assets_tests.store.conftest import memory, paths


async def test_create_writes_once(objects):
    assert await objects.create("a/b.json", b"one") is True
    assert await objects.create("a/b.json", b"two") is False
    assert await objects.get("a/b.json") == b"one"


async def test_put_replaces(objects):
    await objects.put("a", b"one")
    await objects.put("a", b"")
    assert await objects.get("a") == b""


async def test_of_many_creators_one_wins(objects):
    won = await asyncio.gather(*(objects.create("slot", bytes([n])) for n in range(12)))
    assert sum(won) == 1
    assert await objects.get("slot") == bytes([won.index(True)])


async def test_bodies_come_from_files_too(objects, tmp_path):
    small, large = tmp_path / "small", tmp_path / "large"
    small.write_bytes(b"s" * 10)
    large.write_bytes(os.urandom(2 << 20))
    assert await objects.create("small", small) and await objects.create("large", large)
    assert await objects.create("large", small) is False
    assert (await objects.head("large")).size == 2 << 20
    assert await objects.get("large") == large.read_bytes()


async def test_what_is_absent(objects, tmp_path):
    for read in (
        objects.get("x/y"),
        objects.get_range("x/y", 0, 5),
        objects.download("x", tmp_path / "f"),
    ):
        with pytest.raises(FileNotFoundError):
            await read
    assert await objects.head("x") is None
    assert await paths(objects, "x") == [] and list(await objects.folders("x")) == []
    await objects.delete(["x", "x/y"])
    assert await objects.delete_folder("x") == (0, 0)
    assert not list(tmp_path.glob("*.part"))


async def test_ranges(objects):
    await objects.create("a", b"0123456789")
    assert await objects.get_range("a", 2, 3) == b"234"
    assert await objects.get_range("a", 8, 5) == b"89"
    assert await objects.get_range("a", 10, 5) == b""
    assert await objects.get_range("a", 0, 0) == b""


async def test_listing(objects):
    names = ["a.b/1", "a/1", "a/b/2", "a/b/10", "ab/1", "a/é", "a/c d", "a/p%2Fq", "a/x+y"]
    for name in names:
        await objects.create(name, name.encode())
    assert await paths(objects) == sorted(names)
    assert await paths(objects, "a") == [
        "a/1",
        "a/b/10",
        "a/b/2",
        "a/c d",
        "a/p%2Fq",
        "a/x+y",
        "a/é",
    ]
    assert list(await objects.folders("")) == ["a", "a.b", "ab"]
    assert list(await objects.folders("a")) == ["b"]
    after = [meta.path async for meta in objects.list("a", after="a/b/2")]
    assert sorted(after) == ["a/c d", "a/p%2Fq", "a/x+y", "a/é"]
    sizes = {meta.path: meta.size async for meta in objects.list("a/b")}
    assert sizes == {"a/b/2": 5, "a/b/10": 6}
    for name in names:
        assert await objects.get(name) == name.encode()


async def test_listing_pages(objects):
    names = [f"p/{number:05d}" for number in range(1005)]
    await asyncio.gather(*(objects.put(name, b"") for name in names))
    assert await paths(objects, "p") == names
    assert await objects.delete_folder("p") == (1005, 0)
    assert await paths(objects) == []


async def test_delete(objects):
    for name in ("a/1", "a/2", "a/b/3", "b/1"):
        await objects.create(name, b"123")
    await objects.delete(["a/1", "missing"])
    assert await paths(objects) == ["a/2", "a/b/3", "b/1"]
    assert await objects.delete_folder("a") == (2, 6)
    assert await paths(objects) == ["b/1"]


@pytest.mark.parametrize("size", [0, 5, 2 << 20])
async def test_download_verifies(objects, tmp_path, size):
    """2 MiB take the path of concurrent ranges."""
    body = os.urandom(size)
    sha256 = hashlib.sha256(body).hexdigest()
    await objects.create("a/b", body)
    to = tmp_path / "new" / "file"
    await objects.download("a/b", to, size=size, sha256=sha256)
    assert to.read_bytes() == body
    to.unlink()
    with pytest.raises(InputError, match=f"{sha256} instead of 00.*a/b"):
        await objects.download("a/b", to, sha256="00")
    with pytest.raises(InputError, match=f"{size} bytes instead of"):
        await objects.download("a/b", to, size=size + 1)
    assert list(to.parent.iterdir()) == []


@pytest.mark.parametrize(
    "path", ["../x", "a/../../x", "/etc/passwd", "", "a//b", ".git/config", "a\x00"]
)
async def test_no_path_leaves_the_root(objects, path):
    for call in (
        objects.get(path),
        objects.put(path, b""),
        objects.create(path, b""),
        objects.head(path),
    ):
        with pytest.raises(InputError):
            await call


async def test_a_body_above_5_gib_is_refused_before_it_is_read(s3_server, tmp_path):
    huge = tmp_path / "huge"
    with huge.open("wb") as file:
        file.truncate((5 << 30) + 1)
    objects = open_store(f"s3://{s3_server.bucket()}", s3=s3_server.access())
    with pytest.raises(Exception, match="at most 5 GiB"):
        await objects.create("huge", huge)


def test_a_remote_store_is_never_pickled(s3_server):
    for remote in (memory(), open_store("s3://bucket", s3=s3_server.access())):
        with pytest.raises(TypeError, match="never pickled"):
            pickle.dumps(remote)


def test_nothing_shows_the_secret(s3_server):
    access = s3_server.access()
    for text in (repr(access), repr(open_store("s3://bucket/p", s3=access))):
        assert s3_server.secret not in text and s3_server.access_key not in text


@pytest.mark.parametrize(
    ("uri", "says"),
    [
        ("ftp://host/x", "ftp://"),
        ("s3://", "scheme://bucket/prefix"),
        ("s3://bucket/../other", "inside its root"),
        ("https:///x", "names a host"),
    ],
)
def test_addresses_that_make_no_sense(uri, says):
    with pytest.raises(ConfigError, match=says):
        open_store(uri)


def test_half_of_the_credentials():
    with pytest.raises(ConfigError, match="only one of them"):
        open_store("s3://bucket", s3=S3Access(access_key="key"))


def test_addresses(tmp_path, s3_server):
    local = open_store(f"file://{tmp_path}/a%20b")
    assert local.uri == f"{tmp_path}/a b"
    assert local.address("x/y") == f"{tmp_path}/a b/x/y"
    assert local.local_path("x") == tmp_path / "a b" / "x"
    remote = open_store("s3://bucket/pre/fix/", s3=s3_server.access())
    assert (remote.uri, remote.address("x/y")) == ("s3://bucket/pre/fix", "s3://bucket/pre/fix/x/y")
    assert remote.local_path("x") is None
    assert open_store("https://user:pass@host/data?sig=secret").uri == "https://host/data"
