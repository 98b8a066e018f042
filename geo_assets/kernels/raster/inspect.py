"""The facts of a raster, from its header."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

from rasterio.crs import CRS
from rasterio.dtypes import in_dtype_range
from rasterio.enums import ColorInterp, MaskFlags
from rasterio.errors import CRSError

from geo_assets.errors import InputError
from geo_assets.kernels.raster.footprint import bounds_of, lonlat_place
from geo_assets.kernels.raster.guard import crs_of, open_scene, parse_crs
from geo_assets.kernels.scene import SceneSpec
from geo_assets.model import GEOTIFF, KernelResult, OutputFile

_REAL = {"complex_int16": "int16", "complex64": "float32", "complex128": "float64"}
_MEDIA_TYPES = {"GTiff": GEOTIFF, "JP2OpenJPEG": "image/jp2"}


def inspect(spec: SceneSpec) -> KernelResult:
    """Open each file of the scene under guards and tell what it is."""
    files = []
    for path, name in zip(spec.files, spec.names or [p.name for p in spec.files], strict=True):
        with open_scene(path, crs=spec.crs) as dataset:
            if spec.expected_crs is not None:
                _expect(dataset, spec, path)
            facts = raster_facts(dataset, declared=spec.crs)
            media = _MEDIA_TYPES[dataset.driver]
        files.append(OutputFile.of(path, name, media, facts=facts))
    first = files[0].facts
    boxes = [file.facts["bbox"] for file in files if file.facts["bbox"]]
    facts = {
        "files": [dict(file.facts) | {"name": file.name} for file in files],
        "bands": sum(file.facts["bands"] for file in files),
        "bytes": sum(file.size for file in files),
        "crs": first["crs"],
        "crs_name": first["crs_name"],
        "bbox": boxes[0] if len({tuple(box) for box in boxes}) == 1 else _union(boxes),
        "footprint": first["footprint"],
    }
    return KernelResult(files=tuple(files), facts=facts)


def raster_facts(dataset: Any, *, declared: str | None = None) -> dict[str, Any]:
    """What the header of an open dataset says, as JSON.

    `extent` is what `Grid.cells_over` takes; `bbox` and `footprint` are EPSG:4326 degrees.
    """
    crs = crs_of(dataset, declared)
    transform = dataset.transform
    bbox, footprint = lonlat_place(crs, transform, dataset.width, dataset.height)
    return {
        "driver": dataset.driver,
        "crs": wkt(crs),
        "crs_name": crs_name(crs),
        "extent": {
            "crs": wkt(crs),
            "transform": list(transform)[:6],
            "width": dataset.width,
            "height": dataset.height,
        },
        "bounds": list(bounds_of(transform, dataset.width, dataset.height)),
        "bbox": bbox,
        "footprint": footprint,
        "width": dataset.width,
        "height": dataset.height,
        "bands": dataset.count,
        "dtypes": list(dataset.dtypes),
        "nodata": [json_number(value) for value in dataset.nodatavals],
        "mask": mask_kind(dataset),
        "colorinterp": [value.name for value in dataset.colorinterp],
        "palette": has_palette(dataset),
        "descriptions": list(dataset.descriptions),
        "units": list(dataset.units),
        "scales": list(dataset.scales),
        "offsets": list(dataset.offsets),
        "block": list(dataset.block_shapes[0]),
        "overviews": dataset.overviews(1),
        "compression": dataset.compression.value if dataset.compression else None,
    }


def mask_kind(dataset: Any) -> str:
    """How pixels without data are told: `alpha`, `mask`, `nodata`, or `none`.

    A nodata value that the pixels' type cannot hold tells nothing.
    """
    if ColorInterp.alpha in dataset.colorinterp:
        return "alpha"
    flags = {flag for band in dataset.mask_flag_enums for flag in band}
    if MaskFlags.per_dataset in flags:
        return "mask"
    usable = any(
        value is not None and fits(value, dtype)
        for value, dtype in zip(dataset.nodatavals, dataset.dtypes, strict=True)
    )
    return "nodata" if usable else "none"


def fits(value: float, dtype: str) -> bool:
    """Whether pixels of a type (rasterio's name) can have a value."""
    return bool(in_dtype_range(value, _REAL.get(dtype, dtype)))


def has_palette(dataset: Any) -> bool:
    """Whether the values of the first band are numbers of colours: classes, not quantities."""
    return bool(dataset.colorinterp[0] == ColorInterp.palette)


def wkt(crs: CRS) -> str:
    """The CRS as WKT 2 where GDAL can say it so, else as WKT 1."""
    try:
        text: str = crs.to_wkt(version="WKT2_2019")
    except CRSError:
        text = crs.to_wkt()
    return text


def crs_name(crs: CRS) -> str:
    """`EPSG:32633`, or the name within the WKT for a CRS without a code."""
    authority = crs.to_authority()
    if authority:
        return ":".join(authority)
    return wkt(crs).split('"')[1] if '"' in wkt(crs) else "unnamed"


def json_number(value: float | None) -> float | str | None:
    """A number as JSON can hold it: NaN and infinities as text."""
    if value is None or math.isfinite(value):
        return value
    return str(float(value))


def _expect(dataset: Any, spec: SceneSpec, path: Path) -> None:
    assert spec.expected_crs is not None
    expected = parse_crs(spec.expected_crs, path.name)
    got = crs_of(dataset, spec.crs)
    if got != expected:
        raise InputError(f"Scenes of this series are in {crs_name(expected)}", crs_name(got),
                         path.name, "Reproject the file, or declare the CRS it has.")  # fmt: skip


def _union(boxes: list[list[float]]) -> list[float] | None:
    """The box around several; one that crosses the antimeridian makes it go round the earth."""
    if not boxes:
        return None
    south, north = min(box[1] for box in boxes), max(box[3] for box in boxes)
    if any(box[0] > box[2] for box in boxes):
        return [-180.0, south, 180.0, north]
    return [min(box[0] for box in boxes), south, max(box[2] for box in boxes), north]
