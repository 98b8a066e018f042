"""Dagster's run log hears of what went wrong, with the right level, without holding up the loop."""

from __future__ import annotations

import asyncio
import logging
import queue
import threading
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import dagster as dg

from geo_assets.engine import log
from geo_assets.engine.scope import finish

RECORDS = 200
"""Warnings and errors of one step that go to the run log; all are in the step's output."""


class RunLog(logging.Handler):
    """Hands records of this package to the run log, from a thread.

    Dagster writes each line into its database: on the loop that would cost more lag than most
    of what is told. Records of other runs in this process are left to them.
    """

    SKIP = "told_already"
    """Name of the extra of a record that Dagster hears of in another way."""

    def __init__(self, context: dg.AssetExecutionContext) -> None:
        super().__init__(logging.WARNING)
        self._context = context
        self._run = context.run.run_id
        self._lines: queue.SimpleQueue[tuple[int, str] | None] = queue.SimpleQueue()
        self._number = 0
        self._thread = threading.Thread(target=self._write, name="geo-run-log", daemon=True)

    @asynccontextmanager
    async def listening(self) -> AsyncIterator[RunLog]:
        """Hear what this package logs during the block; all of it is written at its end."""
        logger = logging.getLogger("geo_assets")
        self._thread.start()
        logger.addHandler(self)
        try:
            yield self
        finally:
            logger.removeHandler(self)
            left_out = self._number - RECORDS
            if left_out > 0:
                self._lines.put((logging.WARNING, f"{left_out} more are in the step's output"))
            self._lines.put(None)
            await finish(asyncio.to_thread(self._thread.join))

    def tell(self, text: str) -> None:
        """A line at level INFO; returns at once."""
        self._lines.put((logging.INFO, text))

    def emit(self, record: logging.LogRecord) -> None:
        """Queue a record of this run; the run and the asset are known where it is read."""
        fields = log.fields_of(record)
        if getattr(record, self.SKIP, False):
            return
        if fields.pop("run", self._run) != self._run:
            return
        self._number += 1
        if self._number > RECORDS:
            return
        fields.pop("asset", None)
        pairs = " ".join(f"{name}={value}" for name, value in fields.items() if value)
        text = record.getMessage() + (f" [{pairs}]" if pairs else "")
        self._lines.put((record.levelno, log.redact(text)))

    def _write(self) -> None:
        while (line := self._lines.get()) is not None:
            self._context.log.log(*line)
