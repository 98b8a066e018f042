"""Order, bounds, back-pressure and the end of a stream."""

from __future__ import annotations

import asyncio
import gc
import time
from collections import Counter

import pytest

from geo_assets.engine import folders
from geo_assets.engine.engine import Done, Engine, Lost
from geo_assets.errors import ConfigError, InputError, TransientError
from geo_assets_tests.engine import faulty
from geo_assets_tests.engine.conftest import MIB, alive, collect, facts_of, make, wait_until


async def until(true):
    async with asyncio.timeout(5):
        while not true():  # noqa: ASYNC110 - a test may poll
            await asyncio.sleep(0.01)


def all_busy(engine):
    return sum(worker.busy for worker in engine.pool._all) == 2


async def test_completion_order(engine):
    await engine.run(make(number=9), engine.scratch)
    slow_first = [make(number=0, seconds=0.5), *(make(number=n) for n in range(1, 6))]
    order = [item.chunk.id async for item in engine.stream(slow_first, stage=facts_of)]
    assert sorted(order) == [f"c{n}" for n in range(6)]
    assert order[-1] == "c0"


async def test_files_exist_for_stage_and_are_gone_afterwards(engine):
    async def stage(chunk, result):
        (file,) = result.files
        return file.path, await asyncio.to_thread(file.path.read_text)

    items = await collect(engine, [make(number=n) for n in range(3)], stage=stage)
    await engine._work.folders.settle()
    for number in range(3):
        path, text = items[f"c{number}"].value
        assert text == f'{{"number": {number}}}'
        assert not await asyncio.to_thread(path.exists)


async def test_fetch_changes_the_spec(engine):
    async def fetch(chunk):
        return chunk.with_spec(faulty.Spec(number=chunk.spec.number + 100))

    items = await collect(engine, [make(number=n) for n in range(4)], fetch=fetch)
    assert [items[f"c{n}"].value["number"] for n in range(4)] == [100, 101, 102, 103]
    assert items["c1"].chunk.spec.number == 1


async def test_the_same_chunk_id_in_two_streams(engine):
    async def one(number):
        items = await collect(engine, [make(number=number, name="same", seconds=0.05)])
        return items["same"].value["number"]

    assert await asyncio.gather(one(1), one(2), one(3)) == [1, 2, 3]


async def test_a_slow_stage_bounds_folders_and_the_source(engine):
    taken = 0
    folders = []

    def source():
        nonlocal taken
        for number in range(60):
            taken += 1
            yield make(faulty.noop, number)

    done = 0

    async def stage(chunk, result):
        nonlocal done
        await asyncio.sleep(0.02)
        folders.append(len(await asyncio.to_thread(list, (engine.scratch / "work").iterdir())))
        done += 1
        assert taken - done <= 11

    items = await collect(engine, source(), stage=stage)
    assert len(items) == 60
    assert max(folders) <= 10


async def test_a_slow_consumer_bounds_the_source(engine):
    taken = 0

    async def source():
        nonlocal taken
        for number in range(1000):
            taken += 1
            yield make(faulty.noop, number)

    stream = engine.stream(source(), stage=facts_of)
    await anext(stream)
    await asyncio.sleep(0.5)
    assert taken <= 12
    await stream.aclose()


async def test_lost_in_fetch_and_in_stage(engine):
    async def fetch(chunk):
        if chunk.id == "c1":
            raise InputError("A source exists", "404")
        return chunk

    async def stage(chunk, result):
        if chunk.id == "c2":
            raise KeyError("bug")
        return chunk.id

    items = await collect(engine, [make(number=n) for n in range(4)], stage=stage, fetch=fetch)
    assert isinstance(items["c1"].error, InputError)
    assert isinstance(items["c2"].error, KeyError)
    assert items["c0"].value == "c0"
    assert items["c3"].value == "c3"


async def test_transient_faults_of_fetch_and_stage_are_repeated(engine):
    tries = Counter()

    async def fetch(chunk):
        tries["fetch", chunk.id] += 1
        if tries["fetch", chunk.id] < 3:
            raise TransientError("The network answers", "reset")
        return chunk

    async def stage(chunk, result):
        tries["stage", chunk.id] += 1
        if chunk.id == "c0":
            raise TransientError("The store answers", "503")

    items = await collect(engine, [make(number=n) for n in range(2)], stage=stage, fetch=fetch)
    assert isinstance(items["c0"].error, TransientError)
    assert tries == {("fetch", "c0"): 3, ("fetch", "c1"): 3, ("stage", "c0"): 5, ("stage", "c1"): 1}


async def test_an_error_of_the_source_reaches_the_consumer(engine):
    def source():
        yield make(number=0)
        raise RuntimeError("no more")

    with pytest.raises(RuntimeError, match="no more"):
        await collect(engine, source())
    assert isinstance((await collect(engine, [make()]))["c0"], Done)


