"""The doors to making and checking layers. GEOS and OGR are imported by the worker that does it."""

from __future__ import annotations

from pathlib import Path

import pyarrow.parquet as pq

from geo_assets.kernels.layer_spec import (
    CleanProductSpec,
    InspectSpec,
    LayerCheckSpec,
    LayerProductSpec,
)
from geo_assets.kernels.spill import GROUP_BYTES
from geo_assets.kernels.vector_model import BATCH_BYTES
from geo_assets.model import KernelResult

READ_BYTES = 400 << 20
"""Memory that reading a layer needs: a batch, or a row group, as Arrow and as GEOS objects."""

_CLEAN_FIXED = 100 << 20
_CLEAN_PER_BYTE = 30
"""Measured on 10,000 districts: 12 bytes for a byte of the layer with 40 defects; 194 where every
district is half a metre off its place, a case in which the worker asks for more as it grows."""


def inspect_delivery(spec: InspectSpec, workdir: Path) -> KernelResult:
    """Read a delivered layer once and say what it is: see `vector_inspect.inspect_layer`."""
    from geo_assets.kernels.vector_inspect import inspect_layer

    return inspect_layer(spec, workdir)


def make_layer(spec: LayerProductSpec, workdir: Path) -> KernelResult:
    """Bring a delivery into its canonical form and check it: see `layer_product.build_checked`."""
    from geo_assets.kernels.layer_product import build_checked

    return build_checked(spec, workdir)


def clean_layer(spec: CleanProductSpec, workdir: Path) -> KernelResult:
    """Close gaps and overlaps of a layer and check it: see `layer_product.clean_checked`."""
    from geo_assets.kernels.layer_product import clean_checked

    return clean_checked(spec, workdir)


def look_at_layer(spec: LayerCheckSpec, workdir: Path) -> KernelResult:
    """Hold a layer against its declaration: see `layer_checks.check_layer`."""
    from geo_assets.kernels.layer_checks import check_layer

    return check_layer(spec, workdir)


def predicted_bytes(*, features: int, largest_feature_bytes: int = 0) -> int:
    """Memory that making a layer needs on top of a resting worker, in bytes.

    Args:
        features: Number of features in the delivery.
        largest_feature_bytes: Size of its largest geometry as WKB, where known.
    """
    # A batch lives as Arrow, as GEOS objects of source and target, and as coordinates, beside
    # what the reader holds of the source. Measured on 300,000 polygons of 100 vertices: 200 MB.
    pass_one = 32 * BATCH_BYTES
    # A row group lives as read, as one chunk, in order, and as it is encoded. Measured on 1.2 M
    # such polygons: 434 MB at the most, with what the first pass left behind.
    pass_two = 5 * GROUP_BYTES
    return max(pass_one, pass_two) + 30 * features + 8 * largest_feature_bytes


def predicted_clean_bytes(layer: Path) -> int:
    """Memory that cleaning a coverage needs: it is held whole. Reads the footer of the file."""
    footer = pq.read_metadata(layer)
    groups = (footer.row_group(i).total_byte_size for i in range(footer.num_row_groups))
    return max(READ_BYTES, _CLEAN_FIXED + _CLEAN_PER_BYTE * int(sum(groups)))
