"""What repairs changed, feature by feature: a layer of its own beside the repaired one."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import shapely
from numpy.typing import NDArray
from pyproj import CRS

from geo_assets.kernels.geoparquet import GEOMETRY, geo_schema
from geo_assets.kernels.layer_columns import free_name
from geo_assets.kernels.quarantine import lonlat_of, lonlat_transformer
from geo_assets.kernels.repair import Repaired
from geo_assets.model import PARQUET, OutputFile
from geo_assets.rules.batches import read_batches

CHANGES = "changes.parquet"
HOW = ("make_valid", "snap", "coverage")
"""What changed a feature: it was invalid, it was moved to the precision grid, or it was part of a
narrow gap or overlap."""

_ROW = "__row"
_ROWS = 16_384
_AREAS = ("area_before_m2", "area_after_m2", "changed_m2")


@dataclass(frozen=True, slots=True, kw_only=True)
class Changes:
    """Changed features of one batch; all arrays have the same length."""

    rows: NDArray[np.int64]
    """Their row numbers in delivery order; -1 where that is not known any more."""
    keys: pa.Array
    how: NDArray[np.object_]
    """One of `HOW` for each."""
    before_m2: NDArray[np.float64]
    after_m2: NDArray[np.float64]
    changed_m2: NDArray[np.float64]
    """Area gained and area lost, added up, where that can be told; else their difference."""
    places: NDArray[np.object_]
    """What changed, in the layer's CRS; None where it is nowhere in particular."""
    features: NDArray[np.object_]
    """The features as they are now, for their longitude and latitude where a place is None."""


def changes_of(repaired: Repaired, kept: NDArray[np.bool_], keys: pa.Array, first: int) -> Changes:
    """What was repaired of the features that are kept.

    Args:
        repaired: The repair of a batch.
        kept: Which features of the batch are kept.
        keys: The keys of those.
        first: Row number of the batch's first feature in delivery order.
    """
    rows = np.flatnonzero(repaired.changed & kept)
    features, invalid = repaired.geoms[rows], repaired.invalid[rows]
    places = features.copy()
    places[~invalid] = None
    before, after = repaired.before_m2[rows], repaired.after_m2[rows]
    return Changes(
        rows=rows + first,
        keys=keys.take(pa.array((np.cumsum(kept) - 1)[rows])),
        how=np.where(invalid, "make_valid", "snap").astype(object),
        before_m2=before,
        after_m2=after,
        changed_m2=np.abs(after - before),
        places=places,
        features=features,
    )


class ChangeLog:
    """Collects what repairs changed in one layer.

    The file has the key column, `how` (one of `HOW`), `area_before_m2`, `area_after_m2`,
    `changed_m2`, `lon`, `lat` and `geometry`. It is GeoParquet in the CRS of the layer.

    Args:
        path: Where the file is written; it is not made when nothing changed.
        key: The key column.
        crs: The CRS of the layer.
    """

    def __init__(self, path: Path, key: pa.Field, crs: CRS) -> None:
        self._path = path
        self._scratch = path.with_suffix(".scratch")
        names = ["how", *_AREAS, "lon", "lat"]
        name = free_name(key.name, {*names, GEOMETRY, _ROW})
        kinds = [pa.string(), *[pa.float64()] * 5]
        fields = [key.with_name(name), *map(pa.field, names, kinds)]
        self._schema = geo_schema(pa.schema(fields), crs, covering=None)
        self._to_lonlat = lonlat_transformer(crs)
        self._held: list[pa.Table] = []
        self._writer: pq.ParquetWriter | None = None
        self._totals = Totals()

    def add(self, changes: Changes) -> None:
        """Take the changes of one batch."""
        if not len(changes.rows):
            return
        nowhere = shapely.is_missing(changes.places)
        located = np.where(nowhere, changes.features, shapely.point_on_surface(changes.places))
        places = lonlat_of(located, self._to_lonlat)
        columns = [
            changes.keys,
            pa.array(changes.how, pa.string()),
            *map(pa.array, (changes.before_m2, changes.after_m2, changes.changed_m2)),
            *(pa.array([place and place[i] for place in places], pa.float64()) for i in (0, 1)),
            pa.array(shapely.to_wkb(changes.places, flavor="iso"), pa.binary()),
        ]
        table = pa.Table.from_arrays(columns, schema=self._schema)
        self._hold(table.append_column(_ROW, pa.array(changes.rows, pa.int64())))

    def copy(self, earlier: Path) -> None:
        """Take what an earlier step of the same layer changed."""
        with pq.ParquetFile(earlier) as file:
            for batch in read_batches(file, _ROWS):
                table = pa.Table.from_batches([batch]).cast(self._schema)
                nowhere = np.full(table.num_rows, -1)
                self._hold(table.append_column(_ROW, pa.array(nowhere, pa.int64())))

    def _hold(self, table: pa.Table) -> None:
        self._held.append(table)
        if sum(held.num_rows for held in self._held) >= _ROWS:
            self._flush()

    def _flush(self) -> None:
        if not self._held:
            return
        if self._writer is None:
            self._writer = pq.ParquetWriter(self._scratch, self._held[0].schema, compression="lz4")
        self._writer.write_table(pa.concat_tables(self._held))
        self._held = []

    def close(self, without: NDArray[np.int64]) -> OutputFile | None:
        """Finish the file; None when nothing changed.

        Args:
            without: Row numbers of features that were rejected after they had been changed.
        """
        self._flush()
        if self._writer is None:
            return None
        self._writer.close()
        with (
            pq.ParquetFile(self._scratch) as scratch,
            pq.ParquetWriter(self._path, self._schema, compression="zstd") as out,
        ):
            for batch in read_batches(scratch, _ROWS):
                gone = pc.is_in(batch.column(_ROW), value_set=pa.array(without, pa.int64()))
                kept = pa.Table.from_batches([batch.filter(pc.invert(gone))]).drop_columns([_ROW])
                self._totals.add(kept)
                out.write_table(kept.cast(self._schema))
        self._scratch.unlink()
        return OutputFile.of(self._path, CHANGES, PARQUET, roles=("metadata",), facts=self.facts())

    def facts(self) -> Mapping[str, Any]:
        """After `close`: the account of the whole layer, small JSON."""
        return self._totals.facts()


class Totals:
    """Sums over a table of changes."""

    def __init__(self) -> None:
        self._how: dict[str, int] = {}
        self._gained = self._lost = self._changed = self._largest = 0.0

    def add(self, changes: pa.Table) -> None:
        """Add a piece of the table."""
        for entry in changes.column("how").value_counts().to_pylist():
            self._how[entry["values"]] = self._how.get(entry["values"], 0) + entry["counts"]
        before, after, changed = (changes.column(name).to_numpy() for name in _AREAS)
        self._gained += float(np.maximum(after - before, 0).sum())
        self._lost += float(np.maximum(before - after, 0).sum())
        self._changed += float(changed.sum())
        self._largest = max(self._largest, float(changed.max(initial=0.0)))

    def facts(self) -> dict[str, Any]:
        """Number of changes, by what made them, and their areas in square metres."""
        return {
            "repaired": sum(self._how.values()),
            "by": {how: self._how[how] for how in HOW if how in self._how},
            "area_gained_m2": round(self._gained, 3),
            "area_lost_m2": round(self._lost, 3),
            "changed_m2": round(self._changed, 3),
            "largest_change_m2": round(self._largest, 3),
        }