@pytest.mark.parametrize("how", ["aclose", "break", "raise", "cancel"])
async def test_a_consumer_that_stops_ends_everything_in_flight(engine, how):
    chunks = [make(number=0), *(make(faulty.hang, n) for n in range(1, 40))]
    busy = []

    async def consume():
        stream = engine.stream(chunks, stage=facts_of)
        async for item in stream:
            assert item.chunk.id == "c0"
            await until(lambda: all_busy(engine))
            busy.extend(engine.pool.pids)
            if how == "aclose":
                await stream.aclose()
            if how == "raise":
                raise RuntimeError
            if how == "cancel":
                asyncio.current_task().cancel()
                await asyncio.sleep(0)
            if how != "aclose":
                break

    task = asyncio.create_task(consume())
    await asyncio.wait([task])
    if how == "raise":
        assert isinstance(task.exception(), RuntimeError)
    del task
    gc.collect()
    await until(lambda: not engine.budget.held)
    await asyncio.to_thread(wait_until, lambda: not alive(busy), 3)

    def left():
        return [path for path in engine.scratch.rglob("*") if path.is_file()]

    if how != "aclose":  # nobody waits for a stream that is merely dropped
        await asyncio.to_thread(wait_until, lambda: not left(), 5)
    assert not await asyncio.to_thread(left)
    assert engine.budget.waiting == 0
    assert isinstance((await collect(engine, [make()]))["c0"], Done)


async def test_closing_the_engine_ends_its_streams(settings):
    async with Engine.open(settings, preload=()) as engine:
        stream = engine.stream([make(number=0), make(faulty.hang, 1)], stage=facts_of)
        await anext(stream)
        await until(lambda: engine.pool.pids)
        pids = engine.pool.pids
    assert not alive(pids)
    await stream.aclose()


async def test_files_of_a_single_chunk_stay_as_long_as_the_folder(engine):
    async with engine.folder() as folder:
        results = [await engine.run(make(number=n), folder) for n in range(2)]
        texts = [await asyncio.to_thread(r.files[0].path.read_text) for r in results]
        assert texts == ['{"number": 0}', '{"number": 1}']
        with pytest.raises(InputError):
            await engine.run(make(faulty.bad_input), folder)
    await engine._work.folders.settle()
    assert not await asyncio.to_thread(results[0].files[0].path.exists)


async def test_concurrent_streams_share_evenly(engine):
    """Three partitions at once: none waits for the end of another."""
    finished = []

    async def partition(name):
        chunks = [make(number=n, seconds=0.02) for n in range(20)]
        async for item in engine.stream(chunks, stage=facts_of):
            assert isinstance(item, Done)
            finished.append(name)

    await asyncio.gather(*(partition(name) for name in "abc"))
    early = Counter(finished[:30])
    assert min(early[name] for name in "abc") >= 4


async def test_short_scratch_space_holds_chunks_back(engine, monkeypatch):
    monkeypatch.setattr(engine._work._space, "reserve", 1 << 60)
    (item,) = (await collect(engine, [make()])).values()
    assert isinstance(item, Lost)
    assert type(item.error) is ConfigError
    assert "GEO_ASSETS_SCRATCH" in str(item.error)


async def test_scratch_space_that_is_being_freed_is_waited_for(engine, monkeypatch):
    space, original = engine._work._space, folders._emptied

    def slowly(used):
        time.sleep(1)
        monkeypatch.undo()
        return original(used)

    async def fill_the_disk(chunk, result):
        monkeypatch.setattr(space, "reserve", 1 << 60)

    monkeypatch.setattr(folders, "_emptied", slowly)
    await collect(engine, [make(number=0)], stage=fill_the_disk)
    assert space.short
    (item,) = (await collect(engine, [make(number=1)])).values()
    assert isinstance(item, Done)


async def test_an_id_that_leaves_the_folder_is_refused(engine):
    items = await collect(engine, [make(name="../up")])
    assert isinstance(items["../up"], Lost)


async def test_the_budget_bounds_what_runs_together(engine):
    """Each of these fits alone, and no two of them together."""
    running = most = 0

    original = engine.pool.run

    async def counted(*args, **kwargs):
        nonlocal running, most
        running += 1
        most = max(most, running)
        try:
            return await original(*args, **kwargs)
        finally:
            running -= 1

    engine.pool.run = counted
    await collect(engine, [make(number=n, mib=250, seconds=0.03) for n in range(5)])
    assert most == 1
    assert engine.budget.peak <= 400 * MIB


async def test_closing_the_engine_ends_a_stream_of_one_chunk(settings):
    async def consume(engine):
        async for _ in engine.stream([make(faulty.hang)], stage=facts_of):
            pass

    async with Engine.open(settings, preload=()) as engine:
        task = asyncio.create_task(consume(engine))
        await until(lambda: engine.pool.pids)
        pids = engine.pool.pids
    assert task.cancelled()
    assert not alive(pids)
