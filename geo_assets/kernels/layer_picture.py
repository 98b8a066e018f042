"""The door to drawing a layer."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from geo_assets.model import Findings, KernelResult, OutputFile


@dataclass(frozen=True, slots=True, kw_only=True)
class LayerPicture:
    """A layer to be drawn."""

    paths: tuple[Path, ...]
    """GeoParquet files of one CRS."""
    findings: Mapping[str, Any] | None = None
    """Findings as JSON; their samples with a place become red dots."""


def draw_layer(spec: LayerPicture, workdir: Path) -> KernelResult:
    """Draw a layer as `preview.svg`, at most 22 KiB, with the role `overview`.

    Returns:
        The picture; facts `thumbnail` (SVG text of at most 700 bytes) and `alt`.
    """
    from geo_assets.kernels.vector_preview import layer_preview

    findings = None if spec.findings is None else Findings.from_dict(spec.findings)
    drawn = layer_preview(spec.paths, findings)
    path = workdir / "preview.svg"
    path.write_text(drawn.svg, encoding="utf-8")
    facts = {"alt": drawn.alt, "title": "preview"}
    file = OutputFile.of(path, path.name, "image/svg+xml", roles=("overview",), facts=facts)
    return KernelResult(files=(file,), facts={"thumbnail": drawn.thumbnail, "alt": drawn.alt})
