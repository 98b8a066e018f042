"""Values that live in memory: how they are written as artifacts and read back.

For results that fit into memory comfortably. Large ones are staged chunk by chunk by `produce`.
"""

from __future__ import annotations

import asyncio
import math
import tempfile
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

from geo_assets.errors import ContractError, InputError
from geo_assets.model import COG, PARQUET, Artifact, OutputFile, fingerprint
from geo_assets.production import Publication, Staged
from geo_assets.store.artifact import ArtifactStore

Loader: TypeAlias = Callable[[ArtifactStore, Artifact], Awaitable[Any]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Raster:
    """A small raster in memory."""

    data: Any
    """Numpy array of shape (bands, height, width)."""
    transform: tuple[float, float, float, float, float, float]
    """Affine coefficients a to f: from pixel (column, row) to CRS coordinates."""
    crs: str
    """Anything PROJ reads."""
    nodata: float | None = None


async def stage_value(
    value: Any,
    *,
    store: ArtifactStore,
    asset: tuple[str, ...],
    partition: str | None,
    run_id: str,
) -> Staged:
    """Write a GeoDataFrame, an Arrow table or a `Raster` and stage it; its content is its version.

    Raises:
        ContractError: The value is of no type that can be published, or has no CRS.
    """
    writer = _WRITERS.get(_kind(type(value)))
    label = "/".join(asset)
    if writer is None:
        raise ContractError("An asset returns a GeoDataFrame, an Arrow table, a Raster or what "
                            "produce() staged", type(value).__name__, label)  # fmt: skip
    with tempfile.TemporaryDirectory(prefix="geo_assets_") as folder:
        output, properties, bbox = await asyncio.to_thread(writer, value, Path(folder), label)
        draft = await store.begin(asset, partition, fingerprint("value", output.sha256))
        stored = await draft.stage(output)
    publication = Publication(objects=(stored,), properties=properties, bbox=bbox)
    return Staged(
        draft=draft, publication=publication, inputs={}, run_id=run_id, chunks=1, resumed=0
    )


def loader_for(annotation: Any) -> Loader:
    """How an input annotated like this is read: a lazy handle unless a type in memory is named.

    Raises:
        ContractError: The annotation is a type that artifacts are not read as.
    """
    if annotation is None or annotation is Any or annotation is Artifact:
        return _handle
    loader = _LOADERS.get(_kind(annotation))
    if loader is None:
        raise ContractError("An input is annotated as Artifact, GeoDataFrame, pyarrow.Table or "
                            "Raster", repr(annotation))  # fmt: skip
    return loader


def _kind(of: Any) -> str:
    """`geopandas.GeoDataFrame` without importing geopandas."""
    return f"{getattr(of, '__module__', '').partition('.')[0]}.{getattr(of, '__name__', '')}"


Written: TypeAlias = tuple[OutputFile, dict[str, Any], tuple[float, float, float, float] | None]


def _write_frame(frame: Any, folder: Path, label: str) -> Written:
    if frame.crs is None:
        raise ContractError("A GeoDataFrame that is published has a CRS", "none", label,
                            "Call set_crs before returning it.")  # fmt: skip
    path = folder / "data.parquet"
    frame.to_parquet(
        path, index=False, compression="zstd", write_covering_bbox=True, schema_version="1.1.0"
    )
    columns = {name: str(dtype) for name, dtype in frame.dtypes.items()}
    properties = {"rows": len(frame), "columns": columns, "texts": {"crs": frame.crs.name}}
    _check_rows(path, len(frame), label)
    west, south, east, north = frame.geometry.to_crs("OGC:CRS84").total_bounds.tolist()
    bbox = (
        (west, south, east, north) if all(map(math.isfinite, (west, south, east, north))) else None
    )
    return OutputFile.of(path, path.name, PARQUET), properties, bbox


def _check_rows(path: Path, rows: int, label: str) -> None:
    """Nothing is published that was not opened again: some disks are full without an error."""
    import pyarrow.parquet as pq

    found = pq.read_metadata(path).num_rows
    if found != rows:
        raise ContractError(
            "A table reads back as it was written", f"{found} of {rows} rows", label
        )


def _write_table(table: Any, folder: Path, label: str) -> Written:
    import pyarrow.parquet as pq

    path = folder / "data.parquet"
    pq.write_table(table, path, compression="zstd")
    _check_rows(path, table.num_rows, label)
    columns = {field.name: str(field.type) for field in table.schema}
    properties = {"rows": table.num_rows, "columns": columns}
    return OutputFile.of(path, path.name, PARQUET), properties, None


def _write_raster(raster: Raster, folder: Path, label: str) -> Written:
    import rasterio
    from rasterio.warp import transform_bounds

    bands, height, width = raster.data.shape
    path = folder / "data.tif"
    profile = {
        "driver": "COG",
        "compress": "deflate",
        "predictor": "yes",
        "count": bands,
        "height": height,
        "width": width,
        "dtype": raster.data.dtype,
        "crs": raster.crs,
        "transform": rasterio.Affine(*raster.transform),
        "nodata": raster.nodata,
    }
    with rasterio.open(path, "w", **profile) as dataset:
        dataset.write(raster.data)
    with rasterio.open(path) as dataset:
        if not _same(dataset.read(), raster.data):
            raise ContractError("A raster reads back as it was written", "other pixels", label)
        bbox = transform_bounds(dataset.crs, "OGC:CRS84", *dataset.bounds)
    properties = {"numbers": {"bands": bands, "width": width, "height": height}}
    return OutputFile.of(path, path.name, COG), properties, bbox


def _same(one: Any, other: Any) -> bool:
    """Equal arrays; NaN equals NaN."""
    return bool(((one == other) | ((one != one) & (other != other))).all())


_WRITERS: dict[str, Callable[[Any, Path, str], Written]] = {
    "geopandas.GeoDataFrame": _write_frame,
    "pyarrow.Table": _write_table,
    "geo_assets.Raster": _write_raster,
}


async def _handle(store: ArtifactStore, artifact: Artifact) -> Artifact:
    del store
    return artifact


def _reader(media_type: str, read: Callable[[list[Path]], Any]) -> Loader:
    async def load(store: ArtifactStore, artifact: Artifact) -> Any:
        names = [item.name for item in artifact.with_role("data") if item.media_type == media_type]
        if not names:
            raise InputError(f"An input read into memory has {media_type} data", "none",
                             artifact.label, "Annotate the parameter as Artifact.")  # fmt: skip
        with tempfile.TemporaryDirectory(prefix="geo_assets_") as folder:
            paths = [await store.local_file(artifact, name, Path(folder)) for name in names]
            return await asyncio.to_thread(read, paths)

    return load


def _read_frame(paths: list[Path]) -> Any:
    import geopandas
    import pandas as pd

    frames = [geopandas.read_parquet(path) for path in paths]
    frame = frames[0] if len(frames) == 1 else pd.concat(frames, ignore_index=True)
    return frame.drop(columns="bbox", errors="ignore")


def _read_table(paths: list[Path]) -> Any:
    import pyarrow as pa
    import pyarrow.parquet as pq

    return pa.concat_tables([pq.read_table(path) for path in paths])


def _read_raster(paths: list[Path]) -> Any:
    import rasterio

    if len(paths) != 1:
        raise InputError("A raster read into memory is one object", f"{len(paths)} objects", "",
                         "Annotate the parameter as Artifact and read windows.")  # fmt: skip
    with rasterio.open(paths[0]) as dataset:
        return Raster(
            data=dataset.read(),
            transform=tuple(dataset.transform)[:6],
            crs=dataset.crs.to_wkt(),
            nodata=dataset.nodata,
        )


_LOADERS: dict[str, Loader] = {
    "geopandas.GeoDataFrame": _reader(PARQUET, _read_frame),
    "pyarrow.Table": _reader(PARQUET, _read_table),
    "geo_assets.Raster": _reader(COG, _read_raster),
}
