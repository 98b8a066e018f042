"""Layers read through OGR: the only module of the package that opens files with pyogrio."""

from __future__ import annotations

import os
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

# Read by GDAL when pyogrio loads it, so it must be set before the import: drivers that reach
# other files, programs or hosts do not exist in a process that reads deliveries. Afterwards it is
# unset, because the GDAL of rasterio would warn about each driver that it never had.
os.environ["OGR_SKIP"] = ",".join(
    name
    for name in (
        "OGR_VRT", "GDALG", "OGCAPI", "WFS", "OAPIF", "CSW", "HTTP", "Elasticsearch", "Carto",
        "AmigoCloud", "PLSCENES", "NGW", "EEDA", "ADBC", "GPSBabel", "MapML", "PGDUMP", "PDF",
    )
    if name not in os.environ.get("GDAL_SKIP", "").split(",")
)  # fmt: skip

import pyarrow as pa
import pyogrio

del os.environ["OGR_SKIP"]

from pyogrio.errors import DataLayerError, DataSourceError, FeatureError, FieldError
from pyproj import CRS
from pyproj.exceptions import CRSError

from geo_assets.errors import InputError
from geo_assets.kernels import vector_curves
from geo_assets.kernels.vector_csv import csv_options
from geo_assets.kernels.vector_model import LayerInfo, LayerSource, SourceBatch, batch_rows
from geo_assets.kernels.vector_sniff import Delivery, check_last_line

_FAULTS = (DataSourceError, DataLayerError, FeatureError, FieldError, OSError, pa.ArrowException,
           RuntimeError, ValueError)  # fmt: skip
_CONFIG = {
    # A request that a driver makes all the same ends at once, on this machine.
    "GDAL_HTTP_PROXY": "127.0.0.1:9",
    "GDAL_HTTPS_PROXY": "127.0.0.1:9",
    "CPL_VSIL_CURL_ALLOWED_EXTENSIONS": ".none",
    # Its reader would fetch batches ahead in threads of its own, outside the memory budget.
    "OGR_GPKG_NUM_THREADS": "1",
}


def open_ogr(
    delivery: Delivery,
    *,
    layer: str | None = None,
    encoding: str | None = None,
    xy_columns: tuple[str, str] | None = None,
) -> LayerSource:
    """Open a layer through OGR; see `vector_source.open_layer`."""
    path = delivery.path
    pyogrio.set_gdal_config_options(_CONFIG)
    options = _options(delivery, encoding)
    if "CSV" in delivery.drivers:
        options |= csv_options(path, _info(path, None, options), xy_columns)
    names = _layer_names(path, options)
    chosen = _choose(names, layer, path)
    with _collected() as notes:
        stated = _info(path, chosen, options)
    if stated["driver"] not in delivery.drivers:
        raise InputError(f"The file is opened as {' or '.join(delivery.drivers)}",
                         stated["driver"], path.name)  # fmt: skip
    if stated["driver"] == "GeoJSONSeq":
        check_last_line(path)
    info = _layer_info(path, chosen, names, stated, notes)
    return LayerSource(
        path=path,
        info=info,
        schema=_schema(path, chosen, options),
        read=lambda: _read(path, info, options),
    )


def _options(delivery: Delivery, encoding: str | None) -> dict[str, Any]:
    """Keyword arguments for pyogrio: the encoding, and open options of the driver."""
    options: dict[str, Any] = {} if encoding is None else {"encoding": encoding}
    if "GML" in delivery.drivers:
        options |= {"WRITE_GFS": "NO", "DOWNLOAD_SCHEMA": "NO"}
    if "CSV" in delivery.drivers:
        options |= {"EMPTY_STRING_AS_NULL": "YES"}
    return options


def _layer_names(path: Path, options: dict[str, Any]) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Names of the layers with and without geometry."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            listed = pyogrio.list_layers(path)
    except _FAULTS as error:
        raise _damaged(path, error) from None
    plain = [str(name) for name, kind in listed if kind is None]
    if plain and "X_POSSIBLE_NAMES" in options:
        return tuple(plain), ()
    return tuple(str(name) for name, kind in listed if kind is not None), tuple(plain)


def _choose(names: tuple[tuple[str, ...], tuple[str, ...]], layer: str | None, path: Path) -> str:
    """The layer to read, refused where the choice is not clear."""
    spatial, plain = names
    listing = ", ".join(spatial) or "none"
    if layer is None and len(spatial) == 1:
        return spatial[0]
    if layer in spatial:
        return layer
    if not spatial:
        raise InputError(
            "A vector file has a layer with geometry",
            f"only tables without: {', '.join(plain) or 'none'}",
            path.name,
        )
    if layer is None:
        raise InputError("A file with several layers needs the name of one", listing, path.name,
                         "Declare layer=... with one of these names.")  # fmt: skip
    got = "a table without geometry" if layer in plain else "no such layer"
    raise InputError(f"The file has a layer {layer!r} with geometry", got, path.name,
                     f"Layers with geometry: {listing}.")  # fmt: skip


def _info(path: Path, layer: str | None, options: dict[str, Any]) -> dict[str, Any]:
    try:
        found: dict[str, Any] = pyogrio.read_info(
            path, layer=layer, force_feature_count=True, **options
        )
    except _FAULTS as error:
        raise _damaged(path, error) from None
    return found


