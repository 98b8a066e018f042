"""A worker that is lost costs its own chunk and nothing else."""

from __future__ import annotations

import asyncio
import os
import random
import signal
from dataclasses import replace

import psutil
import pytest

from geo_assets.engine.engine import Done, Engine, Lost
from geo_assets.engine.pool import Recycling
from geo_assets.engine.retry import NO_WAIT
from geo_assets.errors import (
    ConfigError,
    ContractError,
    GeoAssetsError,
    InputError,
    TransientError,
    WorkerCrashed,
    WorkerMemory,
    WorkerTimeout,
)
from geo_assets_tests.engine import faulty
from geo_assets_tests.engine.conftest import MIB, collect, make

LOSSES = [
    (faulty.kill, WorkerCrashed, "SIGKILL"),
    (faulty.segfault, WorkerCrashed, "SIGSEGV"),
    (faulty.leave, WorkerCrashed, "exit code 3"),
    (faulty.leave_hard, WorkerCrashed, "exit code 4"),
    (faulty.close_channel, WorkerTimeout, "within 0.3 s"),
    (faulty.hang, WorkerTimeout, "within 0.3 s"),
    (faulty.stop, WorkerTimeout, "within 0.3 s"),
    (faulty.two_arguments, GeoAssetsError, "TwoArguments"),
    (faulty.foreign, GeoAssetsError, "RasterioIOError"),
    (faulty.no_pickle, ContractError, "no pickle of me"),
    (faulty.not_a_result, ContractError, "int"),
    (faulty.too_large, ContractError, "2097"),
    (faulty.memory_error, WorkerMemory, "931 GiB"),
    (faulty.bad_input, InputError, "CRS"),
    (faulty.value_error, ValueError, "plain"),
]


@pytest.mark.parametrize(
    ("kernel", "kind", "text"), LOSSES, ids=lambda v: getattr(v, "__name__", "")
)
async def test_one_bad_chunk_is_lost_alone(engine, kernel, kind, text):
    chunks = [make(number=n) for n in range(6)]
    # Only what never ends is held to a short time: the others import libraries first.
    chunks[2] = make(kernel, 2, timeout=0.3 if kind is WorkerTimeout else 60)
    items = await collect(engine, chunks)
    lost = items.pop("c2")
    assert isinstance(lost, Lost)
    assert type(lost.error) is kind
    assert text in str(lost.error)
    assert [items[f"c{n}"].value["number"] for n in (0, 1, 3, 4, 5)] == [0, 1, 3, 4, 5]
    assert engine.telemetry.snapshot()["geo_assets/chunks_lost"] == 1


async def test_errors_keep_type_and_fields(engine):
    items = await collect(engine, [make(faulty.bad_input, 0), make(faulty.value_error, 1)])
    error = items["c0"].error
    assert (error.rule, error.got, error.where, error.fix) == (
        "A scene has a CRS", "none", "a.tif", "Declare one.")  # fmt: skip
    assert items["c1"].error.args == ("plain", 7)
    assert "raise ValueError" in items["c1"].error.__notes__[0]  # the worker's traceback


async def test_a_foreign_error_does_not_import_its_library_here(engine):
    error = (await collect(engine, [make(faulty.foreign)]))["c0"].error
    assert "rasterio.errors.RasterioIOError" in error.__notes__[0]


async def test_a_crash_tells_what_the_worker_wrote_last(engine):
    error = (await collect(engine, [make(faulty.segfault)]))["c0"].error
    assert "string_at" in error.__notes__[0]


@pytest.mark.parametrize("kernel", [faulty.kill_once, faulty.hang_once])
async def test_a_lost_chunk_is_tried_once_more_in_an_empty_folder(engine, tmp_path, kernel):
    chunk = make(kernel, 0, marker=tmp_path / "first", timeout=0.5)
    items = await collect(engine, [chunk, make(number=1)])
    assert all(isinstance(item, Done) for item in items.values())
    assert engine.telemetry.snapshot()["geo_assets/retries"] == 1


@pytest.mark.parametrize("delay", [0.0, 0.0005, 0.001, 0.002, 0.004, 0.01])
async def test_killed_while_sending(engine, delay):
    """A reply that breaks off is a crash; one that came whole counts."""
    chunks = [make(number=n) for n in range(4)]
    chunks[1] = make(faulty.killed_while_sending, 1, seconds=delay)
    items = await collect(engine, chunks)
    item = items.pop("c1")
    if isinstance(item, Lost):
        assert type(item.error) is WorkerCrashed
    assert all(isinstance(other, Done) for other in items.values())


async def test_a_worker_killed_from_outside(engine):
    async def fetch(chunk):
        for pid in engine.pool.pids:
            os.kill(pid, signal.SIGKILL)
        return chunk

    chunks = [make(number=n, seconds=0.1) for n in range(6)]
    items = await collect(engine, chunks)
    assert len(engine.pool.pids) == 2
    items = await collect(engine, [make(number=9)], fetch=fetch)
    assert isinstance(items["c9"], Done)


async def test_the_nursery_killed_from_outside(engine):
    await engine.run(make(), engine.scratch)
    nursery = await asyncio.to_thread(lambda: psutil.Process(engine.pool.pids[0]).ppid())
    assert nursery != os.getpid()

    async def fetch(chunk):
        if chunk.id == "c2":
            os.kill(nursery, signal.SIGKILL)
        return chunk

    chunks = [make(number=n, seconds=0.05) for n in range(5)]
    items = await collect(engine, chunks, fetch=fetch)
    assert all(isinstance(item, Done) for item in items.values())


