"""The kernel of `raw/<layer>`: reads a delivered layer once and says what it is."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import shapely

from geo_assets.kernels.geoparquet import NO_TYPE, type_codes, type_names
from geo_assets.kernels.layer_spec import InspectSpec
from geo_assets.kernels.vector_source import open_layer
from geo_assets.model import KernelResult
from geo_assets.rules.wkb import read_wkb


def inspect_layer(spec: InspectSpec, workdir: Path) -> KernelResult:
    """Read every feature, so that a damaged delivery is refused where it arrives.

    Returns:
        No files. Facts: those of `LayerInfo`, with `features`, `geometry_types` and `bounds`
        as found rather than as stated, `null_geometries`, and `columns` (name to type text).

    Raises:
        InputError: The file cannot be read to its end, or the layer is not clear.
    """
    source = open_layer(spec.source, scratch=workdir, layer=spec.layer, encoding=spec.encoding,
                        xy_columns=spec.xy_columns)  # fmt: skip
    codes: set[int] = set()
    rows = nulls = 0
    box = np.full(4, np.nan)
    for batch in source.read():
        geoms = read_wkb(batch.wkb)
        codes |= {int(code) for code in np.unique(type_codes(geoms))}
        nulls += batch.wkb.null_count
        rows += len(geoms)
        bounds = shapely.bounds(geoms)
        bounds = bounds[np.isfinite(bounds).all(axis=1)]
        if len(bounds):
            box[:2] = np.fmin(box[:2], bounds[:, :2].min(axis=0))
            box[2:] = np.fmax(box[2:], bounds[:, 2:].max(axis=0))
    facts = source.info.facts() | {
        "features": rows,
        "null_geometries": nulls,
        "geometry_types": list(type_names(codes - {NO_TYPE})),
        "bounds": box.tolist() if np.isfinite(box).all() else None,
        "columns": {field.name: str(field.type) for field in source.schema},
    }
    return KernelResult(facts=facts)
