"""Versions: staged unseen, published whole, resumed, read back verified."""

from __future__ import annotations

import asyncio
import logging
import signal
import sys
from pathlib import Path

import pytest

from geo_assets.errors import CommitConflict, ConfigError, ContractError, InputError
from geo_assets.model import KernelResult, OutputFile
from geo_assets.store.artifact import ArtifactStore
from geo_assets.store.objects import open_store
from geo_assets_tests.store.conftest import ASSET, V1, V2, memory, paths

KEY = "2026/01|é"


async def publish(store, version, file, *, partition=KEY, run_id="run", **properties):
    attempt = await store.begin(ASSET, partition, version)
    receipt = await attempt.stage_chunk("1", KernelResult(files=(file,), facts={"n": 1}))
    return await attempt.commit(
        receipt.objects, properties=properties, inputs={"source": "x"}, run_id=run_id,
        bbox=(10.0, 50.0, 11.0, 51.0), datetime="2026-01-03T10:00:00Z",
    )  # fmt: skip


async def test_what_is_published_is_read_back(store, output, tmp_path):
    file = output("10/523/381.tif", b"pixels", bands=3)
    properties = {"crs": "EPSG:32633", "counts": {"gap": 2}, "empty": None, "pair": (1, 2)}
    published = await publish(store, V1, file, **properties)
    assert await store.newest(ASSET, KEY) == published
    assert await ArtifactStore(store.objects).at(ASSET, KEY, 1) == published
    assert (published.asset, published.partition, published.sequence) == (ASSET, KEY, 1)
    assert (published.version, published.run_id) == (V1, "run")
    assert published.properties == {**properties, "pair": [1, 2]}
    [stored] = published.objects
    assert (stored.name, stored.size, stored.sha256) == (file.name, file.size, file.sha256)
    assert stored.facts == {"bands": 3} and stored.media_type == "image/tiff"
    local = await store.local_file(published, "10/523/381.tif", tmp_path / "scratch")
    assert local.read_bytes() == b"pixels"
    address = store.address(published, "10/523/381.tif")
    assert address == store.objects.address(f"{published.data_prefix}/10/523/381.tif")


async def test_nothing_is_visible_before_the_commit(store, output):
    attempt = await store.begin(ASSET, KEY, V1)
    await attempt.stage_chunk("1", KernelResult(files=(output("a", b"1"),)))
    assert await store.newest(ASSET, KEY) is None and attempt.current is None
    assert await store.newest_of(ASSET, [KEY]) == {}


async def test_versions_follow_each_other(store, output):
    first = await publish(store, V1, output("a", b"1"))
    second = await publish(store, V2, output("a", b"2"))
    back = await publish(store, V1, output("a", b"1"))
    assert [first.sequence, second.sequence, back.sequence] == [1, 2, 3]
    assert len({first.data_prefix, second.data_prefix, back.data_prefix}) == 3
    assert await store.at(ASSET, KEY, 1) == first and await store.newest(ASSET, KEY) == back
    with pytest.raises(InputError, match="none with number 4"):
        await store.at(ASSET, KEY, 4)


async def test_many_partitions_at_once(store, output):
    keys = [f"day {number}" for number in range(40)]
    await asyncio.gather(*(publish(store, V1, output("a", b"1"), partition=key) for key in keys))
    found = await store.newest_of(ASSET, [*keys, "absent"])
    assert list(found) == keys and {artifact.partition for artifact in found.values()} == set(keys)


async def test_assets_without_partitions(store, output):
    one = await publish(store, V1, output("a", b"1"), partition=None)
    assert (one.partition, one.label) == (None, "raw/scenes")
    assert await store.newest(ASSET, None) == one and await store.newest(ASSET, "all") is None


async def test_a_current_version_is_not_committed_again(store, output):
    first = await publish(store, V1, output("a", b"1"), run_id="first")
    again = await publish(store, V1, output("a", b"1"), run_id="again")
    assert (
        again == first
        and len(await paths(store.objects, "raw/scenes/2026~2F01~7C~C3~A9/_commits")) == 1
    )


async def test_the_loser_learns_who_won(store, output):
    ours = await store.begin(ASSET, KEY, V1)
    receipt = await ours.stage_chunk("1", KernelResult(files=(output("a", b"1"),)))
    await publish(store, V2, output("a", b"2"), run_id="the-winner")
    with pytest.raises(
        CommitConflict, match=r"commit 1 by run the-winner.*raw/scenes\[2026/01"
    ) as error:
        await ours.commit(receipt.objects, properties={}, inputs={}, run_id="ours")
    assert error.value.kind == "conflict"
    assert (await store.newest(ASSET, KEY)).run_id == "the-winner"


