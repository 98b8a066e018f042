"""The joined table: which columns it has, how they are called, how it is written."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from geo_assets.errors import ConfigError
from geo_assets.kernels.join_blocks import portions
from geo_assets.kernels.join_found import Pairs
from geo_assets.kernels.join_layer import Layer, parse_crs, read_columns
from geo_assets.kernels.join_spec import JoinRule, JoinSide
from geo_assets.kernels.label_grid import Array

ROW_GROUP = 1 << 17
"""Rows of a row group of the result, about."""
_GROUP_BYTES = 128 << 20
"""Bytes of a row group of the result in memory, about."""
_TABLE_BYTES = 32 << 20
"""A table made at once holds about so many bytes: large geometries may be repeated often."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Columns:
    """The columns of a joined table, left ones first, then the right row's."""

    left: Mapping[str, str]
    """Name in the left layer: name in the result. With the geometry."""
    right: Mapping[str, str]
    """Name in the right layer: name in the result."""
    index: str
    distance: str | None

    @classmethod
    def of(cls, rule: JoinRule, left: tuple[Layer, JoinSide], right: tuple[Layer, JoinSide],
           *, covering: bool) -> Columns:  # fmt: skip
        """Names as geopandas gives them: what both sides have gets `_left` and `_right`.

        Raises:
            ConfigError: Two columns of the result would have the same name.
        """
        layer, side = left
        attributes = layer.attributes(side)
        kept = [*attributes, layer.geometry]
        if covering and layer.covering is not None:
            kept.append(layer.covering)
        if side.columns is None:
            kept = [name for name in layer.schema.names if name in kept]
        others = right[0].attributes(right[1])
        both = set(attributes) & set(others)
        names = cls(
            left={name: f"{name}_left" if name in both else name for name in kept},
            right={name: f"{name}_right" if name in both else name for name in others},
            index=rule.index_column,
            distance=rule.distance_column,
        )
        every = [*names.left.values(), names.index, *names.right.values(), names.distance]
        twice = sorted({name for name in every if name is not None and every.count(name) > 1})
        if twice:
            raise ConfigError("Each column of a join has a name of its own", ", ".join(twice),
                              layer.path.name, "Choose columns or set index_column.")  # fmt: skip
        return names


@dataclass(frozen=True, slots=True, kw_only=True)
class RightRows:
    """Attributes of the right rows that may be needed, in memory."""

    table: pa.Table
    """The columns as the result names them; the index column first."""
    rows: Array
    """Row of the layer of each row of the table; ascending."""

    @classmethod
    def of(cls, layer: Layer, rule: JoinRule, columns: Columns, bounds: Array) -> RightRows:
        """Read the row groups that hold a right row that can be compared.

        Raises:
            ConfigError: The key is not a column of the layer.
        """
        if rule.right_key is not None and rule.right_key not in layer.schema.names:
            raise ConfigError("right_key is a column of the right layer", repr(rule.right_key),
                              layer.path.name)  # fmt: skip
        known = np.flatnonzero(np.isfinite(bounds[:, 0]))
        groups = np.unique(np.searchsorted(layer.groups, known, "right") - 1)
        names = dict.fromkeys(columns.right)
        if rule.right_key is not None:
            names[rule.right_key] = None
        rows = [np.arange(layer.groups[g], layer.groups[g + 1]) for g in groups]
        row = np.concatenate([np.zeros(0, np.int64), *rows])
        table = read_columns(layer, list(names), groups.tolist())
        key = pa.array(row) if rule.right_key is None else table[rule.right_key]
        values = [key, *(table[name] for name in columns.right)]
        titles = [columns.index, *columns.right.values()]
        return cls(table=pa.table(values, titles).combine_chunks(), rows=row)

    def take(self, rows: Array, missing: Array | None = None) -> pa.Table:
        """The attributes of some right rows; nulls where `missing`."""
        whole = len(self.rows) == 0 or self.rows[-1] == len(self.rows) - 1
        at = rows if whole else np.searchsorted(self.rows, rows)
        return self.table.take(pa.array(at, mask=missing))


def assemble(
    batch: pa.RecordBatch, pairs: Pairs, right: RightRows, columns: Columns, *, keep: bool
) -> Iterator[pa.Table]:
    """The rows of the result for some left rows, in tables of bounded size.

    Args:
        batch: The left columns of the batch.
        pairs: What was found for a run of its rows.
        right: The right attributes.
        columns: The names.
        keep: Left rows without a partner stay, with nulls.
    """
    left, rows, distance, missing = _with_lone(pairs) if keep else (*_sides(pairs), None)
    table = pa.Table.from_batches([batch]).rename_columns(list(columns.left.values()))
    whole = len(left) == pairs.stop - pairs.start and bool((np.diff(left) == 1).all())
    parts = [slice(0, len(left))] if whole else portions(_weights(batch)[left], _TABLE_BYTES)
    for part in parts:
        made = table.slice(pairs.start, len(left)) if whole else table.take(pa.array(left[part]))
        absent = None if missing is None else missing[part]
        found = right.take(rows[part], absent)
        for name in found.column_names:
            made = made.append_column(name, found[name])
        if columns.distance is not None and distance is not None:
            far = pa.array(distance[part], pa.float64(), mask=absent)
            made = made.append_column(columns.distance, far)
        if made.num_rows:
            yield made


