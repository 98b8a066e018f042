"""A chunk of left rows against the prepared right side."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from geo_assets.errors import ContractError, InputError
from geo_assets.kernels.join_aggregate import Aggregate
from geo_assets.kernels.join_geometry import reproject_wkb
from geo_assets.kernels.join_index import RightIndex
from geo_assets.kernels.join_layer import Layer, Project, hand_back
from geo_assets.kernels.join_output import Columns, RightRows, Writer, assemble, geo_metadata, texts
from geo_assets.kernels.join_pairs import Finder
from geo_assets.kernels.join_plan import batch_rows
from geo_assets.kernels.join_spec import JoinChunkSpec, JoinRule
from geo_assets.kernels.label_grid import Array
from geo_assets.kernels.nearest import Nearest
from geo_assets.model import PARQUET, KernelResult, OutputFile


def join_chunk(spec: JoinChunkSpec, workdir: Path) -> KernelResult:
    """Join some left rows with the right side; see `join_kernel`."""
    rule, layer = spec.rule, Layer.open(spec.left)
    project, operation = layer.projection(rule.crs)
    index = RightIndex.open(spec.index)
    make = Nearest if rule.predicate == "nearest" else Finder
    finder = make(rule, index, project, layer.path.name)
    path = workdir / f"part-{spec.number:06d}.parquet"
    write = _aggregate if rule.how == "aggregate" else _pairs
    rows, matched = write(spec, layer, index, finder, project, path)
    with pq.ParquetFile(path) as file:
        if file.metadata.num_rows != rows:
            raise ContractError("A join writes every row", f"{file.metadata.num_rows} of {rows}",
                                path.name)  # fmt: skip
    hand_back()
    tally = finder.tally
    facts = {
        "rows": rows,
        "left_rows": tally.left_rows,
        "left_matched": matched,
        "left_not_comparable": tally.not_comparable,
        "left_decided_by_label": tally.by_label,
        "left_operation": operation,
        "bbox": None if tally.box is None else [float(value) for value in tally.box],
    }
    return KernelResult(files=(OutputFile.of(path, path.name, PARQUET),), facts=facts)


def _pairs(
    spec: JoinChunkSpec, layer: Layer, index: RightIndex, finder: Finder | Nearest,
    project: Project | None, path: Path,
) -> tuple[int, int]:  # fmt: skip
    """Write the joined table; give its rows and how many left rows have a partner."""
    rule, right = spec.rule, Layer.open(spec.right)
    columns = Columns.of(rule, (layer, spec.left), (right, spec.right), covering=project is None)
    others = RightRows.of(right, rule, columns, index.bounds)
    fields = [layer.schema.field(old).with_name(new) for old, new in columns.left.items()]
    fields += [field.with_nullable(True) for field in others.table.schema]
    if columns.distance is not None:
        fields.append(pa.field(columns.distance, pa.float64()))
    geo = geo_metadata(layer, columns.left, rule.crs, moved=project is not None)
    schema = pa.schema(fields)
    writer = Writer(path, schema, geo, texts(schema) | set(others.table.column_names))
    matched = 0
    reading = list(columns.left)
    boxes = [] if layer.covering is None or project is not None else [layer.covering]
    for _, batch in layer.batches(
        list(dict.fromkeys(reading + boxes)), spec.start, spec.stop, batch_rows(layer)
    ):
        geometry = batch.column(layer.geometry)
        covering = _covering(layer, batch) if project is None else None
        kept = batch.select(reading)
        if project is not None:
            at = kept.schema.get_field_index(layer.geometry)
            moved = reproject_wkb(geometry, project, layer.path.name)
            kept = kept.set_column(at, kept.schema.field(at), moved)
        for pairs in finder.find(geometry, covering):
            matched += int((np.diff(pairs.left, prepend=-1) != 0).sum())
            for table in assemble(kept, pairs, others, columns, keep=rule.how == "left"):
                writer.write(table)
    writer.close(finder.tally.box)
    return writer.rows, matched


def _aggregate(
    spec: JoinChunkSpec, layer: Layer, index: RightIndex, finder: Finder | Nearest,
    project: Project | None, path: Path,
) -> tuple[int, int]:  # fmt: skip
    """Write the sums of this chunk by zone."""
    total = _empty_aggregate(spec.rule, layer, index.rows)
    reading = [layer.geometry, *total.columns]
    if layer.covering is not None and project is None:
        reading.append(layer.covering)
    matched = 0
    for _, batch in layer.batches(reading, spec.start, spec.stop, batch_rows(layer)):
        geometry = batch.column(layer.geometry)
        covering = _covering(layer, batch) if project is None else None
        for pairs in finder.find(geometry, covering):
            matched += int((np.diff(pairs.left, prepend=-1) != 0).sum())
            total.add(pairs.right, batch, pairs.left)
    table = total.dump()
    pq.write_table(table, path, compression="zstd", use_dictionary=False)
    return table.num_rows, matched


def _empty_aggregate(rule: JoinRule, layer: Layer, zones: int) -> Aggregate:
    """An empty aggregate of this join.

    Raises:
        InputError: The left layer has no such column, or it is not of numbers.
    """
    for statistic in rule.statistics:
        if statistic.column is not None and statistic.column not in layer.schema.names:
            raise InputError("Statistics are of columns of the left layer", repr(statistic.column),
                             layer.path.name)  # fmt: skip
    return Aggregate.of(rule.statistics, layer.schema, zones)


def _covering(layer: Layer, batch: pa.RecordBatch) -> Array | None:
    """The boxes that the file gives for its rows, (rows, 4), or None."""
    if layer.covering is None or layer.covering not in batch.schema.names:
        return None
    struct = batch.column(layer.covering)
    sides = []
    for name, away in (("xmin", -np.inf), ("ymin", -np.inf), ("xmax", np.inf), ("ymax", np.inf)):
        side = pc.struct_field(struct, name).to_numpy(zero_copy_only=False)
        if side.dtype == np.float32:  # rounded, perhaps the wrong way: one step outwards
            side = np.nextafter(side, np.float32(away))
        sides.append(side.astype(np.float64))
    return np.stack(sides).T  # a column lies together: it is worked on several times as fast