async def test_a_stale_writer_of_the_version_before_learns_it(store, output):
    """Its version was current when it began, and no longer is."""
    await publish(store, V1, output("a", b"1"))
    stale = await store.begin(ASSET, KEY, V1)
    await publish(store, V2, output("a", b"2"))
    with pytest.raises(CommitConflict):
        await stale.commit([], properties={}, inputs={}, run_id="stale")


async def test_resuming_does_only_the_rest(store, output):
    attempt = await store.begin(ASSET, KEY, V1)
    results = {
        str(n): KernelResult(
            files=(output(f"t/{n}.tif", bytes([n])), output(f"u/{n}", b"")), facts={"n": n}
        )
        for n in range(3)
    }
    for chunk in ("0", "1"):
        assert not (await attempt.stage_chunk(chunk, results[chunk])).resumed
    again = await ArtifactStore(store.objects).begin(ASSET, KEY, V1)
    assert again.data_prefix == attempt.data_prefix
    finished = await again.finished()
    assert list(finished) == ["0", "1"] and all(receipt.resumed for receipt in finished.values())
    assert finished["1"].facts == {"n": 1} and [o.name for o in finished["1"].objects] == [
        "t/1.tif",
        "u/1",
    ]
    assert (await again.stage_chunk("1", results["1"])).resumed
    assert not (await again.stage_chunk("2", results["2"])).resumed
    other = await store.begin(ASSET, KEY, V2)
    assert await other.finished() == {}


async def test_a_receipt_without_its_objects_is_not_finished(store, output):
    attempt = await store.begin(ASSET, KEY, V1)
    result = KernelResult(files=(output("a", b"1"), output("b", b"2")))
    await attempt.stage_chunk("1", result)
    await store.objects.delete([f"{attempt.data_prefix}/b"])
    assert await attempt.finished() == {}
    assert (await attempt.stage_chunk("1", result)).resumed
    assert list(await attempt.finished()) == ["1"]


async def test_an_object_without_a_receipt_is_adopted(store, output):
    attempt = await store.begin(ASSET, KEY, V1)
    await attempt.stage(output("a", b"1"))
    receipt = await attempt.stage_chunk("1", KernelResult(files=(output("a", b"1"),)))
    assert not receipt.resumed and list(await attempt.finished()) == ["1"]


async def test_other_bytes_of_the_same_chunk_are_refused(store, output):
    attempt = await store.begin(ASSET, KEY, V1)
    await attempt.stage_chunk("1", KernelResult(files=(output("a", b"1"),)))
    with pytest.raises(ContractError, match="not deterministic"):
        await attempt.stage(output("a", b"2"))
    with pytest.raises(ContractError, match="another list of objects"):
        await attempt.stage_chunk("1", KernelResult(files=(output("b", b"1"),)))


async def test_damage_in_staging_is_found_on_resuming(store, output):
    attempt = await store.begin(ASSET, KEY, V1)
    receipt = await attempt.stage_chunk("1", KernelResult(files=(output("a", b"good"),)))
    await store.objects.put(f"{attempt.data_prefix}/a", b"Good")
    with pytest.raises(InputError, match=f"instead of {receipt.objects[0].sha256}.*/a"):
        await attempt.finished()


async def test_damage_of_a_published_object_is_found_on_reading(store, output, tmp_path):
    published = await publish(store, V1, output("a", b"good"))
    path = f"{published.data_prefix}/a"
    await store.objects.put(path, b"Good")
    with pytest.raises(InputError, match=f"instead of {published.objects[0].sha256}.*/a"):
        await store.local_file(published, "a", tmp_path / "scratch")
    await store.objects.put(path, b"longer")
    with pytest.raises(InputError, match="6 bytes instead of 4"):
        await store.local_file(published, "a", tmp_path / "scratch")
    await store.objects.delete([path])
    with pytest.raises(InputError, match="collected as garbage"):
        await store.local_file(published, "a", tmp_path / "scratch")


