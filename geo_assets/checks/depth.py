"""How thoroughly a run checks: as the run that makes, or as one that is there to check."""

from __future__ import annotations

from contextvars import ContextVar

THOROUGH_TAG = "geo_assets/thorough"
"""A run with this tag reads every byte of what it checks.

A run that makes things need not: it has read back and hashed each object that it published.
`geo-assets check` and the job `checks` are there to find what has happened since.
"""

thorough: ContextVar[bool] = ContextVar("thorough", default=False)
"""Whether the run that is under way has the tag."""
