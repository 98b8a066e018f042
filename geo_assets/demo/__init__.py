"""A seeded world to try everything on: scenes, districts and events with known defects."""

from __future__ import annotations

from geo_assets.demo.build import WorldReport, build_world
from geo_assets.demo.defects import Defects

__all__ = ["Defects", "WorldReport", "build_world"]
