"""Metrics for Prometheus, pushed to a Pushgateway.

Runs of Dagster are processes of their own that begin and end, so there is nothing that could be
scraped between two of them: the gateway keeps the last numbers of each host.
"""

from __future__ import annotations

import asyncio
import logging
import socket
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager

from prometheus_client import CollectorRegistry, push_to_gateway
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from geo_assets.engine.scope import finish
from geo_assets.engine.telemetry import Telemetry

EVERY_S = 15.0
_TIMEOUT_S = 5.0
_RETRIES = "retries_"

_log = logging.getLogger(__name__)


class EngineCollector(Collector):
    """The engine's numbers since the run began."""

    def __init__(self, telemetry: Telemetry) -> None:
        self._total = telemetry.total

    def collect(self) -> Iterator[Metric]:
        """Counters of chunks, retries, seconds, bytes and requests; gauges of lag and memory."""
        counts, total = dict(self._total.counts), self._total
        ended = {name: counts.get(f"chunks_{name}", 0) for name in ("done", "lost")}
        yield _counter("chunks", "Chunks by how they ended.", "outcome", ended)
        causes = {k.removeprefix(_RETRIES): v for k, v in counts.items() if k.startswith(_RETRIES)}
        yield _counter("retries", "Retries by cause.", "cause", causes)
        yield _counter("seconds", "Seconds in each stage, all chunks together.", "stage",
                       {k: v for k, v in dict(total.seconds).items()
                        if not k.startswith("worker_")})  # fmt: skip
        yield _counter("bytes", "Bytes of object stores and of the chunks' files.", "direction",
                       {name: counts.get(f"bytes_{name}", 0)
                        for name in ("read", "written", "out")})  # fmt: skip
        yield CounterMetricFamily("geo_assets_requests", "Requests to object stores.",
                                  value=counts.get("requests", 0))  # fmt: skip
        yield _gauge("loop_lag_seconds", "How late the event loop was.", "quantile", {
            "0.5": total.lag.quantile(0.5), "0.99": total.lag.quantile(0.99),
            "1": total.lag.largest,
        })  # fmt: skip
        yield _gauge("memory_bytes", "Memory at its highest.", "what", dict(total.peaks))
        yield GaugeMetricFamily("geo_assets_budget_bytes", "Memory that chunks may use together.",
                                value=total.budget)  # fmt: skip


@asynccontextmanager
async def exporting(address: str, telemetry: Telemetry, run_id: str) -> AsyncIterator[None]:
    """Push the numbers at an interval and at the end, to a URL such as `http://gateway:9091`."""
    del run_id  # a label of it would leave a series behind for each run
    registry = CollectorRegistry()
    registry.register(EngineCollector(telemetry))
    pushing = asyncio.create_task(_push_now_and_then(address, registry))
    try:
        yield
    finally:
        pushing.cancel()
        await finish(asyncio.wait([pushing]))
        await finish(asyncio.to_thread(_push, address, registry))


async def _push_now_and_then(address: str, registry: CollectorRegistry) -> None:
    while True:
        await asyncio.sleep(EVERY_S)
        await asyncio.to_thread(_push, address, registry)


def _push(address: str, registry: CollectorRegistry) -> None:
    try:
        push_to_gateway(address, job="geo_assets", registry=registry, timeout=_TIMEOUT_S,
                        grouping_key={"instance": socket.gethostname()})  # fmt: skip
    except OSError as error:
        _log.warning("metrics cannot be pushed to GEO_ASSETS_PROMETHEUS: %s", error)


def _counter(name: str, text: str, label: str, values: Mapping[str, float]) -> Metric:
    family = CounterMetricFamily(f"geo_assets_{name}", text, labels=[label])
    for key, value in values.items():
        family.add_metric([key], value)
    return family


def _gauge(name: str, text: str, label: str, values: Mapping[str, float]) -> Metric:
    family = GaugeMetricFamily(f"geo_assets_{name}", text, labels=[label])
    for key, value in values.items():
        family.add_metric([key], value)
    return family
