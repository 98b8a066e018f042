"""The right side of a join, prepared once for all chunks: geometry, boxes, label grid."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import shapely

from geo_assets.errors import ConfigError
from geo_assets.kernels.join_layer import Layer, Project, decode, parse_crs
from geo_assets.kernels.join_spec import JoinIndexSpec, JoinRule
from geo_assets.kernels.label_grid import Array, LabelGrid
from geo_assets.kernels.label_grid_build import Edges, build, make_cells
from geo_assets.model import KernelResult, OutputFile

_BATCH = 1 << 15
_MAX_EDGES = 1 << 23
"""A right side with more edges than this gets no grid: building one would take over 1 GiB."""
_EDGES_PER_ROW = 16
"""A grid pays off from one left row per this many edges."""
_POLYGONAL = (3, 6)
_BINARY = "application/octet-stream"


@dataclass(frozen=True, slots=True, kw_only=True)
class RightIndex:
    """What `join_index_kernel` wrote, mapped into memory."""

    rows: int
    wkb: pa.ChunkedArray
    """Geometry of each right row in the join's CRS; null where nothing can be compared."""
    bounds: Array
    """(rows, 4) xmin, ymin, xmax, ymax in the join's CRS; NaN where nothing can be compared."""
    sizes: Array
    """(rows,) coordinates of each geometry."""
    valid: Array
    """(rows,) whether each geometry is valid."""
    grid: LabelGrid | None
    """Valid polygons, ready for look-ups; None where a grid does not pay off."""
    loose: Array
    """Rows that are not in the grid though they can be compared: invalid polygons."""

    @classmethod
    def open(cls, folder: Path) -> RightIndex:
        """Map the files of `folder`."""
        meta = json.loads((folder / "index.json").read_text())
        grid = None if meta["cells"] is None else LabelGrid.load(folder, meta["cells"])
        with pa.memory_map(str(folder / "right.arrow")) as source:
            table = pa.ipc.open_file(source).read_all()
        arrays = {
            name: np.asarray(np.load(folder / f"{name}.npy", mmap_mode="r"))
            for name in ("bounds", "sizes", "valid", "loose")
        }
        return cls(rows=table.num_rows, wkb=table.column(0), grid=grid, **arrays)

    def shapes(self, rows: Array) -> Array:
        """The geometries of some rows."""
        taken = self.wkb.take(pa.array(rows))
        return shapely.from_wkb(taken.to_numpy(zero_copy_only=False))

    def near(self, bounds: Array) -> Array:
        """Rows that can be compared and whose box touches the box around `bounds`; ascending."""
        if not len(bounds):
            return np.zeros(0, np.intp)
        low, high = bounds[:, :2].min(axis=0), bounds[:, 2:].max(axis=0)
        hit = (self.bounds[:, :2] <= high) & (self.bounds[:, 2:] >= low)  # NaN is never near
        return np.flatnonzero(hit.all(axis=1))


