"""Export of telemetry, off by default: spans to OpenTelemetry, metrics to Prometheus.

`pip install 'geo_assets[observability]'` brings the clients. Neither is imported unless its
setting is given, `GEO_ASSETS_OTEL` or `GEO_ASSETS_PROMETHEUS`.
"""

from __future__ import annotations

import importlib
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager

from geo_assets.engine.engine import Engine
from geo_assets.errors import ConfigError
from geo_assets.settings import Settings


@asynccontextmanager
async def exporting(settings: Settings, engine: Engine, run_id: str) -> AsyncIterator[None]:
    """Export what the engine does during the block, to where the settings say.

    An endpoint that cannot be reached is logged; it never fails or delays the work.

    Raises:
        ConfigError: The clients are not installed.
    """
    async with AsyncExitStack() as stack:
        for name, address in (("otel", settings.otel), ("prometheus", settings.prometheus)):
            if not address:
                continue
            try:
                module = importlib.import_module(f"geo_assets.observability.{name}")
            except ModuleNotFoundError as error:
                raise ConfigError("An export has its client installed", str(error),
                                  f"GEO_ASSETS_{name.upper()}",
                                  "pip install 'geo_assets[observability]'") from None  # fmt: skip
            await stack.enter_async_context(module.exporting(address, engine.telemetry, run_id))
        yield
