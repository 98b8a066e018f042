"""Admission never exceeds the total, keeps the order and starves nobody."""

from __future__ import annotations

import asyncio
import threading

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from geo_assets.engine.budget import SMALLEST_LEASE, Corrections, MemoryBudget
from geo_assets.errors import ConfigError

MIB = 1 << 20
TOTAL = 100 * MIB

requests = st.lists(
    st.tuples(
        st.integers(0, 100),  # MiB asked for
        st.integers(0, 3),  # turns of the loop that it is held
        st.integers(0, 150),  # MiB it turns out to need
        st.booleans(),  # cancelled while it waits or runs
    ),
    max_size=30,
)


@settings(max_examples=60, deadline=None)
@given(requests=requests, slots=st.integers(1, 4))
def test_the_total_is_never_exceeded_and_the_order_is_kept(requests, slots):
    async def main():
        budget = MemoryBudget(TOTAL, slots)
        admitted, running = [], 0

        async def one(place, ask, turns, seen):
            nonlocal running
            async with budget.lease(ask * MIB) as lease:
                admitted.append(place)
                running += 1
                assert running <= slots
                assert budget.held <= TOTAL
                try:
                    for turn in range(turns):
                        await asyncio.sleep(0)
                        if not budget.grow(lease, seen * MIB * (turn + 1) // turns):
                            break
                        assert budget.held <= TOTAL
                finally:
                    running -= 1

        tasks = [asyncio.create_task(one(n, *r[:3])) for n, r in enumerate(requests)]
        await asyncio.sleep(0)
        for task, request in zip(tasks, requests, strict=True):
            if request[3] and not task.done():
                task.cancel()
                await asyncio.sleep(0)
        if tasks:
            await asyncio.wait(tasks, timeout=10)
        return budget, admitted, tasks

    budget, admitted, tasks = asyncio.run(main())
    assert admitted == sorted(admitted)
    assert budget.held == 0
    assert budget.waiting == 0
    assert budget.peak <= TOTAL
    assert all(task.done() for task in tasks)
    failed = [t.exception() for t in tasks if not t.cancelled() and t.exception()]
    assert not failed


async def test_a_large_chunk_is_not_overtaken_for_ever():
    budget = MemoryBudget(TOTAL, 8)
    order = []

    async def hold(name, size, turns):
        async with budget.lease(size):
            order.append(name)
            for _ in range(turns):
                await asyncio.sleep(0)

    async with asyncio.TaskGroup() as group:
        group.create_task(hold("small-0", 10 * MIB, 5))
        await asyncio.sleep(0)
        group.create_task(hold("large", 95 * MIB, 1))
        for number in range(1, 20):
            await asyncio.sleep(0)
            group.create_task(hold(f"small-{number}", 10 * MIB, 5))
    assert order[:2] == ["small-0", "large"]


async def test_alone_means_alone():
    budget = MemoryBudget(TOTAL, 4)
    running = set()

    async def hold(name, *, alone=False):
        async with budget.lease(MIB, alone=alone):
            running.add(name)
            assert not alone or running == {name}
            assert alone or "alone" not in running
            await asyncio.sleep(0.001)
            running.discard(name)

    async with asyncio.TaskGroup() as group:
        for number in range(12):
            name = "alone" if number == 5 else str(number)
            group.create_task(hold(name, alone=number == 5))


async def test_what_can_never_fit_is_refused_at_once():
    budget = MemoryBudget(TOTAL, 1)
    with pytest.raises(ConfigError, match="at least 101M"):
        async with budget.lease(TOTAL + 1, where="10-5-3"):
            raise AssertionError


async def test_a_correction_never_makes_a_chunk_too_large_to_admit():
    budget = MemoryBudget(TOTAL, 2)
    budget.corrections.learn("k", predicted=10 * MIB, seen=30 * MIB)
    async with budget.lease(60 * MIB, kernel="k") as lease:
        assert lease.held == TOTAL


async def test_growth_takes_from_what_is_free_and_then_is_refused():
    budget = MemoryBudget(TOTAL, 2)
    async with budget.lease(40 * MIB) as first, budget.lease(40 * MIB) as second:
        assert budget.grow(first, 60 * MIB)
        assert not budget.grow(second, 41 * MIB)
        assert second.refused
        assert budget.grow(second, 39 * MIB)
    async with budget.lease(1) as lease:
        assert lease.held == SMALLEST_LEASE
        assert budget.grow(lease, TOTAL)
        assert not budget.grow(lease, TOTAL + 1)
        assert not lease.refused  # it had everything: no other chance would help


async def test_growth_from_a_thread_keeps_the_sum():
    budget = MemoryBudget(TOTAL, 4)
    stop = threading.Event()
    leases = []

    def push():
        while not stop.is_set():
            for lease in tuple(leases):
                budget.grow(lease, lease.held + MIB)

    thread = threading.Thread(target=push)
    thread.start()

    async def one():
        async with budget.lease(5 * MIB) as lease:
            leases.append(lease)
            await asyncio.sleep(0.002)
            assert budget.held <= TOTAL
        leases.remove(lease)  # given back before: the thread may still try to grow it

    async with asyncio.TaskGroup() as group:
        for _ in range(60):
            group.create_task(one())
    stop.set()
    await asyncio.to_thread(thread.join)
    assert budget.held == 0


@given(st.lists(st.tuples(st.integers(0, 1 << 40), st.integers(0, 1 << 40)), max_size=20))
def test_corrections_stay_bounded_and_follow_upwards_at_once(seen):
    corrections = Corrections()
    for predicted, found in seen:
        before = corrections.ratio("k")
        corrections.learn("k", predicted=predicted, seen=found)
        after = corrections.ratio("k")
        assert 0.5 <= after <= 3.0
        assert after >= before * 0.9 - 1e-9
        assert after >= min(3.0, found / max(predicted, MIB)) - 1e-9
