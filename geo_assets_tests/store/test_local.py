# ruff: noqa: ASYNC240, PTH115, PTH120 - operations are recorded as text
"""The local store: nothing torn after a power cut, nothing outside the root."""

from __future__ import annotations

import errno
import itertools
import os
import threading
import time
from pathlib import Path

import pytest

from geo_assets.errors import ConfigError, InputError, TransientError
from geo_assets.model import KernelResult
from geo_assets.store import folders, local
from geo_assets.store.artifact import ArtifactStore
from geo_assets.store.folders import Folders
from geo_assets.store.objects import open_store
from geo_assets.store.paths import is_spare
from geo_assets_tests.store.conftest import ASSET, V1, paths


async def test_symbolic_links_lead_nowhere_outside(tmp_path):
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "secret").write_text("secret")
    root = tmp_path / "root"
    (root / "real").mkdir(parents=True)
    (root / "real" / "file").write_text("inside")
    (root / "folder").symlink_to(outside)
    (root / "file").symlink_to(outside / "secret")
    (root / "alias").symlink_to(root / "real" / "file")
    objects = open_store(str(root))
    for call in (
        objects.get("folder/secret"), objects.get("file"), objects.get_range("file", 0, 1),
        objects.head("folder/secret"), objects.download("file", tmp_path / "copy"),
        objects.put("folder/new", b""), objects.create("folder/new", b""),
        objects.delete(["folder/secret"]), objects.delete_folder("folder/x"),
        objects.folders("folder"), objects.sync("folder"), anext(objects.list("folder")),
    ):  # fmt: skip
        with pytest.raises(InputError, match="stays inside the root"):
            await call
    assert await objects.get("alias") == b"inside"
    assert (outside / "secret").read_text() == "secret" and len(list(outside.iterdir())) == 1


async def test_a_write_replaces_a_link_and_never_follows_it(tmp_path):
    target = tmp_path / "target"
    target.write_text("old")
    root = tmp_path / "root"
    root.mkdir()
    (root / "link").symlink_to(target)
    objects = open_store(str(root))
    with pytest.raises(InputError):
        await objects.create("link", b"new")
    await objects.put("link", b"new")
    assert target.read_text() == "old" and await objects.get("link") == b"new"


async def test_temporary_files_are_invisible_and_swept(tmp_path):
    root = tmp_path / "root"
    (root / ".tmp").mkdir(parents=True)
    dead, alive = root / ".tmp" / "dead", root / ".tmp" / "alive"
    dead.write_text("x")
    alive.write_text("x")
    long_ago = time.time() - 2 * 24 * 3600
    os.utime(dead, (long_ago, long_ago))
    objects = open_store(str(root))
    await objects.create("a/b", b"1")
    assert not dead.exists() and alive.exists()
    assert await paths(objects) == ["a/b"] and await objects.folders("") == ["a"]


async def test_a_root_that_was_deleted_is_made_again(tmp_path):
    objects = open_store(str(tmp_path / "root"))
    await objects.create("a/b", b"1")
    await objects.delete_folder("a")
    (tmp_path / "root" / ".tmp").rmdir()
    (tmp_path / "root").rmdir()
    assert await objects.create("a/b", b"2")


async def test_reading_makes_no_folder(tmp_path):
    objects = open_store(str(tmp_path / "root"))
    assert await objects.head("a") is None and await paths(objects) == []
    assert not (tmp_path / "root").exists()


async def test_a_file_in_the_way_of_a_folder(tmp_path):
    objects = open_store(str(tmp_path))
    await objects.create("a", b"")
    with pytest.raises(ConfigError, match="folder can be written"):
        await objects.create("a/b", b"")
    with pytest.raises(FileNotFoundError):
        await objects.get("a/b")


@pytest.mark.parametrize(
    ("code", "kind"), [(errno.ENOSPC, ConfigError), (errno.EIO, TransientError)]
)
async def test_a_failing_disk_leaves_nothing(tmp_path, monkeypatch, code, kind):
    def fail(_: int) -> None:
        raise OSError(code, os.strerror(code))

    objects = open_store(str(tmp_path))
    await objects.create("a", b"")
    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", fail)
        with pytest.raises(kind, match=os.strerror(code)):
            await objects.create("b/c", b"body")
    assert await paths(objects) == ["a"] and not any((tmp_path / ".tmp").iterdir())


