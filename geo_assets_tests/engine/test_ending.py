"""However a program ends, it leaves no worker and no file."""

from __future__ import annotations

import os
import signal

import pytest

from geo_assets.engine.scratch import scratch_folder
from geo_assets_tests.engine.conftest import alive, descendants, wait_until

PROGRAM = """
    import asyncio, sys
    from pathlib import Path
    from geo_assets.engine.engine import Engine
    from geo_assets.engine.scope import interruptible
    from geo_assets.model import Chunk
    from geo_assets.settings import Settings
    from geo_assets_tests.engine import faulty

    class Interrupted(BaseException):
        pass

    async def stage(chunk, result):
        return None

    async def main():
        settings = Settings(scratch=Path(sys.argv[1]) / "root", workers=2, memory_bytes=1 << 28)
        chunks = [Chunk(id=f"c{n}", kernel=faulty.hang, spec=faulty.Spec(), predicted_bytes=1)
                  for n in range(8)]
        async with interruptible(Interrupted):
            async with Engine.open(settings, preload=()) as engine:
                async for item in engine.stream(chunks, stage=stage):
                    pass

    if __name__ == "__main__":
        print("up", flush=True)
        try:
            asyncio.run(main())
        except Interrupted:
            print("interrupted", flush=True)
            sys.exit(7)
"""


def running(program):
    """The nursery and both workers, once the workers are at work."""
    assert program.stdout.readline() == "up\n"
    return wait_until(lambda: len(found := descendants(program.pid)) == 3 and found, 20)


def test_kill_9_of_the_program_leaves_no_process(script, tmp_path):
    program = script(PROGRAM)
    pids = running(program)
    os.kill(program.pid, signal.SIGKILL)
    wait_until(lambda: not alive(pids), 2)
    program.wait()
    assert list((tmp_path / "root").iterdir())
    with scratch_folder(tmp_path / "root"):  # the next run sweeps what it left
        assert len(list((tmp_path / "root").iterdir())) == 2


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_everything_in_order(script, tmp_path, number):
    program = script(PROGRAM)
    pids = running(program)
    os.kill(program.pid, number)
    assert program.stdout.readline() == "interrupted\n"
    assert program.wait(3) == 7
    assert not alive(pids)
    assert not list((tmp_path / "root").iterdir())


def test_kill_9_of_the_nursery_ends_its_workers(script):
    program = script(PROGRAM)
    pids = running(program)
    (nursery,) = [pid for pid in pids if len(descendants(pid)) == 2]
    workers = descendants(nursery)
    os.kill(nursery, signal.SIGKILL)
    wait_until(lambda: not alive(workers), 2)


DAGSTER = """
    import sys
    from pathlib import Path
    import dagster as dg
    from geo_assets.engine.engine import Engine
    from geo_assets.model import Chunk
    from geo_assets.settings import Settings
    from geo_assets_tests.engine import faulty

    @dg.asset
    async def tiles() -> None:
        settings = Settings(scratch=Path(sys.argv[1]) / "root", workers=1, memory_bytes=1 << 28)
        async with Engine.open(settings) as engine:
            result = await engine.run(
                Chunk(id="c", kernel=faulty.modules, spec=faulty.Spec(), predicted_bytes=1),
                engine.scratch)
        facts = result.facts
        print("facts", "dagster" in facts["modules"], "asyncio" in facts["modules"],
              facts["main_file"], flush=True)

    print(dg.materialize([tiles]).success, flush=True)
"""


def test_a_worker_of_a_dagster_process_knows_no_dagster(script):
    """The program's main module imports Dagster at its top and has no `__main__` guard."""
    program = script(DAGSTER)
    lines = program.stdout.read().splitlines()
    assert lines.count("True") == 1, "the main module ran once"
    assert any(line.startswith("facts False") and line.endswith("None") for line in lines)
