"""Declarative automation: what is made again as soon as what it shows has another version."""

from __future__ import annotations

from typing import Any

import dagster as dg

from geo_assets.automation.switch import is_on

SENSOR = "when_inputs_change"


def when_inputs_change() -> dg.AutomationCondition[Any]:
    """Made when an input has another data version, or when a partition is new.

    For what is cheap and looked at, such as reports and maps. A run upstream that finds everything
    current changes nothing and therefore starts nothing.
    """
    changed = dg.AutomationCondition.data_version_changed()
    eager = dg.AutomationCondition.eager().replace("newly_updated", changed)
    return eager.with_label(SENSOR)


def condition_sensor() -> dg.AutomationConditionSensorDefinition:
    """The sensor that evaluates the conditions of all assets; off until switched on."""
    on, off = dg.DefaultSensorStatus.RUNNING, dg.DefaultSensorStatus.STOPPED
    return dg.AutomationConditionSensorDefinition(
        name=SENSOR,
        target=dg.AssetSelection.all(),
        default_status=on if is_on() else off,
        description="Makes reports and maps again when what they show has another version.",
    )
