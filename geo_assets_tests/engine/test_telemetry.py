"""The numbers are honest."""

from __future__ import annotations

import asyncio
import random
import time

import pytest

from geo_assets.engine.histogram import Histogram
from geo_assets.engine.telemetry import Telemetry
from geo_assets_tests.engine import faulty
from geo_assets_tests.engine.conftest import MIB, collect, make


def deliberate_block(seconds):
    time.sleep(seconds)


async def test_a_blocked_loop_is_measured_and_its_stack_logged(caplog):
    telemetry = Telemetry(1, MIB)
    with telemetry.measure() as measure:
        await asyncio.sleep(0.1)
        deliberate_block(0.12)
        await asyncio.sleep(0.1)
    snapshot = measure.snapshot()
    assert snapshot["geo_assets/loop_lag_max_ms"] >= 95
    assert snapshot["geo_assets/loop_stalls"] >= 1
    stacks = [record.getMessage() for record in caplog.records if "here" in record.message]
    assert any("deliberate_block" in stack for stack in stacks)


def test_a_stopped_loop_is_not_a_late_one():
    """Dagster drives a generator item by item and works between the items."""
    telemetry = Telemetry(1, MIB)

    async def items():
        with telemetry.measure() as measure:
            for _ in range(3):
                await asyncio.sleep(0.06)
                yield measure

    loop = asyncio.new_event_loop()
    generator = items()
    for _ in range(3):
        measure = loop.run_until_complete(anext(generator))
        time.sleep(0.2)
    loop.run_until_complete(generator.aclose())
    loop.close()
    assert measure.lag.number >= 3
    assert measure.snapshot()["geo_assets/loop_lag_max_ms"] < 150


async def test_nothing_is_sampled_outside_a_measure():
    telemetry = Telemetry(1, MIB)
    await asyncio.sleep(0.05)
    deliberate_block(0.06)
    await asyncio.sleep(0.05)
    assert telemetry.total.lag.number == 0


async def test_each_measure_counts_its_own_span(engine):
    with engine.telemetry.measure() as first:
        await collect(engine, [make(number=n) for n in range(3)])
    with engine.telemetry.measure() as second:
        await collect(engine, [make(number=9), make(faulty.bad_input, 1)])
        await asyncio.sleep(0.1)
    one, two = first.snapshot(), second.snapshot()
    total = engine.telemetry.snapshot()
    assert (one["geo_assets/chunks_done"], two["geo_assets/chunks_done"]) == (3, 1)
    assert (one["geo_assets/chunks_lost"], two["geo_assets/chunks_lost"]) == (0, 1)
    assert total["geo_assets/chunks_done"] == 4
    assert total["geo_assets/bytes_out"] == 4 * len('{"number": 0}')
    for snapshot in (one, two, total):
        assert all(type(value) in (int, float) for value in snapshot.values())
        assert all(key.startswith("geo_assets/") for key in snapshot)
    assert two["geo_assets/memory_peak_bytes"] > 20 * MIB
    wall = one["geo_assets/wall_s"]
    await asyncio.sleep(0.02)
    assert first.snapshot()["geo_assets/wall_s"] == wall


async def test_memory_peaks_see_the_worker(engine):
    await collect(engine, [make(faulty.hog, 1, mib=300, size=200 * MIB, seconds=0.3)])
    snapshot = engine.telemetry.snapshot()
    assert 200 * MIB < snapshot["geo_assets/worker_rss_peak_bytes"] < 300 * MIB
    assert snapshot["geo_assets/memory_peak_bytes"] > 220 * MIB
    assert 195 * MIB < snapshot["geo_assets/chunk_peak_bytes"] < 220 * MIB
    assert snapshot["geo_assets/budget_bytes"] == 400 * MIB
    assert snapshot["geo_assets/cpu_s"] > 0


def test_quantiles_against_sorted_values():
    chance = random.Random(7)
    values = [chance.expovariate(100) for _ in range(5000)]
    histogram = Histogram()
    for value in values:
        histogram.add(value)
    values.sort()
    for part in (0.5, 0.9, 0.99, 1.0):
        exact = values[min(len(values) - 1, int(part * len(values)))]
        assert histogram.quantile(part) == pytest.approx(exact, rel=0.11)
    assert histogram.largest == values[-1]
    assert Histogram().quantile(0.5) == 0
    histogram.add(1e9)
    assert histogram.quantile(1.0) > 100
