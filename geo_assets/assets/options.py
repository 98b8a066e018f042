"""What all factory-made assets have in common."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

HEAVY = "heavy"
"""The Dagster pool of steps that use all workers: one at a time on a host."""


def asset_options(key: Sequence[str], owners: Sequence[str], kinds: set[str]) -> dict[str, Any]:
    """Key, group, owners and kinds: the group is the layer, the key is the storage path."""
    return {
        "key": list(key),
        "group_name": key[0],
        "owners": list(owners) or None,
        "kinds": kinds,
    }
