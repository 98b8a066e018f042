"""The stream: chunks in, results in completion order out, bounded at every stage.

```
chunks -> window -> fetch -> compute -> stage -> results
          |         |        |          |        `-- holds what the consumer has not taken
          |         |        |          `-- few at a time, then the chunk's folder is deleted
          |         |        `-- as many as the memory budget admits
          |         `-- few at a time, and none while scratch space is short
          `-- a chunk is taken from the source only when an earlier one has left the stream
```
"""

from __future__ import annotations

import asyncio
from collections.abc import (
    AsyncGenerator,
    AsyncIterable,
    AsyncIterator,
    Awaitable,
    Callable,
    Iterable,
    Sequence,
)
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from geo_assets.engine import log
from geo_assets.engine.scope import finish
from geo_assets.engine.work import Work
from geo_assets.model import Chunk, KernelResult

T = TypeVar("T")


@dataclass(frozen=True, slots=True, kw_only=True)
class Done(Generic[T]):
    """A chunk that went through all stages."""

    chunk: Chunk
    """As it came from the source."""
    value: T
    """What `stage` returned."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Lost:
    """A chunk that was given up; the others are not affected."""

    chunk: Chunk
    """As it came from the source."""
    error: Exception
    """The last error, with its type and fields, also when it happened in a worker."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Stages(Generic[T]):
    """What happens to a chunk on the event loop, before and after its worker."""

    stage: Callable[[Chunk, KernelResult], Awaitable[T]]
    fetch: Callable[[Chunk], Awaitable[Chunk]] | None = None


async def stream(
    chunks: Iterable[Chunk] | AsyncIterable[Chunk], work: Work, stages: Stages[T]
) -> AsyncGenerator[Done[T] | Lost, None]:
    """Run the pipeline in a task of its own and hand out what comes.

    The task group lives in that task and not in this generator: a generator may be closed from
    another task than the one that started it, which a task group does not survive.

    Args:
        chunks: Taken lazily, a bounded number ahead of the consumer.
        work: The engine's shared, bounded stages.
        stages: The caller's fetch and stage.

    Raises:
        Exception: What the source of the chunks raised.
    """
    if isinstance(chunks, Sequence) and len(chunks) == 1:
        yield await _alone(chunks[0], work, stages)
        return
    results: asyncio.Queue[Done[T] | Lost | None] = asyncio.Queue()
    room = asyncio.Semaphore(work.folder_limit)
    pipeline = asyncio.create_task(_pipeline(chunks, work, stages, results, room))
    work.pipelines.add(pipeline)
    pipeline.add_done_callback(work.pipelines.discard)
    try:
        while (item := await results.get()) is not None:
            room.release()
            yield item
        await pipeline
    finally:
        await _ended(pipeline)


async def _pipeline(
    chunks: Iterable[Chunk] | AsyncIterable[Chunk],
    work: Work,
    stages: Stages[T],
    results: asyncio.Queue[Done[T] | Lost | None],
    room: asyncio.Semaphore,
) -> None:
    """Results are unbounded as a queue, but `room` bounds what can ever be in it."""
    try:
        async with asyncio.TaskGroup() as group:
            source = _iterate(chunks)
            while await room.acquire() and (chunk := await anext(source, None)) is not None:
                group.create_task(_one(chunk, work, stages, results), name=f"chunk {chunk.id}")
    except BaseExceptionGroup as errors:
        if len(errors.exceptions) == 1:
            raise errors.exceptions[0] from None
        raise
    finally:
        results.put_nowait(None)


async def _one(
    chunk: Chunk, work: Work, stages: Stages[T], results: asyncio.Queue[Done[T] | Lost | None]
) -> None:
    results.put_nowait(await _outcome(chunk, work, stages))


async def _alone(chunk: Chunk, work: Work, stages: Stages[T]) -> Done[T] | Lost:
    """The only chunk of a stream: it needs no task of its own, the consumer's is cancelled."""
    task: Any = asyncio.current_task()
    work.pipelines.add(task)
    try:
        return await _outcome(chunk, work, stages)
    finally:
        work.pipelines.discard(task)


async def _outcome(chunk: Chunk, work: Work, stages: Stages[T]) -> Done[T] | Lost:
    with log.bind(chunk=chunk.id):
        try:
            return Done(chunk=chunk, value=await work.through(chunk, stages.stage, stages.fetch))
        except Exception as error:  # noqa: BLE001 - one bad chunk fails alone, and is handed out
            work.note_loss(error)
            return Lost(chunk=chunk, error=error)


async def _iterate(chunks: Iterable[Chunk] | AsyncIterable[Chunk]) -> AsyncIterator[Chunk]:
    if isinstance(chunks, AsyncIterable):
        async for chunk in chunks:
            yield chunk
    else:
        for chunk in chunks:
            yield chunk
            await asyncio.sleep(0)


async def _ended(task: asyncio.Task[Any]) -> None:
    """Cancel the task and wait for its end, also when this task is cancelled meanwhile."""
    task.cancel()
    await finish(asyncio.wait([task]))
    if not task.cancelled():
        task.exception()  # looked at: it was raised to the consumer, or nobody is left to hear it
