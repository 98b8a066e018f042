"""Opens a delivered vector layer of any format, under guards."""

from __future__ import annotations

import tempfile
from pathlib import Path

from geo_assets.errors import InputError
from geo_assets.kernels.vector_model import LayerSource
from geo_assets.kernels.vector_ogr import open_ogr
from geo_assets.kernels.vector_parquet import open_parquet
from geo_assets.kernels.vector_sniff import PARQUET, identify
from geo_assets.kernels.vector_unzip import unzip


def open_layer(
    path: Path,
    *,
    scratch: Path,
    layer: str | None = None,
    encoding: str | None = None,
    xy_columns: tuple[str, str] | None = None,
) -> LayerSource:
    """Open a layer of any format that OGR reads, or GeoParquet.

    Args:
        path: The file; sidecars lie beside it. A `.zip` is unpacked below `scratch`.
        scratch: An existing folder for unpacked files.
        layer: The layer to read; may be left out where there is only one with geometry.
        encoding: Encoding of text, where the file states none or a wrong one.
        xy_columns: For CSV: names of the x (longitude) and y (latitude) column.

    Raises:
        InputError: The file is not acceptable, damaged, holds no geometry, or holds several
            layers and `layer` does not choose one.
    """
    path, layer = _unpacked(path, scratch, layer)
    delivery = identify(path)
    if delivery.drivers == (PARQUET,):
        return open_parquet(path, xy_columns=xy_columns)
    return open_ogr(delivery, layer=layer, encoding=encoding, xy_columns=xy_columns)


def _unpacked(path: Path, scratch: Path, layer: str | None) -> tuple[Path, str | None]:
    """The file to open: the one inside an archive, chosen by the name of the layer.

    In an archive of one-layer files (Shapefiles) the layer's name is the name of its file.
    """
    if not _is_zip(path):
        return path, layer
    files = unzip(path, Path(tempfile.mkdtemp(prefix="unzip-", dir=scratch)))
    if len(files) == 1:
        only = files[0]
        return only, None if layer == only.stem and only.suffix.lower() == ".shp" else layer
    named = [file for file in files if layer is not None and layer in (file.stem, file.name)]
    if len(named) == 1:
        return named[0], None
    raise InputError("An archive with several vector files needs the name of one",
                     ", ".join(file.name for file in files), path.name,
                     "Declare layer=... with one of these names.")  # fmt: skip


def _is_zip(path: Path) -> bool:
    if not path.is_file():
        return False
    with path.open("rb") as file:
        return file.read(4) == b"PK\x03\x04"
