"""The one environment variable that switches all automation on."""

from __future__ import annotations

import os

from geo_assets.errors import ConfigError

VARIABLE = "GEO_ASSETS_AUTOMATION"


def is_on() -> bool:
    """Whether sensors and schedules run without being switched on in the UI.

    Raises:
        ConfigError: The variable is neither `on` nor `off`.
    """
    value = os.environ.get(VARIABLE, "off") or "off"
    if value not in ("on", "off"):
        raise ConfigError(f"{VARIABLE} is on or off", repr(value))
    return value == "on"
