"""Whose costs are whose: partitions, workers, chunks, requests."""

from __future__ import annotations

import asyncio

import pytest

from geo_assets.engine.measure import Measure
from geo_assets.engine.series import POINTS, Series
from geo_assets.engine.telemetry import Telemetry
from geo_assets.engine.trace import KEPT, ChunkTrace, Longest
from geo_assets.store.objects import open_store
from geo_assets.store.observed import ObservedObjects
from geo_assets_tests.engine import faulty
from geo_assets_tests.engine.conftest import MIB, collect, make


async def test_partitions_at_the_same_time_have_costs_of_their_own(engine):
    async def partition(number: int, size: int):
        with engine.telemetry.own() as share:
            chunks = [make(faulty.hog, n, size=size * MIB, name=f"p{number}-{n}")
                      for n in range(number)]  # fmt: skip
            done = await collect(engine, chunks)
            assert len(done) == number
        return share.snapshot()

    with engine.telemetry.measure() as measure:
        shares = await asyncio.gather(partition(1, 40), partition(2, 10), partition(3, 10))
    run = measure.snapshot()
    assert [share["geo_assets/chunks_done"] for share in shares] == [1, 2, 3]
    assert shares[0]["geo_assets/chunk_peak_bytes"] > 38 * MIB
    assert shares[2]["geo_assets/chunk_peak_bytes"] < 30 * MIB
    for name in ("chunks_done", "bytes_out", "cpu_s", "compute_s", "compute_wait_s"):
        parts = sum(share.get(f"geo_assets/{name}", 0) for share in shares)
        assert parts == pytest.approx(run[f"geo_assets/{name}"], abs=0.003)
    assert "geo_assets/loop_lag_max_ms" not in shares[0]


async def test_a_failed_kernel_has_cost_cpu_too(engine):
    with engine.telemetry.own() as share:
        await collect(engine, [make(faulty.bad_input, 1)])
    assert share.seconds["cpu"] > 0
    assert share.snapshot()["geo_assets/chunks_lost"] == 1


async def test_every_worker_is_told_by_its_slot(engine):
    chunks = [make(faulty.hog, n, size=30 * MIB, seconds=0.2) for n in range(2)]
    await collect(engine, chunks)
    values = engine.telemetry.snapshot()
    for slot in (1, 2):
        assert values[f"geo_assets/worker_{slot}_rss_peak_bytes"] > 30 * MIB
        assert values[f"geo_assets/worker_{slot}_cpu_s"] > 0
    assert values["geo_assets/worker_rss_peak_bytes"] == max(
        values[f"geo_assets/worker_{slot}_rss_peak_bytes"] for slot in (1, 2)
    )
    assert "geo_assets/worker_3_cpu_s" not in values


async def test_queues_and_the_budget_are_seen(engine):
    chunks = [make(faulty.good, n, seconds=0.1, mib=150) for n in range(6)]
    with engine.telemetry.measure() as measure:
        await collect(engine, chunks)
    values = measure.snapshot()
    assert 3 <= values["geo_assets/compute_queue"] <= 6
    assert values["geo_assets/compute_wait_s"] > 0.2
    assert 0.2 < values["geo_assets/budget_use"] <= 1
    assert max(measure.memory_curve.points) >= 0


async def test_a_chunk_is_followed_through_its_stages(engine):
    seen: list[ChunkTrace] = []
    engine.telemetry.on_chunk.append(seen.append)

    async def fetch(chunk):
        await asyncio.sleep(0.01)
        return chunk

    with engine.telemetry.measure() as measure:
        await collect(engine, [make(faulty.good, 1), make(faulty.bad_input, 2)], fetch=fetch)
    good, bad = sorted(seen, key=lambda trace: trace.chunk)
    assert [name for name, _, _ in good.marks] == ["fetch", "compute", "stage"]
    ends = [end for _, _, end in good.marks]
    assert good.began <= ends[0] < ends[1] < ends[2] <= good.ended
    assert good.worker.startswith("w")
    assert (good.error, bad.error) == ("", "input")
    assert good.bytes_out == len('{"number": 1}')
    assert measure.longest.traces() == sorted(seen, key=lambda trace: trace.began)


async def test_requests_are_counted_for_the_partition_that_makes_them(engine, tmp_path):
    store = await asyncio.to_thread(lambda: ObservedObjects(open_store(str(tmp_path / "root"))))
    with engine.telemetry.own() as share:
        await store.create("a/one", b"12345")
        assert await store.get("a/one") == b"12345"
        assert await store.get_range("a/one", 1, 2) == b"23"
        await store.download("a/one", tmp_path / "copy")
        await store.create("a/one", b"other")
        assert [meta.path async for meta in store.list("a")] == ["a/one"]
    await store.head("a/one")
    values = share.snapshot()
    assert values["geo_assets/requests"] == 6
    assert values["geo_assets/bytes_read"] == 5 + 2 + 5
    assert values["geo_assets/bytes_written"] == 5
    assert engine.telemetry.snapshot()["geo_assets/requests"] == 7


def test_the_longest_chunks_are_kept_in_the_order_in_which_they_began():
    longest = Longest()
    for n in range(100):
        longest.add(ChunkTrace(chunk=str(n), began=float(n), ended=n + (n * 37) % 100))
    kept = longest.traces()
    assert len(kept) == KEPT
    assert min(trace.seconds for trace in kept) == 100 - KEPT
    assert [trace.began for trace in kept] == sorted(trace.began for trace in kept)


def test_a_curve_is_bounded_and_keeps_its_peaks():
    curve = Series(start=0.0)
    for n in range(100_000):
        curve.add(9.0 if n == 31_415 else 1.0, now=n / 50)
    assert len(curve.points) <= POINTS
    assert sorted(curve.points)[-2:] == [1.0, 9.0]
    assert curve.seconds == pytest.approx(2000, rel=0.05)
    place = curve.points.index(9.0) / len(curve.points) * curve.seconds
    assert place == pytest.approx(31_415 / 50, abs=2 * curve.seconds / POINTS)


def test_numbers_are_flat_whatever_was_noted():
    telemetry = Telemetry(2, MIB)
    telemetry.count("retries_transient")
    values = telemetry.snapshot() | Measure(1, MIB).snapshot()
    assert all(type(value) in (int, float) for value in values.values())
