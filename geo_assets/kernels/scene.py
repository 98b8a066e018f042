"""The door to inspecting scenes. GDAL is imported by the worker that does it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from geo_assets.model import KernelResult


@dataclass(frozen=True, slots=True, kw_only=True)
class SceneSpec:
    """A scene as delivered: one raster file, or one file for each band."""

    files: tuple[Path, ...]
    """Local files, in band order."""
    names: tuple[str, ...] = ()
    """Their names in the artifact; empty takes the file names."""
    crs: str | None = None
    """The CRS to take where a file names none."""
    expected_crs: str | None = None
    """The CRS every file must have, compared as CRS objects, not by code; None accepts any."""


def inspect_scene(spec: SceneSpec, workdir: Path) -> KernelResult:  # noqa: ARG001
    """Open a scene under guards and tell what it is; the files themselves are the result.

    Only headers are read: a block may still turn out to be damaged when tiles are cut.

    Args:
        spec: The files and what is expected of them.
        workdir: Nothing is written.

    Returns:
        The files with their facts (CRS, extent, place in longitude and latitude, bands, nodata,
        masks), and the facts of the scene as a whole under `files`, `bands`, `bbox`, `footprint`.

    Raises:
        InputError: A file is no raster, hostile, cut short, without a place on earth, or in
            another CRS than expected.
    """
    from geo_assets.kernels.raster.inspect import inspect

    return inspect(spec)


def predicted_inspect_bytes() -> int:
    """Memory an inspection needs on top of a resting worker."""
    return 64 << 20
