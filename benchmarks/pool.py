"""What a chunk costs beyond its kernel: our pool against `ProcessPoolExecutor`.

    python benchmarks/pool.py [chunks]

Both run the same empty kernel in two processes. The executor's number is its floor: it has no
memory budget, no time limit, no work folder, and loses every chunk when one worker dies.
"""

from __future__ import annotations

import asyncio
import multiprocessing
import statistics
import sys
import tempfile
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from time import perf_counter

from geo_assets.engine.budget import MemoryBudget
from geo_assets.engine.engine import Engine
from geo_assets.model import Chunk, KernelResult
from geo_assets.settings import Settings

WORKERS = 2
WINDOW = 16
ROUNDS = 3


def empty(spec: int, _workdir: Path) -> KernelResult:
    """A kernel that does nothing."""
    return KernelResult(facts={"number": spec})


def chunk(number: int) -> Chunk:
    from benchmarks import pool  # by name: workers do not know this script's main module

    return Chunk(id=f"c{number}", kernel=pool.empty, spec=number, predicted_bytes=1 << 20)


async def ours_stream(engine: Engine, number: int) -> None:
    """The whole way: folder, admission, worker, stage."""

    async def stage(_chunk: Chunk, _result: KernelResult) -> None:
        return None

    async for _ in engine.stream((chunk(n) for n in range(number)), stage=stage):
        pass


async def ours_pool(engine: Engine, number: int) -> None:
    """Only the pool and the budget, as many at once as there are workers."""
    budget = MemoryBudget(1 << 30, WORKERS)
    todo = iter(range(number))

    async def worker() -> None:
        for each in todo:
            async with budget.lease(1 << 20) as lease:
                await engine.pool.run(chunk(each), engine.scratch, lease)

    await asyncio.gather(*(worker() for _ in range(WORKERS)))


async def theirs(executor: ProcessPoolExecutor, number: int) -> None:
    """The standard library's pool, awaited from the loop."""
    from benchmarks import pool

    loop = asyncio.get_running_loop()
    todo = iter(range(number))

    async def worker() -> None:
        for each in todo:
            await loop.run_in_executor(executor, pool.empty, each, Path())

    await asyncio.gather(*(worker() for _ in range(WINDOW)))


async def measure(name: str, run, thing, number: int) -> None:
    await run(thing, 50)
    times = []
    for _ in range(ROUNDS):
        start = perf_counter()
        await run(thing, number)
        times.append((perf_counter() - start) / number * 1e6)
    print(f"{name:38} {statistics.median(times):7.0f} µs per chunk")


async def main(number: int) -> None:
    context = multiprocessing.get_context("forkserver")
    with tempfile.TemporaryDirectory() as folder:
        settings = Settings(scratch=Path(folder), workers=WORKERS, memory_bytes=1 << 30)
        start = perf_counter()
        async with Engine.open(settings) as engine:
            await ours_pool(engine, 1)
            print(f"{'first result, preload included':38} {perf_counter() - start:7.2f} s")
            await measure("WorkerPool", ours_pool, engine, number)
            await measure("Engine.stream", ours_stream, engine, number)
            lag = engine.telemetry.snapshot()["geo_assets/loop_lag_p99_ms"]
            print(f"{'loop lag p99 during the stream':38} {lag:7.1f} ms")
    with ProcessPoolExecutor(WORKERS, mp_context=context) as executor:
        await measure("ProcessPoolExecutor(forkserver)", theirs, executor, number)


if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).parents[1]))
    asyncio.run(main(int(sys.argv[1]) if len(sys.argv) > 1 else 1000))
