"""A layer made, held against its declaration and drawn, by one worker."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from pyproj import Transformer

from geo_assets.errors import ContractError
from geo_assets.kernels.changes import CHANGES
from geo_assets.kernels.changes_picture import draw_changes
from geo_assets.kernels.layer import build_layer
from geo_assets.kernels.layer_checks import check_layer
from geo_assets.kernels.layer_spec import CleanProductSpec, LayerCheckSpec, LayerProductSpec
from geo_assets.kernels.topology_clean import clean_coverage
from geo_assets.model import Findings, KernelResult, OutputFile


def build_checked(spec: LayerProductSpec, workdir: Path) -> KernelResult:
    """Build a layer and check what was written, so that nothing wrong is ever published.

    Without a check, what is built is not for publishing yet, and neither checked nor drawn.

    Returns:
        The files of `build_layer` and the pictures of `check_layer` and `draw_changes`. Facts:
        those of `build_layer`, under `checked` those of `check_layer`, and `bbox` in degrees.

    Raises:
        ContractError: The file written has another CRS or schema than declared.
    """
    build = workdir / "build"
    build.mkdir()
    made = build_layer(spec.layer, build)
    if spec.check is None:
        return made
    return _checked(made.files, made.facts, spec.check, spec.layer.name, workdir)


def clean_checked(spec: CleanProductSpec, workdir: Path) -> KernelResult:
    """Clean the coverage of a layer that is built, and check what was written.

    Returns:
        The layer, `changes.parquet` if anything changed, and pictures. Facts: those of
        `clean_coverage`, `checked` and `bbox` as of `build_checked`.

    Raises:
        ContractError: The file written has another CRS or schema than declared.
    """
    build = workdir / "build"
    build.mkdir()
    cleaned = clean_coverage(spec.clean, build)
    files = tuple(
        replace(file, name=f"{spec.name}.parquet") if "data" in file.roles else file
        for file in cleaned.files
    )
    return _checked(files, cleaned.facts, spec.check, spec.name, workdir)


def _checked(
    files: Sequence[OutputFile],
    facts: Mapping[str, Any],
    check: LayerCheckSpec,
    name: str,
    workdir: Path,
) -> KernelResult:
    look = workdir / "look"
    look.mkdir()
    paths = tuple(file.path for file in files if "data" in file.roles)
    checked = check_layer(replace(check, paths=paths), look)
    for rule in ("crs", "schema"):
        findings = Findings.from_dict(checked.facts[rule])
        if findings.total:
            raise ContractError(f"A layer holds its declared {rule}",
                                "; ".join(sample.detail for sample in findings.samples[:5]),
                                name, "Nothing was published.")  # fmt: skip
    pictures = [
        replace(file, facts={"alt": checked.facts["alt"], "title": "preview"})
        for file in checked.files
    ]
    left = Findings.from_dict(facts["left_alone"]) if "left_alone" in facts else Findings(checked=0)
    pictures += [
        draw_changes(paths, file.path, facts["repair"], left, look)
        for file in files
        if file.name == CHANGES
    ]
    place = {"checked": dict(checked.facts), "bbox": _lonlat(facts["bounds"], check.crs)}
    return KernelResult(files=(*files, *pictures), facts=dict(facts) | place)


def _lonlat(bounds: Sequence[float] | None, crs: str) -> list[float] | None:
    """West, south, east, north in degrees; None where the layer has no place there."""
    if bounds is None:
        return None
    to_degrees = Transformer.from_crs(crs, "OGC:CRS84", always_xy=True)
    left, bottom, right, top = bounds
    box = to_degrees.transform_bounds(left, bottom, right, top, densify_pts=21)
    return list(box) if all(map(math.isfinite, box)) else None
