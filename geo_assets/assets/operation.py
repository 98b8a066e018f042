"""What the UI says of the PROJ operation that brought an input into another CRS."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


def operation_texts(operation: Mapping[str, Any]) -> dict[str, str]:
    """An operation (`Operation.facts`) in words: its name, its accuracy, and what is missing."""
    accuracy = operation["accuracy_m"]
    words = {
        "crs_operation": operation["name"],
        "crs_accuracy": "unknown" if accuracy is None else f"{accuracy:g} m",
    }
    if operation["missing_grids"]:
        better, grids = operation["better_accuracy_m"], ", ".join(operation["missing_grids"])
        words["crs_missing_grids"] = f"{grids}: the best of them would give {better:g} m"
    return words


def operation_numbers(operation: Mapping[str, Any]) -> dict[str, float]:
    """The accuracy in metres, where PROJ knows it."""
    accuracy = operation["accuracy_m"]
    return {} if accuracy is None else {"crs_accuracy_m": accuracy}
