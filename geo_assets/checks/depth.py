"""How thoroughly the run that is under way checks."""

from __future__ import annotations

from contextvars import ContextVar

thorough: ContextVar[bool] = ContextVar("thorough", default=False)
"""Whether every byte is read: whether the run has the tag `geo_assets.partitions.THOROUGH_TAG`."""