def _sides(pairs: Pairs) -> tuple[Array, Array, Array | None]:
    return pairs.left, pairs.right, pairs.distance


def _with_lone(pairs: Pairs) -> tuple[Array, Array, Array | None, Array | None]:
    """The pairs and the left rows without one, in order, and which these are."""
    left, rows, distance = _sides(pairs)
    lone = np.setdiff1d(np.arange(pairs.start, pairs.stop), left)
    if not len(lone):
        return left, rows, distance, None
    left = np.concatenate([left, lone])
    order = np.argsort(left, kind="stable")
    rows = np.concatenate([rows, np.zeros(len(lone), rows.dtype)])[order]
    if distance is not None:
        distance = np.concatenate([distance, np.zeros(len(lone))])[order]
    return left[order], rows, distance, order >= len(order) - len(lone)


def _weights(batch: pa.RecordBatch) -> Array:
    """About how many bytes each row takes."""
    weight = np.full(batch.num_rows, 64, np.int64)
    for column in batch.columns:
        if pa.types.is_binary(column.type) or pa.types.is_large_binary(column.type):
            size = pc.fill_null(pc.binary_length(column), 0)
            weight += size.to_numpy(zero_copy_only=False).astype(np.int64)
    return weight


class Writer:
    """Writes a joined table as a stream; memory is bounded by two row groups."""

    def __init__(
        self,
        path: Path,
        schema: pa.Schema,
        geo: dict[str, Any] | None,
        repetitive: AbstractSet[str],
    ) -> None:
        """Open `path`; `repetitive` are the columns that a dictionary makes smaller."""
        self.path = path
        self.rows = 0
        self._geo = geo
        self._held: list[pa.Table] = []
        self._held_rows = self._held_bytes = 0
        plain = [] if geo is None else [*geo["columns"]]
        # The fastest zstd level: 6 % larger than the default, an eighth less CPU.
        self._file = pq.ParquetWriter(
            path, schema.remove_metadata(), compression="zstd", compression_level=-1,
            use_dictionary=[name for name in schema.names if name in repetitive],
            write_statistics=[name for name in schema.names if name not in plain],
        )  # fmt: skip

    def write(self, table: pa.Table) -> None:
        """Add rows."""
        self._held.append(table.replace_schema_metadata(None))
        self._held_rows += table.num_rows
        self._held_bytes += table.get_total_buffer_size()
        if self._held_rows >= ROW_GROUP or self._held_bytes >= _GROUP_BYTES:
            self._flush()

    def _flush(self) -> None:
        table = pa.concat_tables(self._held)
        self._file.write_table(table.cast(self._file.schema), row_group_size=2 * ROW_GROUP)
        self.rows += table.num_rows
        self._held, self._held_rows, self._held_bytes = [], 0, 0

    def close(self, bbox: tuple[float, ...] | None) -> None:
        """Finish the file.

        Args:
            bbox: A box that holds all geometries, for the metadata.
        """
        if self._held:
            self._flush()
        if self._geo is not None:
            geo = json.loads(json.dumps(self._geo))
            column = geo["columns"][geo["primary_column"]]
            column.pop("bbox", None)
            if bbox is not None:
                column["bbox"] = [float(value) for value in bbox]
            self._file.add_key_value_metadata({"geo": json.dumps(geo)})
        self._file.close()


def texts(schema: pa.Schema) -> set[str]:
    """Columns of text or of dictionaries: what usually repeats."""
    kinds = (pa.types.is_dictionary, pa.types.is_string, pa.types.is_large_string)
    return {field.name for field in schema if any(kind(field.type) for kind in kinds)}


def geo_metadata(
    layer: Layer, names: Mapping[str, str], crs: str, *, moved: bool
) -> dict[str, Any]:
    """The `geo` metadata of a result with the geometry of `layer`, in the join's CRS."""
    own = layer.meta["columns"]
    columns = {names[name]: dict(column) for name, column in own.items() if name in names}
    main = columns[names[layer.geometry]]
    if moved or main.get("crs", "default") is None:
        main["crs"] = parse_crs(crs, "the join").to_json_dict()
    if moved or layer.covering not in names:
        main.pop("covering", None)
    return {"version": layer.meta.get("version", "1.1.0"),
            "primary_column": names[layer.geometry], "columns": columns}  # fmt: skip
