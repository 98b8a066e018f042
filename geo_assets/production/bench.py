"""Where one partition is made: the engine, and a folder of its own."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import Callable, Sequence
from contextlib import aclosing
from dataclasses import dataclass, replace
from pathlib import Path

from geo_assets.engine.engine import Engine
from geo_assets.engine.stream import Lost
from geo_assets.errors import GeoAssetsError
from geo_assets.model import Chunk, KernelResult

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
        """Do one chunk in a worker; its files stay as long as the partition's folder."""
        return await self.engine.run(chunk, self.folder)

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
