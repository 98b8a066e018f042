"""How a partition of a run ended, and what Dagster is told of it."""

from __future__ import annotations

import traceback
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import dagster as dg

from geo_assets.assets.tile_pictures import coverage_of
from geo_assets.errors import GeoAssetsError
from geo_assets.production import Current, Staged

LINES_SHOWN = 20
"""Failed partitions that a failure names."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """How one partition of a run ended."""

    partition: str | None
    result: Staged | Current | None = None
    error: Exception | None = None
    costs: Mapping[str, Any] = field(default_factory=dict)
    """Telemetry of the time it took: `geo_assets/...` to numbers, and pictures."""

    def pictures(self) -> dict[str, Any]:
        """The pictures, which stand first in the UI."""
        result = self.result
        if isinstance(result, Current):
            shown = {
                "thumbnail": result.artifact.properties.get("thumbnail"),
                "coverage": coverage_of(result.artifact),
            }
        elif result is None:
            shown = {}
        else:
            made = result.publication
            shown = {"thumbnail": made.properties.get("thumbnail"), **made.pictures}
        return {title: dg.MetadataValue.md(text) for title, text in shown.items() if text}

    def manner(self) -> dict[str, Any]:
        """Whether it was made, and of how many staged chunks."""
        result = self.result
        if not isinstance(result, Staged):
            return {"geo_assets/outcome": "current already, nothing done"}
        staged = {"chunks": result.chunks, "chunks_resumed": result.resumed}
        # A version whose chunks are merged has none to resume.
        numbers = {**(staged if result.chunks else {}), **result.publication.numbers}
        return {
            "geo_assets/outcome": "made",
            **{f"geo_assets/{name}": value for name, value in numbers.items()},
        }

    def told(self) -> str:
        """One line for the log."""
        result = self.result
        if not isinstance(result, Staged):
            return "current already"
        if not result.chunks:
            return "made"
        return f"made of {result.chunks} chunks, {result.resumed} of them by an earlier run"

    def shown_costs(self) -> dict[str, Any]:
        """What it cost; what was current already cost nothing worth a plot."""
        return {} if isinstance(self.result, Current) else dict(self.costs)


class Failures:
    """The partitions of a run that failed: all are counted, the first ones are told."""

    def __init__(self) -> None:
        self.count = 0
        self._lines: list[str] = []
        self._kinds: set[str] = set()

    def add(self, partition: str | None, error: Exception) -> str:
        """Count one, and tell what happened. The error itself, with its frames, is let go."""
        self.count += 1
        self._kinds.add(getattr(error, "kind", "bug"))
        told = tell(error)
        if len(self._lines) < LINES_SHOWN:
            self._lines.append(f"{partition or 'asset'}: {told}")
        return told

    def failure(self, costs: Mapping[str, Any] | None = None) -> dg.Failure:
        """What the step ends with.

        Args:
            costs: Telemetry of the whole step.
        """
        lines = sorted(self._lines)
        if self.count > len(lines):
            lines.append(f"and {self.count - len(lines)} more partitions")
        return dg.Failure(
            "\n".join(lines),
            metadata={
                "geo_assets/failed": self.count,
                "geo_assets/error": ", ".join(sorted(self._kinds)),
                **(costs or {}),
            },
            allow_retries=self._kinds == {"transient"},
        )


def tell(error: Exception) -> str:
    """Our errors speak for themselves; a bug needs its traceback."""
    if isinstance(error, GeoAssetsError):
        return str(error)
    return "".join(traceback.format_exception(error))