def index_bytes(spec: JoinIndexSpec) -> int:
    """Memory that `join_index_kernel` needs, from the footer alone."""
    layer = Layer.open(spec.right)
    geometry = int(layer.bytes_per_row * layer.rows)
    edges = min(geometry // 16, _MAX_EDGES)
    return (64 << 20) + (1 << 24) * 12 + edges * 170 + geometry


def join_index_kernel(spec: JoinIndexSpec, workdir: Path) -> KernelResult:
    """Prepare the right side.

    Raises:
        InputError: A file is not usable GeoParquet, or in another CRS than declared.
        ConfigError: A distance would be measured in degrees; the join's CRS is unknown to PROJ.
    """
    _check_units(spec.rule)
    layer, left = Layer.open(spec.right), Layer.open(spec.left)
    left.projection(spec.rule.crs)
    project, operation = layer.projection(spec.rule.crs)
    bounds, sizes, kinds, valid = _normalise(layer, project, workdir / "right.arrow")
    np.save(workdir / "bounds.npy", bounds)
    np.save(workdir / "sizes.npy", sizes)
    np.save(workdir / "valid.npy", valid)
    comparable = np.flatnonzero(sizes > 0)
    edges = int(sizes.sum())
    worth = (
        edges <= min(_EDGES_PER_ROW * left.rows, _MAX_EDGES) and spec.rule.predicate != "dwithin"
    )
    cells, loose = None, comparable
    if worth and len(comparable) and np.isin(kinds[comparable], _POLYGONAL).all():
        cells = _build_grid(workdir, bounds, valid & (sizes > 0), left.rows)
        loose = comparable if cells is None else comparable[~valid[comparable]]
    np.save(workdir / "loose.npy", loose)
    (workdir / "index.json").write_text(json.dumps({"cells": cells}))
    facts = {
        "right_rows": layer.rows,
        "right_not_comparable": int(layer.rows - len(comparable)),
        "right_operation": operation,
        "right_invalid": int((~valid[comparable]).sum()),
        "grid_cells": cells["nx"] * cells["ny"] if cells else 0,
    }
    RightIndex.open(workdir)
    files = tuple(
        OutputFile.of(path, path.name, _BINARY, roles=("index",))
        for path in sorted(workdir.iterdir())
    )
    return KernelResult(files=files, facts=facts)


def _check_units(rule: JoinRule) -> None:
    if rule.predicate in ("dwithin", "nearest") and parse_crs(rule.crs, "the join").is_geographic:
        raise ConfigError("Distances are measured in a projected CRS", rule.crs,
                          f"a {rule.predicate} join", "Give a projected crs.")  # fmt: skip


def _normalise(
    layer: Layer, project: Project | None, path: Path
) -> tuple[Array, Array, Array, Array]:
    """Write the geometry in the join's CRS; give boxes, sizes, type ids and validity."""
    schema = pa.schema([("wkb", pa.large_binary())])
    facts = [(np.zeros((0, 4)), np.zeros(0, np.int32), np.zeros(0, np.int32), np.zeros(0, bool))]
    with pa.OSFile(str(path), "wb") as sink, pa.ipc.new_file(sink, schema) as writer:
        for _, batch in layer.batches([layer.geometry], 0, layer.rows, _BATCH):
            source = batch.column(0)
            shapes = decode(source, project, layer.path.name)
            missing = shapely.is_missing(shapes)
            if project is None and missing.sum() == source.null_count:
                wkb = source.cast(pa.large_binary())
            else:
                wkb = pa.array(shapely.to_wkb(shapes), pa.large_binary())
            writer.write_batch(pa.record_batch([wkb], schema=schema))
            facts.append((shapely.bounds(shapes),
                          shapely.get_num_coordinates(shapes).astype(np.int32),
                          shapely.get_type_id(shapes).astype(np.int32),
                          shapely.is_valid(shapes)))  # fmt: skip
    bounds, sizes, kinds, valid = (np.concatenate(part) for part in zip(*facts, strict=True))
    return bounds, sizes, kinds, valid


def _build_grid(folder: Path, bounds: Array, usable: Array, points: int) -> dict[str, Any] | None:
    """Write the grid of the usable polygons and give its cells; None without any."""
    if not usable.any():
        return None
    with pa.memory_map(str(folder / "right.arrow")) as source:
        table = pa.ipc.open_file(source).read_all()
    parts, row = [], 0
    for shapes in _shapes(table):
        at = np.flatnonzero(usable[row : row + len(shapes)])
        parts.append(Edges.of(shapes[at], at + row))
        row += len(shapes)
    edges = Edges.join(parts)
    return build(edges, make_cells(bounds[usable], points, edges)).save(folder)


def _shapes(table: pa.Table) -> Iterator[Array]:
    for chunk in table.column(0).chunks:
        yield shapely.from_wkb(chunk.to_numpy(zero_copy_only=False))
