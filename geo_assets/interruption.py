"""A step that a signal ends: it cleans up, and its run counts as canceled if a person sent it.

Dagster calls a run canceled only if it was asked through Dagster; one that ends by Ctrl-C in a
terminal is a failure to it, which its daemon would even start again.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import dagster as dg

from geo_assets.dagster_internals import PROCESS_TAG, Interrupted
from geo_assets.engine.scope import interruptible


@asynccontextmanager
async def interruptible_step(
    context: dg.AssetExecutionContext | dg.AssetCheckExecutionContext,
) -> AsyncIterator[None]:
    """Let SIGINT and SIGTERM cancel the block, and then end the step as Dagster wants it.

    Raises:
        dagster.DagsterExecutionInterruptedError: A signal came; the block has cleaned up.
    """
    try:
        async with interruptible(raise_as=Interrupted):
            yield
    except Interrupted:
        run = context.run
        if PROCESS_TAG in run.tags:  # executed in the process of whoever waits for it
            context.instance.report_run_canceling(run, "A signal ended the run.")
        raise