async def test_a_download_is_made_once(store, output, tmp_path):
    published = await publish(store, V1, output("a", b"1"))
    first = await store.local_file(published, "a", tmp_path / "scratch")
    await store.objects.delete([f"{published.data_prefix}/a"])
    if store.objects.local_path("a") is None:
        assert await store.local_file(published, "a", tmp_path / "scratch") == first
    with pytest.raises(KeyError, match="no object 'b'"):
        await store.local_file(published, "b", tmp_path / "scratch")


async def test_a_commit_lists_what_is_staged_and_nothing_else(store, output):
    attempt = await store.begin(ASSET, KEY, V1)
    staged = await attempt.stage(output("a", b"1"))
    await store.objects.delete([f"{attempt.data_prefix}/a"])
    with pytest.raises(ContractError, match=r"got none, in .*/a"):
        await attempt.commit([staged], properties={}, inputs={}, run_id="r")
    with pytest.raises(ContractError, match="1 repeated"):
        await attempt.commit([staged, staged], properties={}, inputs={}, run_id="r")


@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        ({"bbox": (0, 91, 1, 92)}, "degrees"),
        ({"bbox": (500000.0, 4500000.0, 500001.0, 4500001.0)}, "degrees"),
        ({"bbox": (0, float("nan"), 1, 1)}, "degrees"),
        ({"datetime": "yesterday"}, "RFC 3339"),
        ({"datetime": "2026-01-01T00:00:00"}, "RFC 3339"),
        ({"properties": {"mean": float("nan")}}, "without NaN"),
        ({"properties": {"path": Path("x")}}, "JSON"),
        ({"properties": {"created": "x"}}, "name of the commit"),
        ({"properties": {"geo_assets:version": "x"}}, "name of the commit"),
    ],
)
async def test_a_commit_that_readers_would_refuse_is_refused(wrong, says):
    attempt = await ArtifactStore(memory()).begin(ASSET, KEY, V1)
    values = {"properties": {}, "inputs": {}, "run_id": "r", **wrong}
    with pytest.raises(ContractError, match=says):
        await attempt.commit([], **values)


async def test_a_file_that_changed_after_its_kernel_is_refused(output):
    attempt = await ArtifactStore(memory()).begin(ASSET, KEY, V1)
    for size in (10, 2 << 20):
        file = output("a", b"1" * size)
        file.path.write_bytes(b"2" * size)
        with pytest.raises(ContractError, match="as its kernel checked it"):
            await attempt.stage(file)


async def test_names_that_are_no_paths(output):
    store = ArtifactStore(memory())
    attempt = await store.begin(ASSET, KEY, V1)
    for name in ("../x", "_chunks/1.json", "a b"):
        with pytest.raises(ContractError, match="plain segments"):
            await attempt.stage(output(name, b""))
    for chunk in ("a/b", "..", ""):
        with pytest.raises(ContractError):
            await attempt.stage_chunk(chunk, KernelResult())
    with pytest.raises(ConfigError, match="fingerprint"):
        await store.begin(ASSET, KEY, "a/b")
    with pytest.raises(ConfigError, match="sequence of parts"):
        await store.newest("raw/scenes", KEY)


async def test_a_version_without_objects(store):
    attempt = await store.begin(ASSET, KEY, V1)
    receipt = await attempt.stage_chunk("1", KernelResult(facts={"empty": True}))
    published = await attempt.commit(receipt.objects, properties={}, inputs={}, run_id="r")
    assert published.objects == () and list(await attempt.finished()) == ["1"]


async def test_a_damaged_commit_is_named(store, output):
    published = await publish(store, V1, output("a", b"1"))
    path = f"{published.data_prefix.split('/data/')[0]}/_commits/{1:012d}.json"
    for body in (b"", b"{}", b"[]", b"\xff", b'{"properties": {"geo_assets:format": 99}}'):
        await store.objects.put(path, body)
        with pytest.raises(InputError, match=r"000000000001\.json"):
            await store.newest(ASSET, KEY)


async def test_a_commit_in_the_wrong_place_is_named(output):
    store = ArtifactStore(memory())
    published = await publish(store, V1, output("a", b"1"))
    folder = f"{published.data_prefix.split('/data/')[0]}/_commits"
    body = await store.objects.get(f"{folder}/{1:012d}.json")
    await store.objects.put(f"{folder}/{2:012d}.json", body)
    with pytest.raises(InputError, match="lies where it says"):
        await store.newest(ASSET, KEY)


