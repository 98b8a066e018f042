"""The right side of a join, prepared once for all chunks: geometry, boxes, label grid."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import shapely

from geo_assets.errors import ConfigError
from geo_assets.kernels.join_layer import Layer, Project, hand_back, parse_crs
from geo_assets.kernels.join_plan import MAX_EDGES
from geo_assets.kernels.join_seen import see
from geo_assets.kernels.join_spec import JoinIndexSpec, JoinRule
from geo_assets.kernels.label_grid import Array, LabelGrid
from geo_assets.kernels.label_grid_build import build, make_cells
from geo_assets.kernels.label_grid_edges import Edges
from geo_assets.model import JSON, KernelResult, OutputFile

_BATCH_BYTES = 8 << 20
"""Geometry is looked at in batches of about so many bytes: larger temporaries are never reused."""
_EDGES_PER_ROW = 16
"""A grid pays off from one left row per this many edges."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RightIndex:
    """What `make_index` wrote, mapped into memory."""

    rows: int
    wkb: pa.ChunkedArray
    """Geometry of each right row in the join's CRS; null where nothing can be compared."""
    bounds: Array
    """(rows, 4) xmin, ymin, xmax, ymax in the join's CRS; NaN where nothing can be compared."""
    sizes: Array
    """(rows,) coordinates of each geometry."""
    valid: Array
    """(rows,) whether each geometry is valid."""
    girth: Array
    """(rows,) the longer side of the box of each polygon's smallest ring; 0 if not known."""
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
            for name in ("bounds", "sizes", "valid", "girth", "loose")
        }
        return cls(rows=table.num_rows, wkb=table.column(0), grid=grid, **arrays)

    def shapes(self, rows: Array) -> Array:
        """The geometries of some rows, which ascend."""
        starts = np.cumsum([0, *(len(chunk) for chunk in self.wkb.chunks)])
        cuts = np.searchsorted(rows, starts)
        # Piece by piece: to take from a chunked array at once copies the whole of it first.
        taken = [
            chunk.take(pa.array(rows[low:high] - start)).to_numpy(zero_copy_only=False)
            for chunk, start, low, high in zip(
                self.wkb.chunks, starts[:-1], cuts[:-1], cuts[1:], strict=True
            )
            if high > low
        ]
        shapes: Array = shapely.from_wkb(np.concatenate([np.zeros(0, object), *taken]))
        return shapes

    def near(self, bounds: Array) -> Array:
        """Rows that can be compared and whose box touches the box around `bounds`; ascending."""
        if not len(bounds):
            return np.zeros(0, np.intp)
        low, high = bounds[:, :2].min(axis=0), bounds[:, 2:].max(axis=0)
        hit = (self.bounds[:, :2] <= high) & (self.bounds[:, 2:] >= low)  # NaN is never near
        return np.flatnonzero(hit.all(axis=1))


def make_index(spec: JoinIndexSpec, workdir: Path) -> KernelResult:
    """Prepare the right side; see `join_index_kernel`."""
    _check_units(spec.rule)
    layer, left = Layer.open(spec.right), Layer.open(spec.left)
    left.projection(spec.rule.crs)
    project, operation = layer.projection(spec.rule.crs)
    worth = min(_EDGES_PER_ROW * left.rows, MAX_EDGES) if spec.rule.predicate != "dwithin" else 0
    found = _normalise(layer, project, workdir / "right.arrow", worth)
    for name in ("bounds", "sizes", "valid", "girth"):
        np.save(workdir / f"{name}.npy", getattr(found, name))
    comparable = found.sizes > 0
    cells: dict[str, Any] | None = None
    loose = comparable
    if found.edges is not None and len(found.edges.start):
        usable = comparable & found.valid
        lattice = make_cells(found.bounds[usable], left.rows, found.edges)
        cells = build(found.edges, lattice).save(workdir)
        loose = comparable & ~found.valid
    np.save(workdir / "loose.npy", np.flatnonzero(loose))
    (workdir / "index.json").write_text(json.dumps({"cells": cells}))
    RightIndex.open(workdir)
    hand_back()
    facts = {
        "right_rows": layer.rows,
        "right_not_comparable": int(layer.rows - comparable.sum()),
        "right_operation": operation,
        "right_invalid": int((comparable & ~found.valid).sum()),
        "grid_cells": cells["nx"] * cells["ny"] if cells else 0,
    }
    face = OutputFile.of(workdir / "index.json", "index.json", JSON, roles=("index",))
    return KernelResult(files=(face,), facts=facts)


def _check_units(rule: JoinRule) -> None:
    if rule.predicate in ("dwithin", "nearest") and parse_crs(rule.crs, "the join").is_geographic:
        raise ConfigError("Distances are measured in a projected CRS", rule.crs,
                          f"a {rule.predicate} join", "Give a projected crs.")  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class _Found:
    bounds: Array
    sizes: Array
    valid: Array
    girth: Array
    edges: Edges | None
    """Of the valid polygons; None if not all is polygonal or there are too many."""


def _normalise(layer: Layer, project: Project | None, path: Path, most: int) -> _Found:
    """Write the geometry in the join's CRS and look at it once; keep `most` edges at most."""
    schema = pa.schema([("wkb", pa.large_binary())])
    facts = [(np.zeros((0, 4)), np.zeros(0, np.int32), np.zeros(0, bool))]
    parts: list[Edges] | None = [] if most else None
    held, rows = 0, int(min(max(_BATCH_BYTES / max(layer.bytes_per_row, 1.0), 64), 1 << 15))
    with pa.OSFile(str(path), "wb") as sink, pa.ipc.new_file(sink, schema) as writer:
        for row, source in layer.geometries(rows):
            seen = see(source, project, layer.path.name)
            writer.write_batch(pa.record_batch([seen.wkb], schema=schema))
            facts.append((seen.bounds, seen.sizes, seen.valid))
            held += int(seen.sizes.sum())
            if held > most or not seen.polygonal:
                parts = None
            if parts is not None:
                parts.append(Edges.of(seen.rings(row)))
    bounds, sizes, valid = (np.concatenate(part) for part in zip(*facts, strict=True))
    edges = Edges.join(parts) if parts else None
    girth = np.zeros(len(sizes)) if edges is None else edges.girth(len(sizes))
    return _Found(bounds=bounds, sizes=sizes, valid=valid, girth=girth, edges=edges)
