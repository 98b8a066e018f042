"""What the tiles of a scene are, decided from its files."""

from __future__ import annotations

from typing import Any

import numpy as np
from rasterio.crs import CRS

from geo_assets.errors import ConfigError, InputError
from geo_assets.kernels.raster.cog import Profile
from geo_assets.kernels.raster.inspect import fits, has_palette, mask_kind
from geo_assets.kernels.tiling import TileSpec

_DTYPES = (
    "int8", "uint8", "uint16", "int16", "uint32", "int32", "uint64", "int64",
    "float32", "float64", "complex_int16", "complex64", "complex128",
)  # fmt: skip


def tile_profile(datasets: list[Any], spec: TileSpec, crs: CRS) -> tuple[Profile, str]:
    """The profile of all tiles, and the resampling that is used.

    Raises:
        InputError: The files cannot be bands of one raster.
        ConfigError: The declared nodata value does not fit the values.
    """
    dtype = _dtype(datasets)
    nodata = _nodata(datasets, spec, dtype)
    categorical = spec.categorical or any(has_palette(dataset) for dataset in datasets)
    resampling = spec.resampling
    if categorical and resampling != "mode":
        resampling = "nearest"
    kinds = {mask_kind(dataset) for dataset in datasets}
    if "alpha" in kinds and len(datasets) > 1:
        raise InputError("An alpha band belongs to a scene of one file",
                         f"one among {len(datasets)} files", _names(datasets))  # fmt: skip
    profile = Profile(
        crs=crs,
        dtype=dtype,
        bands=sum(dataset.count for dataset in datasets),
        nodata=nodata,
        masked=nodata is None and kinds != {"alpha"},
        categorical=categorical,
        compress=spec.compress,
        colorinterp=_joined(datasets, "colorinterp"),
        descriptions=_joined(datasets, "descriptions"),
        units=_joined(datasets, "units"),
        scales=_joined(datasets, "scales"),
        offsets=_joined(datasets, "offsets"),
        palette=datasets[0].colormap(1) if has_palette(datasets[0]) else {},
    )
    return profile, resampling


def _joined(datasets: list[Any], name: str) -> tuple[Any, ...]:
    return tuple(value for dataset in datasets for value in getattr(dataset, name))


def _dtype(datasets: list[Any]) -> str:
    dtypes = sorted({name for dataset in datasets for name in dataset.dtypes})
    unknown = [name for name in dtypes if name not in _DTYPES]
    if unknown:
        raise InputError(f"Pixels are one of {', '.join(_DTYPES)}", ", ".join(unknown),
                         _names(datasets))  # fmt: skip
    if len(dtypes) == 1:
        return str(dtypes[0])
    common = np.result_type(*[np.dtype(name) for name in dtypes if name != "complex_int16"])
    exact = all(np.can_cast(np.dtype(name), common, casting="safe") for name in dtypes)
    wide = common == np.float64 and {"int64", "uint64"} & set(dtypes)
    if not exact or wide or "complex_int16" in dtypes:
        raise InputError("The bands of a tile have one type that holds all their values",
                         ", ".join(dtypes), _names(datasets))  # fmt: skip
    return str(common)


def _nodata(datasets: list[Any], spec: TileSpec, dtype: str) -> float | None:
    """The nodata value of tiles; None where a mask or an alpha band tells instead."""
    kinds = {mask_kind(dataset) for dataset in datasets}
    if spec.nodata is not None and kinds != {"alpha"}:
        if not fits(spec.nodata, dtype):
            raise ConfigError(f"nodata is a value that {dtype} can hold", repr(spec.nodata),
                              _names(datasets))  # fmt: skip
        return spec.nodata
    if kinds != {"nodata"}:
        return None
    values = {repr(value) for dataset in datasets for value in dataset.nodatavals}
    if len(values) > 1:
        raise InputError("A GeoTIFF has one nodata value for all bands",
                         ", ".join(sorted(values)), _names(datasets),
                         "Declare nodata=... for the series.")  # fmt: skip
    nodata: float = datasets[0].nodata
    return nodata


def _names(datasets: list[Any]) -> str:
    names = [str(dataset.name).rsplit("/", 1)[-1] for dataset in datasets]
    return ", ".join(names[:3]) + (" ..." if len(names) > 3 else "")
