"""Runs the real store code in a chosen order, one operation at a time, with chosen faults.

Each actor's next store operation waits until the schedule lets it go on. So a schedule, a
list of choices, determines a run, and many schedules explore many runs.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextvars import ContextVar
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from geo_assets.errors import TransientError
from geo_assets.store.objects import ObjectMeta

_actor: ContextVar[str] = ContextVar("actor")
_EPOCH = datetime(2026, 1, 1, tzinfo=UTC)


class Crash(BaseException):
    """The process of an actor ends here."""


class SteppedStore:
    """A store in a dictionary whose every operation waits for its turn."""

    uri = "stepped://"

    def __init__(self, check: Callable[[dict[str, bytes]], None]) -> None:
        self.bytes: dict[str, bytes] = {}
        self.overwrites = False
        self.waiting: dict[str, asyncio.Future[str]] = {}
        self._check = check

    async def _turn(self, apply: Callable[[], Any]) -> Any:
        turn: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        self.waiting[_actor.get()] = turn
        fault = await turn
        if fault == "crash":
            raise Crash
        if fault == "request lost":
            raise TransientError("The store answers", fault)
        result = apply()
        self._check(self.bytes)
        if fault == "reply lost":
            raise TransientError("The store answers", fault)
        if fault == "crash after":
            raise Crash
        return result

    async def get(self, path: str) -> bytes:
        def read() -> bytes | None:
            return self.bytes.get(path)

        if (body := await self._turn(read)) is None:
            raise FileNotFoundError(path)
        return body

    async def get_range(self, path: str, start: int, length: int) -> bytes:
        return (await self.get(path))[start : start + length]

    async def create(self, path: str, body: bytes | Path) -> bool:
        def write() -> bool:
            if path in self.bytes and not self.overwrites:
                return False
            self.bytes[path] = body if isinstance(body, bytes) else body.read_bytes()
            return True

        return await self._turn(write)

    async def put(self, path: str, body: bytes | Path) -> None:
        def write() -> None:
            self.bytes[path] = body if isinstance(body, bytes) else body.read_bytes()

        await self._turn(write)

    async def list(self, prefix: str, *, after: str | None = None) -> AsyncIterator[ObjectMeta]:
        def scan() -> list[ObjectMeta]:
            return [
                ObjectMeta(path=path, size=len(body), modified=_EPOCH)
                for path, body in sorted(self.bytes.items())
                if path.startswith(f"{prefix}/") and (after is None or path > after)
            ]

        for meta in await self._turn(scan):
            yield meta

    async def folders(self, prefix: str) -> Sequence[str]:
        def scan() -> list[str]:
            below = [
                path.removeprefix(f"{prefix}/")
                for path in self.bytes
                if path.startswith(f"{prefix}/")
            ]
            return sorted({path.split("/")[0] for path in below if "/" in path})

        return await self._turn(scan)

    async def head(self, path: str) -> ObjectMeta | None:
        def look() -> ObjectMeta | None:
            body = self.bytes.get(path)
            return None if body is None else ObjectMeta(path=path, size=len(body), modified=_EPOCH)

        return await self._turn(look)

    async def delete_folder(self, prefix: str) -> tuple[int, int]:
        doomed = [path for path in self.bytes if path.startswith(f"{prefix}/")]
        for path in doomed:  # one at a time: others see a folder half deleted
            await self._turn(lambda path=path: self.bytes.pop(path, None))
        return len(doomed), 0

    async def sync(self, prefix: str) -> None: ...

    def local_path(self, path: str) -> Path | None:
        return None

    def address(self, path: str) -> str:
        return path


async def run(
    store: SteppedStore,
    actors: dict[str, Callable[[], Awaitable[object]]],
    choose: Callable[[Sequence[tuple[str, str]]], tuple[str, str]],
    faults: Sequence[str] = (),
) -> dict[str, object]:
    """What each actor returned or raised, when `choose` picks who goes on and how.

    At most one fault of `faults` happens in a run.
    """
    results: dict[str, object] = {}

    async def act(name: str, work: Callable[[], Awaitable[object]]) -> None:
        _actor.set(name)
        try:
            results[name] = await work()
        except (Exception, Crash) as error:  # noqa: BLE001 - the outcome is what is tested
            results[name] = error

    tasks = [asyncio.ensure_future(act(name, work)) for name, work in actors.items()]
    while len(results) < len(actors):
        if len(store.waiting) + len(results) < len(actors):
            await asyncio.sleep(0)
            continue
        options = [(name, fault) for name in sorted(store.waiting) for fault in ("", *faults)]
        name, fault = choose(options)
        if fault:
            faults = ()
        store.waiting.pop(name).set_result(fault)
    await asyncio.gather(*tasks)
    return results


class Exhaustive:
    """Chooses so that, run after run, every schedule comes once."""

    def __init__(self) -> None:
        self._path: list[list[int]] = []
        self._depth = 0

    def __call__(self, options: Sequence[tuple[str, str]]) -> tuple[str, str]:
        if self._depth == len(self._path):
            self._path.append([0, len(options)])
        self._depth += 1
        return options[self._path[self._depth - 1][0]]

    def next(self) -> bool:
        """Go to the next schedule; tell whether there is one."""
        self._depth = 0
        while self._path:
            self._path[-1][0] += 1
            if self._path[-1][0] < self._path[-1][1]:
                return True
            self._path.pop()
        return False


class Random:
    """Chooses at random, a fault now and then."""

    def __init__(self, seed: int) -> None:
        self._random = random.Random(seed)

    def __call__(self, options: Sequence[tuple[str, str]]) -> tuple[str, str]:
        faulty = [option for option in options if option[1]]
        if faulty and self._random.random() < 0.15:
            return self._random.choice(faulty)
        return self._random.choice([option for option in options if not option[1]])
