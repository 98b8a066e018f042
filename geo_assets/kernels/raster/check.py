"""All raster rules over some files."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from typing import Any, TypeAlias

from geo_assets.errors import InputError
from geo_assets.grids import Cell
from geo_assets.kernels.raster.guard import open_scene, parse_crs
from geo_assets.kernels.raster.seams import Side, edges_of, seams
from geo_assets.kernels.raster.trouble import GDAL_ERRORS
from geo_assets.kernels.tile_checks import RULES, TileCheckSpec, places_of
from geo_assets.model import Defect, Findings, KernelResult
from geo_assets.rules import raster as rules
from geo_assets.rules.seams import Edge

Edges: TypeAlias = dict[str, dict[Side, Edge]]
"""The edges of tiles by the ids of their cells."""


def check(spec: TileCheckSpec) -> KernelResult:
    """Find defects; see `geo_assets.kernels.tile_checks.check_tiles`."""
    totals = {rule: Findings(checked=0) for rule in RULES}
    edges: Edges = {}
    for place in range(len(spec.files)):
        for rule, findings in _one(spec, place, edges):
            totals[rule] = totals[rule] + findings
    if spec.cells:
        totals["seams"] = _seams(spec, edges)
    return KernelResult(facts={rule: findings.as_dict() for rule, findings in totals.items()})


def _seams(spec: TileCheckSpec, edges: Edges) -> Findings:
    for path, name, cell in zip(spec.beside, spec.beside_names, spec.beside_cells, strict=True):
        with suppress(InputError), open_scene(path) as dataset:
            _note_edges(dataset, name, cell, edges)
    cells = (*spec.cells, *spec.beside_cells)
    places = dict(zip(places_of(cells), cells, strict=True))
    known = {place: edges[cell.id] for place, cell in places.items() if cell.id in edges}
    own = {cell.id for cell in spec.cells}
    first = {place: cell for place, cell in places.items() if cell.id in own}
    return seams(known, first, parse_crs(spec.crs or "", "grid"))


def _note_edges(dataset: Any, name: str, cell: Cell, edges: Edges) -> None:
    """Blocks that cannot be decoded are told by `readable_blocks`, in the tile's own chunk."""
    with suppress(*GDAL_ERRORS):
        edges[cell.id] = edges_of(dataset, name, cell)


def _one(spec: TileCheckSpec, place: int, edges: Edges) -> Iterator[tuple[str, Findings]]:
    path, name = spec.files[place], spec.names[place]
    try:
        with open_scene(path) as dataset:
            yield from _open(spec, dataset, place)
            if spec.cells:
                _note_edges(dataset, name, spec.cells[place], edges)
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