async def test_a_memory_hog_is_killed_and_its_neighbours_are_fine(engine):
    chunks = [make(number=n, seconds=0.2) for n in range(5)]
    chunks[1] = make(faulty.hog, 1, size=4096 * MIB)
    items = await collect(engine, chunks)
    lost = items.pop("c1")
    assert type(lost.error) is WorkerMemory
    assert "400 MiB" in str(lost.error)
    assert all(isinstance(item, Done) for item in items.values())
    assert engine.telemetry.snapshot()["geo_assets/worker_rss_peak_bytes"] < 1024 * MIB


async def test_an_underestimated_chunk_gets_another_chance_alone(engine):
    """It outgrows what its neighbour leaves it, but not the budget."""
    neighbour = make(number=0, seconds=1.0, mib=300)
    items = await collect(engine, [neighbour, make(faulty.hog, 1, mib=50, size=200 * MIB)])
    assert all(isinstance(item, Done) for item in items.values())
    assert engine.telemetry.snapshot()["geo_assets/retries_worker_memory"] == 1


async def test_growth_within_the_free_budget_is_granted_and_learned(engine):
    items = await collect(engine, [make(faulty.hog, 1, mib=50, size=120 * MIB, seconds=0.2)])
    assert isinstance(items["c1"], Done)
    assert 2.2 < engine.budget.corrections.ratio("geo_assets_tests.engine.faulty.hog") < 3.0
    assert engine.budget.peak >= 110 * MIB


async def test_a_chunk_larger_than_the_budget_is_refused_with_numbers(engine):
    error = (await collect(engine, [make(mib=401)]))["c0"].error
    assert type(error) is ConfigError
    assert "400 MiB" in str(error)
    assert "GEO_ASSETS_MEMORY to at least 401M" in str(error)
    assert engine.pool.started == 0


async def test_transient_errors_of_a_kernel_are_repeated(engine, tmp_path):
    marker = tmp_path / "tries"
    await asyncio.to_thread(marker.mkdir)
    chunk = make(faulty.transient_until, 3, marker=marker)
    assert isinstance((await collect(engine, [chunk]))["c3"], Done)
    snapshot = engine.telemetry.snapshot()
    assert snapshot["geo_assets/retries_transient"] == 3


async def test_transient_errors_end(engine, tmp_path):
    chunk = make(faulty.transient_until, 99, marker=tmp_path)
    error = (await collect(engine, [chunk]))["c99"].error
    assert type(error) is TransientError
    assert error.got == "EIO"


async def test_kernels_that_cannot_travel_are_refused(engine):
    def local(spec, workdir): ...

    items = await collect(engine, [make(local, 0), make(lambda s, w: None, 1)])
    assert {type(item.error) for item in items.values()} == {ContractError}
    large = make(number=2)
    items = await collect(engine, [large.with_spec("x" * (2 * MIB)), make(number=3)])
    assert type(items["c2"].error) is ContractError
    assert isinstance(items["c3"], Done)


async def test_workers_are_recycled(settings):
    recycling = Recycling(chunks=3)
    async with Engine.open(settings, retry=NO_WAIT, preload=(), recycling=recycling) as engine:
        pids = [(await engine.run(make(number=n), engine.scratch)).facts["pid"] for n in range(7)]
    assert [pids.count(pid) for pid in dict.fromkeys(pids)] == [3, 3, 1]


async def test_a_worker_that_grew_is_recycled(settings):
    recycling = Recycling(growth_bytes=20 * MIB)
    async with Engine.open(settings, retry=NO_WAIT, preload=(), recycling=recycling) as engine:
        chunks = [make(faulty.grow_resting, n, size=15 * MIB) for n in range(4)]
        pids = [(await engine.run(chunk, engine.scratch)).facts["pid"] for chunk in chunks]
    assert pids[0] == pids[1] != pids[2] == pids[3]


async def test_chaos(engine, tmp_path):
    """Random faults among good chunks: every good one is done, every bad one is its own loss."""
    chance = random.Random(11)
    bad = [kernel for kernel, _, _ in LOSSES if kernel is not faulty.foreign]
    kernels = [chance.choice([faulty.good, faulty.good, *bad]) for _ in range(40)]
    chunks = [
        make(kernel, number, timeout=0.2, mib=chance.randint(0, 150))
        for number, kernel in enumerate(kernels)
    ]
    items = await collect(engine, chunks)
    assert len(items) == 40
    for number, kernel in enumerate(kernels):
        item = items[f"c{number}"]
        if kernel is faulty.good:
            assert isinstance(item, Done), item
            assert item.value["number"] == number
        else:
            assert isinstance(item, Lost)
    assert engine.budget.peak <= engine.budget.total


@pytest.mark.parametrize("name", ["", ".", "..", "a/b"])
async def test_a_chunk_whose_id_leads_elsewhere_is_refused(engine, name):
    chunk = replace(make(), id=name)
    (item,) = (await collect(engine, [chunk])).values()
    assert type(item.error) is ContractError
    with pytest.raises(ContractError, match="one path segment"):
        await engine.run(chunk, engine.scratch)
