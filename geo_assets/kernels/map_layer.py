"""The door to a vector layer for a map: in lon/lat, small enough to be inside a page."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from geo_assets.model import KernelResult

LAYER_BYTES = 3 << 20
"""Bytes of one layer in a page, at most."""
MAX_FEATURES = 20_000
"""Features of one layer in a page, at most: the largest, or of points every n-th."""


@dataclass(frozen=True, slots=True, kw_only=True)
class MapLayerSpec:
    """A layer to be put on a map."""

    paths: tuple[Path, ...]
    """GeoParquet files of one CRS and schema."""
    marks: bool = False
    """Also mark the middle of each feature: for defects, which are too small to be seen."""
    max_bytes: int = LAYER_BYTES
    max_features: int = MAX_FEATURES


def map_layer(spec: MapLayerSpec, workdir: Path) -> KernelResult:
    """Draw a layer as GeoJSON, simplified only as far as its size asks for.

    Returns:
        `layer.json`: `shapes` and, where asked for, `marks`, both feature collections. Facts:
        `bbox` (None if nothing has a place), `features`, `drawn`, `tolerance_m`, `note` (one
        sentence that says what was left out), `counts` of the column `kind` where there is one.

    Raises:
        InputError: The layer has no CRS.
    """
    from geo_assets.kernels.map_geojson import draw

    return draw(spec, workdir)


def predicted_layer_bytes() -> int:
    """Memory a layer needs: a row group as Arrow and GEOS, and the features that are drawn."""
    return 400 << 20