async def test_thousands_of_commits(output):
    """The newest is found by number, whatever the order of the listing, across pages."""
    store = ArtifactStore(memory())
    published = await publish(store, V1, output("a", b"1"))
    folder = f"{published.data_prefix.split('/data/')[0]}/_commits"
    body = (await store.objects.get(f"{folder}/{1:012d}.json")).decode()
    for number in range(2, 2501):
        numbered = body.replace('sequence": 1', f'sequence": {number}')
        await store.objects.put(f"{folder}/{number:012d}.json", numbered.encode())
    attempt = await ArtifactStore(store.objects).begin(ASSET, KEY, V2)
    assert attempt.base == 2500 and (await store.begin(ASSET, KEY, V2)).base == 2500


async def test_a_store_serves_many_event_loops(tmp_path, output):
    """An I/O manager commits from a loop of its own."""
    store = ArtifactStore(open_store(str(tmp_path / "root")))
    first = await publish(store, V1, output("a", b"1"))
    second = await asyncio.to_thread(lambda: asyncio.run(publish(store, V2, output("a", b"2"))))
    assert await store.newest(ASSET, KEY) == second and second.sequence == first.sequence + 1


async def test_derived_files_cannot_undo_a_commit(output, monkeypatch, caplog):
    store = ArtifactStore(memory())
    await store.probe()

    async def full(path: str, body: bytes) -> None:
        raise ConfigError("The folder can be written and has room", "No space left on device")

    monkeypatch.setattr(store.objects, "put", full)
    with caplog.at_level(logging.WARNING):
        published = await publish(store, V1, output("a", b"1"))
    assert await store.newest(ASSET, KEY) == published
    assert "its STAC files are not" in caplog.text


async def test_an_output_file_is_an_object_of_its_bytes(output):
    """The record that kernels make is what staging checks."""
    file = output("a", b"abc")
    assert isinstance(file, OutputFile) and file.size == 3


WRITER = """
import asyncio, sys
from pathlib import Path
from geo_assets.model import KernelResult, OutputFile
from geo_assets.store.artifact import ArtifactStore
from geo_assets.store.objects import open_store

async def main(root, work):
    store = ArtifactStore(open_store(root))
    attempt = await store.begin(("raw", "scenes"), "day", "1" * 32)
    finished, receipts = await attempt.finished(), []
    print("resumed", len(finished), flush=True)
    for number in range(60):
        if (receipt := finished.get(str(number))) is None:
            path = Path(work) / str(number)
            path.write_bytes(bytes([number]) * 50_000)
            file = OutputFile.of(path, f"t/{number}.bin", "application/octet-stream")
            receipt = await attempt.stage_chunk(str(number), KernelResult(files=(file,)))
            print("staged", number, flush=True)
        receipts.append(receipt)
    objects = [item for receipt in receipts for item in receipt.objects]
    await attempt.commit(objects, properties={}, inputs={}, run_id="run")

asyncio.run(main(*sys.argv[1:]))
"""


async def test_a_killed_writer_is_resumed_to_the_same_bytes(tmp_path):
    """kill -9 in the middle: nothing is visible, and only the missing chunks are done again."""
    script, work = tmp_path / "writer.py", tmp_path / "work"
    script.write_text(WRITER)
    work.mkdir()

    async def run(root: Path, *, kill_after: int | None) -> list[str]:
        process = await asyncio.create_subprocess_exec(
            sys.executable, script, root, work, stdout=asyncio.subprocess.PIPE
        )
        assert process.stdout
        lines: list[str] = []
        async for line in process.stdout:
            lines.append(line.decode().strip())
            if len(lines) == kill_after:
                process.kill()
        assert await process.wait() == (0 if kill_after is None else -signal.SIGKILL)
        return lines

    root, undisturbed = tmp_path / "root", tmp_path / "undisturbed"
    killed = await run(root, kill_after=20)
    store = ArtifactStore(open_store(str(root)))
    assert await store.newest(ASSET, "day") is None
    resumed = await run(root, kill_after=None)
    count = int(resumed[0].split()[1])
    assert count >= len(killed) - 1 and len(resumed) == 1 + 60 - count
    await run(undisturbed, kill_after=None)
    published = await store.newest(ASSET, "day")
    other = await ArtifactStore(open_store(str(undisturbed))).newest(ASSET, "day")
    assert published and published == other and len(published.objects) == 60
    for stored in published.objects:
        await store.local_file(published, stored.name, tmp_path)
