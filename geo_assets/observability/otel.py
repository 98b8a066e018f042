"""Spans for OpenTelemetry: run, asset, partition, chunk and its stages.

The trace id is the run id of Dagster without its dashes, so a run is found by it, and all
processes of a run are one trace. Every span has the fields of the log as attributes.
"""

from __future__ import annotations

import asyncio
import random
import time
import uuid
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager

from opentelemetry import trace
from opentelemetry.context import Context
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter
from opentelemetry.sdk.trace.id_generator import RandomIdGenerator

from geo_assets.engine import log, spans
from geo_assets.engine.scope import finish
from geo_assets.engine.telemetry import Telemetry
from geo_assets.engine.trace import ChunkTrace

_TIMEOUT_S = 5
_BITS = 128


class _RunIds(RandomIdGenerator):
    """Random ids, but for the trace, which is the run."""

    def __init__(self, run_id: str) -> None:
        try:
            self._trace = uuid.UUID(run_id).int
        except ValueError:
            self._trace = random.getrandbits(_BITS)

    def generate_trace_id(self) -> int:
        return self._trace


class Spans:
    """Makes spans of what the engine does.

    Args:
        exporter: Where they go, in batches, from a thread.
        run_id: The run of Dagster.
    """

    def __init__(self, exporter: SpanExporter, run_id: str) -> None:
        resource = Resource.create({"service.name": "geo_assets"})
        self._provider = TracerProvider(resource=resource, id_generator=_RunIds(run_id))
        self._provider.add_span_processor(BatchSpanProcessor(exporter))
        self._tracer = self._provider.get_tracer("geo_assets")
        self._run = self._tracer.start_span("run", attributes={"geo_assets.run": run_id})
        # The resource that holds this lives in another context than the asset's own tasks.
        self._root = trace.set_span_in_context(self._run, Context())
        self._epoch = time.time_ns() - time.monotonic_ns()

    @contextmanager
    def open(self, kind: str, name: str) -> Iterator[None]:
        """A span for a block, below the one that is open."""
        with self._tracer.start_as_current_span(
            f"{kind} {name}", context=self._parent(), attributes=_attributes(log.bound())
        ):
            yield

    def chunk(self, done: ChunkTrace) -> None:
        """Spans of a chunk that has ended, and of its stages."""
        attributes = _attributes({**done.fields, "chunk": done.chunk, "worker": done.worker})
        span = self._tracer.start_span(
            f"chunk {done.chunk}",
            context=self._parent(),
            start_time=self._time(done.began),
            attributes={
                **attributes,
                "geo_assets.cpu_s": done.cpu_s,
                "geo_assets.peak_bytes": done.peak_bytes,
                "geo_assets.bytes_out": done.bytes_out,
            },
        )
        inside = trace.set_span_in_context(span, Context())
        for stage, begin, end in done.marks:
            part = self._tracer.start_span(stage, context=inside, start_time=self._time(begin))
            part.end(self._time(end))
        if done.error:
            span.set_status(trace.StatusCode.ERROR, done.error)
        span.end(self._time(done.ended))

    def close(self) -> None:
        """End the run's span and hand over what is left; blocks for a few seconds at most."""
        self._run.end()
        self._provider.shutdown()

    def _parent(self) -> Context | None:
        return None if trace.get_current_span().get_span_context().is_valid else self._root

    def _time(self, seconds: float) -> int:
        return self._epoch + int(seconds * 1e9)


@asynccontextmanager
async def exporting(address: str, telemetry: Telemetry, run_id: str) -> AsyncIterator[None]:
    """Send spans to an OTLP endpoint over HTTP, such as `http://collector:4318`."""
    target = f"{address.rstrip('/')}/v1/traces"
    async with tracing(Spans(OTLPSpanExporter(target, timeout=_TIMEOUT_S), run_id), telemetry):
        yield


@asynccontextmanager
async def tracing(made: Spans, telemetry: Telemetry) -> AsyncIterator[None]:
    """Listen to the engine during the block."""
    spans.openers.append(made.open)
    telemetry.on_chunk.append(made.chunk)
    try:
        yield
    finally:
        spans.openers.remove(made.open)
        telemetry.on_chunk.remove(made.chunk)
        await finish(asyncio.to_thread(made.close))


def _attributes(fields: dict[str, str]) -> dict[str, str]:
    return {f"geo_assets.{name}": value for name, value in fields.items() if value}
