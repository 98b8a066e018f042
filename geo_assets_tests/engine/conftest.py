"""Engines on small settings, and what is left of them."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
import textwrap
import time
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest
from blockbuster import blockbuster_ctx

from geo_assets.engine.engine import Engine
from geo_assets.engine.retry import NO_WAIT
from geo_assets.model import Chunk
from geo_assets.settings import Settings
from geo_assets_tests.engine import faulty

MIB = 1 << 20


def make(kernel=faulty.good, number=0, *, mib=10, timeout=30.0, name=None, **spec) -> Chunk:
    return Chunk(
        id=name or f"c{number}",
        kernel=kernel,
        spec=faulty.Spec(number=number, **spec),
        predicted_bytes=mib * MIB,
        timeout_s=timeout,
    )


def alive(pids) -> list[int]:
    found = []
    for pid in pids:
        try:
            if psutil.Process(pid).status() != psutil.STATUS_ZOMBIE:
                found.append(pid)
        except psutil.NoSuchProcess:
            pass
    return found


def descendants(pid: int) -> list[int]:
    return [child.pid for child in psutil.Process(pid).children(recursive=True)]


def wait_until(true: Callable[[], object], seconds: float = 5.0):
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if value := true():
            return value
        time.sleep(0.02)
    raise AssertionError("it did not happen in time")


async def facts_of(chunk, result):
    return dict(result.facts)


async def collect(engine: Engine, chunks, stage=facts_of, fetch=None) -> dict:
    """Chunk id to what came out of the stream."""
    return {item.chunk.id: item async for item in engine.stream(chunks, stage=stage, fetch=fetch)}


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings(scratch=tmp_path / "scratch", workers=2, memory_bytes=400 * MIB)


@pytest.fixture
async def engine(settings):
    """An engine without preload; when the test is over nothing of it may be left."""
    before = set(descendants(os.getpid()))
    with blockbuster_ctx():  # nothing that the engine does on the loop may block it
        async with Engine.open(settings, retry=NO_WAIT, preload=()) as opened:
            yield opened
    left = [pid for pid in alive(descendants(os.getpid())) if pid not in before]
    assert not left
    assert not list(settings.scratch.iterdir())
    assert not [task for task in asyncio.all_tasks() if task.get_name().startswith("chunk")]


@pytest.fixture
def script(tmp_path: Path):
    """Start a program of its own; what is left of it is killed afterwards."""
    started = []

    def start(source: str) -> subprocess.Popen:
        path = tmp_path / "program.py"
        path.write_text(textwrap.dedent(source))
        process = subprocess.Popen(
            [sys.executable, str(path), str(tmp_path)], stdout=subprocess.PIPE, text=True
        )
        started.append(process)
        return process

    yield start
    for process in started:
        process.kill()
        process.wait()
        process.stdout.close()
