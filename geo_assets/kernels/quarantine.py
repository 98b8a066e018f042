"""Features that cannot be kept, written beside the layer with the reason: nothing is dropped."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import shapely
from numpy.typing import NDArray
from pyproj import CRS, Transformer
from pyproj.exceptions import ProjError

from geo_assets.kernels.geoparquet import GEOMETRY, geo_schema
from geo_assets.kernels.vector_model import SourceBatch
from geo_assets.model import MAX_SAMPLES, PARQUET, Defect, Findings, OutputFile

REASON = "_reason"
DETAIL = "_detail"
ROW = "_row"
RAW = "_wkb"


class Quarantine:
    """Collects rejected features of one layer.

    The file has every delivered column, then `_row` (number in delivery order, the first is
    0), `_reason` (a kind in snake_case), `_detail`, `geometry` in the source CRS, and `_wkb`
    with the bytes as delivered where they are no geometry that GEOS can hold.

    Args:
        path: Where the file is written; it is not made when nothing is rejected.
        attributes: The delivered columns without geometry.
        crs: The source CRS.
        key: Delivered column that names a feature in samples, None for the row number.
    """

    def __init__(self, path: Path, attributes: pa.Schema, crs: CRS, key: str | None) -> None:
        self._path = path
        own = {REASON, DETAIL, ROW, RAW, GEOMETRY}
        self._names = [f"{name}_1" if name in own else name for name in attributes.names]
        fields = [
            field.with_name(name) for field, name in zip(attributes, self._names, strict=True)
        ]
        fields += [pa.field(ROW, pa.int64()), pa.field(REASON, pa.string()),
                   pa.field(DETAIL, pa.string()), pa.field(RAW, pa.binary())]  # fmt: skip
        self._schema = geo_schema(pa.schema(fields), crs, covering=None)
        self._to_lonlat = lonlat_transformer(crs)
        self._key = key
        self._writer: pq.ParquetWriter | None = None
        self.findings = Findings(checked=0)

    @property
    def rows(self) -> int:
        """Features rejected so far."""
        return self.findings.total

    def add(
        self,
        batch: SourceBatch,
        geoms: NDArray[np.object_],
        reasons: NDArray[np.object_],
        details: NDArray[np.object_],
    ) -> None:
        """Take the features of `batch` that have a reason; all arrays have its length."""
        rows = np.flatnonzero(np.array([reason is not None for reason in reasons]))
        if not len(rows):
            return
        attributes = batch.attributes.take(pa.array(rows))
        raw = batch.wkb.take(pa.array(rows)).to_pylist()
        found = geoms[rows]
        held = ~shapely.is_missing(found)
        columns = [
            *attributes.columns,
            pa.array(rows + batch.row, type=pa.int64()),
            pa.array(reasons[rows], type=pa.string()),
            pa.array(details[rows], type=pa.string()),
            pa.array([None if ok else value for ok, value in zip(held, raw, strict=True)],
                     type=pa.binary()),
            pa.array(shapely.to_wkb(found), type=pa.binary()),
        ]  # fmt: skip
        if self._writer is None:
            self._writer = pq.ParquetWriter(self._path, self._schema, compression="zstd")
        self._writer.write_table(pa.Table.from_arrays(columns, schema=self._schema))
        self.findings = self.findings + self._samples(attributes, found, rows + batch.row,
                                                      reasons[rows], details[rows])  # fmt: skip

    def _samples(
        self,
        attributes: pa.RecordBatch,
        geoms: NDArray[np.object_],
        rows: NDArray[np.int64],
        reasons: NDArray[np.object_],
        details: NDArray[np.object_],
    ) -> Findings:
        kinds, counts = np.unique(reasons.astype(str), return_counts=True)
        first = min(len(rows), MAX_SAMPLES)
        places = lonlat_of(geoms[:first], self._to_lonlat)
        names = (
            rows[:first].tolist() if self._key is None
            else attributes.column(self._key)[:first].to_pylist()
        )  # fmt: skip
        samples = tuple(
            Defect(kind=str(reasons[i]), feature=None if names[i] is None else str(names[i]),
                   lon=place and place[0], lat=place and place[1],
                   detail=details[i] or f"row {rows[i]}")
            for i, place in enumerate(places)
        )  # fmt: skip
        found = dict(zip(kinds.tolist(), counts.tolist(), strict=True))
        return Findings(checked=0, counts=found, samples=samples)

    def close(self, name: str) -> OutputFile | None:
        """Finish the file; None when nothing was rejected."""
        if self._writer is None:
            return None
        self._writer.close()
        with pq.ParquetFile(self._path) as file:
            written = sum(file.read_row_group(i).num_rows for i in range(file.num_row_groups))
        assert written == self.rows
        return OutputFile.of(
            self._path,
            name,
            PARQUET,
            roles=("quarantine",),
            facts={"rows": self.rows, "reasons": dict(self.findings.counts)},
        )


def lonlat_transformer(crs: CRS) -> Transformer | None:
    """From `crs` to longitude and latitude; None where PROJ knows no way."""
    try:
        return Transformer.from_crs(crs, "OGC:CRS84", always_xy=True)
    except ProjError:
        return None


def lonlat_of(
    geoms: NDArray[np.object_], to_lonlat: Transformer | None
) -> list[tuple[float, float] | None]:
    """Longitude and latitude of the middle of each geometry's bounds; None where unknown."""
    bounds = shapely.bounds(geoms)
    x, y = (bounds[:, 0] + bounds[:, 2]) / 2, (bounds[:, 1] + bounds[:, 3]) / 2
    if to_lonlat is None:
        return [None] * len(geoms)
    lon, lat = to_lonlat.transform(x, y)
    sane = np.isfinite(lon) & np.isfinite(lat) & (np.abs(lon) <= 360) & (np.abs(lat) <= 90)
    return [
        (round(float(lon[i]), 7), round(float(lat[i]), 7)) if sane[i] else None
        for i in range(len(geoms))
    ]
