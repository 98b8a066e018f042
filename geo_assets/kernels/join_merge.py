"""The chunks' sums of an aggregating join made one table of the zones."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from geo_assets.errors import ConfigError, ContractError
from geo_assets.kernels.join_aggregate import Aggregate
from geo_assets.kernels.join_index import RightIndex
from geo_assets.kernels.join_layer import Layer, hand_back, read_columns
from geo_assets.kernels.join_output import Writer, texts
from geo_assets.kernels.join_spec import JoinMergeSpec
from geo_assets.model import PARQUET, KernelResult, OutputFile


def merge_parts(spec: JoinMergeSpec, workdir: Path) -> KernelResult:
    """Add up the chunks' sums; see `join_merge_kernel`."""
    path = workdir / spec.name
    rows = _zones(spec, path)
    hand_back()
    with pq.ParquetFile(path) as file:
        if file.metadata.num_rows != rows:
            raise ContractError("A join writes every row", f"{file.metadata.num_rows} of {rows}",
                                spec.name)  # fmt: skip
    return KernelResult(files=(OutputFile.of(path, spec.name, PARQUET),), facts={"rows": rows})


def _zones(spec: JoinMergeSpec, path: Path) -> int:
    layer, rule = Layer.open(spec.right), spec.rule
    index = RightIndex.open(spec.index)
    total = Aggregate.merged(rule.statistics, [pq.read_table(part) for part in spec.parts],
                             index.rows)  # fmt: skip
    names = list(layer.attributes(spec.right))
    read = list(names)
    if rule.right_key is not None and rule.right_key not in read:
        read.append(rule.right_key)
    if rule.zone_geometry:
        read.append(layer.geometry)
    groups = range(len(layer.groups) - 1)
    table = read_columns(layer, read, groups)
    key: Any = pa.array(np.arange(layer.rows)) if rule.right_key is None else table[rule.right_key]
    values = {rule.index_column: key, **{name: table[name] for name in names}}
    added = {statistic.title: total.values(statistic) for statistic in rule.statistics}
    clash = sorted(values.keys() & added.keys() | ({layer.geometry} & added.keys()))
    if clash or rule.index_column in names:
        raise ConfigError("Each column of an aggregate has a name of its own",
                          ", ".join(clash) or rule.index_column, layer.path.name,
                          "Choose columns or set index_column.")  # fmt: skip
    values |= added
    geo = None
    if rule.zone_geometry:
        values[layer.geometry] = table[layer.geometry]
        own = dict(layer.meta["columns"][layer.geometry])
        own.pop("covering", None)
        geo = {**layer.meta, "columns": {layer.geometry: own}}
    result = pa.table(values)
    writer = Writer(path, result.schema, geo, texts(result.schema))
    for start in range(0, result.num_rows, 1 << 16):
        writer.write(result.slice(start, 1 << 16))
    writer.close(layer.bbox)
    return writer.rows
