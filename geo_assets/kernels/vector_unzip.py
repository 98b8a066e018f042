"""Unpacking of delivered archives under limits that a zip bomb cannot pass."""

from __future__ import annotations

import zipfile
import zlib
from pathlib import Path, PurePosixPath

from geo_assets.errors import InputError

MAX_UNPACKED_BYTES = 32 << 30
"""Bytes that one archive may unpack to."""
MAX_MEMBERS = 10_000
"""Files that one archive may hold."""
MAX_RATIO = 200
"""Unpacked bytes for each packed byte, once the archive is large enough to matter."""
_RATIO_FROM_BYTES = 256 << 20
_BLOCK = 1 << 20
_MAIN = (".gpkg", ".fgb", ".parquet", ".geojson", ".geojsonl", ".json", ".shp", ".gml", ".kml",
         ".gpx", ".sqlite", ".csv", ".tab", ".mif", ".dxf")  # fmt: skip


def unzip(path: Path, to: Path, *, max_bytes: int = MAX_UNPACKED_BYTES) -> list[Path]:
    """Unpack `path` below the folder `to`; what counts is bytes written, not what headers say.

    Returns:
        The files that can be opened as vector data (not their sidecars), sorted by name. A
        file geodatabase counts as its `.gdb` folder.

    Raises:
        InputError: The archive is damaged, encrypted, too large, expands too much, or holds no
            vector data.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            members = [member for member in archive.infolist() if not member.is_dir()]
            if len(members) > MAX_MEMBERS:
                raise InputError(f"An archive holds at most {MAX_MEMBERS} files",
                                 str(len(members)), path.name)  # fmt: skip
            limit = min(max_bytes, max(_RATIO_FROM_BYTES, MAX_RATIO * path.stat().st_size))
            left = limit
            for member in members:
                left -= _unpack(archive, member, to, left, path.name)
    except (zipfile.BadZipFile, zlib.error, EOFError, RuntimeError, NotImplementedError) as error:
        raise InputError("An archive can be unpacked", str(error), path.name) from None
    return _main_files(to, path.name)


def _unpack(
    archive: zipfile.ZipFile, member: zipfile.ZipInfo, to: Path, left: int, name: str
) -> int:
    """Write one member, at most `left` bytes; returns the bytes written."""
    parts = PurePosixPath(member.filename.replace("\\", "/")).parts
    if any(part in ("..", "/") or ":" in part for part in parts):
        raise InputError("Files of an archive stay inside it", repr(member.filename), name)
    target = to.joinpath(*parts)
    target.parent.mkdir(parents=True, exist_ok=True)
    written = 0
    with archive.open(member) as source, target.open("wb") as file:
        while block := source.read(_BLOCK):
            written += len(block)
            if written > left:
                raise InputError("An archive unpacks to a size that its own size can explain",
                                 f"more than {left} bytes in {member.filename!r}", name,
                                 "Deliver it unpacked if it is genuine.")  # fmt: skip
            file.write(block)
    return written


def _main_files(folder: Path, name: str) -> list[Path]:
    databases = sorted(path for path in folder.rglob("*.gdb") if path.is_dir())
    files = [
        path
        for path in sorted(folder.rglob("*"))
        if path.is_file() and path.suffix.lower() in _MAIN and "__MACOSX" not in path.parts
    ]
    found = databases + [path for path in files if not any(db in path.parents for db in databases)]
    if not found:
        raise InputError("An archive holds a vector file", "none of a known format", name)
    return found
