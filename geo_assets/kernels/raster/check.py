"""All raster rules over some files."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from geo_assets.errors import InputError
from geo_assets.kernels.raster.guard import open_scene, parse_crs
from geo_assets.kernels.tile_checks import RULES, TileCheckSpec
from geo_assets.model import Defect, Findings, KernelResult
from geo_assets.rules import raster as rules


def check(spec: TileCheckSpec) -> KernelResult:
    """Find defects; see `geo_assets.kernels.tile_checks.check_tiles`."""
    totals = {rule: Findings(checked=0) for rule in RULES}
    for place in range(len(spec.files)):
        for rule, findings in _one(spec, place):
            totals[rule] = totals[rule] + findings
    return KernelResult(facts={rule: findings.as_dict() for rule, findings in totals.items()})


def _one(spec: TileCheckSpec, place: int) -> Iterator[tuple[str, Findings]]:
    path, name = spec.files[place], spec.names[place]
    try:
        with open_scene(path) as dataset:
            yield from _open(spec, dataset, place)
        if spec.cog:
            yield "cog", rules.cog_layout(path, name=name)
    except InputError as error:
        defect = Defect(kind="unreadable", feature=name, detail=str(error))
        yield "readable", Findings.of([defect], checked=1)


def _open(spec: TileCheckSpec, dataset: Any, place: int) -> Iterator[tuple[str, Findings]]:
    name = spec.names[place]
    readable = Findings(checked=0)
    if spec.deep:
        readable = rules.readable_blocks(dataset, name=name)
        yield "readable", readable
        if dataset.driver == "GTiff" and not readable.total:
            yield "readable", rules.intact_blocks(dataset, spec.files[place], name=name)
    if spec.cells:
        crs = parse_crs(spec.crs or "", "grid")
        yield "grid", rules.grid_alignment(dataset, spec.cells[place], crs, name=name)
    yield "pixel_type", rules.pixel_type(dataset, dtype=spec.dtype, bands=spec.bands, name=name)
    yield "nodata", rules.nodata_declared(dataset, name=name)
    if spec.most_nodata < 1 and not readable.total:
        yield "nodata", rules.nodata_share(dataset, most=spec.most_nodata, name=name)
