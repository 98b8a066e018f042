"""A coverage with a report of its topology: as delivered, or with REPAIRED=1 repaired."""

from __future__ import annotations

import os
from typing import Any

from geo_assets.assembly import assemble
from geo_assets.assets.topology_report import topology_report_asset
from geo_assets.assets.vector_layer import vector_layer_asset
from geo_assets.policies import CoverageRepair

_policy: dict[str, Any] = {}
if os.environ.get("REPAIRED"):
    _policy = {"invalid": "repair", "coverage": CoverageRepair(width_m=3.0)}

defs = assemble(
    vector_layer_asset(
        "districts",
        source="layers/districts.gpkg",
        source_crs="EPSG:3035",
        crs="EPSG:32633",
        key="district_id",
        geometry_types=("Polygon", "MultiPolygon"),
        **_policy,
    ),
    topology_report_asset("topology_report", layer="districts", key="district_id", gap_width_m=3.0),
)
