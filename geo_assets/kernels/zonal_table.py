"""The table of a zonal job: one row for every zone, in the order of the zones."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from geo_assets.errors import ContractError
from geo_assets.kernels.spool import read_keys
from geo_assets.kernels.zonal import OK, STATISTICS, STATUS, ZonalTable
from geo_assets.kernels.zonal_chunk import ROW
from geo_assets.model import MAX_SAMPLES, PARQUET, Defect, Findings, KernelResult, OutputFile

_ROWS = 65_536


def merge(spec: ZonalTable, workdir: Path) -> KernelResult:
    """Join the statistics of all groups to the zones.

    Memory holds a stretch of the table and a row group of each part, whatever the number of zones.

    Returns:
        `statistics.parquet`: the key column, `zone_status` (`ok`, `outside`, `null_geometry` or
        `invalid`), then the statistics and `coverage`; a zone that is not `ok` has nulls. Facts:
        `zones`, `findings` (zones that could not be computed; outside is not a defect).

    Raises:
        ContractError: A zone was computed twice or not at all.
    """
    status = np.load(spec.spool / "status.npy", mmap_mode="r")
    parts = [_Part(path) for path in spec.parts]
    schema = _schema(spec, parts)
    path = workdir / STATISTICS
    defects: list[Defect] = []
    counts: dict[str, int] = {}
    start = 0
    with pq.ParquetWriter(path, schema, compression="zstd") as writer:
        for keys in _stretches(spec):
            states = np.asarray(status[start : start + len(keys)])
            table = _stretch(parts, start, states, schema, keys)
            writer.write_table(table)
            for code in np.unique(states[states > 1]).tolist():
                rows = np.flatnonzero(states == code)
                counts[STATUS[code]] = counts.get(STATUS[code], 0) + len(rows)
                for at in rows[: MAX_SAMPLES - len(defects)].tolist():
                    name = str(keys[at].as_py())
                    defects.append(Defect(kind=STATUS[code], feature=name,
                                          detail="The zone could not be computed."))  # fmt: skip
            start += len(keys)
    if any(part.left() for part in parts) or pq.read_metadata(path).num_rows != len(status):
        raise ContractError("Every zone has one row", f"{start} of {len(status)}", spec.zones.name)
    findings = Findings(checked=len(status), counts=counts, samples=tuple(defects))
    facts: dict[str, Any] = {"zones": len(status), "findings": findings.as_dict()}
    file = OutputFile.of(path, STATISTICS, PARQUET, facts={"rows": len(status)})
    return KernelResult(files=(file,), facts=facts)


class _Part:
    """Reads one chunk's table forward, by ascending zone."""

    def __init__(self, path: Path) -> None:
        self._file = pq.ParquetFile(path)
        self.schema = self._file.schema_arrow
        self._group = 0
        self._held = self.schema.empty_table()

    def until(self, row: int) -> pa.Table:
        """The next zones before `row`."""
        taken = []
        while True:
            rows = self._held.column(ROW).to_numpy()
            ready = int(np.searchsorted(rows, row))
            taken.append(self._held.slice(0, ready))
            self._held = self._held.slice(ready)
            if self._held.num_rows or self._group == self._file.num_row_groups:
                return pa.concat_tables(taken)
            self._held = self._file.read_row_group(self._group)
            self._group += 1

    def left(self) -> bool:
        """Whether a zone was not asked for."""
        return bool(self._held.num_rows) or self._group < self._file.num_row_groups


def _stretches(spec: ZonalTable) -> Iterator[pa.Array]:
    for keys in read_keys(spec.zones, spec.key):
        for start in range(0, len(keys), _ROWS):
            yield keys.slice(start, _ROWS)


def _schema(spec: ZonalTable, parts: list[_Part]) -> pa.Schema:
    key = pa.int64() if spec.key is None else pq.read_schema(spec.zones).field(spec.key).type
    fields = [pa.field(spec.key or "zone", key), pa.field("zone_status", pa.string())]
    # Where no zone lies in the raster there are no parts, and so no columns.
    return pa.schema([*fields, *(f for f in (parts[0].schema if parts else []) if f.name != ROW)])


def _stretch(
    parts: list[_Part],
    start: int,
    states: np.ndarray[Any, np.dtype[np.uint8]],
    schema: pa.Schema,
    keys: pa.Array,
) -> pa.Table:
    stop = start + len(states)
    tables = [part.until(stop) for part in parts]
    rows = np.concatenate([np.empty(0, np.int64), *(t.column(ROW).to_numpy() for t in tables)])
    if not np.array_equal(np.sort(rows), np.flatnonzero(states == OK) + start):
        raise ContractError("Every zone in the raster has one result",
                            f"{len(rows)} for {int((states == OK).sum())} zones",
                            f"rows {start} to {stop}")  # fmt: skip
    place = np.full(len(states), -1)
    place[rows - start] = np.arange(len(rows))
    taken = pa.array(place, mask=place < 0)
    columns = [keys, pa.array([STATUS[code] for code in states.tolist()], pa.string())]
    if tables:
        joined = pa.concat_tables(tables).drop_columns([ROW]).take(taken)
        columns += [column.combine_chunks() for column in joined.columns]
    return pa.table(columns, schema=schema)
