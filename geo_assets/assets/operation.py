"""What the UI says of the PROJ operation that brought an input into another CRS."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

_NAMED = 3
"""Missing grids that are named; the commit names all."""


def operation_texts(operation: Mapping[str, Any]) -> dict[str, str]:
    """An operation (`Operation.facts`) in words: its name, its accuracy, and what is missing."""
    accuracy = operation["accuracy_m"]
    words = {
        "crs_operation": operation["name"],
        "crs_accuracy": "unknown" if accuracy is None else f"{accuracy:g} m",
    }
    if operation["missing_grids"]:
        names = operation["missing_grids"]
        more = f" and {len(names) - _NAMED} more" if len(names) > _NAMED else ""
        words["crs_missing_grids"] = (
            f"{', '.join(names[:_NAMED])}{more}: with the best of them it would be "
            f"{operation['better_accuracy_m']:g} m"
        )
    return words


def operation_numbers(operation: Mapping[str, Any]) -> dict[str, float]:
    """The accuracy in metres, where PROJ knows it."""
    accuracy = operation["accuracy_m"]
    return {} if accuracy is None else {"crs_accuracy_m": accuracy}