def _layer_info(
    path: Path,
    chosen: str,
    names: tuple[tuple[str, ...], tuple[str, ...]],
    stated: dict[str, Any],
    notes: list[str],
) -> LayerInfo:
    crs, missing = None, ""
    if stated["crs"]:
        try:
            crs = CRS.from_user_input(stated["crs"])
        except CRSError:
            missing = "a CRS that PROJ cannot read"
    elif path.suffix.lower() == ".shp":
        missing = f"{path.stem}.prj is missing"
    kind = stated["geometry_type"]
    bounds = stated["total_bounds"]
    return LayerInfo(
        driver=stated["driver"],
        layer=chosen,
        layers=names[0],
        crs=crs,
        crs_missing=missing,
        features=int(stated["features"]),
        geometry_types=() if kind in (None, "Unknown") else (str(kind),),
        bounds=tuple(float(value) for value in bounds) if bounds is not None else None,  # type: ignore[arg-type]
        encoding=stated["encoding"] or "UTF-8",
        notes=tuple(notes),
    )


def _schema(path: Path, layer: str, options: dict[str, Any]) -> pa.Schema:
    """The attribute columns as OGR's Arrow stream delivers them."""
    try:
        with (
            _collected(),
            pyogrio.raw.open_arrow(path, layer=layer, use_pyarrow=True, **options) as (
                meta,
                reader,
            ),
        ):
            geometry = meta["geometry_name"] or "wkb_geometry"
            return pa.schema([_plain(field) for field in reader.schema if field.name != geometry])
    except _FAULTS as error:
        raise _damaged(path, error) from None


def _plain(field: pa.Field) -> pa.Field:
    """A field without OGR's own metadata, which would leak into outputs."""
    return pa.field(field.name, field.type, nullable=True)


def _read(path: Path, info: LayerInfo, options: dict[str, Any]) -> Iterator[SourceBatch]:
    rows = batch_rows(_size(path), info.features)
    row = 0
    try:
        with pyogrio.raw.open_arrow(
            path, layer=info.layer, use_pyarrow=True, batch_size=rows, **options
        ) as (meta, reader):
            geometry = meta["geometry_name"] or "wkb_geometry"
            while (batch := _next(reader)) is not None:
                if batch.num_rows:
                    yield _batch(batch, geometry, row, path, info, options)
                row += batch.num_rows
    except _FAULTS as error:
        if isinstance(error, InputError):
            raise
        raise _damaged(path, error) from None
    if info.features >= 0 and row != info.features:
        raise InputError(f"The layer delivers the {info.features} features it states",
                         f"{row}", path.name, _why(path, info.layer, row, options))  # fmt: skip


def _next(reader: pa.RecordBatchReader) -> pa.RecordBatch | None:
    with _collected():
        try:
            return reader.read_next_batch()
        except StopIteration:
            return None


def _batch(
    batch: pa.RecordBatch,
    geometry: str,
    row: int,
    path: Path,
    info: LayerInfo,
    options: dict[str, Any],
) -> SourceBatch:
    names = [name for name in batch.schema.names if name != geometry]
    wkb = batch.column(geometry)
    if isinstance(wkb, pa.ExtensionArray):
        wkb = wkb.storage
    if vector_curves.has_curves(wkb):
        # GEOS has no curves: the same features again, made linear by OGR.
        _, _, linear, _ = pyogrio.raw.read(
            path, layer=info.layer, columns=[], skip_features=row, max_features=batch.num_rows,
            **options,
        )  # fmt: skip
        wkb = pa.array(list(linear), type=pa.binary())
    attributes = (
        pa.RecordBatch.from_arrays(
            [batch.column(name) for name in names],
            schema=pa.schema([_plain(batch.schema.field(name)) for name in names]),
        )
        if names
        else pa.RecordBatch.from_struct_array(pa.array([{}] * batch.num_rows, type=pa.struct([])))
    )
    return SourceBatch(row=row, attributes=attributes, wkb=wkb)


def _size(path: Path) -> int:
    files = path.rglob("*") if path.is_dir() else [path]
    return sum(file.stat().st_size for file in files)


def _why(path: Path, layer: str, row: int, options: dict[str, Any]) -> str:
    """The reason why a layer ended early: OGR's Arrow stream drops it, its row reader does not."""
    try:
        with _collected():
            for start in range(0, row + 2, 4096):
                pyogrio.raw.read(path, layer=layer, columns=[], skip_features=start,
                                 max_features=4096, **options)  # fmt: skip
    except _FAULTS as error:
        return f"OGR says: {error}. Deliver the file again."
    return "The file is damaged or incomplete: deliver it again."


def _damaged(path: Path, error: Exception) -> InputError:
    return InputError("A vector file can be read to its end", str(error).strip(), path.name,
                      "The file is damaged or incomplete: deliver it again.")  # fmt: skip


class _collected:  # noqa: N801 - reads as a clause: with _collected() as notes
    """Keeps GDAL's warnings as text instead of letting them escape to the user's filters."""

    def __enter__(self) -> list[str]:
        self._catch = warnings.catch_warnings(record=True)
        self._caught = self._catch.__enter__()
        warnings.simplefilter("always")
        self._notes: list[str] = []
        return self._notes

    def __exit__(self, *details: object) -> None:
        self._catch.__exit__(*details)  # type: ignore[arg-type]
        self._notes.extend(str(item.message) for item in self._caught or ())
