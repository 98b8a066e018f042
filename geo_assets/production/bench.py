"""Where one partition is made: the engine, and a folder of its own."""

from __future__ import annotations

import asyncio
import shutil
import tempfile
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import aclosing, asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from geo_assets.engine.engine import Engine
from geo_assets.engine.stream import Lost
from geo_assets.errors import GeoAssetsError
from geo_assets.model import Chunk, KernelResult
from geo_assets.store.threads import in_thread

Progress = Callable[[int, int], None]
"""Called with chunks done and chunks in all, after each chunk."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Bench:
    """Where one partition is made."""

    engine: Engine
    folder: Path
    """The partition's own, for files in flight."""
    progress: Progress = lambda _done, _total: None
    alone: bool = True
    """It is not one of many partitions: a picture may cost a chunk of its own."""

    async def run(self, chunk: Chunk) -> KernelResult:
        """Do one chunk in a worker; its files stay until the run ends."""
        return await self.engine.run(chunk)

    async def run_all(self, chunks: Sequence[Chunk]) -> list[KernelResult]:
        """Do chunks whose results are merged afterwards; their files go into the folder.

        For steps that are short enough to be done again as a whole: nothing is staged, so a run
        that dies has nothing to resume.

        Returns:
            Results in the order of `chunks`.

        Raises:
            Exception: The error of the first chunk given up.
        """

        async def stage(chunk: Chunk, result: KernelResult) -> KernelResult:
            return await asyncio.to_thread(_moved, result, self.folder / "parts" / chunk.id)

        results: dict[str, KernelResult] = {}
        async with aclosing(self.engine.stream(chunks, stage=stage)) as outcomes:
            async for outcome in outcomes:
                if isinstance(outcome, Lost):
                    raise given_up([outcome], len(chunks))
                results[outcome.chunk.id] = outcome.value
                self.progress(len(results), len(chunks))
        return [results[chunk.id] for chunk in chunks]


def given_up(lost: Sequence[Lost], total: int) -> Exception:
    """The error of the first chunk that was given up, which says how many there are."""
    first = min(lost, key=lambda outcome: outcome.chunk.id)
    where = f"chunk {first.chunk.id}"
    if total > 1:
        where += f" ({len(lost)} of {total} chunks given up)"
    if isinstance(first.error, GeoAssetsError):
        return first.error.located(where)
    first.error.add_note(where)
    return first.error


def _moved(result: KernelResult, folder: Path) -> KernelResult:
    folder.mkdir(parents=True, exist_ok=True)
    files = []
    for file in result.files:
        path = folder / Path(file.name).name
        shutil.move(file.path, path)
        files.append(replace(file, path=path))
    return replace(result, files=tuple(files))


@asynccontextmanager
async def work_folder(scratch: Path) -> AsyncIterator[Path]:
    """A folder of its own for one partition, removed afterwards."""
    folder = Path(await in_thread(lambda: tempfile.mkdtemp(dir=scratch)))
    try:
        yield folder
    finally:
        await in_thread(lambda: shutil.rmtree(folder, ignore_errors=True))