class Recorder:
    """What the store asks of the operating system, in order, as a list of operations.

    ("data", file) a file's bytes were written; ("fsync", file); ("name", file, folder) it got
    a name; ("mkdir", folder); ("fsync", folder).
    """

    def __init__(self, monkeypatch: pytest.MonkeyPatch, root: Path) -> None:
        self.root = root
        self.operations: list[tuple[str, ...]] = []
        self._files: dict[str, str] = {}
        real = {name: getattr(os, name) for name in ("fsync", "link", "replace", "mkdir")}
        fill = local.fill_file

        def record_fill(file: str, body: bytes | Path, *, flush: bool) -> None:
            self.operations.append(("data", file))
            fill(file, body, flush=flush)

        def fsync(descriptor: int) -> None:
            self.operations.append(("fsync", os.readlink(f"/proc/self/fd/{descriptor}")))
            real["fsync"](descriptor)

        def link(source: Path, target: Path) -> None:
            real["link"](source, target)
            self.operations.append(("name", str(source), str(target)))

        def mkdir(folder: str, *args: int) -> None:
            real["mkdir"](folder, *args)
            self.operations.append(("mkdir", str(folder)))

        monkeypatch.setattr(local, "fill_file", record_fill)
        monkeypatch.setattr(os, "fsync", fsync)
        monkeypatch.setattr(os, "link", link)
        monkeypatch.setattr(os, "mkdir", mkdir)


def after_power_cut(operations: list[tuple[str, ...]]) -> list[dict[str, bool]]:
    """Every state that a disk may be in after losing power at the end of `operations`.

    The conservative model of POSIX: bytes are safe after fsync of their file, else lost or
    torn; a name or folder is safe after fsync of its parent, else any subset is there.
    A state says which named files exist and whether they are whole.
    """
    synced: set[str] = set()
    names: dict[str, str] = {}
    entries: list[str] = []
    durable: set[str] = set()
    for kind, *what in operations:
        if kind == "fsync":
            synced.add(what[0])
            durable |= {entry for entry in entries if os.path.dirname(entry) == what[0]}
        elif kind == "name":
            names[what[1]] = what[0]
            entries.append(what[1])
        elif kind == "mkdir":
            entries.append(what[0])
    loose = [entry for entry in entries if entry not in durable]
    states = []
    for survive in itertools.product((False, True), repeat=len(loose)):
        present = durable | set(itertools.compress(loose, survive))

        def reachable(path: str, present: set[str] = present) -> bool:
            return path not in entries or (path in present and reachable(os.path.dirname(path)))

        states.append({file: data in synced for file, data in names.items() if reachable(file)})
    return states


def violation(states: list[dict[str, bool]], data: list[str], commit: str, *, acked: bool) -> str:
    """What is wrong in one of the states, or ""."""
    for state in states:
        torn = [file for file, whole in state.items() if not whole]
        if any(not is_spare(file.partition("/root/")[2]) for file in torn):
            return "a torn file has a name"
        if commit in state and not all(file in state for file in data):
            return "a commit names an object that is gone"
        if acked and commit not in state:
            return "an acknowledged commit is gone"
    return ""


@pytest.fixture
async def recorded(tmp_path, monkeypatch, output):
    """The operations of one attempt with two objects in two folders, and its names."""
    objects = open_store(str(tmp_path / "root"))
    store = ArtifactStore(objects)
    recorder = Recorder(monkeypatch, tmp_path)
    draft = await store.begin(ASSET, "day", V1)
    receipt = await draft.stage_chunk(
        "1", KernelResult(files=(output("a.tif", b"a"), output("b/c.tif", b"c")))
    )
    # Derived files are outside the protocol; the commit ends with the second `sync`.
    monkeypatch.setattr(store._derived, "refresh", _nothing)
    await draft.commit(receipt.objects, properties={}, inputs={}, run_id="run")
    data = [objects.address(f"{draft.data_prefix}/{name}") for name in ("a.tif", "b/c.tif")]
    commit = objects.address(f"raw/scenes/day/_commits/{1:012d}.json")
    return recorder.operations, data, commit


async def _nothing(*_: object) -> None: ...


async def test_no_power_cut_leaves_a_bad_state(recorded):
    operations, data, commit = recorded
    states = 0
    for end in range(len(operations) + 1):
        after = after_power_cut(operations[:end])
        states += len(after)
        assert violation(after, data, commit, acked=end == len(operations)) == "", operations[:end]
    assert states > 100


