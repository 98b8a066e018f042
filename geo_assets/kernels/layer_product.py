"""A layer made, held against its declaration and drawn, by one worker."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from pathlib import Path

from pyproj import Transformer

from geo_assets.errors import ContractError
from geo_assets.kernels.layer import LayerSpec, build_layer
from geo_assets.kernels.layer_checks import LayerCheckSpec, check_layer
from geo_assets.model import Findings, KernelResult


@dataclass(frozen=True, slots=True, kw_only=True)
class LayerProductSpec:
    """How a layer is made and what must hold of it."""

    layer: LayerSpec
    check: LayerCheckSpec
    """Its `paths` are filled in with what was made."""


def make_layer(spec: LayerProductSpec, workdir: Path) -> KernelResult:
    """Build a layer and check what was written, so that nothing wrong is ever published.

    Returns:
        The files of `build_layer` and the picture of `check_layer`. Facts: those of
        `build_layer`, under `checked` those of `check_layer`, and `bbox` in degrees.

    Raises:
        ContractError: The file written has another CRS or schema than declared.
    """
    build, look = workdir / "build", workdir / "look"
    build.mkdir()
    look.mkdir()
    made = build_layer(spec.layer, build)
    paths = tuple(file.path for file in made.files if "data" in file.roles)
    checked = check_layer(replace(spec.check, paths=paths), look)
    for rule in ("crs", "schema"):
        findings = Findings.from_dict(checked.facts[rule])
        if findings.total:
            raise ContractError(f"A layer holds its declared {rule}",
                                "; ".join(sample.detail for sample in findings.samples[:5]),
                                spec.layer.name, "Nothing was published.")  # fmt: skip
    pictures = tuple(
        replace(file, facts={"alt": checked.facts["alt"], "title": "preview"})
        for file in checked.files
    )
    facts = dict(made.facts) | {"checked": dict(checked.facts)}
    facts["bbox"] = _lonlat(made.facts["bounds"], spec.check.crs)
    return KernelResult(files=(*made.files, *pictures), facts=facts)


def _lonlat(bounds: list[float] | None, crs: str) -> list[float] | None:
    """West, south, east, north in degrees; None where the layer has no place there."""
    if bounds is None:
        return None
    to_degrees = Transformer.from_crs(crs, "OGC:CRS84", always_xy=True)
    left, bottom, right, top = bounds
    box = to_degrees.transform_bounds(left, bottom, right, top, densify_pts=21)
    return list(box) if all(map(math.isfinite, box)) else None