async def test_every_fsync_counts(recorded):
    """Without any one of the flushes that matter, some power cut leaves a bad state."""
    operations, data, commit = recorded
    needed = set()
    for index, (kind, *what) in enumerate(operations):
        if kind != "fsync":
            continue
        fewer = operations[:index] + operations[index + 1 :]
        if any(
            violation(after_power_cut(fewer[:end]), data, commit, acked=end == len(fewer))
            for end in range(len(fewer), index, -1)
        ):
            needed.add(os.path.relpath(what[0], data[0].split("/raw/")[0]))
    folders = {path for path in needed if not path.startswith(".tmp/")}
    version = f"raw/scenes/day/data/{0:012d}-{V1}"
    assert {version, f"{version}/b", "raw/scenes/day/_commits"} <= folders
    assert len(needed - folders) >= 3  # the bytes of both objects and of the commit


async def test_one_flush_of_each_data_folder_per_attempt(recorded):
    operations, data, _ = recorded
    flushed = [what[0] for kind, *what in operations if kind == "fsync"]
    assert flushed.count(os.path.dirname(data[0])) == 1
    assert flushed.count(os.path.dirname(data[1])) == 1


async def test_what_is_not_flushed_can_be_made_again(recorded):
    """Nothing but receipts is left to chance, and those only cost work: see the next test."""
    operations, _, _ = recorded
    flushed = {what[0] for kind, *what in operations if kind == "fsync"}
    named = {what[1] for kind, *what in operations if kind == "name" and what[0] not in flushed}
    assert [os.path.relpath(file, file.partition("/root/")[0]) for file in named] == [
        f"root/raw/scenes/day/data/{0:012d}-{V1}/_chunks/1.json"
    ]


@pytest.mark.parametrize("left", [b"", b"\0" * 40, b'{"id": "1", "obj'])
async def test_a_chunk_whose_receipt_a_power_cut_has_torn_is_done_again(tmp_path, output, left):
    objects = open_store(str(tmp_path / "root"))
    draft = await ArtifactStore(objects).begin(ASSET, "day", V1)
    result = KernelResult(files=(output("a.tif", b"a"),), facts={"n": 1})
    await draft.stage_chunk("1", result)
    path = f"{draft.data_prefix}/_chunks/1.json"
    assert is_spare(path)
    (tmp_path / "root" / path).write_bytes(left)

    again = await ArtifactStore(objects).begin(ASSET, "day", V1)
    assert await again.finished() == {}
    receipt = await again.stage_chunk("1", result)
    assert list(await again.finished()) == ["1"]
    published = await again.commit(receipt.objects, properties={}, inputs={}, run_id="r")
    assert [stored.name for stored in published.objects] == ["a.tif"]


async def test_folders_that_partitions_share_are_flushed_once(tmp_path, monkeypatch, output):
    objects = open_store(str(tmp_path / "root"))
    store = ArtifactStore(objects)
    flushed: list[str] = []
    real = os.fsync

    def fsync(descriptor: int) -> None:
        flushed.append(os.readlink(f"/proc/self/fd/{descriptor}"))
        real(descriptor)

    monkeypatch.setattr(os, "fsync", fsync)
    for key in "abc":
        draft = await store.begin(ASSET, key, V1)
        staged = await draft.stage(output("x.tif", key.encode()))
        await draft.commit([staged], properties={}, inputs={}, run_id="r")
    assert flushed.count(objects.address("raw")) == 1
    assert flushed.count(objects.address("raw/scenes")) == 3, "each has a new name in it"
    await objects.delete_folder("raw/scenes")
    draft = await store.begin(ASSET, "a", V1)
    staged = await draft.stage(output("x.tif", b"a"))
    await draft.commit([staged], properties={}, inputs={}, run_id="r")
    assert flushed.count(objects.address("raw")) == 2, "the folder is a new one"


def test_a_flush_serves_those_who_asked_before_it_began(tmp_path, monkeypatch):
    names = Folders(str(tmp_path))
    began, go, flushes = threading.Event(), threading.Event(), []

    def slow(folder: str) -> None:
        flushes.append(folder)
        began.set()
        assert go.wait(10)

    monkeypatch.setattr(folders, "flush_folder", slow)
    asking = [
        threading.Thread(target=names.secure, args=(f"{tmp_path}/{key}",)) for key in "abcdef"
    ]
    asking[0].start()
    assert began.wait(10)
    for thread in asking[1:]:
        thread.start()
    while names._flushes[str(tmp_path)].asked < len(asking):
        time.sleep(0.001)
    go.set()
    for thread in asking:
        thread.join(10)
    assert len(flushes) == 2, "the first began too early for the others, who share the second"
